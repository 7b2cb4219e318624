//! The store's narrow, typed face: what the rest of midwatch can ask of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::config::model::Config;
use crate::control::action::{Actor, Done, Preview};
use crate::event::Event;
use crate::ids::{BatchId, DeliveryId, EventId, PathId, RunId};
use crate::queue::filter::Filter;
use crate::queue::model::{Claimed, Request, Settlement};
use crate::time::{Clock, Timestamp};

use super::reader::Reader;
use super::view::{BatchRow, BatchState, Breaker, DifferenceRow, Pause, RunRow, Severity};

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the time comes from.
    pub clock: Clock,
    /// Stop accepting below this many free bytes.
    pub disk_reserve: u64,
    /// How long ids and keys are remembered.
    pub dedupe: Duration,
}

/// Why a store could not be opened. Each says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the writer's lock.
    #[error("{file} is held by another midwatch (pid {pid})")]
    Locked {
        /// The database.
        file: PathBuf,
        /// Who holds it, as written in the lock file; 0 if unknown.
        pid: u32,
    },
    /// Written by a newer midwatch.
    #[error(
        "{file} has schema {found}, this midwatch knows up to {known}: use the newer binary, or restore the backup made before its migration"
    )]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// Why the store could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing was stored; try again later.
    #[error("the disk refuses: {0}")]
    Refused(String),
    /// The database is damaged; nothing was stored.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The writer has stopped.
    #[error("the writer has stopped")]
    Closed,
    /// The request itself makes no sense here (unknown path, unknown batch ...).
    #[error("{0}")]
    Invalid(String),
}

/// What the store can do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// All of it.
    Good,
    /// Not accepting: the disk is nearly full. Deliveries go on while they can be recorded.
    DiskFull {
        /// Free bytes.
        free: u64,
    },
    /// Writes fail; tried again every second.
    Failing(String),
    /// The database is damaged: read-only until restored.
    Corrupt(String),
}

/// An event with its routing, ready to be stored.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The event.
    pub event: Event,
    /// The paths it goes to; empty means unrouted.
    pub routes: Vec<Route>,
    /// If set, the event is held at the door for this reason and its routes are not used.
    pub hold: Option<String>,
    /// What to do when id or key are known with other content: hold it (a vendor's hook), or refuse it.
    pub hold_on_conflict: bool,
    /// Digest of type, subject, version and data less the preset's exclusions.
    pub digest: [u8; 16],
}

/// One path that an event takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which.
    pub path: PathId,
    /// Frozen value of `order_by`.
    pub order_key: Option<String>,
    /// A dead delivery lets the next of its key pass (`on_dead = "continue"`).
    pub on_dead_continue: bool,
    /// Delay before the first attempt.
    pub delay: Duration,
}

/// What became of an incoming event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Stored, with that many deliveries.
    Accepted {
        /// Its number.
        event: EventId,
        /// How many deliveries.
        deliveries: u32,
    },
    /// Known already, same content: nothing stored.
    Duplicate {
        /// The one that is stored.
        event: EventId,
    },
    /// Id or key known with other content: nothing stored.
    Conflict {
        /// The one that is stored.
        event: EventId,
    },
    /// Stored, but held.
    Held {
        /// Its number.
        event: EventId,
        /// Why.
        reason: String,
    },
    /// Stored; no path matches.
    Unrouted {
        /// Its number.
        event: EventId,
    },
}

/// How many deliveries of a path the dispatcher can start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Which path.
    pub path: PathId,
    /// At most this many.
    pub count: usize,
}

/// What a turn of the dispatcher brought.
#[derive(Debug, Default)]
pub struct Turn {
    /// Claims, each to be settled exactly once.
    pub claimed: Vec<Claimed>,
    /// For each wanted path that had less than wanted: when its next delivery is due, if it has one.
    pub next_due: Vec<(PathId, Option<Timestamp>)>,
    /// Settlements that were too late to change anything.
    pub late: usize,
}

/// A line for the log.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// How much it matters.
    pub severity: Severity,
    /// Who; none means midwatch itself.
    pub actor: Option<Actor>,
    /// What kind of thing.
    pub kind: &'static str,
    /// Path concerned.
    pub path: Option<PathId>,
    /// Delivery concerned.
    pub delivery: Option<DeliveryId>,
    /// What happened.
    pub text: String,
}

/// The open store: a handle to its one writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    _inner: Arc<()>,
}

#[allow(
    unused_variables,
    missing_docs,
    clippy::unused_async,
    clippy::needless_pass_by_value
)]
impl Store {
    /// Takes the lock, opens or creates the database (0600), migrates it, starts the writer thread.
    pub fn open(file: &Path, options: Options) -> Result<Self, OpenError> {
        todo!()
    }

    /// Registers the configuration's paths, holds deliveries of removed ones, keeps the text by hash. Returns each path's number.
    pub async fn configure(&self, config: &Config) -> Result<Vec<(String, PathId)>, StoreError> {
        todo!()
    }

