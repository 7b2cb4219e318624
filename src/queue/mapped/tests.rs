//! The rules of mapped paths, without any system.

use std::path::Path as File;

use super::*;
use crate::queue::testing;
use crate::record::ledger::KnownField;
use crate::record::value::Version;

const TEXT: &str = r#"
[defaults.path]
owner = "anna"
runbook = "r.md"
[systems.shop.records.order]
events = ["order.*"]
id = "/id"
key = "/number"
version = "/modified"
created = "/created"
fields.name = "/name"
fields.email = { at = "/email", sensitive = true }
refs.contact = { at = "/email", clean = ["lower"] }
[systems.shop.records.contact]
events = ["customer.*"]
key = { at = "/email", clean = ["lower"] }
fields.email = { at = "/email", clean = ["lower"], sensitive = true }
[systems.shop.records.contact.from.order]
key = { at = "/email", clean = ["lower"] }
fields.email = { at = "/email", clean = ["lower"], sensitive = true }
[systems.shop.records.item.from.order]
many = "/lines"
key = "/sku"
fields.sku = "/sku"
[systems.payments.records.payment]
events = ["paid"]
id = "/id"
key = "/id"
version = "/created"
fields.amount = "/amount"
refs.order = "/order"
[systems.crm]
url = "https://crm.example"
[systems.crm.records.order]
id = "/id"
key = "/key"
fields.name = "/name"
fields.email = { at = "/email", sensitive = true }
fields.paid_ref = "/paid"
lookup = { url = "/orders/{{ key }}", missing = [404] }
create = { method = "POST", url = "/orders" }
update = { method = "PATCH", url = "/orders/{{ id }}" }
[systems.crm.records.contact]
id = "/id"
key = "/key"
fields.email = { at = "/email", sensitive = true }
lookup = { url = "/contacts/{{ key }}", missing = [404] }
create = { method = "POST", url = "/contacts" }
update = { method = "PATCH", url = "/contacts/{{ id }}" }
[systems.crm.records.item]
id = "/id"
key = "/key"
fields.sku = "/sku"
lookup = { url = "/items/{{ key }}", missing = [404] }
create = { method = "POST", url = "/items" }
update = { method = "PATCH", url = "/items/{{ id }}" }
[paths.deals]
route = "shop.order -> crm.order"
events = ["order.*"]
[paths.contacts]
route = "shop.contact -> crm.contact"
events = ["order.*", "customer.*"]
[paths.items]
route = "shop.item -> crm.item"
events = ["order.*"]
[paths.paid]
route = "payments.payment -> crm.order"
events = ["paid"]
set = { paid_ref = "{{ data.id }}" }
"#;

fn config(more: &str) -> Config {
    let text = format!("{TEXT}{more}");
    match crate::config::parse(&text, File::new("/tmp/midwatch.toml")) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems:?}"),
    }
}

fn ends(config: &Config, path: &str) -> Ends {
    Ends::of(config, config.path(path).expect("a path")).expect("mapped")
}

fn event(kind: &str, data: &str) -> Event {
    Event {
        kind: kind.to_owned(),
        data: data.to_owned().into(),
        ..testing::event(1)
    }
}

const ORDER: &str = r#"{"id": 7, "number": "1042", "name": "Kari", "email": "Kari@x.no", "created": "2026-11-20T10:00:00Z",
    "modified": "2026-11-23T10:00:00Z", "lines": [{"sku": "a"}, {"sku": "b"}]}"#;

#[test]
fn nothing_is_created_before_a_lookup_and_a_path_does_only_what_it_may() {
    use Write::{Create, Update, Upsert};
    let update = |id: &str| Move::Update(id.to_owned());
    let leave = |id: &str| Move::Leave(id.to_owned());
    for (write, id, looked, can_look, expected) in [
        (Upsert, None, None, true, Move::Look),
        (Create, None, None, true, Move::Look),
        (Update, None, None, true, Move::Look),
        (Upsert, None, Some(None), true, Move::Create),
        (Create, None, Some(None), true, Move::Create),
        (Update, None, Some(None), true, Move::Wait),
        (Upsert, None, Some(Some("9")), true, update("9")),
        (Create, None, Some(Some("9")), true, leave("9")),
        (Update, None, Some(Some("9")), true, update("9")),
        (Upsert, Some("8"), None, true, update("8")),
        (Create, Some("8"), None, true, leave("8")),
        // The receiver knows best; what it does not find by key may still be there by id.
        (Upsert, Some("8"), Some(Some("9")), true, update("9")),
        (Upsert, Some("8"), Some(None), true, update("8")),
        // Where nothing can be asked: `check` says what that means.
        (Upsert, None, None, false, Move::Create),
        (Update, None, None, false, Move::Wait),
    ] {
        assert_eq!(
            next_move(write, id, looked, can_look),
            expected,
            "{write:?} {id:?} {looked:?} {can_look}"
        );
    }
}

