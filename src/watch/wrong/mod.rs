//! What is wrong now, worst first: one line for each thing, with what it means for the business at its beginning.

mod job;
mod missed;
mod path;
mod sender;

pub use sender::{SILENT, sender_trouble};

use std::path::PathBuf;

use serde::Serialize;

use super::words::{ago, events, grouped, when};
use super::{Rule, WorkerState, worker_state};
use crate::config::model::Config;
use crate::http::oauth::health::Health;
use crate::store::view::{Lock, Overview, Severity};
use crate::time::Timestamp;
use crate::visible::{Visible, line};

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
    /// A system that does not call, cannot be asked, or whose tokens run out.
    Sender,
    /// A reconciliation job.
    Job,
    /// Events without a delivery.
    Strays,
    /// Fields that two systems disagree about.
    Review,
    /// Events that cause one another without end.
    Loop,
    /// A system whose answers or versions changed.
    Note,
}

/// One thing that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// How much it matters, by its consequence.
    pub severity: Severity,
    /// By which rule.
    pub rule: Rule,
    /// What it is about.
    pub about: About,
    /// The path, job, system or other thing that the rule speaks of; empty where there is only one.
    pub subject: String,
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

#[cfg(test)]
impl Trouble {
    /// One of a path, for tests of what follows from it.
    pub fn of_path(rule: Rule, path: &str, severity: Severity) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..bare(
                rule,
                path,
                severity,
                About::Path,
                format!("{rule} on {path}"),
            )
        }
    }
}

/// Everything that was wrong when the overview was read, worst first; `tokens` is how the systems' tokens stood then.
pub fn wrong_now(overview: &Overview, tokens: &[Health], config: &Config) -> Vec<Trouble> {
    wrong_at(overview, tokens, config, overview.at)
}

/// The same, judged at `now`: for a screen whose overview is some seconds old.
pub fn wrong_at(
    overview: &Overview,
    tokens: &[Health],
    config: &Config,
    now: Timestamp,
) -> Vec<Trouble> {
    // A sign of life may have come since: what was read is judged as of then.
    let worker = worker_state(&overview.worker, overview.at);
    let mut all = Vec::new();
    all.extend(store_troubles(overview));
    all.extend(worker_trouble(overview, worker, config));
    for row in &overview.paths {
        let path = config.path(&row.name);
        let mut add = |rule, severity, about, weight, words: String| {
            all.push(Trouble {
                severity,
                rule,
                about,
                subject: row.name.clone(),
                words,
                path: Some(row.name.clone()),
                job: None,
                runbook: path.and_then(|path| path.runbook.clone()),
                weight,
            });
        };
        path::troubles(row, path, worker, now, config, &mut add);
    }
    for job in &config.reconcile {
        let run = overview.runs.iter().find(|run| run.job == job.name);
        all.extend(job::trouble(job, run, now));
    }
    all.extend(sender::troubles(overview, config, now));
    all.extend(sender::token_troubles(tokens));
    if overview.unrouted + overview.held_events > 0 {
        let mut parts = Vec::new();
        if overview.held_events > 0 {
            let lately = match overview.held_lately {
                0 => String::new(),
                n => format!(", {} of them in the last 15 minutes", grouped(n)),
            };
            parts.push(format!(
                "{} held at the door{lately}",
                events(overview.held_events)
            ));
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
            rule: if overview.held_events > 0 {
                Rule::Rejected
            } else {
                Rule::Unrouted
            },
            about: About::Strays,
            subject: String::new(),
            words: format!("{}: see `midwatch held`", parts.join(", ")),
            path: None,
            job: None,
            runbook: None,
            weight: overview.held_events,
        });
    }
    all.extend(loop_trouble(overview));
    all.extend(review_trouble(overview));
    all.extend(note_troubles(overview, config, now));
    all.sort_by(|a, b| {
        (b.severity, a.about, b.weight, &a.path, &a.job)
            .cmp(&(a.severity, b.about, a.weight, &b.path, &b.job))
    });
    all
}

fn bare(rule: Rule, subject: &str, severity: Severity, about: About, words: String) -> Trouble {
    Trouble {
        severity,
        rule,
        about,
        subject: subject.to_owned(),
        words,
        path: None,
        job: None,
        runbook: None,
        weight: 0,
    }
}

/// Fields of which a person must decide which value stands.
fn review_trouble(overview: &Overview) -> Option<Trouble> {
    let words = match overview.reviews {
        0 => return None,
        1 => "1 field waits for a decision: two systems say different things".to_owned(),
        n => format!(
            "{} fields wait for a decision: two systems say different things",
            grouped(n)
        ),
    };
    Some(bare(
        Rule::Review,
        "",
        Severity::Warning,
        About::Review,
        words,
    ))
}

/// Events that a chain of causes led to which was cut because it was too long: two systems answer one another for ever.
fn loop_trouble(overview: &Overview) -> Option<Trouble> {
    let words = match overview.looped {
        0 => return None,
        1 => "1 event is held at the end of a chain of causes without end".to_owned(),
        n => format!(
            "{} events are held at the end of chains of causes without end",
            grouped(n)
        ),
    };
    let words = format!("{words}: systems answer one another, see its lineage");
    Some(bare(Rule::Loop, "", Severity::Warning, About::Loop, words))
}

/// Answers, versions and deprecations of the last day that may break what works now; the newest of each system.
fn note_troubles(overview: &Overview, config: &Config, now: Timestamp) -> Vec<Trouble> {
    let mut told: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for note in &overview.notes {
        if note.kind.severity() < Severity::Warning || told.contains(&note.system.as_str()) {
            continue;
        }
        told.push(&note.system);
        let words = format!(
            "{} changed, seen {}: {}",
            line(&note.system, 40),
            when(note.last, now, config.site.timezone),
            line(&note.text, 120)
        );
        let path = note
            .path
            .as_ref()
            .filter(|path| config.path(path).is_some());
        all.push(Trouble {
            path: path.cloned(),
            ..bare(
                Rule::VendorChanged,
                &note.system,
                Severity::Warning,
                About::Note,
                words,
            )
        });
    }
    all
}

fn store_troubles(overview: &Overview) -> Vec<Trouble> {
    let mut all = Vec::new();
    if let Some(text) = &overview.trouble {
        all.push(bare(
            Rule::StoreTrouble,
            "",
            Severity::Critical,
            About::Store,
            Visible::of(text).into_string(),
        ));
    }
    for words in &overview.unreadable {
        all.push(bare(
            Rule::SecretUnreadable,
            "",
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
            Rule::ForeignHost,
            "",
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
    Some(bare(Rule::WorkerDead, "", severity, About::Worker, words))
}
