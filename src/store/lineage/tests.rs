use std::time::Duration;

use super::*;
use crate::event::Origin;
use crate::queue::model::{Class, Next, State};
use crate::record::ledger::{About, Learned};
use crate::record::value::Value;
use crate::store::tests::Bed;
use crate::store::view::Severity;
use crate::store::{Incoming, Receipt};

fn order(key: &str) -> About {
    About {
        kind: "order".into(),
        key: key.into(),
    }
}

/// An event of `source` that says these extensions.
fn of(bed: &Bed, source: &str, id: &str, said: &[(&str, &str)]) -> Incoming {
    let mut incoming = bed.incoming(id, None);
    incoming.event.source = source.into();
    incoming.event.extensions = (said.iter())
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    incoming
}

async fn take(bed: &Bed, incoming: Incoming) -> (EventId, Receipt) {
    let receipt = bed.store.accept(vec![incoming]).await.unwrap().remove(0);
    let event = match &receipt {
        Receipt::Accepted { event, .. }
        | Receipt::Held { event, .. }
        | Receipt::Unrouted { event } => *event,
        other => panic!("{other:?}"),
    };
    (event, receipt)
}

async fn accept(bed: &Bed, source: &str, id: &str, said: &[(&str, &str)]) -> EventId {
    take(bed, of(bed, source, id, said)).await.0
}

fn trace_of(bed: &Bed, event: EventId) -> Trace {
    let reader = bed.store.reader().unwrap();
    reader.trace(event).unwrap().unwrap()
}

/// The node of an event in its own trace.
fn own(bed: &Bed, event: EventId) -> TraceNode {
    let nodes = trace_of(bed, event).nodes;
    nodes.into_iter().find(|node| node.event == event).unwrap()
}

/// What one line of the tree says: level, event, inferred.
fn drawn(trace: &Trace) -> Vec<(usize, i64, bool)> {
    (trace.nodes.iter())
        .map(|node| (node.level, node.event.0, node.inferred))
        .collect()
}

