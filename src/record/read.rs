//! Records out of JSON: from an event, from an API's answer, and from inside another record. Pure.
//!
//! A part that is missing is not in the record; null and blank are values of a field, and no key, id or version at all.
//! A field that is there but is not what its map says is kept apart, with the reason: it stops only what needs it. Keys,
//! ids and versions are never guessed: one that cannot be read is an error. The dispatcher, the intake, `remote` and the
//! command line call it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::body;
use super::error::{Problem, RecordError};
use super::instant;
use super::json::Node;
use super::map::{Field, Inside, Layout, Part, RecordMap, Source, VersionAt};
use super::value::{Record, Value, Version};
use super::wire::{self, Beside};
use crate::event::Event;
use crate::event::expr::{Engine, Scope};

/// The maps of one system, by record type.
pub type Maps = BTreeMap<String, Arc<RecordMap>>;

/// Reads a record from its own JSON, as the system answers it.
pub fn one(map: &RecordMap, node: &Node, engine: &Engine) -> Result<Record, RecordError> {
    Reader::new(map, &map.layout, node, None, engine).record()
}

/// The record type that an event type carries, by the maps' `events`: an exact name before a prefix, a longer prefix
/// before a shorter one.
pub fn carried<'a>(maps: &'a Maps, event_kind: &str) -> Option<&'a RecordMap> {
    let rank = |pattern: &str| match pattern.strip_suffix('*') {
        None => (pattern == event_kind).then_some(usize::MAX),
        Some(prefix) => event_kind.starts_with(prefix).then_some(prefix.len()),
    };
    let mut best: Option<(usize, &RecordMap)> = None;
    for map in maps.values() {
        let found = map.events.iter().filter_map(|pattern| rank(pattern)).max();
        // The first of equals, by name: the same on every run.
        if let Some(found) = found
            && best.is_none_or(|(known, _)| found > known)
        {
            best = Some((found, map));
        }
    }
    best.map(|(_, map)| map)
}

/// Whether an event type exists that both patterns take.
pub fn overlap(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (None, None) => one == other,
        (Some(prefix), None) => other.starts_with(prefix),
        (None, Some(prefix)) => one.starts_with(prefix),
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
    }
}

/// The records of type `kind` that an event carries: the one that it is about, or those inside it (`from`); none where
/// it could carry some and has none.
pub fn from_event(
    maps: &Maps,
    kind: &str,
    event: &Event,
    engine: &Engine,
) -> Result<Vec<Record>, RecordError> {
    let not_carried = || RecordError::NotCarried {
        kind: kind.to_owned(),
        event: event.kind.clone(),
    };
    let outer = carried(maps, &event.kind).ok_or_else(not_carried)?;
    if outer.kind != kind && inside(maps, kind, outer).is_none() {
        return Err(not_carried());
    }
    let data = Node::parse(&event.data).map_err(|error| RecordError::NotJson {
        what: "the event's data",
        error,
    })?;
    let node = data.pointer(&outer.at);
    let node = object(node, "the event's data", &outer.at)?;
    within(maps, kind, outer, node, engine)
}

/// The records of type `kind` in a record of type `outer` of the same system: itself, or those inside it.
pub fn within(
    maps: &Maps,
    kind: &str,
    outer: &RecordMap,
    node: &Node,
    engine: &Engine,
) -> Result<Vec<Record>, RecordError> {
    if outer.kind == kind {
        return Ok(vec![one(outer, node, engine)?]);
    }
    let Some((map, inside)) = inside(maps, kind, outer) else {
        return Err(RecordError::NotCarried {
            kind: kind.to_owned(),
            event: outer.kind.clone(),
        });
    };
    let read = |node, outer| Reader::new(map, &inside.layout, node, outer, engine).record();
    let Some(at) = &inside.many else {
        return Ok(vec![read(node, None)?]);
    };
    let what = || format!("{}.{}", outer.system, outer.kind);
    match node.pointer(at) {
        None | Some(Node::Null) => Ok(Vec::new()),
        Some(Node::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(place, item)| {
                let item = object(Some(item), &what(), &format!("{at}/{place}"))?;
                read(item, Some(node))
            })
            .collect(),
        Some(other) => Err(RecordError::Place {
            what: what(),
            at: at.clone(),
            expected: "an array",
            found: other.what(),
        }),
    }
}

fn inside<'a>(
    maps: &'a Maps,
    kind: &str,
    outer: &RecordMap,
) -> Option<(&'a RecordMap, &'a Inside)> {
    let map = maps.get(kind)?;
    Some((map, map.from.get(&outer.kind)?))
}

