//! Screens as functions of the model. They change nothing, decide nothing, and know nothing of the terminal.

mod dead;
mod deliveries;
pub mod delivery;
mod differences;
mod drift;
pub mod held;
mod incidents;
mod lineage;
mod lines;
mod log;
pub mod overlay;
mod overview;
pub mod ownership;
mod plan;
mod reconcile;
pub mod record;
mod replays;
mod review;
pub mod runbook;
mod runs;
pub mod systems;
#[cfg(test)]
mod tests;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::keymap::{self, Binding, Command};
use super::model::{Asking, Link, Model, Overlay, Place, Slot, Stage};
use super::theme::Role;
use super::update::{able, contexts};
use super::widgets::{self, Pen};
use crate::store::view::{PathRow, Severity};
use crate::watch::{self, WorkerState};

/// Where the parts of the screen are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chrome {
    header: Rect,
    tabs: Rect,
    banners: Rect,
    body: Rect,
    notice: Rect,
    footer: Rect,
}

fn chrome(model: &Model) -> Chrome {
    let (width, height) = model.size;
    let banners = banners(model).len() as u16;
    let mut rest = height;
    let mut take = |wanted: u16, from: u16| {
        let rows = if height >= from { wanted.min(rest) } else { 0 };
        rest -= rows;
        rows
    };
    let header = take(1, 2);
    let footer = take(1, 4);
    let tabs = take(1, 7);
    let banners = take(banners.min(if height >= 14 { 2 } else { 1 }), 5);
    let notice = take(u16::from(model.followed.is_some()), 8);
    let mut y = 0;
    let mut strip = |rows: u16| {
        let area = Rect::new(0, y, width, rows);
        y += rows;
        area
    };
    Chrome {
        header: strip(header),
        tabs: strip(tabs),
        banners: strip(banners),
        body: strip(rest),
        notice: strip(notice),
        footer: strip(footer),
    }
}

/// How many lines of a list or a text this screen shows.
pub fn list_height(model: &Model) -> usize {
    let body = usize::from(chrome(model).body.height);
    let above = match model.place {
        Place::Dead => dead::above(model),
        Place::Held => held::above(model),
        Place::Incidents => incidents::above(model),
        Place::Incident => incidents::around(model),
        Place::Review => review::above(model),
        Place::Ownership => ownership::above(model),
        Place::Deliveries | Place::Log | Place::HeldEvents => 2,
        Place::Record if model.record.about.is_none() => 2,
        Place::Overview
        | Place::Replays
        | Place::HeldEvent
        | Place::Delivery
        | Place::Record
        | Place::Runbook => 1,
        Place::Systems => systems::above(body),
        Place::Runs => runs::above(model),
        Place::Differences => differences::above(model),
        Place::Plan => plan::above(model),
        Place::Reconcile => reconcile::above(model),
    };
    body.saturating_sub(above)
}

/// The width that the texts of the Delivery and Runbook screens are laid out for.
pub fn text_width(model: &Model) -> usize {
    usize::from(model.size.0.saturating_sub(3).clamp(1, 140))
}

/// Draws everything; returns where the cursor is, if it shows.
pub fn draw(model: &Model, buffer: &mut Buffer) -> Option<Position> {
    let chrome = chrome(model);
    let mut pen = Pen {
        buffer,
        theme: model.theme,
    };
    header(model, &mut pen, chrome.header);
    tabs(model, &mut pen, chrome.tabs);
    let banners = banners(model);
    for (offset, text) in banners
        .iter()
        .enumerate()
        .take(chrome.banners.height.into())
    {
        let y = chrome.banners.y + offset as u16;
        let width = chrome.banners.width;
        pen.over(Rect::new(0, y, width, 1), Role::Banner);
        pen.text(1, y, width.saturating_sub(1), text, Role::Banner);
    }
    body(model, &mut pen, chrome.body);
    notice(model, &mut pen, chrome.notice);
    let at_prompt = footer(model, &mut pen, chrome.footer);
    let at_overlay = overlay::draw(model, &mut pen);
    if model.overlay.is_some() {
        at_overlay
    } else {
        at_prompt
    }
}

fn body(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    match model.place {
        Place::Overview => overview::draw(model, pen, area),
        Place::Deliveries => deliveries::draw(model, pen, area),
        Place::Dead => dead::draw(model, pen, area),
        Place::Delivery => delivery::draw(model, pen, area),
        Place::Log => log::draw(model, pen, area),
        Place::Reconcile => reconcile::draw(model, pen, area),
        Place::Runs => runs::draw(model, pen, area),
        Place::Differences => differences::draw(model, pen, area),
        Place::Plan => plan::draw(model, pen, area),
        Place::Replays => replays::draw(model, pen, area),
        Place::Held => held::draw(model, pen, area),
        Place::HeldEvents => held::draw_events(model, pen, area),
        Place::HeldEvent => held::draw_event(model, pen, area),
        Place::Record => record::draw(model, pen, area),
        Place::Systems => systems::draw(model, pen, area),
        Place::Incidents => incidents::draw(model, pen, area),
        Place::Incident => incidents::draw_one(model, pen, area),
        Place::Review => review::draw(model, pen, area),
        Place::Ownership => ownership::draw(model, pen, area),
        Place::Runbook => runbook::draw(model, pen, area),
    }
}

