//! What the console knows and shows, as plain data: changed by `update` only, read by the views only.
//!
//! Holds whole snapshots, never parts of two; every selection is by id, so that it stays on its thing when rows come and go.

mod held;
mod incidents;
mod own;
mod recon;
mod review;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use tui_input::Input as Line;

pub use held::{Held, HeldOne};
pub use incidents::Incidents;
pub use own::Own;
pub use recon::{Recon, kindred};
pub use review::{Review, ReviewItem};

use super::json_view::Tree;
use super::theme::Theme;
use super::unseen::Unseen;
use crate::config::model::Config;
use crate::control::Place as SecretPlace;
use crate::control::action::{Action, Done, Preview};
use crate::http::oauth::health::Health;
use crate::ids::{BatchId, DeliveryId, Fingerprint, ReviewId, RunId};
use crate::queue::filter::Filter;
use crate::queue::model::State;
use crate::record::ledger::About as RecordId;
use crate::runbook::Runbook;
use crate::store::Cursor;
use crate::store::view::{
    BatchRow, DeadGroup, DeliveryDetail, DeliveryRow, DifferenceRow, LogRow, NoteRow, Overview,
    RecordRow, ReviewRow, RunRow, Story, Trace,
};
use crate::time::Timestamp;
use crate::watch::{About, Trouble};

/// Deliveries in memory at once: several screens of any size, one page of the store.
pub const PAGE: usize = 240;
/// Log lines in memory at once.
pub const LOG_PAGE: usize = 300;

/// What becomes of a demo's data when its screen is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demo {
    /// It stays in the folder that was named.
    Kept,
    /// It goes with the temporary folder.
    Deleted,
}

/// A screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
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
    /// Screen 7.
    Replays,
    /// Screen 8: what is held, grouped by what is wrong.
    Held,
    /// Screen 9: a business record, or the records that were looked for.
    Record,
    /// Screen 0.
    Systems,
    /// Screen I: incidents.
    Incidents,
    /// One incident, with its runbook.
    Incident,
    /// Screen V: what waits for a person's decision.
    Review,
    /// Screen O: who may write which field.
    Ownership,
    /// The runs of a job.
    Runs,
    /// The differences of a run.
    Differences,
    /// What a run would write.
    Plan,
    /// The events of a held group.
    HeldEvents,
    /// A held event.
    HeldEvent,
    /// A runbook.
    Runbook,
}

impl Place {
    /// The numbered screens, in order.
    pub const SCREENS: [Self; 13] = [
        Self::Overview,
        Self::Deliveries,
        Self::Dead,
        Self::Delivery,
        Self::Log,
        Self::Reconcile,
        Self::Replays,
        Self::Held,
        Self::Record,
        Self::Systems,
        Self::Incidents,
        Self::Review,
        Self::Ownership,
    ];

    /// The key of each numbered or lettered screen, in the same order.
    pub const KEYS: &str = "1234567890IVO";

    /// Its name on the tab.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Deliveries => "Deliveries",
            Self::Dead => "Dead letters",
            Self::Delivery => "Delivery",
            Self::Log => "Log",
            Self::Reconcile => "Reconciliation",
            Self::Replays => "Replays",
            Self::Held => "Held",
            Self::Record => "Record",
            Self::Systems => "Systems",
            Self::Incidents => "Incidents",
            Self::Incident => "Incident",
            Self::Review => "Review",
            Self::Ownership => "Ownership",
            Self::Runs => "Runs",
            Self::Differences => "Differences",
            Self::Plan => "Plan",
            Self::HeldEvents => "Held events",
            Self::HeldEvent => "Held event",
            Self::Runbook => "Runbook",
        }
    }

    /// The same, shorter.
    pub fn short_title(self) -> &'static str {
        match self {
            Self::Dead => "Dead",
            Self::Reconcile => "Recon",
            other => other.title(),
        }
    }

    /// How much its name matters on the tabs where there is no room for all of them: the least goes first.
    pub fn weight(self) -> u8 {
        match self {
            Self::Ownership => 1,
            Self::Replays => 2,
            Self::Reconcile => 3,
            Self::Held | Self::Systems => 4,
            Self::Log => 5,
            Self::Delivery => 6,
            Self::Record => 7,
            Self::Review | Self::Dead => 8,
            Self::Deliveries => 9,
            Self::Overview
            | Self::Runs
            | Self::Differences
            | Self::Plan
            | Self::Incidents
            | Self::Incident
            | Self::HeldEvents
            | Self::HeldEvent
            | Self::Runbook => 10,
        }
    }

    /// The numbered screen that it belongs to.
    pub fn tab(self) -> Option<usize> {
        let screen = match self {
            Self::Runs | Self::Differences | Self::Plan => Self::Reconcile,
            Self::HeldEvents | Self::HeldEvent => Self::Held,
            Self::Incident => Self::Incidents,
            other => other,
        };
        Self::SCREENS.iter().position(|place| *place == screen)
    }
}

