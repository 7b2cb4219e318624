//! Screen 9: everything that ever happened to one business record, across systems; or the records that were looked for.

use ratatui::layout::Rect;

use super::super::model::{Fold, Model, Slot};
use super::super::theme::Role;
use super::super::widgets::Pen;
use super::super::widgets::table::{self, Column, Row as TableRow, flex};
pub use super::lines::Row;
use super::lines::{self, Rows, at};
use crate::record::ledger::KnownField;
use crate::record::value::Version;
use crate::store::view::{HoldingRow, Story};
use crate::time::Timestamp;
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("type", 7, 16, 90),
    flex("key", 12, 44, 99),
    flex("ids", 12, 120, 80),
    flex("changed", 7, 16, 70),
];

/// The lines of the record shown, folded parts left out.
pub fn rows(model: &Model) -> Vec<Row> {
    let mut rows = Rows::new(model, &model.record.folded);
    if let Some(story) = &model.record.data {
        facts(&mut rows, story);
        fields(&mut rows, story);
        happened(&mut rows, story);
    }
    rows.done
}

fn when(model: &Model, time: Timestamp) -> String {
    watch::when(time, model.now, model.config.site.timezone)
}

fn facts(rows: &mut Rows<'_>, story: &Story) {
    let model = rows.model;
    let others: Vec<&str> = (story.keys.iter())
        .map(String::as_str)
        .filter(|key| *key != story.about.key)
        .collect();
    if !others.is_empty() {
        rows.field("also known", &others.join(", "), Role::Text);
    }
    rows.field("since", &when(model, story.since), Role::Text);
    for (system, held) in &story.holdings {
        let name: String = crate::visible::line(system, 11).into_string();
        let role = if held.id.is_some() {
            Role::Text
        } else {
            Role::Dim
        };
        rows.field(&name, &holding(model, held), role);
    }
    for need in &story.waiting {
        let text = format!(
            "{} on {} for its id in {} since {}, to review at {}",
            need.delivery,
            need.path,
            need.system,
            when(model, need.since),
            when(model, need.until)
        );
        rows.leading(
            Some(Fold::Delivery(need.delivery)),
            "waits",
            &text,
            Role::Warn,
        );
    }
}

/// The id of a record in a system, and what else is known of it there.
fn holding(model: &Model, held: &HoldingRow) -> String {
    let mut parts = vec![match &held.id {
        Some(id) => format!("id {id}"),
        None => "no id is known".to_owned(),
    }];
    match &held.version {
        Some(Version::Instant(time)) => parts.push(format!("as of {}", when(model, *time))),
        Some(Version::Number(number)) => parts.push(format!("version {number}")),
        None => {}
    }
    if held.adopted {
        parts.push("adopted: it was there before".to_owned());
    }
    for (kind, id) in &held.joined {
        parts.push(format!("joined to {kind} {id}"));
    }
    parts.push(format!("last change {}", when(model, held.changed)));
    parts.join(", ")
}

