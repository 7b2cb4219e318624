//! Bindings as data: one table from which keys are handled, the footer's hints, the `?` help and the `:` palette are made.
//!
//! No bare letter changes anything outside: the commands that do ([`Command::mutates`]) only open a dialog.
//! Called by `update` (what a key means) and by the views (what can be done here).

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Where a binding holds. A modal context excludes all others; otherwise the screen's own bindings come first, then `List`, then `Global`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// Screen 1.
    Overview,
    /// Screen 2.
    Deliveries,
    /// Screen 3.
    Dead,
    /// Screen 4.
    Delivery,
    /// Screen 5.
    Log,
    /// Screen 6.
    Reconcile,
    /// The differences of a run.
    Differences,
    /// Screen 7.
    Replays,
    /// Events without a delivery.
    Strays,
    /// Screen 9: a record, or those that were found.
    Record,
    /// Screen 0.
    Systems,
    /// A runbook.
    Runbook,
    /// Everything that can be moved through.
    List,
    /// Everywhere outside modal contexts.
    Global,
    /// A line of input: every other key is text (modal).
    Line,
    /// The palette: every other key is text (modal).
    Palette,
    /// The help (modal).
    Help,
    /// A new secret: every other key is text that is not shown (modal).
    Unseen,
    /// The choice of a secret (modal).
    Choice,
    /// A reason or a note for a confirmation: every other key is text (modal).
    Note,
    /// A confirmation (modal).
    Confirm,
    /// A confirmation with options, before `Confirm`.
    Options,
    /// A confirmation that can be given a reason or a note, before `Confirm`.
    Noted,
    /// A confirmation that cannot be given: not yet known, refused, nothing to do (modal).
    Shut,
    /// The question how to leave (modal).
    Leave,
    /// The same in the demo, which nobody can take over (modal).
    LeaveDemo,
}

/// Something that a key, or the palette, can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is documented by its row in the table, which the tests require
pub enum Command {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Open,
    Back,
    Overview,
    Deliveries,
    DeadLetters,
    Delivery,
    Log,
    Reconcile,
    Replays,
    Strays,
    Record,
    Systems,
    NextScreen,
    PreviousScreen,
    Filter,
    Freeze,
    Mark,
    MarkNone,
    Replay,
    ReplayAll,
    Cancel,
    CancelAll,
    PauseOrResume,
    Escalate,
    Runbook,
    RunNow,
    AbortReplay,
    Report,
    Story,
    FindRecord,
    Unmask,
    GoLive,
    Probe,
    ReplaceSecret,
    EnableHook,
    Adopt,
    AdoptHost,
    Reload,
    Copy,
    Fold,
    FoldAll,
    UnfoldAll,
    NextAttempt,
    PreviousAttempt,
    Search,
    SearchNext,
    SearchPrevious,
    Palette,
    Help,
    Quit,
    Suspend,
    Repaint,
    Accept,
    Dismiss,
    Yes,
    Write,
    Less,
    More,
    Stop,
    Detach,
}

impl Command {
    /// It leads to something that changes deliveries, paths or jobs: refused when read-only, and always confirmed first.
    pub fn mutates(self) -> bool {
        matches!(
            self,
            Self::Replay
                | Self::ReplayAll
                | Self::Cancel
                | Self::CancelAll
                | Self::PauseOrResume
                | Self::Escalate
                | Self::RunNow
                | Self::AbortReplay
                | Self::GoLive
                | Self::Probe
                | Self::ReplaceSecret
                | Self::EnableHook
                | Self::Adopt
                | Self::AdoptHost
                | Self::Reload
        )
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where it holds.
    pub contexts: &'static [Context],
    /// The keys, the most usual first; none for commands of the palette only.
    pub keys: &'static [&'static str],
    /// What it asks for.
    pub command: Command,
    /// For the help and the palette.
    pub help: &'static str,
    /// For the footer; empty to leave it out.
    pub hint: &'static str,
}

const fn bind(
    contexts: &'static [Context],
    keys: &'static [&'static str],
    command: Command,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        contexts,
        keys,
        command,
        help,
        hint,
    }
}

use Context as C;

