//! `midwatch hook enable SYSTEM`: a vendor's webhook that was disabled calls again.

use super::context::Context;
use super::out;
use crate::control::action::Action;

/// Asks a vendor to enable its webhook again; vendors disable hooks that failed for some time.
///
/// Needs the system's `webhooks` (most presets bring them). What changed meanwhile is asked for afterwards, where the
/// system says how (`missed`); see `midwatch backfill`.
///
/// With --json one object: text, batch (null), delivery (null). With --dry-run the preview.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Enables it again.
    Enable {
        /// The system.
        system: String,
        #[command(flatten)]
        consent: out::Consent,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Shows, asks, enables.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let What::Enable {
        system,
        consent,
        json,
    } = args.what;
    super::previewed(Action::EnableHook { system }, &consent, json, context).await
}
