//! Roles to styles, states to words, glyphs and colours: the one place that knows what a terminal can show.
//!
//! No view names a colour. State is always word, glyph and colour together, so that nothing is lost
//! without colour (`NO_COLOR`, palette `none`) or without Unicode (`--ascii`).

use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};

use crate::queue::model::State;
use crate::store::view::Severity;
use crate::watch::PathState;

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Palette {
    /// None: bold, dim, underlined and reversed only.
    None,
    /// The 16 that the user's own terminal theme defines.
    Sixteen,
    /// The 256 of xterm.
    TwoFiftySix,
    /// 24 bits.
    True,
}

impl FromStr for Palette {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "16" => Ok(Self::Sixteen),
            "256" => Ok(Self::TwoFiftySix),
            "true" => Ok(Self::True),
            _ => Err(format!("`{text}` is none of none, 16, 256, true")),
        }
    }
}

impl Palette {
    /// From the environment: `NO_COLOR` (<https://no-color.org>: any non-empty value), then `COLORTERM`, then `TERM`.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).unwrap_or_default();
        let term = get("TERM");
        if !get("NO_COLOR").is_empty() || term == "dumb" || term.starts_with("vt1") {
            return Self::None;
        }
        if matches!(get("COLORTERM").as_str(), "truecolor" | "24bit") || term.ends_with("-direct") {
            return Self::True;
        }
        if term.contains("256") {
            Self::TwoFiftySix
        } else {
            Self::Sixteen
        }
    }
}

/// What a piece of text is, not what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Ordinary text.
    Text,
    /// Less important.
    Dim,
    /// Headings and names.
    Title,
    /// Keys, links, the current tab.
    Accent,
    /// Healthy.
    Good,
    /// Look when there is time.
    Warn,
    /// Look now.
    Bad,
    /// Under way.
    Busy,
    /// The selected row.
    Selected,
    /// The line at the top.
    Header,
    /// Something is wrong with midwatch itself.
    Banner,
    /// Frames.
    Border,
}

/// Everything about looks that a view may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Colours at hand.
    pub palette: Palette,
    /// Only ASCII glyphs.
    pub ascii: bool,
}

