//! Hours in which somebody may be disturbed for what can wait.

use std::fmt;

use chrono::{Datelike, Days, Timelike};
use chrono_tz::Tz;

use super::{DAYS, day, instant, minutes};
use crate::time::Timestamp;

/// Some hours of some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Monday first.
    days: [bool; 7],
    /// Minutes since midnight.
    from: u16,
    /// Minutes since midnight, more than `from`, at most a whole day; not included.
    to: u16,
}

impl Hours {
    /// Monday to Friday, 08 to 18.
    pub const WORKDAYS: Self = Self {
        days: [true, true, true, true, true, false, false],
        from: 8 * 60,
        to: 18 * 60,
    };

    /// Reads `workdays 08-18`, `daily 7:30-22`, `mon-thu,sat 09-17`.
    pub fn parse(text: &str) -> Option<Self> {
        let (days, times) = text.trim().rsplit_once(' ')?;
        let (from, to) = times.split_once('-')?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        Some(Self {
            days: self::days(days.trim())?,
            from,
            to: (from < to).then_some(to)?,
        })
    }

    /// Whether `at` lies in them.
    pub fn has(self, at: Timestamp, zone: Tz) -> bool {
        let local = at.utc().with_timezone(&zone);
        let minute = (local.hour() * 60 + local.minute()) as u16;
        let day = local.weekday().num_days_from_monday() as usize;
        self.days[day] && (self.from..self.to).contains(&minute)
    }

    /// `at` itself where it lies in them, else when they next begin.
    pub fn next(self, at: Timestamp, zone: Tz) -> Timestamp {
        if self.has(at, zone) {
            return at;
        }
        let today = at.utc().with_timezone(&zone).date_naive();
        let begin = (0..8).find_map(|later| {
            let day = today.checked_add_days(Days::new(later))?;
            let local = day.and_hms_opt(u32::from(self.from) / 60, u32::from(self.from) % 60, 0)?;
            let begin = instant(local, zone);
            let is_one = self.days[day.weekday().num_days_from_monday() as usize];
            (is_one && begin > at).then_some(begin)
        });
        begin.unwrap_or(at)
    }
}

fn days(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    match text {
        "workdays" => days[..5].fill(true),
        "daily" => days.fill(true),
        "weekends" => days[5..].fill(true),
        list => {
            for part in list.split(',') {
                let (from, to) = part.split_once('-').unwrap_or((part, part));
                let (from, to) = (day(from.trim())?, day(to.trim())?);
                days.get_mut(from..=to)?.fill(true);
            }
        }
    }
    Some(days)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.days {
            [true, true, true, true, true, false, false] => f.write_str("workdays")?,
            [true, true, true, true, true, true, true] => f.write_str("daily")?,
            [false, false, false, false, false, true, true] => f.write_str("weekends")?,
            days => {
                let named = DAYS.iter().zip(days).filter(|(_, is_one)| *is_one);
                let named: Vec<&str> = named.map(|(name, _)| *name).collect();
                f.write_str(&named.join(","))?;
            }
        }
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, " {}-{}", time(self.from), time(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn hours_are_those_of_the_zone_also_in_the_nights_when_the_clocks_change() {
        let oslo = chrono_tz::Europe::Oslo;
        let hours = Hours::parse("workdays 08-18").unwrap();
        assert_eq!(hours, Hours::WORKDAYS);
        for (now, inside, next) in [
            (
                "2026-11-26T07:59:59+01:00",
                false,
                "2026-11-26T08:00:00+01:00",
            ),
            (
                "2026-11-26T08:00:00+01:00",
                true,
                "2026-11-26T08:00:00+01:00",
            ),
            (
                "2026-11-26T18:00:00+01:00",
                false,
                "2026-11-27T08:00:00+01:00",
            ),
            (
                "2026-11-28T12:00:00+01:00",
                false,
                "2026-11-30T08:00:00+01:00",
            ),
            (
                "2027-03-27T12:00:00+01:00",
                false,
                "2027-03-29T08:00:00+02:00",
            ),
        ] {
            assert_eq!(hours.has(at(now), oslo), inside, "{now}");
            assert_eq!(hours.next(at(now), oslo), at(next), "{now}");
        }
        // 02:30 does not exist on the night of 28 March 2027: the hours begin when the clocks have moved.
        let skipped = Hours::parse("daily 02:30-04").unwrap();
        let begin = skipped.next(at("2027-03-28T00:00:00+01:00"), oslo);
        assert_eq!(begin, at("2027-03-28T03:00:00+02:00"));
    }

    #[test]
    fn they_are_read_as_people_write_them() {
        for (text, told) in [
            ("workdays 08-18", "workdays 08:00-18:00"),
            ("daily 0-24", "daily 00:00-24:00"),
            ("weekends 10:30-16", "weekends 10:30-16:00"),
            ("mon-wed,sat 9-17", "mon,tue,wed,sat 09:00-17:00"),
        ] {
            assert_eq!(
                Hours::parse(text).map(|hours| hours.to_string()).as_deref(),
                Some(told)
            );
        }
        for bad in [
            "08-18",
            "workdays",
            "workdays 18-08",
            "fun 8-9",
            "daily 8-25",
            "fri-mon 8-9",
        ] {
            assert_eq!(Hours::parse(bad), None, "{bad}");
        }
    }
}
