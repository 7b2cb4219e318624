use proptest::prelude::*;

use super::*;
use crate::ids::{BatchId, EventId};

fn row() -> DeliveryRow {
    DeliveryRow {
        id: DeliveryId::new(EventId(1042), 0),
        path: "crm".into(),
        state: State::Dead,
        kind: "order.updated".into(),
        source: "https://shop.example".into(),
        event_id: "evt_77".into(),
        subject: Some("1042".into()),
        order_key: Some("customer-9".into()),
        generation: 1,
        charged: 3,
        attempts: 3,
        accepted_at: Timestamp(10_000_000),
        due_at: Timestamp(10_000_000),
        changed_at: Timestamp(10_000_000),
        last_class: Some(Class::Rejected),
        last_status: Some(422),
        reason: Some("the receiver says: Email is INVALID".into()),
        fingerprint: Some(Fingerprint(0x7777_0000_0a1b_2c3d)),
    }
}

fn parse(text: &str) -> Filter {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_whole_grammar_is_read() {
    let filter = parse(
        r"path:crm state:dead,held type:order.* class:rejected status:422 group:0a1b2c3d key:1042 newer:2h older:1d id:7-1 replay:3 free   text",
    );
    assert_eq!(
        filter,
        Filter {
            paths: vec!["crm".into()],
            states: vec![State::Dead, State::Held],
            classes: vec![Class::Rejected],
            statuses: vec![422],
            fingerprint: Some(Fingerprint(0x0a1b_2c3d)),
            kind: Some("order.*".into()),
            subject: Some("1042".into()),
            newer_than: Some(Duration::from_secs(7200)),
            older_than: Some(Duration::from_secs(86_400)),
            text: Some("free text".into()),
            ids: vec![DeliveryId::new(EventId(7), 0)],
            replay: Some(BatchId(3)),
        }
    );
    assert_eq!(
        filter.to_string(),
        "path:crm state:dead,held type:order.* class:rejected status:422 group:0a1b2c3d key:1042 newer:2h older:1d id:7-1 replay:3 free text"
    );
}

#[test]
fn quotes_carry_spaces_commas_colons_and_quotes() {
    let filter = parse(r#"path:"a b,c",d key:"say \"hi\"" "x: y""#);
    assert_eq!(filter.paths, ["a b,c", "d"]);
    assert_eq!(filter.subject.as_deref(), Some("say \"hi\""));
    assert_eq!(filter.text.as_deref(), Some("x: y"));
    assert_eq!(parse("12:30").text.as_deref(), Some("12:30"));
    assert_eq!(parse("path:crm path:web").paths, ["crm", "web"]);
    assert!(parse("  ").is_empty());
}

#[test]
fn errors_say_what_was_expected() {
    for (text, said) in [
        (
            "stat:dead",
            "unknown key `stat`: did you mean `state:`? (text with a colon goes in quotes)",
        ),
        (
            "subject:1",
            "unknown key `subject`: did you mean `key:`? (text with a colon goes in quotes)",
        ),
        (
            "https://x",
            "unknown key `https`: the keys are path, state, type, class, status, group, key, newer, older, id, replay; text with a colon goes in quotes",
        ),
        (
            "state:ded",
            "`state:ded`: expected one of ready, running, waiting, delivered, dead, held, cancelled, superseded, shadowed; did you mean `dead`?",
        ),
        (
            "status:4xx",
            "`status:4xx`: expected an HTTP status, for example 422",
        ),
        (
            "newer:soon",
            "`newer:soon`: expected a duration, for example 30m, 2h or 1d",
        ),
        (
            "group:xyz",
            "`group:xyz`: expected the 8 hexadecimal digits of a failure group",
        ),
        (
            "id:seven",
            "`id:seven`: expected a delivery, for example 1042-1",
        ),
        (
            "replay:last",
            "`replay:last`: expected a replay's number, for example 3",
        ),
        (
            "type:*.updated",
            "`type:*.updated`: expected a type, with `*` only at its end (order.*)",
        ),
        ("path:", "`path:` needs a value, for example path:crm"),
        ("path:a,,b", "`path:` needs a value, for example path:crm"),
        ("key:1 key:2", "`key:` is given twice; it takes one value"),
        ("newer:1h,2h", "`newer:` is given twice; it takes one value"),
        (
            "a \"open",
            "the quote that opens at character 3 never closes",
        ),
        (
            "state:\u{1b}[2J",
            "`state:\\x1b[2J`: expected one of ready, running, waiting, delivered, dead, held, cancelled, superseded, shadowed",
        ),
    ] {
        assert_eq!(
            text.parse::<Filter>().unwrap_err().to_string(),
            said,
            "{text}"
        );
    }
}

#[test]
fn a_row_matches_when_every_part_holds() {
    let now = Timestamp(10_000_000) + Duration::from_secs(3600);
    for (filter, matches) in [
        ("", true),
        ("path:crm", true),
        ("path:web", false),
        ("path:web,crm state:dead", true),
        ("state:ready", false),
        ("type:order.updated", true),
        ("type:order", false),
        ("type:order.*", true),
        ("type:refund.*", false),
        ("class:rejected,auth", true),
        ("class:auth", false),
        ("status:422", true),
        ("status:500", false),
        ("group:0a1b2c3d", true),
        ("group:0a1b2c3e", false),
        ("group:777700000a1b2c3d", true),
        ("group:777700010a1b2c3d", false),
        ("key:1042", true),
        ("key:customer-9", true),
        ("key:104", false),
        ("newer:2h", true),
        ("newer:1h", true),
        ("newer:59m", false),
        ("older:59m", true),
        ("older:1h", false),
        ("email is invalid", true),
        ("EVT_77", true),
        ("shop.example", true),
        ("nowhere", false),
        ("id:1042-1", true),
        ("id:1042-2", false),
        ("path:crm state:dead status:422 newer:1d invalid", true),
        ("path:crm state:dead status:422 newer:1d nowhere", false),
    ] {
        assert_eq!(parse(filter).matches_row(&row(), now), matches, "{filter}");
    }
    let bare = DeliveryRow {
        subject: None,
        order_key: None,
        reason: None,
        last_status: None,
        last_class: None,
        fingerprint: None,
        ..row()
    };
    for filter in [
        "key:1042",
        "status:422",
        "class:rejected",
        "group:0a1b2c3d",
        "invalid",
    ] {
        assert!(!parse(filter).matches_row(&bare, now), "{filter}");
    }
}

#[test]
fn the_scope_is_said_in_words_without_anything_from_outside() {
    for (filter, words) in [
        ("", "all deliveries"),
        ("path:crm state:dead", "dead deliveries on crm"),
        (
            "path:crm,web state:dead,held status:422 newer:2h",
            "dead or held deliveries on crm or web last status 422 and accepted in the last 2h",
        ),
        (
            "type:order.* key:1042 evil",
            "deliveries of the event types asked for and of one key and containing the text asked for",
        ),
        ("id:7-1", "deliveries 7-1"),
        ("replay:3 state:dead", "dead deliveries of replay 3"),
        ("id:1-1,2-1,3-1,4-1", "deliveries among 4 chosen by hand"),
        (
            "group:0a1b2c3d class:rejected older:1d",
            "deliveries last attempt rejected and failure group 0a1b2c3d and accepted more than 1d ago",
        ),
    ] {
        assert_eq!(parse(filter).words(), words, "{filter}");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z0-9._-]{1,12}", 2 => "[ -~ø\u{1b}\n]{1,12}", 1 => any::<String>()]
        .prop_filter("not empty", |name| !name.is_empty())
}

fn age() -> impl Strategy<Value = Option<Duration>> {
    prop::option::of((0u64..100_000_000_000).prop_map(Duration::from_millis))
}

proptest! {
    #[test]
    fn a_filter_reads_back_what_it_prints(
        paths in prop::collection::vec(name(), 0..3),
        states in prop::collection::vec(prop::sample::select(State::ALL.to_vec()), 0..3),
        classes in prop::collection::vec(prop::sample::select(Class::ALL.to_vec()), 0..3),
        statuses in prop::collection::vec(100u16..600, 0..3),
        fingerprint in prop::option::of(any::<i64>().prop_map(Fingerprint)),
        (kind, subject, text) in (
            prop::option::of(name().prop_map(|kind| kind.replace('*', "") + "x*")),
            prop::option::of(name()),
            prop::option::of(name()),
        ),
        (newer_than, older_than) in (age(), age()),
        ids in prop::collection::vec((1i64..1_000_000, any::<u8>()).prop_map(|(e, n)| DeliveryId::new(EventId(e), n)), 0..3),
        replay in prop::option::of((1i64..1_000_000).prop_map(BatchId)),
    ) {
        let filter = Filter { paths, states, classes, statuses, fingerprint, kind, subject, newer_than, older_than, text, ids, replay };
        let printed = filter.to_string();
        prop_assert_eq!(printed.parse::<Filter>(), Ok(filter), "{}", printed);
    }

    #[test]
    fn no_text_panics_and_what_is_read_prints_stably(text in any::<String>()) {
        if let Ok(filter) = text.parse::<Filter>() {
            prop_assert_eq!(filter.to_string().parse::<Filter>(), Ok(filter));
        }
    }
}

#[test]
fn a_mistyped_path_and_an_endless_filter_are_refused_with_words() {
    let known = ["crm", "page/slack:ops"];
    let check = |text: &str| {
        let filter: Filter = text.parse().unwrap();
        check_paths(&filter, known.into_iter()).map_err(|wrong| wrong.to_string())
    };
    assert_eq!(check("state:dead"), Ok(()));
    assert_eq!(check("path:crm,\"page/slack:ops\""), Ok(()));
    for (text, words) in [
        ("path:cmr", "there is no path called cmr: did you mean crm?"),
        ("path:crm,nope", "there is no path called nope"),
    ] {
        assert_eq!(check(text), Err(words.to_owned()));
    }
    let long = "x".repeat(MAX_LENGTH + 1).parse::<Filter>().unwrap_err();
    assert!(long.to_string().contains("1001 characters"), "{long}");
    let twice: Filter = "id:5-1,5-1 id:5-1".parse().unwrap();
    assert_eq!(twice.words(), "deliveries 5-1");
}
