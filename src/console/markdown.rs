//! A runbook's blocks -> wrapped, styled lines for a width.
//!
//! What each piece is (a [`Role`]) is decided here, what it looks like is the caller's theme. All text goes through
//! [`Visible`]; a code block never wraps silently, because what is typed from it must be what it says. Pure; called by
//! the console's runbook view.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;

use crate::runbook::{self, Admonition, Block, Item, Runbook};
use crate::visible::{self, Visible};

/// What a piece of a runbook is. Where several hold, their styles are patched over each other in the order given here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Running text.
    Text,
    /// Front matter and HTML source.
    Field,
    /// A heading of level 1.
    Title,
    /// A heading of a lower level.
    Heading,
    /// The heading row of a table, and the names in a table that is stacked.
    TableHead,
    /// Strong.
    Strong,
    /// Emphasis.
    Emphasis,
    /// Struck out.
    Struck,
    /// Code, inline or as a block.
    Code,
    /// A link's text and target.
    Link,
    /// A bullet or a number.
    Bullet,
    /// The box of a task that is open.
    TaskOpen,
    /// The box of a task that is done.
    TaskDone,
    /// The bar beside a quotation.
    Quote,
    /// The bar and name of a note, tip or important remark.
    Note,
    /// The bar and name of a warning or caution, and what was not understood in the file.
    Warning,
    /// The lines of a table, below a title, and across.
    TableRule,
    /// The mark of a code line that continues the one above.
    Continued,
}

/// A runbook, to be laid out.
#[derive(Debug, Clone, Copy)]
pub struct Markdown<'a> {
    runbook: &'a Runbook,
    ascii: bool,
}

/// A runbook, laid out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Its lines; none is wider than asked for, or than 3 cells (a bar and a wide character).
    pub lines: Vec<Line<'static>>,
    /// For each of the runbook's blocks, the line where it begins.
    pub starts: Vec<usize>,
}

impl<'a> Markdown<'a> {
    /// Lays out `runbook` with box-drawing characters.
    pub fn new(runbook: &'a Runbook) -> Self {
        Self {
            runbook,
            ascii: false,
        }
    }

    /// Draws with ASCII only, if `ascii`. The runbook's own letters stay as they are.
    #[must_use]
    pub fn ascii(mut self, ascii: bool) -> Self {
        self.ascii = ascii;
        self
    }

    /// The lines for `width` cells.
    pub fn lines(&self, width: u16, style: impl Fn(Role) -> Style) -> Vec<Line<'static>> {
        self.page(width, style).lines
    }

    /// The lines for `width` cells, and where each block begins.
    pub fn page(&self, width: u16, style: impl Fn(Role) -> Style) -> Page {
        let mut layout = Layout {
            style: &style,
            ascii: self.ascii,
            width: usize::from(width).max(1),
            prefix: Vec::new(),
            lines: Vec::new(),
        };
        let rows = self.runbook.front.rows();
        let name_width = rows
            .iter()
            .map(|(name, _)| visible::width(name))
            .max()
            .unwrap_or(0);
        for (name, value) in &rows {
            let name = format!("{:name_width$}  ", Visible::of(name));
            let name = vec![Span::styled(name, style(Role::Field))];
            let value = [runbook::Span {
                text: value.clone(),
                ..runbook::Span::default()
            }];
            layout.hanging(name, |layout| layout.running(&value, Role::Field));
        }
        for warning in &self.runbook.warnings {
            let text = [runbook::Span {
                text: warning.clone(),
                ..runbook::Span::default()
            }];
            let mark = vec![Span::styled("! ", style(Role::Warning))];
            layout.hanging(mark, |layout| layout.running(&text, Role::Warning));
        }
        let mut starts = Vec::with_capacity(self.runbook.blocks.len());
        for block in &self.runbook.blocks {
            if !layout.lines.is_empty() {
                layout.lines.push(Line::default());
            }
            starts.push(layout.lines.len());
            layout.block(block);
        }
        Page {
            lines: layout.lines,
            starts,
        }
    }
}

/// What stands before the text of a line: once (a bullet), then again and again (its indent).
struct Prefix {
    first: Vec<Span<'static>>,
    rest: Vec<Span<'static>>,
    fresh: bool,
}

