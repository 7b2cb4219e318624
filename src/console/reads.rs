//! The console's reader: one thread that owns one read-only connection, so that the database never blocks a key.
//!
//! Of each kind of read only the newest request counts. A search that fills its page slowly gives way to other reads
//! between its pieces, and shows what it has found so far. No read outlives its answer: no transaction stays open.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::model::{LOG_PAGE, Slot};
use super::update::{Input, Loaded, Query};
use crate::config::model::Config;
use crate::control::action::HeldScope;
use crate::http::oauth::health;
use crate::ids::DeliveryId;
use crate::incident::runbook_of;
use crate::queue::filter::Filter;
use crate::queue::model::State;
use crate::record::ledger::About as RecordId;
use crate::store::view::{DeliveryRow, NoteFilter, NoteKind};
use crate::store::{Cursor, ReadError, Reader};

/// What a search has found so far is shown this often.
const PROGRESS: Duration = Duration::from_millis(250);
/// Of the newest reviews, this many are looked through for decided ones.
const DECIDED: usize = 20;
/// Held deliveries that are read at most.
const DELIVERIES: usize = 100;
/// Plans that are read at most.
const PLANS: usize = 50;
/// Notes of a path that are read at most.
const NOTES: usize = 20;
/// Runs, replays, held events, differences that are read at most.
const ROWS: usize = 500;

/// A read that was asked for.
#[derive(Debug)]
struct Job {
    seq: u64,
    query: Query,
    found: Vec<DeliveryRow>,
    next: Option<Cursor>,
    /// A search that has begun goes after everything else.
    begun: bool,
}

#[derive(Debug, Default)]
struct Desk {
    jobs: BTreeMap<Slot, Job>,
    closed: bool,
}

/// A handle to the thread.
#[derive(Debug, Clone)]
pub struct Reads {
    shared: Arc<(Mutex<Desk>, Condvar)>,
}

