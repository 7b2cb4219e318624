//! The loop: runs jobs when they are due or asked for, one run of a job at a time, and stores what they found.
//!
//! Due times come from the last stored run, so that a restart neither skips nor repeats one; intervals are monotonic, so
//! that a step of the clock does nothing. A run that a stop interrupts ends with words. Started by the worker.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::drift::{Change, change};
use super::run::{Reader, Report, run};
use crate::config::live::Live;
use crate::config::model::{Check, Job, Timing};
use crate::control::action::Refused;
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::ids::RunId;
use crate::remote::Remote;
use crate::store::view::{RunRow, Severity};
use crate::store::{LogEntry, Store, StoreError};
use crate::time::Timestamp;

/// How many stored runs of a job are read to know where it stood.
const HISTORY: usize = 50;
/// Sleeps no longer than this, whatever is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// After a run that compared nothing, the job is tried again this soon; twice as late after each further one, never later
/// than it would be due anyway. A start-up race must not cost an hour, and a system that is down must not be hammered.
const RETRY: Duration = Duration::from_secs(60);

/// Asks for runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReconcileHandle {
    live: Live,
    running: Running,
    asks: mpsc::UnboundedSender<String>,
    ended: CancellationToken,
}

/// The jobs that have a run under way or asked for.
#[derive(Debug, Clone, Default)]
struct Running(Arc<Mutex<HashSet<String>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReconcileHandle {
    /// Runs `job` now; refused if it is not configured, or if a run of it is under way.
    pub fn run_now(&self, job: &str) -> Result<(), Refused> {
        let refused = |text| Err(Refused { text });
        let config = self.live.borrow().config.clone();
        if !config.reconcile.iter().any(|known| known.name == job) {
            let names: Vec<_> = config
                .reconcile
                .iter()
                .map(|job| job.name.as_str())
                .collect();
            return refused(match names.as_slice() {
                [] => "the configuration has no reconciliation job".to_owned(),
                names => format!(
                    "no reconciliation job is called that; there are: {}",
                    names.join(", ")
                ),
            });
        }
        if !self.running.lock().insert(job.to_owned()) {
            return refused(format!("a run of {job} is already under way"));
        }
        if self.asks.send(job.to_owned()).is_err() {
            self.running.lock().remove(job);
            return refused("the worker is stopping".to_owned());
        }
        Ok(())
    }

    /// Returns once the loop has ended after a stop: no run writes to the store any more.
    pub async fn stopped(&self) {
        self.ended.cancelled().await;
    }
}

/// Starts the loop.
pub fn spawn(
    store: Store,
    live: Live,
    outbound: Outbound,
    stop: CancellationToken,
) -> ReconcileHandle {
    let (asks, asked) = mpsc::unbounded_channel();
    let running = Running::default();
    let ended = CancellationToken::new();
    let engine = Engine::new();
    let (key, scratch) = (store.hash_key(), store.runs_folder());
    let schedule = Schedule {
        store,
        live: live.clone(),
        reader: Reader {
            remote: Remote::new(live.clone(), outbound, engine.clone()),
            engine,
            key,
            scratch,
        },
        stop,
        running: running.clone(),
        plans: HashMap::new(),
        runs: JoinSet::new(),
    };
    let guard = ended.clone().drop_guard();
    tokio::spawn(async move {
        let _guard = guard;
        schedule.keep(asked).await;
    });
    ReconcileHandle {
        live,
        running,
        asks,
        ended,
    }
}

/// When a job is due, and how it stood.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// When the last run began; none if there was none.
    last: Option<Instant>,
    level: Severity,
    failing: bool,
    /// How many of the latest runs, without a good one between, compared nothing.
    vain: u32,
}

impl Plan {
    /// When it is due; none: at once. `now`: both clocks, and the site's time zone.
    fn due(&self, timing: &Timing, now: (Timestamp, Instant, chrono_tz::Tz)) -> Option<Instant> {
        let (clock, instant, zone) = now;
        let last = self.last?;
        let ago = instant.saturating_duration_since(last);
        let every = match timing {
            Timing::Every(every) => *every,
            // By the wall clock, from the last run on: a step of the clock moves the times with it.
            Timing::Cron(cron) => cron.next(clock - ago, zone)?.since(clock - ago),
        };
        Some(last + wait(every, self.vain))
    }
}

/// How long after the start of a run the next one starts, after `vain` runs in a row that compared nothing.
fn wait(every: Duration, vain: u32) -> Duration {
    match vain.checked_sub(1) {
        None => every,
        Some(doublings) => every.min(RETRY.saturating_mul(1 << doublings.min(20))),
    }
}

