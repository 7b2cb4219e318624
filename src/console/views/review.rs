//! The Review screen: fields of which two systems say different things, side by side, and deliveries that are held for a
//! person. Decided fields stay for a while, greyed.

use ratatui::layout::Rect;

use super::super::model::{Model, ReviewItem, Slot};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, flex};
use super::super::widgets::{self, Pen};
use crate::store::view::{DeliveryRow, ReviewRow};
use crate::time::Timestamp;
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("since", 5, 16, 60),
    flex("about", 14, 40, 99),
    flex("a", 8, 28, 90),
    flex("b", 8, 28, 89),
    flex("why", 12, 200, 50),
];

/// Lines below the list for what is selected.
fn detail_rows(model: &Model) -> usize {
    match model.size.1 {
        0..16 => 0,
        16..22 => 8,
        _ => 10,
    }
}

/// Lines of the body that are not rows of the list.
pub(super) fn above(model: &Model) -> usize {
    1 + detail_rows(model)
}

fn when(model: &Model, at: Timestamp) -> String {
    watch::when(at, model.now, model.config.site.timezone)
}

/// A value as it is shown: canonical text without its quotes, masked where it is sensitive.
fn value(model: &Model, row: &ReviewRow, value: Option<&str>) -> Option<String> {
    let text = row
        .masked(value?)
        .replace('…', model.theme.glyph("…", "..."));
    Some(match serde_json::from_str(&text) {
        Ok(serde_json::Value::String(plain)) => plain,
        _ => text,
    })
}

fn nothing(model: &Model) -> String {
    model.theme.glyph("–", "-").to_owned()
}

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let review = &model.review;
    let detail = detail_rows(model).min(area.height.into()) as u16;
    let below = Rect::new(area.x, area.bottom() - detail, area.width, detail);
    let area = Rect::new(area.x, area.y, area.width, area.height - detail);
    let height = usize::from(area.height.saturating_sub(1));
    let ids = review.ids();
    let rows: Vec<Row> = super::window(&ids, review.pick.top, height)
        .map(|(index, item)| Row {
            cells: cells(model, *item),
            selected: index == review.pick.index,
            marked: false,
        })
        .collect();
    table::draw(pen, area, &table::snug(COLUMNS, &rows), &rows);
    let inner = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    if rows.is_empty() {
        let words = "nothing waits for a decision";
        super::empty(model, pen, inner, Slot::Reviews, words);
    }
    pen.scrollbar(inner, review.pick.top, ids.len());
    if let Some(row) = review.field_here() {
        side_by_side(model, pen, below, row);
    } else if let Some(row) = review.delivery_here() {
        delivery(model, pen, below, row);
    }
}

fn cells(model: &Model, item: ReviewItem) -> Vec<(String, Role)> {
    let review = &model.review;
    match item {
        ReviewItem::Field(id) => {
            let Some(row) = review.field(id) else {
                return Vec::new();
            };
            let decided = row.decided.is_some();
            let role = |role| if decided { Role::Dim } else { role };
            let side =
                |text: Option<&str>| value(model, row, text).unwrap_or_else(|| nothing(model));
            let why = match &row.decided {
                Some(decided) => ended(row, &decided.decision, &decided.actor),
                None => row.reason.clone(),
            };
            vec![
                (when(model, row.at), Role::Dim),
                (
                    format!("{} {} {}", row.about.kind, row.about.key, row.field),
                    role(Role::Title),
                ),
                (side(row.ours.as_deref()), role(Role::Text)),
                (side(row.theirs.as_deref()), role(Role::Text)),
                (why, role(Role::Warn)),
            ]
        }
        ReviewItem::Delivery(id) => {
            let Some(row) = review.deliveries.iter().find(|row| row.id == id) else {
                return Vec::new();
            };
            vec![
                (when(model, row.changed_at), Role::Dim),
                (format!("{id} on {}", row.path), Role::Title),
                (String::new(), Role::Dim),
                (String::new(), Role::Dim),
                (row.reason.clone().unwrap_or_default(), Role::Warn),
            ]
        }
    }
}

/// How a review ended, in words.
fn ended(row: &ReviewRow, decision: &str, actor: &str) -> String {
    match decision {
        "ours" => format!("{actor} took {}'s", row.source),
        "theirs" => format!("{actor} took {}'s", row.receiver),
        "value" => format!("{actor} wrote another"),
        _ => "the two came to agree".to_owned(),
    }
}

/// The characters that two texts have in common at the beginning and at the end.
fn in_common(a: &str, b: &str) -> (usize, usize) {
    let same = |(x, y): &(char, char)| x == y;
    let head = a.chars().zip(b.chars()).take_while(same).count();
    let shorter = a.chars().count().min(b.chars().count());
    let tail = (a.chars().rev().zip(b.chars().rev()))
        .take(shorter - head)
        .take_while(same)
        .count();
    (head, tail)
}

