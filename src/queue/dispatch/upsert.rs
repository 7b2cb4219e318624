//! The attempt of a mapped path: read what the event carries (anew, where the source's events are only hints), wait for
//! the records that it needs, and bring each record into the receiving system: look up, then create or update, then keep
//! the id, then link. It decides by `mapped`'s rules and settles nothing; `attempt` runs it and takes its end.
//!
//! A create always has a lookup before it in the same attempt, one attempt at a time works on a record, and after an
//! outcome that is not known the lookup waits until the receiver must have finished: so no timeout makes a duplicate.

use super::attempt::{KEPT_DELIVERED, KEPT_FAILED, Plan, Shared};
use super::records::{Held, Place, SETTLE};
use crate::config::model::{Trust, Write};
use crate::event::Event;
use crate::queue::classify::Judged;
use crate::queue::mapped::{self, Carried, Ends, Move, Outdated};
use crate::queue::model::{Answer, Claimed, Class, Need, Next, Request, Step};
use crate::record::compare;
use crate::record::ledger::{About, Known, Learned};
use crate::record::map::RecordMap;
use crate::record::shape::Filling;
use crate::record::value::{Record, Version};
use crate::remote::{Asked, Found, Manner, Prepaid, RemoteError, Verb};
use crate::store::StoreError;
use crate::time::Timestamp;

