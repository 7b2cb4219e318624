//! What each system takes from its preset, for `midwatch check`: which parts are in use, which lie idle and why. Decides
//! nothing; it only looks at a configuration that was read.

use std::collections::BTreeSet;

use serde::Serialize;

use super::model::{Auth, Config, Job, Listed, Path, System, Trust, Write};
use super::reader::{Origin, Section};
use crate::record::map::{Paging, RecordMap};

/// What a preset brought to a system, and who has the last word there.
#[derive(Debug, Clone)]
pub(super) struct Brought {
    /// The system.
    system: String,
    /// Its preset.
    preset: &'static str,
    /// Keys of the preset.
    keys: Vec<(String, Origin)>,
    /// Its record maps.
    records: Vec<(String, Origin)>,
}

impl Brought {
    /// What lies below a system's section.
    pub(super) fn of(section: &Section<'_>, system: &str, preset: &'static str) -> Self {
        let records = section.section("records");
        Self {
            system: system.to_owned(),
            preset,
            keys: section
                .below()
                .into_iter()
                .filter(|(key, _)| key != "records")
                .collect(),
            records: records.below(),
        }
    }
}

/// The parts of a preset that a system uses, and those it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Use {
    /// The system.
    pub system: String,
    /// Its preset.
    pub preset: &'static str,
    /// In use, in words.
    pub used: Vec<String>,
    /// Not in use, in words with the reason.
    pub idle: Vec<String>,
}

impl Use {
    /// A few lines for people.
    pub fn lines(&self) -> String {
        let used = if self.used.is_empty() {
            "nothing".to_owned()
        } else {
            self.used.join(", ")
        };
        let mut lines = format!(
            "systems.{} takes from preset {}:\n  {used}",
            self.system, self.preset
        );
        if !self.idle.is_empty() {
            lines.push_str("\n  not used: ");
            lines.push_str(&self.idle.join(", "));
        }
        lines
    }
}

/// What became of everything that presets brought.
pub(super) fn uses(brought: &[Brought], config: &Config) -> Vec<Use> {
    brought
        .iter()
        .filter_map(|brought| Some(one(brought, config.systems.get(&brought.system)?, config)))
        .collect()
}

fn one(brought: &Brought, system: &System, config: &Config) -> Use {
    let mut used = Vec::new();
    let mut idle = Vec::new();
    for (key, origin) in &brought.keys {
        let word = key.replace('_', " ");
        let why = match (origin, key.as_str()) {
            (Origin::Removed, _) => Some("removed"),
            (Origin::Replaced, _) => Some("replaced"),
            (_, "hooks") if system.hooks.is_none() => Some("no secrets"),
            (_, "webhooks")
                if system
                    .hooks
                    .as_ref()
                    .is_none_or(|hooks| hooks.watch.is_none()) =>
            {
                Some("no hooks.watch")
            }
            (_, "missed") if system.missed.is_none() => Some("no such records here"),
            (_, "missed") if system.hooks.is_none() => Some("no hooks"),
            (_, "auth") if system.auth == Auth::None => Some("no auth of yours"),
            _ => None,
        };
        match why {
            Some(why) => idle.push(format!("{word} ({why})")),
            // The user's part of hooks is their secrets, which change nothing of the preset's.
            None if key == "hooks" => used.push(word),
            None => used.push(with(word, &[], *origin)),
        }
    }
    let needed = needed(system, config);
    for (kind, origin) in &brought.records {
        let word = format!("records {kind}");
        match system.records.get(kind) {
            None => idle.push(format!("{word} (removed)")),
            Some(_) if !needed.contains(kind.as_str()) => idle.push(word),
            Some(map) => used.push(with(word, &parts(map, system, config), *origin)),
        }
    }
    Use {
        system: brought.system.clone(),
        preset: brought.preset,
        used,
        idle,
    }
}

/// `records order (changed here; lookup, update)`.
fn with(word: String, parts: &[&'static str], origin: Origin) -> String {
    let changed = (origin == Origin::Changed).then_some("changed here");
    let parts = (!parts.is_empty()).then(|| parts.join(", "));
    let said: Vec<&str> = changed.into_iter().chain(parts.as_deref()).collect();
    if said.is_empty() {
        word
    } else {
        format!("{word} ({})", said.join("; "))
    }
}

/// The record types of a system that something asks for.
fn needed<'c>(system: &'c System, config: &'c Config) -> BTreeSet<&'c str> {
    let mut needed: BTreeSet<&str> = system.poll.iter().map(|(kind, _)| kind.as_str()).collect();
    if let Some(missed) = system.missed.as_ref().filter(|_| system.hooks.is_some()) {
        match &missed.listed {
            Listed::Events(kind) => {
                needed.insert(kind);
            }
            Listed::Records(kinds) => needed.extend(kinds.iter().map(String::as_str)),
        }
    }
    let compared = config.reconcile.iter().filter_map(Job::records);
    let sides = compared.flat_map(|records| &records.sides);
    let here = sides.filter(|side| side.declared && side.system == system.name);
    needed.extend(here.map(|side| side.kind.as_str()));
    for path in &config.paths {
        let Some(mapping) = &path.mapping else {
            continue;
        };
        if path.from == system.name {
            needed.insert(&mapping.source);
            if let Some(map) = system.records.get(&mapping.source) {
                needed.extend(map.from.keys().map(String::as_str));
            }
        }
        if path.to == system.name {
            needed.insert(&mapping.target);
        }
    }
    needed
}

/// What of a record map is asked of the system.
fn parts(map: &RecordMap, system: &System, config: &Config) -> Vec<&'static str> {
    let writes = |path: &&Path| path.to == system.name;
    let writing: Vec<_> = config
        .paths
        .iter()
        .filter(writes)
        .filter_map(|path| path.mapping.as_ref())
        .filter(|mapping| mapping.target == map.kind)
        .collect();
    let written = !writing.is_empty();
    let any = |not: Write| writing.iter().any(|mapping| mapping.write != not);
    let linked = writing.iter().any(|mapping| !mapping.links.is_empty());
    let listed = map.list.as_ref();
    let paged = listed.is_some_and(|list| list.paging != Paging::None);
    [
        ("lookup", map.lookup.is_some() && written),
        (
            "read",
            map.read.is_some() && system.trust == Trust::Refetch && !map.events.is_empty(),
        ),
        ("create", map.create.is_some() && any(Write::Update)),
        ("update", map.update.is_some() && any(Write::Create)),
        ("links", linked),
        ("list", listed.is_some()),
        ("paging", paged),
    ]
    .into_iter()
    .filter_map(|(part, is_used)| is_used.then_some(part))
    .collect()
}
