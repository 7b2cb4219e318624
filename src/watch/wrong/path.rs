//! What is wrong with a path: how many wait and when the business notices come first, then why.

use std::time::Duration;

use super::super::path::{PathState, late_at, path_state};
use super::super::words::{ahead, deliveries, grouped, letters, when};
use super::super::worker::WorkerState;
use super::About;
use crate::config::model::{Config, Lane, Path};
use crate::store::view::{Breaker, PathRow, Severity};
use crate::time::{Timestamp, short};
use crate::visible::line;

/// A delivery that waits for another record's id is nothing unusual for this long: the record is on its way.
const LONG_NEED: Duration = Duration::from_secs(3_600);

/// Adds what is wrong with a path.
pub(super) fn troubles(
    row: &PathRow,
    path: Option<&Path>,
    worker: WorkerState,
    now: Timestamp,
    config: &Config,
    add: &mut impl FnMut(Severity, About, u64, String),
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
    let mut stuck = |severity, why: &str| add(severity, About::Path, backlog, said(why));
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
                stuck(severity, &format!("{by}{gap}{why}"));
            }
        }
        PathState::Stopped => {
            if let Breaker::Open { reason, until, .. } = &row.breaker {
                let next = ahead(*until, now, zone);
                let why = format!("stopped, next probe {next}: {}", line(reason, 80));
                stuck(by_consequence, &why);
            }
        }
        PathState::Probing => {
            if let Breaker::HalfOpen { reason, .. } = &row.breaker {
                stuck(by_consequence, &format!("probing: {}", line(reason, 80)));
            }
        }
        PathState::Late => stuck(Severity::Critical, "late"),
        PathState::Failing => {
            let percent = row.failure_percent().unwrap_or_default();
            let why = format!("failing, {percent:.0} % of attempts in five minutes");
            stuck(by_consequence, &why);
        }
        PathState::Behind => {
            let age = row.oldest_due.map_or(Duration::ZERO, |due| now.since(due));
            let why = format!("behind, due for {}", short(age));
            stuck(Severity::Warning, &why);
        }
        PathState::Blocked => stuck(by_consequence, "blocked behind a dead letter"),
        PathState::Removed if backlog > 0 => add(
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
    if let Some(since) = row.needing_since.filter(|at| now.since(*at) > LONG_NEED) {
        let words = format!(
            "{} on {name} {} for another record's id, the longest since {}",
            deliveries(row.needing),
            if row.needing == 1 { "waits" } else { "wait" },
            when(since, now, zone)
        );
        add(Severity::Warning, About::Path, row.needing, words);
    }
    if row.counts.dead > 0 {
        let page = path.is_some_and(|path| path.lane == Lane::Page);
        add(
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
            Severity::Warning,
            About::Held,
            row.counts.held,
            format!("{} held on {name}{why}", deliveries(row.counts.held)),
        );
    }
}
