//! Operators' actions: previewed, confirmed, audited; the same for console, CLI and socket.

pub mod action;
pub mod presence;
pub mod wire;
