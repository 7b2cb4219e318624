//! The client against servers that misbehave, over real loopback connections.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::{Fault, Outbound, Reply, SendError, Stage, Target};
use crate::config::live::Runtime;
use crate::config::model::{LimitHeaders, Recipe, ResetUnit, SecretRef, System};
use crate::event::signature::{Signed, verify};
use crate::queue::model::Request;
use crate::time::Clock;

const SOON: Duration = Duration::from_secs(5);

/// A client whose system `crm` is at `url`, with further keys.
fn outbound(url: &str, keys: &str) -> Outbound {
    outbound_with(url, keys, |_| {})
}

/// As `outbound`, with the system as `change` leaves it.
fn outbound_with(url: &str, keys: &str, change: impl FnOnce(&mut System)) -> Outbound {
    let text = format!(
        "[systems.shop]\n[systems.crm]\nurl = \"{url}\"\n{keys}\n[paths.p]\nroute = \"shop -> crm\"\nevents = [\"*\"]\nowner = \"anna\"\nrunbook = \"r.md\"\n"
    );
    let mut loaded = crate::config::parse(&text, Path::new("/tmp/midwatch.toml")).expect("valid");
    change(loaded.config.systems.get_mut("crm").expect("crm"));
    let runtime = Runtime::new(Arc::new(loaded.config), Vec::new());
    Outbound::new(watch::channel(Arc::new(runtime)).1)
}

fn request(url: &str, body: &str) -> Request {
    Request {
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_owned().into(),
        key: "key-1".to_owned(),
    }
}

/// A file that only we can read.
pub(super) fn secret_file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, text).expect("write");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).expect("0600");
    (folder, file)
}

/// A server that keeps what it is asked and answers with `answer`.
async fn recording(answer: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (sender, seen) = mpsc::unbounded_channel();
    let (address, _) = server(move |mut stream| {
        let sender = sender.clone();
        async move {
            let text = read(&mut stream).await;
            let _ = sender.send(text);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    (address, seen)
}

/// A server that treats each connection with `serve`; counts them.
pub(super) async fn server<F, Fut>(serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (address, count)
}

/// Reads one request with a small body: its head and body as text.
pub(super) async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..n]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .map_or(0, |length| length.trim().parse().unwrap_or(0));
            if body.len() >= length {
                return whole;
            }
        }
        if n == 0 {
            return whole;
        }
    }
}

/// A server that answers every request of every connection with `answer` and closes.
async fn answering(answer: impl Into<Vec<u8>>) -> (SocketAddr, Arc<AtomicUsize>) {
    let answer: Arc<[u8]> = answer.into().into();
    server(move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            read(&mut stream).await;
            let _ = stream.write_all(&answer).await;
        }
    })
    .await
}

async fn post(address: SocketAddr, timeout: Duration) -> Result<Reply, SendError> {
    let url = format!("http://{address}/orders");
    outbound(&url, "private = true")
        .send(
            Target::System("crm"),
            &request(&url, "{\"id\":1}"),
            "x-key",
            timeout,
        )
        .await
}

