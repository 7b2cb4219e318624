//! Holds the stored events of a type to a proposed version: how many would fail, and of the newest of them what, where and
//! which records. Reads in stretches, and keeps nothing of an event but what is told.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::context::reader;
use super::super::veil::maps_of;
use crate::config::model::Config;
use crate::event::contract::{Fault, Schema, read};
use crate::event::expr::Engine;
use crate::event::{Event, Origin};
use crate::ids::EventId;
use crate::queue::mapped::about;
use crate::record::mask::{self, Veil};
use crate::record::read::carried;
use crate::watch::grouped;

/// Of so many events that would fail it is told why.
const TOLD: usize = 5;

/// What the stored events of a type have against a version.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    /// The event type.
    #[serde(rename = "type")]
    kind: String,
    /// Events that could be read, without those that were given up.
    events: u64,
    /// Of those, how many the version refuses.
    pub(super) would_fail: u64,
    /// Of those, how many are held as it is.
    held: u64,
    /// Events whose payload was pruned: nobody knows of them.
    pruned: u64,
    /// The newest that would fail.
    first: Vec<Failing>,
}

/// An event that would fail. Sensitive values and keys are masked.
#[derive(Debug, Serialize)]
struct Failing {
    event: EventId,
    source: String,
    version: Option<String>,
    /// The records that it is about, its own first: type and business key.
    keys: Vec<[String; 2]>,
    faults: Vec<Fault>,
}

/// Looks at every stored event of a type. An event of midwatch's own is held to no contract.
pub(super) fn hold(config: &Config, kind: &str, schema: &Schema) -> anyhow::Result<Stored> {
    let reader = reader(config)?;
    let engine = Engine::new();
    let mut stored = Stored {
        kind: kind.to_owned(),
        events: 0,
        would_fail: 0,
        held: 0,
        pruned: 0,
        first: Vec::new(),
    };
    let mut before = None;
    loop {
        before = reader.events_of(kind, before, &mut |found| {
            let Some(event) = found.event else {
                stored.pruned += 1;
                return;
            };
            if event.origin == Origin::Internal {
                return;
            }
            stored.events += 1;
            let value = read(&event.data);
            if value.as_ref().is_ok_and(|value| schema.accepts(value)) {
                return;
            }
            stored.would_fail += 1;
            stored.held += u64::from(found.held);
            if stored.first.len() < TOLD {
                let faults = value.map_or_else(|fault| vec![fault], |value| schema.faults(&value));
                let failing = failing(config, found.id, &event, faults, &engine);
                stored.first.push(failing);
            }
        })?;
        if before.is_none() {
            return Ok(stored);
        }
    }
}

fn failing(
    config: &Config,
    id: EventId,
    event: &Event,
    faults: Vec<Fault>,
    engine: &Engine,
) -> Failing {
    let system = config.systems.get(&event.source);
    let mut keys: Vec<[String; 2]> = system
        .map(|system| about(system, event, engine))
        .unwrap_or_default()
        .into_iter()
        .map(|about| {
            let shown = mask::shown(maps_of(config, &about.kind), &about.key);
            [about.kind, shown]
        })
        .collect();
    if let (true, Some(subject)) = (keys.is_empty(), &event.subject) {
        // What its record map cannot read still has the key that its sender gave.
        let map = system.and_then(|system| carried(&system.records, &event.kind));
        let kind = map.map_or("subject", |map| map.kind.as_str());
        let shown = mask::shown(maps_of(config, kind), subject);
        keys.push([kind.to_owned(), shown]);
    }
    Failing {
        event: id,
        source: event.source.clone(),
        version: event.schema_version.clone(),
        keys,
        faults: Veil::of(config, &event.source, &event.kind, &event.data).faults(faults),
    }
}

impl Stored {
    /// For people.
    pub(super) fn words(&self) -> String {
        let mut out = match (self.events, self.would_fail) {
            (0, _) => format!("{}: no event of this type is stored", self.kind),
            (events, failing) => format!(
                "{}: {} of {} would fail",
                self.kind,
                grouped(failing),
                grouped(events)
            ),
        };
        if self.held > 0 {
            let _ = write!(out, " ({} of them are held now)", grouped(self.held));
        }
        if self.pruned > 0 {
            let pruned = grouped(self.pruned);
            let _ = write!(out, "; {pruned} more have no payload any more");
        }
        for one in &self.first {
            let _ = write!(out, "\n  event {} from {}", one.event, one.source);
            if let Some(version) = &one.version {
                let _ = write!(out, ", version {version}");
            }
            for [kind, key] in &one.keys {
                let _ = write!(out, ", {kind} {key}");
            }
            for fault in &one.faults {
                let at = super::place(&fault.pointer);
                let _ = write!(out, "\n    {at}  {}: {}", fault.rule, fault.text);
            }
        }
        let more = self.would_fail - self.first.len() as u64;
        if more > 0 {
            let _ = write!(out, "\n  and {} more", grouped(more));
        }
        out
    }
}
