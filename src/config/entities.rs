//! `[entities.NAME]`: record types that systems share, and who may write which of their fields. What only paths can tell
//! (who reads an owner, which fields a path would leave out) is checked in `owners`.
//!
//! ```toml
//! [entities.order]
//! match = ["key"]
//! fields.status = { owner = "shop", policy = "monotonic", order = ["pending", "processing", "completed"] }
//! fields.stage = { owner = "crm", writers = ["shop:create_only"], when_owner_down = "queue" }
//! fields."*" = { owner = "shop" }   # the rest; without it nobody writes what is not named
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::model::{Compare, System};
use super::reader::{Section, Value, quoted};
use super::sections::Named;
use super::suggest::{alternatives, did_you_mean};
use super::values::{DAY, check_member, check_name, check_reference};
use crate::record::map::{Clean, Layout, RecordMap};
use crate::record::ownership::{Entity, MatchRule, OwnedField, Policy, WhenDown, Writer};

/// What a field's table looks like.
const FIELD: &str = "a table such as { owner = \"shop\" }";

/// Two changes of a `newest` field that are closer than this are a tie, unless the field says otherwise: clocks of two
/// systems are seldom nearer.
const GAP: Duration = Duration::from_secs(5);

/// The name of the rest of an entity's fields.
pub(super) const REST: &str = "*";

/// An entity as it was read, and the places that the checks over paths speak of.
pub(super) struct Declared<'a> {
    /// The entity.
    pub(super) entity: Arc<Entity>,
    /// Where each field's owner is written, by field (`*` for the rest).
    pub(super) owners: BTreeMap<String, Value<'a>>,
    /// Where each field's `when_owner_down` is written.
    pub(super) fallbacks: BTreeMap<String, Value<'a>>,
    /// Fields that say their policy themselves.
    pub(super) decided: BTreeSet<String>,
    /// A field's rule could not be read: what follows from it would only distract.
    pub(super) broken: bool,
}

/// Every entity, by name. What they call sensitive becomes so in all systems' record maps of that type.
pub(super) fn entities<'a>(
    section: &Section<'a>,
    systems: &mut Named<System>,
) -> BTreeMap<String, Declared<'a>> {
    let mut all = BTreeMap::new();
    for (name, value) in section.entries() {
        let named = check_name(&value, name);
        let Some(one) = value.section() else { continue };
        let declared = entity(&one, name, systems);
        if named && is_there(&value, name, systems) {
            veil(&declared.entity, systems);
            all.insert(name.to_owned(), declared);
        }
    }
    all
}

/// Some system has records of that type.
fn is_there(value: &Value<'_>, name: &str, systems: &Named<System>) -> bool {
    let kinds = || {
        systems
            .good
            .values()
            .flat_map(|system| system.records.keys())
    };
    let known = kinds().any(|kind| kind == name);
    // A system that could not be read may have it.
    if known || systems.good.len() < systems.names.len() {
        return known;
    }
    let kinds: BTreeSet<&str> = kinds().map(String::as_str).collect();
    let suggestion = did_you_mean(name, kinds.iter().copied()).unwrap_or_else(|| {
        if kinds.is_empty() {
            format!("add [systems.NAME.records.{name}], or a preset that has it")
        } else {
            format!("known: {}", Vec::from_iter(kinds).join(", "))
        }
    });
    value.problems.error(
        value.key_at,
        &value.path,
        &format!("no system has records of type {}", quoted(name)),
        None,
        Some(suggestion),
    );
    false
}

fn entity<'a>(section: &Section<'a>, name: &str, systems: &Named<System>) -> Declared<'a> {
    let mut declared = Declared {
        entity: Arc::default(),
        owners: BTreeMap::new(),
        fallbacks: BTreeMap::new(),
        decided: BTreeSet::new(),
        broken: false,
    };
    let mut entity = Entity {
        name: name.to_owned(),
        matches: matches(section, name, systems),
        ..Entity::default()
    };
    let fields = section.get("fields");
    let entries = (fields.as_ref())
        .and_then(Value::section)
        .map(|fields| fields.entries());
    if fields.is_none() || entries.as_ref().is_some_and(Vec::is_empty) {
        section.error(
            "no field has an owner, so that nobody may write anything of it",
            Some("add fields.NAME = { owner = \"...\" }, or fields.\"*\" for all".to_owned()),
        );
    }
    for (field, value) in entries.unwrap_or_default() {
        if field != REST {
            is_field(&value, name, field, systems);
        }
        let Some(rule) = owned(&value, field, systems, &mut declared) else {
            declared.broken = true;
            continue;
        };
        if field == REST {
            entity.rest = Some(rule);
        } else {
            entity.fields.insert(field.to_owned(), rule);
        }
    }
    section.finish(&[]);
    declared.entity = Arc::new(entity);
    declared
}