const WITH_RUNBOOK: &[Context] = &[
    C::Overview,
    C::Deliveries,
    C::Dead,
    C::Delivery,
    C::Reconcile,
    C::Differences,
];
const WITH_PATH: &[Context] = &[C::Overview, C::Deliveries, C::Dead, C::Delivery, C::Runbook];

/// The table. In the footer, earlier rows win.
pub const TABLE: &[Binding] = &[
    // What the screens are for.
    bind(
        &[C::Overview],
        &["enter", "l", "right"],
        Command::Open,
        "look",
        "Go to what is behind the selected line",
    ),
    bind(
        &[
            C::Deliveries,
            C::Dead,
            C::Log,
            C::Reconcile,
            C::Differences,
            C::Record,
        ],
        &["enter", "l", "right"],
        Command::Open,
        "open",
        "Open the selected line",
    ),
    bind(
        &[C::Systems],
        &["enter", "l", "right"],
        Command::Open,
        "deliveries",
        "Show what is delivered to the selected system",
    ),
    bind(
        &[C::Systems],
        &["p"],
        Command::Probe,
        "probe",
        "Probe the selected system: address, TLS, credentials, clock, budget, one lookup",
    ),
    bind(
        &[C::Systems],
        &["w"],
        Command::ReplaceSecret,
        "secret",
        "Replace a secret of the selected system: typed unseen, tried, then saved",
    ),
    bind(
        &[C::Systems],
        &["e"],
        Command::EnableHook,
        "enable hook",
        "Ask the vendor to enable the selected system's webhook again",
    ),
    bind(
        &[C::Systems],
        &["a"],
        Command::Adopt,
        "adopt",
        "Adopt what this system and its source hold already: ids and agreed values",
    ),
    bind(
        &[C::Record],
        &["/"],
        Command::FindRecord,
        "find",
        "Find a record by its key, or by an id that a system gave it",
    ),
    bind(
        &[C::Record],
        &["m"],
        Command::Unmask,
        "unmask",
        "Show the hashes of sensitive values, or mask them again",
    ),
    bind(
        &[C::Record],
        &["space"],
        Command::Fold,
        "",
        "Fold or unfold the selected part",
    ),
    bind(
        &[C::Replays],
        &["enter", "l", "right"],
        Command::Open,
        "items",
        "Show the deliveries that the selected replay is made of",
    ),
    bind(
        &[C::Deliveries, C::Dead, C::Delivery],
        &["r"],
        Command::Replay,
        "replay",
        "Replay: the marked, else the selected delivery or group",
    ),
    bind(
        &[C::Deliveries, C::Log],
        &["/"],
        Command::Filter,
        "filter",
        "Filter: path:crm state:dead type:order.* class:rejected status:422 newer:2h, or any text",
    ),
    bind(
        &[C::Deliveries, C::Delivery],
        &["s"],
        Command::Story,
        "story",
        "The record's story: everything that ever happened to it, across systems",
    ),
    bind(
        &[C::Deliveries],
        &["R"],
        Command::ReplayAll,
        "replay all",
        "Replay everything that the filter matches",
    ),
    bind(
        &[C::Deliveries],
        &["C"],
        Command::CancelAll,
        "cancel all",
        "Cancel everything that the filter matches",
    ),
    bind(
        WITH_RUNBOOK,
        &["o"],
        Command::Runbook,
        "runbook",
        "Open the runbook of the selected path or job",
    ),
    bind(
        WITH_PATH,
        &["E"],
        Command::Escalate,
        "escalate",
        "Escalate: post an incident summary to the path's channel",
    ),
    bind(
        &[C::Reconcile],
        &["r"],
        Command::RunNow,
        "run now",
        "Run the selected reconciliation job now",
    ),
    bind(
        &[C::Replays],
        &["v"],
        Command::Report,
        "report",
        "Show what the selected replay was to do, and what it has come to",
    ),
    bind(
        &[C::Replays],
        &["c"],
        Command::AbortReplay,
        "stop it",
        "Stop the selected replay; what is not yet released stays as it was",
    ),
    bind(
        &[C::Deliveries],
        &["space"],
        Command::Mark,
        "mark",
        "Mark or unmark the selected delivery",
    ),
    bind(
        &[C::Deliveries],
        &["u"],
        Command::MarkNone,
        "",
        "Unmark all",
    ),
    bind(
        &[C::Deliveries, C::Dead, C::Delivery],
        &["c"],
        Command::Cancel,
        "cancel",
        "Cancel: give up the marked, else the selected delivery or group",
    ),
    bind(
        WITH_PATH,
        &["p"],
        Command::PauseOrResume,
        "pause",
        "Pause the selected path, or resume it",
    ),
    bind(
        &[C::Overview, C::Deliveries, C::Delivery],
        &["L"],
        Command::GoLive,
        "go live",
        "Let the selected path, which is in shadow mode, send what comes from now on",
    ),
    bind(
        &[
            C::Overview,
            C::Deliveries,
            C::Dead,
            C::Log,
            C::Replays,
            C::Record,
        ],
        &["f"],
        Command::Freeze,
        "freeze",
        "Freeze the screen, or let it go on",
    ),
    bind(
        &[C::Deliveries, C::Dead, C::Delivery],
        &["y"],
        Command::Copy,
        "",
        "Copy the id to the clipboard (OSC 52)",
    ),
    bind(
        &[C::Delivery],
        &["enter", "space"],
        Command::Fold,
        "fold",
        "Fold or unfold the selected part",
    ),
    bind(
        &[C::Delivery],
        &["-"],
        Command::FoldAll,
        "",
        "Fold everything",
    ),
    bind(
        &[C::Delivery],
        &["+", "="],
        Command::UnfoldAll,
        "",
        "Unfold everything",
    ),
    bind(
        &[C::Delivery],
        &["]", "l", "right"],
        Command::NextAttempt,
        "",
        "Show the next attempt's answer",
    ),
    bind(
        &[C::Delivery],
        &["[", "h", "left"],
        Command::PreviousAttempt,
        "attempt",
        "Show the previous attempt's answer",
    ),
    bind(
        &[C::Runbook],
        &["/"],
        Command::Search,
        "search",
        "Search in the runbook",
    ),
    bind(
        &[C::Runbook],
        &["n"],
        Command::SearchNext,
        "next",
        "Next match",
    ),
    bind(
        &[C::Runbook],
        &["N"],
        Command::SearchPrevious,
        "",
        "Previous match",
    ),
    // Everywhere.
    bind(
        &[C::Global],
        &["esc", "backspace"],
        Command::Back,
        "back",
        "Back to where you came from",
    ),
    bind(
        &[C::Global],
        &["?", "f1"],
        Command::Help,
        "help",
        "What can I do here?",
    ),
    bind(
        &[C::Global],
        &[":", "ctrl-p"],
        Command::Palette,
        "commands",
        "Find a command by its name",
    ),
    bind(
        &[C::Global],
        &["q", "ctrl-c"],
        Command::Quit,
        "quit",
        "Leave the console",
    ),
    bind(&[C::List], &["j", "down"], Command::Down, "", "Down"),
    bind(&[C::List], &["k", "up"], Command::Up, "", "Up"),
    bind(
        &[C::List],
        &["pgdn", "ctrl-f", "ctrl-d"],
        Command::PageDown,
        "",
        "A page down",
    ),
    bind(
        &[C::List],
        &["pgup", "ctrl-b", "ctrl-u"],
        Command::PageUp,
        "",
        "A page up",
    ),
    bind(
        &[C::List],
        &["g", "home"],
        Command::Top,
        "",
        "To the first line (the newest)",
    ),
    bind(
        &[C::List],
        &["G", "end"],
        Command::Bottom,
        "",
        "To the last line (the oldest)",
    ),
    bind(
        &[C::Global],
        &["1"],
        Command::Overview,
        "",
        "Overview: the paths, and what is wrong now",
    ),
    bind(
        &[C::Global],
        &["2"],
        Command::Deliveries,
        "",
        "Deliveries, newest first",
    ),
    bind(
        &[C::Global],
        &["3"],
        Command::DeadLetters,
        "",
        "Dead letters, grouped by what went wrong",
    ),
    bind(
        &[C::Global],
        &["4"],
        Command::Delivery,
        "",
        "The delivery looked at last",
    ),
    bind(
        &[C::Global],
        &["5"],
        Command::Log,
        "",
        "Log: actions and notable events",
    ),
    bind(
        &[C::Global],
        &["6"],
        Command::Reconcile,
        "",
        "Reconciliation: jobs, drift, differences",
    ),
    bind(
        &[C::Global],
        &["7"],
        Command::Replays,
        "",
        "Replays and their progress",
    ),
    bind(
        &[C::Global],
        &["8"],
        Command::Strays,
        "",
        "Events without a delivery: unrouted, held at the door",
    ),
    bind(
        &[C::Global],
        &["9"],
        Command::Record,
        "",
        "Record: the story of one business record (`story order 1042`, `record TEXT`)",
    ),
    bind(
        &[C::Global],
        &["0"],
        Command::Systems,
        "",
        "Systems: addresses, credentials, webhooks",
    ),
    bind(
        &[C::Global],
        &["tab"],
        Command::NextScreen,
        "",
        "Next screen",
    ),
    bind(
        &[C::Global],
        &["shift-tab"],
        Command::PreviousScreen,
        "",
        "Previous screen",
    ),
    bind(
        &[C::Global],
        &["h", "left"],
        Command::Back,
        "",
        "Back to where you came from",
    ),
    bind(
        &[C::Global],
        &["ctrl-z"],
        Command::Suspend,
        "",
        "Suspend the console (not with the worker inside)",
    ),
    bind(
        &[C::Global],
        &["ctrl-l"],
        Command::Repaint,
        "",
        "Paint the screen anew",
    ),
    bind(
        &[C::Global],
        &[],
        Command::Reload,
        "",
        "Reload the configuration file",
    ),
    bind(
        &[C::Global],
        &[],
        Command::AdoptHost,
        "",
        "Adopt the database on this host",
    ),
    // Modal.
    bind(
        &[C::Line],
        &["enter"],
        Command::Accept,
        "take it",
        "Take the line as it is",
    ),
    bind(
        &[C::Line],
        &["esc", "ctrl-c"],
        Command::Dismiss,
        "leave it",
        "Leave the line",
    ),
    bind(
        &[C::Note],
        &["enter"],
        Command::Accept,
        "shows what would happen",
        "Take the text and show what would happen",
    ),
    bind(
        &[C::Note],
        &["esc", "ctrl-c"],
        Command::Dismiss,
        "goes on without it",
        "Go on without the text",
    ),
    bind(
        &[C::Unseen],
        &["enter"],
        Command::Accept,
        "tries and saves it",
        "Try the new secret, save it, and let go on what waits for it",
    ),
    bind(
        &[C::Unseen],
        &["esc", "ctrl-c"],
        Command::Dismiss,
        "forgets it",
        "Forget what was typed; where nothing was, leave everything as it is",
    ),
    bind(
        &[C::Choice],
        &["enter"],
        Command::Accept,
        "replace it",
        "Replace the selected secret",
    ),
    bind(
        &[C::Choice],
        &["esc", "n", "q", "ctrl-c"],
        Command::Dismiss,
        "leave",
        "Leave everything as it is",
    ),
    bind(
        &[C::Choice],
        &["down", "j"],
        Command::Down,
        "",
        "Next secret",
    ),
    bind(
        &[C::Choice],
        &["up", "k"],
        Command::Up,
        "",
        "Previous secret",
    ),
    bind(
        &[C::Palette],
        &["enter"],
        Command::Accept,
        "do it",
        "Do the selected command",
    ),
    bind(
        &[C::Palette],
        &["esc", "ctrl-c"],
        Command::Dismiss,
        "close",
        "Close the palette",
    ),
    bind(
        &[C::Palette],
        &["down", "ctrl-n"],
        Command::Down,
        "",
        "Next command",
    ),
    bind(
        &[C::Palette],
        &["up", "ctrl-p"],
        Command::Up,
        "",
        "Previous command",
    ),
    bind(
        &[C::Help],
        &["esc", "?", "q", "enter", "ctrl-c"],
        Command::Dismiss,
        "close",
        "Close the help",
    ),
    bind(&[C::Help], &["j", "down"], Command::Down, "", "Down"),
    bind(&[C::Help], &["k", "up"], Command::Up, "", "Up"),
    bind(
        &[C::Help],
        &["pgdn", "space"],
        Command::PageDown,
        "",
        "A page down",
    ),
    bind(&[C::Help], &["pgup"], Command::PageUp, "", "A page up"),
    bind(
        &[C::Confirm],
        &["y"],
        Command::Yes,
        "yes, do it",
        "Do it (once the dialog has been readable for a moment)",
    ),
    bind(
        &[C::Noted],
        &["tab"],
        Command::Write,
        "adds a note",
        "Write a reason or a note, then see again what would happen",
    ),
    bind(
        &[C::Confirm],
        &["esc", "n", "q", "ctrl-c"],
        Command::Dismiss,
        "no",
        "Leave everything as it is",
    ),
    bind(
        &[C::Options],
        &["+", "right", "l", "space"],
        Command::More,
        "more",
        "More of the selected option",
    ),
    bind(
        &[C::Options],
        &["-", "left", "h"],
        Command::Less,
        "less",
        "Less of the selected option",
    ),
    bind(
        &[C::Shut],
        &["esc", "n", "q", "ctrl-c"],
        Command::Dismiss,
        "close",
        "Leave everything as it is",
    ),
    bind(
        &[C::Confirm, C::Shut],
        &["down", "j"],
        Command::Down,
        "",
        "Next option, or further down",
    ),
    bind(
        &[C::Confirm, C::Shut],
        &["up", "k"],
        Command::Up,
        "",
        "Previous option, or further up",
    ),
    bind(
        &[C::Leave, C::LeaveDemo],
        &["s"],
        Command::Stop,
        "drain and stop",
        "Finish what is under way, then stop the worker too",
    ),
    bind(
        &[C::Leave],
        &["d"],
        Command::Detach,
        "detach",
        "Leave; a worker without a console goes on",
    ),
    bind(
        &[C::Leave, C::LeaveDemo],
        &["esc", "n", "q", "ctrl-c"],
        Command::Dismiss,
        "stay",
        "Stay here",
    ),
];

