//! What an action would do, before it is confirmed. Reads only.

use std::fmt::Write as _;

use super::super::action::{Action, Preview, Refused};
use super::super::reload;
use super::force::FORCED;
use super::{Actions, because, no_worker, refused};
use crate::ids::BatchId;
use crate::store::view::Overview;
use crate::time::short;
use crate::visible::Visible;

impl Actions {
    /// What `action` would do. Changes nothing.
    pub async fn preview(&self, action: Action) -> Result<Preview, Refused> {
        self.checked(&action).await?;
        match action {
            Action::Replay {
                filter,
                skip_risky,
                force,
                ..
            } => {
                let Some(name) = force else {
                    return self.preview_replay(filter, skip_risky).await;
                };
                self.named(&filter, &name).await?;
                let mut preview = self.preview_replay(filter, false).await?;
                preview.scope = format!("{}, forced by name", preview.scope);
                preview.notes.push(FORCED.to_owned());
                Ok(preview)
            }
            Action::Cancel { filter, .. } => self.preview_cancel(filter).await,
            Action::AbortReplay { batch } => {
                let row = self.read(move |reader| reader.batch(batch)).await?;
                let row = row.ok_or_else(|| no_batch(batch))?;
                Ok(Preview {
                    count: row.pending,
                    ..plain(format!(
                        "stop replay {}: {} of {} not yet released stay as they were",
                        batch.0, row.pending, row.total
                    ))
                })
            }
            Action::Pause { path, .. } => {
                let overview = self.overview().await?;
                Ok(pause_preview(&overview, &path, true))
            }
            Action::Resume { path } => {
                let overview = self.overview().await?;
                Ok(pause_preview(&overview, &path, false))
            }
            Action::Escalate {
                path,
                delivery,
                note,
            } => {
                let message = self.escalation(&path, delivery, &note, None).await?;
                let mut preview = plain(format!("escalate {path} to {}", message.channel));
                preview.notes = message.lines;
                Ok(preview)
            }
            Action::Incident { incident, act } => self.preview_incident(incident, &act).await,
            Action::Declare { title, .. } => {
                let mut preview = plain("open an incident that no rule found".to_owned());
                preview.notes = vec![crate::visible::line(&title, 200).to_string()];
                Ok(preview)
            }
            Action::Silence { until, .. } => Ok(plain(format!(
                "tell nobody of it for {}",
                short(until.since(self.now()))
            ))),
            Action::EndSilence { silence } => Ok(plain(format!("end silence {silence}"))),
            Action::TakeRota {
                rota,
                person,
                until,
            } => Ok(plain(format!(
                "{} takes the rota {rota} over for {}",
                Visible::of(&person),
                short(until.since(self.now()))
            ))),
            Action::TestPage { to } => self.preview_test(&to).await,
            Action::Reconcile { job } => Ok(plain(format!("run the reconciliation {job} now"))),
            Action::CancelRun { job } => Ok(plain(format!(
                "cancel the run of {job}; nothing that it found is kept"
            ))),
            Action::ApprovePlan { plan, digest } => self.preview_approve(plan, &digest).await,
            Action::DeclinePlan { plan, .. } => self.preview_decline(plan).await,
            Action::UndoPlan { plan } => self.preview_undo(plan).await,
            Action::Tolerate { job, key, .. } => self.preview_tolerate(&job, key.expose()).await,
            Action::Untolerate { job, .. } => Ok(plain(format!(
                "let the accepted differences of one record count again in {job}"
            ))),
            Action::GoLive { path } => self.preview_golive(&path).await,
            Action::Adopt {
                kind,
                sides,
                dry_run,
            } => self.preview_adopt(&kind, &sides, dry_run),
            Action::EnableHook { system } => {
                Ok(plain(format!("ask {system} to enable its webhook again")))
            }
            Action::Backfill { system, since } => self.preview_backfill(&system, since).await,
            Action::ReplaceSecret {
                system,
                which,
                force,
                ..
            } => self.preview_replace(&system, &which, force).await,
            Action::LoggedIn { system } => Ok(plain(format!(
                "note that somebody logged in to {system}; paths that it had paused go on"
            ))),
            Action::Probe { system } => Ok(plain(format!(
                "ask {system} whether it can be worked with; nothing is written there"
            ))),
            Action::Reload => self.preview_reload().await,
            Action::Backup { file } => Ok(plain(format!(
                "copy the database to {}",
                Visible::of(&file.to_string_lossy())
            ))),
            Action::Release { scope } => self.preview_release(scope).await,
            Action::EditHeld { event, edit } => self.preview_edit(event, &edit).await,
            Action::DiscardHeld { scope, .. } => self.preview_discard(scope).await,
            Action::Decide { review, side } => self.preview_decide(review, &side).await,
            Action::AdoptHost => self.preview_adoption().await,
            Action::Drain => {
                let overview = self.overview().await?;
                let running: u64 = overview.paths.iter().map(|path| path.counts.running).sum();
                let mut preview = plain("finish what is under way, then stop the worker".into());
                preview.count = running;
                preview.notes = vec![
                    "events are refused and nothing is delivered until a worker runs again".into(),
                ];
                Ok(preview)
            }
        }
    }

