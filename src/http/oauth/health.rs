//! How a system's tokens stand, for status, doctor and probes: read from the token file, without asking anyone. Pure but
//! for that one read; must never say what a token is.

use std::io::ErrorKind;
use std::time::Duration;

use serde::Serialize;

use super::file::TokenFile;
use super::token::Stored;
use crate::config::model::{Auth, Config, Grant};
use crate::time::{Timestamp, short};

/// Whoever has to log in again is warned so long before.
const AHEAD: Duration = Duration::from_secs(7 * 86_400);

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It renews itself.
    Ok,
    /// Somebody has to do something before long, or the last renewal failed.
    Warn,
    /// Requests cannot authenticate until somebody does something.
    Bad,
}

/// How a system's tokens stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The system.
    pub system: String,
    /// What follows.
    pub level: Level,
    /// In words, with what to do. May hold text from outside.
    pub words: String,
    /// False: this user may not read the token file; the worker's user can tell.
    pub is_known: bool,
    /// When the access token expires, where the vendor says so.
    pub valid_until: Option<Timestamp>,
    /// There is a refresh token.
    pub refresh_known: bool,
    /// When the last renewal failed, and why; none if it did not. May hold text from outside.
    pub last_error: Option<(Timestamp, String)>,
}

/// How the tokens of `system` stand at `now`; none if it does not use OAuth 2.
pub fn health(config: &Config, system: &str, now: Timestamp) -> Option<Health> {
    let Auth::OAuth2(oauth) = &config.systems.get(system)?.auth else {
        return None;
    };
    let file = TokenFile::of(&config.site.database, system);
    Some(match file.read() {
        Ok(stored) => judge(system, oauth.grant, stored.as_ref(), now),
        Err(error) => Health {
            system: system.to_owned(),
            level: if error.kind() == ErrorKind::PermissionDenied {
                Level::Warn
            } else {
                Level::Bad
            },
            is_known: error.kind() != ErrorKind::PermissionDenied,
            words: format!("the token file {}: {error}", file.path().display()),
            valid_until: None,
            refresh_known: false,
            last_error: None,
        },
    })
}

/// How the tokens of all systems that use OAuth 2 stand.
pub fn all(config: &Config, now: Timestamp) -> Vec<Health> {
    let names = config.systems.keys();
    names.filter_map(|name| health(config, name, now)).collect()
}

