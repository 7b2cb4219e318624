//! The front door: HTTP in front ([`server`]), and the [`Intake`] that everything which accepts events goes through.
//! It must never answer for an event before the store has it on disk, and never read past what a sender may send.

mod guard;
mod head;
mod keys;
mod metrics;
mod problem;
mod routes;
pub mod server;

use std::sync::Arc;

use crate::config::live::{Live, Runtime};
use crate::event::contract::{self, Fault, Refusal};
use crate::event::expr::Engine;
use crate::event::hook::{self, Mapped};
use crate::event::{Event, Origin, digest};
use crate::queue::mapped;
use crate::queue::route::{Routing, route};
use crate::record::ledger::About;
use crate::record::map::changed;
use crate::record::read;
use crate::store::{Incoming, Receipt, Route, Store, StoreError};

/// What a sender of more than `most` bytes (`ingest.max_body`) is told.
pub fn too_large(most: usize) -> String {
    format!("at most {most} bytes are taken")
}

/// Takes events in: digests, routes by the configuration in force, and stores them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    store: Store,
    live: Live,
    engine: Engine,
}

impl Intake {
    /// An intake into `store`, routing by `live`.
    pub fn new(store: Store, live: Live) -> Self {
        Self {
            store,
            live,
            engine: Engine::new(),
        }
    }

    /// The engine, so that its compiled expressions are shared.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stores `events` and returns a receipt for each, in order, when they are on disk. On an error nothing is stored.
    /// `hold_on_conflict`: what comes again under a known id with other content is held instead of refused.
    pub async fn admit(
        &self,
        events: Vec<Event>,
        hold_on_conflict: bool,
    ) -> Result<Vec<Receipt>, StoreError> {
        let runtime = Arc::clone(&self.live.borrow());
        let batch = events
            .into_iter()
            .map(|event| self.incoming(&runtime, event, None, hold_on_conflict))
            .collect();
        self.store.accept(batch).await
    }

    /// Stores a vendor's event; one that could not be mapped is held with the reason.
    pub async fn admit_hook(&self, mapped: Mapped) -> Result<Option<Receipt>, StoreError> {
        let runtime = Arc::clone(&self.live.borrow());
        let incoming = self.incoming(&runtime, mapped.event, mapped.hold, true);
        Ok(self.store.accept(vec![incoming]).await?.pop())
    }

    /// What the door says now, by `runtime`, of an event that was held or unrouted when it came: one judgement for both.
    /// What could not be mapped or read then is tried again; a request's headers are not kept, so that a mapping which
    /// needs them still fails.
    pub fn again(&self, runtime: &Runtime, event: Event) -> Incoming {
        let system = runtime.config.systems.get(&event.source);
        let hooks = system.and_then(|system| system.hooks.as_ref());
        if event.kind == hook::UNMAPPED && matches!(event.origin, Origin::Hook | Origin::Poll) {
            let Some(hooks) = hooks else {
                let reason = "its system has no hooks in the configuration".to_owned();
                return self.incoming(runtime, event, Some(reason), true);
            };
            let none = std::iter::empty::<(&str, &[u8])>();
            let content = event.content_type.as_deref();
            let (mapping, source) = (&hooks.mapping, &event.source);
            let mapped = hook::map(&self.engine, mapping, source, none, content, &event.data);
            let event = Event {
                // By the first one it is known, should the vendor send it again.
                id: event.id,
                ..mapped.event
            };
            return self.incoming(runtime, event, mapped.hold, true);
        }
        let unread = system
            .filter(|_| event.origin == Origin::Poll)
            .and_then(|system| {
                let map = read::carried(&system.records, &event.kind)
                    .filter(|map| event.kind == changed(&map.kind))?;
                read::from_event(&system.records, &map.kind, &event, &self.engine).err()
            });
        let hold = unread.map(|error| format!("a listed record could not be read: {error}"));
        self.incoming(runtime, event, hold, true)
    }

    /// Whether a path takes the event, or why it takes none is to be told. For those who list: what a vendor lists and nobody
    /// asked for is not worth keeping.
    pub fn is_wanted(&self, event: &Event) -> bool {
        let runtime = Arc::clone(&self.live.borrow());
        !matches!(route(&runtime, &self.engine, event), Routing::Routes(routes) if routes.is_empty())
    }

    fn incoming(
        &self,
        runtime: &Runtime,
        event: Event,
        hold: Option<String>,
        hold_on_conflict: bool,
    ) -> Incoming {
        // What could not be mapped has no type of its own whose contract it could keep to.
        let refusal = match hold {
            Some(reason) => Some(Held::of(reason)),
            None => contract::verify(&runtime.config.contracts, &event)
                .err()
                .map(Held::from),
        };
        let (routes, refusal) = match refusal {
            Some(refusal) => (Vec::new(), Some(refusal)),
            None => match route(runtime, &self.engine, &event) {
                Routing::Routes(routes) => (routes, None),
                Routing::Hold(reason) => (Vec::new(), Some(Held::of(reason))),
            },
        };
        let Held {
            hold,
            group,
            faults,
        } = refusal.unwrap_or_default();
        let system = runtime.config.systems.get(&event.source);
        let exclude = system
            .and_then(|system| system.hooks.as_ref())
            .map_or(&[][..], |hooks| &hooks.exclude);
        Incoming {
            digest: digest::of(&event, exclude),
            about: self.about(runtime, &event, &routes),
            event,
            routes,
            hold,
            faults,
            group,
            hold_on_conflict,
        }
    }

    /// The business records that an event speaks of, as its system's record maps read it: for their stories. An event of
    /// another source is read as that of the system whose path it takes.
    fn about(&self, runtime: &Runtime, event: &Event, routes: &[Route]) -> Vec<About> {
        let systems = &runtime.config.systems;
        let of_route = |route: &Route| systems.get(&runtime.path(route.path)?.from);
        let system = systems
            .get(&event.source)
            .or_else(|| routes.first().and_then(of_route));
        match system {
            Some(system) if !system.records.is_empty() => {
                // The maps read the version that the paths read.
                let path = routes.first().and_then(|route| runtime.path(route.path));
                let read = path.and_then(|path| {
                    contract::readable(&runtime.config, path, event, &self.engine).ok()
                });
                mapped::about(system, read.as_deref().unwrap_or(event), &self.engine)
            }
            _ => Vec::new(),
        }
    }
}

/// Why an event is held at the door.
#[derive(Debug, Default)]
struct Held {
    hold: Option<String>,
    group: Option<String>,
    faults: Vec<Fault>,
}

impl Held {
    fn of(reason: String) -> Self {
        Self {
            hold: Some(reason),
            ..Self::default()
        }
    }
}

impl From<Refusal> for Held {
    fn from(refusal: Refusal) -> Self {
        Self {
            hold: Some(refusal.reason),
            group: Some(refusal.group),
            faults: refusal.faults,
        }
    }
}

#[cfg(test)]
mod tests;
