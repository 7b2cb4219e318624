//! `midwatch held`: events without a delivery, held at the door or unrouted, and what can be done about them.
//! Sensitive values are masked, in the data and in what the contract says of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use serde::Serialize;

use super::context::{Context, reader};
use super::out;
use crate::config::model::Config;
use crate::control::action::HeldScope;
use crate::event::contract::Fault;
use crate::ids::{EventId, HeldGroupId};
use crate::record::json::Node;
use crate::record::map::RecordMap;
use crate::record::mask;
use crate::store::view::{Admission, HeldDetail, HeldRow};
use crate::time::{Clock, Timestamp, short};
use crate::visible::Visible;

/// Shows events that were stored but became no delivery, grouped by what is wrong with them, the largest group first.
///
/// Held: they break their contract, or cannot be read. Unrouted: they match no path. Both are kept whole: mend the contract
/// or the configuration and release them, edit one and release it, or discard what is nonsense.
///
/// With --json one object a line: id (the group, 8 hex digits), admission (held, unrouted), text, kind, source, count,
/// oldest, newest (milliseconds since 1970), example (the newest event).
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    List(ListArgs),
    Show(ShowArgs),
}

/// Lists the events of a group or of a type, newest first.
///
/// With --json one object a line: id, at (milliseconds since 1970), source, event_id, kind, subject, admission, reason,
/// group, edits.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The group, as `midwatch held` shows it; without it and --type: all.
    group: Option<HeldGroupId>,
    /// All of this event type.
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "group")]
    kind: Option<String>,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT")]
    count: usize,
    /// Only those that came before this one: the next page.
    #[arg(long, value_name = "EVENT")]
    before: Option<i64>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Shows one event: why it is held, with every fault, its data, and what edits replaced.
///
/// With --json one object: row (as in `held list`), faults (pointer, rule, text), edits (at, actor), about (kind, key),
/// subject, event_time, content_type, schema_version, data as text (null once pruned; data_base64 where it is not UTF-8).
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The event's number.
    event: i64,
    /// Show sensitive values too.
    #[arg(long)]
    sensitive: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads and prints, or acts.
pub fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    match args.what {
        None => groups(args.json, context),
        Some(What::List(args)) => list(&args, context),
        Some(What::Show(args)) => show(&args, context),
    }
}

fn groups(json: bool, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let groups = reader(&config)?.held_groups()?;
    if json {
        for group in &groups {
            out::json(group)?;
        }
        return Ok(super::OK);
    }
    if groups.is_empty() {
        out::say("every event became a delivery")?;
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let lines: Vec<Vec<String>> = (groups.into_iter())
        .map(|group| {
            vec![
                group.id.to_string(),
                group.count.to_string(),
                group.admission.word().to_owned(),
                group.kind,
                format!("from {}", group.source),
                format!("oldest {} ago", short(now.since(group.oldest))),
                group.text,
            ]
        })
        .collect();
    out::say(&out::table(&lines))?;
    Ok(super::OK)
}

fn list(args: &ListArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let scope = match (args.group, &args.kind) {
        (Some(group), _) => Some(HeldScope::Group(group)),
        (None, Some(kind)) => Some(HeldScope::Kind(kind.clone())),
        (None, None) => None,
    };
    let before = args.before.map(EventId);
    let rows = reader(&config)?.held_events(scope.as_ref(), before, args.count)?;
    if args.json {
        for row in &rows {
            out::json(row)?;
        }
        return Ok(super::OK);
    }
    if rows.is_empty() {
        out::say("no such event is held or unrouted")?;
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let lines: Vec<Vec<String>> = rows.into_iter().map(|row| line(row, now)).collect();
    out::say(&out::table(&lines))?;
    Ok(super::OK)
}

fn line(row: HeldRow, now: Timestamp) -> Vec<String> {
    let edited = if row.edits > 0 { ", edited" } else { "" };
    vec![
        row.id.to_string(),
        format!("{} ago", short(now.since(row.at))),
        format!("{}{edited}", row.admission.word()),
        row.source,
        row.kind,
        row.event_id,
        row.reason,
    ]
}

#[derive(Serialize)]
struct Shown<'a> {
    row: &'a HeldRow,
    faults: &'a [Fault],
    edits: Vec<Edit<'a>>,
    about: Vec<[&'a str; 2]>,
    event_time: Option<Timestamp>,
    content_type: Option<&'a str>,
    schema_version: Option<&'a str>,
    data: Option<String>,
    data_base64: Option<String>,
}

#[derive(Serialize)]
struct Edit<'a> {
    at: Timestamp,
    actor: &'a str,
}

fn show(args: &ShowArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let Some(mut detail) = reader(&config)?.held_event(EventId(args.event))? else {
        anyhow::bail!("there is no event {}", args.event);
    };
    let data = detail.event.as_ref().map(|event| event.data.clone());
    let veil = Veil::of(&config, &detail, args.sensitive);
    detail.faults = veil.faults(detail.faults);
    let about: Vec<(String, String)> = (detail.about.iter())
        .map(|about| {
            let maps = maps_of(&config, &about.kind);
            (about.kind.clone(), mask::shown(maps, &about.key))
        })
        .collect();
    let data = data.map(|data| veil.data(&data));
    if args.json {
        let text = data.as_deref().map(std::str::from_utf8);
        out::json(&Shown {
            row: &detail.row,
            faults: &detail.faults,
            edits: (detail.edits.iter())
                .map(|edit| Edit {
                    at: edit.at,
                    actor: &edit.actor,
                })
                .collect(),
            about: about
                .iter()
                .map(|(kind, key)| [&kind[..], &key[..]])
                .collect(),
            event_time: detail.event.as_ref().and_then(|event| event.time),
            content_type: (detail.event.as_ref()).and_then(|event| event.content_type.as_deref()),
            schema_version: (detail.event.as_ref())
                .and_then(|event| event.schema_version.as_deref()),
            data: text.and_then(Result::ok).map(str::to_owned),
            data_base64: (data.as_deref())
                .filter(|_| text.is_some_and(|text| text.is_err()))
                .map(|data| base64::engine::general_purpose::STANDARD.encode(data)),
        })?;
        return Ok(super::OK);
    }
    let time = |at: Timestamp| at.in_zone(config.site.timezone, "%Y-%m-%d %H:%M:%S %Z");
    out::say(&words(&detail, &about, data.as_deref(), time))?;
    Ok(super::OK)
}

fn words(
    detail: &HeldDetail,
    about: &[(String, String)],
    data: Option<&[u8]>,
    time: impl Fn(Timestamp) -> String,
) -> String {
    let row = &detail.row;
    let mut out = String::new();
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "{label:<11}{}", Visible::of(text));
    };
    line(
        "event",
        &format!(
            "{}: {} {} from {}",
            row.id, row.kind, row.event_id, row.source
        ),
    );
    let reason = if row.admission == Admission::Accepted {
        "accepted: it has its deliveries".to_owned()
    } else {
        format!("{}: {}", row.admission.word(), row.reason)
    };
    line("state", &reason);
    line("came", &time(row.at));
    line("group", &row.group.to_string());
    if let Some(subject) = &row.subject {
        line("subject", subject);
    }
    if let Some(event) = &detail.event {
        for (label, value) in [
            ("content", &event.content_type),
            ("schema", &event.schema_version),
            ("event key", &event.idempotency_key),
        ] {
            if let Some(value) = value {
                line(label, value);
            }
        }
    }
    for (kind, key) in about {
        line("about", &format!("{kind} {key}"));
    }
    for edit in &detail.edits {
        line("edited", &format!("{} by {}", time(edit.at), edit.actor));
    }
    for fault in &detail.faults {
        let at = if fault.pointer.is_empty() {
            "(the whole)"
        } else {
            &fault.pointer
        };
        line("fault", &format!("{at} {}: {}", fault.rule, fault.text));
    }
    match data {
        Some(data) => {
            let _ = write!(
                out,
                "\ndata ({} bytes)\n{}",
                data.len(),
                Visible::lines_of_bytes(data)
            );
        }
        None => out.push_str("\ndata was pruned by retention"),
    }
    out
}

