//! The first differences by key, of as many as there are. Pure.

use super::MAX_DIFFERENCES;
use crate::store::view::DifferenceRow;

/// So many more are gathered before they are sorted and cut.
const SLACK: usize = MAX_DIFFERENCES / 4;

/// Keeps the first 10,000 differences by key, in whatever order they come; those of one key come together and stay in their
/// order. What is kept does not depend on the order of the keys.
#[derive(Debug, Default)]
pub(super) struct Kept {
    rows: Vec<DifferenceRow>,
    /// Beyond this key nothing is kept any more.
    last: Option<String>,
}

impl Kept {
    pub(super) fn add(&mut self, rows: Vec<DifferenceRow>) {
        if let (Some(last), Some(row)) = (&self.last, rows.first())
            && row.key > *last
        {
            return;
        }
        self.rows.extend(rows);
        if self.rows.len() >= MAX_DIFFERENCES + SLACK {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.rows.sort_by(|a, b| a.key.cmp(&b.key));
        self.rows.truncate(MAX_DIFFERENCES);
        if self.rows.len() == MAX_DIFFERENCES {
            self.last = self.rows.last().map(|row| row.key.clone());
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    pub(super) fn done(mut self) -> Vec<DifferenceRow> {
        self.cut();
        self.rows
    }
}
