//! What the benches share: pairs of measurements in one run, medians, and a row that stands beside its limit.
//!
//! Absolute figures move with the machine; ratios inside one run do not. So each figure of ours is measured in turn with
//! its control (ours, control, ours, control ...) and the row shows the median of the pairwise ratios.

#![allow(dead_code)] // Each bench uses its own part.

pub mod http;
pub mod process;
pub mod pty;
pub mod rows;

use std::path::Path;
use std::time::{Duration, Instant};

/// Rounds of each pair; `MIDWATCH_BENCH_ROUNDS` overrides.
pub fn rounds() -> usize {
    std::env::var("MIDWATCH_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5)
}

/// The median of some figures.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures `ours` and `control` in turn and prints one row: medians, the median ratio, and whether it holds `limit`.
pub fn pair(
    name: &str,
    unit: &str,
    limit: f64,
    mut ours: impl FnMut() -> f64,
    mut control: impl FnMut() -> f64,
) {
    let (mut left, mut right, mut ratios) = (vec![], vec![], vec![]);
    for _ in 0..rounds() {
        let (ours, control) = (ours(), control());
        left.push(ours);
        right.push(control);
        ratios.push(ours / control);
    }
    let ratio = median(ratios);
    println!(
        "{name:<46} {:>12} {:>12} {unit:<8} ratio {ratio:>5.2}  limit >= {limit:.2}  {}",
        figure(median(left)),
        figure(median(right)),
        if ratio >= limit { "holds" } else { "MISSED" }
    );
}

/// Prints a figure that has an upper limit.
pub fn at_most(name: &str, unit: &str, limit: f64, value: f64) {
    println!(
        "{name:<46} {:>12} {:>12} {unit:<8} {:<12} limit <= {}  {}",
        figure(value),
        "",
        "",
        figure(limit),
        if value <= limit { "holds" } else { "MISSED" }
    );
}

/// Prints a figure without a limit.
pub fn note(name: &str, unit: &str, value: f64) {
    println!("{name:<46} {:>12} {:>12} {unit}", figure(value), "");
}

pub fn header(what: &str) {
    println!("\n{what}\n{:<46} {:>12} {:>12}", "", "ours", "control");
}

fn figure(value: f64) -> String {
    match value {
        v if v >= 100_000.0 => format!("{:.0} k", v / 1000.0),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    }
}

/// Operations per second of `operation`, repeated until `span` is over; it returns how many it did.
pub fn rate(span: Duration, mut operation: impl FnMut() -> usize) -> f64 {
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < span {
        done += operation();
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// The cost of one durable append on this file system, in microseconds.
pub fn fsync_micros(dir: &Path) -> f64 {
    use std::io::Write as _;
    let mut file = std::fs::File::create(dir.join("fsync")).expect("a file");
    let times = (0..200)
        .map(|_| {
            file.write_all(&[0; 4096]).expect("a write");
            let start = Instant::now();
            file.sync_data().expect("a sync");
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    median(times)
}

/// The `q`-quantile of some figures, 0 to 1.
pub fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * q) as usize;
    values
        .get(index.min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// A folder on the file system to measure: `MIDWATCH_BENCH_DIR`, or here.
pub fn folder() -> tempfile::TempDir {
    let parent = std::env::var("MIDWATCH_BENCH_DIR").unwrap_or_else(|_| ".".into());
    tempfile::tempdir_in(parent).expect("a folder")
}

/// A runtime with as many threads of its own.
pub fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Whether a part of a bench runs: `cargo bench --bench delivery -- drain` runs those parts whose name holds a word given.
pub fn wanted(part: &str) -> bool {
    let mut words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .peekable();
    words.peek().is_none() || words.any(|word| part.contains(&word))
}
