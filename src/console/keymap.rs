//! Bindings as data: one table from which keys are handled, the footer's hints, the `?` help and the `:` palette are made.
//!
//! No bare letter changes anything outside: the commands that do ([`Command::mutates`]) only open a dialog.
//! Called by `update` (what a key means) and by the views (what can be done here).

mod table;
#[cfg(test)]
mod tests;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub use table::TABLE;

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
    /// The runs of a job.
    Runs,
    /// The differences of a run.
    Differences,
    /// A plan.
    Plan,
    /// Screen 7.
    Replays,
    /// Screen 8: what is held or matches no path, grouped.
    Held,
    /// The events of a group.
    HeldEvents,
    /// One of them.
    HeldEvent,
    /// Screen 9: a record, or those that were found.
    Record,
    /// Screen 0.
    Systems,
    /// Screen I.
    Incidents,
    /// One incident.
    Incident,
    /// Screen V.
    Review,
    /// Screen O.
    Ownership,
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
    Held,
    Record,
    Systems,
    Incidents,
    WorstIncident,
    TakeIncident,
    EscalateIncident,
    NoteIncident,
    Snooze,
    Mitigate,
    Resolve,
    HandOver,
    DoStep,
    TickStep,
    SkipStep,
    Review,
    Ownership,
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
    Release,
    EditHeld,
    Discard,
    TakeOurs,
    TakeTheirs,
    TakeAnother,
    CancelRun,
    OpenPlan,
    Runs,
    Approve,
    Decline,
    UndoPlan,
    Tolerate,
    Narrow,
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
                | Self::Release
                | Self::EditHeld
                | Self::Discard
                | Self::TakeOurs
                | Self::TakeTheirs
                | Self::TakeAnother
                | Self::CancelRun
                | Self::Approve
                | Self::Decline
                | Self::UndoPlan
                | Self::Tolerate
                | Self::TakeIncident
                | Self::EscalateIncident
                | Self::NoteIncident
                | Self::Snooze
                | Self::Mitigate
                | Self::Resolve
                | Self::HandOver
                | Self::DoStep
                | Self::TickStep
                | Self::SkipStep
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
