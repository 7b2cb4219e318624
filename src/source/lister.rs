//! What systems list becomes events of ours: records that changed (polling and backfill), and a vendor's own events
//! (backfill). Each page is taken in before the next is asked for; what is known already is dropped by the store, or here.
//! Must never decide since when to list.

use crate::config::model::Hooks;
use crate::event::expr::Engine;
use crate::event::hook::{self, Mapped};
use crate::event::{Event, Origin};
use crate::http::Outbound;
use crate::ingest::Intake;
use crate::record::json::Node;
use crate::record::map::RecordMap;
use crate::record::read;
use crate::record::value::Record;
use crate::remote::Remote;
use crate::store::{Receipt, Store};
use crate::time::Timestamp;

use super::changed::{self, Progress};
use crate::config::live::Live;

/// Takes in what is listed. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lister {
    pub(super) store: Store,
    pub(super) live: Live,
    pub(super) outbound: Outbound,
    pub(super) remote: Remote,
    intake: Intake,
    engine: Engine,
}

impl Lister {
    pub(super) fn new(store: Store, live: Live, outbound: Outbound, engine: Engine) -> Self {
        Self {
            remote: Remote::new(live.clone(), outbound.clone(), engine.clone()),
            intake: Intake::new(store.clone(), live.clone()),
            store,
            live,
            outbound,
            engine,
        }
    }

    /// Takes in the records of one page that changed since `since`. `once`: what a source told of them by itself, under a type
    /// of its own, counts as known.
    pub(super) async fn records(
        &self,
        map: &RecordMap,
        page: &[Node],
        since: Timestamp,
        once: bool,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let mut events = Vec::with_capacity(page.len());
        for node in page {
            progress.seen += 1;
            let bytes = node.to_json();
            match read::one(map, node, &self.engine) {
                Ok(record) if !changed::is_new(&record, since) => {}
                Ok(record) if once && self.is_told(map, &record, node).await? => {}
                Ok(record) => match changed::event(map, &record, bytes.as_bytes()) {
                    Some(event) if once && !self.intake.is_wanted(&event) => progress.unwanted += 1,
                    Some(event) => events.push(event),
                    None => progress.keyless += 1,
                },
                Err(error) => {
                    let held = Mapped {
                        event: changed::unread(map, bytes.as_bytes()),
                        hold: Some(format!("a listed {} could not be read: {error}", map.kind)),
                    };
                    let receipt = self.intake.admit_hook(held).await;
                    receipt.map_err(|error| error.to_string())?;
                    progress.held += 1;
                }
            }
        }
        progress.new += self.take_in(events).await?;
        Ok(())
    }

    /// Takes in what a vendor lists of its own events, each as its webhook would have brought it; nothing that happened before
    /// `since`.
    pub(super) async fn events(
        &self,
        hooks: &Hooks,
        system: &str,
        page: impl Iterator<Item = &Node>,
        since: Timestamp,
        progress: &mut Progress,
    ) -> Result<(), String> {
        const JSON: Option<&str> = Some("application/json");
        let words = |error: crate::store::StoreError| error.to_string();
        for node in page {
            progress.seen += 1;
            let none = std::iter::empty::<(&str, &[u8])>();
            let body = node.to_json().into();
            let mut mapped = hook::map(&self.engine, &hooks.mapping, system, none, JSON, &body);
            mapped.event.origin = Origin::Poll;
            if mapped.event.time.is_some_and(|at| at < since) {
                continue;
            }
            let receipt = if mapped.hold.is_some() {
                progress.held += 1;
                self.intake.admit_hook(mapped).await.map_err(words)?
            } else if self.intake.is_wanted(&mapped.event) {
                // In the vendor's order, so that what belongs to one record is taken in as it happened.
                let receipts = self.intake.admit(vec![mapped.event], false).await;
                receipts.map_err(words)?.pop()
            } else {
                progress.unwanted += 1;
                None
            };
            progress.new += u64::from(receipt.as_ref().is_some_and(is_new));
        }
        Ok(())
    }

    /// When an event of a vendor's list happened.
    pub(super) fn happened(&self, hooks: &Hooks, system: &str, node: &Node) -> Option<Timestamp> {
        let headers = std::iter::empty::<(&str, &[u8])>();
        let (mapping, body) = (&hooks.mapping, node.to_json().into());
        hook::map(&self.engine, mapping, system, headers, None, &body)
            .event
            .time
    }

    /// Whether its source told this state of the record, or a newer one, by itself.
    async fn is_told(&self, map: &RecordMap, record: &Record, node: &Node) -> Result<bool, String> {
        let Some(key) = &record.key else {
            return Ok(false);
        };
        let words = |error: crate::store::StoreError| error.to_string();
        let (source, kind) = (map.system.clone(), map.kind.clone());
        let told = (self.store)
            .told(source.clone(), kind.clone(), key.clone())
            .await
            .map_err(words)?;
        let config = self.live.borrow().config.clone();
        let Some(system) = config.systems.get(&map.system) else {
            return Ok(false);
        };
        let mut is_carried = false;
        for event in &told {
            let Some(outer) = read::carried(&system.records, &event.kind) else {
                continue;
            };
            if outer.kind != map.kind {
                continue;
            }
            let Ok(data) = Node::parse(&event.data) else {
                continue;
            };
            let Some(before) = data.pointer(&outer.at) else {
                continue;
            };
            let Ok(read) = read::one(outer, before, &self.engine) else {
                continue;
            };
            is_carried = true;
            let is_later = matches!((&read.version, &record.version), (Some(a), Some(b)) if a > b);
            // Within one second a record may change twice.
            if is_later || (read.version == record.version && before == node) {
                return Ok(true);
            }
        }
        if is_carried {
            return Ok(false);
        }
        // What was told is not kept any more, or was never told: what was carried from there is.
        let known = self.store.known(source, kind, key.clone()).await;
        let known = known.map_err(words)?.version;
        Ok(matches!((&known, &record.version), (Some(a), Some(b)) if a >= b))
    }

    /// Takes events in; how many were new. What is known under the same version with other content comes under an id of
    /// its own.
    async fn take_in(&self, events: Vec<Event>) -> Result<u64, String> {
        if events.is_empty() {
            return Ok(0);
        }
        let words = |error: crate::store::StoreError| error.to_string();
        let receipts = self
            .intake
            .admit(events.clone(), false)
            .await
            .map_err(words)?;
        let mut new = receipts.iter().filter(|receipt| is_new(receipt)).count();
        let differing: Vec<Event> = (events.into_iter().zip(&receipts))
            .filter(|(_, receipt)| matches!(receipt, Receipt::Conflict { .. }))
            .map(|(event, _)| changed::again(event))
            .collect();
        if !differing.is_empty() {
            let receipts = self.intake.admit(differing, false).await.map_err(words)?;
            new += receipts.iter().filter(|receipt| is_new(receipt)).count();
        }
        Ok(new as u64)
    }
}

fn is_new(receipt: &Receipt) -> bool {
    !matches!(
        receipt,
        Receipt::Duplicate { .. } | Receipt::Conflict { .. }
    )
}