/// What stands where a list is empty: that it is being read, or the given words.
fn empty(model: &Model, pen: &mut Pen<'_>, area: Rect, slot: Slot, words: &str) {
    let text = if model.known.contains(&slot) {
        words
    } else if model.read_error.is_some() {
        "cannot be read now"
    } else {
        "reading ..."
    };
    let lines = widgets::wrap(text, usize::from(area.width.saturating_sub(4)));
    for (offset, line) in lines.iter().enumerate().take(area.height.into()) {
        let y = area.y + offset as u16;
        pen.text(area.x + 2, y, area.width.saturating_sub(4), line, Role::Dim);
    }
}

fn worker(model: &Model) -> (String, Role) {
    let Some(overview) = &model.overview else {
        return ("worker unknown".to_owned(), Role::Dim);
    };
    let glyph = |unicode, ascii| model.theme.glyph(unicode, ascii);
    let up = |word: &str| {
        let place = match (&model.link, overview.worker.service) {
            (Link::Inside, _) => "here",
            (_, true) => "as a service",
            _ => "elsewhere",
        };
        let place = if model.size.0 < 60 { "" } else { place };
        let text = format!("{} {word} {place}", glyph("●", "*"));
        text.trim_end().to_owned()
    };
    match watch::worker_state(&overview.worker, model.now) {
        WorkerState::Running => (up("running"), Role::Good),
        WorkerState::Draining => (up("draining"), Role::Warn),
        WorkerState::Stopped { .. } => (format!("{} worker stopped", glyph("■", "#")), Role::Bad),
        WorkerState::Silent { .. } => (format!("{} worker down", glyph("✖", "X")), Role::Bad),
        WorkerState::Never => (format!("{} no worker yet", glyph("○", "o")), Role::Warn),
    }
}

fn header(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let zone = model.config.site.timezone;
    let clock = if area.width < 60 { "%H:%M" } else { "%H:%M %Z" };
    let clock = model.now.in_zone(zone, clock);
    let clock_width = clock.len() as u16;
    let width = area.width;
    // What is left out first where there is no room has the highest number.
    let mut pieces = vec![
        (4, " midwatch ".to_owned(), Role::Header),
        (6, format!(" {} ", model.config.site.name), Role::Title),
    ];
    let (worker, role) = worker(model);
    pieces.push((0, format!(" {worker} "), role));
    if model.read_only {
        pieces.push((3, " read-only ".to_owned(), Role::Warn));
    }
    if let Some(overview) = &model.overview {
        let sum = |f: fn(&PathRow) -> u64| -> u64 { overview.paths.iter().map(f).sum() };
        let rate = |n: u64| widgets::rate(n as f64 / 5.0);
        let waiting = widgets::count(sum(|row| row.counts.backlog()));
        let dead = sum(|row| row.counts.dead);
        pieces.push((2, format!(" {waiting} wait "), Role::Text));
        if dead > 0 {
            pieces.push((1, format!(" {} dead ", widgets::count(dead)), Role::Bad));
        }
        let traffic = format!(
            " in {} out {} /min ",
            rate(sum(|row| row.recent.accepted)),
            rate(sum(|row| row.recent.delivered))
        );
        pieces.push((7, traffic, Role::Dim));
    }
    match model.others.as_slice() {
        [] => {}
        [one] => pieces.push((5, format!(" {one} "), Role::Accent)),
        many => pieces.push((5, format!(" {} others here ", many.len()), Role::Accent)),
    }
    let mut room = width.saturating_sub(clock_width + 2);
    let mut x = area.x;
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|index| pieces[*index].0);
    let mut shown = vec![false; pieces.len()];
    for index in order {
        let cells = crate::visible::Visible::of(&pieces[index].1).width() as u16;
        if cells <= room || pieces[index].0 == 0 {
            shown[index] = true;
            room = room.saturating_sub(cells);
        }
    }
    for ((_, text, role), _) in pieces.iter().zip(shown).filter(|(_, shown)| *shown) {
        let end = area.right().saturating_sub(x);
        x += pen.text(x, area.y, end, text, *role);
    }
    if width > clock_width + 12 {
        pen.right(area.x, area.y, width.saturating_sub(1), &clock, Role::Dim);
    }
}

