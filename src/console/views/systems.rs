//! Screen 0: the systems, what is known of their webhooks and polling, and the dialogs that act on one.

use ratatui::layout::{Position, Rect};

use super::super::model::{Model, Overlay, Probing, Replace, Replacing};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use crate::config::model::{Auth, Grant, System, Trust};
use crate::store::view::{PollRow, SenderRow};
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("system", 8, 20, 99),
    flex("preset", 8, 14, 60),
    fixed("credentials", 12, 90),
    flex("webhook", 12, 22, 95),
    flex("called", 6, 16, 80),
    number("limit", 7, 50),
    flex("address", 22, 80, 45),
];

/// Lines below the table for the selected system, where there is room.
const DETAILS: u16 = 9;

/// How many lines are not the list's.
pub(super) fn above(body: usize) -> usize {
    if body >= 14 {
        2 + usize::from(DETAILS)
    } else {
        1
    }
}

fn credentials(model: &Model, system: &System) -> (String, Role) {
    let words = match &system.auth {
        Auth::None => return ("none".to_owned(), Role::Dim),
        Auth::Bearer(_) => "bearer",
        Auth::Basic(..) => "basic",
        Auth::Header(..) => "header",
        Auth::OAuth2(oauth) => match oauth.grant {
            Grant::ClientCredentials => "OAuth 2",
            Grant::AuthorizationCode => "OAuth login",
        },
    };
    let place = format!("systems.{}.auth", system.name);
    let lost = (model.overview.iter())
        .flat_map(|overview| &overview.unreadable)
        .any(|words| words.starts_with(&place));
    if lost {
        let glyph = model.theme.glyph("✖", "x");
        (format!("{glyph} unreadable"), Role::Bad)
    } else {
        (words.to_owned(), Role::Text)
    }
}

fn sender<'a>(model: &'a Model, system: &System) -> Option<&'a SenderRow> {
    let rows = model.overview.iter().flat_map(|overview| &overview.senders);
    rows.into_iter().find(|row| row.system == system.name)
}

/// Whether the system's webhook calls us, as its vendor says.
fn webhook(model: &Model, system: &System) -> (String, Role) {
    let glyph = |unicode, ascii| model.theme.glyph(unicode, ascii);
    if system.hooks.is_none() {
        return (glyph("–", "-").to_owned(), Role::Dim);
    }
    let row = sender(model, system);
    match row.and_then(|row| row.state.as_deref()) {
        Some(SenderRow::ENABLED) => (format!("{} enabled", glyph("●", "*")), Role::Good),
        Some(SenderRow::MISSING) => (format!("{} missing", glyph("▲", "!")), Role::Warn),
        Some(SenderRow::ELSEWHERE) => (format!("{} elsewhere", glyph("▲", "!")), Role::Warn),
        Some(other) => (format!("{} {other}", glyph("✖", "x")), Role::Bad),
        None if row.is_some_and(|row| row.error.is_some()) => {
            (format!("{} not known", glyph("?", "?")), Role::Warn)
        }
        None => (format!("{} not watched", glyph("○", "o")), Role::Dim),
    }
}

fn limit(system: &System) -> String {
    match system.limit {
        Some(limit) => format!("{}/{}", limit.count, crate::time::short(limit.per)),
        None => String::new(),
    }
}

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let zone = model.config.site.timezone;
    let systems: Vec<&System> = model.config.systems.values().collect();
    let details = if area.height >= 14 { DETAILS } else { 0 };
    let list = Rect::new(
        area.x,
        area.y,
        area.width,
        area.height.saturating_sub(details + u16::from(details > 0)),
    );
    let height = usize::from(list.height.saturating_sub(1));
    let rows: Vec<Row> = super::window(&systems, model.system.top, height)
        .map(|(index, system)| {
            let called = sender(model, system)
                .and_then(|row| row.called)
                .map_or(String::new(), |at| watch::when(at, model.now, zone));
            Row {
                cells: vec![
                    (system.name.clone(), Role::Title),
                    (system.preset.clone().unwrap_or_default(), Role::Text),
                    credentials(model, system),
                    webhook(model, system),
                    (called, Role::Dim),
                    (limit(system), Role::Dim),
                    (system.url.clone().unwrap_or_default(), Role::Text),
                ],
                selected: index == model.system.index,
                marked: false,
            }
        })
        .collect();
    table::draw(pen, list, &table::snug(COLUMNS, &rows), &rows);
    let inner = Rect::new(
        list.x,
        list.y + 1,
        list.width,
        list.height.saturating_sub(1),
    );
    if systems.is_empty() {
        let words = "no system is configured yet: see [systems] in midwatch.toml";
        pen.text(inner.x + 2, inner.y, inner.width, words, Role::Dim);
    }
    pen.scrollbar(inner, model.system.top, systems.len());
    if details > 0
        && let Some(system) = model.system_here()
    {
        let below = Rect::new(area.x, area.bottom() - details, area.width, details);
        detail(model, pen, below, system);
    }
}

