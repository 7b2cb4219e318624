//! What a comparison notes of keys that differ, and of some that are equal, beside the differences that are shown: what is
//! needed to look at them again. Pure, bounded whatever the size of the lists. Called by `run`.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use super::compare::{Judge, MAX_DIFFERENCES, Outcome, Standing, Verdict};
use super::row::Row;
use crate::record::amount::Amount;

/// Rows of one key and side that are noted; of a key with more it is only known that there are more.
pub const MOST_ROWS: usize = 20;
/// Equal keys that are noted of one run: a sample of all, another one each time.
pub const SAMPLE: usize = 4_000;

/// A key that differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// How it was counted.
    pub standing: Standing,
    /// Its records as they were listed, at most [`MOST_ROWS`] of a side.
    pub rows: [Vec<Row>; 2],
    /// There were more of them.
    pub cut: bool,
    /// Money that it was found to be apart.
    pub money: Vec<(String, Amount)>,
}

/// A judge that notes what it said, of the first 10,000 keys: those whose differences are kept.
pub struct Noting<'a> {
    judge: &'a dyn Judge,
    kept: Mutex<BTreeMap<String, Noted>>,
}

impl<'a> Noting<'a> {
    /// Notes what `judge` says.
    pub fn new(judge: &'a dyn Judge) -> Self {
        Self {
            judge,
            kept: Mutex::default(),
        }
    }

    /// What was noted, by key.
    pub fn into_noted(self) -> BTreeMap<String, Noted> {
        self.kept
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Judge for Noting<'_> {
    fn key(&self, first: &[Row], second: &[Row], whole: bool) -> Verdict {
        let verdict = self.judge.key(first, second, whole);
        let Some(row) = verdict.rows.first() else {
            return verdict;
        };
        let noted = Noted {
            standing: verdict.standing,
            rows: [first, second].map(|rows| rows.iter().take(MOST_ROWS).cloned().collect()),
            cut: first.len().max(second.len()) > MOST_ROWS,
            money: verdict.money.clone(),
        };
        // Whole after each statement: a panic elsewhere does not spoil it.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(row.key.clone(), noted);
        if kept.len() > MAX_DIFFERENCES {
            kept.pop_last();
        }
        verdict
    }
}

/// Equal records, as both sides listed them.
pub type Pair = [Row; 2];

/// Gathers a sample of equal keys: those whose keyed hashes are least, by a key of its own for each run, so that in time
/// every record comes to its turn.
#[derive(Debug, Default)]
pub struct Sample {
    hasher: RandomState,
    kept: Mutex<BTreeMap<u64, Pair>>,
}

impl Sample {
    /// Takes the only records of a key into account.
    pub fn take(&self, first: &[Row], second: &[Row]) {
        let ([first], [second]) = (first, second) else {
            return;
        };
        let hash = self.hasher.hash_one(&first.key);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SAMPLE {
            if kept.last_key_value().is_some_and(|(last, _)| *last < hash) {
                return;
            }
            kept.pop_last();
        }
        kept.insert(hash, [first.clone(), second.clone()]);
    }