/// A value of the ledger is a keyed hash: `#` and 16 hexadecimal digits.
fn is_hash(value: &str) -> bool {
    value
        .strip_prefix('#')
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a value of the record shown is kept as a hash only.
pub fn has_hash(model: &Model) -> bool {
    model.record.data.iter().any(|story| {
        let held = story.holdings.values();
        held.flat_map(|held| held.fields.values())
            .flat_map(|field| field.sent.iter().chain(&field.agreed))
            .any(|(value, _)| is_hash(value))
    })
}

/// A value as it is shown: a sensitive one is masked until it is asked for, and is a hash then too.
fn shown(model: &Model, value: &str) -> (String, Role) {
    if !is_hash(value) {
        return (value.to_owned(), Role::Text);
    }
    if model.record.unmasked {
        (format!("hash {value}"), Role::Dim)
    } else {
        (model.theme.glyph("••••••", "******").to_owned(), Role::Dim)
    }
}

/// One line for each field and system: the value sent last, when, and whether it was seen to agree.
fn fields(rows: &mut Rows<'_>, story: &Story) {
    let mut by_name: Vec<(&str, &str, &KnownField)> = (story.holdings.iter())
        .flat_map(|(system, held)| {
            (held.fields.iter()).map(|(name, field)| (name.as_str(), system.as_str(), field))
        })
        .collect();
    by_name.sort_by_key(|(name, system, _)| (*name, *system));
    let rest = match by_name.len() {
        0 => "nothing was sent or compared yet".to_owned(),
        n => format!("{n}; Enter explains one"),
    };
    if !rows.heading("fields", "Fields", &rest) {
        return;
    }
    let room = super::text_width(rows.model);
    let (first, second) = if room >= 70 { (16, 10) } else { (9, 6) };
    // What is left, less both names, their gaps, and `sent 2026-11-23 22:01  ● agreed 22:02`.
    let value_width = if room >= 70 {
        (room - first - second - 44).clamp(12, 60)
    } else {
        room.saturating_sub(first + second + 14).clamp(6, 30)
    };
    let model = rows.model;
    let widest = (by_name.iter())
        .filter_map(|(_, _, field)| field.sent.as_ref().or(field.agreed.as_ref()))
        .map(|(value, _)| crate::visible::width(&shown(model, value).0))
        .max();
    let value_width = value_width.min(widest.unwrap_or_default());
    let names = field_names(story);
    let mut last = "";
    for (name, system, field) in by_name {
        let label = if name == last { "" } else { name };
        last = name;
        let mut pieces = vec![
            (format!("  {} ", padded(label, first)), Role::Title),
            (format!("{} ", padded(system, second)), Role::Dim),
        ];
        pieces.extend(field_pieces(rows.model, field, value_width, room >= 70));
        let index = names.iter().position(|other| *other == name);
        rows.foldable(index.map(Fold::Field), pieces);
    }
}

/// The fields that are known anywhere, in order.
pub fn field_names(story: &Story) -> Vec<&str> {
    let held = story.holdings.values();
    let names: std::collections::BTreeSet<&str> = held
        .flat_map(|held| held.fields.keys().map(String::as_str))
        .collect();
    names.into_iter().collect()
}

/// `text` in exactly `width` cells.
pub(super) fn padded(text: &str, width: usize) -> String {
    let text = crate::visible::line(text, width);
    let gap = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(gap))
}

fn field_pieces(
    model: &Model,
    field: &KnownField,
    width: usize,
    wide: bool,
) -> Vec<(String, Role)> {
    let theme = model.theme;
    let sent = field.sent.as_ref();
    let agreed = field.agreed.as_ref();
    let Some((value, _)) = sent.or(agreed) else {
        return Vec::new();
    };
    let (text, role) = shown(model, value);
    let mut pieces = vec![(format!("{} ", padded(&text, width)), role)];
    let word = |word: &str| {
        if wide {
            format!("{word} ")
        } else {
            String::new()
        }
    };
    match sent {
        Some((_, time)) => pieces.push((
            format!("{}{}  ", word("sent"), when(model, *time)),
            Role::Dim,
        )),
        None => pieces.push((word("never sent") + " ", Role::Dim)),
    }
    match (sent, agreed) {
        (_, Some((same, time))) if same == value => {
            let glyph = theme.glyph("●", "*");
            let text = if wide {
                format!("{glyph} agreed {}", when(model, *time))
            } else {
                glyph.to_owned()
            };
            pieces.push((text, Role::Good));
        }
        // What was agreed on before it was sent anew says nothing against it.
        (Some((_, sent)), Some((_, time))) if sent > time => {
            let glyph = theme.glyph("○", "o");
            let text = if wide {
                format!("{glyph} not compared since {}", when(model, *time))
            } else {
                glyph.to_owned()
            };
            pieces.push((text, Role::Dim));
        }
        (_, Some((other, time))) => {
            let glyph = theme.glyph("▲", "!");
            let (other, _) = shown(model, other);
            let text = if wide {
                format!("{glyph} agreed on {other} {}", when(model, *time))
            } else {
                glyph.to_owned()
            };
            pieces.push((text, Role::Warn));
        }
        (_, None) => {
            let glyph = theme.glyph("○", "o");
            let text = if wide {
                format!("{glyph} not compared yet")
            } else {
                glyph.to_owned()
            };
            pieces.push((text, Role::Dim));
        }
    }
    pieces
}

