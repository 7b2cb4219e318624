//! `midwatch plan`: what reconciliations would write, and what a person decides about it.

use super::context::{Context, reader};
use super::out;
use super::veil::maps_of;
use crate::config::model::Config;
use crate::control::Hidden;
use crate::control::action::Action;
use crate::ids::PlanId;
use crate::record::{alike, mask};
use crate::store::plan_digest;
use crate::store::view::{PlanRow, PlanState, PlanWrite, WriteVerb};
use crate::time::{Clock, Timestamp, short};

/// Lists plans, the newest first: what a reconciliation would write, whether somebody approved it, and what became of it.
///
/// A plan is a ceiling: each write is judged again just before it is made, on both systems as they are then; what is not
/// right any more is refused, and nothing is added.
///
/// With --json one object a line: id, run, job, at, expires, state, undoes, decided (at and who), ended, note, writes (how many
/// are planned, sent, delivered, refused, failed).
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    List(ListArgs),
    Show(ShowArgs),
    Approve(ApproveArgs),
    Decline(DeclineArgs),
    Undo(UndoArgs),
    Tolerate(TolerateArgs),
}

/// Lists the same.
///
/// With --json one object a line, as in `midwatch plan`.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only of this job.
    #[arg(long)]
    job: Option<String>,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    count: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Shows every write of a plan: system, record, field, what is there, what will be, the rule that allows it, and where it
/// stands.
///
/// With --json one object: plan, digest, writes (n, key, kind, system, id, verb, field, from, to, rule, sensitive, state,
/// reason, event); values are canonical texts, sensitive ones keyed hashes.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Its number.
    id: i64,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Has the writes of a plan made, as far as they are still right.
