//! Stories of records: what is learnt is known at once, waits end in the commit that learns, aliases keep meaning the same.

use std::time::Duration;

use super::tests::{Bed, START, dead, line, replay};
use super::*;
use crate::event::Origin;
use crate::ids::DeliveryId;
use crate::queue::filter::Filter;
use crate::queue::model::{Claimed, Class, Need, Next, Request, State};
use crate::record::ledger::{About, Learned};
use crate::record::value::{Value, Version};
use crate::time::Timestamp;

fn about(kind: &str, key: &str) -> About {
    About {
        kind: kind.into(),
        key: key.into(),
    }
}

fn learned(key: &str, id: &str) -> Learned {
    Learned {
        system: "crm".into(),
        about: about("contact", key),
        id: Some(id.into()),
        ..Learned::default()
    }
}

fn need(key: &str, until: Timestamp) -> Next {
    Next::Wait {
        need: Need {
            system: "crm".into(),
            kind: "contact".into(),
            key: key.into(),
            until,
        },
        reason: format!("contact {key} is not in crm yet"),
    }
}

fn anna() -> String {
    Value::Text("Anna".into()).canonical()
}

impl Bed {
    /// An order of `contact`, in the order of `key`.
    async fn order(&self, id: &str, key: Option<&str>, contact: &str) -> DeliveryId {
        let mut incoming = self.incoming(id, key);
        incoming.about = vec![about("order", id), about("contact", contact)];
        match self.store.accept(vec![incoming]).await.unwrap()[0] {
            Receipt::Accepted { event, .. } => DeliveryId::new(event, 0),
            ref other => panic!("{other:?}"),
        }
    }

    async fn learn(&self, learned: Learned) {
        self.store.learn(learned).await.unwrap();
    }

    async fn known(&self, key: &str) -> crate::record::ledger::Known {
        let (system, kind) = ("crm".to_owned(), "contact".to_owned());
        self.store
            .known(system, kind, key.to_owned())
            .await
            .unwrap()
    }

    fn story(&self, kind: &str, key: &str) -> view::Story {
        let reader = self.store.reader().unwrap();
        reader.story(kind, key, 1000).unwrap().expect("is known")
    }

    fn lines(&self, kind: &str, key: &str) -> Vec<String> {
        let lines = self.story(kind, key).lines.into_iter();
        lines.map(|line| line.text).collect()
    }

    fn reason(&self, id: DeliveryId) -> Option<String> {
        let detail = self.store.reader().unwrap().delivery(id).unwrap().unwrap();
        detail.row.reason
    }

    async fn claim_one(&self) -> Claimed {
        let mut claims = self.claim(5).await;
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.remove(0)
    }
}

#[tokio::test]
async fn what_was_learnt_is_known_at_once_and_more_is_added_to_it() {
    let bed = Bed::new().await;
    assert_eq!(
        bed.known("a@x").await,
        crate::record::ledger::Known::default()
    );
    bed.learn(Learned {
        version: Some(Version::Number(7)),
        sent: vec![("name".into(), Value::Text("Anna".into()), false)],
        joined: vec![("company".into(), "31".into())],
        story: Some("created in crm as 9001".into()),
        ..learned("a@x", "9001")
    })
    .await;
    bed.clock.advance(Duration::from_secs(60));
    bed.learn(Learned {
        id: None,
        agreed: vec![("name".into(), Value::Text("Anna".into()), false)],
        ..learned("a@x", "")
    })
    .await;
    let known = bed.known("a@x").await;
    let name = &known.fields["name"];
    assert_eq!(
        (known.id.as_deref(), &known.version, known.adopted),
        (Some("9001"), &Some(Version::Number(7)), false)
    );
    assert_eq!(name.sent, Some((anna(), START)));
    assert_eq!(name.agreed, Some((anna(), bed.clock.now())));
    assert!(known.joined.contains(&("company".into(), "31".into())));
    assert_eq!(bed.lines("contact", "a@x"), ["created in crm as 9001"]);
    let elsewhere = bed
        .store
        .known("shop".into(), "contact".into(), "a@x".into());
    assert_eq!(
        elsewhere.await.unwrap().id,
        None,
        "an id belongs to its system"
    );
}

