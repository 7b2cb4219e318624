//! Screen 1: one sentence, what is wrong now, and every path.

use ratatui::layout::Rect;

use super::super::model::{Model, OverviewId};
use super::super::spark;
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use crate::store::view::{Breaker, Overview, PathRow, Severity};
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("path", 9, 26, 99),
    fixed("state", 10, 98),
    number("in/m", 5, 60),
    number("out/m", 5, 61),
    number("fail", 5, 90),
    number("wait", 6, 97),
    number("due for", 7, 80),
    number("p50", 5, 30),
    number("p95", 5, 70),
    number("p99", 5, 40),
    fixed("breaker", 9, 35),
    number("dead", 5, 75),
    flex("last hour", 10, 60, 45),
];

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let Some(overview) = model.overview.clone() else {
        super::empty(
            model,
            pen,
            area,
            crate::console::model::Slot::Overview,
            "nothing is known yet",
        );
        return;
    };
    let mut area = area;
    let sentence = watch::summary(&overview, &model.config);
    let lines = widgets::wrap(&sentence, usize::from(area.width.saturating_sub(2)));
    let keep = if area.height >= 10 { 3 } else { 1 };
    for line in lines.iter().take(keep) {
        pen.text(
            area.x + 1,
            area.y,
            area.width.saturating_sub(2),
            line,
            Role::Title,
        );
        area = below(area, 1);
    }
    if area.height >= 12 {
        area = below(area, 1);
    }
    let paths = overview.paths.len();
    let troubles = model.troubles.len();
    // The paths get at least a third of what is left; what is wrong gets what it needs of the rest.
    let least = (paths + 1)
        .min(usize::from(area.height) / 3)
        .max(usize::from(area.height > 3) * 2);
    let room = usize::from(area.height).saturating_sub(least + 1);
    let shown = troubles.min(room);
    if troubles == 0 {
        if area.height >= 6 {
            let quiet = "Nothing is wrong that midwatch knows of.";
            pen.text(area.x + 1, area.y, area.width, quiet, Role::Good);
            area = below(area, 2);
        }
    } else if shown > 0 {
        let heading = "Wrong now, worst first";
        pen.text(area.x + 1, area.y, area.width, heading, Role::Dim);
        let chosen = model.chosen.index;
        let top = if chosen < troubles {
            (chosen + 1).saturating_sub(shown)
        } else {
            0
        };
        // Where rows are left over, the worst get a second one for what does not fit into theirs.
        let mut spare = room - shown;
        let mut y = area.y + 1;
        for index in (top..troubles).take(shown) {
            let wants = trouble_lines(model, area.width, index).len().clamp(1, 2);
            let rows = if wants > 1 && spare > 0 { 2 } else { 1 };
            spare -= rows - 1;
            trouble(
                model,
                pen,
                Rect::new(area.x, y, area.width, rows as u16),
                index,
            );
            y += rows as u16;
        }
        let used = y - area.y;
        if troubles > shown {
            let more = format!("{} of {troubles}", shown.min(troubles));
            pen.right(
                area.x,
                area.y,
                area.width.saturating_sub(1),
                &more,
                Role::Dim,
            );
        }
        area = below(area, used);
        if usize::from(area.height) > paths + 1 {
            area = below(area, 1);
        }
    }
    let table = Rect::new(
        area.x,
        area.y,
        area.width,
        area.height.min(paths.max(1) as u16 + 1),
    );
    path_table(model, pen, table, &overview, troubles);
    lately(model, pen, below(area, table.height + 1), &overview);
}

/// The newest lines of the log, where there is room.
fn lately(model: &Model, pen: &mut Pen<'_>, area: Rect, overview: &Overview) {
    if area.height < 3 || overview.log.is_empty() {
        return;
    }
    pen.text(area.x + 1, area.y, area.width, "Lately", Role::Dim);
    let zone = model.config.site.timezone;
    let lines = usize::from(area.height - 1).min(12);
    for (offset, row) in overview.log.iter().take(lines).enumerate() {
        let (glyph, _, role) = model.theme.severity(row.severity);
        let mut pieces = vec![
            (
                format!(" {} ", watch::when(row.at, overview.at, zone)),
                Role::Dim,
            ),
            (format!("{glyph} "), role),
        ];
        if let Some(path) = &row.path {
            pieces.push((format!("{path}: "), Role::Text));
        }
        pieces.push((row.text.clone(), Role::Dim));
        let y = area.y + 1 + offset as u16;
        pen.pieces(area.x, y, area.width.saturating_sub(1), &pieces);
    }
}

fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect::new(area.x, area.y + rows, area.width, area.height - rows)
}

/// The cells before a trouble's words.
fn indent(width: u16) -> u16 {
    if width >= 60 { 12 } else { 3 }
}

fn trouble_lines(model: &Model, width: u16, index: usize) -> Vec<String> {
    let room = width.saturating_sub(1 + indent(width));
    widgets::wrap(&model.troubles[index].words, usize::from(room))
}

