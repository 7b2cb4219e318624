//! Stories of the store, told through its public face with a clock that stands until it is moved.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::control::action::{Actor, Verdict};
use crate::event::{Event, Origin};
use crate::ids::{DeliveryId, EventId, Fingerprint, PathId};
use crate::queue::filter::Filter;
use crate::queue::model::{Answer, Attempt, Claimed, Class, Next, Settlement, State};
use crate::store::view::{BatchState, Lock, Severity};
use crate::time::{Clock, Timestamp};

pub(super) const START: Timestamp = Timestamp(1_790_000_000_000);

pub(super) struct Bed {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) path: PathId,
}

pub(super) async fn configure(store: &Store, paths: &[&str]) -> Vec<(String, PathId)> {
    store
        .register(
            paths.iter().map(|&path| (path.to_owned(), false)).collect(),
            1,
            "".into(),
        )
        .await
        .unwrap()
}

pub(super) fn options(clock: &Clock) -> Options {
    Options {
        clock: clock.clone(),
        disk_reserve: 0,
        dedupe: Duration::from_secs(30 * 86_400),
    }
}

impl Bed {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let store = Store::open(&dir.path().join("m.db"), options(&clock)).unwrap();
        let paths = configure(&store, &["p", "q"]).await;
        store.begin_work(false).await.unwrap();
        Self {
            dir,
            clock,
            store,
            path: paths[0].1,
        }
    }

    /// Closes the database and opens it again, as another worker would.
    pub(super) async fn restart(&mut self) -> Started {
        self.store.close().await;
        self.store = Store::open(&self.dir.path().join("m.db"), options(&self.clock)).unwrap();
        configure(&self.store, &["p", "q"]).await;
        self.store.begin_work(false).await.unwrap()
    }

    /// The same, in another place, as after a move.
    pub(super) async fn move_away(&mut self) -> Started {
        self.store.close().await;
        let to = self.dir.path().join("moved.db");
        std::fs::copy(self.dir.path().join("m.db"), &to).unwrap();
        self.store = Store::open(&to, options(&self.clock)).unwrap();
        self.store.begin_work(false).await.unwrap()
    }

    /// Sets its path to shadow mode, or back.
    pub(super) async fn shadow(&self, shadow: bool) {
        let paths = vec![("p".to_owned(), shadow), ("q".to_owned(), false)];
        self.store.register(paths, 1, "".into()).await.unwrap();
    }

    pub(super) fn incoming(&self, id: &str, key: Option<&str>) -> Incoming {
        Incoming {
            event: Event {
                source: "shop".into(),
                id: id.into(),
                kind: "order.created".into(),
                subject: key.map(str::to_owned),
                time: None,
                content_type: Some("application/json".into()),
                idempotency_key: None,
                schema_version: None,
                extensions: vec![],
                data: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
                origin: Origin::Send,
            },
            routes: vec![Route {
                path: self.path,
                order_key: key.map(str::to_owned),
                on_dead_continue: false,
                delay: Duration::ZERO,
                hold: None,
            }],
            hold: None,
            faults: Vec::new(),
            group: None,
            hold_on_conflict: false,
            digest: [1; 16],
            about: Vec::new(),
        }
    }

    pub(super) async fn accept(&self, id: &str, key: Option<&str>) -> DeliveryId {
        match self
            .store
            .accept(vec![self.incoming(id, key)])
            .await
            .unwrap()[0]
        {
            Receipt::Accepted { event, .. } => DeliveryId::new(event, 0),
            ref other => panic!("{other:?}"),
        }
    }

    pub(super) async fn claim(&self, count: usize) -> Vec<Claimed> {
        self.store
            .turn(
                vec![],
                vec![Want {
                    path: self.path,
                    count,
                }],
            )
            .await
            .unwrap()
            .claimed
    }

    pub(super) async fn settle(&self, claim: &Claimed, class: Class, next: Next) -> Turn {
        self.store
            .turn(vec![settlement(claim, class, next)], vec![])
            .await
            .unwrap()
    }

    pub(super) fn state(&self, id: DeliveryId) -> State {
        self.store
            .reader()
            .unwrap()
            .delivery(id)
            .unwrap()
            .unwrap()
            .row
            .state
    }

    /// The exact counters agree with the rows; only what waits has a need; what waits has a reason to.
    pub(super) fn audit(&self) {
        let connection = rusqlite::Connection::open(self.dir.path().join("m.db")).unwrap();
        for wrong in [
            "SELECT count(*) FROM need n LEFT JOIN delivery d ON d.id = n.delivery WHERE d.state IS NOT 2",
            "SELECT count(*) FROM delivery d WHERE state = 2 AND id NOT IN (SELECT delivery FROM need) AND NOT EXISTS (
               SELECT 1 FROM delivery o WHERE o.path = d.path AND o.order_key = d.order_key AND o.open = 1 AND o.id <> d.id
               AND (o.id < d.id OR o.state IN (0, 1)))",
        ] {
            let count: i64 = connection.query_row(wrong, [], |row| row.get(0)).unwrap();
            assert_eq!(count, 0, "{wrong}");
        }
        let mut rows: Vec<(i64, i64, i64)> = connection
            .prepare("SELECT path, state, count(*) FROM delivery GROUP BY path, state")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        rows.sort_unstable();
        let counters: Vec<(i64, i64, i64)> = connection
            .prepare(
                "SELECT path, state, n FROM counter WHERE path > 0 AND n <> 0 ORDER BY path, state",
            )
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(counters, rows);
    }
}

