//! Which fields a path between record types carries over, and whether the receiver's can hold them. The rules of conversion
//! are `record::translate`'s; here is found what none of them could do, whatever the value.

use std::collections::BTreeSet;

use super::mapping::{Listed, Maps, place};
use super::reader::{Section, Value, quoted};
use super::values::check_member;
use crate::record::map::{Field, Kind};

/// Fields must be known on both sides, and be writable; something must be written.
pub(super) fn check_fields(
    section: &Section<'_>,
    route: &Value<'_>,
    maps: &Maps<'_>,
    fields: &Listed<'_>,
    set: &[(String, String, Value<'_>)],
) {
    let Maps { from, to } = maps;
    let known: BTreeSet<&str> = std::iter::once(&from.layout)
        .chain(from.from.values().map(|inside| &inside.layout))
        .flat_map(|layout| layout.fields.keys().map(String::as_str))
        .collect();
    let writable = |value: &Value<'_>, name: &str| {
        let names = to.layout.fields.keys().map(String::as_str);
        if check_member(value, "field", &place(to), name, names)
            && to
                .layout
                .fields
                .get(name)
                .is_some_and(|field| field.read_only)
        {
            value.error(
                &format!("{} is read only in {}", quoted(name), place(to)),
                None,
            );
        }
    };
    for (value, name) in fields {
        if check_member(value, "field", &place(from), name, known.iter().copied()) {
            writable(value, name);
        }
    }
    for (name, _, value) in set {
        writable(value, name);
    }
    check_kinds(route, maps, fields, set);
    let common = from.kind == to.kind
        && (to.layout.fields.iter())
            .any(|(name, field)| !field.read_only && known.contains(name.as_str()));
    if fields.is_empty() && set.is_empty() && !common {
        section.error(
            &format!(
                "nothing would be written: {} and {} have no field in common that can be",
                place(from),
                place(to)
            ),
            Some("name fields of both with `fields`, or write some with `set`".to_owned()),
        );
    }
}

/// A field that is carried over must be able to hold what the source's can.
fn check_kinds(
    route: &Value<'_>,
    maps: &Maps<'_>,
    fields: &Listed<'_>,
    set: &[(String, String, Value<'_>)],
) {
    let Maps { from, to } = maps;
    for (name, target) in &to.layout.fields {
        let listed = fields.iter().find(|(_, field)| field == name);
        let is_set = set.iter().any(|(field, _, _)| field == name);
        if target.read_only
            || is_set
            || listed.is_none() && (!fields.is_empty() || from.kind != to.kind)
        {
            continue;
        }
        let sources = std::iter::once(&from.layout)
            .chain(from.from.values().map(|inside| &inside.layout))
            .filter_map(|layout| layout.fields.get(name));
        for source in sources {
            if can_hold(source, target) {
                continue;
            }
            listed.map_or(route, |(value, _)| value).error(
                &format!(
                    "{}.fields.{name} cannot hold what {}.fields.{name} has: {} becomes no {}",
                    place(to),
                    place(from),
                    word(&source.kind),
                    word(&target.kind)
                ),
                Some("correct a `type`, or name the fields to carry over with `fields`".to_owned()),
            );
            break;
        }
    }
}

/// Whether some value of one field can become a value of the other, as `record::translate` does it. Texts may always.
fn can_hold(source: &Field, target: &Field) -> bool {
    let plain = |kind: &Kind| matches!(kind, Kind::Text | Kind::Bool | Kind::Number);
    match (&source.kind, &target.kind) {
        _ if !source.values.is_empty() => true,
        (from, to) if !target.values.is_empty() && plain(to) => plain(from),
        (Kind::Text, _)
        | (Kind::Bool, Kind::Bool | Kind::Text)
        | (Kind::Set { .. }, Kind::Set { .. }) => true,
        (Kind::Number, to) => plain(to) && *to != Kind::Bool || is_amount(to),
        (from, to) if is_amount(from) => is_amount(to),
        (from, to) if is_time(from) => is_time(to) || *to == Kind::Text,
        _ => false,
    }
}

pub(super) fn is_amount(kind: &Kind) -> bool {
    matches!(kind, Kind::Money { .. } | Kind::Minor { .. })
}

fn is_time(kind: &Kind) -> bool {
    matches!(kind, Kind::Instant | Kind::Seconds | Kind::Millis)
}

/// The word of `type`.
fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Bool => "bool",
        Kind::Number => "number",
        Kind::Money { .. } => "money",
        Kind::Minor { .. } => "minor",
        Kind::Instant => "instant",
        Kind::Seconds => "seconds",
        Kind::Millis => "millis",
        Kind::Set { .. } => "set",
    }
}
