//! What is known of each business record, by surrogate id: its keys, its ids and versions in the systems, what was sent
//! and what was seen to agree. Every key that a record was ever known by keeps meaning it; two records that turn out to be
//! one become the older.
//!
//! A sensitive value is kept only as a keyed hash, a long one only as its beginning and such a hash. The rules of what may
//! be learnt when are the caller's (`queue/`, adoption); here it is kept, in one commit with what follows from it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::story::{self, Line};
use super::types::Agreed;
use super::work::Work;
use super::writer::Fault;
use super::{load, needs, review};
use crate::ids::{DeliveryId, PathId};
use crate::record::ledger::{About, Dispute, Known, KnownField, Learned};
use crate::record::value::{Value, Version};
use crate::time::Timestamp;

/// Keys longer than this many bytes are kept as their beginning and a hash.
const LONGEST_KEY: usize = 256;
/// So are values.
const LONGEST_VALUE: usize = 256;
/// How exactly the time of a record's last change is kept, in milliseconds: retention counts in days, and a row that is
/// not written costs nothing.
const GRAIN: i64 = 3_600_000;

/// The key of the hashes: random, made once, kept in the database that it is for.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}

impl HashKey {
    /// Reads it, or makes it.
    pub(super) fn of(connection: &Connection) -> Result<Self, String> {
        let kept: Option<Vec<u8>> = connection
            .query_row(
                "SELECT value FROM meta WHERE key = 'ledger_key'",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(|error| error.to_string())?;
        if let Some(kept) = kept {
            let key = kept.try_into().map_err(|_| "the ledger's key is damaged")?;
            return Ok(Self(key));
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("no random numbers: {error}"))?;
        load::set_meta(connection, "ledger_key", key).map_err(|error| error.to_string())?;
        Ok(Self(key))
    }

    /// `#` and 16 hex digits.
    pub fn hash(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(text.as_bytes());
        format!("#{}", hex::encode(&mac.finalize().into_bytes()[..8]))
    }

    /// A value as the ledger keeps it: the same text for the same value, whatever system wrote it.
    pub fn text(&self, value: &Value, sensitive: bool) -> String {
        let text = value.canonical();
        if sensitive {
            return self.hash(&text);
        }
        if text.len() <= LONGEST_VALUE {
            return text;
        }
        let hash = self.hash(&text);
        format!(
            "{}…{hash}",
            &text[..text.floor_char_boundary(LONGEST_VALUE - 32)]
        )
    }
}

/// A business key as the ledger keeps it.
pub(super) fn key_text(key: &str) -> Cow<'_, str> {
    if key.len() <= LONGEST_KEY {
        return Cow::Borrowed(key);
    }
    let hash = hex::encode(&Sha256::digest(key)[..16]);
    Cow::Owned(format!(
        "{}…#{hash}",
        &key[..key.floor_char_boundary(LONGEST_KEY - 48)]
    ))
}

/// What is to be learnt, with all that can be computed off the writer's thread.
pub(super) struct Lesson {
    system: String,
    about: About,
    aliases: Vec<String>,
    id: Option<String>,
    version: Option<Version>,
    adopted: bool,
    /// From a listing, which may be older than what was written since.
    listed: bool,
    sent: Vec<(String, String)>,
    agreed: Vec<(String, String)>,
    seen: Vec<(String, String)>,
    joined: Vec<(String, String)>,
    disputes: Vec<Dispute>,
    source: Option<String>,
    story: Option<String>,
    delivery: Option<DeliveryId>,
}

