//! Screen 2: deliveries, newest first, a window over any number of them.

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::theme::Role;
use super::super::widgets::Pen;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use crate::queue::model::{Class, State};
use crate::store::Cursor;
use crate::store::view::DeliveryRow;

const COLUMNS: &[Column] = &[
    fixed("accepted", 8, 85),
    flex("id", 6, 12, 99),
    fixed("state", 11, 98),
    flex("path", 8, 22, 90),
    flex("type", 13, 26, 70),
    flex("subject", 8, 32, 65),
    number("tries", 5, 60),
    fixed("last", 13, 75),
    fixed("next", 8, 50),
    flex("reason", 18, 120, 55),
    flex("event", 36, 40, 10),
];

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let list = &model.deliveries;
    let filter = if list.filter.is_empty() {
        "all".to_owned()
    } else {
        list.filter.to_string()
    };
    let mut pieces = vec![(" filter: ".to_owned(), Role::Dim), (filter, Role::Accent)];
    if !list.marked.is_empty() {
        pieces.push((format!("   {} marked", list.marked.len()), Role::Warn));
    }
    if list.searching {
        pieces.push(("   searching ...".to_owned(), Role::Busy));
    }
    pen.pieces(area.x, area.y, area.width, &pieces);
    let place = match list.from {
        None | Some(Cursor::Newest) if list.pinned => "newest",
        None | Some(Cursor::Newest) => "newest, live",
        _ => "older",
    };
    if area.width >= 70 {
        pen.right(
            area.x,
            area.y,
            area.width.saturating_sub(1),
            place,
            Role::Dim,
        );
    }
    let area = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    let height = usize::from(area.height.saturating_sub(1));
    let rows: Vec<Row> = super::window(&list.rows, list.selection.top, height)
        .map(|(index, row)| Row {
            cells: cells(model, row),
            selected: index == list.selection.index,
            marked: list.marked.contains(&row.id),
        })
        .collect();
    table::draw(pen, area, &table::snug(COLUMNS, &rows), &rows);
    if rows.is_empty() && area.height > 1 {
        let words = if list.searching {
            "searching ..."
        } else if list.filter.is_empty() {
            "no delivery yet: send an event, for example with `midwatch send`"
        } else {
            "no delivery matches; / changes the filter, Esc goes back"
        };
        let inner = Rect::new(area.x, area.y + 1, area.width, area.height - 1);
        super::empty(model, pen, inner, Slot::Deliveries, words);
    }
}

/// What the last attempt came to, in a word and a number.
pub(super) fn last(row: &DeliveryRow) -> String {
    match (row.last_class, row.last_status) {
        (Some(class), Some(status)) => format!("{status} {class}"),
        (Some(class), None) => class.to_string(),
        (None, _) => String::new(),
    }
}

fn cells(model: &Model, row: &DeliveryRow) -> Vec<(String, Role)> {
    let zone = model.config.site.timezone;
    let (glyph, word, role) = model.theme.state(row.state);
    let same_day = row.accepted_at.in_zone(zone, "%F") == model.now.in_zone(zone, "%F");
    let accepted = if same_day {
        row.accepted_at.in_zone(zone, "%H:%M:%S")
    } else {
        row.accepted_at.in_zone(zone, "%y-%m-%d")
    };
    let next = if row.state == State::Ready {
        row.due_at.in_zone(zone, "%H:%M:%S")
    } else {
        String::new()
    };
    let tries = if row.generation > 1 {
        format!(
            "{}+{}",
            row.attempts.saturating_sub(row.charged),
            row.charged
        )
    } else {
        row.attempts.to_string()
    };
    let last_role = match row.last_class {
        Some(Class::Delivered) => Role::Good,
        Some(Class::Withheld) => Role::Text,
        Some(_) if row.state == State::Dead => Role::Bad,
        _ => Role::Warn,
    };
    vec![
        (accepted, Role::Dim),
        (row.id.to_string(), Role::Text),
        (format!("{glyph} {word}"), role),
        (row.path.clone(), Role::Text),
        (row.kind.clone(), Role::Text),
        (
            row.subject
                .clone()
                .or_else(|| row.order_key.clone())
                .unwrap_or_default(),
            Role::Text,
        ),
        (tries, Role::Dim),
        (last(row), last_role),
        (next, Role::Dim),
        (row.reason.clone().unwrap_or_default(), Role::Dim),
        (row.event_id.clone(), Role::Dim),
    ]
}

/// Draws one delivery in a line, for lists inside other screens.
pub(super) fn brief(model: &Model, row: &DeliveryRow) -> Vec<(String, Role)> {
    let (glyph, word, role) = model.theme.state(row.state);
    vec![
        (format!("{:<9} ", row.id.to_string()), Role::Title),
        (format!("{glyph} {word:<11} "), role),
        (format!("{}  {}", row.path, last(row)), Role::Text),
    ]
}
