//! Screen 4: everything about one delivery.

use std::fmt::Write as _;

use ratatui::layout::Rect;

use super::super::model::{Body, Fold, Model, Slot};
use super::super::theme::Role;
use super::super::widgets::Pen;
use super::deliveries;
use super::lineage;
use super::lines::{self, Row, Rows, at};
use crate::queue::model::{Class, State, Step};
use crate::store::view::{AttemptRow, DeliveryDetail};
use crate::time::short;
use crate::watch;

/// The lines of the screen, folded parts left out.
pub fn rows(model: &Model) -> Vec<Row> {
    let mut rows = Rows::new(model, &model.detail.folded);
    if let Some(detail) = &model.detail.data {
        facts(&mut rows, detail);
        attempts(&mut rows, detail);
        request(&mut rows, detail);
        answer(&mut rows, detail);
        origin(&mut rows, detail);
        siblings(&mut rows, detail);
        lineage::draw(&mut rows, detail);
        log(&mut rows, detail);
    }
    rows.done
}

fn facts(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    let model = rows.model;
    let row = &detail.row;
    let (_, _, role) = model.theme.state(row.state);
    if let Some(need) = &detail.need {
        let zone = model.config.site.timezone;
        let when = |at| watch::when(at, model.now, zone);
        let text = format!(
            "{} {} in {} since {}, to review at {}",
            need.kind,
            need.key,
            need.system,
            when(need.since),
            when(need.until)
        );
        rows.field("waits for", &text, Role::Warn);
    }
    if let Some(reason) = row.reason.as_deref().filter(|reason| !reason.is_empty()) {
        let name = match row.state {
            State::Superseded => "proof",
            State::Held => "review",
            _ => "why",
        };
        rows.field(name, reason, role);
    }
    for (index, record) in detail.about.iter().enumerate() {
        let name = if index == 0 { "record" } else { "" };
        let text = format!("{} {}", record.kind, record.key);
        rows.leading(Some(Fold::Record(index)), name, &text, Role::Accent);
    }
    rows.field("accepted", &at(model, row.accepted_at), Role::Text);
    match row.state {
        State::Ready => rows.field("next try", &at(model, row.due_at), Role::Text),
        _ => rows.field("changed", &at(model, row.changed_at), Role::Text),
    }
    if let Some(path) = model.config.path(&row.path) {
        let mut text = format!("{} to {}, owner {}", path.from, path.to, path.owner);
        if row.charged > 0 && !row.state.is_settled() {
            let _ = write!(
                text,
                ", {} of {} tries used",
                row.charged,
                path.schedule.len()
            );
        }
        rows.field("path", &text, Role::Text);
        if let Some(due) = path.due
            && !row.state.is_settled()
        {
            let late = due.at(row.accepted_at, model.config.site.timezone);
            let when = watch::when(late, model.now, model.config.site.timezone);
            let (text, role) = if late <= model.now {
                (format!("since {when}"), Role::Bad)
            } else {
                (format!("not before {when}"), Role::Text)
            };
            rows.field("noticed", &text, role);
        }
    }
    if let Some(behind) = detail.behind {
        rows.foldable(
            Some(Fold::Delivery(behind)),
            vec![
                ("  waits for   ".to_owned(), Role::Dim),
                (
                    format!("{behind}, of the same order key (Enter goes there)"),
                    Role::Warn,
                ),
            ],
        );
    }
    if detail.blocks > 0 {
        let text = format!("{} behind it, of the same order key", detail.blocks);
        rows.field("blocks", &text, Role::Warn);
    }
}

fn attempts(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    let model = rows.model;
    let rest = match detail.attempts.len() {
        0 => "none yet".to_owned(),
        n => n.to_string(),
    };
    if !rows.heading("attempts", "Attempts", &rest) {
        return;
    }
    let last = detail.attempts.len().saturating_sub(1);
    let shown = model.detail.attempt.unwrap_or(last);
    for (index, attempt) in detail.attempts.iter().enumerate() {
        let here = if index == shown {
            model.theme.glyph("›", ">")
        } else {
            " "
        };
        rows.push(attempt_line(model, here, attempt));
        if !attempt.error.is_empty() {
            let width = super::text_width(model).saturating_sub(13).max(8);
            for line in super::widgets::wrap(&attempt.error, width) {
                rows.push(vec![(format!("             {line}"), Role::Text)]);
            }
        }
        for step in &attempt.steps {
            let pieces = step_line(model, step);
            rows.push(pieces);
        }
    }
}

