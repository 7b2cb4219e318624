//! The loop that watches: reads the numbers, lets `step` say what becomes of incidents, keeps it, and has people told.
//!
//! A page is taken in by the commit that notes that it was due: no crash loses one or tells it twice. Where nothing can be
//! kept because the disk or the database refuses, the first level is told from memory, over its channels directly. Spawned
//! by the worker; it must never deliver a page that the queue can carry.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::model::{Incident, IncidentLine};
use super::pages::{self, Due, page_of};
use super::step::{Seen, step};
use crate::config::live::{Live, Runtime};
use crate::config::model::{ChannelKind, Config};
use crate::event::{Event, Origin};
use crate::http::oauth::health;
use crate::http::{Outbound, Target};
use crate::page::{self, Occasion, Page};
use crate::queue::model::Request;
use crate::store::view::{Lock, LogRow, Overview, Severity};
use crate::store::{Health, Incoming, Route, Store};
use crate::time::Timestamp;
use crate::visible::line;
use crate::watch::{Trouble, wrong_now};

/// Between two looks, where nothing happens.
const TICK: Duration = Duration::from_secs(5);
/// After a change the numbers settle for so long before they are looked at.
const SETTLE: Duration = Duration::from_millis(300);
/// Looks are at least so far apart.
const APART: Duration = Duration::from_secs(1);
/// What ended within this may come back as the same incident.
const RECENT: Duration = Duration::from_secs(30 * 60);
/// What happened so long before an incident may have caused it.
const BEFORE: Duration = Duration::from_secs(2 * 3_600);
/// Log lines that are looked through for it.
const LINES: usize = 200;
/// Causes that are told.
const CAUSES: usize = 5;
/// The database may refuse for so long before people are told from memory.
const REFUSING: Duration = Duration::from_secs(30);
/// They are told again after this.
const AGAIN: Duration = Duration::from_secs(30 * 60);
/// How long a page from memory, or the heartbeat, may take.
const DIRECT: Duration = Duration::from_secs(10);

/// The type of the event that carries a page.
const EVENT_TYPE: &str = "midwatch.page";

/// Starts to watch; ends at `stop`.
pub fn spawn(
    store: Store,
    live: Live,
    outbound: Outbound,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let watch = Watching {
        store,
        live,
        outbound,
        refusing: None,
        told: None,
        beaten: None,
    };
    tokio::spawn(async move {
        stop.run_until_cancelled(watch.run()).await;
    })
}

struct Watching {
    store: Store,
    live: Live,
    outbound: Outbound,
    /// Since when the database refuses.
    refusing: Option<Instant>,
    /// When people were last told from memory.
    told: Option<Instant>,
    /// When the heartbeat was last sent.
    beaten: Option<Instant>,
}

/// What one look finds.
struct Look {
    overview: Overview,
    troubles: Vec<Trouble>,
    known: Vec<Incident>,
    silences: Vec<super::Silence>,
    changed: Vec<String>,
}

impl Watching {
    async fn run(mut self) {
        let mut commits = self.store.changes();
        loop {
            let begun = Instant::now();
            commits.mark_unchanged();
            let runtime = self.live.borrow().clone();
            let fine = self.look(&runtime).await;
            match fine {
                Ok(()) => self.refusing = None,
                Err(error) => {
                    tracing::warn!(kind = "watch", %error, "what is wrong could not be looked at or kept");
                    let since = *self.refusing.get_or_insert(begun);
                    if since.elapsed() >= REFUSING
                        && self.told.is_none_or(|at| at.elapsed() >= AGAIN)
                    {
                        self.told = Some(Instant::now());
                        self.emergency(&runtime.config, &error).await;
                    }
                }
            }
            if self.refusing.is_none() {
                self.beat(&runtime.config).await;
            }
            let next = begun + TICK;
            let changed = async {
                // A store that is gone ends the worker, and this with it.
                if commits.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(SETTLE).await;
                tokio::time::sleep_until(begun + APART).await;
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = changed => {}
            }
        }
    }

    async fn look(&self, runtime: &Runtime) -> Result<(), String> {
        if let Some(words) = self.store.health().borrow().words()
            && !matches!(*self.store.health().borrow(), Health::DiskFull { .. })
        {
            return Err(words);
        }
        let look = self.read(runtime).await?;
        let now = look.overview.at;
        let seen = Seen {
            config: &runtime.config,
            overview: &look.overview,
            troubles: &look.troubles,
            silences: &look.silences,
            changed: &look.changed,
            now,
        };
        let mut known = look.known.clone();
        for (incident, lines) in step(&look.known, &seen) {
            let old = incident.id;
            let kept = self.keep(&incident, lines, Vec::new()).await?;
            // Somebody did something with it meanwhile: the next look sees both.
            let Some(id) = kept else { continue };
            let mut incident = incident;
            incident.id = id;
            incident.revision += 1;
            match known.iter_mut().find(|one| one.id == old) {
                Some(one) => *one = incident,
                None => known.push(incident),
            }
        }
        let open = known.iter().filter(|incident| incident.is_open()).count();
        for incident in &known {
            self.tell(
                incident,
                runtime,
                &look.overview,
                open.saturating_sub(1),
                now,
            )
            .await?;
        }
        Ok(())
    }

