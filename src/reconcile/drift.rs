//! From counted differences to drift, and from drift to what is worth a line in the log. Pure.
//!
//! A listing that is empty where the other is not, that did not come to its end, or that has records without a key, never
//! means "all missing" or "all well": the run is incomplete, and an incomplete run can raise an alarm over what it did
//! compare but never declare it healed.

use std::collections::BTreeMap;

use crate::config::model::{Limit, Thresholds};
use crate::record::amount::Amount;
use crate::store::view::{RunRow, Severity};

/// How far two systems have drifted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measure {
    /// Records that differ in any way, or are on one side only.
    pub different: u64,
    /// Different over compared and one-sided records, 0 to 1; none if there were none.
    pub share: Option<f64>,
    /// Money that differs, by ISO 4217 code: the sum of the amounts without their signs.
    pub money: BTreeMap<String, Amount>,
}

/// Drift, 0 to 1: differing keys over compared and one-sided keys; none if there were none.
pub fn share(compared: u64, one_sided: u64, differing: u64) -> Option<f64> {
    let all = compared + one_sided;
    (all > 0).then(|| (one_sided + differing) as f64 / all as f64)
}

/// A limit is reached. No drift at all reaches none.
pub fn reaches(measure: &Measure, limit: &Limit) -> bool {
    if measure.different == 0 {
        return false;
    }
    let share =
        (limit.share).is_some_and(|limit| measure.share.is_some_and(|share| share >= limit));
    let count = limit.count.is_some_and(|limit| measure.different >= limit);
    let money = limit.money.iter().any(|(amount, code)| {
        let limit = Amount::parse(amount);
        matches!((measure.money.get(code), limit), (Some(found), Some(limit)) if *found >= limit)
    });
    share || count || money
}

/// Where a measure stands; `Info`: below both thresholds.
pub fn level(measure: &Measure, thresholds: &Thresholds) -> Severity {
    if reaches(measure, &thresholds.critical) {
        Severity::Critical
    } else if reaches(measure, &thresholds.warn) {
        Severity::Warning
    } else {
        Severity::Info
    }
}

/// What one side said of itself, for [`incomplete`].
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What the side is called: its system's name, with more where both sides are of one system.
    pub name: &'a str,
    /// Records in its listing.
    pub records: u64,
    /// How many of them are older than the grace window: only these can be missed on the other side.
    pub settled: u64,
    /// How many of them have no key.
    pub without_key: u64,
    /// Why it did not come to its end; none if it did.
    pub broken: Option<&'a str>,
}

/// Why two listings do not say all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// In words.
    pub words: String,
    /// What is left can be compared; if not, there is no drift to tell.
    pub comparable: bool,
    /// What one side lacks may be called missing.
    pub whole: bool,
}

/// What two listings cannot say; none if they say all.
pub fn incomplete(first: Side<'_>, second: Side<'_>) -> Option<Incomplete> {
    let sides = [(first, second), (second, first)];
    for (side, other) in sides {
        let words = if let (0, Some(broken)) = (side.records, side.broken) {
            format!("{} could not be listed: {broken}", side.name)
        } else if side.records == 0 && other.settled > 0 {
            format!(
                "{} listed nothing while {} listed {}: an empty listing is not taken as \"all missing\"",
                side.name, other.name, other.records
            )
        } else if side.records > 0 && side.without_key == side.records {
            format!(
                "none of the {} records of {} has a key: check the `key` of its record map",
                side.records, side.name
            )
        } else {
            continue;
        };
        return Some(Incomplete {
            words,
            comparable: false,
            whole: false,
        });
    }
    let mut words = Vec::new();
    for (side, _) in sides {
        if let Some(broken) = side.broken {
            words.push(format!(
                "the listing of {} broke off: {broken}: nothing is called missing",
                side.name
            ));
        }
        if side.without_key > 0 {
            let (count, name) = (side.without_key, side.name);
            words.push(match count {
                1 => format!("1 record of {name} has no key"),
                _ => format!("{count} records of {name} have no key"),
            });
        }
    }
    (!words.is_empty()).then(|| Incomplete {
        words: words.join("; "),
        comparable: true,
        whole: first.broken.is_none() && second.broken.is_none(),
    })
}

/// What a run changes in our view of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing to say.
    None,
    /// A threshold was passed upwards.
    Raised(Severity),
    /// Below both thresholds again.
    Healed,
}

