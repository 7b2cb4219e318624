//! Adopting what two systems hold already: both listings are kept beside the ledger, page by page, with the place to go on
//! from; when both are whole they are matched by business key, and what agrees is learnt.
//!
//! Interrupted anywhere, it goes on where it was; done twice, it changes nothing. Values are kept as the ledger keeps them:
//! hashed where sensitive.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::ledger::{HashKey, Lesson, key_text, learn, version_columns, version_of};
use super::types::AdoptPage;
use super::view::{AdoptDifference, AdoptionRow, Matched};
use super::work::Work;
use super::writer::Fault;
use crate::record::alike;
use crate::record::ledger::{About, Learned};
use crate::record::value::Version;
use crate::time::Timestamp;

/// Keys matched by one call, so that it never holds the writer for long.
const CHUNK: usize = 250;
/// Kept records that are removed by one call.
const MOST_REMOVED: i64 = 5_000;

/// Begins, or finds what was begun: one row for each side.
pub(super) fn begin(
    work: &mut Work<'_>,
    kind: &str,
    sides: &[String; 2],
) -> Result<[AdoptionRow; 2], Fault> {
    for system in sides {
        work.connection
            .prepare_cached("INSERT OR IGNORE INTO adoption(kind, system, started, seen) VALUES (?1, ?2, ?3, 0)")?
            .execute(params![kind, system, work.now.0])?;
    }
    let [first, second] = sides;
    Ok([
        row(work.connection, kind, first)?,
        row(work.connection, kind, second)?,
    ])
}

fn row(connection: &Connection, kind: &str, system: &str) -> Result<AdoptionRow, Fault> {
    connection
        .prepare_cached(&format!("{ROW} WHERE kind = ?1 AND system = ?2"))?
        .query_row([kind, system], row_of)
        .optional()?
        .ok_or_else(|| Fault::Invalid(format!("no adoption of {kind} from {system} was begun")))
}

const ROW: &str = "SELECT kind, system, started, next, seen, listed FROM adoption";

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<AdoptionRow> {
    Ok(AdoptionRow {
        kind: row.get(0)?,
        system: row.get(1)?,
        started: Timestamp(row.get(2)?),
        next: row.get(3)?,
        seen: row.get(4)?,
        listed: row.get::<_, Option<i64>>(5)?.map(Timestamp),
    })
}

/// All that was begun and not ended.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<AdoptionRow>> {
    connection
        .prepare_cached(&format!("{ROW} ORDER BY kind, system"))?
        .query_map([], row_of)?
        .collect()
}

/// A page, with its texts made off the writer's thread.
pub(super) struct Page {
    kind: String,
    system: String,
    found: Vec<Found>,
    next: Option<String>,
    last: bool,
}

struct Found {
    key: String,
    id: Option<String>,
    version: Option<Version>,
    /// Fields by name, as JSON.
    fields: String,
}

impl Page {
    pub(super) fn of(page: AdoptPage, key: &HashKey) -> Self {
        let found = page.found.into_iter().map(|record| {
            let fields: BTreeMap<&str, String> = (record.fields.iter())
                .map(|(name, value, sensitive)| (name.as_str(), key.text(value, *sensitive)))
                .collect();
            Found {
                fields: serde_json::json!(fields).to_string(),
                key: key_text(&record.key).into_owned(),
                id: record.id,
                version: record.version,
            }
        });
        Self {
            found: found.collect(),
            kind: page.kind,
            system: page.system,
            next: page.next,
            last: page.last,
        }
    }
}

/// Keeps a page and where to go on, in one commit.
pub(super) fn page(work: &mut Work<'_>, page: &Page) -> Result<AdoptionRow, Fault> {
    let mut insert = work.connection.prepare_cached(
        "INSERT INTO adopted(kind, system, key, id, version_kind, version, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT(kind, system, key) DO UPDATE SET twice = twice OR id IS NOT excluded.id, id = excluded.id,
           version_kind = excluded.version_kind, version = excluded.version, fields = excluded.fields",
    )?;
    for found in &page.found {
        let (version_kind, version) = version_columns(found.version.as_ref());
        insert.execute(params![
            page.kind,
            page.system,
            found.key,
            found.id,
            version_kind,
            version,
            found.fields
        ])?;
    }
    work.connection
        .prepare_cached(
            "UPDATE adoption SET next = ?3, listed = iif(?4, ?5, NULL),
               seen = (SELECT count(*) FROM adopted a WHERE a.kind = ?1 AND a.system = ?2) WHERE kind = ?1 AND system = ?2",
        )?
        .execute(params![page.kind, page.system, page.next, page.last, work.now.0])?;
    row(work.connection, &page.kind, &page.system)
}

/// One side's record of a key.
struct Side {
    id: Option<String>,
    version: Option<Version>,
    fields: BTreeMap<String, String>,
    twice: bool,
}

