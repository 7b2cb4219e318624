//! What a replay's preview says on mapped paths: what the receiver holds already, as it says itself, and what the source
//! may not write.

use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::action::{Action, Verdict};
use super::tests::Place;

const CONFIG: &str = r#"
[site]
name = "Nordlys Coffee"
database = "midwatch.db"

[ingest]
listen = "127.0.0.1:0"

[systems.shop]
private = true
[systems.shop.records.order]
events = ["order.*"]
id = "/id"
key = "/number"
fields.total = { at = "/total", type = "money" }
fields.status = "/status"

[systems.crm]
url = "http://ADDRESS"
private = true
[systems.crm.records.order]
events = ["deal.*"]
id = "/id"
key = "/number"
fields.total = { at = "/amount", type = "money" }
fields.status = "/stage"
lookup = { url = "/deals?number={{ key }}", items = true }
create = { method = "POST", url = "/deals" }
update = { method = "PATCH", url = "/deals/{{ id }}" }

[entities.order]
fields.total = { owner = "shop" }
fields.status = { owner = "crm" }

[paths.orders]
schedule = ["1h"]
route = "shop.order -> crm.order"
owner = "anna"

[paths.stages]
route = "crm -> shop"
events = ["deal.*"]
owner = "anna"
url = "http://ADDRESS/stages"
"#;

/// A CRM that holds order 1 with a total of 1.50 and answers lookups, one connection after the other.
async fn crm() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    let request = String::from_utf8_lossy(&bytes[..read]);
                    let held = if request.starts_with("GET /deals?number=1 ") {
                        r#"[{"id":"d1","number":"1","amount":"1.5","stage":"won"}]"#
                    } else {
                        "[]"
                    };
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{held}",
                        held.len()
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_replay_tells_what_the_receiver_holds_and_what_its_source_may_not_write() {
    let place = Place::new();
    let text = CONFIG.replace("ADDRESS", &crm().await.to_string());
    std::fs::write(place.file(), text).unwrap();
    let worker = place.worker().await;
    let client = place.attach("anna").await;
    // Nothing is attempted within the hour: what is looked at stands as it came.
    for (n, data, verdict) in [
        // It holds the same, however it is written.
        (
            1,
            r#"{"id":1,"number":"1","total":"1.50"}"#,
            Verdict::AlreadyApplied,
        ),
        // Another total, and an order that it does not have.
        (2, r#"{"id":1,"number":"1","total":"2.50"}"#, Verdict::Safe),
        (3, r#"{"id":3,"number":"3","total":"1.50"}"#, Verdict::Safe),
        // Only what the CRM owns: nothing of it is written, whatever it holds.
        (
            4,
            r#"{"id":1,"number":"1","status":"won"}"#,
            Verdict::NotOwner,
        ),
        (
            5,
            r#"{"id":5,"number":"5","status":"lost"}"#,
            Verdict::NotOwner,
        ),
    ] {
        let event = format!(
            r#"{{"specversion":"1.0","id":"{n}","source":"shop","type":"order.created","data":{data}}}"#
        );
        let receipts = client
            .send(vec![RawValue::from_string(event).unwrap()])
            .await
            .unwrap();
        let id = receipts[0].event.unwrap();
        let replay = Action::Replay {
            filter: format!("id:{id}-1").parse().unwrap(),
            canary: 0,
            pace: 10.0,
            skip_risky: true,
            force: None,
        };
        // Behind another of its key nothing is replayed: that one goes first.
        let preview = client.preview(replay).await.unwrap();
        assert_eq!(preview.verdicts, [(verdict, 1)], "{data}: {preview:?}");
        let cancel = Action::Cancel {
            filter: format!("id:{id}-1").parse().unwrap(),
            reason: String::new(),
        };
        super::tests::confirm(&client, cancel).await.unwrap();
    }
    worker.drain().await;
}
