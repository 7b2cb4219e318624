//! What may go wrong around a worker: the clock, the disk, huge answers, secrets, the end.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use midwatch::control::worker::{Worker, WorkerOptions};
use midwatch::store::Reader;
use midwatch::time::{Clock, Timestamp};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::{Value, json};

use crate::place::{
    Answer, BINARY, LOOK, PATIENCE, Place, Receiver, Running, event, keys, nowhere, post, size,
    states_of, until,
};

// --- The clock -----------------------------------------------------------------------------------------------------

/// Deliveries of the one path that are delivered, and that are not.
fn counts(place: &Place) -> (u64, u64) {
    let overview = Reader::open(&place.database()).unwrap().overview().unwrap();
    let counts = overview.paths[0].counts;
    (counts.delivered, counts.ready + counts.running)
}

/// Lets `seconds` pass on both clocks, the monotonic one at once, and then lets real things happen for a moment.
async fn pass(clock: &Clock, seconds: u64, mut enough: impl FnMut() -> bool) {
    let by = Duration::from_secs(seconds);
    clock.advance(by);
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
    let end = Instant::now() + Duration::from_secs(2);
    while !enough() && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}

/// A whole worker whose deliveries all wait for a retry in five seconds, and a reconciliation every hour, when the clock
/// steps. Nobody wakes it. Returns after how many seconds everything was delivered.
fn step_of_the_clock(step: i64) -> u64 {
    const DELIVERIES: usize = 40;
    const AT_ONCE: usize = 3;
    let receiver = Receiver::start(|_| Answer::status(500));
    let listings = Receiver::start(|_| Answer::status(200).body("[]"));
    let place = Place::new(
        &receiver,
        "",
        &format!(
            "schedule = [\"0\", \"5s\", \"5s\"]\njitter = 0.0\nconcurrency = {AT_ONCE}\nbreaker = {{ min = 1000 }}"
        ),
        &format!(
            r#"
[systems.ledger]
url = "http://{}"
private = true

[reconcile.orders]
first = {{ system = "ledger", list = "/left", key = "/id" }}
second = {{ system = "ledger", list = "/right", key = "/id" }}
fields.total = {{ first = "/total", second = "/total" }}
every = "1h"
owner = "anna"
"#,
            listings.address
        ),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clock = Clock::manual(Timestamp(1_790_000_000_000));
        let config = midwatch::config::load(&place.config()).unwrap().config;
        let options = WorkerOptions {
            clock: clock.clone(),
            ..WorkerOptions::default()
        };
        let worker = Worker::start(config, options).await.unwrap();
        let door = worker.addr();
        let posted = tokio::task::spawn_blocking(move || {
            for n in 0..DELIVERIES {
                let id = format!("e{n}");
                let answer = post(door, &event(&id, &json!({"id": id})), None).unwrap();
                assert_eq!(answer.status(), Some(202));
            }
        });
        tokio::time::timeout(PATIENCE, posted)
            .await
            .unwrap()
            .unwrap();
        let waiting = async {
            while receiver.count() < DELIVERIES
                || listings.count() < 2
                || counts(&place) != (0, DELIVERIES as u64)
                || worker.store().reader().unwrap().runs(None, 1).unwrap()[0]
                    .ended
                    .is_none()
            {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
        receiver.behave(|_| Answer::status(200).after(Duration::from_millis(2)));

        clock.set(Timestamp(clock.now().0 + step));
        let mut passed = 0;
        while counts(&place).0 < DELIVERIES as u64 {
            assert!(passed < 120, "stalled: {:?}", counts(&place));
            passed += 10;
            pass(&clock, 10, || counts(&place).0 == DELIVERIES as u64).await;
        }
        assert!(
            receiver.most_at_once() <= AT_ONCE,
            "{} at once",
            receiver.most_at_once()
        );
        assert_eq!(receiver.count(), 2 * DELIVERIES, "each twice, none thrice");
        assert_eq!(
            listings.count(),
            2,
            "an hour of the clock on the wall is no hour: the job has run once"
        );
        worker.drain().await;
        passed
    })
}

#[test]
fn a_clock_that_is_set_back_an_hour_stalls_nothing_for_a_minute() {
    let passed = step_of_the_clock(-3_600_000);
    assert!(passed <= 60, "{passed} s");
}

#[test]
fn a_clock_that_jumps_a_day_ahead_fires_nothing_all_at_once() {
    let passed = step_of_the_clock(24 * 3_600_000);
    assert!(passed <= 60, "{passed} s");
}

// --- The disk ------------------------------------------------------------------------------------------------------

/// Senders that go on until the door is shut, and remember what was acknowledged.
#[derive(Default)]
struct Senders {
    acknowledged: Mutex<HashSet<String>>,
    next: AtomicUsize,
    refused: AtomicBool,
}

impl Senders {
    /// Sends until refused; the refusal must say when to come again.
    fn send_until_refused(&self, worker: &Running) {
        while !self.refused.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            assert!(number < 20_000, "the disk does not fill");
            match self.send(worker, number) {
                202 => {}
                503 => self.refused.store(true, Ordering::SeqCst),
                other => panic!("{other}"),
            }
        }
    }

    fn send(&self, worker: &Running, number: usize) -> u16 {
        let id = format!("e{number}");
        let body = event(&id, &json!({"id": id, "filler": "x".repeat(30_000)}));
        let answer = post(worker.listening, &body, None).expect("an answer");
        let status = answer.status().unwrap();
        if status == 202 {
            self.acknowledged.lock().unwrap().insert(id);
        } else {
            assert!(
                answer.headers["retry-after"].parse::<u32>().unwrap() >= 1,
                "{:?}",
                answer.headers
            );
            let problem: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(problem["status"], 503, "{problem}");
        }
        status
    }
}

