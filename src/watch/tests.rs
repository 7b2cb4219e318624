use std::time::Duration;

use super::*;
use crate::console::fixture::{NOW, at, config, overview};
use crate::store::view::{
    BackfillRow, Breaker, Lock, Overview, PathRow, Pause, PollRow, SenderRow, Severity, Slot,
    WorkerRow,
};
use crate::time::Timestamp;

fn words(overview: &Overview) -> Vec<(Severity, About)> {
    wrong_now(overview, &[], &config())
        .iter()
        .map(|trouble| (trouble.severity, trouble.about))
        .collect()
}

#[test]
fn no_traffic_is_quiet_and_never_ok() {
    let mut overview = overview();
    let row = &mut overview.paths[1];
    row.recent = Slot::default();
    let config = config();
    let state = |row: &PathRow, worker| {
        path_state(row, config.path(&row.name), worker, NOW, chrono_tz::UTC)
    };
    assert_eq!(state(row, WorkerState::Running), PathState::Quiet);
    row.recent.delivered = 1;
    row.recent.attempts = 1;
    assert_eq!(state(row, WorkerState::Running), PathState::Ok);
    // Without a worker, old numbers prove nothing.
    assert_eq!(
        state(row, WorkerState::Silent { since: at(2) }),
        PathState::Unknown
    );
}

#[test]
fn a_path_is_called_by_the_worst_that_holds() {
    let config = config();
    let base = overview().paths[1].clone();
    let state = |change: &dyn Fn(&mut PathRow)| {
        let mut row = base.clone();
        row.name = "crm".into();
        change(&mut row);
        path_state(
            &row,
            config.path("crm"),
            WorkerState::Running,
            NOW,
            chrono_tz::UTC,
        )
    };
    let failing = |failed| {
        move |row: &mut PathRow| {
            row.recent = Slot {
                attempts: 6,
                failed,
                ..Slot::default()
            };
        }
    };
    assert_eq!(state(&|_| {}), PathState::Ok);
    assert_eq!(state(&|row| row.retrying = true), PathState::Retrying);
    assert_eq!(
        state(&|row| {
            row.retrying = true;
            row.blocked = Some(at(3));
        }),
        PathState::Blocked
    );
    assert_eq!(
        state(&|row| {
            failing(3)(row);
            row.minutes = vec![Slot {
                delivered: 1,
                ..Slot::default()
            }];
        }),
        PathState::Quiet,
        "recovered, though this fixture's sum has no delivery in it"
    );
    assert_eq!(
        state(&|row| {
            failing(3)(row);
            row.minutes = vec![Slot::default(); 2];
        }),
        PathState::Quiet,
        "nothing failed lately, and nothing is left to deliver"
    );
    assert_eq!(
        state(&|row| {
            failing(3)(row);
            row.minutes = vec![Slot::default(); 3];
            (row.minutes[0].attempts, row.minutes[0].failed) = (3, 3);
            row.counts.ready = 1;
        }),
        PathState::Failing,
        "what is left proves nothing yet"
    );
    assert_eq!(
        state(&|row| {
            failing(3)(row);
            row.minutes = vec![Slot {
                attempts: 3,
                failed: 3,
                ..Slot::default()
            }];
        }),
        PathState::Failing
    );
    assert_eq!(
        state(&|row| row.oldest_due = Some(at(2))),
        PathState::Behind
    );
    assert_eq!(
        state(&|row| row.oldest_open = Some(at(12 * 60))),
        PathState::Late
    );
    assert_eq!(
        state(&|row| row.oldest_open = Some(at(12 * 60 - 1))),
        PathState::Ok
    );
    assert_eq!(
        state(&|row| {
            row.breaker = Breaker::HalfOpen {
                since: at(1),
                reason: String::new(),
            };
        }),
        PathState::Probing
    );
    assert_eq!(
        state(&|row| {
            row.pause = Some(Pause {
                by_person: true,
                by: "anna".into(),
                reason: String::new(),
                since: at(1),
            });
        }),
        PathState::Paused
    );
}

#[test]
fn the_worst_comes_first_and_severity_follows_the_consequence() {
    // Nobody notices before tomorrow: nothing is critical.
    let mut overview = overview();
    assert_eq!(
        words(&overview),
        [
            (Severity::Warning, About::Path),
            (Severity::Warning, About::Dead),
            (Severity::Warning, About::Job),
            (Severity::Info, About::Strays),
        ]
    );
    overview.paths[0].oldest_open = Some(at(13 * 60));
    assert_eq!(words(&overview)[0], (Severity::Critical, About::Path));
    overview.trouble = Some("the disk is full".into());
    overview.worker.heartbeat = at(5);
    assert_eq!(
        words(&overview)[..2],
        [
            (Severity::Critical, About::Store),
            (Severity::Critical, About::Worker)
        ]
    );
}

