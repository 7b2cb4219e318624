//! Fields of which a person decides which of two values stands: opened by what an attempt learnt, refreshed by newer
//! events, ended by a decision or because the two came to agree. One open row for each record, field, source and receiver.
//!
//! While one is open it has the values themselves, as the event's payload has them; of a sensitive field nothing but
//! keyed hashes is left once it is decided. Called by `ledger` (in the commit of what was learnt) and by the action.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::accept::{self, Prepared};
use super::ledger::{self, HashKey, Lesson};
use super::types::{LogEntry, Receipt};
use super::view::{DecidedRow, ReviewRow};
use super::work::Work;
use super::writer::Fault;
use crate::ids::{DeliveryId, EventId, PathId, ReviewId};
use crate::record::ledger::{About, Dispute};
use crate::time::Timestamp;

/// The longest value that is kept, in bytes: beyond it nobody decides by looking at it.
const LONGEST: usize = 64 << 10;

/// The decision of one that ended without a person.
const OVERTAKEN: &str = "overtaken";

/// Opens a review, or refreshes the open one of this field.
pub(super) fn open(
    work: &Work<'_>,
    record: i64,
    receiver: &str,
    dispute: &Dispute,
    delivery: Option<DeliveryId>,
    path: Option<PathId>,
) -> Result<(), Fault> {
    let text = |value: &crate::record::value::Value| {
        let text = value.canonical();
        if text.len() > LONGEST {
            return Err(Fault::Invalid(format!(
                "{}: a value of {} bytes is too long to be decided about",
                dispute.field,
                text.len()
            )));
        }
        Ok(text)
    };
    let theirs = dispute.theirs.as_ref();
    work.connection
        .prepare_cached(
            "INSERT INTO review(at, record, field, source, receiver, sensitive, ours, ours_at, theirs, theirs_at, base, reason, delivery, path)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT(record, field, source, receiver) WHERE decided IS NULL DO UPDATE SET
               sensitive = excluded.sensitive, ours = excluded.ours, ours_at = excluded.ours_at, theirs = excluded.theirs,
               theirs_at = excluded.theirs_at, base = excluded.base, reason = excluded.reason, delivery = excluded.delivery,
               path = excluded.path",
        )?
        .execute(params![
            work.now.0,
            record,
            dispute.field,
            dispute.source,
            receiver,
            dispute.sensitive,
            text(&dispute.ours.0)?,
            dispute.ours.1.map(|at| at.0),
            theirs.map(|(value, _)| text(value)).transpose()?,
            theirs.and_then(|(_, at)| *at).map(|at| at.0),
            dispute.base,
            dispute.reason,
            delivery.map(|delivery| delivery.0),
            path.map(|path| path.0)
        ])?;
    Ok(())
}

/// Ends the open reviews of fields that were written, or read equal on both sides.
pub(super) fn overtaken<'a>(
    work: &Work<'_>,
    record: i64,
    source: &str,
    receiver: &str,
    fields: impl Iterator<Item = &'a (String, String)>,
) -> rusqlite::Result<()> {
    let mut update = work.connection.prepare_cached(
        "UPDATE review SET decided = ?6, decision = ?7, actor = 'midwatch',
           ours = CASE WHEN sensitive THEN ?5 ELSE ours END, theirs = CASE WHEN sensitive THEN NULL ELSE theirs END
         WHERE record = ?1 AND field = ?2 AND source = ?3 AND receiver = ?4 AND decided IS NULL",
    )?;
    for (field, text) in fields {
        update.execute(params![
            record,
            field,
            source,
            receiver,
            text,
            work.now.0,
            told(OVERTAKEN, Some(text))
        ])?;
    }
    Ok(())
}

/// A decision, with all that follows from it in the same commit.
pub(super) struct Decision {
    pub(super) review: ReviewId,
    /// `ours`, `theirs` or `value`.
    pub(super) side: &'static str,
    /// The value that stands, as the ledger keeps it.
    pub(super) value: String,
    /// What both sides are known to hold by it, and the line in the record's story.
    pub(super) lessons: Vec<Lesson>,
    /// The event that carries it to a system.
    pub(super) repair: Option<Prepared>,
    pub(super) log: LogEntry,
    pub(super) key: HashKey,
}

