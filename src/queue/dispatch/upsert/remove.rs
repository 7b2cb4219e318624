//! Removing one record from the receiving system: what a plan of a reconciliation whose rails allow it says, and nothing else.
//! Called by the attempt.

use super::{Outcome, Stop, Upsert, failed};
use crate::queue::classify::Judged;
use crate::queue::mapped::Carried;
use crate::queue::model::{Class, Next};
use crate::record::ledger::Learned;
use crate::record::shape::Filling;
use crate::remote::{Found, Verb};

impl Upsert<'_> {
    /// Looks it up and removes it. What is not there is done.
    pub(super) async fn remove(&mut self, carried: &Carried) -> Result<Outcome, Stop> {
        let target = &self.ends.target;
        let place = self.place(&self.ends.mapping.target, &carried.key);
        let held = self.shared.records.hold(place).await;
        self.settled(&held)?;
        let called = self.called(&carried.key);
        let Some(found) = self.look(&carried.key).await? else {
            let reason = format!("{called} is not in {} any more", self.to());
            return Ok(Outcome::Ruled(Next::Superseded { reason }));
        };
        let Some(id) = self.id_of(&found, &carried.key) else {
            let why = format!("{} finds {called}, but gives no id", self.to());
            return Err(failed(&why, Class::Permanent).into());
        };
        let filling = Filling {
            key: Some(&carried.key),
            id: Some(&id),
            ..Filling::default()
        };
        let asked = self.ask(target, Verb::Delete, &filling).await?;
        if asked.found == Found::Missing {
            self.note("gone already");
        }
        let story = format!("removed in {} ({id})", self.to());
        self.learn(Learned {
            story: Some(story),
            ..self.learned(&carried.key)
        })
        .await?;
        Ok(Outcome::Judged(Judged {
            class: Class::Delivered,
            ..asked.judged
        }))
    }
}
