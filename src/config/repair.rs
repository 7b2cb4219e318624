//! The internal paths that carry what a person decided, or what a reconciliation mends: one for each record type that can
//! be updated in a system that can be reached. They take no events of their own accord.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::{Lane, Mapping, Path, System, Write};
use super::paths::{BREAKER, QUEUE, internal};

/// How long a repair waits for a record that is not in the system: a decision is of today.
const NEEDS_WITHIN: Duration = Duration::from_secs(3600);

/// The repair paths of all systems, by system and record type.
pub(super) fn paths(systems: &BTreeMap<String, System>) -> Vec<Path> {
    let mut paths = Vec::new();
    for system in systems.values().filter(|system| system.url.is_some()) {
        let kinds = system.records.iter();
        for (kind, _) in kinds.filter(|(_, map)| map.update.is_some()) {
            paths.push(path(&system.name, kind));
        }
    }
    paths
}

fn path(system: &str, kind: &str) -> Path {
    Path {
        name: Path::repair(system, kind),
        lane: Lane::Repair,
        schedule: QUEUE.to_vec(),
        timeout: Duration::from_secs(15),
        breaker: BREAKER,
        mapping: Some(Mapping {
            source: kind.to_owned(),
            target: kind.to_owned(),
            write: Write::Update,
            fields: Vec::new(),
            set: Vec::new(),
            needs: Vec::new(),
            links: Vec::new(),
            needs_within: NEEDS_WITHIN,
        }),
        ..internal(system)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::map::{Format, RecordMap, Shape};

    #[test]
    fn what_can_be_updated_where_it_can_be_reached_has_one() {
        let update = Shape {
            method: "PUT".to_owned(),
            url: "/{{ id }}".to_owned(),
            headers: Vec::new(),
            body: None,
            format: Format::Json,
            answer: String::new(),
            items: false,
            item: String::new(),
            missing: Vec::new(),
            exists: Vec::new(),
        };
        let map = |kind: &str, update: Option<&Shape>| {
            let map = RecordMap {
                kind: kind.to_owned(),
                update: update.cloned(),
                ..RecordMap::default()
            };
            (kind.to_owned(), Arc::new(map))
        };
        let records: BTreeMap<_, _> = [map("item", None), map("order", Some(&update))].into();
        let system = |name: &str, url: Option<&str>| {
            let system = System {
                url: url.map(str::to_owned),
                records: records.clone(),
                ..System::new(name)
            };
            (name.to_owned(), system)
        };
        let all = [system("crm", Some("https://crm")), system("script", None)];
        let paths = paths(&all.into());
        let names: Vec<_> = paths.iter().map(|path| path.name.as_str()).collect();
        assert_eq!(names, ["repair/crm.order"]);
        assert_eq!((paths[0].lane, paths[0].to.as_str()), (Lane::Repair, "crm"));
    }
}
