//! The front door as senders meet it: a real server on loopback, a real store on disk, raw sockets.

use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use midwatch::config;
use midwatch::config::live::Runtime;
use midwatch::ingest::Intake;
use midwatch::ingest::server::{Limits, serve_within};
use midwatch::queue::filter::Filter;
use midwatch::store::{Cursor, Options, Store};
use midwatch::time::{Clock, Timestamp};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const CONFIG: &str = r#"
[systems.shop]
[systems.crm]
url = "https://crm.example"

[paths.orders]
route = "shop -> crm"
events = ["order.*"]

[paths.large]
route = "shop -> crm"
events = ["order.*"]
when = "data.total > 100"
order_by = "data.id"
"#;

const HOOKS: &str = r#"
[systems.woo]
hooks = { recipe = "woocommerce", secrets = ["file:key"] }
[systems.stripe]
hooks = { recipe = "stripe", secrets = ["file:other", "file:key"] }
[systems.github]
hooks = { recipe = "github", secrets = ["file:key"] }
[systems.shopify]
hooks = { recipe = "shopify", secrets = ["file:key"] }
[systems.standard]
hooks = { recipe = "standard-webhooks", secrets = ["file:whsec"] }
[systems.plain]
hooks = { recipe = "hmac", secrets = ["file:key"] }
[systems.broken]
hooks = { recipe = "github", secrets = ["file:missing"] }

[paths.woo]
route = "woo -> crm"
events = ["order.*"]

[paths.stripe]
route = "stripe -> crm"
events = ["order.*"]

[paths.github]
route = "github -> crm"
events = ["order.*"]

[paths.shopify]
route = "shopify -> crm"
events = ["order.*"]

[paths.standard]
route = "standard -> crm"
events = ["order.*"]
"#;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// Nothing here waits longer than this.
const SOON: Duration = Duration::from_secs(10);

/// A front door, open.
struct House {
    address: SocketAddr,
    store: Store,
    live: watch::Sender<Arc<Runtime>>,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    folder: tempfile::TempDir,
}

async fn runtime(store: &Store, folder: &Path, text: &str) -> Arc<Runtime> {
    let loaded = config::parse(text, &folder.join("midwatch.toml")).unwrap_or_else(|errors| {
        panic!("{}", config::report::render(&errors));
    });
    let numbers = store.configure(&loaded.config).await.unwrap();
    Arc::new(Runtime::new(Arc::new(loaded.config), numbers))
}

