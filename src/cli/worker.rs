//! `midwatch worker`: the service. Headless; systemd or a detaching console starts it.

use std::io::Write as _;

use super::context::Context;
use crate::control::StartError;
use crate::control::process::{self, Signals};
use crate::control::wire::PeerKind;
use crate::control::worker::{Worker, WorkerOptions};
use crate::store::OpenError;
use crate::time::Clock;

/// Works the database without a screen, as a service: SIGTERM drains and stops, SIGHUP reloads.
///
/// Speaks systemd's readiness, reload and watchdog protocol and takes its listening socket, so that a restart refuses
/// nobody. Attach with `midwatch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask the worker that holds the database to stop, and go on in its place.
    #[arg(long)]
    take_over: bool,
    /// Started by a console that detaches: in a session of its own, and the holder stops by itself.
    #[arg(long, hide = true)]
    detached: bool,
}

impl Args {
    /// Must stand in a session of its own, before any thread starts.
    pub fn is_detached(&self) -> bool {
        self.detached
    }
}

/// Works until told to stop.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let started = start(&args, context).await;
    if args.detached
        && let Err(error) = &started
    {
        // The console that waits for us shows this line; our standard error goes nowhere.
        writeln!(
            std::io::stdout(),
            "{}",
            crate::visible::Visible::of(&format!("{error:#}"))
        )?;
    }
    started?;
    Ok(super::OK)
}

async fn start(args: &Args, context: &Context) -> anyhow::Result<()> {
    let config = context.config()?;
    let _logging = crate::logging::start(&config.site.logs)?;
    let mut signals = Signals::listen()?;
    let listener = listenfd::ListenFd::from_env().take_tcp_listener(0)?;
    if args.detached {
        writeln!(std::io::stdout(), "{}", process::DETACHED)?;
        std::io::stdout().flush()?;
    }
    let start = async {
        if args.take_over {
            let who = context.who(PeerKind::Command, false);
            process::take_over(&config, who, listener, !args.detached).await
        } else {
            let options = WorkerOptions {
                clock: Clock::System,
                service: true,
                listener,
            };
            Worker::start(config.clone(), options).await
        }
    };
    let worker = tokio::select! {
        started = start => match started {
            Ok(worker) => worker,
            Err(error @ StartError::Open(OpenError::Locked { .. })) => {
                tracing::error!(%error, "not started");
                anyhow::bail!("{error}: attach to it with `midwatch`, or replace it with `midwatch worker --take-over`");
            }
            Err(error) => {
                tracing::error!(%error, "not started");
                return Err(error.into());
            }
        },
        () = signals.end() => return Ok(()),
    };
    if !args.detached {
        writeln!(
            std::io::stdout(),
            "midwatch {} works {}, listening on {}; logs in {}",
            env!("CARGO_PKG_VERSION"),
            shown(&config.site.database),
            worker.addr(),
            shown(&config.site.logs)
        )?;
    }
    process::work_on(&worker, &mut signals, true).await;
    Ok(())
}

fn shown(path: &std::path::Path) -> crate::visible::Visible {
    crate::visible::Visible::of(&path.to_string_lossy())
}
