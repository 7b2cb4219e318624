//! What makes no sense is refused here, before anything is read or done: the same for previews and submissions.

use super::super::action::{Action, DataEdit, HeldScope, Refused, Stands};
use super::{Actions, MAX_NOTE, MAX_PACE, refused, secret};
use crate::ids::DeliveryId;
use crate::incident::Act;
use crate::queue::filter::Filter;

/// Held events that are named one by one.
const MOST_NAMED: usize = 1_000;

impl Actions {
    /// Refuses what makes no sense, before anything is done.
    pub(super) async fn checked(&self, action: &Action) -> Result<(), Refused> {
        let Err(refused) = self.check(action) else {
            return Ok(());
        };
        // A path that was taken out of the configuration is known all the same.
        let (Action::Pause { path, .. }
        | Action::Resume { path }
        | Action::GoLive { path }
        | Action::Escalate { path, .. }) = action
        else {
            return Err(refused);
        };
        let overview = self.overview().await?;
        let row = overview
            .paths
            .iter()
            .find(|row| row.removed && row.name == *path);
        Err(row.map_or(refused, |row| {
            super::refused(removed(path, row.counts.backlog()))
        }))
    }

    /// Refuses what makes no sense by itself.
    fn check(&self, action: &Action) -> Result<(), Refused> {
        let long = |text: &str| {
            (text.chars().count() > MAX_NOTE)
                .then(|| refused(format!("the text is longer than {MAX_NOTE} characters")))
                .map_or(Ok(()), Err)
        };
        match action {
            Action::Replay {
                filter,
                canary,
                pace,
                ..
            } => {
                not_empty(filter)?;
                if *canary > 1_000 {
                    return Err(refused(
                        "the canary is at most 1000 deliveries; 0 means none: all go at the pace",
                    ));
                }
                if !(*pace > 0.0 && *pace <= MAX_PACE) {
                    return Err(refused(format!(
                        "the pace is more than 0 and at most {MAX_PACE} deliveries a second"
                    )));
                }
                Ok(())
            }
            Action::Cancel { filter, reason } => {
                not_empty(filter)?;
                long(reason)
            }
            Action::Pause { path, reason } => {
                self.number(path)?;
                long(reason)
            }
            Action::Resume { path } => self.number(path).map(|_| ()),
            Action::Escalate { path, note, .. } => {
                self.number(path)?;
                long(note)
            }
            Action::Reconcile { job }
            | Action::CancelRun { job }
            | Action::Tolerate { job, .. }
            | Action::Untolerate { job, .. } => {
                if let Action::Tolerate { reason, .. } = action {
                    if reason.trim().is_empty() {
                        return Err(refused("say why: the reason is kept with what is accepted"));
                    }
                    long(reason)?;
                }
                let runtime = self.inner.live.borrow();
                let names = runtime.config.reconcile.iter().map(|job| job.name.as_str());
                known("reconciliation", job, names)
            }
            Action::Backup { file } => {
                if !file.is_absolute() {
                    return Err(refused(
                        "the backup's file must be given with its whole path",
                    ));
                }
                if file.exists() {
                    return Err(refused(
                        "the file exists already: a backup never overwrites",
                    ));
                }
                Ok(())
            }
            Action::Release { scope } => names_some(scope),
            Action::EditHeld { edit, .. } => match edit {
                DataEdit::Changes(changes) if changes.is_empty() => {
                    Err(refused("the edit changes nothing"))
                }
                DataEdit::Whole(text) if text.is_empty() => {
                    Err(refused("an event without data is not edited: discard it"))
                }
                _ => Ok(()),
            },
            Action::DiscardHeld { scope, reason } => {
                names_some(scope)?;
                if reason.trim().is_empty() {
                    return Err(refused(
                        "say why: the reason is kept with what is discarded",
                    ));
                }
                long(reason)
            }
            Action::Decide { side, .. } => match side {
                Stands::Value(text) => long(text.expose()),
                Stands::Ours | Stands::Theirs => Ok(()),
            },
            Action::DeclinePlan { reason, .. } => long(reason),
            Action::Incident { act, .. } => match act {
                Act::Note { text } => long(text),
                Act::HandOver { to, summary } => {
                    long(to)?;
                    long(summary)
                }
                Act::Step { title, note, .. } => {
                    long(title)?;
                    long(note)
                }
                _ => Ok(()),
            },
            Action::Declare { title, path, .. } => {
                if title.trim().is_empty() {
                    return Err(refused("say in a line what is wrong"));
                }
                long(title)?;
                path.as_deref()
                    .map_or(Ok(()), |path| self.number(path).map(|_| ()))
            }
            Action::Silence { reason, .. } => {
                if reason.trim().is_empty() {
                    return Err(refused("say why: the reason is kept with the silence"));
                }
                long(reason)
            }
            Action::TakeRota { rota, .. } => {
                let runtime = self.inner.live.borrow();
                known(
                    "rota",
                    rota,
                    runtime.config.oncall.keys().map(String::as_str),
                )
            }
            Action::GoLive { path } => self.number(path).map(|_| ()),
            Action::Adopt { .. }
            | Action::ApprovePlan { .. }
            | Action::UndoPlan { .. }
            | Action::EndSilence { .. }
            | Action::TestPage { .. } => Ok(()),
            Action::EnableHook { system }
            | Action::Backfill { system, .. }
            | Action::Probe { system }
            | Action::LoggedIn { system } => self.system(system).map(|_| ()),
            Action::ReplaceSecret { system, which, .. } => {
                let system = self.system(system)?;
                secret::file(&secret::place(&system, which)?).map(|_| ())
            }
            Action::AbortReplay { .. } | Action::Reload | Action::AdoptHost | Action::Drain => {
                Ok(())
            }
        }
    }
}

