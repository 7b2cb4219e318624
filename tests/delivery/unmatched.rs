//! A payment whose order is not there yet: parked, noted on its order when that appears, in review if it never does.

use std::time::Duration;

use midwatch::config::model::Config;
use midwatch::ids::DeliveryId;
use midwatch::queue::filter::Filter;
use midwatch::queue::model::State;
use midwatch::record::ledger::{About, Learned};
use midwatch::store::Receipt;
use midwatch::time::{Clock, Timestamp};
use serde_json::json;

use crate::bed::Bed;
use crate::crm::{Crm, Fault};
use crate::owned::replay;
use crate::upsert::reason;

/// Payments that are noted on the shop's orders, which nothing else carries: only the shop tells of them.
fn config(shop: &Crm) -> Config {
    let text = format!(
        r#"
[site]
name = "test"
[defaults.path]
owner = "anna"
runbook = "r.md"
schedule = ["0", "6h"]
[systems.payments.records.payment]
events = ["payment.*"]
id = "/id"
key = "/id"
fields.reference = "/id"
refs.order = "/order"
[systems.shop]
url = "http://{}"
private = true
[systems.shop.records.order]
object = "orders"
events = ["order.*"]
id = "/id"
key = "/key"
fields.paid_ref = "/paid_ref"
lookup = {{ url = "/orders?key={{{{ key }}}}", items = true, answer = "/results" }}
update = {{ method = "PATCH", url = "/orders/{{{{ id }}}}" }}
[paths.paid]
route = "payments.payment -> shop.order"
events = ["payment.*"]
set = {{ paid_ref = "{{{{ fields.reference }}}}" }}
needs_within = "2h"
"#,
        shop.receiver.address
    );
    match midwatch::config::parse(&text, std::path::Path::new("/tmp/midwatch.toml")) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", words.join("\n"))
        }
    }
}

async fn pay(bed: &Bed, order: &str) -> DeliveryId {
    let payment = json!({"id": format!("pi_{order}"), "order": order});
    let receipt = bed
        .accept_from("payments", "payment.succeeded", &payment.to_string())
        .await;
    match receipt {
        Receipt::Accepted { event, .. } => DeliveryId::new(event, 0),
        other => panic!("{other:?}"),
    }
}

/// The shop takes an order. Returns the id that it gave it.
fn take(shop: &Crm, key: &str) -> String {
    let mut held = shop.held.lock().expect("lock");
    held.put("orders", json!({"key": key}))
}

/// The shop tells of an order that it took; nothing of ours carries it anywhere.
async fn tell(bed: &Bed, key: &str) {
    let order = json!({"id": format!("o{key}"), "key": key});
    let receipt = bed
        .accept_from("shop", "order.created", &order.to_string())
        .await;
    assert!(matches!(receipt, Receipt::Unrouted { .. }), "{receipt:?}");
}

fn needing(bed: &Bed) -> Vec<(DeliveryId, String)> {
    let reader = bed.store.reader().expect("reader");
    let rows = reader.needs(&Filter::default(), 10).expect("read");
    rows.into_iter()
        .map(|row| (row.delivery, row.key))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_before_its_order_is_parked_and_goes_on_when_the_order_appears() {
    let shop = Crm::start().await;
    let bed = Bed::start(config(&shop)).await;
    let (told, learnt) = (pay(&bed, "1").await, pay(&bed, "2").await);
    for id in [told, learnt] {
        bed.until_state(id, State::Waiting).await;
        let why = reason(&bed, id);
        assert!(why.contains("it is not in shop yet"), "{why}");
        assert_eq!(bed.detail(id).row.charged, 0, "nothing is wrong with it");
    }
    let parked = [(told, "1".to_owned()), (learnt, "2".to_owned())];
    assert_eq!(needing(&bed), parked);
    assert_eq!(bed.overview().paths[0].needing, 2);

    // Another order, and another system's word about this one, are no reason to ask again.
    tell(&bed, "3").await;
    let behind = pay(&bed, "1").await;
    bed.until_state(behind, State::Waiting).await;
    assert_eq!(needing(&bed), parked);
    assert_eq!(bed.state(told), State::Waiting);
    assert_eq!(bed.detail(told).attempts.len(), 1);

    // The shop tells of it: at once, not in six hours.
    take(&shop, "1");
    tell(&bed, "1").await;
    bed.until_state(told, State::Delivered).await;
    bed.until_state(behind, State::Delivered).await;
    assert_eq!(shop.only("orders", "1")["paid_ref"], "pi_1");
    assert_eq!(bed.state(learnt), State::Waiting);

    // Its id is learnt, by whatever way.
    let id = take(&shop, "2");
    bed.store
        .learn(Learned {
            system: "shop".to_owned(),
            about: About {
                kind: "order".to_owned(),
                key: "2".to_owned(),
            },
            id: Some(id),
            ..Learned::default()
        })
        .await
        .expect("learnt");
    bed.until_state(learnt, State::Delivered).await;
    assert_eq!(shop.only("orders", "2")["paid_ref"], "pi_2");
    assert!(needing(&bed).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_comes_while_it_is_looked_for_is_not_missed() {
    // The first answer was true when it was written, and is not when it arrives.
    let mut first = true;
    let shop = Crm::with(move |_| {
        std::mem::take(&mut first).then(|| Fault::Late(Duration::from_millis(700)))
    })
    .await;
    let bed = Bed::start(config(&shop)).await;
    let id = pay(&bed, "1").await;
    bed.until("it is being looked for", || shop.seen("GET") == 1)
        .await;
    take(&shop, "1");
    tell(&bed, "1").await;
    assert_eq!(bed.state(id), State::Running, "the answer is still to come");
    bed.until_state(id, State::Delivered).await;
    assert_eq!(shop.only("orders", "1")["paid_ref"], "pi_1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_order_never_appears_is_left_to_a_person() {
    let shop = Crm::start().await;
    let clock = Clock::manual(Timestamp(1_764_000_000_000));
    let bed = Bed::start_at(config(&shop), clock.clone()).await;
    let id = pay(&bed, "9").await;
    bed.until_state(id, State::Waiting).await;
    clock.advance(Duration::from_secs(7199));
    assert_eq!(bed.store.expire_needs().await.expect("kept"), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(bed.store.expire_needs().await.expect("kept"), 1);
    assert_eq!(bed.state(id), State::Held);
    let why = reason(&bed, id);
    assert!(
        why.starts_with("waited 2h in vain: waits for order"),
        "{why}"
    );
    assert!(bed.log().iter().any(|line| line.contains(&why)), "{why}");

    // Now it is a person's: what comes later does not take it out of their hands.
    take(&shop, "9");
    tell(&bed, "9").await;
    assert_eq!((bed.state(id), shop.seen("PATCH")), (State::Held, 0));
    replay(&bed, id, false).await;
    bed.dispatch.wake();
    bed.until_state(id, State::Delivered).await;
    assert_eq!(shop.only("orders", "9")["paid_ref"], "pi_9");
}
