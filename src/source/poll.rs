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
use super::lister::Lister;
use crate::config::live::Live;
use crate::record::map::RecordMap;
use crate::store::LogEntry;
use crate::store::view::{PollRow, Severity};
use crate::time::Timestamp;
use crate::visible::Visible;

/// Sleeps no longer than this, whatever is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A record type of a system.
type Source = (String, String);

/// The loop's state.
#[derive(Debug)]
pub(super) struct Poll {
    lister: Lister,
    live: Live,
    /// When each was last begun.
    begun: HashMap<Source, Instant>,
    running: HashSet<Source>,
    runs: JoinSet<Source>,
}

impl Poll {
    pub(super) fn new(lister: Lister) -> Self {
        Self {
            live: lister.live.clone(),
            lister,
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
        let now = (Instant::now(), self.lister.store.clock().now());
        for row in self.lister.store.polls().await.unwrap_or_default() {
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
                        let (lister, map) = (self.lister.clone(), Arc::clone(map));
                        let live_from = config.site.live_from;
                        self.runs.spawn(async move {
                            lister.poll(&map, live_from).await;
                            source
                        });
                    }
                }
            }
        }
        wake
    }
}

impl Lister {
    /// One run, kept with what it brought.
    async fn poll(&self, map: &RecordMap, live_from: Option<Timestamp>) {
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
            self.records(map, &page.records, since, false, progress)
                .await?;
        }
        Ok(())
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
