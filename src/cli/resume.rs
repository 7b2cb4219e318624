//! `midwatch resume PATH`: attempt a path again; also closes its breaker.

use super::context::Context;
use crate::control::action::Action;

/// Attempts a path again; also closes its breaker.
///
/// With --json one object: text, batch (null), delivery (null).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The path.
    path: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Resumes.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    super::pause::submit(Action::Resume { path: args.path }, args.json, context).await
}
