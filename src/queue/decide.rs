//! From an attempt's end to what becomes of the delivery: the one place where class, schedule and brakes meet. Pure but for
//! the path's `Brake`, which it drives; called by `dispatch`, once for each claim.
//!
//! Deferral (by breaker, pause, limit or shutdown) never charges an attempt.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::config::model::Path;
use crate::queue::breaker::{Brake, Notice, Outcome, Refused};
use crate::queue::classify::Judged;
use crate::queue::fingerprint::fingerprint;
use crate::queue::model::{Answer, Attempt, Claimed, Class, Next, Settlement, Step};
use crate::queue::schedule::{self, Seed};
use crate::time::Timestamp;

/// An attempt that ended, before it is decided what that means for its delivery.
#[derive(Debug, Clone)]
pub struct Ended {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How long it took (monotonic).
    pub duration: Duration,
    /// Method and URL.
    pub target: (String, String),
    /// The idempotency key it carried.
    pub key: String,
    /// Hash of the configuration it ran under.
    pub config: i64,
    /// What its end means.
    pub judged: Judged,
    /// What is kept of the answer.
    pub answer: Answer,
    /// It was let through alone to see whether the path has healed.
    pub probe: bool,
    /// Its requests, where there were several.
    pub steps: Vec<Step>,
}

/// What follows from an attempt.
#[derive(Debug)]
pub struct Decision {
    /// The end of its claim.
    pub settlement: Settlement,
    /// Deliveries that died earlier of what now turns out to be the receiver's fault: they go back to ready.
    pub taken_back: Vec<Settlement>,
    /// Changes of breaker and pause, to be stored in this order.
    pub notices: Vec<Notice>,
}

/// Decides what becomes of a delivery after an attempt, and tells the path's brakes.
pub fn decide(claimed: &Claimed, ended: Ended, path: &Path, brake: &mut Brake) -> Decision {
    let now = ended.ended_at;
    let class = ended.judged.class;
    let why = match ended.judged.status {
        Some(status) => format!("HTTP {status}"),
        None => ended.judged.error.clone(),
    };
    let ruling = brake.record(
        now,
        &path.breaker,
        Outcome {
            class,
            answered: ended.judged.status.is_some(),
            probe: ended.probe,
            record: Refused {
                record: record(claimed),
                delivery: claimed.delivery,
                fence: claimed.fence,
            },
            why: &why,
        },
    );
    // What goes back waits one cooldown, so that another delivery is the next probe: one record that
    // is always refused must not keep a path shut.
    let back = Next::Retry {
        due: now + path.breaker.cooldown,
    };
    let (charged, next) = match class {
        Class::Delivered => (true, Next::Delivered),
        _ if ruling.back => (false, back),
        // A rule's word, which `ruled` takes; nothing was sent, so it may be tried again.
        Class::Withheld => (false, back),
        Class::Rejected | Class::Permanent | Class::Auth | Class::Gone => (
            true,
            Next::Dead {
                reason: ended.judged.error.clone(),
            },
        ),
        Class::Transient | Class::Throttled | Class::Unknown => {
            (true, again(claimed, &ended.judged, path, now))
        }
    };
    let taken_back = ruling
        .take_back
        .into_iter()
        .map(|earlier| Settlement {
            delivery: earlier.delivery,
            fence: earlier.fence,
            attempt: None,
            next: Next::Retry {
                due: now + path.breaker.cooldown,
            },
        })
        .collect();
    Decision {
        settlement: Settlement {
            delivery: claimed.delivery,
            fence: claimed.fence,
            attempt: Some(attempt(ended, path, charged)),
            next,
        },
        taken_back,
        notices: ruling.notices,
    }
}

/// What follows from an attempt that a rule ended: it is not charged. `answered`: the receiver answered its requests as it
/// should, which is good news for the brakes; else they are told nothing. Without any request there was no attempt.
pub fn ruled(
    claimed: &Claimed,
    ended: Ended,
    next: Next,
    answered: bool,
    path: &Path,
    brake: &mut Brake,
) -> Decision {
    let notices = if answered {
        let outcome = Outcome {
            class: Class::Delivered,
            answered,
            probe: ended.probe,
            record: Refused {
                record: record(claimed),
                delivery: claimed.delivery,
                fence: claimed.fence,
            },
            why: "",
        };
        brake.record(ended.ended_at, &path.breaker, outcome).notices
    } else {
        Vec::new()
    };
    let made = !ended.steps.is_empty() && !matches!(next, Next::Deferred { .. });
    Decision {
        settlement: Settlement {
            delivery: claimed.delivery,
            fence: claimed.fence,
            attempt: made.then(|| attempt(ended, path, false)),
            next,
        },
        taken_back: Vec::new(),
        notices,
    }
}

