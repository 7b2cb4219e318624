//! What readers get: whole, plain values with no SQL and no rowid in them. Screens, `--json` and policies read these.

mod held;
mod lineage;
mod notes;
mod reconcile;
mod records;
mod review;

use serde::{Deserialize, Serialize};

use crate::duty::Stint;
use crate::event::Event;
use crate::ids::{BatchId, DeliveryId, EventId, Fingerprint, PathId};
use crate::incident::Incident;
use crate::queue::model::{Class, State, Step};
use crate::record::ledger::About;
use crate::time::Timestamp;

pub use held::{Admission, HeldDetail, HeldEdit, HeldGroup, HeldRow};
pub use lineage::{MOST_TRACED, Trace, TraceDelivery, TraceEvent, TraceNode};
pub use notes::{NoteFilter, NoteKind, NoteRow, ShapeRow};
pub use reconcile::{
    BackfillRow, Changed, DifferenceKind, DifferenceRow, Grade, PlanRow, PlanState, PlanWrite,
    RunRow, SideRow, Standing, ToleratedRow, WriteState, WriteVerb,
};
pub use records::{
    AdoptDifference, AdoptionRow, HoldingRow, Matched, NeedRow, PollRow, RecordRow, SenderRow,
    Shadowed, Story, StoryLine,
};

pub use review::{DecidedRow, ReviewRow};

/// Exact numbers of deliveries by state, kept by the writer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Will be attempted.
    pub ready: u64,
    /// Under way.
    pub running: u64,
    /// Behind another of their key, or for a record's id.
    pub waiting: u64,
    /// Done.
    pub delivered: u64,
    /// Given up.
    pub dead: u64,
    /// Stopped until released.
    pub held: u64,
    /// Given up by an operator.
    pub cancelled: u64,
    /// Made needless.
    pub superseded: u64,
    /// Recorded in shadow mode, not sent.
    pub shadowed: u64,
}

impl Counts {
    /// Accepted, not yet settled, not held.
    pub fn backlog(&self) -> u64 {
        self.ready + self.running + self.waiting
    }

    /// The number in one state.
    pub fn get(&self, state: State) -> u64 {
        match state {
            State::Ready => self.ready,
            State::Running => self.running,
            State::Waiting => self.waiting,
            State::Delivered => self.delivered,
            State::Dead => self.dead,
            State::Held => self.held,
            State::Cancelled => self.cancelled,
            State::Superseded => self.superseded,
            State::Shadowed => self.shadowed,
        }
    }

    /// The number in one state, to change it.
    pub fn get_mut(&mut self, state: State) -> &mut u64 {
        match state {
            State::Ready => &mut self.ready,
            State::Running => &mut self.running,
            State::Waiting => &mut self.waiting,
            State::Delivered => &mut self.delivered,
            State::Dead => &mut self.dead,
            State::Held => &mut self.held,
            State::Cancelled => &mut self.cancelled,
            State::Superseded => &mut self.superseded,
            State::Shadowed => &mut self.shadowed,
        }
    }
}

/// Why a path is not attempted at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// A person's pause stays until resumed; the machine's probes and heals by itself.
    pub by_person: bool,
    /// Who or what paused it.
    pub by: String,
    /// Why, in words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// The breaker of a path as stored and shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Breaker {
    /// Attempts flow.
    #[default]
    Closed,
    /// No attempts until `until`.
    Open {
        /// Since when.
        since: Timestamp,
        /// The next probe.
        until: Timestamp,
        /// Why, in words.
        reason: String,
    },
    /// One probe at a time.
    HalfOpen {
        /// Since when it first opened.
        since: Timestamp,
        /// Why, in words.
        reason: String,
    },
}

impl Breaker {
    /// The word shown.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half-open",
        }
    }
}

/// One minute (or hour) of one path, summed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Slot {
    /// Its first millisecond.
    pub at: Timestamp,
    /// Deliveries accepted.
    pub accepted: u64,
    /// Deliveries delivered.
    pub delivered: u64,
    /// Deliveries that died.
    pub dead: u64,
    /// Attempts that ended.
    pub attempts: u64,
    /// Attempts that failed, throttling apart.
    pub failed: u64,
    /// Attempts that were throttled.
    pub throttled: u64,
}

