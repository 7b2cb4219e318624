//! `midwatch reload`: the running worker applies the configuration file, or refuses it and goes on.

use super::context::{Context, unpinned};
use super::out;
use crate::control::action::Action;

/// Lets the running worker apply the configuration file; a bad one is refused and the old goes on.
///
/// With --json one object: text, batch (null), delivery (null).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what would change, and stop.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Reloads.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config().map_err(|wrong| {
        wrong.context("refused; a running worker goes on with the old configuration")
    })?;
    let client = context.worker(&config).await?;
    if args.dry_run {
        let preview = client.preview(Action::Reload).await?;
        if args.json {
            out::json(&preview)?;
        } else {
            out::say(&format!(
                "{}\n  {}",
                preview.scope,
                preview.notes.join("\n  ")
            ))?;
        }
        return Ok(super::OK);
    }
    let done = client.submit(unpinned(Action::Reload)?).await?;
    if args.json {
        out::json(&done)?;
    } else {
        out::say(&done.text)?;
    }
    Ok(super::OK)
}
