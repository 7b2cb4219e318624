use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::model::Write;
use crate::event::testing::event;
use crate::record::body;
use crate::record::decimal::Decimal;
use crate::record::json::Node;
use crate::record::map::{Currency, Kind};
use crate::record::read;
use crate::record::testing::{field, json, map, minor, money, part, table};

fn mapping(fields: &[&str], set: &[(&str, &str)]) -> Mapping {
    Mapping {
        source: "order".into(),
        target: "order".into(),
        write: Write::Upsert,
        fields: fields.iter().map(|name| (*name).to_owned()).collect(),
        set: set
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        needs: vec![],
        links: vec![],
        needs_within: Duration::from_secs(60),
    }
}

fn shop() -> RecordMap {
    let mut shop = map(
        "shop",
        "order",
        vec![
            ("total", field("/total", money())),
            ("status", field("/status", Kind::Text)),
            ("own", field("/own", Kind::Text)),
            ("paid", field("/paid", Kind::Bool)),
        ],
    );
    shop.layout.refs.insert("contact".into(), part("/email"));
    shop
}

fn crm() -> RecordMap {
    let mut locked = field("/p/locked", Kind::Text);
    locked.read_only = true;
    let fixed = Kind::Money {
        currency: Currency::Fixed("NOK".into()),
        number: true,
    };
    map(
        "crm",
        "order",
        vec![
            ("total", field("/p/amount", fixed)),
            (
                "status",
                table(
                    "/p/stage",
                    &[("processing", "paid_stage"), ("completed", "won")],
                ),
            ),
            (
                "paid",
                table("/p/paid", &[("true", "yes"), ("false", "no")]),
            ),
            ("ref", field("/p/ref", Kind::Text)),
            ("locked", locked),
        ],
    )
}

