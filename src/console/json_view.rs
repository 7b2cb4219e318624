//! A foldable view of bytes: JSON pretty-printed, else text, else a hex dump.
//!
//! JSON is read by a tokenizer of our own over the bytes, because what is shown must be what was sent: key order, duplicate
//! keys and the digits of numbers stay, and an answer that was cut off in the middle is still laid out. Masks nothing and
//! drops nothing; all text comes out [`Visible`]. Pure, and made for a megabyte: parsing is one pass, and rows are made
//! for the window only. Called by the Delivery screen and `midwatch show`.

mod layout;
mod place;
mod token;

use std::ops::Range;

use bytes::Bytes;

use crate::visible::{self, Visible};
use layout::{HEX_GAP, Shown};
use token::{Node, Shape};

/// More than this is not laid out, in bytes; a note says so.
pub const MAX_BYTES: usize = 64 << 20;

/// What the bytes were taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON value; the end may be missing.
    Json,
    /// Text.
    Text,
    /// Anything else.
    Hex,
    /// Nothing at all.
    Empty,
}

/// What a piece of a row is; its look is the theme's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Blanks.
    Indent,
    /// `- ` before what can be folded, `+ ` before what is.
    Fold,
    /// An object's key, in its quotes.
    Key,
    /// A string, in its quotes.
    Text,
    /// A number, digit for digit.
    Number,
    /// `true`, `false`, `null`.
    Word,
    /// Brackets, colons, commas.
    Mark,
    /// What stands for a folded part: `{... 7 keys}`.
    Summary,
    /// The offset of a row of a hex dump, and its letters.
    Aside,
    /// What is said about the bytes, not of them.
    Note,
}

/// One row as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its pieces from left to right.
    pub parts: Vec<(Part, Visible)>,
    /// It can be folded or unfolded; true if it is folded now.
    pub folded: Option<bool>,
    /// It begins a place that was marked.
    pub marked: bool,
}

/// Bytes, laid out.
#[derive(Debug, Clone)]
pub struct Tree {
    source: Bytes,
    format: Format,
    nodes: Vec<Node>,
    /// JSON whose end is missing, or bytes beyond [`MAX_BYTES`].
    cut: bool,
    /// Every line of the text ends in CR LF.
    crlf: bool,
    width: usize,
    shown: Vec<Shown>,
    /// Nodes that are marked.
    marked: Vec<u32>,
}

impl Tree {
    /// Reads `bytes`; laid out for 80 cells until [`Tree::fit`].
    pub fn parse(bytes: impl Into<Bytes>) -> Self {
        let mut source: Bytes = bytes.into();
        let too_long = source.len() > MAX_BYTES;
        source.truncate(MAX_BYTES);
        let mut tree = Self {
            format: Format::Empty,
            nodes: Vec::new(),
            cut: too_long,
            crlf: false,
            width: 80,
            shown: Vec::new(),
            marked: Vec::new(),
            source,
        };
        if let Some(json) = token::read(&tree.source) {
            tree.format = Format::Json;
            tree.nodes = json.nodes;
            tree.cut |= json.cut;
        } else if tree.source.is_empty() {
            tree.format = Format::Empty;
        } else if layout::is_text(&tree.source) {
            tree.format = Format::Text;
            let mut lines = tree.source.split(|b| *b == b'\n');
            let last = lines.next_back();
            tree.crlf = tree.source.len() > last.map_or(0, <[u8]>::len)
                && lines.all(|line| line.ends_with(b"\r"));
        } else {
            tree.format = Format::Hex;
        }
        tree.lay_out();
        tree
    }

    /// Lays the rows out for `width` cells (at least 8). Nothing happens if they are.
    pub fn fit(&mut self, width: usize) {
        let width = width.max(8);
        if width != self.width {
            self.width = width;
            self.lay_out();
        }
    }

    /// What the bytes were taken for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What the view is of, in a few words: `JSON, 7 keys`, `text, CRLF, 312 bytes`.
    pub fn title(&self) -> String {
        let bytes = count(self.source.len(), "byte", "bytes");
        match self.format {
            Format::Json => {
                let inside = self.nodes.first().and_then(|node| match node.shape {
                    Shape::Object => Some(count(node.count as usize, "key", "keys")),
                    Shape::Array => Some(count(node.count as usize, "item", "items")),
                    _ => None,
                });
                let cut = if self.cut { ", cut off" } else { "" };
                format!("JSON, {}{cut}", inside.unwrap_or(bytes))
            }
            Format::Text if self.crlf => format!("text, CRLF, {bytes}"),
            Format::Text => format!("text, {bytes}"),
            Format::Hex => format!("binary, {bytes}"),
            Format::Empty => "empty".to_owned(),
        }
    }

    /// Rows shown now.
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Whether nothing is shown; never, as even no bytes have a row that says so.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// The rows of `window`, as far as there are any.
    pub fn rows(&self, window: Range<usize>) -> Vec<Row> {
        let end = window.end.min(self.len());
        let start = window.start.min(end);
        self.shown[start..end]
            .iter()
            .map(|shown| self.row(*shown))
            .collect()
    }

