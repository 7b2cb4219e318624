//! The part of the store's face that keeps plans and tolerated differences.

use std::sync::atomic::Ordering;

use super::Store;
use crate::ids::{DeliveryId, EventId, PlanId};
use crate::store::accept::Prepared;
use crate::store::plans::{self, Verdict};
use crate::store::types::{Incoming, LogEntry, StoreError};
use crate::store::view::{DifferenceRow, PlanRow, PlanWrite};

impl Store {
    /// Keeps what a run would write (`plan.id` and `at` are given by the store, writes are numbered in their order), makes it
    /// the run's plan, and replaces a proposed plan of the same job. A plan that the job itself approves is kept with the
    /// state `Applying` and its `decided`; one that the rails stopped, with `Stopped`. `log` is written in the same commit.
    ///
    /// # Errors
    /// As any write.
    pub async fn keep_plan(
        &self,
        plan: PlanRow,
        writes: Vec<PlanWrite>,
        log: Option<LogEntry>,
    ) -> Result<PlanId, StoreError> {
        self.call(move |work| plans::keep(work, &plan, &writes, log.as_ref()))
            .await
    }

    /// A newer run of this job found nothing to write: what was proposed before is replaced by that.
    pub async fn replace_plan(&self, job: String) -> Result<(), StoreError> {
        self.call(move |work| Ok(plans::replace(work, &job)?)).await
    }

    /// Approves a proposed plan, if it is what `digest` ([`crate::store::plan_digest`]) stands for.
    ///
    /// # Errors
    /// `Invalid` where there is no such plan, it does not wait any more, or is not what was looked at.
    pub async fn approve_plan(
        &self,
        plan: PlanId,
        digest: String,
        log: LogEntry,
    ) -> Result<(), StoreError> {
        let verdict = Verdict::Approved(digest);
        self.call(move |work| plans::decide(work, plan, &verdict, &log))
            .await
    }

    /// Turns a proposed plan down.
    ///
    /// # Errors
    /// `Invalid` where there is no such plan, or it does not wait any more.
    pub async fn decline_plan(
        &self,
        plan: PlanId,
        reason: String,
        log: LogEntry,
    ) -> Result<(), StoreError> {
        let verdict = Verdict::Declined(reason);
        self.call(move |work| plans::decide(work, plan, &verdict, &log))
            .await
    }

    /// Proposed plans whose time went by are expired. Returns how many were.
    pub async fn expire_plans(&self) -> Result<u64, StoreError> {
        self.call(plans::expire).await
    }

    /// Refuses writes of a plan that are not right any more: (number, why).
    pub async fn refuse_writes(
        &self,
        plan: PlanId,
        refused: Vec<(u64, String)>,
    ) -> Result<(), StoreError> {
        self.call(move |work| plans::refuse(work, plan, &refused))
            .await
    }

    /// Takes the event in that carries these writes of a plan and keeps them as sent, in one commit. None: they were sent
    /// before, or the plan is not under way any more.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn send_writes(
        &self,
        plan: PlanId,
        writes: Vec<u64>,
        carrier: Incoming,
    ) -> Result<Option<EventId>, StoreError> {
        let prepared =
            Prepared::new(carrier, &[]).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let dedupe = self.inner.dedupe_millis.load(Ordering::Relaxed);
        let run = move |work: &mut crate::store::work::Work<'_>| {
            plans::send(work, plan, &writes, &prepared, dedupe)
        };
        self.submit(run, true, false).await
    }

    /// Ends an approved plan of which every write was handed over or refused, with the line that says so. False while one is
    /// left.
    pub async fn end_plan(&self, plan: PlanId, log: LogEntry) -> Result<bool, StoreError> {
        self.call(move |work| plans::end(work, plan, &log)).await
    }

    /// Ends dead deliveries as superseded that are proven to be needless: (delivery, proof in words). Returns how many ended.
    pub async fn supersede(
        &self,
        proven: Vec<(DeliveryId, String)>,
        log: LogEntry,
    ) -> Result<u64, StoreError> {
        self.call(move |work| crate::store::act::supersede(work, &proven, &log))
            .await
    }

    /// Keeps that a person accepts these differences of a job.
    pub async fn tolerate(
        &self,
        job: String,
        rows: Vec<DifferenceRow>,
        reason: String,
        log: LogEntry,
    ) -> Result<(), StoreError> {
        self.call(move |work| plans::tolerate(work, &job, &rows, &reason, &log))
            .await
    }

    /// The differences of this record count again. Returns how many were tolerated.
    pub async fn untolerate(
        &self,
        job: String,
        key: String,
        log: LogEntry,
    ) -> Result<u64, StoreError> {
        self.call(move |work| plans::untolerate(work, &job, &key, &log))
            .await
    }
}
