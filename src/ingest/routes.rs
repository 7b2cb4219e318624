//! What the front door answers: `POST /events`, `POST /hooks/{system}`, `GET /healthz`, `/readyz`, `/metrics`.
//! An event is answered 2xx only after the store has it on disk; every refusal is a problem of RFC 9457.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderValue, ORIGIN,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use super::Intake;
use super::head::Verdict;
use super::keys::{Keys, Secrets};
use super::metrics::Metrics;
use super::problem::{Kind, Problem};
use super::server::Limits;
use crate::config::live::{Live, Runtime};
use crate::config::model::{Ping, System};
use crate::config::secret::Secret;
use crate::event::envelope::{self, EnvelopeError};
use crate::event::signature::{self, SignatureError, Signed};
use crate::event::{Event, Origin, hook};
use crate::store::{Health, Receipt, Store, StoreError};
use crate::visible::Visible;

/// Bytes of a refused body that are still read, so that its sender gets to read the answer.
const DRAINED: usize = 4 << 20;

/// For how long.
const DRAINED_FOR: Duration = Duration::from_secs(2);

type Answer = Response<Full<Bytes>>;

/// Everything that answering needs.
#[derive(Debug)]
pub(super) struct Door {
    intake: Intake,
    live: Live,
    store: Store,
    limits: Limits,
    keys: Keys,
    metrics: Metrics,
}

/// How a `POST /events` carries its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Structured,
    Batch,
    Binary,
}

impl Door {
    pub(super) fn new(intake: Intake, live: Live, store: Store, limits: Limits) -> Self {
        Self {
            intake,
            live,
            store,
            limits,
            keys: Keys::default(),
            metrics: Metrics::default(),
        }
    }

