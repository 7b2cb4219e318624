//! A gate: a number that must hold before one goes on, `backlog(crm) < 10`. Pure.

use std::fmt;

use crate::store::view::Overview;
use crate::time::parse_duration;

/// A condition on one number.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Which number.
    pub metric: Metric,
    /// Of which path or job, as written; `{path}` and `{job}` are the incident's.
    pub subject: String,
    /// How it compares.
    pub compare: Compare,
    /// With what: a count, a percentage, or seconds.
    pub limit: f64,
    /// As written.
    text: String,
}

/// A number that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Deliveries of a path that are not settled.
    Backlog,
    /// Dead letters of a path.
    Dead,
    /// Held deliveries of a path.
    Held,
    /// Failed attempts of a path in five minutes, in percent; no attempts are 0.
    Failing,
    /// Age of the oldest delivery of a path that is due, in seconds.
    Oldest,
    /// Delivered on a path in five minutes.
    Delivered,
    /// Drift of a job's last run, in percent.
    Drift,
}

impl Metric {
    /// All of them, with their words.
    pub const ALL: [(Self, &str); 7] = [
        (Self::Backlog, "backlog"),
        (Self::Dead, "dead"),
        (Self::Held, "held"),
        (Self::Failing, "failing"),
        (Self::Oldest, "oldest"),
        (Self::Delivered, "delivered"),
        (Self::Drift, "drift"),
    ];
}

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
}

impl Gate {
    /// Reads `backlog(crm) < 10`, `failing(crm) <= 5%`, `oldest(crm) < 2m`.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let words: Vec<&str> = Metric::ALL.iter().map(|(_, word)| *word).collect();
            format!(
                "`{text}` is no gate: write for example backlog(crm) < 10; numbers are {}",
                words.join(", ")
            )
        };
        let (name, rest) = text.split_once('(').ok_or_else(wrong)?;
        let (subject, rest) = rest.split_once(')').ok_or_else(wrong)?;
        let word = name.trim();
        let metric = Metric::ALL.iter().find(|(_, known)| *known == word);
        let (metric, _) = metric.ok_or_else(wrong)?;
        let rest = rest.trim();
        let compares = [
            ("<=", Compare::AtMost),
            (">=", Compare::AtLeast),
            ("==", Compare::Equal),
            ("<", Compare::Less),
            (">", Compare::More),
        ];
        let found = compares
            .iter()
            .find_map(|(sign, compare)| Some((*compare, rest.strip_prefix(sign)?)));
        let (compare, number) = found.ok_or_else(wrong)?;
        let number = number.trim();
        let limit = match metric {
            Metric::Oldest => parse_duration(number).map(|limit| limit.as_secs_f64()),
            Metric::Failing | Metric::Drift => number
                .strip_suffix('%')
                .unwrap_or(number)
                .trim()
                .parse()
                .ok(),
            _ => number.parse::<u32>().ok().map(f64::from),
        };
        let limit = limit
            .filter(|limit: &f64| limit.is_finite())
            .ok_or_else(wrong)?;
        let subject = subject.trim();
        if subject.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            metric: *metric,
            subject: subject.to_owned(),
            compare,
            limit,
            text: text.trim().to_owned(),
        })
    }

    /// The same of another subject.
    #[must_use]
    pub fn of(&self, subject: &str) -> Self {
        Self {
            text: self.text.replace(&self.subject, subject),
            subject: subject.to_owned(),
            ..self.clone()
        }
    }

    /// The number now, and whether it holds; none where the path or job is not known.
    pub fn now(&self, overview: &Overview) -> Option<(f64, bool)> {
        let path = || overview.paths.iter().find(|row| row.name == self.subject);
        let value = match self.metric {
            Metric::Backlog => path()?.counts.backlog() as f64,
            Metric::Dead => path()?.counts.dead as f64,
            Metric::Held => path()?.counts.held as f64,
            Metric::Failing => path()?.failure_percent().unwrap_or(0.0),
            Metric::Delivered => path()?.recent.delivered as f64,
            Metric::Oldest => path()?
                .oldest_due
                .map_or(0.0, |due| overview.at.since(due).as_secs_f64()),
            Metric::Drift => {
                let run = overview.runs.iter().find(|run| run.job == self.subject)?;
                run.drift.unwrap_or(0.0) * 100.0
            }
        };
        let holds = match self.compare {
            Compare::Less => value < self.limit,
            Compare::AtMost => value <= self.limit,
            Compare::More => value > self.limit,
            Compare::AtLeast => value >= self.limit,
            Compare::Equal => (value - self.limit).abs() < f64::EPSILON,
        };
        Some((value, holds))
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture::overview;

    #[test]
    fn a_gate_holds_by_the_numbers_of_its_path() {
        let mut overview = overview();
        let row = &mut overview.paths[0];
        row.counts.ready = 9;
        row.counts.running = 0;
        row.counts.waiting = 0;
        row.counts.dead = 2;
        let name = row.name.clone();
        for (text, value, holds) in [
            ("backlog({path}) < 10", 9.0, true),
            ("backlog({path}) <= 8", 9.0, false),
            ("dead({path}) == 2", 2.0, true),
            ("dead({path}) >= 3", 2.0, false),
        ] {
            let gate = Gate::parse(text).unwrap().of(&name);
            assert_eq!(gate.now(&overview), Some((value, holds)), "{gate}");
        }
        assert_eq!(
            Gate::parse("dead(nowhere) < 1").unwrap().now(&overview),
            None
        );
    }

    #[test]
    fn units_belong_to_the_number() {
        assert!((Gate::parse("oldest(crm) < 2m").unwrap().limit - 120.0).abs() < 1e-9);
        assert!((Gate::parse("failing(crm)<=5%").unwrap().limit - 5.0).abs() < 1e-9);
        for bad in [
            "",
            "backlog < 10",
            "backlog() < 1",
            "backlog(crm) < ten",
            "size(crm) < 1",
            "oldest(crm) < 5",
        ] {
            assert!(Gate::parse(bad).is_err(), "{bad}");
        }
    }
}
