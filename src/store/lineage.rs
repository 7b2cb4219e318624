//! Lineage: which event was caused by which, and how long a chain has become.
//!
//! A cause is named by the event (`causationid`: the id of an event that is known, or [`reference()`] of one, as requests
//! carry it), or inferred: midwatch itself has just written one of the event's records into its source. Two systems that
//! answer each other without end make an ever longer chain; the writer breaks it at [`DEEPEST`]. Called when an event is
//! accepted and pruned, and by readers. An event that belongs to nothing leaves no row.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::accept::{id_hash, recall_event};
use super::order::state_at;
use super::view::{MOST_TRACED, Trace, TraceDelivery, TraceEvent, TraceNode};
use super::work::Work;
use crate::event::Event;
use crate::ids::{DeliveryId, EventId};
use crate::time::Timestamp;

/// The longest chain of events that goes on; the next one is held.
pub(super) const DEEPEST: i64 = 16;
/// What comes from a system within this time, in milliseconds, after midwatch wrote the same record there, is taken to
/// come from that.
const LATELY: i64 = 10 * 60_000;
/// Most sources whose ids are looked through for a named cause.
const MOST_SOURCES: usize = 64;
/// How requests refer to an event: this, its number, `.`, and [`TAG`] digits of its hash.
const OURS: &str = "midwatch.";
/// Hexadecimal digits that tell whether a number is of this database.
const TAG: usize = 8;

/// How an event is referred to in the requests that deliver it: whoever answers with an event of its own can copy this into
/// `causationid`. The number alone might be another midwatch's; the digits are of the hash of source and id.
pub fn reference(id: EventId, source: &str, event_id: &str) -> String {
    let tag = hex::encode(&id_hash(source, event_id)[..TAG / 2]);
    format!("{OURS}{id}.{tag}")
}

/// What an event itself says of its lineage, with all that can be computed off the writer's thread.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// It refers to one of our numbers, in this text.
    ours: Option<(EventId, String)>,
    /// Else the hashes under which the cause may be remembered: its own source's first.
    hashes: Vec<[u8; 16]>,
    correlation: Option<String>,
}

impl Said {
    pub(super) fn of(event: &Event, sources: &[String]) -> Self {
        let said = |name| event.extension(name).filter(|text| !text.is_empty());
        let correlation = said("correlationid").map(str::to_owned);
        let Some(cause) = said("causationid") else {
            return Self {
                correlation,
                ..Self::default()
            };
        };
        let number = cause
            .strip_prefix(OURS)
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(number, _)| number.parse().ok());
        let sources = (sources.iter().map(String::as_str))
            .filter(|source| *source != event.source)
            .take(MOST_SOURCES);
        Self {
            ours: number.map(|number| (EventId(number), cause.to_owned())),
            hashes: std::iter::once(event.source.as_str())
                .chain(sources)
                .map(|source| id_hash(source, cause))
                .collect(),
            correlation,
        }
    }
}

/// Where an event stands in its chain.
#[derive(Debug)]
pub(super) struct Lineage {
    cause: Option<EventId>,
    inferred: bool,
    correlation: Option<String>,
    /// Events in the chain, this one too.
    depth: i64,
}

