//! `midwatch probe SYSTEM`: can a system be worked with?

use std::sync::Arc;

use anyhow::Context as _;

use super::context::{Context, reader, unpinned};
use super::out;
use crate::config::live::Runtime;
use crate::config::model::Config;
use crate::control::Client;
use crate::control::action::Action;
use crate::control::probe::facts;
use crate::control::wire::PeerKind;
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::remote::Remote;
use crate::remote::probe::{Facts, Level, ProbeReport, probe};
use crate::visible::Visible;

/// Asks a system whether it can be worked with: name, connection and TLS, credentials, clock, rate budget, tokens, one
/// lookup, its webhook. Tells the address that its vendor must be given for webhooks.
///
/// Writes nothing anywhere, and makes at most two requests with its credentials: the system's `probe` request (else the
/// first page of a list) and one lookup. A running worker makes them, within the budget that its deliveries share; without one they are made
/// here. It ends within 20 seconds.
///
/// With --json one object: system, at, level (not-asked, ok, warn, bad), items (what, level, words, number with value and
/// unit, or null), ingest (the address for its webhooks, or null). Exit code 1 if something is to be looked at, 2 if
/// something does not work.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The system.
    system: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks, and tells.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let who = context.who(PeerKind::Command, false);
    let report = match Client::reach(&config.site.database, who).await? {
        Some(worker) => {
            let system = args.system;
            let done = worker.submit(unpinned(Action::Probe { system })?).await?;
            let report = done.report.context("the worker told no report")?;
            serde_json::from_value(report).context("the worker's report cannot be read")?
        }
        None => alone(config, &args.system).await?,
    };
    if args.json {
        out::json(&report)?;
    } else {
        out::say(&report.text())?;
    }
    Ok(match report.level {
        Level::NotAsked | Level::Ok => super::OK,
        Level::Warn => super::FAILED,
        Level::Bad => super::CRITICAL,
    })
}

/// Without a worker; a database is not needed, and not made.
async fn alone(config: Config, name: &str) -> anyhow::Result<ProbeReport> {
    let system = config.systems.get(name).with_context(|| {
        let names: Vec<&str> = config.systems.keys().map(String::as_str).collect();
        let name = Visible::of(name);
        format!(
            "no system is called {name}; there are: {}",
            names.join(", ")
        )
    })?;
    let facts = if config.site.database.exists() {
        facts(&reader(&config)?, system)?
    } else {
        Facts::default()
    };
    let runtime = Arc::new(Runtime::new(Arc::new(config), Vec::new()));
    let (_kept, live) = tokio::sync::watch::channel(runtime);
    let remote = Remote::new(live.clone(), Outbound::new(live), Engine::new());
    Ok(probe(&remote, name, &facts).await?)
}
