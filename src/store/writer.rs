//! The writer thread: the only code that writes. It takes whatever jobs wait, runs them in one transaction, makes it
//! durable with one fsync, and only then answers each caller. It never waits for more jobs to come (measured: lingering loses).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{Notify, oneshot, watch};

use super::types::{Health, OpenError, StoreError};
use super::work::{Memory, Outcome, Work};
use crate::time::Clock;

/// The most jobs that share a commit.
const MOST_JOBS: usize = 512;
/// The WAL is truncated beyond this many bytes; readers that hold it are waited for, briefly.
const WAL_CAP: u64 = 40 << 20;
/// How often statistics are written, the disk is looked at, and a failing database is tried again.
const BEAT: Duration = Duration::from_secs(1);

/// Something for the writer to do. Run again from scratch when the transaction it shared was rolled back by another job.
pub(super) trait Job: Send {
    fn run(&mut self, work: &mut Work<'_>) -> Result<(), Fault>;
    /// Called once: `Ok` when what `run` did is durable.
    fn done(self: Box<Self>, outcome: Result<(), StoreError>);
    /// It takes something new in: refused first when the disk fills.
    fn admits(&self) -> bool {
        false
    }
    /// Runs outside a transaction (VACUUM).
    fn is_plain(&self) -> bool {
        false
    }
}

/// Why a job did not run.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request makes no sense; only this job fails.
    Invalid(String),
    /// SQLite said no.
    Sql(rusqlite::Error),
}

