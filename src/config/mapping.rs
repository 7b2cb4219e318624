//! Paths from one record type to another: `route = "shop.order -> crm.order"` with `write`, `fields`, `set`, `needs`,
//! `links`. Whatever would fail at the first event for want of a declaration is found here.

use std::time::Duration;

use super::carry::check_fields;
use super::model::{Mapping, System, Write};
use super::needs::Need;
use super::paths::Route;
use super::reader::{Section, Value};
use super::sections::Named;
use super::settings::Settings;
use super::values::check_member;
use crate::event::expr::Kind;
use crate::record::map::{RecordMap, changed};
use crate::record::read;

/// Keys that only such a path has.
pub(super) const KEYS: [&str; 6] = ["write", "fields", "set", "needs", "links", "needs_within"];

/// How long a delivery waits for what it needs, unless it says so itself: long enough for a person to mend the other path.
const NEEDS_WITHIN: Duration = Duration::from_secs(86_400);

/// The two maps of a route.
pub(super) struct Maps<'s> {
    /// The source's.
    pub(super) from: &'s RecordMap,
    /// The receiver's.
    pub(super) to: &'s RecordMap,
}

/// What a path between record types carries over; nothing if that cannot be said, which is reported.
pub(super) fn mapping<'a>(
    section: &Section<'a>,
    route: &Route<'a>,
    own: &Settings<'a>,
    shared: &Settings<'_>,
    systems: &Named<System>,
    needs: &mut Vec<Need<'a>>,
) -> Option<Mapping> {
    let (source, target) = route.types.as_ref()?;
    for (key, value) in [
        ("url", own.url.as_ref().map(|(_, value)| value.clone())),
        (
            "method",
            own.method.as_ref().and_then(|_| section.get("method")),
        ),
        ("body", own.body.as_ref().and_then(|_| section.get("body"))),
        (
            "headers",
            section.get("headers").filter(|_| !own.headers.is_empty()),
        ),
    ] {
        if let Some(value) = value {
            value.error(
                "a path between record types takes its requests from the receiver's record map",
                Some(format!(
                    "remove `{key}`, and change systems.{}.records.{target} if need be",
                    route.to
                )),
            );
        }
    }
    let words = [
        ("upsert", Write::Upsert),
        ("create", Write::Create),
        ("update", Write::Update),
    ];
    let usual = if source == target {
        Write::Upsert
    } else {
        Write::Update
    };
    let write = section
        .get("write")
        .and_then(|value| value.word(&words))
        .unwrap_or(usual);
    let fields = texts(section, "fields", "a list of fields such as [\"status\"]");
    let set = set(section);
    let needed = texts(
        section,
        "needs",
        "a list of record types such as [\"contact\"]",
    );
    let links = section
        .get("links")
        .map(|value| listed(&value, "a list of record types such as [\"contact\"]"));
    let mut mapping = Mapping {
        source: source.clone(),
        target: target.clone(),
        write,
        fields: names(&fields),
        set: set
            .iter()
            .map(|(name, template, _)| (name.clone(), template.clone()))
            .collect(),
        needs: names(&needed),
        links: Vec::new(),
        needs_within: own
            .needs_within
            .or(shared.needs_within)
            .unwrap_or(NEEDS_WITHIN),
    };
    let maps = maps(route, source, target, systems)?;
    check_maps(&route.value, &maps, write);
    check_fields(section, &route.value, &maps, &fields, &set);
    for (value, kind) in &needed {
        let known = systems.good.get(&route.to)?.records.keys();
        let owner = format!("systems.{}", route.to);
        if check_member(
            value,
            "record type",
            &owner,
            kind,
            known.map(String::as_str),
        ) {
            check_ref(value, maps.from, kind);
            needs.push(Need {
                system: route.to.clone(),
                target: target.clone(),
                needed: (*kind).to_owned(),
                value: value.clone(),
            });
        }
    }
    mapping.links = match links {
        Some(links) => {
            for (value, kind) in &links {
                let known = maps.to.links.keys().map(String::as_str);
                if check_member(value, "link", &place(maps.to), kind, known) {
                    check_ref(value, maps.from, kind);
                }
            }
            names(&links)
        }
        None => mapping
            .needs
            .iter()
            .filter(|kind| maps.to.links.contains_key(*kind))
            .cloned()
            .collect(),
    };
    Some(mapping)
}

