//! The dispatcher's turn: settle what ended, claim what is due, in one commit.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use super::load::set_meta;
use super::needs;
use super::order::{self, state_at};
use super::plans;
use super::stats::Tick;
use super::story::{self, Line};
use super::types::{Turn, Want};
use super::work::Work;
use super::writer::Fault;
use crate::event::Event;
use crate::ids::{BatchId, DeliveryId, EventId, PathId};
use crate::queue::model::{
    Answer, Attempt, Claimed, Class, Fence, Next, Request, Settlement, State,
};
use crate::time::Timestamp;

/// After this many crashes while it ran, a delivery runs alone.
const SUSPECT_AFTER: i64 = 2;

/// In `meta`: when an attempt last ended whose request may still have been under way.
pub(super) const UNSETTLED: &str = "unsettled";

pub(super) fn turn(
    work: &mut Work<'_>,
    settlements: &[Settlement],
    wants: &[Want],
) -> Result<Turn, Fault> {
    let mut turn = Turn::default();
    for settlement in settlements {
        if !settle(work, settlement)? {
            turn.late += 1;
        }
    }
    let is_open = |settlement: &Settlement| {
        let attempt = settlement.attempt.as_ref();
        attempt.is_some_and(|attempt| {
            attempt.class == Class::Unknown || attempt.status.is_some_and(|status| status >= 500)
        })
    };
    if settlements.iter().any(is_open) {
        unsettled(work)?;
    }
    for want in wants {
        claim(work, *want, &mut turn)?;
    }
    Ok(turn)
}

/// A request may still be under way at its receiver: whoever delivers next gives it its time, also after a restart.
fn unsettled(work: &Work<'_>) -> rusqlite::Result<()> {
    set_meta(work.connection, UNSETTLED, work.now.0)
}