/// Quantiles of a time in milliseconds; none without data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Median.
    pub p50: Option<u64>,
    /// 95th percentile.
    pub p95: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
}

/// One path as the store knows it.
#[derive(Debug, Clone, Serialize)]
pub struct PathRow {
    /// Its number.
    pub id: PathId,
    /// Its name.
    pub name: String,
    /// It is no longer configured: its deliveries are held.
    pub removed: bool,
    /// Exact numbers.
    pub counts: Counts,
    /// When its oldest ready delivery was due; none if nothing is ready.
    pub oldest_due: Option<Timestamp>,
    /// When the oldest of those was accepted that are due first, await their retry, or wait behind another of their key.
    pub oldest_open: Option<Timestamp>,
    /// When the oldest delivery that waits behind a dead letter of its key was accepted.
    pub blocked: Option<Timestamp>,
    /// Something failed and awaits its next attempt.
    pub retrying: bool,
    /// The minute (or, over an hour ago, the hour) in which anything was last accepted on it.
    pub last_accepted: Option<Timestamp>,
    /// The minute (or hour) of its last delivery.
    pub last_delivered: Option<Timestamp>,
    /// It records and sends nothing: in shadow mode by configuration, and not live since.
    pub shadow: bool,
    /// When it went live, if it began in shadow mode.
    pub live_at: Option<Timestamp>,
    /// Since when the oldest delivery that it recorded and did not send is kept, while it is in shadow mode.
    pub shadow_since: Option<Timestamp>,
    /// Deliveries that wait for another record's id.
    pub needing: u64,
    /// Since when the one waits for it that waits longest.
    pub needing_since: Option<Timestamp>,
    /// Paused, by whom.
    pub pause: Option<Pause>,
    /// Its breaker.
    pub breaker: Breaker,
    /// The last 60 minutes, oldest first, the running minute last; minutes without traffic are zero.
    pub minutes: Vec<Slot>,
    /// The last five minutes, summed.
    pub recent: Slot,
    /// Accept-to-delivered over the last hour.
    pub latency: Quantiles,
    /// Attempt duration over the last hour.
    pub attempt_time: Quantiles,
}

impl PathRow {
    /// Failed attempts of the last five minutes in percent; none without attempts.
    pub fn failure_percent(&self) -> Option<f64> {
        let judged = self.recent.attempts.saturating_sub(self.recent.throttled);
        (judged > 0).then(|| self.recent.failed as f64 * 100.0 / judged as f64)
    }
}

/// The writer's lock, as the operating system knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lock {
    /// It could not be asked.
    #[default]
    Unknown,
    /// Nobody works the database.
    Free,
    /// A process has it.
    Held {
        /// Which, as it wrote itself; 0 if it did not.
        pid: u32,
    },
}

/// The worker as the database knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WorkerRow {
    /// How many workers have held the database.
    pub epoch: i64,
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Version of the binary.
    pub version: String,
    /// Since when.
    pub started: Timestamp,
    /// Last sign of life; a worker writes one at least every 15 s.
    pub heartbeat: Timestamp,
    /// `running`, `draining`, `stopped`.
    pub state: String,
    /// It runs as a service (`midwatch worker`).
    pub service: bool,
    /// Where its front door listens, if open.
    pub listening: Option<String>,
    /// Whether anybody works the database at all, asked when it was read.
    pub lock: Lock,
}

