//! What a person does about an incident: takes it, walks its runbook, hands it on. Each is asked first, as any action.

use super::super::keymap::Command;
use super::super::model::{Model, Place, Selection, Slot};
use super::{Effect, go, toast};
use crate::control::action::Action;
use crate::ids::IncidentId;
use crate::incident::{Act, Bearings, Doing, StepState, doing};
use crate::store::view::Severity;

/// How long `z` is quiet.
const SNOOZE: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Goes to one incident.
pub(super) fn show(model: &mut Model, id: IncidentId, effects: &mut Vec<Effect>) {
    if model.incidents.open != Some(id) {
        model.incidents.open = Some(id);
        model.incidents.data = None;
        model.incidents.runbook = None;
        model.incidents.steps.clear();
        model.incidents.step = Selection::default();
        model.known.remove(&Slot::Incident);
    }
    go(model, Place::Incident, effects);
}

/// A console that is opened while something critical is nobody's lands on it; later ones ring.
pub(super) fn look(model: &mut Model, effects: &mut Vec<Effect>) {
    let worst = model
        .burning()
        .filter(|one| one.severity == Severity::Critical)
        .map(|one| one.id);
    let is_first = !model.incidents.landed;
    model.incidents.landed = true;
    let Some(id) = worst else { return };
    if id <= model.incidents.rung {
        return;
    }
    model.incidents.rung = id;
    if is_first {
        if model.place == Place::Overview && model.overlay.is_none() {
            show(model, id, effects);
        }
    } else if model.config.watch.bell {
        effects.push(Effect::Bell);
    }
}

/// The dialog of a command.
pub(super) fn begin(
    model: &Model,
    command: Command,
) -> Result<(String, Action, &'static str), &'static str> {
    let incident = model.incident_here().ok_or("select an incident first")?;
    let id = incident.id;
    let (title, act, label) = match command {
        Command::TakeIncident if incident.offer.is_some() => {
            ("Take incident {} over", Act::Accept, "")
        }
        Command::TakeIncident => ("Take incident {}", Act::Ack, ""),
        Command::Snooze => {
            let until = model.now + SNOOZE;
            (
                "Be quiet about incident {} for an hour",
                Act::Snooze { until },
                "",
            )
        }
        Command::NoteIncident => {
            let text = String::new();
            ("Add a note to incident {}", Act::Note { text }, "note")
        }
        Command::Mitigate => ("Call incident {} mitigated", Act::Mitigate, ""),
        Command::Resolve => ("Call incident {} over", Act::Resolve, ""),
        Command::HandOver => {
            let summary = model.incidents.data.as_ref().map_or_else(
                || incident.title.clone(),
                |data| crate::incident::handed(data),
            );
            let to = String::new();
            (
                "Hand incident {} over",
                Act::HandOver { to, summary },
                "to whom",
            )
        }
        Command::SkipStep | Command::TickStep => return tick(model, command),
        Command::DoStep => return perform(model),
        _ => ("Tell the next level of incident {}", Act::Escalate, ""),
    };
    let title = title.replace("{}", &id.to_string());
    Ok((title, Action::Incident { incident: id, act }, label))
}

/// Ticks the selected step, or passes it over.
fn tick(model: &Model, command: Command) -> Result<(String, Action, &'static str), &'static str> {
    let incident = model.incident_here().ok_or("select an incident first")?;
    let (at, step) = model.step_here().ok_or("select a step first")?;
    let Some(Ok(book)) = &model.incidents.runbook else {
        return Err("there is no runbook");
    };
    let (state, word) = match command {
        Command::SkipStep => (StepState::Skipped, "Pass step {} over"),
        _ => (StepState::Done, "Tick step {}"),
    };
    let act = Act::Step {
        runbook: book.name(),
        step: at as u64,
        title: step.title.clone(),
        state,
        note: String::new(),
    };
    let title = word.replace("{}", &(at + 1).to_string());
    let action = Action::Incident {
        incident: incident.id,
        act,
    };
    Ok((title, action, "what was seen (optional)"))
}

/// What the selected step does; one that does nothing is ticked.
fn perform(model: &Model) -> Result<(String, Action, &'static str), &'static str> {
    let incident = model.incident_here().ok_or("select an incident first")?;
    let (at, step) = model.step_here().ok_or("select a step first")?;
    let bearings = Bearings::of(incident, &model.config);
    for cell in &step.cells {
        match doing(cell, incident, &bearings) {
            Ok(Doing::Act(action)) => {
                let title = format!("Step {}: {}", at + 1, crate::incident::said(&action));
                return Ok((
                    crate::visible::Visible::of(&title).into_string(),
                    *action,
                    "",
                ));
            }
            Ok(Doing::Secret { .. }) => {
                return Err("replace the secret on the Systems screen (0, w), then tick with x");
            }
            Ok(Doing::Look { .. }) => {
                return Err("find the record on its screen (9), then tick with x");
            }
            Ok(Doing::Wait(gate)) => {
                let holds = (model.overview.as_ref())
                    .and_then(|overview| gate.now(overview))
                    .is_some_and(|(_, holds)| holds);
                if !holds {
                    return Err("not yet: the number does not hold; x ticks it all the same");
                }
            }
            Ok(Doing::Shell(_)) => {}
            Err(_) => return Err("this cannot be done for this incident; s passes it over"),
        }
    }
    tick(model, Command::TickStep)
}

/// The incident was read again.
pub(super) fn read(model: &mut Model) {
    let incidents = &mut model.incidents;
    incidents.steps = match &incidents.runbook {
        Some(Ok(book)) => book.steps(),
        _ => Vec::new(),
    };
    if incidents.step.id.is_none() && incidents.data.is_some() {
        let next = incidents.next_step().unwrap_or(0);
        incidents.step.id = (next < incidents.steps.len()).then_some(next);
        incidents.step.index = next;
    }
}

/// A step was ticked here: the next one that is not is selected.
pub(super) fn ticked(model: &mut Model, action: &Action) {
    let Action::Incident {
        act: Act::Step { step, .. },
        ..
    } = action
    else {
        return;
    };
    let next = *step as usize + 1;
    let steps = model.incidents.steps.len();
    let open = (next..steps).find(|step| model.incidents.ticked(*step).is_none());
    if let Some(next) = open {
        model.incidents.step.id = Some(next);
        model.incidents.step.index = next;
    }
}

/// The worst one that is open, from any screen.
pub(super) fn worst(model: &mut Model, effects: &mut Vec<Effect>) {
    match model.burning().map(|one| one.id) {
        Some(id) => show(model, id, effects),
        None => toast(model, "no incident waits for anybody", false, effects),
    }
}