impl Lesson {
    pub(super) fn of(learned: Learned, key: &HashKey) -> Self {
        let texts = |fields: Vec<(String, Value, bool)>| {
            fields
                .into_iter()
                .map(|(name, value, sensitive)| (name, key.text(&value, sensitive)))
                .collect()
        };
        Self {
            about: About {
                key: key_text(&learned.about.key).into_owned(),
                kind: learned.about.kind,
            },
            aliases: (learned.aliases.iter())
                .map(|alias| key_text(alias).into_owned())
                .collect(),
            sent: texts(learned.sent),
            agreed: texts(learned.agreed),
            seen: texts(learned.seen),
            disputes: learned.disputes,
            source: learned.source,
            system: learned.system,
            id: learned.id,
            version: learned.version,
            adopted: learned.adopted,
            listed: learned.adopted,
            joined: learned.joined,
            story: learned.story,
            delivery: learned.delivery,
        }
    }

    /// Of a record on which two systems agree.
    pub(super) fn agreeing(agreed: Agreed) -> Self {
        let about = About {
            key: key_text(&agreed.about.key).into_owned(),
            kind: agreed.about.kind,
        };
        let learned = Learned {
            system: agreed.system,
            about,
            ..Learned::default()
        };
        Self::adopting(learned, agreed.fields)
    }

    /// Of a record that was listed, under a key and with agreed texts as the ledger keeps them.
    pub(super) fn adopting(learned: Learned, agreed: Vec<(String, String)>) -> Self {
        Self {
            system: learned.system,
            about: learned.about,
            aliases: Vec::new(),
            id: learned.id,
            version: learned.version,
            adopted: learned.adopted,
            listed: true,
            sent: Vec::new(),
            agreed,
            seen: Vec::new(),
            disputes: Vec::new(),
            source: None,
            joined: Vec::new(),
            story: learned.story,
            delivery: None,
        }
    }
}

/// The record of a key (as kept), if there is one.
pub(super) fn find(
    connection: &Connection,
    kind: &str,
    key: &str,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT record FROM alias WHERE kind = ?1 AND key = ?2")?
        .query_row([kind, key], |row| row.get(0))
        .optional()
}

/// The record of a key (as kept); made if there is none.
pub(super) fn find_or_make(work: &Work<'_>, kind: &str, key: &str) -> rusqlite::Result<i64> {
    if let Some(record) = find(work.connection, kind, key)? {
        touch(work, record)?;
        return Ok(record);
    }
    work.connection
        .prepare_cached("INSERT INTO record(kind, key, at, changed) VALUES (?1, ?2, ?3, ?3)")?
        .execute(params![kind, key, work.now.0])?;
    let record = work.connection.last_insert_rowid();
    name(work, record, kind, key)?;
    Ok(record)
}

