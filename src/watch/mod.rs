//! What the numbers mean: the state of a path, what is wrong now, and one sentence for the night.
//!
//! Pure functions of a snapshot and the configuration; they read no clock but `Overview::at`. Called by the console's
//! Overview and by `midwatch status`. They never say `ok` without traffic that proves it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::config::model::{Config, Job, Lane, Path};
use crate::store::view::{Breaker, Lock, Overview, PathRow, RunRow, Severity, WorkerRow};
use crate::time::{Timestamp, short};
use crate::visible::{Visible, line};

#[cfg(test)]
mod tests;

/// A worker that has given no sign of life for this long is down or hangs (it writes one every 10 s).
pub const SILENCE: Duration = Duration::from_secs(15);
/// A ready delivery that nobody has taken up this long after it was due means that the path is behind.
pub const BEHIND: Duration = Duration::from_secs(60);
/// Failures in five minutes below which a share says nothing.
const FEWEST_FAILURES: u64 = 3;

/// How a path is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathState {
    /// Something was delivered in the last five minutes, and little failed.
    Ok,
    /// Nothing to judge by: no traffic, nothing waits.
    Quiet,
    /// The worker is down: what is shown is what was last known.
    Unknown,
    /// Something failed and awaits its next attempt.
    Retrying,
    /// Something waits behind a dead letter of its key, until a person decides.
    Blocked,
    /// Deliveries are due for longer than a minute and nobody takes them up.
    Behind,
    /// Half of the attempts or more fail.
    Failing,
    /// Something waits for longer than the business lets pass unnoticed.
    Late,
    /// The breaker lets single probes through.
    Probing,
    /// The breaker is open: nothing is sent.
    Stopped,
    /// Paused by a person or by midwatch.
    Paused,
    /// No longer in the configuration; its deliveries are held.
    Removed,
}

impl PathState {
    /// The word shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Quiet => "quiet",
            Self::Unknown => "unknown",
            Self::Retrying => "retrying",
            Self::Blocked => "blocked",
            Self::Behind => "behind",
            Self::Failing => "failing",
            Self::Late => "late",
            Self::Probing => "probing",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Removed => "removed",
        }
    }
}

/// How the worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum WorkerState {
    /// At work.
    Running,
    /// Finishing what is under way.
    Draining,
    /// Stopped in order, then.
    Stopped {
        /// When.
        since: Timestamp,
    },
    /// No sign of life since then.
    Silent {
        /// The last one.
        since: Timestamp,
    },
    /// No worker has ever held this database.
    Never,
}

impl WorkerState {
    /// It delivers, or is about to finish delivering.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Draining)
    }
}

/// How the worker is at `now`.
pub fn worker_state(worker: &WorkerRow, now: Timestamp) -> WorkerState {
    let since = worker.heartbeat;
    if worker.epoch == 0 && since == Timestamp::ZERO {
        WorkerState::Never
    } else if worker.state == "stopped" {
        WorkerState::Stopped { since }
    } else if worker.lock == Lock::Free || now.since(since) > SILENCE {
        WorkerState::Silent { since }
    } else if worker.state == "draining" {
        WorkerState::Draining
    } else {
        WorkerState::Running
    }
}

/// When the business notices the oldest unsettled delivery of a path.
pub fn late_at(row: &PathRow, path: Option<&Path>) -> Option<Timestamp> {
    Some(row.oldest_open? + path?.due?)
}

