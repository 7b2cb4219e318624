//! What a repair never does, however right each single write is. Pure. Called by `run`, once a run.

use std::collections::BTreeSet;

use super::drift::{Measure, reaches};
use crate::config::model::{Limit, Rails};
use crate::store::view::PlanWrite;

/// What the rails leave of a run's writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Railed {
    /// What may be written.
    pub writes: Vec<PlanWrite>,
    /// Nothing may: so much has drifted that something larger is wrong.
    pub stopped: bool,
    /// What the rails did, in words.
    pub note: Option<String>,
}

/// So few differing records are never a sign of something larger, whatever share of a small shop's they are: a share stops
/// nothing below.
const FEW: u64 = 4;

/// Whether so much has drifted that nothing may be written.
fn is_too_much(rails: &Rails, measure: &Measure) -> bool {
    let limit = Limit {
        share: (rails.stop_above.share).filter(|_| measure.different >= FEW),
        ..rails.stop_above.clone()
    };
    reaches(measure, &limit)
}

/// Keeps writes inside the rails. `max` counts records: all fields of one are one record, the others wait for the next run.
pub fn within(rails: &Rails, writes: Vec<PlanWrite>, measure: &Measure) -> Railed {
    let mut records: BTreeSet<(String, String)> = BTreeSet::new();
    let mut left = BTreeSet::new();
    let mut kept = Vec::new();
    for write in writes {
        let record = (write.system.clone(), write.key.clone());
        if records.contains(&record) || (records.len() as u64) < rails.max {
            records.insert(record);
            kept.push(write);
        } else {
            left.insert(record);
        }
    }
    let mut notes = Vec::new();
    let stopped = is_too_much(rails, measure);
    if stopped {
        notes.push(format!(
            "stopped: drift is at `stop_above` ({}) or beyond, something larger is wrong",
            rails.stop_above
        ));
    }
    match left.len() {
        0 => {}
        1 => notes.push(format!(
            "1 more record waits for the next run: {} a run",
            rails.max
        )),
        left => notes.push(format!(
            "{left} more records wait for the next run: {} a run",
            rails.max
        )),
    }
    Railed {
        writes: kept,
        stopped,
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn write(system: &str, key: &str, field: &str) -> PlanWrite {
        PlanWrite {
            system: system.to_owned(),
            key: key.to_owned(),
            field: Some(field.to_owned()),
            ..PlanWrite::default()
        }
    }

    #[test]
    fn records_are_counted_not_fields_and_nothing_is_written_where_too_much_drifted() {
        let rails = |max, share, count| Rails {
            max,
            stop_above: Limit {
                share,
                count,
                ..Limit::default()
            },
            deletes: false,
            expires: Duration::ZERO,
        };
        let writes = || {
            vec![
                write("crm", "1", "status"),
                write("crm", "1", "total"),
                write("crm", "2", "status"),
                write("shop", "2", "status"),
                write("crm", "3", "status"),
            ]
        };
        let drifted = |different| Measure {
            different,
            share: Some(0.02),
            ..Measure::default()
        };
        for (rails, different, kept, stopped, note) in [
            (rails(20, None, None), 4, 5, false, None),
            (
                rails(3, None, None),
                4,
                4,
                false,
                Some("1 more record waits for the next run: 3 a run"),
            ),
            (
                rails(1, None, None),
                4,
                2,
                false,
                Some("3 more records wait for the next run: 1 a run"),
            ),
            (rails(20, Some(0.02), None), 3, 5, false, None),
            (rails(20, Some(0.03), None), 4, 5, false, None),
            (
                rails(20, Some(0.02), None),
                4,
                5,
                true,
                Some("stopped: drift is at `stop_above` (2%) or beyond, something larger is wrong"),
            ),
            (
                rails(20, None, Some(3)),
                3,
                5,
                true,
                Some(
                    "stopped: drift is at `stop_above` (3 records) or beyond, something larger is wrong",
                ),
            ),
        ] {
            let railed = within(&rails, writes(), &drifted(different));
            let found = (railed.writes.len(), railed.stopped, railed.note.as_deref());
            assert_eq!(found, (kept, stopped, note), "{rails:?}");
        }
    }
}
