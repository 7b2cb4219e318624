//! JSON data as values that expressions and templates read. Called by [`crate::event::expr`] only.
//!
//! Numbers are ordinary numbers, so that they compare and calculate, and still print as they were written: each that is
//! no plain integer (`12.10`, `1e3`, forty digits) leaves its source text in [`Spellings`], looked up by its bits when a
//! value is printed; of two spellings of one number (`12.10`, `12.1`) the first is used. An object that wraps the text instead would print as well, but the
//! engine orders objects by kind: `data.total > 100` would be true for every amount, silently.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::json::{self, JsonError, JsonProblem, Token, Tokens};
use crate::record::decimal::Decimal;
use crate::record::json::Node;

/// Members up to which an object is searched one by one.
const SMALL: usize = 24;

/// Deepest value that is written as JSON; parsed data never exceeds it.
const MAX_WRITTEN_DEPTH: usize = 256;

/// How the numbers of one JSON text were written, plain integers apart.
#[derive(Debug, Default)]
pub struct Spellings {
    by_bits: HashMap<u64, Spelling>,
}

#[derive(Debug)]
enum Spelling {
    As(Box<str>),
    /// Two numbers of the text that differ only beyond a double's precision.
    Ambiguous,
}

impl Object for Spellings {}

impl Spellings {
    fn keep(&mut self, number: f64, source: &str) {
        match self.by_bits.entry(number.to_bits()) {
            Entry::Vacant(entry) => {
                entry.insert(Spelling::As(source.into()));
            }
            Entry::Occupied(mut entry) => {
                let same = |known: &str| match (Decimal::parse(known), Decimal::parse(source)) {
                    (Some(known), Some(other)) => known == other,
                    _ => known == source,
                };
                if let Spelling::As(known) = entry.get()
                    && !same(known)
                {
                    entry.insert(Spelling::Ambiguous);
                }
            }
        }
    }

    /// Writes a double as its source spelled it, else as usual.
    fn write(&self, number: f64, out: &mut String) -> Result<(), Error> {
        match self.by_bits.get(&number.to_bits()) {
            Some(Spelling::As(source)) => out.push_str(source),
            Some(Spelling::Ambiguous) => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!(
                        "the data holds several numbers near {number} that differ beyond 16 digits: send the original body instead"
                    ),
                ));
            }
            None => {
                let _ = write!(out, "{}", Value::from(number));
            }
        }
        Ok(())
    }
}

/// A JSON text, read.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Its value.
    pub value: Value,
    /// How its numbers were written.
    pub spellings: Arc<Spellings>,
}

/// A JSON object: members in source order; of duplicate names the last counts.
#[derive(Debug)]
struct Members {
    members: Vec<(Value, Value)>,
    /// Place by name, for objects of more than [`SMALL`] members.
    index: HashMap<Box<str>, usize>,
}

impl Members {
    fn new(members: Vec<(Value, Value)>) -> Self {
        let index = if members.len() > SMALL {
            members
                .iter()
                .enumerate()
                .filter_map(|(place, (name, _))| name.as_str().map(|name| (name.into(), place)))
                .collect()
        } else {
            HashMap::new()
        };
        Self { members, index }
    }
}

impl Object for Members {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if self.members.len() > SMALL {
            return self
                .index
                .get(key)
                .map(|place| self.members[*place].1.clone());
        }
        self.members
            .iter()
            .rev()
            .find(|(name, _)| name.as_str() == Some(key))
            .map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.members.iter().map(|(name, _)| name.clone()).collect())
    }
}

