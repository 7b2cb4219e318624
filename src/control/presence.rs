//! Who is attached to the worker and what they are doing, so that two people do not work against each other.
//!
//! Holds claims only; nothing is decided by them. Kept by the worker's process, shown by every console.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::wire::Peer;

/// The longest `doing` that is passed on, in characters.
const MAX_DOING: usize = 80;

/// Everyone attached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Presence {
    peers: Arc<Mutex<Table>>,
    seen: watch::Sender<Vec<Peer>>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    peers: BTreeMap<u64, Peer>,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            peers: Arc::default(),
            seen: watch::Sender::new(Vec::new()),
        }
    }
}

impl Presence {
    /// Adds a peer under a new number, until the guard is dropped. The number in `peer` is not used.
    pub fn join(&self, peer: Peer) -> Attendance {
        let id = self.change(|table| {
            table.last += 1;
            let id = table.last;
            table.peers.insert(id, Peer { id, ..peer });
            id
        });
        Attendance {
            id,
            presence: self.clone(),
        }
    }

    /// Everyone, as it changes.
    pub fn watch(&self) -> watch::Receiver<Vec<Peer>> {
        self.seen.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        // The table is whole between statements: a panic elsewhere leaves it usable.
        let mut table = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let out = change(&mut table);
        self.seen
            .send_replace(table.peers.values().cloned().collect());
        out
    }
}

/// One peer's place in the table; dropped when it leaves.
#[derive(Debug)]
pub struct Attendance {
    /// Its number.
    pub id: u64,
    presence: Presence,
}

impl Attendance {
    /// Says what this peer is doing now.
    pub fn doing(&self, text: &str) {
        let text: String = text.chars().take(MAX_DOING).collect();
        self.presence.change(|table| {
            if let Some(peer) = table.peers.get_mut(&self.id) {
                peer.doing = text;
            }
        });
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.presence.change(|table| table.peers.remove(&self.id));
    }
}
