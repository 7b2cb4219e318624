//! The loop: runs jobs when they are due or asked for, one run of a job at a time, and stores what they found.
//!
//! Due times come from the last stored run, so that a restart neither skips nor repeats one; intervals are monotonic, so
//! that a step of the clock does nothing. A run that a stop or a crash interrupts goes on at the next start. Beside its own
//! times a job runs when a side of it is back after an outage, and when one falls silent. Started by the worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::apply;
use super::drift::{Change, change};
use super::listing;
use super::run::{Report, Runner};
use super::trouble::{Standing, Why};
use crate::config::live::Live;
use crate::config::model::{Check, Job, Timing};
use crate::control::action::Refused;
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::remote::Remote;
use crate::store::view::{PlanRow, PlanState, RunRow, Severity};
use crate::store::{LogEntry, Store, StoreError};
use crate::time::Timestamp;

/// How many stored runs of a job are read to know where it stood.
const HISTORY: usize = 50;
/// Runs of all jobs that are looked through for some of a job that is gone.
const ORPHANS: usize = 500;
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
    /// A plan was approved.
    approved: Arc<Notify>,
    ended: CancellationToken,
}

/// The jobs that have a run under way or asked for, and what stops it.
#[derive(Debug, Clone, Default)]
struct Running(Arc<Mutex<HashMap<String, Stops>>>);

/// What stops a run.
#[derive(Debug, Clone, Default)]
struct Stops {
    token: CancellationToken,
    /// Who did.
    by: Arc<Mutex<Option<String>>>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Stops>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a job as running; none if it is already.
    fn begin(&self, job: &str) -> Option<Stops> {
        let mut running = self.lock();
        if running.contains_key(job) {
            return None;
        }
        let stops = Stops::default();
        running.insert(job.to_owned(), stops.clone());
        Some(stops)
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
        if self.running.begin(job).is_none() {
            return refused(format!("a run of {job} is already under way"));
        }
        if self.asks.send(job.to_owned()).is_err() {
            self.running.lock().remove(job);
            return refused("the worker is stopping".to_owned());
        }
        Ok(())
    }

    /// Cancels the run of `job` that is under way, in the name of `by`: it ends with words, and nothing of it is repaired.
    /// Refused if there is none.
    pub fn cancel(&self, job: &str, by: &str) -> Result<(), Refused> {
        let running = self.running.lock();
        let Some(stops) = running.get(job) else {
            return Err(Refused {
                text: format!("no run of {job} is under way"),
            });
        };
        *stops.by.lock().unwrap_or_else(PoisonError::into_inner) = Some(by.to_owned());
        stops.token.cancel();
        Ok(())
    }

    /// A plan was approved: its writes are handed to the queue, as far as they are right.
    pub fn approved(&self) {
        self.approved.notify_one();
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
        runner: Runner {
            remote: Remote::new(live.clone(), outbound, engine.clone()),
            store: store.clone(),
            live: live.clone(),
            engine,
            key,
            scratch,
        },
        store,
        live: live.clone(),
        stop,
        running: running.clone(),
        plans: HashMap::new(),
        standing: Standing::default(),
        approved: Arc::default(),
        runs: JoinSet::new(),
    };
    let guard = ended.clone().drop_guard();
    let approved = schedule.approved.clone();
    let applying = apply::keep(
        schedule.runner.clone(),
        approved.clone(),
        schedule.stop.clone(),
    );
    tokio::spawn(async move {
        let _guard = guard;
        tokio::join!(schedule.keep(asked), applying);
    });
    ReconcileHandle {
        live,
        running,
        asks,
        approved,
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
    runner: Runner,
    stop: CancellationToken,
    running: Running,
    plans: HashMap<String, Plan>,
    /// How the systems stood when they were last looked at.
    standing: Standing,
    /// Wakes whoever carries plans out.
    approved: Arc<Notify>,
    /// Each ends with its job, and its row if one was stored and has ended.
    runs: JoinSet<(Job, Option<RunRow>)>,
}

impl Schedule {
    async fn keep(mut self, mut asked: mpsc::UnboundedReceiver<String>) {
        self.recall().await;
        loop {
            self.start_after_trouble().await;
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
        if self.plans.is_empty() {
            self.end_orphans(&config).await;
            let open = (histories.iter().flatten()).filter(|row| row.ended.is_none());
            listing::tidy(&self.store, &open.map(|row| row.id).collect::<Vec<_>>()).await;
        }
        let now = (self.store.clock().now(), Instant::now());
        for (job, history) in new.into_iter().zip(histories) {
            self.plans.insert(job.name.clone(), recalled(&history, now));
            let mut open = history.iter().filter(|row| row.ended.is_none());
            // What a stop or a crash left goes on; there is never more than one, but for a damaged file.
            if let Some(row) = open.next()
                && let Some(stops) = self.running.begin(&job.name)
            {
                self.start(job.clone(), Start::Again(Box::new(row.clone())), stops);
            }
            for row in open {
                let report = Report::failed(row.clone(), "interrupted: another run took its place");
                if let Err(error) = finish(&self.store, report).await {
                    tracing::warn!(
                        ?error,
                        job = job.name,
                        "an interrupted run could not be closed"
                    );
                }
            }
        }
    }

    /// Runs that were under way when a worker ended, of jobs that are no longer configured, never go on.
    async fn end_orphans(&self, config: &crate::config::model::Config) {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || {
            let reader = store.reader().map_err(|error| error.to_string())?;
            reader
                .runs(None, ORPHANS)
                .map_err(|error| error.to_string())
        });
        let Ok(Ok(rows)) = read.await else { return };
        let known = |row: &RunRow| config.reconcile.iter().any(|job| job.name == row.job);
        for row in rows
            .into_iter()
            .filter(|row| row.ended.is_none() && !known(row))
        {
            let job = row.job.clone();
            let report = Report::failed(row, "interrupted: its job is no longer configured");
            if let Err(error) = finish(&self.store, report).await {
                tracing::warn!(?error, job, "an interrupted run could not be closed");
            }
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
            } else if let Some(stops) = self.running.begin(&job.name) {
                self.start(job.clone(), Start::New("schedule"), stops);
            }
        }
        wake
    }

