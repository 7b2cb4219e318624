//! One field between a system's JSON and its canonical value. Pure; `read` and `body` call it. Missing, null and blank
//! are three things; amounts are exact or refused.

use super::convert::{self, shown};
use super::currency;
use super::decimal::Decimal;
use super::error::Problem;
use super::instant;
use super::json::{Node, is_number};
use super::map::{Clean, Currency, Field, Kind, Source};
use super::value::{Value, padded};

/// Where a field was found: its currency may stand beside it, or in the record around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'a> {
    /// The record.
    pub(super) node: &'a Node,
    /// The record that it is inside of.
    pub(super) outer: Option<&'a Node>,
}

/// Reads what stands at a field's place.
pub(super) fn read(field: &Field, found: &Node, beside: Beside<'_>) -> Result<Value, Problem> {
    let wrong = |expected| {
        Err(Problem::Type {
            expected,
            found: match found.plain() {
                Some(text) => shown(field, text),
                None => found.what().to_owned(),
            },
        })
    };
    let blank = matches!(found, Node::Text(text) if text.trim().is_empty());
    let listed = matches!(field.kind, Kind::Set { separator: Some(_) });
    match (&field.kind, found) {
        (_, Node::Null) => Ok(Value::Null),
        (Kind::Text, _) if !field.values.is_empty() => read_table(field, found),
        (Kind::Text, _) => match found.plain() {
            Some(text) => Ok(Value::Text(clean(text, &field.clean))),
            None => wrong("a text"),
        },
        _ if blank && !listed => Ok(Value::Text(String::new())),
        (Kind::Bool | Kind::Number, _) if !field.values.is_empty() => read_table(field, found),
        (Kind::Bool, Node::Bool(value)) => Ok(Value::Bool(*value)),
        (Kind::Bool, Node::Text(text)) => match convert::boolean(text) {
            Some(value) => Ok(Value::Bool(value)),
            None => wrong("true or false"),
        },
        (Kind::Bool, _) => wrong("true or false"),
        (Kind::Number, Node::Number(text) | Node::Text(text)) => match convert::number(text) {
            Some(number) => Ok(Value::Number(number)),
            None => wrong("a number"),
        },
        (Kind::Number, _) => wrong("a number"),
        (Kind::Money { currency, .. }, Node::Number(text) | Node::Text(text)) => {
            let Some(amount) = Decimal::parse(text.trim()) else {
                return wrong("a decimal amount");
            };
            let currency = currency_of(field, currency, beside)?;
            money(field, &amount, text, currency)
        }
        (Kind::Money { .. }, _) => wrong("a decimal amount"),
        (
            Kind::Minor {
                currency,
                exponents,
            },
            Node::Number(text) | Node::Text(text),
        ) => {
            let units = Decimal::parse(text.trim()).filter(|units| units.decimals() == 0);
            let Some(units) = units else {
                return wrong("a whole number of minor units");
            };
            let code = currency_of(field, currency, beside)?.ok_or(Problem::NoCurrency)?;
            let exponent = convert::exponent(&code, exponents)?;
            let amount = units.shifted(-i64::from(exponent));
            let amount = amount.ok_or_else(|| Problem::Absurd(shown(field, text)))?;
            money(field, &amount, text, Some(code))
        }
        (Kind::Minor { .. }, _) => wrong("a whole number of minor units"),
        (Kind::Instant, Node::Text(text)) => match instant::parse(text) {
            Some(at) => Ok(Value::Instant(at)),
            None => wrong("an RFC 3339 time"),
        },
        (Kind::Instant, _) => wrong("an RFC 3339 time"),
        (Kind::Seconds, Node::Number(text) | Node::Text(text)) => match instant::seconds(text) {
            Some(at) => Ok(Value::Instant(at)),
            None => wrong("Unix seconds"),
        },
        (Kind::Seconds, _) => wrong("Unix seconds"),
        (Kind::Millis, Node::Number(text) | Node::Text(text)) => match instant::millis(text) {
            Some(at) => Ok(Value::Instant(at)),
            None => wrong("Unix milliseconds"),
        },
        (Kind::Millis, _) => wrong("Unix milliseconds"),
        (Kind::Set { separator: None }, Node::Array(items)) => {
            let mut texts = Vec::with_capacity(items.len());
            for item in items {
                match item.plain() {
                    Some(text) => texts.push(clean(text, &field.clean)),
                    None => return wrong("an array of texts"),
                }
            }
            read_set(field, texts)
        }
        (Kind::Set { separator: None }, _) => wrong("an array of texts"),
        (
            Kind::Set {
                separator: Some(separator),
            },
            Node::Text(list),
        ) => {
            let texts = convert::split(list, separator).map(|text| clean(text, &field.clean));
            read_set(field, texts.filter(|text| !text.is_empty()).collect())
        }
        (Kind::Set { separator: Some(_) }, _) => wrong("a text with a list"),
    }
}

fn read_table(field: &Field, found: &Node) -> Result<Value, Problem> {
    let Some(text) = found.plain() else {
        return Err(Problem::Type {
            expected: "a text",
            found: found.what().to_owned(),
        });
    };
    let text = clean(text, &field.clean);
    match convert::canonical_of(field, &text) {
        Ok(canonical) => Ok(Value::Text(canonical)),
        // Nothing was chosen: that is no value outside the table.
        Err(_) if text.trim().is_empty() => Ok(Value::Text(String::new())),
        Err(problem) => Err(problem),
    }
}

