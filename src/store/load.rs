//! The writer's memory, read back from the database: at the start, and after a commit whose outcome was unknown.

use rusqlite::Connection;

use super::work::{Memory, Total};
use crate::ids::PathId;
use crate::queue::model::State;

/// Everything that is bounded by configuration, not by traffic: no table of events or deliveries is scanned.
pub(super) fn memory(connection: &Connection) -> rusqlite::Result<(Memory, i64)> {
    let mut memory = Memory {
        next_event: 1,
        ..Memory::default()
    };
    let last: Option<i64> =
        connection.query_row("SELECT max(id) FROM event", [], |row| row.get(0))?;
    // Pruned events leave no row: the number goes on from where it was.
    let kept = meta(connection, "next_event")?.unwrap_or(1);
    memory.next_event = kept.max(last.unwrap_or(0) + 1);
    let mut counters = connection.prepare("SELECT path, state, n FROM counter")?;
    let mut rows = counters.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(state) = State::from_code(row.get(1)?) {
            *memory
                .counts
                .entry(PathId(row.get(0)?))
                .or_default()
                .get_mut(state) = row.get::<_, i64>(2)?.max(0) as u64;
        }
    }
    let mut targets = connection.prepare("SELECT id, method, url FROM target")?;
    let mut rows = targets.query([])?;
    while let Some(row) = rows.next()? {
        memory
            .targets
            .insert((row.get(1)?, row.get(2)?), row.get(0)?);
    }
    memory.buckets = buckets(connection)?;
    let mut senders = connection.prepare("SELECT system, coalesce(called, 0) FROM sender")?;
    let mut rows = senders.query([])?;
    while let Some(row) = rows.next()? {
        memory.calls.insert(row.get(0)?, row.get(1)?);
    }
    Ok((memory, commits(connection)?))
}

/// Buckets of `dedupe` that hold rows, oldest first. Walks from bucket to bucket through the primary key; never over the
/// hashes.
pub(super) fn buckets(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut buckets = Vec::new();
    let mut next = connection.prepare("SELECT min(bucket) FROM dedupe WHERE bucket > ?1")?;
    let mut after = i64::MIN;
    while let Some(bucket) = next.query_row([after], |row| row.get::<_, Option<i64>>(0))? {
        buckets.push(bucket);
        after = bucket;
    }
    Ok(buckets)
}

/// How many transactions were committed, ever.
pub(super) fn commits(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(sum(n), 0) FROM counter WHERE path = 0 AND state = ?1";
    connection.query_row(sql, [Total::Commits as i64], |row| row.get(0))
}

/// A number kept in `meta`.
pub(super) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_map([key], |row| row.get(0))?
        .next()
        .transpose()
}

/// A text kept in `meta`.
pub(super) fn meta_text(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_map([key], |row| row.get::<_, Option<String>>(0))?
        .next()
        .transpose()
        .map(Option::flatten)
}

/// Keeps a value in `meta`.
pub(super) fn set_meta(
    connection: &Connection,
    key: &str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES (?1, ?2)")?
        .execute(rusqlite::params![key, value])?;
    Ok(())
}
