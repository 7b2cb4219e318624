//! The dispatcher: one task that takes turns. A turn settles what ended and claims what is due, in one commit; between turns
//! it begins attempts and takes their ends. It holds the brakes of all paths and is the only one that drives them.
//!
//! It never decides what a pure policy can decide (`breaker`, `decide`, `schedule`, `line`), never waits for the disk while
//! attempts could begin or end, and loses no settlement while the store fails. Spawned by the worker.

mod attempt;
mod flight;
mod keeper;
mod line;
mod observe;
mod records;
mod turns;
mod upsert;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::attempt::{End, Plan, Shared};
use self::flight::Flying;
use self::keeper::{Errand, Stored};
use self::line::{Hint, Line};
use self::observe::Observer;
use self::records::{Records, SETTLE};
use self::turns::InTurn;
use crate::config::live::Live;
use crate::config::model::{Lane, Mode};
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::ids::{DeliveryId, PathId};
use crate::queue::breaker::Brake;
use crate::queue::decide;
use crate::queue::model::{Claimed, Settlement};
use crate::remote::Remote;
use crate::store::{Started, Store};
use crate::time::Timestamp;
use crate::visible::Visible;

/// Attempts of pages under way at once: slots of their own, so that a page passes when work is stuck.
const PAGE_SLOTS: usize = 8;
/// The longest sleep: a step of the clock is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long attempts that are under way may go on after a stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How long settlements are still tried after that, while the store fails.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a failing store is left alone.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// A wall clock that is this much earlier than it was has been set back.
const SET_BACK: Duration = Duration::from_secs(2);
/// The most settlements of one turn.
const MOST_SETTLED: usize = 512;

/// A handle to the running dispatcher. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DispatchHandle {
    wake: Arc<Notify>,
    changed: mpsc::UnboundedSender<PathId>,
    drained: watch::Receiver<bool>,
}

impl DispatchHandle {
    /// Look for work now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// A path was paused, resumed, or had its breaker reset: read its state again.
    pub fn path_changed(&self, path: PathId) {
        // A dispatcher that has ended needs no news.
        let _ = self.changed.send(path);
    }

    /// Waits, after a stop, until everything that was under way is settled (or the dispatcher is gone).
    pub async fn drained(&self) {
        let mut drained = self.drained.clone();
        let _ = drained.wait_for(|drained| *drained).await;
    }
}

/// Starts the dispatcher. It ends some time after `stop`: claims stop at once, attempts under way get 30 s.
pub fn spawn(
    store: Store,
    live: Live,
    outbound: Outbound,
    started: Started,
    stop: CancellationToken,
) -> DispatchHandle {
    spawn_with(store, live, outbound, started, stop, DRAIN)
}

/// `spawn`, told how long a drain may take.
fn spawn_with(
    store: Store,
    live: Live,
    outbound: Outbound,
    started: Started,
    stop: CancellationToken,
    drain: Duration,
) -> DispatchHandle {
    let wake = store.work();
    let (changed, paths) = mpsc::unbounded_channel();
    let (done, drained) = watch::channel(false);
    let (errands, errand_inbox) = mpsc::unbounded_channel();
    let (stored, stored_inbox) = mpsc::unbounded_channel();
    let keeper = tokio::spawn(keeper::run(store.clone(), errand_inbox, stored));
    let dispatcher = Dispatcher::new(store, live, outbound, started, errands, drain);
    let handle = DispatchHandle {
        wake: Arc::clone(&wake),
        changed,
        drained,
    };
    tokio::spawn(async move {
        match dispatcher.shared.store.shapes().await {
            Ok(rows) => dispatcher.shared.observer.remember(rows),
            Err(error) => {
                tracing::warn!(error = %Visible::of(&error.to_string()), "what is remembered of answers could not be read; it begins anew");
            }
        }
        let shared = Arc::clone(&dispatcher.shared);
        dispatcher.run(&stop, &wake, paths, stored_inbox).await;
        shared.observer.flush();
        drop(shared);
        // The dispatcher, and with it the keeper's inbox, is gone: the keeper ends when it has stored what is left.
        let _ = tokio::time::timeout(STORE_PAUSE * 2, keeper).await;
        let _ = done.send(true);
    });
    handle
}

