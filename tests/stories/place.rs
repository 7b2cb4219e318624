//! Where a story happens: a folder with a configuration, a worker process on it, and receivers that do as they are told.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub const BINARY: &str = env!("CARGO_BIN_EXE_midwatch");

/// No single thing may take longer than this.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at something that does not announce itself.
pub const LOOK: Duration = Duration::from_millis(10);

/// One request as the receiver saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub target: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// What the receiver answers.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Bytes of zeros after the body.
    pub padding: u64,
    /// How long it thinks before.
    pub after: Duration,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    pub fn padding(mut self, padding: u64) -> Self {
        self.padding = padding;
        self
    }
}

type Behaviour = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

/// A receiver on loopback.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<(Mutex<ReceiverState>, Condvar)>,
}

struct ReceiverState {
    behaviour: Behaviour,
    seen: Vec<Seen>,
    under_way: usize,
    most: usize,
}

impl Receiver {
    pub fn start(behaviour: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = ReceiverState {
            behaviour: Arc::new(behaviour),
            seen: Vec::new(),
            under_way: 0,
            most: 0,
        };
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new((Mutex::new(state), Condvar::new())),
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

    pub fn ok() -> Self {
        Self::start(|_| Answer::status(200))
    }

    /// One connection, request after request, until the sender has enough of it.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let message = Message::read(&mut reader)?;
            let seen = Seen {
                at: Instant::now(),
                target: message.first.split(' ').nth(1)?.to_owned(),
                headers: message.headers,
                body: String::from_utf8_lossy(&message.body).into_owned(),
            };
            let (lock, changed) = &*self.state;
            let behaviour = {
                let mut state = lock.lock().unwrap();
                state.seen.push(seen.clone());
                state.under_way += 1;
                state.most = state.most.max(state.under_way);
                changed.notify_all();
                Arc::clone(&state.behaviour)
            };
            let answer = behaviour(&seen);
            // A receiver that takes its time.
            std::thread::sleep(answer.after);
            let sent = send(&mut stream, &answer);
            lock.lock().unwrap().under_way -= 1;
            changed.notify_all();
            sent.ok()?;
        }
    }

    pub fn behave(&self, behaviour: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        self.state.0.lock().unwrap().behaviour = Arc::new(behaviour);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.0.lock().unwrap().seen.clone()
    }

    pub fn count(&self) -> usize {
        self.state.0.lock().unwrap().seen.len()
    }

    pub fn most_at_once(&self) -> usize {
        self.state.0.lock().unwrap().most
    }

    /// Waits until at least so many requests have come in.
    pub fn wait(&self, what: &str, count: usize) {
        let (lock, changed) = &*self.state;
        let state = lock.lock().unwrap();
        let (state, timeout) = changed
            .wait_timeout_while(state, PATIENCE, |state| state.seen.len() < count)
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "{what}: {} of {count}",
            state.seen.len()
        );
    }
}

fn send(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let length = answer.body.len() as u64 + answer.padding;
    let mut head = format!(
        "HTTP/1.1 {} X\r\ncontent-length: {length}\r\n",
        answer.status
    )
    .into_bytes();
    for (name, value) in &answer.headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&answer.body);
    stream.write_all(&head)?;
    let zeros = [0; 16 << 10];
    let mut left = answer.padding;
    while left > 0 {
        let part = left.min(zeros.len() as u64) as usize;
        stream.write_all(&zeros[..part])?;
        left -= part as u64;
    }
    Ok(())
}

/// An HTTP/1.1 message with a content-length.
pub struct Message {
    pub first: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
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
        Some(Self {
            first,
            headers,
            body,
        })
    }

    pub fn status(&self) -> Option<u16> {
        self.first.split(' ').nth(1)?.parse().ok()
    }
}

/// Posts one event; none if the connection broke before an answer.
pub fn post(address: SocketAddr, body: &str, token: Option<&str>) -> Option<Message> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let token = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    write!(
        stream,
        "POST /events HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/cloudevents+json\r\nconnection: close\r\n{token}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    Message::read(&mut BufReader::new(stream))
}

