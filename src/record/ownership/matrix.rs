//! Every field of every declared entity, who owns it, and what each path may do with it: one row a field. Pure; the
//! `ownership` command prints it, the console's Ownership screen shows it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Entity, OwnedField, Role};
use crate::config::model::{Config, Lane, Path, Write};
use crate::record::read::overlap;
use crate::record::written;
use crate::time::short;

/// What follows the name of a writer that may write only when the record is made.
const CREATE_ONLY: &str = ":create_only";

/// A field of a declared entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The entity.
    pub entity: String,
    /// The field; `*` for all that are not named.
    pub field: String,
    /// The system of record. None: the entity names none, so that nobody writes it.
    pub owner: Option<String>,
    /// Others that may write it (`crm`, `shop:create_only`).
    pub writers: Vec<String>,
    /// Which value stands.
    pub policy: Option<&'static str>,
    /// The values of a `monotonic` field, lowest first.
    pub order: Vec<String>,
    /// The least time between two changes of a `newest` field, in words.
    pub gap: Option<String>,
    /// How two values are compared; none: as the record maps say.
    pub compare: Option<&'static str>,
    /// It is kept as a keyed hash and masked.
    pub sensitive: bool,
    /// What becomes of another writer's value while the owner is down.
    pub when_owner_down: Option<&'static str>,
    /// Paths that carry it and may write it.
    pub written_by: Vec<String>,
    /// Paths that carry it and may write it only when the record is made.
    pub created_by: Vec<String>,
    /// Paths that carry it and may not: it is left out.
    pub left_out_by: Vec<String>,
    /// Paths that send events as they are, whose source may not write it: the event is held.
    pub held_by: Vec<String>,
}

impl Row {
    /// The rule in words: `shop owns it; crm may write it; policy newest by 5s`.
    pub fn rule(&self) -> String {
        let Some(owner) = &self.owner else {
            return "no owner is named, so that nobody writes it".to_owned();
        };
        let mut parts = vec![format!("{owner} owns it")];
        parts.extend(
            (self.writers.iter()).map(|writer| match writer.strip_suffix(CREATE_ONLY) {
                Some(system) => format!("{system} may write it when the record is made"),
                None => format!("{writer} may write it"),
            }),
        );
        parts.extend(self.policy_words().map(|words| format!("policy {words}")));
        parts.extend(self.compare.map(|compare| format!("compared by {compare}")));
        parts.extend(self.sensitive.then(|| "sensitive".to_owned()));
        let down = self.when_owner_down;
        parts.extend(down.map(|down| format!("while {owner} is down: {down}")));
        parts.join("; ")
    }

    /// Its policy with what belongs to it: `monotonic: pending < completed`, `newest by 5s`.
    pub fn policy_words(&self) -> Option<String> {
        let policy = self.policy?;
        Some(match &self.gap {
            Some(gap) => format!("{policy} by {gap}"),
            None if !self.order.is_empty() => format!("{policy}: {}", self.order.join(" < ")),
            None => policy.to_owned(),
        })
    }
}

impl Row {
    /// What each path may do with it, in words.
    pub fn paths(&self) -> String {
        let said = [
            ("written by", &self.written_by),
            ("when made by", &self.created_by),
            ("left out of", &self.left_out_by),
            ("held on", &self.held_by),
        ];
        let parts: Vec<String> = (said.into_iter())
            .filter(|(_, paths)| !paths.is_empty())
            .map(|(word, paths)| format!("{word} {}", paths.join(", ")))
            .collect();
        if parts.is_empty() {
            return "no path carries it".to_owned();
        }
        parts.join("; ")
    }
}

/// Every row, by entity and field; the rest of an entity's fields last, and after it those that paths carry and nobody owns.
pub fn matrix(config: &Config) -> Vec<Row> {
    config
        .entities
        .values()
        .flat_map(|entity| rows(config, entity))
        .collect()
}

/// The row that a field of an entity stands in: its own, or that of the rest, named after it.
pub fn row_of(config: &Config, entity: &Entity, field: &str) -> Option<Row> {
    let rows = rows(config, entity);
    let own = rows.iter().find(|row| row.field == field);
    let row = own.or_else(|| rows.iter().find(|row| row.field == "*"))?;
    Some(Row {
        field: field.to_owned(),
        ..row.clone()
    })
}

