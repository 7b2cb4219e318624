//! Reconciliation runs and their differences.

use rusqlite::{Connection, OptionalExtension, params};

use super::view::{Changed, DifferenceKind, DifferenceRow, Grade, RunRow, Severity};
use super::work::Work;
use super::writer::Fault;
use crate::config::model::RepairMode;
use crate::ids::{PlanId, RunId};
use crate::time::Timestamp;

const COLUMNS: &str = "id, job, started, ended, first, second, compared, only_first, only_second, differing, skipped, drift, complete, error,
  why, phase, in_flight, vanished, money, level, mode, rules, note, plan";

/// Differences kept per run; the counts are exact beyond it.
pub(super) const MOST_DIFFERENCES: usize = 10_000;

pub(super) fn start(work: &mut Work<'_>, job: &str, why: &str) -> Result<RunId, Fault> {
    work.connection
        .prepare_cached("INSERT INTO run(job, started, why) VALUES (?1, ?2, ?3)")?
        .execute(params![job, work.now.0, why])?;
    Ok(RunId(work.connection.last_insert_rowid()))
}

pub(super) fn finish(
    work: &mut Work<'_>,
    run: &RunRow,
    differences: &[DifferenceRow],
) -> Result<(), Fault> {
    keep(work, run)?;
    work.connection
        .prepare_cached("UPDATE run SET ended = ?2, phase = NULL WHERE id = ?1")?
        .execute([run.id.0, work.now.0])?;
    let mut insert = work.connection.prepare_cached(
        "INSERT INTO difference(run, n, key, kind, field, first, second, id_first, id_second, base, changed, confirmed, grade, note)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for (n, row) in differences.iter().take(MOST_DIFFERENCES).enumerate() {
        insert.execute(params![
            run.id.0,
            n as i64,
            row.key,
            row.kind.word(),
            row.field,
            row.first,
            row.second,
            row.ids[0],
            row.ids[1],
            row.base,
            row.changed.map(changed_word),
            row.confirmed,
            row.grade.word(),
            row.note
        ])?;
    }
    Ok(())
}

/// Keeps what is known of a run so far.
pub(super) fn keep(work: &mut Work<'_>, run: &RunRow) -> Result<(), Fault> {
    let money = serde_json::to_string(&run.money)
        .map_err(|error| Fault::Invalid(format!("the run cannot be kept: {error}")))?;
    work.connection
        .prepare_cached(
            "UPDATE run SET first = ?2, second = ?3, compared = ?4, only_first = ?5, only_second = ?6, differing = ?7, skipped = ?8,
             drift = ?9, complete = ?10, error = ?11, phase = ?12, in_flight = ?13, vanished = ?14, money = ?15, level = ?16, mode = ?17,
             rules = ?18, note = ?19, plan = ?20 WHERE id = ?1",
        )?
        .execute(params![
            run.id.0,
            run.counts[0],
            run.counts[1],
            run.compared,
            run.only_first,
            run.only_second,
            run.differing,
            run.skipped,
            run.drift,
            run.complete,
            run.error,
            run.phase,
            run.in_flight,
            run.vanished,
            money,
            run.level.map(|level| level as i64),
            run.mode.word(),
            run.rules,
            run.note,
            run.plan.map(|plan| plan.0)
        ])?;
    Ok(())
}

fn changed_word(changed: Changed) -> &'static str {
    match changed {
        Changed::First => "first",
        Changed::Second => "second",
        Changed::Both => "both",
    }
}

fn changed_of(word: &str) -> Option<Changed> {
    [Changed::First, Changed::Second, Changed::Both]
        .into_iter()
        .find(|changed| changed_word(*changed) == word)
}

/// The meaning of a word of a table of words, or its default: a newer version may have written another.
pub(super) fn meaning<T: Copy + Default>(words: &[(&'static str, T)], word: &str) -> T {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, meaning)| *meaning).unwrap_or_default()
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
        why: row.get(14)?,
        phase: row.get(15)?,
        in_flight: row.get(16)?,
        vanished: row.get(17)?,
        money: serde_json::from_str(row.get_ref(18)?.as_str()?).unwrap_or_default(),
        level: row.get::<_, Option<i64>>(19)?.map(|level| match level {
            0 => Severity::Info,
            1 => Severity::Warning,
            _ => Severity::Critical,
        }),
        mode: meaning(RepairMode::WORDS, row.get_ref(20)?.as_str()?),
        rules: row.get(21)?,
        note: row.get(22)?,
        plan: row.get::<_, Option<i64>>(23)?.map(PlanId),
    })
}

/// One run.
pub(super) fn get(connection: &Connection, id: RunId) -> rusqlite::Result<Option<RunRow>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM run WHERE id = ?1"))?
        .query_row([id.0], run_of)
        .optional()
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
        .prepare_cached(
            "SELECT key, kind, field, first, second, id_first, id_second, base, changed, confirmed, grade, note
             FROM difference WHERE run = ?1 ORDER BY n LIMIT ?2",
        )?
        .query_map(params![run.0, limit as i64], |row| {
            Ok(DifferenceRow {
                key: row.get(0)?,
                kind: meaning(DifferenceKind::WORDS, row.get_ref(1)?.as_str()?),
                field: row.get(2)?,
                first: row.get(3)?,
                second: row.get(4)?,
                ids: [row.get(5)?, row.get(6)?],
                base: row.get(7)?,
                changed: row
                    .get::<_, Option<String>>(8)?
                    .and_then(|word| changed_of(&word)),
                confirmed: row.get(9)?,
                grade: meaning(Grade::WORDS, row.get_ref(10)?.as_str()?),
                note: row.get(11)?,
            })
        })?
        .collect()
}