///
/// With --json one object: text, batch (null), delivery (null). With --dry-run the preview.
#[derive(Debug, clap::Args)]
struct ApproveArgs {
    /// Its number.
    id: i64,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Turns a plan down. The next run may propose the same again.
///
/// With --json one object: text, batch (null), delivery (null). With --dry-run the preview.
#[derive(Debug, clap::Args)]
struct DeclineArgs {
    /// Its number.
    id: i64,
    /// Why.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Takes back what a plan wrote: each field gets what was there before, where it is still as the plan left it. Records that
/// were made or removed stay as they are.
///
/// With --json one object: text, batch (null), delivery (null). With --dry-run the preview.
#[derive(Debug, clap::Args)]
struct UndoArgs {
    /// Its number.
    id: i64,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Accepts the differences of one record that the last run of a job found: they do not count again until a value changes.
///
/// With --json one object: text, batch (null), delivery (null). With --dry-run the preview.
#[derive(Debug, clap::Args)]
struct TolerateArgs {
    /// The reconciliation job.
    job: String,
    /// The record's key.
    key: String,
    /// Why; kept with it.
    #[arg(long, default_value = "", required_unless_present = "no_longer")]
    reason: String,
    /// Let them count again.
    #[arg(long)]
    no_longer: bool,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads and prints, or decides.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    match args.what {
        None => list(&args.list, context),
        Some(What::List(args)) => list(&args, context),
        Some(What::Show(args)) => show(&args, context),
        Some(What::Approve(args)) => {
            let config = context.config_in_force()?;
            let plan = PlanId(args.id);
            let Some((row, writes)) = reader(&config)?.plan(plan)? else {
                anyhow::bail!("there is no plan {plan}");
            };
            if !args.json && row.state == PlanState::Proposed {
                out::say(&written(&config, &writes))?;
            }
            let digest = plan_digest(&row, &writes);
            let action = Action::ApprovePlan { plan, digest };
            super::previewed(action, &args.consent, args.json, context).await
        }
        Some(What::Decline(args)) => {
            let action = Action::DeclinePlan {
                plan: PlanId(args.id),
                reason: args.reason,
            };
            super::previewed(action, &args.consent, args.json, context).await
        }
        Some(What::Undo(args)) => {
            let plan = PlanId(args.id);
            let action = Action::UndoPlan { plan };
            super::previewed(action, &args.consent, args.json, context).await
        }
        Some(What::Tolerate(args)) => {
            let (job, key) = (args.job, Hidden::from(args.key));
            let action = if args.no_longer {
                Action::Untolerate { job, key }
            } else {
                let reason = args.reason;
                Action::Tolerate { job, key, reason }
            };
            super::previewed(action, &args.consent, args.json, context).await
        }
    }
}

fn list(args: &ListArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let rows = reader(&config)?.plans(args.job.as_deref(), args.count)?;
    if args.json {
        for row in &rows {
            out::json(row)?;
        }
        return Ok(super::OK);
    }
    if rows.is_empty() {
        out::say("no reconciliation has planned anything")?;
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let lines: Vec<Vec<String>> = rows.iter().map(|row| summary(row, now)).collect();
    out::say(&out::table(&lines))?;
    if rows.iter().any(|row| row.state == PlanState::Proposed) {
        out::note(
            "`midwatch plan show ID` shows the writes, `midwatch plan approve ID` has them made",
        )?;
    }
    Ok(super::OK)
}

fn summary(row: &PlanRow, now: Timestamp) -> Vec<String> {
    let mut words = state(row, now);
    if let Some(undone) = row.undone {
        words = format!("{words}, taken back by plan {undone}");
    }
    if let Some(undoes) = row.undoes {
        words = format!("{words}, takes plan {undoes} back");
    }
    if let Some(note) = &row.note {
        words = format!("{words}; {note}");
    }
    vec![
        row.id.to_string(),
        row.job.clone(),
        format!("{} ago", short(now.since(row.at))),
        words,
    ]
}

/// Where a plan stands, in words.
pub(super) fn state(row: &PlanRow, now: Timestamp) -> String {
    let [planned, sent, delivered, refused, failed] = row.writes;
    let all = planned + sent + delivered + refused + failed;
    let mut words = match row.state {
        PlanState::Proposed => format!(
            "{all} to write, waits for approval, {} left",
            short(row.expires.since(now))
        ),
        state => format!("{}: {all} to write", state.word()),
    };
    for (count, what) in [
        (sent, "under way"),
        (delivered, "delivered"),
        (refused, "refused"),
        (failed, "failed"),
    ] {
        if count > 0 {
            words = format!("{words}, {count} {what}");
        }
    }
    words
}

#[derive(serde::Serialize)]
struct Shown<'a> {
    plan: &'a PlanRow,
    digest: String,
    writes: &'a [PlanWrite],
}

fn show(args: &ShowArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let Some((plan, writes)) = reader(&config)?.plan(PlanId(args.id))? else {
        anyhow::bail!("there is no plan {}", args.id);
    };
    if args.json {
        out::json(&Shown {
            plan: &plan,
            digest: plan_digest(&plan, &writes),
            writes: &writes,
        })?;
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let mut text = format!(
        "plan {} of {}, run {}: {}",
        plan.id,
        plan.job,
        plan.run,
        state(&plan, now)
    );
    if let Some((at, who)) = &plan.decided {
        text = format!("{text}\n  decided {} ago by {who}", short(now.since(*at)));
    }
    for (other, words) in [(plan.undoes, "takes"), (plan.undone, "is taken back by")] {
        if let Some(other) = other {
            let back = if plan.undoes == Some(other) {
                " back"
            } else {
                ""
            };
            text = format!("{text}\n  {words} plan {other}{back}");
        }
    }
    if let Some(note) = &plan.note {
        text = format!("{text}\n  {note}");
    }
    out::say(&format!("{text}\n{}", written(&config, &writes)))?;
    Ok(super::OK)
}

/// The writes, one a line.
fn written(config: &Config, writes: &[PlanWrite]) -> String {
    let lines: Vec<Vec<String>> = writes.iter().map(|write| line(config, write)).collect();
    out::table(&lines)
}

fn line(config: &Config, write: &PlanWrite) -> Vec<String> {
    let key = mask::shown(maps_of(config, &write.kind), &write.key);
    let value = |text: &Option<String>| match text {
        _ if write.sensitive => mask::HIDDEN.to_owned(),
        Some(text) => alike::plain(text).into_owned(),
        None => "(nothing)".to_owned(),
    };
    let what = match (write.verb, &write.field) {
        (WriteVerb::Update, field) => format!(
            "{}: {} -> {}",
            field.as_deref().unwrap_or_default(),
            value(&write.from),
            value(&write.to)
        ),
        (verb, _) => verb.word().to_owned(),
    };
    let reason = write.reason.as_ref().map(|why| format!(": {why}"));
    vec![
        write.n.to_string(),
        write.system.clone(),
        format!("{} {key}", write.kind),
        what,
        format!("{}{}", write.state.word(), reason.unwrap_or_default()),
        write.rule.clone(),
    ]
}
