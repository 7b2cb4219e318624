//! Held events: from a group to its events to one of them, and what can be done with each.

use super::super::json_view::Tree;
use super::super::keymap::Command;
use super::super::model::{Asking, Body, Fold, HeldOne, Model, Place, Prompt, Selection, Slot};
use super::super::views;
use super::{Effect, acts, go, loads, records};
use crate::control::action::{Action, DataChange, DataEdit, HeldScope};
use crate::ids::{EventId, HeldGroupId};
use crate::record::mask::Veil;
use crate::store::view::Admission;

/// The groups, in order.
pub(super) fn group_ids(model: &Model) -> Vec<HeldGroupId> {
    model.held.groups.iter().map(|group| group.id).collect()
}

/// The events of the open group, in order.
pub(super) fn row_ids(model: &Model) -> Vec<EventId> {
    model.held.rows.iter().map(|row| row.id).collect()
}

/// Brings selections and scroll positions in line with what there is.
pub(super) fn settle(model: &mut Model, height: usize) {
    let groups = group_ids(model);
    model.held.group.settle(&groups, height);
    let rows = row_ids(model);
    model.held.row.settle(&rows, height);
    if model.place == Place::HeldEvent {
        lay_out(model);
        let lines = views::held::rows(model).len();
        let one = &mut model.held.one;
        one.line = one.line.min(lines.saturating_sub(1));
        let least = (one.line + 1).saturating_sub(height.max(1));
        one.top = one.top.min(one.line).max(least);
    }
}

/// Keeps the laid-out data in step with the event, with the faulty places marked.
fn lay_out(model: &mut Model) {
    let width = views::text_width(model).saturating_sub(2);
    let config = &model.config;
    let one = &mut model.held.one;
    let Some(detail) = &one.data else {
        one.tree = None;
        return;
    };
    let Some(event) = &detail.event else {
        one.tree = None;
        return;
    };
    let bytes = Veil::of(config, &event.source, &event.kind, &event.data).data(&event.data);
    if one.tree.as_ref().is_none_or(|(known, _)| *known != bytes) {
        let mut tree = Tree::parse(bytes.clone());
        tree.mark(detail.faults.iter().map(|fault| fault.pointer.as_str()));
        one.tree = Some((bytes, tree));
    }
    if let Some((_, tree)) = &mut one.tree {
        tree.fit(width);
    }
}

/// Enter.
pub(super) fn open(model: &mut Model, effects: &mut Vec<Effect>) {
    match model.place {
        Place::Held => {
            let Some(group) = model.held.group_here().map(|group| group.id) else {
                return;
            };
            if model.held.open != Some(group) {
                model.held.open = Some(group);
                model.held.rows.clear();
                model.held.row = Selection::default();
                model.known.remove(&Slot::HeldEvents);
            }
            go(model, Place::HeldEvents, effects);
        }
        Place::HeldEvents => {
            if let Some(id) = model.held.row.id {
                show(model, id, effects);
            }
        }
        _ => fold(model, Command::Fold, effects),
    }
}

/// Shows one event whole.
pub(super) fn show(model: &mut Model, id: EventId, effects: &mut Vec<Effect>) {
    if model.held.one.id != Some(id) {
        model.held.one = HeldOne {
            id: Some(id),
            ..HeldOne::default()
        };
        model.known.remove(&Slot::HeldEvent);
    }
    if model.place == Place::HeldEvent {
        loads::now(model, Slot::HeldEvent, effects);
    } else {
        go(model, Place::HeldEvent, effects);
    }
}

/// The event has been read for the first time: the cursor goes to the first faulty place, if that is in sight.
pub(super) fn begin(model: &mut Model) {
    lay_out(model);
    let rows = views::held::rows(model);
    let data = rows
        .iter()
        .position(|row| row.fold == Some(Fold::Part("data")));
    let tree = model.held.one.tree.as_ref();
    let place = tree.and_then(|(_, tree)| tree.first_marked());
    let line = data.zip(place).map(|(data, place)| data + 1 + place);
    let seen = line.filter(|line| *line < views::list_height(model));
    model.held.one.line = seen.unwrap_or(0);
}

