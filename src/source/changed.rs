//! What a polled record becomes: an event of our own that looks like the vendor's; and since when a run of polling lists.
//! Pure.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::event::{Event, Origin};
use crate::record::map::{self, RecordMap};
use crate::record::value::{Record, Version};
use crate::time::Timestamp;

/// A run asks again for this much of what the last one saw: clocks differ, and lists lag behind what they list. What came
/// before is recognised and dropped.
pub(super) const OVERLAP: Duration = Duration::from_secs(5 * 60);

/// Since when to list, for a run that begins at `now`: from the mark, or from the beginning of what may be sent. Without
/// either it begins now, and history is `adopt`'s.
pub(super) fn since(
    mark: Option<Timestamp>,
    live_from: Option<Timestamp>,
    now: Timestamp,
) -> Timestamp {
    let from = match (mark, live_from) {
        (Some(mark), live_from) => (mark - OVERLAP).max(live_from.unwrap_or(Timestamp::ZERO)),
        (None, Some(live_from)) => live_from,
        (None, None) => now - OVERLAP,
    };
    from.min(now)
}

/// What a run brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Records it was given.
    pub(super) seen: u64,
    /// Of those, new to us.
    pub(super) new: u64,
    /// Of those, without a business key: no record of ours.
    pub(super) keyless: u64,
    /// Of those, held because they could not be read.
    pub(super) held: u64,
    /// Of those, of a kind that nothing here takes.
    pub(super) unwanted: u64,
}

/// Whether a record that was listed changed since `since`, as far as it says: a listing that cannot be narrowed gives all.
pub(super) fn is_new(record: &Record, since: Timestamp) -> bool {
    match record.version {
        Some(Version::Instant(at)) => at >= since,
        _ => true,
    }
}

/// The event of a polled record: type `KIND.changed`, id `KIND/KEY/VERSION`, so that the same version is the same event.
/// Where a record has no version, its bytes take its place. None for a record without a business key.
pub(super) fn event(map: &RecordMap, record: &Record, bytes: &[u8]) -> Option<Event> {
    let key = record.key.as_ref()?;
    let version = match &record.version {
        Some(version) => version.to_string(),
        None => digest(bytes),
    };
    Some(Event {
        id: format!("{}/{key}/{version}", map.kind),
        subject: Some(key.clone()),
        time: match record.version {
            Some(Version::Instant(at)) => Some(at),
            _ => None,
        },
        ..unread(map, bytes)
    })
}

/// The event of what was listed and could not be read: it is kept all the same, and held with the reason, so that the mark
/// may pass it.
pub(super) fn unread(map: &RecordMap, bytes: &[u8]) -> Event {
    Event {
        source: map.system.clone(),
        id: format!("{}/{}", map.kind, digest(bytes)),
        kind: map::changed(&map.kind),
        subject: None,
        time: None,
        content_type: Some("application/json".to_owned()),
        idempotency_key: None,
        schema_version: None,
        extensions: Vec::new(),
        data: map::wrapped(&map.at, bytes),
        origin: Origin::Poll,
    }
}

/// The same event under an id of its own: its version is known with other content, so that it changed again within what
/// the version tells apart (WooCommerce's second).
pub(super) fn again(mut event: Event) -> Event {
    let digest = digest(&event.data);
    event.id = format!("{}/{digest}", event.id);
    event
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn ago(seconds: u64) -> Timestamp {
        NOW - Duration::from_secs(seconds)
    }

    #[test]
    fn a_run_goes_on_from_the_mark_with_overlap_and_never_before_live_from() {
        for (mark, live_from, expected) in [
            (None, None, ago(300)),
            (None, Some(ago(9000)), ago(9000)),
            (Some(ago(600)), None, ago(900)),
            (Some(ago(600)), Some(ago(9000)), ago(900)),
            (Some(ago(600)), Some(ago(700)), ago(700)),
            // A clock that was set back, a beginning in the future.
            (Some(NOW + Duration::from_secs(9000)), None, NOW),
            (None, Some(NOW + Duration::from_secs(60)), NOW),
        ] {
            assert_eq!(
                since(mark, live_from, NOW),
                expected,
                "{mark:?} {live_from:?}"
            );
        }
    }

    #[test]
    fn a_record_becomes_an_event_that_looks_like_its_vendors() {
        let map = |at: &str| RecordMap {
            system: "shop".into(),
            kind: "order".into(),
            at: at.into(),
            ..RecordMap::default()
        };
        let mut record = Record {
            key: Some("1042".into()),
            version: Some(Version::Number(7)),
            ..Record::default()
        };
        let bytes = br#"{"id": 12.10}"#;
        let found = event(&map(""), &record, bytes).unwrap();
        assert_eq!(
            (found.kind.as_str(), found.id.as_str()),
            ("order.changed", "order/1042/7")
        );
        assert_eq!(
            (&found.data[..], found.subject.as_deref()),
            (&bytes[..], Some("1042"))
        );
        let wrapped = event(&map("/data/a~1\"b"), &record, bytes).unwrap();
        assert_eq!(&wrapped.data[..], br#"{"data":{"a/\"b":{"id": 12.10}}}"#);
        record.version = None;
        let one = event(&map(""), &record, b"{}").unwrap().id;
        let other = event(&map(""), &record, b"{\"a\":1}").unwrap().id;
        assert!(
            one.starts_with("order/1042/") && one != other,
            "{one} {other}"
        );
        assert_ne!(again(found.clone()).id, found.id);
        record.key = None;
        assert_eq!(event(&map(""), &record, bytes), None);
        assert_ne!(unread(&map(""), b"{}").id, unread(&map(""), b"[]").id);
    }
}
