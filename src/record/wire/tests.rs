use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::record::map::Clean;
use crate::record::testing::{self, field, json, minor, money, table};
use crate::time::Timestamp;

fn fixed(code: &str, number: bool) -> Kind {
    Kind::Money {
        currency: Currency::Fixed(code.to_owned()),
        number,
    }
}

fn list(separator: Option<&str>) -> Kind {
    Kind::Set {
        separator: separator.map(str::to_owned),
    }
}

/// What stands at `/v`, read: its canonical text, nothing, or the problem's words.
fn read_in(field: &Field, text: &str) -> String {
    let record = json(text);
    let beside = Beside {
        node: &record,
        outer: None,
    };
    match record.pointer("/v").map(|found| read(field, found, beside)) {
        None => "missing".to_owned(),
        Some(Ok(value)) => value.canonical(),
        Some(Err(problem)) => format!("! {problem}"),
    }
}

#[test]
fn each_kind_is_read_as_its_table_says() {
    let number = |at| Field {
        values: vec![("paid".to_owned(), "5".to_owned())],
        ..field(at, Kind::Number)
    };
    for (field, text, expected) in [
        // Missing, null and blank are three things, whatever the kind.
        (field("/v", Kind::Text), "{}", "missing"),
        (field("/v", Kind::Text), r#"{"v":null}"#, "null"),
        (field("/v", Kind::Text), r#"{"v":""}"#, "\"\""),
        (field("/v", money()), r#"{"v":null}"#, "null"),
        (field("/v", money()), r#"{"v":" "}"#, "\"\""),
        (field("/v", Kind::Instant), r#"{"v":""}"#, "\"\""),
        (field("/v", Kind::Bool), r#"{"v":""}"#, "\"\""),
        (field("/v", list(Some(";"))), r#"{"v":""}"#, "[]"),
        // Text.
        (field("/v", Kind::Text), r#"{"v":"null"}"#, "\"null\""),
        (field("/v", Kind::Text), r#"{"v":1042.0}"#, "\"1042.0\""),
        (field("/v", Kind::Text), r#"{"v":true}"#, "\"true\""),
        (
            field("/v", Kind::Text),
            r#"{"v":{}}"#,
            "! expected a text, found an object",
        ),
        // Bool and number.
        (field("/v", Kind::Bool), r#"{"v":true}"#, "true"),
        (field("/v", Kind::Bool), r#"{"v":" False "}"#, "false"),
        (
            field("/v", Kind::Bool),
            r#"{"v":1}"#,
            "! expected true or false, found `1`",
        ),
        (field("/v", Kind::Number), r#"{"v":12.10}"#, "12.1"),
        (field("/v", Kind::Number), r#"{"v":" 007 "}"#, "7"),
        (
            field("/v", Kind::Number),
            r#"{"v":"7 kg"}"#,
            "! expected a number, found `7 kg`",
        ),
        // Money: exact, whoever wrote it.
        (
            field("/v", money()),
            r#"{"v":"12.10","currency":"nok"}"#,
            "12.10 NOK",
        ),
        (
            field("/v", money()),
            r#"{"v":12.1,"currency":"NOK"}"#,
            "12.10 NOK",
        ),
        (
            field("/v", money()),
            r#"{"v":0.30000000000000004,"currency":"NOK"}"#,
            "0.30000000000000004 NOK",
        ),
        (
            field("/v", money()),
            r#"{"v":"90071992547409930.01"}"#,
            "90071992547409930.01",
        ),
        (field("/v", money()), r#"{"v":"12","currency":""}"#, "12"),
        (
            field("/v", money()),
            r#"{"v":"12","currency":"kr"}"#,
            "! `kr` is no currency code",
        ),
        (
            field("/v", money()),
            r#"{"v":"12,10"}"#,
            "! expected a decimal amount, found `12,10`",
        ),
        (
            field("/v", money()),
            r#"{"v":"1 200"}"#,
            "! expected a decimal amount, found `1 200`",
        ),
        (
            field("/v", money()),
            r#"{"v":1e999}"#,
            "! `1e999` is no amount of money",
        ),
        (field("/v", fixed("jpy", true)), r#"{"v":500}"#, "500 JPY"),
        // Minor units by ISO 4217, or by the vendor.
        (
            field("/v", minor()),
            r#"{"v":1210,"currency":"nok"}"#,
            "12.10 NOK",
        ),
        (
            field("/v", minor()),
            r#"{"v":1210,"currency":"jpy"}"#,
            "1210 JPY",
        ),
        (
            field("/v", minor()),
            r#"{"v":1210,"currency":"kwd"}"#,
            "1.210 KWD",
        ),
        (
            field("/v", minor()),
            r#"{"v":1210,"currency":"mga"}"#,
            "1210.00 MGA",
        ),
        (
            field("/v", minor()),
            r#"{"v":-5,"currency":"nok"}"#,
            "-0.05 NOK",
        ),
        (
            field("/v", minor()),
            r#"{"v":12.5,"currency":"nok"}"#,
            "! expected a whole number of minor units, found `12.5`",
        ),
        (
            field("/v", minor()),
            r#"{"v":1210}"#,
            "! the amount has no currency, and the receiver needs one",
        ),
        (
            field("/v", minor()),
            r#"{"v":1210,"currency":"xau"}"#,
            "! XAU has no minor unit in ISO 4217",
        ),
        // Times.
        (
            field("/v", Kind::Instant),
            r#"{"v":"2026-11-23T20:00:00"}"#,
            "2026-11-23T20:00:00.000Z",
        ),
        (
            field("/v", Kind::Instant),
            r#"{"v":"2026-11-23T20:00:00+01:00"}"#,
            "2026-11-23T19:00:00.000Z",
        ),
        (
            field("/v", Kind::Instant),
            r#"{"v":1795460400}"#,
            "! expected an RFC 3339 time, found `1795460400`",
        ),
        (
            field("/v", Kind::Seconds),
            r#"{"v":1795460400}"#,
            "2026-11-23T19:00:00.000Z",
        ),
        (
            field("/v", Kind::Millis),
            r#"{"v":"1795460400123"}"#,
            "2026-11-23T19:00:00.123Z",
        ),
        (
            field("/v", Kind::Seconds),
            r#"{"v":"soon"}"#,
            "! expected Unix seconds, found `soon`",
        ),
        // Sets.
        (
            field("/v", list(None)),
            r#"{"v":["b","a","b",3]}"#,
            r#"["3","a","b"]"#,
        ),
        (
            field("/v", list(Some(";"))),
            r#"{"v":"b; a;;b "}"#,
            r#"["a","b"]"#,
        ),
        (
            field("/v", list(None)),
            r#"{"v":[{}]}"#,
            "! expected an array of texts, found an array",
        ),
        // Tables: an unknown value names itself and the table; blank is nothing chosen.
        (
            table("/v", &[("processing", "paid"), ("done", "won")]),
            r#"{"v":"paid"}"#,
            "\"processing\"",
        ),
        (
            table("/v", &[("processing", "paid"), ("done", "won")]),
            r#"{"v":"lost"}"#,
            "! `lost` is not in its table of values (paid, won)",
        ),
        (table("/v", &[("done", "won")]), r#"{"v":""}"#, "\"\""),
        (number("/v"), r#"{"v":5.0}"#, "\"paid\""),
    ] {
        assert_eq!(
            read_in(&field, text),
            expected,
            "{text} as {:?}",
            field.kind
        );
    }
}

#[test]
fn cleaning_makes_spellings_equal_and_a_sensitive_value_is_never_told() {
    let mut email = field("/v", Kind::Text);
    email.clean = vec![Clean::Trim, Clean::Lower];
    assert_eq!(
        read_in(&email, r#"{"v":" Anna@Example.COM "}"#),
        "\"anna@example.com\""
    );
    let mut phone = field("/v", Kind::Text);
    phone.clean = vec![Clean::Digits];
    assert_eq!(read_in(&phone, r#"{"v":"+47 22 33"}"#), "\"472233\"");
    let mut secret = table("/v", &[("a", "b")]);
    secret.sensitive = true;
    let words = read_in(&secret, r#"{"v":"4711"}"#);
    assert!(words.starts_with('!') && !words.contains("4711"), "{words}");
}

#[test]
fn an_amount_takes_its_currency_with_it_or_is_refused() {
    let nok = |amount: &str| Value::Money {
        amount: amount.to_owned(),
        currency: Some("NOK".to_owned()),
    };
    let written = |field: &Field, value: &Value, body: &str| {
        let mut body = json(body);
        match write(field, value, &mut body) {
            Ok(()) => body.to_json(),
            Err(problem) => format!("! {problem}"),
        }
    };
    for (kind, value, body, expected) in [
        (
            money(),
            nok("12.1"),
            "{}",
            r#"{"currency":"NOK","v":"12.10"}"#,
        ),
        // The currency's own field may spell it its way.
        (
            money(),
            nok("12.1"),
            r#"{"currency":"nok"}"#,
            r#"{"currency":"nok","v":"12.10"}"#,
        ),
        (
            money(),
            nok("12.1"),
            r#"{"currency":"EUR"}"#,
            "! NOK where EUR is meant",
        ),
        (fixed("NOK", true), nok("12.1"), "{}", r#"{"v":12.10}"#),
        (
            fixed("EUR", true),
            nok("12.1"),
            "{}",
            "! NOK where EUR is meant",
        ),
        (minor(), nok("12.1"), "{}", r#"{"currency":"NOK","v":1210}"#),
        (
            minor(),
            nok("12.105"),
            "{}",
            "! `12.105` NOK has more than 2 decimals",
        ),
        (
            money(),
            Value::Money {
                amount: "1".into(),
                currency: None,
            },
            "{}",
            "! the amount has no currency, and the receiver needs one",
        ),
        (
            Kind::Text,
            nok("12.1"),
            "{}",
            "! money cannot be written as a text",
        ),
        (
            Kind::Number,
            nok("12.1"),
            "{}",
            "! money cannot be written as a number",
        ),
        (money(), Value::Null, "{}", r#"{"v":null}"#),
        (money(), Value::Text(String::new()), "{}", r#"{"v":""}"#),
        (
            fixed("NOK", true),
            Value::Text(String::new()),
            "{}",
            r#"{"v":null}"#,
        ),
    ] {
        assert_eq!(written(&field("/v", kind), &value, body), expected);
    }
    let mut locked = field("/v", Kind::Text);
    locked.read_only = true;
    assert_eq!(written(&locked, &Value::Text("x".into()), "{}"), "{}");
}

/// A field of any kind with a value that it can hold.
fn held() -> impl Strategy<Value = (Field, Value)> {
    let amount = "-?[0-9]{1,18}(\\.[0-9]{1,2})?";
    let money_value = |amount: String, code: &str| Value::Money {
        amount,
        currency: Some(code.to_owned()),
    };
    let code = prop_oneof![Just("NOK"), Just("KWD"), Just("EUR")];
    let at = -62_167_219_200_000i64..=253_402_300_799_999;
    let texts = proptest::collection::btree_set("\\PC{0,8}", 0..4);
    let words = proptest::collection::btree_set("[a-zæ]{1,5}( [a-z]{1,3})?", 0..4);
    let rows = [("new", "1"), ("paid", "paid_stage"), ("true", "yes")];
    prop_oneof![
        "\\PC{0,12}".prop_map(|text| (field("/v", Kind::Text), Value::Text(text))),
        any::<bool>().prop_map(|value| (field("/v", Kind::Bool), Value::Bool(value))),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?(e[0-9]{1,2})?"
            .prop_map(|text| (field("/v", Kind::Number), Value::Number(text))),
        (amount, code.clone(), any::<bool>()).prop_map(move |(amount, code, number)| {
            let kind = Kind::Money {
                currency: Currency::At("/currency".into()),
                number,
            };
            (field("/v", kind), money_value(amount, code))
        }),
        (amount, code)
            .prop_map(move |(amount, code)| (field("/v", minor()), money_value(amount, code))),
        "[0-9]{1,18}".prop_map(move |amount| (field("/v", minor()), money_value(amount, "JPY"))),
        "[0-9]{1,18}".prop_map(move |amount| (field("/v", minor()), money_value(amount, "MGA"))),
        at.clone()
            .prop_map(|at| (field("/v", Kind::Instant), Value::Instant(Timestamp(at)))),
        at.clone()
            .prop_map(|at| (field("/v", Kind::Millis), Value::Instant(Timestamp(at)))),
        at.prop_map(|at| {
            let at = Timestamp(at.div_euclid(1000) * 1000);
            (field("/v", Kind::Seconds), Value::Instant(at))
        }),
        texts.prop_map(|texts| (field("/v", list(None)), Value::Set(texts))),
        words.prop_map(|texts| (field("/v", list(Some(";"))), Value::Set(texts))),
        proptest::sample::select(rows.to_vec())
            .prop_map(move |(row, _)| (table("/v", &rows), Value::Text(row.to_owned()))),
        proptest::sample::subsequence(rows.to_vec(), 0..3).prop_map(move |some| {
            let set: BTreeSet<String> = some.iter().map(|(row, _)| (*row).to_owned()).collect();
            let field = Field {
                kind: list(Some(";")),
                ..table("/v", &rows)
            };
            (field, Value::Set(set))
        }),
    ]
}

/// Any field, whatever its value.
fn any_field() -> impl Strategy<Value = Field> {
    (
        held(),
        proptest::sample::subsequence(vec![Clean::Trim, Clean::Lower, Clean::Digits], 0..2),
    )
        .prop_map(|((field, _), clean)| Field { clean, ..field })
}

fn read_back(field: &Field, body: &Node) -> Option<Result<Value, Problem>> {
    let beside = Beside {
        node: body,
        outer: None,
    };
    body.pointer("/v").map(|found| read(field, found, beside))
}

proptest! {
    #[test]
    fn what_is_written_is_read_again((field, value) in held()) {
        let mut body = Node::Null;
        prop_assert_eq!(write(&field, &value, &mut body), Ok(()));
        let text = body.to_json();
        let again = Node::parse(text.as_bytes()).expect("JSON");
        let Some(Ok(read)) = read_back(&field, &again) else {
            return Err(TestCaseError::fail(format!("{text}: {:?}", read_back(&field, &again))));
        };
        prop_assert_eq!(read.canonical(), value.canonical(), "{}", text);
        // What was read is written as the same bytes.
        let mut twice = Node::Null;
        prop_assert_eq!(write(&field, &read, &mut twice), Ok(()));
        let same_currency = again.pointer("/currency").is_none() || twice.pointer("/currency") == again.pointer("/currency");
        prop_assert!(same_currency);
        prop_assert_eq!(read_back(&field, &twice).and_then(Result::ok), Some(read));
    }

    #[test]
    fn no_json_makes_reading_panic_and_what_is_read_has_one_form(
        field in any_field(),
        found in testing::node(),
        beside in testing::node(),
    ) {
        let mut record = Node::Object(vec![("v".to_owned(), found)]);
        record.set("/currency", beside).expect("an object");
        if let Some(Ok(value)) = read_back(&field, &record) {
            // Converting to its own field changes nothing the second time.
            if let Ok(once) = convert::to(&field, &value) {
                prop_assert_eq!(convert::to(&field, &once), Ok(once.clone()));
            }
        }
    }
}
