//! What becomes of incidents by what is wrong now. Pure: the same troubles at the same times make the same incidents.
//!
//! One incident for one cause. A signal that is gone must stay away for a while before it counts as over, so that nothing
//! flaps at a threshold; what comes back within half an hour of the end is the same incident.

use std::time::Duration;

use super::model::{Detected, Incident, IncidentLine, Signal, Silence, Stage};
use crate::config::model::Config;
use crate::ids::IncidentId;
use crate::store::view::{Overview, Severity};
use crate::time::{Timestamp, short};
use crate::watch::{Rule, TOO_MUCH, Trouble, lingers};

/// A signal must be gone for so long.
const CALM: Duration = Duration::from_secs(5 * 60);
/// What comes back within this is the same incident.
const AGAIN: Duration = Duration::from_secs(30 * 60);

/// What is looked at.
pub struct Seen<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The numbers.
    pub overview: &'a Overview,
    /// What is wrong by them.
    pub troubles: &'a [Trouble],
    /// What nobody wants to be told of.
    pub silences: &'a [Silence],
    /// What changed lately, the last first; safe to show.
    pub changed: &'a [String],
    /// The time.
    pub now: Timestamp,
}

/// What an incident is about: the receiver where that is down, otherwise what the rule speaks of.
fn cause(trouble: &Trouble, config: &Config) -> String {
    let path = trouble.path.as_deref().and_then(|path| config.path(path));
    match (trouble.rule, path) {
        (rule, Some(path)) if rule.is_of_receiver() => format!("system:{}", path.to),
        (Rule::HookDisabled | Rule::SourceSilent | Rule::EventsAtRisk, _) => {
            format!("source:{}", trouble.subject)
        }
        (rule, _) if trouble.subject.is_empty() => rule.word().to_owned(),
        (rule, _) => format!("{rule}:{}", trouble.subject),
    }
}

/// The incidents that changed, each with what is to be told in its timeline. `known` are all that are open, and those that
/// ended within half an hour.
pub fn step(known: &[Incident], seen: &Seen<'_>) -> Vec<(Incident, Vec<IncidentLine>)> {
    let now = seen.now;
    let line = |kind: &str, text: String| IncidentLine {
        at: now,
        actor: String::new(),
        kind: kind.to_owned(),
        text,
    };
    let mut causes: Vec<(String, Vec<&Trouble>)> = Vec::new();
    for trouble in seen.troubles {
        let silenced = (seen.silences.iter())
            .any(|silence| silence.covers(trouble.rule, &trouble.subject, now));
        if !trouble.rule.opens() || trouble.severity == Severity::Info || silenced {
            continue;
        }
        let cause = cause(trouble, seen.config);
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, all)) => all.push(trouble),
            None => causes.push((cause, vec![trouble])),
        }
    }
    let mut changed = Vec::new();
    for incident in known.iter().filter(|incident| incident.is_open()) {
        let troubles = (causes.iter())
            .find(|(cause, _)| *cause == incident.cause)
            .map_or(&[][..], |(_, all)| all);
        let mut after = incident.clone();
        let mut lines = Vec::new();
        renew(&mut after, troubles, seen, &mut lines, &line);
        if after != *incident {
            changed.push((after, lines));
        }
    }
    for (cause, troubles) in causes {
        let mut same = known.iter().filter(|incident| incident.cause == cause);
        if same.clone().any(Incident::is_open) {
            continue;
        }
        let ended = |one: &&Incident| one.resolved.is_some_and(|at| now.since(at) < AGAIN);
        let last = same.rfind(ended);
        let mut lines = Vec::new();
        let incident = match last {
            Some(last) => again(last, &troubles, seen, &mut lines, &line),
            None => opened(cause, &troubles, seen, &mut lines, &line),
        };
        changed.push((incident, lines));
    }
    changed
}

fn signal(trouble: &Trouble, now: Timestamp) -> Signal {
    Signal {
        rule: trouble.rule,
        subject: trouble.subject.clone(),
        severity: trouble.severity,
        words: trouble.words.clone(),
        since: now,
        calm: None,
    }
}

fn worst(signals: &[Signal]) -> Severity {
    let live = signals.iter().filter(|signal| signal.calm.is_none());
    live.map(|signal| signal.severity)
        .max()
        .unwrap_or(Severity::Info)
}

/// Whether a signal that is not told any more is still too near to be called over.
fn lingering(signal: &Signal, overview: &Overview) -> bool {
    signal.rule == Rule::PathFailing
        && (overview.paths.iter())
            .find(|row| row.name == signal.subject)
            .is_some_and(|row| lingers(row, TOO_MUCH))
}

