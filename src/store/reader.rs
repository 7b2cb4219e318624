//! Read-only access: bounded reads on a connection of its own. Blocking: call it off the UI task.

use std::path::Path;

use crate::control::action::Preview;
use crate::ids::{BatchId, DeliveryId, RunId};
use crate::queue::filter::Filter;

use super::api::OpenError;
use super::view::{
    BatchRow, DeadGroup, DeliveryDetail, DeliveryRow, DifferenceRow, LogRow, Overview, RunRow,
    Slot, StrayRow,
};

/// Where a page starts: newest first, ids strictly below (older) or above (newer) it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// The newest page.
    Newest,
    /// The oldest page.
    Oldest,
    /// The page after (older than) this one.
    Older(DeliveryId),
    /// The page before (newer than) this one.
    Newer(DeliveryId),
}

/// A read failed; says why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot read the database: {0}")]
pub struct ReadError(pub String);

/// One read-only connection.
#[derive(Debug)]
pub struct Reader;

#[allow(unused_variables, missing_docs)]
impl Reader {
    /// Opens an existing database for reading (an attached console, or a CLI command).
    pub fn open(file: &Path) -> Result<Self, OpenError> {
        todo!()
    }

    pub fn overview(&self) -> Result<Overview, ReadError> {
        todo!()
    }

    /// One page of deliveries, newest first, whatever the cursor. Scans a bounded number of rows:
    /// the second value says where to go on if the page is not full yet.
    pub fn deliveries(
        &self,
        filter: &Filter,
        cursor: Cursor,
        limit: usize,
    ) -> Result<(Vec<DeliveryRow>, Option<Cursor>), ReadError> {
        todo!()
    }

    pub fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, ReadError> {
        todo!()
    }

    /// Dead letters grouped by path and fingerprint, worst (most, then newest) first.
    pub fn dead_groups(&self) -> Result<Vec<DeadGroup>, ReadError> {
        todo!()
    }

    /// Log lines below `before` (none: newest), newest first.
    pub fn log(&self, before: Option<i64>, limit: usize) -> Result<Vec<LogRow>, ReadError> {
        todo!()
    }

    /// Log lines above `after`, oldest first (for `tail`).
    pub fn log_after(&self, after: i64, limit: usize) -> Result<Vec<LogRow>, ReadError> {
        todo!()
    }

    pub fn runs(&self, job: Option<&str>, limit: usize) -> Result<Vec<RunRow>, ReadError> {
        todo!()
    }

    pub fn differences(&self, run: RunId, limit: usize) -> Result<Vec<DifferenceRow>, ReadError> {
        todo!()
    }

    pub fn batch(&self, id: BatchId) -> Result<Option<BatchRow>, ReadError> {
        todo!()
    }

    pub fn batches(&self, limit: usize) -> Result<Vec<BatchRow>, ReadError> {
        todo!()
    }

    /// Unrouted and held events, newest first.
    pub fn strays(&self, limit: usize) -> Result<Vec<StrayRow>, ReadError> {
        todo!()
    }

    /// What a replay (`for_replay`) or a cancellation of `filter` would touch now.
    pub fn preview(&self, filter: &Filter, for_replay: bool) -> Result<Preview, ReadError> {
        todo!()
    }

    /// Hours of a path, oldest first, for the history.
    pub fn hours(&self, path: &str, count: usize) -> Result<Vec<Slot>, ReadError> {
        todo!()
    }

    /// The configuration text of a hash, if it is kept.
    pub fn config_text(&self, hash: i64) -> Result<Option<String>, ReadError> {
        todo!()
    }
}
