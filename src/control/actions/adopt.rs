//! Adopting what two systems hold already: reads both listings, matches by business key, keeps ids and agreed values.
//!
//! Nothing is written into either system. Memory is bounded: one page of a listing at a time, which the store keeps beside
//! the ledger together with where the listing goes on; then the keys are matched in chunks, of which only counts and the
//! first few exceptions are held. So it may be killed anywhere, and begun again. Called by the action layer.

use std::sync::Arc;

use serde::Serialize;

use super::super::action::{Actor, Done, Preview, Refused};
use super::preview::plain;
use super::{Actions, audit, done, refused};
use crate::config::model::Config;
use crate::event::expr::Engine;
use crate::record::json::Node;
use crate::record::map::RecordMap;
use crate::record::mask;
use crate::record::read;
use crate::remote::Remote;
use crate::remote::list::{Page, Pages};
use crate::store::view::{AdoptDifference, AdoptionRow, Matched};
use crate::store::{AdoptPage, AdoptRecord, LogEntry};
use crate::time::short;
use crate::visible::{Visible, line};

/// Exceptions of each kind that a report names; the others are counted.
const NAMED: usize = 10;

/// A listing that was finished longer ago than this is no longer what the system holds: it is read again.
const STALE: std::time::Duration = std::time::Duration::from_hours(1);

/// What an adoption found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// The record type.
    pub kind: String,
    /// The two systems, the source first.
    pub sides: [String; 2],
    /// Nothing was kept.
    pub dry_run: bool,
    /// Different keys that each side lists.
    pub listed: [u64; 2],
    /// Records of each side without a business key, or that cannot be read; of those that this run listed.
    pub left_out: [Few<String>; 2],
    /// Keys on both sides, once each.
    pub matched: u64,
    /// Fields that are equal on both.
    pub agreed: u64,
    /// Fields that are on both and differ.
    pub differing: Few<AdoptDifference>,
    /// Keys that the second side lacks, and that the first one lacks.
    pub missing: [Few<String>; 2],
    /// Keys that two records of one side carry: nobody can say which is meant.
    pub twice: Few<String>,
}

/// A count, and the first few of what was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Few<T> {
    /// How many.
    pub count: u64,
    /// The first few.
    pub first: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            count: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Few<T> {
    fn add(&mut self, one: T) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(one);
        }
    }

    fn extend(&mut self, all: Vec<T>) {
        for one in all {
            self.add(one);
        }
    }
}

impl Actions {
    /// What an adoption would read and keep.
    pub(super) fn preview_adopt(
        &self,
        kind: &str,
        given: &[String],
        dry_run: bool,
    ) -> Result<Preview, Refused> {
        let config = self.inner.live.borrow().config.clone();
        let [from, to] = sides(&config, kind, given)?;
        let mut preview = plain(format!(
            "read every {kind} that {from} and {to} hold, and {}",
            if dry_run {
                "compare them; nothing is kept"
            } else {
                "keep the ids and agreed values of those that match"
            }
        ));
        preview.notes = vec![
            "nothing is written in either system".to_owned(),
            "it may be stopped and begun again: it goes on where it was".to_owned(),
        ];
        Ok(preview)
    }

    /// Reads both sides, matches them, and keeps what matches.
    pub(super) async fn adopt(
        &self,
        kind: &str,
        given: &[String],
        dry_run: bool,
        actor: &Actor,
    ) -> Result<(Done, Option<LogEntry>), Refused> {
        // Two at once would read everything twice, and let go what the other has kept.
        let Ok(_alone) = self.inner.adopting.try_lock() else {
            return Err(refused("an adoption is under way: wait for its end"));
        };
        let work = self.adopt_alone(kind, given, dry_run);
        let found = self.inner.stop.run_until_cancelled(work).await;
        let found = found.ok_or_else(|| {
            refused("the worker is stopping; the same command goes on where this one was")
        })??;
        let text = found.words();
        let report = serde_json::to_value(&found).ok();
        let log = audit(actor, "adopt", None, None, found.summary());
        let done = Done {
            report,
            ..done(text)
        };
        Ok((done, Some(log)))
    }

