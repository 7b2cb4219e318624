//! The message of an escalation: what a colleague who was not there must know, in plain words.
//!
//! Pure: from facts to text. Whatever came from outside is made `Visible` here, and cannot mention anyone in a chat
//! (Slack's `<!channel>`). Called by the action layer, for the preview and for the thing itself.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::action::{Actor, Refused};
use super::actions::refused;
use crate::config::live::Runtime;
use crate::event::{Event, Origin};
use crate::ids::PathId;
use crate::page::{Occasion, Page};
use crate::store::view::{Breaker, DeadGroup, DeliveryDetail, Overview, PathRow, Severity};
use crate::store::{Incoming, Route, reference};
use crate::time::{Timestamp, short};
use crate::visible::{Visible, line};

/// The type of the internal event.
pub const EVENT_TYPE: &str = "midwatch.escalation";

/// Dead groups that a message names.
const GROUPS: usize = 3;

/// Cells of one quoted text.
const QUOTE: usize = 200;

/// What a message is made of.
pub(super) struct Facts<'a> {
    pub runtime: &'a Runtime,
    pub overview: &'a Overview,
    pub groups: &'a [DeadGroup],
    pub path: &'a str,
    pub delivery: Option<&'a DeliveryDetail>,
    pub note: &'a str,
    /// None in a preview.
    pub actor: Option<&'a Actor>,
}

/// A message with the way it takes.
#[derive(Debug)]
pub(super) struct Message {
    /// The channels, in words.
    pub channel: String,
    pub lines: Vec<String>,
    pages: Vec<PathId>,
    page: Page,
    /// How the event that it is about is referred to.
    cause: Option<String>,
}

/// Composes the message; refused if the path has nowhere to escalate to.
pub(super) fn compose(facts: &Facts<'_>) -> Result<Message, Refused> {
    let config = &facts.runtime.config;
    let Some(path) = config.path(facts.path) else {
        return Err(refused("the path is not configured"));
    };
    let Some(escalation) = &path.escalation else {
        return Err(refused(format!(
            "{0} has nowhere to escalate to: set `escalation` in [paths.{0}] to a channel",
            path.name
        )));
    };
    let (channel, pages) = told(facts, escalation)?;
    let title = format!("{} ({} -> {}) needs help", path.name, path.from, path.to);
    let mut lines = Vec::new();
    let row = (facts.overview.paths.iter()).find(|row| row.name == path.name);
    if let Some(row) = row {
        let zone = config.site.timezone;
        let late = crate::watch::late_at(row, Some(path), zone);
        numbers(&mut lines, row, facts.overview.at, late);
    }
    if let Some(foreign) = &facts.overview.foreign_host {
        lines.push(format!(
            "Everything is held: the database is of host {}",
            line(foreign, QUOTE)
        ));
    }
    for group in (facts.groups.iter())
        .filter(|group| group.path == path.name)
        .take(GROUPS)
    {
        let mut text = format!("Dead: {} x", group.count);
        if let Some(class) = group.class {
            let _ = write!(text, " {class}");
        }
        if let Some(status) = group.status {
            let _ = write!(text, " {status}");
        }
        let _ = write!(
            text,
            ", {}, last {}",
            line(&group.reason, QUOTE),
            ago(facts.overview.at.since(group.last_seen))
        );
        lines.push(text);
    }
    if let Some(detail) = facts.delivery {
        delivery(&mut lines, detail, facts.overview.at);
    }
    let mut who = format!("Owner: {}", path.owner);
    if let Some(runbook) = &path.runbook {
        let shown = runbook.strip_prefix(&config.base).unwrap_or(runbook);
        let _ = write!(who, ". Runbook: {}", line(&shown.to_string_lossy(), QUOTE));
    }
    lines.push(who);
    let note = facts.note.trim();
    if let Some(actor) = facts.actor {
        lines.push(format!("Escalated by {}", line(&actor.to_string(), QUOTE)));
    }
    if !note.is_empty() {
        let note = Visible::lines_of(note).into_string();
        lines.push(format!("Note: {note}"));
    }
    let page = Page {
        site: config.site.name.clone(),
        occasion: Occasion::Note,
        severity: Severity::Critical,
        incident: None,
        title,
        lines,
        runbook: path.runbook.as_deref().map(crate::runbook::stem),
        since: facts.overview.at,
        dedup: format!("midwatch/{}/{}", config.site.name, path.name),
        buttons: Vec::new(),
        text: String::new(),
    };
    Ok(Message {
        channel,
        lines: page.whole().lines().map(str::to_owned).collect(),
        pages,
        page,
        cause: facts.delivery.map(|detail| {
            let row = &detail.row;
            reference(row.id.event(), &row.source, &row.event_id)
        }),
    })
}

