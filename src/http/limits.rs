//! What a vendor's headers say of the rate budget. Pure; `Outbound` asks it of every answer and tells the system's budget.

use std::time::Duration;

use super::reply::Reply;
use crate::config::model::{LimitHeaders, ResetUnit};
use crate::time::Timestamp;

/// The longest that a header may stop us: beyond it we ask again, and are told again. One misread unit must not stop an
/// integration for years.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// What an answer says is left, and in how long the window ends, if it says so.
pub(crate) fn left(
    names: &LimitHeaders,
    reply: &Reply,
    now: Timestamp,
) -> Option<(usize, Option<Duration>)> {
    let remaining = remaining(reply.header(&names.remaining)?)?;
    let reset = names.reset.as_deref().and_then(|name| reply.header(name));
    let number = reset
        .and_then(|text| text.trim().parse::<f64>().ok())
        .filter(|number| number.is_finite() && *number >= 0.0);
    let span = number.map(|number| {
        let ms = match names.reset_unit {
            ResetUnit::Seconds => number * 1000.0,
            ResetUnit::Millis => number,
            // Against the answer's own clock: that ours differs does no harm.
            ResetUnit::UnixSeconds => number * 1000.0 - reply.date().unwrap_or(now).0 as f64,
        };
        // A cast saturates; below zero it is over.
        Duration::from_millis(ms.ceil() as u64).min(LONGEST)
    });
    Some((remaining, span))
}

/// `39`; also `1/40`, of which the first is used (Shopify's `X-Shopify-Shop-Api-Call-Limit`). Less than none is none.
fn remaining(text: &str) -> Option<usize> {
    let number = |text: &str| {
        text.trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
    };
    let left = match text.split_once('/') {
        Some((used, limit)) => number(limit)? - number(used)?,
        None => number(text)?,
    };
    Some(left as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_in_their_units() {
        // Mon, 23 Nov 2026 20:00:00 GMT
        const NOW: Timestamp = Timestamp(1_795_464_000_000);
        let seconds = |s| Some(Duration::from_secs(s));
        for (unit, remaining, reset, expected) in [
            (
                ResetUnit::Seconds,
                "39",
                Some("10"),
                Some((39, seconds(10))),
            ),
            (
                ResetUnit::Seconds,
                "0",
                Some("0.5"),
                Some((0, Some(Duration::from_millis(500)))),
            ),
            (
                ResetUnit::Millis,
                "7",
                Some("10000"),
                Some((7, seconds(10))),
            ),
            (
                ResetUnit::UnixSeconds,
                "0",
                Some("1795464030"),
                Some((0, seconds(30))),
            ),
            (
                ResetUnit::UnixSeconds,
                "0",
                Some("1795463000"),
                Some((0, seconds(0))),
            ),
            (
                ResetUnit::Seconds,
                "0",
                Some("1795464030"),
                Some((0, Some(LONGEST))),
            ),
            (ResetUnit::Seconds, "3", None, Some((3, None))),
            (ResetUnit::Seconds, "3", Some("soon"), Some((3, None))),
            (ResetUnit::Seconds, "-1", Some("5"), Some((0, seconds(5)))),
            (ResetUnit::Seconds, "32/40", None, Some((8, None))),
            (ResetUnit::Seconds, "many", Some("5"), None),
        ] {
            let names = LimitHeaders {
                remaining: "x-left".to_owned(),
                reset: Some("x-reset".to_owned()),
                reset_unit: unit,
            };
            let mut reply = Reply::default();
            reply.headers.insert("x-left", remaining.parse().unwrap());
            if let Some(reset) = reset {
                reply.headers.insert("x-reset", reset.parse().unwrap());
            }
            // Our own clock is an hour ahead; the answer's counts.
            reply
                .headers
                .insert("date", "Mon, 23 Nov 2026 20:00:00 GMT".parse().unwrap());
            assert_eq!(
                left(&names, &reply, NOW + Duration::from_secs(3600)),
                expected,
                "{remaining} {reset:?}"
            );
        }
        let names = LimitHeaders {
            remaining: "x-left".to_owned(),
            reset: None,
            reset_unit: ResetUnit::Seconds,
        };
        assert_eq!(
            left(&names, &Reply::default(), NOW),
            None,
            "an answer that says nothing"
        );
    }
}
