//! What receivers answer is a contract too, though nobody wrote it down: which fields their answers have and of what type,
//! which version of the API speaks, what is deprecated. Pure: from an answer, and from what is remembered of those before,
//! to what is new. The dispatcher holds it in memory, asks it after each good answer, and has what it says stored.
//!
//! It never looks at a value but a version, a date and a link; it never fails an attempt, and while nothing changes it looks
//! every tenth body only. Of an event it hears the version in which its source speaks, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;

use crate::http::{Reply, link};
use crate::ids::PathId;
use crate::store::view::{NoteKind, ShapeRow};
use crate::time::Timestamp;

/// So many answers make a habit: only then is a new or a missing field news.
pub const ENOUGH: u64 = 20;
/// Fields that are remembered of each step.
const MOST_FIELDS: usize = 256;
/// Levels of an answer that are looked at.
const DEEPEST: usize = 8;
/// Longer bodies are not looked at, in bytes.
const LARGEST: usize = 64 << 10;
/// After so many answers without news only every tenth is looked at.
const STEADY: u64 = 100;
const EVERY: u64 = 10;
/// Counts are stored at least after so many looks.
const STORE_EVERY: u64 = 100;
/// The most that one answer is news of.
const MOST_NEWS: usize = 8;
/// What still is so is told again after this.
const AGAIN: Duration = Duration::from_secs(86_400);
/// The longest value of a header that is kept, in bytes.
const LONGEST: usize = 200;
/// Longer keys of objects are values.
const LONGEST_KEY: usize = 64;

/// The step under which the version in which a path's source speaks is remembered.
pub const EVENTS: &str = "events";

/// JSON types as bits, in the order of [`WORDS`].
type Kinds = u8;
const NULL: Kinds = 1;
const OBJECT: Kinds = 32;
const WORDS: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

/// What a receiver says beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Saying {
    /// The version of its API.
    Version,
    /// `Deprecation` (RFC 9745).
    Deprecation,
    /// `Sunset` (RFC 8594).
    Sunset,
}

impl Saying {
    const ALL: [Self; 3] = [Self::Version, Self::Deprecation, Self::Sunset];

    /// How it is stored, among the fields of the step: no pointer begins like this.
    fn pointer(self) -> &'static str {
        match self {
            Self::Version => "@version",
            Self::Deprecation => "@deprecation",
            Self::Sunset => "@sunset",
        }
    }
}

/// One answer, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    said: Vec<(Saying, String)>,
    /// Where more is written about a deprecation or a sunset.
    links: Vec<(Saying, String)>,
    /// Its fields and their types; none if the body was not looked at.
    fields: Option<BTreeMap<String, Kinds>>,
}

/// Something that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What it is about.
    pub kind: NoteKind,
    /// What exactly.
    pub what: String,
    /// In words.
    pub text: String,
}

/// What is remembered of all answers, by path and step.
#[derive(Debug, Default)]
pub struct Answers(HashMap<(PathId, String), Step>);

#[derive(Debug, Default)]
struct Step {
    fields: BTreeMap<String, Field>,
    said: BTreeMap<Saying, Said>,
    /// Looks without news, one after the other.
    steady: u64,
    passed_over: u64,
    unstored: u64,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    kinds: Kinds,
    /// Answers that had it.
    seen: u64,
    /// Answers that could have had it, since it was first seen.
    total: u64,
}

#[derive(Debug)]
struct Said {
    value: String,
    /// When it was last told; not since this process began, if none.
    told: Option<Timestamp>,
}

