//! Stores what the brakes decided, in order, beside the dispatcher, which never waits for it: a breaker moves in memory at
//! once and on screen a commit later. While the disk refuses, it tries again each second.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::ids::{DeliveryId, PathId};
use crate::queue::breaker::{Change, Notice};
use crate::store::view::{Breaker, Pause, ShapeRow};
use crate::store::{LogEntry, Note, Store, StoreError};
use crate::time::Timestamp;
use crate::visible::Visible;

/// Something to store or to read.
#[derive(Debug)]
pub(super) enum Errand {
    /// A breaker or a pause changed.
    Keep(PathId, Notice),
    /// The clock was set back; see `Store::hasten`.
    Hasten(PathId, Timestamp, Duration),
    /// What these waited for is there: they are due now.
    Due(Vec<DeliveryId>),
    /// Something new was seen in an answer.
    Note(Note),
    /// What is remembered of the answers to a step of a path.
    Shape(PathId, String, Vec<ShapeRow>),
    /// Read a path's pause, breaker and mode as stored; the number comes back with them.
    Read(PathId, u64),
}

/// What a path's row says.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) path: PathId,
    /// The number given with the errand.
    pub(super) version: u64,
    pub(super) pause: Option<Pause>,
    pub(super) breaker: Breaker,
    /// It is in shadow mode, and did not go live.
    pub(super) shadow: bool,
}

/// Runs errands in order until the dispatcher is gone.
pub(super) async fn run(
    store: Store,
    mut errands: UnboundedReceiver<Errand>,
    stored: UnboundedSender<Stored>,
) {
    while let Some(errand) = errands.recv().await {
        let mut told = false;
        loop {
            let result = match &errand {
                Errand::Keep(path, notice) => keep(&store, *path, notice).await,
                Errand::Hasten(path, beyond, by) => {
                    store.hasten(*path, *beyond, *by).await.map(drop)
                }
                Errand::Due(ids) => store.due_now(ids.clone()).await,
                Errand::Note(note) => store.note(note.clone()).await,
                Errand::Shape(path, step, rows) => {
                    store.keep_shape(*path, step.clone(), rows.clone()).await
                }
                Errand::Read(path, version) => {
                    if let Some(row) = read(&store, *path, *version).await {
                        // A dispatcher that is gone needs no answer.
                        let _ = stored.send(row);
                    }
                    Ok(())
                }
            };
            match result {
                Ok(()) | Err(StoreError::Closed | StoreError::Invalid(_)) => break,
                Err(error) if !told => {
                    tracing::warn!(error = %Visible::of(&error.to_string()), "a path's state could not be stored; tried again each second");
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn keep(store: &Store, path: PathId, notice: &Notice) -> Result<(), StoreError> {
    let entry = |kind| LogEntry {
        severity: notice.severity,
        actor: None,
        kind,
        path: Some(path),
        delivery: None,
        text: notice.text.clone(),
    };
    match &notice.change {
        Change::Breaker(breaker) => {
            store
                .set_breaker(
                    path,
                    breaker.clone(),
                    (!notice.quiet).then(|| entry("breaker")),
                )
                .await
        }
        Change::Pause(pause) => store.set_pause(path, pause.clone(), entry("pause")).await,
    }
}

async fn read(store: &Store, path: PathId, version: u64) -> Option<Stored> {
    let store = store.clone();
    let read = tokio::task::spawn_blocking(move || {
        let reader = store.reader().map_err(|error| error.to_string())?;
        reader.overview().map_err(|error| error.to_string())
    });
    match read.await {
        Ok(Ok(overview)) => {
            let row = overview.paths.into_iter().find(|row| row.id == path)?;
            Some(Stored {
                path,
                version,
                pause: row.pause,
                breaker: row.breaker,
                shadow: row.shadow,
            })
        }
        Ok(Err(error)) => {
            tracing::warn!(?error, "a path's state could not be read");
            None
        }
        Err(error) => {
            tracing::warn!(error = %Visible::of(&error.to_string()), "a path's state could not be read");
            None
        }
    }
}
