//! When the business notices that something is late.

use std::fmt;
use std::time::Duration;

use chrono::{Datelike, Days};
use chrono_tz::Tz;

use super::{instant, minutes};
use crate::time::{Timestamp, parse_duration, short};

/// When the business notices that something is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// So long after it was accepted.
    After(Duration),
    /// At this time (minutes since midnight) of the next Monday to Friday that has not passed it yet.
    Workday(u16),
}

impl Due {
    /// Reads `2h`, or `next workday 09:00`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().strip_prefix("next workday") {
            Some(time) => minutes(time.trim())
                .filter(|minutes| *minutes < 24 * 60)
                .map(Self::Workday),
            None => parse_duration(text).map(Self::After),
        }
    }

    /// When that is for what was accepted `at`.
    pub fn at(self, at: Timestamp, zone: Tz) -> Timestamp {
        let time = match self {
            Self::After(after) => return at + after,
            Self::Workday(time) => time,
        };
        let today = at.utc().with_timezone(&zone).date_naive();
        let noticed = (0..8).find_map(|later| {
            let day = today.checked_add_days(Days::new(later))?;
            let works = day.weekday().num_days_from_monday() < 5;
            let local = day.and_hms_opt(u32::from(time) / 60, u32::from(time) % 60, 0)?;
            let noticed = instant(local, zone);
            (works && noticed > at).then_some(noticed)
        });
        noticed.unwrap_or(at)
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(after) => f.write_str(&short(*after)),
            Self::Workday(time) => write!(f, "next workday {:02}:{:02}", time / 60, time % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn the_next_workday_is_today_until_its_hour_has_come_and_never_a_weekend() {
        let oslo = chrono_tz::Europe::Oslo;
        for (accepted, noticed) in [
            // Thursday before nine: the same morning.
            ("2026-11-26T02:10:00+01:00", "2026-11-26T09:00:00+01:00"),
            ("2026-11-26T09:00:00+01:00", "2026-11-27T09:00:00+01:00"),
            // Friday afternoon and Sunday: Monday.
            ("2026-11-27T15:00:00+01:00", "2026-11-30T09:00:00+01:00"),
            ("2026-11-29T23:59:00+01:00", "2026-11-30T09:00:00+01:00"),
            // The clocks go forward on Sunday 28 March 2027, back on Sunday 31 October 2027: nine is nine.
            ("2027-03-26T10:00:00+01:00", "2027-03-29T09:00:00+02:00"),
            ("2027-10-29T10:00:00+02:00", "2027-11-01T09:00:00+01:00"),
        ] {
            assert_eq!(
                Due::Workday(540).at(at(accepted), oslo),
                at(noticed),
                "{accepted}"
            );
        }
    }

    #[test]
    fn it_is_read_and_told_as_people_write_it() {
        for (text, due) in [
            ("2h", Due::After(Duration::from_secs(7_200))),
            ("next workday 09:00", Due::Workday(540)),
            ("next workday 7", Due::Workday(420)),
        ] {
            assert_eq!(Due::parse(text), Some(due), "{text}");
        }
        assert_eq!(Due::Workday(540).to_string(), "next workday 09:00");
        for bad in [
            "next workday",
            "next workday 25:00",
            "next workday 24",
            "workday 9",
            "9",
        ] {
            assert_eq!(Due::parse(bad), None, "{bad}");
        }
    }
}