    async fn keep(
        &self,
        incident: &Incident,
        lines: Vec<IncidentLine>,
        pages: Vec<(Due, Incoming)>,
    ) -> Result<Option<crate::ids::IncidentId>, String> {
        let kept = self
            .store
            .keep_incident(incident.clone(), lines, Vec::new(), pages, None)
            .await;
        kept.map_err(|error| error.to_string())
    }

    /// Has everybody told who must be.
    async fn tell(
        &self,
        incident: &Incident,
        runtime: &Runtime,
        overview: &Overview,
        others: usize,
        now: Timestamp,
    ) -> Result<(), String> {
        let config = &runtime.config;
        let sent = {
            let (store, id) = (self.store.clone(), incident.id);
            blocking(move || {
                let reader = store.reader().map_err(|error| error.to_string())?;
                reader.pages_of(id).map_err(|error| error.to_string())
            })
            .await?
        };
        let mut after = incident.clone();
        let due = pages::due(&mut after, config, &overview.taken, &sent, now);
        if due.is_empty() && after == *incident {
            return Ok(());
        }
        let mut lines = Vec::new();
        let mut carried = Vec::new();
        for one in due {
            let Some(path) = runtime.id(&format!("page/{}", one.channel)) else {
                continue;
            };
            let page = page_of(&after, one.occasion, config, others, now);
            let text = match (one.occasion, one.instead_of) {
                (Occasion::Resolved, _) => {
                    format!("{} is told that it is over ({})", one.who, one.channel)
                }
                (_, Some(_)) => format!(
                    "{} is told over {} too: the other page has not arrived",
                    one.who, one.channel
                ),
                _ => format!(
                    "{} is told ({}), level {}",
                    one.who,
                    one.channel,
                    one.level + 1
                ),
            };
            lines.push(IncidentLine {
                at: now,
                actor: String::new(),
                kind: "page".to_owned(),
                text,
            });
            let id = format!(
                "incident-{}-{}-{}-{}-{}",
                incident.id,
                incident.revision,
                one.occasion.word(),
                one.level,
                one.channel
            );
            carried.push((one, carrier(&page, id, path, now)));
        }
        self.keep(&after, lines, carried).await?;
        Ok(())
    }

    async fn read(&self, runtime: &Runtime) -> Result<Look, String> {
        let store = self.store.clone();
        let config = runtime.config.clone();
        blocking(move || {
            let words = |error: crate::store::ReadError| error.to_string();
            let reader = store.reader().map_err(|error| error.to_string())?;
            let mut overview = reader.overview().map_err(words)?;
            // It is this process that holds it.
            overview.worker.lock = Lock::Held {
                pid: std::process::id(),
            };
            let tokens = health::all(&config, overview.at);
            let troubles = wrong_now(&overview, &tokens, &config);
            let now = overview.at;
            let log = reader.log(None, LINES).map_err(words)?;
            Ok(Look {
                known: reader.incidents_since(now - RECENT).map_err(words)?,
                silences: reader.silences().map_err(words)?,
                changed: causes(&log, &overview, &config, now),
                troubles,
                overview,
            })
        })
        .await
    }

    /// Tells the first level of the general policy, from memory.
    async fn emergency(&self, config: &Config, why: &str) {
        let now = self.store.clock().now();
        let policy = config.watch.escalation.as_deref();
        let policy = policy.or_else(|| {
            config
                .paths
                .iter()
                .find_map(|path| path.escalation.as_deref())
        });
        let Some(policy) = policy.and_then(|name| config.policy(name)) else {
            return;
        };
        let page = Page {
            site: config.site.name.clone(),
            occasion: Occasion::Firing,
            severity: Severity::Critical,
            incident: None,
            title: "midwatch cannot write its database".to_owned(),
            lines: vec![
                line(why, 200).to_string(),
                "Nothing new is taken in. This page was not kept, and is told once in half an hour."
                    .to_owned(),
            ],
            runbook: Some("disk-filling".to_owned()),
            since: now,
            dedup: format!("midwatch/{}/database", config.site.name),
            buttons: Vec::new(),
            text: String::new(),
        };
        let told = policy
            .critical
            .first()
            .into_iter()
            .flat_map(|level| &level.tell);
        for recipient in told.filter_map(|tell| config.recipient(tell, &[], now)) {
            for channel in recipient.channels {
                match self.directly(config, &channel, &page).await {
                    Ok(()) => {
                        tracing::warn!(kind = "watch", who = %recipient.who, %channel, "told from memory");
                        break;
                    }
                    Err(error) => {
                        tracing::error!(kind = "watch", %channel, ?error, "could not be told from memory");
                    }
                }
            }
        }
    }

