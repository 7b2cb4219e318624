//! When too much fails: a short and a long window together, or three failures on end where there is little traffic.

use crate::store::view::{PathRow, Slot};

/// The share of failed attempts that is too much, where nothing else is said.
pub const TOO_MUCH: f64 = 0.2;
/// Minutes of the short window; the last one is still running.
const SHORT: usize = 5;
/// Minutes of the long window.
const LONG: usize = 30;
/// Attempts in the long window below which a share says nothing.
const ENOUGH: u64 = 20;
/// Failures below which nothing is said.
const FEWEST: u64 = 3;

/// Failed and judged attempts (throttled ones do not count) of the last `minutes`.
fn window(row: &PathRow, minutes: usize) -> (u64, u64) {
    let slots = &row.minutes[row.minutes.len().saturating_sub(minutes)..];
    slots.iter().fold((0, 0), |(failed, judged), slot| {
        (failed + slot.failed, judged + self::judged(slot))
    })
}

fn judged(slot: &Slot) -> u64 {
    slot.attempts.saturating_sub(slot.throttled)
}

fn share((failed, judged): (u64, u64)) -> f64 {
    if judged == 0 {
        0.0
    } else {
        failed as f64 / judged as f64
    }
}

/// Failures since the last success, minute by minute.
fn on_end(row: &PathRow) -> u64 {
    let mut count = 0;
    for slot in row.minutes.iter().rev() {
        count += slot.failed;
        if judged(slot) > slot.failed {
            // What of this minute came first is not known: its failures count only if they were all of it.
            return count - slot.failed;
        }
    }
    count
}

/// Whether too much fails: at least `limit` of both windows, of twenty attempts with three failures; or the last three all
/// failed, where there were fewer.
pub fn fails(row: &PathRow, limit: f64) -> bool {
    let (short, long) = (window(row, SHORT), window(row, LONG));
    if long.1 >= ENOUGH {
        return short.0 >= 1 && long.0 >= FEWEST && share(short) >= limit && share(long) >= limit;
    }
    on_end(row) >= FEWEST
}

/// Whether it fails so much still that an incident about it is not over: half the limit in the short window, or nothing
/// but failures since.
pub fn lingers(row: &PathRow, limit: f64) -> bool {
    let short = window(row, SHORT);
    share(short) >= limit / 2.0 || on_end(row) >= FEWEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture::overview;

    /// A row whose last minutes have these (attempts, failed, throttled), the running one last.
    fn row(minutes: &[(u64, u64, u64)]) -> PathRow {
        let mut row = overview().paths[1].clone();
        row.minutes = vec![Slot::default(); 60];
        let count = row.minutes.len();
        for (slot, (attempts, failed, throttled)) in
            row.minutes[count - minutes.len()..].iter_mut().zip(minutes)
        {
            (slot.attempts, slot.failed, slot.throttled) = (*attempts, *failed, *throttled);
            slot.delivered = attempts - failed - throttled;
        }
        row
    }

    #[test]
    fn too_much_fails_only_when_both_windows_say_so_or_three_fail_on_end() {
        let steady = |failed| vec![(10, failed, 0); 30];
        for (what, minutes, fires) in [
            ("nothing happens", vec![], false),
            ("a fifth, always", steady(2), true),
            ("a tenth, always", steady(1), false),
            (
                "two minutes of trouble in a busy half hour",
                [steady(0), vec![(10, 10, 0), (10, 10, 0)]].concat(),
                false,
            ),
            (
                "seven minutes of it",
                [steady(0), vec![(10, 10, 0); 7]].concat(),
                true,
            ),
            (
                "it was bad and is over",
                [steady(5), vec![(10, 0, 0); 6]].concat(),
                false,
            ),
            (
                "two failures and nothing else",
                vec![(1, 1, 0), (1, 1, 0)],
                false,
            ),
            (
                "three failures on end",
                vec![(1, 1, 0), (1, 1, 0), (1, 1, 0)],
                true,
            ),
            (
                "three failures with a success between",
                vec![(1, 1, 0), (1, 0, 0), (2, 2, 0)],
                false,
            ),
            ("throttled is not failed", vec![(30, 0, 30)], false),
        ] {
            assert_eq!(fails(&row(&minutes), TOO_MUCH), fires, "{what}");
        }
    }

    #[test]
    fn it_lingers_until_less_than_half_of_the_limit_fails() {
        for (failed, lingering) in [(3, true), (2, true), (1, true), (0, false)] {
            assert_eq!(
                lingers(&row(&[(10, failed, 0); 5]), TOO_MUCH),
                lingering,
                "{failed}"
            );
        }
        assert!(lingers(
            &row(&[
                (3, 3, 0),
                (0, 0, 0),
                (0, 0, 0),
                (0, 0, 0),
                (0, 0, 0),
                (0, 0, 0)
            ]),
            TOO_MUCH
        ));
    }
}
