//! An incident as a post-mortem in markdown: summary, impact, timeline in UTC, what was done, links. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::model::{PageState, StepState};
use crate::config::model::Config;
use crate::store::IncidentDetail;
use crate::store::view::Severity;
use crate::time::{Timestamp, short};

/// What became of the deliveries of an incident's path in its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impact {
    /// Deliveries accepted on it.
    pub accepted: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Dead letters now.
    pub dead: u64,
    /// Deliveries that wait now.
    pub waiting: u64,
}

/// The post-mortem. Text of the incident is safe to show; here it is made safe for markdown too.
pub fn post_mortem(detail: &IncidentDetail, impact: Option<Impact>, config: &Config) -> String {
    let incident = &detail.incident;
    let end = incident.resolved.or(incident.calm);
    let lasted = |from: Timestamp, to: Option<Timestamp>| {
        to.map_or_else(
            || "not yet".to_owned(),
            |to| short(Duration::from_secs(to.since(from).as_secs())),
        )
    };
    let severity = match incident.worst {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    let mut text = format!("# Incident {}: {}\n\n", incident.id, plain(&incident.title));
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "| {name} | {} |", plain(value));
    };
    row("site", &config.site.name);
    row("---", "---");
    row("severity", severity);
    row("stage", incident.stage.word());
    row("began", &incident.opened.rfc3339());
    row(
        "ended",
        &end.map_or_else(|| "not yet".to_owned(), Timestamp::rfc3339),
    );
    row(
        "detected by",
        match incident.detected {
            super::Detected::Alert => "alert",
            super::Detected::Human => "human",
        },
    );
    row(
        "time to acknowledge",
        &lasted(incident.opened, incident.first_ack),
    );
    row("time to resolve", &lasted(incident.opened, end));
    row("came back", &incident.reopened.to_string());
    text.push_str("\n## Summary\n\nWhat happened, in two sentences for somebody who was not there.\n\n## Impact\n\n");
    match impact {
        Some(impact) => {
            let path = incident.path.as_deref().unwrap_or_default();
            let _ = writeln!(
                text,
                "On `{}`: {} accepted in this time, {} delivered; now {} wait and {} are dead letters. Lost: 0 of those acknowledged.",
                plain(path),
                impact.accepted,
                impact.delivered,
                impact.waiting,
                impact.dead
            );
        }
        None => text.push_str("It is about no single path.\n"),
    }
    text.push_str("\n## What was wrong\n\n");
    for signal in &incident.signals {
        let _ = writeln!(text, "- `{}` {}", signal.rule, plain(&signal.words));
    }
    if !incident.changed.is_empty() {
        text.push_str("\n## What changed before it\n\n");
        for change in &incident.changed {
            let _ = writeln!(text, "- {}", plain(change));
        }
    }
    text.push_str("\n## Timeline (UTC)\n\n");
    for line in &detail.lines {
        let who = if line.actor.is_empty() {
            "midwatch"
        } else {
            &line.actor
        };
        let _ = writeln!(
            text,
            "- {} **{}** {}: {}",
            line.at.rfc3339(),
            plain(&line.kind),
            plain(who),
            plain(&line.text)
        );
    }
    text.push_str("\n## Steps\n\n");
    if detail.steps.is_empty() {
        text.push_str("None was ticked.\n");
    }
    for step in &detail.steps {
        let mark = match step.state {
            StepState::Done => "x",
            StepState::Skipped => " ",
        };
        let _ = writeln!(
            text,
            "- [{mark}] {} step {} ({}, {}) {}",
            plain(&step.runbook),
            step.step + 1,
            plain(&step.actor),
            step.at.rfc3339(),
            plain(&step.note)
        );
    }
    text.push_str("\n## Pages\n\n");
    if detail.pages.is_empty() {
        text.push_str("Nobody was told.\n");
    }
    for page in detail.pages.iter().rev() {
        let state = match page.state {
            PageState::Sending => "on its way".to_owned(),
            PageState::Arrived => {
                let took = page.ended.map_or(0, |end| end.since(page.at).as_secs());
                format!("arrived within {}", short(Duration::from_secs(took.max(1))))
            }
            PageState::Failed => "failed".to_owned(),
        };
        let _ = writeln!(
            text,
            "- {} {} to {} over {}: {state}",
            page.at.rfc3339(),
            page.occasion,
            plain(&page.who),
            plain(&page.channel)
        );
    }
    text.push_str("\n## Actions\n\n- [ ] What keeps it from happening again, and who does it\n");
    if let Some(runbook) = &incident.runbook {
        let name = crate::runbook::stem(runbook.as_ref());
        let _ = write!(text, "\n## Links\n\n- runbook: {}\n", plain(&name));
    }
    text
}

/// Text in a line of markdown that is not markup.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
