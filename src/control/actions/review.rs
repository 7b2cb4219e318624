//! A person decides which of two values stands: kept with who decided it, and carried to the system that says otherwise.
//!
//! The preview is pinned to the two values that it showed: a newer event may have brought others. Must never write a
//! system itself: an internal event on a repair path does, by the queue.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::super::action::{Actor, Done, Preview, Refused, Stands};
use super::preview::plain;
use super::{Actions, audit, done, held, refused};
use crate::config::model::{INTERNAL, Path};
use crate::event::{Event, Origin};
use crate::ids::{DeliveryId, EventId, PathId, ReviewId};
use crate::queue::mapped::repair::{EVENT_TYPE, ORIGIN, Repair};
use crate::record::ledger::Learned;
use crate::record::map::RecordMap;
use crate::record::value::Value;
use crate::record::{held_as, is_written, mask};
use crate::store::view::ReviewRow;
use crate::store::{Decided, Incoming, Route, reference};
use crate::time::Timestamp;
use crate::visible::{self, Visible};

/// The longest value that is told, in characters.
const VALUE: usize = 200;

/// A decision that can be made.
struct Plan {
    row: ReviewRow,
    side: &'static str,
    value: Value,
    /// The repair paths that carry it, with their systems.
    pushes: Vec<(PathId, String)>,
    /// The systems that hold another value and cannot be given this one.
    left: Vec<String>,
}

impl Actions {
    /// What a decision would do.
    pub(super) async fn preview_decide(
        &self,
        review: ReviewId,
        side: &Stands,
    ) -> Result<Preview, Refused> {
        let plan = self.plan(review, side).await?;
        let row = &plan.row;
        let mut preview = plain(plan.told());
        preview.count = 1;
        preview.oldest = Some(row.at);
        preview.high_water = Some(pin(row));
        let told = |value: &str| visible::line(&row.masked(value), VALUE).to_string();
        let nothing = "(not known)".to_owned();
        let side = |value: &Option<String>| value.as_deref().map_or(nothing.clone(), told);
        preview.notes = vec![
            format!("{} says: {}", row.source, side(&row.ours)),
            format!("{} holds: {}", row.receiver, side(&row.theirs)),
        ];
        if plan.side == "value" {
            let value = told(&plan.value.canonical());
            preview.notes.push(format!("what stands: {value}"));
        }
        preview.notes.push(plan.carried());
        if let Some(host) = self.overview().await?.foreign_host {
            preview.notes.push(held(&host));
        }
        Ok(preview)
    }

    /// Keeps the decision, and has it carried.
    pub(super) async fn decide(
        &self,
        submission: &str,
        review: ReviewId,
        side: &Stands,
        high_water: Option<DeliveryId>,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let plan = self.plan(review, side).await?;
        if high_water != Some(pin(&plan.row)) {
            return Err(refused(format!(
                "review {review} was not previewed, or a newer event changed it meanwhile: look at it again"
            )));
        }
        let text = format!("{}: {}", plan.told(), plan.carried());
        let log = audit(actor, "review", None, plan.row.delivery, text.clone());
        let repair = if plan.pushes.is_empty() {
            None
        } else {
            Some(self.repair(submission, &plan).await?)
        };
        let decided = Decided {
            review,
            side: plan.side,
            value: plan.value.clone(),
            sensitive: plan.row.sensitive,
            learned: plan.learned(actor),
            repair,
            log,
        };
        let event = self.inner.store.decide(decided).await?;
        let mut done = match event {
            Some(_) => done(self.later(text).await),
            None => done(text),
        };
        done.delivery = event.map(|event| DeliveryId::new(event, 0));
        Ok(done)
    }

