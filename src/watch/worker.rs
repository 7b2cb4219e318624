//! Whether a worker is at work, by its last sign of life and by the lock.

use std::time::Duration;

use serde::Serialize;

use crate::store::view::{Lock, WorkerRow};
use crate::time::Timestamp;

/// A worker that has given no sign of life for this long is down or hangs (it writes one every 10 s).
pub const SILENCE: Duration = Duration::from_secs(15);

/// How the worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum WorkerState {
    /// At work.
    Running,
    /// Finishing what is under way.
    Draining,
    /// Stopped in order, then.
    Stopped {
        /// When.
        since: Timestamp,
    },
    /// No sign of life since then.
    Silent {
        /// The last one.
        since: Timestamp,
    },
    /// No worker has ever held this database.
    Never,
}

impl WorkerState {
    /// It delivers, or is about to finish delivering.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Draining)
    }
}

/// How the worker is at `now`.
pub fn worker_state(worker: &WorkerRow, now: Timestamp) -> WorkerState {
    let since = worker.heartbeat;
    if worker.epoch == 0 && since == Timestamp::ZERO {
        WorkerState::Never
    } else if worker.state == "stopped" {
        WorkerState::Stopped { since }
    } else if worker.lock == Lock::Free || now.since(since) > SILENCE {
        WorkerState::Silent { since }
    } else if worker.state == "draining" {
        WorkerState::Draining
    } else {
        WorkerState::Running
    }
}