/// The record maps of a type, in all systems.
fn maps<'s>(name: &str, systems: &'s Named<System>) -> impl Iterator<Item = &'s RecordMap> {
    let all = systems.good.values();
    all.filter_map(move |system| system.records.get(name).map(AsRef::as_ref))
}

/// The names of the fields of a type, in any system.
fn field_names<'s>(name: &str, systems: &'s Named<System>) -> BTreeSet<&'s str> {
    let names = |layout: &'s Layout| layout.fields.keys().map(String::as_str);
    maps(name, systems)
        .flat_map(|map| {
            let inside = map.from.values().map(|inside| &inside.layout);
            std::iter::once(&map.layout).chain(inside).flat_map(names)
        })
        .collect()
}

/// A field that no system has is a slip of the pen, or not there yet.
fn is_field(value: &Value<'_>, name: &str, field: &str, systems: &Named<System>) {
    let known = field_names(name, systems);
    if known.contains(field) || known.is_empty() {
        return;
    }
    let suggestion = did_you_mean(field, known.iter().copied())
        .unwrap_or_else(|| format!("known: {}", Vec::from_iter(known).join(", ")));
    value.problems.warning(
        value.key_at,
        &value.path,
        &format!("no system's records of type {name} have this field"),
        Some(suggestion),
    );
}

/// `match`, in order; without it, the business key.
fn matches(section: &Section<'_>, name: &str, systems: &Named<System>) -> Vec<MatchRule> {
    const EXPECTED: &str = "a list such as [\"key\"] or [\"email|trim|lower\"]";
    let key = || MatchRule {
        field: None,
        clean: Vec::new(),
    };
    let Some(value) = section.get("match") else {
        return vec![key()];
    };
    let rule = |(value, text): &(Value<'_>, &str)| {
        let mut parts = text.split('|').map(str::trim);
        let field = parts.next().unwrap_or_default();
        if field != "key" {
            let known = field_names(name, systems);
            let known = known.iter().copied().chain(["key"]);
            check_member(value, "field", &format!("entity {name}"), field, known).then_some(())?;
        }
        let clean = parts
            .map(|step| clean(value, step))
            .collect::<Option<_>>()?;
        Some(MatchRule {
            field: (field != "key").then(|| field.to_owned()),
            clean,
        })
    };
    let texts = value.texts(EXPECTED).unwrap_or_default();
    texts.iter().filter_map(rule).collect()
}

fn clean(value: &Value<'_>, step: &str) -> Option<Clean> {
    let words = || Clean::WORDS.iter().map(|(word, _)| *word);
    let found = Clean::WORDS.iter().find(|(word, _)| *word == step);
    if found.is_none() {
        value.error(
            &format!(
                "unknown step {}; expected {}",
                quoted(step),
                alternatives(words())
            ),
            did_you_mean(step, words()),
        );
    }
    found.map(|(_, clean)| *clean)
}

