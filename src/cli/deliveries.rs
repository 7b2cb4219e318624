//! `midwatch deliveries`: the newest that match.

use super::context::{Context, reader};
use super::out;
use super::veil::Veil;
use crate::queue::filter::{Filter, check_paths};
use crate::store::view::DeliveryRow;
use crate::store::{Cursor, ReadError, Reader};
use crate::time::{Clock, Timestamp, short};

/// Lists deliveries, newest first. Business keys that are sensitive are masked.
///
/// With --json one object a line: id, path, state, kind, source, event_id, subject, order_key, generation, charged,
/// attempts, accepted_at, due_at, changed_at, last_class, last_status, reason, fingerprint (the 8 hex digits that group:
/// takes); times in milliseconds since 1970.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which, for example: path:crm state:dead newer:2h
    #[arg(value_name = "FILTER", num_args = 0..)]
    filter: Vec<String>,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 50)]
    count: usize,
    /// Show sensitive values and keys too. Looking is no action: the audit log does not hear of it.
    #[arg(long, visible_alias = "reveal")]
    sensitive: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Reads and prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let filter: Filter = args.filter.join(" ").parse()?;
    let config = context.config_in_force()?;
    let reader = reader(&config)?;
    if !filter.paths.is_empty() {
        let overview = reader.overview()?;
        let configured = config.paths.iter().map(|path| path.name.as_str());
        let stored = overview.paths.iter().map(|path| path.name.as_str());
        check_paths(&filter, configured.chain(stored))?;
    }
    let rows = newest(&reader, &filter, args.count)?;
    let veil = |row: &DeliveryRow| -> Result<Veil, ReadError> {
        let mut veil = Veil::default();
        if !args.sensitive && (row.subject.is_some() || row.order_key.is_some()) {
            let about = reader.delivery(row.id)?.map(|detail| detail.about);
            veil.row(&config, row, &about.unwrap_or_default());
        }
        Ok(veil)
    };
    if args.json {
        for row in &rows {
            out::json(&veil(row)?.json(serde_json::to_value(row)?))?;
        }
        return Ok(super::OK);
    }
    if rows.is_empty() {
        out::say("no delivery matches")?;
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let lines: Vec<Vec<String>> = (rows.iter())
        .map(|row| {
            let veil = veil(row)?;
            let cells = cells(row, now).into_iter();
            Ok(cells.map(|cell| veil.text(&cell)).collect())
        })
        .collect::<Result<_, ReadError>>()?;
    out::say(&out::table(&lines))?;
    Ok(super::OK)
}

/// Pages until there are enough: one page scans a bounded number of rows.
fn newest(reader: &Reader, filter: &Filter, count: usize) -> anyhow::Result<Vec<DeliveryRow>> {
    let mut rows = Vec::new();
    let mut cursor = Cursor::Newest;
    while rows.len() < count {
        let (page, more) = reader.deliveries(filter, cursor, count - rows.len())?;
        rows.extend(page);
        match more {
            Some(next) => cursor = next,
            None => break,
        }
    }
    rows.truncate(count);
    Ok(rows)
}

/// One line of a list.
pub(super) fn cells(row: &DeliveryRow, now: Timestamp) -> Vec<String> {
    let last = match (row.last_class, row.last_status) {
        (Some(class), Some(status)) => format!("{class} {status}"),
        (Some(class), None) => class.to_string(),
        (None, _) => String::new(),
    };
    vec![
        row.id.to_string(),
        row.state.to_string(),
        row.path.clone(),
        row.kind.clone(),
        row.subject.clone().unwrap_or_else(|| row.event_id.clone()),
        format!("{} ago", short(now.since(row.accepted_at))),
        last,
        row.reason.clone().unwrap_or_default(),
    ]
}
