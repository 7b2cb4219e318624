//! Everything an operator can do, as data. Console, CLI and socket submit the same actions; each leaves an audit row.

use serde::{Deserialize, Serialize};

use super::hidden::Hidden;
use crate::ids::{BatchId, DeliveryId, EventId, HeldGroupId, IncidentId, PlanId, ReviewId};
use crate::incident::Act;
use crate::queue::filter::Filter;
use crate::time::Timestamp;
use crate::watch::Rule;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Deliver again all that match (an empty filter is refused).
    Replay {
        /// Which; frozen at `Preview::high_water` when confirmed.
        filter: Filter,
        /// The first few go alone; 0: all go at the pace.
        canary: u32,
        /// Releases per second after that.
        pace: f64,
        /// Skip what is known to be applied or superseded.
        skip_risky: bool,
        /// The one delivery's record by type and key (`order 1042`), as a person typed it: nothing newer holds it back. Who
        /// may write which field is not forced.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        force: Option<String>,
    },
    /// Stop a running replay batch; what is not yet released stays as it was.
    AbortReplay {
        /// Which.
        batch: BatchId,
    },
    /// Give deliveries up.
    Cancel {
        /// Which.
        filter: Filter,
        /// Why.
        reason: String,
    },
    /// Stop attempting a path until resumed.
    Pause {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// Attempt a path again; also closes its breaker.
    Resume {
        /// Which.
        path: String,
    },
    /// Post an incident summary to the path's escalation channel, through the queue.
    Escalate {
        /// Which path.
        path: String,
        /// About which delivery, if one.
        delivery: Option<DeliveryId>,
        /// What the operator adds.
        note: String,
    },
    /// Run a reconciliation job now.
    Reconcile {
        /// Which.
        job: String,
    },
    /// Let a path in shadow mode send what comes from now on.
    GoLive {
        /// Which.
        path: String,
    },
    /// Read what two systems hold of one record type, and keep the ids and the agreed values of what matches.
    Adopt {
        /// The record type.
        kind: String,
        /// The two systems, the source first; empty: those of the paths that carry the type.
        sides: Vec<String>,
        /// Read and compare, keep nothing.
        dry_run: bool,
    },
    /// Ask a vendor to enable its webhook again.
    EnableHook {
        /// Which system.
        system: String,
    },
    /// Ask a system for what it did not tell.
    Backfill {
        /// Which system.
        system: String,
        /// From when on; none: since it is known to be complete.
        since: Option<Timestamp>,
    },
    /// Put another secret into the file that the configuration names, once it was tried.
    ReplaceSecret {
        /// Which system.
        system: String,
        /// Which of its secrets ([`super::places`]); empty where it has one only.
        which: String,
        /// The new one; empty in a preview.
        value: Hidden,
        /// Save it even if the system refuses it.
        force: bool,
    },
    /// Somebody logged in to a system that hands out tokens: keep who, and let the paths go on that it had paused.
    LoggedIn {
        /// Which system.
        system: String,
    },
    /// Ask a system whether it can be worked with: name, address, TLS, credentials, clock, budget, one lookup.
    Probe {
        /// Which system.
        system: String,
    },
    /// Apply the configuration file.
    Reload,
    /// Copy the database, online, from the writer's connection.
    Backup {
        /// Where to: must not exist yet.
        file: std::path::PathBuf,
    },
    /// Let held and unrouted events go on, as far as they pass the door by today's configuration.
    Release {
        /// Which; pinned by the newest that was previewed, and their number.
        scope: HeldScope,
    },
    /// Change the data of a held or unrouted event, and release it. The data as it came is kept.
    EditHeld {
        /// Which.
        event: EventId,
        /// What to change.
        edit: DataEdit,
    },
    /// Give held and unrouted events up.
    DiscardHeld {
        /// Which; pinned by the newest that was previewed, and their number.
        scope: HeldScope,
        /// Why.
        reason: String,
    },
    /// Decide which value of a field stands that two systems disagree about, and have it carried.
    Decide {
        /// Which.
        review: ReviewId,
        /// Whose value.
        side: Stands,
    },
    /// Cancel the run of a reconciliation job that is under way.
    CancelRun {
        /// Which.
        job: String,
    },
    /// Have the writes of a plan made, as far as they are still right. What was looked at is a ceiling.
    ApprovePlan {
        /// Which.
        plan: PlanId,
        /// What was looked at ([`crate::store::plan_digest`]).
        digest: String,
    },
    /// Turn a plan down.
    DeclinePlan {
        /// Which.
        plan: PlanId,
        /// Why.
        reason: String,
    },
    /// Take back what a plan wrote, where that is still as the plan left it.
    UndoPlan {
        /// Which.
        plan: PlanId,
    },
    /// Accept the differences of a record: they do not count again until a value changes.
    Tolerate {
        /// The reconciliation job.
        job: String,
        /// The record's key.
        key: Hidden,
        /// Why.
        reason: String,
    },
    /// Let the accepted differences of a record count again.
    Untolerate {
        /// The reconciliation job.
        job: String,
        /// The record's key.
        key: Hidden,
    },
    /// Do something with an incident.
    Incident {
        /// Which.
        incident: IncidentId,
        /// What.
        act: Act,
    },
    /// Open an incident that no rule found.
    Declare {
        /// What is wrong, in a line.
        title: String,
        /// The path that it is about, if it is one's.
        path: Option<String>,
        /// Whether somebody may be woken for it.
        critical: bool,
    },
    /// Tell nobody of something for a while.
    Silence {
        /// Only this rule; none: all.
        rule: Option<Rule>,
        /// Only this path, job or system; none: all.
        subject: Option<String>,
        /// Until then.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// End a silence.
    EndSilence {
        /// Its number.
        silence: i64,
    },
    /// Take a rota over.
    TakeRota {
        /// Which.
        rota: String,
        /// Who takes it.
        person: String,
        /// Until then.
        until: Timestamp,
    },
    /// Send a page that says it is a test, to where a policy's first level leads.
    TestPage {
        /// A policy, a channel, or a person.
        to: String,
    },
    /// Accept that this host now works the database.
    AdoptHost,
    /// Finish what is under way and stop.
    Drain,
}

/// Which of two values stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stands {
    /// The one that the source says: it is carried to the receiver.
    Ours,
    /// The one that the receiver holds: it is carried to the source, where that can be written.
    Theirs,
    /// Another one, as the field's type reads it: it is carried to both.
    Value(Hidden),
}

