//! `midwatch try PATH EVENT`: what would be sent, before anything is.

use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::Arc;

use super::context::{Context, reader};
use super::out;
use crate::config::live::Runtime;
use crate::config::model::Path;
use crate::control::trial::{self, Trial};
use crate::event::expr::Engine;
use crate::event::{Event, envelope};
use crate::ids::EventId;
use crate::queue::route;
use crate::store::Reader;

/// Stored events that are looked at for the last ones of a path.
const LOOKED_AT: usize = 20_000;

/// The largest file that is read, in bytes: what an event may have.
const LARGEST: u64 = 2 << 20;

/// Shows what a path would do with an event, and sends no write: the request as it would go out, without secrets, and for
/// mapped paths a field-by-field difference against what the receiver holds now (which is looked up).
///
/// With --json one object for each event: not_taken (why the path would not take it), cast (the version of its contract that
/// it was cast to), looked (requests that were made to find out), plan (what, request (method, url, headers, body), difference
/// (name, wanted, held, same, sensitive), sensitive, unmasked (the body is as it would be sent).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The path.
    path: String,
    /// A stored event's number, a file with one CloudEvent as JSON, or - for the standard input.
    #[arg(required_unless_present = "last", conflicts_with = "last")]
    event: Option<String>,
    /// The last N stored events that the path would take.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Show the values of sensitive fields too.
    #[arg(long)]
    sensitive: bool,
    /// One JSON object for each event.
    #[arg(long)]
    json: bool,
}

/// Finds the events, tries each, and prints.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = Arc::new(context.config_in_force()?);
    let Some(path) = config.path(&args.path).cloned() else {
        anyhow::bail!(
            "there is no path called {}",
            crate::visible::line(&args.path, 60)
        );
    };
    let stored = if config.site.database.exists() {
        Some(reader(&config)?)
    } else {
        None
    };
    let runtime = Arc::new(Runtime::new(config, Vec::new()));
    let events = match (&args.event, args.last) {
        (Some(text), _) => vec![one(text, stored.as_ref())?],
        (None, count) => last(&runtime, &path, stored.as_ref(), count.unwrap_or(1))?,
    };
    if events.is_empty() {
        anyhow::bail!("no stored event is one that {} takes", path.name);
    }
    let (_kept, live) = tokio::sync::watch::channel(runtime);
    let mut code = super::OK;
    for event in events {
        let trial = match trial::run(&live, stored.as_ref(), &path, &event, args.sensitive).await {
            Ok(trial) => trial,
            // The others may say more.
            Err(why) if args.last.is_some() => {
                let why = crate::visible::line(&why.to_string(), 400);
                if args.json {
                    out::json(&serde_json::json!({ "event": event.id, "failed": why.as_str() }))?;
                } else {
                    let event = crate::visible::line(&format!("{} {}", event.kind, event.id), 100);
                    out::say(&format!("{event}\n  cannot be tried: {why}\n"))?;
                }
                code = super::FAILED;
                continue;
            }
            Err(why) => return Err(why.into()),
        };
        if args.json {
            out::json(&trial)?;
        } else {
            out::say(&words(&event, &trial))?;
        }
    }
    Ok(code)
}

fn one(text: &str, stored: Option<&Reader>) -> anyhow::Result<Event> {
    if let Ok(number) = text.parse::<i64>() {
        let found = stored
            .map(|reader| reader.event(EventId(number)))
            .transpose()?;
        return found.flatten().ok_or_else(|| {
            anyhow::anyhow!("there is no event {number}, or its payload was pruned")
        });
    }
    let mut read = String::new();
    if text == "-" {
        std::io::stdin().take(LARGEST).read_to_string(&mut read)?;
    } else {
        let name = crate::visible::Visible::of(text);
        let failed = |error| anyhow::anyhow!("cannot read {name}: {error}");
        let file = std::fs::File::open(text).map_err(failed)?;
        file.take(LARGEST)
            .read_to_string(&mut read)
            .map_err(failed)?;
    }
    Ok(envelope::from_json_line(read.trim())?)
}

