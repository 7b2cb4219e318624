use std::sync::Mutex;

use super::script::Faults;
use super::server::{Call, Reply, System, post};
use super::*;

/// Waits until `done` is true, at most ten seconds.
async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn say(server: &Server, key: &str, text: &str) -> io::Result<u16> {
    let headers = [("idempotency-key", key.to_owned())];
    let body = format!(r#"{{"text":"{text}"}}"#).into();
    let (status, _) = post(server.address(), "/services/x", &headers, body).await?;
    Ok(status)
}

#[tokio::test]
async fn a_stand_in_refuses_connections_while_down_and_comes_back_on_its_port() {
    let chat = Arc::<Chat>::default();
    let server = Server::start(chat.clone(), 1, CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(say(&server, "a", "one").await.unwrap(), 200);

    server.set(Faults {
        down: true,
        ..Faults::default()
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        assert!(Instant::now() < deadline, "still up");
        match say(&server, "b", "two").await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => break,
            _ => tokio::task::yield_now().await,
        }
    }

    server.set(Faults::default());
    while say(&server, "c", "three").await.is_err() {
        assert!(Instant::now() < deadline, "still down");
    }
    assert_eq!(chat.messages().last().map(String::as_str), Some("three"));
}

#[tokio::test]
async fn a_cut_answer_means_the_work_was_done_and_its_repeat_is_recognised() {
    let chat = Arc::<Chat>::default();
    let server = Server::start(chat.clone(), 1, CancellationToken::new())
        .await
        .unwrap();
    server.set(Faults {
        cut: 1.0,
        ..Faults::default()
    });
    assert!(say(&server, "a", "one").await.is_err());
    server.set(Faults::default());
    assert_eq!(say(&server, "a", "one").await.unwrap(), 200);
    assert_eq!(chat.messages(), ["one"]);
    let seen = chat.seen();
    assert_eq!((seen.writes, seen.repeats, seen.conflicts), (2, 1, 0));
}

#[tokio::test]
async fn a_status_fault_keeps_the_application_out_of_it() {
    let chat = Arc::<Chat>::default();
    let server = Server::start(chat.clone(), 1, CancellationToken::new())
        .await
        .unwrap();
    server.set(Faults {
        status: Some(429),
        retry_after: Some(3),
        ..Faults::default()
    });
    assert_eq!(say(&server, "a", "one").await.unwrap(), 429);
    assert!(chat.messages().is_empty());
}

/// A front door that answers badly at first, and remembers what it took.
#[derive(Default)]
struct Door(Mutex<(u32, Vec<String>)>);

impl System for Door {
    fn answer(&self, call: &Call, _: &Faults) -> Reply {
        let mut state = self.0.lock().unwrap();
        state.0 += 1;
        if state.0 <= 3 {
            return Reply::text(503, "not yet");
        }
        let signed = call.header("x-wc-webhook-signature").len() == 44
            || call.header("stripe-signature").contains(",v1=")
            || call.path == "/events";
        assert!(signed, "{call:?}");
        state.1.push(call.path.clone());
        Reply::text(202, "")
    }
}

#[tokio::test]
async fn the_shop_sends_signed_messages_until_each_is_acknowledged() {
    let stop = CancellationToken::new();
    let door = Arc::<Door>::default();
    let server = Server::start(door.clone(), 1, stop.clone()).await.unwrap();
    let options = Options {
        seed: 1,
        rate: 200.0,
    };
    let sandbox = Sandbox::start(options, stop.clone()).await.unwrap();
    let (told, mut story) = mpsc::channel(16);
    let open = sandbox.open(server.address(), told);
    until("messages", || open.tally().acknowledged >= 60).await;
    let tally = open.close(Duration::from_secs(10)).await;
    assert_eq!(tally.sent, tally.acknowledged + tally.repeats);
    assert!(tally.retried >= 3 && tally.refused == 0, "{tally:?}");
    let taken = door.0.lock().unwrap().1.clone();
    assert_eq!(taken.len() as u64, tally.sent);
    for path in ["/hooks/shop", "/hooks/payments", "/events"] {
        assert!(taken.iter().any(|taken| taken == path), "{path}");
    }
    assert!(story.try_recv().is_ok_and(|says| says.contains("opens")));
    assert!(story.try_recv().is_err(), "nothing is told before its time");
    stop.cancel();
}

#[tokio::test]
async fn deals_are_refused_while_strict_edited_deleted_and_mended() {
    let crm = Crm::default();
    let ask = |method: &str, path: &str, key: &str, body: &str, strict: bool| {
        let mut headers = hyper::HeaderMap::new();
        let bearer = format!("Bearer {}", secrets::CRM_TOKEN);
        headers.insert("authorization", bearer.parse().unwrap());
        headers.insert("idempotency-key", key.parse().unwrap());
        let call = Call {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            headers,
            body: body.to_owned().into(),
        };
        crm.answer(
            &call,
            &Faults {
                strict,
                ..Faults::default()
            },
        )
    };
    let deal = |email: &str| {
        format!(
            r#"{{"properties":{{"amount":"349.00","dealstage":"completed","customer_email":"{email}"}}}}"#
        )
    };
    let amounts = || {
        let listing: serde_json::Value =
            serde_json::from_str(&ask("GET", "/deals", "-", "", false).body).unwrap();
        let deals = listing["results"].as_array().unwrap().clone();
        deals
            .iter()
            .map(|deal| deal["properties"]["amount"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ask("PUT", "/deals/1042", "a", &deal(""), true).status, 422);
    assert_eq!(ask("PUT", "/deals/1042", "a", &deal(""), false).status, 200);
    assert_eq!(
        ask("PUT", "/deals/1043", "b", &deal("x@y.example"), true).status,
        200
    );
    crm.befall(script::Deed::EditDeal);
    assert_eq!(amounts(), ["349.00", "3490.00"]);
    crm.befall(script::Deed::DeleteDeal);
    assert_eq!(amounts(), ["3490.00"]);
    crm.befall(script::Deed::MendDeals);
    assert_eq!(amounts(), ["349.00", "349.00"]);
}
