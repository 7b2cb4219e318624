//! Reading plans and tolerated differences.

use super::{ReadError, Reader};
use crate::ids::PlanId;
use crate::store::plans;
use crate::store::view::{PlanRow, PlanWrite, ToleratedRow};

impl Reader {
    /// The newest plans, of one reconciliation job or of all.
    pub fn plans(&self, job: Option<&str>, limit: usize) -> Result<Vec<PlanRow>, ReadError> {
        let now = self.clock.now();
        self.snapshot(|connection| plans::newest(connection, job, limit, now))
    }

    /// One plan with its writes, in order.
    pub fn plan(&self, id: PlanId) -> Result<Option<(PlanRow, Vec<PlanWrite>)>, ReadError> {
        let now = self.clock.now();
        self.snapshot(|connection| plans::one(connection, id, now))
    }

    /// Approved plans of which something is left to do, the oldest first.
    pub fn plans_applying(&self) -> Result<Vec<PlanId>, ReadError> {
        self.snapshot(plans::applying)
    }

    /// The differences of a job that people tolerate, the newest first.
    pub fn tolerated(&self, job: &str) -> Result<Vec<ToleratedRow>, ReadError> {
        self.snapshot(|connection| plans::tolerated(connection, job))
    }
}
