//! What a mapped path carries over, decided from an event and from what the ledger knows: the records, their order, whether
//! something newer was written, what may be done next. Pure; called by the dispatcher, routing, the front door, previews of
//! replays and `try`.

pub mod owned;
pub mod repair;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::model::{Config, Lane, Mapping, Path, System, Trust, Write};
use crate::event::Event;
use crate::event::expr::Engine;
use crate::record::json::Node;
use crate::record::ledger::{About, Known};
use crate::record::map::{RecordMap, Shape};
use crate::record::mask;
use crate::record::ownership::Entity;
use crate::record::value::{Record, Value};
use crate::record::{self, RecordError, read};
use crate::time::Timestamp;

/// The two ends of a mapped path, as the configuration in force has them.
#[derive(Debug, Clone)]
pub struct Ends {
    /// What is carried over.
    pub mapping: Mapping,
    /// The source system's record maps.
    pub from: BTreeMap<String, Arc<RecordMap>>,
    /// The receiving system's record maps.
    pub to: BTreeMap<String, Arc<RecordMap>>,
    /// The record map that is written.
    pub target: Arc<RecordMap>,
    /// What the source's events are worth.
    pub trust: Trust,
    /// Older records are never sent of themselves.
    pub live_from: Option<Timestamp>,
    /// Versions can be compared with what was written: only one system writes this type there, and in its own versions.
    pub versioned: bool,
    /// Who may write which field of the type that is written, where that is declared.
    pub entity: Option<Arc<Entity>>,
    /// A person decided what it carries: no rule of the entity holds it back.
    pub repairs: bool,
}

/// One record to be carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// As the source has it.
    pub source: Record,
    /// As it should be in the receiving system, in canonical form.
    pub wanted: Record,
    /// Its business key there.
    pub key: String,
}

impl Ends {
    /// The ends of `path`; none if it has no mapping, or the configuration lacks one of its record maps.
    pub fn of(config: &Config, path: &Path) -> Option<Self> {
        let mapping = path.mapping.clone()?;
        let to = config.systems.get(&path.to)?;
        let target = Arc::clone(to.records.get(&mapping.target)?);
        let entity = config.entities.get(&mapping.target).map(Arc::clone);
        if path.lane == Lane::Repair {
            return Some(Self {
                from: BTreeMap::new(),
                to: to.records.clone(),
                target,
                trust: Trust::Event,
                live_from: None,
                versioned: false,
                entity,
                mapping,
                repairs: true,
            });
        }
        let from = config.systems.get(&path.from)?;
        from.records.get(&mapping.source)?;
        Some(Self {
            from: from.records.clone(),
            to: to.records.clone(),
            target,
            trust: from.trust,
            live_from: config.site.live_from,
            versioned: mapping.source == mapping.target && one_writer(config, path, &mapping),
            entity,
            mapping,
            repairs: false,
        })
    }

    /// The records that `event` carries over this path, in order; none if it carries none (an order without items).
    ///
    /// # Errors
    /// When the event cannot be read as its record map says, or a record cannot be translated.
    pub fn carried(&self, event: &Event, engine: &Engine) -> Result<Vec<Carried>, RecordError> {
        if self.repairs {
            let repair = repair::Repair::of(event);
            let carried = repair.map(|repair| repair.carried(&self.target));
            return carried.into_iter().collect();
        }
        let sources = read::from_event(&self.from, &self.mapping.source, event, engine)?;
        let Some(from) = self.from.get(&self.mapping.source) else {
            return Ok(Vec::new());
        };
        let carry = |source: Record| {
            let wanted =
                record::translate(&source, from, &self.target, &self.mapping, event, engine)?;
            let key = wanted.key.clone().unwrap_or_default();
            Ok(Carried {
                source,
                wanted,
                key,
            })
        };
        sources.into_iter().map(carry).collect()
    }

    /// The fields that were already written in a newer version than `carried`'s; all of them mean that it is superseded.
    /// A field that was never written is still news, whatever the record's version.
    pub fn outdated(&self, known: &Known, carried: &Carried) -> Outdated {
        let newer = match (&known.version, &carried.source.version) {
            (Some(written), Some(ours)) if self.versioned => written > ours,
            _ => false,
        };
        if !newer {
            return Outdated::No;
        }
        let written = |name: &String| {
            known
                .fields
                .get(name)
                .is_some_and(|field| field.sent.is_some())
        };
        let fields = &carried.wanted.fields;
        if fields.keys().all(written) {
            return Outdated::All;
        }
        Outdated::Some(
            fields
                .keys()
                .filter(|name| written(name))
                .cloned()
                .collect(),
        )
    }

