//! What is wrong with those who send: a webhook that does not call, a listing that cannot be asked.

use std::time::Duration;

use super::super::words::ago;
use super::{About, Rule, Trouble, bare};
use crate::config::model::{Config, System};
use crate::http::oauth::health::{Health, Level};
use crate::store::view::{Overview, PollRow, SenderRow, Severity};
use crate::time::{Timestamp, short};
use crate::visible::line;

/// What is wrong with the senders that are watched or polled.
pub(super) fn troubles(overview: &Overview, config: &Config, now: Timestamp) -> Vec<Trouble> {
    let mut all = Vec::new();
    for system in config.systems.values() {
        let is_watched = system
            .hooks
            .as_ref()
            .is_some_and(|hooks| hooks.watch.is_some());
        let row = overview
            .senders
            .iter()
            .find(|row| row.system == system.name);
        if let Some(row) = row.filter(|_| is_watched) {
            all.extend(sender_trouble(row));
        }
        all.extend(row.and_then(|row| silent(system, row, config, now)));
        all.extend(super::missed::trouble(system, overview, config, now));
        for row in (overview.polls.iter()).filter(|row| row.system == system.name) {
            all.extend(stale(system, row, now));
        }
    }
    all
}

/// A sender that called before is called silent after this long without a call, where its `missed.silence` does not say: a
/// night and a quiet day.
pub const SILENT: Duration = Duration::from_secs(24 * 3_600);

/// A sender that has called and does not any more, though nothing is known to be wrong with its webhook.
fn silent(system: &System, row: &SenderRow, config: &Config, now: Timestamp) -> Option<Trouble> {
    let silence = system
        .missed
        .as_ref()
        .map_or(SILENT, |missed| missed.silence);
    let called = row.called.filter(|at| now.since(*at) > silence)?;
    let is_fine = matches!(row.state.as_deref(), None | Some(SenderRow::ENABLED));
    if system.hooks.is_none() || !is_fine {
        return None;
    }
    let says = match row.state {
        Some(_) => ", though its vendor says that its webhook is enabled",
        None => "",
    };
    let words = format!(
        "{} is silent: it called last {}{says}",
        line(&row.system, 40),
        ago(called, now, config.site.timezone)
    );
    Some(bare(
        Rule::SourceSilent,
        &row.system,
        Severity::Warning,
        About::Sender,
        words,
    ))
}

/// What is wrong with a webhook whose vendor is asked for it.
pub fn sender_trouble(row: &SenderRow) -> Option<Trouble> {
    let system = line(&row.system, 40);
    let last = || match row.called {
        Some(_) => "nothing new comes from there",
        None => "it never called",
    };
    let rule = match row.state.as_deref() {
        Some(SenderRow::ENABLED) | None => Rule::SourceUnreachable,
        Some(_) => Rule::HookDisabled,
    };
    let (severity, words) = match (row.state.as_deref(), &row.error) {
        (Some(SenderRow::ENABLED) | None, None) => return None,
        (Some(SenderRow::ENABLED) | None, Some(error)) => (
            Severity::Warning,
            format!(
                "{system} could not be asked for its webhooks: {}",
                line(error, 100)
            ),
        ),
        (Some(SenderRow::MISSING), _) => (
            Severity::Warning,
            format!(
                "{system} has no webhook that calls this address: {}",
                last()
            ),
        ),
        (Some(SenderRow::ELSEWHERE), _) => (
            Severity::Warning,
            format!(
                "the webhook of {system} calls another address, {}: {}",
                line(row.address.as_deref().unwrap_or_default(), 80),
                last()
            ),
        ),
        (Some(state), _) => (
            Severity::Critical,
            format!(
                "{system} does not call, its webhook is {}: `midwatch hook enable {system}`",
                line(state, 20)
            ),
        ),
    };
    Some(bare(rule, &row.system, severity, About::Sender, words))
}

/// What is wrong with systems' tokens, for whom their files can be read.
pub(super) fn token_troubles(all: &[Health]) -> Vec<Trouble> {
    let trouble = |health: &Health| {
        let severity = match health.level {
            Level::Ok => return None,
            Level::Warn => Severity::Warning,
            Level::Bad => Severity::Critical,
        };
        let (system, why) = (line(&health.system, 40), line(&health.words, 160));
        let words = format!("the tokens of {system}: {why}");
        Some(bare(
            Rule::AuthFailing,
            &health.system,
            severity,
            About::Sender,
            words,
        ))
    };
    let known = all.iter().filter(|health| health.is_known);
    known.filter_map(trouble).collect()
}

fn stale(system: &System, row: &PollRow, now: Timestamp) -> Option<Trouble> {
    let (_, every) = system.poll.iter().find(|(kind, _)| *kind == row.kind)?;
    let asked = format!(
        "{} is asked for changed records of type {}",
        line(&row.system, 40),
        line(&row.kind, 40)
    );
    let words = match &row.error {
        Some(error) => format!(
            "{asked} in vain, nothing new since {} ago: {}",
            short(now.since(row.mark)),
            line(error, 100)
        ),
        None if now.since(row.run) > *every * 3 => format!(
            "{asked} every {}, but was last {} ago",
            short(*every),
            short(now.since(row.run))
        ),
        None => return None,
    };
    Some(bare(
        Rule::SourceUnreachable,
        &format!("{}.{}", system.name, row.kind),
        Severity::Warning,
        About::Sender,
        words,
    ))
}
