//! `midwatch`: the console, with the worker inside if nobody else works the database.
//!
//! What becomes of a worker inside is decided here: it drains when the operator quits, is handed over when they detach,
//! and goes on without a screen when the terminal goes away.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use super::context::Context;
use super::out;
use crate::config::model::Config;
use crate::console::theme::Palette;
use crate::console::{self, ConsoleOptions, Exit};
use crate::control::process::{self, Signals};
use crate::control::wire::PeerKind;
use crate::control::worker::{Worker, WorkerOptions};
use crate::control::{Client, StartError, Who, socket_of};
use crate::store::{OpenError, Reader};
use crate::time::{Clock, short};
use crate::visible::Visible;

/// Options of the console.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Work the database in this process even if a service did before (else the console only attaches then).
    #[arg(long)]
    with_worker: bool,
    /// Look, and never act.
    #[arg(long, conflicts_with = "with_worker")]
    read_only: bool,
    #[command(flatten)]
    look: Look,
}

/// How the console looks, here and in the demo.
#[derive(Debug, Clone, clap::Args)]
pub struct Look {
    /// Draw with ASCII only.
    #[arg(long)]
    pub(super) ascii: bool,
    /// Colours: none, 16, 256 or true (else as the terminal says).
    #[arg(long, value_name = "COLOURS")]
    pub(super) palette: Option<Palette>,
    /// Repaint rarely, for a very slow line.
    #[arg(long)]
    pub(super) low_bandwidth: bool,
}

/// Opens the console.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        anyhow::bail!(
            "the console needs a terminal: `midwatch worker` works without one, `midwatch status` reports"
        );
    }
    // With a worker at work a half-edited file must not lock anyone out; a worker does not start on one.
    let config = match context.config() {
        Ok(config) => config,
        Err(broken) => match context.config_in_force() {
            Ok(config) if socket_of(&config.site.database).exists() => config,
            _ => return Err(broken),
        },
    };
    let mut signals = Signals::listen()?;
    let who = context.who(PeerKind::Console, args.read_only);
    // A colleague who only attaches may not be allowed to write the log; the worker writes it anyway.
    let logging = crate::logging::start(&config.site.logs);
    let worker = match &logging {
        Ok(_) => inside(&args, &config).await?,
        Err(_) if args.read_only || socket_of(&config.site.database).exists() => {
            crate::logging::log_panics();
            None
        }
        Err(error) => anyhow::bail!("{error}"),
    };
    if worker.is_none() && !args.read_only {
        offer_worker(context, &config, &who).await?;
    }
    let client = match &worker {
        Some(worker) => worker.client_as(who.clone()),
        None => Client::attach(&config.site.database, who.clone()),
    };
    if let Some(worker) = worker.clone() {
        // Another operator may take over: the screen stays and follows the next worker.
        tokio::spawn(async move {
            worker.drain_asked().await;
            worker.drain().await;
        });
    }
    let options = ConsoleOptions {
        client,
        database: config.site.database.clone(),
        config: Arc::new(config),
        read_only: args.read_only,
        ascii: args.look.ascii,
        palette: args.look.palette,
        low_bandwidth: args.look.low_bandwidth,
        inside: worker.is_some(),
        demo: None,
    };
    let exit = tokio::select! {
        exit = console::run(options) => exit,
        () = signals.terminate() => Ok(Exit::Quit),
    };
    let Some(worker) = worker else {
        return exit.map(|_| super::OK);
    };
    match exit {
        Err(error) => {
            // A screen that fails must not stop a delivery.
            super::complain(&error);
            say("the worker goes on here without the console; Ctrl-C stops it");
            process::work_on(&worker, &mut signals, false).await;
        }
        Ok(Exit::Quit) => {
            say("finishing what is under way ...");
            worker.drain().await;
        }
        Ok(Exit::HangUp) => process::work_on(&worker, &mut signals, false).await,
        Ok(Exit::Detach) => match process::detach(&context.config_file()?, &who.name).await {
            Ok(pid) => {
                say("finishing what is under way ...");
                worker.drain().await;
                say(&format!(
                    "a worker goes on as process {pid}; `midwatch` attaches to it, `kill {pid}` stops it"
                ));
            }
            Err(error) => {
                say(&format!(
                    "not detached: {error}. The worker goes on here; Ctrl-C stops it"
                ));
                process::work_on(&worker, &mut signals, false).await;
            }
        },
    }
    Ok(super::OK)
}

/// The worker of this process, if it is to have one: nobody else works the database, and no service did.
async fn inside(args: &Args, config: &Config) -> anyhow::Result<Option<Worker>> {
    if args.read_only {
        return Ok(None);
    }
    let database = &config.site.database;
    if !args.with_worker
        && database.exists()
        && Reader::open(database).is_ok_and(|reader| reader.was_served().unwrap_or(false))
    {
        return Ok(None);
    }
    let options = WorkerOptions {
        clock: Clock::System,
        service: false,
        listener: None,
    };
    match Worker::start(config.clone(), options).await {
        Ok(worker) => Ok(Some(worker)),
        Err(StartError::Open(OpenError::Locked { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where a service worked and is down, says since when and offers to start one: someone may have stopped it on purpose,
/// and this user may lack its secrets, so the answer is no unless it is yes.
async fn offer_worker(context: &Context, config: &Config, who: &Who) -> anyhow::Result<()> {
    let database = &config.site.database;
    if Client::reach(database, who.clone()).await?.is_some() {
        return Ok(());
    }
    let row = Reader::open(database)?.worker()?;
    let down = short(Clock::System.now().since(row.heartbeat));
    say(&format!(
        "no worker runs; the last one gave its last sign of life {down} ago (on {}, {})",
        row.host, row.state
    ));
    if out::ask("Start one in the background?").await? {
        let pid = process::detach(&context.config_file()?, &who.name).await?;
        say(&format!("started as process {pid}"));
    }
    Ok(())
}

/// Says something after the screen is gone; the terminal may be gone too.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "midwatch: {}", Visible::of(text));
}
