//! Business keys as they may be shown: an address that is a sensitive field stays one where it is the key. Pure; whatever
//! tells people of records calls it.

use super::map::{Field, Part, RecordMap};

/// A business key of the record type of `maps`, masked where a field of one of them that holds it is sensitive.
pub fn shown<'a>(maps: impl IntoIterator<Item = &'a RecordMap>, key: &str) -> String {
    if maps.into_iter().any(key_is_sensitive) {
        masked(key)
    } else {
        key.to_owned()
    }
}

/// Whether the fields of a record of this map that hold its key are sensitive.
pub fn key_is_sensitive(map: &RecordMap) -> bool {
    let mut parts = map
        .layout
        .key
        .iter()
        .map(|part: &Part| &part.from)
        .collect::<Vec<_>>();
    parts.extend(
        map.from
            .values()
            .filter_map(|inside| Some(&inside.layout.key.as_ref()?.from)),
    );
    let holds = |field: &Field| field.sensitive && parts.contains(&&field.source);
    let inside = map
        .from
        .values()
        .flat_map(|inside| inside.layout.fields.values());
    map.layout.fields.values().chain(inside).any(holds)
}

/// A key of which only the first letter and, of an address, the domain are shown.
fn masked(key: &str) -> String {
    let first: String = key.chars().take(1).collect();
    match key.rsplit_once('@') {
        Some((_, domain)) => format!("{first}…@{domain}"),
        None => format!("{first}…"),
    }
}
