//! What entities and paths say together: an owner that nothing reads, a path that would write only what it may not, two
//! systems that write to each other without a policy. Found here, before the first event would be held.

use std::collections::{BTreeMap, BTreeSet};

use super::entities::{Declared, REST};
use super::model::{Job, Lane, Path, System, Write};
use super::reader::{Section, Value};
use super::sections::Named;
use crate::record::ownership::Entity;
use crate::record::read::overlap;
use crate::record::written;

/// What the checks look at.
pub(super) struct Surroundings<'s, 'a> {
    /// `[paths]`, for places.
    pub(super) section: &'s Section<'a>,
    /// The paths.
    pub(super) paths: &'s [Path],
    /// The systems.
    pub(super) systems: &'s Named<System>,
    /// The scheduled comparisons.
    pub(super) jobs: &'s [Job],
}

/// Reports all of it.
pub(super) fn check(all: &BTreeMap<String, Declared<'_>>, around: &Surroundings<'_, '_>) {
    let routes: BTreeMap<&str, Value<'_>> = (around.section.entries().into_iter())
        .filter_map(|(name, value)| Some((name, value.section()?.get("route")?)))
        .collect();
    for declared in all.values() {
        unread(declared, around);
        unfailing(declared, around);
    }
    for path in around.paths {
        let Some(route) = routes.get(path.name.as_str()) else {
            continue;
        };
        match carried(path, around.systems) {
            Some((kind, fields)) => {
                if let Some(declared) = all.get(kind).filter(|one| !one.broken) {
                    left_out(path, &declared.entity, &fields, route);
                }
            }
            None => raw(path, all, around.systems, route),
        }
    }
    for (at, one) in around.paths.iter().enumerate() {
        for other in &around.paths[at + 1..] {
            if let Some(route) = routes.get(other.name.as_str()) {
                both_ways(one, other, all, around.systems, route);
            }
        }
    }
}

/// The record type that a mapped path writes, and its fields.
fn carried<'p>(path: &'p Path, systems: &'p Named<System>) -> Option<(&'p str, BTreeSet<&'p str>)> {
    let mapping = path.mapping.as_ref()?;
    let map = |system: &str, kind: &str| systems.good.get(system)?.records.get(kind);
    let fields = match (
        map(&path.from, &mapping.source),
        map(&path.to, &mapping.target),
    ) {
        (Some(from), Some(to)) => written(mapping, from, to),
        _ => BTreeSet::new(),
    };
    Some((&mapping.target, fields))
}

/// An owner whose records never come in cannot be what everybody else follows.
fn unread(declared: &Declared<'_>, around: &Surroundings<'_, '_>) {
    let entity = &declared.entity;
    let mut told = BTreeSet::new();
    for (field, value) in &declared.owners {
        let Some(rule) = rule(entity, field) else {
            continue;
        };
        if is_read(&entity.name, &rule.owner, around) || !told.insert(&rule.owner) {
            continue;
        }
        value.error(
            &format!(
                "nothing reads {} from {}: no path, `poll` or [reconcile] job",
                entity.name, rule.owner
            ),
            Some(format!(
                "add a path such as route = \"{owner}.{kind} -> ...\", or poll.{kind} to systems.{owner}",
                owner = rule.owner,
                kind = entity.name
            )),
        );
    }
}

fn is_read(kind: &str, owner: &str, around: &Surroundings<'_, '_>) -> bool {
    let Some(system) = around.systems.good.get(owner) else {
        // It could not be read; that is complaint enough.
        return true;
    };
    let events = system.records.get(kind).map(|map| &map.events);
    let by_path = |path: &Path| {
        path.from == owner
            && match &path.mapping {
                Some(mapping) => mapping.source == kind || mapping.target == kind,
                None => events.is_none_or(|events| {
                    let mut pairs = (events.iter())
                        .flat_map(|event| path.events.iter().map(move |other| (event, other)));
                    pairs.any(|(event, other)| overlap(event, other))
                }),
            }
    };
    let by_job = |job: &Job| {
        (job.records()).is_some_and(|records| records.sides.iter().any(|side| side.system == owner))
    };
    around.paths.iter().any(by_path)
        || system.poll.iter().any(|(polled, _)| polled == kind)
        || around.jobs.iter().any(by_job)
}

