//! Moving about: selections, pages, and where Enter leads.

use std::path::PathBuf;

use super::super::json_view::Tree;
use super::super::keymap::Command;
use super::super::model::{Body, Fold, Model, OverviewId, Place, Selection, Slot};
use super::super::views;
use super::{Effect, Query, go, height, held, incidents, loads, recon, records};
use crate::ids::{DeliveryId, RunId};
use crate::queue::filter::Filter;
use crate::queue::model::State;
use crate::store::Cursor;
use crate::watch::About;

/// Brings every selection and scroll position in line with what there is now.
pub(super) fn settle(model: &mut Model) {
    let height = height(model);
    let chosen = model.overview_ids();
    model.chosen.settle(&chosen, height);
    let list = &mut model.deliveries;
    if !list.pinned {
        list.selection = Selection::default();
    }
    let ids = delivery_ids(&list.rows);
    list.selection.settle(&ids, height);
    let groups = group_ids(model);
    model.group.settle(&groups, height);
    let lines = log_ids(model);
    model.log_line.settle(&lines, height);
    let jobs = job_ids(model);
    model.job.settle(&jobs, height);
    let batches: Vec<_> = model.batches.iter().map(|row| row.id).collect();
    model.batch.settle(&batches, height);
    held::settle(model, height);
    let owned = model.own.ids();
    model.own.pick.settle(&owned, height);
    let incidents: Vec<_> = model.incidents.rows.iter().map(|one| one.id).collect();
    model.incidents.pick.settle(&incidents, height);
    let steps: Vec<usize> = (0..model.incidents.steps.len()).collect();
    model.incidents.step.settle(&steps, height);
    let reviews = model.review.ids();
    model.review.pick.settle(&reviews, height);
    let past: Vec<_> = model.past_runs().iter().map(|run| run.id).collect();
    model.recon.past.settle(&past, height);
    let differences = model.shown_differences();
    model.difference.settle(&differences, height);
    let writes = model.recon.ids();
    model.recon.write.settle(&writes, height);
    let systems = system_ids(model);
    model.system.settle(&systems, height);
    if model.place == Place::Record {
        let found = record_ids(model);
        model.record.pick.settle(&found, height);
        let lines = views::record::rows(model).len();
        let record = &mut model.record;
        record.line = record.line.min(lines.saturating_sub(1));
        record.top = record
            .top
            .min(record.line)
            .max((record.line + 1).saturating_sub(height.max(1)));
    }
    if model.place == Place::Delivery {
        lay_out(model);
        let lines = views::delivery::rows(model).len();
        let detail = &mut model.detail;
        detail.line = detail.line.min(lines.saturating_sub(1));
        detail.top = detail
            .top
            .min(detail.line)
            .max((detail.line + 1).saturating_sub(height.max(1)));
    }
    if model.place == Place::Runbook {
        let lines = views::runbook::lines(model).len();
        model.reading.top = model.reading.top.min(lines.saturating_sub(height.max(1)));
    }
}

/// Keeps the laid-out bodies in step with the delivery; what has not changed stays folded as it was.
fn lay_out(model: &mut Model) {
    let width = views::text_width(model).saturating_sub(2);
    for body in [Body::Request, Body::Answer, Body::Event] {
        let Some(bytes) = model.body(body).map(<[u8]>::to_vec) else {
            model.detail.trees.remove(&body);
            continue;
        };
        let trees = &mut model.detail.trees;
        if trees.get(&body).is_none_or(|(known, _)| *known != bytes) {
            let tree = Tree::parse(bytes.clone());
            trees.insert(body, (bytes, tree));
        }
        if let Some((_, tree)) = trees.get_mut(&body) {
            tree.fit(width);
        }
    }
}

fn delivery_ids(rows: &[crate::store::view::DeliveryRow]) -> Vec<DeliveryId> {
    rows.iter().map(|row| row.id).collect()
}

fn group_ids(model: &Model) -> Vec<super::super::model::GroupId> {
    model
        .groups
        .iter()
        .map(|group| (group.path.clone(), group.fingerprint))
        .collect()
}

fn log_ids(model: &Model) -> Vec<i64> {
    model.shown_log().map(|row| row.id).collect()
}

fn job_ids(model: &Model) -> Vec<String> {
    model
        .config
        .reconcile
        .iter()
        .map(|job| job.name.clone())
        .collect()
}