    /// What was gathered.
    pub fn into_pairs(self) -> Vec<Pair> {
        let kept = self.kept.into_inner();
        kept.unwrap_or_else(PoisonError::into_inner)
            .into_values()
            .collect()
    }
}

/// Takes a key out of the counts that is found to be equal (`compared`), or not to be compared at all.
pub fn take_back(outcome: &mut Outcome, noted: &Noted, compared: bool) {
    let count = match noted.standing {
        Standing::OnlyFirst => &mut outcome.only_first,
        Standing::OnlySecond => &mut outcome.only_second,
        Standing::Differs => {
            outcome.compared -= 1;
            &mut outcome.differing
        }
        Standing::Equal | Standing::Apart => return,
    };
    *count -= 1;
    outcome.compared += u64::from(compared);
    for (code, amount) in &noted.money {
        if let Some(sum) = outcome.money.get_mut(code) {
            *sum = *sum - *amount;
        }
    }
    outcome.money.retain(|_, sum| *sum != Amount::default());
}

/// Counts a key as it was judged the second time.
pub fn count_again(outcome: &mut Outcome, noted: &Noted, verdict: &Verdict) {
    take_back(outcome, noted, false);
    match verdict.standing {
        Standing::Equal => outcome.compared += 1,
        Standing::Differs => {
            outcome.compared += 1;
            outcome.differing += 1;
        }
        Standing::OnlyFirst => outcome.only_first += 1,
        Standing::OnlySecond => outcome.only_second += 1,
        Standing::Apart => return,
    }
    for (code, amount) in &verdict.money {
        let sum = outcome.money.entry(code.clone()).or_default();
        *sum = *sum + *amount;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::view::{DifferenceKind, DifferenceRow};

    /// Every key differs by one crown.
    struct Apart;

    impl Judge for Apart {
        fn key(&self, first: &[Row], _second: &[Row], _whole: bool) -> Verdict {
            Verdict {
                standing: Standing::Differs,
                rows: vec![DifferenceRow {
                    key: first[0].key.clone(),
                    kind: DifferenceKind::Field,
                    ..DifferenceRow::default()
                }],
                money: vec![("NOK".to_owned(), Amount::parse("1").unwrap())],
            }
        }
    }

    fn row(key: usize) -> Row {
        Row {
            key: format!("{key:06}"),
            ..Row::default()
        }
    }

    #[test]
    fn the_keys_whose_differences_are_kept_are_noted_and_no_more() {
        let noting = Noting::new(&Apart);
        for key in (0..MAX_DIFFERENCES + 5).rev() {
            let many = vec![row(key); MOST_ROWS + usize::from(key == 3)];
            noting.key(&many, &[row(key)], true);
        }
        let noted = noting.into_noted();
        assert_eq!(noted.len(), MAX_DIFFERENCES);
        assert_eq!(noted.last_key_value().unwrap().0, "009999");
        assert_eq!(noted["000003"].rows[0].len(), MOST_ROWS);
        assert!(noted["000003"].cut && !noted["000002"].cut);
    }

    #[test]
    fn a_sample_is_bounded_and_another_one_each_time() {
        let sample = || {
            let sample = Sample::default();
            for key in 0..SAMPLE * 3 {
                sample.take(&[row(key)], &[row(key)]);
            }
            sample.take(&[row(1), row(1)], &[row(1)]);
            sample.into_pairs()
        };
        let (one, other) = (sample(), sample());
        assert_eq!((one.len(), other.len()), (SAMPLE, SAMPLE));
        assert_ne!(one, other);
    }

    #[test]
    fn counts_follow_what_is_found_out_later() {
        let money = |text: &str| vec![("NOK".to_owned(), Amount::parse(text).unwrap())];
        let start = || Outcome {
            compared: 10,
            only_first: 2,
            only_second: 1,
            differing: 3,
            money: money("12").into_iter().collect(),
            ..Outcome::default()
        };
        let counts = |outcome: &Outcome| {
            [
                outcome.compared,
                outcome.only_first,
                outcome.only_second,
                outcome.differing,
            ]
        };
        for (standing, left_out, equal) in [
            (Standing::OnlyFirst, [10, 1, 1, 3], [11, 1, 1, 3]),
            (Standing::OnlySecond, [10, 2, 0, 3], [11, 2, 0, 3]),
            (Standing::Differs, [9, 2, 1, 2], [10, 2, 1, 2]),
            (Standing::Apart, [10, 2, 1, 3], [10, 2, 1, 3]),
        ] {
            let noted = Noted {
                standing,
                money: if standing == Standing::Apart {
                    Vec::new()
                } else {
                    money("12")
                },
                ..Noted::default()
            };
            let mut outcome = start();
            take_back(&mut outcome, &noted, false);
            assert_eq!(counts(&outcome), left_out, "{standing:?}");
            let mut outcome = start();
            take_back(&mut outcome, &noted, true);
            assert_eq!(counts(&outcome), equal, "{standing:?}");
            assert_eq!(outcome.money.is_empty(), standing != Standing::Apart);
        }
        // Missing at first, there with another amount at the second look.
        let noted = Noted {
            standing: Standing::OnlyFirst,
            ..Noted::default()
        };
        let verdict = Verdict {
            standing: Standing::Differs,
            money: money("3"),
            ..Verdict::default()
        };
        let mut outcome = start();
        count_again(&mut outcome, &noted, &verdict);
        assert_eq!(counts(&outcome), [11, 1, 1, 4]);
        assert_eq!(outcome.money["NOK"], Amount::parse("15").unwrap());
    }
}