/// How a path is at `now`. `path` is its configuration, if it has one.
pub fn path_state(
    row: &PathRow,
    path: Option<&Path>,
    worker: WorkerState,
    now: Timestamp,
) -> PathState {
    if row.removed {
        return PathState::Removed;
    }
    if row.pause.is_some() {
        return PathState::Paused;
    }
    if !worker.is_up() {
        return PathState::Unknown;
    }
    let failing = row
        .failure_percent()
        .is_some_and(|percent| percent >= 50.0 && row.recent.failed >= FEWEST_FAILURES)
        && !has_recovered(row);
    match &row.breaker {
        Breaker::Open { .. } => PathState::Stopped,
        Breaker::HalfOpen { .. } => PathState::Probing,
        Breaker::Closed if late_at(row, path).is_some_and(|late| late <= now) => PathState::Late,
        Breaker::Closed if failing => PathState::Failing,
        Breaker::Closed if is_behind(row, now) => PathState::Behind,
        Breaker::Closed if row.blocked.is_some() => PathState::Blocked,
        Breaker::Closed if row.retrying => PathState::Retrying,
        Breaker::Closed if row.recent.delivered > 0 => PathState::Ok,
        Breaker::Closed => PathState::Quiet,
    }
}

/// The last full minute and the running one delivered, and nothing failed in them.
fn has_recovered(row: &PathRow) -> bool {
    let last = &row.minutes[row.minutes.len().saturating_sub(2)..];
    last.iter().any(|slot| slot.delivered > 0) && last.iter().all(|slot| slot.failed == 0)
}

fn is_behind(row: &PathRow, now: Timestamp) -> bool {
    row.oldest_due.is_some_and(|due| now.since(due) > BEHIND)
}

/// What a trouble is about, so that a screen can lead there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The database or the disk.
    Store,
    /// The database came from another host.
    Host,
    /// The worker.
    Worker,
    /// A path that does not deliver as it should.
    Path,
    /// Dead letters of a path.
    Dead,
    /// Deliveries that are held.
    Held,
    /// A reconciliation job.
    Job,
    /// Events without a delivery.
    Strays,
}

/// One thing that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// How much it matters, by its consequence.
    pub severity: Severity,
    /// What it is about.
    pub about: About,
    /// What is wrong, in a line; safe to show.
    pub words: String,
    /// The path concerned.
    pub path: Option<String>,
    /// The reconciliation job concerned.
    pub job: Option<String>,
    /// What to read.
    pub runbook: Option<PathBuf>,
    /// For sorting inside a severity: more is worse.
    #[serde(skip)]
    weight: u64,
}

/// Everything that is wrong, worst first.
pub fn wrong_now(overview: &Overview, config: &Config) -> Vec<Trouble> {
    let worker = worker_state(&overview.worker, overview.at);
    let mut all = Vec::new();
    all.extend(store_troubles(overview));
    all.extend(worker_trouble(overview, worker, config));
    for row in &overview.paths {
        let path = config.path(&row.name);
        let mut add = |severity, about, weight, words: String| {
            all.push(Trouble {
                severity,
                about,
                words,
                path: Some(row.name.clone()),
                job: None,
                runbook: path.and_then(|path| path.runbook.clone()),
                weight,
            });
        };
        path_troubles(row, path, worker, overview.at, config, &mut add);
    }
    for job in &config.reconcile {
        let run = overview.runs.iter().find(|run| run.job == job.name);
        all.extend(job_trouble(job, run, overview.at));
    }
    if overview.unrouted + overview.held_events > 0 {
        let mut parts = Vec::new();
        if overview.held_events > 0 {
            parts.push(format!("{} held at the door", events(overview.held_events)));
        }
        if overview.unrouted > 0 {
            let verb = if overview.unrouted == 1 {
                "matches"
            } else {
                "match"
            };
            parts.push(format!("{} {verb} no path", events(overview.unrouted)));
        }
        all.push(Trouble {
            severity: if overview.held_events > 0 {
                Severity::Warning
            } else {
                Severity::Info
            },
            about: About::Strays,
            words: format!("{}: see `midwatch strays`", parts.join(", ")),
            path: None,
            job: None,
            runbook: None,
            weight: overview.held_events,
        });
    }
    all.sort_by(|a, b| {
        (b.severity, a.about, b.weight, &a.path, &a.job)
            .cmp(&(a.severity, b.about, a.weight, &b.path, &b.job))
    });
    all
}

fn bare(severity: Severity, about: About, words: String) -> Trouble {
    Trouble {
        severity,
        about,
        words,
        path: None,
        job: None,
        runbook: None,
        weight: 0,
    }
}