    /// Where a record stands, by what the ledger knows alone. `text` writes a value (and whether it is sensitive) as the
    /// ledger keeps it.
    pub fn standing(
        &self,
        known: &Known,
        carried: &Carried,
        text: impl Fn(&Value, bool) -> String,
    ) -> Standing {
        if self.outdated(known, carried) == Outdated::All {
            return Standing::Older;
        }
        let is_sent = |(name, value, sensitive): &(String, Value, bool)| {
            let sent = known.fields.get(name).and_then(|field| field.sent.as_ref());
            sent.is_some_and(|(sent, _)| *sent == text(value, *sensitive))
        };
        let wanted = self.sent(&carried.wanted);
        if known.id.is_some() && !wanted.is_empty() && wanted.iter().all(is_sent) {
            return Standing::Same;
        }
        Standing::News
    }

    /// Whether a record is older than the day from which on the path sends of itself, and the receiver is not known to
    /// have it.
    pub fn too_old(&self, known: &Known, source: &Record) -> Option<(Timestamp, Timestamp)> {
        let (from, created) = (self.live_from?, source.created?);
        (created < from && known.id.is_none() && !known.adopted).then_some((created, from))
    }

    /// What was written, as the ledger keeps it: (field, value, sensitive).
    pub fn sent(&self, wanted: &Record) -> Vec<(String, Value, bool)> {
        let fields = &self.target.layout.fields;
        wanted
            .fields
            .iter()
            .filter(|(name, _)| fields.get(*name).is_some_and(|field| !field.read_only))
            .map(|(name, value)| (name.clone(), value.clone(), self.sensitive(name)))
            .collect()
    }

    /// Whether a field's values are kept only as keyed hashes and masked: as a record map or its entity says.
    pub fn sensitive(&self, name: &str) -> bool {
        let entity = self.entity.as_ref();
        if entity.is_some_and(|entity| entity.field(name).is_some_and(|rule| rule.sensitive)) {
            return true;
        }
        let from = self.from.get(&self.mapping.source);
        let said = |map: &RecordMap| {
            let inside = map.from.values().map(|inside| &inside.layout);
            let mut layouts = inside.chain([&map.layout]);
            layouts.any(|layout| layout.fields.get(name).is_some_and(|field| field.sensitive))
        };
        said(&self.target) || from.is_some_and(|map| said(map))
    }

    /// A business key of `kind`, as it may be shown: masked where a field that holds it is sensitive.
    pub fn shown(&self, kind: &str, key: &str) -> String {
        let maps = [self.from.get(kind), self.to.get(kind)];
        mask::shown(maps.into_iter().flatten().map(AsRef::as_ref), key)
    }
}

/// What of a record is older than what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outdated {
    /// Nothing.
    No,
    /// These fields; the others were never written.
    Some(Vec<String>),
    /// All of it: it is superseded.
    All,
}

/// Where a record stands against what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It says something that was not written.
    News,
    /// It is what was written last.
    Same,
    /// Something newer was written.
    Older,
}

/// Whether all paths that write this type there in its own versions come from one system: versions of two systems cannot
/// be compared.
fn one_writer(config: &Config, path: &Path, mapping: &Mapping) -> bool {
    config.paths.iter().all(|other| {
        other.to != path.to
            || other.from == path.from
            || other.mapping.as_ref().is_none_or(|theirs| {
                theirs.target != mapping.target || theirs.source != theirs.target
            })
    })
}

/// What may be done about a record in the receiving system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Look it up first.
    Look,
    /// Make it.
    Create,
    /// Change the one with this id.
    Update(String),
    /// Leave the one with this id as it is: the path only creates.
    Leave(String),
    /// Wait until somebody made it.
    Wait,
}

/// The next move: what the path may do, the id that is remembered, and what a lookup found (none: not asked yet; inner
/// none: not there). Nothing is created before a lookup in the same attempt said that it is not there, and a remembered id
/// that the lookup does not find is tried all the same: its key may have been changed there.
pub fn next_move(
    write: Write,
    id: Option<&str>,
    looked: Option<Option<&str>>,
    can_look: bool,
) -> Move {
    match (looked.flatten().or(id), write) {
        (Some(id), Write::Upsert | Write::Update) => Move::Update(id.to_owned()),
        (Some(id), Write::Create) => Move::Leave(id.to_owned()),
        (None, _) if looked.is_none() && can_look => Move::Look,
        (None, Write::Upsert | Write::Create) => Move::Create,
        (None, Write::Update) => Move::Wait,
    }
}

