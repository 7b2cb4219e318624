//! `update`: from the model and one input to the next model and a list of effects. Pure: it reads no clock, file or
//! database and writes nothing; what must happen outside comes back as [`Effect`]s, which the driver does.

mod able;
mod acts;
mod held;
mod incidents;
mod loads;
mod moves;
mod prompts;
mod recon;
mod records;
mod review;
mod systems;

use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::KeyEvent;

use super::keymap::{self, Command, Context};
use super::model::{Link, Model, Overlay, Place, Slot, Toast};
use super::views;
use crate::config::model::Config;
use crate::control::action::{Action, Done, Preview};
use crate::http::oauth::health::Health;
use crate::ids::{DeliveryId, EventId, HeldGroupId, IncidentId, PlanId, RunId};
use crate::incident::Incident;
use crate::queue::filter::Filter;
use crate::record::ledger::About as RecordId;
use crate::record::ownership;
use crate::runbook::Runbook;
use crate::store::view::{
    BatchRow, DeadGroup, DeliveryDetail, DeliveryRow, DifferenceRow, HeldDetail, HeldGroup,
    HeldRow, LogRow, NoteRow, Overview, PlanRow, PlanWrite, RecordRow, ReviewRow, RunRow, SideRow,
    Story, Trace,
};
use crate::store::{Cursor, IncidentDetail};
use crate::time::Timestamp;
use crate::visible::Visible;

#[cfg(test)]
mod tests;

pub use able::{able, willing};
pub use acts::options as dialog_options;
pub use prompts::matches;
pub use records::{Spoken, spoken};

/// How long a dialog must have been readable before `y` acts.
pub const READABLE: Duration = Duration::from_millis(300);
/// How long a message stays.
const TOAST: Duration = Duration::from_secs(6);
/// The overview is read anew after this long even if nothing changed: its windows move, and a dead worker changes nothing.
const STALE: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The console has begun.
    Start,
    /// A key.
    Key(KeyEvent),
    /// A paste.
    Paste(String),
    /// The terminal's size.
    Resize(u16, u16),
    /// A second has passed.
    Tick(Timestamp),
    /// The store holds something new.
    Changed,
    /// A timer has run out.
    Timer(Timer),
    /// A read has ended.
    Loaded {
        /// What.
        slot: Slot,
        /// Which request.
        seq: u64,
        /// The answer, or why there is none.
        result: Result<Loaded, String>,
    },
    /// The worker said what an action would do.
    Previewed {
        /// For which dialog.
        dialog: u64,
        /// The answer.
        result: Result<Preview, String>,
    },
    /// An action has been done, or refused.
    Submitted {
        /// By which dialog.
        dialog: u64,
        /// The answer.
        result: Result<Done, String>,
    },
    /// A runbook has been read.
    RunbookRead {
        /// Its file.
        file: PathBuf,
        /// The runbook, or why it cannot be read.
        result: Result<std::sync::Arc<Runbook>, String>,
    },
    /// The worker is elsewhere now, or gone.
    Link(Link),
    /// Others came, went, or do something else now.
    Others(Vec<String>),
    /// The worker has another configuration now.
    Config(std::sync::Arc<Config>),
}