struct Dispatcher {
    shared: Arc<Shared>,
    live: Live,
    lines: Vec<Line>,
    index: HashMap<PathId, usize>,
    /// Brakes as stored at the start, of paths that are not (yet) configured.
    known: HashMap<PathId, Brake>,
    /// Paths in shadow mode that somebody let go live.
    went_live: HashSet<PathId>,
    tasks: JoinSet<End>,
    flying: HashMap<task::Id, Flying>,
    /// Claimed suspects: each waits until nothing else runs.
    suspects: VecDeque<Arc<Claimed>>,
    /// A suspect is under way: nothing else begins.
    alone: bool,
    /// Attempts under way by lane: work, pages.
    running: [usize; 2],
    /// `limits.concurrency`.
    work_slots: usize,
    /// Deliveries that wait for a system that is down and owns what they write, by the system.
    waiting_for: HashMap<String, HashSet<DeliveryId>>,
    /// Ended, not yet given to the store.
    pending: Vec<Settlement>,
    turn: Option<InTurn>,
    /// Smoothed duration of a turn.
    turn_time: Duration,
    /// Work was announced while a turn was under way: what that turn says of due times is old.
    asked: bool,
    /// The store failed: not before this.
    retry_at: Option<Instant>,
    /// Where the next round robin begins.
    cursor: usize,
    /// How often a path was given something to claim: see `Line::served`.
    served: u64,
    /// How long a drain may take.
    drain: Duration,
    /// When the drain ends, once it has begun.
    stopping: Option<Instant>,
    /// The drain is over: only settlements are left.
    cut: bool,
    /// Both clocks when last looked at.
    seen: (Instant, Timestamp),
    errands: mpsc::UnboundedSender<Errand>,
}

fn lane(plan: &Plan) -> usize {
    match plan.path.lane {
        Lane::Work | Lane::Repair => 0,
        Lane::Page => 1,
    }
}

impl Dispatcher {
    fn new(
        store: Store,
        live: Live,
        outbound: Outbound,
        started: Started,
        errands: mpsc::UnboundedSender<Errand>,
        drain: Duration,
    ) -> Self {
        let clock = store.clock();
        let engine = Engine::new();
        let inherited = started.unsettled.and_then(|at| {
            let left = SETTLE.saturating_sub(clock.now().since(at));
            std::time::Instant::now().checked_add(left)
        });
        let went_live = {
            let runtime = live.borrow();
            let paths = runtime.config.paths.iter();
            paths
                .filter(|path| path.mode == Mode::Shadow)
                .filter_map(|path| runtime.id(&path.name))
                .filter(|id| !started.shadow.contains(id))
                .collect()
        };
        Self {
            went_live,
            lines: Vec::new(),
            index: HashMap::new(),
            known: started
                .paths
                .into_iter()
                .map(|(id, _, pause, breaker)| (id, Brake::new(pause, breaker)))
                .collect(),
            tasks: JoinSet::new(),
            flying: HashMap::new(),
            suspects: VecDeque::new(),
            alone: false,
            running: [0; 2],
            work_slots: 1,
            waiting_for: HashMap::new(),
            pending: Vec::new(),
            turn: None,
            turn_time: Duration::from_millis(5),
            asked: false,
            retry_at: None,
            cursor: 0,
            served: 0,
            drain,
            stopping: None,
            cut: false,
            seen: (Instant::now(), clock.now()),
            shared: Arc::new(Shared {
                store,
                clock,
                remote: Remote::new(live.clone(), outbound.clone(), engine.clone()),
                outbound,
                engine,
                records: Records::default(),
                observer: Observer::new(errands.clone()),
                inherited,
            }),
            live,
            errands,
        }
    }

