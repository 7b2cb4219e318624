//! Stripe: payments are noted on the website's orders; customers are made with a key that Stripe honours.

use std::sync::Arc;

use midwatch::sandbox::goods::Order;
use midwatch::sandbox::payments::Payments;
use midwatch::sandbox::rest::Rest;
use midwatch::sandbox::secrets;
use midwatch::sandbox::server::Server;
use midwatch::sandbox::website::Website;
use midwatch::time::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::place::{Place, cuts, stand_in};

fn stripe(server: &Server) -> String {
    format!(
        "[systems.payments]\npreset = \"stripe\"\nurl = \"http://{}\"\nauth = {{ bearer = \"file:stripe_key\" }}\n\
         hooks = {{ secrets = [\"file:stripe_hook\"] }}\nlimit = \"500/1s\"\nprivate = true\n",
        server.address()
    )
}

async fn tell(place: &Place, event: &Value) -> u16 {
    let body = event.to_string();
    let seconds = now().0.div_euclid(1000);
    let signature = secrets::stripe(seconds, body.as_bytes());
    place
        .hook("payments", &[("stripe-signature", signature)], &body)
        .await
}

fn now() -> Timestamp {
    Clock::System.now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_and_its_refund_are_noted_on_the_order() {
    let (website, payments) = (Arc::<Website>::default(), Arc::<Payments>::default());
    let (shop, stripe_server) = (
        stand_in(website.clone()).await,
        stand_in(payments.clone()).await,
    );
    let place = Place::open(&format!(
        r#"
{}
[systems.shop]
preset = "woocommerce"
url = "http://{}"
auth = {{ basic = ["file:woo_key", "file:woo_secret"] }}
private = true
[paths.paid]
route = "payments.payment -> shop.order"
events = ["payment_intent.succeeded", "charge.refunded"]
set = {{ paid_ref = "{{{{ fields.reference }}}}", customer_note = "{{{{ type }}}}: {{{{ fields.amount }}}}" }}
"#,
        stripe(&stripe_server),
        shop.address()
    ))
    .await;
    website.take(Order::gift(1042, "aase@post.example", now()));
    let mut paid = payments.charge(1042, 50_000, now());
    assert_eq!(tell(&place, &paid).await, 202);
    place.settled(&[("paid delivered", 1)]).await;
    let order = website.order(1042).expect("kept");
    assert_eq!(order["transaction_id"], "pi_demo_1");
    assert_eq!(
        order["customer_note"],
        "payment_intent.succeeded: 500.00 NOK"
    );

    // Sent again with another count of open deliveries, it is the same event.
    paid["pending_webhooks"] = 0.into();
    assert_eq!(tell(&place, &paid).await, 202);
    place.settled(&[("paid delivered", 1)]).await;

    let refunded = payments.refund(1042, now()).expect("paid");
    assert_eq!(tell(&place, &refunded).await, 202);
    place.settled(&[("paid delivered", 2)]).await;
    let order = website.order(1042).expect("kept");
    assert_eq!(order["customer_note"], "charge.refunded: 500.00 NOK");

    // Yen have no minor unit.
    website.take(Order::gift(1043, "kaare@post.example", now()));
    let yen = payments.charge_in(1043, 500, "jpy", now());
    assert_eq!(tell(&place, &yen).await, 202);
    place.settled(&[("paid delivered", 3)]).await;
    let order = website.order(1043).expect("kept");
    assert_eq!(order["customer_note"], "payment_intent.succeeded: 500 JPY");
    assert_eq!(website.counts().of("update orders"), 3);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_are_made_by_form_once_each_although_answers_are_lost() {
    let (own, payments) = (Arc::<Rest>::default(), Arc::<Payments>::default());
    let (erp, stripe_server) = (
        stand_in(own.clone()).await,
        stand_in(payments.clone()).await,
    );
    let place = Place::open(&format!(
        r#"
{}
[systems.erp]
preset = "rest"
url = "http://{}"
auth = {{ bearer = "file:rest_token" }}
private = true
[systems.erp.records.contact]
at = ""
fields.name = {{ value = "{{{{ data.first_name }}}} {{{{ data.last_name }}}}" }}
[paths.customers]
route = "erp.contact -> payments.contact"
"#,
        stripe(&stripe_server),
        erp.address()
    ))
    .await;
    stripe_server.set(cuts(2));
    let http = midwatch::sandbox::server::post;
    for number in 0..10 {
        let event = json!({
            "specversion": "1.0", "id": format!("c-{number}"), "source": "erp", "type": "contact.created",
            "datacontenttype": "application/json",
            "data": { "email": format!("C{number}@post.example"), "first_name": "Åse & co", "last_name": "Berg" },
        });
        let headers = [("content-type", "application/cloudevents+json".to_owned())];
        let (status, _) = http(place.door(), "/events", &headers, event.to_string().into())
            .await
            .expect("answered");
        assert_eq!(status, 202);
    }
    place.settled(&[("customers delivered", 10)]).await;
    assert_eq!(payments.customers(), 10);
    assert_eq!(payments.counts().of("key conflict"), 0);
    place.close().await;
}
