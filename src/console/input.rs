//! The input thread: keys and pastes from the terminal to the console's loop.
//!
//! It asks the descriptor itself for a hang-up before it lets crossterm read: after a terminal has gone, crossterm's
//! own poll never returns and burns a core. The thread may be outlived by the process; it owns nothing.
//!
//! crossterm is built with `use-dev-tty`: its other source forgets keys that arrive together with a change of size until
//! another key is pressed (edge-triggered readiness, of which it takes only the first event).

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossterm::event::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::join::Joiner;

/// Keys that nobody has taken yet, at most: what is typed blindly at a stalled screen must not act later.
const AHEAD: usize = 64;

/// How long crossterm may look for what has come already; with no time at all it does not look.
const MOMENT: Duration = Duration::from_micros(200);

/// A loop that takes no key for this long is stalled; a burst of repeats that it is only busy with is not lost.
const STALL: Duration = Duration::from_millis(250);

/// What the thread reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromTerminal {
    /// A key, a paste or a resize.
    Event(Event),
    /// The terminal is gone; the last report.
    HangUp,
}

/// Shared with the loop that takes the reports.
#[derive(Debug, Default)]
pub struct Gate {
    /// Reports not taken yet.
    pub waiting: AtomicUsize,
    /// The loop has taken nothing for a moment although keys waited.
    pub stalled: AtomicBool,
    /// Reading is to end.
    pub closed: AtomicBool,
}

/// Starts the thread; `report` is called from it, and returns false when nobody listens any more.
pub fn spawn(
    gate: Arc<Gate>,
    report: impl Fn(FromTerminal) -> bool + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new()
        .name("console-input".into())
        .spawn(move || {
            read(&gate, &report);
        })
        .map(|_| ())
}

fn read(gate: &Gate, report: &impl Fn(FromTerminal) -> bool) {
    let stdin = io::stdin();
    let mut joiner = Joiner::default();
    loop {
        if gate.closed.load(Ordering::SeqCst) {
            return;
        }
        // Short enough to notice `closed` and crossterm's own left-overs, long enough to cost nothing.
        let limit = joiner
            .deadline()
            .map_or(Duration::from_millis(500), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
        let ready = wait(rustix::fd::AsFd::as_fd(&stdin), limit);
        if ready == Ready::Gone {
            report(FromTerminal::HangUp);
            return;
        }
        if gate.closed.load(Ordering::SeqCst) {
            return;
        }
        let mut events = joiner.expire(Instant::now());
        // One wake-up can hold many keys; crossterm keeps those it has parsed already.
        while let Ok(true) = crossterm::event::poll(MOMENT) {
            match crossterm::event::read() {
                Ok(event) => events.extend(joiner.feed(event, Instant::now())),
                Err(_) => break,
            }
            if wait(rustix::fd::AsFd::as_fd(&stdin), Duration::ZERO) == Ready::Gone {
                break;
            }
        }
        for event in events {
            if matches!(event, Event::Key(_)) && !has_room(gate) {
                continue;
            }
            gate.waiting.fetch_add(1, Ordering::SeqCst);
            if !report(FromTerminal::Event(event)) {
                return;
            }
        }
    }
}

/// Whether one more key may wait. A loop that is only busy is given a moment; one that is stalled is not.
fn has_room(gate: &Gate) -> bool {
    let full = || gate.waiting.load(Ordering::SeqCst) >= AHEAD;
    if full() && !gate.stalled.load(Ordering::SeqCst) {
        let until = Instant::now() + STALL;
        while full() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let full = full();
    gate.stalled.store(full, Ordering::SeqCst);
    !full
}

#[derive(Debug, PartialEq, Eq)]
enum Ready {
    Input,
    Nothing,
    Gone,
}

fn wait(fd: BorrowedFd<'_>, limit: Duration) -> Ready {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    match poll(&mut fds, Some(&limit)) {
        Ok(0) | Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ready::Nothing,
        Err(_) => Ready::Gone,
        Ok(_) => {
            let seen = fds[0].revents();
            if seen.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                Ready::Gone
            } else {
                Ready::Input
            }
        }
    }
}
