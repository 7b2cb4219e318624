//! One execution of a comparison: both sides are listed at once, then compared. It never writes; `schedule` stores what it
//! says.
//!
//! Whatever goes wrong with a listing makes the run incomplete, with words: what did not come to its end says nothing about
//! what is missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::compare::{FieldJudge, Outcome, Rules, compare};
use super::drift::{self, Measure, Side};
use super::row::{Row, Rows};
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
    /// Where a comparison sets aside what it cannot hold.
    pub(super) scratch: PathBuf,
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
    let (job, scratch) = (job.clone(), reader.scratch.clone());
    // Ends the comparison, too, when the run is dropped.
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::task::spawn_blocking(move || judge(&job, [first, second], now, &scratch, &stop))
        .await
        .unwrap_or_else(|_| Report::failed("the comparison failed"))
}

/// What one side's listing brought.
#[derive(Debug, Default)]
struct Listed {
    rows: std::vec::IntoIter<Row>,
    /// Why it did not come to its end.
    broken: Option<String>,
}

impl Rows for Listed {
    fn next(&mut self, row: &mut Row) -> Result<bool, String> {
        match (Rows::next(&mut self.rows, row)?, self.broken.take()) {
            (false, Some(broken)) => Err(broken),
            (more, broken) => {
                self.broken = broken;
                Ok(more)
            }
        }
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
        let mut rows = Vec::new();
        let broken = self.pages(job, index, now, &mut rows).await.err();
        Listed {
            rows: rows.into_iter(),
            broken,
        }
    }

    async fn pages(
        &self,
        job: &Records,
        index: usize,
        now: Timestamp,
        rows: &mut Vec<Row>,
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
                rows.push(Row::of(&record, &wanted, &self.key));
            }
        }
        Ok(())
    }
}

/// Compares two listings.
fn judge(
    job: &Records,
    [first, second]: [Listed; 2],
    now: Timestamp,
    scratch: &Path,
    stop: &CancellationToken,
) -> Report {
    let rules = Rules {
        judge: &FieldJudge {
            fields: &job.fields,
        },
        grace: job.grace,
        now,
        equal: &|_, _| {},
        stop,
    };
    let compared = compare(Box::new(first), Box::new(second), &rules, scratch);
    let outcome = match compared {
        Ok(outcome) => outcome,
        Err(error) => return Report::failed(error.to_string()),
    };
    let names = [called(job, 0), called(job, 1)];
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
    let incomplete = drift::incomplete(side(0), side(1));
    let counts = [0, 1].map(|index: usize| outcome.sides[index].records);
    if let Some(incomplete) = &incomplete
        && !incomplete.comparable
    {
        return Report {
            counts,
            ..Report::failed(&incomplete.words)
        };
    }
    let one_sided = outcome.only_first + outcome.only_second;
    let measure = Measure {
        different: outcome.differences_counted(),
        share: drift::share(outcome.compared, one_sided, outcome.differing),
        money: outcome.money.clone(),
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
