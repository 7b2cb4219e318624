//! What came of one request: an answer, or an error that says whether anything was sent. Read by the queue's classes and by reconciliation.

use bytes::Bytes;
use reqwest::header::HeaderMap;

/// An answer whose status was read. Whatever it holds comes from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as it came over the wire (never decompressed), up to the reader's cap.
    pub body: Bytes,
    /// The body was longer than the cap, or was cut, or the deadline passed while it was read.
    pub truncated: bool,
}

impl Reply {
    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How far an attempt got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No byte of the request's body left: repeating it cannot do anything twice.
    Before,
    /// The request, or part of it, was sent: it may have been carried out.
    After,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request makes no sense (URL, header, unknown system).
    Invalid,
    /// The address is private, loopback or a cloud's metadata service, and the system does not say `private = true`.
    Address,
    /// The secret could not be read.
    Secret,
    /// The name could not be resolved, nothing listens, or TLS failed.
    Connect,
    /// The deadline passed.
    Timeout,
    /// The connection was cut.
    Cut,
}

/// A request that brought no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SendError {
    /// How far it got.
    pub stage: Stage,
    /// What failed.
    pub fault: Fault,
    /// In words; may repeat names from outside, never a secret.
    pub text: String,
}

impl SendError {
    /// A failure before anything was sent.
    pub fn before(fault: Fault, text: impl Into<String>) -> Self {
        Self {
            stage: Stage::Before,
            fault,
            text: text.into(),
        }
    }

    /// A failure after something was sent.
    pub fn after(fault: Fault, text: impl Into<String>) -> Self {
        Self {
            stage: Stage::After,
            fault,
            text: text.into(),
        }
    }
}