#[test]
fn an_event_carries_its_record_those_inside_it_and_those_it_refers_to() {
    let config = config("");
    let engine = Engine::new();
    let keys = |path: &str, event: &Event| -> Vec<String> {
        let carried = ends(&config, path).carried(event, &engine).expect("read");
        carried.into_iter().map(|one| one.key).collect()
    };
    let order = event("order.created", ORDER);
    assert_eq!(keys("deals", &order), ["1042"]);
    assert_eq!(keys("contacts", &order), ["kari@x.no"]);
    assert_eq!(keys("items", &order), ["a", "b"]);
    let paid = event(
        "paid",
        r#"{"id": "pi_1", "order": "1042", "amount": "1", "created": "2026-11-23T10:00:00Z"}"#,
    );
    assert_eq!(
        keys("paid", &paid),
        ["1042"],
        "the key of what is written, not of what is read"
    );
    let carried = ends(&config, "paid").carried(&paid, &engine).expect("read");
    assert_eq!(
        carried[0].wanted.fields.keys().collect::<Vec<_>>(),
        ["paid_ref"]
    );
    assert!(
        ends(&config, "deals")
            .carried(&event("order.created", "{}"), &engine)
            .is_err()
    );

    let about = |system: &str, event: &Event| -> Vec<String> {
        let about = about(&config.systems[system], event, &engine);
        about
            .into_iter()
            .map(|one| format!("{} {}", one.kind, one.key))
            .collect()
    };
    assert_eq!(
        about("shop", &order),
        ["order 1042", "contact kari@x.no", "item a", "item b"]
    );
    assert_eq!(about("payments", &paid), ["payment pi_1", "order 1042"]);
    assert_eq!(
        about("shop", &event("order.created", "no JSON")),
        Vec::<String>::new()
    );
    assert_eq!(about("shop", &event("other", ORDER)), Vec::<String>::new());
}

