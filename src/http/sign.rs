//! Signs what is sent, so that the receiver can tell it from what others send: "Standard Webhooks specification"
//! (standard-webhooks/spec/standard-webhooks.md), sections "Webhook Headers (sending metadata to consumers)" and
//! "Signature scheme", symmetric `v1`. Pure; called by `Outbound` for systems with `sign`. Must never return the secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::config::model::KeyDecoding;
use crate::event::signature;
use crate::time::Timestamp;

/// The three headers of a signed request: names and values.
pub(super) type Headers = [(&'static str, String); 3];

/// The headers that sign `body` with `secret` (base64, after `whsec_` if it is there), sent at `now` under an id that
/// stays the same on every attempt with the same `key`. None: the secret is no base64.
pub(super) fn headers(secret: &str, key: &str, now: Timestamp, body: &[u8]) -> Option<Headers> {
    let secret = signature::key(KeyDecoding::Base64AfterPrefix, secret)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).ok()?;
    let (id, seconds) = (message_id(key, body), now.0.div_euclid(1000).to_string());
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    Some([
        ("webhook-id", id),
        ("webhook-timestamp", seconds),
        ("webhook-signature", signature),
    ])
}

/// `webhook-id`: "unique identifier ... the same when the same webhook is being resent". A hash of the key, because an id
/// must hold no full stop, which a sender's key may; a request without key (a read) is known by its body.
fn message_id(key: &str, body: &[u8]) -> String {
    let of = if key.is_empty() { body } else { key.as_bytes() };
    format!("msg_{}", hex::encode(&Sha256::digest(of)[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_674_087_231_000);

    #[test]
    fn the_signature_is_what_the_specification_signs() {
        // hmac('0123456789abcdef0123456789abcdef', 'msg_...' . '1674087231' . body), computed apart.
        let secret = format!(
            "whsec_{}",
            STANDARD.encode("0123456789abcdef0123456789abcdef")
        );
        let [id, time, signature] = headers(&secret, "key-1", NOW, br#"{"a":1}"#).unwrap();
        assert_eq!(id, ("webhook-id", EXPECTED_ID.to_owned()));
        assert_eq!(time, ("webhook-timestamp", "1674087231".to_owned()));
        assert_eq!(signature, ("webhook-signature", EXPECTED.to_owned()));
    }

    const EXPECTED_ID: &str = "msg_be2974546978e3739e6d6da85c4be9f3";
    const EXPECTED: &str = "v1,VxI6q8uC8vqJ4LHp4hRqg/ljEEyp8dkiO7TZF6/Gj2Q=";

    #[test]
    fn the_id_belongs_to_the_key_and_holds_no_full_stop() {
        let id =
            |key: &str, body: &[u8], now| headers("c2VjcmV0", key, now, body).unwrap()[0].1.clone();
        let later = Timestamp(NOW.0 + 60_000);
        assert_eq!(id("a.b", b"1", NOW), id("a.b", b"1", later));
        assert_ne!(id("a.b", b"1", NOW), id("a.c", b"1", NOW));
        assert_ne!(id("", b"1", NOW), id("", b"2", NOW));
        assert!(!id("a.b", b"1", NOW).contains('.'));
        assert_eq!(headers("not base64!", "k", NOW, b""), None);
        assert_eq!(
            headers("whsec_", "k", NOW, b""),
            None,
            "an empty key would let anyone sign"
        );
    }
}
