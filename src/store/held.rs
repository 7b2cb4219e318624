//! Reads of events without a delivery: held at the door, or matching no path. Grouped by what is wrong with them, listed,
//! and one with everything that is known of it. Called by `Reader`; what changes them is `release`.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use sha2::{Digest, Sha256};

use super::accept::{ACCEPTED, DISCARDED, HELD, UNROUTED};
use super::view::{Admission, HeldDetail, HeldEdit, HeldGroup, HeldRow};
use crate::control::action::HeldScope;
use crate::ids::{EventId, HeldGroupId};
use crate::time::Timestamp;

/// Why an event is held that has neither a reason nor a fault (from before faults were kept).
const NO_WORDS: &str = "held";

/// What a group is made of.
const GROUP: &str = "e.admission, coalesce(f.grp, e.reason, ''), e.kind, e.source";

/// The columns of a row, after those of its group.
const ROW: &str = "e.id, e.at, e.event_id, e.subject, coalesce(e.reason, ''),
    (SELECT count(*) FROM original o WHERE o.event = e.id)";

const FROM: &str = "event e LEFT JOIN fault f ON f.event = e.id";

/// Held and unrouted; the first condition is that of the index.
const OPEN: &str = "e.admission <> 0 AND e.admission IN (1, 2)";

/// The stored code as a word; an unknown one is damage and said so.
fn admission_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Admission> {
    match row.get(column)? {
        ACCEPTED => Ok(Admission::Accepted),
        HELD => Ok(Admission::Held),
        UNROUTED => Ok(Admission::Unrouted),
        DISCARDED => Ok(Admission::Discarded),
        code => Err(rusqlite::Error::IntegralValueOutOfRange(column, code)),
    }
}

/// What makes up a group, read from the columns of [`GROUP`].
struct Key {
    admission: Admission,
    text: String,
    kind: String,
    source: String,
}

impl Key {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let text: String = row.get(1)?;
        Ok(Self {
            admission: admission_at(row, 0)?,
            text: if text.is_empty() {
                NO_WORDS.to_owned()
            } else {
                text
            },
            kind: row.get(2)?,
            source: row.get(3)?,
        })
    }

    /// The number stays the same from read to read: it is made of what the group is made of.
    fn id(&self) -> HeldGroupId {
        let mut hash = Sha256::new();
        for part in [self.admission.word(), &self.text, &self.kind, &self.source] {
            hash.update(part);
            hash.update([0]);
        }
        let digest = hash.finalize();
        HeldGroupId(u32::from_be_bytes([
            digest[0], digest[1], digest[2], digest[3],
        ]))
    }
}

