//! The dispatcher's attempts: which begin, and what follows when they end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{self, JoinError};

use super::attempt::{self, Down, End, Plan, Ruled};
use super::keeper::Errand;
use super::line::Line;
use super::{Dispatcher, lane};
use crate::ids::PathId;
use crate::queue::breaker::{Brake, Gate, Notice};
use crate::queue::decide::{self, Ended};
use crate::queue::model::{Claimed, Class, Next, Settlement};
use crate::store::view::Breaker;
use crate::time::Timestamp;
use crate::visible::Visible;

/// How long a delivery waits whose rendered request could not be kept.
const NOT_KEPT: Duration = Duration::from_secs(1);

/// So many deliveries that wait for one owner are told when it is back; the others find it out by themselves.
const MOST_WAITING: usize = 10_000;

/// How long a system is left alone that throttles without saying for how long.
const UNSAID: Duration = Duration::from_secs(2);

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Flying {
    pub(super) claimed: Arc<Claimed>,
    pub(super) plan: Arc<Plan>,
    pub(super) started_at: Timestamp,
    pub(super) probe: bool,
}

impl Dispatcher {
    /// Begins what was claimed and has a slot, round robin over the paths. Suspects first, each with nothing beside it.
    pub(super) fn begin(&mut self) {
        if self.stopping.is_some() || self.alone {
            return;
        }
        if let Some(suspect) = self.suspects.pop_front() {
            if !self.tasks.is_empty() {
                self.suspects.push_front(suspect);
            } else if let Some(index) = self.index.get(&suspect.path).copied() {
                self.alone = true;
                self.fly(index, suspect, true);
            } else {
                self.pending.push(decide::hand_back(&suspect));
            }
            return;
        }
        let now = self.now();
        let mut begun = true;
        while begun {
            begun = false;
            for offset in 0..self.lines.len() {
                let index = (self.cursor + offset) % self.lines.len();
                let line = &self.lines[index];
                if line.waiting.is_empty() || line.running >= line.plan.path.concurrency {
                    continue;
                }
                let of_lane = lane(&line.plan);
                if self.running[of_lane] >= self.slots(of_lane) {
                    continue;
                }
                let free = match line.gate(now) {
                    Gate::Flow => true,
                    Gate::Probe => line.running == 0,
                    Gate::Shut(_) => false,
                };
                if free && let Some(claimed) = self.lines[index].waiting.pop_front() {
                    self.fly(index, claimed, false);
                    begun = true;
                }
            }
        }
    }

    /// Begins one attempt.
    fn fly(&mut self, index: usize, claimed: Arc<Claimed>, alone: bool) {
        let now = self.now();
        let line = &mut self.lines[index];
        let probe = line.gate(now) == Gate::Probe;
        let notice = probe
            .then(|| line.brake.probing(now, &line.plan.path.breaker))
            .flatten();
        let plan = Arc::clone(&line.plan);
        let shadow = line.shadow;
        line.running += 1;
        self.running[lane(&plan)] += 1;
        self.tell(claimed.path, notice);
        let flying = Flying {
            claimed: Arc::clone(&claimed),
            plan: Arc::clone(&plan),
            started_at: now,
            probe,
        };
        let shared = Arc::clone(&self.shared);
        let down = self.down(&plan);
        let task = self.tasks.spawn(async move {
            if alone {
                // Only what is known to run alone may be blamed for a crash.
                let marked = shared.store.mark_alone(claimed.delivery, claimed.fence);
                if marked.await.is_err() {
                    return End::NotSent;
                }
            }
            attempt::run(plan, claimed, shared, probe, shadow, down).await
        });
        self.flying.insert(task.id(), flying);
    }

    /// The systems that are down, where a field of what the plan writes says what follows from that: those to which a path
    /// is broken, or was paused by the machine.
    fn down(&self, plan: &Plan) -> Vec<Down> {
        let entity = plan.ends.as_ref().and_then(|ends| ends.entity.as_ref());
        let asks = entity.is_some_and(|entity| {
            let mut rules = entity.fields.values().chain(&entity.rest);
            rules.any(|rule| rule.when_owner_down.is_some())
        });
        if !asks {
            return Vec::new();
        }
        let down = |line: &Line| {
            Some(Down {
                system: line.plan.path.to.clone(),
                since: down_since(line)?,
            })
        };
        self.lines.iter().filter_map(down).collect()
    }

    /// What was settled is durable: what waits for an owner that is down is remembered, so that it need not wait for its poll.
    pub(super) fn remember_waiting(&mut self, settled: &[Settlement]) {
        for settlement in settled {
            let id = settlement.delivery;
            for waiting in self.waiting_for.values_mut() {
                waiting.remove(&id);
            }
            if let Next::Deferred { owner, .. } = &settlement.next {
                let waiting = self.waiting_for.entry(owner.clone()).or_default();
                if waiting.len() < MOST_WAITING {
                    waiting.insert(id);
                }
            }
        }
    }

    /// What waits for an owner that is back is due now.
    pub(super) fn owners_back(&mut self) {
        if self.waiting_for.is_empty() {
            return;
        }
        let lines = &self.lines;
        let is_down = |owner: &str| {
            let mut to = lines.iter().filter(|line| line.plan.path.to == owner);
            to.any(|line| down_since(line).is_some())
        };
        let back: Vec<String> = (self.waiting_for.keys())
            .filter(|owner| !is_down(owner))
            .cloned()
            .collect();
        for owner in back {
            let waiting = self.waiting_for.remove(&owner).unwrap_or_default();
            self.errand(Errand::Due(waiting.into_iter().collect()));
        }
    }

