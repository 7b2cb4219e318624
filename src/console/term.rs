//! The terminal's modes: taken at the start, given back on every way out.
//!
//! One idempotent [`restore`] serves exit, error, panic, TERM and HUP. Nothing here, or anywhere in the console, asks
//! the terminal a question: an answer would race with the keys, and none may ever come.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, mpsc};
use std::time::Duration;

/// Alternate screen, bracketed paste.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?2004h\x1b[?25l";
/// End of a synchronized update, pen and scroll region as at first, cursor shown, no bracketed paste, main screen.
const LEAVE: &[u8] = b"\x1b[?2026l\x1b[m\x1b[r\x1b[?25h\x1b[?2004l\x1b[?1049l";
/// A terminal that takes no bytes (flow control, a dead line) must not keep the process from ending.
const PATIENCE: Duration = Duration::from_millis(300);

static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// Raw mode, alternate screen, bracketed paste; from now on a panic restores the terminal before its message.
pub fn enter() -> io::Result<()> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
    crossterm::terminal::enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    Tty.write_all(ENTER)
}

/// The terminal as a place to write to: past `Stdout`'s lock and its line buffer, and silent once it was given back.
#[derive(Debug, Clone, Copy)]
pub struct Tty;

impl Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !TAKEN.load(Ordering::SeqCst) {
            return Ok(bytes.len());
        }
        // Small enough that giving the terminal back never waits for a whole frame.
        let piece = &bytes[..bytes.len().min(4096)];
        Ok(rustix::io::write(io::stdout(), piece)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the terminal back as it was. Harmless when called twice, from anywhere, and without a terminal.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // The modes of the line first: that never waits for the terminal to read.
    let _ = crossterm::terminal::disable_raw_mode();
    let (done, waiting) = mpsc::channel();
    let writer = std::thread::Builder::new().spawn(move || {
        let written = rustix::io::write(io::stdout(), LEAVE);
        let _ = done.send(written.is_ok());
    });
    if writer.is_ok() {
        let _ = waiting.recv_timeout(PATIENCE);
    }
}

/// Restores when dropped.
#[derive(Debug)]
pub struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Columns and rows; 80x24 where the terminal does not say.
pub fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

/// The bytes that put `text` on the clipboard of the terminal that the operator sits at (OSC 52).
///
/// `text` is one of our own ids: what goes to a clipboard is pasted into shells.
pub fn clipboard(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    format!(
        "\x1b]52;c;{}\x07",
        base64::engine::general_purpose::STANDARD.encode(text)
    )
    .into_bytes()
}
