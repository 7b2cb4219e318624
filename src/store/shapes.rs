//! What is remembered of the answers of receivers: their fields, by path and step. Policy is in `queue::answers`.

use rusqlite::{Connection, params};

use super::view::ShapeRow;
use super::work::Work;
use super::writer::Fault;
use crate::ids::PathId;

/// Keeps what is remembered of one step, in place of what was.
pub(super) fn keep(
    work: &mut Work<'_>,
    path: PathId,
    step: &str,
    rows: &[ShapeRow],
) -> Result<(), Fault> {
    work.connection
        .prepare_cached("DELETE FROM shape WHERE path = ?1 AND step = ?2")?
        .execute(params![path.0, step])?;
    let mut insert = work.connection.prepare_cached(
        "INSERT OR REPLACE INTO shape(path, step, pointer, kind, seen, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for row in rows {
        insert.execute(params![
            path.0,
            step,
            row.pointer,
            row.kind,
            row.seen as i64,
            row.total as i64
        ])?;
    }
    Ok(())
}

/// All that is remembered.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<(PathId, String, ShapeRow)>> {
    connection
        .prepare_cached("SELECT path, step, pointer, kind, seen, total FROM shape")?
        .query_map([], |row| {
            let shape = ShapeRow {
                pointer: row.get(2)?,
                kind: row.get(3)?,
                seen: row.get(4)?,
                total: row.get(5)?,
            };
            Ok((PathId(row.get(0)?), row.get(1)?, shape))
        })?
        .collect()
}
