//! `midwatch backup FILE`: an online copy of the database, through its writer.

use std::path::PathBuf;

use super::context::Context;
use crate::control::action::Action;

/// Copies the database while it is worked; the file must not exist and is created 0600.
///
/// Copying midwatch.db with cp loses what is still in its -wal file; this does not.
/// With --json one object: text, batch (null), delivery (null).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to.
    file: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Copies.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let file = std::path::absolute(&args.file)?;
    super::pause::submit(Action::Backup { file }, args.json, context).await
}