/// The last stored events that the path takes, newest first.
fn last(
    runtime: &Runtime,
    path: &Path,
    stored: Option<&Reader>,
    count: usize,
) -> anyhow::Result<Vec<Event>> {
    let Some(reader) = stored else {
        return Ok(Vec::new());
    };
    let engine = Engine::new();
    let (mut found, mut before, mut looked) = (Vec::new(), None, 0);
    while looked < LOOKED_AT && found.len() < count {
        let rows = reader.events(before, 500)?;
        let Some(oldest) = rows.last() else { break };
        before = Some(oldest.id);
        looked += rows.len();
        for row in rows {
            if found.len() < count
                && path
                    .events
                    .iter()
                    .any(|pattern| route::matches(pattern, &row.kind))
                && let Some(event) = reader.event(row.id)?
                && route::why_not(&runtime.config, &engine, path, &event).is_none()
            {
                found.push(event);
            }
        }
    }
    Ok(found)
}

fn words(event: &Event, trial: &Trial) -> String {
    let mut out = format!("{} {} from {}", event.kind, event.id, event.source);
    if let Some(why) = &trial.not_taken {
        let _ = write!(out, "\n  the path would not take it: {why}");
    }
    if let Some(version) = &trial.cast {
        let _ = write!(out, "\n  cast to version {version}, which the path reads");
    }
    for step in &trial.looked {
        let status = step
            .status
            .map_or_else(String::new, |status| format!(" {status}"));
        let _ = write!(
            out,
            "\n  asked: {} {} {}{status}: {}",
            step.what, step.method, step.url, step.note
        );
    }
    for planned in &trial.plan {
        let verb = if planned.what.starts_with("nothing") {
            "would do"
        } else {
            "would"
        };
        let _ = write!(out, "\n\n  {verb} {}", planned.what);
        for field in &planned.difference {
            let told = |value: &Option<String>| match value {
                Some(value) => value.clone(),
                None if field.sensitive => "(hidden)".to_owned(),
                None => "(missing)".to_owned(),
            };
            let _ = if field.same {
                write!(out, "\n    = {}: {}", field.name, told(&field.wanted))
            } else {
                write!(
                    out,
                    "\n    ~ {}: {} -> {}",
                    field.name,
                    told(&field.held),
                    told(&field.wanted)
                )
            };
        }
        if let Some(request) = &planned.request {
            let _ = write!(out, "\n    {} {}", request.method, request.url);
            for (name, value) in &request.headers {
                let _ = write!(out, "\n    {name}: {value}");
            }
            if planned.unmasked && !planned.sensitive && !request.body.is_empty() {
                out.push_str(
                    "\n    (the body is shown whole: what is sensitive in it is not known, because this path carries no records)",
                );
            }
            if !request.body.is_empty() {
                let _ = write!(out, "\n\n    {}", request.body.replace('\n', "\n    "));
            }
        }
    }
    out.push_str("\n\nnothing was written");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::trial::{Planned, Raw};

    #[test]
    fn a_body_of_which_nobody_knows_what_is_sensitive_is_said_to_be_shown_whole() {
        let event = envelope::from_json_line(
            r#"{"specversion":"1.0","id":"1","source":"shop","type":"order.created","data":{}}"#,
        );
        let event = event.unwrap();
        let note = "the body is shown whole";
        for (unmasked, sensitive, body, told) in [
            (true, false, r#"{"email":"kari@x.example"}"#, true),
            // Asked for with --sensitive, or nothing to see, or masked.
            (true, true, r#"{"email":"kari@x.example"}"#, false),
            (true, false, "", false),
            (false, false, r#"{"email":"(hidden)"}"#, false),
        ] {
            let planned = Planned {
                what: "send it to crm".into(),
                request: Some(Raw {
                    method: "POST".into(),
                    url: "https://crm.example/orders".into(),
                    headers: Vec::new(),
                    body: body.into(),
                }),
                unmasked,
                sensitive,
                ..Planned::default()
            };
            let trial = Trial {
                plan: vec![planned],
                ..Trial::default()
            };
            let shown = words(&event, &trial);
            assert_eq!(shown.contains(note), told, "{shown}");
            assert!(shown.contains(body), "{shown}");
        }
    }
}