fn store_troubles(overview: &Overview) -> Vec<Trouble> {
    let mut all = Vec::new();
    if let Some(text) = &overview.trouble {
        all.push(bare(
            Severity::Critical,
            About::Store,
            Visible::of(text).into_string(),
        ));
    }
    for words in &overview.unreadable {
        all.push(bare(
            Severity::Critical,
            About::Worker,
            format!(
                "a secret cannot be read, what needs it is refused: {}",
                line(words, 160)
            ),
        ));
    }
    if let Some(host) = &overview.foreign_host {
        all.push(bare(
            Severity::Critical,
            About::Host,
            format!(
                "this database belongs to host {}: nothing is sent until you adopt it here",
                line(host, 40)
            ),
        ));
    }
    all
}

fn worker_trouble(overview: &Overview, worker: WorkerState, config: &Config) -> Option<Trouble> {
    let zone = config.site.timezone;
    let words = match worker {
        WorkerState::Running => return None,
        WorkerState::Draining => "the worker is draining: it finishes and stops".to_owned(),
        WorkerState::Never => "no worker has run yet: nothing is taken in or delivered".to_owned(),
        WorkerState::Stopped { since } => format!(
            "the worker was stopped {}: nothing is taken in or delivered",
            ago(since, overview.at, zone)
        ),
        WorkerState::Silent { since } => {
            let seen = ago(since, overview.at, zone);
            match overview.worker.lock {
                Lock::Held { pid } => format!(
                    "no sign of life from the worker since {}: process {pid} holds the database, but hangs or cannot write; see its log",
                    when(since, overview.at, zone)
                ),
                Lock::Free | Lock::Unknown => {
                    format!(
                        "the worker is down, last seen {seen}: nothing is taken in or delivered"
                    )
                }
            }
        }
    };
    let severity = if worker.is_up() {
        Severity::Warning
    } else {
        Severity::Critical
    };
    Some(bare(severity, About::Worker, words))
}

/// `12m ago (22:46)`.
fn ago(since: Timestamp, now: Timestamp, zone: chrono_tz::Tz) -> String {
    format!(
        "{} ago ({})",
        short(now.since(since)),
        when(since, now, zone)
    )
}

