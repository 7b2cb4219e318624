//! The action layer, the socket and its clients, over a real store and a real socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::action::{Action, Submission};
use super::wire::{Hello, PeerKind, SendOutcome, VERSION};
use super::worker::{Worker, WorkerOptions};
use super::*;
use crate::config::model::Config;
use crate::queue::filter::Filter;
use crate::store::view::{LogRow, Overview};

pub(super) const CONFIG: &str = r#"
[site]
name = "Nordlys Coffee"
database = "midwatch.db"

[ingest]
listen = "127.0.0.1:0"

[systems.shop]
[systems.crm]
url = "http://127.0.0.1:9"
private = true

[channels.slack.ops]
webhook = "env:MIDWATCH_TEST_NO_SUCH_SECRET"

[paths.crm]
route = "shop -> crm"
events = ["order.*"]
order_by = "data.n"
owner = "anna"
url = "/orders"
escalation = "slack:ops"

[paths.quiet]
route = "shop -> crm"
events = ["quiet.*"]
owner = "bo"
url = "/quiet"
"#;

/// A folder with a configuration, and a worker on it.
pub(super) struct Place {
    pub(super) folder: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("midwatch.toml"), CONFIG).unwrap();
        Self { folder }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("midwatch.toml")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("midwatch.db")
    }

    fn config(&self) -> Config {
        crate::config::load(&self.file()).unwrap().config
    }

    pub(super) async fn worker(&self) -> Worker {
        Worker::start(self.config(), WorkerOptions::default())
            .await
            .unwrap()
    }

    pub(super) async fn attach(&self, name: &str) -> Client {
        Client::reach(&self.database(), who(name, false))
            .await
            .unwrap()
            .unwrap()
    }

    pub(super) fn log(&self) -> Vec<LogRow> {
        let reader = crate::store::Reader::open(&self.database()).unwrap();
        reader.log(None, 100).unwrap()
    }

    pub(super) fn overview(&self) -> Overview {
        let reader = crate::store::Reader::open(&self.database()).unwrap();
        reader.overview().unwrap()
    }
}

fn who(name: &str, read_only: bool) -> Who {
    Who::new(Some(name.into()), PeerKind::Command, read_only, |_| None)
}

pub(super) fn submission(action: Action) -> Submission {
    Submission {
        id: submission_id().unwrap(),
        action,
        high_water: None,
        expected: None,
    }
}

fn pause(path: &str) -> Action {
    Action::Pause {
        path: path.into(),
        reason: "deploy".into(),
    }
}

fn event(id: &str) -> Box<RawValue> {
    let text = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"order.created","data":{{"n":1}}}}"#
    );
    RawValue::from_string(text).unwrap()
}

