//! Listings of what was missed: one row for each gap and record type, from the moment the gap is known until everything in it
//! was listed. A row that is not ended is what must still be asked for, whatever happened to the worker meanwhile.

use rusqlite::{Connection, Row, params};

use super::ledger::{find, key_text};
use super::types::LogEntry;
use super::view::BackfillRow;
use super::work::Work;
use super::writer::Fault;
use crate::event::Event;
use crate::ids::BackfillId;
use crate::time::Timestamp;

const COLUMNS: &str = "id, system, kind, why, since, started, ended, seen, new, error";

/// Events of one record that are compared with what was listed, the newest first.
const MOST_TOLD: usize = 16;

/// Keeps gaps that must be asked for, with the line that says why.
pub(super) fn open(
    work: &mut Work<'_>,
    gaps: &[BackfillRow],
    log: Option<&LogEntry>,
) -> Result<(), Fault> {
    for gap in gaps {
        work.connection
            .prepare_cached(
                "INSERT INTO backfill(system, kind, why, since, started) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                gap.system,
                gap.kind,
                gap.why,
                gap.since.0,
                gap.started.0
            ])?;
    }
    log.map_or(Ok(()), |log| Ok(work.log(log)?))
}

/// Keeps how far some have come, with a line where there is news.
pub(super) fn keep(
    work: &mut Work<'_>,
    rows: &[BackfillRow],
    log: Option<&LogEntry>,
) -> Result<(), Fault> {
    for row in rows {
        work.connection
            .prepare_cached(
                "UPDATE backfill SET since = ?2, started = ?3, ended = ?4, seen = ?5, new = ?6, error = ?7 WHERE id = ?1",
            )?
            .execute(params![
                row.id.0,
                row.since.0,
                row.started.0,
                row.ended.map(|at| at.0),
                row.seen,
                row.new,
                row.error
            ])?;
    }
    log.map_or(Ok(()), |log| Ok(work.log(log)?))
}

/// What must still be asked for, and the last one of each system and record type that was; the oldest first.
pub(super) fn current(connection: &Connection) -> rusqlite::Result<Vec<BackfillRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM backfill WHERE ended IS NULL OR id IN
               (SELECT max(id) FROM backfill WHERE ended IS NOT NULL GROUP BY system, kind) ORDER BY id"
        ))?
        .query_map([], row_of)?
        .collect()
}

/// The newest, at most so many.
pub(super) fn newest(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<BackfillRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM backfill ORDER BY id DESC LIMIT ?1"
        ))?
        .query_map([limit as i64], row_of)?
        .collect()
}

/// What a source told of a record so far, the newest first, as far as it is kept.
pub(super) fn told(
    connection: &Connection,
    source: &str,
    kind: &str,
    key: &str,
) -> rusqlite::Result<Vec<Event>> {
    let Some(record) = find(connection, kind, &key_text(key))? else {
        return Ok(Vec::new());
    };
    connection
        .prepare_cached(
            "SELECT e.source, e.event_id, e.kind, e.subject, p.meta, p.data
             FROM event_record r JOIN event e ON e.id = r.event JOIN payload p ON p.event = e.id
             WHERE r.record = ?1 AND e.source = ?2 ORDER BY e.id DESC LIMIT ?3",
        )?
        .query_map(params![record, source, MOST_TOLD as i64], |row| {
            super::accept::event_of(row, 0)
        })?
        .collect()
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<BackfillRow> {
    Ok(BackfillRow {
        id: BackfillId(row.get(0)?),
        system: row.get(1)?,
        kind: row.get(2)?,
        why: row.get(3)?,
        since: Timestamp(row.get(4)?),
        started: Timestamp(row.get(5)?),
        ended: row.get::<_, Option<i64>>(6)?.map(Timestamp),
        seen: row.get(7)?,
        new: row.get(8)?,
        error: row.get(9)?,
    })
}
