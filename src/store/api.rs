//! The store's narrow, typed face: the handle through which the rest of midwatch asks the one writer.

mod incidents;
mod plans;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

use crate::config::model::{Config, Mode};
use crate::control::action::{Done, HeldScope};
use crate::event::Event;
use crate::ids::{BatchId, DeliveryId, EventId, PathId, RunId};
use crate::queue::filter::Filter;
use crate::queue::model::{Fence, Request, Settlement};
use crate::record::ledger::{Known, Learned};
use crate::record::value::Value;
use crate::time::{Clock, Timestamp};

use super::accept::Prepared;
use super::batch::NewBatch;
use super::filter_sql::Where;
use super::ledger::{HashKey, Lesson};
use super::paths::Identity;
use super::reader::{ReadError, Reader};
use super::release::Again;
use super::types::{
    AdoptPage, Agreed, BatchOptions, Decided, Health, Incoming, Judged, LogEntry, Note, OpenError,
    Options, Receipt, Released, Started, StoreError, Turn, Want,
};
use super::view::{
    AdoptionRow, BackfillRow, BatchRow, BatchState, Breaker, DifferenceRow, Matched, Pause,
    PollRow, RunRow, SenderRow, ShapeRow, SideRow,
};
use super::work::Work;
use super::writer::{Call, Fault, Job, Shared, Writer};

/// The open store: a handle to its one writer. Cheap to clone; the writer stops when `close` was called or the last handle is gone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("file", &self.inner.shared.file)
            .finish_non_exhaustive()
    }
}

struct Inner {
    shared: Arc<Shared>,
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    identity: Identity,
    dedupe_millis: AtomicI64,
    /// Configured systems: events name causes by their ids.
    sources: Mutex<Arc<[String]>>,
    hash_key: HashKey,
    /// For small reads between attempts; opened when first asked for.
    reading: Arc<Mutex<Option<Reader>>>,
    // Held until the writer is gone: whoever has it is the only one that writes.
    lock: Mutex<Option<std::fs::File>>,
}

