//! Plans: what a run would write, what became of each write, and the differences that people tolerate.
//!
//! A write is handed over in the commit that takes its event in, so that no crash sends one twice; its end is kept in the
//! commit that ends its delivery. Called by the store's face, by `turn` where a delivery ends, and by retention. Must never
//! decide whether a write is right: `reconcile::apply` does.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest as _, Sha256};

use super::accept::{self, Prepared};
use super::types::{LogEntry, Receipt};
use super::view::{
    DifferenceRow, PlanRow, PlanState, PlanWrite, ToleratedRow, WriteState, WriteVerb,
};
use super::work::Work;
use super::writer::Fault;
use crate::ids::{DeliveryId, EventId, PlanId, RunId};
use crate::queue::model::State;
use crate::time::Timestamp;

/// Stands for all of a plan that a person approves: what it is of and each of its writes. 32 hex digits.
pub fn plan_digest(plan: &PlanRow, writes: &[PlanWrite]) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: Option<&str>| {
        hash.update([u8::from(text.is_some())]);
        hash.update(Sha256::digest(text.unwrap_or_default()));
    };
    part(Some(&plan.job));
    part(Some(&format!("{} {}", plan.id, plan.run)));
    for write in writes {
        part(Some(&format!("{} {}", write.n, write.verb.word())));
        for text in [&write.key, &write.kind, &write.system, &write.rule] {
            part(Some(text));
        }
        for text in [&write.id, &write.field, &write.from, &write.to] {
            part(text.as_deref());
        }
    }
    hex::encode(&hash.finalize()[..16])
}

/// What a tolerated difference is known by: all that it is made of, so that it counts again when a value changes.
pub fn tolerance(job: &str, row: &DifferenceRow) -> [u8; 16] {
    let mut hash = Sha256::new();
    let values = [&row.field, &row.first, &row.second].map(Option::as_deref);
    let known = [Some(job), Some(row.key.as_str()), Some(row.kind.word())];
    for text in known.into_iter().chain(values) {
        hash.update([u8::from(text.is_some())]);
        hash.update(Sha256::digest(text.unwrap_or_default()));
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hash.finalize()[..16]);
    out
}

/// A newer run says more than a plan that still waits for somebody.
pub(super) fn replace(work: &Work<'_>, job: &str) -> rusqlite::Result<()> {
    work.connection
        .prepare_cached(
            "UPDATE plan SET state = 'replaced', ended = ?2 WHERE job = ?1 AND state = 'proposed'",
        )?
        .execute(params![job, work.now.0])?;
    Ok(())
}

/// Keeps a plan; a proposed one of its job is replaced by it.
pub(super) fn keep(
    work: &mut Work<'_>,
    plan: &PlanRow,
    writes: &[PlanWrite],
    log: Option<&LogEntry>,
) -> Result<PlanId, Fault> {
    replace(work, &plan.job)?;
    let ended = !matches!(plan.state, PlanState::Proposed | PlanState::Applying);
    let decided = plan.decided.as_ref();
    work.connection
        .prepare_cached(
            "INSERT INTO plan(run, job, at, expires, state, undoes, decided, actor, ended, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            plan.run.0,
            plan.job,
            work.now.0,
            plan.expires.0,
            plan.state.word(),
            plan.undoes.map(|undoes| undoes.0),
            decided.map(|(at, _)| at.0),
            decided.map(|(_, actor)| actor),
            ended.then_some(work.now.0),
            plan.note
        ])?;
    let id = PlanId(work.connection.last_insert_rowid());
    let mut insert = work.connection.prepare_cached(
        "INSERT INTO plan_write(plan, n, key, kind, system, id, verb, field, old, new, rule, sensitive, state, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for (n, write) in writes.iter().enumerate() {
        insert.execute(params![
            id.0,
            n as i64,
            write.key,
            write.kind,
            write.system,
            write.id,
            write.verb.word(),
            write.field,
            write.from,
            write.to,
            write.rule,
            write.sensitive,
            write.state.word(),
            write.reason
        ])?;
    }
    drop(insert);
    if plan.undoes.is_none() {
        work.connection
            .prepare_cached("UPDATE run SET plan = ?2 WHERE id = ?1")?
            .execute([plan.run.0, id.0])?;
    }
    if let Some(log) = log {
        work.log(log)?;
    }
    Ok(id)
}

/// What a person (or the job itself) decides about a proposed plan.
pub(super) enum Verdict {
    /// Exactly what has this digest is made.
    Approved(String),
    /// It is not.
    Declined(String),
}