/// Reads JSON bytes. Neither recursion nor `serde`: see the module's first words.
pub fn parse(bytes: &[u8]) -> Result<Parsed, JsonError> {
    enum Open {
        Object(Vec<(Value, Value)>, Value),
        Array(Vec<Value>),
    }
    let mut tokens = Tokens::new(json::text(bytes)?);
    let mut spellings = Spellings::default();
    let mut open: Vec<Open> = Vec::new();
    let mut result = Value::UNDEFINED;
    while let Some(token) = tokens.next_token()? {
        let string = |quoted: &str| {
            json::unescape(quoted).map_err(|problem: JsonProblem| JsonError {
                problem,
                offset: tokens.range().start,
            })
        };
        let value = match token {
            Token::ObjectStart => {
                open.push(Open::Object(Vec::new(), Value::UNDEFINED));
                continue;
            }
            Token::ArrayStart => {
                open.push(Open::Array(Vec::new()));
                continue;
            }
            Token::Key(quoted) => {
                let name = Value::from(string(quoted)?);
                if let Some(Open::Object(_, key)) = open.last_mut() {
                    *key = name;
                }
                continue;
            }
            Token::ObjectEnd | Token::ArrayEnd => match open.pop() {
                Some(Open::Object(members, _)) => Value::from_object(Members::new(members)),
                Some(Open::Array(items)) => Value::from(items),
                None => continue,
            },
            Token::String(quoted) => Value::from(string(quoted)?),
            Token::Number(source) => number(source, &mut spellings),
            Token::Bool(value) => Value::from(value),
            Token::Null => Value::from(()),
        };
        match open.last_mut() {
            Some(Open::Object(members, key)) => members.push((std::mem::take(key), value)),
            Some(Open::Array(items)) => items.push(value),
            None => result = value,
        }
    }
    Ok(Parsed {
        value: result,
        spellings: Arc::new(spellings),
    })
}

/// The value of a tree that was read before; its numbers' spellings are added.
pub fn of_node(node: &Node, spellings: &mut Spellings) -> Value {
    match node {
        Node::Null => Value::from(()),
        Node::Bool(value) => Value::from(*value),
        Node::Number(source) => number(source, spellings),
        Node::Text(text) => Value::from(text.as_str()),
        Node::Array(items) => {
            let items = items.iter().map(|item| of_node(item, spellings));
            Value::from(items.collect::<Vec<_>>())
        }
        Node::Object(members) => Value::from_object(Members::new(
            members
                .iter()
                .map(|(name, member)| (Value::from(name.as_str()), of_node(member, spellings)))
                .collect(),
        )),
    }
}

fn number(source: &str, spellings: &mut Spellings) -> Value {
    if source != "-0" && !source.contains(['.', 'e', 'E']) {
        if let Ok(number) = source.parse::<i64>() {
            return Value::from(number);
        }
        if let Ok(number) = source.parse::<i128>() {
            return Value::from(number);
        }
    }
    // The tokenizer has checked the form, which is a subset of what Rust reads; too large becomes infinite.
    let number = source.parse::<f64>().unwrap_or(f64::INFINITY);
    spellings.keep(number, source);
    Value::from(number)
}

/// Writes a value as text: numbers as they were written, booleans and containers as JSON.
/// Undefined is an error that names what is missing; null is an error too, as nothing tells it from an empty text.
pub fn write_text(value: &Value, spellings: &Spellings, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        // Raises the engine's own error, which knows the name.
        ValueKind::Undefined => value.get_attr("").map(|_| ()),
        ValueKind::None => Err(Error::new(
            ErrorKind::InvalidOperation,
            "a value is null here: add `| default(\"...\")`",
        )),
        ValueKind::String => {
            out.push_str(value.as_str().unwrap_or_default());
            Ok(())
        }
        ValueKind::Number if !value.is_integer() => {
            spellings.write(f64::try_from(value.clone())?, out)
        }
        ValueKind::Bool | ValueKind::Seq | ValueKind::Map => write_json(value, spellings, out, 0),
        _ => {
            let _ = write!(out, "{value}");
            Ok(())
        }
    }
}

/// Writes a value as JSON, compact, members in source order.
pub fn write_json(
    value: &Value,
    spellings: &Spellings,
    out: &mut String,
    depth: usize,
) -> Result<(), Error> {
    if depth > MAX_WRITTEN_DEPTH {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "nested too deep for JSON",
        ));
    }
    match value.kind() {
        ValueKind::Undefined => return value.get_attr("").map(|_| ()),
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => {
            let _ = write!(out, "{value}");
        }
        ValueKind::Number => {
            let number = f64::try_from(value.clone())?;
            if spellings.by_bits.contains_key(&number.to_bits()) || number.is_finite() {
                spellings.write(number, out)?;
            } else {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "JSON knows no infinite number",
                ));
            }
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (place, item) in value.try_iter()?.enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_json(&item, spellings, out, depth + 1)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (place, key) in value.try_iter()?.enumerate() {
                if place > 0 {
                    out.push(',');
                }
                json::quote(&key.to_string(), out);
                out.push(':');
                write_json(&value.get_item(&key)?, spellings, out, depth + 1)?;
            }
            out.push('}');
        }
        _ => json::quote(&value.to_string(), out),
    }
    Ok(())
}

