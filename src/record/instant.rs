//! Points in time as systems write them. Pure; `wire`, `read` and `reconcile` call it.

use std::ops::RangeInclusive;

use super::decimal::Decimal;
use crate::time::Timestamp;

/// The years 0 to 9999: what RFC 3339 can write.
const WRITABLE: RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// RFC 3339, surrounding blanks apart; without an offset it is taken as UTC (WooCommerce's `date_modified_gmt`).
/// What is finer than a millisecond is dropped.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_rfc3339(&format!("{text}Z")))
        .filter(|at| WRITABLE.contains(&at.0))
}

/// Unix seconds, with or without decimals (Stripe's `created`).
pub(crate) fn seconds(text: &str) -> Option<Timestamp> {
    unix(text, 3)
}

/// Unix milliseconds.
pub(crate) fn millis(text: &str) -> Option<Timestamp> {
    unix(text, 0)
}

fn unix(text: &str, places: i64) -> Option<Timestamp> {
    let plain = Decimal::parse(text.trim())?.shifted(places)?.plain(0)?;
    let (whole, finer) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole: i64 = whole.parse().ok()?;
    // Before 1970, too, what is finer than a millisecond is dropped towards the past, as in RFC 3339.
    let earlier = i64::from(plain.starts_with('-') && !finer.is_empty());
    let at = whole.checked_sub(earlier)?;
    WRITABLE.contains(&at).then_some(Timestamp(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_vendors_write_them() {
        for (text, at) in [
            ("2026-11-23T20:00:00+01:00", Some(1_795_460_400_000)),
            ("2026-11-23T19:00:00", Some(1_795_460_400_000)),
            ("2026-11-23 19:00:00", Some(1_795_460_400_000)),
            (" 2026-11-23T19:00:00.1239Z ", Some(1_795_460_400_123)),
            ("0000-01-01T00:00:00Z", Some(-62_167_219_200_000)),
            ("0000-01-01T00:00:00+01:00", None),
            ("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999)),
            ("9999-12-31T23:59:59-01:00", None),
            ("2026-11-23", None),
            ("1795460400", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|at| at.0), at, "{text}");
        }
    }

    #[test]
    fn unix_times_are_exact() {
        for (text, at) in [
            ("1795460400", Some(1_795_460_400_000)),
            ("1795460400.123", Some(1_795_460_400_123)),
            ("1795460400.1239", Some(1_795_460_400_123)),
            ("-1.0005", Some(-1001)),
            ("1.7954604e9", Some(1_795_460_400_000)),
            ("1e300", None),
            ("99999999999999999999", None),
            ("253402300800", None),
            ("", None),
        ] {
            assert_eq!(seconds(text).map(|at| at.0), at, "{text}");
        }
        assert_eq!(
            millis("1795460400123").map(|at| at.0),
            Some(1_795_460_400_123)
        );
    }
}
