//! How unfinished and failed work of the paths stands against a job's limits. Pure: numbers in, differences out. Called by
//! `run`.

use std::time::Duration;

use crate::config::model::Backlog;
use crate::store::view::{DifferenceKind, DifferenceRow, Severity, Standing};
use crate::time::{Timestamp, short};

/// What a look at the queue found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Paths looked at.
    pub paths: u64,
    /// Paths on which a limit is reached.
    pub differing: u64,
    /// Where the worst of them stands; none if there was no path to look at.
    pub level: Option<Severity>,
    /// Each limit that is reached: the path is the key, what was measured stands first, the limit second.
    pub differences: Vec<DifferenceRow>,
}

/// Judges the paths, in their order. Where nothing was replayed there is no share of it.
pub fn judge(limits: &Backlog, paths: &[(String, Standing)], now: Timestamp) -> Found {
    let mut found = Found {
        paths: paths.len() as u64,
        level: (!paths.is_empty()).then_some(Severity::Info),
        ..Found::default()
    };
    for (path, standing) in paths {
        let before = found.differences.len();
        for (kind, reached) in reached(limits, standing, now) {
            found.level = found.level.max(Some(reached.level));
            found.differences.push(DifferenceRow {
                key: path.clone(),
                kind,
                first: Some(reached.measured),
                second: Some(reached.limit),
                confirmed: true,
                note: Some(reached.note),
                ..DifferenceRow::default()
            });
        }
        found.differing += u64::from(found.differences.len() > before);
    }
    found
}

/// A limit that is reached.
struct Reached {
    level: Severity,
    measured: String,
    limit: String,
    note: String,
}

fn reached(
    limits: &Backlog,
    standing: &Standing,
    now: Timestamp,
) -> Vec<(DifferenceKind, Reached)> {
    let mut all = Vec::new();
    if let Some(pair) = limits.dead {
        let words = |count: u64| format!("{count} dead");
        all.extend(
            rising(standing.dead, pair, words).map(|reached| (DifferenceKind::Dead, reached)),
        );
    }
    if let Some(pair) = limits.due {
        let words = |count: u64| format!("{count} due");
        all.extend(rising(standing.due, pair, words).map(|reached| (DifferenceKind::Due, reached)));
    }
    if let (Some(pair), Some(oldest)) = (limits.oldest_dead, standing.oldest_dead) {
        let reached = rising(now.since(oldest), pair, |age: Duration| short(age));
        all.extend(reached.map(|reached| (DifferenceKind::OldestDead, reached)));
    }
    let replayed = standing.replayed + standing.died_again;
    if let (Some((warn, critical)), true) = (limits.replayed, replayed > 0) {
        let share = standing.replayed as f64 / replayed as f64;
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let level = match share {
            share if share < critical => Some((Severity::Critical, critical)),
            share if share < warn => Some((Severity::Warning, warn)),
            _ => None,
        };
        all.extend(level.map(|(level, limit)| {
            let note = format!(
                "{} of {replayed} replayed were delivered",
                standing.replayed
            );
            let reached = Reached {
                level,
                measured: percent(share),
                limit: percent(limit),
                note,
            };
            (DifferenceKind::Replayed, reached)
        }));
    }
    all
}

/// A limit that is reached from below, from its value on.
fn rising<T: PartialOrd + Copy>(
    measured: T,
    (warn, critical): (T, T),
    words: impl Fn(T) -> String,
) -> Option<Reached> {
    let (level, limit) = if measured >= critical {
        (Severity::Critical, critical)
    } else if measured >= warn {
        (Severity::Warning, warn)
    } else {
        return None;
    };
    Some(Reached {
        level,
        measured: words(measured),
        limit: words(limit),
        note: match level {
            Severity::Critical => format!("critical from {} on", words(limit)),
            Severity::Warning | Severity::Info => {
                format!("to be looked at from {} on", words(limit))
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(100 * 3_600_000);

    fn limits() -> Backlog {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        Backlog {
            paths: Vec::new(),
            window: hours(24),
            dead: Some((1, 20)),
            due: Some((100, 1_000)),
            oldest_dead: Some((hours(4), hours(72))),
            replayed: Some((0.95, 0.8)),
        }
    }

    fn standing(dead: u64, due: u64, hours: Option<i64>, replayed: (u64, u64)) -> Standing {
        Standing {
            dead,
            due,
            oldest_dead: hours.map(|hours| Timestamp(NOW.0 - hours * 3_600_000)),
            replayed: replayed.0,
            died_again: replayed.1,
        }
    }

    #[test]
    fn each_limit_is_reached_from_its_value_on_and_the_worst_counts() {
        use DifferenceKind::{Dead, Due, OldestDead, Replayed};
        use Severity::{Critical, Info, Warning};
        for (now, kinds, level) in [
            (standing(0, 0, None, (0, 0)), vec![], Info),
            (standing(0, 99, None, (95, 5)), vec![], Info),
            (standing(1, 0, Some(3), (0, 0)), vec![Dead], Warning),
            (
                standing(19, 100, Some(4), (0, 0)),
                vec![Dead, Due, OldestDead],
                Warning,
            ),
            (standing(20, 0, Some(1), (0, 0)), vec![Dead], Critical),
            (standing(0, 1_000, None, (0, 0)), vec![Due], Critical),
            (standing(0, 0, None, (94, 6)), vec![Replayed], Warning),
            (standing(0, 0, None, (0, 1)), vec![Replayed], Critical),
            (
                standing(0, 0, Some(72), (4, 1)),
                vec![OldestDead, Replayed],
                Critical,
            ),
        ] {
            let found = judge(&limits(), &[("deals".to_owned(), now)], NOW);
            let got: Vec<_> = found.differences.iter().map(|row| row.kind).collect();
            assert_eq!((got, found.level), (kinds, Some(level)), "{now:?}");
            assert_eq!(found.differing, u64::from(level > Info));
        }
    }

    #[test]
    fn paths_are_told_apart_and_no_path_is_no_news() {
        let all = [
            ("deals".to_owned(), standing(0, 0, None, (9, 1))),
            ("paid".to_owned(), standing(2, 0, Some(5), (0, 0))),
        ];
        let found = judge(&limits(), &all, NOW);
        let told: Vec<_> = (found.differences.iter())
            .map(|row| {
                format!(
                    "{} {} {:?} {:?}",
                    row.key,
                    row.kind.word(),
                    row.first,
                    row.second
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "deals replayed Some(\"90.0 %\") Some(\"95.0 %\")",
                "paid dead Some(\"2 dead\") Some(\"1 dead\")",
                "paid oldest-dead Some(\"5h\") Some(\"4h\")",
            ]
        );
        assert_eq!((found.paths, found.differing), (2, 2));
        assert_eq!(judge(&limits(), &[], NOW), Found::default());
    }
}