fn name(work: &Work<'_>, record: i64, kind: &str, key: &str) -> rusqlite::Result<()> {
    work.connection
        .prepare_cached("INSERT INTO alias(kind, key, record, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![kind, key, record, work.now.0])?;
    Ok(())
}

fn touch(work: &Work<'_>, record: i64) -> rusqlite::Result<()> {
    work.connection
        .prepare_cached("UPDATE record SET changed = ?2 WHERE id = ?1 AND changed < ?2 - ?3")?
        .execute(params![record, work.now.0, GRAIN])?;
    Ok(())
}

/// Learns, tells it, and lets go on whatever waited for it.
pub(super) fn learn(work: &mut Work<'_>, lesson: &Lesson) -> Result<(), Fault> {
    let About { kind, key } = &lesson.about;
    let mut record = find_or_make(work, kind, key)?;
    let path = match lesson.delivery {
        Some(delivery) => path_of(work, delivery)?,
        None => None,
    };
    let line = |text| Line {
        event: lesson.delivery.map(DeliveryId::event),
        delivery: lesson.delivery,
        path,
        text,
    };
    let mut merged = false;
    for alias in &lesson.aliases {
        match find(work.connection, kind, alias)? {
            Some(same) if same == record => {}
            Some(other) => {
                record = merge(work, record, other)?;
                merged = true;
                story::tell(
                    work,
                    record,
                    &line("another record turned out to be this one".to_owned()),
                )?;
            }
            None => {
                name(work, record, kind, alias)?;
                story::tell(work, record, &line("known by another key, too".to_owned()))?;
            }
        }
    }
    hold(work, record, lesson)?;
    if let Some(source) = &lesson.source {
        let ended = lesson.sent.iter().chain(&lesson.agreed);
        review::overtaken(work, record, source, &lesson.system, ended)?;
    }
    for dispute in &lesson.disputes {
        review::open(work, record, &lesson.system, dispute, lesson.delivery, path)?;
    }
    if let Some(text) = &lesson.story {
        story::tell(work, record, &line(text.clone()))?;
    }
    if merged {
        for system in systems_with_id(work.connection, record)? {
            needs::meet(work, record, kind, &system)?;
        }
    } else if lesson.id.is_some() {
        needs::meet(work, record, kind, &lesson.system)?;
    }
    Ok(())
}

/// Writes what one system holds of a record.
fn hold(work: &Work<'_>, record: i64, lesson: &Lesson) -> rusqlite::Result<()> {
    let connection = work.connection;
    let mut version = lesson.version.clone();
    if lesson.listed && version.is_some() {
        let kept = connection
            .prepare_cached(
                "SELECT version_kind, version FROM holding WHERE record = ?1 AND system = ?2",
            )?
            .query_row(params![record, lesson.system], |row| version_of(row, 0))
            .optional()?
            .flatten();
        version = match (kept, version) {
            (Some(kept), Some(found)) if newer(&kept, &found) => Some(kept),
            (_, found) => found,
        };
    }
    let (version_kind, version) = version_columns(version.as_ref());
    connection
        .prepare_cached(
            "INSERT INTO holding(record, system, id, id_at, version_kind, version, adopted, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT(record, system) DO UPDATE SET id = coalesce(excluded.id, id), id_at = coalesce(excluded.id_at, id_at),
               version_kind = coalesce(excluded.version_kind, version_kind), version = coalesce(excluded.version, version),
               adopted = max(adopted, excluded.adopted), at = excluded.at",
        )?
        .execute(params![
            record,
            lesson.system,
            lesson.id,
            lesson.id.as_ref().map(|_| work.now.0),
            version_kind,
            version,
            lesson.adopted,
            work.now.0
        ])?;
    for (column, fields) in [
        ("sent", &lesson.sent),
        ("agreed", &lesson.agreed),
        ("seen", &lesson.seen),
    ] {
        if fields.is_empty() {
            continue;
        }
        let mut insert = connection.prepare_cached(&format!(
            "INSERT INTO holding_field(record, system, name, {column}, {column}_at, delivery) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT(record, system, name) DO UPDATE SET {column} = excluded.{column}, {column}_at = excluded.{column}_at,
               delivery = coalesce(excluded.delivery, delivery)"
        ))?;
        for (name, text) in fields {
            insert.execute(params![
                record,
                lesson.system,
                name,
                text,
                work.now.0,
                // What was only seen was written by nobody.
                (column != "seen")
                    .then_some(lesson.delivery)
                    .flatten()
                    .map(|delivery| delivery.0)
            ])?;
        }
    }
    for (kind, other) in &lesson.joined {
        connection
            .prepare_cached("INSERT OR IGNORE INTO joined(record, system, kind, other, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![record, lesson.system, kind, other, work.now.0])?;
    }
    Ok(())
}

fn path_of(work: &Work<'_>, delivery: DeliveryId) -> rusqlite::Result<Option<PathId>> {
    work.connection
        .prepare_cached("SELECT path FROM delivery WHERE id = ?1")?
        .query_row([delivery.0], |row| row.get(0).map(PathId))
        .optional()
}

fn systems_with_id(connection: &Connection, record: i64) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT system FROM holding WHERE record = ?1 AND id IS NOT NULL")?
        .query_map([record], |row| row.get(0))?
        .collect()
}

/// Two records are one: the older id stays, all rows of the other move to it. Where both knew the same thing, the later
/// word counts.
fn merge(work: &Work<'_>, one: i64, other: i64) -> rusqlite::Result<i64> {
    let (stays, goes) = (one.min(other), one.max(other));
    let connection = work.connection;
    story::merge(connection, stays, goes)?;
    for sql in [
        "UPDATE alias SET record = ?1 WHERE record = ?2",
        "INSERT INTO holding(record, system, id, id_at, version_kind, version, adopted, at)
           SELECT ?1, system, id, id_at, version_kind, version, adopted, at FROM holding WHERE record = ?2
         ON CONFLICT(record, system) DO UPDATE SET
           id = CASE WHEN coalesce(excluded.id_at, 0) > coalesce(id_at, 0) THEN excluded.id ELSE id END,
           id_at = nullif(max(coalesce(excluded.id_at, 0), coalesce(id_at, 0)), 0),
           version_kind = CASE WHEN excluded.version IS NOT NULL AND (version IS NULL OR excluded.at > at) THEN excluded.version_kind ELSE version_kind END,
           version = CASE WHEN excluded.version IS NOT NULL AND (version IS NULL OR excluded.at > at) THEN excluded.version ELSE version END,
           adopted = max(adopted, excluded.adopted), at = max(at, excluded.at)",
        "INSERT INTO holding_field(record, system, name, sent, sent_at, agreed, agreed_at, delivery, seen, seen_at)
           SELECT ?1, system, name, sent, sent_at, agreed, agreed_at, delivery, seen, seen_at FROM holding_field WHERE record = ?2
         ON CONFLICT(record, system, name) DO UPDATE SET
           sent = CASE WHEN coalesce(excluded.sent_at, 0) > coalesce(sent_at, 0) THEN excluded.sent ELSE sent END,
           sent_at = nullif(max(coalesce(excluded.sent_at, 0), coalesce(sent_at, 0)), 0),
           agreed = CASE WHEN coalesce(excluded.agreed_at, 0) > coalesce(agreed_at, 0) THEN excluded.agreed ELSE agreed END,
           agreed_at = nullif(max(coalesce(excluded.agreed_at, 0), coalesce(agreed_at, 0)), 0),
           seen = CASE WHEN coalesce(excluded.seen_at, 0) > coalesce(seen_at, 0) THEN excluded.seen ELSE seen END,
           seen_at = nullif(max(coalesce(excluded.seen_at, 0), coalesce(seen_at, 0)), 0)",
        "UPDATE OR IGNORE review SET record = ?1 WHERE record = ?2",
        "INSERT OR IGNORE INTO joined(record, system, kind, other, at) SELECT ?1, system, kind, other, at FROM joined WHERE record = ?2",
        "INSERT OR IGNORE INTO event_record(event, record) SELECT event, ?1 FROM event_record WHERE record = ?2",
        "UPDATE record SET changed = max(changed, (SELECT changed FROM record WHERE id = ?2)) WHERE id = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([stays, goes])?;
    }
    forget(connection, goes)?;
    Ok(stays)
}

/// Removes every row of a record.
fn forget(connection: &Connection, record: i64) -> rusqlite::Result<()> {
    for table in [
        "alias",
        "holding",
        "holding_field",
        "joined",
        "event_record",
        "story",
        "review",
    ] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE record = ?1"))?
            .execute([record])?;
    }
    connection
        .prepare_cached("DELETE FROM record WHERE id = ?1")?
        .execute([record])?;
    Ok(())
}