fn tabs(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let here = model.place.tab();
    let dead: u64 = model
        .overview
        .iter()
        .flat_map(|overview| &overview.paths)
        .map(|row| row.counts.dead)
        .sum();
    // As much of the names as there is room for: all in full, the short ones, then without the least important.
    let label = |index: usize, place: Place, level: u8| {
        let number = &Place::KEYS[index..=index];
        let current = here == Some(index);
        match level {
            0 if place == Place::Dead && dead > 0 => {
                format!(" {number} {} ({}) ", place.title(), widgets::count(dead))
            }
            0 => format!(" {number} {} ", place.title()),
            _ if current || place.weight() >= level => {
                format!(" {number} {}", place.short_title())
            }
            _ => format!(" {number}"),
        }
    };
    let fits = |level: u8| -> bool {
        let cells: usize = Place::SCREENS
            .iter()
            .enumerate()
            .map(|(index, place)| label(index, *place, level).len())
            .sum();
        cells + 9 <= usize::from(area.width) + if level > 0 && !model.frozen { 7 } else { 0 }
    };
    let level = (0..11).find(|level| fits(*level)).unwrap_or(11);
    let mut x = area.x;
    for (index, place) in Place::SCREENS.iter().enumerate() {
        let text = label(index, *place, level);
        let room = area.right().saturating_sub(x);
        let current = here == Some(index);
        let role = if current { Role::Title } else { Role::Dim };
        let used = pen.text(x, area.y, room, &text, role);
        if current {
            let style = pen.theme.style(Role::Accent).add_modifier(
                ratatui::style::Modifier::UNDERLINED | ratatui::style::Modifier::BOLD,
            );
            let end = text.trim().len() as u16;
            pen.buffer.set_style(
                Rect::new(x + 1, area.y, end, 1).intersection(pen.buffer.area),
                style,
            );
        }
        x += used;
    }
    if model.place == Place::Runbook {
        let room = area.right().saturating_sub(x);
        pen.text(x, area.y, room, " Runbook ", Role::Accent);
    }
    if model.frozen {
        pen.right(
            area.x,
            area.y,
            area.width.saturating_sub(1),
            " FROZEN ",
            Role::Warn,
        );
    } else if model.low_bandwidth && area.width >= 100 {
        pen.right(
            area.x,
            area.y,
            area.width.saturating_sub(1),
            "low bandwidth",
            Role::Dim,
        );
    }
}

/// What is wrong with midwatch itself, worst first.
fn banners(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    let zone = model.config.site.timezone;
    if let Some(error) = &model.read_error {
        lines.push(error.clone());
    }
    if let Some(overview) = &model.overview {
        if let Some(trouble) = &overview.trouble {
            lines.push(format!("storage: {trouble}"));
        }
        if let Some(host) = &overview.foreign_host {
            lines.push(format!(
                "this database belongs to host {host}: nothing is sent. `:adopt` takes it over here"
            ));
        }
        let since = |at| watch::when(at, model.now, zone);
        match watch::worker_state(&overview.worker, model.now) {
            WorkerState::Stopped { since: at } if !model.inside() => lines.push(format!(
                "the worker was stopped {}: start it with `midwatch worker`",
                since(at)
            )),
            WorkerState::Silent { since: at } if !model.inside() => lines.push(format!(
                "the worker is down since {}: start it with `midwatch worker`",
                since(at)
            )),
            _ => {}
        }
    }
    if let Some(incident) = model.burning().filter(|_| model.place != Place::Incident) {
        let word = match incident.severity {
            Severity::Critical => "CRITICAL",
            _ => "warning",
        };
        let age = incidents::age(model.now.since(incident.opened));
        lines.push(format!(
            "{word} #{} for {age} (!): {}",
            incident.id, incident.title
        ));
    }
    if let Link::Away(why) = &model.link
        && lines.is_empty()
        && !why.is_empty()
    {
        lines.push(format!("no connection to the worker: {why}"));
    }
    lines
}

fn notice(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let Some(followed) = &model.followed else {
        return;
    };
    if area.is_empty() {
        return;
    }
    let mut pieces = vec![(format!(" escalation {}: ", followed.id), Role::Text)];
    match &followed.state {
        None => pieces.push(("on its way ...".to_owned(), Role::Dim)),
        Some((state, reason)) => {
            let (glyph, word, role) = model.theme.state(*state);
            let word = if *state == crate::queue::model::State::Delivered {
                "arrived"
            } else {
                word
            };
            pieces.push((format!("{glyph} {word}"), role));
            if let Some(reason) = reason {
                pieces.push((format!("  {reason}"), Role::Dim));
            }
        }
    }
    pen.pieces(area.x, area.y, area.width, &pieces);
}

