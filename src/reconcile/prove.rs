//! Dead deliveries that are needless: what they were to bring about is so. Each is proven by reading its record in both
//! systems just now; only then it ends as superseded, with the proof in words. Called by `run`.

use std::collections::BTreeSet;

use tokio::task::spawn_blocking;

use super::compare::Standing;
use super::noted::Noted;
use super::run::{Runner, judge_of};
use super::second::Second;
use crate::config::model::{Matching, Records};
use crate::ids::PathId;
use crate::store::LogEntry;
use crate::store::view::{RunRow, Severity};

/// Dead deliveries that one run looks at.
const MOST: usize = 50;

/// Looks at dead deliveries between both systems whose records the run did not find to differ, and ends those that are proven
/// to be needless.
///
/// # Errors
/// In words, where the store could not be read or written.
pub(super) async fn after(
    runner: &Runner,
    records: &Records,
    run: &RunRow,
    differing: &BTreeSet<String>,
    second: &Second<'_>,
) -> Result<(), String> {
    if records.matching != Matching::Key || records.fields.is_empty() {
        return Ok(());
    }
    let mut proven = Vec::new();
    for (to, side) in records.sides.iter().enumerate() {
        let from = &records.sides[1 - to];
        // Only where the path writes nothing that is not compared: of that nothing is proven.
        let runtime = runner.live.borrow().clone();
        let compared = |path: &&crate::config::model::Path| {
            path.from == from.system
                && path.to == side.system
                && path.mapping.as_ref().is_some_and(|mapping| {
                    mapping.target == side.kind
                        && mapping.source == from.kind
                        && written(mapping, from, side)
                            .all(|name| records.fields.iter().any(|field| field.name == name))
                })
        };
        let paths: Vec<PathId> = (runtime.config.paths.iter().filter(compared))
            .filter_map(|path| runtime.id(&path.name))
            .collect();
        if paths.is_empty() {
            continue;
        }
        let (store, kind) = (runner.store.clone(), side.kind.clone());
        let dead = spawn_blocking(move || {
            let reader = store.reader().map_err(|error| error.to_string())?;
            (reader.dead_about(&kind, &paths, MOST)).map_err(|error| error.to_string())
        });
        let dead = dead.await.map_err(|_| "the reader failed".to_owned())??;
        for (delivery, key) in dead {
            if differing.contains(&key) {
                continue;
            }
            match second.read(&key, &Noted::default()).await {
                Ok(again) => {
                    let verdict = judge_of(records).key(&again.rows[0], &again.rows[1], true);
                    let both = again.rows.iter().all(|rows| rows.len() == 1);
                    if verdict.standing == Standing::Equal && both {
                        proven.push((delivery, proof(records, run)));
                    }
                }
                // Not now.
                Err(not) if not.down => break,
                Err(_) => {}
            }
        }
    }
    if proven.is_empty() {
        return Ok(());
    }
    let what = match proven.len() {
        1 => "1 dead delivery is".to_owned(),
        n => format!("{n} dead deliveries are"),
    };
    let log = LogEntry {
        severity: Severity::Info,
        actor: None,
        kind: "reconcile",
        path: None,
        delivery: None,
        text: format!("{}: {what} needless, both systems agree", run.job),
    };
    let kept = runner.store.supersede(proven, log).await;
    kept.map(|_| ()).map_err(|error| error.to_string())
}

/// The fields that a path writes.
fn written<'a>(
    mapping: &'a crate::config::model::Mapping,
    from: &'a crate::config::model::JobSide,
    to: &'a crate::config::model::JobSide,
) -> impl Iterator<Item = &'a str> {
    let fields = to.map.layout.fields.iter();
    fields
        .filter(|(_, field)| !field.read_only)
        .map(|(name, _)| name.as_str())
        .filter(|name| {
            let listed = mapping.fields.iter().any(|field| field == name);
            let set = mapping.set.iter().any(|(field, _)| field == name);
            let carried = mapping.fields.is_empty() && from.map.layout.fields.contains_key(*name);
            listed || set || carried
        })
}

fn proof(records: &Records, run: &RunRow) -> String {
    let fields: Vec<&str> = records
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let [first, second] = &records.sides;
    format!(
        "run {} of {} read it in both: {} and {} agree on {}",
        run.id,
        run.job,
        first.system,
        second.system,
        fields.join(", ")
    )
}
