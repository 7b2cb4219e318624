//! `Outbound`: every request of midwatch goes through it. It never follows a redirect, never uses a proxy from the
//! environment, never decompresses, never waits longer than the deadline it is given, never reads more than it is told
//! to, and never connects to an address that the guard forbids. What the
//! receiver says of its rate budget is kept for all that talk to it. Called by the dispatcher (`send`), by `remote`
//! (`call`) and by reconciliation (`get`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, Url};
use tokio::time::Instant;

use super::auth::{AuthHeader, Keyring};
use super::body::Tracked;
use super::exchange::{Ready, describe, exchange, failure};
use super::guard::{self, Resolver};
use super::join::join;
use super::mail::{self, Letter};
use super::redact::Secrets;
use super::reply::{Fault, Reply, SendError, Stage};
use super::{certificate, limits, oauth, sign};
use crate::config::live::{Live, Runtime};
use crate::config::model::{Auth, Channel, ChannelKind, OAuth2, SecretRef, System};
use crate::queue::budget::Budget;
use crate::queue::model::Request;
use crate::time::{Clock, Timestamp, short};

/// The most that is read of the answer to a delivery.
pub const READ_CAP: usize = 64 << 10;

/// Idle connections are closed before most servers close them: a request on a connection that the other side is just
/// closing has an unknown outcome.
const IDLE: Duration = Duration::from_secs(20);

/// The header that carries the key of a request that no path says another for
/// (draft-ietf-httpapi-idempotency-key-header).
const KEY_HEADER: &str = "idempotency-key";

/// To whom a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A system of the configuration; the request's URL is absolute.
    System(&'a str),
    /// A channel (`kind:name`); its URL is a secret and replaces the request's.
    Channel(&'a str),
    /// `watch.heartbeat`; as with a channel.
    Heartbeat,
}

/// What a system says of itself to somebody without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// From resolving its name to the head of its answer.
    pub took: Duration,
    /// It was `https://`, and the certificate was good.
    pub is_tls: bool,
    /// When that expires, where it could be read.
    pub certificate_until: Option<Timestamp>,
    /// The time, by its own clock.
    pub date: Option<Timestamp>,
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
    tokens: oauth::Tokens,
    budgets: Mutex<HashMap<String, Budget>>,
}

impl Outbound {
    /// A client for the systems and channels of the configuration in force.
    pub fn new(live: Live) -> Self {
        Self::with(live, oauth::Tokens::default())
    }

    /// A client that begins with these tokens.
    pub(super) fn with(live: Live, tokens: oauth::Tokens) -> Self {
        // The one provider of the process; a second install changes nothing, and that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let outbound = Self(Arc::new(Inner {
            live,
            public: LazyLock::new(|| client(false)),
            private: LazyLock::new(|| client(true)),
            keyring: Keyring::default(),
            tokens,
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
        self.transact(target, request, key_header, timeout, READ_CAP)
            .await
    }

    /// Sends one request to `system`, on its own origin: its fixed headers, its credentials and, where it is configured,
    /// our signature are added, and the key in `Idempotency-Key`. Does not wait for the budget, which is the caller's
    /// business; obeys a Retry-After (up to an hour) for all that share it. A body that is longer than `cap` bytes or was
    /// cut comes back `truncated`.
    pub async fn call(
        &self,
        system: &str,
        request: &Request,
        timeout: Duration,
        cap: usize,
    ) -> Result<Reply, SendError> {
        let invalid = |text: String| SendError::before(Fault::Invalid, text);
        let url = Url::parse(&request.url)
            .map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
        if url.origin() != self.base(system)?.origin() {
            return Err(invalid(format!(
                "the request is not on {system}'s own origin"
            )));
        }
        let target = Target::System(system);
        let reply = self
            .transact(target, request, KEY_HEADER, timeout, cap)
            .await?;
        if matches!(reply.status, 429 | 503)
            && let Some(asked) = reply.retry_after(Clock::System.now())
        {
            self.budget(system).throttled(asked.min(limits::LONGEST));
        }
        Ok(reply)
    }

