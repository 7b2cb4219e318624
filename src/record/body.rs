//! A record as its system writes it: JSON at the map's pointers, and the same as texts for templates. Pure; `shape` and
//! the command line call it.

use super::error::{Problem, RecordError};
use super::json::Node;
use super::map::{Field, RecordMap, Source};
use super::value::{Record, Value};
use super::wire;
use crate::event::expr::Texts;

/// The JSON of the record's fields, for a body. A record that is `new` carries its key too, where the map reads one at a
/// pointer that no field has written: without it, no lookup would ever find it again. Read-only and computed fields
/// stay out.
pub fn json(map: &RecordMap, record: &Record, new: bool) -> Result<Node, RecordError> {
    let mut body = Node::Object(Vec::new());
    // Amounts last: their currency gives way to a field of its own, which may spell it differently.
    for amounts in [false, true] {
        for (name, value) in &record.fields {
            if matches!(value, Value::Money { .. }) == amounts {
                put(map, name, value, &mut body)?;
            }
        }
    }
    if new
        && let Some(key) = &record.key
        && let Some(Source::At(at)) = map.layout.key.as_ref().map(|part| &part.from)
        && map.layout.id.as_ref() != Some(at)
        && body.pointer(at).is_none()
    {
        let written = body.set(at, Node::Text(key.clone()));
        written.map_err(|problem| error(map, "key", problem.into()))?;
    }
    Ok(body)
}

/// The system's texts by field name, as they stand in [`json`]; null where that is null.
pub fn texts(map: &RecordMap, record: &Record, body: &Node) -> Texts {
    let places = record.fields.keys().filter_map(|name| {
        let field = map.layout.fields.get(name)?;
        let Source::At(at) = &field.source else {
            return None;
        };
        Some((name, body.pointer(at)?))
    });
    places
        .map(|(name, node)| {
            let text = match node {
                Node::Null => None,
                node => Some(node.plain().map_or_else(|| node.to_json(), str::to_owned)),
            };
            (name.clone(), text)
        })
        .collect()
}

fn put(map: &RecordMap, name: &str, value: &Value, body: &mut Node) -> Result<(), RecordError> {
    let field = field(map, name)?;
    wire::write(field, value, body).map_err(|problem| error(map, name, problem))
}

/// A field of the map, which must have it.
pub(super) fn field<'a>(map: &'a RecordMap, name: &str) -> Result<&'a Field, RecordError> {
    let field = map.layout.fields.get(name);
    field.ok_or_else(|| error(map, name, Problem::NoField))
}

/// An error about one part of a record.
pub(super) fn error(map: &RecordMap, part: &str, problem: Problem) -> RecordError {
    RecordError::Part {
        record: format!("{}.{}", map.system, map.kind),
        part: part.to_owned(),
        problem: Box::new(problem),
    }
}

/// Whether a field can be written at all.
pub(super) fn writable(field: &Field) -> bool {
    !field.read_only && matches!(field.source, Source::At(_))
}
