//! What was missed, and since when: from when a system is asked again after it did not call, how far back that may reach, and
//! when asking becomes urgent. Pure; `backfill` asks, `watch` warns, `control` shows it before a person confirms.

use std::time::Duration;

use super::changed::OVERLAP;
use crate::config::model::{Config, System};
use crate::store::view::{BackfillRow, SenderRow};
use crate::time::{Timestamp, short};

/// A worker that was away for longer asks what it missed: a restart is shorter, and vendors try again for that long.
pub(super) const AWAY: Duration = Duration::from_secs(5 * 60);

/// The first wait after a listing that failed; each next one is twice as long, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// See [`FIRST_WAIT`].
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// Why something was missed: the words of [`BackfillRow::why`].
pub mod why {
    /// A person asked.
    pub const ASKED: &str = "asked";
    /// The worker was away.
    pub const DOWNTIME: &str = "downtime";
    /// The sender has been silent for longer than usual.
    pub const SILENCE: &str = "silence";
    /// Its webhook did not call.
    pub const DISABLED: &str = "disabled";
}

/// A gap that must be asked for: one row for each record type that the system lists for it. Types that are polled are left
/// out, because polling goes on by itself from where it was.
pub fn gap(system: &System, why: &str, since: Timestamp, now: Timestamp) -> Vec<BackfillRow> {
    let kinds = system.backfill().map_or(&[][..], |missed| missed.kinds());
    let is_polled = |kind: &&String| !system.poll.iter().any(|(polled, _)| polled == *kind);
    let row = |kind: &String| BackfillRow {
        system: system.name.clone(),
        kind: kind.clone(),
        why: why.to_owned(),
        since: since.min(now),
        started: now,
        ..BackfillRow::default()
    };
    kinds.iter().filter(is_polled).map(row).collect()
}

/// Until when what a system sent is known to be here: its last call, or the beginning of its last listing that was whole. None
/// where it never called and never was asked.
pub fn complete_until(
    system: &str,
    rows: &[BackfillRow],
    sender: Option<&SenderRow>,
) -> Option<Timestamp> {
    listed_until(system, rows).max(sender.and_then(|sender| sender.called))
}

/// The beginning of its last listing that was whole, of each of its record types.
fn listed_until(system: &str, rows: &[BackfillRow]) -> Option<Timestamp> {
    let whole = rows
        .iter()
        .filter(|row| row.system == system && row.ended.is_some());
    whole.map(|row| row.started).max()
}

/// Since when to ask, for what is missing after `complete`: clocks differ, and a call that was answered late counts as missed.
pub fn with_overlap(complete: Timestamp) -> Timestamp {
    complete - OVERLAP
}

/// Since when a system must be asked whose webhook was found in another state than before; none where nothing was missed, or
/// nothing is known. `before` and `now` are how it stood and stands.
pub(super) fn disabled_since(
    before: Option<&SenderRow>,
    now: &SenderRow,
    rows: &[BackfillRow],
    live_from: Option<Timestamp>,
) -> Option<Timestamp> {
    let is_well = |row: &SenderRow| {
        row.state
            .as_deref()
            .map(|state| state == SenderRow::ENABLED)
    };
    let was_well = before.and_then(is_well);
    let known = match (was_well, is_well(now)?) {
        // It stopped calling some time after its last call.
        (None | Some(true), false) => complete_until(&now.system, rows, Some(now)),
        // It calls again. What it did not call about until it was found so has been asked for.
        (Some(false), true) => {
            listed_until(&now.system, rows).or(before.and_then(|row| row.called))
        }
        _ => return None,
    };
    known.map(with_overlap).or(live_from)
}

