//! How far a reconciliation is, in words: for the screen and for the command line's bar. Pure.

use std::time::Duration;

use super::grouped;
use crate::store::view::{RunRow, SideRow};
use crate::time::{Timestamp, short};

/// `listing shop 1,200 of about 4,000 (96/s, 29s left), crm 310`. How long it takes is guessed from the last whole listing
/// and from what came so far.
pub fn progress(run: &RunRow, sides: &[SideRow], now: Timestamp) -> String {
    let phase = run.phase.as_deref().unwrap_or("starting");
    if phase != "listing" {
        let seen: u64 = sides.iter().map(|side| side.seen).sum();
        return match seen {
            0 => phase.to_owned(),
            seen => format!("{phase} {} records", grouped(seen)),
        };
    }
    let parts: Vec<String> = (sides.iter().filter(|side| !side.done || side.seen > 0))
        .map(|side| one(run, side, now))
        .collect();
    match parts.as_slice() {
        [] => phase.to_owned(),
        parts => format!("{phase} {}", parts.join(", ")),
    }
}

fn one(run: &RunRow, side: &SideRow, now: Timestamp) -> String {
    let (system, seen) = (&side.system, grouped(side.seen));
    if side.done {
        return format!("{system} {seen} (done)");
    }
    let millis = now.since(run.started).as_millis().max(1) as f64;
    let a_second = side.seen as f64 / millis * 1_000.0;
    let Some(expected) = side.expected.filter(|expected| *expected > side.seen) else {
        return format!("{system} {seen}");
    };
    let left = (a_second > 0.0).then(|| {
        let seconds = (expected - side.seen) as f64 / a_second;
        let left = Duration::from_secs(seconds.min(1e9) as u64);
        format!(" ({a_second:.0}/s, {} left)", short(left))
    });
    format!(
        "{system} {seen} of about {}{}",
        grouped(expected),
        left.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_done_how_fast_and_how_long_it_will_take() {
        let run = |phase: &str| RunRow {
            phase: Some(phase.to_owned()),
            started: Timestamp(0),
            ..RunRow::default()
        };
        let side = |system: &str, seen, expected, done| SideRow {
            system: system.to_owned(),
            seen,
            expected,
            done,
            ..SideRow::default()
        };
        let now = Timestamp(10_000);
        for (phase, sides, expected) in [
            ("listing", vec![], "listing"),
            (
                "listing",
                vec![
                    side("shop", 1_000, Some(4_000), false),
                    side("crm", 0, Some(9), false),
                ],
                "listing shop 1,000 of about 4,000 (100/s, 30s left), crm 0 of about 9",
            ),
            (
                "listing",
                vec![
                    side("shop", 5_000, Some(4_000), false),
                    side("crm", 7, None, true),
                ],
                "listing shop 5,000, crm 7 (done)",
            ),
            (
                "comparing",
                vec![side("shop", 5, None, true), side("crm", 7, None, true)],
                "comparing 12 records",
            ),
        ] {
            assert_eq!(progress(&run(phase), &sides, now), expected);
        }
    }
}
