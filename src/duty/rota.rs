//! Who is on call: a weekly turn, and who took it over for a while.

use std::fmt;

use chrono::{Datelike, Days, NaiveDate};
use chrono_tz::Tz;

use super::{DAYS, day, instant, minutes};
use crate::time::Timestamp;

/// A weekly rota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rota {
    /// Its name.
    pub name: String,
    /// Whose turn it is, week by week; at least one.
    pub people: Vec<String>,
    /// The day it changes hands, Monday being 0.
    day: usize,
    /// Minutes since midnight.
    time: u16,
    /// A day of the first one's week; none: weeks are counted from the first Monday of 1970.
    first: Option<NaiveDate>,
    /// Those who take it over, known beforehand.
    pub overrides: Vec<Stint>,
}

/// A time for which somebody has taken a rota over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stint {
    /// Which rota.
    pub rota: String,
    /// Who.
    pub person: String,
    /// From when on.
    pub from: Timestamp,
    /// Until then; not included.
    pub until: Timestamp,
}

impl Rota {
    /// A rota that changes hands as `change` says (`Mon 09:00`).
    pub fn new(
        name: &str,
        people: Vec<String>,
        change: &str,
        first: Option<NaiveDate>,
    ) -> Option<Self> {
        let (weekday, time) = change.trim().split_once(' ')?;
        Some(Self {
            name: name.to_owned(),
            day: day(weekday)?,
            time: minutes(time.trim()).filter(|time| *time < 24 * 60)?,
            people: (!people.is_empty()).then_some(people)?,
            first,
            overrides: Vec::new(),
        })
    }

    /// When the turn of `at` began.
    fn began(&self, at: Timestamp, zone: Tz) -> (NaiveDate, Timestamp) {
        let today = at.utc().with_timezone(&zone).date_naive();
        let back = (today.weekday().num_days_from_monday() as usize + 7 - self.day) % 7;
        let mut day = today - Days::new(back as u64);
        let change = |day: NaiveDate| {
            let time = u32::from(self.time);
            let local = day.and_hms_opt(time / 60, time % 60, 0);
            local.map_or(at, |local| instant(local, zone))
        };
        if change(day) > at {
            day = day - Days::new(7);
        }
        (day, change(day))
    }

    /// Who has it at `at`, by the rota alone or because of a stint of `taken` or of its own overrides; the one that began
    /// last counts. With when that ends, as far as is known.
    pub fn on_call(&self, at: Timestamp, taken: &[Stint], zone: Tz) -> (&str, Timestamp) {
        let (day, began) = self.began(at, zone);
        let next = {
            let time = u32::from(self.time);
            let local = (day + Days::new(7)).and_hms_opt(time / 60, time % 60, 0);
            local.map_or(began, |local| instant(local, zone))
        };
        let stints = || {
            let named = |stint: &&Stint| stint.rota == self.name && self.knows(&stint.person);
            self.overrides.iter().chain(taken).filter(named)
        };
        let now = stints()
            .filter(|stint| stint.from <= at && at < stint.until)
            .max_by_key(|stint| stint.from);
        if let Some(stint) = now {
            let person = self.people.iter().find(|person| **person == stint.person);
            return (person.map_or("", String::as_str), stint.until);
        }
        // 5 January 1970 was a Monday.
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 5).unwrap_or_default();
        let first = self.first.unwrap_or(epoch);
        let ahead = (first.weekday().num_days_from_monday() as usize + 7 - self.day) % 7;
        let first = first - Days::new(ahead as u64);
        let weeks = (day - first).num_days().div_euclid(7);
        let turn = weeks.rem_euclid(self.people.len().max(1) as i64) as usize;
        let until = stints()
            .map(|stint| stint.from)
            .filter(|from| *from > at)
            .chain([next])
            .min()
            .unwrap_or(next);
        (self.people.get(turn).map_or("", String::as_str), until)
    }

    /// Whether `person` may take it over: only those of the rota are known to be reachable for it.
    pub fn knows(&self, person: &str) -> bool {
        self.people.iter().any(|one| one == person)
    }
}

impl fmt::Display for Rota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, changing {} {:02}:{:02}",
            self.people.join(", "),
            DAYS[self.day],
            self.time / 60,
            self.time % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn rota() -> Rota {
        let people = vec!["anna".to_owned(), "bo".to_owned()];
        let first = NaiveDate::from_ymd_opt(2026, 11, 23);
        Rota::new("weekly", people, "Mon 09:00", first).unwrap()
    }

    #[test]
    fn it_changes_hands_at_its_hour_in_its_zone_also_when_the_clocks_change() {
        let oslo = chrono_tz::Europe::Oslo;
        for (now, who, until) in [
            (
                "2026-11-23T08:59:59+01:00",
                "bo",
                "2026-11-23T09:00:00+01:00",
            ),
            (
                "2026-11-23T09:00:00+01:00",
                "anna",
                "2026-11-30T09:00:00+01:00",
            ),
            (
                "2026-11-30T08:00:00+01:00",
                "anna",
                "2026-11-30T09:00:00+01:00",
            ),
            (
                "2026-11-30T09:00:00+01:00",
                "bo",
                "2026-12-07T09:00:00+01:00",
            ),
            // The weeks of the nights of 28 March and 31 October 2027.
            (
                "2027-03-29T06:59:59+00:00",
                "bo",
                "2027-03-29T09:00:00+02:00",
            ),
            (
                "2027-03-29T07:00:00+00:00",
                "anna",
                "2027-04-05T09:00:00+02:00",
            ),
            (
                "2027-11-01T07:59:59+00:00",
                "anna",
                "2027-11-01T09:00:00+01:00",
            ),
            (
                "2027-11-01T08:00:00+00:00",
                "bo",
                "2027-11-08T09:00:00+01:00",
            ),
        ] {
            let rota = rota();
            assert_eq!(rota.on_call(at(now), &[], oslo), (who, at(until)), "{now}");
        }
    }

    #[test]
    fn whoever_took_it_over_last_has_it_for_that_time() {
        let zone = chrono_tz::UTC;
        let stint = |person: &str, from: &str, until: &str| Stint {
            rota: "weekly".to_owned(),
            person: person.to_owned(),
            from: at(from),
            until: at(until),
        };
        let taken = [
            stint("bo", "2026-11-24T20:00:00Z", "2026-11-25T08:00:00Z"),
            stint("anna", "2026-11-25T02:00:00Z", "2026-11-25T04:00:00Z"),
            stint("stranger", "2026-11-24T00:00:00Z", "2026-11-27T00:00:00Z"),
        ];
        let who = |now: &str| rota().on_call(at(now), &taken, zone).0.to_owned();
        assert_eq!(who("2026-11-24T19:00:00Z"), "anna");
        assert_eq!(who("2026-11-24T21:00:00Z"), "bo");
        assert_eq!(who("2026-11-25T03:00:00Z"), "anna");
        assert_eq!(who("2026-11-25T04:00:00Z"), "bo");
        assert_eq!(who("2026-11-25T08:00:00Z"), "anna");
        let rota = rota();
        let (_, until) = rota.on_call(at("2026-11-24T19:00:00Z"), &taken, zone);
        assert_eq!(until, at("2026-11-24T20:00:00Z"));
    }
}
