//! Values as two systems write them, and when they mean the same. Pure.
//!
//! A value keeps the source text of its numbers: money never passes through a float. Missing, null and blank are
//! three different things, whatever the comparison. Called by `parse` (to make values) and `compare` (to judge them).

use crate::config::model::Compare;
use crate::record::alike;
use crate::record::decimal::Decimal;

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The pointer leads nowhere.
    Missing,
    /// JSON null.
    Null,
    /// JSON true or false.
    Bool(bool),
    /// A JSON number: its source text.
    Number(String),
    /// A JSON string, unescaped.
    Text(String),
    /// An object or array: canonical JSON (keys sorted, no blanks, numbers in normal form).
    Tree(String),
}

/// The most characters of a value that a difference shows.
const SHOWN: usize = 200;

impl Value {
    /// JSON text for a difference, at most 200 characters of it; none if the field is missing. Not yet safe to show.
    pub fn shown(&self) -> Option<String> {
        let text = match self {
            Self::Missing => return None,
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) | Self::Tree(text) => text.clone(),
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        };
        Some(match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        })
    }

    /// The two values mean the same under `compare`.
    pub fn same(&self, other: &Self, compare: Compare) -> bool {
        if exactly(self, other) {
            return true;
        }
        match (self, other) {
            (Self::Text(a) | Self::Number(a), Self::Text(b) | Self::Number(b)) => {
                alike::texts(compare, a, b)
            }
            (Self::Text(a) | Self::Tree(a), Self::Text(b) | Self::Tree(b))
                if compare == Compare::Set =>
            {
                alike::texts(compare, a, b)
            }
            _ => false,
        }
    }
}

/// Canonical JSON equality, and a number equals the text of an equal number (`1042` and `"1042"`). Two texts must be
/// the same letter by letter: `"1.10"` and `"1.1"` are two versions, not one amount.
fn exactly(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a) | Value::Text(a), Value::Number(b))
        | (Value::Number(a), Value::Text(b)) => {
            a == b || matches!((Decimal::parse(a), Decimal::parse(b)), (Some(a), Some(b)) if a == b)
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Value::{Bool, Missing, Null};

    fn number(text: &str) -> Value {
        Value::Number(text.to_owned())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn tree(text: &str) -> Value {
        Value::Tree(text.to_owned())
    }

    #[test]
    fn each_comparison_judges_as_its_table_says() {
        use Compare::{Casefold, Exact, Instant, Money, Set};
        for (compare, a, b, same) in [
            // Absent, null and blank are never the same, under any comparison.
            (Exact, Missing, Missing, true),
            (Exact, Missing, Null, false),
            (Exact, Null, text(""), false),
            (Casefold, Missing, text(""), false),
            (Casefold, Null, text("null"), false),
            (Money, Null, number("0"), false),
            (Money, text(""), number("0"), false),
            (Money, Missing, number("0"), false),
            (Instant, Null, text(""), false),
            // Exact.
            (Exact, number("1042"), text("1042"), true),
            (Exact, number("12.10"), number("12.1"), true),
            (Exact, number("12.10"), text("12.1"), true),
            (Exact, text("12.10"), text("12.1"), false),
            (Exact, text("007"), text("7"), false),
            (Exact, text("a"), text("A"), false),
            (Exact, text(" a"), text("a"), false),
            (Exact, Bool(true), text("true"), false),
            (Exact, Bool(true), Bool(true), true),
            (
                Exact,
                number("9007199254740993"),
                number("9007199254740992"),
                false,
            ),
            (
                Exact,
                number("18446744073709551617"),
                text("18446744073709551617"),
                true,
            ),
            (Exact, number("1e3"), number("1000"), true),
            // Casefold.
            (
                Casefold,
                text(" Åse@Fjord.example"),
                text("åse@fjord.EXAMPLE "),
                true,
            ),
            (Casefold, text("ase"), text("åse"), false),
            (Casefold, number("5"), text("5"), true),
            // Money.
            (Money, text("129.00"), number("129"), true),
            (Money, text(" 129.50 "), text("129.5"), true),
            (Money, text("129.5"), text("129.05"), false),
            (Money, text("0.10"), number("1e-1"), true),
            (Money, text("-0.00"), number("0"), true),
            (Money, text("-5"), text("5"), false),
            (Money, text("0.3"), text("0.30000000000000004"), false),
            (Money, text("129,00"), number("129"), false),
            (Money, text("1 299.00"), number("1299"), false),
            (Money, text("129 NOK"), text("129 NOK"), true),
            // Instant.
            (
                Instant,
                text("2026-11-23T20:00:00+01:00"),
                text("2026-11-23T19:00:00.000Z"),
                true,
            ),
            (
                Instant,
                text("2026-11-23T19:00:00.0001Z"),
                text("2026-11-23T19:00:00Z"),
                false,
            ),
            (Instant, text("yesterday"), text("yesterday"), true),
            (Instant, text("yesterday"), text("Yesterday"), false),
            // Set.
            (
                Set,
                tree(r#"["vip","new"]"#),
                tree(r#"["new","vip"]"#),
                true,
            ),
            (Set, tree(r#"["vip","new"]"#), text("new; vip"), true),
            (Set, text("new, vip,"), text("vip;new"), true),
            (Set, tree("[1,2]"), tree("[2,1]"), true),
            (Set, tree("[]"), text(""), true),
            (Set, tree("[]"), Null, false),
            (Set, text("vip"), text("VIP"), false),
            (Set, tree(r#"{"a":1}"#), tree(r#"{"a":2}"#), false),
        ] {
            assert_eq!(a.same(&b, compare), same, "{compare:?} {a:?} {b:?}");
            assert_eq!(b.same(&a, compare), same, "{compare:?} {b:?} {a:?}");
        }
    }

    #[test]
    fn a_shown_value_tells_text_from_null_and_is_cut() {
        assert_eq!(Missing.shown(), None);
        assert_eq!(Null.shown().as_deref(), Some("null"));
        assert_eq!(text("null").shown().as_deref(), Some("\"null\""));
        assert_eq!(text("").shown().as_deref(), Some("\"\""));
        assert_eq!(number("12.10").shown().as_deref(), Some("12.10"));
        let long = text(&"å".repeat(500)).shown().unwrap_or_default();
        assert_eq!(long.chars().count(), SHOWN + 1);
    }
}