/// What the target's body holds, or the error's words.
fn carried(source: &str, mapping: &Mapping) -> String {
    let engine = Engine::new();
    let source = read::one(&shop(), &json(source), &engine).expect("read");
    let event = event("order.created", r#"{"id":"ch_1","n":12.10}"#);
    match translate(&source, &shop(), &crm(), mapping, &event, &engine) {
        Ok(record) => body::json(&crm(), &record, false)
            .expect("written")
            .to_json(),
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn fields_come_over_as_the_receiver_has_them() {
    let all = mapping(&[], &[]);
    for (source, mapping, expected) in [
        (
            r#"{"key":"1","total":"12.10","currency":"NOK","status":"processing","paid":true,"own":"x"}"#,
            &all,
            r#"{"p":{"paid":"yes","stage":"paid_stage","amount":12.10}}"#,
        ),
        (
            r#"{"key":"1","total":null}"#,
            &all,
            r#"{"p":{"amount":null}}"#,
        ),
        (r#"{"key":"1"}"#, &all, "{}"),
        (
            r#"{"key":"1","status":"refunded"}"#,
            &all,
            "! crm.order: status: `refunded` is not in its table of values (processing, completed)",
        ),
        (
            r#"{"key":"1","total":"12.10","currency":"EUR"}"#,
            &all,
            "! crm.order: total: EUR where NOK is meant",
        ),
        (
            r#"{"key":"1","total":"12,10"}"#,
            &all,
            "! shop.order: total: expected a decimal amount, found `12,10`",
        ),
        // A field that is not carried need not be readable.
        (
            r#"{"key":"1","total":"12,10","status":"completed"}"#,
            &mapping(&["status"], &[]),
            r#"{"p":{"stage":"won"}}"#,
        ),
        (
            r#"{"total":"1"}"#,
            &all,
            "! shop.order has no key of order (its `key`)",
        ),
        (
            r#"{"key":"1","total":"12.10","currency":"NOK"}"#,
            &mapping(
                &["total"],
                &[("ref", "{{ data.id }}/{{ data.n }}: {{ fields.total }}")],
            ),
            r#"{"p":{"ref":"ch_1/12.10: 12.10 NOK","amount":12.10}}"#,
        ),
        (
            r#"{"key":"1","total":"12.10","currency":"NOK"}"#,
            &mapping(&["status"], &[("total", "{{ fields.total }}")]),
            r#"{"p":{"amount":12.10}}"#,
        ),
        (
            r#"{"key":"1"}"#,
            &mapping(&["status"], &[("ref", "{{ fields.total }}")]),
            "! crm.order: ref: `fields.total` is undefined",
        ),
    ] {
        let got = carried(source, mapping);
        if let Some(words) = expected.strip_prefix("! crm.order: ref: `fields.total`") {
            assert!(got.contains("fields.total"), "{got} {words}");
        } else {
            assert_eq!(got, expected, "{source}");
        }
    }
}

#[test]
fn a_record_of_another_type_is_found_by_the_sources_reference() {
    let engine = Engine::new();
    let mut payment = map("payments", "payment", vec![]);
    payment
        .layout
        .refs
        .insert("order".into(), part("/metadata/order_id"));
    let set = mapping(&[], &[("ref", "{{ data.id }}")]);
    let event = event("charge.paid", r#"{"id":"ch_1"}"#);
    let source = read::one(
        &payment,
        &json(r#"{"key":"p","metadata":{"order_id":1042}}"#),
        &engine,
    )
    .expect("read");
    let record = translate(&source, &payment, &crm(), &set, &event, &engine).expect("translated");
    assert_eq!(record.key.as_deref(), Some("1042"));
    assert_eq!(record.fields["ref"], Value::Text("ch_1".into()));
    let stray = read::one(&payment, &json(r#"{"key":"p"}"#), &engine).expect("read");
    let error = translate(&stray, &payment, &crm(), &set, &event, &engine).expect_err("no order");
    assert!(
        matches!(error, RecordError::NoKey { own: false, .. }),
        "{error}"
    );
}

proptest! {
    #[test]
    fn money_becomes_equal_money_or_nothing(
        amount in "-?[0-9]{1,20}(\\.[0-9]{1,4})?",
        code in "(NOK|JPY|KWD|MGA|EUR|CLF|BTC)?",
        from in 0usize..3,
        to in 0usize..5,
    ) {
        let kinds = [
            money(),
            Kind::Money { currency: Currency::Unknown, number: true },
            Kind::Money { currency: Currency::At("/currency".into()), number: true },
            minor(),
            Kind::Money { currency: Currency::Fixed("NOK".into()), number: false },
        ];
        let engine = Engine::new();
        let from = map("a", "order", vec![("total", field("/total", kinds[from].clone()))]);
        let to = map("b", "order", vec![("total", field("/x/total", kinds[to].clone()))]);
        let mut source = json(r#"{"key":"1"}"#);
        source.set("/total", Node::Text(amount.clone())).expect("set");
        source.set("/currency", Node::Text(code.clone())).expect("set");
        let source = read::one(&from, &source, &engine).expect("read");
        let event = event("order.created", "{}");
        let Ok(wanted) = translate(&source, &from, &to, &mapping(&[], &[]), &event, &engine) else {
            return Ok(());
        };
        let written = body::json(&to, &wanted, true).expect("what was translated can be written").to_json();
        let held = read::one(&to, &json(&written), &engine).expect("read back");
        for record in [&wanted, &held] {
            let Some(Value::Money { amount: there, currency }) = record.fields.get("total") else {
                return Err(TestCaseError::fail(format!("no money: {written}")));
            };
            prop_assert_eq!(Decimal::parse(there), Decimal::parse(&amount), "{}", written);
            if let (Some(there), Some(Value::Money { currency: Some(code), .. })) = (currency, source.fields.get("total")) {
                prop_assert_eq!(there, code);
            }
        }
        let diffs = crate::record::compare(&to, &wanted, &held, None);
        prop_assert!(diffs.iter().all(|diff| diff.same), "{:?}", diffs);
    }
}
