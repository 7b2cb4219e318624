//! Read-only access: bounded reads on a connection of its own. Blocking: call it off the UI task.
//! No read transaction outlives a call, so that the WAL can be reset.

mod incidents;
mod plans;

pub use incidents::IncidentDetail;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params, params_from_iter};
use tokio::sync::watch;

use super::accept::event_of;
use super::batch::REPLAYABLE;
use super::filter_sql::Where;
use super::order::{self, state_at};
use super::overview::{self, LOG, log_of};
use super::paths::Identity;
use super::records;
use super::stats::{HOUR, slot_of};
use super::turn::{pairs_from_json, request_of};
use super::types::{Health, OpenError};
use super::view::{
    AdoptionRow, AttemptRow, BackfillRow, BatchRow, DeadGroup, DeliveryDetail, DeliveryRow,
    DifferenceRow, EventRow, HeldDetail, HeldGroup, HeldRow, Lock, LogRow, NeedRow, NoteFilter,
    NoteRow, OfType, Overview, PollRow, RecordRow, ReviewRow, RunRow, SenderRow, Shadowed,
    ShapeRow, SideRow, Slot, Standing, Story, Trace, WorkerRow,
};
use crate::control::action::{HeldScope, Preview, Verdict};
use crate::event::Event;
use crate::ids::{BatchId, DeliveryId, EventId, Fingerprint, PathId, ReviewId, RunId};
use crate::queue::filter::Filter;
use crate::queue::model::{Class, State};
use crate::record::ledger::{About, Known};
use crate::time::{Clock, Timestamp};

/// Where a page starts: newest first, ids strictly below (older) or above (newer) it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// The newest page.
    Newest,
    /// The oldest page.
    Oldest,
    /// The page after (older than) this one.
    Older(DeliveryId),
    /// The page before (newer than) this one.
    Newer(DeliveryId),
}

/// A read failed; says why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot read the database: {0}")]
pub struct ReadError(pub String);

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// One read-only connection.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    file: PathBuf,
    identity: Identity,
    clock: Clock,
    health: Option<watch::Receiver<Health>>,
}

/// Rows that one page may look at before it hands back what it has.
const SCAN: i64 = 50_000;

const ROW: &str = "d.id, p.name, d.state, e.kind, e.source, e.event_id, e.subject, d.order_key, d.generation, d.charged, d.attempts,
    d.accepted, d.due, d.changed, d.last_class, d.last_status, d.reason, d.fingerprint";

const FROM: &str = "delivery d JOIN event e ON e.id = (d.id >> 8) JOIN path p ON p.id = d.path";

/// Whether a database is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Soundness {
    /// Nothing wrong was found.
    Sound,
    /// What is wrong first.
    Damaged(String),
    /// The time was over before all of it was seen; nothing wrong was found until then.
    Unknown,
}

