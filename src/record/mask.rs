//! Business keys and event data as they may be shown: an address that is a sensitive field stays one where it is the key,
//! and where it stands in an event. Pure; whatever tells people of records calls it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::json::Node;
use super::map::{Field, Layout, Part, RecordMap, Source};
use super::ownership::Entity;
use super::read::{self, Maps};

/// What is shown in place of a sensitive value.
pub const HIDDEN: &str = "(hidden)";

/// The places in an event's data that hold sensitive values, as JSON Pointers: by the record maps of the system that it
/// comes from, and by the entities.
pub fn sensitive_places(
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
pub fn touches(places: &[String], pointer: &str) -> bool {
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
pub fn hidden(mut data: Node, places: &[String]) -> Node {
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
