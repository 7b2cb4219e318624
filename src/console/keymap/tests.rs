use super::*;
use crate::console::keymap::Context as C;
use std::collections::HashSet;

const ALL: &[Context] = &[
    C::Overview,
    C::Deliveries,
    C::Dead,
    C::Delivery,
    C::Log,
    C::Reconcile,
    C::Runs,
    C::Differences,
    C::Plan,
    C::Replays,
    C::Held,
    C::HeldEvents,
    C::HeldEvent,
    C::Record,
    C::Systems,
    C::Review,
    C::Ownership,
    C::Runbook,
    C::List,
    C::Global,
    C::Line,
    C::Palette,
    C::Help,
    C::Unseen,
    C::Choice,
    C::Note,
    C::Confirm,
    C::Options,
    C::Noted,
    C::Shut,
    C::Leave,
    C::LeaveDemo,
];

#[test]
fn no_key_means_two_things_in_one_context() {
    for context in ALL {
        let mut seen = HashSet::new();
        for row in TABLE.iter().filter(|row| row.contexts.contains(context)) {
            for key in row.keys {
                assert!(seen.insert(*key), "{key} twice in {context:?}");
            }
        }
    }
}

#[test]
fn every_row_is_documented_and_every_key_can_be_typed() {
    for row in TABLE {
        assert!(!row.help.is_empty() && !row.contexts.is_empty());
        assert!(row.help.len() <= 90, "{}", row.help);
        for key in row.keys {
            let event = event(key);
            assert_eq!(name(&event).as_deref(), Some(*key));
        }
    }
}

#[test]
fn no_key_changes_anything_in_a_modal_context_but_yes_and_the_ways_out() {
    let modal = [
        C::Line,
        C::Note,
        C::Palette,
        C::Help,
        C::Unseen,
        C::Choice,
        C::Confirm,
        C::Options,
        C::Noted,
        C::Shut,
        C::Leave,
        C::LeaveDemo,
    ];
    for context in modal {
        for row in TABLE.iter().filter(|row| row.contexts.contains(&context)) {
            assert!(!row.command.mutates(), "{context:?} {:?}", row.command);
        }
    }
    let yes: Vec<_> = TABLE
        .iter()
        .filter(|row| row.command == Command::Yes)
        .collect();
    assert_eq!(yes.len(), 1);
    assert_eq!(
        (yes[0].contexts, yes[0].keys),
        (&[C::Confirm][..], &["y"][..])
    );
}

#[test]
fn the_screens_own_binding_wins_and_the_help_says_so() {
    let contexts = [C::Delivery, C::List, C::Global];
    assert_eq!(
        command(&contexts, &event("left")),
        Some(Command::PreviousAttempt)
    );
    assert_eq!(
        command(&[C::Log, C::List, C::Global], &event("left")),
        Some(Command::Back)
    );
    let backs = |contexts: &[Context]| {
        active(contexts)
            .iter()
            .filter(|row| row.keys.contains(&"left"))
            .map(|row| row.command)
            .collect::<Vec<_>>()
    };
    assert_eq!(backs(&contexts), [Command::PreviousAttempt]);
}

fn event(key: &str) -> KeyEvent {
    let (modifiers, base) = match key.strip_prefix("ctrl-") {
        Some(base) => (KeyModifiers::CONTROL, base),
        None => (KeyModifiers::empty(), key),
    };
    let code = match base {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "space" => KeyCode::Char(' '),
        "backspace" => KeyCode::Backspace,
        "tab" => KeyCode::Tab,
        "shift-tab" => KeyCode::BackTab,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "f1" => KeyCode::F(1),
        other => KeyCode::Char(other.chars().next().unwrap()),
    };
    KeyEvent::new(code, modifiers)
}
