//! The events that carry a plan's writes: repairs for the internal paths, and for what is to be made an event of the record
//! itself, on the one path that makes such records. Pure; called by `apply`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::second::Again;
use crate::config::live::Runtime;
use crate::config::model::{Config, INTERNAL, JobSide, Matching, Path, Records, Write};
use crate::event::expr::Engine;
use crate::event::{Event, Origin};
use crate::queue::mapped::repair::{EVENT_TYPE, ORIGIN, Repair};
use crate::queue::route;
use crate::record::json::Node;
use crate::record::ledger::About;
use crate::record::map::{RecordMap, changed, wrapped};
use crate::record::value::Value;
use crate::record::{mask, read};
use crate::store::view::{PlanRow, PlanWrite};
use crate::store::{Incoming, Route};
use crate::time::Timestamp;

/// Makes events of the writes of one record of a system.
pub(super) struct Carrier<'a> {
    pub(super) runtime: Arc<Runtime>,
    pub(super) engine: &'a Engine,
    pub(super) records: &'a Records,
    pub(super) plan: &'a PlanRow,
    /// The side that is written.
    pub(super) to: usize,
    pub(super) now: Timestamp,
}

/// The type of the events that carry the records of a side.
///
/// # Errors
/// In words, where there is none.
pub(super) fn event_kind(config: &Config, from: &JobSide) -> Result<String, String> {
    let system = config.systems.get(&from.system);
    let carries = |kind: &String| {
        let map = system.and_then(|system| read::carried(&system.records, kind));
        map.is_some_and(|map| map.kind == from.kind)
    };
    let exact = from.map.events.iter().filter(|kind| !kind.ends_with('*'));
    let mut all = std::iter::once(changed(&from.kind)).chain(exact.cloned());
    all.find(carries).ok_or_else(|| {
        format!(
            "no event type carries {0} of {1}: add `events` to [systems.{1}.records.{0}]",
            from.kind, from.system
        )
    })
}

/// An event, or why it cannot be made.
type Made = Result<Incoming, String>;

impl Carrier<'_> {
    /// Fields that change: the values are those of the other side as it was read just now, or what the job says.
    pub(super) fn update(&self, writes: &[&PlanWrite], again: &Again) -> Made {
        let mut values = Vec::new();
        for write in writes {
            let source = again.records[1 - self.to].first();
            let name = write.field.clone().unwrap_or_default();
            let value = match self.records.matching {
                Matching::Key => source
                    .and_then(|record| record.fields.get(&name))
                    .map(Value::canonical),
                Matching::Money(_) => write.to.clone(),
            };
            match value {
                Some(value) => values.push((*write, value)),
                None => return Err(format!("what is to stand in {name} cannot be read")),
            }
        }
        self.back(&values, again)
    }

    /// Fields that are given these values (canonical texts); what is there now is kept with them.
    pub(super) fn back(&self, values: &[(&PlanWrite, String)], again: &Again) -> Made {
        let Some((first, _)) = values.first() else {
            return Err("nothing is to be written".to_owned());
        };
        let held = again.records[self.to].first();
        let mut repair = self.repair(first);
        for (write, value) in values {
            let name = write.field.clone().unwrap_or_default();
            let before = held
                .and_then(|record| record.fields.get(&name))
                .map(Value::canonical);
            repair.before.insert(name.clone(), before);
            repair.fields.insert(name, value.clone());
        }
        self.internal(first, &repair)
    }

    /// A record that is removed.
    pub(super) fn delete(&self, write: &PlanWrite) -> Made {
        let repair = Repair {
            delete: true,
            ..self.repair(write)
        };
        self.internal(write, &repair)
    }

    fn repair(&self, write: &PlanWrite) -> Repair {
        Repair {
            entity: write.kind.clone(),
            key: write.key.clone(),
            systems: vec![write.system.clone()],
            plan: Some(self.plan.id.0),
            ..Repair::default()
        }
    }

    fn internal(&self, write: &PlanWrite, repair: &Repair) -> Made {
        let name = Path::repair(&write.system, &write.kind);
        let Some(path) = self.runtime.id(&name) else {
            return Err(format!(
                "{}.{} has no `update` any more",
                write.system, write.kind
            ));
        };
        let data = serde_json::to_vec(repair)
            .map_err(|error| format!("a repair cannot be written: {error}"))?;
        let event = Event {
            source: INTERNAL.to_owned(),
            kind: EVENT_TYPE.to_owned(),
            data: Bytes::from(data),
            ..self.event(write)
        };
        let about = About {
            kind: write.kind.clone(),
            key: write.key.clone(),
        };
        Ok(incoming(event, path, about))
    }

    /// A record that is made: the other side's, as it was answered just now.
    pub(super) fn create(&self, write: &PlanWrite, node: &Node) -> Made {
        let (from, to) = (
            &self.records.sides[1 - self.to],
            &self.records.sides[self.to],
        );
        let makes = |path: &&Path| {
            path.from == from.system
                && path.to == to.system
                && path.mapping.as_ref().is_some_and(|mapping| {
                    mapping.source == from.kind
                        && mapping.target == to.kind
                        && mapping.write != Write::Update
                })
        };
        let path = self.runtime.config.paths.iter().find(makes);
        let Some((path, id)) = path.and_then(|path| Some((path, self.runtime.id(&path.name)?)))
        else {
            return Err(format!(
                "no path makes {} in {} any more",
                to.kind, to.system
            ));
        };
        let kind = event_kind(&self.runtime.config, from)?;
        let system = self.runtime.config.systems.get(&from.system);
        let maps = system.map(|system| &system.records);
        let event = Event {
            source: from.system.clone(),
            kind,
            data: wrapped(&from.map.at, node.to_json().as_bytes()),
            ..self.event(write)
        };
        if let Err(error) = read::from_event(
            &maps.cloned().unwrap_or_default(),
            &from.kind,
            &event,
            self.engine,
        ) {
            return Err(format!("path {} could not read it: {error}", path.name));
        }
        let about = About {
            kind: to.kind.clone(),
            key: write.key.clone(),
        };
        Ok(incoming(event, id, about))
    }

    fn event(&self, write: &PlanWrite) -> Event {
        let (plan, job) = (self.plan, &self.plan.job);
        let id = format!("plan/{}/{}", plan.id, write.n);
        let systems = self.runtime.config.systems.values();
        let maps = systems.filter_map(|system| system.records.get(&write.kind));
        let is_plain = mask::shown(maps.map(AsRef::<RecordMap>::as_ref), &write.key) == write.key;
        Event {
            source: String::new(),
            idempotency_key: Some(format!("{id}/{}", plan.at.0)),
            id: format!("{id}/{}", plan.at.0),
            kind: String::new(),
            subject: is_plain.then(|| write.key.clone()),
            time: Some(self.now),
            content_type: Some("application/json".to_owned()),
            schema_version: None,
            extensions: vec![(ORIGIN.to_owned(), format!("reconcile/{job}/{}", plan.run))],
            data: Bytes::new(),
            origin: Origin::Internal,
        }
    }
}

fn incoming(event: Event, path: crate::ids::PathId, about: About) -> Incoming {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(&event.data)[..16]);
    Incoming {
        routes: vec![Route {
            path,
            order_key: Some(route::indexable(about.key.clone())),
            on_dead_continue: true,
            delay: Duration::ZERO,
            hold: None,
        }],
        event,
        hold: None,
        faults: Vec::new(),
        group: None,
        hold_on_conflict: false,
        digest,
        about: vec![about],
    }
}
