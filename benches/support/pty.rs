//! The real console in a pseudo-terminal: what it writes, when, and what a terminal would show of it.

use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::process::BINARY;

/// Ends each frame of the console: the end of a synchronized update.
const END: &[u8] = b"\x1b[?2026l";
/// Nothing takes longer than this.
const DEADLINE: Duration = Duration::from_secs(30);

/// A console on a terminal of its own; ends with the value.
pub struct Console {
    child: Box<dyn Child + Send + Sync>,
    /// Closing it hangs up.
    _master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    chunks: Receiver<(Instant, Vec<u8>)>,
    slow: Arc<AtomicBool>,
    screen: vt100::Parser,
    begun: Instant,
    /// Everything up to the first frame with content.
    pub opening: Vec<u8>,
}

/// The answer to a key.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// From the key to its last byte.
    pub after: Duration,
    pub bytes: usize,
}

impl Console {
    /// Starts it; `size` is columns and rows.
    pub fn start(config: &Path, size: (u16, u16), options: &[&str]) -> Self {
        let (cols, rows) = size;
        let pty = native_pty_system()
            .openpty(PtySize {
                rows,
                cols,
                pixel_width: 0,
                pixel_height: 0,
            })
            .expect("a terminal");
        let mut command = CommandBuilder::new(BINARY);
        command.arg("--config");
        command.arg(config);
        command.args(options);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        command.env_remove("COLORTERM");
        let begun = Instant::now();
        let child = pty.slave.spawn_command(command).expect("the console");
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().expect("its output");
        let writer = pty.master.take_writer().expect("its keyboard");
        let slow = Arc::new(AtomicBool::new(false));
        let (tx, chunks) = mpsc::channel();
        let slowly = Arc::clone(&slow);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let most = if slowly.load(Ordering::Relaxed) {
                    // 1 KB/s.
                    std::thread::sleep(Duration::from_millis(100));
                    100
                } else {
                    buffer.len()
                };
                match reader.read(&mut buffer[..most]) {
                    Ok(read) if read > 0 => {
                        if tx.send((Instant::now(), buffer[..read].to_vec())).is_err() {
                            return;
                        }
                    }
                    _ => return,
                }
            }
        });
        let cells = |n: u16| std::num::NonZero::new(n).expect("a size");
        Self {
            child,
            _master: pty.master,
            writer,
            chunks,
            slow,
            screen: vt100::Parser::new(cells(rows), cells(cols), 0),
            begun,
            opening: Vec::new(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("a process")
    }

    /// From now on the terminal takes 1 KB/s.
    pub fn slow_down(&self) {
        self.slow.store(true, Ordering::Relaxed);
    }

    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    fn next(&mut self, until: Instant) -> Option<(Instant, Vec<u8>)> {
        let wait = until.saturating_duration_since(Instant::now());
        match self.chunks.recv_timeout(wait) {
            Ok((at, bytes)) => {
                self.screen.process(&bytes);
                Some((at, bytes))
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the console ended: {}", self.text()),
        }
    }

    /// Waits until `wanted` is on the screen; how long after the start.
    pub fn shows(&mut self, wanted: &str) -> Duration {
        let deadline = Instant::now() + DEADLINE;
        let mut last = Instant::now();
        while !self.text().contains(wanted) {
            let Some((at, bytes)) = self.next(deadline) else {
                panic!("no {wanted:?} on the screen:\n{}", self.text());
            };
            self.opening.extend_from_slice(&bytes);
            last = at;
        }
        last - self.begun
    }

    /// Bytes that come within `span`.
    pub fn listen(&mut self, span: Duration) -> usize {
        let until = Instant::now() + span;
        let mut bytes = 0;
        while let Some((_, more)) = self.next(until) {
            bytes += more.len();
        }
        bytes
    }

    /// Presses a key and takes the frame that answers it; then waits a little, so that the next key stands alone.
    pub fn press(&mut self, key: &str) -> Frame {
        self.listen(Duration::from_millis(20));
        let start = Instant::now();
        self.writer.write_all(key.as_bytes()).expect("a key");
        let mut frame = Vec::new();
        let mut after = Duration::ZERO;
        while !frame.windows(END.len()).any(|window| window == END) {
            let Some((at, bytes)) = self.next(start + DEADLINE) else {
                panic!("no answer to {key:?}:\n{}", self.text());
            };
            frame.extend_from_slice(&bytes);
            after = at - start;
        }
        Frame {
            after,
            bytes: frame.len(),
        }
    }

    /// Presses keys without waiting for answers, which need not come.
    pub fn tap(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).expect("keys");
        self.listen(Duration::from_millis(500));
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many questions to the terminal are in `bytes`: device attributes, reports, colours, modes, keyboard, XTGETTCAP.
pub fn questions(bytes: &[u8]) -> usize {
    [
        &b"\x1b[c"[..],
        b"\x1b[0c",
        b"\x1b[>c",
        b"\x1b[>0c",
        b"\x1b[=c",
        b"\x1b[5n",
        b"\x1b[6n",
        b"\x1b[?6n",
        b"\x1b[?u",
        b"\x1b[>q",
        b"\x1b[>0q",
        b"\x1b[14t",
        b"\x1b[16t",
        b"\x1b[18t",
        b"$p",
        b";?\x07",
        b";?\x1b\\",
        b"\x1bP",
        b"\x1b_G",
    ]
    .iter()
    .map(|question| {
        let found = bytes.windows(question.len());
        found.filter(|window| window == question).count()
    })
    .sum()
}
