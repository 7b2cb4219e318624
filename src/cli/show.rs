//! `midwatch show ID`: one delivery, every attempt.

use std::fmt::Write as _;

use base64::Engine as _;
use serde::Serialize;

use super::context::{Context, reader};
use super::out;
use super::veil::Veil;
use crate::config::model::Config;
use crate::ids::DeliveryId;
use crate::store::view::DeliveryDetail;
use crate::time::{Timestamp, short};
use crate::visible::Visible;

/// Shows one delivery: where it stands, every attempt, the event and its data.
///
/// Sensitive values are masked, in the data and in whatever quotes them.
///
/// With --json one object: row (as in `deliveries`), origin, event_time, content_type, event_key, schema_version,
/// extensions, attempts, siblings, behind, blocks, log; data as text, or data_base64 where it is not UTF-8 (both null
/// once pruned). In an attempt: generation, number, started_at, duration_ms, class, status, charged, error, method, url,
/// key, answer_headers, answer_truncated, config (16 hex digits); answers: what each attempt's receiver said, as text.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The delivery, as EVENT-N.
    id: DeliveryId,
    /// Show sensitive values and keys too. Looking is no action: the audit log does not hear of it.
    #[arg(long, visible_alias = "reveal")]
    sensitive: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    detail: &'a DeliveryDetail,
    data: Option<&'a str>,
    data_base64: Option<String>,
    answers: Vec<String>,
}

/// Reads and prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let reader = reader(&config)?;
    let Some(mut detail) = reader.delivery(args.id)? else {
        anyhow::bail!("there is no delivery {}", args.id);
    };
    let veil = if args.sensitive {
        Veil::default()
    } else {
        veil(&config, &detail)
    };
    detail.data = detail.data.map(|data| veil.data(&data));
    if args.json {
        let bytes = detail.data.as_deref();
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let shown = serde_json::to_value(Shown {
            detail: &detail,
            data: text,
            data_base64: (text.is_none())
                .then_some(bytes)
                .flatten()
                .map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes)),
            answers: (detail.attempts.iter())
                .map(|attempt| String::from_utf8_lossy(&attempt.answer_body).into_owned())
                .collect(),
        })?;
        out::json(&veil.json(shown))?;
        return Ok(super::OK);
    }
    let words = words(&detail, |at: Timestamp| {
        at.in_zone(config.site.timezone, "%Y-%m-%d %H:%M:%S %Z")
    });
    out::say(&veil.text(&words))?;
    Ok(super::OK)
}

/// What of a delivery must not be seen: sensitive values of its event, and the keys of the records that it speaks of.
fn veil(config: &Config, detail: &DeliveryDetail) -> Veil {
    let row = &detail.row;
    let data = detail.data.as_deref().unwrap_or(b"null");
    let mut veil = Veil::of(config, &row.source, &row.kind, data);
    for about in &detail.about {
        veil.key(config, &about.kind, &about.key);
    }
    for row in detail.siblings.iter().chain([row]) {
        veil.row(config, row, &detail.about);
    }
    veil
}

fn words(detail: &DeliveryDetail, time: impl Fn(Timestamp) -> String) -> String {
    let row = &detail.row;
    let mut out = String::new();
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "{label:<11}{}", Visible::of(text));
    };
    line("delivery", &format!("{} on {}", row.id, row.path));
    let reason = (row.reason.as_deref()).map_or_else(String::new, |reason| format!(": {reason}"));
    line("state", &format!("{}{reason}", row.state));
    line("accepted", &time(row.accepted_at));
    line(
        if row.state == crate::queue::model::State::Ready {
            "due"
        } else {
            "changed"
        },
        &time(row.due_at),
    );
    line(
        "event",
        &format!("{} {} from {}", row.kind, row.event_id, row.source),
    );
    for (label, value) in [
        ("subject", &row.subject),
        ("order key", &row.order_key),
        ("event key", &detail.event_key),
        ("content", &detail.content_type),
        ("schema", &detail.schema_version),
    ] {
        if let Some(value) = value {
            line(label, value);
        }
    }
    for (name, value) in &detail.extensions {
        line("extension", &format!("{name}: {value}"));
    }
    if let Some(behind) = detail.behind {
        line("waits for", &behind.to_string());
    }
    if detail.blocks > 0 {
        line("blocks", &detail.blocks.to_string());
    }
    if let Some(group) = row.fingerprint {
        line("group", &group.to_string());
    }
    let siblings: Vec<String> = (detail.siblings.iter())
        .map(|other| format!("{} {} {}", other.id, other.path, other.state))
        .collect();
    if !siblings.is_empty() {
        line("also", &siblings.join(", "));
    }
    for attempt in &detail.attempts {
        let status = (attempt.status).map_or_else(String::new, |status| format!(" {status}"));
        let charged = if attempt.charged { "" } else { ", not charged" };
        let _ = writeln!(
            out,
            "\nattempt {}.{}  {}  {}{status}{charged} after {}\n  {} {}",
            attempt.generation,
            attempt.number,
            time(attempt.started_at),
            attempt.class,
            short(std::time::Duration::from_millis(attempt.duration_ms)),
            Visible::of(&attempt.method),
            Visible::of(&attempt.url),
        );
        // A request that only asks carries none.
        if !attempt.key.is_empty() {
            let _ = writeln!(out, "  key {}", Visible::of(&attempt.key));
        }
        if !attempt.error.is_empty() {
            let _ = writeln!(out, "  {}", Visible::of(&attempt.error));
        }
        for (name, value) in &attempt.answer_headers {
            let _ = writeln!(out, "  < {}: {}", Visible::of(name), Visible::of(value));
        }
        for answer in Visible::lines_of_bytes(&attempt.answer_body)
            .as_str()
            .lines()
        {
            let _ = writeln!(out, "  < {answer}");
        }
        if attempt.answer_truncated {
            let _ = writeln!(out, "  < ... (longer)");
        }
    }
    match &detail.data {
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
