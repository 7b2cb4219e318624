//! Reads of records: their stories, a search, what waits for them. Bounded, and never a rowid.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::filter_sql::{Where, escape_like};
use super::ledger::{self, find, key_text, version_of};
use super::view::{HoldingRow, NeedRow, RecordRow, Shadowed, Story, StoryLine};
use crate::ids::{DeliveryId, EventId};
use crate::record::ledger::About;
use crate::time::Timestamp;

/// Keys that a search for a part of a key looks at before it hands back what it has; a key's beginning is found by the index.
const SCAN: i64 = 50_000;

/// The story of the record that a key means; none if no record was ever known by it.
pub(super) fn story(
    connection: &Connection,
    kind: &str,
    key: &str,
    limit: usize,
) -> rusqlite::Result<Option<Story>> {
    let Some(record) = find(connection, kind, &key_text(key))? else {
        return Ok(None);
    };
    let (about, since) = connection
        .prepare_cached("SELECT kind, key, at FROM record WHERE id = ?1")?
        .query_row([record], |row| {
            let about = About {
                kind: row.get(0)?,
                key: row.get(1)?,
            };
            Ok((about, Timestamp(row.get(2)?)))
        })?;
    let keys = connection
        .prepare_cached("SELECT key FROM alias WHERE record = ?1 ORDER BY at, key")?
        .query_map([record], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut holdings: BTreeMap<String, HoldingRow> = connection
        .prepare_cached(
            "SELECT system, id, version_kind, version, adopted, at FROM holding WHERE record = ?1",
        )?
        .query_map([record], |row| {
            let held = HoldingRow {
                id: row.get(1)?,
                version: version_of(row, 2)?,
                adopted: row.get(4)?,
                changed: Timestamp(row.get(5)?),
                ..HoldingRow::default()
            };
            Ok((row.get(0)?, held))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (system, held) in &mut holdings {
        held.fields = ledger::fields(connection, record, system)?;
        held.joined = ledger::joined(connection, record, system)?;
    }
    let waiting = connection
        .prepare_cached(&format!(
            "{NEED} JOIN alias a ON a.kind = n.kind AND a.key = n.key WHERE a.record = ?1 ORDER BY n.delivery LIMIT 100"
        ))?
        .query_map([record], need_of)?
        .collect::<rusqlite::Result<_>>()?;
    let mut lines: Vec<StoryLine> = connection
        .prepare_cached(
            "SELECT s.at, s.event, s.delivery, p.name, s.text FROM story s LEFT JOIN path p ON p.id = s.path
             WHERE s.record = ?1 ORDER BY s.n DESC LIMIT ?2",
        )?
        .query_map(params![record, limit as i64], |row| {
            Ok(StoryLine {
                at: Timestamp(row.get(0)?),
                event: row.get::<_, Option<i64>>(1)?.map(EventId),
                delivery: row.get::<_, Option<i64>>(2)?.map(DeliveryId),
                path: row.get(3)?,
                text: row.get(4)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    lines.reverse();
    let all: u64 = connection
        .prepare_cached("SELECT count(*) FROM story WHERE record = ?1")?
        .query_row([record], |row| row.get(0))?;
    Ok(Some(Story {
        about,
        keys,
        since,
        holdings,
        waiting,
        older: all.saturating_sub(lines.len() as u64),
        lines,
    }))
}

/// Records whose key contains `text`, or that a system knows by that very id; the last changed first. An empty text finds
/// the last changed of all.
pub(super) fn search(
    connection: &Connection,
    kind: Option<&str>,
    text: &str,
    limit: usize,
) -> rusqlite::Result<Vec<RecordRow>> {
    let row_of = |row: &Row<'_>| -> rusqlite::Result<(i64, About, Timestamp)> {
        let about = About {
            kind: row.get(1)?,
            key: row.get(2)?,
        };
        Ok((row.get(0)?, about, Timestamp(row.get(3)?)))
    };
    let rows: Vec<(i64, About, Timestamp)> = if text.is_empty() {
        connection
            .prepare_cached(
                "SELECT id, kind, key, changed FROM record WHERE ?1 IS NULL OR kind = ?1 ORDER BY changed DESC, id DESC LIMIT ?2",
            )?
            .query_map(params![kind, limit as i64], row_of)?
            .collect::<rusqlite::Result<_>>()?
    } else {
        let pattern = format!("%{}%", escape_like(text));
        let beyond = format!("{text}{}", char::MAX);
        connection
            .prepare_cached(
                "WITH RECURSIVE types(kind) AS (
                   SELECT min(kind) FROM alias UNION ALL
                   SELECT (SELECT min(a.kind) FROM alias a WHERE a.kind > t.kind) FROM types t WHERE t.kind IS NOT NULL)
                 SELECT id, kind, key, changed FROM record WHERE (?1 IS NULL OR kind = ?1) AND id IN (
                   SELECT record FROM (SELECT a.record FROM types t JOIN alias a ON a.kind = t.kind AND a.key >= ?4 AND a.key < ?6 LIMIT ?5) UNION
                   SELECT record FROM (SELECT record, key FROM alias WHERE ?1 IS NULL OR kind = ?1 LIMIT ?5) WHERE key LIKE ?3 ESCAPE '\\'
                   UNION SELECT record FROM holding WHERE id = ?4)
                 ORDER BY changed DESC, id DESC LIMIT ?2",
            )?
            .query_map(params![kind, limit as i64, pattern, text, SCAN, beyond], row_of)?
            .collect::<rusqlite::Result<_>>()?
    };
    let mut ids = connection
        .prepare_cached("SELECT system, id FROM holding WHERE record = ?1 AND id IS NOT NULL")?;
    rows.into_iter()
        .map(|(record, about, changed)| {
            let ids = ids
                .query_map([record], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(RecordRow {
                about,
                changed,
                ids,
            })
        })
        .collect()
}

/// The records that an event speaks of, until it is pruned.
pub(super) fn of_event(connection: &Connection, event: EventId) -> rusqlite::Result<Vec<About>> {
    connection
        .prepare_cached("SELECT r.kind, r.key FROM event_record e JOIN record r ON r.id = e.record WHERE e.event = ?1 ORDER BY r.kind, r.key")?
        .query_map([event.0], |row| Ok(About { kind: row.get(0)?, key: row.get(1)? }))?
        .collect()
}

const NEED: &str = "SELECT n.delivery, p.name, n.system, n.kind, n.key, n.since, n.until, d.reason
    FROM need n JOIN delivery d ON d.id = n.delivery JOIN event e ON e.id = (d.id >> 8) JOIN path p ON p.id = n.path";

fn need_of(row: &Row<'_>) -> rusqlite::Result<NeedRow> {
    Ok(NeedRow {
        delivery: DeliveryId(row.get(0)?),
        path: row.get(1)?,
        system: row.get(2)?,
        kind: row.get(3)?,
        key: row.get(4)?,
        since: Timestamp(row.get(5)?),
        until: Timestamp(row.get(6)?),
        reason: row.get(7)?,
    })
}

/// What the deliveries that a condition chooses wait for, oldest first.
pub(super) fn needs(
    connection: &Connection,
    clause: &Where,
    limit: usize,
) -> rusqlite::Result<Vec<NeedRow>> {
    let sql = format!(
        "{NEED} WHERE ({}) ORDER BY n.delivery LIMIT {limit}",
        clause.sql
    );
    connection
        .prepare(&sql)?
        .query_map(params_from_iter(clause.values()), need_of)?
        .collect()
}

/// What one delivery waits for.
pub(super) fn need(connection: &Connection, id: DeliveryId) -> rusqlite::Result<Option<NeedRow>> {
    connection
        .prepare_cached(&format!("{NEED} WHERE n.delivery = ?1"))?
        .query_row([id.0], need_of)
        .optional()
}

/// What a path recorded in shadow mode.
pub(super) fn shadowed(connection: &Connection, path: &str) -> rusqlite::Result<Shadowed> {
    const OF: &str = "FROM delivery INDEXED BY delivery_shadowed WHERE state = 8 AND path = (SELECT id FROM path WHERE name = ?1)";
    let mut found = connection
        .prepare_cached(&format!("SELECT count(*), min(changed), max(changed) {OF}"))?
        .query_row([path], |row| {
            Ok(Shadowed {
                count: row.get(0)?,
                oldest: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                newest: row.get::<_, Option<i64>>(2)?.map(Timestamp),
                would: Vec::new(),
            })
        })?;
    found.would = connection
        .prepare_cached(&format!(
            "SELECT coalesce(reason, ''), count(*) {OF} GROUP BY reason ORDER BY count(*) DESC, reason LIMIT 20"
        ))?
        .query_map([path], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}
