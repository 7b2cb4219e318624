//! What is kept of a system's tokens, and what follows from it. Pure and clock-injected; called by `renew` and `health`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::Granted;
use crate::config::model::Grant;
use crate::time::Timestamp;

/// A token is renewed so long before it expires, or a tenth of its life before, whichever is less: clocks differ, and a
/// request takes its time.
const SLACK: Duration = Duration::from_secs(300);

/// The tokens of one system as they lie on disk. Its `Debug` shows none of them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    /// Whose they are: a hash of the token endpoint and the client's id.
    pub(super) client: String,
    /// A hash of the credentials that they were obtained with.
    pub(super) proof: String,
    /// What authenticates requests.
    pub(super) access: Option<Access>,
    /// What the next access token is asked for with.
    pub(super) refresh: Option<String>,
    /// When that ends, where the vendor says so.
    pub(super) refresh_until: Option<Timestamp>,
    /// Its predecessor, until the new one has worked: an answer that was lost may have been the vendor's, not ours.
    pub(super) previous: Option<String>,
    /// Why the last renewal failed.
    pub(super) trouble: Option<Trouble>,
}

/// An access token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    /// Its text.
    pub(super) token: String,
    /// When it was obtained.
    pub(super) obtained: Timestamp,
    /// When it expires; none if the vendor does not say.
    pub(super) until: Option<Timestamp>,
}

/// A renewal that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trouble {
    /// When.
    pub(super) at: Timestamp,
    /// Why, in words without secrets; may hold text from outside.
    pub(super) words: String,
    /// Only a new login, or other credentials, can mend it.
    pub(super) is_final: bool,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("until", &self.access.as_ref().map(|access| access.until))
            .field("refresh", &self.refresh.is_some())
            .field("previous", &self.previous.is_some())
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}

/// What to do before a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// The access token is good.
    Use,
    /// It is good, but not for long.
    Ahead,
    /// There is none that is good: the request waits for a new one.
    Must,
    /// Nothing leads to one but a person.
    Login,
}

impl Stored {
    /// What to do at `now` with credentials of that `proof`.
    pub(super) fn plan(&self, grant: Grant, proof: &str, now: Timestamp) -> Plan {
        let renewable = grant == Grant::ClientCredentials || !self.candidates().is_empty();
        match (&self.access, renewable) {
            (Some(access), true) if access.is_good(now) && self.proof == proof => {
                if access.is_young(now) {
                    Plan::Use
                } else {
                    Plan::Ahead
                }
            }
            (Some(access), false) if access.is_good(now) => Plan::Use,
            (_, true) => Plan::Must,
            (_, false) => Plan::Login,
        }
    }

    /// The refresh tokens to try, in order.
    pub(super) fn candidates(&self) -> Vec<String> {
        [&self.refresh, &self.previous]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// What is kept after the endpoint granted something to `used`, a refresh token (none: a code, or the client itself).
    /// "The authorization server MAY issue a new refresh token" (RFC 6749, 6): without one the old one stays.
    pub(super) fn after(&self, granted: Granted, used: Option<&str>, now: Timestamp) -> Self {
        let refresh = granted.refresh.clone().or_else(|| used.map(str::to_owned));
        let rotated = used.is_some() && refresh.as_deref() != used;
        Self {
            client: self.client.clone(),
            proof: self.proof.clone(),
            access: Some(Access {
                token: granted.access,
                obtained: now,
                until: granted.lasts.map(|lasts| now + lasts),
            }),
            refresh_until: match (granted.refresh_lasts, rotated || used.is_none()) {
                (Some(lasts), _) => Some(now + lasts),
                (None, true) => None,
                (None, false) => self.refresh_until,
            },
            refresh,
            previous: rotated.then(|| used.map(str::to_owned)).flatten(),
            trouble: None,
        }
    }
}

impl Access {
    /// It has not expired.
    pub(super) fn is_good(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// It will not for a while.
    fn is_young(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| {
            let slack = SLACK.min(until.since(self.obtained) / 10);
            now < until - slack
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_464_000_000);

    fn granted(access: &str, refresh: Option<&str>, lasts: Option<u64>) -> Granted {
        Granted {
            access: access.to_owned(),
            refresh: refresh.map(str::to_owned),
            lasts: lasts.map(Duration::from_secs),
            refresh_lasts: None,
        }
    }

    #[test]
    fn a_token_is_renewed_ahead_of_its_end_and_nobody_waits_for_that() {
        use Grant::{AuthorizationCode, ClientCredentials};
        let empty = Stored::default();
        assert_eq!(empty.plan(ClientCredentials, "", NOW), Plan::Must);
        assert_eq!(empty.plan(AuthorizationCode, "", NOW), Plan::Login);
        let hour = empty.after(granted("a", Some("r"), Some(3600)), None, NOW);
        let bare = empty.after(granted("a", None, Some(3600)), None, NOW);
        let minute = empty.after(granted("a", Some("r"), Some(60)), None, NOW);
        let unsaid = empty.after(granted("a", Some("r"), None), None, NOW);
        for (stored, grant, seconds, plan) in [
            (&hour, AuthorizationCode, 3299, Plan::Use),
            (&hour, AuthorizationCode, 3301, Plan::Ahead),
            (&hour, AuthorizationCode, 3600, Plan::Must),
            (&bare, AuthorizationCode, 3301, Plan::Use),
            (&bare, AuthorizationCode, 3600, Plan::Login),
            (&bare, ClientCredentials, 3301, Plan::Ahead),
            (&bare, ClientCredentials, 3600, Plan::Must),
            (&minute, AuthorizationCode, 53, Plan::Use),
            (&minute, AuthorizationCode, 55, Plan::Ahead),
            (&unsaid, AuthorizationCode, 1_000_000, Plan::Use),
        ] {
            let now = NOW + Duration::from_secs(seconds);
            assert_eq!(
                stored.plan(grant, "", now),
                plan,
                "{stored:?} after {seconds} s"
            );
        }
        let plan = hour.plan(AuthorizationCode, "other", NOW);
        assert_eq!(plan, Plan::Must, "other credentials are tried at once");
    }

    #[test]
    fn the_predecessor_is_kept_exactly_where_there_is_one() {
        let first = Stored::default().after(granted("a1", Some("r1"), None), None, NOW);
        assert_eq!(first.candidates(), ["r1"]);
        let second = first.after(granted("a2", Some("r2"), None), Some("r1"), NOW);
        assert_eq!(second.candidates(), ["r2", "r1"]);
        let by_predecessor = second.after(granted("a3", Some("r3"), None), Some("r1"), NOW);
        assert_eq!(by_predecessor.candidates(), ["r3", "r1"]);
        for same in [None, Some("r2")] {
            let unrotated = second.after(granted("a3", same, None), Some("r2"), NOW);
            assert_eq!(unrotated.candidates(), ["r2"]);
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let stored = Stored::default()
            .after(granted("acc3ss", Some("r3fresh"), None), None, NOW)
            .after(
                granted("acc3ss", Some("r3fresh2"), None),
                Some("r3fresh"),
                NOW,
            );
        let text = format!("{stored:?} {stored:#?}");
        assert!(
            !text.contains("acc3ss") && !text.contains("r3fresh"),
            "{text}"
        );
    }
}
