//! One execution of a comparison: both sides are listed at once, then compared. It never writes; `schedule` stores what it
//! says.
//!
//! Whatever goes wrong with a listing makes the run incomplete, with words: what did not come to its end says nothing about
//! what is missing.

use std::time::Duration;

use tokio::time::timeout;

use super::compare::{Outcome, Rules, compare, in_grace};
use super::drift::{self, Measure, Side};
use super::row::Row;
use super::wanted::Wanted;
use crate::config::model::Records;
use crate::event::expr::Engine;
use crate::record::read;
use crate::remote::Remote;
use crate::store::HashKey;
use crate::store::view::Severity;
use crate::time::{Timestamp, short};

/// How long a run may take, with the wait for the systems' budgets.
const WHOLE: Duration = Duration::from_secs(120);

/// What a run found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Report {
    /// Records on each side.
    pub(super) counts: [u64; 2],
    /// What differs.
    pub(super) outcome: Outcome,
    /// How far it drifted.
    pub(super) measure: Measure,
    /// Where that stands; none if nothing could be compared.
    pub(super) level: Option<Severity>,
    /// Both listings were whole, and every record had a key.
    pub(super) complete: bool,
    /// What went wrong, or why nothing was called missing. May hold text from outside.
    pub(super) error: Option<String>,
}

impl Report {
    /// A run that ended before anything was compared.
    pub(super) fn failed(error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::default()
        }
    }
}

/// What a run reads with.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) remote: Remote,
    pub(super) engine: Engine,
    pub(super) key: HashKey,
}

/// Reads and compares. `now` is when the run began.
pub(super) async fn run(job: &Records, reader: &Reader, now: Timestamp) -> Report {
    let both = async { tokio::join!(reader.list(job, 0, now), reader.list(job, 1, now)) };
    let Ok((first, second)) = timeout(WHOLE, both).await else {
        return Report::failed(format!(
            "not done within {}: a system's rate budget may be used up",
            short(WHOLE)
        ));
    };
    let job = job.clone();
    tokio::task::spawn_blocking(move || judge(&job, [first, second], now))
        .await
        .unwrap_or_else(|_| Report::failed("the comparison failed"))
}

/// What one side's listing brought.
#[derive(Debug, Default)]
struct Listed {
    rows: Vec<Row>,
    without_key: u64,
    /// Why it did not come to its end.
    broken: Option<String>,
}

impl Listed {
    fn len(&self) -> u64 {
        self.rows.len() as u64 + self.without_key
    }
}

/// What a side is called: its system, and which of the two where both are of one system.
fn called(job: &Records, index: usize) -> String {
    let [first, second] = &job.sides;
    let system = &job.sides[index].system;
    if first.system != second.system {
        system.clone()
    } else if index == 0 {
        format!("{system} (first)")
    } else {
        format!("{system} (second)")
    }
}

impl Reader {
    /// Lists one side, as far as it goes.
    async fn list(&self, job: &Records, index: usize, now: Timestamp) -> Listed {
        let mut listed = Listed::default();
        listed.broken = self.pages(job, index, now, &mut listed).await.err();
        listed
    }

    async fn pages(
        &self,
        job: &Records,
        index: usize,
        now: Timestamp,
        listed: &mut Listed,
    ) -> Result<(), String> {
        let map = &job.sides[index].map;
        let wanted = Wanted::of(job, index);
        let since = job.window.map(|window| now - window);
        let mut pages =
            (self.remote.pages_of(map, since, None)).map_err(|error| error.to_string())?;
        while let Some(page) = pages.next().await.map_err(|error| error.to_string())? {
            for node in &page.records {
                let record =
                    read::one(map, node, &self.engine).map_err(|error| error.to_string())?;
                let row = Row::of(&record, &wanted, &self.key);
                if row.key.trim().is_empty() {
                    listed.without_key += 1;
                } else {
                    listed.rows.push(row);
                }
            }
        }
        Ok(())
    }
}

/// Compares two listings. Pure.
fn judge(job: &Records, mut listed: [Listed; 2], now: Timestamp) -> Report {
    let names = [called(job, 0), called(job, 1)];
    let side = |index: usize| {
        let listed = &listed[index];
        Side {
            name: &names[index],
            records: listed.len(),
            settled: (listed.rows.iter())
                .filter(|row| !in_grace(row, job.grace, now))
                .count() as u64
                + listed.without_key,
            without_key: listed.without_key,
            broken: listed.broken.as_deref(),
        }
    };
    let incomplete = drift::incomplete(side(0), side(1));
    let counts = [listed[0].len(), listed[1].len()];
    if let Some(incomplete) = &incomplete
        && !incomplete.comparable
    {
        return Report {
            counts,
            ..Report::failed(&incomplete.words)
        };
    }
    let rules = Rules {
        fields: &job.fields,
        grace: job.grace,
        now,
        whole: incomplete
            .as_ref()
            .is_none_or(|incomplete| incomplete.whole),
    };
    let [first, second] = &mut listed;
    let outcome = compare(&mut first.rows, &mut second.rows, &rules);
    let one_sided = outcome.only_first + outcome.only_second;
    let measure = Measure {
        different: outcome.differences_counted(),
        share: drift::share(outcome.compared, one_sided, outcome.differing),
        ..Measure::default()
    };
    Report {
        counts,
        level: measure
            .share
            .map(|_| drift::level(&measure, &job.thresholds)),
        measure,
        complete: incomplete.is_none(),
        error: incomplete.map(|incomplete| incomplete.words),
        outcome,
    }
}
