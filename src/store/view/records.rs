//! What readers get of records, of what waits for them, and of those who send.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::ids::{DeliveryId, EventId};
use crate::record::ledger::{About, KnownField};
use crate::record::value::Version;
use crate::time::Timestamp;

/// Everything that is known of one business record.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// Its type and first key.
    pub about: About,
    /// Every key that means it, its first one too, oldest first.
    pub keys: Vec<String>,
    /// When it was first heard of.
    pub since: Timestamp,
    /// What each system holds, by the system's name.
    pub holdings: BTreeMap<String, HoldingRow>,
    /// Deliveries that wait for its id, oldest first.
    pub waiting: Vec<NeedRow>,
    /// What happened to it, oldest first: at most as many lines as were asked for, the newest.
    pub lines: Vec<StoryLine>,
    /// Lines older than those.
    pub older: u64,
}

/// What one system holds of a record, as far as is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HoldingRow {
    /// The id that the system gave it.
    pub id: Option<String>,
    /// The version that was last written there.
    pub version: Option<Version>,
    /// It was there before midwatch was.
    pub adopted: bool,
    /// The last change of what is known.
    pub changed: Timestamp,
    /// Fields by name; values are canonical texts, or keyed hashes where sensitive.
    pub fields: BTreeMap<String, KnownField>,
    /// Records it was joined to there: (type, id).
    pub joined: BTreeSet<(String, String)>,
}

/// One thing that happened to a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoryLine {
    /// When.
    pub at: Timestamp,
    /// The event that it belongs to; it may have been pruned.
    pub event: Option<EventId>,
    /// The delivery that it belongs to; it may have been pruned.
    pub delivery: Option<DeliveryId>,
    /// The path, by name.
    pub path: Option<String>,
    /// What happened, in words. Parts of it come from outside: make it `Visible` before it is shown.
    pub text: String,
}

/// One record in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordRow {
    /// Its type and first key.
    pub about: About,
    /// When something last happened to it, to the hour.
    pub changed: Timestamp,
    /// Its ids, by system.
    pub ids: BTreeMap<String, String>,
}

/// A delivery that waits for a record's id in a system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeedRow {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its path.
    pub path: String,
    /// The system whose id is needed.
    pub system: String,
    /// The record's type.
    pub kind: String,
    /// The record's business key.
    pub key: String,
    /// Since when it waits.
    pub since: Timestamp,
    /// After this it is held for review.
    pub until: Timestamp,
    /// Why, in words.
    pub reason: Option<String>,
}

/// What a path in shadow mode would have sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shadowed {
    /// How many deliveries.
    pub count: u64,
    /// When the oldest of them was recorded.
    pub oldest: Option<Timestamp>,
    /// When the newest of them was recorded.
    pub newest: Option<Timestamp>,
    /// What they would have done, in words, with how many; most first, at most twenty.
    pub would: Vec<(String, u64)>,
}

/// A system that sends, and what its vendor says of the webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SenderRow {
    /// The system.
    pub system: String,
    /// The minute of its last call.
    pub called: Option<Timestamp>,
    /// When the vendor was last asked.
    pub checked: Option<Timestamp>,
    /// What it said: `enabled`, `missing`, `elsewhere`, or the vendor's own word for one that does not call.
    pub state: Option<String>,
    /// The address that the webhook calls.
    pub address: Option<String>,
    /// The vendor's id of the webhook.
    pub hook: Option<String>,
    /// Why the vendor could not be asked; what it said before that is kept.
    pub error: Option<String>,
}

impl SenderRow {
    /// The state where all its webhooks with our address call.
    pub const ENABLED: &str = "enabled";
    /// The state where no webhook has our address.
    pub const MISSING: &str = "missing";
    /// The state where one has our path on another host: an old name, another proxy.
    pub const ELSEWHERE: &str = "elsewhere";
}

/// How far the polling of a record type has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PollRow {
    /// The system.
    pub system: String,
    /// The record type.
    pub kind: String,
    /// Everything that changed before this was taken in.
    pub mark: Timestamp,
    /// When the last run began.
    pub run: Timestamp,
    /// Records that the last run was given.
    pub seen: u64,
    /// Why the last run failed.
    pub error: Option<String>,
}

/// How far the adoption of one side has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AdoptionRow {
    /// The record type.
    pub kind: String,
    /// The system.
    pub system: String,
    /// When it was begun.
    pub started: Timestamp,
    /// Where its listing goes on; none at the beginning and at the end.
    pub next: Option<String>,
    /// Records kept so far, by different keys.
    pub seen: u64,
    /// When the last page was kept: the listing is whole.
    pub listed: Option<Timestamp>,
}

/// What a part of two listings showed when they were matched by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Matched {
    /// Where to go on; none when all keys were looked at.
    pub next: Option<String>,
    /// Keys on both sides, once each.
    pub matched: u64,
    /// Fields that are equal on both.
    pub agreed: u64,
    /// Fields that are on both and differ.
    pub differing: Vec<AdoptDifference>,
    /// Keys on the first side only, each with that system's id; blank where it has none.
    pub only_first: Vec<(String, String)>,
    /// Keys on the second side only, likewise.
    pub only_second: Vec<(String, String)>,
    /// Keys that two records of one side carry, with the id of the last: nobody can say which is meant.
    pub twice: Vec<(String, String)>,
}

/// A field that differs between two systems. Values are canonical texts, or keyed hashes where sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdoptDifference {
    /// The record's key.
    pub key: String,
    /// The first system's id of it; blank where it has none.
    pub id: String,
    /// The field.
    pub field: String,
    /// The first side's value and the second's.
    pub values: [String; 2],
}