fn read_set(field: &Field, texts: Vec<String>) -> Result<Value, Problem> {
    if field.values.is_empty() {
        return Ok(Value::Set(texts.into_iter().collect()));
    }
    let texts = texts
        .iter()
        .map(|text| convert::canonical_of(field, text))
        .collect::<Result<_, _>>()?;
    Ok(Value::Set(texts))
}

fn money(
    field: &Field,
    amount: &Decimal,
    source: &str,
    currency: Option<String>,
) -> Result<Value, Problem> {
    let amount = amount
        .plain(0)
        .ok_or_else(|| Problem::Absurd(shown(field, source)))?;
    Ok(Value::Money { amount, currency })
}

/// The currency of an amount: said in the map, or beside the amount, or in the record around it.
fn currency_of(
    field: &Field,
    currency: &Currency,
    beside: Beside<'_>,
) -> Result<Option<String>, Problem> {
    let at = match currency {
        Currency::Unknown => return Ok(None),
        Currency::Fixed(code) => return Ok(Some(code.to_ascii_uppercase())),
        Currency::At(at) => at,
    };
    let found = beside.node.pointer(at);
    let found = found.or_else(|| beside.outer.and_then(|outer| outer.pointer(at)));
    match found {
        None | Some(Node::Null) => Ok(None),
        Some(Node::Text(text)) if text.trim().is_empty() => Ok(None),
        Some(Node::Text(text)) => match currency::code(text) {
            Some(code) => Ok(Some(code)),
            None => Err(Problem::Currency(shown(field, text))),
        },
        Some(other) => Err(Problem::Currency(other.what().to_owned())),
    }
}

/// Puts a value at its field's place, its currency beside it. A read-only field is left alone.
pub(super) fn write(field: &Field, value: &Value, body: &mut Node) -> Result<(), Problem> {
    let Source::At(at) = &field.source else {
        return Ok(());
    };
    if field.read_only {
        return Ok(());
    }
    let value = convert::to(field, value)?;
    if let (
        Value::Money {
            currency: Some(code),
            ..
        },
        Kind::Money {
            currency: Currency::At(beside),
            ..
        }
        | Kind::Minor {
            currency: Currency::At(beside),
            ..
        },
    ) = (&value, &field.kind)
    {
        write_currency(beside, code, body)?;
    }
    body.set(at, node(field, value)?)?;
    Ok(())
}

/// A field that writes the currency itself, or another amount, may have been here before.
fn write_currency(at: &str, code: &str, body: &mut Node) -> Result<(), Problem> {
    match body.pointer(at) {
        None | Some(Node::Null) => Ok(body.set(at, Node::Text(code.to_owned()))?),
        Some(Node::Text(there)) if there.eq_ignore_ascii_case(code) => Ok(()),
        Some(there) => Err(Problem::OtherCurrency {
            found: code.to_owned(),
            expected: there.plain().unwrap_or(there.what()).to_owned(),
        }),
    }
}

/// The JSON of a value that has its field's kind.
fn node(field: &Field, value: Value) -> Result<Node, Problem> {
    let node = match value {
        Value::Null => Node::Null,
        Value::Text(text) if !field.values.is_empty() && !text.is_empty() => {
            let theirs = convert::theirs_of(field, &text)?.to_owned();
            match field.kind {
                Kind::Number if is_number(&theirs) => Node::Number(theirs),
                Kind::Bool => convert::boolean(&theirs).map_or(Node::Text(theirs), Node::Bool),
                _ => Node::Text(theirs),
            }
        }
        Value::Text(text) => Node::Text(text),
        Value::Bool(value) => Node::Bool(value),
        Value::Number(source) => Node::Number(source),
        Value::Money { amount, currency } => {
            let code = currency.as_deref().unwrap_or_default();
            match &field.kind {
                Kind::Minor { exponents, .. } => {
                    let exponent = convert::exponent(code, exponents)?;
                    let units = convert::units(field, &amount, code, exponent)?;
                    Node::Number(units)
                }
                Kind::Money { number: true, .. } => Node::Number(padded(&amount, code)),
                _ => Node::Text(padded(&amount, code)),
            }
        }
        Value::Instant(at) => match field.kind {
            Kind::Seconds => Node::Number(at.0.div_euclid(1000).to_string()),
            Kind::Millis => Node::Number(at.0.to_string()),
            _ => Node::Text(at.brief()),
        },
        Value::Set(texts) => {
            let theirs = texts.iter().map(|text| {
                if field.values.is_empty() {
                    Ok(text.as_str())
                } else {
                    convert::theirs_of(field, text)
                }
            });
            let theirs: Vec<&str> = theirs.collect::<Result<_, _>>()?;
            match &field.kind {
                Kind::Set {
                    separator: Some(separator),
                } => {
                    let held = theirs.iter().find(|text| text.contains(separator.as_str()));
                    if let Some(text) = held {
                        return Err(Problem::Separator(shown(field, text)));
                    }
                    Node::Text(theirs.join(separator))
                }
                _ => Node::Array(
                    theirs
                        .iter()
                        .map(|text| Node::Text((*text).into()))
                        .collect(),
                ),
            }
        }
    };
    Ok(node)
}

/// Applies the steps that make two spellings of one thing equal.
pub(super) fn clean(text: &str, steps: &[Clean]) -> String {
    let mut text = text.to_owned();
    for step in steps {
        text = match step {
            Clean::Trim => text.trim().to_owned(),
            Clean::Lower => text.to_lowercase(),
            Clean::Upper => text.to_uppercase(),
            Clean::Digits => text.chars().filter(char::is_ascii_digit).collect(),
        };
    }
    text
}

#[cfg(test)]
mod tests;
