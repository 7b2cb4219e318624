//! The attempt of a mapped path: read what the event carries (anew, where the source's events are only hints), wait for
//! the records that it needs, and bring each record into the receiving system: look up, then create or update, then keep
//! the id, then link. It decides by `mapped`'s rules and settles nothing; `attempt` runs it and takes its end.
//!
//! A create always has a lookup before it in the same attempt, one attempt at a time works on a record, and after an
//! outcome that is not known the lookup waits until the receiver must have finished: so no timeout makes a duplicate.

mod link;
mod owned;
mod read;
mod remove;
mod shadow;
mod write;

use self::owned::Rules;
use super::attempt::{Down, KEPT_DELIVERED, KEPT_FAILED, Plan, Shared};
use super::records::{Held, Place};
use crate::queue::classify::Judged;
use crate::queue::mapped::repair::Repair;
use crate::queue::mapped::{Carried, Ends, Outdated};
use crate::queue::model::{Answer, Claimed, Class, Next, Request, Step};
use crate::queue::passed_on;
use crate::record::ledger::{About, Known, Learned};
use crate::record::map::RecordMap;
use crate::record::shape::Filling;
use crate::record::value::{Record, Version};
use crate::remote::{Asked, Found, Manner, Prepaid, RemoteError, Verb};
use crate::store::StoreError;
use crate::time::Timestamp;

/// How a mapped attempt ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its class decides, as for any attempt.
    Judged(Judged),
    /// A rule decides. No attempt is charged.
    Ruled(Next),
    /// Not now: nothing is wrong with it. No attempt is charged.
    Deferred {
        /// Not before this.
        due: Timestamp,
        /// Why.
        reason: String,
    },
    /// The ledger could not be read or written: the store will say why.
    NotKept(StoreError),
}

/// What a mapped attempt leaves.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) outcome: Outcome,
    /// Its requests, in order.
    pub(super) steps: Vec<Step>,
    /// The request that decided; none if none was made.
    pub(super) request: Option<Request>,
    /// What is kept of its answer.
    pub(super) answer: Answer,
    /// A request to the receiving system was answered.
    pub(super) answered: bool,
}

impl Made {
    /// The configuration lacks a record map of the path, so nothing can be done.
    pub(super) fn impossible(path: &str) -> Self {
        let why = format!("path {path}: one of its record maps is not configured");
        Self {
            outcome: failed(&why, Class::Permanent),
            steps: Vec::new(),
            request: None,
            answer: Answer::default(),
            answered: false,
        }
    }
}

/// Why an attempt stops before its end.
#[derive(Debug)]
struct Stop(Box<Outcome>);

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Self {
        Self(Box::new(outcome))
    }
}

impl From<Next> for Stop {
    fn from(next: Next) -> Self {
        Outcome::Ruled(next).into()
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Outcome::NotKept(error).into()
    }
}

/// What became of one record.
enum Done {
    /// It was written, or there was nothing to write.
    Well,
    /// Something newer was written, or it is not to be sent at all.
    Superseded(String),
}

/// What became of a record in the receiving system.
enum Written {
    /// It is there as it should be, by this id, where one is known.
    Well(Option<String>),
    /// Nothing of it may be written.
    Left(String),
}

/// One record that is being written.
struct Job<'a> {
    carried: &'a Carried,
    /// It, in words.
    called: String,
    /// What of it is written.
    wanted: Record,
    /// The version to be remembered; none where it says nothing of what is written.
    version: Option<Version>,
    known: Known,
    /// The rules of its entity; none where it has none.
    rules: Option<Rules>,
    /// Nobody else writes it meanwhile.
    held: Held,
}

/// One attempt under way.
struct Upsert<'a> {
    plan: &'a Plan,
    ends: &'a Ends,
    claimed: &'a Claimed,
    shared: &'a Shared,
    manner: Manner<'a>,
    /// Systems that are down, as far as their paths tell.
    down: &'a [Down],
    steps: Vec<Step>,
    decisive: Option<Asked>,
    answered: bool,
}

