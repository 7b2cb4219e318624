//! The command line: one file per command, each a thin twin of what the console does.
//!
//! Says what happened, where, and what to do next; prints outside text only as `Visible`. Decides nothing: previews and
//! actions are the action layer's, reads are the store's. Called by `main`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use crate::control::action::{Action, Done};
use crate::time::Clock;
use crate::visible::Visible;
use context::{Acting, Context};

mod adopt;
mod adopt_host;
mod backfill;
mod backup;
mod bar;
mod cancel;
mod check;
mod completions;
mod console;
mod context;
mod contracts;
mod deliveries;
mod demo;
mod doctor;
mod escalate;
mod golive;
mod held;
mod hidden;
mod hook;
mod incident;
mod init;
mod login;
mod notes;
mod oncall;
mod out;
mod ownership;
mod pause;
mod plan;
mod preset;
mod probe;
mod proxy;
mod reconcile;
mod reload;
mod replay;
mod resume;
mod review;
mod runbook;
mod secret;
mod select;
mod send;
mod show;
mod status;
mod story;
mod tail;
mod trace;
mod try_path;
mod veil;
mod verify;
mod walk;
mod worker;

/// Done, or all is well.
pub const OK: u8 = 0;
/// Refused or failed; for `status`, `doctor` and `probe` a warning.
pub const FAILED: u8 = 1;
/// For `status`, `doctor`, `probe` and `reconcile`: critical. (clap's code for a senseless command line, too.)
pub const CRITICAL: u8 = 2;
/// `status` could not be read.
pub const UNREADABLE: u8 = 3;

const EXIT_CODES: &str = "\
Exit codes:
  0  done (status, doctor, probe: all is well)
  1  refused or failed, the standard error says why and what to do (status, doctor, probe: a warning;
     contracts diff: incompatible)
  2  the command line makes no sense (status, doctor, probe, reconcile: critical; demo: an event is missing;
     verify, contracts diff: something cannot be read)
  3  status could not be read

Environment:
  MIDWATCH_CONFIG  the configuration file, instead of ./midwatch.toml
  MIDWATCH_LOG     levels of the log file, for example info,midwatch=debug
  NO_COLOR         no colours";

/// Keeps a small business's integrations trustworthy, from a terminal.
///
/// Without a command it opens the console: with the worker inside if no worker holds the database, attached to it
/// otherwise.
#[derive(Debug, clap::Parser)]
#[command(
    name = "midwatch",
    version,
    after_long_help = EXIT_CODES,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    console: console::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command understands.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// The configuration file.
    #[arg(
        long,
        short = 'c',
        global = true,
        value_name = "FILE",
        env = "MIDWATCH_CONFIG",
        default_value = "midwatch.toml"
    )]
    config: PathBuf,
    /// Who you are, for the audit log (instead of SUDO_USER or USER).
    #[arg(long = "as", global = true, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Worker(worker::Args),
    Demo(demo::Args),
    Init(init::Args),
    Login(login::Args),
    Probe(probe::Args),
    Check(check::Args),
    Contracts(contracts::Args),
    Preset(preset::Args),
    Reload(reload::Args),
    Send(send::Args),
    Deliveries(deliveries::Args),
    Show(show::Args),
    Status(status::Args),
    Held(held::Args),
    Review(review::Args),
    Replay(replay::Args),
    Cancel(cancel::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Tail(tail::Args),
    Runbook(runbook::Args),
    Now(incident::NowArgs),
    Ack(incident::AckArgs),
    Walk(walk::Args),
    Incident(incident::Args),
    Oncall(oncall::Args),
    Escalate(escalate::Args),
    Reconcile(reconcile::Args),
    Plan(plan::Args),
    Try(try_path::Args),
    Verify(verify::Args),
    Adopt(adopt::Args),
    Golive(golive::Args),
    Hook(hook::Args),
    Backfill(backfill::Args),
    Secret(secret::Args),
    Proxy(proxy::Args),
    Story(story::Args),
    Ownership(ownership::Args),
    Trace(trace::Args),
    Notes(notes::Args),
    Backup(backup::Args),
    AdoptHost(adopt_host::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.command, Some(Command::Init(_))) {
        // Whatever this process makes is private: database, socket, logs, backups. Starter files are the operator's.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    }
    let ended = before_threads(&cli).and_then(|()| start(cli));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed_pipe(&error) => ExitCode::from(OK),
        Err(error) => {
            complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

fn before_threads(cli: &Cli) -> anyhow::Result<()> {
    if let Some(Command::Worker(args)) = &cli.command
        && args.is_detached()
    {
        crate::control::process::own_session()?;
    }
    Ok(())
}

fn start(cli: Cli) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(command(cli));
    // A thread that waits for a key or a line must not keep the process from ending.
    runtime.shutdown_background();
    ended
}

async fn command(cli: Cli) -> anyhow::Result<u8> {
    let context = Context::new(cli.global);
    let context = &context;
    match cli.command {
        None => console::run(cli.console, context).await,
        Some(Command::Worker(args)) => worker::run(args, context).await,
        Some(Command::Demo(args)) => demo::run(args, context).await,
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Probe(args)) => probe::run(args, context).await,
        Some(Command::Login(args)) => login::run(&args, context).await,
        Some(Command::Check(args)) => check::run(&args, context),
        Some(Command::Contracts(args)) => contracts::run(&args, context),
        Some(Command::Preset(args)) => preset::run(&args),
        Some(Command::Reload(args)) => reload::run(args, context).await,
        Some(Command::Send(args)) => send::run(args, context).await,
        Some(Command::Deliveries(args)) => deliveries::run(&args, context),
        Some(Command::Show(args)) => show::run(&args, context),
        Some(Command::Status(args)) => Ok(status::run(&args, context)),
        Some(Command::Held(args)) => held::run(args, context).await,
        Some(Command::Review(args)) => review::run(args, context).await,
        Some(Command::Replay(args)) => replay::run(args, context).await,
        Some(Command::Cancel(args)) => cancel::run(args, context).await,
        Some(Command::Pause(args)) => pause::run(args, context).await,
        Some(Command::Resume(args)) => resume::run(args, context).await,
        Some(Command::Tail(args)) => tail::run(args, context).await,
        Some(Command::Runbook(args)) => runbook::run(&args, context),
        Some(Command::Now(args)) => incident::now(&args, context),
        Some(Command::Walk(args)) => walk::run(args, context).await,
        Some(Command::Ack(args)) => incident::ack(args, context).await,
        Some(Command::Incident(args)) => incident::run(args, context).await,
        Some(Command::Oncall(args)) => oncall::run(args, context).await,
        Some(Command::Escalate(args)) => escalate::run(args, context).await,
        Some(Command::Reconcile(args)) => reconcile::run(args, context).await,
        Some(Command::Plan(args)) => plan::run(args, context).await,
        Some(Command::Try(args)) => try_path::run(args, context).await,
        Some(Command::Verify(args)) => verify::run(&args, context),
        Some(Command::Adopt(args)) => adopt::run(args, context).await,
        Some(Command::Golive(args)) => golive::run(args, context).await,
        Some(Command::Backfill(args)) => backfill::run(args, context).await,
        Some(Command::Hook(args)) => hook::run(args, context).await,
        Some(Command::Secret(args)) => secret::run(args, context).await,
        Some(Command::Proxy(args)) => proxy::run(&args, context),
        Some(Command::Story(args)) => story::run(&args, context),
        Some(Command::Ownership(args)) => ownership::run(&args, context),
        Some(Command::Trace(args)) => trace::run(&args, context),
        Some(Command::Notes(args)) => notes::run(&args, context),
        Some(Command::Backup(args)) => backup::run(args, context).await,
        Some(Command::AdoptHost(args)) => adopt_host::run(args, context).await,
        Some(Command::Doctor(args)) => doctor::run(&args, context),
        Some(Command::Completions(args)) => completions::run(&args),
    }
}

/// How an action is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// The preview and what was done, in words.
    Words,
    /// What was done (or, in a dry run, the preview) as one JSON object.
    Json,
    /// The command prints one JSON object itself, later.
    JsonLater,
}

