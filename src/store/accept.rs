//! Accepting events: deduplicate, number, store, fan out.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ledger::key_text;
use super::lineage::{self, Said};
use super::stats::Tick;
use super::story::{self, Line};
use super::types::{Incoming, LogEntry, MOST_ABOUT, Receipt, Route};
use super::view::Severity;
use super::work::{Total, Work};
use super::writer::Fault;
use crate::event::{Event, Origin};
use crate::ids::{DeliveryId, EventId, MAX_FAN_OUT, PathId};
use crate::queue::model::State;
use crate::time::Timestamp;

/// Width of a dedupe bucket in milliseconds (8 days): a 30-day memory probes at most five buckets.
pub(super) const BUCKET: i64 = 8 * 86_400_000;

/// How an event was admitted, as stored.
pub(super) const ACCEPTED: i64 = 0;
pub(super) const HELD: i64 = 1;
pub(super) const UNROUTED: i64 = 2;
/// Held or unrouted once, and given up by a person.
pub(super) const DISCARDED: i64 = 3;

/// Why an event is unrouted.
pub(super) const NO_PATH: &str = "no path matches";

/// The group of what came again under a known id or key with other content.
pub const CAME_AGAIN: &str = "the id or key came again with other content";

/// The group of what ends a chain of events that became too long.
pub const TOO_DEEP: &str = "each caused by the one before, too many in a row";

/// What is stored beside the data, as JSON with short names.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Meta {
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<i64>,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) extensions: Vec<(String, String)>,
    #[serde(rename = "o")]
    pub(super) origin: String,
}

/// An incoming event with all that can be computed off the writer's thread.
pub(super) struct Prepared {
    pub(super) incoming: Incoming,
    id_hash: [u8; 16],
    key_hash: Option<[u8; 16]>,
    pub(super) meta: String,
    /// The records it speaks of, each once: type and key as kept.
    pub(super) about: Vec<(String, String)>,
    /// The faults as they are kept.
    pub(super) faults: String,
    /// What it says of its lineage.
    said: Said,
}

impl Prepared {
    /// `sources`: the configured systems, whose events may have caused it.
    pub(super) fn new(incoming: Incoming, sources: &[String]) -> Result<Self, serde_json::Error> {
        let event = &incoming.event;
        let meta = serde_json::to_string(&Meta {
            content_type: event.content_type.clone(),
            time: event.time.map(|time| time.0),
            key: event.idempotency_key.clone(),
            version: event.schema_version.clone(),
            extensions: event.extensions.clone(),
            origin: event.origin.word().to_owned(),
        })?;
        let mut about: Vec<(String, String)> = Vec::new();
        for found in incoming.about.iter().take(MOST_ABOUT) {
            let found = (found.kind.clone(), key_text(&found.key).into_owned());
            if !about.contains(&found) {
                about.push(found);
            }
        }
        Ok(Self {
            about,
            faults: serde_json::to_string(&incoming.faults)?,
            said: Said::of(event, sources),
            id_hash: id_hash(&event.source, &event.id),
            key_hash: event
                .idempotency_key
                .as_deref()
                .map(|key| hash(&event.source, b'k', key)),
            meta,
            incoming,
        })
    }
}

/// What remembers an event's id.
pub(super) fn id_hash(source: &str, id: &str) -> [u8; 16] {
    hash(source, b'i', id)
}

/// The first 16 bytes of SHA-256 over (source, what, text), each ended by a zero byte.
fn hash(source: &str, what: u8, text: &str) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(source);
    hasher.update([0, what, 0]);
    hasher.update(text);
    let digest = hasher.finalize();
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

/// Stores a batch; all or nothing.
pub(super) fn accept(
    work: &mut Work<'_>,
    batch: &[Prepared],
    dedupe_millis: i64,
) -> Result<Vec<Receipt>, Fault> {
    batch
        .iter()
        .map(|prepared| accept_one(work, prepared, dedupe_millis))
        .collect()
}

