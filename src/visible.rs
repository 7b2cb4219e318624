//! Text from outside, made safe to show: every screen, log line, title, clipboard and error message that carries a
//! sender's or receiver's bytes takes them as [`Visible`].
//!
//! It must never drop a character (two payloads that differ must not look alike because of it) and never let one
//! through that moves the cursor, reorders text, hides it or piles up on a cell. Called by everything that shows
//! anything; calls nothing of ours.
//!
//! A literal backslash is left as it is, so the text `\x1b` and an escaped ESC read the same. That is the price of
//! `Visible` being idempotent: text may pass several sinks and is never escaped twice. Where the difference matters,
//! [`pieces`] says which parts are escapes, for a style of their own.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::{Serialize, Serializer};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Combining marks that one base character may carry; the rest are escaped.
const MARKS_PER_CELL: usize = 4;

/// Characters that one user-perceived character may consist of; the rest are escaped.
const CHARS_PER_CLUSTER: usize = 16;

/// Columns between tab stops where text keeps its lines.
const TAB_STOP: usize = 4;

/// Text in which nothing is hidden: control, format and default-ignorable characters, line separators, surplus
/// combining marks and bytes that are no UTF-8 are written as escapes (`\x1b`, `\u{202e}`, `\xff`).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Visible(String);

impl Visible {
    /// `text` on one line: line breaks and tabs are written `\n`, `\r`, `\t`.
    pub fn of(text: &str) -> Self {
        Self(escape(text, false))
    }

    /// `bytes` on one line; what is no UTF-8 is written `\xNN`.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::joined(bytes, false)
    }

    /// `text` with its line breaks (`\n`) kept and tabs filled with spaces; all else as [`Visible::of`].
    pub fn lines_of(text: &str) -> Self {
        Self(escape(text, true))
    }

    /// `bytes` with line breaks kept and tabs filled with spaces; what is no UTF-8 is written `\xNN`.
    pub fn lines_of_bytes(bytes: &[u8]) -> Self {
        Self::joined(bytes, true)
    }

    fn joined(bytes: &[u8], lines: bool) -> Self {
        let mut out = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            out.push_str(&escape(chunk.valid(), lines));
            for byte in chunk.invalid() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
        Self(out)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Terminal cells that it takes on one line.
    pub fn width(&self) -> usize {
        width(&self.0)
    }
}

impl fmt::Display for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Visible {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Visible> for String {
    fn from(visible: Visible) -> Self {
        visible.0
    }
}

impl From<Visible> for Cow<'static, str> {
    fn from(visible: Visible) -> Self {
        Cow::Owned(visible.0)
    }
}

impl Serialize for Visible {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// `text` on one line of at most `cells` terminal cells; what does not fit is replaced by `…`.
pub fn line(text: &str, cells: usize) -> Visible {
    shorten(text, cells, "…")
}

/// As [`line()`], for terminals without Unicode: what does not fit is replaced by `...`.
pub fn line_ascii(text: &str, cells: usize) -> Visible {
    shorten(text, cells, "...")
}

/// Terminal cells that already visible `text` takes, measured as the console's cells are: per user-perceived character.
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.graphemes(true).map(UnicodeWidthStr::width).sum()
    }
}

/// `text` on one line in pieces: each with whether it is an escape of ours, so that it can be styled.
/// Joined, the pieces are `Visible::of(text)`.
pub fn pieces(text: &str) -> Vec<(Visible, bool)> {
    let mut out = String::with_capacity(text.len());
    let mut escapes = Vec::new();
    escape_into(text, false, &mut out, &mut escapes);
    let mut pieces = Vec::with_capacity(escapes.len() * 2 + 1);
    let mut at = 0;
    let mut push = |range: Range<usize>, escaped| {
        if !range.is_empty() {
            pieces.push((Visible(out[range].to_owned()), escaped));
        }
    };
    for escape in escapes {
        push(at..escape.start, false);
        at = escape.end;
        push(escape, true);
    }
    push(at..out.len(), false);
    pieces
}

/// Whether `c` has no shape of its own on a terminal: Cc, Cf, Zl, Zp, default-ignorable (Unicode 16, `DerivedCoreProperties`)
/// or a noncharacter.
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
        | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

fn escape(text: &str, lines: bool) -> String {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    escape_into(text, lines, &mut out, &mut Vec::new());
    out
}

