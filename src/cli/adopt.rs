//! `midwatch adopt KIND`: midwatch learns what two systems hold already.

use std::time::Duration;

use super::bar::Bar;
use super::context::{Context, reader};
use super::{Voice, out};
use crate::config::model::Config;
use crate::control::action::Action;
use crate::control::adoption_progress;
use crate::time::Clock;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(500);

/// Reads the records of one type that two systems hold, matches them by business key, and keeps ids and agreed values.
///
/// Nothing is written in either system. What matches is known from then on: it is updated, never made a second time; what
/// does not match is shown, with the reason. Begun again after an interruption it goes on where it was; done twice it
/// changes nothing. It happens in the running worker, or here if none runs.
///
/// With --json one object: text, batch (null), delivery (null), report: kind, sides, dry_run, listed, left_out, matched,
/// agreed, differing, missing (in the second, in the first), twice; the last ones as count and first (at most ten).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The record type, for example order.
    kind: String,
    /// The source system; by default the one that the paths carry the type from.
    #[arg(long, value_name = "SYSTEM", requires = "to")]
    from: Option<String>,
    /// The receiving system.
    #[arg(long, value_name = "SYSTEM", requires = "from")]
    to: Option<String>,
    /// Read and compare, keep nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking.
    #[arg(long, short = 'y')]
    yes: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows, asks, adopts, and tells how far it is.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let kind = args.kind.clone();
    let action = Action::Adopt {
        kind: args.kind,
        sides: args.from.into_iter().chain(args.to).collect(),
        dry_run: args.dry_run,
    };
    // A dry run keeps nothing: there is nothing to ask.
    let consent = out::Consent::given_by(args.yes || args.dry_run);
    let acting = context.acting(&config).await?;
    let work = super::ask_and_do(&acting, action, &consent, Voice::of(args.json));
    let outcome = tokio::select! {
        outcome = work => outcome,
        never = watch(&config, &kind) => match never {},
    };
    acting.close().await;
    super::ended(outcome, &consent)
}

/// Shows on a terminal how far the listings are.
async fn watch(config: &Config, kind: &str) -> std::convert::Infallible {
    let mut bar = Bar::new(None);
    loop {
        tokio::time::sleep(LOOK).await;
        if bar.is_hidden() {
            continue;
        }
        // Where nothing can be read yet, there is nothing to show.
        let Ok(Ok(mut rows)) = reader(config).map(|reader| reader.adoptions()) else {
            continue;
        };
        rows.retain(|row| row.kind == kind);
        if !rows.is_empty() {
            bar.draw(&adoption_progress(&rows, Clock::System.now()));
        }
    }
}