/// Since when a system must be asked that has been silent for longer than it may be; none where it has not, or was asked since.
pub(super) fn silent_since(
    sender: &SenderRow,
    silence: Duration,
    rows: &[BackfillRow],
    now: Timestamp,
) -> Option<Timestamp> {
    sender.called?;
    let mut own = rows.iter().filter(|row| row.system == sender.system);
    if own.any(|row| row.ended.is_none()) {
        return None;
    }
    let known = complete_until(&sender.system, rows, Some(sender))?;
    (now.since(known) > silence).then(|| with_overlap(known))
}

/// From when a listing really begins, and what cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// From when on.
    pub from: Timestamp,
    /// What was asked for and lies before that, in words.
    pub lost: Option<String>,
}

/// How far back a listing reaches: nothing before `live_from`, and nothing that the vendor keeps no more.
pub fn reach(
    since: Timestamp,
    horizon: Option<Duration>,
    live_from: Option<Timestamp>,
    now: Timestamp,
) -> Reach {
    let wanted = since.max(live_from.unwrap_or(Timestamp::ZERO));
    let kept = horizon.map_or(Timestamp::ZERO, |horizon| now - horizon);
    Reach {
        from: wanted.max(kept).min(now),
        lost: (kept > wanted).then(|| {
            let horizon = short(horizon.unwrap_or_default());
            format!("what happened before {kept} cannot be had: the vendor lists {horizon} back")
        }),
    }
}

/// How long to wait after so many failures in a row.
pub(super) fn wait(failures: u32) -> Duration {
    let factor = 2u32.saturating_pow(failures.saturating_sub(1));
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

/// How a gap stands against its vendor's horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// More than two thirds of what the vendor keeps have passed: the oldest is lost after so long.
    Soon(Duration),
    /// The oldest is beyond what the vendor keeps.
    Lost,
}

/// Whether a gap that began at `since` and was not asked for is near the horizon of its vendor, or past it.
pub fn urgency(since: Timestamp, horizon: Option<Duration>, now: Timestamp) -> Option<Urgency> {
    let horizon = horizon?;
    let age = now.since(since);
    match horizon.checked_sub(age) {
        None => Some(Urgency::Lost),
        Some(left) if age > horizon * 2 / 3 => Some(Urgency::Soon(left)),
        Some(_) => None,
    }
}

