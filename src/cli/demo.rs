//! `midwatch demo`: the real thing between stand-in systems, in a folder that is gone afterwards.
//!
//! Only the systems around it are staged: webhooks are signed and come in over HTTP, deliveries go out over HTTP, and the
//! numbers of the summary are read back from the database. An acknowledged event that is not there is exit code 2.

use std::io::{IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::console::Look;
use super::context::Context;
use super::out;
use crate::config::live::Runtime;
use crate::config::{self, model::Config};
use crate::console::{self, ConsoleOptions, Demo};
use crate::control::Client;
use crate::control::wire::PeerKind;
use crate::control::worker::{Worker, WorkerOptions};
use crate::http::{Outbound, oauth};
use crate::queue::filter::Filter;
use crate::queue::model::State;
use crate::sandbox::oauth::CODE;
use crate::sandbox::{Home, Options, Sandbox, Seen, Tally};
use crate::store::view::{Counts, Severity};
use crate::store::{Cursor, LogEntry, Reader, Store};
use crate::visible::Visible;

/// What has been sent may take this long to be acknowledged at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Deliveries read at a time for the summary.
const PAGE: usize = 1_000;

/// An acknowledged event is missing, or the numbers do not add up.
const LOST: u8 = super::CRITICAL;

/// Shows everything with stand-in systems on loopback; touches nothing of yours.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Keep everything in this folder, new or empty (else a temporary one, removed at the end).
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Without the console: tell the story on the standard error, end with a one-line summary.
    #[arg(long)]
    headless: bool,
    /// End after this long, for example 30s.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lasts: Option<Duration>,
    /// Which orders, from whom: the same seed tells the same story.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Events a second: 3, or 3/s.
    #[arg(long, value_name = "N/s", default_value = "3/s", value_parser = rate)]
    rate: f64,
    /// The front door's port on loopback (0: any that is free).
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    #[command(flatten)]
    look: Look,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::time::parse_duration(text).ok_or_else(|| "expected a time such as 30s or 5m".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches("/s").parse().ok();
    number
        .filter(|rate| (0.1..=500.0).contains(rate))
        .ok_or_else(|| "expected events a second from 0.1 to 500, such as 3/s".to_owned())
}

/// Runs the demo to its end.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    if !args.headless && !std::io::stdout().is_terminal() {
        return Err(anyhow!(
            "the standard output is no terminal: use `midwatch demo --headless --for 30s`"
        ));
    }
    let home = Home::new(args.dir.as_deref()).context("cannot make the demo's folder")?;
    let summary = play(&args, context, &home).await;
    let kept = args.dir.is_some().then(|| home.folder().to_owned());
    home.close().context("cannot remove the demo's folder")?;
    let summary = summary?;
    out::say(&summary.line())?;
    if let Some(folder) = kept {
        let folder = Visible::of(&folder.to_string_lossy());
        out::say(&format!(
            "kept in {folder}: its stand-ins are gone, its database and log can be read"
        ))?;
    }
    Ok(summary.exit_code())
}

async fn play(args: &Args, context: &Context, home: &Home) -> anyhow::Result<Summary> {
    let _logging = crate::logging::start(&home.folder().join("logs"))?;
    let stop = CancellationToken::new();
    // However this function ends, the stand-ins end with it.
    let _stopped = stop.clone().drop_guard();
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .with_context(|| format!("cannot listen on port {}", args.port))?;
    let options = Options {
        seed: args.seed,
        rate: args.rate,
    };
    let sandbox = Sandbox::start(options, stop.clone()).await?;
    let file = home
        .furnish(door.local_addr()?, sandbox.addresses())
        .context("cannot write the demo's folder")?;
    let config = config::load(&file)
        .map_err(|wrong| {
            anyhow!(
                "the demo's own configuration: {}",
                config::report::render(&wrong)
            )
        })?
        .config;
    let config = Arc::new(config);
    log_in(&config).await?;
    let options = WorkerOptions {
        listener: Some(door),
        ..WorkerOptions::default()
    };
    let worker = Worker::start((*config).clone(), options).await?;
    let (told, story) = mpsc::channel(64);
    let open = sandbox.open(worker.addr(), told);
    tokio::spawn(tell(worker.store().clone(), story, args.headless));

    let client = worker.client_as(context.who(PeerKind::Console, false));
    let watched = watch(args, &worker, client, config.clone()).await;

    let tally = open.close(LAST_ANSWERS).await;
    worker.drain().await;
    stop.cancel();
    watched?;
    let found = Found {
        seen: sandbox.seen(),
        duplicates: sandbox.duplicates(),
    };
    Summary::read(&config.site.database, tally, found)
}

/// What `midwatch login` does, without a browser: the CRM's first tokens. Those after them are the worker's business.
async fn log_in(config: &Arc<Config>) -> anyhow::Result<()> {
    let Some(crm) = config.systems.get("crm") else {
        return Ok(());
    };
    let runtime = Runtime::new(config.clone(), Vec::new());
    let (_kept, live) = tokio::sync::watch::channel(Arc::new(runtime));
    let verifier = "demo-verifier";
    oauth::redeem(&Outbound::new(live), crm, CODE, verifier).await?;
    Ok(())
}

