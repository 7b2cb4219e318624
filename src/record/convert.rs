//! Canonical values between fields of different kinds: what another system's field can hold of a value, exactly, or why
//! it cannot. Pure; `translate` and `wire` call it. Nothing is rounded and no currency is guessed.

use std::collections::BTreeMap;

use super::currency;
use super::decimal::Decimal;
use super::error::Problem;
use super::instant;
use super::json::is_number;
use super::map::{Currency, Field, Kind};
use super::value::Value;
use crate::time::Timestamp;

/// The most characters of a value that a message holds.
const SHOWN: usize = 60;

/// A value in a message: cut, and never a sensitive one.
pub(super) fn shown(field: &Field, text: &str) -> String {
    if field.sensitive {
        return "its value".to_owned();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// `value` as `field` holds it. What it makes is left alone the next time.
pub(super) fn to(field: &Field, value: &Value) -> Result<Value, Problem> {
    let refused = || {
        Err(Problem::Kind {
            from: what(value),
            to: kind(&field.kind),
        })
    };
    let wrong = |text: &str| {
        Err(Problem::Type {
            expected: kind(&field.kind),
            found: shown(field, text),
        })
    };
    if let Value::Null = value {
        return Ok(Value::Null);
    }
    if let Value::Text(text) = value
        && text.trim().is_empty()
        && !matches!(field.kind, Kind::Text | Kind::Set { .. })
    {
        return Ok(blank(&field.kind));
    }
    if !field.values.is_empty() && matches!(field.kind, Kind::Text | Kind::Bool | Kind::Number) {
        return match value {
            Value::Text(text) if text.is_empty() => Ok(Value::Text(String::new())),
            Value::Text(_) | Value::Bool(_) | Value::Number(_) => {
                let text = value.text().unwrap_or_default();
                theirs_of(field, &text)?;
                Ok(Value::Text(text))
            }
            _ => refused(),
        };
    }
    match (&field.kind, value) {
        (Kind::Text, Value::Text(_) | Value::Number(_) | Value::Bool(_)) => {
            Ok(Value::Text(value.text().unwrap_or_default()))
        }
        (Kind::Text, Value::Instant(at)) => Ok(Value::Text(at.brief())),
        (Kind::Bool, Value::Bool(value)) => Ok(Value::Bool(*value)),
        (Kind::Bool, Value::Text(text)) => match boolean(text) {
            Some(value) => Ok(Value::Bool(value)),
            None => wrong(text),
        },
        (Kind::Number, Value::Number(text) | Value::Text(text)) => match number(text) {
            Some(number) => Ok(Value::Number(number)),
            None => wrong(text),
        },
        (Kind::Money { .. } | Kind::Minor { .. }, Value::Money { amount, currency }) => {
            money(field, amount, currency.as_deref())
        }
        (Kind::Money { .. } | Kind::Minor { .. }, Value::Number(text) | Value::Text(text)) => {
            let (amount, code) = match text.trim().split_once(' ') {
                Some((amount, code)) => (amount, Some(code)),
                None => (text.trim(), None),
            };
            let code = match code {
                None => None,
                Some(text) => match currency::code(text) {
                    Some(code) => Some(code),
                    None => return wrong(text),
                },
            };
            match Decimal::parse(amount).and_then(|amount| amount.plain(0)) {
                Some(amount) => money(field, &amount, code.as_deref()),
                None => wrong(text),
            }
        }
        (Kind::Instant | Kind::Millis, Value::Instant(at)) => Ok(Value::Instant(*at)),
        (Kind::Seconds, Value::Instant(at)) => {
            Ok(Value::Instant(Timestamp(at.0.div_euclid(1000) * 1000)))
        }
        (Kind::Instant | Kind::Millis | Kind::Seconds, Value::Text(text)) => {
            match instant::parse(text) {
                Some(at) => to(field, &Value::Instant(at)),
                None => wrong(text),
            }
        }
        (Kind::Set { separator }, Value::Set(texts)) => set(
            field,
            separator.as_deref(),
            texts.iter().map(String::as_str),
        ),
        (Kind::Set { separator }, Value::Text(text)) => match separator {
            Some(separator) => set(field, Some(separator), split(text, separator)),
            None => set(
                field,
                None,
                Some(text.as_str()).filter(|t| !t.is_empty()).into_iter(),
            ),
        },
        _ => refused(),
    }
}

/// What a blank is where there are no texts: nothing.
fn blank(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Instant | Kind::Money { number: false, .. } => {
            Value::Text(String::new())
        }
        _ => Value::Null,
    }
}

fn set<'a>(
    field: &Field,
    separator: Option<&str>,
    texts: impl Iterator<Item = &'a str>,
) -> Result<Value, Problem> {
    let mut kept = std::collections::BTreeSet::new();
    for text in texts {
        // In a list, blanks around an item are lost.
        let text = if separator.is_some() {
            text.trim()
        } else {
            text
        };
        if separator.is_some() && text.is_empty() {
            continue;
        }
        if !field.values.is_empty() {
            theirs_of(field, text)?;
        } else if separator.is_some_and(|separator| text.contains(separator)) {
            return Err(Problem::Separator(shown(field, text)));
        }
        kept.insert(text.to_owned());
    }
    Ok(Value::Set(kept))
}

