//! `midwatch held`: events without a delivery, held at the door or unrouted, and what can be done about them.
//! Sensitive values are masked, in the data and in what the contract says of them.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use serde::Serialize;

use super::context::{Context, reader};
use super::out;
use super::veil::maps_of;
use crate::config::model::Config;
use crate::control::action::{Action, DataChange, DataEdit, Done, HeldScope};
use crate::control::{Hidden, submission_id};
use crate::event::contract::Fault;
use crate::ids::{EventId, HeldGroupId};
use crate::record::mask::{self, Veil};
use crate::store::view::{Admission, HeldDetail, HeldRow};
use crate::time::{Clock, Timestamp, short};
use crate::visible::Visible;

/// The most that is read as an event's data, in bytes.
const MOST_DATA: u64 = 16 << 20;

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
    Release(ReleaseArgs),
    Edit(EditArgs),
    Discard(DiscardArgs),
}

/// Which held or unrouted events.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// These events.
    #[arg(value_name = "EVENT")]
    events: Vec<i64>,
    /// All of this group, as `midwatch held` shows it.
    #[arg(long, value_name = "GROUP")]
    group: Option<HeldGroupId>,
    /// All of the group that this event belongs to.
    #[arg(long, value_name = "EVENT")]
    all_like: Option<i64>,
    /// All of this event type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

impl Which {
    fn scope(self, config: &Config) -> anyhow::Result<HeldScope> {
        if let Some(event) = self.all_like {
            let detail = reader(config)?.held_event(EventId(event))?;
            return match detail.map(|detail| detail.row) {
                Some(row) if matches!(row.admission, Admission::Held | Admission::Unrouted) => {
                    Ok(HeldScope::Group(row.group))
                }
                _ => anyhow::bail!("event {event} is neither held nor unrouted"),
            };
        }
        Ok(match (self.group, self.kind) {
            (Some(group), _) => HeldScope::Group(group),
            (None, Some(kind)) => HeldScope::Kind(kind),
            (None, None) => HeldScope::Events(self.events.into_iter().map(EventId).collect()),
        })
    }
}

