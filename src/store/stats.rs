//! Traffic by path and minute: counts and mergeable histograms, kept in the writer's memory and written about once a second.
//!
//! After a crash at most the last second of statistics is missing; the exact counters are not kept here.

use std::collections::HashMap;

use hdrhistogram::Histogram;
use rusqlite::{Connection, params};

use super::view::Slot;
use crate::ids::PathId;
use crate::queue::model::Class;
use crate::time::Timestamp;

/// Milliseconds of a minute.
pub(super) const MINUTE: i64 = 60_000;
/// Milliseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000;
/// The longest time told apart, in milliseconds (30 days); longer ones count as this.
const LONGEST: u64 = 30 * 24 * 3_600_000;
/// Histograms keep two significant digits: quantiles are right to 1 %.
const DIGITS: u8 = 2;

/// Something that counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tick {
    Accepted,
    Attempt {
        class: Class,
        millis: u64,
    },
    /// With the time since its acceptance; none for a replay, which says nothing about that.
    Delivered {
        latency: Option<u64>,
    },
    Dead,
}

/// Sparse histogram: counts by lowest equivalent value.
#[derive(Debug, Clone)]
pub(super) struct Times(Histogram<u32>);

impl Default for Times {
    fn default() -> Self {
        // Auto-resizing from a small range: quiet paths cost little memory.
        let mut histogram = Histogram::new(DIGITS)
            .unwrap_or_else(|_| unreachable!("two digits are in hdrhistogram's range"));
        histogram.auto(true);
        Self(histogram)
    }
}

impl Times {
    pub(super) fn record(&mut self, millis: u64) {
        // It grows as needed (`saturating_record` would clip instead), and LONGEST is within what it can grow to.
        let _ = self.0.record(millis.min(LONGEST));
    }

    /// Adds what an encoded histogram counts; what cannot be read counts nothing.
    pub(super) fn merge(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let mut value = 0;
        while let (Some(step), Some(count)) = (varint(&mut rest), varint(&mut rest)) {
            value += step;
            if value > LONGEST || self.0.record_n(value, count as u32).is_err() {
                return;
            }
        }
    }

    /// Pairs of (step from the last value, count), as LEB128.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut last = 0;
        for point in self.0.iter_recorded() {
            let value = self.0.lowest_equivalent(point.value_iterated_to());
            put_varint(&mut out, value - last);
            put_varint(&mut out, point.count_at_value().into());
            last = value;
        }
        out
    }

    pub(super) fn quantile(&self, q: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(q))
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[derive(Debug, Clone, Default)]
struct Open {
    slot: Slot,
    latency: Times,
    duration: Times,
    dirty: bool,
}

impl Open {
    fn count(&mut self, tick: Tick) {
        self.dirty = true;
        match tick {
            Tick::Accepted => self.slot.accepted += 1,
            Tick::Delivered { latency } => {
                self.slot.delivered += 1;
                if let Some(millis) = latency {
                    self.latency.record(millis);
                }
            }
            Tick::Dead => self.slot.dead += 1,
            Tick::Attempt { class, millis } => {
                self.slot.attempts += 1;
                self.duration.record(millis);
                match class {
                    Class::Delivered | Class::Withheld => {}
                    Class::Throttled => self.slot.throttled += 1,
                    _ => self.slot.failed += 1,
                }
            }
        }
    }
}

/// The running minute and hour of every path, and those that ended but are not written yet.
#[derive(Debug, Default)]
pub(super) struct Stats {
    minutes: HashMap<PathId, Open>,
    hours: HashMap<PathId, Open>,
    ended: Vec<(&'static str, PathId, Open)>,
}

impl Stats {
    /// Counts `tick` of `path` at `now`. Called after the commit that made it true.
    pub(super) fn count(
        &mut self,
        connection: &Connection,
        path: PathId,
        now: Timestamp,
        tick: Tick,
    ) -> rusqlite::Result<()> {
        let Self {
            minutes,
            hours,
            ended,
        } = self;
        for (table, width, map) in [("minute", MINUTE, minutes), ("hour", HOUR, hours)] {
            let at = Timestamp(now.0.div_euclid(width) * width);
            let open = map.entry(path).or_default();
            if open.slot.at != at {
                // A clock that went back finds its slot either still unwritten or in the table.
                let mut fresh = read(connection, table, path, at)?;
                if let Some(index) = ended
                    .iter()
                    .position(|(t, p, o)| *t == table && *p == path && o.slot.at == at)
                {
                    fresh = ended.swap_remove(index).2;
                }
                let old = std::mem::replace(open, fresh);
                if old.dirty {
                    ended.push((table, path, old));
                }
            }
            open.count(tick);
        }
        Ok(())
    }

