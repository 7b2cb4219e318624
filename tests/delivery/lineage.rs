//! What goes out with a request, what comes back of it, and what is noticed in the answers.

use midwatch::ids::EventId;
use midwatch::queue::model::State;
use midwatch::store::Receipt;
use midwatch::store::view::{NoteFilter, NoteKind};
use midwatch::time::Clock;

use crate::bed::{Answer, Bed, Receiver, config, one_path};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_carries_the_trace_and_the_cause_and_a_vendor_only_the_trace() {
    let receiver = Receiver::start(|_| Answer::status(503)).await;
    let both = |preset: &str| {
        config(
            receiver.address,
            preset,
            "[paths.crm]\nroute = \"shop -> crm\"\nevents = [\"*\"]\nurl = \"/in\"\nschedule = [\"0\", \"0\"]",
        )
    };
    let bed = Bed::start(both("")).await;
    let said = [
        ("correlationid", "c 1".to_owned()),
        ("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01")),
        ("tracestate", "a=1".to_owned()),
    ];
    bed.accept_as("shop", "e1", &said).await;
    bed.until("two attempts", || receiver.count() == 2).await;
    let seen = receiver.seen();
    let parents: Vec<&str> = seen
        .iter()
        .filter_map(|seen| seen.header("traceparent"))
        .collect();
    assert_eq!(parents.len(), 2);
    assert_ne!(parents[0], parents[1], "each attempt is a span of its own");
    for (seen, parent) in seen.iter().zip(parents) {
        assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
        assert_eq!(seen.header("tracestate"), Some("a=1"));
        assert_eq!(seen.header("ce-correlationid"), Some("c%201"));
        let cause = midwatch::store::reference(EventId(1), "shop", "e1");
        assert_eq!(seen.header("ce-causationid"), Some(&cause[..]));
    }
    bed.reload(both("preset = \"slack\"")).await;
    bed.accept_as("shop", "e2", &said).await;
    bed.until("a third attempt", || receiver.count() > 2).await;
    let seen = receiver.seen().remove(2);
    assert!(seen.header("traceparent").is_some());
    assert_eq!(seen.header("ce-causationid"), None);
    assert_eq!(seen.header("ce-correlationid"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_systems_that_answer_each_other_end_at_the_seventeenth_event() {
    let receiver = Receiver::start(|_| Answer::ok()).await;
    let rest = format!(
        "[systems.erp]\nurl = \"http://{}\"\nprivate = true\n\
         [paths.out]\nroute = \"crm -> erp\"\nevents = [\"*\"]\nurl = \"/erp\"\n\
         [paths.back]\nroute = \"erp -> crm\"\nevents = [\"*\"]\nurl = \"/crm\"",
        receiver.address
    );
    let bed = Bed::start(config(receiver.address, "", &rest)).await;
    let systems = ["crm", "erp"];
    let mut said = Vec::new();
    let mut count = 0;
    // Each system tells of what it was told, and says why, as the request said it.
    let held = loop {
        let source = systems[count % 2];
        match bed.accept_as(source, &format!("e{count}"), &said).await {
            Receipt::Accepted { .. } => count += 1,
            Receipt::Held { event, reason, .. } => break (event, reason),
            other => panic!("{other:?}"),
        }
        assert!(count <= 16, "nothing breaks the loop");
        bed.until("told to the other", || receiver.count() == count)
            .await;
        let seen = receiver.seen().pop().expect("seen");
        let header = |name: &str| seen.header(name).expect("passed on").to_owned();
        said = vec![
            ("causationid", header("ce-causationid")),
            ("correlationid", header("ce-correlationid")),
        ];
    };
    assert_eq!((count, held.0), (16, EventId(17)));
    assert!(held.1.starts_with("a chain of 17 events"), "{}", held.1);
    assert!(
        bed.log()
            .iter()
            .any(|line| line.contains("event 17 is held"))
    );
    let reader = bed.store.reader().expect("reader");
    let trace = reader.trace(EventId(9)).expect("read").expect("known");
    assert_eq!(trace.nodes.len(), 17);
    assert!(
        trace
            .nodes
            .iter()
            .enumerate()
            .all(|(level, node)| node.level == level)
    );
    assert!(
        (trace.nodes.iter().skip(1)).all(|node| node.correlation.as_deref() == Some("e0")),
        "the first gives the chain its name"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_drops_a_field_is_noticed_across_a_restart_too() {
    let json = |body: &str| {
        Answer::ok()
            .header("content-type", "application/json")
            .body(body)
    };
    let receiver = Receiver::start(move |_| json("{\"id\":1,\"state\":\"ok\"}")).await;
    let config = one_path(receiver.address, "");
    let bed = Bed::start(config.clone()).await;
    bed.accept_many(20).await;
    bed.until_delivered(20).await;
    let folder = bed.end().await;
    let bed = Bed::open(folder, config, Clock::System).await;
    receiver.behave(move |_| json("{\"id\":1}").header("deprecation", "@1688169599"));
    let id = bed.accept("order", "1").await;
    let notes = || {
        let reader = bed.store.reader().expect("reader");
        reader.notes(&NoteFilter::default(), 10).expect("read")
    };
    bed.until("two notes", || notes().len() == 2).await;
    let mut notes = notes();
    notes.sort_by_key(|note| note.kind);
    let told: Vec<_> = notes
        .iter()
        .map(|note| (note.kind, &note.text[..]))
        .collect();
    assert_eq!(
        told,
        [
            (
                NoteKind::AnswerMissingField,
                "answers to POST lack /state: all of 20 before had it"
            ),
            (NoteKind::Deprecation, "POST is deprecated since 2023-06-30"),
        ]
    );
    for note in &notes {
        assert_eq!(
            (note.path.as_deref(), &note.system[..]),
            (Some("crm"), "crm")
        );
        assert_eq!(note.delivery, Some(id));
    }
    let line = "crm: answers to POST lack /state: all of 20 before had it";
    assert!(bed.log().iter().any(|text| text == line), "{:?}", bed.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_speaks_another_version_of_its_api_is_noticed_once() {
    let receiver = Receiver::start(|_| Answer::ok()).await;
    let bed = Bed::start(one_path(receiver.address, "")).await;
    let mut last = None;
    for (n, version) in ["2026-01-01", "2026-01-01", "2026-09-01", "2026-09-01"]
        .iter()
        .enumerate()
    {
        let data = format!(r#"{{"id":"evt_{n}","api_version":"{version}"}}"#);
        let id = bed.accept(&format!("r{n}"), &data).await;
        // One after the other: what is said of a change does not depend on which is sent first.
        bed.until("delivered", || bed.state(id) == State::Delivered)
            .await;
        if n == 2 {
            last = Some(id);
        }
    }
    let notes = || {
        let reader = bed.store.reader().expect("reader");
        reader.notes(&NoteFilter::default(), 10).expect("read")
    };
    bed.until("the note", || !notes().is_empty()).await;
    let notes = notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(
        (notes[0].kind, &notes[0].text[..], notes[0].count),
        (
            NoteKind::ApiVersion,
            "events are of version 2026-09-01 of the API: they were of 2026-01-01",
            1
        )
    );
    assert_eq!(
        (
            notes[0].path.as_deref(),
            &notes[0].system[..],
            notes[0].delivery
        ),
        (None, "shop", last)
    );
}
