//! The rules of a record's entity in an attempt: what is asked before anything is sent, what is judged before an update,
//! what is told of fields that are left out. It decides by `queue::mapped::owned`. Called by the attempt; a type that is not
//! declared costs nothing here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::write::Updated;
use super::{Job, Stop, Upsert};
use crate::queue::mapped::Carried;
use crate::queue::mapped::owned::{self, Facts, Verdict};
use crate::queue::model::Next;
use crate::record::ledger::{Known, Learned};
use crate::record::ownership::{self, WhenDown};
use crate::record::shape::Filling;
use crate::record::value::Record;
use crate::remote::Verb;
use crate::store::Note;
use crate::store::view::NoteKind;

/// How often it is looked whether an owner is back, should nobody have said so.
const OWNER_POLL: Duration = Duration::from_secs(30);

/// What is known of a record by the rules of its entity.
#[derive(Debug)]
pub(super) struct Rules {
    /// All that the source may write, were it made now.
    pub(super) whole: Record,
    /// What it may never write, and why.
    pub(super) never: Vec<(String, String)>,
    at_source: Known,
    owners: BTreeMap<String, Known>,
}

impl Job<'_> {
    /// All of it, as it is made where it is not there.
    pub(super) fn whole(&self) -> &Record {
        let rules = self.rules.as_ref();
        rules.map_or(&self.carried.wanted, |rules| &rules.whole)
    }
}

