//! `midwatch completions SHELL`: a completion script on the standard output.

use clap::CommandFactory as _;

/// Prints a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell.
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "midwatch",
        &mut script,
    );
    super::out::raw(&script)?;
    Ok(super::OK)
}