/// Keeps a decision: the review ends, its event is taken in, the audit row is written.
///
/// # Errors
/// `Invalid` when there is no such review, or it was decided before.
pub(super) fn decide(
    work: &mut Work<'_>,
    decision: &Decision,
    dedupe: i64,
) -> Result<Option<EventId>, Fault> {
    let id = decision.review;
    let Some(row) = one(work.connection, id)? else {
        return Err(Fault::Invalid(format!("there is no review {id}")));
    };
    if let Some(decided) = row.decided {
        return Err(Fault::Invalid(format!(
            "review {id} was decided already: {} by {}",
            decided.decision, decided.actor
        )));
    }
    let mut repair = None;
    if let Some(prepared) = &decision.repair {
        let prepared = std::slice::from_ref(prepared);
        accept::check_paths(work, prepared)?;
        repair = match accept::accept(work, prepared, dedupe)?.pop() {
            Some(Receipt::Accepted { event, .. } | Receipt::Duplicate { event }) => Some(event),
            _ => return Err(Fault::Invalid("the decision was not taken in".to_owned())),
        };
    }
    for lesson in &decision.lessons {
        ledger::learn(work, lesson)?;
    }
    let kept = |text: Option<String>| match text {
        Some(text) if row.sensitive => Some(decision.key.hash(&text)),
        text => text,
    };
    let actor = decision.log.actor.as_ref();
    work.connection
        .prepare_cached(
            "UPDATE review SET decided = ?2, decision = ?3, actor = ?4, repair = ?5, ours = ?6, theirs = ?7 WHERE id = ?1",
        )?
        .execute(params![
            id.0,
            work.now.0,
            told(decision.side, Some(&decision.value)),
            actor.map_or_else(|| "midwatch".to_owned(), ToString::to_string),
            repair.map(|event: EventId| event.0),
            kept(row.ours),
            kept(row.theirs)
        ])?;
    work.log(&decision.log)?;
    Ok(repair)
}

/// A decision as it is kept: the word, a blank, the value.
fn told(word: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("{word} {value}"),
        None => word.to_owned(),
    }
}

/// How many are open.
pub(super) fn open_ones(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM review WHERE decided IS NULL")?
        .query_row([], |row| row.get(0))
}

const ROWS: &str = "SELECT v.id, v.at, r.kind, r.key, v.field, v.source, v.receiver, v.sensitive, v.ours, v.ours_at, v.theirs, v.theirs_at,
      v.base, v.reason, v.delivery, p.name, v.decided, v.decision, v.actor, v.repair
    FROM review v JOIN record r ON r.id = v.record LEFT JOIN path p ON p.id = v.path";

fn row_of(row: &Row<'_>) -> rusqlite::Result<ReviewRow> {
    let when = |at: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp))
    };
    let decided = match when(16)? {
        None => None,
        Some(at) => {
            let told: String = row.get::<_, Option<String>>(17)?.unwrap_or_default();
            let (decision, value) = match told.split_once(' ') {
                Some((word, value)) => (word.to_owned(), Some(value.to_owned())),
                None => (told, None),
            };
            Some(DecidedRow {
                at,
                decision,
                value,
                actor: row.get::<_, Option<String>>(18)?.unwrap_or_default(),
                repair: row.get::<_, Option<i64>>(19)?.map(EventId),
            })
        }
    };
    Ok(ReviewRow {
        id: ReviewId(row.get(0)?),
        at: Timestamp(row.get(1)?),
        about: About {
            kind: row.get(2)?,
            key: row.get(3)?,
        },
        field: row.get(4)?,
        source: row.get(5)?,
        receiver: row.get(6)?,
        sensitive: row.get(7)?,
        ours: row.get(8)?,
        ours_at: when(9)?,
        theirs: row.get(10)?,
        theirs_at: when(11)?,
        base: row.get(12)?,
        reason: row.get(13)?,
        delivery: row.get::<_, Option<i64>>(14)?.map(DeliveryId),
        path: row.get(15)?,
        decided,
    })
}

/// One review.
pub(super) fn one(connection: &Connection, id: ReviewId) -> rusqlite::Result<Option<ReviewRow>> {
    connection
        .prepare_cached(&format!("{ROWS} WHERE v.id = ?1"))?
        .query_row([id.0], row_of)
        .optional()
}

/// The newest reviews, of those that are open or of all.
pub(super) fn newest(
    connection: &Connection,
    open_only: bool,
    limit: usize,
) -> rusqlite::Result<Vec<ReviewRow>> {
    let only = if open_only {
        "WHERE v.decided IS NULL"
    } else {
        ""
    };
    connection
        .prepare_cached(&format!("{ROWS} {only} ORDER BY v.id DESC LIMIT ?1"))?
        .query_map([limit as i64], row_of)?
        .collect()
}

/// The reviews of a record, oldest first.
pub(super) fn of_record(
    connection: &Connection,
    record: i64,
    limit: usize,
) -> rusqlite::Result<Vec<ReviewRow>> {
    connection
        .prepare_cached(&format!(
            "{ROWS} WHERE v.record = ?1 ORDER BY v.id LIMIT ?2"
        ))?
        .query_map(params![record, limit as i64], row_of)?
        .collect()
}
