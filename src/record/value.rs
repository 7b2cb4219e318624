//! Values of a record in canonical form: the same whatever system wrote them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::currency;
use super::decimal::Decimal;
use super::error::RecordError;
use crate::event::json::quote;
use crate::time::Timestamp;

/// One field's value. A field that is missing is not in the record at all; null and blank are values. Blank is an empty
/// [`Value::Text`], whatever the field's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// JSON null.
    Null,
    /// Text; may be blank.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A number that is no money, as its source wrote it.
    Number(String),
    /// An exact amount.
    Money {
        /// Decimal text in major units, normal form (`12.1`, `-3`): never a float.
        amount: String,
        /// ISO 4217 code, upper case, where known.
        currency: Option<String>,
    },
    /// A point in time.
    Instant(Timestamp),
    /// Texts without order.
    Set(BTreeSet<String>),
}

impl Value {
    /// One text for one value of a field, kept in the ledger and shown: equal values have equal texts, different ones have
    /// different texts (a text stands in quotes, so that blank, `"null"` and null differ). Not yet safe to show.
    pub fn canonical(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Text(text) => quoted(text),
            Self::Set(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                format!("[{}]", texts.join(","))
            }
            Self::Number(source) => Decimal::parse(source).map_or_else(
                || source.clone(),
                |decimal| decimal.plain(0).unwrap_or_else(|| decimal.to_string()),
            ),
            _ => self.text().unwrap_or_default(),
        }
    }

    /// Reads what [`Self::canonical`] wrote; none if it is no such text. An amount without currency is read as a number, which
    /// fields of money take as well.
    pub fn of_canonical(text: &str) -> Option<Self> {
        let texts = || serde_json::from_str::<BTreeSet<String>>(text).ok();
        Some(match text {
            "null" => Self::Null,
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ if text.starts_with('"') => Self::Text(serde_json::from_str(text).ok()?),
            _ if text.starts_with('[') => Self::Set(texts()?),
            _ => match (text.split_once(' '), Timestamp::parse_rfc3339(text)) {
                (_, Some(at)) => Self::Instant(at),
                (Some((amount, code)), None) => Self::Money {
                    amount: Decimal::parse(amount)?.plain(0)?,
                    currency: Some(code.to_owned()),
                },
                (None, None) => {
                    Decimal::parse(text)?;
                    Self::Number(text.to_owned())
                }
            },
        })
    }

    /// The value as plain text, for templates and tables of values: `12.10 NOK`, `true`, RFC 3339; a set's texts with
    /// commas. None of null.
    pub fn text(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) | Self::Number(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Money {
                amount,
                currency: None,
            } => amount.clone(),
            Self::Money {
                amount,
                currency: Some(code),
            } => format!("{} {code}", padded(amount, code)),
            Self::Instant(at) => at.rfc3339(),
            Self::Set(texts) => texts
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(","),
        })
    }
}

/// An amount with at least as many decimals as its currency has.
pub(super) fn padded(amount: &str, code: &str) -> String {
    Decimal::parse(amount)
        .and_then(|decimal| decimal.plain(currency::exponent(code)?))
        .unwrap_or_else(|| amount.to_owned())
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    quote(text, &mut out);
    out
}

/// How new a record is. Versions of different kinds have no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// Time of the last change.
    Instant(Timestamp),
    /// A counter that only rises.
    Number(i64),
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Instant(a), Self::Instant(b)) => Some(a.cmp(b)),
            (Self::Number(a), Self::Number(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    /// RFC 3339 with milliseconds, or the number; [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(at) => write!(f, "{at}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// A text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("neither an RFC 3339 time nor a whole number")]
pub struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => Timestamp::parse_rfc3339(text)
                .map(Self::Instant)
                .ok_or(NoVersion),
        }
    }
}

/// One record as a system holds it, or as it should be written, in canonical form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Its business key (an order number, an email address); none if the source has none.
    pub key: Option<String>,
    /// The id that the system gave it.
    pub id: Option<String>,
    /// How new it is.
    pub version: Option<Version>,
    /// When it was created, where the source says so.
    pub created: Option<Timestamp>,
    /// Fields by name.
    pub fields: BTreeMap<String, Value>,
    /// Business keys of the records that this one belongs to, by record type.
    pub refs: BTreeMap<String, String>,
    /// Fields that are there but are not what the map says (a status outside its table, an amount that is none), and
    /// why: an error only where the field is needed. None of them is in `fields`.
    pub unread: BTreeMap<String, RecordError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount: &str, code: Option<&str>) -> Value {
        Value::Money {
            amount: amount.to_owned(),
            currency: code.map(str::to_owned),
        }
    }

    #[test]
    fn canonical_texts_tell_values_apart() {
        let text = |text: &str| Value::Text(text.to_owned());
        let number = |text: &str| Value::Number(text.to_owned());
        let set = |texts: &[&str]| Value::Set(texts.iter().map(|t| (*t).to_owned()).collect());
        let table = [
            (Value::Null, "null"),
            (text("null"), "\"null\""),
            (text(""), "\"\""),
            (Value::Bool(true), "true"),
            (text("true"), "\"true\""),
            (number("12.10"), "12.1"),
            (number("1e3"), "1000"),
            (number("1e99"), "1e99"),
            (text("12.1"), "\"12.1\""),
            (money("12.1", Some("NOK")), "12.10 NOK"),
            (money("12", Some("JPY")), "12 JPY"),
            (money("1.5", Some("KWD")), "1.500 KWD"),
            (money("12.105", Some("NOK")), "12.105 NOK"),
            (money("0.00000001", Some("BTC")), "0.00000001 BTC"),
            (money("-12.5", None), "-12.5"),
            (Value::Instant(Timestamp(0)), "1970-01-01T00:00:00.000Z"),
            (set(&["b", "a"]), "[\"a\",\"b\"]"),
            (set(&["a,b"]), "[\"a,b\"]"),
            (set(&[]), "[]"),
        ];
        for (value, expected) in &table {
            assert_eq!(value.canonical(), *expected);
            let read = Value::of_canonical(expected).expect("is read back");
            assert_eq!(read.canonical(), *expected);
        }
    }

    #[test]
    fn what_is_no_canonical_text_is_not_guessed() {
        for text in ["", "#0123456789abcdef", "\"a", "[1]", "one NOK", "yes"] {
            assert_eq!(Value::of_canonical(text), None, "{text}");
        }
    }

    #[test]
    fn versions_are_written_and_read_and_only_like_ones_have_an_order() {
        for version in [
            Version::Instant(Timestamp(1_795_460_400_123)),
            Version::Number(-1),
            Version::Number(1_795_460_400),
        ] {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert!("soon".parse::<Version>().is_err());
        let (old, new) = (Version::Number(1), Version::Number(2));
        assert!(old < new);
        let other = Version::Instant(Timestamp(0));
        assert_eq!(old.partial_cmp(&other), None);
        assert_eq!(other.partial_cmp(&old), None);
    }
}
