//! Deliveries that wait for another record's id: parked in `Waiting` with a row that says what for, let go in the very
//! commit that learns the id, or that takes an event of the system about the record, held for review when their time is up.
//!
//! A delivery that waits here keeps its place in the order of its key: it is not made ready because an elder closed, only
//! because what it needs is there (`order::promote` asks).

use rusqlite::{OptionalExtension, params};

use super::ledger::{find, key_text};
use super::order;
use super::story::{self, Line};
use super::types::LogEntry;
use super::view::Severity;
use super::work::Work;
use super::writer::Fault;
use crate::ids::{BatchId, DeliveryId, PathId};
use crate::queue::model::{Need, State};

/// Deliveries moved by one call, so that it never holds the writer for long.
const MOST: i64 = 500;

/// Whether the id was learnt, or the system told of the record, since the attempt looked, which began at `since`: then
/// there is nothing to wait for. What was known before does not count: the attempt saw it, and found that it does not help.
pub(super) fn is_met(work: &Work<'_>, need: &Need, since: i64) -> rusqlite::Result<bool> {
    let Some(record) = find(work.connection, &need.kind, &key_text(&need.key))? else {
        return Ok(false);
    };
    for sql in [
        "SELECT 1 FROM holding WHERE record = ?1 AND system = ?2 AND id IS NOT NULL AND id_at >= ?3",
        "SELECT 1 FROM event_record r JOIN event e ON e.id = r.event WHERE r.record = ?1 AND e.source = ?2 AND e.at >= ?3",
    ] {
        let mut found = work.connection.prepare_cached(sql)?;
        if found.exists(params![record, need.system, since])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes down what a delivery waits for.
pub(super) fn park(
    work: &Work<'_>,
    id: DeliveryId,
    path: PathId,
    need: &Need,
) -> rusqlite::Result<()> {
    work.connection
        .prepare_cached("INSERT OR REPLACE INTO need(delivery, path, system, kind, key, until, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![id.0, path.0, need.system, need.kind, key_text(&need.key), need.until.0, work.now.0])?;
    Ok(())
}

/// Whether a delivery waits for a record.
pub(super) fn waits(connection: &rusqlite::Connection, id: DeliveryId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM need WHERE delivery = ?1")?
        .exists([id.0])
}

/// It waits no more, whatever the reason.
pub(super) fn remove(work: &Work<'_>, id: DeliveryId) -> rusqlite::Result<()> {
    work.connection
        .prepare_cached("DELETE FROM need WHERE delivery = ?1")?
        .execute([id.0])?;
    Ok(())
}

/// The id of a record in a system is known: what waited for it, under any of its keys, goes on.
pub(super) fn meet(
    work: &mut Work<'_>,
    record: i64,
    kind: &str,
    system: &str,
) -> rusqlite::Result<()> {
    // Without the key, which may be an address: what it waits for was told, masked where it has to be.
    let text = format!("the {kind} is known in {system}: goes on");
    let_go(work, record, kind, system, &text)
}

/// A system itself speaks of a record: what waited for it there, under any of its keys, looks again, and waits on if it is
/// still not there.
pub(super) fn appear(
    work: &mut Work<'_>,
    record: i64,
    kind: &str,
    system: &str,
) -> rusqlite::Result<()> {
    let text = format!("{system} tells of the {kind}: looks again");
    let_go(work, record, kind, system, &text)
}

fn let_go(
    work: &mut Work<'_>,
    record: i64,
    kind: &str,
    system: &str,
    text: &str,
) -> rusqlite::Result<()> {
    let waiting: Vec<i64> = work
        .connection
        .prepare_cached(
            "SELECT n.delivery FROM alias a JOIN need n ON n.kind = a.kind AND n.key = a.key AND n.system = ?3
             WHERE a.record = ?1 AND a.kind = ?2 ORDER BY n.delivery",
        )?
        .query_map(params![record, kind, system], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in waiting {
        go_on(work, DeliveryId(id), text)?;
    }
    Ok(())
}

/// Ready now, or behind an elder of its key that opened meanwhile.
fn go_on(work: &mut Work<'_>, id: DeliveryId, text: &str) -> rusqlite::Result<()> {
    remove(work, id)?;
    let found: Option<(PathId, Option<String>)> = work
        .connection
        .prepare_cached("SELECT path, order_key FROM delivery WHERE id = ?1 AND state = 2")?
        .query_row([id.0], |row| Ok((PathId(row.get(0)?), row.get(1)?)))
        .optional()?;
    let Some((path, order_key)) = found else {
        return Ok(());
    };
    let is_head = match &order_key {
        Some(key) => order::head(work.connection, path, key)?.is_none_or(|(head, _)| head == id),
        None => true,
    };
    let state = if is_head {
        State::Ready
    } else {
        State::Waiting
    };
    work.connection
        .prepare_cached(
            "UPDATE delivery SET state = ?2, due = ?3, changed = ?3, reason = NULL WHERE id = ?1",
        )?
        .execute(params![id.0, state.code(), work.now.0])?;
    work.moved(path, Some(State::Waiting), Some(state));
    story::tell_of(work, &Line::of(id, path, text.to_owned()))
}

/// What waited too long is held for a person. Returns how many; call again while it is not zero.
pub(super) fn expire(work: &mut Work<'_>) -> Result<u64, Fault> {
    struct Late {
        id: DeliveryId,
        path: PathId,
        why: Option<String>,
        since: i64,
        batch: Option<BatchId>,
    }
    let late: Vec<Late> = work
        .connection
        .prepare_cached(
            "SELECT n.delivery, n.path, d.reason, n.since, d.batch
             FROM need n JOIN delivery d ON d.id = n.delivery WHERE n.until <= ?1 ORDER BY n.until LIMIT ?2",
        )?
        .query_map([work.now.0, MOST], |row| {
            Ok(Late {
                id: DeliveryId(row.get(0)?),
                path: PathId(row.get(1)?),
                why: row.get(2)?,
                since: row.get(3)?,
                batch: row.get::<_, Option<i64>>(4)?.map(BatchId),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    for Late {
        id,
        path,
        why,
        since,
        batch,
    } in &late
    {
        remove(work, *id)?;
        let waited = work.now.since(crate::time::Timestamp(*since));
        let why = why.as_deref().unwrap_or("what it needs did not come");
        let reason = format!("waited {} in vain: {why}", crate::time::short(waited));
        work.connection
            .prepare_cached("UPDATE delivery SET state = 5, changed = ?2, reason = ?3 WHERE id = ?1 AND state = 2")?
            .execute(params![id.0, work.now.0, reason])?;
        work.moved(*path, Some(State::Waiting), Some(State::Held));
        if let Some(batch) = batch {
            super::batch::item_ended(work, *batch, *id, State::Held)?;
        }
        work.log(&LogEntry {
            severity: Severity::Warning,
            actor: None,
            kind: "needs",
            path: Some(*path),
            delivery: Some(*id),
            text: format!("held for review: {reason}"),
        })?;
        story::tell_of(
            work,
            &Line::of(*id, *path, format!("held for review: {reason}")),
        )?;
    }
    Ok(late.len() as u64)
}