/// Makes one attempt on a mapped path. In shadow mode it sends the receiving system nothing.
pub(super) async fn run(
    plan: &Plan,
    ends: &Ends,
    claimed: &Claimed,
    shared: &Shared,
    shadow: bool,
    down: &[Down],
) -> Made {
    let path = &plan.path;
    let event = &claimed.event;
    // The dispatcher took one token of the receiver's budget with the claim.
    let budget = shared.outbound.budget(&path.to);
    // With less patience than the next token takes, an attempt of two requests would never come to its second.
    let patience = path.timeout.max(budget.pace() * 2);
    let prepaid = Prepaid::new(&path.to, budget);
    let passed_on = passed_on::headers(claimed, plan.vendor);
    let manner = Manner {
        timeout: path.timeout,
        patience,
        classes: &path.classes,
        cap: path.retry_after_cap,
        keyed: Some([&event.source, &event.id, &path.name]),
        passed_on: Some((&path.to, &passed_on)),
        prepaid: Some(&prepaid),
        yields: false,
    };
    let mut upsert = Upsert {
        plan,
        ends,
        claimed,
        shared,
        manner,
        down,
        steps: Vec::new(),
        decisive: None,
        answered: false,
    };
    let outcome = match upsert.attempt(shadow).await {
        Ok(outcome) => outcome,
        Err(Stop(outcome)) => *outcome,
    };
    let failed = matches!(&outcome, Outcome::Judged(judged) if judged.class != Class::Delivered);
    let answer = upsert
        .decisive
        .as_ref()
        .and_then(|asked| asked.reply.as_ref());
    let kept = answer.map(|reply| match failed {
        true => reply.keep(KEPT_FAILED),
        false if reply.body.is_empty() => Answer::default(),
        false => reply.keep(KEPT_DELIVERED),
    });
    Made {
        outcome,
        steps: upsert.steps,
        answer: kept.unwrap_or_default(),
        request: upsert.decisive.map(|asked| asked.request),
        answered: upsert.answered,
    }
}

impl<'a> Upsert<'a> {
    async fn attempt(&mut self, shadow: bool) -> Result<Outcome, Stop> {
        let event = self.refetched().await?;
        let event = event.as_ref().unwrap_or(&self.claimed.event);
        let carried = self
            .ends
            .carried(event, &self.shared.engine)
            .map_err(|error| failed(&error.to_string(), Class::Permanent))?;
        let carried = self.distinct(carried)?;
        if carried.is_empty() {
            let reason = format!("the event carries no {}", self.ends.mapping.source);
            return Ok(Outcome::Ruled(Next::Superseded { reason }));
        }
        if shadow {
            return self.shadowed(&carried).await;
        }
        if self.ends.repairs && Repair::of(event).is_some_and(|repair| repair.delete) {
            return self.remove(&carried[0]).await;
        }
        let several = carried.len() > 1;
        let (delivery, generation) = (self.claimed.delivery, self.claimed.fence.generation);
        let mut superseded = Vec::new();
        for one in &carried {
            let progress = &self.shared.records;
            if several && progress.is_done(delivery, generation, &one.key) {
                continue;
            }
            match self.carry(one).await? {
                Done::Well => {}
                Done::Superseded(reason) => superseded.push(reason),
            }
            if several {
                progress.done(delivery, generation, &one.key);
            }
        }
        if superseded.len() == carried.len() {
            let reason = superseded.swap_remove(0);
            return Ok(Outcome::Ruled(Next::Superseded { reason }));
        }
        let status = self.decisive.as_ref().and_then(|asked| asked.judged.status);
        Ok(Outcome::Judged(Judged {
            class: Class::Delivered,
            status,
            asked: None,
            error: String::new(),
        }))
    }

