//! PagerDuty, Events API v2 ("PD-CEF"). The routing key is put in when it is sent.

use serde_json::{Value, json};

use super::{Occasion, Page, cut};
use crate::store::view::Severity;

/// The longest summary that is taken (`payload.summary`).
const LONGEST_SUMMARY: usize = 1_024;
/// The longest key (`dedup_key`).
const LONGEST_KEY: usize = 255;
/// An event may have 512 KB; nobody reads that much.
const LONGEST_DETAILS: usize = 16_384;

pub(super) fn payload(page: &Page) -> Value {
    let action = match page.occasion {
        Occasion::Firing | Occasion::Note | Occasion::Test => "trigger",
        Occasion::Acknowledged => "acknowledge",
        Occasion::Resolved => "resolve",
    };
    let severity = match page.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    json!({
        "event_action": action,
        "dedup_key": cut(&page.dedup, LONGEST_KEY),
        "client": "midwatch",
        "payload": {
            "summary": cut(&page.headline(), LONGEST_SUMMARY),
            "source": page.site,
            "severity": severity,
            "timestamp": page.since.rfc3339(),
            "component": page.runbook,
            "custom_details": { "text": cut(&page.whole(), LONGEST_DETAILS) },
        },
    })
}
