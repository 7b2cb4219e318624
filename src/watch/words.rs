//! Times and numbers as the screens say them.

use std::time::Duration;

use crate::time::{Timestamp, short};

/// `22:31` today, `Thu 09:00` within six days, `2026-11-30 09:00` otherwise; in `zone`.
pub fn when(at: Timestamp, now: Timestamp, zone: chrono_tz::Tz) -> String {
    let same_day = at.in_zone(zone, "%F") == now.in_zone(zone, "%F");
    let apart = at.since(now).max(now.since(at));
    if same_day {
        clock(at, zone)
    } else if apart < Duration::from_secs(6 * 86_400) {
        at.in_zone(zone, "%a %H:%M")
    } else {
        at.in_zone(zone, "%F %H:%M")
    }
}

/// `12m ago (22:46)`.
pub(super) fn ago(since: Timestamp, now: Timestamp, zone: chrono_tz::Tz) -> String {
    format!(
        "{} ago ({})",
        short(now.since(since)),
        when(since, now, zone)
    )
}

/// `in 42s` within a minute, `at 22:16` or `at Thu 09:00` later.
pub(super) fn ahead(at: Timestamp, now: Timestamp, zone: chrono_tz::Tz) -> String {
    let left = at.since(now);
    if left < Duration::from_secs(60) {
        format!("in {}s", left.as_secs())
    } else {
        format!("at {}", when(at, now, zone))
    }
}

pub(super) fn clock(at: Timestamp, zone: chrono_tz::Tz) -> String {
    at.in_zone(zone, "%H:%M")
}

/// `9,820`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(super) fn events(n: u64) -> String {
    format!("{} event{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// `3 dead letters`.
pub fn letters(n: u64) -> String {
    format!(
        "{} dead letter{}",
        grouped(n),
        if n == 1 { "" } else { "s" }
    )
}

pub(super) fn deliveries(n: u64) -> String {
    format!("{} deliver{}", grouped(n), if n == 1 { "y" } else { "ies" })
}
