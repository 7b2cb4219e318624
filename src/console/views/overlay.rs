//! What lies over a screen: the help, the palette, confirmations, and the question how to leave.

use std::fmt::Write as _;

use ratatui::layout::{Position, Rect};

use super::super::keymap::{self, Binding};
use super::super::model::{Demo, Dialog, Model, Overlay, Stage};
use super::super::theme::Role;
use super::super::update::{dialog_options, matches, screen_contexts, spoken, willing};
use super::super::widgets::{self, Pen};
use crate::control::action::{Action, Verdict};
use crate::ids::BatchId;
use crate::watch;

/// Draws what lies over the screen; returns where the cursor is.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>) -> Option<Position> {
    match model.overlay.as_ref()? {
        Overlay::Palette { line, selected } => palette(model, pen, line, *selected),
        Overlay::Help { top } => {
            help(model, pen, *top);
            None
        }
        Overlay::Report(batch) => {
            report(model, pen, *batch);
            None
        }
        Overlay::Probe(probe) => {
            super::systems::probe(model, pen, probe);
            None
        }
        Overlay::Secret(secret) => super::systems::secret(model, pen, secret),
        Overlay::Dialog(dialog) => confirm(model, pen, dialog),
        Overlay::Leave { armed, suspend, .. } => {
            leave(model, pen, *armed, *suspend);
            None
        }
    }
}

/// A window of at most that size in the middle of the screen.
pub(super) fn middle(model: &Model, width: u16, height: u16) -> Rect {
    let (columns, rows) = model.size;
    let width = width.min(columns);
    let height = height.min(rows);
    Rect::new((columns - width) / 2, (rows - height) / 2, width, height)
}

fn help_rows(model: &Model) -> Vec<&'static Binding> {
    keymap::active(&screen_contexts(model.place))
        .into_iter()
        .filter(|row| !row.keys.is_empty())
        .filter(|row| !(model.read_only && row.command.mutates()))
        .collect()
}

fn help_text(model: &Model, width: usize) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let keys_width = if width >= 60 { 20 } else { 12 };
    for row in help_rows(model) {
        let keys = row.keys.join(" ");
        let text = widgets::wrap(row.help, width.saturating_sub(keys_width + 1).max(10));
        for (index, text) in text.into_iter().enumerate() {
            let keys = if index == 0 {
                keys.clone()
            } else {
                String::new()
            };
            lines.push((keys, text));
        }
    }
    lines
}

fn help_area(model: &Model) -> Rect {
    middle(model, 92, model.size.1.saturating_sub(2).max(1))
}

/// How many lines the help has.
pub fn help_lines(model: &Model) -> usize {
    help_text(model, help_area(model).width.saturating_sub(4).into()).len()
}

fn help(model: &Model, pen: &mut Pen<'_>, top: usize) {
    let area = help_area(model);
    let title = format!("What can I do here: {}", model.place.title());
    let inner = pen.window(area, &title);
    let keys_width: u16 = if inner.width >= 62 { 20 } else { 12 };
    let lines = help_text(model, usize::from(area.width.saturating_sub(4)));
    for (offset, (keys, text)) in lines.iter().skip(top).take(inner.height.into()).enumerate() {
        let y = inner.y + offset as u16;
        pen.text(inner.x + 1, y, keys_width, keys, Role::Accent);
        let x = inner.x + 2 + keys_width;
        pen.text(x, y, inner.right().saturating_sub(x), text, Role::Text);
    }
    pen.scrollbar(inner, top, lines.len());
}

