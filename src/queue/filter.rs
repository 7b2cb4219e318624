//! The filter of deliveries: one grammar for the screens' `/`, the CLI's `--filter`, and replays.
//!
//! ```text
//! path:crm state:dead,held type:order.* class:rejected status:422 group:0a1b2c3d key:1042 newer:2h older:1d id:7-1 replay:3 free text
//! ```
//!
//! Parts stand in any order; every part must hold, within one part any of its values (`path:crm,web`, or `path:crm path:web`).
//! A value with a space, comma, quote or colon is written in double quotes, in which `\` makes the next character literal.
//! Words without a key are one text to look for, joined by single spaces. Pure: the store translates it to its indexes, and
//! asks [`Filter::matches_row`] for the parts that it cannot index.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{BatchId, DeliveryId, Fingerprint};
use crate::queue::model::{Class, State};
use crate::store::view::DeliveryRow;
use crate::time::{self, Timestamp};
use crate::visible::Visible;

/// Which deliveries. Every part given must hold; within one part any value may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Path names.
    pub paths: Vec<String>,
    /// States.
    pub states: Vec<State>,
    /// Classes of the last attempt.
    pub classes: Vec<Class>,
    /// Statuses of the last attempt.
    pub statuses: Vec<u16>,
    /// Failure group. A value below 2^32 was typed as shown (8 digits) and stands for every group that is shown so.
    pub fingerprint: Option<Fingerprint>,
    /// Event type: exact, or a prefix ending in `*`.
    pub kind: Option<String>,
    /// Subject or order key, exact.
    pub subject: Option<String>,
    /// Accepted no longer ago than this.
    pub newer_than: Option<Duration>,
    /// Accepted longer ago than this.
    pub older_than: Option<Duration>,
    /// Text found in event id, type, subject, source or reason, without regard to ASCII case.
    pub text: Option<String>,
    /// Exactly these.
    pub ids: Vec<DeliveryId>,
    /// The items of this replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<BatchId>,
}

/// The keys of the grammar, in the order they are printed.
pub const KEYS: &[&str] = &[
    "path", "state", "type", "class", "status", "group", "key", "newer", "older", "id", "replay",
];

/// The longest filter that is read, in characters.
pub const MAX_LENGTH: usize = 1_000;

/// What was typed is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No such key.
    #[error("unknown key `{key}`: {hint}")]
    UnknownKey {
        /// As typed, visible.
        key: Visible,
        /// What to write instead.
        hint: String,
    },
    /// A key without a value.
    #[error("`{key}:` needs a value, for example {example}")]
    NoValue {
        /// The key.
        key: &'static str,
        /// A whole part.
        example: &'static str,
    },
    /// A value that the key cannot take.
    #[error("`{key}:{value}`: expected {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// As typed, visible.
        value: Visible,
        /// What would do, with a suggestion where one is near.
        expected: String,
    },
    /// A key that takes one value has two.
    #[error("`{key}:` is given twice; it takes one value")]
    Twice {
        /// The key.
        key: &'static str,
    },
    /// A path that nobody knows.
    #[error("there is no path called {name}{hint}")]
    UnknownPath {
        /// As typed, visible.
        name: Visible,
        /// ": did you mean ...?", or nothing.
        hint: String,
    },
    /// Too much to be typed by a person.
    #[error("the filter is {0} characters long: at most {MAX_LENGTH} are read")]
    TooLong(usize),
    /// A quote that never closes.
    #[error("the quote that opens at character {0} never closes")]
    OpenQuote(usize),
}

impl Filter {
    /// Deliveries that are exactly `ids`.
    pub fn of_ids(ids: impl IntoIterator<Item = DeliveryId>) -> Self {
        Self {
            ids: ids.into_iter().collect(),
            ..Self::default()
        }
    }

    /// It leaves nothing out: every delivery there is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `row` is among them at `now`, as far as a row tells: the items of a replay are known to the store only.
    pub fn matches_row(&self, row: &DeliveryRow, now: Timestamp) -> bool {
        fn any<T: PartialEq>(wanted: &[T], found: &T) -> bool {
            wanted.is_empty() || wanted.contains(found)
        }
        fn some<T: PartialEq>(wanted: &[T], found: Option<&T>) -> bool {
            wanted.is_empty() || found.is_some_and(|found| wanted.contains(found))
        }
        any(&self.states, &row.state)
            && any(&self.paths, &row.path)
            && any(&self.ids, &row.id)
            && some(&self.classes, row.last_class.as_ref())
            && some(&self.statuses, row.last_status.as_ref())
            && self.fingerprint.is_none_or(|wanted| {
                row.fingerprint
                    .is_some_and(|found| same_group(wanted, found))
            })
            && self
                .kind
                .as_deref()
                .is_none_or(|wanted| same_kind(wanted, &row.kind))
            && (self.subject.is_none()
                || self.subject == row.subject
                || self.subject == row.order_key)
            && self
                .newer_than
                .is_none_or(|age| row.accepted_at >= now - age)
            && self
                .older_than
                .is_none_or(|age| row.accepted_at < now - age)
            && self.text.as_deref().is_none_or(|text| {
                [
                    Some(row.event_id.as_str()),
                    Some(&row.kind),
                    row.subject.as_deref(),
                    Some(&row.source),
                    row.reason.as_deref(),
                ]
                .into_iter()
                .flatten()
                .any(|field| contains(field, text))
            })
    }