#[test]
fn a_trouble_names_its_path_and_its_runbook() {
    let all = wrong_now(&overview(), &[], &config());
    assert_eq!(all[0].path.as_deref(), Some("crm"));
    assert!(
        all[0]
            .runbook
            .as_ref()
            .is_some_and(|file| file.ends_with("runbook.md"))
    );
    assert_eq!(all[2].job.as_deref(), Some("orders"));
}

#[test]
fn the_sentence_says_what_waits_and_when_it_is_noticed() {
    let mut overview = overview();
    assert_eq!(
        summary(&overview, &config()),
        "14 orders wait, 3 dead letters need a decision, nothing is lost, nobody notices before Tue 09:40."
    );
    overview.paths[0].oldest_open = Some(at(13 * 60));
    overview.worker.heartbeat = at(5);
    assert_eq!(
        summary(&overview, &config()),
        "14 orders wait, 3 dead letters need a decision, nothing is lost, the business notices since 21:15; nothing is delivered while the worker is down."
    );
    overview.paths[0].counts = crate::store::view::Counts::default();
    overview.paths[0].oldest_open = None;
    overview.worker.heartbeat = NOW;
    assert_eq!(
        summary(&overview, &config()),
        "Nothing waits, nothing is lost."
    );
    overview.trouble = Some("disk full".into());
    assert!(!summary(&overview, &config()).contains("nothing is lost"));
}

#[test]
fn a_worker_is_judged_by_its_last_sign_of_life() {
    let worker = |state: &str, minutes| WorkerRow {
        epoch: 1,
        state: state.into(),
        heartbeat: at(minutes),
        ..WorkerRow::default()
    };
    assert_eq!(
        worker_state(&worker("running", 0), NOW),
        WorkerState::Running
    );
    assert_eq!(
        worker_state(&worker("running", 1), NOW),
        WorkerState::Silent { since: at(1) }
    );
    assert_eq!(
        worker_state(&worker("stopped", 60), NOW),
        WorkerState::Stopped { since: at(60) }
    );
    assert_eq!(worker_state(&WorkerRow::default(), NOW), WorkerState::Never);
}

#[test]
fn a_free_lock_is_known_at_once_and_a_held_one_is_not_called_down() {
    let mut overview = overview();
    overview.worker.lock = Lock::Free;
    let said = |overview: &Overview| wrong_now(overview, &[], &config())[0].words.clone();
    assert!(said(&overview).starts_with("the worker is down, last seen 0"));
    overview.worker.lock = Lock::Held { pid: 4711 };
    overview.worker.heartbeat = at(1);
    let words = said(&overview);
    assert!(
        words.starts_with("no sign of life from the worker since")
            && words.contains("process 4711"),
        "{words}"
    );
}

#[test]
fn a_removed_path_with_a_backlog_is_named_with_what_to_do() {
    let mut overview = overview();
    overview.paths[0].name = "ok".into();
    overview.paths[0].removed = true;
    overview.paths[0].counts.ready = 109_623;
    overview.paths[0].counts.running = 0;
    overview.paths[0].counts.waiting = 0;
    let all = wrong_now(&overview, &[], &config());
    let words = "path ok was removed from the configuration; 109,623 deliveries wait for its return or for `midwatch cancel path:ok`";
    assert!(all.iter().any(|trouble| trouble.words == words), "{all:?}");
}

#[test]
fn an_unreadable_secret_is_critical() {
    let mut overview = overview();
    overview.unreadable = vec!["systems.shop.hooks: hook.key is empty".into()];
    let all = wrong_now(&overview, &[], &config());
    let words =
        "a secret cannot be read, what needs it is refused: systems.shop.hooks: hook.key is empty";
    assert!(
        all.iter()
            .any(|trouble| trouble.words == words && trouble.severity == Severity::Critical),
        "{all:?}"
    );
}

