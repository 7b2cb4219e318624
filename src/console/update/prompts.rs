//! What takes the keys for itself: lines of input, the palette, the help, dialogs.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input as Line, InputRequest};

use super::super::keymap::{self, Binding, Command, Context};
use super::super::model::{Asking, Model, Overlay, Place, Prompt, Slot, Stage};
use super::super::views;
use super::{
    Effect, Exit, acts, height, held, loads, moves, records, review, run, screen_contexts, systems,
};
use crate::queue::filter::{Filter, FilterError, KEYS, check_paths};

/// A line of input holds no more characters than this.
const LONGEST: usize = 500;

/// Opens the line at the bottom for this screen.
pub(super) fn open(model: &mut Model) {
    let (asking, text) = match model.place {
        Place::Runbook => (Asking::Search, model.reading.needle.clone()),
        Place::Log => (Asking::LogFilter, model.log_filter.clone()),
        Place::Differences => (Asking::DifferenceFilter, model.recon.needle.clone()),
        _ => (Asking::Filter, model.deliveries.filter.to_string()),
    };
    let before = text.clone();
    // What is there already is kept and added to.
    let gap = asking == Asking::Filter && !text.is_empty();
    model.prompt = Some(Prompt {
        asking,
        before,
        line: Line::new(if gap { text + " " } else { text }),
        error: None,
    });
}

/// A command of a modal context.
pub(super) fn modal(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let palette_len = matches(model).len();
    match (&mut model.overlay, command) {
        (
            Some(
                Overlay::Palette { .. }
                | Overlay::Help { .. }
                | Overlay::Leave { .. }
                | Overlay::Report(_),
            ),
            Command::Dismiss,
        ) => model.overlay = None,
        (Some(Overlay::Palette { selected, .. }), Command::Down) => {
            *selected = (*selected + 1).min(palette_len.saturating_sub(1));
        }
        (Some(Overlay::Palette { selected, .. }), Command::Up) => {
            *selected = selected.saturating_sub(1);
        }
        (Some(Overlay::Palette { selected, .. }), Command::Accept) => {
            let selected = *selected;
            if let Some(spoken) = records::spoken(model) {
                model.overlay = None;
                records::say(model, spoken, effects);
                return;
            }
            let chosen = matches(model).get(selected).map(|row| row.command);
            model.overlay = None;
            if let Some(command) = chosen {
                run(model, command, effects);
            }
        }
        (Some(Overlay::Help { top }), motion) => {
            *top = match motion {
                Command::Down => *top + 1,
                Command::Up => top.saturating_sub(1),
                Command::PageDown => *top + 10,
                Command::PageUp => top.saturating_sub(10),
                _ => *top,
            };
            let last = views::overlay::help_lines(model).saturating_sub(3);
            if let Some(Overlay::Help { top }) = &mut model.overlay {
                *top = (*top).min(last);
            }
        }
        (Some(Overlay::Leave { armed: true, .. }), Command::Stop) => {
            effects.push(Effect::Leave(Exit::Quit));
        }
        (Some(Overlay::Leave { armed: true, .. }), Command::Detach) if model.demo.is_none() => {
            effects.push(Effect::Leave(Exit::Detach));
        }
        (Some(Overlay::Dialog(_)), _) => dialog(model, command, effects),
        (Some(Overlay::Probe(_) | Overlay::Secret(_)), _) => {
            systems::modal(model, command, effects);
        }
        (None, Command::Accept) => accept(model, effects),
        (None, Command::Dismiss) => dismiss(model, effects),
        _ => {}
    }
}

fn dialog(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    let Some(Overlay::Dialog(dialog)) = &mut model.overlay else {
        return;
    };
    match command {
        // What is being done goes on; the answer comes as a message.
        Command::Dismiss if acts::is_writing(dialog) => acts::unwritten(model, effects),
        Command::Dismiss => model.overlay = None,
        Command::Write => acts::write(model),
        Command::Accept => acts::written(model, effects),
        Command::Yes => acts::yes(model, effects),
        Command::Down | Command::Up => {
            let count = acts::options(dialog).len();
            let down = command == Command::Down;
            if count > 1 && down && dialog.option + 1 < count {
                dialog.option += 1;
            } else if count > 1 && !down && dialog.option > 0 && dialog.top == 0 {
                dialog.option -= 1;
            } else if down {
                dialog.top += 1;
            } else {
                dialog.top = dialog.top.saturating_sub(1);
            }
            let last = views::overlay::dialog_overflow(model);
            if let Some(Overlay::Dialog(dialog)) = &mut model.overlay {
                dialog.top = dialog.top.min(last);
            }
        }
        Command::Less | Command::More if matches!(dialog.stage, Stage::Reading { .. }) => {
            acts::tune(dialog, command == Command::More);
        }
        _ => {}
    }
}

