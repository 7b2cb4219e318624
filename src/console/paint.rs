//! From one frame to the next in as few bytes as it takes: the console's half of a terminal.
//!
//! A [`Painter`] remembers what the terminal shows, writes only what differs, moves whole blocks of lines with the
//! terminal's own scrolling, and hands each frame over in one write inside a synchronized update (DEC private mode
//! 2026). It never asks the terminal anything, and a frame that changes nothing is not a single byte.
//! Cells must hold visible text only; the views see to that.

use std::io::{self, Write};

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";
/// A block of fewer moved lines is cheaper written anew.
const LEAST_SCROLL: usize = 4;
/// The farthest that lines are looked for.
const FARTHEST_SCROLL: usize = 3;

/// The look that the terminal's pen has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pen {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

impl Pen {
    const PLAIN: Self = Self {
        fg: Color::Reset,
        bg: Color::Reset,
        modifier: Modifier::empty(),
    };

    fn of(cell: &Cell) -> Self {
        Self {
            fg: cell.fg,
            bg: cell.bg,
            modifier: cell.modifier,
        }
    }
}

/// Writes frames to `out`.
#[derive(Debug)]
pub struct Painter<W> {
    out: W,
    shown: Buffer,
    /// What the terminal shows is not known: paint everything.
    stale: bool,
    cursor: Option<Position>,
    bytes: Vec<u8>,
}

impl<W: Write> Painter<W> {
    /// A painter for a terminal whose content is not known.
    pub fn new(out: W) -> Self {
        Self {
            out,
            shown: Buffer::empty(Rect::ZERO),
            stale: true,
            cursor: None,
            bytes: Vec::with_capacity(64 * 1024),
        }
    }

    /// The next frame is painted whole (after a resize, a return to the foreground, or Ctrl-L).
    pub fn forget(&mut self) {
        self.stale = true;
    }

    /// Shows `next`, with the cursor at `cursor` or hidden; returns how many bytes it took.
    pub fn paint(&mut self, next: &Buffer, cursor: Option<Position>) -> io::Result<usize> {
        self.bytes.clear();
        self.bytes.extend_from_slice(BEGIN);
        let whole = self.stale || self.shown.area != next.area;
        let mut changed = whole;
        if whole {
            self.bytes
                .extend_from_slice(b"\x1b[0m\x1b[r\x1b[2J\x1b[?25l");
            self.shown = Buffer::empty(next.area);
            self.cursor = None;
        } else if let Some((top, bottom, by)) = moved(&self.shown, next) {
            scroll(&mut self.bytes, &mut self.shown, top, bottom, by);
            changed = true;
        }
        doubt_wide(&mut self.shown, next);
        changed |= encode(&mut self.bytes, &self.shown, next);
        if changed || cursor != self.cursor {
            match cursor {
                Some(at) => {
                    go(&mut self.bytes, at.x, at.y);
                    if self.cursor.is_none() {
                        self.bytes.extend_from_slice(b"\x1b[?25h");
                    }
                }
                None if self.cursor.is_some() => self.bytes.extend_from_slice(b"\x1b[?25l"),
                None => {}
            }
        } else {
            return Ok(0);
        }
        self.bytes.extend_from_slice(END);
        // Until the write has ended well, nobody knows what is on the screen.
        self.stale = true;
        self.out.write_all(&self.bytes)?;
        self.out.flush()?;
        self.stale = false;
        self.cursor = cursor;
        self.shown.clone_from(next);
        Ok(self.bytes.len())
    }

