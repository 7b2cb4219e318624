//! What readers get of the fields that a person decides about.

use serde::Serialize;

use crate::ids::{DeliveryId, EventId, ReviewId};
use crate::record::ledger::About;
use crate::time::Timestamp;

/// One field of one record of which two systems say different things, and no rule decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewRow {
    /// Which.
    pub id: ReviewId,
    /// When it was opened.
    pub at: Timestamp,
    /// The record, by its first key.
    pub about: About,
    /// The field.
    pub field: String,
    /// The system that the value to be written comes from: the side `ours`.
    pub source: String,
    /// The system that it would be written to: the side `theirs`.
    pub receiver: String,
    /// The values are masked wherever they are shown.
    pub sensitive: bool,
    /// What the source says, as canonical text. Of a sensitive field a keyed hash, once it is decided. From outside: make it
    /// `Visible`, and mask it where it is sensitive, before it is shown.
    pub ours: Option<String>,
    /// When it was changed there, where that is known.
    pub ours_at: Option<Timestamp>,
    /// What the receiver holds, likewise; none if it has none.
    pub theirs: Option<String>,
    /// When it was changed there, where that is known.
    pub theirs_at: Option<Timestamp>,
    /// What both had before, as the ledger keeps it; none where that is not known.
    pub base: Option<String>,
    /// Why no rule decides, in words.
    pub reason: String,
    /// The newest delivery that brought the source's value; it may have been pruned.
    pub delivery: Option<DeliveryId>,
    /// Its path, by name.
    pub path: Option<String>,
    /// How it ended; none while it is open.
    pub decided: Option<DecidedRow>,
}

/// How a review ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecidedRow {
    /// When.
    pub at: Timestamp,
    /// What was decided: `ours`, `theirs`, `value`, or `overtaken` where the two came to agree by themselves.
    pub decision: String,
    /// The value that stands, as canonical text, or as a keyed hash where it is sensitive.
    pub value: Option<String>,
    /// Who decided.
    pub actor: String,
    /// The event that carries the decision to the systems, if one was needed; it may have been pruned.
    pub repair: Option<EventId>,
}

impl ReviewRow {
    /// A value as it may be shown where it is sensitive: enough to tell two apart, not enough to read one. Not yet
    /// `Visible`.
    pub fn masked(&self, value: &str) -> String {
        if !self.sensitive {
            return value.to_owned();
        }
        let plain = value.trim_matches('"');
        if plain.is_empty() || plain == "null" || plain.starts_with('#') {
            return value.to_owned();
        }
        let first: String = plain.chars().take(1).collect();
        format!("{first}… ({} characters)", plain.chars().count())
    }
}
