//! Asking a system by hand for what it did not tell: what is kept is a gap, which the worker asks for until all of it is here.

use super::super::action::{Actor, Done, Preview, Refused};
use super::preview::plain;
use super::{Actions, Order, audit, done, refused};
use crate::config::model::{Listed, Missed, System};
use crate::source::missed::{self, why};
use crate::store::view::BackfillRow;
use crate::time::{Timestamp, short};

/// What would be asked for.
struct Plan {
    gap: Vec<BackfillRow>,
    since: Timestamp,
    missed: Missed,
}

impl Actions {
    /// How far back it reaches, what the vendor keeps, and what will be listed.
    pub(super) async fn preview_backfill(
        &self,
        name: &str,
        since: Option<Timestamp>,
    ) -> Result<Preview, Refused> {
        let system = self.system(name)?;
        let plan = self.plan_backfill(&system, since).await?;
        let (site, ingest) = {
            let runtime = self.inner.live.borrow();
            (runtime.config.site.live_from, runtime.config.ingest.dedupe)
        };
        let now = self.now();
        let reach = missed::reach(plan.since, plan.missed.horizon, site, now);
        let back = short(now.since(reach.from));
        let mut preview = plain(format!("ask {name} for what was missed in the last {back}"));
        let kinds = (plan.gap.iter().map(|row| row.kind.as_str())).collect::<Vec<_>>();
        preview.notes.push(match plan.missed.listed {
            Listed::Events(_) => format!(
                "lists its events since {}: those of types that a path takes come in, what is known is dropped",
                reach.from
            ),
            Listed::Records(_) => format!(
                "lists each {} that changed since {}: what was not told comes in as it is now",
                kinds.join(" and each "),
                reach.from
            ),
        });
        preview.notes.push(match plan.missed.horizon {
            Some(horizon) => format!("its vendor lists {} back", short(horizon)),
            None => "its vendor is not known to have a horizon".to_owned(),
        });
        preview.notes.extend(reach.lost);
        if plan.since < reach.from && site == Some(reach.from) {
            (preview.notes).push("nothing before site.live_from is asked for".to_owned());
        }
        if now.since(reach.from) > ingest {
            preview.notes.push(format!(
                "what came in more than {} ago is not recognised any more (ingest.dedupe): it comes in again",
                short(ingest)
            ));
        }
        Ok(preview)
    }

    /// Keeps the gap with its audit row, and has it asked for.
    pub(super) async fn backfill(
        &self,
        name: &str,
        since: Option<Timestamp>,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let system = self.system(name)?;
        let plan = self.plan_backfill(&system, since).await?;
        let text = format!("{name} is asked for what was missed since {}", plan.since);
        let log = audit(actor, "backfill", None, None, text.clone());
        (self.inner.store)
            .open_backfills(plan.gap, Some(log))
            .await?;
        self.order(Order::Backfill).await;
        Ok(done(self.later(text).await))
    }

    async fn plan_backfill(
        &self,
        system: &System,
        since: Option<Timestamp>,
    ) -> Result<Plan, Refused> {
        let name = &system.name;
        let missed = system.missed.clone().ok_or_else(|| {
            refused(format!(
                "nothing says how {name} is asked for what was missed: systems.{name}.missed"
            ))
        })?;
        if system.hooks.is_none() {
            return Err(refused(format!(
                "{name} has no hooks, so that it does not miss to call: `poll` asks for what changed"
            )));
        }
        let now = self.now();
        let since = match since {
            Some(since) if since > now => {
                return Err(refused(
                    "nothing was missed in the future: name an earlier time",
                ));
            }
            Some(since) => since,
            None => self.last_complete(name).await?,
        };
        let gap = missed::gap(system, why::ASKED, since, now);
        if gap.is_empty() {
            return Err(refused(format!(
                "all that {name} lists is polled: nothing is missed for longer than until the next poll"
            )));
        }
        Ok(Plan { gap, since, missed })
    }

    /// Since when to ask where nobody says.
    async fn last_complete(&self, name: &str) -> Result<Timestamp, Refused> {
        let (rows, senders) = self
            .read(|reader| Ok((reader.backfills()?, reader.senders()?)))
            .await?;
        let sender = senders.iter().find(|row| row.system == name);
        let open = (rows.iter())
            .filter(|row| row.system == name && row.ended.is_none())
            .map(|row| row.since)
            .min();
        let known = missed::complete_until(name, &rows, sender).map(missed::with_overlap);
        open.or(known).ok_or_else(|| {
            refused(format!(
                "{name} never called, so that it is not known since when: say so, for example --since 6h"
            ))
        })
    }
}