    /// Reads a listing of `system`; `url` is relative to the system's, or absolute on the same origin. Waits for the
    /// system's budget first (`timeout` begins after that); the rest is as in [`Self::call`].
    pub async fn get(
        &self,
        system: &str,
        url: &str,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Reply, SendError> {
        let url = join(&self.base(system)?, url)
            .map_err(|error| SendError::before(Fault::Invalid, error.to_string()))?;
        let request = Request {
            method: "GET".to_owned(),
            url: url.into(),
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: Bytes::new(),
            key: String::new(),
        };
        self.budget(system).acquire().await;
        self.call(system, &request, timeout, max_bytes).await
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

    /// The one way out: everything that is sent, whoever asks for it.
    async fn transact(
        &self,
        target: Target<'_>,
        request: &Request,
        key_header: &str,
        timeout: Duration,
        cap: usize,
    ) -> Result<Reply, SendError> {
        let deadline = Instant::now() + timeout;
        let runtime = Arc::clone(&self.0.live.borrow());
        let place = self.place(&runtime, target, request)?;
        let sending = Sending {
            request,
            key_header,
            deadline,
            timeout,
            cap,
        };
        match place.oauth() {
            None => self.once(&place, &sending).await,
            // Apart, so that a request that has fixed credentials does not carry the room for this.
            Some((system, oauth)) => {
                Box::pin(self.with_token(place, system, oauth, &sending)).await
            }
        }
    }

    /// One request with a system's token; once more with a new one where the system refuses it.
    async fn with_token(
        &self,
        mut place: Place<'_>,
        system: &System,
        oauth: &Arc<OAuth2>,
        sending: &Sending<'_>,
    ) -> Result<Reply, SendError> {
        let mut used = oauth::header(self, system, oauth, None, sending.deadline).await?;
        place.auth = used.as_ref().map(|used| used.header.clone());
        let mut reply = self.once(&place, sending).await?;
        if reply.status == 401 {
            // Refused for its token, so nothing was done.
            let newer = oauth::header(self, system, oauth, used.as_ref(), sending.deadline).await;
            if let Ok(Some(newer)) = newer {
                place.auth = Some(newer.header.clone());
                used = Some(newer);
                reply = self.once(&place, sending).await?;
            }
        }
        if reply.status != 401
            && let Some(used) = &used
        {
            oauth::worked(self, system, oauth, used);
        }
        Ok(reply)
    }

    /// One request with the credentials that it has.
    async fn once(&self, place: &Place<'_>, sending: &Sending<'_>) -> Result<Reply, SendError> {
        let secrets = match (&place.system, &place.auth) {
            (None, _) => Secrets::of_url(&place.url)
                .and(place.inside.iter().map(|(_, secret)| secret.as_str()))
                .and(
                    place
                        .auth
                        .iter()
                        .filter_map(|(_, value)| value.to_str().ok()),
                ),
            (Some(_), Some(header)) => Secrets::of_header(header),
            (Some(_), None) => Secrets::default(),
        };
        let ready = self.prepare(place, sending.request, sending.key_header)?;
        let mut reply = exchange(ready, sending.deadline, sending.timeout, sending.cap).await?;
        // The answer will be stored and shown, whatever it repeats of the request.
        reply.body = secrets.hide(reply.body);
        secrets.hide_in(&mut reply.headers);
        if let Some(system) = place.system
            && let Some(names) = &system.limit_headers
            && let Some((left, reset)) = limits::left(names, &reply, Clock::System.now())
        {
            self.budget(&system.name).left(left, reset);
        }
        Ok(reply)
    }

    /// One request to a token endpoint: no system's headers, credentials or budget, and nothing taken out of the answer.
    pub(super) async fn ask(
        &self,
        private: bool,
        request: &Request,
        timeout: Duration,
    ) -> Result<Reply, SendError> {
        let url = Url::parse(&request.url)
            .map_err(|_| SendError::before(Fault::Invalid, "token_url is no URL"))?;
        let place = Place {
            url,
            private,
            auth: None,
            system: None,
            inside: Vec::new(),
        };
        let ready = self.prepare(&place, request, "")?;
        exchange(ready, Instant::now() + timeout, timeout, READ_CAP).await
    }

    /// The addresses that a system's name leads to, all of them allowed.
    pub async fn addresses(
        &self,
        system: &str,
        timeout: Duration,
    ) -> Result<Vec<IpAddr>, SendError> {
        let (url, private) = self.where_is(system)?;
        let host = url.host_str().unwrap_or_default();
        let name = (
            host.trim_matches(['[', ']']),
            url.port_or_known_default().unwrap_or(443),
        );
        let failed = |text: String| SendError::before(Fault::Connect, text);
        let found = tokio::time::timeout(timeout, tokio::net::lookup_host(name))
            .await
            .map_err(|_| failed(format!("no answer about {host} within {}", short(timeout))))?
            .map_err(|error| failed(format!("{host} cannot be resolved: {error}")))?;
        let mut addresses: Vec<IpAddr> = found.map(|found| found.ip()).collect();
        addresses.dedup();
        for address in &addresses {
            guard::check(*address, private)
                .map_err(|error| SendError::before(Fault::Address, error.to_string()))?;
        }
        Ok(addresses)
    }

    /// Connects to a system anew and asks for nothing but a head, without credentials: is somebody there, and what does
    /// its certificate say? Any status is an answer.
    pub async fn reach(&self, system: &str, timeout: Duration) -> Result<Reached, SendError> {
        let (url, private) = self.where_is(system)?;
        guard::check_literal(&url, private)
            .map_err(|error| SendError::before(Fault::Address, error.to_string()))?;
        let invalid = |text: String| SendError::before(Fault::Invalid, text);
        // A client of its own: a connection that is open already would say nothing of the next one.
        let client = tokio::task::spawn_blocking(move || built(builder(private).tls_info(true)))
            .await
            .map_err(|_| invalid("the HTTP client could not be made".to_owned()))?
            .map_err(invalid)?;
        let is_tls = url.scheme() == "https";
        let start = Instant::now();
        let sent = client.head(url).send();
        let response = tokio::time::timeout(timeout, sent).await.map_err(|_| {
            let text = format!("no answer within {}", short(timeout));
            SendError::before(Fault::Timeout, text)
        })?;
        let response = response.map_err(|error| failure(&error, Stage::Before))?;
        let info = response.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = info.and_then(reqwest::tls::TlsInfo::peer_certificate);
        let certificate_until = certificate.and_then(certificate::expires);
        let reply = Reply {
            headers: response.headers().clone(),
            ..Reply::default()
        };
        Ok(Reached {
            took: start.elapsed(),
            is_tls,
            certificate_until,
            date: reply.date(),
        })
    }

    /// Where a system is, and whether private addresses are meant.
    fn where_is(&self, system: &str) -> Result<(Url, bool), SendError> {
        let url = self.base(system)?;
        let runtime = self.0.live.borrow();
        let found = runtime.config.systems.get(system);
        Ok((url, found.is_some_and(|system| system.private)))
    }

    /// The tokens that this process knows.
    pub(super) fn tokens(&self) -> &oauth::Tokens {
        &self.0.tokens
    }

    /// A secret's text.
    pub(super) fn secret(&self, reference: &SecretRef) -> Result<String, String> {
        self.0.keyring.text(reference)
    }

    /// The database, beside which tokens are kept.
    pub(super) fn database(&self) -> PathBuf {
        self.0.live.borrow().config.site.database.clone()
    }

    fn prepare(
        &self,
        place: &Place<'_>,
        request: &Request,
        key_header: &str,
    ) -> Result<Ready, SendError> {
        let invalid = |text: &str| SendError::before(Fault::Invalid, text);
        let url = place.url.clone();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("the URL is neither http nor https"));
        }
        guard::check_literal(&url, place.private)
            .map_err(|error| SendError::before(Fault::Address, error.to_string()))?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| invalid("the method is no HTTP method"))?;