impl Reader {
    /// Opens an existing database for reading (an attached console, or a CLI command).
    ///
    /// # Errors
    /// `Newer` if a newer midwatch wrote it; otherwise in words.
    pub fn open(file: &Path) -> Result<Self, OpenError> {
        let words =
            |error: rusqlite::Error| OpenError::Other(format!("{}: {error}", file.display()));
        if !file.exists() {
            return Err(OpenError::Other(format!(
                "{}: there is no such database yet; start midwatch once",
                file.display()
            )));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(words)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection
            .busy_timeout(Duration::from_secs(5))
            .map_err(words)?;
        // Opened read-write because a WAL reader must be able to make the shared-memory file, but it can change nothing.
        connection
            .execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096;")
            .map_err(words)?;
        let found: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(words)?;
        let known = super::schema::MIGRATIONS.len() as i64;
        if found > known {
            return Err(OpenError::Newer {
                file: file.to_owned(),
                found,
                known,
            });
        }
        if found < known {
            return Err(OpenError::Other(format!(
                "{}: its schema is older; start midwatch once to migrate it",
                file.display()
            )));
        }
        Ok(Self {
            connection,
            file: file.to_owned(),
            identity: Identity::of(file),
            clock: Clock::System,
            health: None,
        })
    }

    /// The same, knowing what the writer in this process knows.
    pub(super) fn beside(
        file: &Path,
        clock: Clock,
        health: watch::Receiver<Health>,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            clock,
            health: Some(health),
            ..Self::open(file)?
        })
    }

    /// Runs `read` in one read transaction, so that everything it sees is of one moment.
    fn snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let transaction = self.connection.unchecked_transaction()?;
        let value = read(&transaction)?;
        transaction.finish()?;
        Ok(value)
    }

    /// One event as it came in; none if there is none of that number, or its payload was pruned.
    pub fn event(&self, id: EventId) -> Result<Option<Event>, ReadError> {
        Ok(super::events::event(&self.connection, id)?)
    }

    /// At most `limit` events that can still be read, newest first, before `before`.
    pub fn events(
        &self,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<EventRow>, ReadError> {
        Ok(super::events::events(&self.connection, before, limit)?)
    }

    /// Shows a bounded number of events of a type to `look`, one after the other, newest first, before `before`; those that
    /// were given up are left out. Says where to go on; none when all were shown.
    pub fn events_of(
        &self,
        kind: &str,
        before: Option<EventId>,
        look: &mut dyn FnMut(OfType),
    ) -> Result<Option<EventId>, ReadError> {
        let events = super::events::of_type(&self.connection, kind, before, look);
        Ok(events?)
    }

    /// Adds to `counts` how many events of each of its types there are among a bounded number before `before`, those that
    /// were given up left out. Says where to go on; none when all were counted.
    pub fn count_types(
        &self,
        before: Option<EventId>,
        counts: &mut BTreeMap<String, u64>,
    ) -> Result<Option<EventId>, ReadError> {
        let next = super::events::count_types(&self.connection, before, counts);
        Ok(next?)
    }

    /// Looks for damage: within `limit` through the file, without comparing indexes with tables; without a limit through
    /// all of it, which takes longer than reading the file does.
    pub fn damage(&self, limit: Option<Duration>) -> Result<Soundness, ReadError> {
        let question = match limit {
            Some(_) => "PRAGMA quick_check(1)",
            None => "PRAGMA integrity_check(1)",
        };
        let ask = || self.connection.query_row(question, [], |row| row.get(0));
        let verdict: rusqlite::Result<String> = match limit {
            None => ask(),
            Some(limit) => {
                let handle = self.connection.get_interrupt_handle();
                let (done, waiting) = std::sync::mpsc::channel::<()>();
                std::thread::scope(|scope| {
                    scope.spawn(move || {
                        // It ends without waiting when the sender is dropped.
                        if waiting.recv_timeout(limit)
                            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                        {
                            handle.interrupt();
                        }
                    });
                    let verdict = ask();
                    drop(done);
                    verdict
                })
            }
        };
        match verdict {
            Ok(verdict) if verdict == "ok" => Ok(Soundness::Sound),
            Ok(verdict) => Ok(Soundness::Damaged(verdict)),
            Err(rusqlite::Error::SqliteFailure(error, _))
                if error.code == rusqlite::ErrorCode::OperationInterrupted =>
            {
                Ok(Soundness::Unknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Everything the Overview needs.
    pub fn overview(&self) -> Result<Overview, ReadError> {
        let mut overview =
            self.snapshot(|connection| overview::read(connection, self.clock.now()))?;
        overview.foreign_host = self.foreign_host()?;
        let (lock, told) = super::lock::look(&self.file);
        overview.worker.lock = lock;
        overview.trouble = match &self.health {
            Some(health) => health.borrow().words(),
            None => told,
        };
        Ok(overview)
    }

    /// The worker that has, or last had, the database.
    pub fn worker(&self) -> Result<WorkerRow, ReadError> {
        let mut worker = self.snapshot(overview::worker)?;
        worker.lock = super::lock::look(&self.file).0;
        Ok(worker)
    }

    /// The host that owns the database, if it is not this one, in words: what the worker at work found, else what the next
    /// one would find.
    pub fn foreign_host(&self) -> Result<Option<String>, ReadError> {
        // A worker may see its database under another path than this process does.
        let decided =
            self.health.is_none() && matches!(super::lock::look(&self.file).0, Lock::Held { .. });
        self.snapshot(|connection| {
            if decided {
                overview::foreign(connection)
            } else {
                super::paths::foreign_to(connection, &self.identity)
            }
        })
    }

    /// A service has worked this database: consoles attach and do not take it over by themselves.
    pub fn was_served(&self) -> Result<bool, ReadError> {
        self.snapshot(super::paths::served)
    }

    /// One page of deliveries, newest first, whatever the cursor. Scans a bounded number of rows:
    /// the second value says where to go on if the page is not full yet.
    pub fn deliveries(
        &self,
        filter: &Filter,
        cursor: Cursor,
        limit: usize,
    ) -> Result<(Vec<DeliveryRow>, Option<Cursor>), ReadError> {
        let clause = Where::of(filter, self.clock.now());
        self.snapshot(|connection| {
            let (from, down) = match cursor {
                Cursor::Newest => (i64::MAX, true),
                Cursor::Older(id) => (id.0, true),
                Cursor::Oldest => (0, false),
                Cursor::Newer(id) => (id.0, false),
            };
            let (sign, order) = if down { ("<", "DESC") } else { (">", "ASC") };
            let edge: Option<i64> = if Where::is_selective(filter) {
                None
            } else {
                connection
                    .prepare_cached(&format!("SELECT id FROM delivery WHERE id {sign} ?1 ORDER BY id {order} LIMIT 1 OFFSET {SCAN}"))?
                    .query_row([from], |row| row.get(0))
                    .optional()?
            };
            let bound = edge.map_or(String::new(), |edge| format!(" AND d.id {} {edge}", if down { ">" } else { "<" }));
            let sql = format!("SELECT {ROW} FROM {FROM} WHERE ({}) AND d.id {sign} {from}{bound} ORDER BY d.id {order} LIMIT {limit}", clause.sql);
            let mut rows: Vec<DeliveryRow> = connection
                .prepare(&sql)?
                .query_map(params_from_iter(clause.values()), row_of)?
                .collect::<rusqlite::Result<_>>()?;
            let next = match edge {
                // The edge itself was left out: go on so that it comes first.
                Some(edge) if rows.len() < limit => Some(if down { Cursor::Older(DeliveryId(edge + 1)) } else { Cursor::Newer(DeliveryId(edge - 1)) }),
                _ => None,
            };
            if !down {
                rows.reverse();
            }
            Ok((rows, next))
        })
    }

    /// Everything about one delivery; none if there is no such delivery.
    pub fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, ReadError> {
        self.snapshot(|connection| detail(connection, id))
    }

    /// Dead letters grouped by path and fingerprint, most first, then newest.
    pub fn dead_groups(&self) -> Result<Vec<DeadGroup>, ReadError> {
        self.snapshot(|connection| {
            let mut groups: Vec<DeadGroup> = connection
                .prepare_cached(
                    "SELECT p.name, g.fingerprint, g.n, first.changed, last.changed, last.id, last.last_class, last.last_status, last.reason
                     FROM (SELECT path, fingerprint, count(*) AS n, min(id) AS low, max(id) AS high FROM delivery INDEXED BY delivery_dead
                           WHERE state = 4 GROUP BY path, fingerprint) g
                     JOIN path p ON p.id = g.path JOIN delivery first ON first.id = g.low JOIN delivery last ON last.id = g.high",
                )?
                .query_map([], |row| {
                    let (low, high): (i64, i64) = (row.get(3)?, row.get(4)?);
                    Ok(DeadGroup {
                        path: row.get(0)?,
                        fingerprint: row.get::<_, Option<i64>>(1)?.map(Fingerprint),
                        count: row.get(2)?,
                        first_seen: Timestamp(low.min(high)),
                        last_seen: Timestamp(low.max(high)),
                        example: DeliveryId(row.get(5)?),
                        class: row.get::<_, Option<i64>>(6)?.and_then(Class::from_code),
                        status: row.get(7)?,
                        reason: row.get::<_, Option<String>>(8)?.unwrap_or_default(),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            groups.sort_by(|a, b| b.count.cmp(&a.count).then(b.last_seen.cmp(&a.last_seen)).then(a.example.cmp(&b.example)));
            Ok(groups)
        })
    }

    /// Log lines below `before` (none: newest), newest first.
    pub fn log(&self, before: Option<i64>, limit: usize) -> Result<Vec<LogRow>, ReadError> {
        self.snapshot(|connection| overview::log_page(connection, before, limit))
    }

    /// Log lines above `after`, oldest first (for `tail`).
    pub fn log_after(&self, after: i64, limit: usize) -> Result<Vec<LogRow>, ReadError> {
        self.snapshot(|connection| {
            connection
                .prepare_cached(&format!("{LOG} WHERE l.id > ?1 ORDER BY l.id LIMIT ?2"))?
                .query_map(params![after, limit as i64], log_of)?
                .collect()
        })
    }

    /// The newest runs, of one reconciliation job or of all.
    pub fn runs(&self, job: Option<&str>, limit: usize) -> Result<Vec<RunRow>, ReadError> {
        self.snapshot(|connection| super::runs::newest(connection, job, limit))
    }

    /// Differences of a run, in key order.
    pub fn differences(&self, run: RunId, limit: usize) -> Result<Vec<DifferenceRow>, ReadError> {
        self.snapshot(|connection| super::runs::differences(connection, run, limit))
    }

    /// How far both listings of a run have come, as far as they were begun.
    pub fn sides(&self, run: RunId) -> Result<Vec<SideRow>, ReadError> {
        self.snapshot(|connection| super::sides::of(connection, run))
    }

    /// One run; none if it was pruned or never was.
    pub fn run(&self, id: RunId) -> Result<Option<RunRow>, ReadError> {
        self.snapshot(|connection| super::runs::get(connection, id))
    }

    /// Those of these records that a delivery on one of these paths is under way about, or held.
    pub fn under_way(
        &self,
        records: &[About],
        paths: &[PathId],
    ) -> Result<HashSet<About>, ReadError> {
        self.snapshot(|connection| super::under_way::about(connection, records, paths))
    }

    /// Dead deliveries on these paths with the key of the one record of `kind` that each is about, the oldest first.
    pub fn dead_about(
        &self,
        kind: &str,
        paths: &[PathId],
        limit: usize,
    ) -> Result<Vec<(DeliveryId, String)>, ReadError> {
        self.snapshot(|connection| super::under_way::dead(connection, kind, paths, limit))
    }

    /// How the work of a path stands now; replays that ended before `since` do not count.
    pub fn standing(&self, path: PathId, since: Timestamp) -> Result<Standing, ReadError> {
        let now = self.clock.now();
        self.snapshot(|connection| super::under_way::standing(connection, path, now, since))
    }

    /// One replay batch.
    pub fn batch(&self, id: BatchId) -> Result<Option<BatchRow>, ReadError> {
        self.snapshot(|connection| super::batch::get(connection, id))
    }

    /// The newest replay batches.
    pub fn batches(&self, limit: usize) -> Result<Vec<BatchRow>, ReadError> {
        self.snapshot(|connection| super::batch::newest(connection, limit))
    }

    /// Held and unrouted events, grouped by what is wrong with them, the largest group first.
    pub fn held_groups(&self) -> Result<Vec<HeldGroup>, ReadError> {
        self.snapshot(super::held::groups)
    }

    /// At most `limit` held and unrouted events of a scope (none: of all), newest first, before `before`.
    pub fn held_events(
        &self,
        scope: Option<&HeldScope>,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<HeldRow>, ReadError> {
        self.snapshot(|connection| super::held::events(connection, scope, before, limit))
    }

    /// How many held and unrouted events a scope has up to an event, when the first of them came, and the last of them.
    pub fn held_extent(
        &self,
        scope: &HeldScope,
        up_to: EventId,
    ) -> Result<(u64, Option<Timestamp>, Option<EventId>), ReadError> {
        self.snapshot(|connection| super::held::extent(connection, scope, up_to))
    }

    /// At most `limit` of a scope above the first and up to the second of `between`, the oldest first, each with its event
    /// (none if that was pruned).
    pub fn held_chunk(
        &self,
        scope: &HeldScope,
        between: (EventId, EventId),
        limit: usize,
    ) -> Result<Vec<(HeldRow, Option<Event>)>, ReadError> {
        self.snapshot(|connection| {
            let rows = super::held::chunk(connection, scope, between, limit)?;
            (rows.into_iter())
                .map(|row| super::events::event(connection, row.id).map(|event| (row, event)))
                .collect()
        })
    }

    /// Whether a delivery of an event that came after `event` was delivered under the same order key.
    pub fn delivered_after(
        &self,
        path: PathId,
        key: &str,
        event: EventId,
    ) -> Result<bool, ReadError> {
        self.snapshot(|connection| order::delivered_after(connection, path, key, event))
    }

    /// Everything about one held or unrouted event, also after it was released or discarded; none if there is no such event.
    pub fn held_event(&self, id: EventId) -> Result<Option<HeldDetail>, ReadError> {
        self.snapshot(|connection| super::held::event(connection, id))
    }

    /// What a replay (`for_replay`) or a cancellation of `filter` would touch now.
    pub fn preview(&self, filter: &Filter, for_replay: bool) -> Result<Preview, ReadError> {
        let clause = Where::of(filter, self.clock.now());
        let allowed = if for_replay {
            REPLAYABLE
        } else {
            "d.state IN (0, 2, 4, 5)"
        };
        self.snapshot(|connection| {
            let (count, oldest, newest): (u64, Option<i64>, Option<i64>) = connection
                .prepare(&format!("SELECT count(*), min(d.accepted), max(d.id) FROM {FROM} WHERE ({}) AND {allowed}", clause.sql))?
                .query_row(params_from_iter(clause.values()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let left_out: u64 = connection
                .prepare(&format!("SELECT count(*) FROM {FROM} WHERE ({}) AND NOT ({allowed})", clause.sql))?
                .query_row(params_from_iter(clause.values()), |row| row.get(0))?;
            let mut preview = Preview {
                scope: filter.words(),
                count,
                oldest: oldest.map(Timestamp),
                verdicts: if for_replay { verdicts(connection, &clause, allowed)? } else { Vec::new() },
                high_water: newest.map(DeliveryId),
                notes: Vec::new(),
            };
            if left_out > 0 {
                let why = if for_replay { "under way or behind another of their key" } else { "under way or settled" };
                preview.notes.push(format!("{left_out} more match and are left alone: they are {why}"));
            }
            Ok(preview)
        })
    }

    /// Where a delivery stands, and what replaying it would mean by what the queue knows; none if there is no such delivery.
    pub fn verdict(&self, id: DeliveryId) -> Result<Option<(State, Verdict)>, ReadError> {
        self.snapshot(|connection| super::batch::verdict(connection, id))
    }

    /// What is known of a record in a system; see `Store::known`.
    pub fn known(&self, system: &str, kind: &str, key: &str) -> Result<Known, ReadError> {
        self.snapshot(|connection| super::ledger::known(connection, system, kind, key))
    }

    /// The first business key of the record that a system knows by this id.
    pub fn called(&self, system: &str, kind: &str, id: &str) -> Result<Option<String>, ReadError> {
        self.snapshot(|connection| super::ledger::called(connection, system, kind, id))
    }

    /// Everything that is known of a record, by any of its keys, with the newest `limit` lines of its story; none if no
    /// record was ever known by it.
    pub fn story(&self, kind: &str, key: &str, limit: usize) -> Result<Option<Story>, ReadError> {
        self.snapshot(|connection| records::story(connection, kind, key, limit))
    }

    /// Records (of one type, or of all) whose key contains `text` without regard to ASCII case, or that a system knows by
    /// that very id; the last changed first.
    pub fn record_search(
        &self,
        kind: Option<&str>,
        text: &str,
        limit: usize,
    ) -> Result<Vec<RecordRow>, ReadError> {
        self.snapshot(|connection| records::search(connection, kind, text, limit))
    }

    /// Fields of which a person decides, newest first: those that are open, or all.
    pub fn reviews(&self, open_only: bool, limit: usize) -> Result<Vec<ReviewRow>, ReadError> {
        self.snapshot(|connection| super::review::newest(connection, open_only, limit))
    }

    /// One of them; none if there is none of that number.
    pub fn review(&self, id: ReviewId) -> Result<Option<ReviewRow>, ReadError> {
        self.snapshot(|connection| super::review::one(connection, id))
    }

    /// Those of a record, by any of its keys, oldest first.
    pub fn reviews_of(
        &self,
        kind: &str,
        key: &str,
        limit: usize,
    ) -> Result<Vec<ReviewRow>, ReadError> {
        self.snapshot(|connection| {
            let key = super::ledger::key_text(key);
            match super::ledger::find(connection, kind, &key)? {
                Some(record) => super::review::of_record(connection, record, limit),
                None => Ok(Vec::new()),
            }
        })
    }

    /// What the deliveries of a filter wait for, oldest first.
    pub fn needs(&self, filter: &Filter, limit: usize) -> Result<Vec<NeedRow>, ReadError> {
        let clause = Where::of(filter, self.clock.now());
        self.snapshot(|connection| records::needs(connection, &clause, limit))
    }

    /// What a path recorded in shadow mode and has not sent.
    pub fn shadowed(&self, path: &str) -> Result<Shadowed, ReadError> {
        self.snapshot(|connection| records::shadowed(connection, path))
    }

    /// Systems that send, and what their vendors say of the webhooks, by name.
    pub fn senders(&self) -> Result<Vec<SenderRow>, ReadError> {
        self.snapshot(super::senders::all)
    }

    /// Adoptions that were begun and not ended, one row for each side.
    pub fn adoptions(&self) -> Result<Vec<AdoptionRow>, ReadError> {
        self.snapshot(super::adoption::all)
    }

    /// What caused an event, and what it caused; none if nothing is known of an event of that number.
    pub fn trace(&self, id: EventId) -> Result<Option<Trace>, ReadError> {
        self.snapshot(|connection| super::lineage::trace(connection, id))
    }

    /// The newest event of this id from this source, if it is still known.
    pub fn event_called(&self, source: &str, id: &str) -> Result<Option<EventId>, ReadError> {
        self.snapshot(|connection| super::lineage::called(connection, source, id))
    }

    /// What was noticed about the systems, the one noticed last first.
    pub fn notes(&self, filter: &NoteFilter, limit: usize) -> Result<Vec<NoteRow>, ReadError> {
        self.snapshot(|connection| super::notes::notes(connection, filter, limit))
    }

    /// What is remembered of the answers of receivers, by path and step.
    pub fn shapes(&self) -> Result<Vec<(PathId, String, ShapeRow)>, ReadError> {
        self.snapshot(super::shapes::all)
    }

    /// How far the polling of each record type has come, by system and type.
    pub fn polls(&self) -> Result<Vec<PollRow>, ReadError> {
        self.snapshot(super::senders::polls)
    }

    /// What must still be asked for because it was missed, and the last of each system and record type that was; the oldest
    /// first.
    pub fn backfills(&self) -> Result<Vec<BackfillRow>, ReadError> {
        self.snapshot(super::backfills::current)
    }

    /// The newest backfills.
    pub fn newest_backfills(&self, limit: usize) -> Result<Vec<BackfillRow>, ReadError> {
        self.snapshot(|connection| super::backfills::newest(connection, limit))
    }

    /// See [`super::Store::told`].
    pub(super) fn told(
        &self,
        source: &str,
        kind: &str,
        key: &str,
    ) -> Result<Vec<Event>, ReadError> {
        self.snapshot(|connection| super::backfills::told(connection, source, kind, key))
    }

    /// Hours of a path, oldest first.
    pub fn hours(&self, path: &str, count: usize) -> Result<Vec<Slot>, ReadError> {
        let from = self.clock.now().0.div_euclid(HOUR) * HOUR - (count as i64 - 1).max(0) * HOUR;
        self.snapshot(|connection| {
            connection
                .prepare_cached(
                    "SELECT accepted, delivered, dead, attempts, failed, throttled, at FROM hour
                     WHERE path = (SELECT id FROM path WHERE name = ?1) AND at >= ?2 ORDER BY at",
                )?
                .query_map(params![path, from], |row| {
                    slot_of(row, Timestamp(row.get(6)?))
                })?
                .collect()
        })
    }

    /// The configuration text of a hash, if it is kept.
    pub fn config_text(&self, hash: i64) -> Result<Option<String>, ReadError> {
        self.snapshot(|connection| {
            connection
                .prepare_cached("SELECT text FROM config WHERE hash = ?1")?
                .query_row([hash], |row| row.get(0))
                .optional()
        })
    }
}

fn verdicts(
    connection: &Connection,
    clause: &Where,
    allowed: &str,
) -> rusqlite::Result<Vec<(Verdict, u64)>> {
    let sql = format!(
        "SELECT CASE
           WHEN NOT EXISTS (SELECT 1 FROM payload y WHERE y.event = (d.id >> 8)) THEN 4
           WHEN d.state = 3 THEN 1
           WHEN d.state = 7 THEN 2
           WHEN d.order_key IS NOT NULL AND EXISTS (SELECT 1 FROM delivery n WHERE n.path = d.path AND n.order_key = d.order_key
                AND n.order_key IS NOT NULL AND n.state = 3 AND n.id > d.id) THEN 2
           WHEN d.last_class = 7 THEN 3
           ELSE 0 END AS verdict, count(*)
         FROM {FROM} WHERE ({}) AND {allowed} GROUP BY verdict ORDER BY verdict",
        clause.sql
    );
    connection
        .prepare(&sql)?
        .query_map(params_from_iter(clause.values()), |row| {
            let verdict = match row.get::<_, i64>(0)? {
                0 => Verdict::Safe,
                1 => Verdict::AlreadyDelivered,
                2 => Verdict::Superseded,
                3 => Verdict::Unknown,
                _ => Verdict::Pruned,
            };
            Ok((verdict, row.get(1)?))
        })?
        .collect()
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let state = state_at(row, 2)?;
    let due = Timestamp(row.get(12)?);
    let changed = Timestamp(row.get(13)?);
    Ok(DeliveryRow {
        id: DeliveryId(row.get(0)?),
        path: row.get(1)?,
        state,
        kind: row.get(3)?,
        source: row.get(4)?,
        event_id: row.get(5)?,
        subject: row.get(6)?,
        order_key: row.get(7)?,
        generation: row.get(8)?,
        charged: row.get(9)?,
        attempts: row.get(10)?,
        accepted_at: Timestamp(row.get(11)?),
        due_at: if state == State::Ready { due } else { changed },
        changed_at: changed,
        last_class: row.get::<_, Option<i64>>(14)?.and_then(Class::from_code),
        last_status: row.get(15)?,
        reason: row.get(16)?,
        fingerprint: row.get::<_, Option<i64>>(17)?.map(Fingerprint),
    })
}

fn detail(connection: &Connection, id: DeliveryId) -> rusqlite::Result<Option<DeliveryDetail>> {
    let one = format!("SELECT {ROW} FROM {FROM} WHERE d.id = ?1");
    let Some(mut row) = connection
        .prepare_cached(&one)?
        .query_row([id.0], row_of)
        .optional()?
    else {
        return Ok(None);
    };
    let event = connection
        .prepare_cached(
            "SELECT e.source, e.event_id, e.kind, e.subject, p.meta, p.data FROM event e JOIN payload p ON p.event = e.id WHERE e.id = ?1",
        )?
        .query_row([id.event().0], |row| event_of(row, 0))
        .optional()?;
    let frozen = connection
        .prepare_cached("SELECT method, url, headers, body, key FROM frozen WHERE delivery = ?1 AND generation = ?2")?
        .query_row(params![id.0, row.generation], |row| request_of(row, 0))
        .optional()?;
    let low = id.event().0 << 8;
    let siblings = connection
        .prepare_cached(&format!(
            "SELECT {ROW} FROM {FROM} WHERE d.id BETWEEN ?1 AND ?2 AND d.id <> ?3 ORDER BY d.id"
        ))?
        .query_map(params![low, low + 255, id.0], row_of)?
        .collect::<rusqlite::Result<_>>()?;
    let path: i64 = connection
        .prepare_cached("SELECT path FROM delivery WHERE id = ?1")?
        .query_row([id.0], |row| row.get(0))?;
    let path = crate::ids::PathId(path);
    let removed: bool = connection
        .prepare_cached("SELECT removed FROM path WHERE id = ?1")?
        .query_row([path.0], |row| row.get(0))?;
    if removed && !row.state.is_settled() {
        let why = format!(
            "path {} was removed from the configuration: this waits for its return or for a cancellation",
            row.path
        );
        row.reason = Some(match row.reason.take() {
            Some(reason) => format!("{why}; {reason}"),
            None => why,
        });
    }
    let (mut behind, mut blocks) = (None, 0);
    if let Some(key) = &row.order_key {
        if row.state == State::Waiting {
            // None where it is the head itself and waits for a record.
            behind = order::head(connection, path, key)?
                .map(|(head, _)| head)
                .filter(|head| *head != id);
        }
        if !row.state.is_settled() || row.state == State::Dead {
            blocks = connection
                .prepare_cached("SELECT count(*) FROM delivery WHERE path = ?1 AND order_key = ?2 AND open = 1 AND id > ?3 AND state = 2")?
                .query_row(params![path.0, key, id.0], |row| row.get(0))?;
        }
    }
    let log = connection
        .prepare_cached(&format!(
            "{LOG} WHERE l.delivery = ?1 ORDER BY l.id LIMIT 200"
        ))?
        .query_map([id.0], log_of)?
        .collect::<rusqlite::Result<_>>()?;
    let (origin, event) = (
        event
            .as_ref()
            .map_or("pruned", |event| event.origin.word())
            .to_owned(),
        event,
    );
    Ok(Some(DeliveryDetail {
        attempts: attempts(connection, id)?,
        row,
        origin,
        event_time: event.as_ref().and_then(|event| event.time),
        content_type: event.as_ref().and_then(|event| event.content_type.clone()),
        event_key: event
            .as_ref()
            .and_then(|event| event.idempotency_key.clone()),
        schema_version: event
            .as_ref()
            .and_then(|event| event.schema_version.clone()),
        extensions: event
            .as_ref()
            .map(|event| event.extensions.clone())
            .unwrap_or_default(),
        data: event.map(|event| event.data.to_vec()),
        frozen,
        siblings,
        behind,
        blocks,
        need: records::need(connection, id)?,
        about: records::of_event(connection, id.event())?,
        log,
    }))
}

/// The newest 200 attempts, oldest first.
fn attempts(connection: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<AttemptRow>> {
    let mut rows: Vec<AttemptRow> = connection
        .prepare_cached(
            "SELECT a.generation, a.n, a.at, a.duration_us, a.class, a.status, a.charged, a.error,
                    coalesce(t.method, a.method, ''), coalesce(t.url, a.url, ''), a.key, r.headers, r.body, coalesce(r.truncated, 0), a.config, a.steps
             FROM attempt a LEFT JOIN target t ON t.id = a.target
             LEFT JOIN answer r ON r.delivery = a.delivery AND r.generation = a.generation AND r.n = a.n
             WHERE a.delivery = ?1 ORDER BY a.generation DESC, a.n DESC LIMIT 200",
        )?
        .query_map([id.0], |row| {
            let class: i64 = row.get(4)?;
            Ok(AttemptRow {
                generation: row.get(0)?,
                number: row.get(1)?,
                started_at: Timestamp(row.get(2)?),
                duration_ms: row.get::<_, u64>(3)? / 1000,
                class: Class::from_code(class).ok_or(rusqlite::Error::IntegralValueOutOfRange(4, class))?,
                status: row.get(5)?,
                charged: row.get(6)?,
                error: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
                method: row.get(8)?,
                url: row.get(9)?,
                key: row.get(10)?,
                answer_headers: row.get::<_, Option<String>>(11)?.map(|text| pairs_from_json(&text)).unwrap_or_default(),
                answer_body: row.get::<_, Option<Vec<u8>>>(12)?.unwrap_or_default(),
                answer_truncated: row.get(13)?,
                config: row.get(14)?,
                steps: row.get::<_, Option<String>>(15)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    rows.reverse();
    Ok(rows)
}
