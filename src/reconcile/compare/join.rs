//! Two sides in partitions -> what differs. A partition is read whole, sorted by the hashes of its keys, and each key's records
//! are handed to the judge; one too large for that is split, and one that cannot be split is read row by row.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use super::fields::duplicate;
use super::kept::Kept;
use super::{Failed, LOOK, MAX_RECORDS, Outcome, Rules, Standing, Verdict, in_grace};
use crate::reconcile::codec;
use crate::reconcile::row::Row;
use crate::reconcile::spill::{Entry, Spill, entries, entry_at};

/// Threads that join.
const THREADS: usize = 2;
/// A partition of both sides is held in memory up to so many bytes; beyond, it is split.
const HELD: u64 = 8 << 20;

/// Joins all partitions.
pub(super) fn all(
    first: &Spill<'_>,
    second: &Spill<'_>,
    rules: &Rules<'_>,
    whole: bool,
) -> Result<Outcome, Failed> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut join = Join::new(rules, whole);
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= first.len() {
                return Ok(join);
            }
            join.partition([first, second], part).inspect_err(|_| {
                // The others need not begin another one.
                next.store(first.len(), Ordering::Relaxed);
            })?;
        }
    };
    let joins: Vec<Result<Join<'_>, Failed>> = std::thread::scope(|threads| {
        let others: Vec<_> = (1..THREADS).map(|_| threads.spawn(work)).collect();
        let mut joins = vec![work()];
        let ended = others.into_iter().map(ScopedJoinHandle::join);
        joins.extend(ended.map(|ended| ended.unwrap_or(Err(Failed::Broke))));
        joins
    });
    let mut kept = Kept::default();
    let mut outcome = Outcome::default();
    for join in joins {
        let join = join?;
        let part = join.outcome;
        outcome.compared += part.compared;
        outcome.only_first += part.only_first;
        outcome.only_second += part.only_second;
        outcome.differing += part.differing;
        outcome.skipped += part.skipped;
        for (code, amount) in part.money {
            let sum = outcome.money.entry(code).or_default();
            *sum = *sum + amount;
        }
        kept.merge(join.kept);
    }
    outcome.differences = kept.done();
    Ok(outcome)
}

/// Where an entry lies: its key's hash, its side, its place in the bytes.
type Place = (u64, u8, u32);

struct Join<'a> {
    rules: &'a Rules<'a>,
    whole: bool,
    outcome: Outcome,
    kept: Kept,
    /// The partition: both sides, one behind the other.
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// Rows of one key, whose texts are used again for the next one.
    pool: [Pool; 2],
}

/// Rows that were read, of which the first `used` mean something.
#[derive(Default)]
struct Pool {
    rows: Vec<Row>,
    used: usize,
}

impl Pool {
    fn rows(&self) -> &[Row] {
        &self.rows[..self.used]
    }

    /// Keeps the memory of a few rows only: those of one hot key are not held for the rest of the run.
    fn clear(&mut self) {
        self.used = 0;
        self.rows.truncate(16);
    }

    fn read(&mut self, body: &[u8]) -> Result<&Row, Failed> {
        if self.used == self.rows.len() {
            self.rows.push(Row::default());
        }
        let row = &mut self.rows[self.used];
        codec::take(body, row).ok_or_else(damaged)?;
        self.used += 1;
        Ok(row)
    }
}

fn damaged() -> Failed {
    Failed::Scratch(std::io::Error::other("it is damaged"))
}

impl<'a> Join<'a> {
    fn new(rules: &'a Rules<'a>, whole: bool) -> Self {
        Self {
            rules,
            whole,
            outcome: Outcome::default(),
            kept: Kept::default(),
            bytes: Vec::new(),
            places: Vec::new(),
            pool: <[Pool; 2]>::default(),
        }
    }

