//! Loopback HTTP: a receiver that does nothing, senders that post events, and bare reqwest as the control.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Answers 200 to everything and counts. Under `/records` it is a system whose records are all new: a lookup finds
/// nothing, and a create is answered with an id.
#[derive(Clone)]
pub struct Receiver(Arc<State>);

struct State {
    address: SocketAddr,
    begun: Instant,
    count: AtomicU64,
    /// When the last request came, in nanoseconds after `begun`.
    last: AtomicU64,
    arrived: Notify,
    keep: AtomicBool,
    kept: Mutex<Option<(HeaderMap, Bytes)>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let receiver = Self(Arc::new(State {
            address: listener.local_addr().expect("an address"),
            begun: Instant::now(),
            count: AtomicU64::new(0),
            last: AtomicU64::new(0),
            arrived: Notify::new(),
            keep: AtomicBool::new(false),
            kept: Mutex::default(),
        }));
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(serving.serve(stream));
            }
        });
        receiver
    }

    async fn serve(self, stream: TcpStream) {
        stream.set_nodelay(true).expect("no delay");
        let service = service_fn(|request: hyper::Request<Incoming>| async {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let state = &self.0;
            if state.keep.swap(false, Ordering::Relaxed) {
                *state.kept.lock().expect("a lock") = Some((parts.headers, body));
            }
            let now = state.begun.elapsed().as_nanos() as u64;
            state.last.store(now, Ordering::SeqCst);
            let records = parts.uri.path().starts_with("/records");
            let mut response = hyper::Response::new(Full::new(Bytes::new()));
            if records && parts.method == hyper::Method::GET {
                *response.status_mut() = hyper::StatusCode::NOT_FOUND;
                return Ok(response);
            }
            let count = state.count.fetch_add(1, Ordering::SeqCst);
            if records {
                *response.body_mut() = Full::new(Bytes::from(format!("{{\"id\":{count}}}")));
            }
            state.arrived.notify_waiters();
            Ok::<_, hyper::Error>(response)
        });
        // A sender that is gone ends it.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have come; when the last of them came.
    pub async fn reaches(&self, count: u64) -> Instant {
        loop {
            let arrived = self.0.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            arrived.as_mut().enable();
            if self.count() >= count {
                let nanos = self.0.last.load(Ordering::SeqCst);
                return self.0.begun + Duration::from_nanos(nanos);
            }
            tokio::time::timeout(Duration::from_secs(60), arrived)
                .await
                .expect("a request within a minute");
        }
    }

    /// Keeps the next request.
    pub fn keep_next(&self) {
        self.0.keep.store(true, Ordering::Relaxed);
    }

    /// The request that was kept.
    pub fn kept(&self) -> (HeaderMap, Bytes) {
        let kept = self.0.kept.lock().expect("a lock").clone();
        kept.expect("a request was kept")
    }
}

/// One connection to the front door, kept alive. As little work as a sender can do: it shares the machine.
pub struct Sender {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Sender {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the front door");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            buffer: Vec::with_capacity(4096),
        }
    }

    /// Posts event `n` and waits for its 202.
    pub async fn post(&mut self, n: u64) {
        let data = super::rows::payload(n);
        let data = std::str::from_utf8(&data).expect("text");
        let body = format!(
            r#"{{"specversion":"1.0","id":"evt_{n:016x}","source":"shop","type":"order.created","subject":"{n}","datacontenttype":"application/json","data":{data}}}"#
        );
        let request = format!(
            "POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream
            .write_all(request.as_bytes())
            .await
            .expect("sent");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("read");
            assert!(read > 0, "the front door closed");
            if is_whole(&self.buffer) {
                break;
            }
        }
        let answer = String::from_utf8_lossy(&self.buffer);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
}

/// An answer with a content length has come to its end.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|text| text.trim().parse::<usize>().ok())
        .unwrap_or(0);
    answer.len() >= end + 4 + length
}

/// Posts `count` events through `connections` connections, numbered from `from`.
pub async fn post_all(address: SocketAddr, connections: usize, from: u64, count: u64) {
    let next = Arc::new(AtomicU64::new(from));
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                let mut sender = Sender::connect(address).await;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= from + count {
                        return;
                    }
                    sender.post(n).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a sender");
    }
}

/// Requests per second of bare reqwest: `count` requests of these very headers and bytes, `connections` at a time.
pub async fn bare(
    client: &reqwest::Client,
    receiver: &Receiver,
    connections: usize,
    count: u64,
) -> f64 {
    let (headers, body) = receiver.kept();
    let url = reqwest::Url::parse(&receiver.url()).expect("a url");
    let left = Arc::new(AtomicU64::new(count));
    let start = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            let (headers, body) = (headers.clone(), body.clone());
            let left = Arc::clone(&left);
            tokio::spawn(async move {
                let take = |n: u64| n.checked_sub(1);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                    .is_ok()
                {
                    let request = client
                        .post(url.clone())
                        .headers(headers.clone())
                        .body(body.clone());
                    let answer = request.send().await.expect("an answer");
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.expect("a body");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// A client as plain as it gets, with as many connections kept as are used.
pub fn client() -> reqwest::Client {
    // reqwest refuses to be built without a TLS provider, also for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .build()
        .expect("a client")
}