fn trouble(model: &Model, pen: &mut Pen<'_>, area: Rect, index: usize) {
    let trouble = &model.troubles[index];
    let selected = model.chosen.index == index;
    let (glyph, word, role) = model.theme.severity(trouble.severity);
    let mark = if selected {
        pen.theme.glyph("›", ">")
    } else {
        " "
    };
    let mut pieces = vec![(mark.to_owned(), Role::Accent)];
    let word = if area.width >= 60 {
        format!("{glyph} {word:<9}")
    } else {
        format!("{glyph} ")
    };
    pieces.push((word, role));
    let role = if trouble.severity == Severity::Info {
        Role::Dim
    } else {
        Role::Text
    };
    let indent = indent(area.width);
    let lines = trouble_lines(model, area.width, index);
    let second = area.height > 1 && lines.len() > 1;
    pieces.push(if second {
        (lines[0].clone(), role)
    } else {
        (trouble.words.clone(), role)
    });
    pen.pieces(area.x, area.y, area.width.saturating_sub(1), &pieces);
    if second {
        let rest = lines[1..].join(" ");
        let room = area.width.saturating_sub(1 + indent);
        pen.text(area.x + indent, area.y + 1, room, &rest, role);
    }
    if selected {
        pen.over(area.intersection(pen.buffer.area), Role::Selected);
    }
}

fn path_table(model: &Model, pen: &mut Pen<'_>, area: Rect, overview: &Overview, troubles: usize) {
    if area.is_empty() {
        return;
    }
    let height = usize::from(area.height.saturating_sub(1));
    let selected = match &model.chosen.id {
        Some(OverviewId::Path(_)) => model.chosen.index.checked_sub(troubles),
        _ => None,
    };
    let top = selected.map_or(0, |index| (index + 1).saturating_sub(height));
    let width = table::width_of(
        COLUMNS,
        area.width.saturating_sub(2).max(1),
        COLUMNS.len() - 1,
    );
    let rows: Vec<Row> = super::window(&overview.paths, top, height)
        .map(|(index, row)| Row {
            cells: cells(model, overview, row, usize::from(width)),
            selected: selected == Some(index),
            marked: false,
        })
        .collect();
    table::draw(pen, area, COLUMNS, &rows);
    if overview.paths.is_empty() && area.height > 1 {
        let text = "no path is configured yet: see [paths] in midwatch.toml";
        pen.text(area.x + 1, area.y + 1, area.width, text, Role::Dim);
    }
    pen.scrollbar(below(area, 1), top, overview.paths.len());
}

fn cells(
    model: &Model,
    overview: &Overview,
    row: &PathRow,
    spark_width: usize,
) -> Vec<(String, Role)> {
    let path = model.config.path(&row.name);
    let worker = watch::worker_state(&overview.worker, model.now);
    let (glyph, word, role) = model.theme.path_state(watch::path_state(
        row,
        path,
        worker,
        overview.at,
        model.config.site.timezone,
    ));
    let none = || model.theme.glyph("–", "-").to_owned();
    let per_minute = |n: u64| widgets::rate(n as f64 / 5.0);
    let failing = row.failure_percent();
    let fail_role = match failing {
        Some(percent) if percent >= 50.0 => Role::Bad,
        Some(percent) if percent > 0.0 => Role::Warn,
        Some(_) => Role::Text,
        None => Role::Dim,
    };
    let quantile = |value: Option<u64>| match value {
        Some(ms) => (widgets::millis(ms), Role::Text),
        None => (none(), Role::Dim),
    };
    let backlog = row.counts.backlog();
    let overdue = row.oldest_due.filter(|due| *due < overview.at);
    let breaker_role = match row.breaker {
        Breaker::Closed => Role::Dim,
        Breaker::Open { .. } => Role::Bad,
        Breaker::HalfOpen { .. } => Role::Warn,
    };
    let zero = |n: u64, role: Role| {
        if n == 0 {
            (none(), Role::Dim)
        } else {
            (widgets::count(n), role)
        }
    };
    vec![
        (row.name.clone(), Role::Title),
        (format!("{glyph} {word}"), role),
        (per_minute(row.recent.accepted), Role::Text),
        (per_minute(row.recent.delivered), Role::Text),
        (
            failing.map_or_else(none, |percent| format!("{percent:.0}%")),
            fail_role,
        ),
        zero(backlog, Role::Text),
        (
            overdue.map_or_else(none, |due| widgets::age(overview.at.since(due))),
            if overdue.is_some() {
                Role::Warn
            } else {
                Role::Dim
            },
        ),
        quantile(row.latency.p50),
        quantile(row.latency.p95),
        quantile(row.latency.p99),
        (row.breaker.word().to_owned(), breaker_role),
        zero(row.counts.dead, Role::Bad),
        (spark_of(model, row, spark_width), Role::Busy),
    ]
}

/// Accepted by minute; with low bandwidth the running minute is left out, so that it changes once a minute only.
fn spark_of(model: &Model, row: &PathRow, width: usize) -> String {
    let minutes = match row.minutes.split_last() {
        Some((_, whole)) if model.low_bandwidth => whole,
        _ => &row.minutes[..],
    };
    let values: Vec<Option<u64>> = minutes.iter().map(|slot| Some(slot.accepted)).collect();
    spark::spark(&values, width, None, model.theme.ascii)
}
