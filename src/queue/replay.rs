//! Replay batches: the canary goes alone, the rest follows paced, and a batch stops itself when failures return.
//!
//! `Watch` is the policy: from a batch's report to the next step, clock-injected. The loop reads reports and takes steps; it
//! never sends anything itself (a released delivery is the dispatcher's), and it goes on after a restart where it stood.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ids::BatchId;
use crate::store::view::{BatchRow, BatchState, Severity};
use crate::store::{LogEntry, Reader, Store, StoreError};
use crate::visible::Visible;

/// How often a running batch is looked at.
const BEAT: Duration = Duration::from_millis(100);
/// Of this many that ended last ...
const LAST: usize = 20;
/// ... at most this many may have died.
const MOST_DIED: usize = LAST / 5;
/// While items are released and none ends for so long, their attempts fail: a retry that works comes sooner.
const STALLED: Duration = Duration::from_secs(60);

/// What to do with a batch next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// Release so many more.
    Release(u32),
    /// The canary is well: the rest may follow.
    Run,
    /// Failures have returned: stop, for this reason.
    Abort(String),
    /// All items ended.
    Finish,
    /// It was ended by somebody else.
    Ended,
}

/// What is remembered of a batch while it runs.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Whether each of those that ended last was delivered, oldest first.
    last: VecDeque<bool>,
    /// Delivered and died when last looked at.
    seen: (u64, u64),
    /// Items that ended, and when that number last grew.
    progress: (u64, Instant),
    /// Releases earned by the pace and not yet made.
    credit: f64,
    looked: Instant,
}

impl Watch {
    /// Begins to watch a batch, new or found running at a start.
    pub fn new(row: &BatchRow, now: Instant) -> Self {
        Self {
            last: VecDeque::with_capacity(LAST),
            seen: (row.delivered, row.died),
            progress: (ended(row), now),
            credit: 1.0,
            looked: now,
        }
    }

    /// The next step, from the batch's report now.
    pub fn step(&mut self, row: &BatchRow, now: Instant) -> Step {
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        self.take_in(row, now);
        if matches!(row.state, BatchState::Aborted | BatchState::Done) {
            return Step::Ended;
        }
        if row.pending == 0 && row.released == 0 {
            return Step::Finish;
        }
        if row.released > 0 && now.saturating_duration_since(self.progress.1) >= STALLED {
            return Step::Abort(format!(
                "nothing ended within a minute, {} wait for another attempt",
                row.released
            ));
        }
        if row.state == BatchState::Canary {
            return canary(row);
        }
        let died = self.last.iter().filter(|delivered| !**delivered).count();
        if died > MOST_DIED {
            return Step::Abort(format!("{died} of the last {} died again", self.last.len()));
        }
        let pace = if row.pace.is_finite() {
            row.pace.max(0.01)
        } else {
            1.0
        };
        self.credit = (self.credit + pace * passed.as_secs_f64()).min(pace.max(1.0));
        // Never so many under way that stopping would come too late.
        let most = (pace * 5.0).max(LAST as f64);
        let room = (most - row.released as f64).max(0.0);
        let count = self.credit.min(room).min(row.pending as f64).floor();
        if count < 1.0 {
            return Step::Wait;
        }
        self.credit -= count;
        Step::Release(count as u32)
    }

    fn take_in(&mut self, row: &BatchRow, now: Instant) {
        let (delivered, died) = self.seen;
        let mut push = |count: u64, was: bool| {
            for _ in 0..count.min(LAST as u64) {
                if self.last.len() == LAST {
                    self.last.pop_front();
                }
                self.last.push_back(was);
            }
        };
        // Their order within a beat is not known; deaths count as the later ones, which is the careful way.
        push(row.delivered.saturating_sub(delivered), true);
        push(row.died.saturating_sub(died), false);
        self.seen = (row.delivered, row.died);
        // With nothing under way, nothing can stall.
        if ended(row) != self.progress.0 || row.released == 0 {
            self.progress = (ended(row), now);
        }
    }
}

fn ended(row: &BatchRow) -> u64 {
    row.delivered + row.died + row.skipped
}

/// The first few go alone: all of them must be delivered before any other follows.
fn canary(row: &BatchRow) -> Step {
    match row {
        row if row.died > 0 => Step::Abort(format!(
            "{} of the first {} died again",
            row.died,
            row.died + row.delivered + row.released
        )),
        row if row.released > 0 => Step::Wait,
        row if row.delivered > 0 || row.canary == 0 => Step::Run,
        // Nothing released yet, or all of it had moved on meanwhile: that proves nothing.
        row => Step::Release(row.canary),
    }
}

