//! The command line: one file per command, each a thin twin of what the console does.
//!
//! Says what happened, where, and what to do next; prints outside text only as `Visible`. Decides nothing: previews and
//! actions are the action layer's, reads are the store's. Called by `main`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

mod completions;

/// Everything is well, or done.
pub const OK: u8 = 0;

const EXIT_CODES: &str = "\
Exit codes:
  0  done (status: all is well)
  1  refused or failed; what and why is on the standard error (status: a warning)
  2  the command line makes no sense (status: critical)
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
#[command(name = "midwatch", version, after_long_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
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
    Completions(completions::Args),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Completions(args)) => completions::run(&args),
        None => ExitCode::from(OK),
    }
}
