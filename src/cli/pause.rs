//! `midwatch pause PATH`: stop attempting a path until resumed.

use super::context::Context;
use super::out;
use crate::control::action::Action;

/// Stops attempting a path until it is resumed; events are still accepted and wait.
///
/// With --json one object: text, batch (null), delivery (null).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The path.
    path: String,
    /// Why, for those who find it paused.
    #[arg(long, default_value = "")]
    reason: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Pauses.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let action = Action::Pause {
        path: args.path,
        reason: args.reason,
    };
    submit(action, args.json, context).await
}

/// Submits one action that needs no preview and says what it did.
pub(super) async fn submit(action: Action, json: bool, context: &Context) -> anyhow::Result<u8> {
    let acting = context.acting(&context.config_in_force()?).await?;
    let done = acting.submit_plain(action).await;
    acting.close().await;
    let done = done?;
    if json {
        out::json(&done)?;
    } else {
        out::say(&done.text)?;
    }
    Ok(super::OK)
}
