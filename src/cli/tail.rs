//! `midwatch tail`: the log of actions and notable events, as it grows.

use super::context::{Context, reader};
use super::out;
use crate::config::model::Config;
use crate::control::Client;
use crate::control::wire::PeerKind;
use crate::store::view::{LogRow, Severity};
use crate::visible::Visible;

/// Log lines read at once.
const PAGE: usize = 500;

/// Shows the log of actions and notable events, and follows it.
///
/// With --json one object a line: id, at (milliseconds since 1970), severity (info, warning, critical), actor, kind, path,
/// delivery, text.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Begin with so many older lines.
    #[arg(long, short = 'n', default_value_t = 20)]
    lines: usize,
    /// Show what there is, and stop.
    #[arg(long)]
    once: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Prints and follows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let reader = reader(&config)?;
    let client = Client::attach(&config.site.database, context.who(PeerKind::Command, true));
    client.doing("tails the log");
    let mut changes = client.changes();
    let mut rows = reader.log(None, args.lines.max(1))?;
    rows.reverse();
    let mut last = rows.last().map_or(0, |row| row.id);
    if args.lines > 0 {
        print(&rows, &config, args.json)?;
    }
    if args.once {
        return Ok(super::OK);
    }
    loop {
        changes.mark_unchanged();
        loop {
            let rows = reader.log_after(last, PAGE)?;
            last = rows.last().map_or(last, |row| row.id);
            print(&rows, &config, args.json)?;
            if rows.len() < PAGE {
                break;
            }
        }
        changes.changed().await?;
    }
}

fn print(rows: &[LogRow], config: &Config, json: bool) -> anyhow::Result<()> {
    for row in rows {
        if json {
            out::json(row)?;
        } else {
            out::say(&line(row, config))?;
        }
    }
    Ok(())
}

/// Time, mark, kind, path: what happened [delivery] (who).
fn line(row: &LogRow, config: &Config) -> String {
    let mark = match row.severity {
        Severity::Info => " ",
        Severity::Warning => "!",
        Severity::Critical => "X",
    };
    let path =
        (row.path.as_deref()).map_or_else(String::new, |path| format!(" {}", Visible::of(path)));
    let about = (row.delivery).map_or_else(String::new, |delivery| format!(" [{delivery}]"));
    format!(
        "{} {mark} {:<10}{path}: {}{about} ({})",
        row.at.in_zone(config.site.timezone, "%m-%d %H:%M:%S"),
        Visible::of(&row.kind),
        Visible::of(&row.text),
        Visible::of(&row.actor)
    )
}