/// That there is an object, which every record is.
pub(super) fn object<'a>(
    node: Option<&'a Node>,
    what: &str,
    at: &str,
) -> Result<&'a Node, RecordError> {
    match node {
        Some(node @ Node::Object(_)) => Ok(node),
        other => Err(RecordError::Place {
            what: what.to_owned(),
            at: at.to_owned(),
            expected: "an object",
            found: other.map_or("nothing", Node::what),
        }),
    }
}

/// Reads one record; its templates share one view of the JSON.
struct Reader<'a> {
    map: &'a RecordMap,
    layout: &'a Layout,
    beside: Beside<'a>,
    engine: &'a Engine,
    scope: OnceCell<Scope>,
}

impl<'a> Reader<'a> {
    fn new(
        map: &'a RecordMap,
        layout: &'a Layout,
        node: &'a Node,
        outer: Option<&'a Node>,
        engine: &'a Engine,
    ) -> Self {
        Self {
            map,
            layout,
            beside: Beside { node, outer },
            engine,
            scope: OnceCell::new(),
        }
    }

    fn record(&self) -> Result<Record, RecordError> {
        let layout = self.layout;
        let mut record = Record {
            key: match &layout.key {
                Some(part) => self.part("key", part)?,
                None => None,
            },
            id: match &layout.id {
                Some(at) => self.text("id", at)?,
                None => None,
            },
            version: match &layout.version {
                Some(version) => self.version(version)?,
                None => None,
            },
            ..Record::default()
        };
        if let Some(at) = &layout.created {
            record.created = match self.text("created", at)? {
                Some(text) => {
                    let at = instant::parse(&text).or_else(|| instant::seconds(&text));
                    Some(at.ok_or_else(|| self.wrong("created", "a time", &text))?)
                }
                None => None,
            };
        }
        for (name, part) in &layout.refs {
            if let Some(key) = self.part(&format!("refs.{name}"), part)? {
                record.refs.insert(name.clone(), key);
            }
        }
        for (name, field) in &layout.fields {
            match self.field(field) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    record.fields.insert(name.clone(), value);
                }
                Err(problem) => {
                    record
                        .unread
                        .insert(name.clone(), self.error(name, problem));
                }
            }
        }
        Ok(record)
    }

    fn error(&self, part: &str, problem: Problem) -> RecordError {
        body::error(self.map, part, problem)
    }

    fn wrong(&self, part: &str, expected: &'static str, found: &str) -> RecordError {
        self.error(
            part,
            Problem::Type {
                expected,
                found: format!("`{found}`"),
            },
        )
    }

    fn render(&self, template: &str) -> Result<String, Problem> {
        let scope = self
            .scope
            .get_or_init(|| Scope::record(self.beside.node, self.beside.outer));
        Ok(self.engine.render_in(template, scope)?)
    }

    /// A text at a pointer; none where it is missing, null or blank.
    fn text(&self, part: &str, at: &str) -> Result<Option<String>, RecordError> {
        match self.beside.node.pointer(at) {
            None | Some(Node::Null) => Ok(None),
            Some(node) => {
                let Some(text) = node.plain() else {
                    let found = node.what().to_owned();
                    let expected = "a text or a number";
                    return Err(self.error(part, Problem::Type { expected, found }));
                };
                Ok((!text.trim().is_empty()).then(|| text.to_owned()))
            }
        }
    }

    fn part(&self, name: &str, part: &Part) -> Result<Option<String>, RecordError> {
        let text = match &part.from {
            Source::At(at) => self.text(name, at)?,
            Source::Computed(template) => {
                let text = self.render(template);
                Some(text.map_err(|problem| self.error(name, problem))?)
            }
        };
        Ok(text
            .map(|text| wire::clean(&text, &part.clean))
            .filter(|text| !text.trim().is_empty()))
    }

    fn version(&self, version: &VersionAt) -> Result<Option<Version>, RecordError> {
        let Some(text) = self.text("version", &version.at)? else {
            return Ok(None);
        };
        let (read, expected) = if version.number {
            (
                text.trim().parse().ok().map(Version::Number),
                "a whole number",
            )
        } else {
            (
                instant::parse(&text).map(Version::Instant),
                "an RFC 3339 time",
            )
        };
        match read {
            Some(version) => Ok(Some(version)),
            None => Err(self.wrong("version", expected, &text)),
        }
    }

    fn field(&self, field: &Field) -> Result<Option<Value>, Problem> {
        match &field.source {
            Source::At(at) => match self.beside.node.pointer(at) {
                None => Ok(None),
                Some(found) => wire::read(field, found, self.beside).map(Some),
            },
            Source::Computed(template) => {
                let found = Node::Text(self.render(template)?);
                wire::read(field, &found, self.beside).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests;
