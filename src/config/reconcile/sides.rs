//! The two sides of a comparison, and the fields that are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::model::{Compare, JobField, JobSide, System};
use super::super::reader::{Section, Value};
use super::super::sections::Named;
use crate::record::map::{
    Clean, Currency, Field, Format, Kind, Layout, Listing, Paging, Part, RecordMap, Shape, Source,
    VersionAt,
};
use crate::record::ownership::Entity;

/// Two sides as they are written.
pub(super) struct Sides {
    pub(super) maps: [JobSide; 2],
}

/// `sides`, or `first` and `second`.
pub(super) fn read(section: &Section<'_>, systems: &Named<System>) -> Option<Sides> {
    const SIDES: &str = "two record maps such as [\"shop.order\", \"crm.order\"]";
    const SIDE: &str = "{ system = \"shop\", list = \"/orders\", items = \"\", key = \"/id\" }";
    if let Some(value) = section.get("sides") {
        let sides = value.texts(SIDES)?;
        if sides.len() != 2 {
            value.wrong(SIDES, None);
            return None;
        }
        let [first, second] = [0, 1].map(|at| declared(&sides[at].0, sides[at].1, systems));
        let (first, second) = (first?, second?);
        if first.system == second.system && first.kind == second.kind {
            value.error("it compares a listing with itself", None);
            return None;
        }
        return Some(Sides {
            maps: [first, second],
        });
    }
    if section.get("first").is_none() && section.get("second").is_none() {
        section.require("sides", SIDES);
        return None;
    }
    let fields = section
        .get("fields")
        .and_then(|value| value.section())
        .map(|fields| fields.entries())
        .unwrap_or_default();
    let side_of = |key, at| {
        let value = section.require(key, SIDE)?;
        inline(&value.section()?, systems, at, &fields)
    };
    let first = side_of("first", 0);
    let second = side_of("second", 1);
    Some(Sides {
        maps: [first?, second?],
    })
}

/// `"shop.order"`.
fn declared(value: &Value<'_>, text: &str, systems: &Named<System>) -> Option<JobSide> {
    let Some((system, kind)) = text.split_once('.') else {
        value.wrong("a system and a record type such as \"shop.order\"", None);
        return None;
    };
    if !systems.names.iter().any(|name| name == system) {
        super::super::values::check_reference(value, "system", system, systems.known());
        return None;
    }
    let found = systems.good.get(system)?;
    let Some(map) = found.records.get(kind) else {
        super::super::values::check_reference(
            value,
            "record map",
            kind,
            found.records.keys().map(String::as_str),
        );
        return None;
    };
    if map.file.is_none() && (map.list.is_none() || found.url.is_none()) {
        value.error(
            &format!("systems.{system}.records.{kind} has no `list`"),
            Some("say how its records are listed: list = \"/orders\"".to_owned()),
        );
        return None;
    }
    Some(JobSide {
        system: system.to_owned(),
        kind: kind.to_owned(),
        map: Arc::clone(map),
        declared: true,
    })
}

