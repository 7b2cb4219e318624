//! What a job may touch while it runs inside the writer's transaction, and the writer's memory beside the database.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::stats::{Stats, Tick};
use super::types::LogEntry;
use super::view::{Counts, Severity};
use crate::ids::PathId;
use crate::queue::model::State;
use crate::time::Timestamp;

/// Stored severities.
pub(super) const SEVERITIES: [Severity; 3] =
    [Severity::Info, Severity::Warning, Severity::Critical];

/// Numbers that belong to no path, kept in `counter` under path 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Total {
    /// Events stored, ever.
    Events = 100,
    /// Events that matched no path.
    Unrouted = 101,
    /// Events held at the door.
    HeldEvents = 102,
    /// Commits.
    Commits = 103,
    /// Held and unrouted events that a person gave up, ever.
    Discarded = 104,
}

/// The writer's memory. Changed only after a commit.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Number of the next event.
    pub(super) next_event: i64,
    /// This worker's epoch; 0 before `begin_work`.
    pub(super) epoch: i64,
    /// Exact numbers by path.
    pub(super) counts: HashMap<PathId, Counts>,
    /// Traffic not yet written.
    pub(super) stats: Stats,
    /// Interned request targets.
    pub(super) targets: HashMap<(String, String), i64>,
    /// Buckets of `dedupe` that hold rows, oldest first.
    pub(super) buckets: Vec<i64>,
    /// Everything is held: the database came from elsewhere.
    pub(super) foreign: bool,
    /// The minute in which each system last called.
    pub(super) calls: HashMap<String, i64>,
}

/// One transaction in the making.
pub(super) struct Work<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a Memory,
    pub(super) now: Timestamp,
    /// Number of the next event, as of this transaction.
    pub(super) next_event: i64,
    /// Changes of the exact numbers; path 0 holds the `Total`s.
    deltas: HashMap<(PathId, i64), i64>,
    ticks: Vec<(PathId, Tick)>,
    new_targets: Vec<((String, String), i64)>,
    new_bucket: Option<i64>,
    new_calls: Vec<(String, i64)>,
    /// Something became ready, or a pause ended.
    pub(super) woke: bool,
    /// `begin_work` raised the epoch to this.
    pub(super) new_epoch: Option<i64>,
    /// The host was found foreign, or adopted.
    pub(super) foreign: Option<bool>,
}

impl<'a> Work<'a> {
    pub(super) fn new(connection: &'a Connection, memory: &'a Memory, now: Timestamp) -> Self {
        Self {
            connection,
            memory,
            now,
            next_event: memory.next_event,
            deltas: HashMap::new(),
            ticks: Vec::new(),
            new_targets: Vec::new(),
            new_bucket: None,
            new_calls: Vec::new(),
            woke: false,
            new_epoch: None,
            foreign: None,
        }
    }

    /// One delivery of `path` went from a state to another (or was born, or was pruned).
    pub(super) fn moved(&mut self, path: PathId, from: Option<State>, to: Option<State>) {
        if from == to {
            return;
        }
        if let Some(state) = from {
            *self.deltas.entry((path, state.code())).or_default() -= 1;
        }
        if let Some(state) = to {
            *self.deltas.entry((path, state.code())).or_default() += 1;
            self.woke |= state == State::Ready;
        }
    }

    pub(super) fn total(&mut self, total: Total, by: i64) {
        *self.deltas.entry((PathId(0), total as i64)).or_default() += by;
    }

    pub(super) fn tick(&mut self, path: PathId, tick: Tick) {
        self.ticks.push((path, tick));
    }

    /// Ready deliveries of a path, inside this transaction.
    pub(super) fn ready(&self, path: PathId) -> i64 {
        let before = self
            .memory
            .counts
            .get(&path)
            .map_or(0, |counts| counts.ready as i64);
        before
            + self
                .deltas
                .get(&(path, State::Ready.code()))
                .copied()
                .unwrap_or(0)
    }

    /// The epoch in force inside this transaction.
    pub(super) fn epoch(&self) -> i64 {
        self.new_epoch.unwrap_or(self.memory.epoch)
    }

    pub(super) fn has_bucket(&self, bucket: i64) -> bool {
        self.new_bucket == Some(bucket) || self.memory.buckets.contains(&bucket)
    }

