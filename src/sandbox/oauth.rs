//! A token endpoint with refresh tokens that rotate (RFC 6749, sections 4.1 and 6; RFC 7636 is not checked): each refresh
//! brings a new refresh token, and the one before stays good only until the new one is used for the first time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::books::Counts;
use super::script::Faults;
use super::server::{Call, Reply, System};

/// The client that may ask.
pub const CLIENT_ID: &str = "demo-client";
/// Its secret.
pub const CLIENT_SECRET: &str = "demo-client-secret";
/// A code that is good once.
pub const CODE: &str = "demo-code";

/// The tokens that were given out.
#[derive(Debug)]
pub struct Tokens {
    /// How long an access token is good.
    lifetime: Duration,
    counts: Counts,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    serial: u64,
    code_used: bool,
    /// The newest refresh token, and the one before while it is still good.
    refresh: Option<u64>,
    before: Option<u64>,
    access: Vec<(u64, Instant)>,
}

impl Tokens {
    /// Access tokens that are good for `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            counts: Counts::default(),
            state: Mutex::default(),
        }
    }

    /// What was asked: `code`, `refresh`, `client_credentials`, `refused`.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether an access token is good now.
    pub fn accepts(&self, token: &str) -> bool {
        let number = token.strip_prefix("access-").and_then(|n| n.parse().ok());
        let state = self.lock();
        number.is_some_and(|number: u64| {
            let known = state.access.iter().find(|(known, _)| *known == number);
            known.is_some_and(|(_, until)| Instant::now() < *until)
        })
    }

    /// Ends every access token, as a vendor that restarts does. Refresh tokens stay.
    pub fn forget_access(&self) {
        self.lock().access.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, call: &Call) -> Result<Reply, &'static str> {
        let form = call.form();
        let value = |name: &str| {
            let found = form.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let basic = super::secrets::basic(CLIENT_ID, CLIENT_SECRET);
        let in_body = value("client_id") == CLIENT_ID && value("client_secret") == CLIENT_SECRET;
        if call.header("authorization") != basic && !in_body {
            return Err("invalid_client");
        }
        let mut state = self.lock();
        match value("grant_type") {
            "client_credentials" => self.counts.note("client_credentials"),
            "authorization_code" if value("code") == CODE && !state.code_used => {
                state.code_used = true;
                self.counts.note("code");
            }
            "refresh_token" => {
                let number = value("refresh_token").strip_prefix("refresh-");
                let number: Option<u64> = number.and_then(|n| n.parse().ok());
                if number.is_none() || (number != state.refresh && number != state.before) {
                    return Err("invalid_grant");
                }
                if number == state.refresh {
                    // Its first use: the one before is over.
                    state.before = state.refresh;
                }
                self.counts.note("refresh");
            }
            _ => return Err("invalid_grant"),
        }
        state.serial += 1;
        let serial = state.serial;
        let until = Instant::now() + self.lifetime;
        state.access.push((serial, until));
        let mut answer = json!({
            "access_token": format!("access-{serial}"),
            "token_type": "bearer",
            "expires_in": self.lifetime.as_secs(),
        });
        if value("grant_type") != "client_credentials" {
            state.refresh = Some(serial);
            answer["refresh_token"] = format!("refresh-{serial}").into();
        }
        Ok(Reply::json(200, &answer).with("cache-control", "no-store"))
    }
}

impl System for Tokens {
    fn answer(&self, call: &Call, _: &Faults) -> Reply {
        if call.method != "POST" || !call.path.ends_with("/token") {
            return Reply::text(404, "not found");
        }
        self.grant(call).unwrap_or_else(|error| {
            self.counts.note("refused");
            let status = if error == "invalid_client" { 401 } else { 400 };
            Reply::json(status, &json!({ "error": error }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::{HeaderMap, Method};

    fn ask(tokens: &Tokens, body: &str) -> (u16, serde_json::Value) {
        let mut headers = HeaderMap::new();
        let basic = super::super::secrets::basic(CLIENT_ID, CLIENT_SECRET);
        headers.insert("authorization", basic.parse().unwrap());
        let call = Call {
            method: Method::POST,
            path: "/oauth/v1/token".to_owned(),
            query: Vec::new(),
            headers,
            body: body.to_owned().into(),
        };
        let reply = tokens.answer(&call, &Faults::default());
        (reply.status, serde_json::from_str(&reply.body).unwrap())
    }

    #[test]
    fn the_refresh_token_before_is_good_until_the_new_one_is_used() {
        let tokens = Tokens::new(Duration::from_secs(60));
        let first = ask(&tokens, "grant_type=authorization_code&code=demo-code").1;
        assert_eq!(first["refresh_token"], "refresh-1");
        assert!(tokens.accepts("access-1") && !tokens.accepts("access-9"));
        assert_eq!(
            ask(&tokens, "grant_type=authorization_code&code=demo-code").0,
            400
        );
        let refresh = |n: u64| {
            ask(
                &tokens,
                &format!("grant_type=refresh_token&refresh_token=refresh-{n}"),
            )
        };
        // The answer with refresh-2 is lost: refresh-1 is asked again, and brings refresh-3.
        assert_eq!(refresh(1).0, 200);
        assert_eq!(refresh(1).1["refresh_token"], "refresh-3");
        assert_eq!(refresh(3).0, 200);
        assert_eq!(refresh(1).0, 400, "refresh-3 was used");
    }
}