impl House {
    async fn open(text: &str, limits: Limits) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), text, limits).await
    }

    async fn open_in(folder: tempfile::TempDir, text: &str, limits: Limits) -> Self {
        for (name, secret) in [
            ("key", "s3cret"),
            ("other", "old"),
            ("whsec", "whsec_c2VjcmV0LWtleQ=="),
            ("token", "let-me-in"),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("{secret}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let options = Options {
            clock: Clock::manual(NOW),
            disk_reserve: 0,
            dedupe: Duration::from_secs(30 * 86_400),
        };
        let store = Store::open(&folder.path().join("m.db"), options).unwrap();
        let (live, watching) = watch::channel(runtime(&store, folder.path(), text).await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let intake = Intake::new(store.clone(), watching.clone());
        let serving = tokio::spawn(serve_within(
            limits,
            listener,
            intake,
            watching,
            store.clone(),
            stop.clone(),
        ));
        Self {
            address,
            store,
            live,
            stop,
            serving,
            folder,
        }
    }

    async fn plain() -> Self {
        Self::open(CONFIG, Limits::default()).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and reads one answer.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        answer(&mut stream).await.expect("an answer")
    }

    /// Events and deliveries that the database holds.
    fn stored(&self) -> (u64, usize) {
        let reader = self.store.reader().unwrap();
        let (rows, _) = reader
            .deliveries(&Filter::default(), Cursor::Newest, 1000)
            .unwrap();
        (reader.overview().unwrap().events, rows.len())
    }

    /// Events that are held: number, group, and how many faults.
    fn faults(&self) -> Vec<(i64, String, usize)> {
        let database = rusqlite::Connection::open(self.folder.path().join("m.db")).unwrap();
        let mut rows = database
            .prepare("SELECT event, grp, faults FROM fault ORDER BY event")
            .unwrap();
        let rows = rows.query_map([], |row| {
            let faults: String = row.get(2)?;
            let faults: Vec<serde_json::Value> = serde_json::from_str(&faults).unwrap();
            Ok((row.get(0)?, row.get(1)?, faults.len()))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

/// Reads one answer; none if the connection ended before.
async fn answer(stream: &mut TcpStream) -> Option<Answer> {
    soon("an answer", async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        Some(answer)
    })
    .await
}

/// That the server closes without another word. A reset counts: nothing more can come.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"", "{}", String::from_utf8_lossy(&rest));
}

fn post(target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut request = format!("POST {target} HTTP/1.1\r\nHost: test\r\n");
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let _ = write!(request, "Content-Length: {}\r\n\r\n{body}", body.len());
    request
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

const STRUCTURED: (&str, &str) = ("Content-Type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("Content-Type", "application/cloudevents-batch+json");

fn event(id: &str, kind: &str, data: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"{kind}","data":{data}}}"#)
}

fn order(id: &str) -> String {
    post(
        "/events",
        &[STRUCTURED],
        &event(id, "order.created", r#"{"id":7,"total":12.10}"#),
    )
}

#[tokio::test]
async fn an_event_is_answered_when_it_is_stored_with_all_its_bytes() {
    let house = House::plain().await;
    let data = r#"{"id" : 18446744073709551617,"total":702.10, "total":702.10}"#;
    let answer = house
        .send(post(
            "/events",
            &[STRUCTURED],
            &event("a", "order.created", data),
        ))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let receipt = answer.json();
    assert_eq!(receipt["status"], "accepted");
    assert_eq!(receipt["deliveries"], 2);
    assert_eq!(
        (&receipt["source"], &receipt["id"]),
        (&"/shop".into(), &"a".into())
    );

    let reader = house.store.reader().unwrap();
    let (rows, _) = reader
        .deliveries(&Filter::default(), Cursor::Oldest, 10)
        .unwrap();
    let keys: Vec<_> = rows
        .iter()
        .map(|row| (row.path.as_str(), row.order_key.as_deref()))
        .collect();
    assert!(keys.contains(&("orders", None)), "{keys:?}");
    assert!(
        keys.contains(&("large", Some("18446744073709551617"))),
        "{keys:?}"
    );
    let detail = reader.delivery(rows[0].id).unwrap().unwrap();
    assert_eq!(detail.data.as_deref(), Some(data.as_bytes()));
}

#[tokio::test]
async fn receipts_say_what_became_of_each_event() {
    let house = House::plain().await;
    let send = |id: &'static str, kind: &'static str, data: &'static str| {
        let request = post("/events", &[STRUCTURED], &event(id, kind, data));
        async {
            let answer = house.send(request).await;
            let json = answer.json();
            (answer.status, json)
        }
    };
    let (status, first) = send("1", "order.paid", r#"{"id":1,"total":5}"#).await;
    assert_eq!((status, first["status"].as_str()), (202, Some("accepted")));
    let (status, again) = send("1", "order.paid", r#"{"id":1,"total":5}"#).await;
    assert_eq!((status, again["status"].as_str()), (202, Some("duplicate")));
    assert_eq!(again["event"], first["event"]);
    let (status, stray) = send("2", "refund", "{}").await;
    assert_eq!((status, stray["status"].as_str()), (202, Some("unrouted")));
    let (status, held) = send("3", "order.paid", r#"{"id":1}"#).await;
    assert_eq!((status, held["status"].as_str()), (202, Some("held")));
    assert!(
        held["reason"].as_str().unwrap().contains("`data.total`"),
        "{held}"
    );

    let before = house.stored();
    let (status, problem) = send("1", "order.paid", r#"{"id":1,"total":6}"#).await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (422, Some("/problems/conflict"))
    );
    assert_eq!(house.stored(), before, "a conflict stores nothing");
}

#[tokio::test]
async fn a_batch_has_a_receipt_for_each_or_is_refused_whole() {
    let house = House::plain().await;
    let good = event("1", "order.paid", r#"{"id":1,"total":500}"#);
    let bad = good.replace(r#""source":"/shop","#, "");
    let answer = house
        .send(post("/events", &[BATCH], &format!("[{good},{bad}]")))
        .await;
    assert_eq!(
        (answer.status, answer.json()["at"].as_str()),
        (400, Some("/1/source"))
    );
    assert_eq!(house.stored(), (0, 0));

    let second = event("2", "customer.created", "null");
    let batch = format!("[{good},{second},{good}]");
    let answer = house.send(post("/events", &[BATCH], &batch)).await;
    assert_eq!(answer.status, 202);
    let receipts = answer.json();
    let words: Vec<_> = receipts
        .as_array()
        .unwrap()
        .iter()
        .map(|receipt| receipt["status"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["accepted", "unrouted", "duplicate"]);
    assert_eq!(house.stored(), (2, 2));

    let changed = event("1", "order.paid", r#"{"id":1,"total":501}"#);
    let third = event("3", "order.paid", r#"{"id":1,"total":1}"#);
    let answer = house
        .send(post("/events", &[BATCH], &format!("[{changed},{third}]")))
        .await;
    let problem = answer.json();
    assert_eq!(answer.status, 422);
    assert_eq!(problem["receipts"][0]["status"], "conflict");
    assert_eq!(problem["receipts"][1]["status"], "accepted");

    let answer = house.send(post("/events", &[BATCH], "[]")).await;
    assert_eq!((answer.status, answer.body.as_str()), (202, "[]"));
}

#[tokio::test]
async fn binary_mode() {
    let house = House::plain().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "b%201"),
        ("ce-source", "/shop"),
        ("ce-type", "order.created"),
        ("ce-subject", "\u{f8}"),
        ("Content-Type", "application/json; charset=utf-8"),
    ];
    let answer = house
        .send(post("/events", &headers, r#"{"id":1,"total":1}"#))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["id"], "b 1");
    let answer = house.send(post("/events", &headers[1..], "{}")).await;
    assert_eq!(
        (answer.status, answer.json()["at"].as_str()),
        (400, Some("ce-specversion"))
    );
}

#[tokio::test]
async fn refusals_are_problems() {
    let house = House::plain().await;
    let nested = event(
        "1",
        "order.created",
        &format!("{}{}", "[".repeat(128), "]".repeat(128)),
    );
    let fine = event("1", "order.created", "{}");
    let structured = |body: &str| post("/events", &[STRUCTURED], body);
    for (request, status, kind) in [
        (structured("{"), 400, "malformed"),
        (structured("[]"), 400, "malformed"),
        (structured(&nested), 400, "malformed"),
        (structured(&fine.replace("1.0", "0.3")), 400, "malformed"),
        (
            structured(&fine.replace("\"id\":\"1\"", "\"id\":\"1\",\"id\":\"1\"")),
            400,
            "malformed",
        ),
        (post("/events", &[], &fine), 415, "media-type"),
        (
            post("/events", &[("Content-Type", "application/json")], &fine),
            415,
            "media-type",
        ),
        (
            post(
                "/events",
                &[("Content-Type", "application/cloudevents+xml")],
                "<x/>",
            ),
            415,
            "media-type",
        ),
        (
            post(
                "/events",
                &[(
                    "Content-Type",
                    "application/cloudevents+json; charset=latin1",
                )],
                &fine,
            ),
            415,
            "media-type",
        ),
        (
            post(
                "/events",
                &[STRUCTURED, ("Content-Encoding", "gzip")],
                &fine,
            ),
            415,
            "media-type",
        ),
        (
            post(
                "/events",
                &[STRUCTURED, ("Origin", "https://evil.example")],
                &fine,
            ),
            403,
            "origin",
        ),
        (get("/events"), 405, "method"),
        (post("/healthz", &[], ""), 405, "method"),
        (get("/"), 404, "not-found"),
        (post("/hooks/nobody", &[], "{}"), 404, "not-found"),
        (post("/hooks/crm", &[], "{}"), 404, "not-found"),
        (
            get("/healthz").replace("\r\n\r\n", "\r\nOrigin: null\r\n\r\n"),
            403,
            "origin",
        ),
    ] {
        let answer = house.send(&request).await;
        let problem = answer.json();
        assert_eq!(
            (answer.status, problem["type"].as_str()),
            (status, Some(format!("/problems/{kind}").as_str())),
            "{request:.300}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
    assert_eq!(
        house.send(get("/events")).await.header("allow"),
        Some("POST")
    );
    assert_eq!(house.stored(), (0, 0));
}

#[tokio::test]
async fn unsound_heads_are_refused_and_nothing_after_them_is_served() {
    let house = House::plain().await;
    let chunked = "Content-Type: application/cloudevents+json\r\nTransfer-Encoding: chunked\r\n";
    for (what, head) in [
        (
            "length and coding",
            format!(
                "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n{chunked}\r\n0\r\n\r\n"
            ),
        ),
        (
            "coding and length",
            format!(
                "POST /events HTTP/1.1\r\nHost: x\r\n{chunked}Content-Length: 5\r\n\r\n0\r\n\r\n"
            ),
        ),
        ("bare LF", "GET /healthz HTTP/1.1\nHost: x\n\n".into()),
        (
            "one bare LF",
            "GET /healthz HTTP/1.1\r\nHost: x\nA: b\r\n\r\n".into(),
        ),
        ("no Host", "GET /healthz HTTP/1.1\r\n\r\n".into()),
        (
            "two Hosts",
            "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(),
        ),
        (
            "folded",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n".into(),
        ),
        (
            "two lengths",
            "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"
                .into(),
        ),
        (
            "odd coding",
            "POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n"
                .into(),
        ),
        (
            "blank before colon",
            "GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n".into(),
        ),
        ("no HTTP", "\u{1}\u{2}\u{3}\r\n\r\n".into()),
    ] {
        let mut stream = house.connect().await;
        // What follows would be served by a door that lost its place.
        let bytes = format!("{head}{}", get("/healthz"));
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let answer = answer(&mut stream)
            .await
            .unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert!(answer.closes(), "{what}: {answer:?}");
        closed(stream).await;
    }
    assert_eq!(house.stored(), (0, 0));
}

#[tokio::test]
async fn a_chunked_event_is_taken_and_ends_its_connection() {
    let house = House::plain().await;
    let body = event("c", "order.created", r#"{"id":1,"total":1}"#);
    let (first, second) = body.split_at(20);
    let mut stream = house.connect().await;
    let request = format!(
        "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n{}",
        first.len(),
        second.len(),
        order("smuggled")
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = answer(&mut stream).await.unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(answer.closes());
    closed(stream).await;
    assert_eq!(house.stored(), (1, 1));
}

#[tokio::test]
async fn requests_in_one_packet_and_in_single_bytes_are_the_same_to_it() {
    let house = House::plain().await;
    let mut stream = house.connect().await;
    let both = format!("{}{}", order("1"), order("2"));
    stream.write_all(both.as_bytes()).await.unwrap();
    for _ in 0..2 {
        let answer = answer(&mut stream).await.unwrap();
        assert_eq!(answer.status, 202);
        assert!(!answer.closes());
    }
    // The same connection, byte by byte.
    stream.set_nodelay(true).unwrap();
    for byte in order("3").bytes() {
        stream.write_u8(byte).await.unwrap();
    }
    assert_eq!(answer(&mut stream).await.unwrap().status, 202);
    assert_eq!(house.stored().0, 3);
}

#[tokio::test]
async fn a_sender_that_has_closed_its_side_still_gets_its_answer() {
    let house = House::plain().await;
    let mut stream = house.connect().await;
    stream.write_all(order("1").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().status, 202);
    closed(stream).await;
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_whichever_way_they_come() {
    let house = House::plain().await;
    let large = "x".repeat(2 << 20);
    let announced = post("/events", &[STRUCTURED], &large);
    let mut chunked = String::from(
        "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..32 {
        let _ = write!(chunked, "10000\r\n{}\r\n", &large[..0x10000]);
    }
    chunked.push_str("0\r\n\r\n");
    for request in [announced, chunked] {
        let answer = house.send(&request).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(answer.closes());
        assert_eq!(answer.json()["type"], "/problems/too-large");
    }
    // One that asks first is told before it sends anything.
    let asking = format!(
        "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        STRUCTURED.1,
        large.len()
    );
    assert_eq!(house.send(asking).await.status, 413);
    // The largest that is allowed is taken.
    let most = 1 << 20;
    let frame = event("big", "order.created", r#"{"id":1,"total":1,"x":""}"#).len();
    let filled = format!(r#"{{"id":1,"total":1,"x":"{}"}}"#, "y".repeat(most - frame));
    let body = event("big", "order.created", &filled);
    assert_eq!(body.len(), most);
    let answer = house.send(post("/events", &[STRUCTURED], &body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn an_expectation_is_met_with_100_continue() {
    let house = House::plain().await;
    let request = order("1").replace("Host: test", "Host: test\r\nExpect: 100-continue");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut stream = house.connect().await;
    stream
        .write_all(format!("{head}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().status, 100);
    stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().status, 202);
}

#[tokio::test]
async fn nobody_may_be_slow_for_ever() {
    let limits = Limits {
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        ..Limits::default()
    };
    let house = House::open(CONFIG, limits).await;
    // Nothing at all, half a head, and silence after an answer: closed without a word.
    let silent = house.connect().await;
    let mut slow = house.connect().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHo")
        .await
        .unwrap();
    let mut idle = house.connect().await;
    idle.write_all(get("/healthz").as_bytes()).await.unwrap();
    assert_eq!(answer(&mut idle).await.unwrap().status, 200);
    closed(silent).await;
    closed(slow).await;
    closed(idle).await;
    // Half a body: told so.
    let request = order("1");
    let mut stream = house.connect().await;
    stream
        .write_all(&request.as_bytes()[..request.len() - 5])
        .await
        .unwrap();
    let refusal = answer(&mut stream).await.unwrap();
    assert_eq!(refusal.status, 408, "{refusal:?}");
    assert!(refusal.closes());
    closed(stream).await;
    assert_eq!(house.stored(), (0, 0));
}

#[tokio::test]
async fn two_hundred_slow_connections_do_not_keep_a_good_one_waiting() {
    let house = House::plain().await;
    let mut slow = Vec::new();
    for n in 0..200 {
        let mut stream = house.connect().await;
        let piece: &[u8] = if n % 2 == 0 {
            b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Le"
        } else {
            b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 100\r\n\r\n{"
        };
        stream.write_all(piece).await.unwrap();
        slow.push(stream);
    }
    let started = Instant::now();
    assert_eq!(house.send(order("1")).await.status, 202);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_full_house_lets_the_next_one_in_when_somebody_leaves() {
    let limits = Limits {
        connections: 2,
        head: Duration::from_millis(200),
        ..Limits::default()
    };
    let house = House::open(CONFIG, limits).await;
    let _silent = (house.connect().await, house.connect().await);
    assert_eq!(house.send(order("1")).await.status, 202);
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn vendors_hooks() {
    let house = House::open(&format!("{CONFIG}{HOOKS}"), Limits::default()).await;
    let key = b"s3cret";
    let seconds = (NOW.0 / 1000).to_string();
    let body = r#"{"id":42,"type":"order.paid","total":12.10,"action":"done"}"#;
    let of_body = sign(key, body);
    let of_time = sign(key, &format!("{seconds}.{body}"));
    let of_id = sign(b"secret-key", &format!("msg_1.{seconds}.{body}"));
    let github = format!("sha256={}", hex::encode(&of_body));
    let stripe = format!("t={seconds},v1={}", hex::encode(&of_time));
    let standard = format!("v1,{}", base64(&of_id));
    let plain = base64(&of_body);
    for (system, headers, status) in [
        (
            "github",
            vec![
                ("X-Hub-Signature-256", github.as_str()),
                ("X-GitHub-Event", "order"),
                ("X-GitHub-Delivery", "d-1"),
            ],
            202,
        ),
        ("stripe", vec![("Stripe-Signature", stripe.as_str())], 202),
        (
            "shopify",
            vec![
                ("X-Shopify-Hmac-Sha256", plain.as_str()),
                ("X-Shopify-Topic", "order/paid"),
                ("X-Shopify-Event-Id", "e-1"),
            ],
            200,
        ),
        (
            "woo",
            vec![
                ("X-WC-Webhook-Signature", plain.as_str()),
                ("X-WC-Webhook-Topic", "order.updated"),
            ],
            200,
        ),
        (
            "standard",
            vec![
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", seconds.as_str()),
                ("webhook-signature", standard.as_str()),
            ],
            202,
        ),
    ] {
        let target = format!("/hooks/{system}");
        let mut headers = headers;
        headers.push(("Content-Type", "application/json"));
        let before = house.stored().0;
        // One byte more is another body; nothing of it is stored.
        let altered = house
            .send(post(&target, &headers, &format!("{body} ")))
            .await;
        assert_eq!(
            (altered.status, altered.json()["type"].as_str()),
            (401, Some("/problems/signature")),
            "{system}"
        );
        let bare = house.send(post(&target, &headers[1..], body)).await;
        assert_eq!(bare.status, 401, "{system}: {bare:?}");
        assert_eq!(house.stored().0, before, "{system}");

        let good = house.send(post(&target, &headers, body)).await;
        assert_eq!(good.status, status, "{system}: {good:?}");
        let receipt = good.json();
        assert_eq!(receipt["status"], "accepted", "{system}: {receipt}");
        assert_eq!(receipt["source"], system);
        let again = house.send(post(&target, &headers, body)).await;
        assert_eq!(
            (again.status, again.json()["status"].as_str()),
            (status, Some("duplicate")),
            "{system}"
        );
        assert_eq!(house.stored().0, before + 1, "{system}");
    }
}

#[tokio::test]
async fn what_a_vendor_signed_is_never_answered_with_an_error() {
    let house = House::open(&format!("{CONFIG}{HOOKS}"), Limits::default()).await;
    let send = |body: &'static str| {
        let signature = format!("sha256={}", hex::encode(sign(b"s3cret", body)));
        let request = post(
            "/hooks/github",
            &[
                ("X-Hub-Signature-256", signature.as_str()),
                ("X-GitHub-Event", "order.paid"),
                ("X-GitHub-Delivery", "d-1"),
            ],
            body,
        );
        async {
            let answer = house.send(request).await;
            let json = answer.json();
            (answer.status, json)
        }
    };
    let (status, first) = send(r#"{"id":1,"total":1}"#).await;
    assert_eq!((status, first["status"].as_str()), (202, Some("accepted")));
    // The same delivery id with other content is held, not refused; so is what no mapping can read.
    let (status, other) = send(r#"{"id":1,"total":2}"#).await;
    assert_eq!((status, other["status"].as_str()), (202, Some("held")));
    let (status, unread) = send("payload=no+json").await;
    assert_eq!((status, unread["status"].as_str()), (202, Some("held")));
    assert_eq!(house.stored(), (3, 1));
}

#[tokio::test]
async fn what_a_sender_counts_up_makes_no_other_event() {
    let counts = r#"
[systems.counting]
hooks = { recipe = "hmac", secrets = ["file:key"], exclude = ["/attempt"] }
"#;
    let house = House::open(&format!("{CONFIG}{HOOKS}{counts}"), Limits::default()).await;
    for (system, body, status) in [
        (
            "counting",
            r#"{"id":"1","type":"x","attempt":1}"#,
            "unrouted",
        ),
        (
            "counting",
            r#"{"id":"1","type":"x","attempt":2}"#,
            "duplicate",
        ),
        (
            "counting",
            r#"{"id":"1","type":"x","attempt":2,"total":5}"#,
            "held",
        ),
        // Where nobody said so, every byte counts.
        ("plain", r#"{"id":"1","type":"x","attempt":1}"#, "unrouted"),
        ("plain", r#"{"id":"1","type":"x","attempt":2}"#, "held"),
    ] {
        let signature = hex::encode(sign(b"s3cret", body));
        let headers = [("X-Signature", signature.as_str())];
        let request = post(&format!("/hooks/{system}"), &headers, body);
        let answer = house.send(request).await;
        assert_eq!(
            answer.json()["status"],
            status,
            "{system} {body}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_form_is_verified_as_it_came_and_its_payload_is_what_it_says() {
    let house = House::open(&format!("{CONFIG}{HOOKS}"), Limits::default()).await;
    let form = "payload=%7B%22action%22%3A%22opened%22%2C%22note%22%3A%22a+b%22%7D";
    let signature = format!("sha256={}", hex::encode(sign(b"s3cret", form)));
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Hub-Signature-256", signature.as_str()),
        ("X-GitHub-Event", "order"),
        ("X-GitHub-Delivery", "d-1"),
    ];
    let answer = house.send(post("/hooks/github", &headers, form)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["status"], "accepted", "{answer:?}");
    let altered = form.replace("opened", "closed");
    let altered = house.send(post("/hooks/github", &headers, &altered)).await;
    assert_eq!(altered.status, 401);
}

#[tokio::test]
async fn nobody_speaks_unsigned_for_a_system_that_signs() {
    let text = format!(
        "{CONFIG}{HOOKS}\n[paths.paid]\nroute = \"stripe -> crm\"\nevents = [\"charge.*\"]\nurl = \"/paid\"\n"
    );
    let house = House::open(&text, Limits::default()).await;
    let forged = |source: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"evt_1","source":"{source}","type":"charge.refunded","data":{{"id":1}}}}"#
        )
    };
    let batch = format!(
        "[{},{}]",
        event("a", "order.created", "{}"),
        forged("stripe")
    );
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "evt_1"),
        ("ce-source", "stripe"),
        ("ce-type", "charge.refunded"),
    ];
    for (request, at) in [
        (post("/events", &[STRUCTURED], &forged("stripe")), "/source"),
        (post("/events", &[BATCH], &batch), "/1/source"),
        (post("/events", &binary, "{}"), "ce-source"),
    ] {
        let answer = house.send(request).await;
        let problem = answer.json();
        assert_eq!(
            (
                answer.status,
                problem["type"].as_str(),
                problem["at"].as_str()
            ),
            (403, Some("/problems/source"), Some(at))
        );
        assert_eq!(
            problem["detail"],
            "source `stripe` is a configured system whose events are signed: they enter at /hooks/stripe"
        );
    }
    assert_eq!(house.stored().0, 0);
    // Neither does a made-up source take its paths.
    let other = house
        .send(post("/events", &[STRUCTURED], &forged("stripe2")))
        .await;
    assert_eq!(other.json()["status"], "unrouted", "{other:?}");

    let opted = text.replace(
        "[systems.stripe]",
        "[systems.stripe]\naccepts_events = true",
    );
    house
        .live
        .send_replace(runtime(&house.store, house.folder.path(), &opted).await);
    let answer = house
        .send(post("/events", &[STRUCTURED], &forged("stripe")))
        .await;
    assert_eq!(
        (answer.status, &answer.json()["deliveries"]),
        (202, &1.into())
    );
}

#[tokio::test]
async fn woocommerces_first_ping_is_answered_200_and_stored_nowhere() {
    let house = House::open(&format!("{CONFIG}{HOOKS}"), Limits::default()).await;
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let ping = house
        .send(post("/hooks/woo", &[form], "webhook_id=14"))
        .await;
    assert_eq!(ping.status, 200);
    let signature = base64(&sign(b"s3cret", "webhook_id=14"));
    let headers = [form, ("X-WC-Webhook-Signature", signature.as_str())];
    let signed = house
        .send(post("/hooks/woo", &headers, "webhook_id=14"))
        .await;
    assert_eq!(signed.status, 200);
    for (target, body) in [
        ("/hooks/woo", "webhook_id=14&status=paid"),
        ("/hooks/woo", "{}"),
        ("/hooks/github", "webhook_id=14"),
    ] {
        assert_eq!(house.send(post(target, &[form], body)).await.status, 401);
    }
    assert_eq!(house.stored(), (0, 0));
}

#[tokio::test]
async fn slacks_challenge_is_sent_back_only_when_it_is_signed() {
    let own = "[systems.slack]\nhooks = { recipe = \"slack\", secrets = [\"file:key\"] }\n";
    let house = House::open(&format!("{CONFIG}{HOOKS}{own}"), Limits::default()).await;
    let body = r#"{"type": "url_verification", "challenge": "3eZbrw1a"}"#;
    let now = NOW.0 / 1000;
    let signed = |body: &str| {
        let signature = hex::encode(sign(b"s3cret", &format!("v0:{now}:{body}")));
        (format!("v0={signature}"), now.to_string())
    };
    let (signature, at) = signed(body);
    let headers = [
        ("X-Slack-Signature", signature.as_str()),
        ("X-Slack-Request-Timestamp", at.as_str()),
    ];
    let answer = house.send(post("/hooks/slack", &headers, body)).await;
    assert_eq!(
        (answer.status, &answer.json()["challenge"]),
        (200, &"3eZbrw1a".into())
    );
    let forged = house
        .send(post("/hooks/slack", &headers, &body.replace("3e", "4e")))
        .await;
    assert_eq!(forged.status, 401);
    assert_eq!(house.stored(), (0, 0));
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_our_trouble_and_heals_when_the_file_does() {
    let house = House::open(&format!("{CONFIG}{HOOKS}"), Limits::default()).await;
    let body = "{}";
    let signature = format!("sha256={}", hex::encode(sign(b"found", body)));
    let headers = [
        ("X-Hub-Signature-256", signature.as_str()),
        ("X-GitHub-Event", "x"),
    ];
    let request = post("/hooks/broken", &headers, body);
    let answer = house.send(&request).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("10"))
    );
    assert!(
        !answer.body.contains("missing"),
        "a sender learns nothing of our files: {answer:?}"
    );

    let file = house.folder.path().join("missing");
    std::fs::write(&file, "found").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    soon("the mended secret", async {
        while house.send(&request).await.status != 202 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_token_is_asked_for_where_it_is_configured() {
    let text = format!("[ingest]\ntoken = \"file:token\"\n{CONFIG}");
    let house = House::open(&text, Limits::default()).await;
    let with = |token: &str| {
        let body = event("1", "order.created", r#"{"id":1,"total":1}"#);
        post("/events", &[STRUCTURED, ("Authorization", token)], &body)
    };
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer let-me-i",
        "Bearer let-me-in2",
        "Basic let-me-in",
        "let-me-in",
    ] {
        let answer = house.send(with(bad)).await;
        assert_eq!(answer.status, 401, "{bad}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(house.send(order("1")).await.status, 401);
    assert_eq!(house.stored(), (0, 0));
    assert_eq!(house.send(with("bearer let-me-in")).await.status, 202);
    // On loopback the numbers are free.
    assert_eq!(house.send(get("/metrics")).await.status, 200);
    assert_eq!(house.send(get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn health_readiness_and_numbers() {
    let house = House::plain().await;
    assert_eq!(house.send(get("/healthz")).await.status, 200);
    assert_eq!(house.send(get("/readyz")).await.status, 200);
    assert_eq!(house.send(order("1")).await.status, 202);
    let answer = house.send(get("/metrics")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in [
        "midwatch_events_total 1",
        "midwatch_store_healthy 1",
        "midwatch_deliveries{path=\"orders\",state=\"ready\"} 1",
        "midwatch_deliveries{path=\"large\",state=\"ready\"} 0",
        "midwatch_http_answers_total{route=\"/events\",status=\"202\"} 1",
        "# TYPE midwatch_events_total counter",
    ] {
        assert!(
            answer.body.lines().any(|found| found == line),
            "{line} in\n{}",
            answer.body
        );
    }
    let mut names: Vec<_> = answer
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    let head = get("/healthz").replace("GET", "HEAD");
    let mut stream = house.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"HTTP/1.1 200");
}

#[tokio::test]
async fn when_the_store_takes_nothing_the_sender_is_asked_to_come_again() {
    let house = House::plain().await;
    house.store.close().await;
    let answer = house.send(order("1")).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("10"))
    );
    assert_eq!(answer.json()["type"], "/problems/unavailable");
    assert_eq!(house.send(get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn a_reload_routes_the_next_event_anew() {
    let house = House::plain().await;
    let send = async |id: &str| {
        let body = event(id, "refund.made", "{}");
        let answer = house.send(post("/events", &[STRUCTURED], &body)).await;
        answer.json()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(send("1").await, "unrouted");
    let text = CONFIG.replacen("\"order.*\"", "\"order.*\", \"refund.*\"", 1);
    let runtime = runtime(&house.store, house.folder.path(), &text).await;
    house.live.send_replace(runtime);
    assert_eq!(send("2").await, "accepted");
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_closes_what_is_idle() {
    let mut house = House::plain().await;
    let mut idle = house.connect().await;
    idle.write_all(get("/healthz").as_bytes()).await.unwrap();
    assert_eq!(answer(&mut idle).await.unwrap().status, 200);
    let request = order("1");
    let (head, body) = request.split_at(request.find("\r\n\r\n").unwrap() + 5);
    let head = head.replace("Host: test", "Host: test\r\nExpect: 100-continue");
    let mut busy = house.connect().await;
    busy.write_all(head.as_bytes()).await.unwrap();
    // The request has arrived once its body is asked for.
    assert_eq!(answer(&mut busy).await.unwrap().status, 100);
    house.stop.cancel();
    closed(idle).await;
    busy.write_all(body.as_bytes()).await.unwrap();
    let last = answer(&mut busy).await.unwrap();
    assert_eq!(last.status, 202);
    soon("the end of serving", &mut house.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(house.address).await.is_err());
    assert_eq!(house.stored(), (1, 1));
}

const CONTRACTS: &str = r#"
[contracts."order.paid"]
versions = ["1", "2"]
mode = "NONE"

[systems.github]
hooks = { recipe = "github", secrets = ["file:key"] }

[paths.github]
route = "github -> crm"
events = ["order.*"]
"#;

/// A house whose orders have two versions of a contract; the newer wants a text.
async fn contracted() -> House {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("contracts/order.paid");
    std::fs::create_dir_all(&kept).unwrap();
    for (version, total) in [("1", "number"), ("2", "string")] {
        let schema = format!(
            r#"{{"required":["id"],"properties":{{"total":{{"type":"{total}"}},"items":{{"items":{{"type":"integer"}}}}}}}}"#
        );
        std::fs::write(kept.join(format!("{version}.json")), schema).unwrap();
    }
    House::open_in(folder, &format!("{CONFIG}{CONTRACTS}"), Limits::default()).await
}

fn paid(id: &str, version: Option<&str>, data: &str) -> String {
    let version = version.map_or(String::new(), |version| {
        format!(r#""schemaversion":"{version}","#)
    });
    format!(
        r#"{{"specversion":"1.0",{version}"id":"{id}","source":"shop","type":"order.paid","data":{data}}}"#
    )
}

#[tokio::test]
async fn what_breaks_its_contract_is_held_with_every_fault_and_its_sender_is_told() {
    let house = contracted().await;
    let structured = [STRUCTURED];
    let good = house
        .send(post(
            "/events",
            &structured,
            &paid("a", None, r#"{"id":1,"total":"1.00"}"#),
        ))
        .await;
    assert_eq!(
        (good.status, &good.json()["status"]),
        (202, &"accepted".into())
    );

    let old = house
        .send(post(
            "/events",
            &structured,
            &paid("b", Some("1"), r#"{"id":1,"total":1}"#),
        ))
        .await;
    assert_eq!(old.json()["status"], "accepted", "{}", old.body);

    let bad = house
        .send(post(
            "/events",
            &structured,
            &paid("c", None, r#"{"total":7,"items":[1,"x"]}"#),
        ))
        .await;
    let told = bad.json();
    assert_eq!(
        (bad.status, &told["status"], &told["deliveries"]),
        (202, &"held".into(), &0.into())
    );
    assert_eq!(
        told["reason"],
        "breaks the contract order.paid 2: /id required, /items/* type, /total type"
    );
    let mut places: Vec<(&str, &str)> = (told["faults"].as_array().unwrap().iter())
        .map(|fault| {
            (
                fault["pointer"].as_str().unwrap(),
                fault["rule"].as_str().unwrap(),
            )
        })
        .collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            ("/id", "required"),
            ("/items/1", "type"),
            ("/total", "type")
        ]
    );
    assert!(
        told["faults"][0]["text"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );

    let unknown = house
        .send(post(
            "/events",
            &structured,
            &paid("d", Some("7"), r#"{"id":1}"#),
        ))
        .await;
    assert_eq!(
        unknown.json()["reason"],
        "names version 7 of order.paid; known are 1, 2"
    );
    assert_eq!(unknown.json()["faults"], serde_json::Value::Null);

    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e"),
        ("ce-source", "shop"),
        ("ce-type", "order.paid"),
        ("content-type", "text/xml"),
    ];
    let xml = house.send(post("/events", &binary, "<order/>")).await;
    assert_eq!(xml.json()["faults"][0]["rule"], "json", "{}", xml.body);

    let batch = format!(
        "[{},{}]",
        paid("f", None, r#"{"id":1,"total":"5"}"#),
        paid("g", None, "{}")
    );
    let batch = house
        .send(post(
            "/events",
            &[("content-type", "application/cloudevents-batch+json")],
            &batch,
        ))
        .await;
    let told = batch.json();
    assert_eq!(
        (batch.status, &told[0]["status"], &told[1]["status"]),
        (202, &"accepted".into(), &"held".into())
    );
    assert_eq!(told[1]["faults"][0]["pointer"], "/id");

    // Kept whole, each with what it has in common with others.
    let rows = house.faults();
    assert_eq!(
        rows,
        [
            (3, "order.paid 2: /id required".to_owned(), 3),
            (4, "order.paid: unknown version 7".to_owned(), 0),
            (5, "order.paid 2: json".to_owned(), 1),
            (7, "order.paid 2: /id required".to_owned(), 1),
        ]
    );
}

#[tokio::test]
async fn a_hook_that_breaks_its_contract_is_answered_well_and_held() {
    let house = contracted().await;
    let body = r#"{"total":1}"#;
    let signature = format!("sha256={}", hex::encode(sign(b"s3cret", body)));
    let headers = [
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-event", "order.paid"),
        ("x-github-delivery", "h-1"),
        ("content-type", "application/json"),
    ];
    let answer = house.send(post("/hooks/github", &headers, body)).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    assert_eq!(answer.json()["status"], "held", "{}", answer.body);
    assert_eq!(house.faults().len(), 1);
}

#[tokio::test]
async fn a_reload_brings_a_mended_contract_into_force() {
    let house = contracted().await;
    let structured = [STRUCTURED];
    let send = |id: &'static str| {
        let request = post(
            "/events",
            &structured,
            &paid(id, None, r#"{"id":1,"total":7}"#),
        );
        let house = &house;
        async move { house.send(request).await.json()["status"].clone() }
    };
    assert_eq!(send("a").await, "held");
    let folder = house.folder.path();
    std::fs::write(folder.join("contracts/order.paid/2.json"), "{}").unwrap();
    assert_eq!(send("b").await, "held", "only a reload reads it again");
    let text = format!("{CONFIG}{CONTRACTS}");
    let runtime = runtime(&house.store, folder, &text).await;
    house.live.send_replace(runtime);
    assert_eq!(send("c").await, "accepted");
}
