//! Business records: their stories, looking for one, and the commands of the palette that take words.

use super::super::model::{
    Asking, Fold, Model, Overlay, Place, Probing, Prompt, Recorded, Selection, Slot,
};
use super::super::views;
use super::{Effect, Query, acts, go, loads, moves, toast};
use crate::control::explain;
use crate::ids::DeliveryId;
use crate::record::ledger::About as RecordId;
use crate::visible::Visible;

/// A command of the palette that takes words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// `story order 1042`
    Story(RecordId),
    /// `record 1042`
    Find(String),
    /// `adopt order`
    Adopt(String),
}

impl Spoken {
    /// Reads what was typed; none if it is no such command (yet).
    pub fn read(typed: &str) -> Option<Self> {
        let (word, rest) = typed.trim().split_once(char::is_whitespace)?;
        let rest = rest.trim();
        match word.to_ascii_lowercase().as_str() {
            "story" => {
                let (kind, key) = rest.split_once(char::is_whitespace)?;
                Some(Self::Story(RecordId {
                    kind: kind.to_owned(),
                    key: key.trim().to_owned(),
                }))
            }
            "record" | "find" => Some(Self::Find(rest.to_owned())),
            "adopt" => Some(Self::Adopt(rest.to_owned())),
            _ => None,
        }
    }

    /// What it does, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Story(record) => format!("Show the story of {} {}", record.kind, record.key),
            Self::Find(text) => format!("Find records by {text}"),
            Self::Adopt(kind) => format!("Adopt every {kind} that two systems hold already"),
        }
    }
}

/// What is typed into the palette, if it is a command that takes words.
pub fn spoken(model: &Model) -> Option<Spoken> {
    match &model.overlay {
        Some(Overlay::Palette { line, .. }) => Spoken::read(line.value()),
        _ => None,
    }
}

/// Does a command that takes words.
pub(super) fn say(model: &mut Model, spoken: Spoken, effects: &mut Vec<Effect>) {
    match spoken {
        Spoken::Story(record) => show(model, record, effects),
        Spoken::Find(text) => {
            look_for(model, text, effects);
            if model.place != Place::Record {
                go(model, Place::Record, effects);
            }
        }
        Spoken::Adopt(kind) => acts::adopt(model, kind, effects),
    }
}

/// Shows one record.
pub(super) fn show(model: &mut Model, record: RecordId, effects: &mut Vec<Effect>) {
    if model.record.about.as_ref() != Some(&record) {
        let chosen = model.place == Place::Record && model.record.about.is_none();
        let old = std::mem::take(&mut model.record);
        model.record = Recorded {
            about: Some(record),
            chosen,
            needle: old.needle,
            found: old.found,
            pick: old.pick,
            ..Recorded::default()
        };
        model.known.remove(&Slot::Story);
    }
    if model.place == Place::Record {
        loads::now(model, Slot::Story, effects);
    } else {
        model.record.chosen = false;
        go(model, Place::Record, effects);
    }
}

/// `s`: the record that the selected delivery is about.
pub(super) fn story_here(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.place == Place::HeldEvent {
        let held = model.held.one.data.as_ref();
        if let Some(record) = held.and_then(|held| held.about.first()).cloned() {
            show(model, record, effects);
        }
        return;
    }
    if let Some(field) = model.review.field_here()
        && model.place == Place::Review
    {
        show(model, field.about.clone(), effects);
        return;
    }
    let Some(id) = model.delivery_id_here() else {
        return;
    };
    model.record.asked = Some(id);
    let known = model.detail.data.as_ref().filter(|data| data.row.id == id);
    match known.map(|data| data.about.clone()) {
        Some(records) => of_delivery(model, id, &records, effects),
        None => loads::ask(model, Slot::About, Query::About(id), effects),
    }
}

/// The records of a delivery are known: the one that its path carries is shown.
pub(super) fn of_delivery(
    model: &mut Model,
    id: DeliveryId,
    records: &[RecordId],
    effects: &mut Vec<Effect>,
) {
    if model.record.asked != Some(id) || model.delivery_id_here() != Some(id) {
        return;
    }
    model.record.asked = None;
    let row = match model.place {
        Place::Delivery => model.detail.data.as_ref().map(|data| &data.row),
        Place::Review => model.review.delivery_here(),
        _ => model.delivery_here(),
    };
    let Some(row) = row else { return };
    let carried = (model.config.path(&row.path))
        .and_then(|path| path.mapping.as_ref())
        .map(|mapping| mapping.target.clone());
    let key = row.order_key.clone().or_else(|| row.subject.clone());
    let own = records
        .iter()
        .find(|record| Some(&record.kind) == carried.as_ref());
    match (own.or(records.first()), key) {
        (Some(record), _) => show(model, record.clone(), effects),
        (None, Some(key)) => {
            look_for(model, key, effects);
            go(model, Place::Record, effects);
        }
        (None, None) => toast(
            model,
            &format!("no business record is known of delivery {id}"),
            true,
            effects,
        ),
    }
}