/// The run ended without having compared anything, or never ended.
fn was_vain(row: &RunRow) -> bool {
    row.ended.is_none() || (row.error.is_some() && row.level.is_none())
}

struct Schedule {
    store: Store,
    live: Live,
    reader: Reader,
    stop: CancellationToken,
    running: Running,
    plans: HashMap<String, Plan>,
    /// Each ends with its job, and its row if one was stored.
    runs: JoinSet<(Job, Option<RunRow>)>,
}

impl Schedule {
    async fn keep(mut self, mut asked: mpsc::UnboundedReceiver<String>) {
        self.recall().await;
        loop {
            let wake = self.start_due();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(ended) = self.runs.join_next() => {
                    if let Ok((job, row)) = ended {
                        self.settle(&job, row).await;
                    }
                }
                Some(name) = asked.recv() => self.start_asked(&name),
                changed = self.live.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.recall().await;
                }
                () = sleep_until(wake) => {}
            }
        }
        // Runs see the stop themselves and end with words.
        while self.runs.join_next().await.is_some() {}
    }

    /// Makes the plans follow the configuration; a job that is new to us starts from its stored runs.
    async fn recall(&mut self) {
        let config = self.live.borrow_and_update().config.clone();
        self.plans
            .retain(|name, _| config.reconcile.iter().any(|job| job.name == *name));
        let new: Vec<Job> = config
            .reconcile
            .iter()
            .filter(|job| !self.plans.contains_key(&job.name))
            .cloned()
            .collect();
        if new.is_empty() {
            return;
        }
        let store = self.store.clone();
        let names: Vec<String> = new.iter().map(|job| job.name.clone()).collect();
        let read = tokio::task::spawn_blocking(move || -> Result<Vec<Vec<RunRow>>, String> {
            let reader = store.reader().map_err(|error| error.to_string())?;
            names
                .iter()
                .map(|name| reader.runs(Some(name), HISTORY).map_err(|e| e.to_string()))
                .collect()
        })
        .await;
        let histories = match read {
            Ok(Ok(histories)) => histories,
            Ok(Err(error)) => {
                tracing::warn!(
                    ?error,
                    "stored reconciliation runs cannot be read: starting afresh"
                );
                vec![Vec::new(); new.len()]
            }
            Err(_) => vec![Vec::new(); new.len()],
        };
        let now = (self.store.clock().now(), Instant::now());
        for (job, history) in new.into_iter().zip(histories) {
            for row in history.iter().filter(|row| row.ended.is_none()) {
                if !self.running.lock().contains(&job.name) {
                    let report = Report::failed("interrupted: the worker died");
                    self.finish(row.id, &job, row.started, report).await;
                }
            }
            self.plans.insert(job.name.clone(), recalled(&history, now));
        }
    }

    /// Starts what is due; says when to look again.
    fn start_due(&mut self) -> Instant {
        let now = Instant::now();
        let mut wake = now + LONGEST_SLEEP;
        let config = self.live.borrow().config.clone();
        let clocks = (self.store.clock().now(), now, config.site.timezone);
        for job in &config.reconcile {
            let Some(plan) = self.plans.get(&job.name) else {
                continue;
            };
            let due = plan.due(&job.timing, clocks).unwrap_or(now);
            if due > now {
                wake = wake.min(due);
            } else if self.running.lock().insert(job.name.clone()) {
                self.start(job.clone(), "schedule");
            }
        }
        wake
    }

    /// Starts a run that was asked for (and is marked as running already).
    fn start_asked(&mut self, name: &str) {
        let config = self.live.borrow().config.clone();
        match config.reconcile.iter().find(|job| job.name == name) {
            Some(job) => self.start(job.clone(), "asked"),
            None => {
                self.running.lock().remove(name);
            }
        }
    }

    fn start(&mut self, job: Job, why: &'static str) {
        if let Some(plan) = self.plans.get_mut(&job.name) {
            plan.last = Some(Instant::now());
        }
        let (store, reader) = (self.store.clone(), self.reader.clone());
        let stop = self.stop.clone();
        self.runs.spawn(async move {
            let row = one_run(&store, &reader, &job, why, stop).await;
            let row = row.map_err(|error| {
                tracing::warn!(
                    job = job.name,
                    ?error,
                    "a reconciliation run could not be stored"
                );
            });
            (job, row.ok())
        });
    }

    /// Takes note of an ended run, and says in the log what it changed.
    async fn settle(&mut self, job: &Job, row: Option<RunRow>) {
        self.running.lock().remove(&job.name);
        let (Some(row), Some(plan)) = (row, self.plans.get_mut(&job.name)) else {
            return;
        };
        let failing = row.error.is_some();
        let mut lines = Vec::new();
        if failing && !plan.failing {
            let error = row.error.as_deref().unwrap_or_default();
            lines.push((Severity::Warning, format!("{}: {error}", job.name)));
        }
        plan.failing = failing;
        plan.vain = if was_vain(&row) {
            plan.vain.saturating_add(1)
        } else {
            0
        };
        let (level, changed) = change(plan.level, &row);
        plan.level = level;
        lines.extend(told(job, &row, changed));
        for (severity, text) in lines {
            let entry = LogEntry {
                severity,
                actor: None,
                kind: "reconcile",
                path: None,
                delivery: None,
                text,
            };
            if let Err(error) = self.store.log(entry).await {
                tracing::warn!(?error, "a reconciliation's log line could not be stored");
            }
        }
    }

    async fn finish(&self, id: RunId, job: &Job, started: Timestamp, report: Report) {
        if let Err(error) = finish(&self.store, id, job, started, report).await {
            tracing::warn!(
                job = job.name,
                ?error,
                "an interrupted run could not be closed"
            );
        }
    }
}