/// What was read.
#[derive(Debug)]
pub enum Loaded {
    /// [`Slot::Overview`], and how the systems' tokens stand.
    Overview(Box<Overview>, Vec<Health>),
    /// [`Slot::Deliveries`]
    Deliveries {
        /// For which filter.
        filter: Box<Filter>,
        /// From where.
        cursor: Cursor,
        /// Newest first.
        rows: Vec<DeliveryRow>,
        /// The page is full, or nothing is left to look through.
        done: bool,
    },
    /// [`Slot::Dead`]
    Dead(Vec<DeadGroup>),
    /// [`Slot::Delivery`] and [`Slot::Followed`]
    Delivery(DeliveryId, Option<Box<DeliveryDetail>>),
    /// [`Slot::Log`]
    Log(Vec<LogRow>),
    /// [`Slot::Runs`], how far those under way are, and the newest plans.
    Runs(Vec<RunRow>, Vec<SideRow>, Vec<PlanRow>),
    /// [`Slot::Plan`], of which number.
    Plan(PlanId, Option<Box<(PlanRow, Vec<PlanWrite>)>>),
    /// [`Slot::Differences`]
    Differences(RunId, Vec<DifferenceRow>),
    /// [`Slot::Batches`]
    Batches(Vec<BatchRow>),
    /// [`Slot::Left`]
    Left(Vec<NoteRow>),
    /// [`Slot::Incidents`], newest first.
    Incidents(Vec<Incident>),
    /// [`Slot::Incident`], of which number, and its runbook.
    Incident(
        IncidentId,
        Option<Box<IncidentDetail>>,
        Option<Result<Runbook, String>>,
    ),
    /// [`Slot::Reviews`]: fields, and deliveries that are held.
    Reviews(Vec<ReviewRow>, Vec<DeliveryRow>),
    /// [`Slot::Held`]
    Held(Vec<HeldGroup>),
    /// [`Slot::HeldEvents`], of which group.
    HeldEvents(HeldGroupId, Vec<HeldRow>),
    /// [`Slot::HeldEvent`]
    HeldEvent(EventId, Option<Box<HeldDetail>>),
    /// [`Slot::Lineage`], of which delivery.
    Lineage(DeliveryId, Option<Trace>, Vec<NoteRow>),
    /// [`Slot::Story`], of the record that was asked for.
    Story(RecordId, Option<Box<Story>>, Vec<ReviewRow>),
    /// [`Slot::Found`], for which text.
    Found(String, Vec<RecordRow>),
    /// [`Slot::About`], of which delivery.
    About(DeliveryId, Vec<RecordId>),
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The overview.
    Overview,
    /// One page.
    Deliveries {
        /// Which.
        filter: Box<Filter>,
        /// From where.
        cursor: Cursor,
        /// How many.
        limit: usize,
    },
    /// The dead-letter groups.
    Dead,
    /// One delivery.
    Delivery(DeliveryId),
    /// Log lines below a number.
    Log(Option<i64>),
    /// The newest runs of all jobs.
    Runs,
    /// A run's differences.
    Differences(RunId),
    /// A plan with its writes.
    Plan(PlanId),
    /// The newest replays.
    Batches,
    /// What was left out.
    Left,
    /// The newest incidents.
    Incidents,
    /// One incident.
    Incident(IncidentId),
    /// Fields and deliveries that wait for a decision.
    Reviews,
    /// Groups of held events.
    Held,
    /// The newest events of one.
    HeldEvents(HeldGroupId),
    /// One of them.
    HeldEvent(EventId),
    /// What belongs together with a delivery's event, and what was noticed on its path.
    Lineage(DeliveryId),
    /// A record's story.
    Story(RecordId),
    /// Records by their keys and ids.
    Found(String),
    /// The records that a delivery is about.
    About(DeliveryId),
}

/// A timer, by what it is for; one that belongs to something gone is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// A slot may be read again.
    Cool(Slot),
    /// A dialog has been readable.
    Arm(u64),
    /// A message has been readable.
    Toast(u64),
}

/// How the console ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The operator leaves; a worker inside drains and stops.
    Quit,
    /// The operator leaves; a worker without a console takes over.
    Detach,
    /// The terminal is gone; a worker inside goes on.
    HangUp,
}

/// What the driver must do.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Read, off this task; a newer request for the same slot makes this one needless.
    Read {
        /// What for.
        slot: Slot,
        /// Which request.
        seq: u64,
        /// What.
        query: Query,
    },
    /// Say so after that long, counted from when the next frame is on the screen.
    Timer(Timer, Duration),
    /// Ask the worker what an action would do.
    Preview {
        /// For which dialog.
        dialog: u64,
        /// What.
        action: Action,
    },
    /// Do it.
    Submit {
        /// By which dialog.
        dialog: u64,
        /// What.
        action: Action,
        /// What the operator has read: pins the set.
        preview: Preview,
    },
    /// Read a runbook.
    ReadRunbook(PathBuf),
    /// Put an id of ours on the operator's clipboard.
    Copy(String),
    /// Ring the terminal's bell.
    Bell,
    /// Paint the next frame whole.
    Repaint,
    /// Tell others what is looked at here; only ids of ours and names of the configuration.
    Doing(String),
    /// Stop this process until the shell continues it.
    Suspend,
    /// End.
    Leave(Exit),
}