/// `{ system, list, items, key, updated }`: a record map of the two pointers and the compared fields.
fn inline(
    section: &Section<'_>,
    systems: &Named<System>,
    side: usize,
    fields: &[(&str, Value<'_>)],
) -> Option<JobSide> {
    let system = section
        .require("system", "the name of a system")
        .and_then(|value| {
            let name = value.reference("system", systems.known())?;
            if systems
                .good
                .get(&name)
                .is_some_and(|system| system.url.is_none())
            {
                value.error(&format!("systems.{name} has no `url` to list from"), None);
                return None;
            }
            Some(name)
        });
    let list = section
        .require("list", "the listing's path such as \"/orders\"")
        .and_then(|value| value.path());
    let items = match section.get("items") {
        Some(value) => value.pointer(true),
        None => Some(String::new()),
    };
    let key = section
        .require(
            "key",
            "a JSON Pointer to the key in a record such as \"/id\"",
        )
        .and_then(|value| value.pointer(false));
    let updated = match section.get("updated") {
        Some(value) => value.pointer(false).map(Some),
        None => Some(None),
    };
    section.finish(&[]);
    let mut known = BTreeMap::new();
    for (name, value) in fields {
        // Told once, with the first side.
        let Some((at, compare)) = pointers(value, side == 0) else {
            continue;
        };
        let [first, second] = at;
        let at = if side == 0 { first } else { second };
        known.insert((*name).to_owned(), plain_field(at, compare));
    }
    let layout = Layout {
        key: Some(Part {
            from: Source::At(key?),
            clean: Vec::new(),
        }),
        version: updated?.map(|at| VersionAt { at, number: false }),
        fields: known,
        ..Layout::default()
    };
    let system = system?;
    let map = RecordMap {
        system: system.clone(),
        kind: "record".to_owned(),
        layout,
        list: Some(Listing {
            shape: Shape {
                method: "GET".to_owned(),
                url: list?.replace("{{", "{{ '{{' }}"),
                headers: Vec::new(),
                body: None,
                format: Format::Json,
                answer: items?,
                items: true,
                item: String::new(),
                missing: Vec::new(),
                exists: Vec::new(),
            },
            paging: Paging::Link,
            since: None,
        }),
        ..RecordMap::default()
    };
    Some(JobSide {
        system,
        kind: "record".to_owned(),
        map: Arc::new(map),
        declared: false,
    })
}

/// A field as its comparison takes it.
fn plain_field(at: String, compare: Compare) -> Field {
    Field {
        source: Source::At(at),
        kind: match compare {
            Compare::Exact | Compare::Casefold => Kind::Text,
            Compare::Money => Kind::Money {
                currency: Currency::Unknown,
                number: false,
            },
            Compare::Instant => Kind::Instant,
            Compare::Set => Kind::Set { separator: None },
        },
        values: Vec::new(),
        clean: if compare == Compare::Casefold {
            vec![Clean::Trim, Clean::Lower]
        } else {
            Vec::new()
        },
        read_only: true,
        sensitive: false,
    }
}

/// The pointers of a field on both sides, and how it is compared.
fn pointers(value: &Value<'_>, tell: bool) -> Option<([String; 2], Compare)> {
    if !value.is_table() {
        if !tell {
            let at = value.as_text()?.to_owned();
            return Some(([at.clone(), at], Compare::Exact));
        }
        let at = value.pointer(false)?;
        return Some(([at.clone(), at], Compare::Exact));
    }
    let section = value.section()?;
    let pointer = |key| {
        if tell {
            section
                .require(key, "a JSON Pointer such as \"/status\"")
                .and_then(|value| value.pointer(false))
        } else {
            section.get(key)?.as_text().map(str::to_owned)
        }
    };
    let first = pointer("first");
    let second = pointer("second");
    let compare = match section.get("compare") {
        Some(value) if tell => value.word(Compare::WORDS),
        Some(value) => {
            let text = value.as_text()?;
            (Compare::WORDS.iter())
                .find(|(word, _)| *word == text)
                .map(|(_, compare)| *compare)
        }
        None => Some(Compare::Exact),
    };
    Some(([first?, second?], compare?))
}

/// The compared fields.
pub(super) fn fields(
    section: &Section<'_>,
    sides: &Sides,
    entity: Option<&Entity>,
) -> Vec<JobField> {
    let maps = [&sides.maps[0].map, &sides.maps[1].map];
    let common: BTreeSet<&str> = (maps[0].layout.fields.keys())
        .filter(|name| maps[1].layout.fields.contains_key(*name))
        .map(String::as_str)
        .collect();
    let made = |name: &str| {
        let of_map = maps.iter().any(|map| {
            map.layout
                .fields
                .get(name)
                .is_some_and(|field| field.sensitive)
        });
        let rule = entity.and_then(|entity| entity.field(name));
        JobField {
            name: name.to_owned(),
            compare: rule.and_then(|rule| rule.compare),
            equal: Vec::new(),
            sensitive: of_map || rule.is_some_and(|rule| rule.sensitive),
        }
    };
    let Some(value) = section.get("fields") else {
        let fields: Vec<JobField> = common.iter().map(|name| made(name)).collect();
        if fields.is_empty() && sides.maps.iter().all(|side| side.declared) {
            section.warning(
                "the two record maps have no field in common: only what is missing is found",
                None,
            );
        }
        return fields;
    };
    if !value.is_table() {
        let names = value.texts("a list of fields such as [\"total\", \"status\"], or a table");
        return names
            .unwrap_or_default()
            .into_iter()
            .filter(|(at, name)| {
                super::super::values::check_reference(
                    at,
                    "field of both record maps",
                    name,
                    common.iter().copied(),
                )
            })
            .map(|(_, name)| made(name))
            .collect();
    }
    let Some(table) = value.section() else {
        return Vec::new();
    };
    let is_declared = sides.maps.iter().all(|side| side.declared);
    let mut fields = Vec::new();
    for (name, value) in table.entries() {
        if is_declared
            && !super::super::values::check_reference(
                &value,
                "field of both record maps",
                name,
                common.iter().copied(),
            )
        {
            continue;
        }
        if !value.is_table() {
            if is_declared {
                value.wrong("a table such as { compare = \"casefold\" }", None);
            } else {
                fields.push(made(name));
            }
            continue;
        }
        let Some(one) = value.section() else {
            continue;
        };
        let mut field = made(name);
        if !is_declared {
            // They were read with the sides.
            let _ = (one.get("first"), one.get("second"));
        }
        if let Some(compare) = one.get("compare") {
            field.compare = if is_declared {
                compare.word(Compare::WORDS)
            } else {
                (Compare::WORDS.iter())
                    .find(|(word, _)| compare.as_text() == Some(*word))
                    .map(|(_, compare)| *compare)
            };
        }
        if let Some(equal) = one.get("equal") {
            field.equal = groups(&equal);
        }
        one.finish(&[]);
        fields.push(field);
    }
    fields
}

/// `[["processing", "paid"], ["completed", "closedwon"]]`.
fn groups(value: &Value<'_>) -> Vec<Vec<String>> {
    const EXPECTED: &str =
        "groups of values that mean the same, such as [[\"processing\", \"paid\"]]";
    let Some(groups) = value.list(EXPECTED) else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for group in groups {
        let texts: Vec<String> = group
            .texts(EXPECTED)
            .unwrap_or_default()
            .into_iter()
            .map(|(at, text)| {
                if !seen.insert(text.to_owned()) {
                    at.error("it stands in two groups", None);
                }
                text.to_owned()
            })
            .collect();
        all.push(texts);
    }
    all
}