/// A plain path has none of a mapped one's keys.
pub(super) fn refuse(section: &Section<'_>) {
    for key in KEYS {
        if let Some(value) = section.get(key) {
            value.error(
                "this belongs to a path between record types",
                Some("name them in the route: route = \"shop.order -> crm.order\"".to_owned()),
            );
        }
    }
}

/// The event types that carry the source's records, directly or inside another record.
pub(super) fn carried(route: &Route<'_>, systems: &Named<System>) -> Vec<String> {
    let Some((source, _)) = &route.types else {
        return Vec::new();
    };
    let Some(records) = systems.good.get(&route.from).map(|system| &system.records) else {
        return Vec::new();
    };
    let Some(map) = records.get(source) else {
        return Vec::new();
    };
    let outer = map.from.keys().filter_map(|outer| records.get(outer));
    let mut events: Vec<String> = Vec::new();
    for pattern in map
        .events
        .iter()
        .chain(outer.flat_map(|outer| &outer.events))
    {
        if !events.contains(pattern) {
            events.push(pattern.clone());
        }
    }
    events
}

/// `site.live_from` can only hold back what says when it was made: names the events that carry records which do not.
pub(super) fn warn_unheld(route: &Route<'_>, events: &[String], systems: &Named<System>) {
    let Some(((source, _), system)) = (route.types.as_ref()).zip(systems.good.get(&route.from))
    else {
        return;
    };
    let Some(map) = system.records.get(source) else {
        return;
    };
    let within = |kind: &String| {
        let inside = map.from.get(kind)?;
        inside.layout.created.is_none().then(|| {
            (
                system.records.get(kind),
                format!("{}.from.{kind}", place(map)),
            )
        })
    };
    let direct = (map.layout.created.is_none()).then(|| (Some(map), place(map)));
    let silent = direct.into_iter().chain(map.from.keys().filter_map(within));
    for (carrier, place) in silent {
        let Some(carrier) = carrier else { continue };
        let is_fed = |event: &&String| {
            let polled = changed(&carrier.kind);
            (carrier.events.iter().chain([&polled])).any(|pattern| read::overlap(pattern, event))
        };
        if let Some(event) = events.iter().find(is_fed) {
            route.value.warning(
                &format!(
                    "{place} has no `created`, so that site.live_from holds back nothing of what {event} carries"
                ),
                Some(
                    "add created = \"/...\", a JSON Pointer to the time when it was made".to_owned(),
                ),
            );
        }
    }
}

/// The event types that polling makes of the source's records, or of those that carry them.
pub(super) fn polled(from: &str, source: &str, systems: &Named<System>) -> Vec<String> {
    let Some(system) = systems.good.get(from) else {
        return Vec::new();
    };
    let inside = |kind: &String| {
        let map = system.records.get(source);
        map.is_some_and(|map| map.from.contains_key(kind))
    };
    system
        .poll
        .iter()
        .filter(|(kind, _)| kind == source || inside(kind))
        .map(|(kind, _)| changed(kind))
        .collect()
}

/// `systems.crm.records.order`
pub(super) fn place(map: &RecordMap) -> String {
    format!("systems.{}.records.{}", map.system, map.kind)
}

/// The texts of a list, with their places.
pub(super) type Listed<'a> = Vec<(Value<'a>, &'a str)>;

fn texts<'a>(section: &Section<'a>, key: &'static str, expected: &str) -> Listed<'a> {
    section
        .get(key)
        .map(|value| listed(&value, expected))
        .unwrap_or_default()
}

