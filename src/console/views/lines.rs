//! Lines of a screen that is read like a page: foldable parts, fields with names, and where Enter leads from each.
//!
//! The Delivery and Record screens are built of these; they are made anew for each frame, from the model alone.

use std::collections::HashSet;

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::json_view::{Part, Tree};
use super::super::model::{Body, Fold, Model};
use super::super::theme::Role;
use super::super::widgets::{self, Pen};
use crate::time::Timestamp;
use crate::visible::Visible;

/// Lines of a body that are shown; beyond that nobody reads on a terminal.
const LONGEST: usize = 2_000;

/// One line of the screen.
#[derive(Debug, Clone)]
pub struct Row {
    /// What Enter does here.
    pub fold: Option<Fold>,
    /// The line.
    pub line: Line<'static>,
}

/// Builds the lines.
pub(super) struct Rows<'a> {
    pub(super) model: &'a Model,
    folded: &'a HashSet<&'static str>,
    pub(super) done: Vec<Row>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(model: &'a Model, folded: &'a HashSet<&'static str>) -> Self {
        Self {
            model,
            folded,
            done: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, pieces: Vec<(String, Role)>) {
        self.foldable(None, pieces);
    }

    pub(super) fn foldable(&mut self, fold: Option<Fold>, pieces: Vec<(String, Role)>) {
        let spans = pieces
            .into_iter()
            .map(|(text, role)| {
                Span::styled(
                    Visible::of(&text).into_string(),
                    self.model.theme.style(role),
                )
            })
            .collect::<Vec<_>>();
        self.done.push(Row {
            fold,
            line: Line::from(spans),
        });
    }

    /// A heading; false if what is below it is folded away.
    pub(super) fn heading(&mut self, key: &'static str, title: &str, rest: &str) -> bool {
        let open = !self.folded.contains(key);
        let theme = self.model.theme;
        let mark = if open {
            theme.glyph("▾", "v")
        } else {
            theme.glyph("▸", ">")
        };
        self.foldable(
            Some(Fold::Part(key)),
            vec![
                (format!("{mark} "), Role::Accent),
                (format!("{title}  "), Role::Title),
                (rest.to_owned(), Role::Dim),
            ],
        );
        open
    }

    /// A body, as it is laid out; what is marked in it stands out.
    pub(super) fn tree(&mut self, tree: &Tree, body: Body) {
        let mark = self.model.theme.glyph("▲ ", "! ");
        for (index, row) in tree.rows(0..LONGEST).into_iter().enumerate() {
            let is_marked = row.marked;
            let mut pieces = vec![if is_marked {
                (mark.to_owned(), Role::Bad)
            } else {
                ("  ".to_owned(), Role::Text)
            }];
            pieces.extend(row.parts.into_iter().map(|(part, text)| {
                let role = match part {
                    Part::Key | Part::Text | Part::Number | Part::Word if is_marked => Role::Bad,
                    Part::Indent | Part::Text => Role::Text,
                    Part::Fold | Part::Summary => Role::Accent,
                    Part::Key => Role::Busy,
                    Part::Number => Role::Good,
                    Part::Word => Role::Warn,
                    Part::Mark | Part::Aside | Part::Note => Role::Dim,
                };
                (text.into_string(), role)
            }));
            let fold = row.folded.map(|_| Fold::Tree(body, index));
            self.foldable(fold, pieces);
        }
        let more = tree.len().saturating_sub(LONGEST);
        if more > 0 {
            let text = format!("  ... {more} more lines: fold some, or see `midwatch show`");
            self.push(vec![(text, Role::Dim)]);
        }
    }

    /// A value with its name, wrapped under itself.
    pub(super) fn field(&mut self, name: &str, value: &str, role: Role) {
        self.leading(None, name, value, role);
    }

    /// The same, where Enter leads somewhere.
    pub(super) fn leading(&mut self, fold: Option<Fold>, name: &str, value: &str, role: Role) {
        let name = format!("  {name:<11} ");
        let width = super::text_width(self.model)
            .saturating_sub(name.len())
            .max(8);
        for (index, line) in widgets::wrap(value, width).into_iter().enumerate() {
            let name = if index == 0 {
                name.clone()
            } else {
                " ".repeat(name.len())
            };
            self.foldable(fold, vec![(name, Role::Dim), (line, role)]);
        }
    }
}

/// The time of day, with the date where it is another day.
pub(super) fn at(model: &Model, time: Timestamp) -> String {
    let zone = model.config.site.timezone;
    let same_day = time.in_zone(zone, "%F") == model.now.in_zone(zone, "%F");
    time.in_zone(zone, if same_day { "%H:%M:%S" } else { "%F %H:%M:%S" })
}

/// Draws the lines from `top` on, with the cursor on `line`.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, rows: &[Row], top: usize, line: usize) {
    for (offset, row) in rows
        .iter()
        .skip(top)
        .take(usize::from(area.height))
        .enumerate()
    {
        let y = area.y + offset as u16;
        pen.line(area.x + 1, y, area.width.saturating_sub(2), &row.line);
        if top + offset == line {
            let bar = Rect::new(area.x, y, area.width, 1).intersection(pen.buffer.area);
            pen.over(bar, Role::Selected);
        }
    }
    pen.scrollbar(area, top, rows.len());
}
