//! Who is on duty, when somebody may be disturbed, and when the business notices: policies, rotas, hours, due times.
//!
//! Pure, in a time zone that is given; no clock is read. Must never know of channels' payloads or of the store. Made by the
//! configuration, asked by `watch` and by the escalation of incidents.

mod due;
mod hours;
mod policy;
mod rota;

pub use due::Due;
pub use hours::Hours;
pub use policy::{Level, Person, Policy, Recipient, Tell};
pub use rota::{Rota, Stint};

use chrono::{Duration, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

use crate::time::Timestamp;

/// The instant of a local time. One that the clocks skip in spring is the first that exists after it; one that they repeat
/// in autumn is the first of the two.
fn instant(local: NaiveDateTime, zone: Tz) -> Timestamp {
    // No zone of the database skips more than a day.
    let at = (0..=24 * 4).find_map(|quarter| {
        let tried = local + Duration::minutes(15 * quarter);
        zone.from_local_datetime(&tried).earliest()
    });
    Timestamp(at.map_or_else(
        || local.and_utc().timestamp_millis(),
        |at| at.timestamp_millis(),
    ))
}

/// Minutes since midnight: `9`, `09`, `09:30`, and `24` as the end of a day.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':').unwrap_or((text, "0"));
    let digits = |part: &str| {
        let plain = !part.is_empty() && part.len() <= 2;
        (plain && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<u16>().ok())
            .flatten()
    };
    let all = digits(hour)? * 60 + digits(minute)?;
    (digits(minute)? < 60 && all <= 24 * 60).then_some(all)
}

/// The days of a week, Monday first, as they are written.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Which day of the week, Monday being 0.
fn day(text: &str) -> Option<usize> {
    DAYS.iter().position(|day| text.eq_ignore_ascii_case(day))
}

/// When a person means by `08:00` (the next time it is that), `2h` (from now) or a time with its offset.
pub fn until(text: &str, now: Timestamp, zone: Tz) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(at) = Timestamp::parse_rfc3339(text) {
        return Some(at);
    }
    if !text.contains(':') {
        return crate::time::parse_duration(text).map(|after| now + after);
    }
    let time = u32::from(minutes(text).filter(|minutes| *minutes < 24 * 60)?);
    let today = now.utc().with_timezone(&zone).date_naive();
    (0..3).find_map(|later| {
        let day = today.checked_add_days(chrono::Days::new(later))?;
        let at = instant(day.and_hms_opt(time / 60, time % 60, 0)?, zone);
        (at > now).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_next_one_a_duration_begins_now() {
        let at = |text| Timestamp::parse_rfc3339(text).unwrap();
        let now = at("2026-11-26T02:10:00+01:00");
        let oslo = chrono_tz::Europe::Oslo;
        for (text, expected) in [
            ("08:00", "2026-11-26T08:00:00+01:00"),
            ("02:10", "2026-11-27T02:10:00+01:00"),
            ("90m", "2026-11-26T03:40:00+01:00"),
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ] {
            assert_eq!(until(text, now, oslo), Some(at(expected)), "{text}");
        }
        for bad in ["", "8", "24:00", "tomorrow"] {
            assert_eq!(until(bad, now, oslo), None, "{bad}");
        }
    }
}
