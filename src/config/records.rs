//! `[systems.NAME.records.TYPE]`: what a system's records look like, and how they are found, written and listed.
//!
//! ```toml
//! [systems.shop.records.order]
//! events = ["order.*"]
//! id = "/id"
//! key = "/number"
//! version = "/date_modified_gmt"
//! fields.total = { at = "/total", type = "money", currency = "/currency" }
//! refs.contact = { at = "/billing/email", clean = ["trim", "lower"] }
//! lookup = { url = "/orders/{{ key }}" }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::files;
use super::paths::patterns;
use super::reader::{Section, Value};
use super::shapes::{self, Purpose};
use super::values::{check_member, check_name};
use crate::event::expr;
use crate::record::map::{
    Clean, Currency, Field, Inside, Kind, Layout, Part, RecordMap, Shape, Source, VersionAt,
};

/// A text that stands for its pointer alone.
const POINTER: &str =
    "a JSON Pointer such as \"/id\", or a table such as { at = \"/email\", clean = [\"lower\"] }";

/// Every record map of a system.
pub(super) fn records(section: &Section<'_>, system: &str) -> BTreeMap<String, Arc<RecordMap>> {
    let mut all: BTreeMap<String, RecordMap> = BTreeMap::new();
    let mut carried = Vec::new();
    for (kind, value) in section.entries() {
        check_name(&value, kind);
        let Some(section) = value.section() else {
            continue;
        };
        let map = record(&section, system, kind, &mut carried);
        all.insert(kind.to_owned(), map);
    }
    for (outer, value) in carried {
        let known = all.keys().map(String::as_str);
        if value.is_own() {
            check_member(
                &value,
                "record type",
                &format!("systems.{system}"),
                outer,
                known,
            );
        } else if !all.contains_key(outer) {
            // The user removed it: what the preset read inside it is gone too.
            for map in all.values_mut() {
                map.from.remove(outer);
            }
        }
    }
    all.into_iter()
        .map(|(kind, map)| (kind, Arc::new(map)))
        .collect()
}

fn record<'a>(
    section: &Section<'a>,
    system: &str,
    kind: &str,
    carried: &mut Vec<(&'a str, Value<'a>)>,
) -> RecordMap {
    let layout = layout(section, expr::Kind::Record);
    let properties = properties(&layout);
    let shape = |key, purpose| {
        section
            .get(key)
            .and_then(|value| shapes::shape(&value, purpose, &properties))
    };
    let object = section
        .get("object")
        .and_then(|value| value.filled("the system's own word for such a record"));
    let listed = section.get("list");
    let map = RecordMap {
        system: system.to_owned(),
        kind: kind.to_owned(),
        object: object.unwrap_or(kind).to_owned(),
        events: section
            .get("events")
            .and_then(|value| patterns(&value))
            .unwrap_or_default(),
        at: section
            .get("at")
            .and_then(|value| value.pointer(true))
            .unwrap_or_default(),
        layout,
        from: from(section, carried),
        lookup: shape("lookup", Purpose::Lookup),
        read: shape("read", Purpose::Read),
        create: shape("create", Purpose::Create),
        update: shape("update", Purpose::Update),
        delete: shape("delete", Purpose::Delete),
        links: links(section, &properties),
        list: listed
            .as_ref()
            .filter(|value| !files::is_file(value))
            .and_then(|value| shapes::listing(value, &properties)),
        file: listed
            .as_ref()
            .filter(|value| files::is_file(value))
            .and_then(files::file),
    };
    section.finish(&[]);
    map
}

