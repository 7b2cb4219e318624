//! A small typed reader over TOML's spanned document: it walks sections and values, collects every problem with its
//! place, and knows which keys were asked for, so that what is left over is an unknown key. It knows nothing of what
//! the keys mean; the section modules do.
//!
//! A section may lie over another document's (a system over its preset): a key above hides the one below, two tables
//! are read as one, key by key and deep, and `false` above removes what is below. Every value keeps the document that
//! it was written in, so that a problem is reported where someone can mend it.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problems::Problems;
use super::suggest::did_you_mean;
use crate::visible;

/// A value where it was written.
#[derive(Clone, Copy)]
struct Written<'a> {
    problems: &'a Problems<'a>,
    key_at: usize,
    at: usize,
    node: &'a DeValue<'a>,
}

/// What one document says in a section.
#[derive(Clone, Copy)]
enum Layer<'a> {
    /// A table.
    Table(&'a Problems<'a>, &'a DeTable<'a>),
    /// A value that stands for a table with this one key (`"/id"` for `{ at = "/id" }`).
    Short(&'static str, Written<'a>),
}

impl<'a> Layer<'a> {
    fn entry(
        problems: &'a Problems<'a>,
        name: &Spanned<toml::de::DeString<'a>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Written<'a> {
        Written {
            problems,
            key_at: name.span().start,
            at: value.span().start,
            node: value.get_ref(),
        }
    }

    fn get(self, key: &str) -> Option<Written<'a>> {
        match self {
            Self::Table(problems, table) => {
                let (name, value) = table.get_key_value(key)?;
                Some(Self::entry(problems, name, value))
            }
            Self::Short(only, written) => (only == key).then_some(written),
        }
    }

    fn is_preset(self) -> bool {
        match self {
            Self::Table(problems, _) => problems.preset,
            Self::Short(_, written) => written.problems.preset,
        }
    }

    /// Every name, in the order in which they were written.
    fn names(self) -> Vec<&'a str> {
        match self {
            Self::Table(_, table) => {
                let mut names: Vec<_> = table
                    .iter()
                    .map(|(name, _)| (name.span().start, name.get_ref().as_ref()))
                    .collect();
                names.sort_unstable();
                names.into_iter().map(|(_, name)| name).collect()
            }
            Self::Short(only, _) => vec![only],
        }
    }
}

/// Who has the last word about a preset's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The preset: the user says nothing.
    Preset,
    /// Both: tables read as one.
    Changed,
    /// The user, with a value of their own.
    Replaced,
    /// The user, who removed it.
    Removed,
}