/// A selection by id in a list, and the first line shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection<Id> {
    /// What is selected; none selects the line at `index`.
    pub id: Option<Id>,
    /// Where it was last seen.
    pub index: usize,
    /// The first line shown.
    pub top: usize,
}

impl<Id> Default for Selection<Id> {
    fn default() -> Self {
        Self {
            id: None,
            index: 0,
            top: 0,
        }
    }
}

impl<Id: PartialEq + Clone> Selection<Id> {
    /// Finds the selected thing in `ids` again; if it is gone, what took its place is selected.
    pub fn settle(&mut self, ids: &[Id], height: usize) {
        if let Some(index) = self
            .id
            .as_ref()
            .and_then(|id| ids.iter().position(|other| other == id))
        {
            // Once scrolled, rows that come in above must not move the selected one on the screen.
            if self.top > 0 {
                self.top = (self.top + index).saturating_sub(self.index);
            }
            self.index = index;
        }
        self.index = self.index.min(ids.len().saturating_sub(1));
        self.id = ids.get(self.index).cloned();
        let height = height.max(1);
        self.top = self
            .top
            .min(self.index)
            .max((self.index + 1).saturating_sub(height))
            .min(ids.len().saturating_sub(height));
    }

    /// Selects the line at `index`.
    pub fn select(&mut self, ids: &[Id], index: usize, height: usize) {
        self.index = index.min(ids.len().saturating_sub(1));
        self.id = ids.get(self.index).cloned();
        self.settle(ids, height);
    }
}

/// What can be selected on the Overview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverviewId {
    /// A line of what is wrong now.
    Trouble(About, Option<String>),
    /// A path, by name.
    Path(String),
}

/// What tells one dead-letter group from the others.
pub type GroupId = (String, Option<Fingerprint>);

/// The Deliveries screen.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// In force.
    pub filter: Filter,
    /// The rows in memory, newest first.
    pub rows: Vec<DeliveryRow>,
    /// Where the first row stands.
    pub from: Option<Cursor>,
    /// There may be older ones.
    pub older: bool,
    /// The search goes on.
    pub searching: bool,
    /// The next page is for its first line (true) or its last.
    pub jump: Option<bool>,
    /// The operator has chosen a row; else the newest one is selected, whichever that is.
    pub pinned: bool,
    /// Marked with space.
    pub marked: BTreeSet<DeliveryId>,
    /// The selected row.
    pub selection: Selection<DeliveryId>,
}

/// A body on the Delivery screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Body {
    /// What is sent.
    Request,
    /// What the shown attempt was answered.
    Answer,
    /// What came in, where something else is sent.
    Event,
    /// The data of a held event.
    Held,
}

/// What Enter does on a line of the Delivery screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Folds or unfolds a part.
    Part(&'static str),
    /// Folds or unfolds inside a body, at that row of it.
    Tree(Body, usize),
    /// Goes to another delivery.
    Delivery(DeliveryId),
    /// Goes to one of the records that the delivery is about, by its place among them.
    Record(usize),
    /// Explains one of the record's fields, by its place among their names.
    Field(usize),
}

/// The Delivery screen.
#[derive(Debug, Default)]
pub struct Detail {
    /// Which; none before one was opened.
    pub id: Option<DeliveryId>,
    /// What is known of it; none before it was read, or if it is gone.
    pub data: Option<Box<DeliveryDetail>>,
    /// It was read, and is not there.
    pub gone: bool,
    /// Which attempt's answer is shown, as an index; none is the last.
    pub attempt: Option<usize>,
    /// The events that it belongs together with; none before they were read.
    pub trace: Option<Trace>,
    /// What was noticed on its path, the newest first.
    pub notes: Vec<NoteRow>,
    /// Parts that are folded, by their names.
    pub folded: HashSet<&'static str>,
    /// The bodies, laid out, each with the bytes that it is made of.
    pub trees: BTreeMap<Body, (Vec<u8>, Tree)>,
    /// The line with the cursor.
    pub line: usize,
    /// The first line shown.
    pub top: usize,
}

