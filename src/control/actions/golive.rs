//! From shadow to live: a path begins to send what comes from now on.
//!
//! What was shadowed stays unsent: it is replayed by the command that the preview names, or never. Called by the action
//! layer.

use std::time::Duration;

use super::super::action::{Preview, Refused};
use super::preview::plain;
use super::{Actions, refused};
use crate::config::model::Mode;
use crate::queue::filter::Filter;
use crate::queue::model::State;

/// How far back a preview counts what was shadowed.
const LATELY: Duration = Duration::from_hours(24);

impl Actions {
    /// What a path that goes live will start to send.
    pub(super) async fn preview_golive(&self, path: &str) -> Result<Preview, Refused> {
        let overview = self.overview().await?;
        let configured = {
            let runtime = self.inner.live.borrow();
            runtime.config.path(path).cloned()
        };
        let configured = configured.ok_or_else(|| refused("the path is not configured"))?;
        if configured.mode == Mode::Live {
            return Err(refused(format!(
                "{path} is live already: its configuration does not say mode = \"shadow\""
            )));
        }
        let row = overview.paths.iter().find(|row| row.name == path);
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
            "{path} begins to send to {}, with the next of its events",
            configured.to
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
}