    /// An attempt's task ended: with an outcome, without having sent anything, or by a panic.
    pub(super) fn landed(&mut self, joined: Result<(task::Id, End), JoinError>) {
        let (id, end) = match joined {
            Ok((id, end)) => (id, Some(end)),
            Err(error) => {
                tracing::error!(error = %Visible::of(&error.to_string()), "an attempt's task failed; its outcome is unknown");
                (error.id(), None)
            }
        };
        let Some(flying) = self.flying.remove(&id) else {
            return;
        };
        self.alone = false;
        let of_lane = lane(&flying.plan);
        self.running[of_lane] = self.running[of_lane].saturating_sub(1);
        let path = flying.claimed.path;
        if let Some(line) = self.line(path) {
            line.running = line.running.saturating_sub(1);
        }
        match end {
            Some(End::Ended(ended)) => self.ended(&flying, *ended),
            Some(End::Ruled(ruled)) => self.ruled(&flying, *ruled),
            Some(End::Deferred(due)) => self.pending.push(Settlement {
                next: Next::Retry { due },
                ..decide::hand_back(&flying.claimed)
            }),
            Some(End::NotSent) => {
                let due = self.now() + NOT_KEPT;
                self.pending.push(Settlement {
                    next: Next::Retry { due },
                    ..decide::hand_back(&flying.claimed)
                });
                if flying.plan.ends.is_none() {
                    // (A mapped attempt gives back itself what it did not use.)
                    self.unused(path, 1);
                }
            }
            None => {
                let lost = flying.plan.lost(
                    &flying.claimed,
                    flying.started_at,
                    self.now(),
                    "midwatch itself failed during the attempt; the log says where",
                    flying.probe,
                );
                self.ended(&flying, lost);
            }
        }
    }

    /// Decides what follows from an attempt.
    fn ended(&mut self, flying: &Flying, ended: Ended) {
        let plan = &flying.plan;
        let path = flying.claimed.path;
        trace(flying, &ended);
        let (class, asked, duration) = (ended.judged.class, ended.judged.asked, ended.duration);
        let mut spare = Brake::default();
        let line = self.line(path);
        let known = line.is_some();
        let brake = match line {
            Some(line) => {
                line.took(duration);
                // A mapped attempt may have been throttled by its source: `remote` has told the right budget.
                if class == Class::Throttled
                    && plan.ends.is_none()
                    && let Some(budget) = &line.budget
                {
                    let unsaid = UNSAID.min(plan.path.retry_after_cap);
                    budget.throttled(asked.unwrap_or(unsaid));
                }
                &mut line.brake
            }
            // Its path was removed meanwhile: there is nothing left to brake.
            None => &mut spare,
        };
        let decision = decide::decide(&flying.claimed, ended, &plan.path, brake);
        self.decided(path, known, decision);
    }

    /// A rule has decided what becomes of the delivery: nothing is charged, and only what the receiver answered is told
    /// to the brakes.
    fn ruled(&mut self, flying: &Flying, ruled: Ruled) {
        let path = flying.claimed.path;
        let Ruled {
            ended,
            next,
            answered,
        } = ruled;
        if !ended.steps.is_empty() {
            trace(flying, &ended);
        } else if flying.plan.ends.is_none() {
            // Its token was taken with the claim, and not used.
            self.unused(path, 1);
        }
        let mut spare = Brake::default();
        let line = self.line(path);
        let known = line.is_some();
        let brake = line.map_or(&mut spare, |line| &mut line.brake);
        let decision = decide::ruled(
            &flying.claimed,
            ended,
            next,
            answered,
            &flying.plan.path,
            brake,
        );
        self.decided(path, known, decision);
    }

    fn decided(&mut self, path: PathId, known: bool, decision: decide::Decision) {
        let settlement = &decision.settlement;
        if !matches!(
            settlement.next,
            Next::Retry { .. } | Next::Wait { .. } | Next::Deferred { .. }
        ) {
            self.shared.records.settled(settlement.delivery);
        }
        self.pending.push(decision.settlement);
        self.pending.extend(decision.taken_back);
        if known && !decision.notices.is_empty() {
            self.tell(path, decision.notices);
            self.hand_back_if_shut(path);
        }
    }

    /// Has changes of the brakes stored and logged.
    fn tell(&mut self, path: PathId, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            if let Some(line) = self.line(path) {
                line.version += 1;
            }
            self.errand(Errand::Keep(path, notice));
        }
    }
}

/// Since when a path is broken, or paused by the machine; none if it is neither.
fn down_since(line: &Line) -> Option<Timestamp> {
    match line.brake.breaker() {
        Breaker::Open { since, .. } | Breaker::HalfOpen { since, .. } => Some(*since),
        Breaker::Closed => {
            let pause = line.brake.pause().filter(|pause| !pause.by_person);
            pause.map(|pause| pause.since)
        }
    }
}

/// The one line that each attempt leaves in the log: no payload, nothing from outside.
fn trace(flying: &Flying, ended: &Ended) {
    let claimed = &flying.claimed;
    tracing::info!(
        target: "midwatch::attempt",
        event = claimed.delivery.event().0,
        delivery = %claimed.delivery,
        path = %Visible::of(&flying.plan.path.name),
        generation = claimed.fence.generation,
        attempt = claimed.fence.attempt,
        class = ended.judged.class.word(),
        status = ended.judged.status,
        duration_ms = ended.duration.as_millis() as u64,
        key = ended.key,
        probe = ended.probe,
    );
}
