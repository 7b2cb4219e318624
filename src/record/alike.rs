//! When two texts mean the same thing: the comparisons that the configuration names, in one place. Pure; `record::compare`,
//! ownership, `adopt` and reconciliation call it.
//!
//! Equal texts are always alike. Null and blank are values of their own, whatever the comparison: callers that know them
//! must not hand them in.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::DateTime;

use super::decimal::Decimal;
use crate::config::model::Compare;

/// Two plain texts (a JSON number as it is written, an array as JSON) mean the same.
pub fn texts(compare: Compare, a: &str, b: &str) -> bool {
    a == b
        || match compare {
            Compare::Exact => false,
            Compare::Casefold => a.trim().to_lowercase() == b.trim().to_lowercase(),
            Compare::Money => match (amount(a), amount(b)) {
                (Some((a, one)), Some((b, other))) => {
                    a == b && (one == other || one.is_none() || other.is_none())
                }
                _ => false,
            },
            Compare::Instant => matches!((instant(a), instant(b)), (Some(a), Some(b)) if a == b),
            Compare::Set => matches!((set(a), set(b)), (Some(a), Some(b)) if a == b),
        }
}

/// Two values as the ledger keeps them ([`super::value::Value::canonical`], or a keyed hash) mean the same. Without a
/// comparison: they are equal, or one amount whose currency only one of them tells. A hash is alike to nothing but itself.
pub fn kept(compare: Option<Compare>, a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    // A blank text is a value of its own, and so is null.
    let is_special = |text: &str| text.starts_with('#') || matches!(text, "null" | "\"\"" | "[]");
    if is_special(a) || is_special(b) {
        return false;
    }
    match compare {
        Some(compare) => texts(compare, &plain(a), &plain(b)),
        None => !a.starts_with('"') && !b.starts_with('"') && texts(Compare::Money, a, b),
    }
}

/// The text that a value as the ledger keeps it stands for: without its quotes.
pub fn plain(kept: &str) -> Cow<'_, str> {
    if kept.starts_with('"')
        && let Ok(text) = serde_json::from_str::<String>(kept)
    {
        return Cow::Owned(text);
    }
    Cow::Borrowed(kept)
}

/// A decimal amount, and its currency where one follows it.
fn amount(text: &str) -> Option<(Decimal, Option<&str>)> {
    let text = text.trim();
    let (amount, currency) = match text.split_once(' ') {
        Some((amount, code)) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) => {
            (amount, Some(code))
        }
        Some(_) => return None,
        None => (text, None),
    };
    Some((Decimal::parse(amount)?, currency))
}

/// RFC 3339; without an offset it is taken as UTC, as record maps take it.
fn instant(text: &str) -> Option<DateTime<chrono::FixedOffset>> {
    let text = text.trim();
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_rfc3339(&format!("{text}Z")))
        .ok()
}

/// The members of a JSON array, or of a text with separators; blanks around them and empty ones do not count. None of an
/// object.
fn set(text: &str) -> Option<BTreeSet<String>> {
    let text = text.trim();
    if text.starts_with('{') {
        return None;
    }
    if text.starts_with('[')
        && let Ok(items) = serde_json::from_str::<Vec<Box<serde_json::value::RawValue>>>(text)
    {
        let item = |item: Box<serde_json::value::RawValue>| plain(item.get()).trim().to_owned();
        return Some(items.into_iter().map(item).collect());
    }
    let parts = text.split([',', ';']).map(str::trim);
    Some(
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_ledger_keeps_is_compared_as_the_rule_says() {
        use Compare::{Casefold, Exact, Instant, Money, Set};
        for (compare, a, b, alike) in [
            (None, "\"a\"", "\"a\"", true),
            (None, "\"a\"", "\"A\"", false),
            (None, "12.1 NOK", "12.1", true),
            (None, "12.1 NOK", "12.1 EUR", false),
            (None, "\"12\"", "\"12.0\"", false),
            (Some(Exact), "12.1 NOK", "12.1", false),
            (Some(Casefold), "\"Lead \"", "\"lead\"", true),
            (Some(Casefold), "\"\"", "\" \"", false),
            (Some(Casefold), "null", "\"NULL\"", false),
            (
                Some(Casefold),
                "#0011223344556677",
                "#0011223344556677",
                true,
            ),
            (
                Some(Casefold),
                "#AA11223344556677",
                "#aa11223344556677",
                false,
            ),
            (Some(Money), "\"12.10\"", "12.1 NOK", true),
            (Some(Money), "12.10 NOK", "12.1 EUR", false),
            (Some(Money), "\"\"", "0", false),
            (
                Some(Instant),
                "\"2026-11-23T20:00:00+01:00\"",
                "2026-11-23T19:00:00.000Z",
                true,
            ),
            (Some(Set), "[\"a\",\"b\"]", "\"b;a\"", true),
            (Some(Set), "[\"a\",\"b\"]", "[\"a\"]", false),
        ] {
            assert_eq!(kept(compare, a, b), alike, "{compare:?} {a} {b}");
            assert_eq!(kept(compare, b, a), alike, "{compare:?} {b} {a}");
        }
    }
}