pub(super) fn settlement(claim: &Claimed, class: Class, next: Next) -> Settlement {
    Settlement {
        delivery: claim.delivery,
        fence: claim.fence,
        attempt: Some(Attempt {
            started_at: START,
            duration: Duration::from_millis(7),
            class,
            status: Some(200),
            charged: true,
            error: if class == Class::Delivered {
                String::new()
            } else {
                class.word().to_owned()
            },
            answer: Answer {
                headers: vec![("x".into(), "y".into())],
                body: b"ok".to_vec(),
                truncated: false,
            },
            target: ("POST".into(), "http://a/x".into()),
            key: "k1".into(),
            config: 1,
            steps: Vec::new(),
            fingerprint: (class != Class::Delivered).then_some(Fingerprint(class.code())),
        }),
        next,
    }
}

pub(super) fn dead() -> Next {
    Next::Dead {
        reason: "no".into(),
    }
}

pub(super) fn line() -> LogEntry {
    LogEntry {
        severity: Severity::Info,
        actor: Some(Actor {
            uid: 0,
            name: "anna".into(),
            from: None,
        }),
        kind: "test",
        path: None,
        delivery: None,
        text: "done".into(),
    }
}

#[tokio::test]
async fn an_event_is_accepted_claimed_and_delivered_with_its_bytes() {
    let bed = Bed::new().await;
    let id = bed.accept("e1", None).await;
    assert_eq!(id.to_string(), "1-1");
    let claims = bed.claim(10).await;
    assert_eq!(
        (claims.len(), &claims[0].event.data[..]),
        (1, &b"{\"id\":\"e1\"}"[..])
    );
    assert!(bed.claim(10).await.is_empty(), "a claim is not given twice");
    bed.settle(&claims[0], Class::Delivered, Next::Delivered)
        .await;
    let detail = bed.store.reader().unwrap().delivery(id).unwrap().unwrap();
    assert_eq!(
        (
            detail.row.state,
            detail.attempts.len(),
            detail.attempts[0].url.as_str()
        ),
        (State::Delivered, 1, "http://a/x")
    );
    assert_eq!(
        (
            detail.attempts[0].answer_body.as_slice(),
            detail.origin.as_str()
        ),
        (&b"ok"[..], "send")
    );
    bed.audit();
}

#[tokio::test]
async fn the_same_event_again_is_a_duplicate_and_other_content_a_conflict() {
    let bed = Bed::new().await;
    bed.accept("e1", None).await;
    let again = bed.incoming("e1", None);
    let mut other = bed.incoming("e1", None);
    other.digest = [2; 16];
    let mut hook = other.clone();
    hook.hold_on_conflict = true;
    let receipts = bed.store.accept(vec![again, other, hook]).await.unwrap();
    assert_eq!(receipts[0], Receipt::Duplicate { event: EventId(1) });
    assert_eq!(receipts[1], Receipt::Conflict { event: EventId(1) });
    assert!(
        matches!(
            &receipts[2],
            Receipt::Held {
                event: EventId(2),
                ..
            }
        ),
        "{receipts:?}"
    );
    let reader = bed.store.reader().unwrap();
    assert_eq!(reader.held_events(None, None, 10).unwrap().len(), 1);
    assert_eq!(reader.overview().unwrap().held_events, 1);
}