/// A value with what differs from the other one standing out.
pub(super) fn marked(model: &Model, text: &str, other: &str) -> Vec<(String, Role)> {
    let (head, tail) = in_common(text, other);
    let count = text.chars().count();
    let part = |from: usize, to: usize| -> String {
        text.chars()
            .skip(from)
            .take(to.saturating_sub(from))
            .collect()
    };
    let middle = part(head, count - tail);
    let middle =
        if model.theme.palette == crate::console::theme::Palette::None && !middle.is_empty() {
            format!("[{middle}]")
        } else {
            middle
        };
    vec![
        (part(0, head), Role::Text),
        (middle, Role::Bad),
        (part(count - tail, count), Role::Text),
    ]
}

/// What both sides say and what both had before, one below the other, each with who wrote it and when.
fn side_by_side(model: &Model, pen: &mut Pen<'_>, area: Rect, row: &ReviewRow) {
    let width = area.width.saturating_sub(2);
    let mut lines: Vec<Vec<(String, Role)>> = vec![Vec::new()];
    let state = match &row.decided {
        Some(decided) => (
            format!(
                "decided {}: {}",
                when(model, decided.at),
                ended(row, &decided.decision, &decided.actor)
            ),
            Role::Dim,
        ),
        None => (format!("open since {}", when(model, row.at)), Role::Warn),
    };
    lines.push(vec![
        (
            format!("{} {}: {}  ", row.about.kind, row.about.key, row.field),
            Role::Title,
        ),
        state,
    ]);
    for line in widgets::wrap(&row.reason, width.into()).into_iter().take(2) {
        lines.push(vec![(line, Role::Text)]);
    }
    let (ours, theirs) = (
        value(model, row, row.ours.as_deref()).unwrap_or_else(|| nothing(model)),
        value(model, row, row.theirs.as_deref()).unwrap_or_else(|| nothing(model)),
    );
    let changed = |at: Option<Timestamp>| match at {
        Some(at) => format!("  changed {}", when(model, at)),
        None => "  when is not known".to_owned(),
    };
    let names = [&row.source, &row.receiver, &"both had".to_owned()]
        .map(|name| crate::visible::width(name))
        .into_iter()
        .max()
        .unwrap_or_default()
        .min(14);
    let head = |key: &str, name: &str, role| {
        (
            format!("{key} {} ", super::record::padded(name, names)),
            role,
        )
    };
    let side = |key: &str, name: &str, own: &str, other: &str, at: Option<Timestamp>| {
        let mut pieces = vec![head(key, name, Role::Accent)];
        pieces.extend(marked(model, own, other));
        pieces.push((changed(at), Role::Dim));
        pieces
    };
    lines.push(side("a", &row.source, &ours, &theirs, row.ours_at));
    let base = match value(model, row, row.base.as_deref()) {
        Some(base) => (base, Role::Dim),
        None => ("not known".to_owned(), Role::Dim),
    };
    lines.push(vec![head(" ", "both had", Role::Dim), base]);
    lines.push(side("b", &row.receiver, &theirs, &ours, row.theirs_at));
    if let Some(delivery) = row.delivery {
        let path = row.path.as_deref().unwrap_or_default();
        lines.push(vec![(
            format!("brought by {delivery} on {path} (Enter)"),
            Role::Dim,
        )]);
    }
    for (offset, pieces) in lines.iter().enumerate().take(area.height.into()) {
        pen.pieces(area.x + 1, area.y + offset as u16, width, pieces);
    }
}

/// A delivery that is held: what for, and what can be done.
fn delivery(model: &Model, pen: &mut Pen<'_>, area: Rect, row: &DeliveryRow) {
    let width = usize::from(area.width.saturating_sub(2));
    let about = row.subject.as_deref().or(row.order_key.as_deref());
    let mut lines = vec![
        (String::new(), Role::Text),
        (
            format!(
                "{} on {}: {} {}",
                row.id,
                row.path,
                row.kind,
                about.unwrap_or_default()
            ),
            Role::Title,
        ),
    ];
    let reason = row.reason.as_deref().unwrap_or("held");
    let wrapped = widgets::wrap(reason, width);
    lines.extend(wrapped.into_iter().take(4).map(|line| (line, Role::Text)));
    let since = format!("held since {}", when(model, row.changed_at));
    lines.push((since, Role::Dim));
    for (offset, (line, role)) in lines.iter().enumerate().take(area.height.into()) {
        let y = area.y + offset as u16;
        pen.text(area.x + 1, y, area.width.saturating_sub(1), line, *role);
    }
}

#[cfg(test)]
mod tests {
    use super::in_common;

    #[test]
    fn what_two_values_have_in_common_is_found_from_both_ends() {
        for (a, b, expected) in [
            ("982.00 NOK", "928.00 NOK", (1, 7)),
            ("processing", "completed", (0, 0)),
            ("aa", "aaa", (2, 0)),
            ("", "x", (0, 0)),
            ("blå", "blått", (3, 0)),
        ] {
            assert_eq!(in_common(a, b), expected, "{a} {b}");
        }
    }
}
