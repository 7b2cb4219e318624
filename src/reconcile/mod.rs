//! Scheduled comparison of two systems: drift is found by the machine first.
//!
//! `row`, `wanted` and `drift` are pure policy; `compare` joins two lists of any size by way of scratch files (`spill`, `codec`)
//! and leaves what records of one key mean to each other to a pure judge; `run` reads both systems by their record maps; `schedule` is the
//! loop that the worker starts. Nothing here ever writes to an outside system: repairs are events, by the queue.

pub mod backlog;
pub mod codec;
pub mod compare;
pub mod drift;
pub mod row;
mod run;
mod schedule;
mod spill;
pub mod wanted;

pub use schedule::{ReconcileHandle, spawn};
