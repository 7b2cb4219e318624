//! What of a record its source may write over a mapped path: by the rules of its entity, field by field. Pure; the
//! dispatcher asks it before each delivery. Undeclared types have no rules.

use std::collections::BTreeMap;

use super::{Carried, Ends};
use crate::record::ledger::{Dispute, Known};
use crate::record::ownership::{self, Case, Decision, Entity, Side, WhenDown, Why};
use crate::record::same_by;
use crate::record::value::{Record, Value, Version};
use crate::time::Timestamp;

/// What is known of a record, to judge it by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The system that it comes from.
    pub source: &'a str,
    /// The system that it is written to.
    pub receiver: &'a str,
    /// What is known of it at the source.
    pub at_source: &'a Known,
    /// What is known of it at the receiver.
    pub at_receiver: &'a Known,
    /// What is known of it at other systems that own fields of it, by the system.
    pub owners: &'a BTreeMap<String, Known>,
    /// What the receiver holds, where it was read.
    pub held: Option<&'a Record>,
    /// When the source changed it, where that is known and its version does not say.
    pub changed: Option<Timestamp>,
}

/// What becomes of a record's fields.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What is written.
    pub write: Record,
    /// Fields that both hold alike.
    pub same: Vec<String>,
    /// Fields that the source may not write, and why.
    pub stripped: Vec<(String, String)>,
    /// Fields that are left out although it may write them, and why; no value is in the words.
    pub left: Vec<(String, String)>,
    /// Fields of which a person decides.
    pub disputes: Vec<Dispute>,
}

impl Verdict {
    /// What is left out and why, in words; none where nothing is.
    pub fn words(&self) -> Option<String> {
        let left = self
            .stripped
            .iter()
            .chain(&self.left)
            .map(|(field, why)| format!("{field} ({why})"));
        let left: Vec<String> = left.collect();
        let disputes = self.disputes.iter();
        let review = disputes.map(|one| format!("{} ({})", one.field, one.reason));
        let review: Vec<String> = review.collect();
        let mut words = Vec::new();
        if !left.is_empty() {
            words.push(format!("left out: {}", left.join(", ")));
        }
        if !review.is_empty() {
            words.push(format!("for review: {}", review.join(", ")));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }
}

/// The fields of `wanted` that `source` may write, and those that it may not with the reason: where the record is being made
/// (`creating`), or is there already.
pub fn strip(
    entity: &Entity,
    source: &str,
    wanted: &Record,
    creating: bool,
) -> (Record, Vec<(String, String)>) {
    let names = wanted.fields.keys().map(String::as_str);
    let stripped = ownership::strip(entity, source, names, creating);
    let mut kept = wanted.clone();
    kept.fields.retain(|name, _| stripped.kept.contains(name));
    let left = stripped.left_out.into_iter();
    let left = left.map(|one| (one.field, one.reason.to_string()));
    (kept, left.collect())
}

/// What becomes of the values of `wanted` while owners are down: the strictest of what its fields say, with the field and
/// the owner.
pub fn fallback<'a>(
    entity: &'a Entity,
    source: &str,
    wanted: &'a Record,
    is_down: impl Fn(&str) -> bool,
) -> Option<(WhenDown, &'a str, &'a str)> {
    let rank = |what: WhenDown| match what {
        WhenDown::Queue => 0,
        WhenDown::Hold => 1,
        WhenDown::Reject => 2,
    };
    let of = |name: &'a String| {
        let rule = entity.field(name)?;
        let what = ownership::fallback(rule, source, is_down(&rule.owner))?;
        Some((what, name.as_str(), rule.owner.as_str()))
    };
    wanted
        .fields
        .keys()
        .filter_map(of)
        .max_by_key(|(what, ..)| rank(*what))
}

