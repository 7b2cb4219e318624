//! Operators' actions: previewed, confirmed, audited; the same for console, CLI and socket. And the process around the
//! worker: start, attach, reload, drain.

pub mod action;
mod actions;
mod client;
mod escalate;
pub mod explain;
mod hidden;
mod offline;
pub mod presence;
pub mod probe;
pub mod process;
mod reload;
mod share;
mod socket;
mod start;
mod systemd;
pub mod trial;
mod who;
pub mod wire;
pub mod worker;

#[cfg(test)]
mod held_tests;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod tests;

pub use actions::{Actions, Place, adoption_progress, places};
pub use client::{Client, Link, pinned, submission_id};
pub use escalate::EVENT_TYPE as ESCALATION;
pub use hidden::Hidden;
pub use offline::Offline;
pub use socket::path_of as socket_of;
pub use start::StartError;
pub use who::Who;
