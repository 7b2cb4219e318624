//! `midwatch reconcile`: the comparisons of two systems; run one now, see what differs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::bar::Bar;
use super::context::{Context, reader, unpinned};
use super::out;
use super::veil::maps_of;
use crate::config::model::{Config, Job, Records};
use crate::control::action::Action;
use crate::ids::{PlanId, RunId};
use crate::record::{alike, mask};
use crate::store::view::{DifferenceRow, Grade, PlanState, RunRow, Severity};
use crate::store::{Reader, plan_digest};
use crate::time::{Clock, Timestamp, short};
use crate::visible::Visible;
use crate::watch::progress;

/// Runs a reconciliation job now and shows its result; without a job, the last run of each.
///
/// What could be mended is a plan, if the job's `repair` is `propose` or `apply`: `midwatch plan`.
///
/// With --json one object a run: id, job, started, ended, why, phase, counts (two), compared, only_first, only_second,
/// differing, skipped, in_flight, vanished, drift (0 to 1), money (by currency), level, complete, mode, error, note, plan,
/// differences (key, ids, kind, field, first, second, base, changed, confirmed, grade, note). Exit code 1 where the drift is
/// at or above the job's warning threshold or a run failed, 2 at or above critical.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of the command line
pub struct Args {
    /// The job; without it, the last run of each is shown.
    job: Option<String>,
    /// Show the last run instead of running.
    #[arg(long, group = "what")]
    last: bool,
    /// Show the last runs, one a line, instead of running.
    #[arg(long, group = "what", requires = "job")]
    history: bool,
    /// Cancel the run that is under way.
    #[arg(long, group = "what", requires = "job")]
    cancel: bool,
    /// Write the plan that waits for approval into a new file, for somebody else to look at.
    #[arg(long, group = "what", requires = "job", value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Approve the plan that such a file holds, if it is still what waits.
    #[arg(long, group = "what", requires = "job", value_name = "FILE")]
    apply: Option<PathBuf>,
    /// At most so many differences, or runs.
    #[arg(long, short = 'n', default_value_t = 100)]
    count: usize,
    #[command(flatten)]
    consent: out::Consent,
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

/// How often it is looked how far a run is.
const LOOK: Duration = Duration::from_millis(250);

/// Runs, waits, shows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    if let Some(job) = &args.job {
        let known: Vec<&str> = config
            .reconcile
            .iter()
            .map(|job| job.name.as_str())
            .collect();
        if !known.contains(&job.as_str()) {
            anyhow::bail!(
                "there is no reconciliation called {job}; there are: {}",
                known.join(", ")
            );
        }
        if args.cancel {
            let action = Action::CancelRun { job: job.clone() };
            return super::previewed(action, &args.consent, args.json, context).await;
        }
        if let Some(file) = &args.plan {
            return hand_over(&config, job, file);
        }
        if let Some(file) = &args.apply {
            let action = handed_back(&config, job, file)?;
            return super::previewed(action, &args.consent, args.json, context).await;
        }
        if args.history {
            return history(&config, job, &args);
        }
    }
    let mut runs = Vec::new();
    match &args.job {
        Some(job) if !args.last && args.consent.is_dry() => {
            let action = Action::Reconcile { job: job.clone() };
            return super::previewed(action, &args.consent, args.json, context).await;
        }
        Some(job) if !args.last => {
            let client = context.worker(&config).await?;
            let reader = reader(&config)?;
            let before = reader.runs(Some(job), 1)?.first().map(|run| run.id);
            client
                .submit(unpinned(Action::Reconcile { job: job.clone() })?)
                .await?;
            runs.push(wait(&reader, client.changes(), job, before).await?);
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
            out::say(&words(&config, run, &differences, now))?;
            let all = run.only_first + run.only_second + run.differing;
            let more = all.saturating_sub(differences.len() as u64);
            if args.job.is_some() && more > 0 && !differences.is_empty() {
                out::say(&format!(
                    "  ... and {more} more (-n shows more of those that are kept)"
                ))?;
            }
        }
        code = code.max(severity(run));
    }
    Ok(code)
}