/// The contexts of the keys now, innermost first.
pub fn contexts(model: &Model) -> Vec<Context> {
    match &model.overlay {
        Some(Overlay::Palette { .. }) => return vec![Context::Palette],
        Some(Overlay::Help { .. } | Overlay::Report(_) | Overlay::Probe(_)) => {
            return vec![Context::Help];
        }
        Some(Overlay::Secret(secret)) => return systems::contexts(secret),
        Some(Overlay::Leave { .. }) if model.demo.is_some() => return vec![Context::LeaveDemo],
        Some(Overlay::Leave { .. }) => return vec![Context::Leave],
        Some(Overlay::Dialog(dialog)) => return able::dialog_contexts(dialog),
        None => {}
    }
    if model.prompt.is_some() {
        return vec![Context::Line];
    }
    screen_contexts(model.place)
}

/// The contexts of a screen with nothing over it.
pub fn screen_contexts(place: Place) -> Vec<Context> {
    let own = match place {
        Place::Overview => Context::Overview,
        Place::Deliveries => Context::Deliveries,
        Place::Dead => Context::Dead,
        Place::Delivery => Context::Delivery,
        Place::Log => Context::Log,
        Place::Reconcile => Context::Reconcile,
        Place::Replays => Context::Replays,
        Place::Held => Context::Held,
        Place::HeldEvents => Context::HeldEvents,
        Place::HeldEvent => Context::HeldEvent,
        Place::Record => Context::Record,
        Place::Systems => Context::Systems,
        Place::Incidents => Context::Incidents,
        Place::Incident => Context::Incident,
        Place::Review => Context::Review,
        Place::Ownership => Context::Ownership,
        Place::Runs => Context::Runs,
        Place::Differences => Context::Differences,
        Place::Plan => Context::Plan,
        Place::Runbook => Context::Runbook,
    };
    vec![own, Context::List, Context::Global]
}

/// Takes one input.
pub fn update(model: &mut Model, input: Input) -> Vec<Effect> {
    let mut effects = Vec::new();
    let before = doing(model);
    match input {
        Input::Start => {
            loads::want_all(model, &mut effects);
            effects.push(Effect::Doing(before.clone()));
        }
        Input::Key(key) => on_key(model, &key, &mut effects),
        Input::Paste(text) => prompts::paste(model, &text, &mut effects),
        Input::Resize(columns, rows) => model.size = (columns, rows),
        Input::Tick(now) => {
            model.now = now;
            let old = model
                .overview
                .as_ref()
                .is_none_or(|overview| now.since(overview.at) >= STALE);
            if old && !model.frozen {
                loads::want(model, Slot::Overview, &mut effects);
            }
            if model.place == Place::Overview && !model.frozen {
                loads::judge(model);
            }
        }
        Input::Changed if !model.frozen => loads::want_all(model, &mut effects),
        Input::Changed => {}
        Input::Timer(timer) => on_timer(model, timer, &mut effects),
        Input::Loaded { slot, seq, result } => {
            loads::loaded(model, slot, seq, result, &mut effects);
        }
        Input::Previewed { dialog, result } => {
            acts::previewed(model, dialog, result, &mut effects);
        }
        Input::Submitted { dialog, result } => {
            acts::submitted(model, dialog, result, &mut effects);
        }
        Input::RunbookRead { file, result } => {
            if model.reading.file == file {
                model.reading.text = Some(result.map_err(|text| Visible::of(&text).into_string()));
            }
        }
        Input::Link(link) => {
            model.link = link;
            loads::want(model, Slot::Overview, &mut effects);
        }
        Input::Others(others) => model.others = others,
        Input::Config(config) => {
            model.config = config;
            model.own.rows = ownership::matrix(&model.config);
            loads::judge(model);
        }
    }
    moves::settle(model);
    moves::read_ahead(model, &mut effects);
    let after = doing(model);
    if before != after {
        effects.push(Effect::Doing(after));
    }
    effects
}

fn on_timer(model: &mut Model, timer: Timer, effects: &mut Vec<Effect>) {
    match timer {
        Timer::Cool(slot) => loads::cooled(model, slot, effects),
        Timer::Arm(id) => acts::arm(model, id),
        Timer::Toast(id) => {
            if model.toast.as_ref().is_some_and(|toast| toast.id == id) {
                model.toast = None;
            }
        }
    }
}

