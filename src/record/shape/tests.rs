use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::record::map::{Kind, Paging};
use crate::record::testing::{field, map, money, shape};
use crate::record::value::Value;

fn crm() -> RecordMap {
    let mut map = map(
        "crm",
        "order",
        vec![
            ("name", field("/p/name", Kind::Text)),
            ("total", field("/p/amount", money())),
        ],
    );
    map.layout.key = Some(crate::record::testing::part("/p/order_id"));
    map
}

fn record() -> Record {
    let total = Value::Money {
        amount: "12.1".into(),
        currency: Some("NOK".into()),
    };
    Record {
        key: Some("1042".into()),
        fields: BTreeMap::from([
            ("name".to_owned(), Value::Text("Ann \"A\"".into())),
            ("total".to_owned(), total),
        ]),
        ..Record::default()
    }
}

fn make(shape: &Shape, with: &Filling<'_>) -> Result<Request, RecordError> {
    let base = Url::parse("https://crm.example/api").expect("base");
    request(&base, &crm(), shape, with, &Engine::new())
}

#[test]
fn a_new_record_carries_its_key_and_an_update_does_not() {
    let record = record();
    let with = Filling {
        key: Some("1042"),
        record: Some(&record),
        ..Filling::default()
    };
    let created = make(&shape("POST", "/{{ object }}"), &with).expect("made");
    assert_eq!(
        (created.method.as_str(), created.url.as_str()),
        ("POST", "https://crm.example/api/orders")
    );
    assert_eq!(
        created.body,
        r#"{"p":{"name":"Ann \"A\"","amount":"12.10","order_id":"1042"},"currency":"NOK"}"#
    );
    assert_eq!(
        created.headers,
        [("content-type".to_owned(), "application/json".to_owned())]
    );
    let updated = make(
        &shape("PATCH", "/orders/{{ id }}"),
        &Filling {
            id: Some("7"),
            ..with
        },
    )
    .expect("made");
    assert_eq!(updated.url, "https://crm.example/api/orders/7");
    assert!(!String::from_utf8_lossy(&updated.body).contains("order_id"));
    let read = make(
        &shape("GET", "/orders/{{ id }}"),
        &Filling {
            id: Some("7"),
            ..with
        },
    )
    .expect("made");
    assert!(read.body.is_empty() && read.headers.is_empty());
}

