//! The worker: the one process part that holds the database, takes events in and delivers them.
//!
//! Opens the store (and with it the writer's lock), registers the configuration, starts every loop, and on the way out
//! stops them in an order that costs no attempt: claims first, then what is under way, then the doors. On a database
//! of another host nothing is delivered until `adopt-host`, while events are still taken in. Called by the command line
//! and by the demo.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::action::Refused;
use super::actions::{Actions, Order, refused};
use super::client::{Client, Inside};
use super::presence::Presence;
use super::start::{StartError, front_door, open};
use super::who::Who;
use super::wire::PeerKind;
use super::{reload, share, socket};
use crate::config::live::{Live, Runtime};
use crate::config::model::Config;
use crate::http::Outbound;
use crate::ingest::{self, Intake};
use crate::queue::dispatch::{self, DispatchHandle};
use crate::queue::replay::{self, ReplayHandle};
use crate::reconcile::{self, ReconcileHandle};
use crate::source::{self, SourceHandle};
use crate::store::view::Severity;
use crate::store::{Health, LogEntry, Started, Store};
use crate::time::Clock;

/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What is under way may take this long to end when the worker stops: the dispatcher's own 30 s, and a little to settle.
const DRAIN_LIMIT: Duration = Duration::from_secs(32);

/// The front door may take this long to finish its answers.
const DOOR_LIMIT: Duration = Duration::from_secs(5);

/// Between two rounds of retention.
const RETENTION_EVERY: Duration = Duration::from_hours(1);

/// The first round comes this long after the start, which has better things to do.
const RETENTION_FIRST: Duration = Duration::from_mins(1);

/// How to work.
#[derive(Debug, Default)]
pub struct WorkerOptions {
    /// Where the time comes from.
    pub clock: Clock,
    /// As a service (`midwatch worker`), not inside a console.
    pub service: bool,
    /// The front door's listener, if someone else opened it (systemd, a test); else the configured address is bound.
    pub listener: Option<std::net::TcpListener>,
}

/// A running worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Worker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    live: watch::Sender<Arc<Runtime>>,
    /// What it started with.
    begun: Arc<Config>,
    outbound: Outbound,
    database: PathBuf,
    service: bool,
    address: SocketAddr,
    /// None while the database belongs to another host, and after the end.
    engine: Mutex<Option<Engine>>,
    inside: watch::Sender<Option<Inside>>,
    /// Ends claiming and the front door.
    claims: CancellationToken,
    /// Ends everything else.
    rest: CancellationToken,
    drain_asked: CancellationToken,
    drained: OnceCell<()>,
    door: tokio::sync::Mutex<Option<JoinHandle<std::io::Result<()>>>>,
}

/// The loops that deliver.
#[derive(Debug, Clone)]
struct Engine {
    dispatch: DispatchHandle,
    replay: ReplayHandle,
    reconcile: ReconcileHandle,
    source: SourceHandle,
}

impl Worker {
    /// Takes the database and starts to work it.
    pub async fn start(config: Config, options: WorkerOptions) -> Result<Self, StartError> {
        let database = config.site.database.clone();
        let group = (config.site.group.as_deref())
            .map(share::group)
            .transpose()
            .map_err(StartError::Place)?;
        let store = open(&config, options.clock).await?;
        match Self::start_on(
            store.clone(),
            config,
            options.service,
            options.listener,
            group,
        )
        .await
        {
            Ok(worker) => Ok(worker),
            Err(error) => {
                socket::remove(&database);
                store.close().await;
                Err(error)
            }
        }
    }