/// The Record screen: one record, or the records that were looked for.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Which; none while records are looked for.
    pub about: Option<RecordId>,
    /// What is known of it; none before it was read, or if nothing is.
    pub data: Option<Box<Story>>,
    /// What of it is or was for review, oldest first.
    pub reviews: Vec<ReviewRow>,
    /// It was read, and nothing is known of it.
    pub gone: bool,
    /// Hashes of sensitive values are shown.
    pub unmasked: bool,
    /// Parts that are folded, by their names.
    pub folded: HashSet<&'static str>,
    /// The line with the cursor.
    pub line: usize,
    /// The first line shown.
    pub top: usize,
    /// What is looked for in keys and ids; empty finds what changed last.
    pub needle: String,
    /// What was found, the last changed first.
    pub found: Vec<RecordRow>,
    /// The selected one.
    pub pick: Selection<RecordId>,
    /// The delivery whose record was asked for.
    pub asked: Option<DeliveryId>,
    /// It was chosen among those found: Esc goes back to them.
    pub chosen: bool,
}

/// The Runbook view.
#[derive(Debug, Default)]
pub struct Reading {
    /// The file asked for.
    pub file: PathBuf,
    /// What it is for: a path or a job of the configuration.
    pub about: String,
    /// The runbook, or why it cannot be read; none while it is read.
    pub text: Option<Result<Arc<Runbook>, String>>,
    /// The first line shown.
    pub top: usize,
    /// What is searched for.
    pub needle: String,
    /// The line of the current match.
    pub found: Option<usize>,
}

/// What the line of input at the bottom is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// A filter of deliveries.
    Filter,
    /// A filter of the log.
    LogFilter,
    /// A filter of a run's differences.
    DifferenceFilter,
    /// Words in the runbook.
    Search,
    /// A record's key, or an id of it.
    Record,
    /// A place of a held event, and what is to stand there.
    Edit,
    /// The value that is to stand, of this review.
    Decide(ReviewId),
}

/// A line of input at the bottom.
#[derive(Debug)]
pub struct Prompt {
    /// What for.
    pub asking: Asking,
    /// What was in force before; Esc brings it back.
    pub before: String,
    /// The line.
    pub line: Line,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// Where a dialog stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// A reason or a note is being written.
    Writing,
    /// The worker is asked what would happen.
    Asking,
    /// The operator reads; `y` acts once it is armed.
    Reading {
        /// It has been on screen long enough.
        armed: bool,
    },
    /// It is being done.
    Acting,
    /// It was refused.
    Refused(String),
}

/// A confirmation.
#[derive(Debug)]
pub struct Dialog {
    /// Tells its answers from those of earlier dialogs.
    pub id: u64,
    /// What would be done. Only names of the configuration and ids of ours.
    pub title: String,
    /// The action as confirmed, less what `line` says.
    pub action: Action,
    /// What can be written with it: a reason, a note; empty if nothing.
    pub label: &'static str,
    /// The reason or note.
    pub line: Line,
    /// Where it stands.
    pub stage: Stage,
    /// What the worker said.
    pub preview: Option<Preview>,
    /// The selected option.
    pub option: usize,
    /// First line of the preview shown.
    pub top: usize,
    /// `y` came before the preview could have been read.
    pub hasty: bool,
}

/// What lies over the screen.
#[derive(Debug)]
pub enum Overlay {
    /// `:`
    Palette {
        /// What was typed.
        line: Line,
        /// The selected command.
        selected: usize,
    },
    /// `?`
    Help {
        /// First line shown.
        top: usize,
    },
    /// A confirmation.
    Dialog(Box<Dialog>),
    /// What a replay has come to.
    Report(BatchId),
    /// What was found when somebody asked: whether a system can be worked with, why a field holds what it holds.
    Probe(Box<Probing>),
    /// Another secret is typed, unseen.
    Secret(Box<Replacing>),
    /// How to leave, with the worker inside.
    Leave {
        /// Tells its timer from earlier ones.
        id: u64,
        /// It has been on screen long enough.
        armed: bool,
        /// Asked for by Ctrl-Z.
        suspend: bool,
    },
}

