//! The durable queue: pure policy, the dispatch loop that applies it, and replay.

pub mod filter;
pub mod model;
pub mod route;
