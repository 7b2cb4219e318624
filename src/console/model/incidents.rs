//! What the screens of incidents know: the list, and one with its runbook's steps.

use super::{Model, Selection};
use crate::ids::IncidentId;
use crate::incident::Incident;
use crate::runbook::{Runbook, Step};
use crate::store::IncidentDetail;
use crate::store::view::Severity;

/// Incidents, and the one that is looked at.
#[derive(Debug, Default)]
pub struct Incidents {
    /// The newest, those that are open first, the worst before the others.
    pub rows: Vec<Incident>,
    /// The selected one.
    pub pick: Selection<IncidentId>,
    /// The one that is looked at.
    pub open: Option<IncidentId>,
    /// It; none before it was read, or if it is gone.
    pub data: Option<Box<IncidentDetail>>,
    /// Its runbook, or why it cannot be read.
    pub runbook: Option<Result<Runbook, String>>,
    /// The runbook's steps.
    pub steps: Vec<Step>,
    /// The selected step.
    pub step: Selection<usize>,
    /// The newest critical one that was told with a bell.
    pub rung: IncidentId,
    /// A console that was opened during an incident was led to it.
    pub landed: bool,
}

impl Incidents {
    /// Puts them into the order of the screen.
    pub fn take(&mut self, mut rows: Vec<Incident>) {
        rows.sort_by_key(|one| {
            let severity = if one.is_open() {
                std::cmp::Reverse(Some(one.severity))
            } else {
                std::cmp::Reverse(None)
            };
            (!one.is_open(), severity, std::cmp::Reverse(one.id))
        });
        self.rows = rows;
    }

    /// The selected one of the list.
    pub fn here(&self) -> Option<&Incident> {
        self.rows.iter().find(|one| Some(one.id) == self.pick.id)
    }

    /// How a step of the runbook was ticked: done, by whom.
    pub fn ticked(&self, step: usize) -> Option<&crate::incident::StepRow> {
        let name = self.runbook.as_ref()?.as_ref().ok()?.name();
        let rows = self.data.iter().flat_map(|data| &data.steps);
        rows.into_iter()
            .find(|row| row.runbook == name && row.step == step as u64)
    }

    /// The first step that is not ticked.
    pub fn next_step(&self) -> Option<usize> {
        (0..self.steps.len()).find(|step| self.ticked(*step).is_none())
    }
}

impl Model {
    /// The incident that a command of this screen is about.
    pub fn incident_here(&self) -> Option<&Incident> {
        use super::Place;
        match self.place {
            Place::Incidents => self.incidents.here(),
            Place::Incident => self.incidents.data.as_ref().map(|data| &data.incident),
            _ => None,
        }
    }

    /// The selected step of its runbook, with its place.
    pub fn step_here(&self) -> Option<(usize, &Step)> {
        let at = self.incidents.step.id?;
        Some((at, self.incidents.steps.get(at)?))
    }

    /// The worst incident that is open and that nobody has.
    pub fn burning(&self) -> Option<&Incident> {
        let open = self
            .overview
            .iter()
            .flat_map(|overview| &overview.incidents);
        open.filter(|one| one.is_open() && !one.is_held(self.now))
            .filter(|one| one.severity == Severity::Critical || !one.is_snoozed(self.now))
            .max_by_key(|one| (one.severity, std::cmp::Reverse(one.id)))
    }
}
