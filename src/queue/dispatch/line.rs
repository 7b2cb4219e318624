//! What the dispatcher knows of one path while it runs: brakes, what is under way, what is claimed and not yet begun, and
//! when to ask the store again. Plain data and plain questions; no I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Plan;
use crate::queue::breaker::{Brake, Gate};
use crate::queue::budget::Budget;
use crate::queue::model::Claimed;
use crate::queue::schedule;
use crate::time::Timestamp;

/// How many times a path's concurrency may be claimed ahead, where attempts are much faster than commits.
const MOST_AHEAD: f64 = 8.0;

/// When a path may have something to claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Not known: ask the store.
    Ask,
    /// Not before this.
    At(Timestamp),
    /// Nothing, until the store says that there is work.
    Nothing,
}

/// One path at work.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) plan: Arc<Plan>,
    pub(super) brake: Brake,
    /// Raised with each change of the brakes, so that a state read before is known to be old.
    pub(super) version: u64,
    /// The receiving system's budget; none for pages.
    pub(super) budget: Option<Budget>,
    /// It is in shadow mode, and nobody let it go live: nothing is sent.
    pub(super) shadow: bool,
    /// The system has a rate limit: nothing is claimed ahead.
    pub(super) limited: bool,
    /// Attempts under way.
    pub(super) running: usize,
    /// Claimed, not begun.
    pub(super) waiting: VecDeque<Arc<Claimed>>,
    pub(super) hint: Hint,
    /// When it was last given something to claim, in the dispatcher's count of such gifts: who waited longest comes first.
    pub(super) served: u64,
    /// Smoothed duration of an attempt in seconds.
    pace: Option<f64>,
}

/// What a path can take now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Free slots of the path that could begin at once.
    pub(super) slots: usize,
    /// Beyond them: claims that would begin as soon as a slot is free.
    pub(super) ahead: usize,
    /// It is the probe of a stopped path: it comes before all others.
    pub(super) probe: bool,
}

/// When to look again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Later {
    /// At a wall-clock time.
    Wall(Timestamp),
    /// At a monotonic time.
    Mono(Instant),
}

impl Line {
    pub(super) fn new(plan: Arc<Plan>, brake: Brake) -> Self {
        Self {
            plan,
            brake,
            version: 0,
            budget: None,
            shadow: false,
            limited: false,
            running: 0,
            waiting: VecDeque::new(),
            hint: Hint::Ask,
            served: 0,
            pace: None,
        }
    }

    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        self.brake.gate(now, &self.plan.path.breaker)
    }

    /// What may be claimed now, and if nothing, when to look again (none: when something happens).
    /// `turn` is how long the store takes for a turn.
    pub(super) fn room(&self, now: Timestamp, turn: Duration) -> Result<Room, Option<Later>> {
        match self.hint {
            Hint::Nothing => return Err(None),
            Hint::At(due) => {
                if !schedule::wait(now, due, self.plan.longest_wait()).is_zero() {
                    return Err(Some(Later::Wall(due)));
                }
            }
            Hint::Ask => {}
        }
        let busy = self.running + self.waiting.len();
        let mut room = match self.gate(now) {
            Gate::Shut(until) => return Err(until.map(Later::Wall)),
            Gate::Probe if busy > 0 => return Err(None),
            Gate::Probe => Room {
                slots: 1,
                ahead: 0,
                probe: true,
            },
            Gate::Flow => Room {
                slots: self.plan.path.concurrency.saturating_sub(busy),
                ahead: self.ahead(turn).saturating_sub(self.waiting.len()),
                probe: false,
            },
        };
        if let Some(budget) = &self.budget {
            let tokens = budget.available();
            if tokens == 0 {
                return Err(budget.next().map(Later::Mono));
            }
            room.slots = room.slots.min(tokens);
        }
        if room.slots == 0 && room.ahead == 0 {
            return Err(None);
        }
        Ok(room)
    }

    /// How many attempts end while the store takes two turns: so many are claimed ahead, so that no slot stands idle. (What
    /// a turn claims comes at its end, and must last until the next one's.) None where attempts are slower than that: what
    /// is claimed cannot be cancelled or paused any more.
    fn ahead(&self, turn: Duration) -> usize {
        match self.pace {
            Some(pace) if !self.limited && self.running > 0 => {
                let rounds = (2.0 * turn.as_secs_f64() / pace.max(1e-6)).min(MOST_AHEAD);
                (rounds * self.plan.path.concurrency as f64) as usize
            }
            _ => 0,
        }
    }

    /// Takes the duration of an attempt into account.
    pub(super) fn took(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.pace = Some(match self.pace {
            Some(pace) => pace + (seconds - pace) / 8.0,
            None => seconds,
        });
    }
}

/// Shares `free` slots (or tokens) among paths that could use `wanted[i]` each: round robin, one at a time, in the given
/// order. Returns each path's share. Nobody gets more than wanted, and shares differ by more than one only where less was
/// wanted.
pub(super) fn share(wanted: &[usize], mut free: usize, order: &[usize]) -> Vec<usize> {
    let mut shares = vec![0; wanted.len()];
    let mut hungry: Vec<usize> = order
        .iter()
        .copied()
        .filter(|index| wanted[*index] > 0)
        .collect();
    while free > 0 && !hungry.is_empty() {
        // A whole round at once where there is enough for all.
        let round = (free / hungry.len()).max(1);
        hungry.retain(|index| {
            let take = round.min(wanted[*index] - shares[*index]).min(free);
            shares[*index] += take;
            free -= take;
            shares[*index] < wanted[*index] && free > 0
        });
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_are_shared_fairly() {
        for (wanted, free, order, shares) in [
            (&[10, 10, 10][..], 9, &[0, 1, 2][..], &[3, 3, 3][..]),
            (&[1, 10, 10], 9, &[0, 1, 2], &[1, 4, 4]),
            (&[10, 0, 10], 3, &[0, 1, 2], &[2, 0, 1]),
            (&[10, 0, 10], 3, &[2, 0, 1], &[1, 0, 2]),
            (&[10, 10, 10], 9, &[0, 2], &[5, 0, 4]),
            (&[5], 100, &[0], &[5]),
            (&[], 5, &[], &[]),
            (&[3, 3], 0, &[0, 1], &[0, 0]),
        ] {
            assert_eq!(
                share(wanted, free, order),
                shares,
                "{wanted:?} {free} {order:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_slot_is_wasted_and_nobody_starves(wanted in proptest::collection::vec(0_usize..50, 1..20), free in 0_usize..200, first in 0_usize..20) {
            let order: Vec<usize> = (0..wanted.len()).map(|at| (first + at) % wanted.len()).collect();
            let shares = share(&wanted, free, &order);
            prop_assert_eq!(shares.iter().sum::<usize>(), free.min(wanted.iter().sum()));
            let most = shares.iter().copied().max().unwrap_or(0);
            for (share, wanted) in shares.iter().zip(&wanted) {
                prop_assert!(share <= wanted);
                prop_assert!(share == wanted || share + 1 >= most, "{:?} of {:?}", shares, wanted);
            }
        }
    }
}
