//! The dispatcher's dealings with the store: what to claim, what to settle, what a turn brought, and what to do when the
//! disk refuses. Nothing here begins or ends an attempt.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::keeper::{Errand, Stored};
use super::line::{Hint, Later, Line, Room, share};
use super::{Dispatcher, LAST_WORDS, LONGEST_SLEEP, MOST_SETTLED, PAGE_SLOTS, STORE_PAUSE, lane};
use crate::config::model::Mode;
use crate::ids::PathId;
use crate::queue::breaker::Gate;
use crate::queue::decide;
use crate::queue::model::{Claimed, Settlement};
use crate::store::{StoreError, Turn, Want};
use crate::visible::Visible;

type TurnResult = Result<Turn, StoreError>;

/// A turn that the store is taking.
pub(super) struct InTurn {
    result: Pin<Box<dyn Future<Output = TurnResult> + Send>>,
    /// What it settles: kept until it is durable.
    settling: Vec<Settlement>,
    wants: Vec<Want>,
    began: Instant,
}

/// The end of the turn under way; never, if there is none.
pub(super) async fn ended(turn: &mut Option<InTurn>) -> TurnResult {
    match turn {
        Some(turn) => turn.result.as_mut().await,
        None => pending().await,
    }
}

impl Dispatcher {
    /// Begins a turn if there is something to settle or to claim, and none is under way. Returns when to look again.
    pub(super) fn take_turn(&mut self) -> Instant {
        let mono = Instant::now();
        let latest = mono + LONGEST_SLEEP;
        if self.turn.is_some() {
            return latest;
        }
        if let Some(at) = self.retry_at
            && at > mono
        {
            return at.min(latest);
        }
        // After a failure, what ended is settled first; only when the store takes that is anything new claimed.
        let settle_only = self.retry_at.is_some() && !self.pending.is_empty();
        let still = self.stopping.is_some() || self.alone || !self.suspects.is_empty();
        let (wants, later) = if settle_only || still {
            (Vec::new(), latest)
        } else {
            self.wants(mono, latest)
        };
        if wants.is_empty() && self.pending.is_empty() {
            return later;
        }
        let rest = self.pending.split_off(self.pending.len().min(MOST_SETTLED));
        let settling = std::mem::replace(&mut self.pending, rest);
        let store = self.shared.store.clone();
        let (settlements, wanted) = (settling.clone(), wants.clone());
        self.asked = false;
        self.turn = Some(InTurn {
            result: Box::pin(async move { store.turn(settlements, wanted).await }),
            settling,
            wants,
            began: mono,
        });
        later
    }

    /// What each path can take now, round robin, with its tokens taken; and when to look again.
    pub(super) fn wants(&mut self, mono: Instant, latest: Instant) -> (Vec<Want>, Instant) {
        let now = self.now();
        let mut until = latest;
        let rooms: Vec<Room> = self
            .lines
            .iter()
            .map(|line| match line.room(now, self.turn_time) {
                Ok(room) => room,
                Err(later) => {
                    until = until.min(match later {
                        // A millisecond more: the store compares whole ones.
                        Some(Later::Wall(at)) => mono + at.since(now) + Duration::from_millis(1),
                        Some(Later::Mono(at)) => at,
                        None => latest,
                    });
                    Room::default()
                }
            })
            .collect();
        (self.share_out(&rooms), until)
    }

    /// Shares slots and tokens among the paths that have room. A probe comes first, then who waited longest: where tokens
    /// are scarce, the paths of one system take turns.
    fn share_out(&mut self, rooms: &[Room]) -> Vec<Want> {
        let mut wants = Vec::new();
        if self.lines.is_empty() {
            return wants;
        }
        self.cursor = (self.cursor + 1) % self.lines.len();
        let mut order: Vec<usize> = (0..rooms.len())
            .filter(|index| rooms[*index].slots + rooms[*index].ahead > 0)
            .collect();
        order.sort_by_key(|index| (!rooms[*index].probe, self.lines[*index].served));
        let tokens = self.tokens(rooms, &order);
        let mut given = Vec::new();
        for of_lane in [0, 1] {
            let of_lane_order: Vec<usize> = order
                .iter()
                .copied()
                .filter(|index| lane(&self.lines[*index].plan) == of_lane)
                .collect();
            let slots: Vec<usize> = rooms
                .iter()
                .zip(&tokens)
                .map(|(room, tokens)| room.slots.min(*tokens))
                .collect();
            let free = self.slots(of_lane).saturating_sub(self.busy(of_lane));
            let shares = share(&slots, free, &of_lane_order);
            for index in of_lane_order {
                let mut count = (shares[index] + rooms[index].ahead).min(tokens[index]);
                let line = &self.lines[index];
                if let Some(budget) = &line.budget {
                    count = budget.take(count);
                }
                if count > 0 {
                    given.push((count, index));
                    wants.push(Want {
                        path: line.plan.id,
                        count,
                    });
                }
            }
        }
        // Who got least now comes first next time.
        given.sort_by_key(|(count, _)| *count);
        for (_, index) in given {
            self.served += 1;
            self.lines[index].served = self.served;
        }
        wants
    }