#[tokio::test]
async fn a_listing_does_not_turn_a_version_back_but_a_write_may() {
    let bed = Bed::new().await;
    for (version, adopted, expected) in [(7, false, 7), (5, true, 7), (9, true, 9), (8, false, 8)] {
        bed.learn(Learned {
            version: Some(Version::Number(version)),
            adopted,
            ..learned("a@x", "1")
        })
        .await;
        let known = bed.known("a@x").await.version;
        assert_eq!(known, Some(Version::Number(expected)));
    }
}

#[tokio::test]
async fn a_sensitive_value_is_kept_only_as_a_keyed_hash_and_a_long_one_is_bounded() {
    let mut bed = Bed::new().await;
    let canary = Value::Text("anna-canary@example.com".into());
    let long = Value::Text("å".repeat(40_000));
    bed.learn(Learned {
        sent: vec![
            ("email".into(), canary.clone(), true),
            ("note".into(), long.clone(), false),
        ],
        ..learned("customer-7", "1")
    })
    .await;
    let known = bed.known("customer-7").await;
    let kept = |name: &str| known.fields[name].sent.clone().unwrap().0;
    let hash = kept("email");
    assert!(hash.len() == 17 && hash.starts_with('#'), "{hash}");
    assert_eq!(hash, bed.store.ledger_text(&canary, true), "told again");
    assert!(kept("note").len() <= 256, "{}", kept("note").len());
    assert_eq!(kept("note"), bed.store.ledger_text(&long, false));
    bed.restart().await;
    assert_eq!(
        hash,
        bed.store.ledger_text(&canary, true),
        "by the same key"
    );
    let other = Bed::new().await;
    assert_ne!(
        hash,
        other.store.ledger_text(&canary, true),
        "each database has its own"
    );
    bed.store.close().await;
    for suffix in ["", "-wal"] {
        let bytes = std::fs::read(bed.dir.path().join(format!("m.db{suffix}"))).unwrap_or_default();
        assert!(!bytes.windows(11).any(|part| part == b"anna-canary"));
    }
}

#[tokio::test]
async fn a_new_key_means_the_same_record_and_two_that_turn_out_to_be_one_become_the_older() {
    let bed = Bed::new().await;
    bed.learn(Learned {
        sent: vec![("name".into(), Value::Text("Anna".into()), false)],
        story: Some("created".into()),
        ..learned("old@x", "9001")
    })
    .await;
    bed.clock.advance(Duration::from_secs(60));
    bed.order("1", None, "new@x").await;
    assert_eq!(bed.known("new@x").await.id, None, "two records so far");
    bed.clock.advance(Duration::from_secs(60));
    bed.learn(Learned {
        id: None,
        aliases: vec!["old@x".into(), "third@x".into()],
        ..learned("new@x", "")
    })
    .await;
    for key in ["old@x", "new@x", "third@x"] {
        let known = bed.known(key).await;
        assert_eq!(known.id.as_deref(), Some("9001"), "{key}");
        assert_eq!(known.fields["name"].sent, Some((anna(), START)));
    }
    let story = bed.story("contact", "third@x");
    assert_eq!(story.about.key, "old@x", "the older one stays");
    assert_eq!(story.keys, ["old@x", "new@x", "third@x"]);
    let lines: Vec<&str> = story.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        lines,
        [
            "created",
            "order.created from shop",
            "another record turned out to be this one",
            "known by another key, too"
        ]
    );
    // What ends later is told in the story of the one.
    let claim = bed.claim_one().await;
    bed.settle(&claim, Class::Delivered, Next::Delivered).await;
    assert_eq!(
        bed.lines("contact", "old@x").last().unwrap(),
        "delivered: 200"
    );
    let found = bed
        .store
        .reader()
        .unwrap()
        .record_search(None, "x", 10)
        .unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
}

