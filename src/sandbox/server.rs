//! One stand-in system's HTTP server on loopback, with faults that can be switched while it runs.
//!
//! It answers in this process, but as a stranger would: over a socket, with real statuses, real latency, cut
//! connections and, when it is "down", a port that refuses. It is not part of the product. Called by `Sandbox`.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::random::Random;
use super::script::Faults;

/// The largest body that a stand-in reads.
const MAX_BODY: usize = 1 << 20;

/// What a stand-in was asked.
#[derive(Debug)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// Path, without the query, as it was sent.
    pub path: String,
    /// The query's names and values, decoded.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A header as text; empty if absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The path's segments, decoded.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let protected = part.replace('+', "%2B").replace('=', "%3D");
                let decoded = pairs(&protected.replace('&', "%26"));
                decoded
                    .into_iter()
                    .next()
                    .map(|(name, _)| name)
                    .unwrap_or_default()
            })
            .collect()
    }

    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A query parameter as a number.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.param(name)?.parse().ok()
    }

    /// The body as a JSON object.
    pub fn object(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as a form, names in brackets as they stand.
    pub fn form(&self) -> Vec<(String, String)> {
        std::str::from_utf8(&self.body).map_or_else(|_| Vec::new(), pairs)
    }
}

/// `a=1&b=%20`, decoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let Ok(url) = reqwest::Url::parse(&format!("http://stand-in/?{text}")) else {
        return Vec::new();
    };
    url.query_pairs().into_owned().collect()
}

/// What a stand-in answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub content_type: &'static str,
    /// Further headers; names lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: body.to_string(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into().into_owned()));
        self
    }

    /// A plain text answer.
    pub fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }
}

/// The behaviour of one stand-in.
pub trait System: Send + Sync + 'static {
    /// Answers, and remembers. `faults` are those in force: some are the system's own business.
    fn answer(&self, call: &Call, faults: &Faults) -> Reply;
}

/// A running stand-in. Its task ends with `stop`.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    faults: watch::Sender<Arc<Faults>>,
}

impl Server {
    /// Binds an ephemeral loopback port and serves `system` on it.
    pub async fn start(
        system: Arc<dyn System>,
        seed: u64,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (faults, watching) = watch::channel(Arc::new(Faults::default()));
        let host = Host {
            system,
            faults: watching,
            dice: Arc::new(Mutex::new(Random::new(seed))),
            writes: Arc::default(),
        };
        tokio::spawn(async move {
            stop.run_until_cancelled(host.keep(listener, address)).await;
        });
        Ok(Self { address, faults })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts these faults in force from the next request on.
    pub fn set(&self, faults: Faults) {
        self.faults.send_if_modified(|now| {
            let changed = **now != faults;
            if changed {
                *now = Arc::new(faults);
            }
            changed
        });
    }
}

/// A connection ends without an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

#[derive(Clone)]
struct Host {
    system: Arc<dyn System>,
    faults: watch::Receiver<Arc<Faults>>,
    dice: Arc<Mutex<Random>>,
    /// Requests that change something, so far.
    writes: Arc<AtomicU32>,
}

impl Host {
    /// Listens while up; refuses connections, and cuts the open ones, while down.
    async fn keep(mut self, listener: TcpListener, address: SocketAddr) {
        let mut listener = Some(listener);
        loop {
            if let Some(open) = listener.take() {
                self.serve(&open).await;
            }
            if self.faults.wait_for(|faults| !faults.down).await.is_err() {
                return;
            }
            match TcpListener::bind(address).await {
                Ok(again) => listener = Some(again),
                // Someone else has the port for the moment: a longer outage.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Accepts until the system goes down (or its sandbox is gone).
    async fn serve(&mut self, listener: &TcpListener) {
        let mut connections = JoinSet::new();
        let mut faults = self.faults.clone();
        // Also ends when the sandbox is gone: `keep` finds out which it was.
        let down = async move { drop(faults.wait_for(|faults| faults.down).await) };
        tokio::pin!(down);
        loop {
            tokio::select! {
                () = &mut down => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => { connections.spawn(self.clone().connection(stream)); }
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        let service = service_fn(|request| self.clone().request(request));
        // An error here is a client that left, or a cut that was meant.
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn request(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY)
            .collect()
            .await
            .map_err(|_| Cut)?
            .to_bytes();
        let call = Call {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(pairs).unwrap_or_default(),
            headers: head.headers,
            body,
        };
        let faults = self.faults.borrow().clone();
        let (share, fails, cut) = {
            let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
            (
                dice.unit(),
                dice.chance(faults.fail_chance()),
                dice.chance(faults.cut),
            )
        };
        if !faults.latency.is_zero() {
            tokio::time::sleep(faults.latency.mul_f64(0.6 + 0.8 * share)).await;
        }
        if fails
            && faults.concerns(call.method.as_str(), &call.path)
            && let Some(status) = faults.status
        {
            return Ok(respond(&failure(status), faults.retry_after));
        }
        let reply = self.system.answer(&call, &faults);
        let changed = call.method != Method::GET && reply.status < 300;
        if cut || (changed && self.cut_now(faults.cut_every)) {
            return Err(Cut);
        }
        Ok(respond(&reply, None))
    }
}

impl Host {
    /// Whether this write is one of those that are done but not answered.
    fn cut_now(&self, every: u32) -> bool {
        every > 0 && (self.writes.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every)
    }
}

/// What servers say when they do not get as far as the application.
fn failure(status: u16) -> Reply {
    match status {
        429 => Reply::json(
            429,
            &serde_json::json!({
                "status": "error",
                "errorType": "RATE_LIMIT",
                "message": "You have reached your ten_secondly_rolling limit.",
                "policyName": "TEN_SECONDLY_ROLLING",
            }),
        ),
        status => Reply {
            status,
            content_type: "text/html",
            headers: Vec::new(),
            body: "<html><head><title>Service Unavailable</title></head><body><h1>Upstream connect error</h1></body></html>\n"
                .to_owned(),
        },
    }
}

fn respond(reply: &Reply, retry_after: Option<u64>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body.clone())));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(reply.content_type));
    for (name, value) in &reply.headers {
        // Ours are plain ASCII; one that is not is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(seconds) = retry_after {
        headers.insert(
            HeaderName::from_static("retry-after"),
            HeaderValue::from(seconds),
        );
    }
    response
}

/// Sends one request to `to` on a connection of its own and reads the answer's status and body.
pub async fn post(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, String)],
    body: Bytes,
) -> io::Result<(u16, Bytes)> {
    let other = |error: hyper::Error| io::Error::other(error);
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(other)?;
    let mut request = Request::post(path).header("host", to.to_string());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request
        .body(Full::<Bytes>::new(body))
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let answer = sender.send_request(request).await.map_err(other)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    }
    .await;
    driver.abort();
    answer
}