/// Everything the Overview needs, in one read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overview {
    /// When it was read.
    pub at: Timestamp,
    /// All paths, configured first.
    pub paths: Vec<PathRow>,
    /// Events that matched no path.
    pub unrouted: u64,
    /// Events held at the door.
    pub held_events: u64,
    /// Held and unrouted events that a person gave up, ever.
    pub discarded: u64,
    /// Those of them that came in the last quarter of an hour, counted among the newest 500.
    pub held_lately: u64,
    /// Those of them that end a chain of causes that was too long, counted likewise.
    pub looped: u64,
    /// What was noticed about the systems in the last day, the last noticed first; at most ten.
    pub notes: Vec<NoteRow>,
    /// Events accepted, ever.
    pub events: u64,
    /// The worker.
    pub worker: WorkerRow,
    /// Replay batches not yet ended, newest first.
    pub batches: Vec<BatchRow>,
    /// The last run of each reconciliation job.
    pub runs: Vec<RunRow>,
    /// Systems that send, and what their vendors say of the webhooks.
    pub senders: Vec<SenderRow>,
    /// How far polling has come.
    pub polls: Vec<PollRow>,
    /// What must still be asked for because it was missed, and the last of each system and record type that was.
    pub backfills: Vec<BackfillRow>,
    /// The newest log lines.
    pub log: Vec<LogRow>,
    /// The database came from another host and waits for `adopt-host`.
    pub foreign_host: Option<String>,
    /// What the store cannot do now, in words (disk full, I/O error, corruption).
    pub trouble: Option<String>,
    /// Secrets that the worker cannot read, in words: what needs them is refused or not sent.
    pub unreadable: Vec<String>,
    /// Fields of which a person must decide which of two values stands.
    pub reviews: u64,
    /// The incidents that are open, oldest first.
    pub incidents: Vec<Incident>,
    /// Who has taken a rota over, now or later.
    #[serde(skip)]
    pub taken: Vec<Stint>,
    /// The hash of the configuration in force; in JSON 16 hex digits.
    #[serde(serialize_with = "hash_digits")]
    pub config: i64,
}

/// 64 bits as text: many languages read a number of that size as another one.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes the field by reference"
)]
fn hash_digits<S: serde::Serializer>(hash: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}

/// The short form of a group, as screens show it.
#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn group_digits<S: serde::Serializer>(
    group: &Option<Fingerprint>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match group {
        Some(group) => serializer.collect_str(group),
        None => serializer.serialize_none(),
    }
}

/// One delivery in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// Its path.
    pub path: String,
    /// Where it stands.
    pub state: State,
    /// Event type.
    pub kind: String,
    /// Event source.
    pub source: String,
    /// Event id.
    pub event_id: String,
    /// Subject.
    pub subject: Option<String>,
    /// Order key, if its path orders.
    pub order_key: Option<String>,
    /// Raised by each replay, from 1.
    pub generation: u32,
    /// Attempts of this generation that count.
    pub charged: u32,
    /// Attempts of all generations.
    pub attempts: u32,
    /// When its event was accepted.
    pub accepted_at: Timestamp,
    /// When the next attempt is due (ready), else when it last changed.
    pub due_at: Timestamp,
    /// The last change.
    pub changed_at: Timestamp,
    /// Class of the last attempt.
    pub last_class: Option<Class>,
    /// Status of the last attempt.
    pub last_status: Option<u16>,
    /// Why it stands where it stands.
    pub reason: Option<String>,
    /// The group of its failure; in JSON the 8 hex digits that `group:` takes.
    #[serde(serialize_with = "group_digits")]
    pub fingerprint: Option<Fingerprint>,
}

/// One attempt in the Delivery screen.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptRow {
    /// Generation.
    pub generation: u32,
    /// Number within it.
    pub number: u32,
    /// Start.
    pub started_at: Timestamp,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Class.
    pub class: Class,
    /// Status.
    pub status: Option<u16>,
    /// Counted against the schedule.
    pub charged: bool,
    /// What went wrong.
    pub error: String,
    /// Method and URL.
    pub method: String,
    /// Method and URL.
    pub url: String,
    /// Idempotency key.
    pub key: String,
    /// Answer headers.
    pub answer_headers: Vec<(String, String)>,
    /// First bytes of the answer.
    #[serde(skip)]
    pub answer_body: Vec<u8>,
    /// The answer was longer.
    pub answer_truncated: bool,
    /// Hash of its configuration; in JSON 16 hex digits.
    #[serde(serialize_with = "hash_digits")]
    pub config: i64,
    /// Its requests, in order, where there were several; else empty.
    pub steps: Vec<Step>,
}

