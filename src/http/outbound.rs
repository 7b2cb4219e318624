//! `Outbound`: every request of midwatch goes through it. It never follows a redirect, never uses a proxy from the
//! environment, never decompresses, never waits longer than the deadline it is given, never reads more than it is told
//! to, and never connects to an address that the guard forbids. Called by the dispatcher (`send`) and by reconciliation (`get`).

use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use tokio::time::{Instant, timeout_at};

use super::auth::{AuthHeader, Keyring};
use super::body::{Sent, Tracked};
use super::guard::{self, Forbidden, Resolver};
use super::join::join;
use super::redact::Secrets;
use super::reply::{Fault, Reply, SendError, Stage};
use crate::config::live::Live;
use crate::queue::budget::Budget;
use crate::queue::model::Request;
use crate::time::Timestamp;

/// The most that is read of the answer to a delivery.
pub const READ_CAP: usize = 64 << 10;

/// Idle connections are closed before most servers close them: a request on a connection that the other side is just
/// closing has an unknown outcome.
const IDLE: Duration = Duration::from_secs(20);

/// To whom a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A system of the configuration; the request's URL is absolute.
    System(&'a str),
    /// A channel (`kind:name`); its URL is a secret and replaces the request's.
    Channel(&'a str),
}

/// The outbound client. Cheap to clone; all clones share connections, budgets and secrets.
#[derive(Debug, Clone)]
pub struct Outbound(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: Live,
    /// For systems on the public internet.
    public: LazyLock<Result<Client, String>>,
    /// For systems that say `private = true`.
    private: LazyLock<Result<Client, String>>,
    keyring: Keyring,
    budgets: Mutex<HashMap<String, Budget>>,
}

/// A request with everything resolved that the configuration says about it.
struct Ready {
    client: Client,
    request: reqwest::Request,
    sent: Sent,
    secrets: Secrets,
}

impl Outbound {
    /// A client for the systems and channels of the configuration in force.
    pub fn new(live: Live) -> Self {
        // The one provider of the process; a second install changes nothing, and that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let outbound = Self(Arc::new(Inner {
            live,
            public: LazyLock::new(|| client(false)),
            private: LazyLock::new(|| client(true)),
            keyring: Keyring::default(),
            budgets: Mutex::default(),
        }));
        // Each reads the machine's certificates, which takes tens of milliseconds: beside the start, not before it.
        let (public, private) = (outbound.0.clone(), outbound.0.clone());
        let beside = std::thread::Builder::new;
        // Without a thread the first request does it.
        let _ = beside().spawn(move || LazyLock::force(&public.public).is_ok());
        let _ = beside().spawn(move || LazyLock::force(&private.private).is_ok());
        outbound
    }

    /// The budget of a system, shared by all who ask for it.
    pub fn budget(&self, system: &str) -> Budget {
        let limit = self
            .0
            .live
            .borrow()
            .config
            .systems
            .get(system)
            .and_then(|system| system.limit);
        let mut budgets = self
            .0
            .budgets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = budgets.get(system) {
            budget.set_limit(limit);
            return budget.clone();
        }
        let budget = Budget::new(limit);
        budgets.insert(system.to_owned(), budget.clone());
        budget
    }

    /// Sends one attempt: exactly one request, or none. `timeout` covers everything from resolving the name to the end of
    /// the answer; a status that was read counts even if the body was cut. The budget is the caller's business.
    pub async fn send(
        &self,
        target: Target<'_>,
        request: &Request,
        key_header: &str,
        timeout: Duration,
    ) -> Result<Reply, SendError> {
        let deadline = Instant::now() + timeout;
        let mut ready = self.prepare(target, request, key_header)?;
        let secrets = std::mem::take(&mut ready.secrets);
        let mut reply = exchange(ready, deadline, timeout, READ_CAP).await?;
        // The answer will be stored and shown, whatever it repeats of the request.
        reply.body = secrets.hide(reply.body);
        secrets.hide_in(&mut reply.headers);
        Ok(reply)
    }

    /// Reads a listing of `system`; `url` is relative to the system's, or absolute on the same origin. Waits for the
    /// system's budget first (`timeout` begins after that) and obeys a 429 for all that share it. A body that is longer
    /// than `max_bytes` or was cut comes back `truncated`.
    pub async fn get(
        &self,
        system: &str,
        url: &str,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Reply, SendError> {
        let invalid = |text: String| SendError::before(Fault::Invalid, text);
        let base = self.base(system)?;
        let url = join(&base, url).map_err(|error| invalid(error.to_string()))?;
        if url.origin() != base.origin() {
            return Err(invalid(format!(
                "the listing is not on {system}'s own origin"
            )));
        }
        let request = Request {
            method: "GET".to_owned(),
            url: url.into(),
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: Bytes::new(),
            key: String::new(),
        };
        let budget = self.budget(system);
        budget.acquire().await;
        let deadline = Instant::now() + timeout;
        let ready = self.prepare(Target::System(system), &request, "")?;
        let reply = exchange(ready, deadline, timeout, max_bytes).await?;
        if matches!(reply.status, 429 | 503) {
            let now = Timestamp(chrono::Utc::now().timestamp_millis());
            if let Some(asked) = reply.retry_after(now) {
                budget.throttled(asked.min(Duration::from_secs(3600)));
            }
        }
        Ok(reply)
    }

    /// The base URL of a system.
    fn base(&self, system: &str) -> Result<Url, SendError> {
        let runtime = self.0.live.borrow();
        let found = runtime.config.systems.get(system);
        found
            .and_then(|system| system.url.as_deref())
            .and_then(|url| Url::parse(url).ok())
            .ok_or_else(|| {
                SendError::before(Fault::Invalid, format!("system {system} has no valid url"))
            })
    }

    fn prepare(
        &self,
        target: Target<'_>,
        request: &Request,
        key_header: &str,
    ) -> Result<Ready, SendError> {
        let invalid = |text: &str| SendError::before(Fault::Invalid, text);
        let (url, private, auth) = self.resolve(target, request)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("the URL is neither http nor https"));
        }
        guard::check_literal(&url, private)
            .map_err(|error| SendError::before(Fault::Address, error.to_string()))?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| invalid("the method is no HTTP method"))?;

        let mut headers = HeaderMap::with_capacity(request.headers.len() + 2);
        for (name, value) in &request.headers {
            set(&mut headers, name, value)?;
        }
        if !request.key.is_empty() && !key_header.is_empty() {
            set(&mut headers, key_header, &request.key)?;
        }
        let secrets = match (target, &auth) {
            (Target::Channel(_), _) => Secrets::of_url(&url),
            (Target::System(_), Some(header)) => Secrets::of_header(header),
            (Target::System(_), None) => Secrets::default(),
        };
        if let Some((name, value)) = auth {
            headers.insert(name, value);
        }
        if request.body.is_empty() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut built = reqwest::Request::new(method, url);
        *built.headers_mut() = headers;
        let (body, sent) = Tracked::new(request.body.clone());
        if !request.body.is_empty() {
            *built.body_mut() = Some(reqwest::Body::wrap(body));
        }
        let client = if private {
            &self.0.private
        } else {
            &self.0.public
        };
        Ok(Ready {
            client: Result::clone(client).map_err(|error| invalid(&error))?,
            request: built,
            sent,
            secrets,
        })
    }

    /// URL, whether private addresses are meant, and the header that authenticates.
    fn resolve(
        &self,
        target: Target<'_>,
        request: &Request,
    ) -> Result<(Url, bool, Option<AuthHeader>), SendError> {
        let invalid = |text: String| SendError::before(Fault::Invalid, text);
        let secret = |text: String| SendError::before(Fault::Secret, text);
        let runtime = Arc::clone(&self.0.live.borrow());
        match target {
            Target::System(name) => {
                let system = runtime
                    .config
                    .systems
                    .get(name)
                    .ok_or_else(|| invalid(format!("no system is called {name}")))?;
                let url = Url::parse(&request.url)
                    .map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
                let auth = self.0.keyring.header(name, &system.auth).map_err(secret)?;
                Ok((url, system.private, auth))
            }
            Target::Channel(name) => {
                let channel = runtime
                    .config
                    .channels
                    .get(name)
                    .ok_or_else(|| invalid(format!("no channel is called {name}")))?;
                let url = self.0.keyring.url(&channel.webhook).map_err(secret)?;
                // The URL is the secret: the parser's error would repeat none of it, and neither do we.
                let url = Url::parse(&url)
                    .map_err(|_| secret(format!("the webhook of {name} is no URL")))?;
                Ok((url, channel.private, None))
            }
        }
    }
}

