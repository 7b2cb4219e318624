//! Scheduled comparison of two systems: drift is found by the machine first.
//!
//! `parse`, `value`, `compare` and `drift` are pure policy.

pub mod compare;
pub mod drift;
pub mod parse;
pub mod value;
