//! `midwatch reconcile`: the comparisons of two systems; run one now, see what differs.

use std::fmt::Write as _;

use serde::Serialize;

use super::context::{Context, reader, unpinned};
use super::out;
use crate::control::action::Action;
use crate::store::view::{DifferenceRow, RunRow, Severity};
use crate::time::{Clock, Timestamp, short};

/// Runs a reconciliation job now and shows its result; without a job, the last run of each.
///
/// With --json one object a run: id, job, started, ended, counts (two), compared, only_first, only_second, differing,
/// skipped, drift (0 to 1), complete, error, differences (key, kind, field, first, second). Exit code 1 where the drift
/// is at or above the job's warning threshold or a run failed, 2 at or above critical.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job; without it, the last run of each is shown.
    job: Option<String>,
    /// Show the last run instead of running.
    #[arg(long)]
    last: bool,
    /// At most so many differences.
    #[arg(long, short = 'n', default_value_t = 100)]
    count: usize,
    /// One JSON object a run.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    run: &'a RunRow,
    differences: &'a [DifferenceRow],
}

/// Runs, waits, shows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let mut runs = Vec::new();
    match &args.job {
        Some(job) if !args.last => {
            let client = context.worker(&config).await?;
            let reader = reader(&config)?;
            let before = reader.runs(Some(job), 1)?.first().map(|run| run.id);
            let mut changes = client.changes();
            client
                .submit(unpinned(Action::Reconcile { job: job.clone() })?)
                .await?;
            loop {
                changes.mark_unchanged();
                let newest = reader.runs(Some(job), 1)?.into_iter().next();
                if let Some(run) = newest
                    && Some(run.id) != before
                    && run.ended.is_some()
                {
                    runs.push(run);
                    break;
                }
                changes.changed().await?;
            }
        }
        only => {
            let reader = reader(&config)?;
            let jobs = (config.reconcile.iter())
                .filter(|job| only.as_ref().is_none_or(|only| *only == job.name));
            for job in jobs {
                runs.extend(reader.runs(Some(&job.name), 1)?);
            }
            if runs.is_empty() {
                out::say("no reconciliation has run yet")?;
                return Ok(super::OK);
            }
        }
    }
    let reader = reader(&config)?;
    let now = Clock::System.now();
    let mut code = super::OK;
    for run in &runs {
        let differences = if args.job.is_some() {
            reader.differences(run.id, args.count)?
        } else {
            Vec::new()
        };
        if args.json {
            out::json(&Shown {
                run,
                differences: &differences,
            })?;
        } else {
            out::say(&words(run, &differences, now))?;
        }
        code = code.max(severity(run));
    }
    Ok(code)
}

fn severity(run: &RunRow) -> u8 {
    match run.level {
        Some(Severity::Critical) => super::CRITICAL,
        Some(Severity::Warning) => super::FAILED,
        _ if run.error.is_some() => super::FAILED,
        _ => super::OK,
    }
}

fn words(run: &RunRow, differences: &[DifferenceRow], now: Timestamp) -> String {
    let mut out = format!("{}, {} ago", run.job, short(now.since(run.started)));
    if let Some(error) = &run.error {
        let _ = write!(out, "\n  failed: {error}");
    }
    if run.ended.is_none() {
        out.push_str("\n  still under way");
    }
    match run.drift {
        Some(drift) => {
            let _ = write!(out, "\n  drift {:.2} %", drift * 100.0);
        }
        None => out.push_str("\n  drift unknown: nothing could be compared"),
    }
    let _ = write!(
        out,
        "\n  {} and {} records, {} compared: {} only on the first side, {} only on the second, {} differ, {} in grace",
        run.counts[0],
        run.counts[1],
        run.compared,
        run.only_first,
        run.only_second,
        run.differing,
        run.skipped
    );
    if !run.complete {
        out.push_str("\n  not complete: it can show drift, but never that all is well");
    }
    for difference in differences {
        let kind = serde_json::to_value(difference.kind).ok();
        let kind = kind
            .as_ref()
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        let _ = write!(
            out,
            "\n  {} {kind}",
            crate::visible::Visible::of(&difference.key)
        );
        if let Some(field) = &difference.field {
            let side = |value: &Option<String>| {
                crate::visible::Visible::of(value.as_deref().unwrap_or("-"))
            };
            let _ = write!(
                out,
                " {}: {} / {}",
                crate::visible::Visible::of(field),
                side(&difference.first),
                side(&difference.second)
            );
        }
    }
    out
}
