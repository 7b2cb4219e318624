//! What is held at the door: grouped, listed, and let go.

use super::tests::Bed;
use super::types::{Incoming, Judged, LogEntry, Receipt, Released};
use super::view::{Admission, Severity};
use crate::control::action::{Actor, HeldScope};
use crate::event::contract::Fault;
use crate::ids::{DeliveryId, EventId};
use crate::queue::model::{Class, Next, State};

fn fault(pointer: &str) -> Fault {
    Fault {
        pointer: pointer.into(),
        rule: "type".into(),
        text: "12 is not of type \"string\"".into(),
    }
}

/// One that breaks its contract at `/total`.
fn broken(bed: &Bed, id: &str, key: Option<&str>) -> Incoming {
    Incoming {
        hold: Some("order.created 2: /total is no text".into()),
        faults: vec![fault("/total"), fault("/currency")],
        group: Some("order.created 2: /total type".into()),
        ..bed.incoming(id, key)
    }
}

/// One that no path wants.
fn unrouted(bed: &Bed, id: &str) -> Incoming {
    Incoming {
        routes: vec![],
        ..bed.incoming(id, None)
    }
}

async fn take(bed: &Bed, incoming: Incoming) -> EventId {
    match bed.store.accept(vec![incoming]).await.unwrap()[0] {
        Receipt::Held { event, .. } | Receipt::Unrouted { event } => event,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_held_is_grouped_by_what_is_wrong_and_every_fault_is_kept() {
    let bed = Bed::new().await;
    let first = take(&bed, broken(&bed, "a", None)).await;
    let mut same = broken(&bed, "b", None);
    // The words of one event differ from another's; its group does not.
    same.hold = Some("order.created 2: /total is no text, it is 9".into());
    let second = take(&bed, same).await;
    let mut of_another = broken(&bed, "c", None);
    of_another.event.source = "crm".into();
    take(&bed, of_another).await;
    let lost = take(&bed, unrouted(&bed, "d")).await;
    bed.accept("e", None).await;
    let reader = bed.store.reader().unwrap();
    let groups = reader.held_groups().unwrap();
    let told: Vec<_> = groups
        .iter()
        .map(|group| {
            let text = group.text.as_str();
            (group.count, group.admission, group.source.as_str(), text)
        })
        .collect();
    assert_eq!(
        told,
        [
            (2, Admission::Held, "shop", "order.created 2: /total type"),
            (1, Admission::Unrouted, "shop", "no path matches"),
            (1, Admission::Held, "crm", "order.created 2: /total type"),
        ]
    );
    assert_eq!(groups[0].example, second);
    let ids = |scope: &HeldScope, before, limit| -> Vec<EventId> {
        let rows = reader.held_events(Some(scope), before, limit).unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    let group = HeldScope::Group(groups[0].id);
    assert_eq!(ids(&group, None, 9), [second, first]);
    assert_eq!(ids(&group, None, 1), [second]);
    assert_eq!(ids(&group, Some(second), 9), [first]);
    assert_eq!(
        ids(&HeldScope::Kind("order.created".into()), None, 9).len(),
        4
    );
    assert_eq!(ids(&HeldScope::Kind("order".into()), None, 9).len(), 0);
    // Not the accepted one.
    let named = HeldScope::Events(vec![first, lost, EventId(5), EventId(99)]);
    assert_eq!(ids(&named, None, 9), [lost, first]);
    let detail = reader.held_event(first).unwrap().unwrap();
    assert_eq!(detail.faults, [fault("/total"), fault("/currency")]);
    assert_eq!(detail.row.group, groups[0].id);
    assert_eq!(
        &detail.event.unwrap().data[..],
        &bed.incoming("a", None).event.data[..]
    );
    assert!(reader.held_event(EventId(99)).unwrap().is_none());
}

fn log(text: &str) -> LogEntry {
    LogEntry {
        severity: Severity::Info,
        actor: Some(Actor {
            name: "anna".into(),
            ..Actor::default()
        }),
        kind: "release",
        path: None,
        delivery: None,
        text: text.into(),
    }
}

fn judged(event: EventId, incoming: Incoming) -> Judged {
    Judged {
        event,
        edits: 0,
        incoming,
    }
}

/// Held events, unrouted ones, given-up ones, and ready deliveries of the bed's path.
fn numbers(bed: &Bed) -> [u64; 4] {
    let overview = bed.store.reader().unwrap().overview().unwrap();
    let ready = overview.paths.iter().find(|path| path.id == bed.path);
    [
        overview.held_events,
        overview.unrouted,
        overview.discarded,
        ready.unwrap().counts.ready,
    ]
}

#[tokio::test]
async fn what_passes_goes_on_once_however_often_it_is_released() {
    let mut bed = Bed::new().await;
    let held = take(&bed, broken(&bed, "a", None)).await;
    let lost = take(&bed, unrouted(&bed, "b")).await;
    let stays = take(&bed, broken(&bed, "c", None)).await;
    assert_eq!(numbers(&bed), [2, 1, 0, 0]);
    let other = || Incoming {
        hold: Some("order.created 3: /n is missing".into()),
        group: Some("order.created 3: /n required".into()),
        faults: vec![fault("/n")],
        ..bed.incoming("c", None)
    };
    let all = || {
        vec![
            judged(held, bed.incoming("a", None)),
            judged(lost, bed.incoming("b", None)),
            judged(stays, other()),
        ]
    };
    let first = (bed.store.release_held(all(), log("release of x")).await).unwrap();
    let expected = Released {
        events: 2,
        deliveries: 2,
        held: 1,
        ..Released::default()
    };
    assert_eq!(first, expected);
    assert_eq!(numbers(&bed), [1, 0, 0, 2]);
    let reader = bed.store.reader().unwrap();
    let detail = reader.held_event(stays).unwrap().unwrap();
    assert_eq!(detail.row.text, "order.created 3: /n required");
    assert_eq!(detail.row.reason, "order.created 3: /n is missing");
    assert_eq!(detail.faults, [fault("/n")]);
    let accepted = reader.held_event(held).unwrap().unwrap();
    assert_eq!(accepted.row.admission, Admission::Accepted);
    assert!(accepted.faults.is_empty());
    assert!(reader.delivery(DeliveryId::new(held, 0)).unwrap().is_some());
    let row = &reader.log(None, 1).unwrap()[0];
    assert_eq!(
        (row.text.as_str(), row.kind.as_str()),
        ("release of x: 2 released (2 deliveries), 1 stay", "release")
    );
    // Released again, by somebody else or after a crash.
    let second = bed.store.release_held(all(), log("again")).await.unwrap();
    assert_eq!((second.events, second.moved_on, second.held), (0, 2, 1));
    assert_eq!(numbers(&bed), [1, 0, 0, 2]);
    bed.restart().await;
    assert_eq!(numbers(&bed), [1, 0, 0, 2]);
}

#[tokio::test]
async fn a_death_between_two_chunks_leaves_the_rest_to_be_released() {
    let mut bed = Bed::new().await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(take(&bed, broken(&bed, &n.to_string(), None)).await);
    }
    let all = |bed: &Bed| -> Vec<Judged> {
        (ids.iter().enumerate())
            .map(|(n, id)| judged(*id, bed.incoming(&n.to_string(), None)))
            .collect()
    };
    let some = all(&bed).into_iter().take(4).collect();
    bed.store.release_held(some, log("x")).await.unwrap();
    bed.restart().await;
    let scope = HeldScope::Kind("order.created".into());
    let reader = bed.store.reader().unwrap();
    let rest = reader.held_chunk(&scope, (EventId(0), ids[5]), 9).unwrap();
    let rest: Vec<EventId> = rest.into_iter().map(|(row, _)| row.id).collect();
    assert_eq!(rest, ids[4..]);
    let done = bed.store.release_held(all(&bed), log("x")).await.unwrap();
    assert_eq!((done.events, done.moved_on), (2, 4));
    assert_eq!(numbers(&bed), [0, 0, 0, 6]);
}

#[tokio::test]
async fn a_released_event_takes_its_old_place_in_its_key() {
    let bed = Bed::new().await;
    let first = take(&bed, broken(&bed, "a", Some("k"))).await;
    let second = take(&bed, broken(&bed, "b", Some("k"))).await;
    // One that came later waits already, and is the head of the key.
    let younger = bed.accept("c", Some("k")).await;
    let release = |id, name: &str| {
        let judged = vec![judged(id, bed.incoming(name, Some("k")))];
        bed.store.release_held(judged, log("x"))
    };
    release(second, "b").await.unwrap();
    let reader = bed.store.reader().unwrap();
    let state = |id| reader.delivery(id).unwrap().unwrap().row.state;
    let (first, second) = (DeliveryId::new(first, 0), DeliveryId::new(second, 0));
    assert_eq!(
        (state(second), state(younger)),
        (State::Ready, State::Waiting)
    );
    // What runs is not called back: the elder waits for it, and goes next.
    let running = bed.claim(1).await.remove(0);
    assert_eq!(running.delivery, second);
    release(first.event(), "a").await.unwrap();
    assert_eq!(state(first), State::Waiting);
    bed.settle(&running, Class::Delivered, Next::Delivered)
        .await;
    assert_eq!(
        (state(first), state(younger)),
        (State::Ready, State::Waiting)
    );
    // A sender's retry is still the same event.
    let receipt = bed.store.accept(vec![bed.incoming("a", Some("k"))]).await;
    let duplicate = Receipt::Duplicate {
        event: first.event(),
    };
    assert_eq!(receipt.unwrap(), [duplicate]);
}

#[tokio::test]
async fn an_edit_keeps_what_came_and_is_refused_where_it_would_not_pass() {
    let bed = Bed::new().await;
    let held = take(&bed, broken(&bed, "a", None)).await;
    let edited = |data: &'static str, edits, hold: Option<&str>| {
        let mut incoming = bed.incoming("a", None);
        incoming.event.data = data.into();
        incoming.hold = hold.map(str::to_owned);
        Judged {
            event: held,
            edits,
            incoming,
        }
    };
    for (judged, words) in [
        (edited("1", 0, Some("still wrong")), "still wrong"),
        (edited("1", 1, None), "moved on"),
    ] {
        let error = bed.store.edit_held(judged, log("x")).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let reader = bed.store.reader().unwrap();
    assert!(reader.held_event(held).unwrap().unwrap().edits.is_empty());
    let done = bed
        .store
        .edit_held(edited("{\"n\":1}", 0, None), log("edit"))
        .await;
    assert_eq!(done.unwrap().deliveries, 1);
    let detail = reader.held_event(held).unwrap().unwrap();
    assert_eq!(detail.row.admission, Admission::Accepted);
    assert_eq!(&detail.event.unwrap().data[..], b"{\"n\":1}");
    let kept: Vec<_> = (detail.edits.iter())
        .map(|edit| (&edit.actor[..], &edit.data[..]))
        .collect();
    assert_eq!(kept, [("anna (uid 0)", &b"{\"id\":\"a\"}"[..])]);
    let again = bed.store.edit_held(edited("2", 1, None), log("x")).await;
    assert!(again.unwrap_err().to_string().contains("moved on"));
    // The delivery carries what was edited.
    let claimed = bed.claim(1).await.remove(0);
    assert_eq!(&claimed.event.data[..], b"{\"n\":1}");
}

#[tokio::test]
async fn what_is_given_up_is_counted_kept_and_over() {
    let mut bed = Bed::new().await;
    let held = take(&bed, broken(&bed, "a", None)).await;
    let lost = take(&bed, unrouted(&bed, "b")).await;
    let other = take(&bed, broken(&bed, "c", None)).await;
    let scope = HeldScope::Events(vec![held, lost]);
    let discard = || {
        let between = (EventId(0), other);
        let why = "a test of the shop's".to_owned();
        (bed.store).discard_held(scope.clone(), between, 1, why, log("discarded"))
    };
    assert_eq!(discard().await.unwrap(), (1, Some(held)));
    assert_eq!(discard().await.unwrap(), (1, Some(lost)));
    assert_eq!(discard().await.unwrap(), (0, None));
    assert_eq!(numbers(&bed), [1, 0, 2, 0]);
    let reader = bed.store.reader().unwrap();
    assert_eq!(reader.held_events(None, None, 9).unwrap().len(), 1);
    let detail = reader.held_event(held).unwrap().unwrap();
    assert_eq!(detail.row.admission, Admission::Discarded);
    assert_eq!(detail.row.reason, "a test of the shop's");
    assert!(detail.event.is_some());
    let judged = vec![judged(held, bed.incoming("a", None))];
    let done = bed.store.release_held(judged, log("x")).await.unwrap();
    assert_eq!((done.events, done.moved_on), (0, 1));
    bed.restart().await;
    assert_eq!(numbers(&bed), [1, 0, 2, 0]);
}