/// The lineage of the event that is about to be stored as `id`; none if it belongs to nothing. `records`: those that it
/// is about.
pub(super) fn of(
    work: &Work<'_>,
    said: &Said,
    id: EventId,
    source: &str,
    records: &[i64],
) -> rusqlite::Result<Option<Lineage>> {
    let named = named(work, said)?.filter(|cause| *cause < id);
    let cause = match named {
        Some(cause) => Some(cause),
        None => inferred(work, source, records)?,
    };
    let Some(cause) = cause else {
        let root = said.correlation.clone().map(|correlation| Lineage {
            cause: None,
            inferred: false,
            correlation: Some(correlation),
            depth: 1,
        });
        return Ok(root);
    };
    let kept: Option<(i64, Option<String>)> = work
        .connection
        .prepare_cached("SELECT depth, correlation FROM lineage WHERE event = ?1")?
        .query_row([cause.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (depth, inherited) = kept.unwrap_or((1, None));
    let correlation = match said.correlation.clone().or(inherited) {
        Some(correlation) => Some(correlation),
        // The first of a chain gives it its name.
        None => work
            .connection
            .prepare_cached("SELECT event_id FROM event WHERE id = ?1")?
            .query_row([cause.0], |row| row.get(0))
            .optional()?,
    };
    Ok(Some(Lineage {
        cause: Some(cause),
        inferred: named.is_none(),
        correlation,
        depth: depth + 1,
    }))
}

fn named(work: &Work<'_>, said: &Said) -> rusqlite::Result<Option<EventId>> {
    if let Some((id, text)) = &said.ours {
        let found: Option<(String, String)> = work
            .connection
            .prepare_cached("SELECT source, event_id FROM event WHERE id = ?1")?
            .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if found.is_some_and(|(source, event)| reference(*id, &source, &event) == *text) {
            return Ok(Some(*id));
        }
    }
    for hash in &said.hashes {
        for bucket in work.buckets() {
            if let Some(event) = recall_event(work.connection, bucket, hash)? {
                return Ok(Some(event));
            }
        }
    }
    Ok(None)
}

/// The event behind the newest write of one of the records into `source`, if it was lately.
fn inferred(work: &Work<'_>, source: &str, records: &[i64]) -> rusqlite::Result<Option<EventId>> {
    let mut newest: Option<(i64, i64)> = None;
    for record in records {
        let found: Option<(i64, i64)> = work
            .connection
            .prepare_cached(
                "SELECT sent_at, delivery FROM holding_field
                 WHERE record = ?1 AND system = ?2 AND sent_at >= ?3 AND delivery IS NOT NULL ORDER BY sent_at DESC, delivery DESC LIMIT 1",
            )?
            .query_row(params![record, source, work.now.0 - LATELY], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        newest = newest.max(found);
    }
    Ok(newest.map(|(_, delivery)| DeliveryId(delivery).event()))
}

impl Lineage {
    /// The chain has become too long to go on.
    pub(super) fn is_too_deep(&self) -> bool {
        self.depth > DEEPEST
    }

    /// Keeps it.
    pub(super) fn keep(&self, work: &Work<'_>, id: EventId) -> rusqlite::Result<()> {
        work.connection
            .prepare_cached(
                "INSERT INTO lineage(event, cause, correlation, depth, inferred) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                id.0,
                self.cause.map(|cause| cause.0),
                self.correlation,
                self.depth,
                self.inferred
            ])?;
        Ok(())
    }

    /// Why an event is held, naming the beginning of its chain and its last links.
    pub(super) fn words(&self, connection: &Connection) -> rusqlite::Result<String> {
        let mut chain = Vec::new();
        let mut next = self.cause;
        while let Some(event) = next.filter(|_| chain.len() <= MOST_TRACED) {
            chain.push(event);
            next = cause_of(connection, event)?;
        }
        chain.reverse();
        let left_out = chain.len().saturating_sub(4);
        let mut parts = Vec::new();
        for (place, event) in chain.iter().enumerate() {
            if left_out > 1 && place == 1 {
                parts.push(format!("… {left_out} more …"));
            }
            if left_out <= 1 || place == 0 || place > left_out {
                let name = known(connection, *event)?.map_or_else(String::new, |known| {
                    format!(" {} from {}", brief(&known.kind), brief(&known.source))
                });
                parts.push(format!("{event}{name}"));
            }
        }
        Ok(format!(
            "a chain of {} events, each caused by the one before: {}, and this one; release it if it is right",
            self.depth,
            parts.join(", ")
        ))
    }
}

/// The beginning of a text from outside: words that are kept are kept short.
fn brief(text: &str) -> &str {
    &text[..text.floor_char_boundary(60)]
}

fn cause_of(connection: &Connection, event: EventId) -> rusqlite::Result<Option<EventId>> {
    let cause: Option<Option<i64>> = connection
        .prepare_cached("SELECT cause FROM lineage WHERE event = ?1")?
        .query_row([event.0], |row| row.get(0))
        .optional()?;
    Ok(cause.flatten().map(EventId))
}

/// What an event belongs together with.
pub(super) fn correlation(
    connection: &Connection,
    event: EventId,
) -> rusqlite::Result<Option<String>> {
    let found: Option<Option<String>> = connection
        .prepare_cached("SELECT correlation FROM lineage WHERE event = ?1")?
        .query_row([event.0], |row| row.get(0))
        .optional()?;
    Ok(found.flatten())
}

/// Lets the lineage of an event go that was just removed. While something that it caused is there, its row stays, so that
/// a tree never breaks in two; with the last of them go the rows of its ancestors that were only kept for that.
pub(super) fn prune(connection: &Connection, event: EventId) -> rusqlite::Result<()> {
    let mut next = Some(event);
    while let Some(event) = next {
        let needed = connection
            .prepare_cached("SELECT 1 FROM lineage WHERE cause = ?1")?
            .exists([event.0])?
            || connection
                .prepare_cached("SELECT 1 FROM event WHERE id = ?1")?
                .exists([event.0])?;
        if needed {
            return Ok(());
        }
        next = cause_of(connection, event)?;
        connection
            .prepare_cached("DELETE FROM lineage WHERE event = ?1")?
            .execute([event.0])?;
    }
    Ok(())
}

/// The newest event of this id from this source: by its hash while that is remembered, else by looking through all.
pub(super) fn called(
    connection: &Connection,
    source: &str,
    id: &str,
) -> rusqlite::Result<Option<EventId>> {
    let hash = id_hash(source, id);
    for bucket in super::load::buckets(connection)?.into_iter().rev() {
        if let Some(event) = recall_event(connection, bucket, &hash)? {
            return Ok(Some(event));
        }
    }
    connection
        .prepare_cached(
            "SELECT id FROM event WHERE source = ?1 AND event_id = ?2 ORDER BY id DESC LIMIT 1",
        )?
        .query_row([source, id], |row| row.get(0).map(EventId))
        .optional()
}

/// The tree that an event belongs to; none if nothing is known of the event.
pub(super) fn trace(connection: &Connection, asked: EventId) -> rusqlite::Result<Option<Trace>> {
    // From the event up to its oldest ancestor. A cause is older than what it caused, so this ends; damaged rows end too.
    let mut line = vec![asked];
    let mut seen = HashSet::from([asked]);
    while let Some(cause) = cause_of(connection, line[line.len() - 1])?
        && line.len() < MOST_TRACED
        && seen.insert(cause)
    {
        line.push(cause);
    }
    line.reverse();
    let mut below = Below::new(connection, line[0], 0);
    let mut nodes = below.read()?;
    if below.cut && !nodes.iter().any(|node| node.event == asked) {
        // So large a family that the event itself would be left out: its line, and what it caused.
        nodes = Vec::new();
        for (level, event) in line[..line.len() - 1].iter().enumerate() {
            nodes.push(node(connection, *event, level)?);
        }
        let mut own = Below::new(connection, asked, nodes.len());
        nodes.append(&mut own.read()?);
    }
    let unknown = nodes.len() == 1 && nodes[0].known.is_none() && !is_kept(connection, asked)?;
    Ok((!unknown).then_some(Trace {
        asked,
        nodes,
        cut: below.cut,
    }))
}

/// Something is remembered of an event that is gone.
fn is_kept(connection: &Connection, event: EventId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM lineage WHERE event = ?1")?
        .exists([event.0])
}

/// A walk over what an event caused, each before its own, never deeper in memory than it is long.
struct Below<'a> {
    connection: &'a Connection,
    /// What is still to be read: event and level, the next one last.
    next: Vec<(EventId, usize)>,
    seen: HashSet<EventId>,
    room: usize,
    cut: bool,
}

impl<'a> Below<'a> {
    fn new(connection: &'a Connection, top: EventId, level: usize) -> Self {
        Self {
            connection,
            next: vec![(top, level)],
            seen: HashSet::from([top]),
            room: MOST_TRACED - level,
            cut: false,
        }
    }

    fn read(&mut self) -> rusqlite::Result<Vec<TraceNode>> {
        let mut nodes = Vec::new();
        while let Some((event, level)) = self.next.pop() {
            if nodes.len() == self.room {
                self.cut = true;
                break;
            }
            nodes.push(node(self.connection, event, level)?);
            let caused: Vec<EventId> = self
                .connection
                .prepare_cached(
                    "SELECT event FROM lineage WHERE cause = ?1 ORDER BY event LIMIT ?2",
                )?
                .query_map(params![event.0, self.room as i64], |row| {
                    row.get(0).map(EventId)
                })?
                .collect::<rusqlite::Result<_>>()?;
            for event in caused.into_iter().rev() {
                if self.seen.insert(event) {
                    self.next.push((event, level + 1));
                }
            }
        }
        Ok(nodes)
    }
}

fn known(connection: &Connection, event: EventId) -> rusqlite::Result<Option<TraceEvent>> {
    connection
        .prepare_cached(
            "SELECT at, source, event_id, kind, subject, reason FROM event WHERE id = ?1",
        )?
        .query_row([event.0], |row| {
            Ok(TraceEvent {
                at: Timestamp(row.get(0)?),
                source: row.get(1)?,
                id: row.get(2)?,
                kind: row.get(3)?,
                subject: row.get(4)?,
                reason: row.get(5)?,
            })
        })
        .optional()
}

fn node(connection: &Connection, event: EventId, level: usize) -> rusqlite::Result<TraceNode> {
    let lineage: Option<Lineage> = connection
        .prepare_cached("SELECT cause, inferred, correlation, depth FROM lineage WHERE event = ?1")?
        .query_row([event.0], |row| {
            Ok(Lineage {
                cause: row.get::<_, Option<i64>>(0)?.map(EventId),
                inferred: row.get(1)?,
                correlation: row.get(2)?,
                depth: row.get(3)?,
            })
        })
        .optional()?;
    let low = event.0 << 8;
    let deliveries = connection
        .prepare_cached(
            "SELECT d.id, p.name, d.state, d.changed, d.reason FROM delivery d JOIN path p ON p.id = d.path
             WHERE d.id BETWEEN ?1 AND ?2 ORDER BY d.id",
        )?
        .query_map([low, low + 255], |row| {
            Ok(TraceDelivery {
                id: DeliveryId(row.get(0)?),
                path: row.get(1)?,
                state: state_at(row, 2)?,
                changed: Timestamp(row.get(3)?),
                reason: row.get(4)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(TraceNode {
        event,
        level,
        cause: lineage.as_ref().and_then(|lineage| lineage.cause),
        inferred: lineage.as_ref().is_some_and(|lineage| lineage.inferred),
        depth: lineage.as_ref().map_or(1, |lineage| lineage.depth as u32),
        correlation: lineage.and_then(|lineage| lineage.correlation),
        known: known(connection, event)?,
        deliveries,
    })
}

#[cfg(test)]
mod tests;
