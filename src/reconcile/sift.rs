//! What stays of a comparison's differences: not what somebody tolerates, not what a delivery is under way about, and not
//! what a second read finds gone. What stays says who changed it since both sides agreed. Reads only. Called by `run`.

use std::collections::{BTreeMap, HashSet};

use tokio::task::spawn_blocking;

use super::compare::{Judge, Outcome, Standing};
use super::noted::{Noted, count_again, take_back};
use super::second::{Again, Second};
use super::threeway;
use crate::config::live::Runtime;
use crate::config::model::{Job, Matching, Path, REPAIR, Records};
use crate::ids::PathId;
use crate::record::ledger::{About, KnownField};
use crate::store::view::{Changed, DifferenceKind, DifferenceRow, Grade};
use crate::store::{Store, tolerance};
use crate::time::Timestamp;
use crate::visible::line;

/// The most keys of one run that are read again; the rest is told unconfirmed.
pub const MOST_READ: usize = 500;
/// After so many keys in a row that could not be read because a system failed, no other is tried.
const PATIENCE: usize = 3;

/// What a sifting goes by.
pub(super) struct Sieve<'a> {
    pub(super) store: &'a Store,
    pub(super) job: &'a Job,
    pub(super) records: &'a Records,
    pub(super) second: Second<'a>,
    pub(super) judge: &'a dyn Judge,
    /// The paths between both systems, and those of repairs to them.
    pub(super) paths: Vec<PathId>,
    /// Both listings were whole.
    pub(super) whole: bool,
    /// From when on was listed; none: all.
    pub(super) since: Option<Timestamp>,
}

/// What stayed.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// The keys that differ, in order.
    pub(super) keys: Vec<Key>,
    /// Those that a second read found equal.
    pub(super) vanished: Vec<(String, Again)>,
    /// How many were left out because a delivery is under way about them.
    pub(super) in_flight: u64,
    /// How many somebody tolerates.
    pub(super) tolerated: u64,
    /// How many were not read again because they are too many.
    pub(super) unread: u64,
}

/// A key that differs.
#[derive(Debug, Default)]
pub(super) struct Key {
    pub(super) rows: Vec<DifferenceRow>,
    /// What the second read found.
    pub(super) again: Option<Again>,
}

/// Paths whose deliveries can make two systems agree: those between them, and those that repairs take to them.
pub(super) fn paths_between(runtime: &Runtime, records: &Records) -> Vec<PathId> {
    let systems = records.sides.each_ref().map(|side| side.system.as_str());
    let between = |path: &&Path| {
        systems.contains(&path.to.as_str())
            && (systems.contains(&path.from.as_str()) || path.name.starts_with(REPAIR))
    };
    (runtime.config.all_paths().filter(between))
        .filter_map(|path| runtime.id(&path.name))
        .collect()
}

