//! The story of a record: one line for each thing that happened to it, the newest [`MOST_LINES`] kept, whatever happens to
//! the payloads. Written in the transaction that does the thing.

use rusqlite::{Connection, params};

use super::work::Work;
use crate::ids::{DeliveryId, EventId, PathId};

/// Lines kept for each record.
pub(super) const MOST_LINES: i64 = 500;
/// The longest line in bytes.
const LONGEST: usize = 400;

/// One line.
pub(super) struct Line {
    pub(super) event: Option<EventId>,
    pub(super) delivery: Option<DeliveryId>,
    pub(super) path: Option<PathId>,
    pub(super) text: String,
}

impl Line {
    /// Of a delivery.
    pub(super) fn of(id: DeliveryId, path: PathId, text: String) -> Self {
        Self {
            event: Some(id.event()),
            delivery: Some(id),
            path: Some(path),
            text,
        }
    }
}

/// Adds a line to a record's story.
pub(super) fn tell(work: &Work<'_>, record: i64, line: &Line) -> rusqlite::Result<()> {
    let connection = work.connection;
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(n) FROM story WHERE record = ?1")?
        .query_row([record], |row| row.get(0))?;
    let n = last.unwrap_or(0) + 1;
    let text = &line.text[..line.text.floor_char_boundary(LONGEST)];
    connection
        .prepare_cached("INSERT INTO story(record, n, at, event, delivery, path, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            record,
            n,
            work.now.0,
            line.event.map(|event| event.0),
            line.delivery.map(|delivery| delivery.0),
            line.path.map(|path| path.0),
            text
        ])?;
    if n > MOST_LINES {
        connection
            .prepare_cached("DELETE FROM story WHERE record = ?1 AND n <= ?2")?
            .execute([record, n - MOST_LINES])?;
    }
    Ok(())
}

/// Adds a line to the stories of all records that the line's event speaks of.
pub(super) fn tell_of(work: &Work<'_>, line: &Line) -> rusqlite::Result<()> {
    let Some(event) = line.event else {
        return Ok(());
    };
    let records: Vec<i64> = work
        .connection
        .prepare_cached("SELECT record FROM event_record WHERE event = ?1")?
        .query_map([event.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for record in records {
        tell(work, record, line)?;
    }
    Ok(())
}

/// Two stories become one, in order of time. The lines of `goes` are left to be removed.
pub(super) fn merge(connection: &Connection, stays: i64, goes: i64) -> rusqlite::Result<()> {
    // Numbered anew, above both, so that no number is used twice on the way.
    let above: i64 = connection.query_row(
        "SELECT coalesce(max(n), 0) FROM story WHERE record IN (?1, ?2)",
        [stays, goes],
        |row| row.get(0),
    )?;
    connection.execute(
        "INSERT INTO story(record, n, at, event, delivery, path, text)
         SELECT ?1, ?3 + row_number() OVER (ORDER BY at, record, n), at, event, delivery, path, text FROM story WHERE record IN (?1, ?2)",
        [stays, goes, above],
    )?;
    let last: i64 = connection.query_row(
        "SELECT coalesce(max(n), 0) FROM story WHERE record = ?1",
        [stays],
        |row| row.get(0),
    )?;
    connection.execute(
        "DELETE FROM story WHERE record = ?1 AND (n <= ?2 OR n <= ?3)",
        [stays, above, last - MOST_LINES],
    )?;
    Ok(())
}