/// The name of a key as the table spells it; none for keys that no table can name.
pub fn name(key: &KeyEvent) -> Option<String> {
    let base = match key.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(letter) => letter.to_string(),
        KeyCode::Enter => "enter".to_owned(),
        KeyCode::Esc => "esc".to_owned(),
        KeyCode::Backspace => "backspace".to_owned(),
        KeyCode::Tab => "tab".to_owned(),
        KeyCode::BackTab => return Some("shift-tab".to_owned()),
        KeyCode::Up => "up".to_owned(),
        KeyCode::Down => "down".to_owned(),
        KeyCode::Left => "left".to_owned(),
        KeyCode::Right => "right".to_owned(),
        KeyCode::Home => "home".to_owned(),
        KeyCode::End => "end".to_owned(),
        KeyCode::PageUp => "pgup".to_owned(),
        KeyCode::PageDown => "pgdn".to_owned(),
        KeyCode::F(n) => format!("f{n}"),
        _ => return None,
    };
    let mut text = String::new();
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        text.push_str("ctrl-");
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        text.push_str("alt-");
    }
    text.push_str(&base);
    Some(text)
}

/// What `key` means in `contexts`, the first of which wins.
pub fn command(contexts: &[Context], key: &KeyEvent) -> Option<Command> {
    let name = name(key)?;
    contexts.iter().find_map(|context| {
        TABLE
            .iter()
            .find(|row| row.contexts.contains(context) && row.keys.contains(&name.as_str()))
            .map(|row| row.command)
    })
}

/// The rows that hold in `contexts`, in the table's order, without those that an earlier context overrides.
pub fn active(contexts: &[Context]) -> Vec<&'static Binding> {
    TABLE
        .iter()
        .filter(|row| row.contexts.iter().any(|c| contexts.contains(c)))
        .filter(|row| {
            row.keys.is_empty()
                || row.keys.iter().any(|key| {
                    contexts
                        .iter()
                        .find_map(|context| {
                            TABLE.iter().find(|other| {
                                other.contexts.contains(context) && other.keys.contains(key)
                            })
                        })
                        .is_some_and(|winner| {
                            winner.command == row.command && winner.help == row.help
                        })
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const ALL: &[Context] = &[
        C::Overview,
        C::Deliveries,
        C::Dead,
        C::Delivery,
        C::Log,
        C::Reconcile,
        C::Differences,
        C::Replays,
        C::Strays,
        C::Record,
        C::Systems,
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
}
