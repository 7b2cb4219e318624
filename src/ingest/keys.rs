//! The front door's secrets, read once and kept for a short while: bearer token and webhook secrets. A file that was
//! mended or rotated is read again by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::live::Runtime;
use crate::config::model::SecretRef;
use crate::config::secret::{self, Secret};

/// How long secrets are kept before they are read again.
const FRESH: Duration = Duration::from_secs(30);

/// The same, when one of them could not be read.
const FRESH_AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// Some secrets, and why others could not be read.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) readable: Vec<Secret>,
    pub(super) trouble: Option<String>,
}

impl Secrets {
    fn read<'a>(references: impl IntoIterator<Item = &'a SecretRef>) -> Self {
        let mut secrets = Self::default();
        for reference in references {
            match secret::read(reference) {
                Ok(secret) => secrets.readable.push(secret),
                Err(error) => secrets.trouble = Some(error.to_string()),
            }
        }
        secrets
    }
}

/// All that the front door needs under one configuration.
#[derive(Debug)]
pub(super) struct Keyring {
    runtime: Arc<Runtime>,
    read_at: Instant,
    /// None: no token is asked for.
    pub(super) token: Option<Secrets>,
    /// By system.
    pub(super) hooks: HashMap<String, Secrets>,
}

impl Keyring {
    fn read(runtime: &Arc<Runtime>) -> Self {
        let config = &runtime.config;
        let hooks = config.systems.values().filter_map(|system| {
            let hooks = system.hooks.as_ref()?;
            Some((system.name.clone(), Secrets::read(&hooks.secrets)))
        });
        Self {
            runtime: Arc::clone(runtime),
            read_at: Instant::now(),
            token: config
                .ingest
                .token
                .as_ref()
                .map(|token| Secrets::read([token])),
            hooks: hooks.collect(),
        }
    }

    fn is_fresh(&self, runtime: &Arc<Runtime>) -> bool {
        let trouble = self
            .token
            .iter()
            .chain(self.hooks.values())
            .any(|secrets| secrets.trouble.is_some());
        let fresh = if trouble { FRESH_AFTER_TROUBLE } else { FRESH };
        Arc::ptr_eq(&self.runtime, runtime) && self.read_at.elapsed() < fresh
    }
}

/// Keeps the keyring of the configuration in force.
#[derive(Debug, Default)]
pub(super) struct Keys(Mutex<Option<Arc<Keyring>>>);

impl Keys {
    /// The keyring for `runtime`, read anew if need be.
    pub(super) fn get(&self, runtime: &Arc<Runtime>) -> Arc<Keyring> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref() {
            Some(keyring) if keyring.is_fresh(runtime) => Arc::clone(keyring),
            _ => {
                let keyring = Arc::new(Keyring::read(runtime));
                *kept = Some(Arc::clone(&keyring));
                keyring
            }
        }
    }
}
