//! One execution of a job: list both sides, compare, look again, say what would mend it. It never writes to an outside
//! system; `schedule` stores what it says, and what is to be written goes by a plan.
//!
//! Whatever goes wrong with a listing makes the run incomplete, with words: what did not come to its end says nothing about
//! what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::compare::{FieldJudge, Judge, Outcome, Rules, compare};
use super::drift::{self, Measure, Side};
use super::listing::{Listed, Listing};
use super::money::MoneyJudge;
use super::noted::{Noted, Noting, Pair, Sample};
use super::plan::{Ground, grade};
use super::rails::within;
use super::second::Second;
use super::sift::{self, Key, Sieve, Sifted};
use super::{agree, backlog, prove, rules};
use crate::config::live::Live;
use crate::config::model::{Backlog, Job, Matching, Records, RepairMode};
use crate::event::expr::Engine;
use crate::remote::Remote;
use crate::store::view::{DifferenceRow, PlanRow, PlanState, PlanWrite, RunRow};
use crate::store::{HashKey, Store};
use crate::time::Timestamp;

/// What a run found.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// What is known of the run, but its end.
    pub(super) row: RunRow,
    /// What differs.
    pub(super) differences: Vec<DifferenceRow>,
    /// What would mend it; none where nothing can, or where the run only reports.
    pub(super) plan: Option<(PlanRow, Vec<PlanWrite>)>,
}

impl Report {
    /// A run that ended before anything was compared.
    pub(super) fn failed(row: RunRow, error: impl Into<String>) -> Self {
        Self {
            row: RunRow {
                error: Some(error.into()),
                ..row
            },
            ..Self::default()
        }
    }
}

/// What a run reads with, and where it keeps how far it is.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    pub(super) store: Store,
    pub(super) live: Live,
    pub(super) remote: Remote,
    pub(super) engine: Engine,
    pub(super) key: HashKey,
    /// Where a comparison sets aside what it cannot hold.
    pub(super) scratch: PathBuf,
}

/// What a comparison left behind.
struct Compared {
    outcome: Outcome,
    noted: BTreeMap<String, Noted>,
    pairs: Vec<Pair>,
}

impl Runner {
    /// Looks at the queues.
    pub(super) async fn backlog(&self, job: &Backlog, mut row: RunRow) -> Report {
        let runtime = self.live.borrow().clone();
        let paths = (runtime.config.paths.iter())
            .filter(|path| job.paths.is_empty() || job.paths.contains(&path.name))
            .filter_map(|path| Some((path.name.clone(), runtime.id(&path.name)?)));
        let paths: Vec<_> = paths.collect();
        let (store, now, since) = (self.store.clone(), row.started, row.started - job.window);
        let read = spawn_blocking(move || {
            let reader = store.reader().map_err(|error| error.to_string())?;
            (paths.into_iter())
                .map(|(name, id)| {
                    Ok((name, reader.standing(id, since).map_err(|e| e.to_string())?))
                })
                .collect::<Result<Vec<_>, String>>()
        });
        let standing = match read.await {
            Ok(Ok(standing)) => standing,
            Ok(Err(error)) => return Report::failed(row, error),
            Err(_) => return Report::failed(row, "the queue could not be read"),
        };
        let found = backlog::judge(job, &standing, now);
        row.counts = [found.paths, found.paths];
        row.compared = found.paths;
        row.differing = found.differing;
        row.drift = drift::share(found.paths, 0, found.differing);
        row.level = found.level;
        row.complete = true;
        Report {
            row,
            differences: found.differences,
            ..Report::default()
        }
    }

