//! The real binary as a child process, and what the kernel says of it (Linux).

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The binary under measurement.
pub const BINARY: &str = env!("CARGO_BIN_EXE_midwatch");

/// A `midwatch worker` of a configuration file; ends with the value.
pub struct Worker {
    child: Child,
    /// Where its front door listens.
    pub address: SocketAddr,
}

impl Worker {
    /// Starts it and waits until it says that it listens.
    pub fn start(config: &Path) -> Self {
        let mut child = Command::new(BINARY)
            .arg("--config")
            .arg(config)
            .arg("worker")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the worker");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("a line");
        let address = line
            .split("listening on ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        Self { child, address }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to drain and waits for its end.
    pub fn stop(mut self) {
        terminate(self.pid());
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait().expect("its end").is_none() {
            assert!(Instant::now() < deadline, "the worker does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Already gone after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends SIGTERM.
pub fn terminate(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::TERM).expect("a signal");
}

/// A figure of `/proc/PID/status` in megabytes: `VmRSS` now, `VmHWM` at most so far.
pub fn megabytes(pid: u32, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let kilobytes: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))
        .and_then(|text| text.trim().trim_end_matches("kB").trim().parse().ok())
        .unwrap_or_else(|| panic!("no {what} in {status}"));
    kilobytes / 1024.0
}

/// Processor time of all its living threads so far, in seconds, to the nanosecond.
pub fn cpu_seconds(pid: u32) -> f64 {
    let folder = PathBuf::from(format!("/proc/{pid}/task"));
    let threads = std::fs::read_dir(folder).expect("its threads");
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e9
}

/// Percent of one core that it uses over `span`.
pub fn cpu_percent(pid: u32, span: Duration) -> f64 {
    let (start, before) = (Instant::now(), cpu_seconds(pid));
    std::thread::sleep(span);
    (cpu_seconds(pid) - before) * 100.0 / start.elapsed().as_secs_f64()
}
