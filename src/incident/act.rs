//! What a person does with an incident. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{Ack, Incident, IncidentLine, Offer, Stage, StepState};
use crate::time::{Timestamp, short};
use crate::visible::Visible;

/// One thing to do with an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Take it.
    Ack,
    /// Be quiet about it for so long.
    Snooze {
        /// Until then.
        until: Timestamp,
    },
    /// Say something about it.
    Note {
        /// What.
        text: String,
    },
    /// What it does is stopped.
    Mitigate,
    /// It is over.
    Resolve,
    /// Hand it to somebody.
    HandOver {
        /// To whom.
        to: String,
        /// What the other should know.
        summary: String,
    },
    /// Take what is handed over.
    Accept,
    /// Tell the next level now.
    Escalate,
    /// A step of its runbook was done or passed over.
    Step {
        /// The runbook's name.
        runbook: String,
        /// Which step, from 0.
        step: u64,
        /// What the step says.
        title: String,
        /// Where it stands.
        state: StepState,
        /// What was seen.
        note: String,
    },
}

impl Act {
    /// What it is, for a confirmation and the audit.
    pub fn words(&self, now: Timestamp) -> String {
        match self {
            Self::Ack => "take it".to_owned(),
            Self::Snooze { until } => format!("be quiet about it for {}", short(until.since(now))),
            Self::Note { .. } => "add a note to its timeline".to_owned(),
            Self::Mitigate => "call it mitigated".to_owned(),
            Self::Resolve => "call it resolved".to_owned(),
            Self::HandOver { to, .. } => format!("hand it to {}", Visible::of(to)),
            Self::Accept => "take over what is handed over".to_owned(),
            Self::Escalate => "tell the next level now".to_owned(),
            Self::Step { runbook, step, .. } => {
                format!("tick step {} of {}", step + 1, Visible::of(runbook))
            }
        }
    }
}

/// What becomes of the incident, and its line. `lease`: how long an acknowledgement holds.
///
/// # Errors
/// In words, where it makes no sense now.
pub fn act(
    incident: &Incident,
    act: &Act,
    actor: &str,
    lease: Duration,
    now: Timestamp,
) -> Result<(Incident, IncidentLine), String> {
    let number = incident.id;
    if !incident.is_open() && !matches!(act, Act::Note { .. }) {
        return Err(format!("incident {number} is over"));
    }
    let mut after = incident.clone();
    let take = |after: &mut Incident| {
        after.first_ack = after.first_ack.or(Some(now));
        after.ack = Some(Ack {
            by: actor.to_owned(),
            at: now,
            until: now + lease,
        });
        if after.stage == Stage::Firing {
            after.stage = Stage::Acknowledged;
        }
    };
    let (kind, text) = match act {
        Act::Ack => {
            if let Some(ack) = incident
                .ack
                .as_ref()
                .filter(|ack| ack.until > now && ack.by == actor)
            {
                let text = format!("kept for another {} since {}", short(lease), ack.at.brief());
                take(&mut after);
                ("ack", text)
            } else {
                take(&mut after);
                ("ack", format!("taken, for {}", short(lease)))
            }
        }
        Act::Snooze { until } => {
            if *until <= now {
                return Err("that is over already".to_owned());
            }
            after.snoozed = Some(*until);
            (
                "snooze",
                format!(
                    "quiet for {}, unless it becomes worse",
                    short(until.since(now))
                ),
            )
        }
        Act::Note { text } => {
            let text = Visible::lines_of(text.trim()).into_string();
            if text.is_empty() {
                return Err("the note is empty".to_owned());
            }
            ("note", text)
        }
        Act::Mitigate => {
            if incident.stage == Stage::Mitigated {
                return Err(format!("incident {number} is mitigated already"));
            }
            take(&mut after);
            after.stage = Stage::Mitigated;
            after.mitigated = Some(now);
            ("mitigated", "what it does is stopped".to_owned())
        }
        Act::Resolve => {
            after.stage = Stage::Resolved;
            after.resolved = Some(now);
            let live = incident
                .signals
                .iter()
                .filter(|signal| signal.calm.is_none())
                .count();
            let text = match live {
                0 => "called over".to_owned(),
                live => format!(
                    "called over, though {live} of it is still so: it comes back as the same incident"
                ),
            };
            ("resolved", text)
        }
        Act::HandOver { to, summary } => {
            let to = Visible::of(to.trim()).into_string();
            if to.is_empty() {
                return Err("to whom?".to_owned());
            }
            let summary = Visible::lines_of(summary.trim()).into_string();
            let text = format!("offered to {to}: {summary}");
            after.offer = Some(Offer {
                by: actor.to_owned(),
                to,
                summary,
                at: now,
            });
            ("handover", text)
        }
        Act::Accept => {
            let Some(offer) = after.offer.take() else {
                return Err(format!("nobody hands incident {number} over"));
            };
            take(&mut after);
            ("handover", format!("taken over from {}", offer.by))
        }
        Act::Escalate => {
            // Every level that was not told counts as due now; `pages` tells it at the next look.
            let next = after
                .told
                .iter()
                .map(|told| told.level + 1)
                .max()
                .unwrap_or(0);
            after.told.push(super::model::Told {
                level: next,
                times: 0,
                last: now,
            });
            ("escalate", format!("level {} is told now", next + 1))
        }
        Act::Step {
            runbook,
            step,
            title,
            state,
            note,
        } => {
            // Who works on it has it.
            if let Some(ack) = &mut after.ack {
                ack.until = ack.until.max(now + lease);
            } else {
                take(&mut after);
            }
            let verb = match state {
                StepState::Done => "done",
                StepState::Skipped => "passed over",
            };
            let note = match note.trim() {
                "" => String::new(),
                note => format!(" ({})", Visible::lines_of(note)),
            };
            let (runbook, title) = (Visible::of(runbook), Visible::of(title));
            (
                "step",
                format!("{runbook} step {} {verb}: {title}{note}", step + 1),
            )
        }
    };
    let line = IncidentLine {
        at: now,
        actor: actor.to_owned(),
        kind: kind.to_owned(),
        text,
    };
    Ok((after, line))
}