/// All groups, the largest first, then the one with the newest.
pub(super) fn groups(connection: &Connection) -> rusqlite::Result<Vec<HeldGroup>> {
    let sql = format!(
        "SELECT {GROUP}, count(*), min(e.at), max(e.at), max(e.id) FROM {FROM} WHERE {OPEN} GROUP BY 1, 2, 3, 4"
    );
    let mut groups: Vec<HeldGroup> = connection
        .prepare_cached(&sql)?
        .query_map([], |row| {
            let key = Key::of(row)?;
            Ok(HeldGroup {
                id: key.id(),
                admission: key.admission,
                text: key.text,
                kind: key.kind,
                source: key.source,
                count: row.get(4)?,
                oldest: Timestamp(row.get(5)?),
                newest: Timestamp(row.get(6)?),
                example: EventId(row.get(7)?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    groups.sort_by(|a, b| {
        (b.count, b.newest, b.example)
            .cmp(&(a.count, a.newest, a.example))
            .then_with(|| a.id.cmp(&b.id))
    });
    Ok(groups)
}

/// A scope as a condition on [`FROM`], with its values.
struct Where {
    sql: String,
    values: Vec<Value>,
}

impl Where {
    /// None: the group is of nothing that is held now.
    fn of(connection: &Connection, scope: Option<&HeldScope>) -> rusqlite::Result<Option<Self>> {
        let (sql, values) = match scope {
            None => (OPEN.to_owned(), Vec::new()),
            Some(HeldScope::Events(ids)) => {
                let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
                (
                    format!("{OPEN} AND e.id IN ({})", list.join(",")),
                    Vec::new(),
                )
            }
            Some(HeldScope::Kind(kind)) => (
                format!("{OPEN} AND e.kind = ?"),
                vec![Value::Text(kind.clone())],
            ),
            Some(HeldScope::Group(id)) => {
                let Some(group) = (groups(connection)?.into_iter()).find(|group| group.id == *id)
                else {
                    return Ok(None);
                };
                let code = match group.admission {
                    Admission::Unrouted => UNROUTED,
                    _ => HELD,
                };
                // As in `Key::of`: one without words is stored without.
                let text = if group.text == NO_WORDS {
                    "coalesce(f.grp, e.reason, '') IN ('', ?)"
                } else {
                    "coalesce(f.grp, e.reason, '') = ?"
                };
                (
                    format!(
                        "{OPEN} AND e.admission = {code} AND {text} AND e.kind = ? AND e.source = ?"
                    ),
                    vec![
                        Value::Text(group.text),
                        Value::Text(group.kind),
                        Value::Text(group.source),
                    ],
                )
            }
        };
        Ok(Some(Self { sql, values }))
    }
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<HeldRow> {
    let key = Key::of(row)?;
    Ok(HeldRow {
        group: key.id(),
        text: key.text,
        admission: key.admission,
        kind: key.kind,
        source: key.source,
        id: EventId(row.get(4)?),
        at: Timestamp(row.get(5)?),
        event_id: row.get(6)?,
        subject: row.get(7)?,
        reason: row.get(8)?,
        edits: row.get(9)?,
    })
}

/// At most `limit` of a scope (none: of all), newest first, before `before`.
pub(super) fn events(
    connection: &Connection,
    scope: Option<&HeldScope>,
    before: Option<EventId>,
    limit: usize,
) -> rusqlite::Result<Vec<HeldRow>> {
    let Some(clause) = Where::of(connection, scope)? else {
        return Ok(Vec::new());
    };
    let below = before.map_or(i64::MAX, |id| id.0);
    let sql = format!(
        "SELECT {GROUP}, {ROW} FROM {FROM} WHERE {} AND e.id < {below} ORDER BY e.id DESC LIMIT {limit}",
        clause.sql
    );
    connection
        .prepare(&sql)?
        .query_map(params_from_iter(clause.values), row_of)?
        .collect()
}

/// How many a scope has up to an event, when the first of them came, and the last of them.
pub(super) fn extent(
    connection: &Connection,
    scope: &HeldScope,
    up_to: EventId,
) -> rusqlite::Result<(u64, Option<Timestamp>, Option<EventId>)> {
    let Some(clause) = Where::of(connection, Some(scope))? else {
        return Ok((0, None, None));
    };
    let sql = format!(
        "SELECT count(*), min(e.at), max(e.id) FROM {FROM} WHERE {} AND e.id <= {up_to}",
        clause.sql
    );
    connection
        .prepare(&sql)?
        .query_row(params_from_iter(clause.values), |row| {
            let oldest = row.get::<_, Option<i64>>(1)?.map(Timestamp);
            Ok((
                row.get(0)?,
                oldest,
                row.get::<_, Option<i64>>(2)?.map(EventId),
            ))
        })
}

/// At most `limit` of a scope above the first and up to the second of `between`, the oldest first.
pub(super) fn chunk(
    connection: &Connection,
    scope: &HeldScope,
    between: (EventId, EventId),
    limit: usize,
) -> rusqlite::Result<Vec<HeldRow>> {
    let Some(clause) = Where::of(connection, Some(scope))? else {
        return Ok(Vec::new());
    };
    let (after, up_to) = between;
    let sql = format!(
        "SELECT {GROUP}, {ROW} FROM {FROM} WHERE {} AND e.id > {after} AND e.id <= {up_to} ORDER BY e.id LIMIT {limit}",
        clause.sql
    );
    connection
        .prepare(&sql)?
        .query_map(params_from_iter(clause.values), row_of)?
        .collect()
}

/// Everything about one event, whatever became of it; none if there is no such event.
pub(super) fn event(connection: &Connection, id: EventId) -> rusqlite::Result<Option<HeldDetail>> {
    let sql = format!("SELECT {GROUP}, {ROW}, f.faults FROM {FROM} WHERE e.id = ?1");
    let found = connection
        .prepare_cached(&sql)?
        .query_row([id.0], |row| {
            Ok((row_of(row)?, row.get::<_, Option<String>>(10)?))
        })
        .optional()?;
    let Some((row, faults)) = found else {
        return Ok(None);
    };
    let edits = connection
        .prepare_cached("SELECT at, actor, data FROM original WHERE event = ?1 ORDER BY n")?
        .query_map([id.0], |row| {
            Ok(HeldEdit {
                at: Timestamp(row.get(0)?),
                actor: row.get(1)?,
                data: row.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(HeldDetail {
        row,
        event: super::events::event(connection, id)?,
        faults: faults
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        edits,
        about: super::records::of_event(connection, id)?,
    }))
}
