//! Applying a changed configuration file: what changed, and what needs a restart.
//!
//! Pure. A refused file changes nothing: the old configuration goes on. Called by the worker and by previews.

use std::fmt::{Debug, Display};

use super::action::Refused;
use crate::config::model::Config;

/// The refusal of a file with errors, all of them.
pub(super) fn refuse(wrong: &[impl Display]) -> Refused {
    let mut text = String::from("the configuration was refused, the old one goes on:");
    for diagnostic in wrong {
        text.push('\n');
        text.push_str(&diagnostic.to_string());
    }
    Refused { text }
}

/// What `new` changes, one line each; names only. `begun` is what the worker started with: what is only read then is
/// compared with it, since it is still in force.
pub(super) fn changes(begun: &Config, old: &Config, new: &Config) -> Vec<String> {
    let mut out = Vec::new();
    let mut at_start = |what: &str, differs: &dyn Fn(&Config, &Config) -> bool| {
        if differs(old, new) {
            let effect = if differs(begun, new) {
                "takes effect with the next worker"
            } else {
                "it is again what the running worker has"
            };
            out.push(format!("{what} changed: {effect}"));
        }
    };
    at_start("site.database", &|a, b| a.site.database != b.site.database);
    at_start("site.logs or site.group", &|a, b| {
        a.site.logs != b.site.logs || a.site.group != b.site.group
    });
    at_start("ingest.listen", &|a, b| a.ingest.listen != b.ingest.listen);
    let parts = [
        ("site", differs(&old.site, &new.site)),
        ("ingest", differs(&old.ingest, &new.ingest)),
        ("limits", differs(&old.limits, &new.limits)),
        ("retention", differs(&old.retention, &new.retention)),
    ];
    out.extend(
        (parts.iter())
            .filter(|(_, changed)| *changed)
            .map(|(part, _)| format!("[{part}] changed")),
    );
    named(&mut out, "system", &old.systems, &new.systems);
    named(&mut out, "channel", &old.channels, &new.channels);
    let paths = |config: &Config| {
        (config.paths.iter())
            .map(|path| (path.name.clone(), path.clone()))
            .collect::<Vec<_>>()
    };
    let (before, after) = (paths(old), paths(new));
    named(&mut out, "path", pairs(&before), pairs(&after));
    let jobs = |config: &Config| {
        (config.reconcile.iter())
            .map(|job| (job.name.clone(), job.clone()))
            .collect::<Vec<_>>()
    };
    let (before, after) = (jobs(old), jobs(new));
    named(&mut out, "reconciliation", pairs(&before), pairs(&after));
    if out.is_empty() {
        out.push(if old.text == new.text {
            "nothing changed".to_owned()
        } else {
            "only comments or spelling changed".to_owned()
        });
    }
    out
}

/// What becomes of the deliveries that wait on a path which the new configuration does not have.
pub(super) fn set_aside(path: &str, waiting: u64) -> String {
    let verb = if waiting == 1 {
        "delivery waits"
    } else {
        "deliveries wait"
    };
    format!(
        "path {path} is not in this file: {waiting} {verb} on it, set aside until it returns or `midwatch cancel path:{path}`"
    )
}

fn pairs<T>(list: &[(String, T)]) -> impl Iterator<Item = (&String, &T)> + Clone {
    list.iter().map(|(name, value)| (name, value))
}

fn differs(old: &impl Debug, new: &impl Debug) -> bool {
    format!("{old:?}") != format!("{new:?}")
}

fn named<'a, T: Debug + 'a>(
    out: &mut Vec<String>,
    what: &str,
    old: impl IntoIterator<Item = (&'a String, &'a T), IntoIter: Clone>,
    new: impl IntoIterator<Item = (&'a String, &'a T), IntoIter: Clone>,
) {
    let (old, new) = (old.into_iter(), new.into_iter());
    for (name, value) in new.clone() {
        match old.clone().find(|(known, _)| *known == name) {
            None => out.push(format!("{what} {name} added")),
            Some((_, before)) if differs(before, value) => {
                out.push(format!("{what} {name} changed"));
            }
            Some(_) => {}
        }
    }
    for (name, _) in old {
        if !new.clone().any(|(known, _)| known == name) {
            out.push(format!("{what} {name} removed"));
        }
    }
}
