//! Which systems are down or silent, and which are back: what was missed then is found by a run now, not at the next time.
//! Reads what the store knows of paths, listings and senders. Called by `schedule`.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::config::model::Config;
use crate::store::Store;
use crate::store::view::{Breaker, Overview};
use crate::time::Timestamp;
use crate::watch::SILENT;

/// How often the systems are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Why a job is run beside its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// A system is back.
    Outage,
    /// A sender has not called for longer than it should.
    Silence,
}

/// How the systems stood at the last look.
#[derive(Debug, Default)]
pub(super) struct Standing {
    looked: Option<Instant>,
    seen: Option<Seen>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen {
    down: BTreeSet<String>,
    silent: BTreeSet<String>,
}

impl Standing {
    /// Looks, at most every ten seconds: the systems that are back since the last look, and those that fell silent. The
    /// first look tells nothing: the runs that are due say how things are.
    pub(super) async fn look(&mut self, store: &Store, config: &Config) -> Vec<(String, Why)> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Vec::new();
        }
        self.looked = Some(Instant::now());
        let reading = store.clone();
        let read = spawn_blocking(move || reading.reader().ok()?.overview().ok());
        // What cannot be read now is read the next time.
        let Some(overview) = read.await.ok().flatten() else {
            return Vec::new();
        };
        let now = seen(&overview, config, store.clock().now());
        let news = (self.seen.as_ref()).map_or_else(Vec::new, |before| news(before, &now));
        self.seen = Some(now);
        news
    }
}

fn seen(overview: &Overview, config: &Config, now: Timestamp) -> Seen {
    let mut seen = Seen::default();
    for row in &overview.paths {
        let by_machine = row.pause.as_ref().is_some_and(|pause| !pause.by_person);
        if (row.breaker != Breaker::Closed || by_machine)
            && let Some(path) = config.path(&row.name)
        {
            seen.down.insert(path.to.clone());
        }
    }
    let polls = overview.polls.iter().filter(|row| row.error.is_some());
    seen.down.extend(polls.map(|row| row.system.clone()));
    for row in &overview.senders {
        if row.called.is_some_and(|at| now.since(at) > SILENT) {
            seen.silent.insert(row.system.clone());
        }
    }
    seen
}

fn news(before: &Seen, now: &Seen) -> Vec<(String, Why)> {
    let back = before
        .down
        .difference(&now.down)
        .map(|system| (system.clone(), Why::Outage));
    let silent = now.silent.difference(&before.silent);
    back.chain(silent.map(|system| (system.clone(), Why::Silence)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_who_came_back_and_who_fell_silent() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let seen = |down: &[&str], silent: &[&str]| Seen {
            down: set(down),
            silent: set(silent),
        };
        let told = |name: &str, why| (name.to_owned(), why);
        for (before, now, expected) in [
            (seen(&[], &[]), seen(&[], &[]), vec![]),
            (seen(&[], &[]), seen(&["crm"], &[]), vec![]),
            (seen(&["crm"], &[]), seen(&["crm"], &[]), vec![]),
            (
                seen(&["crm"], &[]),
                seen(&[], &[]),
                vec![told("crm", Why::Outage)],
            ),
            (
                seen(&[], &[]),
                seen(&[], &["shop"]),
                vec![told("shop", Why::Silence)],
            ),
            (seen(&[], &["shop"]), seen(&[], &["shop"]), vec![]),
            (seen(&[], &["shop"]), seen(&[], &[]), vec![]),
        ] {
            assert_eq!(news(&before, &now), expected, "{before:?} {now:?}");
        }
    }
}