/// Keeps what was decided about a plan, with its audit row.
///
/// # Errors
/// `Invalid` where there is no such plan, it does not wait any more, or is not what was looked at.
pub(super) fn decide(
    work: &mut Work<'_>,
    id: PlanId,
    verdict: &Verdict,
    log: &LogEntry,
) -> Result<(), Fault> {
    expire(work)?;
    let Some((plan, writes)) = one(work.connection, id, work.now)? else {
        return Err(Fault::Invalid(format!("there is no plan {id}")));
    };
    if plan.state != PlanState::Proposed {
        return Err(Fault::Invalid(format!(
            "plan {id} cannot be decided about any more: it is {}",
            plan.state.word()
        )));
    }
    let actor = (log.actor.as_ref()).map_or_else(|| "midwatch".to_owned(), ToString::to_string);
    match verdict {
        Verdict::Approved(digest) if *digest != plan_digest(&plan, &writes) => {
            return Err(Fault::Invalid(format!(
                "plan {id} is not what was looked at: look at it again"
            )));
        }
        Verdict::Approved(_) => work
            .connection
            .prepare_cached(
                "UPDATE plan SET state = 'applying', decided = ?2, actor = ?3 WHERE id = ?1",
            )?
            .execute(params![id.0, work.now.0, actor])?,
        Verdict::Declined(reason) => work
            .connection
            .prepare_cached(
                "UPDATE plan SET state = 'declined', decided = ?2, actor = ?3, ended = ?2, note = nullif(?4, '') WHERE id = ?1",
            )?
            .execute(params![id.0, work.now.0, actor, reason])?,
    };
    work.log(log)?;
    Ok(())
}