/// Which held or unrouted events an action concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldScope {
    /// These.
    Events(Vec<EventId>),
    /// All of a group, as `Reader::held_groups` shows it.
    Group(HeldGroupId),
    /// All of a type.
    Kind(String),
}

/// A change of an event's data. Values stay out of logs: they may be anybody's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataEdit {
    /// Places that are set or taken away, in order.
    Changes(Vec<DataChange>),
    /// Other data altogether.
    Whole(Hidden),
}

/// One place of an event's data that is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataChange {
    /// JSON Pointer.
    pub pointer: String,
    /// JSON text to put there; none: what is there is taken away.
    pub value: Option<Hidden>,
}

/// Who does it, as far as the machine can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The socket peer's user id.
    pub uid: u32,
    /// As claimed: `--as NAME`, else SUDO_USER, else USER.
    pub name: String,
    /// SSH_CONNECTION's client address.
    pub from: Option<String>,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = format!("uid {}", self.uid);
        if self.name == number {
            f.write_str(&number)?;
        } else {
            write!(f, "{} ({number})", self.name)?;
        }
        match &self.from {
            Some(from) => write!(f, " from {from}"),
            None => Ok(()),
        }
    }
}

/// An action as submitted. The id is made by the client, so that repeating the submission is safe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// 32 hex digits.
    pub id: String,
    /// What to do.
    pub action: Action,
    /// What was previewed, to be pinned; none for actions that need no preview.
    pub high_water: Option<DeliveryId>,
    /// The number of items that was previewed; the action refuses to touch more.
    pub expected: Option<u64>,
}

/// What replaying one delivery would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The receiver did not take it, or takes the same key again.
    Safe,
    /// It was delivered: a replay sends it again.
    AlreadyDelivered,
    /// A newer one of the same key was delivered since.
    Superseded,
    /// The last attempt was sent and its outcome is not known.
    Unknown,
    /// Its payload was pruned.
    Pruned,
    /// The receiver was asked, and holds it all: writing it again changes nothing.
    AlreadyApplied,
    /// Its source may write none of the fields that it brings: the attempt leaves them all out.
    NotOwner,
    /// Today's contract refuses it, or no cast of today's leads to what its path reads.
    ContractChanged,
}

/// What an action would do, before it is confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// In words; only names from the configuration, nothing from outside.
    pub scope: String,
    /// Deliveries concerned; for replays those that will go, skipped ones apart.
    pub count: u64,
    /// The oldest one's acceptance.
    pub oldest: Option<Timestamp>,
    /// How many have which verdict, for replays.
    pub verdicts: Vec<(Verdict, u64)>,
    /// The frozen set ends here.
    pub high_water: Option<DeliveryId>,
    /// What to know before saying yes, one line each (for an escalation: the message).
    pub notes: Vec<String>,
}

impl Preview {
    /// All that match, for replays also what will be skipped: the size of the set that a submission pins.
    pub fn matched(&self) -> u64 {
        if self.verdicts.is_empty() {
            self.count
        } else {
            self.verdicts.iter().map(|(_, count)| count).sum()
        }
    }
}

/// The replay's first few, where nobody says otherwise.
pub const DEFAULT_CANARY: u32 = 3;

/// A replay's releases per second, where nobody says otherwise.
pub const DEFAULT_PACE: f64 = 10.0;

/// What an action did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// In words.
    pub text: String,
    /// The batch that a replay started.
    pub batch: Option<BatchId>,
    /// The delivery that an escalation made.
    pub delivery: Option<DeliveryId>,
    /// What a probe or an adoption found, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<serde_json::Value>,
}

/// Why an action was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// What happened and what to do next.
    pub text: String,
}
