//! Reconciliation as screens and commands see it: runs, differences, plans.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Severity;
use crate::config::model::RepairMode;
use crate::ids::{BackfillId, EventId, PlanId, RunId};
use crate::time::Timestamp;

/// One execution of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RunRow {
    /// Its number.
    pub id: RunId,
    /// The job.
    pub job: String,
    /// Start.
    pub started: Timestamp,
    /// End; none while it runs.
    pub ended: Option<Timestamp>,
    /// Why it ran: `schedule`, `asked`, `outage`, `silence`, `again` (the last one compared nothing).
    pub why: String,
    /// What it is doing: `listing`, `comparing`, `confirming`, `planning`; none once it ended.
    pub phase: Option<String>,
    /// Records on each side.
    pub counts: [u64; 2],
    /// Keys compared (on both sides, outside grace).
    pub compared: u64,
    /// On the first side only.
    pub only_first: u64,
    /// On the second side only.
    pub only_second: u64,
    /// On both sides, with a differing field, or more than once on one.
    pub differing: u64,
    /// Skipped: in grace.
    pub skipped: u64,
    /// Skipped: a delivery about it is under way.
    pub in_flight: u64,
    /// Differences that a second read did not find any more.
    pub vanished: u64,
    /// Differences / (compared + one-sided), 0 to 1; none if nothing could be compared.
    pub drift: Option<f64>,
    /// Money that differs, by ISO 4217 code: decimal text, the sum without signs.
    pub money: BTreeMap<String, String>,
    /// Where it stands against the job's thresholds (`info`: below both); none if nothing could be compared.
    pub level: Option<Severity>,
    /// Both listings were whole.
    pub complete: bool,
    /// What became of its differences: the job's mode then, or less where `note` says why.
    pub mode: RepairMode,
    /// A hash of what records are matched and read by; in JSON 16 hex digits.
    #[serde(serialize_with = "super::hash_digits")]
    pub rules: i64,
    /// What went wrong.
    pub error: Option<String>,
    /// What to know of it.
    pub note: Option<String>,
    /// The plan that was made of it.
    pub plan: Option<PlanId>,
}

/// How far the listing of one side has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SideRow {
    /// The run.
    pub run: RunId,
    /// 0 or 1.
    pub side: u8,
    /// The system.
    pub system: String,
    /// The record type.
    pub kind: String,
    /// Only what changed since then is listed; none: everything.
    pub since: Option<Timestamp>,
    /// Records so far.
    pub seen: u64,
    /// Records of the last whole listing, for what is still to come; none: not known.
    pub expected: Option<u64>,
    /// Where the listing goes on after a crash.
    pub next: Option<String>,
    /// Bytes of the kept listing that hold these records.
    pub bytes: u64,
    /// It came to its end.
    pub done: bool,
    /// When this was kept.
    pub at: Timestamp,
}

/// What kind of mismatch.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// Missing on the second side.
    OnlyFirst,
    /// Missing on the first side.
    OnlySecond,
    /// A field differs.
    #[default]
    Field,
    /// A key occurs more than once on a side.
    Duplicate,
    /// Paid, and the order was cancelled.
    PaidCancelled,
    /// Paid, and the order does not know it beyond the grace.
    PaidPending,
    /// A payment whose order is not there.
    Orphan,
    /// An order that says that it is paid, without a payment.
    Unpaid,
    /// What was paid is not what the order costs.
    Amount,
    /// More is dead than should be.
    Dead,
    /// More is due than should be.
    Due,
    /// Something has been dead for longer than it should.
    OldestDead,
    /// Fewer replays succeed than should.
    Replayed,
}

impl DifferenceKind {
    /// Every kind with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("only-first", Self::OnlyFirst),
        ("only-second", Self::OnlySecond),
        ("field", Self::Field),
        ("duplicate", Self::Duplicate),
        ("paid-cancelled", Self::PaidCancelled),
        ("paid-pending", Self::PaidPending),
        ("orphan", Self::Orphan),
        ("unpaid", Self::Unpaid),
        ("amount", Self::Amount),
        ("dead", Self::Dead),
        ("due", Self::Due),
        ("oldest-dead", Self::OldestDead),
        ("replayed", Self::Replayed),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(word, _)| word)
    }
}

/// Who changed a field since both sides were last seen to agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changed {
    /// The first side.
    First,
    /// The second side.
    Second,
    /// Both: a conflict.
    Both,
}

/// What is to be done about a difference, least first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// It is told; midwatch could not mend it.
    #[default]
    Told,
    /// A repair can mend it: the rule says which value stands.
    Repairable,
    /// A person decides.
    Review,
    /// A person decides, now: money is at stake. Never automatic.
    Critical,
}

impl Grade {
    /// Every grade with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("told", Self::Told),
        ("repairable", Self::Repairable),
        ("review", Self::Review),
        ("critical", Self::Critical),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, grade)| *grade == self)
            .map_or("", |(word, _)| word)
    }
}

/// One mismatch of a run. Values are as the ledger keeps them: canonical texts, or keyed hashes where sensitive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DifferenceRow {
    /// The record's key.
    pub key: String,
    /// The systems' own ids of it.
    pub ids: [Option<String>; 2],
    /// What kind.
    pub kind: DifferenceKind,
    /// The field, if one differs.
    pub field: Option<String>,
    /// The first side's value.
    pub first: Option<String>,
    /// The second side's value.
    pub second: Option<String>,
    /// What both sides were last seen to agree on.
    pub base: Option<String>,
    /// Who changed it since.
    pub changed: Option<Changed>,
    /// A second read found it too.
    pub confirmed: bool,
    /// What is to be done about it.
    pub grade: Grade,
    /// Why; the rule that allows a repair, or what stands against one. Names from the configuration only.
    pub note: Option<String>,
}

