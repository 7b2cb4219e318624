//! Probing a system: what `remote` finds, as the answer of an action. Called by the action layer.

use super::super::action::{Actor, Done, Refused};
use super::{Actions, audit, done, refused};
use crate::event::expr::Engine;
use crate::remote::Remote;
use crate::remote::probe::Verdict;
use crate::store::LogEntry;
use crate::visible::Visible;

impl Actions {
    /// Asks a system whether it can be worked with. What is bad is no failure of the action: it is what was asked for.
    pub(super) async fn probe(
        &self,
        system: &str,
        actor: &Actor,
    ) -> Result<(Done, Option<LogEntry>), Refused> {
        let live = self.inner.live.clone();
        let remote = Remote::new(live, self.outbound().clone(), Engine::new());
        let report = (remote.probe(system).await).map_err(|error| refused(error.to_string()))?;
        let bad: Vec<&str> = (report.items.iter())
            .filter(|item| item.verdict >= Verdict::Warn)
            .map(|item| item.what)
            .collect();
        let found = if bad.is_empty() {
            "nothing is wrong".to_owned()
        } else {
            format!("look at: {}", bad.join(", "))
        };
        let log = audit(
            actor,
            "probe",
            None,
            None,
            format!("{system} probed: {found}"),
        );
        let mut done = done(Visible::lines_of(&report.text()).into_string());
        done.report = serde_json::to_value(&report).ok();
        Ok((done, Some(log)))
    }
}