impl Sieve<'_> {
    /// Sifts the differences out of `outcome`, whose counts follow.
    ///
    /// # Errors
    /// In words, where the store could not be read.
    pub(super) async fn sift(
        &self,
        outcome: &mut Outcome,
        noted: &BTreeMap<String, Noted>,
    ) -> Result<Sifted, String> {
        let mut sifted = Sifted::default();
        let rows = std::mem::take(&mut outcome.differences);
        let mut keys: Vec<Vec<DifferenceRow>> = Vec::new();
        for row in rows {
            match keys.last_mut() {
                Some(rows) if rows[0].key == row.key => rows.push(row),
                _ => keys.push(vec![row]),
            }
        }
        let (busy, tolerated) = self.known_of(&keys, noted).await?;
        let (mut read, mut failed) = (0, 0);
        let mut down: Option<String> = None;
        for mut rows in keys {
            let key = rows[0].key.clone();
            let Some(noted) = noted.get(&key) else {
                sifted.keys.push(Key { rows, again: None });
                continue;
            };
            rows.retain(|row| !tolerated.contains(&tolerance(&self.job.name, row)));
            if rows.is_empty() {
                sifted.tolerated += 1;
                take_back(outcome, noted, true);
                continue;
            }
            if busy.contains(&key) {
                sifted.in_flight += 1;
                take_back(outcome, noted, false);
                continue;
            }
            if read == MOST_READ || down.is_some() {
                sifted.unread += 1;
                let why = down.as_deref().unwrap_or("there are too many");
                tell(&mut rows, &format!("not read again: {why}"));
                sifted.keys.push(Key { rows, again: None });
                continue;
            }
            read += 1;
            let again = match self.second.read(&key, noted).await {
                Ok(again) => again,
                Err(not) => {
                    failed = if not.down { failed + 1 } else { 0 };
                    if failed == PATIENCE {
                        down = Some(not.words.clone());
                    }
                    tell(&mut rows, &format!("not read again: {}", not.words));
                    sifted.keys.push(Key { rows, again: None });
                    continue;
                }
            };
            failed = 0;
            let verdict = self.judge.key(&again.rows[0], &again.rows[1], self.whole);
            count_again(outcome, noted, &verdict);
            let gone = matches!(verdict.standing, Standing::Equal | Standing::Apart);
            if gone || self.is_older(&verdict.rows, &again) {
                if !gone {
                    // Counted as differing a moment ago.
                    let now = Noted {
                        standing: verdict.standing,
                        money: verdict.money,
                        ..Noted::default()
                    };
                    take_back(outcome, &now, false);
                }
                sifted.vanished.push((key, again));
                continue;
            }
            rows = verdict.rows;
            for row in &mut rows {
                row.confirmed = true;
            }
            rows.retain(|row| !tolerated.contains(&tolerance(&self.job.name, row)));
            sifted.keys.push(Key {
                rows,
                again: Some(again),
            });
        }
        self.three_way(&mut sifted.keys).await?;
        Ok(sifted)
    }

    /// What a listing since a time cannot say: an order that is older may have been paid before that.
    fn is_older(&self, rows: &[DifferenceRow], again: &Again) -> bool {
        let sums = |row: &DifferenceRow| {
            matches!(row.kind, DifferenceKind::Unpaid | DifferenceKind::Amount)
        };
        let made = again.records[1].first().and_then(|order| order.created);
        matches!(self.records.matching, Matching::Money(_))
            && rows.iter().all(sums)
            && (self.since.zip(made)).is_some_and(|(since, made)| made < since)
    }

    /// The keys that a delivery is under way about, and the hashes of what is tolerated.
    async fn known_of(
        &self,
        keys: &[Vec<DifferenceRow>],
        noted: &BTreeMap<String, Noted>,
    ) -> Result<(HashSet<String>, HashSet<[u8; 16]>), String> {
        let [first, second] = &self.records.sides;
        let mut abouts: Vec<(About, String)> = Vec::new();
        for rows in keys {
            let key = &rows[0].key;
            let mut add = |kind: &str, of: &str| {
                let about = About {
                    kind: kind.to_owned(),
                    key: of.to_owned(),
                };
                abouts.push((about, key.clone()));
            };
            add(&second.kind, key);
            match &self.records.matching {
                Matching::Key if first.kind != second.kind => add(&first.kind, key),
                Matching::Key => {}
                Matching::Money(_) => {
                    let payments = noted.get(key).into_iter().flat_map(|noted| &noted.rows[0]);
                    for id in payments.filter_map(|row| row.id.as_deref()) {
                        add(&first.kind, id);
                    }
                }
            }
        }
        let (store, paths, job) = (
            self.store.clone(),
            self.paths.clone(),
            self.job.name.clone(),
        );
        let read = spawn_blocking(move || {
            let reader = store.reader().map_err(|error| error.to_string())?;
            let asked: Vec<About> = abouts.iter().map(|(about, _)| about.clone()).collect();
            let busy = (reader.under_way(&asked, &paths)).map_err(|error| error.to_string())?;
            let tolerated = reader.tolerated(&job).map_err(|error| error.to_string())?;
            let busy = abouts.into_iter().filter(|(about, _)| busy.contains(about));
            Ok((
                busy.map(|(_, key)| key).collect(),
                tolerated.into_iter().map(|row| row.hash).collect(),
            ))
        });
        read.await.map_err(|_| "the reader failed".to_owned())?
    }

    /// Says of each field who changed it since both sides were last seen to agree, and of what is missing who removed it.
    async fn three_way(&self, keys: &mut [Key]) -> Result<(), String> {
        let asked: Vec<(usize, String)> = (keys.iter().enumerate())
            .map(|(index, key)| (index, key.rows[0].key.clone()))
            .collect();
        if asked.is_empty() || self.records.matching != Matching::Key {
            return Ok(());
        }
        let sides = (self.records.sides.clone()).map(|side| (side.system, side.kind));
        let store = self.store.clone();
        let read = spawn_blocking(move || {
            let reader = store.reader().map_err(|error| error.to_string())?;
            (asked.into_iter())
                .map(|(index, key)| {
                    let known = |(system, kind): &(String, String)| {
                        reader
                            .known(system, kind, &key)
                            .map_err(|error| error.to_string())
                    };
                    Ok((index, [known(&sides[0])?, known(&sides[1])?]))
                })
                .collect::<Result<Vec<_>, String>>()
        });
        let known = read.await.map_err(|_| "the reader failed".to_owned())??;
        for (index, known) in known {
            for row in &mut keys[index].rows {
                let lacking = match row.kind {
                    DifferenceKind::OnlyFirst => Some((1, Changed::Second)),
                    DifferenceKind::OnlySecond => Some((0, Changed::First)),
                    _ => None,
                };
                if let Some((side, changed)) = lacking
                    && known[side].id.is_some()
                {
                    // It was there before: somebody removed it.
                    row.ids[side].clone_from(&known[side].id);
                    row.changed = Some(changed);
                }
                let Some(name) = &row.field else { continue };
                let of = |side: usize| known[side].fields.get(name).and_then(agreed);
                let base = [of(0), of(1)]
                    .into_iter()
                    .flatten()
                    .max_by_key(|(_, at)| *at);
                let field = self.records.fields.iter().find(|field| field.name == *name);
                if let (Some((base, _)), Some(field)) = (base, field) {
                    let (first, second) = (row.first.as_deref(), row.second.as_deref());
                    row.changed = threeway::changed(field, Some(base), first, second);
                    row.base = Some(base.clone());
                }
            }
        }
        Ok(())
    }
}

fn agreed(field: &KnownField) -> Option<&(String, Timestamp)> {
    field.agreed.as_ref()
}

/// Says why nothing can be done about these.
fn tell(rows: &mut [DifferenceRow], words: &str) {
    for row in rows {
        row.grade = row.grade.max(Grade::Told);
        row.note = Some(line(words, 160).to_string());
    }
}