/// One table of the document, or the empty table where none was written.
pub(super) struct Section<'a> {
    /// Where problems go.
    pub(super) problems: &'a Problems<'a>,
    /// Its key path; empty at the root.
    pub(super) path: String,
    /// Byte offset of its key, where a missing key is reported.
    pub(super) at: usize,
    /// What lies above comes first.
    layers: Vec<Layer<'a>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(super) fn root(problems: &'a Problems<'a>, table: &'a DeTable<'a>) -> Self {
        Self {
            problems,
            path: String::new(),
            at: 0,
            layers: vec![Layer::Table(problems, table)],
            asked: RefCell::default(),
        }
    }

    /// The same section with another document's below it.
    pub(super) fn over(mut self, problems: &'a Problems<'a>, table: &'a DeTable<'a>) -> Self {
        self.layers.push(Layer::Table(problems, table));
        self
    }

    /// The value of a key, if it was written and not removed.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.asked.borrow_mut().push(key);
        self.find(key)
    }

    fn find(&self, key: &str) -> Option<Value<'a>> {
        let mut written = (self.layers.iter()).filter_map(|layer| Some((layer, layer.get(key)?)));
        let (layer, top) = written.next()?;
        let under = written.next().map(|(_, under)| under);
        if let (DeValue::Boolean(false), Some(under)) = (top.node, under)
            && !matches!(under.node, DeValue::Boolean(_))
        {
            return None;
        }
        Some(Value {
            problems: top.problems,
            path: match layer {
                Layer::Table(..) => join(&self.path, key),
                Layer::Short(..) => self.path.clone(),
            },
            key_at: top.key_at,
            at: top.at,
            node: top.node,
            under,
        })
    }

    /// The value of a key; its absence is an error that says what is expected.
    pub(super) fn require(&self, key: &'static str, expected: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.problems.error(
                self.at,
                &join(&self.path, key),
                "missing",
                Some(expected),
                None,
            );
        }
        value
    }

    /// The table of a key; an empty one where it was not written or is no table (which is reported).
    pub(super) fn section(&self, key: &'static str) -> Self {
        self.get(key)
            .and_then(|value| value.section())
            .unwrap_or_else(|| Self {
                problems: self.problems,
                path: join(&self.path, key),
                at: self.at,
                layers: Vec::new(),
                asked: RefCell::default(),
            })
    }

    /// Every entry in file order (those of a preset that were neither replaced nor removed come last), for tables whose
    /// keys are names.
    pub(super) fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let layers = self.layers.iter().enumerate();
        layers
            .flat_map(|(depth, layer)| {
                let above = &self.layers[..depth];
                let hidden = |name: &str| above.iter().any(|layer| layer.get(name).is_some());
                layer.names().into_iter().filter(move |name| !hidden(name))
            })
            .filter_map(|name| Some((name, self.find(name)?)))
            .collect()
    }

    /// Every key of the preset below, in its order, and who has the last word about it.
    pub(super) fn below(&self) -> Vec<(String, Origin)> {
        let below = self.layers.iter().filter(|layer| layer.is_preset());
        let names = below.flat_map(|layer| layer.names());
        names
            .map(|name| {
                let origin = match self.find(name) {
                    None => Origin::Removed,
                    Some(value) if !value.is_own() => Origin::Preset,
                    Some(value) if value.is_table() && value.under.is_some() => Origin::Changed,
                    Some(_) => Origin::Replaced,
                };
                (name.to_owned(), origin)
            })
            .collect()
    }

    /// An error about the section as a whole.
    pub(super) fn error(&self, message: &str, suggestion: Option<String>) {
        self.problems
            .error(self.at, &self.path, message, None, suggestion);
    }

    /// A warning about the section as a whole.
    pub(super) fn warning(&self, message: &str, suggestion: Option<String>) {
        self.problems
            .warning(self.at, &self.path, message, suggestion);
    }

    /// Reports every key that was never asked for. `later` explains keys that belong to a later version.
    pub(super) fn finish(&self, later: &[(&str, &str)]) {
        let asked = self.asked.borrow();
        for (name, value) in self.entries() {
            if asked.contains(&name) {
                continue;
            }
            if let Some((_, what)) = later.iter().find(|(key, _)| *key == name) {
                let message = format!("unknown key: {what} are not part of this version yet");
                let suggestion = Some("remove it".to_owned());
                self.problems
                    .error(value.key_at, &value.path, &message, None, suggestion);
                continue;
            }
            let suggestion = did_you_mean(name, asked.iter().copied()).or_else(|| {
                let mut known = asked.clone();
                known.sort_unstable();
                known.dedup();
                Some(format!("known here: {}", known.join(", ")))
            });
            self.problems
                .error(value.key_at, &value.path, "unknown key", None, suggestion);
        }
    }
}

/// One value of the document and its place.
#[derive(Clone)]
pub(super) struct Value<'a> {
    /// Where problems go.
    pub(super) problems: &'a Problems<'a>,
    /// Its key path.
    pub(super) path: String,
    /// Byte offset of its key.
    pub(super) key_at: usize,
    /// Byte offset of the value.
    pub(super) at: usize,
    node: &'a DeValue<'a>,
    /// What the preset says here.
    under: Option<Written<'a>>,
}

impl<'a> Value<'a> {
    /// It was written by the user, not by a preset.
    pub(super) fn is_own(&self) -> bool {
        !self.problems.preset
    }

