use super::*;
use crate::record::map::{Clean, Kind};
use crate::record::testing::{field, map, money, table};

#[test]
fn each_kind_is_compared_as_its_table_says() {
    let text = |text: &str| Value::Text(text.to_owned());
    let number = |text: &str| Value::Number(text.to_owned());
    let amount = |amount: &str, code: Option<&str>| Value::Money {
        amount: amount.to_owned(),
        currency: code.map(str::to_owned),
    };
    let mut email = field("/v", Kind::Text);
    email.clean = vec![Clean::Trim, Clean::Lower];
    // Two statuses of the shop are one stage of the CRM.
    let stage = table(
        "/v",
        &[("processing", "open"), ("on-hold", "open"), ("done", "won")],
    );
    let plain = field("/v", Kind::Text);
    for (field, wanted, held, same) in [
        (&plain, text("a"), Some(text("a")), true),
        (&plain, text("a"), Some(text("A")), false),
        (&plain, text(""), Some(Value::Null), false),
        (&plain, Value::Null, None, false),
        (&plain, text("1"), Some(number("1")), false),
        (
            &email,
            text("Anna@Example.COM "),
            Some(text("anna@example.com")),
            true,
        ),
        (&stage, text("on-hold"), Some(text("processing")), true),
        (&stage, text("done"), Some(text("processing")), false),
        (
            &field("/v", Kind::Number),
            number("1e3"),
            Some(number("1000.0")),
            true,
        ),
        (
            &field("/v", Kind::Number),
            number("9007199254740993"),
            Some(number("9007199254740992")),
            false,
        ),
        (
            &field("/v", money()),
            amount("12.1", Some("NOK")),
            Some(amount("12.10", Some("NOK"))),
            true,
        ),
        (
            &field("/v", money()),
            amount("12.1", Some("NOK")),
            Some(amount("12.1", Some("SEK"))),
            false,
        ),
        (
            &field("/v", money()),
            amount("12.1", Some("NOK")),
            Some(amount("12.1", None)),
            true,
        ),
        (
            &field("/v", money()),
            amount("0", Some("NOK")),
            Some(text("")),
            false,
        ),
    ] {
        let map = map("crm", "order", vec![("v", field.clone())]);
        let record = |value: Option<Value>| Record {
            fields: value
                .into_iter()
                .map(|value| ("v".to_owned(), value))
                .collect(),
            ..Record::default()
        };
        let diffs = compare(
            &map,
            &record(Some(wanted.clone())),
            &record(held.clone()),
            None,
        );
        assert_eq!(diffs.len(), 1);
        assert_eq!((diffs[0].same, &diffs[0].held), (same, &held), "{wanted:?}");
    }
}
