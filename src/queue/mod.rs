//! The durable queue: pure policy, the dispatch loop that applies it, and replay.

pub mod answers;
pub mod breaker;
pub mod budget;
pub mod classify;
pub mod decide;
pub mod dispatch;
pub mod filter;
pub mod fingerprint;
pub mod mapped;
pub mod model;
pub mod passed_on;
pub mod render;
pub mod replay;
pub mod route;
pub mod schedule;

#[cfg(test)]
pub(crate) mod testing;