impl Reads {
    /// Starts the thread; `report` is called from it.
    pub fn spawn(
        database: PathBuf,
        config: Arc<Config>,
        report: impl Fn(Input) + Send + 'static,
    ) -> std::io::Result<Self> {
        let reads = Self {
            shared: Arc::default(),
        };
        let worker = reads.clone();
        std::thread::Builder::new()
            .name("console-reads".into())
            .spawn(move || {
                let mut thread = Thread {
                    database,
                    reader: None,
                    known: config.hash,
                    config,
                    report,
                    shown: Instant::now(),
                };
                while let Some((slot, job)) = worker.take() {
                    if let Some(rest) = thread.serve(slot, job) {
                        worker.put_back(slot, rest);
                    }
                }
            })?;
        Ok(reads)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks; an older request for the same slot is forgotten.
    pub fn ask(&self, slot: Slot, seq: u64, query: Query) {
        let job = Job {
            seq,
            query,
            found: Vec::new(),
            next: None,
            begun: false,
        };
        self.desk().jobs.insert(slot, job);
        self.shared.1.notify_one();
    }

    /// Ends the thread after what it does now.
    pub fn close(&self) {
        self.desk().closed = true;
        self.shared.1.notify_one();
    }

    fn put_back(&self, slot: Slot, job: Job) {
        self.desk().jobs.entry(slot).or_insert(job);
    }

    /// Waits for something to do: what the operator looks at before sums, new reads before long searches.
    fn take(&self) -> Option<(Slot, Job)> {
        let mut desk = self.desk();
        loop {
            if desk.closed {
                return None;
            }
            let first = desk
                .jobs
                .iter()
                .min_by_key(|(slot, job)| (job.begun, **slot == Slot::Overview))
                .map(|(slot, _)| *slot);
            if let Some(slot) = first
                && let Some(job) = desk.jobs.remove(&slot)
            {
                return Some((slot, job));
            }
            desk = self
                .shared
                .1
                .wait(desk)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Thread<Report> {
    database: PathBuf,
    reader: Option<Reader>,
    /// The configuration that the console has.
    config: Arc<Config>,
    /// Hash of the one that was looked for last.
    known: i64,
    report: Report,
    shown: Instant,
}

impl<Report: Fn(Input)> Thread<Report> {
    /// Answers a job, or a piece of it; gives back what is left to do.
    fn serve(&mut self, slot: Slot, mut job: Job) -> Option<Job> {
        let seq = job.seq;
        let result = match self.read(&mut job) {
            Ok(Some(loaded)) => Ok(loaded),
            Ok(None) => return Some(job),
            Err(text) => {
                // It may have been moved or restored under us.
                self.reader = None;
                Err(text)
            }
        };
        let partial = matches!(&result, Ok(Loaded::Deliveries { done: false, .. }));
        if let Ok(Loaded::Overview(overview, _)) = &result {
            self.follow_config(overview.config);
        }
        (self.report)(Input::Loaded { slot, seq, result });
        partial.then_some(job)
    }

    fn read(&mut self, job: &mut Job) -> Result<Option<Loaded>, String> {
        let reader = if let Some(reader) = &self.reader {
            reader
        } else {
            let opened = Reader::open(&self.database).map_err(|error| error.to_string())?;
            self.reader.insert(opened)
        };
        let query = job.query.clone();
        let loaded = match query {
            Query::Deliveries {
                filter,
                cursor,
                limit,
            } => {
                return search(reader, job, &filter, cursor, limit, &mut self.shown);
            }
            Query::Overview => reader.overview().map(|overview| {
                let tokens = health::all(&self.config, overview.at);
                Loaded::Overview(Box::new(overview), tokens)
            }),
            Query::Dead => reader.dead_groups().map(Loaded::Dead),
            Query::Delivery(id) => reader
                .delivery(id)
                .map(|detail| Loaded::Delivery(id, detail.map(Box::new))),
            Query::Log(before) => reader.log(before, LOG_PAGE).map(Loaded::Log),
            Query::Runs => runs(reader),
            Query::Plan(id) => reader
                .plan(id)
                .map(|data| Loaded::Plan(id, data.map(Box::new))),
            Query::Differences(run) => reader
                .differences(run, ROWS)
                .map(|rows| Loaded::Differences(run, rows)),
            Query::Batches => reader.batches(ROWS).map(Loaded::Batches),
            Query::Left => reader.notes(&NoteFilter::default(), ROWS).map(|mut notes| {
                notes.retain(|note| note.kind == NoteKind::Stripped);
                Loaded::Left(notes)
            }),
            Query::Incidents => reader.incidents(ROWS).map(Loaded::Incidents),
            Query::Incident(id) => reader.incident(id).map(|detail| {
                let runbook = detail.as_ref().map(|one| runbook_of(&one.incident));
                Loaded::Incident(id, detail.map(Box::new), runbook)
            }),
            Query::Reviews => reviews(reader),
            Query::Held => reader.held_groups().map(Loaded::Held),
            Query::HeldEvents(group) => reader
                .held_events(Some(&HeldScope::Group(group)), None, ROWS)
                .map(|rows| Loaded::HeldEvents(group, rows)),
            Query::HeldEvent(id) => reader
                .held_event(id)
                .map(|detail| Loaded::HeldEvent(id, detail.map(Box::new))),
            Query::Lineage(id) => lineage(reader, id),
            Query::Story(record) => recorded(reader, record),
            Query::Found(text) => reader
                .record_search(None, &text, ROWS)
                .map(|rows| Loaded::Found(text, rows)),
            Query::About(id) => reader
                .delivery(id)
                .map(|detail| Loaded::About(id, detail.map(|d| d.about).unwrap_or_default())),
        };
        loaded.map(Some).map_err(|error| error.to_string())
    }

    /// After a reload, names, owners and thresholds come from the configuration that the worker has.
    fn follow_config(&mut self, hash: i64) {
        if hash == self.known || hash == 0 {
            return;
        }
        let text = self
            .reader
            .as_ref()
            .and_then(|reader| reader.config_text(hash).ok().flatten());
        if let Some(text) = text
            && let Ok(loaded) = crate::config::parse(&text, &self.config.file)
        {
            self.config = Arc::new(loaded.config);
            (self.report)(Input::Config(Arc::clone(&self.config)));
        }
        // Asked once for each: what cannot be read now is not read better next second.
        self.known = hash;
    }
}

/// Fields that wait for a decision, those that were decided a while ago, and deliveries that are held.
fn reviews(reader: &Reader) -> Result<Loaded, ReadError> {
    let mut fields = reader.reviews(true, ROWS)?;
    let decided = reader.reviews(false, DECIDED)?;
    fields.extend(decided.into_iter().filter(|row| row.decided.is_some()));
    let held = Filter {
        states: vec![State::Held],
        ..Filter::default()
    };
    let (deliveries, _) = reader.deliveries(&held, Cursor::Newest, DELIVERIES)?;
    Ok(Loaded::Reviews(fields, deliveries))
}

/// The newest runs, how far those under way are, and the newest plans.
fn runs(reader: &Reader) -> Result<Loaded, ReadError> {
    let runs = reader.runs(None, ROWS)?;
    let mut sides = Vec::new();
    for run in runs.iter().filter(|run| run.ended.is_none()) {
        sides.extend(reader.sides(run.id)?);
    }
    Ok(Loaded::Runs(runs, sides, reader.plans(None, PLANS)?))
}

/// A record's story, with what of it is or was for review.
fn recorded(reader: &Reader, record: RecordId) -> Result<Loaded, ReadError> {
    let story = reader.story(&record.kind, &record.key, ROWS)?;
    let reviews = reader.reviews_of(&record.kind, &record.key, ROWS)?;
    Ok(Loaded::Story(record, story.map(Box::new), reviews))
}

/// What belongs together with a delivery's event, and what was noticed on its path.
fn lineage(reader: &Reader, id: DeliveryId) -> Result<Loaded, ReadError> {
    let trace = reader.trace(id.event())?;
    let path = reader.delivery(id)?.map(|detail| detail.row.path);
    let notes = match path {
        None => Vec::new(),
        path => {
            let filter = NoteFilter {
                path,
                ..NoteFilter::default()
            };
            reader.notes(&filter, NOTES)?
        }
    };
    Ok(Loaded::Lineage(id, trace, notes))
}

/// One piece of a search. None: nothing worth showing yet.
fn search(
    reader: &Reader,
    job: &mut Job,
    filter: &Filter,
    cursor: Cursor,
    limit: usize,
    shown: &mut Instant,
) -> Result<Option<Loaded>, String> {
    let from = job.next.unwrap_or(cursor);
    let wanted = limit.saturating_sub(job.found.len());
    let (rows, next) = reader
        .deliveries(filter, from, wanted)
        .map_err(|error| error.to_string())?;
    // Newest first, whichever way the search goes.
    if matches!(cursor, Cursor::Newer(_) | Cursor::Oldest) {
        job.found.splice(0..0, rows);
    } else {
        job.found.extend(rows);
    }
    let done = job.found.len() >= limit || next.is_none();
    job.next = next;
    if !job.begun {
        *shown = Instant::now();
    }
    job.begun = true;
    if !done && shown.elapsed() < PROGRESS {
        return Ok(None);
    }
    *shown = Instant::now();
    Ok(Some(Loaded::Deliveries {
        filter: Box::new(filter.clone()),
        cursor,
        rows: if done {
            std::mem::take(&mut job.found)
        } else {
            job.found.clone()
        },
        done,
    }))
}
