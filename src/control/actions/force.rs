//! Forcing one delivery by the name of its record: the one way in which something old overwrites something newer.
//!
//! The name is typed, so that it is never a slip of a key; who may write which field is not forced. Reads only; called by
//! the replay and its preview.

use super::super::action::{Refused, Verdict};
use super::mapped::event;
use super::{Actions, refused};
use crate::event::contract;
use crate::event::expr::Engine;
use crate::ids::DeliveryId;
use crate::queue::filter::Filter;
use crate::queue::mapped::Ends;
use crate::visible;

/// What a forced replay does, in words.
pub(super) const FORCED: &str = "it is forced: neither a newer version nor a value that is further on holds it back; \
                                 what its source may not write is left out all the same";

/// The record that a delivery is about.
struct Named {
    /// Type and key.
    name: String,
    /// As it may be shown: masked where the key is sensitive.
    shown: String,
}

impl Actions {
    /// Whether `name` is exactly the type and key of the one record that the one delivery of `filter` is about; returns it
    /// as it may be shown.
    pub(super) async fn named(&self, filter: &Filter, name: &str) -> Result<String, Refused> {
        let [id] = filter.ids[..] else {
            return Err(refused("one delivery is forced at a time: give its id"));
        };
        if *filter != only(id) {
            return Err(refused("what is forced is given by its id alone"));
        }
        let named = self.record_of(id).await?;
        if named.name == name.trim() {
            return Ok(named.shown);
        }
        let about = if named.name == named.shown {
            named.shown
        } else {
            format!("{} (its key is sensitive: look it up)", named.shown)
        };
        Err(refused(format!(
            "{id} is about {about}: to force it, say exactly that, type and key"
        )))
    }

    /// How the one delivery of `filter` would be forced, where something newer holds it back.
    pub(super) async fn how_to_force(
        &self,
        filter: &Filter,
        verdicts: &[(Verdict, u64)],
    ) -> Result<Option<String>, Refused> {
        let ([id], [(Verdict::Superseded, _)]) = (&filter.ids[..], verdicts) else {
            return Ok(None);
        };
        // What cannot be forced needs no words about it.
        Ok(self.record_of(*id).await.ok().map(|named| {
            // A key from outside is put into a command line only where no shell can read anything else in it.
            let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_.:@".contains(c);
            let name = if named.name == named.shown && named.name.chars().all(is_plain) {
                named.name
            } else {
                "TYPE KEY".to_owned()
            };
            format!("to write it all the same: midwatch replay {id} --force \"{name}\"")
        }))
    }

    async fn record_of(&self, id: DeliveryId) -> Result<Named, Refused> {
        let config = self.inner.live.borrow().config.clone();
        let detail = self.read(move |reader| reader.delivery(id)).await?;
        let detail = detail.ok_or_else(|| refused(format!("there is no delivery {id}")))?;
        let path = config.path(&detail.row.path);
        let ends = path.and_then(|path| Some((path, Ends::of(&config, path)?)));
        let Some((path, ends)) = ends else {
            return Err(refused(format!(
                "{id} is sent as it is, nothing newer holds it back: replay it without --force"
            )));
        };
        let event =
            event(detail).ok_or_else(|| refused(format!("{id} has no payload any more")))?;
        let engine = Engine::new();
        let unread = |why: String| refused(format!("{id} cannot be read, nor forced: {why}"));
        let read = contract::readable(&config, path, &event, &engine)
            .map_err(|unreadable| unread(unreadable.to_string()))?;
        let carried = ends
            .carried(&read, &engine)
            .map_err(|error| unread(error.to_string()))?;
        let kind = &ends.mapping.target;
        match &carried[..] {
            [one] => Ok(Named {
                name: format!("{kind} {}", one.key),
                shown: visible::line(&format!("{kind} {}", ends.shown(kind, &one.key)), 200)
                    .to_string(),
            }),
            [] => Err(unread(format!("it carries no {kind}"))),
            more => Err(refused(format!(
                "{id} is about {} records of type {kind}: one is forced at a time",
                more.len()
            ))),
        }
    }
}

/// The filter of one delivery and nothing else.
fn only(id: DeliveryId) -> Filter {
    Filter {
        ids: vec![id],
        ..Filter::default()
    }
}
