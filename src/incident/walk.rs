//! What the cells of a runbook mean for one incident: its path, system and job put in. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::model::Incident;
use crate::config::model::Config;
use crate::control::action::{Action, DEFAULT_CANARY, DEFAULT_PACE};
use crate::queue::filter::Filter;
use crate::runbook::cell::{Cell, Verb};
use crate::runbook::{Gate, Runbook};
use crate::store::IncidentDetail;

/// What an incident is about, for the cells that leave it out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bearings {
    /// The path.
    pub path: Option<String>,
    /// The system: the receiver of that path, or the source that is silent.
    pub system: Option<String>,
    /// The reconciliation job.
    pub job: Option<String>,
}

impl Bearings {
    /// Those of an incident.
    pub fn of(incident: &Incident, config: &Config) -> Self {
        let subjects = || {
            incident
                .signals
                .iter()
                .map(|signal| signal.subject.as_str())
        };
        let (_, of_cause) = incident.cause.split_once(':').unwrap_or(("", ""));
        let job = subjects().find(|name| config.reconcile.iter().any(|job| job.name == *name));
        let path = (incident.path.clone()).or_else(|| {
            subjects()
                .find(|name| config.path(name).is_some())
                .map(str::to_owned)
        });
        let to = (path.as_deref())
            .and_then(|path| config.path(path))
            .map(|path| path.to.clone());
        let named = [of_cause].into_iter().chain(subjects());
        let named = named.map(|name| name.split('.').next().unwrap_or(name));
        let system = named
            .into_iter()
            .find(|name| config.systems.contains_key(*name))
            .map(str::to_owned);
        Self {
            system: system.or(to),
            job: job.map(str::to_owned),
            path,
        }
    }

    fn fill(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for (name, value) in [
            ("path", &self.path),
            ("system", &self.system),
            ("job", &self.job),
        ] {
            let place = format!("{{{name}}}");
            if !text.contains(&place) {
                continue;
            }
            match value {
                Some(value) => text = text.replace(&place, value),
                None => return Err(format!("this incident is about no single {name}")),
            }
        }
        Ok(text)
    }
}

/// What a cell does for an incident.
#[derive(Debug, Clone, PartialEq)]
pub enum Doing {
    /// An action of the action layer.
    Act(Box<Action>),
    /// It waits for a number.
    Wait(Gate),
    /// A secret is typed unseen.
    Secret {
        /// The system.
        system: String,
        /// Which secret, where it has several.
        which: Option<String>,
    },
    /// A record is looked up; the key is asked for where none is given.
    Look {
        /// The record type.
        kind: String,
        /// Its key.
        key: Option<String>,
    },
    /// Lines for a shell, to be run by a person.
    Shell(String),
}

/// What a cell does here.
///
/// # Errors
/// In words: the incident is about no such thing, a filter that cannot be read.
pub fn doing(cell: &Cell, incident: &Incident, bearings: &Bearings) -> Result<Doing, String> {
    let (verb, parameters) = match cell {
        Cell::Gate(gate) => return Ok(Doing::Wait(gate.of(&bearings.fill(&gate.subject)?))),
        Cell::Shell { text, .. } => return Ok(Doing::Shell(text.clone())),
        Cell::Action { verb, parameters } => (*verb, parameters),
    };
    let mut all = BTreeMap::new();
    for (key, value) in parameters {
        all.insert(key.as_str(), bearings.fill(value)?);
    }
    let mut take = |key: &str| all.remove(key).unwrap_or_default();
    let action = match verb {
        Verb::Replay => {
            let filter = format!("path:{} state:dead {}", take("path"), take("filter"));
            let filter: Filter = filter.trim().parse().map_err(|error| format!("{error}"))?;
            Action::Replay {
                filter,
                canary: DEFAULT_CANARY,
                pace: DEFAULT_PACE,
                skip_risky: true,
                force: None,
            }
        }
        Verb::Pause => Action::Pause {
            path: take("path"),
            reason: match take("reason") {
                reason if reason.is_empty() => format!("incident {}", incident.id),
                reason => reason,
            },
        },
        Verb::Resume | Verb::BreakerReset => Action::Resume { path: take("path") },
        Verb::Probe => Action::Probe {
            system: take("system"),
        },
        Verb::Reconcile => Action::Reconcile { job: take("job") },
        Verb::Backfill => Action::Backfill {
            system: take("system"),
            since: None,
        },
        Verb::Escalate => Action::Escalate {
            path: take("path"),
            delivery: None,
            note: take("note"),
        },
        Verb::Note => Action::Incident {
            incident: incident.id,
            act: super::Act::Note { text: take("text") },
        },
        Verb::ReplaceSecret => {
            return Ok(Doing::Secret {
                system: take("system"),
                which: Some(take("which")).filter(|which| !which.is_empty()),
            });
        }
        Verb::Lookup => {
            return Ok(Doing::Look {
                kind: take("kind"),
                key: Some(take("key")).filter(|key| !key.is_empty()),
            });
        }
    };
    Ok(Doing::Act(Box::new(action)))
}

