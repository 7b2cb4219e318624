//! `[contracts."TYPE"]`: the versions of an event type's contract, read from their files and compiled once, and the casts
//! between them. Whatever would fail at the first event is found here, and so is what no event would ever need.
//!
//! A contract's files are read again at each load, so that a reload brings a mended one into force.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::{Path as Route, Sync};
use super::reader::{Section, Value, quoted};
use super::values::check_member;
use crate::event::contract::compat::{Direction, Verdict};
use crate::event::contract::{
    Cast, Contract, ContractVersion, Mode, Pair, Schema, read, shortened,
};
use crate::event::expr::{self, Kind};
use crate::record::read::overlap;

/// The largest schema or template that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Most versions of one contract: each is compared with all before it.
const MOST_VERSIONS: usize = 64;

/// Most pairs of versions of one contract that are compared when the file is read, the newest versions first: every
/// command reads it.
const MOST_PAIRS: usize = 60;

/// The contracts of a file, and where each was written.
pub(super) struct Contracts<'a> {
    /// The good ones, by event type.
    pub(super) good: BTreeMap<String, Contract>,
    /// Every one that was written, good or not, with the places of its versions.
    written: Vec<(&'a str, Vec<Value<'a>>)>,
}

/// Reads `[contracts]`; `folder` holds `TYPE/VERSION.json`, and files of casts are relative to `base`.
pub(super) fn contracts<'a>(section: &Section<'a>, folder: &Path, base: &Path) -> Contracts<'a> {
    let mut good = BTreeMap::new();
    let mut written = Vec::new();
    for (kind, value) in section.entries() {
        let named = check_kind(&value, kind);
        let Some(one) = value.section().filter(|_| named) else {
            written.push((kind, Vec::new()));
            continue;
        };
        let versions = one.require("versions", VERSIONS);
        let items = versions.as_ref().and_then(Value::items);
        let contract = contract(&one, kind, versions.as_ref(), &folder.join(kind), base);
        one.finish(&[]);
        if let Some(contract) = contract {
            good.insert(kind.to_owned(), contract);
        }
        written.push((kind, items.unwrap_or_default()));
    }
    Contracts { good, written }
}

impl Contracts<'_> {
    /// The versions that a path reads must be those of a contract of its types, each of which must have one of them.
    pub(super) fn reads(&self, section: &Section<'_>, events: Option<&[String]>) -> Vec<String> {
        let (Some(value), Some(events)) = (section.get("reads"), events) else {
            return Vec::new();
        };
        let Some(texts) = value.texts("a list of contract versions such as [\"2\"]") else {
            return Vec::new();
        };
        let taken = |kind: &str| events.iter().any(|pattern| overlap(pattern, kind));
        let of_path: Vec<&Contract> = (self.good.values())
            .filter(|contract| taken(&contract.kind))
            .collect();
        if self
            .written
            .iter()
            .any(|(kind, _)| taken(kind) && !self.good.contains_key(*kind))
        {
            // That contract is complained about where it stands.
            return Vec::new();
        }
        if of_path.is_empty() {
            value.error(
                "no event type of this path has a contract, so that there are no versions to read",
                Some(format!(
                    "add [contracts.\"{}\"], or remove `reads`",
                    events.first().map_or("TYPE", String::as_str)
                )),
            );
            return Vec::new();
        }
        let known: Vec<&str> = (of_path.iter())
            .flat_map(|contract| &contract.versions)
            .map(|version| version.name.as_str())
            .collect();
        let kinds: Vec<&str> = of_path
            .iter()
            .map(|contract| contract.kind.as_str())
            .collect();
        let mut good = true;
        for (item, text) in &texts {
            good &= check_member(
                item,
                "version",
                &kinds.join(", "),
                text,
                known.iter().copied(),
            );
        }
        for contract in of_path.iter().filter(|_| good) {
            if !texts
                .iter()
                .any(|(_, text)| contract.version(text).is_some())
            {
                value.error(
                    &format!(
                        "{} has none of these versions, so that all of its events would be held",
                        contract.kind
                    ),
                    Some(format!("add one of its own: {}", names(contract))),
                );
            }
        }
        texts.into_iter().map(|(_, text)| text.to_owned()).collect()
    }

    /// Versions must keep to their contract's mode, where no cast makes one readable by the other.
    pub(super) fn compare(&self) {
        for (kind, items) in &self.written {
            let Some(contract) = self.good.get(*kind) else {
                continue;
            };
            let mut pairs = contract.pairs();
            pairs.retain(|pair| pair.casts.is_none());
            let older = pairs.len().saturating_sub(MOST_PAIRS);
            let mut told = None;
            for pair in &pairs[older..] {
                if told == Some(pair.new) {
                    continue;
                }
                let verdict = pair.judge();
                if !verdict.compatible {
                    complain(&items[pair.new], contract, pair, &verdict);
                    told = Some(pair.new);
                }
            }
            if let (Some(item), true) = (items.first(), older > 0 && told.is_none()) {
                item.warning(
                    &format!("{older} older pairs of versions of {kind} were not compared"),
                    Some(format!(
                        "`midwatch contracts check {kind}` compares them all"
                    )),
                );
            }
        }
    }

    /// Warns of versions that no path can read, once the paths are known.
    pub(super) fn check_use(&self, paths: &[Route]) {
        for (kind, items) in &self.written {
            let Some(contract) = self.good.get(*kind) else {
                continue;
            };
            let takers: Vec<&Route> = (paths.iter())
                .filter(|path| {
                    path.sync != Sync::Scheduled
                        && path.events.iter().any(|pattern| overlap(pattern, kind))
                })
                .collect();
            if takers.is_empty() || takers.iter().any(|path| path.reads.is_empty()) {
                continue;
            }
            for (version, item) in contract.versions.iter().zip(items) {
                let read = |path: &&Route| {
                    path.reads
                        .iter()
                        .any(|name| contract.chain(&version.name, name).is_some())
                };
                if takers.iter().any(read) {
                    continue;
                }
                item.warning(
                    &format!(
                        "no path reads version {} of {kind}, and no cast leads from it to one that is read: its events will be held",
                        version.name
                    ),
                    Some(format!(
                        "add casts.\"{} -> {}\", or let a path read it",
                        version.name,
                        takers.first().and_then(|path| path.reads.last()).map_or("", String::as_str)
                    )),
                );
            }
        }
    }
}

