//! The part of the store's face that keeps incidents, silences and rotas.

use std::sync::atomic::Ordering;

use super::Store;
use crate::duty::Stint;
use crate::ids::IncidentId;
use crate::incident::{Due, Incident, IncidentLine, Silence, StepRow};
use crate::store::accept::Prepared;
use crate::store::incidents::{self, Kept};
use crate::store::types::{Incoming, LogEntry, StoreError};

impl Store {
    /// Keeps what became of an incident, with lines of its timeline, steps of its runbook, and pages, each of whose events is
    /// taken in by the same commit. A number of 0 makes a new one. None: somebody changed it since `incident.revision`.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn keep_incident(
        &self,
        incident: Incident,
        lines: Vec<IncidentLine>,
        steps: Vec<StepRow>,
        pages: Vec<(Due, Incoming)>,
        log: Option<LogEntry>,
    ) -> Result<Option<IncidentId>, StoreError> {
        let pages = (pages.into_iter())
            .map(|(due, carrier)| Ok((due, Prepared::new(carrier, &[])?)))
            .collect::<Result<Vec<_>, serde_json::Error>>()
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        let kept = Kept {
            incident,
            lines,
            steps,
            pages,
        };
        let dedupe = self.inner.dedupe_millis.load(Ordering::Relaxed);
        self.call(move |work| incidents::keep(work, &kept, dedupe, log.as_ref()))
            .await
    }

    /// Keeps that nobody wants to be told of something for a while. Returns its number.
    pub async fn silence(&self, silence: Silence, log: LogEntry) -> Result<i64, StoreError> {
        self.call(move |work| incidents::silence(work, &silence, &log))
            .await
    }

    /// Ends a silence. False where there is none of that number, or it is over.
    pub async fn end_silence(&self, id: i64, log: LogEntry) -> Result<bool, StoreError> {
        self.call(move |work| incidents::end_silence(work, id, &log))
            .await
    }

    /// Keeps that somebody takes a rota over.
    pub async fn take_rota(&self, stint: Stint, log: LogEntry) -> Result<(), StoreError> {
        self.call(move |work| incidents::take(work, &stint, &log))
            .await
    }
}