fn system_ids(model: &Model) -> Vec<String> {
    model.config.systems.keys().cloned().collect()
}

fn record_ids(model: &Model) -> Vec<crate::record::ledger::About> {
    (model.record.found.iter())
        .map(|row| row.about.clone())
        .collect()
}

/// Where a motion leads among `count` lines.
fn target(command: Command, index: usize, count: usize, height: usize) -> usize {
    let page = height.saturating_sub(1).max(1);
    let last = count.saturating_sub(1);
    match command {
        Command::Up => index.saturating_sub(1),
        Command::Down => (index + 1).min(last),
        Command::PageUp => index.saturating_sub(page),
        Command::PageDown => (index + page).min(last),
        Command::Top => 0,
        Command::Bottom => last,
        _ => index,
    }
}

fn shift<Id: PartialEq + Clone>(
    selection: &mut Selection<Id>,
    ids: &[Id],
    command: Command,
    height: usize,
) {
    let index = target(command, selection.index, ids.len(), height);
    selection.select(ids, index, height);
}

/// A motion on the screen shown.
pub(super) fn step(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let height = height(model);
    match model.place {
        Place::Overview => {
            let ids = model.overview_ids();
            shift(&mut model.chosen, &ids, command, height);
        }
        Place::Deliveries => step_deliveries(model, command, height, effects),
        Place::Dead => {
            let ids = group_ids(model);
            shift(&mut model.group, &ids, command, height);
        }
        Place::Log => step_log(model, command, height, effects),
        Place::Reconcile => {
            let ids = job_ids(model);
            shift(&mut model.job, &ids, command, height);
        }
        Place::Replays => {
            let ids: Vec<_> = model.batches.iter().map(|row| row.id).collect();
            shift(&mut model.batch, &ids, command, height);
        }
        Place::Held => {
            let ids = held::group_ids(model);
            shift(&mut model.held.group, &ids, command, height);
        }
        Place::Ownership => {
            let ids = model.own.ids();
            shift(&mut model.own.pick, &ids, command, height);
        }
        Place::Incidents => {
            let ids: Vec<_> = model.incidents.rows.iter().map(|one| one.id).collect();
            shift(&mut model.incidents.pick, &ids, command, height);
        }
        Place::Incident => {
            let ids: Vec<usize> = (0..model.incidents.steps.len()).collect();
            shift(&mut model.incidents.step, &ids, command, height);
        }
        Place::Review => {
            let ids = model.review.ids();
            shift(&mut model.review.pick, &ids, command, height);
        }
        Place::HeldEvents => {
            let ids = held::row_ids(model);
            shift(&mut model.held.row, &ids, command, height);
        }
        Place::HeldEvent => {
            let count = views::held::rows(model).len();
            model.held.one.line = target(command, model.held.one.line, count, height);
        }
        Place::Runs => {
            let ids: Vec<_> = model.past_runs().iter().map(|run| run.id).collect();
            shift(&mut model.recon.past, &ids, command, height);
        }
        Place::Differences => {
            let ids = model.shown_differences();
            shift(&mut model.difference, &ids, command, height);
        }
        Place::Plan => {
            let ids = model.recon.ids();
            shift(&mut model.recon.write, &ids, command, height);
        }
        Place::Systems => {
            let ids = system_ids(model);
            shift(&mut model.system, &ids, command, height);
        }
        Place::Record if model.record.about.is_none() => {
            let ids = record_ids(model);
            shift(&mut model.record.pick, &ids, command, height);
        }
        Place::Record => {
            let count = views::record::rows(model).len();
            model.record.line = target(command, model.record.line, count, height);
        }
        Place::Delivery => {
            let count = views::delivery::rows(model).len();
            model.detail.line = target(command, model.detail.line, count, height);
        }
        Place::Runbook => {
            let count = views::runbook::lines(model).len();
            let last = count.saturating_sub(height) + 1;
            model.reading.top = target(command, model.reading.top, last, height);
        }
    }
}

fn step_deliveries(model: &mut Model, command: Command, height: usize, effects: &mut Vec<Effect>) {
    let list = &mut model.deliveries;
    list.pinned = command != Command::Top;
    let at_newest = list.from.is_none_or(|from| from == Cursor::Newest);
    let jump = match command {
        Command::Top if !at_newest => Some((Cursor::Newest, true)),
        Command::Bottom if list.older => Some((Cursor::Oldest, false)),
        _ => None,
    };
    if let Some((cursor, first)) = jump {
        list.jump = Some(first);
        ask_page(model, cursor, effects);
        return;
    }
    let ids = delivery_ids(&list.rows);
    shift(&mut list.selection, &ids, command, height);
}

