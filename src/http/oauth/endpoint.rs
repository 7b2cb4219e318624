//! What is asked of a token endpoint and what its answers mean. Pure; called by `renew`.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::Url;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::http::reply::Reply;
use crate::queue::classify::words;
use crate::queue::model::Request;

/// The most characters of an endpoint's own words that are kept.
const WORDS: usize = 200;

/// Who asks.
pub(super) struct Client {
    /// The token endpoint.
    pub(super) token_url: String,
    /// The client's id.
    pub(super) id: String,
    /// Its secret; none for a public client.
    pub(super) secret: Option<String>,
    /// It authenticates in the body instead of by Basic.
    pub(super) in_body: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client(..)")
    }
}

impl Client {
    /// Names the endpoint and the client: tokens of another one are no use.
    pub(super) fn name(&self) -> String {
        hash(&[&self.token_url, &self.id])
    }

    /// Changes with the credentials.
    pub(super) fn proof(&self) -> String {
        let secret = self.secret.as_deref().unwrap_or_default();
        hash(&[&self.token_url, &self.id, secret])
    }

    /// The request that asks for tokens with `pairs` (RFC 6749, 4.1.3, 4.4.2, 6). The client authenticates as 2.3.1 says:
    /// by Basic of the form-encoded id and secret, or in the body; one without a secret names itself.
    pub(super) fn request(&self, pairs: &[(&str, &str)]) -> Request {
        let mut pairs = pairs.to_vec();
        let mut headers = vec![
            (
                "content-type".to_owned(),
                "application/x-www-form-urlencoded".to_owned(),
            ),
            ("accept".to_owned(), "application/json".to_owned()),
        ];
        match &self.secret {
            Some(secret) if !self.in_body => {
                let pair = format!("{}:{}", encoded(&self.id), encoded(secret));
                let basic = format!("Basic {}", STANDARD.encode(pair));
                headers.push(("authorization".to_owned(), basic));
            }
            Some(secret) => pairs.extend([("client_id", &*self.id), ("client_secret", secret)]),
            None => pairs.push(("client_id", &*self.id)),
        }
        Request {
            method: "POST".to_owned(),
            url: self.token_url.clone(),
            headers,
            body: Bytes::from(form(&pairs)),
            key: String::new(),
        }
    }
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// `application/x-www-form-urlencoded`.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    // A URL's query is written in that encoding; the crate has no other door to it.
    let Ok(mut url) = Url::parse("http://form/") else {
        return String::new();
    };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

fn encoded(text: &str) -> String {
    form(&[("", text)]).trim_start_matches('=').to_owned()
}

/// What an endpoint granted (RFC 6749, 5.1).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Granted {
    /// The access token.
    pub(super) access: String,
    /// A refresh token.
    pub(super) refresh: Option<String>,
    /// How long the access token lasts.
    pub(super) lasts: Option<Duration>,
    /// How long the refresh token lasts; no standard, but several vendors say it.
    pub(super) refresh_lasts: Option<Duration>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Granted(..)")
    }
}

/// Why an endpoint granted nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `invalid_grant`: the code or refresh token is no good (any more).
    Grant(String),
    /// It is no use to ask again in the same way.
    Final(String),
    /// Perhaps later.
    Later(String),
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
    refresh_token: Option<String>,
    #[serde(alias = "x_refresh_token_expires_in")]
    refresh_token_expires_in: Option<Seconds>,
}

/// A number of seconds; some vendors write it as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn span(self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(seconds) => seconds,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        // Ten years are as good as for ever.
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.min(315_360_000.0)))
    }
}

#[derive(Deserialize)]
struct Problem {
    error: String,
}

/// Reads an answer. The words of a refusal are the endpoint's own: the caller has taken our secrets out of its body.
pub(super) fn read(reply: &Reply) -> Result<Granted, Refusal> {
    if reply.status == 200 {
        return granted(reply);
    }
    let problem = serde_json::from_slice::<Problem>(&reply.body).ok();
    let code = problem.as_ref().map(|problem| problem.error.as_str());
    let said: String = words(&reply.body).chars().take(WORDS).collect();
    let text = match code {
        Some(code) if said != code => format!("{}: {said} ({code})", reply.status),
        _ if said.is_empty() => reply.status.to_string(),
        _ => format!("{}: {said}", reply.status),
    };
    Err(match (reply.status, code) {
        (400 | 401 | 403, Some("invalid_grant")) => Refusal::Grant(text),
        (_, Some("temporarily_unavailable" | "server_error" | "slow_down"))
        | (408 | 425 | 429 | 500..=599, _) => Refusal::Later(text),
        _ => Refusal::Final(text),
    })
}

