//! The stand-in systems of `midwatch demo` and of the presets' tests: a website, a CRM, payments and chat on loopback, with
//! their vendors' habits, the traffic between them, and the script of what goes wrong.
//!
//! They are not part of the product, but honest strangers to it: they reach midwatch only over HTTP, through its real
//! front door, with real signatures. They must never touch midwatch's database or files. Called by `cli::demo` and tests.

pub mod books;
mod chat;
pub mod crm;
mod deeds;
pub mod goods;
mod home;
mod keys;
pub mod oauth;
mod outbox;
pub mod payments;
pub mod pipedrive;
mod random;
pub mod rest;
mod script;
pub mod secrets;
pub mod server;
pub mod shopify;
pub mod subscriptions;
mod traffic;
pub mod website;

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
pub use script::{Deed, Faults, ScriptError};

use chat::Chat;
use crm::Crm;
use deeds::{Deeds, ORDER_UPDATED};
use oauth::Tokens;
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

/// How long the CRM's access tokens are good: short, so that their renewal is part of the story.
const TOKENS: Duration = Duration::from_secs(20);

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
        let crm = Crm::default().with_tokens(Tokens::new(TOKENS));
        let (website, crm) = (Arc::<Website>::default(), Arc::new(crm));
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
        for (id, topic) in ["order.created", ORDER_UPDATED, "customer.updated"]
            .iter()
            .enumerate()
        {
            let address = format!("http://{door}/hooks/shop");
            let id = (id + 1).to_string();
            self.website.hooks().add(&id, topic, &address);
        }
        let address = format!("http://{door}/hooks/payments");
        self.payments.hooks().add("we_demo_1", "*", &address);
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
                .run_until_cancelled_owned(self.direct(outbox.clone(), told)),
        );
        Open { closing, outbox }
    }

    /// What the one receiver that honours idempotency keys saw of them.
    pub fn seen(&self) -> Seen {
        self.chat.seen()
    }

    /// Records of the CRM that are there twice. Must stay 0, although it knows no idempotency keys.
    pub fn duplicates(&self) -> u64 {
        (self.crm.duplicates("contacts") + self.crm.duplicates("deals")) as u64
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
        let website = self.website.clone();
        async move {
            let mut next = Instant::now();
            for message in 0.. {
                if message >= FIRST_RUSH {
                    next += pause.mul_f64(0.5 + random.unit());
                    tokio::time::sleep_until(next).await;
                }
                let message = traffic.next(clock.now());
                // What a disabled webhook would have told is told by nobody.
                if message
                    .topic
                    .is_none_or(|topic| website.hooks().sends(topic))
                {
                    outbox.send(message).await;
                }
            }
        }
    }

    /// Puts the script's faults in force as time goes by.
    fn direct(
        &self,
        outbox: Outbox,
        told: mpsc::Sender<String>,
    ) -> impl Future<Output = ()> + use<> {
        let (script, servers) = (self.script.clone(), self.servers.clone());
        let mut deeds = Deeds {
            website: self.website.clone(),
            crm: self.crm.clone(),
            payments: self.payments.clone(),
            outbox,
            random: Random::new(self.options.seed ^ 6),
            broken: 0,
            edits: 0,
            lost: 0,
        };
        async move {
            let start = Instant::now();
            let (mut before, mut now) = (None, Duration::ZERO);
            loop {
                for (who, server) in &*servers {
                    server.set(script.faults(*who, now));
                }
                for step in script.begun(before, now) {
                    if let Some(deed) = step.deed {
                        deeds.done(deed).await;
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
