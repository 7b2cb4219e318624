//! The Ownership screen: every field of every declared entity, who owns it, who else may write it, and what its paths do with
//! it; and why a field of a record holds what it holds.

use ratatui::layout::Rect;

use super::super::model::Model;
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row as TableRow, flex};
use super::super::widgets::{self, Pen};
use crate::control::explain::{Explained, Held, Word};
use crate::record::ownership::Row;
use crate::store::view::NoteRow;
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("entity", 7, 16, 80),
    flex("field", 8, 24, 99),
    flex("owner", 6, 16, 98),
    flex("policy", 8, 18, 85),
    flex("others may write", 8, 30, 70),
    flex("if it is down", 7, 16, 75),
    flex("left out", 5, 9, 60),
    flex("paths", 8, 60, 50),
];

/// Lines below the table for the selected field.
fn detail_rows(model: &Model) -> usize {
    if model.size.1 >= 16 { 7 } else { 0 }
}

/// Lines of the body that are not rows of the table.
pub(super) fn above(model: &Model) -> usize {
    1 + detail_rows(model)
}

/// Whether a system is down, as far as the paths to it tell.
fn is_down(model: &Model, system: &str) -> bool {
    let overview = model.overview.as_ref();
    overview.is_some_and(|overview| watch::is_down(overview, &model.config, system))
}

/// What becomes of other writers' values while the owner is down; said loudly while it is.
fn fallback(model: &Model, row: &Row) -> (String, Role) {
    let Some(word) = row.when_owner_down else {
        return (model.theme.glyph("–", "-").to_owned(), Role::Dim);
    };
    match &row.owner {
        Some(owner) if is_down(model, owner) => {
            let glyph = model.theme.glyph("▲", "!");
            (format!("{glyph} {word} now"), Role::Warn)
        }
        _ => (word.to_owned(), Role::Dim),
    }
}

/// How often the field was left out on paths that may not write it.
fn left_out<'m>(model: &'m Model, row: &'m Row) -> impl Iterator<Item = &'m NoteRow> {
    let concerned = |note: &&NoteRow| {
        let paths = row.left_out_by.iter().chain(&row.created_by);
        let mut on = paths.filter(|path| Some(*path) == note.path.as_ref());
        on.next().is_some() && (row.field == "*" || note.what == row.field)
    };
    model.own.left.iter().filter(concerned)
}

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let own = &model.own;
    let detail = detail_rows(model).min(area.height.into()) as u16;
    let below = Rect::new(area.x, area.bottom() - detail, area.width, detail);
    let area = Rect::new(area.x, area.y, area.width, area.height - detail);
    let height = usize::from(area.height.saturating_sub(1));
    let mut last = "";
    let rows: Vec<TableRow> = super::window(&own.rows, own.pick.top, height)
        .map(|(index, row)| {
            let entity = if row.entity == last { "" } else { &row.entity };
            last = &row.entity;
            let count: u64 = left_out(model, row).map(|note| note.count).sum();
            let nobody = ("nobody".to_owned(), Role::Warn);
            TableRow {
                cells: vec![
                    (entity.to_owned(), Role::Accent),
                    (row.field.clone(), Role::Title),
                    row.owner
                        .clone()
                        .map_or(nobody, |owner| (owner, Role::Text)),
                    (row.policy.unwrap_or_default().to_owned(), Role::Text),
                    (row.writers.join(", "), Role::Text),
                    fallback(model, row),
                    match count {
                        0 => (String::new(), Role::Dim),
                        n => (format!("{} x", widgets::count(n)), Role::Warn),
                    },
                    (paths(row), Role::Dim),
                ],
                selected: index == own.pick.index,
                marked: false,
            }
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
        let words = "no entity is declared: any path may write what it carries ([entities.order] in midwatch.toml)";
        let lines = widgets::wrap(words, usize::from(inner.width.saturating_sub(4)));
        for (offset, line) in lines.iter().enumerate().take(inner.height.into()) {
            let y = inner.y + offset as u16;
            pen.text(
                inner.x + 2,
                y,
                inner.width.saturating_sub(4),
                line,
                Role::Dim,
            );
        }
    }
    pen.scrollbar(inner, own.pick.top, own.rows.len());
    if detail > 0
        && let Some(row) = own.rows.get(own.pick.index)
    {
        describe(model, pen, below, row);
    }
}

/// The paths that may write it.
fn paths(row: &Row) -> String {
    let created = row.created_by.iter().map(|path| format!("{path} (new)"));
    let all: Vec<String> = row.written_by.iter().cloned().chain(created).collect();
    all.join(", ")
}

fn describe(model: &Model, pen: &mut Pen<'_>, area: Rect, row: &Row) {
    let width = usize::from(area.width.saturating_sub(2));
    let mut lines = vec![(String::new(), Role::Text)];
    let mut add = |text: String, role: Role| {
        lines.extend(
            widgets::wrap(&text, width)
                .into_iter()
                .map(|line| (line, role)),
        );
    };
    add(
        format!("{} {}: {}", row.entity, row.field, row.rule()),
        Role::Title,
    );
    for (paths, words) in [
        (&row.written_by, "written by"),
        (&row.created_by, "written where the record is made, by"),
        (&row.left_out_by, "left out by"),
        (&row.held_by, "events held on"),
    ] {
        if !paths.is_empty() {
            add(format!("{words} {}", paths.join(", ")), Role::Text);
        }
    }
    let zone = model.config.site.timezone;
    for note in left_out(model, row) {
        let path = note.path.as_deref().unwrap_or_default();
        let last = watch::when(note.last, model.now, zone);
        let count = watch::grouped(note.count);
        add(
            format!(
                "{} left out {count} times on {path}, last {last}",
                note.what
            ),
            Role::Warn,
        );
    }
    for (offset, (line, role)) in lines.iter().enumerate().take(area.height.into()) {
        let y = area.y + offset as u16;
        pen.text(area.x + 1, y, area.width.saturating_sub(1), line, *role);
    }
}

/// Why a field holds what it holds, as text: the verdict, what each system has, what led there.
pub fn explained(model: &Model, explained: &Explained) -> String {
    let zone = model.config.site.timezone;
    let time = |at| watch::when(at, model.now, zone);
    let mut lines = explained.verdict(time);
    lines.push(String::new());
    for held in &explained.systems {
        lines.push(system(held, &time));
    }
    if !explained.lines.is_empty() {
        lines.push(String::new());
        for line in explained.lines.iter().rev().take(40) {
            let id = line
                .delivery
                .map_or_else(String::new, |id| format!(" ({id})"));
            lines.push(format!("{}  {}{id}", time(line.at), line.text));
        }
    }
    lines.join("\n")
}

fn system(held: &Held, time: &impl Fn(crate::time::Timestamp) -> String) -> String {
    let role = match held.role {
        Some("owner") => ", its owner",
        Some("writer") => ", which may write it",
        Some("create_only") => ", which may write it when it makes the record",
        Some(_) => ", which may not write it",
        None => "",
    };
    let said = |name: &str, word: &Option<Word>| {
        let word = word.as_ref()?;
        Some(format!("{name} {} {}", word.value, time(word.at)))
    };
    let parts: Vec<String> = [
        said("sent", &held.sent),
        said("agreed", &held.agreed),
        said("seen", &held.seen),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("{}{role}: {}", held.system, parts.join(", "))
}
