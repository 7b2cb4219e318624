//! What the numbers mean: the state of a path, what is wrong now, and one sentence for the night.
//!
//! Pure functions of a snapshot, the configuration and a given time; they read no clock. Called by the console's
//! Overview and by `midwatch status`. They never say `ok` without traffic that proves it.

mod owner;
mod path;
mod progress;
mod rate;
mod rule;
mod summary;
mod words;
mod worker;
mod wrong;

#[cfg(test)]
mod tests;

pub use owner::is_down;
pub use path::{BEHIND, PathState, late_at, path_state};
pub use progress::progress;
pub use rate::{TOO_MUCH, fails, lingers};
pub use rule::Rule;
pub use summary::summary;
pub use words::{grouped, letters, when};
pub use worker::{SILENCE, WorkerState, worker_state};
pub use wrong::{About, SILENT, Trouble, sender_trouble, wrong_at, wrong_now};
