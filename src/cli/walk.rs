//! `midwatch walk`: an incident's runbook, one step after the other, in lines: for a telephone, a slow link, a pipe.
//!
//! What is ticked belongs to the incident: every console and everybody who walks it sees it, and it survives a hang-up.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use tokio::sync::mpsc;

use super::context::{Acting, Context, reader};
use super::incident::{detail, short_line};
use super::out;
use crate::config::model::Config;
use crate::control::action::Action;
use crate::ids::IncidentId;
use crate::incident::{Act, Bearings, Doing, StepState, doing, handed, runbook_of, said};
use crate::runbook::{Runbook, Step, shipped};
use crate::store::{IncidentDetail, Reader};
use crate::time::{Clock, short};
use crate::visible::Visible;
use crate::watch;

/// Walks the runbook of an incident, step by step: Enter does what a step says and ticks it, `y` confirms.
///
/// Steps that were ticked are passed over; `b` goes back to them. A gate waits until its number holds. Shell cells are
/// shown, and run by you. The worst incident that is open, if none is named.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The incident's number.
    id: Option<i64>,
    /// Another runbook: a name, or a file of the runbooks folder.
    #[arg(long, value_name = "NAME")]
    runbook: Option<String>,
}

/// A gate is looked at this often where nothing tells of a change.
const LOOK: Duration = Duration::from_secs(1);

const HELP: &str = "Enter do it and tick   s skip   b back   a take the incident   n TEXT note   e tell the next level
h WHO hand over   m mitigated   r resolved   q leave (what is ticked stays)   ? this";

/// Lines from the standard input, read on a thread of their own, so that a gate can be left while it waits.
struct Lines(mpsc::Receiver<String>);

impl Lines {
    fn new() -> Self {
        let (send, lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            loop {
                let mut line = String::new();
                match std::io::stdin().read_line(&mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) if send.blocking_send(line).is_err() => return,
                    Ok(_) => {}
                }
            }
        });
        Self(lines)
    }

    /// The next line, trimmed; none at the end of the input.
    async fn next(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        let mut err = std::io::stderr();
        write!(err, "{prompt}")?;
        err.flush()?;
        Ok(self.0.recv().await.map(|line| line.trim().to_owned()))
    }
}

struct Walk<'a> {
    config: &'a Config,
    acting: &'a Acting,
    reader: Reader,
    id: IncidentId,
    book: Runbook,
    steps: Vec<Step>,
    lines: Lines,
}

/// What comes after a step.
enum Next {
    Step(usize),
    Leave,
}

/// Walks.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let reader = reader(&config)?;
    let detail = detail(&reader, args.id)?;
    let book = match &args.runbook {
        None => runbook_of(&detail.incident).map_err(|why| anyhow::anyhow!(why))?,
        Some(name) => {
            let stem = name.strip_suffix(".md").unwrap_or(name);
            let file = config.base.join("runbooks").join(format!("{stem}.md"));
            let own = file
                .is_file()
                .then(|| crate::runbook::load(&file))
                .transpose()?;
            own.or_else(|| shipped(stem)).ok_or_else(|| {
                anyhow::anyhow!(
                    "there is no runbook {}: `midwatch runbook list` shows them",
                    Visible::of(name)
                )
            })?
        }
    };
    let steps = book.steps();
    if steps.is_empty() {
        anyhow::bail!(
            "{} has no steps to walk: `midwatch runbook show {}` shows it",
            Visible::of(&book.title),
            Visible::of(&book.name())
        );
    }
    let acting = context.acting(&config).await?;
    let mut walk = Walk {
        config: &config,
        acting: &acting,
        id: detail.incident.id,
        reader,
        book,
        steps,
        lines: Lines::new(),
    };
    let outcome = Box::pin(walk.walk()).await;
    acting.close().await;
    outcome?;
    Ok(super::OK)
}

