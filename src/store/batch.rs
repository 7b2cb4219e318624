//! Replay batches: a frozen set, released bit by bit, with a report kept as items end.

use rusqlite::{Connection, OptionalExtension, params};

use super::filter_sql::Where;
use super::needs;
use super::order::{self, state_at};
use super::story::{self, Line};
use super::types::LogEntry;
use super::view::{BatchRow, BatchState};
use super::work::Work;
use super::writer::Fault;
use crate::control::action::Verdict;
use crate::ids::{BatchId, DeliveryId, PathId};
use crate::queue::model::{Class, State};
use crate::time::Timestamp;

/// Items frozen per transaction, so that a large set does not hold the writer.
pub(super) const CHUNK: usize = 5_000;

/// How an item of a batch stands, as stored; 0 is pending.
const RELEASED: i64 = 1;
const DELIVERED: i64 = 2;
const DIED: i64 = 3;
const SKIPPED: i64 = 4;

/// Deliveries that can be replayed, as a condition: what is under way or behind another of its key is not, but what waits
/// for a record is, which then looks again.
pub(super) const REPLAYABLE: &str =
    "(d.state NOT IN (1, 2) OR (d.state = 2 AND d.id IN (SELECT delivery FROM need)))";

const COLUMNS: &str = "id, created, actor, scope, state, reason, total, pending, released, delivered, died, skipped, canary, pace, ended";

/// What a new batch is told.
#[derive(Debug, Clone)]
pub(super) struct NewBatch {
    pub(super) skip_risky: bool,
    pub(super) canary: u32,
    pub(super) pace: f64,
    pub(super) scope: String,
    pub(super) actor: String,
    pub(super) forced: bool,
}

/// Replayed deliveries of a path that were delivered and that died again, of batches that run or ended after `since`.
pub(super) fn ended(
    connection: &Connection,
    path: PathId,
    since: Timestamp,
) -> rusqlite::Result<[u64; 2]> {
    connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE i.state = ?3), count(*) FILTER (WHERE i.state = ?4)
             FROM batch b CROSS JOIN batch_item i ON i.batch = b.id CROSS JOIN delivery d ON d.id = i.delivery
             WHERE (b.ended IS NULL OR b.ended >= ?2) AND i.state IN (?3, ?4) AND d.path = ?1",
        )?
        .query_row(params![path.0, since.0, DELIVERED, DIED], |row| {
            Ok([row.get(0)?, row.get(1)?])
        })
}

/// Opens a batch in state `freezing`.
pub(super) fn create(work: &mut Work<'_>, batch: &NewBatch) -> Result<BatchId, Fault> {
    work.connection
        .prepare_cached("INSERT INTO batch(created, actor, scope, state, canary, pace, skip_risky, forced) VALUES (?1, ?2, ?3, 'freezing', ?4, ?5, ?6, ?7)")?
        .execute(params![work.now.0, batch.actor, batch.scope, batch.canary, batch.pace, batch.skip_risky, batch.forced])?;
    Ok(BatchId(work.connection.last_insert_rowid()))
}