#[test]
fn deliveries_are_ordered_by_the_record_that_is_written_or_that_carries_it() {
    let config = config("");
    let key = |path: &str, kind: &str, data: &str| {
        let path = config.path(path).expect("a path");
        order_key(&config, path, &event(kind, data), &Engine::new())
    };
    let some = |key: &str| Some(key.to_owned());
    assert_eq!(key("deals", "order.created", ORDER), some("1042"));
    assert_eq!(key("contacts", "order.created", ORDER), some("kari@x.no"));
    assert_eq!(
        key("items", "order.created", ORDER),
        some("1042"),
        "several: their order"
    );
    assert_eq!(
        key("paid", "paid", r#"{"id": "pi_1", "order": "1042"}"#),
        some("1042")
    );
    assert_eq!(
        key("deals", "order.created", r#"{"id": 7}"#),
        some("7"),
        "a hint"
    );
    assert_eq!(key("deals", "order.created", "no JSON"), None);
}

/// Known under an id, in that version, with these fields sent.
fn known(version: i64, sent: &[&str]) -> Known {
    let field = || KnownField {
        sent: Some(("x".to_owned(), Timestamp(1))),
        ..KnownField::default()
    };
    Known {
        id: Some("9".to_owned()),
        version: Some(Version::Instant(Timestamp(version))),
        fields: sent
            .iter()
            .map(|name| ((*name).to_owned(), field()))
            .collect(),
        ..Known::default()
    }
}

#[test]
fn only_what_was_written_in_a_newer_version_is_outdated() {
    let config = config("");
    let ends = ends(&config, "deals");
    let carried = ends
        .carried(&event("order.updated", ORDER), &Engine::new())
        .expect("read");
    let at = Timestamp::parse_rfc3339("2026-11-23T10:00:00Z")
        .expect("a time")
        .0;
    let some =
        |names: &[&str]| Outdated::Some(names.iter().map(|name| (*name).to_owned()).collect());
    for (known, expected) in [
        (Known::default(), Outdated::No),
        (known(at - 1, &["name", "email"]), Outdated::No),
        (known(at, &["name", "email"]), Outdated::No),
        (known(at + 1, &["name", "email"]), Outdated::All),
        (known(at + 1, &["name"]), some(&["name"])),
        (known(at + 1, &[]), some(&[])),
        (
            Known {
                // Made there, by an id that the receiver did not tell.
                id: None,
                ..known(at + 1, &["name", "email"])
            },
            Outdated::All,
        ),
        (
            Known {
                version: Some(Version::Number(i64::MAX)),
                ..known(0, &["name", "email"])
            },
            Outdated::No,
        ),
    ] {
        assert_eq!(ends.outdated(&known, &carried[0]), expected, "{known:?}");
    }
}

#[test]
fn versions_of_two_systems_or_types_are_not_compared() {
    let alone = config("");
    assert!(ends(&alone, "deals").versioned);
    assert!(
        !ends(&alone, "paid").versioned,
        "a payment's time says nothing about an order's"
    );
    let second = "[systems.market.records.order]\nevents = [\"sale\"]\nkey = \"/n\"\nversion = \"/v\"\nfields.name = \"/name\"\n\
                  [paths.sales]\nroute = \"market.order -> crm.order\"\nevents = [\"sale\"]\n";
    assert!(!ends(&config(second), "deals").versioned);
}

#[test]
fn what_is_older_than_live_from_goes_only_if_the_receiver_has_it() {
    let mut config = config("");
    config.site.live_from = Timestamp::parse_rfc3339("2026-11-21T00:00:00Z");
    let ends = ends(&config, "deals");
    let carried = ends
        .carried(&event("order.updated", ORDER), &Engine::new())
        .expect("read");
    let mut source = carried[0].source.clone();
    let adopted = Known {
        adopted: true,
        ..Known::default()
    };
    assert!(ends.too_old(&Known::default(), &source).is_some());
    assert!(ends.too_old(&known(0, &[]), &source).is_none());
    assert!(ends.too_old(&adopted, &source).is_none());
    source.created = ends.live_from;
    assert!(ends.too_old(&Known::default(), &source).is_none());
    source.created = None;
    assert!(ends.too_old(&Known::default(), &source).is_none());
}

#[test]
fn a_key_that_is_a_sensitive_field_is_masked() {
    let config = config("");
    let ends = ends(&config, "deals");
    assert_eq!(ends.shown("contact", "kari@x.no"), "k…@x.no");
    assert_eq!(ends.shown("order", "1042"), "1042");
}

#[test]
fn a_refreshed_event_keeps_all_but_its_record() {
    let engine = Engine::new();
    let mut map = RecordMap::clone(&config("").systems["shop"].records["order"]);
    let mut shape = config("").systems["crm"].records["order"]
        .lookup
        .clone()
        .expect("a shape");
    let event = event("order.created", r#"{"object": {"number": "1"}, "more": 2}"#);
    let refresh = |map: &RecordMap, shape: &Shape, key: &str, bytes: &str| {
        let record = Record {
            key: Some(key.to_owned()),
            ..Record::default()
        };
        let event = refreshed(&event, map, shape, &record, bytes.as_bytes(), &engine)?;
        Some(String::from_utf8_lossy(&event.data).into_owned())
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        refresh(&map, &shape, "1", r#"{"number": "1", "n": 12.10}"#),
        some(r#"{"number":"1","n":12.10}"#)
    );
    map.at = "/object".to_owned();
    let whole = some(r#"{"object":{"number":"1"},"more":2}"#);
    assert_eq!(refresh(&map, &shape, "1", r#"{"number": "1"}"#), whole);
    (shape.items, shape.item) = (true, "/item".to_owned());
    let hits = r#"[{"item": {"number": "12"}}, {"item": {"number": "1"}}]"#;
    assert_eq!(
        refresh(&map, &shape, "1", hits),
        whole,
        "the one that is meant"
    );
    assert_eq!(refresh(&map, &shape, "3", hits), None);
}