/// The rows of one entity.
fn rows(config: &Config, entity: &Entity) -> Vec<Row> {
    let carriers: Vec<Carrier<'_>> = (config.paths.iter())
        .filter_map(|path| carrier(config, entity, path))
        .collect();
    let mut rows: Vec<Row> = (entity.fields.iter())
        .map(|(field, rule)| {
            let carriers = carriers.iter().filter(|one| one.fields.contains(&**field));
            row(entity, field, Some(rule), carriers)
        })
        .collect();
    let rest: BTreeSet<&str> = (carriers.iter())
        .flat_map(|carrier| carrier.fields.iter().copied())
        .filter(|field| !entity.fields.contains_key(*field))
        .collect();
    match &entity.rest {
        Some(rule) => {
            let is_one = |one: &&Carrier<'_>| one.fields.iter().any(|field| rest.contains(field));
            rows.push(row(entity, "*", Some(rule), carriers.iter().filter(is_one)));
        }
        None => {
            for field in rest {
                let carriers = carriers.iter().filter(|one| one.fields.contains(field));
                rows.push(row(entity, field, None, carriers));
            }
        }
    }
    rows
}

/// A path that carries records of an entity, and the fields that it carries.
struct Carrier<'c> {
    path: &'c Path,
    fields: BTreeSet<&'c str>,
}

fn carrier<'c>(config: &'c Config, entity: &Entity, path: &'c Path) -> Option<Carrier<'c>> {
    let map = |system: &str, kind: &str| config.systems.get(system)?.records.get(kind);
    let fields = match &path.mapping {
        Some(mapping) if mapping.target == entity.name => written(
            mapping,
            map(&path.from, &mapping.source)?,
            map(&path.to, &mapping.target)?,
        ),
        // Sent as it is: all that the source's record has, if its events can be such records.
        None if path.lane == Lane::Work => {
            map(&path.to, &entity.name)?;
            let from = map(&path.from, &entity.name)?;
            let taken = |event: &String| path.events.iter().any(|other| overlap(event, other));
            if !from.events.iter().any(taken) {
                return None;
            }
            from.layout.fields.keys().map(String::as_str).collect()
        }
        _ => return None,
    };
    Some(Carrier { path, fields })
}

fn row<'c>(
    entity: &Entity,
    field: &str,
    rule: Option<&OwnedField>,
    carriers: impl Iterator<Item = &'c Carrier<'c>>,
) -> Row {
    let writer = |writer: &super::Writer| {
        let only = if writer.create_only { CREATE_ONLY } else { "" };
        format!("{}{only}", writer.system)
    };
    let mut row = Row {
        entity: entity.name.clone(),
        field: field.to_owned(),
        owner: rule.map(|rule| rule.owner.clone()),
        writers: rule
            .map(|rule| rule.writers.iter().map(writer).collect())
            .unwrap_or_default(),
        policy: rule.map(|rule| rule.policy.word()),
        order: rule.map(|rule| rule.order.clone()).unwrap_or_default(),
        gap: rule
            .filter(|rule| rule.policy == super::Policy::Newest)
            .map(|rule| short(rule.gap)),
        compare: rule.and_then(|rule| rule.compare).map(super::Compare::word),
        sensitive: rule.is_some_and(|rule| rule.sensitive),
        when_owner_down: rule
            .and_then(|rule| rule.when_owner_down)
            .map(super::WhenDown::word),
        written_by: Vec::new(),
        created_by: Vec::new(),
        left_out_by: Vec::new(),
        held_by: Vec::new(),
    };
    for Carrier { path, .. } in carriers {
        let may = rule.map_or(Role::Neither, |rule| rule.role(&path.from));
        let makes = (path.mapping.as_ref()).is_some_and(|mapping| mapping.write != Write::Update);
        let list = match may {
            Role::Owner | Role::Writer => &mut row.written_by,
            Role::CreateOnly if makes => &mut row.created_by,
            _ if path.mapping.is_none() => &mut row.held_by,
            Role::CreateOnly | Role::Neither => &mut row.left_out_by,
        };
        list.push(path.name.clone());
    }
    row
}
