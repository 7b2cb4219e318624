//! Acting on systems: probing one, and replacing a secret of one, which is typed unseen.
//!
//! What is typed is in the dialog's [`Unseen`](super::super::unseen::Unseen) until Enter, then in the action alone.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::keymap::{Command, Context};
use super::super::model::{Model, Overlay, Probing, Replace, Replacing, Slot};
use super::super::views;
use super::{Effect, loads, toast};
use crate::control::action::{Action, Done, Preview};
use crate::control::{Hidden, places};
use crate::visible::Visible;

/// `p`: the dialog's title and action.
pub(super) fn probe(model: &Model) -> Result<(String, Action, &'static str), &'static str> {
    let system = model
        .system_here()
        .ok_or("select a line that this is about first")?;
    let system = system.name.clone();
    let title = format!("Probe {}", Visible::of(&system));
    Ok((title, Action::Probe { system }, ""))
}

/// Shows what a probe has found.
pub(super) fn report(model: &mut Model, system: &str, done: &Done) {
    model.overlay = Some(Overlay::Probe(Box::new(Probing {
        title: format!("Probe of {}", Visible::of(system)),
        text: done.text.clone(),
        top: 0,
    })));
}

/// `w`: a secret of the selected system.
pub(super) fn replace(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(system) = model.system_here() else {
        return;
    };
    let (name, places) = (system.name.clone(), places(system));
    if places.is_empty() {
        let text = format!("{name} has no secret in the configuration");
        toast(model, &text, true, effects);
        return;
    }
    let one = places.len() == 1;
    let id = model.next_id();
    model.overlay = Some(Overlay::Secret(Box::new(Replacing {
        id,
        system: name,
        places,
        which: 0,
        typed: super::super::unseen::Unseen::default(),
        stage: Replace::Choosing,
        preview: None,
    })));
    if one {
        ask(model, effects);
    }
}

/// The secret is chosen: what would replacing it mean?
fn ask(model: &mut Model, effects: &mut Vec<Effect>) {
    if let Some(Overlay::Secret(secret)) = &mut model.overlay {
        secret.stage = Replace::Asking;
        effects.push(Effect::Preview {
            dialog: secret.id,
            action: action(secret, Hidden::default()),
        });
    }
}

fn action(secret: &Replacing, value: Hidden) -> Action {
    let which = (secret.places.get(secret.which)).map_or_else(String::new, |p| p.which.clone());
    Action::ReplaceSecret {
        system: secret.system.clone(),
        which,
        value,
        force: false,
    }
}

/// The keys while a secret is replaced.
pub(super) fn contexts(secret: &Replacing) -> Vec<Context> {
    vec![match secret.stage {
        Replace::Choosing => Context::Choice,
        Replace::Typing => Context::Unseen,
        Replace::Asking | Replace::Acting | Replace::Done(_) | Replace::Refused(_) => Context::Help,
    }]
}

/// A command of these dialogs.
pub(super) fn modal(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    match &mut model.overlay {
        Some(Overlay::Probe(probe)) => {
            match command {
                Command::Dismiss => {
                    model.overlay = None;
                    return;
                }
                Command::Down => probe.top += 1,
                Command::Up => probe.top = probe.top.saturating_sub(1),
                Command::PageDown => probe.top += 10,
                Command::PageUp => probe.top = probe.top.saturating_sub(10),
                _ => {}
            }
            let last = views::systems::probe_overflow(model);
            if let Some(Overlay::Probe(probe)) = &mut model.overlay {
                probe.top = probe.top.min(last);
            }
        }
        Some(Overlay::Secret(secret)) => match (command, &secret.stage) {
            (Command::Dismiss, Replace::Typing) if !secret.typed.is_empty() => secret.typed.clear(),
            (Command::Dismiss, _) => model.overlay = None,
            (Command::Down, Replace::Choosing) => {
                secret.which = (secret.which + 1).min(secret.places.len().saturating_sub(1));
            }
            (Command::Up, Replace::Choosing) => secret.which = secret.which.saturating_sub(1),
            (Command::Accept, Replace::Choosing) => ask(model, effects),
            (Command::Accept, Replace::Typing) => save(model, effects),
            _ => {}
        },
        _ => {}
    }
}

fn save(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(Overlay::Secret(secret)) = &mut model.overlay else {
        return;
    };
    let Some(preview) = secret.preview.clone().filter(|_| !secret.typed.is_empty()) else {
        return;
    };
    let value = secret.typed.take();
    secret.stage = Replace::Acting;
    effects.push(Effect::Submit {
        dialog: secret.id,
        action: action(secret, value),
        preview,
    });
}

/// A key that is text, while a secret is typed; false if none is.
pub(super) fn text_key(model: &mut Model, key: &KeyEvent) -> bool {
    let Some(Overlay::Secret(secret)) = &mut model.overlay else {
        return false;
    };
    let control = key
        .modifiers
        .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    if secret.stage == Replace::Typing {
        match key.code {
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                secret.typed.clear();
            }
            KeyCode::Char(letter) if !control => secret.typed.push(letter),
            KeyCode::Backspace => secret.typed.pop(),
            _ => {}
        }
    }
    true
}

/// A paste, while a secret is typed; false if none is.
pub(super) fn paste(model: &mut Model, text: &str) -> bool {
    match &mut model.overlay {
        Some(Overlay::Secret(secret)) => {
            if secret.stage == Replace::Typing {
                secret.typed.paste(text);
            }
            true
        }
        _ => false,
    }
}

/// The worker has said what replacing a secret would mean; gives the answer back if it is for something else.
pub(super) fn previewed(
    model: &mut Model,
    id: u64,
    result: Result<Preview, String>,
) -> Option<Result<Preview, String>> {
    match &mut model.overlay {
        Some(Overlay::Secret(secret)) if secret.id == id && secret.stage == Replace::Asking => {
            match result {
                Ok(preview) => {
                    secret.preview = Some(preview);
                    secret.stage = Replace::Typing;
                }
                Err(text) => secret.stage = Replace::Refused(Visible::of(&text).into_string()),
            }
            None
        }
        _ => Some(result),
    }
}

/// The worker has answered; gives the answer back if it is for something else.
pub(super) fn submitted(
    model: &mut Model,
    id: u64,
    result: Result<Done, String>,
    effects: &mut Vec<Effect>,
) -> Option<Result<Done, String>> {
    match &mut model.overlay {
        Some(Overlay::Secret(secret)) if secret.id == id => {
            secret.stage = match result {
                Ok(done) => Replace::Done(Visible::of(&done.text).into_string()),
                Err(text) => Replace::Refused(Visible::of(&text).into_string()),
            };
            loads::now(model, Slot::Overview, effects);
            None
        }
        _ => Some(result),
    }
}