fn rows(bed: &Bed) -> i64 {
    let connection = rusqlite::Connection::open(bed.dir.path().join("m.db")).unwrap();
    let sql = "SELECT count(*) FROM lineage";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// midwatch writes a record into `system` for a delivery.
async fn write(bed: &Bed, system: &str, key: &str, delivery: DeliveryId) {
    let learned = Learned {
        system: system.into(),
        about: order(key),
        sent: vec![("total".into(), Value::Text("1".into()), false)],
        delivery: Some(delivery),
        ..Learned::default()
    };
    bed.store.learn(learned).await.unwrap();
}

#[tokio::test]
async fn a_cause_is_found_by_its_id_in_any_source_or_by_our_own_reference() {
    let bed = Bed::new().await;
    bed.store
        .name_sources(["crm".to_owned(), "shop".to_owned()].into());
    let shop = accept(&bed, "shop", "e1", &[]).await;
    let crm = accept(&bed, "crm", "e1", &[("correlationid", "c-9")]).await;
    let stranger = accept(&bed, "erp", "e7", &[]).await;
    assert_eq!(
        rows(&bed),
        1,
        "an event that belongs to nothing leaves no row"
    );
    let ours = |id, event: &Incoming| reference(id, &event.event.source, &event.event.id);
    let by_shop = ours(shop, &of(&bed, "shop", "e1", &[]));
    let by_stranger = ours(stranger, &of(&bed, "erp", "e7", &[]));
    let elsewhere = ours(shop, &of(&bed, "shop", "another", &[]));
    // (source, causationid, correlationid) → (cause, correlation, depth)
    let table = [
        ("shop", "e1", "", Some(shop), Some("e1")),
        ("crm", "e1", "", Some(crm), Some("c-9")),
        ("crm", "e1", "mine", Some(crm), Some("mine")),
        ("erp", "e1", "", Some(crm), Some("c-9")),
        ("shop", "e7", "", None, None),
        ("erp", &by_shop, "", Some(shop), Some("e1")),
        ("shop", &by_stranger, "", Some(stranger), Some("e7")),
        ("shop", &elsewhere, "", None, None),
        ("shop", "midwatch.x.y", "", None, None),
    ];
    for (n, (source, causation, given, cause, correlation)) in table.into_iter().enumerate() {
        let said = [("causationid", causation), ("correlationid", given)];
        let event = accept(&bed, source, &format!("x{n}"), &said).await;
        let node = own(&bed, event);
        assert_eq!(node.cause, cause, "{source} {causation}");
        assert_eq!(
            node.correlation.as_deref(),
            correlation,
            "{source} {causation}"
        );
        assert_eq!(node.depth, 1 + u32::from(cause.is_some()));
        assert!(!node.inferred);
    }
    // Itself is no cause, and a chain hands its correlation on.
    let own_id = accept(&bed, "shop", "self", &[("causationid", "self")]).await;
    assert_eq!(own(&bed, own_id).cause, None);
    let third = accept(&bed, "crm", "y", &[("causationid", "x1")]).await;
    let node = own(&bed, third);
    assert_eq!((node.depth, node.correlation.as_deref()), (3, Some("c-9")));
}

#[tokio::test]
async fn what_a_system_sends_just_after_we_wrote_there_is_taken_to_come_from_that() {
    let bed = Bed::new().await;
    let first = bed.accept("e1", None).await;
    write(&bed, "crm", "1042", first).await;
    let echo = |source: &str, id: &str, key: &str| {
        let mut incoming = of(&bed, source, id, &[]);
        incoming.about = vec![order("other"), order(key)];
        incoming
    };
    // (seconds later, source, record) → inferred
    for (n, (seconds, source, key, inferred)) in [
        (1, "crm", "1042", true),
        (1, "crm", "1043", false),
        (1, "shop", "1042", false),
        (597, "crm", "1042", true),
        (2, "crm", "1042", false),
    ]
    .into_iter()
    .enumerate()
    {
        bed.clock.advance(Duration::from_secs(seconds));
        let (event, _) = take(&bed, echo(source, &format!("w{n}"), key)).await;
        let node = own(&bed, event);
        assert_eq!(node.inferred, inferred, "{n}");
        assert_eq!(node.cause, inferred.then(|| first.event()), "{n}");
    }
    // The newest write counts; a named cause counts before any.
    let second = bed.accept("e2", None).await;
    let third = bed.accept("e3", None).await;
    write(&bed, "crm", "1042", second).await;
    bed.clock.advance(Duration::from_secs(1));
    write(&bed, "crm", "other", third).await;
    let (event, _) = take(&bed, echo("crm", "z1", "1042")).await;
    assert_eq!(own(&bed, event).cause, Some(third.event()));
    let mut said = echo("crm", "z2", "1042");
    said.event.extensions = vec![("causationid".into(), "w0".into())];
    let (event, _) = take(&bed, said).await;
    let node = own(&bed, event);
    assert_eq!((node.inferred, node.depth), (false, 3));
}

#[tokio::test]
async fn a_chain_of_sixteen_goes_on_and_the_seventeenth_is_held() {
    let bed = Bed::new().await;
    let systems = ["shop", "crm"];
    bed.store.name_sources(systems.map(str::to_owned).into());
    let mut events = Vec::new();
    for n in 0..16 {
        let before = format!("e{}", n - 1);
        let said = [("causationid", before.as_str())];
        let said = if n == 0 { &[][..] } else { &said[..] };
        let source = systems[n as usize % 2];
        let (event, receipt) = take(&bed, of(&bed, source, &format!("e{n}"), said)).await;
        assert!(
            matches!(receipt, Receipt::Accepted { .. }),
            "{n}: {receipt:?}"
        );
        events.push(event);
    }
    assert_eq!(own(&bed, events[15]).depth, 16);
    let said = [("causationid", "e15")];
    let (event, receipt) = take(&bed, of(&bed, "shop", "e16", &said)).await;
    let Receipt::Held { reason, .. } = receipt else {
        panic!("{receipt:?}");
    };
    assert_eq!(
        reason,
        "a chain of 17 events, each caused by the one before: 1 order.created from shop, … 12 more …, \
         14 order.created from crm, 15 order.created from shop, 16 order.created from crm, and this one; release it if it is right"
    );
    let node = own(&bed, event);
    assert_eq!((node.depth, node.deliveries.len()), (17, 0));
    assert_eq!(node.known.unwrap().reason, Some(reason.clone()));
    let log = bed.store.reader().unwrap().log(None, 1).unwrap();
    assert_eq!(log[0].severity, Severity::Warning);
    assert_eq!(log[0].text, format!("event 17 is held: {reason}"));
    // What midwatch says about it is not.
    let mut page = of(&bed, "crm", "page", &[("causationid", "e15")]);
    page.event.origin = Origin::Internal;
    let (page, receipt) = take(&bed, page).await;
    assert!(matches!(receipt, Receipt::Accepted { .. }), "{receipt:?}");
    assert_eq!(own(&bed, page).depth, 17);
    // Held for another reason too: both are told.
    let mut wrong = of(&bed, "crm", "wrong", &[("causationid", "e15")]);
    wrong.hold = Some("its total is missing".into());
    let (_, receipt) = take(&bed, wrong).await;
    let Receipt::Held { reason, .. } = receipt else {
        panic!("{receipt:?}");
    };
    assert!(reason.starts_with("its total is missing; and a chain of 17 events"));
}

#[tokio::test]
async fn a_trace_is_the_whole_family_in_order_with_its_deliveries() {
    let bed = Bed::new().await;
    bed.store
        .name_sources(["shop".to_owned(), "crm".to_owned()].into());
    let root = accept(&bed, "shop", "root", &[]).await;
    let left = accept(&bed, "crm", "left", &[("causationid", "root")]).await;
    let right = accept(&bed, "crm", "right", &[("causationid", "root")]).await;
    let leaf = accept(&bed, "shop", "leaf", &[("causationid", "left")]).await;
    accept(&bed, "shop", "alone", &[]).await;
    let whole = vec![(0, 1, false), (1, 2, false), (2, 4, false), (1, 3, false)];
    for asked in [root, left, right, leaf] {
        let trace = trace_of(&bed, asked);
        assert_eq!(drawn(&trace), whole, "from {asked}");
        assert_eq!((trace.asked, trace.cut), (asked, false));
    }
    let claims = bed.claim(1).await;
    bed.clock.advance(Duration::from_secs(3));
    bed.settle(&claims[0], Class::Delivered, Next::Delivered)
        .await;
    let node = own(&bed, root);
    let [delivery] = &node.deliveries[..] else {
        panic!("{node:?}");
    };
    assert_eq!(
        (delivery.path.as_str(), delivery.state),
        ("p", State::Delivered)
    );
    assert_eq!(delivery.changed, bed.clock.now());
    let reader = bed.store.reader().unwrap();
    assert_eq!(reader.trace(EventId(99)).unwrap(), None);
    assert_eq!(reader.event_called("crm", "right").unwrap(), Some(right));
    assert_eq!(reader.event_called("shop", "right").unwrap(), None);
    bed.store.execute("DELETE FROM dedupe").await.unwrap();
    assert_eq!(reader.event_called("crm", "right").unwrap(), Some(right));
}

#[tokio::test]
async fn a_trace_is_bounded_and_shows_the_event_that_was_asked_for() {
    let bed = Bed::new().await;
    let root = accept(&bed, "shop", "root", &[]).await;
    let batch: Vec<Incoming> = (0..600)
        .map(|n| of(&bed, "shop", &format!("n{n}"), &[("causationid", "root")]))
        .collect();
    bed.store.accept(batch).await.unwrap();
    let last = accept(&bed, "shop", "last", &[("causationid", "n599")]).await;
    let trace = trace_of(&bed, root);
    assert_eq!((trace.nodes.len(), trace.cut), (MOST_TRACED, true));
    let trace = trace_of(&bed, last);
    assert_eq!(
        drawn(&trace),
        [(0, 1, false), (1, 601, false), (2, 602, false)]
    );
    assert!(trace.cut);
    // Rows that make a ring can only come of damage; they end all the same.
    bed.store
        .execute("UPDATE lineage SET cause = 602 WHERE event = 601")
        .await
        .unwrap();
    assert_eq!(trace_of(&bed, last).nodes.len(), 2);
}

#[tokio::test]
async fn retention_lets_lineage_go_with_its_events_and_never_breaks_a_tree() {
    let bed = Bed::new().await;
    let end = |claims: Vec<crate::queue::model::Claimed>| {
        let bed = &bed;
        async move {
            for claim in &claims {
                bed.settle(claim, Class::Delivered, Next::Delivered).await;
            }
        }
    };
    let a = accept(&bed, "shop", "a", &[("correlationid", "c")]).await;
    let b = accept(&bed, "shop", "b", &[("causationid", "a")]).await;
    end(bed.claim(2).await).await;
    let c = accept(&bed, "shop", "c", &[("causationid", "b")]).await;
    bed.clock.advance(Duration::from_secs(60));
    let prune = || async {
        let before = bed.clock.now();
        while bed.store.prune(before, Timestamp(0), None).await.unwrap() {}
        // The next look begins again at the first event.
        bed.store
            .execute("DELETE FROM meta WHERE key IN ('pruned_to', 'prune_again')")
            .await
            .unwrap();
    };
    prune().await;
    let trace = trace_of(&bed, c);
    assert_eq!(
        drawn(&trace),
        [(0, a.0, false), (1, b.0, false), (2, c.0, false)]
    );
    let known: Vec<bool> = trace
        .nodes
        .iter()
        .map(|node| node.known.is_some())
        .collect();
    assert_eq!(known, [false, false, true]);
    // A pruned cause still counts.
    let d = accept(&bed, "shop", "d", &[("causationid", "b")]).await;
    let node = own(&bed, d);
    assert_eq!((node.depth, node.correlation.as_deref()), (3, Some("c")));
    end(bed.claim(9).await).await;
    bed.clock.advance(Duration::from_secs(60));
    prune().await;
    assert_eq!(rows(&bed), 0);
    assert_eq!(bed.store.reader().unwrap().trace(c).unwrap(), None);
}