struct Layout<'a> {
    style: &'a dyn Fn(Role) -> Style,
    ascii: bool,
    width: usize,
    prefix: Vec<Prefix>,
    lines: Vec<Line<'static>>,
}

/// A character as its reader sees it, with its style.
type Cell<'a> = (&'a str, Style);

impl Layout<'_> {
    fn glyph(&self, glyph: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { glyph }
    }

    /// Cells left for text beside the prefixes, which never take more than half.
    fn room(&self) -> usize {
        let width = |prefix: &Prefix| spans_width(&prefix.rest);
        let taken: usize = self.prefix.iter().map(width).sum();
        self.width - taken.min(self.width / 2)
    }

    /// The same for the next line, which may have a bullet before it.
    fn room_now(&self) -> usize {
        let width = |prefix: &Prefix| {
            spans_width(if prefix.fresh {
                &prefix.first
            } else {
                &prefix.rest
            })
        };
        let taken: usize = self.prefix.iter().map(width).sum();
        self.width - taken.min(self.width / 2)
    }

    /// One line: prefixes, cut to what they may take, then `text`.
    fn line(&mut self, text: Vec<Span<'static>>) {
        let mut left = self.width - self.room_now();
        let mut spans = Vec::new();
        for prefix in &mut self.prefix {
            let part = if prefix.fresh {
                &prefix.first
            } else {
                &prefix.rest
            };
            prefix.fresh = false;
            for span in part {
                let fitting = visible::fitting(&span.content, left);
                left -= visible::width(fitting);
                if !fitting.is_empty() {
                    spans.push(Span::styled(fitting.to_owned(), span.style));
                }
            }
        }
        spans.extend(text);
        // Nothing is drawn by blanks at the end, and they would count against the terminal's link.
        while spans
            .last()
            .is_some_and(|span| span.content.trim_end().is_empty() && span.style.bg.is_none())
        {
            spans.pop();
        }
        self.lines.push(Line::from(spans));
    }

    fn nested(
        &mut self,
        first: Vec<Span<'static>>,
        rest: Vec<Span<'static>>,
        inside: impl FnOnce(&mut Self),
    ) {
        let lines = self.lines.len();
        self.prefix.push(Prefix {
            first,
            rest,
            fresh: true,
        });
        inside(self);
        if self.lines.len() == lines {
            self.line(Vec::new());
        }
        self.prefix.pop();
    }

    /// `inside`, behind `first` and indented by as much.
    fn hanging(&mut self, first: Vec<Span<'static>>, inside: impl FnOnce(&mut Self)) {
        let indent = vec![Span::raw(" ".repeat(spans_width(&first)))];
        self.nested(first, indent, inside);
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Heading { level: 1, text } => {
                let before = self.lines.len();
                self.running(text, Role::Title);
                let widest = self.lines[before..]
                    .iter()
                    .map(|line| spans_width(&line.spans))
                    .max();
                let rule = self
                    .glyph("═", "=")
                    .repeat(widest.unwrap_or(0).min(self.room_now()));
                self.line(vec![Span::styled(rule, (self.style)(Role::TableRule))]);
            }
            Block::Heading { level, text } => {
                let marks = match level {
                    _ if self.ascii => "#".repeat(usize::from(*level)) + " ",
                    2 => "▌ ".to_owned(),
                    _ => "▎ ".to_owned(),
                };
                let marks = vec![Span::styled(marks, (self.style)(Role::Heading))];
                self.hanging(marks, |layout| layout.running(text, Role::Heading));
            }
            Block::Paragraph(text) => self.running(text, Role::Text),
            Block::List { start, items } => self.list(*start, items),
            Block::Table { head, rows } => self.table(head, rows),
            Block::Code { info, text } => self.code(info, text),
            Block::Quote(blocks) => self.barred(Role::Quote, |layout| layout.blocks(blocks)),
            Block::Admonition { kind, blocks } => {
                let role = match kind {
                    Admonition::Note | Admonition::Tip | Admonition::Important => Role::Note,
                    Admonition::Warning | Admonition::Caution => Role::Warning,
                };
                self.barred(role, |layout| {
                    let word = runbook::Span {
                        text: kind.word().to_owned(),
                        ..runbook::Span::default()
                    };
                    layout.running(&[word], role);
                    layout.blocks(blocks);
                });
            }
            Block::Rule => {
                let rule = self.glyph("─", "-").repeat(self.room_now());
                self.line(vec![Span::styled(rule, (self.style)(Role::TableRule))]);
            }
            Block::Html(text) => {
                let text = [runbook::Span {
                    text: text.clone(),
                    ..runbook::Span::default()
                }];
                self.running(&text, Role::Field);
            }
        }
    }

    /// Blocks inside another: close together, but with air between paragraphs.
    fn blocks(&mut self, blocks: &[Block]) {
        for (place, block) in blocks.iter().enumerate() {
            let both = |block: &Block| matches!(block, Block::Paragraph(_));
            if place > 0 && both(block) && both(&blocks[place - 1]) {
                self.line(Vec::new());
            }
            self.block(block);
        }
    }

    fn barred(&mut self, role: Role, inside: impl FnOnce(&mut Self)) {
        let bar = vec![Span::styled(self.glyph("│ ", "| "), (self.style)(role))];
        self.nested(bar.clone(), bar, inside);
    }

    fn list(&mut self, start: Option<u64>, items: &[Item]) {
        let last = start
            .map(|start| start.saturating_add(items.len() as u64 - u64::from(!items.is_empty())));
        let digits = last.map_or(0, |last| last.to_string().len());
        for (place, item) in items.iter().enumerate() {
            let mark = match start {
                Some(start) => format!("{:>digits$}. ", start.saturating_add(place as u64)),
                None if item.task.is_some() => String::new(),
                None => self.glyph("• ", "- ").to_owned(),
            };
            // What follows stands below the number, not below the box: on a phone each cell counts.
            let indent = visible::width(&mark).max(2);
            let mut first = vec![Span::styled(mark, (self.style)(Role::Bullet))];
            match item.task {
                Some(true) => first.push(Span::styled("[x] ", (self.style)(Role::TaskDone))),
                Some(false) => first.push(Span::styled("[ ] ", (self.style)(Role::TaskOpen))),
                None => {}
            }
            let rest = vec![Span::raw(" ".repeat(indent))];
            self.nested(first, rest, |layout| layout.blocks(&item.blocks));
        }
    }

    fn code(&mut self, info: &str, text: &str) {
        let indent = vec![Span::raw("  ")];
        self.nested(indent.clone(), indent, |layout| {
            let (code, mark) = ((layout.style)(Role::Code), (layout.style)(Role::Continued));
            // The name of a language tells nothing that the reader does not see; more than a name is an instruction.
            if info.contains(char::is_whitespace) {
                let info = Visible::of(info);
                for part in layout.split(info.as_str(), 0) {
                    layout.line(vec![Span::styled(part, (layout.style)(Role::Field))]);
                }
            }
            // On a screen of a few cells there is room for the mark or for the text.
            let glyph = if layout.room() < 4 {
                ""
            } else {
                layout.glyph("↪ ", "+ ")
            };
            for line in Visible::lines_of(text).as_str().split('\n') {
                for (place, part) in layout
                    .split(line, visible::width(glyph))
                    .into_iter()
                    .enumerate()
                {
                    let mut spans = Vec::new();
                    if place > 0 {
                        spans.push(Span::styled(glyph, mark));
                    }
                    spans.push(Span::styled(part, code));
                    layout.line(spans);
                }
            }
        });
    }

    /// Visible `text` in parts that fit the room; all but the first leave `hang` cells free.
    fn split(&self, text: &str, hang: usize) -> Vec<String> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let room = if parts.is_empty() {
                self.room_now()
            } else {
                self.room().saturating_sub(hang)
            };
            let mut part = visible::fitting(rest, room.max(1));
            if part.is_empty() {
                // A character wider than the room stands alone.
                part = rest.graphemes(true).next().unwrap_or("");
            }
            // Better after a space than inside a word, if that leaves a good part of the line.
            if part.len() < rest.len()
                && let Some(space) = part.rfind(' ').filter(|space| *space > part.len() / 3)
            {
                part = &part[..=space];
            }
            parts.push(part.to_owned());
            rest = &rest[part.len()..];
            if rest.is_empty() {
                return parts;
            }
        }
    }

    fn running(&mut self, text: &[runbook::Span], base: Role) {
        let pieces = self.pieces(text, base);
        for line in wrap(&pieces, self.room_now(), self.room()) {
            self.line(line);
        }
    }

    /// Visible pieces with their styles; a hard break is a piece of its own, `\n`.
    fn pieces(&self, text: &[runbook::Span], base: Role) -> Vec<(String, Style)> {
        let mut pieces: Vec<(String, Style)> = Vec::new();
        for (place, span) in text.iter().enumerate() {
            let marks = [
                (span.strong, Role::Strong),
                (span.emphasis, Role::Emphasis),
                (span.struck, Role::Struck),
                (span.code, Role::Code),
                (span.link.is_some(), Role::Link),
            ];
            let style = marks
                .into_iter()
                .filter_map(|(on, role)| on.then_some(role))
                .fold((self.style)(base), |style, role| {
                    style.patch((self.style)(role))
                });
            for (place, line) in span.text.split('\n').enumerate() {
                if place > 0 {
                    pieces.push(("\n".to_owned(), style));
                }
                pieces.push((Visible::of(line).into_string(), style));
            }
            let next = text.get(place + 1).and_then(|next| next.link.as_ref());
            if let Some(link) = &span.link
                && next != Some(link)
                && *link != span.text
            {
                pieces.push((format!(" <{}>", Visible::of(link)), style));
            }
        }
        pieces
    }

    fn table(&mut self, head: &[Vec<runbook::Span>], rows: &[Vec<Vec<runbook::Span>>]) {
        let columns = head.len();
        let gap = self.glyph(" │ ", " | ");
        let room = self.room().min(self.room_now());
        let gaps = columns.saturating_sub(1) * visible::width(gap);
        let head: Vec<_> = head
            .iter()
            .map(|cell| self.pieces(cell, Role::TableHead))
            .collect();
        let rows: Vec<Vec<_>> = rows
            .iter()
            .map(|row| {
                row.iter()
                    .map(|cell| self.pieces(cell, Role::Text))
                    .collect()
            })
            .collect();
        let Some(widths) = columns_that_fit(&head, &rows, room.saturating_sub(gaps)) else {
            self.stacked(&head, &rows);
            return;
        };
        let rule_style = (self.style)(Role::TableRule);
        self.row(&head, &widths, gap);
        let rule: Vec<_> = widths
            .iter()
            .map(|width| self.glyph("─", "-").repeat(*width))
            .collect();
        let rule = rule.join(self.glyph("─┼─", "-+-"));
        self.line(vec![Span::styled(rule, rule_style)]);
        for row in &rows {
            self.row(row, &widths, gap);
        }
    }

    fn row(&mut self, cells: &[Vec<(String, Style)>], widths: &[usize], gap: &'static str) {
        let rule_style = (self.style)(Role::TableRule);
        let mut cells: Vec<_> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| wrap(cell, *width, *width).into_iter())
            .collect();
        let mut first = true;
        loop {
            let parts: Vec<_> = cells.iter_mut().map(Iterator::next).collect();
            if parts.iter().all(Option::is_none) && !first {
                return;
            }
            first = false;
            let last = parts.len().saturating_sub(1);
            let mut spans = Vec::new();
            for (place, (part, width)) in parts.into_iter().zip(widths).enumerate() {
                let part = part.unwrap_or_default();
                let fill = width.saturating_sub(spans_width(&part));
                spans.extend(part);
                if place < last {
                    spans.push(Span::raw(" ".repeat(fill)));
                    spans.push(Span::styled(gap, rule_style));
                }
            }
            self.line(spans);
        }
    }

    /// A table too wide for its columns: each row as lines of `name: value`, below each other.
    fn stacked(&mut self, head: &[Vec<(String, Style)>], rows: &[Vec<Vec<(String, Style)>>]) {
        let rule_style = (self.style)(Role::TableRule);
        let head_style = (self.style)(Role::TableHead);
        if rows.is_empty() {
            for name in head {
                for line in wrap(name, self.room_now(), self.room()) {
                    self.line(line);
                }
            }
        }
        for (place, row) in rows.iter().enumerate() {
            if place > 0 {
                let rule = self.glyph("─", "-").repeat(self.room().min(8));
                self.line(vec![Span::styled(rule, rule_style)]);
            }
            for (name, value) in head.iter().zip(row) {
                let mut pieces = name.clone();
                if !pieces.is_empty() {
                    pieces.push((": ".to_owned(), head_style));
                }
                pieces.extend(value.iter().cloned());
                for line in wrap(&pieces, self.room_now(), self.room()) {
                    self.line(line);
                }
            }
        }
    }
}