/// A handle to the batches' loop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReplayHandle {
    batches: mpsc::UnboundedSender<BatchId>,
}

impl ReplayHandle {
    /// A batch was created: begin with its canary.
    pub fn started(&self, batch: BatchId) {
        // After a stop it is found by the next start.
        let _ = self.batches.send(batch);
    }
}

/// Runs batches until `stop`: those found at the start, and those that are announced.
pub fn spawn(store: Store, batches: Vec<BatchRow>, stop: CancellationToken) -> ReplayHandle {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for row in batches {
            tokio::spawn(run(store.clone(), row.id, stop.clone()));
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                batch = inbox.recv() => match batch {
                    Some(batch) => drop(tokio::spawn(run(store.clone(), batch, stop.clone()))),
                    None => return,
                },
            }
        }
    });
    ReplayHandle { batches: sender }
}

/// Runs one batch to its end, or to the stop.
async fn run(store: Store, batch: BatchId, stop: CancellationToken) {
    let mut watch: Option<Watch> = None;
    let mut reader: Option<Reader> = None;
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        let row = match read(&store, reader.take(), batch).await {
            Ok((_, None)) => return,
            Ok((kept, Some(row))) => {
                reader = Some(kept);
                row
            }
            Err(error) => {
                tracing::warn!(
                    batch = batch.0,
                    ?error,
                    "a replay's report could not be read"
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let now = Instant::now();
        let next = watch
            .get_or_insert_with(|| Watch::new(&row, now))
            .step(&row, now);
        let result = match next {
            Step::Wait => continue,
            Step::Release(count) => store.release(batch, count).await,
            Step::Run => store.set_batch(batch, BatchState::Running, None).await,
            Step::Abort(reason) => {
                let reason = Some(reason);
                store.set_batch(batch, BatchState::Aborted, reason).await
            }
            Step::Finish => store.set_batch(batch, BatchState::Done, None).await,
            Step::Ended => {
                if let Err(error) = store.log(report(&row)).await {
                    tracing::warn!(batch = batch.0, error = %Visible::of(&error.to_string()), "a replay's report could not be logged");
                }
                return;
            }
        };
        match result {
            Ok(_) => {}
            Err(StoreError::Closed) => return,
            // Refused by the disk, or ended by an operator in this very moment: the next beat tells.
            Err(error) => {
                tracing::warn!(batch = batch.0, error = %Visible::of(&error.to_string()), "a replay's step was refused");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn read(
    store: &Store,
    reader: Option<Reader>,
    batch: BatchId,
) -> Result<(Reader, Option<BatchRow>), String> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || {
        let reader = match reader {
            Some(reader) => reader,
            None => store.reader().map_err(|error| error.to_string())?,
        };
        let row = reader.batch(batch).map_err(|error| error.to_string())?;
        Ok((reader, row))
    })
    .await
    .map_err(|error| error.to_string())?
}

/// The closing line: delivered / died again / skipped.
fn report(row: &BatchRow) -> LogEntry {
    let what = match (row.state, &row.reason) {
        (BatchState::Aborted, Some(reason)) => format!("replay {} stopped: {reason}", row.id.0),
        (BatchState::Aborted, None) => format!("replay {} stopped", row.id.0),
        _ => format!("replay {} done", row.id.0),
    };
    let mut parts = vec![
        format!("{} delivered", row.delivered),
        format!("{} died again", row.died),
        format!("{} skipped", row.skipped),
    ];
    if row.released > 0 {
        parts.push(format!("{} still under way", row.released));
    }
    if row.pending > 0 {
        parts.push(format!("{} left as they were", row.pending));
    }
    let text = format!("{what}; {}", parts.join(", "));
    LogEntry {
        severity: if row.state == BatchState::Aborted || row.died > 0 {
            Severity::Warning
        } else {
            Severity::Info
        },
        actor: None,
        kind: "replay",
        path: None,
        delivery: None,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn row(state: BatchState) -> BatchRow {
        BatchRow {
            id: BatchId(3),
            created: Timestamp::ZERO,
            actor: "anna".to_owned(),
            scope: "all".to_owned(),
            state,
            reason: None,
            total: 100,
            pending: 100,
            released: 0,
            delivered: 0,
            died: 0,
            skipped: 0,
            canary: 2,
            pace: 10.0,
            ended: None,
        }
    }

    #[test]
    fn the_canary_decides() {
        let fresh = row(BatchState::Canary);
        let (released, delivered) = (
            BatchRow {
                released: 2,
                pending: 98,
                ..fresh.clone()
            },
            BatchRow {
                delivered: 2,
                pending: 98,
                ..fresh.clone()
            },
        );
        for (row, step) in [
            (fresh.clone(), Step::Release(2)),
            (released, Step::Wait),
            (delivered, Step::Run),
            (
                BatchRow {
                    released: 1,
                    delivered: 1,
                    pending: 98,
                    ..fresh.clone()
                },
                Step::Wait,
            ),
            (
                BatchRow {
                    died: 1,
                    delivered: 1,
                    pending: 98,
                    ..fresh.clone()
                },
                Step::Abort("1 of the first 2 died again".to_owned()),
            ),
            (
                BatchRow {
                    skipped: 2,
                    pending: 98,
                    ..fresh.clone()
                },
                Step::Release(2),
            ),
            (
                BatchRow {
                    skipped: 100,
                    pending: 0,
                    ..fresh.clone()
                },
                Step::Finish,
            ),
            (
                BatchRow {
                    canary: 0,
                    ..fresh.clone()
                },
                Step::Run,
            ),
            (row(BatchState::Aborted), Step::Ended),
        ] {
            let now = Instant::now();
            assert_eq!(Watch::new(&row, now).step(&row, now), step, "{row:?}");
        }
    }

    #[test]
    fn the_rest_follows_at_its_pace_and_stops_when_failures_return() {
        let mut row = row(BatchState::Running);
        let mut now = Instant::now();
        let mut watch = Watch::new(&row, now);
        let mut released = 0;
        for _ in 0..50 {
            now += Duration::from_millis(100);
            if let Step::Release(count) = watch.step(&row, now) {
                released += count;
                row.pending -= u64::from(count);
                row.delivered += u64::from(count);
            }
        }
        assert!(
            (49..=52).contains(&released),
            "{released} in five seconds at ten a second"
        );

        row.died += 4;
        assert!(
            !matches!(watch.step(&row, now), Step::Abort(_)),
            "four of twenty are within bounds"
        );
        row.died += 1;
        assert_eq!(
            watch.step(&row, now),
            Step::Abort("5 of the last 20 died again".to_owned())
        );
    }

    #[test]
    fn attempts_that_only_fail_stop_it_too() {
        for state in [BatchState::Canary, BatchState::Running] {
            let row = BatchRow {
                released: 2,
                pending: 98,
                pace: 0.01,
                ..row(state)
            };
            let now = Instant::now();
            let mut watch = Watch::new(&row, now);
            assert!(!matches!(
                watch.step(&row, now + Duration::from_secs(59)),
                Step::Abort(_)
            ));
            assert!(
                matches!(
                    watch.step(&row, now + Duration::from_secs(60)),
                    Step::Abort(_)
                ),
                "{state:?}"
            );
        }
    }

    #[test]
    fn the_report_says_what_became_of_all() {
        let mut row = BatchRow {
            delivered: 40,
            died: 1,
            skipped: 2,
            pending: 0,
            ..row(BatchState::Done)
        };
        assert_eq!(
            report(&row).text,
            "replay 3 done; 40 delivered, 1 died again, 2 skipped"
        );
        row.state = BatchState::Aborted;
        row.reason = Some("1 of the first 2 died again".to_owned());
        row.pending = 57;
        assert_eq!(
            report(&row).text,
            "replay 3 stopped: 1 of the first 2 died again; 40 delivered, 1 died again, 2 skipped, 57 left as they were"
        );
    }

    proptest! {
        /// Whatever the receiver does, a batch of `total` ends, and releases no more than that.
        #[test]
        fn a_batch_always_ends(total in 0_u64..200, canary in 0_u32..5, pace in 0.5_f64..50.0, fates in proptest::collection::vec(0_u8..10, 200)) {
            let mut row = BatchRow { total, pending: total, canary, pace, ..row(BatchState::Canary) };
            let mut now = Instant::now();
            let mut watch = Watch::new(&row, now);
            let mut fates = fates.into_iter();
            for _ in 0..20_000 {
                now += BEAT;
                match watch.step(&row, now) {
                    Step::Wait => {}
                    Step::Release(count) => {
                        prop_assert!(count > 0);
                        let count = u64::from(count).min(row.pending);
                        row.pending -= count;
                        row.released += count;
                    }
                    Step::Run => row.state = BatchState::Running,
                    Step::Abort(_) => row.state = BatchState::Aborted,
                    Step::Finish => row.state = BatchState::Done,
                    Step::Ended => return Ok(()),
                }
                if row.released > 0 {
                    row.released -= 1;
                    match fates.next() {
                        Some(0) => row.died += 1,
                        Some(1) => row.skipped += 1,
                        _ => row.delivered += 1,
                    }
                }
            }
            prop_assert!(false, "still running: {:?}", row);
        }
    }
}