/// What was found, to be read: by a probe of a system, or of a field.
#[derive(Debug)]
pub struct Probing {
    /// What it is of.
    pub title: String,
    /// What was found, line by line; partly from outside.
    pub text: String,
    /// First line shown.
    pub top: usize,
}

/// Where the replacing of a secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replace {
    /// One of the system's secrets is chosen.
    Choosing,
    /// The worker is asked what it would mean.
    Asking,
    /// The new one is typed.
    Typing,
    /// It is tried, saved, and what waited for it goes on.
    Acting,
    /// It was done, with what became of it.
    Done(String),
    /// It was refused: nothing was saved.
    Refused(String),
}

/// Replacing a secret. What is typed is in [`Unseen`], and nowhere else.
#[derive(Debug)]
pub struct Replacing {
    /// Tells its answers from those of earlier ones.
    pub id: u64,
    /// The system, by its name in the configuration.
    pub system: String,
    /// Its secrets.
    pub places: Vec<SecretPlace>,
    /// The chosen one.
    pub which: usize,
    /// What is typed.
    pub typed: Unseen,
    /// Where it stands.
    pub stage: Replace,
    /// What the worker said of it.
    pub preview: Option<Preview>,
}

/// A short message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// Tells its timer from earlier ones.
    pub id: u64,
    /// The text, safe to show.
    pub text: String,
    /// It reports a failure.
    pub bad: bool,
}

/// What an escalation's delivery has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The delivery.
    pub id: DeliveryId,
    /// Its state, once known, and why.
    pub state: Option<(State, Option<String>)>,
}

/// Where the worker is, seen from here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// In this process.
    #[default]
    Inside,
    /// In another process.
    Attached,
    /// Not reachable, and why.
    Away(String),
}

/// What is read, each on its own: the newest request of a kind wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The overview.
    Overview,
    /// A page of deliveries.
    Deliveries,
    /// The dead-letter groups.
    Dead,
    /// One delivery.
    Delivery,
    /// The log.
    Log,
    /// Reconciliation runs.
    Runs,
    /// A run's differences.
    Differences,
    /// A plan.
    Plan,
    /// Replays.
    Batches,
    /// What was left out because its source may not write it.
    Left,
    /// Incidents.
    Incidents,
    /// One of them, with its runbook.
    Incident,
    /// What waits for a decision.
    Reviews,
    /// Groups of held events.
    Held,
    /// The events of one.
    HeldEvents,
    /// One of them.
    HeldEvent,
    /// What the delivery shown was caused by and caused, and what was noticed on its path.
    Lineage,
    /// The delivery that an escalation made.
    Followed,
    /// A record's story.
    Story,
    /// Records that were looked for.
    Found,
    /// The records of a delivery.
    About,
}

/// How far a slot's refreshing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refresh {
    /// The request under way.
    pub pending: Option<u64>,
    /// Not to be asked again before a timer has run out.
    pub cooling: bool,
    /// Something changed meanwhile.
    pub dirty: bool,
}

