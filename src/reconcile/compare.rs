//! Two lists of records -> what differs. Pure: no clock, no I/O; it decides nothing about thresholds.
//!
//! Records match by key. A key that changed within the grace window on either side is skipped (it may be in flight);
//! a key that occurs more than once on a side is one difference and is compared no further. Called by `run`.

use std::cmp::Ordering;
use std::time::Duration;

use super::row::{Row, UNREAD};
use crate::config::model::JobField;
use crate::record::alike;
use crate::store::view::{DifferenceKind, DifferenceRow};
use crate::time::Timestamp;

/// The most differences of one run that are kept; all are counted.
pub const MAX_DIFFERENCES: usize = 10_000;

/// How to compare.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// The compared fields, in the rows' order.
    pub fields: &'a [JobField],
    /// Records younger than this are skipped.
    pub grace: Duration,
    /// The time of the comparison: when the listings were asked for.
    pub now: Timestamp,
    /// Both listings are whole; only then may a record be called missing.
    pub whole: bool,
}

/// Two values of a field mean the same. Missing, null and blank are three different things; a value that could not be read
/// is equal to nothing.
pub fn same(field: &JobField, a: Option<&str>, b: Option<&str>) -> bool {
    let (a, b) = match (a, b) {
        (None, None) => return true,
        (Some(a), Some(b)) => (a, b),
        _ => return false,
    };
    if a == UNREAD || b == UNREAD {
        return false;
    }
    if alike::kept(field.compare, a, b) {
        return true;
    }
    let group = |text: &str| {
        let text = alike::plain(text);
        (field.equal.iter()).position(|group| group.iter().any(|word| *word == text))
    };
    group(a).is_some_and(|found| group(b) == Some(found))
}

/// What differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Keys compared: on both sides, outside grace.
    pub compared: u64,
    /// Keys on the first side only.
    pub only_first: u64,
    /// Keys on the second side only.
    pub only_second: u64,
    /// Compared keys with a differing field, or duplicated on a side.
    pub differing: u64,
    /// Keys skipped: in grace.
    pub skipped: u64,
    /// The differences, by key; the first 10,000 of them.
    pub differences: Vec<DifferenceRow>,
}

impl Outcome {
    /// Keys that differ in any way.
    pub fn differences_counted(&self) -> u64 {
        self.only_first + self.only_second + self.differing
    }

    fn note(&mut self, row: DifferenceRow) {
        if self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(row);
        }
    }
}

/// Compares two sides. Sorts them by key in place.
pub fn compare(first: &mut [Row], second: &mut [Row], rules: &Rules<'_>) -> Outcome {
    first.sort_by(|a, b| a.key.cmp(&b.key));
    second.sort_by(|a, b| a.key.cmp(&b.key));
    let (mut first, mut second) = (&*first, &*second);
    let mut outcome = Outcome::default();
    loop {
        let order = match (first.first(), second.first()) {
            (None, None) => return outcome,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.key.cmp(&b.key),
        };
        let mine = if order == Ordering::Greater {
            &[][..]
        } else {
            take_key(&mut first)
        };
        let theirs = if order == Ordering::Less {
            &[][..]
        } else {
            take_key(&mut second)
        };
        judge(mine, theirs, rules, &mut outcome);
    }
}

/// Takes the records that share the first one's key off the front.
fn take_key<'a>(records: &mut &'a [Row]) -> &'a [Row] {
    let same = match records.first() {
        Some(head) => records.iter().take_while(|r| r.key == head.key).count(),
        None => 0,
    };
    let (taken, rest) = records.split_at(same);
    *records = rest;
    taken
}

