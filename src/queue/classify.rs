//! What the end of an attempt means: status, body, headers or error in, class out. Pure; called by `dispatch` for each attempt.
//!
//! The classes are those of the design; a path may override them by status or by text in the body, first match wins.

use std::time::Duration;

use crate::config::model::ClassOverride;
use crate::http::reply::{Fault, Reply, SendError, Stage};
use crate::queue::model::Class;
use crate::time::Timestamp;

/// The most characters of a receiver's words that are kept in `Judged::error`.
const WORDS: usize = 300;

/// An attempt's end, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What it means.
    pub class: Class,
    /// HTTP status, if one was read.
    pub status: Option<u16>,
    /// How long the receiver asked to be left alone, capped.
    pub asked: Option<Duration>,
    /// What went wrong, in words; empty when delivered. May hold text from outside.
    pub error: String,
}

/// Judges what a request brought. `cap` is the longest Retry-After that is obeyed, `now` the time the answer came.
pub fn classify(
    result: &Result<Reply, SendError>,
    overrides: &[ClassOverride],
    cap: Duration,
    now: Timestamp,
) -> Judged {
    match result {
        Ok(reply) => answered(reply, overrides, cap, now),
        Err(error) => Judged {
            class: failed(error),
            status: None,
            asked: None,
            error: error.text.clone(),
        },
    }
}

/// The class of a request that brought no status.
fn failed(error: &SendError) -> Class {
    match (error.stage, error.fault) {
        (Stage::After, _) => Class::Unknown,
        (Stage::Before, Fault::Invalid | Fault::Address) => Class::Permanent,
        (Stage::Before, Fault::Secret) => Class::Auth,
        (Stage::Before, Fault::Connect | Fault::Timeout | Fault::Cut) => Class::Transient,
    }
}

fn answered(reply: &Reply, overrides: &[ClassOverride], cap: Duration, now: Timestamp) -> Judged {
    let asked = reply.retry_after(now).map(|asked| asked.min(cap));
    let class = overrides
        .iter()
        .find(|rule| applies(rule, reply))
        .map_or_else(
            || by_status(reply.status, asked.is_some()),
            |rule| rule.class,
        );
    let error = if class == Class::Delivered {
        String::new()
    } else {
        match words(&reply.body) {
            words if words.is_empty() => format!("HTTP {}", reply.status),
            words => format!("HTTP {}: {words}", reply.status),
        }
    };
    Judged {
        class,
        status: Some(reply.status),
        asked: matches!(class, Class::Throttled | Class::Transient | Class::Unknown)
            .then_some(asked)
            .flatten(),
        error,
    }
}

/// The class of a status where no override applies.
pub fn by_status(status: u16, has_retry_after: bool) -> Class {
    match status {
        200..=299 => Class::Delivered,
        429 => Class::Throttled,
        503 if has_retry_after => Class::Throttled,
        408 | 425 | 500..=599 => Class::Transient,
        400 | 422 => Class::Rejected,
        401 | 403 => Class::Auth,
        410 => Class::Gone,
        _ => Class::Permanent,
    }
}

fn applies(rule: &ClassOverride, reply: &Reply) -> bool {
    (rule.status.0..=rule.status.1).contains(&reply.status)
        && rule
            .body_contains
            .as_ref()
            .is_none_or(|text| contains(&reply.body, text.as_bytes()))
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

/// What the receiver says, as briefly as it says it: the message of a JSON problem, else the first line of a text. Not for HTML.
pub fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let said = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => message(&value, 0).unwrap_or_else(|| text.to_owned()),
        Err(_) if text.starts_with('<') => String::new(),
        Err(_) => text.lines().next().unwrap_or_default().to_owned(),
    };
    match said.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &said[..end]),
        None => said,
    }
}

