//! What an answer means, and what a request costs; the requests themselves are `tests/delivery`'s.

use super::judge::{Question, judge, note};
use super::*;
use crate::http::reply::{Fault, SendError};
use crate::queue::model::Class;
use crate::record::map::{Format, Layout, Part, Source};
use crate::time::Timestamp;

fn shape(url: &str, items: bool) -> Shape {
    Shape {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        format: Format::Json,
        answer: String::new(),
        items,
        item: String::new(),
        missing: vec![404],
        exists: vec![422],
    }
}

fn map() -> RecordMap {
    RecordMap {
        system: "crm".to_owned(),
        kind: "order".to_owned(),
        layout: Layout {
            id: Some("/id".to_owned()),
            key: Some(Part {
                from: Source::At("/key".to_owned()),
                clean: Vec::new(),
            }),
            ..Layout::default()
        },
        lookup: Some(shape("/orders?key={{ key }}", true)),
        ..RecordMap::default()
    }
}

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        body: body.to_owned().into(),
        ..Reply::default()
    }
}

/// What `verb` makes of an answer: words for what was found, the class.
fn judged(verb: Verb<'_>, items: bool, result: &Result<Reply, SendError>) -> (String, Class) {
    let (map, shape) = (map(), shape("", items));
    let manner = Manner::default();
    let question = Question {
        map: &map,
        shape: &shape,
        verb,
        key: Some("A1"),
        manner: &manner,
    };
    let (found, judged) = judge(&question, result, Timestamp(1), &Engine::new());
    (note(verb, &found, &judged), judged.class)
}

#[test]
fn each_answer_has_its_meaning_for_each_request() {
    let one = r#"{"id": 7, "key": "A1"}"#;
    let two = r#"[{"id": 7, "key": "A1"}, {"id": 8, "key": "a1 "}]"#;
    let other = r#"[{"id": 7, "key": "A1"}, {"id": 8, "key": "A12"}]"#;
    let well = Class::Delivered;
    for (verb, items, status, body, words, class) in [
        (Verb::Lookup, false, 200, one, "id 7", well),
        (Verb::Lookup, false, 404, "", "not there", well),
        (Verb::Lookup, true, 200, "[]", "not there", well),
        (Verb::Lookup, true, 200, two, "2 hits", well),
        // A search finds what only resembles it.
        (Verb::Lookup, true, 200, other, "id 7", well),
        // A proxy's page, a cut: no answer is not "not there".
        (
            Verb::Lookup,
            true,
            200,
            "<html>",
            "transient",
            Class::Transient,
        ),
        (Verb::Lookup, true, 200, "{}", "transient", Class::Transient),
        (Verb::Lookup, true, 500, "", "transient", Class::Transient),
        (Verb::Lookup, true, 409, "", "transient", Class::Transient),
        (Verb::Read, false, 404, "", "not there", well),
        (Verb::Create, false, 201, one, "id 7", well),
        (Verb::Create, false, 201, "", "done", well),
        (Verb::Create, false, 409, "", "there already", well),
        (Verb::Create, false, 422, "", "there already", well),
        (Verb::Create, false, 400, "", "rejected", Class::Rejected),
        (Verb::Update, false, 200, one, "id 7", well),
        (Verb::Update, false, 404, "", "not there", well),
        (Verb::Update, false, 410, "", "not there", well),
        (Verb::Update, false, 409, "", "transient", Class::Transient),
        (Verb::Update, false, 422, "", "rejected", Class::Rejected),
        (Verb::Link("contact"), false, 204, "", "done", well),
        (Verb::Link("contact"), false, 409, "", "there already", well),
        (Verb::Delete, false, 404, "", "not there", well),
        (Verb::Create, false, 401, "", "auth", Class::Auth),
        (Verb::Create, false, 410, "", "gone", Class::Gone),
    ] {
        let found = judged(verb, items, &Ok(reply(status, body)));
        assert_eq!(found, (words.to_owned(), class), "{verb:?} {status} {body}");
    }
    let cut = Err(SendError::after(Fault::Cut, "cut"));
    assert_eq!(
        judged(Verb::Create, false, &cut),
        ("unknown".to_owned(), Class::Unknown)
    );
}

#[test]
fn an_answer_that_was_cut_is_no_answer() {
    let whole = r#"[{"id": 7, "key": "A1"}]"#;
    let cut = Reply {
        truncated: true,
        ..reply(200, whole)
    };
    assert_eq!(judged(Verb::Lookup, true, &Ok(cut)).1, Class::Transient);
}

#[test]
fn a_token_is_spent_once_on_its_own_system_or_given_back() {
    use crate::config::model::RateLimit;
    use crate::queue::budget::Budget;
    let limit = RateLimit {
        count: 10,
        per: Duration::from_secs(3600),
    };
    for (system, spends, left) in [("crm", true, 0), ("shop", false, 1)] {
        let budget = Budget::new(Some(limit));
        assert_eq!(budget.take(1), 1);
        let prepaid = Prepaid::new("crm", budget.clone());
        assert_eq!(prepaid.spend(system), spends);
        assert!(!spends || !prepaid.spend(system), "once");
        drop(prepaid);
        assert_eq!(budget.available(), left, "{system}");
    }
}