#[tokio::test]
async fn whatever_waits_for_an_id_goes_on_in_the_commit_that_learns_it_under_any_key() {
    let bed = Bed::new().await;
    let until = START + Duration::from_secs(3600);
    let first = bed.order("1", None, "a@x").await;
    let second = bed.order("2", None, "b@x").await;
    for claim in bed.claim(5).await {
        let key = if claim.delivery == first {
            "a@x"
        } else {
            "b@x"
        };
        bed.settle(&claim, Class::Transient, need(key, until)).await;
    }
    let reader = bed.store.reader().unwrap();
    let needs = reader.needs(&Filter::default(), 10).unwrap();
    assert_eq!(
        needs.iter().map(|need| need.delivery).collect::<Vec<_>>(),
        [first, second]
    );
    assert_eq!(
        needs[0].reason.as_deref(),
        Some("contact a@x is not in crm yet")
    );
    assert_eq!(reader.overview().unwrap().paths[0].needing, 2);
    assert_eq!(
        reader.delivery(first).unwrap().unwrap().need.unwrap().key,
        "a@x"
    );
    // Another system's id, or another record's, helps nobody.
    bed.learn(Learned {
        system: "shop".into(),
        ..learned("a@x", "5")
    })
    .await;
    bed.learn(learned("c@x", "6")).await;
    assert!(bed.claim(5).await.is_empty());
    bed.learn(Learned {
        aliases: vec!["b@x".into()],
        ..learned("a@x", "9001")
    })
    .await;
    assert_eq!(
        (bed.state(first), bed.state(second)),
        (State::Ready, State::Ready)
    );
    assert!(reader.needs(&Filter::default(), 10).unwrap().is_empty());
    let lines = bed.lines("order", "1");
    assert_eq!(
        lines,
        [
            "order.created from shop",
            "waits: contact a@x is not in crm yet",
            "the contact is known in crm: goes on"
        ]
    );
    assert_eq!(bed.claim(5).await.len(), 2);
    bed.audit();
}

#[tokio::test]
async fn an_id_that_comes_while_the_attempt_runs_is_not_waited_for() {
    let bed = Bed::new().await;
    let id = bed.order("1", Some("k"), "a@x").await;
    let claim = bed.claim_one().await;
    bed.clock.advance(Duration::from_secs(1));
    bed.learn(learned("a@x", "9001")).await;
    bed.settle(&claim, Class::Transient, need("a@x", Timestamp(i64::MAX)))
        .await;
    assert_eq!(bed.state(id), State::Ready);
    // But one that was known when it looked, and did not help, is: else it would try for ever.
    bed.clock.advance(Duration::from_secs(1));
    let claim = bed.claim_one().await;
    bed.settle(&claim, Class::Transient, need("a@x", Timestamp(i64::MAX)))
        .await;
    assert_eq!(bed.state(id), State::Waiting);
    bed.audit();
}

#[tokio::test]
async fn what_waits_keeps_its_place_in_the_order_of_its_key() {
    let bed = Bed::new().await;
    let elder = bed.order("1", Some("k"), "a@x").await;
    let claim = bed.claim_one().await;
    bed.settle(&claim, Class::Delivered, Next::Delivered).await;
    let waits = bed.order("2", Some("k"), "a@x").await;
    let younger = bed.order("3", Some("k"), "a@x").await;
    let claim = bed.claim_one().await;
    assert_eq!(claim.delivery, waits);
    bed.settle(&claim, Class::Transient, need("a@x", Timestamp(i64::MAX)))
        .await;
    assert!(bed.claim(5).await.is_empty(), "it blocks its key");
    // An elder that is replayed passes, and its end does not make the waiting one ready.
    replay(&bed, Filter::of_ids([elder]), false).await;
    let claim = bed.claim_one().await;
    assert_eq!(claim.delivery, elder);
    // Met while the elder runs: behind it, no longer for the record.
    bed.settle(&claim, Class::Delivered, Next::Delivered).await;
    assert_eq!(bed.state(waits), State::Waiting);
    replay(&bed, Filter::of_ids([elder]), false).await;
    let claim = bed.claim_one().await;
    bed.learn(learned("a@x", "9001")).await;
    assert_eq!(bed.state(waits), State::Waiting);
    let shown = bed
        .store
        .reader()
        .unwrap()
        .delivery(waits)
        .unwrap()
        .unwrap();
    assert_eq!((shown.need, shown.behind), (None, Some(elder)));
    bed.settle(&claim, Class::Delivered, Next::Delivered).await;
    assert_eq!(bed.claim_one().await.delivery, waits);
    assert_eq!(bed.state(younger), State::Waiting);
    bed.audit();
}