    fn partition(&mut self, sides: [&Spill<'_>; 2], part: usize) -> Result<(), Failed> {
        if self.rules.stop.is_cancelled() {
            return Err(Failed::Stopped);
        }
        if sides[0].bytes(part) + sides[1].bytes(part) <= HELD {
            return self.held(sides, part);
        }
        let (a, b) = (sides[0].hashes(part), sides[1].hashes(part));
        if a.0.min(b.0) == a.1.max(b.1) {
            return self.streamed(sides, part);
        }
        let first = sides[0].split(part)?;
        let second = sides[1].split(part)?;
        (0..first.len()).try_for_each(|part| self.partition([&first, &second], part))
    }

    /// A partition that fits into memory.
    fn held(&mut self, sides: [&Spill<'_>; 2], part: usize) -> Result<(), Failed> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut places = std::mem::take(&mut self.places);
        bytes.clear();
        places.clear();
        for (side, spill) in (0..).zip(sides) {
            let mut at = bytes.len();
            spill.load(part, &mut bytes)?;
            for entry in entries(&bytes[at..]) {
                places.push((entry.hash, side, at as u32));
                at += entry.size();
            }
        }
        // Within a key: the first side before the second, and in the order in which they were listed.
        places.sort_unstable();
        let done = places
            .chunk_by(|a, b| a.0 == b.0)
            .try_for_each(|group| self.group(&bytes, group));
        (self.bytes, self.places) = (bytes, places);
        done
    }

    /// All entries of one hash.
    fn group(&mut self, bytes: &[u8], places: &[Place]) -> Result<(), Failed> {
        let entry = |place: &Place| entry_at(bytes, place.2 as usize).ok_or_else(damaged);
        let mut several = Several::default();
        if places.len() <= MAX_RECORDS {
            self.pool.iter_mut().for_each(Pool::clear);
            for place in places {
                self.pool[usize::from(place.1)].read(entry(place)?.body)?;
            }
            let mut rows = self.pool.iter().flat_map(Pool::rows);
            let key = rows.next().map(|row| &row.key);
            if rows.all(|row| Some(&row.key) == key) {
                self.judge();
                return Ok(());
            }
        }
        for place in places {
            several.add(usize::from(place.1), entry(place)?, self.rules)?;
        }
        self.several(several);
        Ok(())
    }

    /// The rows of the pool have one key.
    fn judge(&mut self) {
        let [first, second] = &self.pool;
        let (first, second) = (first.rows(), second.rows());
        let fresh = |row: &Row| in_grace(row, self.rules.grace, self.rules.now);
        if first.iter().any(fresh) || second.iter().any(fresh) {
            self.outcome.skipped += 1;
            return;
        }
        let verdict = self.rules.judge.key(first, second, self.whole);
        if verdict.standing == Standing::Equal {
            (self.rules.equal)(first, second);
        }
        self.count(verdict);
    }

    fn count(&mut self, verdict: Verdict) {
        let outcome = &mut self.outcome;
        match verdict.standing {
            Standing::Equal => outcome.compared += 1,
            Standing::Differs => {
                outcome.compared += 1;
                outcome.differing += 1;
            }
            Standing::OnlyFirst if self.whole => outcome.only_first += 1,
            Standing::OnlySecond if self.whole => outcome.only_second += 1,
            Standing::OnlyFirst | Standing::OnlySecond | Standing::Apart => return,
        }
        for (code, amount) in verdict.money {
            let sum = outcome.money.entry(code).or_default();
            *sum = *sum + amount;
        }
        self.kept.add(verdict.rows);
    }

    /// A partition too large for memory, all of whose rows have one hash: one key very many times.
    fn streamed(&mut self, sides: [&Spill<'_>; 2], part: usize) -> Result<(), Failed> {
        let mut several = Several::default();
        for (side, spill) in sides.into_iter().enumerate() {
            spill.each(part, |entry| several.add(side, entry, self.rules))?;
        }
        self.several(several);
        Ok(())
    }

    fn several(&mut self, several: Several) {
        for (_, group) in several.keys {
            self.pool = <[Pool; 2]>::default();
            if group.fresh {
                self.outcome.skipped += 1;
            } else if group
                .counts
                .iter()
                .all(|count| *count <= MAX_RECORDS as u64)
            {
                for (pool, rows) in self.pool.iter_mut().zip(group.rows) {
                    pool.used = rows.len();
                    pool.rows = rows;
                }
                self.judge();
            } else {
                let [first, second] = &group.rows;
                let verdict = duplicate([first.first(), second.first()], group.counts);
                self.count(verdict);
            }
        }
    }
}

/// The rows of several keys of one hash (a coincidence), or very many of one key: of each key no more than are judged.
#[derive(Default)]
struct Several {
    keys: BTreeMap<String, Group>,
    row: Row,
}

#[derive(Default)]
struct Group {
    rows: [Vec<Row>; 2],
    counts: [u64; 2],
    fresh: bool,
}

impl Several {
    fn add(&mut self, side: usize, entry: Entry<'_>, rules: &Rules<'_>) -> Result<(), Failed> {
        codec::take(entry.body, &mut self.row).ok_or_else(damaged)?;
        if !self.keys.contains_key(&self.row.key) {
            self.keys.insert(self.row.key.clone(), Group::default());
        }
        let Some(group) = self.keys.get_mut(&self.row.key) else {
            return Ok(());
        };
        group.counts[side] += 1;
        if group.counts[side].is_multiple_of(LOOK) && rules.stop.is_cancelled() {
            return Err(Failed::Stopped);
        }
        group.fresh |= in_grace(&self.row, rules.grace, rules.now);
        match group.counts[side] {
            count if count <= MAX_RECORDS as u64 => group.rows[side].push(self.row.clone()),
            // It will not be judged: its first record is enough.
            _ => group.rows[side].truncate(1),
        }
        Ok(())
    }
}
