//! The differences of a run: what differs where, how bad it is, and the selected one side by side with what both agreed on
//! before.

use ratatui::layout::Rect;

use super::super::model::{Model, Slot, kindred};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, flex};
use super::super::widgets::{self, Pen};
use crate::config::model::{Job, JobField, Records};
use crate::record::{alike, mask};
use crate::store::view::{Changed, DifferenceKind, DifferenceRow, Grade};
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("key", 8, 24, 99),
    flex("what", 12, 26, 95),
    flex("first", 8, 40, 90),
    flex("second", 8, 40, 91),
    flex("grade", 8, 10, 85),
    flex("why", 12, 100, 50),
];

/// Lines below the list for the selected difference.
fn detail_rows(model: &Model) -> usize {
    match model.size.1 {
        0..18 => 0,
        _ => 8,
    }
}

/// Lines of the body that are not rows of the list.
pub(super) fn above(model: &Model) -> usize {
    3 + detail_rows(model)
}

/// The job whose run is shown.
fn job(model: &Model) -> Option<&Job> {
    let run = model.runs.iter().find(|run| Some(run.id) == model.run)?;
    model
        .config
        .reconcile
        .iter()
        .find(|job| job.name == run.job)
}

fn records(model: &Model) -> Option<&Records> {
    job(model)?.records()
}

fn sides(model: &Model) -> [String; 2] {
    job(model).map_or(["first", "second"].map(str::to_owned), |job| {
        job.called().map(str::to_owned)
    })
}

fn what(row: &DifferenceRow, sides: &[String; 2]) -> (String, Role) {
    match (row.kind, &row.field) {
        (DifferenceKind::OnlyFirst, _) => (format!("missing in {}", sides[1]), Role::Bad),
        (DifferenceKind::OnlySecond, _) => (format!("missing in {}", sides[0]), Role::Bad),
        (DifferenceKind::Field, Some(field)) => (field.clone(), Role::Warn),
        (DifferenceKind::Field, None) => ("differs".to_owned(), Role::Warn),
        (DifferenceKind::Duplicate, _) => ("more than once".to_owned(), Role::Warn),
        (DifferenceKind::PaidCancelled, _) => ("paid, cancelled".to_owned(), Role::Bad),
        (DifferenceKind::PaidPending, _) => ("paid, pending".to_owned(), Role::Warn),
        (DifferenceKind::Orphan, _) => ("no such order".to_owned(), Role::Warn),
        (DifferenceKind::Unpaid, _) => ("no payment".to_owned(), Role::Bad),
        (DifferenceKind::Amount, _) => ("another amount".to_owned(), Role::Warn),
        (other, _) => (other.word().to_owned(), Role::Warn),
    }
}

fn grade(row: &DifferenceRow) -> (String, Role) {
    let role = match row.grade {
        Grade::Told => Role::Dim,
        Grade::Repairable => Role::Good,
        Grade::Review => Role::Warn,
        Grade::Critical => Role::Bad,
    };
    (row.grade.word().to_owned(), role)
}

fn value(text: Option<&String>) -> Option<String> {
    Some(match text?.as_str() {
        hash if hash.starts_with('#') => mask::HIDDEN.to_owned(),
        text => alike::plain(text).into_owned(),
    })
}

fn key(model: &Model, row: &DifferenceRow) -> String {
    let Some(records) = records(model) else {
        return row.key.clone();
    };
    let systems = || model.config.systems.values();
    records.sides.iter().fold(row.key.clone(), |key, side| {
        let maps = systems().filter_map(|system| system.records.get(&side.kind));
        mask::shown(maps.map(AsRef::as_ref), &key)
    })
}

/// Draws the differences of the run.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let run = model.runs.iter().find(|run| Some(run.id) == model.run);
    let sides = sides(model);
    let shown = model.shown_differences();
    if let Some(run) = run {
        let when = watch::when(run.started, model.now, model.config.site.timezone);
        let plan = run
            .plan
            .map(|plan| format!("; plan {plan} (p)"))
            .unwrap_or_default();
        let with = match model.recon.needle.as_str() {
            "" => String::new(),
            needle => format!(" with `{needle}`"),
        };
        let heading = format!(
            "run {} of {}, {when}: {} of {} shown{with}{plan}",
            run.id,
            run.job,
            shown.len(),
            model.differences.len()
        );
        pen.text(area.x + 1, area.y, area.width, &heading, Role::Title);
    }
    if area.height > 1 {
        let parts: Vec<(String, Role)> = groups(model, &sides);
        pen.pieces(area.x + 1, area.y + 1, area.width.saturating_sub(1), &parts);
    }
    let detail = detail_rows(model).min(area.height.into()) as u16;
    let below = Rect::new(area.x, area.bottom() - detail, area.width, detail);
    let top = area.height.min(2);
    let list = Rect::new(
        area.x,
        area.y + top,
        area.width,
        area.height.saturating_sub(top + detail),
    );
    let height = usize::from(list.height.saturating_sub(1));
    let none = model.theme.glyph("–", "-");
    let cell = |text: Option<&String>| match value(text) {
        Some(text) => (text, Role::Text),
        None => (none.to_owned(), Role::Dim),
    };
    let rows: Vec<Row> = super::window(&shown, model.difference.top, height)
        .filter_map(|(index, place)| Some((index, model.differences.get(*place)?)))
        .map(|(index, row)| Row {
            cells: vec![
                (key(model, row), Role::Title),
                what(row, &sides),
                cell(row.first.as_ref()),
                cell(row.second.as_ref()),
                grade(row),
                (row.note.clone().unwrap_or_default(), Role::Dim),
            ],
            selected: index == model.difference.index,
            marked: false,
        })
        .collect();
    table::draw(pen, list, &table::snug(COLUMNS, &rows), &rows);
    let inner = Rect::new(
        list.x,
        list.y + list.height.min(1),
        list.width,
        list.height.saturating_sub(1),
    );
    if rows.is_empty() {
        let words = if model.differences.is_empty() {
            "no differences"
        } else {
            "none of them holds this text"
        };
        super::empty(model, pen, inner, Slot::Differences, words);
    }
    pen.scrollbar(inner, model.difference.top, shown.len());
    if let Some(row) = model.difference_here() {
        describe(model, pen, below, row, &sides);
    }
}