/// Adds the next chunk of matching deliveries above `after`; none when there is no more.
pub(super) fn freeze_chunk(
    work: &mut Work<'_>,
    batch: BatchId,
    clause: &Where,
    after: DeliveryId,
    high_water: DeliveryId,
) -> Result<Option<DeliveryId>, Fault> {
    let sql = format!(
        "SELECT d.id FROM delivery d JOIN event e ON e.id = (d.id >> 8) WHERE ({}) AND d.id > {} AND d.id <= {} AND {REPLAYABLE}
         ORDER BY d.id LIMIT {CHUNK}",
        clause.sql, after.0, high_water.0
    );
    let ids: Vec<i64> = work
        .connection
        .prepare(&sql)?
        .query_map(rusqlite::params_from_iter(clause.values()), |row| {
            row.get(0)
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut insert = work
        .connection
        .prepare_cached("INSERT OR IGNORE INTO batch_item(batch, delivery) VALUES (?1, ?2)")?;
    for id in &ids {
        insert.execute(params![batch.0, id])?;
    }
    work.connection.execute(
        "UPDATE batch SET total = total + ?2, pending = pending + ?2 WHERE id = ?1",
        params![batch.0, ids.len() as i64],
    )?;
    Ok((ids.len() == CHUNK)
        .then(|| ids.last().copied().map(DeliveryId))
        .flatten())
}

/// The whole set is frozen: the canary may go.
pub(super) fn frozen(
    work: &mut Work<'_>,
    batch: BatchId,
    log: &LogEntry,
) -> Result<BatchRow, Fault> {
    work.connection
        .execute("UPDATE batch SET state = 'canary' WHERE id = ?1", [batch.0])?;
    work.log(log)?;
    get(work.connection, batch)?.ok_or_else(|| unknown(batch))
}

fn unknown(batch: BatchId) -> Fault {
    Fault::Invalid(format!("there is no replay batch {}", batch.0))
}

/// Releases pending items in order; those that moved on meanwhile, or are risky and the batch skips risks, are skipped.
pub(super) fn release(work: &mut Work<'_>, batch: BatchId, count: u32) -> Result<BatchRow, Fault> {
    let (cursor, skip_risky): (i64, bool) = work
        .connection
        .query_row(
            "SELECT cursor, skip_risky FROM batch WHERE id = ?1 AND state IN ('canary', 'running')",
            [batch.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?
        .ok_or_else(|| unknown(batch))?;
    let items: Vec<DeliveryId> = work
        .connection
        .prepare_cached("SELECT delivery FROM batch_item WHERE batch = ?1 AND delivery > ?2 AND state = 0 ORDER BY delivery LIMIT ?3")?
        .query_map(params![batch.0, cursor, count], |row| Ok(DeliveryId(row.get(0)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let (mut released, mut skipped) = (0, 0);
    for id in &items {
        let free = match verdict(work.connection, *id)? {
            None | Some((_, Verdict::Pruned) | (State::Running, _)) => false,
            Some((State::Waiting, _)) if !needs::waits(work.connection, *id)? => false,
            Some((_, verdict)) => !skip_risky || verdict == Verdict::Safe,
        };
        if free {
            reopen(work, *id, batch)?;
            released += 1;
        } else {
            skipped += 1;
        }
        work.connection
            .prepare_cached("UPDATE batch_item SET state = ?3 WHERE batch = ?1 AND delivery = ?2")?
            .execute(params![
                batch.0,
                id.0,
                if free { RELEASED } else { SKIPPED }
            ])?;
    }
    let last = items.last().map_or(cursor, |id| id.0);
    work.connection
        .prepare_cached(
            "UPDATE batch SET cursor = ?2, released = released + ?3, skipped = skipped + ?4, pending = pending - ?5 WHERE id = ?1",
        )?
        .execute(params![batch.0, last, released, skipped, items.len() as i64])?;
    get(work.connection, batch)?.ok_or_else(|| unknown(batch))
}

/// A new generation: fresh budget, due now, in its place of the order. A pending retry is replaced by it.
fn reopen(work: &mut Work<'_>, id: DeliveryId, batch: BatchId) -> Result<(), Fault> {
    let (path, state, key, before, told): (PathId, State, Option<String>, Option<i64>, bool) = work
        .connection
        .prepare_cached("SELECT path, state, order_key, batch, told FROM delivery WHERE id = ?1")?
        .query_row([id.0], |row| {
            Ok((
                PathId(row.get(0)?),
                state_at(row, 1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        })?;
    if state == State::Ready
        && let Some(other) = before.map(BatchId)
        && other != batch
    {
        // The other batch's replay of it will not end any more.
        count_item(work, other, id, SKIPPED)?;
    }
    if state == State::Waiting {
        needs::remove(work, id)?;
    }
    let next = match &key {
        Some(key) => order::reopen(work, id, path, key)?,
        None => State::Ready,
    };
    let forced: bool = work
        .connection
        .prepare_cached("SELECT forced FROM batch WHERE id = ?1")?
        .query_row([batch.0], |row| row.get(0))?;
    let how = if forced { "forced" } else { "replayed" };
    if told {
        story::tell_of(
            work,
            &Line::of(id, path, format!("{how} (batch {})", batch.0)),
        )?;
    }
    work.connection
        .prepare_cached(
            "UPDATE delivery SET state = ?2, due = ?3, changed = ?3, generation = generation + 1, attempt = 0, charged = 0, open = 1,
             crashes = 0, alone = 0, poison = 0, batch = ?4, reason = ?5, forced = ?6 WHERE id = ?1",
        )?
        .execute(params![id.0, next.code(), work.now.0, batch.0, how, forced])?;
    work.moved(path, Some(state), Some(next));
    Ok(())
}

/// A released item of a batch settled for good.
pub(super) fn item_ended(
    work: &mut Work<'_>,
    batch: BatchId,
    id: DeliveryId,
    state: State,
) -> rusqlite::Result<()> {
    let end = match state {
        State::Delivered => DELIVERED,
        State::Dead => DIED,
        _ => SKIPPED,
    };
    count_item(work, batch, id, end)
}

fn count_item(
    work: &mut Work<'_>,
    batch: BatchId,
    id: DeliveryId,
    end: i64,
) -> rusqlite::Result<()> {
    let changed = work
        .connection
        .prepare_cached(
            "UPDATE batch_item SET state = ?3 WHERE batch = ?1 AND delivery = ?2 AND state = 1",
        )?
        .execute(params![batch.0, id.0, end])?;
    if changed == 1 {
        let column = match end {
            DELIVERED => "delivered",
            DIED => "died",
            _ => "skipped",
        };
        work.connection
            .prepare_cached(&format!(
                "UPDATE batch SET released = released - 1, {column} = {column} + 1 WHERE id = ?1"
            ))?
            .execute([batch.0])?;
    }
    Ok(())
}

/// Moves a batch on; `Aborted` and `Done` end it, what is pending stays as it was.
pub(super) fn end(
    work: &mut Work<'_>,
    batch: BatchId,
    state: BatchState,
    reason: Option<&str>,
) -> Result<BatchRow, Fault> {
    let ended = matches!(state, BatchState::Aborted | BatchState::Done).then_some(work.now.0);
    work.connection
        .prepare_cached("UPDATE batch SET state = ?2, reason = coalesce(?3, reason), ended = ?4 WHERE id = ?1 AND ended IS NULL")?
        .execute(params![batch.0, word(state), reason, ended])?;
    get(work.connection, batch)?.ok_or_else(|| unknown(batch))
}

fn word(state: BatchState) -> &'static str {
    match state {
        BatchState::Canary => "canary",
        BatchState::Running => "running",
        BatchState::Aborted => "aborted",
        BatchState::Done => "done",
    }
}

fn batch_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<BatchRow> {
    let state: String = row.get(4)?;
    Ok(BatchRow {
        id: BatchId(row.get(0)?),
        created: Timestamp(row.get(1)?),
        actor: row.get(2)?,
        scope: row.get(3)?,
        state: match state.as_str() {
            "canary" | "freezing" => BatchState::Canary,
            "running" => BatchState::Running,
            "aborted" => BatchState::Aborted,
            _ => BatchState::Done,
        },
        reason: row.get(5)?,
        total: row.get(6)?,
        pending: row.get(7)?,
        released: row.get(8)?,
        delivered: row.get(9)?,
        died: row.get(10)?,
        skipped: row.get(11)?,
        canary: row.get(12)?,
        pace: row.get(13)?,
        ended: row.get::<_, Option<i64>>(14)?.map(Timestamp),
    })
}

pub(super) fn get(connection: &Connection, batch: BatchId) -> rusqlite::Result<Option<BatchRow>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM batch WHERE id = ?1"))?
        .query_row([batch.0], batch_of)
        .optional()
}

/// Batches that have not ended, newest first.
pub(super) fn running(connection: &Connection) -> rusqlite::Result<Vec<BatchRow>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM batch WHERE ended IS NULL AND state <> 'freezing' ORDER BY id DESC LIMIT 50"))?
        .query_map([], batch_of)?
        .collect()
}

/// The newest batches.
pub(super) fn newest(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<BatchRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM batch ORDER BY id DESC LIMIT ?1"
        ))?
        .query_map([limit as i64], batch_of)?
        .collect()
}

/// What replaying a delivery would mean now; none if there is no such delivery.
pub(super) fn verdict(
    connection: &Connection,
    id: DeliveryId,
) -> rusqlite::Result<Option<(State, Verdict)>> {
    let found = connection
        .prepare_cached(
            "SELECT d.state, d.last_class, d.path, d.order_key, EXISTS(SELECT 1 FROM payload WHERE event = (d.id >> 8))
             FROM delivery d WHERE d.id = ?1",
        )?
        .query_row([id.0], |row| {
            let class = row.get::<_, Option<i64>>(1)?.and_then(Class::from_code);
            Ok((state_at(row, 0)?, class, row.get::<_, i64>(2)?, row.get::<_, Option<String>>(3)?, row.get::<_, bool>(4)?))
        })
        .optional()?;
    let Some((state, class, path, key, kept)) = found else {
        return Ok(None);
    };
    let newer = match &key {
        Some(key) => connection
            .prepare_cached("SELECT 1 FROM delivery WHERE path = ?1 AND order_key = ?2 AND id > ?3 AND state = 3 AND order_key IS NOT NULL LIMIT 1")?
            .exists(params![path, key, id.0])?,
        None => false,
    };
    let verdict = match (kept, state, newer, class) {
        (false, ..) => Verdict::Pruned,
        (_, State::Delivered, ..) => Verdict::AlreadyDelivered,
        (_, State::Superseded, ..) | (_, _, true, _) => Verdict::Superseded,
        (_, _, _, Some(Class::Unknown)) => Verdict::Unknown,
        _ => Verdict::Safe,
    };
    Ok(Some((state, verdict)))
}