#[tokio::test]
async fn an_idempotency_key_is_remembered_across_buckets_and_forgotten_after_its_time() {
    let bed = Bed::new().await;
    let keyed = |id: &str, digest: u8| {
        let mut incoming = bed.incoming(id, None);
        incoming.event.idempotency_key = Some("key".into());
        incoming.digest = [digest; 16];
        incoming
    };
    bed.store.accept(vec![keyed("a", 1)]).await.unwrap();
    bed.clock.advance(Duration::from_secs(25 * 86_400));
    let receipts = bed
        .store
        .accept(vec![keyed("b", 1), keyed("c", 9)])
        .await
        .unwrap();
    assert_eq!(
        receipts,
        [
            Receipt::Duplicate { event: EventId(1) },
            Receipt::Conflict { event: EventId(1) }
        ]
    );
    bed.clock.advance(Duration::from_secs(25 * 86_400));
    let receipts = bed.store.accept(vec![keyed("c", 9)]).await.unwrap();
    assert!(
        matches!(receipts[0], Receipt::Accepted { .. }),
        "a refused id leaves no trace: {receipts:?}"
    );
}

#[tokio::test]
async fn an_event_without_a_path_is_kept_and_counted_as_unrouted() {
    let bed = Bed::new().await;
    let mut incoming = bed.incoming("e1", None);
    incoming.routes.clear();
    assert_eq!(
        bed.store.accept(vec![incoming]).await.unwrap(),
        [Receipt::Unrouted { event: EventId(1) }]
    );
    assert_eq!(bed.store.reader().unwrap().overview().unwrap().unrouted, 1);
}

#[tokio::test]
async fn a_route_to_an_unknown_path_refuses_only_its_own_batch() {
    let bed = Bed::new().await;
    let mut bad = bed.incoming("bad", None);
    bad.routes[0].path = PathId(99);
    let (bad, good) = tokio::join!(
        bed.store.accept(vec![bad]),
        bed.store.accept(vec![bed.incoming("good", None)])
    );
    assert!(matches!(bad, Err(StoreError::Invalid(_))), "{bad:?}");
    assert!(good.is_ok());
    bed.audit();
}

#[tokio::test]
async fn a_retry_waits_for_its_time() {
    let bed = Bed::new().await;
    bed.accept("e1", None).await;
    let claims = bed.claim(1).await;
    let due = START + Duration::from_secs(60);
    bed.settle(&claims[0], Class::Transient, Next::Retry { due })
        .await;
    let turn = bed
        .store
        .turn(
            vec![],
            vec![Want {
                path: bed.path,
                count: 1,
            }],
        )
        .await
        .unwrap();
    assert!(turn.claimed.is_empty());
    assert_eq!(turn.next_due, [(bed.path, Some(due))]);
    bed.clock.advance(Duration::from_secs(60));
    let claims = bed.claim(1).await;
    assert_eq!(
        (
            claims[0].fence.attempt,
            claims[0].charged,
            claims[0].last_key.as_deref()
        ),
        (2, 1, Some("k1"))
    );
}

#[tokio::test]
async fn a_late_settle_changes_nothing() {
    let mut bed = Bed::new().await;
    let id = bed.accept("e1", None).await;
    let stale = bed.claim(1).await.remove(0);
    bed.restart().await;
    let fresh = bed.claim(1).await.remove(0);
    assert_eq!(
        bed.settle(&stale, Class::Delivered, Next::Delivered)
            .await
            .late,
        1
    );
    assert_eq!(bed.state(id), State::Running);
    assert_eq!(bed.settle(&fresh, Class::Rejected, dead()).await.late, 0);
    assert_eq!(
        bed.settle(&fresh, Class::Delivered, Next::Delivered)
            .await
            .late,
        1,
        "a claim settles once"
    );
    assert_eq!(bed.state(id), State::Dead);
    bed.audit();
}