impl Theme {
    /// The style of a role.
    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let (colour, modifier) = match role {
            Role::Text => (None, Modifier::empty()),
            Role::Dim => (self.colour(Color::DarkGray, 247), Modifier::empty()),
            Role::Title => (None, Modifier::BOLD),
            Role::Accent => (self.colour(Color::Cyan, 80), Modifier::empty()),
            Role::Good => (self.colour(Color::Green, 114), Modifier::empty()),
            Role::Warn => (self.colour(Color::Yellow, 221), Modifier::empty()),
            Role::Bad => (self.colour(Color::Red, 203), Modifier::BOLD),
            Role::Busy => (self.colour(Color::Blue, 111), Modifier::empty()),
            Role::Selected => {
                return match self.palette {
                    Palette::None | Palette::Sixteen => plain.add_modifier(Modifier::REVERSED),
                    Palette::TwoFiftySix => plain.bg(Color::Indexed(236)),
                    Palette::True => plain.bg(Color::Rgb(40, 47, 60)),
                };
            }
            Role::Header => {
                return match self.palette {
                    Palette::None => plain.add_modifier(Modifier::BOLD),
                    Palette::Sixteen => plain.fg(Color::Cyan).add_modifier(Modifier::BOLD),
                    Palette::TwoFiftySix => {
                        plain.fg(Color::Indexed(117)).add_modifier(Modifier::BOLD)
                    }
                    Palette::True => plain
                        .fg(Color::Rgb(140, 205, 255))
                        .add_modifier(Modifier::BOLD),
                };
            }
            Role::Banner => {
                return match self.palette {
                    Palette::None => plain.add_modifier(Modifier::REVERSED | Modifier::BOLD),
                    Palette::Sixteen => plain.fg(Color::White).bg(Color::Red),
                    Palette::TwoFiftySix => plain.fg(Color::Indexed(231)).bg(Color::Indexed(124)),
                    Palette::True => plain
                        .fg(Color::Rgb(255, 255, 255))
                        .bg(Color::Rgb(160, 30, 30)),
                };
            }
            Role::Border => (self.colour(Color::DarkGray, 245), Modifier::empty()),
        };
        let style = plain.add_modifier(modifier);
        match colour {
            Some(colour) => style.fg(colour),
            None => style,
        }
    }

    /// Text keeps to the 256 colours even where there are more: a third of the bytes over a slow line, and hardly another look.
    fn colour(self, named: Color, indexed: u8) -> Option<Color> {
        match self.palette {
            Palette::None => None,
            Palette::Sixteen => Some(named),
            Palette::TwoFiftySix | Palette::True => Some(Color::Indexed(indexed)),
        }
    }

    /// One of two spellings: Unicode, or its ASCII stand-in.
    pub fn glyph(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { unicode }
    }

    /// Glyph, word and role of a delivery's state.
    pub fn state(self, state: State) -> (&'static str, &'static str, Role) {
        let (unicode, ascii, role) = match state {
            State::Ready => ("○", "o", Role::Busy),
            State::Running => ("▶", ">", Role::Busy),
            State::Waiting => ("⋯", "~", Role::Warn),
            State::Delivered => ("●", "*", Role::Good),
            State::Dead => ("✖", "x", Role::Bad),
            State::Held => ("‖", "=", Role::Warn),
            State::Cancelled => ("–", "-", Role::Dim),
            State::Superseded => ("»", "^", Role::Dim),
            State::Shadowed => ("◌", "%", Role::Dim),
        };
        (self.glyph(unicode, ascii), state.word(), role)
    }

    /// Glyph, word and role of a path's state.
    pub fn path_state(self, state: PathState) -> (&'static str, &'static str, Role) {
        let (unicode, ascii, role) = match state {
            PathState::Ok => ("●", "*", Role::Good),
            PathState::Quiet => ("○", "o", Role::Dim),
            PathState::Shadow => ("◌", "&", Role::Busy),
            PathState::Unknown => ("?", "?", Role::Warn),
            PathState::Retrying => ("▲", "!", Role::Warn),
            PathState::Blocked => ("◈", "%", Role::Warn),
            PathState::Behind => ("◇", "<", Role::Warn),
            PathState::Failing => ("✖", "x", Role::Bad),
            PathState::Late => ("◆", "#", Role::Bad),
            PathState::Probing => ("◐", "~", Role::Warn),
            PathState::Stopped => ("■", "X", Role::Bad),
            PathState::Paused => ("‖", "=", Role::Warn),
            PathState::Removed => ("–", "-", Role::Dim),
        };
        (self.glyph(unicode, ascii), state.word(), role)
    }

    /// Glyph, word and role of a severity.
    pub fn severity(self, severity: Severity) -> (&'static str, &'static str, Role) {
        match severity {
            Severity::Info => (self.glyph("·", "."), "info", Role::Dim),
            Severity::Warning => (self.glyph("▲", "!"), "warning", Role::Warn),
            Severity::Critical => (self.glyph("✖", "X"), "critical", Role::Bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(pairs: &[(&str, &str)]) -> Palette {
        Palette::detect(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_chooses_the_palette() {
        for (pairs, palette) in [
            (&[("TERM", "xterm")][..], Palette::Sixteen),
            (&[("TERM", "xterm-256color")], Palette::TwoFiftySix),
            (
                &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")],
                Palette::True,
            ),
            (
                &[("NO_COLOR", "1"), ("COLORTERM", "truecolor")],
                Palette::None,
            ),
            (&[("NO_COLOR", ""), ("TERM", "xterm")], Palette::Sixteen),
            (&[("TERM", "dumb")], Palette::None),
            (&[], Palette::Sixteen),
        ] {
            assert_eq!(detect(pairs), palette, "{pairs:?}");
        }
    }

    #[test]
    fn without_colour_no_role_has_one_and_the_selection_still_shows() {
        let theme = Theme {
            palette: Palette::None,
            ascii: true,
        };
        for role in [
            Role::Text,
            Role::Dim,
            Role::Title,
            Role::Accent,
            Role::Good,
            Role::Warn,
            Role::Bad,
            Role::Busy,
            Role::Selected,
            Role::Header,
            Role::Banner,
            Role::Border,
        ] {
            let style = theme.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
        assert!(
            theme
                .style(Role::Selected)
                .add_modifier
                .contains(Modifier::REVERSED)
        );
    }

    #[test]
    fn states_differ_by_word_and_by_glyph_in_both_glyph_sets() {
        for ascii in [false, true] {
            let theme = Theme {
                palette: Palette::None,
                ascii,
            };
            let mut seen = std::collections::HashSet::new();
            for state in State::ALL {
                let (glyph, word, _) = theme.state(*state);
                assert!(seen.insert(glyph) && seen.insert(word), "{word}");
                assert!(!ascii || glyph.is_ascii());
            }
        }
    }
}
