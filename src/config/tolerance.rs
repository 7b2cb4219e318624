//! Whether a path's pattern fits what its loss would cost: `sync = "webhook"` gives up after five minutes, which suits a
//! chat message and no order. Called for each path as it is read.

use super::carry::is_amount;
use super::model::System;
use super::reader::{Section, quoted};
use crate::record::map::{RecordMap, changed};
use crate::record::read::overlap;

/// Record types, and words of event types, that stand for money or what it is paid for.
const DEAR: [&str; 4] = ["order", "orders", "payment", "payments"];

/// Warns where what carries money or orders may be lost after a few tries. `from` is the source.
pub(super) fn warn(section: &Section<'_>, events: &[String], from: Option<&System>) {
    let reason = events.iter().find_map(|pattern| {
        let carried = from.into_iter().flat_map(|system| system.records.values());
        carried
            .filter(|map| from.is_some_and(|system| carries(map, system, pattern)))
            .find_map(|map| Some(format!("{pattern} carries {}", dear(map)?)))
            .or_else(|| {
                let word = pattern
                    .split(['.', '/', '_', '-'])
                    .find(|word| DEAR.contains(word))?;
                Some(format!("{} speaks of {word}", quoted(pattern)))
            })
    });
    let Some(reason) = reason else { return };
    let at = section.get("sync");
    let message = format!(
        "{reason}, which sync = \"webhook\" gives up after three tries: orders and money need a pattern that loses nothing"
    );
    let suggestion =
        Some("use sync = \"queue\", or say that it does no harm: tolerates_loss = true".to_owned());
    match at {
        Some(value) => value.warning(&message, suggestion),
        None => section.warning(&message, suggestion),
    }
}

/// Whether an event that the pattern takes carries such a record, by itself or inside another one.
fn carries(map: &RecordMap, system: &System, pattern: &str) -> bool {
    let own = |map: &RecordMap| {
        let polled =
            (system.poll.iter().any(|(kind, _)| *kind == map.kind)).then(|| changed(&map.kind));
        (map.events.iter().chain(&polled)).any(|event| overlap(event, pattern))
    };
    own(map)
        || (map.from.keys())
            .filter_map(|outer| system.records.get(outer))
            .any(|outer| own(outer))
}

/// What of a record is dear, in words.
fn dear(map: &RecordMap) -> Option<String> {
    if DEAR.contains(&map.kind.as_str()) {
        return Some(format!("a record of {}.{}", map.system, map.kind));
    }
    let inside = map.from.values().map(|inside| &inside.layout);
    let mut fields = std::iter::once(&map.layout)
        .chain(inside)
        .flat_map(|layout| &layout.fields);
    let (name, _) = fields.find(|(_, field)| is_amount(&field.kind))?;
    Some(format!("an amount ({}.{}, {name})", map.system, map.kind))
}