    async fn directly(&self, config: &Config, channel: &str, page: &Page) -> Result<(), String> {
        let Some(to) = config.channels.get(channel) else {
            return Err("it is not configured".to_owned());
        };
        let document = page.to_json();
        let reply = if let ChannelKind::Email { to } = &to.kind {
            let letter = page::letter(document.as_bytes(), &page.dedup);
            self.outbound.mail(to, &letter, DIRECT).await
        } else {
            let request = Request {
                method: "POST".to_owned(),
                url: channel.to_owned(),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                key: String::new(),
                body: page::body(&to.kind, document.as_bytes()).into(),
            };
            self.outbound
                .send(Target::Channel(channel), &request, "", DIRECT)
                .await
        };
        match reply {
            Ok(reply) if (200..300).contains(&reply.status) => Ok(()),
            Ok(reply) => Err(format!("HTTP {}", reply.status)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Says to whoever listens that all was looked at, and that pages would go out.
    async fn beat(&mut self, config: &Config) {
        let due = self
            .beaten
            .is_none_or(|at| at.elapsed() >= config.watch.heartbeat_every);
        if config.watch.heartbeat.is_none() || !due {
            return;
        }
        let Ok(stuck) = self.stuck_pages().await else {
            return;
        };
        if stuck {
            return;
        }
        self.beaten = Some(Instant::now());
        let request = Request {
            method: "GET".to_owned(),
            url: "heartbeat".to_owned(),
            headers: Vec::new(),
            key: String::new(),
            body: Bytes::new(),
        };
        if let Err(error) = self
            .outbound
            .send(Target::Heartbeat, &request, "", DIRECT)
            .await
        {
            tracing::warn!(kind = "watch", ?error, "the heartbeat was not heard");
        }
    }

    /// A page has been on its way for longer than it should.
    async fn stuck_pages(&self) -> Result<bool, String> {
        let store = self.store.clone();
        blocking(move || {
            let reader = store.reader().map_err(|error| error.to_string())?;
            let overview = reader.overview().map_err(|error| error.to_string())?;
            let late = overview.at - Duration::from_secs(60);
            let mut pages = overview
                .paths
                .iter()
                .filter(|row| row.name.starts_with("page/"));
            Ok(pages.any(|row| row.oldest_open.is_some_and(|at| at < late)))
        })
        .await
    }
}

/// What happened shortly before, and may have caused what is wrong now; the last first.
fn causes(log: &[LogRow], overview: &Overview, config: &Config, now: Timestamp) -> Vec<String> {
    let zone = config.site.timezone;
    let mut found: Vec<(Timestamp, String)> = log
        .iter()
        .filter(|row| now.since(row.at) <= BEFORE)
        .filter(|row| {
            let kind = row.kind.as_str();
            matches!(
                kind,
                "reload"
                    | "worker"
                    | "secret"
                    | "pause"
                    | "resume"
                    | "golive"
                    | "replay"
                    | "login"
                    | "hook"
                    | "adopt"
            )
        })
        .map(|row| {
            (
                row.at,
                format!("{}: {}", line(&row.actor, 40), line(&row.text, 160)),
            )
        })
        .collect();
    found.extend(
        (overview.notes.iter())
            .filter(|note| now.since(note.last) <= BEFORE)
            .map(|note| {
                (
                    note.last,
                    format!("{}: {}", line(&note.system, 40), line(&note.text, 160)),
                )
            }),
    );
    found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let told = found.into_iter().take(CAUSES);
    told.map(|(at, text)| format!("{} {text}", crate::watch::when(at, now, zone)))
        .collect()
}

/// The event that carries a page.
fn carrier(page: &Page, id: String, path: crate::ids::PathId, now: Timestamp) -> Incoming {
    let data = page.to_json();
    Incoming {
        event: Event {
            source: "midwatch".to_owned(),
            id: id.clone(),
            kind: EVENT_TYPE.to_owned(),
            subject: None,
            time: Some(now),
            content_type: Some("application/json".to_owned()),
            idempotency_key: Some(id),
            schema_version: None,
            extensions: Vec::new(),
            data: Bytes::from(data),
            origin: Origin::Internal,
        },
        routes: vec![Route {
            path,
            order_key: None,
            on_dead_continue: true,
            delay: Duration::ZERO,
            hold: None,
        }],
        hold: None,
        faults: Vec::new(),
        group: None,
        hold_on_conflict: false,
        digest: [0; 16],
        about: Vec::new(),
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| error.to_string())?
}
