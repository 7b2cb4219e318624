//! What a person decides on the Review screen: this side, that side, or another value. Each is asked first, as any action.

use super::super::keymap::Command;
use super::super::model::{Asking, Model, Prompt};
use super::{Effect, acts};
use crate::control::Hidden;
use crate::control::action::{Action, Stands};
use crate::record::value::Value;
use crate::store::view::ReviewRow;
use crate::visible::Visible;

fn title(row: &ReviewRow, whose: &str) -> String {
    let text = format!("Take {whose} for {} of this {}", row.field, row.about.kind);
    Visible::of(&text).into_string()
}

/// `a` and `b`.
pub(super) fn decide(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let Some(row) = model.review.open_here() else {
        return;
    };
    let (side, whose) = match command {
        Command::TakeTheirs => (Stands::Theirs, &row.receiver),
        _ => (Stands::Ours, &row.source),
    };
    let title = title(row, &format!("{whose}'s value"));
    let review = row.id;
    acts::open(model, title, Action::Decide { review, side }, "", effects);
}

/// `e`: a line to write another value into, begun with the source's; a sensitive one is not shown.
pub(super) fn ask(model: &mut Model) {
    let Some(row) = model.review.open_here() else {
        return;
    };
    let plain = row.ours.as_deref().filter(|_| !row.sensitive);
    let text = plain
        .and_then(Value::of_canonical)
        .and_then(|value| value.text());
    let text = Visible::of(&text.unwrap_or_default()).into_string();
    model.prompt = Some(Prompt {
        asking: Asking::Decide(row.id),
        before: String::new(),
        line: tui_input::Input::new(text),
        error: None,
    });
}

/// Enter in that line: what the value would do is asked.
pub(super) fn value(model: &mut Model, text: String, effects: &mut Vec<Effect>) {
    let asking = model.prompt.take().map(|prompt| prompt.asking);
    let Some(Asking::Decide(review)) = asking else {
        return;
    };
    let Some(row) = model.review.field(review) else {
        return;
    };
    let title = title(row, "another value");
    let side = Stands::Value(Hidden::from(text));
    acts::open(model, title, Action::Decide { review, side }, "", effects);
}