impl Fault {
    /// The fault lies in what was asked, not in the disk or the database: only this job fails.
    fn is_of_the_job(&self) -> bool {
        match self {
            Self::Invalid(_) => true,
            Self::Sql(error) => matches!(
                error.sqlite_error_code(),
                None | Some(
                    ErrorCode::ConstraintViolation
                        | ErrorCode::TypeMismatch
                        | ErrorCode::TooBig
                        | ErrorCode::Unknown
                )
            ),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(words) => f.write_str(words),
            Self::Sql(error) => error.fmt(f),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// A closure as a job, its answer sent to a waiting caller.
pub(super) struct Call<T, F> {
    pub(super) run: F,
    pub(super) value: Option<T>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
    pub(super) admits: bool,
    pub(super) plain: bool,
}

impl<T: Send, F: FnMut(&mut Work<'_>) -> Result<T, Fault> + Send> Job for Call<T, F> {
    fn run(&mut self, work: &mut Work<'_>) -> Result<(), Fault> {
        self.value = Some((self.run)(work)?);
        Ok(())
    }

    fn done(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        // A caller that went away does not need the answer; what it asked for stands.
        let _ = reply.send(outcome.and_then(|()| value.ok_or(StoreError::Closed)));
    }

    fn admits(&self) -> bool {
        self.admits
    }

    fn is_plain(&self) -> bool {
        self.plain
    }
}

/// What the writer and the handles share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) file: PathBuf,
    pub(super) clock: Clock,
    pub(super) changes: watch::Sender<u64>,
    pub(super) health: watch::Sender<Health>,
    pub(super) work: Arc<Notify>,
    pub(super) disk_reserve: u64,
}

/// One plan for each statement, whatever is bound to it (SQLite, `SQLITE_DBCONFIG_ENABLE_QPSG`). Otherwise SQLite 3.5x
/// prepares a cached statement anew whenever a number bound to it would have changed the planner's guess: measured, half
/// the time of a turn.
pub(super) fn steady(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

/// Opens the database for writing, with the settings that durability rests on.
pub(super) fn connect(file: &Path) -> Result<Connection, OpenError> {
    let words = |error: rusqlite::Error| OpenError::Other(format!("{}: {error}", file.display()));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(words)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection
        .busy_timeout(Duration::from_secs(5))
        .map_err(words)?;
    steady(&connection).map_err(words)?;
    // FULL: NORMAL loses acknowledged commits on power loss.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000;
             PRAGMA journal_size_limit = 33554432; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;",
        )
        .map_err(words)?;
    Ok(connection)
}

/// The thread's state.
pub(super) struct Writer {
    connection: Connection,
    memory: Memory,
    shared: Arc<Shared>,
    /// Counts commits (in `counter`, a page that most commits write anyway), so that a commit with an unknown outcome can be read back.
    pub(super) sequence: i64,
    last_flush: Instant,
    last_hours: Instant,
    last_look: Option<Instant>,
    commits: u64,
}

/// How a transaction ended.
enum Ended {
    Committed,
    /// Rolled back, because job `index` (or the commit itself) failed.
    RolledBack {
        index: Option<usize>,
        fault: Fault,
    },
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        memory: Memory,
        sequence: i64,
        shared: Arc<Shared>,
    ) -> Self {
        let now = Instant::now();
        Self {
            connection,
            memory,
            shared,
            sequence,
            last_flush: now,
            last_hours: now,
            last_look: None,
            commits: 0,
        }
    }

    /// A writer that is driven by hand.
    #[cfg(test)]
    pub(super) fn for_test(file: &Path, clock: &Clock) -> Self {
        let connection = connect(file).unwrap();
        let (memory, sequence) = super::load::memory(&connection).unwrap();
        let shared = Shared {
            file: file.to_owned(),
            clock: clock.clone(),
            changes: watch::channel(0).0,
            health: watch::channel(Health::Good).0,
            work: Arc::new(Notify::new()),
            disk_reserve: 0,
        };
        Self::new(connection, memory, sequence, Arc::new(shared))
    }

    pub(super) fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        loop {
            let mut batch = match jobs.recv_timeout(BEAT) {
                Ok(job) => vec![job],
                Err(RecvTimeoutError::Timeout) => {
                    self.beat();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            while batch.len() < MOST_JOBS {
                match jobs.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            self.look_at_disk();
            self.take(batch);
        }
        let _ = self.transact(&mut [], true);
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(
                ?error,
                "the database did not close cleanly; its WAL is replayed at the next start"
            );
        }
    }

    /// Once a second when idle: statistics to disk, a look at the disk, another try if it failed.
    fn beat(&mut self) {
        self.look_at_disk();
        if self.memory.stats.is_dirty() {
            let _ = self.transact(&mut [], true);
        }
    }

    fn look_at_disk(&mut self) {
        if self.last_look.is_some_and(|at| at.elapsed() < BEAT) {
            return;
        }
        self.last_look = Some(Instant::now());
        if matches!(*self.shared.health.borrow(), Health::Failing(_)) {
            self.recover();
        }
        let free = free_bytes(&self.shared.file);
        let full = free.is_some_and(|free| free < self.shared.disk_reserve);
        let next = match &*self.shared.health.borrow() {
            Health::Good | Health::DiskFull { .. } if full => Health::DiskFull {
                free: free.unwrap_or(0),
            },
            Health::DiskFull { .. } => Health::Good,
            other => other.clone(),
        };
        self.set_health(next);
    }

    fn set_health(&self, next: Health) {
        self.shared.health.send_if_modified(|health| {
            let changed = std::mem::discriminant(health) != std::mem::discriminant(&next);
            if changed {
                tracing::warn!(health = ?next, "the store's health changed");
            }
            let differs = *health != next;
            if differs
                && let Err(error) = super::lock::tell(&self.shared.file, next.words().as_deref())
            {
                tracing::warn!(%error, "the lock file does not say what the store cannot do");
            }
            *health = next;
            if changed {
                self.shared.changes.send_modify(|count| *count += 1);
                self.shared.work.notify_one();
            }
            differs
        });
    }

    /// Runs a batch of jobs and answers every one of them.
    fn take(&mut self, batch: Vec<Box<dyn Job>>) {
        let mut batch: Vec<Option<Box<dyn Job>>> = self.refuse_what_must_wait(batch);
        if batch.is_empty() {
            return;
        }
        if batch.len() > 1 || !batch[0].as_ref().is_some_and(|job| job.is_plain()) {
            // Plain jobs run alone, outside a transaction.
            let plain: Vec<_> = batch
                .extract_if(.., |job| job.as_ref().is_some_and(|job| job.is_plain()))
                .collect();
            self.take_shared(&mut batch);
            for mut job in plain {
                self.take_plain(&mut job);
            }
        } else if let Some(job) = batch.first_mut() {
            self.take_plain(job);
        }
    }

    fn refuse_what_must_wait(&self, batch: Vec<Box<dyn Job>>) -> Vec<Option<Box<dyn Job>>> {
        let refusal = match &*self.shared.health.borrow() {
            Health::Good => return batch.into_iter().map(Some).collect(),
            Health::DiskFull { free } => (
                true,
                StoreError::Refused(format!(
                    "{} MiB are free, less than the reserve",
                    free >> 20
                )),
            ),
            Health::Failing(words) => (false, StoreError::Refused(words.clone())),
            Health::Corrupt(words) => (false, StoreError::Corrupt(words.clone())),
        };
        let (only_admissions, error) = refusal;
        let mut kept = Vec::new();
        for job in batch {
            if only_admissions && !job.admits() {
                kept.push(Some(job));
            } else {
                job.done(Err(error.clone()));
            }
        }
        kept
    }

    fn take_plain(&mut self, slot: &mut Option<Box<dyn Job>>) {
        let Some(mut job) = slot.take() else { return };
        let mut work = Work::new(&self.connection, &self.memory, self.shared.clock.now());
        let outcome = match job.run(&mut work) {
            Ok(()) => Ok(()),
            Err(Fault::Invalid(words)) => Err(StoreError::Invalid(words)),
            Err(Fault::Sql(error)) => Err(StoreError::Refused(error.to_string())),
        };
        job.done(outcome);
    }

    fn take_shared(&mut self, batch: &mut [Option<Box<dyn Job>>]) {
        match self.transact(batch, false) {
            Ended::Committed => {
                for job in batch.iter_mut().filter_map(Option::take) {
                    job.done(Ok(()));
                }
            }
            Ended::RolledBack {
                index: Some(index),
                fault,
            } if fault.is_of_the_job() => {
                if let Some(job) = batch[index].take() {
                    job.done(Err(StoreError::Invalid(fault.to_string())));
                }
                self.take_shared(batch);
            }
            Ended::RolledBack { fault, .. } => {
                let error = self.diagnose(&fault);
                for job in batch.iter_mut().filter_map(Option::take) {
                    job.done(Err(error.clone()));
                }
            }
        }
    }

    /// One transaction over all jobs still in `batch`.
    fn transact(&mut self, batch: &mut [Option<Box<dyn Job>>], last: bool) -> Ended {
        let flush = (last || self.last_flush.elapsed() >= BEAT)
            .then(|| last || self.last_hours.elapsed() >= 30 * BEAT);
        match self.attempt(batch, flush) {
            Ok(outcome) => {
                self.sequence += 1;
                self.commits += 1;
                if let Some(hours) = flush {
                    self.memory.stats.flushed(hours);
                    self.last_flush = Instant::now();
                    if hours {
                        self.last_hours = self.last_flush;
                    }
                }
                let woke = outcome.woke;
                outcome.apply(&mut self.memory, &self.connection);
                self.shared.changes.send_modify(|count| *count += 1);
                if woke {
                    self.shared.work.notify_one();
                }
                if self.commits.is_multiple_of(64) {
                    self.cap_wal();
                }
                Ended::Committed
            }
            Err((index, fault)) => {
                if index.is_none() && self.reread_commit() {
                    // It reached the disk after all; memory is read back from there.
                    return Ended::Committed;
                }
                Ended::RolledBack { index, fault }
            }
        }
    }

    fn attempt(
        &self,
        batch: &mut [Option<Box<dyn Job>>],
        flush: Option<bool>,
    ) -> Result<Outcome, (Option<usize>, Fault)> {
        let none = |error: rusqlite::Error| (None, Fault::Sql(error));
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        begun.map_err(|error| (Some(0), Fault::Sql(error)))?;
        let mut work = Work::new(&self.connection, &self.memory, self.shared.clock.now());
        let result = (|| {
            for (index, job) in batch.iter_mut().enumerate() {
                if let Some(job) = job {
                    job.run(&mut work).map_err(|fault| (Some(index), fault))?;
                }
            }
            work.seal(flush)
                .map_err(|error| (Some(0), Fault::Sql(error)))?;
            self.connection.execute_batch("COMMIT").map_err(none)
        })();
        if result.is_err() && !self.connection.is_autocommit() {
            // If even the rollback fails, `diagnose` reopens the connection, which ends the transaction.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        result.map(|()| work.outcome())
    }

    /// A commit that returned an error has an unknown outcome: reopen and read its sequence number back.
    pub(super) fn reread_commit(&mut self) -> bool {
        let wanted = self.sequence + 1;
        self.reopen().is_ok() && self.sequence == wanted
    }

    fn reopen(&mut self) -> Result<(), String> {
        let connection = connect(&self.shared.file).map_err(|error| error.to_string())?;
        let (memory, sequence) =
            super::load::memory(&connection).map_err(|error| error.to_string())?;
        let stats = std::mem::take(&mut self.memory.stats);
        let (epoch, foreign) = (self.memory.epoch, self.memory.foreign);
        self.memory = Memory {
            epoch,
            stats,
            foreign,
            ..memory
        };
        self.sequence = sequence;
        // The old connection may hold a broken transaction; closing it ends that.
        drop(std::mem::replace(&mut self.connection, connection));
        Ok(())
    }

    /// What an SQL error means for the callers and for the store's health.
    fn diagnose(&mut self, fault: &Fault) -> StoreError {
        let error = match fault {
            Fault::Invalid(words) => return StoreError::Invalid(words.clone()),
            Fault::Sql(error) => error,
        };
        tracing::error!(?error, "a transaction failed and was rolled back");
        let words = error.to_string();
        if matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ) {
            self.set_health(Health::Corrupt(words.clone()));
            StoreError::Corrupt(words)
        } else {
            self.set_health(Health::Failing(words.clone()));
            self.last_look = Some(Instant::now());
            StoreError::Refused(words)
        }
    }

    /// Tries whether writing works again.
    fn recover(&mut self) {
        let result = self
            .reopen()
            .and_then(|()| match self.attempt(&mut [], None) {
                Ok(_) => {
                    self.sequence += 1;
                    Ok(())
                }
                Err((_, Fault::Sql(error))) => Err(error.to_string()),
                Err((_, Fault::Invalid(words))) => Err(words),
            });
        match result {
            Ok(()) => self.set_health(Health::Good),
            Err(words) => self.set_health(Health::Failing(words)),
        }
    }

    fn cap_wal(&self) {
        let mut wal = self.shared.file.clone().into_os_string();
        wal.push("-wal");
        if std::fs::metadata(wal).is_ok_and(|wal| wal.len() > WAL_CAP) {
            // A reader may hold it; the next look tries again.
            let _ = self
                .connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }
}

/// Bytes free to us on the file system of `file`; none if it cannot be asked.
pub(super) fn free_bytes(file: &Path) -> Option<u64> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}
