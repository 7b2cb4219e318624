//! Polling: for each record type that the configuration says so of, lists what changed since the last run and takes it in
//! as events. One run of a type at a time; due times outlive a restart, intervals are monotonic.
//!
//! A run asks again for a little of what the last one saw; what is known is dropped by the store. The mark moves only when
//! a listing was whole and everything in it was taken in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::changed::{self, Progress};
use crate::config::live::Live;
use crate::event::Event;
use crate::event::expr::Engine;
use crate::event::hook::Mapped;
use crate::http::Outbound;
use crate::ingest::Intake;
use crate::record::map::RecordMap;
use crate::record::read;
use crate::remote::Remote;
use crate::store::view::{PollRow, Severity};
use crate::store::{LogEntry, Receipt, Store};
use crate::time::Timestamp;
use crate::visible::Visible;

/// Sleeps no longer than this, whatever is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A record type of a system.
type Source = (String, String);

/// The loop's state.
#[derive(Debug)]
pub(super) struct Poll {
    asker: Asker,
    live: Live,
    /// When each was last begun.
    begun: HashMap<Source, Instant>,
    running: HashSet<Source>,
    runs: JoinSet<Source>,
}

/// What a run needs.
#[derive(Debug, Clone)]
struct Asker {
    store: Store,
    remote: Remote,
    intake: Intake,
    engine: Engine,
}

impl Poll {
    pub(super) fn new(store: Store, live: Live, outbound: Outbound, engine: Engine) -> Self {
        let intake = Intake::new(store.clone(), live.clone());
        Self {
            asker: Asker {
                store,
                remote: Remote::new(live.clone(), outbound, engine.clone()),
                intake,
                engine,
            },
            live,
            begun: HashMap::new(),
            running: HashSet::new(),
            runs: JoinSet::new(),
        }
    }

    /// Polls until it is dropped: what is under way then is asked for again by the next start.
    pub(super) async fn keep(mut self) {
        self.recall().await;
        loop {
            let wake = self.start_due();
            tokio::select! {
                Some(ended) = self.runs.join_next() => {
                    if let Ok(source) = ended {
                        self.running.remove(&source);
                    }
                }
                changed = self.live.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Where the last worker's runs began, so that a restart neither skips nor repeats one.
    async fn recall(&mut self) {
        let now = (Instant::now(), self.asker.store.clock().now());
        for row in self.asker.store.polls().await.unwrap_or_default() {
            if let Some(begun) = now.0.checked_sub(now.1.since(row.run)) {
                self.begun.insert((row.system, row.kind), begun);
            }
        }
    }

    /// Starts what is due; says when to look again.
    fn start_due(&mut self) -> Instant {
        let config = self.live.borrow_and_update().config.clone();
        let now = Instant::now();
        let mut wake = now + LONGEST_SLEEP;
        for system in config.systems.values() {
            for (kind, every) in &system.poll {
                let source = (system.name.clone(), kind.clone());
                let Some(map) = system.records.get(kind) else {
                    continue;
                };
                if self.running.contains(&source) {
                    continue;
                }
                match self.begun.get(&source).map(|begun| *begun + *every) {
                    Some(due) if due > now => wake = wake.min(due),
                    _ => {
                        self.begun.insert(source.clone(), now);
                        self.running.insert(source.clone());
                        let (asker, map) = (self.asker.clone(), Arc::clone(map));
                        let live_from = config.site.live_from;
                        self.runs.spawn(async move {
                            asker.run(&map, live_from).await;
                            source
                        });
                    }
                }
            }
        }
        wake
    }
}

impl Asker {
    /// One run, kept with what it brought.
    async fn run(&self, map: &RecordMap, live_from: Option<Timestamp>) {
        let begun = self.store.clock().now();
        let rows = match self.store.polls().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(error = %Visible::of(&error.to_string()), "polling could not read where it was");
                return;
            }
        };
        let before =
            (rows.into_iter()).find(|row| row.system == map.system && row.kind == map.kind);
        let since = changed::since(before.as_ref().map(|row| row.mark), live_from, begun);
        let mut progress = Progress::default();
        let listed = self.list(map, since, &mut progress).await;
        let row = PollRow {
            system: map.system.clone(),
            kind: map.kind.clone(),
            // From the run's beginning: what changed while it listed is asked for again.
            mark: match &listed {
                Ok(()) => begun,
                Err(_) => before.as_ref().map_or(since, |row| row.mark),
            },
            run: begun,
            seen: progress.seen,
            error: listed.err(),
        };
        tracing::info!(kind = "poll", system = ?row.system, record = ?row.kind, seen = progress.seen, new = progress.new,
            keyless = progress.keyless, held = progress.held, "polled");
        let line = news(before.as_ref(), &row);
        if let Err(error) = self.store.polled(row, line).await {
            tracing::warn!(error = %Visible::of(&error.to_string()), "how far polling came could not be kept");
        }
    }

    /// Lists page by page, taking each in before the next is asked for.
    async fn list(
        &self,
        map: &RecordMap,
        since: Timestamp,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let mut pages = (self.remote)
            .pages(&map.system, &map.kind, Some(since), None)
            .map_err(|error| error.to_string())?;
        while let Some(page) = pages.next().await.map_err(|error| error.to_string())? {
            let mut events = Vec::with_capacity(page.records.len());
            for node in &page.records {
                progress.seen += 1;
                let bytes = node.to_json();
                match read::one(map, node, &self.engine) {
                    Ok(record) if !changed::is_new(&record, since) => {}
                    Ok(record) => match changed::event(map, &record, bytes.as_bytes()) {
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
        }
        Ok(())
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
        let is_new = |receipt: &&Receipt| {
            !matches!(
                receipt,
                Receipt::Duplicate { .. } | Receipt::Conflict { .. }
            )
        };
        let mut new = receipts.iter().filter(is_new).count();
        let differing: Vec<Event> = (events.into_iter().zip(&receipts))
            .filter(|(_, receipt)| matches!(receipt, Receipt::Conflict { .. }))
            .map(|(event, _)| changed::again(event))
            .collect();
        if !differing.is_empty() {
            let receipts = self.intake.admit(differing, false).await.map_err(words)?;
            new += receipts.iter().filter(is_new).count();
        }
        Ok(new as u64)
    }
}

/// What is worth a line in the log: that it began to fail, and that it works again.
fn news(before: Option<&PollRow>, now: &PollRow) -> Option<LogEntry> {
    let failed = before.is_some_and(|row| row.error.is_some());
    let (system, kind) = (&now.system, &now.kind);
    let (severity, text) = match &now.error {
        Some(error) if !failed => {
            let error = Visible::of(error);
            (
                Severity::Warning,
                format!("asking {system} for changed records of type {kind} fails: {error}"),
            )
        }
        None if failed => (
            Severity::Info,
            format!("asking {system} for changed records of type {kind} works again"),
        ),
        _ => return None,
    };
    Some(LogEntry {
        severity,
        actor: None,
        kind: "poll",
        path: None,
        delivery: None,
        text,
    })
}