/// The record maps of all systems for one record type.
fn maps_of<'a>(config: &'a Config, kind: &str) -> Vec<&'a RecordMap> {
    let systems = config.systems.values();
    systems
        .filter_map(|system| system.records.get(kind).map(Arc::as_ref))
        .collect()
}

/// Rules whose words name members and quote no value; the others quote what they speak of, with all that is in it.
const NAMES_ONLY: &[&str] = &[
    "required",
    "additionalProperties",
    "unevaluatedProperties",
    "dependentRequired",
];

/// What of an event must not be seen.
struct Veil {
    places: Vec<String>,
    /// Some field is sensitive, and where it would be cannot be told: the data is no JSON.
    all: bool,
}

impl Veil {
    fn of(config: &Config, detail: &HeldDetail, open: bool) -> Self {
        let empty = BTreeMap::new();
        let system = config.systems.get(&detail.row.source);
        let maps = system.map_or(&empty, |system| &system.records);
        let Some(event) = detail.event.as_ref().filter(|_| !open) else {
            return Self {
                places: Vec::new(),
                all: false,
            };
        };
        match Node::parse(&event.data) {
            Ok(data) => Self {
                places: mask::sensitive_places(maps, &config.entities, &event.kind, &data),
                all: false,
            },
            Err(_) => Self {
                places: Vec::new(),
                all: maps.values().any(|map| {
                    let said = config.entities.get(&map.kind);
                    map.layout.fields.iter().any(|(name, field)| {
                        let rule = said.and_then(|entity| entity.field(name));
                        field.sensitive || rule.is_some_and(|rule| rule.sensitive)
                    })
                }),
            },
        }
    }

    fn faults(&self, faults: Vec<Fault>) -> Vec<Fault> {
        let veiled = |mut fault: Fault| {
            let quotes = !NAMES_ONLY.contains(&fault.rule.as_str());
            if self.all || (quotes && mask::touches(&self.places, &fault.pointer)) {
                mask::HIDDEN.clone_into(&mut fault.text);
            }
            fault
        };
        faults.into_iter().map(veiled).collect()
    }

    fn data(&self, data: &[u8]) -> Vec<u8> {
        if self.all {
            return format!("{} ({} bytes, no JSON)", mask::HIDDEN, data.len()).into_bytes();
        }
        match Node::parse(data) {
            // Without anything to hide the bytes stay as they came.
            Ok(node) if !self.places.is_empty() => {
                mask::hidden(node, &self.places).to_json().into_bytes()
            }
            _ => data.to_vec(),
        }
    }
}