    async fn start_on(
        store: Store,
        config: Config,
        service: bool,
        listener: Option<std::net::TcpListener>,
        group: Option<u32>,
    ) -> Result<Self, StartError> {
        let database = config.site.database.clone();
        let numbers = store.configure(&config).await?;
        let listener = front_door(listener, config.ingest.listen)?;
        let address = listener.local_addr().map_err(|error| StartError::Listen {
            address: config.ingest.listen,
            why: error.to_string(),
        })?;
        let control = socket::bind(&database, group).map_err(|error| StartError::Socket {
            file: socket::path_of(&database),
            why: error.to_string(),
        })?;
        if let Some(group) = group {
            share::database(&database, group).map_err(|error| {
                StartError::Place(format!(
                    "cannot share the database with site.group: {error}"
                ))
            })?;
        }
        let started = store.begin_work(service).await?;
        store
            .heartbeat("running", Some(address.to_string()))
            .await?;

        let begun = Arc::new(config);
        let (live, watched) = watch::channel(Arc::new(Runtime::new(begun.clone(), numbers)));
        let (orders, ordered) = mpsc::channel(64);
        let outbound = Outbound::new(watched.clone());
        let claims = CancellationToken::new();
        let actions = Actions::of_worker(
            store.clone(),
            watched.clone(),
            orders,
            outbound.clone(),
            claims.clone(),
        );
        let inside = Inside {
            actions,
            presence: Presence::default(),
        };
        let worker = Self {
            inner: Arc::new(Inner {
                outbound,
                store: store.clone(),
                live,
                begun,
                database,
                service,
                address,
                engine: Mutex::new(None),
                inside: watch::Sender::new(Some(inside.clone())),
                claims,
                rest: CancellationToken::new(),
                drain_asked: CancellationToken::new(),
                drained: OnceCell::new(),
                door: tokio::sync::Mutex::new(None),
            }),
        };
        worker.announce(&started).await;
        if started.foreign_host.is_none() {
            worker.start_engine(started);
        }
        let door = tokio::spawn(ingest::server::serve(
            listener,
            Intake::new(store.clone(), watched.clone()),
            watched.clone(),
            store,
            worker.inner.claims.clone(),
        ));
        *worker.inner.door.lock().await = Some(door);
        let rest = worker.inner.rest.clone();
        tokio::spawn(socket::serve(control, inside, service, rest.clone()));
        for chore in [
            Chore::Orders(ordered),
            Chore::Heartbeat,
            Chore::Retention(watched),
            Chore::Health,
        ] {
            let (worker, rest) = (worker.clone(), rest.clone());
            tokio::spawn(async move { rest.run_until_cancelled(worker.chore(chore)).await });
        }
        Ok(worker)
    }

    /// A client of this worker, named as the environment says.
    pub fn client(&self) -> Client {
        self.client_as(Who::new(None, PeerKind::Console, false, |name| {
            std::env::var(name).ok()
        }))
    }

    /// A client of this worker with given claims.
    pub fn client_as(&self, who: Who) -> Client {
        Client::inside(&self.inner.database, who, self.inner.inside.subscribe())
    }

    /// Where the front door listens.
    pub fn addr(&self) -> SocketAddr {
        self.inner.address
    }

    /// The open store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The configuration in force, as it changes.
    pub fn live(&self) -> Live {
        self.inner.live.subscribe()
    }

    /// Returns when an operator asked for the end.
    pub async fn drain_asked(&self) {
        self.inner.drain_asked.cancelled().await;
    }

    /// Reads the configuration file again: applies a good one and says what changed, refuses a bad one and goes on.
    /// Both are logged.
    pub async fn reload(&self) -> Result<String, Refused> {
        let outcome = self.try_reload().await;
        let (severity, text) = match &outcome {
            Ok(changed) => (Severity::Info, format!("configuration applied: {changed}")),
            Err(refused) => (Severity::Warning, refused.text.clone()),
        };
        self.log(severity, "reload", text).await;
        outcome
    }

    async fn try_reload(&self) -> Result<String, Refused> {
        let old = self.inner.live.borrow().config.clone();
        let file = old.file.clone();
        let loaded = tokio::task::spawn_blocking(move || crate::config::load(&file))
            .await
            .map_err(|_| refused("the configuration could not be read"))?
            .map_err(|wrong| reload::refuse(&wrong))?;
        let changed = reload::changes(&self.inner.begun, &old, &loaded.config).join("; ");
        let numbers = self.inner.store.configure(&loaded.config).await?;
        tracing::info!(kind = "reload", changed = %crate::visible::Visible::of(&changed), "configuration applied");
        let runtime = Runtime::new(Arc::new(loaded.config), numbers);
        self.inner.live.send_replace(Arc::new(runtime));
        Ok(changed)
    }

    /// Stops: claims at once, then what is under way gets up to 30 s, then the doors close and the lock is released.
    /// What is cut off by the limit costs no attempt. Later calls wait for the first.
    pub async fn drain(&self) {
        self.inner.drained.get_or_init(|| self.drain_once()).await;
    }

