//! What is not known for certain: outcomes that a restart forgets, writes that come late, one record under two keys, ids
//! that nobody told, and a worker that is killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use midwatch::queue::model::State;
use midwatch::store::Reader;
use midwatch::time::Clock;
use serde_json::{Value, json};

use crate::bed::{Answer, Bed, PATIENCE, Receiver};
use crate::crm::{Crm, Fault, Held, answer};
use crate::upsert::{DEALS, RECORDS, accept, config, config_of, order, reason, steps};

/// A CRM whose first write of that method comes to its end two seconds after it was sent, answered or not.
async fn late(method: &'static str) -> Crm {
    let held = Arc::new(std::sync::Mutex::new(Held::default()));
    let (inside, first) = (Arc::clone(&held), AtomicBool::new(true));
    let runtime = tokio::runtime::Handle::current();
    let receiver = Receiver::start(move |seen| {
        if seen.method == method && first.swap(false, Ordering::SeqCst) {
            let (inside, seen) = (Arc::clone(&inside), seen.clone());
            runtime.spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                answer(&mut inside.lock().expect("lock"), &seen);
            });
            return Answer::ok().after(Duration::from_secs(30));
        }
        answer(&mut inside.lock().expect("lock"), seen)
    })
    .await;
    Crm { receiver, held }
}

