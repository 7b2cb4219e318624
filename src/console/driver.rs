//! The driver: gives inputs to `update`, does its effects, and paints. The only impure part beside the terminal's own.
//!
//! The loop runs on a thread of its own, because a slow terminal blocks whoever writes to it, and that must never be
//! the worker's runtime. While it is blocked, inputs wait; then only the newest frame is painted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crossterm::event::{Event, KeyEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use super::input::{self, FromTerminal, Gate};
use super::model::{Demo, Link, Model};
use super::paint::Painter;
use super::reads::Reads;
use super::term::{self, Tty};
use super::theme::{Palette, Theme};
use super::update::{Effect, Exit, Input, Timer, update};
use super::views;
use crate::config::model::Config;
use crate::control::{self, Client, pinned};
use crate::time::{Clock, Timestamp};
use crate::visible::{Visible, line};

/// Frames that no key has asked for, at most one in this time.
const FRAME: Duration = Duration::from_millis(100);
/// The same over a slow line.
const SLOW_FRAME: Duration = Duration::from_secs(1);
/// A stop signal has taken hold after this long, or never does.
const STOPPED: Duration = Duration::from_secs(1);
/// Clocks and ages.
const TICK: Duration = Duration::from_secs(1);

/// How to open the console.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // each is a switch of the command line
pub struct ConsoleOptions {
    /// The worker, wherever it is.
    pub client: Client,
    /// What is read.
    pub database: PathBuf,
    /// Names, owners, runbooks, thresholds, until the worker has another one.
    pub config: Arc<Config>,
    /// Nothing can be changed from here.
    pub read_only: bool,
    /// Only ASCII glyphs.
    pub ascii: bool,
    /// Colours; none finds out from the environment.
    pub palette: Option<Palette>,
    /// Fewer refreshes, for a slow or costly line.
    pub low_bandwidth: bool,
    /// The worker is in this process.
    pub inside: bool,
    /// It is a demo, and what becomes of its data.
    pub demo: Option<Demo>,
}

enum Message {
    Terminal(FromTerminal),
    Input(Box<Input>),
    /// Look at the terminal's size anew.
    Resized,
    /// The shell has continued this process.
    Continued,
    /// End.
    Stop(Exit),
}

/// Opens the console on this process's terminal and keeps it until the operator leaves or the terminal goes.
///
/// Dropping the future ends the console too; the terminal is given back on every way out.
///
/// # Errors
/// If there is no terminal, or its thread dies; the worker is not touched by that.
pub async fn run(options: ConsoleOptions) -> anyhow::Result<Exit> {
    let palette = options
        .palette
        .unwrap_or_else(|| Palette::detect(|name| std::env::var(name).ok()));
    term::enter().context("this is no terminal that midwatch can use")?;
    let guard = term::Guard;
    let (to_loop, messages) = mpsc::channel();
    let (ended, end) = tokio::sync::oneshot::channel();
    let stop = StopOnDrop(to_loop.clone());
    let (woken, continued) = mpsc::channel();
    let tasks = watch_world(&options, &to_loop, woken)?;
    let handle = Handle::current();
    std::thread::Builder::new()
        .name("console".into())
        .spawn(move || {
            let result = Console::open(options, palette, to_loop, continued, handle)
                .and_then(|mut console| console.run(&messages));
            let _ = ended.send(result);
        })
        .context("cannot start the console's thread")?;
    let result = end.await;
    drop(tasks);
    drop(stop);
    drop(guard);
    match result {
        Ok(result) => result,
        Err(_) => {
            anyhow::bail!("the console has failed; what was acknowledged is safe, deliveries go on")
        }
    }
}

/// Ends the loop when the future that runs the console is dropped.
struct StopOnDrop(mpsc::Sender<Message>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(Message::Stop(Exit::Quit));
    }
}

/// Everything outside that the console hears of, as tasks that end when the set is dropped.
fn watch_world(
    options: &ConsoleOptions,
    to_loop: &mpsc::Sender<Message>,
    woken: mpsc::Sender<()>,
) -> anyhow::Result<tokio::task::JoinSet<()>> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut resized = signal(SignalKind::window_change())?;
    let tx = to_loop.clone();
    tasks.spawn(async move {
        while resized.recv().await.is_some() && tx.send(Message::Resized).is_ok() {}
    });
    let mut hangup = signal(SignalKind::hangup())?;
    let tx = to_loop.clone();
    tasks.spawn(async move {
        hangup.recv().await;
        let _ = tx.send(Message::Stop(Exit::HangUp));
    });
    let mut goes_on = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
    let tx = to_loop.clone();
    tasks.spawn(async move {
        while goes_on.recv().await.is_some() {
            let _ = woken.send(());
            if tx.send(Message::Continued).is_err() {
                return;
            }
        }
    });
    let mut changes = options.client.changes();
    let client = options.client.clone();
    let tx = to_loop.clone();
    tasks.spawn(async move {
        let mut others = Vec::new();
        loop {
            let now = peers(&client);
            if now != others {
                others.clone_from(&now);
                let _ = tx.send(Message::Input(Box::new(Input::Others(now))));
            }
            if tx.send(Message::Input(Box::new(Input::Changed))).is_err()
                || changes.changed().await.is_err()
            {
                return;
            }
            // The loop rests longer than this between two reads; here only floods are thinned.
            tokio::time::sleep(FRAME).await;
        }
    });
    let mut link = options.client.link();
    let tx = to_loop.clone();
    tasks.spawn(async move {
        loop {
            let now = match &*link.borrow_and_update() {
                control::Link::Inside => Link::Inside,
                control::Link::Attached(_) => Link::Attached,
                control::Link::Away(why) => Link::Away(Visible::of(why).into_string()),
            };
            if tx.send(Message::Input(Box::new(Input::Link(now)))).is_err()
                || link.changed().await.is_err()
            {
                return;
            }
        }
    });
    Ok(tasks)
}

