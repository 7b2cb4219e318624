//! `midwatch completions SHELL`: a completion script on the standard output.

use clap::CommandFactory as _;

/// Prints a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell.
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(args: &Args) {
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "midwatch",
        &mut std::io::stdout(),
    );
}