impl Walk<'_> {
    fn detail(&self) -> anyhow::Result<IncidentDetail> {
        detail(&self.reader, Some(self.id.0))
    }

    async fn walk(&mut self) -> anyhow::Result<()> {
        let mut at = self.open(0)?;
        loop {
            let detail = self.detail()?;
            let Some(place) = at else {
                out::say(&format!(
                    "every step of {} is ticked. r resolves the incident; it ends by itself when nothing is wrong.",
                    Visible::of(&self.book.title)
                ))?;
                match self.command(&detail, self.steps.len()).await? {
                    Next::Leave => return Ok(()),
                    Next::Step(place) => at = (place < self.steps.len()).then_some(place),
                }
                continue;
            };
            self.show(&detail, place)?;
            match self.command(&detail, place).await? {
                Next::Leave => return Ok(()),
                Next::Step(place) if place > self.steps.len() => at = None,
                Next::Step(place) => at = Some(place).filter(|place| *place < self.steps.len()),
            }
        }
    }

    /// The first step from `from` on that is not ticked.
    fn open(&self, from: usize) -> anyhow::Result<Option<usize>> {
        let ticked = self.detail()?.steps;
        let name = self.book.name();
        let is_ticked = |place: &usize| {
            (ticked.iter()).any(|row| row.runbook == name && row.step == *place as u64)
        };
        Ok((from..self.steps.len()).find(|place| !is_ticked(place)))
    }

    fn show(&self, detail: &IncidentDetail, place: usize) -> anyhow::Result<()> {
        let incident = &detail.incident;
        let now = Clock::System.now();
        let step = &self.steps[place];
        let bearings = Bearings::of(incident, self.config);
        let name = self.book.name();
        let done = detail
            .steps
            .iter()
            .filter(|row| row.runbook == name)
            .count();
        let mut text = format!(
            "\n{}\n{}",
            short_line(incident, now),
            self.strip(&bearings)?
        );
        let _ = write!(
            text,
            "\n{} · {} · step {} of {}, {done} ticked\n",
            Visible::of(&self.book.title),
            Visible::of(&step.section),
            place + 1,
            self.steps.len()
        );
        for line in step.text.lines().filter(|line| !line.trim().is_empty()) {
            let _ = write!(text, "\n  {}", Visible::of(line));
        }
        for cell in &step.cells {
            let told = match doing(cell, incident, &bearings) {
                Ok(Doing::Act(action)) => format!("does: {}", said(&action)),
                Ok(Doing::Wait(gate)) => format!("waits until {gate}"),
                Ok(Doing::Secret { system, .. }) => format!("does: replace the secret of {system}"),
                Ok(Doing::Look { kind, key }) => {
                    format!("does: look up {kind} {}", key.unwrap_or_default())
                }
                Ok(Doing::Shell(_)) => "run these lines in a shell yourself".to_owned(),
                Err(why) => format!("cannot be done here: {why}"),
            };
            let _ = write!(text, "\n  > {}", Visible::of(&told));
        }
        for why in &step.wrong {
            let _ = write!(text, "\n  ! this cell cannot be read: {}", Visible::of(why));
        }
        if let Some(row) =
            (detail.steps.iter()).find(|row| row.runbook == name && row.step == place as u64)
        {
            let _ = write!(
                text,
                "\n  ticked by {} {} ago",
                Visible::of(&row.actor),
                short(now.since(row.at))
            );
        }
        out::say(&text)
    }

    /// The numbers of the path, now.
    fn strip(&self, bearings: &Bearings) -> anyhow::Result<String> {
        let overview = self.reader.overview()?;
        let row = (bearings.path.as_ref())
            .and_then(|path| overview.paths.iter().find(|row| row.name == *path));
        let Some(row) = row else {
            return Ok(watch::summary(&overview, self.config));
        };
        let worker = watch::worker_state(&overview.worker, overview.at);
        let state = watch::path_state(
            row,
            self.config.path(&row.name),
            worker,
            overview.at,
            self.config.site.timezone,
        );
        Ok(format!(
            "{}: {}, {} wait, {} dead, {}",
            row.name,
            state.word(),
            watch::grouped(row.counts.backlog()),
            watch::grouped(row.counts.dead),
            row.failure_percent().map_or_else(
                || "no attempts in 5m".to_owned(),
                |share| format!("{share:.0} % fail")
            )
        ))
    }

    async fn command(&mut self, detail: &IncidentDetail, place: usize) -> anyhow::Result<Next> {
        loop {
            let Some(line) = self
                .lines
                .next("[Enter, s, b, a, n, e, h, m, r, q, ?] ")
                .await?
            else {
                return Ok(Next::Leave);
            };
            let (word, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
            let act = match word {
                "" if place < self.steps.len() => {
                    if !self.perform(detail, place).await? {
                        continue;
                    }
                    return self.tick(place, StepState::Done, rest).await;
                }
                "s" if place < self.steps.len() => {
                    return self.tick(place, StepState::Skipped, rest).await;
                }
                "" | "?" | "s" => {
                    out::say(HELP)?;
                    continue;
                }
                "b" => return Ok(Next::Step(place.saturating_sub(1))),
                "q" => return Ok(Next::Leave),
                "a" => Act::Ack,
                "n" => Act::Note {
                    text: rest.to_owned(),
                },
                "e" => Act::Escalate,
                "m" => Act::Mitigate,
                "r" => Act::Resolve,
                "h" => Act::HandOver {
                    to: rest.to_owned(),
                    summary: handed(&self.detail()?),
                },
                other => {
                    out::say(&format!("{} is nothing here.\n{HELP}", Visible::of(other)))?;
                    continue;
                }
            };
            self.submit(Action::Incident {
                incident: self.id,
                act,
            })
            .await?;
        }
    }

    /// Does it, and says what came of it. True if it was done.
    async fn submit(&self, action: Action) -> anyhow::Result<bool> {
        match self.acting.submit_plain(action).await {
            Ok(done) => {
                out::say(&done.text)?;
                Ok(true)
            }
            Err(error) => {
                out::say(&format!("{error:#}"))?;
                Ok(false)
            }
        }
    }

    /// Does what a step says; false if it was not done.
    async fn perform(&mut self, detail: &IncidentDetail, place: usize) -> anyhow::Result<bool> {
        let bearings = Bearings::of(&detail.incident, self.config);
        for cell in self.steps[place].cells.clone() {
            let doing = match doing(&cell, &detail.incident, &bearings) {
                Ok(doing) => doing,
                Err(why) => {
                    out::say(&format!(
                        "not done: {}; s passes it over",
                        Visible::of(&why)
                    ))?;
                    return Ok(false);
                }
            };
            let done = match doing {
                Doing::Act(action) => self.confirmed(*action).await?,
                Doing::Wait(gate) => self.wait(&gate).await?,
                Doing::Shell(_) => true,
                Doing::Secret { system, which } => {
                    let which = which.map_or_else(String::new, |which| format!(" {which}"));
                    out::say(&format!(
                        "in another shell: midwatch secret replace {system}{which}"
                    ))?;
                    self.yes("Was it replaced?").await?
                }
                Doing::Look { kind, key } => self.look(&kind, key).await?,
            };
            if !done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn yes(&mut self, question: &str) -> anyhow::Result<bool> {
        let answer = self.lines.next(&format!("{question} [y/N] ")).await?;
        Ok(answer.is_some_and(|answer| answer.eq_ignore_ascii_case("y")))
    }

    /// Shows what an action would do, asks, does it.
    async fn confirmed(&mut self, action: Action) -> anyhow::Result<bool> {
        let preview = match self.acting.preview(&action).await {
            Ok(preview) => preview,
            Err(error) => {
                out::say(&format!("{error:#}"))?;
                return Ok(false);
            }
        };
        out::say(&out::preview(&preview, Clock::System.now()))?;
        if !self.yes("Do it?").await? {
            out::say("not done")?;
            return Ok(false);
        }
        match self.acting.submit(action, &preview).await {
            Ok(done) => {
                out::say(&done.text)?;
                Ok(true)
            }
            Err(error) => {
                out::say(&format!("{error:#}"))?;
                Ok(false)
            }
        }
    }

    /// Waits until a gate holds, and says the number whenever it changes. A line leaves it.
    async fn wait(&mut self, gate: &crate::runbook::Gate) -> anyhow::Result<bool> {
        let mut changes = self.acting.client().changes();
        let mut told = None;
        loop {
            changes.mark_unchanged();
            let Some((value, holds)) = gate.now(&self.reader.overview()?) else {
                out::say(&format!(
                    "{gate}: there is no such path or job; s passes it over"
                ))?;
                return Ok(false);
            };
            if told != Some(value) {
                let state = if holds {
                    "holds"
                } else {
                    "not yet; a line leaves it"
                };
                out::say(&format!("{gate}: {} now, {state}", value.round()))?;
                told = Some(value);
            }
            if holds {
                return Ok(true);
            }
            tokio::select! {
                waited = tokio::time::timeout(LOOK, changes.changed()) => {
                    if let Ok(change) = waited {
                        change?;
                    }
                }
                _ = self.lines.0.recv() => return Ok(false),
            }
        }
    }

    async fn look(&mut self, kind: &str, key: Option<String>) -> anyhow::Result<bool> {
        let key = match key {
            Some(key) => key,
            None => match self.lines.next(&format!("key of the {kind}: ")).await? {
                Some(key) if !key.is_empty() => key,
                _ => return Ok(false),
            },
        };
        let story = self.reader.story(kind, &key, 10)?;
        let Some(story) = story else {
            out::say(&format!(
                "nothing is known of {} {}",
                Visible::of(kind),
                Visible::of(&key)
            ))?;
            return Ok(true);
        };
        for line in &story.lines {
            out::say(&format!(
                "  {} {}",
                line.at.brief(),
                Visible::of(&line.text)
            ))?;
        }
        Ok(true)
    }

    async fn tick(&self, place: usize, state: StepState, note: &str) -> anyhow::Result<Next> {
        let act = Act::Step {
            runbook: self.book.name(),
            step: place as u64,
            title: self.steps[place].title.clone(),
            state,
            note: note.to_owned(),
        };
        self.submit(Action::Incident {
            incident: self.id,
            act,
        })
        .await?;
        Ok(match self.open(place + 1)? {
            Some(next) => Next::Step(next),
            None => Next::Step(self.steps.len() + 1),
        })
    }
}