fn side(
    connection: &Connection,
    kind: &str,
    system: &str,
    key: &str,
) -> rusqlite::Result<Option<Side>> {
    connection
        .prepare_cached("SELECT id, version_kind, version, fields, twice FROM adopted WHERE kind = ?1 AND system = ?2 AND key = ?3")?
        .query_row([kind, system, key], |row| {
            Ok(Side {
                id: row.get(0)?,
                version: version_of(row, 1)?,
                fields: serde_json::from_str(row.get_ref(3)?.as_str()?).unwrap_or_default(),
                twice: row.get(4)?,
            })
        })
        .optional()
}

/// Matches the next keys after `after`; where `keep` is set, learns what matches.
pub(super) fn matched(
    work: &mut Work<'_>,
    kind: &str,
    sides: &[String; 2],
    after: Option<&str>,
    keep: bool,
) -> Result<Matched, Fault> {
    let [first, second] = sides;
    let keys: Vec<String> = work
        .connection
        .prepare_cached(
            "SELECT key FROM (SELECT key FROM adopted WHERE kind = ?1 AND system = ?2 AND key > ?4
               UNION SELECT key FROM adopted WHERE kind = ?1 AND system = ?3 AND key > ?4) ORDER BY key LIMIT ?5",
        )?
        .query_map(params![kind, first, second, after.unwrap_or(""), CHUNK as i64], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut out = Matched::default();
    for key in &keys {
        let ones = side(work.connection, kind, first, key)?;
        let others = side(work.connection, kind, second, key)?;
        let (one, other) = match (ones, others) {
            (Some(one), Some(other)) => (one, other),
            (Some(one), None) => {
                out.only_first
                    .push((key.clone(), one.id.unwrap_or_default()));
                continue;
            }
            (None, other) => {
                let id = other.and_then(|other| other.id);
                out.only_second.push((key.clone(), id.unwrap_or_default()));
                continue;
            }
        };
        if one.twice || other.twice {
            let twice = if one.twice { one } else { other };
            out.twice.push((key.clone(), twice.id.unwrap_or_default()));
            continue;
        }
        out.matched += 1;
        let mut agreed = Vec::new();
        for (name, value) in &one.fields {
            match other.fields.get(name) {
                Some(same) if alike::kept(None, value, same) => {
                    let fuller = if same.len() > value.len() {
                        same
                    } else {
                        value
                    };
                    agreed.push((name.clone(), fuller.clone()));
                }
                Some(differs) => out.differing.push(AdoptDifference {
                    key: key.clone(),
                    id: one.id.clone().unwrap_or_default(),
                    field: name.clone(),
                    values: [value.clone(), differs.clone()],
                }),
                None => {}
            }
        }
        out.agreed += agreed.len() as u64;
        if keep {
            let about = About {
                kind: kind.to_owned(),
                key: key.clone(),
            };
            adopt(work, first, &about, one, &agreed)?;
            adopt(work, second, &about, other, &agreed)?;
        }
    }
    out.next = (keys.len() == CHUNK)
        .then(|| keys.last().cloned())
        .flatten();
    Ok(out)
}

/// Learns what one system holds. A second time there is nothing to tell.
fn adopt(
    work: &mut Work<'_>,
    system: &str,
    about: &About,
    side: Side,
    agreed: &[(String, String)],
) -> Result<(), Fault> {
    let known = super::ledger::known(work.connection, system, &about.kind, &about.key)?;
    let told = known.id.is_some() && known.id == side.id;
    let story = match &side.id {
        Some(id) if !told => Some(format!("adopted: {system} has it as {id}")),
        _ => None,
    };
    let learned = Learned {
        system: system.to_owned(),
        about: about.clone(),
        id: side.id,
        version: side.version,
        // What midwatch wrote itself was not there before.
        adopted: known.adopted || !told,
        story,
        ..Learned::default()
    };
    learn(work, &Lesson::adopting(learned, agreed.to_vec()))
}

/// Ends an adoption: what was listed is let go, a bounded amount a call, and the next one begins anew. True if there is more.
pub(super) fn end(work: &mut Work<'_>, kind: &str, sides: &[String; 2]) -> Result<bool, Fault> {
    for system in sides {
        let removed = work
            .connection
            .prepare_cached(
                "DELETE FROM adopted WHERE (kind, system, key) IN
                 (SELECT kind, system, key FROM adopted WHERE kind = ?1 AND system = ?2 LIMIT ?3)",
            )?
            .execute(params![kind, system, MOST_REMOVED])?;
        if removed as i64 == MOST_REMOVED {
            return Ok(true);
        }
        work.connection
            .prepare_cached("DELETE FROM adoption WHERE kind = ?1 AND system = ?2")?
            .execute([kind, system])?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_agrees_where_one_system_tells_no_currency_and_nothing_else_does() {
        for (one, other, expected) in [
            ("1.50 NOK", "1.5", true),
            ("1.5", "1.50 NOK", true),
            ("1.50 NOK", "1.50 SEK", false),
            ("1.50 NOK", "1.51", false),
            ("\"1.50 NOK\"", "\"1.5\"", false),
            ("#15", "15", false),
            ("null", "0", false),
        ] {
            assert_eq!(alike::kept(None, one, other), expected, "{one} {other}");
        }
    }
}