    /// Writes what changed since the last flush (running hours only when `hours` says so), inside the caller's transaction.
    pub(super) fn flush(&self, connection: &Connection, hours: bool) -> rusqlite::Result<()> {
        for (table, path, open) in &self.ended {
            write(connection, table, *path, open)?;
        }
        for (path, open) in self.minutes.iter().filter(|(_, open)| open.dirty) {
            write(connection, "minute", *path, open)?;
        }
        for (path, open) in self.hours.iter().filter(|(_, open)| open.dirty && hours) {
            write(connection, "hour", *path, open)?;
        }
        Ok(())
    }

    /// The flush was committed.
    pub(super) fn flushed(&mut self, hours: bool) {
        self.ended.clear();
        self.minutes
            .values_mut()
            .for_each(|open| open.dirty = false);
        if hours {
            self.hours.values_mut().for_each(|open| open.dirty = false);
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.ended.is_empty() || self.minutes.values().any(|open| open.dirty)
    }
}

fn write(connection: &Connection, table: &str, path: PathId, open: &Open) -> rusqlite::Result<()> {
    let slot = &open.slot;
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        ))?
        .execute(params![
            path.0,
            slot.at.0,
            slot.accepted,
            slot.delivered,
            slot.dead,
            slot.attempts,
            slot.failed,
            slot.throttled,
            open.latency.encode(),
            open.duration.encode()
        ])?;
    Ok(())
}

/// The stored slot at `at` (after a restart, or a clock that went back), or a new one.
fn read(
    connection: &Connection,
    table: &str,
    path: PathId,
    at: Timestamp,
) -> rusqlite::Result<Open> {
    let mut open = Open::default();
    open.slot.at = at;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT accepted, delivered, dead, attempts, failed, throttled, latency, duration FROM {table} WHERE path = ?1 AND at = ?2"
    ))?;
    let mut rows = statement.query(params![path.0, at.0])?;
    if let Some(row) = rows.next()? {
        open.slot = slot_of(row, at)?;
        open.latency
            .merge(row.get_ref(6)?.as_blob().unwrap_or_default());
        open.duration
            .merge(row.get_ref(7)?.as_blob().unwrap_or_default());
    }
    Ok(open)
}

/// The slot in columns 0 to 5 of `row`.
pub(super) fn slot_of(row: &rusqlite::Row<'_>, at: Timestamp) -> rusqlite::Result<Slot> {
    Ok(Slot {
        at,
        accepted: row.get(0)?,
        delivered: row.get(1)?,
        dead: row.get(2)?,
        attempts: row.get(3)?,
        failed: row.get(4)?,
        throttled: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_times_merge_without_losing_a_count() {
        let mut one = Times::default();
        let mut two = Times::default();
        for millis in 0..2000 {
            one.record(millis);
            two.record(millis * 1000);
        }
        let mut both = Times::default();
        both.merge(&one.encode());
        both.merge(&two.encode());
        assert_eq!(both.0.len(), 4000);
        let median = both.quantile(0.25).unwrap();
        assert!((980..=1020).contains(&median), "{median}");
        assert_eq!(Times::default().quantile(0.5), None);
    }

    #[test]
    fn broken_bytes_count_nothing_and_do_not_panic() {
        for bytes in [&[0x80u8][..], &[0xff; 30], &[1, 0x80]] {
            Times::default().merge(bytes);
        }
    }

    #[test]
    fn a_restart_inside_a_minute_goes_on_counting() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(super::super::schema::MIGRATIONS[0])
            .unwrap();
        let now = Timestamp(10 * HOUR + 30_000);
        for _ in 0..2 {
            let mut stats = Stats::default();
            stats
                .count(
                    &connection,
                    PathId(1),
                    now,
                    Tick::Delivered { latency: Some(5) },
                )
                .unwrap();
            stats.flush(&connection, true).unwrap();
            stats.flushed(true);
            assert!(!stats.is_dirty());
        }
        for table in ["minute", "hour"] {
            let sum: u64 = connection
                .query_row(&format!("SELECT delivered FROM {table}"), [], |row| {
                    row.get(0)
                })
                .unwrap();
            assert_eq!(sum, 2, "{table}");
        }
    }
}