/// The next try of a delivery whose attempt failed, or its death when the budget is used up.
fn again(claimed: &Claimed, judged: &Judged, path: &Path, now: Timestamp) -> Next {
    let charged = claimed.charged.saturating_add(1);
    let seed = Seed {
        delivery: claimed.delivery,
        generation: claimed.fence.generation,
        attempt: claimed.fence.attempt.saturating_add(1),
    };
    match schedule::delay(&path.schedule, path.jitter, charged, judged.asked, seed) {
        Some(delay) => Next::Retry { due: now + delay },
        None => Next::Dead {
            reason: format!(
                "gave up after {charged} {}: {}",
                if charged == 1 { "attempt" } else { "attempts" },
                judged.error
            ),
        },
    }
}

fn attempt(ended: Ended, path: &Path, charged: bool) -> Attempt {
    let judged = ended.judged;
    Attempt {
        started_at: ended.started_at,
        duration: ended.duration,
        class: judged.class,
        status: judged.status,
        charged,
        fingerprint: (!matches!(judged.class, Class::Delivered | Class::Withheld))
            .then(|| fingerprint(&path.name, judged.class, judged.status, &judged.error)),
        error: judged.error,
        answer: ended.answer,
        target: ended.target,
        key: ended.key,
        config: ended.config,
        steps: ended.steps,
    }
}

/// A claim handed back before anything was sent: it stands where it stood.
pub fn hand_back(claimed: &Claimed) -> Settlement {
    Settlement {
        delivery: claimed.delivery,
        fence: claimed.fence,
        attempt: None,
        next: Next::Retry {
            due: claimed.due_at,
        },
    }
}

/// An attempt that was cut off by us (shutdown, a fault of our own) after it may have been sent: unknown, uncharged.
pub fn interrupted(claimed: &Claimed, ended: Ended, path: &Path) -> Settlement {
    Settlement {
        delivery: claimed.delivery,
        fence: claimed.fence,
        attempt: Some(attempt(ended, path, false)),
        next: Next::Retry {
            due: claimed.due_at,
        },
    }
}

