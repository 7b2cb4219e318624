//! Mapped paths: find, create or update, remember, link, against a receiver that ignores idempotency keys.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use midwatch::config::model::Config;
use midwatch::ids::DeliveryId;
use midwatch::queue::model::{Class, State};
use midwatch::store::LogEntry;
use midwatch::store::view::Severity;
use midwatch::time::Clock;
use serde_json::json;

use crate::bed::{Bed, Receiver};
use crate::crm::{Crm, Fault};

/// The maps of a shop whose orders hold their contact and their items, and of a CRM that knows all three.
pub const RECORDS: &str = r#"
[systems.shop.records.order]
events = ["order.*"]
id = "/id"
key = "/number"
version = "/modified"
created = "/created"
fields.name = "/name"
fields.total = { at = "/total", type = "money", currency = "/currency" }
refs.contact = { at = "/email", clean = ["trim", "lower"] }
read = { url = "/orders/{{ id }}" }
[systems.shop.records.contact]
events = ["customer.*"]
id = "/id"
read = { url = "/customers/{{ id }}" }
key = { at = "/email", clean = ["trim", "lower"] }
fields.email = { at = "/email", clean = ["trim", "lower"], sensitive = true }
[systems.shop.records.contact.from.order]
key = { at = "/email", clean = ["trim", "lower"] }
fields.email = { at = "/email", clean = ["trim", "lower"], sensitive = true }
[systems.shop.records.item.from.order]
many = "/lines"
key = { value = "{{ outer.number }}-{{ data.sku }}" }
fields.sku = "/sku"

[systems.crm.records.order]
object = "orders"
id = "/id"
key = "/key"
fields.name = "/name"
fields.total = { at = "/total", type = "money", currency = "/currency" }
lookup = { url = "/orders?key={{ key }}", items = true, answer = "/results" }
create = { method = "POST", url = "/orders" }
update = { method = "PATCH", url = "/orders/{{ id }}" }
links.contact = { method = "PUT", url = "/orders/{{ id }}/contacts/{{ other }}" }
[systems.crm.records.contact]
object = "contacts"
id = "/id"
key = "/key"
fields.email = { at = "/email", sensitive = true }
lookup = { url = "/contacts?key={{ key }}", items = true, answer = "/results" }
create = { method = "POST", url = "/contacts" }
update = { method = "PATCH", url = "/contacts/{{ id }}" }
[systems.crm.records.item]
object = "items"
id = "/id"
key = "/key"
fields.sku = "/sku"
lookup = { url = "/items?key={{ key }}", items = true, answer = "/results" }
create = { method = "POST", url = "/items" }
update = { method = "PATCH", url = "/items/{{ id }}" }
"#;

pub const DEALS: &str = "[paths.deals]\nroute = \"shop.order -> crm.order\"\nevents = [\"order.*\"]\nconcurrency = 32\n";

/// `shop` and `crm` are further keys of the systems, `site` of the site.
pub fn config_of(site: &str, shop: &str, crm: &str, address: SocketAddr, paths: &str) -> Config {
    config_with(RECORDS, site, shop, crm, address, paths)
}

/// With other record maps.
pub fn config_with(
    records: &str,
    site: &str,
    shop: &str,
    crm: &str,
    address: SocketAddr,
    paths: &str,
) -> Config {
    let text = format!(
        "[site]\nname = \"test\"\n{site}\n[limits]\nconcurrency = 64\n[defaults.path]\nowner = \"anna\"\nrunbook = \"r.md\"\njitter = 0\n\
         [systems.shop]\n{shop}\n[systems.crm]\nurl = \"http://{address}\"\nprivate = true\n{crm}\n{records}\n{paths}"
    );
    match midwatch::config::parse(&text, Path::new("/tmp/midwatch.toml")) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", words.join("\n"))
        }
    }
}

pub fn config(crm: &Crm, paths: &str) -> Config {
    config_of("", "", "", crm.receiver.address, paths)
}