fn attempt_line(model: &Model, here: &str, attempt: &AttemptRow) -> Vec<(String, Role)> {
    let role = match attempt.class {
        Class::Delivered => Role::Good,
        Class::Withheld => Role::Text,
        Class::Transient | Class::Throttled | Class::Unknown => Role::Warn,
        _ => Role::Bad,
    };
    let number = if attempt.generation > 1 {
        format!("{}.{}", attempt.generation, attempt.number)
    } else {
        attempt.number.to_string()
    };
    let status = attempt
        .status
        .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    vec![
        (format!("{here} {number:>4}  "), Role::Accent),
        (format!("{}  ", at(model, attempt.started_at)), Role::Dim),
        (format!("{status:<9} {:<10} ", attempt.class), role),
        (
            format!("{:>6}", super::widgets::millis(attempt.duration_ms)),
            Role::Dim,
        ),
        (
            if attempt.charged { "" } else { "  not counted" }.to_owned(),
            Role::Dim,
        ),
    ]
}

/// One request of an attempt that took several.
fn step_line(model: &Model, step: &Step) -> Vec<(String, Role)> {
    let role = match step.status {
        Some(200..=299) => Role::Good,
        Some(404 | 409) => Role::Text,
        Some(_) => Role::Bad,
        None => Role::Warn,
    };
    let status = step
        .status
        .map_or_else(|| model.theme.glyph("–", "-").to_owned(), |s| s.to_string());
    let wide = super::text_width(model) >= 70;
    let (indent, what) = if wide { (13, 14) } else { (2, 9) };
    let name: String = crate::visible::line(&step.what, what).into_string();
    let mut pieces = vec![
        (format!("{:indent$}{name:<what$} ", ""), Role::Busy),
        (format!("{status:>3} "), role),
        (
            format!("{:>6}  ", super::widgets::millis(u64::from(step.millis))),
            Role::Dim,
        ),
        (step.note.clone(), Role::Text),
    ];
    if wide {
        pieces.push((format!("  {} {}", step.method, step.url), Role::Dim));
    }
    pieces
}

fn headers(rows: &mut Rows<'_>, headers: &[(String, String)]) {
    for (name, value) in headers {
        rows.push(vec![
            (format!("  {name}: "), Role::Dim),
            (value.clone(), Role::Text),
        ]);
    }
}

fn request(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    let model = rows.model;
    let last = detail.attempts.len().saturating_sub(1);
    let shown = detail
        .attempts
        .get(model.detail.attempt.unwrap_or(last).min(last));
    let shadowed = detail.row.state == State::Shadowed;
    let target = match (&detail.frozen, shown) {
        (Some(request), _) if shadowed => format!("{} {}", request.method, request.url),
        (_, Some(attempt)) => format!("{} {}", attempt.method, attempt.url),
        (Some(request), None) => format!("{} {}", request.method, request.url),
        (None, None) => "not sent yet".to_owned(),
    };
    let title = if shadowed {
        "Would have sent"
    } else {
        "Request"
    };
    if !rows.heading("request", title, &target) {
        return;
    }
    if let Some(attempt) = shown.filter(|_| !shadowed) {
        rows.field("key", &attempt.key, Role::Text);
    }
    match &detail.frozen {
        Some(request) => {
            headers(rows, &request.headers);
            body(rows, Body::Request);
        }
        None => match &detail.data {
            Some(_) => body(rows, Body::Request),
            None => rows.push(vec![(
                "  the payload has been pruned".to_owned(),
                Role::Dim,
            )]),
        },
    }
}