fn accept_one(
    work: &mut Work<'_>,
    prepared: &Prepared,
    dedupe_millis: i64,
) -> Result<Receipt, Fault> {
    let incoming = &prepared.incoming;
    if incoming.event.origin == Origin::Hook {
        super::senders::called(work, &incoming.event.source)?;
    }
    let id = EventId(work.next_event);
    let bucket = work.now.0.div_euclid(BUCKET);
    let mut known = remember(
        work,
        prepared.id_hash,
        id,
        &incoming.digest,
        bucket,
        dedupe_millis,
    )?;
    if known.is_none()
        && let Some(key) = prepared.key_hash
    {
        known = remember(work, key, id, &incoming.digest, bucket, dedupe_millis)?;
        if known.is_some() {
            // Nothing is stored under this id, so it must not be remembered.
            work.connection
                .prepare_cached("DELETE FROM dedupe WHERE bucket = ?1 AND hash = ?2")?
                .execute(params![bucket, prepared.id_hash])?;
        }
    }
    let mut hold = incoming.hold.clone();
    let mut group = incoming.group.as_deref().or(incoming.hold.as_deref());
    if let Some((event, same)) = known {
        if same || was_listed(work.connection, event, &incoming.event.origin)? {
            return Ok(Receipt::Duplicate { event });
        }
        if !incoming.hold_on_conflict {
            return Ok(Receipt::Conflict { event });
        }
        hold = Some(format!(
            "the id or key of event {event} came again with other content"
        ));
        group = Some(CAME_AGAIN);
    }
    work.next_event += 1;
    let event = &incoming.event;
    let mut records = Vec::with_capacity(prepared.about.len());
    for (kind, key) in &prepared.about {
        records.push(super::ledger::find_or_make(work, kind, key)?);
    }
    let lineage = lineage::of(work, &prepared.said, id, &event.source, &records)?;
    if let Some(lineage) = &lineage {
        lineage.keep(work, id)?;
        // What midwatch itself says (a page, a repair) must reach someone, however long the chain that it is about.
        if lineage.is_too_deep() && event.origin != Origin::Internal {
            let words = lineage.words(work.connection)?;
            work.log(&LogEntry {
                severity: Severity::Warning,
                actor: None,
                kind: "lineage",
                path: None,
                delivery: None,
                text: format!("event {id} is held: {words}"),
            })?;
            hold = Some(match hold {
                Some(hold) => format!("{hold}; and {words}"),
                None => words,
            });
            group = group.or(Some(TOO_DEEP));
        }
    }
    let routes: &[Route] = if hold.is_some() {
        &[]
    } else {
        &incoming.routes
    };
    if routes.len() > MAX_FAN_OUT {
        return Err(Fault::Invalid(format!(
            "an event matches {} paths; at most {MAX_FAN_OUT} are possible",
            routes.len()
        )));
    }
    let admission = match (&hold, routes.is_empty()) {
        (Some(_), _) => HELD,
        (None, true) => UNROUTED,
        (None, false) => ACCEPTED,
    };
    let reason = match admission {
        UNROUTED => Some(NO_PATH),
        _ => hold.as_deref(),
    };
    work.connection
        .prepare_cached("INSERT INTO event(id, at, source, event_id, kind, subject, admission, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![id.0, work.now.0, event.source, event.id, event.kind, event.subject, admission, reason])?;
    work.connection
        .prepare_cached("INSERT INTO payload(event, meta, data) VALUES (?1, ?2, ?3)")?
        .execute(params![id.0, prepared.meta, &event.data[..]])?;
    if let Some(group) = group.filter(|_| admission == HELD) {
        work.connection
            .prepare_cached("INSERT INTO fault(event, grp, faults) VALUES (?1, ?2, ?3)")?
            .execute(params![id.0, group, prepared.faults])?;
    }
    work.total(Total::Events, 1);
    for (record, (kind, _)) in records.into_iter().zip(&prepared.about) {
        work.connection
            .prepare_cached("INSERT OR IGNORE INTO event_record(event, record) VALUES (?1, ?2)")?
            .execute([id.0, record])?;
        let text = match reason {
            Some(reason) => format!("{} from {}: {reason}", event.kind, event.source),
            None => format!("{} from {}", event.kind, event.source),
        };
        let line = Line {
            event: Some(id),
            delivery: None,
            path: None,
            text,
        };
        story::tell(work, record, &line)?;
        super::needs::appear(work, record, kind, &event.source)?;
    }
    let told = !prepared.about.is_empty();
    for (ordinal, route) in routes.iter().enumerate() {
        let id = DeliveryId::new(id, ordinal as u8);
        let blocked = match &route.order_key {
            Some(key) => super::order::is_taken(work.connection, route.path, key)?,
            None => false,
        };
        fan_out(work, id, route, blocked, told)?;
    }
    Ok(match admission {
        HELD => {
            work.total(Total::HeldEvents, 1);
            Receipt::Held {
                event: id,
                reason: hold.unwrap_or_default(),
                faults: incoming.faults.clone(),
            }
        }
        UNROUTED => {
            work.total(Total::Unrouted, 1);
            Receipt::Unrouted { event: id }
        }
        _ => Receipt::Accepted {
            event: id,
            deliveries: routes.len() as u32,
        },
    })
}

/// One delivery is born, held where its route says so. `blocked`: another of its key goes first; `told`: it has records, in
/// whose stories it is told.
pub(super) fn fan_out(
    work: &mut Work<'_>,
    id: DeliveryId,
    route: &Route,
    blocked: bool,
    told: bool,
) -> Result<(), Fault> {
    let state = match &route.hold {
        // It waits for a person, and what comes after it under its key waits with it.
        Some(_) => State::Held,
        None if blocked => State::Waiting,
        None => State::Ready,
    };
    work.connection
        .prepare_cached(
            "INSERT INTO delivery(id, path, state, due, accepted, changed, order_key, continues, told, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id.0,
            route.path.0,
            state.code(),
            (work.now + route.delay).0,
            work.now.0,
            route.order_key,
            route.on_dead_continue,
            told,
            route.hold
        ])?;
    work.moved(route.path, None, Some(state));
    if let Some(reason) = route.hold.as_ref().filter(|_| told) {
        let text = format!("held for review: {reason}");
        story::tell_of(work, &Line::of(id, route.path, text))?;
    }
    work.tick(route.path, Tick::Accepted);
    Ok(())
}

