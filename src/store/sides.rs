//! How far the listings of a run have come. Kept by `reconcile::listing` after each page, read by it after a crash, and by
//! every screen meanwhile.

use rusqlite::{Connection, params};

use super::view::SideRow;
use super::work::Work;
use super::writer::Fault;
use crate::ids::RunId;
use crate::time::Timestamp;

/// Keeps how far one side has come.
pub(super) fn keep(work: &Work<'_>, row: &SideRow) -> Result<(), Fault> {
    work.connection
        .prepare_cached(
            "INSERT OR REPLACE INTO run_side(run, side, system, kind, since, seen, expected, next, bytes, done, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            row.run.0,
            row.side,
            row.system,
            row.kind,
            row.since.map(|since| since.0),
            row.seen,
            row.expected,
            row.next,
            row.bytes,
            row.done,
            work.now.0
        ])?;
    Ok(())
}

/// Both sides of a run, as far as they were begun.
pub(super) fn of(connection: &Connection, run: RunId) -> rusqlite::Result<Vec<SideRow>> {
    connection
        .prepare_cached(
            "SELECT side, system, kind, since, seen, expected, next, bytes, done, at FROM run_side WHERE run = ?1 ORDER BY side",
        )?
        .query_map([run.0], |row| {
            Ok(SideRow {
                run,
                side: row.get(0)?,
                system: row.get(1)?,
                kind: row.get(2)?,
                since: row.get::<_, Option<i64>>(3)?.map(Timestamp),
                seen: row.get(4)?,
                expected: row.get(5)?,
                next: row.get(6)?,
                bytes: row.get(7)?,
                done: row.get(8)?,
                at: Timestamp(row.get(9)?),
            })
        })?
        .collect()
}
