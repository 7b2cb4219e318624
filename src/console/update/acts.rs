//! Acting: dialogs from the first key to the worker's answer, leaving, and opening runbooks.
//!
//! What will be touched is fixed when the dialog opens (ids, groups, filters) and pinned by the worker's preview.
//! Titles hold ids of ours and names of the configuration only.

use tui_input::Input as Line;

use super::super::keymap::Command;
use super::super::model::{Dialog, Followed, Model, Overlay, Place, Slot, Stage};
use super::{
    Effect, Exit, READABLE, Timer, able, go, held, incidents, loads, moves, recon, systems, toast,
};
use crate::control::action::{Action, DEFAULT_CANARY, DEFAULT_PACE, Done, Preview};
use crate::ids::DeliveryId;
use crate::incident::Act;
use crate::queue::filter::Filter;
use crate::queue::model::State;
use crate::visible::Visible;

/// How many go first and alone, as the dialog offers it.
pub const CANARIES: &[u32] = &[1, 3, 5, 10, 25, 100];
/// Releases per second, as the dialog offers it.
pub const PACES: &[f64] = &[0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0];

/// A reason or note is being written.
pub(super) fn is_writing(dialog: &Dialog) -> bool {
    dialog.stage == Stage::Writing
}

/// A known name of the configuration; anything else is not shown in a dialog.
fn known(model: &Model, path: &str) -> String {
    if model.config.path(path).is_some() {
        Visible::of(path).into_string()
    } else {
        "a path that is no longer configured".to_owned()
    }
}

fn of_ids(ids: impl IntoIterator<Item = DeliveryId>) -> Filter {
    Filter {
        ids: ids.into_iter().collect(),
        ..Filter::default()
    }
}

/// What `r` and `c` are about here, and in words.
pub(super) fn scope(model: &Model) -> Option<(Filter, String)> {
    match model.place {
        Place::Deliveries if !model.deliveries.marked.is_empty() => {
            let marked = &model.deliveries.marked;
            let words = match marked.len() {
                1 => "1 marked delivery".to_owned(),
                n => format!("{n} marked deliveries"),
            };
            Some((of_ids(marked.iter().copied()), words))
        }
        Place::Deliveries => {
            let id = model.deliveries.selection.id?;
            Some((of_ids([id]), format!("delivery {id}")))
        }
        Place::Delivery => {
            let id = model.detail.data.as_ref()?.row.id;
            Some((of_ids([id]), format!("delivery {id}")))
        }
        Place::Review => {
            let id = model.review.delivery_here()?.id;
            Some((of_ids([id]), format!("delivery {id}")))
        }
        Place::Dead => {
            let group = model.group_here()?;
            let filter = Filter {
                paths: vec![group.path.clone()],
                states: vec![State::Dead],
                fingerprint: group.fingerprint,
                ..Filter::default()
            };
            let name = known(model, &group.path);
            let words = match group.fingerprint {
                Some(fingerprint) => format!("dead letters of group {fingerprint} on {name}"),
                None => format!("dead letters on {name}"),
            };
            Some((filter, words))
        }
        _ => None,
    }
}

fn filtered(model: &Model) -> Result<(Filter, String), &'static str> {
    let filter = model.deliveries.filter.clone();
    if filter.is_empty() {
        return Err("give a filter first (/): everything at once is never meant");
    }
    let words = format!("all that match: {}", filter.words());
    Ok((filter, words))
}

