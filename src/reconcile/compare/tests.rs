use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::config::model::{Compare, JobField};
use crate::reconcile::row::UNREAD;

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

fn side(rows: &[Row], broken: Option<&str>) -> Box<dyn Rows> {
    Box::new(Listing(
        Vec::from(rows).into_iter(),
        broken.map(str::to_owned),
    ))
}

/// Rows, and why they break off behind the last one.
struct Listing(std::vec::IntoIter<Row>, Option<String>);

impl Rows for Listing {
    fn next(&mut self, row: &mut Row) -> Result<bool, String> {
        let more = Rows::next(&mut self.0, row)?;
        match self.1.take() {
            Some(broken) if !more => Err(broken),
            broken => {
                self.1 = broken;
                Ok(more)
            }
        }
    }
}

/// Compares `total` of two sides; the keys that were told to be equal come with it.
fn told_equal(first: Box<dyn Rows>, second: Box<dyn Rows>) -> (Outcome, BTreeMap<String, usize>) {
    let equal = Mutex::new(BTreeMap::new());
    let scratch = tempfile::tempdir().unwrap();
    let rules = Rules {
        judge: &FieldJudge {
            fields: &[field(Some(Compare::Money), &[])],
        },
        grace: Duration::from_secs(60),
        now: NOW,
        equal: &|a, b| {
            let key = a[0].key.clone();
            *equal.lock().unwrap().entry(key).or_default() += a.len() + b.len();
        },
        stop: &CancellationToken::new(),
    };
    let outcome = compare(first, second, &rules, scratch.path()).unwrap();
    (outcome, equal.into_inner().unwrap())
}

fn run(first: &[Row], second: &[Row]) -> Outcome {
    told_equal(side(first, None), side(second, None)).0
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
        let outcome = run(&[record("1", "1", mine)], &[record("1", "2", theirs)]);
        assert_eq!(
            (outcome.skipped, outcome.differing),
            (u64::from(skipped), u64::from(!skipped)),
            "{mine:?} {theirs:?}"
        );
    }
    let one_sided = run(&[record("1", "1", Some(5))], &[]);
    assert_eq!((one_sided.skipped, one_sided.only_first), (1, 0));
}

#[test]
fn a_side_that_breaks_off_is_compared_as_far_as_it_goes_and_nothing_is_called_missing() {
    let first = [record("1", "1", None), record("2", "2", None)];
    let second = [
        record("", "9", None),
        record("2", "3", None),
        record("3", "3", Some(1)),
        record("4", "3", None),
    ];
    for (one, other) in [(None, Some("line 5: no JSON")), (Some("page 2"), None)] {
        let (outcome, _) = told_equal(side(&first, one), side(&second, other));
        assert_eq!(told(&outcome), ["Field 2 total 2 3"]);
        let counts = (outcome.only_first, outcome.only_second, outcome.compared);
        assert_eq!(counts, (0, 0, 1));
        let read = |records, settled, without_key, broken: Option<&str>| SideRead {
            records,
            settled,
            without_key,
            broken: broken.map(str::to_owned),
        };
        assert_eq!(outcome.sides, [read(2, 2, 0, one), read(4, 3, 1, other)]);
    }
}

#[test]
fn every_equal_key_is_told_once_with_its_records() {
    let first = [
        record("1", "1", None),
        record("2", "2", None),
        record("3", "3", None),
    ];
    let second = [
        record("3", "3.0", None),
        record("2", "5", None),
        record("1", "1", Some(1)),
    ];
    let (_, equal) = told_equal(side(&first, None), side(&second, None));
    assert_eq!(equal, [("3".to_owned(), 2)].into());
}

#[test]
fn money_is_summed_over_all_keys_by_currency_and_counts_once_a_record() {
    let fields = ["total", "net"].map(|name| JobField {
        name: name.to_owned(),
        compare: None,
        equal: Vec::new(),
        sensitive: false,
    });
    let row = |key: &str, total: &str, net: &str| Row {
        key: key.to_owned(),
        fields: vec![Some(total.to_owned()), Some(net.to_owned())],
        ..Row::default()
    };
    let rules = Rules {
        judge: &FieldJudge { fields: &fields },
        grace: Duration::ZERO,
        now: NOW,
        equal: &|_, _| {},
        stop: &CancellationToken::new(),
    };
    let first = [
        row("1", "10 NOK", "8 NOK"),
        row("2", "5 EUR", "5"),
        row("3", "1 NOK", "\"1\""),
        row("4", "7 NOK", "null"),
    ];
    let second = [
        row("1", "12.50 NOK", "10 NOK"),
        row("2", "4 EUR", "6"),
        row("3", "1 EUR", "\"2\""),
        row("4", "6 NOK", "null"),
    ];
    let scratch = Path::new("/nowhere");
    let outcome = compare(side(&first, None), side(&second, None), &rules, scratch).unwrap();
    let money: Vec<_> = outcome
        .money
        .iter()
        .map(|(code, sum)| format!("{sum} {code}"))
        .collect();
    assert_eq!(money, ["1 EUR", "3.5 NOK"]);
    assert_eq!((outcome.differing, outcome.differences.len()), (4, 7));
}