/// Forgets records that nothing happened to since `before`, at most `most`; true if there may be more. What an event still
/// in the queue speaks of is not forgotten, however old.
pub(super) fn prune(work: &Work<'_>, before: i64, most: i64) -> rusqlite::Result<bool> {
    let old: Vec<i64> = work
        .connection
        .prepare_cached(
            "SELECT id FROM record r WHERE changed < ?1 - ?2 AND NOT EXISTS (SELECT 1 FROM event_record e WHERE e.record = r.id)
             ORDER BY changed LIMIT ?3",
        )?
        .query_map([before, GRAIN, most], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for record in &old {
        forget(work.connection, *record)?;
    }
    Ok(old.len() as i64 == most)
}

/// What is known of a record in a system; nothing where there is no such record.
pub(super) fn known(
    connection: &Connection,
    system: &str,
    kind: &str,
    key: &str,
) -> rusqlite::Result<Known> {
    let Some(record) = find(connection, kind, &key_text(key))? else {
        return Ok(Known::default());
    };
    let held = connection
        .prepare_cached("SELECT id, version_kind, version, adopted FROM holding WHERE record = ?1 AND system = ?2")?
        .query_row(params![record, system], |row| {
            Ok(Known {
                id: row.get(0)?,
                version: version_of(row, 1)?,
                adopted: row.get(3)?,
                ..Known::default()
            })
        })
        .optional()?;
    let Some(mut known) = held else {
        return Ok(Known::default());
    };
    known.fields = fields(connection, record, system)?;
    known.joined = joined(connection, record, system)?;
    Ok(known)
}

/// The first key of the record that a system knows by this id.
pub(super) fn called(
    connection: &Connection,
    system: &str,
    kind: &str,
    id: &str,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT r.key FROM holding h JOIN record r ON r.id = h.record
             WHERE h.id = ?3 AND h.system = ?1 AND r.kind = ?2 ORDER BY r.id LIMIT 1",
        )?
        .query_row(params![system, kind, id], |row| row.get(0))
        .optional()
}

