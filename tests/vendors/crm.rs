//! WooCommerce to HubSpot: orders become deals, whoever orders becomes a contact, and each is there once whatever happens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use midwatch::control::action::Action;
use midwatch::sandbox::Faults;
use midwatch::sandbox::books::Allowance;
use midwatch::sandbox::crm::Crm;
use midwatch::sandbox::goods::Order;
use midwatch::sandbox::server::{Call, Reply, Server, System};
use midwatch::sandbox::website::Website;
use midwatch::time::Timestamp;

use crate::place::{Place, cuts, stand_in};

const PATHS: &str = r#"
[paths.contacts]
route = "shop.contact -> crm.contact"
events = ["order.created", "customer.created"]
when = "data.billing.email != ''"
[paths.deals]
route = "shop.order -> crm.order"
needs = ["contact"]
"#;

/// What the shop's engineer writes.
pub fn config(shop: &Server, crm: &Server, auth: &str, more: &str) -> String {
    format!(
        r#"
[systems.shop]
preset = "woocommerce"
url = "http://{}"
auth = {{ basic = ["file:woo_key", "file:woo_secret"] }}
hooks = {{ secrets = ["file:woo_hook"] }}
private = true
[systems.crm]
preset = "hubspot"
url = "http://{}"
auth = {auth}
limit = "1000/1s"
private = true
[systems.crm.records.order]
fields.email = "/properties/customer_email"
fields.status = {{ at = "/properties/dealstage", values = {{ processing = "paid_stage", completed = "closedwon", cancelled = "closedlost" }} }}
{more}{PATHS}"#,
        shop.address(),
        crm.address(),
    )
}

const BEARER: &str = "{ bearer = \"file:hubspot_token\" }";

pub struct Town {
    pub website: Arc<Website>,
    pub crm: Arc<Crm>,
    pub servers: [Server; 2],
}

impl Town {
    pub async fn new(crm: Crm) -> Self {
        let (website, crm) = (Arc::new(Website::default()), Arc::new(crm));
        let servers = [stand_in(website.clone()).await, stand_in(crm.clone()).await];
        Self {
            website,
            crm,
            servers,
        }
    }

    async fn work(&self, more: &str) -> Place {
        self.work_as(BEARER, more).await
    }

    pub async fn work_as(&self, auth: &str, more: &str) -> Place {
        let place = Place::open(&config(&self.servers[0], &self.servers[1], auth, more)).await;
        self.call(place.door());
        place
    }

    /// The website's webhooks call this front door.
    pub fn call(&self, door: SocketAddr) {
        for (id, topic) in [
            ("1", "order.created"),
            ("2", "order.updated"),
            ("3", "customer.created"),
        ] {
            let address = format!("http://{door}/hooks/shop");
            let hooks = self.website.hooks();
            if hooks.all().iter().any(|hook| hook.id == id) {
                hooks.move_to(id, &address);
            } else {
                hooks.add(id, topic, &address);
            }
        }
    }

    /// Someone buys a gift card; the webhook tells.
    pub async fn sell(&self, number: u64, email: &str) {
        let order = Order::gift(number, email, now());
        let told = order.json();
        self.website.take(order);
        assert_eq!(self.website.tell("order.created", &told).await, Some(200));
    }
}