/// The names right below `/properties` that a map reads, separated by commas: HubSpot's objects answer with no others than
/// were asked for.
fn properties(layout: &Layout) -> String {
    let source = |source: &Source| match source {
        Source::At(at) => Some(at.clone()),
        Source::Computed(_) => None,
    };
    let currency = |field: &Field| match &field.kind {
        Kind::Money {
            currency: Currency::At(at),
            ..
        }
        | Kind::Minor {
            currency: Currency::At(at),
            ..
        } => Some(at.clone()),
        _ => None,
    };
    let fields = layout.fields.values();
    let parts = layout.key.iter().chain(layout.refs.values());
    let names: BTreeSet<String> = fields
        .flat_map(|field| [source(&field.source), currency(field)])
        .chain(parts.map(|part| source(&part.from)))
        .chain([
            layout.version.as_ref().map(|version| version.at.clone()),
            layout.created.clone(),
        ])
        .flatten()
        .filter_map(|at| {
            let name = at.strip_prefix("/properties/")?;
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
                .then(|| name.to_owned())
        })
        .collect();
    Vec::from_iter(names).join(",")
}

/// Where the parts of a record are; the caller finishes the section. Computed ones are templates of that kind.
fn layout(section: &Section<'_>, computed: expr::Kind) -> Layout {
    let pointer = |key| section.get(key).and_then(|value| value.pointer(false));
    let named = |key| section.section(key).entries();
    Layout {
        id: pointer("id"),
        key: section.get("key").and_then(|value| part(&value, computed)),
        version: section.get("version").and_then(|value| version(&value)),
        created: pointer("created"),
        fields: named("fields")
            .iter()
            .filter_map(|(name, value)| Some((field_name(name, value)?, field(value, computed)?)))
            .collect(),
        refs: named("refs")
            .iter()
            .filter_map(|(kind, value)| {
                check_name(value, kind).then_some(())?;
                Some(((*kind).to_owned(), part(value, computed)?))
            })
            .collect(),
    }
}

/// The record inside other ones, by their type.
fn from<'a>(
    section: &Section<'a>,
    carried: &mut Vec<(&'a str, Value<'a>)>,
) -> BTreeMap<String, Inside> {
    let mut all = BTreeMap::new();
    for (outer, value) in section.section("from").entries() {
        let Some(inside) = value.section() else {
            continue;
        };
        let many = inside.get("many").and_then(|value| value.pointer(false));
        let layout = layout(&inside, expr::Kind::Inside);
        inside.finish(&[]);
        if layout.key.is_none() {
            inside.error(
                "no `key`: nothing says which record it is",
                Some(
                    "add key = \"/...\", a JSON Pointer into the record that carries it".to_owned(),
                ),
            );
        }
        carried.push((outer, value));
        all.insert(outer.to_owned(), Inside { many, layout });
    }
    all
}

/// Links by record type; a list keeps only these of the preset's.
fn links(section: &Section<'_>, properties: &str) -> BTreeMap<String, Shape> {
    let Some(value) = section.get("links") else {
        return BTreeMap::new();
    };
    let all = |section: Section<'_>| -> BTreeMap<String, Shape> {
        section
            .entries()
            .iter()
            .filter_map(|(kind, value)| {
                check_name(value, kind).then_some(())?;
                Some((
                    (*kind).to_owned(),
                    shapes::shape(value, Purpose::Link, properties)?,
                ))
            })
            .collect()
    };
    let Some(items) = value.items() else {
        return value.section().map(all).unwrap_or_default();
    };
    let preset = value
        .hidden()
        .filter(Value::is_table)
        .and_then(|value| value.section());
    let Some(mut preset) = preset.map(all) else {
        value.error(
            "a list chooses among the links of a preset, and there is none",
            Some(
                "write links.TYPE = { url = \"/orders/{{ id }}/...\" } with `{{ other }}` in it"
                    .to_owned(),
            ),
        );
        return BTreeMap::new();
    };
    let mut links = BTreeMap::new();
    for item in items {
        let Some(kind) = item.filled("a record type such as \"contact\"") else {
            continue;
        };
        let known = preset.keys().chain(links.keys()).map(String::as_str);
        if check_member(&item, "link", "the preset", kind, known)
            && let Some(shape) = preset.remove(kind)
        {
            links.insert(kind.to_owned(), shape);
        }
    }
    links
}