/// Judges all records of one key.
fn judge(mine: &[Row], theirs: &[Row], rules: &Rules<'_>, outcome: &mut Outcome) {
    let Some(any) = mine.first().or(theirs.first()) else {
        return;
    };
    let id = |rows: &[Row]| rows.first().and_then(|row| row.id.clone());
    let row = |kind, field: Option<&str>, first, second| DifferenceRow {
        key: any.key.clone(),
        ids: [id(mine), id(theirs)],
        kind,
        field: field.map(str::to_owned),
        first,
        second,
        ..DifferenceRow::default()
    };
    let fresh = |record: &Row| in_grace(record, rules.grace, rules.now);
    if mine.iter().any(fresh) || theirs.iter().any(fresh) {
        outcome.skipped += 1;
        return;
    }
    match (mine, theirs) {
        ([a], [b]) => {
            outcome.compared += 1;
            let mut differs = false;
            for (index, field) in rules.fields.iter().enumerate() {
                let (a, b) = (&a.fields[index], &b.fields[index]);
                if !same(field, a.as_deref(), b.as_deref()) {
                    differs = true;
                    let name = Some(field.name.as_str());
                    outcome.note(row(DifferenceKind::Field, name, a.clone(), b.clone()));
                }
            }
            outcome.differing += u64::from(differs);
        }
        ([_], []) => {
            if rules.whole {
                outcome.only_first += 1;
                outcome.note(row(DifferenceKind::OnlyFirst, None, None, None));
            }
        }
        ([], [_]) => {
            if rules.whole {
                outcome.only_second += 1;
                outcome.note(row(DifferenceKind::OnlySecond, None, None, None));
            }
        }
        (mine, theirs) => {
            outcome.compared += 1;
            outcome.differing += 1;
            let times = |records: &[Row]| Some(format!("{} records", records.len()));
            outcome.note(row(
                DifferenceKind::Duplicate,
                None,
                times(mine),
                times(theirs),
            ));
        }
    }
}