/// Reads an answer; the body only if `whole`.
pub fn read(reply: &Reply, whole: bool) -> Seen {
    let header = |name| {
        reply
            .header(name)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    let cut = |text: &str| text[..text.floor_char_boundary(LONGEST)].to_owned();
    let mut seen = Seen::default();
    let is_json = header("content-type").is_some_and(|kind| kind.contains("json"));
    let body: Option<Value> = (whole && is_json && !reply.truncated && reply.body.len() <= LARGEST)
        .then(|| serde_json::from_slice(&reply.body).ok())
        .flatten();
    let version = [
        "stripe-version",
        "x-shopify-api-version",
        "api-version",
        "x-api-version",
    ]
    .into_iter()
    .find_map(header)
    .or_else(|| body.as_ref()?.get("api_version")?.as_str());
    let said = [
        (Saying::Version, version),
        (Saying::Deprecation, header("deprecation")),
        (Saying::Sunset, header("sunset")),
    ];
    for (what, value) in said {
        if let Some(value) = value {
            seen.said.push((what, cut(value)));
        }
    }
    for (what, relation) in [
        (Saying::Deprecation, "deprecation"),
        (Saying::Sunset, "sunset"),
    ] {
        if let Some(target) = link::related(&reply.headers, relation) {
            seen.links.push((what, cut(target)));
        }
    }
    seen.fields = body.map(|body| {
        let mut fields = BTreeMap::new();
        flatten(&body, String::new(), 0, &mut fields);
        fields
    });
    seen
}

/// What an event's data say of the version of its source's API (`api_version`, as Stripe's do), if they do.
pub fn of_event(data: &[u8]) -> Option<Seen> {
    const NAME: &[u8] = b"\"api_version\"";
    #[derive(serde::Deserialize)]
    struct Named {
        api_version: String,
    }
    // Most sources name none: they are not read for it.
    if data.len() > LARGEST || !data.windows(NAME.len()).any(|part| part == NAME) {
        return None;
    }
    let version = serde_json::from_slice::<Named>(data).ok()?.api_version;
    let cut = version[..version.floor_char_boundary(LONGEST)].to_owned();
    (!cut.is_empty()).then(|| Seen {
        said: vec![(Saying::Version, cut)],
        ..Seen::default()
    })
}

/// The fields of a value: JSON pointers, with `*` for the items of an array and for keys that are values themselves.
fn flatten(value: &Value, at: String, level: usize, fields: &mut BTreeMap<String, Kinds>) {
    if fields.len() >= MOST_FIELDS && !fields.contains_key(&at) {
        return;
    }
    let (kind, inside): (usize, Vec<(String, &Value)>) = match value {
        Value::Null => (0, Vec::new()),
        Value::Bool(_) => (1, Vec::new()),
        Value::Number(_) => (2, Vec::new()),
        Value::String(_) => (3, Vec::new()),
        Value::Array(items) => (
            4,
            items.iter().map(|item| (format!("{at}/*"), item)).collect(),
        ),
        Value::Object(object) => {
            let name = |key: &str| {
                if is_value(key) {
                    return format!("{at}/*");
                }
                format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
            };
            (
                5,
                object
                    .iter()
                    .map(|(key, value)| (name(key), value))
                    .collect(),
            )
        }
    };
    *fields.entry(at).or_default() |= 1 << kind;
    if level < DEEPEST {
        for (at, value) in inside {
            flatten(value, at, level + 1, fields);
        }
    }
}

/// A key that names a record rather than a field: a number, or longer than names are.
fn is_value(key: &str) -> bool {
    key.len() > LONGEST_KEY || (!key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()))
}

fn parent(pointer: &str) -> Option<&str> {
    pointer.rsplit_once('/').map(|(parent, _)| parent)
}

/// Stands for any number of things, none too.
fn is_items(pointer: &str) -> bool {
    pointer.ends_with("/*")
}

fn words(kinds: Kinds) -> String {
    let found = WORDS.iter().enumerate();
    let found = found.filter(|(bit, _)| kinds & (1 << bit) != 0);
    found.map(|(_, word)| *word).collect::<Vec<_>>().join("|")
}

fn kinds(words: &str) -> Kinds {
    let bit = |word| WORDS.iter().position(|known| *known == word);
    words
        .split('|')
        .filter_map(bit)
        .fold(0, |kinds, bit| kinds | 1 << bit)
}

