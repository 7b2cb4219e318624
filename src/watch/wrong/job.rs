//! What is wrong with a reconciliation job.

use super::{About, Rule, Trouble};
use crate::config::model::{Job, Matching, Timing};
use crate::store::view::{RunRow, Severity};
use crate::time::{Timestamp, short};
use crate::visible::line;

/// Three runs should have begun since.
fn is_late(job: &Job, run: &RunRow, now: Timestamp) -> bool {
    match &job.timing {
        Timing::Every(every) => now.since(run.started) > *every * 3,
        Timing::Cron(cron) => {
            let mut due = Some(run.started);
            for _ in 0..3 {
                due = due.and_then(|at| cron.next(at, chrono_tz::UTC));
            }
            due.is_some_and(|due| due < now)
        }
    }
}

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
            match run.level {
                Some(level) if level > Severity::Info => (level, words),
                _ if is_late(job, run, now) => (
                    Severity::Warning,
                    format!(
                        "{name} was last compared {} ago, should be {}",
                        short(now.since(run.started)),
                        job.timing
                    ),
                ),
                _ => return None,
            }
        }
    };
    let rule = match run {
        Some(run)
            if run.error.is_none() && run.level.is_some_and(|level| level > Severity::Info) =>
        {
            let money = job
                .records()
                .is_some_and(|one| matches!(one.matching, Matching::Money(_)));
            if money {
                Rule::MoneyDisagrees
            } else {
                Rule::DriftAboveThreshold
            }
        }
        _ => Rule::ReconcileStale,
    };
    Some(Trouble {
        severity,
        rule,
        about: About::Job,
        subject: job.name.clone(),
        words,
        path: None,
        job: Some(job.name.clone()),
        runbook: job.runbook.clone(),
        weight: run.map_or(0, |run| run.only_first + run.only_second + run.differing),
    })
}
