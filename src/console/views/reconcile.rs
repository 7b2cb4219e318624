//! Screen 6: reconciliation jobs, their drift against their limits, what is under way and what waits for somebody.

use std::time::Duration;

use ratatui::layout::Rect;

use super::super::model::Model;
use super::super::spark;
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use super::replays::progress;
use crate::config::model::{Job, Timing};
use crate::store::view::{PlanState, RunRow, Severity, SideRow};
use crate::time::short;
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("job", 9, 24, 99),
    fixed("state", 11, 98),
    flex("last run", 8, 16, 85),
    flex("compared", 11, 16, 40),
    flex("missing", 14, 34, 70),
    number("differ", 6, 75),
    number("drift", 6, 95),
    flex("against the limits", 12, 24, 50),
    flex("runs, newest last", 12, 40, 30),
];
const BAR: usize = 7;
const RUNS: usize = 8;

/// Lines below the table that describe the selected job.
const DETAIL: usize = 10;
/// Lines of the chart below them, where there is room.
const CHART: usize = 8;

fn detail_rows(height: usize) -> usize {
    match height {
        0..16 => 0,
        16..36 => DETAIL,
        _ => DETAIL + CHART + 2,
    }
}

/// Lines of the body that are not rows of the table.
pub(super) fn above(model: &Model) -> usize {
    1 + detail_rows(usize::from(model.size.1))
}

/// How a job is, in glyph, word and role.
fn state(model: &Model, run: Option<&RunRow>) -> (&'static str, &'static str, Role) {
    let (unicode, ascii, word, role) = match run {
        None => ("○", "o", "not yet", Role::Dim),
        Some(run) if run.ended.is_none() => ("▶", ">", "running", Role::Busy),
        Some(run) if run.error.is_some() => ("✖", "X", "failed", Role::Bad),
        Some(run) => match run.level {
            None => ("?", "?", "unknown", Role::Warn),
            Some(Severity::Critical) => ("✖", "X", "critical", Role::Bad),
            Some(Severity::Warning) => ("▲", "!", "drifting", Role::Warn),
            Some(Severity::Info) if run.drift.is_some_and(|drift| drift > 0.0) => {
                ("●", "*", "in limits", Role::Good)
            }
            Some(Severity::Info) => ("●", "*", "ok", Role::Good),
        },
    };
    (model.theme.glyph(unicode, ascii), word, role)
}

/// Draws the jobs.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let jobs = &model.config.reconcile;
    if jobs.is_empty() {
        let text = "no reconciliation job is configured: see [reconcile] in midwatch.toml";
        for (offset, line) in widgets::wrap(text, usize::from(area.width.saturating_sub(2)))
            .iter()
            .enumerate()
            .take(area.height.into())
        {
            pen.text(
                area.x + 1,
                area.y + offset as u16,
                area.width,
                line,
                Role::Dim,
            );
        }
        return;
    }
    let detail = detail_rows(usize::from(model.size.1)).min(area.height.into()) as u16;
    let list = Rect::new(area.x, area.y, area.width, area.height - detail);
    let inner = list.width.saturating_sub(2).max(1);
    let bar = usize::from(table::width_of(COLUMNS, inner, BAR));
    let runs = usize::from(table::width_of(COLUMNS, inner, RUNS));
    let height = usize::from(list.height.saturating_sub(1));
    let rows: Vec<Row> = super::window(jobs, model.job.top, height)
        .map(|(index, job)| Row {
            cells: cells(model, job, bar, runs),
            selected: index == model.job.index,
            marked: false,
        })
        .collect();
    table::draw(pen, list, COLUMNS, &rows);
    if detail > 0
        && let Some(job) = jobs.get(model.job.index)
    {
        let below = Rect::new(area.x, list.bottom(), area.width, detail);
        describe(model, pen, below, job);
    }
}

fn runs_of<'a>(model: &'a Model, job: &Job) -> impl Iterator<Item = &'a RunRow> {
    let name = job.name.clone();
    model.runs.iter().filter(move |run| run.job == name)
}