/// Settles one claim; false if its fence is no longer the current one.
fn settle(work: &mut Work<'_>, settlement: &Settlement) -> Result<bool, Fault> {
    let id = settlement.delivery;
    let fence = settlement.fence;
    let current = work
        .connection
        .prepare_cached(
            "SELECT path, order_key, continues, accepted, batch, changed, told FROM delivery
             WHERE id = ?1 AND state = 1 AND epoch = ?2 AND generation = ?3 AND attempt = ?4",
        )?
        .query_row(
            params![id.0, fence.epoch, fence.generation, fence.attempt],
            |row| {
                Ok(Current {
                    path: PathId(row.get(0)?),
                    order_key: row.get(1)?,
                    continues: row.get(2)?,
                    accepted: Timestamp(row.get(3)?),
                    batch: row.get::<_, Option<i64>>(4)?.map(BatchId),
                    claimed: row.get(5)?,
                    told: row.get(6)?,
                })
            },
        )
        .optional()?;
    let Some(current) = current else {
        return take_back(work, settlement);
    };
    let (state, due, reason) = match &settlement.next {
        Next::Delivered => (State::Delivered, work.now, None),
        Next::Retry { due } => (
            State::Ready,
            *due,
            settlement
                .attempt
                .as_ref()
                .map(|attempt| attempt.error.as_str()),
        ),
        Next::Deferred { due, reason, .. } => (State::Ready, *due, Some(reason.as_str())),
        Next::Dead { reason } => (State::Dead, work.now, Some(reason.as_str())),
        // Learnt while the attempt ran: whoever learnt it could not let this one go on.
        Next::Wait { need, .. } if needs::is_met(work, need, current.claimed)? => {
            (State::Ready, work.now, Some("what it needs came meanwhile"))
        }
        Next::Wait { reason, .. } => (State::Waiting, work.now, Some(reason.as_str())),
        Next::Review { reason } => (State::Held, work.now, Some(reason.as_str())),
        Next::Superseded { reason } => (State::Superseded, work.now, Some(reason.as_str())),
        // Went live while the attempt ran: from that commit on nothing is only recorded.
        Next::Shadowed { .. } if is_live(work, current.path)? => (
            State::Ready,
            work.now + LIVE_SOON,
            Some("the path went live meanwhile"),
        ),
        Next::Shadowed { reason, .. } => (State::Shadowed, work.now, Some(reason.as_str())),
    };
    let open = match state {
        State::Dead => !current.continues,
        _ => !state.is_settled(),
    };
    match &settlement.attempt {
        Some(attempt) => {
            work.connection
                .prepare_cached(
                    "UPDATE delivery SET state = ?2, due = ?3, changed = ?4, charged = charged + ?5, attempts = attempts + 1, open = ?6,
                     last_class = ?7, last_status = ?8, fingerprint = ?9, reason = ?10, crashes = 0, alone = 0, poison = 0 WHERE id = ?1",
                )?
                .execute(params![
                    id.0,
                    state.code(),
                    due.0,
                    work.now.0,
                    attempt.charged,
                    open,
                    attempt.class.code(),
                    attempt.status,
                    attempt.fingerprint.map(|fingerprint| fingerprint.0),
                    reason
                ])?;
            record(work, id, fence, attempt)?;
            work.tick(
                current.path,
                Tick::Attempt {
                    class: attempt.class,
                    millis: attempt.duration.as_millis() as u64,
                },
            );
        }
        None => {
            // Handed back: nothing was sent, so the attempt's number is given back too.
            work.connection
                .prepare_cached(
                    "UPDATE delivery SET state = ?2, due = ?3, changed = ?4, attempt = attempt - 1, open = ?5, reason = coalesce(?6, reason),
                     alone = 0 WHERE id = ?1",
                )?
                .execute(params![id.0, state.code(), due.0, work.now.0, open, reason])?;
        }
    }
    work.moved(current.path, Some(State::Running), Some(state));
    match &settlement.next {
        Next::Wait { need, .. } if state == State::Waiting => {
            needs::park(work, id, current.path, need)?;
        }
        Next::Shadowed { request, .. } if state == State::Shadowed => {
            freeze(work, id, fence.generation, request)?;
        }
        _ => {}
    }
    match state {
        State::Delivered => {
            work.tick(
                current.path,
                Tick::Delivered {
                    latency: (fence.generation == 1)
                        .then(|| work.now.since(current.accepted).as_millis() as u64),
                },
            );
        }
        State::Dead => work.tick(current.path, Tick::Dead),
        _ => {}
    }
    if current.told
        && let Some(text) = ending(settlement, state)
    {
        story::tell_of(work, &Line::of(id, current.path, text))?;
    }
    // What carries a repair is about a record: all else does not even ask.
    if current.told && !open {
        plans::settled(work, id, state, reason)?;
    }
    if state == State::Ready {
        if let Some(key) = &current.order_key {
            order::step_back(work, id, current.path, key)?;
        }
        return Ok(true);
    }
    // What waits for a record may wait for long: a replay is not held up by it.
    if let Some(batch) = current.batch {
        super::batch::item_ended(work, batch, id, state)?;
    }
    // Also after a death that blocks, or where this one waits: an elder that was replayed meanwhile is not behind it.
    if let Some(key) = &current.order_key {
        order::promote(work, current.path, key)?;
    }
    Ok(true)
}

/// How long a delivery waits that was shadowed by a dispatcher that does not know yet that its path is live.
const LIVE_SOON: std::time::Duration = std::time::Duration::from_millis(200);

/// Whether a path sends: it is not in shadow mode, or went live since.
fn is_live(work: &Work<'_>, path: PathId) -> rusqlite::Result<bool> {
    work.connection
        .prepare_cached("SELECT 1 FROM path WHERE id = ?1 AND (shadow = 0 OR live_at IS NOT NULL)")?
        .exists([path.0])
}