#[tokio::test]
async fn what_ran_when_the_worker_died_is_ready_again_and_uncharged() {
    let mut bed = Bed::new().await;
    let id = bed.accept("e1", None).await;
    bed.claim(1).await;
    let started = bed.restart().await;
    assert_eq!(started.rescued, 1);
    let detail = bed.store.reader().unwrap().delivery(id).unwrap().unwrap();
    assert_eq!(
        (detail.row.state, detail.row.charged, detail.row.last_class),
        (State::Ready, 0, Some(Class::Unknown))
    );
    assert_eq!(detail.attempts.len(), 1, "the lost attempt is visible");
    bed.audit();
}

#[tokio::test]
async fn a_delivery_that_kills_the_worker_three_times_alone_is_dead() {
    let mut bed = Bed::new().await;
    let id = bed.accept("e1", None).await;
    for crash in 0..5 {
        let claim = bed.claim(1).await.remove(0);
        assert_eq!(claim.suspect, crash >= 2, "crash {crash}");
        if claim.suspect {
            bed.store
                .mark_alone(claim.delivery, claim.fence)
                .await
                .unwrap();
        }
        bed.restart().await;
    }
    let row = bed
        .store
        .reader()
        .unwrap()
        .delivery(id)
        .unwrap()
        .unwrap()
        .row;
    assert_eq!(row.state, State::Dead);
    assert!(row.reason.unwrap().contains("poison"));
    bed.audit();
}

#[tokio::test]
async fn order_inside_a_key_is_commit_order_and_a_dead_head_blocks_until_cancelled() {
    let bed = Bed::new().await;
    let first = bed.accept("1", Some("order-7")).await;
    let second = bed.accept("2", Some("order-7")).await;
    let other = bed.accept("3", Some("order-8")).await;
    assert_eq!(bed.state(second), State::Waiting);
    let claims = bed.claim(10).await;
    assert_eq!(
        claims.iter().map(|c| c.delivery).collect::<Vec<_>>(),
        [first, other]
    );
    bed.settle(&claims[0], Class::Rejected, dead()).await;
    assert!(bed.claim(10).await.is_empty());
    let detail = bed
        .store
        .reader()
        .unwrap()
        .delivery(second)
        .unwrap()
        .unwrap();
    assert_eq!(detail.behind, Some(first));
    let filter = Filter {
        ids: vec![first],
        ..Filter::default()
    };
    bed.store
        .cancel(filter, first, 1, "wrong order".into(), line())
        .await
        .unwrap();
    assert_eq!(bed.claim(10).await[0].delivery, second);
    bed.audit();
}

#[tokio::test]
async fn a_replayed_elder_goes_before_a_ready_younger() {
    let bed = Bed::new().await;
    let first = bed.accept("1", Some("k")).await;
    let claims = bed.claim(1).await;
    bed.settle(&claims[0], Class::Delivered, Next::Delivered)
        .await;
    let second = bed.accept("2", Some("k")).await;
    replay(
        &bed,
        Filter {
            ids: vec![first],
            ..Filter::default()
        },
        false,
    )
    .await;
    assert_eq!(
        (bed.state(first), bed.state(second)),
        (State::Ready, State::Waiting)
    );
    let claims = bed.claim(5).await;
    assert_eq!(
        (claims.len(), claims[0].delivery, claims[0].fence.generation),
        (1, first, 2)
    );
    bed.settle(&claims[0], Class::Delivered, Next::Delivered)
        .await;
    assert_eq!(bed.claim(5).await[0].delivery, second);
    bed.audit();
}

#[tokio::test]
async fn what_its_route_holds_waits_for_a_person_and_its_key_with_it() {
    let bed = Bed::new().await;
    let mut incoming = bed.incoming("1", Some("k"));
    incoming.routes[0].hold = Some("crm owns it".into());
    bed.store.accept(vec![incoming]).await.unwrap();
    bed.accept("2", Some("k")).await;
    let first = DeliveryId::new(EventId(1), 0);
    let second = DeliveryId::new(EventId(2), 0);
    let reader = bed.store.reader().unwrap();
    let row = |id| reader.delivery(id).unwrap().unwrap().row;
    assert_eq!(
        (row(first).state, row(first).reason.as_deref()),
        (State::Held, Some("crm owns it"))
    );
    assert_eq!(row(second).state, State::Waiting);
    assert!(bed.claim(5).await.is_empty());
    let filter = Filter {
        ids: vec![first],
        ..Filter::default()
    };
    replay(&bed, filter, true).await;
    let claims = bed.claim(5).await;
    assert_eq!((claims.len(), claims[0].delivery), (1, first));
    assert!(!claims[0].forced);
    bed.settle(&claims[0], Class::Delivered, Next::Delivered)
        .await;
    assert_eq!(bed.claim(5).await[0].delivery, second);
    bed.audit();
}

