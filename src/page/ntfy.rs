//! ntfy ("Publishing", section "Publish as JSON"). The topic, and where its buttons answer to, are put in when it is sent.

use serde_json::{Value, json};

use super::{Occasion, Page, cut};
use crate::store::view::Severity;

/// A longer message becomes an attachment (ntfy, "Limitations": 4,096 bytes).
const LONGEST: usize = 4_096;
/// A longer title is refused (ntfy's server takes 250 bytes).
const LONGEST_TITLE: usize = 250;
/// The most buttons (ntfy, "Action buttons").
pub(super) const MOST_BUTTONS: usize = 3;

pub(super) fn payload(page: &Page) -> Value {
    let (priority, tag) = match (page.occasion, page.severity) {
        (Occasion::Firing, Severity::Critical) => (5, "rotating_light"),
        (Occasion::Firing | Occasion::Test, _) => (4, "warning"),
        (Occasion::Resolved, _) => (3, "white_check_mark"),
        (Occasion::Acknowledged | Occasion::Note, _) => (3, "memo"),
    };
    let lines = page.lines.join("\n");
    let message = if lines.is_empty() {
        page.title.clone()
    } else {
        lines
    };
    let buttons: Vec<Value> = (page.buttons.iter().take(MOST_BUTTONS))
        .map(|(label, answer)| {
            json!({ "action": "http", "label": label, "method": "POST", "body": answer, "clear": true })
        })
        .collect();
    let mut payload = json!({
        "title": cut(&page.headline(), LONGEST_TITLE),
        "message": cut(&message, LONGEST),
        "priority": priority,
        "tags": [tag],
    });
    if !buttons.is_empty() {
        payload["actions"] = Value::Array(buttons);
    }
    payload
}
