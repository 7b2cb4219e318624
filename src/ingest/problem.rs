//! What the front door says when it says no: problem details (RFC 9457). One table of kinds, so that a sender can rely
//! on `type` and an operator can look it up.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// Seconds after which a sender should try again when the store refuses.
const RETRY_SECONDS: &str = "10";

/// What kind of no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request's head cannot be trusted.
    BadRequest,
    /// The envelope is malformed.
    Malformed,
    /// No or a wrong bearer token.
    Token,
    /// The signature is not good.
    Signature,
    /// A browser sent it.
    Origin,
    /// The source's events must be signed.
    Source,
    /// No such resource.
    NotFound,
    /// Only these methods.
    Method(&'static str),
    /// The body did not come in time.
    Timeout,
    /// The body is too large.
    TooLarge,
    /// The content type is none that is understood.
    MediaType,
    /// The id or key is known with other content.
    Conflict,
    /// Not now.
    Unavailable,
    /// Our own fault.
    Internal,
}

impl Kind {
    /// Status, last part of `type`, and `title`.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (
                StatusCode::BAD_REQUEST,
                "bad-request",
                "The request is not sound HTTP",
            ),
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "malformed",
                "This is no CloudEvents 1.0 event",
            ),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "token",
                "A bearer token is required",
            ),
            Self::Signature => (
                StatusCode::UNAUTHORIZED,
                "signature",
                "The signature is not good",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "origin",
                "Browsers may not send here",
            ),
            Self::Source => (
                StatusCode::FORBIDDEN,
                "source",
                "Events of this source must be signed",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
            Self::Method(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "Another method is required",
            ),
            Self::Timeout => (
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "The request did not come in time",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The body is too large",
            ),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "The content type is not understood",
            ),
            Self::Conflict => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "conflict",
                "The id or key is known with other content",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Nothing can be accepted now",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "This failed here",
            ),
        }
    }
}

/// A no, with its particulars.
#[derive(Debug)]
pub(super) struct Problem {
    /// What kind.
    pub(super) kind: Kind,
    /// What happened, for the sender.
    pub(super) detail: String,
    /// JSON Pointer into the body, or a header's name.
    pub(super) at: Option<String>,
    /// What became of each event of a batch, where that differs.
    pub(super) receipts: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<&'a serde_json::Value>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            at: None,
            receipts: None,
        }
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.kind.parts().0
    }

    /// The answer.
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let (status, word, title) = self.kind.parts();
        let details = Details {
            kind: format!("/problems/{word}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            at: self.at.as_deref(),
            receipts: self.receipts.as_ref(),
        };
        // Plain strings and numbers always serialise.
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let mut set = |name: HeaderName, value: &'static str| {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        };
        set(CONTENT_TYPE, "application/problem+json");
        match self.kind {
            Kind::Unavailable => set(RETRY_AFTER, RETRY_SECONDS),
            Kind::Method(allowed) => set(ALLOW, allowed),
            Kind::Token => set(WWW_AUTHENTICATE, "Bearer"),
            Kind::Signature => set(WWW_AUTHENTICATE, "Signature"),
            _ => {}
        }
        response
    }
}
