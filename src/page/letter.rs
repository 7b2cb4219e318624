//! Mail: the headline as its subject, the rest as plain text.

use super::{Page, cut};
use crate::http::mail::Letter;

/// Longer subjects are cut: most programs show less than a hundred characters of them (RFC 5322, 2.1.1 allows 998).
const LONGEST_SUBJECT: usize = 200;

pub(super) fn of(page: &Page, id: &str) -> Letter {
    let mut text = page.lines.join("\n");
    if let Some(incident) = page.incident {
        let ways = ["ack", "walk"].map(|word| format!("midwatch {word} {incident}"));
        text = format!("{text}\n\n{}\n", ways.join("\n"));
    }
    Letter {
        subject: cut(&page.headline(), LONGEST_SUBJECT),
        text,
        id: id.to_owned(),
        thread: page.dedup.clone(),
    }
}

/// What is no page, as it is.
pub(super) fn plain(text: &str, id: &str) -> Letter {
    Letter {
        subject: "midwatch".to_owned(),
        text: text.to_owned(),
        id: id.to_owned(),
        thread: id.to_owned(),
    }
}
