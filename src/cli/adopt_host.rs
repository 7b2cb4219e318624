//! `midwatch adopt-host`: work a database that came from another host.

use super::context::Context;
use super::out;
use crate::control::action::Action;

/// Accepts that this host now works a database that was restored, copied or moved here.
///
/// Until then everything is held, so that a restored backup sends nothing twice.
/// With --json one object: text, batch (null), delivery (null).
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows what waits, asks, adopts.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    super::previewed(Action::AdoptHost, &args.consent, args.json, context).await
}