/// The field that holds the message, by the names that are in use (RFC 9457's `detail` and `title` among them).
fn message(value: &serde_json::Value, depth: u8) -> Option<String> {
    use serde_json::Value;
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Array(items) if depth < 3 => items.iter().find_map(|item| message(item, depth + 1)),
        Value::Object(fields) if depth < 3 => [
            "message",
            "detail",
            "error_description",
            "error",
            "errors",
            "title",
            "reason",
            "description",
        ]
        .iter()
        .find_map(|name| message(fields.get(*name)?, depth + 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    const CAP: Duration = Duration::from_secs(3600);
    // Mon, 23 Nov 2026 20:00:00 GMT
    const NOW: Timestamp = Timestamp(1_795_464_000_000);

    #[allow(clippy::unnecessary_wraps)] // it is what `classify` takes
    fn reply(
        status: u16,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<Reply, SendError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("header"),
            );
        }
        Ok(Reply {
            status,
            headers: map,
            body: body.to_owned().into(),
            truncated: false,
        })
    }

    fn judge(result: &Result<Reply, SendError>) -> Judged {
        classify(result, &[], CAP, NOW)
    }

    #[test]
    fn each_status_has_the_class_of_the_contract() {
        for (statuses, class) in [
            (&[200, 201, 202, 204, 206, 226, 299][..], Class::Delivered),
            (
                &[408, 425, 500, 502, 503, 504, 507, 520, 599],
                Class::Transient,
            ),
            (&[429], Class::Throttled),
            (&[400, 422], Class::Rejected),
            (
                &[
                    101, 300, 301, 302, 304, 307, 308, 402, 404, 405, 406, 409, 411, 413, 415, 418,
                    451, 600, 999,
                ],
                Class::Permanent,
            ),
            (&[401, 403], Class::Auth),
            (&[410], Class::Gone),
        ] {
            for status in statuses {
                let judged = judge(&reply(*status, &[], ""));
                assert_eq!(judged.class, class, "{status}");
                assert_eq!(judged.status, Some(*status));
                assert_eq!(
                    judged.error.is_empty(),
                    class == Class::Delivered,
                    "{status}"
                );
            }
        }
        assert_eq!(
            judge(&reply(503, &[("retry-after", "5")], "")).class,
            Class::Throttled
        );
        assert_eq!(
            judge(&reply(500, &[("retry-after", "5")], "")).class,
            Class::Transient
        );
    }

    #[test]
    fn an_error_is_unknown_only_if_something_was_sent() {
        for (fault, before) in [
            (Fault::Invalid, Class::Permanent),
            (Fault::Address, Class::Permanent),
            (Fault::Secret, Class::Auth),
            (Fault::Connect, Class::Transient),
            (Fault::Timeout, Class::Transient),
            (Fault::Cut, Class::Transient),
        ] {
            let judged = judge(&Err(SendError::before(fault, "why")));
            assert_eq!(
                (judged.class, judged.status, judged.error.as_str()),
                (before, None, "why"),
                "{fault:?}"
            );
            assert_eq!(
                judge(&Err(SendError::after(fault, "why"))).class,
                Class::Unknown,
                "{fault:?}"
            );
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date_and_capped() {
        for (headers, asked) in [
            (&[("retry-after", "120")][..], Some(120)),
            (&[("retry-after", " 7 ")], Some(7)),
            (&[("retry-after", "0")], Some(0)),
            (&[("retry-after", "1.2")], Some(2)),
            (&[("retry-after", "2.0")], Some(2)),
            (&[("retry-after", "3601")], Some(3600)),
            (&[("retry-after", "99999999999999999999999")], Some(3600)),
            (
                &[("retry-after", "Mon, 23 Nov 2026 20:00:30 GMT")],
                Some(30),
            ),
            (
                &[("retry-after", "Monday, 23-Nov-26 20:00:30 GMT")],
                Some(30),
            ),
            (&[("retry-after", "Mon Nov 23 20:00:30 2026")], Some(30)),
            (&[("retry-after", "Sun, 22 Nov 2026 20:00:30 GMT")], Some(0)),
            (
                &[
                    ("retry-after", "Mon, 23 Nov 2026 21:00:30 GMT"),
                    ("date", "Mon, 23 Nov 2026 21:00:00 GMT"),
                ],
                Some(30),
            ),
            (&[("retry-after", "5"), ("retry-after", "10")], Some(10)),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "")], None),
            (&[], None),
        ] {
            let judged = judge(&reply(429, headers, ""));
            assert_eq!(judged.class, Class::Throttled);
            assert_eq!(judged.asked, asked.map(Duration::from_secs), "{headers:?}");
        }
        assert_eq!(judge(&reply(422, &[("retry-after", "5")], "")).asked, None);
    }

    #[test]
    fn overrides_match_by_status_and_body_first_one_wins() {
        let rule = |low, high, text: Option<&str>, class| ClassOverride {
            status: (low, high),
            body_contains: text.map(str::to_owned),
            class,
        };
        let rules = [
            rule(409, 409, Some("already exists"), Class::Delivered),
            rule(409, 409, None, Class::Transient),
            rule(200, 299, Some("\"ok\":false"), Class::Rejected),
            rule(404, 404, None, Class::Throttled),
        ];
        for (status, body, class) in [
            (409, "{\"m\":\"already exists\"}", Class::Delivered),
            (409, "locked", Class::Transient),
            (200, "{\"ok\":false}", Class::Rejected),
            (200, "{\"ok\":true}", Class::Delivered),
            (404, "", Class::Throttled),
            (410, "already exists", Class::Gone),
        ] {
            assert_eq!(
                classify(&reply(status, &[], body), &rules, CAP, NOW).class,
                class,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn the_receivers_words_are_found() {
        for (body, said) in [
            ("", ""),
            ("plain words\nmore", "plain words"),
            ("<html><body>502</body></html>", ""),
            (r#"{"message":"no such contact"}"#, "no such contact"),
            (
                r#"{"error":{"type":"card","message":"declined"}}"#,
                "declined",
            ),
            (
                r#"{"error":"invalid","error_description":"token expired"}"#,
                "token expired",
            ),
            (
                r#"{"errors":[{"detail":"total is missing"}]}"#,
                "total is missing",
            ),
            (
                r#"{"type":"about:blank","title":"Bad","detail":"no total"}"#,
                "no total",
            ),
            (r#"{"code":7}"#, r#"{"code":7}"#),
        ] {
            assert_eq!(words(body.as_bytes()), said, "{body}");
        }
        assert_eq!(
            words("x".repeat(1000).as_bytes()).chars().count(),
            WORDS + 1
        );
    }

    proptest! {
        #[test]
        fn any_retry_after_is_within_the_cap(value in "[ -~]{0,40}", cap in 0_u64..100_000) {
            let cap = Duration::from_secs(cap);
            let judged = classify(&reply(429, &[("retry-after", &value)], ""), &[], cap, NOW);
            prop_assert!(judged.asked.unwrap_or_default() <= cap);
        }

        #[test]
        fn delta_seconds_are_obeyed_to_the_second(asked in 0_u64..=3600) {
            let judged = judge(&reply(503, &[("retry-after", &asked.to_string())], ""));
            prop_assert_eq!(judged.asked, Some(Duration::from_secs(asked)));
        }

        #[test]
        fn any_body_is_taken(body in proptest::collection::vec(any::<u8>(), 0..200), status in 100_u16..1000) {
            let reply = Reply { status, body: body.into(), ..Reply::default() };
            let judged = judge(&Ok(reply));
            prop_assert!(judged.error.chars().count() <= WORDS + 20);
        }
    }
}