/// The last line: a prompt, a message, or what can be done here.
fn footer(model: &Model, pen: &mut Pen<'_>, area: Rect) -> Option<Position> {
    if area.is_empty() {
        return None;
    }
    if let Some(prompt) = &model.prompt {
        let label = match prompt.asking {
            Asking::Filter => "filter: ",
            Asking::LogFilter => "lines with: ",
            Asking::DifferenceFilter => "differences with: ",
            Asking::Search => "search: ",
            Asking::Record => "record: ",
            Asking::Edit => "set: ",
            Asking::Decide(_) => "value: ",
        };
        let used = pen.text(
            area.x + 1,
            area.y,
            area.width.saturating_sub(1),
            label,
            Role::Accent,
        ) + 1;
        let room = area.width.saturating_sub(used);
        let at = input(pen, Rect::new(area.x + used, area.y, room, 1), &prompt.line);
        if let Some(error) = &prompt.error {
            // In full, above the line.
            let lines = widgets::wrap(error, usize::from(area.width.saturating_sub(2)));
            let rows = (lines.len() as u16).min(area.y);
            let above = Rect::new(area.x, area.y - rows, area.width, rows);
            pen.blank(above);
            for (offset, line) in lines.iter().take(rows.into()).enumerate() {
                let y = above.y + offset as u16;
                let room = area.width.saturating_sub(1);
                pen.text(area.x + 1, y, room, line, Role::Bad);
            }
        }
        return at;
    }
    if let Some(toast) = &model.toast {
        let (glyph, role) = if toast.bad {
            (pen.theme.glyph("✖ ", "! "), Role::Bad)
        } else {
            (pen.theme.glyph("● ", "* "), Role::Accent)
        };
        let text = format!("{glyph}{}", toast.text);
        pen.text(
            area.x + 1,
            area.y,
            area.width.saturating_sub(2),
            &text,
            role,
        );
        return None;
    }
    hints(model, pen, area);
    None
}

fn hints(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let contexts = contexts(model);
    let rows: Vec<_> = keymap::active(&contexts)
        .into_iter()
        .filter(|row| !row.hint.is_empty() && able(model, row.command))
        .collect();
    // The way to all the rest, and the way out, are always shown; what is for this screen gets the room that is left.
    let always = [Command::Help, Command::Palette, Command::Quit];
    let (last, first): (Vec<&Binding>, Vec<&Binding>) = rows
        .into_iter()
        .partition(|row| always.contains(&row.command));
    let word = |row: &Binding| match row.command {
        Command::Palette if area.width < 60 => String::new(),
        _ => format!("{} ", row.hint),
    };
    let armed = match &model.overlay {
        Some(Overlay::Dialog(dialog)) => dialog.stage == Stage::Reading { armed: true },
        Some(Overlay::Leave { armed, .. }) => *armed,
        _ => true,
    };
    let pieces = |row: &Binding| {
        let waits = matches!(row.command, Command::Yes | Command::Stop | Command::Detach) && !armed;
        let role = if waits { Role::Dim } else { Role::Accent };
        let key = row.keys.first().copied().unwrap_or_default();
        [
            (format!("{key} "), role),
            (format!("{} ", word(row)), Role::Dim),
        ]
    };
    let cells = |row: &Binding| -> u16 {
        let pieces = pieces(row);
        pieces.iter().map(|(text, _)| text.len() as u16).sum()
    };
    let end = area
        .right()
        .saturating_sub(last.iter().map(|row| cells(row)).sum());
    let mut x = area.x + 1;
    for row in first {
        if x + cells(row) > end {
            break;
        }
        x += pen.pieces(x, area.y, area.right() - x, &pieces(row));
    }
    for row in last {
        let room = area.right().saturating_sub(x);
        x += pen.pieces(x, area.y, room, &pieces(row));
    }
}

/// A line of input, scrolled so that its cursor shows.
fn input(pen: &mut Pen<'_>, area: Rect, line: &tui_input::Input) -> Option<Position> {
    if area.is_empty() {
        return None;
    }
    let width = usize::from(area.width.saturating_sub(1)).max(1);
    let skip = line.visual_scroll(width);
    let mut passed = 0;
    let shown: String = line
        .value()
        .chars()
        .skip_while(|c| {
            let before = passed;
            passed += unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
            before < skip
        })
        .collect();
    pen.text(area.x, area.y, area.width, &shown, Role::Text);
    let x = area.x + (line.visual_cursor().saturating_sub(skip) as u16).min(area.width - 1);
    Some(Position::new(x, area.y))
}

/// The first row and the rows of a list that are to be seen.
fn window<T>(rows: &[T], top: usize, height: usize) -> impl Iterator<Item = (usize, &T)> {
    rows.iter().enumerate().skip(top).take(height)
}
