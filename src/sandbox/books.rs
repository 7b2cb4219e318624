//! What stand-ins keep: rows by id, how often what was asked, how much may still be asked. Vendors' habits are not here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

/// A row: one record as its vendor writes it, without its id.
pub type Row = Map<String, Value>;

/// Rows of one kind that are kept; the oldest go first.
const KEPT: usize = 5_000;

/// Rows of one kind; ids rise.
#[derive(Debug, Clone)]
pub struct Table {
    next: u64,
    rows: BTreeMap<u64, Row>,
}

impl Table {
    /// An empty table whose first row gets the id `first`.
    pub fn from(first: u64) -> Self {
        Self {
            next: first,
            rows: BTreeMap::new(),
        }
    }

    /// Adds a row, for which the oldest goes if there are too many; returns its id.
    pub fn insert(&mut self, row: Row) -> u64 {
        let id = self.next;
        self.next += 1;
        self.rows.insert(id, row);
        if self.rows.len() > KEPT {
            self.rows.pop_first();
        }
        id
    }

    /// One row.
    pub fn get(&self, id: u64) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// One row, to be changed.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Row> {
        self.rows.get_mut(&id)
    }

    /// Takes a row away.
    pub fn remove(&mut self, id: u64) -> Option<Row> {
        self.rows.remove(&id)
    }

    /// Puts a row back under the id that it had.
    pub fn restore(&mut self, id: u64, row: Row) {
        self.rows.insert(id, row);
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Row)> {
        self.rows.iter().map(|(id, row)| (*id, row))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows whose text at `pointer` is `text`, whatever the case.
    pub fn found(&self, pointer: &str, text: &str) -> Vec<u64> {
        let wanted = text.to_lowercase();
        self.iter()
            .filter(|(_, row)| text_at(row, pointer).is_some_and(|is| is.to_lowercase() == wanted))
            .map(|(id, _)| id)
            .collect()
    }

    /// How many rows there are too many: those whose text at `pointer` another row has as well.
    pub fn duplicates(&self, pointer: &str) -> usize {
        let texts: Vec<_> = self
            .rows
            .values()
            .filter_map(|row| text_at(row, pointer))
            .collect();
        texts.len() - texts.iter().collect::<BTreeSet<_>>().len()
    }
}

/// The text at `pointer` in a row; numbers are written as text, blank is none.
pub fn text_at(row: &Row, pointer: &str) -> Option<String> {
    let mut names = pointer.trim_start_matches('/').splitn(2, '/');
    let at = row.get(names.next()?)?;
    let at = match names.next() {
        Some(rest) => at.pointer(&format!("/{rest}"))?,
        None => at,
    };
    match at {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// How often each kind of request was asked (`create contacts`, `list orders`).
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<String, u64>>);

impl Counts {
    /// One more of that kind.
    pub fn note(&self, kind: &str) {
        *self.lock().entry(kind.to_owned()).or_default() += 1;
    }

    /// How many of that kind.
    pub fn of(&self, kind: &str) -> u64 {
        self.lock().get(kind).copied().unwrap_or_default()
    }

    /// How many of all kinds that begin so.
    pub fn beginning(&self, prefix: &str) -> u64 {
        let counts = self.lock();
        let matching = counts.iter().filter(|(kind, _)| kind.starts_with(prefix));
        matching.map(|(_, count)| count).sum()
    }

    /// Each kind.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rate limit: so many requests in a window that begins with its first request.
#[derive(Debug)]
pub struct Allowance {
    limit: u32,
    window: Duration,
    used: Mutex<(Option<Instant>, u32)>,
}

impl Allowance {
    /// `limit` requests in each `window`.
    pub fn new(limit: u32, window: Duration) -> Self {
        Self {
            limit,
            window,
            used: Mutex::default(),
        }
    }

    /// Takes one; says how many are left, or none if there was none left.
    pub fn take(&self) -> Option<u32> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if used
            .0
            .is_none_or(|began| now.duration_since(began) >= self.window)
        {
            *used = (Some(now), 0);
        }
        let left = self.limit.checked_sub(used.1 + 1)?;
        used.1 += 1;
        Some(left)
    }

    /// How many a window holds.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// How long a window is.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Until the window ends, rounded up to seconds.
    pub fn ends_in(&self) -> u64 {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = used.0.map_or(Duration::ZERO, |began| began.elapsed());
        self.window.saturating_sub(gone).as_millis().div_ceil(1000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_found_by_text_and_duplicates_are_counted() {
        let mut table = Table::from(7);
        let row = |email: &str| {
            json!({ "p": { "email": email } })
                .as_object()
                .unwrap()
                .clone()
        };
        assert_eq!(table.insert(row("a@x.example")), 7);
        assert_eq!(table.insert(row("A@x.example")), 8);
        table.insert(row(""));
        table.insert(row(""));
        assert_eq!(table.found("/p/email", "a@X.example"), [7, 8]);
        assert_eq!(table.duplicates("/p/email"), 0);
        table.insert(row("a@x.example"));
        assert_eq!((table.duplicates("/p/email"), table.len()), (1, 5));
    }

    #[test]
    fn an_allowance_runs_out_and_comes_back_with_the_next_window() {
        let allowance = Allowance::new(2, Duration::from_secs(3600));
        assert_eq!([allowance.take(), allowance.take()], [Some(1), Some(0)]);
        assert_eq!(allowance.take(), None);
        assert_eq!(allowance.ends_in(), 3600);
        let none = Allowance::new(1, Duration::ZERO);
        assert_eq!([none.take(), none.take()], [Some(0), Some(0)]);
    }
}
