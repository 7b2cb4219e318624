//! One sentence for the night.

use super::words::{grouped, letters, when};
use super::{late_at, worker_state};
use crate::config::model::{Config, Lane, Path};
use crate::store::view::Overview;

/// The one sentence: what waits, whether anything is lost, and when the business notices.
///
/// It says "nothing is lost" only while the store can write; dead letters are not lost but wait for a person, and are named.
pub fn summary(overview: &Overview, config: &Config) -> String {
    let worker = worker_state(&overview.worker, overview.at);
    let (now, zone) = (overview.at, config.site.timezone);
    let work = || {
        overview
            .paths
            .iter()
            .map(|row| (row, config.path(&row.name)))
            .filter(|(_, path)| path.is_none_or(|path| path.lane != Lane::Page))
    };
    let backlog: u64 = work().map(|(row, _)| row.counts.backlog()).sum();
    let dead: u64 = work().map(|(row, _)| row.counts.dead).sum();
    let held: u64 = work().map(|(row, _)| row.counts.held).sum::<u64>() + overview.held_events;
    let noun = noun(
        work()
            .filter(|(row, _)| row.counts.backlog() > 0)
            .map(|(_, path)| path),
    );

    let mut parts = Vec::new();
    parts.push(match backlog {
        0 => "Nothing waits".to_owned(),
        1 => format!("1 {noun} waits"),
        n => format!("{} {noun}s wait", grouped(n)),
    });
    if dead > 0 {
        let need = if dead == 1 { "needs" } else { "need" };
        parts.push(format!("{} {need} a decision", letters(dead)));
    }
    if held > 0 {
        let verb = if held == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} held", grouped(held)));
    }
    parts.push(if overview.trouble.is_some() {
        "what was acknowledged is kept, but the disk takes nothing new".to_owned()
    } else {
        "nothing is lost".to_owned()
    });
    let notice = work()
        .filter(|(row, _)| row.counts.backlog() > 0)
        .filter_map(|(row, path)| late_at(row, path, zone))
        .min();
    if let Some(at) = notice {
        parts.push(if at <= now {
            format!("the business notices since {}", when(at, now, zone))
        } else {
            format!("nobody notices before {}", when(at, now, zone))
        });
    }
    let mut text = parts.join(", ");
    if !worker.is_up() {
        text.push_str("; nothing is delivered while the worker is down");
    }
    text.push('.');
    text
}

/// `order` if every waiting path carries only `order.*`, else `delivery`'s short form.
fn noun<'a>(paths: impl Iterator<Item = Option<&'a Path>>) -> String {
    let mut found: Option<String> = None;
    for path in paths {
        let Some(path) = path else {
            return "event".to_owned();
        };
        for kind in &path.events {
            let head: String = kind
                .split(['.', '*'])
                .next()
                .unwrap_or_default()
                .replace(['_', '-'], " ");
            let word = head.chars().all(|c| c.is_ascii_lowercase() || c == ' ');
            if head.is_empty() || !word || found.as_ref().is_some_and(|other| *other != head) {
                return "event".to_owned();
            }
            found = Some(head);
        }
    }
    found.unwrap_or_else(|| "event".to_owned())
}
