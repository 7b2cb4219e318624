//! The real binary as a process: start, act, drain, reload, take over, hang up, and die at any moment.
//!
//! Receivers are loopback servers of this test; it ends only processes that it started.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

#[path = "process/held.rs"]
mod held;

const BINARY: &str = env!("CARGO_BIN_EXE_midwatch");

/// No single thing may take longer than this.
const DEADLINE: Duration = Duration::from_secs(60);

/// One request as the receiver saw it.
#[derive(Debug, Clone)]
struct Seen {
    key: String,
    body: String,
}

/// A receiver on loopback that answers 200, at once or once it is let go.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    state: Arc<(Mutex<ReceiverState>, Condvar)>,
}

#[derive(Default)]
struct ReceiverState {
    seen: Vec<Seen>,
    under_way: usize,
    holding: bool,
    slow: Duration,
    /// What a request must carry as its bearer token; 401 otherwise.
    token: Option<String>,
    refused: usize,
    /// Answers by request target; any other request is answered without a body.
    answers: HashMap<String, String>,
    /// Targets that were asked for.
    asked: Vec<String>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        receiver
    }

    /// One connection, request after request; ends without a word when the sender dies.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut stream = stream;
        loop {
            let (headers, body) = read_message(&mut reader)?;
            let (lock, changed) = &*self.state;
            let mut state = lock.lock().unwrap();
            let let_in = state.token.as_ref().is_none_or(|token| {
                headers.get("authorization") == Some(&format!("Bearer {token}"))
            });
            if !let_in {
                state.refused += 1;
                changed.notify_all();
                drop(state);
                stream
                    .write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
                    .ok()?;
                continue;
            }
            state.seen.push(Seen {
                key: headers.get("idempotency-key").cloned().unwrap_or_default(),
                body: String::from_utf8(body).ok()?,
            });
            state.under_way += 1;
            changed.notify_all();
            while state.holding {
                state = changed.wait(state).unwrap();
            }
            let slow = state.slow;
            if !slow.is_zero() {
                // A receiver that takes its time: what is tested is a sender that dies meanwhile.
                state = changed.wait_timeout(state, slow).unwrap().0;
            }
            state.under_way -= 1;
            let line = headers.get("").cloned().unwrap_or_default();
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = state.answers.get(&target).cloned().unwrap_or_default();
            state.asked.push(target);
            changed.notify_all();
            drop(state);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(answer.as_bytes()).ok()?;
        }
    }

    fn set(&self, change: impl FnOnce(&mut ReceiverState)) {
        let (lock, changed) = &*self.state;
        change(&mut lock.lock().unwrap());
        changed.notify_all();
    }

    /// Waits until the receiver's state satisfies `wanted`.
    fn wait(&self, what: &str, wanted: impl Fn(&ReceiverState) -> bool) {
        assert!(self.wait_for(DEADLINE, wanted), "not in time: {what}");
    }

    fn wait_for(&self, limit: Duration, wanted: impl Fn(&ReceiverState) -> bool) -> bool {
        let (lock, changed) = &*self.state;
        let state = lock.lock().unwrap();
        let (_state, timeout) = changed
            .wait_timeout_while(state, limit, |state| !wanted(state))
            .unwrap();
        !timeout.timed_out()
    }

    fn seen(&self) -> Vec<Seen> {
        self.state.0.lock().unwrap().seen.clone()
    }
}

/// Reads the head and the body of one HTTP/1.1 message with a content-length.
fn read_message(reader: &mut impl BufRead) -> Option<(HashMap<String, String>, Vec<u8>)> {
    let mut headers = HashMap::new();
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    headers.insert(String::new(), line.trim_end().to_owned());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(Ok(0), |text| text.parse());
    let mut body = vec![0; length.ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

/// A folder with a configuration whose one path leads to a receiver.
struct Place {
    folder: tempfile::TempDir,
    receiver: Receiver,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            receiver: Receiver::start(),
        };
        place.configure("");
        place
    }

    fn configure(&self, more: &str) {
        let text = format!(
            r#"
[site]
name = "Nordlys Coffee"
database = "midwatch.db"

[ingest]
listen = "127.0.0.1:0"

[systems.shop]
[systems.crm]
url = "http://{}"
private = true

[paths.crm]
route = "shop -> crm"
events = ["order.*"]
owner = "anna"
url = "/orders"
schedule = ["0", "100ms", "100ms", "100ms", "100ms", "100ms", "100ms", "100ms"]
{more}
"#,
            self.receiver.address
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("midwatch.toml")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("--config")
            .arg(self.config())
            .args(["--as", "anna"])
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and returns what it says.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must be refused, and returns its complaint.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a command with this on its standard input.
    fn fed(&self, input: &str, arguments: &[&str]) -> Output {
        let mut child = (self.command().args(arguments))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Changes the configuration's text.
    fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    /// Every file below the folder that holds `text`, except `but`.
    fn files_with(&self, text: &str, but: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path != but && path.is_file() {
                    let bytes = std::fs::read(&path).unwrap();
                    if bytes
                        .windows(text.len())
                        .any(|part| part == text.as_bytes())
                    {
                        found.push(path);
                    }
                }
            }
        }
        found
    }

    /// Sends `count` events whose ids begin with `name`.
    fn send(&self, name: &str, count: usize) -> String {
        let file = self.folder.path().join("events.ndjson");
        let lines: Vec<String> = (0..count).map(|n| event(&format!("{name}{n}"))).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        self.ok(&["send", file.to_str().unwrap()])
    }

    fn worker(&self, arguments: &[&str]) -> Running {
        let mut command = self.command();
        command.arg("worker").args(arguments);
        Running::start(command)
    }

    fn worker_row(&self) -> midwatch::store::view::WorkerRow {
        let database = self.folder.path().join("midwatch.db");
        let reader = midwatch::store::Reader::open(&database).unwrap();
        reader.worker().unwrap()
    }

    fn worker_state(&self) -> String {
        self.worker_row().state
    }

    fn worker_pid(&self) -> Pid {
        Pid::from_raw(self.worker_row().pid.cast_signed()).unwrap()
    }

    fn delivered(&self, count: usize) {
        self.receiver.wait("deliveries", |state| {
            state.seen.len() >= count && state.under_way == 0
        });
    }
}

fn event(id: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"order.created","data":{{"id":"{id}"}}}}"#
    )
}