/// Where a job stands, by its stored runs (newest first).
fn recalled(history: &[RunRow], now: (Timestamp, Instant)) -> Plan {
    let level = (history.iter().rev()).fold(Severity::Info, |level, row| change(level, row).0);
    Plan {
        // A start that seems to lie in the future (the clock was set back) counts as just now.
        last: history
            .first()
            .and_then(|row| now.1.checked_sub(now.0.since(row.started))),
        level,
        failing: history.first().is_some_and(|row| row.error.is_some()),
        vain: history.iter().take_while(|row| was_vain(row)).count() as u32,
    }
}

/// The log line of a change.
fn told(job: &Job, row: &RunRow, changed: Change) -> Option<(Severity, String)> {
    let drift = format!("{:.1} %", row.drift.unwrap_or_default() * 100.0);
    let records = job.records()?;
    let [first, second] = &records.sides;
    let (name, first, second) = (&job.name, &first.system, &second.system);
    match changed {
        Change::None => None,
        Change::Healed => Some((
            Severity::Info,
            format!("{name}: {first} and {second} agree again, drift {drift}"),
        )),
        Change::Raised(severity) => {
            let limits = &records.thresholds;
            let limit = match severity {
                Severity::Critical => &limits.critical,
                Severity::Warning | Severity::Info => &limits.warn,
            };
            Some((
                severity,
                format!(
                    "{name}: drift {drift} between {first} and {second} passes {limit}: {} missing in {second}, {} missing in {first}, {} differ",
                    row.only_first, row.only_second, row.differing
                ),
            ))
        }
    }
}

/// One run from its first row to its last.
async fn one_run(
    store: &Store,
    reader: &Reader,
    job: &Job,
    why: &'static str,
    stop: CancellationToken,
) -> Result<RunRow, StoreError> {
    let id = store.start_run(job.name.clone(), why).await?;
    let started = store.clock().now();
    let work = async {
        match &job.check {
            Check::Records(records) => run(records, reader, started).await,
            Check::Backlog(_) => Report::failed("not part of this version"),
        }
    };
    let report = stop
        .run_until_cancelled(work)
        .await
        .unwrap_or_else(|| Report::failed("interrupted: the worker stopped"));
    finish(store, id, job, started, report).await
}

async fn finish(
    store: &Store,
    id: RunId,
    job: &Job,
    started: Timestamp,
    report: Report,
) -> Result<RunRow, StoreError> {
    let outcome = report.outcome;
    let row = RunRow {
        id,
        job: job.name.clone(),
        started,
        ended: Some(store.clock().now()),
        counts: report.counts,
        compared: outcome.compared,
        only_first: outcome.only_first,
        only_second: outcome.only_second,
        differing: outcome.differing,
        skipped: outcome.skipped,
        drift: report.measure.share,
        money: (report.measure.money.iter())
            .map(|(code, amount)| (code.clone(), amount.to_string()))
            .collect(),
        level: report.level,
        complete: report.complete,
        error: report.error,
        ..RunRow::default()
    };
    store.finish_run(row.clone(), outcome.differences).await?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_in_vain_is_tried_again_soon_then_later_and_never_later_than_its_turn() {
        for (every, vain, expected) in [
            (3600, 0, 3600),
            (3600, 1, 60),
            (3600, 2, 120),
            (3600, 6, 1920),
            (3600, 7, 3600),
            (3600, u32::MAX, 3600),
            (30, 1, 30),
            (30, 0, 30),
        ] {
            let wait = wait(Duration::from_secs(every), vain);
            assert_eq!(wait, Duration::from_secs(expected), "{every} {vain}");
        }
    }
}
