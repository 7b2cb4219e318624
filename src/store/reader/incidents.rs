//! Reading incidents, silences and rotas.

use super::{ReadError, Reader};
use crate::duty::Stint;
use crate::ids::IncidentId;
use crate::incident::{Incident, IncidentLine, PageRow, Silence, StepRow};
use crate::store::incidents;
use crate::time::Timestamp;

/// Everything about one incident.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct IncidentDetail {
    /// The incident.
    pub incident: Incident,
    /// Its timeline, oldest first.
    pub lines: Vec<IncidentLine>,
    /// The steps of its runbooks that were done or passed over, oldest first.
    pub steps: Vec<StepRow>,
    /// Its pages, newest first.
    pub pages: Vec<PageRow>,
}

impl Reader {
    /// The incidents that are open, and those that ended after `since`, oldest first.
    pub fn incidents_since(&self, since: Timestamp) -> Result<Vec<Incident>, ReadError> {
        self.snapshot(|connection| incidents::current(connection, since))
    }

    /// The newest incidents, newest first.
    pub fn incidents(&self, limit: usize) -> Result<Vec<Incident>, ReadError> {
        self.snapshot(|connection| incidents::newest(connection, limit))
    }

    /// One incident with all that belongs to it.
    pub fn incident(&self, id: IncidentId) -> Result<Option<IncidentDetail>, ReadError> {
        self.snapshot(|connection| {
            let Some(incident) = incidents::one(connection, id)? else {
                return Ok(None);
            };
            Ok(Some(IncidentDetail {
                incident,
                lines: incidents::lines(connection, id)?,
                steps: incidents::steps(connection, id)?,
                pages: incidents::pages(connection, id)?,
            }))
        })
    }

    /// The pages of an incident, newest first.
    pub fn pages_of(&self, id: IncidentId) -> Result<Vec<PageRow>, ReadError> {
        self.snapshot(|connection| incidents::pages(connection, id))
    }

    /// Silences that are not over.
    pub fn silences(&self) -> Result<Vec<Silence>, ReadError> {
        let now = self.clock.now();
        self.snapshot(|connection| incidents::silences(connection, now))
    }

    /// Who took a rota over, now or later.
    pub fn stints(&self) -> Result<Vec<Stint>, ReadError> {
        let now = self.clock.now();
        self.snapshot(|connection| incidents::stints(connection, now))
    }
}
