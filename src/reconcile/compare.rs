//! Two lists of records -> what differs, whatever their size. It decides nothing about thresholds and knows no clock; all it
//! writes are scratch files without a name.
//!
//! Both sides are read at once, each by a thread of its own, into partitions by a hash of the key ([`super::spill`]); then
//! partition by partition is joined, on two threads. So what is held in memory does not grow with the lists. A key that
//! changed within the grace window on either side is skipped (it may be in flight); what the records of one key mean to each
//! other is a [`Judge`]'s word. A side that breaks off is compared as far as it goes, and then nothing is called missing.
//! Called by `run`, on a thread that may block.

mod fields;
mod join;
mod kept;

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::fields::{FieldJudge, difference, duplicate, same};
use super::row::{Row, Rows};
use super::spill::Spill;
use crate::record::amount::Amount;
use crate::store::view::DifferenceRow;
use crate::time::Timestamp;

/// The most differences of one run that are kept; all are counted.
pub const MAX_DIFFERENCES: usize = 10_000;
/// The most records of one key on a side that a [`Judge`] is asked about. A key with more is a duplicate, whatever the
/// records say: no order has so many payments, but many a list has a placeholder in place of its keys.
pub const MAX_RECORDS: usize = 10_000;
/// After so many records it is looked whether the run is to stop.
const LOOK: u64 = 1024;

/// How to compare.
pub struct Rules<'a> {
    /// What records of one key mean to each other.
    pub judge: &'a dyn Judge,
    /// Records younger than this are skipped.
    pub grace: Duration,
    /// The time of the comparison: when the listings were asked for.
    pub now: Timestamp,
    /// Told of every key that is equal on both sides, with the records of each, from two threads and in no order.
    pub equal: &'a (dyn Fn(&[Row], &[Row]) + Sync),
    /// Stops the comparison.
    pub stop: &'a CancellationToken,
}

/// Judges what the records of one key on both sides mean to each other. Pure; asked from two threads.
pub trait Judge: Sync {
    /// All records of one key, in the order in which they were listed: at least one of at least one side, none of them in
    /// grace. `whole`: both listings came to their end; if not, a record that is not here may still be there.
    fn key(&self, first: &[Row], second: &[Row], whole: bool) -> Verdict;
}

/// What a [`Judge`] says of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How it is counted.
    pub standing: Standing,
    /// What is told of it; in the order in which it is shown. None where it is equal.
    pub rows: Vec<DifferenceRow>,
    /// Money that differs, by ISO 4217 code: amounts without their signs.
    pub money: Vec<(String, Amount)>,
}

/// How a key is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// Compared, and equal.
    #[default]
    Equal,
    /// Compared, and different.
    Differs,
    /// On the first side only. Counts only where both listings are whole.
    OnlyFirst,
    /// On the second side only. Counts only where both listings are whole.
    OnlySecond,
    /// Not compared, and not missing either.
    Apart,
}

/// What was read of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SideRead {
    /// Records.
    pub records: u64,
    /// Those outside grace: only these can be missed on the other side.
    pub settled: u64,
    /// Those without a key; they are not compared.
    pub without_key: u64,
    /// Why it did not come to its end, in words; none if it did.
    pub broken: Option<String>,
}

/// What differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was read of each side.
    pub sides: [SideRead; 2],
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
    /// Money that differs, by ISO 4217 code: the sum over all keys, without signs.
    pub money: BTreeMap<String, Amount>,
    /// The differences, by key; the first 10,000 of them.
    pub differences: Vec<DifferenceRow>,
}

impl Outcome {
    /// Keys that differ in any way.
    pub fn differences_counted(&self) -> u64 {
        self.only_first + self.only_second + self.differing
    }
}

/// Why a comparison came to no end.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It was stopped.
    #[error("the comparison was stopped")]
    Stopped,
    /// The scratch file cannot be written or read.
    #[error("the comparison's scratch file: {0}")]
    Scratch(#[from] io::Error),
    /// A thread of it broke.
    #[error("the comparison failed")]
    Broke,
}

/// Compares two sides. Where they are large, rows are set aside in files in `scratch`, which is made if it is needed.
///
/// # Errors
/// See [`Failed`]; a listing that breaks off is none: the outcome tells.
pub fn compare(
    mut first: Box<dyn Rows>,
    mut second: Box<dyn Rows>,
    rules: &Rules<'_>,
    scratch: &Path,
) -> Result<Outcome, Failed> {
    let hasher = RandomState::new();
    // What cannot be set aside on one side need not be read on the other.
    let given_up = AtomicBool::new(false);
    let reading = Reading {
        rules,
        hasher: &hasher,
        given_up: &given_up,
    };
    let (first, second) = std::thread::scope(|threads| {
        let other = threads.spawn(|| reading.side(&mut *second, scratch));
        let first = reading.side(&mut *first, scratch);
        (first, other.join().unwrap_or(Err(Failed::Broke)))
    });
    let (first, second) = match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        // The one that gave up because of the other says less than the other.
        (Ok(_) | Err(Failed::Stopped), Err(why)) | (Err(why), _) => return Err(why),
    };
    let whole = first.0.broken.is_none() && second.0.broken.is_none();
    let mut outcome = join::all(&first.1, &second.1, rules, whole)?;
    outcome.sides = [first.0, second.0];
    Ok(outcome)
}

struct Reading<'a> {
    rules: &'a Rules<'a>,
    hasher: &'a RandomState,
    given_up: &'a AtomicBool,
}

impl Reading<'_> {
    fn side<'s>(
        &self,
        rows: &mut dyn Rows,
        scratch: &'s Path,
    ) -> Result<(SideRead, Spill<'s>), Failed> {
        let read = self.read(rows, scratch);
        if read.is_err() {
            self.given_up.store(true, Ordering::Relaxed);
        }
        read
    }

    fn read<'s>(
        &self,
        rows: &mut dyn Rows,
        scratch: &'s Path,
    ) -> Result<(SideRead, Spill<'s>), Failed> {
        let mut side = SideRead::default();
        let mut spill = Spill::new(scratch);
        let mut row = Row::default();
        loop {
            if side.records.is_multiple_of(LOOK)
                && (self.rules.stop.is_cancelled() || self.given_up.load(Ordering::Relaxed))
            {
                return Err(Failed::Stopped);
            }
            match rows.next(&mut row) {
                Ok(true) => {}
                Ok(false) => break,
                Err(words) => {
                    side.broken = Some(words);
                    break;
                }
            }
            side.records += 1;
            if row.key.trim().is_empty() {
                side.without_key += 1;
                side.settled += 1;
                continue;
            }
            side.settled += u64::from(!in_grace(&row, self.rules.grace, self.rules.now));
            spill.push(&row, self.hasher)?;
        }
        Ok((side, spill))
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
mod tests;