impl Upsert<'_> {
    /// The rules of a record, asked before anything is sent; none where its type is not declared. The inner error: nothing
    /// of it is sent, and why.
    pub(super) async fn rules(
        &self,
        carried: &Carried,
        known: &Known,
    ) -> Result<Result<Option<Rules>, String>, Stop> {
        // What a person decided is asked of nobody.
        let Some(entity) = self.ends.entity.as_ref().filter(|_| !self.ends.repairs) else {
            return Ok(Ok(None));
        };
        let (from, mapping) = (&self.plan.path.from, &self.ends.mapping);
        let (whole, never) = owned::strip(entity, from, &carried.wanted, true);
        if whole.fields.is_empty() && !never.is_empty() {
            let verdict = Verdict {
                stripped: never,
                ..Verdict::default()
            };
            let words = verdict.words().unwrap_or_default();
            let learned = Learned {
                story: Some(format!("nothing sent to {}; {words}", self.to())),
                ..self.learned(&carried.key)
            };
            let notes = self.notes(&verdict);
            self.shared.store.learn_all(vec![learned], notes).await?;
            let called = self.called(&carried.key);
            return Ok(Err(format!(
                "{from} may write nothing of {called}; {words}"
            )));
        }
        self.owner_down(&whole)?;
        let known_at = |system: &str| {
            let store = &self.shared.store;
            store.known(
                system.to_owned(),
                mapping.target.clone(),
                carried.key.clone(),
            )
        };
        let mut rules = Rules {
            never,
            at_source: Known::default(),
            owners: BTreeMap::new(),
            whole,
        };
        if mapping.source == mapping.target {
            rules.at_source = known_at(from).await?;
        }
        let text = |value: &_, sensitive| self.shared.store.ledger_text(value, sensitive);
        if self.claimed.fence.generation == 1
            && (self.ends).is_echo(entity, carried, &rules.whole, &rules.at_source, known, text)
        {
            return Ok(Err(format!(
                "echo: {} is what midwatch wrote to {from}, and {} holds it already",
                self.called(&carried.key),
                self.to()
            )));
        }
        let named = rules
            .whole
            .fields
            .keys()
            .filter_map(|name| entity.field(name));
        let owners: Vec<&str> = named.map(|rule| rule.owner.as_str()).collect();
        for owner in owners {
            if owner != from && owner != self.to() && !rules.owners.contains_key(owner) {
                let known = known_at(owner).await?;
                rules.owners.insert(owner.to_owned(), known);
            }
        }
        Ok(Ok(Some(rules)))
    }

    /// What follows where the owner of a field is down.
    fn owner_down(&self, wanted: &Record) -> Result<(), Stop> {
        let Some(entity) = &self.ends.entity else {
            return Ok(());
        };
        // What goes to the owner itself is its breaker's business: held back here, it could never find that it is back.
        let is_down = |system: &str| {
            system != self.to() && self.down.iter().any(|down| down.system == system)
        };
        let Some((what, field, owner)) =
            owned::fallback(entity, &self.plan.path.from, wanted, is_down)
        else {
            return Ok(());
        };
        let mut reason = format!("{owner}, which owns {field}, is down");
        if let Some(down) = self.down.iter().find(|down| down.system == owner) {
            let zone = self.plan.whole.site.timezone;
            reason = format!("{reason} since {}", down.since.in_zone(zone, "%H:%M"));
        }
        Err(match what {
            WhenDown::Queue => Next::Deferred {
                due: self.shared.clock.now() + OWNER_POLL,
                reason: format!("waits: {reason}"),
                owner: owner.to_owned(),
            }
            .into(),
            WhenDown::Hold => Next::Review {
                reason: format!("held: {reason}"),
            }
            .into(),
            WhenDown::Reject => Next::Dead {
                reason: format!("refused: {reason}"),
            }
            .into(),
        })
    }

    /// Whether what the receiver holds must be read before the record is changed.
    pub(super) fn needs_theirs(&self, job: &Job<'_>) -> bool {
        let entity = job.rules.as_ref().and(self.ends.entity.as_ref());
        entity.is_some_and(|entity| {
            let names = job.wanted.fields.keys().map(String::as_str);
            ownership::needs_theirs(entity, &self.plan.path.from, names)
        })
    }

    /// What the receiver holds by an id, where it cannot be looked up but read; none if it cannot be told.
    pub(super) async fn read_theirs(
        &mut self,
        job: &Job<'_>,
        there: &str,
    ) -> Result<Option<Record>, Stop> {
        if self.ends.target.read.is_none() {
            return Ok(None);
        }
        let filling = Filling {
            key: Some(&job.carried.key),
            id: Some(there),
            ..Filling::default()
        };
        let asked = self.ask(&self.ends.target, Verb::Read, &filling).await?;
        Ok(asked.only().cloned())
    }

    /// What may be written of a record that is there, before and after each field was judged; none where it has no rules.
    pub(super) fn judge(&self, job: &Job<'_>, found: Option<&Record>) -> Option<(Record, Verdict)> {
        let rules = job.rules.as_ref()?;
        let entity = self.ends.entity.as_ref()?;
        let facts = Facts {
            source: &self.plan.path.from,
            receiver: self.to(),
            at_source: &rules.at_source,
            at_receiver: &job.known,
            owners: &rules.owners,
            held: found,
            changed: self.claimed.event.time,
        };
        let text = |value: &_, sensitive| self.shared.store.ledger_text(value, sensitive);
        let mut verdict = (self.ends).judge(entity, &job.wanted, &facts, self.claimed.forced, text);
        let (mine, _) = owned::strip(entity, facts.source, &job.wanted, false);
        verdict.stripped.extend(rules.never.iter().cloned());
        Some((mine, verdict))
    }

    /// Nothing of it is written: what was seen, and what a person must decide, is kept.
    pub(super) async fn left(
        &mut self,
        job: &Job<'_>,
        there: &str,
        found: Option<&Record>,
        verdict: &Verdict,
    ) -> Result<Updated, Stop> {
        let words = verdict.words().unwrap_or_else(|| "already so".to_owned());
        self.note(&words);
        self.source_id(job).await?;
        let learned = Learned {
            id: Some(there.to_owned()),
            story: Some(format!("left as it is in {}; {words}", self.to())),
            ..self.learned(&job.carried.key)
        };
        self.learn_by_rules(job, learned, found, Some(verdict))
            .await?;
        Ok(Updated::Left(format!(
            "{} is left as it is in {}; {words}",
            job.called,
            self.to()
        )))
    }

    /// Has the ledger keep what was learnt, with what both systems were seen to hold, in one commit.
    pub(super) async fn learn_by_rules(
        &self,
        job: &Job<'_>,
        mut learned: Learned,
        found: Option<&Record>,
        verdict: Option<&Verdict>,
    ) -> Result<(), Stop> {
        let Some(verdict) = verdict else {
            return self.learn(learned).await;
        };
        let field = |(name, value): (&String, &crate::record::value::Value)| {
            (name.clone(), value.clone(), self.ends.sensitive(name))
        };
        let brought = &job.carried.source.fields;
        if let Some(found) = found {
            // What was written just now is held no longer.
            let sent = &learned.sent;
            let wanted = |(name, _): &(&String, _)| {
                job.carried.wanted.fields.contains_key(*name)
                    && !sent.iter().any(|(sent, ..)| sent == *name)
            };
            learned.seen = found.fields.iter().filter(wanted).map(field).collect();
        }
        let same = job.wanted.fields.iter();
        let same = same.filter(|(name, _)| verdict.same.contains(name));
        learned.agreed.extend(same.map(field));
        learned.source = Some(self.plan.path.from.clone());
        learned.disputes.clone_from(&verdict.disputes);
        let mut all = vec![learned];
        if self.ends.mapping.source == self.ends.mapping.target {
            let wanted = |(name, _): &(&String, _)| job.carried.wanted.fields.contains_key(*name);
            all.push(Learned {
                system: self.plan.path.from.clone(),
                seen: brought.iter().filter(wanted).map(field).collect(),
                delivery: None,
                ..self.learned(&job.carried.key)
            });
        }
        let notes = self.notes(verdict);
        Ok(self.shared.store.learn_all(all, notes).await?)
    }

    /// What is noted of fields that the source may not write.
    fn notes(&self, verdict: &Verdict) -> Vec<Note> {
        let stripped = verdict.stripped.iter();
        let note = |(field, why): &(String, String)| Note {
            path: Some(self.plan.id),
            system: self.plan.path.from.clone(),
            kind: NoteKind::Stripped,
            what: field.clone(),
            text: format!("{field} was left out on the way to {}: {why}", self.to()),
            delivery: Some(self.claimed.delivery),
        };
        stripped.map(note).collect()
    }
}
