//! Each preset's listings against its stand-in: every page, every record once, and only what changed where that can be asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use midwatch::event::expr::Engine;
use midwatch::http::Outbound;
use midwatch::record::read;
use midwatch::remote::Remote;
use midwatch::sandbox::crm::Crm;
use midwatch::sandbox::goods::Order;
use midwatch::sandbox::payments::Payments;
use midwatch::sandbox::pipedrive::Pipedrive;
use midwatch::sandbox::rest::Rest;
use midwatch::sandbox::shopify::Shopify;
use midwatch::sandbox::website::Website;
use midwatch::time::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::place::{Place, stand_in};

fn row(value: &Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// How many pages a listing has, and the keys of its records, each of which must be there once.
async fn listed(
    place: &Place,
    system: &str,
    kind: &str,
    since: Option<Timestamp>,
) -> (usize, usize) {
    let live = place.worker.live();
    let remote = Remote::new(live.clone(), Outbound::new(live), Engine::new());
    let map = remote.map(system, kind).expect("a map");
    let mut listing = remote.pages(system, kind, since, None).expect("a listing");
    let (mut pages, mut keys) = (0, BTreeSet::new());
    while let Some(page) = listing
        .next()
        .await
        .unwrap_or_else(|error| panic!("{system}: {error}"))
    {
        pages += 1;
        for node in &page.records {
            let record = read::one(&map, node, &Engine::new()).expect("a record");
            assert!(record.unread.is_empty(), "{system}: {:?}", record.unread);
            assert!(record.id.is_some(), "{system}");
            let key = record.key.expect("a key");
            assert!(keys.insert(key.clone()), "{system}: {key} twice");
        }
    }
    (pages, keys.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_read_and_only_what_changed_where_that_can_be_asked() {
    let (old, new) = (Timestamp(1_700_000_000_000), Clock::System.now());
    let (website, crm, payments) = (
        Arc::<Website>::default(),
        Arc::<Crm>::default(),
        Arc::<Payments>::default(),
    );
    let (pipe, shop, own) = (
        Arc::<Pipedrive>::default(),
        Arc::<Shopify>::default(),
        Arc::<Rest>::default(),
    );
    for number in 1..=230_u64 {
        let at = if number > 225 { new } else { old };
        website.take(Order::gift(number, "aase@post.example", at));
        crm.put(
            "deals",
            row(&json!({ "woo_order_id": number.to_string(), "amount": "500.00" })),
        );
        payments.charge(number, 50_000, at);
    }
    for number in 1..=510 {
        let time = if number > 505 { new } else { old }.rfc3339();
        let emails = json!([{ "value": format!("c{number}@post.example"), "primary": true }]);
        pipe.put(
            "persons",
            row(&json!({ "name": "Åse", "emails": emails, "update_time": time, "add_time": time })),
        );
    }
    for number in 1..=260 {
        shop.order(
            "aase@post.example",
            "349.50",
            if number > 255 { new } else { old },
        );
    }
    for number in 1..=120 {
        own.put(
            "orders",
            row(&json!({ "number": number.to_string(), "total": "1.00" })),
        );
    }
    let servers = [
        stand_in(website).await,
        stand_in(crm).await,
        stand_in(payments).await,
        stand_in(pipe).await,
        stand_in(shop).await,
        stand_in(own).await,
    ];
    let auths = [
        "{ basic = [\"file:woo_key\", \"file:woo_secret\"] }",
        "{ bearer = \"file:hubspot_token\" }",
        "{ bearer = \"file:stripe_key\" }",
        "{ header = \"x-api-token\", value = \"file:pipedrive_token\" }",
        "{ header = \"X-Shopify-Access-Token\", value = \"file:shopify_token\" }",
        "{ bearer = \"file:rest_token\" }",
    ];
    let names = [
        "woocommerce",
        "hubspot",
        "stripe",
        "pipedrive",
        "shopify",
        "rest",
    ];
    let systems = names.iter().zip(auths).zip(&servers).map(|((name, auth), server)| {
        let address = server.address();
        format!("[systems.{name}]\npreset = \"{name}\"\nurl = \"http://{address}\"\nauth = {auth}\nprivate = true\n")
    });
    let place = Place::open(&systems.collect::<String>()).await;

    // (system, record type, pages and records of all, records since; none: the listing cannot be narrowed)
    let since = Some(Timestamp(new.0 - 60_000));
    for (system, kind, whole, changed) in [
        ("woocommerce", "order", (3, 230), Some(5)),
        ("hubspot", "order", (3, 230), None),
        ("stripe", "payment", (3, 230), Some(5)),
        ("pipedrive", "contact", (2, 510), Some(5)),
        ("shopify", "order", (2, 260), Some(5)),
        ("rest", "order", (3, 120), None),
    ] {
        assert_eq!(listed(&place, system, kind, None).await, whole, "{system}");
        if let Some(changed) = changed {
            assert_eq!(
                listed(&place, system, kind, since).await.1,
                changed,
                "{system}"
            );
        }
    }
    place.close().await;
}
