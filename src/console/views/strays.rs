//! Screen 8: events that were taken in and have no delivery.

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::theme::Role;
use super::super::widgets::Pen;
use super::super::widgets::table::{self, Column, Row, flex};
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("accepted", 8, 16, 80),
    flex("event", 7, 12, 60),
    flex("source", 8, 24, 90),
    flex("type", 10, 30, 95),
    flex("why", 14, 200, 99),
    flex("id", 8, 40, 50),
];

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let zone = model.config.site.timezone;
    let height = usize::from(area.height.saturating_sub(1));
    let rows: Vec<Row> = super::window(&model.strays, model.stray.top, height)
        .map(|(index, row)| Row {
            cells: vec![
                (watch::when(row.at, model.now, zone), Role::Dim),
                (row.id.to_string(), Role::Title),
                (row.source.clone(), Role::Text),
                (row.kind.clone(), Role::Text),
                (row.reason.clone(), Role::Warn),
                (row.event_id.clone(), Role::Dim),
            ],
            selected: index == model.stray.index,
            marked: false,
        })
        .collect();
    table::draw(pen, area, COLUMNS, &rows);
    let inner = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    if rows.is_empty() {
        let words = "every event has found a path";
        super::empty(model, pen, inner, Slot::Strays, words);
    }
    pen.scrollbar(inner, model.stray.top, model.strays.len());
}
