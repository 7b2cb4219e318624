//! Screen 7: replays and how far they are.

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use crate::store::view::{BatchRow, BatchState};
use crate::watch;

const BAR: usize = 5;

const COLUMNS: &[Column] = &[
    number("no.", 4, 99),
    flex("began", 5, 16, 60),
    fixed("state", 9, 98),
    number("total", 6, 85),
    number("done", 5, 65),
    flex("progress", 10, 24, 70),
    number("delivered", 9, 80),
    number("died", 5, 88),
    number("skipped", 7, 55),
    flex("scope", 24, 200, 95),
    flex("who", 8, 24, 40),
];

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let height = usize::from(area.height.saturating_sub(1));
    let bar = table::width_of(COLUMNS, area.width.saturating_sub(2).max(1), BAR);
    let rows: Vec<Row> = super::window(&model.batches, model.batch.top, height)
        .map(|(index, batch)| Row {
            cells: cells(model, batch, usize::from(bar)),
            selected: index == model.batch.index,
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
        let words = "no replay yet: `r` on a dead letter or a group begins one";
        super::empty(model, pen, inner, Slot::Batches, words);
    }
    pen.scrollbar(inner, model.batch.top, model.batches.len());
}

fn cells(model: &Model, batch: &BatchRow, width: usize) -> Vec<(String, Role)> {
    let (glyph, word, role) = match batch.state {
        BatchState::Canary => (model.theme.glyph("◐", "~"), "canary", Role::Busy),
        BatchState::Running => (model.theme.glyph("▶", ">"), "running", Role::Busy),
        BatchState::Aborted => (model.theme.glyph("✖", "x"), "stopped", Role::Bad),
        BatchState::Done if batch.died > 0 => (model.theme.glyph("▲", "!"), "done", Role::Warn),
        BatchState::Done => (model.theme.glyph("●", "*"), "done", Role::Good),
    };
    let ended = batch.delivered + batch.died + batch.skipped;
    let share = ended as f64 / batch.total.max(1) as f64;
    let scope = match &batch.reason {
        Some(reason) => format!("{reason}; {}", batch.scope),
        None => batch.scope.clone(),
    };
    vec![
        (batch.id.0.to_string(), Role::Title),
        (
            watch::when(batch.created, model.now, model.config.site.timezone),
            Role::Dim,
        ),
        (format!("{glyph} {word}"), role),
        (widgets::count(batch.total), Role::Text),
        (format!("{:.0}%", share * 100.0), Role::Text),
        (progress(share, width, model.theme.ascii), role),
        (widgets::count(batch.delivered), Role::Good),
        (
            widgets::count(batch.died),
            if batch.died > 0 { Role::Bad } else { Role::Dim },
        ),
        (widgets::count(batch.skipped), Role::Dim),
        (scope, Role::Text),
        (batch.actor.clone(), Role::Dim),
    ]
}

/// A bar of `width` cells, filled by `share` (0 to 1).
pub(super) fn progress(share: f64, width: usize, ascii: bool) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    let (on, off) = if ascii { ("#", ".") } else { ("█", "░") };
    on.repeat(full) + &off.repeat(width - full.min(width))
}