fn peers(client: &Client) -> Vec<String> {
    client
        .peers()
        .iter()
        .map(
            |peer| match (line(&peer.actor.name, 20), line(&peer.doing, 40)) {
                (name, doing) if doing.as_ref().is_empty() => format!("{name} is here too"),
                (name, doing) => format!("{name}: {doing}"),
            },
        )
        .collect()
}

struct Console {
    model: Model,
    painter: Painter<Tty>,
    reads: Reads,
    client: Client,
    handle: Handle,
    gate: Arc<Gate>,
    /// The shell has continued this process.
    continued: mpsc::Receiver<()>,
    to_loop: mpsc::Sender<Message>,
    clock: Clock,
    timers: Vec<(Instant, Timer)>,
    /// Timers that begin when the next frame is on the screen.
    after_frame: Vec<(Timer, Duration)>,
    dirty: bool,
    /// A key waits for its frame.
    urgent: bool,
    painted: Instant,
    /// When the terminal was taken last.
    taken: Instant,
    exit: Option<Exit>,
}

impl Console {
    fn open(
        options: ConsoleOptions,
        palette: Palette,
        to_loop: mpsc::Sender<Message>,
        continued: mpsc::Receiver<()>,
        handle: Handle,
    ) -> anyhow::Result<Self> {
        let clock = Clock::System;
        let theme = Theme {
            palette,
            ascii: options.ascii,
        };
        let mut model = Model::new(options.config.clone(), theme, clock.now(), term::size());
        model.read_only = options.read_only;
        model.low_bandwidth = options.low_bandwidth;
        model.demo = options.demo;
        model.link = if options.inside {
            Link::Inside
        } else {
            Link::Attached
        };
        let gate = Arc::new(Gate::default());
        let tx = to_loop.clone();
        input::spawn(gate.clone(), move |report| {
            tx.send(Message::Terminal(report)).is_ok()
        })
        .context("cannot start the input thread")?;
        let tx = to_loop.clone();
        let reads = Reads::spawn(options.database, options.config, move |input| {
            let _ = tx.send(Message::Input(Box::new(input)));
        })
        .context("cannot start the reading thread")?;
        Ok(Self {
            model,
            painter: Painter::new(Tty),
            reads,
            client: options.client,
            handle,
            gate,
            continued,
            to_loop,
            clock,
            timers: Vec::new(),
            after_frame: Vec::new(),
            dirty: true,
            urgent: true,
            painted: Instant::now(),
            taken: Instant::now(),
            exit: None,
        })
    }

