//! What a path in shadow mode would do for an event, in words and as a request, from what is known here alone: nothing is sent.
//! Called by the attempt.

use super::{Outcome, Stop, Upsert, failed};
use crate::config::model::Write;
use crate::queue::mapped::Carried;
use crate::queue::model::{Class, Next};
use crate::record::shape::Filling;
use crate::remote::Verb;

impl Upsert<'_> {
    /// Says what would be sent for the first record, from what is known here alone.
    pub(super) async fn shadowed(&mut self, carried: &[Carried]) -> Result<Outcome, Stop> {
        let Some(first) = carried.first() else {
            return Err(failed("nothing is carried", Class::Permanent).into());
        };
        let known = self.known(&self.ends.mapping.target, &first.key).await?;
        if let Some(reason) = self.stale(first, &known) {
            return Ok(Outcome::Ruled(Next::Superseded { reason }));
        }
        let (target, to) = (&self.ends.target, &self.plan.path.to);
        let called = self.called(&first.key);
        let record = Some(&first.wanted);
        let id = known.id.as_deref();
        let (verb, would) = match (self.ends.mapping.write, id) {
            (Write::Create, Some(id)) => (
                Verb::Lookup,
                format!("leave {called} as it is in {to} ({id})"),
            ),
            (_, Some(id)) => (Verb::Update, format!("update {called} in {to} ({id})")),
            (Write::Update, None) => (
                Verb::Lookup,
                format!("look {called} up in {to}, and update it if it is there"),
            ),
            (_, None) => (
                Verb::Create,
                format!("look {called} up in {to}, and create it if it is not there"),
            ),
        };
        let mut reason = format!("would {would}");
        let mut needed = Vec::new();
        for kind in &self.ends.mapping.needs {
            if let Some(key) = first.source.refs.get(kind)
                && self.known(kind, key).await?.id.is_none()
            {
                needed.push(format!("{kind} {}", self.ends.shown(kind, key)));
            }
        }
        if !needed.is_empty() {
            reason = format!("{reason}, once {} is there", needed.join(" and "));
        }
        if carried.len() > 1 {
            reason = format!("{reason}; and {} more", carried.len() - 1);
        }
        let filling = Filling {
            key: Some(&first.key),
            id,
            record,
            ..Filling::default()
        };
        let request = self
            .shared
            .remote
            .request(target, verb, &filling, &self.manner)
            .map_err(|error| failed(&error.to_string(), Class::Permanent))?;
        Ok(Outcome::Ruled(Next::Shadowed { request, reason }))
    }
}