/// Shows the records that `text` finds.
pub(super) fn look_for(model: &mut Model, text: String, effects: &mut Vec<Effect>) {
    model.record.about = None;
    model.record.data = None;
    model.record.gone = false;
    if model.record.needle != text {
        model.record.needle = text;
        model.record.pick = Selection::default();
        model.record.found.clear();
        model.known.remove(&Slot::Found);
    }
    loads::now(model, Slot::Found, effects);
}

/// `/`
pub(super) fn ask(model: &mut Model) {
    let text = model.record.needle.clone();
    model.prompt = Some(Prompt {
        asking: Asking::Record,
        before: text.clone(),
        line: tui_input::Input::new(text),
        error: None,
    });
}

/// Enter.
pub(super) fn open(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.record.about.is_none() {
        if let Some(record) = model.record.pick.id.clone() {
            show(model, record, effects);
        }
        return;
    }
    match fold_here(model) {
        Some(Fold::Delivery(id)) => moves::show_delivery(model, id, effects),
        Some(Fold::Field(index)) => explain(model, index),
        Some(_) => fold(model),
        None => {}
    }
}

/// Why a field of the record holds what it holds.
fn explain(model: &mut Model, index: usize) {
    let Some(story) = &model.record.data else {
        return;
    };
    let Some(field) = views::record::field_names(story).get(index).copied() else {
        return;
    };
    if let Some(explained) = explain::explain(&model.config, story, &model.record.reviews, field) {
        let text = views::ownership::explained(model, &explained);
        let title = format!("{} {}: {field}", story.about.kind, story.about.key);
        model.overlay = Some(Overlay::Probe(Box::new(Probing {
            title: Visible::of(&title).into_string(),
            text,
            top: 0,
        })));
    }
}

/// A record is read for the first time: the cursor goes to the first line that leads to a delivery, what waits before what
/// has happened, unless that is out of sight.
pub(super) fn begin(model: &mut Model) {
    let rows = views::record::rows(model);
    let line = (rows.iter()).position(|row| matches!(row.fold, Some(Fold::Delivery(_))));
    let seen = line.filter(|line| *line < views::list_height(model));
    model.record.line = seen.unwrap_or(0);
}

/// The lines of the record before it was read anew.
pub(super) fn standing(model: &Model) -> Vec<views::record::Row> {
    views::record::rows(model)
}

/// It was read anew: the cursor stays on its line, where that still is; what came in above moves nothing on the screen
/// once it is scrolled.
pub(super) fn keep(model: &mut Model, before: &[views::record::Row]) {
    let Some(old) = before.get(model.record.line) else {
        return;
    };
    let after = views::record::rows(model);
    let same = |row: &views::record::Row| row.fold == old.fold && row.line == old.line;
    // New lines of the story come in above: of several that look alike, the one as far from the end as it was.
    let expected = (model.record.line + after.len()).saturating_sub(before.len());
    let found = (after.iter().enumerate())
        .filter(|(_, row)| same(row))
        .map(|(index, _)| index)
        .min_by_key(|index| index.abs_diff(expected));
    let Some(line) = found else { return };
    if model.record.top > 0 {
        model.record.top = (model.record.top + line).saturating_sub(model.record.line);
    }
    model.record.line = line;
}

/// What Enter does on the line with the cursor.
pub(super) fn fold_here(model: &Model) -> Option<Fold> {
    let rows = views::record::rows(model);
    rows.get(model.record.line).and_then(|row| row.fold)
}

/// Folds or unfolds the part with the cursor.
pub(super) fn fold(model: &mut Model) {
    let rows = views::record::rows(model);
    let at = model.record.line.min(rows.len().saturating_sub(1));
    let part = (rows.iter().take(at + 1).rev()).find_map(|row| match row.fold {
        Some(Fold::Part(part)) => Some(part),
        _ => None,
    });
    if let Some(part) = part {
        if !model.record.folded.remove(part) {
            model.record.folded.insert(part);
        }
        let line = (rows.iter()).position(|row| row.fold == Some(Fold::Part(part)));
        model.record.line = line.unwrap_or(at);
    }
}

/// Esc, from a record that was chosen among those found; false if it was not.
pub(super) fn back_to_found(model: &mut Model, effects: &mut Vec<Effect>) -> bool {
    if model.place != Place::Record || !model.record.chosen {
        return false;
    }
    let text = model.record.needle.clone();
    model.record.chosen = false;
    look_for(model, text, effects);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_with_words_are_read_when_they_are_whole() {
        let story = |kind: &str, key: &str| {
            Some(Spoken::Story(RecordId {
                kind: kind.into(),
                key: key.into(),
            }))
        };
        for (typed, read) in [
            ("story order 1042", story("order", "1042")),
            (" Story contact  anna berg ", story("contact", "anna berg")),
            ("story order", None),
            ("story", None),
            ("record 1042", Some(Spoken::Find("1042".into()))),
            ("find a b", Some(Spoken::Find("a b".into()))),
            ("adopt order", Some(Spoken::Adopt("order".into()))),
            ("replay", None),
            ("re play", None),
        ] {
            assert_eq!(Spoken::read(typed), read, "{typed}");
        }
    }
}
