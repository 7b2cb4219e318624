//! A record of one system -> what another system's record of the same thing should hold. Pure; the dispatcher, the
//! command line and `adopt` call it.
//!
//! Values come over exactly or not at all: a status outside a table, an amount in another currency or with more decimals
//! than the receiver writes is an error, never a guess.

use std::collections::BTreeSet;

use super::body;
use super::convert;
use super::error::RecordError;
use super::map::RecordMap;
use super::value::{Record, Value};
use crate::config::model::Mapping;
use crate::event::Event;
use crate::event::expr::{Engine, Scope, Texts};

/// The record for the target's system, in canonical form, as the target's map can hold it: fields that both maps have
/// (or those that the mapping names), then those that it sets. A field that the source does not have is not in it.
///
/// Its key is the source's own where both are of one type, else the one that the source `refs`; its version, creation
/// and `refs` are the source's.
///
/// # Errors
/// [`RecordError::NoKey`] where the source does not name the target; [`RecordError::Part`] for a field that is needed
/// and cannot come over.
pub fn translate(
    source: &Record,
    from: &RecordMap,
    to: &RecordMap,
    mapping: &Mapping,
    event: &Event,
    engine: &Engine,
) -> Result<Record, RecordError> {
    let own = from.kind == to.kind;
    let key = if own {
        source.key.as_ref()
    } else {
        source.refs.get(&to.kind)
    };
    let mut record = Record {
        key: Some(
            key.ok_or_else(|| RecordError::NoKey {
                record: format!("{}.{}", from.system, from.kind),
                kind: to.kind.clone(),
                own,
            })?
            .clone(),
        ),
        version: source.version.clone(),
        created: source.created,
        refs: source.refs.clone(),
        ..Record::default()
    };
    let set = |name: &str| mapping.set.iter().any(|(set, _)| set == name);
    let mut carry = |name: &str| -> Result<(), RecordError> {
        let target = body::field(to, name)?;
        if set(name) || !body::writable(target) {
            return Ok(());
        }
        if let Some(unread) = source.unread.get(name) {
            return Err(unread.clone());
        }
        if let Some(value) = source.fields.get(name) {
            let value = convert::to(target, value);
            let value = value.map_err(|problem| body::error(to, name, problem))?;
            record.fields.insert(name.to_owned(), value);
        }
        Ok(())
    };
    for name in copied(mapping, from, to) {
        carry(name)?;
    }
    if !mapping.set.is_empty() {
        let texts: Texts = source
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), value.text()))
            .collect();
        let scope = Scope::mapping(event, &texts);
        for (name, template) in &mapping.set {
            let target = body::field(to, name)?;
            let value = engine
                .render_in(template, &scope)
                .map_err(Into::into)
                .and_then(|text| convert::to(target, &Value::Text(text)));
            let value = value.map_err(|problem| body::error(to, name, problem))?;
            record.fields.insert(name.clone(), value);
        }
    }
    Ok(record)
}

/// `value` as the field of this name holds it in the map's system.
///
/// # Errors
/// Where the map has no such field, or the field cannot hold it.
pub fn held_as(map: &RecordMap, name: &str, value: &Value) -> Result<Value, RecordError> {
    let field = body::field(map, name)?;
    convert::to(field, value).map_err(|problem| body::error(map, name, problem))
}

/// Whether the map has a field of this name that is ever written.
pub fn is_written(map: &RecordMap, name: &str) -> bool {
    map.layout.fields.get(name).is_some_and(body::writable)
}

/// The names of the fields that are copied as they are.
fn copied<'a>(mapping: &'a Mapping, from: &'a RecordMap, to: &RecordMap) -> BTreeSet<&'a str> {
    if !mapping.fields.is_empty() {
        return mapping.fields.iter().map(String::as_str).collect();
    }
    if from.kind != to.kind {
        return BTreeSet::new();
    }
    // Also what only those inside another record have (an order's items).
    let inside = from.from.values().flat_map(|inside| &inside.layout.fields);
    let all = from.layout.fields.iter().chain(inside);
    all.map(|(name, _)| name.as_str())
        .filter(|name| to.layout.fields.contains_key(*name))
        .collect()
}

/// The names of the fields that such a mapping writes: copied, or set by a template.
pub fn written<'a>(
    mapping: &'a Mapping,
    from: &'a RecordMap,
    to: &'a RecordMap,
) -> BTreeSet<&'a str> {
    let mut all = copied(mapping, from, to);
    all.extend(mapping.set.iter().map(|(name, _)| name.as_str()));
    all.retain(|name| to.layout.fields.get(*name).is_some_and(body::writable));
    all
}

#[cfg(test)]
mod tests;