/// The narrowest column that is worth having beside others.
const NARROWEST: usize = 8;

/// Widths of the columns, none above what its cells need, together at most `room`. None if that leaves a column too narrow.
fn columns_that_fit(
    head: &[Vec<(String, Style)>],
    rows: &[Vec<Vec<(String, Style)>>],
    room: usize,
) -> Option<Vec<usize>> {
    let need = |cell: &Vec<(String, Style)>| -> usize {
        cell.split(|(text, _)| text == "\n")
            .map(|line| line.iter().map(|(text, _)| visible::width(text)).sum())
            .max()
            .unwrap_or(0)
    };
    let mut widths: Vec<usize> = head.iter().map(need).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(need(cell));
        }
    }
    let least: usize = widths.iter().map(|width| (*width).min(NARROWEST)).sum();
    if widths.is_empty() || least > room {
        return None;
    }
    for width in &mut widths {
        *width = (*width).clamp(1, room.max(1));
    }
    // What is too much is taken from the widest, cell by cell: at most columns * room steps.
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > 1 => *widest -= 1,
            _ => return None,
        }
    }
    Some(widths)
}

fn spans_width(spans: &[Span<'_>]) -> usize {
    spans.iter().map(|span| visible::width(&span.content)).sum()
}

/// Breaks `pieces` at spaces (or inside a word that is too wide) and at hard breaks: `first` cells on the first line,
/// `room` on the others. At least one line.
fn wrap(pieces: &[(String, Style)], first: usize, room: usize) -> Vec<Vec<Span<'static>>> {
    let mut wrapper = Wrapper {
        room: first.max(1),
        next: room.max(1),
        lines: vec![Vec::new()],
        ..Wrapper::default()
    };
    for (text, style) in pieces {
        for cluster in text.graphemes(true) {
            match cluster {
                "\n" => {
                    wrapper.end_word();
                    wrapper.break_line();
                }
                " " => {
                    wrapper.end_word();
                    wrapper.spaces.push((cluster, *style));
                }
                _ => {
                    wrapper.word_width += visible::width(cluster);
                    wrapper.word.push((cluster, *style));
                }
            }
        }
    }
    wrapper.end_word();
    wrapper
        .lines
        .into_iter()
        .map(|line| joined(&line))
        .collect()
}