/// A business key.
fn part(value: &Value<'_>, computed: expr::Kind) -> Option<Part> {
    let section = value.section_or("at", POINTER)?;
    let from = source(&section, computed);
    let clean = clean(&section);
    section.finish(&[]);
    Some(Part { from: from?, clean })
}

/// `at` or `value`; what the user writes replaces the preset's other one.
fn source(section: &Section<'_>, computed: expr::Kind) -> Option<Source> {
    let (at, value) = (section.get("at"), section.get("value"));
    let (at, value) = match (at, value) {
        (Some(at), Some(value)) if at.is_own() && !value.is_own() => (Some(at), None),
        (Some(at), Some(value)) if !at.is_own() && value.is_own() => (None, Some(value)),
        both => both,
    };
    match (at, value) {
        (Some(at), None) => at.pointer(false).map(Source::At),
        (None, Some(value)) => value.expression(computed).map(Source::Computed),
        (Some(_), Some(_)) => {
            section.error(
                "both `at` and `value` are given",
                Some("a value is read from one place, or computed".to_owned()),
            );
            None
        }
        (None, None) => {
            section.error(
                "nothing says where it is",
                Some("add `at`, a JSON Pointer, or `value`, a template".to_owned()),
            );
            None
        }
    }
}

fn clean(section: &Section<'_>) -> Vec<Clean> {
    let Some(value) = section.get("clean") else {
        return Vec::new();
    };
    let Some(items) = value.items() else {
        value.wrong("a list such as [\"trim\", \"lower\"]", None);
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| item.word(Clean::WORDS))
        .collect()
}

fn version(value: &Value<'_>) -> Option<VersionAt> {
    let section = value.section_or(
        "at",
        "a JSON Pointer to a time, or { at = \"/version\", type = \"number\" }",
    )?;
    let at = section
        .require("at", "a JSON Pointer such as \"/updated_at\"")
        .and_then(|value| value.pointer(false));
    let number = match section.get("type") {
        Some(value) => value.word(&[("instant", false), ("number", true)]),
        None => Some(false),
    };
    section.finish(&[]);
    Some(VersionAt {
        at: at?,
        number: number?,
    })
}

/// A field's name: templates write `fields.NAME`.
fn field_name(name: &str, value: &Value<'_>) -> Option<String> {
    let good = name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !good {
        value.problems.error(
            value.key_at,
            &value.path,
            "this name cannot be used",
            Some("at most 48 letters, digits and `_`, beginning with a letter: templates write fields.NAME"),
            None,
        );
    }
    good.then(|| name.to_owned())
}

/// The words of `type`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Text,
    Bool,
    Number,
    Money,
    Minor,
    Instant,
    Seconds,
    Millis,
    Set,
}

const TYPES: &[(&str, Word)] = &[
    ("text", Word::Text),
    ("bool", Word::Bool),
    ("number", Word::Number),
    ("money", Word::Money),
    ("minor", Word::Minor),
    ("instant", Word::Instant),
    ("seconds", Word::Seconds),
    ("millis", Word::Millis),
    ("set", Word::Set),
];