/// Proposed plans whose time went by are expired. Returns how many were.
pub(super) fn expire(work: &mut Work<'_>) -> Result<u64, Fault> {
    let mut due = work.connection.prepare_cached(
        "SELECT id, job FROM plan WHERE ended IS NULL AND state = 'proposed' AND expires <= ?1",
    )?;
    let due: Vec<(PlanId, String)> = due
        .query_map([work.now.0], |row| Ok((PlanId(row.get(0)?), row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, job) in &due {
        work.connection
            .prepare_cached("UPDATE plan SET state = 'expired', ended = ?2 WHERE id = ?1")?
            .execute([id.0, work.now.0])?;
        work.log(&LogEntry {
            severity: super::view::Severity::Info,
            actor: None,
            kind: "plan",
            path: None,
            delivery: None,
            text: format!("plan {id} of {job} expired: nobody approved it in time"),
        })?;
    }
    Ok(due.len() as u64)
}

/// Writes that are not right any more, with why.
pub(super) fn refuse(
    work: &mut Work<'_>,
    id: PlanId,
    refused: &[(u64, String)],
) -> Result<(), Fault> {
    let mut update = work.connection.prepare_cached(
        "UPDATE plan_write SET state = 'refused', reason = ?3 WHERE plan = ?1 AND n = ?2 AND state = 'planned'",
    )?;
    for (n, reason) in refused {
        update.execute(params![id.0, *n as i64, reason])?;
    }
    Ok(())
}

/// Takes the event in that carries some writes of a plan, and keeps them as sent by it, in one commit. None: they were sent
/// before, or the plan is not under way.
pub(super) fn send(
    work: &mut Work<'_>,
    id: PlanId,
    writes: &[u64],
    prepared: &Prepared,
    dedupe: i64,
) -> Result<Option<EventId>, Fault> {
    let mut open = work.connection.prepare_cached(
        "SELECT 1 FROM plan_write w JOIN plan p ON p.id = w.plan
         WHERE w.plan = ?1 AND w.n = ?2 AND w.state = 'planned' AND p.state = 'applying'",
    )?;
    for n in writes {
        if !open.exists(params![id.0, *n as i64])? {
            return Ok(None);
        }
    }
    drop(open);
    let prepared = std::slice::from_ref(prepared);
    accept::check_paths(work, prepared)?;
    let event = match accept::accept(work, prepared, dedupe)?.pop() {
        Some(Receipt::Accepted { event, .. } | Receipt::Duplicate { event }) => event,
        other => {
            return Err(Fault::Invalid(format!(
                "the repair was not taken in: {other:?}"
            )));
        }
    };
    let mut update = work.connection.prepare_cached(
        "UPDATE plan_write SET state = 'sent', event = ?3 WHERE plan = ?1 AND n = ?2",
    )?;
    for n in writes {
        update.execute(params![id.0, *n as i64, event.0])?;
    }
    Ok(Some(event))
}

/// A plan of which nothing is left to hand over is applied. False while something is.
pub(super) fn end(work: &mut Work<'_>, id: PlanId, log: &LogEntry) -> Result<bool, Fault> {
    let left = work
        .connection
        .prepare_cached("SELECT 1 FROM plan_write WHERE plan = ?1 AND state = 'planned'")?
        .exists([id.0])?;
    if left {
        return Ok(false);
    }
    let ended = work
        .connection
        .prepare_cached(
            "UPDATE plan SET state = 'applied', ended = ?2 WHERE id = ?1 AND state = 'applying'",
        )?
        .execute([id.0, work.now.0])?;
    if ended > 0 {
        work.log(log)?;
    }
    Ok(true)
}

/// A delivery ended: the writes that it carried end with it. Costs one look into an index for all others.
pub(super) fn settled(
    work: &Work<'_>,
    delivery: DeliveryId,
    state: State,
    reason: Option<&str>,
) -> rusqlite::Result<()> {
    let write = match state {
        State::Delivered => WriteState::Delivered,
        State::Superseded => WriteState::Refused,
        State::Dead | State::Cancelled => WriteState::Failed,
        // A replay, or what is held for a person: it is under way again.
        _ => return Ok(()),
    };
    work.connection
        .prepare_cached("UPDATE plan_write SET state = ?2, reason = ?3 WHERE event = ?1")?
        .execute(params![delivery.event().0, write.word(), reason])?;
    Ok(())
}

/// Keeps differences as tolerated, with the audit row.
pub(super) fn tolerate(
    work: &mut Work<'_>,
    job: &str,
    rows: &[DifferenceRow],
    reason: &str,
    log: &LogEntry,
) -> Result<(), Fault> {
    let actor = (log.actor.as_ref()).map_or_else(|| "midwatch".to_owned(), ToString::to_string);
    let mut insert = work.connection.prepare_cached(
        "INSERT OR REPLACE INTO tolerated(job, hash, key, at, actor, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for row in rows {
        let hash = tolerance(job, row);
        insert.execute(params![job, hash, row.key, work.now.0, actor, reason])?;
    }
    drop(insert);
    work.log(log)?;
    Ok(())
}

/// The differences of a record count again, with the audit row. Returns how many were tolerated.
pub(super) fn untolerate(
    work: &mut Work<'_>,
    job: &str,
    key: &str,
    log: &LogEntry,
) -> Result<u64, Fault> {
    let removed = work
        .connection
        .prepare_cached("DELETE FROM tolerated WHERE job = ?1 AND key = ?2")?
        .execute([job, key])?;
    work.log(log)?;
    Ok(removed as u64)
}

/// The differences of a job that people tolerate, the newest first.
pub(super) fn tolerated(connection: &Connection, job: &str) -> rusqlite::Result<Vec<ToleratedRow>> {
    connection
        .prepare_cached(
            "SELECT hash, key, at, actor, reason FROM tolerated WHERE job = ?1 ORDER BY at DESC",
        )?
        .query_map([job], |row| {
            let mut hash = [0; 16];
            let kept = row.get_ref(0)?.as_blob().unwrap_or_default();
            if kept.len() == hash.len() {
                hash.copy_from_slice(kept);
            }
            Ok(ToleratedRow {
                hash,
                key: row.get(1)?,
                at: Timestamp(row.get(2)?),
                actor: row.get(3)?,
                reason: row.get(4)?,
            })
        })?
        .collect()
}

/// How long differences, and plans that ended, are kept: 90 days, in milliseconds.
const DETAILS: i64 = 90 * 86_400_000;
/// How long runs are kept, for their history: 13 months, in milliseconds.
const RUNS: i64 = 396 * 86_400_000;

/// Removes what is kept no longer of runs and plans, a bounded part. True if there may be more.
pub(super) fn prune(work: &Work<'_>, most: i64) -> rusqlite::Result<bool> {
    let (details, runs) = (work.now.0 - DETAILS, work.now.0 - RUNS);
    let old = "(SELECT coalesce(max(id), 0) FROM run WHERE started < ?1)";
    let gone = "(SELECT id FROM plan WHERE ended < ?1)";
    let bounded = [
        ("difference", "run, n", format!("run <= {old}"), details),
        ("run_side", "run, side", format!("run <= {old}"), details),
        ("plan_write", "plan, n", format!("plan IN {gone}"), details),
        (
            "plan",
            "id",
            "ended < ?1 AND NOT EXISTS (SELECT 1 FROM plan_write w WHERE w.plan = plan.id)"
                .to_owned(),
            details,
        ),
        ("run", "id", "started < ?1".to_owned(), runs),
    ];
    let mut more = false;
    for (table, key, which, before) in bounded {
        let removed = work
            .connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {which} LIMIT ?2)"
            ))?
            .execute([before, most])?;
        more |= removed as i64 == most;
    }
    Ok(more)
}