fn ask_page(model: &mut Model, cursor: Cursor, effects: &mut Vec<Effect>) {
    let query = Query::Deliveries {
        filter: Box::new(model.deliveries.filter.clone()),
        cursor,
        limit: super::super::model::PAGE,
    };
    loads::ask(model, Slot::Deliveries, query, effects);
}

/// Slides the window of deliveries before the selection reaches its end.
pub(super) fn read_ahead(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.place != Place::Deliveries || !model.deliveries.pinned {
        return;
    }
    let pending = model
        .refresh
        .get(&Slot::Deliveries)
        .is_some_and(|refresh| refresh.pending.is_some());
    if pending {
        return;
    }
    let margin = height(model).clamp(1, 60) * 3 / 2;
    let list = &model.deliveries;
    let index = list.selection.index;
    let at_newest = list.from.is_none_or(|from| from == Cursor::Newest);
    let cursor = if list.older && index + margin >= list.rows.len() && index > margin {
        list.rows
            .get(index - margin)
            .map(|row| Cursor::Older(row.id))
    } else if !at_newest && index < margin / 2 {
        // Far enough from both ends afterwards not to slide straight back.
        list.rows
            .get((index + margin * 2).min(list.rows.len().saturating_sub(1)))
            .map(|row| Cursor::Newer(row.id))
    } else {
        None
    };
    if let Some(cursor) = cursor {
        ask_page(model, cursor, effects);
    }
}

fn step_log(model: &mut Model, command: Command, height: usize, effects: &mut Vec<Effect>) {
    let ids = log_ids(model);
    let at_end = model.log_line.index + 1 >= ids.len();
    match command {
        Command::Top if model.log_before.is_some() => {
            model.log_before = None;
            model.log_line = Selection::default();
            loads::now(model, Slot::Log, effects);
        }
        Command::Down | Command::PageDown | Command::Bottom
            if at_end && model.log.len() >= super::super::model::LOG_PAGE =>
        {
            // The last line shown stays, as the first of the next page.
            model.log_before = model.log.last().map(|row| row.id + 1);
            loads::now(model, Slot::Log, effects);
        }
        _ => shift(&mut model.log_line, &ids, command, height),
    }
}

/// Marks or unmarks the selected delivery and goes on to the next.
pub(super) fn mark(model: &mut Model, effects: &mut Vec<Effect>) {
    if let Some(id) = model.deliveries.selection.id {
        if !model.deliveries.marked.remove(&id) {
            model.deliveries.marked.insert(id);
        }
        step(model, Command::Down, effects);
    }
}

/// Shows other deliveries.
pub(super) fn set_filter(model: &mut Model, filter: Filter) {
    let list = &mut model.deliveries;
    list.filter = filter;
    list.rows.clear();
    list.from = None;
    list.older = false;
    list.pinned = false;
    list.jump = None;
    list.searching = false;
    list.marked.clear();
    list.selection = Selection::default();
    model.known.remove(&Slot::Deliveries);
}

fn go_filtered(model: &mut Model, filter: Filter, effects: &mut Vec<Effect>) {
    let before = model.deliveries.filter.clone();
    set_filter(model, filter);
    go(model, Place::Deliveries, effects);
    // Esc must find the screen as it was.
    if let Some(last) = model.history.last_mut() {
        last.1 = before;
    }
}

/// Shows one delivery.
pub(super) fn show_delivery(model: &mut Model, id: DeliveryId, effects: &mut Vec<Effect>) {
    if model.detail.id != Some(id) {
        model.detail = super::super::model::Detail {
            id: Some(id),
            ..Default::default()
        };
        model.known.remove(&Slot::Delivery);
    }
    if model.place == Place::Delivery {
        loads::now(model, Slot::Delivery, effects);
    } else {
        go(model, Place::Delivery, effects);
    }
}

fn dead_filter(path: &str) -> Filter {
    Filter {
        paths: vec![path.to_owned()],
        states: vec![State::Dead],
        ..Filter::default()
    }
}

