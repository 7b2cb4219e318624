//! What is held at the door: grouped, listed, and let go.

use super::tests::Bed;
use super::types::{Incoming, Receipt};
use super::view::Admission;
use crate::control::action::HeldScope;
use crate::event::contract::Fault;
use crate::ids::EventId;

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