    /// Compares two systems. `last` is the last complete run of the job.
    pub(super) async fn records(
        &self,
        job: &Job,
        records: &Records,
        mut row: RunRow,
        last: Option<RunRow>,
    ) -> Report {
        row.rules = rules::hash(records);
        let stop = CancellationToken::new();
        // Ends what runs on threads of its own, too, when the run is dropped.
        let _stop = stop.clone().drop_guard();
        let since = records.window.map(|window| row.started - window);
        self.phase(&mut row, "listing").await;
        let file = self.live.borrow().config.file.clone();
        let folder = file.parent().unwrap_or(&file).to_owned();
        let listing = |side: usize| Listing {
            remote: &self.remote,
            engine: &self.engine,
            key: &self.key,
            store: &self.store,
            records,
            side,
            run: row.id,
            since,
            expected: last.as_ref().map(|last| last.counts[side]),
            folder: &folder,
        };
        let (first, second) = tokio::join!(listing(0).rows(), listing(1).rows());
        self.phase(&mut row, "comparing").await;
        let compared = self.compare(records, [first, second], row.started, &stop);
        let Compared {
            mut outcome,
            noted,
            pairs,
        } = match compared.await {
            Ok(compared) => compared,
            Err(error) => return Report::failed(row, error),
        };
        row.counts = [0, 1].map(|side: usize| outcome.sides[side].records);
        let incomplete = incomplete(records, &outcome);
        if let Some(incomplete) = &incomplete
            && !incomplete.comparable
        {
            return Report::failed(row, &incomplete.words);
        }
        let whole = incomplete
            .as_ref()
            .is_none_or(|incomplete| incomplete.whole);
        self.phase(&mut row, "confirming").await;
        let sieve = Sieve {
            store: &self.store,
            job,
            records,
            second: Second {
                remote: &self.remote,
                records,
                engine: &self.engine,
                key: &self.key,
            },
            judge: &*judge_of(records),
            paths: sift::paths_between(&self.live.borrow().clone(), records),
            whole,
            since,
        };
        let sifted = match sieve.sift(&mut outcome, &noted).await {
            Ok(sifted) => sifted,
            Err(error) => return Report::failed(row, error),
        };
        self.phase(&mut row, "planning").await;
        self.learn(records, pairs, &sifted).await;
        let measure = Measure {
            different: outcome.differences_counted(),
            share: drift::share(
                outcome.compared,
                outcome.only_first + outcome.only_second,
                outcome.differing,
            ),
            money: outcome.money.clone(),
        };
        row.compared = outcome.compared;
        row.only_first = outcome.only_first;
        row.only_second = outcome.only_second;
        row.differing = outcome.differing;
        row.skipped = outcome.skipped;
        row.in_flight = sifted.in_flight;
        row.vanished = sifted.vanished.len() as u64;
        row.drift = measure.share;
        row.money = (measure.money.iter())
            .map(|(code, amount)| (code.clone(), amount.to_string()))
            .collect();
        row.level = (measure.share).map(|_| drift::level(&measure, &records.thresholds));
        row.complete = incomplete.is_none();
        row.error = incomplete.map(|incomplete| incomplete.words);
        let differing: BTreeSet<String> = (sifted.keys.iter())
            .map(|key| key.rows[0].key.clone())
            .collect();
        let proven = prove::after(self, records, &row, &differing, &sieve.second).await;
        if let Err(error) = proven {
            tracing::warn!(
                ?error,
                job = job.name,
                "dead deliveries could not be looked at"
            );
        }
        let (mode, why) = mode(records, row.rules, last.as_ref());
        row.mode = mode;
        row.note = note(why, &sifted);
        let (differences, plan) = self.plan(job, records, &row, &measure, sifted).await;
        Report {
            row,
            differences,
            plan,
        }
    }

    /// Says to every screen what the run is doing.
    async fn phase(&self, row: &mut RunRow, phase: &str) {
        row.phase = Some(phase.to_owned());
        if let Err(error) = self.store.keep_run(row.clone()).await {
            tracing::warn!(?error, job = row.job, "how far a run is could not be kept");
        }
    }