#[tokio::test]
async fn the_request_is_what_was_rendered_with_its_key_and_its_authentication() {
    let (address, mut seen) =
        recording("HTTP/1.1 201 Created\r\nx-request-id: r1\r\ncontent-length: 2\r\n\r\nok").await;
    let (_folder, secret) = secret_file("s3cret\n");
    let url = format!("http://{address}/orders?x=1");
    let auth = format!(
        "private = true\nauth = {{ bearer = \"file:{}\" }}",
        secret.display()
    );
    let client = outbound(&format!("http://{address}"), &auth);
    let body = "{\"b\":1,  \"a\":12.10}";
    let reply = client
        .send(Target::System("crm"), &request(&url, body), "X-Key", SOON)
        .await
        .expect("answered");
    assert_eq!(
        (reply.status, &reply.body[..], reply.truncated),
        (201, &b"ok"[..], false)
    );
    assert_eq!(
        reply.keep(10).headers,
        [("x-request-id".to_owned(), "r1".to_owned())]
    );

    let text = seen.recv().await.expect("seen");
    let (head, sent) = text.split_once("\r\n\r\n").expect("head");
    assert_eq!(sent, body);
    assert!(head.starts_with("POST /orders?x=1 HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    for line in [
        "x-key: key-1",
        "authorization: bearer s3cret",
        "content-type: application/json",
        &format!("content-length: {}", body.len()),
        concat!("user-agent: midwatch/", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.lines().any(|l| l == line), "{line} in {head}");
    }
    assert!(
        !head.contains("accept-encoding") && !head.contains("transfer-encoding"),
        "{head}"
    );
    assert!(!format!("{client:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_never_followed() {
    let (trap, visits) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let (address, _) = answering(format!(
            "HTTP/1.1 {status}\r\nlocation: http://{trap}/\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        let reply = post(address, SOON).await.expect("answered");
        assert_eq!(reply.status.to_string(), status[..3]);
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_drip_ends_at_the_deadline() {
    // The head drips: nothing is known.
    let (address, _) = server(|mut stream| async move {
        read(&mut stream).await;
        for byte in b"HTTP/1.1 200 OK\r\nx-drip: "
            .iter()
            .chain(std::iter::repeat(&b'a'))
        {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let start = Instant::now();
    let error = post(address, Duration::from_millis(300))
        .await
        .expect_err("no status");
    assert_eq!(
        (error.stage, error.fault),
        (Stage::After, Fault::Timeout),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(2));

    // The body drips: the status counts.
    let (address, _) = server(|mut stream| async move {
        read(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            .await;
        while stream.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let start = Instant::now();
    let reply = post(address, Duration::from_millis(300))
        .await
        .expect("a status");
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!((reply.status, reply.truncated), (200, true));
    assert!(!reply.body.is_empty());
}

#[tokio::test]
async fn a_connection_cut_after_the_body_is_unknown() {
    let (address, _) = server(|mut stream| async move {
        read(&mut stream).await;
    })
    .await;
    let error = post(address, SOON).await.expect_err("no status");
    assert_eq!(
        (error.stage, error.fault),
        (Stage::After, Fault::Cut),
        "{error}"
    );

    // Cut in the body of an answer: the status counts.
    let (address, _) = answering("HTTP/1.1 500 Oops\r\ncontent-length: 10\r\n\r\nabc").await;
    let reply = post(address, SOON).await.expect("a status");
    assert_eq!(
        (reply.status, &reply.body[..], reply.truncated),
        (500, &b"abc"[..], true)
    );
}

#[tokio::test]
async fn nothing_listening_and_a_connection_that_never_comes_up_are_before() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let error = post(address, SOON).await.expect_err("refused");
    assert_eq!((error.stage, error.fault), (Stage::Before, Fault::Connect));
    assert_eq!(error.text, "cannot connect: connection refused");

    // A TLS handshake that never ends: connected, but nothing of the request was sent.
    let (address, _) = server(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let url = format!("https://{address}/");
    let error = outbound(&url, "private = true")
        .send(
            Target::System("crm"),
            &request(&url, "{}"),
            "x-key",
            Duration::from_millis(300),
        )
        .await
        .expect_err("silence");
    assert_eq!(
        (error.stage, error.fault),
        (Stage::Before, Fault::Timeout),
        "{error}"
    );

    let url = "http://no-such-host.invalid/";
    let error = outbound(url, "")
        .send(Target::System("crm"), &request(url, "{}"), "x-key", SOON)
        .await
        .expect_err("no such name");
    assert_eq!(error.stage, Stage::Before, "{error}");
}

#[tokio::test]
async fn an_answer_is_neither_decompressed_nor_read_without_end() {
    // gzip's magic comes through as it is.
    let (address, _) = answering(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00"
            .to_vec(),
    )
    .await;
    let reply = post(address, SOON).await.expect("answered");
    assert_eq!(&reply.body[..], b"\x1f\x8b\x08\x00");

    // 200 MB are cut at the cap, and the server is not kept writing.
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let (address, _) = server(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read(&mut stream).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n\r\n")
                .await;
            let block = vec![b'a'; 1 << 16];
            while stream.write_all(&block).await.is_ok()
                && count.load(Ordering::SeqCst) < 200_000_000
            {
                count.fetch_add(block.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let reply = post(address, SOON).await.expect("answered");
    assert_eq!(
        (reply.status, reply.body.len(), reply.truncated),
        (200, super::READ_CAP, true)
    );
    let kept = reply.keep(4096);
    assert_eq!((kept.body.len(), kept.truncated), (4096, true));
    assert!(written.load(Ordering::SeqCst) < 64 << 20);
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let (address, _) = server(|mut stream| async move {
        read(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        let line = format!("x-{}: {}\r\n", "h".repeat(50), "v".repeat(8000));
        while stream.write_all(line.as_bytes()).await.is_ok() {}
    })
    .await;
    let error = post(address, SOON).await.expect_err("no status");
    assert_eq!(error.stage, Stage::After, "{error}");
    assert_eq!(error.fault, Fault::Cut, "refused, not waited out");
}

#[tokio::test]
async fn private_and_metadata_addresses_are_refused_before_a_connection() {
    let (address, visits) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let port = address.port();
    for (host, private, allowed) in [
        ("127.0.0.1", false, false),
        ("2130706433", false, false),
        ("0x7f.1", false, false),
        ("localhost", false, false),
        ("localhost", true, true),
        ("0x7f.1", true, true),
        ("169.254.169.254", true, false),
        ("[::ffff:169.254.169.254]", true, false),
    ] {
        let url = format!("http://{host}:{port}/");
        let keys = if private { "private = true" } else { "" };
        let before = visits.load(Ordering::SeqCst);
        let result = outbound("https://crm.example", keys)
            .send(Target::System("crm"), &request(&url, "{}"), "x-key", SOON)
            .await;
        match result {
            Ok(reply) => assert!(allowed && reply.status == 200, "{host}"),
            Err(error) => {
                assert_eq!(
                    (error.stage, error.fault, allowed),
                    (Stage::Before, Fault::Address, false),
                    "{host}: {error}"
                );
                assert_eq!(visits.load(Ordering::SeqCst), before, "{host}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_sends_nothing_and_a_channels_url_is_never_told() {
    let (address, visits) = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let url = format!("http://{address}/");
    let error = outbound(
        &url,
        "private = true\nauth = { bearer = \"file:/nowhere/token\" }",
    )
    .send(Target::System("crm"), &request(&url, "{}"), "x-key", SOON)
    .await
    .expect_err("no secret");
    assert_eq!((error.stage, error.fault), (Stage::Before, Fault::Secret));
    assert!(error.text.contains("/nowhere/token"), "{error}");
    assert_eq!(visits.load(Ordering::SeqCst), 0);

    let (_folder, hook) = secret_file("http://127.0.0.1:1/T0P/s3cret\n");
    let channel = format!(
        "[channels.slack.ops]\nwebhook = \"file:{}\"\nprivate = true",
        hook.display()
    );
    let error = outbound("https://crm.example", &channel)
        .send(
            Target::Channel("slack:ops"),
            &request("slack:ops", "{}"),
            "x-key",
            SOON,
        )
        .await
        .expect_err("nothing listens");
    assert_eq!(error.fault, Fault::Connect);
    assert!(
        !error.text.contains("s3cret") && !error.text.contains("T0P"),
        "{error}"
    );
}

#[tokio::test]
async fn a_listing_is_read_whole_on_its_own_origin_and_teaches_the_budget() {
    let body = "x".repeat(200_000);
    let (address, _) = answering(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let base = format!("http://{address}");
    let client = outbound(&base, "private = true");
    let reply = client
        .get("crm", "/list?page=1", SOON, 1 << 20)
        .await
        .expect("answered");
    assert_eq!((reply.body.len(), reply.truncated), (200_000, false));
    let cut = client
        .get("crm", "/list", SOON, 1000)
        .await
        .expect("answered");
    assert_eq!((cut.body.len(), cut.truncated), (1000, true));
    let error = client
        .get("crm", "http://evil.example/list", SOON, 1000)
        .await
        .expect_err("elsewhere");
    assert_eq!(error.fault, Fault::Invalid);

    let (address, _) =
        answering("HTTP/1.1 429 Slow down\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n").await;
    let client = outbound(&format!("http://{address}"), "private = true");
    assert!(client.budget("crm").available() > 0);
    assert_eq!(
        client
            .get("crm", "/list", SOON, 1000)
            .await
            .expect("answered")
            .status,
        429
    );
    assert_eq!(client.budget("crm").available(), 0);
}

#[tokio::test]
async fn fixed_headers_and_our_signature_go_with_every_request_under_one_id() {
    let (address, mut seen) = recording("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let key = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let (_folder, file) = secret_file(key);
    let base = format!("http://{address}");
    let client = outbound_with(&base, "private = true", |system| {
        system.sign = Some(SecretRef::File(file));
        system.headers = vec![
            ("api-version".to_owned(), "7".to_owned()),
            ("content-type".to_owned(), "text/plain".to_owned()),
        ];
    });
    let request = request(&format!("{base}/orders"), "{\"id\":1}");
    let mut ids = Vec::new();
    for _ in 0..2 {
        client
            .call("crm", &request, SOON, 1000)
            .await
            .expect("answered");
        let text = seen.recv().await.expect("seen");
        let (head, body) = text.split_once("\r\n\r\n").expect("head");
        let headers: Vec<(String, &str)> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        let one = |name: &str| {
            let all: Vec<&str> = headers
                .iter()
                .filter(|(n, _)| n == name)
                .map(|(_, v)| *v)
                .collect();
            assert_eq!(all.len(), 1, "{name} in {head}");
            all[0].to_owned()
        };
        assert_eq!(one("api-version"), "7");
        assert_eq!(one("content-type"), "application/json", "the request's own");
        assert_eq!(one("idempotency-key"), "key-1");
        let signed: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_bytes()))
            .collect();
        let signed = Signed {
            method: "POST",
            headers: &signed,
            url: None,
            body: body.as_bytes(),
        };
        verify(&standard_webhooks(), &[key], signed, Clock::System.now()).expect("verified");
        ids.push(one("webhook-id"));
        assert!(!format!("{client:?}").contains("MDEy"));
    }
    assert_eq!(ids[0], ids[1]);
    let bad = outbound_with(&base, "private = true", |system| {
        system.sign = Some(SecretRef::File("/nowhere/key".into()));
    });
    let error = bad
        .call("crm", &request, SOON, 1000)
        .await
        .expect_err("unsigned");
    assert_eq!((error.stage, error.fault), (Stage::Before, Fault::Secret));
}

/// The recipe by which receivers check (and `POST /hooks/...` does).
fn standard_webhooks() -> Recipe {
    let text =
        "[site]\n[systems.s]\nhooks = { recipe = \"standard-webhooks\", secrets = [\"env:X\"] }\n";
    let loaded = crate::config::parse(text, Path::new("/tmp/midwatch.toml")).expect("valid");
    loaded.config.systems["s"]
        .hooks
        .clone()
        .expect("hooks")
        .recipe
}

#[tokio::test]
async fn a_request_leaves_only_for_the_systems_own_origin() {
    let client = outbound("https://crm.example/api", "");
    for url in [
        "https://crm.example.evil.example/x",
        "http://crm.example/x",
        "https://crm.example:8443/x",
        "/x",
    ] {
        let error = client
            .call("crm", &request(url, ""), SOON, 10)
            .await
            .expect_err(url);
        assert_eq!(
            (error.stage, error.fault),
            (Stage::Before, Fault::Invalid),
            "{url}: {error}"
        );
    }
}

#[tokio::test]
async fn when_the_vendor_says_none_is_left_nobody_sends_before_the_reset() {
    let (address, _) =
        answering("HTTP/1.1 200 OK\r\nx-left: 0\r\nx-reset: 30\r\ncontent-length: 0\r\n\r\n").await;
    let base = format!("http://{address}");
    let client = outbound_with(&base, "private = true", |system| {
        system.limit_headers = Some(LimitHeaders {
            remaining: "x-left".to_owned(),
            reset: Some("x-reset".to_owned()),
            reset_unit: ResetUnit::Seconds,
        });
    });
    let budget = client.budget("crm");
    budget.acquire().await;
    let url = format!("{base}/x");
    client
        .send(Target::System("crm"), &request(&url, "{}"), "", SOON)
        .await
        .expect("answered");
    assert_eq!(budget.available(), 0, "the handle that others hold");
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    client.clone().budget("crm").acquire().await;
    let waited = start.elapsed();
    assert!(
        waited > Duration::from_secs(28) && waited <= Duration::from_secs(31),
        "{waited:?}"
    );
}
