//! Backfill: what a system did not tell is asked of it, from a list. A gap is kept in the database from the moment it is known
//! (the worker was away, a webhook was disabled, a sender is silent, a person asks) until all of it was listed and taken in; a
//! listing that fails is begun again, and nothing that was not listed counts as listed. One system is asked by one listing at a
//! time, within its budget, and lets deliveries go first.
//!
//! Must never change anything at a vendor. What it takes in are ordinary events, which the store knows again by their ids.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::changed::Progress;
use super::lister::Lister;
use super::missed::{self, Reach, why};
use crate::config::live::Live;
use crate::config::model::{Config, Listed, System};
use crate::record::json::Node;
use crate::record::map::RecordMap;
use crate::store::view::{BackfillRow, SenderRow, Severity};
use crate::store::{LogEntry, Store, StoreError};
use crate::time::Timestamp;
use crate::visible::Visible;

/// Looks for what is due this often, whatever happens.
const LOOK: std::time::Duration = std::time::Duration::from_secs(30);
/// What is kept of a vendor's events while their list is read to its end, in bytes; pages beyond it are asked for again.
const KEPT: usize = 16 << 20;

/// Where gaps are told. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Gaps {
    store: Store,
    nudge: Arc<Notify>,
}

impl Gaps {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            nudge: Arc::default(),
        }
    }

    /// Something is to be asked for now.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// A webhook was found in another state than before: what it did not call about is asked for.
    pub(super) async fn sender_changed(
        &self,
        config: &Config,
        system: &System,
        before: Option<&SenderRow>,
        now: &SenderRow,
    ) {
        let rows = self.store.backfills().await.unwrap_or_default();
        let since = missed::disabled_since(before, now, &rows, config.site.live_from);
        if let Some(since) = since {
            self.open(system, why::DISABLED, since).await;
        }
    }

    /// Keeps a gap, and has it asked for.
    async fn open(&self, system: &System, why: &str, since: Timestamp) {
        let gap = missed::gap(system, why, since, self.store.clock().now());
        if gap.is_empty() {
            return;
        }
        tracing::info!(kind = "backfill", system = ?system.name, why, since = %since, "a gap is to be asked for");
        if let Err(error) = self.store.open_backfills(gap, None).await {
            tracing::error!(error = %Visible::of(&error.to_string()), "a gap could not be kept");
        }
        self.nudge();
    }
}

/// The loop's state.
#[derive(Debug)]
pub(super) struct Backfill {
    lister: Lister,
    live: Live,
    gaps: Gaps,
    running: HashSet<String>,
    /// Of systems whose last listing failed: how often in a row, and when to ask again.
    failed: HashMap<String, (u32, Instant)>,
    runs: JoinSet<(String, bool)>,
}

impl Backfill {
    pub(super) fn new(lister: Lister, gaps: Gaps) -> Self {
        Self {
            live: lister.live.clone(),
            lister,
            gaps,
            running: HashSet::new(),
            failed: HashMap::new(),
            runs: JoinSet::new(),
        }
    }