#[tokio::test]
async fn what_waits_too_long_is_held_for_review_and_can_be_replayed() {
    let bed = Bed::new().await;
    let id = bed.order("1", Some("k"), "a@x").await;
    let behind = bed.order("2", Some("k"), "a@x").await;
    let claim = bed.claim_one().await;
    bed.settle(
        &claim,
        Class::Transient,
        need("a@x", START + Duration::from_secs(86_400)),
    )
    .await;
    bed.clock.advance(Duration::from_secs(86_399));
    assert_eq!(bed.store.expire_needs().await.unwrap(), 0);
    bed.clock.advance(Duration::from_secs(1));
    assert_eq!(bed.store.expire_needs().await.unwrap(), 1);
    let reason = bed.reason(id).unwrap();
    assert_eq!(reason, "waited 1d in vain: contact a@x is not in crm yet");
    assert_eq!(
        (bed.state(id), bed.state(behind)),
        (State::Held, State::Waiting)
    );
    let log = bed.store.reader().unwrap().log(None, 5).unwrap();
    assert!(
        log.iter()
            .any(|line| line.delivery == Some(id) && line.text.contains("held for review"))
    );
    bed.learn(learned("a@x", "9001")).await;
    assert_eq!(bed.state(id), State::Held, "a person decides");
    replay(&bed, Filter::of_ids([id]), false).await;
    assert_eq!(bed.claim_one().await.delivery, id);
    bed.audit();
}

#[tokio::test]
async fn a_wait_ends_by_replay_and_by_cancellation_too() {
    let bed = Bed::new().await;
    let id = bed.order("1", None, "a@x").await;
    let claim = bed.claim_one().await;
    bed.settle(&claim, Class::Transient, need("a@x", Timestamp(i64::MAX)))
        .await;
    let batch = replay(&bed, Filter::of_ids([id]), false).await;
    assert_eq!((batch.released, bed.state(id)), (1, State::Ready));
    let claim = bed.claim_one().await;
    bed.settle(&claim, Class::Transient, need("a@x", Timestamp(i64::MAX)))
        .await;
    let batch = bed
        .store
        .reader()
        .unwrap()
        .batch(batch.id)
        .unwrap()
        .unwrap();
    assert_eq!(
        (batch.released, batch.skipped),
        (0, 1),
        "a wait does not hold a replay up"
    );
    bed.store
        .cancel(Filter::of_ids([id]), id, 1, "not wanted".into(), line())
        .await
        .unwrap();
    assert!(
        bed.store
            .reader()
            .unwrap()
            .needs(&Filter::default(), 9)
            .unwrap()
            .is_empty()
    );
    bed.learn(learned("a@x", "9001")).await;
    assert_eq!(bed.state(id), State::Cancelled);
    assert_eq!(
        bed.lines("order", "1").last().unwrap(),
        "cancelled: not wanted"
    );
    bed.audit();
}

#[tokio::test]
async fn a_story_outlives_payloads_and_is_bounded() {
    let bed = Bed::new().await;
    bed.order("1042", None, "a@x").await;
    let claim = bed.claim_one().await;
    bed.settle(&claim, Class::Rejected, dead()).await;
    replay(&bed, Filter::of_ids([claim.delivery]), false).await;
    let claim = bed.claim_one().await;
    bed.settle(&claim, Class::Delivered, Next::Delivered).await;
    bed.clock.advance(Duration::from_secs(40 * 86_400));
    let before = bed.clock.now() - Duration::from_secs(86_400);
    while bed.store.prune(before, before, None).await.unwrap() {}
    assert!(
        bed.store
            .reader()
            .unwrap()
            .delivery(claim.delivery)
            .unwrap()
            .is_none()
    );
    assert_eq!(
        bed.lines("order", "1042"),
        [
            "order.created from shop",
            "dead: no",
            "replayed (batch 1)",
            "delivered: 200"
        ]
    );
    for n in 0..600 {
        bed.learn(Learned {
            story: Some(format!("line {n}")),
            ..learned("a@x", "1")
        })
        .await;
    }
    let story = bed
        .store
        .reader()
        .unwrap()
        .story("contact", "a@x", 100)
        .unwrap()
        .unwrap();
    assert_eq!((story.lines.len(), story.older), (100, 400));
    assert_eq!(story.lines[99].text, "line 599");
    // Forgotten when nothing happened to it for long enough.
    let later = bed.clock.now() + Duration::from_secs(7200);
    while bed.store.prune(before, before, Some(later)).await.unwrap() {}
    assert!(
        bed.store
            .reader()
            .unwrap()
            .story("contact", "a@x", 1)
            .unwrap()
            .is_none()
    );
    assert_eq!(bed.known("a@x").await.id, None);
}