impl Answers {
    /// What was stored.
    pub fn load(rows: Vec<(PathId, String, ShapeRow)>) -> Self {
        let mut answers = Self::default();
        for (path, step, row) in rows {
            let step = answers.0.entry((path, step)).or_default();
            let saying = Saying::ALL
                .into_iter()
                .find(|what| what.pointer() == row.pointer);
            if let Some(what) = saying {
                let said = Said {
                    value: row.kind,
                    told: None,
                };
                step.said.insert(what, said);
            } else {
                let field = Field {
                    kinds: kinds(&row.kind),
                    seen: row.seen,
                    total: row.total,
                };
                step.fields.insert(row.pointer, field);
            }
        }
        answers
    }

    /// Whether the body of the next answer to `step` is to be looked at.
    pub fn is_due(&mut self, path: PathId, step: &str) -> bool {
        let Some(step) = self.0.get_mut(&(path, step.to_owned())) else {
            return true;
        };
        if step.steady < STEADY {
            return true;
        }
        step.passed_over += 1;
        step.passed_over.is_multiple_of(EVERY)
    }

    /// Takes an answer in: what is new, and what is remembered now, if that is to be stored.
    pub fn take(
        &mut self,
        path: PathId,
        name: &str,
        seen: Seen,
        now: Timestamp,
    ) -> (Vec<News>, Option<Vec<ShapeRow>>) {
        if seen == Seen::default() {
            return (Vec::new(), None);
        }
        let step = self.0.entry((path, name.to_owned())).or_default();
        let mut news = Vec::new();
        let mut changed = step.hear(name, &seen, now, &mut news);
        if let Some(fields) = seen.fields {
            let other = step.look(name, &fields, &mut news);
            step.steady = if other { 0 } else { step.steady + 1 };
            step.unstored += 1;
            changed |= other;
        }
        news.truncate(MOST_NEWS);
        let store = changed || step.unstored >= STORE_EVERY;
        if store {
            step.unstored = 0;
        }
        (news, store.then(|| step.rows()))
    }

    /// What was learnt since it was last stored: for when the process ends.
    pub fn unstored(&mut self) -> Vec<(PathId, String, Vec<ShapeRow>)> {
        (self.0.iter_mut())
            .filter(|(_, step)| step.unstored > 0)
            .map(|((path, name), step)| {
                step.unstored = 0;
                (*path, name.clone(), step.rows())
            })
            .collect()
    }
}

impl Step {
    /// Compares what is said beside the data; true if it is something else than before.
    fn hear(&mut self, name: &str, seen: &Seen, now: Timestamp, news: &mut Vec<News>) -> bool {
        let mut changed = false;
        for (what, value) in &seen.said {
            let known = self.said.get(what);
            let same = known.is_some_and(|known| known.value == *value);
            let again = known
                .and_then(|known| known.told)
                .is_none_or(|told| now >= told + AGAIN);
            let is_news = match what {
                // The first version that is heard of is no news, and one that stays is none either.
                Saying::Version => known.is_some() && !same,
                _ => !same || again,
            };
            if is_news {
                let link = seen.links.iter().find(|(about, _)| about == what);
                let before = known.map_or("", |known| &known.value);
                news.push(said(
                    name,
                    *what,
                    value,
                    before,
                    link.map(|(_, link)| &link[..]),
                    now,
                ));
            }
            if is_news || !same {
                changed |= !same;
                let said = Said {
                    value: value.clone(),
                    told: Some(now),
                };
                self.said.insert(*what, said);
            }
        }
        changed
    }