fn palette(
    model: &Model,
    pen: &mut Pen<'_>,
    line: &tui_input::Input,
    selected: usize,
) -> Option<Position> {
    let found = matches(model);
    let area = middle(model, 84, 18);
    let inner = pen.window(area, "Commands");
    pen.text(inner.x, inner.y, 2, ": ", Role::Accent);
    let field = Rect::new(
        inner.x + 2,
        inner.y,
        inner.width.saturating_sub(2),
        inner.height.min(1),
    );
    let at = super::input(pen, field, line);
    let height = usize::from(inner.height.saturating_sub(1));
    if let Some(spoken) = spoken(model) {
        let y = inner.y + 1;
        let room = inner.width.saturating_sub(2);
        if y < inner.bottom() {
            pen.text(inner.x + 1, y, room, &spoken.words(), Role::Text);
            let bar = Rect::new(inner.x, y, inner.width, 1).intersection(pen.buffer.area);
            pen.over(bar, Role::Selected);
        }
        return at;
    }
    let top = (selected + 1).saturating_sub(height);
    for (offset, row) in found.iter().skip(top).take(height).enumerate() {
        let y = inner.y + 1 + offset as u16;
        let keys = row.keys.first().copied().unwrap_or_default();
        pen.text(
            inner.x + 1,
            y,
            inner.width.saturating_sub(2),
            row.help,
            Role::Text,
        );
        let text = format!("  {keys}");
        pen.right(
            inner.x,
            y,
            inner.width.saturating_sub(1),
            &text,
            Role::Accent,
        );
        if top + offset == selected {
            pen.over(Rect::new(inner.x, y, inner.width, 1), Role::Selected);
        }
    }
    if found.is_empty() && inner.height > 1 {
        pen.text(
            inner.x + 1,
            inner.y + 1,
            inner.width,
            "no such command here",
            Role::Dim,
        );
    }
    at
}

fn leave(model: &Model, pen: &mut Pen<'_>, armed: bool, suspend: bool) {
    let mut text = Vec::new();
    text.push(match (suspend, model.demo) {
        (true, None) => {
            "The worker is inside this process: suspending it would stop all deliveries. Detaching leaves it at work."
        }
        (true, Some(_)) => {
            "The demo is inside this process: suspending it would stop all deliveries."
        }
        (false, None) => "The worker is inside this process.",
        (false, Some(_)) => "The demo ends with its screen.",
    });
    text.extend(model.demo.map(|demo| match demo {
        Demo::Deleted => "Its data is deleted when it ends (`midwatch demo --dir DIR` keeps it).",
        Demo::Kept => "Its data stays in the folder that you named.",
    }));
    let area = middle(model, 64, 10 + u16::from(model.demo.is_some()));
    let title = match model.demo {
        Some(_) => "Leave the demo?",
        None => "Leave midwatch?",
    };
    let inner = pen.window(area, title);
    let width = usize::from(inner.width.saturating_sub(2));
    let mut y = inner.y;
    for line in text.iter().flat_map(|text| widgets::wrap(text, width)) {
        pen.text(inner.x + 1, y, inner.width, &line, Role::Text);
        y += 1;
    }
    y += 1;
    let choices: &[(&str, &str)] = match model.demo {
        Some(_) => &[
            ("s", "finish what is under way, then stop"),
            ("esc", "stay"),
        ],
        None => &[
            ("s", "finish what is under way, then stop the worker too"),
            ("d", "detach: a worker without a console goes on"),
            ("esc", "stay"),
        ],
    };
    for &(key, text) in choices {
        let role = if armed || key == "esc" {
            Role::Accent
        } else {
            Role::Dim
        };
        if y < inner.bottom() {
            pen.text(inner.x + 1, y, 5, key, role);
            pen.text(
                inner.x + 6,
                y,
                inner.width.saturating_sub(6),
                text,
                Role::Text,
            );
        }
        y += 1;
    }
}

