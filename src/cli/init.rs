//! `midwatch init [DIR]`: a commented `midwatch.toml` and runbooks to start from.

use std::path::PathBuf;

use super::out;
use crate::visible::Visible;

/// Writes a commented midwatch.toml and runbooks to start from; never overwrites.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

/// Writes the files and says which.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let written = crate::config::starter::write(&args.folder)?;
    if written.is_empty() {
        out::say("nothing to write: everything is there already")?;
        return Ok(super::OK);
    }
    for file in &written {
        out::say(&format!("wrote {}", Visible::of(&file.to_string_lossy())))?;
    }
    out::say(
        "next: edit midwatch.toml, then `midwatch check`, then `midwatch doctor` for its secrets, then `midwatch`",
    )?;
    Ok(super::OK)
}
