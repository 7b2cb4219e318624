//! What a record should hold beside what it holds, field by field. Pure; the dispatcher (to send nothing where nothing
//! changes), `try` and `adopt` call it.

use super::alike;
use super::convert;
use super::decimal::Decimal;
use super::map::{Field, RecordMap};
use super::ownership::Entity;
use super::value::{Record, Value};
use super::wire::clean;
use crate::config::model::Compare;

/// One field, beside what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDiff {
    /// Its name.
    pub name: String,
    /// What it should hold.
    pub wanted: Value,
    /// What it holds; none if it is missing, or is not what the map says.
    pub held: Option<Value>,
    /// They mean the same.
    pub same: bool,
}

/// Compares the fields of `wanted` (as `translate` makes it) with those of `held` (as `read` finds it), both by `to`, in
/// the order of their names. Fields that are not wanted are not compared.
///
/// Where the type's entity is declared, its comparisons judge.
pub fn compare(
    to: &RecordMap,
    wanted: &Record,
    held: &Record,
    entity: Option<&Entity>,
) -> Vec<FieldDiff> {
    let diff = |(name, wanted): (&String, &Value)| {
        let held = held.fields.get(name);
        let field = to.layout.fields.get(name);
        let rule = entity.and_then(|entity| entity.field(name)?.compare);
        FieldDiff {
            name: name.clone(),
            wanted: wanted.clone(),
            held: held.cloned(),
            same: match (field, held) {
                (Some(field), Some(held)) => same_by(field, rule, wanted, held),
                _ => false,
            },
        }
    };
    wanted.fields.iter().map(diff).collect()
}

/// Two values of a field mean the same by a rule's comparison; without one, as the record map says.
pub fn same_by(field: &Field, rule: Option<Compare>, a: &Value, b: &Value) -> bool {
    match rule {
        Some(Compare::Exact) => a == b || a.canonical() == b.canonical(),
        Some(rule) => same(field, a, b) || alike::kept(Some(rule), &a.canonical(), &b.canonical()),
        None => same(field, a, b),
    }
}

/// Two values of a field mean the same: one text in the table of values (which may stand for several), one amount, one
/// number however it is written, one text after the field's cleaning. Null, blank and zero are three things.
fn same(field: &Field, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => one_text(field, a, b),
        (Value::Number(a), Value::Number(b)) => a == b || equal(a, b),
        (
            Value::Money {
                amount: a,
                currency: one,
            },
            Value::Money {
                amount: b,
                currency: other,
            },
        ) => equal(a, b) && (one == other || one.is_none() || other.is_none()),
        (Value::Set(a), Value::Set(b)) => {
            let each = |text: &String| theirs(field, text);
            let collect = |set: &std::collections::BTreeSet<String>| {
                set.iter()
                    .map(each)
                    .collect::<std::collections::BTreeSet<_>>()
            };
            a == b || collect(a) == collect(b)
        }
        _ => a == b,
    }
}

fn one_text(field: &Field, a: &str, b: &str) -> bool {
    a == b || theirs(field, a) == theirs(field, b)
}

/// What the system holds for a canonical text: what its table says, or the text as it would be read again.
fn theirs(field: &Field, canonical: &str) -> String {
    match convert::theirs_of(field, canonical) {
        Ok(theirs) => theirs.to_owned(),
        Err(_) => clean(canonical, &field.clean),
    }
}

fn equal(a: &str, b: &str) -> bool {
    matches!((Decimal::parse(a), Decimal::parse(b)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests;
