//! Screen 8: events that were taken in and have no delivery, grouped by what is wrong with them; the events of a group; and
//! one of them with everything that it has against its contract, marked where it is.

use ratatui::layout::Rect;

use super::super::model::{Body, Fold, Model, Slot};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row as TableRow, fixed, flex, number};
use super::super::widgets::{self, Pen};
use super::lines::{self, Row, Rows, at};
use crate::record::mask::Veil;
use crate::store::view::{Admission, HeldDetail, HeldGroup};
use crate::watch;

const GROUPS: &[Column] = &[
    number("count", 6, 99),
    fixed("", 10, 60),
    flex("what is wrong", 20, 200, 98),
    flex("from", 5, 16, 75),
    flex("first", 5, 16, 50),
    flex("last", 5, 16, 80),
    fixed("group", 8, 40),
];

const EVENTS: &[Column] = &[
    flex("came", 5, 16, 80),
    flex("event", 6, 12, 99),
    flex("id", 8, 40, 70),
    flex("subject", 8, 30, 90),
    flex("why", 14, 200, 95),
    number("edits", 5, 40),
];

/// Lines below the groups that describe the selected one.
fn detail_rows(model: &Model) -> usize {
    if model.size.1 >= 16 { 5 } else { 0 }
}

/// Lines of the body that are not rows of the table of groups.
pub(super) fn above(model: &Model) -> usize {
    1 + detail_rows(model)
}

/// What became of an event, as a word with a glyph.
fn admission(model: &Model, admission: Admission) -> (String, Role) {
    let (glyph, role) = match admission {
        Admission::Held => (model.theme.glyph("▲", "!"), Role::Warn),
        Admission::Unrouted => (model.theme.glyph("○", "o"), Role::Dim),
        Admission::Accepted => (model.theme.glyph("●", "*"), Role::Good),
        Admission::Discarded => (model.theme.glyph("–", "-"), Role::Dim),
    };
    (format!("{glyph} {}", admission.word()), role)
}

/// Draws the groups.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let held = &model.held;
    let detail = detail_rows(model).min(area.height.into()) as u16;
    let below = Rect::new(area.x, area.bottom() - detail, area.width, detail);
    let area = Rect::new(area.x, area.y, area.width, area.height - detail);
    let zone = model.config.site.timezone;
    let when = |at| watch::when(at, model.now, zone);
    let height = usize::from(area.height.saturating_sub(1));
    let rows: Vec<TableRow> = super::window(&held.groups, held.group.top, height)
        .map(|(index, group)| TableRow {
            cells: vec![
                (watch::grouped(group.count), Role::Title),
                admission(model, group.admission),
                (wrong(group), Role::Text),
                (group.source.clone(), Role::Text),
                (when(group.oldest), Role::Dim),
                (when(group.newest), Role::Dim),
                (group.id.to_string(), Role::Dim),
            ],
            selected: index == held.group.index,
            marked: false,
        })
        .collect();
    table::draw(pen, area, &table::snug(GROUPS, &rows), &rows);
    let inner = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    if rows.is_empty() {
        let words = "every event has found a path and fits its contract";
        super::empty(model, pen, inner, Slot::Held, words);
    }
    pen.scrollbar(inner, held.group.top, held.groups.len());
    if detail > 0
        && let Some(group) = held.group_here()
    {
        describe(model, pen, below, group);
    }
}

/// What is wrong with a group, with its type where that is not said yet.
fn wrong(group: &HeldGroup) -> String {
    if group.text.starts_with(&group.kind) {
        group.text.clone()
    } else {
        format!("{}: {}", group.kind, group.text)
    }
}

