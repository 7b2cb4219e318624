//! What every command needs: the configuration, who acts, a reader, and a way to act.
//!
//! Acts through the worker if one runs; else takes the writer's lock for the command's own duration.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::Global;
use crate::config::model::Config;
use crate::config::{Diagnostic, Loaded};
use crate::control::action::{Action, Done, Preview, Submission};
use crate::control::wire::PeerKind;
use crate::control::{Client, Offline, StartError, Who, pinned, submission_id};
use crate::store::{OpenError, Reader};
use crate::visible::Visible;

/// The global options, read.
#[derive(Debug, Clone)]
pub struct Context {
    global: Global,
}

impl Context {
    pub(super) fn new(global: Global) -> Self {
        Self { global }
    }

    /// The configuration file, absolute, so that it can be handed to another process.
    pub fn config_file(&self) -> anyhow::Result<PathBuf> {
        std::path::absolute(&self.global.config).context("the configuration file has no path")
    }

    /// The checked configuration; all that is wrong with it is in the error.
    pub fn config(&self) -> anyhow::Result<Config> {
        usable(crate::config::load(&self.config_file()?))
    }

    /// The configuration, checked but for how the versions of its contracts fit: for those who tell more of that, or
    /// need none of it.
    pub fn uncompared(&self) -> anyhow::Result<Config> {
        usable(crate::config::load_uncompared(&self.config_file()?))
    }

    /// The checked configuration; where the file cannot be used, the one that the database's last worker works by, and
    /// a complaint. Whoever acts at night must not be stopped by a colleague's half-edited file.
    pub fn config_in_force(&self) -> anyhow::Result<Config> {
        let broken = match self.config() {
            Ok(config) => return Ok(config),
            Err(broken) => broken,
        };
        let file = self.config_file()?;
        let Some(config) = last_known(&file) else {
            return Err(broken);
        };
        super::complain(&broken.context(
            "going on with the configuration that the worker last applied, because the file cannot be used",
        ));
        Ok(config)
    }

    /// Who acts, as claimed.
    pub fn who(&self, kind: PeerKind, read_only: bool) -> Who {
        Who::new(self.global.name.clone(), kind, read_only, |name| {
            std::env::var(name).ok()
        })
    }

    /// A way to act: the running worker, or the lock for as long as the command lasts.
    pub async fn acting(&self, config: &Config) -> anyhow::Result<Acting> {
        let who = self.who(PeerKind::Command, false);
        if let Some(client) = Client::reach(&config.site.database, who.clone()).await? {
            return Ok(Acting::Attached(client));
        }
        match Offline::open(config.clone(), who).await {
            Ok(offline) => Ok(Acting::Offline(offline)),
            Err(error @ StartError::Open(OpenError::Locked { .. })) => Err(anyhow!(
                "{error}, which does not answer on its socket: it may be starting or stopping. Try again"
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The running worker, for what only it can do.
    pub async fn worker(&self, config: &Config) -> anyhow::Result<Client> {
        let who = self.who(PeerKind::Command, false);
        Client::reach(&config.site.database, who)
            .await?
            .ok_or_else(|| {
                anyhow!("no worker holds the database: start one with `midwatch worker`")
            })
    }
}

/// The configuration, or all that is wrong with it.
fn usable(loaded: Result<Loaded, Vec<Diagnostic>>) -> anyhow::Result<Config> {
    match loaded {
        Ok(loaded) => Ok(loaded.config),
        Err(wrong) => Err(anyhow!(
            "the configuration is not usable\n{}",
            crate::config::report::render(&wrong).trim_end()
        )),
    }
}

/// The configuration that was applied last, from the database that a broken file still names (or the default one
/// beside it, also where there is no file).
fn last_known(file: &Path) -> Option<Config> {
    // A file that is gone says as little as a broken one: then it is the default database beside it.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let named = text.parse::<toml::Table>().ok().and_then(|table| {
        let database = table.get("site")?.get("database")?.as_str()?;
        Some(database.to_owned())
    });
    let database = file
        .parent()?
        .join(named.as_deref().unwrap_or("midwatch.db"));
    let reader = Reader::open(&database).ok()?;
    let hash = reader.overview().ok()?.config;
    let text = reader.config_text(hash).ok()??;
    Some(crate::config::parse(&text, file).ok()?.config)
}

/// Opens the database for reading.
pub fn reader(config: &Config) -> anyhow::Result<Reader> {
    let file = &config.site.database;
    if !file.exists() {
        return Err(anyhow!(
            "there is no database at {} yet: the first `midwatch`, `midwatch worker` or `midwatch send` makes it",
            Visible::of(&file.to_string_lossy())
        ));
    }
    Ok(Reader::open(file)?)
}

/// A way to act.
#[derive(Debug)]
pub enum Acting {
    /// Through the running worker.
    Attached(Client),
    /// With the lock in hand; the next worker goes on with what is recorded.
    Offline(Offline),
}

impl Acting {
    /// The client.
    pub fn client(&self) -> &Client {
        match self {
            Self::Attached(client) => client,
            Self::Offline(offline) => offline.client(),
        }
    }

    /// A worker runs: what is submitted happens now.
    pub fn is_attached(&self) -> bool {
        matches!(self, Self::Attached(_))
    }

    /// Previews.
    pub async fn preview(&self, action: &Action) -> anyhow::Result<Preview> {
        Ok(self.client().preview(action.clone()).await?)
    }

    /// Submits what was previewed.
    pub async fn submit(&self, action: Action, preview: &Preview) -> anyhow::Result<Done> {
        Ok(self.client().submit(pinned(action, preview)?).await?)
    }

    /// Submits what needs no preview.
    pub async fn submit_plain(&self, action: Action) -> anyhow::Result<Done> {
        Ok(self.client().submit(unpinned(action)?).await?)
    }

    /// Lets go.
    pub async fn close(self) {
        if let Self::Offline(offline) = self {
            offline.close().await;
        }
    }
}

/// A submission that pins nothing.
pub fn unpinned(action: Action) -> anyhow::Result<Submission> {
    Ok(Submission {
        id: submission_id()?,
        action,
        high_water: None,
        expected: None,
    })
}
