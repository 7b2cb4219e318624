//! Which rows there are at a width: long values and lines are broken, folded parts are left out.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

use super::token::{Node, Slice};
use super::{Format, Tree};
use crate::visible::{self, Visible};

/// Blanks before the rows in which a long value goes on, beyond its own indent.
pub(super) const HANG: &str = "  ";
/// Cells of the mark that says whether something can be folded.
const FOLD: usize = 2;
/// Cells of a hex dump's offset with the blanks after it.
pub(super) const HEX_OFFSET: usize = 10;
/// Cells between a hex dump's digits and letters.
pub(super) const HEX_GAP: usize = 1;
/// Text may hold this share of bytes that are none, in percent.
const ODD_PERCENT: usize = 10;

/// One row, as cheaply as it can be remembered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown {
    /// A node; of a long scalar, one part of its source.
    Node { node: u32, part: Slice },
    /// A line of text, or a part of it.
    Line(Slice),
    /// The row of a hex dump that begins there.
    Hex(u32),
    /// What is said at the end.
    Note,
}

impl Tree {
    /// Makes the list of rows anew.
    pub(super) fn lay_out(&mut self) {
        let mut shown = Vec::new();
        match self.format {
            Format::Json => self.lay_out_nodes(&mut shown),
            Format::Text => self.lay_out_lines(&mut shown),
            Format::Hex => shown.extend(
                (0..self.source.len())
                    .step_by(hex_across(self.width))
                    .map(|at| Shown::Hex(at as u32)),
            ),
            Format::Empty => shown.push(Shown::Note),
        }
        if self.cut {
            shown.push(Shown::Note);
        }
        self.shown = shown;
    }

    fn lay_out_nodes(&self, shown: &mut Vec<Shown>) {
        shown.reserve(self.nodes.len());
        let mut place = 0;
        while let Some(node) = self.nodes.get(place) {
            let number = place as u32;
            if node.is_scalar() {
                let beside = indent(node, self.width) + FOLD;
                let key = node.key.map_or(0, |key| {
                    cells(&self.source[key.range()]).min(key_room(node, self.width)) + 2
                });
                // One cell is kept for the comma.
                let first = self.width.saturating_sub(beside + key + 1);
                let rest = self.width.saturating_sub(beside + HANG.len() + 1);
                break_up(&self.source, node.value.range(), first, rest, |part| {
                    shown.push(Shown::Node { node: number, part });
                });
            } else {
                shown.push(Shown::Node {
                    node: number,
                    part: Slice { start: 0, end: 0 },
                });
            }
            place = if node.folded {
                node.end as usize
            } else {
                place
            } + 1;
        }
    }

    fn lay_out_lines(&self, shown: &mut Vec<Shown>) {
        let mut start = 0;
        let source = &self.source[..];
        let body = source.strip_suffix(b"\n").unwrap_or(source);
        for line in body.split(|b| *b == b'\n') {
            let mut end = start + line.len();
            let next = end + 1;
            if self.crlf && line.ends_with(b"\r") {
                end -= 1;
            }
            break_up(source, start..end, self.width, self.width, |part| {
                shown.push(Shown::Line(part));
            });
            start = next;
        }
    }
}

/// Cells of a node's indent: two a level, but never more than half of the width.
pub(super) fn indent(node: &Node, width: usize) -> usize {
    (usize::from(node.depth) * 2).min(width / 2 / 2 * 2)
}

/// Cells that a key may take; a longer one is cut.
pub(super) fn key_room(node: &Node, width: usize) -> usize {
    width
        .saturating_sub(indent(node, width) + FOLD + 2)
        .div_ceil(2)
        .max(1)
}

/// Bytes in one row of a hex dump.
pub(super) fn hex_across(width: usize) -> usize {
    [16, 8, 4]
        .into_iter()
        .find(|across| HEX_OFFSET + HEX_GAP + across * 4 <= width)
        .unwrap_or(2)
}

/// Whether `bytes` read as text: little in it is neither UTF-8 nor printed, and there is no NUL. A character that is cut
/// off at the end does not count: answers are kept up to a number of bytes.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let mut odd = 0;
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        let control = |b: &u8| b.is_ascii_control() && !matches!(b, b'\t' | b'\n' | b'\r' | 0x1b);
        odd += chunk
            .valid()
            .as_bytes()
            .iter()
            .filter(|b| control(b))
            .count();
        let cut_off =
            chunks.peek().is_none() && matches!(chunk.invalid().first(), Some(0xc2..=0xf4));
        odd += if cut_off { 0 } else { chunk.invalid().len() };
    }
    !bytes.contains(&0) && odd * 100 <= bytes.len() * ODD_PERCENT
}

fn cells(bytes: &[u8]) -> usize {
    if bytes.iter().all(|b| matches!(b, b' '..=b'~')) {
        bytes.len()
    } else {
        Visible::of_bytes(bytes).width()
    }
}

/// Cells that the visible form of one user-perceived character takes at most.
fn cluster_cells(cluster: &str) -> usize {
    let mut chars = cluster.chars();
    match (chars.next(), chars.next()) {
        // A tab is at most as wide as its stop, and its escape is narrower.
        (Some('\t'), None) => 4,
        (Some(c), None) if !visible::is_hidden(c) && c.width().is_some_and(|cells| cells > 0) => {
            c.width().unwrap_or(1)
        }
        _ => Visible::of(cluster).width(),
    }
}

/// Parts of `range` whose visible form fits: `first` cells, then `rest`. At least one part, and none without a character.
fn break_up(
    source: &[u8],
    range: Range<usize>,
    first: usize,
    rest: usize,
    mut part: impl FnMut(Slice),
) {
    let bytes = &source[range.clone()];
    let mut room = first.max(1);
    if bytes.iter().all(|b| matches!(b, b' '..=b'~')) {
        let mut start = range.start;
        while range.end - start > room {
            part(Slice::new(start, start + room));
            start += room;
            room = rest.max(1);
        }
        part(Slice::new(start, range.end));
        return;
    }
    let (mut start, mut at, mut used) = (range.start, range.start, 0);
    let mut take = |length: usize, cells: usize| {
        if used > 0 && used + cells > room {
            part(Slice::new(start, at));
            (start, used, room) = (at, 0, rest.max(1));
        }
        used += cells;
        at += length;
    };
    for chunk in bytes.utf8_chunks() {
        for cluster in chunk.valid().graphemes(true) {
            take(cluster.len(), cluster_cells(cluster));
        }
        for _ in chunk.invalid() {
            take(1, 4);
        }
    }
    part(Slice::new(start, range.end));
}
