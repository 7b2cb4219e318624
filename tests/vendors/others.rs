//! Shopify, Pipedrive and a plain REST API: no record is unique there by itself, so that only the lookup keeps it single.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use midwatch::sandbox::pipedrive::Pipedrive;
use midwatch::sandbox::rest::Rest;
use midwatch::sandbox::server::Server;
use midwatch::sandbox::shopify::{self, Shopify};
use midwatch::time::{Clock, Timestamp};
use serde_json::Value;
use sha2::Sha256;

use crate::place::{Place, cuts, stand_in};

fn shop(server: &Server) -> String {
    format!(
        "[systems.shop]\npreset = \"shopify\"\nurl = \"http://{}\"\n\
         auth = {{ header = \"X-Shopify-Access-Token\", value = \"file:shopify_token\" }}\n\
         hooks = {{ secrets = [\"file:shopify_hook\"] }}\nlimit = \"500/1s\"\nprivate = true\n",
        server.address()
    )
}

fn now() -> Timestamp {
    Clock::System.now()
}

async fn tell(place: &Place, topic: &str, event: &str, record: &Value) -> u16 {
    let body = record.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(shopify::HOOK.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    let headers = [
        (
            "x-shopify-hmac-sha256",
            STANDARD.encode(mac.finalize().into_bytes()),
        ),
        ("x-shopify-topic", topic.to_owned()),
        ("x-shopify-event-id", event.to_owned()),
    ];
    place.hook("shop", &headers, &body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shopifys_orders_become_pipedrives_deals_of_their_persons() {
    let (sold, crm) = (Arc::<Shopify>::default(), Arc::<Pipedrive>::default());
    let (shop_server, crm_server) = (stand_in(sold.clone()).await, stand_in(crm.clone()).await);
    let place = Place::open(&format!(
        r#"
{}
[systems.crm]
preset = "pipedrive"
url = "http://{}"
auth = {{ header = "x-api-token", value = "file:pipedrive_token" }}
limit = "500/1s"
private = true
[systems.crm.records.order]
key = {{ at = "/title", clean = ["digits"] }}
lookup = {{ url = "/api/v2/deals/search?fields=title&exact_match=true&term={{{{ key }}}}" }}
[systems.shop.records.order]
fields.name = "/id"
fields.status = {{ at = "/financial_status", values = {{ open = "paid" }} }}
[paths.persons]
route = "shop.contact -> crm.contact"
events = ["orders.create"]
[paths.deals]
route = "shop.order -> crm.order"
needs = ["contact"]
"#,
        shop(&shop_server),
        crm_server.address()
    ))
    .await;
    crm_server.set(cuts(3));
    for number in 0..10 {
        let order = sold.order(&format!("C{}@post.example", number % 5), "349.50", now());
        assert_eq!(
            tell(&place, "orders/create", &format!("e-{number}"), &order).await,
            200
        );
    }
    place
        .settled(&[("deals delivered", 10), ("persons delivered", 10)])
        .await;
    assert_eq!(crm.duplicates(), 0, "{:?}", crm.counts().all());
    let person = crm.row("persons", 1).expect("a person");
    let address = person["emails"][0]["value"].as_str().unwrap_or_default();
    assert!(
        address.starts_with('c') && address.ends_with("@post.example"),
        "{person:?}"
    );
    let deal = crm.row("deals", 1).expect("a deal");
    assert_eq!(
        (&deal["value"], &deal["currency"]),
        (&serde_json::json!(349.5), &"NOK".into())
    );
    assert!(
        deal["person_id"].is_number() && deal["status"] == "open",
        "{deal:?}"
    );
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_api_that_keeps_whatever_it_is_sent_is_sent_nothing_twice() {
    const ORDERS: u64 = 60;
    let (sold, own) = (Arc::<Shopify>::default(), Arc::<Rest>::default());
    let (shop_server, erp) = (stand_in(sold.clone()).await, stand_in(own.clone()).await);
    let place = Place::open(&format!(
        r#"
{}
[systems.erp]
preset = "rest"
url = "http://{}"
auth = {{ bearer = "file:rest_token" }}
private = true
[systems.shop.records.order]
key = "/order_number"
[paths.orders]
route = "shop.order -> erp.order"
"#,
        shop(&shop_server),
        erp.address()
    ))
    .await;
    erp.set(cuts(3));
    for number in 0..ORDERS {
        let order = sold.order("aase@post.example", "349.50", now());
        assert_eq!(
            tell(&place, "orders/create", &format!("e-{number}"), &order).await,
            200
        );
    }
    place.settled(&[("orders delivered", ORDERS)]).await;
    assert_eq!((own.len("orders"), own.duplicates()), (60, 0));
    let order = own.row("orders", 1).expect("an order");
    assert_eq!(order["total"], "349.50");

    // Two that someone typed in: nobody guesses which is meant.
    let twin = |number: &str| {
        serde_json::json!({ "number": number })
            .as_object()
            .cloned()
            .unwrap_or_default()
    };
    own.put("orders", twin("1061"));
    own.put("orders", twin("1061"));
    let order = sold.order("aase@post.example", "1.00", now());
    assert_eq!(tell(&place, "orders/create", "e-twin", &order).await, 200);
    place
        .settled(&[("orders delivered", ORDERS), ("orders held", 1)])
        .await;
    assert_eq!(own.len("orders"), 62);
    place.close().await;
}
