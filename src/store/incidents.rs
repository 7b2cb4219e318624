//! Incidents, their timelines, steps and pages; silences; who took a rota over.
//!
//! Must never decide anything: `incident` does. A change is kept only over the revision that it was made from, and the
//! events that carry its pages are taken in by the same commit. Called by the store's face and its readers.

use rusqlite::{Connection, Row, params};

use super::accept::{self, Prepared};
use super::order::state_at;
use super::types::{LogEntry, Receipt};
use super::work::Work;
use super::writer::Fault;
use crate::duty::Stint;
use crate::ids::{DeliveryId, EventId, IncidentId};
use crate::incident::{
    Due, Incident, IncidentLine, PageRow, PageState, Silence, StepRow, StepState,
};
use crate::queue::model::State;
use crate::time::Timestamp;

/// Pages of one incident that are read: more than a week of them.
const PAGES: i64 = 2_000;
/// Lines of a timeline that are read.
const LINES: i64 = 2_000;

/// What is kept of an incident in one commit.
pub(super) struct Kept {
    /// As it is now; `revision` is that of the incident that it was made from.
    pub(super) incident: Incident,
    /// What is told in its timeline.
    pub(super) lines: Vec<IncidentLine>,
    /// Steps of its runbook.
    pub(super) steps: Vec<StepRow>,
    /// Its pages, each with the event that carries it.
    pub(super) pages: Vec<(Due, Prepared)>,
}

/// Keeps it. None where somebody else changed it meanwhile.
pub(super) fn keep(
    work: &mut Work<'_>,
    kept: &Kept,
    dedupe: i64,
    log: Option<&LogEntry>,
) -> Result<Option<IncidentId>, Fault> {
    let json = |incident: &Incident| {
        serde_json::to_string(incident).map_err(|error| Fault::Invalid(error.to_string()))
    };
    let mut incident = kept.incident.clone();
    let connection = work.connection;
    let from = incident.revision as i64;
    incident.revision += 1;
    if incident.id == IncidentId::default() {
        connection
            .prepare_cached(
                "INSERT INTO incident(cause, opened, resolved, revision, document) VALUES (?1, ?2, NULL, 0, '')",
            )?
            .execute(params![incident.cause, incident.opened.0])?;
        incident.id = IncidentId(connection.last_insert_rowid());
    }
    let changed = connection
        .prepare_cached(
            "UPDATE incident SET resolved = ?2, revision = ?3, document = ?4 WHERE id = ?1 AND revision = ?5",
        )?
        .execute(params![
            incident.id.0,
            incident.resolved.map(|at| at.0),
            incident.revision as i64,
            json(&incident)?,
            from
        ])?;
    if changed == 0 {
        return Ok(None);
    }
    let id = incident.id;
    let first: i64 = connection
        .prepare_cached("SELECT coalesce(max(n) + 1, 0) FROM incident_line WHERE incident = ?1")?
        .query_row([id.0], |row| row.get(0))?;
    let mut insert =
        connection.prepare_cached("INSERT INTO incident_line VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (n, line) in (first..).zip(&kept.lines) {
        insert.execute(params![
            id.0, n, line.at.0, line.actor, line.kind, line.text
        ])?;
    }
    drop(insert);
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO incident_step VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for step in &kept.steps {
        let state = match step.state {
            StepState::Done => "done",
            StepState::Skipped => "skipped",
        };
        insert.execute(params![
            id.0,
            step.runbook,
            step.step as i64,
            state,
            step.actor,
            step.at.0,
            step.note
        ])?;
    }
    drop(insert);
    for (due, carrier) in &kept.pages {
        page(work, id, due, carrier, dedupe)?;
    }
    if let Some(log) = log {
        work.log(log)?;
    }
    Ok(Some(id))
}

