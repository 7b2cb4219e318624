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
