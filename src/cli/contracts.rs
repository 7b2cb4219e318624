//! `midwatch contracts`: whether a new version of a contract fits the older ones, an event that shows why not, and which
//! stored events it would refuse.

mod check;
mod list;
mod stored;

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use super::context::Context;
use super::out;
use crate::event::contract::compat::{self, Direction, Finding, Rule, Verdict};
use crate::event::contract::{Mode, Schema};
use stored::Stored;

/// The largest file that is read as a schema, in bytes.
const LARGEST: u64 = 4 << 20;

/// Shows what versions of a contract have against each other.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Check(check::Args),
    Diff(DiffArgs),
    List(list::Args),
}

/// Compares a new version of a contract with older ones, by the rules of Confluent's Schema Registry.
///
/// Each difference with its rule, where it is in both versions, and, if it breaks, an event that one version accepts and
/// the other refuses, where one was found. The exit code is 0 if the versions fit, 1 if they do not, 2 if a file cannot be
/// read as a schema.
///
/// With --json one object: compatible, mode, findings (rule, direction, against, pointer, old_pointer, old, new, words,
/// compatible, counterexample); with --against-stored also stored (as in `contracts check --against-stored`).
#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// JSON Schema files: the older versions, oldest first, then the new one.
    #[arg(required = true, num_args = 2.., value_names = ["OLD", "NEW"])]
    files: Vec<PathBuf>,
    /// Who must read what: NONE, BACKWARD, FORWARD or FULL, each against the last version or, as X_TRANSITIVE, against all.
    #[arg(long, value_parser = mode, default_value = Mode::BackwardTransitive.word())]
    mode: Mode,
    /// Let properties be added and removed that only break events with properties that their version does not name.
    #[arg(long)]
    lenient: bool,
    /// Hold the stored events of a type to the new version, too: the exit code is 1 if one of them would fail.
    #[arg(long, requires = "kind")]
    against_stored: bool,
    /// The event type whose stored events are meant.
    #[arg(long = "type", value_name = "TYPE", requires = "against_stored")]
    kind: Option<String>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

fn mode(word: &str) -> Result<Mode, String> {
    let upper = word.to_ascii_uppercase();
    let known = Mode::WORDS.iter().find(|(word, _)| *word == upper);
    known.map(|(_, mode)| *mode).ok_or_else(|| {
        let words: Vec<_> = Mode::WORDS.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    })
}

/// What JSON says of a comparison.
#[derive(Serialize)]
struct Shown<'a> {
    compatible: bool,
    mode: &'static str,
    findings: Vec<ShownFinding<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<&'a Stored>,
}

#[derive(Serialize)]
struct ShownFinding<'a> {
    rule: Rule,
    direction: Direction,
    against: &'a str,
    pointer: &'a str,
    old_pointer: &'a str,
    old: &'a Option<Value>,
    new: &'a Option<Value>,
    words: &'a str,
    compatible: bool,
    counterexample: &'a Option<Value>,
}

/// Compares, holds or lists.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    match &args.what {
        What::Check(args) => check::run(args, context),
        What::Diff(args) => diff(args, &|kind, schema| {
            stored::hold(&context.uncompared()?, kind, schema)
        }),
        What::List(args) => list::run(args, context),
    }
}

