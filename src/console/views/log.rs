//! Screen 5: what was done and what was noticed, newest first.

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::theme::Role;
use super::super::widgets::Pen;
use super::super::widgets::table::{self, Column, Row, fixed, flex};
use crate::store::view::{LogRow, Severity};

const COLUMNS: &[Column] = &[
    flex("time", 8, 15, 95),
    fixed("", 1, 98),
    flex("what", 8, 12, 80),
    flex("path", 8, 20, 60),
    flex("text", 32, 220, 99),
    flex("delivery", 8, 11, 40),
    flex("who", 8, 28, 70),
];

const PATH: usize = 3;

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let lines: Vec<&LogRow> = model.shown_log().collect();
    let mut pieces = vec![(" actions and notable events".to_owned(), Role::Dim)];
    if !model.log_filter.is_empty() {
        pieces.push(("   with: ".to_owned(), Role::Dim));
        pieces.push((model.log_filter.clone(), Role::Accent));
    }
    if model.log_before.is_some() {
        pieces.push(("   older; g goes to the newest".to_owned(), Role::Warn));
    }
    pen.pieces(area.x, area.y, area.width, &pieces);
    let area = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    let height = usize::from(area.height.saturating_sub(1));
    let own = table::width_of(COLUMNS, area.width.saturating_sub(2).max(1), PATH) > 0;
    let rows: Vec<Row> = super::window(&lines, model.log_line.top, height)
        .map(|(index, row)| Row {
            cells: cells(model, row, own),
            selected: index == model.log_line.index,
            marked: false,
        })
        .collect();
    table::draw(pen, area, COLUMNS, &rows);
    let inner = Rect::new(
        area.x,
        area.y + area.height.min(1),
        area.width,
        area.height.saturating_sub(1),
    );
    if rows.is_empty() {
        super::empty(model, pen, inner, Slot::Log, "nothing here yet");
    }
    pen.scrollbar(inner, model.log_line.top, lines.len());
}

/// Where the path has no column of its own, it begins the text.
fn cells(model: &Model, row: &LogRow, own: bool) -> Vec<(String, Role)> {
    let zone = model.config.site.timezone;
    let (glyph, _, role) = model.theme.severity(row.severity);
    let same_day = row.at.in_zone(zone, "%F") == model.now.in_zone(zone, "%F");
    let time = row
        .at
        .in_zone(zone, if same_day { "%H:%M:%S" } else { "%m-%d %H:%M" });
    let text = if row.severity == Severity::Info {
        Role::Text
    } else {
        role
    };
    vec![
        (time, Role::Dim),
        (glyph.to_owned(), role),
        (row.kind.clone(), Role::Accent),
        (row.path.clone().unwrap_or_default(), Role::Text),
        (
            match &row.path {
                Some(path) if !own => format!("{path}: {}", row.text),
                _ => row.text.clone(),
            },
            text,
        ),
        (
            row.delivery.map(|id| id.to_string()).unwrap_or_default(),
            Role::Dim,
        ),
        (row.actor.clone(), Role::Dim),
    ]
}
