//! From shadow to live: a path begins to send what comes from now on.
//!
//! What was shadowed stays unsent: it is replayed by the command that the preview names, or never. Called by the action
//! layer.

use std::time::Duration;

use super::super::action::{Actor, Done, Preview, Refused};
use super::preview::plain;
use super::{Actions, Order, audit, done, refused};
use crate::config::model::Mode;
use crate::queue::filter::Filter;
use crate::queue::model::State;
use crate::store::LogEntry;
use crate::time::short;

/// How far back a preview counts what was shadowed.
const LATELY: Duration = Duration::from_hours(24);

impl Actions {
    /// What a path that goes live will start to send.
    pub(super) async fn preview_golive(&self, path: &str) -> Result<Preview, Refused> {
        let overview = self.overview().await?;
        let to = self.receiver_of_shadow(path)?;
        let row = overview.paths.iter().find(|row| row.name == path);
        if let Some(since) = row.and_then(|row| row.live_at) {
            return Err(refused(format!(
                "{path} has been live for {}",
                short(overview.at.since(since))
            )));
        }
        let shadowed = Filter {
            paths: vec![path.to_owned()],
            states: vec![State::Shadowed],
            ..Filter::default()
        };
        let lately = Filter {
            newer_than: Some(LATELY),
            ..shadowed.clone()
        };
        let lately = self
            .read(move |reader| reader.preview(&lately, false))
            .await?
            .count;
        let all = row.map_or(0, |row| row.counts.shadowed);
        let waiting = row.map_or(0, |row| row.counts.backlog());
        let mut preview = plain(format!(
            "{path} begins to send to {to}, with the next of its events"
        ));
        preview.count = waiting;
        preview.oldest = row.and_then(|row| row.oldest_open);
        preview.notes = vec![
            format!("{lately} were shadowed in the last 24 h: expect about as many a day"),
            format!("{waiting} wait on it and are sent at once"),
        ];
        if all > 0 {
            preview.notes.push(format!(
                "{all} shadowed ones stay unsent; to send them too, afterwards: midwatch replay --filter '{shadowed}'"
            ));
        }
        Ok(preview)
    }

    /// Lets the path send. A second time says that it is live, and changes nothing.
    pub(super) async fn go_live(
        &self,
        path: &str,
        actor: &Actor,
    ) -> Result<(Done, Option<LogEntry>), Refused> {
        let to = self.receiver_of_shadow(path)?;
        let number = self.number(path)?;
        let overview = self.overview().await?;
        let row = overview.paths.iter().find(|row| row.name == path);
        if row.is_some_and(|row| row.live_at.is_some()) {
            return Ok((done(format!("{path} was live already")), None));
        }
        let log = audit(
            actor,
            "golive",
            Some(number),
            None,
            format!("{path} is live: it sends to {to}"),
        );
        self.inner.store.golive(number, log).await?;
        self.order(Order::PathChanged(number)).await;
        Ok((done(self.later(format!("{path} is live")).await), None))
    }

    /// The system that a path in shadow mode leads to; refused where the configuration says that it is live anyway.
    fn receiver_of_shadow(&self, path: &str) -> Result<String, Refused> {
        let runtime = self.inner.live.borrow();
        let configured =
            (runtime.config.path(path)).ok_or_else(|| refused("the path is not configured"))?;
        if configured.mode == Mode::Live {
            return Err(refused(format!(
                "{path} is live already: its configuration does not say mode = \"shadow\""
            )));
        }
        Ok(configured.to.clone())
    }
}
