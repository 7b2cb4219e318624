//! Screen 6: reconciliation jobs and their drift; and the differences of a run.

use std::time::Duration;

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::spark;
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use super::replays::progress;
use crate::config::model::Job;
use crate::store::view::{DifferenceKind, RunRow, Severity};
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
const DETAIL: usize = 8;

fn detail_rows(height: usize) -> usize {
    if height >= 14 { DETAIL } else { 0 }
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
                    "{} against {}, {}, grace {}, owner {}",
                    job.called()[1],
                    job.called()[0],
                    job.timing,
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
                    format!("warn {}, critical {}", limits.warn, limits.critical)
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
    for (offset, pieces) in lines.iter().enumerate().take(area.height.into()) {
        pen.pieces(area.x, area.y + offset as u16, area.width, pieces);
    }
}

const DIFFERENCES: &[Column] = &[
    flex("key", 10, 20, 99),
    flex("what", 12, 22, 95),
    flex("field", 8, 14, 80),
    flex("first", 10, 80, 90),
    flex("second", 10, 80, 91),
];

/// Draws the differences of the run.
pub(super) fn draw_differences(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let run = model.runs.iter().find(|run| Some(run.id) == model.run);
    let job = run.and_then(|run| {
        model
            .config
            .reconcile
            .iter()
            .find(|job| job.name == run.job)
    });
    let sides = job.map_or(["first", "second"].map(str::to_owned), |job| {
        job.called().map(str::to_owned)
    });
    if let Some(run) = run {
        let zone = model.config.site.timezone;
        let heading = format!(
            "{} of {}: {} shown",
            run.job,
            watch::when(run.started, model.now, zone),
            model.differences.len()
        );
        pen.text(area.x + 1, area.y, area.width, &heading, Role::Title);
        let sides = format!("first is {}, second is {}", sides[0], sides[1]);
        if area.height > 1 {
            pen.text(area.x + 1, area.y + 1, area.width, &sides, Role::Dim);
        }
    }
    let area = Rect::new(
        area.x,
        area.y + area.height.min(2),
        area.width,
        area.height.saturating_sub(2),
    );
    let height = usize::from(area.height.saturating_sub(1));
    let none = model.theme.glyph("–", "-");
    let value = |text: &Option<String>| match text {
        Some(text) => (text.clone(), Role::Text),
        None => (none.to_owned(), Role::Dim),
    };
    let rows: Vec<Row> = super::window(&model.differences, model.difference.top, height)
        .map(|(index, row)| {
            let (word, role) = match row.kind {
                DifferenceKind::OnlyFirst => (format!("missing in {}", sides[1]), Role::Bad),
                DifferenceKind::OnlySecond => (format!("missing in {}", sides[0]), Role::Bad),
                DifferenceKind::Field => ("differs".to_owned(), Role::Warn),
                DifferenceKind::Duplicate => ("more than once".to_owned(), Role::Warn),
                other => (other.word().to_owned(), Role::Warn),
            };
            Row {
                cells: vec![
                    (row.key.clone(), Role::Title),
                    (word, role),
                    (row.field.clone().unwrap_or_default(), Role::Text),
                    value(&row.first),
                    value(&row.second),
                ],
                selected: index == model.difference.index,
                marked: false,
            }
        })
        .collect();
    table::draw(pen, area, DIFFERENCES, &rows);
    let inner = Rect::new(
        area.x,
        area.y + area.height.min(1),
        area.width,
        area.height.saturating_sub(1),
    );
    if rows.is_empty() {
        super::empty(model, pen, inner, Slot::Differences, "no differences");
    }
    pen.scrollbar(inner, model.difference.top, model.differences.len());
}
