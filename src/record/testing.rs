//! What the module's tests share.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::json::Node;
use super::map::{Currency, Field, Format, Kind, Part, RecordMap, Shape, Source};

/// Any JSON value, a few levels deep.
pub fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?(e[+-]?[0-9]{1,3})?".prop_map(Node::Number),
        "\\PC{0,8}".prop_map(Node::Text),
        "[a-z0-9.: -]{0,8}".prop_map(Node::Text),
        "(NOK|eur|JPY|KWD|kr|true|12[.]10|2026-11-23T20:00:00)".prop_map(Node::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Node::Array),
            proptest::collection::btree_map("[a-z/~]{0,3}", inner, 0..5)
                .prop_map(|members| Node::Object(members.into_iter().collect())),
        ]
    })
}

/// Reads JSON that the test wrote.
pub fn json(text: &str) -> Node {
    Node::parse(text.as_bytes()).expect(text)
}

/// A field at `at`.
pub fn field(at: &str, kind: Kind) -> Field {
    Field {
        source: Source::At(at.to_owned()),
        kind,
        values: Vec::new(),
        clean: Vec::new(),
        read_only: false,
        sensitive: false,
    }
}

/// A text field at `at` with a table of values, canonical first.
pub fn table(at: &str, values: &[(&str, &str)]) -> Field {
    Field {
        values: values
            .iter()
            .map(|(canonical, theirs)| ((*canonical).to_owned(), (*theirs).to_owned()))
            .collect(),
        ..field(at, Kind::Text)
    }
}

/// A decimal amount as text, its currency at `/currency`.
pub fn money() -> Kind {
    Kind::Money {
        currency: Currency::At("/currency".to_owned()),
        number: false,
    }
}

/// An amount in minor units, its currency at `/currency`; MGA in whole ariary, as Stripe has it.
pub fn minor() -> Kind {
    Kind::Minor {
        currency: Currency::At("/currency".to_owned()),
        exponents: BTreeMap::from([("MGA".to_owned(), 0)]),
    }
}

/// A map of `system` for `kind`, its id at `/id`, its key at `/key`.
pub fn map(system: &str, kind: &str, fields: Vec<(&str, Field)>) -> RecordMap {
    let mut map = RecordMap {
        system: system.to_owned(),
        kind: kind.to_owned(),
        object: format!("{kind}s"),
        ..RecordMap::default()
    };
    map.layout.id = Some("/id".to_owned());
    map.layout.key = Some(part("/key"));
    map.layout.fields = fields
        .into_iter()
        .map(|(name, field)| (name.to_owned(), field))
        .collect();
    map
}

/// A text at `at`.
pub fn part(at: &str) -> Part {
    Part {
        from: Source::At(at.to_owned()),
        clean: Vec::new(),
    }
}

/// A shape without body template, whose answer is the record itself.
pub fn shape(method: &str, url: &str) -> Shape {
    Shape {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        format: Format::Json,
        answer: String::new(),
        items: false,
        item: String::new(),
        missing: Vec::new(),
        exists: Vec::new(),
    }
}
