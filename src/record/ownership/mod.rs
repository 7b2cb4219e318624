//! Who may write which field: entities as the configuration declares them, and in this folder's files the rules over them:
//! who may write (`permit`), which value stands (`decide`), what is only an echo (`echo`), and the whole as a
//! table (`matrix`). Pure. Called by routing, the
//! dispatcher, previews, `ownership` and the console's screens.

use std::collections::BTreeMap;
use std::time::Duration;

use super::map::Clean;
use crate::config::model::Compare;

mod decide;
mod echo;
mod matrix;
mod permit;
mod same;

pub use decide::{Case, Decision, Side, Why, base, decide, is_blank};
pub use echo::{is_echo, latest};
pub use matrix::{Row, matrix, row_of};
pub use permit::{
    LeftOut, Permission, Reason, Role, Stripped, fallback, may_write, needs_theirs, strip,
};
pub use same::is_same;

/// `[entities.NAME]`: a record type that systems share, and the system of record of each of its fields.
///
/// A declared entity denies by default: a field that it does not name is written by nobody, unless `fields."*"` names
/// an owner of the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entity {
    /// Its name: the record type (`order`).
    pub name: String,
    /// How records of two systems are recognised as the same, in order; more than one hit goes to review.
    pub matches: Vec<MatchRule>,
    /// Its fields by name.
    pub fields: BTreeMap<String, OwnedField>,
    /// The rule of every field that is not named (`fields."*"`).
    pub rest: Option<OwnedField>,
}

/// A rule that recognises a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRule {
    /// The field; none: the business key.
    pub field: Option<String>,
    /// Applied to its value before it is compared (`email|trim|lower`).
    pub clean: Vec<Clean>,
}

/// Who may write one field, and what happens when two say different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedField {
    /// The system of record.
    pub owner: String,
    /// Others that may write it; the owner always may.
    pub writers: Vec<Writer>,
    /// Which value stands.
    pub policy: Policy,
    /// The values of a `monotonic` field, lowest first; empty: the source's version orders them.
    pub order: Vec<String>,
    /// The least time between two changes of a `newest` field that makes one of them newer; less is a tie.
    pub gap: Duration,
    /// How two values are compared; none: as the record map's type says.
    pub compare: Option<Compare>,
    /// Kept in the ledger only as a keyed hash, masked on screens.
    pub sensitive: bool,
    /// What becomes of another writer's value while the owner is down; none: it is written.
    pub when_owner_down: Option<WhenDown>,
}

/// A system that may write a field it does not own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The system.
    pub system: String,
    /// Only when the record is made (`shop:create_only`).
    pub create_only: bool,
}

/// Which of two values stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The owner's.
    #[default]
    Owner,
    /// The owner's, unless it is blank.
    OwnerUnlessBlank,
    /// The one that is further on; it never goes back.
    Monotonic,
    /// The one that was changed last.
    Newest,
    /// A person decides.
    Manual,
}

impl Policy {
    /// Every policy with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("owner", Self::Owner),
        ("owner_unless_blank", Self::OwnerUnlessBlank),
        ("monotonic", Self::Monotonic),
        ("newest", Self::Newest),
        ("manual", Self::Manual),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, policy)| *policy == self)
            .map_or("", |(word, _)| word)
    }
}

/// What becomes of another writer's value while the owner is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenDown {
    /// It waits until the owner is back, uncharged.
    Queue,
    /// It is held until a person releases it.
    Hold,
    /// It is refused.
    Reject,
}

impl WhenDown {
    /// Every fallback with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("queue", Self::Queue),
        ("hold", Self::Hold),
        ("reject", Self::Reject),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, fallback)| *fallback == self)
            .map_or("", |(word, _)| word)
    }
}

impl Entity {
    /// The rule of a field: its own, else that of the rest; none: nobody may write it.
    pub fn field(&self, name: &str) -> Option<&OwnedField> {
        self.fields.get(name).or(self.rest.as_ref())
    }
}

#[cfg(test)]
mod tests;