    async fn drain_once(&self) {
        let inner = &self.inner;
        tracing::info!(kind = "worker", "draining");
        inner.claims.cancel();
        // A store that fails must not keep the worker from stopping: each step is tried, none is needed for the next.
        let _ = inner.store.heartbeat("draining", None).await;
        if let Some(mut door) = inner.door.lock().await.take()
            && tokio::time::timeout(DOOR_LIMIT, &mut door).await.is_err()
        {
            door.abort();
        }
        let engine = self.engine().take();
        if let Some(engine) = engine {
            let ended = async {
                engine.dispatch.drained().await;
                engine.reconcile.stopped().await;
            };
            if tokio::time::timeout(DRAIN_LIMIT, ended).await.is_err() {
                tracing::warn!(kind = "worker", "some attempts did not end in time");
            }
        }
        if let Err(error) = inner.store.end_work().await {
            tracing::warn!(kind = "worker", %error, "what was under way stays for the next worker");
        }
        self.log(Severity::Info, "worker", "worker stopped".into())
            .await;
        let _ = inner.store.heartbeat("stopped", None).await;
        inner.inside.send_replace(None);
        socket::remove(&inner.database);
        inner.rest.cancel();
        inner.store.close().await;
        tracing::info!(kind = "worker", "stopped");
    }

    async fn announce(&self, started: &Started) {
        let mut text = format!(
            "worker {} started (pid {}), listening on {}",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            self.inner.address
        );
        if started.rescued > 0 {
            let rescued = started.rescued;
            let _ = write!(text, "; {rescued} were under way when the last one died");
        }
        self.log(Severity::Info, "worker", text).await;
        if let Some(host) = &started.foreign_host {
            let host = crate::visible::Visible::of(host);
            let text = format!(
                "the database is of host {host}: everything is held until `midwatch adopt-host`"
            );
            self.log(Severity::Critical, "worker", text).await;
        }
    }

    async fn log(&self, severity: Severity, kind: &'static str, text: String) {
        tracing::info!(kind, text = %crate::visible::Visible::of(&text), "logged");
        let entry = LogEntry {
            severity,
            actor: None,
            kind,
            path: None,
            delivery: None,
            text,
        };
        if let Err(error) = self.inner.store.log(entry).await {
            tracing::warn!(kind, %error, "the line is only here");
        }
    }

    fn engine(&self) -> std::sync::MutexGuard<'_, Option<Engine>> {
        // Only ever replaced whole: a panic elsewhere leaves it usable.
        (self.inner.engine.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn start_engine(&self, started: Started) {
        let inner = &self.inner;
        let stop = &inner.claims;
        let live = inner.live.subscribe();
        let batches = started.batches.clone();
        let away_since = started.away_since;
        let engine = Engine {
            dispatch: dispatch::spawn(
                inner.store.clone(),
                live.clone(),
                inner.outbound.clone(),
                started,
                stop.clone(),
            ),
            replay: replay::spawn(inner.store.clone(), batches, stop.clone()),
            reconcile: reconcile::spawn(
                inner.store.clone(),
                live.clone(),
                inner.outbound.clone(),
                stop.clone(),
            ),
            source: source::spawn(
                inner.store.clone(),
                live,
                inner.outbound.clone(),
                away_since,
                stop,
            ),
        };
        crate::incident::spawn(
            inner.store.clone(),
            inner.live.subscribe(),
            inner.outbound.clone(),
            stop.clone(),
        );
        *self.engine() = Some(engine);
    }

    async fn chore(&self, chore: Chore) {
        match chore {
            Chore::Orders(orders) => self.obey(orders).await,
            Chore::Heartbeat => self.live_on().await,
            Chore::Retention(live) => self.forget(live).await,
            Chore::Health => self.watch_health().await,
        }
    }

    async fn obey(&self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            let engine = self.engine().clone();
            match (order, engine) {
                (Order::PathChanged(path), Some(engine)) => engine.dispatch.path_changed(path),
                (Order::Batch(batch), Some(engine)) => engine.replay.started(batch),
                (Order::Reconcile(job, reply), Some(engine)) => {
                    let _ = reply.send(engine.reconcile.run_now(&job));
                }
                (Order::CancelRun(job, by, reply), Some(engine)) => {
                    let _ = reply.send(engine.reconcile.cancel(&job, &by));
                }
                (Order::Approved, Some(engine)) => engine.reconcile.approved(),
                (Order::Reconcile(_, reply) | Order::CancelRun(_, _, reply), None) => {
                    let text = "everything is held: `midwatch adopt-host` first";
                    let _ = reply.send(Err(refused(text)));
                }
                (Order::EnableHook(system, reply), Some(engine)) => {
                    // The vendor may take its time: other orders do not wait for it.
                    tokio::spawn(async move {
                        let found = engine.source.enable(&system).await;
                        let _ = reply.send(found.map_err(refused));
                    });
                }
                (Order::EnableHook(_, reply), None) => {
                    let text = "everything is held: `midwatch adopt-host` first";
                    let _ = reply.send(Err(refused(text)));
                }
                (Order::Reload(reply), _) => {
                    let _ = reply.send(self.try_reload().await);
                }
                (Order::Adopted, None) if !self.inner.claims.is_cancelled() => {
                    match self.inner.store.begin_work(self.inner.service).await {
                        Ok(started) => self.start_engine(started),
                        Err(error) => tracing::error!(%error, "cannot begin to work"),
                    }
                }
                (Order::Drain, _) => self.inner.drain_asked.cancel(),
                // Held, or adopted already: the store has it, the next start reads it.
                (Order::Backfill, Some(engine)) => engine.source.backfill(),
                (
                    Order::PathChanged(_)
                    | Order::Batch(_)
                    | Order::Approved
                    | Order::Backfill
                    | Order::Adopted,
                    _,
                ) => {}
            }
        }
    }

