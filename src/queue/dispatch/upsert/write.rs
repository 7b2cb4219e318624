//! Bringing one record into the receiving system: looked up, then made or changed, then kept in the ledger. Nothing is made
//! before a lookup in the same attempt said that it is not there. Called by the attempt, one record at a time.

use super::super::records::SETTLE;
use super::{Job, Outcome, Stop, Upsert, Written, failed};
use crate::queue::mapped::owned::Verdict;
use crate::queue::mapped::{self, Move};
use crate::queue::model::{Class, Next};
use crate::record::compare;
use crate::record::ledger::Learned;
use crate::record::ownership;
use crate::record::shape::Filling;
use crate::record::value::Record;
use crate::remote::{Asked, Found, Verb};

/// What became of an update.
pub(super) enum Updated {
    /// It is there as it should be.
    Well,
    /// There is no such record any more.
    Gone,
    /// Nothing of it may be written.
    Left(String),
}

/// More lookups than this for one record in one attempt: the receiver contradicts itself.
const MOST_LOOKUPS: u32 = 3;

impl Upsert<'_> {
    /// Looks up, creates or updates, and has the ledger keep what came of it. Returns the id, where one is known.
    pub(super) async fn write(&mut self, job: &Job<'_>) -> Result<Written, Stop> {
        let (write, key) = (self.ends.mapping.write, &job.carried.key);
        let can_look = self.ends.target.lookup.is_some();
        let mut id = job.known.id.clone();
        let mut looked: Option<Option<Record>> = None;
        let (mut lookups, mut is_there) = (0, false);
        // After an outcome that is not known, what is there is looked at before it is written again.
        let mut look_first =
            can_look && (self.claimed.last_class == Some(Class::Unknown) || self.needs_theirs(job));
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
                    if let (Some(entity), Some(found)) = (&self.ends.entity, &found)
                        && ownership::is_same(entity, &job.carried.wanted, found) == Some(false)
                    {
                        let reason = format!(
                            "{} finds another by the key of {}: none of the entity's match rules recognises it; which is meant?",
                            self.to(),
                            job.called
                        );
                        return Err(Next::Review { reason }.into());
                    }
                    let there = found.as_ref().and_then(|found| self.id_of(found, key));
                    if let Some(there) = there.filter(|there| id.as_ref() != Some(there)) {
                        self.known_otherwise(job, &there).await?;
                    }
                    looked = Some(found);
                }
                Move::Leave(there) => {
                    self.leave(job, &there).await?;
                    return Ok(Written::Well(Some(there)));
                }
                Move::Update(there) => {
                    let held = looked.as_ref().and_then(Option::as_ref);
                    match self.update(job, &there, held).await? {
                        Updated::Well => return Ok(Written::Well(Some(there))),
                        Updated::Left(reason) => return Ok(Written::Left(reason)),
                        // It was deleted there, or became another.
                        Updated::Gone => (id, looked) = (None, None),
                    }
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
                        return Ok(Written::Well(made));
                    }
                    if !can_look {
                        return Ok(Written::Well(None));
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

    /// Changes the record with the id `there`; `held` is what a lookup has just found, if one was made. What becomes of it is as
    /// its rules say.
    async fn update(
        &mut self,
        job: &Job<'_>,
        there: &str,
        held: Option<&Record>,
    ) -> Result<Updated, Stop> {
        let key = &job.carried.key;
        let read = match held {
            None if self.needs_theirs(job) => self.read_theirs(job, there).await?,
            _ => None,
        };
        let found = held.or(read.as_ref());
        let verdict = self.judge(job, found);
        let wanted = verdict.as_ref().map_or(&job.wanted, |verdict| &verdict.0);
        if let Some(held) = found
            && !wanted.fields.is_empty()
            && compare(&self.ends.target, wanted, held, self.ends.entity.as_deref())
                .iter()
                .all(|field| field.same)
        {
            self.note("already so");
            self.source_id(job).await?;
            let is_new = job.known.id.as_deref() != Some(there);
            let story = is_new.then(|| format!("found in {} as {there}, already so", self.to()));
            let learned = Learned {
                id: Some(there.to_owned()),
                version: job.version.clone(),
                agreed: self.ends.sent(wanted),
                story,
                ..self.learned(key)
            };
            self.learn_by_rules(
                job,
                learned,
                found,
                verdict.as_ref().map(|verdict| &verdict.1),
            )
            .await?;
            return Ok(Updated::Well);
        }
        let (written, verdict) = match &verdict {
            Some((_, verdict)) => (&verdict.write, Some(verdict)),
            None => (&job.wanted, None),
        };
        if let Some(verdict) = verdict
            && verdict.write.fields.is_empty()
        {
            return self.left(job, there, found, verdict).await;
        }
        let filling = Filling {
            key: Some(key),
            id: Some(there),
            record: Some(written),
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
            return Ok(Updated::Gone);
        }
        let mut story = format!("updated in {} ({there})", self.to());
        if let Some(words) = verdict.and_then(Verdict::words) {
            self.note(&words);
            story = format!("{story}; {words}");
        }
        self.wrote(job, written, Some(there.to_owned()), story, found, verdict)
            .await?;
        Ok(Updated::Well)
    }

    /// Makes the record. Returns its id, where the system says it; the outer none if it was there already.
    async fn create(&mut self, job: &Job<'_>) -> Result<Option<Option<String>>, Stop> {
        let key = &job.carried.key;
        let filling = Filling {
            key: Some(key),
            // All of it, also what was written in a newer version: that record is gone.
            record: Some(job.whole()),
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
        let mut story = match &made {
            Some(id) => format!("created in {} as {id}", self.to()),
            None => format!("created in {}", self.to()),
        };
        let verdict = job.rules.as_ref().map(|rules| Verdict {
            stripped: rules.never.clone(),
            ..Verdict::default()
        });
        if let Some(words) = verdict.as_ref().and_then(Verdict::words) {
            self.note(&words);
            story = format!("{story}; {words}");
        }
        self.wrote(
            job,
            job.whole(),
            made.clone(),
            story,
            None,
            verdict.as_ref(),
        )
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
        found: Option<&Record>,
        verdict: Option<&Verdict>,
    ) -> Result<(), Stop> {
        self.source_id(job).await?;
        let sent = self.ends.sent(written);
        let learned = Learned {
            id,
            version: job.version.clone(),
            // What was decided is what both sides stand by.
            agreed: if self.ends.repairs {
                sent.clone()
            } else {
                Vec::new()
            },
            sent,
            story: Some(story),
            ..self.learned(&job.carried.key)
        };
        self.learn_by_rules(job, learned, found, verdict).await
    }

    /// Has the ledger keep by what id its source knows a record that is new to it.
    pub(super) async fn source_id(&self, job: &Job<'_>) -> Result<(), Stop> {
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
