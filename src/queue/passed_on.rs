//! What a request tells its receiver of where it comes from: the trace that it belongs to (W3C Trace Context), and which
//! event it carries. Pure; called for every attempt, after the request itself is rendered or taken from where it is kept.
//!
//! The two `ce-` headers are for receivers of one's own: one that copies them into the events that it sends lets a chain be
//! told without a guess. A vendor's API would not read them, so a system with a preset does not get them.

use sha2::{Digest, Sha256};

use super::model::{Claimed, Fence};
use crate::ids::DeliveryId;

/// The headers of one attempt. `vendor`: the receiver is a known vendor's API.
pub fn headers(claimed: &Claimed, vendor: bool) -> Vec<(String, String)> {
    let event = &claimed.event;
    let mut headers = Vec::new();
    let parent = event
        .extension("traceparent")
        .and_then(|said| traceparent(said, claimed.delivery, claimed.fence));
    if let Some(parent) = parent {
        headers.push(("traceparent".to_owned(), parent));
        // Only of use beside a trace that can be read (3.3); ours adds nothing to it.
        if let Some(state) = event.extension("tracestate").filter(|text| is_state(text)) {
            headers.push(("tracestate".to_owned(), state.to_owned()));
        }
    }
    if !vendor {
        // The first of a chain gives it its name.
        let correlation = claimed.correlation.as_deref().unwrap_or(&event.id);
        let cause = crate::store::reference(claimed.delivery.event(), &event.source, &event.id);
        headers.push(("ce-correlationid".to_owned(), encoded(correlation)));
        headers.push(("ce-causationid".to_owned(), cause));
    }
    headers
}

/// Adds what a request does not say itself.
pub fn add(request: &mut Vec<(String, String)>, headers: Vec<(String, String)>) {
    for (name, value) in headers {
        if !(request.iter()).any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            request.push((name, value));
        }
    }
}

/// A `traceparent` of the same trace, with a parent id of this attempt's own (W3C Trace Context, 3.2 and 4.3). The id follows from trace,
/// delivery, generation and attempt, so that the same attempt always has the same one. None where `said` is none.
fn traceparent(said: &str, delivery: DeliveryId, fence: Fence) -> Option<String> {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |text: &str| text.bytes().all(|b| b == b'0');
    if !said.is_ascii() {
        return None;
    }
    let mut parts = said.splitn(5, '-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let more = parts.next();
    let lengths = [version, trace, parent, flags].map(str::len);
    let valid = lengths == [2, 32, 16, 2]
        && [version, trace, parent, flags].into_iter().all(is_hex)
        && version != "ff"
        && !is_zero(trace)
        && !is_zero(parent)
        // A later version may have more fields; this one has none.
        && (more.is_none() || version != "00");
    if !valid {
        return None;
    }
    let mut hash = Sha256::new();
    hash.update(trace);
    hash.update(delivery.0.to_be_bytes());
    hash.update(fence.generation.to_be_bytes());
    hash.update(fence.attempt.to_be_bytes());
    let mut id = hex::encode(&hash.finalize()[..8]);
    if is_zero(&id) {
        id.replace_range(15.., "1");
    }
    // `sampled`, and level 2's `random`; no other flag may be handed on.
    let flags = u8::from_str_radix(flags, 16).ok()? & 0b11;
    Some(format!("00-{trace}-{id}-{flags:02x}"))
}

/// Whether a `tracestate` may be sent as it is: printable ASCII, at most 512 bytes.
fn is_state(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// A CloudEvents attribute as a header's value: what is no printable ASCII, and space, quote and percent, are
/// percent-encoded (HTTP binding, 3.1.3.2).
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0x21..=0x7e if !matches!(byte, b'"' | b'%') => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing;
    use std::sync::Arc;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn fence(generation: u32, attempt: u32) -> Fence {
        Fence {
            epoch: 1,
            generation,
            attempt,
        }
    }

    #[test]
    fn a_trace_goes_on_where_it_can_be_read() {
        let zeros = "0".repeat(32);
        // (what the event says) → flags of what is sent, if anything is
        let table = [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), Some("01")),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), Some("00")),
            (format!("00-{TRACE}-00f067aa0ba902b7-ff"), Some("03")),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01"), Some("01")),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what"), Some("01")),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-what"), None),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            (format!("00-{zeros}-00f067aa0ba902b7-01"), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (
                format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
                None,
            ),
            (format!("00-{TRACE}-00f067aa0ba902b7"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7-1"), None),
            ("x\r\nevil: 1".to_owned(), None),
            (String::new(), None),
        ];
        for (said, flags) in table {
            let sent = traceparent(&said, DeliveryId(256), fence(1, 1));
            let Some(flags) = flags else {
                assert_eq!(sent, None, "{said}");
                continue;
            };
            let sent = sent.expect("goes on");
            assert_eq!(sent.len(), 55, "{said}");
            assert!(sent.starts_with(&format!("00-{TRACE}-")), "{sent}");
            assert!(
                sent.ends_with(flags) && !sent.contains("00f067aa0ba902b7"),
                "{sent}"
            );
        }
    }

    #[test]
    fn each_attempt_has_a_parent_id_of_its_own_and_always_the_same() {
        let said = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let of = |delivery, generation, attempt| {
            traceparent(&said, DeliveryId(delivery), fence(generation, attempt)).expect("goes on")
        };
        assert_eq!(of(256, 1, 1), of(256, 1, 1));
        let mut all = vec![of(256, 1, 1), of(256, 1, 2), of(256, 2, 1), of(257, 1, 1)];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_receiver_of_ones_own_is_told_the_chain_and_a_vendor_is_not() {
        let mut claimed = testing::claimed(7);
        let mut event = (*claimed.event).clone();
        event.id = "é 1%".to_owned();
        event.extensions = vec![
            (
                "traceparent".to_owned(),
                format!("00-{TRACE}-00f067aa0ba902b7-01"),
            ),
            ("tracestate".to_owned(), "a=1,b=2".to_owned()),
        ];
        let reference = crate::store::reference(claimed.delivery.event(), &event.source, &event.id);
        claimed.event = Arc::new(event);
        let names = |headers: &[(String, String)]| -> Vec<String> {
            headers.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(
            names(&headers(&claimed, true)),
            ["traceparent", "tracestate"]
        );
        let own = headers(&claimed, false);
        assert_eq!(names(&own)[2..], ["ce-correlationid", "ce-causationid"]);
        assert_eq!((&own[2].1[..], &own[3].1), ("%C3%A9%201%25", &reference));
        claimed.correlation = Some("c-1".to_owned());
        assert_eq!(headers(&claimed, false)[2].1, "c-1");
        let mut request = vec![("CE-CorrelationId".to_owned(), "mine".to_owned())];
        add(&mut request, headers(&claimed, false));
        let said: Vec<_> = (request.iter())
            .filter(|(name, _)| name.eq_ignore_ascii_case("ce-correlationid"))
            .collect();
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].1, "mine");
        // Without a trace that can be read its state is of no use.
        let mut event = (*claimed.event).clone();
        event.extensions.remove(0);
        claimed.event = Arc::new(event);
        assert!(headers(&claimed, true).is_empty());
    }
}
