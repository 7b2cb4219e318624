//! What is to be done about a difference: the write that mends it, where a rule of the configuration says which value
//! stands; else why nothing is written. Pure. Called by `run` when a plan is made, and by `apply` again before each write.
//!
//! | difference | what follows |
//! |---|---|
//! | not read a second time | told |
//! | a field, both sides changed it | review |
//! | a field, its entity's rule gives one side's value to the other | that update |
//! | a field, no rule decides | review, or told where nobody may write it |
//! | missing, and it was never there | the path that carries such records makes it |
//! | missing, and it was there before | review; with `rails.deletes`, and where the side that removed it owns it: removed on the other |
//! | paid, but pending | the job's `becomes` |
//! | any other of money, duplicates | as graded: a person decides |
//!
//! What is missing is acted on only where both listings were whole and neither was empty.

use super::carrier::event_kind;
use super::compare::same;
use crate::config::model::{Config, Job, JobSide, Matching, Path, Records, RepairMode, Write};
use crate::record::ownership::{Case, Decision, Entity, OwnedField, Policy, Side, Why, decide};
use crate::record::value::{Record, Value, Version};
use crate::store::HashKey;
use crate::store::view::{Changed, DifferenceKind, DifferenceRow, Grade, PlanWrite, WriteVerb};
use crate::time::Timestamp;

/// What grading goes by.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The job.
    pub job: &'a Job,
    /// What it compares.
    pub records: &'a Records,
    /// Both listings were whole, and neither was empty.
    pub complete: bool,
    /// Hashes what is sensitive.
    pub key: &'a HashKey,
}

/// Grades a difference, says why in its note, and gives the write that mends it. `read`: the only record of the key on each
/// side, as the second read found it.
pub fn grade(
    ground: &Ground<'_>,
    row: &mut DifferenceRow,
    read: [Option<&Record>; 2],
) -> Option<PlanWrite> {
    use DifferenceKind::{Field, OnlyFirst, OnlySecond, PaidPending};
    if !row.confirmed {
        // What was found says more than what may follow.
        row.grade = row.grade.max(Grade::Told);
        if row.grade == Grade::Repairable {
            row.grade = Grade::Told;
        }
        return None;
    }
    let judged = match row.kind {
        Field if matches!(ground.records.matching, Matching::Key) => field(ground, row, read),
        OnlyFirst => missing(ground, row, 1),
        OnlySecond => missing(ground, row, 0),
        PaidPending => pending(ground, row),
        DifferenceKind::Duplicate => Judged::review("it is there more than once".to_owned()),
        // The judge of money said it all.
        _ => return None,
    };
    row.grade = judged.grade;
    row.note = Some(judged.note);
    judged.write
}

/// What follows from a difference.
struct Judged {
    grade: Grade,
    note: String,
    write: Option<PlanWrite>,
}

impl Judged {
    fn told(note: String) -> Self {
        Self {
            grade: Grade::Told,
            note,
            write: None,
        }
    }

    fn review(note: String) -> Self {
        Self {
            grade: Grade::Review,
            ..Self::told(note)
        }
    }

    fn write(write: PlanWrite) -> Self {
        Self {
            grade: Grade::Repairable,
            note: write.rule.clone(),
            write: Some(write),
        }
    }
}

impl<'a> Ground<'a> {
    fn side(&self, index: usize) -> &'a JobSide {
        &self.records.sides[index]
    }

    fn entity(&self) -> Option<&'a Entity> {
        self.config
            .entities
            .get(&self.records.entity)
            .map(AsRef::as_ref)
    }

    /// Why a field of a side cannot be written by a repair; none if it can.
    fn unwritable(&self, index: usize, field: &str) -> Option<String> {
        let side = self.side(index);
        let (system, kind) = (&side.system, &side.kind);
        if !side.declared {
            return Some(format!(
                "{system} is only listed here: a repair needs its record map"
            ));
        }
        if self.config.path(&Path::repair(system, kind)).is_none() {
            return Some(format!("{system}.{kind} has no `update`"));
        }
        match side.map.layout.fields.get(field) {
            None => Some(format!("{system}.{kind} has no field {field}")),
            Some(found) if found.read_only => Some(format!("{system}.{kind} never gets {field}")),
            Some(_) => None,
        }
    }
}