    /// Starts a run that was asked for (and is marked as running already).
    fn start_asked(&mut self, name: &str) {
        let config = self.live.borrow().config.clone();
        let stops = self.running.lock().get(name).cloned();
        match (config.reconcile.iter().find(|job| job.name == name), stops) {
            (Some(job), Some(stops)) => self.start(job.clone(), Start::New("asked"), stops),
            _ => {
                self.running.lock().remove(name);
            }
        }
    }

    /// Starts what compares a system that was down and is back, or that fell silent.
    async fn start_after_trouble(&mut self) {
        let config = self.live.borrow().config.clone();
        let news = self.standing.look(&self.store, &config).await;
        for (system, why) in news {
            let of = |job: &&Job| {
                let sides = job.records().map(|records| &records.sides);
                sides.is_some_and(|sides| sides.iter().any(|side| side.system == system))
            };
            for job in config.reconcile.iter().filter(of) {
                if let Some(stops) = self.running.begin(&job.name) {
                    let why = match why {
                        Why::Outage => "outage",
                        Why::Silence => "silence",
                    };
                    self.start(job.clone(), Start::New(why), stops);
                }
            }
        }
    }

    fn start(&mut self, job: Job, start: Start, stops: Stops) {
        if let Some(plan) = self.plans.get_mut(&job.name) {
            plan.last = Some(Instant::now());
        }
        let (runner, stop) = (self.runner.clone(), self.stop.clone());
        self.runs.spawn(async move {
            let row = one_run(&runner, &job, start, &stops, stop).await;
            let row = row.map_err(|error| {
                tracing::warn!(
                    job = job.name,
                    ?error,
                    "a reconciliation run could not be stored"
                );
            });
            (job, row.ok().flatten())
        });
    }

    /// Takes note of an ended run, and says in the log what it changed.
    async fn settle(&mut self, job: &Job, row: Option<RunRow>) {
        self.running.lock().remove(&job.name);
        // A job that approves its plans itself may have made one.
        self.approved.notify_one();
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
}

/// What a run begins with.
enum Start {
    /// Anew, and why.
    New(&'static str),
    /// Where another one was interrupted.
    Again(Box<RunRow>),
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

/// One run from its first row to its last; none where the worker stopped before its end: it goes on at the next start.
async fn one_run(
    runner: &Runner,
    job: &Job,
    start: Start,
    stops: &Stops,
    stop: CancellationToken,
) -> Result<Option<RunRow>, StoreError> {
    let store = &runner.store;
    let row = match start {
        Start::New(why) => RunRow {
            id: store.start_run(job.name.clone(), why).await?,
            job: job.name.clone(),
            started: store.clock().now(),
            why: why.to_owned(),
            ..RunRow::default()
        },
        Start::Again(row) => *row,
    };
    let last = last_complete(store, job).await;
    let work = async {
        match &job.check {
            Check::Records(records) => runner.records(job, records, row.clone(), last).await,
            Check::Backlog(limits) => runner.backlog(limits, row.clone()).await,
        }
    };
    let report = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(None),
        () = stops.token.cancelled() => {
            let by = stops.by.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let by = by.unwrap_or_else(|| "midwatch".to_owned());
            Report::failed(row, format!("cancelled by {by}"))
        }
        report = work => report,
    };
    let ended = finish(store, report).await?;
    Ok(Some(ended))
}

/// The line that says that there is a plan.
fn proposal(plan: &PlanRow, writes: usize) -> LogEntry {
    let count = if writes == 1 {
        "1 write".to_owned()
    } else {
        format!("{writes} writes")
    };
    let (severity, what) = match plan.state {
        PlanState::Proposed => (Severity::Info, "waits for approval".to_owned()),
        PlanState::Stopped => (Severity::Warning, plan.note.clone().unwrap_or_default()),
        _ => (Severity::Info, "goes to the queue".to_owned()),
    };
    LogEntry {
        severity,
        actor: None,
        kind: "plan",
        path: None,
        delivery: None,
        text: format!("{}: a plan of {count} {what}", plan.job),
    }
}

/// The last run that compared everything.
async fn last_complete(store: &Store, job: &Job) -> Option<RunRow> {
    let (store, job) = (store.clone(), job.name.clone());
    let read = tokio::task::spawn_blocking(move || {
        let runs = store.reader().ok()?.runs(Some(&job), HISTORY).ok()?;
        runs.into_iter()
            .find(|run| run.ended.is_some() && run.complete)
    });
    read.await.ok().flatten()
}

/// Stores what a run found, and its plan.
async fn finish(store: &Store, report: Report) -> Result<RunRow, StoreError> {
    let mut row = RunRow {
        ended: Some(store.clock().now()),
        phase: None,
        ..report.row
    };
    listing::forget(store, row.id).await;
    store.finish_run(row.clone(), report.differences).await?;
    if let Some((plan, writes)) = report.plan {
        let log = proposal(&plan, writes.len());
        row.plan = Some(store.keep_plan(plan, writes, Some(log)).await?);
    } else if row.complete {
        store.replace_plan(row.job.clone()).await?;
    }
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