fn page(
    work: &mut Work<'_>,
    incident: IncidentId,
    due: &Due,
    carrier: &Prepared,
    dedupe: i64,
) -> Result<(), Fault> {
    let prepared = std::slice::from_ref(carrier);
    accept::check_paths(work, prepared)?;
    let event = match accept::accept(work, prepared, dedupe)?.pop() {
        Some(Receipt::Accepted { event, .. }) => event,
        // It was sent before.
        Some(Receipt::Duplicate { .. } | Receipt::Conflict { .. }) => return Ok(()),
        other => {
            return Err(Fault::Invalid(format!(
                "the page was not taken in: {other:?}"
            )));
        }
    };
    work.connection
        .prepare_cached(
            "INSERT INTO page(incident, occasion, level, who, channel, at, instead, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            incident.0,
            due.occasion.word(),
            due.level as i64,
            due.who,
            due.channel,
            work.now.0,
            due.instead_of,
            event.0
        ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Incident>> {
    let (id, revision, document): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    // One that a later version wrote in words unknown here is left out, not fatal.
    let incident = serde_json::from_str::<Incident>(&document).ok();
    Ok(incident.map(|incident| Incident {
        id: IncidentId(id),
        revision: revision as u64,
        ..incident
    }))
}

fn all(
    connection: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<Vec<Incident>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, read)?;
    rows.filter_map(Result::transpose).collect()
}

/// Those that are open, and those that ended after `since`, the oldest first.
pub(super) fn current(
    connection: &Connection,
    since: Timestamp,
) -> rusqlite::Result<Vec<Incident>> {
    let mut found = all(
        connection,
        "SELECT id, revision, document FROM incident WHERE resolved IS NULL
         UNION ALL SELECT id, revision, document FROM incident WHERE resolved > ?1",
        &[&since.0],
    )?;
    found.sort_by_key(|incident| incident.id);
    Ok(found)
}

/// The newest, the newest first.
pub(super) fn newest(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Incident>> {
    all(
        connection,
        "SELECT id, revision, document FROM incident ORDER BY id DESC LIMIT ?1",
        &[&(limit as i64)],
    )
}

pub(super) fn one(connection: &Connection, id: IncidentId) -> rusqlite::Result<Option<Incident>> {
    let found = all(
        connection,
        "SELECT id, revision, document FROM incident WHERE id = ?1",
        &[&id.0],
    )?;
    Ok(found.into_iter().next())
}

pub(super) fn lines(
    connection: &Connection,
    id: IncidentId,
) -> rusqlite::Result<Vec<IncidentLine>> {
    connection
        .prepare_cached(
            "SELECT at, actor, kind, text FROM (SELECT * FROM incident_line WHERE incident = ?1 ORDER BY n DESC LIMIT ?2) ORDER BY n",
        )?
        .query_map([id.0, LINES], |row| {
            Ok(IncidentLine {
                at: Timestamp(row.get(0)?),
                actor: row.get(1)?,
                kind: row.get(2)?,
                text: row.get(3)?,
            })
        })?
        .collect()
}

pub(super) fn steps(connection: &Connection, id: IncidentId) -> rusqlite::Result<Vec<StepRow>> {
    connection
        .prepare_cached(
            "SELECT runbook, step, state, actor, at, note FROM incident_step WHERE incident = ?1 ORDER BY at, step",
        )?
        .query_map([id.0], |row| {
            let state: String = row.get(2)?;
            Ok(StepRow {
                runbook: row.get(0)?,
                step: row.get::<_, i64>(1)? as u64,
                state: match state.as_str() {
                    "skipped" => StepState::Skipped,
                    _ => StepState::Done,
                },
                actor: row.get(3)?,
                at: Timestamp(row.get(4)?),
                note: row.get(5)?,
            })
        })?
        .collect()
}

pub(super) fn pages(connection: &Connection, id: IncidentId) -> rusqlite::Result<Vec<PageRow>> {
    connection
        .prepare_cached(
            "SELECT p.id, p.occasion, p.level, p.who, p.channel, p.at, p.instead, p.event, d.state, d.attempts, d.changed, d.reason
             FROM page p LEFT JOIN delivery d ON d.id = p.event * 256 WHERE p.incident = ?1 ORDER BY p.id DESC LIMIT ?2",
        )?
        .query_map([id.0, PAGES], |row| {
            // One whose delivery was pruned had arrived.
            let known: Option<i64> = row.get(8)?;
            let state = match known {
                Some(_) => state_at(row, 8)?,
                None => State::Delivered,
            };
            let state = match state {
                State::Delivered => PageState::Arrived,
                State::Dead | State::Cancelled | State::Superseded | State::Held => {
                    PageState::Failed
                }
                _ => PageState::Sending,
            };
            let changed: Option<i64> = row.get(10)?;
            Ok(PageRow {
                id: row.get(0)?,
                incident: id,
                occasion: row.get(1)?,
                level: row.get::<_, i64>(2)? as usize,
                who: row.get(3)?,
                channel: row.get(4)?,
                at: Timestamp(row.get(5)?),
                instead_of: row.get(6)?,
                delivery: DeliveryId::new(EventId(row.get(7)?), 0),
                state,
                attempts: row.get::<_, Option<i64>>(9)?.unwrap_or(0) as u32,
                ended: changed
                    .filter(|_| state != PageState::Sending)
                    .map(Timestamp),
                why: row.get(11)?,
            })
        })?
        .collect()
}

/// Silences that are not over.
pub(super) fn silences(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Silence>> {
    let word = |text: Option<String>| {
        text.and_then(|text| serde_json::from_value(serde_json::Value::String(text)).ok())
    };
    connection
        .prepare_cached(
            "SELECT id, rule, subject, at, until, actor, reason FROM silence WHERE until > ?1 ORDER BY id",
        )?
        .query_map([now.0], |row| {
            Ok(Silence {
                id: row.get(0)?,
                rule: word(row.get(1)?),
                subject: row.get(2)?,
                at: Timestamp(row.get(3)?),
                until: Timestamp(row.get(4)?),
                actor: row.get(5)?,
                reason: row.get(6)?,
            })
        })?
        .collect()
}

pub(super) fn silence(
    work: &mut Work<'_>,
    silence: &Silence,
    log: &LogEntry,
) -> Result<i64, Fault> {
    work.connection
        .prepare_cached(
            "INSERT INTO silence(rule, subject, at, until, actor, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            silence.rule.map(crate::watch::Rule::word),
            silence.subject,
            silence.at.0,
            silence.until.0,
            silence.actor,
            silence.reason
        ])?;
    let id = work.connection.last_insert_rowid();
    work.log(log)?;
    Ok(id)
}

/// Ends a silence now. False where there is none of that number, or it is over.
pub(super) fn end_silence(work: &mut Work<'_>, id: i64, log: &LogEntry) -> Result<bool, Fault> {
    let now = work.now.0;
    let ended = work
        .connection
        .prepare_cached("UPDATE silence SET until = ?2 WHERE id = ?1 AND until > ?2")?
        .execute([id, now])?;
    if ended > 0 {
        work.log(log)?;
    }
    Ok(ended > 0)
}

/// Who took a rota over, now or later.
pub(super) fn stints(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Stint>> {
    connection
        .prepare_cached(
            "SELECT rota, person, since, until FROM stint WHERE until > ?1 ORDER BY since, id",
        )?
        .query_map([now.0], |row| {
            Ok(Stint {
                rota: row.get(0)?,
                person: row.get(1)?,
                from: Timestamp(row.get(2)?),
                until: Timestamp(row.get(3)?),
            })
        })?
        .collect()
}

pub(super) fn take(work: &mut Work<'_>, stint: &Stint, log: &LogEntry) -> Result<(), Fault> {
    work.connection
        .prepare_cached("INSERT INTO stint(rota, person, since, until) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            stint.rota,
            stint.person,
            stint.from.0,
            stint.until.0
        ])?;
    work.log(log)?;
    Ok(())
}

/// Removes incidents that ended before `before`, with all that is theirs, at most `most` of them. True if there are more.
pub(super) fn prune(work: &Work<'_>, before: i64, most: i64) -> rusqlite::Result<bool> {
    let old: Vec<i64> = work
        .connection
        .prepare_cached("SELECT id FROM incident WHERE resolved < ?1 LIMIT ?2")?
        .query_map([before, most], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &old {
        for table in ["incident_line", "incident_step", "page"] {
            let sql = format!("DELETE FROM {table} WHERE incident = ?1");
            work.connection.prepare_cached(&sql)?.execute([id])?;
        }
        work.connection
            .prepare_cached("DELETE FROM incident WHERE id = ?1")?
            .execute([id])?;
    }
    for sql in [
        "DELETE FROM silence WHERE until < ?1",
        "DELETE FROM stint WHERE until < ?1",
    ] {
        work.connection.prepare_cached(sql)?.execute([before])?;
    }
    Ok(old.len() as i64 == most)
}
