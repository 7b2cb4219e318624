//! The action layer: everything an operator can do, in one place, for console, CLI and socket alike.
//!
//! Every action is previewed by the same code that does it, recorded under the id that its submitter made (so that
//! repeating is safe), and audited. Must never act on a set that was not previewed: replays and cancellations are
//! pinned by high water and count, and an empty filter is refused. Called by `client` and `socket`; what only the running worker
//! can do goes to it as an [`Order`].

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::action::{Action, Actor, Done, Refused, Submission};
use super::escalate;
use super::wire::{SendOutcome, SendReceipt};
use crate::config::live::Live;
use crate::config::model::{Config, System};
use crate::event::envelope;
use crate::http::Outbound;
use crate::ids::{BatchId, DeliveryId, PathId};
use crate::ingest::{Intake, too_large};
use crate::queue::filter::Filter;
use crate::store::view::{BatchState, Overview, Pause, Severity};
use crate::store::{BatchOptions, LogEntry, ReadError, Reader, Receipt, Store, StoreError};
use crate::time::Timestamp;
use crate::visible::Visible;

mod adopt;
mod backfill;
mod check;
mod force;
mod golive;
mod held;
mod incident;
mod mapped;
mod plan;
mod preview;
mod probe;
mod review;
mod secret;
mod set;

pub use adopt::progress as adoption_progress;
pub use secret::{Place, places};

use check::{is_submission_id, known, pins};

/// The fastest replay, in releases per second.
const MAX_PACE: f64 = 1_000.0;

/// The longest text that an operator can add to an action, in characters.
const MAX_NOTE: usize = 2_000;

/// What the running worker must do about an action.
#[derive(Debug)]
pub(super) enum Order {
    /// A pause or a breaker was changed.
    PathChanged(PathId),
    /// A batch was created or ended.
    Batch(BatchId),
    /// Run a job; the answer says why not.
    Reconcile(String, oneshot::Sender<Result<(), Refused>>),
    /// Cancel the run of a job, in somebody's name; the answer says why not.
    CancelRun(String, String, oneshot::Sender<Result<(), Refused>>),
    /// A plan was approved.
    Approved,
    /// Ask a vendor to enable its webhook again; the answer says what it found, or why not.
    EnableHook(String, oneshot::Sender<Result<String, Refused>>),
    /// A gap was kept that a system is to be asked for.
    Backfill,
    /// Apply the configuration file; the answer says what changed, or what is wrong with the file.
    Reload(oneshot::Sender<Result<String, Refused>>),
    /// The database belongs to this host now.
    Adopted,
    /// Finish what is under way and stop.
    Drain,
}

