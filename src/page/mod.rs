//! What people are told, and how each channel wants it: payloads, limits, cuts at character boundaries.
//!
//! Pure. A page is kept as one JSON document and is put into its channel's form when it is sent, so that no secret (a
//! topic, an integration key) is ever kept with it. Must never do I/O. Made by incidents and escalations, rendered by the
//! dispatcher.

mod letter;
mod ntfy;
mod pagerduty;
mod slack;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::config::model::ChannelKind;
use crate::http::mail::Letter;
use crate::store::view::Severity;
use crate::time::Timestamp;

/// What a page is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// An incident began, or became worse.
    Firing,
    /// Somebody has taken it.
    Acknowledged,
    /// It is over.
    Resolved,
    /// A person says something.
    Note,
    /// Whether pages arrive is being tried.
    Test,
}

impl Occasion {
    /// The word that is kept.
    pub fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Note => "note",
            Self::Test => "test",
        }
    }
}

/// What is told to people. Every text in it is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The site's name.
    pub site: String,
    /// What it is about.
    pub occasion: Occasion,
    /// How much it matters.
    pub severity: Severity,
    /// The incident's number, if it is about one.
    pub incident: Option<i64>,
    /// One line.
    pub title: String,
    /// The rest, line by line.
    pub lines: Vec<String>,
    /// The runbook's name.
    pub runbook: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// The same for all pages of one incident.
    pub dedup: String,
    /// What its buttons answer: a label and a signed text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<(String, String)>,
    /// The whole in one text, for whoever reads only that.
    #[serde(default)]
    pub text: String,
}

impl Page {
    /// The document that is kept and sent.
    pub fn to_json(&self) -> String {
        let whole = Self {
            text: self.whole(),
            ..self.clone()
        };
        // A page consists of texts and numbers: it can always be written.
        serde_json::to_string(&whole).unwrap_or_default()
    }

    /// The headline: what mail and telephones show first.
    pub fn headline(&self) -> String {
        let mark = match (self.occasion, self.severity) {
            (Occasion::Resolved, _) => "resolved",
            (Occasion::Acknowledged, _) => "acknowledged",
            (Occasion::Note, _) => "note",
            (Occasion::Test, _) => "test",
            (Occasion::Firing, Severity::Critical) => "CRITICAL",
            (Occasion::Firing, Severity::Warning) => "warning",
            (Occasion::Firing, Severity::Info) => "info",
        };
        let number = (self.incident).map_or_else(String::new, |number| format!(" #{number}"));
        format!("[{}{number} {mark}] {}", self.site, self.title)
    }

    /// Everything, line by line.
    pub fn whole(&self) -> String {
        let lines = std::iter::once(self.headline()).chain(self.lines.iter().cloned());
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The letter that a page's document is by mail; `id` is that of its delivery.
pub fn letter(document: &[u8], id: &str) -> Letter {
    let page = serde_json::from_slice::<Page>(document);
    page.map_or_else(
        |_| letter::plain(&String::from_utf8_lossy(document), id),
        |page| letter::of(&page, id),
    )
}

/// The body of a request to a channel, from the page's document; secrets are put in by whoever sends it. What is no page
/// (it was kept by an earlier version) goes as it is.
pub fn body(kind: &ChannelKind, document: &[u8]) -> Vec<u8> {
    let Ok(page) = serde_json::from_slice::<Page>(document) else {
        return document.to_vec();
    };
    let value = match kind {
        ChannelKind::Ntfy { .. } => ntfy::payload(&page),
        ChannelKind::PagerDuty { .. } => pagerduty::payload(&page),
        ChannelKind::Slack(_) => slack::payload(&page),
        ChannelKind::Webhook(_) | ChannelKind::Email { .. } => return document.to_vec(),
    };
    Value::to_string(&value).into_bytes()
}

/// As much of `text` as fits `limit` bytes, cut where a reader sees no half of a character, with a mark where it was cut.
fn cut(text: &str, limit: usize) -> String {
    const MARK: &str = " …";
    if text.len() <= limit {
        return text.to_owned();
    }
    let room = limit.saturating_sub(MARK.len());
    let fits = text
        .grapheme_indices(true)
        .map(|(at, grapheme)| at + grapheme.len())
        .take_while(|end| *end <= room)
        .last()
        .unwrap_or(0);
    format!("{}{MARK}", &text[..fits])
}

#[cfg(test)]
mod tests;