/// Waits for a condition on the client's link, with a deadline.
async fn linked(client: &Client, wanted: impl Fn(&Link) -> bool) -> Link {
    let mut link = client.link();
    let found = link.wait_for(|link| wanted(link));
    tokio::time::timeout(Duration::from_secs(10), found)
        .await
        .unwrap()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn an_action_over_the_socket_is_done_once_and_audited_with_uid_and_name() {
    let place = Place::new();
    let worker = place.worker().await;
    let anna = place.attach("anna").await;
    let pause = submission(pause("crm"));
    let first = anna.submit(pause.clone()).await.unwrap();
    let again = anna.submit(pause).await.unwrap();
    assert_eq!(first, again);
    let rows: Vec<LogRow> = (place.log().into_iter())
        .filter(|row| row.kind == "pause")
        .collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    let uid = rustix::process::getuid().as_raw();
    assert!(rows[0].actor.contains("anna") && rows[0].actor.contains(&uid.to_string()));
    assert!(rows[0].text.contains("deploy"));
    let paused = |overview: &Overview| {
        let row = overview.paths.iter().find(|row| row.name == "crm").unwrap();
        row.pause.clone()
    };
    assert!(paused(&place.overview()).unwrap().by_person);
    anna.submit(submission(Action::Resume { path: "crm".into() }))
        .await
        .unwrap();
    assert_eq!(paused(&place.overview()), None);
    worker.drain().await;
}

#[tokio::test]
async fn what_must_not_happen_is_refused_with_words() {
    let place = Place::new();
    let worker = place.worker().await;
    let client = place.attach("anna").await;
    let replay = |filter: &str, canary, pace| Action::Replay {
        filter: filter.parse().unwrap(),
        canary,
        pace,
        skip_risky: true,
        force: None,
    };
    let file = place.file();
    for (action, words) in [
        (replay("", 1, 1.0), "empty filter"),
        (replay("state:dead", 1001, 1.0), "canary"),
        (replay("path:cmr", 1, 1.0), "preview it first"),
        (replay("state:dead", 1, f64::NAN), "pace"),
        (replay("state:dead", 1, 0.0), "pace"),
        (replay("state:dead", 1, 1.0), "preview it first"),
        (
            Action::Cancel {
                filter: Filter::default(),
                reason: String::new(),
            },
            "empty filter",
        ),
        (pause("cmr"), "did you mean crm?"),
        (
            Action::Escalate {
                path: "quiet".into(),
                delivery: None,
                note: String::new(),
            },
            "nowhere to escalate",
        ),
        (Action::Reconcile { job: "x".into() }, "no reconciliation"),
        (Action::Backup { file }, "exists already"),
        (
            Action::Backup {
                file: "relative.db".into(),
            },
            "whole path",
        ),
    ] {
        let refused = client.submit(submission(action.clone())).await.unwrap_err();
        assert!(refused.text.contains(words), "{action:?}: {refused}");
    }
    let mut odd = submission(pause("crm"));
    odd.id = "1; drop table".into();
    assert!(client.submit(odd).await.is_err());
    worker.drain().await;
}

fn replay(filter: &str, canary: u32, skip_risky: bool) -> Action {
    Action::Replay {
        filter: filter.parse().unwrap(),
        canary,
        pace: 10.0,
        skip_risky,
        force: None,
    }
}

fn cancel(filter: &str) -> Action {
    Action::Cancel {
        filter: filter.parse().unwrap(),
        reason: String::new(),
    }
}

pub(super) async fn confirm(
    client: &Client,
    action: Action,
) -> Result<action::Done, action::Refused> {
    let preview = client.preview(action.clone()).await?;
    client.submit(pinned(action, &preview).unwrap()).await
}

#[tokio::test]
async fn one_delivery_is_replayed_without_a_canary_and_what_is_not_there_is_named() {
    let place = Place::new();
    let worker = place.worker().await;
    let client = place.attach("anna").await;
    client.submit(submission(pause("crm"))).await.unwrap();
    client.send(vec![event("1")]).await.unwrap();
    client.send(vec![event("2"), event("3")]).await.unwrap();
    let notes = client.preview(cancel("id:1-1")).await.unwrap().notes;
    assert_eq!(notes, ["2 wait behind it and will be sent"]);
    let notes = client.preview(cancel("id:1-1,2-1")).await.unwrap().notes;
    assert_eq!(notes, ["1 wait behind them and will be sent"]);
    let done = confirm(&client, cancel("id:1-1")).await.unwrap();
    assert_eq!(done.text, "cancelled 1: deliveries 1-1");
    for (action, words) in [
        (cancel("id:1-1"), "1-1 is cancelled already"),
        (
            replay("id:9999999-1", 0, true),
            "there is no delivery 9999999-1",
        ),
        (replay("path:cmr", 3, true), "did you mean crm?"),
        (cancel("path:cmr"), "did you mean crm?"),
    ] {
        let refused = client.preview(action).await.unwrap_err();
        assert!(refused.text.contains(words), "{refused}");
    }
    for canary in [0, 3] {
        let done = confirm(&client, replay("id:1-1", canary, true))
            .await
            .unwrap();
        let row = (worker.store().reader().unwrap())
            .batch(done.batch.unwrap())
            .unwrap()
            .unwrap();
        assert_eq!((row.canary, row.total), (0, 1));
    }
    worker.drain().await;
}

#[tokio::test]
async fn pausing_again_without_a_reason_keeps_the_one_that_is_known() {
    let place = Place::new();
    let worker = place.worker().await;
    let (anna, bo) = (place.attach("anna").await, place.attach("bo").await);
    let silent = Action::Pause {
        path: "crm".into(),
        reason: String::new(),
    };
    let stored = || {
        let row = place.overview().paths;
        let row = row.into_iter().find(|row| row.name == "crm");
        row.unwrap().pause.unwrap()
    };
    bo.submit(submission(silent.clone())).await.unwrap();
    let notes = anna.preview(silent.clone()).await.unwrap().notes;
    assert!(notes[1].ends_with("ago"), "{notes:?}");
    anna.submit(submission(pause("crm"))).await.unwrap();
    let first = stored();
    bo.submit(submission(silent)).await.unwrap();
    assert_eq!(stored(), first);
    assert!(first.reason == "deploy" && first.by.contains("anna"));
    worker.drain().await;
}

#[test]
fn who_acts_always_has_a_name() {
    let named = |name: Option<&str>, user: Option<&str>| {
        let user = user.map(str::to_owned);
        let variable = |asked: &str| user.clone().filter(|_| asked == "USER");
        Who::new(name.map(str::to_owned), PeerKind::Command, false, variable).name
    };
    assert_eq!(named(Some("anna"), Some("bo")), "anna");
    assert_eq!(named(Some(" "), Some("bo")), "bo");
    let account = named(None, Some(""));
    assert!(!account.is_empty() && account != "someone", "{account}");
    let nameless = action::Actor {
        uid: 7,
        name: "uid 7".into(),
        from: None,
    };
    assert_eq!(nameless.to_string(), "uid 7");
}

#[tokio::test]
async fn a_replay_goes_as_it_was_previewed_with_and_without_the_risky_ones() {
    let place = Place::new();
    let shop = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = shop.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = shop.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while matches!(stream.read(&mut head).await, Ok(1..)) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let text = CONFIG.replace("127.0.0.1:9\"", &format!("{address}\""));
    std::fs::write(place.file(), text).unwrap();
    let worker = place.worker().await;
    let client = place.attach("anna").await;
    client.send(vec![event("1")]).await.unwrap();
    let mut changes = client.changes();
    let delivered = async {
        while !(place.overview().paths.iter()).any(|path| path.counts.delivered == 1) {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), delivered)
        .await
        .unwrap();
    let skipping = client.preview(replay("id:1-1", 0, true)).await.unwrap();
    assert_eq!((skipping.count, skipping.matched()), (0, 1));
    let notes = skipping.notes.join("\n");
    assert!(
        notes.contains("1 were delivered: skipped unless") && notes.contains("nothing would go"),
        "{notes}"
    );
    let refused = confirm(&client, replay("id:1-1", 0, true)).await;
    let refused = refused.unwrap_err();
    assert!(refused.text.contains("all of them would be skipped"));
    let sending = client.preview(replay("id:1-1", 0, false)).await.unwrap();
    assert_eq!(sending.count, 1);
    assert_eq!(
        sending.notes,
        ["1 were delivered: sent again, under the same key"]
    );
    confirm(&client, replay("id:1-1", 0, false)).await.unwrap();
    worker.drain().await;
}

#[tokio::test]
async fn on_a_database_of_another_host_a_replay_is_refused_and_the_rest_says_that_it_is_held() {
    let place = Place::new();
    let first = place.worker().await;
    let client = place.attach("anna").await;
    client.submit(submission(pause("crm"))).await.unwrap();
    client.send(vec![event("1")]).await.unwrap();
    let file = place.folder.path().join("copy.db");
    let backup = Action::Backup { file };
    client.submit(submission(backup)).await.unwrap();
    first.drain().await;
    std::fs::write(
        place.file(),
        CONFIG.replace("\"midwatch.db\"", "\"copy.db\""),
    )
    .unwrap();
    let worker = place.worker().await;
    let client = worker.client();
    let resume = Action::Resume { path: "crm".into() };
    let done = client.submit(submission(resume)).await.unwrap();
    assert!(done.text.contains("held: this database belongs to"));
    let refused = confirm(&client, replay("id:1-1", 0, true)).await;
    let refused = refused.unwrap_err();
    assert!(
        refused.text.contains("`midwatch adopt-host` first"),
        "{refused}"
    );
    worker.drain().await;
}

#[tokio::test]
async fn a_read_only_client_sees_and_cannot_act_even_if_it_tries_by_hand() {
    let place = Place::new();
    let worker = place.worker().await;
    let client = Client::reach(&place.database(), who("eve", true))
        .await
        .unwrap()
        .unwrap();
    client.preview(pause("crm")).await.unwrap();
    assert!(client.submit(submission(pause("crm"))).await.is_err());
    assert!(client.send(vec![event("1")]).await.is_err());

    let stream = socket::connect(&place.database()).await.unwrap();
    let (read, mut write) = stream.into_split();
    let mut reader = wire::FrameReader::new(tokio::io::BufReader::new(read));
    wire::write_frame(&mut write, &hello(VERSION))
        .await
        .unwrap();
    let request = wire::ClientFrame::Request {
        id: 1,
        request: Box::new(wire::Request::Submit(submission(pause("crm")))),
    };
    wire::write_frame(&mut write, &request).await.unwrap();
    loop {
        let frame = reader.next::<wire::WorkerFrame>().await.unwrap().unwrap();
        if let wire::WorkerFrame::Answer { id: 1, result } = frame {
            assert!(result.unwrap_err().text.contains("read-only"));
            break;
        }
    }
    worker.drain().await;
}

fn hello(protocol: u32) -> wire::ClientFrame {
    wire::ClientFrame::Hello(Hello {
        protocol,
        version: "9.9.9".into(),
        name: "eve".into(),
        from: None,
        kind: PeerKind::Console,
        read_only: true,
    })
}

#[tokio::test]
async fn another_version_of_the_frames_is_refused_with_words() {
    let place = Place::new();
    let worker = place.worker().await;
    let stream = socket::connect(&place.database()).await.unwrap();
    let (read, mut write) = stream.into_split();
    let mut reader = wire::FrameReader::new(tokio::io::BufReader::new(read));
    wire::write_frame(&mut write, &hello(VERSION + 1))
        .await
        .unwrap();
    let answer = reader.next::<wire::WorkerFrame>().await.unwrap();
    let Some(wire::WorkerFrame::Refused(refused)) = answer else {
        panic!("{answer:?}");
    };
    assert!(refused.text.contains("same binary"), "{refused}");
    worker.drain().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_nobody_up() {
    let place = Place::new();
    let worker = place.worker().await;
    let mut deaf = socket::connect(&place.database()).await.unwrap();
    let mut frames = serde_json::to_vec(&hello(VERSION)).unwrap();
    frames.push(b'\n');
    deaf.write_all(&frames).await.unwrap();
    let client = place.attach("anna").await;
    let started = tokio::time::Instant::now();
    for n in 0..50 {
        let receipts = client.send(vec![event(&n.to_string())]).await.unwrap();
        assert_eq!(receipts[0].outcome, SendOutcome::Accepted);
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    let mut bytes = Vec::new();
    worker.drain().await;
    // It had a welcome and a few coalesced pushes waiting, not one for each of the fifty commits.
    deaf.read_to_end(&mut bytes).await.unwrap();
    let pushes = String::from_utf8(bytes).unwrap();
    assert!(pushes.matches("changed").count() < 50, "{pushes}");
}

#[tokio::test]
async fn sent_events_are_durable_known_again_and_bad_ones_refused_in_place() {
    let place = Place::new();
    let worker = place.worker().await;
    let client = worker.client();
    let junk = RawValue::from_string("{\"id\":1}".into()).unwrap();
    let receipts = client
        .send(vec![event("a"), junk, event("b"), event("a")])
        .await
        .unwrap();
    let outcomes: Vec<SendOutcome> = receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(
        outcomes,
        [
            SendOutcome::Accepted,
            SendOutcome::Refused,
            SendOutcome::Accepted,
            SendOutcome::Duplicate
        ]
    );
    assert_eq!(place.overview().events, 2);
    // The door's limit, in the door's words.
    let most = place.config().ingest.max_body;
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(most));
    let long = RawValue::from_string(long).unwrap();
    let receipts = client.send(vec![event("c"), long]).await.unwrap();
    assert_eq!(receipts[0].outcome, SendOutcome::Accepted);
    assert_eq!(
        receipts[1].reason.as_deref(),
        Some(crate::ingest::too_large(most).as_str())
    );
    worker.drain().await;
}

#[tokio::test]
async fn everyone_sees_who_else_is_here_and_what_they_do() {
    let place = Place::new();
    let worker = place.worker().await;
    let (anna, bo) = (place.attach("anna").await, place.attach("bo").await);
    let mut changes = bo.changes();
    anna.doing("reads the runbook");
    let seen = async {
        loop {
            let peers = bo.peers();
            if peers.len() == 1 && peers[0].doing == "reads the runbook" {
                return peers[0].clone();
            }
            changes.changed().await.unwrap();
        }
    };
    let peer = tokio::time::timeout(Duration::from_secs(10), seen)
        .await
        .unwrap();
    assert_eq!(peer.actor.name, "anna");
    drop(anna);
    let alone = async {
        while !bo.peers().is_empty() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), alone)
        .await
        .unwrap();
    worker.drain().await;
}

#[tokio::test]
async fn a_client_outlives_its_worker_and_finds_the_next_one() {
    let place = Place::new();
    let first = place.worker().await;
    let inside = first.client();
    let attached = place.attach("anna").await;
    assert!(inside.is_local() && !attached.is_local());
    first.drain().await;
    for client in [&inside, &attached] {
        linked(
            client,
            |link| matches!(link, Link::Away(why) if !why.is_empty()),
        )
        .await;
        let refused = client.submit(submission(pause("crm"))).await.unwrap_err();
        assert!(refused.text.contains("midwatch worker"), "{refused}");
    }
    assert!(!socket_of(&place.database()).exists());
    let second = place.worker().await;
    for client in [&inside, &attached] {
        linked(client, |link| matches!(link, Link::Attached(_))).await;
        client.submit(submission(pause("crm"))).await.unwrap();
    }
    second.drain().await;
}

#[tokio::test]
async fn a_second_worker_is_refused_and_a_drain_can_be_asked_for() {
    let place = Place::new();
    let worker = place.worker().await;
    let second = Worker::start(place.config(), WorkerOptions::default()).await;
    let error = second.unwrap_err().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    let client = place.attach("anna").await;
    client.submit(submission(Action::Drain)).await.unwrap();
    worker.drain_asked().await;
    worker.drain().await;
    assert_eq!(place.overview().worker.state, "stopped");
}

#[tokio::test]
async fn a_good_file_is_applied_and_a_bad_one_refused_while_the_old_goes_on() {
    let place = Place::new();
    let worker = place.worker().await;
    let client = place.attach("anna").await;
    std::fs::write(
        place.file(),
        CONFIG.replace("[paths.quiet]", "[paths.calm]"),
    )
    .unwrap();
    let preview = client.preview(Action::Reload).await.unwrap();
    assert_eq!(
        preview.notes[..2],
        ["path calm added", "path quiet removed"]
    );
    client.submit(submission(Action::Reload)).await.unwrap();
    assert!(worker.live().borrow().id("calm").is_some());

    let elsewhere = CONFIG.replace("127.0.0.1:0", "127.0.0.1:1");
    for (text, effect) in [
        (elsewhere.as_str(), "takes effect with the next worker"),
        (CONFIG, "again what the running worker has"),
        (
            &CONFIG.replace("[paths.quiet]", "[paths.calm]"),
            "path calm added",
        ),
    ] {
        std::fs::write(place.file(), text).unwrap();
        let notes = client.preview(Action::Reload).await.unwrap().notes;
        assert!(notes.iter().any(|note| note.contains(effect)), "{notes:?}");
        client.submit(submission(Action::Reload)).await.unwrap();
    }

    std::fs::write(place.file(), CONFIG.replace("owner", "onwer")).unwrap();
    let refused = client.submit(submission(Action::Reload)).await.unwrap_err();
    assert!(refused.text.contains("onwer"), "{refused}");
    assert!(worker.live().borrow().id("calm").is_some());
    client.submit(submission(pause("calm"))).await.unwrap();
    worker.drain().await;
}

#[tokio::test]
async fn an_escalation_says_what_a_colleague_must_know_and_cannot_mention_anyone() {
    let place = Place::new();
    let worker = place.worker().await;
    let client = place.attach("anna").await;
    client.submit(submission(pause("crm"))).await.unwrap();
    client
        .send(vec![event("<!channel>\u{202e}")])
        .await
        .unwrap();
    let id = "1-1".parse().unwrap();
    let escalate = Action::Escalate {
        path: "crm".into(),
        delivery: Some(id),
        note: "please <!here> call\nme".into(),
    };
    let preview = client.preview(escalate.clone()).await.unwrap();
    let text = preview.notes.join("\n");
    for part in [
        "[Nordlys Coffee note] crm (shop -> crm) needs help",
        "paused by anna",
        "Backlog: 1",
        "Owner: anna",
        "1-1",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\u{202e}'));
    let escalate = submission(escalate);
    let done = client.submit(escalate.clone()).await.unwrap();
    assert_eq!(client.submit(escalate).await.unwrap(), done);
    let reader = worker.store().reader().unwrap();
    let page = reader.delivery(done.delivery.unwrap()).unwrap().unwrap();
    assert_eq!(page.row.path, "page/slack:ops");
    assert_eq!(page.row.kind, ESCALATION);
    let channel = &place.config().channels["slack:ops"];
    let body = crate::page::body(&channel.kind, &page.data.unwrap());
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let sent = body["text"].as_str().unwrap();
    assert!(
        !sent.contains('<') && sent.contains("&lt;!here&gt;"),
        "{sent}"
    );
    assert!(sent.contains("Escalated by anna"), "{sent}");
    worker.drain().await;
}

#[tokio::test]
async fn without_a_worker_an_action_is_recorded_for_the_next_one() {
    let place = Place::new();
    let offline = Offline::open(place.config(), who("anna", false))
        .await
        .unwrap();
    let client = offline.client();
    client.submit(submission(pause("crm"))).await.unwrap();
    let receipts = client.send(vec![event("1")]).await.unwrap();
    assert_eq!(receipts[0].outcome, SendOutcome::Accepted);
    for only_with_worker in [Action::Reload, Action::Drain] {
        let refused = client
            .submit(submission(only_with_worker))
            .await
            .unwrap_err();
        assert!(refused.text.contains("no worker"), "{refused}");
    }
    let copy = place.folder.path().join("copy.db");
    client
        .submit(submission(Action::Backup { file: copy.clone() }))
        .await
        .unwrap();
    offline.close().await;
    assert_eq!(
        crate::store::Reader::open(&copy)
            .unwrap()
            .overview()
            .unwrap()
            .events,
        1
    );
    let worker = place.worker().await;
    let row = place
        .overview()
        .paths
        .into_iter()
        .find(|row| row.name == "crm")
        .unwrap();
    assert!(row.pause.is_some() && row.counts.backlog() == 1);
    worker.drain().await;
}

#[tokio::test]
async fn the_socket_is_private_and_works_at_the_end_of_a_very_long_path() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let deep = place.folder.path().join("x".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let text = CONFIG.replace(
        "database = \"midwatch.db\"",
        &format!("database = \"{}/midwatch.db\"", "x".repeat(120)),
    );
    std::fs::write(place.file(), text).unwrap();
    let worker = place.worker().await;
    let database = deep.join("midwatch.db");
    let client = Client::reach(&database, who("anna", false)).await.unwrap();
    assert!(client.is_some());
    let mode = |file: &Path| std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket_of(&database)), 0o600);
    worker.drain().await;
}

#[tokio::test]
async fn the_configured_group_may_read_and_act_and_nobody_else() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let own = rustix::process::getgid().as_raw();
    let table = std::fs::read_to_string("/etc/group").unwrap();
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(own)).then(|| name.to_owned())
    });
    // Where this user's group has no name there is none to configure.
    let Some(name) = name else { return };
    let place = Place::new();
    let text = CONFIG.replace("[site]", &format!("[site]\ngroup = \"{name}\""));
    std::fs::write(place.file(), text).unwrap();
    let worker = place.worker().await;
    for (suffix, mode) in [
        ("", 0o640),
        ("-wal", 0o640),
        ("-shm", 0o660),
        (".sock", 0o660),
    ] {
        let file = place.folder.path().join(format!("midwatch.db{suffix}"));
        let metadata = std::fs::metadata(&file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{suffix}");
        assert_eq!(metadata.gid(), own, "{suffix}");
    }
    worker.drain().await;
    std::fs::write(
        place.file(),
        CONFIG.replace("[site]", "[site]\ngroup = \"no-such-group\""),
    )
    .unwrap();
    let refused = Worker::start(place.config(), WorkerOptions::default()).await;
    assert!(refused.unwrap_err().to_string().contains("no-such-group"));
}