fn field(ground: &Ground<'_>, row: &DifferenceRow, read: [Option<&Record>; 2]) -> Judged {
    let Some(name) = row.field.as_deref() else {
        return Judged::told("no field is named".to_owned());
    };
    let Some(entity) = ground.entity() else {
        let entity = &ground.records.entity;
        return Judged::told(format!(
            "nobody is said to own it: declare [entities.{entity}]"
        ));
    };
    let Some(rule) = entity.field(name) else {
        return Judged::told(format!("nobody is said to own {name} of {}", entity.name));
    };
    if row.changed == Some(Changed::Both) {
        return Judged::review("both changed it since they agreed".to_owned());
    }
    let [Some(first), Some(second)] = read else {
        return Judged::told("one side is only listed".to_owned());
    };
    for (index, record) in [first, second].into_iter().enumerate() {
        let system = &ground.side(index).system;
        if record.unread.contains_key(name) {
            return Judged::review(format!(
                "what {system} says of {name} cannot be read as its field's type: mend it there, or the record map"
            ));
        }
        if *system == rule.owner && !record.fields.contains_key(name) {
            return Judged::told(format!(
                "{system} owns {name} and says nothing of it: if that holds for all records, mend the record map"
            ));
        }
    }
    let directions = [
        one_way(ground, rule, row, name, (0, first, second)),
        one_way(ground, rule, row, name, (1, second, first)),
    ];
    // Whoever changed it is asked first; where that is not known, the owner.
    let order = match row.changed {
        Some(Changed::Second) => [1, 0],
        None if ground.side(1).system == rule.owner => [1, 0],
        _ => [0, 1],
    };
    let Some(from) = order
        .into_iter()
        .find(|from| directions[*from] == Decision::Write)
    else {
        return undecided(ground, rule, name, directions, order);
    };
    let to = 1 - from;
    if let Some(why) = ground.unwritable(to, name) {
        return Judged::told(why);
    }
    let values = [&row.first, &row.second];
    let (Some(stands), record) = (values[from].clone(), [first, second][to]) else {
        return Judged::told(format!("{} does not say", ground.side(from).system));
    };
    let sensitive = is_sensitive(ground.records, rule, name);
    let receiver = ground.side(to);
    let who = match row.changed {
        Some(Changed::First) => format!("; only {} changed it", ground.side(0).system),
        Some(Changed::Second) => format!("; only {} changed it", ground.side(1).system),
        Some(Changed::Both) | None => String::new(),
    };
    Judged::write(PlanWrite {
        key: row.key.clone(),
        kind: receiver.kind.clone(),
        system: receiver.system.clone(),
        id: record.id.clone().or_else(|| row.ids[to].clone()),
        verb: WriteVerb::Update,
        field: Some(name.to_owned()),
        from: values[to].clone(),
        to: Some(stands),
        rule: format!("{}{who}", owned(rule, &entity.name, name)),
        sensitive,
        ..PlanWrite::default()
    })
}

/// `shop owns status of order (monotonic)`.
fn owned(rule: &OwnedField, entity: &str, field: &str) -> String {
    match rule.policy {
        Policy::Owner => format!("{} owns {field} of {entity}", rule.owner),
        policy => format!(
            "{} owns {field} of {entity} ({})",
            rule.owner,
            policy.word()
        ),
    }
}

fn is_sensitive(records: &Records, rule: &OwnedField, field: &str) -> bool {
    let here = |one: &crate::config::model::JobField| one.name == field && one.sensitive;
    rule.sensitive || records.fields.iter().any(here)
}

/// What the field's rule says of one side's value being written to the other.
fn one_way(
    ground: &Ground<'_>,
    rule: &OwnedField,
    row: &DifferenceRow,
    name: &str,
    (from, source, receiver): (usize, &Record, &Record),
) -> Decision {
    let sensitive = is_sensitive(ground.records, rule, name);
    let Some(ours) = source.fields.get(name) else {
        return Decision::Denied;
    };
    // What the other holds and nobody can read is not overwritten.
    if source.unread.contains_key(name) || receiver.unread.contains_key(name) {
        return Decision::Review(Why::UnknownWord);
    }
    let theirs = receiver.fields.get(name);
    let kept = |value: &Value| ground.key.text(value, sensitive);
    let (ours_kept, theirs_kept) = (kept(ours), theirs.map(&kept));
    let compared = ground
        .records
        .fields
        .iter()
        .find(|field| field.name == name);
    let equal = compared.is_some_and(|field| same(field, Some(&ours_kept), theirs_kept.as_deref()));
    decide(
        rule,
        &Case {
            source: &ground.side(from).system,
            receiver: &ground.side(1 - from).system,
            creating: false,
            forced: false,
            base: row.base.as_deref(),
            at_owner: None,
            ours: Side {
                value: ours,
                kept: &ours_kept,
                changed: changed_at(source),
            },
            theirs: (theirs.zip(theirs_kept.as_deref())).map(|(value, kept)| Side {
                value,
                kept,
                changed: changed_at(receiver),
            }),
            equal,
        },
    )
}

fn changed_at(record: &Record) -> Option<Timestamp> {
    match record.version {
        Some(Version::Instant(at)) => Some(at),
        _ => None,
    }
}

/// No side's value stands: why.
fn undecided(
    ground: &Ground<'_>,
    rule: &OwnedField,
    name: &str,
    directions: [Decision; 2],
    order: [usize; 2],
) -> Judged {
    let words = |from: usize, why: Why| {
        let (source, receiver) = (ground.side(from), ground.side(1 - from));
        why.words(rule, &source.system, &receiver.system)
    };
    for from in order {
        if let Decision::Review(why) = directions[from] {
            return Judged::review(words(from, why));
        }
    }
    for from in order {
        if let Decision::Leave(why) = directions[from] {
            return Judged::told(words(from, why));
        }
    }
    let systems = ground
        .records
        .sides
        .each_ref()
        .map(|side| side.system.as_str());
    Judged::told(format!(
        "neither {} nor {} may write {name}: {} owns it",
        systems[0], systems[1], rule.owner
    ))
}