fn client(private: bool) -> Result<Client, String> {
    Client::builder()
        .user_agent(concat!("midwatch/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .dns_resolver(Resolver { private })
        .connect_timeout(Duration::from_secs(10))
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(64)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| format!("the HTTP client could not be made: {}", describe(&error)))
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), SendError> {
    let invalid = |what: &str| {
        SendError::before(
            Fault::Invalid,
            format!("header `{name}`: its {what} holds what no header may hold"),
        )
    };
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("name"))?;
    let value = HeaderValue::from_str(value).map_err(|_| invalid("value"))?;
    headers.append(key, value);
    Ok(())
}

/// One request, one answer, by `deadline`.
async fn exchange(
    ready: Ready,
    deadline: Instant,
    timeout: Duration,
    cap: usize,
) -> Result<Reply, SendError> {
    let Ready {
        client,
        request,
        sent,
        ..
    } = ready;
    let has_body = request.body().is_some();
    // Of a request without a body nobody asks for one: only a failed connection says that nothing was sent.
    let stage = |connecting: bool| {
        if connecting || (has_body && !sent.happened()) {
            Stage::Before
        } else {
            Stage::After
        }
    };
    let mut response = match timeout_at(deadline, client.execute(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(failure(&error, stage(error.is_connect()))),
        Err(_) => {
            let text = match stage(false) {
                Stage::Before => format!(
                    "nothing could be sent within {}",
                    crate::time::short(timeout)
                ),
                Stage::After => format!("no answer within {}", crate::time::short(timeout)),
            };
            return Err(SendError {
                stage: stage(false),
                fault: Fault::Timeout,
                text,
            });
        }
    };
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Collected::default();
    let truncated = loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = cap - body.len();
                if chunk.len() > room {
                    body.push(chunk.slice(..room));
                    break true;
                }
                body.push(chunk);
            }
            Ok(Ok(None)) => break false,
            Ok(Err(_)) | Err(_) => break true,
        }
    };
    Ok(Reply {
        status,
        headers,
        body: body.into(),
        truncated,
    })
}