pub(super) async fn replay(bed: &Bed, filter: Filter, skip_risky: bool) -> view::BatchRow {
    let preview = bed.store.reader().unwrap().preview(&filter, true).unwrap();
    let options = BatchOptions {
        skip_risky,
        canary: 1,
        pace: 10.0,
        scope: preview.scope,
        forced: false,
    };
    let batch = bed
        .store
        .create_batch(
            filter,
            preview.high_water.unwrap(),
            preview.count,
            options,
            line(),
        )
        .await
        .unwrap();
    bed.store.release(batch.id, 100).await.unwrap()
}

#[tokio::test]
async fn a_replay_is_pinned_released_and_reported() {
    let bed = Bed::new().await;
    for n in 0..4 {
        bed.accept(&n.to_string(), None).await;
    }
    for claim in bed.claim(4).await {
        bed.settle(&claim, Class::Rejected, dead()).await;
    }
    let filter = Filter {
        states: vec![State::Dead],
        ..Filter::default()
    };
    let reader = bed.store.reader().unwrap();
    let preview = reader.preview(&filter, true).unwrap();
    assert_eq!(
        (preview.count, preview.verdicts.as_slice()),
        (4, &[(Verdict::Safe, 4)][..])
    );
    let groups = reader.dead_groups().unwrap();
    assert_eq!(
        (groups.len(), groups[0].count, groups[0].class),
        (1, 4, Some(Class::Rejected))
    );
    let row = replay(&bed, filter, true).await;
    assert_eq!(
        (row.total, row.released, row.pending, row.state),
        (4, 4, 0, BatchState::Canary)
    );
    let claims = bed.claim(4).await;
    assert!(claims.iter().all(|claim| claim.charged == 0
        && claim.fence.generation == 2
        && claim.batch == Some(row.id)));
    bed.settle(&claims[0], Class::Rejected, dead()).await;
    for claim in &claims[1..] {
        bed.settle(claim, Class::Delivered, Next::Delivered).await;
    }
    let row = bed
        .store
        .set_batch(row.id, BatchState::Done, None)
        .await
        .unwrap();
    assert_eq!((row.delivered, row.died, row.released), (3, 1, 0));
    assert!(row.ended.is_some());
    bed.accept("another", None).await;
    let items = Filter {
        replay: Some(row.id),
        ..Filter::default()
    };
    let (items, _) = reader.deliveries(&items, Cursor::Newest, 9).unwrap();
    let delivered = items.iter().filter(|row| row.state == State::Delivered);
    assert_eq!((items.len(), delivered.count()), (4, 3));
    bed.audit();
}

#[tokio::test]
async fn a_replay_of_more_than_was_shown_is_refused() {
    let bed = Bed::new().await;
    let last = bed.accept("1", None).await;
    let filter = Filter {
        states: vec![State::Ready],
        ..Filter::default()
    };
    let options = BatchOptions {
        skip_risky: false,
        canary: 1,
        pace: 1.0,
        scope: String::new(),
        forced: false,
    };
    let error = bed
        .store
        .create_batch(filter, last, 0, options, line())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("preview again"), "{error}");
    assert_eq!(
        bed.store.reader().unwrap().batches(9).unwrap()[0].state,
        BatchState::Aborted
    );
}