fn field(value: &Value<'_>, computed: expr::Kind) -> Option<Field> {
    let section = value.section_or("at", POINTER)?;
    let source = source(&section, computed);
    let word = match section.get("type") {
        Some(value) => value.word(TYPES),
        None => Some(Word::Text),
    };
    let flag = |key| section.get(key).and_then(|value| value.boolean());
    // A key that belongs to another type is a slip where the user wrote it, and a left-over where the preset did.
    let only = |key, types: &[Word], whose: &str| -> Option<Value<'_>> {
        let value = section.get(key)?;
        if word.is_none_or(|word| types.contains(&word)) {
            return Some(value);
        }
        if value.is_own() {
            value.error(&format!("this belongs to {whose}"), None);
        }
        None
    };
    let currency = only(
        "currency",
        &[Word::Money, Word::Minor],
        "amounts: type = \"money\" or \"minor\"",
    )
    .map(|value| currency(&value));
    let exponents = only("exponents", &[Word::Minor], "type = \"minor\"")
        .map(|value| exponents(&value))
        .unwrap_or_default();
    let number = only("number", &[Word::Money], "type = \"money\"")
        .and_then(|value| value.boolean())
        .unwrap_or(false);
    let separator =
        only("separator", &[Word::Set], "type = \"set\"").and_then(|value| separator(&value));
    let values = only(
        "values",
        &[Word::Text, Word::Bool, Word::Number, Word::Set],
        "types \"text\", \"bool\", \"number\" and \"set\"",
    )
    .map(|value| values(&value))
    .unwrap_or_default();
    let clean = only("clean", &[Word::Text, Word::Set], "texts")
        .map(|_| clean(&section))
        .unwrap_or_default();
    let read_only =
        flag("read_only").unwrap_or(false) || matches!(source, Some(Source::Computed(_)));
    let sensitive = flag("sensitive").unwrap_or(false);
    section.finish(&[]);
    let currency = match currency {
        Some(read) => read?,
        None => Currency::Unknown,
    };
    let kind = match word? {
        Word::Text => Kind::Text,
        Word::Bool => Kind::Bool,
        Word::Number => Kind::Number,
        Word::Money => Kind::Money { currency, number },
        Word::Minor if currency == Currency::Unknown => {
            section.error(
                "no `currency`: it says how many decimals the minor unit has",
                Some(
                    "add currency = \"/currency\", a JSON Pointer, or a code such as \"NOK\""
                        .to_owned(),
                ),
            );
            return None;
        }
        Word::Minor => Kind::Minor {
            currency,
            exponents,
        },
        Word::Instant => Kind::Instant,
        Word::Seconds => Kind::Seconds,
        Word::Millis => Kind::Millis,
        Word::Set => Kind::Set { separator },
    };
    Some(Field {
        source: source?,
        kind,
        values,
        clean,
        read_only,
        sensitive,
    })
}

/// What stands between the texts of a set.
fn separator(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "what stands between the texts, such as \";\"";
    let text = value.text(EXPECTED)?;
    if text.is_empty() {
        value.wrong(EXPECTED, None);
    }
    (!text.is_empty()).then(|| text.to_owned())
}

/// A JSON Pointer, or an ISO 4217 code.
fn currency(value: &Value<'_>) -> Option<Currency> {
    const EXPECTED: &str =
        "a JSON Pointer such as \"/currency\", or an ISO 4217 code such as \"NOK\"";
    let text = value.filled(EXPECTED)?;
    if text.starts_with('/') {
        return value.pointer(false).map(Currency::At);
    }
    if is_currency(text) {
        return Some(Currency::Fixed(text.to_owned()));
    }
    let code = (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
        .then(|| format!("did you mean \"{}\"?", text.to_ascii_uppercase()));
    value.wrong(EXPECTED, code);
    None
}

/// Decimals by currency, where the vendor departs from ISO 4217.
fn exponents(value: &Value<'_>) -> BTreeMap<String, u8> {
    let Some(section) = value.section() else {
        return BTreeMap::new();
    };
    section
        .entries()
        .into_iter()
        .filter_map(|(code, decimals)| {
            if !is_currency(code) {
                decimals.problems.error(
                    decimals.key_at,
                    &decimals.path,
                    "this is no ISO 4217 code",
                    Some("a code such as `ISK`"),
                    None,
                );
                return None;
            }
            Some((code.to_owned(), decimals.whole(0..=4)? as u8))
        })
        .collect()
}

/// Shaped like an ISO 4217 code.
fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Canonical value to the system's.
fn values(value: &Value<'_>) -> Vec<(String, String)> {
    let Some(section) = value.section() else {
        return Vec::new();
    };
    section
        .entries()
        .into_iter()
        .filter_map(|(canonical, theirs)| {
            let text = theirs.text("the system's word for it")?;
            Some((canonical.to_owned(), text.to_owned()))
        })
        .collect()
}