    /// Buckets of `dedupe` that hold rows, the newest first.
    pub(super) fn buckets(&self) -> impl Iterator<Item = i64> + '_ {
        let known = self.memory.buckets.iter().rev().copied();
        (self.new_bucket.into_iter()).chain(known)
    }

    pub(super) fn add_bucket(&mut self, bucket: i64) {
        self.new_bucket = Some(bucket);
    }

    /// The minute in which a system last called, as far as is written; 0 if never.
    pub(super) fn last_call(&self, system: &str) -> i64 {
        let new = self.new_calls.iter().rev();
        let new = new
            .filter(|(name, _)| name == system)
            .map(|(_, at)| *at)
            .next();
        new.or_else(|| self.memory.calls.get(system).copied())
            .unwrap_or(0)
    }

    pub(super) fn call_of(&mut self, system: &str, minute: i64) {
        self.new_calls.push((system.to_owned(), minute));
    }

    /// The number of a request's method and URL; none when there are too many to intern.
    pub(super) fn target(&mut self, target: &(String, String)) -> rusqlite::Result<Option<i64>> {
        const MOST: usize = 256;
        if let Some(id) = self.memory.targets.get(target) {
            return Ok(Some(*id));
        }
        if let Some((_, id)) = self.new_targets.iter().find(|(known, _)| known == target) {
            return Ok(Some(*id));
        }
        if self.memory.targets.len() + self.new_targets.len() >= MOST {
            return Ok(None);
        }
        self.connection
            .prepare_cached("INSERT INTO target(method, url) VALUES (?1, ?2)")?
            .execute(params![target.0, target.1])?;
        let id = self.connection.last_insert_rowid();
        self.new_targets.push((target.clone(), id));
        Ok(Some(id))
    }

    pub(super) fn log(&mut self, entry: &LogEntry) -> rusqlite::Result<()> {
        let severity = SEVERITIES
            .iter()
            .position(|severity| *severity == entry.severity)
            .unwrap_or(0) as i64;
        self.connection
            .prepare_cached("INSERT INTO log(at, severity, actor, kind, path, delivery, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                self.now.0,
                severity,
                entry.actor.as_ref().map(ToString::to_string),
                entry.kind,
                entry.path.map(|path| path.0),
                entry.delivery.map(|delivery| delivery.0),
                entry.text
            ])?;
        Ok(())
    }

    /// The last writes of the transaction: exact numbers and, when due, statistics.
    pub(super) fn seal(&mut self, flush: Option<bool>) -> rusqlite::Result<()> {
        self.total(Total::Commits, 1);
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO counter(path, state, n) VALUES (?1, ?2, ?3) ON CONFLICT(path, state) DO UPDATE SET n = n + excluded.n",
        )?;
        for ((path, state), delta) in self.deltas.iter().filter(|(_, delta)| **delta != 0) {
            upsert.execute(params![path.0, state, delta])?;
        }
        if let Some(hours) = flush {
            self.memory.stats.flush(self.connection, hours)?;
        }
        Ok(())
    }

    /// What memory must learn once the transaction is on disk.
    pub(super) fn outcome(self) -> Outcome {
        Outcome {
            next_event: self.next_event,
            deltas: self.deltas,
            ticks: self.ticks,
            targets: self.new_targets,
            bucket: self.new_bucket,
            calls: self.new_calls,
            woke: self.woke,
            epoch: self.new_epoch,
            foreign: self.foreign,
            now: self.now,
        }
    }
}

/// A transaction's effect on memory, applied after its commit.
pub(super) struct Outcome {
    next_event: i64,
    deltas: HashMap<(PathId, i64), i64>,
    ticks: Vec<(PathId, Tick)>,
    targets: Vec<((String, String), i64)>,
    bucket: Option<i64>,
    calls: Vec<(String, i64)>,
    pub(super) woke: bool,
    epoch: Option<i64>,
    foreign: Option<bool>,
    now: Timestamp,
}

impl Outcome {
    /// Applies to memory. A statistic that cannot be read back is logged and counted afresh: it must not stop the writer.
    pub(super) fn apply(self, memory: &mut Memory, connection: &Connection) {
        memory.next_event = self.next_event;
        for ((path, code), delta) in self.deltas {
            if let Some(state) = State::from_code(code) {
                let count = memory.counts.entry(path).or_default().get_mut(state);
                *count = count.saturating_add_signed(delta);
            }
        }
        memory.targets.extend(self.targets);
        memory.buckets.extend(self.bucket);
        memory.calls.extend(self.calls);
        memory.epoch = self.epoch.unwrap_or(memory.epoch);
        memory.foreign = self.foreign.unwrap_or(memory.foreign);
        for (path, tick) in self.ticks {
            if let Err(error) = memory.stats.count(connection, path, self.now, tick) {
                tracing::warn!(?error, "a statistic could not be read back");
            }
        }
    }
}