/// What becomes of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanState {
    /// It waits for somebody's approval.
    #[default]
    Proposed,
    /// It is approved: its writes are being judged again and handed to the queue.
    Applying,
    /// All its writes were handed over, or refused.
    Applied,
    /// Its time went by.
    Expired,
    /// A newer run of the job took its place.
    Replaced,
    /// A person turned it down.
    Declined,
    /// The rails stopped it.
    Stopped,
}

impl PlanState {
    /// Every state with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("proposed", Self::Proposed),
        ("applying", Self::Applying),
        ("applied", Self::Applied),
        ("expired", Self::Expired),
        ("replaced", Self::Replaced),
        ("declined", Self::Declined),
        ("stopped", Self::Stopped),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, state)| *state == self)
            .map_or("", |(word, _)| word)
    }
}

/// What a run would write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlanRow {
    /// Its number.
    pub id: PlanId,
    /// The run that it was made of.
    pub run: RunId,
    /// The job.
    pub job: String,
    /// When it was made.
    pub at: Timestamp,
    /// Until when it can be approved.
    pub expires: Timestamp,
    /// Where it stands.
    pub state: PlanState,
    /// The plan whose writes this one takes back.
    pub undoes: Option<PlanId>,
    /// The plan that takes this one back.
    pub undone: Option<PlanId>,
    /// Who approved or declined it, and when.
    pub decided: Option<(Timestamp, String)>,
    /// When the last of its writes was handed over or refused.
    pub ended: Option<Timestamp>,
    /// What to know of it: why the rails stopped it, what they left for the next run.
    pub note: Option<String>,
    /// Writes by state: planned, sent, delivered, refused, failed.
    pub writes: [u64; 5],
}

/// What one write does.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum WriteVerb {
    /// A field of a record that is there gets another value.
    #[default]
    Update,
    /// A record is made, by the path that carries its type there.
    Create,
    /// A record is removed.
    Delete,
}

impl WriteVerb {
    /// Every verb with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("update", Self::Update),
        ("create", Self::Create),
        ("delete", Self::Delete),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, verb)| *verb == self)
            .map_or("", |(word, _)| word)
    }
}

/// Where one write stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteState {
    /// Not yet.
    #[default]
    Planned,
    /// Its repair is in the queue.
    Sent,
    /// The system took it.
    Delivered,
    /// Judged again it was not right any more: `reason` says why.
    Refused,
    /// Its repair died, or was given up.
    Failed,
}

impl WriteState {
    /// Every state with its word, in the order of [`PlanRow::writes`].
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("planned", Self::Planned),
        ("sent", Self::Sent),
        ("delivered", Self::Delivered),
        ("refused", Self::Refused),
        ("failed", Self::Failed),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, state)| *state == self)
            .map_or("", |(word, _)| word)
    }
}

/// One write of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlanWrite {
    /// Its place in the plan, from 0.
    pub n: u64,
    /// The record's business key.
    pub key: String,
    /// The record type there.
    pub kind: String,
    /// The system that is written.
    pub system: String,
    /// The system's own id of it, where it is known.
    pub id: Option<String>,
    /// What it does.
    pub verb: WriteVerb,
    /// The field; none: the whole record.
    pub field: Option<String>,
    /// What is there, as the ledger keeps values; none: nothing.
    pub from: Option<String>,
    /// What will be there; none: nothing.
    pub to: Option<String>,
    /// The rule that allows it, in words: names from the configuration only.
    pub rule: String,
    /// Values are keyed hashes.
    pub sensitive: bool,
    /// Where it stands.
    pub state: WriteState,
    /// Why it was refused, or failed.
    pub reason: Option<String>,
    /// The repair that carries it.
    pub event: Option<EventId>,
}

/// How the work of one path stands, for the jobs that watch queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Dead deliveries.
    pub dead: u64,
    /// Deliveries that are due and not yet attempted.
    pub due: u64,
    /// When the first of the dead ones died; none without any.
    pub oldest_dead: Option<Timestamp>,
    /// Replayed deliveries that were delivered.
    pub replayed: u64,
    /// Replayed deliveries that died again.
    pub died_again: u64,
}

/// A difference that a person accepted: it counts again when a value changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ToleratedRow {
    /// What it is known by ([`crate::store::tolerance`]).
    #[serde(skip)]
    pub hash: [u8; 16],
    /// The record's key.
    pub key: String,
    /// Since when.
    pub at: Timestamp,
    /// Who accepted it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A listing that brought what was missed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackfillRow {
    /// Its number.
    pub id: BackfillId,
    /// The system.
    pub system: String,
    /// The record type that was listed.
    pub kind: String,
    /// Why: `asked`, `downtime`, `silence`, `disabled`.
    pub why: String,
    /// From when on.
    pub since: Timestamp,
    /// Start.
    pub started: Timestamp,
    /// End; none while it runs.
    pub ended: Option<Timestamp>,
    /// Listed.
    pub seen: u64,
    /// New to us.
    pub new: u64,
    /// What went wrong.
    pub error: Option<String>,
}
