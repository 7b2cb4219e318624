use std::path::Path;

use super::*;
use crate::record::ledger::About;
use crate::store::view::HoldingRow;

fn config(file: &str) -> Config {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/valid");
    crate::config::load(&folder.join(file))
        .expect("a good file")
        .config
}

fn known(text: &str, at: i64) -> (String, Timestamp) {
    (text.to_owned(), Timestamp(at))
}

fn line(at: i64, delivery: Option<i64>, path: &str, text: &str) -> StoryLine {
    StoryLine {
        at: Timestamp(at),
        event: None,
        delivery: delivery.map(DeliveryId),
        path: Some(path.to_owned()),
        text: text.to_owned(),
    }
}

/// Order 1042: its status went to the CRM over `deals`, and back to the shop over `back`.
fn story(field: &str, shop: KnownField, crm: KnownField) -> Story {
    let holding = |known| HoldingRow {
        fields: [(field.to_owned(), known)].into(),
        ..HoldingRow::default()
    };
    Story {
        about: About {
            kind: "order".to_owned(),
            key: "1042".to_owned(),
        },
        keys: vec!["1042".to_owned()],
        since: Timestamp(1),
        holdings: [
            ("crm".to_owned(), holding(crm)),
            ("shop".to_owned(), holding(shop)),
        ]
        .into(),
        waiting: Vec::new(),
        lines: vec![
            line(1, None, "deals", "heard of it"),
            line(5, Some(7), "deals", "updated in crm"),
            line(6, Some(8), "back", "left out total: crm may not write it"),
            line(9, Some(9), "back", "updated in shop"),
        ],
        older: 0,
    }
}

/// The two differ in an address; opened before it was called sensitive.
fn review() -> ReviewRow {
    ReviewRow {
        id: crate::ids::ReviewId(3),
        at: Timestamp(6),
        about: About {
            kind: "order".to_owned(),
            key: "1042".to_owned(),
        },
        field: "email".to_owned(),
        source: "crm".to_owned(),
        receiver: "shop".to_owned(),
        sensitive: false,
        ours: Some("\"anna@example.com\"".to_owned()),
        ours_at: None,
        theirs: None,
        theirs_at: None,
        base: None,
        reason: "both changed it".to_owned(),
        delivery: None,
        path: None,
        decided: None,
    }
}

fn told(explained: &Explained) -> Vec<String> {
    explained.verdict(|at| at.0.to_string())
}

#[test]
fn it_says_who_won_by_which_delivery_and_whether_it_might() {
    let crm = KnownField {
        sent: Some(known("\"completed\"", 5)),
        ..KnownField::default()
    };
    let shop = KnownField {
        sent: Some(known("\"Completed\"", 9)),
        seen: Some(known("\"pending\"", 3)),
        ..KnownField::default()
    };
    let explained = explain(
        &config("entities.toml"),
        &story("status", shop, crm),
        &[],
        "status",
    )
    .expect("it is known");
    assert_eq!(
        told(&explained),
        [
            "shop owns it; crm may write it; policy monotonic: pending < processing < completed; compared by casefold; \
             while shop is down: queue",
            "shop was given \"Completed\" at 9 by 0-10 on back, from crm, who may write it",
            // By the rule's comparison.
            "crm and shop hold the same",
        ]
    );
    let lines: Vec<i64> = explained.lines.iter().map(|line| line.at.0).collect();
    assert_eq!(lines, [5, 9], "what wrote it");
    assert_eq!(explained.systems[0].role, Some("writer"));
}

#[test]
fn where_systems_differ_it_says_which_value_stands() {
    let of = |text: &str, at| KnownField {
        seen: Some(known(text, at)),
        ..KnownField::default()
    };
    let story = story("total", of("12.1", 3), of("13", 4));
    let explained = explain(&config("entities.toml"), &story, &[], "total").expect("it is known");
    assert_eq!(
        told(&explained)[1..],
        [
            "midwatch has written it nowhere yet",
            "they differ: crm has 13 since 4, shop has 12.1 since 3; the value of shop stands",
        ]
    );
    let lines: Vec<i64> = explained.lines.iter().map(|line| line.at.0).collect();
    assert_eq!(lines, [6], "what speaks of it");
}

#[test]
fn a_sensitive_value_is_never_told_and_nothing_known_is_nothing() {
    let plain = KnownField {
        sent: Some(known("\"anna@example.com\"", 5)),
        ..KnownField::default()
    };
    let hashed = KnownField {
        sent: Some(known("#0011223344556677", 4)),
        ..KnownField::default()
    };
    let config = config("entities.toml");
    let story = story("email", plain, hashed);
    let explained = explain(&config, &story, &[review()], "email").expect("it is known");
    let all = format!("{explained:?} {:?}", told(&explained));
    assert!(!all.contains("anna") && all.contains("#0011"), "{all}");
    assert!(all.contains("review 3 waits since 6: crm says a… (16 characters), shop holds nothing: both changed it"), "{all}");
    // The rest has an owner, so that every field has a rule.
    assert!(explain(&config, &story, &[], "colour").is_some());
    let undeclared = Config {
        entities: std::collections::BTreeMap::new(),
        ..config
    };
    assert_eq!(explain(&undeclared, &story, &[], "colour"), None);
    let explained = explain(&undeclared, &story, &[review()], "email").expect("it is known");
    assert!(told(&explained)[0].contains("no entity order is declared"));
}
