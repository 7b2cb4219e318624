//! What goes into the store and comes back: plain values, no SQL. `api` takes and gives them; `view` holds what readers get.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::control::action::Actor;
use crate::event::Event;
use crate::event::contract::Fault;
use crate::ids::{DeliveryId, EventId, PathId, ReviewId};
use crate::queue::model::Claimed;
use crate::record::ledger::{About, Learned};
use crate::record::value::{Value, Version};
use crate::time::{Clock, Timestamp};

use super::view::{BatchRow, Breaker, NoteKind, Pause, Severity};

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

/// What a system and another were seen to agree on of one record; values as the ledger keeps them
/// ([`super::HashKey::text`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The system.
    pub system: String,
    /// Which record.
    pub about: About,
    /// Field and what the system holds.
    pub fields: Vec<(String, String)>,
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

/// What to do about a damaged database.
pub(super) const DAMAGED: &str = "stop the worker, keep the damaged file aside, copy the last backup into its place, start again and `midwatch adopt-host`";

impl Health {
    /// What the store cannot do, in words; none if it can do everything.
    pub fn words(&self) -> Option<String> {
        match self {
            Self::Good => None,
            Self::DiskFull { free } => {
                Some(format!("disk full: {} MiB free; not accepting", free >> 20))
            }
            Self::Failing(words) => Some(format!("writes fail, trying again each second: {words}")),
            Self::Corrupt(words) => Some(format!(
                "the database is damaged ({words}), nothing is written: {DAMAGED}"
            )),
        }
    }
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
    /// Every fault of a held event's data; empty where it is held for something else.
    pub faults: Vec<Fault>,
    /// What held events of the same trouble have in common (`order.updated 2: /total type`); none: the reason itself.
    pub group: Option<String>,
    /// What to do when id or key are known with other content: hold it (a vendor's hook), or refuse it.
    pub hold_on_conflict: bool,
    /// Digest of type, subject, version and data less the preset's exclusions.
    pub digest: [u8; 16],
    /// The business records that it speaks of, for their stories; at most the first [`MOST_ABOUT`] count.
    pub about: Vec<About>,
}

/// An event is told in the stories of at most this many records.
pub const MOST_ABOUT: usize = 64;

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
    /// Why the delivery is held until a person lets it go; none: it goes of itself.
    pub hold: Option<String>,
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
        /// What its data has against its contract.
        faults: Vec<Fault>,
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

/// Something noticed about a system. One of the same path, system, kind and `what` is the same note, noticed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The path on which it was noticed, if on one.
    pub path: Option<PathId>,
    /// The system that it is about.
    pub system: String,
    /// What it is about.
    pub kind: NoteKind,
    /// What exactly: a field, a header, a version.
    pub what: String,
    /// In words; may quote what came from outside.
    pub text: String,
    /// The delivery on which it was noticed.
    pub delivery: Option<DeliveryId>,
}

/// A page of what a system lists, to be adopted.
#[derive(Debug, Clone, Default)]
pub struct AdoptPage {
    /// The record type.
    pub kind: String,
    /// The system.
    pub system: String,
    /// Its records; one without a business key cannot be matched and is left out.
    pub found: Vec<AdoptRecord>,
    /// Where the next page is, in the listing's own words.
    pub next: Option<String>,
    /// It was the last page.
    pub last: bool,
}

/// One record of such a page.
#[derive(Debug, Clone, Default)]
pub struct AdoptRecord {
    /// Its business key.
    pub key: String,
    /// The id that the system gave it.
    pub id: Option<String>,
    /// How new it is.
    pub version: Option<Version>,
    /// Its fields: (name, value, sensitive).
    pub fields: Vec<(String, Value, bool)>,
}

/// How a replay batch runs.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    /// Skip what is known to be applied or superseded, or whose outcome is unknown.
    pub skip_risky: bool,
    /// The first few go alone.
    pub canary: u32,
    /// Releases per second after that.
    pub pace: f64,
    /// The scope in words.
    pub scope: String,
    /// Nothing newer holds its deliveries back: a person forced each by the name of its record.
    pub forced: bool,
}

/// What `begin_work` found.
#[derive(Debug, Clone)]
pub struct Started {
    /// This worker's epoch.
    pub epoch: i64,
    /// Deliveries that were running when the last worker died.
    pub rescued: u64,
    /// When an attempt last ended whose request may still have been under way at its receiver.
    pub unsettled: Option<Timestamp>,
    /// The last sign of life of a worker before this one; none where there was none. What was sent since is missing here,
    /// unless its senders try again.
    pub away_since: Option<Timestamp>,
    /// The host this database belongs to, if it is not this one: everything stays held until `adopt-host`.
    pub foreign_host: Option<String>,
    /// Breakers and pauses as stored.
    pub paths: Vec<(PathId, String, Option<Pause>, Breaker)>,
    /// Paths that are in shadow mode by configuration, and did not go live since.
    pub shadow: BTreeSet<PathId>,
    /// Batches that were not ended.
    pub batches: Vec<BatchRow>,
}

/// What a person decided about a review, with all that is kept in one commit with it.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Which.
    pub review: ReviewId,
    /// `ours`, `theirs` or `value`.
    pub side: &'static str,
    /// The value that stands.
    pub value: Value,
    /// The field is sensitive: the values are kept only as keyed hashes from now on.
    pub sensitive: bool,
    /// What is known of the two systems by it, with the line in the record's story.
    pub learned: Vec<Learned>,
    /// The event that carries the value to a system; none where nothing has to be written.
    pub repair: Option<Incoming>,
    /// The audit row.
    pub log: LogEntry,
}

/// A held or unrouted event, judged anew.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Which.
    pub event: EventId,
    /// How often it had been edited when it was read: one that was edited since is left alone.
    pub edits: u32,
    /// What the door says of it now, with its data as it was read (or edited).
    pub incoming: Incoming,
}

/// What a release did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Released {
    /// Events that have their deliveries now.
    pub events: u64,
    /// Deliveries made of them.
    pub deliveries: u64,
    /// Events that stay held.
    pub held: u64,
    /// Events that no path wants.
    pub unrouted: u64,
    /// Events that somebody else released, edited or discarded meanwhile.
    pub moved_on: u64,
}

impl std::ops::AddAssign for Released {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.held += other.held;
        self.unrouted += other.unrouted;
        self.moved_on += other.moved_on;
    }
}