fn now() -> Timestamp {
    midwatch::time::Clock::System.now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_becomes_a_deal_joined_to_its_contact_and_changes_change_it() {
    let town = Town::new(Crm::default()).await;
    let place = town.work("").await;
    town.sell(1042, "Aase@Post.example").await;
    place
        .settled(&[("contacts delivered", 1), ("deals delivered", 1)])
        .await;
    let (_, contact) = town
        .crm
        .find("contacts", "aase@post.example")
        .expect("a contact");
    assert_eq!(contact["email"], "aase@post.example");
    assert!(contact["firstname"].is_string(), "{contact:?}");
    let (_, deal) = town.crm.find("deals", "1042").expect("a deal");
    for (name, value) in [
        ("amount", "500"),
        ("deal_currency_code", "NOK"),
        ("dealstage", "paid_stage"),
        ("dealname", "Order 1042"),
        ("customer_email", "aase@post.example"),
    ] {
        assert_eq!(
            deal[name].as_str().map(|text| text.trim_end_matches(".00")),
            Some(value),
            "{name}"
        );
    }
    assert_eq!(town.crm.joined(), 1);

    let order = town
        .website
        .set_status(1042, "completed", later(2))
        .expect("known");
    assert_eq!(
        town.website.tell("order.updated", &order.json()).await,
        Some(200)
    );
    place
        .settled(&[("contacts delivered", 1), ("deals delivered", 2)])
        .await;
    let (_, deal) = town.crm.find("deals", "1042").expect("a deal");
    assert_eq!(deal["dealstage"], "closedwon");
    let counts = town.crm.counts();
    assert_eq!(
        (counts.of("create deals"), counts.of("create contacts")),
        (1, 1)
    );
    assert_eq!(counts.of("unknown property"), 0);

    // The same words again are no news: the front door knows them.
    assert_eq!(
        town.website.tell("order.updated", &order.json()).await,
        Some(200)
    );
    place
        .settled(&[("contacts delivered", 1), ("deals delivered", 2)])
        .await;
    place.close().await;
}

fn later(seconds: i64) -> Timestamp {
    Timestamp(now().0 + seconds * 1000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_and_not_answered_is_looked_up_and_made_once() {
    const ORDERS: u64 = 40;
    let town = Town::new(Crm::default()).await;
    let place = town.work("").await;
    town.servers[1].set(cuts(3));
    for number in 1..=ORDERS {
        town.sell(number, &format!("c{}@post.example", number % 20))
            .await;
    }
    place
        .settled(&[("contacts delivered", ORDERS), ("deals delivered", ORDERS)])
        .await;
    assert_eq!((town.crm.len("contacts"), town.crm.len("deals")), (20, 40));
    assert_eq!(
        town.crm.counts().beginning("conflict"),
        0,
        "{:?}",
        town.crm.counts().all()
    );
    assert_eq!(town.crm.joined(), 40);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_someone_else_makes_first_is_taken_as_it_is() {
    let town = Town::new(Crm::default()).await;
    let place = town.work("").await;
    town.servers[1].set(Faults {
        rival: true,
        ..Faults::default()
    });
    town.sell(1042, "aase@post.example").await;
    place
        .settled(&[("contacts delivered", 1), ("deals delivered", 1)])
        .await;
    let counts = town.crm.counts();
    assert_eq!(
        (counts.of("typed in"), counts.of("conflict contacts")),
        (1, 1)
    );
    assert_eq!(town.crm.len("contacts"), 1);
    let (_, contact) = town
        .crm
        .find("contacts", "aase@post.example")
        .expect("a contact");
    assert!(contact["firstname"].is_string(), "filled in: {contact:?}");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deal_waits_for_its_contact_and_goes_on_when_it_is_there() {
    let town = Town::new(Crm::default()).await;
    let place = town.work("").await;
    let broken = Faults {
        status: Some(503),
        only: Some("POST /crm/v3/objects/contacts".to_owned()),
        ..Faults::default()
    };
    town.servers[1].set(broken);
    town.sell(1042, "aase@post.example").await;
    place
        .until("the deal waits", || {
            place.states().get("deals waiting") == Some(&1)
        })
        .await;
    assert_eq!(town.crm.counts().of("lookup deals"), 0);
    town.servers[1].set(Faults::default());
    place
        .settled(&[("contacts delivered", 1), ("deals delivered", 1)])
        .await;
    assert_eq!(town.crm.joined(), 1);
    // By telephone: there is nobody to wait for.
    town.sell(1043, "").await;
    place
        .settled(&[("contacts delivered", 1), ("deals delivered", 2)])
        .await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hubspot_says_is_left_is_heeded() {
    // Ten in a second, far less than the configured limit.
    let town = Town::new(Crm::new(Allowance::new(10, Duration::from_secs(1)))).await;
    let place = town.work("").await;
    for number in 1..=10 {
        town.sell(number, &format!("c{number}@post.example")).await;
    }
    place
        .settled(&[("contacts delivered", 10), ("deals delivered", 10)])
        .await;
    let asked = town.crm.counts().all().values().sum::<u64>();
    let throttled = town.crm.counts().of("throttled");
    assert!(
        throttled * 5 < asked,
        "{throttled} of {asked} were throttled"
    );
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_disabled_itself_is_enabled_again_by_an_action() {
    let town = Town::new(Crm::default()).await;
    let place = town.work("").await;
    let hooks = town.website.hooks();
    let order = Order::gift(1042, "aase@post.example", now());
    let told = order.json();
    town.website.take(order);
    // Nobody listens where the webhook calls: the sixth failure in a row disables it.
    let door = hooks.all()[0].address.clone();
    hooks.move_to("1", "http://127.0.0.1:9/hooks/shop");
    for _ in 0..6 {
        assert_eq!(town.website.tell("order.created", &told).await, Some(0));
    }
    assert_eq!(town.website.tell("order.created", &told).await, None);
    // What the shop is told to call is where the proxy stands, which leads to the front door.
    for id in ["1", "2", "3"] {
        hooks.move_to(id, "https://nordlys.example/_midwatch/hooks/shop");
    }
    place
        .act(Action::EnableHook {
            system: "shop".to_owned(),
        })
        .await;
    assert_eq!(
        town.website.counts().of("enable hook"),
        1,
        "the other two were active"
    );
    hooks.move_to("1", &door);
    assert_eq!(town.website.tell("order.created", &told).await, Some(200));
    place
        .settled(&[("contacts delivered", 1), ("deals delivered", 1)])
        .await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_both_hold_is_adopted_page_by_page_and_not_sent_again() {
    const ORDERS: u64 = 230;
    let town = Town::new(Crm::default()).await;
    for number in 1..=ORDERS {
        town.website.take(Order::gift(
            number,
            &format!("c{number}@post.example"),
            now(),
        ));
        let deal = serde_json::json!({
            "woo_order_id": number.to_string(), "amount": "500.00", "deal_currency_code": "NOK",
            "dealname": format!("Order {number}"), "dealstage": "paid_stage",
            "customer_email": format!("c{number}@post.example"),
        });
        town.crm
            .put("deals", deal.as_object().cloned().unwrap_or_default());
    }
    let place = town.work("").await;
    place
        .act(Action::Adopt {
            kind: "order".to_owned(),
            sides: Vec::new(),
            dry_run: false,
        })
        .await;
    place
        .until("all pages are read", || {
            town.website.counts().of("list orders") >= 3 && town.crm.counts().of("list deals") >= 3
        })
        .await;
    assert_eq!(town.crm.counts().beginning("create"), 0);
    assert_eq!(town.crm.counts().beginning("update"), 0);
    place.close().await;
}

/// A receiver that counts every request, whatever it asks for.
struct Counted {
    crm: Crm,
    requests: AtomicUsize,
}

impl System for Counted {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.crm.answer(call, faults)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_shadow_mode_the_receiver_sees_no_request_at_all_until_its_path_goes_live() {
    let town = Town::new(Crm::default()).await;
    let counted = Arc::new(Counted {
        crm: Crm::default(),
        requests: AtomicUsize::new(0),
    });
    let server = stand_in(counted.clone()).await;
    let text = config(&town.servers[0], &server, BEARER, "")
        .replace("[paths.deals]\n", "[paths.deals]\nmode = \"shadow\"\n");
    let text = text.replace(
        "[paths.contacts]\n",
        "[paths.contacts]\nmode = \"shadow\"\n",
    );
    let place = Place::open(&text).await;
    let address = format!("http://{}/hooks/shop", place.door());
    town.website.hooks().add("1", "order.created", &address);
    for number in 1042..1047 {
        town.sell(number, "aase@post.example").await;
    }
    place
        .settled(&[("contacts shadowed", 5), ("deals shadowed", 5)])
        .await;
    assert_eq!(counted.requests.load(Ordering::SeqCst), 0);
    for delivery in place.deliveries() {
        let would = delivery.frozen.expect("what it would send");
        let of_the_crm = format!("http://{}/crm/", server.address());
        assert!(would.url.starts_with(&of_the_crm), "{}", would.url);
        assert!(!would.body.is_empty());
    }
    for path in ["contacts", "deals"] {
        let path = path.to_owned();
        place.act(Action::GoLive { path }).await;
    }
    town.sell(1047, "aase@post.example").await;
    place
        .settled(&[
            ("contacts shadowed", 5),
            ("deals shadowed", 5),
            ("contacts delivered", 1),
            ("deals delivered", 1),
        ])
        .await;
    assert_eq!(
        (counted.crm.len("deals"), counted.crm.len("contacts")),
        (1, 1)
    );
    place.close().await;
}
