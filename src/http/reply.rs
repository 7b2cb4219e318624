//! What came of one request: an answer, or an error that says whether anything was sent. Read by the queue's classes and by reconciliation.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::queue::model::Answer;
use crate::time::Timestamp;

/// The headers that help to find out what went wrong; the others are not kept.
const KEPT_HEADERS: [&str; 12] = [
    "content-type",
    "date",
    "deprecation",
    "location",
    "request-id",
    "retry-after",
    "server",
    "sunset",
    "www-authenticate",
    "x-correlation-id",
    "x-request-id",
    "x-trace-id",
];

/// The longest header value that is kept, in bytes.
const KEPT_VALUE: usize = 512;

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

    /// When the answer was made, by the receiver's clock (`Date`).
    pub fn date(&self) -> Option<Timestamp> {
        self.header("date").and_then(http_date)
    }

    /// How long the receiver asks to be left alone: Retry-After (RFC 9110, 10.2.3), as delta-seconds or as an HTTP-date, which
    /// is read against the answer's own `Date` if it has one, so that two clocks that disagree do no harm. Of several,
    /// the longest. A date that has passed asks for nothing.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let date = self.date().unwrap_or(now);
        self.headers
            .get_all(RETRY_AFTER)
            .iter()
            .filter_map(|value| {
                let text = value.to_str().ok()?.trim();
                seconds(text).or_else(|| Some(http_date(text)?.since(date)))
            })
            .max()
    }

    /// What is remembered of it: the first `most` bytes of the body, and the headers that help to find out what went wrong.
    pub fn keep(&self, most: usize) -> Answer {
        let headers = KEPT_HEADERS
            .iter()
            .filter_map(|name| {
                let mut value = self.headers.get(*name)?.as_bytes();
                value = &value[..value.len().min(KEPT_VALUE)];
                Some((
                    (*name).to_owned(),
                    String::from_utf8_lossy(value).into_owned(),
                ))
            })
            .collect();
        Answer {
            headers,
            body: self.body[..self.body.len().min(most)].to_vec(),
            truncated: self.truncated || self.body.len() > most,
        }
    }
}

/// `120`; also `1.5`, which some receivers send, rounded up. Numbers beyond any calendar are as long as it gets.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let up = u64::from(fraction.bytes().any(|b| b != b'0'));
    Some(Duration::from_secs(
        whole.parse().unwrap_or(u64::MAX).saturating_add(up),
    ))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::ZERO + since)
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
