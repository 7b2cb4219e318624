//! Reads of events as they came in, for those who look at one again (`midwatch try`).

use rusqlite::{Connection, OptionalExtension, params};

use super::view::EventRow;
use crate::event::Event;
use crate::ids::EventId;
use crate::time::Timestamp;

/// One event; none if there is no such event, or its payload was pruned.
pub(super) fn event(connection: &Connection, id: EventId) -> rusqlite::Result<Option<Event>> {
    connection
        .prepare_cached(
            "SELECT e.source, e.event_id, e.kind, e.subject, p.meta, p.data FROM event e JOIN payload p ON p.event = e.id WHERE e.id = ?1",
        )?
        .query_row([id.0], |row| super::accept::event_of(row, 0))
        .optional()
}

/// At most `limit` events that still have their payloads, newest first, before `before`.
pub(super) fn events(
    connection: &Connection,
    before: Option<EventId>,
    limit: usize,
) -> rusqlite::Result<Vec<EventRow>> {
    connection
        .prepare_cached(
            "SELECT e.id, e.at, e.source, e.kind FROM event e WHERE e.id < ?1 AND EXISTS(SELECT 1 FROM payload WHERE event = e.id)
             ORDER BY e.id DESC LIMIT ?2",
        )?
        .query_map(
            params![before.map_or(i64::MAX, |id| id.0), limit as i64],
            |row| {
                Ok(EventRow {
                    id: EventId(row.get(0)?),
                    at: Timestamp(row.get(1)?),
                    source: row.get(2)?,
                    kind: row.get(3)?,
                })
            },
        )?
        .collect()
}
