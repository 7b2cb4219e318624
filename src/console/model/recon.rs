//! What the screens of a reconciliation know beside its runs: a run's differences and how they are narrowed, how far a run
//! under way is, and a plan.

use super::{Model, Selection};
use crate::ids::{PlanId, RunId};
use crate::store::view::{
    DifferenceKind, DifferenceRow, PlanRow, PlanState, PlanWrite, RunRow, SideRow,
};

/// Differences of one kind, and of one field where one differs.
pub type Kindred = (DifferenceKind, Option<String>);

/// The differences of a run, and its plan.
#[derive(Debug, Default)]
pub struct Recon {
    /// How far the runs under way are.
    pub sides: Vec<SideRow>,
    /// The newest plans, newest first.
    pub plans: Vec<PlanRow>,
    /// The job whose runs are listed.
    pub job: Option<String>,
    /// The selected one of them.
    pub past: Selection<RunId>,
    /// Only these differences are shown.
    pub only: Option<Kindred>,
    /// And of them only those that hold this text; lower case.
    pub needle: String,
    /// The plan shown.
    pub plan: Option<PlanId>,
    /// It, with its writes; none before it was read, or if it is gone.
    pub data: Option<Box<(PlanRow, Vec<PlanWrite>)>>,
    /// The selected write, by its number.
    pub write: Selection<u64>,
}

impl Recon {
    /// The newest plan of a job, but for those that take others back.
    pub fn plan_of(&self, job: &str) -> Option<&PlanRow> {
        let of = |plan: &&PlanRow| plan.job == job && plan.undoes.is_none();
        self.plans.iter().find(of)
    }

    /// The plan shown, where it waits for somebody.
    pub fn waiting(&self) -> Option<&(PlanRow, Vec<PlanWrite>)> {
        let data = self.data.as_deref()?;
        (data.0.state == PlanState::Proposed).then_some(data)
    }

    /// The plan shown, where something of it was written.
    pub fn written(&self) -> Option<&PlanRow> {
        let plan = &self.data.as_deref()?.0;
        (plan.writes[2] > 0 && plan.undoes.is_none() && plan.undone.is_none()).then_some(plan)
    }

    /// The writes' numbers.
    pub fn ids(&self) -> Vec<u64> {
        let writes = self.data.iter().flat_map(|data| &data.1);
        writes.map(|write| write.n).collect()
    }
}

/// What a difference has in common with others.
pub fn kindred(row: &DifferenceRow) -> Kindred {
    (row.kind, row.field.clone())
}

/// The text stands somewhere in the difference as it is told: key, ids, kind, field, grade, note, values that are no hashes.
fn holds(row: &DifferenceRow, needle: &str) -> bool {
    let plain = |text: &&String| !text.starts_with('#');
    let values = [&row.first, &row.second, &row.base];
    let values = values.into_iter().flatten().filter(plain);
    let ids = row.ids.iter().flatten();
    let mut texts = values
        .chain(ids)
        .chain(&row.field)
        .chain(&row.note)
        .chain([&row.key])
        .map(String::as_str)
        .chain([row.kind.word(), row.grade.word()]);
    needle.is_empty() || texts.any(|text| text.to_lowercase().contains(needle))
}

impl Model {
    /// The runs of the job whose runs are listed, newest first.
    pub fn past_runs(&self) -> Vec<&RunRow> {
        let job = self.recon.job.as_deref();
        let runs = self.runs.iter();
        runs.filter(|run| Some(run.job.as_str()) == job).collect()
    }

    /// The places of the differences that are shown.
    pub fn shown_differences(&self) -> Vec<usize> {
        let only = self.recon.only.as_ref();
        let shown = self.differences.iter().enumerate();
        shown
            .filter(|(_, row)| only.is_none_or(|only| kindred(row) == *only))
            .filter(|(_, row)| holds(row, &self.recon.needle))
            .map(|(place, _)| place)
            .collect()
    }

    /// The selected difference.
    pub fn difference_here(&self) -> Option<&DifferenceRow> {
        self.differences.get(self.difference.id?)
    }

    /// What the differences have in common, each with how many there are, the most first.
    pub fn kindreds(&self) -> Vec<(Kindred, usize)> {
        let mut counts: Vec<(Kindred, usize)> = Vec::new();
        for row in &self.differences {
            let of = kindred(row);
            match counts.iter_mut().find(|(known, _)| *known == of) {
                Some((_, count)) => *count += 1,
                None => counts.push((of, 1)),
            }
        }
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}