/// One field's rule; its places go to `declared`.
fn owned<'a>(
    value: &Value<'a>,
    field: &str,
    systems: &Named<System>,
    declared: &mut Declared<'a>,
) -> Option<OwnedField> {
    if !value.is_table() {
        value.wrong(FIELD, None);
        return None;
    }
    let section = value.section()?;
    let owner = section.require("owner", "the system of record");
    if let Some(owner) = &owner {
        declared.owners.insert(field.to_owned(), owner.clone());
    }
    let owner = owner.and_then(|value| owner_name(&value, systems));
    let writers = section
        .get("writers")
        .map(|value| writers(&value, systems))
        .unwrap_or_default();
    let policy = section.get("policy").map(|value| {
        declared.decided.insert(field.to_owned());
        value.word(Policy::WORDS)
    });
    let only = |key, meant: Policy| {
        let value = section.get(key)?;
        if policy.is_none_or(|policy| policy.is_some_and(|policy| policy != meant)) {
            value.error(
                &format!("this belongs to policy = \"{}\"", meant.word()),
                None,
            );
        }
        Some(value)
    };
    let order = only("order", Policy::Monotonic)
        .map(|value| order(&value))
        .unwrap_or_default();
    let gap = only("gap", Policy::Newest)
        .and_then(|value| value.duration(Duration::ZERO..=DAY))
        .unwrap_or(GAP);
    let compare = section
        .get("compare")
        .and_then(|value| value.word(Compare::WORDS));
    let sensitive = section
        .get("sensitive")
        .and_then(|value| value.boolean())
        .unwrap_or(false);
    let when_owner_down = section.get("when_owner_down").and_then(|value| {
        declared.fallbacks.insert(field.to_owned(), value.clone());
        value.word(WhenDown::WORDS)
    });
    section.finish(&[]);
    Some(OwnedField {
        owner: owner?,
        writers,
        policy: policy.unwrap_or(Some(Policy::Owner))?,
        order,
        gap,
        compare,
        sensitive,
        when_owner_down,
    })
}

/// One system: a field with two owners has none.
fn owner_name(value: &Value<'_>, systems: &Named<System>) -> Option<String> {
    if value.items().is_some() {
        value.error(
            "a field has one owner",
            Some("name the system of record here, and the others in `writers`".to_owned()),
        );
        return None;
    }
    value.reference("system", systems.known())
}

/// `"crm"`, `"shop:create_only"`.
fn writers(value: &Value<'_>, systems: &Named<System>) -> Vec<Writer> {
    const ONLY: &str = "create_only";
    let Some(items) = value.items() else {
        value.wrong("a list such as [\"crm\", \"shop:create_only\"]", None);
        return Vec::new();
    };
    let writer = |value: &Value<'_>| {
        let text = value.filled("a system such as \"crm\" or \"shop:create_only\"")?;
        let (system, only) = match text.split_once(':') {
            Some((system, only)) => (system.trim(), Some(only.trim())),
            None => (text.trim(), None),
        };
        if let Some(only) = only.filter(|only| *only != ONLY) {
            value.error(
                &format!("unknown limit {}; expected `{ONLY}`", quoted(only)),
                did_you_mean(only, [ONLY]),
            );
            return None;
        }
        check_reference(value, "system", system, systems.known()).then(|| Writer {
            system: system.to_owned(),
            create_only: only.is_some(),
        })
    };
    let mut all: Vec<Writer> = Vec::new();
    for (value, writer) in items.iter().filter_map(|item| Some((item, writer(item)?))) {
        if all.iter().any(|known| known.system == writer.system) {
            value.error(
                &format!("{} is named twice", quoted(&writer.system)),
                Some("it may write at any time, or only when the record is made".to_owned()),
            );
        } else {
            all.push(writer);
        }
    }
    all
}

/// The words of a field that never goes back, lowest first.
fn order(value: &Value<'_>) -> Vec<String> {
    const EXPECTED: &str = "a list of at least two words, lowest first";
    let texts = value.texts(EXPECTED).unwrap_or_default();
    if texts.len() == 1 {
        value.wrong(EXPECTED, None);
    }
    let mut words: Vec<String> = Vec::new();
    for (value, word) in texts {
        if words.iter().any(|known| known == word) {
            value.error(&format!("{} stands here twice", quoted(word)), None);
        } else {
            words.push(word.to_owned());
        }
    }
    words
}

/// What an entity calls sensitive is so in every record map of its type: ledger and screens ask those.
fn veil(entity: &Entity, systems: &mut Named<System>) {
    let is_sensitive = |name: &str| entity.field(name).is_some_and(|rule| rule.sensitive);
    let veil = |layout: &mut Layout| {
        for (name, field) in &mut layout.fields {
            field.sensitive |= is_sensitive(name);
        }
    };
    for system in systems.good.values_mut() {
        if let Some(map) = system.records.get_mut(&entity.name) {
            let map = Arc::make_mut(map);
            veil(&mut map.layout);
            (map.from.values_mut()).for_each(|inside| veil(&mut inside.layout));
        }
    }
}
