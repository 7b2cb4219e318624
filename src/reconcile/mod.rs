//! Scheduled comparison of two systems: drift is found by the machine first.
//!
//! `parse`, `value`, `compare` and `drift` are pure policy; `run` reads both systems through the outbound client;
//! `schedule` is the loop that the worker starts. Nothing here ever writes to an outside system.

pub mod compare;
pub mod drift;
pub mod parse;
mod run;
mod schedule;
pub mod value;

pub use schedule::{ReconcileHandle, spawn};