/// An open incident, by what is wrong of it now.
fn renew(
    incident: &mut Incident,
    troubles: &[&Trouble],
    seen: &Seen<'_>,
    lines: &mut Vec<IncidentLine>,
    line: &impl Fn(&str, String) -> IncidentLine,
) {
    let now = seen.now;
    for trouble in troubles {
        let same =
            |signal: &&mut Signal| signal.rule == trouble.rule && signal.subject == trouble.subject;
        if let Some(known) = incident.signals.iter_mut().find(same) {
            if known.calm.take().is_some() {
                known.since = now;
            }
            known.severity = trouble.severity;
            known.words.clone_from(&trouble.words);
        } else {
            incident.signals.push(signal(trouble, now));
            lines.push(line("signal", trouble.words.clone()));
        }
    }
    for signal in &mut incident.signals {
        let told = (troubles.iter())
            .any(|trouble| trouble.rule == signal.rule && trouble.subject == signal.subject);
        if !told && signal.calm.is_none() && !lingering(signal, seen.overview) {
            signal.calm = Some(now);
        }
    }
    // What was not so for long is not what it is about any more.
    let by_person = incident.detected == Detected::Human;
    if incident.signals.iter().any(|signal| signal.calm.is_none()) {
        incident
            .signals
            .retain(|signal| signal.calm.is_none_or(|calm| now.since(calm) < CALM));
        incident.calm = None;
    } else if !by_person {
        incident.calm = incident.calm.or(Some(now));
    }
    incident.signals.sort_by_key(|signal| {
        (
            signal.calm.is_some(),
            std::cmp::Reverse(signal.severity),
            signal.rule,
        )
    });
    let severity = worst(&incident.signals);
    if incident.calm.is_none() && !by_person {
        if severity > incident.worst {
            let text = format!("now {}: {}", word(severity), title(&incident.signals));
            lines.push(line("worse", text));
            incident.worst = severity;
            // It is told anew, from the first level on, whoever has it.
            incident.clock = now;
            incident.told.clear();
            incident.snoozed = None;
            if let Some(ack) = incident.ack.take() {
                let text = format!(
                    "{} took it when it was less: it must be taken again",
                    ack.by
                );
                lines.push(line("worse", text));
            }
            incident.stage = Stage::Firing;
        }
        incident.severity = severity;
        incident.title = title(&incident.signals);
        lead(incident, troubles, seen.config);
    }
    let lapsed = incident.ack.as_ref().filter(|ack| ack.until <= now);
    if let Some(ack) = lapsed.filter(|_| incident.stage == Stage::Acknowledged) {
        lines.push(line(
            "lapsed",
            format!(
                "{} has not been heard of since: it is nobody's again",
                ack.by
            ),
        ));
        incident.ack = None;
        incident.stage = Stage::Firing;
        incident.clock = now;
        incident.told.clear();
    }
    if let Some(calm) = incident.calm
        && now.since(calm) >= CALM
    {
        incident.stage = Stage::Resolved;
        incident.resolved = Some(now);
        lines.push(line(
            "resolved",
            format!(
                "nothing of it was wrong for {}; it lasted {}",
                short(CALM),
                short(Duration::from_secs(calm.since(incident.opened).as_secs()))
            ),
        ));
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "a warning",
        Severity::Critical => "critical",
    }
}

fn title(signals: &[Signal]) -> String {
    let live = || signals.iter().filter(|signal| signal.calm.is_none());
    let more = live().count().saturating_sub(1);
    let first = live().next().map_or("", |signal| signal.words.as_str());
    match more {
        0 => first.to_owned(),
        more => format!("{first} (and {more} more)"),
    }
}

/// Where it leads: the worst trouble's path, runbook and policy.
fn lead(incident: &mut Incident, troubles: &[&Trouble], config: &Config) {
    let Some(first) = troubles.iter().max_by_key(|trouble| trouble.severity) else {
        return;
    };
    let path = first.path.as_deref().and_then(|path| config.path(path));
    incident.path.clone_from(&first.path);
    let configured = first
        .runbook
        .as_ref()
        .map(|file| file.to_string_lossy().into_owned());
    incident.runbook = configured.or_else(|| Some(first.rule.runbook().to_owned()));
    incident.policy = path
        .and_then(|path| path.escalation.clone())
        .or_else(|| config.watch.escalation.clone());
}

fn opened(
    cause: String,
    troubles: &[&Trouble],
    seen: &Seen<'_>,
    lines: &mut Vec<IncidentLine>,
    line: &impl Fn(&str, String) -> IncidentLine,
) -> Incident {
    let now = seen.now;
    let mut signals: Vec<Signal> = troubles.iter().map(|one| signal(one, now)).collect();
    signals.sort_by_key(|signal| (std::cmp::Reverse(signal.severity), signal.rule));
    let severity = worst(&signals);
    let mut incident = Incident {
        id: IncidentId(0),
        revision: 0,
        cause,
        title: title(&signals),
        severity,
        worst: severity,
        stage: Stage::Firing,
        opened: now,
        signals,
        calm: None,
        first_ack: None,
        ack: None,
        snoozed: None,
        mitigated: None,
        resolved: None,
        reopened: 0,
        detected: Detected::Alert,
        runbook: None,
        policy: None,
        path: None,
        clock: now,
        told: Vec::new(),
        offer: None,
        changed: seen.changed.to_vec(),
    };
    lead(&mut incident, troubles, seen.config);
    for signal in &incident.signals {
        lines.push(line("opened", format!("{}: {}", signal.rule, signal.words)));
    }
    for text in &incident.changed {
        lines.push(line("changed", format!("before it: {text}")));
    }
    incident
}

/// It is back.
fn again(
    last: &Incident,
    troubles: &[&Trouble],
    seen: &Seen<'_>,
    lines: &mut Vec<IncidentLine>,
    line: &impl Fn(&str, String) -> IncidentLine,
) -> Incident {
    let now = seen.now;
    let mut incident = last.clone();
    incident.signals = troubles.iter().map(|one| signal(one, now)).collect();
    incident
        .signals
        .sort_by_key(|signal| (std::cmp::Reverse(signal.severity), signal.rule));
    incident.severity = worst(&incident.signals);
    incident.worst = incident.worst.max(incident.severity);
    incident.title = title(&incident.signals);
    incident.stage = Stage::Firing;
    (incident.calm, incident.resolved, incident.mitigated) = (None, None, None);
    (incident.ack, incident.snoozed, incident.offer) = (None, None, None);
    incident.reopened += 1;
    incident.clock = now;
    incident.told.clear();
    lead(&mut incident, troubles, seen.config);
    lines.push(line("reopened", format!("it is back: {}", incident.title)));
    incident
}
