//! Business keys and event data as they may be shown: an address that is a sensitive field stays one where it is the key,
//! and where it stands in an event. Pure; whatever tells people of records calls it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::json::Node;
use super::map::{Field, Layout, Part, RecordMap, Source};
use super::ownership::Entity;
use super::read::{self, Maps};
use crate::config::model::{Config, INTERNAL};
use crate::event::contract::Fault;

/// Rules whose words name members and quote no value; the others quote what they speak of, with all that is in it.
const NAMES_ONLY: &[&str] = &[
    "required",
    "additionalProperties",
    "unevaluatedProperties",
    "dependentRequired",
];

/// What of one event's data must not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Veil {
    /// Sensitive values, as JSON Pointers.
    places: Vec<String>,
    /// Some field is sensitive, and where it would be cannot be told: the data is no JSON.
    all: bool,
}

impl Veil {
    /// Hides what is sensitive in `data`, by the configuration; nothing where the event comes from no configured system.
    pub fn of(config: &Config, source: &str, event_kind: &str, data: &[u8]) -> Self {
        let Some(system) = config.systems.get(source) else {
            return match source {
                INTERNAL => Self::of_repair(config, data),
                _ => Self::default(),
            };
        };
        let (maps, entities) = (&system.records, &config.entities);
        match Node::parse(data) {
            Ok(data) => Self {
                places: sensitive_places(maps, entities, event_kind, &data),
                all: false,
            },
            Err(_) => Self {
                places: Vec::new(),
                all: maps.values().any(|map| {
                    let entity = entities.get(&map.kind);
                    map.layout.fields.iter().any(|(name, field)| {
                        let rule = entity.and_then(|entity| entity.field(name));
                        field.sensitive || rule.is_some_and(|rule| rule.sensitive)
                    })
                }),
            },
        }
    }

    /// Hides what is sensitive in a repair of midwatch's own, in whatever system it is that.
    fn of_repair(config: &Config, data: &[u8]) -> Self {
        let data = Node::parse(data).ok();
        let text = |at: &str| data.as_ref()?.pointer(at)?.plain();
        let Some((kind, key)) = text("/entity").zip(text("/key")) else {
            return Self::default();
        };
        let systems = config.systems.values();
        let maps: Vec<&RecordMap> = systems
            .filter_map(|system| system.records.get(kind).map(AsRef::as_ref))
            .collect();
        let mut places = Vec::new();
        if shown(maps.iter().copied(), key) != key {
            places.push("/key".to_owned());
        }
        let entity = config.entities.get(kind);
        if let Some(Node::Object(fields)) = data.as_ref().and_then(|data| data.pointer("/fields")) {
            let is_hidden = |name: &str| {
                let rule = entity.and_then(|entity| entity.field(name));
                let said = |map: &&RecordMap| {
                    let field = map.layout.fields.get(name);
                    field.is_some_and(|field| field.sensitive)
                };
                rule.is_some_and(|rule| rule.sensitive) || maps.iter().any(said)
            };
            let hidden = fields.iter().filter(|(name, _)| is_hidden(name));
            places.extend(hidden.map(|(name, _)| {
                format!("/fields/{}", name.replace('~', "~0").replace('/', "~1"))
            }));
        }
        Self { places, all: false }
    }

    /// Hides what either of two hides: data before and after a change.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.places.extend(other.places);
        Self {
            places: self.places,
            all: self.all || other.all,
        }
    }

    /// The places that are hidden, as JSON Pointers.
    pub fn places(&self) -> &[String] {
        &self.places
    }

    /// Whether what stands at a place is not to be seen.
    pub fn hides(&self, pointer: &str) -> bool {
        self.all || touches(&self.places, pointer)
    }

    /// Faults without the values that they quote of hidden places.
    pub fn faults(&self, faults: Vec<Fault>) -> Vec<Fault> {
        let veiled = |mut fault: Fault| {
            let quotes = !NAMES_ONLY.contains(&fault.rule.as_str());
            if self.all || (quotes && touches(&self.places, &fault.pointer)) {
                HIDDEN.clone_into(&mut fault.text);
            }
            fault
        };
        faults.into_iter().map(veiled).collect()
    }

    /// The data as it may be shown. Without anything to hide the bytes stay as they are.
    pub fn data(&self, data: &[u8]) -> Vec<u8> {
        if self.all {
            return format!("{HIDDEN} ({} bytes, no JSON)", data.len()).into_bytes();
        }
        match Node::parse(data) {
            Ok(node) if !self.places.is_empty() => {
                hidden(node, &self.places).to_json().into_bytes()
            }
            _ => data.to_vec(),
        }
    }
}

/// What is shown in place of a sensitive value.
pub const HIDDEN: &str = "(hidden)";

