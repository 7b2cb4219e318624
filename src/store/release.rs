//! Held and unrouted events go on: released by today's configuration, edited and released, or given up. Each change is one
//! transaction with its audit row, and happens once: what moved on meanwhile is left alone. Called by `Store`; the
//! judgement comes from the front door, nothing is judged here.

use rusqlite::{OptionalExtension, params};

use super::accept::{ACCEPTED, DISCARDED, HELD, NO_PATH, Prepared, UNROUTED, check_paths, fan_out};
use super::order;
use super::story::{self, Line};
use super::types::{Judged, LogEntry, Released};
use super::work::{Total, Work};
use super::writer::Fault;
use crate::control::action::HeldScope;
use crate::ids::{DeliveryId, EventId};
use crate::queue::model::State;

/// A judged event with all that can be computed off the writer's thread.
pub(super) struct Again {
    event: EventId,
    edits: u32,
    prepared: Prepared,
}

impl Again {
    pub(super) fn new(judged: Judged) -> Result<Self, serde_json::Error> {
        Ok(Self {
            event: judged.event,
            edits: judged.edits,
            // Its lineage was kept when it came.
            prepared: Prepared::new(judged.incoming, &[])?,
        })
    }
}

/// Where a held event stands: its admission, if it is still open and as it was judged.
fn open(work: &Work<'_>, again: &Again) -> rusqlite::Result<Option<i64>> {
    let found: Option<(i64, u32)> = work
        .connection
        .prepare_cached(
            "SELECT admission, (SELECT count(*) FROM original WHERE event = ?1) FROM event WHERE id = ?1",
        )?
        .query_row([again.event.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found
        .filter(|(admission, edits)| matches!(*admission, HELD | UNROUTED) && *edits == again.edits)
        .map(|(admission, _)| admission))
}

/// Releases what passes, keeps with the rest why it does not.
pub(super) fn release(
    work: &mut Work<'_>,
    judged: &[Again],
    log: &LogEntry,
) -> Result<Released, Fault> {
    check_paths(work, judged.iter().map(|again| &again.prepared))?;
    let mut done = Released::default();
    for again in judged {
        match open(work, again)? {
            Some(admission) => settle(work, again, admission, log, &mut done)?,
            None => done.moved_on += 1,
        }
    }
    audit(work, &done, log)?;
    Ok(done)
}

/// Keeps the data as it was, puts the edited in its place, and releases it.
pub(super) fn edit(work: &mut Work<'_>, again: &Again, log: &LogEntry) -> Result<Released, Fault> {
    check_paths(work, std::iter::once(&again.prepared))?;
    let Some(admission) = open(work, again)? else {
        return Err(Fault::Invalid(format!(
            "event {} moved on meanwhile: look at it again",
            again.event
        )));
    };
    let incoming = &again.prepared.incoming;
    if let Some(reason) = &incoming.hold {
        return Err(Fault::Invalid(format!("it would be held: {reason}")));
    }
    if incoming.routes.is_empty() {
        return Err(Fault::Invalid(format!("it would be unrouted: {NO_PATH}")));
    }
    let actor = (log.actor.as_ref()).map_or_else(String::new, ToString::to_string);
    let kept = work
        .connection
        .prepare_cached(
            "INSERT INTO original(event, n, at, actor, data) SELECT ?1, ?2, ?3, ?4, data FROM payload WHERE event = ?1",
        )?
        .execute(params![again.event.0, again.edits + 1, work.now.0, actor])?;
    if kept == 0 {
        return Err(Fault::Invalid(format!(
            "event {} has no data any more",
            again.event
        )));
    }
    work.connection
        .prepare_cached("UPDATE payload SET data = ?2 WHERE event = ?1")?
        .execute(params![again.event.0, &incoming.event.data[..]])?;
    let mut done = Released::default();
    settle(work, again, admission, log, &mut done)?;
    audit(work, &done, log)?;
    Ok(done)
}

/// One event that is still open goes where the door says now.
fn settle(
    work: &mut Work<'_>,
    again: &Again,
    before: i64,
    log: &LogEntry,
    done: &mut Released,
) -> Result<(), Fault> {
    let (id, prepared) = (again.event, &again.prepared);
    let incoming = &prepared.incoming;
    let (admission, reason) = match (&incoming.hold, incoming.routes.is_empty()) {
        (Some(reason), _) => (HELD, Some(reason.as_str())),
        (None, true) => (UNROUTED, Some(NO_PATH)),
        (None, false) => (ACCEPTED, None),
    };
    let total = |admission| match admission {
        HELD => Some(Total::HeldEvents),
        UNROUTED => Some(Total::Unrouted),
        _ => None,
    };
    if admission != before {
        for (total, by) in [(total(before), -1), (total(admission), 1)] {
            if let Some(total) = total {
                work.total(total, by);
            }
        }
    }
    // What could not be mapped when it came may have its type only now.
    let event = &incoming.event;
    work.connection
        .prepare_cached(
            "UPDATE event SET admission = ?2, reason = ?3, kind = ?4, subject = ?5 WHERE id = ?1",
        )?
        .execute(params![id.0, admission, reason, event.kind, event.subject])?;
    work.connection
        .prepare_cached("UPDATE payload SET meta = ?2 WHERE event = ?1")?
        .execute(params![id.0, prepared.meta])?;
    if admission == HELD {
        let group = incoming.group.as_deref().or(reason);
        work.connection
            .prepare_cached("INSERT OR REPLACE INTO fault(event, grp, faults) VALUES (?1, ?2, ?3)")?
            .execute(params![id.0, group, prepared.faults])?;
        done.held += 1;
        return Ok(());
    }
    work.connection
        .prepare_cached("DELETE FROM fault WHERE event = ?1")?
        .execute([id.0])?;
    if admission == UNROUTED {
        done.unrouted += 1;
        return Ok(());
    }
    for (kind, key) in &prepared.about {
        let record = super::ledger::find_or_make(work, kind, key)?;
        work.connection
            .prepare_cached("INSERT OR IGNORE INTO event_record(event, record) VALUES (?1, ?2)")?
            .execute([id.0, record])?;
    }
    let by = (log.actor.as_ref()).map_or("midwatch", |actor| actor.name.as_str());
    tell(work, id, format!("{} released by {by}", event.kind))?;
    let told = work
        .connection
        .prepare_cached("SELECT 1 FROM event_record WHERE event = ?1")?
        .exists([id.0])?;
    for (ordinal, route) in incoming.routes.iter().enumerate() {
        let id = DeliveryId::new(id, ordinal as u8);
        // It came before what waits now, and goes before it; what runs is not called back.
        let blocked = match &route.order_key {
            Some(key) => order::reopen(work, id, route.path, key)? == State::Waiting,
            None => false,
        };
        fan_out(work, id, route, blocked, told)?;
        done.deliveries += 1;
    }
    done.events += 1;
    Ok(())
}

fn tell(work: &Work<'_>, event: EventId, text: String) -> rusqlite::Result<()> {
    let line = Line {
        event: Some(event),
        delivery: None,
        path: None,
        text,
    };
    story::tell_of(work, &line)
}

/// The audit row says what came of it.
fn audit(work: &mut Work<'_>, done: &Released, log: &LogEntry) -> rusqlite::Result<()> {
    let text = format!(
        "{}: {} released ({} deliver{}), {} stay",
        log.text,
        done.events,
        done.deliveries,
        if done.deliveries == 1 { "y" } else { "ies" },
        done.held + done.unrouted
    );
    work.log(&LogEntry {
        text,
        ..log.clone()
    })
}

/// Gives a chunk of a scope up.
pub(super) fn discard(
    work: &mut Work<'_>,
    scope: &HeldScope,
    between: (EventId, EventId),
    limit: usize,
    reason: &str,
    log: &LogEntry,
) -> Result<(u64, Option<EventId>), Fault> {
    let rows = super::held::chunk(work.connection, scope, between, limit)?;
    for row in &rows {
        let total = match row.admission {
            super::view::Admission::Unrouted => Total::Unrouted,
            _ => Total::HeldEvents,
        };
        work.total(total, -1);
        work.total(Total::Discarded, 1);
        work.connection
            .prepare_cached("UPDATE event SET admission = ?2, reason = ?3 WHERE id = ?1")?
            .execute(params![row.id.0, DISCARDED, reason])?;
        work.connection
            .prepare_cached("DELETE FROM fault WHERE event = ?1")?
            .execute([row.id.0])?;
        tell(work, row.id, format!("{} discarded: {reason}", row.kind))?;
    }
    let count = rows.len() as u64;
    if count > 0 {
        work.log(&LogEntry {
            text: format!("{count} {}", log.text),
            ..log.clone()
        })?;
    }
    let next = (rows.len() == limit).then(|| rows.last().map(|row| row.id));
    Ok((count, next.flatten()))
}
