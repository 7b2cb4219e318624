//! Incoming webhooks of Slack, and of what speaks like them (Mattermost, Rocket.Chat, Discord's `/slack`).

use serde_json::{Value, json};

use super::{Page, cut};

/// Longer messages are cut by Slack itself, in the middle of a word ("Truncating really long messages": 40,000
/// characters; 4,000 are advised).
const LONGEST: usize = 4_000;

pub(super) fn payload(page: &Page) -> Value {
    // The three characters that Slack reads as markup ("Formatting text for app surfaces"): nobody can be mentioned.
    let text = cut(&page.whole(), LONGEST)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({ "text": text })
}