    async fn adopt_alone(
        &self,
        kind: &str,
        given: &[String],
        dry_run: bool,
    ) -> Result<Adopted, Refused> {
        let config = self.inner.live.borrow().config.clone();
        let sides = sides(&config, kind, given)?;
        let store = &self.inner.store;
        let live = self.inner.live.clone();
        let engine = Engine::new();
        let remote = Remote::new(live, self.outbound().clone(), engine.clone());
        let mut found = Adopted {
            kind: kind.to_owned(),
            sides: sides.clone(),
            dry_run,
            ..Adopted::default()
        };
        let mut begun = store.adopt_begin(kind.to_owned(), sides.clone()).await?;
        let now = self.now();
        let is_stale = |row: &AdoptionRow| row.listed.is_some_and(|at| now.since(at) > STALE);
        if begun.iter().any(is_stale) {
            store.adopt_end(kind.to_owned(), sides.clone()).await?;
            begun = store.adopt_begin(kind.to_owned(), sides.clone()).await?;
        }
        let maps = [remote.map(&sides[0], kind), remote.map(&sides[1], kind)];
        let [Ok(one), Ok(other)] = maps else {
            return Err(refused("the record type is not configured"));
        };
        for (side, row) in begun.into_iter().enumerate() {
            let (map, beside) = if side == 0 {
                (&one, &other)
            } else {
                (&other, &one)
            };
            let mut listing = Side {
                remote: &remote,
                engine: &engine,
                map,
                beside,
                left_out: &mut found.left_out[side],
            };
            found.listed[side] = self.list(&mut listing, row).await?.seen;
        }
        let mut after: Option<String> = None;
        loop {
            let part = store
                .adopt_match(kind.to_owned(), sides.clone(), after.clone(), !dry_run)
                .await?;
            after.clone_from(&part.next);
            found.add(part, [&one, &other]);
            if after.is_none() {
                break;
            }
        }
        store.adopt_end(kind.to_owned(), sides).await?;
        Ok(found)
    }

    /// Keeps one side's listing, from where it was.
    async fn list(&self, side: &mut Side<'_>, row: AdoptionRow) -> Result<AdoptionRow, Refused> {
        if row.listed.is_some() {
            return Ok(row);
        }
        let (mut pages, first) = side.open(row.next.as_deref()).await?;
        let (mut row, mut page) = (row, first);
        while let Some(this) = page {
            let last = this.next.is_none();
            row = (self.inner.store)
                .adopt_page(AdoptPage {
                    kind: row.kind,
                    system: row.system,
                    found: side.records(&this.records),
                    next: this.next,
                    last,
                })
                .await?;
            page = if last {
                None
            } else {
                pages.next().await.map_err(|error| side.failed(&error))?
            };
        }
        Ok(row)
    }
}

/// One side's listing under way.
struct Side<'a> {
    remote: &'a Remote,
    engine: &'a Engine,
    map: &'a Arc<RecordMap>,
    beside: &'a RecordMap,
    left_out: &'a mut Few<String>,
}

impl Side<'_> {
    /// The listing and its first page; from the beginning, where the system no longer knows the place to go on from.
    async fn open(&self, from: Option<&str>) -> Result<(Pages, Option<Page>), Refused> {
        let (system, kind) = (&self.map.system, &self.map.kind);
        let begin = |from: Option<&str>| {
            let pages = self.remote.pages(system, kind, None, from);
            pages.map_err(|error| refused(format!("cannot list {kind} in {system}: {error}")))
        };
        if from.is_some() {
            let mut pages = begin(from)?;
            if let Ok(page) = pages.next().await {
                return Ok((pages, page));
            }
        }
        let mut pages = begin(None)?;
        let page = pages.next().await.map_err(|error| self.failed(&error))?;
        Ok((pages, page))
    }

    fn failed(&self, error: &impl std::fmt::Display) -> Refused {
        refused(format!(
            "the listing of {} in {} was broken off: {}. What was read is kept: the same command goes on from there",
            self.map.kind,
            self.map.system,
            line(&error.to_string(), 300)
        ))
    }

    /// What is kept of a page: records with a key, and the fields that both sides have.
    fn records(&mut self, page: &[Node]) -> Vec<AdoptRecord> {
        let mut kept = Vec::with_capacity(page.len());
        for node in page {
            let record = match read::one(self.map, node, self.engine) {
                Ok(record) => record,
                Err(error) => {
                    self.left_out.add(error.to_string());
                    continue;
                }
            };
            let Some(key) = record.key.filter(|key| !key.is_empty()) else {
                let id = record.id.unwrap_or_default();
                self.left_out.add(format!("id {id} has no business key"));
                continue;
            };
            let fields = record.fields.into_iter().filter_map(|(name, value)| {
                let ours = self.map.layout.fields.get(&name)?;
                let theirs = self.beside.layout.fields.get(&name)?;
                Some((name, value, ours.sensitive || theirs.sensitive))
            });
            kept.push(AdoptRecord {
                key,
                id: record.id,
                version: record.version,
                fields: fields.collect(),
            });
        }
        kept
    }
}

impl Adopted {
    /// Counts a part. Keys that are sensitive are masked: the report is shown, and kept with the submission.
    fn add(&mut self, part: Matched, maps: [&RecordMap; 2]) {
        let is_masked = maps.into_iter().any(mask::key_is_sensitive);
        // A masked key says nothing: the system's own id finds the record.
        let told = |key: &str, id: &str| match mask::shown(maps, key) {
            masked if is_masked && !id.is_empty() => format!("{masked} (id {id})"),
            key => key,
        };
        let shown = |keys: Vec<(String, String)>| -> Vec<String> {
            (keys.iter()).map(|(key, id)| told(key, id)).collect()
        };
        let differing = (part.differing.into_iter()).map(|one| AdoptDifference {
            key: told(&one.key, &one.id),
            ..one
        });
        self.matched += part.matched;
        self.agreed += part.agreed;
        self.differing.extend(differing.collect());
        self.missing[0].extend(shown(part.only_first));
        self.missing[1].extend(shown(part.only_second));
        self.twice.extend(shown(part.twice));
    }