/// Appends `text`, escaped, to `out`, and where the escapes lie to `escapes`.
fn escape_into(text: &str, lines: bool, out: &mut String, escapes: &mut Vec<Range<usize>>) {
    // Marks still allowed on the character before; none at the start, where they would join what stands beside us.
    let mut marks_left = 0usize;
    let mut column = 0usize;
    for cluster in text.graphemes(true) {
        for (place, c) in cluster.chars().enumerate() {
            match c {
                '\n' if lines => {
                    out.push('\n');
                    (marks_left, column) = (0, 0);
                    continue;
                }
                '\t' if lines => {
                    let fill = TAB_STOP - column % TAB_STOP;
                    out.extend(std::iter::repeat_n(' ', fill));
                    (marks_left, column) = (0, column + fill);
                    continue;
                }
                _ => {}
            }
            let cells = c.width().unwrap_or(0);
            let shown = !is_hidden(c)
                && place < CHARS_PER_CLUSTER
                && if cells == 0 {
                    let allowed = marks_left > 0;
                    marks_left = marks_left.saturating_sub(1);
                    allowed
                } else {
                    marks_left = MARKS_PER_CELL;
                    true
                };
            if shown {
                out.push(c);
                column += cells;
            } else {
                let start = out.len();
                write_escape(c, out);
                escapes.push(start..out.len());
                marks_left = 0;
                column += out.len() - start;
            }
        }
    }
}

fn write_escape(c: char, out: &mut String) {
    let _ = match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
}

fn shorten(text: &str, cells: usize, ellipsis: &str) -> Visible {
    // A user-perceived character has at most CHARS_PER_CLUSTER characters and takes a cell: this much must overflow.
    let enough = (cells + 2).saturating_mul(CHARS_PER_CLUSTER + 1);
    let head = match text.char_indices().nth(enough) {
        Some((end, _)) => &text[..end],
        None => text,
    };
    let shown = Visible::of(head);
    if head.len() == text.len() && shown.width() <= cells {
        return shown;
    }
    let ellipsis = &ellipsis[..if ellipsis.is_ascii() {
        ellipsis.len().min(cells)
    } else {
        ellipsis.len()
    }];
    if width(ellipsis) > cells {
        return Visible::default();
    }
    Visible(format!(
        "{}{ellipsis}",
        fitting(&shown.0, cells - width(ellipsis))
    ))
}