/// Lets events go on that pass the door by today's configuration: those that keep to their contract now, and those that a
/// path takes now. The others stay, with what is against them now.
///
/// With --json one object: text, batch (null), delivery (null), report (released, deliveries, held, unrouted, moved_on).
/// With --dry-run the preview: scope, count, oldest, verdicts, high_water, notes. Exit code 1 if nothing was released.
#[derive(Debug, clap::Args)]
struct ReleaseArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Changes the data of one event and releases it. What it would become is shown before and after, and must pass the door;
/// the data as it came is kept. What is not changed keeps its order, and its numbers as they were written.
///
/// Without --set, --unset and --file the data is opened in $EDITOR, sensitive values included.
///
/// With --json one object: text, batch (null), delivery (its first). With --dry-run the preview: scope, count, oldest,
/// verdicts, high_water, notes.
#[derive(Debug, clap::Args)]
struct EditArgs {
    /// The event's number.
    event: i64,
    /// Put a JSON value at a JSON Pointer; a text needs its quotes: --set /total='"12.10"'.
    #[arg(long, value_name = "POINTER=JSON", conflicts_with = "file")]
    set: Vec<String>,
    /// Take away what is at a JSON Pointer.
    #[arg(long, value_name = "POINTER", conflicts_with = "file")]
    unset: Vec<String>,
    /// Take the whole data from a file (`-`: the standard input).
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Gives events up: they are never delivered. They stay readable as long as delivered ones.
///
/// With --json one object: text, batch (null), delivery (null), report (discarded). With --dry-run the preview: scope,
/// count, oldest, verdicts, high_water, notes.
#[derive(Debug, clap::Args)]
struct DiscardArgs {
    #[command(flatten)]
    which: Which,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
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
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    match args.what {
        Some(What::Release(args)) => release(args, context).await,
        Some(What::Edit(args)) => edit(args, context).await,
        Some(What::Discard(args)) => {
            let scope = args.which.scope(&context.config_in_force()?)?;
            let reason = args.reason;
            let action = Action::DiscardHeld { scope, reason };
            super::previewed(action, &args.consent, args.json, context).await
        }
        None => groups(args.json, context),
        Some(What::List(args)) => list(&args, context),
        Some(What::Show(args)) => show(&args, context),
    }
}

async fn release(args: ReleaseArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let scope = args.which.scope(&config)?;
    let acting = context.acting(&config).await?;
    let voice = super::Voice::of(args.json);
    let outcome = super::ask_and_do(&acting, Action::Release { scope }, &args.consent, voice).await;
    acting.close().await;
    let released = |done: &Done| done.report.as_ref()?.get("released")?.as_u64();
    if let Ok(Some(done)) = &outcome
        && released(done) == Some(0)
    {
        return Ok(super::FAILED);
    }
    super::ended(outcome, &args.consent)
}

async fn edit(args: EditArgs, context: &Context) -> anyhow::Result<u8> {
    let event = EventId(args.event);
    let edit = match &args.file {
        Some(file) => DataEdit::Whole(Hidden::from(text_of(file)?)),
        None if args.set.is_empty() && args.unset.is_empty() => {
            let config = context.config_in_force()?;
            let detail = reader(&config)?.held_event(event)?;
            let Some(now) = detail.and_then(|detail| detail.event) else {
                anyhow::bail!("there is no event {event}, or it has no data any more");
            };
            DataEdit::Whole(Hidden::from(edited_by_hand(&now.data)?))
        }
        None => DataEdit::Changes(changes(&args.set, &args.unset)?),
    };
    let action = Action::EditHeld { event, edit };
    super::previewed(action, &args.consent, args.json, context).await
}

/// What was said with `--set` and `--unset`: first what is set, in order, then what is taken away.
fn changes(set: &[String], unset: &[String]) -> anyhow::Result<Vec<DataChange>> {
    let mut all = Vec::with_capacity(set.len() + unset.len());
    for text in set {
        // A name with `=` in it is set with --file.
        let Some((pointer, value)) = text.split_once('=') else {
            anyhow::bail!("--set takes POINTER=JSON, for example /total='\"12.10\"'");
        };
        all.push(DataChange {
            pointer: pointer.to_owned(),
            value: Some(Hidden::from(value.to_owned())),
        });
    }
    all.extend(unset.iter().map(|pointer| DataChange {
        pointer: pointer.clone(),
        value: None,
    }));
    Ok(all)
}

/// A file's text, or that of the standard input.
fn text_of(file: &Path) -> anyhow::Result<String> {
    let name = || Visible::of(&file.to_string_lossy()).to_string();
    let mut text = String::new();
    // One byte more than is taken tells that there is more: half of the data must not become the data.
    let most = MOST_DATA + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", name()))?;
    if text.len() as u64 > MOST_DATA {
        anyhow::bail!("{} is longer than {} MiB", name(), MOST_DATA >> 20);
    }
    // An editor's last line end is no data.
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Opens the data in the operator's editor, in a private file, and returns what was saved.
fn edited_by_hand(data: &[u8]) -> anyhow::Result<String> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        anyhow::bail!(
            "say what to change: --set, --unset or --file; there is no terminal to edit on"
        );
    }
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| {
            std::env::var(name)
                .ok()
                .filter(|text| !text.trim().is_empty())
        })
        .unwrap_or_else(|| "vi".to_owned());
    let mut folder = std::env::temp_dir();
    folder.push(format!("midwatch-{}", submission_id()?));
    // 0700 and 0600: the process's umask.
    std::fs::create_dir(&folder).context("cannot make a folder for the editor")?;
    let file = folder.join("event.json");
    let edited = (|| {
        std::fs::write(&file, data).context("cannot write the data for the editor")?;
        let mut words = editor.split_whitespace();
        let program = words.next().unwrap_or("vi");
        let status = std::process::Command::new(program)
            .args(words)
            .arg(&file)
            .status()
            .with_context(|| format!("cannot start {}", Visible::of(&editor)))?;
        if !status.success() {
            anyhow::bail!("nothing was done: the editor ended with an error");
        }
        text_of(&file)
    })();
    // Whatever came of it, the data does not stay behind.
    let removed = std::fs::remove_dir_all(&folder).context("the editor's folder stays");
    let text = edited?;
    removed?;
    Ok(text)
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
    let veil = match data.as_deref() {
        Some(data) if !args.sensitive => {
            Veil::of(&config, &detail.row.source, &detail.row.kind, data)
        }
        _ => Veil::default(),
    };
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
    let waits = matches!(row.admission, Admission::Held | Admission::Unrouted);
    let reason = match row.admission {
        Admission::Accepted => "accepted: it has its deliveries".to_owned(),
        // The reason says it all: "discarded by anna: test data".
        Admission::Discarded => row.reason.clone(),
        Admission::Held | Admission::Unrouted => {
            format!("{}: {}", row.admission.word(), row.reason)
        }
    };
    line("state", &reason);
    line("came", &time(row.at));
    if waits {
        line("group", &row.group.to_string());
    }
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