fn answer(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    let last = detail.attempts.len().saturating_sub(1);
    let index = rows.model.detail.attempt.unwrap_or(last).min(last);
    let Some(attempt) = detail.attempts.get(index) else {
        return;
    };
    let status = match attempt.status {
        Some(status) => format!(
            "{status} in {}",
            super::widgets::millis(attempt.duration_ms)
        ),
        None => "none was read".to_owned(),
    };
    let rest = if detail.attempts.len() > 1 {
        format!(
            "{status}   attempt {} of {}, [ and ] change it",
            index + 1,
            last + 1
        )
    } else {
        status
    };
    if !rows.heading("answer", "Answer", &rest) {
        return;
    }
    headers(rows, &attempt.answer_headers);
    body(rows, Body::Answer);
    if attempt.answer_truncated {
        let text = "  ... and more, which was not kept".to_owned();
        rows.push(vec![(text, Role::Dim)]);
    }
}

fn origin(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    let model = rows.model;
    let row = &detail.row;
    if !rows.heading("event", "Event", &row.kind) {
        return;
    }
    let mut fields: Vec<(&str, String)> = vec![
        ("source", row.source.clone()),
        ("id", row.event_id.clone()),
        ("came by", detail.origin.clone()),
    ];
    let mut add = |name, value: Option<String>| {
        if let Some(value) = value {
            fields.push((name, value));
        }
    };
    add("subject", row.subject.clone());
    add("order key", row.order_key.clone());
    add(
        "happened",
        detail.event_time.map(|time| {
            let lag = row.accepted_at.since(time);
            format!("{}, taken in {} later", at(model, time), short(lag))
        }),
    );
    add("own key", detail.event_key.clone());
    add("schema", detail.schema_version.clone());
    add("content", detail.content_type.clone());
    for (name, value) in fields {
        rows.field(name, &value, Role::Text);
    }
    for (name, value) in &detail.extensions {
        let name: String = crate::visible::line(name, 11).into_string();
        rows.field(&name, value, Role::Text);
    }
    body(rows, Body::Event);
}

fn siblings(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    if detail.siblings.is_empty() {
        return;
    }
    let model = rows.model;
    let rest = "the same event on other paths; Enter goes there";
    if rows.heading("siblings", "Siblings", rest) {
        for row in &detail.siblings {
            let mut pieces = vec![("  ".to_owned(), Role::Text)];
            pieces.extend(deliveries::brief(model, row));
            rows.foldable(Some(Fold::Delivery(row.id)), pieces);
        }
    }
}

fn log(rows: &mut Rows<'_>, detail: &DeliveryDetail) {
    if detail.log.is_empty() {
        return;
    }
    let model = rows.model;
    if rows.heading("log", "Log", &detail.log.len().to_string()) {
        for line in &detail.log {
            let (glyph, _, role) = model.theme.severity(line.severity);
            rows.push(vec![
                (format!("  {}  ", at(model, line.at)), Role::Dim),
                (format!("{glyph} {}: ", line.actor), role),
                (line.text.clone(), Role::Text),
            ]);
        }
    }
}

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let detail = &model.detail;
    let Some(id) = detail.id else {
        let text = "no delivery was opened yet: Enter on one in Deliveries (2)";
        pen.text(
            area.x + 2,
            area.y,
            area.width.saturating_sub(3),
            text,
            Role::Dim,
        );
        return;
    };
    let Some(data) = &detail.data else {
        let text = if detail.gone {
            format!("delivery {id} is not there (any more)")
        } else {
            "reading ...".to_owned()
        };
        super::empty(model, pen, area, Slot::Delivery, &text);
        return;
    };
    let (glyph, word, role) = model.theme.state(data.row.state);
    let mut heading = vec![
        (format!(" {id} "), Role::Title),
        (format!(" {glyph} {word} "), role),
        (format!(" {} ", data.row.path), Role::Title),
        (format!(" {} ", data.row.kind), Role::Text),
    ];
    if let Some(subject) = &data.row.subject {
        heading.push((format!(" {subject} "), Role::Dim));
    }
    pen.pieces(area.x, area.y, area.width, &heading);
    let inner = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    lines::draw(pen, inner, &rows(model), detail.top, detail.line);
}

/// A body, as a tree if it is JSON.
fn body(rows: &mut Rows<'_>, body: Body) {
    if let Some((_, tree)) = rows.model.detail.trees.get(&body) {
        rows.tree(tree, body);
    }
}
