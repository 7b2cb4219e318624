//! A runbook, to be read at three in the morning.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use super::super::markdown::{Markdown, Role as Part};
use super::super::model::Model;
use super::super::theme::{Role, Theme};
use super::super::widgets::Pen;

/// The lines of the runbook as laid out for this screen.
pub fn lines(model: &Model) -> Vec<Line<'static>> {
    match &model.reading.text {
        None => vec![Line::raw("reading ...")],
        Some(Err(why)) => super::widgets::wrap(why, super::text_width(model))
            .into_iter()
            .map(|line| Line::styled(line, model.theme.style(Role::Bad)))
            .collect(),
        Some(Ok(runbook)) => Markdown::new(runbook)
            .ascii(model.theme.ascii)
            .lines(super::text_width(model).min(100) as u16, |part| {
                style(model.theme, part)
            }),
    }
}

/// The lines that hold `needle` (lower case).
pub fn hits(lines: &[Line<'_>], needle: &str) -> Vec<usize> {
    let holds = |line: &Line<'_>| {
        let text: String = line
            .spans
            .iter()
            .map(|span| span.content.as_ref())
            .collect();
        text.to_lowercase().contains(needle)
    };
    let found = lines.iter().enumerate().filter(|(_, line)| holds(line));
    found.map(|(index, _)| index).collect()
}

fn style(theme: Theme, part: Part) -> Style {
    let role = |role| theme.style(role);
    match part {
        Part::Text => role(Role::Text),
        Part::Field | Part::Continued | Part::TableRule => role(Role::Dim),
        Part::Title => role(Role::Header),
        Part::Heading => role(Role::Accent).add_modifier(Modifier::BOLD),
        Part::TableHead | Part::Strong => role(Role::Title),
        Part::Emphasis => Style::new().add_modifier(Modifier::ITALIC),
        Part::Struck => Style::new().add_modifier(Modifier::CROSSED_OUT),
        Part::Code | Part::TaskDone => role(Role::Good),
        Part::Link => role(Role::Busy).add_modifier(Modifier::UNDERLINED),
        Part::Bullet | Part::Quote => role(Role::Accent),
        Part::TaskOpen | Part::Warning => role(Role::Warn),
        Part::Note => role(Role::Busy),
    }
}

/// Draws the view.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let lines = lines(model);
    let reading = &model.reading;
    let height = usize::from(area.height.saturating_sub(1));
    let end = (reading.top + height).min(lines.len());
    let mut pieces = vec![
        (" runbook of ".to_owned(), Role::Dim),
        (reading.about.clone(), Role::Title),
    ];
    if !reading.needle.is_empty() {
        let hits = hits(&lines, &reading.needle.to_lowercase());
        let at = hits.iter().position(|hit| Some(*hit) == reading.found);
        let found = match at {
            Some(at) => format!(" ({} of {})", at + 1, hits.len()),
            None => " (not found)".to_owned(),
        };
        pieces.push((
            format!("   search: {}{found}", reading.needle),
            Role::Accent,
        ));
    }
    pen.pieces(area.x, area.y, area.width, &pieces);
    if area.width >= 50 {
        let place = format!("{end} of {}", lines.len());
        pen.right(
            area.x,
            area.y,
            area.width.saturating_sub(1),
            &place,
            Role::Dim,
        );
    }
    for (offset, line) in lines.iter().skip(reading.top).take(height).enumerate() {
        let y = area.y + 1 + offset as u16;
        pen.line(area.x + 1, y, area.width.saturating_sub(2), line);
        if reading.found == Some(reading.top + offset) {
            let bar = Rect::new(area.x, y, area.width, 1).intersection(pen.buffer.area);
            pen.over(bar, Role::Selected);
        }
    }
    let inner = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    pen.scrollbar(inner, reading.top, lines.len());
}
