//! Carries approved plans out. Each write is judged again first, on both sides as they are now: what was approved is a
//! ceiling, and what is not right any more is refused with the reason. What is right becomes an event for the ordinary
//! queue, in the commit that keeps it as sent: a crash in the middle sends nothing twice and loses nothing.
//!
//! A system that cannot be asked holds its writes up until it can, or until the plan's time is over. Called by `schedule`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::carrier::Carrier;
use super::money::BETWEEN;
use super::noted::Noted;
use super::plan::{Ground, grade};
use super::row::Row;
use super::run::{Runner, judge_of};
use super::second::{Again, NotRead, Second};
use super::{rules, sift, threeway};
use crate::config::model::{Config, Job, Matching, Records, RepairMode};
use crate::ids::{PathId, PlanId};
use crate::record::ledger::About;
use crate::store::view::{
    DifferenceKind, DifferenceRow, PlanRow, PlanWrite, RunRow, Severity, ToleratedRow, WriteState,
    WriteVerb,
};
use crate::store::{Incoming, LogEntry};

/// What could not be carried out is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);
/// Differences of a run that are read to judge its plan: all that are kept.
const DIFFERENCES: usize = 10_000;

/// Carries plans out until `stop`; `wake` says that there is one.
pub(super) async fn keep(runner: Runner, wake: Arc<Notify>, stop: CancellationToken) {
    let work = async {
        loop {
            if let Err(error) = round(&runner).await {
                tracing::warn!(?error, "plans could not be carried out");
            }
            let _ = tokio::time::timeout(AGAIN, wake.notified()).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn round(runner: &Runner) -> Result<(), String> {
    let store = &runner.store;
    store
        .expire_plans()
        .await
        .map_err(|error| error.to_string())?;
    let reading = store.clone();
    let applying = spawn_blocking(move || {
        let reader = reading.reader().map_err(|error| error.to_string())?;
        reader.plans_applying().map_err(|error| error.to_string())
    });
    for plan in applying
        .await
        .map_err(|_| "the reader failed".to_owned())??
    {
        carry_out(runner, plan).await?;
    }
    Ok(())
}

/// A plan, and what it is of.
struct Approved {
    plan: PlanRow,
    writes: Vec<PlanWrite>,
    run: Option<RunRow>,
    differences: Vec<DifferenceRow>,
    /// What people accept of its job.
    accepted: Vec<ToleratedRow>,
}

async fn load(runner: &Runner, id: PlanId) -> Result<Option<Approved>, String> {
    let store = runner.store.clone();
    let read = spawn_blocking(move || {
        let reader = store.reader()?;
        let Some((plan, writes)) = reader.plan(id)? else {
            return Ok(None);
        };
        Ok::<_, anyhow::Error>(Some(Approved {
            run: reader.run(plan.run)?,
            differences: reader.differences(plan.run, DIFFERENCES)?,
            accepted: reader.tolerated(&plan.job)?,
            plan,
            writes,
        }))
    });
    let read = read.await.map_err(|_| "the reader failed".to_owned())?;
    read.map_err(|error| error.to_string())
}

/// What became of some writes.
enum Outcome {
    /// They are handed over by this.
    Send(Vec<u64>, Box<Incoming>),
    /// They are not right any more: (number, why).
    Refuse(Vec<(u64, String)>),
    /// They cannot be judged now.
    Later,
}

async fn carry_out(runner: &Runner, id: PlanId) -> Result<(), String> {
    let Some(approved) = load(runner, id).await? else {
        return Ok(());
    };
    let store = &runner.store;
    let words = |error: crate::store::StoreError| error.to_string();
    let config = runner.live.borrow().config.clone();
    let open = (approved.writes.iter()).filter(|write| write.state == WriteState::Planned);
    // All fields of one record of a system go together, and a record is judged in both systems before anything of it is on
    // its way: else the first would hold up the second.
    let mut records: BTreeMap<&str, BTreeMap<(&str, WriteVerb), Vec<&PlanWrite>>> = BTreeMap::new();
    for write in open {
        let record = records.entry(&write.key).or_default();
        let place = (write.system.as_str(), write.verb);
        record.entry(place).or_default().push(write);
    }
    for systems in records.into_values() {
        let mut outcomes = Vec::new();
        for writes in systems.into_values() {
            outcomes.extend(judged(runner, &config, &approved, &writes).await?);
        }
        for outcome in outcomes {
            match outcome {
                Outcome::Send(numbers, incoming) => {
                    store
                        .send_writes(id, numbers, *incoming)
                        .await
                        .map_err(words)?;
                }
                Outcome::Refuse(refused) => {
                    store.refuse_writes(id, refused).await.map_err(words)?;
                }
                Outcome::Later => {}
            }
        }
    }
    let log = ended(runner, id).await?;
    store.end_plan(id, log).await.map_err(words)?;
    Ok(())
}

/// Judges the writes of one record of a system; what cannot be looked at in time is refused.
async fn judged(
    runner: &Runner,
    config: &Config,
    approved: &Approved,
    writes: &[&PlanWrite],
) -> Result<Vec<Outcome>, String> {
    let all = |why: &str| {
        let refused = writes.iter().map(|write| (write.n, why.to_owned()));
        Outcome::Refuse(refused.collect())
    };
    let (job, records) = match judged_by(config, approved) {
        Err(why) => return Ok(vec![all(&why)]),
        Ok(found) => found,
    };
    let judging = Judging {
        runner,
        config,
        job,
        records,
        approved,
    };
    let outcomes = judging.judge(writes).await?;
    if runner.store.clock().now() < approved.plan.expires {
        return Ok(outcomes);
    }
    let in_time = |outcome| match outcome {
        Outcome::Later => all("it could not be looked at before the plan's time was over"),
        outcome => outcome,
    };
    Ok(outcomes.into_iter().map(in_time).collect())
}

/// The line of a plan of which every write was handed over or refused.
async fn ended(runner: &Runner, id: PlanId) -> Result<LogEntry, String> {
    let approved = load(runner, id).await?;
    let (job, writes) = approved
        .map(|one| (one.plan.job, one.plan.writes))
        .unwrap_or_default();
    let [_, sent, delivered, refused, failed] = writes;
    let handed = sent + delivered + failed;
    let plural = |count: u64| if count == 1 { "write" } else { "writes" };
    let mut text = format!(
        "plan {id} of {job}: {handed} {} handed over",
        plural(handed)
    );
    if refused > 0 {
        let _ = write!(text, ", {refused} refused");
    }
    Ok(LogEntry {
        severity: Severity::Info,
        actor: None,
        kind: "plan",
        path: None,
        delivery: None,
        text,
    })
}

/// What the writes of a plan are judged by: today's configuration, as far as it is the one that they were planned by.
fn judged_by<'c>(
    config: &'c Config,
    approved: &Approved,
) -> Result<(&'c Job, &'c Records), String> {
    let name = &approved.plan.job;
    let job = config.reconcile.iter().find(|job| job.name == *name);
    let found = job.and_then(|job| Some((job, job.records()?)));
    let Some((job, records)) = found else {
        return Err(format!(
            "the configuration has no reconciliation {name} any more"
        ));
    };
    if records.repair == RepairMode::Report {
        return Err(format!("{name} only reports now"));
    }
    match &approved.run {
        Some(run) if run.rules == rules::hash(records) => Ok((job, records)),
        Some(_) => Err(format!(
            "what {name} compares was changed since: run it again"
        )),
        None => Err("the run that it was planned by is gone".to_owned()),
    }
}

struct Judging<'a> {
    runner: &'a Runner,
    config: &'a Config,
    job: &'a Job,
    records: &'a Records,
    approved: &'a Approved,
}

impl Judging<'_> {
    /// Judges the writes of one record of a system.
    async fn judge(&self, writes: &[&PlanWrite]) -> Result<Vec<Outcome>, String> {
        let first = writes[0];
        let refuse = |why: String| {
            let refused = writes.iter().map(|write| (write.n, why.clone()));
            Ok(vec![Outcome::Refuse(refused.collect())])
        };
        let sides = &self.records.sides;
        let is_to = |side: &crate::config::model::JobSide| {
            side.system == first.system && side.kind == first.kind
        };
        let Some(to) = sides.iter().position(is_to) else {
            return refuse(format!(
                "{} does not compare {}.{} any more",
                self.job.name, first.system, first.kind
            ));
        };
        let accepted = (self.approved.accepted.iter())
            .find(|row| row.key == first.key && row.at >= self.approved.plan.at);
        if let Some(row) = accepted.filter(|_| self.approved.plan.undoes.is_none()) {
            return refuse(format!(
                "its differences were accepted since: {}",
                row.reason
            ));
        }
        if self.is_under_way(first).await? {
            return Ok(vec![Outcome::Later]);
        }
        let second = Second {
            remote: &self.runner.remote,
            records: self.records,
            engine: &self.runner.engine,
            key: &self.runner.key,
        };
        let found = (self.approved.differences.iter()).filter(|row| row.key == first.key);
        let found: Vec<&DifferenceRow> = found.collect();
        let again = match second
            .read(&first.key, &self.noted(first, &found, to))
            .await
        {
            Ok(again) => again,
            Err(NotRead { down: true, .. }) => return Ok(vec![Outcome::Later]),
            Err(not) => return refuse(format!("it could not be looked at again: {}", not.words)),
        };
        if self.approved.plan.undoes.is_some() {
            return self.taken_back(writes, to, &again).await;
        }
        let judge = judge_of(self.records);
        let verdict = judge.key(&again.rows[0], &again.rows[1], true);
        let (mut right, mut refused) = (Vec::new(), Vec::new());
        for write in writes {
            let planned = found.iter().find(|row| is_of(row, write));
            let now = verdict.rows.iter().find(|row| is_of(row, write));
            let now = now.map(|row| DifferenceRow {
                confirmed: true,
                base: planned.and_then(|row| row.base.clone()),
                ..row.clone()
            });
            match now.map(|row| self.again(write, row, planned, &again)) {
                None => refused.push((
                    write.n,
                    "it is not so any more: both sides agree".to_owned(),
                )),
                Some(Err(why)) => refused.push((write.n, why)),
                Some(Ok(())) => right.push(*write),
            }
        }
        let mut outcomes = Vec::new();
        if !right.is_empty() {
            let carrier = self.carrier(to);
            let incoming = match first.verb {
                WriteVerb::Update => carrier.update(&right, &again),
                WriteVerb::Delete => carrier.delete(first),
                WriteVerb::Create => {
                    let id = again.records[1 - to]
                        .first()
                        .and_then(|record| record.id.as_deref());
                    match second.raw(1 - to, &first.key, id).await {
                        Ok(Some(node)) => carrier.create(first, &node),
                        Ok(None) => {
                            return refuse(format!("{} has it no more", sides[1 - to].system));
                        }
                        Err(NotRead { down: true, .. }) => return Ok(vec![Outcome::Later]),
                        Err(not) => {
                            return refuse(format!("it could not be read again: {}", not.words));
                        }
                    }
                }
            };
            let numbers = right.iter().map(|write| write.n).collect();
            outcomes.push(match incoming {
                Ok(incoming) => Outcome::Send(numbers, Box::new(incoming)),
                Err(why) => {
                    Outcome::Refuse(numbers.into_iter().map(|n| (n, why.clone())).collect())
                }
            });
        }
        if !refused.is_empty() {
            outcomes.push(Outcome::Refuse(refused));
        }
        Ok(outcomes)
    }

    fn carrier(&self, to: usize) -> Carrier<'_> {
        Carrier {
            runtime: self.runner.live.borrow().clone(),
            engine: &self.runner.engine,
            records: self.records,
            plan: &self.approved.plan,
            to,
            now: self.runner.store.clock().now(),
        }
    }

    /// Whether the rules give today what was planned.
    fn again(
        &self,
        write: &PlanWrite,
        mut row: DifferenceRow,
        planned: Option<&&DifferenceRow>,
        again: &Again,
    ) -> Result<(), String> {
        let field = (row.field.as_ref())
            .and_then(|name| self.records.fields.iter().find(|field| field.name == *name));
        row.changed = match field {
            Some(field) => {
                let (first, second) = (row.first.as_deref(), row.second.as_deref());
                threeway::changed(field, row.base.as_deref(), first, second)
            }
            None => planned.and_then(|row| row.changed),
        };
        if write.verb == WriteVerb::Delete
            && let Some(planned) = planned
        {
            row.ids.clone_from(&planned.ids);
        }
        let ground = Ground {
            config: self.config,
            job: self.job,
            records: self.records,
            complete: (self.approved.run.as_ref())
                .is_some_and(|run| run.complete && run.counts.iter().all(|count| *count > 0)),
            key: &self.runner.key,
        };
        let read = [0, 1].map(|side: usize| again.records[side].first());
        let Some(now) = grade(&ground, &mut row, read) else {
            let why = row
                .note
                .unwrap_or_else(|| "no rule allows it any more".to_owned());
            return Err(why);
        };
        if (&now.system, now.verb) != (&write.system, write.verb) {
            return Err(format!("{}'s value stands now", write.system));
        }
        if now.from != write.from {
            return Err(format!("{} holds something else now", write.system));
        }
        if now.to != write.to {
            return Err("another value stands now".to_owned());
        }
        Ok(())
    }

    /// A delivery about it is under way: it may mend it, or change it again.
    async fn is_under_way(&self, write: &PlanWrite) -> Result<bool, String> {
        let runtime = self.runner.live.borrow().clone();
        let paths: Vec<PathId> = sift::paths_between(&runtime, self.records);
        let about = About {
            kind: write.kind.clone(),
            key: write.key.clone(),
        };
        let store = self.runner.store.clone();
        let read = spawn_blocking(move || {
            let reader = store.reader().map_err(|error| error.to_string())?;
            let busy = reader.under_way(&[about], &paths);
            busy.map(|busy| !busy.is_empty())
                .map_err(|error| error.to_string())
        });
        read.await.map_err(|_| "the reader failed".to_owned())?
    }

    /// What a second read needs to know of a key.
    fn noted(&self, write: &PlanWrite, found: &[&DifferenceRow], to: usize) -> Noted {
        let mut rows = <[Vec<Row>; 2]>::default();
        for (side, rows) in rows.iter_mut().enumerate() {
            let known = found.iter().find_map(|row| row.ids[side].clone());
            let known = known.or_else(|| write.id.clone().filter(|_| side == to));
            let several = side == 0 && matches!(self.records.matching, Matching::Money(_));
            let ids: Vec<String> = match known {
                Some(known) if several => known.split(BETWEEN).map(str::to_owned).collect(),
                known => known.into_iter().collect(),
            };
            rows.extend(ids.into_iter().map(|id| Row {
                key: write.key.clone(),
                id: Some(id),
                ..Row::default()
            }));
        }
        Noted {
            rows,
            ..Noted::default()
        }
    }

    /// Judges writes that take others back: what is not as they left it is refused.
    async fn taken_back(
        &self,
        writes: &[&PlanWrite],
        to: usize,
        again: &Again,
    ) -> Result<Vec<Outcome>, String> {
        let (mut right, mut refused) = (Vec::new(), Vec::new());
        let system = &self.records.sides[to].system;
        let undone = match self.approved.plan.undoes {
            Some(id) => load(self.runner, id).await?,
            None => None,
        };
        for write in writes {
            let held = again.records[to].first();
            let value = write.field.as_ref().and_then(|name| held?.fields.get(name));
            let held = value.map(|value| self.runner.key.text(value, write.sensitive));
            if held != write.from {
                refused.push((write.n, format!("{system} holds something else now")));
                continue;
            }
            let before = match &undone {
                Some(undone) => before(self.runner, undone, write).await?,
                None => None,
            };
            match before {
                Some(value) => right.push((*write, value)),
                None => refused.push((
                    write.n,
                    "what was there before is not known any more".to_owned(),
                )),
            }
        }
        let mut outcomes = Vec::new();
        if !right.is_empty() {
            let numbers: Vec<u64> = right.iter().map(|(write, _)| write.n).collect();
            outcomes.push(match self.carrier(to).back(&right, again) {
                Ok(incoming) => Outcome::Send(numbers, Box::new(incoming)),
                Err(why) => {
                    Outcome::Refuse(numbers.into_iter().map(|n| (n, why.clone())).collect())
                }
            });
        }
        if !refused.is_empty() {
            outcomes.push(Outcome::Refuse(refused));
        }
        Ok(outcomes)
    }
}