pub fn event(id: &str, data: &Value) -> String {
    serde_json::json!({
        "specversion": "1.0", "id": id, "source": "shop", "type": "order.created",
        "subject": format!("order {id}"), "data": data,
    })
    .to_string()
}

/// A folder with a configuration.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    /// The CRM is `receiver`; `system` and `path` are further keys of it and of the one path that leads there.
    pub fn new(receiver: &Receiver, system: &str, path: &str, more: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let text = format!(
            r#"
[watch]
bell = false
[site]
name = "Nordlys Coffee"
database = "data/midwatch.db"
logs = "logs"

[ingest]
listen = "127.0.0.1:0"

[systems.shop]
[systems.crm]
url = "http://{}"
private = true
{system}

[paths.crm]
route = "shop -> crm"
events = ["order.*"]
owner = "anna"
url = "/orders"
{path}

{more}
"#,
            receiver.address
        );
        std::fs::create_dir(place.folder.path().join("data")).unwrap();
        std::fs::write(place.config(), text).unwrap();
        place
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("midwatch.toml")
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/midwatch.db")
    }

    /// Writes a file that only we can read.
    pub fn secret(&self, name: &str, text: &str) {
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub fn arguments(&self) -> Vec<String> {
        let config = self.config().to_str().unwrap().to_owned();
        ["--config", &config, "--as", "anna"]
            .map(str::to_owned)
            .into()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(self.arguments())
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and returns what it says.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn worker(&self) -> Running {
        let mut command = self.command();
        command.arg("worker");
        Running::start(command)
    }

    pub fn states(&self) -> HashMap<String, String> {
        states_of(&mut self.command())
    }

    /// Everything that midwatch has written below this folder, by file.
    pub fn written(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![
            self.folder.path().join("data"),
            self.folder.path().join("logs"),
        ];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let file = entry.unwrap().path();
                if file.is_dir() {
                    folders.push(file);
                } else if file.is_file() {
                    found.push((file.clone(), std::fs::read(&file).unwrap()));
                }
            }
        }
        found
    }
}

/// A worker process of this test; killed when dropped.
pub struct Running {
    pub child: Child,
    pub listening: SocketAddr,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
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

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Option<i32> {
        let mut code = None;
        until("it ends", || {
            let status = self.child.try_wait().unwrap();
            code = status.map(|status| status.code());
            code.is_some()
        });
        code.flatten()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `command` (midwatch, with a configuration) lists: state by event id.
pub fn states_of(command: &mut Command) -> HashMap<String, String> {
    let list = ["deliveries", "--json", "-n", "1000000"];
    let output = command.args(list).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let rows = String::from_utf8(output.stdout).unwrap();
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| (word(&row, "event_id"), word(&row, "state")))
        .collect()
}

/// Repeats a question until its answer is yes.
pub fn until(what: &str, mut yes: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !yes() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Fails if `needle` is in anything that was written; says where.
pub fn nowhere(needle: &str, found: &[(PathBuf, Vec<u8>)]) {
    let mut hits = String::new();
    for (file, bytes) in found {
        for (at, _) in bytes
            .windows(needle.len())
            .enumerate()
            .filter(|(_, window)| *window == needle.as_bytes())
        {
            let around = &bytes[at.saturating_sub(80)..(at + 40).min(bytes.len())];
            let _ = writeln!(
                hits,
                "{}: {:?}",
                file.display(),
                String::from_utf8_lossy(around)
            );
        }
    }
    assert!(hits.is_empty(), "{needle} was found in:\n{hits}");
}

/// Size of a file; zero if it is not there.
pub fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}

/// Each key of the requests seen, with the ids of the bodies that carried it.
pub fn keys(seen: &[Seen]) -> HashMap<String, HashSet<String>> {
    let mut keys: HashMap<String, HashSet<String>> = HashMap::new();
    for seen in seen {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        let id = body["id"].as_str().unwrap().to_owned();
        let key = seen.headers["idempotency-key"].clone();
        keys.entry(id).or_default().insert(key);
    }
    keys
}
