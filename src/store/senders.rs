//! What is known of those who send: when each system with hooks last called, whether its webhook is still enabled and calls
//! our address, and how far polling has come. One row for each system (and record type).

use rusqlite::{Connection, params};

use super::types::LogEntry;
use super::view::{PollRow, SenderRow};
use super::work::Work;
use super::writer::Fault;
use crate::time::Timestamp;

/// How exactly the last call is kept, in milliseconds.
const GRAIN: i64 = 60_000;

/// A system called: written once a minute at most, in the transaction that takes its event in.
pub(super) fn called(work: &mut Work<'_>, system: &str) -> rusqlite::Result<()> {
    let minute = work.now.0.div_euclid(GRAIN) * GRAIN;
    if work.last_call(system) >= minute {
        return Ok(());
    }
    work.connection
        .prepare_cached(
            "INSERT INTO sender(system, called) VALUES (?1, ?2) ON CONFLICT(system) DO UPDATE SET called = excluded.called",
        )?
        .execute(params![system, minute])?;
    work.call_of(system, minute);
    Ok(())
}

/// Keeps what the vendor said of its webhook, with a line if there is news.
pub(super) fn checked(
    work: &mut Work<'_>,
    row: &SenderRow,
    log: Option<&LogEntry>,
) -> Result<(), Fault> {
    work.connection
        .prepare_cached(
            "INSERT INTO sender(system, checked, state, address, hook, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT(system) DO UPDATE SET checked = excluded.checked, state = excluded.state, address = excluded.address,
               hook = excluded.hook, error = excluded.error",
        )?
        .execute(params![row.system, work.now.0, row.state, row.address, row.hook, row.error])?;
    log.map_or(Ok(()), |log| Ok(work.log(log)?))
}

/// Every system that is known as a sender, by name.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<SenderRow>> {
    connection
        .prepare_cached("SELECT system, called, checked, state, address, hook, error FROM sender ORDER BY system")?
        .query_map([], |row| {
            Ok(SenderRow {
                system: row.get(0)?,
                called: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                checked: row.get::<_, Option<i64>>(2)?.map(Timestamp),
                state: row.get(3)?,
                address: row.get(4)?,
                hook: row.get(5)?,
                error: row.get(6)?,
            })
        })?
        .collect()
}

/// Keeps how far the polling of a record type has come, with a line if there is news. A run that failed keeps the mark.
pub(super) fn polled(
    work: &mut Work<'_>,
    row: &PollRow,
    log: Option<&LogEntry>,
) -> Result<(), Fault> {
    work.connection
        .prepare_cached("INSERT OR REPLACE INTO watermark(system, kind, at, run, seen, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![row.system, row.kind, row.mark.0, row.run.0, row.seen, row.error])?;
    log.map_or(Ok(()), |log| Ok(work.log(log)?))
}

/// All that is polled, by system and type.
pub(super) fn polls(connection: &Connection) -> rusqlite::Result<Vec<PollRow>> {
    connection
        .prepare_cached(
            "SELECT system, kind, at, run, seen, error FROM watermark ORDER BY system, kind",
        )?
        .query_map([], |row| {
            Ok(PollRow {
                system: row.get(0)?,
                kind: row.get(1)?,
                mark: Timestamp(row.get(2)?),
                run: Timestamp(row.get(3)?),
                seen: row.get(4)?,
                error: row.get(5)?,
            })
        })?
        .collect()
}
