//! `midwatch backfill SYSTEM`: what a system did not tell is asked of it.

use super::context::{Context, reader};
use super::out;
use crate::control::action::Action;
use crate::store::view::BackfillRow;
use crate::time::{Clock, Timestamp, parse_duration, short};
use crate::visible::{Visible, line};

/// How many past ones are shown.
const SHOWN: usize = 20;

/// Asks a system for what it did not tell: its list of events, or its records that changed, since its last call or since a
/// time. What comes in are ordinary events; what is known is dropped. The worker does it, again until it succeeds; it also does so by
/// itself after downtime, silence or a disabled webhook.
///
/// Without a system it shows what is still to be asked for, and what was.
///
/// With --json one object: text, batch (null), delivery (null); with --dry-run the preview; without a system an array of
/// backfills (id, system, kind, why, since, started, ended, seen, new, error), the newest first.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The system.
    system: Option<String>,
    /// From when on: how long ago, such as 6h, or a time such as 2026-11-23T20:00:00+01:00.
    #[arg(long, value_name = "TIME", value_parser = since, requires = "system")]
    since: Option<Timestamp>,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

fn since(text: &str) -> Result<Timestamp, String> {
    let ago = || parse_duration(text).map(|ago| Clock::System.now() - ago);
    Timestamp::parse_rfc3339(text)
        .or_else(ago)
        .ok_or_else(|| "expected how long ago, such as 6h, or a time of RFC 3339".to_owned())
}

/// Shows, asks, has it done.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let Some(system) = args.system else {
        let rows = reader(&context.config_in_force()?)?.newest_backfills(SHOWN)?;
        if args.json {
            out::json(&rows)?;
        } else {
            out::say(&table(&rows, Clock::System.now()))?;
        }
        return Ok(super::OK);
    };
    let action = Action::Backfill {
        system,
        since: args.since,
    };
    super::previewed(action, &args.consent, args.json, context).await
}

fn table(rows: &[BackfillRow], now: Timestamp) -> String {
    if rows.is_empty() {
        return "nothing was ever missed, as far as is known".to_owned();
    }
    let lines = rows.iter().map(|row| {
        let state = match (row.ended, &row.error) {
            (Some(ended), None) => format!("done {} ago", short(now.since(ended))),
            (Some(ended), Some(error)) => {
                let error = Visible::of(error);
                format!("done {} ago: {error}", short(now.since(ended)))
            }
            (None, Some(error)) => format!("fails, is asked again: {}", Visible::of(error)),
            (None, None) => "to be asked for".to_owned(),
        };
        format!(
            "{} {} since {} ({}): {} listed, {} new; {state}",
            line(&row.system, 40),
            line(&row.kind, 40),
            row.since,
            line(&row.why, 20),
            row.seen,
            row.new
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
