//! Wall-clock time as the store keeps it, and the clock that policies are given.
//!
//! Due times are wall clock; intervals inside a process are `std::time::Instant`. No policy asks the system for the time.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before everything that midwatch ever records.
    pub const ZERO: Self = Self(0);

    /// The time from `earlier` to this; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// As chrono's UTC time; times outside chrono's range become the epoch.
    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// RFC 3339 in UTC with milliseconds.
    pub fn rfc3339(self) -> String {
        self.utc().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// RFC 3339 in UTC, with milliseconds only where there are any.
    pub fn brief(self) -> String {
        let format = if self.0.rem_euclid(1000) == 0 {
            SecondsFormat::Secs
        } else {
            SecondsFormat::Millis
        };
        self.utc().to_rfc3339_opts(format, true)
    }

    /// `format` (chrono's strftime) in `zone`.
    pub fn in_zone(self, zone: chrono_tz::Tz, format: &str) -> String {
        zone.from_utc_datetime(&self.utc().naive_utc())
            .format(format)
            .to_string()
    }

    /// Reads an RFC 3339 time.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|time| Self(time.timestamp_millis()))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Where the time comes from: the system, or a hand-set value in tests.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// A clock that stands until it is moved.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start`.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.0)))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(Utc::now().timestamp_millis()),
            Self::Manual(at) => Timestamp(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(at) = self {
            at.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, back or forth; the system's clock is left alone.
    pub fn set(&self, to: Timestamp) {
        if let Self::Manual(at) = self {
            at.store(to.0, Ordering::SeqCst);
        }
    }
}

/// `90d`, `2h 5m`, `15s`, `250ms`: the two largest units, as people say it.
pub fn short(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (seconds, minutes, hours, days) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    let pair = |big: u128, unit: &str, small: u128, sub: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit} {small}{sub}")
        }
    };
    match () {
        () if ms < 1000 => format!("{ms}ms"),
        () if seconds < 60 => format!("{seconds}s"),
        () if minutes < 60 => pair(minutes, "m", seconds % 60, "s"),
        () if hours < 24 => pair(hours, "h", minutes % 60, "m"),
        () => pair(days, "d", hours % 24, "h"),
    }
}

/// Reads `0`, `250ms`, `15s`, `5m`, `2h`, `30d`, `1w`, or several together (`1h30m`, `2h 5m`).
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit)?))?;
        rest = rest[letters..].trim_start();
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_people_write_them() {
        for (text, ms) in [
            ("0", 0),
            ("250ms", 250),
            ("15s", 15_000),
            ("1h30m", 5_400_000),
            ("2h 5m", 7_500_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for bad in ["", "5", "m", "5 apples", "-1s", "99999999999999999999s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(short(Duration::from_millis(7_500_000)), "2h 5m");
        assert_eq!(short(Duration::from_secs(59)), "59s");
        assert_eq!(short(Duration::from_secs(86_400)), "1d");
    }
}
