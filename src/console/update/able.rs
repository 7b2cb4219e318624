//! What can be done just now: what the footer offers, and which keys a dialog has. Pure.

use super::super::keymap::{Command, Context};
use super::super::model::{Dialog, Model, Overlay, Place, Stage};
use super::super::views;
use super::{acts, held, moves, recon};
use crate::control::action::Action;
use crate::store::view::BatchState;

/// The dialog can be answered with yes, or will be once it has been readable.
pub fn willing(dialog: &Dialog) -> bool {
    let counts = matches!(
        dialog.action,
        Action::Replay { .. }
            | Action::Cancel { .. }
            | Action::Release { .. }
            | Action::DiscardHeld { .. }
    );
    let something = |count: u64| count > 0 || !counts;
    matches!(dialog.stage, Stage::Reading { .. })
        && dialog
            .preview
            .as_ref()
            .is_some_and(|preview| something(preview.count))
}

/// The keys that a dialog has where it stands, innermost first.
pub(super) fn dialog_contexts(dialog: &Dialog) -> Vec<Context> {
    if dialog.stage == Stage::Writing {
        return vec![Context::Note];
    }
    if !willing(dialog) {
        return vec![Context::Shut];
    }
    let mut contexts = Vec::new();
    if !dialog.label.is_empty() {
        contexts.push(Context::Noted);
    }
    if !acts::options(dialog).is_empty() {
        contexts.push(Context::Options);
    }
    contexts.push(Context::Confirm);
    contexts
}

/// Whether the command would do something here and now, as far as the console knows: what would only say why not is not
/// offered.
pub fn able(model: &Model, command: Command) -> bool {
    if command.mutates() && model.read_only {
        return false;
    }
    let armed = match &model.overlay {
        Some(Overlay::Dialog(dialog)) => willing(dialog),
        _ => true,
    };
    let detail = model.detail.data.as_ref();
    match command {
        Command::Yes => armed,
        Command::Open => moves::leads_somewhere(model),
        Command::Replay | Command::Cancel => acts::scope(model).is_some(),
        Command::ReplayAll | Command::CancelAll => {
            !model.deliveries.filter.is_empty() && !model.deliveries.rows.is_empty()
        }
        Command::PauseOrResume => acts::pause_or_resume(model).is_some(),
        // The same for all paths, so that the footer stays as it is from row to row.
        Command::Escalate => model.path_here().is_some(),
        Command::Runbook => model.path_here().is_some() || model.job_here().is_some(),
        Command::RunNow | Command::Runs => model.job_here().is_some(),
        Command::AbortReplay => model
            .batch_here()
            .is_some_and(|batch| matches!(batch.state, BatchState::Canary | BatchState::Running)),
        Command::GoLive => model
            .path_here()
            .is_some_and(|path| acts::in_shadow(model, &path)),
        Command::Release | Command::Discard => held::scope(model).is_some(),
        Command::EditHeld => held::is_editable(model),
        Command::TakeOurs | Command::TakeTheirs | Command::TakeAnother => {
            model.review.open_here().is_some()
        }
        Command::CancelRun => recon::under_way(model).is_some(),
        Command::OpenPlan => recon::plan_here(model).is_some(),
        Command::Approve | Command::Decline => model.recon.waiting().is_some(),
        Command::UndoPlan => model.recon.written().is_some(),
        Command::Tolerate => model.difference_here().is_some(),
        Command::DoStep | Command::TickStep | Command::SkipStep => model.step_here().is_some(),
        Command::TakeIncident
        | Command::EscalateIncident
        | Command::NoteIncident
        | Command::Snooze
        | Command::Mitigate
        | Command::Resolve
        | Command::HandOver => model
            .incident_here()
            .is_some_and(crate::incident::Incident::is_open),
        Command::Narrow => model.kindreds().len() > 1,
        Command::Story if model.place == Place::Review => model.review.pick.id.is_some(),
        Command::Story if model.place == Place::HeldEvent => {
            (model.held.one.data.iter()).any(|data| !data.about.is_empty())
        }
        Command::Story => model.delivery_id_here().is_some(),
        Command::Unmask => views::record::has_hash(model),
        Command::Probe => model.system_here().is_some(),
        Command::ReplaceSecret => model
            .system_here()
            .is_some_and(|system| !crate::control::places(system).is_empty()),
        Command::EnableHook => model
            .system_here()
            .is_some_and(|system| system.webhooks.is_some()),
        Command::Adopt => model
            .system_here()
            .is_some_and(|system| !system.records.is_empty()),
        Command::Report => model.batch_here().is_some(),
        Command::Mark => model.deliveries.selection.id.is_some(),
        Command::MarkNone => !model.deliveries.marked.is_empty(),
        Command::Fold | Command::FoldAll | Command::UnfoldAll
            if model.place == Place::HeldEvent =>
        {
            model.held.one.data.is_some()
        }
        Command::Fold | Command::FoldAll | Command::UnfoldAll => detail.is_some(),
        Command::Copy => match model.place {
            Place::Held | Place::HeldEvents | Place::HeldEvent => held::id_here(model).is_some(),
            _ => true,
        },
        Command::NextAttempt | Command::PreviousAttempt => {
            detail.is_some_and(|data| data.attempts.len() > 1)
        }
        Command::SearchNext | Command::SearchPrevious => !model.reading.needle.is_empty(),
        Command::Back => model.place != Place::Overview || !model.history.is_empty(),
        _ => true,
    }
}
