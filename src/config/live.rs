//! The configuration in force, as the running parts watch it: a reload replaces it whole.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::model::{Config, Path};
use crate::ids::PathId;

/// A checked configuration with the store's number for each of its paths.
#[derive(Debug)]
pub struct Runtime {
    /// The configuration.
    pub config: Arc<Config>,
    /// Number by name.
    ids: HashMap<String, PathId>,
    /// Index into `config.paths`, then `config.repairs`, by number.
    index: HashMap<PathId, usize>,
}

/// Watched by everything that runs; a new value is a reload.
pub type Live = watch::Receiver<Arc<Runtime>>;

impl Runtime {
    /// Joins a configuration with the numbers that `Store::configure` gave its paths.
    pub fn new(config: Arc<Config>, numbers: Vec<(String, PathId)>) -> Self {
        let ids: HashMap<String, PathId> = numbers.into_iter().collect();
        let index = config
            .all_paths()
            .enumerate()
            .filter_map(|(index, path)| ids.get(&path.name).map(|id| (*id, index)))
            .collect();
        Self { config, ids, index }
    }

    /// The number of a configured path.
    pub fn id(&self, path: &str) -> Option<PathId> {
        self.ids.get(path).copied()
    }

    /// The configured path of a number; none if it was removed.
    pub fn path(&self, id: PathId) -> Option<&Path> {
        let (index, paths) = (*self.index.get(&id)?, &self.config.paths);
        paths
            .get(index)
            .or_else(|| self.config.repairs.get(index - paths.len()))
    }
}