fn path_troubles(
    row: &PathRow,
    path: Option<&Path>,
    worker: WorkerState,
    now: Timestamp,
    config: &Config,
    add: &mut impl FnMut(Severity, About, u64, String),
) {
    let zone = config.site.timezone;
    let name = line(&row.name, 40);
    let backlog = row.counts.backlog();
    let late = late_at(row, path).filter(|late| *late <= now);
    let waits = match backlog {
        0 => "nothing waits".to_owned(),
        1 => "1 waits".to_owned(),
        n => format!("{n} wait"),
    };
    let so_far = match (late, late_at(row, path)) {
        (Some(at), _) => format!(", noticed since {}", when(at, now, zone)),
        (None, Some(at)) if backlog > 0 => {
            format!(", nobody notices before {}", when(at, now, zone))
        }
        _ => String::new(),
    };
    // What the business does not notice yet can wait for the morning; what has no due time might be noticed now.
    let by_consequence = if late.is_some() || (backlog > 0 && path.is_none_or(|p| p.due.is_none()))
    {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let state = path_state(row, path, worker, now);
    match state {
        PathState::Paused => {
            if let Some(pause) = &row.pause {
                let by = if pause.by_person {
                    format!("paused by {}", line(&pause.by, 30))
                } else {
                    "paused by midwatch, which probes it".to_owned()
                };
                let severity = if pause.by_person && late.is_none() {
                    Severity::Warning
                } else {
                    by_consequence
                };
                let why = line(&pause.reason, 80);
                add(
                    severity,
                    About::Path,
                    backlog,
                    format!("{name} is {by}: {why}; {waits}{so_far}"),
                );
            }
        }
        PathState::Stopped | PathState::Probing => {
            let (reason, next) = match &row.breaker {
                Breaker::Open { reason, until, .. } => (
                    reason.as_str(),
                    format!(", next probe {}", clock(*until, zone)),
                ),
                Breaker::HalfOpen { reason, .. } => (reason.as_str(), ", probing".to_owned()),
                Breaker::Closed => ("", String::new()),
            };
            add(
                by_consequence,
                About::Path,
                backlog,
                format!(
                    "{name} is {}: {}{next}; {waits}{so_far}",
                    state.word(),
                    line(reason, 80)
                ),
            );
        }
        PathState::Late => add(
            Severity::Critical,
            About::Path,
            backlog,
            format!("{name} is late: {waits}{so_far}"),
        ),
        PathState::Failing => {
            let percent = row.failure_percent().unwrap_or_default();
            add(
                by_consequence,
                About::Path,
                backlog,
                format!(
                    "{name} is failing: {percent:.0} % of attempts in five minutes; {waits}{so_far}"
                ),
            );
        }
        PathState::Behind => {
            let age = row.oldest_due.map_or(Duration::ZERO, |due| now.since(due));
            add(
                Severity::Warning,
                About::Path,
                backlog,
                format!("{name} is behind: due for {}; {waits}{so_far}", short(age)),
            );
        }
        PathState::Blocked => add(
            by_consequence,
            About::Path,
            backlog,
            format!("{name} is blocked behind a dead letter: {waits}{so_far}"),
        ),
        PathState::Removed if backlog > 0 => add(
            Severity::Warning,
            About::Path,
            backlog,
            format!(
                "path {name} was removed from the configuration; {} {} for its return or for `midwatch cancel path:{name}`",
                deliveries(backlog),
                if backlog == 1 { "waits" } else { "wait" }
            ),
        ),
        PathState::Ok
        | PathState::Quiet
        | PathState::Unknown
        | PathState::Retrying
        | PathState::Removed => {}
    }
    if row.counts.dead > 0 {
        let page = path.is_some_and(|path| path.lane == Lane::Page);
        add(
            if page {
                Severity::Critical
            } else {
                Severity::Warning
            },
            About::Dead,
            row.counts.dead,
            format!(
                "{} on {name}, kept until reviewed",
                letters(row.counts.dead)
            ),
        );
    }
    if row.counts.held > 0 {
        let why = if row.removed {
            ": the path is no longer configured"
        } else {
            ""
        };
        add(
            Severity::Warning,
            About::Held,
            row.counts.held,
            format!("{} held on {name}{why}", deliveries(row.counts.held)),
        );
    }
}

fn job_trouble(job: &Job, run: Option<&RunRow>, now: Timestamp) -> Option<Trouble> {
    let name = line(&job.name, 40);
    let (severity, words) = match run {
        None => return None,
        Some(run) if run.error.is_some() => (
            Severity::Warning,
            format!(
                "{name} could not be compared: {}",
                line(run.error.as_deref().unwrap_or_default(), 100)
            ),
        ),
        Some(run) if run.ended.is_none() => return None,
        Some(run) => {
            let drift = run.drift.unwrap_or_default();
            let different = run.only_first + run.only_second + run.differing;
            let words = format!(
                "{name} has drifted: {different} of {} differ ({:.1} %)",
                run.compared + run.only_first + run.only_second,
                drift * 100.0
            );
            if drift >= job.critical && different > 0 {
                (Severity::Critical, words)
            } else if drift >= job.warn && different > 0 {
                (Severity::Warning, words)
            } else if now.since(run.started) > job.every * 3 {
                (
                    Severity::Warning,
                    format!(
                        "{name} was last compared {} ago, should be every {}",
                        short(now.since(run.started)),
                        short(job.every)
                    ),
                )
            } else {
                return None;
            }
        }
    };
    Some(Trouble {
        severity,
        about: About::Job,
        words,
        path: None,
        job: Some(job.name.clone()),
        runbook: job.runbook.clone(),
        weight: run.map_or(0, |run| run.only_first + run.only_second + run.differing),
    })
}

/// The one sentence: what waits, whether anything is lost, and when the business notices.
///
/// It says "nothing is lost" only while the store can write; dead letters are not lost but wait for a person, and are named.
pub fn summary(overview: &Overview, config: &Config) -> String {
    let worker = worker_state(&overview.worker, overview.at);
    let now = overview.at;
    let work = || {
        overview
            .paths
            .iter()
            .map(|row| (row, config.path(&row.name)))
            .filter(|(_, path)| path.is_none_or(|path| path.lane == Lane::Work))
    };
    let backlog: u64 = work().map(|(row, _)| row.counts.backlog()).sum();
    let dead: u64 = work().map(|(row, _)| row.counts.dead).sum();
    let held: u64 = work().map(|(row, _)| row.counts.held).sum::<u64>() + overview.held_events;
    let noun = noun(
        work()
            .filter(|(row, _)| row.counts.backlog() > 0)
            .map(|(_, path)| path),
    );

    let mut parts = Vec::new();
    parts.push(match backlog {
        0 => "Nothing waits".to_owned(),
        1 => format!("1 {noun} waits"),
        n => format!("{} {noun}s wait", grouped(n)),
    });
    if dead > 0 {
        let need = if dead == 1 { "needs" } else { "need" };
        parts.push(format!("{} {need} a decision", letters(dead)));
    }
    if held > 0 {
        let verb = if held == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} held", grouped(held)));
    }
    parts.push(if overview.trouble.is_some() {
        "what was acknowledged is kept, but the disk takes nothing new".to_owned()
    } else {
        "nothing is lost".to_owned()
    });
    let notice = work()
        .filter(|(row, _)| row.counts.backlog() > 0)
        .filter_map(|(row, path)| late_at(row, path))
        .min();
    let zone = config.site.timezone;
    if let Some(at) = notice {
        parts.push(if at <= now {
            format!("the business notices since {}", when(at, now, zone))
        } else {
            format!("nobody notices before {}", when(at, now, zone))
        });
    }
    let mut text = parts.join(", ");
    if !worker.is_up() {
        text.push_str("; nothing is delivered while the worker is down");
    }
    text.push('.');
    text
}