/// The oldest moment since which a system was not asked, and whether it can be: what is open, or the time since the worker went
/// away.
pub fn open_since(
    config: &Config,
    system: &str,
    rows: &[BackfillRow],
    away: Option<Timestamp>,
) -> Option<Timestamp> {
    let open = rows
        .iter()
        .filter(|row| row.system == system && row.ended.is_none())
        .map(|row| row.since)
        .min();
    let away = away.map(with_overlap);
    let oldest = match (open, away) {
        (Some(open), Some(away)) => Some(open.min(away)),
        (open, away) => open.or(away),
    };
    oldest.map(|since| since.max(config.site.live_from.unwrap_or(Timestamp::ZERO)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn ago(hours: u32) -> Timestamp {
        NOW - HOUR * hours
    }

    fn row(since: u32, started: u32, ended: bool) -> BackfillRow {
        BackfillRow {
            system: "shop".into(),
            since: ago(since),
            started: ago(started),
            ended: ended.then(|| ago(started)),
            ..BackfillRow::default()
        }
    }

    fn sender(state: Option<&str>, called: Option<u32>) -> SenderRow {
        SenderRow {
            system: "shop".into(),
            state: state.map(str::to_owned),
            called: called.map(ago),
            ..SenderRow::default()
        }
    }

    #[test]
    fn a_webhook_that_was_disabled_leaves_a_gap_from_its_last_call_and_one_from_the_last_listing() {
        let well = Some("enabled");
        let ill = Some("disabled");
        for (before, now, rows, live_from, expected) in [
            // Found disabled: from the last call, or the last listing.
            (
                sender(well, Some(9)),
                sender(ill, Some(9)),
                vec![],
                None,
                Some(ago(9) - OVERLAP),
            ),
            (
                sender(None, Some(9)),
                sender(ill, Some(9)),
                vec![row(8, 4, true)],
                None,
                Some(ago(4) - OVERLAP),
            ),
            // A listing that failed says nothing.
            (
                sender(well, Some(9)),
                sender(ill, Some(9)),
                vec![row(8, 4, false)],
                None,
                Some(ago(9) - OVERLAP),
            ),
            // It calls again, and has called: since it was listed, not since it called.
            (
                sender(ill, Some(9)),
                sender(well, Some(0)),
                vec![row(9, 4, true)],
                None,
                Some(ago(4) - OVERLAP),
            ),
            (
                sender(ill, Some(9)),
                sender(well, Some(0)),
                vec![row(9, 4, false)],
                None,
                Some(ago(9) - OVERLAP),
            ),
            // It never called.
            (sender(well, None), sender(ill, None), vec![], None, None),
            (
                sender(well, None),
                sender(ill, None),
                vec![],
                Some(ago(20)),
                Some(ago(20)),
            ),
            // No news.
            (
                sender(ill, Some(9)),
                sender(Some("paused"), Some(9)),
                vec![],
                None,
                None,
            ),
            (
                sender(well, Some(9)),
                sender(well, Some(9)),
                vec![],
                None,
                None,
            ),
            (
                sender(well, Some(9)),
                sender(None, Some(9)),
                vec![],
                None,
                None,
            ),
        ] {
            assert_eq!(
                disabled_since(Some(&before), &now, &rows, live_from),
                expected,
                "{before:?} {now:?} {rows:?}"
            );
        }
    }

    #[test]
    fn who_is_silent_for_too_long_is_asked_and_again_after_as_long() {
        for (called, rows, expected) in [
            (Some(5), vec![], None),
            (Some(7), vec![], Some(ago(7) - OVERLAP)),
            // Asked an hour ago; being asked.
            (Some(7), vec![row(8, 1, true)], None),
            (Some(7), vec![row(8, 1, false)], None),
            (Some(30), vec![row(30, 7, true)], Some(ago(7) - OVERLAP)),
            // Who never called is not silent.
            (None, vec![], None),
        ] {
            let sender = sender(None, called);
            assert_eq!(
                silent_since(&sender, HOUR * 6, &rows, NOW),
                expected,
                "{called:?} {rows:?}"
            );
        }
    }

    #[test]
    fn a_listing_reaches_to_live_from_and_no_further_than_the_vendor_keeps() {
        for (since, horizon, live_from, from, lost) in [
            (9, None, None, 9, false),
            (9, Some(10), None, 9, false),
            (9, Some(5), None, 5, true),
            (9, Some(5), Some(4), 4, false),
            (9, None, Some(4), 4, false),
            (3, None, Some(4), 3, false),
        ] {
            let reach = reach(
                ago(since),
                horizon.map(|hours| HOUR * hours),
                live_from.map(ago),
                NOW,
            );
            assert_eq!(
                (reach.from, reach.lost.is_some()),
                (ago(from), lost),
                "{since} {horizon:?} {live_from:?}"
            );
        }
    }

    #[test]
    fn a_gap_is_urgent_after_two_thirds_of_the_horizon() {
        let horizon = Some(HOUR * 30);
        for (age, expected) in [
            (1, None),
            (20, None),
            (21, Some(Urgency::Soon(HOUR * 9))),
            (30, Some(Urgency::Soon(Duration::ZERO))),
            (31, Some(Urgency::Lost)),
        ] {
            assert_eq!(urgency(ago(age), horizon, NOW), expected, "{age}");
        }
        assert_eq!(urgency(ago(9_000), None, NOW), None);
    }

    #[test]
    fn each_failure_waits_twice_as_long_up_to_half_an_hour() {
        let waits: Vec<u64> = (1..=12).map(|failures| wait(failures).as_secs()).collect();
        assert_eq!(
            waits,
            [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800]
        );
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }
}
