//! The outbound client: every request that midwatch makes goes through here, and nothing else opens a connection.

pub mod address;
mod auth;
mod body;
mod certificate;
mod exchange;
pub mod guard;
pub mod join;
pub(crate) mod limits;
pub mod link;
pub mod mail;
pub mod oauth;
mod outbound;
pub mod percent;
mod redact;
pub mod reply;
mod sign;

pub use outbound::{Outbound, READ_CAP, Reached, Target};
pub use reply::{Fault, Reply, SendError, Stage};

#[cfg(test)]
mod tests;
