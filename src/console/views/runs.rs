//! The runs of a job: their drift as a chart with its limits, and run by run why it ran and what it found.

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use super::reconcile::{missing, percent, state};
use crate::config::model::Job;
use crate::store::view::RunRow;
use crate::time::short;
use crate::watch;

const COLUMNS: &[Column] = &[
    number("run", 5, 90),
    flex("began", 5, 16, 97),
    flex("took", 4, 8, 40),
    fixed("state", 11, 98),
    flex("why", 15, 24, 60),
    number("compared", 8, 28),
    number("drift", 6, 99),
    flex("missing", 10, 40, 70),
    number("differ", 6, 75),
    flex("apart", 8, 28, 50),
    number("plan", 4, 85),
    flex("note", 16, 200, 30),
];

/// Lines of the chart.
fn chart_rows(height: u16) -> usize {
    match height {
        0..18 => 0,
        18..30 => 6,
        30..50 => 10,
        _ => 14,
    }
}

/// Lines of the body that are not rows of the list: the heading, the chart, the columns' names, the selected run's note.
pub(super) fn above(model: &Model) -> usize {
    5 + chart_rows(model.size.1)
}

/// Why a run ran, in words.
pub(super) fn why(run: &RunRow) -> &str {
    match run.why.as_str() {
        "schedule" => "by schedule",
        "asked" => "asked for",
        "outage" => "after an outage",
        "silence" => "after a silence",
        "again" => "tried again",
        other => other,
    }
}

/// The money that differs, by currency.
pub(super) fn money(run: &RunRow) -> String {
    let sums = run.money.iter();
    let parts: Vec<String> = sums
        .map(|(code, amount)| format!("{amount} {code}"))
        .collect();
    parts.join(", ")
}

fn cells(model: &Model, job: Option<&Job>, run: &RunRow) -> Vec<(String, Role)> {
    let zone = model.config.site.timezone;
    let (glyph, word, role) = state(model, Some(run));
    let took = run.ended.map(|ended| short(ended.since(run.started)));
    let words = [run.error.as_ref(), run.note.as_ref()];
    let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
    vec![
        (run.id.to_string(), Role::Title),
        (watch::when(run.started, model.now, zone), Role::Text),
        (took.unwrap_or_default(), Role::Dim),
        (format!("{glyph} {word}"), role),
        (why(run).to_owned(), Role::Dim),
        (widgets::count(run.compared), Role::Text),
        (run.drift.map_or_else(|| "?".to_owned(), percent), role),
        (
            job.map_or_else(String::new, |job| missing(job, run)),
            Role::Text,
        ),
        (widgets::count(run.differing), Role::Text),
        (money(run), Role::Text),
        (
            run.plan.map_or_else(String::new, |plan| plan.to_string()),
            Role::Accent,
        ),
        (words.join("; "), Role::Dim),
    ]
}

/// Draws the runs.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let name = model.recon.job.as_deref().unwrap_or_default();
    let job = model.config.reconcile.iter().find(|job| job.name == name);
    let runs = model.past_runs();
    let limits = job.and_then(Job::records).map_or_else(String::new, |of| {
        let limits = &of.thresholds;
        format!(
            " against warn {}, critical {}",
            limits.warn, limits.critical
        )
    });
    let heading = [
        (format!(" {name} "), Role::Title),
        (
            format!("drift of its runs{limits}; newest right"),
            Role::Dim,
        ),
    ];
    pen.pieces(area.x, area.y, area.width, &heading);
    let high = chart_rows(model.size.1);
    let ended: Vec<&RunRow> = (runs.iter().copied())
        .filter(|run| run.ended.is_some())
        .collect();
    let size = (usize::from(area.width.saturating_sub(2)), high);
    let shares = job.and_then(Job::shares);
    let chart = super::drift::chart(&ended, shares, size, model.theme.ascii);
    let lines = chart.iter().take(area.height.saturating_sub(1).into());
    for (offset, pieces) in lines.enumerate() {
        pen.pieces(area.x, area.y + 1 + offset as u16, area.width, pieces);
    }
    let top = (1 + high as u16).min(area.height);
    let detail = 3.min(area.height - top);
    let list = Rect::new(area.x, area.y + top, area.width, area.height - top - detail);
    let height = usize::from(list.height.saturating_sub(1));
    let past = &model.recon.past;
    let rows: Vec<Row> = super::window(&runs, past.top, height)
        .map(|(index, run)| Row {
            cells: cells(model, job, run),
            selected: index == past.index,
            marked: false,
        })
        .collect();
    table::draw(pen, list, &table::snug(COLUMNS, &rows), &rows);
    let inner = Rect::new(
        list.x,
        list.y + list.height.min(1),
        list.width,
        list.height.saturating_sub(1),
    );
    if rows.is_empty() {
        super::empty(model, pen, inner, Slot::Runs, "it has not run yet");
    }
    pen.scrollbar(inner, past.top, runs.len());
    if let Some(run) = runs.get(past.index) {
        let below = Rect::new(area.x, list.bottom(), area.width, detail);
        describe(pen, below, run);
    }
}

/// Below the list: all that the selected run has to say.
fn describe(pen: &mut Pen<'_>, area: Rect, run: &RunRow) {
    let mut words = vec![format!(
        "{}; {} in grace, {} in flight, {} gone at the second look",
        why(run),
        run.skipped,
        run.in_flight,
        run.vanished
    )];
    words.extend(run.note.clone());
    let width = usize::from(area.width.saturating_sub(2));
    let (text, role) = match &run.error {
        Some(error) => (error.clone(), Role::Bad),
        None => (words.join("; "), Role::Dim),
    };
    let wrapped = widgets::wrap(&text, width);
    let lines = wrapped.iter().take(area.height.saturating_sub(1).into());
    for (offset, line) in lines.enumerate() {
        let y = area.y + 1 + offset as u16;
        pen.text(area.x + 1, y, area.width.saturating_sub(1), line, role);
    }
}