fn on_key(model: &mut Model, key: &KeyEvent, effects: &mut Vec<Effect>) {
    let contexts = contexts(model);
    let command = keymap::command(&contexts, key);
    // A message has been seen; Esc on one that reports a failure does nothing else.
    if command != Some(Command::Back) {
        model.toast = None;
    }
    match command {
        Some(command) => run(model, command, effects),
        None => prompts::text_key(model, key, effects),
    }
}

/// Does a command, from a key or from the palette.
fn run(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    if command.mutates() && model.read_only {
        toast(
            model,
            "read-only: nothing can be changed from here",
            true,
            effects,
        );
        return;
    }
    if model.overlay.is_some() || model.prompt.is_some() {
        prompts::modal(model, command, effects);
        return;
    }
    match command {
        Command::Overview => go(model, Place::Overview, effects),
        Command::Deliveries => go(model, Place::Deliveries, effects),
        Command::DeadLetters => go(model, Place::Dead, effects),
        Command::Delivery => go(model, Place::Delivery, effects),
        Command::Log => go(model, Place::Log, effects),
        Command::Reconcile => go(model, Place::Reconcile, effects),
        Command::Replays => go(model, Place::Replays, effects),
        Command::Held => go(model, Place::Held, effects),
        Command::Record => go(model, Place::Record, effects),
        Command::Systems => go(model, Place::Systems, effects),
        Command::Incidents => go(model, Place::Incidents, effects),
        Command::WorstIncident => incidents::worst(model, effects),
        Command::Review => go(model, Place::Review, effects),
        Command::Ownership => {
            // Of the configuration in force, which may be another than last time.
            model.own.rows = ownership::matrix(&model.config);
            go(model, Place::Ownership, effects);
        }
        Command::EditHeld => held::ask(model),
        Command::TakeOurs | Command::TakeTheirs => review::decide(model, command, effects),
        Command::TakeAnother => review::ask(model),
        Command::OpenPlan => recon::open_plan(model, effects),
        Command::Runs => recon::open_runs(model, effects),
        Command::Narrow => recon::narrow(model),
        Command::Story => records::story_here(model, effects),
        Command::FindRecord => records::ask(model),
        Command::Unmask => model.record.unmasked = !model.record.unmasked,
        Command::ReplaceSecret => systems::replace(model, effects),
        Command::Fold if model.place == Place::Record => records::fold(model),
        Command::NextScreen | Command::PreviousScreen => {
            let count = Place::SCREENS.len();
            let at = model.place.tab().unwrap_or(0);
            let next = if command == Command::NextScreen {
                at + 1
            } else {
                at + count - 1
            };
            match Place::SCREENS[next % count] {
                Place::Ownership => run(model, Command::Ownership, effects),
                place => go(model, place, effects),
            }
        }
        Command::Back => back(model, effects),
        Command::Freeze => {
            model.frozen = !model.frozen;
            if !model.frozen {
                loads::want_all(model, effects);
            }
        }
        Command::Filter | Command::Search => prompts::open(model),
        Command::SearchNext => prompts::find(model, true),
        Command::SearchPrevious => prompts::find(model, false),
        Command::Palette => {
            model.overlay = Some(Overlay::Palette {
                line: tui_input::Input::default(),
                selected: 0,
            });
        }
        Command::Help => model.overlay = Some(Overlay::Help { top: 0 }),
        Command::Quit | Command::Suspend => acts::leave(model, command, effects),
        Command::Repaint => effects.push(Effect::Repaint),
        Command::Copy => {
            let of = |id: DeliveryId| id.to_string();
            let id = match model.place {
                Place::Held | Place::HeldEvents | Place::HeldEvent => held::id_here(model),
                Place::Delivery => model.detail.id.map(of),
                Place::Dead => model.group_here().map(|group| of(group.example)),
                _ => model.delivery_here().map(|row| of(row.id)),
            };
            if let Some(id) = id {
                effects.push(Effect::Copy(id.clone()));
                toast(model, &format!("copied {id}"), false, effects);
            }
        }
        Command::Replay
        | Command::ReplayAll
        | Command::Cancel
        | Command::CancelAll
        | Command::PauseOrResume
        | Command::Escalate
        | Command::RunNow
        | Command::AbortReplay
        | Command::GoLive
        | Command::Release
        | Command::Discard
        | Command::CancelRun
        | Command::Approve
        | Command::Decline
        | Command::UndoPlan
        | Command::Tolerate
        | Command::TakeIncident
        | Command::EscalateIncident
        | Command::NoteIncident
        | Command::Snooze
        | Command::Mitigate
        | Command::Resolve
        | Command::HandOver
        | Command::DoStep
        | Command::TickStep
        | Command::SkipStep
        | Command::Probe
        | Command::EnableHook
        | Command::Adopt
        | Command::AdoptHost
        | Command::Reload => acts::begin(model, command, effects),
        Command::Report => {
            if let Some(batch) = model.batch_here() {
                model.overlay = Some(Overlay::Report(batch.id));
            }
        }
        Command::Runbook => acts::open_runbook(model, effects),
        Command::Open => moves::open(model, effects),
        Command::Up
        | Command::Down
        | Command::PageUp
        | Command::PageDown
        | Command::Top
        | Command::Bottom => moves::step(model, command, effects),
        Command::Mark => moves::mark(model, effects),
        Command::MarkNone => model.deliveries.marked.clear(),
        Command::Fold | Command::FoldAll | Command::UnfoldAll
            if model.place == Place::HeldEvent =>
        {
            held::fold(model, command, effects);
        }
        Command::Fold | Command::FoldAll | Command::UnfoldAll => {
            moves::fold(model, command, effects);
        }
        Command::NextAttempt | Command::PreviousAttempt => moves::attempt(model, command),
        // Of modal contexts only.
        Command::Accept
        | Command::Dismiss
        | Command::Yes
        | Command::Write
        | Command::Less
        | Command::More
        | Command::Stop
        | Command::Detach => {}
    }
}