    async fn compare(
        &self,
        records: &Records,
        [first, second]: [Listed; 2],
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Compared, String> {
        let (records, scratch, stop) = (records.clone(), self.scratch.clone(), stop.clone());
        let compared = spawn_blocking(move || {
            let judge = judge_of(&records);
            let noting = Noting::new(&*judge);
            let sample = Sample::default();
            let rules = Rules {
                judge: &noting,
                grace: records.grace,
                now,
                equal: &|first, second| sample.take(first, second),
                stop: &stop,
            };
            let outcome = compare(Box::new(first), Box::new(second), &rules, &scratch)?;
            Ok::<_, super::compare::Failed>(Compared {
                outcome,
                noted: noting.into_noted(),
                pairs: sample.into_pairs(),
            })
        });
        let compared = compared
            .await
            .map_err(|_| "the comparison failed".to_owned())?;
        compared.map_err(|error| error.to_string())
    }

    /// What could not be learnt is learnt the next time.
    async fn learn(&self, records: &Records, pairs: Vec<Pair>, sifted: &Sifted) {
        let learnt = agree::sample(&self.store, records, pairs).await;
        let vanished = agree::vanished(&self.store, records, &sifted.vanished).await;
        if let Err(error) = learnt.and(vanished.map_err(|error| error.to_string())) {
            tracing::warn!(?error, "what two systems agree on could not be kept");
        }
    }

    /// Grades what stayed, opens reviews of what only a person can decide, and makes a plan of the rest.
    async fn plan(
        &self,
        job: &Job,
        records: &Records,
        row: &RunRow,
        measure: &Measure,
        mut sifted: Sifted,
    ) -> (Vec<DifferenceRow>, Option<(PlanRow, Vec<PlanWrite>)>) {
        let config = self.live.borrow().config.clone();
        let ground = Ground {
            config: &config,
            job,
            records,
            complete: row.complete && row.counts.iter().all(|count| *count > 0),
            key: &self.key,
        };
        let mut writes = Vec::new();
        for Key { rows, again } in &mut sifted.keys {
            let only = |side: usize| again.as_ref()?.records[side].first();
            let read = [only(0), only(1)];
            writes.extend((rows.iter_mut()).filter_map(|row| grade(&ground, row, read)));
        }
        if row.mode > RepairMode::Report
            && let Err(error) = agree::disputed(&self.store, &config, records, &sifted.keys).await
        {
            tracing::warn!(?error, job = job.name, "a review could not be opened");
        }
        let differences = sifted.keys.into_iter().flat_map(|key| key.rows).collect();
        if row.mode == RepairMode::Report || writes.is_empty() {
            return (differences, None);
        }
        let railed = within(&records.rails, writes, measure);
        let now = self.store.clock().now();
        let (state, decided) = match row.mode {
            _ if railed.stopped => (PlanState::Stopped, None),
            RepairMode::Apply => {
                let decided = (now, format!("the job {}", job.name));
                (PlanState::Applying, Some(decided))
            }
            RepairMode::Report | RepairMode::Propose => (PlanState::Proposed, None),
        };
        let plan = PlanRow {
            run: row.id,
            job: job.name.clone(),
            expires: now + records.rails.expires,
            state,
            decided,
            note: railed.note,
            ..PlanRow::default()
        };
        (differences, Some((plan, railed.writes)))
    }
}

/// Who says what the records of one key mean to each other.
pub(super) fn judge_of(records: &Records) -> Box<dyn Judge + Send + '_> {
    match &records.matching {
        Matching::Key => Box::new(FieldJudge {
            fields: &records.fields,
        }),
        Matching::Money(money) => Box::new(MoneyJudge { money }),
    }
}

/// What a run may do about differences, and why that is less than its job says. What records are matched or read by may have
/// been changed by mistake, and a mistake there makes everything differ: the first run after that only tells.
fn mode(
    records: &Records,
    rules: i64,
    last: Option<&RunRow>,
) -> (RepairMode, Option<&'static str>) {
    match (records.repair, last) {
        (RepairMode::Report, _) => (RepairMode::Report, None),
        (_, Some(last)) if last.rules != rules => (
            RepairMode::Report,
            Some("what its records are matched or read by was changed: this run only reports"),
        ),
        (RepairMode::Apply, None) => (
            RepairMode::Propose,
            Some("the first run of a job only proposes"),
        ),
        (mode, _) => (mode, None),
    }
}

fn note(why: Option<&str>, sifted: &Sifted) -> Option<String> {
    let mut notes: Vec<String> = why.map(str::to_owned).into_iter().collect();
    let mut add = |count: u64, words: &str| {
        if count > 0 {
            notes.push(format!("{count} {words}"));
        }
    };
    add(sifted.tolerated, "tolerated");
    add(sifted.unread, "not read a second time");
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// What a side is called: its system, and which of the two where both are of one system.
fn called(records: &Records, index: usize) -> String {
    let [first, second] = &records.sides;
    let system = &records.sides[index].system;
    if first.system != second.system {
        system.clone()
    } else if index == 0 {
        format!("{system} (first)")
    } else {
        format!("{system} (second)")
    }
}

fn incomplete(records: &Records, outcome: &Outcome) -> Option<drift::Incomplete> {
    let names = [called(records, 0), called(records, 1)];
    let side = |index: usize| {
        let read = &outcome.sides[index];
        Side {
            name: &names[index],
            records: read.records,
            settled: read.settled,
            without_key: read.without_key,
            broken: read.broken.as_deref(),
        }
    };
    drift::incomplete(side(0), side(1))
}