#[tokio::test]
async fn pages_are_newest_first_in_both_directions() {
    let bed = Bed::new().await;
    for n in 0..25 {
        bed.accept(&format!("e{n}"), None).await;
    }
    let reader = bed.store.reader().unwrap();
    let page = |cursor| {
        reader
            .deliveries(&Filter::default(), cursor, 10)
            .unwrap()
            .0
            .iter()
            .map(|row| row.id.event().0)
            .collect::<Vec<_>>()
    };
    assert_eq!(page(Cursor::Newest), (16..=25).rev().collect::<Vec<_>>());
    assert_eq!(
        page(Cursor::Older(DeliveryId::new(EventId(16), 0))),
        (6..=15).rev().collect::<Vec<_>>()
    );
    assert_eq!(
        page(Cursor::Newer(DeliveryId::new(EventId(5), 0))),
        (6..=15).rev().collect::<Vec<_>>()
    );
    assert_eq!(page(Cursor::Oldest), (1..=10).rev().collect::<Vec<_>>());
    let found = reader
        .deliveries(
            &Filter {
                text: Some("E7".into()),
                ..Filter::default()
            },
            Cursor::Newest,
            10,
        )
        .unwrap()
        .0;
    assert_eq!(found.len(), 1);
    let none = reader
        .deliveries(
            &Filter {
                text: Some("100%_".into()),
                ..Filter::default()
            },
            Cursor::Newest,
            10,
        )
        .unwrap()
        .0;
    assert!(none.is_empty(), "wildcards are text");
}

#[tokio::test]
async fn statistics_and_latency_reach_the_overview() {
    let bed = Bed::new().await;
    bed.accept("a", None).await;
    bed.accept("b", None).await;
    let claims = bed.claim(2).await;
    bed.clock.advance(Duration::from_secs(2));
    bed.settle(&claims[0], Class::Delivered, Next::Delivered)
        .await;
    bed.settle(&claims[1], Class::Rejected, dead()).await;
    bed.store.close().await;
    let reader = Reader::open(&bed.dir.path().join("m.db")).unwrap();
    let row = reader.overview().unwrap().paths.remove(0);
    assert_eq!(
        (row.name.as_str(), row.counts.delivered, row.counts.dead),
        ("p", 1, 1)
    );
    let connection = rusqlite::Connection::open(bed.dir.path().join("m.db")).unwrap();
    let sums: (i64, i64, i64) = connection
        .query_row(
            "SELECT sum(accepted), sum(attempts), sum(failed) FROM minute",
            [],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
        )
        .unwrap();
    assert_eq!(sums, (2, 2, 1));
}

