//! OAuth 2 (RFC 6749): tokens that a system hands out, kept where a restart finds them, renewed before they expire.
//!
//! What must never happen: a token in a log, an error or a `Debug`; a token used before it is safely on disk; the
//! refresh token that worked last thrown away before its successor has worked; two renewals of one system at a time.
//! `Outbound` asks for the header of each request; `midwatch login` puts the first tokens in; status and doctor ask how
//! they stand.
//!
//! `token` and `endpoint` are pure; `file` keeps; `renew` is the loop that talks to the token endpoint; `code` is what a
//! browser has to bring back.

pub mod code;
mod endpoint;
mod file;
pub mod health;
mod renew;
mod token;

pub(super) use renew::{Tokens, header, worked};
pub use renew::{obtain, redeem};

#[cfg(test)]
mod tests;
