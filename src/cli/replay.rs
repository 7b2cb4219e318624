//! `midwatch replay`: deliver again what was previewed, canary first, paced, followed to its report.

use std::fmt::Write as _;

use super::Voice;
use super::bar::Bar;
use super::context::{Acting, Context, reader};
use super::out;
use super::select::Select;
use crate::config::model::Config;
use crate::control::action::{Action, DEFAULT_CANARY, DEFAULT_PACE, Done};
use crate::ids::BatchId;
use crate::store::view::{BatchRow, BatchState};

/// Delivers again: ids, or all that match a filter, up to what exists now.
///
/// A few go first (the canary); if they fail the rest stays as it was. It stops itself when failures return. Ctrl-C
/// stops following, not the replay: `midwatch replay --stop BATCH` does.
///
/// With --json one object: id, created, actor, scope, state (canary, running, aborted, done), reason, total, pending,
/// released, delivered, died, skipped, canary, pace, ended. With --dry-run the preview: scope, count, oldest, verdicts,
/// high_water, notes. With --no-wait: text, batch, delivery. Exit code 1 if any died again, it stopped itself,
/// or all were skipped.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    select: Select,
    /// So many go first, alone (0: none, all go at the pace).
    #[arg(long, default_value_t = DEFAULT_CANARY)]
    canary: u32,
    /// Releases per second after the canary.
    #[arg(long, default_value_t = DEFAULT_PACE)]
    pace: f64,
    /// Also those that were delivered, or superseded by a newer one.
    #[arg(long)]
    include_risky: bool,
    /// Write the one delivery though something newer was written: type and key of its record, such as "order 1042".
    ///
    /// Fields that its source may not write are left out all the same.
    #[arg(long, value_name = "RECORD", conflicts_with_all = ["filter", "stop"])]
    force: Option<String>,
    /// Do not follow it to its end.
    #[arg(long)]
    no_wait: bool,
    /// Stop a running replay instead.
    #[arg(long, value_name = "BATCH", conflicts_with_all = ["ids", "filter"])]
    stop: Option<i64>,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Previews, asks, replays, follows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let action = match args.stop {
        Some(batch) => Action::AbortReplay {
            batch: BatchId(batch),
        },
        None => Action::Replay {
            filter: args.select.filter()?,
            canary: args.canary,
            pace: args.pace,
            skip_risky: !args.include_risky,
            force: args.force,
        },
    };
    let acting = context.acting(&config).await?;
    let follows = args.stop.is_none() && !args.no_wait && acting.is_attached();
    let voice = match Voice::of(args.json) {
        Voice::Json if follows => Voice::JsonLater,
        voice => voice,
    };
    let outcome = super::ask_and_do(&acting, action, &args.consent, voice).await;
    let follow = match &outcome {
        Ok(Some(Done {
            batch: Some(batch), ..
        })) if follows => Some(*batch),
        _ => None,
    };
    let report = match follow {
        Some(batch) => Some(finish(&acting, &config, batch).await),
        None => None,
    };
    acting.close().await;
    let Some(report) = report else {
        return super::ended(outcome, &args.consent);
    };
    let row = report?;
    if args.json {
        out::json(&row)?;
    } else {
        out::say(&closing(&row))?;
    }
    let clean = row.state == BatchState::Done && row.died == 0 && row.delivered > 0;
    Ok(if clean { super::OK } else { super::FAILED })
}

/// Follows a batch to its end.
async fn finish(acting: &Acting, config: &Config, batch: BatchId) -> anyhow::Result<BatchRow> {
    let mut changes = acting.client().changes();
    let mut bar = Bar::new(None);
    let reader = reader(config)?;
    loop {
        changes.mark_unchanged();
        let row = reader
            .batch(batch)?
            .ok_or_else(|| anyhow::anyhow!("replay {} is gone", batch.0))?;
        bar.total = Some(row.total);
        bar.done = row.delivered + row.died + row.skipped;
        bar.draw(&format!(
            "{} of {}, {} died again",
            bar.done, row.total, row.died
        ));
        let in_flight = row.released > 0;
        let over = match row.state {
            BatchState::Done => true,
            BatchState::Aborted => !in_flight,
            BatchState::Canary | BatchState::Running => false,
        };
        if over {
            bar.clear();
            return Ok(row);
        }
        changes.changed().await?;
    }
}

/// The closing report.
pub(super) fn closing(row: &BatchRow) -> String {
    let mut out = format!(
        "replay {}: {} delivered, {} died again, {} skipped of {}",
        row.id.0, row.delivered, row.died, row.skipped, row.total
    );
    if row.pending > 0 {
        let _ = write!(
            out,
            "; {} were not released and stay as they were",
            row.pending
        );
    }
    if let Some(reason) = &row.reason {
        let _ = write!(out, "\n  it stopped: {reason}");
    }
    out
}
