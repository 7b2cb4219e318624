//! From counted differences to drift, and from drift to what is worth a line in the log. Pure.
//!
//! A listing that is empty where the other is not, that says it has further pages, or that has records without a key,
//! never means "all missing" or "all well": the run is incomplete, and an incomplete run can raise an alarm over what it did compare but never declare it healed.

use crate::store::view::RunRow;

/// How far two systems have drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Below both thresholds.
    Fine,
    /// At or above `warn`.
    Warning,
    /// At or above `critical`.
    Critical,
}

/// Drift, 0 to 1: differing keys over compared and one-sided keys; none if there were none.
pub fn drift(compared: u64, one_sided: u64, differing: u64) -> Option<f64> {
    let all = compared + one_sided;
    (all > 0).then(|| (one_sided + differing) as f64 / all as f64)
}

/// Where `drift` stands. No drift at all is fine whatever the thresholds.
pub fn level(drift: f64, warn: f64, critical: f64) -> Level {
    if drift <= 0.0 {
        Level::Fine
    } else if drift >= critical {
        Level::Critical
    } else if drift >= warn {
        Level::Warning
    } else {
        Level::Fine
    }
}

/// What one side said of itself, for [`incomplete`].
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What the side is called: its system's name, with more where both sides are of one system.
    pub name: &'a str,
    /// Where its records' keys are: a JSON Pointer.
    pub key: &'a str,
    /// Records in its listing.
    pub records: u64,
    /// How many of them are older than the grace window: only these can be missed on the other side.
    pub settled: u64,
    /// How many of them have no key.
    pub without_key: u64,
    /// Its answer says that there is more (a `Link` header with `rel="next"`).
    pub more: bool,
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
        let words = if side.records == 0 && other.settled > 0 {
            format!(
                "{} listed nothing while {} listed {}: an empty listing is not taken as \"all missing\"",
                side.name, other.name, other.records
            )
        } else if side.records > 0 && side.without_key == side.records {
            format!(
                "none of the {} records of {} has a key: check `key` of this job",
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
        if side.more {
            words.push(format!(
                "the listing of {} has further pages, only the first was read: nothing is called missing",
                side.name
            ));
        }
        if side.without_key > 0 {
            let (count, name, key) = (side.without_key, side.name, side.key);
            words.push(match count {
                1 => format!("1 record of {name} has no key at {key}"),
                _ => format!("{count} records of {name} have no key at {key}"),
            });
        }
    }
    (!words.is_empty()).then(|| Incomplete {
        words: words.join("; "),
        comparable: true,
        whole: !first.more && !second.more,
    })
}

/// What a run changes in our view of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing to say.
    None,
    /// A threshold was passed upwards.
    Raised(Level),
    /// Below both thresholds again.
    Healed,
}

/// The view of a job after a run, and what changed. A run without drift says nothing; an incomplete one never heals.
pub fn change(before: Level, run: &RunRow, warn: f64, critical: f64) -> (Level, Change) {
    let Some(drift) = run.drift else {
        return (before, Change::None);
    };
    let now = level(drift, warn, critical);
    match now.cmp(&before) {
        std::cmp::Ordering::Greater => (now, Change::Raised(now)),
        std::cmp::Ordering::Less if !run.complete => (before, Change::None),
        std::cmp::Ordering::Less if now == Level::Fine => (now, Change::Healed),
        std::cmp::Ordering::Less | std::cmp::Ordering::Equal => (now, Change::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;
    use crate::time::Timestamp;
    use Level::{Critical, Fine, Warning};

    fn run(drift: Option<f64>, complete: bool) -> RunRow {
        RunRow {
            id: RunId(1),
            job: "deals".to_owned(),
            started: Timestamp::ZERO,
            ended: Some(Timestamp::ZERO),
            counts: [0, 0],
            compared: 0,
            only_first: 0,
            only_second: 0,
            differing: 0,
            skipped: 0,
            drift,
            complete,
            error: None,
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
            assert_eq!(drift(compared, one_sided, differing), expected);
        }
    }

    #[test]
    fn thresholds_hold_from_their_value_on_and_no_drift_is_always_fine() {
        for (drift, warn, critical, expected) in [
            (0.0, 0.01, 0.05, Fine),
            (0.009, 0.01, 0.05, Fine),
            (0.01, 0.01, 0.05, Warning),
            (0.05, 0.01, 0.05, Critical),
            (0.0, 0.0, 0.0, Fine),
            (0.001, 0.0, 0.5, Warning),
        ] {
            assert_eq!(level(drift, warn, critical), expected, "{drift}");
        }
    }

    #[test]
    fn only_a_complete_run_heals_and_only_a_change_is_told() {
        for (before, seen, complete, after, told) in [
            (Fine, Some(0.0), true, Fine, Change::None),
            (Fine, Some(0.02), true, Warning, Change::Raised(Warning)),
            (Fine, Some(0.09), false, Critical, Change::Raised(Critical)),
            (
                Warning,
                Some(0.09),
                true,
                Critical,
                Change::Raised(Critical),
            ),
            (Critical, Some(0.02), true, Warning, Change::None),
            (Critical, Some(0.0), true, Fine, Change::Healed),
            (Warning, Some(0.0), true, Fine, Change::Healed),
            (Warning, Some(0.0), false, Warning, Change::None),
            (Warning, None, true, Warning, Change::None),
            (Warning, Some(0.02), true, Warning, Change::None),
        ] {
            assert_eq!(
                change(before, &run(seen, complete), 0.01, 0.05),
                (after, told),
                "{before:?} {seen:?} {complete}"
            );
        }
    }

    #[test]
    fn an_empty_keyless_or_paged_listing_makes_the_run_incomplete() {
        let side = |records, without_key, more| Side {
            name: "crm",
            key: "/id",
            records,
            settled: records,
            without_key,
            more,
        };
        let shop = |records| Side {
            name: "shop",
            key: "/id",
            records,
            settled: records,
            without_key: 0,
            more: false,
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
                Some(("has further pages", true, false)),
            ),
            (
                12,
                side(12, 1, false),
                Some(("1 record of crm has no key at /id", true, true)),
            ),
            (
                12,
                side(12, 2, true),
                Some(("; 2 records of crm have no key at /id", true, false)),
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