/// The drift of the last runs, newest last; a run that could compare nothing is a gap.
fn drift_line(model: &Model, job: &Job, width: usize) -> String {
    let mut drifts: Vec<Option<u64>> = runs_of(model, job)
        .map(|run| run.drift)
        .take(width.max(1))
        .map(|drift| drift.map(|drift| (drift * 1e6) as u64))
        .collect();
    drifts.reverse();
    spark::spark(&drifts, width, None, model.theme.ascii)
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn cells(model: &Model, job: &Job, bar: usize, width: usize) -> Vec<(String, Role)> {
    let run = runs_of(model, job).next();
    let (glyph, word, role) = state(model, run);
    let number = |f: fn(&RunRow) -> u64| {
        (
            run.map_or_else(String::new, |run| widgets::count(f(run))),
            Role::Text,
        )
    };
    let drift = run.and_then(|run| run.drift);
    let shares = job.shares();
    vec![
        (job.name.clone(), Role::Title),
        (format!("{glyph} {word}"), role),
        (
            run.map_or_else(
                || "never".to_owned(),
                |run| watch::when(run.started, model.now, model.config.site.timezone),
            ),
            Role::Dim,
        ),
        (run.map_or_else(String::new, compared), Role::Text),
        (
            run.map_or_else(String::new, |run| missing(job, run)),
            Role::Text,
        ),
        number(|run| run.differing),
        (drift.map_or_else(|| "?".to_owned(), percent), role),
        (
            (drift.zip(shares)).map_or_else(String::new, |(drift, shares)| {
                let full = full(shares);
                let limits = shares.map(|limit| limit / full);
                gauge(drift / full, limits, bar, model.theme.ascii)
            }),
            role,
        ),
        (drift_line(model, job, width), Role::Busy),
    ]
}

/// The drift at which the bar is full: twice the critical one, so that both thresholds have a place on it.
fn full([_, critical]: [f64; 2]) -> f64 {
    (critical * 2.0).max(1e-9)
}

fn compared(run: &RunRow) -> String {
    let all = run.compared + run.only_first + run.only_second;
    format!(
        "{} of {}",
        widgets::count(run.compared),
        widgets::count(all)
    )
}

/// When the job runs next, in words; nothing where it runs now or has not yet.
fn next(model: &Model, job: &Job, run: Option<&RunRow>) -> String {
    let zone = model.config.site.timezone;
    let Some(run) = run.filter(|run| run.ended.is_some()) else {
        return String::new();
    };
    let at = match &job.timing {
        Timing::Every(every) => Some(run.started + *every),
        Timing::Cron(cron) => cron.next(model.now, zone),
    };
    at.map_or_else(String::new, |at| {
        format!(" (next {})", watch::when(at, model.now, zone))
    })
}

/// What is missing where, by the systems' names.
fn missing(job: &Job, run: &RunRow) -> String {
    let sides = [(1, run.only_first), (0, run.only_second)];
    let parts: Vec<String> = sides
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(side, count)| format!("in {} {}", job.called()[side], widgets::count(count)))
        .collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

/// A bar with the limits marked on it, all as shares of its length.
fn gauge(share: f64, limits: [f64; 2], width: usize, ascii: bool) -> String {
    let mark = if ascii { '|' } else { '│' };
    let mut cells: Vec<char> = progress(share, width, ascii).chars().collect();
    for limit in limits {
        let at = (limit.clamp(0.0, 1.0) * width as f64).round() as usize;
        if let Some(cell) = cells.get_mut(at.min(width.saturating_sub(1))) {
            *cell = mark;
        }
    }
    cells.into_iter().collect()
}

fn describe(model: &Model, pen: &mut Pen<'_>, area: Rect, job: &Job) {
    let run = runs_of(model, job).next();
    let mut lines: Vec<Vec<(String, Role)>> = vec![
        Vec::new(),
        vec![
            (format!(" {} ", job.name), Role::Title),
            (
                format!(
                    "{} against {}, {}{}, grace {}, owner {}",
                    job.called()[1],
                    job.called()[0],
                    job.timing,
                    next(model, job, run),
                    short(
                        job.records()
                            .map_or(Duration::ZERO, |records| records.grace)
                    ),
                    job.owner
                ),
                Role::Dim,
            ),
        ],
        vec![(
            format!(
                " limits: {}",
                (job.records()).map_or_else(String::new, |records| {
                    let limits = &records.thresholds;
                    let repair = records.repair.word();
                    format!(
                        "warn {}, critical {}; repair {repair}",
                        limits.warn, limits.critical
                    )
                })
            ),
            Role::Dim,
        )],
    ];
    let room = usize::from(area.width).saturating_sub(40).min(60);
    if let Some(drift) = run.and_then(|run| run.drift)
        && let Some(shares) = job.shares()
        && room >= 10
    {
        let (_, _, role) = state(model, run);
        let full = full(shares);
        lines.push(vec![
            (format!(" drift {:>6} ", percent(drift)), role),
            (
                gauge(
                    drift / full,
                    shares.map(|limit| limit / full),
                    room,
                    model.theme.ascii,
                ),
                role,
            ),
            (format!(" of {}", percent(full)), Role::Dim),
        ]);
        lines.push(vec![
            (" runs, newest last ".to_owned(), Role::Dim),
            (drift_line(model, job, room), Role::Busy),
        ]);
    }
    match run {
        None => lines.push(vec![(
            " it has not run yet; r runs it now".to_owned(),
            Role::Text,
        )]),
        Some(run) => {
            lines.push(vec![(
                format!(
                    " missing {}; {} differ, {} in grace; compared {}",
                    missing(job, run),
                    run.differing,
                    run.skipped,
                    compared(run),
                ),
                Role::Text,
            )]);
            if run.ended.is_none() {
                let sides: Vec<SideRow> = (model.recon.sides.iter())
                    .filter(|side| side.run == run.id)
                    .cloned()
                    .collect();
                let words = watch::progress(run, &sides, model.now);
                lines.push(vec![(format!(" under way: {words}"), Role::Busy)]);
            }
            let mut words: Vec<String> = (run.money.iter())
                .map(|(code, amount)| format!("{amount} {code} apart"))
                .collect();
            if run.in_flight > 0 {
                words.push(format!("{} in flight", run.in_flight));
            }
            if run.vanished > 0 {
                words.push(format!("{} gone at the second look", run.vanished));
            }
            words.extend(run.note.clone());
            if !words.is_empty() {
                lines.push(vec![(format!(" {}", words.join("; ")), Role::Dim)]);
            }
            if let Some(plan) = model.recon.plan_of(&job.name) {
                let (words, role) = super::plan::standing(model, plan);
                let key = if plan.state == PlanState::Proposed {
                    " (p)"
                } else {
                    ""
                };
                lines.push(vec![
                    (format!(" plan {}: ", plan.id), Role::Title),
                    (format!("{words}{key}"), role),
                ]);
            }
            if !run.complete && run.ended.is_some() {
                lines.push(vec![(
                    " a listing was not whole: nothing is called missing by it".to_owned(),
                    Role::Warn,
                )]);
            }
            if let Some(error) = &run.error {
                lines.push(vec![(format!(" {error}"), Role::Bad)]);
            }
        }
    }
    if usize::from(area.height) > DETAIL {
        lines.resize(DETAIL + 1, Vec::new());
        let runs: Vec<&RunRow> = runs_of(model, job)
            .filter(|run| run.ended.is_some())
            .collect();
        let size = (usize::from(area.width.saturating_sub(2)), CHART);
        lines.extend(super::drift::chart(
            &runs,
            job.shares(),
            size,
            model.theme.ascii,
        ));
    }
    for (offset, pieces) in lines.iter().enumerate().take(area.height.into()) {
        pen.pieces(area.x, area.y + offset as u16, area.width, pieces);
    }
}