/// The view of a job after a run, and what changed. A run that compared nothing says nothing; an incomplete one never heals.
pub fn change(before: Severity, run: &RunRow) -> (Severity, Change) {
    let Some(now) = run.level else {
        return (before, Change::None);
    };
    match now.cmp(&before) {
        std::cmp::Ordering::Greater => (now, Change::Raised(now)),
        std::cmp::Ordering::Less if !run.complete => (before, Change::None),
        std::cmp::Ordering::Less if now == Severity::Info => (now, Change::Healed),
        std::cmp::Ordering::Less | std::cmp::Ordering::Equal => (now, Change::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Severity::{Critical, Info as Fine, Warning};

    fn run(level: Option<Severity>, complete: bool) -> RunRow {
        RunRow {
            level,
            complete,
            ..RunRow::default()
        }
    }

    #[test]
    fn drift_counts_one_sided_keys_on_both_sides_of_the_stroke() {
        for (compared, one_sided, differing, expected) in [
            (0, 0, 0, None),
            (100, 0, 0, Some(0.0)),
            (98, 2, 0, Some(0.02)),
            (99, 1, 1, Some(0.02)),
            (0, 3, 0, Some(1.0)),
        ] {
            assert_eq!(share(compared, one_sided, differing), expected);
        }
    }

    fn limit(share: Option<f64>, count: Option<u64>, money: &[(&str, &str)]) -> Limit {
        Limit {
            share,
            count,
            money: (money.iter())
                .map(|(amount, code)| ((*amount).to_owned(), (*code).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn thresholds_hold_from_their_value_on_and_no_drift_is_always_fine() {
        let thresholds = |warn, critical| Thresholds {
            warn: limit(Some(warn), None, &[]),
            critical: limit(Some(critical), None, &[]),
        };
        for (different, share, warn, critical, expected) in [
            (0, 0.0, 0.01, 0.05, Fine),
            (1, 0.009, 0.01, 0.05, Fine),
            (1, 0.01, 0.01, 0.05, Warning),
            (5, 0.05, 0.01, 0.05, Critical),
            (0, 0.0, 0.0, 0.0, Fine),
            (1, 0.001, 0.0, 0.5, Warning),
        ] {
            let measure = Measure {
                different,
                share: Some(share),
                ..Measure::default()
            };
            let found = level(&measure, &thresholds(warn, critical));
            assert_eq!(found, expected, "{share}");
        }
    }

    #[test]
    fn a_limit_is_reached_by_any_of_its_parts() {
        let measure = Measure {
            different: 2,
            share: Some(0.002),
            money: [("NOK".to_owned(), Amount::parse("499.90").unwrap())].into(),
        };
        for (limit, expected) in [
            (limit(Some(0.01), None, &[]), false),
            (limit(Some(0.01), Some(2), &[]), true),
            (limit(None, Some(3), &[("500", "NOK")]), false),
            (limit(None, Some(3), &[("499.9", "NOK")]), true),
            (limit(None, None, &[("1", "EUR")]), false),
            (limit(None, None, &[]), false),
        ] {
            assert_eq!(reaches(&measure, &limit), expected, "{limit}");
        }
    }

    #[test]
    fn only_a_complete_run_heals_and_only_a_change_is_told() {
        for (before, seen, complete, after, told) in [
            (Fine, Some(Fine), true, Fine, Change::None),
            (Fine, Some(Warning), true, Warning, Change::Raised(Warning)),
            (
                Fine,
                Some(Critical),
                false,
                Critical,
                Change::Raised(Critical),
            ),
            (
                Warning,
                Some(Critical),
                true,
                Critical,
                Change::Raised(Critical),
            ),
            (Critical, Some(Warning), true, Warning, Change::None),
            (Critical, Some(Fine), true, Fine, Change::Healed),
            (Warning, Some(Fine), true, Fine, Change::Healed),
            (Warning, Some(Fine), false, Warning, Change::None),
            (Warning, None, true, Warning, Change::None),
            (Warning, Some(Warning), true, Warning, Change::None),
        ] {
            assert_eq!(
                change(before, &run(seen, complete)),
                (after, told),
                "{before:?} {seen:?} {complete}"
            );
        }
    }

    #[test]
    fn an_empty_keyless_or_broken_listing_makes_the_run_incomplete() {
        let side = |records, without_key, broken: bool| Side {
            name: "crm",
            records,
            settled: records,
            without_key,
            broken: broken.then_some("it answered 500"),
        };
        let shop = |records| Side {
            name: "shop",
            records,
            settled: records,
            without_key: 0,
            broken: None,
        };
        for (shop_records, crm, expected) in [
            (
                12,
                side(0, 0, false),
                Some(("crm listed nothing", false, false)),
            ),
            (
                0,
                side(12, 0, false),
                Some(("shop listed nothing", false, false)),
            ),
            (
                12,
                side(3, 3, false),
                Some(("none of the 3 records of crm", false, false)),
            ),
            (
                12,
                side(12, 0, true),
                Some(("broke off: it answered 500", true, false)),
            ),
            (
                12,
                side(12, 1, false),
                Some(("1 record of crm has no key", true, true)),
            ),
            (
                12,
                side(12, 2, true),
                Some(("; 2 records of crm have no key", true, false)),
            ),
            (0, side(0, 0, false), None),
        ] {
            let said = incomplete(shop(shop_records), crm);
            match expected {
                Some((words, comparable, whole)) => {
                    let said = said.expect(words);
                    assert!(said.words.contains(words), "{said:?}");
                    assert_eq!(
                        (said.comparable, said.whole),
                        (comparable, whole),
                        "{said:?}"
                    );
                }
                None => assert_eq!(said, None),
            }
        }
        // Orders that are seconds old need not be in the CRM yet.
        let fresh = Side {
            settled: 0,
            ..shop(4)
        };
        assert_eq!(incomplete(fresh, side(0, 0, false)), None);
    }
}