/// More lookups than this for one record in one attempt: the receiver contradicts itself.
const MOST_LOOKUPS: u32 = 3;

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
) -> Made {
    let path = &plan.path;
    let event = &claimed.event;
    // The dispatcher took one token of the receiver's budget with the claim.
    let budget = shared.outbound.budget(&path.to);
    // With less patience than the next token takes, an attempt of two requests would never come to its second.
    let patience = path.timeout.max(budget.pace() * 2);
    let prepaid = Prepaid::new(&path.to, budget);
    let manner = Manner {
        timeout: path.timeout,
        patience,
        classes: &path.classes,
        cap: path.retry_after_cap,
        keyed: Some([&event.source, &event.id, &path.name]),
        prepaid: Some(&prepaid),
    };
    let mut upsert = Upsert {
        plan,
        ends,
        claimed,
        shared,
        manner,
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

    /// The event with its record as the source has it now; none where the event itself is believed.
    async fn refetched(&mut self) -> Result<Option<Event>, Stop> {
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

    /// Says what would be sent for the first record, from what is known here alone.
    async fn shadowed(&mut self, carried: &[Carried]) -> Result<Outcome, Stop> {
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
        let mut job = Job {
            carried,
            called: self.called(&carried.key),
            wanted: carried.wanted.clone(),
            version: carried
                .source
                .version
                .clone()
                .filter(|_| self.ends.versioned),
            known,
            held,
        };
        if let Outdated::Some(fields) = self.ends.outdated(&job.known, carried) {
            job.wanted.fields.retain(|name, _| !fields.contains(name));
            job.version = None;
        }
        let id = self.write(&job).await?;
        // Two that are joined to each other must not wait for each other.
        let Job { known, held, .. } = job;
        drop((held, same));
        if let Some(id) = id {
            self.link(carried, &id, &known).await?;
        }
        Ok(Done::Well)
    }

    /// Whether the source's own id says that this is a record that is known under another key (a customer whose address
    /// changed). Then both keys mean it from here on.
    async fn renamed(&self, carried: &Carried) -> Result<bool, Stop> {
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

    /// Looks up, creates or updates, and has the ledger keep what came of it. Returns the id, where one is known.
    async fn write(&mut self, job: &Job<'_>) -> Result<Option<String>, Stop> {
        let (write, key) = (self.ends.mapping.write, &job.carried.key);
        let can_look = self.ends.target.lookup.is_some();
        let mut id = job.known.id.clone();
        let mut looked: Option<Option<Record>> = None;
        let (mut lookups, mut is_there) = (0, false);
        // After an outcome that is not known, what is there is looked at before it is written again.
        let mut look_first = can_look && self.claimed.last_class == Some(Class::Unknown);
        loop {
            let there = looked
                .as_ref()
                .map(|found| found.as_ref().and_then(|found| self.id_of(found, key)));
            let there = there.as_ref().map(Option::as_deref);
            let next = if std::mem::take(&mut look_first) {
                Move::Look
            } else {
                mapped::next_move(write, id.as_deref(), there, can_look)
            };
            match next {
                Move::Look => {
                    lookups += 1;
                    if lookups > MOST_LOOKUPS {
                        let why = format!("{} contradicts itself about {}", self.to(), job.called);
                        return Err(failed(&why, Class::Transient).into());
                    }
                    self.settled(&job.held)?;
                    let found = self.look(key).await?;
                    let there = found.as_ref().and_then(|found| self.id_of(found, key));
                    if let Some(there) = there.filter(|there| id.as_ref() != Some(there)) {
                        self.known_otherwise(job, &there).await?;
                    }
                    looked = Some(found);
                }
                Move::Leave(there) => {
                    self.leave(job, &there).await?;
                    return Ok(Some(there));
                }
                Move::Update(there) => {
                    let held = looked.as_ref().and_then(Option::as_ref);
                    if self.update(job, &there, held).await? {
                        return Ok(Some(there));
                    }
                    // It was deleted there, or became another.
                    (id, looked) = (None, None);
                }
                Move::Create if is_there => {
                    let why = format!(
                        "{} says that {} is there already, but its lookup does not find it",
                        self.to(),
                        job.called
                    );
                    return Err(failed(&why, Class::Transient).into());
                }
                Move::Create if can_look && self.was_made(job) => {
                    let why = format!(
                        "{} was given {}, but its lookup does not find it: made again, it might be there twice",
                        self.to(),
                        job.called
                    );
                    return Err(failed(&why, Class::Transient).into());
                }
                Move::Create => {
                    if let Some(made) = self.create(job).await? {
                        return Ok(made);
                    }
                    if !can_look {
                        return Ok(None);
                    }
                    (looked, is_there) = (None, true);
                }
                Move::Wait => {
                    let reason =
                        format!("waits for {}: it is not in {} yet", job.called, self.to());
                    return Err(self.wait(&self.ends.mapping.target, key, reason).into());
                }
            }
        }
    }

    /// Whether the ledger knows that it was written, but not by what id it is known there: the receiver did not say.
    fn was_made(&self, job: &Job<'_>) -> bool {
        let mut fields = job.known.fields.values();
        self.ends.target.layout.id.is_some()
            && job.known.id.is_none()
            && fields.any(|field| field.sent.is_some())
    }

    /// What was found may be known by another key (an address in other letters, or one that changed on both sides). Then
    /// both keys mean it, and the attempt begins anew with what is known of it: its version is not to be overwritten by
    /// an older one. Two records of the source for one there go to a person.
    async fn known_otherwise(&self, job: &Job<'_>, there: &str) -> Result<(), Stop> {
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

    /// It is there, and the path only creates.
    async fn leave(&mut self, job: &Job<'_>, there: &str) -> Result<(), Stop> {
        self.note("left as it is");
        if job.known.id.as_deref() == Some(there) {
            return Ok(());
        }
        self.source_id(job).await?;
        let story = format!("found in {} as {there}, left as it is", self.to());
        self.learn(Learned {
            id: Some(there.to_owned()),
            story: Some(story),
            ..self.learned(&job.carried.key)
        })
        .await
    }

    /// Changes the record with the id `there`; `held` is what a lookup has just found, if one was made. False if there is
    /// no such record any more.
    async fn update(
        &mut self,
        job: &Job<'_>,
        there: &str,
        held: Option<&Record>,
    ) -> Result<bool, Stop> {
        let key = &job.carried.key;
        if let Some(held) = held
            && compare(&self.ends.target, &job.wanted, held)
                .iter()
                .all(|field| field.same)
        {
            self.note("already so");
            self.source_id(job).await?;
            let is_new = job.known.id.as_deref() != Some(there);
            let story = is_new.then(|| format!("found in {} as {there}, already so", self.to()));
            self.learn(Learned {
                id: Some(there.to_owned()),
                version: job.version.clone(),
                agreed: self.ends.sent(&job.wanted),
                story,
                ..self.learned(key)
            })
            .await?;
            return Ok(true);
        }
        let filling = Filling {
            key: Some(key),
            id: Some(there),
            record: Some(&job.wanted),
            ..Filling::default()
        };
        let asked = self.change(job, Verb::Update, &filling).await?;
        if asked.found == Found::Missing {
            if held.is_some() {
                let why = format!(
                    "{} finds {} as {there}, but cannot update it",
                    self.to(),
                    job.called
                );
                return Err(failed(&why, Class::Transient).into());
            }
            return Ok(false);
        }
        let story = format!("updated in {} ({there})", self.to());
        self.wrote(job, &job.wanted, Some(there.to_owned()), story)
            .await?;
        Ok(true)
    }

    /// Makes the record. Returns its id, where the system says it; the outer none if it was there already.
    async fn create(&mut self, job: &Job<'_>) -> Result<Option<Option<String>>, Stop> {
        let key = &job.carried.key;
        let filling = Filling {
            key: Some(key),
            // All of it, also what was written in a newer version: that record is gone.
            record: Some(&job.carried.wanted),
            ..Filling::default()
        };
        let asked = self.change(job, Verb::Create, &filling).await?;
        if asked.found == Found::Exists {
            return Ok(None);
        }
        let mut made = asked.only().and_then(|record| self.id_of(record, key));
        if made.is_none() && self.ends.target.lookup.is_some() {
            // Not every system answers with what it made.
            let found = self.look(key).await?;
            made = found.and_then(|found| self.id_of(&found, key));
        }
        let story = match &made {
            Some(id) => format!("created in {} as {id}", self.to()),
            None => format!("created in {}", self.to()),
        };
        self.wrote(job, &job.carried.wanted, made.clone(), story)
            .await?;
        if made.is_none() && self.ends.target.lookup.is_some() {
            let why = format!(
                "{} was made, but {} does not say as what, and its lookup does not find it yet",
                job.called,
                self.to()
            );
            return Err(failed(&why, Class::Transient).into());
        }
        Ok(Some(made))
    }

    /// Writes, once nothing older of this record can be under way there any more: what comes late must neither be made
    /// twice nor overwrite what is newer.
    async fn change(
        &mut self,
        job: &Job<'_>,
        verb: Verb<'_>,
        filling: &Filling<'_>,
    ) -> Result<Asked, Stop> {
        self.settled(&job.held)?;
        job.held.unsettle(self.plan.path.timeout + SETTLE);
        let asked = self.ask(&self.ends.target, verb, filling).await;
        match &asked {
            Err(stop) if maybe_made(stop) => job.held.unsettle(SETTLE),
            _ => job.held.settle(),
        }
        asked
    }

    /// Has the ledger keep what was written, and by what id its source knows it.
    async fn wrote(
        &self,
        job: &Job<'_>,
        written: &Record,
        id: Option<String>,
        story: String,
    ) -> Result<(), Stop> {
        self.source_id(job).await?;
        self.learn(Learned {
            id,
            version: job.version.clone(),
            sent: self.ends.sent(written),
            story: Some(story),
            ..self.learned(&job.carried.key)
        })
        .await
    }

    /// Has the ledger keep by what id its source knows a record that is new to it.
    async fn source_id(&self, job: &Job<'_>) -> Result<(), Stop> {
        let mapping = &self.ends.mapping;
        if let Some(source) = &job.carried.source.id
            && job.known.id.is_none()
            && mapping.source == mapping.target
        {
            self.learn(Learned {
                system: self.plan.path.from.clone(),
                id: Some(source.clone()),
                ..self.learned(&job.carried.key)
            })
            .await?;
        }
        Ok(())
    }

    /// Joins a record that was written to those that it refers to.
    async fn link(&mut self, carried: &Carried, id: &str, known: &Known) -> Result<(), Stop> {
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
    async fn other(&mut self, kind: &str, key: &str, what_for: &str) -> Result<String, Stop> {
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

    fn wait(&self, kind: &str, key: &str, reason: String) -> Next {
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

    /// Looks the record up: none if it is not there. Two hits go to a person.
    async fn look(&mut self, key: &str) -> Result<Option<Record>, Stop> {
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
    fn settled(&self, held: &Held) -> Result<(), Stop> {
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
        let mut asked = match asked {
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
        // A key that must not be shown stands in the address that it is looked up by.
        if let Some(key) = filling.key {
            asked.step.url = self.ends.veiled(&map.kind, key, asked.step.url);
            asked.request.url = self.ends.veiled(&map.kind, key, asked.request.url);
        }
        self.steps.push(asked.step.clone());
        self.answered |= ours && asked.judged.status.is_some();
        let is_failed = asked.found == Found::Failed;
        // The write decides, whatever was read before or joined afterwards; unless something fails.
        let wrote = |asked: &Asked| matches!(asked.step.what.as_str(), "create" | "update");
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

/// Whether a create that failed so may have been carried out, or may still be: it was sent, and not refused.
fn maybe_made(stop: &Stop) -> bool {
    match &*stop.0 {
        Outcome::Judged(judged) => {
            judged.class == Class::Unknown || judged.status.is_some_and(|status| status >= 500)
        }
        _ => false,
    }
}

fn several(called: &str, system: &str, records: &[Record]) -> Next {
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

fn failed(why: &str, class: Class) -> Outcome {
    Outcome::Judged(Judged {
        class,
        status: None,
        asked: None,
        error: why.to_owned(),
    })
}