    /// Folds what opens in `row`, or unfolds it; on any other row, folds what it stands in. Gives the row where the
    /// selection belongs then.
    pub fn toggle(&mut self, row: usize) -> usize {
        let Some(Shown::Node { node, .. }) = self.shown.get(row).copied() else {
            return row;
        };
        let opens = |at: &usize| {
            self.nodes
                .get(*at)
                .is_some_and(|open| open.is_open() && open.end as usize >= node as usize)
        };
        let Some(target) = (0..=node as usize).rev().find(opens) else {
            return row;
        };
        self.nodes[target].folded = !self.nodes[target].folded;
        self.lay_out();
        self.shown
            .binary_search_by(|shown| match shown {
                Shown::Node { node, part } => (*node as usize, part.start).cmp(&(target, 0)),
                _ => std::cmp::Ordering::Greater,
            })
            .unwrap_or_else(|near| near.min(self.len().saturating_sub(1)))
    }

    /// Folds everything inside the outermost value.
    pub fn fold_all(&mut self) {
        self.fold_each(true);
    }

    /// Unfolds everything.
    pub fn unfold_all(&mut self) {
        self.fold_each(false);
    }

    fn fold_each(&mut self, folded: bool) {
        for (place, node) in self.nodes.iter_mut().enumerate() {
            node.folded = folded && place > 0 && node.is_open();
        }
        self.lay_out();
    }

    fn row(&self, shown: Shown) -> Row {
        match shown {
            Shown::Node { node, part } => self.node_row(node as usize, &part.range()),
            Shown::Line(part) => Row {
                parts: vec![(
                    Part::Text,
                    Visible::lines_of_bytes(self.slice(&part.range())),
                )],
                folded: None,
                marked: false,
            },
            Shown::Hex(at) => self.hex_row(at as usize),
            Shown::Note => Row {
                parts: vec![(Part::Note, visible::line(self.note(), self.width))],
                folded: None,
                marked: false,
            },
        }
    }

    fn note(&self) -> &'static str {
        match self.format {
            Format::Empty => "(empty)",
            _ => "(cut off here)",
        }
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.source.get(range.clone()).unwrap_or_default()
    }

    fn node_row(&self, place: usize, part: &Range<usize>) -> Row {
        let node = &self.nodes[place];
        let mark = |text: &str| (Part::Mark, Visible::of(text));
        let foldable = node.is_open();
        let fold = match (foldable, node.folded) {
            (false, _) => "  ",
            (true, false) => "- ",
            (true, true) => "+ ",
        };
        let mut parts = vec![
            (
                Part::Indent,
                Visible::of(&" ".repeat(layout::indent(node, self.width))),
            ),
            (Part::Fold, Visible::of(fold)),
        ];
        let whole = node.value.range();
        // A long value goes on in rows of its own, below its key.
        let first = part.start == whole.start || !node.is_scalar();
        if !first {
            parts.push((Part::Indent, Visible::of(layout::HANG)));
        } else if let Some(key) = node.key {
            let key = Visible::of_bytes(self.slice(&key.range()));
            let room = layout::key_room(node, self.width);
            parts.push((Part::Key, visible::line(key.as_str(), room)));
            parts.push(mark(": "));
        }
        let mut comma = node.comma;
        match node.shape {
            Shape::Object if node.folded => {
                parts.push((Part::Summary, summary('{', node.count, "key", "keys", '}')));
            }
            Shape::Array if node.folded => {
                parts.push((
                    Part::Summary,
                    summary('[', node.count, "item", "items", ']'),
                ));
            }
            Shape::Object => parts.push(mark("{")),
            Shape::Array => parts.push(mark("[")),
            Shape::EndObject => parts.push(mark("}")),
            Shape::EndArray => parts.push(mark("]")),
            Shape::EmptyObject => parts.push(mark("{}")),
            Shape::EmptyArray => parts.push(mark("[]")),
            Shape::Text | Shape::Number | Shape::Word => {
                let kind = match node.shape {
                    Shape::Text => Part::Text,
                    Shape::Number => Part::Number,
                    _ => Part::Word,
                };
                parts.push((kind, Visible::of_bytes(self.slice(part))));
                comma &= part.end == whole.end;
            }
        }
        if node.is_open() {
            // The comma belongs to the end, which a folded part shows on its own row.
            let end = self.nodes.get(node.end as usize);
            comma = node.folded && end.is_some_and(|end| end.comma);
        }
        if comma {
            parts.push(mark(","));
        }
        parts.retain(|(_, text)| !text.as_str().is_empty());
        Row {
            parts,
            folded: foldable.then_some(node.folded),
            marked: first && self.marked.contains(&(place as u32)),
        }
    }

    fn hex_row(&self, at: usize) -> Row {
        use std::fmt::Write as _;
        let across = layout::hex_across(self.width);
        let bytes = self.slice(&(at..(at + across).min(self.source.len())));
        let mut digits = String::with_capacity(across * 3);
        let mut letters = String::with_capacity(across);
        for byte in bytes {
            let _ = write!(digits, "{byte:02x} ");
            letters.push(if (b' '..=b'~').contains(byte) {
                char::from(*byte)
            } else {
                '.'
            });
        }
        let fill = across * 3;
        let mut parts = vec![(Part::Number, Visible::of(&format!("{digits:fill$}")))];
        if self.width >= layout::HEX_OFFSET + HEX_GAP + across * 4 {
            parts.insert(0, (Part::Aside, Visible::of(&format!("{at:08x}  "))));
        }
        if self.width >= across * 4 + HEX_GAP {
            parts.push((Part::Aside, Visible::of(&format!(" {letters}"))));
        }
        Row {
            parts,
            folded: None,
            marked: false,
        }
    }
}

fn summary(open: char, number: u32, one: &str, many: &str, close: char) -> Visible {
    Visible::of(&format!(
        "{open}... {}{close}",
        count(number as usize, one, many)
    ))
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