impl Store {
    /// Takes the lock, opens or creates the database (0600), migrates it, starts the writer thread.
    pub fn open(file: &Path, options: Options) -> Result<Self, OpenError> {
        let lock = super::lock::take(file)?;
        super::lock::create_private(file)?;
        let mut connection = super::writer::connect(file)?;
        if rusqlite::version_number() < 3_051_003 {
            return Err(OpenError::Other(format!(
                "SQLite {} can corrupt a WAL that two connections share (fixed in 3.51.3): build with the bundled one",
                rusqlite::version()
            )));
        }
        super::schema::migrate(file, &mut connection, super::schema::MIGRATIONS)?;
        let hash_key = HashKey::of(&connection)
            .map_err(|error| OpenError::Other(format!("{}: {error}", file.display())))?;
        let (memory, sequence) = super::load::memory(&connection)
            .map_err(|error| OpenError::Other(format!("{}: {error}", file.display())))?;
        let shared = Arc::new(Shared {
            file: file.to_owned(),
            clock: options.clock,
            changes: watch::channel(0).0,
            health: watch::channel(Health::Good).0,
            work: Arc::new(Notify::new()),
            disk_reserve: options.disk_reserve,
        });
        let writer = Writer::new(connection, memory, sequence, Arc::clone(&shared));
        let (jobs, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("midwatch-writer".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| {
                OpenError::Other(format!("cannot start the writer thread: {error}"))
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                identity: Identity::of(file),
                shared,
                jobs: Mutex::new(Some(jobs)),
                thread: Mutex::new(Some(thread)),
                dedupe_millis: AtomicI64::new(millis(options.dedupe)),
                sources: Mutex::default(),
                hash_key,
                reading: Arc::default(),
                lock: Mutex::new(Some(lock)),
            }),
        })
    }

    async fn call<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.submit(run, false, false).await
    }

    async fn submit<T, F>(&self, run: F, admits: bool, plain: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        {
            let jobs = self
                .inner
                .jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let jobs = jobs.as_ref().ok_or(StoreError::Closed)?;
            let call = Call {
                run,
                value: None,
                reply,
                admits,
                plain,
            };
            jobs.send(Box::new(call)).map_err(|_| StoreError::Closed)?;
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads beside the writer, off the caller's thread, on a connection that is kept.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    {
        let store = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let reading = Arc::clone(&store.inner.reading);
            let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
            if reading.is_none() {
                let reader = store.reader();
                *reading = Some(reader.map_err(|error| StoreError::Refused(error.to_string()))?);
            }
            match reading.as_ref() {
                Some(reader) => read(reader).map_err(|error| StoreError::Refused(error.0)),
                None => Err(StoreError::Closed),
            }
        });
        task.await.map_err(|_| StoreError::Closed)?
    }

    /// Registers the configuration's paths, holds deliveries of removed ones, keeps the text by hash. Returns each path's number.
    pub async fn configure(&self, config: &Config) -> Result<Vec<(String, PathId)>, StoreError> {
        self.inner
            .dedupe_millis
            .store(millis(config.ingest.dedupe), Ordering::Relaxed);
        self.name_sources(config.systems.keys().cloned().collect());
        let paths = (config.all_paths())
            .map(|path| (path.name.clone(), path.mode == Mode::Shadow))
            .collect();
        self.register(paths, config.hash, Arc::clone(&config.text))
            .await
    }

    /// Whose events an event may name as its cause, beside those of its own source.
    pub(super) fn name_sources(&self, sources: Arc<[String]>) {
        let mut known = (self.inner.sources.lock()).unwrap_or_else(PoisonError::into_inner);
        *known = sources;
    }

    /// `configure`, told only what it needs.
    pub(super) async fn register(
        &self,
        paths: Vec<(String, bool)>,
        hash: i64,
        text: Arc<str>,
    ) -> Result<Vec<(String, PathId)>, StoreError> {
        self.call(move |work| super::paths::configure(work, &paths, hash, &text))
            .await
    }

    /// Runs a statement on the writer's connection, to break it in tests.
    #[cfg(test)]
    pub(super) async fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        self.submit(
            move |work| Ok(work.connection.execute_batch(sql)?),
            false,
            true,
        )
        .await
    }

    /// Raises the epoch, rescues what was running when the last worker died, records this worker.
    pub async fn begin_work(&self, service: bool) -> Result<Started, StoreError> {
        let identity = self.inner.identity.clone();
        self.call(move |work| super::paths::begin(work, &identity, service))
            .await
    }

    /// Durable when it returns: all receipts in order, or nothing stored at all.
    ///
    /// # Errors
    /// `Refused` when the disk does not take it (also when less than the reserve is free), `Invalid` for a route to an unknown path.
    pub async fn accept(&self, batch: Vec<Incoming>) -> Result<Vec<Receipt>, StoreError> {
        let sources =
            Arc::clone(&(self.inner.sources.lock()).unwrap_or_else(PoisonError::into_inner));
        let prepared: Vec<Prepared> = batch
            .into_iter()
            .map(|incoming| Prepared::new(incoming, &sources))
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        let dedupe = self.inner.dedupe_millis.load(Ordering::Relaxed);
        self.submit(
            move |work| {
                super::accept::check_paths(work, &prepared)?;
                super::accept::accept(work, &prepared, dedupe)
            },
            true,
            false,
        )
        .await
    }

    /// Fans held and unrouted events out that pass the door now, in one transaction with an audit row, and keeps with the
    /// others what is against them now. What is no longer held, or was edited since it was judged, is left alone: doing it
    /// twice makes nothing twice. `log` says what was asked for; what came of it is added to it.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn release_held(
        &self,
        judged: Vec<Judged>,
        log: LogEntry,
    ) -> Result<Released, StoreError> {
        let judged = prepared(judged)?;
        let run = move |work: &mut Work<'_>| super::release::release(work, &judged, &log);
        self.submit(run, true, false).await
    }

    /// Puts edited data into a held or unrouted event and releases it, in one transaction with its audit row. The data as it
    /// was is kept.
    ///
    /// # Errors
    /// `Invalid` when it does not pass the door, no path wants it, or it moved on meanwhile; else as [`Store::accept`].
    pub async fn edit_held(&self, judged: Judged, log: LogEntry) -> Result<Released, StoreError> {
        let judged = prepared(vec![judged])?;
        let run = move |work: &mut Work<'_>| match &judged[..] {
            [one] => super::release::edit(work, one, &log),
            _ => Err(Fault::Invalid("nothing to edit".to_owned())),
        };
        self.submit(run, true, false).await
    }

    /// Gives held and unrouted events of a scope up, the oldest at most `limit` above `after` and up to `up_to`, in one
    /// transaction with an audit row. Returns how many, and where to go on if there may be more.
    pub async fn discard_held(
        &self,
        scope: HeldScope,
        (after, up_to): (EventId, EventId),
        limit: usize,
        reason: String,
        log: LogEntry,
    ) -> Result<(u64, Option<EventId>), StoreError> {
        let run = move |work: &mut Work<'_>| {
            super::release::discard(work, &scope, (after, up_to), limit, &reason, &log)
        };
        self.call(run).await
    }

    /// Settles what ended and claims what is due, in one commit. A settlement without an attempt that carries the fence of a
    /// death takes that death back.
    pub async fn turn(
        &self,
        settlements: Vec<Settlement>,
        wants: Vec<Want>,
    ) -> Result<Turn, StoreError> {
        self.call(move |work| super::turn::turn(work, &settlements, &wants))
            .await
    }

    /// The clock was set back: deliveries of `path` that are due after `beyond` become due sooner by `by`, though not before
    /// now. Returns how many.
    pub async fn hasten(
        &self,
        path: PathId,
        beyond: Timestamp,
        by: Duration,
    ) -> Result<u64, StoreError> {
        self.call(move |work| super::turn::hasten(work, path, beyond, by))
            .await
    }

    /// Makes those of these deliveries that are ready and due later due now: what they waited for is there.
    pub async fn due_now(&self, ids: Vec<DeliveryId>) -> Result<(), StoreError> {
        self.call(move |work| super::turn::due_now(work, &ids))
            .await
    }

    /// Keeps the rendered request of a generation before it is first sent.
    pub async fn freeze(
        &self,
        delivery: DeliveryId,
        generation: u32,
        request: Request,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::turn::freeze(work, delivery, generation, &request))
            .await
    }

    /// Says that a suspect is about to run with nothing beside it: only then does a crash count towards poison.
    pub async fn mark_alone(&self, delivery: DeliveryId, fence: Fence) -> Result<(), StoreError> {
        self.call(move |work| super::turn::mark_alone(work, delivery, fence))
            .await
    }

    /// Hands everything this worker still has running back, uncharged (shutdown).
    pub async fn end_work(&self) -> Result<(), StoreError> {
        self.call(|work| {
            super::turn::hand_back(work)?;
            Ok(super::load::set_meta(
                work.connection,
                "worker_state",
                "stopped",
            )?)
        })
        .await
    }

    /// Sign of life (`running`, `draining`), and where the front door listens.
    pub async fn heartbeat(
        &self,
        state: &str,
        listening: Option<String>,
    ) -> Result<(), StoreError> {
        let state = state.to_owned();
        self.call(move |work| {
            super::load::set_meta(work.connection, "heartbeat", work.now.0)?;
            super::load::set_meta(work.connection, "worker_state", &state)?;
            Ok(super::load::set_meta(
                work.connection,
                "listening",
                listening.as_deref(),
            )?)
        })
        .await
    }

    /// Keeps which secrets the worker cannot read, in words, for those who look.
    pub async fn set_unreadable(&self, secrets: &[String]) -> Result<(), StoreError> {
        let list = serde_json::json!(secrets).to_string();
        self.call(move |work| Ok(super::load::set_meta(work.connection, "unreadable", &list)?))
            .await
    }

    /// A path in shadow mode begins to send, with its audit row. One that is live already is left alone.
    pub async fn golive(&self, path: PathId, log: LogEntry) -> Result<(), StoreError> {
        self.call(move |work| super::paths::golive(work, path, &log))
            .await
    }

    /// What is known of a record in a system: what was committed when this was called, at least. Nothing is known of a
    /// record that is not there. Beside the writer, on a connection of its own.
    pub async fn known(
        &self,
        system: String,
        kind: String,
        key: String,
    ) -> Result<Known, StoreError> {
        self.read(move |reader| reader.known(&system, &kind, &key))
            .await
    }

    /// The first business key of the record that a system knows by this id; as current as [`Store::known`].
    pub async fn called(
        &self,
        system: String,
        kind: String,
        id: String,
    ) -> Result<Option<String>, StoreError> {
        self.read(move |reader| reader.called(&system, &kind, &id))
            .await
    }

    /// Keeps what was learnt of a record, in one commit with the line in its story; whatever waited for its id goes on.
    pub async fn learn(&self, learned: Learned) -> Result<(), StoreError> {
        self.learn_all(vec![learned], Vec::new()).await
    }

    /// Keeps what was learnt of a record in several systems at once, and what was noticed on the way, in one commit.
    pub async fn learn_all(
        &self,
        learned: Vec<Learned>,
        notes: Vec<Note>,
    ) -> Result<(), StoreError> {
        let key = &self.inner.hash_key;
        let of = |learned| Lesson::of(learned, key);
        let lessons: Vec<Lesson> = learned.into_iter().map(of).collect();
        self.call(move |work| {
            for lesson in &lessons {
                super::ledger::learn(work, lesson)?;
            }
            for note in &notes {
                super::notes::note(work, note)?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps what systems were seen to agree on, in one commit.
    pub async fn agree(&self, all: Vec<Agreed>) -> Result<(), StoreError> {
        let lessons: Vec<Lesson> = all.into_iter().map(Lesson::agreeing).collect();
        self.call(move |work| {
            (lessons.iter()).try_for_each(|lesson| super::ledger::learn(work, lesson))
        })
        .await
    }

    /// Keeps how far the listing of one side of a run is.
    pub async fn keep_side(&self, row: SideRow) -> Result<(), StoreError> {
        self.call(move |work| super::sides::keep(work, &row)).await
    }

    /// Keeps what a person decided about a review: it ends, its event is taken in, its audit row is written, in one
    /// commit. Returns the event that carries the decision.
    ///
    /// # Errors
    /// `Invalid` when there is no such review, or it was decided before.
    pub async fn decide(&self, decided: Decided) -> Result<Option<EventId>, StoreError> {
        let key = self.inner.hash_key.clone();
        let repair = decided.repair.map(|incoming| Prepared::new(incoming, &[]));
        let repair = repair.transpose();
        let decision = super::review::Decision {
            review: decided.review,
            side: decided.side,
            value: key.text(&decided.value, decided.sensitive),
            lessons: (decided.learned.into_iter())
                .map(|learned| Lesson::of(learned, &key))
                .collect(),
            repair: repair.map_err(|error| StoreError::Invalid(error.to_string()))?,
            log: decided.log,
            key,
        };
        let dedupe = self.inner.dedupe_millis.load(Ordering::Relaxed);
        self.submit(
            move |work| super::review::decide(work, &decision, dedupe),
            true,
            false,
        )
        .await
    }

    /// A value as the ledger keeps it, to compare with what is [`Store::known`]: canonical text, or a keyed hash where it is
    /// sensitive or long.
    pub fn ledger_text(&self, value: &Value, sensitive: bool) -> String {
        self.inner.hash_key.text(value, sensitive)
    }

    /// Begins to adopt a record type from two systems, or finds what was begun: where each side's listing goes on.
    pub async fn adopt_begin(
        &self,
        kind: String,
        sides: [String; 2],
    ) -> Result<[AdoptionRow; 2], StoreError> {
        self.call(move |work| super::adoption::begin(work, &kind, &sides))
            .await
    }

    /// Keeps a page of one side's listing and where it goes on, in one commit. Keeping a page twice changes nothing.
    pub async fn adopt_page(&self, page: AdoptPage) -> Result<AdoptionRow, StoreError> {
        let page = super::adoption::Page::of(page, &self.inner.hash_key);
        self.call(move |work| super::adoption::page(work, &page))
            .await
    }

    /// Matches the kept listings by key, a bounded part at a time, from `after` (none: the beginning; then
    /// [`Matched::next`]). With `keep`, ids, versions and agreed values of what matches are learnt; without, only told.
    pub async fn adopt_match(
        &self,
        kind: String,
        sides: [String; 2],
        after: Option<String>,
        keep: bool,
    ) -> Result<Matched, StoreError> {
        self.call(move |work| super::adoption::matched(work, &kind, &sides, after.as_deref(), keep))
            .await
    }

    /// Ends an adoption: the kept listings are let go.
    pub async fn adopt_end(&self, kind: String, sides: [String; 2]) -> Result<(), StoreError> {
        loop {
            let (kind, sides) = (kind.clone(), sides.clone());
            if !self
                .call(move |work| super::adoption::end(work, &kind, &sides))
                .await?
            {
                return Ok(());
            }
        }
    }

    /// What is kept of those who send; see [`Reader::senders`].
    pub async fn senders(&self) -> Result<Vec<SenderRow>, StoreError> {
        self.read(Reader::senders).await
    }

    /// How far the polling of each record type has come.
    pub async fn polls(&self) -> Result<Vec<PollRow>, StoreError> {
        self.read(Reader::polls).await
    }

    /// Keeps what a vendor said of its webhook (all but `called`, which the store keeps itself, and `checked`, which is now),
    /// with a line where there is news.
    pub async fn sender_checked(
        &self,
        row: SenderRow,
        log: Option<LogEntry>,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::senders::checked(work, &row, log.as_ref()))
            .await
    }

    /// Keeps how far the polling of a record type has come, with a line where there is news.
    pub async fn polled(&self, row: PollRow, log: Option<LogEntry>) -> Result<(), StoreError> {
        self.call(move |work| super::senders::polled(work, &row, log.as_ref()))
            .await
    }

    /// Keeps gaps that must be asked for (system, kind, why, since and started of each count), with the line that says why.
    pub async fn open_backfills(
        &self,
        gaps: Vec<BackfillRow>,
        log: Option<LogEntry>,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::backfills::open(work, &gaps, log.as_ref()))
            .await
    }

    /// Keeps how far backfills have come, with a line where there is news.
    pub async fn keep_backfills(
        &self,
        rows: Vec<BackfillRow>,
        log: Option<LogEntry>,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::backfills::keep(work, &rows, log.as_ref()))
            .await
    }

    /// See [`Reader::backfills`].
    pub async fn backfills(&self) -> Result<Vec<BackfillRow>, StoreError> {
        self.read(Reader::backfills).await
    }

    /// What a source told of a record so far, the newest first, as far as it is kept and at most some.
    pub async fn told(
        &self,
        source: String,
        kind: String,
        key: String,
    ) -> Result<Vec<Event>, StoreError> {
        self.read(move |reader| reader.told(&source, &kind, &key))
            .await
    }

    /// Deliveries that waited too long for a record are held for a person, each with a line in the log. Returns how many
    /// were; call again while it is not zero.
    pub async fn expire_needs(&self) -> Result<u64, StoreError> {
        self.call(super::needs::expire).await
    }

    /// Pauses a path, or ends its pause, with the line that says why.
    pub async fn set_pause(
        &self,
        path: PathId,
        pause: Option<Pause>,
        log: LogEntry,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::paths::set_pause(work, path, pause.as_ref(), &log))
            .await
    }

    /// Keeps a path's breaker, with the line that says why it moved, if it deserves one.
    pub async fn set_breaker(
        &self,
        path: PathId,
        breaker: Breaker,
        log: Option<LogEntry>,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::paths::set_breaker(work, path, &breaker, log.as_ref()))
            .await
    }

    /// Adds a line to the log.
    pub async fn log(&self, entry: LogEntry) -> Result<(), StoreError> {
        self.call(move |work| Ok(work.log(&entry)?)).await
    }

    /// Keeps a note, or counts it once more; what is news is told in the log too.
    pub async fn note(&self, note: Note) -> Result<(), StoreError> {
        self.call(move |work| super::notes::note(work, &note)).await
    }

    /// Keeps what is remembered of the answers to one step of a path, in place of what was.
    pub async fn keep_shape(
        &self,
        path: PathId,
        step: String,
        rows: Vec<ShapeRow>,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::shapes::keep(work, path, &step, &rows))
            .await
    }

    /// What is remembered of the answers of receivers, by path and step.
    pub async fn shapes(&self) -> Result<Vec<(PathId, String, ShapeRow)>, StoreError> {
        self.read(Reader::shapes).await
    }

    /// Answer of an action submitted before under this id, so that repeating is safe.
    pub async fn done_before(&self, submission: String) -> Result<Option<Done>, StoreError> {
        self.call(move |work| super::act::done_before(work, &submission))
            .await
    }

    /// Records an action's answer, together with its audit row where the action itself wrote none.
    pub async fn record_done(
        &self,
        submission: String,
        done: Done,
        log: Option<LogEntry>,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::act::record_done(work, &submission, &done, log.as_ref()))
            .await
    }

    /// Cancels what matches up to `high_water`; refuses if more than `expected` match. Returns how many.
    pub async fn cancel(
        &self,
        filter: Filter,
        high_water: DeliveryId,
        expected: u64,
        reason: String,
        log: LogEntry,
    ) -> Result<u64, StoreError> {
        self.call(move |work| {
            let clause = Where::of(&filter, work.now);
            super::act::cancel(work, &clause, high_water, expected, &reason, &log)
        })
        .await
    }

    /// Freezes the set of a replay as a batch, in chunks. Nothing is released yet.
    pub async fn create_batch(
        &self,
        filter: Filter,
        high_water: DeliveryId,
        expected: u64,
        options: BatchOptions,
        log: LogEntry,
    ) -> Result<BatchRow, StoreError> {
        let actor = log
            .actor
            .as_ref()
            .map_or_else(|| "midwatch".to_owned(), ToString::to_string);
        let BatchOptions {
            skip_risky,
            canary,
            pace,
            scope,
            forced,
        } = options;
        let new = NewBatch {
            skip_risky,
            canary,
            pace,
            scope,
            actor,
            forced,
        };
        let clause = Where::of(&filter, self.inner.shared.clock.now());
        let id = self
            .call(move |work| super::batch::create(work, &new))
            .await?;
        let mut after = DeliveryId(0);
        loop {
            let clause = clause.clone();
            match self
                .call(move |work| super::batch::freeze_chunk(work, id, &clause, after, high_water))
                .await?
            {
                Some(last) => after = last,
                None => break,
            }
        }
        let row = self
            .call(move |work| super::batch::frozen(work, id, &log))
            .await?;
        if row.total <= expected {
            return Ok(row);
        }
        self.set_batch(
            id,
            BatchState::Aborted,
            Some("more match than were shown".to_owned()),
        )
        .await?;
        Err(StoreError::Invalid(format!(
            "{} deliveries match now, {expected} were shown: preview again",
            row.total
        )))
    }

    /// Releases up to `count` pending items: each becomes ready in a new generation, or is skipped if it moved on.
    pub async fn release(&self, batch: BatchId, count: u32) -> Result<BatchRow, StoreError> {
        self.call(move |work| super::batch::release(work, batch, count))
            .await
    }

    /// Moves a batch to another state; `Aborted` and `Done` end it.
    pub async fn set_batch(
        &self,
        batch: BatchId,
        state: BatchState,
        reason: Option<String>,
    ) -> Result<BatchRow, StoreError> {
        self.call(move |work| super::batch::end(work, batch, state, reason.as_deref()))
            .await
    }

    /// Opens a run of a reconciliation job.
    pub async fn start_run(&self, job: String, why: &'static str) -> Result<RunId, StoreError> {
        self.call(move |work| super::runs::start(work, &job, why))
            .await
    }

    /// Where runs keep their listings and scratch files, beside the database. It need not be there yet.
    pub fn runs_folder(&self) -> PathBuf {
        let mut name = self.inner.shared.file.clone().into_os_string();
        name.push(".runs");
        name.into()
    }

    /// The key of this database's keyed hashes.
    pub fn hash_key(&self) -> HashKey {
        self.inner.hash_key.clone()
    }

    /// Keeps what is known of a run that is under way: where it stands, what it counted so far.
    pub async fn keep_run(&self, run: RunRow) -> Result<(), StoreError> {
        self.call(move |work| super::runs::keep(work, &run)).await
    }

    /// Ends a run; `run.id` says which.
    pub async fn finish_run(
        &self,
        run: RunRow,
        differences: Vec<DifferenceRow>,
    ) -> Result<(), StoreError> {
        self.call(move |work| super::runs::finish(work, &run, &differences))
            .await
    }

    /// Removes what retention lets go, a bounded amount a call; true if there is more. `ledger_before`: records that nothing
    /// happened to since are forgotten; none: never.
    pub async fn prune(
        &self,
        delivered_before: Timestamp,
        log_before: Timestamp,
        ledger_before: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let dedupe = self.inner.dedupe_millis.load(Ordering::Relaxed);
        let ledger_before = ledger_before.map(|before| before.0);
        self.call(move |work| {
            super::act::prune(
                work,
                delivered_before.0,
                log_before.0,
                ledger_before,
                dedupe,
            )
        })
        .await
    }

    /// Copies the database online; the file must not exist and is created 0600. Returns its size in bytes.
    pub async fn backup(&self, file: PathBuf) -> Result<u64, StoreError> {
        self.submit(
            move |work| super::backup::copy(work.connection, &file).map_err(Fault::Invalid),
            false,
            true,
        )
        .await
    }

    /// This host now owns the database.
    pub async fn adopt_host(&self, log: LogEntry) -> Result<(), StoreError> {
        let identity = self.inner.identity.clone();
        self.call(move |work| super::paths::adopt(work, &identity, &log))
            .await
    }

    /// Counts commits.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.changes.subscribe()
    }

    /// Notified when something became ready or a pause ended: the dispatcher should take a turn.
    pub fn work(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.shared.work)
    }

    /// What the store can do now.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.shared.health.subscribe()
    }

    /// A new read-only connection.
    pub fn reader(&self) -> Result<Reader, OpenError> {
        Reader::beside(&self.inner.shared.file, self.clock(), self.health())
    }

    /// The clock that the store runs on.
    pub fn clock(&self) -> Clock {
        self.inner.shared.clock.clone()
    }

    /// Flushes statistics and stops the writer; later calls answer `Closed`. The lock is released.
    pub async fn close(&self) {
        self.inner
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let thread = self
            .inner
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        (self.inner.reading.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A writer that panicked has said so in the log; the lock goes either way.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.inner
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

fn prepared(judged: Vec<Judged>) -> Result<Vec<Again>, StoreError> {
    (judged.into_iter())
        .map(Again::new)
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Invalid(error.to_string()))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