#[tokio::test]
async fn shadowed_deliveries_are_settled_counted_replayable_and_pruned() {
    let bed = Bed::new().await;
    bed.shadow(true).await;
    let id = bed.order("1", Some("k"), "a@x").await;
    let next = bed.order("2", Some("k"), "a@x").await;
    let claim = bed.claim_one().await;
    let request = Request {
        method: "POST".into(),
        url: "http://crm/deals".into(),
        headers: vec![],
        body: "{}".into(),
        key: "k1".into(),
    };
    let shadowed = Next::Shadowed {
        request: request.clone(),
        reason: "would create".into(),
    };
    bed.settle(&claim, Class::Delivered, shadowed).await;
    let reader = bed.store.reader().unwrap();
    assert_eq!(reader.delivery(id).unwrap().unwrap().frozen, Some(request));
    let found = reader.shadowed("p").unwrap();
    assert_eq!(
        (found.count, found.would.as_slice()),
        (1, &[("would create".to_owned(), 1)][..])
    );
    assert_eq!(reader.overview().unwrap().paths[0].counts.shadowed, 1);
    let claim = bed.claim_one().await;
    assert_eq!(claim.delivery, next, "it blocks nothing");
    bed.settle(
        &claim,
        Class::Delivered,
        Next::Superseded {
            reason: "older".into(),
        },
    )
    .await;
    let filter = Filter {
        states: vec![State::Shadowed],
        ..Filter::default()
    };
    let preview = reader.preview(&filter, true).unwrap();
    assert_eq!(
        preview.verdicts,
        [(crate::control::action::Verdict::Safe, 1)]
    );
    replay(&bed, filter, true).await;
    let claim = bed.claim_one().await;
    assert_eq!(
        (claim.delivery, &claim.frozen),
        (id, &None),
        "rendered anew"
    );
    let shadowed = Next::Shadowed {
        request: request_again(),
        reason: "would create".into(),
    };
    bed.settle(&claim, Class::Delivered, shadowed).await;
    bed.clock.advance(Duration::from_secs(86_400));
    let before = bed.clock.now() - Duration::from_secs(3600);
    while bed.store.prune(before, before, None).await.unwrap() {}
    assert!(reader.delivery(id).unwrap().is_none());
    bed.audit();
}

fn request_again() -> Request {
    Request {
        method: "POST".into(),
        url: "http://crm/deals".into(),
        headers: vec![],
        body: "{}".into(),
        key: "k2".into(),
    }
}

#[tokio::test]
async fn what_is_shadowed_after_its_path_went_live_is_not_only_recorded() {
    let bed = Bed::new().await;
    bed.shadow(true).await;
    let id = bed.order("1", Some("k"), "a@x").await;
    let claim = bed.claim_one().await;
    bed.store.golive(bed.path, line()).await.unwrap();
    let shadowed = Next::Shadowed {
        request: request_again(),
        reason: "would create".into(),
    };
    bed.settle(&claim, Class::Delivered, shadowed).await;
    let row = bed.store.reader().unwrap().delivery(id).unwrap().unwrap();
    assert_eq!((row.row.state, row.frozen), (State::Ready, None));
    bed.clock.advance(Duration::from_secs(1));
    assert_eq!(bed.claim_one().await.delivery, id);
    bed.audit();
}