fn granted(reply: &Reply) -> Result<Granted, Refusal> {
    // The parser's words could quote what it read: they are not repeated.
    let Ok(answer) = serde_json::from_slice::<Answer>(&reply.body) else {
        return Err(Refusal::Later("200, but no tokens in it".to_owned()));
    };
    let bearer = |kind: &String| kind.eq_ignore_ascii_case("bearer");
    if !answer.token_type.as_ref().is_none_or(bearer) {
        let text = "it grants tokens that are not of the type `bearer`";
        return Err(Refusal::Final(text.to_owned()));
    }
    let sound = |token: &String| {
        !token.is_empty()
            && token
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    };
    if !sound(&answer.access_token) {
        let text = "its access token holds what no header may hold";
        return Err(Refusal::Final(text.to_owned()));
    }
    Ok(Granted {
        access: answer.access_token,
        refresh: answer.refresh_token.filter(|token| !token.is_empty()),
        lasts: answer.expires_in.and_then(Seconds::span),
        refresh_lasts: answer.refresh_token_expires_in.and_then(Seconds::span),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            body: body.to_owned().into(),
            ..Reply::default()
        }
    }

    fn client(secret: Option<&str>, in_body: bool) -> Client {
        Client {
            token_url: "https://id.example/token".to_owned(),
            id: "a:b".to_owned(),
            secret: secret.map(str::to_owned),
            in_body,
        }
    }

    #[test]
    fn the_client_authenticates_as_the_standard_says() {
        for (client, authorization, body) in [
            // base64 of `a%3Ab:s+%26`
            (
                client(Some("s &"), false),
                Some("Basic YSUzQWI6cyslMjY="),
                "grant_type=x",
            ),
            (
                client(Some("s &"), true),
                None,
                "grant_type=x&client_id=a%3Ab&client_secret=s+%26",
            ),
            (client(None, false), None, "grant_type=x&client_id=a%3Ab"),
        ] {
            let request = client.request(&[("grant_type", "x")]);
            let found = request
                .headers
                .iter()
                .find(|(name, _)| name == "authorization");
            assert_eq!(found.map(|(_, value)| value.as_str()), authorization);
            assert_eq!(request.body, body);
            assert!(!format!("{client:?}").contains("s &"));
        }
        let (one, other) = (client(Some("1"), false), client(Some("2"), false));
        assert_eq!(one.name(), other.name());
        assert_ne!(one.proof(), other.proof());
    }

    #[test]
    fn answers_mean_what_the_standard_says() {
        let full = r#"{"access_token":"a","token_type":"Bearer","expires_in":"3600","refresh_token":"r","refresh_token_expires_in":60}"#;
        let granted = read(&reply(200, full)).unwrap();
        assert_eq!(
            granted,
            Granted {
                access: "a".to_owned(),
                refresh: Some("r".to_owned()),
                lasts: Some(Duration::from_secs(3600)),
                refresh_lasts: Some(Duration::from_secs(60)),
            }
        );
        let bare = read(&reply(200, r#"{"access_token":"a","expires_in":0}"#)).unwrap();
        assert_eq!((bare.lasts, bare.refresh), (None, None));
        for (status, body, expected) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"expired"}"#,
                "Grant(\"400: expired (invalid_grant)\")",
            ),
            (
                401,
                r#"{"error":"invalid_client"}"#,
                "Final(\"401: invalid_client\")",
            ),
            (
                400,
                r#"{"error":"unsupported_grant_type"}"#,
                "Final(\"400: unsupported_grant_type\")",
            ),
            (404, "<html>", "Final(\"404\")"),
            (302, "", "Final(\"302\")"),
            (503, "down", "Later(\"503: down\")"),
            (429, "", "Later(\"429\")"),
            (
                400,
                r#"{"error":"temporarily_unavailable"}"#,
                "Later(\"400: temporarily_unavailable\")",
            ),
            (200, "<html>", "Later(\"200, but no tokens in it\")"),
            (
                200,
                r#"{"access_token":"a","token_type":"mac"}"#,
                "Final(\"it grants tokens that are not of the type `bearer`\")",
            ),
            (
                200,
                r#"{"access_token":"a\nb"}"#,
                "Final(\"its access token holds what no header may hold\")",
            ),
        ] {
            assert_eq!(
                format!("{:?}", read(&reply(status, body)).unwrap_err()),
                expected,
                "{body}"
            );
        }
    }
}