const ROWS: &str = "SELECT p.id, p.run, p.job, p.at, p.expires, p.state, p.undoes, p.decided, p.actor, p.ended, p.note,
      (SELECT json_group_object(state, n) FROM (SELECT state, count(*) n FROM plan_write w WHERE w.plan = p.id GROUP BY state)),
      (SELECT max(u.id) FROM plan u WHERE u.job = p.job AND u.undoes = p.id)
    FROM plan p";

fn row_of(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<PlanRow> {
    let when = |at: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp))
    };
    let counted: std::collections::BTreeMap<String, u64> =
        serde_json::from_str(row.get_ref(11)?.as_str()?).unwrap_or_default();
    let mut writes = [0; 5];
    for (count, (word, _)) in writes.iter_mut().zip(WriteState::WORDS) {
        *count = counted.get(*word).copied().unwrap_or(0);
    }
    let expires = Timestamp(row.get(4)?);
    let mut state = super::runs::meaning(PlanState::WORDS, row.get_ref(5)?.as_str()?);
    if state == PlanState::Proposed && expires <= now {
        state = PlanState::Expired;
    }
    let actor: Option<String> = row.get(8)?;
    Ok(PlanRow {
        id: PlanId(row.get(0)?),
        run: RunId(row.get(1)?),
        job: row.get(2)?,
        at: Timestamp(row.get(3)?),
        expires,
        state,
        undoes: row.get::<_, Option<i64>>(6)?.map(PlanId),
        undone: row.get::<_, Option<i64>>(12)?.map(PlanId),
        decided: when(7)?.zip(actor),
        ended: when(9)?,
        note: row.get(10)?,
        writes,
    })
}

/// The newest plans, of one job or of all.
pub(super) fn newest(
    connection: &Connection,
    job: Option<&str>,
    limit: usize,
    now: Timestamp,
) -> rusqlite::Result<Vec<PlanRow>> {
    connection
        .prepare_cached(&format!(
            "{ROWS} WHERE ?1 IS NULL OR p.job = ?1 ORDER BY p.id DESC LIMIT ?2"
        ))?
        .query_map(params![job, limit as i64], |row| row_of(row, now))?
        .collect()
}

/// The approved plans that are not ended, the oldest first.
pub(super) fn applying(connection: &Connection) -> rusqlite::Result<Vec<PlanId>> {
    connection
        .prepare_cached(
            "SELECT id FROM plan WHERE ended IS NULL AND state = 'applying' ORDER BY id",
        )?
        .query_map([], |row| row.get(0).map(PlanId))?
        .collect()
}

/// One plan with its writes, in order.
pub(super) fn one(
    connection: &Connection,
    id: PlanId,
    now: Timestamp,
) -> rusqlite::Result<Option<(PlanRow, Vec<PlanWrite>)>> {
    let plan = connection
        .prepare_cached(&format!("{ROWS} WHERE p.id = ?1"))?
        .query_row([id.0], |row| row_of(row, now))
        .optional()?;
    let Some(plan) = plan else { return Ok(None) };
    let writes = connection
        .prepare_cached(
            "SELECT n, key, kind, system, id, verb, field, old, new, rule, sensitive, state, reason, event
             FROM plan_write WHERE plan = ?1 ORDER BY n",
        )?
        .query_map([id.0], |row| {
            Ok(PlanWrite {
                n: row.get(0)?,
                key: row.get(1)?,
                kind: row.get(2)?,
                system: row.get(3)?,
                id: row.get(4)?,
                verb: super::runs::meaning(WriteVerb::WORDS, row.get_ref(5)?.as_str()?),
                field: row.get(6)?,
                from: row.get(7)?,
                to: row.get(8)?,
                rule: row.get(9)?,
                sensitive: row.get(10)?,
                state: super::runs::meaning(WriteState::WORDS, row.get_ref(11)?.as_str()?),
                reason: row.get(12)?,
                event: row.get::<_, Option<i64>>(13)?.map(EventId),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some((plan, writes)))
}