#[tokio::test]
async fn a_path_goes_live_once_with_its_audit_row_and_back_only_by_configuration() {
    let mut bed = Bed::new().await;
    let shadow = |on| vec![("p".to_owned(), on), ("q".to_owned(), false)];
    bed.store
        .register(shadow(true), 2, "".into())
        .await
        .unwrap();
    let row = |bed: &Bed| bed.store.reader().unwrap().overview().unwrap().paths[0].clone();
    assert!(row(&bed).shadow);
    for _ in 0..2 {
        bed.store.golive(bed.path, line()).await.unwrap();
        bed.clock.advance(Duration::from_secs(5));
    }
    bed.store
        .register(shadow(true), 2, "".into())
        .await
        .unwrap();
    let live = row(&bed);
    assert_eq!((live.shadow, live.live_at), (false, Some(START)));
    let log = bed.store.reader().unwrap().log(None, 9).unwrap();
    assert_eq!(log.iter().filter(|line| line.kind == "test").count(), 1);
    bed.store
        .register(shadow(false), 3, "".into())
        .await
        .unwrap();
    bed.store
        .register(shadow(true), 4, "".into())
        .await
        .unwrap();
    assert!(row(&bed).shadow, "set back to shadow mode");
    bed.store.close().await;
    bed.store = Store::open(
        &bed.dir.path().join("m.db"),
        super::tests::options(&bed.clock),
    )
    .unwrap();
    let started = bed.store.begin_work(false).await.unwrap();
    assert!(started.shadow.contains(&bed.path));
}

#[tokio::test]
async fn a_hooks_call_is_remembered_to_the_minute_without_a_write_for_each() {
    let mut bed = Bed::new().await;
    let hook = |bed: &Bed, id: &str| {
        let mut incoming = bed.incoming(id, None);
        incoming.event.origin = Origin::Hook;
        incoming
    };
    let minute = Timestamp(START.0 - START.0.rem_euclid(60_000));
    for n in 0..3 {
        bed.store
            .accept(vec![hook(&bed, &n.to_string())])
            .await
            .unwrap();
    }
    bed.accept("by hand", None).await;
    let senders = bed.store.reader().unwrap().senders().unwrap();
    assert_eq!((senders.len(), senders[0].called), (1, Some(minute)));
    bed.store
        .execute("UPDATE sender SET called = 0")
        .await
        .unwrap();
    bed.store
        .accept(vec![hook(&bed, "same minute")])
        .await
        .unwrap();
    assert_eq!(
        bed.store.reader().unwrap().senders().unwrap()[0].called,
        Some(Timestamp(0)),
        "not written again"
    );
    bed.restart().await;
    bed.clock.advance(Duration::from_secs(60));
    bed.store.accept(vec![hook(&bed, "later")]).await.unwrap();
    let called = bed.store.reader().unwrap().senders().unwrap()[0].called;
    assert_eq!(called, Some(minute + Duration::from_secs(60)));
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_migrated_with_all_that_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.db");
    let mut old = rusqlite::Connection::open(&file).unwrap();
    super::schema::migrate(&file, &mut old, &super::schema::MIGRATIONS[..1]).unwrap();
    old.execute_batch(
        "INSERT INTO path(id, name, pause) VALUES (1, 'p', NULL), (2, 'q', NULL);
         INSERT INTO counter(path, state, n) VALUES (1, 0, 1), (1, 2, 1), (1, 3, 1), (1, 4, 1), (0, 100, 4), (0, 103, 9);
         INSERT INTO event(id, at, source, event_id, kind, subject, admission)
           SELECT value, 1790000000000, 'shop', 'e' || value, 'order.created', '7', 0 FROM json_each('[1,2,3,4]');
         INSERT INTO payload(event, meta, data) SELECT id, '{\"o\":\"hook\"}', x'7b7d' FROM event;
         INSERT INTO delivery(id, path, state, due, accepted, changed, open, order_key) VALUES
           (256, 1, 3, 1, 1, 1, 0, 'k'), (512, 1, 4, 1, 1, 1, 0, NULL), (768, 1, 0, 1, 1, 1, 1, 'k'), (1024, 1, 2, 1, 1, 1, 1, 'k');
         INSERT INTO attempt(delivery, generation, n, at, duration_us, class, status, charged, method, url, key, config)
           VALUES (256, 1, 1, 1, 7000, 0, 200, 1, 'POST', 'http://a/x', 'k1', 1);
         INSERT INTO log(at, severity, kind, text) VALUES (1, 0, 'test', 'before');",
    )
    .unwrap();
    old.close().unwrap();
    let clock = crate::time::Clock::manual(START);
    let store = Store::open(&file, super::tests::options(&clock)).unwrap();
    let paths = super::tests::configure(&store, &["p", "q"]).await;
    store.begin_work(false).await.unwrap();
    let before = rusqlite::Connection::open(dir.path().join("m.before-v5.db")).unwrap();
    let version: i64 = before
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1, "the copy of before is kept");
    let reader = store.reader().unwrap();
    let rows = reader
        .deliveries(&Filter::default(), Cursor::Newest, 9)
        .unwrap()
        .0;
    let states: Vec<State> = rows.iter().map(|row| row.state).collect();
    assert_eq!(
        states,
        [State::Waiting, State::Ready, State::Dead, State::Delivered]
    );
    let attempts = reader.delivery(DeliveryId(256)).unwrap().unwrap().attempts;
    assert_eq!((attempts.len(), attempts[0].steps.len()), (1, 0));
    let overview = reader.overview().unwrap();
    assert_eq!(
        (overview.paths[0].counts.backlog(), overview.paths[0].shadow),
        (2, false)
    );
    assert!(overview.log.iter().any(|line| line.text == "before"));
    // What was ready and what waited behind it go on.
    let want = Want {
        path: paths[0].1,
        count: 5,
    };
    let claims = store.turn(vec![], vec![want]).await.unwrap().claimed;
    assert_eq!(claims.len(), 1);
    let end = super::tests::settlement(&claims[0], Class::Delivered, Next::Delivered);
    let claims = store.turn(vec![end], vec![want]).await.unwrap().claimed;
    assert_eq!(claims[0].delivery, DeliveryId(1024));
}