        let mut headers = HeaderMap::with_capacity(request.headers.len() + 4);
        for (name, value) in &request.headers {
            set(&mut headers, name, value)?;
        }
        if !request.key.is_empty() && !key_header.is_empty() {
            set(&mut headers, key_header, &request.key)?;
        }
        if let Some(system) = place.system {
            for (name, value) in &system.headers {
                // What the request says itself is more particular.
                if !headers.contains_key(name) {
                    set(&mut headers, name, value)?;
                }
            }
            self.sign(system, request, &mut headers)?;
        }
        if let Some((name, value)) = &place.auth {
            headers.insert(name, value.clone());
        }
        if request.body.is_empty() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut built = reqwest::Request::new(method, url);
        *built.headers_mut() = headers;
        let (body, sent) = Tracked::new(filled(&request.body, &place.inside));
        if !request.body.is_empty() {
            *built.body_mut() = Some(reqwest::Body::wrap(body));
        }
        let client = if place.private {
            &self.0.private
        } else {
            &self.0.public
        };
        Ok(Ready {
            client: Result::clone(client).map_err(|error| invalid(&error))?,
            request: built,
            sent,
        })
    }

    /// Signs the request, if the system is told to expect that.
    fn sign(
        &self,
        system: &System,
        request: &Request,
        headers: &mut HeaderMap,
    ) -> Result<(), SendError> {
        let Some(reference) = &system.sign else {
            return Ok(());
        };
        let failed = |text: String| SendError::before(Fault::Secret, text);
        let secret = self.0.keyring.text(reference).map_err(failed)?;
        let signed = sign::headers(&secret, &request.key, Clock::System.now(), &request.body)
            .ok_or_else(|| {
                failed(format!(
                    "the signing secret of {} is no base64 text",
                    system.name
                ))
            })?;
        for (name, value) in signed {
            headers.remove(name);
            set(headers, name, &value)?;
        }
        Ok(())
    }

    /// Sends a letter by the server of `[mail]`: exactly one, or none.
    pub async fn mail(
        &self,
        to: &[String],
        letter: &Letter,
        timeout: Duration,
    ) -> Result<Reply, SendError> {
        let config = Arc::clone(&self.0.live.borrow().config);
        let Some(server) = &config.mail else {
            return Err(SendError::before(
                Fault::Invalid,
                "there is no [mail] to send it by",
            ));
        };
        let password = (server.login.as_ref())
            .map(|(_, password)| self.0.keyring.text(password))
            .transpose()
            .map_err(|text| SendError::before(Fault::Secret, text))?;
        mail::send(server, password, to, letter, timeout).await
    }

    /// Where a request goes, and the header that authenticates it.
    fn place<'a>(
        &self,
        runtime: &'a Runtime,
        target: Target<'_>,
        request: &Request,
    ) -> Result<Place<'a>, SendError> {
        let invalid = |text: String| SendError::before(Fault::Invalid, text);
        let secret = |text: String| SendError::before(Fault::Secret, text);
        match target {
            Target::System(name) => {
                let system = runtime
                    .config
                    .systems
                    .get(name)
                    .ok_or_else(|| invalid(format!("no system is called {name}")))?;
                let url = Url::parse(&request.url)
                    .map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
                let auth = match &system.auth {
                    // A token is waited for, if need be.
                    Auth::OAuth2(_) => None,
                    fixed => self.0.keyring.header(name, fixed).map_err(secret)?,
                };
                Ok(Place {
                    url,
                    private: system.private,
                    auth,
                    system: Some(system),
                    inside: Vec::new(),
                })
            }
            Target::Channel(name) => {
                let channel = runtime
                    .config
                    .channels
                    .get(name)
                    .ok_or_else(|| invalid(format!("no channel is called {name}")))?;
                self.channel(channel)
            }
            Target::Heartbeat => {
                let watch = &runtime.config.watch;
                let heartbeat = (watch.heartbeat.as_ref())
                    .ok_or_else(|| invalid("no heartbeat is configured".to_owned()))?;
                let url = self.0.keyring.text(heartbeat).map_err(secret)?;
                let url =
                    Url::parse(&url).map_err(|_| secret("watch.heartbeat is no URL".to_owned()))?;
                Ok(Place {
                    url,
                    private: watch.private,
                    auth: None,
                    system: None,
                    inside: Vec::new(),
                })
            }
        }
    }

    /// Where a page goes, and what only its sender may put into it.
    fn channel<'a>(&self, channel: &'a Channel) -> Result<Place<'a>, SendError> {
        let secret = |text: String| SendError::before(Fault::Secret, text);
        let text = |reference: &SecretRef| self.0.keyring.text(reference).map_err(secret);
        // The URL is the secret: the parser's error would repeat none of it, and neither do we.
        let url = |what: &str, text: &str| {
            Url::parse(text)
                .map_err(|_| secret(format!("the {what} of {} is no URL", channel.name)))
        };
        let mut auth = None;
        let mut inside = Vec::new();
        let url = match &channel.kind {
            ChannelKind::Slack(webhook) | ChannelKind::Webhook(webhook) => {
                url("webhook", &text(webhook)?)?
            }
            ChannelKind::PagerDuty { key, url: at } => {
                inside.push((Inside::RoutingKey, text(key)?));
                url("address", at)?
            }
            ChannelKind::Ntfy {
                topic,
                token,
                replies,
            } => {
                if let Some(token) = token {
                    auth = (self.0.keyring)
                        .header(&channel.name, &Auth::Bearer(token.clone()))
                        .map_err(secret)?;
                }
                if let Some(replies) = replies {
                    inside.push((Inside::Replies, text(replies)?));
                }
                let mut url = url("topic", &text(topic)?)?;
                // A page is published as JSON at the root, with the topic inside (ntfy, "Publish as JSON").
                let path = url.path().trim_end_matches('/').to_owned();
                let (root, topic) = path.rsplit_once('/').unwrap_or(("", &path));
                inside.push((Inside::Topic, topic.to_owned()));
                url.set_path(&format!("{root}/"));
                url
            }
            ChannelKind::Email { .. } => {
                let words = format!("{} is a mail address, not a URL", channel.name);
                return Err(SendError::before(Fault::Invalid, words));
            }
        };
        Ok(Place {
            url,
            private: channel.private,
            auth,
            system: None,
            inside,
        })
    }
}

