//! `midwatch status`: what is wrong now, for people, scripts and monitoring.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::context::{Context, reader};
use super::out;
use crate::config::model::Config;
use crate::store::view::{Overview, Severity};
use crate::time::short;
use crate::watch::{Trouble, path_state, worker_state, wrong_now};

/// Says how things stand: exit code 0 all is well, 1 a warning, 2 critical, 3 it cannot be read.
///
/// With --json one object: severity (ok, warning, critical), wrong (severity, about, words, path, job, runbook), and
/// overview: at, paths (id, name, removed, counts, oldest_due, oldest_open, blocked, retrying, last_accepted, last_delivered, shadow, live_at, needing,
/// pause, breaker,
/// minutes, recent, latency, attempt_time), unrouted, held_events, events, worker, batches, runs, senders (system, called,
/// checked, state, address, hook, error), polls (system, kind, mark, run, seen, error), log, foreign_host,
/// trouble, unreadable, config (its hash, 16 hex digits); times in milliseconds since 1970, durations in milliseconds.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    severity: &'static str,
    wrong: &'a [Trouble],
    overview: &'a Overview,
}

/// Reads and judges.
pub fn run(args: &Args, context: &Context) -> u8 {
    judge(args, context).unwrap_or_else(|error| {
        if super::is_closed_pipe(&error) {
            return super::OK;
        }
        super::complain(&error);
        super::UNREADABLE
    })
}

fn judge(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let overview = reader(&config)?.overview()?;
    let wrong = wrong_now(&overview, &config);
    let worst = wrong.iter().map(|trouble| trouble.severity).max();
    let (severity, code) = match worst {
        Some(Severity::Critical) => ("critical", super::CRITICAL),
        Some(Severity::Warning) => ("warning", super::FAILED),
        Some(Severity::Info) | None => ("ok", super::OK),
    };
    if args.json {
        out::json(&Shown {
            severity,
            wrong: &wrong,
            overview: &overview,
        })?;
    } else {
        out::say(&words(severity, &wrong, &overview, &config))?;
    }
    Ok(code)
}

fn words(severity: &str, wrong: &[Trouble], overview: &Overview, config: &Config) -> String {
    let worker = worker_state(&overview.worker, overview.at);
    let mut text = severity.to_owned();
    let waiting: u64 = overview
        .paths
        .iter()
        .map(|path| path.counts.backlog())
        .sum();
    let dead: u64 = overview.paths.iter().map(|path| path.counts.dead).sum();
    let _ = write!(
        text,
        ": {waiting} wait, {dead} dead, {} events accepted",
        overview.events
    );
    for trouble in wrong {
        let _ = write!(text, "\n  {}", trouble.words);
    }
    let rows: Vec<Vec<String>> = (overview.paths.iter())
        .filter(|path| path.counts != crate::store::view::Counts::default() || !path.removed)
        .map(|path| {
            vec![
                path.name.clone(),
                format!("{} wait", path.counts.backlog()),
                format!("{} dead", path.counts.dead),
                path.failure_percent().map_or_else(
                    || match path.recent.attempts {
                        0 => "no attempts in 5m".into(),
                        _ => "throttled".into(),
                    },
                    |percent| format!("{percent:.0} % fail"),
                ),
                path.oldest_due
                    .map(|due| overview.at.since(due))
                    .filter(|age| *age >= Duration::from_secs(1))
                    .map_or_else(String::new, |age| format!("due for {}", short(age))),
                path_state(path, config.path(&path.name), worker, overview.at)
                    .word()
                    .to_owned(),
            ]
        })
        .collect();
    let _ = write!(text, "\n{}", out::table(&rows));
    text
}
