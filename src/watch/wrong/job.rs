//! What is wrong with a reconciliation job.

use super::{About, Trouble};
use crate::config::model::Job;
use crate::store::view::{RunRow, Severity};
use crate::time::{Timestamp, short};
use crate::visible::line;

/// What is wrong with a job by its newest run.
pub(super) fn trouble(job: &Job, run: Option<&RunRow>, now: Timestamp) -> Option<Trouble> {
    let name = line(&job.name, 40);
    let (severity, words) = match run {
        None => return None,
        Some(run) if run.error.is_some() => (
            Severity::Warning,
            format!(
                "{name} could not be compared: {}",
                line(run.error.as_deref().unwrap_or_default(), 100)
            ),
        ),
        Some(run) if run.ended.is_none() => return None,
        Some(run) => {
            let drift = run.drift.unwrap_or_default();
            let different = run.only_first + run.only_second + run.differing;
            let words = format!(
                "{name} has drifted: {different} of {} differ ({:.1} %)",
                run.compared + run.only_first + run.only_second,
                drift * 100.0
            );
            if drift >= job.critical && different > 0 {
                (Severity::Critical, words)
            } else if drift >= job.warn && different > 0 {
                (Severity::Warning, words)
            } else if now.since(run.started) > job.every * 3 {
                (
                    Severity::Warning,
                    format!(
                        "{name} was last compared {} ago, should be every {}",
                        short(now.since(run.started)),
                        short(job.every)
                    ),
                )
            } else {
                return None;
            }
        }
    };
    Some(Trouble {
        severity,
        about: About::Job,
        words,
        path: None,
        job: Some(job.name.clone()),
        runbook: job.runbook.clone(),
        weight: run.map_or(0, |run| run.only_first + run.only_second + run.differing),
    })
}
