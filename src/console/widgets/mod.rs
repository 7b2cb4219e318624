//! The few things that all views draw with. Every text that reaches the buffer passes [`Pen::put`], which makes it visible.

pub mod table;

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::theme::{Role, Theme};
use crate::visible;

/// A buffer with the looks to draw in.
#[derive(Debug)]
pub struct Pen<'a> {
    /// Where to.
    pub buffer: &'a mut Buffer,
    /// Looks.
    pub theme: Theme,
}

impl Pen<'_> {
    /// Writes `text` at (x, y) in at most `width` cells, shortened with an ellipsis; returns the cells used.
    pub fn put(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y >= area.bottom() || x >= area.right() || width == 0 {
            return 0;
        }
        let width = width.min(area.right() - x);
        let text = if self.theme.ascii {
            visible::line_ascii(text, usize::from(width))
        } else {
            visible::line(text, usize::from(width))
        };
        let (end, _) = self
            .buffer
            .set_stringn(x, y, text.as_ref(), usize::from(width), style);
        end - x
    }

    /// Like [`Pen::put`], with the style of a role.
    pub fn text(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) -> u16 {
        let style = self.theme.style(role);
        self.put(x, y, width, text, style)
    }

    /// Writes pieces one after the other on a line; returns the cells used.
    pub fn pieces(&mut self, x: u16, y: u16, width: u16, pieces: &[(String, Role)]) -> u16 {
        let mut used = 0;
        for (text, role) in pieces {
            used += self.text(x + used, y, width.saturating_sub(used), text, *role);
        }
        used
    }

    /// Writes a styled line; its spans are made visible one by one.
    pub fn line(&mut self, x: u16, y: u16, width: u16, line: &Line<'_>) {
        let mut used = 0;
        for span in &line.spans {
            let style = line.style.patch(span.style);
            used += self.put(
                x + used,
                y,
                width.saturating_sub(used),
                &span.content,
                style,
            );
        }
    }

    /// Writes `text` so that it ends at the right edge of `width`.
    pub fn right(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) {
        let cells = u16::try_from(visible::Visible::of(text).width()).unwrap_or(u16::MAX);
        let indent = width.saturating_sub(cells);
        self.text(x + indent, y, width - indent, text, role);
    }

    /// Gives all of `area` a role's style, over what it shows.
    pub fn over(&mut self, area: Rect, role: Role) {
        let style = self.theme.style(role);
        self.buffer.set_style(area, style);
    }

    /// Blanks `area`.
    pub fn blank(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }

    /// A frame with a title around a blanked area; returns what is inside.
    pub fn window(&mut self, area: Rect, title: &str) -> Rect {
        self.blank(area);
        let (h, v, corners) = if self.theme.ascii {
            ("-", "|", ["+", "+", "+", "+"])
        } else {
            ("─", "│", ["┌", "┐", "└", "┘"])
        };
        if area.width < 2 || area.height < 2 {
            return area;
        }
        let (right, bottom) = (area.right() - 1, area.bottom() - 1);
        for x in area.left() + 1..right {
            self.text(x, area.y, 1, h, Role::Border);
            self.text(x, bottom, 1, h, Role::Border);
        }
        for y in area.top() + 1..bottom {
            self.text(area.x, y, 1, v, Role::Border);
            self.text(right, y, 1, v, Role::Border);
        }
        for ((x, y), corner) in [
            (area.x, area.y),
            (right, area.y),
            (area.x, bottom),
            (right, bottom),
        ]
        .into_iter()
        .zip(corners)
        {
            self.text(x, y, 1, corner, Role::Border);
        }
        if area.width > 6 {
            let title = format!(" {title} ");
            self.text(area.x + 2, area.y, area.width - 4, &title, Role::Title);
        }
        Rect::new(
            area.x + 1,
            area.y + 1,
            area.width - 2,
            area.height.saturating_sub(2),
        )
    }

    /// A scroll bar at the right edge of `area`, if `count` lines do not fit.
    pub fn scrollbar(&mut self, area: Rect, top: usize, count: usize) {
        let height = usize::from(area.height);
        if count <= height || height < 3 || area.width < 10 {
            return;
        }
        let thumb = (height * height / count).clamp(1, height);
        let start = (top * (height - thumb)) / (count - height).max(1);
        let glyph = self.theme.glyph("┃", "|");
        for offset in 0..thumb {
            let y = area.y + (start + offset).min(height - 1) as u16;
            self.text(area.right() - 1, y, 1, glyph, Role::Border);
        }
    }
}

/// Breaks visible text at spaces into lines of at most `width` cells; longer words are cut.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let paragraph = visible::Visible::of(paragraph).into_string();
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let mut word = word;
            let gap = usize::from(!line.is_empty());
            if !line.is_empty() && visible::width(&line) + gap + visible::width(word) > width {
                lines.push(std::mem::take(&mut line));
            }
            while visible::width(word) > width {
                let head = visible::fitting(word, width);
                // A character that is wider than the line: take it all the same, the screen cuts it.
                let cut = if head.is_empty() {
                    word.chars().next().map_or(word.len(), char::len_utf8)
                } else {
                    head.len()
                };
                lines.push(word[..cut].to_owned());
                word = &word[cut..];
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// The same, where `text` follows a head that stands as it is: what does not fit goes on below the text, not below the head.
pub fn hanging(head: &str, text: &str, width: usize) -> Vec<String> {
    let head = visible::Visible::of(head).into_string();
    let indent = visible::width(&head);
    let lines = wrap(text, width.saturating_sub(indent).max(8));
    let gap = " ".repeat(indent);
    let first = std::iter::once(head).chain(std::iter::repeat(gap));
    first.zip(lines).map(|(head, line)| head + &line).collect()
}

/// An age that does not tick: `<1m`, `7m`, `2h 5m`, `3d 4h`.
pub fn age(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        "<1m".to_owned()
    } else if duration < Duration::from_secs(3600) {
        format!("{}m", duration.as_secs() / 60)
    } else {
        crate::time::short(duration)
    }
}

/// `950`, `12.3k`, `4.5M`: at most five characters.
pub fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1}k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", n as f64 / 1e6),
        _ => format!("{:.1}G", n as f64 / 1e9),
    }
}

/// Milliseconds as `250ms`, `1.2s`, `3m`, `2h`.
pub fn millis(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{:.1}s", ms as f64 / 1e3),
        60_000..3_600_000 => format!("{}m", ms / 60_000),
        _ => format!("{}h", ms / 3_600_000),
    }
}

/// A rate a minute: `0`, `0.4`, `12`, `3.4k`.
pub fn rate(per_minute: f64) -> String {
    if per_minute <= 0.0 {
        "0".to_owned()
    } else if per_minute < 9.95 {
        format!("{per_minute:.1}")
    } else {
        count(per_minute.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps_at_words_and_cuts_what_is_too_long() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a\nb", 4), ["a", "b"]);
        assert_eq!(wrap("漢字", 1), ["漢", "字", ""]);
    }

    #[test]
    fn numbers_stay_short() {
        assert_eq!(
            [0, 9_999, 12_345, 4_500_000].map(count),
            ["0", "9999", "12.3k", "4.5M"]
        );
        assert_eq!(
            [3, 1_234, 61_000, 7_200_000].map(millis),
            ["3ms", "1.2s", "1m", "2h"]
        );
        assert_eq!([0.0, 0.4, 12.2].map(rate), ["0", "0.4", "12"]);
        assert_eq!(age(Duration::from_secs(59)), "<1m");
        assert_eq!(age(Duration::from_secs(125)), "2m");
    }
}
