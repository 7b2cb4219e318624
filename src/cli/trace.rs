//! `midwatch trace ID`: what caused an event, and what it caused.

use std::fmt::Write as _;

use super::context::{Context, reader};
use super::out;
use crate::ids::{DeliveryId, EventId};
use crate::store::view::{Trace, TraceNode};
use crate::time::Timestamp;

/// Shows what caused an event, and everything that was caused with it: a tree from its oldest known ancestor down, with the
/// deliveries of each event.
///
/// A cause is one that an event named (causationid), or, marked "inferred", one that midwatch found itself: it had written
/// the same record into that system in the ten minutes before.
///
/// With --json one object: asked, cut, nodes (each event before what it caused: event, level, cause, inferred, depth,
/// correlation, known (at, source, id, kind, subject, reason; null once pruned), deliveries (id, path, state, changed,
/// reason)); times in milliseconds since 1970. Exit code 1 if no such event is known.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An event's number, a delivery (EVENT-N), or a source and the event's id there.
    #[arg(required = true, num_args = 1..=2, value_names = ["ID", "ID_AT_SOURCE"])]
    id: Vec<String>,
    /// Draw with ASCII only.
    #[arg(long)]
    ascii: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads and prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let reader = reader(&config)?;
    let none = || {
        let asked = crate::visible::line(&args.id.join(" "), 100);
        anyhow::anyhow!(
            "no event {asked} is known: give its number (1042), a delivery (1042-1), or its source and id"
        )
    };
    let event: EventId = match &args.id[..] {
        [source, id] => reader.event_called(source, id)?.ok_or_else(none)?,
        [id] => id.parse::<DeliveryId>().map_err(|_| none())?.event(),
        _ => return Err(none()),
    };
    let trace = reader.trace(event)?.ok_or_else(none)?;
    if args.json {
        out::json(&trace)?;
    } else {
        let zone = config.site.timezone;
        let time = |at: Timestamp| at.in_zone(zone, "%Y-%m-%d %H:%M:%S");
        out::say(&words(&trace, &lines(args.ascii || !speaks_utf8()), time))?;
    }
    Ok(super::OK)
}

/// The terminal's language says that it can draw more than ASCII.
fn speaks_utf8() -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    said.is_some_and(|value| value.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

/// What a tree is drawn with: a branch, the last branch, a line that goes on, none.
struct Lines([&'static str; 4]);

fn lines(ascii: bool) -> Lines {
    Lines(if ascii {
        ["|- ", "`- ", "|  ", "   "]
    } else {
        ["├─ ", "└─ ", "│  ", "   "]
    })
}

fn words(trace: &Trace, lines: &Lines, time: impl Fn(Timestamp) -> String) -> String {
    let mut out = String::new();
    let [branch, end, on, none] = lines.0;
    // For each level above: whether a younger brother is still to come.
    let mut open: Vec<bool> = Vec::new();
    for (place, node) in trace.nodes.iter().enumerate() {
        let rest = &trace.nodes[place + 1..];
        let level = node.level;
        let brother = rest.iter().find(|other| other.level <= level);
        let last = brother.is_none_or(|other| other.level < level);
        let has_below = rest.first().is_some_and(|other| other.level > level);
        open.truncate(level);
        let mut before: String = open
            .iter()
            .skip(1)
            .map(|open| if *open { on } else { none })
            .collect();
        let _ = write!(out, "{before}");
        if level > 0 {
            out.push_str(if last { end } else { branch });
            before.push_str(if last { none } else { on });
        }
        open.push(!last);
        let mark = if node.event == trace.asked {
            "  <-"
        } else {
            ""
        };
        let _ = writeln!(out, "{}{mark}", event(node, &time));
        let below = if has_below { on } else { none };
        for delivery in &node.deliveries {
            let reason = delivery
                .reason
                .as_deref()
                .filter(|_| !delivery.state.is_settled());
            let reason = reason.map_or_else(String::new, |text| {
                format!(": {}", crate::visible::line(text, 60))
            });
            let _ = writeln!(
                out,
                "{before}{below}   {} {} {} {}{reason}",
                delivery.id,
                delivery.path,
                delivery.state,
                time(delivery.changed)
            );
        }
    }
    if trace.cut {
        out.push_str("(more than 500 events belong together: the rest is not shown)\n");
    }
    out.truncate(out.trim_end().len());
    out
}

/// One event in a line.
fn event(node: &TraceNode, time: impl Fn(Timestamp) -> String) -> String {
    let quoted = |text: &str| crate::visible::line(text, 60).to_string();
    let mut out = match &node.known {
        None => format!("{} (pruned)", node.event),
        Some(known) => {
            let subject = known.subject.as_deref();
            let subject = subject.map_or_else(String::new, |text| format!(" {}", quoted(text)));
            format!(
                "{} {} {}{subject} from {}",
                node.event,
                time(known.at),
                quoted(&known.kind),
                quoted(&known.source)
            )
        }
    };
    if node.inferred {
        out.push_str(" (inferred)");
    }
    if let Some(correlation) = node.correlation.as_deref().filter(|_| node.level == 0) {
        let _ = write!(out, ", correlation {}", quoted(correlation));
    }
    if let Some(reason) = node
        .known
        .as_ref()
        .and_then(|known| known.reason.as_deref())
    {
        let _ = write!(out, ": {}", crate::visible::line(reason, 100));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::model::State;
    use crate::store::view::{TraceDelivery, TraceEvent};

    fn node(event: i64, level: usize, inferred: bool) -> TraceNode {
        TraceNode {
            event: EventId(event),
            level,
            cause: None,
            inferred,
            depth: level as u32 + 1,
            correlation: Some("c-1".into()),
            known: (event != 2).then(|| TraceEvent {
                at: Timestamp(0),
                source: "shop".into(),
                id: "e".into(),
                kind: "order\u{1b}[2J".into(),
                subject: None,
                reason: (event == 5).then(|| "no path matches".into()),
            }),
            deliveries: vec![TraceDelivery {
                id: DeliveryId::new(EventId(event), 0),
                path: "crm".into(),
                state: State::Delivered,
                changed: Timestamp(0),
                reason: None,
            }],
        }
    }

    #[test]
    fn a_tree_is_drawn_with_its_branches_in_ascii_too() {
        let trace = Trace {
            asked: EventId(3),
            nodes: vec![
                node(1, 0, false),
                node(2, 1, false),
                node(3, 2, true),
                node(4, 1, false),
                node(5, 2, false),
            ],
            cut: true,
        };
        let drawn = words(&trace, &lines(true), |_| "T".to_owned());
        let expected = "\
1 T order\\x1b[2J from shop, correlation c-1
|     1-1 crm delivered T
|- 2 (pruned)
|  |     2-1 crm delivered T
|  `- 3 T order\\x1b[2J from shop (inferred)  <-
|           3-1 crm delivered T
`- 4 T order\\x1b[2J from shop
   |     4-1 crm delivered T
   `- 5 T order\\x1b[2J from shop: no path matches
            5-1 crm delivered T
(more than 500 events belong together: the rest is not shown)";
        assert_eq!(drawn, expected);
        let drawn = words(&trace, &lines(false), |_| "T".to_owned());
        assert!(drawn.contains("│  └─ 3 T"), "{drawn}");
    }
}
