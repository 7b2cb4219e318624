//! The set that a replay or a cancellation would touch, and what would become of it.
//!
//! Reads only. Follows the action's options, so that what is shown is what happens. Called by the previews, and by the
//! replay itself, which is refused where nothing would go.

use std::collections::HashMap;

use super::super::action::{Preview, Refused, Verdict};
use super::{Actions, held, refused};
use crate::ids::DeliveryId;
use crate::queue::filter::{self, Filter};
use crate::queue::model::State;
use crate::store::view::DeliveryRow;
use crate::store::{Cursor, ReadError, Reader};

/// Deliveries named one by one that are looked up, to say which does not exist.
const LOOKED_UP: usize = 100;

impl Actions {
    /// What a replay of `filter` would do.
    pub(super) async fn preview_replay(
        &self,
        filter: Filter,
        skip_risky: bool,
    ) -> Result<Preview, Refused> {
        let mut preview = self.set(filter.clone(), true).await?;
        let total = preview.matched();
        let asked = filter.clone();
        let looked = self.standings(filter).await?;
        refine(&mut preview.verdicts, &looked.moved);
        preview.count = going(&preview.verdicts, skip_risky);
        for (verdict, count) in &preview.verdicts {
            if let Some(note) = note(*verdict, skip_risky) {
                preview.notes.push(format!("{count} {note}"));
            }
        }
        preview.notes.extend(looked.notes);
        preview
            .notes
            .extend(self.how_to_force(&asked, &preview.verdicts).await?);
        if preview.count == 0 && total > 0 {
            preview
                .notes
                .push("nothing would go: all of them are skipped".into());
        }
        if let Some(host) = self.overview().await?.foreign_host {
            preview.notes.push(held(&host));
        }
        Ok(preview)
    }

    /// What a cancellation of `filter` would do.
    pub(super) async fn preview_cancel(&self, filter: Filter) -> Result<Preview, Refused> {
        let mut preview = self.set(filter.clone(), false).await?;
        let (released, more) = self.read(move |reader| behind(reader, &filter)).await?;
        if released > 0 {
            let least = if more { "at least " } else { "" };
            preview.notes.push(format!(
                "{least}{released} wait behind {} and will be sent",
                if preview.count == 1 { "it" } else { "them" }
            ));
        }
        Ok(preview)
    }

    /// How many a replay of `filter` lets go now; refused if none, or if nothing is delivered here at all.
    pub(super) async fn going(&self, filter: &Filter, skip_risky: bool) -> Result<u64, Refused> {
        if let Some(host) = self.overview().await?.foreign_host {
            return Err(refused(held(&host)));
        }
        let asked = filter.clone();
        let verdicts = self
            .read(move |reader| reader.preview(&asked, true))
            .await?
            .verdicts;
        match going(&verdicts, skip_risky) {
            0 if verdicts.is_empty() => Err(refused("nothing matches")),
            0 => Err(refused(
                "nothing was done: all of them would be skipped; look at the preview, and include risky ones (--include-risky) to send what was delivered or is in doubt",
            )),
            going => Ok(going),
        }
    }

    async fn set(&self, filter: Filter, for_replay: bool) -> Result<Preview, Refused> {
        let overview = self.overview().await?;
        let runtime = self.inner.live.borrow().clone();
        let configured = runtime.config.paths.iter().map(|path| path.name.as_str());
        let stored = overview.paths.iter().map(|path| path.name.as_str());
        filter::check_paths(&filter, configured.chain(stored))
            .map_err(|unknown| refused(unknown.to_string()))?;
        let scope = filter.words();
        let ids: Vec<DeliveryId> = filter.ids.iter().copied().take(LOOKED_UP).collect();
        let (mut preview, named) = self
            .read(move |reader| {
                let preview = reader.preview(&filter, for_replay)?;
                let mut named = Vec::new();
                for id in ids {
                    let state = reader.delivery(id)?.map(|detail| detail.row.state);
                    named.push((id, state));
                }
                Ok((preview, named))
            })
            .await?;
        preview.scope = scope;
        if let Some((id, None)) = named.iter().find(|(_, state)| state.is_none()) {
            return Err(refused(format!("there is no delivery {id}")));
        }
        if let ([(id, Some(state))], 0) = (&named[..], preview.matched())
            && let Some(why) = untouchable(*state, for_replay)
        {
            return Err(refused(format!("{id} {why}")));
        }
        if self.inner.orders.is_none() {
            preview
                .notes
                .push("no worker runs: the next one does it".into());
        }
        Ok(preview)
    }
}

