//! Times of a schedule in the five fields of crontab(5): minute, hour, day of the month, month, day of the week. Pure.
//!
//! As there: lists, ranges, steps and names; Sunday is 0 and 7; where both days are restricted, either is enough. Times are
//! those of a time zone: one that the clocks skip in spring is passed over, one that they repeat in autumn comes once.

use std::fmt;

use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime, TimeZone, Timelike};

use crate::time::Timestamp;

/// How far ahead a time is looked for: a 29 February can be eight years away (2096 to 2104).
const YEARS: i32 = 9;

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both kinds of day are restricted: either is enough.
    either_day: bool,
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error(
        "it has {0} fields instead of five: minute, hour, day of the month, month, day of the week"
    )]
    Fields(usize),
    /// One field cannot be read.
    #[error("{field}: `{text}` is none; {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// As written.
        text: String,
        /// What it may be.
        expected: &'static str,
    },
    /// No such day exists.
    #[error("no such day comes: check day and month")]
    Never,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 8] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"];

struct Field {
    name: &'static str,
    range: (u32, u32),
    names: &'static [&'static str],
    expected: &'static str,
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        range: (0, 59),
        names: &[],
        expected: "0 to 59, `*`, `*/15`, `0,30`",
    },
    Field {
        name: "hour",
        range: (0, 23),
        names: &[],
        expected: "0 to 23, `*`, `8-18`, `*/2`",
    },
    Field {
        name: "day of the month",
        range: (1, 31),
        names: &[],
        expected: "1 to 31 or `*`",
    },
    Field {
        name: "month",
        range: (1, 12),
        names: &MONTHS,
        expected: "1 to 12, `jan` to `dec`, or `*`",
    },
    Field {
        name: "day of the week",
        range: (0, 7),
        names: &WEEKDAYS,
        expected: "0 to 7, `sun` to `sat`, `mon-fri`, or `*`",
    },
];

