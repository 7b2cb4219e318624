//! Reading: what each screen needs, how often, and what an answer changes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::super::model::{Followed, Model, PAGE, Place, Slot};
use super::{Effect, Loaded, Query, Timer, held, incidents, records, toast};
use crate::store::Cursor;
use crate::store::view::BatchRow;
use crate::visible::Visible;
use crate::watch::wrong_at;

/// What the screen shown is made of; the first is always the overview, for the line at the top.
fn slots(model: &Model) -> Vec<Slot> {
    let mut slots = vec![Slot::Overview];
    let own: &[Slot] = match model.place {
        Place::Overview | Place::Runbook | Place::Systems => &[],
        Place::Record if model.record.about.is_some() => &[Slot::Story],
        Place::Record => &[Slot::Found],
        Place::Deliveries => &[Slot::Deliveries],
        Place::Dead => &[Slot::Dead],
        Place::Delivery => &[Slot::Delivery, Slot::Lineage],
        Place::Log => &[Slot::Log],
        Place::Reconcile | Place::Runs => &[Slot::Runs],
        Place::Differences => &[Slot::Differences, Slot::Runs],
        Place::Plan => &[Slot::Plan],
        Place::Replays => &[Slot::Batches],
        Place::Incidents => &[Slot::Incidents],
        Place::Incident => &[Slot::Incident],
        Place::Review => &[Slot::Reviews],
        Place::Ownership => &[Slot::Left],
        Place::Held => &[Slot::Held],
        Place::HeldEvents => &[Slot::Held, Slot::HeldEvents],
        Place::HeldEvent => &[Slot::HeldEvent],
    };
    slots.extend(own);
    let open = |followed: &Followed| {
        followed
            .state
            .as_ref()
            .is_none_or(|(state, _)| !state.is_settled())
    };
    if model.followed.as_ref().is_some_and(open) {
        slots.push(Slot::Followed);
    }
    for (asked, slot) in [
        (model.replaying.is_some(), Slot::Batches),
        (model.comparing.is_some(), Slot::Runs),
    ] {
        if asked && !slots.contains(&slot) {
            slots.push(slot);
        }
    }
    slots
}

/// Rows are followed as they move; sums are read once a second.
fn rest(model: &Model, slot: Slot) -> Duration {
    if model.low_bandwidth {
        return Duration::from_secs(5);
    }
    match slot {
        Slot::Deliveries | Slot::Delivery | Slot::Followed => Duration::from_millis(250),
        _ => Duration::from_secs(1),
    }
}

fn query(model: &Model, slot: Slot) -> Option<Query> {
    Some(match slot {
        Slot::Overview => Query::Overview,
        Slot::Deliveries => Query::Deliveries {
            filter: Box::new(model.deliveries.filter.clone()),
            cursor: model.deliveries.from.unwrap_or(Cursor::Newest),
            limit: PAGE,
        },
        Slot::Dead => Query::Dead,
        Slot::Delivery => Query::Delivery(model.detail.id?),
        Slot::Log => Query::Log(model.log_before),
        Slot::Runs => Query::Runs,
        Slot::Differences => Query::Differences(model.run?),
        Slot::Plan => Query::Plan(model.recon.plan?),
        Slot::Batches => Query::Batches,
        Slot::Left => Query::Left,
        Slot::Incidents => Query::Incidents,
        Slot::Incident => Query::Incident(model.incidents.open?),
        Slot::Reviews => Query::Reviews,
        Slot::Held => Query::Held,
        Slot::HeldEvents => Query::HeldEvents(model.held.open?),
        Slot::HeldEvent => Query::HeldEvent(model.held.one.id?),
        Slot::Lineage => Query::Lineage(model.detail.id?),
        Slot::Followed => Query::Delivery(model.followed.as_ref()?.id),
        Slot::Story => Query::Story(model.record.about.clone()?),
        Slot::Found => Query::Found(model.record.needle.clone()),
        Slot::About => Query::About(model.record.asked?),
    })
}

/// Reads all that the screen shows, as soon as each may be read again.
pub(super) fn want_all(model: &mut Model, effects: &mut Vec<Effect>) {
    for slot in slots(model) {
        want(model, slot, effects);
    }
}

/// Reads what a screen that was just opened shows, at once.
pub(super) fn want_place(model: &mut Model, effects: &mut Vec<Effect>) {
    for slot in slots(model).into_iter().skip(1) {
        now(model, slot, effects);
    }
}

/// Reads `slot` as soon as it may be read again.
pub(super) fn want(model: &mut Model, slot: Slot, effects: &mut Vec<Effect>) {
    let refresh = model.refresh.entry(slot).or_default();
    if refresh.cooling || refresh.pending.is_some() {
        refresh.dirty = true;
    } else {
        now(model, slot, effects);
    }
}

