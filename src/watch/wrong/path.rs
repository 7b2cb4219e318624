//! What is wrong with a path: how many wait and when the business notices come first, then why.

use std::time::Duration;

use super::super::path::{BEHIND, PathState, late_at, path_state};
use super::super::words::{ahead, deliveries, grouped, letters, when};
use super::super::worker::WorkerState;
use super::{About, Rule};
use crate::config::model::{Config, Lane, Path};
use crate::store::view::{Breaker, PathRow, Severity, Slot};
use crate::time::{Timestamp, short};
use crate::visible::line;

/// A delivery that waits for another record's id is nothing unusual for this long: the record is on its way.
const LONG_NEED: Duration = Duration::from_secs(3_600);

/// Fewer throttled attempts in five minutes are nothing unusual.
const MANY_THROTTLED: u64 = 10;

/// So long before the business notices somebody may be woken: time enough to act, too late to wait for the morning.
const SOON: Duration = Duration::from_secs(30 * 60);

/// Adds what is wrong with a path.
pub(super) fn troubles(
    row: &PathRow,
    path: Option<&Path>,
    worker: WorkerState,
    now: Timestamp,
    config: &Config,
    add: &mut impl FnMut(Rule, Severity, About, u64, String),
) {
    let zone = config.site.timezone;
    let name = line(&row.name, 40);
    let backlog = row.counts.backlog();
    let late_at = late_at(row, path, zone).filter(|_| backlog > 0);
    let late = late_at.is_some_and(|at| at <= now);
    let noticed = match late_at {
        Some(at) if late => format!(", noticed since {}", when(at, now, zone)),
        Some(at) => format!(", noticed {}", when(at, now, zone)),
        None => String::new(),
    };
    let said = |why: &str| match backlog {
        0 => format!("{name}: {why}; nothing waits"),
        1 => format!("1 waits on {name}{noticed}: {why}"),
        n => format!("{} wait on {name}{noticed}: {why}", grouped(n)),
    };
    // What the business does not notice yet can wait for the morning; what has no due time might be noticed now.
    let by_consequence = if late || (backlog > 0 && path.is_none_or(|p| p.due.is_none())) {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let mut stuck =
        |rule, severity, why: &str| add(rule, severity, About::Path, backlog, said(why));
    match path_state(row, path, worker, now, zone) {
        PathState::Paused => {
            if let Some(pause) = &row.pause {
                let by = if pause.by_person {
                    format!("paused by {}", line(&pause.by, 30))
                } else {
                    "paused by midwatch, which probes it".to_owned()
                };
                let severity = if pause.by_person && !late {
                    Severity::Warning
                } else {
                    by_consequence
                };
                let why = line(&pause.reason, 80);
                let gap = if why.as_ref().is_empty() { "" } else { ": " };
                let rule = if pause.by_person {
                    Rule::PathPaused
                } else {
                    Rule::PathPausedAuth
                };
                stuck(rule, severity, &format!("{by}{gap}{why}"));
            }
        }
        PathState::Stopped => {
            if let Breaker::Open { reason, until, .. } = &row.breaker {
                let next = ahead(*until, now, zone);
                let why = format!("stopped, next probe {next}: {}", line(reason, 80));
                stuck(Rule::BreakerOpen, by_consequence, &why);
            }
        }
        PathState::Probing => {
            if let Breaker::HalfOpen { reason, .. } = &row.breaker {
                let why = format!("probing: {}", line(reason, 80));
                stuck(Rule::BreakerOpen, by_consequence, &why);
            }
        }
        PathState::Late => stuck(Rule::WillMissDue, Severity::Critical, "late"),
        PathState::Failing => {
            let percent = row.failure_percent().unwrap_or_default();
            let why = format!("failing, {percent:.0} % of attempts in five minutes");
            stuck(Rule::PathFailing, by_consequence, &why);
        }
        PathState::Behind => {
            let age = row.oldest_due.map_or(Duration::ZERO, |due| now.since(due));
            let why = format!("behind, due for {}", short(age));
            stuck(Rule::BacklogGrowing, Severity::Warning, &why);
        }
        PathState::Blocked => stuck(
            Rule::Blocked,
            by_consequence,
            "blocked behind a dead letter",
        ),
        PathState::Removed if backlog > 0 => add(
            Rule::PathRemoved,
            Severity::Warning,
            About::Path,
            backlog,
            format!(
                "path {name} was removed from the configuration; {} {} for its return or for `midwatch cancel path:{name}`",
                deliveries(backlog),
                if backlog == 1 { "waits" } else { "wait" }
            ),
        ),
        PathState::Shadow => add(
            Rule::Shadow,
            Severity::Info,
            About::Path,
            row.counts.shadowed,
            format!(
                "{} recorded on {name}{} and not sent: in shadow until `midwatch golive {name}`",
                deliveries(row.counts.shadowed),
                match row.shadow_since {
                    Some(at) => format!(" since {}", when(at, now, zone)),
                    None => String::new(),
                }
            ),
        ),
        PathState::Ok
        | PathState::Quiet
        | PathState::Unknown
        | PathState::Retrying
        | PathState::Removed => {}
    }
    if let Some(at) = late_at.filter(|at| *at > now)
        && will_miss(row, at, now)
    {
        let words = format!(
            "{} on {name} will be noticed {}: at this pace they are not through by then",
            deliveries(backlog),
            when(at, now, zone)
        );
        add(
            Rule::WillMissDue,
            Severity::Critical,
            About::Path,
            backlog,
            words,
        );
    }
    let Slot {
        attempts,
        throttled,
        ..
    } = row.recent;
    if throttled >= MANY_THROTTLED && throttled * 2 > attempts {
        let words = said(&format!(
            "throttled, {throttled} of {attempts} attempts in five minutes"
        ));
        add(
            Rule::Throttled,
            Severity::Warning,
            About::Path,
            backlog,
            words,
        );
    }
    if let Some(since) = row.needing_since.filter(|at| now.since(*at) > LONG_NEED) {
        let words = format!(
            "{} on {name} {} for another record's id, the longest since {}",
            deliveries(row.needing),
            if row.needing == 1 { "waits" } else { "wait" },
            when(since, now, zone)
        );
        let rule = Rule::NeedsUnmet;
        add(rule, Severity::Warning, About::Path, row.needing, words);
    }
    if row.counts.dead > 0 {
        let page = path.is_some_and(|path| path.lane == Lane::Page);
        add(
            if page {
                Rule::PageDead
            } else {
                Rule::DeadLetters
            },
            if page {
                Severity::Critical
            } else {
                Severity::Warning
            },
            About::Dead,
            row.counts.dead,
            format!(
                "{} on {name}, kept until reviewed",
                letters(row.counts.dead)
            ),
        );
    }
    if row.counts.held > 0 {
        let why = if row.removed {
            ": the path is no longer configured"
        } else {
            ""
        };
        add(
            Rule::Held,
            Severity::Warning,
            About::Held,
            row.counts.held,
            format!("{} held on {name}{why}", deliveries(row.counts.held)),
        );
    }
}

/// What is due soon will not be through by then, at the pace of the last five minutes. One that is only waited for is not
/// judged before it is near: it may heal by itself.
fn will_miss(row: &PathRow, late: Timestamp, now: Timestamp) -> bool {
    let left = late.since(now);
    let pace = row.recent.delivered as f64 / (5.0 * 60.0);
    let needed = if pace > 0.0 {
        row.counts.backlog() as f64 / pace
    } else {
        f64::INFINITY
    };
    // Something ready was due for a while: the path does not deliver as fast as it should.
    let is_stuck = row.retrying
        || row.pause.is_some()
        || row.breaker != Breaker::Closed
        || row.oldest_due.is_some_and(|due| now.since(due) > BEHIND);
    is_stuck && left < SOON && needed > left.as_secs_f64()
}
