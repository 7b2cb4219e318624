//! What a delivery's event was caused by and caused, as a tree, and what was noticed on its path: parts of the Delivery
//! screen.

use super::super::model::{Fold, Model};
use super::super::theme::Role;
use super::lines::{Rows, at};
use crate::store::view::{DeliveryDetail, NoteRow, TraceNode};
use crate::watch;

/// Adds both parts, each where there is anything to tell.
pub(super) fn draw(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    tree(rows, detail);
    notes(rows);
}

fn tree(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    let model = rows.model;
    let asked = detail.row.id.event();
    let trace = model.detail.trace.as_ref();
    let Some(trace) = trace.filter(|trace| trace.asked == asked && trace.nodes.len() > 1) else {
        return;
    };
    let more = if trace.cut { ", and more" } else { "" };
    let rest = format!(
        "{} events{more}, each below what caused it; Enter goes to a delivery",
        trace.nodes.len()
    );
    if !rows.heading("lineage", "Lineage", &rest) {
        return;
    }
    for node in &trace.nodes {
        event(rows, node, node.event == asked);
        // Two levels of indent a step, but the words must have room.
        let indent = indent(model, node) + 4;
        for delivery in &node.deliveries {
            let (glyph, word, role) = model.theme.state(delivery.state);
            let here = delivery.id == detail.row.id;
            let mut pieces = vec![
                (" ".repeat(indent), Role::Text),
                (
                    format!("{} ", delivery.id),
                    if here { Role::Title } else { Role::Accent },
                ),
                (format!("{glyph} {word} "), role),
                (delivery.path.clone(), Role::Text),
            ];
            if let Some(reason) = &delivery.reason {
                pieces.push((format!("  {reason}"), Role::Dim));
            }
            let fold = (!here).then_some(Fold::Delivery(delivery.id));
            rows.foldable(fold, pieces);
        }
    }
}

fn indent(model: &Model, node: &TraceNode) -> usize {
    2 + (node.level * 2).min(super::text_width(model) / 3)
}

fn event(rows: &mut Rows<'_>, node: &TraceNode, asked: bool) {
    let model = rows.model;
    let mark = match (asked, node.level) {
        (true, _) => model.theme.glyph("› ", "> "),
        (false, 0) => "  ",
        (false, _) => model.theme.glyph("└ ", "` "),
    };
    let mut pieces = vec![(
        format!("{}{mark}", " ".repeat(indent(model, node))),
        Role::Accent,
    )];
    match &node.known {
        Some(known) => {
            let role = if asked { Role::Title } else { Role::Text };
            pieces.push((known.kind.clone(), role));
            if let Some(subject) = &known.subject {
                pieces.push((format!(" {subject}"), Role::Text));
            }
            pieces.push((
                format!("  from {}, {}", known.source, at(model, known.at)),
                Role::Dim,
            ));
            if node.inferred {
                let words = "  it seems: midwatch had just written there";
                pieces.push((words.to_owned(), Role::Dim));
            }
            if let Some(reason) = &known.reason {
                pieces.push((format!("  {reason}"), Role::Warn));
            }
        }
        None => pieces.push((format!("event {}, pruned", node.event), Role::Dim)),
    }
    rows.push(pieces);
}

/// What was noticed on the path: answers that changed, versions, deprecations, fields left out.
fn notes(rows: &mut Rows<'_>) {
    let model = rows.model;
    let notes: &[NoteRow] = &model.detail.notes;
    if notes.is_empty() {
        return;
    }
    let rest = "on this path, the last seen first";
    if !rows.heading("notes", "Noticed", rest) {
        return;
    }
    let zone = model.config.site.timezone;
    let room = super::text_width(model);
    for note in notes {
        let (glyph, _, role) = model.theme.severity(note.kind.severity());
        let head = format!("  {}  ", watch::when(note.last, model.now, zone));
        let indent = crate::visible::width(&head) + 2;
        let mut words = note.text.clone();
        if note.count > 1 {
            let since = watch::when(note.first, model.now, zone);
            let count = watch::grouped(note.count);
            words = format!("{words} ({count} times since {since})");
        }
        let wrapped = super::widgets::wrap(&words, room.saturating_sub(indent).max(12));
        for (index, line) in wrapped.into_iter().enumerate() {
            let mut pieces = if index == 0 {
                vec![(head.clone(), Role::Dim), (format!("{glyph} "), role)]
            } else {
                vec![(" ".repeat(indent), Role::Dim)]
            };
            pieces.push((line, Role::Text));
            rows.foldable(note.delivery.map(Fold::Delivery), pieces);
        }
    }
}
