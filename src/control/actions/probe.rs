//! Probing a system through the running worker, within the budget that its deliveries share.

use super::super::action::{Actor, Done, Refused};
use super::super::probe::facts;
use super::{Actions, audit, done, refused};
use crate::event::expr::Engine;
use crate::remote::{Remote, probe};
use crate::store::LogEntry;

impl Actions {
    /// Asks a system whether it can be worked with. Nothing is written there; that it was asked is in the log.
    pub(super) async fn probe(
        &self,
        name: &str,
        actor: &Actor,
    ) -> Result<(Done, Option<LogEntry>), Refused> {
        let system = self.system(name)?;
        let facts = self.read(move |reader| facts(reader, &system)).await?;
        let live = self.inner.live.clone();
        let remote = Remote::new(live, self.outbound().clone(), Engine::new());
        let asked = probe::probe(&remote, name, &facts);
        let Some(report) = self.inner.stop.run_until_cancelled(asked).await else {
            return Err(refused("the worker is stopping"));
        };
        let report = report.map_err(|error| refused(error.to_string()))?;
        let text = format!("{name} was probed: {}", report.level.word());
        let mut done = done(report.text());
        done.report = serde_json::to_value(&report).ok();
        Ok((done, Some(audit(actor, "probe", None, None, text))))
    }
}
