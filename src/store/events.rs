//! Reads of events as they came in, for those who look at one again (`midwatch try`) or at all of a type (`midwatch
//! contracts`).

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::accept::{DISCARDED, HELD};
use super::view::{EventRow, OfType};
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

/// So many events are looked through in one read: no index leads to those of one type, and a read holds the WAL.
const STRETCH: i64 = 5_000;

/// Most payloads of one read.
const PAYLOADS: usize = 256;

/// The first event of the stretch that ends before `below`; none if it is the last stretch.
fn floor(connection: &Connection, below: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM event WHERE id < ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2")?
        .query_row([below, STRETCH - 1], |row| row.get(0))
        .optional()
}

/// Shows the events of a type to `look`, one after the other, newest first, before `before`; those that were given up are
/// left out. Says where to go on; none when all were shown.
pub(super) fn of_type(
    connection: &Connection,
    kind: &str,
    before: Option<EventId>,
    look: &mut dyn FnMut(OfType),
) -> rusqlite::Result<Option<EventId>> {
    let below = before.map_or(i64::MAX, |id| id.0);
    let floor = floor(connection, below)?;
    let mut statement = connection.prepare_cached(
        "SELECT e.source, e.event_id, e.kind, e.subject, p.meta, p.data, e.id, e.admission
         FROM event e LEFT JOIN payload p ON p.event = e.id
         WHERE e.id < ?1 AND e.id >= ?2 AND e.kind = ?3 AND e.admission <> ?4 ORDER BY e.id DESC LIMIT ?5",
    )?;
    let bounds = params![
        below,
        floor.unwrap_or(i64::MIN),
        kind,
        DISCARDED,
        PAYLOADS as i64
    ];
    let mut rows = statement.query(bounds)?;
    let (mut shown, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        let id = EventId(row.get(6)?);
        let pruned = row.get_ref(4)? == rusqlite::types::ValueRef::Null;
        look(OfType {
            id,
            held: row.get::<_, i64>(7)? == HELD,
            event: (!pruned)
                .then(|| super::accept::event_of(row, 0))
                .transpose()?,
        });
        shown += 1;
        last = Some(id);
    }
    Ok(if shown == PAYLOADS {
        last
    } else {
        floor.map(EventId)
    })
}

/// Adds to `counts` how many events of each of its types there are in one stretch before `before`; says where to go on.
pub(super) fn count_types(
    connection: &Connection,
    before: Option<EventId>,
    counts: &mut BTreeMap<String, u64>,
) -> rusqlite::Result<Option<EventId>> {
    let below = before.map_or(i64::MAX, |id| id.0);
    let floor = floor(connection, below)?;
    let mut statement = connection.prepare_cached(
        "SELECT kind, count(*) FROM event WHERE id < ?1 AND id >= ?2 AND admission <> ?3 GROUP BY kind",
    )?;
    let mut rows = statement.query(params![below, floor.unwrap_or(i64::MIN), DISCARDED])?;
    while let Some(row) = rows.next()? {
        if let Some(count) = counts.get_mut(row.get_ref(0)?.as_str()?) {
            *count += row.get::<_, u64>(1)?;
        }
    }
    Ok(floor.map(EventId))
}