/// Senders fill what room there is; the door shuts; room comes back; everything goes on by itself.
fn full_disk(
    receiver: &Receiver,
    worker: &Running,
    now: impl Fn() -> HashMap<String, String>,
    room: impl FnOnce(),
) {
    let senders = Senders::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| senders.send_until_refused(worker));
        }
    });
    // It stays shut, or opens a little for what still fits; it never answers anything else.
    for _ in 0..10 {
        let number = senders.next.fetch_add(1, Ordering::SeqCst);
        let status = senders.send(worker, number);
        assert!(matches!(status, 202 | 503), "{status}");
    }
    room();
    let since = Instant::now();
    loop {
        let number = senders.next.fetch_add(1, Ordering::SeqCst);
        if senders.send(worker, number) == 202 {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "no recovery");
        std::thread::sleep(LOOK);
    }
    assert!(since.elapsed() < Duration::from_secs(10));
    let acknowledged = senders.acknowledged.lock().unwrap().clone();
    until("everything acknowledged is delivered", || {
        let states = now();
        acknowledged
            .iter()
            .all(|id| states.get(id).is_some_and(|state| state == "delivered"))
    });
    let keys = keys(&receiver.seen());
    for id in &acknowledged {
        assert_eq!(keys[id].len(), 1, "{id} was repeated under another key");
    }
    // What was refused may be sent again as it was, whether or not a trace of it was left.
    for number in 0..senders.next.load(Ordering::SeqCst) {
        assert_eq!(senders.send(worker, number), 202);
    }
    worker.signal(Signal::TERM);
}

const QUICK: &str = "schedule = [\"0\", \"100ms\", \"100ms\", \"100ms\", \"100ms\", \"100ms\"]";

#[test]
fn when_no_more_can_be_written_the_door_shuts_nothing_is_lost_and_it_heals() {
    let receiver = Receiver::ok();
    let place = Place::new(&receiver, "", QUICK, "");
    // Without the signal, a write beyond the limit fails with EFBIG, as on a disk that fails.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\" worker", BINARY])
        .args(place.arguments())
        .env_remove("NOTIFY_SOCKET");
    let worker = Running::start(command);
    let free = getrlimit(Resource::Fsize);
    let limit =
        size(&place.database()).max(size(&place.folder.path().join("data/midwatch.db-wal")));
    squeeze(worker.pid(), free, Some(limit + (1 << 20)));
    full_disk(
        &receiver,
        &worker,
        || place.states(),
        || squeeze(worker.pid(), free, None),
    );
    assert_eq!(worker.ended(), Some(0));
}

/// Limits, or no longer limits, how large a file the process may write.
fn squeeze(pid: Pid, free: Rlimit, limit: Option<u64>) {
    let limit = Rlimit {
        current: limit.or(free.current),
        maximum: free.maximum,
    };
    prlimit(Some(pid), Resource::Fsize, limit).unwrap();
}

/// A file system of 16 MiB that only the worker and its children see; none where users may not make one.
fn small_disk(place: &Place) -> Option<Command> {
    let script = "mount -t tmpfs -o size=16m tmpfs \"$0\" && exec \"$@\"";
    let small = |program: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "/bin/sh",
                "-c",
                script,
            ])
            .arg(place.folder.path().join("data"))
            .args(program)
            .env_remove("NOTIFY_SOCKET");
        command
    };
    let possible = small(&["true"]).output();
    possible
        .is_ok_and(|output| output.status.success())
        .then(|| small(&[BINARY]))
}

