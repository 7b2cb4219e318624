//! What a system did not tell and was not asked for yet: how long its vendor still lists it.

use super::{About, Rule, Trouble, bare};
use crate::config::model::{Config, System};
use crate::source::missed::{Urgency, open_since, urgency};
use crate::store::view::{BackfillRow, Overview, Severity};
use crate::time::{Timestamp, short};
use crate::visible::line;
use crate::watch::{WorkerState, worker_state};

/// What was lost is told for so long.
const TOLD: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// What is wrong with what one system did not tell.
pub(super) fn trouble(
    system: &System,
    overview: &Overview,
    config: &Config,
    now: Timestamp,
) -> Option<Trouble> {
    let missed = system.backfill()?;
    let away = match worker_state(&overview.worker, overview.at) {
        WorkerState::Stopped { since } | WorkerState::Silent { since } => Some(since),
        WorkerState::Running | WorkerState::Draining | WorkerState::Never => None,
    };
    let own = |row: &&BackfillRow| row.system == system.name;
    let rows = overview.backfills.iter().filter(own);
    let error = rows
        .clone()
        .filter(|row| row.ended.is_none())
        .find_map(|row| row.error.as_deref());
    let name = &system.name;
    let keeps = short(missed.horizon.unwrap_or_default());
    if let Some(since) = open_since(config, name, &overview.backfills, away) {
        let ago = short(now.since(since));
        let because = error.map_or(String::new(), |error| format!(": {}", line(error, 100)));
        let (severity, words) = match urgency(since, missed.horizon, now) {
            Some(Urgency::Lost) => (
                Severity::Critical,
                format!(
                    "what {name} sent {ago} ago was not asked for, and its vendor lists {keeps} back: the oldest is lost{because}"
                ),
            ),
            Some(Urgency::Soon(left)) => (
                Severity::Warning,
                format!(
                    "what {name} sent since {ago} ago was not asked for yet, and its vendor lists {keeps} back: the oldest is lost in {}{because}",
                    short(left)
                ),
            ),
            None if error.is_some() => (
                Severity::Warning,
                format!("{name} cannot be asked for what was missed since {ago} ago{because}"),
            ),
            None => return None,
        };
        return Some(bare(
            Rule::EventsAtRisk,
            name,
            severity,
            About::Sender,
            words,
        ));
    }
    let lost = rows
        .filter(|row| row.ended.is_some_and(|ended| now.since(ended) < TOLD))
        .find_map(|row| row.error.as_deref())?;
    let words = format!("{name} was asked for what was missed: {}", line(lost, 120));
    Some(bare(
        Rule::EventsAtRisk,
        name,
        Severity::Warning,
        About::Sender,
        words,
    ))
}
