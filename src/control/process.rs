//! The process around a worker without a screen: signals, systemd, detaching and taking over.
//!
//! A terminal that goes away must not stop a delivery; a SIGTERM must not cost an attempt. Called by the command line.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::action::{Action, Submission};
use super::client::{Client, submission_id};
use super::start::StartError;
use super::systemd::Notifier;
use super::who::Who;
use super::worker::{Worker, WorkerOptions};
use crate::config::model::Config;
use crate::store::OpenError;
use crate::time::Clock;

/// A worker that takes over waits this long for the lock.
const TAKE_OVER_LIMIT: Duration = Duration::from_mins(2);

/// Between two tries for the lock.
const TAKE_OVER_EVERY: Duration = Duration::from_millis(50);

/// A detached worker must have said by then that it has begun.
const DETACH_LIMIT: Duration = Duration::from_secs(10);

/// What a detached worker writes once it stands on its own.
pub const DETACHED: &str = "detached";

/// The signals that end or reload; SIGHUP no longer ends the process once this exists.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is asked to end (SIGTERM, SIGINT).
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Returns on SIGTERM alone: a console reads Ctrl-C as a key.
    pub async fn terminate(&mut self) {
        self.terminate.recv().await;
    }
}

/// Works until told to stop, then drains. A service reloads on SIGHUP; a worker whose console went away ignores it.
pub async fn work_on(worker: &Worker, signals: &mut Signals, service: bool) {
    let notifier = if service {
        Notifier::from_environment()
    } else {
        Notifier::silent()
    };
    notifier.tell("READY=1");
    let watchdog = notifier.watchdog();
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            () = worker.drain_asked() => break,
            _ = signals.hangup.recv() => {
                if service {
                    notifier.tell("RELOADING=1");
                    // Its outcome is logged; the signal has nobody to answer to.
                    let _ = worker.reload().await;
                    notifier.tell("READY=1");
                }
            }
            () = tokio::time::sleep(watchdog.unwrap_or(Duration::MAX)), if watchdog.is_some() => {
                notifier.tell("WATCHDOG=1");
            }
        }
    }
    notifier.tell("STOPPING=1");
    worker.drain().await;
}

/// Starts a worker as soon as the lock is free: asks the holder to stop (unless it does so by itself) and waits.
pub async fn take_over(
    config: &Config,
    who: Who,
    listener: Option<std::net::TcpListener>,
    ask: bool,
) -> Result<Worker, StartError> {
    let until = Instant::now() + TAKE_OVER_LIMIT;
    let mut asked = !ask;
    loop {
        let options = WorkerOptions {
            clock: Clock::System,
            service: true,
            listener: listener
                .as_ref()
                .map(std::net::TcpListener::try_clone)
                .transpose()
                .map_err(|error| StartError::Place(format!("the listener is unusable: {error}")))?,
        };
        match Worker::start(config.clone(), options).await {
            Err(StartError::Open(OpenError::Locked { .. })) if Instant::now() < until => {}
            other => return other,
        }
        if !asked {
            asked = true;
            ask_to_stop(&config.site.database, who.clone()).await;
        }
        tokio::time::sleep(TAKE_OVER_EVERY).await;
    }
}

/// Asks the worker of `database` to drain. A holder that has no socket (a backup, say) ends by itself.
async fn ask_to_stop(database: &Path, who: Who) {
    let Ok(Some(client)) = Client::reach(database, who).await else {
        return;
    };
    let Ok(id) = submission_id() else { return };
    let submission = Submission {
        id,
        action: Action::Drain,
        high_water: None,
        expected: None,
    };
    if let Err(refused) = client.submit(submission).await {
        tracing::warn!(why = %crate::visible::Visible::of(&refused.text), "the worker was not asked to stop");
    }
}

/// Starts `midwatch worker --take-over` in a session of its own and waits until it stands; it then waits for the lock.
/// Returns its process id.
pub async fn detach(config: &Path, name: &str) -> io::Result<u32> {
    let mut child = tokio::process::Command::new(own_binary()?)
        .arg("worker")
        .args(["--take-over", "--detached", "--config"])
        .arg(config)
        .args(["--as", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pid = child.id().unwrap_or_default();
    let Some(out) = child.stdout.take() else {
        return Err(io::Error::other("it has no output"));
    };
    let mut line = String::new();
    let mut out = BufReader::new(out);
    let said = tokio::time::timeout(DETACH_LIMIT, out.read_line(&mut line)).await;
    match said {
        Ok(Ok(_)) if line.trim_end() == DETACHED => Ok(pid),
        Ok(Ok(_)) => Err(io::Error::other(format!(
            "the worker did not start: {}",
            crate::visible::line(line.trim_end(), 300)
        ))),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the worker did not start in time")),
    }
}

/// Makes this process the leader of a session without a terminal. Call it before anything else is started.
pub fn own_session() -> io::Result<()> {
    rustix::process::setsid().map(|_| ()).map_err(Into::into)
}

/// The running binary, even if its file was replaced by an upgrade meanwhile.
fn own_binary() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let replaced = path
        .to_str()
        .and_then(|path| path.strip_suffix(" (deleted)"))
        .map(PathBuf::from);
    Ok(replaced.unwrap_or(path))
}