/// Lasts until the time is up, someone quits, or a signal ends it. A hang-up ends the demo too.
async fn watch(
    args: &Args,
    worker: &Worker,
    client: Client,
    config: Arc<Config>,
) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let time_is_up = async {
        match args.lasts {
            Some(lasts) => tokio::time::sleep(lasts).await,
            None => std::future::pending().await,
        }
    };
    let screen = async {
        if args.headless {
            return std::future::pending().await;
        }
        let options = ConsoleOptions {
            client,
            database: config.site.database.clone(),
            config,
            read_only: false,
            ascii: args.look.ascii,
            palette: args.look.palette,
            low_bandwidth: args.look.low_bandwidth,
            inside: true,
            demo: Some(if args.dir.is_some() {
                Demo::Kept
            } else {
                Demo::Deleted
            }),
        };
        // There is nobody to go on for, however it was left.
        console::run(options).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        ended = screen => ended?,
        () = time_is_up => {}
        _ = hang_up.recv() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = worker.drain_asked() => {}
    }
    Ok(())
}

/// Puts what the script does to the stand-ins into the log, so that a viewer can tell cause from effect.
async fn tell(store: Store, mut steps: mpsc::Receiver<String>, aloud: bool) {
    while let Some(says) = steps.recv().await {
        if aloud {
            let _ = writeln!(std::io::stderr(), "demo: {says}");
        }
        let entry = LogEntry {
            severity: Severity::Info,
            actor: None,
            kind: "demo",
            path: None,
            delivery: None,
            text: says,
        };
        if store.log(entry).await.is_err() {
            return;
        }
    }
}

/// What became of everything, as the database says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Summary {
    /// Deliveries that are there, counted one by one.
    accepted: u64,
    /// Deliveries by state, as the writer's counters say.
    counts: Counts,
    /// Of those there, how many took more than one attempt.
    retried: u64,
    /// Events that are there.
    events: u64,
    /// How the front door answered.
    tally: Tally,
    /// What the receivers hold.
    found: Found,
}

/// What was found at the receivers in the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    /// What the one that honours idempotency keys saw of them.
    seen: Seen,
    /// Records that are there twice, where keys are ignored.
    duplicates: u64,
}

impl Summary {
    fn read(database: &Path, tally: Tally, found: Found) -> anyhow::Result<Self> {
        let reader = Reader::open(database)?;
        let overview = reader.overview()?;
        let mut counts = Counts::default();
        for path in &overview.paths {
            for state in State::ALL {
                *counts.get_mut(*state) += path.counts.get(*state);
            }
        }
        let (mut accepted, mut retried) = (0, 0);
        let mut cursor = Some(Cursor::Newest);
        while let Some(from) = cursor {
            let (rows, next) = reader.deliveries(&Filter::default(), from, PAGE)?;
            accepted += rows.len() as u64;
            retried += rows.iter().filter(|row| row.attempts > 1).count() as u64;
            let older = rows.last().map(|row| Cursor::Older(row.id));
            cursor = next.or(if rows.len() == PAGE { older } else { None });
        }
        Ok(Self {
            accepted,
            counts,
            retried,
            events: overview.events,
            tally,
            found,
        })
    }

    /// Acknowledged events that are not in the database.
    fn missing(&self) -> u64 {
        self.tally.acknowledged.saturating_sub(self.events)
    }

    fn exit_code(&self) -> u8 {
        let by_state: u64 = State::ALL.iter().map(|state| self.counts.get(*state)).sum();
        let sound = self.missing() == 0
            && self.accepted == by_state
            && self.tally.refused == 0
            && self.found.seen.conflicts == 0
            && self.found.seen.keyless == 0
            && self.found.duplicates == 0;
        if sound { super::OK } else { LOST }
    }

    fn line(&self) -> String {
        let Counts {
            delivered,
            dead,
            held,
            cancelled,
            superseded,
            ..
        } = self.counts;
        format!(
            "accepted {} ({} events): delivered {delivered}, waiting {}, dead {dead}, held {held}, cancelled {}; retried {}; missing {}; duplicates {}",
            self.accepted,
            self.events,
            self.counts.backlog(),
            cancelled + superseded,
            self.retried,
            self.missing(),
            self.found.duplicates,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            accepted: 12,
            counts: Counts {
                delivered: 8,
                ready: 2,
                waiting: 1,
                dead: 1,
                ..Counts::default()
            },
            retried: 3,
            events: 7,
            tally: Tally {
                sent: 8,
                acknowledged: 7,
                repeats: 1,
                ..Tally::default()
            },
            found: Found::default(),
        }
    }

    #[test]
    fn whatever_does_not_add_up_is_exit_code_2() {
        assert_eq!(summary().exit_code(), 0);
        let spoil: [fn(&mut Summary); 7] = [
            |s| s.events = 6,
            |s| s.accepted = 11,
            |s| s.counts.dead = 2,
            |s| s.tally.refused = 1,
            |s| s.found.seen.conflicts = 1,
            |s| s.found.seen.keyless = 1,
            |s| s.found.duplicates = 1,
        ];
        for spoil in spoil {
            let mut one = summary();
            spoil(&mut one);
            assert_eq!(one.exit_code(), LOST, "{one:?}");
        }
    }

    #[test]
    fn the_options_read_as_people_write_them() {
        assert_eq!(rate("3/s"), Ok(3.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        for bad in ["0", "-1/s", "NaN", "fast", "501/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert!(duration("30").is_err());
    }
}