/// Everything.
#[derive(Debug)]
pub struct Model {
    /// The configuration as last loaded here: names, owners, runbooks, thresholds.
    pub config: Arc<Config>,
    /// Looks.
    pub theme: Theme,
    /// Nothing can be changed from here.
    pub read_only: bool,
    /// Fewer refreshes.
    pub low_bandwidth: bool,
    /// It is a demo: nothing goes on without its screen.
    pub demo: Option<Demo>,
    /// Where the worker is.
    pub link: Link,
    /// Other consoles and commands attached, in words.
    pub others: Vec<String>,
    /// Wall clock, by the second.
    pub now: Timestamp,
    /// Columns and rows.
    pub size: (u16, u16),
    /// The screen shown.
    pub place: Place,
    /// Where Esc leads, with the filter of the Deliveries screen at the time.
    pub history: Vec<(Place, Filter)>,
    /// The screen stands still.
    pub frozen: bool,
    /// The last read that failed.
    pub read_error: Option<String>,
    /// The newest overview.
    pub overview: Option<Arc<Overview>>,
    /// How the systems' tokens stood when it was read.
    pub tokens: Vec<Health>,
    /// What is wrong by both, worst first.
    pub troubles: Vec<Trouble>,
    /// Selected on the Overview.
    pub chosen: Selection<OverviewId>,
    /// Screen 2.
    pub deliveries: Deliveries,
    /// Screen 3.
    pub groups: Vec<DeadGroup>,
    /// Selected there.
    pub group: Selection<GroupId>,
    /// Screen 4.
    pub detail: Detail,
    /// Screen 5, newest first.
    pub log: Vec<LogRow>,
    /// Selected there.
    pub log_line: Selection<i64>,
    /// Text that log lines must hold, lower case.
    pub log_filter: String,
    /// Lines older than this are shown; none shows the newest.
    pub log_before: Option<i64>,
    /// Screen 6: runs, newest first.
    pub runs: Vec<RunRow>,
    /// The selected job.
    pub job: Selection<String>,
    /// The run whose differences are shown.
    pub run: Option<RunId>,
    /// Its differences.
    pub differences: Vec<DifferenceRow>,
    /// The selected difference, by its place.
    pub difference: Selection<usize>,
    /// How they are narrowed, and the plans.
    pub recon: Recon,
    /// Screen 7.
    pub batches: Vec<BatchRow>,
    /// The selected replay.
    pub batch: Selection<BatchId>,
    /// Screen 8, with what is behind it.
    pub held: Held,
    /// Screen I, with what is behind it.
    pub incidents: Incidents,
    /// Screen V.
    pub review: Review,
    /// Screen O.
    pub own: Own,
    /// Screen 9.
    pub record: Recorded,
    /// Screen 0: the selected system.
    pub system: Selection<String>,
    /// What has been read at least once.
    pub known: BTreeSet<Slot>,
    /// The Runbook view.
    pub reading: Reading,
    /// The line at the bottom.
    pub prompt: Option<Prompt>,
    /// What lies over the screen.
    pub overlay: Option<Overlay>,
    /// The last message.
    pub toast: Option<Toast>,
    /// The escalation that is followed.
    pub followed: Option<Followed>,
    /// A replay begun here, until its end was told.
    pub replaying: Option<BatchId>,
    /// A reconciliation job run from here, and its newest run before, until its result was told.
    pub comparing: Option<(String, Option<RunId>)>,
    /// Refreshing, by what is read.
    pub refresh: BTreeMap<Slot, Refresh>,
    /// The last id given to a request, dialog, toast.
    pub last_id: u64,
}

