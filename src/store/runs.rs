//! Reconciliation runs and their differences.

use rusqlite::{Connection, params};

use super::view::{DifferenceKind, DifferenceRow, RunRow};
use super::work::Work;
use super::writer::Fault;
use crate::ids::RunId;
use crate::time::Timestamp;

const COLUMNS: &str = "id, job, started, ended, first, second, compared, only_first, only_second, differing, skipped, drift, complete, error";

/// Differences kept per run; the counts are exact beyond it.
pub(super) const MOST_DIFFERENCES: usize = 10_000;

pub(super) fn start(work: &mut Work<'_>, job: &str) -> Result<RunId, Fault> {
    work.connection
        .prepare_cached("INSERT INTO run(job, started) VALUES (?1, ?2)")?
        .execute(params![job, work.now.0])?;
    Ok(RunId(work.connection.last_insert_rowid()))
}

pub(super) fn finish(
    work: &mut Work<'_>,
    run: &RunRow,
    differences: &[DifferenceRow],
) -> Result<(), Fault> {
    work.connection
        .prepare_cached(
            "UPDATE run SET ended = ?2, first = ?3, second = ?4, compared = ?5, only_first = ?6, only_second = ?7, differing = ?8,
             skipped = ?9, drift = ?10, complete = ?11, error = ?12 WHERE id = ?1",
        )?
        .execute(params![
            run.id.0,
            work.now.0,
            run.counts[0],
            run.counts[1],
            run.compared,
            run.only_first,
            run.only_second,
            run.differing,
            run.skipped,
            run.drift,
            run.complete,
            run.error
        ])?;
    let mut insert =
        work.connection.prepare_cached("INSERT INTO difference(run, n, key, kind, field, first, second) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for (n, row) in differences.iter().take(MOST_DIFFERENCES).enumerate() {
        insert.execute(params![
            run.id.0,
            n as i64,
            row.key,
            word(row.kind),
            row.field,
            row.first,
            row.second
        ])?;
    }
    Ok(())
}

fn word(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::OnlyFirst => "only-first",
        DifferenceKind::OnlySecond => "only-second",
        DifferenceKind::Field => "field",
        DifferenceKind::Duplicate => "duplicate",
    }
}

fn run_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: RunId(row.get(0)?),
        job: row.get(1)?,
        started: Timestamp(row.get(2)?),
        ended: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        counts: [row.get(4)?, row.get(5)?],
        compared: row.get(6)?,
        only_first: row.get(7)?,
        only_second: row.get(8)?,
        differing: row.get(9)?,
        skipped: row.get(10)?,
        drift: row.get(11)?,
        complete: row.get(12)?,
        error: row.get(13)?,
    })
}

/// The newest runs, of one job or of all.
pub(super) fn newest(
    connection: &Connection,
    job: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<RunRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM run WHERE ?1 IS NULL OR job = ?1 ORDER BY id DESC LIMIT ?2"
        ))?
        .query_map(params![job, limit as i64], run_of)?
        .collect()
}

/// The last ended run of each job, and any that is under way.
pub(super) fn latest(connection: &Connection) -> rusqlite::Result<Vec<RunRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM run WHERE id IN (SELECT max(id) FROM run WHERE ended IS NOT NULL GROUP BY job) OR ended IS NULL ORDER BY job, id"
        ))?
        .query_map([], run_of)?
        .collect()
}

pub(super) fn differences(
    connection: &Connection,
    run: RunId,
    limit: usize,
) -> rusqlite::Result<Vec<DifferenceRow>> {
    connection
        .prepare_cached("SELECT key, kind, field, first, second FROM difference WHERE run = ?1 ORDER BY n LIMIT ?2")?
        .query_map(params![run.0, limit as i64], |row| {
            let kind: String = row.get(1)?;
            Ok(DifferenceRow {
                key: row.get(0)?,
                kind: match kind.as_str() {
                    "only-first" => DifferenceKind::OnlyFirst,
                    "only-second" => DifferenceKind::OnlySecond,
                    "duplicate" => DifferenceKind::Duplicate,
                    _ => DifferenceKind::Field,
                },
                field: row.get(2)?,
                first: row.get(3)?,
                second: row.get(4)?,
            })
        })?
        .collect()
}
