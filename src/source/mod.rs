//! The systems that events come from, seen from here: asked for what changed where they cannot call (`poll`), asked for what
//! they did not tell (`backfill`), and asked whether their webhooks still call us (`hooks`). Loops that do I/O; what follows
//! from an answer is decided by the pure functions beside them (`changed`, `missed`, `standing`). Must never write into a
//! system by itself. Spawned by the worker.

mod backfill;
mod changed;
mod hooks;
mod lister;
pub mod missed;
mod poll;
mod standing;
#[cfg(test)]
mod tests;

use tokio_util::sync::CancellationToken;

use self::backfill::{Backfill, Gaps};
pub use self::hooks::Hooks;
use self::lister::Lister;
use crate::config::live::Live;
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::store::Store;
use crate::time::Timestamp;

/// Asks the sources. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceHandle {
    hooks: Hooks,
    gaps: Gaps,
}

impl SourceHandle {
    /// Asks a vendor to enable its webhook again, and looks whether it did. Says what it found, in words.
    ///
    /// # Errors
    /// In words: what is not configured, what the vendor answered, or that there is no webhook with our address.
    pub async fn enable(&self, system: &str) -> Result<String, String> {
        self.hooks.enable(system).await
    }

    /// A gap was kept that is to be asked for now.
    pub fn backfill(&self) {
        self.gaps.nudge();
    }
}

/// Starts the loops; they end at `stop`. `away_since`: the last sign of life of the worker before this one.
pub fn spawn(
    store: Store,
    live: Live,
    outbound: Outbound,
    away_since: Option<Timestamp>,
    stop: &CancellationToken,
) -> SourceHandle {
    let engine = Engine::new();
    let gaps = Gaps::new(store.clone());
    let hooks = Hooks::new(
        store.clone(),
        live.clone(),
        outbound.clone(),
        engine.clone(),
        gaps.clone(),
    );
    let lister = Lister::new(store, live, outbound, engine);
    let loops = stop.clone();
    tokio::spawn(loops.run_until_cancelled_owned(hooks.clone().watch()));
    let poll = poll::Poll::new(lister.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(poll.keep()));
    let backfill = Backfill::new(lister, gaps.clone());
    let loops = stop.clone();
    tokio::spawn(loops.run_until_cancelled_owned(backfill.keep(away_since)));
    SourceHandle { hooks, gaps }
}
