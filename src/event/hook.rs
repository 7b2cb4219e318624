//! A vendor's verified request becomes an event, through its system's mapping. Called by the front door after the
//! signature was found good. A request that the mapping cannot read is not lost: it becomes an event of type
//! [`UNMAPPED`], to be held with the reason, because vendors switch off hooks that are answered with errors.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::envelope::MAX_ATTRIBUTE;
use super::expr::{Engine, Scope};
use super::{Event, Origin};
use crate::config::model::HookMapping;
use crate::time::Timestamp;

/// The type of an event whose mapping failed.
pub const UNMAPPED: &str = "midwatch.unmapped";

/// A hook's event, and why it must be held if the mapping failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The event.
    pub event: Event,
    /// Why it cannot be routed.
    pub hold: Option<String>,
}

/// Maps a request of `system`. Header names are lower case; values that are no text are left out.
pub fn map<'a>(
    engine: &Engine,
    mapping: &HookMapping,
    system: &str,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    content_type: Option<&str>,
    body: &Bytes,
) -> Mapped {
    let scope = Scope::hook(
        headers.filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?))),
        body.clone(),
    );
    let render = |what: &str, template: &str| -> Result<Option<String>, String> {
        let text = engine
            .render_in(template, &scope)
            .map_err(|error| format!("hook mapping of {system}, {what}: {error}"))?;
        let text = text.trim();
        if text.len() > MAX_ATTRIBUTE || text.chars().any(char::is_control) {
            return Err(format!(
                "hook mapping of {system}, {what}: longer than {MAX_ATTRIBUTE} bytes, or with control characters"
            ));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    };
    let mut event = Event {
        source: system.to_owned(),
        id: String::new(),
        kind: UNMAPPED.to_owned(),
        subject: None,
        time: None,
        content_type: content_type.map(str::to_owned),
        idempotency_key: None,
        schema_version: None,
        extensions: Vec::new(),
        data: body.clone(),
        origin: Origin::Hook,
    };
    // What the vendor left out, or sent as null, is none; only without a type can nothing be routed.
    let optional = |what, template| render(what, template).ok().flatten();
    event.subject = optional("subject", &mapping.subject);
    event.time = optional("time", &mapping.time).as_deref().and_then(time);
    event.idempotency_key = optional("key", &mapping.key);
    let hold = match render("type", &mapping.kind) {
        Ok(Some(kind)) => {
            event.kind = kind;
            None
        }
        Ok(None) => Some(format!("hook mapping of {system}: the type is empty")),
        Err(reason) => Some(reason),
    };
    event.id = optional("id", &mapping.id).unwrap_or_else(|| {
        // One change can be told under two types with the same bytes (created, then updated).
        let bytes = Sha256::new_with_prefix(&event.kind).chain_update([0]);
        hex::encode(bytes.chain_update(body).finalize())
    });
    Mapped { event, hold }
}

/// RFC 3339, or Unix seconds (with or without a fraction).
fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).or_else(|| {
        let seconds: f64 = text.parse().ok()?;
        (seconds.abs() < 1e11).then(|| Timestamp((seconds * 1000.0).round() as i64))
    })
}

/// The JSON in a form of one field called `payload`, as GitHub sends it when the hook's content type is left as it was;
/// none for any other body. The signature is over the form, not over this.
pub fn form_payload(content_type: Option<&str>, body: &[u8]) -> Option<Bytes> {
    let kind = content_type?.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let mut rest = body.strip_prefix(b"payload=")?.iter();
    let mut plain = Vec::with_capacity(rest.len());
    while let Some(byte) = rest.next() {
        plain.push(match byte {
            b'&' => return None,
            b'+' => b' ',
            b'%' => {
                let mut code = [0];
                hex::decode_to_slice([*rest.next()?, *rest.next()?], &mut code).ok()?;
                code[0]
            }
            byte => *byte,
        });
    }
    Some(plain.into())
}