    /// What the preset says here and the user's own value hides.
    pub(super) fn hidden(&self) -> Option<Value<'a>> {
        let under = self.under?;
        Some(Value {
            problems: under.problems,
            path: self.path.clone(),
            key_at: under.key_at,
            at: under.at,
            node: under.node,
            under: None,
        })
    }

    /// An error here that says what was found and what is expected.
    pub(super) fn wrong(&self, expected: &str, suggestion: Option<String>) {
        let message = format!("found {}", self.found());
        self.problems
            .error(self.at, &self.path, &message, Some(expected), suggestion);
    }

    /// An error here in other words.
    pub(super) fn error(&self, message: &str, suggestion: Option<String>) {
        self.problems
            .error(self.at, &self.path, message, None, suggestion);
    }

    /// A warning here.
    pub(super) fn warning(&self, message: &str, suggestion: Option<String>) {
        self.problems
            .warning(self.at, &self.path, message, suggestion);
    }

    /// What stands here, short and safe to print.
    fn found(&self) -> String {
        match self.node {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(number) => clipped(number.as_str()),
            DeValue::Float(number) => clipped(number.as_str()),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(items) if items.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// What kind of thing stands here, without its text: for places where a secret may stand.
    pub(super) fn kind(&self) -> &'static str {
        match self.node {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(items) if items.is_empty() => "an empty list",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// The text, if it is one; nothing is reported.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        match self.node {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a date, if it is one; nothing is reported.
    pub(super) fn as_date(&self) -> Option<String> {
        match self.node {
            DeValue::Datetime(date) => Some(date.to_string()),
            _ => None,
        }
    }

    /// It is an integer; nothing is reported.
    pub(super) fn is_integer(&self) -> bool {
        matches!(self.node, DeValue::Integer(_))
    }

    /// It is a table; nothing is reported.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.node, DeValue::Table(_))
    }

    /// A text.
    pub(super) fn text(&self, expected: &str) -> Option<&'a str> {
        let text = self.as_text();
        if text.is_none() {
            self.wrong(expected, None);
        }
        text
    }

    /// A text with something in it.
    pub(super) fn filled(&self, expected: &str) -> Option<&'a str> {
        let text = self.text(expected)?;
        if text.trim().is_empty() {
            self.wrong(expected, None);
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        if let DeValue::Boolean(value) = self.node {
            return Some(*value);
        }
        self.wrong("true or false", None);
        None
    }

    /// A whole number that is not negative, if it is one; nothing is reported.
    pub(super) fn as_whole(&self) -> Option<u64> {
        match self.node {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    /// A whole number in a range.
    pub(super) fn whole(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = self.as_whole().filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.wrong(&expected, None);
        }
        number
    }

    /// A number, whole or not, that is finite; nothing is reported.
    pub(super) fn as_number(&self) -> Option<f64> {
        let number: f64 = match self.node {
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok()? as f64
            }
            DeValue::Float(number) => number.as_str().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// A table.
    pub(super) fn section(&self) -> Option<Section<'a>> {
        if self.is_table() {
            return Some(self.layered(None));
        }
        // Not quoted: where a table belongs, someone may have written the secret that belongs inside it.
        let message = format!("found {}", self.kind());
        self.problems
            .error(self.at, &self.path, &message, Some("a table"), None);
        None
    }

    /// A table, or a text that stands for a table with the one key `short`.
    pub(super) fn section_or(&self, short: &'static str, expected: &str) -> Option<Section<'a>> {
        if self.is_table() || self.as_text().is_some() {
            return Some(self.layered(Some(short)));
        }
        self.wrong(expected, None);
        None
    }

    /// This over the preset's, as far as they are tables or stand for one.
    fn layered(&self, short: Option<&'static str>) -> Section<'a> {
        let own = Written {
            problems: self.problems,
            key_at: self.key_at,
            at: self.at,
            node: self.node,
        };
        let layers = std::iter::once(own).chain(self.under);
        Section {
            problems: self.problems,
            path: self.path.clone(),
            at: self.key_at,
            layers: layers
                .filter_map(|written| match (written.node, short) {
                    (DeValue::Table(table), _) => Some(Layer::Table(written.problems, table)),
                    (DeValue::String(_), Some(key)) => Some(Layer::Short(key, written)),
                    _ => None,
                })
                .collect(),
            asked: RefCell::default(),
        }
    }

    /// The items of a list, if it is one; nothing is reported.
    pub(super) fn items(&self) -> Option<Vec<Value<'a>>> {
        let DeValue::Array(items) = self.node else {
            return None;
        };
        let items = items.iter().enumerate().map(|(index, item)| Value {
            problems: self.problems,
            path: format!("{}[{index}]", self.path),
            key_at: item.span().start,
            at: item.span().start,
            node: item.get_ref(),
            under: None,
        });
        Some(items.collect())
    }

    /// A list with at least one item.
    pub(super) fn list(&self, expected: &str) -> Option<Vec<Value<'a>>> {
        let items = self.items().filter(|items| !items.is_empty());
        if items.is_none() {
            self.wrong(expected, None);
        }
        items
    }
}

/// `a.b`, with quotes around a key that TOML would want quoted.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare { key.to_owned() } else { quoted(key) };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// The text in quotes, escaped and at most 60 characters long.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", clipped(text))
}

/// The text made visible and at most 60 cells long.
fn clipped(text: &str) -> String {
    visible::line(text, 60).into_string()
}