    /// What a decision comes to by today's configuration; refused where it cannot be made.
    async fn plan(&self, review: ReviewId, side: &Stands) -> Result<Plan, Refused> {
        let row = self.read(move |reader| reader.review(review)).await?;
        let row = row.ok_or_else(|| refused(format!("there is no review {review}")))?;
        if let Some(decided) = &row.decided {
            let how = match decided.decision.as_str() {
                "overtaken" => "ended by itself: the two came to agree".to_owned(),
                _ => format!("was decided already by {}", Visible::of(&decided.actor)),
            };
            return Err(refused(format!("review {review} {how}")));
        }
        let runtime = self.runtime();
        let map = |system: &str| -> Option<&RecordMap> {
            let system = runtime.config.systems.get(system)?;
            system.records.get(&row.about.kind).map(AsRef::as_ref)
        };
        let (field, to) = (row.field.as_str(), row.receiver.as_str());
        let Some(target) = map(to) else {
            return Err(refused(format!(
                "{to} has no record map of {} any more",
                row.about.kind
            )));
        };
        let from = map(&row.source).filter(|map| map.layout.fields.contains_key(field));
        let read = |value: &Option<String>, system: &str| {
            let value = value.as_deref().and_then(Value::of_canonical);
            value.ok_or_else(|| refused(format!("what {system} holds in {field} is not known")))
        };
        let (side, value, wanted) = match side {
            Stands::Ours => ("ours", read(&row.ours, &row.source)?, vec![(to, target)]),
            Stands::Theirs => {
                let wanted = from.map(|map| (row.source.as_str(), map));
                (
                    "theirs",
                    read(&row.theirs, to)?,
                    wanted.into_iter().collect(),
                )
            }
            Stands::Value(text) => {
                let wanted = from.map(|map| (row.source.as_str(), map));
                let wanted: Vec<_> = wanted.into_iter().chain([(to, target)]).collect();
                let mut value = Value::Text(text.expose().to_owned());
                for (_, map) in &wanted {
                    value = fits(map, &row, &value)?;
                }
                ("value", value, wanted)
            }
        };
        let (mut pushes, mut left) = (Vec::new(), Vec::new());
        for (system, map) in wanted {
            let path = runtime.id(&Path::repair(system, &row.about.kind));
            match path.filter(|_| is_written(map, field)) {
                Some(path) => {
                    fits(map, &row, &value)?;
                    pushes.push((path, system.to_owned()));
                }
                None => left.push(system.to_owned()),
            }
        }
        if pushes.is_empty() && side != "theirs" {
            return Err(refused(format!(
                "{field} of {} cannot be written in {}: its record map has no `update`, or only reads the field",
                row.about.kind,
                left.join(" or ")
            )));
        }
        if side == "theirs" && from.is_none() {
            left.push(row.source.clone());
        }
        Ok(Plan {
            row,
            side,
            value,
            pushes,
            left,
        })
    }

    /// The event that carries a decision.
    async fn repair(&self, submission: &str, plan: &Plan) -> Result<Incoming, Refused> {
        let row = &plan.row;
        let cause = match row.delivery {
            Some(id) => self.read(move |reader| reader.delivery(id)).await?,
            None => None,
        };
        let cause = cause.map(|cause| {
            let row = &cause.row;
            reference(row.id.event(), &row.source, &row.event_id)
        });
        let field = (row.field.clone(), plan.value.canonical());
        let repair = Repair {
            entity: row.about.kind.clone(),
            key: row.about.key.clone(),
            systems: plan.pushes.iter().map(|(_, to)| to.clone()).collect(),
            fields: BTreeMap::from([field]),
            review: Some(row.id.0),
            ..Repair::default()
        };
        let data = serde_json::to_vec(&repair)
            .map_err(|error| refused(format!("the decision cannot be written: {error}")))?;
        let runtime = self.runtime();
        let systems = runtime.config.systems.values();
        let maps = systems.filter_map(|system| system.records.get(&row.about.kind));
        let is_plain = mask::shown(maps.map(AsRef::as_ref), &row.about.key) == row.about.key;
        Ok(incoming(
            submission,
            self.now(),
            data,
            is_plain.then(|| row.about.key.clone()),
            cause,
            plan,
        ))
    }
}