/// The longest start of already visible `text` that fits in `cells`, not splitting a user-perceived character.
pub fn fitting(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, cluster) in text.grapheme_indices(true) {
        used += cluster.width();
        if used > cells {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_be_hidden_is_written_out() {
        for (text, shown) in [
            ("plain text, ø and 漢字", "plain text, ø and 漢字"),
            ("\x1b[2J", "\\x1b[2J"),
            ("a\nb\tc\rd\0", "a\\nb\\tc\\rd\\x00"),
            ("\u{85}\u{9b}31m", "\\u{85}\\u{9b}31m"),
            ("admin\u{202e}cod.exe", "admin\\u{202e}cod.exe"),
            ("pay\u{200b}pal", "pay\\u{200b}pal"),
            ("\u{2028}\u{2029}\u{feff}", "\\u{2028}\\u{2029}\\u{feff}"),
            ("\u{e0041}x\u{3164}", "\\u{e0041}x\\u{3164}"),
            ("\u{301}start", "\\u{301}start"),
            ("e\u{301}", "e\u{301}"),
        ] {
            assert_eq!(Visible::of(text).as_str(), shown, "{text:?}");
        }
    }

    #[test]
    fn every_hidden_code_point_of_the_list_is_escaped() {
        let listed = [
            0x00..=0x1f,
            0x7f..=0x9f,
            0xad..=0xad,
            0x34f..=0x34f,
            0x61c..=0x61c,
            0x115f..=0x1160,
            0x17b4..=0x17b5,
            0x180b..=0x180f,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x206f,
            0x3164..=0x3164,
            0xfe00..=0xfe0f,
            0xfeff..=0xfeff,
            0xffa0..=0xffa0,
            0xfff0..=0xfffb,
            0x1bca0..=0x1bca3,
            0x1d173..=0x1d17a,
            0xe0000..=0xe0fff,
        ];
        for c in listed.into_iter().flatten().filter_map(char::from_u32) {
            let shown = Visible::of(&format!("a{c}b")).into_string();
            assert!(
                shown.starts_with("a\\") && shown.ends_with('b') && !shown.contains(c),
                "{c:?}: {shown}"
            );
        }
    }

    #[test]
    fn lines_are_kept_where_asked_and_tabs_reach_their_stop() {
        assert_eq!(
            Visible::lines_of("a\tb\n\tc\r\n").as_str(),
            "a   b\n    c\\r\n"
        );
        assert_eq!(
            Visible::lines_of_bytes(b"x\n\xff\x1b").as_str(),
            "x\n\\xff\\x1b"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_written_as_bytes() {
        assert_eq!(
            Visible::of_bytes(b"ok \xc3\x28 \xf0\x9f").as_str(),
            "ok \\xc3( \\xf0\\x9f"
        );
        assert_ne!(Visible::of_bytes(b"\x85"), Visible::of("\u{85}"));
    }

    #[test]
    fn piled_marks_stop_at_four_and_none_is_dropped() {
        let text = format!("e{}x", "\u{301}".repeat(6));
        assert_eq!(
            Visible::of(&text).as_str(),
            format!("e{}\\u{{301}}\\u{{301}}x", "\u{301}".repeat(4))
        );
    }

    #[test]
    fn a_line_is_cut_by_cells_not_characters() {
        assert_eq!(line("漢字漢字", 5).as_str(), "漢字…");
        assert_eq!(line("漢字漢字", 4).as_str(), "漢…");
        assert_eq!(line("abc", 3).as_str(), "abc");
        assert_eq!(line("abcd", 3).as_str(), "ab…");
        assert_eq!(line_ascii("abcdefgh", 6).as_str(), "abc...");
        assert_eq!(line_ascii("abcd", 2).as_str(), "..");
        assert_eq!(line("abc", 0).as_str(), "");
        assert_eq!(line("a\u{1b}", 3).as_str(), "a\\…");
    }

    #[test]
    fn pieces_tell_an_escape_from_text_that_looks_like_one() {
        let told: Vec<_> = pieces("\\x1b\u{1b}z")
            .into_iter()
            .map(|(v, e)| (v.into_string(), e))
            .collect();
        assert_eq!(
            told,
            [
                ("\\x1b".into(), false),
                ("\\x1b".into(), true),
                ("z".into(), false)
            ]
        );
    }

    #[test]
    fn a_megabyte_is_cut_without_reading_it_all() {
        let text = "\u{202e}".repeat(1 << 18);
        let start = std::time::Instant::now();
        assert_eq!(line(&text, 8).as_str(), "\\u{202e…");
        assert!(start.elapsed() < std::time::Duration::from_millis(50));
    }

    /// Text with a good share of what attackers and odd systems send.
    fn nasty() -> impl Strategy<Value = String> {
        let c = prop_oneof![
            4 => any::<char>(),
            3 => prop::char::range(' ', '~'),
            3 => prop::sample::select(vec![
                '\x1b', '\n', '\t', '\u{301}', '\u{20e3}', '\u{200d}', '\u{fe0f}', '\u{202e}', '👩', '🏽', '🇳', '🇴',
                '漢', 'ᄀ', 'ᅡ', 'ᆨ', 'क', '\u{94d}', '\u{903}', 'ل', 'ا', '\u{e0041}', '\\',
            ]),
        ];
        prop::collection::vec(c, 0..60).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn nothing_hidden_ever_comes_out(bytes: Vec<u8>, text in nasty()) {
            for out in [Visible::of(&text), Visible::of_bytes(&bytes)] {
                prop_assert!(!out.as_str().chars().any(is_hidden), "{:?}", out);
            }
            let lines = Visible::lines_of(&text);
            prop_assert!(!lines.as_str().chars().any(|c| c != '\n' && is_hidden(c)));
        }

        #[test]
        fn it_is_idempotent(text in nasty()) {
            let once = Visible::of(&text);
            prop_assert_eq!(&Visible::of(once.as_str()), &once);
            let once = Visible::lines_of(&text);
            prop_assert_eq!(&Visible::lines_of(once.as_str()), &once);
        }

        #[test]
        fn clean_text_is_left_alone(text in "[ -~æøåÆØÅéü漢字]{0,80}") {
            let shown = Visible::of(&text);
            prop_assert_eq!(shown.as_str(), text.as_str());
        }

        #[test]
        fn a_line_never_exceeds_its_cells(text in nasty(), cells in 0usize..60) {
            for cut in [line(&text, cells), line_ascii(&text, cells)] {
                prop_assert!(cut.width() <= cells, "{} > {cells}: {:?}", cut.width(), cut);
                prop_assert!(!cut.as_str().chars().any(is_hidden));
            }
            if Visible::of(&text).width() <= cells {
                prop_assert_eq!(line(&text, cells), Visible::of(&text));
            }
        }

        #[test]
        fn different_texts_without_backslash_look_different(a in nasty(), b in nasty()) {
            if a != b && !a.contains('\\') && !b.contains('\\') {
                prop_assert_ne!(Visible::of(&a), Visible::of(&b));
            }
        }

        #[test]
        fn pieces_join_to_the_whole(text in nasty()) {
            let joined: String = pieces(&text).into_iter().map(|(piece, _)| piece.into_string()).collect();
            prop_assert_eq!(joined, Visible::of(&text).into_string());
        }
    }
}