/// The items of a list, without blank ones and without blanks around them.
pub(super) fn split<'a>(list: &'a str, separator: &'a str) -> impl Iterator<Item = &'a str> {
    list.split(separator)
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

/// An amount as the field holds it: in its own currency, with no more decimals than it can write.
fn money(field: &Field, amount: &str, code: Option<&str>) -> Result<Value, Problem> {
    let amount = Decimal::parse(amount)
        .and_then(|amount| amount.plain(0))
        .ok_or_else(|| Problem::Absurd(shown(field, amount)))?;
    let (currency, exponents) = match &field.kind {
        Kind::Money { currency, .. } => (currency, None),
        Kind::Minor {
            currency,
            exponents,
        } => (currency, Some(exponents)),
        _ => {
            return Err(Problem::Kind {
                from: "money",
                to: kind(&field.kind),
            });
        }
    };
    let code = match (currency, code) {
        (Currency::Fixed(own), Some(code)) if !own.eq_ignore_ascii_case(code) => {
            return Err(Problem::OtherCurrency {
                found: code.to_owned(),
                expected: own.clone(),
            });
        }
        (Currency::Fixed(own), _) => Some(own.to_ascii_uppercase()),
        (Currency::At(_), None) => return Err(Problem::NoCurrency),
        (Currency::At(_) | Currency::Unknown, code) => code.map(str::to_owned),
    };
    if let Some(exponents) = exponents {
        // In minor units without a currency of its own, the amount could be read as any.
        let known = code.as_deref().filter(|_| *currency != Currency::Unknown);
        let code = known.ok_or(Problem::NoCurrency)?;
        units(field, &amount, code, exponent(code, exponents)?)?;
    }
    Ok(Value::Money {
        amount,
        currency: code,
    })
}

/// The amount as a whole number of minor units.
pub(super) fn units(
    field: &Field,
    amount: &str,
    code: &str,
    exponent: u8,
) -> Result<String, Problem> {
    let absurd = || Problem::Absurd(shown(field, amount));
    let decimal = Decimal::parse(amount).ok_or_else(absurd)?;
    let units = decimal.shifted(i64::from(exponent)).ok_or_else(absurd)?;
    if units.decimals() > 0 {
        return Err(Problem::Decimals {
            amount: shown(field, amount),
            currency: code.to_owned(),
            exponent,
        });
    }
    units.plain(0).ok_or_else(absurd)
}

/// Decimals of a currency: the vendor's own, else those of ISO 4217.
pub(super) fn exponent(code: &str, own: &BTreeMap<String, u8>) -> Result<u8, Problem> {
    own.get(code)
        .copied()
        .or_else(|| currency::exponent(code))
        .ok_or_else(|| Problem::NoMinorUnit(code.to_owned()))
}

/// `true` or `false`, as texts have them.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let text = text.trim();
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word))
        .map(|(_, value)| value)
}

/// A number as JSON can hold it: as it was written, if that is JSON.
pub(super) fn number(text: &str) -> Option<String> {
    let text = text.trim();
    if is_number(text) {
        return Some(text.to_owned());
    }
    let decimal = Decimal::parse(text)?;
    Some(decimal.plain(0).unwrap_or_else(|| decimal.to_string()))
}

/// The canonical text of the system's, through the table of values.
pub(super) fn canonical_of(field: &Field, theirs: &str) -> Result<String, Problem> {
    // A table over numbers holds for however the number is written.
    let number = matches!(field.kind, Kind::Number)
        .then(|| Decimal::parse(theirs))
        .flatten();
    let same = |known: &str| known == theirs || number.is_some() && number == Decimal::parse(known);
    let found = field.values.iter().find(|(_, known)| same(known));
    found
        .map(|(canonical, _)| canonical.clone())
        .ok_or_else(|| {
            outside(
                field,
                theirs,
                field.values.iter().map(|(_, theirs)| theirs.as_str()),
            )
        })
}

/// The system's text of the canonical one, through the table of values.
pub(super) fn theirs_of<'a>(field: &'a Field, canonical: &str) -> Result<&'a str, Problem> {
    let found = field.values.iter().find(|(known, _)| known == canonical);
    found.map(|(_, theirs)| theirs.as_str()).ok_or_else(|| {
        outside(
            field,
            canonical,
            field.values.iter().map(|(known, _)| known.as_str()),
        )
    })
}

fn outside<'a>(field: &Field, value: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    Problem::Table {
        value: shown(field, value),
        known: known.collect::<Vec<_>>().join(", "),
    }
}

/// What a value is, in words for a message.
fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Text(_) => "a text",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::Money { .. } => "money",
        Value::Instant(_) => "a time",
        Value::Set(_) => "a set",
    }
}

/// What a field is, in words for a message.
fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Bool => "true or false",
        Kind::Number => "a number",
        Kind::Money { .. } => "money",
        Kind::Minor { .. } => "money in minor units",
        Kind::Instant => "a time",
        Kind::Seconds => "a time in seconds",
        Kind::Millis => "a time in milliseconds",
        Kind::Set { .. } => "a set",
    }
}