/// A paragraph being broken into lines.
#[derive(Default)]
struct Wrapper<'a> {
    /// Cells of the last line.
    room: usize,
    /// Cells of the lines after it.
    next: usize,
    lines: Vec<Vec<Cell<'a>>>,
    /// Cells taken on the last line.
    used: usize,
    /// The word under way, not yet on a line.
    word: Vec<Cell<'a>>,
    word_width: usize,
    /// What stands before it; left out at a break.
    spaces: Vec<Cell<'a>>,
}

impl<'a> Wrapper<'a> {
    fn break_line(&mut self) {
        self.lines.push(Vec::new());
        self.spaces.clear();
        self.used = 0;
        self.room = self.next;
    }

    fn push(&mut self, cell: Cell<'a>, width: usize) {
        if let Some(line) = self.lines.last_mut() {
            line.push(cell);
        }
        self.used += width;
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        if self.used == 0 {
            self.spaces.clear();
        }
        if self.used > 0 && self.used + self.spaces.len() + self.word_width > self.room {
            self.break_line();
        }
        for space in std::mem::take(&mut self.spaces) {
            self.push(space, 1);
        }
        self.word_width = 0;
        for cell in std::mem::take(&mut self.word) {
            let width = visible::width(cell.0);
            if self.used > 0 && self.used + width > self.room {
                self.break_line();
            }
            self.push(cell, width);
        }
    }
}

/// Neighbours of one style as one span.
fn joined(cells: &[Cell<'_>]) -> Vec<Span<'static>> {
    cells
        .chunk_by(|a, b| a.1 == b.1)
        .map(|run| {
            Span::styled(
                run.iter().map(|(text, _)| *text).collect::<String>(),
                run[0].1,
            )
        })
        .collect()
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