/// How many wait behind what `filter` cancels and are not cancelled with it; true if there may be more.
fn behind(reader: &Reader, filter: &Filter) -> Result<(u64, bool), ReadError> {
    let (rows, more) = reader.deliveries(filter, Cursor::Newest, LOOKED_UP)?;
    let key = |row: &DeliveryRow| (row.path.clone(), row.order_key.clone());
    let mut heads: HashMap<_, u64> = HashMap::new();
    for row in &rows {
        let is_head = row.order_key.is_some()
            && matches!(row.state, State::Ready | State::Dead | State::Held);
        if is_head && let Some(detail) = reader.delivery(row.id)? {
            // Of several given up in one key, the eldest has the most behind it.
            let most = heads.entry(key(row)).or_default();
            *most = detail.blocks.max(*most);
        }
    }
    for row in rows.iter().filter(|row| row.state == State::Waiting) {
        if let Some(waiting) = heads.get_mut(&key(row)) {
            *waiting = waiting.saturating_sub(1);
        }
    }
    Ok((heads.values().sum(), more.is_some()))
}

/// Moves deliveries of which more was found out to the better verdict.
fn refine(verdicts: &mut Vec<(Verdict, u64)>, moved: &[(Verdict, Verdict)]) {
    for (from, to) in moved {
        let Some((_, count)) = verdicts
            .iter_mut()
            .find(|(verdict, count)| verdict == from && *count > 0)
        else {
            // It moved on between the two reads.
            continue;
        };
        *count -= 1;
        match verdicts.iter_mut().find(|(verdict, _)| verdict == to) {
            Some((_, count)) => *count += 1,
            None => verdicts.push((*to, 1)),
        }
    }
    verdicts.retain(|(_, count)| *count > 0);
    verdicts.sort();
}

fn going(verdicts: &[(Verdict, u64)], skip_risky: bool) -> u64 {
    (verdicts.iter())
        .filter(|(verdict, _)| match verdict {
            // What was found out beside the queue is the attempt's to decide: it goes, or not, as if nobody had asked.
            Verdict::Safe
            | Verdict::AlreadyApplied
            | Verdict::NotOwner
            | Verdict::ContractChanged => true,
            Verdict::Pruned => false,
            Verdict::AlreadyDelivered | Verdict::Superseded | Verdict::Unknown => !skip_risky,
        })
        .map(|(_, count)| count)
        .sum()
}

fn note(verdict: Verdict, skip_risky: bool) -> Option<String> {
    let what = match verdict {
        Verdict::Safe => return None,
        Verdict::AlreadyApplied => {
            return Some(
                "are held by the receiver already, as it says itself: nothing changes there"
                    .to_owned(),
            );
        }
        Verdict::NotOwner => {
            return Some(
                "bring only fields that their source may not write: nothing of them is written"
                    .to_owned(),
            );
        }
        Verdict::ContractChanged => {
            return Some("are refused by today's contract, or by its casts".to_owned());
        }
        Verdict::Pruned => return Some("have no payload any more: skipped".to_owned()),
        Verdict::AlreadyDelivered => "were delivered",
        Verdict::Superseded => "are older than a delivered one of the same key",
        Verdict::Unknown => "may have arrived (the outcome of their last attempt is not known)",
    };
    Some(match (skip_risky, verdict) {
        (true, _) => {
            format!("{what}: skipped unless risky ones are included (--include-risky)")
        }
        (false, Verdict::AlreadyDelivered) => format!("{what}: sent again, under the same key"),
        (false, _) => format!("{what}: sent all the same, under the same key"),
    })
}

/// Why the one delivery asked for is left alone.
fn untouchable(state: State, for_replay: bool) -> Option<&'static str> {
    match (state, for_replay) {
        (State::Running, true) => Some("is under way: wait for its end, then replay it"),
        (State::Running, false) => Some("is under way: what was sent cannot be called back"),
        (State::Waiting, true) => {
            Some("waits behind another of its key: it goes when that one is settled")
        }
        (State::Cancelled, false) => Some("is cancelled already"),
        (State::Delivered, false) => Some("was delivered: there is nothing to cancel"),
        (State::Superseded, false) => Some("is superseded: there is nothing to cancel"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_moves_between_verdicts_and_none_is_lost() {
        use Verdict::{AlreadyApplied, NotOwner, Safe, Unknown};
        for (before, moved, after) in [
            (vec![(Safe, 2)], vec![], vec![(Safe, 2)]),
            (
                vec![(Safe, 2), (Unknown, 1)],
                vec![(Unknown, AlreadyApplied), (Safe, NotOwner)],
                vec![(Safe, 1), (AlreadyApplied, 1), (NotOwner, 1)],
            ),
            (
                vec![(Safe, 2)],
                vec![(Safe, NotOwner), (Safe, NotOwner), (Safe, NotOwner)],
                vec![(NotOwner, 2)],
            ),
            (vec![(Safe, 1)], vec![(Unknown, NotOwner)], vec![(Safe, 1)]),
        ] {
            let mut verdicts = before.clone();
            refine(&mut verdicts, &moved);
            assert_eq!(verdicts, after, "{before:?} {moved:?}");
        }
        // What the attempt decides goes, risky ones skipped or not; what is not known goes only on demand.
        let all = [(Safe, 1), (Unknown, 1), (AlreadyApplied, 1), (NotOwner, 1)];
        assert_eq!((going(&all, true), going(&all, false)), (3, 4));
    }
}