/// What there is to say of the selected system.
fn detail(model: &Model, pen: &mut Pen<'_>, area: Rect, system: &System) {
    let zone = model.config.site.timezone;
    let when = |at| watch::when(at, model.now, zone);
    let mut lines: Vec<(&str, String, Role)> = Vec::new();
    if let Some(url) = &system.url {
        lines.push(("address", url.clone(), Role::Text));
    }
    let records: Vec<&str> = system.records.keys().map(String::as_str).collect();
    if !records.is_empty() {
        lines.push(("records", records.join(", "), Role::Text));
    }
    if system.hooks.is_some() {
        let base = model.config.site.public_url.as_deref().unwrap_or_default();
        let address = format!("{}/hooks/{}", base.trim_end_matches('/'), system.name);
        let trust = match system.trust {
            Trust::Event => "",
            Trust::Refetch => ", each record is read before it is delivered",
        };
        lines.push(("hooks", format!("{address}{trust}"), Role::Text));
    }
    if let Some(row) = sender(model, system) {
        let (state, role) = webhook(model, system);
        let mut text = state;
        if let Some(at) = row.checked {
            text = format!("{text}, asked {}", when(at));
        }
        if let Some(address) = row.address.as_deref().filter(|text| !text.is_empty()) {
            text = format!("{text}, calls {address}");
        }
        if let Some(error) = &row.error {
            text = format!("{text}: {error}");
        }
        lines.push(("webhook", text, role));
    }
    let polls = model.overview.iter().flat_map(|overview| &overview.polls);
    for row in polls.filter(|row| row.system == system.name) {
        let (text, role) = polled(row, &when);
        lines.push(("polled", text, role));
    }
    if let Some(status) = &system.status {
        lines.push(("status at", status.clone(), Role::Dim));
    }
    for (offset, (name, text, role)) in lines.iter().take(area.height.into()).enumerate() {
        let pieces = vec![(format!("  {name:<9} "), Role::Dim), (text.clone(), *role)];
        let y = area.y + offset as u16;
        pen.pieces(area.x, y, area.width.saturating_sub(1), &pieces);
    }
}

fn polled(row: &PollRow, when: &impl Fn(crate::time::Timestamp) -> String) -> (String, Role) {
    match &row.error {
        Some(error) => (
            format!(
                "{}: nothing new since {}: {error}",
                row.kind,
                when(row.mark)
            ),
            Role::Warn,
        ),
        None => (
            format!(
                "{} at {}, {} seen, whole up to {}",
                row.kind,
                when(row.run),
                watch::grouped(row.seen),
                when(row.mark)
            ),
            Role::Text,
        ),
    }
}

fn probe_lines(probe: &Probing, width: usize) -> Vec<String> {
    // `ok         clock        agrees ...`: what does not fit goes on below the words, or, on a phone, a little aside.
    let split = |line: &str| match line.match_indices("  ").last() {
        Some((at, _)) if width >= 60 => at + 2,
        _ => 0,
    };
    (probe.text.lines())
        .flat_map(|line| {
            let (head, text) = line.split_at(split(line));
            widgets::hanging(head, text, width)
        })
        .collect()
}

fn probe_area(model: &Model, probe: &Probing) -> (Rect, Vec<String>) {
    let width = 84.min(model.size.0);
    let lines = probe_lines(probe, usize::from(width.saturating_sub(4)));
    let rows = (lines.len() as u16 + 2).clamp(5, 40);
    (super::overlay::middle(model, width, rows), lines)
}

/// How many lines of a probe's report do not fit.
pub fn probe_overflow(model: &Model) -> usize {
    match &model.overlay {
        Some(Overlay::Probe(probe)) => {
            let (area, lines) = probe_area(model, probe);
            lines
                .len()
                .saturating_sub(usize::from(area.height.saturating_sub(2)))
        }
        _ => 0,
    }
}

/// Draws a probe's report.
pub(super) fn probe(model: &Model, pen: &mut Pen<'_>, probe: &Probing) {
    let (area, lines) = probe_area(model, probe);
    let inner = pen.window(area, &probe.title);
    for (offset, text) in (lines.iter().skip(probe.top))
        .take(inner.height.into())
        .enumerate()
    {
        let room = inner.width.saturating_sub(2);
        pen.text(inner.x + 1, inner.y + offset as u16, room, text, Role::Text);
    }
    pen.scrollbar(inner, probe.top, lines.len());
}