/// The value that orders the deliveries of a mapped path that says nothing else: the record's business key. None where
/// the event cannot be read: its attempt will say why.
pub fn order_key(config: &Config, path: &Path, event: &Event, engine: &Engine) -> Option<String> {
    let mapping = path.mapping.as_ref()?;
    let from = config.systems.get(&path.from)?;
    let records = read::from_event(&from.records, &mapping.source, event, engine).ok();
    if let Some([one]) = records.as_deref() {
        let target = (mapping.source != mapping.target)
            .then(|| one.refs.get(&mapping.target))
            .flatten();
        if let Some(key) = target.or(one.key.as_ref()).filter(|key| !key.is_empty()) {
            return Some(key.clone());
        }
    }
    // Several records at once, or only an id: what carries them keeps its order.
    let outer = carrier(&from.records, event, engine)?;
    let own = outer.record.key.filter(|key| !key.is_empty());
    own.or(outer.record.id)
}

/// The record that an event itself speaks of, whatever records are inside it.
#[derive(Debug, Clone)]
pub struct Carrier {
    /// Its map.
    pub map: Arc<RecordMap>,
    /// As the event has it; perhaps no more than an id.
    pub record: Record,
}

/// Reads the record that `event` itself speaks of; none where its data is no JSON, or no map carries its type.
pub fn carrier(
    maps: &BTreeMap<String, Arc<RecordMap>>,
    event: &Event,
    engine: &Engine,
) -> Option<Carrier> {
    let found = read::carried(maps, &event.kind)?;
    let map = Arc::clone(maps.get(&found.kind)?);
    let whole = Node::parse(&event.data).ok()?;
    let record = read::one(&map, whole.pointer(&map.at)?, engine).ok()?;
    Some(Carrier { map, record })
}

/// `event`, with the record that it speaks of as the answer `bytes` to `shape` have it now; `record` is the one of the
/// answer's that is meant. Everything else stays as it came.
pub fn refreshed(
    event: &Event,
    map: &RecordMap,
    shape: &Shape,
    record: &Record,
    bytes: &[u8],
    engine: &Engine,
) -> Option<Event> {
    let whole = Node::parse(bytes).ok()?;
    let found = whole.pointer(&shape.answer)?;
    let is_meant = |node: &&Node| read::one(map, node, engine).is_ok_and(|read| read == *record);
    let node = match found {
        Node::Array(items) if shape.items => items
            .iter()
            .filter_map(|item| item.pointer(&shape.item))
            .find(is_meant)?,
        one => one,
    };
    let data = if map.at.is_empty() {
        node.clone()
    } else {
        let mut data = Node::parse(&event.data).ok()?;
        data.set(&map.at, node.clone()).ok()?;
        data
    };
    Some(Event {
        data: data.to_json().into(),
        ..event.clone()
    })
}

/// The business records that an event speaks of, as its system's maps read it: the one it carries, those inside it, and
/// those it refers to. What cannot be read is passed over: this is for stories, and never a reason to refuse an event.
pub fn about(system: &System, event: &Event, engine: &Engine) -> Vec<About> {
    let mut about = Vec::new();
    let mut tell = |kind: &str, key: String| {
        let kind = kind.to_owned();
        let one = About { kind, key };
        if !one.key.is_empty() && !about.contains(&one) {
            about.push(one);
        }
    };
    let Some(outer) = read::carried(&system.records, &event.kind) else {
        return about;
    };
    let Ok(data) = Node::parse(&event.data) else {
        return about;
    };
    let Some(node) = data.pointer(&outer.at) else {
        return about;
    };
    if let Ok(record) = read::one(outer, node, engine) {
        if let Some(key) = record.key {
            tell(&outer.kind, key);
        }
        for (kind, key) in record.refs {
            tell(&kind, key);
        }
    }
    for (kind, map) in &system.records {
        if *kind == outer.kind || !map.from.contains_key(&outer.kind) {
            continue;
        }
        let inside = read::within(&system.records, kind, outer, node, engine).unwrap_or_default();
        for key in inside.into_iter().filter_map(|record| record.key) {
            tell(kind, key);
        }
    }
    about
}

#[cfg(test)]
mod tests;
