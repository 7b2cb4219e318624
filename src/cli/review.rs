//! `midwatch review`: fields of which two systems say different things, and what a person decides about them. Sensitive
//! values and keys are masked.

use super::context::{Context, reader};
use super::out;
use super::veil::maps_of;
use crate::config::model::Config;
use crate::control::Hidden;
use crate::control::action::{Action, Stands};
use crate::ids::ReviewId;
use crate::record::mask;
use crate::store::view::ReviewRow;
use crate::time::{Clock, Timestamp, short};

/// Lists fields of which two systems say different things and no rule decides, the newest first: both values, why, and
/// what the choice is. Nothing else of their records is kept waiting.
///
/// With --json one object a line: id, at (milliseconds since 1970), about (kind, key), field, source, receiver, sensitive,
/// ours, ours_at, theirs, theirs_at, base (values as canonical texts, sensitive ones masked), reason, delivery, path,
/// decided (null while it is open; else at, decision, value, actor, repair).
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    List(ListArgs),
    Show(ShowArgs),
    Decide(DecideArgs),
}

/// Lists the same.
///
/// With --json one object a line, as in `midwatch review`.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Those that were decided, too.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT")]
    count: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Shows one of them: who says what since when, what both had before, and how it ended.
///
/// With --json one object, as in `midwatch review`.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Its number.
    id: i64,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Decides whose value stands. The source's is written to the receiver; the receiver's to the source, where that can be
/// written, else it is only remembered; another value to both. It goes through the queue, and the decision is audited.
///
/// With --json one object: text, batch (null), delivery (the first that carries it; null if nothing is written). With
/// --dry-run the preview: scope, count, oldest, verdicts, high_water, notes.
#[derive(Debug, clap::Args)]
struct DecideArgs {
    /// Its number.
    id: i64,
    /// Whose value stands: `ours` is the source's, `theirs` the receiver's.
    #[arg(
        value_enum,
        required_unless_present = "value",
        conflicts_with = "value"
    )]
    side: Option<Side>,
    /// Another value, as the field's type reads it: `982.00 NOK`.
    #[arg(long)]
    value: Option<String>,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Side {
    /// The source's.
    Ours,
    /// The receiver's.
    Theirs,
}

/// Reads and prints, or decides.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    match args.what {
        None => list(&args.list, context),
        Some(What::List(args)) => list(&args, context),
        Some(What::Show(args)) => show(&args, context),
        Some(What::Decide(args)) => {
            let side = match (args.side, args.value) {
                (_, Some(value)) => Stands::Value(Hidden::from(value)),
                (Some(Side::Theirs), None) => Stands::Theirs,
                (Some(Side::Ours) | None, None) => Stands::Ours,
            };
            let review = ReviewId(args.id);
            let action = Action::Decide { review, side };
            super::previewed(action, &args.consent, args.json, context).await
        }
    }
}

fn list(args: &ListArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let rows = reader(&config)?.reviews(!args.all, args.count)?;
    let rows: Vec<ReviewRow> = rows.into_iter().map(|row| masked(&config, row)).collect();
    if args.json {
        for row in &rows {
            out::json(row)?;
        }
        return Ok(super::OK);
    }
    if rows.is_empty() {
        out::say("nothing waits for a decision")?;
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let lines: Vec<Vec<String>> = rows.iter().map(|row| line(row, now)).collect();
    out::say(&out::table(&lines))?;
    Ok(super::OK)
}

fn line(row: &ReviewRow, now: Timestamp) -> Vec<String> {
    vec![
        row.id.to_string(),
        format!("{} ago", short(now.since(row.at))),
        format!("{} {}", row.about.kind, row.about.key),
        row.field.clone(),
        side(&row.source, row.ours.as_deref()),
        side(&row.receiver, row.theirs.as_deref()),
        ended(row).unwrap_or_else(|| row.reason.clone()),
    ]
}

fn show(args: &ShowArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let id = ReviewId(args.id);
    let Some(row) = reader(&config)?.review(id)? else {
        anyhow::bail!("there is no review {id}");
    };
    let row = masked(&config, row);
    if args.json {
        out::json(&row)?;
        return Ok(super::OK);
    }
    let now = Clock::System.now();
    let changed = |at: Option<Timestamp>| match at {
        Some(at) => format!("changed {} ago", short(now.since(at))),
        None => "when is not known".to_owned(),
    };
    let pair = |name: &str, text: String| vec![name.to_owned(), text];
    let mut lines = vec![
        pair("record", format!("{} {}", row.about.kind, row.about.key)),
        pair("field", row.field.clone()),
        pair("open for", short(now.since(row.at))),
        pair("why", row.reason.clone()),
        vec![
            "ours".to_owned(),
            side(&row.source, row.ours.as_deref()),
            changed(row.ours_at),
        ],
        vec![
            "theirs".to_owned(),
            side(&row.receiver, row.theirs.as_deref()),
            changed(row.theirs_at),
        ],
        pair(
            "both had",
            row.base.clone().unwrap_or_else(|| "(not known)".to_owned()),
        ),
    ];
    if let Some(delivery) = row.delivery {
        let path = row.path.as_deref().unwrap_or("a path that is gone");
        lines.push(pair("brought by", format!("{delivery} on {path}")));
    }
    if let (Some(decided), Some(words)) = (&row.decided, ended(&row)) {
        let ago = short(now.since(decided.at));
        lines.push(pair("ended", format!("{ago} ago: {words}")));
        if let Some(repair) = decided.repair {
            lines.push(pair("carried by", format!("event {repair}")));
        }
    }
    out::say(&out::table(&lines))?;
    Ok(super::OK)
}

fn side(system: &str, value: Option<&str>) -> String {
    format!("{system}: {}", value.unwrap_or("(not known)"))
}

/// How it ended, in words; none while it is open.
fn ended(row: &ReviewRow) -> Option<String> {
    let decided = row.decided.as_ref()?;
    Some(match decided.decision.as_str() {
        "ours" => format!("{} took {}'s", decided.actor, row.source),
        "theirs" => format!("{} took {}'s", decided.actor, row.receiver),
        "value" => format!("{} took another", decided.actor),
        _ => "the two came to agree".to_owned(),
    })
}

/// The row as it may be shown.
fn masked(config: &Config, mut row: ReviewRow) -> ReviewRow {
    let mask = |value: &Option<String>| value.as_deref().map(|value| row.masked(value));
    let (ours, theirs, base) = (mask(&row.ours), mask(&row.theirs), mask(&row.base));
    let maps = maps_of(config, &row.about.kind);
    let key = mask::shown(maps, &row.about.key);
    (row.ours, row.theirs, row.base, row.about.key) = (ours, theirs, base, key);
    row
}