    /// The scope in words, for confirmations: names from the configuration and our own words only. A type, key or text
    /// comes from outside, so it is mentioned, not quoted.
    pub fn words(&self) -> String {
        let list = |words: Vec<String>| or_list(&words);
        let mut out = String::new();
        if self.states.is_empty() {
            out.push_str(if self.is_empty() {
                "all deliveries"
            } else {
                "deliveries"
            });
        } else {
            let states = list(self.states.iter().map(ToString::to_string).collect());
            let _ = write!(out, "{states} deliveries");
        }
        let mut say = |text: String| {
            out.push(' ');
            out.push_str(&text);
        };
        if !self.ids.is_empty() {
            say(match self.ids.len() {
                1..=3 => list(self.ids.iter().map(ToString::to_string).collect()),
                many => format!("among {many} chosen by hand"),
            });
        }
        if !self.paths.is_empty() {
            let names = self
                .paths
                .iter()
                .map(|name| Visible::of(name).into_string());
            say(format!("on {}", list(names.collect())));
        }
        let mut details = Vec::new();
        if let Some(replay) = self.replay {
            details.push(format!("of replay {}", replay.0));
        }
        if let Some(kind) = &self.kind {
            details.push(if kind.ends_with('*') {
                "of the event types asked for".to_owned()
            } else {
                "of one event type".to_owned()
            });
        }
        if self.subject.is_some() {
            details.push("of one key".to_owned());
        }
        if !self.classes.is_empty() {
            let words = self.classes.iter().map(ToString::to_string);
            details.push(format!("last attempt {}", list(words.collect())));
        }
        if !self.statuses.is_empty() {
            let words = self.statuses.iter().map(ToString::to_string);
            details.push(format!("last status {}", list(words.collect())));
        }
        if let Some(group) = self.fingerprint {
            details.push(format!("failure group {group}"));
        }
        if self.text.is_some() {
            details.push("containing the text asked for".to_owned());
        }
        if let Some(age) = self.newer_than {
            details.push(format!("accepted in the last {}", time::short(age)));
        }
        if let Some(age) = self.older_than {
            details.push(format!("accepted more than {} ago", time::short(age)));
        }
        for (place, detail) in details.into_iter().enumerate() {
            say(if place == 0 {
                detail
            } else {
                format!("and {detail}")
            });
        }
        out
    }

