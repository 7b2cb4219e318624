//! A terminal of our own: a pty with the real binary on it, read as a person would read it, and byte by byte.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{BINARY, Place, until};

pub const ESC: &str = "\x1b";
pub const ENTER: &str = "\r";

/// Nothing that a key asks for may take longer to be seen.
const SOON: Duration = Duration::from_secs(20);

/// The colour of what acts when a key is pressed now (palette 256).
const ACCENT: vt100::Color = vt100::Color::Idx(80);

struct Shown {
    parser: vt100::Parser,
    raw: Vec<u8>,
    /// The other side is gone.
    ended: bool,
    /// This side is about to go.
    leaving: bool,
}

pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keyboard: Option<Box<dyn Write + Send>>,
    reading: Option<JoinHandle<()>>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

impl Terminal {
    /// Opens the console of `place` at 80x24, as `name`.
    pub fn open(place: &Place, name: &str, arguments: &[&str]) -> Self {
        Self::with(place, name, arguments, (80, 24), &[])
    }

    /// The same, of that size (columns, rows), with further variables.
    pub fn with(
        place: &Place,
        name: &str,
        arguments: &[&str],
        (cols, rows): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Self {
        let size = PtySize {
            cols,
            rows,
            ..PtySize::default()
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(BINARY);
        command.args(["--config", place.config().to_str().unwrap(), "--as", name]);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        for inherited in ["NO_COLOR", "COLORTERM", "NOTIFY_SOCKET", "MIDWATCH_LOG"] {
            command.env_remove(inherited);
        }
        for (variable, value) in variables {
            command.env(variable, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keyboard = pair.master.take_writer().unwrap();
        let shown = Arc::new((
            Mutex::new(Shown {
                parser: vt100::Parser::new(some(rows), some(cols), 0),
                raw: Vec::new(),
                ended: false,
                leaving: false,
            }),
            Condvar::new(),
        ));
        let to_read = Arc::clone(&shown);
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            loop {
                let count = reader.read(&mut bytes).unwrap_or(0);
                let mut shown = to_read.0.lock().unwrap_or_else(PoisonError::into_inner);
                shown.parser.process(&bytes[..count]);
                shown.raw.extend_from_slice(&bytes[..count]);
                shown.ended = count == 0;
                to_read.1.notify_all();
                if count == 0 || shown.leaving {
                    return;
                }
            }
        });
        Self {
            child,
            master: Some(pair.master),
            keyboard: Some(keyboard),
            reading: Some(reading),
            shown,
        }
    }

    pub fn press(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Waits until what is shown satisfies `wanted`.
    pub fn until(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let (lock, changed) = &*self.shown;
        let shown = lock.lock().unwrap();
        let (shown, timeout) = changed
            .wait_timeout_while(shown, SOON, |shown| {
                !wanted(shown.parser.screen()) && !shown.ended
            })
            .unwrap();
        assert!(
            !timeout.timed_out() && wanted(shown.parser.screen()),
            "never seen: {what}\n{}",
            shown.parser.screen().contents()
        );
    }

    /// Waits until all of `texts` are on the screen.
    pub fn sees(&self, texts: &[&str]) {
        self.until(&format!("{texts:?}"), |screen| {
            let contents = screen.contents();
            texts.iter().all(|text| contents.contains(text))
        });
    }

    /// Waits until `text` is no longer on the screen.
    pub fn loses(&self, text: &str) {
        self.until(&format!("no {text:?}"), |screen| {
            !screen.contents().contains(text)
        });
    }

    /// Waits until a dialog with `texts` can be answered (it must have been readable for a moment), and answers.
    pub fn confirms(&mut self, texts: &[&str], marked: &str, key: &str) {
        self.sees(texts);
        self.until(&format!("{marked:?} is lit"), |screen| {
            find(screen, marked).is_some_and(|(row, col)| {
                let cell = screen.cell(row, col);
                cell.is_some_and(|cell| cell.fgcolor() == ACCENT)
            })
        });
        self.press(key);
    }

    pub fn raw(&self) -> Vec<u8> {
        self.shown.0.lock().unwrap().raw.clone()
    }

    /// Changes the size, and waits until everything was painted anew.
    pub fn resize(&self, cols: u16, rows: u16) {
        let before = {
            let mut shown = self.shown.0.lock().unwrap();
            shown.parser.screen_mut().set_size(some(rows), some(cols));
            painted(&shown.raw)
        };
        let size = PtySize {
            cols,
            rows,
            ..PtySize::default()
        };
        self.master.as_ref().unwrap().resize(size).unwrap();
        let (lock, changed) = &*self.shown;
        let shown = lock.lock().unwrap();
        let (shown, timeout) = changed
            .wait_timeout_while(shown, SOON, |shown| {
                painted(&shown.raw) == before && !shown.ended
            })
            .unwrap();
        assert!(
            !timeout.timed_out() && !shown.ended,
            "not painted at {cols}x{rows}"
        );
    }

    /// The line is cut: the terminal is gone.
    pub fn hang_up(&mut self) {
        let (rows, cols) = {
            let mut shown = self.shown.0.lock().unwrap();
            shown.leaving = true;
            size(shown.parser.screen())
        };
        // Who reads holds the terminal too: it gets something to read, and goes.
        let other = PtySize {
            cols: cols - 1,
            rows,
            ..PtySize::default()
        };
        self.master.as_ref().unwrap().resize(other).unwrap();
        self.reading.take().unwrap().join().unwrap();
        self.keyboard = None;
        self.master = None;
    }

    pub fn pid(&self) -> Pid {
        let pid = i32::try_from(self.child.process_id().unwrap()).unwrap();
        Pid::from_raw(pid).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end; returns the exit code and all that was written.
    pub fn ended(mut self) -> (u32, Vec<u8>) {
        let mut code = None;
        until("it ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        let (lock, changed) = &*self.shown;
        let shown = lock.lock().unwrap();
        // What was written last may still be on its way.
        let (shown, _) = changed
            .wait_timeout_while(shown, Duration::from_secs(5), |shown| !shown.ended)
            .unwrap();
        (code.unwrap().exit_code(), shown.raw.clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn some(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

/// Rows and columns.
pub fn size(screen: &vt100::Screen) -> (u16, u16) {
    let (rows, cols) = screen.size();
    (rows.get(), cols.get())
}

/// How many times the whole screen was painted to its end.
fn painted(raw: &[u8]) -> usize {
    let count = |needle: &[u8]| {
        raw.windows(needle.len())
            .filter(|window| *window == needle)
            .count()
    };
    let cleared = count(b"\x1b[2J");
    // A frame that is still on its way does not count.
    let last = raw.windows(4).rposition(|window| window == b"\x1b[2J");
    let ended = last.is_none_or(|at| raw[at..].windows(8).any(|window| window == b"\x1b[?2026l"));
    cleared - usize::from(!ended)
}

/// Where `text` stands: row and column of its first cell.
fn find(screen: &vt100::Screen, text: &str) -> Option<(u16, u16)> {
    let (rows, cols) = size(screen);
    (0..rows).find_map(|row| {
        let cells: Vec<&str> = (0..cols)
            .map(|col| screen.cell(row, col).map_or("", vt100::Cell::contents))
            .map(|cell| if cell.is_empty() { " " } else { cell })
            .collect();
        (0..cols)
            .find(|col| cells[usize::from(*col)..].concat().starts_with(text))
            .map(|col| (row, col))
    })
}