/// What tells records apart: the subject where the event has one, else the event itself.
fn record(claimed: &Claimed) -> u64 {
    let mut hash = DefaultHasher::new();
    let event = &claimed.event;
    event.source.hash(&mut hash);
    match &event.subject {
        Some(subject) => subject.hash(&mut hash),
        None => event.id.hash(&mut hash),
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing;
    use crate::store::view::Breaker;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn ended(class: Class) -> Ended {
        Ended {
            started_at: NOW - Duration::from_millis(20),
            ended_at: NOW,
            duration: Duration::from_millis(20),
            target: ("POST".to_owned(), "http://crm.example/orders".to_owned()),
            key: "key".to_owned(),
            config: 7,
            judged: Judged {
                class,
                status: Some(500),
                asked: None,
                error: if class == Class::Delivered {
                    String::new()
                } else {
                    "no".to_owned()
                },
            },
            answer: Answer::default(),
            probe: false,
            steps: Vec::new(),
        }
    }

    /// A path with the delays 0, 5 s, 300 s and no jitter, that never opens by rate.
    fn path() -> Path {
        let mut path = testing::path("crm");
        path.breaker.min = u32::MAX;
        path.breaker.refused = 3;
        path
    }

    #[test]
    fn each_class_has_its_consequence() {
        let path = path();
        let cooldown = path.breaker.cooldown;
        let dead = |reason: &str| Next::Dead {
            reason: reason.to_owned(),
        };
        let at = |delay: Duration| Next::Retry { due: NOW + delay };
        let five = Duration::from_secs(5);
        for (class, charged_before, charged, next) in [
            (Class::Delivered, 0, true, Next::Delivered),
            (Class::Delivered, 2, true, Next::Delivered),
            (Class::Transient, 0, true, at(five)),
            (Class::Transient, 1, true, at(five * 60)),
            (
                Class::Transient,
                2,
                true,
                dead("gave up after 3 attempts: no"),
            ),
            (Class::Throttled, 0, true, at(five)),
            (Class::Unknown, 0, true, at(five)),
            (
                Class::Unknown,
                2,
                true,
                dead("gave up after 3 attempts: no"),
            ),
            (Class::Rejected, 0, true, dead("no")),
            (Class::Permanent, 0, true, dead("no")),
            (Class::Auth, 2, false, at(cooldown)),
            (Class::Gone, 2, false, at(cooldown)),
        ] {
            let mut claimed = testing::claimed(1);
            claimed.charged = charged_before;
            let decision = decide(&claimed, ended(class), &path, &mut Brake::default());
            let settled = decision.settlement;
            assert_eq!(settled.next, next, "{class}");
            assert_eq!(
                (settled.delivery, settled.fence),
                (claimed.delivery, claimed.fence)
            );
            let attempt = settled.attempt.expect("it was made");
            assert_eq!(
                (attempt.class, attempt.charged),
                (class, charged),
                "{class}"
            );
            assert_eq!(attempt.fingerprint.is_none(), class == Class::Delivered);
            let pauses = matches!(class, Class::Auth | Class::Gone);
            assert_eq!(decision.notices.len(), usize::from(pauses), "{class}");
        }
    }

    #[test]
    fn never_sooner_than_the_receiver_asked() {
        let mut late = ended(Class::Throttled);
        late.judged.asked = Some(Duration::from_secs(60));
        let decision = decide(&testing::claimed(1), late, &path(), &mut Brake::default());
        let due = NOW + Duration::from_secs(60);
        assert_eq!(decision.settlement.next, Next::Retry { due });
    }

    #[test]
    fn a_receiver_that_refuses_all_kills_no_backlog() {
        let path = path();
        let mut brake = Brake::default();
        let first: Vec<_> = (1..=2)
            .map(|n| {
                decide(
                    &testing::claimed(n),
                    ended(Class::Rejected),
                    &path,
                    &mut brake,
                )
            })
            .collect();
        assert!(
            first
                .iter()
                .all(|d| matches!(d.settlement.next, Next::Dead { .. }))
        );
        let third = decide(
            &testing::claimed(3),
            ended(Class::Rejected),
            &path,
            &mut brake,
        );
        assert!(matches!(third.settlement.next, Next::Retry { .. }));
        assert_eq!(third.settlement.attempt.map(|a| a.charged), Some(false));
        let taken: Vec<_> = third.taken_back.iter().map(|s| s.delivery).collect();
        assert_eq!(
            taken,
            [testing::claimed(1).delivery, testing::claimed(2).delivery]
        );
        assert!(matches!(brake.breaker(), Breaker::Open { .. }));
    }

    #[test]
    fn a_deferral_leaves_no_trace() {
        let mut claimed = testing::claimed(1);
        claimed.charged = 2;
        let settled = hand_back(&claimed);
        assert!(settled.attempt.is_none());
        assert_eq!(
            settled.next,
            Next::Retry {
                due: claimed.due_at
            }
        );

        let settled = interrupted(&claimed, ended(Class::Unknown), &path());
        assert_eq!(settled.attempt.map(|a| a.charged), Some(false));
        assert_eq!(
            settled.next,
            Next::Retry {
                due: claimed.due_at
            }
        );
    }

    #[test]
    fn a_rule_charges_nothing_and_tells_the_brakes_only_good_news() {
        let path = path();
        let step = Step {
            what: "lookup".to_owned(),
            method: "GET".to_owned(),
            url: "http://crm.example/orders".to_owned(),
            status: Some(200),
            millis: 5,
            note: "2 hits".to_owned(),
        };
        let review = Next::Review {
            reason: "two".to_owned(),
        };
        for (made, answered) in [(false, false), (true, false), (true, true)] {
            let mut brake = Brake::new(
                None,
                Breaker::HalfOpen {
                    since: NOW,
                    reason: "a test".to_owned(),
                },
            );
            let mut over = ended(Class::Delivered);
            over.probe = true;
            over.steps = made.then(|| step.clone()).into_iter().collect();
            let claimed = testing::claimed(1);
            let decision = ruled(&claimed, over, review.clone(), answered, &path, &mut brake);
            assert_eq!(decision.settlement.next, review);
            let charged = decision.settlement.attempt.map(|attempt| attempt.charged);
            assert_eq!(
                charged,
                made.then_some(false),
                "without a request there was no attempt"
            );
            assert_eq!(
                *brake.breaker() == Breaker::Closed,
                answered,
                "a probe that was answered heals"
            );
        }
    }
}