impl Voice {
    fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Words }
    }
}

/// Previews, shows, asks, submits. None: it was only shown, or not confirmed.
async fn ask_and_do(
    acting: &Acting,
    action: Action,
    consent: &out::Consent,
    voice: Voice,
) -> anyhow::Result<Option<Done>> {
    let preview = acting.preview(&action).await?;
    if voice == Voice::Words {
        let shown = out::say(&out::preview(&preview, Clock::System.now()));
        // Who said yes beforehand wants it done, whether or not somebody still reads what it is.
        if !consent.is_given() {
            shown?;
        }
    } else if consent.is_dry() {
        out::json(&preview)?;
    }
    let is_set = matches!(action, Action::Replay { .. } | Action::Cancel { .. });
    let is_held = matches!(action, Action::Release { .. } | Action::DiscardHeld { .. });
    if (is_set || is_held) && preview.matched() == 0 && !consent.is_dry() {
        anyhow::bail!("nothing was done: nothing matches");
    }
    if is_set && preview.count == 0 && !consent.is_dry() {
        anyhow::bail!(
            "nothing was done: all of them would be skipped; --include-risky sends what was delivered or is in doubt"
        );
    }
    if consent.is_dry() || !consent.given("Do it?").await? {
        return Ok(None);
    }
    let done = acting.submit(action, &preview).await?;
    match voice {
        Voice::Words => out::say(&done.text)?,
        Voice::Json => out::json(&done)?,
        Voice::JsonLater => {}
    }
    Ok(Some(done))
}

/// Previews, asks and does one action, through the worker or without one.
async fn previewed(
    action: Action,
    consent: &out::Consent,
    json: bool,
    context: &Context,
) -> anyhow::Result<u8> {
    let acting = context.acting(&context.config_in_force()?).await?;
    let outcome = ask_and_do(&acting, action, consent, Voice::of(json)).await;
    acting.close().await;
    ended(outcome, consent)
}

/// The exit code of what `ask_and_do` came to: a refused question is not success, a dry run is.
fn ended(outcome: anyhow::Result<Option<Done>>, consent: &out::Consent) -> anyhow::Result<u8> {
    outcome.map(|done| match done {
        Some(_) => OK,
        None if consent.is_dry() => OK,
        None => FAILED,
    })
}

/// Says what went wrong on the standard error.
fn complain(error: &anyhow::Error) {
    // Where even this cannot be written, the exit code has to do.
    let _ = writeln!(
        std::io::stderr(),
        "midwatch: {}",
        Visible::lines_of(&format!("{error:#}"))
    );
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<out::Closed>()
        .is_some_and(out::Closed::is_pipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_help() {
        let command = Cli::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
        }
    }
}
