//! The log: JSON lines in a rolling file, never on the terminal that the console paints.
//!
//! Must never write a payload, a secret or a raw byte from outside: fields are logged with `?value`, and a panic is
//! logged by its place only, because its message may quote what was being handled. Called once, by the command line.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Days of log files that are kept.
const KEPT_FILES: usize = 14;

/// Which levels are written, as `target=level,...`; `info` where unset.
const LEVELS_VARIABLE: &str = "MIDWATCH_LOG";

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot write logs in {folder}: {why}. Make the folder writable, or set site.logs")]
pub struct LogError {
    folder: PathBuf,
    why: String,
}

/// Flushes the log when dropped; keep it until the process ends.
#[derive(Debug)]
#[must_use = "dropping it stops the log"]
pub struct Logging {
    _flush: WorkerGuard,
}

/// Starts logging into `folder` (created 0700; the files are private through the process's umask) and logs panics.
///
/// Lines are queued without bound to their writer: logging never blocks a delivery, and never drops an attempt's line
/// while the disk keeps up (the queue holds 128,000 lines).
pub fn start(folder: &Path) -> Result<Logging, LogError> {
    let failed = |why: String| LogError {
        folder: folder.to_owned(),
        why,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed(error.to_string()))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("midwatch")
        .filename_suffix("log")
        .max_log_files(KEPT_FILES)
        .build(folder)
        .map_err(|error| failed(error.to_string()))?;
    let (writer, flush) = tracing_appender::non_blocking(file);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(writer);
    tracing_subscriber::registry()
        .with(levels(std::env::var(LEVELS_VARIABLE).ok().as_deref()))
        .with(lines)
        .try_init()
        .map_err(|error| failed(error.to_string()))?;
    log_panics();
    Ok(Logging { _flush: flush })
}

/// What is written: `info`, less what the libraries below say of their own work.
fn levels(wish: Option<&str>) -> Targets {
    wish.and_then(|wish| wish.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO))
}

/// Replaces the panic hook by one that tells where, in the log and on the standard error, and never what.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(kind = "panic", place, thread, "internal error");
        // The terminal may be gone: eprintln! would panic inside the panic.
        let _ = writeln!(
            std::io::stderr(),
            "midwatch: internal error at {place}; please report it with the last lines of the log"
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_wish_and_nonsense_falls_back_to_info() {
        assert_eq!(
            levels(Some("midwatch=debug")).to_string(),
            "midwatch=debug".to_owned()
        );
        for wish in [None, Some("=====")] {
            assert_eq!(levels(wish).to_string(), "info");
        }
    }
}