/// What belongs into the body of a request to a channel and is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// ntfy's topic.
    Topic,
    /// Where ntfy's buttons answer to.
    Replies,
    /// PagerDuty's integration key.
    RoutingKey,
}

/// The body with its secrets in their places; one that is no object stays as it is.
fn filled(body: &Bytes, inside: &[(Inside, String)]) -> Bytes {
    if inside.is_empty() {
        return body.clone();
    }
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body) else {
        return body.clone();
    };
    for (what, secret) in inside {
        match what {
            Inside::Topic => value["topic"] = secret.as_str().into(),
            Inside::RoutingKey => value["routing_key"] = secret.as_str().into(),
            Inside::Replies => {
                let actions = value.get_mut("actions").and_then(|all| all.as_array_mut());
                for action in actions.into_iter().flatten() {
                    action["url"] = secret.as_str().into();
                }
            }
        }
    }
    value.to_string().into()
}

/// What is sent, and how much time and room its answer has.
struct Sending<'a> {
    request: &'a Request,
    key_header: &'a str,
    deadline: Instant,
    /// The span that ends with `deadline`, for words.
    timeout: Duration,
    cap: usize,
}

/// Where a request goes, by the configuration in force.
struct Place<'a> {
    url: Url,
    /// Private addresses are meant.
    private: bool,
    /// The header that authenticates.
    auth: Option<AuthHeader>,
    /// The system; none for a channel, whose URL is the secret.
    system: Option<&'a System>,
    /// Secrets that belong into the body.
    inside: Vec<(Inside, String)>,
}

impl<'a> Place<'a> {
    /// Its system and how that hands out tokens, if it does.
    fn oauth(&self) -> Option<(&'a System, &'a Arc<OAuth2>)> {
        let system = self.system?;
        match &system.auth {
            Auth::OAuth2(oauth) => Some((system, oauth)),
            _ => None,
        }
    }
}

fn client(private: bool) -> Result<Client, String> {
    built(builder(private))
}

fn builder(private: bool) -> ClientBuilder {
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
}

fn built(builder: ClientBuilder) -> Result<Client, String> {
    let made = builder.build();
    made.map_err(|error| format!("the HTTP client could not be made: {}", describe(&error)))
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