/// Says of two versions what breaks, with an example, and what can be done.
fn complain(item: &Value<'_>, contract: &Contract, pair: &Pair<'_>, verdict: &Verdict) {
    let [old, new] = [pair.old_name(), pair.new_name()];
    let (writer, reader) = match pair.direction {
        Direction::Backward => (old, new),
        Direction::Forward => (new, old),
    };
    let mut breaking = verdict.findings.iter().filter(|one| !one.compatible);
    let mut message = format!(
        "version {reader} of {} does not read all that {writer} writes ({})",
        contract.kind,
        contract.mode.word()
    );
    if let Some(one) = breaking.next() {
        let at = if one.pointer.is_empty() {
            "/"
        } else {
            &one.pointer
        };
        let _ = write!(message, ": {} at {at}: {}", one.rule, one.words);
        if let Some(example) = &one.counterexample {
            let example = shortened(&example.to_string());
            let _ = write!(message, ", for example {example}");
        }
    }
    match breaking.count() {
        0 => {}
        1 => message.push_str("; and 1 finding more"),
        more => {
            let _ = write!(message, "; and {more} findings more");
        }
    }
    item.error(
        &message,
        Some(format!(
            "make it a new event type, add casts.\"{writer} -> {reader}\", or change `mode`; `midwatch contracts check {}` tells all of it",
            contract.kind
        )),
    );
}

/// What a list of versions looks like.
const VERSIONS: &str = "a list of versions such as [\"1\", \"2\"], oldest first";

fn contract(
    section: &Section<'_>,
    kind: &str,
    versions: Option<&Value<'_>>,
    folder: &Path,
    base: &Path,
) -> Option<Contract> {
    let mode = section.get("mode").map(|value| value.word(Mode::WORDS));
    let lenient = section.get("lenient").and_then(|value| value.boolean());
    let texts = versions.and_then(|value| value.texts(VERSIONS));
    let mut seen: Vec<&str> = Vec::new();
    let mut good = Vec::new();
    for (item, name) in texts.iter().flatten() {
        if seen.contains(name) {
            item.error(&format!("version {} is listed twice", quoted(name)), None);
        } else if !is_version(name) {
            item.wrong(
                "at most 32 letters, digits, `.`, `-` and `_`, beginning with a letter or digit: it names a file",
                None,
            );
        } else if seen.len() == MOST_VERSIONS {
            item.error(&format!("more than {MOST_VERSIONS} versions"), None);
            break;
        } else {
            good.extend(version(item, name, folder));
        }
        seen.push(name);
    }
    let member = |value: &Value<'_>, name: &str| {
        check_member(value, "version", kind, name, seen.iter().copied())
    };
    let assume = section.get("assume").map(|value| {
        let text = value.filled("a version, such as \"2\"")?;
        member(&value, text).then(|| text.to_owned())
    });
    let casts = casts(section, &member, base);
    let whole = good.len() == seen.len() && texts.is_some();
    let assumed = match assume {
        None => seen.len().checked_sub(1)?,
        Some(name) => seen
            .iter()
            .position(|known| name.as_deref() == Some(known))?,
    };
    whole.then(|| Contract {
        kind: kind.to_owned(),
        versions: good,
        mode: mode.flatten().unwrap_or_default(),
        lenient: lenient.unwrap_or_default(),
        assumed,
        casts,
    })
}