/// The places in an event's data that hold sensitive values, as JSON Pointers: by the record maps of the system that it
/// comes from, and by the entities.
fn sensitive_places(
    maps: &Maps,
    entities: &BTreeMap<String, Arc<Entity>>,
    event_kind: &str,
    data: &Node,
) -> Vec<String> {
    let Some(outer) = read::carried(maps, event_kind) else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for map in maps.values() {
        let entity = entities.get(&map.kind);
        let mut of = |layout: &Layout, base: &str| {
            let said = |name: &str| {
                let rule = entity.and_then(|entity| entity.field(name));
                rule.is_some_and(|rule| rule.sensitive)
            };
            for (name, field) in &layout.fields {
                if let Source::At(at) = &field.source
                    && (field.sensitive || said(name))
                {
                    places.push(format!("{base}{at}"));
                }
            }
        };
        if map.kind == outer.kind {
            of(&map.layout, &outer.at);
        }
        if let Some(inside) = map.from.get(&outer.kind) {
            match &inside.many {
                None => of(&inside.layout, &outer.at),
                Some(many) => {
                    let list = format!("{}{many}", outer.at);
                    if let Some(Node::Array(items)) = data.pointer(&list) {
                        for place in 0..items.len() {
                            of(&inside.layout, &format!("{list}/{place}"));
                        }
                    }
                }
            }
        }
    }
    places.sort();
    places.dedup();
    places
}

/// Whether a place is, holds or lies inside one of `places`.
fn touches(places: &[String], pointer: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    places
        .iter()
        .any(|place| inside(place, pointer) || inside(pointer, place))
}

/// `data` with every value at `places` hidden; what is not there stays so.
fn hidden(mut data: Node, places: &[String]) -> Node {
    for place in places {
        if data.pointer(place).is_some_and(|node| *node != Node::Null) {
            // The place is there, so that nothing is made on the way.
            let _ = data.set(place, Node::Text(HIDDEN.to_owned()));
        }
    }
    data
}

/// A business key of the record type of `maps`, masked where a field of one of them that holds it is sensitive.
pub fn shown<'a>(maps: impl IntoIterator<Item = &'a RecordMap>, key: &str) -> String {
    if maps.into_iter().any(key_is_sensitive) {
        masked(key)
    } else {
        key.to_owned()
    }
}

/// Whether the fields of a record of this map that hold its key are sensitive.
pub fn key_is_sensitive(map: &RecordMap) -> bool {
    let mut parts = map
        .layout
        .key
        .iter()
        .map(|part: &Part| &part.from)
        .collect::<Vec<_>>();
    parts.extend(
        map.from
            .values()
            .filter_map(|inside| Some(&inside.layout.key.as_ref()?.from)),
    );
    let holds = |field: &Field| field.sensitive && parts.contains(&&field.source);
    let inside = map
        .from
        .values()
        .flat_map(|inside| inside.layout.fields.values());
    map.layout.fields.values().chain(inside).any(holds)
}

/// A key of which only the first letter and, of an address, the domain are shown.
fn masked(key: &str) -> String {
    let first: String = key.chars().take(1).collect();
    match key.rsplit_once('@') {
        Some((_, domain)) => format!("{first}…@{domain}"),
        None => format!("{first}…"),
    }
}

#[cfg(test)]
mod tests {

    use super::super::map::{Inside, Kind};
    use super::super::ownership::OwnedField;
    use super::*;
    use crate::record::testing::field;

    fn layout(fields: &[(&str, &str, bool)]) -> Layout {
        Layout {
            fields: fields
                .iter()
                .map(|(name, at, sensitive)| {
                    let field = Field {
                        sensitive: *sensitive,
                        ..field(at, Kind::Text)
                    };
                    ((*name).to_owned(), field)
                })
                .collect(),
            ..Layout::default()
        }
    }

    #[test]
    fn sensitive_values_are_hidden_wherever_an_event_carries_them() {
        let order = RecordMap {
            kind: "order".into(),
            events: vec!["order.*".into()],
            at: "/order".into(),
            layout: layout(&[("total", "/total", false), ("note", "/note", false)]),
            ..RecordMap::default()
        };
        let contact = RecordMap {
            kind: "contact".into(),
            layout: layout(&[("email", "/email", true)]),
            from: [(
                "order".to_owned(),
                Inside {
                    many: Some("/people".into()),
                    layout: layout(&[("email", "/mail", true)]),
                },
            )]
            .into(),
            ..RecordMap::default()
        };
        let maps: Maps = [order, contact]
            .map(|map| (map.kind.clone(), Arc::new(map)))
            .into();
        let entity = Entity {
            fields: [(
                "note".to_owned(),
                OwnedField {
                    owner: "crm".into(),
                    writers: vec![],
                    policy: crate::record::ownership::Policy::Owner,
                    order: vec![],
                    gap: std::time::Duration::ZERO,
                    compare: None,
                    sensitive: true,
                    when_owner_down: None,
                },
            )]
            .into(),
            ..Entity::default()
        };
        let text = br#"{"order":{"total":"1.0","note":"n","people":[{"mail":"a@x"},{"mail":null}]},"mail":"b"}"#;
        let data = Node::parse(text).expect("json");
        let entities = [("order".to_owned(), Arc::new(entity))].into();
        let places = sensitive_places(&maps, &entities, "order.paid", &data);
        assert_eq!(
            places,
            [
                "/order/note",
                "/order/people/0/mail",
                "/order/people/1/mail"
            ]
        );
        assert_eq!(
            hidden(data.clone(), &places).to_json(),
            r#"{"order":{"total":"1.0","note":"(hidden)","people":[{"mail":"(hidden)"},{"mail":null}]},"mail":"b"}"#
        );
        for (pointer, touched) in [
            ("/order/note", true),
            ("/order", true),
            ("", true),
            ("/order/note/x", true),
            ("/order/notes", false),
            ("/mail", false),
        ] {
            assert_eq!(touches(&places, pointer), touched, "{pointer}");
        }
        assert!(sensitive_places(&maps, &entities, "refund", &data).is_empty());
    }
}