/// Enter.
pub(super) fn open(model: &mut Model, effects: &mut Vec<Effect>) {
    match model.place {
        Place::Overview => open_chosen(model, effects),
        Place::Deliveries => {
            if let Some(id) = model.deliveries.selection.id {
                show_delivery(model, id, effects);
            }
        }
        Place::Dead => {
            if let Some(group) = model.group_here() {
                let filter = Filter {
                    fingerprint: group.fingerprint,
                    ..dead_filter(&group.path)
                };
                go_filtered(model, filter, effects);
            }
        }
        Place::Log => {
            if let Some(id) = model.log_here().and_then(|row| row.delivery) {
                show_delivery(model, id, effects);
            }
        }
        Place::Reconcile => {
            if let Some(run) = run_here(model) {
                recon::show_run(model, run, effects);
            }
        }
        Place::Runs => {
            if let Some(run) = model.recon.past.id {
                recon::show_run(model, run, effects);
            }
        }
        Place::Replays => {
            if let Some(batch) = model.batch_here() {
                let filter = Filter {
                    replay: Some(batch.id),
                    ..Filter::default()
                };
                go_filtered(model, filter, effects);
            }
        }
        Place::Differences => {
            if let Some(key) = model.difference_here().map(|row| row.key.clone()) {
                let filter = Filter {
                    subject: Some(key),
                    ..Filter::default()
                };
                go_filtered(model, filter, effects);
            }
        }
        Place::Record => records::open(model, effects),
        Place::Systems => {
            let to: Vec<String> = paths_to_here(model);
            if !to.is_empty() {
                let filter = Filter {
                    paths: to,
                    ..Filter::default()
                };
                go_filtered(model, filter, effects);
            }
        }
        Place::Held | Place::HeldEvents | Place::HeldEvent => held::open(model, effects),
        Place::Ownership => {
            records::look_for(model, String::new(), effects);
            go(model, Place::Record, effects);
        }
        Place::Incidents => {
            if let Some(id) = model.incidents.pick.id {
                incidents::show(model, id, effects);
            }
        }
        Place::Review => {
            if let Some(id) = review_delivery(model) {
                show_delivery(model, id, effects);
            }
        }
        Place::Delivery | Place::Incident | Place::Plan | Place::Runbook => {}
    }
}

/// The delivery behind what is selected on the Review screen.
fn review_delivery(model: &Model) -> Option<DeliveryId> {
    let review = &model.review;
    let held = review.delivery_here().map(|row| row.id);
    held.or_else(|| review.field_here()?.delivery)
}

/// The paths that deliver to the selected system.
fn paths_to_here(model: &Model) -> Vec<String> {
    let Some(system) = model.system_here() else {
        return Vec::new();
    };
    (model.config.paths.iter())
        .filter(|path| path.to == system.name)
        .map(|path| path.name.clone())
        .collect()
}

/// Whether Enter leads anywhere from what is selected.
pub(super) fn leads_somewhere(model: &Model) -> bool {
    match model.place {
        Place::Overview => model.chosen.id.is_some(),
        Place::Deliveries => model.deliveries.selection.id.is_some(),
        Place::Dead => model.group_here().is_some(),
        Place::Log => model.log_here().is_some_and(|row| row.delivery.is_some()),
        Place::Reconcile => run_here(model).is_some(),
        Place::Runs => model.recon.past.id.is_some(),
        Place::Replays => model.batch_here().is_some(),
        Place::Differences => model.difference_here().is_some(),
        Place::Record if model.record.about.is_none() => model.record.pick.id.is_some(),
        Place::Record => records::fold_here(model).is_some(),
        Place::Systems => !paths_to_here(model).is_empty(),
        Place::Held => model.held.group_here().is_some(),
        Place::HeldEvents => model.held.row_here().is_some(),
        Place::Incidents => model.incidents.pick.id.is_some(),
        Place::Review => review_delivery(model).is_some(),
        Place::Ownership => model.own.pick.id.is_some(),
        Place::Delivery | Place::HeldEvent | Place::Incident | Place::Plan | Place::Runbook => {
            false
        }
    }
}

/// The newest run of the selected job.
fn run_here(model: &Model) -> Option<RunId> {
    let job = model.job.id.as_ref()?;
    let run = model.runs.iter().find(|run| run.job == *job)?;
    Some(run.id)
}

