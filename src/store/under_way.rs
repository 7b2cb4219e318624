//! What reconciliation asks of the queue: which records a delivery is under way about, and how much of a path's work is dead,
//! due or was replayed. Reads only; `reconcile` decides what follows.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::batch;
use super::ledger::{find, key_text};
use super::view::Standing;
use crate::ids::{DeliveryId, MAX_FAN_OUT, PathId};
use crate::queue::model::State;
use crate::record::ledger::About;
use crate::time::Timestamp;

/// Deliveries whose end is still to come.
const OPEN: [State; 4] = [State::Ready, State::Running, State::Waiting, State::Held];

/// Those of these records that an open delivery on one of these paths is about.
pub(super) fn about(
    connection: &Connection,
    records: &[About],
    paths: &[PathId],
) -> rusqlite::Result<HashSet<About>> {
    let states: Vec<String> = OPEN.iter().map(|state| state.code().to_string()).collect();
    let ids: Vec<String> = paths.iter().map(|path| path.0.to_string()).collect();
    let mut open = connection.prepare_cached(&format!(
        "SELECT 1 FROM event_record e CROSS JOIN delivery d
         WHERE e.record = ?1 AND d.id BETWEEN e.event * {MAX_FAN_OUT} AND e.event * {MAX_FAN_OUT} + {MAX_FAN_OUT} - 1
           AND d.state IN ({}) AND d.path IN ({}) LIMIT 1",
        states.join(", "),
        ids.join(", ")
    ))?;
    let mut busy = HashSet::new();
    for record in records {
        if let Some(found) = find(connection, &record.kind, &key_text(&record.key))?
            && open.exists([found])?
        {
            busy.insert(record.clone());
        }
    }
    Ok(busy)
}

/// Dead deliveries on these paths with the record of `kind` that each is about, the oldest first. What is about several of that
/// kind is left out.
pub(super) fn dead(
    connection: &Connection,
    kind: &str,
    paths: &[PathId],
    limit: usize,
) -> rusqlite::Result<Vec<(DeliveryId, String)>> {
    let ids: Vec<String> = paths.iter().map(|path| path.0.to_string()).collect();
    connection
        .prepare(&format!(
            "SELECT d.id, min(r.key) FROM delivery d JOIN event_record e ON e.event = d.id / {MAX_FAN_OUT} JOIN record r ON r.id = e.record
             WHERE d.state = {} AND d.path IN ({}) AND r.kind = ?1 GROUP BY d.id HAVING count(*) = 1 ORDER BY d.id LIMIT ?2",
            State::Dead.code(),
            ids.join(", ")
        ))?
        .query_map(params![kind, limit as i64], |row| Ok((DeliveryId(row.get(0)?), row.get(1)?)))?
        .collect()
}

/// How the work of a path stands. `since`: replays that ended earlier do not count.
pub(super) fn standing(
    connection: &Connection,
    path: PathId,
    now: Timestamp,
    since: Timestamp,
) -> rusqlite::Result<Standing> {
    let (dead, oldest_dead) = connection
        .prepare_cached(
            "SELECT count(*), min(changed) FROM delivery WHERE state = 4 AND path = ?1",
        )?
        .query_row([path.0], |row| {
            Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
    let due = connection
        .prepare_cached(
            "SELECT count(*) FROM delivery WHERE state = 0 AND path = ?1 AND due <= ?2",
        )?
        .query_row(params![path.0, now.0], |row| row.get(0))?;
    let [delivered, died] = batch::ended(connection, path, since)?;
    Ok(Standing {
        dead,
        due,
        oldest_dead: oldest_dead.map(Timestamp),
        replayed: delivered,
        died_again: died,
    })
}
