//! `midwatch cancel`: give deliveries up, as previewed.

use super::context::Context;
use super::out;
use super::select::Select;
use crate::control::action::Action;

/// Gives deliveries up: they are never attempted again unless replayed.
///
/// With --json one object: text, batch (null), delivery (null); with --dry-run the preview: scope, count, oldest,
/// verdicts, high_water, notes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    select: Select,
    /// Why.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Previews, asks, cancels.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let action = Action::Cancel {
        filter: args.select.filter()?,
        reason: args.reason,
    };
    let acting = context.acting(&context.config_in_force()?).await?;
    let outcome =
        super::ask_and_do(&acting, action, &args.consent, super::Voice::of(args.json)).await;
    acting.close().await;
    super::ended(outcome, &args.consent)
}
