//! Who may write which field: enforced before each delivery, with a receiver that people work in, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use midwatch::config::model::Config;
use midwatch::ids::DeliveryId;
use midwatch::queue::filter::Filter;
use midwatch::queue::model::State;
use midwatch::record::ledger::{About, Learned};
use midwatch::record::map::Clean;
use midwatch::record::ownership::{Entity, MatchRule, OwnedField, Policy, WhenDown, Writer};
use midwatch::record::value::Value;
use midwatch::store::view::{Breaker, NoteFilter, NoteKind, Severity};
use midwatch::store::{BatchOptions, LogEntry};
use midwatch::time::{Clock, Timestamp};

use crate::bed::Bed;
use crate::crm::{Crm, Fault};
use crate::upsert::{DEALS, accept, config, reason, steps};

pub fn rule(owner: &str, writers: &[(&str, bool)], policy: Policy) -> OwnedField {
    let writer = |(system, create_only): &(&str, bool)| Writer {
        system: (*system).to_owned(),
        create_only: *create_only,
    };
    OwnedField {
        owner: owner.to_owned(),
        writers: writers.iter().map(writer).collect(),
        policy,
        order: Vec::new(),
        gap: Duration::from_secs(5),
        compare: None,
        sensitive: false,
        when_owner_down: None,
    }
}

/// The order's fields have these rules.
pub fn owned(mut config: Config, fields: &[(&str, OwnedField)]) -> Config {
    let fields = fields.iter().cloned();
    let entity = Entity {
        name: "order".to_owned(),
        fields: fields.map(|(name, rule)| (name.to_owned(), rule)).collect(),
        ..Entity::default()
    };
    config.entities.insert("order".to_owned(), Arc::new(entity));
    config
}

