//! Screen 3: dead letters, grouped by what went wrong.

use std::fmt::Write as _;

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use crate::store::view::DeadGroup;
use crate::watch;

const COLUMNS: &[Column] = &[
    number("count", 6, 99),
    flex("path", 8, 24, 98),
    fixed("class", 9, 55),
    number("status", 6, 50),
    flex("reason", 22, 200, 97),
    flex("first", 5, 16, 70),
    flex("last", 5, 16, 80),
    fixed("group", 8, 30),
    flex("newest", 8, 12, 20),
];

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let detail = detail_rows(model).min(area.height.into()) as u16;
    let below = Rect::new(area.x, area.bottom() - detail, area.width, detail);
    let area = Rect::new(area.x, area.y, area.width, area.height - detail);
    let height = usize::from(area.height.saturating_sub(1));
    let rows: Vec<Row> = super::window(&model.groups, model.group.top, height)
        .map(|(index, group)| Row {
            cells: cells(model, group),
            selected: index == model.group.index,
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
        super::empty(model, pen, inner, Slot::Dead, "no dead letters");
    }
    pen.scrollbar(inner, model.group.top, model.groups.len());
    if detail > 0
        && let Some(group) = model.group_here()
    {
        describe(model, pen, below, group);
    }
}

/// Lines below the table that describe the selected group.
fn detail_rows(model: &Model) -> usize {
    if model.size.1 >= 16 { 6 } else { 0 }
}

/// Lines of the body that are not rows of the table.
pub(super) fn above(model: &Model) -> usize {
    1 + detail_rows(model)
}

fn describe(model: &Model, pen: &mut Pen<'_>, area: Rect, group: &DeadGroup) {
    let width = usize::from(area.width.saturating_sub(2));
    let mut lines: Vec<(String, Role)> = vec![(String::new(), Role::Text)];
    let zone = model.config.site.timezone;
    let mut heading = format!(
        "{} on {}, from {} to {}",
        watch::letters(group.count),
        group.path,
        watch::when(group.first_seen, model.now, zone),
        watch::when(group.last_seen, model.now, zone)
    );
    if let Some(path) = model.config.path(&group.path) {
        let _ = write!(heading, "; owner {}", path.owner);
    }
    lines.push((heading, Role::Title));
    let wrapped = widgets::wrap(&group.reason, width);
    lines.extend(wrapped.into_iter().take(3).map(|line| (line, Role::Text)));
    for (offset, (line, role)) in lines.iter().enumerate().take(area.height.into()) {
        let y = area.y + offset as u16;
        pen.text(area.x + 1, y, area.width.saturating_sub(1), line, *role);
    }
}

fn cells(model: &Model, group: &DeadGroup) -> Vec<(String, Role)> {
    let zone = model.config.site.timezone;
    let when = |at| watch::when(at, model.now, zone);
    vec![
        (group.count.to_string(), Role::Bad),
        (group.path.clone(), Role::Title),
        (
            group
                .class
                .map(|class| class.to_string())
                .unwrap_or_default(),
            Role::Warn,
        ),
        (
            group
                .status
                .map(|status| status.to_string())
                .unwrap_or_default(),
            Role::Warn,
        ),
        (group.reason.clone(), Role::Text),
        (when(group.first_seen), Role::Dim),
        (when(group.last_seen), Role::Dim),
        (
            group.fingerprint.map(|f| f.to_string()).unwrap_or_default(),
            Role::Dim,
        ),
        (group.example.to_string(), Role::Dim),
    ]
}