/// Folding, and what else Enter does on a line of the event.
pub(super) fn fold(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let rows = views::held::rows(model);
    let one = &mut model.held.one;
    match command {
        Command::Fold => match rows.get(one.line).and_then(|row| row.fold) {
            Some(Fold::Part(part)) if one.folded.contains(part) => {
                one.folded.remove(part);
            }
            Some(Fold::Part(part)) => {
                one.folded.insert(part);
            }
            Some(Fold::Tree(Body::Held, row)) => {
                if let Some((_, tree)) = &mut one.tree {
                    let target = tree.toggle(row);
                    one.line = (one.line + target).saturating_sub(row);
                }
            }
            Some(Fold::Record(index)) => {
                let about = one.data.as_ref().map(|data| &data.about);
                if let Some(record) = about.and_then(|about| about.get(index)).cloned() {
                    records::show(model, record, effects);
                }
            }
            _ => {}
        },
        Command::FoldAll => {
            for row in &rows {
                if let Some(Fold::Part(part)) = row.fold {
                    one.folded.insert(part);
                }
            }
        }
        _ => {
            one.folded.clear();
            if let Some((_, tree)) = &mut one.tree {
                tree.unfold_all();
            }
        }
    }
}

/// The event that a command of this screen is about.
pub(super) fn event_here(model: &Model) -> Option<EventId> {
    match model.place {
        Place::HeldEvents => model.held.row.id,
        Place::HeldEvent => model.held.one.id,
        _ => None,
    }
}

/// What `r` and `d` are about here.
pub(super) fn scope(model: &Model) -> Option<(HeldScope, String)> {
    if model.place == Place::Held {
        let id = model.held.group_here()?.id;
        return Some((HeldScope::Group(id), format!("group {id} of held events")));
    }
    if model.place == Place::HeldEvent && !is_open(model) {
        return None;
    }
    let id = event_here(model)?;
    Some((HeldScope::Events(vec![id]), format!("held event {id}")))
}

/// The event shown whole is still held or unrouted.
fn is_open(model: &Model) -> bool {
    let data = model.held.one.data.as_ref();
    data.is_some_and(|data| matches!(data.row.admission, Admission::Held | Admission::Unrouted))
}

/// The event shown whole can be changed.
pub(super) fn is_editable(model: &Model) -> bool {
    let data = model.held.one.data.as_ref();
    is_open(model) && data.is_some_and(|data| data.event.is_some())
}

/// `e`: a line to change a value with, begun with the first place that is wrong.
pub(super) fn ask(model: &mut Model) {
    let Some(data) = model.held.one.data.as_ref().filter(|_| is_editable(model)) else {
        return;
    };
    // Of a member that is missing, the fault names the place where it belongs.
    let place = data.faults.first().map_or("/", |fault| &fault.pointer);
    model.prompt = Some(Prompt {
        asking: Asking::Edit,
        before: String::new(),
        line: tui_input::Input::new(format!("{place} = ")),
        error: None,
    });
}

/// `/total = 982.00`, or `/total` alone to take it away. What is no JSON is a text.
pub(super) fn change(line: &str) -> Result<DataChange, String> {
    let line = line.trim();
    let (pointer, value) = match line.split_once('=') {
        Some((pointer, value)) => (pointer.trim(), Some(value.trim())),
        None => (line, None),
    };
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err("a place begins with /: `/total = 982.00`; a place alone is taken away".into());
    }
    let value = match value {
        Some("") => {
            return Err(
                "what is to stand there? `\"\"` is an empty text, a place alone is taken away"
                    .into(),
            );
        }
        Some(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            Some(text.to_owned())
        }
        Some(text) => Some(serde_json::Value::from(text).to_string()),
        None if pointer.is_empty() => return Err("which place? `/total = 982.00`".into()),
        None => None,
    };
    Ok(DataChange {
        pointer: pointer.to_owned(),
        value: value.map(Into::into),
    })
}

/// Enter in that line: what the change would do is asked.
pub(super) fn edit(model: &mut Model, change: DataChange, effects: &mut Vec<Effect>) {
    let Some(event) = model.held.one.id else {
        return;
    };
    let title = format!("Edit held event {event} and release it");
    let edit = DataEdit::Changes(vec![change]);
    acts::open(model, title, Action::EditHeld { event, edit }, "", effects);
}

/// What is copied here.
pub(super) fn id_here(model: &Model) -> Option<String> {
    match model.place {
        Place::Held => model.held.group_here().map(|group| group.id.to_string()),
        _ => event_here(model).map(|id| id.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_place_and_json_or_a_text() {
        for (typed, pointer, value) in [
            ("/total = 982.00", "/total", Some("982.00")),
            ("/a/b= true", "/a/b", Some("true")),
            ("/note = two words", "/note", Some("\"two words\"")),
            ("/note = \"a = b\"", "/note", Some("\"a = b\"")),
            (" /total ", "/total", None),
            ("= {}", "", Some("{}")),
        ] {
            let read = change(typed).unwrap();
            assert_eq!(read.pointer, pointer, "{typed}");
            let read = read.value.as_ref().map(|value| value.expose().to_owned());
            assert_eq!(read.as_deref(), value, "{typed}");
        }
        for bad in ["", "total = 1", "/total =", "= "] {
            assert!(change(bad).is_err(), "{bad}");
        }
    }
}
