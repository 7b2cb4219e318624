//! The outbound client: every request that midwatch makes goes through here, and nothing else opens a connection.

pub mod reply;
