//! The console: the screens that an operator sees. The only place that knows ratatui; nothing below knows of it.

pub mod json_view;
pub mod markdown;
pub mod spark;
