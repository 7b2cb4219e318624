//! The Overview's read: bounded by the number of paths and minutes, never by the number of events.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::load::{meta, meta_text};
use super::paths::{breaker_of, pause_of};
use super::stats::{MINUTE, Times, slot_of};
use super::view::{
    Breaker, Counts, Lock, LogRow, NoteFilter, Overview, PathRow, Quantiles, Severity, Slot,
    WorkerRow,
};
use super::work::{SEVERITIES, Total};
use crate::config::model::REPAIR;
use crate::ids::{DeliveryId, PathId};
use crate::queue::model::State;
use crate::time::Timestamp;

/// Minutes of history in a row.
const MINUTES: i64 = 60;
/// Minutes that are summed as "recent".
const RECENT: usize = 5;
/// Log lines beside the paths.
const LOG_LINES: usize = 8;
/// Open deliveries of one kind that are looked at on a path.
const LOOKED_AT: i64 = 200;

pub(super) fn read(connection: &Connection, now: Timestamp) -> rusqlite::Result<Overview> {
    let (held_lately, looped) = held(connection, now)?;
    let counts = counters(connection)?;
    let total = |total: Total| {
        connection
            .prepare_cached("SELECT n FROM counter WHERE path = 0 AND state = ?1")?
            .query_row([total as i64], |row| row.get::<_, i64>(0))
            .optional()
            .map(|n| n.unwrap_or(0).max(0) as u64)
    };
    let mut paths: Vec<PathRow> = connection
        .prepare_cached("SELECT id, name, removed, pause, breaker, shadow, live_at FROM path ORDER BY removed, id")?
        .query_map([], |row| {
            Ok(PathRow {
                id: PathId(row.get(0)?),
                name: row.get(1)?,
                removed: row.get(2)?,
                counts: Counts::default(),
                oldest_due: None,
                oldest_open: None,
                blocked: None,
                retrying: false,
                last_accepted: None,
                last_delivered: None,
                shadow: row.get::<_, bool>(5)? && row.get::<_, Option<i64>>(6)?.is_none(),
                live_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
                shadow_since: None,
                needing: 0,
                needing_since: None,
                pause: pause_of(row, 3)?,
                breaker: breaker_of(row, 4)?,
                minutes: Vec::new(),
                recent: Slot::default(),
                latency: Quantiles::default(),
                attempt_time: Quantiles::default(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    for row in &mut paths {
        row.counts = counts.get(&row.id).copied().unwrap_or_default();
    }
    paths.retain(|row| !is_idle_repair(row));
    for row in &mut paths {
        fill(connection, row, now)?;
    }
    Ok(Overview {
        at: now,
        paths,
        unrouted: total(Total::Unrouted)?,
        held_events: total(Total::HeldEvents)?,
        discarded: total(Total::Discarded)?,
        held_lately,
        looped,
        notes: super::notes::notes(connection, &lately(now), NOTES)?,
        events: total(Total::Events)?,
        worker: worker(connection)?,
        batches: super::batch::running(connection)?,
        runs: super::runs::latest(connection)?,
        senders: super::senders::all(connection)?,
        polls: super::senders::polls(connection)?,
        backfills: super::backfills::current(connection)?,
        log: log_page(connection, None, LOG_LINES)?,
        foreign_host: None,
        trouble: None,
        unreadable: meta_text(connection, "unreadable")?
            .and_then(|list| serde_json::from_str(&list).ok())
            .unwrap_or_default(),
        reviews: super::review::open_ones(connection)?,
        incidents: super::incidents::current(connection, now)?,
        taken: super::incidents::stints(connection, now)?,
        config: meta(connection, "config")?.unwrap_or(0),
    })
}

/// An internal path that never carried anything, and that nothing stops: nobody is told of it.
fn is_idle_repair(row: &PathRow) -> bool {
    row.name.starts_with(REPAIR)
        && row.counts == Counts::default()
        && row.pause.is_none()
        && row.breaker == Breaker::Closed
}

fn counters(connection: &Connection) -> rusqlite::Result<HashMap<PathId, Counts>> {
    let mut counts: HashMap<PathId, Counts> = HashMap::new();
    let mut statement =
        connection.prepare_cached("SELECT path, state, n FROM counter WHERE path > 0")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(state) = State::from_code(row.get(1)?) {
            *counts
                .entry(PathId(row.get(0)?))
                .or_default()
                .get_mut(state) = row.get::<_, i64>(2)?.max(0) as u64;
        }
    }
    Ok(counts)
}

fn fill(connection: &Connection, row: &mut PathRow, now: Timestamp) -> rusqlite::Result<()> {
    open_ones(connection, row, now)?;
    let this = now.0.div_euclid(MINUTE) * MINUTE;
    let from = this - (MINUTES - 1) * MINUTE;
    row.minutes = (0..MINUTES)
        .map(|index| Slot {
            at: Timestamp(from + index * MINUTE),
            ..Slot::default()
        })
        .collect();
    let (mut latency, mut duration) = (Times::default(), Times::default());
    let mut statement = connection.prepare_cached(
        "SELECT accepted, delivered, dead, attempts, failed, throttled, at, latency, duration FROM minute
         WHERE path = ?1 AND at BETWEEN ?2 AND ?3",
    )?;
    let mut rows = statement.query(params![row.id.0, from, this])?;
    while let Some(found) = rows.next()? {
        let at: i64 = found.get(6)?;
        if let Some(slot) = row.minutes.get_mut(((at - from) / MINUTE) as usize) {
            *slot = slot_of(found, Timestamp(at))?;
        }
        latency.merge(found.get_ref(7)?.as_blob().unwrap_or_default());
        duration.merge(found.get_ref(8)?.as_blob().unwrap_or_default());
    }
    for slot in &row.minutes[row.minutes.len() - RECENT..] {
        row.recent.accepted += slot.accepted;
        row.recent.delivered += slot.delivered;
        row.recent.dead += slot.dead;
        row.recent.attempts += slot.attempts;
        row.recent.failed += slot.failed;
        row.recent.throttled += slot.throttled;
    }
    row.recent.at = row.minutes[row.minutes.len() - RECENT].at;
    row.latency = quantiles(&latency);
    row.attempt_time = quantiles(&duration);
    row.last_accepted = last(connection, row, "accepted", |slot| slot.accepted)?;
    row.last_delivered = last(connection, row, "delivered", |slot| slot.delivered)?;
    Ok(())
}

/// What the open deliveries of a path say, from a bounded number of them.
fn open_ones(connection: &Connection, row: &mut PathRow, now: Timestamp) -> rusqlite::Result<()> {
    // What is due, and what awaits its retry: a long line of the first kind must not hide the second.
    for later in [false, true] {
        let (due, accepted, tried): (Option<i64>, Option<i64>, Option<bool>) = connection
            .prepare_cached(if later {
                "SELECT min(due), min(accepted), max(attempt > 0) FROM
                 (SELECT due, accepted, attempt FROM delivery WHERE state = 0 AND path = ?1 AND due > ?2 ORDER BY due, id LIMIT ?3)"
            } else {
                "SELECT min(due), min(accepted), max(attempt > 0) FROM
                 (SELECT due, accepted, attempt FROM delivery WHERE state = 0 AND path = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?3)"
            })?
            .query_row(params![row.id.0, now.0, LOOKED_AT], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        row.oldest_due = row.oldest_due.or(due.map(Timestamp));
        row.oldest_open = earlier(row.oldest_open, accepted.map(Timestamp));
        row.retrying |= tried.unwrap_or(false);
    }
    if row.shadow && row.counts.shadowed > 0 {
        row.shadow_since = connection
            .prepare_cached("SELECT min(changed) FROM delivery WHERE state = 8 AND path = ?1")?
            .query_row([row.id.0], |found| found.get::<_, Option<i64>>(0))?
            .map(Timestamp);
    }
    if row.counts.waiting == 0 {
        return Ok(());
    }
    (row.needing, row.needing_since) = connection
        .prepare_cached("SELECT count(*), min(since) FROM need WHERE path = ?1")?
        .query_row([row.id.0], |found| {
            let since: Option<i64> = found.get(1)?;
            Ok((found.get(0)?, since.map(Timestamp)))
        })?;
    let mut statement = connection.prepare_cached(
        "SELECT accepted, order_key FROM delivery WHERE state = 2 AND path = ?1 ORDER BY accepted LIMIT ?2",
    )?;
    let mut waiting = statement.query(params![row.id.0, LOOKED_AT])?;
    while let Some(found) = waiting.next()? {
        let accepted = Some(Timestamp(found.get(0)?));
        row.oldest_open = earlier(row.oldest_open, accepted);
        if row.counts.dead == 0 {
            break;
        }
        // None: it waits for a record, behind nothing.
        let key: Option<String> = found.get(1)?;
        if let Some(key) = key
            && let Some((_, State::Dead)) = super::order::head(connection, row.id, &key)?
        {
            row.blocked = accepted;
            break;
        }
    }
    Ok(())
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

fn quantiles(times: &Times) -> Quantiles {
    Quantiles {
        p50: times.quantile(0.5),
        p95: times.quantile(0.95),
        p99: times.quantile(0.99),
    }
}

/// The minute (or, further back, the hour) in which something last happened.
fn last(
    connection: &Connection,
    row: &PathRow,
    column: &str,
    of: impl Fn(&Slot) -> u64,
) -> rusqlite::Result<Option<Timestamp>> {
    if let Some(slot) = row.minutes.iter().rev().find(|slot| of(slot) > 0) {
        return Ok(Some(slot.at));
    }
    let at: Option<i64> = connection
        .prepare_cached(&format!(
            "SELECT at FROM hour WHERE path = ?1 AND {column} > 0 ORDER BY at DESC LIMIT 1"
        ))?
        .query_row([row.id.0], |row| row.get(0))
        .optional()?;
    Ok(at.map(Timestamp))
}

pub(super) fn worker(connection: &Connection) -> rusqlite::Result<WorkerRow> {
    let number = |key: &str| meta(connection, key).map(|n| n.unwrap_or(0));
    let text = |key: &str| meta_text(connection, key).map(Option::unwrap_or_default);
    Ok(WorkerRow {
        epoch: number("epoch")?,
        pid: number("worker_pid")? as u32,
        host: text("worker_host")?,
        version: text("worker_version")?,
        started: Timestamp(number("worker_started")?),
        heartbeat: Timestamp(number("heartbeat")?),
        state: text("worker_state")?,
        service: number("worker_service")? == 1,
        listening: connection
            .prepare_cached("SELECT value FROM meta WHERE key = 'listening'")?
            .query_row([], |row| row.get(0))
            .optional()?
            .flatten(),
        lock: Lock::Unknown,
    })
}

/// The host that the last worker found to own the database, if it was not its own.
pub(super) fn foreign(connection: &Connection) -> rusqlite::Result<Option<String>> {
    meta_text(connection, "foreign").map(|words| words.filter(|words| !words.is_empty()))
}

/// Log lines below `before`, newest first.
pub(super) fn log_page(
    connection: &Connection,
    before: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<LogRow>> {
    connection
        .prepare_cached(&format!(
            "{LOG} WHERE l.id < ?1 ORDER BY l.id DESC LIMIT ?2"
        ))?
        .query_map(params![before.unwrap_or(i64::MAX), limit as i64], log_of)?
        .collect()
}

/// The log's columns, for `log_of`.
pub(super) const LOG: &str = "SELECT l.id, l.at, l.severity, l.actor, l.kind, p.name, l.delivery, l.text FROM log l LEFT JOIN path p ON p.id = l.path";

pub(super) fn log_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<LogRow> {
    let severity: usize = row.get(2)?;
    Ok(LogRow {
        id: row.get(0)?,
        at: Timestamp(row.get(1)?),
        severity: SEVERITIES.get(severity).copied().unwrap_or(Severity::Info),
        actor: row
            .get::<_, Option<String>>(3)?
            .unwrap_or_else(|| "midwatch".to_owned()),
        kind: row.get(4)?,
        path: row.get(5)?,
        delivery: row.get::<_, Option<i64>>(6)?.map(DeliveryId),
        text: row.get(7)?,
    })
}

/// Notes that an overview has at most.
const NOTES: usize = 10;

fn lately(now: Timestamp) -> NoteFilter {
    NoteFilter {
        since: Timestamp(now.0 - 86_400_000),
        ..NoteFilter::default()
    }
}

/// Of the newest held events, how many came just now, and how many end a chain of causes that was too long.
fn held(connection: &Connection, now: Timestamp) -> rusqlite::Result<(u64, u64)> {
    connection
        .prepare_cached(
            "SELECT coalesce(sum(at > ?1), 0), coalesce(sum(grp IS ?2), 0) FROM
             (SELECT e.at AS at, f.grp AS grp FROM event e LEFT JOIN fault f ON f.event = e.id
              WHERE e.admission <> 0 AND e.admission = ?3 ORDER BY e.id DESC LIMIT 500)",
        )?
        .query_row(
            params![
                now.0 - 900_000,
                super::accept::TOO_DEEP,
                super::accept::HELD
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
}