/// Waits for the end of the run after `before`, with a line on a terminal that says how far it is.
async fn wait(
    reader: &Reader,
    mut changes: watch::Receiver<u64>,
    job: &str,
    before: Option<RunId>,
) -> anyhow::Result<RunRow> {
    let mut bar = Bar::new(None);
    loop {
        changes.mark_unchanged();
        let newest = reader.runs(Some(job), 1)?.into_iter().next();
        if let Some(run) = newest.filter(|run| Some(run.id) != before) {
            if run.ended.is_some() {
                bar.clear();
                return Ok(run);
            }
            let overview = reader.overview()?;
            if !crate::watch::worker_state(&overview.worker, overview.at).is_up() {
                bar.clear();
                anyhow::bail!(
                    "the worker is gone: run {} goes on when one runs again; `midwatch reconcile {job} --last` shows how it stands",
                    run.id
                );
            }
            if !bar.is_hidden() {
                let sides = reader.sides(run.id)?;
                bar.draw(&progress(&run, &sides, Clock::System.now()));
            }
        }
        if let Ok(changed) = tokio::time::timeout(LOOK, changes.changed()).await {
            changed?;
        }
    }
}

/// A plan as it is handed to somebody else.
#[derive(Serialize, Deserialize)]
struct Handed {
    plan: PlanId,
    digest: String,
    job: String,
    run: RunId,
    writes: Vec<serde_json::Value>,
}

/// Writes the plan that waits into a new file. Values are as the plan shows them: sensitive ones hashed.
fn hand_over(config: &Config, job: &str, file: &Path) -> anyhow::Result<u8> {
    let reader = reader(config)?;
    let plans = reader.plans(Some(job), 20)?;
    let waiting = plans.iter().find(|plan| plan.state == PlanState::Proposed);
    let Some(found) = waiting
        .map(|plan| reader.plan(plan.id))
        .transpose()?
        .flatten()
    else {
        anyhow::bail!(
            "no plan of {job} waits for approval; `midwatch reconcile {job}` makes one where something can be mended"
        );
    };
    let (plan, writes) = found;
    let handed = Handed {
        plan: plan.id,
        digest: plan_digest(&plan, &writes),
        job: job.to_owned(),
        run: plan.run,
        writes: (writes.iter().map(serde_json::to_value)).collect::<Result<_, _>>()?,
    };
    let text = format!("{}\n", serde_json::to_string_pretty(&handed)?);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut open| std::io::Write::write_all(&mut open, text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))?;
    out::say(&format!(
        "plan {} is in {}: `midwatch reconcile {job} --apply {}` approves exactly that",
        plan.id,
        file.display(),
        file.display()
    ))?;
    Ok(super::OK)
}

/// The approval of exactly what a file holds.
fn handed_back(config: &Config, job: &str, file: &Path) -> anyhow::Result<Action> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let handed: Handed = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no plan as `midwatch reconcile JOB --plan FILE` writes it",
            file.display()
        )
    })?;
    if handed.job != job {
        anyhow::bail!(
            "{} is a plan of {}, not of {job}",
            file.display(),
            handed.job
        );
    }
    let shown = file.display();
    let Some((plan, writes)) = reader(config)?.plan(handed.plan)? else {
        anyhow::bail!("{shown}: there is no plan {} any more", handed.plan);
    };
    let kept: Vec<serde_json::Value> =
        (writes.iter().map(serde_json::to_value)).collect::<Result<_, _>>()?;
    // Where a write stands may have moved on since; what it writes may not.
    let bare = |writes: &[serde_json::Value]| -> Vec<serde_json::Value> {
        let mut writes = writes.to_vec();
        for write in writes
            .iter_mut()
            .filter_map(serde_json::Value::as_object_mut)
        {
            for key in ["state", "reason", "event"] {
                write.remove(key);
            }
        }
        writes
    };
    if handed.run != plan.run || bare(&handed.writes) != bare(&kept) {
        anyhow::bail!(
            "{shown} was changed: its writes are not those of plan {}. A plan is taken whole or declined; hand it over again with `midwatch reconcile {job} --plan FILE`",
            handed.plan
        );
    }
    Ok(Action::ApprovePlan {
        plan: handed.plan,
        digest: handed.digest,
    })
}

