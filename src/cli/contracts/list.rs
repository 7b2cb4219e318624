//! `midwatch contracts list`: the contracts with their versions, modes and files, and how many events are stored of each.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::super::context::{Context, reader};
use super::super::out;
use crate::config::model::Config;
use crate::watch::grouped;

/// Lists the contracts: versions, oldest first, mode, files, and how many events of the type are stored.
///
/// With --json one object a line: type, mode, lenient, assumed (the version of events that name none), versions (name, file),
/// casts (from, to), events (stored ones without those that were given up; null without a database).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    mode: &'static str,
    lenient: bool,
    assumed: &'a str,
    versions: Vec<Version<'a>>,
    casts: Vec<Cast<'a>>,
    events: Option<u64>,
}

#[derive(Serialize)]
struct Version<'a> {
    name: &'a str,
    file: &'a Path,
}

#[derive(Serialize)]
struct Cast<'a> {
    from: &'a str,
    to: &'a str,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.uncompared()?;
    let counts = counts(&config)?;
    let shown = config.contracts.values().map(|contract| Shown {
        kind: &contract.kind,
        mode: contract.mode.word(),
        lenient: contract.lenient,
        assumed: &contract.assumed().name,
        versions: (contract.versions.iter())
            .map(|version| Version {
                name: &version.name,
                file: &version.file,
            })
            .collect(),
        casts: (contract.casts.iter())
            .map(|cast| Cast {
                from: &cast.from,
                to: &cast.to,
            })
            .collect(),
        events: counts
            .as_ref()
            .and_then(|counts| counts.get(&contract.kind).copied()),
    });
    if args.json {
        shown.into_iter().try_for_each(|one| out::json(&one))?;
        return Ok(super::super::OK);
    }
    if config.contracts.is_empty() {
        out::say("no event type has a contract: every event enters that can be read")?;
        return Ok(super::super::OK);
    }
    let head = ["TYPE", "VERSIONS", "MODE", "CASTS", "EVENTS", "FILES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(shown.map(|one| cells(&one, &config.base)));
    out::say(&out::table(&rows))?;
    Ok(super::super::OK)
}

fn cells(one: &Shown<'_>, base: &Path) -> Vec<String> {
    let name = |version: &Version<'_>| {
        let assumed = one.versions.len() > 1 && version.name == one.assumed;
        format!("{}{}", version.name, if assumed { "*" } else { "" })
    };
    let versions: Vec<String> = one.versions.iter().map(name).collect();
    let casts: Vec<String> = (one.casts.iter())
        .map(|cast| format!("{} -> {}", cast.from, cast.to))
        .collect();
    let file = |version: &Version<'_>| {
        let file = version.file.strip_prefix(base).unwrap_or(version.file);
        file.display().to_string()
    };
    let files: Vec<String> = one.versions.iter().map(file).collect();
    let dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    vec![
        one.kind.to_owned(),
        versions.join(", "),
        format!(
            "{}{}",
            one.mode,
            if one.lenient { " (lenient)" } else { "" }
        ),
        dash(casts.join(", ")),
        one.events.map_or("-".to_owned(), grouped),
        files.join(", "),
    ]
}

/// How many events of each contract's type are stored; none without a database.
fn counts(config: &Config) -> anyhow::Result<Option<BTreeMap<String, u64>>> {
    if config.contracts.is_empty() || !config.site.database.exists() {
        return Ok(None);
    }
    let reader = reader(config)?;
    let mut counts = config
        .contracts
        .keys()
        .map(|kind| (kind.clone(), 0))
        .collect();
    let mut before = None;
    loop {
        before = reader.count_types(before, &mut counts)?;
        if before.is_none() {
            return Ok(Some(counts));
        }
    }
}
