//! What a job's records are listed, read, matched and compared by, as one number: where it is another than last time, what
//! differs now may be the configuration's doing. Pure. Called by `run`.

use sha2::{Digest as _, Sha256};

use crate::config::model::Records;

/// A hash of all that decides which records are found to differ; thresholds, times and repairs are not in it.
pub fn hash(records: &Records) -> i64 {
    let mut hash = Sha256::new();
    for side in &records.sides {
        let map = &side.map;
        let shapes = (&map.list, &map.lookup, &map.read, &map.file);
        let side = (&side.system, &side.kind, &map.object, &map.layout);
        hash.update(Sha256::digest(format!("{side:?}{shapes:?}")));
    }
    let rest = (&records.matching, &records.fields);
    hash.update(Sha256::digest(format!("{rest:?}")));
    let mut eight = [0; 8];
    eight.copy_from_slice(&hash.finalize()[..8]);
    i64::from_be_bytes(eight)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::model::{JobField, JobSide, Limit, Matching, Rails, RepairMode, Thresholds};
    use crate::record::map::RecordMap;

    fn records() -> Records {
        let side = |system: &str| JobSide {
            system: system.to_owned(),
            kind: "order".to_owned(),
            map: Arc::new(RecordMap::default()),
            declared: true,
        };
        Records {
            entity: "order".to_owned(),
            sides: [side("shop"), side("crm")],
            matching: Matching::Key,
            fields: vec![JobField {
                name: "total".to_owned(),
                compare: None,
                equal: Vec::new(),
                sensitive: false,
            }],
            window: None,
            grace: Duration::ZERO,
            thresholds: Thresholds {
                warn: Limit::default(),
                critical: Limit::default(),
            },
            repair: RepairMode::Apply,
            rails: Rails {
                max: 1,
                stop_above: Limit::default(),
                deletes: false,
                expires: Duration::ZERO,
            },
        }
    }

    #[test]
    fn what_is_read_or_matched_changes_it_and_nothing_else() {
        let before = hash(&records());
        let same = [
            Records {
                grace: Duration::from_secs(1),
                repair: RepairMode::Report,
                ..records()
            },
            records(),
        ];
        assert!(same.iter().all(|records| hash(records) == before));
        let mut field = records();
        field.fields[0].equal = vec![vec!["paid".to_owned()]];
        let mut layout = records();
        Arc::make_mut(&mut layout.sides[1].map).layout.id = Some("/id".to_owned());
        let mut system = records();
        system.sides[0].system = "till".to_owned();
        let mut fewer = records();
        fewer.fields.clear();
        for changed in [field, layout, system, fewer] {
            assert_ne!(hash(&changed), before, "{changed:?}");
        }
    }
}
