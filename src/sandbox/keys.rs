//! What a receiver remembers of idempotency keys, so that the demo can tell a repeat from a second delivery.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::server::Call;

/// How many keys are remembered; the oldest is forgotten first.
const REMEMBERED: usize = 50_000;

/// What was seen of keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Writes that reached the application.
    pub writes: u64,
    /// Of those, with a key that had been seen with the same bytes: recognised, not done twice.
    pub repeats: u64,
    /// With a key that had been seen with other bytes: must stay 0.
    pub conflicts: u64,
    /// Without a key: must stay 0.
    pub keyless: u64,
}

/// Remembers keys.
#[derive(Debug, Default)]
pub struct Keys(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    seen: Seen,
    digests: HashMap<String, [u8; 32]>,
    order: VecDeque<String>,
}

impl Keys {
    /// Takes note of a write; true if it had been done before under the same key.
    pub fn note(&self, call: &Call) -> bool {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = &mut *memory;
        memory.seen.writes += 1;
        let key = call.header("idempotency-key");
        if key.is_empty() {
            memory.seen.keyless += 1;
            return false;
        }
        let digest: [u8; 32] = Sha256::digest(&call.body).into();
        match memory.digests.get(key) {
            Some(known) if *known == digest => {
                memory.seen.repeats += 1;
                true
            }
            Some(_) => {
                memory.seen.conflicts += 1;
                false
            }
            None => {
                if memory.order.len() == REMEMBERED
                    && let Some(oldest) = memory.order.pop_front()
                {
                    memory.digests.remove(&oldest);
                }
                memory.order.push_back(key.to_owned());
                memory.digests.insert(key.to_owned(), digest);
                false
            }
        }
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::{HeaderMap, Method};

    #[test]
    fn a_repeat_is_told_from_a_conflict_and_from_no_key() {
        let keys = Keys::default();
        let call = |key: Option<&'static str>, body: &'static str| {
            let mut headers = HeaderMap::new();
            if let Some(key) = key {
                headers.insert("idempotency-key", key.parse().unwrap());
            }
            keys.note(&Call {
                method: Method::PUT,
                path: "/deals/1".to_owned(),
                query: Vec::new(),
                headers,
                body: body.into(),
            })
        };
        assert!(!call(Some("a"), "1"));
        assert!(call(Some("a"), "1"));
        assert!(!call(Some("a"), "2"));
        assert!(!call(None, "1"));
        let expected = Seen {
            writes: 4,
            repeats: 1,
            conflicts: 1,
            keyless: 1,
        };
        assert_eq!(keys.seen(), expected);
    }
}