/// How many there are of each kind; the one that is shown alone stands out.
fn groups(model: &Model, sides: &[String; 2]) -> Vec<(String, Role)> {
    let mut parts = vec![(
        format!("first is {}, second is {}", sides[0], sides[1]),
        Role::Dim,
    )];
    for (of, count) in model.kindreds() {
        let row = DifferenceRow {
            kind: of.0,
            field: of.1.clone(),
            ..DifferenceRow::default()
        };
        let (words, _) = what(&row, sides);
        let alone = model.recon.only.as_ref() == Some(&kindred(&row));
        let (open, close) = if alone { ("[", "]") } else { ("", "") };
        let role = if alone { Role::Accent } else { Role::Dim };
        parts.push((format!("  {open}{count} {words}{close}"), role));
    }
    parts
}

/// Both values one below the other, with what both had before, how they are compared and what follows.
fn describe(
    model: &Model,
    pen: &mut Pen<'_>,
    area: Rect,
    row: &DifferenceRow,
    sides: &[String; 2],
) {
    let width = usize::from(area.width.saturating_sub(2));
    let blank = model.theme.glyph("–", "-").to_owned();
    let [first, second] =
        [&row.first, &row.second].map(|text| value(text.as_ref()).unwrap_or_else(|| blank.clone()));
    let (words, role) = what(row, sides);
    let read = if row.confirmed {
        ("read a second time".to_owned(), Role::Dim)
    } else {
        ("not read a second time".to_owned(), Role::Warn)
    };
    let mut lines: Vec<Vec<(String, Role)>> = vec![
        Vec::new(),
        vec![
            (format!("{}: ", key(model, row)), Role::Title),
            (format!("{words}  "), role),
            read,
        ],
    ];
    let name_width = sides
        .iter()
        .map(|name| crate::visible::width(name))
        .max()
        .unwrap_or(0)
        .clamp(8, 14);
    let side = |index: usize, own: &str, other: &str| {
        let name = super::record::padded(&sides[index], name_width);
        let mut pieces = vec![(format!("{name} "), Role::Accent)];
        pieces.extend(super::review::marked(model, own, other));
        let changed = match (row.changed, index) {
            (Some(Changed::First), 0) | (Some(Changed::Second), 1) | (Some(Changed::Both), _) => {
                "  changed"
            }
            _ => "",
        };
        if let Some(id) = &row.ids[index] {
            pieces.push((format!("  {id}"), Role::Dim));
        }
        pieces.push((changed.to_owned(), Role::Warn));
        pieces
    };
    lines.push(side(0, &first, &second));
    let base = value(row.base.as_ref()).unwrap_or_else(|| "not known".to_owned());
    let both = super::record::padded("both had", name_width);
    lines.push(vec![(format!("{both} "), Role::Dim), (base, Role::Dim)]);
    lines.push(side(1, &second, &first));
    let field = row.field.as_ref().and_then(|name| {
        records(model)?
            .fields
            .iter()
            .find(|field| field.name == *name)
    });
    if let Some(field) = field {
        lines.push(vec![(compared(field), Role::Dim)]);
    }
    let (word, role) = grade(row);
    let note = row
        .note
        .as_ref()
        .map(|note| format!(": {note}"))
        .unwrap_or_default();
    let wrapped = widgets::wrap(&format!("{word}{note}"), width);
    lines.extend(wrapped.into_iter().take(2).map(|line| vec![(line, role)]));
    for (offset, pieces) in lines.iter().enumerate().take(area.height.into()) {
        pen.pieces(area.x + 1, area.y + offset as u16, width as u16, pieces);
    }
}

/// How two values of a field are compared, in words.
fn compared(field: &JobField) -> String {
    let how = match field.compare {
        Some(compare) => format!("compared as {}", compare.word()),
        None => "compared as its record map says".to_owned(),
    };
    let groups: Vec<String> = field.equal.iter().map(|group| group.join(" = ")).collect();
    if groups.is_empty() {
        how
    } else {
        format!("{how}; {}", groups.join(", "))
    }
}
