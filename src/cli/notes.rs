//! `midwatch notes`: what changed at the systems, as it was noticed in passing.

use std::time::Duration;

use super::context::{Context, reader};
use super::out;
use crate::store::view::NoteFilter;
use crate::time::{Clock, Timestamp, parse_duration, short};
use crate::visible::line;

/// Lists what was noticed about the systems: fields that answers gained or lost, another version of an API, deprecations,
/// fields that were left out because their source may not write them. The one noticed last first.
///
/// With --json one object a line: path (null: on none), system, kind (answer-new-field, answer-missing-field, answer-type,
/// api-version, deprecation, sunset, stripped), what, text, first and last (milliseconds since 1970), count, delivery.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only about this system.
    #[arg(long, value_name = "SYSTEM")]
    system: Option<String>,
    /// Only on this path.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Only what was noticed within this time, for example 2h.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT")]
    count: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("`{text}` is no duration like 90s, 15m, 2h or 7d"))
}

/// Reads and prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let now = Clock::System.now();
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let filter = NoteFilter {
        path: args.path.clone(),
        system: args.system.clone(),
        since: (args.since).map_or(Timestamp(0), |time| {
            Timestamp(now.0.saturating_sub(millis(time)))
        }),
    };
    let rows = reader(&config)?.notes(&filter, args.count)?;
    // What is known of a system or a path that was taken out is still told; nothing of one that never was is a slip.
    if rows.is_empty() {
        if let Some(system) =
            (args.system.as_ref()).filter(|name| !config.systems.contains_key(*name))
        {
            anyhow::bail!("there is no system called {}", line(system, 60));
        }
        if let Some(path) = (args.path.as_ref()).filter(|name| config.path(name).is_none()) {
            anyhow::bail!("there is no path called {}", line(path, 60));
        }
    }
    if args.json {
        for row in &rows {
            out::json(row)?;
        }
        return Ok(super::OK);
    }
    if rows.is_empty() {
        out::say("nothing was noticed")?;
        return Ok(super::OK);
    }
    let lines: Vec<Vec<String>> = (rows.into_iter())
        .map(|row| {
            vec![
                format!("{} ago", short(now.since(row.last))),
                row.system,
                row.path.unwrap_or_default(),
                row.kind.to_string(),
                if row.count == 1 {
                    row.text
                } else {
                    format!("{} ({} times)", row.text, row.count)
                },
            ]
        })
        .collect();
    out::say(&out::table(&lines))?;
    Ok(super::OK)
}