/// Opens the dialog of a command.
pub(super) fn begin(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let nothing = "select a line that this is about first";
    let made = match command {
        Command::Replay => scope(model).ok_or(nothing).map(replay),
        Command::ReplayAll => filtered(model).map(replay),
        Command::Cancel => scope(model).ok_or(nothing).map(cancel),
        Command::CancelAll => filtered(model).map(cancel),
        Command::PauseOrResume => pause_or_resume(model).ok_or(nothing),
        Command::Escalate => escalate(model),
        Command::RunNow => model.job_here().ok_or(nothing).map(|job| {
            let title = format!("Run reconciliation {} now", Visible::of(&job));
            (title, Action::Reconcile { job }, "")
        }),
        Command::AbortReplay => model.batch_here().ok_or(nothing).map(|batch| {
            let title = format!("Stop replay {}", batch.id.0);
            (title, Action::AbortReplay { batch: batch.id }, "")
        }),
        Command::GoLive => golive(model),
        Command::Release => held::scope(model)
            .ok_or(nothing)
            .map(|(scope, words)| (format!("Release {words}"), Action::Release { scope }, "")),
        Command::Discard => held::scope(model).ok_or(nothing).map(|(scope, words)| {
            let reason = String::new();
            let action = Action::DiscardHeld { scope, reason };
            (format!("Discard {words}"), action, "reason")
        }),
        Command::CancelRun
        | Command::Approve
        | Command::Decline
        | Command::UndoPlan
        | Command::Tolerate => recon::begin(model, command),
        Command::TakeIncident
        | Command::EscalateIncident
        | Command::NoteIncident
        | Command::Snooze
        | Command::Mitigate
        | Command::Resolve
        | Command::HandOver
        | Command::DoStep
        | Command::TickStep
        | Command::SkipStep => incidents::begin(model, command),
        Command::Probe => systems::probe(model),
        Command::EnableHook => enable_hook(model),
        Command::Adopt => adopt_here(model),
        Command::AdoptHost => Ok((
            "Adopt this database on this host".to_owned(),
            Action::AdoptHost,
            "",
        )),
        _ => Ok((
            "Reload the configuration file".to_owned(),
            Action::Reload,
            "",
        )),
    };
    match made {
        Ok((title, action, label)) => open(model, title, action, label, effects),
        Err(text) => toast(model, text, true, effects),
    }
}

fn replay((filter, words): (Filter, String)) -> (String, Action, &'static str) {
    let single = filter.ids.len() == 1;
    let action = Action::Replay {
        filter,
        canary: if single { 1 } else { DEFAULT_CANARY },
        pace: DEFAULT_PACE,
        skip_risky: !single,
        force: None,
    };
    (format!("Replay {words}"), action, "")
}

fn cancel((filter, words): (Filter, String)) -> (String, Action, &'static str) {
    let action = Action::Cancel {
        filter,
        reason: String::new(),
    };
    (format!("Cancel {words}"), action, "reason (optional)")
}

pub(super) fn pause_or_resume(model: &Model) -> Option<(String, Action, &'static str)> {
    let path = model.path_here()?;
    let row = model
        .overview
        .as_ref()?
        .paths
        .iter()
        .find(|row| row.name == path)?;
    let name = known(model, &path);
    Some(if row.pause.is_some() {
        (format!("Resume {name}"), Action::Resume { path }, "")
    } else {
        let action = Action::Pause {
            path,
            reason: String::new(),
        };
        (format!("Pause {name}"), action, "reason (optional)")
    })
}