fn diff(
    args: &DiffArgs,
    hold: &dyn Fn(&str, &Schema) -> anyhow::Result<Stored>,
) -> anyhow::Result<u8> {
    let mut schemas = Vec::new();
    for file in &args.files {
        match read(file) {
            Ok(schema) => schemas.push(schema),
            Err(error) => {
                super::complain(&error);
                return Ok(super::CRITICAL);
            }
        }
    }
    let Some((new, older)) = schemas.split_last() else {
        anyhow::bail!("name at least two files");
    };
    let older: Vec<&Schema> = older.iter().collect();
    let verdict = compat::against(&older, new, args.mode, args.lenient);
    let names: Vec<String> = (args.files.iter())
        .map(|file| file.display().to_string())
        .collect();
    let stored = match args.kind.as_deref().map(|kind| hold(kind, new)).transpose() {
        Ok(stored) => stored,
        Err(error) => {
            super::complain(&error);
            return Ok(super::CRITICAL);
        }
    };
    if args.json {
        let mut shown = shown(&verdict, args.mode, &names);
        shown.stored = stored.as_ref();
        out::json(&shown)?;
    } else {
        out::say(&words(&verdict, args.mode, &names))?;
        if let Some(stored) = &stored {
            out::say(&format!("\n{}", stored.words()))?;
        }
    }
    let fails = stored.is_some_and(|stored| stored.would_fail > 0);
    Ok(if verdict.compatible && !fails {
        super::OK
    } else {
        super::FAILED
    })
}

/// Reads a file as a schema; the error says where it is none.
fn read(file: &Path) -> anyhow::Result<Schema> {
    let name = file.display();
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(LARGEST + 1).read_to_string(&mut text))
        .with_context(|| format!("cannot read {name}"))?;
    if text.len() as u64 > LARGEST {
        anyhow::bail!("{name} is larger than {} MiB", LARGEST >> 20);
    }
    let json: Value = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or(&why).to_owned();
        anyhow::anyhow!("{name}:{line}:{column}: this is no JSON: {why}")
    })?;
    Schema::new(json).map_err(|error| anyhow::anyhow!("{name} is no schema: {error}"))
}

fn shown<'a>(verdict: &'a Verdict, mode: Mode, names: &'a [String]) -> Shown<'a> {
    let finding = |one: &'a Finding| ShownFinding {
        rule: one.rule,
        direction: one.direction,
        against: name(names, one),
        pointer: &one.pointer,
        old_pointer: &one.old_pointer,
        old: &one.old,
        new: &one.new,
        words: &one.words,
        compatible: one.compatible,
        counterexample: &one.counterexample,
    };
    Shown {
        compatible: verdict.compatible,
        mode: mode.word(),
        findings: verdict.findings.iter().map(finding).collect(),
        stored: None,
    }
}

fn name<'a>(names: &'a [String], finding: &Finding) -> &'a str {
    names.get(finding.against).map_or("", String::as_str)
}