    fn run(&mut self, messages: &mpsc::Receiver<Message>) -> anyhow::Result<Exit> {
        self.feed(Input::Start);
        let mut tick = Instant::now() + TICK;
        loop {
            if let Some(exit) = self.exit {
                return Ok(exit);
            }
            self.paint_if_due()?;
            let until = self.next_wake(tick);
            match messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) => {
                    self.take(message);
                    // Whatever has gathered meanwhile belongs into the same frame.
                    for message in messages.try_iter().take(256) {
                        self.take(message);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Exit::Quit),
            }
            let now = Instant::now();
            if now >= tick {
                tick = now + TICK;
                let wall = Timestamp(self.clock.now().0 / 1_000 * 1_000);
                self.feed(Input::Tick(wall));
            }
            while let Some(index) = self.timers.iter().position(|(at, _)| *at <= now) {
                let (_, timer) = self.timers.swap_remove(index);
                self.feed(Input::Timer(timer));
            }
        }
    }

    fn next_wake(&self, tick: Instant) -> Instant {
        let frame = self.dirty.then(|| self.painted + self.frame_time());
        self.timers
            .iter()
            .map(|(at, _)| *at)
            .chain(frame)
            .fold(tick, Instant::min)
    }

    fn frame_time(&self) -> Duration {
        if self.model.low_bandwidth {
            SLOW_FRAME
        } else {
            FRAME
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Input(input) => self.feed(*input),
            Message::Resized => self.resized(),
            // Stopped by somebody else's signal; what followed a Ctrl-Z here is done already.
            Message::Continued if self.taken.elapsed() > STOPPED => self.take_back(),
            Message::Continued => {}
            Message::Stop(exit) => self.exit = Some(exit),
            Message::Terminal(FromTerminal::HangUp) => self.exit = Some(Exit::HangUp),
            Message::Terminal(FromTerminal::Event(event)) => {
                self.gate.waiting.fetch_sub(1, Ordering::SeqCst);
                match event {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        self.urgent = true;
                        self.feed(Input::Key(key));
                    }
                    Event::Paste(text) => {
                        self.urgent = true;
                        self.feed(Input::Paste(text));
                    }
                    Event::Resize(..) => self.resized(),
                    _ => {}
                }
            }
        }
    }

    fn resized(&mut self) {
        let (columns, rows) = term::size();
        if (columns, rows) != self.model.size {
            self.feed(Input::Resize(columns, rows));
        }
    }

    fn feed(&mut self, input: Input) {
        if self.exit.is_some() {
            return;
        }
        // A change only asks for a read; what the read brings is what is painted.
        self.dirty |= !matches!(input, Input::Changed | Input::Timer(Timer::Cool(_)));
        for effect in update(&mut self.model, input) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Read { slot, seq, query } => self.reads.ask(slot, seq, query),
            Effect::Timer(timer, after) => {
                if let Timer::Arm(_) = timer {
                    self.urgent = true;
                    self.after_frame.push((timer, after));
                } else {
                    self.timers.push((Instant::now() + after, timer));
                }
            }
            Effect::Preview { dialog, action } => {
                let client = self.client.clone();
                self.spawn(async move {
                    let result = client.preview(action).await.map_err(|refused| refused.text);
                    Input::Previewed { dialog, result }
                });
            }
            Effect::Submit {
                dialog,
                action,
                preview,
            } => {
                let client = self.client.clone();
                self.spawn(async move {
                    let result = match pinned(action, &preview) {
                        Ok(submission) => client.submit(submission).await,
                        Err(refused) => Err(refused),
                    };
                    let result = result.map_err(|refused| refused.text);
                    Input::Submitted { dialog, result }
                });
            }
            Effect::ReadRunbook(file) => {
                self.spawn(async move {
                    let wanted = file.clone();
                    let read = tokio::task::spawn_blocking(move || crate::runbook::load(&wanted));
                    let result = match read.await {
                        Ok(Ok(runbook)) => Ok(Arc::new(runbook)),
                        Ok(Err(error)) => Err(error.to_string()),
                        Err(_) => Err("the runbook could not be read".to_owned()),
                    };
                    Input::RunbookRead { file, result }
                });
            }
            Effect::Copy(text) => {
                // A terminal that cannot is left alone: the id is on the screen all the same.
                let _ = self.painter.aside(&term::clipboard(&text));
            }
            Effect::Bell => {
                // A terminal that cannot is left alone: the banner says it.
                let _ = self.painter.aside(b"\x07");
            }
            Effect::Repaint => self.painter.forget(),
            Effect::Doing(text) => self.client.doing(&text),
            Effect::Suspend => self.suspend(),
            Effect::Leave(exit) => self.exit = Some(exit),
        }
    }

    fn spawn(&self, answer: impl Future<Output = Input> + Send + 'static) {
        let tx = self.to_loop.clone();
        self.handle.spawn(async move {
            let _ = tx.send(Message::Input(Box::new(answer.await)));
        });
    }

    /// Stops this process, and what the shell runs together with it, as Ctrl-Z does elsewhere; goes on here when the
    /// shell continues it.
    fn suspend(&mut self) {
        while self.continued.try_recv().is_ok() {}
        term::restore();
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
        // The signal may be taken by another thread, a moment later: until then the terminal is the shell's already.
        // Where nobody could continue us, the system stops nobody, and the time runs out.
        let _ = self.continued.recv_timeout(STOPPED);
        self.take_back();
    }

    /// Takes the terminal again after the shell has had it, which left it in its own modes.
    fn take_back(&mut self) {
        term::restore();
        let taken = loop {
            match term::enter() {
                // Stopped once more, for touching the terminal from the background.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        if taken.is_err() {
            self.exit = Some(Exit::HangUp);
        }
        self.taken = Instant::now();
        self.painter.forget();
        self.resized();
        self.feed(Input::Changed);
        self.dirty = true;
        self.urgent = true;
    }

    fn paint_if_due(&mut self) -> anyhow::Result<()> {
        if !self.dirty || !(self.urgent || self.painted.elapsed() >= self.frame_time()) {
            return Ok(());
        }
        let (width, height) = self.model.size;
        let mut frame = Buffer::empty(Rect::new(0, 0, width, height));
        let cursor = views::draw(&self.model, &mut frame);
        match self.painter.paint(&frame, cursor) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                self.exit = Some(Exit::HangUp);
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                // Someone has made the terminal non-blocking: try again with the next frame.
                self.painter.forget();
            }
            Err(error) => return Err(error).context("cannot write to the terminal"),
        }
        self.dirty = false;
        self.urgent = false;
        self.painted = Instant::now();
        for (timer, after) in self.after_frame.drain(..) {
            self.timers.push((self.painted + after, timer));
        }
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.gate.closed.store(true, Ordering::SeqCst);
        self.reads.close();
    }
}