/// One version's schema, compiled.
fn version(item: &Value<'_>, name: &str, folder: &Path) -> Option<ContractVersion> {
    let file = folder.join(format!("{name}.json"));
    let bytes = contents(item, &file, "a JSON Schema")?;
    let elsewhere = |place, key: &str, message: String| {
        item.problems.elsewhere(&file, place, key, &message);
    };
    let json = match serde_json::from_slice(&bytes) {
        Ok(json) => json,
        Err(error) => {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            elsewhere(
                (error.line(), error.column()),
                "",
                format!("this is not JSON: {message}"),
            );
            return None;
        }
    };
    if let Err(fault) = read(&bytes) {
        let why = fault.text.trim_start_matches("the data is not JSON: ");
        elsewhere(
            (0, 0),
            "",
            format!("two readers may read this differently: {why}"),
        );
        return None;
    }
    match Schema::new(json) {
        Ok(schema) => Some(ContractVersion {
            name: name.to_owned(),
            file,
            schema: Arc::new(schema),
        }),
        Err(error) => {
            elsewhere(
                (0, 0),
                &error.at,
                format!("this is no JSON Schema: {}", error.why),
            );
            None
        }
    }
}

/// The bytes of a file that the configuration names.
fn contents(at: &Value<'_>, file: &Path, what: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file);
    let result = opened.and_then(|opened| opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    let message = match result {
        Ok(_) if bytes.len() as u64 > LARGEST_FILE => {
            format!("{} is longer than 1 MiB", file.display())
        }
        Ok(_) => return Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no {}", file.display())
        }
        Err(error) => format!("{} cannot be read: {error}", file.display()),
    };
    at.error(&message, Some(format!("it must hold {what}")));
    None
}

/// `casts."1 -> 2"`, a template or the file of one.
fn casts(
    section: &Section<'_>,
    member: &impl Fn(&Value<'_>, &str) -> bool,
    base: &Path,
) -> Vec<Cast> {
    let Some(table) = section.get("casts").and_then(|value| value.section()) else {
        return Vec::new();
    };
    let cast = |(name, value): (&str, Value<'_>)| {
        let pair = name
            .split_once("->")
            .map(|(from, to)| (from.trim(), to.trim()));
        let Some((from, to)) = pair.filter(|(from, to)| from != to) else {
            value.error(
                "this names no cast",
                Some("write it as casts.\"1 -> 2\"".to_owned()),
            );
            return None;
        };
        let known = [from, to].map(|name| member(&value, name));
        let template = template(&value, base)?;
        (known == [true, true]).then(|| Cast {
            from: from.to_owned(),
            to: to.to_owned(),
            template,
        })
    };
    table.entries().into_iter().filter_map(cast).collect()
}

/// A cast's template.
fn template(value: &Value<'_>, base: &Path) -> Option<String> {
    if value.as_text().is_some() {
        return value.expression(Kind::Template);
    }
    if !value.is_table() {
        value.wrong(
            "a template that renders JSON such as '{\"total\": {{ data.amount | tojson }}}', or { file = \"contracts/TYPE/1-to-2.json\" }",
            None,
        );
        return None;
    }
    let table = value.section()?;
    let written = table.require("file", "a template's file, relative to this one");
    table.finish(&[]);
    let written = written?;
    let name = written.filled("a template's file, relative to this one")?;
    let file: PathBuf = base.join(name);
    let bytes = contents(&written, &file, "a template that renders JSON")?;
    let Ok(text) = String::from_utf8(bytes) else {
        written.problems.elsewhere(&file, (0, 0), "", "not UTF-8");
        return None;
    };
    if let Err(error) = expr::check(&text, Kind::Template) {
        let place = (error.line.unwrap_or(0), error.column.unwrap_or(0));
        written.problems.elsewhere(&file, place, "", &error.message);
        return None;
    }
    Some(text)
}

/// A type that has a contract names a folder, and no pattern.
fn check_kind(value: &Value<'_>, kind: &str) -> bool {
    let message = if kind.contains('*') {
        "a contract is of one event type, not of a pattern"
    } else if kind.trim().is_empty()
        || kind.starts_with('.')
        || kind
            .chars()
            .any(|c| c.is_control() || c == '/' || c == '\\')
    {
        "this event type cannot be a folder's name, where its versions would be"
    } else {
        return true;
    };
    value
        .problems
        .error(value.key_at, &value.path, message, None, None);
    false
}

/// A version's name is a file's, and stands in URIs and on screens.
fn is_version(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// `1, 2`
fn names(contract: &Contract) -> String {
    let names: Vec<&str> = (contract.versions.iter())
        .map(|version| version.name.as_str())
        .collect();
    names.join(", ")
}