#[test]
fn differences_beyond_the_cap_are_counted_and_not_kept() {
    let many: Vec<_> = (0..MAX_DIFFERENCES + 5)
        .map(|n| record(&n.to_string(), "1", None))
        .collect();
    let outcome = run(&many, &[record("x", "1", None)]);
    assert_eq!(outcome.only_first, MAX_DIFFERENCES as u64 + 5);
    assert_eq!(outcome.differences.len(), MAX_DIFFERENCES);
}

#[test]
fn what_is_kept_are_the_first_by_key_however_they_come() {
    let all: Vec<_> = (0..40_000u32)
        .map(|n| record(&format!("{n:05}"), "1", None))
        .collect();
    let mut mixed = all.clone();
    mixed.sort_by_key(|row| row.key.chars().rev().collect::<String>());
    let outcome = run(&mixed, &[]);
    let keys =
        |rows: &[DifferenceRow]| -> Vec<String> { rows.iter().map(|d| d.key.clone()).collect() };
    let first: Vec<_> = all
        .iter()
        .take(MAX_DIFFERENCES)
        .map(|row| row.key.clone())
        .collect();
    assert_eq!(keys(&outcome.differences), first);
    assert_eq!(outcome.only_first, 40_000);
}

#[test]
fn one_key_very_many_times_is_a_duplicate_and_leaves_the_others_alone() {
    // More than a partition that is held: it is split, and the rest of it cannot be.
    let long = "x".repeat(200);
    let mut first: Vec<_> = (0..60_000).map(|_| record("N/A", &long, None)).collect();
    first.extend((0..2000).map(|n| record(&n.to_string(), "1", None)));
    let mut second: Vec<_> = (0..2000)
        .map(|n| record(&n.to_string(), "1", None))
        .collect();
    second.push(record("N/A", &long, None));
    let outcome = run(&first, &second);
    assert_eq!(told(&outcome), ["Duplicate N/A - 60000 records 1 records"]);
    assert_eq!((outcome.compared, outcome.differing), (2001, 1));
    // Fewer than are judged are handed over, even so.
    let (outcome, _) = told_equal(side(&first[..9000], None), side(&second[2000..], None));
    assert_eq!(told(&outcome), ["Duplicate N/A - 9000 records 1 records"]);
    first[59_999].changed = Some(NOW);
    assert_eq!(run(&first, &second).skipped, 1);
}

#[test]
fn a_stop_ends_it_while_it_reads_and_while_it_joins() {
    /// Never ends by itself; stops the comparison after some rows.
    struct Endless(u64, CancellationToken);
    impl Rows for Endless {
        fn next(&mut self, row: &mut Row) -> Result<bool, String> {
            self.0 += 1;
            row.key = self.0.to_string();
            if self.0 == 5000 {
                self.1.cancel();
            }
            Ok(true)
        }
    }
    let stop = CancellationToken::new();
    let endless = || Box::new(Endless(0, stop.clone()));
    let rules = Rules {
        judge: &FieldJudge { fields: &[] },
        grace: Duration::ZERO,
        now: NOW,
        equal: &|_, _| {},
        stop: &stop,
    };
    let scratch = tempfile::tempdir().unwrap();
    let ended = compare(endless(), endless(), &rules, scratch.path());
    assert!(matches!(ended, Err(Failed::Stopped)), "{ended:?}");
    let ended = compare(side(&[], None), side(&[], None), &rules, scratch.path());
    assert!(matches!(ended, Err(Failed::Stopped)), "{ended:?}");
}

#[test]
fn a_scratch_folder_that_cannot_be_made_is_told() {
    let many: Vec<_> = (0..40_000)
        .map(|n| record(&n.to_string(), &"x".repeat(200), None))
        .collect();
    let rules = Rules {
        judge: &FieldJudge { fields: &[] },
        grace: Duration::ZERO,
        now: NOW,
        equal: &|_, _| {},
        stop: &CancellationToken::new(),
    };
    let ended = compare(
        side(&many, None),
        side(&[], None),
        &rules,
        Path::new("/dev/null/runs"),
    );
    let words = ended.unwrap_err().to_string();
    assert!(
        words.starts_with("the comparison's scratch file: "),
        "{words}"
    );
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
            let outcome = run(&records(&first), &records(&second));
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