/// Where the first level of an escalation leads, in words and as paths.
fn told(facts: &Facts<'_>, escalation: &str) -> Result<(String, Vec<PathId>), Refused> {
    let config = &facts.runtime.config;
    let policy = config.policy(escalation);
    let level = policy.as_ref().and_then(|policy| policy.critical.first());
    let now = facts.overview.at;
    let tell = level.iter().flat_map(|level| &level.tell);
    let all: Vec<_> = tell
        .filter_map(|tell| config.recipient(tell, &facts.overview.taken, now))
        .filter_map(|recipient| recipient.channels.into_iter().next())
        .collect();
    let pages: Vec<PathId> = (all.iter())
        .filter_map(|channel| facts.runtime.id(&format!("page/{channel}")))
        .collect();
    if pages.is_empty() {
        return Err(refused(format!("{escalation} leads to no channel")));
    }
    Ok((all.join(", "), pages))
}

/// ", due for 5m" and the like: whole seconds, nothing under one.
fn lasting(words: &str, duration: Duration) -> String {
    match duration.as_secs() {
        0 => String::new(),
        seconds => format!("{words}{}", short(Duration::from_secs(seconds))),
    }
}

/// "5m ago", or "just now".
fn ago(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "just now".to_owned(),
        _ => format!("{} ago", short(duration)),
    }
}

/// ": why", or nothing.
fn because(reason: &str) -> String {
    match reason.trim() {
        "" => String::new(),
        reason => format!(": {}", line(reason, QUOTE)),
    }
}

fn numbers(lines: &mut Vec<String>, row: &PathRow, now: Timestamp, due: Option<Timestamp>) {
    lines.push(match (&row.pause, &row.breaker) {
        (Some(pause), _) => format!(
            "State: paused by {}{}{}",
            line(&pause.by, QUOTE),
            lasting(" for ", now.since(pause.since)),
            because(&pause.reason)
        ),
        (None, Breaker::Open { since, reason, .. } | Breaker::HalfOpen { since, reason }) => {
            format!(
                "State: breaker {}{}{}",
                row.breaker.word(),
                lasting(" for ", now.since(*since)),
                because(reason)
            )
        }
        (None, Breaker::Closed) => "State: attempts flow".to_owned(),
    });
    lines.push(match row.failure_percent() {
        Some(percent) => format!(
            "Failing: {percent:.0} % of {} attempts in five minutes",
            row.recent.attempts
        ),
        None => "Failing: unknown, no attempts in five minutes".to_owned(),
    });
    let mut backlog = format!("Backlog: {}", row.counts.backlog());
    if let Some(oldest) = row.oldest_due {
        backlog += &lasting(", due for ", now.since(oldest));
    }
    if let Some(late) = due {
        if late > now {
            backlog += &lasting(", first late in ", late.since(now));
        } else {
            backlog += &lasting(", late for ", now.since(late));
        }
    }
    let _ = write!(
        backlog,
        "; dead {}, held {}",
        row.counts.dead, row.counts.held
    );
    lines.push(backlog);
}

fn delivery(lines: &mut Vec<String>, detail: &DeliveryDetail, now: Timestamp) {
    let row = &detail.row;
    let mut text = format!(
        "Delivery {}: {} {}, {}, accepted {}",
        row.id,
        line(&row.kind, QUOTE),
        line(row.subject.as_deref().unwrap_or(&row.event_id), QUOTE),
        row.state,
        ago(now.since(row.accepted_at))
    );
    if let Some(reason) = &row.reason {
        let _ = write!(text, ": {}", line(reason, QUOTE));
    }
    lines.push(text);
    if let Some(last) = detail.attempts.last() {
        let status = (last.status).map_or_else(String::new, |status| format!(" {status}"));
        lines.push(format!(
            "Last of {} attempts, {}: {}{status} {}",
            detail.attempts.len(),
            ago(now.since(last.started_at)),
            last.class,
            line(&last.error, QUOTE)
        ));
    }
}

impl Message {
    /// The internal event of a submission, routed to the channel's page path.
    pub fn incoming(&self, submission: &str, now: Timestamp) -> Incoming {
        let data = self.page.to_json();
        let digest = Sha256::digest(data.as_bytes());
        let mut short_digest = [0; 16];
        short_digest.copy_from_slice(&digest[..16]);
        Incoming {
            event: Event {
                source: "midwatch".to_owned(),
                id: submission.to_owned(),
                kind: EVENT_TYPE.to_owned(),
                subject: None,
                time: Some(now),
                content_type: Some("application/json".to_owned()),
                idempotency_key: Some(submission.to_owned()),
                schema_version: None,
                extensions: (self.cause.iter())
                    .map(|cause| ("causationid".to_owned(), cause.clone()))
                    .collect(),
                data: Bytes::from(data),
                origin: Origin::Internal,
            },
            routes: (self.pages.iter())
                .map(|page| Route {
                    path: *page,
                    order_key: None,
                    on_dead_continue: false,
                    delay: Duration::ZERO,
                    hold: None,
                })
                .collect(),
            hold: None,
            faults: Vec::new(),
            group: None,
            hold_on_conflict: false,
            digest: short_digest,
            about: Vec::new(),
        }
    }
}
