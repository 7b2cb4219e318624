//! Fenced cells that do something: an action of midwatch, a gate that waits for a number, shell.
//!
//! ```text
//! ```midwatch {action="replay" path="{path}"}
//! ```midwatch {verify="backlog({path}) < 10"}
//! ```sh {name="disk"}
//! ```
//!
//! `{path}`, `{system}` and `{job}` are those of the incident. Pure.

use std::collections::BTreeMap;

use super::gate::Gate;

/// What a cell does.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// An action of midwatch, previewed and confirmed as anywhere.
    Action {
        /// Which.
        verb: Verb,
        /// Its parameters, as written.
        parameters: BTreeMap<String, String>,
    },
    /// It waits until this holds.
    Gate(Gate),
    /// To be run in a shell, by a person.
    Shell {
        /// What it is called.
        name: Option<String>,
        /// Its lines.
        text: String,
    },
}

/// What an action cell does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Delivers dead letters of a path again.
    Replay,
    /// Stops attempting a path.
    Pause,
    /// Goes on with it; closes its breaker.
    Resume,
    /// The same, where only the breaker is meant.
    BreakerReset,
    /// Asks a system whether it can be worked with.
    Probe,
    /// Tells what is known of a record.
    Lookup,
    /// Puts another secret in place.
    ReplaceSecret,
    /// Runs a reconciliation.
    Reconcile,
    /// Asks a system for what it did not tell.
    Backfill,
    /// Posts a summary to the path's channel.
    Escalate,
    /// Adds a note to the incident.
    Note,
}

impl Verb {
    /// All of them, with their words and what they need.
    pub const ALL: [(Self, &str, &[&str], &[&str]); 11] = [
        (Self::Replay, "replay", &["path"], &["filter"]),
        (Self::Pause, "pause", &["path"], &["reason"]),
        (Self::Resume, "resume", &["path"], &[]),
        (Self::BreakerReset, "breaker-reset", &["path"], &[]),
        (Self::Probe, "probe", &["system"], &[]),
        (Self::Lookup, "lookup", &["kind"], &["key"]),
        (
            Self::ReplaceSecret,
            "replace-secret",
            &["system"],
            &["which"],
        ),
        (Self::Reconcile, "reconcile", &["job"], &[]),
        (Self::Backfill, "backfill", &["system"], &[]),
        (Self::Escalate, "escalate", &["path"], &["note"]),
        (Self::Note, "note", &["text"], &[]),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(verb, ..)| *verb == self);
        found.map_or("", |(_, word, ..)| word)
    }
}

/// A parameter that a cell names without a value takes it from the incident.
const FROM_INCIDENT: [&str; 3] = ["path", "system", "job"];

/// Reads a fence's information and text. None: it is only text. Else what it does, or what is wrong with it.
pub fn read(info: &str, text: &str) -> Option<Result<Cell, String>> {
    let info = info.trim();
    let (language, rest) = match info.find(|c: char| c.is_whitespace() || c == '{') {
        Some(at) => (&info[..at], info[at..].trim()),
        None => (info, ""),
    };
    let attributes = attributes(rest);
    match language {
        "midwatch" => Some(attributes.and_then(|attributes| ours(&attributes))),
        "sh" | "bash" | "shell" => {
            // Public runbooks have other things behind the language: they stay text.
            let name = attributes.ok().and_then(|mut all| all.remove("name"));
            Some(Ok(Cell::Shell {
                name,
                text: text.to_owned(),
            }))
        }
        _ => None,
    }
}