    fn set(&mut self, key: &'static str, values: Vec<String>) -> Result<(), FilterError> {
        let bad = |value: &str, expected: String| FilterError::BadValue {
            key,
            value: Visible::of(value),
            expected,
        };
        let no_value = || FilterError::NoValue {
            key,
            example: example(key),
        };
        if values.is_empty() || values.iter().any(String::is_empty) {
            return Err(no_value());
        }
        let word = |value: &str, words: Vec<&'static str>| {
            let near = nearest(value, &words)
                .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            bad(value, format!("one of {}{near}", words.join(", ")))
        };
        let one = |taken: bool| -> Result<String, FilterError> {
            match <[String; 1]>::try_from(values.clone()) {
                Ok([value]) if !taken => Ok(value),
                _ => Err(FilterError::Twice { key }),
            }
        };
        match key {
            "path" => self.paths.extend(values),
            "state" => {
                for value in &values {
                    let state = value.parse();
                    let words = || State::ALL.iter().map(|state| state.word()).collect();
                    self.states.push(state.map_err(|_| word(value, words()))?);
                }
            }
            "class" => {
                for value in &values {
                    let class = value.parse();
                    let words = || Class::ALL.iter().map(|class| class.word()).collect();
                    self.classes.push(class.map_err(|_| word(value, words()))?);
                }
            }
            "status" => {
                for value in &values {
                    let status = value
                        .parse()
                        .ok()
                        .filter(|status| (100..=999).contains(status));
                    let expected = || "an HTTP status, for example 422".to_owned();
                    self.statuses
                        .push(status.ok_or_else(|| bad(value, expected()))?);
                }
            }
            "id" => {
                for value in &values {
                    let id = value.parse();
                    let expected = || "a delivery, for example 1042-1".to_owned();
                    let id = id.map_err(|_| bad(value, expected()))?;
                    if !self.ids.contains(&id) {
                        self.ids.push(id);
                    }
                }
            }
            "group" => {
                let value = one(self.fingerprint.is_some())?;
                self.fingerprint = Some(parse_group(&value).ok_or_else(|| {
                    bad(
                        &value,
                        "the 8 hexadecimal digits of a failure group".to_owned(),
                    )
                })?);
            }
            "type" => {
                let value = one(self.kind.is_some())?;
                if value.trim_end_matches('*').contains('*') || value.ends_with("**") {
                    return Err(bad(
                        &value,
                        "a type, with `*` only at its end (order.*)".to_owned(),
                    ));
                }
                self.kind = Some(value);
            }
            "key" => self.subject = Some(one(self.subject.is_some())?),
            "replay" => {
                let value = one(self.replay.is_some())?;
                let number = value.parse().ok().filter(|number| *number > 0);
                let expected = || "a replay's number, for example 3".to_owned();
                self.replay = Some(BatchId(number.ok_or_else(|| bad(&value, expected()))?));
            }
            "newer" | "older" => {
                let age = if key == "newer" {
                    &mut self.newer_than
                } else {
                    &mut self.older_than
                };
                let value = one(age.is_some())?;
                let expected = || "a duration, for example 30m, 2h or 1d".to_owned();
                *age = Some(time::parse_duration(&value).ok_or_else(|| bad(&value, expected()))?);
            }
            // `key` is one of KEYS, all of which are above.
            _ => return Err(no_value()),
        }
        Ok(())
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let length = text.chars().count();
        if length > MAX_LENGTH {
            return Err(FilterError::TooLong(length));
        }
        let mut filter = Self::default();
        let mut words: Vec<String> = Vec::new();
        for part in parts(text)? {
            match part {
                Part::Word(word) => words.push(word),
                Part::Keyed(key, values) => {
                    let Some(known) = KEYS.iter().find(|known| **known == key) else {
                        return Err(unknown(&key));
                    };
                    filter.set(known, values)?;
                }
            }
        }
        let found = words.join(" ");
        filter.text = (!found.is_empty()).then_some(found);
        Ok(filter)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut list = |key: &str, values: Vec<String>| {
            if !values.is_empty() {
                parts.push(format!("{key}:{}", values.join(",")));
            }
        };
        let one = |value: Option<String>| value.into_iter().collect();
        list("path", self.paths.iter().map(|v| quoted(v)).collect());
        list(
            "state",
            self.states.iter().map(ToString::to_string).collect(),
        );
        list("type", one(self.kind.as_deref().map(quoted)));
        list(
            "class",
            self.classes.iter().map(ToString::to_string).collect(),
        );
        list(
            "status",
            self.statuses.iter().map(ToString::to_string).collect(),
        );
        list("group", one(self.fingerprint.map(group_text)));
        list("key", one(self.subject.as_deref().map(quoted)));
        list("newer", one(self.newer_than.map(exact)));
        list("older", one(self.older_than.map(exact)));
        list("id", self.ids.iter().map(ToString::to_string).collect());
        list(
            "replay",
            one(self.replay.map(|replay| replay.0.to_string())),
        );
        if let Some(text) = &self.text {
            // Plain words stay plain; anything else is one quoted text.
            let plain = text.split(' ').all(|word| quoted(word) == word);
            parts.push(if plain {
                text.clone()
            } else {
                always_quoted(text)
            });
        }
        f.write_str(&parts.join(" "))
    }
}

/// Refuses a path that is not among `known` (configured, or with deliveries left): a slip of the pen must not look like
/// "nothing matches".
///
/// # Errors
/// [`FilterError::UnknownPath`] for the first unknown name, with the nearest known one.
pub fn check_paths<'a>(
    filter: &Filter,
    known: impl Iterator<Item = &'a str>,
) -> Result<(), FilterError> {
    let known: Vec<&str> = known.collect();
    let unknown = (filter.paths.iter()).find(|name| !known.contains(&name.as_str()));
    let Some(name) = unknown else {
        return Ok(());
    };
    Err(FilterError::UnknownPath {
        name: Visible::of(name),
        hint: nearest(name, &known).map_or_else(String::new, |near| {
            format!(": did you mean {}?", Visible::of(near))
        }),
    })
}

/// Whether `found` is the group `wanted`, which may be the short form that screens show.
pub fn same_group(wanted: Fingerprint, found: Fingerprint) -> bool {
    if u32::try_from(wanted.0).is_ok() {
        wanted.0 as u32 == found.0 as u32
    } else {
        wanted == found
    }
}