/// Goes to a screen and remembers the way back.
fn go(model: &mut Model, place: Place, effects: &mut Vec<Effect>) {
    if model.place == place {
        return;
    }
    let came = (model.place, model.deliveries.filter.clone());
    model.history.retain(|(other, _)| *other != came.0);
    model.history.push(came);
    arrive(model, place, effects);
}

fn arrive(model: &mut Model, place: Place, effects: &mut Vec<Effect>) {
    model.place = place;
    model.frozen = false;
    loads::want_place(model, effects);
}

fn back(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.toast.take().is_some_and(|toast| toast.bad) {
        return;
    }
    if records::back_to_found(model, effects) {
        return;
    }
    let settled = |followed: &super::model::Followed| {
        followed
            .state
            .as_ref()
            .is_some_and(|(state, _)| state.is_settled())
    };
    if model.followed.as_ref().is_some_and(settled) {
        model.followed = None;
    }
    let Some((place, filter)) = model.history.pop() else {
        if model.place != Place::Overview {
            arrive(model, Place::Overview, effects);
        }
        return;
    };
    if place == Place::Deliveries && filter != model.deliveries.filter {
        moves::set_filter(model, filter);
    }
    arrive(model, place, effects);
}

/// Shows a message for a while.
fn toast(model: &mut Model, text: &str, bad: bool, effects: &mut Vec<Effect>) {
    let id = model.next_id();
    model.toast = Some(Toast {
        id,
        text: Visible::of(text).into_string(),
        bad,
    });
    effects.push(Effect::Timer(Timer::Toast(id), TOAST));
}

/// What others may know of what is looked at here.
fn doing(model: &Model) -> String {
    match (&model.overlay, model.place, model.detail.id) {
        (Some(Overlay::Dialog(dialog)), _, _) => format!("about to: {}", dialog.title),
        (Some(Overlay::Secret(secret)), _, _) => format!("replacing a secret of {}", secret.system),
        (Some(Overlay::Probe(probe)), _, _) => format!("reading: {}", probe.title),
        (_, Place::Delivery, Some(id)) => format!("looking at delivery {id}"),
        (_, Place::HeldEvent, _) if model.held.one.id.is_some() => {
            let id = model
                .held
                .one
                .id
                .map_or_else(String::new, |id| id.to_string());
            format!("looking at held event {id}")
        }
        (_, Place::Runbook, _) => format!("reading the runbook of {}", model.reading.about),
        (_, place, _) => format!("looking at {}", place.title()),
    }
}

fn height(model: &Model) -> usize {
    views::list_height(model)
}
