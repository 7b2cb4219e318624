//! `missed` of a system: how it is asked for events that did not come in. Either `events` names the record type whose list
//! has the vendor's own events, or `records` names types whose lists say what changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::model::{Listed, Missed};
use super::reader::{Section, Value};
use super::values::{DAY, check_member};
use crate::record::map::{RecordMap, changed};

/// A sender that called before is asked after this long without a call: a night and a quiet day.
const SILENCE: Duration = DAY;

/// `missed = { events = "event", horizon = "30d" }` or `{ records = ["order"] }`. `is_called`: the system has hooks, so that
/// there is something to miss.
pub(super) fn missed(
    section: &Section<'_>,
    system: &str,
    records: &mut BTreeMap<String, Arc<RecordMap>>,
    is_called: bool,
) -> Option<Missed> {
    // What a preset would ask for is asked for where the system has it.
    let is_there = |value: &Value<'_>| {
        let listed = |kind: &str| records.get(kind).is_some_and(|map| map.list.is_some());
        value.is_own() || value.text("a record type").is_some_and(listed)
    };
    let events = section.get("events").filter(is_there).map(|value| {
        let kind = value.filled("the record type whose list has the vendor's events")?;
        is_listed(&value, system, kind, records).then(|| kind.to_owned())
    });
    let kinds = section.get("records").map(|value| {
        let Some(items) = value.items() else {
            value.wrong("a list of record types such as [\"order\"]", None);
            return None;
        };
        let kinds = items.iter().filter(|item| is_there(item)).map(|item| {
            let kind = item.filled("a record type such as \"order\"")?;
            is_listed(item, system, kind, records).then(|| kind.to_owned())
        });
        kinds.collect::<Option<Vec<_>>>()
    });
    let horizon = section
        .get("horizon")
        .and_then(|value| value.duration(DAY / 24..=DAY * 3_650));
    let silence = section
        .get("silence")
        .and_then(|value| value.duration(DAY / 1_440..=DAY * 31));
    section.finish(&[]);
    let listed = match (events, kinds) {
        (Some(kind), None) => Listed::Events(kind?),
        (None, Some(kinds)) => {
            let kinds = kinds?;
            if kinds.is_empty() {
                return None;
            }
            for kind in kinds.iter().filter(|_| is_called) {
                if let Some(map) = records.get_mut(kind) {
                    carries_changes(map);
                }
            }
            Listed::Records(kinds)
        }
        (Some(_), Some(_)) => {
            section.error(
                "`events` and `records` are both given",
                Some("where the vendor lists its events, its records need not be asked".to_owned()),
            );
            return None;
        }
        (None, None) if section.get("events").is_some() => return None,
        (None, None) => {
            section.error(
                "nothing says what is listed",
                Some("add events = \"event\", or records = [\"order\"]".to_owned()),
            );
            return None;
        }
    };
    Some(Missed {
        listed,
        horizon,
        silence: silence.unwrap_or(SILENCE),
    })
}

/// Whether the record type is there and can be listed.
fn is_listed(
    value: &Value<'_>,
    system: &str,
    kind: &str,
    records: &BTreeMap<String, Arc<RecordMap>>,
) -> bool {
    let known = records.keys().map(String::as_str);
    if !check_member(
        value,
        "record type",
        &format!("systems.{system}"),
        kind,
        known,
    ) {
        return false;
    }
    let has_list = records.get(kind).is_some_and(|map| map.list.is_some());
    if !has_list {
        value.error(
            &format!("systems.{system}.records.{kind} has no `list` to ask"),
            Some("add one: a request that lists such records".to_owned()),
        );
    }
    has_list
}

/// What is listed comes as an event of its own type, which carries the record.
pub(super) fn carries_changes(map: &mut Arc<RecordMap>) {
    let event = changed(&map.kind);
    if !map.events.contains(&event) {
        Arc::make_mut(map).events.push(event);
    }
}