/// What is left of a path that is no longer in the configuration.
fn removed(path: &str, waiting: u64) -> String {
    let set_aside = match waiting {
        0 => "nothing waits on it".to_owned(),
        waiting => format!(
            "{waiting} wait on it, set aside: put it back, or `midwatch cancel --filter path:{path}`"
        ),
    };
    format!("{path} was removed from the configuration; {set_aside}")
}

fn not_empty(filter: &Filter) -> Result<(), Refused> {
    if filter.is_empty() {
        return Err(refused(
            "an empty filter means everything, and is refused: say which, for example `path:crm state:dead`",
        ));
    }
    Ok(())
}

/// An empty scope would be everything.
fn names_some(scope: &HeldScope) -> Result<(), Refused> {
    match scope {
        HeldScope::Events(ids) if ids.is_empty() => Err(refused(
            "an empty scope means everything, and is refused: name events, a group or a type",
        )),
        HeldScope::Events(ids) if ids.len() > MOST_NAMED => Err(refused(format!(
            "at most {MOST_NAMED} events are named one by one: name a group or a type"
        ))),
        HeldScope::Kind(kind) if kind.is_empty() => Err(refused(
            "an empty type means everything, and is refused: name the type",
        )),
        _ => Ok(()),
    }
}

pub(super) fn pins(
    high_water: Option<DeliveryId>,
    expected: Option<u64>,
) -> Result<(DeliveryId, u64), Refused> {
    match (high_water, expected) {
        (_, Some(0)) => Err(refused("nothing matches")),
        (Some(high_water), Some(expected)) => Ok((high_water, expected)),
        _ => Err(refused(
            "preview it first: what is confirmed is pinned to what was shown",
        )),
    }
}

pub(super) fn is_submission_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Refuses an unknown name, with the nearest known one.
pub(super) fn known<'a>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Refused> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let near = names
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, known)| *distance <= 2 || *distance * 3 <= known.len())
        .map(|(_, known)| format!(": did you mean {known}?"))
        .unwrap_or_default();
    Err(refused(format!(
        "there is no {what} called {}{near}",
        crate::visible::line(name, 60)
    )))
}
