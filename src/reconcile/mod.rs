//! Scheduled comparison of two systems: drift is found by the machine first.
//!
//! | step | by |
//! |---|---|
//! | when | `schedule`, `trouble` |
//! | list both sides | `listing`, `files`, `codec`, `row`, `wanted` |
//! | compare what is of any size | `compare`, `spill`; a pure judge says what records of one key mean: by field, or `money` |
//! | look again, who changed it | `sift`, `second`, `noted`, `threeway` |
//! | learn what agrees, end what is needless | `agree`, `prove` |
//! | how bad it is | `drift`, `backlog` |
//! | what would mend it | `plan`, `rails`, `rules` |
//! | approved plans | `apply`, `carrier` |
//!
//! Nothing here ever writes to an outside system: repairs are events, by the queue.

mod agree;
mod apply;
pub mod backlog;
mod carrier;
pub mod codec;
pub mod compare;
pub mod drift;
pub mod files;
mod listing;
pub mod money;
mod noted;
pub mod plan;
mod prove;
pub mod rails;
pub mod row;
pub mod rules;
mod run;
mod schedule;
mod second;
mod sift;
mod spill;
pub mod threeway;
mod trouble;
pub mod wanted;

pub use schedule::{ReconcileHandle, spawn};