/// A worker process of this test; killed when dropped.
struct Running {
    child: Child,
    listening: SocketAddr,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let listening = line
            .split("listening on ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .and_then(|address| address.parse().ok());
        let Some(listening) = listening else {
            let mut complaint = String::new();
            let mut errors = child.stderr.take().unwrap();
            errors.read_to_string(&mut complaint).unwrap();
            panic!("no worker: {line} {complaint}");
        };
        Self { child, listening }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    fn ended(mut self) -> Option<i32> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::yield_now();
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Repeats a question until its answer is yes.
fn until(what: &str, mut yes: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !yes() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_worker_takes_events_in_delivers_them_and_finishes_what_is_under_way_when_told_to_stop() {
    let place = Place::new();
    let worker = place.worker(&[]);
    assert!(place.send("a", 20).contains("20 accepted of 20"));
    place.delivered(20);
    assert!(place.send("a", 20).contains("20 known already"));

    place.receiver.set(|state| state.holding = true);
    place.send("b", 1);
    place
        .receiver
        .wait("the last one is under way", |state| state.under_way == 1);
    worker.signal(Signal::TERM);
    until("draining", || place.worker_state() == "draining");
    place.receiver.set(|state| state.holding = false);
    assert_eq!(worker.ended(), Some(0));
    let rows = place.ok(&["deliveries", "--json", "state:delivered"]);
    assert_eq!(rows.lines().count(), 21);
    assert_eq!(place.receiver.seen().len(), 21);
}

#[test]
fn a_second_worker_is_refused_with_words_and_may_take_over() {
    let place = Place::new();
    let first = place.worker(&[]);
    let complaint = place.refused(&["worker"]);
    for word in [&first.pid().to_string(), "--take-over"] {
        assert!(complaint.contains(word), "{complaint}");
    }
    let second = place.worker(&["--take-over"]);
    assert_eq!(first.ended(), Some(0));
    place.send("a", 3);
    place.delivered(3);
    let log = place.ok(&["tail", "--once", "-n", "50"]);
    assert!(log.contains("asked to stop"), "{log}");
    second.signal(Signal::TERM);
    assert_eq!(second.ended(), Some(0));
}

#[test]
fn commands_act_through_the_worker_and_without_one_for_the_next() {
    let place = Place::new();
    let worker = place.worker(&[]);
    place.ok(&["pause", "crm", "--reason", "deploy"]);
    place.send("a", 3);
    let waiting = place.ok(&["deliveries", "state:ready"]);
    assert_eq!(waiting.lines().count(), 3, "{waiting}");
    assert!(place.receiver.seen().is_empty());
    place.ok(&["resume", "crm"]);
    place.delivered(3);
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(), Some(0));

    place.send("b", 2);
    let complaint = place.refused(&["reload"]);
    assert!(complaint.contains("no worker"), "{complaint}");
    let shown = place.ok(&["replay", "--filter", "state:delivered", "--dry-run"]);
    assert!(shown.contains("3 were delivered: skipped"), "{shown}");
    let risky = ["replay", "--filter", "state:delivered", "--include-risky"];
    let shown = place.ok(&[&risky[..], &["--dry-run"]].concat());
    assert!(shown.contains("3 concerned"), "{shown}");
    let complaint = place.refused(&["replay", "--filter", "state:delivered", "--yes"]);
    assert!(complaint.contains("would be skipped"), "{complaint}");
    let complaint = place.refused(&risky);
    assert!(complaint.contains("--yes"), "{complaint}");
    let _worker = place.worker(&[]);
    place.delivered(5);
    // The receiver has them all; the last may not be settled yet.
    until("five settled", || {
        place
            .ok(&[&risky[..], &["--dry-run"]].concat())
            .contains("5 concerned")
    });
    let replay = place.ok(&[
        "replay",
        "--filter",
        "state:delivered",
        "--include-risky",
        "--yes",
        "--pace",
        "100",
        "--json",
    ]);
    let report: Value = serde_json::from_str(&replay).unwrap();
    assert_eq!(
        (&report["delivered"], &report["state"]),
        (&5.into(), &"done".into())
    );
    place.delivered(10);
    let mut keys: HashMap<String, HashSet<String>> = HashMap::new();
    for seen in place.receiver.seen() {
        keys.entry(seen.body).or_default().insert(seen.key);
    }
    assert!(keys.len() == 5 && keys.values().all(|keys| keys.len() == 1));
}

#[test]
fn a_configuration_file_that_is_gone_stops_nobody_who_looks() {
    let place = Place::new();
    let _worker = place.worker(&[]);
    std::fs::remove_file(place.folder.path().join("midwatch.toml")).unwrap();
    let output = place.run(&["status", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the worker last applied"), "{said}");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hash = status["overview"]["config"].as_str().unwrap();
    assert!(hash.len() == 16 && u64::from_str_radix(hash, 16).is_ok());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let _worker = place.worker(&[]);
    for args in [&["completions", "bash"][..], &["status"], &["deliveries"]] {
        let mut child = Command::new(BINARY)
            .args(args)
            .current_dir(place.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn a_good_file_is_applied_and_a_bad_one_refused_while_deliveries_go_on() {
    let place = Place::new();
    let worker = place.worker(&[]);
    place.configure("timeout = \"5s\"\n[paths.new]\nroute = \"shop -> crm\"\nevents = [\"x\"]\nurl = \"/x\"\nowner = \"bo\"");
    let said = place.ok(&["reload"]);
    assert!(
        said.contains("path new added") && said.contains("path crm changed"),
        "{said}"
    );
    let good = std::fs::read_to_string(place.config()).unwrap();
    std::fs::write(place.config(), good.replace("events", "evnts")).unwrap();
    worker.signal(Signal::HUP);
    let mut log = String::new();
    until("the refusal is logged", || {
        log = place.ok(&["tail", "--once"]);
        log.contains("the old one goes on")
    });
    assert!(log.contains("evnts"), "{log}");
    let complaint = place.refused(&["reload"]);
    assert!(
        complaint.contains("evnts") && complaint.contains("goes on"),
        "{complaint}"
    );
    // Operators go on, too: their commands use the configuration in force.
    place.ok(&["pause", "crm"]);
    place.ok(&["resume", "crm"]);
    place.send("a", 2);
    place.delivered(2);
}

#[test]
fn status_and_doctor_say_by_exit_code_how_things_stand() {
    let place = Place::new();
    let code = |arguments: &[&str]| place.run(arguments).status.code();
    assert_eq!(code(&["status"]), Some(3), "there is nothing to read yet");
    let worker = place.worker(&[]);
    place.send("a", 1);
    place.delivered(1);
    until("well", || code(&["status"]) == Some(0));
    assert_eq!(
        code(&["doctor", "--json"]),
        Some(1),
        "the configuration has warnings"
    );
    place.ok(&["pause", "crm"]);
    place.send("b", 1);
    let shown: Value = serde_json::from_slice(&place.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(shown["severity"], "warning");
    assert_eq!(shown["overview"]["events"], 2);
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(), Some(0));
    assert_eq!(code(&["status"]), Some(2), "nobody delivers");
    assert_eq!(code(&["doctor"]), Some(2));
    place.ok(&["resume", "crm"]);
    let worker = place.worker(&[]);
    until("well again", || code(&["status"]) == Some(0));
    worker.kill();
    assert_eq!(code(&["status"]), Some(2), "known at once");
    assert_eq!(code(&["stauts"]), Some(2));
}

#[test]
fn an_escalation_goes_to_the_paths_channel_and_says_that_it_arrived() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let secret = place.folder.path().join("slack");
    std::fs::write(&secret, format!("http://{}/hook", place.receiver.address)).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    place.configure("escalation = \"slack:ops\"\n[channels.slack.ops]\nwebhook = \"file:slack\"\nprivate = true");
    let _worker = place.worker(&[]);
    let said = place.ok(&[
        "escalate",
        "crm",
        "--note",
        "please look",
        "--yes",
        "--json",
    ]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["state"], "delivered");
    let seen = place.receiver.seen();
    let body: Value = serde_json::from_str(&seen[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(
        text.contains("Note: please look") && text.contains("Owner: anna"),
        "{text}"
    );
}

#[test]
fn a_restored_copy_takes_events_in_and_delivers_nothing_until_it_is_adopted() {
    let place = Place::new();
    place.send("a", 2);
    let copy = place.folder.path().join("copy.db");
    place.ok(&["backup", copy.to_str().unwrap()]);
    let complaint = place.refused(&["backup", copy.to_str().unwrap()]);
    assert!(complaint.contains("exists already"), "{complaint}");

    let elsewhere = Place::new();
    std::fs::copy(&copy, elsewhere.folder.path().join("midwatch.db")).unwrap();
    let worker = elsewhere.worker(&[]);
    elsewhere.send("b", 1);
    let complaint = elsewhere.refused(&["adopt-host"]);
    assert!(complaint.contains("--yes"), "{complaint}");
    assert!(elsewhere.receiver.seen().is_empty());
    let shown = elsewhere.ok(&["adopt-host", "--dry-run"]);
    assert!(shown.contains("crm: 3 wait"), "{shown}");
    elsewhere.ok(&["adopt-host", "--yes"]);
    elsewhere.delivered(3);
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(), Some(0));
    let _worker = elsewhere.worker(&[]);
    elsewhere.send("c", 1);
    elsewhere.delivered(4);
}

#[test]
fn a_secret_is_tried_before_it_is_saved_and_is_found_nowhere_else() {
    use std::os::unix::fs::PermissionsExt as _;
    const OLD: &str = "old-canary-71c9";
    const WRONG: &str = "wrong-canary-88ab";
    const NEW: &str = "new-canary-4f2e";
    let place = Place::new();
    let file = place.folder.path().join("token");
    std::fs::write(&file, OLD).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    place.edit(
        "private = true",
        "private = true\nauth = { bearer = \"file:token\" }\nprobe = \"/me\"",
    );
    // The vendor has another one by now: the path is shut out, and pauses.
    place
        .receiver
        .set(|state| state.token = Some(NEW.to_owned()));
    let mut command = place.command();
    command.arg("worker").env("MIDWATCH_LOG", "trace");
    let worker = Running::start(command);
    place.send("a", 2);
    until("the path is paused", || {
        let shown = place.run(&["status", "--json"]).stdout;
        String::from_utf8_lossy(&shown).contains("does not let us in")
    });

    let replace = ["secret", "replace", "crm"];
    let shown = place.ok(&["secret", "replace", "crm", "--dry-run"]);
    for part in [
        "the bearer token",
        "tried first",
        "crm is paused because of it",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    let mut said = String::new();
    for (input, words) in [
        (format!("{WRONG}\n"), "does not take it (401)"),
        ("\n".to_owned(), "nothing was typed"),
        (format!("{NEW}\u{7}\n"), "control character"),
    ] {
        let output = place.fed(&input, &replace);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains(words), "{complaint}");
        said += &complaint;
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), OLD);

    let output = place.fed(&format!("{NEW}\n"), &replace);
    assert!(output.status.success(), "{output:?}");
    let done = String::from_utf8(output.stdout).unwrap();
    assert!(done.contains("resumed: crm"), "{done}");
    said += &done;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{NEW}\n"));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place.receiver.wait("what waited is delivered", |state| {
        state
            .seen
            .iter()
            .filter(|seen| !seen.key.is_empty())
            .count()
            == 2
    });
    // What is not right can be saved by force: the vendor may learn of it later.
    let output = place.fed(
        &format!("{WRONG}\n"),
        &[&replace[..], &["--force"]].concat(),
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("{WRONG}\n")
    );
    said += &place.ok(&["secret", "list"]);
    said += &place.ok(&["tail", "--once", "-n", "100"]);
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(), Some(0));

    for secret in [OLD, WRONG, NEW] {
        assert!(!said.contains(secret), "{said}");
        // Database, its write-ahead log, the log files, what was tried and left behind.
        assert_eq!(
            place.files_with(secret, &file),
            [] as [PathBuf; 0],
            "{secret}"
        );
    }
}

#[test]
fn a_login_lets_the_path_go_on_and_the_log_says_who_did_it() {
    use std::os::unix::fs::PermissionsExt as _;
    const ACCESS: &str = "access-canary-3b7d";
    let place = Place::new();
    let file = place.folder.path().join("client");
    std::fs::write(&file, "midwatch").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let at = place.receiver.address;
    place.edit(
        "private = true",
        &format!(
            "private = true\n[systems.crm.auth.oauth2]\ngrant = \"authorization_code\"\nauthorize_url = \"http://{at}/authorize\"\n\
             token_url = \"http://{at}/token\"\nclient_id = \"file:client\"\nredirect = \"http://127.0.0.1:8765/\""
        ),
    );
    place.receiver.set(|state| {
        let tokens = format!(
            r#"{{"access_token":"{ACCESS}","token_type":"bearer","expires_in":3600,"refresh_token":"r"}}"#
        );
        state.answers.insert("/token".to_owned(), tokens);
    });
    let login = ["login", "crm", "--paste"];
    let logged_in = || {
        let output = place.fed("c0de\n", &login);
        assert!(output.status.success(), "{output:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(!complaint.contains("the log"), "{complaint}");
    };
    let worker = place.worker(&[]);
    place.send("a", 1);
    until("the path is paused", || {
        let shown = place.run(&["status", "--json"]).stdout;
        String::from_utf8_lossy(&shown).contains("run `midwatch login crm`")
    });
    logged_in();
    place.receiver.wait("what waited is delivered", |state| {
        state.asked.iter().any(|target| target == "/orders")
    });
    worker.signal(Signal::TERM);
    worker.ended();
    // Without a worker too.
    logged_in();
    let log = place.ok(&["tail", "--once", "-n", "50"]);
    assert_eq!(log.matches("logged in to crm").count(), 3, "{log}");
    assert_eq!(
        log.matches("logged in to crm; resumed: crm").count(),
        1,
        "{log}"
    );
    assert!(log.contains("anna") && !log.contains("canary"), "{log}");
}

#[test]
fn a_secret_typed_on_a_terminal_is_not_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    const TYPED: &str = "typed-canary-19d3";
    let place = Place::new();
    let file = place.folder.path().join("token");
    std::fs::write(&file, "old").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    place.edit(
        "private = true",
        "private = true\nauth = { bearer = \"file:token\" }\nprobe = \"/me\"",
    );
    let mut console = Console::open(&place, &["secret", "replace", "crm"]);
    let screen = console.watch();
    let shows = |text: &str| screen.lock().unwrap().screen().contents().contains(text);
    until("it asks for the secret", || shows("new secret"));
    console.press(&format!("{TYPED}\r"));
    until("it asks whether to", || shows("Try it and save it?"));
    console.press("y\r");
    until("it ends", || !console.is_running());
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("{TYPED}\n")
    );
    assert!(!shows(TYPED) && !shows("canary"));
}

#[test]
fn a_path_goes_live_once_and_says_what_it_will_send() {
    let place = Place::new();
    place.configure("mode = \"shadow\"");
    let shown = place.ok(&["golive", "crm", "--dry-run"]);
    for part in [
        "crm begins to send to crm",
        "0 were shadowed in the last 24 h",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    let complaint = place.refused(&["golive", "crm"]);
    assert!(complaint.contains("--yes"), "{complaint}");
    let complaint = place.refused(&["golive", "cmr", "--yes"]);
    assert!(complaint.contains("did you mean crm?"), "{complaint}");
    let worker = place.worker(&[]);
    let said = place.ok(&["golive", "crm", "--yes"]);
    assert!(said.contains("crm is live"), "{said}");
    let complaint = place.refused(&["golive", "crm", "--yes"]);
    assert!(complaint.contains("has been live for"), "{complaint}");
    let log = place.ok(&["tail", "--once", "-n", "50"]);
    assert_eq!(log.matches("is live: it sends to crm").count(), 1, "{log}");
    place.send("a", 2);
    place.delivered(2);
    // A restart does not put it back into the shadow.
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(), Some(0));
    let _worker = place.worker(&[]);
    place.send("b", 1);
    place.delivered(3);
    place.configure("");
    place.ok(&["reload"]);
    let complaint = place.refused(&["golive", "crm", "--yes"]);
    assert!(complaint.contains("does not say mode"), "{complaint}");
}

/// Two systems with orders, both at the receiver, in pages of two.
fn two_shops(orders: usize) -> Place {
    let place = Place::new();
    let text = format!(
        r#"
[site]
name = "Nordlys Coffee"
[ingest]
listen = "127.0.0.1:0"
[systems.shop]
url = "http://{0}/shop"
private = true
[systems.shop.records.order]
events = ["order.*"]
id = "/id"
key = "/number"
fields.total = {{ at = "/total", type = "money" }}
fields.email = {{ at = "/email", sensitive = true }}
list = {{ url = "/orders?size=2", paging = {{ page = "page", first = 1, size = 2 }} }}
[systems.crm]
url = "http://{0}/crm"
private = true
[systems.crm.records.order]
id = "/id"
key = "/number"
fields.total = {{ at = "/amount", type = "money" }}
fields.email = {{ at = "/mail" }}
list = {{ url = "/deals?size=2", paging = {{ page = "page", first = 1, size = 2 }} }}
lookup = {{ url = "/deals?number={{{{ key }}}}", items = true }}
create = {{ method = "POST", url = "/deals" }}
update = {{ method = "PATCH", url = "/deals/{{{{ id }}}}" }}
[paths.orders]
route = "shop.order -> crm.order"
owner = "anna"
mode = "shadow"
"#,
        place.receiver.address
    );
    std::fs::write(place.config(), text).unwrap();
    let page = |all: Vec<String>, at: usize| {
        let of: Vec<String> = all.into_iter().skip(at * 2).take(2).collect();
        format!("[{}]", of.join(","))
    };
    place.receiver.set(|state| {
        for at in 0..=orders / 2 {
            let shop = (0..orders).map(|n| {
                format!(r#"{{"id":{n},"number":"{n}","total":"{n}.50","email":"a{n}@secret.example"}}"#)
            });
            // The third differs, the last is not there.
            let crm = (0..orders - 1).map(|n| {
                let amount = if n == 2 { "9.99".to_owned() } else { format!("{n}.5") };
                format!(r#"{{"id":"d{n}","number":"{n}","amount":"{amount}","mail":"a{n}@secret.example"}}"#)
            });
            let key = |base: &str| format!("{base}?size=2&page={}", at + 1);
            state.answers.insert(key("/shop/orders"), page(shop.collect(), at));
            state.answers.insert(key("/crm/deals"), page(crm.collect(), at));
        }
    });
    place
}

#[test]
fn a_trial_shows_the_request_and_the_difference_and_writes_nothing() {
    let place = two_shops(3);
    place.receiver.set(|state| {
        let held = r#"[{"id":"d1","number":"1","amount":"9.00","mail":"old@secret.example"}]"#;
        state
            .answers
            .insert("/crm/deals?number=1".to_owned(), held.to_owned());
        state
            .answers
            .insert("/crm/deals?number=8".to_owned(), "[]".to_owned());
    });
    let order = |n: u32| {
        format!(
            r#"{{"specversion":"1.0","id":"e{n}","source":"shop","type":"order.created","data":{{"id":{n},"number":"{n}","total":"1.50","email":"new@secret.example"}}}}"#
        )
    };
    let run = |n: u32| {
        let output = place.fed(&order(n), &["try", "orders", "-"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = run(1);
    for part in [
        "would update order 1 in crm (d1)",
        "~ total: 9 -> 1.5",
        "~ email: (hidden) -> (hidden)",
        "PATCH http",
        "nothing was written",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("secret.example"), "{shown}");
    let _worker = place.worker(&[]);
    let shown = run(8);
    assert!(
        shown.contains("would create order 8 in crm") && shown.contains("POST http"),
        "{shown}"
    );
    let file = place.folder.path().join("one");
    std::fs::write(&file, order(1)).unwrap();
    place.ok(&["send", file.to_str().unwrap()]);
    let stored = place.ok(&["try", "orders", "--last", "5", "--json", "--sensitive"]);
    let stored: Value = serde_json::from_str(&stored).unwrap();
    assert!(
        stored["plan"][0]["request"]["body"]
            .as_str()
            .unwrap()
            .contains("new@secret.example")
    );
    let asked = place.receiver.state.0.lock().unwrap().asked.clone();
    assert!(
        asked
            .iter()
            .all(|target| target.starts_with("/crm/deals?number=")),
        "{asked:?}"
    );
}

#[test]
fn a_sensitive_key_is_masked_in_reports_and_trials_and_ids_stand_for_it() {
    let place = two_shops(7);
    place.edit(
        "key = \"/number\"\nfields.total = { at = \"/total\"",
        "key = \"/email\"\nfields.total = { at = \"/total\"",
    );
    place.edit("key = \"/number\"", "key = \"/mail\"");
    let report = place.ok(&["adopt", "order", "--yes", "--json"]);
    assert!(report.contains("a…@secret.example (id 6)"), "{report}");
    assert!(!report.contains("a6@secret"), "{report}");
    let shown = place.ok(&["adopt", "order", "--dry-run"]);
    assert!(
        shown.contains("a…@secret.example (id 2) total (2.5"),
        "{shown}"
    );

    // One event that cannot be carried over does not hide the next.
    place.receiver.set(|state| {
        (state.answers).insert(
            "/crm/deals?number=new%40secret.example".to_owned(),
            "[]".to_owned(),
        );
    });
    let file = place.folder.path().join("events");
    let order = |id: &str, total: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"order.created","data":{{"id":8,"number":"8","total":"{total}","email":"new@secret.example"}}}}"#
        )
    };
    std::fs::write(
        &file,
        [order("good", "1.50"), order("bad", "much")].join("\n"),
    )
    .unwrap();
    place.ok(&["send", file.to_str().unwrap()]);
    let tried = place.run(&["try", "orders", "--last", "2"]);
    assert_eq!(tried.status.code(), Some(1), "{tried:?}");
    let tried = String::from_utf8(tried.stdout).unwrap();
    assert!(tried.contains("bad\n  cannot be tried: "), "{tried}");
    assert!(
        tried.contains("would create order n…@secret.example in crm"),
        "{tried}"
    );
    assert!(
        !tried.contains("new@secret") && !tried.contains("new%40secret"),
        "{tried}"
    );

    let id = place.ok(&["deliveries", "--json", "-n", "1"]);
    let id: Value = serde_json::from_str(id.lines().next().unwrap()).unwrap();
    let id = id["id"].as_str().unwrap().to_owned();
    let story = ["story", "order", "new@secret.example"];
    for words in [&["deliveries"][..], &["show", &id], &story] {
        for more in [&[][..], &["--json"]] {
            let shown = place.ok(&[words, more].concat());
            assert!(
                !shown.contains("new@secret") && !shown.contains("new%40secret"),
                "{words:?}: {shown}"
            );
        }
    }
    let shown = place.ok(&["show", &id]);
    assert!(shown.contains("\"email\":\"(hidden)\""), "{shown}");
    assert!(
        place
            .ok(&["show", &id, "--reveal"])
            .contains("new@secret.example")
    );
    assert!(
        place
            .ok(&story)
            .contains("order n…@secret.example, known since")
    );
    let unknown = place.refused(&["story", "order", "secret"]);
    assert!(!unknown.contains("new@secret"), "{unknown}");
}

#[test]
fn an_adoption_goes_on_after_a_kill_and_done_twice_changes_nothing() {
    let place = two_shops(7);
    let worker = place.worker(&[]);
    let shown = place.ok(&["adopt", "order", "--dry-run"]);
    for part in [
        "not kept",
        "7 in shop, 6 in crm; 6 match",
        "1 are not in crm: 6",
        "2 total (2.5",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("secret.example"), "{shown}");
    place.refused(&["story", "order", "1"]);

    // Held at the third page of the shop, the worker dies.
    let before = place.receiver.state.0.lock().unwrap().asked.len();
    place
        .receiver
        .set(|state| state.slow = Duration::from_millis(200));
    let mut child = (place.command().args(["adopt", "order", "--yes"]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    place.receiver.wait("two pages", |state| {
        state.asked.len() >= before + 2 && state.under_way == 1
    });
    worker.kill();
    child.wait().unwrap();
    place.receiver.set(|state| state.slow = Duration::ZERO);

    let _worker = place.worker(&[]);
    let from = place.receiver.state.0.lock().unwrap().asked.len();
    let first = place.ok(&["adopt", "order", "--yes", "--json"]);
    let asked = place.receiver.state.0.lock().unwrap().asked[from..].to_vec();
    assert!(
        !asked.contains(&"/shop/orders?size=2&page=1".to_owned()),
        "{asked:?}"
    );
    let report = |text: &str| serde_json::from_str::<Value>(text).unwrap()["report"].clone();
    let first = report(&first);
    assert_eq!(
        (&first["matched"], &first["missing"][0]["count"]),
        (&6.into(), &1.into())
    );
    let story = place.ok(&["story", "order", "1", "--json"]);
    let told: Value = serde_json::from_str(&story).unwrap();
    let crm = &told["systems"]["crm"];
    assert_eq!((&crm["id"], &crm["adopted"]), (&"d1".into(), &true.into()));
    assert_eq!(crm["fields"]["total"]["agreed"], "1.5");
    assert!(!story.contains("secret.example"), "{story}");

    let again = report(&place.ok(&[
        "adopt", "order", "--from", "shop", "--to", "crm", "--yes", "--json",
    ]));
    assert_eq!(again, first);
    let lines = |story: &str| serde_json::from_str::<Value>(story).unwrap()["lines"].clone();
    assert_eq!(
        lines(&place.ok(&["story", "order", "1", "--json"])),
        lines(&story)
    );
    assert!(place.files_with("secret.example", Path::new("")).is_empty());
    for arguments in [
        &["adopt", "ordr"][..],
        &["adopt", "order", "--from", "shop", "--to", "shop"],
    ] {
        let complaint = place.refused(&[arguments, &["--yes"]].concat());
        assert!(
            complaint.contains("say which") || complaint.contains("the same system"),
            "{complaint}"
        );
    }
}

#[test]
fn a_contract_is_checked_compared_and_held_against_what_is_stored() {
    let place = Place::new();
    place.edit(
        "[systems.shop]\n",
        "[systems.shop]\n[systems.shop.records.order]\nevents = [\"order.*\"]\nkey = \"/email\"\n\
         fields.email = { at = \"/email\", sensitive = true }\nfields.total = \"/total\"\n",
    );
    let file = place.folder.path().join("events");
    let order = |id: usize| {
        // Every hundredth is the shop's old kind.
        let total = if id.is_multiple_of(100) {
            "\"1.50\""
        } else {
            "1.5"
        };
        format!(
            r#"{{"specversion":"1.0","id":"o{id}","source":"shop","type":"order.created","data":{{"email":"kari{id}@secret.example","total":{total}}}}}"#
        )
    };
    let events: Vec<String> = (1..=700).map(order).collect();
    std::fs::write(&file, events.join("\n")).unwrap();
    place.ok(&["send", file.to_str().unwrap()]);
    let schema = |name: &str, text: &str| {
        let file = place.folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let one = schema("contracts/order.created/1.json", r#"{"type":"object"}"#);
    let two = schema(
        "contracts/order.created/2.json",
        r#"{"type":"object","properties":{"total":{"type":"number"},"email":{"maxLength":1}}}"#,
    );
    let three = schema(
        "3.json",
        r#"{"type":"object","properties":{"total":{"type":"number"}}}"#,
    );
    let stored = ["--type", "order.created", "--against-stored"];
    let with = |first: &[&str], last: &[&str]| place.run(&[first, &stored, last].concat());

    // What is stored is looked at in pages, told without what is sensitive, and the code says whether all of it passes.
    let output = with(&["contracts", "check", &three], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.starts_with("order.created: 7 of 700 would fail\n"),
        "{told}"
    );
    assert!(
        told.contains(" from shop, order k…@secret.example\n    /total  type: "),
        "{told}"
    );
    assert!(told.ends_with("and 2 more\n"), "{told}");
    let output = with(&["contracts", "check", &two], &["--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["events"], &json["would_fail"]),
        (&700.into(), &700.into())
    );
    assert_eq!(json["first"].as_array().unwrap().len(), 5);
    assert_eq!(
        json["first"][0]["keys"][0],
        serde_json::json!(["order", "k…@secret.example"])
    );
    assert!(!json.to_string().contains("kari"), "{json}");
    assert_eq!(
        with(&["contracts", "check", &one], &[]).status.code(),
        Some(0)
    );
    assert_eq!(
        with(&["contracts", "check", "none.json"], &[])
            .status
            .code(),
        Some(2)
    );
    let output = with(
        &["contracts", "diff", &one, &three],
        &["--json", "--mode", "FORWARD"],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["compatible"], &json["stored"]["would_fail"]),
        (&true.into(), &7.into())
    );

    // Versions that do not fit are refused at load, unless a cast leads from one to the other.
    place.configure("[contracts.\"order.created\"]\nversions = [\"1\", \"2\"]\n");
    let listed = place.ok(&["contracts", "list"]);
    assert!(
        listed.contains("1, 2*") && listed.contains("700"),
        "{listed}"
    );
    let output = place.run(&["contracts", "check"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = place.run(&["check"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("version 2 of order.created does not read all that 1 writes"),
        "{told}"
    );
    place.edit("versions = [", "casts.\"1 -> 2\" = \"{}\"\nversions = [");
    let told = place.ok(&["contracts", "check", "order.created"]);
    assert!(told.contains("the cast 1 -> 2 makes it readable"), "{told}");
    place.ok(&["check"]);
}

#[test]
fn who_owns_a_field_and_why_it_holds_what_it_holds_is_told() {
    let place = two_shops(4);
    assert!(place.ok(&["ownership"]).contains("no entity is declared"));
    let complaint = place.refused(&["ownership", "order"]);
    assert!(complaint.contains("none is declared"), "{complaint}");
    place.edit(
        "[paths.orders]",
        "[entities.order]\nfields.total = { owner = \"shop\", compare = \"money\" }\n\
         fields.email = { owner = \"shop\", writers = [\"crm:create_only\"], sensitive = true }\n[paths.orders]",
    );
    let table = place.ok(&["ownership", "order"]);
    let line = |field: &str| {
        let mut lines = table.lines().filter(|line| line.contains(field));
        lines.next().unwrap_or_default().to_owned()
    };
    for (field, parts) in [
        ("order.total", ["shop", "money", "written by orders"]),
        (
            "order.email (sensitive)",
            ["crm:create_only", "owner", "written by orders"],
        ),
    ] {
        assert!(
            parts.iter().all(|part| line(field).contains(part)),
            "{table}"
        );
    }
    let rows = place.ok(&["ownership", "--json"]);
    let row: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&row["field"], &row["sensitive"]),
        (&"email".into(), &true.into())
    );

    let _worker = place.worker(&[]);
    place.ok(&["adopt", "order", "--yes"]);
    let told = place.ok(&["ownership", "explain", "order", "1", "total"]);
    for part in [
        "shop owns it",
        "crm and shop hold the same",
        "agreed 1.5",
        "nowhere yet",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = place.ok(&["ownership", "explain", "order", "1", "email", "--json"]);
    let json: Value = serde_json::from_str(&told).unwrap();
    let crm = &json["systems"][0];
    assert_eq!(
        (&crm["system"], &crm["role"]),
        (&"crm".into(), &"create_only".into())
    );
    let kept = crm["agreed"]["value"].as_str().unwrap();
    assert!(
        kept.starts_with('#') && !told.contains("secret.example"),
        "{told}"
    );
    assert_eq!(json["agree"], true);
    for (arguments, words) in [
        (["order", "1", "colour"], "nothing is known of colour"),
        (["order", "77", "total"], "no order 77 is known"),
    ] {
        let complaint = place.refused(&[&["ownership", "explain"], &arguments[..]].concat());
        assert!(complaint.contains(words), "{complaint}");
    }
}

#[test]
fn a_conflict_is_listed_shown_and_decided_once() {
    use midwatch::record::ledger::{About, Dispute, Learned};
    use midwatch::record::value::Value as Told;
    let place = two_shops(1);
    place.ok(&["pause", "orders"]);
    let dispute = |field: &str, ours: &str, theirs: &str| Dispute {
        field: field.to_owned(),
        source: "shop".to_owned(),
        sensitive: field == "email",
        ours: (Told::Text(ours.to_owned()), None),
        theirs: Some((Told::Text(theirs.to_owned()), None)),
        base: None,
        reason: "both changed it".to_owned(),
    };
    let learned = Learned {
        system: "crm".to_owned(),
        about: About {
            kind: "order".to_owned(),
            key: "1".to_owned(),
        },
        disputes: vec![
            dispute("total", "1.50", "9.00"),
            dispute("email", "new@secret.example", "old@secret.example"),
        ],
        ..Learned::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = midwatch::store::Options {
            clock: midwatch::time::Clock::System,
            disk_reserve: 0,
            dedupe: DEADLINE,
        };
        let file = place.folder.path().join("midwatch.db");
        let store = midwatch::store::Store::open(&file, options).unwrap();
        store.learn(learned).await.unwrap();
        store.close().await;
    });
    let listed = place.ok(&["review"]) + &place.ok(&["review", "list", "--json"]);
    assert!(
        listed.contains("shop: \"1.50\"") && listed.contains("both changed it"),
        "{listed}"
    );
    assert!(!listed.contains("secret.example"), "{listed}");
    let shown: Value = serde_json::from_str(&place.ok(&["review", "show", "1", "--json"])).unwrap();
    assert_eq!(
        (&shown["field"], &shown["decided"]),
        (&"total".into(), &Value::Null)
    );
    let complaint = place.refused(&["review", "decide", "1", "--value", "soon", "--yes"]);
    assert!(complaint.contains("total"), "{complaint}");
    let seen = place.ok(&["review", "decide", "2", "ours", "--dry-run"]);
    assert!(
        seen.contains("it is written to crm") && !seen.contains("secret.example"),
        "{seen}"
    );
    let done = place.ok(&["review", "decide", "1", "theirs", "--yes"]);
    assert!(done.contains("crm's value stands"), "{done}");
    let complaint = place.refused(&["review", "decide", "1", "ours", "--yes"]);
    assert!(
        complaint.contains("was decided already by anna"),
        "{complaint}"
    );
    let listed = place.ok(&["review", "--all"]);
    assert!(
        listed.contains("anna (uid") && listed.contains("took crm's"),
        "{listed}"
    );
}

#[test]
fn a_path_that_was_taken_out_of_the_configuration_is_said_to_be_gone() {
    let place = Place::new();
    place.ok(&["pause", "crm"]);
    place.send("a", 2);
    place.edit("[paths.crm]", "[paths.other]");
    for action in ["pause", "resume", "golive", "escalate"] {
        let complaint = place.refused(&[action, "crm"]);
        assert!(
            complaint.contains("crm was removed from the configuration; 2 wait"),
            "{complaint}"
        );
    }
}

#[test]
fn systemd_hears_that_it_is_ready_that_it_lives_and_that_it_stops() {
    let place = Place::new();
    let path = place.folder.path().join("notify");
    let systemd = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(DEADLINE)).unwrap();
    let hear = || {
        let mut buffer = [0; 64];
        let length = systemd.recv(&mut buffer).unwrap();
        (
            String::from_utf8(buffer[..length].to_vec()).unwrap(),
            Instant::now(),
        )
    };
    let interval = Duration::from_millis(400);
    let mut command = place.command();
    command
        .arg("worker")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", interval.as_micros().to_string());
    let begun = Instant::now();
    let worker = Running::start(command);
    assert_eq!(hear().0, "READY=1");
    let mut last = begun;
    for _ in 0..4 {
        let (said, at) = hear();
        assert_eq!(said, "WATCHDOG=1");
        last = at;
    }
    // A timer is never early: four halves are two intervals at least.
    assert!(last - begun >= interval * 2, "{:?}", last - begun);
    assert!(worker.pid() > 0);
    worker.signal(Signal::TERM);
    let mut said = hear().0;
    while said == "WATCHDOG=1" {
        said = hear().0;
    }
    assert_eq!(said, "STOPPING=1");
    assert_eq!(worker.ended(), Some(0));
}

#[test]
fn a_signature_is_verified_and_a_bad_one_explained_without_its_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let keep = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    // GitHub's published example.
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    keep("secret", "It's a Secret to Everybody\n");
    keep("old", "an older one\n");
    keep("body", "Hello, World!");
    keep("edited", "Hello, World!\n");
    keep(
        "request",
        &format!(
            "POST /hooks/code HTTP/1.1\r\nHost: a\r\nX-Hub-Signature-256: {signature}\r\n\r\nHello, World!"
        ),
    );
    keep(
        "midwatch.toml",
        "[systems.code]\nhooks = { recipe = \"github\", secrets = [\"file:old\", \"file:secret\"] }\n",
    );
    let verify = |words: &[&str]| {
        let output = Command::new(BINARY)
            .current_dir(folder.path())
            .arg("verify")
            .args(words)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(!format!("{out}{err}").contains("Everybody"), "{out}{err}");
        (output.status.code().unwrap(), out, err)
    };
    let header = format!("X-Hub-Signature-256: {signature}");
    let github = ["--recipe", "github", "--secret", "file:secret"];

    let (code, out, _) = verify(&[&github[..], &["-H", &header, "body"]].concat());
    assert_eq!(
        (code, out.as_str()),
        (0, "valid: the signature is good, made with file:secret\n")
    );
    let (code, out, _) = verify(&["--system", "code", "request", "--explain"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("secret     file:old: does not match"), "{out}");
    assert!(out.contains("secret     file:secret: matches"), "{out}");
    assert!(out.contains("base       13 bytes: Hello, World!"), "{out}");

    let (code, out, _) = verify(&[&github[..], &["-H", &header, "edited", "--explain"]].concat());
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("file:secret would match with the newline at the body's end removed"),
        "{out}"
    );
    let (code, out, _) = verify(&[&github[..], &["-H", &header, "edited", "--json"]].concat());
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["valid"]), (1, &false.into()));
    assert_eq!(told["secrets"][0]["reference"], "file:secret");

    for (words, complaint) in [
        (&["--recipe", "github", "body"][..], "--secret file:PATH"),
        (
            &["--recipe", "github", "--secret", "Everybody!", "body"],
            "must not stand on a command line",
        ),
        (
            &["--recipe", "github", "--secret", "file:none", "body"],
            "cannot be read",
        ),
        (
            &["--recipe", "square", "--secret", "file:secret", "body"],
            "--url",
        ),
        (&["--system", "none", "body"], "no system called none"),
        (&["--system", "code", "none"], "cannot read none"),
    ] {
        let (code, _, err) = verify(words);
        assert!(
            code == 2 && err.contains(complaint),
            "{words:?}: {code} {err}"
        );
    }
}

/// Passes a listening socket as systemd does: as descriptor 3, with LISTEN_FDS.
fn activated(place: &Place, listener: &TcpListener) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args([
            "-c",
            "exec 3<&0 </dev/null; LISTEN_FDS=1 exec \"$0\" --config \"$1\" worker",
        ])
        .arg(BINARY)
        .arg(place.config())
        .env_remove("LISTEN_PID")
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    command
}

/// Posts one event and waits for its acknowledgement; none if the connection broke first.
fn post(address: SocketAddr, id: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let body = event(id);
    write!(
        stream,
        "POST /events HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/cloudevents+json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let (headers, _) = read_message(&mut BufReader::new(stream))?;
    let status = headers.get("")?.split(' ').nth(1)?.parse().ok()?;
    Some(status)
}

/// Senders that post without pause, and repeat what was not acknowledged.
struct Load {
    stop: AtomicBool,
    asking: AtomicUsize,
    acknowledged: Mutex<HashSet<String>>,
}

impl Load {
    fn run(&self, address: SocketAddr, name: usize) {
        for n in 0.. {
            let id = format!("{name}-{n}");
            loop {
                self.asking.fetch_add(1, Ordering::SeqCst);
                let status = post(address, &id);
                self.asking.fetch_sub(1, Ordering::SeqCst);
                match status {
                    Some(200..=299) => break,
                    // Cut off, or shedding load: the sender repeats, as senders do.
                    None | Some(429 | 503) => {}
                    Some(other) => panic!("{id}: {other}"),
                }
            }
            self.acknowledged.lock().unwrap().insert(id);
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

#[test]
fn killed_fifty_times_under_load_it_loses_nothing_and_repeats_under_the_same_key() {
    const KILLS: usize = 50;
    let place = Place::new();
    place
        .receiver
        .set(|state| state.slow = Duration::from_millis(2));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let load = Load {
        stop: AtomicBool::new(false),
        asking: AtomicUsize::new(0),
        acknowledged: Mutex::default(),
    };
    let last = std::thread::scope(|scope| {
        let load = &load;
        for name in 0..4 {
            scope.spawn(move || load.run(address, name));
        }
        for kill in 0..KILLS {
            let worker = Running::start(activated(&place, &listener));
            assert_eq!(worker.listening, address);
            let (acknowledged, seen) = (load.count(), place.receiver.seen().len());
            if kill % 2 == 0 {
                // In the middle of taking events in.
                until("events go in", || {
                    load.count() > acknowledged + kill % 7 && load.asking.load(Ordering::SeqCst) > 0
                });
            } else {
                // In the middle of a POST.
                place.receiver.wait("events go out", |state| {
                    state.seen.len() > seen + kill % 5 && state.under_way > 0
                });
            }
            worker.kill();
        }
        let last = Running::start(activated(&place, &listener));
        load.stop.store(true, Ordering::SeqCst);
        last
    });
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    let everything = acknowledged.len().to_string();
    let mut visible: HashMap<String, String> = HashMap::new();
    until("everything is delivered, or given up with a reason", || {
        let rows = place.ok(&["deliveries", "--json", "-n", "1000000"]);
        visible = rows
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|row| {
                let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                (word("event_id"), word("state"))
            })
            .collect();
        visible
            .values()
            .all(|state| state == "delivered" || state == "dead")
    });
    for id in &acknowledged {
        assert!(visible.contains_key(id), "{id} of {everything} is lost");
    }
    let mut keys: HashMap<String, HashSet<String>> = HashMap::new();
    for seen in place.receiver.seen() {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        let id = body["id"].as_str().unwrap().to_owned();
        keys.entry(id).or_default().insert(seen.key);
    }
    for (id, state) in &visible {
        if state == "delivered" {
            assert_eq!(keys.get(id).map(HashSet::len), Some(1), "{id}");
        }
    }
    let distinct: HashSet<&String> = keys.values().flatten().collect();
    assert_eq!(distinct.len(), keys.len(), "two events shared a key");
    assert!(Path::new(&place.config()).exists() && acknowledged.len() > KILLS);
    drop(last);
}

/// A console of this test, on a pseudo-terminal.
struct Console {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    pid: Pid,
    terminal: Option<Box<dyn portable_pty::MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    output: Option<Box<dyn Read + Send>>,
}

impl Console {
    fn open(place: &Place, arguments: &[&str]) -> Self {
        let size = portable_pty::PtySize {
            rows: 24,
            cols: 80,
            ..portable_pty::PtySize::default()
        };
        let pair = portable_pty::native_pty_system().openpty(size).unwrap();
        let mut command = portable_pty::CommandBuilder::new(BINARY);
        command.args(["--as", "anna", "--config", place.config().to_str().unwrap()]);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        let pid = child.process_id().unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        // The first bytes of the screen: it is open, and its worker, if it has one, is at work.
        let mut first = [0; 1];
        output.read_exact(&mut first).unwrap();
        Self {
            child,
            pid: Pid::from_raw(pid.cast_signed()).unwrap(),
            keys: Some(pair.master.take_writer().unwrap()),
            terminal: Some(pair.master),
            output: Some(output),
        }
    }

    /// The terminal goes away, as when an SSH connection breaks.
    fn hang_up(&mut self) {
        self.output = None;
        self.keys = None;
        self.terminal = None;
    }

    /// Follows the screen in the background; what it shows now is asked for under the lock.
    fn watch(&mut self) -> Arc<Mutex<vt100::Parser>> {
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(24), size(80), 0)));
        let mut output = self.output.take().unwrap();
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().process(&buffer[..length]);
            }
        });
        screen
    }

