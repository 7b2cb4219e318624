//! The outbound client: every request that midwatch makes goes through here, and nothing else opens a connection.

mod auth;
mod body;
pub mod guard;
pub mod join;
mod outbound;
mod redact;
pub mod reply;

pub use outbound::{Outbound, READ_CAP, Target};
pub use reply::{Fault, Reply, SendError, Stage};

#[cfg(test)]
mod tests;
