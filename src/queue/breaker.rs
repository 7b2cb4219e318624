//! The brakes of one path: its breaker, the pauses that the machine makes and heals, and the run of refused records that
//! says "a bad deploy, not bad data". A state machine over `Breaker` and `Pause`; it never reads a clock and stores
//! nothing: what changed is returned as notices. Owned by the dispatcher, one per path; applied through `decide`.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::model::BreakerPolicy;
use crate::ids::DeliveryId;
use crate::queue::model::{Class, Fence};
use crate::store::view::{Breaker, Pause, Severity};
use crate::time::{Timestamp, short};

/// How the reason of a pause begins that the machine made because the receiver refused our credentials.
pub const SHUT_OUT: &str = "the receiver does not let us in";

/// How the reason of a breaker that opened on refused records ends; it is how a restarted worker knows such a breaker.
const REFUSED: &str = "different records were refused with no success between";

/// A run of refusals this long is as good as endless: with a higher limit it is not kept at all.
const LONGEST_RUN: u32 = 10_000;

/// The window is kept in this many slices.
const SLICES: u32 = 10;

/// What the dispatcher may start on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// As much as fits.
    Flow,
    /// One attempt with nothing beside it.
    Probe,
    /// Nothing; ask again at that time, or when somebody resumes it.
    Shut(Option<Timestamp>),
}

/// Something to store, log and show.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What changed.
    pub change: Change,
    /// How much it matters.
    pub severity: Severity,
    /// In words; nothing from outside but a status.
    pub text: String,
    /// To be stored and shown, but no line of its own in the log: a probe in an outage that has its line already.
    pub quiet: bool,
}

/// The part of a path's state that changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The breaker.
    Breaker(Breaker),
    /// The machine's pause: made, or lifted.
    Pause(Option<Pause>),
}

/// A refused record, remembered so that its delivery can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Hash of what identifies the record (order key, subject or event id).
    pub record: u64,
    /// Its delivery.
    pub delivery: DeliveryId,
    /// The fence of the attempt that was refused.
    pub fence: Fence,
}

/// One outcome, as the brakes see it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// Its class.
    pub class: Class,
    /// A status was read: someone answered.
    pub answered: bool,
    /// It was let through alone to see whether the path has healed.
    pub probe: bool,
    /// The record, for the run of refusals.
    pub record: Refused,
    /// Why, for a pause: words of our own and a status.
    pub why: &'a str,
}

/// What the brakes make of an outcome.
#[derive(Debug, Default, PartialEq)]
pub struct Ruling {
    /// The refused (or unauthorised) delivery goes back to ready, uncharged.
    pub back: bool,
    /// Earlier refusals of the run, which go back as well.
    pub take_back: Vec<Refused>,
    /// What changed.
    pub notices: Vec<Notice>,
}

/// The brakes of one path.
#[derive(Debug, Clone, Default)]
pub struct Brake {
    breaker: Breaker,
    pause: Option<Pause>,
    /// When the machine's pause is probed next.
    next_probe: Timestamp,
    /// (start of slice, attempts, failures), oldest first.
    window: VecDeque<(Timestamp, u32, u32)>,
    /// Distinct records refused since the last success.
    run: Vec<Refused>,
}

impl Brake {
    /// The brakes as they were stored. A machine's pause is probed at once: the cause may have gone while no worker ran.
    pub fn new(pause: Option<Pause>, breaker: Breaker) -> Self {
        Self {
            breaker,
            pause,
            ..Self::default()
        }
    }

    /// The breaker, to show or store.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The pause, to show or store.
    pub fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// Takes what an operator (or another part) stored: a pause, its end, a breaker that was reset.
    pub fn replace(&mut self, pause: Option<Pause>, breaker: Breaker) {
        if breaker == Breaker::Closed && self.breaker != Breaker::Closed {
            self.window.clear();
            self.run.clear();
        }
        if pause != self.pause {
            self.next_probe = Timestamp::ZERO;
        }
        self.pause = pause;
        self.breaker = breaker;
    }