fn open_chosen(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(chosen) = model.chosen.id.clone() else {
        return;
    };
    match chosen {
        OverviewId::Path(path) => {
            let filter = Filter {
                paths: vec![path],
                ..Filter::default()
            };
            go_filtered(model, filter, effects);
        }
        OverviewId::Trouble(About::Dead, Some(path)) => {
            if let Some(index) = model.groups.iter().position(|group| group.path == path) {
                let ids = group_ids(model);
                model.group.select(&ids, index, 1);
            }
            go(model, Place::Dead, effects);
        }
        OverviewId::Trouble(about, Some(path)) => match about {
            About::Job => {
                model.job.id = Some(path);
                go(model, Place::Reconcile, effects);
            }
            About::Note => {
                let filter = Filter {
                    paths: vec![path],
                    ..Filter::default()
                };
                go_filtered(model, filter, effects);
            }
            About::Held => {
                let filter = Filter {
                    paths: vec![path],
                    states: vec![State::Held],
                    ..Filter::default()
                };
                go_filtered(model, filter, effects);
            }
            _ => {
                let filter = Filter {
                    paths: vec![path],
                    states: vec![State::Ready, State::Running, State::Waiting],
                    ..Filter::default()
                };
                go_filtered(model, filter, effects);
            }
        },
        OverviewId::Trouble(About::Sender, name) => {
            if name.is_some() {
                model.system = Selection {
                    id: name,
                    ..Selection::default()
                };
            }
            go(model, Place::Systems, effects);
        }
        OverviewId::Trouble(About::Strays | About::Loop, None) => go(model, Place::Held, effects),
        OverviewId::Trouble(About::Review, None) => go(model, Place::Review, effects),
        OverviewId::Trouble(_, None) => go(model, Place::Log, effects),
    }
}

/// Folds on the Delivery screen.
pub(super) fn fold(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let rows = views::delivery::rows(model);
    let detail = &mut model.detail;
    match command {
        Command::Fold => {
            // The part that the cursor is in: the nearest line above it that can be folded.
            let at = detail.line.min(rows.len().saturating_sub(1));
            let fold = rows.iter().take(at + 1).rev().find_map(|row| row.fold);
            match fold {
                Some(Fold::Delivery(id)) => show_delivery(model, id, effects),
                Some(Fold::Record(index)) => {
                    let about = model.detail.data.as_ref().map(|data| &data.about);
                    if let Some(record) = about.and_then(|about| about.get(index)).cloned() {
                        records::show(model, record, effects);
                    }
                }
                Some(Fold::Part(part)) => {
                    if !detail.folded.remove(part) {
                        detail.folded.insert(part);
                    }
                    let line = rows
                        .iter()
                        .position(|row| row.fold == Some(Fold::Part(part)));
                    detail.line = line.unwrap_or(detail.line);
                }
                Some(Fold::Tree(body, row)) => {
                    if let Some((_, tree)) = detail.trees.get_mut(&body) {
                        let target = tree.toggle(row);
                        detail.line = (detail.line + target).saturating_sub(row);
                    }
                }
                Some(Fold::Field(_)) | None => {}
            }
        }
        Command::FoldAll => {
            for row in &rows {
                if let Some(Fold::Part(part)) = row.fold {
                    detail.folded.insert(part);
                }
            }
            for (_, tree) in detail.trees.values_mut() {
                tree.fold_all();
            }
        }
        _ => {
            detail.folded.clear();
            for (_, tree) in detail.trees.values_mut() {
                tree.unfold_all();
            }
        }
    }
}

/// Shows another attempt's answer.
pub(super) fn attempt(model: &mut Model, command: Command) {
    let Some(data) = &model.detail.data else {
        return;
    };
    let last = data.attempts.len().saturating_sub(1);
    let at = model.detail.attempt.unwrap_or(last);
    let next = if command == Command::NextAttempt {
        (at + 1).min(last)
    } else {
        at.saturating_sub(1)
    };
    model.detail.attempt = (next != last).then_some(next);
}

/// The runbook of what is selected, and what that is.
pub(super) fn runbook_here(model: &Model) -> Option<(PathBuf, String)> {
    if let Some(job) = model.job_here() {
        let file = model
            .config
            .reconcile
            .iter()
            .find(|other| other.name == job)?
            .runbook
            .clone()?;
        return Some((file, job));
    }
    let path = model.path_here()?;
    let file = model.config.path(&path)?.runbook.clone()?;
    Some((file, path))
}
