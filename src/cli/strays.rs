//! `midwatch strays`: events without a delivery, held at the door or unrouted.

use super::context::{Context, reader};
use super::out;
use crate::time::{Clock, short};

/// Lists events that were stored but became no delivery: held at the door, or matching no path. Newest first.
///
/// With --json one object a line: id, at (milliseconds since 1970), source, event_id, kind, reason.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT")]
    count: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Reads and prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let rows = reader(&config)?.strays(args.count)?;
    if args.json {
        for row in &rows {
            out::json(row)?;
        }
        return Ok(super::OK);
    }
    if rows.is_empty() {
        out::say("every event became a delivery")?;
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let lines: Vec<Vec<String>> = (rows.into_iter())
        .map(|row| {
            vec![
                row.id.to_string(),
                format!("{} ago", short(now.since(row.at))),
                row.source,
                row.kind,
                row.event_id,
                row.reason,
            ]
        })
        .collect();
    out::say(&out::table(&lines))?;
    Ok(super::OK)
}
