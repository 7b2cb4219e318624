//! What operators' actions change, each in one transaction with its audit row.

use rusqlite::{OptionalExtension, params};

use super::filter_sql::Where;
use super::needs;
use super::order::{self, state_at};
use super::story::{self, Line};
use super::types::LogEntry;
use super::work::{Total, Work};
use super::writer::Fault;
use crate::control::action::Done;
use crate::ids::{BatchId, DeliveryId, PathId};
use crate::queue::model::State;

/// Deliveries that can be cancelled, as a condition.
const CANCELLABLE: &str = "d.state IN (0, 2, 4, 5)";

struct Found {
    id: DeliveryId,
    path: PathId,
    state: State,
    key: Option<String>,
    batch: Option<BatchId>,
    told: bool,
}

/// Cancels what matches; refuses if more than `expected` would be touched.
pub(super) fn cancel(
    work: &mut Work<'_>,
    clause: &Where,
    high_water: DeliveryId,
    expected: u64,
    reason: &str,
    log: &LogEntry,
) -> Result<u64, Fault> {
    let sql = format!(
        "SELECT d.id, d.path, d.state, d.order_key, d.batch, d.told FROM delivery d JOIN event e ON e.id = (d.id >> 8)
         WHERE ({}) AND {CANCELLABLE} AND d.id <= {} ORDER BY d.id",
        clause.sql, high_water.0
    );
    let found: Vec<Found> = work
        .connection
        .prepare(&sql)?
        .query_map(rusqlite::params_from_iter(clause.values()), |row| {
            Ok(Found {
                id: DeliveryId(row.get(0)?),
                path: PathId(row.get(1)?),
                state: state_at(row, 2)?,
                key: row.get(3)?,
                batch: row.get::<_, Option<i64>>(4)?.map(BatchId),
                told: row.get(5)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    if found.len() as u64 > expected {
        return Err(Fault::Invalid(format!(
            "{} deliveries match now, {expected} were shown: preview again",
            found.len()
        )));
    }
    for Found {
        id,
        path,
        state,
        key,
        batch,
        told,
    } in &found
    {
        if *state == State::Waiting {
            needs::remove(work, *id)?;
        }
        work.connection
            .prepare_cached(
                "UPDATE delivery SET state = 6, open = 0, changed = ?2, reason = ?3 WHERE id = ?1",
            )?
            .execute(params![id.0, work.now.0, reason])?;
        work.moved(*path, Some(*state), Some(State::Cancelled));
        if *told {
            let text = format!("cancelled: {reason}");
            story::tell_of(work, &Line::of(*id, *path, text))?;
        }
        super::plans::settled(work, *id, State::Cancelled, Some(reason))?;
        if let Some(batch) = batch {
            super::batch::item_ended(work, *batch, *id, State::Cancelled)?;
        }
        if let Some(key) = key {
            order::promote(work, *path, key)?;
        }
    }
    work.log(log)?;
    Ok(found.len() as u64)
}

/// Dead deliveries that are found to be needless end as superseded, each with its proof, and let the next of their key go.
/// One that is not dead any more is left. Returns how many ended.
pub(super) fn supersede(
    work: &mut Work<'_>,
    proven: &[(DeliveryId, String)],
    log: &LogEntry,
) -> Result<u64, Fault> {
    let mut count = 0;
    for (id, proof) in proven {
        let found = work
            .connection
            .prepare_cached(
                "SELECT path, order_key, told FROM delivery WHERE id = ?1 AND state = ?2",
            )?
            .query_row(params![id.0, State::Dead.code()], |row| {
                Ok((
                    PathId(row.get(0)?),
                    row.get::<_, Option<String>>(1)?,
                    row.get::<_, bool>(2)?,
                ))
            })
            .optional()?;
        let Some((path, key, told)) = found else {
            continue;
        };
        work.connection
            .prepare_cached(
                "UPDATE delivery SET state = ?4, open = 0, changed = ?2, reason = ?3 WHERE id = ?1",
            )?
            .execute(params![id.0, work.now.0, proof, State::Superseded.code()])?;
        work.moved(path, Some(State::Dead), Some(State::Superseded));
        if told {
            let text = format!("superseded: {proof}");
            story::tell_of(work, &Line::of(*id, path, text))?;
        }
        if let Some(key) = key {
            order::promote(work, path, &key)?;
        }
        count += 1;
    }
    if count > 0 {
        work.log(log)?;
    }
    Ok(count)
}

pub(super) fn done_before(work: &Work<'_>, submission: &str) -> Result<Option<Done>, Fault> {
    let text: Option<String> = work
        .connection
        .prepare_cached("SELECT done FROM submission WHERE id = ?1")?
        .query_row([submission], |row| row.get(0))
        .optional()?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| Fault::Invalid(error.to_string())))
        .transpose()
}

pub(super) fn record_done(
    work: &mut Work<'_>,
    submission: &str,
    done: &Done,
    log: Option<&LogEntry>,
) -> Result<(), Fault> {
    let text = serde_json::to_string(done).map_err(|error| Fault::Invalid(error.to_string()))?;
    work.connection
        .prepare_cached("INSERT OR IGNORE INTO submission(id, at, done) VALUES (?1, ?2, ?3)")?
        .execute(params![submission, work.now.0, text])?;
    if let Some(log) = log {
        work.log(log)?;
    }
    Ok(())
}

/// Rows removed per call, so that retention never holds the writer for long.
const PRUNE: i64 = 500;

/// Removes old delivered, cancelled, superseded and shadowed deliveries whole once every delivery of their event is settled and old,
/// unreviewed dead letters never; then old log rows, runs, minutes, hours, dedupe buckets and forgotten records. True if there is more.
pub(super) fn prune(
    work: &mut Work<'_>,
    delivered_before: i64,
    log_before: i64,
    ledger_before: Option<i64>,
    dedupe_millis: i64,
) -> Result<bool, Fault> {
    let connection = work.connection;
    let from = super::load::meta(connection, "pruned_to")?.unwrap_or(0);
    let events: Vec<(i64, i64, i64)> = connection
        .prepare_cached("SELECT id, at, admission FROM event WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![from, PRUNE], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let old: Vec<(i64, i64)> = events
        .iter()
        .take_while(|(_, at, _)| *at < delivered_before)
        .map(|(id, _, admission)| (*id, *admission))
        .collect();
    for (event, admission) in &old {
        prune_event(work, *event, *admission, delivered_before)?;
    }
    if let Some((last, _)) = old.last() {
        super::load::set_meta(connection, "pruned_to", *last)?;
    } else if from > 0
        && super::load::meta(connection, "prune_again")?
            .is_none_or(|at| work.now.0 - at > 86_400_000)
    {
        // Once a day from the start: what was open then may be settled now.
        super::load::set_meta(connection, "pruned_to", 0)?;
        super::load::set_meta(connection, "prune_again", work.now.0)?;
    }
    let now = work.now.0;
    let bounded = [
        ("log", "at", log_before),
        ("submission", "at", log_before),
        ("note", "last", log_before),
        ("minute", "at", now - 48 * 3_600_000),
        ("hour", "at", now - 400 * 86_400_000),
    ];
    let mut more = old.len() as i64 == PRUNE;
    for (table, column, before) in bounded {
        let key = match table {
            "log" | "submission" | "note" => "id",
            _ => "(path, at)",
        };
        let columns = key.trim_matches(['(', ')']);
        let removed = connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE {key} IN (SELECT {columns} FROM {table} WHERE {column} < ?1 LIMIT ?2)"))?
            .execute(params![before, PRUNE])?;
        more |= removed as i64 == PRUNE;
    }
    if let Some(before) = ledger_before {
        more |= super::ledger::prune(work, before, PRUNE)?;
    }
    let bucket = (now - dedupe_millis).div_euclid(super::accept::BUCKET);
    let removed = connection
        .prepare_cached("DELETE FROM dedupe WHERE (bucket, hash) IN (SELECT bucket, hash FROM dedupe WHERE bucket < ?1 LIMIT ?2)")?
        .execute(params![bucket, PRUNE])?;
    more |= super::plans::prune(work, PRUNE)?;
    more |= super::incidents::prune(work, log_before, 50)?;
    Ok(more || removed as i64 == PRUNE)
}

fn prune_event(work: &mut Work<'_>, event: i64, admission: i64, before: i64) -> Result<(), Fault> {
    let (low, high) = (event << 8, (event << 8) + 255);
    let deliveries: Vec<(i64, PathId, State, i64)> = work
        .connection
        .prepare_cached("SELECT id, path, state, changed FROM delivery WHERE id BETWEEN ?1 AND ?2")?
        .query_map(params![low, high], |row| {
            Ok((
                row.get(0)?,
                PathId(row.get(1)?),
                state_at(row, 2)?,
                row.get(3)?,
            ))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let may_go = admission != super::accept::HELD
        && deliveries.iter().all(|(_, _, state, changed)| {
            matches!(
                state,
                State::Delivered | State::Cancelled | State::Superseded | State::Shadowed
            ) && *changed < before
        });
    if !may_go {
        return Ok(());
    }
    for (_, path, state, _) in &deliveries {
        work.moved(*path, Some(*state), None);
    }
    for table in ["attempt", "answer", "frozen"] {
        work.connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE delivery BETWEEN ?1 AND ?2"
            ))?
            .execute(params![low, high])?;
    }
    work.connection
        .prepare_cached("DELETE FROM delivery WHERE id BETWEEN ?1 AND ?2")?
        .execute(params![low, high])?;
    work.connection
        .prepare_cached("DELETE FROM payload WHERE event = ?1")?
        .execute([event])?;
    work.connection
        .prepare_cached("DELETE FROM event WHERE id = ?1")?
        .execute([event])?;
    work.connection
        .prepare_cached("DELETE FROM original WHERE event = ?1")?
        .execute([event])?;
    work.connection
        .prepare_cached("DELETE FROM original WHERE event = ?1")?
        .execute([event])?;
    work.connection
        .prepare_cached("DELETE FROM event_record WHERE event = ?1")?
        .execute([event])?;
    super::lineage::prune(work.connection, crate::ids::EventId(event))?;
    if admission == super::accept::UNROUTED {
        work.total(Total::Unrouted, -1);
    }
    super::load::set_meta(work.connection, "next_event", work.next_event)?;
    Ok(())
}
