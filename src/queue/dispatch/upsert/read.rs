//! What a mapped attempt reads before it writes: the source's record as it is now, the receiver's as its lookup finds it, and
//! whether one is known there under another key. It writes nothing but what the ledger learns of keys. Called by the attempt.

use super::super::records::{Held, SETTLE};
use super::{Job, Outcome, Stop, Upsert, failed};
use crate::config::model::Trust;
use crate::event::Event;
use crate::queue::mapped::{self, Carried};
use crate::queue::model::{Class, Next};
use crate::record::ledger::Learned;
use crate::record::shape::Filling;
use crate::record::value::Record;
use crate::remote::{Found, Verb};

impl Upsert<'_> {
    /// The event with its record as the source has it now; none where the event itself is believed.
    pub(super) async fn refetched(&mut self) -> Result<Option<Event>, Stop> {
        let event = &self.claimed.event;
        if self.ends.trust == Trust::Event {
            return Ok(None);
        }
        let Some(hint) = mapped::carrier(&self.ends.from, event, &self.shared.engine) else {
            return Ok(None);
        };
        let (map, record) = (&hint.map, &hint.record);
        let id = record.id.as_deref().filter(|_| map.read.is_some());
        let key = record.key.as_deref().filter(|_| map.lookup.is_some());
        let verb = match (id, key) {
            (Some(_), _) => Verb::Read,
            (None, Some(_)) => Verb::Lookup,
            // It cannot be read: the event is all there is.
            (None, None) => return Ok(None),
        };
        let filling = Filling {
            key,
            id,
            ..Filling::default()
        };
        let asked = self.ask(map, verb, &filling).await?;
        let name = id.or(key).unwrap_or_default();
        let called = format!("{} {}", map.kind, self.ends.shown(&map.kind, name));
        if let Found::Records(records) = &asked.found
            && records.len() > 1
        {
            return Err(several(&called, &map.system, records).into());
        }
        let Some(now) = asked.only() else {
            let reason = format!("{called} is no longer in {}", map.system);
            return Err(Next::Superseded { reason }.into());
        };
        // A copy that lags behind would undo what the event announces.
        if let (Some(hinted), Some(now)) = (&record.version, &now.version)
            && now < hinted
        {
            let why = format!(
                "{} still shows {called} as it was before the event",
                map.system
            );
            return Err(failed(&why, Class::Transient).into());
        }
        let shape = verb.shape(map).zip(asked.reply.as_ref());
        let event = shape.and_then(|(shape, reply)| {
            mapped::refreshed(event, map, shape, now, &reply.body, &self.shared.engine)
        });
        event.map(Some).ok_or_else(|| {
            let why = format!("what {} answers cannot be read", map.system);
            failed(&why, Class::Transient).into()
        })
    }

    /// Whether the source's own id says that this is a record that is known under another key (a customer whose address
    /// changed). Then both keys mean it from here on.
    pub(super) async fn renamed(&self, carried: &Carried) -> Result<bool, Stop> {
        let mapping = &self.ends.mapping;
        let Some(id) = &carried.source.id else {
            return Ok(false);
        };
        if mapping.source != mapping.target {
            return Ok(false);
        }
        let (from, kind) = (self.plan.path.from.clone(), mapping.target.clone());
        let before = self.shared.store.called(from, kind, id.clone()).await?;
        match before {
            Some(key) if key != carried.key => {
                self.learn(Learned {
                    aliases: vec![carried.key.clone()],
                    ..self.learned(&key)
                })
                .await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// What was found may be known by another key (an address in other letters, or one that changed on both sides). Then
    /// both keys mean it, and the attempt begins anew with what is known of it: its version is not to be overwritten by
    /// an older one. Two records of the source for one there go to a person.
    pub(super) async fn known_otherwise(&self, job: &Job<'_>, there: &str) -> Result<(), Stop> {
        let (mapping, store) = (&self.ends.mapping, &self.shared.store);
        let key = &job.carried.key;
        let (to, kind) = (self.to().to_owned(), mapping.target.clone());
        let called = store.called(to, kind.clone(), there.to_owned()).await?;
        let Some(other) = called.filter(|other| other != key) else {
            return Ok(());
        };
        if mapping.source == mapping.target
            && let Some(ours) = &job.carried.source.id
        {
            let from = self.plan.path.from.clone();
            let theirs = store.known(from, kind, other.clone()).await?.id;
            if theirs.is_some_and(|theirs| theirs != *ours) {
                let reason = format!(
                    "{there} in {} is {} already, which {} has as another record than {}: which is meant?",
                    self.to(),
                    self.called(&other),
                    self.plan.path.from,
                    job.called
                );
                return Err(Next::Review { reason }.into());
            }
        }
        self.learn(Learned {
            aliases: vec![key.clone()],
            ..self.learned(&other)
        })
        .await?;
        Err(Outcome::Deferred {
            due: self.shared.clock.now(),
            reason: "it is known by another key".to_owned(),
        }
        .into())
    }

    /// Looks the record up: none if it is not there. Two hits go to a person.
    pub(super) async fn look(&mut self, key: &str) -> Result<Option<Record>, Stop> {
        let filling = Filling {
            key: Some(key),
            ..Filling::default()
        };
        let asked = self.ask(&self.ends.target, Verb::Lookup, &filling).await?;
        match asked.found {
            Found::Records(records) if records.len() > 1 => {
                Err(several(&self.called(key), &self.plan.path.to, &records).into())
            }
            Found::Records(mut records) => {
                let found = records.pop();
                if found
                    .as_ref()
                    .is_some_and(|found| self.id_of(found, key).is_none())
                {
                    let why = format!(
                        "the lookup finds {}, but its answer has no id",
                        self.called(key)
                    );
                    return Err(failed(&why, Class::Permanent).into());
                }
                Ok(found)
            }
            _ => Ok(None),
        }
    }

    /// Neither a lookup that decides about a create nor a write must come while an earlier write may still be under way.
    pub(super) fn settled(&self, held: &Held) -> Result<(), Stop> {
        let now = self.shared.clock.now();
        let mut wait = held.unsettled().unwrap_or_default();
        if self.claimed.last_class == Some(Class::Unknown) {
            let last = self
                .claimed
                .last_ended
                .map_or(SETTLE, |ended| now.since(ended));
            wait = wait.max(SETTLE.saturating_sub(last));
        }
        // What an earlier worker had under way when it ended, by whatever path, is not in this one's memory.
        if let Some(until) = self.shared.inherited {
            wait = wait.max(until.saturating_duration_since(std::time::Instant::now()));
        }
        if wait.is_zero() {
            return Ok(());
        }
        Err(Outcome::Deferred {
            due: now + wait,
            reason: "an earlier request may still be under way there".to_owned(),
        }
        .into())
    }
}

pub(super) fn several(called: &str, system: &str, records: &[Record]) -> Next {
    let ids: Vec<&str> = records
        .iter()
        .filter_map(|record| record.id.as_deref())
        .collect();
    Next::Review {
        reason: format!(
            "{system} has {} of {called} ({}): which is meant?",
            records.len(),
            ids.join(", ")
        ),
    }
}
