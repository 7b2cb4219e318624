//! Sender health: asks each vendor now and then whether its webhook is still enabled and calls us, and enables it again
//! when an operator says so. One request of the system's budget for each look.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::backfill::Gaps;
use super::standing::{Hook, Ours, Standing, judge, news};
use crate::config::live::Live;
use crate::config::model::{Config, System, Webhooks};
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::record::json::Node;
use crate::record::map::{RecordMap, Shape};
use crate::record::shape::{self, Filling};
use crate::store::view::SenderRow;
use crate::store::{LogEntry, Store};
use crate::visible::Visible;

/// Total deadline of one request.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The most that is read of an answer.
const READ_CAP: usize = 1 << 20;

/// Asks vendors for their webhooks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hooks {
    store: Store,
    live: Live,
    outbound: Outbound,
    engine: Engine,
    gaps: Gaps,
}

impl Hooks {
    pub(super) fn new(
        store: Store,
        live: Live,
        outbound: Outbound,
        engine: Engine,
        gaps: Gaps,
    ) -> Self {
        Self {
            store,
            live,
            outbound,
            engine,
            gaps,
        }
    }

    /// Looks at every watched system at the start, as often as its configuration says, and when that changes.
    pub(super) async fn watch(mut self) {
        loop {
            let config = self.live.borrow_and_update().config.clone();
            let watched: Vec<_> = (config.systems.values())
                .filter_map(|system| {
                    watched(system).map(|(webhooks, every)| (system, webhooks, every))
                })
                .collect();
            let mut due = vec![Instant::now(); watched.len()];
            loop {
                for ((system, webhooks, every), due) in watched.iter().zip(&mut due) {
                    if *due <= Instant::now() {
                        // What went wrong is in the row, and in the log.
                        let _ = self.look(&config, system, webhooks).await;
                        *due = Instant::now() + *every;
                    }
                }
                let next = due.iter().min().copied();
                let next = async {
                    match next {
                        Some(next) => tokio::time::sleep_until(next).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = next => {}
                    changed = self.live.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                }
            }
        }
    }

    /// Asks one vendor, and keeps what it said.
    async fn look(
        &self,
        config: &Config,
        system: &System,
        webhooks: &Webhooks,
    ) -> Result<Standing, String> {
        let found = self.listed(system, webhooks).await.map(|hooks| {
            let ours = Ours {
                public_url: config.site.public_url.as_deref(),
                system: &system.name,
            };
            judge(&hooks, &ours, &webhooks.enabled)
        });
        self.keep(config, system, &found).await;
        found
    }

    async fn keep(&self, config: &Config, system: &System, found: &Result<Standing, String>) {
        let before = self.before(&system.name).await;
        let mut row = SenderRow {
            system: system.name.clone(),
            ..before.clone().unwrap_or_default()
        };
        match found {
            Ok(standing) => {
                row.state = Some(standing.state.clone());
                row.address.clone_from(&standing.address);
                row.hook = (!standing.ids.is_empty()).then(|| standing.ids.join(", "));
                row.error = None;
            }
            // What was last known stands beside why it cannot be asked now.
            Err(error) => row.error = Some(error.clone()),
        }
        let line = news(before.as_ref(), &row).map(|(severity, text)| LogEntry {
            severity,
            actor: None,
            kind: "sender",
            path: None,
            delivery: None,
            text,
        });
        if let Some(line) = &line {
            tracing::info!(kind = "sender", text = ?line.text, "logged");
        }
        if let Err(error) = self.store.sender_checked(row.clone(), line).await {
            tracing::warn!(error = %Visible::of(&error.to_string()), "how a sender stands could not be kept");
        }
        self.gaps
            .sender_changed(config, system, before.as_ref(), &row)
            .await;
    }

    /// What was kept of a system before.
    async fn before(&self, system: &str) -> Option<SenderRow> {
        let rows = self.store.senders().await.ok()?;
        rows.into_iter().find(|row| row.system == system)
    }

    /// What the vendor lists.
    async fn listed(&self, system: &System, webhooks: &Webhooks) -> Result<Vec<Hook>, String> {
        let body = self.ask(system, &webhooks.list, None).await?;
        let answer = Node::parse(&body)
            .map_err(|error| format!("the list of its webhooks cannot be read: {error}"))?;
        let items = shape::items(&answer, &webhooks.list.answer)
            .map_err(|error| format!("the list of its webhooks cannot be read: {error}"))?;
        let text = |item: &Node, at: &str| {
            let found = item.pointer(at).and_then(Node::plain);
            found.unwrap_or_default().to_owned()
        };
        let hooks = items.iter().map(|item| Hook {
            id: text(item, &webhooks.id),
            address: text(item, &webhooks.address),
            state: text(item, &webhooks.state),
        });
        Ok(hooks.collect())
    }

    /// One request, within the budget; the body of a good answer.
    async fn ask(
        &self,
        system: &System,
        shape: &Shape,
        id: Option<&str>,
    ) -> Result<bytes::Bytes, String> {
        let base = (system.url.as_deref())
            .and_then(|url| Url::parse(url).ok())
            .ok_or("it has no url")?;
        let filling = Filling {
            id,
            ..Filling::default()
        };
        let request = shape::request(&base, &RecordMap::default(), shape, &filling, &self.engine)
            .map_err(|error| error.to_string())?;
        self.outbound.budget(&system.name).acquire().await;
        let reply = self
            .outbound
            .call(&system.name, &request, TIMEOUT, READ_CAP)
            .await
            .map_err(|error| error.to_string())?;
        match reply.status {
            200..=299 if reply.truncated => Err("its answer is too long".to_owned()),
            200..=299 => Ok(reply.body),
            status => Err(format!("it answered {status}")),
        }
    }

    /// Enables those of our webhooks that do not call, then looks again.
    pub(super) async fn enable(&self, name: &str) -> Result<String, String> {
        let config = self.live.borrow().config.clone();
        let system = (config.systems.get(name))
            .ok_or_else(|| format!("no system is called {}", Visible::of(name)))?;
        let webhooks = (system.webhooks.as_ref()).ok_or_else(|| {
            format!("{name} does not say how its webhooks are listed: systems.{name}.webhooks")
        })?;
        let standing = self.look(&config, system, webhooks).await?;
        let ids = match standing.state.as_str() {
            SenderRow::ENABLED => return Ok(format!("the webhooks of {name} are enabled already")),
            SenderRow::MISSING => {
                return Err(format!(
                    "{name} has no webhook that calls this address: make one there"
                ));
            }
            SenderRow::ELSEWHERE => {
                return Err(format!(
                    "the webhook of {name} calls another address: correct it there, or site.public_url here"
                ));
            }
            _ => standing.ids,
        };
        let shape = (webhooks.enable.as_ref()).ok_or_else(|| {
            format!("{name} does not say how a webhook is enabled: systems.{name}.webhooks.enable")
        })?;
        let mut failed = BTreeMap::new();
        for id in &ids {
            if let Err(error) = self.ask(system, shape, Some(id)).await {
                failed.insert(id, error);
            }
        }
        if let Some((id, error)) = failed.first_key_value() {
            let (id, error) = (Visible::of(id), Visible::of(error));
            return Err(format!("webhook {id} of {name} was not enabled: {error}"));
        }
        // What the vendor says now, not what it was asked, is what counts.
        let after = self.look(&config, system, webhooks).await?;
        match after.state.as_str() {
            SenderRow::ENABLED => Ok(format!(
                "enabled {} of {name}; what was missed meanwhile has to be asked for",
                if ids.len() == 1 {
                    "the webhook".to_owned()
                } else {
                    format!("{} webhooks", ids.len())
                }
            )),
            state => Err(format!(
                "{name} took the request, but still says {}",
                Visible::of(state)
            )),
        }
    }
}

/// How its vendor is asked and how often, if the configuration says that it should be.
fn watched(system: &System) -> Option<(&Webhooks, Duration)> {
    let every = system.hooks.as_ref()?.watch?;
    Some((system.webhooks.as_ref()?, every))
}