/// The value that a repair found before it wrote, as canonical text: its event has it.
async fn before(
    runner: &Runner,
    undone: &Approved,
    write: &PlanWrite,
) -> Result<Option<String>, String> {
    let of = |one: &&PlanWrite| {
        (&one.system, &one.kind, &one.key, &one.field)
            == (&write.system, &write.kind, &write.key, &write.field)
    };
    let (Some(event), Some(field)) = (
        undone.writes.iter().find(of).and_then(|one| one.event),
        write.field.clone(),
    ) else {
        return Ok(None);
    };
    let store = runner.store.clone();
    let read = spawn_blocking(move || {
        let reader = store.reader().map_err(|error| error.to_string())?;
        let event = reader.event(event).map_err(|error| error.to_string())?;
        let repair = event.and_then(|event| crate::queue::mapped::repair::Repair::of(&event));
        Ok(repair.and_then(|repair| repair.before.get(&field).cloned().flatten()))
    });
    read.await.map_err(|_| "the reader failed".to_owned())?
}

/// A difference is the one that a write mends.
fn is_of(row: &DifferenceRow, write: &PlanWrite) -> bool {
    use DifferenceKind::{Field, OnlyFirst, OnlySecond, PaidPending};
    match write.verb {
        WriteVerb::Update => matches!(row.kind, Field | PaidPending) && row.field == write.field,
        WriteVerb::Create | WriteVerb::Delete => matches!(row.kind, OnlyFirst | OnlySecond),
    }
}
