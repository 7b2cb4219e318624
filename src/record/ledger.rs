//! What is known of each business record, in which system: the words between the policies and the store. Types only.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::value::{Value, Version};
use crate::ids::DeliveryId;
use crate::time::Timestamp;

/// A business record, by type and business key.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct About {
    /// Record type (`order`).
    pub kind: String,
    /// Business key (`1042`).
    pub key: String,
}

/// What is known of a record in one system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The id that the system gave it.
    pub id: Option<String>,
    /// The version that was last written there.
    pub version: Option<Version>,
    /// It was there before midwatch was: seeded by `adopt`.
    pub adopted: bool,
    /// Fields by name.
    pub fields: BTreeMap<String, KnownField>,
    /// Records it was joined to there: (type, id).
    pub joined: BTreeSet<(String, String)>,
}

/// What is known of one field in one system. Values are canonical texts, or a keyed hash (`#` and 16 hex digits) where the field is sensitive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownField {
    /// What was last written, and when.
    pub sent: Option<(String, Timestamp)>,
    /// What was last seen equal on both sides, and when.
    pub agreed: Option<(String, Timestamp)>,
    /// What the system itself was last seen to hold, by its event or an answer of its, and when.
    pub seen: Option<(String, Timestamp)>,
}

/// Something that was learnt about a record in a system, to be kept in one commit. Whatever waited for its id becomes ready.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// The system.
    pub system: String,
    /// Which record.
    pub about: About,
    /// Other business keys that mean the same record (an address that changed).
    pub aliases: Vec<String>,
    /// The id that the system gave it.
    pub id: Option<String>,
    /// The version that was written.
    pub version: Option<Version>,
    /// It was found there by `adopt`.
    pub adopted: bool,
    /// Written with success: (field, value, sensitive).
    pub sent: Vec<(String, Value, bool)>,
    /// Read equal on both sides: (field, value, sensitive).
    pub agreed: Vec<(String, Value, bool)>,
    /// What the system itself says it holds, by its event or an answer of its: (field, value, sensitive).
    pub seen: Vec<(String, Value, bool)>,
    /// Joined to: (type, id).
    pub joined: Vec<(String, String)>,
    /// What a person must decide before it is written there.
    pub disputes: Vec<Dispute>,
    /// The system that what was sent or agreed comes from, where its disputes end with that; none: they are not asked for.
    pub source: Option<String>,
    /// A line for the record's story; none if it is not worth one.
    pub story: Option<String>,
    /// The delivery that did it.
    pub delivery: Option<DeliveryId>,
}

/// Two values of one field, of which a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The field.
    pub field: String,
    /// The system that the value to be written comes from.
    pub source: String,
    /// Its values are masked on screens, and kept only as keyed hashes once it is decided.
    pub sensitive: bool,
    /// What the source says, and when it was changed there, where that is known.
    pub ours: (Value, Option<Timestamp>),
    /// What the receiving system holds, and when it was changed there, where that is known; none if it has none.
    pub theirs: Option<(Value, Option<Timestamp>)>,
    /// What both had before, as the ledger keeps it.
    pub base: Option<String>,
    /// Why no rule decides.
    pub reason: String,
}
