//! Events without a delivery, as readers get them: held at the door with what they have against their contract, or
//! matching no path.

use serde::Serialize;

use crate::event::Event;
use crate::event::contract::Fault;
use crate::ids::{EventId, HeldGroupId};
use crate::record::ledger::About;
use crate::time::Timestamp;

/// What became of an event at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// It was fanned out to its paths.
    Accepted,
    /// Kept whole, given to nobody, until a person decides.
    Held,
    /// Kept whole; no path wanted it.
    Unrouted,
    /// Held or unrouted once; a person gave it up, with a reason.
    Discarded,
}

impl Admission {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Held => "held",
            Self::Unrouted => "unrouted",
            Self::Discarded => "discarded",
        }
    }
}

/// Held or unrouted events of one type and source that have the same trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldGroup {
    /// Its number: the same as long as any of it is held.
    pub id: HeldGroupId,
    /// Held or unrouted.
    pub admission: Admission,
    /// What is wrong with them (`order.updated 2: /total type`).
    pub text: String,
    /// Event type.
    pub kind: String,
    /// Event source.
    pub source: String,
    /// How many.
    pub count: u64,
    /// When the first of them came.
    pub oldest: Timestamp,
    /// When the last of them came.
    pub newest: Timestamp,
    /// The last of them.
    pub example: EventId,
}

/// A held or unrouted event in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldRow {
    /// Its number.
    pub id: EventId,
    /// When it came.
    pub at: Timestamp,
    /// Source.
    pub source: String,
    /// Event id.
    pub event_id: String,
    /// Type.
    pub kind: String,
    /// Subject.
    pub subject: Option<String>,
    /// Held or unrouted (or, when asked for by number, what became of it).
    pub admission: Admission,
    /// Why.
    pub reason: String,
    /// The group that it belongs to.
    pub group: HeldGroupId,
    /// What is wrong with all of the group.
    pub text: String,
    /// How often it was edited since it came.
    pub edits: u32,
}

/// Data that an edit replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldEdit {
    /// When it was replaced.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// The bytes as they were before. The first edit's are those that came in.
    #[serde(skip)]
    pub data: Vec<u8>,
}

/// Everything about one held or unrouted event.
#[derive(Debug, Clone, Serialize)]
pub struct HeldDetail {
    /// The row.
    pub row: HeldRow,
    /// The event as it is now; none once pruned.
    #[serde(skip)]
    pub event: Option<Event>,
    /// All that it has against its contract; empty where it is held for something else.
    pub faults: Vec<Fault>,
    /// What edits replaced, oldest first.
    pub edits: Vec<HeldEdit>,
    /// The business records that it speaks of.
    pub about: Vec<About>,
}
