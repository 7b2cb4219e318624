//! Opening what a worker, or a command without one, needs: the store with its lock, and the front door's socket.
//!
//! Says why not in words that tell what to do. Called by `worker` and `offline`.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::config::model::Config;
use crate::store::{OpenError, Options, Store, StoreError};
use crate::time::Clock;

/// Why a worker could not start. Each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store did not do what a start needs.
    #[error("the database cannot be worked: {0}")]
    Store(#[from] StoreError),
    /// The front door did not open.
    #[error("cannot listen on {address}: {why}. Is something else there? Change ingest.listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// The control socket did not open.
    #[error("cannot open the control socket {file}: {why}")]
    Socket {
        /// Where.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// A folder or group that the configuration names does not serve.
    #[error("{0}")]
    Place(String),
}

/// Opens the store of a configuration, off the async threads (a migration may take its time).
pub(super) async fn open(config: &Config, clock: Clock) -> Result<Store, StartError> {
    let database = config.site.database.clone();
    let options = Options {
        clock,
        disk_reserve: config.limits.disk_reserve,
        dedupe: config.ingest.dedupe,
    };
    let opened = tokio::task::spawn_blocking(move || {
        make_folder(&database)?;
        Store::open(&database, options).map_err(StartError::from)
    });
    opened
        .await
        .map_err(|_| StartError::Place("opening the database failed; the log says where".into()))?
}

fn make_folder(database: &Path) -> Result<(), StartError> {
    let Some(folder) = database.parent() else {
        return Ok(());
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            StartError::Place(format!(
                "cannot make the folder {} of the database: {error}",
                folder.display()
            ))
        })
}

pub(super) fn front_door(
    given: Option<std::net::TcpListener>,
    address: SocketAddr,
) -> Result<tokio::net::TcpListener, StartError> {
    let failed = |error: std::io::Error| StartError::Listen {
        address,
        why: error.to_string(),
    };
    let listener = match given {
        Some(listener) => listener,
        None => std::net::TcpListener::bind(address).map_err(failed)?,
    };
    listener.set_nonblocking(true).map_err(failed)?;
    tokio::net::TcpListener::from_std(listener).map_err(failed)
}
