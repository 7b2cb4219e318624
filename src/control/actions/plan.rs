//! What a person decides about the plans of a reconciliation: that one is carried out, turned down or taken back, and which
//! differences are accepted. Must never judge a write: `reconcile::apply` does, before each one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::action::{Actor, Done, Preview, Refused};
use super::preview::plain;
use super::{Actions, Order, audit, because, done, held, refused};
use crate::ids::PlanId;
use crate::store::plan_digest;
use crate::store::view::{
    DifferenceRow, PlanRow, PlanState, PlanWrite, RunRow, WriteState, WriteVerb,
};
use crate::time::short;
use crate::visible::line;

/// How long what takes a plan back may take.
const UNDO: Duration = Duration::from_hours(24);
/// Differences of a run that are looked through: all that are kept.
const DIFFERENCES: usize = 10_000;

impl Actions {
    /// What approving a plan would do.
    pub(super) async fn preview_approve(
        &self,
        id: PlanId,
        digest: &str,
    ) -> Result<Preview, Refused> {
        let (plan, writes) = self.waiting(id).await?;
        if plan_digest(&plan, &writes) != digest {
            return Err(refused(format!(
                "plan {id} is not what was looked at: look at it again"
            )));
        }
        let mut preview = plain(format!("carry out plan {id} of {}", plan.job));
        preview.count = writes.len() as u64;
        preview.notes = by_system(&writes);
        preview.notes.push(
            "each is judged again first; nothing else is written, and what changed since is refused"
                .to_owned(),
        );
        preview
            .notes
            .extend(plan.note.map(|note| line(&note, 200).to_string()));
        if let Some(host) = self.overview().await?.foreign_host {
            preview.notes.push(held(&host));
        }
        Ok(preview)
    }

    /// Approves a plan and has it carried out.
    pub(super) async fn approve_plan(
        &self,
        id: PlanId,
        digest: String,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let (plan, writes) = self.waiting(id).await?;
        let text = format!(
            "plan {id} of {} approved: {}",
            plan.job,
            count(writes.len())
        );
        let log = audit(actor, "plan", None, None, text.clone());
        self.inner.store.approve_plan(id, digest, log).await?;
        self.order(Order::Approved).await;
        Ok(done(self.later(text).await))
    }

    pub(super) async fn preview_decline(&self, id: PlanId) -> Result<Preview, Refused> {
        let (plan, writes) = self.waiting(id).await?;
        let mut preview = plain(format!("turn plan {id} of {} down", plan.job));
        preview.count = writes.len() as u64;
        preview.notes = vec!["nothing is written; the next run may propose it again".to_owned()];
        Ok(preview)
    }

    /// Turns a plan down.
    pub(super) async fn decline_plan(
        &self,
        id: PlanId,
        reason: String,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let (plan, _) = self.waiting(id).await?;
        let text = format!("plan {id} of {} declined{}", plan.job, because(&reason));
        let log = audit(actor, "plan", None, None, text.clone());
        self.inner.store.decline_plan(id, reason, log).await?;
        Ok(done(text))
    }

    /// What taking a plan back would do.
    pub(super) async fn preview_undo(&self, id: PlanId) -> Result<Preview, Refused> {
        let (plan, writes) = self.undoing(id).await?;
        let (back, left): (Vec<_>, Vec<_>) =
            (writes.into_iter()).partition(|write| write.state == WriteState::Planned);
        let mut preview = plain(format!("take back what plan {id} of {} wrote", plan.job));
        preview.count = back.len() as u64;
        preview.notes = by_system(&back);
        preview
            .notes
            .push("what is not as the plan left it stays as it is".to_owned());
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for write in &left {
            *reasons
                .entry(write.reason.as_deref().unwrap_or_default())
                .or_default() += 1;
        }
        let reasons = reasons.into_iter();
        preview
            .notes
            .extend(reasons.map(|(why, n)| format!("{n} cannot be taken back: {why}")));
        Ok(preview)
    }

    /// Takes back what a plan wrote.
    pub(super) async fn undo_plan(&self, id: PlanId, actor: &Actor) -> Result<Done, Refused> {
        let (plan, writes) = self.undoing(id).await?;
        let back = writes
            .iter()
            .filter(|write| write.state == WriteState::Planned);
        let text = format!(
            "plan {id} of {} taken back: {}",
            plan.job,
            count(back.count())
        );
        let now = self.now();
        let undo = PlanRow {
            run: plan.run,
            job: plan.job,
            expires: now + UNDO,
            state: PlanState::Applying,
            undoes: Some(id),
            decided: Some((now, actor.to_string())),
            ..PlanRow::default()
        };
        let log = audit(actor, "plan", None, None, text.clone());
        self.inner.store.keep_plan(undo, writes, Some(log)).await?;
        self.order(Order::Approved).await;
        Ok(done(self.later(text).await))
    }

    /// What accepting a record's differences would do.
    pub(super) async fn preview_tolerate(&self, job: &str, key: &str) -> Result<Preview, Refused> {
        let (run, rows) = self.differing(job, key).await?;
        let mut preview = plain(format!("accept the differences of one record in {job}"));
        preview.count = rows.len() as u64;
        preview.notes = vec![
            format!(
                "as run {} found them, {} ago",
                run.id,
                short(self.now().since(run.started))
            ),
            "they do not count until one of the values changes".to_owned(),
        ];
        Ok(preview)
    }