    /// Answers one request; never fails, never panics on what it holds.
    pub(super) async fn answer(
        &self,
        verdict: Option<Verdict>,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Answer {
        let (parts, mut body) = request.into_parts();
        let route = route_name(parts.uri.path());
        let (mut response, sound, chunked) = match verdict {
            Some(Verdict::Sound { chunked }) => {
                let response = match self.serve(&parts, &mut body).await {
                    Ok(response) => response,
                    Err(problem) => {
                        tracing::info!(
                            %peer,
                            route,
                            status = problem.status().as_u16(),
                            detail = %Visible::of(&problem.detail),
                            at = problem.at.as_deref().map(|at| tracing::field::display(Visible::of(at))),
                            "refused"
                        );
                        problem.response()
                    }
                };
                (response, true, chunked)
            }
            refused => {
                let why = match refused {
                    Some(Verdict::Refused(refusal)) => refusal.to_string(),
                    _ => "its head was not seen".to_owned(),
                };
                tracing::warn!(%peer, route, why, "refused an unsound request");
                let problem = Problem::new(Kind::BadRequest, why);
                (problem.response(), false, false)
            }
        };
        let finished = body.is_end_stream();
        let late = response.status() == StatusCode::REQUEST_TIMEOUT;
        if sound && !finished && !late && !parts.headers.contains_key(EXPECT) {
            drain(&mut body).await;
        }
        // RFC 9112, section 6.3: whatever follows a body that was not read, or not followed, is not trusted.
        if !sound || chunked || !finished {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.answered(route, response.status().as_u16());
        response
    }

    async fn serve(&self, parts: &Parts, body: &mut Incoming) -> Result<Answer, Problem> {
        if parts.headers.contains_key(ORIGIN) {
            return Err(Problem::new(
                Kind::Origin,
                "a request with an Origin header comes from a browser; nothing here is for browsers",
            ));
        }
        let runtime = Arc::clone(&self.live.borrow());
        match parts.uri.path() {
            "/events" => {
                allow(parts, &[Method::POST], "POST")?;
                self.authorize(&runtime, &parts.headers)?;
                self.events(&runtime, parts, body).await
            }
            "/healthz" => {
                allow(parts, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                Ok(reply(StatusCode::OK, &json!({"status": "ok"})))
            }
            "/readyz" => {
                allow(parts, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                self.ready()
            }
            "/metrics" => {
                allow(parts, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                if !runtime.config.ingest.listen.ip().is_loopback() {
                    self.authorize(&runtime, &parts.headers)?;
                }
                let text = self
                    .metrics
                    .text(&self.store)
                    .await
                    .map_err(|error| Problem::new(Kind::Unavailable, error))?;
                let mut response = Response::new(Full::new(Bytes::from(text)));
                response.headers_mut().insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
                );
                Ok(response)
            }
            path => match path.strip_prefix("/hooks/") {
                Some(system) => {
                    allow(parts, &[Method::POST], "POST")?;
                    self.hook(&runtime, system, parts, body).await
                }
                None => Err(Problem::new(
                    Kind::NotFound,
                    "there are /events, /hooks/{system}, /healthz, /readyz and /metrics",
                )),
            },
        }
    }

    fn ready(&self) -> Result<Answer, Problem> {
        let reason = match &*self.store.health().borrow() {
            Health::Good => return Ok(reply(StatusCode::OK, &json!({"status": "ready"}))),
            Health::DiskFull { free } => format!("the disk is nearly full: {free} bytes free"),
            Health::Failing(why) => format!("writes fail: {why}"),
            Health::Corrupt(why) => format!("the database is damaged: {why}"),
        };
        Err(Problem::new(Kind::Unavailable, reason))
    }

    /// The bearer token, if one is configured (RFC 6750, section 2.1), in constant time.
    fn authorize(&self, runtime: &Arc<Runtime>, headers: &HeaderMap) -> Result<(), Problem> {
        let keyring = self.keys.get(runtime);
        let Some(token) = &keyring.token else {
            return Ok(());
        };
        if let Some(trouble) = &token.trouble {
            tracing::error!(trouble, "the front door's token cannot be read");
            return Err(Problem::new(
                Kind::Unavailable,
                "the token cannot be checked now",
            ));
        }
        let given = headers
            .get(AUTHORIZATION)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let given = match given.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
            _ => b"",
        };
        let good = token
            .readable
            .iter()
            .any(|token| bool::from(token.expose().as_bytes().ct_eq(given)));
        if good {
            Ok(())
        } else {
            Err(Problem::new(
                Kind::Token,
                "send `Authorization: Bearer ...` with the configured token",
            ))
        }
    }

    async fn events(
        &self,
        runtime: &Runtime,
        parts: &Parts,
        body: &mut Incoming,
    ) -> Result<Answer, Problem> {
        let mode = mode(&parts.headers)?;
        let bytes = self.read(runtime, &parts.headers, body).await?;
        let events = match mode {
            Mode::Structured => {
                envelope::from_structured(&bytes, Origin::Http).map(|one| vec![one])
            }
            Mode::Batch => envelope::from_batch(&bytes, &Origin::Http),
            Mode::Binary => {
                let content_type = text_of(&parts.headers, &CONTENT_TYPE);
                let headers = headers_of(&parts.headers);
                envelope::from_binary(headers, content_type, bytes, Origin::Http)
                    .map(|one| vec![one])
            }
        }
        .map_err(|error| malformed(&error))?;
        for (index, event) in events.iter().enumerate() {
            let system = runtime.config.systems.get(&event.source);
            if system.is_some_and(System::signs) {
                return Err(impersonates(&event.source, mode, index));
            }
        }
        let names: Vec<(String, String)> = events.iter().map(name_of).collect();
        let receipts = self.stored(self.intake.admit(events, false)).await?;
        let conflicts = receipts
            .iter()
            .filter(|receipt| matches!(receipt, Receipt::Conflict { .. }))
            .count();
        let mut items: Vec<_> = names
            .iter()
            .zip(&receipts)
            .map(|((source, id), receipt)| receipt_json(source, id, receipt))
            .collect();
        if conflicts > 0 {
            let mut problem = Problem::new(
                Kind::Conflict,
                format!(
                    "{conflicts} of {}: the id or idempotency key came before with other content; nothing was stored for it",
                    items.len()
                ),
            );
            problem.receipts = (mode == Mode::Batch).then_some(serde_json::Value::Array(items));
            return Err(problem);
        }
        let answer = match (mode, items.pop()) {
            (Mode::Structured | Mode::Binary, Some(item)) => item,
            (_, last) => {
                items.extend(last);
                serde_json::Value::Array(items)
            }
        };
        Ok(reply(StatusCode::ACCEPTED, &answer))
    }

    async fn hook(
        &self,
        runtime: &Arc<Runtime>,
        system: &str,
        parts: &Parts,
        body: &mut Incoming,
    ) -> Result<Answer, Problem> {
        let hooks = runtime
            .config
            .systems
            .get(system)
            .and_then(|system| system.hooks.as_ref())
            .ok_or_else(|| Problem::new(Kind::NotFound, "no system of that name has hooks"))?;
        let bytes = self.read(runtime, &parts.headers, body).await?;
        let keyring = self.keys.get(runtime);
        let none = Secrets::default();
        let secrets = keyring.hooks.get(system).unwrap_or(&none);
        let texts: Vec<&str> = secrets.readable.iter().map(Secret::expose).collect();
        let headers: Vec<(&str, &[u8])> = headers_of(&parts.headers).collect();
        let url = runtime.config.site.public_url.as_ref().map(|base| {
            let target = parts
                .uri
                .path_and_query()
                .map_or(parts.uri.path(), |target| target.as_str());
            format!("{}{target}", base.trim_end_matches('/'))
        });
        let signed = Signed {
            method: parts.method.as_str(),
            headers: &headers,
            url: url.as_deref(),
            body: &bytes,
        };
        match signature::verify(&hooks.recipe, &texts, signed, self.store.clock().now()) {
            Ok(_) | Err(SignatureError::Missing(_))
                if hooks.mapping.ping == Ping::Registration
                    && hook::is_registration_ping(&bytes) =>
            {
                tracing::info!(system, "answered a registration ping");
                return Ok(reply(StatusCode::OK, &json!({"status": "ping"})));
            }
            Ok(_) => {
                if hooks.mapping.ping == Ping::Challenge
                    && let Some(challenge) = hook::challenge(&bytes)
                {
                    tracing::info!(system, "answered a challenge");
                    return Ok(reply(StatusCode::OK, &json!({"challenge": challenge})));
                }
            }
            Err(error) => {
                let no_match = matches!(error, SignatureError::NoMatch);
                if let (true, Some(trouble)) = (error.is_ours() || no_match, &secrets.trouble) {
                    tracing::error!(system, trouble, "a hook's secret cannot be read");
                    return Err(Problem::new(
                        Kind::Unavailable,
                        "the signature cannot be checked now",
                    ));
                }
                let kind = if error.is_ours() {
                    tracing::error!(system, error = %Visible::of(&error.to_string()), "a hook's recipe does not work");
                    Kind::Unavailable
                } else {
                    Kind::Signature
                };
                return Err(Problem::new(kind, error.to_string()));
            }
        }
        let content_type = text_of(&parts.headers, &CONTENT_TYPE);
        let (content_type, bytes) = match hook::form_payload(content_type, &bytes) {
            Some(payload) => (Some("application/json"), payload),
            None => (content_type, bytes),
        };
        let mapped = hook::map(
            self.intake.engine(),
            &hooks.mapping,
            system,
            headers.iter().copied(),
            content_type,
            &bytes,
        );
        let (source, id) = name_of(&mapped.event);
        let receipt = self.stored(self.intake.admit_hook(mapped)).await?;
        let item = receipt.map(|receipt| receipt_json(&source, &id, &receipt));
        let status = StatusCode::from_u16(hooks.mapping.ok_status).unwrap_or(StatusCode::OK);
        Ok(reply(status, &item.unwrap_or_default()))
    }

    /// Reads a body within the limits of size and time. Compressed bodies are not understood: they would dodge the size.
    async fn read(
        &self,
        runtime: &Runtime,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<Bytes, Problem> {
        let encoding = text_of(headers, &CONTENT_ENCODING).unwrap_or("identity");
        if !encoding.eq_ignore_ascii_case("identity") {
            return Err(Problem::new(
                Kind::MediaType,
                "send the body without Content-Encoding",
            ));
        }
        let most = runtime.config.ingest.max_body;
        let too_large = || Problem::new(Kind::TooLarge, super::too_large(most));
        if body.size_hint().lower() > most as u64 {
            return Err(too_large());
        }
        match timeout(self.limits.body, Limited::new(body, most).collect()).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(Problem::new(Kind::BadRequest, "the body broke off")),
            Err(_) => Err(Problem::new(
                Kind::Timeout,
                format!("the body took longer than {} s", self.limits.body.as_secs()),
            )),
        }
    }

    /// Waits for the store; what it cannot take now may come again later.
    async fn stored<T>(
        &self,
        storing: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        match timeout(self.limits.commit, storing).await {
            Ok(Ok(stored)) => Ok(stored),
            Ok(Err(StoreError::Invalid(why))) => {
                tracing::error!(why = %Visible::of(&why), "the store could not make sense of an event");
                Err(Problem::new(Kind::Internal, "nothing was stored"))
            }
            Ok(Err(error)) => Err(Problem::new(Kind::Unavailable, error.to_string())),
            // It may have been stored: the same id again is then a duplicate.
            Err(_) => Err(Problem::new(
                Kind::Unavailable,
                "the disk did not answer in time; send the same event again",
            )),
        }
    }
}

/// The route's name in metrics and logs: never the sender's words.
fn route_name(path: &str) -> &'static str {
    match path {
        "/events" => "/events",
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        _ if path.starts_with("/hooks/") => "/hooks",
        _ => "other",
    }
}

fn allow(parts: &Parts, methods: &[Method], words: &'static str) -> Result<(), Problem> {
    if methods.contains(&parts.method) {
        Ok(())
    } else {
        Err(Problem::new(
            Kind::Method(words),
            format!("allowed here: {words}"),
        ))
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &hyper::header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn headers_of(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// CloudEvents HTTP protocol binding, section 3: the content type tells the mode.
fn mode(headers: &HeaderMap) -> Result<Mode, Problem> {
    let whole = text_of(headers, &CONTENT_TYPE).unwrap_or_default();
    let (essence, parameters) = whole.split_once(';').unwrap_or((whole, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let mode = match essence.as_str() {
        "application/cloudevents+json" => Mode::Structured,
        "application/cloudevents-batch+json" => Mode::Batch,
        other if other.starts_with("application/cloudevents") => {
            return Err(Problem::new(
                Kind::MediaType,
                "of the structured formats only JSON is understood",
            ));
        }
        _ if headers.keys().any(|name| name.as_str().starts_with("ce-")) => Mode::Binary,
        _ => {
            return Err(Problem::new(
                Kind::MediaType,
                "send application/cloudevents+json, application/cloudevents-batch+json, or ce- headers",
            ));
        }
    };
    let foreign = parameters.split(';').any(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset")
                && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    });
    if foreign && mode != Mode::Binary {
        return Err(Problem::new(Kind::MediaType, "JSON is UTF-8 here"));
    }
    Ok(mode)
}

fn malformed(error: &EnvelopeError) -> Problem {
    let mut problem = Problem::new(Kind::Malformed, error.problem.to_string());
    problem.at = Some(error.at.clone());
    problem
}

/// Whoever reaches this door may not speak for a system that signs what it says.
fn impersonates(system: &str, mode: Mode, index: usize) -> Problem {
    let mut problem = Problem::new(
        Kind::Source,
        format!(
            "source `{system}` is a configured system whose events are signed: they enter at /hooks/{system}"
        ),
    );
    problem.at = Some(match mode {
        Mode::Structured => "/source".to_owned(),
        Mode::Batch => format!("/{index}/source"),
        Mode::Binary => "ce-source".to_owned(),
    });
    problem
}

fn name_of(event: &Event) -> (String, String) {
    (event.source.clone(), event.id.clone())
}

/// What a sender is told of one event.
fn receipt_json(source: &str, id: &str, receipt: &Receipt) -> serde_json::Value {
    let (status, event, deliveries) = match receipt {
        Receipt::Accepted { event, deliveries } => ("accepted", event, *deliveries),
        Receipt::Duplicate { event } => ("duplicate", event, 0),
        Receipt::Conflict { event } => ("conflict", event, 0),
        Receipt::Held { event, .. } => ("held", event, 0),
        Receipt::Unrouted { event } => ("unrouted", event, 0),
    };
    let mut item = json!({"source": source, "id": id, "status": status, "event": event, "deliveries": deliveries});
    if let Receipt::Held { reason, faults, .. } = receipt {
        item["reason"] = json!(reason);
        if !faults.is_empty() {
            item["faults"] = json!(faults);
        }
    }
    item
}

fn reply(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Reads on for a little, so that the answer is not lost to a connection that is reset under its sender.
async fn drain(body: &mut Incoming) {
    let reading = async {
        let mut left = DRAINED;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = timeout(DRAINED_FOR, reading).await;
}