/// A command that sees the worker's file systems.
fn inside(worker: &Running) -> Command {
    let mut command = Command::new("nsenter");
    let target = worker.child.id().to_string();
    command
        .args(["--target", &target, "--user", "--mount"])
        .args(["--preserve-credentials", BINARY]);
    command
}

#[test]
fn on_a_disk_that_is_really_full_the_door_shuts_nothing_is_lost_and_it_heals() {
    let receiver = Receiver::ok();
    let place = Place::new(&receiver, "", QUICK, "[limits]\ndisk_reserve = \"1MiB\"");
    let Some(mut command) = small_disk(&place) else {
        println!("not possible here: users may not mount anything");
        return;
    };
    command.args(place.arguments()).arg("worker");
    let worker = Running::start(command);
    let data = PathBuf::from(format!(
        "/proc/{}/root{}",
        worker.child.id(),
        place.folder.path().join("data").display()
    ));
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();
    full_disk(
        &receiver,
        &worker,
        || states_of(inside(&worker).args(place.arguments())),
        || std::fs::remove_file(&ballast).unwrap(),
    );
    assert_eq!(worker.ended(), Some(0));
}

// --- Huge answers --------------------------------------------------------------------------------------------------

/// A number of KiB from the process's status.
fn memory(pid: Pid, name: &str) -> u64 {
    let status = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_answer_of_200_megabytes_is_not_taken_in() {
    let receiver = Receiver::ok();
    let place = Place::new(
        &receiver,
        "",
        "schedule = [\"0\", \"50ms\"]\nconcurrency = 4\nbreaker = { min = 1000, refused = 1000 }",
        "",
    );
    let worker = place.worker();
    let send = |name: &str, count: usize| {
        for n in 0..count {
            let id = format!("{name}{n}");
            let answer = post(worker.listening, &event(&id, &json!({"id": id})), None);
            assert_eq!(answer.unwrap().status(), Some(202));
        }
    };
    send("warm", 50);
    receiver.wait("warm", 50);
    until("all settled", || {
        place.states().values().all(|state| state == "delivered")
    });
    let before = memory(worker.pid(), "VmRSS");
    // As a gzip of zeros claims to be: it is neither unpacked nor read to its end.
    receiver.behave(|seen| {
        let status = if seen.body.contains("good") { 200 } else { 503 };
        Answer::status(status)
            .header("content-encoding", "gzip")
            .padding(200 << 20)
    });
    send("good", 8);
    send("bad", 8);
    until("all settled", || {
        let states = place.states();
        states.len() == 66
            && states.iter().all(|(id, state)| {
                state
                    == if id.starts_with("bad") {
                        "dead"
                    } else {
                        "delivered"
                    }
            })
    });
    let most = memory(worker.pid(), "VmHWM");
    assert!(
        most < before + (16 << 10),
        "{before} KiB before, {most} KiB at most"
    );
}

// --- Secrets -------------------------------------------------------------------------------------------------------

const CANARIES: [&str; 4] = [
    "canary-token-8f1d7c",
    "canary-crm-5ab2e0",
    "canary-hook-99c3f4",
    "canary-chat-d01e6b",
];

#[test]
fn secrets_are_in_no_file_and_on_no_screen_even_if_the_receiver_repeats_them() {
    // Frameworks in debug mode quote the whole request in their answers.
    let receiver = Receiver::start(|seen| {
        let quoted = format!("cannot POST {} with {:?}", seen.target, seen.headers);
        let status = if seen.body.contains("good") { 200 } else { 422 };
        Answer::status(status)
            .header(
                "x-request-id",
                seen.headers
                    .get("authorization")
                    .cloned()
                    .unwrap_or_default(),
            )
            .header("location", seen.target.clone())
            .body(quoted)
    });
    let place = Place::new(
        &receiver,
        "auth = { bearer = \"file:crm_token\" }",
        "escalation = \"slack:ops\"",
        &format!(
            r#"
[systems.payments]
hooks = {{ recipe = "hmac", secrets = ["env:MIDWATCH_TEST_HOOK"] }}

[channels.slack.ops]
webhook = "file:chat_url"
private = true

[systems.ledger]
url = "http://{}"
private = true
auth = {{ basic = ["env:MIDWATCH_TEST_HOOK", "file:crm_token"] }}

[paths.ledger]
route = "shop -> ledger"
events = ["order.*"]
owner = "anna"
url = "/entries"
"#,
            receiver.address
        ),
    );
    let text = std::fs::read_to_string(place.config()).unwrap();
    let text = text.replace("[ingest]", "[ingest]\ntoken = \"env:MIDWATCH_TEST_TOKEN\"");
    std::fs::write(place.config(), text).unwrap();
    place.secret("crm_token", CANARIES[1]);
    let chat = format!("http://{}/services/{}", receiver.address, CANARIES[3]);
    place.secret("chat_url", &chat);
    let mut command = place.command();
    command
        .arg("worker")
        .env("MIDWATCH_TEST_TOKEN", CANARIES[0])
        .env("MIDWATCH_TEST_HOOK", CANARIES[2])
        .env("MIDWATCH_LOG", "trace");
    let worker = Running::start(command);
    let mut said: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for token in [Some(CANARIES[0]), Some("wrong-canary-token"), None] {
        for id in ["good", "bad"] {
            let answer = post(worker.listening, &event(id, &json!({"id": id})), token).unwrap();
            assert_eq!(answer.status() == Some(202), token == Some(CANARIES[0]));
            said.push((PathBuf::from("answer"), answer.body));
        }
    }
    receiver.wait("all attempts", 4);
    until("settled", || {
        let overview = Reader::open(&place.database()).unwrap().overview().unwrap();
        overview.paths.iter().all(|path| path.counts.backlog() == 0)
    });
    // The chat refuses it, with its words.
    let output = place.run(&["escalate", "crm", "--yes", "--note", "look"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    said.push((PathBuf::from("escalate"), output.stdout));
    receiver.wait("the page", 5);
    assert!(
        receiver
            .seen()
            .iter()
            .any(|seen| seen.target.contains(CANARIES[3]))
    );
    assert!(receiver.seen().iter().any(|seen| {
        seen.headers.get("authorization") == Some(&format!("Bearer {}", CANARIES[1]))
    }));
    until("the page is settled", || {
        let rows = place.ok(&["deliveries", "--json", "type:midwatch.*"]);
        rows.contains("\"dead\"")
    });
    let rows = place.ok(&["deliveries", "--json"]);
    let ids: Vec<String> = rows
        .lines()
        .map(|row| {
            serde_json::from_str::<Value>(row).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 5);
    let mut commands = vec![
        vec!["deliveries"],
        vec!["deliveries", "--json"],
        vec!["tail", "--once", "-n", "1000"],
        vec!["tail", "--once", "-n", "1000", "--json"],
        vec!["check"],
        vec!["doctor"],
        vec!["doctor", "--json"],
        vec!["pause", "crm", "--reason", "test", "--json"],
    ];
    for id in &ids {
        commands.push(vec!["show", id]);
        commands.push(vec!["show", id, "--json"]);
    }
    for arguments in commands {
        let output = place.run(&arguments);
        let name = arguments.join(" ");
        said.push((PathBuf::from(&name), output.stdout));
        said.push((PathBuf::from(&name), output.stderr));
    }
    said.extend(place.written());
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(), Some(0));
    said.extend(place.written());
    let logged = said.iter().any(|(file, bytes)| {
        file.extension().is_some_and(|ending| ending == "log") && bytes.len() > 1000
    });
    assert!(logged, "there is a log to look into");
    let basic = base64_of(&format!("{}:{}", CANARIES[2], CANARIES[1]));
    for canary in CANARIES.iter().chain([&basic.as_str()]) {
        nowhere(canary, &said);
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

// --- The end -------------------------------------------------------------------------------------------------------

#[test]
fn told_to_stop_it_claims_nothing_more_within_100_ms_and_finishes_what_is_under_way() {
    // Where other tests keep the machine busy, a thread may not run for so long: one good round of three proves it.
    let late: Vec<Duration> = (0..3)
        .map(|_| stopped_after())
        .take_while(|late| *late > Duration::from_millis(100))
        .collect();
    assert!(late.len() < 3, "requests began {late:?} after SIGTERM");
}

/// Stops a worker with a backlog; returns how long after SIGTERM the last request began.
fn stopped_after() -> Duration {
    const BACKLOG: usize = 300;
    let receiver = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(30)));
    let place = Place::new(&receiver, "", "concurrency = 4", "");
    let worker = place.worker();
    let lines: Vec<String> = (0..BACKLOG)
        .map(|n| event(&format!("e{n}"), &json!({"id": format!("e{n}")})))
        .collect();
    let file = place.folder.path().join("events.ndjson");
    std::fs::write(&file, lines.join("\n")).unwrap();
    place.ok(&["send", file.to_str().unwrap()]);
    receiver.wait("it delivers", 12);
    let told = Instant::now();
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(30));
    let seen = receiver.seen();
    let states = place.states();
    let delivered = states
        .values()
        .filter(|state| *state == "delivered")
        .count();
    let ready = states.values().filter(|state| *state == "ready").count();
    assert_eq!(
        (delivered, ready),
        (seen.len(), BACKLOG - seen.len()),
        "what was under way is done, the rest is untouched"
    );
    seen.iter()
        .map(|seen| seen.at.saturating_duration_since(told))
        .max()
        .unwrap_or_default()
}