/// Reads `slot` now, whatever is under way.
pub(super) fn now(model: &mut Model, slot: Slot, effects: &mut Vec<Effect>) {
    if let Some(query) = query(model, slot) {
        ask(model, slot, query, effects);
    }
}

/// Asks for something else than the slot's usual (another page).
pub(super) fn ask(model: &mut Model, slot: Slot, query: Query, effects: &mut Vec<Effect>) {
    let seq = model.next_id();
    let rest = rest(model, slot);
    let refresh = model.refresh.entry(slot).or_default();
    refresh.pending = Some(seq);
    refresh.dirty = false;
    if !refresh.cooling {
        refresh.cooling = true;
        effects.push(Effect::Timer(Timer::Cool(slot), rest));
    }
    effects.push(Effect::Read { slot, seq, query });
}

/// A slot has rested.
pub(super) fn cooled(model: &mut Model, slot: Slot, effects: &mut Vec<Effect>) {
    let refresh = model.refresh.entry(slot).or_default();
    refresh.cooling = false;
    again(model, slot, effects);
}

fn again(model: &mut Model, slot: Slot, effects: &mut Vec<Effect>) {
    let shown = slots(model).contains(&slot) && !model.frozen;
    let refresh = model.refresh.entry(slot).or_default();
    if refresh.dirty && !refresh.cooling && refresh.pending.is_none() && shown {
        now(model, slot, effects);
    }
}

/// Takes an answer, unless a newer question was asked.
pub(super) fn loaded(
    model: &mut Model,
    slot: Slot,
    seq: u64,
    result: Result<Loaded, String>,
    effects: &mut Vec<Effect>,
) {
    let refresh = model.refresh.entry(slot).or_default();
    if refresh.pending != Some(seq) {
        return;
    }
    let partial = matches!(&result, Ok(Loaded::Deliveries { done: false, .. }));
    if !partial {
        refresh.pending = None;
    }
    match result {
        Ok(loaded) => {
            model.read_error = None;
            model.known.insert(slot);
            take(model, slot, loaded, effects);
        }
        Err(text) => model.read_error = Some(Visible::of(&text).into_string()),
    }
    again(model, slot, effects);
}

/// Judges anew what is wrong: time passes between two overviews.
pub(super) fn judge(model: &mut Model) {
    if let Some(overview) = &model.overview {
        let now = model.now.max(overview.at);
        model.troubles = wrong_at(overview, &model.tokens, &model.config, now);
    }
}

fn take(model: &mut Model, slot: Slot, loaded: Loaded, effects: &mut Vec<Effect>) {
    match loaded {
        Loaded::Overview(overview, tokens) => {
            model.overview = Some(Arc::new(*overview));
            model.tokens = tokens;
            judge(model);
            incidents::look(model, effects);
        }
        Loaded::Deliveries {
            filter,
            cursor,
            rows,
            done,
        } => page(model, &filter, cursor, rows, done),
        Loaded::Dead(groups) => model.groups = groups,
        Loaded::Delivery(id, data) if slot == Slot::Followed => {
            follow(model, id, data.as_deref(), effects);
        }
        Loaded::Delivery(id, data) => {
            if model.detail.id == Some(id) {
                model.detail.gone = data.is_none();
                model.detail.data = data;
            }
        }
        Loaded::Log(rows) => model.log = rows,
        Loaded::Plan(id, data) => {
            if model.recon.plan == Some(id) {
                model.recon.data = data;
            }
        }
        Loaded::Runs(rows, sides, plans) => {
            model.runs = rows;
            model.recon.sides = sides;
            model.recon.plans = plans;
            tell_run(model, effects);
        }
        Loaded::Differences(run, rows) => {
            if model.run == Some(run) {
                model.differences = rows;
            }
        }
        Loaded::Batches(rows) => {
            model.batches = rows;
            tell_replay(model, effects);
        }
        Loaded::Left(notes) => model.own.left = notes,
        Loaded::Incidents(rows) => model.incidents.take(rows),
        Loaded::Incident(id, data, runbook) => {
            if model.incidents.open == Some(id) {
                model.incidents.data = data;
                model.incidents.runbook = runbook;
                incidents::read(model);
            }
        }
        Loaded::Reviews(fields, deliveries) => {
            model.review.fields = fields;
            model.review.deliveries = deliveries;
        }
        Loaded::Held(groups) => model.held.groups = groups,
        Loaded::HeldEvents(group, rows) => {
            if model.held.open == Some(group) {
                model.held.rows = rows;
            }
        }
        Loaded::HeldEvent(id, data) => {
            if model.held.one.id == Some(id) {
                let is_first = model.held.one.data.is_none();
                model.held.one.gone = data.is_none();
                model.held.one.data = data;
                if is_first {
                    held::begin(model);
                }
            }
        }
        Loaded::Lineage(id, trace, notes) => {
            if model.detail.id == Some(id) {
                model.detail.trace = trace;
                model.detail.notes = notes;
            }
        }
        Loaded::Story(record, story, reviews) => {
            if model.record.about.as_ref() == Some(&record) {
                let before = (model.record.data.is_some()).then(|| records::standing(model));
                model.record.gone = story.is_none();
                model.record.data = story;
                model.record.reviews = reviews;
                match before {
                    Some(before) => records::keep(model, &before),
                    None => records::begin(model),
                }
            }
        }
        Loaded::Found(needle, rows) => {
            if model.record.needle == needle {
                model.record.found = rows;
            }
        }
        Loaded::About(id, records) => records::of_delivery(model, id, &records, effects),
    }
}