impl Cron {
    /// Reads a schedule such as `30 3 * * mon-fri`.
    ///
    /// # Errors
    /// With the field that cannot be read, or when no such time ever comes.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        if parts.len() != FIELDS.len() {
            return Err(CronError::Fields(parts.len()));
        }
        let mut bits = [0; 5];
        for (at, field) in FIELDS.iter().enumerate() {
            bits[at] = field.read(parts[at])?;
        }
        let [minutes, hours, days, months, mut weekdays] = bits;
        weekdays |= weekdays >> 7 & 1;
        let cron = Self {
            text: parts.join(" "),
            minutes,
            hours,
            days,
            months,
            weekdays,
            either_day: !parts[2].starts_with('*') && !parts[4].starts_with('*'),
        };
        cron.next(Timestamp::ZERO, chrono_tz::UTC)
            .map(|_| cron)
            .ok_or(CronError::Never)
    }

    /// The first time after `after`, in `zone`; none if it lies beyond nine years.
    pub fn next(&self, after: Timestamp, zone: chrono_tz::Tz) -> Option<Timestamp> {
        let local = zone
            .from_utc_datetime(&after.utc().naive_utc())
            .naive_local();
        let mut at = local.with_second(0)?.with_nanosecond(0)? + Duration::minutes(1);
        let last = at.year() + YEARS;
        while at.year() <= last {
            if !self.is_day(at.date()) {
                at = next_day(at)?;
                continue;
            }
            if self.hours >> at.hour() & 1 == 0 {
                at = at.with_minute(0)? + Duration::hours(1);
                continue;
            }
            if self.minutes >> at.minute() & 1 == 1 {
                let found = zone
                    .from_local_datetime(&at)
                    .earliest()
                    .map(|found| Timestamp(found.timestamp_millis()));
                if let Some(found) = found.filter(|found| *found > after) {
                    return Some(found);
                }
            }
            at += Duration::minutes(1);
        }
        None
    }

    fn is_day(&self, date: NaiveDate) -> bool {
        let day = self.days >> date.day() & 1 == 1;
        let weekday = self.weekdays >> date.weekday().num_days_from_sunday() & 1 == 1;
        let month = self.months >> date.month() & 1 == 1;
        month
            && if self.either_day {
                day || weekday
            } else {
                day && weekday
            }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn next_day(at: NaiveDateTime) -> Option<NaiveDateTime> {
    at.date().succ_opt()?.and_hms_opt(0, 0, 0)
}

impl Field {
    /// The values as bits.
    fn read(&self, text: &str) -> Result<u64, CronError> {
        let wrong = || CronError::Field {
            field: self.name,
            text: text.to_owned(),
            expected: self.expected,
        };
        let mut bits = 0;
        for part in text.split(',') {
            let (span, step) = match part.split_once('/') {
                Some((span, step)) => (span, step.parse().ok().filter(|step| *step > 0)),
                None => (part, Some(1)),
            };
            let step: usize = step.ok_or_else(wrong)?;
            let (low, high) = match span.split_once('-') {
                _ if span == "*" => self.range,
                Some((low, high)) => (
                    self.value(low).ok_or_else(wrong)?,
                    self.value(high).ok_or_else(wrong)?,
                ),
                // `8/2` is from 8 on, as in most crons.
                None if part.contains('/') => (self.value(span).ok_or_else(wrong)?, self.range.1),
                None => {
                    let only = self.value(span).ok_or_else(wrong)?;
                    (only, only)
                }
            };
            if low > high {
                return Err(wrong());
            }
            for value in (low..=high).step_by(step) {
                bits |= 1 << value;
            }
        }
        Ok(bits)
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(at) => self.range.0 + u32::try_from(at).ok()?,
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            None => return None,
        };
        (self.range.0..=self.range.1)
            .contains(&value)
            .then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, after: &str, zone: chrono_tz::Tz) -> String {
        let after = Timestamp::parse_rfc3339(after).unwrap();
        let found = Cron::parse(cron).unwrap().next(after, zone).unwrap();
        found.brief()
    }

    #[test]
    fn the_next_time_is_that_of_crontab() {
        use chrono_tz::Europe::Oslo;
        use chrono_tz::UTC;
        for (cron, after, zone, expected) in [
            (
                "0 3 * * *",
                "2026-11-24T02:59:59Z",
                UTC,
                "2026-11-24T03:00:00Z",
            ),
            (
                "0 3 * * *",
                "2026-11-24T03:00:00Z",
                UTC,
                "2026-11-25T03:00:00Z",
            ),
            (
                "*/15 8-18 * * mon-fri",
                "2026-11-27T18:45:00Z",
                UTC,
                "2026-11-30T08:00:00Z",
            ),
            (
                "30 3 * * *",
                "2026-11-24T00:00:00Z",
                Oslo,
                "2026-11-24T02:30:00Z",
            ),
            // Sunday is 0 and 7.
            (
                "0 0 * * 7",
                "2026-11-24T00:00:00Z",
                UTC,
                "2026-11-29T00:00:00Z",
            ),
            (
                "0 0 * * 0",
                "2026-11-24T00:00:00Z",
                UTC,
                "2026-11-29T00:00:00Z",
            ),
            // Either day is enough where both are restricted.
            (
                "0 0 1 * fri",
                "2026-11-24T00:00:00Z",
                UTC,
                "2026-11-27T00:00:00Z",
            ),
            (
                "0 0 1 * *",
                "2026-11-24T00:00:00Z",
                UTC,
                "2026-12-01T00:00:00Z",
            ),
            (
                "0 0 29 2 *",
                "2096-03-01T00:00:00Z",
                UTC,
                "2104-02-29T00:00:00Z",
            ),
            (
                "5 4 1 jan,jul *",
                "2026-11-24T00:00:00Z",
                UTC,
                "2027-01-01T04:05:00Z",
            ),
            (
                "10/20 * * * *",
                "2026-11-24T00:31:00Z",
                UTC,
                "2026-11-24T00:50:00Z",
            ),
            // 02:30 is skipped on 29 March 2026, and comes twice on 25 October: then the first counts.
            (
                "30 2 * * *",
                "2026-03-28T12:00:00Z",
                Oslo,
                "2026-03-30T00:30:00Z",
            ),
            (
                "30 2 * * *",
                "2026-10-24T12:00:00Z",
                Oslo,
                "2026-10-25T00:30:00Z",
            ),
            (
                "30 2 * * *",
                "2026-10-25T00:30:00Z",
                Oslo,
                "2026-10-26T01:30:00Z",
            ),
        ] {
            assert_eq!(next(cron, after, zone), expected, "{cron} after {after}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_told_with_its_field() {
        for (text, words) in [
            ("", "0 fields"),
            ("* * * *", "4 fields"),
            ("60 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of the month"),
            ("* * * foo *", "month: `foo`"),
            ("* * * * 8", "day of the week"),
            ("5-1 * * * *", "minute"),
            ("*/0 * * * *", "minute"),
            ("+1 * * * *", "minute"),
            ("0 0 31 2 *", "no such day"),
        ] {
            let error = Cron::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
