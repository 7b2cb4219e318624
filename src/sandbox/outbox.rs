//! The stand-ins' own webhook senders: one after another per sender, again until midwatch says yes, as vendors do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::server;
use super::traffic::{Message, Sender};

/// Messages that wait for a sender; traffic waits beyond that.
const WAITING: usize = 1_024;
/// Pause before a message is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
/// A front door that does not answer for so long has not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// How midwatch's front door answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages handed to a sender, repeats included.
    pub sent: u64,
    /// Distinct messages that were answered 2xx: midwatch must have every one of them.
    pub acknowledged: u64,
    /// Deliberate repeats that were answered 2xx: midwatch must not have taken them for new.
    pub repeats: u64,
    /// Messages that were refused for good (4xx): must stay 0.
    pub refused: u64,
    /// Tries that were not answered, or answered 429 or 5xx, and were repeated.
    pub retried: u64,
}

impl Tally {
    fn settled(&self) -> bool {
        self.sent == self.acknowledged + self.repeats + self.refused
    }
}

/// All senders. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    shop: mpsc::Sender<Message>,
    payments: mpsc::Sender<Message>,
    crm: mpsc::Sender<Message>,
    tally: Arc<watch::Sender<Tally>>,
}

impl Outbox {
    /// Starts all senders towards `door`.
    pub fn start(door: SocketAddr, stop: &CancellationToken) -> Self {
        let (website, shop_queue) = mpsc::channel(WAITING);
        let (payments, payments_queue) = mpsc::channel(WAITING);
        let (crm, crm_queue) = mpsc::channel(WAITING);
        let this = Self {
            shop: website,
            payments,
            crm,
            tally: Arc::default(),
        };
        for queue in [shop_queue, payments_queue, crm_queue] {
            let sender = deliver(queue, door, this.tally.clone());
            tokio::spawn(stop.clone().run_until_cancelled_owned(sender));
        }
        this
    }

    /// Hands a message to its sender.
    pub async fn send(&self, message: Message) {
        self.tally.send_modify(|tally| tally.sent += 1);
        let queue = match message.sender {
            Sender::Shop => &self.shop,
            Sender::Payments => &self.payments,
            Sender::Crm => &self.crm,
        };
        if queue.send(message).await.is_err() {
            // The senders have been stopped: it was never sent.
            self.tally.send_modify(|tally| tally.sent -= 1);
        }
    }

    /// The counts so far.
    pub fn tally(&self) -> Tally {
        *self.tally.borrow()
    }

    /// Waits until every message is answered, at most `patience`.
    pub async fn emptied(&self, patience: Duration) {
        let mut watching = self.tally.subscribe();
        let _ = tokio::time::timeout(patience, watching.wait_for(Tally::settled)).await;
    }
}

async fn deliver(
    mut queue: mpsc::Receiver<Message>,
    door: SocketAddr,
    tally: Arc<watch::Sender<Tally>>,
) {
    while let Some(message) = queue.recv().await {
        loop {
            let posted = server::post(door, message.path, &message.headers, message.body.clone());
            match tokio::time::timeout(PATIENCE, posted).await {
                Ok(Ok((200..=299, _))) => {
                    tally.send_modify(|tally| {
                        if message.again {
                            tally.repeats += 1;
                        } else {
                            tally.acknowledged += 1;
                        }
                    });
                    break;
                }
                Ok(Ok((status @ 400..=499, answer))) if status != 429 => {
                    tracing::warn!(status, answer = ?String::from_utf8_lossy(&answer), "demo: the front door refused a message");
                    tally.send_modify(|tally| tally.refused += 1);
                    break;
                }
                _ => {
                    tally.send_modify(|tally| tally.retried += 1);
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }
}