/// The action layer over one open store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Actions {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    live: Live,
    /// What the worker started with.
    begun: Arc<Config>,
    intake: Intake,
    /// None: no worker runs here, the lock was taken for one command.
    orders: Option<mpsc::Sender<Order>>,
    /// The worker's, or made when first needed: it reads the machine's certificates.
    outbound: OnceLock<Outbound>,
    /// Held by the one adoption that is under way.
    adopting: tokio::sync::Mutex<()>,
    /// Ends what takes long.
    stop: CancellationToken,
    under_way: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Actions {
    /// Over the store of a running worker, which obeys orders and lends its client.
    pub(super) fn of_worker(
        store: Store,
        live: Live,
        orders: mpsc::Sender<Order>,
        outbound: Outbound,
        stop: CancellationToken,
    ) -> Self {
        Self::new(store, live, Some(orders), OnceLock::from(outbound), stop)
    }

    /// Over a store that was opened for one command.
    pub(super) fn alone(store: Store, live: Live) -> Self {
        Self::new(store, live, None, OnceLock::new(), CancellationToken::new())
    }

    fn new(
        store: Store,
        live: Live,
        orders: Option<mpsc::Sender<Order>>,
        outbound: OnceLock<Outbound>,
        stop: CancellationToken,
    ) -> Self {
        let intake = Intake::new(store.clone(), live.clone());
        let begun = live.borrow().config.clone();
        Self {
            inner: Arc::new(Inner {
                store,
                begun,
                live,
                intake,
                orders,
                outbound,
                adopting: tokio::sync::Mutex::default(),
                stop,
                under_way: Mutex::default(),
            }),
        }
    }

    fn outbound(&self) -> &Outbound {
        let live = &self.inner.live;
        (self.inner.outbound).get_or_init(|| Outbound::new(live.clone()))
    }

    /// The store's time.
    pub fn now(&self) -> Timestamp {
        self.inner.store.clock().now()
    }

    /// Counts commits that changed anything a screen shows.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.store.changes()
    }

    /// Does what was submitted, once: the same submission again gets the first one's answer.
    pub async fn submit(&self, submission: Submission, actor: Actor) -> Result<Done, Refused> {
        if !is_submission_id(&submission.id) {
            return Err(refused("a submission's id is 32 hex digits"));
        }
        let gate = {
            let mut under_way = self.lock_under_way();
            under_way.entry(submission.id.clone()).or_default().clone()
        };
        let turn = gate.lock().await;
        let id = submission.id.clone();
        let outcome = self.submit_alone(submission, actor).await;
        drop(turn);
        drop(gate);
        self.lock_under_way()
            .retain(|other, gate| *other != id || Arc::strong_count(gate) > 1);
        outcome
    }

    fn lock_under_way(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<()>>>> {
        // The table is whole between statements: a panic elsewhere leaves it usable.
        (self.inner.under_way.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    async fn submit_alone(&self, submission: Submission, actor: Actor) -> Result<Done, Refused> {
        let store = &self.inner.store;
        if let Some(done) = store.done_before(submission.id.clone()).await? {
            return Ok(done);
        }
        self.checked(&submission.action).await?;
        let who = actor.clone();
        tracing::info!(
            kind = "action",
            action = %Visible::of(&format!("{:?}", submission.action)),
            actor = %Visible::of(&actor.to_string()),
            "submitted"
        );
        let id = submission.id.clone();
        // On the heap: it has room for whatever any action needs, and many futures hold it.
        let (done, log) = Box::pin(self.perform(submission, actor))
            .await
            .inspect_err(|refused| {
                tracing::warn!(
                    kind = "action",
                    actor = %Visible::of(&who.to_string()),
                    why = %Visible::of(&refused.text),
                    "refused"
                );
            })?;
        store.record_done(id, done.clone(), log).await?;
        Ok(done)
    }

    /// Does it. The log entry is the audit row, where the store's own function has not written one.
    async fn perform(
        &self,
        submission: Submission,
        actor: Actor,
    ) -> Result<(Done, Option<LogEntry>), Refused> {
        let Submission {
            id,
            action,
            high_water,
            expected,
        } = submission;
        let store = &self.inner.store;
        let audit = |kind, path, delivery, text: String| audit(&actor, kind, path, delivery, text);
        match action {
            Action::Replay {
                filter,
                canary,
                pace,
                skip_risky,
                force,
            } => {
                let (high_water, expected) = pins(high_water, expected)?;
                let mut scope = filter.words();
                if let Some(name) = &force {
                    let shown = self.named(&filter, name).await?;
                    let _ = write!(scope, ", forced by name: {shown}");
                }
                // What is forced is risky by its nature.
                let skip_risky = skip_risky && force.is_none();
                let going = self.going(&filter, skip_risky).await?;
                let log = audit(
                    "replay",
                    self.only_path(&filter),
                    only_delivery(&filter),
                    format!("replay of {scope} ({going})"),
                );
                let options = BatchOptions {
                    skip_risky,
                    // A set that is no larger than its canary has no rest to protect: it goes.
                    canary: if expected <= u64::from(canary) {
                        0
                    } else {
                        canary
                    },
                    pace,
                    scope: scope.clone(),
                    forced: force.is_some(),
                };
                let batch = store
                    .create_batch(filter, high_water, expected, options, log)
                    .await?
                    .id;
                self.order(Order::Batch(batch)).await;
                let mut done = done(
                    self.later(format!("replay {} of {scope} started", batch.0))
                        .await,
                );
                done.batch = Some(batch);
                Ok((done, None))
            }
            Action::AbortReplay { batch } => {
                let why = format!("stopped by {}", actor.name);
                let row = store
                    .set_batch(batch, BatchState::Aborted, Some(why))
                    .await?;
                self.order(Order::Batch(batch)).await;
                let mut done = done(format!(
                    "replay {} stopped: {} not released stay as they were",
                    batch.0, row.pending
                ));
                done.batch = Some(batch);
                let log = audit("replay", None, None, done.text.clone());
                Ok((done, Some(log)))
            }
            Action::Cancel { filter, reason } => {
                let (high_water, expected) = pins(high_water, expected)?;
                let scope = filter.words();
                let log = audit(
                    "cancel",
                    self.only_path(&filter),
                    only_delivery(&filter),
                    format!("cancelled {scope}{}", because(&reason)),
                );
                let count = store
                    .cancel(filter, high_water, expected, reason, log)
                    .await?;
                Ok((done(format!("cancelled {count}: {scope}")), None))
            }
            Action::Pause { path, reason } => {
                let number = self.number(&path)?;
                let before = (self.overview().await?.paths.into_iter())
                    .find(|row| row.id == number)
                    .and_then(|row| row.pause);
                let pause = pause_after(before, reason.trim(), &actor, self.now());
                let text = format!("{path} paused{}", because(&pause.reason));
                let log = audit("pause", Some(number), None, text);
                store.set_pause(number, Some(pause), log).await?;
                self.order(Order::PathChanged(number)).await;
                Ok((done(format!("{path} is paused until resumed")), None))
            }
            Action::Resume { path } => {
                let number = self.number(&path)?;
                let log = audit("resume", Some(number), None, format!("{path} resumed"));
                store.set_pause(number, None, log).await?;
                let overview = self.overview().await?;
                let broken = overview.paths.iter().any(|row| {
                    row.id == number && row.breaker != crate::store::view::Breaker::Closed
                });
                if broken {
                    let log = audit(
                        "breaker",
                        Some(number),
                        None,
                        format!("breaker of {path} closed by hand"),
                    );
                    store
                        .set_breaker(number, crate::store::view::Breaker::Closed, Some(log))
                        .await?;
                }
                self.order(Order::PathChanged(number)).await;
                let text = self.later(format!("{path} is attempted again")).await;
                Ok((done(text), None))
            }
            Action::Escalate {
                path,
                delivery,
                note,
            } => {
                let message = self
                    .escalation(&path, delivery, &note, Some(&actor))
                    .await?;
                let incoming = message.incoming(&id, self.now());
                let event = match store.accept(vec![incoming]).await?.pop() {
                    Some(
                        Receipt::Accepted { event, .. }
                        | Receipt::Duplicate { event }
                        | Receipt::Conflict { event },
                    ) => event,
                    other => {
                        return Err(refused(format!("the escalation was not queued: {other:?}")));
                    }
                };
                let mut done = done(
                    self.later(format!(
                        "escalation of {path} queued to {}",
                        message.channel
                    ))
                    .await,
                );
                done.delivery = Some(DeliveryId::new(event, 0));
                let log = audit(
                    "escalate",
                    Some(self.number(&path)?),
                    done.delivery,
                    format!("{path} escalated to {}", message.channel),
                );
                Ok((done, Some(log)))
            }
            Action::Incident { incident, act } => {
                Ok((self.change_incident(incident, &act, &actor).await?, None))
            }
            Action::Declare {
                title,
                path,
                critical,
            } => Ok((self.declare(&title, path, critical, &actor).await?, None)),
            Action::Silence {
                rule,
                subject,
                until,
                reason,
            } => Ok((
                self.silence(rule, subject, until, reason, &actor).await?,
                None,
            )),
            Action::EndSilence { silence } => Ok((self.end_silence(silence, &actor).await?, None)),
            Action::TakeRota {
                rota,
                person,
                until,
            } => Ok((self.take_rota(rota, person, until, &actor).await?, None)),
            Action::TestPage { to } => {
                let done = self.test_page(&to, &id, &actor).await?;
                let log = audit("escalate", None, done.delivery, done.text.clone());
                Ok((done, Some(log)))
            }
            Action::Reconcile { job } => {
                let (reply, answer) = oneshot::channel();
                self.ask(Order::Reconcile(job.clone(), reply), answer)
                    .await??;
                let log = audit("reconcile", None, None, format!("{job} run by hand"));
                Ok((done(format!("reconciliation {job} started")), Some(log)))
            }
            Action::CancelRun { job } => {
                let (reply, answer) = oneshot::channel();
                let order = Order::CancelRun(job.clone(), actor.to_string(), reply);
                self.ask(order, answer).await??;
                let log = audit("reconcile", None, None, format!("run of {job} cancelled"));
                Ok((done(format!("the run of {job} is cancelled")), Some(log)))
            }
            Action::ApprovePlan { plan, digest } => {
                Ok((self.approve_plan(plan, digest, &actor).await?, None))
            }
            Action::DeclinePlan { plan, reason } => {
                Ok((self.decline_plan(plan, reason, &actor).await?, None))
            }
            Action::UndoPlan { plan } => Ok((self.undo_plan(plan, &actor).await?, None)),
            Action::Tolerate { job, key, reason } => {
                let done = self.tolerate(job, key.expose(), reason, &actor);
                Ok((done.await?, None))
            }
            Action::Untolerate { job, key } => {
                Ok((self.untolerate(job, key.expose(), &actor).await?, None))
            }
            Action::ReplaceSecret {
                system,
                which,
                value,
                force,
            } => {
                self.replace_secret(&system, &which, value, force, &actor)
                    .await
            }
            Action::EnableHook { system } => {
                let (reply, answer) = oneshot::channel();
                let found = self
                    .ask(Order::EnableHook(system.clone(), reply), answer)
                    .await??;
                let log = audit("sender", None, None, found.clone());
                Ok((done(found), Some(log)))
            }
            Action::Backfill { system, since } => {
                Ok((self.backfill(&system, since, &actor).await?, None))
            }
            Action::LoggedIn { system } => self.logged_in(&system, &actor).await,
            Action::GoLive { path } => self.go_live(&path, &actor).await,
            Action::Adopt {
                kind,
                sides,
                dry_run,
            } => Box::pin(self.adopt(&kind, &sides, dry_run, &actor)).await,
            Action::Probe { system } => Box::pin(self.probe(&system, &actor)).await,
            Action::Reload => {
                let (reply, answer) = oneshot::channel();
                let changed = self.ask(Order::Reload(reply), answer).await??;
                let text = format!("configuration applied: {changed}");
                let log = audit("reload", None, None, text.clone());
                Ok((done(text), Some(log)))
            }
            Action::Backup { file } => {
                let bytes = store.backup(file.clone()).await?;
                let text = format!(
                    "the database was copied to {} ({bytes} bytes)",
                    Visible::of(&file.to_string_lossy())
                );
                let log = audit("backup", None, None, text.clone());
                Ok((done(text), Some(log)))
            }
            Action::Release { scope } => {
                let done = self.release_held(scope, high_water, expected, &actor);
                Ok((done.await?, None))
            }
            Action::EditHeld { event, edit } => {
                let done = self.edit_held(event, &edit, high_water, &actor);
                Ok((done.await?, None))
            }
            Action::DiscardHeld { scope, reason } => {
                let done = self.discard_held(scope, &reason, high_water, expected, &actor);
                Ok((done.await?, None))
            }
            Action::Decide { review, side } => {
                let done = self.decide(&id, review, &side, high_water, &actor);
                Ok((done.await?, None))
            }
            Action::AdoptHost => {
                let log = audit(
                    "adopt-host",
                    None,
                    None,
                    "this host now works the database".into(),
                );
                store.adopt_host(log).await?;
                self.order(Order::Adopted).await;
                let text = "the database belongs to this host now".to_owned();
                Ok((done(self.later(text).await), None))
            }
            Action::Drain => {
                if self.inner.orders.is_none() {
                    return Err(no_worker());
                }
                let log = audit("drain", None, None, "the worker was asked to stop".into());
                self.order(Order::Drain).await;
                let text = "the worker finishes what is under way and stops";
                Ok((done(text.into()), Some(log)))
            }
        }
    }

    /// Takes events in, each the JSON object of one line.
    pub async fn send(&self, lines: Vec<Box<RawValue>>) -> Result<Vec<SendReceipt>, Refused> {
        let mut receipts: Vec<Option<SendReceipt>> = Vec::with_capacity(lines.len());
        let mut events = Vec::with_capacity(lines.len());
        let most = self.inner.live.borrow().config.ingest.max_body;
        for line in &lines {
            let read = if line.get().len() > most {
                Err(too_large(most))
            } else {
                envelope::from_json_line(line.get()).map_err(|error| error.to_string())
            };
            match read {
                Ok(event) => {
                    events.push(event);
                    receipts.push(None);
                }
                Err(error) => receipts.push(Some(SendReceipt {
                    outcome: SendOutcome::Refused,
                    event: None,
                    deliveries: 0,
                    reason: Some(error),
                    faults: Vec::new(),
                })),
            }
        }
        let mut stored = if events.is_empty() {
            Vec::new()
        } else {
            self.inner.intake.admit(events, false).await?
        }
        .into_iter();
        Ok(receipts
            .into_iter()
            .filter_map(|known| known.or_else(|| stored.next().map(receipt)))
            .collect())
    }

    async fn escalation(
        &self,
        path: &str,
        delivery: Option<DeliveryId>,
        note: &str,
        actor: Option<&Actor>,
    ) -> Result<escalate::Message, Refused> {
        let runtime = self.inner.live.borrow().clone();
        let overview = self.overview().await?;
        let (groups, detail) = self
            .read(move |reader| {
                let detail = delivery.map(|id| reader.delivery(id)).transpose()?;
                Ok((reader.dead_groups()?, detail.flatten()))
            })
            .await?;
        if let (Some(id), None) = (delivery, &detail) {
            return Err(refused(format!("there is no delivery {id}")));
        }
        escalate::compose(&escalate::Facts {
            runtime: &runtime,
            overview: &overview,
            groups: &groups,
            path,
            delivery: detail.as_ref(),
            note,
            actor,
        })
    }

    async fn overview(&self) -> Result<Overview, Refused> {
        self.read(Reader::overview).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refused> {
        let store = self.inner.store.clone();
        tokio::task::spawn_blocking(move || {
            let reader = store.reader().map_err(|error| refused(error.to_string()))?;
            read(&reader).map_err(|error| refused(error.to_string()))
        })
        .await
        .map_err(|_| refused("the database could not be read"))?
    }

    fn number(&self, path: &str) -> Result<PathId, Refused> {
        let runtime = self.inner.live.borrow();
        runtime.id(path).ok_or_else(|| {
            let names = runtime.config.paths.iter().map(|path| path.name.as_str());
            known("path", path, names)
                .err()
                .unwrap_or_else(|| refused("the path has no number yet: reload"))
        })
    }

    fn system(&self, name: &str) -> Result<System, Refused> {
        let runtime = self.inner.live.borrow();
        let systems = &runtime.config.systems;
        (systems.get(name).cloned()).ok_or_else(|| {
            let names = systems.keys().map(String::as_str);
            (known("system", name, names).err())
                .unwrap_or_else(|| refused("the system is not configured"))
        })
    }

    fn only_path(&self, filter: &Filter) -> Option<PathId> {
        match &filter.paths[..] {
            [path] => self.inner.live.borrow().id(path),
            _ => None,
        }
    }

    /// Adds why it does not happen now: the database is of another host, or no worker runs here.
    async fn later(&self, text: String) -> String {
        let foreign = self.overview().await.ok().and_then(|all| all.foreign_host);
        if let Some(host) = foreign {
            text + "; " + &held(&host)
        } else if self.inner.orders.is_some() {
            text
        } else {
            text + "; no worker runs, the next one goes on with it"
        }
    }

    async fn order(&self, order: Order) {
        if let Some(orders) = &self.inner.orders {
            // A worker that stops needs no orders: what was recorded waits for the next one.
            let _ = orders.send(order).await;
        }
    }

    async fn ask<T>(&self, order: Order, answer: oneshot::Receiver<T>) -> Result<T, Refused> {
        if self.inner.orders.is_none() {
            return Err(refused(
                "no worker runs, and it is the worker that does this: start one with `midwatch worker`",
            ));
        }
        self.order(order).await;
        answer
            .await
            .map_err(|_| refused("the worker is stopping: try again when one runs"))
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let next = match &error {
            StoreError::Refused(_) => ". Nothing was stored: free space, then try again",
            StoreError::Corrupt(_) => ". Restore the last backup; `midwatch doctor` says more",
            StoreError::Closed => ": the worker is stopping",
            StoreError::Invalid(_) => "",
        };
        refused(format!("{error}{next}"))
    }
}

fn receipt(receipt: Receipt) -> SendReceipt {
    let mut found = Vec::new();
    let (outcome, event, deliveries, reason) = match receipt {
        Receipt::Accepted { event, deliveries } => (SendOutcome::Accepted, event, deliveries, None),
        Receipt::Duplicate { event } => (SendOutcome::Duplicate, event, 0, None),
        Receipt::Conflict { event } => {
            let why = "its id or key is known with other content; nothing was stored";
            (SendOutcome::Conflict, event, 0, Some(why.to_owned()))
        }
        Receipt::Held {
            event,
            reason,
            faults,
        } => {
            found = faults;
            (SendOutcome::Held, event, 0, Some(reason))
        }
        Receipt::Unrouted { event } => (SendOutcome::Unrouted, event, 0, None),
    };
    SendReceipt {
        outcome,
        event: Some(event),
        deliveries,
        reason,
        faults: found,
    }
}

/// An audit row.
fn audit(
    actor: &Actor,
    kind: &'static str,
    path: Option<PathId>,
    delivery: Option<DeliveryId>,
    text: String,
) -> LogEntry {
    LogEntry {
        severity: Severity::Info,
        actor: Some(actor.clone()),
        kind,
        path,
        delivery,
        text,
    }
}

fn done(text: String) -> Done {
    Done {
        text,
        batch: None,
        delivery: None,
        report: None,
    }
}

pub(super) fn refused(text: impl Into<String>) -> Refused {
    Refused { text: text.into() }
}

/// Why nothing is delivered on a database of another host, and what to do.
pub(super) fn held(host: &str) -> String {
    format!(
        "held: this database belongs to {}; `midwatch adopt-host` first",
        Visible::of(host)
    )
}

/// The pause of a path that may be paused already: who gives no reason leaves the one that is known.
fn pause_after(before: Option<Pause>, reason: &str, actor: &Actor, now: Timestamp) -> Pause {
    match before {
        Some(before) if before.by_person && reason.is_empty() => before,
        before => Pause {
            by_person: true,
            by: actor.to_string(),
            reason: match (reason, before) {
                ("", Some(before)) => before.reason,
                (reason, _) => reason.to_owned(),
            },
            since: now,
        },
    }
}

/// ": why", or nothing.
fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

fn no_worker() -> Refused {
    refused(
        "no worker runs: start one with `midwatch worker`, it reads the configuration as it starts",
    )
}

fn only_delivery(filter: &Filter) -> Option<DeliveryId> {
    match &filter.ids[..] {
        [id] => Some(*id),
        _ => None,
    }
}