impl Model {
    /// Before anything was read.
    pub fn new(config: Arc<Config>, theme: Theme, now: Timestamp, size: (u16, u16)) -> Self {
        Self {
            config,
            theme,
            read_only: false,
            low_bandwidth: false,
            demo: None,
            link: Link::Inside,
            others: Vec::new(),
            now,
            size,
            place: Place::Overview,
            history: Vec::new(),
            frozen: false,
            read_error: None,
            overview: None,
            tokens: Vec::new(),
            troubles: Vec::new(),
            chosen: Selection::default(),
            deliveries: Deliveries::default(),
            groups: Vec::new(),
            group: Selection::default(),
            detail: Detail::default(),
            log: Vec::new(),
            log_line: Selection::default(),
            log_filter: String::new(),
            log_before: None,
            runs: Vec::new(),
            job: Selection::default(),
            run: None,
            differences: Vec::new(),
            difference: Selection::default(),
            recon: Recon::default(),
            batches: Vec::new(),
            batch: Selection::default(),
            held: Held::default(),
            incidents: Incidents::default(),
            review: Review::default(),
            own: Own::default(),
            record: Recorded::default(),
            system: Selection::default(),
            known: BTreeSet::new(),
            reading: Reading::default(),
            prompt: None,
            overlay: None,
            toast: None,
            followed: None,
            replaying: None,
            comparing: None,
            refresh: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// The worker is in this process.
    pub fn inside(&self) -> bool {
        self.link == Link::Inside
    }

    /// The bytes of a body of the delivery shown; none where there are none.
    pub fn body(&self, body: Body) -> Option<&[u8]> {
        let data = self.detail.data.as_ref()?;
        match body {
            Body::Request => match &data.frozen {
                Some(request) => Some(&request.body),
                None => data.data.as_deref(),
            },
            Body::Held => None,
            Body::Event => data.frozen.as_ref().and(data.data.as_deref()),
            Body::Answer => {
                let last = data.attempts.len().saturating_sub(1);
                let shown = self.detail.attempt.unwrap_or(last).min(last);
                data.attempts
                    .get(shown)
                    .map(|attempt| &attempt.answer_body[..])
            }
        }
    }

    /// A fresh id.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The log lines that the filter lets through.
    pub fn shown_log(&self) -> impl Iterator<Item = &LogRow> {
        self.log.iter().filter(|row| {
            self.log_filter.is_empty()
                || [&row.text, &row.kind, &row.actor]
                    .into_iter()
                    .chain(&row.path)
                    .any(|text| text.to_lowercase().contains(&self.log_filter))
        })
    }

    /// What can be selected on the Overview, in order.
    pub fn overview_ids(&self) -> Vec<OverviewId> {
        let troubles = self.troubles.iter().map(|trouble| {
            OverviewId::Trouble(
                trouble.about,
                trouble.path.clone().or_else(|| trouble.job.clone()),
            )
        });
        let paths = self
            .overview
            .iter()
            .flat_map(|overview| &overview.paths)
            .map(|row| OverviewId::Path(row.name.clone()));
        troubles.chain(paths).collect()
    }

    /// The path that a command of this screen is about, by its name.
    pub fn path_here(&self) -> Option<String> {
        match self.place {
            Place::Overview => match self.chosen.id.as_ref()? {
                OverviewId::Path(name) => Some(name.clone()),
                OverviewId::Trouble(About::Job, _) => None,
                OverviewId::Trouble(_, name) => name.clone(),
            },
            Place::Deliveries => self.delivery_here().map(|row| row.path.clone()),
            Place::Dead => self.group_here().map(|group| group.path.clone()),
            Place::Delivery => self.detail.data.as_ref().map(|data| data.row.path.clone()),
            Place::Log => self.log_here().and_then(|row| row.path.clone()),
            Place::Runbook => {
                let path = self.config.path(&self.reading.about);
                path.map(|path| path.name.clone())
            }
            Place::Reconcile
            | Place::Runs
            | Place::Replays
            | Place::Held
            | Place::HeldEvents
            | Place::HeldEvent
            | Place::Differences
            | Place::Plan
            | Place::Record
            | Place::Ownership
            | Place::Systems => None,
            Place::Incidents | Place::Incident => self.incident_here()?.path.clone(),
            Place::Review => self.review.delivery_here().map(|row| row.path.clone()),
        }
    }

    /// The reconciliation job that a command of this screen is about.
    pub fn job_here(&self) -> Option<String> {
        match self.place {
            Place::Reconcile => self.job.id.clone(),
            Place::Runs => self.recon.job.clone(),
            Place::Differences => (self.runs.iter())
                .find(|run| Some(run.id) == self.run)
                .map(|run| run.job.clone()),
            Place::Plan => self.recon.data.as_ref().map(|data| data.0.job.clone()),
            Place::Overview => match self.chosen.id.as_ref()? {
                OverviewId::Trouble(About::Job, name) => name.clone(),
                _ => None,
            },
            _ => None,
        }
    }

    /// The system that a command of this screen is about, by its name.
    pub fn system_here(&self) -> Option<&crate::config::model::System> {
        if self.place != Place::Systems {
            return None;
        }
        self.config.systems.get(self.system.id.as_ref()?)
    }

    /// The delivery that a command of this screen is about.
    pub fn delivery_id_here(&self) -> Option<DeliveryId> {
        match self.place {
            Place::Deliveries => self.deliveries.selection.id,
            Place::Delivery => self.detail.id,
            Place::Review => self.review.delivery_here().map(|row| row.id),
            _ => None,
        }
    }

    /// The selected row of the Deliveries screen.
    pub fn delivery_here(&self) -> Option<&DeliveryRow> {
        let id = self.deliveries.selection.id?;
        self.deliveries.rows.iter().find(|row| row.id == id)
    }

    /// The selected dead-letter group.
    pub fn group_here(&self) -> Option<&DeadGroup> {
        let (path, fingerprint) = self.group.id.as_ref()?;
        self.groups
            .iter()
            .find(|group| group.path == *path && group.fingerprint == *fingerprint)
    }

    /// The selected log line.
    pub fn log_here(&self) -> Option<&LogRow> {
        let id = self.log_line.id?;
        self.log.iter().find(|row| row.id == id)
    }

    /// The selected replay.
    pub fn batch_here(&self) -> Option<&BatchRow> {
        let id = self.batch.id?;
        self.batches.iter().find(|row| row.id == id)
    }
}

/// What an answer to a submitted action is.
pub type Submitted = Result<Done, String>;