    /// Writes bytes that change nothing on the screen (a copy to the clipboard).
    pub fn aside(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}

fn go(out: &mut Vec<u8>, x: u16, y: u16) {
    // Writing to a Vec cannot fail.
    let _ = if x == 0 {
        write!(out, "\x1b[{}H", u32::from(y) + 1)
    } else {
        write!(out, "\x1b[{};{}H", u32::from(y) + 1, u32::from(x) + 1)
    };
}

fn row(buffer: &Buffer, y: usize) -> &[Cell] {
    let width = usize::from(buffer.area.width);
    &buffer.content()[y * width..(y + 1) * width]
}

/// The largest block of lines that stands elsewhere in `next`: first and last line of the region, and how far up (positive) or down it went.
fn moved(shown: &Buffer, next: &Buffer) -> Option<(usize, usize, isize)> {
    let height = usize::from(next.area.height);
    let mut best: Option<(usize, usize, isize, usize)> = None;
    for distance in 1..=FARTHEST_SCROLL.min(height.saturating_sub(1)) {
        for up in [true, false] {
            let mut start = 0;
            let mut gain = 0;
            for y in 0..=height - distance {
                let same = y < height - distance && {
                    let (old, new) = if up {
                        (y + distance, y)
                    } else {
                        (y, y + distance)
                    };
                    row(shown, old) == row(next, new)
                };
                if same {
                    // A line that would not have been rewritten anyway gains nothing.
                    let target = if up { y } else { y + distance };
                    gain += usize::from(row(shown, target) != row(next, target));
                    continue;
                }
                if y > start
                    && gain >= LEAST_SCROLL
                    && best.is_none_or(|(_, _, _, most)| gain > most)
                {
                    let by = distance as isize;
                    best = Some((start, y - 1 + distance, if up { by } else { -by }, gain));
                }
                start = y + 1;
                gain = 0;
            }
        }
    }
    best.map(|(top, bottom, by, _)| (top, bottom, by))
}

/// Moves the lines `top..=bottom` by `by` on the terminal and in `shown`; the lines that come in are blank.
fn scroll(out: &mut Vec<u8>, shown: &mut Buffer, top: usize, bottom: usize, by: isize) {
    let distance = by.unsigned_abs();
    let _ = write!(
        out,
        "\x1b[{};{}r\x1b[{}{}\x1b[r",
        top + 1,
        bottom + 1,
        distance,
        if by > 0 { 'S' } else { 'T' }
    );
    let width = usize::from(shown.area.width);
    let block = &mut shown.content[top * width..(bottom + 1) * width];
    let blank = distance * width;
    if by > 0 {
        block.rotate_left(blank);
        let from = block.len() - blank;
        block[from..].fill(Cell::default());
    } else {
        block.rotate_right(blank);
        block[..blank].fill(Cell::default());
    }
}

/// Terminals disagree about what is left when half of a wide character is overwritten: where a line that changes has
/// one, nothing of it is taken for known.
fn doubt_wide(shown: &mut Buffer, next: &Buffer) {
    let width = usize::from(next.area.width);
    for y in 0..usize::from(next.area.height) {
        let wide = |cell: &Cell| cell.symbol().len() > 1 && cell.symbol().width() != 1;
        if row(shown, y).iter().any(wide) && row(shown, y) != row(next, y) {
            let mut unknown = Cell::default();
            unknown
                .set_fg(Color::Rgb(1, 2, 3))
                .set_bg(Color::Rgb(3, 2, 1));
            shown.content[y * width..(y + 1) * width].fill(unknown);
        }
    }
}

/// Writes what differs; true if anything does. The pen is plain before and after.
fn encode(out: &mut Vec<u8>, shown: &Buffer, next: &Buffer) -> bool {
    let mut pen = Pen::PLAIN;
    let mut at: Option<(u16, u16)> = None;
    let mut any = false;
    for (x, y, cell) in shown.diff_iter(next) {
        any = true;
        if at != Some((x, y)) {
            step(out, next, &mut pen, at, x, y);
        }
        dip(out, &mut pen, Pen::of(cell));
        let symbol = cell.symbol();
        out.extend_from_slice(symbol.as_bytes());
        // Terminals disagree about the width of anything but plain characters: find the place anew after one.
        let plain = symbol.width() == 1 && symbol.chars().count() == 1;
        at = (plain && x + 1 < next.area.right()).then_some((x + 1, y));
    }
    dip(out, &mut pen, Pen::PLAIN);
    any
}

/// Goes to (x, y); over a short gap of cells that look alike, writing them again is shorter than a jump.
fn step(out: &mut Vec<u8>, next: &Buffer, pen: &mut Pen, at: Option<(u16, u16)>, x: u16, y: u16) {
    if let Some((from, line)) = at
        && line == y
        && from < x
        && x - from <= 3
    {
        let gap: Vec<&Cell> = (from..x).map(|x| &next[(x, y)]).collect();
        if gap
            .iter()
            .all(|cell| Pen::of(cell) == *pen && cell.symbol().len() == 1)
        {
            for cell in gap {
                out.extend_from_slice(cell.symbol().as_bytes());
            }
            return;
        }
        let _ = write!(out, "\x1b[{}C", x - from);
        return;
    }
    go(out, x, y);
}

/// Changes the pen with the fewest parameters.
fn dip(out: &mut Vec<u8>, pen: &mut Pen, to: Pen) {
    if *pen == to {
        return;
    }
    if to == Pen::PLAIN {
        out.extend_from_slice(b"\x1b[m");
        *pen = to;
        return;
    }
    let from = *pen;
    let mut codes: Vec<String> = Vec::new();
    // Bold and dim share their end (ECMA-48 8.3.117, parameter 22).
    let weight = Modifier::BOLD | Modifier::DIM;
    let ended = from.modifier - to.modifier;
    let mut on = from.modifier;
    if ended.intersects(weight) {
        codes.push("22".to_owned());
        on -= weight;
    }
    for (modifier, begin, end) in [
        (Modifier::BOLD, "1", ""),
        (Modifier::DIM, "2", ""),
        (Modifier::ITALIC, "3", "23"),
        (Modifier::UNDERLINED, "4", "24"),
        (Modifier::REVERSED, "7", "27"),
        (Modifier::CROSSED_OUT, "9", "29"),
    ] {
        if to.modifier.contains(modifier) && !on.contains(modifier) {
            codes.push(begin.to_owned());
        } else if ended.contains(modifier) && !end.is_empty() {
            codes.push(end.to_owned());
        }
    }
    if from.fg != to.fg {
        codes.push(colour(to.fg, 30));
    }
    if from.bg != to.bg {
        codes.push(colour(to.bg, 40));
    }
    if !codes.is_empty() {
        let _ = write!(out, "\x1b[{}m", codes.join(";"));
    }
    *pen = to;
}

/// SGR parameters of a colour; `base` is 30 for text and 40 for the ground (ECMA-48 8.3.117; 90 and 100 are aixterm's bright ones).
fn colour(colour: Color, base: u8) -> String {
    let bright = |n: u8| (base + 60 + n).to_string();
    let basic = |n: u8| (base + n).to_string();
    match colour {
        Color::Reset => basic(9),
        Color::Black => basic(0),
        Color::Red => basic(1),
        Color::Green => basic(2),
        Color::Yellow => basic(3),
        Color::Blue => basic(4),
        Color::Magenta => basic(5),
        Color::Cyan => basic(6),
        Color::Gray => basic(7),
        Color::DarkGray => bright(0),
        Color::LightRed => bright(1),
        Color::LightGreen => bright(2),
        Color::LightYellow => bright(3),
        Color::LightBlue => bright(4),
        Color::LightMagenta => bright(5),
        Color::LightCyan => bright(6),
        Color::White => bright(7),
        Color::Indexed(index) => format!("{};5;{index}", base + 8),
        Color::Rgb(r, g, b) => format!("{};2;{r};{g};{b}", base + 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatui::style::Style;

    fn screen(lines: &[&str]) -> Buffer {
        Buffer::with_lines(lines.iter().map(|line| format!("{line:<20}")))
    }

    /// What a real terminal would show after those bytes.
    fn replay(bytes: &[u8], area: Rect) -> vt100::Parser {
        let cells = |n| std::num::NonZero::new(n).unwrap();
        let mut parser = vt100::Parser::new(cells(area.height), cells(area.width), 0);
        parser.process(bytes);
        parser
    }

    fn text(buffer: &Buffer) -> Vec<String> {
        (0..buffer.area.height)
            .map(|y| {
                (0..buffer.area.width)
                    .map(|x| buffer[(x, y)].symbol())
                    .collect::<String>()
                    .trim_end()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn a_frame_that_changes_nothing_writes_nothing() {
        let mut painter = Painter::new(Vec::new());
        let frame = screen(&["one", "two"]);
        assert!(painter.paint(&frame, None).unwrap() > 0);
        assert_eq!(painter.paint(&frame, None).unwrap(), 0);
        painter.forget();
        assert!(painter.paint(&frame, None).unwrap() > 0);
    }

    #[test]
    fn a_clock_costs_little() {
        let mut painter = Painter::new(Vec::new());
        painter.paint(&screen(&["12:59", "x"]), None).unwrap();
        let bytes = painter.paint(&screen(&["13:00", "x"]), None).unwrap();
        assert!(bytes <= 30, "{bytes}");
    }

    #[test]
    fn a_list_that_moves_by_one_line_is_scrolled_not_rewritten() {
        let lines: Vec<String> = (0..20).map(|n| format!("line number {n:>4}")).collect();
        let refs: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut painter = Painter::new(Vec::new());
        painter.paint(&screen(&refs[..18]), None).unwrap();
        let down = painter.paint(&screen(&refs[1..19]), None).unwrap();
        assert!(down < 80, "{down}");
        let up = painter.paint(&screen(&refs[..18]), None).unwrap();
        assert!(up < 80, "{up}");
        let shown = replay(&painter.out, Rect::new(0, 0, 20, 18));
        let rows: Vec<String> = shown.screen().rows(0, 20).collect();
        assert_eq!(rows, text(&screen(&refs[..18])));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever the sequence of frames, the terminal ends up showing the last one.
        #[test]
        fn the_terminal_shows_the_last_frame(
            frames in prop::collection::vec(
                prop::collection::vec(("[a-c é漢]{0,12}", 0u8..4), 6), 1..6),
            shifts in prop::collection::vec(-3i8..4, 6),
        ) {
            let area = Rect::new(0, 0, 14, 12);
            let mut painter = Painter::new(Vec::new());
            let mut last = Buffer::empty(area);
            for (frame, shift) in frames.iter().zip(&shifts) {
                let mut next = Buffer::empty(area);
                for (y, (line, style)) in frame.iter().enumerate() {
                    let style = match style {
                        0 => Style::new(),
                        1 => Style::new().fg(Color::Red),
                        2 => Style::new().bg(Color::Indexed(7)).add_modifier(Modifier::BOLD),
                        _ => Style::new().add_modifier(Modifier::REVERSED),
                    };
                    let y = (y as i16 + 3 + i16::from(*shift)) as u16;
                    next.set_stringn(0, y, line, 14, style);
                }
                painter.paint(&next, None).unwrap();
                last = next;
            }
            let shown = replay(&painter.out, area);
            for y in 0..area.height {
                let mut skip = 0;
                for x in 0..area.width {
                    let cell = &last[(x, y)];
                    if skip > 0 { skip -= 1; continue; }
                    skip = cell.symbol().width().saturating_sub(1);
                    let real = shown.screen().cell(y, x).unwrap();
                    let contents = if real.contents().is_empty() { " " } else { real.contents() };
                    prop_assert_eq!(contents, cell.symbol());
                    prop_assert_eq!(real.inverse(), cell.modifier.contains(Modifier::REVERSED));
                    let fg = if cell.fg == Color::Red { vt100::Color::Idx(1) } else { vt100::Color::Default };
                    // The weight and colour of a blank do not show.
                    if contents != " " {
                        prop_assert_eq!(real.bold(), cell.modifier.contains(Modifier::BOLD));
                        prop_assert_eq!(real.fgcolor(), fg);
                    }
                }
            }
        }
    }
}