fn judge(system: &str, grant: Grant, stored: Option<&Stored>, now: Timestamp) -> Health {
    let blank = Stored::default();
    let stored = stored.unwrap_or(&blank);
    let login = format!("run `midwatch login {system}`");
    let valid_until = stored.access.as_ref().and_then(|access| access.until);
    let is_good = stored
        .access
        .as_ref()
        .is_some_and(|access| access.is_good(now));
    let left = |until: Timestamp| short(until.since(now));
    let (level, words) = match (grant, &stored.trouble) {
        (_, Some(trouble)) => {
            let ago = short(now.since(trouble.at));
            let level = if is_good || !trouble.is_final {
                Level::Warn
            } else {
                Level::Bad
            };
            let still = match (is_good, valid_until) {
                (true, Some(until)) => format!("; the token is good for {} more", left(until)),
                (true, None) | (false, _) => String::new(),
            };
            (
                level,
                format!(
                    "the last renewal failed {ago} ago: {}{still}",
                    trouble.words
                ),
            )
        }
        (Grant::ClientCredentials, None) => match (is_good, valid_until) {
            (true, Some(until)) => (
                Level::Ok,
                format!("good for {}, then a new one is fetched", left(until)),
            ),
            (true, None) => (Level::Ok, "good until the system refuses it".to_owned()),
            (false, _) => (
                Level::Ok,
                "no good token yet: the next request fetches one".to_owned(),
            ),
        },
        (Grant::AuthorizationCode, None) if stored.refresh.is_some() => {
            match stored.refresh_until {
                Some(until) if until <= now && !is_good => (
                    Level::Bad,
                    format!("the refresh token has expired: {login}"),
                ),
                Some(until) if until < now + AHEAD => (
                    Level::Warn,
                    format!(
                        "the refresh token expires in {}: {login} before that",
                        left(until)
                    ),
                ),
                _ => match valid_until {
                    Some(until) if is_good => (
                        Level::Ok,
                        format!("good for {}, then it is renewed", left(until)),
                    ),
                    Some(_) => (Level::Ok, "expired: the next request renews it".to_owned()),
                    None => (
                        Level::Ok,
                        "good until the system refuses it, then it is renewed".to_owned(),
                    ),
                },
            }
        }
        (Grant::AuthorizationCode, None) => match (is_good, valid_until) {
            (true, Some(until)) if until < now + AHEAD => (
                Level::Warn,
                format!(
                    "good for {}, and cannot be renewed: {login} before that",
                    left(until)
                ),
            ),
            (true, Some(until)) => (Level::Ok, format!("good for {}", left(until))),
            (true, None) => (Level::Ok, "good until the system refuses it".to_owned()),
            (false, Some(_)) => (Level::Bad, format!("the token has expired: {login}")),
            (false, None) => (Level::Bad, format!("nobody has logged in: {login}")),
        },
    };
    Health {
        system: system.to_owned(),
        level,
        is_known: true,
        words,
        valid_until,
        refresh_known: stored.refresh.is_some(),
        last_error: stored
            .trouble
            .as_ref()
            .map(|trouble| (trouble.at, trouble.words.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::oauth::token::{Access, Trouble};

    const NOW: Timestamp = Timestamp(1_795_464_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn what_needs_a_person_is_said_before_it_fails() {
        use Grant::{AuthorizationCode, ClientCredentials};
        let access = |until: Timestamp| {
            Some(Access {
                token: "acc3ss".to_owned(),
                obtained: NOW - DAY,
                until: Some(until),
            })
        };
        let refresh = Some("r3fresh".to_owned());
        let trouble = |is_final| {
            Some(Trouble {
                at: NOW - Duration::from_secs(60),
                words: "no".to_owned(),
                is_final,
            })
        };
        let hour = NOW + Duration::from_secs(3600);
        let of = Stored::default;
        for (grant, stored, level, words) in [
            (
                ClientCredentials,
                None,
                Level::Ok,
                "the next request fetches one",
            ),
            (
                ClientCredentials,
                Some(Stored {
                    access: access(hour),
                    ..of()
                }),
                Level::Ok,
                "good for 1h, then",
            ),
            (
                ClientCredentials,
                Some(Stored {
                    trouble: trouble(true),
                    ..of()
                }),
                Level::Bad,
                "failed 1m ago: no",
            ),
            (
                AuthorizationCode,
                None,
                Level::Bad,
                "nobody has logged in: run `midwatch login crm`",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(hour),
                    refresh: refresh.clone(),
                    ..of()
                }),
                Level::Ok,
                "good for 1h, then it is renewed",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(NOW),
                    refresh: refresh.clone(),
                    ..of()
                }),
                Level::Ok,
                "the next request renews it",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(hour),
                    ..of()
                }),
                Level::Warn,
                "cannot be renewed: run `midwatch login crm`",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(NOW + 8 * DAY),
                    ..of()
                }),
                Level::Ok,
                "good for 8d",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(NOW),
                    ..of()
                }),
                Level::Bad,
                "has expired",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(hour),
                    refresh: refresh.clone(),
                    refresh_until: Some(NOW + 2 * DAY),
                    ..of()
                }),
                Level::Warn,
                "the refresh token expires in 2d",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(NOW),
                    refresh: refresh.clone(),
                    refresh_until: Some(NOW),
                    ..of()
                }),
                Level::Bad,
                "the refresh token has expired",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(hour),
                    refresh: refresh.clone(),
                    trouble: trouble(true),
                    ..of()
                }),
                Level::Warn,
                "good for 1h more",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(NOW),
                    refresh: refresh.clone(),
                    trouble: trouble(false),
                    ..of()
                }),
                Level::Warn,
                "failed 1m ago",
            ),
            (
                AuthorizationCode,
                Some(Stored {
                    access: access(NOW),
                    refresh,
                    trouble: trouble(true),
                    ..of()
                }),
                Level::Bad,
                "failed 1m ago",
            ),
        ] {
            let health = judge("crm", grant, stored.as_ref(), NOW);
            assert_eq!(health.level, level, "{stored:?}: {}", health.words);
            assert!(health.words.contains(words), "{} / {words}", health.words);
            let shown = format!("{health:?}{}", serde_json::to_string(&health).unwrap());
            assert!(
                !shown.contains("acc3ss") && !shown.contains("r3fresh"),
                "{shown}"
            );
        }
    }
}
