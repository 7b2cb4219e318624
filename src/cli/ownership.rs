//! `midwatch ownership`: who owns which field, and why a record's field holds what it holds.

use std::fmt::Write as _;

use serde::Serialize;

use super::context::{Context, reader};
use super::out;
use crate::control::explain::{Explained, Word, explain};
use crate::record::ownership::{Row, matrix};
use crate::time::Timestamp;
use crate::visible::{Visible, line};

/// The most lines of a story that are looked through for a field.
const LINES: usize = 1000;

/// Shows who owns which field of which entity, who else may write it, and what each path may do with it.
///
/// With --json one object a line, for each field: entity, field (* is the rest), owner, writers, policy, order, gap, compare,
/// sensitive, when_owner_down, and the paths written_by, created_by (only when the record is made), left_out_by (carried,
/// and not written), held_by (sent as it is, and held).
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Only this entity.
    entity: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Explain(ExplainArgs),
}

/// Tells why a field of one record holds what it holds: the rule, what each system is known to have, the reviews and
/// story lines that speak of it, and who won. Values of sensitive fields are hashes.
///
/// With --json one object: entity, key, field, rule (as in `ownership`, or null), systems (system, role, and sent, agreed and
/// seen: value, at, delivery, path, from), agree, reviews (as the review list has them), lines (at, event, delivery, path, text), verdict (sentences); times in
/// milliseconds since 1970. Exit code 1 if nothing is known of it.
#[derive(Debug, clap::Args)]
struct ExplainArgs {
    /// The record type, for example order.
    entity: String,
    /// Its business key, for example 1042.
    key: String,
    /// The field, for example status.
    field: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    explained: &'a Explained,
    verdict: Vec<String>,
}

/// Reads and prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    match &args.what {
        None => table(args, context),
        Some(What::Explain(args)) => explained(args, context),
    }
}

fn table(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    if let Some(entity) = &args.entity
        && !config.entities.contains_key(entity)
    {
        let known: Vec<&str> = config.entities.keys().map(String::as_str).collect();
        let known = match &known[..] {
            [] => "none is declared: add [entities.NAME]".to_owned(),
            known => format!("declared: {}", known.join(", ")),
        };
        anyhow::bail!("there is no entity {}; {known}", line(entity, 60));
    }
    let wanted = |row: &Row| {
        args.entity
            .as_ref()
            .is_none_or(|entity| row.entity == *entity)
    };
    let rows: Vec<Row> = matrix(&config).into_iter().filter(wanted).collect();
    if args.json {
        for row in &rows {
            out::json(row)?;
        }
        return Ok(super::OK);
    }
    if rows.is_empty() {
        out::say("no entity is declared: every path writes what it carries")?;
        return Ok(super::OK);
    }
    let head = [
        "FIELD",
        "OWNER",
        "WRITERS",
        "POLICY",
        "COMPARED",
        "OWNER DOWN",
        "PATHS",
    ];
    let lines = std::iter::once(head.map(str::to_owned).to_vec()).chain(rows.iter().map(cells));
    out::say(&out::table(&lines.collect::<Vec<_>>()))?;
    Ok(super::OK)
}

/// One row for people.
fn cells(row: &Row) -> Vec<String> {
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let veiled = if row.sensitive { " (sensitive)" } else { "" };
    vec![
        format!("{}.{}{veiled}", row.entity, row.field),
        row.owner.clone().unwrap_or_else(|| "nobody".to_owned()),
        or_dash(
            (!row.writers.is_empty())
                .then(|| row.writers.join(", "))
                .as_deref(),
        ),
        or_dash(row.policy_words().as_deref()),
        or_dash(row.compare),
        or_dash(row.when_owner_down),
        row.paths(),
    ]
}

fn explained(args: &ExplainArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let (kind, key, field) = (&args.entity, &args.key, &args.field);
    let reader = reader(&config)?;
    let Some(story) = reader.story(kind, key, LINES)? else {
        anyhow::bail!("no {} {} is known", line(kind, 60), line(key, 60));
    };
    let reviews = reader.reviews_of(kind, key, LINES)?;
    let Some(explained) = explain(&config, &story, &reviews, field) else {
        anyhow::bail!(
            "nothing is known of {} of {} {}: no rule names it, and no system was seen to have it",
            line(field, 60),
            line(kind, 60),
            line(key, 60)
        );
    };
    if args.json {
        out::json(&Told {
            verdict: explained.verdict(Timestamp::rfc3339),
            explained: &explained,
        })?;
    } else {
        let zone = config.site.timezone;
        out::say(&words(&explained, |at| {
            at.in_zone(zone, "%Y-%m-%d %H:%M:%S")
        }))?;
    }
    Ok(super::OK)
}

fn words(explained: &Explained, time: impl Fn(Timestamp) -> String) -> String {
    let mut out = format!(
        "{} of {} {}",
        Visible::of(&explained.field),
        Visible::of(&explained.entity),
        Visible::of(&explained.key)
    );
    for sentence in explained.verdict(&time) {
        let _ = write!(out, "\n  {}", Visible::of(&sentence));
    }
    let part = |what: &str, word: &Option<Word>| {
        word.as_ref().map_or_else(String::new, |word| {
            format!("{what} {} at {}", line(&word.value, 40), time(word.at))
        })
    };
    let rows: Vec<Vec<String>> = (explained.systems.iter())
        .map(|held| {
            vec![
                format!("in {}", held.system),
                held.role.unwrap_or_default().to_owned(),
                part("sent", &held.sent),
                part("agreed", &held.agreed),
                part("seen", &held.seen),
            ]
        })
        .collect();
    let lines: Vec<Vec<String>> = (explained.lines.iter())
        .map(|one| {
            vec![
                time(one.at),
                (one.delivery).map_or_else(String::new, |delivery| delivery.to_string()),
                one.path.clone().unwrap_or_default(),
                one.text.clone(),
            ]
        })
        .collect();
    for table in [rows, lines].iter().filter(|rows| !rows.is_empty()) {
        let _ = write!(out, "\n\n{}", out::table(table));
    }
    out
}
