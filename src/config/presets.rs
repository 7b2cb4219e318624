//! The presets inside the binary: for each vendor a TOML file of the same grammar as `[systems.NAME]`, which a system
//! that names it is read over.
//!
//! A preset never names a secret, and never opens anything: its hooks are there only where the user gives the secrets.
//! Called by the reader of systems, and by `midwatch preset`.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::problems::Problems;
use super::reader::Section;
use super::suggest::{alternatives, did_you_mean};

/// One preset.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name, as it is written in `preset`.
    pub name: &'static str,
    /// What problems inside it name as their file.
    label: &'static str,
    /// The file, as it is.
    pub text: &'static str,
}

/// `presets/NAME.toml`.
macro_rules! preset {
    ($name:literal) => {
        Preset {
            name: $name,
            label: concat!("preset ", $name),
            text: include_str!(concat!("presets/", $name, ".toml")),
        }
    };
}

/// Every preset, by name.
pub const ALL: &[Preset] = &[
    preset!("hubspot"),
    preset!("pipedrive"),
    preset!("rest"),
    preset!("shopify"),
    preset!("slack"),
    preset!("stripe"),
    preset!("woocommerce"),
];

/// What someone who wrote `name` may have meant, in words.
pub fn suggestion(name: &str) -> String {
    let names = || ALL.iter().map(|preset| preset.name);
    did_you_mean(name, names()).unwrap_or_else(|| format!("known: {}", alternatives(names())))
}

impl Preset {
    /// The preset of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|preset| preset.name == name)
    }

    /// What it is for: the first line of its file.
    pub fn title(&self) -> &'static str {
        let line = self.text.lines().next().unwrap_or_default();
        line.trim_start_matches('#').trim()
    }

    /// What it brings, in words: its keys, and what each record map of it can do.
    pub fn brings(&self) -> Vec<String> {
        let problems = Problems::of_preset(Path::new(self.label), self.text);
        let (document, _) = DeTable::parse_recoverable(self.text);
        let root = Section::root(&problems, document.get_ref());
        let mut brings: Vec<String> = root
            .entries()
            .into_iter()
            .filter(|(name, _)| *name != "records")
            .map(|(name, _)| name.replace('_', " "))
            .collect();
        let records = root.section("records");
        brings.extend(records.entries().into_iter().map(|(kind, value)| {
            let parts: Vec<&str> = value
                .section()
                .map(|record| record.entries())
                .unwrap_or_default()
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| SHAPES.contains(name))
                .collect();
            if parts.is_empty() {
                format!("records {kind}")
            } else {
                format!("records {kind} ({})", parts.join(", "))
            }
        }));
        brings
    }
}

/// Keys of a record map that are requests.
const SHAPES: &[&str] = &[
    "lookup", "read", "create", "update", "delete", "links", "list",
];

/// A preset that is being read under a system.
pub(super) struct Opened {
    /// Which.
    pub(super) name: &'static str,
    /// Where problems inside it go.
    pub(super) problems: Problems<'static>,
    /// Its tables.
    pub(super) table: DeTable<'static>,
}

/// Those presets that a document's systems name.
pub(super) fn opened(document: &DeTable<'_>, known: &'static [Preset]) -> Vec<Opened> {
    let Some(DeValue::Table(systems)) = document.get("systems").map(toml::Spanned::get_ref) else {
        return Vec::new();
    };
    let named = |preset: &&Preset| {
        systems.iter().any(|(_, system)| {
            let DeValue::Table(system) = system.get_ref() else {
                return false;
            };
            matches!(
                system.get("preset").map(toml::Spanned::get_ref),
                Some(DeValue::String(name)) if name == preset.name
            )
        })
    };
    known.iter().filter(named).map(open).collect()
}

fn open(preset: &'static Preset) -> Opened {
    let problems = Problems::of_preset(Path::new(preset.label), preset.text);
    let (document, mistakes) = DeTable::parse_recoverable(preset.text);
    for mistake in &mistakes {
        let at = mistake.span().map_or(0, |span| span.start);
        problems.error(at, "", mistake.message(), None, None);
    }
    Opened {
        name: preset.name,
        problems,
        table: document.into_inner(),
    }
}

#[cfg(test)]
mod tests;
