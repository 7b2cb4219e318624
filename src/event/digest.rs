//! The digest that tells a repeated event from another one under the same id or key. Pure; the intake calls it for
//! every event, and the store compares what it returns.

use sha2::{Digest as _, Sha256};

use super::Event;

/// The first 128 bits of the SHA-256 of type, subject, schema version and data, each with its length before it, so that
/// no two different events run into the same bytes. Id, source, time and extensions are left out: senders change them
/// when they repeat themselves.
pub fn of(event: &Event) -> [u8; 16] {
    let mut hash = Sha256::new();
    let mut part = |value: Option<&[u8]>| {
        // Absent is not empty.
        let length = value.map_or(u64::MAX, |value| value.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(value.unwrap_or_default());
    };
    part(Some(event.kind.as_bytes()));
    part(event.subject.as_deref().map(str::as_bytes));
    part(event.schema_version.as_deref().map(str::as_bytes));
    part(Some(&event.data));
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::event;

    #[test]
    fn the_same_content_has_the_same_digest_whoever_sends_it_and_when() {
        let first = event("order.paid", r#"{"total":12.10}"#);
        let mut again = first.clone();
        again.id = "e-2".into();
        again.source = "elsewhere".into();
        again.time = Some(crate::time::Timestamp(1));
        again.extensions.push(("traceparent".into(), "x".into()));
        assert_eq!(of(&first), of(&again));
    }

    #[test]
    fn any_other_content_has_another() {
        type Change = fn(&mut Event);
        let first = event("order.paid", r#"{"total":12.10}"#);
        let changes: [(&str, Change); 6] = [
            ("type", |e| e.kind = "order.pai".into()),
            ("no subject", |e| e.subject = None),
            ("empty subject", |e| e.subject = Some(String::new())),
            ("version", |e| e.schema_version = Some("1".into())),
            ("data", |e| e.data = r#"{"total":12.1}"#.into()),
            // The boundary moves from one part to the next.
            ("boundary", |e| {
                e.kind = "order.paid1".into();
                e.subject = Some("042".into());
            }),
        ];
        let mut seen = vec![of(&first)];
        for (what, change) in changes {
            let mut other = first.clone();
            change(&mut other);
            let digest = of(&other);
            assert!(!seen.contains(&digest), "{what}");
            seen.push(digest);
        }
    }
}