    /// What may be started now.
    pub fn gate(&self, now: Timestamp, policy: &BreakerPolicy) -> Gate {
        // A time further away than one cooldown was made under another policy, or by a clock that was set back since.
        let from = |time: Timestamp| {
            if time > now && time.since(now) <= policy.cooldown {
                Gate::Shut(Some(time))
            } else {
                Gate::Probe
            }
        };
        match (&self.pause, &self.breaker) {
            (Some(pause), _) if pause.by_person => Gate::Shut(None),
            (Some(_), _) => from(self.next_probe),
            (None, Breaker::Closed) => Gate::Flow,
            (None, Breaker::Open { until, .. }) => from(*until),
            (None, Breaker::HalfOpen { .. }) => Gate::Probe,
        }
    }

    /// A probe starts: an open breaker is half-open from here on.
    pub fn probing(&mut self, now: Timestamp, policy: &BreakerPolicy) -> Option<Notice> {
        if self.pause.is_some() {
            self.next_probe = now + policy.cooldown;
            return None;
        }
        let Breaker::Open { since, reason, .. } = &self.breaker else {
            return None;
        };
        self.breaker = Breaker::HalfOpen {
            since: *since,
            reason: reason.clone(),
        };
        Some(self.probe_notice("one delivery probes the receiver".to_owned()))
    }

    /// Takes one outcome into account.
    pub fn record(&mut self, now: Timestamp, policy: &BreakerPolicy, outcome: Outcome) -> Ruling {
        let mut ruling = Ruling::default();
        match outcome.class {
            Class::Delivered | Class::Withheld => {
                self.run.clear();
                self.count(now, policy, false);
                if outcome.probe {
                    self.heal(&mut ruling);
                }
            }
            Class::Transient | Class::Unknown => {
                self.count(now, policy, true);
                let (attempts, failures) = self.counted();
                let rate = f64::from(failures) / f64::from(attempts.max(1));
                if self.breaker == Breaker::Closed {
                    if attempts >= policy.min.max(1) && rate >= policy.rate {
                        let reason = format!(
                            "{failures} of {attempts} attempts failed within {}",
                            short(policy.window)
                        );
                        ruling.notices.push(self.open(now, policy, reason));
                    }
                } else if outcome.probe {
                    self.reopen(now, policy, &mut ruling);
                }
            }
            // The receiver is alive and says when to come back: the budget obeys, the breaker has nothing to learn.
            Class::Throttled => {}
            Class::Rejected | Class::Permanent => {
                self.refused(now, policy, outcome, &mut ruling);
            }
            Class::Auth | Class::Gone => {
                ruling.back = true;
                if self.pause.is_none() {
                    let reason = match outcome.class {
                        Class::Gone => {
                            format!("the receiver says that it is gone ({})", outcome.why)
                        }
                        _ => format!("{SHUT_OUT} ({})", outcome.why),
                    };
                    self.pause = Some(Pause {
                        by_person: false,
                        by: "midwatch".to_owned(),
                        reason: reason.clone(),
                        since: now,
                    });
                    self.next_probe = now + policy.cooldown;
                    ruling.notices.push(Notice {
                        change: Change::Pause(self.pause.clone()),
                        severity: Severity::Critical,
                        text: format!(
                            "paused: {reason}; one delivery probes it every {}",
                            short(policy.cooldown)
                        ),
                        quiet: false,
                    });
                }
            }
        }
        ruling
    }

    /// A record was refused for good: bad data, or a receiver (or a template) that now refuses everything?
    fn refused(
        &mut self,
        now: Timestamp,
        policy: &BreakerPolicy,
        outcome: Outcome,
        ruling: &mut Ruling,
    ) {
        self.count(now, policy, false);
        match &self.breaker {
            Breaker::Closed if (1..=LONGEST_RUN).contains(&policy.refused) => {
                self.run
                    .retain(|earlier| earlier.record != outcome.record.record);
                self.run.push(outcome.record);
                if self.run.len() >= policy.refused as usize {
                    ruling.back = true;
                    ruling.take_back = std::mem::take(&mut self.run);
                    ruling.take_back.pop();
                    let reason = format!("{} {REFUSED}", ruling.take_back.len() + 1);
                    ruling.notices.push(self.open(now, policy, reason));
                }
            }
            Breaker::Closed => {}
            Breaker::Open { reason, .. } | Breaker::HalfOpen { reason, .. } => {
                if reason.ends_with(REFUSED) {
                    ruling.back = true;
                    if outcome.probe {
                        self.reopen(now, policy, ruling);
                    }
                } else if outcome.probe && outcome.answered {
                    // It was down and now answers: that it does not like this record is another matter.
                    self.heal(ruling);
                }
            }
        }
        if outcome.probe && outcome.answered && self.pause.is_some() {
            self.lift(ruling);
        }
    }

