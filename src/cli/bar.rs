//! One line of progress on the standard error, where that is a terminal. Called by the commands that take long.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// The line is not drawn more often than this.
const OFTEN: Duration = Duration::from_millis(100);
/// Cells of the bar itself.
const BAR: u64 = 24;

/// A line of progress.
pub(super) struct Bar {
    shown: bool,
    /// How much there is; none: nobody knows.
    pub(super) total: Option<u64>,
    /// How much is done.
    pub(super) done: u64,
    drawn: Option<Instant>,
}

impl Bar {
    /// Of so much, if that is known.
    pub(super) fn new(total: Option<u64>) -> Self {
        Self {
            shown: std::io::stderr().is_terminal(),
            total,
            done: 0,
            drawn: None,
        }
    }

    /// Nobody sees it.
    pub(super) fn is_hidden(&self) -> bool {
        !self.shown
    }

    /// Draws it with `words`, unless it was just drawn.
    pub(super) fn draw(&mut self, words: &str) {
        let fresh = self.drawn.is_some_and(|drawn| drawn.elapsed() < OFTEN);
        if !self.shown || fresh {
            return;
        }
        self.drawn = Some(Instant::now());
        let width = crossterm::terminal::size().map_or(80, |(width, _)| usize::from(width));
        let line: String = line(self.done, self.total, words)
            .chars()
            .take(width.saturating_sub(1))
            .collect();
        // A line that cannot be drawn is no reason to stop.
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }

    /// Takes the line away, so that something else can be said.
    pub(super) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(done: u64, total: Option<u64>, words: &str) -> String {
    match total.filter(|total| *total > 0) {
        Some(total) => {
            let full = (done.min(total) * BAR / total) as usize;
            let rest = BAR as usize - full;
            format!("[{}{}] {words}", "#".repeat(full), ".".repeat(rest))
        }
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bar_fills_from_the_left_and_never_overflows() {
        let line = |done, total| super::line(done, total, "x");
        assert_eq!(line(0, Some(10)), format!("[{}] x", ".".repeat(24)));
        assert_eq!(
            line(5, Some(10)),
            format!("[{}{}] x", "#".repeat(12), ".".repeat(12))
        );
        assert_eq!(line(99, Some(10)), format!("[{}] x", "#".repeat(24)));
        assert_eq!(line(7, None), "x");
    }
}
