//! The stand-in systems of `midwatch demo`: a website, a CRM, payments and chat on loopback, the traffic between them,
//! and the script of what goes wrong.
//!
//! They are not part of the product, but honest strangers to it: they reach midwatch only over HTTP, through its real
//! front door, with real signatures. They must never touch midwatch's database or files. Called by `cli::demo`.

mod chat;
mod crm;
mod goods;
mod home;
mod keys;
mod outbox;
mod payments;
mod random;
mod script;
pub mod secrets;
mod server;
mod traffic;
mod website;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use home::Home;
pub use keys::Seen;
pub use outbox::Tally;
pub use script::ScriptError;

use chat::Chat;
use crm::Crm;
use outbox::Outbox;
use payments::Payments;
use random::Random;
use script::{Script, Who};
use server::Server;
use traffic::Traffic;
use website::Website;

use crate::time::Clock;

/// How lively, and which story.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which orders, from whom; the same seed tells the same story.
    pub seed: u64,
    /// Messages a second that the stand-ins send, more than 0, at most 500.
    pub rate: f64,
}

/// Where the stand-ins listen.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The website.
    pub shop: SocketAddr,
    /// The CRM.
    pub crm: SocketAddr,
    /// Payments.
    pub payments: SocketAddr,
    /// Chat.
    pub chat: SocketAddr,
}

/// Messages that are sent at once when the shop opens, so that there is something to see.
const FIRST_RUSH: usize = 6;

/// The running stand-ins. They end with the token given to [`Sandbox::start`].
#[derive(Debug)]
pub struct Sandbox {
    options: Options,
    script: Script,
    stop: CancellationToken,
    website: Arc<Website>,
    crm: Arc<Crm>,
    payments: Arc<Payments>,
    chat: Arc<Chat>,
    servers: Arc<[(Who, Server); 4]>,
}

/// Why the stand-ins cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No loopback port.
    #[error("cannot listen on loopback: {0}")]
    Listen(#[from] io::Error),
    /// The embedded story is broken.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

impl Sandbox {
    /// Starts the servers, well behaved and silent until [`Sandbox::open`].
    pub async fn start(options: Options, stop: CancellationToken) -> Result<Self, SandboxError> {
        let (website, crm) = (Arc::<Website>::default(), Arc::<Crm>::default());
        let (payments, chat) = (Arc::<Payments>::default(), Arc::<Chat>::default());
        let seed = options.seed;
        let servers = [
            (
                Who::Shop,
                Server::start(website.clone(), seed ^ 1, stop.clone()).await?,
            ),
            (
                Who::Crm,
                Server::start(crm.clone(), seed ^ 2, stop.clone()).await?,
            ),
            (
                Who::Payments,
                Server::start(payments.clone(), seed ^ 3, stop.clone()).await?,
            ),
            (
                Who::Chat,
                Server::start(chat.clone(), seed ^ 4, stop.clone()).await?,
            ),
        ];
        Ok(Self {
            options,
            script: Script::story()?,
            stop,
            website,
            crm,
            payments,
            chat,
            servers: Arc::new(servers),
        })
    }

    /// Where they listen.
    pub fn addresses(&self) -> Addresses {
        let [shop, crm, payments, chat] = &*self.servers;
        Addresses {
            shop: shop.1.address(),
            crm: crm.1.address(),
            payments: payments.1.address(),
            chat: chat.1.address(),
        }
    }

    /// Opens the shop: traffic goes to midwatch's front door at `door`, and the script of faults begins.
    /// What the script does is told to `told`, one line a step; nobody needs to listen.
    pub fn open(&self, door: SocketAddr, told: mpsc::Sender<String>) -> Open {
        let closing = self.stop.child_token();
        let outbox = Outbox::start(door, &self.stop);
        tokio::spawn(
            closing
                .clone()
                .run_until_cancelled_owned(self.trade(outbox.clone())),
        );
        tokio::spawn(
            self.stop
                .clone()
                .run_until_cancelled_owned(self.direct(told)),
        );
        Open { closing, outbox }
    }

    /// What the receivers saw of idempotency keys, all together.
    pub fn seen(&self) -> Seen {
        self.website.seen() + self.crm.seen() + self.chat.seen()
    }

    /// The last chat messages, oldest first. They hold text from outside.
    pub fn messages(&self) -> Vec<String> {
        self.chat.messages()
    }

    /// Makes things happen, `rate` a second.
    fn trade(&self, outbox: Outbox) -> impl Future<Output = ()> + use<> {
        let mut traffic = Traffic::new(
            self.website.clone(),
            self.payments.clone(),
            self.crm.clone(),
            self.options.seed,
        );
        let mut random = Random::new(self.options.seed ^ 5);
        let pause = Duration::from_secs_f64(1.0 / self.options.rate.clamp(0.01, 500.0));
        let clock = Clock::System;
        async move {
            for _ in 0..FIRST_RUSH {
                outbox.send(traffic.next(clock.now())).await;
            }
            let mut next = Instant::now();
            loop {
                next += pause.mul_f64(0.5 + random.unit());
                tokio::time::sleep_until(next).await;
                outbox.send(traffic.next(clock.now())).await;
            }
        }
    }

    /// Puts the script's faults in force as time goes by.
    fn direct(&self, told: mpsc::Sender<String>) -> impl Future<Output = ()> + use<> {
        let (script, servers, crm) = (self.script.clone(), self.servers.clone(), self.crm.clone());
        async move {
            let start = Instant::now();
            let (mut before, mut now) = (None, Duration::ZERO);
            loop {
                for (who, server) in &*servers {
                    server.set(script.faults(*who, now));
                }
                for step in script.begun(before, now) {
                    if let Some(deed) = step.deed {
                        crm.befall(deed);
                    }
                    // A full or closed channel only means that nobody reads along.
                    let _ = told.try_send(step.says.clone());
                }
                before = Some(now);
                let Some(next) = script.next_change(now) else {
                    return;
                };
                tokio::time::sleep_until(start + next).await;
                now = next;
            }
        }
    }
}

/// An open shop.
#[derive(Debug)]
pub struct Open {
    closing: CancellationToken,
    outbox: Outbox,
}

impl Open {
    /// Closes the shop: nothing new happens; waits at most `patience` until what was sent is answered.
    pub async fn close(&self, patience: Duration) -> Tally {
        self.closing.cancel();
        self.outbox.emptied(patience).await;
        self.outbox.tally()
    }

    /// How the front door answered so far.
    pub fn tally(&self) -> Tally {
        self.outbox.tally()
    }
}

#[cfg(test)]
mod tests;
