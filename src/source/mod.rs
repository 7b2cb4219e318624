//! The systems that events come from, seen from here: asked for what changed where they cannot call (`poll`), and asked
//! whether their webhooks still call us (`hooks`). Loops that do I/O; what follows from an answer is decided by the pure
//! functions beside them (`changed`, `standing`). Must never write into a system by itself. Spawned by the worker.

mod changed;
mod hooks;
mod poll;
mod standing;
#[cfg(test)]
mod tests;

use tokio_util::sync::CancellationToken;

pub use self::hooks::Hooks;
use crate::config::live::Live;
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::store::Store;

/// Asks the sources. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceHandle {
    hooks: Hooks,
}

impl SourceHandle {
    /// Asks a vendor to enable its webhook again, and looks whether it did. Says what it found, in words.
    ///
    /// # Errors
    /// In words: what is not configured, what the vendor answered, or that there is no webhook with our address.
    pub async fn enable(&self, system: &str) -> Result<String, String> {
        self.hooks.enable(system).await
    }
}

/// Starts both loops; they end at `stop`.
pub fn spawn(
    store: Store,
    live: Live,
    outbound: Outbound,
    stop: &CancellationToken,
) -> SourceHandle {
    let engine = Engine::new();
    let hooks = Hooks::new(
        store.clone(),
        live.clone(),
        outbound.clone(),
        engine.clone(),
    );
    tokio::spawn(
        stop.clone()
            .run_until_cancelled_owned(hooks.clone().watch()),
    );
    let poll = poll::Poll::new(store, live, outbound, engine);
    tokio::spawn(stop.clone().run_until_cancelled_owned(poll.keep()));
    SourceHandle { hooks }
}