/// A verdict for people: what breaks first, each with its example; then what does no harm, a line each.
fn words(verdict: &Verdict, mode: Mode, names: &[String]) -> String {
    let (fitting, breaking): (Vec<_>, Vec<_>) =
        verdict.findings.iter().partition(|one| one.compatible);
    let mut out = match (verdict.compatible, breaking.len()) {
        (true, _) => format!("compatible ({})", mode.word()),
        (false, 1) => format!("incompatible ({}): 1 finding", mode.word()),
        (false, count) => format!("incompatible ({}): {count} findings", mode.word()),
    };
    let several = names.len() > 2;
    for one in breaking {
        let _ = write!(out, "\n\n{}  {}", one.rule, place(&one.pointer));
        if one.old_pointer != one.pointer {
            let _ = write!(out, "  (old: {})", place(&one.old_pointer));
        }
        if several {
            let _ = write!(out, "  against {}", name(names, one));
        }
        let _ = write!(out, "\n  {}", one.words);
        let value = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or("nothing".to_owned(), |value| shortened(&value.to_string()))
        };
        let _ = write!(
            out,
            "\n  old  {}\n  new  {}",
            value(&one.old),
            value(&one.new)
        );
        let who = match one.direction {
            Direction::Backward => "the old version accepts it, the new one does not",
            Direction::Forward => "the new version accepts it, the old one does not",
        };
        match &one.counterexample {
            Some(example) => {
                let _ = write!(out, "\n  for example  {example}\n               {who}");
            }
            None => out.push_str("\n  for example  none found"),
        }
    }
    if !fitting.is_empty() {
        out.push_str("\n\nno harm:");
    }
    for one in fitting {
        let _ = write!(
            out,
            "\n  {}  {}  {}",
            one.rule,
            place(&one.pointer),
            one.words
        );
    }
    out
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 100 {
        return text.to_owned();
    }
    let head: String = text.chars().take(99).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn args(files: Vec<PathBuf>) -> DiffArgs {
        DiffArgs {
            files,
            mode: Mode::Full,
            lenient: false,
            against_stored: false,
            kind: None,
            json: false,
        }
    }

    /// Compares files alone.
    fn diff(args: &DiffArgs) -> anyhow::Result<u8> {
        super::diff(args, &|_, _| anyhow::bail!("no events are asked for"))
    }

    #[test]
    fn the_exit_code_tells_what_fits_what_does_not_and_what_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let old = file(&folder, "1.json", r#"{"type": "integer"}"#);
        let new = file(&folder, "2.json", r#"{"type": "number"}"#);
        let broken = file(&folder, "3.json", "{\n  \"type\": }");
        let bad = file(
            &folder,
            "4.json",
            r#"{"properties": {"a": {"type": "strin"}}}"#,
        );
        let deep = file(&folder, "5.json", &"[".repeat(1_000));
        let none = folder.path().join("none.json");
        assert_eq!(
            diff(&args(vec![old.clone(), old.clone()])).unwrap(),
            super::super::OK
        );
        assert_eq!(
            diff(&args(vec![old.clone(), new])).unwrap(),
            super::super::FAILED
        );
        for unreadable in [broken.clone(), bad.clone(), deep, none] {
            let code = diff(&args(vec![old.clone(), unreadable])).unwrap();
            assert_eq!(code, super::super::CRITICAL);
        }
        assert!(
            read(&broken)
                .unwrap_err()
                .to_string()
                .contains("3.json:2:11: ")
        );
        assert!(
            read(&bad)
                .unwrap_err()
                .to_string()
                .contains("/properties/a/type")
        );
    }

    #[test]
    fn what_breaks_is_told_with_an_example_and_what_does_not_in_a_line() {
        let old = Schema::new(json!({
            "type": "object",
            "properties": {"total": {"type": "number"}, "note": {"type": "string", "maxLength": 5}},
            "required": ["total"],
            "additionalProperties": false
        }));
        let new = Schema::new(json!({
            "type": "object",
            "properties": {"total": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["total"],
            "additionalProperties": false
        }));
        let verdict = compat::against(&[&old.unwrap()], &new.unwrap(), Mode::Backward, false);
        let names = ["1.json".to_owned(), "2.json".to_owned()];
        let text = words(&verdict, Mode::Backward, &names);
        assert!(
            text.starts_with(
                "incompatible (BACKWARD): 1 finding\n\nTYPE_NARROWED  /properties/total/type\n"
            ),
            "{text}"
        );
        assert!(text.contains("\n  for example  {\"total\":"), "{text}");
        assert!(
            text.contains("\nno harm:\n  MAX_LENGTH_REMOVED  /properties/note"),
            "{text}"
        );
        let json = serde_json::to_value(shown(&verdict, Mode::Backward, &names)).unwrap();
        assert_eq!(json["compatible"], json!(false));
        assert_eq!(json["mode"], json!("BACKWARD"));
        assert_eq!(json["findings"][0]["rule"], json!("TYPE_NARROWED"));
        assert_eq!(json["findings"][0]["old"], json!("number"));
        assert_eq!(json["findings"][0]["against"], json!("1.json"));
        assert!(json["findings"][0]["counterexample"]["total"].is_number());
    }

    #[test]
    fn modes_are_read_by_their_words() {
        assert_eq!(mode("full_transitive"), Ok(Mode::FullTransitive));
        assert!(
            mode("SIDEWAYS")
                .unwrap_err()
                .contains("BACKWARD_TRANSITIVE")
        );
    }
}
