//! From due to settled: the dispatcher and replays with the real store and real receivers on loopback.

mod bed;
mod casts;
mod crm;
mod decided;
mod doubt;
mod lineage;
mod owned;
mod paged;
mod repaired;
mod unmatched;
mod upsert;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bed::{Answer, Bed, Receiver, config, one_path, soon};
use midwatch::queue::filter::Filter;
use midwatch::queue::model::{Class, State};
use midwatch::queue::replay;
use midwatch::store::view::{BatchState, Breaker, Pause, Severity};
use midwatch::store::{BatchOptions, LogEntry};
use midwatch::time::{Clock, Timestamp};

fn entry(kind: &'static str) -> LogEntry {
    LogEntry {
        severity: Severity::Info,
        actor: None,
        kind,
        path: None,
        delivery: None,
        text: kind.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_end_of_an_attempt_has_its_class_and_its_consequence() {
    // (status, or none for a cut connection; state; class; charged)
    let cases: [(Option<u16>, State, Class, bool); 14] = [
        (Some(200), State::Delivered, Class::Delivered, true),
        (Some(202), State::Delivered, Class::Delivered, true),
        (Some(204), State::Delivered, Class::Delivered, true),
        (Some(302), State::Dead, Class::Permanent, true),
        (Some(307), State::Dead, Class::Permanent, true),
        (Some(400), State::Dead, Class::Rejected, true),
        (Some(404), State::Dead, Class::Permanent, true),
        (Some(408), State::Ready, Class::Transient, true),
        (Some(409), State::Delivered, Class::Delivered, true),
        (Some(422), State::Dead, Class::Rejected, true),
        (Some(500), State::Ready, Class::Transient, true),
        (Some(503), State::Ready, Class::Transient, true),
        (None, State::Ready, Class::Unknown, true),
        // Last, because it stops the system for a while.
        (Some(429), State::Ready, Class::Throttled, true),
    ];
    let receiver = Receiver::start(|seen| match seen.body.parse() {
        Ok(0) | Err(_) => Answer::cut(),
        Ok(status) => Answer::status(status)
            .header("location", "/elsewhere")
            .body("{\"message\":\"the words of the receiver\"}"),
    })
    .await;
    let mut config = one_path(
        receiver.address,
        "schedule = [\"0\", \"1h\"]\nclasses = [{ status = 409, body = \"words\", class = \"delivered\" }]",
    );
    config.paths[0].breaker.min = 1000;
    config.paths[0].breaker.refused = 1000;
    let bed = Bed::start(config).await;
    for (status, state, class, charged) in cases {
        let data = status.unwrap_or(0).to_string();
        let id = bed.accept(&format!("s{data}"), &data).await;
        bed.until(&format!("{status:?} settled"), || {
            bed.detail(id).row.attempts == 1
        })
        .await;
        let detail = bed.detail(id);
        assert_eq!(detail.row.state, state, "{status:?}");
        assert_eq!(detail.row.last_class, Some(class), "{status:?}");
        let attempt = &detail.attempts[0];
        assert_eq!(
            (attempt.status, attempt.charged),
            (status, charged),
            "{status:?}"
        );
        assert_eq!(attempt.url, format!("http://{}/in", receiver.address));
        assert_eq!(
            detail.row.fingerprint.is_none(),
            class == Class::Delivered,
            "{status:?}"
        );
        if class == Class::Rejected {
            assert!(
                detail
                    .row
                    .reason
                    .as_deref()
                    .is_some_and(|r| r.contains("the words of the receiver")),
                "{status:?}"
            );
            assert_eq!(
                attempt.answer_body,
                b"{\"message\":\"the words of the receiver\"}"
            );
        }
    }
    assert_eq!(
        receiver.count(),
        cases.len(),
        "no redirect was followed, nothing was sent twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_of_attempts_ends_in_death_and_nobody_listening_is_transient() {
    let nobody: SocketAddr = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.local_addr().expect("address")
    };
    let mut config = one_path(nobody, "schedule = [\"0\", \"20ms\", \"20ms\"]");
    config.paths[0].breaker.min = 1000;
    let bed = Bed::start(config).await;
    let id = bed.accept("a", "1").await;
    bed.until_state(id, State::Dead).await;
    let detail = bed.detail(id);
    assert_eq!(detail.attempts.len(), 3);
    assert!(
        detail
            .attempts
            .iter()
            .all(|a| a.class == Class::Transient && a.charged)
    );
    assert_eq!(
        detail.row.reason.as_deref(),
        Some("gave up after 3 attempts: cannot connect: connection refused")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_system_is_left_alone_as_long_as_it_asked() {
    let first = AtomicBool::new(true);
    let receiver = Receiver::start(move |_| {
        if first.swap(false, Ordering::SeqCst) {
            Answer::status(429).header("retry-after", "1")
        } else {
            Answer::ok()
        }
    })
    .await;
    let bed = Bed::start(one_path(
        receiver.address,
        "schedule = [\"0\", \"0\", \"0\"]\nconcurrency = 1",
    ))
    .await;
    let id = bed.accept("a", "1").await;
    bed.until("throttled", || bed.detail(id).row.attempts == 1)
        .await;
    // Another delivery of the same system waits as well: the budget is the system's.
    let other = bed.accept("b", "2").await;
    bed.until_delivered(2).await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 3);
    for later in &seen[1..] {
        let waited = later.at - seen[0].at;
        assert!(waited >= Duration::from_millis(1000), "{waited:?}");
    }
    assert_eq!(
        bed.detail(other).attempts.len(),
        1,
        "waiting for the limit costs no attempt"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_is_never_exceeded() {
    let receiver = Receiver::start(|_| Answer::ok()).await;
    let began = Instant::now();
    let config = config(
        receiver.address,
        "limit = \"10/1s\"",
        "[paths.a]\nroute = \"shop -> crm\"\nevents = [\"a\"]\nurl = \"/a\"\n[paths.b]\nroute = \"shop -> crm\"\nevents = [\"b\"]\nurl = \"/b\"\n",
    );
    let bed = Bed::start(config).await;
    for n in 0..25 {
        bed.accept_kind(if n % 2 == 0 { "a" } else { "b" }, &n.to_string(), "{}")
            .await;
    }
    bed.until_delivered(25).await;
    let seen: Vec<Instant> = receiver.seen().iter().map(|seen| seen.at).collect();
    assert_eq!(seen.len(), 25);
    upsert::never_before_their_tokens(&seen, began, 1, 10.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_breaker_opens_probes_and_heals() {
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let mut config = one_path(
        receiver.address,
        "schedule = [\"0\", \"10ms\", \"10ms\", \"10ms\", \"10ms\", \"10ms\", \"10ms\", \"10ms\", \"10ms\", \"10ms\"]\nconcurrency = 2",
    );
    config.paths[0].breaker.min = 4;
    config.paths[0].breaker.cooldown = Duration::from_millis(300);
    let bed = Bed::start(config).await;
    bed.accept_many(20).await;
    bed.until("open", || {
        matches!(bed.overview().paths[0].breaker, Breaker::Open { .. })
    })
    .await;
    let before = receiver.count();
    assert!(before < 12, "{before} attempts until it opened");
    // Three cooldowns bring at most one probe each (and what was under way).
    let opened = Instant::now();
    bed.until("probed twice", || receiver.count() >= before + 2)
        .await;
    assert!(
        opened.elapsed() >= Duration::from_millis(300),
        "probes keep their distance"
    );
    receiver.behave(|_| Answer::ok());
    bed.until_delivered(20).await;
    assert_eq!(bed.overview().paths[0].breaker, Breaker::Closed);
    let log = bed.log();
    for part in ["breaker open for", "breaker closed"] {
        assert_eq!(
            log.iter().filter(|line| line.contains(part)).count(),
            1,
            "{part} in {log:?}"
        );
    }
    assert!(
        !log.iter().any(|line| line.contains("probe failed")),
        "an outage has one line, not one for every probe: {log:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_refuses_everything_kills_nothing() {
    for status in [422, 404] {
        let receiver = Receiver::start(move |_| Answer::status(status)).await;
        let mut config = one_path(receiver.address, "");
        config.paths[0].breaker.refused = 3;
        config.paths[0].breaker.cooldown = Duration::from_millis(200);
        let bed = Bed::start(config).await;
        // One by one, so that the first two are dead before the third shows the pattern.
        for n in 0..3 {
            let id = bed.accept(&format!("r{n}"), "{}").await;
            bed.until("attempted", || bed.detail(id).row.attempts >= 1)
                .await;
        }
        let rest: Vec<_> = bed.accept_many(10).await;
        bed.until("open", || {
            !matches!(bed.overview().paths[0].breaker, Breaker::Closed)
        })
        .await;
        bed.until("none is dead", || bed.overview().paths[0].counts.dead == 0)
            .await;
        receiver.behave(|_| Answer::ok());
        bed.until_delivered(13).await;
        assert!(
            rest.iter().all(|id| bed.detail(*id).row.charged <= 1),
            "refusals were not charged"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_among_good_ones_die() {
    let receiver = Receiver::start(|seen| {
        let n: usize = seen.body.parse().unwrap_or(0);
        if n % 2 == 1 {
            Answer::status(422)
        } else {
            Answer::ok()
        }
    })
    .await;
    let mut config = one_path(receiver.address, "concurrency = 1");
    config.paths[0].breaker.refused = 3;
    let bed = Bed::start(config).await;
    bed.accept_many(20).await;
    bed.until("all settled", || {
        let counts = bed.overview().paths[0].counts;
        (counts.delivered, counts.dead) == (10, 10)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_of_a_key_keep_their_order_with_many_at_work() {
    let count = AtomicU64::new(0);
    let receiver = Receiver::start(move |_| {
        // Uneven durations, and a failure now and then.
        let n = count.fetch_add(1, Ordering::SeqCst);
        let status = if n % 7 == 3 { 500 } else { 200 };
        Answer::status(status).after(Duration::from_millis(n % 5))
    })
    .await;
    let delays = vec!["\"0\""; 20].join(", ");
    let mut config = one_path(
        receiver.address,
        &format!("order_by = \"subject\"\nconcurrency = 16\nschedule = [{delays}]"),
    );
    config.paths[0].breaker.min = 10_000;
    let bed = Bed::start(config).await;
    for n in 0..100 {
        bed.accept(&format!("k{}", n % 5), &format!("[\"k{}\",{n}]", n % 5))
            .await;
    }
    bed.until_delivered(100).await;
    let mut last: HashMap<String, u64> = HashMap::new();
    for seen in receiver.seen() {
        let (key, n): (String, u64) = serde_json::from_str(&seen.body).expect("ours");
        let before = last.insert(key.clone(), n).unwrap_or(0);
        assert!(n >= before, "{key}: {n} after {before}");
    }
    assert!(
        receiver.most_at_once() > 1 && receiver.most_at_once() <= 5,
        "{} at once for five keys",
        receiver.most_at_once()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_head_blocks_its_key_unless_told_to_continue() {
    for (keys, passes) in [("", false), ("on_dead = \"continue\"", true)] {
        let receiver = Receiver::start(|seen| {
            if seen.body == "1" {
                Answer::status(422)
            } else {
                Answer::ok()
            }
        })
        .await;
        let bed = Bed::start(one_path(
            receiver.address,
            &format!("order_by = \"subject\"\n{keys}"),
        ))
        .await;
        let head = bed.accept("a", "1").await;
        let next = bed.accept("a", "2").await;
        let other = bed.accept("b", "3").await;
        bed.until_state(head, State::Dead).await;
        bed.until_state(other, State::Delivered).await;
        if passes {
            bed.until_state(next, State::Delivered).await;
        } else {
            // A later delivery of another key has been through the whole way since.
            let later = bed.accept("c", "4").await;
            bed.until_state(later, State::Delivered).await;
            assert_eq!(bed.state(next), State::Waiting);
            assert_eq!(bed.detail(next).behind, Some(head));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_pauses_and_resumes() {
    let receiver = Receiver::start(|_| Answer::ok()).await;
    let rest = "[paths.a]\nroute = \"shop -> crm\"\nevents = [\"a\"]\nurl = \"/a\"\n[paths.b]\nroute = \"shop -> crm\"\nevents = [\"b\"]\nurl = \"/b\"\n";
    let bed = Bed::start(config(receiver.address, "", rest)).await;
    let path = bed.live.borrow().id("a").expect("configured");
    let pause = Pause {
        by_person: true,
        by: "anna".to_owned(),
        reason: "maintenance".to_owned(),
        since: Timestamp(0),
    };
    bed.store
        .set_pause(path, Some(pause), entry("pause"))
        .await
        .expect("paused");
    bed.dispatch.path_changed(path);
    // The pause is known to the dispatcher once something that came later went through.
    let first = bed.accept_kind("b", "1", "{}").await;
    bed.until_state(first, State::Delivered).await;
    let held = bed.accept_kind("a", "1", "{}").await;
    let other = bed.accept_kind("b", "2", "{}").await;
    bed.until_state(other, State::Delivered).await;
    assert_eq!(bed.state(held), State::Ready);
    assert_eq!(bed.detail(held).row.attempts, 0);

    bed.store
        .set_pause(path, None, entry("resume"))
        .await
        .expect("resumed");
    bed.dispatch.path_changed(path);
    bed.until_state(held, State::Delivered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auth_failure_pauses_probes_and_heals_without_costing_anything() {
    for status in [401, 403, 410] {
        let receiver = Receiver::start(move |_| Answer::status(status)).await;
        let mut config = one_path(receiver.address, "concurrency = 2");
        config.paths[0].breaker.cooldown = Duration::from_millis(200);
        let bed = Bed::start(config).await;
        bed.accept_many(10).await;
        bed.until("paused by the machine", || {
            bed.overview().paths[0]
                .pause
                .as_ref()
                .is_some_and(|pause| !pause.by_person)
        })
        .await;
        bed.until("probed", || receiver.count() >= 4).await;
        assert_eq!(bed.overview().paths[0].counts.backlog(), 10);
        receiver.behave(|_| Answer::ok());
        bed.until_delivered(10).await;
        bed.until("resumed", || bed.overview().paths[0].pause.is_none())
            .await;
        let charged: u32 = (1..=10)
            .map(|n| {
                bed.detail(midwatch::ids::DeliveryId::new(midwatch::ids::EventId(n), 0))
                    .row
                    .charged
            })
            .sum();
        assert_eq!(charged, 10, "only the ten that were delivered");
        assert!(
            bed.log()
                .iter()
                .any(|line| line.contains(&format!("HTTP {status}")))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_repeated_with_the_same_key_and_the_same_bytes() {
    let first = AtomicBool::new(true);
    let receiver = Receiver::start(move |_| {
        if first.swap(false, Ordering::SeqCst) {
            Answer::cut()
        } else {
            Answer::ok()
        }
    })
    .await;
    let template = |word: &str| {
        format!("schedule = [\"0\", \"300ms\"]\nbody = '{{\"{word}\":{{{{ data.total }}}}}}'")
    };
    let bed = Bed::start(one_path(receiver.address, &template("total"))).await;
    let id = bed.accept("a", "{\"total\":12.10}").await;
    bed.until("cut", || bed.detail(id).row.attempts == 1).await;
    assert_eq!(bed.detail(id).attempts[0].class, Class::Unknown);
    // A reload between the attempts changes the template: what was sent is what is sent again.
    bed.reload(one_path(receiver.address, &template("amount")))
        .await;
    bed.until_state(id, State::Delivered).await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, "{\"total\":12.10}");
    assert_eq!((&seen[0].key, &seen[0].body), (&seen[1].key, &seen[1].body));
    assert_eq!(seen[0].key.len(), 32);
    // The next event is rendered as the configuration says now.
    let next = bed.accept("b", "{\"total\":1}").await;
    bed.until_state(next, State::Delivered).await;
    assert_eq!(receiver.seen()[2].body, "{\"amount\":1}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_rendered_dies_with_the_missing_name() {
    let receiver = Receiver::start(|_| Answer::ok()).await;
    let bed = Bed::start(one_path(receiver.address, "body = '{{ data.total }}'")).await;
    let id = bed.accept("a", "{}").await;
    bed.until_state(id, State::Dead).await;
    let reason = bed.detail(id).row.reason.unwrap_or_default();
    assert!(
        reason.contains("cannot render the body") && reason.contains("total"),
        "{reason}"
    );
    assert_eq!(receiver.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_claims_at_once_and_lets_what_is_under_way_end() {
    let receiver = Receiver::start(|_| Answer::ok().after(Duration::from_millis(500))).await;
    let bed = Bed::start(one_path(receiver.address, "concurrency = 2")).await;
    let ids = bed.accept_many(10).await;
    bed.until("under way", || receiver.count() == 2).await;
    bed.stop.cancel();
    soon(bed.dispatch.drained()).await;
    assert_eq!(receiver.count(), 2, "nothing more began");
    let counts = bed.overview().paths[0].counts;
    assert_eq!((counts.delivered, counts.ready, counts.running), (2, 8, 0));
    let untouched = ids
        .iter()
        .filter(|id| bed.detail(**id).row.attempts == 0)
        .count();
    assert_eq!(untouched, 8, "what was handed back was not attempted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_path_takes_no_slot_from_another_beyond_its_own_and_pages_pass() {
    let slow = Receiver::start(|_| Answer::ok().after(Duration::from_secs(30))).await;
    let fast = Receiver::start(|_| Answer::ok()).await;
    let folder = tempfile::tempdir().expect("folder");
    let hook = folder.path().join("hook");
    std::fs::write(&hook, format!("http://{}/page", fast.address)).expect("write");
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("0600");
    let rest = format!(
        "[systems.erp]\nurl = \"http://{}\"\nprivate = true\n\
         [channels.slack.ops]\nwebhook = \"file:{}\"\nprivate = true\n\
         [paths.slow]\nroute = \"shop -> crm\"\nevents = [\"slow\"]\nurl = \"/slow\"\nconcurrency = 16\ntimeout = \"60s\"\n\
         [paths.fast]\nroute = \"shop -> erp\"\nevents = [\"fast\"]\nurl = \"/fast\"\n",
        fast.address,
        hook.display()
    );
    let mut config = config(slow.address, "", &rest);
    let bed = Bed::start(config.clone()).await;
    for n in 0..40 {
        bed.accept_kind("slow", &n.to_string(), "{}").await;
    }
    bed.until("all work slots are taken", || slow.count() == 16)
        .await;
    let page = bed.live.borrow().id("page/slack:ops").expect("a page path");
    let incoming = midwatch::store::Incoming {
        event: midwatch::event::Event {
            source: "midwatch".to_owned(),
            id: "p1".to_owned(),
            kind: "page".to_owned(),
            subject: None,
            time: None,
            content_type: Some("application/json".to_owned()),
            idempotency_key: None,
            schema_version: None,
            extensions: Vec::new(),
            data: "{\"text\":\"wake up\"}".into(),
            origin: midwatch::event::Origin::Internal,
        },
        routes: vec![midwatch::store::Route {
            path: page,
            order_key: None,
            on_dead_continue: false,
            delay: Duration::ZERO,
            hold: None,
        }],
        hold: None,
        faults: Vec::new(),
        group: None,
        hold_on_conflict: false,
        digest: [0; 16],
        about: Vec::new(),
    };
    bed.store.accept(vec![incoming]).await.expect("accepted");
    bed.until_delivered(1).await;
    assert_eq!(fast.seen()[0].url, "/page");
    assert_eq!(fast.seen()[0].body, "{\"text\":\"wake up\"}");
    // The secret URL is nowhere in what is remembered of the attempt.
    let detail = bed.detail(midwatch::ids::DeliveryId::new(
        midwatch::ids::EventId(41),
        0,
    ));
    assert_eq!(detail.attempts[0].url, "slack:ops");

    // With more slots, the other path's deliveries pass beside the slow ones.
    config.limits.concurrency = 20;
    bed.reload(config).await;
    for n in 0..20 {
        bed.accept_kind("fast", &n.to_string(), "{}").await;
    }
    bed.until_delivered(21).await;
    assert_eq!(slow.count(), 16, "the slow path keeps to its own slots");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_removed_hands_back_what_it_had() {
    let receiver = Receiver::start(|_| Answer::ok().after(Duration::from_millis(200))).await;
    let bed = Bed::start(one_path(receiver.address, "concurrency = 1")).await;
    bed.accept_many(3).await;
    bed.until("under way", || receiver.count() == 1).await;
    bed.reload(config(receiver.address, "", "")).await;
    bed.until("settled and held", || {
        let paths = bed.overview().paths;
        paths[0].counts.running == 0
            && paths[0].counts.held + paths[0].counts.ready == 2
            && paths[0].counts.delivered == 1
    })
    .await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_drains_with_every_slot_busy_and_nothing_twice() {
    let receiver = Receiver::start(|_| Answer::ok()).await;
    let bed = Bed::start(one_path(receiver.address, "concurrency = 8")).await;
    bed.accept_many(300).await;
    bed.until_delivered(300).await;
    let bodies: HashSet<String> = receiver.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!((bodies.len(), receiver.count()), (300, 300));
    assert!(receiver.most_at_once() <= 8, "{}", receiver.most_at_once());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_stalls_nothing() {
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let start = Timestamp(1_790_000_000_000);
    let clock = Clock::manual(start);
    let mut config = one_path(
        receiver.address,
        "schedule = [\"0\", \"1h\", \"1h\"]\nretry_after_cap = \"1h\"",
    );
    config.paths[0].breaker.min = 1000;
    let hour = Duration::from_secs(3600);
    let bed = Bed::start_at(config.clone(), clock.clone()).await;
    let id = bed.accept("a", "1").await;
    bed.until("failed once", || bed.detail(id).row.attempts == 1)
        .await;
    assert_eq!(bed.detail(id).row.due_at, start + hour);

    // Three hours back, in a running worker: what was due in an hour is due in an hour.
    clock.set(start - hour * 3);
    bed.dispatch.wake();
    bed.until("moved", || bed.detail(id).row.due_at <= start - hour * 2)
        .await;
    clock.advance(hour + Duration::from_secs(60));
    bed.dispatch.wake();
    bed.until("failed twice", || bed.detail(id).row.attempts == 2)
        .await;

    // A year back, while no worker ran: no wait is that long, so it is due now.
    let folder = bed.end().await;
    clock.set(start - hour * 24 * 365);
    receiver.behave(|_| Answer::ok());
    let bed = Bed::open(folder, config, clock).await;
    bed.until("hastened", || {
        bed.detail(id).row.due_at <= start - hour * 24 * 365
    })
    .await;
    bed.dispatch.wake();
    bed.until_state(id, State::Delivered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_brings_no_burst() {
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let clock = Clock::manual(Timestamp(1_790_000_000_000));
    let mut config = one_path(
        receiver.address,
        "schedule = [\"0\", \"5m\"]\nconcurrency = 3",
    );
    config.paths[0].breaker.min = 1000;
    let bed = Bed::start_at(config, clock.clone()).await;
    bed.accept_many(30).await;
    bed.until("all failed once", || receiver.count() == 30)
        .await;
    receiver.behave(|_| Answer::ok().after(Duration::from_millis(5)));
    bed.until("all wait", || bed.overview().paths[0].counts.ready == 30)
        .await;
    clock.advance(Duration::from_secs(86_400));
    bed.dispatch.wake();
    bed.until_delivered(30).await;
    assert!(receiver.most_at_once() <= 3, "{}", receiver.most_at_once());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_killed_two_workers_runs_with_nothing_beside_it() {
    let receiver = Receiver::start(|seen| {
        Answer::ok().after(Duration::from_millis(if seen.body == "0" {
            150
        } else {
            5
        }))
    })
    .await;
    let config = one_path(receiver.address, "concurrency = 8");
    // Two workers claim the first delivery and are gone.
    let bed = Bed::start(config.clone()).await;
    let pause = Pause {
        by_person: true,
        by: "anna".to_owned(),
        reason: "not yet".to_owned(),
        since: Timestamp(0),
    };
    let path = bed.live.borrow().id("crm").expect("configured");
    bed.store
        .set_pause(path, Some(pause), entry("pause"))
        .await
        .expect("paused");
    let folder = bed.end().await;
    let clock = Clock::System;
    let bed = Bed::open(folder, config.clone(), clock.clone()).await;
    let deadly = bed.accept("deadly", "0").await;
    let folder = bed.end().await;
    for _ in 0..2 {
        let store = Bed::store(&folder, &clock);
        store.configure(&config).await.expect("configure");
        store.begin_work(false).await.expect("begin");
        let wants = vec![midwatch::store::Want { path, count: 1 }];
        let turn = store.turn(Vec::new(), wants).await.expect("claimed");
        assert_eq!(turn.claimed[0].delivery, deadly);
        store.close().await;
    }
    let bed = Bed::open(folder, config, clock).await;
    for n in 1..20 {
        bed.accept(&format!("r{n}"), &n.to_string()).await;
    }
    bed.store
        .set_pause(path, None, entry("resume"))
        .await
        .expect("resumed");
    bed.dispatch.path_changed(path);
    bed.until_delivered(20).await;
    let seen = receiver.seen();
    let suspect = seen
        .iter()
        .find(|seen| seen.body == "0")
        .expect("delivered");
    let beside = seen
        .iter()
        .filter(|other| other.body != "0")
        .filter(|other| {
            other.at + Duration::from_millis(5) > suspect.at
                && other.at < suspect.at + Duration::from_millis(150)
        })
        .count();
    assert_eq!(beside, 0);
    assert_eq!(bed.detail(deadly).row.charged, 1, "crashes cost nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_loses_no_settlement() {
    let receiver = Receiver::start(|_| Answer::ok().after(Duration::from_millis(300))).await;
    let bed = Bed::start(one_path(receiver.address, "concurrency = 2")).await;
    let ids = bed.accept_many(6).await;
    bed.until("under way", || receiver.count() >= 2).await;
    // Somebody holds the database longer than SQLite is willing to wait.
    let locked = bed.folder.path().join("m.db");
    let (release, held) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let connection = rusqlite::Connection::open(locked).expect("open");
        connection
            .busy_timeout(Duration::from_secs(5))
            .expect("timeout");
        connection.execute_batch("BEGIN IMMEDIATE").expect("locked");
        let _ = held.recv_timeout(Duration::from_secs(20));
        connection.execute_batch("ROLLBACK").expect("unlocked");
    });
    let health = bed.store.health();
    bed.until("failing", || {
        *health.borrow() != midwatch::store::Health::Good
    })
    .await;
    let during = receiver.count();
    release.send(()).expect("holder");
    holder.join().expect("holder");
    bed.until_delivered(6).await;
    assert!(
        during <= 4,
        "{during}: nothing is claimed while nothing can be settled"
    );
    assert_eq!(
        receiver.count(),
        6,
        "what ended while the store refused was settled, not repeated"
    );
    assert!(ids.iter().all(|id| bed.detail(*id).row.attempts == 1));
}

/// Ten dead letters, and a replay of them all.
async fn replay_of_ten(
    now: impl Fn(&bed::Seen) -> Answer + Send + 'static,
) -> (Bed, midwatch::ids::BatchId) {
    let receiver = Receiver::start(|_| Answer::status(422)).await;
    let mut config = one_path(receiver.address, "schedule = [\"0\"]");
    config.paths[0].breaker.refused = 1000;
    let bed = Bed::start(config).await;
    let ids = bed.accept_many(10).await;
    bed.until("all dead", || bed.overview().paths[0].counts.dead == 10)
        .await;
    receiver.behave(now);
    let options = BatchOptions {
        skip_risky: true,
        canary: 2,
        pace: 100.0,
        scope: "all dead letters".to_owned(),
        forced: false,
    };
    let filter = Filter {
        states: vec![State::Dead],
        ..Filter::default()
    };
    let last = *ids.last().expect("ten");
    let batch = bed
        .store
        .create_batch(filter, last, 10, options, entry("replay"))
        .await
        .expect("created");
    let replays = replay::spawn(bed.store.clone(), Vec::new(), bed.stop.clone());
    replays.started(batch.id);
    (bed, batch.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_whose_canary_dies_stops_itself() {
    let (bed, batch) = replay_of_ten(|_| Answer::status(422)).await;
    let read = || {
        bed.store
            .reader()
            .expect("reader")
            .batch(batch)
            .expect("read")
            .expect("stored")
    };
    bed.until("aborted", || read().state == BatchState::Aborted)
        .await;
    let row = read();
    assert_eq!((row.died, row.delivered, row.pending), (2, 0, 8));
    bed.until("reported", || {
        bed.log()
            .iter()
            .any(|line| line.contains("2 died again") && line.contains("8 left as they were"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_whose_canary_lives_delivers_the_rest_with_the_same_keys() {
    let keys = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let collected = Arc::clone(&keys);
    let (bed, batch) = replay_of_ten(move |seen| {
        collected.lock().expect("lock").insert(seen.key.clone());
        Answer::ok()
    })
    .await;
    let read = || {
        bed.store
            .reader()
            .expect("reader")
            .batch(batch)
            .expect("read")
            .expect("stored")
    };
    bed.until("done", || read().state == BatchState::Done).await;
    let row = read();
    assert_eq!((row.delivered, row.died, row.skipped), (10, 0, 0));
    bed.until("reported", || {
        bed.log()
            .iter()
            .any(|line| line.contains("10 delivered, 0 died again, 0 skipped"))
    })
    .await;
    for n in 1..=10 {
        let detail = bed.detail(midwatch::ids::DeliveryId::new(midwatch::ids::EventId(n), 0));
        assert_eq!(detail.row.generation, 2);
        assert_eq!(
            detail.attempts[0].key, detail.attempts[1].key,
            "same bytes, same key"
        );
        assert!(keys.lock().expect("lock").contains(&detail.attempts[1].key));
    }
}