fn incoming(
    submission: &str,
    now: Timestamp,
    data: Vec<u8>,
    subject: Option<String>,
    cause: Option<String>,
    plan: &Plan,
) -> Incoming {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(&data)[..16]);
    let mut extensions: Vec<(String, String)> = cause
        .into_iter()
        .map(|cause| ("causationid".to_owned(), cause))
        .collect();
    extensions.push((ORIGIN.to_owned(), format!("review/{}", plan.row.id)));
    let route = |(path, _): &(PathId, String)| Route {
        path: *path,
        order_key: Some(crate::queue::route::indexable(plan.row.about.key.clone())),
        on_dead_continue: true,
        delay: Duration::ZERO,
        hold: None,
    };
    Incoming {
        event: Event {
            source: INTERNAL.to_owned(),
            id: submission.to_owned(),
            kind: EVENT_TYPE.to_owned(),
            subject,
            time: Some(now),
            content_type: Some("application/json".to_owned()),
            idempotency_key: Some(submission.to_owned()),
            schema_version: None,
            extensions,
            data: Bytes::from(data),
            origin: Origin::Internal,
        },
        routes: plan.pushes.iter().map(route).collect(),
        hold: None,
        faults: Vec::new(),
        group: None,
        hold_on_conflict: false,
        digest,
        about: vec![plan.row.about.clone()],
    }
}

impl Plan {
    /// Which value stands, in words; nothing from outside.
    fn told(&self) -> String {
        let row = &self.row;
        let whose = match self.side {
            "ours" => format!("{}'s value stands", row.source),
            "theirs" => format!("{}'s value stands", row.receiver),
            _ => "another value stands".to_owned(),
        };
        format!("{}, {whose}", what(row))
    }

    /// Where the value goes, in words.
    fn carried(&self) -> String {
        let to: Vec<&str> = self.pushes.iter().map(|(_, to)| to.as_str()).collect();
        let mut words = if to.is_empty() {
            "nothing is written".to_owned()
        } else {
            format!("it is written to {}", to.join(" and "))
        };
        if !self.left.is_empty() {
            let left = self.left.join(" and ");
            let _ = write!(words, "; {left} cannot be given it, and keeps its own");
        }
        words
    }

    /// What is known by the decision. Until it is carried both systems hold what was shown: where the source says the same
    /// again, that is no news, unless it was its value that stands.
    fn learned(&self, actor: &Actor) -> Vec<Learned> {
        let row = &self.row;
        let field = |text: &Option<String>| {
            let value = text.as_deref().and_then(Value::of_canonical)?;
            Some((row.field.clone(), value, row.sensitive))
        };
        let of = |system: &str| Learned {
            system: system.to_owned(),
            about: row.about.clone(),
            delivery: row.delivery,
            ..Learned::default()
        };
        let at_receiver = Learned {
            agreed: field(&row.theirs).into_iter().collect(),
            story: Some(format!("{actor} decided: {}", self.told())),
            ..of(&row.receiver)
        };
        let mut learned = vec![at_receiver];
        if self.side != "ours" {
            learned.push(Learned {
                agreed: field(&row.ours).into_iter().collect(),
                ..of(&row.source)
            });
        }
        learned
    }
}

/// The value as a system holds it; refused where it cannot.
fn fits(map: &RecordMap, row: &ReviewRow, value: &Value) -> Result<Value, Refused> {
    held_as(map, &row.field, value).map_err(|error| {
        if row.sensitive {
            let (system, field) = (&map.system, &row.field);
            return refused(format!("{system} cannot hold this value in {field}"));
        }
        refused(visible::line(&error.to_string(), VALUE * 2).to_string())
    })
}

/// Which field of which record, without its key.
fn what(row: &ReviewRow) -> String {
    format!("review {}, {} of one {}", row.id, row.field, row.about.kind)
}

/// Stands for the two values that were shown.
fn pin(row: &ReviewRow) -> DeliveryId {
    let mut hash = Sha256::new();
    for side in [&row.ours, &row.theirs] {
        hash.update([u8::from(side.is_some())]);
        hash.update(Sha256::digest(side.as_deref().unwrap_or_default()));
    }
    let start = hash.finalize().into_iter().take(4);
    let number = start.fold(0_i64, |number, byte| number << 8 | i64::from(byte));
    DeliveryId::new(EventId(number + 1), 0)
}
