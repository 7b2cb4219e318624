//! What the benches share: pairs of measurements in one run, medians, and a row that stands beside its limit.
//!
//! Absolute figures move with the machine; ratios inside one run do not. So each figure of ours is measured in turn with
//! its control (ours, control, ours, control ...) and the row shows the median of the pairwise ratios.

#![allow(dead_code)] // Each bench uses its own part.

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
