//! What a probe found: one item for each thing that was asked, in words and, where there is one, with a number. Pure.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::visible::line;

/// The longest words of an item, in terminal cells.
const LONGEST: usize = 300;

/// How much an item matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It does not apply, or could not be asked.
    NotAsked,
    /// As it should be.
    Ok,
    /// It works, but somebody should look.
    Warn,
    /// It does not work.
    Bad,
}

impl Level {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAsked => "not asked",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// What was asked, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The name resolves to addresses that may be connected to.
    Address,
    /// Something answers there, over TLS.
    Connection,
    /// The system takes the credentials.
    Credentials,
    /// Its clock and ours agree: signatures with a time depend on it.
    Clock,
    /// How much of the rate budget is left.
    Budget,
    /// How its OAuth tokens stand.
    Token,
    /// A record is looked up.
    Lookup,
    /// Its webhook calls here.
    Webhook,
}

impl What {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Connection => "connection",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::Budget => "budget",
            Self::Token => "token",
            Self::Lookup => "lookup",
            Self::Webhook => "webhook",
        }
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Addresses of the name.
    Addresses,
    /// Milliseconds.
    Ms,
    /// Seconds; of a clock: how far it is ahead of ours.
    S,
    /// Requests that are left.
    Requests,
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number {
    /// How many.
    pub value: i64,
    /// Of what.
    pub unit: Unit,
}

impl Number {
    /// So many of these; what is too large is as large as it gets.
    pub(super) fn of(value: impl TryInto<i64>, unit: Unit) -> Self {
        Self {
            value: value.try_into().unwrap_or(i64::MAX),
            unit,
        }
    }
}

/// One thing that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What.
    pub what: What,
    /// How it is.
    pub level: Level,
    /// In words, on one line, safe to show.
    pub words: String,
    /// The number that it comes down to, if there is one.
    pub number: Option<Number>,
}

impl Item {
    /// An item without a number; `words` may hold text from outside.
    pub(super) fn new(what: What, level: Level, words: impl AsRef<str>) -> Self {
        Self {
            what,
            level,
            words: line(words.as_ref(), LONGEST).into_string(),
            number: None,
        }
    }

    /// The same with a number.
    pub(super) fn with(mut self, number: Number) -> Self {
        self.number = Some(number);
        self
    }
}

/// What a probe of a system found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The system, by its name in the configuration.
    pub system: String,
    /// When it was begun.
    pub at: Timestamp,
    /// The worst of the items.
    pub level: Level,
    /// One for each thing, in the order of [`What`].
    pub items: Vec<Item>,
    /// The address that its vendor must be told for webhooks; none where it sends none, or `site.public_url` is not set.
    pub ingest: Option<String>,
}

impl ProbeReport {
    /// The item about `what`.
    pub fn item(&self, what: What) -> Option<&Item> {
        self.items.iter().find(|item| item.what == what)
    }

    /// For people: a line for the whole, and one for each item.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}", self.system, self.level.word());
        for item in &self.items {
            let (level, what) = (item.level.word(), item.what.word());
            let _ = write!(text, "\n{level:<9}  {what:<11}  {}", item.words);
        }
        if let Some(address) = &self.ingest {
            let _ = write!(text, "\nits vendor must be told to call {address}");
        }
        text
    }
}