/// Whether one of two events of an id was listed by its vendor and the other one came in by itself. Then they are one: vendors
/// write what they list with other spaces than what they send, and sometimes by another version of their API.
fn was_listed(
    connection: &rusqlite::Connection,
    known: EventId,
    origin: &Origin,
) -> rusqlite::Result<bool> {
    if !matches!(origin, Origin::Hook | Origin::Poll) {
        return Ok(false);
    }
    let before: Option<String> = connection
        .prepare_cached("SELECT json_extract(meta, '$.o') FROM payload WHERE event = ?1")?
        .query_row([known.0], |row| row.get(0))
        .optional()?;
    Ok(matches!(
        (before.as_deref().map(Origin::from_word), origin),
        (Some(Origin::Hook), Origin::Poll) | (Some(Origin::Poll), Origin::Hook)
    ))
}

/// Remembers a hash, or says which event had it before and whether its content was the same.
fn remember(
    work: &mut Work<'_>,
    hash: [u8; 16],
    event: EventId,
    digest: &[u8; 16],
    bucket: i64,
    dedupe_millis: i64,
) -> rusqlite::Result<Option<(EventId, bool)>> {
    let oldest = (work.now.0 - dedupe_millis).div_euclid(BUCKET);
    let older: Vec<i64> = work
        .memory
        .buckets
        .iter()
        .copied()
        .filter(|known| *known >= oldest && *known != bucket)
        .collect();
    for known in older {
        if let Some(found) = recall(work, known, &hash, digest)? {
            return Ok(Some(found));
        }
    }
    let added = work
        .connection
        .prepare_cached(
            "INSERT OR IGNORE INTO dedupe(bucket, hash, event, digest) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![bucket, hash, event.0, digest])?;
    if added == 0 {
        return recall(work, bucket, &hash, digest);
    }
    if !work.has_bucket(bucket) {
        work.add_bucket(bucket);
    }
    Ok(None)
}

fn recall(
    work: &Work<'_>,
    bucket: i64,
    hash: &[u8; 16],
    digest: &[u8; 16],
) -> rusqlite::Result<Option<(EventId, bool)>> {
    work.connection
        .prepare_cached("SELECT event, digest FROM dedupe WHERE bucket = ?1 AND hash = ?2")?
        .query_row(params![bucket, hash], |row| {
            Ok((
                EventId(row.get(0)?),
                row.get_ref(1)?.as_blob().ok() == Some(digest.as_slice()),
            ))
        })
        .optional()
}

/// The event of which a bucket remembers this hash.
pub(super) fn recall_event(
    connection: &Connection,
    bucket: i64,
    hash: &[u8; 16],
) -> rusqlite::Result<Option<EventId>> {
    connection
        .prepare_cached("SELECT event FROM dedupe WHERE bucket = ?1 AND hash = ?2")?
        .query_row(params![bucket, hash], |row| row.get(0).map(EventId))
        .optional()
}

/// The stored event of columns (source, event_id, kind, subject, meta, data), from column `at` on.
pub(super) fn event_of(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Event> {
    let meta: Meta = serde_json::from_str(row.get_ref(at + 4)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            at + 4,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })?;
    Ok(Event {
        source: row.get(at)?,
        id: row.get(at + 1)?,
        kind: row.get(at + 2)?,
        subject: row.get(at + 3)?,
        time: meta.time.map(Timestamp),
        content_type: meta.content_type,
        idempotency_key: meta.key,
        schema_version: meta.version,
        extensions: meta.extensions,
        data: Bytes::copy_from_slice(row.get_ref(at + 5)?.as_blob()?),
        origin: Origin::from_word(&meta.origin),
    })
}

/// Which path numbers exist, so that an accept for an unknown one is refused instead of lost.
pub(super) fn check_paths<'p>(
    work: &Work<'_>,
    batch: impl IntoIterator<Item = &'p Prepared>,
) -> Result<(), Fault> {
    let mut exists = work
        .connection
        .prepare_cached("SELECT 1 FROM path WHERE id = ?1")?;
    let mut seen: Vec<PathId> = Vec::new();
    for route in (batch.into_iter()).flat_map(|prepared| &prepared.incoming.routes) {
        if !seen.contains(&route.path) {
            if !exists.exists([route.path.0])? {
                return Err(Fault::Invalid(format!(
                    "path number {} is not configured",
                    route.path.0
                )));
            }
            seen.push(route.path);
        }
    }
    Ok(())
}