/// A body as it comes in; one chunk, which is the rule, is not copied.
#[derive(Default)]
struct Collected {
    first: Bytes,
    rest: BytesMut,
}

impl Collected {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn push(&mut self, chunk: Bytes) {
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.rest.extend_from_slice(&chunk);
        }
    }
}

impl From<Collected> for Bytes {
    fn from(body: Collected) -> Self {
        if body.rest.is_empty() {
            return body.first;
        }
        let mut whole = BytesMut::with_capacity(body.len());
        whole.extend_from_slice(&body.first);
        whole.extend_from_slice(&body.rest);
        whole.freeze()
    }
}

/// Why a request brought no status.
fn failure(error: &reqwest::Error, stage: Stage) -> SendError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(forbidden) = inner.downcast_ref::<Forbidden>() {
            return SendError::before(Fault::Address, forbidden.to_string());
        }
        cause = inner.source();
    }
    let fault = match stage {
        _ if error.is_timeout() => Fault::Timeout,
        Stage::Before => Fault::Connect,
        Stage::After => Fault::Cut,
    };
    let what = match stage {
        Stage::Before => "cannot connect",
        Stage::After => "the connection broke after the request was sent",
    };
    SendError {
        stage,
        fault,
        text: format!("{what}: {}", describe(error)),
    }
}

/// The innermost cause, which says most, and never the URL, which may be a secret.
fn describe(error: &reqwest::Error) -> String {
    let Some(mut inner) = error.source() else {
        return "the client gave no reason".to_owned();
    };
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    match inner.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        _ => inner.to_string(),
    }
}