#[tokio::test]
async fn a_second_writer_is_refused_with_words_and_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::new().await;
    bed.accept("a", None).await;
    let file = bed.dir.path().join("m.db");
    let error = Store::open(&file, options(&bed.clock)).unwrap_err();
    assert!(
        matches!(error, OpenError::Locked { pid, .. } if pid == std::process::id()),
        "{error}"
    );
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mode = std::fs::metadata(format!("{}{suffix}", file.display()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn a_backup_is_whole_private_and_comes_up_held_until_adopted() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::new().await;
    bed.accept("a", None).await;
    let copy = bed.dir.path().join("copy.db");
    bed.store.backup(copy.clone()).await.unwrap();
    assert_eq!(
        std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let error = bed.store.backup(copy.clone()).await.unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");
    let reader = Reader::open(&copy).unwrap();
    let words = reader.overview().unwrap().foreign_host.unwrap();
    assert!(words.contains("backup copy"), "{words}");
    drop(reader);
    let restored = Store::open(&copy, options(&bed.clock)).unwrap();
    configure(&restored, &["p", "q"]).await;
    let started = restored.begin_work(false).await.unwrap();
    assert!(started.foreign_host.is_some());
    let want = || {
        vec![Want {
            path: bed.path,
            count: 1,
        }]
    };
    assert!(
        restored
            .turn(vec![], want())
            .await
            .unwrap()
            .claimed
            .is_empty()
    );
    assert!(
        restored
            .reader()
            .unwrap()
            .overview()
            .unwrap()
            .foreign_host
            .is_some()
    );
    restored.adopt_host(line()).await.unwrap();
    assert_eq!(
        restored.turn(vec![], want()).await.unwrap().claimed.len(),
        1
    );
    restored.close().await;
    assert!(!restored_is_foreign(&copy, &bed.clock).await);
}

async fn restored_is_foreign(file: &std::path::Path, clock: &Clock) -> bool {
    let store = Store::open(file, options(clock)).unwrap();
    store
        .begin_work(false)
        .await
        .unwrap()
        .foreign_host
        .is_some()
}

#[tokio::test]
async fn below_the_disk_reserve_nothing_is_accepted_but_deliveries_go_on() {
    let bed = Bed::new().await;
    bed.accept("a", None).await;
    bed.store.close().await;
    let store = Store::open(
        &bed.dir.path().join("m.db"),
        Options {
            disk_reserve: u64::MAX,
            ..options(&bed.clock)
        },
    )
    .unwrap();
    store.begin_work(false).await.unwrap();
    let error = store
        .accept(vec![bed.incoming("b", None)])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert!(matches!(*store.health().borrow(), Health::DiskFull { .. }));
    let claims = store
        .turn(
            vec![],
            vec![Want {
                path: bed.path,
                count: 1,
            }],
        )
        .await
        .unwrap()
        .claimed;
    assert_eq!(claims.len(), 1);
    assert!(
        store
            .reader()
            .unwrap()
            .overview()
            .unwrap()
            .trouble
            .is_some()
    );
    // Also to those outside the process.
    let outside = Reader::open(&bed.dir.path().join("m.db")).unwrap();
    let trouble = outside.overview().unwrap().trouble.unwrap();
    assert!(trouble.starts_with("disk full"), "{trouble}");
    store.close().await;
    let overview = outside.overview().unwrap();
    assert_eq!((overview.trouble, overview.worker.lock), (None, Lock::Free));
}

#[tokio::test]
async fn what_waits_behind_a_dead_letter_keeps_its_age_and_is_called_blocked() {
    let bed = Bed::new().await;
    let row = || bed.store.reader().unwrap().overview().unwrap().paths[0].clone();
    bed.accept("a", Some("k")).await;
    bed.clock.advance(Duration::from_secs(60));
    let since = bed.clock.now();
    bed.accept("b", Some("k")).await;
    let claim = bed.claim(1).await.remove(0);
    let later = bed.clock.now() + Duration::from_secs(900);
    bed.settle(&claim, Class::Rejected, Next::Retry { due: later })
        .await;
    let found = row();
    assert_eq!(
        (found.retrying, found.blocked, found.oldest_open),
        (true, None, Some(START))
    );
    bed.clock.advance(Duration::from_secs(901));
    let claim = bed.claim(1).await.remove(0);
    bed.settle(&claim, Class::Rejected, dead()).await;
    let found = row();
    assert_eq!(
        (found.retrying, found.blocked, found.oldest_open),
        (false, Some(since), Some(since))
    );
    configure(&bed.store, &["q"]).await;
    let waiting = DeliveryId::new(EventId(claim.delivery.event().0 + 1), 0);
    let shown = bed.store.reader().unwrap().delivery(waiting).unwrap();
    let reason = shown.unwrap().row.reason.unwrap();
    assert!(reason.contains("path p was removed"), "{reason}");
}

#[tokio::test]
async fn retention_prunes_what_is_settled_and_old_and_keeps_dead_letters() {
    let mut bed = Bed::new().await;
    let done = bed.accept("done", None).await;
    let kept = bed.accept("dead", None).await;
    let claims = bed.claim(2).await;
    bed.settle(&claims[0], Class::Delivered, Next::Delivered)
        .await;
    bed.settle(&claims[1], Class::Rejected, dead()).await;
    bed.clock.advance(Duration::from_secs(86_400));
    let before = bed.clock.now() - Duration::from_secs(3600);
    while bed.store.prune(before, before, None).await.unwrap() {}
    let reader = bed.store.reader().unwrap();
    assert!(reader.delivery(done).unwrap().is_none());
    assert!(reader.delivery(kept).unwrap().is_some());
    bed.audit();
    bed.restart().await;
    assert_eq!(
        bed.accept("next", None).await.event(),
        EventId(3),
        "numbers are never used twice"
    );
}

#[tokio::test]
async fn a_path_that_is_no_longer_configured_is_marked_and_returns() {
    let bed = Bed::new().await;
    bed.accept("a", None).await;
    configure(&bed.store, &["q"]).await;
    let overview = bed.store.reader().unwrap().overview().unwrap();
    let removed: Vec<_> = overview
        .paths
        .iter()
        .filter(|path| path.removed)
        .map(|path| path.name.as_str())
        .collect();
    assert_eq!(removed, ["p"]);
    assert!(
        overview
            .log
            .iter()
            .any(|line| line.text.contains("1 deliveries are held")),
        "{:?}",
        overview.log
    );
    configure(&bed.store, &["p", "q"]).await;
    assert!(
        bed.store
            .reader()
            .unwrap()
            .overview()
            .unwrap()
            .paths
            .iter()
            .all(|path| !path.removed)
    );
}