/// A record that only one side has; `lacking` is the other.
fn missing(ground: &Ground<'_>, row: &DifferenceRow, lacking: usize) -> Judged {
    let (here, there) = (ground.side(1 - lacking), ground.side(lacking));
    let was_there = match row.changed {
        Some(Changed::First) => lacking == 0,
        Some(Changed::Second) => lacking == 1,
        _ => false,
    };
    if !ground.complete {
        return Judged::told("a listing was not whole: nothing is made or removed".to_owned());
    }
    if was_there {
        return removed(ground, row, lacking);
    }
    let carries = |path: &&Path| {
        path.from == here.system
            && path.to == there.system
            && path.mapping.as_ref().is_some_and(|mapping| {
                mapping.source == here.kind
                    && mapping.target == there.kind
                    && mapping.write != Write::Update
            })
    };
    let Some(path) = ground.config.paths.iter().find(carries) else {
        return Judged::told(format!(
            "no path makes {} of {} in {}",
            there.kind, here.system, there.system
        ));
    };
    if let Some(entity) = ground.entity()
        && !entity
            .fields
            .values()
            .chain(&entity.rest)
            .any(|rule| rule.permits(&here.system, true))
    {
        return Judged::told(format!(
            "{} may write no field of {}",
            here.system, entity.name
        ));
    }
    if let Err(why) = event_kind(ground.config, here) {
        return Judged::told(why);
    }
    Judged::write(PlanWrite {
        key: row.key.clone(),
        kind: there.kind.clone(),
        system: there.system.clone(),
        verb: WriteVerb::Create,
        to: Some(crate::record::value::Value::Text(row.key.clone()).canonical()),
        rule: format!(
            "path {} carries {} from {}",
            path.name, here.kind, here.system
        ),
        ..PlanWrite::default()
    })
}

/// A record that `lacking` had before.
fn removed(ground: &Ground<'_>, row: &DifferenceRow, lacking: usize) -> Judged {
    let (here, there) = (ground.side(1 - lacking), ground.side(lacking));
    let words = format!("{} had it before: it was removed there", there.system);
    if !ground.records.rails.deletes {
        return Judged::review(words);
    }
    let owns_all = ground.entity().is_some_and(|entity| {
        let mut rules = entity.fields.values().chain(&entity.rest);
        rules.all(|rule| rule.owner == there.system)
    });
    if !owns_all || !here.declared || here.map.delete.is_none() {
        return Judged::review(words);
    }
    let Some(id) = row.ids[1 - lacking].clone() else {
        return Judged::review(words);
    };
    Judged::write(PlanWrite {
        key: row.key.clone(),
        kind: here.kind.clone(),
        system: here.system.clone(),
        id: Some(id),
        verb: WriteVerb::Delete,
        from: Some(Value::Text(row.key.clone()).canonical()),
        rule: format!(
            "{} owns {} and removed it",
            there.system, ground.records.entity
        ),
        ..PlanWrite::default()
    })
}

/// A paid order that does not know it. The order's own system is written; the payments are the witness. Where a person
/// approves each plan the job's own `becomes` is rule enough; a job that approves itself needs the payments' system among
/// the field's writers.
fn pending(ground: &Ground<'_>, row: &DifferenceRow) -> Judged {
    let becomes = match &ground.records.matching {
        Matching::Money(money) => money.becomes.as_ref(),
        Matching::Key => None,
    };
    let note = row.note.clone().unwrap_or_default();
    let Some(becomes) = becomes else {
        return Judged::review(note);
    };
    let (payments, orders) = (ground.side(0), ground.side(1));
    if let Some(why) = ground.unwritable(1, "status") {
        return Judged::told(format!("{note}: {why}"));
    }
    let rule = ground.entity().and_then(|entity| entity.field("status"));
    if let Some(rule) = rule {
        let permitted = rule.permits(&payments.system, false) || rule.owner == orders.system;
        let automatic = ground.records.repair == RepairMode::Apply;
        if !permitted || automatic && !rule.permits(&payments.system, false) {
            return Judged::review(format!(
                "{note}: {} may not write status of {}: {} owns it",
                payments.system, orders.kind, rule.owner
            ));
        }
        let from = row.second.as_deref().map(crate::record::alike::plain);
        let ranks = (from.and_then(|from| rule.rank(&from)), rule.rank(becomes));
        if let (Some(from), Some(to)) = ranks
            && from > to
        {
            return Judged::review(format!("{note}: status never goes back to {becomes}"));
        }
    }
    Judged::write(PlanWrite {
        key: row.key.clone(),
        kind: orders.kind.clone(),
        system: orders.system.clone(),
        id: row.ids[1].clone(),
        verb: WriteVerb::Update,
        field: Some("status".to_owned()),
        from: row.second.clone(),
        to: Some(Value::Text(becomes.clone()).canonical()),
        rule: format!(
            "{} has the whole amount: it becomes {becomes}",
            payments.system
        ),
        ..PlanWrite::default()
    })
}

#[cfg(test)]
mod tests;