    async fn preview_reload(&self) -> Result<Preview, Refused> {
        if self.inner.orders.is_none() {
            return Err(no_worker());
        }
        let runtime = self.inner.live.borrow().clone();
        let file = runtime.config.file.clone();
        let loaded = tokio::task::spawn_blocking(move || crate::config::load(&file))
            .await
            .map_err(|_| refused("the configuration could not be read"))?
            .map_err(|wrong| reload::refuse(&wrong))?;
        let mut preview = plain("apply the configuration file".into());
        preview.notes = reload::changes(&self.inner.begun, &runtime.config, &loaded.config);
        let overview = self.overview().await?;
        preview.notes.extend(
            (overview.paths.iter())
                .filter(|row| row.counts.backlog() > 0 && loaded.config.path(&row.name).is_none())
                .map(|row| reload::set_aside(&row.name, row.counts.backlog())),
        );
        preview.notes.extend(
            loaded
                .warnings
                .iter()
                .map(|warning| format!("warning: {warning}")),
        );
        Ok(preview)
    }

    async fn preview_adoption(&self) -> Result<Preview, Refused> {
        let overview = self.overview().await?;
        let mut preview = plain(match &overview.foreign_host {
            Some(host) => format!(
                "take over the database, which belongs to {}",
                Visible::of(host)
            ),
            // Whose it is shows when a worker begins; without one it may be of any host.
            None if self.inner.orders.is_none() => "take over the database".to_owned(),
            None => return Err(refused("the database belongs to this host already")),
        });
        let mut words = String::new();
        for path in &overview.paths {
            if path.counts.backlog() > 0 {
                words.clear();
                let _ = write!(words, "{}: {} wait", path.name, path.counts.backlog());
                if let Some(oldest) = path.oldest_open {
                    let _ = write!(
                        words,
                        ", the oldest for {}",
                        short(overview.at.since(oldest))
                    );
                }
                preview.count += path.counts.backlog();
                preview.notes.push(words.clone());
            }
        }
        preview.notes.push(
            "they are delivered from here on: be sure that the other host does not deliver them too"
                .into(),
        );
        Ok(preview)
    }
}

fn pause_preview(overview: &Overview, path: &str, pausing: bool) -> Preview {
    let row = overview.paths.iter().find(|row| row.name == path);
    let mut preview = plain(if pausing {
        format!("stop attempting {path} until it is resumed")
    } else {
        format!("attempt {path} again")
    });
    if let Some(row) = row {
        preview.count = row.counts.backlog();
        preview.oldest = row.oldest_open;
        preview.notes = vec![format!("{} wait on it", row.counts.backlog())];
        if let Some(pause) = &row.pause {
            preview.notes.push(format!(
                "paused by {} {} ago{}",
                Visible::of(&pause.by),
                short(overview.at.since(pause.since)),
                Visible::of(&because(&pause.reason))
            ));
        } else if !pausing {
            preview.notes.push(format!(
                "it is not paused; its breaker is {}",
                row.breaker.word()
            ));
        }
    }
    preview
}

pub(super) fn plain(scope: String) -> Preview {
    Preview {
        scope,
        count: 0,
        oldest: None,
        verdicts: Vec::new(),
        high_water: None,
        notes: Vec::new(),
    }
}

fn no_batch(batch: BatchId) -> Refused {
    refused(format!("there is no replay {}", batch.0))
}