fn page(
    model: &mut Model,
    filter: &crate::queue::filter::Filter,
    cursor: Cursor,
    rows: Vec<crate::store::view::DeliveryRow>,
    done: bool,
) {
    let list = &mut model.deliveries;
    if *filter != list.filter {
        return;
    }
    list.searching = !done;
    // A page that is still being filled replaces what is shown only if it holds more.
    if !done && rows.len() < list.rows.len() {
        return;
    }
    let full = rows.len() >= PAGE;
    list.from = match (cursor, rows.first()) {
        (Cursor::Newer(_), _) if !full => Some(Cursor::Newest),
        (Cursor::Newer(_) | Cursor::Oldest, Some(first)) => {
            Some(Cursor::Older(crate::ids::DeliveryId(first.id.0 + 1)))
        }
        _ => Some(cursor),
    };
    list.older = match cursor {
        Cursor::Oldest => false,
        // Fewer than asked for, counted from the newest: these are simply all that are newer.
        Cursor::Newer(_) => true,
        Cursor::Newest | Cursor::Older(_) => full,
    };
    list.rows = rows;
    match list.jump.take() {
        Some(true) => list.selection.select(&ids(list), 0, 1),
        Some(false) => {
            let ids = ids(list);
            list.selection.select(&ids, ids.len(), 1);
        }
        None => {}
    }
}

/// Says what a replay that was begun here has come to, once it has ended.
fn tell_replay(model: &mut Model, effects: &mut Vec<Effect>) {
    let ended = |row: &&BatchRow| Some(row.id) == model.replaying && row.ended.is_some();
    let Some(row) = model.batches.iter().find(ended) else {
        return;
    };
    let mut text = format!(
        "replay {}: {} delivered, {} died again",
        row.id.0, row.delivered, row.died
    );
    if row.skipped > 0 {
        let _ = write!(text, ", {} skipped", row.skipped);
    }
    if let Some(reason) = &row.reason {
        let _ = write!(text, "; {reason}");
    }
    let bad = row.died > 0 || row.reason.is_some();
    model.replaying = None;
    toast(model, &text, bad, effects);
}

/// Says what a reconciliation that was run from here has found, once it has ended.
fn tell_run(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some((job, before)) = &model.comparing else {
        return;
    };
    let newest = model.runs.iter().find(|run| run.job == *job);
    let Some(run) = newest.filter(|run| Some(run.id) != *before && run.ended.is_some()) else {
        return;
    };
    let text = match (&run.error, run.drift) {
        (Some(error), _) => format!("{job}: {error}"),
        (None, None) => format!("{job}: nothing could be compared"),
        (None, Some(drift)) => format!(
            "{job}: drift {:.1}%, {} missing, {} differ",
            drift * 100.0,
            run.only_first + run.only_second,
            run.differing
        ),
    };
    let bad = run.error.is_some();
    model.comparing = None;
    toast(model, &text, bad, effects);
}

fn ids(list: &super::super::model::Deliveries) -> Vec<crate::ids::DeliveryId> {
    list.rows.iter().map(|row| row.id).collect()
}

fn follow(
    model: &mut Model,
    id: crate::ids::DeliveryId,
    data: Option<&crate::store::view::DeliveryDetail>,
    effects: &mut Vec<Effect>,
) {
    let Some(followed) = model.followed.as_mut().filter(|followed| followed.id == id) else {
        return;
    };
    let Some(data) = data else { return };
    let was_open = followed
        .state
        .as_ref()
        .is_none_or(|(state, _)| !state.is_settled());
    followed.state = Some((data.row.state, data.row.reason.clone()));
    if was_open && data.row.state == crate::queue::model::State::Delivered {
        model.followed = None;
        let what = if data.row.path.starts_with("page/") {
            "the escalation"
        } else {
            "what was decided"
        };
        let words = format!("{what} has arrived ({id})");
        toast(model, &words, false, effects);
    }
}