/// What a replay was to do, and what came of it so far.
fn report(model: &Model, pen: &mut Pen<'_>, id: BatchId) {
    let Some(batch) = model.batches.iter().find(|batch| batch.id == id) else {
        return;
    };
    let zone = model.config.site.timezone;
    let when = |at| watch::when(at, model.now, zone);
    let mut lines = vec![
        ("", batch.scope.clone(), Role::Text),
        (
            "",
            format!("begun {} by {}", when(batch.created), batch.actor),
            Role::Dim,
        ),
        (
            "",
            format!("{} first, then {} a second", batch.canary, batch.pace),
            Role::Dim,
        ),
    ];
    let died = if batch.died > 0 { Role::Bad } else { Role::Dim };
    let counts = [
        (batch.total, "in all", Role::Title),
        (batch.delivered, "delivered", Role::Good),
        (batch.died, "died again", died),
        (batch.skipped, "skipped: they had moved on", Role::Dim),
        (batch.released, "under way", Role::Busy),
        (batch.pending, "not yet released", Role::Dim),
    ]
    .map(|(n, words, role)| (format!("{:>7}  ", watch::grouped(n)), words, role));
    lines
        .extend((counts.iter()).map(|(head, words, role)| (&head[..], (*words).to_owned(), *role)));
    lines.extend(batch.reason.iter().map(|why| ("", why.clone(), Role::Bad)));
    let ended = batch.ended.map(|at| format!("ended {}", when(at)));
    lines.extend(ended.map(|text| ("", text, Role::Text)));
    let width = 76.min(model.size.0);
    let lines: Vec<(String, Role)> = lines
        .into_iter()
        .flat_map(|(head, text, role)| {
            widgets::hanging(head, &text, usize::from(width.saturating_sub(4)))
                .into_iter()
                .map(move |line| (line, role))
        })
        .collect();
    let area = middle(model, width, lines.len() as u16 + 2);
    let inner = pen.window(area, &format!("Replay {}", id.0));
    for (offset, (text, role)) in lines.iter().enumerate().take(inner.height.into()) {
        let room = inner.width.saturating_sub(2);
        pen.text(inner.x + 1, inner.y + offset as u16, room, text, *role);
    }
}

/// The lines of a dialog above its last one.
fn dialog_lines(model: &Model, dialog: &Dialog, width: usize) -> Vec<(String, Role)> {
    let mut lines: Vec<(String, Role)> = Vec::new();
    let mut add = |text: &str, role: Role| {
        lines.extend(
            widgets::wrap(text, width)
                .into_iter()
                .map(|line| (line, role)),
        );
    };
    let Some(preview) = &dialog.preview else {
        return lines;
    };
    let counted = match dialog.action {
        Action::Replay { .. } | Action::Cancel { .. } => Some(("delivery", "deliveries")),
        Action::Release { .. } | Action::DiscardHeld { .. } => Some(("event", "events")),
        _ => None,
    };
    add(&preview.scope, Role::Text);
    if let Some((one, many)) = counted {
        let mut text = match preview.count {
            0 => "Nothing matches any more.".to_owned(),
            1 => format!("1 {one}"),
            n => format!("{} {many}", watch::grouped(n)),
        };
        if let Some(oldest) = preview.oldest.filter(|_| preview.count > 0) {
            let when = watch::when(oldest, model.now, model.config.site.timezone);
            let _ = write!(text, ", the oldest accepted {when}");
        }
        add(&text, Role::Title);
    }
    for (verdict, count) in &preview.verdicts {
        let (words, role) = match verdict {
            Verdict::Safe => ("safe to repeat", Role::Good),
            Verdict::AlreadyDelivered => ("delivered already: sent again", Role::Warn),
            Verdict::Superseded => (
                "a newer one of the same key was delivered since",
                Role::Warn,
            ),
            Verdict::Unknown => ("outcome not known: may have arrived", Role::Warn),
            Verdict::Pruned => ("payload pruned: cannot be sent", Role::Dim),
            Verdict::AlreadyApplied => ("applied already, the receiver says", Role::Warn),
            Verdict::NotOwner => ("not the owner: none of its fields is written", Role::Warn),
            Verdict::ContractChanged => (
                "contract changed: it is refused by today's, or no cast leads there",
                Role::Warn,
            ),
        };
        let head = format!("{:>7}  ", watch::grouped(*count));
        lines.extend((widgets::hanging(&head, words, width).into_iter()).map(|line| (line, role)));
    }
    let mut add = |text: &str, role: Role| {
        lines.extend(
            widgets::wrap(text, width)
                .into_iter()
                .map(|line| (line, role)),
        );
    };
    for note in &preview.notes {
        add(note, Role::Text);
    }
    if let Action::Cancel { reason, .. }
    | Action::Pause { reason, .. }
    | Action::DiscardHeld { reason, .. } = &dialog.action
        && !reason.is_empty()
    {
        add(&format!("reason: {reason}"), Role::Text);
    }
    lines
}