fn accept(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(prompt) = &model.prompt else {
        return;
    };
    let read = filter_of(model, prompt.line.value());
    let Some(prompt) = &mut model.prompt else {
        return;
    };
    match prompt.asking {
        Asking::Filter => match read {
            Ok(filter) => apply_filter(model, Some(filter), effects),
            Err(error) => {
                prompt.error = Some(error);
                return;
            }
        },
        Asking::LogFilter | Asking::DifferenceFilter | Asking::Record => {}
        Asking::Edit => match held::change(prompt.line.value()) {
            Ok(change) => {
                model.prompt = None;
                held::edit(model, change, effects);
                return;
            }
            Err(error) => {
                prompt.error = Some(error);
                return;
            }
        },
        Asking::Decide(_) => {
            let text = prompt.line.value().to_owned();
            review::value(model, text, effects);
            return;
        }
        Asking::Search => {
            prompt.line.value().clone_into(&mut model.reading.needle);
            model.reading.found = None;
            find(model, true);
        }
    }
    model.prompt = None;
}

fn dismiss(model: &mut Model, effects: &mut Vec<Effect>) {
    if let Some(prompt) = model.prompt.take() {
        match prompt.asking {
            Asking::Filter => apply_filter(model, prompt.before.parse().ok(), effects),
            Asking::LogFilter => model.log_filter = prompt.before,
            Asking::DifferenceFilter => model.recon.needle = prompt.before,
            Asking::Record if prompt.before != model.record.needle => {
                records::look_for(model, prompt.before, effects);
            }
            Asking::Record | Asking::Search | Asking::Edit | Asking::Decide(_) => {}
        }
    }
}

/// The filter that `text` is, if it can be read and names only paths that there are.
fn filter_of(model: &Model, text: &str) -> Result<Filter, String> {
    let filter: Filter = text
        .parse()
        .map_err(|error: FilterError| error.to_string())?;
    let configured = model.config.paths.iter().map(|path| path.name.as_str());
    let left = (model.overview.iter()).flat_map(|overview| &overview.paths);
    let known = configured.chain(left.map(|row| row.name.as_str()));
    check_paths(&filter, known).map_err(|error| error.to_string())?;
    Ok(filter)
}

/// The last word may be the beginning of a key: it is not looked for as text before it is whole.
fn half_typed(text: &str) -> bool {
    let last = text.rsplit(' ').next().unwrap_or_default();
    !last.is_empty() && KEYS.iter().any(|key| key.starts_with(last))
}

fn apply_filter(model: &mut Model, filter: Option<Filter>, effects: &mut Vec<Effect>) {
    if let Some(filter) = filter
        && filter != model.deliveries.filter
    {
        moves::set_filter(model, filter);
        loads::now(model, Slot::Deliveries, effects);
    }
}

