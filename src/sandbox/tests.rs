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

fn ask(
    crm: &Crm,
    method: &str,
    target: &str,
    body: &str,
    strict: bool,
) -> (u16, serde_json::Value) {
    let mut headers = hyper::HeaderMap::new();
    let bearer = format!("Bearer {}", secrets::CRM_TOKEN);
    headers.insert("authorization", bearer.parse().unwrap());
    let url = reqwest::Url::parse(&format!("http://crm{target}")).unwrap();
    let call = Call {
        method: method.parse().unwrap(),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers,
        body: body.to_owned().into(),
    };
    let faults = Faults {
        strict,
        ..Faults::default()
    };
    let reply = crm.answer(&call, &faults);
    let body = serde_json::from_str(&reply.body).unwrap_or_default();
    (reply.status, body)
}

fn deal(number: u64, email: &str) -> String {
    format!(
        r#"{{"properties":{{"amount":"349.00","dealstage":"closedwon","woo_order_id":"{number}","customer_email":"{email}"}}}}"#
    )
}

#[test]
fn deals_are_refused_while_strict_edited_deleted_and_mended() {
    const DEALS: &str = "/crm/v3/objects/deals";
    let crm = Crm::default();
    let amounts = || {
        let (_, listing) = ask(&crm, "GET", "/reports/deals", "", false);
        let deals = listing["results"].as_array().unwrap().clone();
        let amount =
            |deal: &serde_json::Value| deal["properties"]["amount"].as_str().unwrap().to_owned();
        deals.iter().map(amount).collect::<Vec<_>>()
    };
    let create = |number, email, strict| ask(&crm, "POST", DEALS, &deal(number, email), strict).0;
    assert_eq!(create(1042, "", true), 422);
    assert_eq!(create(1042, "", false), 201);
    assert_eq!(create(1043, "x@y.example", true), 201);
    crm.befall(Deed::EditDeal);
    assert_eq!(amounts(), ["349.00", "3490.00"]);
    crm.befall(Deed::DeleteDeal);
    assert_eq!(amounts(), ["3490.00"]);
    crm.befall(Deed::MendDeals);
    assert_eq!(amounts(), ["349.00", "349.00"]);

    // What was mended otherwise before somebody came to it: neither there twice, nor as it was long ago.
    crm.befall(Deed::EditDeal);
    crm.befall(Deed::DeleteDeal);
    assert_eq!(create(1042, "", false), 201);
    let won = r#"{"properties":{"dealstage":"completed"}}"#;
    let (status, _) = ask(&crm, "PATCH", &format!("{DEALS}/9002"), won, false);
    assert_eq!(status, 200);
    crm.befall(Deed::MendDeals);
    assert_eq!((amounts().len(), crm.duplicates("deals")), (2, 0));
    let (_, deal) = crm.find("deals", "1043").unwrap();
    assert_eq!(
        (&deal["amount"], &deal["dealstage"]),
        (&"349.00".into(), &"completed".into())
    );
}

#[test]
fn the_crm_knows_each_record_once_and_says_which() {
    let crm = Crm::default();
    let contact = r#"{"properties":{"email":"Aase@Post.example","firstname":"Åse"}}"#;
    let (status, made) = ask(&crm, "POST", "/crm/v3/objects/contacts", contact, false);
    assert_eq!((status, &made["id"]), (201, &"101".into()));
    let (status, taken) = ask(&crm, "POST", "/crm/v3/objects/contacts", contact, false);
    assert_eq!(status, 409);
    assert_eq!(taken["message"], "Contact already exists. Existing ID: 101");
    let by =
        "/crm/v3/objects/contacts/aase%40post.example?idProperty=email&properties=firstname,city";
    let (status, found) = ask(&crm, "GET", by, "", false);
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["properties"]["firstname"], "Åse");
    assert!(found["properties"]["city"].is_null() && found["properties"].get("email").is_none());
    let absent = "/crm/v3/objects/deals/1042?idProperty=woo_order_id";
    assert_eq!(ask(&crm, "GET", absent, "", false).0, 404);

    let unknown = r#"{"properties":{"e_mail":"a@b.example"}}"#;
    assert_eq!(
        ask(&crm, "POST", "/crm/v3/objects/contacts", unknown, false).0,
        400
    );
    let (_, made) = ask(
        &crm,
        "POST",
        "/crm/v3/objects/deals",
        &deal(1042, "a@b.example"),
        false,
    );
    assert_eq!(made["id"], "9001");
    let twice = ask(
        &crm,
        "POST",
        "/crm/v3/objects/deals",
        &deal(1042, "a@b.example"),
        false,
    );
    assert_eq!(twice.0, 400);
    let join = "/crm/v4/objects/deals/9001/associations/default/contacts/";
    assert_eq!(ask(&crm, "PUT", &format!("{join}101"), "", false).0, 200);
    assert_eq!(ask(&crm, "PUT", &format!("{join}102"), "", false).0, 404);
    assert_eq!(crm.joined(), 1);
    assert_eq!((crm.len("contacts"), crm.duplicates("contacts")), (1, 0));
}