fn escalate(model: &Model) -> Result<(String, Action, &'static str), &'static str> {
    let path = model
        .path_here()
        .ok_or("select a line that this is about first")?;
    let configured = model
        .config
        .path(&path)
        .ok_or("this path is no longer configured")?;
    if configured.escalation.is_none() {
        return Err("this path has no `escalation` channel in the configuration");
    }
    let delivery = match model.place {
        Place::Deliveries => model.deliveries.selection.id,
        Place::Delivery => model.detail.id,
        Place::Dead => model.group_here().map(|group| group.example),
        _ => None,
    };
    let title = match delivery {
        Some(id) => format!("Escalate {} about delivery {id}", known(model, &path)),
        None => format!("Escalate {}", known(model, &path)),
    };
    let action = Action::Escalate {
        path,
        delivery,
        note: String::new(),
    };
    Ok((title, action, "note (optional)"))
}

fn golive(model: &Model) -> Result<(String, Action, &'static str), &'static str> {
    let path = model
        .path_here()
        .ok_or("select a line that this is about first")?;
    if !in_shadow(model, &path) {
        return Err("this path is not in shadow mode: it sends already");
    }
    let title = format!("Let {} send", known(model, &path));
    Ok((title, Action::GoLive { path }, ""))
}

/// Whether a path records and sends nothing.
pub(super) fn in_shadow(model: &Model, path: &str) -> bool {
    let rows = model.overview.iter().flat_map(|overview| &overview.paths);
    rows.filter(|row| row.name == path).any(|row| row.shadow)
}

fn enable_hook(model: &Model) -> Result<(String, Action, &'static str), &'static str> {
    let system = model
        .system_here()
        .ok_or("select a line that this is about first")?;
    if system.webhooks.is_none() {
        return Err("this vendor cannot be asked about its webhooks (`webhooks` of the system)");
    }
    let system = system.name.clone();
    let title = format!("Enable the webhook of {}", Visible::of(&system));
    Ok((title, Action::EnableHook { system }, ""))
}

fn adopt_here(model: &Model) -> Result<(String, Action, &'static str), &'static str> {
    let system = model
        .system_here()
        .ok_or("select a line that this is about first")?;
    let mut kinds = system.records.keys();
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => Ok(adoption(kind.clone())),
        (None, _) => Err("this system has no record types in the configuration"),
        _ => Err("this system has several record types: say which, as in `:adopt order`"),
    }
}

fn adoption(kind: String) -> (String, Action, &'static str) {
    let title = "Adopt what is there already".to_owned();
    let action = Action::Adopt {
        kind,
        sides: Vec::new(),
        dry_run: true,
    };
    (title, action, "")
}

/// `:adopt KIND`
pub(super) fn adopt(model: &mut Model, kind: String, effects: &mut Vec<Effect>) {
    if model.read_only {
        let text = "read-only: nothing can be changed from here";
        toast(model, text, true, effects);
        return;
    }
    let (title, action, label) = adoption(kind);
    open(model, title, action, label, effects);
}

pub(super) fn open(
    model: &mut Model,
    title: String,
    action: Action,
    label: &'static str,
    effects: &mut Vec<Effect>,
) {
    let id = model.next_id();
    let dialog = Dialog {
        id,
        title,
        action,
        label,
        line: Line::default(),
        stage: Stage::Asking,
        preview: None,
        option: 0,
        top: 0,
        hasty: false,
    };
    // What is given up for ever is given a reason first.
    let writes = matches!(
        dialog.action,
        Action::DiscardHeld { .. } | Action::Tolerate { .. }
    );
    model.overlay = Some(Overlay::Dialog(Box::new(dialog)));
    if writes {
        write(model);
    } else {
        ask(model, effects);
    }
}

/// Asks the worker what the dialog's action would do.
fn ask(model: &mut Model, effects: &mut Vec<Effect>) {
    if let Some(Overlay::Dialog(dialog)) = &mut model.overlay {
        dialog.stage = Stage::Asking;
        dialog.hasty = false;
        effects.push(Effect::Preview {
            dialog: dialog.id,
            action: dialog.action.clone(),
        });
    }
}

/// Opens the line for a reason or a note.
pub(super) fn write(model: &mut Model) {
    if let Some(Overlay::Dialog(dialog)) = &mut model.overlay
        && !dialog.label.is_empty()
    {
        dialog.stage = Stage::Writing;
    }
}

/// Esc in the line: what was there before stays, and is shown again.
pub(super) fn unwritten(model: &mut Model, effects: &mut Vec<Effect>) {
    if let Some(Overlay::Dialog(dialog)) = &mut model.overlay {
        let before = match &dialog.action {
            Action::Cancel { reason, .. }
            | Action::Pause { reason, .. }
            | Action::DiscardHeld { reason, .. }
            | Action::DeclinePlan { reason, .. }
            | Action::Tolerate { reason, .. } => reason.clone(),
            Action::Escalate { note, .. } => note.clone(),
            _ => String::new(),
        };
        dialog.line = Line::new(before);
        ask(model, effects);
    }
}

/// Enter in the line of a dialog: the reason or note is taken, and what would happen is shown.
pub(super) fn written(model: &mut Model, effects: &mut Vec<Effect>) {
    if let Some(Overlay::Dialog(dialog)) = &mut model.overlay {
        let text = dialog.line.value().trim().to_owned();
        match &mut dialog.action {
            Action::Cancel { reason, .. }
            | Action::Pause { reason, .. }
            | Action::DiscardHeld { reason, .. }
            | Action::DeclinePlan { reason, .. }
            | Action::Tolerate { reason, .. } => *reason = text,
            Action::Escalate { note, .. } => *note = text,
            Action::Incident { act, .. } => match act {
                Act::Note { text: note } | Act::Step { note, .. } => *note = text,
                Act::HandOver { to, .. } => *to = text,
                _ => {}
            },
            _ => {}
        }
        ask(model, effects);
    }
}

/// The dialog's preview has come.
pub(super) fn previewed(
    model: &mut Model,
    id: u64,
    result: Result<Preview, String>,
    effects: &mut Vec<Effect>,
) {
    let Some(result) = systems::previewed(model, id, result) else {
        return;
    };
    let Some(Overlay::Dialog(dialog)) = &mut model.overlay else {
        return;
    };
    if dialog.id != id || dialog.stage != Stage::Asking {
        return;
    }
    match result {
        Ok(preview) => {
            dialog.preview = Some(preview);
            dialog.stage = Stage::Reading { armed: false };
            effects.push(Effect::Timer(Timer::Arm(id), READABLE));
        }
        Err(text) => dialog.stage = Stage::Refused(Visible::of(&text).into_string()),
    }
}

/// A dialog, or the question how to leave, has been readable for long enough.
pub(super) fn arm(model: &mut Model, timer: u64) {
    match &mut model.overlay {
        Some(Overlay::Dialog(dialog)) if dialog.id == timer => {
            if let Stage::Reading { armed } = &mut dialog.stage {
                *armed = true;
            }
        }
        Some(Overlay::Leave { id, armed, .. }) if *id == timer => *armed = true,
        _ => {}
    }
}

/// `y`.
pub(super) fn yes(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(Overlay::Dialog(dialog)) = &mut model.overlay else {
        return;
    };
    let (Stage::Reading { armed }, Some(preview)) = (&dialog.stage, &dialog.preview) else {
        return;
    };
    if !able::willing(dialog) {
        return;
    }
    if !armed {
        dialog.hasty = true;
        return;
    }
    effects.push(Effect::Submit {
        dialog: dialog.id,
        action: dialog.action.clone(),
        preview: preview.clone(),
    });
    dialog.stage = Stage::Acting;
}

/// The worker has answered.
pub(super) fn submitted(
    model: &mut Model,
    id: u64,
    result: Result<Done, String>,
    effects: &mut Vec<Effect>,
) {
    let Some(result) = systems::submitted(model, id, result, effects) else {
        return;
    };
    let open = match &mut model.overlay {
        Some(Overlay::Dialog(dialog)) if dialog.id == id => Some(dialog),
        _ => None,
    };
    match result {
        Ok(done) => {
            let mut probed = None;
            if let Some(dialog) = open {
                let action = dialog.action.clone();
                incidents::ticked(model, &action);
                let Some(Overlay::Dialog(dialog)) = &mut model.overlay else {
                    return;
                };
                if let Action::Probe { system } = &dialog.action {
                    probed = Some(system.clone());
                }
                if let Action::Reconcile { job } = &dialog.action {
                    let newest = model.runs.iter().find(|run| run.job == *job);
                    model.comparing = Some((job.clone(), newest.map(|run| run.id)));
                }
                model.overlay = None;
                model.deliveries.marked.clear();
            }
            if let Some(delivery) = done.delivery {
                model.followed = Some(Followed {
                    id: delivery,
                    state: None,
                });
                loads::now(model, Slot::Followed, effects);
            }
            if done.batch.is_some() {
                model.replaying = done.batch;
            }
            match probed {
                Some(system) => systems::report(model, &system, &done),
                None => toast(model, &done.text, false, effects),
            }
            loads::want_place(model, effects);
            loads::now(model, Slot::Overview, effects);
        }
        Err(text) => match open {
            Some(dialog) => dialog.stage = Stage::Refused(Visible::of(&text).into_string()),
            None => toast(model, &text, true, effects),
        },
    }
}

/// The options of a dialog: names and values.
pub fn options(dialog: &Dialog) -> Vec<(&'static str, String)> {
    match &dialog.action {
        Action::Replay {
            filter,
            canary,
            pace,
            skip_risky,
            ..
        } if filter.ids.len() != 1 => vec![
            ("canary", format!("{canary} first, alone")),
            ("pace", format!("{pace} a second")),
            (
                "risky ones",
                if *skip_risky {
                    "skip what is delivered, superseded or unknown".to_owned()
                } else {
                    "replay them too".to_owned()
                },
            ),
        ],
        Action::Replay { skip_risky, .. } => vec![(
            "if risky",
            if *skip_risky {
                "skip it".to_owned()
            } else {
                "replay it all the same".to_owned()
            },
        )],
        Action::Adopt { dry_run, .. } => vec![(
            "keeps",
            if *dry_run {
                "nothing: it only compares".to_owned()
            } else {
                "ids and agreed values of what matches".to_owned()
            },
        )],
        _ => Vec::new(),
    }
}

/// Less or more of the selected option.
pub(super) fn tune(dialog: &mut Dialog, more: bool) {
    if let Action::Adopt { dry_run, .. } = &mut dialog.action {
        *dry_run = !*dry_run;
        return;
    }
    let single = options(dialog).len() == 1;
    let option = dialog.option;
    if let Action::Replay {
        canary,
        pace,
        skip_risky,
        ..
    } = &mut dialog.action
    {
        match option {
            _ if single => *skip_risky = !*skip_risky,
            0 => *canary = next(CANARIES, *canary, more),
            1 => *pace = next(PACES, *pace, more),
            _ => *skip_risky = !*skip_risky,
        }
    }
}

fn next<T: Copy + PartialOrd>(steps: &[T], now: T, more: bool) -> T {
    let found = if more {
        steps.iter().find(|step| **step > now)
    } else {
        steps.iter().rev().find(|step| **step < now)
    };
    found.copied().unwrap_or(now)
}

/// `q` and Ctrl-Z.
pub(super) fn leave(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let suspend = command == Command::Suspend;
    if model.inside() {
        let id = model.next_id();
        model.overlay = Some(Overlay::Leave {
            id,
            armed: false,
            suspend,
        });
        effects.push(Effect::Timer(Timer::Arm(id), READABLE));
    } else if suspend {
        effects.push(Effect::Suspend);
    } else {
        effects.push(Effect::Leave(Exit::Quit));
    }
}

/// `o`.
pub(super) fn open_runbook(model: &mut Model, effects: &mut Vec<Effect>) {
    match moves::runbook_here(model) {
        Some((file, about)) => {
            if model.reading.file != file {
                model.reading = super::super::model::Reading {
                    file: file.clone(),
                    ..Default::default()
                };
            }
            model.reading.about = about;
            effects.push(Effect::ReadRunbook(file));
            go(model, Place::Runbook, effects);
        }
        None => toast(
            model,
            "no runbook is configured for this (`runbook = \"runbooks/...\"`)",
            true,
            effects,
        ),
    }
}
