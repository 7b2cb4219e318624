use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::event::testing::event;
use crate::record::map::{Clean, Kind};
use crate::record::testing::{field, json, map, money, node, part, table};

const ORDER: &str = r#"{"id":1042,"key":"1042","changed":"2026-11-23T19:00:00","currency":"NOK","total":"129.50","status":"odd",
 "billing":{"email":" Anna@Example.COM ","first":"Anna","last":"Berg"},
 "line_items":[{"sku":"A","price":"29.50"},{"sku":"B","price":"100"}]}"#;

fn computed(template: &str) -> Field {
    Field {
        source: Source::Computed(template.to_owned()),
        ..field("", Kind::Text)
    }
}

fn shop() -> Maps {
    let mut order = map(
        "shop",
        "order",
        vec![
            ("total", field("/total", money())),
            ("status", table("/status", &[("paid", "processing")])),
            (
                "title",
                computed("Order {{ data.id }} of {{ data.billing.first }}"),
            ),
            ("note", field("/note", Kind::Text)),
        ],
    );
    order.events = vec!["order.*".into()];
    order.layout.version = Some(VersionAt {
        at: "/changed".into(),
        number: false,
    });
    let email = Part {
        clean: vec![Clean::Trim, Clean::Lower],
        ..part("/billing/email")
    };
    order.layout.refs = BTreeMap::from([("contact".to_owned(), email.clone())]);
    let mut contact = map("shop", "contact", vec![]);
    contact.events = vec!["customer.created".into()];
    let layout = Layout {
        key: Some(email),
        fields: BTreeMap::from([(
            "name".to_owned(),
            computed("{{ data.billing.first }} {{ data.billing.last }}"),
        )]),
        ..Layout::default()
    };
    contact.from = BTreeMap::from([("order".to_owned(), Inside { many: None, layout })]);
    let mut line = map("shop", "line", vec![]);
    let key = Part {
        from: Source::Computed("{{ outer.id }}-{{ data.sku }}".into()),
        clean: vec![],
    };
    let layout = Layout {
        key: Some(key),
        fields: BTreeMap::from([("price".to_owned(), field("/price", money()))]),
        ..Layout::default()
    };
    line.from = BTreeMap::from([(
        "order".to_owned(),
        Inside {
            many: Some("/line_items".into()),
            layout,
        },
    )]);
    let mut note = map("shop", "note", vec![]);
    note.events = vec!["order.note".into()];
    note.at = "/data/object".into();
    [order, contact, line, note]
        .map(|map| (map.kind.clone(), Arc::new(map)))
        .into()
}

#[test]
fn an_event_gives_the_record_it_is_about() {
    let records = from_event(
        &shop(),
        "order",
        &event("order.created", ORDER),
        &Engine::new(),
    );
    let record = records.expect("read").remove(0);
    assert_eq!(
        (record.key.as_deref(), record.id.as_deref()),
        (Some("1042"), Some("1042"))
    );
    assert_eq!(
        record.version.map(|v| v.to_string()).as_deref(),
        Some("2026-11-23T19:00:00.000Z")
    );
    assert_eq!(record.refs["contact"], "anna@example.com");
    assert_eq!(record.fields["total"].canonical(), "129.50 NOK");
    assert_eq!(record.fields["title"].canonical(), "\"Order 1042 of Anna\"");
    // Missing is not there at all; a status outside its table stops only whoever needs it.
    assert!(!record.fields.contains_key("note") && !record.fields.contains_key("status"));
    let words = record.unread["status"].to_string();
    assert_eq!(
        words,
        "shop.order: status: `odd` is not in its table of values (processing)"
    );
}

#[test]
fn records_inside_another_are_read_by_their_own_layout() {
    let (maps, engine) = (shop(), Engine::new());
    let order = event("order.created", ORDER);
    let contact = from_event(&maps, "contact", &order, &engine)
        .expect("read")
        .remove(0);
    assert_eq!(contact.key.as_deref(), Some("anna@example.com"));
    assert_eq!(contact.fields["name"].canonical(), "\"Anna Berg\"");
    let lines = from_event(&maps, "line", &order, &engine).expect("read");
    let got: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.key.clone().unwrap_or_default(),
                line.fields["price"].canonical(),
            )
        })
        .collect();
    // The currency is looked for around the line, too.
    assert_eq!(
        got,
        [
            ("1042-A".into(), "29.50 NOK".into()),
            ("1042-B".to_owned(), "100.00 NOK".to_owned())
        ]
    );
    let none = event("order.created", r#"{"id":1}"#);
    assert_eq!(from_event(&maps, "line", &none, &engine), Ok(vec![]));
}

#[test]
fn the_most_exact_pattern_says_what_an_event_carries() {
    let maps = shop();
    for (kind, carries) in [
        ("order.created", Some("order")),
        ("order.note", Some("note")),
        ("customer.created", Some("contact")),
        ("customer.deleted", None),
    ] {
        assert_eq!(
            carried(&maps, kind).map(|map| map.kind.as_str()),
            carries,
            "{kind}"
        );
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    for (wanted, kind, data, words) in [
        (
            "order",
            "order.created",
            "<order/>",
            "the event's data is no JSON",
        ),
        (
            "order",
            "order.created",
            "[]",
            "the event's data has an array at ``, not an object",
        ),
        (
            "note",
            "order.note",
            r#"{"data":{}}"#,
            "has nothing at `/data/object`",
        ),
        (
            "order",
            "customer.created",
            "{}",
            "events of type `customer.created` carry no order",
        ),
        ("order", "refund.created", "{}", "carry no order"),
        (
            "order",
            "order.created",
            r#"{"key":{}}"#,
            "shop.order: key: expected a text or a number, found an object",
        ),
        (
            "order",
            "order.created",
            r#"{"changed":"soon"}"#,
            "shop.order: version: expected an RFC 3339 time, found `soon`",
        ),
        (
            "line",
            "order.created",
            r#"{"line_items":{}}"#,
            "shop.order has an object at `/line_items`, not an array",
        ),
        (
            "line",
            "order.created",
            r#"{"id":1,"line_items":[{}]}"#,
            "data.sku",
        ),
    ] {
        let error =
            from_event(&shop(), wanted, &event(kind, data), &Engine::new()).expect_err(data);
        assert!(error.to_string().contains(words), "{data}: {error}");
    }
    let blank = event(
        "order.created",
        r#"{"id":null,"key":" ","billing":{"email":""}}"#,
    );
    let record = from_event(&shop(), "order", &blank, &Engine::new())
        .expect("read")
        .remove(0);
    assert_eq!((record.key, record.id, record.refs.len()), (None, None, 0));
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(data in node(), kind in "(order|contact|line|note|x)") {
        let event = event("order.created", &data.to_json());
        let _ = from_event(&shop(), &kind, &event, &Engine::new());
    }

    #[test]
    fn no_change_of_an_order_makes_it_panic(at in "/(id|key|changed|currency|total|status|billing|line_items)(/(0|email|first))?", value in node()) {
        let mut order = json(ORDER);
        let _ = order.set(&at, value);
        let event = event("order.created", &order.to_json());
        for kind in ["order", "contact", "line"] {
            let _ = from_event(&shop(), kind, &event, &Engine::new());
        }
    }
}
