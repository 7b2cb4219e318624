use super::*;

/// What was expected to be told: kind and what.
type Told<'a> = &'a [(NoteKind, &'a str)];
type Headers<'a> = &'a [(&'static str, &'a str)];

const PATH: PathId = PathId(1);
const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn reply(headers: &[(&'static str, &str)], body: &str) -> Reply {
    let mut reply = Reply {
        status: 200,
        body: body.to_owned().into(),
        ..Reply::default()
    };
    reply.headers.insert(
        "content-type",
        "application/json; charset=utf-8".parse().unwrap(),
    );
    for (name, value) in headers {
        reply.headers.insert(*name, value.parse().unwrap());
    }
    reply
}

fn take(answers: &mut Answers, body: &str) -> Vec<(NoteKind, String)> {
    let seen = read(&reply(&[], body), true);
    let (news, _) = answers.take(PATH, "create", seen, NOW);
    news.into_iter()
        .map(|news| (news.kind, news.what))
        .collect()
}

/// What `then` is news of after `count` answers of `before`.
fn after(count: u64, before: &str, then: &str) -> Vec<(NoteKind, String)> {
    let mut answers = Answers::default();
    for _ in 0..count {
        assert_eq!(take(&mut answers, before), []);
    }
    take(&mut answers, then)
}

#[test]
fn a_habit_that_changes_is_news() {
    use NoteKind::{AnswerMissingField as Missing, AnswerNewField as New, AnswerType as Type};
    let table: [(&str, &str, Told<'_>); 17] = [
        (r#"{"id":1}"#, r#"{"id":1}"#, &[]),
        (r#"{"id":1}"#, r#"{"id":1,"x":2}"#, &[(New, "/x")]),
        (r#"{"id":1,"x":2}"#, r#"{"id":1}"#, &[(Missing, "/x")]),
        (r#"{"id":1}"#, r#"{"id":"1"}"#, &[(Type, "/id")]),
        // Null says nothing of a type, and is no missing field.
        (r#"{"id":1}"#, r#"{"id":null}"#, &[]),
        (r#"{"id":null}"#, r#"{"id":1}"#, &[]),
        // Only the top of what is new or missing.
        (
            r#"{"id":1}"#,
            r#"{"id":1,"a":{"b":{"c":1}}}"#,
            &[(New, "/a")],
        ),
        (
            r#"{"id":1,"a":{"b":{"c":1}}}"#,
            r#"{"id":1}"#,
            &[(Missing, "/a")],
        ),
        (
            r#"{"a":{"b":1}}"#,
            r#"{"a":{"b":1,"c":1}}"#,
            &[(New, "/a/c")],
        ),
        (r#"{"a":{"b":1}}"#, r#"{"a":null}"#, &[]),
        // Items are one thing, of which there may be none.
        (r#"{"l":[{"x":1},{"x":2}]}"#, r#"{"l":[]}"#, &[]),
        (r#"{"l":[]}"#, r#"{"l":[{"x":1}]}"#, &[]),
        (
            r#"{"l":[{"x":1}]}"#,
            r#"{"l":[{"y":1}]}"#,
            &[(New, "/l/*/y"), (Missing, "/l/*/x")],
        ),
        // Keys that are values are no fields.
        (r#"{"m":{"17":{"a":1}}}"#, r#"{"m":{"18":{"a":1}}}"#, &[]),
        (
            r#"{"a/b":1}"#,
            r#"{"a~b":1}"#,
            &[(New, "/a~0b"), (Missing, "/a~1b")],
        ),
        (r#"{"id":1}"#, r"[1]", &[(Type, "")]),
        // No JSON: nothing is said of it.
        (r#"{"id":1}"#, "oops", &[]),
    ];
    for (before, then, expected) in table {
        let expected: Vec<_> = (expected.iter())
            .map(|(kind, what)| (*kind, format!("create {what}")))
            .collect();
        assert_eq!(
            after(ENOUGH, before, then),
            expected,
            "{before} then {then}"
        );
        assert_eq!(
            after(ENOUGH - 1, before, then),
            [],
            "too few: {before} then {then}"
        );
    }
}

#[test]
fn what_was_told_is_the_habit_from_then_on() {
    let mut answers = Answers::default();
    for _ in 0..ENOUGH {
        take(&mut answers, r#"{"id":1,"x":1}"#);
    }
    assert_eq!(take(&mut answers, r#"{"id":"a"}"#).len(), 2);
    for body in [r#"{"id":"a"}"#, r#"{"id":1}"#, r#"{"id":1,"x":1}"#] {
        assert_eq!(take(&mut answers, body), [], "{body}");
    }
}

#[test]
fn large_deep_and_other_bodies_are_bounded_or_passed_over() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(LARGEST));
    assert_eq!(read(&reply(&[], &long), true).fields, None);
    let mut html = reply(&[], "{}");
    html.headers
        .insert("content-type", "text/html".parse().unwrap());
    assert_eq!(read(&html, true).fields, None);
    let cut = Reply {
        truncated: true,
        ..reply(&[], "{}")
    };
    assert_eq!(read(&cut, true).fields, None);
    assert_eq!(read(&reply(&[], "{}"), false).fields, None);
    let deep = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
    let fields = read(&reply(&[], &deep), true).fields.unwrap();
    assert_eq!(fields.len(), DEEPEST + 1);
    let wide: Vec<String> = (0..1_000).map(|n| format!(r#""f{n}":1"#)).collect();
    let wide = format!("{{{}}}", wide.join(","));
    assert_eq!(
        read(&reply(&[], &wide), true).fields.unwrap().len(),
        MOST_FIELDS
    );
    // A step that has all it can remember is not told of what it cannot.
    assert_eq!(after(ENOUGH, &wide, &wide.replace("f0", "g")).len(), 1);
}

#[test]
fn while_nothing_changes_every_tenth_is_looked_at() {
    let mut answers = Answers::default();
    let mut looks = 0;
    for _ in 0..1_101 {
        if answers.is_due(PATH, "create") {
            looks += 1;
            take(&mut answers, r#"{"id":1}"#);
        }
    }
    assert_eq!(looks, 101 + 100);
    while !answers.is_due(PATH, "create") {}
    assert_eq!(take(&mut answers, r#"{"id":1,"x":1}"#).len(), 1);
    assert!(
        (0..50).all(|_| answers.is_due(PATH, "create")),
        "after news it looks closely"
    );
}

#[test]
fn events_tell_the_version_in_which_their_source_speaks() {
    let mut answers = Answers::default();
    let long = "9".repeat(LONGEST + 1);
    for (data, news) in [
        (
            r#"{"id":"evt_1","api_version":"2026-01-01"}"#.to_owned(),
            None,
        ),
        (
            r#"{"id":"evt_2","api_version":"2026-01-01"}"#.to_owned(),
            None,
        ),
        // Somewhere else, none, and no text at all: nothing is said.
        (r#"{"object":{"api_version":"x"}}"#.to_owned(), None),
        (r#"{"api_version":null}"#.to_owned(), None),
        (r#"{"api_version":"""#.to_owned(), None),
        (
            r#"{"api_version":"2026-09-01","id":"evt_3"}"#.to_owned(),
            Some("events are of version 2026-09-01 of the API: they were of 2026-01-01"),
        ),
        (r#"{"api_version":"2026-09-01"}"#.to_owned(), None),
    ] {
        let told = of_event(data.as_bytes()).map(|seen| answers.take(PATH, EVENTS, seen, NOW).0);
        let told = told.unwrap_or_default().pop();
        let told = told.map(|news| (news.kind, news.text));
        let expected = news.map(|text| (NoteKind::ApiVersion, text.to_owned()));
        assert_eq!(told, expected, "{data}");
    }
    let cut = of_event(format!(r#"{{"api_version":"{long}"}}"#).as_bytes()).unwrap();
    assert_eq!(cut.said[0].1.len(), LONGEST);
}

#[test]
fn versions_deprecations_and_sunsets_are_told_when_they_are_new() {
    use NoteKind::{ApiVersion, Deprecation, Sunset};
    let mut answers = Answers::default();
    let mut hear = |headers: &[(&'static str, &str)], body: &str, hours: u64| {
        let now = NOW + Duration::from_secs(hours * 3600);
        let (news, _) = answers.take(PATH, "POST", read(&reply(headers, body), true), now);
        news.into_iter()
            .map(|news| (news.kind, news.text))
            .collect::<Vec<_>>()
    };
    assert_eq!(hear(&[("stripe-version", "2026-01-01")], "", 0), []);
    assert_eq!(hear(&[("stripe-version", "2026-01-01")], "", 0), []);
    let text = "answers to POST are of version 2026-09-01 of the API: it was 2026-01-01".to_owned();
    assert_eq!(
        hear(&[("stripe-version", "2026-09-01")], "", 0),
        [(ApiVersion, text)]
    );
    let text = "answers to POST are of version 3 of the API: it was 2026-09-01".to_owned();
    assert_eq!(hear(&[], r#"{"api_version":"3"}"#, 0), [(ApiVersion, text)]);
    let table: [(Headers<'_>, NoteKind, &str); 6] = [
        (
            &[("deprecation", "@1688169599")],
            Deprecation,
            "POST is deprecated since 2023-06-30",
        ),
        (
            &[
                ("deprecation", "@1999999999"),
                (
                    "link",
                    "<https://x/d>; rel=\"deprecation\"; type=\"text/html\"",
                ),
            ],
            Deprecation,
            "POST will be deprecated on 2033-05-18, see https://x/d",
        ),
        (
            &[("deprecation", "true")],
            Deprecation,
            "POST is deprecated (true)",
        ),
        (
            &[("deprecation", "Sun, 11 Nov 2018 23:59:59 GMT")],
            Deprecation,
            "POST is deprecated since 2018-11-11",
        ),
        (
            &[("sunset", "Sat, 31 Dec 2033 23:59:59 GMT")],
            Sunset,
            "POST ceases to answer on 2033-12-31",
        ),
        (
            &[("sunset", "soon")],
            Sunset,
            "POST ceases to answer (soon)",
        ),
    ];
    for (headers, kind, text) in table {
        assert_eq!(hear(headers, "", 0), [(kind, text.to_owned())]);
        assert_eq!(hear(headers, "", 23), [], "{text}: told already");
    }
    let sunset = [("sunset", "soon")];
    assert_eq!(hear(&sunset, "", 24).len(), 1, "it still is so a day later");
}

#[test]
fn what_is_remembered_is_stored_when_it_changes_and_read_back() {
    let mut answers = Answers::default();
    let body = r#"{"id":1,"l":[{"x":null},{"x":"a"}]}"#;
    let mut stored = None;
    let mut times = 0;
    for _ in 0..=STORE_EVERY {
        let seen = read(&reply(&[("api-version", "7")], body), true);
        if let (_, Some(rows)) = answers.take(PATH, "create", seen, NOW) {
            stored = Some(rows);
            times += 1;
        }
    }
    assert_eq!(times, 2, "at the first, and after many");
    let rows = stored.unwrap();
    let row = |pointer: &str| rows.iter().find(|row| row.pointer == pointer).unwrap();
    assert_eq!(row("/l/*/x").kind, "null|string");
    assert_eq!(
        (row("/id").seen, row("/id").total),
        (STORE_EVERY + 1, STORE_EVERY + 1)
    );
    let back = (rows.iter()).map(|row| (PATH, "create".to_owned(), row.clone()));
    let mut again = Answers::load(back.collect());
    let seen = read(&reply(&[("api-version", "8")], r#"{"l":[]}"#), true);
    let (news, rows) = again.take(PATH, "create", seen, NOW);
    let told: Vec<_> = news.iter().map(|news| &news.what[..]).collect();
    assert_eq!(told, ["8", "create /id"]);
    assert!(rows.is_some());
}
