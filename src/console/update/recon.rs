//! What a person does about a reconciliation: narrows its differences, looks at its plan, decides about it, accepts a
//! difference. Each that changes something is asked first, as any action.

use super::super::keymap::Command;
use super::super::model::{Model, Place, Selection, Slot};
use super::{Effect, go};
use crate::control::Hidden;
use crate::control::action::Action;
use crate::ids::RunId;
use crate::store::plan_digest;
use crate::store::view::RunRow;
use crate::visible::Visible;

/// The run of the selected job that is under way.
pub(super) fn under_way(model: &Model) -> Option<&RunRow> {
    let job = model.job_here()?;
    let newest = model.runs.iter().find(|run| run.job == job)?;
    newest.ended.is_none().then_some(newest)
}

/// The dialog of a command.
pub(super) fn begin(
    model: &Model,
    command: Command,
) -> Result<(String, Action, &'static str), &'static str> {
    match command {
        Command::CancelRun => {
            let run = under_way(model).ok_or("no run of this job is under way")?;
            let job = run.job.clone();
            let title = format!("Cancel the run of {}", Visible::of(&job));
            Ok((title, Action::CancelRun { job }, ""))
        }
        Command::Approve => {
            let waiting = model.recon.waiting();
            let (plan, writes) = waiting.ok_or("this plan does not wait for anybody")?;
            let title = format!("Carry out plan {}", plan.id);
            let digest = plan_digest(plan, writes);
            Ok((
                title,
                Action::ApprovePlan {
                    plan: plan.id,
                    digest,
                },
                "",
            ))
        }
        Command::Decline => {
            let waiting = model.recon.waiting();
            let (plan, _) = waiting.ok_or("this plan does not wait for anybody")?;
            let title = format!("Turn plan {} down", plan.id);
            let reason = String::new();
            let action = Action::DeclinePlan {
                plan: plan.id,
                reason,
            };
            Ok((title, action, "reason (optional)"))
        }
        Command::UndoPlan => {
            let plan = model
                .recon
                .written()
                .ok_or("nothing of this plan was written")?;
            let title = format!("Take back what plan {} wrote", plan.id);
            Ok((title, Action::UndoPlan { plan: plan.id }, ""))
        }
        _ => {
            let row = model.difference_here().ok_or("select a difference first")?;
            let job = model.job_here().ok_or("select a difference first")?;
            let title = format!(
                "Accept the differences of this record in {}",
                Visible::of(&job)
            );
            let action = Action::Tolerate {
                job,
                key: Hidden::from(row.key.clone()),
                reason: String::new(),
            };
            Ok((title, action, "reason"))
        }
    }
}

/// Goes to the differences of a run.
pub(super) fn show_run(model: &mut Model, run: RunId, effects: &mut Vec<Effect>) {
    if model.run != Some(run) {
        model.run = Some(run);
        model.differences.clear();
        model.difference = Selection::default();
        model.recon.only = None;
        model.recon.needle.clear();
        model.known.remove(&Slot::Differences);
    }
    go(model, Place::Differences, effects);
}

/// Goes to the runs of the job; the one that is looked at is selected among them.
pub(super) fn open_runs(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(job) = model.job_here() else {
        return;
    };
    if model.recon.job.as_ref() != Some(&job) {
        model.recon.past = Selection::default();
        model.recon.job = Some(job);
    }
    if model.place == Place::Differences {
        model.recon.past.id = model.run;
    }
    go(model, Place::Runs, effects);
}

/// Goes to the newest plan of the job, or of the run that is shown.
pub(super) fn open_plan(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(plan) = plan_here(model) else {
        let text = "nothing was planned: the job only reports, or nothing can be mended";
        super::toast(model, text, false, effects);
        return;
    };
    if model.recon.plan != Some(plan) {
        model.recon.plan = Some(plan);
        model.recon.data = None;
        model.recon.write = Selection::default();
        model.known.remove(&Slot::Plan);
    }
    go(model, Place::Plan, effects);
}

/// The plan that is meant here.
pub(super) fn plan_here(model: &Model) -> Option<crate::ids::PlanId> {
    match model.place {
        Place::Differences => {
            let run = model.runs.iter().find(|run| Some(run.id) == model.run)?;
            run.plan
        }
        Place::Runs => {
            let past = model.past_runs();
            let run = past
                .into_iter()
                .find(|run| Some(run.id) == model.recon.past.id)?;
            run.plan
        }
        _ => Some(model.recon.plan_of(&model.job_here()?)?.id),
    }
}

/// Shows the differences of the next kind and field only; after the last all of them.
pub(super) fn narrow(model: &mut Model) {
    let all = model.kindreds();
    let next = match &model.recon.only {
        None => 0,
        Some(only) => {
            let at = all.iter().position(|(of, _)| of == only);
            at.map_or(all.len(), |at| at + 1)
        }
    };
    model.recon.only = all.into_iter().nth(next).map(|(of, _)| of);
    model.difference = Selection::default();
}