    /// Raises the epoch, rescues what was running when the last worker died, records this worker.
    pub async fn begin_work(&self, service: bool) -> Result<Started, StoreError> {
        todo!()
    }

    /// Durable when it returns: all receipts in order, or nothing stored at all.
    pub async fn accept(&self, batch: Vec<Incoming>) -> Result<Vec<Receipt>, StoreError> {
        todo!()
    }

    /// Settles what ended and claims what is due, in one commit.
    pub async fn turn(
        &self,
        settlements: Vec<Settlement>,
        wants: Vec<Want>,
    ) -> Result<Turn, StoreError> {
        todo!()
    }

    /// Keeps the rendered request of a generation before it is first sent.
    pub async fn freeze(
        &self,
        delivery: DeliveryId,
        generation: u32,
        request: Request,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Hands everything this worker still has running back, uncharged (shutdown).
    pub async fn end_work(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Sign of life, and where the front door listens.
    pub async fn heartbeat(
        &self,
        state: &str,
        listening: Option<String>,
    ) -> Result<(), StoreError> {
        todo!()
    }

    pub async fn set_pause(
        &self,
        path: PathId,
        pause: Option<Pause>,
        log: LogEntry,
    ) -> Result<(), StoreError> {
        todo!()
    }

    pub async fn set_breaker(
        &self,
        path: PathId,
        breaker: Breaker,
        log: LogEntry,
    ) -> Result<(), StoreError> {
        todo!()
    }

    pub async fn log(&self, entry: LogEntry) -> Result<(), StoreError> {
        todo!()
    }

    /// Answer of an action submitted before under this id, so that repeating is safe.
    pub async fn done_before(&self, submission: String) -> Result<Option<Done>, StoreError> {
        todo!()
    }

    /// Records an action's answer, together with its audit row where the action itself wrote none.
    pub async fn record_done(
        &self,
        submission: String,
        done: Done,
        log: Option<LogEntry>,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Cancels what matches up to `high_water`; refuses if more than `expected` match. Returns how many.
    pub async fn cancel(
        &self,
        filter: Filter,
        high_water: DeliveryId,
        expected: u64,
        reason: String,
        log: LogEntry,
    ) -> Result<u64, StoreError> {
        todo!()
    }

    /// Freezes the set of a replay as a batch. Nothing is released yet.
    pub async fn create_batch(
        &self,
        filter: Filter,
        high_water: DeliveryId,
        expected: u64,
        skip_risky: bool,
        canary: u32,
        pace: f64,
        scope: String,
        log: LogEntry,
    ) -> Result<BatchId, StoreError> {
        todo!()
    }

    /// Releases up to `count` pending items: each becomes ready in a new generation, or is skipped if it moved on.
    pub async fn release(&self, batch: BatchId, count: u32) -> Result<BatchRow, StoreError> {
        todo!()
    }

    /// Moves a batch to another state; `Aborted` and `Done` end it.
    pub async fn set_batch(
        &self,
        batch: BatchId,
        state: BatchState,
        reason: Option<String>,
    ) -> Result<BatchRow, StoreError> {
        todo!()
    }

    pub async fn start_run(&self, job: String) -> Result<RunId, StoreError> {
        todo!()
    }

    pub async fn finish_run(
        &self,
        run: RunRow,
        differences: Vec<DifferenceRow>,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Removes what retention lets go, a bounded amount a call; true if there is more.
    pub async fn prune(
        &self,
        delivered_before: Timestamp,
        log_before: Timestamp,
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// Copies the database online; the file must not exist and is created 0600.
    pub async fn backup(&self, file: PathBuf) -> Result<u64, StoreError> {
        todo!()
    }

    pub async fn adopt_host(&self, log: LogEntry) -> Result<(), StoreError> {
        todo!()
    }

    /// Counts commits that changed anything a screen shows.
    pub fn changes(&self) -> watch::Receiver<u64> {
        todo!()
    }

    /// Notified when something became ready or a pause ended: the dispatcher should take a turn.
    pub fn work(&self) -> Arc<Notify> {
        todo!()
    }

    pub fn health(&self) -> watch::Receiver<Health> {
        todo!()
    }

    pub fn reader(&self) -> Result<Reader, OpenError> {
        todo!()
    }

    pub fn clock(&self) -> Clock {
        todo!()
    }

    /// Flushes statistics and stops the writer; later calls answer `Closed`. The lock is released.
    pub async fn close(&self) {
        todo!()
    }
}

/// What `begin_work` found.
#[derive(Debug, Clone)]
pub struct Started {
    /// This worker's epoch.
    pub epoch: i64,
    /// Deliveries that were running when the last worker died.
    pub rescued: u64,
    /// The host this database belongs to, if it is not this one: everything stays held until `adopt-host`.
    pub foreign_host: Option<String>,
    /// Breakers and pauses as stored.
    pub paths: Vec<(PathId, String, Option<Pause>, Breaker)>,
    /// Batches that were not ended.
    pub batches: Vec<BatchRow>,
}

/// What a replay or a cancellation of `filter` would touch.
pub type ActionPreview = Preview;
