//! Contracts of event types: JSON Schemas by version, compiled once, and what an event has against them.
//! Pure: whoever reads the files is `config`. Called by the front door, by releases of held events, by casts, by
//! `contracts` and by previews of replays.

mod cast;
pub mod compat;
mod data;
mod history;
mod schema;
#[cfg(test)]
pub(crate) mod testing;
mod version;

use std::path::PathBuf;
use std::sync::Arc;

pub use cast::{Unreadable, readable};
pub use data::{NOT_JSON, read};
pub use history::Pair;
pub(crate) use schema::shortened;
pub use schema::{Fault, Schema, SchemaError};
pub use version::{Refusal, verify};

/// `[contracts."TYPE"]`: what events of one type must look like, by version.
#[derive(Debug, Clone)]
pub struct Contract {
    /// The event type, exact.
    pub kind: String,
    /// Its versions, oldest first; never empty.
    pub versions: Vec<ContractVersion>,
    /// What a newer version may change.
    pub mode: Mode,
    /// A newer version may add and remove optional properties of open objects, as Confluent's policy `LENIENT` lets it.
    pub lenient: bool,
    /// Index of the version that an event is held to which names none.
    pub assumed: usize,
    /// How an event of one version is made into one of another.
    pub casts: Vec<Cast>,
}

/// One version of a contract.
#[derive(Debug, Clone)]
pub struct ContractVersion {
    /// Its name (`2`), as `schemaversion` says it.
    pub name: String,
    /// The file, absolute.
    pub file: PathBuf,
    /// The schema.
    pub schema: Arc<Schema>,
}

/// Turns an event's data of one version into that of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// From this version.
    pub from: String,
    /// To this one.
    pub to: String,
    /// A minijinja template over the event, which renders JSON.
    pub template: String,
}

/// Compatibility modes, as in Confluent's Schema Registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Nothing is promised.
    None,
    /// The new version reads what the last one wrote.
    Backward,
    /// The new version reads what any earlier one wrote. The default: a replay reads every old version.
    #[default]
    BackwardTransitive,
    /// The last version reads what the new one writes.
    Forward,
    /// Every earlier version reads what the new one writes.
    ForwardTransitive,
    /// Backward and forward, against the last version.
    Full,
    /// Backward and forward, against every earlier version.
    FullTransitive,
}

impl Mode {
    /// Every mode with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("NONE", Self::None),
        ("BACKWARD", Self::Backward),
        ("BACKWARD_TRANSITIVE", Self::BackwardTransitive),
        ("FORWARD", Self::Forward),
        ("FORWARD_TRANSITIVE", Self::ForwardTransitive),
        ("FULL", Self::Full),
        ("FULL_TRANSITIVE", Self::FullTransitive),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, mode)| *mode == self)
            .map_or("", |(word, _)| word)
    }
}

impl Contract {
    /// The version called `name`.
    pub fn version(&self, name: &str) -> Option<&ContractVersion> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// The version that an event is held to which names none.
    pub fn assumed(&self) -> &ContractVersion {
        // `assumed` is an index of `versions`, which are never empty: whoever makes a contract sees to both.
        &self.versions[self.assumed]
    }
}