/// The last runs, the newest first.
fn history(config: &Config, job: &str, args: &Args) -> anyhow::Result<u8> {
    let runs = reader(config)?.runs(Some(job), args.count)?;
    if args.json {
        for run in &runs {
            out::json(run)?;
        }
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let line = |run: &RunRow| {
        let drift = match run.drift {
            Some(drift) => format!("{:.2} %", drift * 100.0),
            None => "-".to_owned(),
        };
        let mut words: Vec<String> = run.error.iter().chain(&run.note).cloned().collect();
        words.extend(run.plan.map(|plan| format!("plan {plan}")));
        vec![
            run.id.to_string(),
            format!("{} ago", short(now.since(run.started))),
            run.why.clone(),
            drift,
            format!(
                "{} of {} differ",
                run.only_first + run.only_second + run.differing,
                run.compared + run.only_first + run.only_second
            ),
            words.join("; "),
        ]
    };
    let lines: Vec<Vec<String>> = runs.iter().map(line).collect();
    out::say(&out::table(&lines))?;
    Ok(super::OK)
}

fn severity(run: &RunRow) -> u8 {
    match run.level {
        Some(Severity::Critical) => super::CRITICAL,
        Some(Severity::Warning) => super::FAILED,
        _ if run.error.is_some() => super::FAILED,
        _ => super::OK,
    }
}

fn words(config: &Config, run: &RunRow, differences: &[DifferenceRow], now: Timestamp) -> String {
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
    for (count, what) in [
        (
            run.in_flight,
            "left out: a delivery about them is under way",
        ),
        (run.vanished, "gone at the second look"),
    ] {
        if count > 0 {
            let _ = write!(out, "\n  {count} {what}");
        }
    }
    for (code, amount) in &run.money {
        let _ = write!(out, "\n  {amount} {code} apart");
    }
    if let Some(note) = &run.note {
        let _ = write!(out, "\n  {note}");
    }
    if let Some(plan) = run.plan {
        let _ = write!(out, "\n  plan {plan}: `midwatch plan show {plan}`");
    }
    if !run.complete {
        out.push_str("\n  not complete: it can show drift, but never that all is well");
    }
    let records = (config.reconcile.iter())
        .find(|job| job.name == run.job)
        .and_then(Job::records);
    for difference in differences {
        let _ = write!(out, "\n  {}", told(config, records, difference));
    }
    out
}

/// One difference, without what must not be seen.
fn told(config: &Config, records: Option<&Records>, row: &DifferenceRow) -> String {
    let key = match records {
        Some(records) => (records.sides.iter()).fold(row.key.clone(), |key, side| {
            mask::shown(maps_of(config, &side.kind), &key)
        }),
        None => row.key.clone(),
    };
    let mut out = format!("{} {}", Visible::of(&key), row.kind.word());
    let side = |value: &Option<String>| match value.as_deref() {
        // A keyed hash tells nobody anything.
        Some(text) if text.starts_with('#') => Visible::of(mask::HIDDEN),
        Some(text) => Visible::of(&alike::plain(text)),
        None => Visible::of("-"),
    };
    if let Some(field) = &row.field {
        let _ = write!(out, " {}", Visible::of(field));
    }
    if row.first.is_some() || row.second.is_some() {
        let _ = write!(out, ": {} / {}", side(&row.first), side(&row.second));
    }
    if row.grade > Grade::Told {
        let _ = write!(out, " ({})", row.grade.word());
    }
    if let Some(note) = &row.note {
        let _ = write!(out, ", {}", Visible::of(note));
    }
    out
}
