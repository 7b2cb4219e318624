//! Held and unrouted events through the action layer: previewed, pinned, judged by the configuration of the moment.

use serde_json::value::RawValue;

use super::action::{Action, DataChange, DataEdit, HeldScope};
use super::tests::{CONFIG, Place, confirm, submission};
use super::*;
use crate::ids::{DeliveryId, EventId};

/// Sends an event of the shop; its order key is `data.n`, without which it is held.
async fn send(client: &Client, id: &str, kind: &str, data: &str) -> EventId {
    let text = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"{kind}","data":{data}}}"#
    );
    let receipts = client
        .send(vec![RawValue::from_string(text).unwrap()])
        .await
        .unwrap();
    receipts[0].event.unwrap()
}

fn release(scope: HeldScope) -> Action {
    Action::Release { scope }
}

fn edit(event: EventId, changes: &[(&str, Option<&str>)]) -> Action {
    let change = |(pointer, value): &(&str, Option<&str>)| DataChange {
        pointer: (*pointer).to_owned(),
        value: value.map(|value| Hidden::from(value.to_owned())),
    };
    Action::EditHeld {
        event,
        edit: DataEdit::Changes(changes.iter().map(change).collect()),
    }
}

#[tokio::test]
async fn what_a_mended_configuration_takes_is_released_and_the_rest_stays_with_its_reason() {
    let place = Place::new();
    let worker = place.worker().await;
    let anna = place.attach("anna").await;
    let lost = send(&anna, "1", "refund.created", r#"{"n":1}"#).await;
    let held = send(&anna, "2", "order.created", r#"{"m":1}"#).await;
    let kind = |kind: &str| HeldScope::Kind(kind.to_owned());
    let preview = anna.preview(release(kind("refund.created"))).await.unwrap();
    assert_eq!(preview.notes[0], "none of them passes now");
    assert!(
        preview.notes[1].contains("no path matches (1)"),
        "{preview:?}"
    );
    let done = confirm(&anna, release(kind("refund.created")))
        .await
        .unwrap();
    assert_eq!(done.report.unwrap()["released"], 0);
    // Now a path takes it.
    let mended = CONFIG.replace(r#"["quiet.*"]"#, r#"["quiet.*", "refund.*"]"#);
    std::fs::write(place.file(), mended).unwrap();
    anna.submit(submission(Action::Reload)).await.unwrap();
    let both = HeldScope::Events(vec![lost, held]);
    let preview = anna.preview(release(both.clone())).await.unwrap();
    assert_eq!(preview.count, 2);
    assert_eq!(preview.notes[0], "1 pass now: 1 to quiet");
    assert!(
        preview.notes[1].starts_with("1 stay: path crm, order_by"),
        "{preview:?}"
    );
    let pinned = pinned(release(both), &preview).unwrap();
    let done = anna.submit(pinned.clone()).await.unwrap();
    let report = done.report.clone().unwrap();
    assert_eq!(
        (&report["released"], &report["held"]),
        (&1.into(), &1.into())
    );
    assert_eq!(anna.submit(pinned).await.unwrap(), done, "done once");
    let overview = place.overview();
    assert_eq!((overview.unrouted, overview.held_events), (0, 1));
    let row = place.log().into_iter().find(|row| row.kind == "release");
    let row = row.unwrap();
    assert!(row.actor.starts_with("anna"), "{row:?}");
    worker.drain().await;
}

#[tokio::test]
async fn more_than_was_previewed_is_refused_and_so_is_everything_at_once() {
    let place = Place::new();
    let worker = place.worker().await;
    let anna = place.attach("anna").await;
    for (n, scope) in [HeldScope::Events(vec![]), HeldScope::Kind(String::new())]
        .into_iter()
        .enumerate()
    {
        let refused = anna.preview(release(scope)).await.unwrap_err();
        assert!(refused.text.contains("is refused"), "{n}: {refused}");
    }
    let first = send(&anna, "1", "order.created", "{}").await;
    // Named twice is named once; what is not held is said to be none of it.
    for ids in [vec![first, first], vec![first, EventId(99), EventId(99)]] {
        let vain = ids.len() as u64 - 2;
        let named = HeldScope::Events(ids);
        let shown = anna.preview(release(named.clone())).await.unwrap();
        let discard = Action::DiscardHeld {
            scope: named,
            reason: "tests".into(),
        };
        let given_up = anna.preview(discard).await.unwrap();
        for preview in [shown, given_up] {
            let told = preview.notes.contains(&format!(
                "{vain} of those named are neither held nor unrouted"
            ));
            let words = if vain == 0 { "event 1" } else { "events 1, 99" };
            assert!(preview.scope.ends_with(words), "{preview:?}");
            assert_eq!((preview.count, told), (1, vain > 0), "{preview:?}");
        }
    }
    let scope = HeldScope::Kind("order.created".into());
    let unpinned = anna.submit(submission(release(scope.clone()))).await;
    assert!(unpinned.unwrap_err().text.contains("preview it first"));
    let preview = anna.preview(release(scope.clone())).await.unwrap();
    // What came since is above the high water, and left alone.
    let second = send(&anna, "2", "order.created", "{}").await;
    let action = Action::DiscardHeld {
        scope: scope.clone(),
        reason: "tests".into(),
    };
    let done = anna
        .submit(pinned(action, &preview).unwrap())
        .await
        .unwrap();
    assert_eq!(done.report.unwrap()["discarded"], 1);
    let reader = crate::store::Reader::open(&place.database()).unwrap();
    let left = reader.held_events(Some(&scope), None, 9).unwrap();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [second]);
    let mut lying = pinned(release(scope), &preview).unwrap();
    lying.high_water = Some(DeliveryId::new(second, 255));
    lying.expected = Some(0);
    assert!(anna.submit(lying).await.is_err());
    let why = Action::DiscardHeld {
        scope: HeldScope::Events(vec![first]),
        reason: " ".into(),
    };
    assert!(
        anna.preview(why)
            .await
            .unwrap_err()
            .text
            .contains("say why")
    );
    worker.drain().await;
}

#[tokio::test]
async fn an_edit_shows_before_and_after_and_must_pass_the_door() {
    let place = Place::new();
    let worker = place.worker().await;
    let anna = place.attach("anna").await;
    let held = send(&anna, "1", "order.created", r#"{"m":12.10,"x":[1,2]}"#).await;
    for (changes, words) in [
        (&[("/y", Some("1"))][..], "still be held"),
        (&[("/m", Some("12.10"))][..], "changes nothing"),
        (&[("/m", Some("12,1"))][..], "no JSON"),
        (&[("/z", None)][..], "nothing at `/z`"),
        (&[][..], "changes nothing"),
    ] {
        let refused = anna.preview(edit(held, changes)).await.unwrap_err();
        assert!(refused.text.contains(words), "{refused}");
    }
    let changes = [("/n", Some(r#""7""#)), ("/x/0", None)];
    let preview = anna.preview(edit(held, &changes)).await.unwrap();
    assert_eq!(
        preview.notes,
        [
            "/x/0: 1 -> 2",
            "/x/1: 2 -> (nothing)",
            "/n: (nothing) -> \"7\"",
            "crm: crm cannot be asked whether it has it: it is sent under a new key, because its bytes changed"
        ]
    );
    let pinned = pinned(edit(held, &changes), &preview).unwrap();
    let mut other = pinned.clone();
    other.id = submission_id().unwrap();
    let done = anna.submit(pinned).await.unwrap();
    assert_eq!(done.delivery, Some(DeliveryId::new(held, 0)));
    let refused = anna.submit(other).await.unwrap_err();
    assert!(refused.text.contains("was accepted"), "{refused}");
    let reader = crate::store::Reader::open(&place.database()).unwrap();
    let delivery = reader.delivery(DeliveryId::new(held, 0)).unwrap().unwrap();
    assert_eq!(
        delivery.data.as_deref(),
        Some(&br#"{"m":12.10,"x":[2],"n":"7"}"#[..])
    );
    assert_eq!(delivery.row.order_key.as_deref(), Some("7"));
    let row = place
        .log()
        .into_iter()
        .find(|row| row.kind == "edit")
        .unwrap();
    assert_eq!(
        row.text,
        format!("event {held} edited (/x/0, /x/1, /n): 1 released (1 delivery), 0 stay")
    );
    worker.drain().await;
}