impl Ends {
    /// Whether everything that the record would write is midwatch's own word come back from its source. `text` writes a
    /// value (and whether it is sensitive) as the ledger keeps it.
    pub fn is_echo(
        &self,
        entity: &Entity,
        carried: &Carried,
        wanted: &Record,
        at_source: &Known,
        at_receiver: &Known,
        text: impl Fn(&Value, bool) -> String,
    ) -> bool {
        let is_echo = |name: &String| {
            carried.source.fields.get(name).is_some_and(|brought| {
                ownership::is_echo(
                    at_source.fields.get(name),
                    at_receiver.fields.get(name),
                    &text(brought, self.sensitive(name)),
                    entity.field(name).and_then(|rule| rule.compare),
                )
            })
        };
        at_receiver.id.is_some() && !wanted.fields.is_empty() && wanted.fields.keys().all(is_echo)
    }

    /// Judges each field of `wanted`, of a record that is there already.
    pub fn judge(
        &self,
        entity: &Entity,
        wanted: &Record,
        facts: &Facts<'_>,
        forced: bool,
        text: impl Fn(&Value, bool) -> String,
    ) -> Verdict {
        let (mine, stripped) = strip(entity, facts.source, wanted, false);
        let mut verdict = Verdict {
            write: mine.clone(),
            stripped,
            ..Verdict::default()
        };
        let instant = |record: &Record| match record.version {
            Some(Version::Instant(at)) => Some(at),
            _ => None,
        };
        let ours_changed = instant(wanted).or(facts.changed);
        for (name, ours) in &mine.fields {
            let Some(rule) = entity.field(name) else {
                continue;
            };
            let sensitive = self.sensitive(name);
            let theirs = facts.held.and_then(|held| {
                let value = held.fields.get(name)?;
                Some((value, text(value, sensitive), instant(held)))
            });
            let known = facts.at_receiver.fields.get(name);
            let base = known
                .and_then(ownership::base)
                .map(|(base, _)| base.as_str());
            let kept = text(ours, sensitive);
            let is_third = rule.owner != facts.source && rule.owner != facts.receiver;
            let at_owner = is_third.then(|| facts.owners.get(&rule.owner)).flatten();
            let at_owner = at_owner.and_then(|known| ownership::latest(known.fields.get(name)?));
            let field = self.target.layout.fields.get(name);
            let equal = match (field, &theirs) {
                (Some(field), Some((theirs, ..))) => same_by(field, rule.compare, ours, theirs),
                _ => false,
            };
            let side = |value, kept, changed| Side {
                value,
                kept,
                changed,
            };
            let decision = ownership::decide(
                rule,
                &Case {
                    source: facts.source,
                    receiver: facts.receiver,
                    creating: false,
                    forced,
                    base,
                    at_owner,
                    ours: side(ours, &kept, ours_changed),
                    theirs: (theirs.as_ref())
                        .map(|(value, kept, changed)| side(value, kept, *changed)),
                    equal,
                },
            );
            // What a person settled otherwise is no news while the source still says the same.
            let settled = facts
                .at_source
                .fields
                .get(name)
                .and_then(|at| at.agreed.as_ref());
            let settled = settled.is_some_and(|(at_source, _)| *at_source == kept)
                && base.is_some_and(|base| base != kept);
            let mut leave = |why: String| {
                verdict.write.fields.remove(name);
                verdict.left.push((name.clone(), why));
            };
            match decision {
                Decision::Write if settled && rule.owner != facts.source => {
                    leave("a person decided otherwise, and nothing changed since".to_owned());
                }
                Decision::Write => {}
                Decision::Leave(Why::Same) => {
                    verdict.write.fields.remove(name);
                    verdict.same.push(name.clone());
                }
                Decision::Leave(why) => leave(why.words(rule, facts.source, facts.receiver)),
                Decision::Denied => leave(format!("{} owns it", rule.owner)),
                Decision::Review(why) => {
                    verdict.write.fields.remove(name);
                    verdict.disputes.push(Dispute {
                        field: name.clone(),
                        source: facts.source.to_owned(),
                        sensitive,
                        ours: (ours.clone(), ours_changed),
                        theirs: theirs.map(|(value, _, changed)| (value.clone(), changed)),
                        base: base.map(str::to_owned),
                        reason: why.words(rule, facts.source, facts.receiver),
                    });
                }
            }
        }
        verdict
    }
}