pub fn rename(crm: &Crm, name: &str) {
    let mut held = crm.held.lock().expect("lock");
    held.records[0].2["name"] = serde_json::json!(name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_source_may_not_write_is_left_out_and_told() {
    let crm = Crm::start().await;
    let fields = [
        ("name", rule("crm", &[("shop", true)], Policy::Owner)),
        ("total", rule("shop", &[], Policy::Owner)),
    ];
    let bed = Bed::start(owned(config(&crm, DEALS), &fields)).await;
    accept(&bed, 1, "Kari", 1).await;
    bed.until_delivered(1).await;
    assert_eq!(
        crm.only("orders", "1")["name"],
        "Kari",
        "it may be made with it"
    );
    rename(&crm, "Kari Nordmann");
    let id = accept(&bed, 1, "Ola", 2).await;
    bed.until_delivered(2).await;
    let held = crm.only("orders", "1");
    assert_eq!(held["name"], "Kari Nordmann", "the owner's stands");
    let told = steps(&bed, id).join("; ");
    assert!(
        told.contains("left out: name (shop may write name only when"),
        "{told}"
    );
    let reader = bed.store.reader().expect("reader");
    let notes = reader.notes(&NoteFilter::default(), 9).expect("notes");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(
        (notes[0].kind, notes[0].what.as_str()),
        (NoteKind::Stripped, "name")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lookup_finds_and_no_match_rule_recognises_goes_to_a_person() {
    let crm = Crm::start().await;
    let fields = [
        ("name", rule("shop", &[], Policy::Owner)),
        ("total", rule("shop", &[], Policy::Owner)),
    ];
    let mut config = owned(config(&crm, DEALS), &fields);
    let mut entity = Entity::clone(&config.entities["order"]);
    entity.matches = vec![MatchRule {
        field: Some("name".to_owned()),
        clean: vec![Clean::Trim, Clean::Lower],
    }];
    config.entities.insert("order".to_owned(), Arc::new(entity));
    let put = |key: &str, name: &str| {
        let record = serde_json::json!({"key": key, "name": name});
        crm.held.lock().expect("lock").put("orders", record);
    };
    put("1", "somebody else");
    put("2", "kari");
    let bed = Bed::start(config).await;
    let other = accept(&bed, 1, "Kari", 1).await;
    bed.until_state(other, State::Held).await;
    let why = reason(&bed, other);
    assert!(why.contains("match rules"), "{why}");
    let known = accept(&bed, 2, "Kari", 1).await;
    bed.until_state(known, State::Delivered).await;
    assert_eq!(crm.only("orders", "1")["name"], "somebody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_may_write_nothing_sends_nothing() {
    let crm = Crm::start().await;
    let fields = [("name", rule("crm", &[], Policy::Owner))];
    let bed = Bed::start(owned(config(&crm, DEALS), &fields)).await;
    let id = accept(&bed, 1, "Kari", 1).await;
    bed.until_state(id, State::Superseded).await;
    let why = reason(&bed, id);
    assert!(
        why.contains("crm owns it") && why.contains("nobody may write total"),
        "{why}"
    );
    assert_eq!(crm.receiver.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_both_changed_goes_to_review_and_blocks_nothing() {
    let crm = Crm::start().await;
    let fields = [
        ("name", rule("crm", &[("shop", false)], Policy::Manual)),
        ("total", rule("shop", &[], Policy::Owner)),
    ];
    let bed = Bed::start(owned(config(&crm, DEALS), &fields)).await;
    accept(&bed, 1, "Kari", 1).await;
    bed.until_delivered(1).await;
    // Only ours changed: it is written.
    accept(&bed, 1, "Kari B.", 2).await;
    bed.until_delivered(2).await;
    assert_eq!(crm.only("orders", "1")["name"], "Kari B.");
    // Both did: a person decides, the rest is not kept waiting.
    rename(&crm, "Karianne");
    let mut last = accept(&bed, 1, "Kari C.", 3).await;
    for minute in 4..6 {
        last = accept(&bed, 1, "Kari D.", minute).await;
    }
    bed.until("the last is settled", || bed.state(last).is_settled())
        .await;
    assert_eq!(crm.only("orders", "1")["name"], "Karianne");
    let reader = bed.store.reader().expect("reader");
    let open = reader.reviews(true, 9).expect("reviews");
    assert_eq!(open.len(), 1, "one row for one field: {open:?}");
    assert_eq!(
        (open[0].ours.as_deref(), open[0].theirs.as_deref()),
        (Some("\"Kari D.\""), Some("\"Karianne\""))
    );
    assert_eq!(open[0].base.as_deref(), Some("\"Kari B.\""));
    assert_eq!(open[0].delivery, Some(last));
    // They come to agree: it ends by itself.
    rename(&crm, "Kari E.");
    let agreed = accept(&bed, 1, "Kari E.", 7).await;
    bed.until("it is settled", || bed.state(agreed).is_settled())
        .await;
    assert_eq!(bed.overview().reviews, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_word_come_back_sends_nothing() {
    let crm = Crm::start().await;
    let both = [("crm", false)];
    let fields = [
        ("name", rule("shop", &both, Policy::Newest)),
        ("total", rule("shop", &both, Policy::Newest)),
    ];
    let bed = Bed::start(owned(config(&crm, DEALS), &fields)).await;
    // What the CRM said was written to the shop.
    let said = || {
        let total = Value::Money {
            amount: "12.1".to_owned(),
            currency: Some("NOK".to_owned()),
        };
        let name = Value::Text("Kari".to_owned());
        vec![
            ("name".to_owned(), name, false),
            ("total".to_owned(), total, false),
        ]
    };
    let learned = |system: &str| Learned {
        system: system.to_owned(),
        about: About {
            kind: "order".to_owned(),
            key: "1".to_owned(),
        },
        id: Some("9".to_owned()),
        ..Learned::default()
    };
    let at_shop = Learned {
        sent: said(),
        ..learned("shop")
    };
    let at_crm = Learned {
        seen: said(),
        ..learned("crm")
    };
    bed.store
        .learn_all(vec![at_shop, at_crm], Vec::new())
        .await
        .expect("learnt");
    let id = accept(&bed, 1, "Kari", 1).await;
    bed.until_state(id, State::Superseded).await;
    assert!(
        reason(&bed, id).starts_with("echo: order 1"),
        "{}",
        reason(&bed, id)
    );
    assert_eq!(crm.receiver.count(), 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_owner_is_down_another_writers_word_waits_is_held_or_refused() {
    for (what, state) in [
        (WhenDown::Queue, State::Ready),
        (WhenDown::Hold, State::Held),
        (WhenDown::Reject, State::Dead),
    ] {
        let crm = Crm::start().await;
        let mut name = rule("erp", &[("shop", false)], Policy::Owner);
        name.when_owner_down = Some(what);
        let fields = [("name", name), ("total", rule("shop", &[], Policy::Owner))];
        let paths = format!(
            "{DEALS}[systems.erp]\nurl = \"http://127.0.0.1:9\"\nprivate = true\n\
             [paths.erp]\nroute = \"shop -> erp\"\nevents = [\"never\"]\nurl = \"/in\"\n"
        );
        let config = owned(config(&crm, &paths), &fields);
        let bed = Bed::start(config.clone()).await;
        let erp = bed.live.borrow().id("erp").expect("is configured");
        let open = Breaker::Open {
            since: Timestamp(1),
            until: bed.store.clock().now() + Duration::from_secs(3600),
            reason: "down".to_owned(),
        };
        bed.store.set_breaker(erp, open, None).await.expect("kept");
        // The next worker finds it so.
        let bed = Bed::open(bed.end().await, config, Clock::System).await;
        let id = accept(&bed, 1, "Kari", 1).await;
        bed.until("it was looked at", || {
            let row = bed.detail(id).row;
            row.state == state
                && (state != State::Ready || row.due_at > row.accepted_at + Duration::from_secs(20))
        })
        .await;
        assert_eq!(crm.receiver.count(), 0, "{what:?}");
        let why = reason(&bed, id);
        assert!(
            why.contains("erp, which owns name, is down since "),
            "{why}"
        );
        if what == WhenDown::Queue {
            assert!(why.starts_with("waits: "), "{why}");
            let detail = bed.detail(id);
            assert_eq!((detail.row.charged, detail.attempts.len()), (0, 0));
            // It goes on when the owner is back, long before it would look again by itself.
            (bed.store.set_breaker(erp, Breaker::Closed, None).await).expect("kept");
            bed.dispatch.path_changed(erp);
            bed.until_state(id, State::Delivered).await;
        }
    }
}

/// Replays one delivery, as its action does.
pub async fn replay(bed: &Bed, id: DeliveryId, forced: bool) {
    let filter = Filter {
        ids: vec![id],
        ..Filter::default()
    };
    let options = BatchOptions {
        skip_risky: false,
        canary: 0,
        pace: 10.0,
        scope: id.to_string(),
        forced,
    };
    let log = LogEntry {
        severity: Severity::Info,
        actor: None,
        kind: "replay",
        path: None,
        delivery: Some(id),
        text: "replayed".to_owned(),
    };
    let batch = (bed.store.create_batch(filter, id, 1, options, log).await).expect("created");
    let row = bed.store.release(batch.id, 1).await.expect("released");
    assert_eq!((row.released, row.skipped), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_raw_path_carries_against_the_rules_is_held_until_it_is_replayed() {
    let crm = Crm::start().await;
    let fields = [
        ("name", rule("crm", &[], Policy::Owner)),
        ("total", rule("shop", &[], Policy::Owner)),
    ];
    let raw = "[paths.raw]\nroute = \"shop -> crm\"\nevents = [\"order.*\"]\nurl = \"/raw\"\norder_by = \"data.number\"\n";
    let bed = Bed::start(owned(config(&crm, raw), &fields)).await;
    let first = accept(&bed, 1, "Kari", 1).await;
    let second = accept(&bed, 1, "Ola", 2).await;
    assert_eq!(
        (bed.state(first), bed.state(second)),
        (State::Held, State::Held)
    );
    assert_eq!(
        reason(&bed, first),
        "shop may not write name of order: crm owns it"
    );
    // Another record is not held up, nor one that carries nothing of it.
    let free = bed
        .accept(
            "x",
            r#"{"number": "2", "total": "1.00", "currency": "NOK"}"#,
        )
        .await;
    bed.until_state(free, State::Delivered).await;
    assert_eq!(crm.receiver.count(), 1);
    replay(&bed, first, false).await;
    bed.until_state(first, State::Delivered).await;
    assert!(
        crm.receiver.seen()[1].body.contains("Kari"),
        "sent as it came"
    );
    assert_eq!(bed.state(second), State::Held, "nobody let this one go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stale_is_written_only_when_it_is_forced_and_ownership_is_not() {
    let crm = Crm::start().await;
    let mut status = rule("shop", &[], Policy::Monotonic);
    status.order = vec!["Kari".to_owned(), "Ola".to_owned()];
    let fields = [
        ("name", status),
        ("total", rule("crm", &[("shop", true)], Policy::Owner)),
    ];
    let bed = Bed::start(owned(config(&crm, DEALS), &fields)).await;
    accept(&bed, 1, "Ola", 5).await;
    bed.until_delivered(1).await;
    crm.held.lock().expect("lock").records[0].2["total"] = serde_json::json!("99.00");
    let stale = accept(&bed, 1, "Kari", 1).await;
    bed.until_state(stale, State::Superseded).await;
    replay(&bed, stale, false).await;
    bed.until("it was looked at again", || {
        bed.detail(stale).row.generation == 2 && bed.state(stale) == State::Superseded
    })
    .await;
    assert_eq!(crm.only("orders", "1")["name"], "Ola");
    replay(&bed, stale, true).await;
    bed.until_state(stale, State::Delivered).await;
    let held = crm.only("orders", "1");
    assert_eq!(held["name"], "Kari", "forced, it goes back");
    assert_eq!(
        held["total"], "99.00",
        "what the shop may not write it does not"
    );
    // Forced once is not forced for ever.
    let newest = accept(&bed, 1, "Ola", 6).await;
    bed.until_state(newest, State::Delivered).await;
    replay(&bed, stale, false).await;
    bed.until_state(stale, State::Superseded).await;
    assert_eq!(crm.only("orders", "1")["name"], "Ola");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_to_the_owner_itself_finds_out_that_it_is_back() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let crm = Crm::with(move |_| down.load(Ordering::SeqCst).then_some(Fault::Status(503))).await;
    let mut name = rule("crm", &[("shop", true)], Policy::Owner);
    name.when_owner_down = Some(WhenDown::Queue);
    let fields = [("name", name), ("total", rule("shop", &[], Policy::Owner))];
    let mut config = owned(config(&crm, DEALS), &fields);
    let deals = &mut config.paths[0];
    deals.schedule = vec![Duration::from_millis(10); 20];
    deals.breaker.min = 2;
    deals.breaker.cooldown = Duration::from_millis(100);
    let bed = Bed::start(config).await;
    accept(&bed, 1, "Kari", 1).await;
    bed.until("the breaker is open", || {
        matches!(bed.overview().paths[0].breaker, Breaker::Open { .. })
    })
    .await;
    is_down.store(false, Ordering::SeqCst);
    bed.until_delivered(1).await;
    assert_eq!(crm.only("orders", "1")["name"], "Kari");
}