/// Everything about one delivery.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryDetail {
    /// The row.
    pub row: DeliveryRow,
    /// How the event came in.
    pub origin: String,
    /// CloudEvents `time`.
    pub event_time: Option<Timestamp>,
    /// Content type of the data.
    pub content_type: Option<String>,
    /// The event's own idempotency key.
    pub event_key: Option<String>,
    /// Schema version.
    pub schema_version: Option<String>,
    /// Extensions.
    pub extensions: Vec<(String, String)>,
    /// The original data; none once pruned.
    #[serde(skip)]
    pub data: Option<Vec<u8>>,
    /// The request rendered for this generation, if the path renders: method, URL, headers, body, key.
    #[serde(skip)]
    pub frozen: Option<crate::queue::model::Request>,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptRow>,
    /// The other deliveries of the same event.
    pub siblings: Vec<DeliveryRow>,
    /// The delivery that this one waits for (same order key).
    pub behind: Option<DeliveryId>,
    /// How many wait behind this one.
    pub blocks: u64,
    /// The record whose id it waits for.
    pub need: Option<NeedRow>,
    /// The business records that its event speaks of.
    pub about: Vec<About>,
    /// Log lines about it, oldest first.
    pub log: Vec<LogRow>,
}

/// One group of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadGroup {
    /// The path.
    pub path: String,
    /// What they share.
    pub fingerprint: Option<Fingerprint>,
    /// Class of their last attempt.
    pub class: Option<Class>,
    /// Status of their last attempt.
    pub status: Option<u16>,
    /// The newest one's reason.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// When the first died.
    pub first_seen: Timestamp,
    /// When the last died.
    pub last_seen: Timestamp,
    /// The newest.
    pub example: DeliveryId,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Info,
    /// Look when there is time.
    Warning,
    /// Look now.
    Critical,
}

/// One line of the log: an operator's action or a notable event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogRow {
    /// Its number; later is greater.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub severity: Severity,
    /// Who: an operator as recorded, or `midwatch`.
    pub actor: String,
    /// What kind: `replay`, `pause`, `breaker`, `reload`, `escalate` ...
    pub kind: String,
    /// Path concerned.
    pub path: Option<String>,
    /// Delivery concerned.
    pub delivery: Option<DeliveryId>,
    /// What happened, in words.
    pub text: String,
}

/// Where a replay batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// The first few go alone.
    Canary,
    /// The rest follow, paced.
    Running,
    /// It stopped itself because failures returned, or was stopped.
    Aborted,
    /// All items ended.
    Done,
}

/// A replay batch and its report so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchRow {
    /// Its number.
    pub id: BatchId,
    /// When it was confirmed.
    pub created: Timestamp,
    /// Who confirmed it.
    pub actor: String,
    /// The scope in words.
    pub scope: String,
    /// Where it stands.
    pub state: BatchState,
    /// Why it ended early.
    pub reason: Option<String>,
    /// Items in the frozen set.
    pub total: u64,
    /// Not yet released.
    pub pending: u64,
    /// Released, not yet ended.
    pub released: u64,
    /// Delivered.
    pub delivered: u64,
    /// Died again.
    pub died: u64,
    /// Skipped, because they had moved on meanwhile, or wait for something now.
    pub skipped: u64,
    /// Size of the canary.
    pub canary: u32,
    /// Releases per second after the canary.
    pub pace: f64,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// An event of those of one type.
#[derive(Debug, Clone)]
pub struct OfType {
    /// Its number.
    pub id: EventId,
    /// It is held now.
    pub held: bool,
    /// As it came in; none if its payload was pruned.
    pub event: Option<Event>,
}

/// An event in a list of those that came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// Its number.
    pub id: EventId,
    /// Accepted at.
    pub at: Timestamp,
    /// Source.
    pub source: String,
    /// Type.
    pub kind: String,
}