    async fn live_on(&self) {
        let mut unreadable = None;
        let mut ticks = tokio::time::interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.inner.claims.is_cancelled() {
                return;
            }
            let listening = Some(self.inner.address.to_string());
            if let Err(error) = self.inner.store.heartbeat("running", listening).await {
                tracing::warn!(%error, "no sign of life could be written");
            }
            if let Err(error) = self.inner.store.expire_needs().await {
                tracing::warn!(%error, "what waited too long could not be held");
            }
            self.check_secrets(&mut unreadable).await;
        }
    }

    /// Looks whether every secret can be read, and says so where that changed since `known`.
    async fn check_secrets(&self, known: &mut Option<Vec<String>>) {
        let config = self.inner.live.borrow().config.clone();
        let looked =
            tokio::task::spawn_blocking(move || crate::config::secret::unreadable(&config));
        let Ok(found) = looked.await else { return };
        if known.as_ref() == Some(&found) || self.inner.store.set_unreadable(&found).await.is_err()
        {
            return;
        }
        let before = known.replace(found.clone()).unwrap_or_default();
        for words in found.iter().filter(|words| !before.contains(words)) {
            let text = format!("a secret cannot be read, {words}");
            self.log(Severity::Warning, "secret", text).await;
        }
    }

    async fn forget(&self, live: Live) {
        tokio::time::sleep(RETENTION_FIRST).await;
        loop {
            let retention = live.borrow().config.retention.clone();
            let now = self.inner.store.clock().now();
            loop {
                match (self.inner.store)
                    .prune(
                        now - retention.delivered,
                        now - retention.log,
                        retention.ledger.map(|age| now - age),
                    )
                    .await
                {
                    // In small steps, with room for deliveries between them.
                    Ok(true) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "retention could not prune");
                        break;
                    }
                }
            }
            tokio::time::sleep(RETENTION_EVERY).await;
        }
    }

    async fn watch_health(&self) {
        let mut health = self.inner.store.health();
        while health.changed().await.is_ok() {
            let now = health.borrow_and_update().clone();
            tracing::warn!(kind = "store", health = ?now, "what the database can do has changed");
            match now {
                Health::Good => {
                    let text = "the database takes everything again".to_owned();
                    self.log(Severity::Info, "store", text).await;
                }
                Health::DiskFull { free } => {
                    let text = format!(
                        "the disk is nearly full ({free} bytes free): no event is accepted until there is room"
                    );
                    self.log(Severity::Critical, "store", text).await;
                }
                // Nothing can be written: the log file and the screens say it.
                Health::Failing(_) | Health::Corrupt(_) => {}
            }
        }
    }
}

/// What runs beside the deliveries.
enum Chore {
    Orders(mpsc::Receiver<Order>),
    Heartbeat,
    Retention(Live),
    Health,
}