/// How a delivery's end is told in the stories of its records; none where it only tries again.
fn ending(settlement: &Settlement, state: State) -> Option<String> {
    let text = match &settlement.next {
        Next::Retry { .. } | Next::Deferred { .. } => return None,
        Next::Wait { .. } | Next::Shadowed { .. } if state == State::Ready => return None,
        Next::Delivered => match &settlement.attempt {
            Some(attempt) if !attempt.steps.is_empty() => {
                let steps: Vec<&str> = (attempt.steps.iter())
                    .map(|step| step.what.as_str())
                    .collect();
                format!("delivered: {}", steps.join(", "))
            }
            Some(Attempt {
                status: Some(status),
                ..
            }) => format!("delivered: {status}"),
            _ => "delivered".to_owned(),
        },
        Next::Dead { reason } => format!("dead: {reason}"),
        Next::Wait { reason, .. } => format!("waits: {reason}"),
        Next::Review { reason } => format!("held for review: {reason}"),
        Next::Superseded { reason } => format!("nothing to send: {reason}"),
        Next::Shadowed { reason, .. } => format!("shadow: {reason}"),
    };
    Some(text)
}

/// Takes a death back: the attempt that killed the delivery turned out to be the receiver's fault (it refuses everything),
/// so the delivery is ready again and the attempt costs nothing. Only while nothing else has happened to it since, and
/// not in a replay batch, which has counted it and stops itself. False if there is nothing to take back.
fn take_back(work: &mut Work<'_>, settlement: &Settlement) -> Result<bool, Fault> {
    let (None, Next::Retry { due }) = (&settlement.attempt, &settlement.next) else {
        return Ok(false);
    };
    let (id, fence) = (settlement.delivery, settlement.fence);
    let found: Option<(PathId, Option<String>)> = work
        .connection
        .prepare_cached(
            "SELECT path, order_key FROM delivery
             WHERE id = ?1 AND state = 4 AND epoch = ?2 AND generation = ?3 AND attempt = ?4 AND batch IS NULL",
        )?
        .query_row(
            params![id.0, fence.epoch, fence.generation, fence.attempt],
            |row| Ok((PathId(row.get(0)?), row.get(1)?)),
        )
        .optional()?;
    let Some((path, key)) = found else {
        return Ok(false);
    };
    let state = match &key {
        Some(key) => order::reopen(work, id, path, key)?,
        None => State::Ready,
    };
    work.connection
        .prepare_cached(
            "UPDATE delivery SET state = ?2, due = ?3, changed = ?4, charged = max(charged - 1, 0), open = 1,
             reason = 'taken back: the receiver refuses everything' WHERE id = ?1",
        )?
        .execute(params![id.0, state.code(), due.0, work.now.0])?;
    work.moved(path, Some(State::Dead), Some(state));
    Ok(true)
}

/// Makes deliveries of `path` that are due after `beyond` due sooner by `by`, though not before now: the clock was set back.
pub(super) fn hasten(
    work: &mut Work<'_>,
    path: PathId,
    beyond: Timestamp,
    by: std::time::Duration,
) -> Result<u64, Fault> {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let changed = work
        .connection
        .prepare_cached("UPDATE delivery SET due = max(?4, due - ?3) WHERE state = 0 AND path = ?1 AND due > ?2")?
        .execute(params![path.0, beyond.0, by, work.now.0])? as u64;
    work.woke |= changed > 0;
    Ok(changed)
}

/// Makes those of these deliveries that are ready and due later due now.
pub(super) fn due_now(work: &mut Work<'_>, ids: &[DeliveryId]) -> Result<(), Fault> {
    let mut update = work
        .connection
        .prepare_cached("UPDATE delivery SET due = ?2 WHERE id = ?1 AND state = 0 AND due > ?2")?;
    let mut changed = 0;
    for id in ids {
        changed += update.execute(params![id.0, work.now.0])?;
    }
    drop(update);
    work.woke |= changed > 0;
    Ok(())
}

struct Current {
    path: PathId,
    order_key: Option<String>,
    continues: bool,
    accepted: Timestamp,
    batch: Option<BatchId>,
    /// When the attempt was claimed, in milliseconds.
    claimed: i64,
    /// Its event is about records, which tell of it.
    told: bool,
}