/// It changed less than the grace window ago. A time further ahead than the window is a wrong clock, not a fresh
/// change: it must not hide the record for ever.
pub fn in_grace(record: &Row, grace: Duration, now: Timestamp) -> bool {
    record
        .changed
        .is_some_and(|changed| changed > now - grace && changed < now + grace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Compare;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn record(key: &str, total: &str, age_ms: Option<i64>) -> Row {
        Row {
            key: key.to_owned(),
            id: None,
            fields: vec![Some(total.to_owned())],
            changed: age_ms.map(|age| Timestamp(NOW.0 - age)),
        }
    }

    fn field(compare: Option<Compare>, equal: &[&[&str]]) -> JobField {
        JobField {
            name: "total".to_owned(),
            compare,
            equal: (equal.iter())
                .map(|group| group.iter().map(|word| (*word).to_owned()).collect())
                .collect(),
            sensitive: false,
        }
    }

    fn run(first: &[Row], second: &[Row], whole: bool) -> Outcome {
        let fields = [field(Some(Compare::Money), &[])];
        let rules = Rules {
            fields: &fields,
            grace: Duration::from_secs(60),
            now: NOW,
            whole,
        };
        compare(&mut first.to_vec(), &mut second.to_vec(), &rules)
    }

    #[test]
    fn values_mean_the_same_by_the_comparison_or_by_a_group() {
        let groups: &[&[&str]] = &[&["processing", "paid"], &["completed", "closedwon"]];
        for (compare, a, b, expected) in [
            (None, None, None, true),
            (None, None, Some("null"), false),
            (None, Some("null"), Some("\"\""), false),
            (None, Some("\"processing\""), Some("\"paid\""), true),
            (None, Some("\"processing\""), Some("\"closedwon\""), false),
            (None, Some("\"x\""), Some("\"y\""), false),
            (None, Some("12.10 NOK"), Some("12.1"), true),
            (Some(Compare::Casefold), Some("\"A\""), Some("\"a\""), true),
            (None, Some(UNREAD), Some(UNREAD), false),
            (
                None,
                Some("#0011223344556677"),
                Some("#0011223344556677"),
                true,
            ),
        ] {
            assert_eq!(same(&field(compare, groups), a, b), expected, "{a:?} {b:?}");
        }
    }

    /// `kind key field first second` of each difference.
    fn told(outcome: &Outcome) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        outcome
            .differences
            .iter()
            .map(|d| {
                format!(
                    "{:?} {} {} {} {}",
                    d.kind,
                    d.key,
                    text(&d.field),
                    text(&d.first),
                    text(&d.second)
                )
            })
            .collect()
    }

    #[test]
    fn every_kind_of_difference_is_found_once_and_counted() {
        let old = Some(600_000);
        let outcome = run(
            &[
                record("5", "5.00", old),
                record("1", "10.00", old),
                record("2", "20", old),
                record("3", "30", None),
                record("4", "1", old),
                record("4", "2", old),
            ],
            &[
                record("6", "6", old),
                record("1", "10", old),
                record("2", "21", old),
                record("4", "1", old),
                record("5", "5", old),
            ],
            true,
        );
        assert_eq!(
            told(&outcome),
            [
                "Field 2 total 20 21",
                "OnlyFirst 3 - - -",
                "Duplicate 4 - 2 records 1 records",
                "OnlySecond 6 - - -",
            ]
        );
        let counts = (
            outcome.compared,
            outcome.only_first,
            outcome.only_second,
            outcome.differing,
            outcome.skipped,
        );
        assert_eq!(counts, (4, 1, 1, 2, 0));
        assert_eq!(outcome.differences_counted(), 4);
    }

    #[test]
    fn a_key_in_grace_on_either_side_is_skipped_whatever_it_holds() {
        for (mine, theirs, skipped) in [
            (Some(59_999), Some(600_000), true),
            (Some(600_000), Some(0), true),
            (Some(600_000), Some(600_000), false),
            (Some(60_000), Some(60_000), false),
            (None, None, false),
            (Some(-59_999), None, true),
            // A clock that is a day ahead hides nothing.
            (Some(-86_400_000), None, false),
        ] {
            let outcome = run(&[record("1", "1", mine)], &[record("1", "2", theirs)], true);
            assert_eq!(
                (outcome.skipped, outcome.differing),
                (u64::from(skipped), u64::from(!skipped)),
                "{mine:?} {theirs:?}"
            );
        }
        let one_sided = run(&[record("1", "1", Some(5))], &[], true);
        assert_eq!((one_sided.skipped, one_sided.only_first), (1, 0));
    }

    #[test]
    fn nothing_is_called_missing_unless_both_listings_are_whole() {
        let outcome = run(
            &[record("1", "1", None), record("2", "2", None)],
            &[record("2", "3", None), record("3", "3", None)],
            false,
        );
        assert_eq!(told(&outcome), ["Field 2 total 2 3"]);
        assert_eq!(
            (outcome.only_first, outcome.only_second, outcome.compared),
            (0, 0, 1)
        );
    }

    #[test]
    fn differences_beyond_the_cap_are_counted_and_not_kept() {
        let many: Vec<_> = (0..MAX_DIFFERENCES + 5)
            .map(|n| record(&n.to_string(), "1", None))
            .collect();
        let outcome = run(&many, &[record("x", "1", None)], true);
        assert_eq!(outcome.only_first, MAX_DIFFERENCES as u64 + 5);
        assert_eq!(outcome.differences.len(), MAX_DIFFERENCES);
    }

    mod properties {
        use super::*;
        use proptest::prelude::*;
        use std::collections::{BTreeMap, BTreeSet};

        proptest! {
            #[test]
            fn counts_agree_with_set_arithmetic(
                first in proptest::collection::btree_map("[a-f]{1,2}", 0..3u8, 0..20),
                second in proptest::collection::btree_map("[a-f]{1,2}", 0..3u8, 0..20),
            ) {
                let records = |side: &BTreeMap<String, u8>| -> Vec<Row> {
                    side.iter().rev().map(|(k, v)| record(k, &v.to_string(), None)).collect()
                };
                let outcome = run(&records(&first), &records(&second), true);
                let (a, b): (BTreeSet<_>, BTreeSet<_>) = (first.keys().collect(), second.keys().collect());
                prop_assert_eq!(outcome.compared, a.intersection(&b).count() as u64);
                prop_assert_eq!(outcome.only_first, a.difference(&b).count() as u64);
                prop_assert_eq!(outcome.only_second, b.difference(&a).count() as u64);
                let differing = first.iter().filter(|(k, v)| second.get(*k).is_some_and(|w| w != *v)).count();
                prop_assert_eq!(outcome.differing, differing as u64);
                prop_assert_eq!(outcome.differences.len() as u64, outcome.differences_counted());
            }
        }
    }
}
