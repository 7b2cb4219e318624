//! Scheduled comparison of two systems: drift is found by the machine first.
//!
//! `row`, `wanted`, `compare` and `drift` are pure policy; `run` reads both systems by their record maps; `schedule` is the
//! loop that the worker starts. Nothing here ever writes to an outside system: repairs are events, by the queue.

pub mod compare;
pub mod drift;
pub mod row;
mod run;
mod schedule;
pub mod wanted;

pub use schedule::{ReconcileHandle, spawn};