/// The steps of replacing a secret: what is done, under way, or not begun.
fn steps(model: &Model, secret: &Replacing) -> Vec<(String, Role)> {
    let glyph = |unicode, ascii| model.theme.glyph(unicode, ascii);
    let tried = secret.places.get(secret.which).is_some_and(|p| p.is_tried);
    let try_it = if tried {
        format!("try it at {}", secret.system)
    } else {
        "not tried: only its next use can tell".to_owned()
    };
    let all = [
        try_it,
        "save it in its file".to_owned(),
        "let go on what waited for it".to_owned(),
    ];
    let (marks, role): ([&str; 3], Role) = match &secret.stage {
        Replace::Acting => (
            [glyph("▶", ">"), glyph("○", "o"), glyph("○", "o")],
            Role::Busy,
        ),
        Replace::Done(_) => ([glyph("●", "*"); 3], Role::Good),
        _ => (
            [glyph("✖", "x"), glyph("–", "-"), glyph("–", "-")],
            Role::Bad,
        ),
    };
    (all.into_iter().zip(marks).enumerate())
        .map(|(index, (words, mark))| {
            if index == 0 && !tried {
                return (format!("{} {words}", glyph("–", "-")), Role::Dim);
            }
            let role = if index > 0 && role != Role::Good {
                Role::Dim
            } else {
                role
            };
            (format!("{mark} {words}"), role)
        })
        .collect()
}

/// Draws the dialog that replaces a secret; returns where the cursor is. What is typed shows as dots.
pub(super) fn secret(model: &Model, pen: &mut Pen<'_>, secret: &Replacing) -> Option<Position> {
    let width = 76.min(model.size.0);
    let room = usize::from(width.saturating_sub(4));
    let mut lines: Vec<(String, Role)> = Vec::new();
    let mut add = |text: &str, role: Role| {
        lines.extend(
            widgets::wrap(text, room)
                .into_iter()
                .map(|line| (line, role)),
        );
    };
    let mut field = None;
    match &secret.stage {
        Replace::Choosing => {
            for (index, place) in secret.places.iter().enumerate() {
                let here = index == secret.which;
                let mark = if here {
                    model.theme.glyph("›", ">")
                } else {
                    " "
                };
                let role = if here { Role::Title } else { Role::Text };
                // Not wrapped: that would take the blank where the mark of others is.
                let text = format!("{mark} {:<13} {}", place.which, place.words);
                lines.push((text, role));
            }
            lines.push((String::new(), Role::Text));
            let keys = "enter replaces it   esc leaves".to_owned();
            lines.push((keys, Role::Accent));
        }
        Replace::Asking => add("asking what this would mean ...", Role::Dim),
        Replace::Typing => {
            if let Some(preview) = &secret.preview {
                add(&preview.scope, Role::Title);
                for note in &preview.notes {
                    add(note, Role::Text);
                }
            }
            add("", Role::Text);
            field = Some(lines.len() as u16);
            let typed = secret.typed.len();
            let dot = model.theme.glyph("•", "*");
            let dots = dot.repeat(typed.min(room.saturating_sub(12)));
            lines.push((format!("new: {dots}"), Role::Title));
            lines.push((String::new(), Role::Text));
            let keys = match typed {
                0 => "type or paste it: it is never shown   esc leaves".to_owned(),
                n => {
                    let tried =
                        (secret.places.get(secret.which)).is_some_and(|place| place.is_tried);
                    let verb = if tried { "tries and saves" } else { "saves" };
                    format!("{n} typed   enter {verb} it   esc forgets it")
                }
            };
            lines.push((keys, Role::Accent));
        }
        Replace::Acting | Replace::Done(_) | Replace::Refused(_) => {
            let begun = secret.preview.is_some();
            if begun {
                lines.extend(steps(model, secret));
                lines.push((String::new(), Role::Text));
            }
            let (text, role) = match &secret.stage {
                Replace::Done(text) => (text.as_str(), Role::Text),
                Replace::Refused(text) => (text.as_str(), Role::Bad),
                _ => ("doing it ...", Role::Busy),
            };
            let wrapped = widgets::wrap(text, room);
            lines.extend(wrapped.into_iter().map(|line| (line, role)));
        }
    }
    let area = super::overlay::middle(model, width, (lines.len() as u16 + 2).clamp(6, 40));
    let title = format!("Replace a secret of {}", secret.system);
    let inner = pen.window(area, &title);
    // The end, with the line that is typed into, shows even where not all has room.
    let skip = lines.len().saturating_sub(inner.height.into());
    for (offset, (text, role)) in lines.iter().skip(skip).enumerate() {
        let y = inner.y + offset as u16;
        pen.text(inner.x + 1, y, inner.width.saturating_sub(2), text, *role);
    }
    let line = field?.checked_sub(skip as u16)?;
    let dots = secret.typed.len().min(room.saturating_sub(12)) as u16;
    Some(Position::new(
        (inner.x + 6 + dots).min(model.size.0.saturating_sub(1)),
        (inner.y + line).min(model.size.1.saturating_sub(1)),
    ))
}