/// What is known of a record's fields in a system.
pub(super) fn fields(
    connection: &Connection,
    record: i64,
    system: &str,
) -> rusqlite::Result<BTreeMap<String, KnownField>> {
    let dated = |row: &rusqlite::Row<'_>, at: usize| -> rusqlite::Result<_> {
        let text: Option<String> = row.get(at)?;
        let when: Option<i64> = row.get(at + 1)?;
        Ok(text.zip(when.map(Timestamp)))
    };
    connection
        .prepare_cached("SELECT name, sent, sent_at, agreed, agreed_at, seen, seen_at FROM holding_field WHERE record = ?1 AND system = ?2")?
        .query_map(params![record, system], |row| {
            let field = KnownField { sent: dated(row, 1)?, agreed: dated(row, 3)?, seen: dated(row, 5)? };
            Ok((row.get(0)?, field))
        })?
        .collect()
}

/// What a record is joined to in a system: (type, id).
pub(super) fn joined(
    connection: &Connection,
    record: i64,
    system: &str,
) -> rusqlite::Result<BTreeSet<(String, String)>> {
    connection
        .prepare_cached("SELECT kind, other FROM joined WHERE record = ?1 AND system = ?2")?
        .query_map(params![record, system], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// Whether a version is newer than another of its kind.
fn newer(one: &Version, other: &Version) -> bool {
    match (one, other) {
        (Version::Instant(one), Version::Instant(other)) => one > other,
        (Version::Number(one), Version::Number(other)) => one > other,
        _ => false,
    }
}

/// A version as its two columns: kind (0 instant, 1 number) and number.
pub(super) fn version_columns(version: Option<&Version>) -> (Option<i64>, Option<i64>) {
    match version {
        None => (None, None),
        Some(Version::Instant(at)) => (Some(0), Some(at.0)),
        Some(Version::Number(number)) => (Some(1), Some(*number)),
    }
}

/// The version of the two columns from `at` on.
pub(super) fn version_of(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<Version>> {
    let kind: Option<i64> = row.get(at)?;
    let number: Option<i64> = row.get(at + 1)?;
    Ok(kind.zip(number).map(|(kind, number)| match kind {
        0 => Version::Instant(Timestamp(number)),
        _ => Version::Number(number),
    }))
}