    async fn run(
        mut self,
        stop: &CancellationToken,
        wake: &Notify,
        mut paths: mpsc::UnboundedReceiver<PathId>,
        mut stored: mpsc::UnboundedReceiver<Stored>,
    ) {
        self.configure();
        loop {
            self.watch_clock();
            self.owners_back();
            self.begin();
            let later = self.take_turn();
            if self.is_done() {
                return;
            }
            let until = self.stopping.map_or(later, |deadline| later.min(deadline));
            tokio::select! {
                biased;
                () = stop.cancelled(), if self.stopping.is_none() => self.stop(),
                result = turns::ended(&mut self.turn) => self.turned(result),
                Some(joined) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    self.landed(joined);
                    while self.pending.len() < MOST_SETTLED
                        && let Some(joined) = self.tasks.try_join_next_with_id()
                    {
                        self.landed(joined);
                    }
                }
                Some(path) = paths.recv() => self.reread(path),
                Some(row) = stored.recv() => self.restored(row),
                Ok(()) = self.live.changed() => self.configure(),
                () = wake.notified() => self.ask_all(),
                () = tokio::time::sleep_until(until) => self.overdue(),
            }
        }
    }

    /// Takes the configuration in force over. What is under way goes on as it began.
    fn configure(&mut self) {
        let runtime = Arc::clone(&self.live.borrow_and_update());
        self.work_slots = runtime.config.limits.concurrency.max(1);
        let mut old: HashMap<PathId, Line> = self
            .lines
            .drain(..)
            .map(|line| (line.plan.id, line))
            .collect();
        for plan in Plan::all(&runtime) {
            let id = plan.id;
            let mut line = match old.remove(&id) {
                Some(mut line) => {
                    line.plan = plan;
                    line
                }
                None => Line::new(plan, self.known.remove(&id).unwrap_or_default()),
            };
            line.hint = Hint::Ask;
            if line.plan.path.mode == Mode::Live {
                // Who is set back to shadow mode later is not live any more.
                self.went_live.remove(&id);
            }
            line.shadow = line.plan.path.mode == Mode::Shadow && !self.went_live.contains(&id);
            if line.plan.path.lane != Lane::Page {
                let system = &line.plan.path.to;
                line.budget = Some(self.shared.outbound.budget(system));
                line.limited =
                    runtime.config.systems.get(system).is_some_and(|system| {
                        system.limit.is_some() || system.limit_headers.is_some()
                    });
            }
            self.lines.push(line);
        }
        // Paths that are gone: what was claimed goes back, what is under way is settled when it ends.
        for (id, line) in old {
            self.pending.extend(
                line.waiting
                    .iter()
                    .map(|claimed| decide::hand_back(claimed)),
            );
            self.known.insert(id, line.brake);
        }
        self.index = self
            .lines
            .iter()
            .enumerate()
            .map(|(index, line)| (line.plan.id, index))
            .collect();
        let mut running = vec![0; self.lines.len()];
        for flying in self.flying.values() {
            if let Some(index) = self.index.get(&flying.plan.id) {
                running[*index] += 1;
            }
        }
        for (line, running) in self.lines.iter_mut().zip(running) {
            line.running = running;
        }
    }

    fn line(&mut self, path: PathId) -> Option<&mut Line> {
        let index = *self.index.get(&path)?;
        self.lines.get_mut(index)
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Nothing more will happen: stopped, all settled.
    fn is_done(&self) -> bool {
        self.stopping.is_some()
            && self.tasks.is_empty()
            && self.pending.is_empty()
            && self.turn.is_none()
    }

    /// The store says that there is work, but not where. A turn under way may have looked before that.
    fn ask_all(&mut self) {
        self.asked = self.turn.is_some();
        for line in &mut self.lines {
            line.hint = Hint::Ask;
        }
    }

    /// A wall clock that was set back would let due times lie in a far future: they are moved with it.
    fn watch_clock(&mut self) {
        let (mono, wall) = (Instant::now(), self.now());
        let (mono_before, wall_before) = self.seen;
        self.seen = (mono, wall);
        if wall + SET_BACK >= wall_before {
            return;
        }
        let by = (wall_before + mono.duration_since(mono_before)).since(wall);
        tracing::warn!(by = %crate::time::short(by), "the clock was set back; due times are moved with it");
        for line in &self.lines {
            self.errand(Errand::Hasten(line.plan.id, wall, by));
        }
        self.ask_all();
    }

    fn errand(&self, errand: Errand) {
        // The keeper ends only after the dispatcher.
        let _ = self.errands.send(errand);
    }
}

#[cfg(test)]
mod tests;