    /// How many tokens of its system's budget each path may take now, without taking them.
    fn tokens(&self, rooms: &[Room], order: &[usize]) -> Vec<usize> {
        let wanted: Vec<usize> = rooms.iter().map(|room| room.slots + room.ahead).collect();
        let mut tokens = wanted.clone();
        let mut systems: HashMap<&str, Vec<usize>> = HashMap::new();
        for index in order {
            let line = &self.lines[*index];
            if line.budget.is_some() {
                let system = line.plan.path.to.as_str();
                systems.entry(system).or_default().push(*index);
            }
        }
        for paths in systems.values() {
            let budget = paths
                .first()
                .and_then(|index| self.lines[*index].budget.as_ref());
            let Some(budget) = budget else { continue };
            let shares = share(&wanted, budget.available(), paths);
            for index in paths {
                tokens[*index] = shares[*index];
            }
        }
        tokens
    }

    /// Attempts of a lane that may be under way at once.
    pub(super) fn slots(&self, of_lane: usize) -> usize {
        if of_lane == 0 {
            self.work_slots
        } else {
            PAGE_SLOTS
        }
    }

    /// Attempts of a lane under way, or claimed and about to begin.
    fn busy(&self, of_lane: usize) -> usize {
        let waiting = |line: &Line| {
            if lane(&line.plan) == of_lane {
                line.waiting.len()
            } else {
                0
            }
        };
        self.running[of_lane] + self.lines.iter().map(waiting).sum::<usize>()
    }

    /// A turn came back.
    pub(super) fn turned(&mut self, result: TurnResult) {
        let Some(InTurn {
            settling,
            wants,
            began,
            ..
        }) = self.turn.take()
        else {
            return;
        };
        match result {
            Ok(turn) => {
                if self.retry_at.take().is_some() {
                    tracing::info!("the store takes what is settled again");
                }
                self.turn_time = (self.turn_time * 7 + began.elapsed()) / 8;
                if turn.late > 0 {
                    tracing::warn!(
                        late = turn.late,
                        "settlements came too late and changed nothing"
                    );
                }
                self.remember_waiting(&settling);
                self.claimed(turn, &wants);
            }
            Err(StoreError::Closed) => {
                // The writer is gone: what is under way is rescued, uncharged, by the next worker.
                tracing::error!("the store has closed under the dispatcher");
                self.stopping.get_or_insert(Instant::now());
                self.pending.clear();
                self.cut_off();
                self.pending.clear();
            }
            Err(error) => {
                if self.retry_at.is_none() {
                    tracing::error!(error = %Visible::of(&error.to_string()), kept = settling.len(), "the store refuses; what ended is kept and tried again each second");
                }
                self.retry_at = Some(Instant::now() + STORE_PAUSE);
                let newer = std::mem::replace(&mut self.pending, settling);
                self.pending.extend(newer);
                for want in &wants {
                    self.unused(want.path, want.count);
                }
            }
        }
    }

    /// Takes claims in, and what the store says of due times.
    fn claimed(&mut self, turn: Turn, wants: &[Want]) {
        let mut counts: HashMap<PathId, usize> = HashMap::new();
        for claimed in turn.claimed {
            *counts.entry(claimed.path).or_default() += 1;
            self.take_in(claimed);
        }
        for want in wants {
            let used = counts.get(&want.path).copied().unwrap_or(0);
            self.unused(want.path, want.count.saturating_sub(used));
        }
        let now = self.now();
        for (path, due) in turn.next_due {
            let asked = self.asked;
            let Some(line) = self.line(path) else {
                continue;
            };
            let latest = now + line.plan.longest_wait();
            line.hint = match due {
                _ if asked => Hint::Ask,
                None => Hint::Nothing,
                Some(due) if due <= latest => Hint::At(due),
                Some(_) => Hint::At(now + STORE_PAUSE),
            };
            if due.is_some_and(|due| due > latest) {
                // Due later than any wait can be: the clock was set back, perhaps while no worker ran.
                self.errand(Errand::Hasten(path, latest, Duration::MAX));
            }
        }
    }