/// The runbook of an incident: the configured file, or the shipped one of that name.
///
/// # Errors
/// In words, where neither can be read. Blocking.
pub fn runbook_of(incident: &Incident) -> Result<Runbook, String> {
    let Some(name) = &incident.runbook else {
        return Err("no runbook leads from here".to_owned());
    };
    let file = std::path::Path::new(name);
    if file.is_absolute() {
        match crate::runbook::load(file) {
            Ok(book) => return Ok(book),
            // A file that is gone must not leave somebody without anything at night.
            Err(error) => {
                let rule = incident.signals.first().map(|signal| signal.rule.runbook());
                let shipped = rule.and_then(crate::runbook::shipped);
                return shipped.ok_or_else(|| error.to_string());
            }
        }
    }
    crate::runbook::shipped(name).ok_or_else(|| format!("there is no runbook {name}"))
}

/// An action, as a person reads it.
pub fn said(action: &Action) -> String {
    match action {
        Action::Replay { filter, .. } => format!("replay {filter}"),
        Action::Pause { path, reason } => format!("pause {path}: {reason}"),
        Action::Resume { path } => format!("resume {path}"),
        Action::Probe { system } => format!("probe {system}"),
        Action::Reconcile { job } => format!("run {job}"),
        Action::Backfill { system, .. } => format!("ask {system} for what was missed"),
        Action::Escalate { path, .. } => format!("escalate {path}"),
        Action::Incident { .. } => "add a note".to_owned(),
        other => format!("{other:?}"),
    }
}

/// What somebody who takes it over should know.
pub fn handed(detail: &IncidentDetail) -> String {
    let incident = &detail.incident;
    let mut text = incident.title.clone();
    let done = detail.steps.len();
    if done > 0 {
        let _ = write!(text, "; {done} steps of the runbook are ticked");
    }
    let notes = detail.lines.iter().rev().filter(|line| line.kind == "note");
    for note in notes.take(2) {
        let _ = write!(text, "; {}: {}", note.actor, note.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::cell::read;

    fn bearings() -> Bearings {
        Bearings {
            path: Some("crm".to_owned()),
            system: Some("hub".to_owned()),
            job: None,
        }
    }

    #[test]
    fn a_cell_takes_what_it_leaves_out_from_the_incident() {
        let incident = crate::incident::tests::incident();
        let doing = |info: &str| doing(&read(info, "").unwrap().unwrap(), &incident, &bearings());
        let act = |info: &str| match doing(info) {
            Ok(Doing::Act(action)) => *action,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            act("midwatch {action=\"resume\"}"),
            Action::Resume {
                path: "crm".to_owned()
            }
        );
        assert_eq!(
            act("midwatch {action=\"pause\" path=\"other\"}"),
            Action::Pause {
                path: "other".to_owned(),
                reason: "incident 1".to_owned()
            }
        );
        assert_eq!(
            act("midwatch {action=\"probe\"}"),
            Action::Probe {
                system: "hub".to_owned()
            }
        );
        let Action::Replay {
            filter, skip_risky, ..
        } = act("midwatch {action=\"replay\" filter=\"class:transient\"}")
        else {
            panic!("no replay");
        };
        assert!(skip_risky);
        assert_eq!(filter.to_string(), "path:crm state:dead class:transient");
        match doing("midwatch {verify=\"dead({path}) == 0\"}") {
            Ok(Doing::Wait(gate)) => assert_eq!(gate.to_string(), "dead(crm) == 0"),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            doing("midwatch {action=\"reconcile\"}"),
            Err("this incident is about no single job".to_owned())
        );
    }
}
