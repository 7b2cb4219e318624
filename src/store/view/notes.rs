//! What readers get of notes: what changed at the systems, seen in passing.

use serde::{Deserialize, Serialize};

use super::Severity;
use crate::ids::DeliveryId;
use crate::time::Timestamp;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// An answer has a field that none of many before had.
    AnswerNewField,
    /// An answer lacks a field that all of many before had.
    AnswerMissingField,
    /// A field of an answer has another JSON type than before.
    AnswerType,
    /// A system speaks another version of its API than before.
    ApiVersion,
    /// What is called will be, or is, deprecated (RFC 9745).
    Deprecation,
    /// What is called will cease to answer (RFC 8594).
    Sunset,
    /// Fields were left out that their source may not write.
    Stripped,
}

impl NoteKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::AnswerNewField,
        Self::AnswerMissingField,
        Self::AnswerType,
        Self::ApiVersion,
        Self::Deprecation,
        Self::Sunset,
        Self::Stripped,
    ];

    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::AnswerNewField => "answer-new-field",
            Self::AnswerMissingField => "answer-missing-field",
            Self::AnswerType => "answer-type",
            Self::ApiVersion => "api-version",
            Self::Deprecation => "deprecation",
            Self::Sunset => "sunset",
            Self::Stripped => "stripped",
        }
    }

    /// The kind of a stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// How much it matters: what only grows, or is by design, informs; what may break an integration warns.
    pub fn severity(self) -> Severity {
        match self {
            Self::AnswerNewField | Self::Stripped => Severity::Info,
            _ => Severity::Warning,
        }
    }
}

impl std::fmt::Display for NoteKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// One thing that was noticed, as often as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoteRow {
    /// The path on which, if it was on one.
    pub path: Option<String>,
    /// The system that it is about.
    pub system: String,
    /// What it is about.
    pub kind: NoteKind,
    /// What exactly: a field, a header, a version. Comes from outside.
    pub what: String,
    /// In words, as of the last time. Parts of it come from outside.
    pub text: String,
    /// When it was first noticed.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
    /// The last delivery on which it was noticed; it may have been pruned.
    pub delivery: Option<DeliveryId>,
}

/// What is remembered of one field in the answers to one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeRow {
    /// Where, as a JSON pointer, with `*` for any item.
    pub pointer: String,
    /// Its JSON types.
    pub kind: String,
    /// How many answers had it.
    pub seen: u64,
    /// How many could have had it since it was first seen.
    pub total: u64,
}

/// Which notes are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoteFilter {
    /// Of this path only.
    pub path: Option<String>,
    /// Of this system only.
    pub system: Option<String>,
    /// Noticed last at this time or later.
    pub since: Timestamp,
}