/// `order` if every waiting path carries only `order.*`, else `delivery`'s short form.
fn noun<'a>(paths: impl Iterator<Item = Option<&'a Path>>) -> String {
    let mut found: Option<String> = None;
    for path in paths {
        let Some(path) = path else {
            return "event".to_owned();
        };
        for kind in &path.events {
            let head: String = kind
                .split(['.', '*'])
                .next()
                .unwrap_or_default()
                .replace(['_', '-'], " ");
            let word = head.chars().all(|c| c.is_ascii_lowercase() || c == ' ');
            if head.is_empty() || !word || found.as_ref().is_some_and(|other| *other != head) {
                return "event".to_owned();
            }
            found = Some(head);
        }
    }
    found.unwrap_or_else(|| "event".to_owned())
}

/// `22:31` today, `Thu 09:00` within six days, `2026-11-30 09:00` otherwise; in `zone`.
pub fn when(at: Timestamp, now: Timestamp, zone: chrono_tz::Tz) -> String {
    let same_day = at.in_zone(zone, "%F") == now.in_zone(zone, "%F");
    let apart = at.since(now).max(now.since(at));
    if same_day {
        clock(at, zone)
    } else if apart < Duration::from_secs(6 * 86_400) {
        at.in_zone(zone, "%a %H:%M")
    } else {
        at.in_zone(zone, "%F %H:%M")
    }
}

fn clock(at: Timestamp, zone: chrono_tz::Tz) -> String {
    at.in_zone(zone, "%H:%M")
}

/// `9,820`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn events(n: u64) -> String {
    format!("{} event{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// `3 dead letters`.
pub fn letters(n: u64) -> String {
    format!(
        "{} dead letter{}",
        grouped(n),
        if n == 1 { "" } else { "s" }
    )
}

fn deliveries(n: u64) -> String {
    format!("{} deliver{}", grouped(n), if n == 1 { "y" } else { "ies" })
}
