//! How a path is, in one word: the worst that holds.

use std::time::Duration;

use chrono_tz::Tz;
use serde::Serialize;

use super::{TOO_MUCH, WorkerState, fails};
use crate::config::model::Path;
use crate::store::view::{Breaker, PathRow};
use crate::time::Timestamp;

/// A ready delivery that nobody has taken up this long after it was due means that the path is behind.
pub const BEHIND: Duration = Duration::from_secs(60);

/// How a path is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathState {
    /// Something was delivered in the last five minutes, and little failed.
    Ok,
    /// Nothing to judge by: no traffic, nothing waits.
    Quiet,
    /// It records what it would send, and sends nothing.
    Shadow,
    /// The worker is down: what is shown is what was last known.
    Unknown,
    /// Something failed and awaits its next attempt.
    Retrying,
    /// Something waits behind a dead letter of its key, until a person decides.
    Blocked,
    /// Deliveries are due for longer than a minute and nobody takes them up.
    Behind,
    /// Too many attempts fail ([`fails`]).
    Failing,
    /// Something waits for longer than the business lets pass unnoticed.
    Late,
    /// The breaker lets single probes through.
    Probing,
    /// The breaker is open: nothing is sent.
    Stopped,
    /// Paused by a person or by midwatch.
    Paused,
    /// No longer in the configuration; its deliveries are held.
    Removed,
}

impl PathState {
    /// The word shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Quiet => "quiet",
            Self::Shadow => "shadow",
            Self::Unknown => "unknown",
            Self::Retrying => "retrying",
            Self::Blocked => "blocked",
            Self::Behind => "behind",
            Self::Failing => "failing",
            Self::Late => "late",
            Self::Probing => "probing",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Removed => "removed",
        }
    }
}

/// When the business notices the oldest unsettled delivery of a path.
pub fn late_at(row: &PathRow, path: Option<&Path>, zone: Tz) -> Option<Timestamp> {
    Some(path?.due?.at(row.oldest_open?, zone))
}

/// How a path is at `now`. `path` is its configuration, if it has one.
pub fn path_state(
    row: &PathRow,
    path: Option<&Path>,
    worker: WorkerState,
    now: Timestamp,
    zone: Tz,
) -> PathState {
    if row.removed {
        return PathState::Removed;
    }
    if row.pause.is_some() {
        return PathState::Paused;
    }
    if !worker.is_up() {
        return PathState::Unknown;
    }
    let failing = fails(row, TOO_MUCH) && !has_recovered(row);
    match &row.breaker {
        Breaker::Open { .. } => PathState::Stopped,
        Breaker::HalfOpen { .. } => PathState::Probing,
        Breaker::Closed if late_at(row, path, zone).is_some_and(|late| late <= now) => {
            PathState::Late
        }
        Breaker::Closed if failing => PathState::Failing,
        Breaker::Closed if is_behind(row, now) => PathState::Behind,
        Breaker::Closed if row.blocked.is_some() => PathState::Blocked,
        Breaker::Closed if row.retrying => PathState::Retrying,
        Breaker::Closed if row.shadow => PathState::Shadow,
        Breaker::Closed if row.recent.delivered > 0 => PathState::Ok,
        Breaker::Closed => PathState::Quiet,
    }
}

/// Nothing failed in the last full minute and the running one, and something was delivered in them, or nothing is left
/// to deliver.
fn has_recovered(row: &PathRow) -> bool {
    let last = &row.minutes[row.minutes.len().saturating_sub(2)..];
    let proven = row.counts.backlog() == 0 || last.iter().any(|slot| slot.delivered > 0);
    proven && last.iter().all(|slot| slot.failed == 0)
}

fn is_behind(row: &PathRow, now: Timestamp) -> bool {
    row.oldest_due.is_some_and(|due| now.since(due) > BEHIND)
}