fn describe(model: &Model, pen: &mut Pen<'_>, area: Rect, group: &HeldGroup) {
    let zone = model.config.site.timezone;
    let when = |at| watch::when(at, model.now, zone);
    let number = match group.count {
        1 => "1 event".to_owned(),
        n => format!("{} events", watch::grouped(n)),
    };
    let span = if group.count == 1 {
        when(group.newest)
    } else {
        format!("from {} to {}", when(group.oldest), when(group.newest))
    };
    let heading = format!(
        "{number} of type {} from {}, {span}",
        group.kind, group.source
    );
    let width = usize::from(area.width.saturating_sub(2));
    let mut lines = vec![(String::new(), Role::Text), (heading, Role::Title)];
    let wrapped = widgets::wrap(&group.text, width);
    lines.extend(wrapped.into_iter().take(2).map(|line| (line, Role::Text)));
    let hint = match group.admission {
        Admission::Unrouted => "no path wants it: a renamed type looks like silence",
        _ => "kept whole: it can be released once the contract or the event is mended",
    };
    lines.push((hint.to_owned(), Role::Dim));
    for (offset, (line, role)) in lines.iter().enumerate().take(area.height.into()) {
        let y = area.y + offset as u16;
        pen.text(area.x + 1, y, area.width.saturating_sub(1), line, *role);
    }
}

/// Draws the events of a group.
pub(super) fn draw_events(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let held = &model.held;
    let zone = model.config.site.timezone;
    let heading = match held.open_group() {
        Some(group) => {
            let (word, role) = admission(model, group.admission);
            vec![
                (format!(" {word}  "), role),
                (wrong(group), Role::Title),
                (format!("  from {}", group.source), Role::Dim),
            ]
        }
        None => vec![(" nothing of this group is left".to_owned(), Role::Dim)],
    };
    pen.pieces(area.x, area.y, area.width, &heading);
    let area = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    let height = usize::from(area.height.saturating_sub(1));
    let rows: Vec<TableRow> = super::window(&held.rows, held.row.top, height)
        .map(|(index, row)| TableRow {
            cells: vec![
                (watch::when(row.at, model.now, zone), Role::Dim),
                (row.id.to_string(), Role::Title),
                (row.event_id.clone(), Role::Text),
                (row.subject.clone().unwrap_or_default(), Role::Text),
                (row.reason.clone(), Role::Warn),
                match row.edits {
                    0 => (String::new(), Role::Dim),
                    n => (n.to_string(), Role::Accent),
                },
            ],
            selected: index == held.row.index,
            marked: false,
        })
        .collect();
    table::draw(pen, area, &table::snug(EVENTS, &rows), &rows);
    let inner = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    if rows.is_empty() {
        let words = "nothing of this group is left: released, discarded, or grouped anew";
        super::empty(model, pen, inner, Slot::HeldEvents, words);
    }
    pen.scrollbar(inner, held.row.top, held.rows.len());
}

/// The lines of the event shown whole, folded parts left out.
pub fn rows(model: &Model) -> Vec<Row> {
    let mut rows = Rows::new(model, &model.held.one.folded);
    if let Some(detail) = &model.held.one.data {
        facts(&mut rows, detail);
        faults(&mut rows, detail);
        data(&mut rows, detail);
        edits(&mut rows, detail);
    }
    rows.done
}

fn facts(rows: &mut Rows<'_>, detail: &HeldDetail) {
    let model = rows.model;
    let row = &detail.row;
    let why = match row.admission {
        Admission::Accepted => "it was released",
        Admission::Discarded => "it was given up",
        Admission::Unrouted if row.reason.is_empty() => "no path takes it",
        _ => &row.reason,
    };
    let (_, role) = admission(model, row.admission);
    rows.field("why", why, role);
    for (index, record) in detail.about.iter().enumerate() {
        let name = if index == 0 { "record" } else { "" };
        let text = format!("{} {}", record.kind, record.key);
        rows.leading(Some(Fold::Record(index)), name, &text, Role::Accent);
    }
    rows.field("came", &at(model, row.at), Role::Text);
    rows.field("source", &row.source, Role::Text);
    rows.field("id", &row.event_id, Role::Text);
    if let Some(subject) = &row.subject {
        rows.field("subject", subject, Role::Text);
    }
    let event = detail.event.as_ref();
    if let Some(version) = event.and_then(|event| event.schema_version.as_deref()) {
        rows.field("schema", version, Role::Text);
    }
}

/// What of its data must not be seen.
fn veil(model: &Model, detail: &HeldDetail) -> Veil {
    let event = detail.event.as_ref();
    let data = event.map_or(&[][..], |event| &event.data);
    Veil::of(&model.config, &detail.row.source, &detail.row.kind, data)
}