    /// Compares the fields of an answer; true if they are others than before.
    fn look(&mut self, name: &str, found: &BTreeMap<String, Kinds>, news: &mut Vec<News>) -> bool {
        let mut changed = false;
        let mut tell = |kind, pointer: &str, text| {
            news.push(News {
                kind,
                what: format!("{name} {pointer}"),
                text,
            });
        };
        let mut fresh = Vec::new();
        for (pointer, kinds) in found {
            if self.fields.contains_key(pointer) {
                continue;
            }
            if self.fields.len() + fresh.len() >= MOST_FIELDS {
                break;
            }
            // Below something that is new itself nothing is news.
            let before = parent(pointer).and_then(|parent| self.fields.get(parent));
            if let Some(before) =
                before.filter(|before| before.seen >= ENOUGH && !is_items(pointer))
            {
                let text = format!(
                    "answers to {name} have a new field {pointer} ({}): none of {} before had it",
                    words(*kinds),
                    before.seen
                );
                tell(NoteKind::AnswerNewField, pointer, text);
            }
            let field = Field {
                kinds: *kinds,
                seen: 0,
                total: 0,
            };
            fresh.push((pointer.clone(), field));
        }
        changed |= !fresh.is_empty();
        self.fields.extend(fresh);
        for (pointer, field) in &mut self.fields {
            if let Some(kinds) = found.get(pointer) {
                let other = kinds & !field.kinds;
                if other & !NULL != 0 && field.kinds != NULL && field.seen >= ENOUGH {
                    let text = format!(
                        "{} in answers to {name} is {}: it was {} in {} before",
                        shown(pointer),
                        words(*kinds),
                        words(field.kinds),
                        field.seen
                    );
                    tell(NoteKind::AnswerType, pointer, text);
                }
                changed |= other != 0;
                field.kinds |= kinds;
                field.seen += 1;
                field.total += 1;
                continue;
            }
            let above = parent(pointer).and_then(|parent| found.get(parent));
            if is_items(pointer) || above.is_none_or(|kinds| kinds & OBJECT == 0) {
                continue;
            }
            if field.seen == field.total && field.seen >= ENOUGH {
                let text = format!(
                    "answers to {name} lack {pointer}: all of {} before had it",
                    field.seen
                );
                tell(NoteKind::AnswerMissingField, pointer, text);
                changed = true;
            }
            field.total += 1;
        }
        changed
    }

    fn rows(&self) -> Vec<ShapeRow> {
        let fields = (self.fields.iter()).map(|(pointer, field)| ShapeRow {
            pointer: pointer.clone(),
            kind: words(field.kinds),
            seen: field.seen,
            total: field.total,
        });
        let said = (self.said.iter()).map(|(what, said)| ShapeRow {
            pointer: what.pointer().to_owned(),
            kind: said.value.clone(),
            seen: 1,
            total: 1,
        });
        fields.chain(said).collect()
    }
}

fn shown(pointer: &str) -> &str {
    if pointer.is_empty() {
        "the whole"
    } else {
        pointer
    }
}

/// The news of something said beside the data.
fn said(
    name: &str,
    what: Saying,
    value: &str,
    before: &str,
    link: Option<&str>,
    now: Timestamp,
) -> News {
    let day = |at: Timestamp| at.utc().format("%Y-%m-%d").to_string();
    let (kind, mut text) = match what {
        Saying::Version => (
            NoteKind::ApiVersion,
            if name == EVENTS {
                format!("events are of version {value} of the API: they were of {before}")
            } else {
                format!("answers to {name} are of version {value} of the API: it was {before}")
            },
        ),
        Saying::Deprecation => {
            let text = match deprecated(value) {
                Some(at) if at > now => format!("{name} will be deprecated on {}", day(at)),
                Some(at) => format!("{name} is deprecated since {}", day(at)),
                None => format!("{name} is deprecated ({value})"),
            };
            (NoteKind::Deprecation, text)
        }
        Saying::Sunset => {
            let text = match http_date(value) {
                Some(at) => format!("{name} ceases to answer on {}", day(at)),
                None => format!("{name} ceases to answer ({value})"),
            };
            (NoteKind::Sunset, text)
        }
    };
    if let Some(link) = link {
        text = format!("{text}, see {link}");
    }
    let what = match what {
        // One for all that is called on the path: they change together.
        Saying::Version => value.to_owned(),
        _ => format!("{name} {value}"),
    };
    News { kind, what, text }
}

/// `@` and seconds since 1970 (RFC 9745, 2.1); many still send an HTTP-date, as its drafts had it.
fn deprecated(value: &str) -> Option<Timestamp> {
    match value.strip_prefix('@') {
        Some(seconds) => seconds
            .parse::<i64>()
            .ok()?
            .checked_mul(1000)
            .map(Timestamp),
        None => http_date(value),
    }
}

fn http_date(value: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(value).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::ZERO + since)
}

#[cfg(test)]
mod tests;