    /// In one line: names of the configuration and numbers only.
    fn summary(&self) -> String {
        let [from, to] = &self.sides;
        format!(
            "{}{}: {} in {from}, {} in {to}; {} match, {} fields agree, {} differ",
            if self.dry_run {
                "not kept, "
            } else {
                "adopted "
            },
            self.kind,
            self.listed[0],
            self.listed[1],
            self.matched,
            self.agreed,
            self.differing.count
        )
    }

    /// For people: the summary, and what would not match and why.
    fn words(&self) -> String {
        let [from, to] = &self.sides;
        let mut lines = vec![self.summary()];
        let mut few = |what: String, count: u64, first: Vec<String>| {
            if count > 0 {
                let more = count.saturating_sub(first.len() as u64);
                let more = if more > 0 {
                    format!(", and {more} more")
                } else {
                    String::new()
                };
                lines.push(format!("{count} {what}: {}{more}", first.join(", ")));
            }
        };
        let texts = |few: &Few<String>| -> Vec<String> {
            (few.first.iter())
                .map(|text| line(text, 80).into_string())
                .collect()
        };
        for (side, lacks) in [(0, to), (1, from)] {
            let missing = &self.missing[side];
            few(format!("are not in {lacks}"), missing.count, texts(missing));
            let left_out = &self.left_out[side];
            let system = &self.sides[side];
            few(
                format!("of {system} were left out"),
                left_out.count,
                texts(left_out),
            );
        }
        few(
            "keys are carried by several records".to_owned(),
            self.twice.count,
            texts(&self.twice),
        );
        let differing = (self.differing.first.iter()).map(|one| {
            let [left, right] = one.values.each_ref().map(|value| line(value, 40));
            let key = Visible::of(&one.key);
            // What begins so is a keyed hash: it says no more than that they differ.
            if one.values.iter().any(|value| value.starts_with('#')) {
                format!("{key} {} (hidden)", one.field)
            } else {
                format!("{key} {} ({left} / {right})", one.field)
            }
        });
        few(
            format!("fields differ ({from} / {to})"),
            self.differing.count,
            differing.collect(),
        );
        lines.join("\n")
    }
}

/// How far the listings of an adoption have come, in words, for those who wait.
pub fn progress(rows: &[AdoptionRow], now: crate::time::Timestamp) -> String {
    let parts: Vec<String> = (rows.iter())
        .map(|row| {
            let elapsed = now.since(row.started);
            if row.listed.is_some() {
                format!("{}: all {}", row.system, row.seen)
            } else {
                let rate = row.seen as f64 / elapsed.as_secs_f64().max(1.0);
                format!(
                    "{}: {} read, {rate:.0} a second, {}",
                    row.system,
                    row.seen,
                    short(elapsed)
                )
            }
        })
        .collect();
    parts.join("; ")
}

/// The two sides: as given, else those of the one pair of systems that the paths carry the type between.
pub(super) fn sides(config: &Config, kind: &str, given: &[String]) -> Result<[String; 2], Refused> {
    let [from, to] = match given {
        [from, to] => [from.clone(), to.clone()],
        [] => from_paths(config, kind)?,
        _ => return Err(refused("an adoption has two sides: --from and --to")),
    };
    if from == to {
        return Err(refused("the two sides are the same system"));
    }
    for name in [&from, &to] {
        let system = config.systems.get(name);
        let system = system.ok_or_else(|| {
            let names = config.systems.keys().map(String::as_str);
            (super::check::known("system", name, names).err())
                .unwrap_or_else(|| refused("the system is not configured"))
        })?;
        let map = system.records.get(kind).ok_or_else(|| {
            let names = system.records.keys().map(String::as_str);
            (super::check::known(&format!("record type of {name}"), kind, names).err())
                .unwrap_or_else(|| refused("the record type is not configured"))
        })?;
        if map.list.is_none() {
            return Err(refused(format!(
                "the records of type {kind} in {name} cannot be listed: give systems.{name}.records.{kind}.list"
            )));
        }
    }
    Ok([from, to])
}

fn from_paths(config: &Config, kind: &str) -> Result<[String; 2], Refused> {
    let mut pairs: Vec<[String; 2]> = (config.paths.iter())
        .filter(|path| {
            (path.mapping.as_ref())
                .is_some_and(|mapping| mapping.source == kind && mapping.target == kind)
        })
        .map(|path| [path.from.clone(), path.to.clone()])
        .collect();
    pairs.sort();
    pairs.dedup();
    match &pairs[..] {
        [pair] => Ok(pair.clone()),
        [] => Err(refused(format!(
            "no path carries records of type {} from one system to another: say which with --from and --to",
            crate::visible::line(kind, 60)
        ))),
        _ => {
            let words: Vec<String> = (pairs.iter())
                .map(|[from, to]| format!("--from {from} --to {to}"))
                .collect();
            Err(refused(format!(
                "several pairs of systems share records of type {kind}, say which: {}",
                words.join(", or ")
            )))
        }
    }
}