/// Writes the attempt's row, and the answer's if there is anything in it.
fn record(
    work: &mut Work<'_>,
    id: DeliveryId,
    fence: Fence,
    attempt: &Attempt,
) -> rusqlite::Result<()> {
    let target = work.target(&attempt.target)?;
    let spelled = target.is_none();
    work.connection
        .prepare_cached(
            "INSERT INTO attempt(delivery, generation, n, at, duration_us, class, status, charged, target, method, url, key, config, error, steps)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            id.0,
            fence.generation,
            fence.attempt,
            attempt.started_at.0,
            attempt.duration.as_micros() as i64,
            attempt.class.code(),
            attempt.status,
            attempt.charged,
            target,
            spelled.then_some(&attempt.target.0),
            spelled.then_some(&attempt.target.1),
            attempt.key,
            attempt.config,
            (!attempt.error.is_empty()).then_some(&attempt.error),
            (!attempt.steps.is_empty()).then(|| serde_json::json!(attempt.steps).to_string())
        ])?;
    let Answer {
        headers,
        body,
        truncated,
    } = &attempt.answer;
    if !headers.is_empty() || !body.is_empty() {
        work.connection
            .prepare_cached("INSERT INTO answer(delivery, generation, n, headers, body, truncated) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![id.0, fence.generation, fence.attempt, pairs_to_json(headers), body, truncated])?;
    }
    Ok(())
}

/// Pairs of text as a JSON array of arrays.
pub(super) fn pairs_to_json(pairs: &[(String, String)]) -> String {
    serde_json::json!(pairs).to_string()
}

/// Reads what `pairs_to_json` wrote; anything else is empty.
pub(super) fn pairs_from_json(text: &str) -> Vec<(String, String)> {
    serde_json::from_str(text).unwrap_or_default()
}

fn claim(work: &mut Work<'_>, want: Want, turn: &mut Turn) -> Result<(), Fault> {
    if work.memory.foreign || work.ready(want.path) <= 0 {
        turn.next_due.push((want.path, None));
        return Ok(());
    }
    let mut claimed: Vec<Claimed> = {
        let mut update = work.connection.prepare_cached(
            "UPDATE delivery SET state = 1, attempt = attempt + 1, epoch = ?4, changed = ?2
             WHERE id IN (SELECT id FROM delivery WHERE state = 0 AND path = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?3)
             RETURNING id, generation, attempt, charged, accepted, due, crashes, batch, last_class, forced",
        )?;
        let placeholder = Arc::new(Event {
            source: String::new(),
            id: String::new(),
            kind: String::new(),
            subject: None,
            time: None,
            content_type: None,
            idempotency_key: None,
            schema_version: None,
            extensions: Vec::new(),
            data: Bytes::new(),
            origin: crate::event::Origin::Internal,
        });
        let epoch = work.epoch();
        update
            .query_map(
                params![want.path.0, work.now.0, want.count as i64, epoch],
                |row| {
                    Ok(Claimed {
                        delivery: DeliveryId(row.get(0)?),
                        path: want.path,
                        fence: Fence {
                            epoch,
                            generation: row.get(1)?,
                            attempt: row.get(2)?,
                        },
                        charged: row.get(3)?,
                        accepted_at: Timestamp(row.get(4)?),
                        due_at: Timestamp(row.get(5)?),
                        suspect: row.get::<_, i64>(6)? >= SUSPECT_AFTER,
                        forced: row.get(9)?,
                        batch: row.get::<_, Option<i64>>(7)?.map(BatchId),
                        event: Arc::clone(&placeholder),
                        correlation: None,
                        frozen: None,
                        last_key: None,
                        last_class: row.get::<_, Option<i64>>(8)?.and_then(Class::from_code),
                        last_ended: None,
                    })
                },
            )?
            .collect::<rusqlite::Result<_>>()?
    };
    // RETURNING promises no order.
    claimed.sort_by_key(|claim| (claim.due_at, claim.delivery));
    let mut events: HashMap<EventId, Arc<Event>> = HashMap::new();
    for mut claim in claimed.drain(..) {
        work.moved(want.path, Some(State::Ready), Some(State::Running));
        let id = claim.delivery.event();
        let event = match events.get(&id) {
            Some(event) => Some(Arc::clone(event)),
            None => super::events::event(work.connection, id)?.map(Arc::new),
        };
        let Some(event) = event else {
            // Only a pruned payload can be missing, and replays of those are refused; end it visibly all the same.
            bury(work, &claim)?;
            continue;
        };
        events.insert(id, Arc::clone(&event));
        claim.event = event;
        claim.correlation = super::lineage::correlation(work.connection, id)?;
        if claim.fence.attempt > 1 || claim.fence.generation > 1 {
            recall(work, &mut claim)?;
        }
        turn.claimed.push(claim);
    }
    if turn
        .claimed
        .iter()
        .filter(|claim| claim.path == want.path)
        .count()
        < want.count
    {
        let next: Option<i64> = work
            .connection
            .prepare_cached("SELECT min(due) FROM delivery WHERE state = 0 AND path = ?1")?
            .query_row([want.path.0], |row| row.get(0))?;
        turn.next_due.push((want.path, next.map(Timestamp)));
    }
    Ok(())
}

