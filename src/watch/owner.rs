//! Whether a system is down, as far as the paths to it tell.

use crate::config::model::Config;
use crate::store::view::{Breaker, Overview};

/// Nothing gets through to `system`: the breaker of a path to it is open, or midwatch itself paused such a path.
pub fn is_down(overview: &Overview, config: &Config, system: &str) -> bool {
    overview.paths.iter().any(|row| {
        let to = config.path(&row.name).is_some_and(|path| path.to == system);
        let open = matches!(row.breaker, Breaker::Open { .. });
        to && (open || row.pause.as_ref().is_some_and(|pause| !pause.by_person))
    })
}
