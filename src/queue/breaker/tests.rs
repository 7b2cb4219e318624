use super::*;
use crate::ids::EventId;
use proptest::prelude::*;

const POLICY: BreakerPolicy = BreakerPolicy {
    rate: 0.5,
    min: 4,
    window: Duration::from_secs(60),
    cooldown: Duration::from_secs(30),
    refused: 3,
};

const START: Timestamp = Timestamp(1_000_000);

fn refused(record: u64) -> Refused {
    Refused {
        record,
        delivery: DeliveryId::new(EventId(record as i64 + 1), 0),
        fence: Fence {
            epoch: 1,
            generation: 1,
            attempt: 1,
        },
    }
}

fn outcome(class: Class, record: u64) -> Outcome<'static> {
    Outcome {
        class,
        answered: !matches!(class, Class::Transient | Class::Unknown),
        probe: false,
        record: refused(record),
        why: "HTTP 401",
    }
}

fn probe(class: Class, record: u64) -> Outcome<'static> {
    Outcome {
        probe: true,
        ..outcome(class, record)
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A brake that opened at `START` because the receiver failed.
fn failing() -> Brake {
    let mut brake = Brake::default();
    for n in 0..4 {
        brake.record(START, &POLICY, outcome(Class::Transient, n));
    }
    brake
}

#[test]
fn it_opens_on_the_rate_once_enough_was_tried() {
    let mut brake = Brake::default();
    for n in 0..3 {
        let ruling = brake.record(START, &POLICY, outcome(Class::Transient, n));
        assert_eq!(ruling, Ruling::default(), "three are too few to judge");
    }
    let ruling = brake.record(START, &POLICY, outcome(Class::Unknown, 3));
    assert_eq!(ruling.notices.len(), 1);
    assert_eq!(ruling.notices[0].severity, Severity::Warning);
    assert!(
        ruling.notices[0]
            .text
            .contains("4 of 4 attempts failed within 1m")
    );
    assert_eq!(
        brake.gate(START, &POLICY),
        Gate::Shut(Some(START + seconds(30)))
    );
}

#[test]
fn a_rate_below_the_limit_and_an_old_failure_do_not_open_it() {
    let mut brake = Brake::default();
    for n in 0..30 {
        let class = if n % 3 == 2 {
            Class::Transient
        } else {
            Class::Delivered
        };
        brake.record(START, &POLICY, outcome(class, n));
    }
    assert_eq!(brake.gate(START, &POLICY), Gate::Flow);

    let mut brake = Brake::default();
    for n in 0..8 {
        brake.record(
            START + seconds(40 * n),
            &POLICY,
            outcome(Class::Transient, n),
        );
    }
    assert_eq!(
        brake.gate(START, &POLICY),
        Gate::Flow,
        "one failure in 40 s never makes four in 60 s"
    );
}

#[test]
fn throttling_is_no_failure() {
    let mut brake = Brake::default();
    for n in 0..100 {
        brake.record(START, &POLICY, outcome(Class::Throttled, n));
    }
    assert_eq!(brake.gate(START, &POLICY), Gate::Flow);
}

#[test]
fn after_the_cooldown_one_probe_decides() {
    let mut brake = failing();
    assert_eq!(
        brake.gate(START + seconds(29), &POLICY),
        Gate::Shut(Some(START + seconds(30)))
    );
    let later = START + seconds(30);
    assert_eq!(brake.gate(later, &POLICY), Gate::Probe);
    let notice = brake.probing(later, &POLICY).expect("half-open is stored");
    assert!(
        matches!(notice.change, Change::Breaker(Breaker::HalfOpen { since, .. }) if since == START)
    );

    // The probe fails: open for another cooldown, since the first time.
    brake.record(later, &POLICY, probe(Class::Transient, 9));
    assert!(
        matches!(brake.breaker(), Breaker::Open { since, until, .. } if *since == START && *until == later + seconds(30))
    );

    // The next one is delivered: closed.
    let again = later + seconds(30);
    brake.probing(again, &POLICY);
    let ruling = brake.record(again, &POLICY, probe(Class::Delivered, 9));
    assert_eq!(ruling.notices[0].change, Change::Breaker(Breaker::Closed));
    assert_eq!(brake.gate(again, &POLICY), Gate::Flow);
    assert_eq!(
        brake.counted(),
        (0, 0),
        "what happened before does not count again"
    );
}

#[test]
fn what_was_under_way_when_it_opened_does_not_close_it() {
    let mut brake = failing();
    brake.record(START, &POLICY, outcome(Class::Delivered, 9));
    assert_eq!(
        brake.gate(START, &POLICY),
        Gate::Shut(Some(START + seconds(30)))
    );
}

#[test]
fn a_throttled_probe_leaves_it_half_open_and_a_rejected_one_closes_an_outage() {
    let mut brake = failing();
    let later = START + seconds(30);
    brake.probing(later, &POLICY);
    assert_eq!(
        brake.record(later, &POLICY, probe(Class::Throttled, 9)),
        Ruling::default()
    );
    assert_eq!(brake.gate(later, &POLICY), Gate::Probe);
    let ruling = brake.record(later, &POLICY, probe(Class::Rejected, 9));
    assert!(!ruling.back, "the record is bad and dies");
    assert_eq!(brake.breaker(), &Breaker::Closed);
}

#[test]
fn distinct_records_refused_in_a_row_open_it_and_go_back() {
    let mut brake = Brake::default();
    for record in [1, 2, 2, 1] {
        let ruling = brake.record(START, &POLICY, outcome(Class::Rejected, record));
        assert_eq!(
            ruling,
            Ruling::default(),
            "two records, however often, are bad data"
        );
    }
    let ruling = brake.record(START, &POLICY, outcome(Class::Permanent, 3));
    assert!(ruling.back);
    let taken: Vec<u64> = ruling
        .take_back
        .iter()
        .map(|refused| refused.record)
        .collect();
    assert_eq!(taken, [2, 1]);
    assert!(
        ruling.notices[0]
            .text
            .contains("3 different records were refused"),
        "{}",
        ruling.notices[0].text
    );

    // What was under way meanwhile goes back as well, and so does a probe that is refused.
    assert!(
        brake
            .record(START, &POLICY, outcome(Class::Rejected, 4))
            .back
    );
    let later = START + seconds(30);
    brake.probing(later, &POLICY);
    let ruling = brake.record(later, &POLICY, probe(Class::Rejected, 5));
    assert!(ruling.back);
    assert!(matches!(brake.gate(later, &POLICY), Gate::Shut(Some(_))));

    // A worker that starts anew knows why it is open.
    let mut restarted = Brake::new(None, brake.breaker().clone());
    assert!(
        restarted
            .record(later, &POLICY, outcome(Class::Rejected, 6))
            .back
    );
}

#[test]
fn a_success_between_makes_refusals_bad_data() {
    let mut brake = Brake::default();
    for record in 0..20 {
        let ruling = brake.record(START, &POLICY, outcome(Class::Rejected, record));
        assert!(!ruling.back);
        if record % 2 == 1 {
            brake.record(START, &POLICY, outcome(Class::Delivered, 1000 + record));
        }
    }
}

#[test]
fn auth_pauses_probes_and_heals_by_itself() {
    for class in [Class::Auth, Class::Gone] {
        let mut brake = Brake::default();
        let ruling = brake.record(START, &POLICY, outcome(class, 1));
        assert!(ruling.back);
        assert_eq!(ruling.notices[0].severity, Severity::Critical);
        let pause = brake.pause().expect("paused");
        assert!(
            !pause.by_person && pause.reason.contains("HTTP 401"),
            "{pause:?}"
        );
        // The second of those under way is not told again.
        assert_eq!(brake.record(START, &POLICY, outcome(class, 2)).notices, []);

        assert_eq!(
            brake.gate(START + seconds(29), &POLICY),
            Gate::Shut(Some(START + seconds(30)))
        );
        let later = START + seconds(30);
        assert_eq!(brake.gate(later, &POLICY), Gate::Probe);
        assert_eq!(brake.probing(later, &POLICY), None);
        assert!(brake.record(later, &POLICY, probe(class, 3)).back);
        assert_eq!(
            brake.gate(later + seconds(1), &POLICY),
            Gate::Shut(Some(later + seconds(30)))
        );
        // Down is not the same as let in.
        brake.record(later, &POLICY, probe(Class::Transient, 3));
        assert!(brake.pause().is_some());

        let ruling = brake.record(later, &POLICY, probe(Class::Delivered, 3));
        assert_eq!(ruling.notices[0].change, Change::Pause(None));
        assert_eq!(brake.gate(later, &POLICY), Gate::Flow);
    }
}

#[test]
fn a_persons_pause_is_a_persons_to_end() {
    let mut brake = Brake::default();
    let pause = Pause {
        by_person: true,
        by: "anna".to_owned(),
        reason: "maintenance".to_owned(),
        since: START,
    };
    brake.replace(Some(pause.clone()), Breaker::Closed);
    for class in [Class::Auth, Class::Delivered, Class::Rejected] {
        brake.record(START, &POLICY, probe(class, 1));
        assert_eq!(brake.pause(), Some(&pause), "{class}");
    }
    assert_eq!(
        brake.gate(START + seconds(1_000_000), &POLICY),
        Gate::Shut(None)
    );
    brake.replace(None, Breaker::Closed);
    assert_eq!(brake.gate(START, &POLICY), Gate::Flow);
}

#[test]
fn a_clock_set_back_does_not_keep_it_open() {
    let brake = failing();
    assert_eq!(brake.gate(START - seconds(3600), &POLICY), Gate::Probe);
}

proptest! {
    /// Whatever happens: while shut by the machine it names a time within one cooldown, only a person's pause has none, and
    /// every transition that is reported is the state that is held.
    #[test]
    fn the_gate_always_opens_again(steps in proptest::collection::vec((0_usize..8, 0_u64..6, 0_i64..20_000, any::<bool>()), 1..200)) {
        let mut brake = Brake::default();
        let mut now = START;
        for (class, record, step, backwards) in steps {
            now = Timestamp(if backwards && step % 7 == 0 { now.0 - step } else { now.0 + step });
            let gate = brake.gate(now, &POLICY);
            if let Gate::Shut(until) = gate {
                let until = until.expect("no person paused it");
                prop_assert!(until > now && until.since(now) <= POLICY.cooldown);
                prop_assert_eq!(brake.gate(until, &POLICY), Gate::Probe);
            }
            let probing = gate == Gate::Probe;
            if probing {
                brake.probing(now, &POLICY);
            }
            let outcome = Outcome { probe: probing, ..outcome(Class::ALL[class], record) };
            let ruling = brake.record(now, &POLICY, outcome);
            prop_assert!(ruling.take_back.len() < POLICY.refused as usize);
            for notice in ruling.notices {
                match notice.change {
                    Change::Breaker(breaker) => prop_assert_eq!(&breaker, brake.breaker()),
                    Change::Pause(pause) => prop_assert_eq!(pause.as_ref(), brake.pause()),
                }
            }
            if probing && outcome.class == Class::Delivered {
                prop_assert_eq!(brake.gate(now, &POLICY), Gate::Flow);
            }
        }
    }
}
