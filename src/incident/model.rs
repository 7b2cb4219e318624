//! What an incident consists of. Plain data; the store keeps it as one document.

use serde::{Deserialize, Serialize};

use crate::ids::{DeliveryId, IncidentId};
use crate::store::view::Severity;
use crate::time::Timestamp;
use crate::watch::Rule;

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Nobody has taken it.
    Firing,
    /// Somebody has.
    Acknowledged,
    /// What it does is stopped; the cause may still be there.
    Mitigated,
    /// Over.
    Resolved,
}

impl Stage {
    /// The word shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Mitigated => "mitigated",
            Self::Resolved => "resolved",
        }
    }
}

/// Who found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detected {
    /// A rule.
    Alert,
    /// A person.
    Human,
}

/// One thing that is wrong, as a rule says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The rule.
    pub rule: Rule,
    /// Its path, job or system.
    pub subject: String,
    /// How much it matters now.
    pub severity: Severity,
    /// In words; safe to show.
    pub words: String,
    /// Since when.
    pub since: Timestamp,
    /// Since when it is not so any more; it may come back.
    pub calm: Option<Timestamp>,
}

/// Somebody has taken it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// It holds until then, unless it is renewed by what is done.
    pub until: Timestamp,
}

/// Somebody hands it to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Who does.
    pub by: String,
    /// To whom.
    pub to: String,
    /// What the other should know.
    pub summary: String,
    /// When.
    pub at: Timestamp,
}

/// How far one level of a policy has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which level, from 0.
    pub level: usize,
    /// How often it was told.
    pub times: u32,
    /// When last.
    pub last: Timestamp,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number; 0 until it is kept.
    pub id: IncidentId,
    /// Raised by each change: who changes it must have seen the last one.
    #[serde(default)]
    pub revision: u64,
    /// What its signals have in common (`system:crm`, `job:money`).
    pub cause: String,
    /// In a line; safe to show.
    pub title: String,
    /// How much it matters now.
    pub severity: Severity,
    /// The worst that it was.
    pub worst: Severity,
    /// Where it stands.
    pub stage: Stage,
    /// When it began.
    pub opened: Timestamp,
    /// What is wrong, the worst first.
    pub signals: Vec<Signal>,
    /// Since when nothing of it is wrong.
    pub calm: Option<Timestamp>,
    /// Who has taken it first, for the time that it took.
    pub first_ack: Option<Timestamp>,
    /// Who has it.
    pub ack: Option<Ack>,
    /// It is quiet until then.
    pub snoozed: Option<Timestamp>,
    /// When it was mitigated.
    pub mitigated: Option<Timestamp>,
    /// When it was over.
    pub resolved: Option<Timestamp>,
    /// How often it came back within half an hour.
    #[serde(default)]
    pub reopened: u32,
    /// Who found it.
    pub detected: Detected,
    /// Its runbook: the configured file, or the name of a shipped one.
    pub runbook: Option<String>,
    /// Whom it is told to: a policy or a channel.
    pub policy: Option<String>,
    /// The path that it is mostly about.
    pub path: Option<String>,
    /// Where the levels are counted from: its beginning, or when it last became worse.
    pub clock: Timestamp,
    /// What was told.
    #[serde(default)]
    pub told: Vec<Told>,
    /// It is being handed over.
    pub offer: Option<Offer>,
    /// What changed shortly before it began, the last first; safe to show.
    #[serde(default)]
    pub changed: Vec<String>,
}

impl Incident {
    /// It is not over.
    pub fn is_open(&self) -> bool {
        self.stage != Stage::Resolved
    }

    /// Somebody has it at `now`.
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.ack.as_ref().is_some_and(|ack| ack.until > now)
    }

    /// It is told to nobody at `now`.
    pub fn is_snoozed(&self, now: Timestamp) -> bool {
        self.snoozed.is_some_and(|until| until > now)
    }
}

/// One line of an incident's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentLine {
    /// When.
    pub at: Timestamp,
    /// Who; empty for midwatch itself.
    pub actor: String,
    /// What kind: `opened`, `worse`, `page`, `ack`, `step`, `note` ...
    pub kind: String,
    /// What happened; safe to show.
    pub text: String,
}

/// Where a step of a runbook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It was done.
    Done,
    /// It was passed over.
    Skipped,
}

/// One step of a runbook that was walked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// The runbook's name.
    pub runbook: String,
    /// Which step, from 0.
    pub step: u64,
    /// Where it stands.
    pub state: StepState,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// What was seen.
    pub note: String,
}

/// Where a page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PageState {
    /// On its way.
    Sending,
    /// It arrived at the channel.
    Arrived,
    /// It was given up.
    Failed,
}

/// One page about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRow {
    /// Its number.
    pub id: i64,
    /// The incident.
    pub incident: IncidentId,
    /// `firing`, `resolved`, `acknowledged`.
    pub occasion: String,
    /// The level that told it.
    pub level: usize,
    /// To whom.
    pub who: String,
    /// Over which channel.
    pub channel: String,
    /// When it was told.
    pub at: Timestamp,
    /// The page that it stands in for, because that had not arrived.
    pub instead_of: Option<i64>,
    /// Its delivery.
    pub delivery: DeliveryId,
    /// Where it stands.
    pub state: PageState,
    /// Attempts so far.
    pub attempts: u32,
    /// When it arrived or was given up.
    pub ended: Option<Timestamp>,
    /// Why it has not arrived.
    pub why: Option<String>,
}

/// What a person does not want to be told of for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number; 0 until it is kept.
    pub id: i64,
    /// Only this rule; none: all.
    pub rule: Option<Rule>,
    /// Only this path, job or system; none: all.
    pub subject: Option<String>,
    /// From when on.
    pub at: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Silence {
    /// Whether it covers a signal at `now`.
    pub fn covers(&self, rule: Rule, subject: &str, now: Timestamp) -> bool {
        self.at <= now
            && now < self.until
            && self.rule.is_none_or(|one| one == rule)
            && (self.subject.as_deref()).is_none_or(|one| one == subject)
    }
}