    /// A probe came back well: everything that the machine stopped goes on.
    fn heal(&mut self, ruling: &mut Ruling) {
        self.lift(ruling);
        if self.breaker != Breaker::Closed {
            self.breaker = Breaker::Closed;
            self.window.clear();
            self.run.clear();
            let text = "breaker closed: the receiver answers again".to_owned();
            ruling
                .notices
                .push(self.breaker_notice(Severity::Info, text));
        }
    }

    /// Ends the machine's own pause; never a person's.
    fn lift(&mut self, ruling: &mut Ruling) {
        if self.pause.as_ref().is_some_and(|pause| !pause.by_person) {
            self.pause = None;
            ruling.notices.push(Notice {
                change: Change::Pause(None),
                severity: Severity::Info,
                text: "resumed: the receiver lets us in again".to_owned(),
                quiet: false,
            });
        }
    }

    fn open(&mut self, now: Timestamp, policy: &BreakerPolicy, reason: String) -> Notice {
        let text = format!("breaker open for {}: {reason}", short(policy.cooldown));
        self.breaker = Breaker::Open {
            since: now,
            until: now + policy.cooldown,
            reason,
        };
        self.window.clear();
        self.run.clear();
        self.breaker_notice(Severity::Warning, text)
    }

    /// A probe failed: the same outage goes on.
    fn reopen(&mut self, now: Timestamp, policy: &BreakerPolicy, ruling: &mut Ruling) {
        if let Breaker::HalfOpen { since, reason } | Breaker::Open { since, reason, .. } =
            &self.breaker
        {
            self.breaker = Breaker::Open {
                since: *since,
                until: now + policy.cooldown,
                reason: reason.clone(),
            };
            let text = format!(
                "the probe failed: breaker open for another {}",
                short(policy.cooldown)
            );
            ruling.notices.push(self.probe_notice(text));
        }
    }

    fn probe_notice(&self, text: String) -> Notice {
        Notice {
            quiet: true,
            ..self.breaker_notice(Severity::Info, text)
        }
    }

    fn breaker_notice(&self, severity: Severity, text: String) -> Notice {
        Notice {
            change: Change::Breaker(self.breaker.clone()),
            severity,
            text,
            quiet: false,
        }
    }

    /// Adds one attempt to the window and drops what has left it.
    fn count(&mut self, now: Timestamp, policy: &BreakerPolicy, failed: bool) {
        let slice = (policy.window / SLICES).max(Duration::from_millis(1));
        // A slice from the future: the clock was set back, and what we counted says nothing about now.
        if self.window.back().is_some_and(|(start, ..)| *start > now) {
            self.window.clear();
        }
        while self
            .window
            .front()
            .is_some_and(|(start, ..)| now.since(*start) >= policy.window + slice)
        {
            self.window.pop_front();
        }
        match self.window.back_mut() {
            Some((start, attempts, failures)) if now.since(*start) < slice => {
                *attempts = attempts.saturating_add(1);
                *failures = failures.saturating_add(u32::from(failed));
            }
            _ => self.window.push_back((now, 1, u32::from(failed))),
        }
    }

    /// (attempts, failures) in the window.
    fn counted(&self) -> (u32, u32) {
        self.window.iter().fold((0_u32, 0_u32), |sum, slice| {
            (sum.0.saturating_add(slice.1), sum.1.saturating_add(slice.2))
        })
    }
}

#[cfg(test)]
mod tests;
