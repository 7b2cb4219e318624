//! What a runbook's body consists of. Plain data, nested at most [`MAX_DEPTH`] deep so that walking it is safe.

use std::fmt::Write as _;

/// How deep quotes, lists and items may nest; what is deeper is kept at this depth.
pub(super) const MAX_DEPTH: usize = 32;

/// A piece of running text in one style. A hard line break is a `\n` in the text.
#[allow(clippy::struct_excessive_bools)] // the marks of markdown combine freely
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub text: String,
    /// `**strong**`.
    pub strong: bool,
    /// `*emphasis*`.
    pub emphasis: bool,
    /// `` `code` ``.
    pub code: bool,
    /// `~~struck~~`.
    pub struck: bool,
    /// Where it links to.
    pub link: Option<String>,
}

/// One block.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A heading.
    Heading {
        /// 1 to 6.
        level: u8,
        /// Its text.
        text: Vec<Span>,
    },
    /// A paragraph.
    Paragraph(Vec<Span>),
    /// A list.
    List {
        /// The first number; none if it is not numbered.
        start: Option<u64>,
        /// Its items.
        items: Vec<Item>,
    },
    /// A table.
    Table {
        /// The cells of the heading row.
        head: Vec<Vec<Span>>,
        /// The rows; each has as many cells as the heading.
        rows: Vec<Vec<Vec<Span>>>,
    },
    /// Preformatted text.
    Code {
        /// What follows the opening fence (`sh`, `midwatch {action="replay"}`); empty if nothing does.
        info: String,
        /// Its lines, without the last line's break.
        text: String,
    },
    /// A quotation.
    Quote(Vec<Block>),
    /// A marked quotation (`> [!WARNING]`).
    Admonition {
        /// Which mark.
        kind: Admonition,
        /// What it says.
        blocks: Vec<Block>,
    },
    /// A line across.
    Rule,
    /// HTML, as its source text.
    Html(String),
}

/// One item of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item {
    /// A task, and whether it is ticked.
    pub task: Option<bool>,
    /// What it holds.
    pub blocks: Vec<Block>,
}

/// The marks of quotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admonition {
    /// `[!NOTE]`.
    Note,
    /// `[!TIP]`.
    Tip,
    /// `[!IMPORTANT]`.
    Important,
    /// `[!WARNING]`.
    Warning,
    /// `[!CAUTION]`.
    Caution,
}

impl Admonition {
    /// The word shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "Note",
            Self::Tip => "Tip",
            Self::Important => "Important",
            Self::Warning => "Warning",
            Self::Caution => "Caution",
        }
    }
}

/// All text of `blocks`, link targets and fence information included, with a line for each block: what searching looks through.
pub fn text_of(blocks: &[Block]) -> String {
    let mut out = String::new();
    write_blocks(blocks, &mut out);
    out
}

/// `blocks` as lines for a narrow screen: items with a dash, a table's cells beside each other, code indented. Cells of ours
/// are left out: whoever shows it says what they do.
pub(super) fn plain_of(blocks: &[Block]) -> String {
    let mut out = String::new();
    plain(blocks, "", &mut out);
    out
}

fn plain(blocks: &[Block], indent: &str, out: &mut String) {
    let deeper = format!("{indent}  ");
    for block in blocks {
        match block {
            Block::Heading { text, .. } | Block::Paragraph(text) => {
                for line in spans_text(text).lines() {
                    let _ = writeln!(out, "{indent}{line}");
                }
            }
            Block::List { items, .. } => {
                for item in items {
                    let mut inner = String::new();
                    plain(&item.blocks, &deeper, &mut inner);
                    let _ = writeln!(out, "{indent}- {}", inner.trim());
                }
            }
            Block::Table { head, rows } => {
                for row in std::iter::once(head).chain(rows) {
                    let cells: Vec<String> = row.iter().map(|cell| spans_text(cell)).collect();
                    let _ = writeln!(out, "{indent}{}", cells.join(" | "));
                }
            }
            Block::Code { info, text } => {
                if !info.trim_start().starts_with("midwatch") {
                    for line in text.lines() {
                        let _ = writeln!(out, "{deeper}{line}");
                    }
                }
            }
            Block::Quote(blocks) => plain(blocks, &deeper, out),
            Block::Admonition { kind, blocks } => {
                let _ = writeln!(out, "{indent}{}:", kind.word());
                plain(blocks, &deeper, out);
            }
            Block::Rule => {}
            Block::Html(text) => {
                let _ = writeln!(out, "{indent}{text}");
            }
        }
    }
}

/// The text of `spans` without link targets.
pub(super) fn spans_text(spans: &[Span]) -> String {
    spans.iter().map(|span| span.text.as_str()).collect()
}

fn write_spans(spans: &[Span], out: &mut String) {
    for (place, span) in spans.iter().enumerate() {
        out.push_str(&span.text);
        let next = spans.get(place + 1).and_then(|next| next.link.as_ref());
        if let Some(link) = &span.link
            && next != Some(link)
            && *link != span.text
        {
            let _ = write!(out, " <{link}>");
        }
    }
    out.push('\n');
}

fn write_blocks(blocks: &[Block], out: &mut String) {
    for block in blocks {
        match block {
            Block::Heading { text, .. } | Block::Paragraph(text) => write_spans(text, out),
            Block::List { items, .. } => items
                .iter()
                .for_each(|item| write_blocks(&item.blocks, out)),
            Block::Table { head, rows } => std::iter::once(head)
                .chain(rows)
                .flatten()
                .for_each(|cell| write_spans(cell, out)),
            Block::Code { info, text } => {
                let _ = writeln!(out, "{info}\n{text}");
            }
            Block::Quote(blocks) => write_blocks(blocks, out),
            Block::Admonition { kind, blocks } => {
                let _ = writeln!(out, "{}", kind.word());
                write_blocks(blocks, out);
            }
            Block::Rule => {}
            Block::Html(text) => {
                let _ = writeln!(out, "{text}");
            }
        }
    }
}