/// A key that the table does not know: text for the line that is open, or nothing.
pub(super) fn text_key(model: &mut Model, key: &KeyEvent, effects: &mut Vec<Effect>) {
    if systems::text_key(model, key) {
        return;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let request = match key.code {
        KeyCode::Char(letter) if !control && !key.modifiers.contains(KeyModifiers::ALT) => {
            InputRequest::InsertChar(letter)
        }
        KeyCode::Char('a') if control => InputRequest::GoToStart,
        KeyCode::Char('e') if control => InputRequest::GoToEnd,
        KeyCode::Char('u') if control => InputRequest::DeleteLine,
        KeyCode::Char('w') if control => InputRequest::DeletePrevWord,
        KeyCode::Char('k') if control => InputRequest::DeleteTillEnd,
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        _ => return,
    };
    edit(model, &[request], effects);
}

/// A paste is text for the line that is open; anywhere else it is nothing.
pub(super) fn paste(model: &mut Model, text: &str, effects: &mut Vec<Effect>) {
    if systems::paste(model, text) {
        return;
    }
    let requests: Vec<_> = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .map(InputRequest::InsertChar)
        .collect();
    edit(model, &requests, effects);
}

fn edit(model: &mut Model, requests: &[InputRequest], effects: &mut Vec<Effect>) {
    let line = match (&mut model.overlay, &mut model.prompt) {
        (Some(Overlay::Palette { line, selected }), _) => {
            *selected = 0;
            line
        }
        (Some(Overlay::Dialog(dialog)), _) if acts::is_writing(dialog) => &mut dialog.line,
        (None, Some(prompt)) => &mut prompt.line,
        _ => return,
    };
    for request in requests {
        let room = line.value().chars().count() < LONGEST;
        if room || !matches!(request, InputRequest::InsertChar(_)) {
            line.handle(*request);
        }
    }
    if model.overlay.is_some() {
        return;
    }
    let Some(prompt) = &mut model.prompt else {
        return;
    };
    let text = prompt.line.value().to_owned();
    match prompt.asking {
        Asking::Filter => {
            let read = filter_of(model, &text);
            if let Some(prompt) = &mut model.prompt {
                prompt.error = read.as_ref().err().cloned();
            }
            // While it cannot be read, the last one that could stays.
            if let Ok(filter) = read
                && !half_typed(&text)
            {
                apply_filter(model, Some(filter), effects);
            }
        }
        Asking::LogFilter => model.log_filter = text.trim().to_lowercase(),
        Asking::DifferenceFilter => model.recon.needle = text.trim().to_lowercase(),
        Asking::Record => records::look_for(model, text.trim().to_owned(), effects),
        Asking::Edit => {
            if let Some(prompt) = &mut model.prompt {
                prompt.error = None;
            }
        }
        Asking::Search | Asking::Decide(_) => {}
    }
}

/// Goes to the next or previous line of the runbook that holds the needle.
pub(super) fn find(model: &mut Model, forward: bool) {
    let needle = model.reading.needle.to_lowercase();
    if needle.is_empty() {
        return;
    }
    let hits = views::runbook::hits(&views::runbook::lines(model), &needle);
    let next = match (model.reading.found, forward) {
        (None, _) => hits.iter().find(|hit| **hit >= model.reading.top),
        (Some(at), true) => hits.iter().find(|hit| **hit > at),
        (Some(at), false) => hits.iter().rev().find(|hit| **hit < at),
    };
    let around = if forward { hits.first() } else { hits.last() };
    model.reading.found = next.or(around).copied();
    if let Some(hit) = model.reading.found {
        let height = height(model).max(1);
        if hit < model.reading.top || hit >= model.reading.top + height {
            model.reading.top = hit.saturating_sub(height / 3);
        }
    }
}

/// The commands that the palette offers for what was typed, best first.
pub fn matches(model: &Model) -> Vec<&'static Binding> {
    let Some(Overlay::Palette { line, .. }) = &model.overlay else {
        return Vec::new();
    };
    let contexts: Vec<Context> = screen_contexts(model.place)
        .into_iter()
        .filter(|context| *context != Context::List)
        .collect();
    let mut found: Vec<(u32, &'static Binding)> = keymap::active(&contexts)
        .into_iter()
        .filter(|row| row.command != Command::Palette)
        .filter(|row| !(model.read_only && row.command.mutates()))
        .filter_map(|row| Some((score(row.help, line.value())?, row)))
        .collect();
    found.sort_by_key(|(score, _)| *score);
    let mut seen = Vec::new();
    found.retain(|(_, row)| {
        let new = !seen.contains(&row.command);
        seen.push(row.command);
        new
    });
    found.into_iter().map(|(_, row)| row).collect()
}

/// How badly `typed` fits `text`: its letters in order, better close together and at the beginnings of words; none if they do not occur.
fn score(text: &str, typed: &str) -> Option<u32> {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut cost = 0;
    let mut at = 0;
    let mut last: Option<usize> = None;
    for letter in typed.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let starts_word = |index: usize| index == 0 || !text[index - 1].is_alphanumeric();
        let next = (at..text.len()).find(|index| text[*index] == letter);
        // The beginning of a word is preferred to a letter inside one.
        let word = (at..text.len()).find(|index| text[*index] == letter && starts_word(*index));
        let adjacent = last.is_some_and(|last| next == Some(last + 1));
        let hit = if adjacent { next } else { word.or(next) }?;
        if !adjacent {
            let jump = u32::try_from(hit - at).unwrap_or(u32::MAX).min(50);
            cost += 2 + jump + if starts_word(hit) { 0 } else { 10 };
        }
        last = Some(hit);
        at = hit + 1;
    }
    Some(cost)
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn letters_in_order_fit_and_whole_words_fit_better() {
        assert_eq!(score("Open the runbook", "xyz"), None);
        assert_eq!(score("Open the runbook", ""), Some(0));
        let best = |typed: &str| {
            let mut all = [
                "Replay: the marked",
                "Reload the configuration",
                "Open the runbook",
                "Pause the selected path",
            ];
            all.sort_by_key(|text| score(text, typed).unwrap_or(u32::MAX));
            all[0]
        };
        assert_eq!(best("rep"), "Replay: the marked");
        assert_eq!(best("rel"), "Reload the configuration");
        assert_eq!(best("run"), "Open the runbook");
        assert_eq!(best("psp"), "Pause the selected path");
    }
}