const HASTY: &str = "timeout = \"200ms\"\nschedule = [\"0\", \"0\", \"0\"]\norder_by = \"id\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_forget_that_a_create_may_be_under_way() {
    let crm = late("POST").await;
    let config = config(&crm, &format!("{DEALS}{HASTY}"));
    let bed = Bed::start(config.clone()).await;
    let first = accept(&bed, 1, "first", 0).await;
    bed.until("its outcome is not known", || {
        bed.detail(first).row.attempts == 1
    })
    .await;
    let bed = Bed::open(bed.end().await, config, Clock::System).await;
    // Nothing of this delivery's own says that it has to wait.
    let other = bed.accept("again", &order(1, "second", 1)).await;
    bed.until_state(other, State::Delivered).await;
    bed.until("the first ended", || bed.state(first).is_settled())
        .await;
    assert_eq!(crm.only("orders", "1")["name"], "second");
    assert_eq!(crm.seen("POST"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_comes_late_does_not_overwrite_a_newer_one() {
    let crm = late("PATCH").await;
    let bed = Bed::start(config(&crm, &format!("{DEALS}{HASTY}"))).await;
    let made = accept(&bed, 1, "made", 0).await;
    bed.until_state(made, State::Delivered).await;
    let older = accept(&bed, 1, "older", 1).await;
    bed.until("its outcome is not known", || {
        bed.detail(older).row.attempts == 1
    })
    .await;
    let newer = accept(&bed, 1, "newer", 2).await;
    bed.until_state(newer, State::Delivered).await;
    bed.until("the older ended", || bed.state(older).is_settled())
        .await;
    assert_eq!(crm.only("orders", "1")["name"], "newer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_whose_address_changes_while_it_is_made_is_made_once() {
    let crm = Crm::with(|seen| {
        (seen.method == "POST").then_some(Fault::Late(Duration::from_millis(300)))
    })
    .await;
    let paths = "[paths.contacts]\nroute = \"shop.contact -> crm.contact\"\nevents = [\"customer.*\"]\nconcurrency = 8\n";
    let bed = Bed::start(config(&crm, paths)).await;
    let event = |address: &str| {
        let data = json!({"id": 5, "email": address}).to_string();
        ("customer.updated", "c5".to_owned(), data)
    };
    bed.accept_all(&[event("kari@old.example"), event("kari@new.example")])
        .await;
    bed.until_delivered(2).await;
    assert_eq!((crm.count("contacts"), crm.seen("POST")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_must_not_be_shown_is_in_no_attempt() {
    let crm = Crm::start().await;
    let paths =
        "[paths.contacts]\nroute = \"shop.contact -> crm.contact\"\nevents = [\"customer.*\"]\n";
    let bed = Bed::start(config(&crm, paths)).await;
    let data = json!({"id": 5, "email": "kari.nordmann@post.example"}).to_string();
    let id = bed.accept_kind("customer.created", "c5", &data).await;
    bed.until_state(id, State::Delivered).await;
    let attempts = format!("{:?}", bed.detail(id).attempts);
    assert!(attempts.contains("/contacts?key=k"), "{attempts}");
    assert!(!attempts.contains("nordmann"), "{attempts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_of_one_record_there_become_one_and_two_records_go_to_a_person() {
    // It looks up without regard to what it is asked.
    let crm = Receiver::start(|seen| match seen.method.as_str() {
        "GET" => Answer::ok().body(r#"{"results": [{"id": "orders-1", "name": "x"}]}"#),
        _ => Answer::ok().body("{}"),
    })
    .await;
    let bed = Bed::start(config_of("", "", "", crm.address, DEALS)).await;
    let of = |key: &str, id: Value, minute: u32| {
        let modified = format!("2026-11-23T10:{minute:02}:00Z");
        json!({"id": id, "number": key, "name": key, "modified": modified}).to_string()
    };
    let newest = bed.accept("a", &of("A-1", json!(7001), 30)).await;
    bed.until_state(newest, State::Delivered).await;
    let older = bed.accept("b", &of("a-1", Value::Null, 10)).await;
    bed.until_state(older, State::Superseded).await;
    let other = bed.accept("c", &of("B-2", json!(7002), 40)).await;
    bed.until_state(other, State::Held).await;
    let why = reason(&bed, other);
    assert!(why.contains("orders-1") && why.contains("A-1"), "{why}");
    let written = crm.seen();
    let written = written.iter().filter(|seen| seen.method == "PATCH");
    assert_eq!(written.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_without_an_id_is_not_made_again_while_it_cannot_be_found() {
    let held = Arc::new(std::sync::Mutex::new(Held::default()));
    let (inside, asked) = (Arc::clone(&held), AtomicUsize::new(0));
    // It says nothing of what it makes, and finds it the fifth time it is asked.
    let receiver = Receiver::start(move |seen| {
        if seen.method == "GET" && asked.fetch_add(1, Ordering::SeqCst) < 4 {
            return Answer::ok().body("{\"results\": []}");
        }
        let answer = answer(&mut inside.lock().expect("lock"), seen);
        match seen.method.as_str() {
            "POST" => Answer::status(204),
            _ => answer,
        }
    })
    .await;
    let crm = Crm { receiver, held };
    let paths = format!("{DEALS}schedule = [\"0\", \"1ms\", \"1ms\", \"1ms\", \"1ms\"]\n");
    let bed = Bed::start(config(&crm, &paths)).await;
    let id = accept(&bed, 1, "x", 0).await;
    bed.until_state(id, State::Delivered).await;
    assert_eq!(crm.seen("POST"), 1, "{:?}", steps(&bed, id));
    crm.only("orders", "1");
    let known = bed.store.known("crm".into(), "order".into(), "1".into());
    assert_eq!(known.await.expect("read").id.as_deref(), Some("orders-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_no_float_holds_comes_through_as_it_is() {
    const ID: &str = "90071992547409931234567";
    let crm = Receiver::start(|seen| match seen.method.as_str() {
        "GET" => Answer::ok().body("{\"results\": []}"),
        _ => Answer::ok().body(&format!("{{\"id\": {ID}}}")),
    })
    .await;
    let bed = Bed::start(config_of("", "", "", crm.address, DEALS)).await;
    for (minute, count) in [(0, 1), (1, 2)] {
        accept(&bed, 1, "x", minute).await;
        bed.until_delivered(count).await;
    }
    let seen = crm.seen();
    let last = seen.last().expect("a request");
    assert_eq!(
        (last.method.as_str(), last.url.as_str()),
        ("PATCH", format!("/orders/{ID}").as_str())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_items_under_one_key_neither_is_lost_unseen() {
    let crm = Crm::start().await;
    let paths = "[paths.items]\nroute = \"shop.item -> crm.item\"\nevents = [\"order.*\"]\n";
    let text = RECORDS.replace(
        "fields.sku = \"/sku\"",
        "fields.sku = \"/sku\"\nfields.count = \"/count\"",
    );
    assert_ne!(text, RECORDS);
    let config = crate::upsert::config_with(&text, "", "", "", crm.receiver.address, paths);
    let bed = Bed::start(config).await;
    let lines = |second: u32| {
        json!({"id": 1, "number": "1", "lines": [{"sku": "a", "count": "1"}, {"sku": "a", "count": second.to_string()}]}).to_string()
    };
    let differ = bed.accept("1", &lines(2)).await;
    bed.until_state(differ, State::Held).await;
    assert!(
        reason(&bed, differ).contains("twice"),
        "{}",
        reason(&bed, differ)
    );
    assert_eq!(crm.count("items"), 0);
    let same = bed
        .accept(
            "2",
            &lines(1).replace("\"number\":\"1\"", "\"number\":\"2\""),
        )
        .await;
    bed.until_state(same, State::Delivered).await;
    assert_eq!(crm.seen("POST"), 1);
    let item = crm.only("items", "2-a");
    assert_eq!((&item["sku"], &item["count"]), (&json!("a"), &json!("1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_budget_does_not_keep_an_attempt_at_its_first_request_for_ever() {
    let crm = Crm::start().await;
    let paths = format!("{DEALS}timeout = \"200ms\"\n");
    let bed = Bed::start(config_of(
        "",
        "",
        "limit = \"1/1s\"",
        crm.receiver.address,
        &paths,
    ))
    .await;
    let id = accept(&bed, 1, "x", 0).await;
    bed.until_state(id, State::Delivered).await;
    assert_eq!(crm.seen("GET"), 1);
}

/// A worker process of this test; killed when dropped.
struct Process(Child);

impl Process {
    /// Starts it, and waits until it listens.
    fn start(folder: &std::path::Path) -> Self {
        let mut child = command(folder)
            .arg("worker")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("a line");
        assert!(line.contains("listening on"), "{line}");
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // `SIGKILL`: it has no time for a last word.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_midwatch"));
    command
        .arg("--config")
        .arg(folder.join("midwatch.toml"))
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_between_the_create_and_its_answer_makes_no_duplicate() {
    let dead = Arc::new(AtomicBool::new(false));
    let is_dead = Arc::clone(&dead);
    // It stores what it is sent, and answers nobody until the worker was killed.
    let crm = Crm::with(move |seen| {
        let hangs = seen.method == "POST" && !is_dead.load(Ordering::SeqCst);
        hangs.then_some(Fault::Late(PATIENCE))
    })
    .await;
    let folder = tempfile::tempdir().expect("folder");
    let text = format!(
        "[site]\nname = \"test\"\ndatabase = \"midwatch.db\"\n[ingest]\nlisten = \"127.0.0.1:0\"\n[defaults.path]\nowner = \"anna\"\n\
         [systems.shop]\n[systems.crm]\nurl = \"http://{}\"\nprivate = true\n{RECORDS}\n{DEALS}order_by = \"id\"\n",
        crm.receiver.address
    );
    std::fs::write(folder.path().join("midwatch.toml"), text).expect("written");
    let send = |id: u32, number: u64, minute: u32| {
        let data: Value = serde_json::from_str(&order(number, "x", minute)).expect("json");
        let event = json!({"specversion": "1.0", "id": id.to_string(), "source": "shop", "type": "order.created", "data": data});
        let file = folder.path().join("event.json");
        std::fs::write(&file, event.to_string()).expect("written");
        let sent = command(folder.path())
            .arg("send")
            .arg(&file)
            .output()
            .expect("sent");
        assert!(sent.status.success(), "{sent:?}");
    };
    let worker = Process::start(folder.path());
    send(1, 1, 0);
    send(2, 2, 0);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while crm.count("orders") < 2 {
        assert!(tokio::time::Instant::now() < deadline, "never made");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(worker);
    dead.store(true, Ordering::SeqCst);
    let _worker = Process::start(folder.path());
    // Neither what was under way, nor news of it by a delivery that never was.
    send(3, 1, 1);
    let reader = Reader::open(&folder.path().join("midwatch.db")).expect("reader");
    let delivered = || reader.overview().expect("read").paths[0].counts.delivered;
    while delivered() < 3 {
        assert!(tokio::time::Instant::now() < deadline, "never delivered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((crm.count("orders"), crm.seen("POST")), (2, 2));
}