/// `12.10` with two digits is `1210`: a decimal as whole minor units, exactly, from its source text.
pub fn minor_units(source: &str, digits: u32) -> Option<i128> {
    let source = source.trim();
    let (negative, source) = match source.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, source),
    };
    let (whole, fraction) = source.split_once('.').unwrap_or((source, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > digits as usize {
        return None;
    }
    let width = digits as usize;
    let units: i128 = format!("{whole}{fraction:0<width$}").parse().ok()?;
    Some(if negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(text: &str) -> String {
        let parsed = parse(text.as_bytes()).unwrap();
        let mut out = String::new();
        write_json(&parsed.value, &parsed.spellings, &mut out, 0).unwrap();
        out
    }

    #[test]
    fn values_print_as_they_were_written() {
        for text in [
            r#"{"z":12.10,"a":[1,1.0,1e3,-0.0,1E+2],"m":{"n":null,"t":true}}"#,
            "18446744073709551616",
            "340282366920938463463374607431768211456",
            "1234567890123456789012345678901234567890123456.7890",
            "1e999",
            "\"\\u0001\\\"é\"",
        ] {
            assert_eq!(round(text), text);
        }
    }

    #[test]
    fn numbers_compare_as_numbers() {
        let parsed = parse(b"[12.10, 9, 18446744073709551616]").unwrap();
        let item = |n| parsed.value.get_item_by_index(n).unwrap();
        assert!(item(0) > item(1));
        assert!(item(0) == Value::from(12.1));
        assert!(item(2) > Value::from(u64::MAX));
    }

    #[test]
    fn two_spellings_of_one_number_print_alike_but_two_numbers_never_do() {
        assert_eq!(round("[12.10,12.1]"), "[12.10,12.10]");
        for text in [
            "[0.12345678901234567891,0.12345678901234567892]",
            "[0.1,0.1000000000000000055]",
        ] {
            let parsed = parse(text.as_bytes()).unwrap();
            let mut out = String::new();
            assert!(write_json(&parsed.value, &parsed.spellings, &mut out, 0).is_err());
        }
    }

    #[test]
    fn of_duplicate_names_the_last_counts_in_small_and_large_objects() {
        for extra in [0, 100] {
            let members: Vec<String> = (0..extra).map(|n| format!("\"k{n}\":{n}")).collect();
            let members = [vec!["\"a\":1".into(), "\"a\":2".into()], members].concat();
            let parsed = parse(format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
            assert_eq!(parsed.value.get_attr("a").unwrap(), Value::from(2));
        }
    }

    #[test]
    fn minor_units_are_exact_or_refused() {
        for (text, digits, units) in [
            ("12.10", 2, Some(1210)),
            ("12", 2, Some(1200)),
            ("-0.5", 2, Some(-50)),
            ("12.1000", 2, Some(1210)),
            ("12.101", 2, None),
            ("1e3", 2, None),
            ("", 2, None),
            (".5", 2, None),
            ("500", 0, Some(500)),
            (
                "99999999999999999999.99",
                2,
                Some(9_999_999_999_999_999_999_999),
            ),
        ] {
            assert_eq!(minor_units(text, digits), units, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_decimal_keeps_its_text(whole in 0u64.., fraction in "[0-9]{1,30}", exponent in proptest::option::of(-400i32..400)) {
            let text = match exponent {
                Some(exponent) => format!("{whole}.{fraction}e{exponent}"),
                None => format!("{whole}.{fraction}"),
            };
            prop_assert_eq!(round(&text), text);
        }
    }
}