/// A fallback for when the owner is down, where nothing could tell that it is.
fn unfailing(declared: &Declared<'_>, around: &Surroundings<'_, '_>) {
    for (field, value) in &declared.fallbacks {
        let Some(rule) = rule(&declared.entity, field) else {
            continue;
        };
        let goes = |path: &Path| path.lane == Lane::Work && path.to == rule.owner;
        if !around.paths.iter().any(goes) {
            value.warning(
                &format!(
                    "no path goes to {owner}, so that nothing tells when {owner} is down",
                    owner = rule.owner
                ),
                Some("remove it, or add a path that writes to the owner".to_owned()),
            );
        }
    }
}

fn rule<'e>(entity: &'e Entity, field: &str) -> Option<&'e crate::record::ownership::OwnedField> {
    if field == REST {
        entity.rest.as_ref()
    } else {
        entity.fields.get(field)
    }
}

/// Fields that a mapped path reads and may not write.
fn left_out(path: &Path, entity: &Entity, fields: &BTreeSet<&str>, route: &Value<'_>) {
    let makes = (path.mapping.as_ref()).is_some_and(|mapping| mapping.write != Write::Update);
    let may = |field: &str| {
        let rule = entity.field(field);
        rule.is_some_and(|rule| rule.permits(&path.from, makes))
    };
    let out: Vec<&str> = fields.iter().copied().filter(|field| !may(field)).collect();
    if out.is_empty() {
        return;
    }
    let unnamed = out.iter().any(|field| entity.field(field).is_none());
    let suggestion = if unnamed {
        format!(
            "name their owners in entities.{kind}, or that of the rest: fields.\"*\" = {{ owner = \"...\" }}",
            kind = entity.name
        )
    } else {
        format!(
            "name {} in their `writers`, or the fields to carry over with `fields`",
            path.from
        )
    };
    let words = out.join(", ");
    if out.len() == fields.len() {
        route.error(
            &format!(
                "nothing would be written: {} may write none of these fields of {}: {words}",
                path.from, entity.name
            ),
            Some(suggestion),
        );
    } else {
        route.warning(
            &format!(
                "left out, because {} may not write them: {words}",
                path.from
            ),
            Some(suggestion),
        );
    }
}

/// What a raw path carries cannot be left out field by field.
fn raw(
    path: &Path,
    all: &BTreeMap<String, Declared<'_>>,
    systems: &Named<System>,
    route: &Value<'_>,
) {
    let Some(to) = systems.good.get(&path.to) else {
        return;
    };
    for kind in all.keys().filter(|kind| to.records.contains_key(*kind)) {
        route.warning(
            &format!(
                "{} has records of {kind}, whose fields have owners, and this path sends events as they are: \
                 what {} may not write can only be held, not left out",
                path.to, path.from
            ),
            Some(format!(
                "write route = \"{}.{kind} -> {}.{kind}\"",
                path.from, path.to
            )),
        );
    }
}

/// Two systems that write one field to each other would do so for ever, or by chance.
fn both_ways(
    one: &Path,
    other: &Path,
    all: &BTreeMap<String, Declared<'_>>,
    systems: &Named<System>,
    route: &Value<'_>,
) {
    if one.from != other.to || one.to != other.from || one.from == one.to {
        return;
    }
    let same = |path: &Path| (path.mapping.as_ref()).is_some_and(|map| map.source == map.target);
    let (Some((kind, there)), Some((back_kind, back))) =
        (carried(one, systems), carried(other, systems))
    else {
        return;
    };
    let declared = all.get(kind);
    let is_broken = declared.is_some_and(|declared| declared.broken);
    if kind != back_kind || !same(one) || !same(other) || is_broken {
        return;
    }
    let is_open = |field: &&str| {
        let Some(declared) = declared else {
            return true;
        };
        let Some(rule) = declared.entity.field(field) else {
            return false;
        };
        let named = if declared.entity.fields.contains_key(*field) {
            field
        } else {
            REST
        };
        !declared.decided.contains(named)
            && rule.permits(&one.from, false)
            && rule.permits(&other.from, false)
    };
    let open: Vec<&str> = there.intersection(&back).copied().filter(is_open).collect();
    if open.is_empty() {
        return;
    }
    let suggestion = match declared {
        Some(_) => format!(
            "say which value stands, in entities.{kind}: policy = \"owner\", \"owner_unless_blank\", \"monotonic\", \
             \"newest\" or \"manual\""
        ),
        None => format!(
            "say who owns them: [entities.{kind}] with fields.{} = {{ owner = \"...\" }}",
            open[0]
        ),
    };
    route.error(
        &format!(
            "{} and {} both write these fields of {kind} to each other, and nothing says which value stands: {}",
            one.from,
            one.to,
            open.join(", ")
        ),
        Some(suggestion),
    );
}