fn ours(attributes: &BTreeMap<String, String>) -> Result<Cell, String> {
    if let Some(gate) = attributes.get("verify") {
        if let Some(other) = attributes.keys().find(|key| *key != "verify") {
            return Err(format!(
                "a gate has nothing but `verify`, and this has `{other}`"
            ));
        }
        return Gate::parse(gate).map(Cell::Gate);
    }
    let Some(word) = attributes.get("action") else {
        return Err("a midwatch cell has `action=\"...\"` or `verify=\"...\"`".to_owned());
    };
    let known = Verb::ALL.iter().find(|(_, known, ..)| known == word);
    let Some((verb, _, needed, also)) = known else {
        let words: Vec<&str> = Verb::ALL.iter().map(|(_, word, ..)| *word).collect();
        return Err(format!(
            "`{word}` is no action; there are: {}",
            words.join(", ")
        ));
    };
    let mut parameters = BTreeMap::new();
    for (key, value) in attributes.iter().filter(|(key, _)| *key != "action") {
        if !needed.contains(&key.as_str()) && !also.contains(&key.as_str()) {
            return Err(format!("{word} has no `{key}`"));
        }
        parameters.insert(key.clone(), value.clone());
    }
    for key in *needed {
        if !parameters.contains_key(*key) {
            if !FROM_INCIDENT.contains(key) {
                return Err(format!("{word} needs `{key}=\"...\"`"));
            }
            parameters.insert((*key).to_owned(), format!("{{{key}}}"));
        }
    }
    Ok(Cell::Action {
        verb: *verb,
        parameters,
    })
}

/// `{action="replay" path="crm"}`, and the JSON that other tools write (`{"name":"x"}`).
fn attributes(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let Some(inner) = inner else {
        return if text.is_empty() {
            Ok(all)
        } else {
            Err(format!("`{text}` is not in braces"))
        };
    };
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) {
        let texts = object.into_iter();
        let texts = texts.filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())));
        return Ok(texts.collect());
    }
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once("=\"")
            .ok_or_else(|| format!("`{rest}` is no key=\"value\""))?;
        let end = after
            .find('"')
            .ok_or_else(|| format!("the value of `{key}` does not end"))?;
        if all
            .insert(key.trim().to_owned(), after[..end].to_owned())
            .is_some()
        {
            return Err(format!("`{}` is given twice", key.trim()));
        }
        rest = after[end + 1..].trim_start_matches([' ', ',']);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(cell: Option<Result<Cell, String>>) -> (Verb, Vec<(String, String)>) {
        match cell {
            Some(Ok(Cell::Action { verb, parameters })) => (verb, parameters.into_iter().collect()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cells_are_read_and_what_they_leave_out_is_the_incidents() {
        let (verb, all) = parameters(read("midwatch {action=\"replay\" path=\"crm\"}", ""));
        assert_eq!(
            (verb, all),
            (Verb::Replay, vec![("path".to_owned(), "crm".to_owned())])
        );
        let (verb, all) = parameters(read("midwatch {action=\"pause\" reason=\"a, b = c\"}", ""));
        assert_eq!(verb, Verb::Pause);
        assert_eq!(all[0], ("path".to_owned(), "{path}".to_owned()));
        assert_eq!(all[1].1, "a, b = c");
        assert!(matches!(
            read("midwatch {verify=\"backlog(crm) < 10\"}", ""),
            Some(Ok(Cell::Gate(_)))
        ));
        assert_eq!(
            read("sh {\"name\":\"disk\"}", "df -h"),
            Some(Ok(Cell::Shell {
                name: Some("disk".to_owned()),
                text: "df -h".to_owned()
            }))
        );
        assert_eq!(read("json", "{}"), None);
        assert_eq!(read("", "x"), None);
    }

    #[test]
    fn what_cannot_be_done_says_why() {
        for (info, why) in [
            ("midwatch", "`action=\"...\"`"),
            ("midwatch {action=\"reply\"}", "`reply` is no action"),
            (
                "midwatch {action=\"replay\" job=\"x\"}",
                "replay has no `job`",
            ),
            ("midwatch {action=\"note\"}", "note needs `text"),
            ("midwatch {action=\"replay\" path=\"x}", "does not end"),
            (
                "midwatch {verify=\"backlog(crm) ~ 10\"}",
                "`backlog(crm) ~ 10`",
            ),
            (
                "midwatch {verify=\"backlog(crm) < 1\" path=\"x\"}",
                "nothing but `verify`",
            ),
        ] {
            let error = read(info, "").unwrap().unwrap_err();
            assert!(error.contains(why), "{info}: {error}");
        }
    }
}
