//! One execution of a job: both listings are read at once, then compared. It never writes; `schedule` stores what it says.
//!
//! Whatever goes wrong ends the run with words and without drift: an answer that is not a whole listing says nothing
//! about what is missing.

use std::time::Duration;

use tokio::time::timeout;

use super::compare::{Outcome, Rules, compare, in_grace};
use super::drift::{self, Side};
use super::parse::{Listing, Shape, listing};
use crate::config::model::Job;
use crate::http::link;
use crate::http::{Outbound, Reply};
use crate::time::{Timestamp, short};

/// How long one listing may take, from the request to its last byte.
const LISTING: Duration = Duration::from_secs(30);
/// How long a run may take, with the wait for the systems' budgets.
const WHOLE: Duration = Duration::from_secs(120);
/// The largest listing, in bytes.
const MAX_BYTES: usize = 32 << 20;

/// What a run found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Report {
    /// Records on each side.
    pub(super) counts: [u64; 2],
    /// What differs.
    pub(super) outcome: Outcome,
    /// Differing over compared, 0 to 1.
    pub(super) drift: Option<f64>,
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

/// Reads and compares. `now` is when the run began.
pub(super) async fn run(job: &Job, outbound: &Outbound, now: Timestamp) -> Report {
    let both = async { tokio::try_join!(fetch(job, 0, outbound), fetch(job, 1, outbound)) };
    let (first, second) = match timeout(WHOLE, both).await {
        Ok(Ok(replies)) => replies,
        Ok(Err(error)) => return Report::failed(error),
        Err(_) => {
            return Report::failed(format!(
                "not done within {}: a system's rate budget may be used up",
                short(WHOLE)
            ));
        }
    };
    let job = job.clone();
    tokio::task::spawn_blocking(move || judge(&job, [&first, &second], now))
        .await
        .unwrap_or_else(|_| Report::failed("the comparison failed"))
}

/// What a side is called: its system, and which of the two where both are of one system.
fn called(job: &Job, index: usize) -> String {
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

/// One side's answer, if it can be a listing at all.
async fn fetch(job: &Job, index: usize, outbound: &Outbound) -> Result<Reply, String> {
    let side = &job.sides[index];
    let name = called(job, index);
    let reply = outbound
        .get(&side.system, &side.list, LISTING, MAX_BYTES)
        .await
        .map_err(|error| format!("{name}: {error}"))?;
    if reply.status != 200 {
        return Err(format!("{name} answered {} to {}", reply.status, side.list));
    }
    if reply.truncated {
        return Err(match reply.body.len() {
            MAX_BYTES.. => format!("the listing of {name} is larger than 32 MiB"),
            _ => format!(
                "the listing of {name} was cut, or took longer than {}",
                short(LISTING)
            ),
        });
    }
    Ok(reply)
}

/// Parses and compares two answers. Pure.
fn judge(job: &Job, replies: [&Reply; 2], now: Timestamp) -> Report {
    let read = |index: usize| -> Result<Listing, String> {
        let side = &job.sides[index];
        let fields = job.fields.iter().map(|field| field.at[index].as_str());
        let shape = Shape::new(&side.items, &side.key, side.updated.as_deref(), fields);
        listing(&replies[index].body, &shape)
            .map_err(|error| format!("{}: {error}", called(job, index)))
    };
    let (mut first, mut second) = match (read(0), read(1)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(error), _) | (_, Err(error)) => return Report::failed(error),
    };
    let names = [called(job, 0), called(job, 1)];
    let side = |index: usize, listing: &Listing| Side {
        name: &names[index],
        key: &job.sides[index].key,
        records: listing.len(),
        settled: (listing.records.iter())
            .filter(|record| !in_grace(record, job.grace, now))
            .count() as u64
            + listing.without_key,
        without_key: listing.without_key,
        more: link::next(&replies[index].headers).is_some(),
    };
    let incomplete = drift::incomplete(side(0, &first), side(1, &second));
    let counts = [first.len(), second.len()];
    if let Some(incomplete) = &incomplete
        && !incomplete.comparable
    {
        return Report {
            counts,
            ..Report::failed(&incomplete.words)
        };
    }
    let rules = Rules {
        fields: job
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field.compare))
            .collect(),
        grace: job.grace,
        now,
        whole: incomplete
            .as_ref()
            .is_none_or(|incomplete| incomplete.whole),
    };
    let outcome = compare(&mut first.records, &mut second.records, &rules);
    let one_sided = outcome.only_first + outcome.only_second;
    Report {
        counts,
        drift: drift::drift(outcome.compared, one_sided, outcome.differing),
        complete: incomplete.is_none(),
        error: incomplete.map(|incomplete| incomplete.words),
        outcome,
    }
}