#[test]
fn a_stuck_path_says_first_how_many_wait_and_when_it_is_noticed() {
    let mut overview = overview();
    let said = |overview: &Overview, now| {
        let all = wrong_at(overview, &[], &config(), now);
        let about = |trouble: &&Trouble| trouble.about == About::Path;
        all.iter().find(about).unwrap().words.clone()
    };
    assert_eq!(
        said(&overview, NOW),
        "14 wait on crm, noticed Tue 09:40: stopped, next probe in 42s: 12 of 14 attempts failed in 1m"
    );
    let later = NOW + Duration::from_secs(38);
    assert!(said(&overview, later).contains("next probe in 4s"));
    overview.paths[0].oldest_open = Some(at(13 * 60));
    overview.paths[0].breaker = Breaker::Open {
        since: NOW,
        until: NOW + Duration::from_secs(600),
        reason: "503".into(),
    };
    assert_eq!(
        said(&overview, NOW),
        "14 wait on crm, noticed since 21:15: stopped, next probe at 22:25: 503"
    );
    overview.paths[0].counts = crate::store::view::Counts::default();
    assert_eq!(
        said(&overview, NOW),
        "crm: stopped, next probe at 22:25: 503; nothing waits"
    );
}

#[test]
fn a_webhook_that_does_not_call_and_a_listing_that_fails_are_wrong() {
    let mut config = crate::config::model::Config::clone(&config());
    let text = "[systems.shop]\nurl = \"http://a.example\"\nhooks = { recipe = \"woocommerce\", secrets = [\"file:x\"] }";
    let loaded = crate::config::parse(text, std::path::Path::new("/tmp/midwatch.toml"));
    let mut shop = loaded.expect("valid").config.systems["shop"].clone();
    shop.poll = vec![("order".into(), Duration::from_secs(300))];
    let sender = |state: Option<&str>, error: Option<&str>| SenderRow {
        system: "shop".into(),
        state: state.map(str::to_owned),
        error: error.map(str::to_owned),
        ..SenderRow::default()
    };
    let poll = |minutes_ago, error: Option<&str>| PollRow {
        system: "shop".into(),
        kind: "order".into(),
        mark: at(minutes_ago),
        run: at(minutes_ago),
        error: error.map(str::to_owned),
        ..PollRow::default()
    };
    for (watched, senders, polls, expected) in [
        (true, sender(Some("enabled"), None), poll(4, None), vec![]),
        (true, sender(None, None), poll(4, None), vec![]),
        (
            true,
            sender(Some("disabled\u{1b}"), None),
            poll(4, None),
            vec![(
                Severity::Critical,
                "its webhook is disabled\\x1b: `midwatch hook enable shop`",
            )],
        ),
        (false, sender(Some("disabled"), None), poll(4, None), vec![]),
        (
            true,
            sender(Some("missing"), None),
            poll(40, None),
            vec![
                (
                    Severity::Warning,
                    "has no webhook that calls this address: it never called",
                ),
                (Severity::Warning, "every 5m, but was last 40m ago"),
            ],
        ),
        (
            true,
            sender(Some("enabled"), Some("it answered 401")),
            poll(7, Some("it answered 500")),
            vec![
                (
                    Severity::Warning,
                    "could not be asked for its webhooks: it answered 401",
                ),
                (
                    Severity::Warning,
                    "in vain, nothing new since 7m ago: it answered 500",
                ),
            ],
        ),
    ] {
        if let Some(hooks) = &mut shop.hooks {
            hooks.watch = watched.then_some(Duration::from_secs(900));
        }
        config.systems.insert("shop".into(), shop.clone());
        let mut overview = overview();
        overview.senders = vec![senders];
        overview.polls = vec![polls];
        let mut found = wrong_now(&overview, &[], &config);
        found.retain(|trouble| trouble.about == About::Sender);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (severity, words) in expected {
            let is =
                |trouble: &Trouble| trouble.severity == severity && trouble.words.contains(words);
            assert!(found.iter().any(is), "{words}: {found:?}");
        }
    }
}

#[test]
fn tokens_that_fail_or_run_out_are_wrong_now_and_sorted_with_the_rest() {
    use crate::http::oauth::health::{Health, Level};
    let health = |level, is_known| Health {
        system: "crm".into(),
        level,
        words: "the last renewal failed 5m ago: refused".into(),
        is_known,
        valid_until: None,
        refresh_known: true,
        last_error: None,
    };
    for (level, is_known, severity) in [
        (Level::Ok, true, None),
        (Level::Warn, true, Some(Severity::Warning)),
        (Level::Bad, true, Some(Severity::Critical)),
        (Level::Warn, false, None),
    ] {
        let all = wrong_now(&overview(), &[health(level, is_known)], &config());
        let found = all
            .iter()
            .position(|trouble| trouble.words.contains("tokens"));
        let found = found.map(|at| all[at].severity);
        assert_eq!(found, severity, "{level:?} {is_known}");
        assert!(all.is_sorted_by(|a, b| a.severity >= b.severity), "{all:?}");
    }
}

