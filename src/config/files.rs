//! Record types whose records are in a file: `list = { ndjson = "exports/orders.ndjson" }`, `{ csv = "x.csv", separator = ";" }`,
//! `{ sqlite = "books.db", query = "SELECT ..." }`. Reads and checks; opens nothing.

use std::path::PathBuf;

use super::reader::{Section, Value};
use crate::record::map::RecordFile;

/// The keys that name a file; each excludes the others.
const KINDS: [&str; 3] = ["ndjson", "csv", "sqlite"];

/// Whether a `list` names a file.
pub(super) fn is_file(value: &Value<'_>) -> bool {
    value.is_table()
        && value.section().is_some_and(|section| {
            section
                .entries()
                .iter()
                .any(|(name, _)| KINDS.contains(name))
        })
}

/// Reads it.
pub(super) fn file(value: &Value<'_>) -> Option<RecordFile> {
    let section = value.section()?;
    let written = section.entries();
    let kinds: Vec<&str> = written
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| KINDS.contains(name))
        .collect();
    let path = |key| -> Option<PathBuf> {
        let text = section
            .get(key)?
            .filled("the path of a file, from the configuration's folder on")?;
        Some(PathBuf::from(text))
    };
    let file = match kinds.as_slice() {
        ["ndjson"] => path("ndjson").map(RecordFile::Ndjson),
        ["csv"] => csv(&section, path("csv")),
        ["sqlite"] => sqlite(&section, path("sqlite")),
        several => {
            let several = several.join(", ");
            section.error(
                &format!("more than one file is named: {several}"),
                Some("keep one of them".to_owned()),
            );
            return None;
        }
    };
    section.finish(&[]);
    file
}

fn csv(section: &Section<'_>, file: Option<PathBuf>) -> Option<RecordFile> {
    let separator = match section.get("separator") {
        None => b',',
        Some(value) => {
            let text = value.text("one character such as \";\"")?;
            match text.as_bytes() {
                [one] if one.is_ascii() && !matches!(one, b'"' | b'\r' | b'\n') => *one,
                _ => {
                    value.wrong("one character such as \";\"", None);
                    return None;
                }
            }
        }
    };
    Some(RecordFile::Csv {
        file: file?,
        separator,
    })
}

fn sqlite(section: &Section<'_>, file: Option<PathBuf>) -> Option<RecordFile> {
    let value = section.require("query", "one SELECT whose columns are the record's members")?;
    let query = value.filled("one SELECT whose columns are the record's members")?;
    let first = query.split_whitespace().next().unwrap_or_default();
    if !["select", "with"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
    {
        value.wrong("one SELECT: the database is only read", None);
        return None;
    }
    Some(RecordFile::Sqlite {
        file: file?,
        query: query.to_owned(),
    })
}
