//! Events: what enters, in the CloudEvents 1.0 sense, and what is remembered of it.

pub mod contract;
pub mod digest;
pub mod envelope;
pub mod expr;
pub mod hook;
pub mod json;
pub mod signature;
#[cfg(test)]
pub(crate) mod testing;
mod value;

use bytes::Bytes;

use crate::time::Timestamp;

/// One event as it came in. Unique by (`source`, `id`).
///
/// `data` holds the original bytes: they are delivered as they came, never re-serialised
/// (a JSON round trip reorders, drops duplicate keys and bends large numbers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// CloudEvents `source`; for vendor hooks the system's name in the configuration.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `type`, for example `order.created`.
    pub kind: String,
    /// CloudEvents `subject`: usually the business key of the record.
    pub subject: Option<String>,
    /// CloudEvents `time`, if given.
    pub time: Option<Timestamp>,
    /// CloudEvents `datacontenttype`, or the request's content type.
    pub content_type: Option<String>,
    /// Extension `idempotencykey`.
    pub idempotency_key: Option<String>,
    /// Extension `schemaversion`, or `dataschema`.
    pub schema_version: Option<String>,
    /// The other extensions (`traceparent`, `correlationid`, `causationid`, `partitionkey`, `sequence` ...), sorted by name.
    pub extensions: Vec<(String, String)>,
    /// The original bytes of the data.
    pub data: Bytes,
    /// How it came in.
    pub origin: Origin,
}

/// How an event came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `POST /events`.
    Http,
    /// `POST /hooks/{source}`, signature verified.
    Hook,
    /// Asked for by listing what changed.
    Poll,
    /// `midwatch send`.
    Send,
    /// midwatch itself (escalations, repairs).
    Internal,
}

impl Origin {
    /// The word stored and shown.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Hook => "hook",
            Self::Poll => "poll",
            Self::Send => "send",
            Self::Internal => "internal",
        }
    }

    /// Reads the stored word; anything unknown is `Internal`.
    pub fn from_word(word: &str) -> Self {
        match word {
            "http" => Self::Http,
            "hook" => Self::Hook,
            "poll" => Self::Poll,
            "send" => Self::Send,
            _ => Self::Internal,
        }
    }
}

impl Event {
    /// The extension `name`, if the event carries it.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}