/// What happened, newest first.
fn happened(rows: &mut Rows<'_>, story: &Story) {
    let count = story.lines.len() as u64 + story.older;
    let rest = format!(
        "{}, newest first; Enter opens the delivery",
        watch::grouped(count)
    );
    if !rows.heading("story", "Story", &rest) {
        return;
    }
    let model = rows.model;
    let room = super::text_width(model);
    for line in story.lines.iter().rev() {
        let time = at(model, line.at);
        let path = line.path.as_deref().unwrap_or_default();
        let mut head = format!("  {time}  ");
        if room >= 70 {
            head.push_str(&padded(path, 12));
            head.push(' ');
        }
        let indent = crate::visible::width(&head);
        let words = match (room >= 70, path) {
            (false, path) if !path.is_empty() => format!("{path}: {}", line.text),
            _ => line.text.clone(),
        };
        let id = line
            .delivery
            .map(|id| format!("  {id}"))
            .unwrap_or_default();
        let fold = line.delivery.map(Fold::Delivery);
        let width = room.saturating_sub(indent).max(12);
        let wrapped = super::widgets::wrap(&words, width.saturating_sub(id.len()).max(8));
        for (index, part) in wrapped.into_iter().enumerate() {
            let mut pieces = if index == 0 {
                vec![(head.clone(), Role::Dim)]
            } else {
                vec![(" ".repeat(indent), Role::Dim)]
            };
            pieces.push((part, Role::Text));
            if index == 0 {
                pieces.push((id.clone(), Role::Accent));
            }
            rows.foldable(fold, pieces);
        }
    }
    if story.older > 0 {
        let text = format!(
            "  ... {} older: `midwatch story` tells them",
            watch::grouped(story.older)
        );
        rows.push(vec![(text, Role::Dim)]);
    }
}

/// Draws the screen.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let record = &model.record;
    let below = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    let Some(about) = &record.about else {
        found(model, pen, area);
        return;
    };
    let mut heading = vec![
        (format!(" {} ", about.kind), Role::Accent),
        (format!("{} ", about.key), Role::Title),
    ];
    if let Some(story) = &record.data
        && story.about != *about
    {
        heading.push((format!(" is {} ", story.about.key), Role::Warn));
    }
    if has_hash(model) && area.width >= 60 {
        let words = if record.unmasked {
            " sensitive values are kept as hashes only "
        } else {
            " sensitive values are masked (m) "
        };
        heading.push((words.to_owned(), Role::Dim));
    }
    pen.pieces(area.x, area.y, area.width, &heading);
    if record.data.is_none() {
        let words = if record.gone {
            format!(
                "nothing is known of {} {}: / finds records by key or id",
                about.kind, about.key
            )
        } else {
            "reading ...".to_owned()
        };
        super::empty(model, pen, below, Slot::Story, &words);
        return;
    }
    lines::draw(pen, below, &rows(model), record.top, record.line);
}

/// The records that were looked for.
fn found(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let record = &model.record;
    let pieces = if record.needle.is_empty() {
        vec![(
            " records, the last changed first; / finds one by key or id".to_owned(),
            Role::Dim,
        )]
    } else {
        vec![
            (" records with: ".to_owned(), Role::Dim),
            (record.needle.clone(), Role::Accent),
        ]
    };
    pen.pieces(area.x, area.y, area.width, &pieces);
    let area = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1),
    );
    let height = usize::from(area.height.saturating_sub(1));
    let rows: Vec<TableRow> = super::window(&record.found, record.pick.top, height)
        .map(|(index, row)| {
            let ids: Vec<String> = (row.ids.iter())
                .map(|(system, id)| format!("{system} {id}"))
                .collect();
            TableRow {
                cells: vec![
                    (row.about.kind.clone(), Role::Accent),
                    (row.about.key.clone(), Role::Title),
                    (ids.join("  "), Role::Text),
                    (when(model, row.changed), Role::Dim),
                ],
                selected: index == record.pick.index,
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
        let words = if record.needle.is_empty() {
            "no record is known yet: paths between record types make them known"
        } else {
            "no record has such a key or id; / looks for another"
        };
        super::empty(model, pen, inner, Slot::Found, words);
    }
    pen.scrollbar(inner, record.pick.top, record.found.len());
}