    /// Asks for what was missed until it is dropped: what is under way then is begun again by the next start. `away_since`:
    /// the last sign of life of the worker before this one.
    pub(super) async fn keep(mut self, away_since: Option<Timestamp>) {
        self.came_back(away_since).await;
        loop {
            self.heed_silence().await;
            let wake = self.start_due().await;
            tokio::select! {
                Some(ended) = self.runs.join_next() => if let Ok((system, is_done)) = ended {
                    self.ended(&system, is_done);
                },
                () = self.gaps.nudge.notified() => {}
                changed = self.live.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// The worker was away: what systems sent meanwhile found nobody.
    async fn came_back(&self, away_since: Option<Timestamp>) {
        let Some(since) = away_since else {
            return;
        };
        let away = self.lister.store.clock().now().since(since);
        if away <= missed::AWAY {
            return;
        }
        let config = self.live.borrow().config.clone();
        for system in config.systems.values() {
            let since = missed::with_overlap(since);
            self.gaps.open(system, why::DOWNTIME, since).await;
        }
    }

    /// Who has not called for longer than usual is asked.
    async fn heed_silence(&self) {
        let store = &self.lister.store;
        let (Ok(senders), Ok(rows)) = (store.senders().await, store.backfills().await) else {
            return;
        };
        let (config, now) = (self.live.borrow().config.clone(), store.clock().now());
        for sender in &senders {
            let Some(system) = config.systems.get(&sender.system) else {
                continue;
            };
            let Some(missed) = system.backfill() else {
                continue;
            };
            if let Some(since) = missed::silent_since(sender, missed.silence, &rows, now) {
                self.gaps.open(system, why::SILENCE, since).await;
            }
        }
    }

    /// Starts what is open and not under way; says when to look again.
    async fn start_due(&mut self) -> Instant {
        let now = Instant::now();
        let mut wake = now + LOOK;
        let config = self.live.borrow_and_update().config.clone();
        let mut open: BTreeMap<String, Vec<BackfillRow>> = BTreeMap::new();
        for row in self.lister.store.backfills().await.unwrap_or_default() {
            if row.ended.is_none() && !self.running.contains(&row.system) {
                open.entry(row.system.clone()).or_default().push(row);
            }
        }
        for (system, rows) in open {
            if let Some((_, due)) = self.failed.get(&system)
                && *due > now
            {
                wake = wake.min(*due);
                continue;
            }
            self.running.insert(system.clone());
            let (lister, config) = (self.lister.clone(), config.clone());
            self.runs.spawn(async move {
                let is_done = lister.fill(&config, &system, rows).await;
                (system, is_done)
            });
        }
        wake
    }

    fn ended(&mut self, system: &str, is_done: bool) {
        self.running.remove(system);
        if is_done {
            self.failed.remove(system);
            return;
        }
        let failures = self.failed.get(system).map_or(0, |(failures, _)| *failures) + 1;
        let due = Instant::now() + missed::wait(failures);
        self.failed.insert(system.to_owned(), (failures, due));
    }
}

/// How one listing is done: what of, by what, from when on.
struct Asking<'a> {
    system: &'a System,
    map: &'a RecordMap,
    from: Timestamp,
}

impl Lister {
    /// Asks a system for all its open gaps, one record type after the other. Says whether all of them are closed.
    async fn fill(&self, config: &Config, name: &str, rows: Vec<BackfillRow>) -> bool {
        let mut by_kind: BTreeMap<String, Vec<BackfillRow>> = BTreeMap::new();
        for row in rows {
            by_kind.entry(row.kind.clone()).or_default().push(row);
        }
        let mut is_done = true;
        for (kind, rows) in by_kind {
            let system = config.systems.get(name);
            let missed = system.and_then(System::backfill);
            let map = system.and_then(|system| system.records.get(&kind));
            let filled = match (system, missed, map) {
                (Some(system), Some(missed), Some(map)) if missed.kinds().contains(&kind) => {
                    let now = self.store.clock().now();
                    let since = rows.iter().map(|row| row.since).min().unwrap_or(now);
                    let reach = missed::reach(since, missed.horizon, config.site.live_from, now);
                    let asking = Asking {
                        system,
                        map,
                        from: reach.from,
                    };
                    self.fill_one(&asking, missed.listed.clone(), &reach, rows, now)
                        .await
                }
                _ => self.give_up(rows).await.map(|()| true),
            };
            is_done &= filled.unwrap_or_else(|error| {
                tracing::warn!(error = %Visible::of(&error.to_string()), "how far a backfill came could not be kept");
                false
            });
        }
        is_done
    }

    /// Nobody can be asked: the configuration says so no more.
    async fn give_up(&self, mut rows: Vec<BackfillRow>) -> Result<(), StoreError> {
        for row in &mut rows {
            row.ended = Some(self.store.clock().now());
            row.error = Some("the configuration no longer says how it is asked for".to_owned());
        }
        self.store.keep_backfills(rows, None).await
    }

    /// Lists what one record type says of all its gaps at once.
    async fn fill_one(
        &self,
        asking: &Asking<'_>,
        listed: Listed,
        reach: &Reach,
        mut rows: Vec<BackfillRow>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let has_failed = rows.iter().any(|row| row.error.is_some());
        for row in &mut rows {
            (row.started, row.seen, row.new) = (now, 0, 0);
        }
        let mut progress = Progress::default();
        let asked = match listed {
            Listed::Events(_) => self.list_events(asking, &mut rows, &mut progress).await,
            Listed::Records(_) => self.list_records(asking, &mut rows, &mut progress).await,
        };
        let name = &asking.system.name;
        let line = match &asked {
            Ok(()) => Some(told(name, &asking.map.kind, &rows, reach, progress)),
            Err(error) if !has_failed => Some((
                Severity::Warning,
                format!(
                    "asking {name} for what was missed since {} fails, it is asked again: {}",
                    asking.from,
                    Visible::of(error)
                ),
            )),
            Err(_) => None,
        };
        let (ended, error) = match asked {
            Ok(()) => (Some(self.store.clock().now()), reach.lost.clone()),
            Err(error) => (None, Some(error)),
        };
        for row in &mut rows {
            (row.seen, row.new) = (progress.seen, progress.new);
            row.ended = ended;
            row.error.clone_from(&error);
        }
        tracing::info!(kind = "backfill", system = ?name, record = ?asking.map.kind, seen = progress.seen, new = progress.new,
            unwanted = progress.unwanted, held = progress.held, is_whole = ended.is_some(), "listed what was missed");
        let line = line.map(|(severity, text)| LogEntry {
            severity,
            actor: None,
            kind: "backfill",
            path: None,
            delivery: None,
            text,
        });
        self.store.keep_backfills(rows, line).await?;
        Ok(ended.is_some())
    }

    /// Records that changed, each page taken in before the next is asked for.
    async fn list_records(
        &self,
        asking: &Asking<'_>,
        rows: &mut [BackfillRow],
        progress: &mut Progress,
    ) -> Result<(), String> {
        let mut pages = (self.remote)
            .pages_of(asking.map, Some(asking.from), None)
            .map_err(|error| error.to_string())?;
        loop {
            self.let_deliveries_go(&asking.system.name).await;
            let Some(page) = pages.next().await.map_err(|error| error.to_string())? else {
                return Ok(());
            };
            self.records(asking.map, &page.records, asking.from, true, progress)
                .await?;
            self.came_so_far(rows, *progress).await?;
        }
    }

    /// The vendor's own events. Vendors list the newest first, and what belongs to one record must be taken in as it happened:
    /// the list is read to its end, then taken in from there.
    async fn list_events(
        &self,
        asking: &Asking<'_>,
        rows: &mut [BackfillRow],
        progress: &mut Progress,
    ) -> Result<(), String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let Some(hooks) = &asking.system.hooks else {
            return Err("it has no hooks, by which its events are read".to_owned());
        };
        let name = &asking.system.name;
        let mut read: Vec<(Option<String>, Option<Vec<Node>>)> = Vec::new();
        let mut ends: [Option<Timestamp>; 2] = [None, None];
        let mut room = KEPT;
        let mut pages = (self.remote)
            .pages_of(asking.map, Some(asking.from), None)
            .map_err(|error| words(&error))?;
        let mut address = None;
        loop {
            self.let_deliveries_go(name).await;
            let Some(page) = pages.next().await.map_err(|error| words(&error))? else {
                break;
            };
            for (at, end) in [page.records.first(), page.records.last()]
                .iter()
                .enumerate()
            {
                let time = end.and_then(|node| self.happened(hooks, name, node));
                if at == 1 || ends[0].is_none() {
                    ends[at] = time.or(ends[at]);
                }
            }
            let size: usize = page.records.iter().map(|node| node.to_json().len()).sum();
            let next = page.next;
            let kept = (size <= room).then_some(page.records);
            room -= kept.as_ref().map_or(0, |_| size);
            read.push((std::mem::replace(&mut address, next), kept));
        }
        let is_newest_first = matches!(ends, [Some(first), Some(last)] if first > last);
        if is_newest_first {
            read.reverse();
        }
        for (address, kept) in read {
            let page = match kept {
                Some(page) => page,
                None => self.page_again(asking, address.as_deref()).await?,
            };
            let mut items: Vec<&Node> = page.iter().collect();
            if is_newest_first {
                items.reverse();
            }
            self.events(hooks, name, items.into_iter(), asking.from, progress)
                .await?;
            self.came_so_far(rows, *progress).await?;
        }
        Ok(())
    }

    /// A page that was too much to keep.
    async fn page_again(
        &self,
        asking: &Asking<'_>,
        address: Option<&str>,
    ) -> Result<Vec<Node>, String> {
        self.let_deliveries_go(&asking.system.name).await;
        let mut pages = (self.remote)
            .pages_of(asking.map, Some(asking.from), address)
            .map_err(|error| error.to_string())?;
        let page = pages.next().await.map_err(|error| error.to_string())?;
        Ok(page.map(|page| page.records).unwrap_or_default())
    }

    async fn came_so_far(
        &self,
        rows: &mut [BackfillRow],
        progress: Progress,
    ) -> Result<(), String> {
        for row in rows.iter_mut() {
            (row.seen, row.new) = (progress.seen, progress.new);
        }
        let kept = self.store.keep_backfills(rows.to_vec(), None).await;
        kept.map_err(|error| error.to_string())
    }

    /// Waits until more than the last token is there, for some time: what is due has the first claim on a system's budget.
    async fn let_deliveries_go(&self, system: &str) {
        const TURNS: u32 = 8;
        let budget = self.outbound.budget(system);
        for _ in 0..TURNS {
            if budget.available() > 1 || budget.pace().is_zero() {
                return;
            }
            tokio::time::sleep(budget.pace()).await;
        }
    }
}

/// The line of a listing that came to its end.
fn told(
    system: &str,
    kind: &str,
    rows: &[BackfillRow],
    reach: &Reach,
    progress: Progress,
) -> (Severity, String) {
    let Progress {
        seen,
        new,
        held,
        unwanted,
        ..
    } = progress;
    let mut whys: Vec<&str> = rows.iter().map(|row| row.why.as_str()).collect();
    whys.dedup();
    let mut text = format!(
        "asked {system} for what was missed since {} ({}): {seen} of {kind} listed, {new} new",
        reach.from,
        whys.join(", ")
    );
    let also = [(held, "held"), (unwanted, "of types that no path takes")];
    for (count, what) in also.into_iter().filter(|(count, _)| *count > 0) {
        text = format!("{text}, {count} {what}");
    }
    match &reach.lost {
        Some(lost) => (Severity::Critical, format!("{text}; {lost}")),
        // A sender that is silent though something happens there is broken.
        None if new > 0 && whys.contains(&why::SILENCE) => {
            let silent = "its webhook did not tell: see `midwatch probe`";
            (Severity::Warning, format!("{text}; {silent}"))
        }
        None => (Severity::Info, text),
    }
}
