//! The other records that one needs there or is joined to: known, looked up, or waited for. Called by the attempt.

use super::read::several;
use super::{Stop, Upsert, failed, id_of};
use crate::queue::mapped::Carried;
use crate::queue::model::{Class, Need, Next};
use crate::record::ledger::{About, Known, Learned};
use crate::record::shape::Filling;
use crate::remote::{Found, Verb};

impl Upsert<'_> {
    /// Joins a record that was written to those that it refers to.
    pub(super) async fn link(
        &mut self,
        carried: &Carried,
        id: &str,
        known: &Known,
    ) -> Result<(), Stop> {
        for kind in &self.ends.mapping.links {
            let Some(key) = carried.source.refs.get(kind).filter(|key| !key.is_empty()) else {
                continue;
            };
            let other = self.other(kind, key, "to be joined to").await?;
            let joined = (kind.clone(), other);
            if known.id.as_deref() == Some(id) && known.joined.contains(&joined) {
                continue;
            }
            let filling = Filling {
                key: Some(&carried.key),
                id: Some(id),
                other: Some(&joined.1),
                record: Some(&carried.wanted),
                ..Filling::default()
            };
            let asked = self
                .ask(&self.ends.target, Verb::Link(kind), &filling)
                .await?;
            if asked.found == Found::Missing {
                let why = format!("link {kind}: one of the two is not there any more");
                return Err(failed(&why, Class::Transient).into());
            }
            let story = format!("joined to {kind} {} in {}", joined.1, self.plan.path.to);
            self.learn(Learned {
                joined: vec![joined],
                story: Some(story),
                ..self.learned(&carried.key)
            })
            .await?;
        }
        Ok(())
    }

    /// The id of another record in the receiving system: from the ledger, or looked up there. Waits for it, if it is not
    /// there yet.
    pub(super) async fn other(
        &mut self,
        kind: &str,
        key: &str,
        what_for: &str,
    ) -> Result<String, Stop> {
        if let Some(id) = self.known(kind, key).await?.id {
            return Ok(id);
        }
        let to = &self.plan.path.to;
        let called = format!("{kind} {}", self.ends.shown(kind, key));
        if let Some(map) = self.ends.to.get(kind).filter(|map| map.lookup.is_some()) {
            // Whoever makes it just now is waited for.
            let held = self.shared.records.hold(self.place(kind, key)).await;
            if let Some(id) = self.known(kind, key).await?.id {
                return Ok(id);
            }
            let filling = Filling {
                key: Some(key),
                ..Filling::default()
            };
            let asked = self.ask(map, Verb::Lookup, &filling).await?;
            if let Found::Records(records) = &asked.found
                && records.len() > 1
            {
                return Err(several(&called, to, records).into());
            }
            let found = asked.only().and_then(|record| id_of(map, record, key));
            if let Some(id) = found {
                self.learn(Learned {
                    system: to.clone(),
                    about: About {
                        kind: kind.to_owned(),
                        key: key.to_owned(),
                    },
                    id: Some(id.clone()),
                    story: Some(format!("found in {to} as {id}")),
                    delivery: Some(self.claimed.delivery),
                    ..Learned::default()
                })
                .await?;
                return Ok(id);
            }
            drop(held);
        }
        let reason = format!(
            "waits for {called}: it is not in {to} yet, and is needed {what_for} {}",
            self.ends.mapping.target
        );
        Err(self.wait(kind, key, reason).into())
    }

    pub(super) fn wait(&self, kind: &str, key: &str, reason: String) -> Next {
        Next::Wait {
            need: Need {
                system: self.plan.path.to.clone(),
                kind: kind.to_owned(),
                key: key.to_owned(),
                until: self.shared.clock.now() + self.ends.mapping.needs_within,
            },
            reason,
        }
    }
}