    /// Each record once. Two that differ under one key are one record to the receiver: which is meant is not guessed.
    fn distinct(&self, carried: Vec<Carried>) -> Result<Vec<Carried>, Stop> {
        let mut distinct: Vec<Carried> = Vec::with_capacity(carried.len());
        for one in carried {
            match distinct.iter().find(|other| other.key == one.key) {
                None => distinct.push(one),
                Some(other) if other.wanted == one.wanted => {}
                Some(_) => {
                    let called = self.called(&one.key);
                    let reason =
                        format!("the event has {called} twice, and they differ: which is meant?");
                    return Err(Next::Review { reason }.into());
                }
            }
        }
        Ok(distinct)
    }

    /// Brings one record into the receiving system.
    async fn carry(&mut self, carried: &Carried) -> Result<Done, Stop> {
        let target = &self.ends.mapping.target;
        if !self.ends.mapping.needs.is_empty() {
            let known = self.known(target, &carried.key).await?;
            if let Some(reason) = self.stale(carried, &known) {
                return Ok(Done::Superseded(reason));
            }
        }
        for kind in &self.ends.mapping.needs {
            if let Some(key) = carried.source.refs.get(kind).filter(|key| !key.is_empty()) {
                self.other(kind, key, "before").await?;
            }
        }
        // First what the source calls one, then what goes by one key: two keys of one record are no two records.
        let same = match &carried.source.id {
            Some(id) if self.ends.mapping.source == *target => {
                let kind = format!("{target} of {}", self.plan.path.from);
                Some(self.shared.records.hold(self.place(&kind, id)).await)
            }
            _ => None,
        };
        let place = self.place(target, &carried.key);
        let held = self.shared.records.hold(place).await;
        // Only now: while another held it, that one may have made it, or written something newer.
        let mut known = self.known(target, &carried.key).await?;
        if known.id.is_none() && self.renamed(carried).await? {
            known = self.known(target, &carried.key).await?;
        }
        if let Some(reason) = self.stale(carried, &known) {
            return Ok(Done::Superseded(reason));
        }
        let rules = match self.rules(carried, &known).await? {
            Ok(rules) => rules,
            Err(reason) => return Ok(Done::Superseded(reason)),
        };
        let wanted = rules.as_ref().map_or(&carried.wanted, |rules| &rules.whole);
        let mut job = Job {
            carried,
            called: self.called(&carried.key),
            wanted: wanted.clone(),
            version: carried
                .source
                .version
                .clone()
                .filter(|_| self.ends.versioned),
            known,
            rules,
            held,
        };
        if let Outdated::Some(fields) = self.ends.outdated(&job.known, carried)
            && !self.claimed.forced
        {
            job.wanted.fields.retain(|name, _| !fields.contains(name));
            job.version = None;
        }
        let written = self.write(&job).await?;
        // Two that are joined to each other must not wait for each other.
        let Job { known, held, .. } = job;
        drop((held, same));
        match written {
            Written::Left(reason) => return Ok(Done::Superseded(reason)),
            Written::Well(Some(id)) => self.link(carried, &id, &known).await?,
            Written::Well(None) => {}
        }
        Ok(Done::Well)
    }

    /// Why a record is not sent any more, if that is so.
    fn stale(&self, carried: &Carried, known: &Known) -> Option<String> {
        let called = self.called(&carried.key);
        let to = &self.plan.path.to;
        // What an operator replays is sent all the same: it does not go of itself.
        if self.claimed.fence.generation == 1
            && let Some((created, from)) = self.ends.too_old(known, &carried.source)
        {
            return Some(format!(
                "{called} was created {created}, before live_from ({from}), and is not known in {to}: never sent of itself"
            ));
        }
        match (
            self.ends.outdated(known, carried),
            &known.version,
            &carried.source.version,
        ) {
            _ if self.claimed.forced => None,
            (Outdated::All, Some(written), Some(ours)) => Some(format!(
                "{called}: {to} was given version {written}, this is {ours}"
            )),
            _ => None,
        }
    }