/// Whether the event type `found` is `wanted`: exact, or a prefix ending in `*`.
fn same_kind(wanted: &str, found: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => found.starts_with(prefix),
        None => wanted == found,
    }
}

/// Whether `needle` is in `text`, without regard to ASCII case. Allocates nothing: it runs over many rows a keystroke.
fn contains(text: &str, needle: &str) -> bool {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let Some(first) = needle.first() else {
        return true;
    };
    text.windows(needle.len())
        .any(|window| window[0].eq_ignore_ascii_case(first) && window.eq_ignore_ascii_case(needle))
}

fn parse_group(text: &str) -> Option<Fingerprint> {
    if !matches!(text.len(), 8 | 16) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(text, 16)
        .ok()
        .map(|bits| Fingerprint(bits as i64))
}

fn group_text(group: Fingerprint) -> String {
    match u32::try_from(group.0) {
        Ok(short) => format!("{short:08x}"),
        Err(_) => format!("{:016x}", group.0),
    }
}

/// A duration that reads back as the same number of milliseconds.
fn exact(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    if rest == 0 {
        return "0".to_owned();
    }
    let mut out = String::new();
    for (unit, ms) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if rest >= ms {
            let _ = write!(out, "{}{unit}", rest / ms);
            rest %= ms;
        }
    }
    out
}

fn quoted(value: &str) -> String {
    let plain = !value.is_empty()
        && !value.contains(|c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\' | ',' | ':')
        });
    if plain {
        value.to_owned()
    } else {
        always_quoted(value)
    }
}

fn always_quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn or_list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [start @ .., last] => format!("{} or {last}", start.join(", ")),
    }
}

fn example(key: &str) -> &'static str {
    match key {
        "path" => "path:crm",
        "state" => "state:dead",
        "type" => "type:order.*",
        "class" => "class:rejected",
        "status" => "status:422",
        "group" => "group:0a1b2c3d",
        "key" => "key:1042",
        "newer" => "newer:2h",
        "older" => "older:1d",
        "replay" => "replay:3",
        _ => "id:1042-1",
    }
}

fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    words
        .iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), *known))
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len())
        .min()
        .map(|(_, known)| known)
}

fn unknown(key: &str) -> FilterError {
    // Words that people bring from other tools, and from our own screens' headings.
    let known = match key.to_ascii_lowercase().as_str() {
        "subject" | "order" | "order_key" => Some("key"),
        "kind" | "event" => Some("type"),
        "fingerprint" => Some("group"),
        "code" | "http" => Some("status"),
        "since" | "after" => Some("newer"),
        "until" | "before" => Some("older"),
        lower => nearest(lower, KEYS),
    };
    FilterError::UnknownKey {
        key: Visible::of(key),
        hint: match known {
            Some(known) => format!("did you mean `{known}:`? (text with a colon goes in quotes)"),
            None => format!(
                "the keys are {}; text with a colon goes in quotes",
                KEYS.join(", ")
            ),
        },
    }
}

/// One part as typed.
enum Part {
    /// Text to look for.
    Word(String),
    /// `key:value,value`.
    Keyed(String, Vec<String>),
}

/// Splits at white space outside quotes; in each part, a key made of letters stands before the first unquoted colon.
fn parts(text: &str) -> Result<Vec<Part>, FilterError> {
    let mut parts = Vec::new();
    let mut chars = text.chars().enumerate().peekable();
    loop {
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(parts);
        }
        let mut key: Option<String> = None;
        let mut values = Vec::new();
        let mut value = String::new();
        let mut was_quoted = false;
        while let Some((at, c)) = chars.next_if(|(_, c)| !c.is_whitespace()) {
            match c {
                '"' => {
                    was_quoted = true;
                    loop {
                        match chars.next() {
                            None => return Err(FilterError::OpenQuote(at + 1)),
                            Some((_, '"')) => break,
                            Some((_, '\\')) => match chars.next() {
                                Some((_, c)) => value.push(c),
                                None => return Err(FilterError::OpenQuote(at + 1)),
                            },
                            Some((_, c)) => value.push(c),
                        }
                    }
                }
                ':' if key.is_none() && !was_quoted && is_key(&value) => {
                    key = Some(std::mem::take(&mut value));
                }
                ',' if key.is_some() => values.push(std::mem::take(&mut value)),
                c => value.push(c),
            }
        }
        match key {
            None if value.is_empty() => {}
            None => parts.push(Part::Word(value)),
            Some(key) => {
                values.push(value);
                parts.push(Part::Keyed(key, values));
            }
        }
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
