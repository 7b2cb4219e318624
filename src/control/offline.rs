//! Acting while no worker runs: a command takes the writer's lock for its own duration.
//!
//! Records what the next worker then does; never delivers anything itself. Called by the command line.

use std::sync::Arc;

use tokio::sync::watch;

use super::actions::Actions;
use super::client::{Client, Inside};
use super::presence::Presence;
use super::start::{StartError, open};
use super::who::Who;
use crate::config::live::Runtime;
use crate::config::model::Config;
use crate::store::Store;
use crate::time::Clock;

/// The database, held for one command. Close it at the end.
#[derive(Debug)]
pub struct Offline {
    client: Client,
    store: Store,
    _inside: watch::Sender<Option<Inside>>,
    _live: watch::Sender<Arc<Runtime>>,
}

impl Offline {
    /// Takes the lock.
    pub async fn open(config: Config, who: Who) -> Result<Self, StartError> {
        let store = open(&config, Clock::System).await?;
        let numbers = match store.configure(&config).await {
            Ok(numbers) => numbers,
            Err(error) => {
                store.close().await;
                return Err(error.into());
            }
        };
        let database = config.site.database.clone();
        let (live, watched) = watch::channel(Arc::new(Runtime::new(Arc::new(config), numbers)));
        let actions = Actions::alone(store.clone(), watched);
        let (kept, inside) = watch::channel(Some(Inside {
            actions,
            presence: Presence::default(),
        }));
        Ok(Self {
            client: Client::inside(&database, who, inside),
            store,
            _inside: kept,
            _live: live,
        })
    }

    /// The client to act with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Releases the lock.
    pub async fn close(self) {
        drop(self.client);
        self.store.close().await;
    }
}
