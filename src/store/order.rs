//! Order inside a key: commit order, the oldest open delivery is the head, only the head is ever ready or running.

use rusqlite::{Connection, OptionalExtension, params};

use super::work::Work;
use crate::ids::{DeliveryId, EventId, PathId};
use crate::queue::model::State;

/// Some delivery of the key is open (not settled, or dead and blocking).
pub(super) fn is_taken(connection: &Connection, path: PathId, key: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM delivery WHERE path = ?1 AND order_key = ?2 AND open = 1 LIMIT 1",
        )?
        .exists(params![path.0, key])
}

/// A delivery of the key whose event came after `event` was delivered.
pub(super) fn delivered_after(
    connection: &Connection,
    path: PathId,
    key: &str,
    event: EventId,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM delivery WHERE path = ?1 AND order_key = ?2 AND id > ?3 AND state = 3 AND order_key IS NOT NULL LIMIT 1",
        )?
        .exists(params![path.0, key, DeliveryId::new(event, u8::MAX).0])
}

/// The head of a key: its oldest open delivery.
pub(super) fn head(
    connection: &Connection,
    path: PathId,
    key: &str,
) -> rusqlite::Result<Option<(DeliveryId, State)>> {
    connection
        .prepare_cached("SELECT id, state FROM delivery WHERE path = ?1 AND order_key = ?2 AND open = 1 ORDER BY id LIMIT 1")?
        .query_row(params![path.0, key], |row| Ok((DeliveryId(row.get(0)?), state_at(row, 1)?)))
        .optional()
}

/// After a delivery of the key closed: a waiting head becomes ready, at the time it was due. One that waits for a record
/// stays where it is, and blocks its key, until `needs` lets it go on.
pub(super) fn promote(work: &mut Work<'_>, path: PathId, key: &str) -> rusqlite::Result<()> {
    if let Some((id, State::Waiting)) = head(work.connection, path, key)?
        && !super::needs::waits(work.connection, id)?
    {
        work.connection
            .prepare_cached(
                "UPDATE delivery SET state = 0, changed = ?2, reason = NULL WHERE id = ?1",
            )?
            .execute(params![id.0, work.now.0])?;
        work.moved(path, Some(State::Waiting), Some(State::Ready));
    }
    Ok(())
}

/// Where a delivery of the key that opens again must stand; a younger head that is only ready steps back behind it.
pub(super) fn reopen(
    work: &mut Work<'_>,
    id: DeliveryId,
    path: PathId,
    key: &str,
) -> rusqlite::Result<State> {
    let open: Vec<(DeliveryId, State)> = work
        .connection
        .prepare_cached(
            "SELECT id, state FROM delivery WHERE path = ?1 AND order_key = ?2 AND open = 1 AND id <> ?3 AND (id < ?3 OR state IN (0, 1))
             ORDER BY id LIMIT 4",
        )?
        .query_map(params![path.0, key, id.0], |row| Ok((DeliveryId(row.get(0)?), state_at(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if open
        .iter()
        .any(|(other, state)| *other < id || *state == State::Running)
    {
        return Ok(State::Waiting);
    }
    for (other, _) in open {
        demote(work, other, path)?;
    }
    Ok(State::Ready)
}

/// A delivery of the key became ready again after it ran. An elder that was replayed meanwhile has waited for just that:
/// it goes first, and this one steps back behind it.
pub(super) fn step_back(
    work: &mut Work<'_>,
    id: DeliveryId,
    path: PathId,
    key: &str,
) -> rusqlite::Result<()> {
    if head(work.connection, path, key)?.is_some_and(|(head, _)| head < id) {
        demote(work, id, path)?;
        promote(work, path, key)?;
    }
    Ok(())
}

/// A ready delivery waits again.
fn demote(work: &mut Work<'_>, id: DeliveryId, path: PathId) -> rusqlite::Result<()> {
    work.connection
        .prepare_cached("UPDATE delivery SET state = 2, changed = ?2 WHERE id = ?1")?
        .execute(params![id.0, work.now.0])?;
    work.moved(path, Some(State::Ready), Some(State::Waiting));
    Ok(())
}

/// A stored state; an unknown number is damage and said so.
pub(super) fn state_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<State> {
    let code: i64 = row.get(column)?;
    State::from_code(code).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, code))
}