#[test]
fn forms_templates_and_headers_keep_values_in_their_place() {
    let record = record();
    let key = "10&42\",\"x\":\"y";
    let with = Filling {
        key: Some(key),
        id: Some("7"),
        record: Some(&record),
        ..Filling::default()
    };
    let mut form = shape("POST", "/o");
    form.format = Format::Form;
    let sent = make(&form, &with).expect("made");
    assert_eq!(
        sent.body,
        "p[name]=Ann%20%22A%22&p[amount]=12.10&currency=NOK"
    );
    assert_eq!(sent.headers[0].1, "application/x-www-form-urlencoded");
    form.body = Some("k={{ key }}".into());
    assert_eq!(
        make(&form, &with).expect("made").body,
        "k=10%2642%22%2C%22x%22%3A%22y"
    );
    let mut search = shape("POST", "/search");
    search.body = Some(r#"{"value":"{{ key }}","again":{{ key | tojson }},"total":{{ fields.total }},"record":{{ json }}}"#.into());
    let sent = make(&search, &with).expect("made");
    let body = Node::parse(&sent.body).expect("JSON");
    for at in ["/value", "/again"] {
        assert_eq!(body.pointer(at), Some(&Node::Text(key.into())), "{at}");
    }
    assert_eq!(body.pointer("/total"), Some(&Node::Number("12.10".into())));
    assert_eq!(
        body.pointer("/record/p/amount"),
        Some(&Node::Text("12.10".into()))
    );
    search.body = Some(r#"{"value":{{ key }}"#.into());
    assert!(matches!(make(&search, &with), Err(RecordError::Body(_))));
    let mut tagged = shape("GET", "/o");
    tagged.headers = vec![("X-Key".into(), "k {{ key }}".into())];
    assert_eq!(
        make(
            &tagged,
            &Filling {
                key: Some("1"),
                ..with
            }
        )
        .expect("made")
        .headers,
        [("x-key".to_owned(), "k 1".to_owned())]
    );
    let evil = Filling {
        key: Some("1\r\nevil: 1"),
        ..with
    };
    assert_eq!(
        make(&tagged, &evil),
        Err(RecordError::Header("X-Key".into()))
    );
}

#[test]
fn a_blank_key_is_no_key() {
    for key in [None, Some(""), Some(" ")] {
        let with = Filling {
            key,
            ..Filling::default()
        };
        let error = make(&shape("DELETE", "/orders/{{ key }}"), &with).expect_err("all orders");
        assert!(error.to_string().contains("key"), "{error}");
    }
}

#[test]
fn a_listing_is_narrowed_where_it_can_be() {
    let base = Url::parse("https://crm.example").expect("base");
    let mut all = Listing {
        shape: shape("GET", "/orders?per_page=100"),
        paging: Paging::None,
        since: None,
    };
    let with = Filling {
        since: Some(Timestamp(1_795_460_400_123)),
        ..Filling::default()
    };
    let url = |all: &Listing| {
        listing(&base, &crm(), all, &with, &Engine::new())
            .expect("made")
            .url
    };
    assert_eq!(url(&all), "https://crm.example/orders?per_page=100");
    all.since = Some("modified_after={{ since }}&s={{ since_seconds }}".into());
    assert_eq!(
        url(&all),
        "https://crm.example/orders?per_page=100&modified_after=2026-11-23T19%3A00%3A00Z&s=1795460400"
    );
}

#[test]
fn an_answer_has_no_record_one_or_more() {
    let mut found = shape("GET", "/o");
    let hits = |shape: &Shape, body: &str| hits(&crm(), shape, body.as_bytes(), &Engine::new());
    let ids = |records: Vec<Record>| {
        records
            .into_iter()
            .filter_map(|record| record.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        hits(&found, r#"{"id":7}"#).map(ids),
        Ok(vec!["7".to_owned()])
    );
    assert_eq!(hits(&found, "null").map(ids), Ok(vec![]));
    assert!(matches!(hits(&found, ""), Err(RecordError::NotJson { .. })));
    assert!(matches!(hits(&found, "[]"), Err(RecordError::Place { .. })));
    found.answer = "/results".into();
    found.items = true;
    found.item = "/item".into();
    assert_eq!(hits(&found, r#"{"results":[]}"#).map(ids), Ok(vec![]));
    assert_eq!(
        hits(
            &found,
            r#"{"results":[{"item":{"id":1}},{"item":{"id":2}}]}"#
        )
        .map(ids),
        Ok(vec!["1".to_owned(), "2".to_owned()])
    );
    // An error in other clothes is no "not there".
    for body in [
        r#"{"error":"x"}"#,
        r#"{"results":null}"#,
        r#"{"results":[{"id":1}]}"#,
    ] {
        assert!(
            matches!(hits(&found, body), Err(RecordError::Place { .. })),
            "{body}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_of_a_record_leaves_its_place(key in "\\PC{1,12}|[\"\\\\{}\r\n\u{0}&=%/.]{1,8}") {
        let mut record = record();
        record.key = Some(key.clone());
        record.fields.insert("name".into(), Value::Text(key.clone()));
        let with = Filling { key: Some(&key), record: Some(&record), ..Filling::default() };
        let mut search = shape("POST", "/s/{{ key }}/x");
        search.body = Some(r#"{"a":"{{ key }}","b":"{{ fields.name }}"}"#.into());
        if let Ok(request) = make(&search, &with) {
            prop_assert!(request.url.starts_with("https://crm.example/api/s/") && request.url.ends_with("/x"));
            let body = Node::parse(&request.body).expect("JSON");
            prop_assert_eq!(body, Node::Object(vec![("a".into(), Node::Text(key.clone())), ("b".into(), Node::Text(key.clone()))]));
        }
        let created = make(&shape("POST", "/o"), &with).expect("made");
        let body = Node::parse(&created.body).expect("JSON");
        prop_assert_eq!(body.pointer("/p/name"), Some(&Node::Text(key)));
    }
}