    fn press(&mut self, key: &str) {
        self.keys
            .as_mut()
            .unwrap()
            .write_all(key.as_bytes())
            .unwrap();
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn when_the_terminal_hangs_up_the_worker_inside_goes_on_delivering() {
    let place = Place::new();
    let mut console = Console::open(&place, &[]);
    place.send("a", 3);
    place.delivered(3);
    console.hang_up();
    place.send("b", 3);
    place.delivered(6);
    assert!(console.is_running());
    assert_eq!(place.worker_state(), "running");
    kill_process(console.pid, Signal::TERM).unwrap();
    until("drained", || !console.is_running());
    assert_eq!(place.worker_state(), "stopped");
}

#[test]
fn a_console_detaches_and_a_worker_of_its_own_session_goes_on() {
    let place = Place::new();
    let mut console = Console::open(&place, &[]);
    let screen = console.watch();
    place.send("a", 1);
    place.delivered(1);
    console.press("q");
    until("it asks", || {
        screen
            .lock()
            .unwrap()
            .screen()
            .contents()
            .contains("detach")
    });
    // A letter acts only once the question has been on the screen long enough to be read.
    until("it leaves", || {
        if console.is_running() {
            console.press("d");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        !console.is_running()
    });
    until("the next worker works", || {
        place.worker_state() == "running"
    });
    place.send("b", 2);
    place.delivered(3);
    let worker = place.worker_pid();
    assert_ne!(worker, console.pid);
    assert_eq!(rustix::process::getsid(Some(worker)).unwrap(), worker);
    kill_process(worker, Signal::TERM).unwrap();
    until("drained", || place.worker_state() == "stopped");

    // A service has worked this database now: a console does not become the worker by itself, it offers to start one.
    let mut console = Console::open(&place, &[]);
    let screen = console.watch();
    until("it offers", || {
        let shown = screen.lock().unwrap().screen().contents();
        shown.contains("Start one in the background?")
    });
    assert_eq!(place.worker_state(), "stopped");
    place.send("c", 1);
    console.press("y\r");
    place.delivered(4);
    let started = place.worker_pid();
    assert_ne!(started, console.pid);
    kill_process(started, Signal::TERM).unwrap();
    until("drained", || place.worker_state() == "stopped");
}

fn size(cells: u16) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(cells).unwrap()
}
