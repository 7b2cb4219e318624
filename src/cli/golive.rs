//! `midwatch golive PATH`: a path in shadow mode begins to send.

use super::context::Context;
use super::out;
use crate::control::action::Action;

/// Lets a path in shadow mode send what comes from now on.
///
/// Shows first what it will start to send. What was shadowed stays unsent, unless it is replayed; the command for that is
/// shown. Events of records made before `site.live_from` are never sent of themselves.
///
/// With --json one object: text, batch (null), delivery (null). With --dry-run the preview: scope, count, oldest,
/// verdicts, high_water, notes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The path.
    path: String,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows, asks, goes live.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let action = Action::GoLive { path: args.path };
    super::previewed(action, &args.consent, args.json, context).await
}