    /// A claim begins when it can, runs alone if it is suspect, or goes back if nothing may run any more.
    fn take_in(&mut self, claimed: Claimed) {
        let now = self.now();
        let stopping = self.stopping.is_some();
        let line = self.line(claimed.path);
        match line {
            Some(line) if !stopping && !matches!(line.gate(now), Gate::Shut(_)) => {
                if claimed.suspect {
                    self.suspects.push_back(Arc::new(claimed));
                } else {
                    line.waiting.push_back(Arc::new(claimed));
                }
            }
            _ => {
                self.pending.push(decide::hand_back(&claimed));
                self.unused(claimed.path, 1);
            }
        }
    }

    /// Gives tokens back that no attempt used.
    pub(super) fn unused(&mut self, path: PathId, count: usize) {
        if count > 0
            && let Some(line) = self.line(path)
            && let Some(budget) = &line.budget
        {
            budget.give_back(count);
        }
    }

    /// Hands back what was claimed on a path that is shut now.
    pub(super) fn hand_back_if_shut(&mut self, path: PathId) {
        let now = self.now();
        let Some(line) = self.line(path) else { return };
        if !matches!(line.gate(now), Gate::Shut(_)) {
            return;
        }
        let waiting = std::mem::take(&mut line.waiting);
        self.unused(path, waiting.len());
        self.pending
            .extend(waiting.iter().map(|claimed| decide::hand_back(claimed)));
    }

    /// Asks for a path's state as stored.
    pub(super) fn reread(&mut self, path: PathId) {
        if let Some(line) = self.line(path) {
            let version = line.version;
            self.errand(Errand::Read(path, version));
        }
    }

    /// A path's state came, as somebody stored it.
    pub(super) fn restored(&mut self, row: Stored) {
        if row.shadow {
            self.went_live.remove(&row.path);
        } else {
            self.went_live.insert(row.path);
        }
        let Some(line) = self.line(row.path) else {
            return;
        };
        if line.version != row.version {
            // The brakes have moved since it was asked for; that change is stored by now.
            self.reread(row.path);
            return;
        }
        line.shadow = line.plan.path.mode == Mode::Shadow && row.shadow;
        line.brake.replace(row.pause, row.breaker);
        line.version += 1;
        line.hint = Hint::Ask;
        self.hand_back_if_shut(row.path);
    }

    /// No more claims: what was claimed goes back, what is under way gets its time.
    pub(super) fn stop(&mut self) {
        self.stopping = Some(Instant::now() + self.drain);
        for line in &mut self.lines {
            let waiting = std::mem::take(&mut line.waiting);
            self.pending
                .extend(waiting.iter().map(|claimed| decide::hand_back(claimed)));
        }
        let suspects = std::mem::take(&mut self.suspects);
        self.pending
            .extend(suspects.iter().map(|claimed| decide::hand_back(claimed)));
        tracing::info!(
            under_way = self.tasks.len(),
            "stopping: nothing more is claimed"
        );
    }

    /// The sleep is over. In a drain, its time may be.
    pub(super) fn overdue(&mut self) {
        let Some(deadline) = self.stopping else {
            return;
        };
        if Instant::now() < deadline {
            return;
        }
        if self.cut {
            tracing::error!(
                lost = self.pending.len(),
                "the store still refuses; the next worker finds these running, and attempts them again with the same key"
            );
            self.pending.clear();
            self.turn = None;
        } else {
            self.stopping = Some(Instant::now() + LAST_WORDS);
            self.cut_off();
        }
    }

    /// Ends what is still under way: its outcome is unknown, and costs nothing.
    fn cut_off(&mut self) {
        self.cut = true;
        self.tasks = JoinSet::new();
        let now = self.now();
        let flying: Vec<_> = self.flying.drain().map(|(_, flying)| flying).collect();
        for flying in flying {
            let ended = flying.plan.lost(
                &flying.claimed,
                flying.started_at,
                now,
                "interrupted by a shutdown",
                false,
            );
            self.pending.push(decide::interrupted(
                &flying.claimed,
                ended,
                &flying.plan.path,
            ));
        }
        self.running = [0; 2];
        self.alone = false;
    }
}
