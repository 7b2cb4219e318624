//! `midwatch probe SYSTEM`: can this system be worked with?

use super::context::Context;
use super::out;
use crate::control::action::Action;
use crate::remote::probe::Verdict;

/// Asks a system whether it can be worked with: name, address and TLS, credentials, clock, budget, one lookup.
///
/// Nothing is written there. With --json one object: system, items (what, verdict: ok, unknown, warn, bad; words). Exit
/// code 1 if something is to be looked at, 2 if something does not work.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The system.
    system: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks and shows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let acting = context.acting(&context.config_in_force()?).await?;
    let probed = acting
        .submit_plain(Action::Probe {
            system: args.system,
        })
        .await;
    acting.close().await;
    let done = probed?;
    if args.json {
        out::json(&done.report)?;
    } else {
        out::say(&done.text)?;
    }
    let is = |verdict: Verdict| {
        let word = serde_json::to_value(verdict).ok();
        let items = done
            .report
            .as_ref()
            .and_then(|report| report.get("items")?.as_array());
        items.is_some_and(|items| {
            items
                .iter()
                .any(|item| item.get("verdict") == word.as_ref())
        })
    };
    Ok(match () {
        () if is(Verdict::Bad) => super::CRITICAL,
        () if is(Verdict::Warn) => super::FAILED,
        () => super::OK,
    })
}