fn record(key: &str, id: &str, total: &str) -> AdoptRecord {
    AdoptRecord {
        key: key.into(),
        id: Some(id.into()),
        version: Some(Version::Number(3)),
        fields: vec![
            ("total".into(), Value::Text(total.into()), false),
            ("email".into(), Value::Text(format!("{key}@x")), true),
        ],
    }
}

fn page(system: &str, found: Vec<AdoptRecord>, next: Option<&str>) -> AdoptPage {
    AdoptPage {
        kind: "order".into(),
        system: system.into(),
        found,
        next: next.map(str::to_owned),
        last: next.is_none(),
    }
}

/// Matches everything that was listed.
async fn matched(bed: &Bed, keep: bool) -> view::Matched {
    let mut all = view::Matched::default();
    let mut after = None;
    loop {
        let sides = ["shop".to_owned(), "crm".to_owned()];
        let part = bed
            .store
            .adopt_match("order".into(), sides, after, keep)
            .await
            .unwrap();
        all.matched += part.matched;
        all.agreed += part.agreed;
        all.differing.extend(part.differing);
        all.only_first.extend(part.only_first);
        all.only_second.extend(part.only_second);
        all.twice.extend(part.twice);
        after = part.next;
        if after.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn an_adoption_goes_on_where_it_was_matches_by_key_and_done_twice_changes_nothing() {
    let mut bed = Bed::new().await;
    let sides = || ["shop".to_owned(), "crm".to_owned()];
    let kind = || "order".to_owned();
    let waiting = bed.order("1", None, "a@x").await;
    let claim = bed.claim_one().await;
    let wait = Next::Wait {
        need: Need {
            system: "crm".into(),
            kind: "order".into(),
            key: "100".into(),
            until: Timestamp(i64::MAX),
        },
        reason: "waits".into(),
    };
    bed.settle(&claim, Class::Transient, wait).await;
    bed.clock.advance(Duration::from_secs(1));
    let mut shown = Vec::new();
    for round in 0..2 {
        bed.store.adopt_begin(kind(), sides()).await.unwrap();
        let shop: Vec<AdoptRecord> = (100..400)
            .map(|n| record(&n.to_string(), &format!("s{n}"), "1"))
            .collect();
        let first = page("shop", shop[..200].to_vec(), Some("page 2"));
        bed.store.adopt_page(first).await.unwrap();
        bed.restart().await;
        let [first, second] = bed.store.adopt_begin(kind(), sides()).await.unwrap();
        assert_eq!((first.next.as_deref(), first.seen), (Some("page 2"), 200));
        assert_eq!((first.listed, second.next, second.seen), (None, None, 0));
        // The end of the page before the break comes once more.
        let rest = page("shop", shop[150..].to_vec(), None);
        bed.store.adopt_page(rest).await.unwrap();
        let crm = vec![
            record("100", "c0", "1"),
            record("101", "c1", "2"),
            record("102", "c2", "1"),
            record("102", "c3", "1"),
            record("elsewhere", "c4", "1"),
        ];
        let row = bed.store.adopt_page(page("crm", crm, None)).await.unwrap();
        assert_eq!((row.seen, row.listed), (4, Some(bed.clock.now())));
        for keep in [false, true] {
            let all = matched(&bed, keep).await;
            assert_eq!((all.matched, all.agreed, all.only_first.len()), (2, 3, 297));
            assert_eq!(all.only_second[0].0, "elsewhere");
            assert_eq!(all.only_second.len(), 1);
            assert_eq!(all.twice[0].0, "102");
            assert_eq!(all.twice.len(), 1);
            let differs = view::AdoptDifference {
                id: "s101".into(),
                key: "101".into(),
                field: "total".into(),
                values: ["1", "2"].map(|total| Value::Text(total.into()).canonical()),
            };
            assert_eq!(all.differing, [differs]);
            if round == 0 && !keep {
                let known = bed.store.known("crm".into(), kind(), "100".into());
                assert_eq!(known.await.unwrap().id, None, "only looked at");
                assert_eq!(bed.state(waiting), State::Waiting);
            }
        }
        bed.store.adopt_end(kind(), sides()).await.unwrap();
        let reader = bed.store.reader().unwrap();
        assert!(reader.adoptions().unwrap().is_empty());
        let known = bed.store.known("crm".into(), kind(), "101".into());
        let known = known.await.unwrap();
        assert_eq!((known.id.as_deref(), known.adopted), (Some("c1"), true));
        let names: Vec<&String> = known.fields.keys().collect();
        assert_eq!(names, ["email"]);
        let agreed = known.fields["email"].agreed.clone().unwrap().0;
        assert!(agreed.starts_with('#'), "{agreed}");
        shown.push((known.version, bed.lines("order", "100")));
        assert!(
            reader.story("order", "102", 1).unwrap().is_none(),
            "nobody guesses"
        );
    }
    assert_eq!(shown[0], shown[1]);
    assert_eq!(
        shown[0].1,
        ["adopted: shop has it as s100", "adopted: crm has it as c0"]
    );
    assert_eq!(
        bed.state(waiting),
        State::Ready,
        "what waited for it goes on"
    );
    bed.audit();
}

#[tokio::test]
async fn a_record_is_found_by_part_of_a_key_or_an_id_and_among_very_many_by_its_beginning() {
    let bed = Bed::new().await;
    for (key, id) in [("anna@x", "9001"), ("bo@y", "9002")] {
        bed.learn(learned(key, id)).await;
    }
    bed.order("1042", None, "anna@x").await;
    let found = |kind: Option<&str>, text: &str| {
        let rows = bed.store.reader().unwrap().record_search(kind, text, 10);
        let mut keys: Vec<String> = (rows.unwrap().into_iter())
            .map(|row| row.about.key)
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(found(None, "NNA@"), ["anna@x"]);
    assert_eq!(found(None, "9002"), ["bo@y"]);
    assert_eq!(found(Some("order"), ""), ["1042"]);
    assert_eq!(found(Some("order"), "anna"), [""; 0]);
    assert_eq!(found(None, ""), ["1042", "anna@x", "bo@y"]);
    bed.store
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
             INSERT INTO record(id, kind, key, at, changed) SELECT 1000 + i, 'contact', 'a' || i, 1, 1 FROM n;
             INSERT INTO alias(kind, key, record, at) SELECT kind, key, id, 1 FROM record WHERE id > 1000;",
        )
        .await
        .unwrap();
    assert_eq!(found(None, "bo@"), ["bo@y"]);
    assert_eq!(found(None, "104")[0], "1042", "the last changed first");
}