#[test]
fn a_gap_that_nobody_asked_for_is_told_before_its_vendor_forgets_it() {
    const DAY: i64 = 24 * 60;
    let mut config = crate::config::model::Config::clone(&config());
    let text = "[systems.pay]\npreset = \"stripe\"\nhooks.secrets = [\"file:x\"]";
    let loaded = crate::config::parse(text, std::path::Path::new("/tmp/midwatch.toml"));
    let pay = loaded.expect("valid").config.systems["pay"].clone();
    config.systems.insert("pay".into(), pay);
    let open = |days: i64, error: Option<&str>| BackfillRow {
        system: "pay".into(),
        kind: "event".into(),
        why: "downtime".into(),
        since: at(days * DAY),
        started: NOW,
        error: error.map(str::to_owned),
        ..BackfillRow::default()
    };
    let beyond = BackfillRow {
        ended: Some(at(60)),
        ..open(40, Some("what happened before X cannot be had"))
    };
    let said = |rows: Vec<BackfillRow>, down_for: Option<i64>| {
        let mut overview = overview();
        overview.backfills = rows;
        if let Some(days) = down_for {
            overview.worker.state = "stopped".into();
            overview.worker.heartbeat = at(days * DAY);
            overview.worker.lock = crate::store::view::Lock::Free;
        }
        let all = wrong_now(&overview, &[], &config);
        let found = all
            .into_iter()
            .find(|trouble| trouble.words.contains("pay"));
        found.map(|trouble| (trouble.severity, trouble.words))
    };
    assert_eq!(said(vec![], None), None);
    assert_eq!(said(vec![open(1, None)], None), None);
    assert_eq!(said(vec![], Some(19)), None);
    for (rows, down_for, severity, words) in [
        (
            vec![open(1, Some("it answered 500\u{1b}"))],
            None,
            Severity::Warning,
            "pay cannot be asked for what was missed since 1d ago: it answered 500\\x1b",
        ),
        (
            vec![open(21, None)],
            None,
            Severity::Warning,
            "what pay sent since 21d ago was not asked for yet, and its vendor lists 30d back: the oldest is lost in 9d",
        ),
        (vec![], Some(21), Severity::Warning, "was not asked for yet"),
        (
            vec![open(31, Some("it answered 500"))],
            None,
            Severity::Critical,
            "the oldest is lost: it answered 500",
        ),
        (
            vec![beyond],
            None,
            Severity::Warning,
            "pay was asked for what was missed: what happened before X cannot be had",
        ),
    ] {
        let found = said(rows, down_for).expect(words);
        assert_eq!(found.0, severity, "{found:?}");
        assert!(found.1.contains(words), "{found:?}");
    }
}

#[test]
fn who_called_and_does_not_any_more_is_silent() {
    let said = |called: Timestamp, state: Option<&str>| {
        let mut overview = overview();
        overview.senders[0].called = Some(called);
        overview.senders[0].state = state.map(str::to_owned);
        let all = wrong_now(&overview, &[], &config());
        let found = all
            .into_iter()
            .find(|trouble| trouble.words.contains("silent"));
        found.map(|trouble| trouble.words)
    };
    let day = at(24 * 60);
    assert_eq!(said(day, Some(SenderRow::ENABLED)), None);
    let before = Timestamp(day.0 - 1);
    assert_eq!(
        said(before, Some(SenderRow::ENABLED)).unwrap(),
        "shop is silent: it called last 1d ago (Sun 22:14), though its vendor says that its webhook is enabled"
    );
    assert!(said(before, None).unwrap().ends_with("(Sun 22:14)"));
    // What its vendor says is told instead.
    assert_eq!(said(before, Some(SenderRow::MISSING)), None);
}

#[test]
fn what_waits_long_for_a_record_and_how_long_a_shadow_lasts_is_told() {
    let mut overview = overview();
    let path = &mut overview.paths[1];
    path.shadow = true;
    path.counts.shadowed = 213;
    path.shadow_since = Some(at(90));
    path.needing = 2;
    path.needing_since = Some(at(60));
    let words = |overview: &Overview| -> Vec<String> {
        let all = wrong_now(overview, &[], &config());
        all.into_iter().map(|trouble| trouble.words).collect()
    };
    let said = words(&overview);
    assert!(
        said.iter()
            .any(|words| words
                .starts_with("213 deliveries recorded on ledger since 20:45 and not sent")),
        "{said:?}"
    );
    assert!(
        !said.iter().any(|words| words.contains("another record")),
        "{said:?}"
    );
    overview.paths[1].needing_since = Some(at(61));
    let said = words(&overview);
    assert!(
        said.contains(
            &"2 deliveries on ledger wait for another record's id, the longest since 21:14"
                .to_owned()
        ),
        "{said:?}"
    );
}