    /// Keeps that a person accepts the differences of a record.
    pub(super) async fn tolerate(
        &self,
        job: String,
        key: &str,
        reason: String,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let (run, rows) = self.differing(&job, key).await?;
        let text = format!(
            "{job}: {} of one record accepted, as run {} found them{}",
            differences(rows.len()),
            run.id,
            because(&reason)
        );
        let log = audit(actor, "reconcile", None, None, text.clone());
        self.inner.store.tolerate(job, rows, reason, log).await?;
        Ok(done(text))
    }

    /// Lets them count again.
    pub(super) async fn untolerate(
        &self,
        job: String,
        key: &str,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let (of, name) = (job.clone(), key.to_owned());
        let accepted = self.read(move |reader| reader.tolerated(&of)).await?;
        if !accepted.iter().any(|row| row.key == name) {
            return Err(refused(format!(
                "{job}: no difference of that record is accepted"
            )));
        }
        let text = format!("{job}: the differences of one record count again");
        let log = audit(actor, "reconcile", None, None, text.clone());
        self.inner.store.untolerate(job, name, log).await?;
        Ok(done(text))
    }

    async fn plan_of(&self, id: PlanId) -> Result<(PlanRow, Vec<PlanWrite>), Refused> {
        let found = self.read(move |reader| reader.plan(id)).await?;
        found.ok_or_else(|| refused(format!("there is no plan {id}")))
    }

    /// A plan that waits for a person.
    async fn waiting(&self, id: PlanId) -> Result<(PlanRow, Vec<PlanWrite>), Refused> {
        let (plan, writes) = self.plan_of(id).await?;
        if plan.state != PlanState::Proposed {
            return Err(refused(format!(
                "plan {id} cannot be decided about any more: it is {}",
                plan.state.word()
            )));
        }
        Ok((plan, writes))
    }

    /// The writes that would take a plan back.
    async fn undoing(&self, id: PlanId) -> Result<(PlanRow, Vec<PlanWrite>), Refused> {
        let (plan, writes) = self.plan_of(id).await?;
        if plan.undoes.is_some() {
            return Err(refused(format!(
                "plan {id} took another one back: run {} again instead",
                plan.job
            )));
        }
        let of = plan.job.clone();
        let others = self
            .read(move |reader| reader.plans(Some(&of), 200))
            .await?;
        if let Some(other) = others.iter().find(|other| other.undoes == Some(id)) {
            return Err(refused(format!(
                "plan {id} was taken back already by plan {}",
                other.id
            )));
        }
        let made = |write: &&PlanWrite| write.state == WriteState::Delivered;
        let back: Vec<PlanWrite> = writes
            .iter()
            .filter(made)
            .map(|write| back(write, id))
            .collect();
        if !back.iter().any(|write| write.state == WriteState::Planned) {
            return Err(refused(format!(
                "nothing of plan {id} can be taken back: {}",
                match back.first() {
                    Some(write) => write.reason.clone().unwrap_or_default(),
                    None => "none of its writes was delivered".to_owned(),
                }
            )));
        }
        Ok((plan, back))
    }

    /// The differences of a record that the last run of a job found.
    async fn differing(
        &self,
        job: &str,
        key: &str,
    ) -> Result<(RunRow, Vec<DifferenceRow>), Refused> {
        let (of, name) = (job.to_owned(), key.to_owned());
        let found = self
            .read(move |reader| {
                let runs = reader.runs(Some(&of), 20)?;
                let Some(run) = runs.into_iter().find(|run| run.ended.is_some()) else {
                    return Ok(None);
                };
                let mut rows = reader.differences(run.id, DIFFERENCES)?;
                rows.retain(|row| row.key == name);
                Ok(Some((run, rows)))
            })
            .await?;
        match found {
            Some((run, rows)) if !rows.is_empty() => Ok((run, rows)),
            _ => Err(refused(format!(
                "the last run of {job} found no difference of that record"
            ))),
        }
    }
}

/// The write that takes another one back.
fn back(write: &PlanWrite, plan: PlanId) -> PlanWrite {
    let why = match (write.verb, &write.from) {
        (WriteVerb::Create, _) => Some("what was made is removed by hand, there"),
        (WriteVerb::Delete, _) => Some("what was removed is made again by hand, there"),
        (WriteVerb::Update, None) => Some("there was no value before"),
        (WriteVerb::Update, Some(_)) => None,
    };
    PlanWrite {
        from: write.to.clone(),
        to: write.from.clone(),
        rule: format!("takes write {} of plan {plan} back", write.n),
        state: if why.is_some() {
            WriteState::Refused
        } else {
            WriteState::Planned
        },
        reason: why.map(str::to_owned),
        event: None,
        ..write.clone()
    }
}

fn count(writes: usize) -> String {
    match writes {
        1 => "1 write".to_owned(),
        writes => format!("{writes} writes"),
    }
}

fn differences(rows: usize) -> String {
    match rows {
        1 => "1 difference".to_owned(),
        rows => format!("{rows} differences"),
    }
}

/// What is written where: names from the configuration only.
fn by_system(writes: &[PlanWrite]) -> Vec<String> {
    let mut counts: BTreeMap<(&str, WriteVerb, &str, &str), usize> = BTreeMap::new();
    for write in writes {
        let field = write.field.as_deref().unwrap_or_default();
        let place = (
            write.system.as_str(),
            write.verb,
            write.kind.as_str(),
            field,
        );
        *counts.entry(place).or_default() += 1;
    }
    let words = |((system, verb, kind, field), n): ((&str, WriteVerb, &str, &str), usize)| {
        let of = if field.is_empty() {
            kind.to_owned()
        } else {
            format!("{field} of {kind}")
        };
        format!("{system}: {} {n} × {of}", verb.word())
    };
    counts.into_iter().map(words).collect()
}