/// Everything that it has against its contract, one below the other.
fn faults(rows: &mut Rows<'_>, detail: &HeldDetail) {
    let veil = veil(rows.model, detail);
    let faults = veil.faults(detail.faults.clone());
    if faults.is_empty() {
        return;
    }
    if !rows.heading("faults", "Faults", &faults.len().to_string()) {
        return;
    }
    let room = super::text_width(rows.model);
    let widest = (faults.iter())
        .map(|fault| crate::visible::width(&fault.pointer))
        .max();
    let place = widest
        .unwrap_or_default()
        .clamp(4, if room >= 70 { 30 } else { 16 });
    let rule = if room >= 70 { 14 } else { 0 };
    for fault in &faults {
        let pointer = match fault.pointer.as_str() {
            "" => "the whole",
            pointer => pointer,
        };
        let mut head = format!("  {} ", super::record::padded(pointer, place));
        if rule > 0 {
            head.push_str(&super::record::padded(&fault.rule, rule));
            head.push(' ');
        }
        let indent = crate::visible::width(&head);
        let wrapped = widgets::wrap(&fault.text, room.saturating_sub(indent).max(10));
        for (index, line) in wrapped.into_iter().enumerate() {
            let head = if index == 0 {
                (head.clone(), Role::Bad)
            } else {
                (" ".repeat(indent), Role::Text)
            };
            rows.push(vec![head, (line, Role::Text)]);
        }
    }
}

fn data(rows: &mut Rows<'_>, detail: &HeldDetail) {
    let title = match &rows.model.held.one.tree {
        Some((_, tree)) => tree.title(),
        None if detail.event.is_none() => "pruned".to_owned(),
        None => String::new(),
    };
    if rows.heading("data", "Data", &title)
        && let Some((_, tree)) = &rows.model.held.one.tree
    {
        rows.tree(tree, Body::Held);
    }
}

/// What was changed in it since it came.
fn edits(rows: &mut Rows<'_>, detail: &HeldDetail) {
    if detail.edits.is_empty() {
        return;
    }
    let model = rows.model;
    let veil = veil(model, detail);
    if !rows.heading("edits", "Edits", &detail.edits.len().to_string()) {
        return;
    }
    for (index, edit) in detail.edits.iter().enumerate() {
        let what = if index == 0 {
            "as it came"
        } else {
            "before that"
        };
        rows.push(vec![
            (format!("  {}  ", at(model, edit.at)), Role::Dim),
            (format!("{} changed it; {what}:", edit.actor), Role::Text),
        ]);
        let before = Veil::of(
            &model.config,
            &detail.row.source,
            &detail.row.kind,
            &edit.data,
        );
        let data = veil.clone().and(before).data(&edit.data);
        let text = crate::visible::Visible::of_bytes(&data).into_string();
        let width = super::text_width(model).saturating_sub(4).max(8);
        for line in widgets::wrap(&text, width).into_iter().take(6) {
            rows.push(vec![(format!("    {line}"), Role::Dim)]);
        }
    }
}

/// Draws one event.
pub(super) fn draw_event(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let one = &model.held.one;
    let inner = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    let Some(id) = one.id else {
        let words = "no event was opened yet: Enter on one in Held (8)";
        super::empty(model, pen, inner, Slot::HeldEvent, words);
        return;
    };
    let Some(data) = &one.data else {
        let words = if one.gone {
            format!("event {id} is not there (any more)")
        } else {
            "reading ...".to_owned()
        };
        super::empty(model, pen, inner, Slot::HeldEvent, &words);
        return;
    };
    let (word, role) = admission(model, data.row.admission);
    let mut heading = vec![
        (format!(" event {id} "), Role::Title),
        (format!(" {word} "), role),
        (format!(" {} ", data.row.kind), Role::Text),
    ];
    if let Some(subject) = &data.row.subject {
        heading.push((format!(" {subject} "), Role::Dim));
    }
    pen.pieces(area.x, area.y, area.width, &heading);
    lines::draw(pen, inner, &rows(model), one.top, one.line);
}
