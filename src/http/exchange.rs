//! One request, one answer: within a deadline, never more than asked for, and with certain words on how far a failure
//! got. Must never repeat a request nor follow a redirect. Called by `Outbound` alone.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Client;
use tokio::time::{Instant, timeout_at};

use super::body::Sent;
use super::guard::Forbidden;
use super::reply::{Fault, Reply, SendError, Stage};

/// A request that is ready to be sent.
pub(super) struct Ready {
    pub(super) client: Client,
    pub(super) request: reqwest::Request,
    pub(super) sent: Sent,
}

/// One request, one answer, by `deadline`.
pub(super) async fn exchange(
    ready: Ready,
    deadline: Instant,
    timeout: Duration,
    cap: usize,
) -> Result<Reply, SendError> {
    let Ready {
        client,
        request,
        sent,
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
pub(super) fn failure(error: &reqwest::Error, stage: Stage) -> SendError {
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
pub(super) fn describe(error: &reqwest::Error) -> String {
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