/// What earlier attempts left: the frozen request of this generation, the last key used.
fn recall(work: &Work<'_>, claim: &mut Claimed) -> rusqlite::Result<()> {
    claim.frozen = work
        .connection
        .prepare_cached("SELECT method, url, headers, body, key FROM frozen WHERE delivery = ?1 AND generation = ?2")?
        .query_row(params![claim.delivery.0, claim.fence.generation], |row| request_of(row, 0))
        .optional()?;
    let last = work
        .connection
        .prepare_cached(
            "SELECT key, at + duration_us / 1000 FROM attempt WHERE delivery = ?1 ORDER BY generation DESC, n DESC LIMIT 1",
        )?
        .query_row([claim.delivery.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((key, ended)) = last {
        claim.last_key = Some(key);
        claim.last_ended = Some(Timestamp(ended));
    }
    Ok(())
}

/// The frozen request of columns (method, url, headers, body, key), from column `at` on.
pub(super) fn request_of(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Request> {
    Ok(Request {
        method: row.get(at)?,
        url: row.get(at + 1)?,
        headers: pairs_from_json(row.get_ref(at + 2)?.as_str()?),
        body: Bytes::copy_from_slice(row.get_ref(at + 3)?.as_blob()?),
        key: row.get(at + 4)?,
    })
}

fn bury(work: &mut Work<'_>, claim: &Claimed) -> Result<(), Fault> {
    settle(
        work,
        &Settlement {
            delivery: claim.delivery,
            fence: claim.fence,
            attempt: None,
            next: Next::Dead {
                reason: "its payload is no longer stored".to_owned(),
            },
        },
    )?;
    Ok(())
}

/// Keeps a rendered request, replacing that of an earlier generation.
pub(super) fn freeze(
    work: &mut Work<'_>,
    id: DeliveryId,
    generation: u32,
    request: &Request,
) -> Result<(), Fault> {
    work.connection
        .prepare_cached("INSERT OR REPLACE INTO frozen(delivery, generation, method, url, headers, body, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            id.0,
            generation,
            request.method,
            request.url,
            pairs_to_json(&request.headers),
            &request.body[..],
            request.key
        ])?;
    Ok(())
}

/// Marks that a suspect is about to run with nothing beside it: only then does a crash count towards poison.
pub(super) fn mark_alone(work: &mut Work<'_>, id: DeliveryId, fence: Fence) -> Result<(), Fault> {
    work.connection
        .prepare_cached("UPDATE delivery SET alone = 1 WHERE id = ?1 AND state = 1 AND epoch = ?2 AND generation = ?3 AND attempt = ?4")?
        .execute(params![id.0, fence.epoch, fence.generation, fence.attempt])?;
    Ok(())
}

/// Three crashes alone: the delivery is what kills the worker.
const POISON: i64 = 3;

/// Everything that was running under an older epoch: its outcome is unknown, and it costs no attempt.
pub(super) fn rescue(work: &mut Work<'_>) -> Result<u64, Fault> {
    let epoch = work.epoch();
    let lost: Vec<(DeliveryId, PathId, Fence, Timestamp, bool, i64, State)> = work
        .connection
        .prepare("SELECT id, path, epoch, generation, attempt, changed, alone, poison, state FROM delivery WHERE state = 1")?
        .query_map([], |row| {
            let fence = Fence { epoch: row.get(2)?, generation: row.get(3)?, attempt: row.get(4)? };
            Ok((DeliveryId(row.get(0)?), PathId(row.get(1)?), fence, Timestamp(row.get(5)?), row.get(6)?, row.get(7)?, state_at(row, 8)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let count = lost
        .iter()
        .filter(|(_, _, fence, ..)| fence.epoch < epoch)
        .count() as u64;
    for (id, path, fence, started, alone, poison, _) in lost
        .into_iter()
        .filter(|(_, _, fence, ..)| fence.epoch < epoch)
    {
        let poison = poison + i64::from(alone);
        let dead = poison >= POISON;
        let reason = if dead {
            "poison: the worker died three times while only this ran"
        } else {
            "the worker died during the attempt"
        };
        work.connection
            .prepare_cached(
                "UPDATE delivery SET state = ?2, due = ?3, changed = ?3, attempts = attempts + 1, last_class = ?4, last_status = NULL,
                 reason = ?5, crashes = crashes + 1, alone = 0, poison = ?6 WHERE id = ?1",
            )?
            .execute(params![
                id.0,
                if dead { State::Dead } else { State::Ready }.code(),
                work.now.0,
                Class::Unknown.code(),
                reason,
                poison
            ])?;
        let key = work
            .connection
            .prepare_cached("SELECT key FROM attempt WHERE delivery = ?1 ORDER BY generation DESC, n DESC LIMIT 1")?
            .query_row([id.0], |row| row.get::<_, String>(0))
            .optional()?
            .unwrap_or_default();
        let attempt = Attempt {
            started_at: started,
            duration: std::time::Duration::ZERO,
            class: Class::Unknown,
            status: None,
            charged: false,
            error: reason.to_owned(),
            answer: Answer::default(),
            target: ("-".to_owned(), "-".to_owned()),
            key,
            config: 0,
            fingerprint: None,
            steps: Vec::new(),
        };
        record(work, id, fence, &attempt)?;
        work.moved(
            path,
            Some(State::Running),
            Some(if dead { State::Dead } else { State::Ready }),
        );
        back_in_line(
            work,
            id,
            path,
            if dead { State::Dead } else { State::Ready },
        )?;
        if dead {
            plans::settled(work, id, State::Dead, Some(reason))?;
        }
        unsettled(work)?;
    }
    Ok(count)
}

/// A worker that stops hands back what it still has running, unattempted as far as it knows.
pub(super) fn hand_back(work: &mut Work<'_>) -> Result<(), Fault> {
    let epoch = work.epoch();
    let running: Vec<(i64, PathId)> = work
        .connection
        .prepare("SELECT id, path FROM delivery WHERE state = 1 AND epoch = ?1")?
        .query_map([epoch], |row| Ok((row.get(0)?, PathId(row.get(1)?))))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, path) in running {
        work.connection
            .prepare_cached("UPDATE delivery SET state = 0, due = ?2, changed = ?2, last_class = ?3, reason = 'interrupted by a shutdown' WHERE id = ?1")?
            .execute(params![id, work.now.0, Class::Unknown.code()])?;
        work.moved(path, Some(State::Running), Some(State::Ready));
        back_in_line(work, DeliveryId(id), path, State::Ready)?;
        unsettled(work)?;
    }
    Ok(())
}

/// What ran, and was not settled by its own worker, takes its place in the order of its key again, or ends its batch's item.
fn back_in_line(
    work: &mut Work<'_>,
    id: DeliveryId,
    path: PathId,
    state: State,
) -> rusqlite::Result<()> {
    let (key, batch): (Option<String>, Option<i64>) = work
        .connection
        .prepare_cached("SELECT order_key, batch FROM delivery WHERE id = ?1")?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if let (State::Dead, Some(batch)) = (state, batch) {
        super::batch::item_ended(work, BatchId(batch), id, state)?;
    }
    match (key, state) {
        (Some(key), State::Ready) => order::step_back(work, id, path, &key),
        (Some(key), _) => order::promote(work, path, &key),
        (None, _) => Ok(()),
    }
}