/// WooCommerce's first request when a hook is saved: a form with nothing but the hook's number.
pub fn is_registration_ping(body: &[u8]) -> bool {
    body.strip_prefix(b"webhook_id=")
        .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// What Slack wants sent back when an address is registered with it.
pub fn challenge(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Handshake {
        r#type: String,
        challenge: String,
    }
    let handshake: Handshake = serde_json::from_slice(body).ok()?;
    (handshake.r#type == "url_verification" && handshake.challenge.len() <= MAX_ATTRIBUTE)
        .then_some(handshake.challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping() -> HookMapping {
        HookMapping {
            kind: "{{ body.type }}".into(),
            id: "{{ body.id }}".into(),
            subject: "{{ body.data.object.id }}".into(),
            time: "{{ body.created }}".into(),
            key: "{{ headers['idempotency-key'] }}".into(),
            ping: crate::config::model::Ping::None,
            ok_status: 202,
        }
    }

    fn mapped(mapping: &HookMapping, headers: &[(&str, &[u8])], body: &'static str) -> Mapped {
        map(
            &Engine::new(),
            mapping,
            "payments",
            headers.iter().copied(),
            Some("application/json"),
            &Bytes::from_static(body.as_bytes()),
        )
    }

    #[test]
    fn a_vendors_request_becomes_an_event_with_the_original_bytes() {
        let body = r#"{"id":"evt_1","type":"charge.refunded", "created":1700000000,"data":{"object":{"id":"ch_1","amount":12.10}}}"#;
        let Mapped { event, hold } = mapped(&mapping(), &[("idempotency-key", b"k-1")], body);
        assert_eq!(hold, None);
        assert_eq!(
            (
                event.source.as_str(),
                event.id.as_str(),
                event.kind.as_str()
            ),
            ("payments", "evt_1", "charge.refunded")
        );
        assert_eq!(event.subject.as_deref(), Some("ch_1"));
        assert_eq!(event.time, Some(Timestamp(1_700_000_000_000)));
        assert_eq!(event.idempotency_key.as_deref(), Some("k-1"));
        assert_eq!(event.data, body.as_bytes());
        assert_eq!(event.origin, Origin::Hook);
    }

    #[test]
    fn what_the_vendor_leaves_out_is_none_and_a_missing_id_is_the_hash_of_type_and_body() {
        let Mapped { event, hold } = mapped(&mapping(), &[], r#"{"type":"ping","created":"soon"}"#);
        assert_eq!(hold, None);
        assert_eq!(
            (event.subject, event.time, event.idempotency_key),
            (None, None, None)
        );
        assert_eq!(
            event.id,
            hex::encode(Sha256::digest(
                "ping\0{\"type\":\"ping\",\"created\":\"soon\"}"
            ))
        );
    }

    #[test]
    fn what_cannot_be_mapped_is_kept_to_be_held_with_its_reason() {
        for (kind, body, words) in [
            ("{{ body.type }}", "{}", "`body.type` is undefined"),
            ("{% if false %}x{% endif %}", "{}", "type is empty"),
            ("{{ body.type }}", "a=b", "not JSON"),
            ("{{ body.type | nope }}", "{}", "nope"),
            ("{{ 'x' * 600 }}", "{}", "longer than 512"),
        ] {
            let mapping = HookMapping {
                kind: kind.into(),
                id: String::new(),
                subject: String::new(),
                time: String::new(),
                key: String::new(),
                ..mapping()
            };
            let Mapped { event, hold } = mapped(&mapping, &[], body);
            let reason = hold.unwrap();
            assert!(reason.contains(words), "{reason}");
            assert_eq!(
                (event.kind.as_str(), &event.data[..]),
                (UNMAPPED, body.as_bytes())
            );
            assert_eq!(event.id.len(), 64);
        }
    }

    #[test]
    fn times_of_both_kinds() {
        for (text, ms) in [
            ("2026-11-23T20:14:05+01:00", Some(1_795_461_245_000)),
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000.25", Some(1_700_000_000_250)),
            ("NaN", None),
            ("1e300", None),
            ("yesterday", None),
        ] {
            assert_eq!(time(text), ms.map(Timestamp), "{text}");
        }
    }

    #[test]
    fn a_form_of_one_payload_is_unwrapped_and_nothing_else() {
        const FORM: &str = "application/x-www-form-urlencoded";
        for (kind, body, expected) in [
            (
                FORM,
                "payload=%7B%22a%22%3A+%221%2B%C3%A6%22%7D",
                Some("{\"a\": \"1+\u{e6}\"}"),
            ),
            (
                "Application/X-WWW-Form-Urlencoded; charset=utf-8",
                "payload=7",
                Some("7"),
            ),
            (FORM, "payload=7&x=1", None),
            (FORM, "x=1&payload=7", None),
            (FORM, "payload=%7", None),
            (FORM, "payload=%zz", None),
            ("application/json", "payload=7", None),
        ] {
            let payload = form_payload(Some(kind), body.as_bytes());
            assert_eq!(
                payload.as_deref(),
                expected.map(str::as_bytes),
                "{kind} {body}"
            );
        }
        assert_eq!(form_payload(None, b"payload=7"), None);
    }

    #[test]
    fn only_a_bare_form_with_the_hooks_number_is_a_ping() {
        assert!(is_registration_ping(b"webhook_id=14"));
        for other in [
            "",
            "webhook_id=",
            "webhook_id=1&x=2",
            "{\"webhook_id\":1}",
            "webhook_id=a",
        ] {
            assert!(!is_registration_ping(other.as_bytes()), "{other}");
        }
    }
}
