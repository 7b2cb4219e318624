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
    let acting = context.acting(&context.config_in_force()?).await?;
    let outcome = super::ask_and_do(
        &acting,
        Action::AdoptHost,
        &args.consent,
        super::Voice::of(args.json),
    )
    .await;
    acting.close().await;
    super::ended(outcome, &args.consent)
}
