//! `midwatch.toml`: read, checked, and turned into [`model::Config`]. Errors point at file, line and key.

pub mod live;
pub mod model;
