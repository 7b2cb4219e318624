//! `midwatch story KIND KEY`: everything that is known of one business record, and what happened to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::context::{Context, reader};
use super::out;
use super::veil::{Veil, maps_of};
use crate::ids::{DeliveryId, EventId};
use crate::record::ledger::KnownField;
use crate::record::mask;
use crate::record::value::Version;
use crate::store::view::{NeedRow, Story, StoryLine};
use crate::time::Timestamp;
use crate::visible::Visible;

/// Tells the story of one business record, by its type and business key (`midwatch story order 1042`).
///
/// What each system holds of it as far as is known, what waits for it, and what happened to it, oldest first. It outlives
/// the payloads. Any key by which the record was known finds it. Values of sensitive fields are kept as hashes only, and keys that are
/// sensitive are masked.
///
/// With --json one object: kind, key, keys, since, systems (by name: id, version, adopted, changed, fields (sent, sent_at,
/// agreed, agreed_at), joined), waiting, older (lines that are not shown), lines (at, event, delivery, path, text); times in
/// milliseconds since 1970. Exit code 1 if no such record is known.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The record type, for example order.
    kind: String,
    /// Its business key, for example 1042.
    key: String,
    /// At most so many lines, the newest.
    #[arg(long, short = 'n', default_value_t = 100)]
    limit: usize,
    /// Show sensitive values and keys too. Looking is no action: the audit log does not hear of it.
    #[arg(long, visible_alias = "reveal")]
    sensitive: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'a str,
    key: &'a str,
    keys: &'a [String],
    since: Timestamp,
    systems: BTreeMap<&'a str, Holding<'a>>,
    waiting: &'a [NeedRow],
    older: u64,
    lines: &'a [StoryLine],
}

#[derive(Serialize)]
struct Holding<'a> {
    id: Option<&'a str>,
    version: Option<String>,
    adopted: bool,
    changed: Timestamp,
    fields: BTreeMap<&'a str, Field<'a>>,
    joined: Vec<[&'a str; 2]>,
}

#[derive(Serialize)]
struct Field<'a> {
    sent: Option<&'a str>,
    sent_at: Option<Timestamp>,
    agreed: Option<&'a str>,
    agreed_at: Option<Timestamp>,
}

impl<'a> From<&'a KnownField> for Field<'a> {
    fn from(field: &'a KnownField) -> Self {
        let part = |known: &'a Option<(String, Timestamp)>| {
            let text = known.as_ref().map(|(text, _)| text.as_str());
            (text, known.as_ref().map(|(_, at)| *at))
        };
        let ((sent, sent_at), (agreed, agreed_at)) = (part(&field.sent), part(&field.agreed));
        Self {
            sent,
            sent_at,
            agreed,
            agreed_at,
        }
    }
}

/// Reads and prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let reader = reader(&config)?;
    let Some(story) = reader.story(&args.kind, &args.key, args.limit)? else {
        let (kind, key) = (
            crate::visible::line(&args.kind, 60),
            crate::visible::line(&args.key, 60),
        );
        let mut near: Vec<String> = (reader.record_search(None, &args.key, 5)?.iter())
            .map(|row| {
                let maps = maps_of(&config, &row.about.kind);
                format!("{} {}", row.about.kind, mask::shown(maps, &row.about.key))
            })
            .collect();
        near.dedup();
        let near = match &near[..] {
            [] => String::new(),
            near => format!("; did you mean {}?", near.join(", ")),
        };
        anyhow::bail!("no {kind} {key} is known{near}");
    };
    let mut veil = Veil::default();
    if !args.sensitive {
        for key in story.keys.iter().chain([&story.about.key]) {
            veil.key(&config, &story.about.kind, key);
        }
    }
    if args.json {
        out::json(&veil.json(serde_json::to_value(shown(&story))?))?;
    } else {
        let zone = config.site.timezone;
        let words = words(&story, |at| at.in_zone(zone, "%Y-%m-%d %H:%M:%S"));
        out::say(&veil.text(&words))?;
    }
    Ok(super::OK)
}

fn shown(story: &Story) -> Shown<'_> {
    let systems = (story.holdings.iter()).map(|(name, held)| {
        let holding = Holding {
            id: held.id.as_deref(),
            version: held.version.as_ref().map(version),
            adopted: held.adopted,
            changed: held.changed,
            fields: (held.fields.iter())
                .map(|(name, field)| (name.as_str(), field.into()))
                .collect(),
            joined: (held.joined.iter())
                .map(|(kind, id)| [kind.as_str(), id.as_str()])
                .collect(),
        };
        (name.as_str(), holding)
    });
    Shown {
        kind: &story.about.kind,
        key: &story.about.key,
        keys: &story.keys,
        since: story.since,
        systems: systems.collect(),
        waiting: &story.waiting,
        older: story.older,
        lines: &story.lines,
    }
}

fn words(story: &Story, time: impl Fn(Timestamp) -> String) -> String {
    let mut out = format!(
        "{} {}, known since {}",
        Visible::of(&story.about.kind),
        Visible::of(&story.about.key),
        time(story.since)
    );
    let others: Vec<&str> = (story.keys.iter())
        .filter(|key| **key != story.about.key)
        .map(String::as_str)
        .collect();
    if !others.is_empty() {
        let _ = write!(out, "\nalso called {}", Visible::of(&others.join(", ")));
    }
    for (system, held) in &story.holdings {
        let id = held.id.as_deref().unwrap_or("no id known");
        let _ = write!(out, "\n\nin {}: {}", Visible::of(system), Visible::of(id));
        if let Some(version) = &held.version {
            let _ = write!(out, ", version {}", Visible::of(&self::version(version)));
        }
        if held.adopted {
            out.push_str(", there before midwatch was");
        }
        let mut rows = Vec::new();
        for (name, field) in &held.fields {
            let part = |word: &str, known: &Option<(String, Timestamp)>| {
                known.as_ref().map_or_else(String::new, |(text, at)| {
                    format!("{word} {} at {}", crate::visible::line(text, 40), time(*at))
                })
            };
            rows.push(vec![
                format!("  {name}"),
                part("sent", &field.sent),
                part("agreed", &field.agreed),
            ]);
        }
        for (kind, id) in &held.joined {
            rows.push(vec![
                format!("  joined to {kind}"),
                id.clone(),
                String::new(),
            ]);
        }
        if !rows.is_empty() {
            let _ = write!(out, "\n{}", out::table(&rows));
        }
    }
    for need in &story.waiting {
        let _ = write!(
            out,
            "\n\n{} on {} waits for its id in {}, until {}",
            need.delivery,
            need.path,
            need.system,
            time(need.until)
        );
    }
    out.push_str("\n\n");
    if story.older > 0 {
        let _ = writeln!(out, "({} older lines are not shown)", story.older);
    }
    let rows: Vec<Vec<String>> = (story.lines.iter())
        .map(|line| {
            vec![
                time(line.at),
                what(line.delivery, line.event),
                line.path.clone().unwrap_or_default(),
                line.text.clone(),
            ]
        })
        .collect();
    out.push_str(&out::table(&rows));
    out
}

fn what(delivery: Option<DeliveryId>, event: Option<EventId>) -> String {
    match (delivery, event) {
        (Some(delivery), _) => delivery.to_string(),
        (None, Some(event)) => event.to_string(),
        (None, None) => String::new(),
    }
}

fn version(version: &Version) -> String {
    match version {
        Version::Instant(at) => at.rfc3339(),
        Version::Number(number) => number.to_string(),
    }
}