/// The texts of a list; an empty list says "none".
fn listed<'a>(value: &Value<'a>, expected: &str) -> Listed<'a> {
    if value.items().is_some_and(|items| items.is_empty()) {
        return Vec::new();
    }
    value.texts(expected).unwrap_or_default()
}

fn names(listed: &Listed<'_>) -> Vec<String> {
    listed.iter().map(|(_, name)| (*name).to_owned()).collect()
}

/// `set`, in file order.
fn set<'a>(section: &Section<'a>) -> Vec<(String, String, Value<'a>)> {
    section
        .get("set")
        .and_then(|value| value.section())
        .map(|set| set.entries())
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| {
            Some((name.to_owned(), value.expression(Kind::Mapping)?, value))
        })
        .collect()
}

/// Both maps, if both systems have them.
fn maps<'s>(
    route: &Route<'_>,
    source: &str,
    target: &str,
    systems: &'s Named<System>,
) -> Option<Maps<'s>> {
    let map = |name: &str, kind: &str| {
        let records = &systems.good.get(name)?.records;
        check_member(
            &route.value,
            "record type",
            &format!("systems.{name}"),
            kind,
            records.keys().map(String::as_str),
        )
        .then(|| records.get(kind).map(AsRef::as_ref))?
    };
    let (from, to) = (map(&route.from, source), map(&route.to, target));
    Some(Maps {
        from: from?,
        to: to?,
    })
}

/// What the maps must be able to say and do.
fn check_maps(route: &Value<'_>, maps: &Maps<'_>, write: Write) {
    let Maps { from, to } = maps;
    // A record of another type may be named by a reference; one that only comes inside others has its key there.
    let named = from.layout.key.is_some()
        || from.kind != to.kind && from.layout.refs.contains_key(&to.kind)
        || from.events.is_empty() && !from.from.is_empty();
    for (map, without) in [(from, !named), (to, to.layout.key.is_none())] {
        if without {
            route.error(
                &format!("{} has no `key`", place(map)),
                Some(
                    "a record is found by its business key: add key = \"/...\", a JSON Pointer"
                        .to_owned(),
                ),
            );
        }
    }
    if to.lookup.is_none() {
        let message = format!(
            "{} has no `lookup`: after an outcome that is not known a record would be made twice",
            place(to)
        );
        match write {
            Write::Create => route.warning(&message, None),
            Write::Upsert | Write::Update => route.error(
                &message,
                Some("add one: a request that finds a record by `{{ key }}`".to_owned()),
            ),
        }
    }
    let instead = |write: &str| Some(format!("add one, or use write = \"{write}\""));
    if to.create.is_none() && write != Write::Update {
        let message = format!("{} has no `create`", place(to));
        route.error(&message, instead("update"));
    }
    let Some(update) = &to.update else {
        if write != Write::Create {
            let message = format!("{} has no `update`", place(to));
            route.error(&message, instead("create"));
        }
        return;
    };
    if write != Write::Create && to.layout.id.is_none() && mentions(&update.url, "id") {
        route.error(
            &format!("{} has no `id`, which its `update` asks for", place(to)),
            Some("add id = \"/...\", a JSON Pointer into the lookup's answer".to_owned()),
        );
    }
}

/// Whether a template writes that name out.
fn mentions(template: &str, name: &str) -> bool {
    template.split("{{").skip(1).any(|rest| {
        rest.trim_start_matches([' ', '-'])
            .strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

/// The source must say which other record is meant.
fn check_ref(value: &Value<'_>, from: &RecordMap, kind: &str) {
    let known = from.layout.refs.contains_key(kind)
        || from
            .from
            .values()
            .any(|inside| inside.layout.refs.contains_key(kind));
    if !known {
        value.error(
            &format!(
                "{} has no refs.{kind}: nothing says which {kind} is meant",
                place(from)
            ),
            Some(format!(
                "add refs.{kind} = \"/...\" there, a JSON Pointer to its business key"
            )),
        );
    }
}