/// An order of the shop.
pub fn order(number: u64, name: &str, minute: u32) -> String {
    json!({
        "id": 7000 + number, "number": number.to_string(), "name": name, "total": "12.10", "currency": "NOK",
        "email": format!("Kari{number}@Example.com "), "created": "2026-11-20T10:00:00Z",
        "modified": format!("2026-11-23T10:{minute:02}:00Z"), "lines": [{"sku": "a"}, {"sku": "b"}, {"sku": "c"}],
    })
    .to_string()
}

/// Accepts version `minute` of an order.
pub async fn accept(bed: &Bed, number: u64, name: &str, minute: u32) -> DeliveryId {
    bed.accept(&number.to_string(), &order(number, name, minute))
        .await
}

/// The steps of a delivery's attempts, in words.
pub fn steps(bed: &Bed, id: DeliveryId) -> Vec<String> {
    let attempts = bed.detail(id).attempts;
    let steps = attempts.iter().flat_map(|attempt| &attempt.steps);
    steps
        .map(|step| format!("{}: {}", step.what, step.note))
        .collect()
}

pub fn reason(bed: &Bed, id: DeliveryId) -> String {
    bed.detail(id).row.reason.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_events_every_tenth_cut_after_it_was_stored_make_no_duplicate() {
    let mut cut = HashSet::new();
    let crm = Crm::with(move |seen| {
        let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let number: u64 = body["key"].as_str()?.parse().ok()?;
        (seen.method == "POST" && number.is_multiple_of(10) && cut.insert(number))
            .then_some(Fault::CutAfter)
    })
    .await;
    let mut config = config(&crm, DEALS);
    config.paths[0].breaker.min = u32::MAX;
    let bed = Bed::start(config).await;
    let orders: Vec<_> = (0..1000)
        .map(|n| ("order.created", n.to_string(), order(n, "new", 0)))
        .collect();
    bed.accept_all(&orders).await;
    bed.until_delivered(1000).await;
    let keys = crm.held.lock().expect("lock").keys("orders");
    assert_eq!(keys.len(), 1000);
    let twice: Vec<_> = keys.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(
        (crm.seen("POST"), crm.seen("PATCH")),
        (1000, 0),
        "what is already so is not written again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_for_one_record_on_two_paths_do_not_race() {
    let crm = Crm::with(|seen| {
        (seen.method == "POST").then_some(Fault::Late(Duration::from_millis(100)))
    })
    .await;
    let other = DEALS.replace("paths.deals", "paths.again");
    let mut config = config(
        &crm,
        &format!("{DEALS}order_by = \"id\"\n{other}order_by = \"id\"\n"),
    );
    config.paths[0].concurrency = 16;
    let bed = Bed::start(config).await;
    // The newest has the first turn: all others find it written when theirs comes.
    accept(&bed, 1, "name 5", 5).await;
    bed.until("it is being made", || crm.seen("POST") == 1)
        .await;
    for n in (0..5).rev() {
        accept(&bed, 1, &format!("name {n}"), n).await;
    }
    bed.until("all ended", || {
        bed.overview()
            .paths
            .iter()
            .all(|path| path.counts.backlog() == 0)
    })
    .await;
    assert_eq!(
        crm.only("orders", "1")["name"],
        "name 5",
        "the newest is what stays"
    );
    // Once by each path; what is older went by neither.
    assert_eq!((crm.seen("POST"), crm.seen("PATCH")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_finishes_after_our_timeout_is_given_its_time() {
    // It stores what it was sent two seconds after we gave up.
    let crm = Crm::start().await;
    let (held, late) = (Arc::clone(&crm.held), Arc::new(AtomicUsize::new(0)));
    let first = Arc::clone(&late);
    let runtime = tokio::runtime::Handle::current();
    let slow = Receiver::start(move |seen| {
        let object = "orders";
        let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap_or_default();
        if seen.method == "POST" && first.fetch_add(1, Ordering::SeqCst) == 0 {
            let held = Arc::clone(&held);
            runtime.spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                held.lock().expect("lock").put(object, body);
            });
            return crate::bed::Answer::ok().after(Duration::from_secs(30));
        }
        crate::crm::answer(&mut held.lock().expect("lock"), seen)
    })
    .await;
    let paths = format!(
        "{DEALS}timeout = \"200ms\"\nschedule = [\"0\", \"0\", \"0\"]\norder_by = \"id\"\n"
    );
    let bed = Bed::start(config_of("", "", "", slow.address, &paths)).await;
    let started = Instant::now();
    let id = accept(&bed, 1, "slow", 0).await;
    bed.until("the first was lost", || bed.detail(id).row.attempts == 1)
        .await;
    // Another event for the same record does not overtake it either.
    let next = accept(&bed, 1, "slow", 1).await;
    bed.until_state(id, State::Delivered).await;
    bed.until_state(next, State::Delivered).await;
    assert!(
        started.elapsed() >= Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    crm.only("orders", "1");
    assert_eq!(
        bed.detail(id).row.charged,
        2,
        "to be deferred costs nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_order_needs_is_waited_for_and_joined() {
    let crm = Crm::start().await;
    let paths = format!(
        "{DEALS}needs = [\"contact\"]\n[paths.contacts]\nroute = \"shop.contact -> crm.contact\"\nevents = [\"customer.*\"]\n"
    );
    let bed = Bed::start(config(&crm, &paths)).await;
    let deal = accept(&bed, 1, "first", 0).await;
    bed.until_state(deal, State::Waiting).await;
    let why = reason(&bed, deal);
    assert!(why.contains("contact") && why.contains("crm"), "{why}");
    assert!(!why.contains("kari1@"), "its key is sensitive: {why}");
    assert_eq!((crm.count("orders"), bed.detail(deal).row.charged), (0, 0));
    bed.accept_kind(
        "customer.created",
        "c1",
        r#"{"id": 5, "email": "kari1@example.com"}"#,
    )
    .await;
    bed.until_delivered(2).await;
    let (contact, deal_there) = (
        crm.only("contacts", "kari1@example.com"),
        crm.only("orders", "1"),
    );
    let links = crm.held.lock().expect("lock").links.clone();
    let text = |value: &serde_json::Value| value["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        links,
        [(
            "orders".to_owned(),
            text(&deal_there),
            "contacts".to_owned(),
            text(&contact)
        )]
    );
    // The next version is joined already.
    accept(&bed, 1, "second", 1).await;
    bed.until_delivered(3).await;
    assert_eq!(crm.seen("PUT"), 1);
    // A contact that is there, though nobody told us, is found.
    crm.held
        .lock()
        .expect("lock")
        .put("contacts", json!({"key": "kari2@example.com"}));
    accept(&bed, 2, "other", 0).await;
    bed.until_delivered(4).await;
    assert_eq!(crm.seen("PUT"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_finds_it_there_looks_again_and_updates() {
    // A lookup that lags behind once, and a create that says that it is there.
    let mut asked = 0;
    let crm = Crm::with(move |seen| match seen.method.as_str() {
        "GET" => {
            asked += 1;
            (asked == 1).then_some(Fault::Empty)
        }
        "POST" => Some(Fault::Status(409)),
        _ => None,
    })
    .await;
    crm.held
        .lock()
        .expect("lock")
        .put("orders", json!({"key": "1", "name": "old"}));
    let bed = Bed::start(config(&crm, DEALS)).await;
    let id = accept(&bed, 1, "new", 0).await;
    bed.until_state(id, State::Delivered).await;
    assert_eq!(crm.only("orders", "1")["name"], "new");
    assert_eq!(
        steps(&bed, id),
        [
            "lookup: not there",
            "create: there already",
            "lookup: id orders-1",
            "update: id orders-1"
        ]
    );
    let attempt = &bed.detail(id).attempts[0];
    assert!(
        attempt.url.ends_with("/orders/orders-1"),
        "{:?}",
        attempt.url
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hits_go_to_a_person() {
    let crm = Crm::start().await;
    for name in ["one", "two"] {
        crm.held
            .lock()
            .expect("lock")
            .put("orders", json!({"key": "1", "name": name}));
    }
    let bed = Bed::start(config(&crm, DEALS)).await;
    let id = accept(&bed, 1, "new", 0).await;
    bed.until_state(id, State::Held).await;
    let why = reason(&bed, id);
    assert!(
        why.contains("orders-1") && why.contains("orders-2"),
        "{why}"
    );
    assert_eq!((crm.seen("POST"), crm.seen("PATCH")), (0, 0));
    assert_eq!(steps(&bed, id), ["lookup: 2 hits"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_what_was_written_is_superseded_and_what_is_equal_is_not_sent() {
    let crm = Crm::start().await;
    crm.held.lock().expect("lock").put(
        "orders",
        json!({"key": "2", "name": "same", "total": "12.10", "currency": "NOK"}),
    );
    let bed = Bed::start(config(&crm, DEALS)).await;
    let new = accept(&bed, 1, "new", 30).await;
    bed.until_state(new, State::Delivered).await;
    let old = accept(&bed, 1, "old", 10).await;
    bed.until_state(old, State::Superseded).await;
    assert_eq!(crm.only("orders", "1")["name"], "new");
    let why = reason(&bed, old);
    assert!(
        why.contains("10:30") && why.contains("10:10"),
        "the proof: {why}"
    );
    assert_eq!(crm.seen("PATCH"), 0);
    let equal = accept(&bed, 2, "same", 0).await;
    bed.until_state(equal, State::Delivered).await;
    assert_eq!(steps(&bed, equal), ["lookup: id orders-1, already so"]);
    assert_eq!(crm.seen("PATCH"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_was_never_written_is_news_in_any_version() {
    let crm = Crm::start().await;
    let paths = "[paths.names]\nroute = \"shop.order -> crm.order\"\nevents = [\"order.updated\"]\nfields = [\"name\"]\n\
                 [paths.totals]\nroute = \"shop.order -> crm.order\"\nevents = [\"order.created\"]\nfields = [\"total\"]\n";
    let bed = Bed::start(config(&crm, paths)).await;
    let new = bed
        .accept_kind("order.updated", "1", &order(1, "new", 30))
        .await;
    bed.until_state(new, State::Delivered).await;
    let old = bed
        .accept_kind("order.created", "1", &order(1, "old", 10))
        .await;
    bed.until_state(old, State::Delivered).await;
    let held = crm.only("orders", "1");
    assert_eq!(
        (held["name"].as_str(), held["total"].as_str()),
        (Some("new"), Some("12.10")),
        "{held}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_deleted_there_is_made_again_if_the_path_may() {
    for (write, made) in [("upsert", true), ("update", false)] {
        let crm = Crm::start().await;
        crm.held
            .lock()
            .expect("lock")
            .put("orders", json!({"key": "1", "name": "old"}));
        let bed = Bed::start(config(&crm, &format!("{DEALS}write = \"{write}\"\n"))).await;
        let first = accept(&bed, 1, "first", 0).await;
        bed.until_state(first, State::Delivered).await;
        crm.held.lock().expect("lock").records.clear();
        let second = accept(&bed, 1, "second", 1).await;
        if made {
            bed.until_state(second, State::Delivered).await;
            assert_eq!(crm.only("orders", "1")["name"], "second");
            let words = [
                "update: not there",
                "lookup: not there",
                "create: id orders-2",
            ];
            assert_eq!(steps(&bed, second), words);
        } else {
            bed.until_state(second, State::Waiting).await;
            assert_eq!(crm.count("orders"), 0);
            assert!(
                reason(&bed, second).contains("order 1"),
                "{}",
                reason(&bed, second)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_mode_sends_nothing_until_it_goes_live() {
    let crm = Crm::start().await;
    let plain = "[paths.plain]\nroute = \"shop -> crm\"\nevents = [\"order.*\"]\nurl = \"/raw/{{ data.number }}\"\nmode = \"shadow\"\n";
    let bed = Bed::start(config(
        &crm,
        &format!("{DEALS}mode = \"shadow\"\nneeds = [\"contact\"]\n{plain}"),
    ))
    .await;
    let id = accept(&bed, 1, "new", 0).await;
    let raw = DeliveryId::new(id.event(), 1);
    bed.until_state(id, State::Shadowed).await;
    bed.until_state(raw, State::Shadowed).await;
    assert_eq!(crm.receiver.count(), 0, "nothing at all, lookups neither");
    let would = reason(&bed, id);
    assert!(
        would.contains("create") && would.contains("contact"),
        "{would}"
    );
    let request = bed.detail(id).frozen.expect("kept");
    assert_eq!(
        (request.method.as_str(), request.url.ends_with("/orders")),
        ("POST", true)
    );
    assert!(
        String::from_utf8_lossy(&request.body).contains("\"name\":\"new\""),
        "{:?}",
        request.body
    );
    assert!(
        bed.detail(raw)
            .frozen
            .expect("kept")
            .url
            .ends_with("/raw/1")
    );

    let entry = LogEntry {
        severity: Severity::Info,
        actor: None,
        kind: "golive",
        path: None,
        delivery: None,
        text: "golive".to_owned(),
    };
    let path = bed.live.borrow().id("plain").expect("configured");
    bed.store.golive(path, entry).await.expect("live");
    // The dispatcher learns of it later: what it takes before that is not only recorded.
    let next = accept(&bed, 2, "new", 0).await;
    let plain = DeliveryId::new(next.event(), 1);
    bed.until_state(next, State::Shadowed).await;
    bed.dispatch.path_changed(path);
    bed.until("it is sent", || crm.receiver.count() > 0).await;
    bed.until("it ended", || bed.state(plain).is_settled())
        .await;
    assert_ne!(bed.state(plain), State::Shadowed);
    let seen = crm.receiver.seen();
    assert!(
        seen.iter().all(|seen| seen.url.starts_with("/raw/")),
        "the other path is not live"
    );
    assert_eq!(bed.state(raw), State::Shadowed, "nobody replayed it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_create_and_learning_makes_no_duplicate() {
    let crm = Crm::with(|seen| {
        (seen.method == "POST").then_some(Fault::Late(Duration::from_millis(300)))
    })
    .await;
    let config = config(&crm, DEALS);
    let bed = Bed::start(config.clone()).await;
    let ids = [accept(&bed, 1, "a", 0).await, accept(&bed, 2, "b", 0).await];
    bed.until("both are made there", || crm.count("orders") == 2)
        .await;
    // The answers are on their way: from here on, this worker keeps nothing.
    bed.store.close().await;
    let Bed {
        folder,
        dispatch,
        stop,
        ..
    } = bed;
    stop.cancel();
    dispatch.drained().await;
    let bed = Bed::open(folder, config, Clock::System).await;
    for id in ids {
        bed.until_state(id, State::Delivered).await;
        assert_eq!(bed.detail(id).attempts[0].class, Class::Unknown);
    }
    assert_eq!((crm.count("orders"), crm.seen("POST")), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_live_from_is_never_sent_of_itself() {
    let crm = Crm::start().await;
    let site = "live_from = \"2026-11-22T00:00:00Z\"";
    let bed = Bed::start(config_of(site, "", "", crm.receiver.address, DEALS)).await;
    let old = accept(&bed, 1, "old", 0).await;
    bed.until_state(old, State::Superseded).await;
    assert!(
        reason(&bed, old).contains("live_from"),
        "{}",
        reason(&bed, old)
    );
    assert_eq!(crm.receiver.count(), 0);
    let new = order(2, "new", 0).replace("2026-11-20", "2026-11-22");
    let new = bed.accept("2", &new).await;
    bed.until_state(new, State::Delivered).await;
    // One that was adopted is kept up to date.
    let id = crm
        .held
        .lock()
        .expect("lock")
        .put("orders", json!({"key": "3", "name": "old"}));
    let learned = midwatch::record::ledger::Learned {
        system: "crm".to_owned(),
        about: midwatch::record::ledger::About {
            kind: "order".to_owned(),
            key: "3".to_owned(),
        },
        id: Some(id),
        adopted: true,
        ..Default::default()
    };
    bed.store.learn(learned).await.expect("learnt");
    let adopted = accept(&bed, 3, "changed", 0).await;
    bed.until_state(adopted, State::Delivered).await;
    assert_eq!(crm.only("orders", "3")["name"], "changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_is_read_at_its_source_first() {
    let crm = Crm::start().await;
    let shop = Receiver::start(|seen| match seen.url.as_str() {
        "/orders/7001" => crate::bed::Answer::ok().body(&order(1, "newest", 40)),
        "/orders/7002" => crate::bed::Answer::ok().body(&order(2, "stale", 1)),
        _ => crate::bed::Answer::status(404),
    })
    .await;
    let keys = format!(
        "url = \"http://{}\"\nprivate = true\ntrust = \"refetch\"\n",
        shop.address
    );
    let bed = Bed::start(config_of("", &keys, "", crm.receiver.address, DEALS)).await;
    let id = accept(&bed, 1, "as it was", 10).await;
    bed.until_state(id, State::Delivered).await;
    assert_eq!(crm.only("orders", "1")["name"], "newest");
    assert_eq!(steps(&bed, id)[0], "read: id 7001");
    // A copy that lags behind its own event is not believed.
    let stale = accept(&bed, 2, "new", 20).await;
    bed.until("tried", || bed.detail(stale).row.attempts == 1)
        .await;
    assert_eq!((bed.state(stale), crm.count("orders")), (State::Ready, 1));
    // What is gone there is nothing to deliver.
    let gone = accept(&bed, 3, "gone", 0).await;
    bed.until_state(gone, State::Superseded).await;
    assert!(
        reason(&bed, gone).contains("no longer in shop"),
        "{}",
        reason(&bed, gone)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_records_each_is_written_once() {
    let mut cut = false;
    let crm = Crm::with(move |seen| {
        let second = seen.method == "POST" && seen.body.contains("1-b");
        let first = second && !cut;
        cut |= second;
        first.then_some(Fault::CutAfter)
    })
    .await;
    let paths = "[paths.items]\nroute = \"shop.item -> crm.item\"\nevents = [\"order.*\"]\nschedule = [\"0\", \"1ms\"]\n";
    let bed = Bed::start(config(&crm, paths)).await;
    let id = accept(&bed, 1, "x", 0).await;
    bed.until_state(id, State::Delivered).await;
    let keys = crm.held.lock().expect("lock").keys("items");
    assert_eq!(keys.len(), 3);
    assert!(keys.values().all(|count| *count == 1), "{keys:?}");
    let words = steps(&bed, id);
    assert_eq!(
        words
            .iter()
            .filter(|step| step.starts_with("create"))
            .count(),
        3,
        "{words:?}"
    );
    assert_eq!(
        words
            .iter()
            .filter(|step| step.starts_with("lookup"))
            .count(),
        4,
        "what was done is not asked again: {words:?}"
    );
}

/// No request comes before its token can have been made, in a bucket of `capacity` that was made after `began` and gets
/// `rate` tokens a second: a request that took none would. (That no span sees more than the limit is measured where tokens
/// are taken, in the budget's own tests: what a receiver sees of a span is blurred by the way there.)
pub fn never_before_their_tokens(times: &[Instant], began: Instant, capacity: u32, rate: f64) {
    for (at, n) in times.iter().zip(1_u32..) {
        let made = Duration::from_secs_f64(f64::from(n.saturating_sub(capacity)) / rate);
        let passed = *at - began;
        assert!(
            passed >= made,
            "request {n} after {passed:?}, its token after {made:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_an_attempt_counts_against_the_systems_budget() {
    let crm = Crm::start().await;
    let began = Instant::now();
    let bed = Bed::start(config_of(
        "",
        "",
        "limit = \"20/1s\"",
        crm.receiver.address,
        DEALS,
    ))
    .await;
    let orders: Vec<_> = (0..20)
        .map(|n| ("order.created", n.to_string(), order(n, "new", 0)))
        .collect();
    bed.accept_all(&orders).await;
    bed.until_delivered(20).await;
    let mut times: Vec<Instant> = crm.receiver.seen().iter().map(|seen| seen.at).collect();
    times.sort();
    assert_eq!(times.len(), 40, "a lookup and a create each");
    never_before_their_tokens(&times, began, 2, 19.0);
    let attempts: u32 = bed
        .overview()
        .paths
        .iter()
        .map(|path| u32::try_from(path.counts.delivered).unwrap_or(0))
        .sum();
    assert_eq!(attempts, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_whose_address_changes_stays_one_contact() {
    let crm = Crm::start().await;
    let paths =
        "[paths.contacts]\nroute = \"shop.contact -> crm.contact\"\nevents = [\"customer.*\"]\n";
    let bed = Bed::start(config(&crm, paths)).await;
    for (address, count) in [
        ("kari@old.example", 1),
        ("kari@new.example", 2),
        ("Kari@new.example", 3),
    ] {
        let data = json!({"id": 5, "email": address}).to_string();
        bed.accept_kind("customer.updated", "c5", &data).await;
        bed.until_delivered(count).await;
    }
    assert_eq!((crm.seen("POST"), crm.seen("PATCH")), (1, 2));
    let held = crm.held.lock().expect("lock");
    assert_eq!(held.of("contacts")[0]["email"], "kari@new.example");
    drop(held);
    let reader = bed.store.reader().expect("reader");
    let story = reader
        .story("contact", "kari@new.example", 50)
        .expect("read")
        .expect("told");
    assert_eq!(
        story.keys,
        ["kari@old.example", "kari@new.example"],
        "both keys mean it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_throttles_is_left_alone_and_the_receiver_is_not() {
    let crm = Crm::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // It does not say for how long.
    let shop = Receiver::start(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => crate::bed::Answer::status(429),
        _ => crate::bed::Answer::ok().body(&order(1, "read", 40)),
    })
    .await;
    let keys = format!(
        "url = \"http://{}\"\nprivate = true\ntrust = \"refetch\"\n",
        shop.address
    );
    let plain = "[paths.plain]\nroute = \"shop -> crm\"\nevents = [\"ping\"]\nurl = \"/orders\"\n";
    let paths = format!("{DEALS}schedule = [\"0\", \"1ms\"]\n{plain}");
    let bed = Bed::start(config_of("", &keys, "", crm.receiver.address, &paths)).await;
    let id = accept(&bed, 1, "x", 0).await;
    bed.until("the shop throttled", || bed.detail(id).row.attempts == 1)
        .await;
    let ping = bed.accept_kind("ping", "p", "{}").await;
    bed.until_state(ping, State::Delivered).await;
    assert_eq!(shop.count(), 1, "the receiver is as free as before");
    bed.until_state(id, State::Delivered).await;
    let seen = shop.seen();
    let gap = seen[1].at - seen[0].at;
    assert!(gap >= Duration::from_millis(1900), "{gap:?}");
    assert_eq!(bed.detail(id).attempts[0].class, Class::Throttled);
}