fn dialog_area(model: &Model, dialog: &Dialog) -> (Rect, Vec<(String, Role)>) {
    let width = 76.min(model.size.0);
    let lines = dialog_lines(model, dialog, usize::from(width.saturating_sub(4)));
    let options = dialog_options(dialog).len();
    let rows = lines.len() + options + usize::from(options > 0) + 4;
    (middle(model, width, rows.clamp(9, 40) as u16), lines)
}

/// How many lines of the preview do not fit.
pub fn dialog_overflow(model: &Model) -> usize {
    let Some(Overlay::Dialog(dialog)) = &model.overlay else {
        return 0;
    };
    let (area, lines) = dialog_area(model, dialog);
    let options = dialog_options(dialog).len();
    let room = usize::from(area.height).saturating_sub(options + usize::from(options > 0) + 4);
    lines.len().saturating_sub(room)
}

fn confirm(model: &Model, pen: &mut Pen<'_>, dialog: &Dialog) -> Option<Position> {
    let (area, lines) = dialog_area(model, dialog);
    let inner = pen.window(area, &dialog.title);
    let text = Rect::new(
        inner.x + 1,
        inner.y,
        inner.width.saturating_sub(2),
        inner.height,
    );
    let options = dialog_options(dialog);
    let bottom = text.bottom().saturating_sub(1).max(text.y);
    let room = usize::from(text.height)
        .saturating_sub(options.len() + usize::from(!options.is_empty()) + 2);
    let mut y = text.y;
    let mut say = |pen: &mut Pen<'_>, line: &str, role: Role| {
        if y < bottom {
            pen.text(text.x, y, text.width, line, role);
        }
        y += 1;
    };
    let mut cursor = None;
    match &dialog.stage {
        Stage::Writing => {
            say(pen, &format!("{}:", dialog.label), Role::Dim);
            let field = Rect::new(text.x, text.y + 1, text.width, u16::from(text.height > 2));
            cursor = super::input(pen, field, &dialog.line);
        }
        Stage::Asking => say(pen, "asking what this would do ...", Role::Dim),
        Stage::Refused(why) => {
            for line in widgets::wrap(why, text.width.into()) {
                say(pen, &line, Role::Bad);
            }
        }
        Stage::Reading { .. } | Stage::Acting => {
            for (line, role) in lines.iter().skip(dialog.top).take(room) {
                say(pen, line, *role);
            }
            if lines.len() > dialog.top + room {
                pen.right(text.x, bottom, text.width, "more below", Role::Dim);
            }
            if !options.is_empty() {
                say(pen, "", Role::Text);
            }
            for (index, (name, value)) in options.iter().enumerate() {
                let selected = index == dialog.option;
                let mark = if selected {
                    model.theme.glyph("‹›", "<>")
                } else {
                    "  "
                };
                let role = if selected { Role::Title } else { Role::Text };
                say(pen, &format!("{mark} {name:<10} {value}"), role);
            }
        }
    }
    let more = if dialog.label.is_empty() {
        ""
    } else {
        "  tab adds a note"
    };
    let (answer, role) = match &dialog.stage {
        Stage::Writing => (
            "enter shows what would happen   esc goes on without it".to_owned(),
            Role::Dim,
        ),
        Stage::Asking => ("esc leaves".to_owned(), Role::Dim),
        Stage::Reading { .. } if !willing(dialog) => ("esc leaves".to_owned(), Role::Dim),
        Stage::Reading { armed: true } => (format!("y does it{more}  esc leaves"), Role::Accent),
        Stage::Reading { armed: false } if dialog.hasty => (
            "read it first: y does it in a moment".to_owned(),
            Role::Warn,
        ),
        Stage::Reading { armed: false } => (format!("y does it{more}  esc leaves"), Role::Dim),
        Stage::Acting => ("doing it ...".to_owned(), Role::Busy),
        Stage::Refused(_) => ("nothing was changed   esc leaves".to_owned(), Role::Dim),
    };
    if bottom < pen.buffer.area.bottom() {
        pen.text(text.x, bottom, text.width, &answer, role);
    }
    cursor
}