    /// Makes one request; its step and what it decides are kept. A failure ends the attempt.
    async fn ask(
        &mut self,
        map: &RecordMap,
        verb: Verb<'_>,
        filling: &Filling<'_>,
    ) -> Result<Asked, Stop> {
        let ours = map.system == self.plan.path.to;
        let asked = self
            .shared
            .remote
            .send(map, verb, filling, &self.manner)
            .await;
        let asked = match asked {
            Ok(asked) => asked,
            Err(RemoteError::Budget { system, wait }) => {
                return Err(Outcome::Deferred {
                    due: self.shared.clock.now() + wait,
                    reason: format!("the budget of {system} is used up"),
                }
                .into());
            }
            Err(error) => return Err(failed(&error.to_string(), Class::Permanent).into()),
        };
        self.steps.push(asked.step.clone());
        self.answered |= ours && asked.judged.status.is_some();
        let is_failed = asked.found == Found::Failed;
        // The write decides, whatever was read before or joined afterwards; unless something fails.
        let wrote =
            |asked: &Asked| matches!(asked.step.what.as_str(), "create" | "update" | "delete");
        if is_failed || !self.decisive.as_ref().is_some_and(wrote) || wrote(&asked) {
            self.decisive = Some(asked.clone());
        }
        if is_failed {
            let place = if ours {
                String::new()
            } else {
                format!(" in {}", map.system)
            };
            return Err(Outcome::Judged(Judged {
                error: format!("{}{place}: {}", asked.step.what, asked.judged.error),
                ..asked.judged
            })
            .into());
        }
        if let Some(reply) = asked.reply.as_ref().filter(|_| ours) {
            let step = format!("{} {}", verb.words(), map.kind);
            let (delivery, now) = (self.claimed.delivery, self.shared.clock.now());
            (self.shared.observer).look(self.plan, &step, delivery, reply, now);
        }
        Ok(asked)
    }

    /// Adds a few words to the last step.
    fn note(&mut self, words: &str) {
        if let Some(step) = self.steps.last_mut() {
            step.note = format!("{}, {words}", step.note);
        }
    }

    async fn known(&self, kind: &str, key: &str) -> Result<Known, Stop> {
        let known =
            self.shared
                .store
                .known(self.plan.path.to.clone(), kind.to_owned(), key.to_owned());
        Ok(known.await?)
    }

    async fn learn(&self, learned: Learned) -> Result<(), Stop> {
        Ok(self.shared.store.learn(learned).await?)
    }

    fn learned(&self, key: &str) -> Learned {
        Learned {
            system: self.plan.path.to.clone(),
            about: About {
                kind: self.ends.mapping.target.clone(),
                key: key.to_owned(),
            },
            delivery: Some(self.claimed.delivery),
            ..Learned::default()
        }
    }

    fn place(&self, kind: &str, key: &str) -> Place {
        Place {
            system: self.plan.path.to.clone(),
            kind: kind.to_owned(),
            key: key.to_owned(),
        }
    }

    /// The receiving system.
    fn to(&self) -> &'a str {
        &self.plan.path.to
    }

    fn called(&self, key: &str) -> String {
        let kind = &self.ends.mapping.target;
        format!("{kind} {}", self.ends.shown(kind, key))
    }

    fn id_of(&self, record: &Record, key: &str) -> Option<String> {
        id_of(&self.ends.target, record, key)
    }
}

/// The id of a record that was found; of systems that give none, its key.
fn id_of(map: &RecordMap, record: &Record, key: &str) -> Option<String> {
    match map.layout.id {
        Some(_) => record.id.clone(),
        None => Some(key.to_owned()),
    }
}

fn failed(why: &str, class: Class) -> Outcome {
    Outcome::Judged(Judged {
        class,
        status: None,
        asked: None,
        error: why.to_owned(),
    })
}
