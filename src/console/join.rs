//! Puts key sequences together again that a slow line cut apart: pure, with the time given.
//!
//! Over SSH, `ESC [ A` can arrive as `ESC`, and a moment later `[A`. The terminal library then reports Esc, `[`, `A`:
//! "go back", and two letters that may mean something. So a lone Esc waits [`HOLD`] for company; and a paste that was
//! cut in the same way stays a paste. Called by the input thread only.

use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// How long a lone Esc waits for the rest of a sequence.
pub const HOLD: Duration = Duration::from_millis(50);

/// No key sequence is longer.
const LONGEST: usize = 24;

/// What has been held back.
#[derive(Debug, Default)]
pub struct Joiner {
    held: Option<Held>,
}

#[derive(Debug)]
enum Held {
    /// An Esc, and what came after it, since then.
    Sequence { text: String, since: Instant },
    /// Inside a paste whose beginning was cut apart.
    Paste { text: String, since: Instant },
}

impl Joiner {
    /// When [`Self::expire`] must be called, if nothing else comes.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.held {
            Some(Held::Sequence { since, .. }) => Some(*since + HOLD),
            Some(Held::Paste { since, .. }) => Some(*since + HOLD * 20),
            None => None,
        }
    }

    /// Takes one event; returns what is now certain.
    pub fn feed(&mut self, event: Event, now: Instant) -> Vec<Event> {
        let mut out = self.expire(now);
        let Event::Key(key) = &event else {
            out.extend(self.give_up());
            out.push(event);
            return out;
        };
        if key.kind == KeyEventKind::Release {
            return out;
        }
        match self.held.take() {
            None if key.code == KeyCode::Esc && key.modifiers.is_empty() => {
                self.held = Some(Held::Sequence {
                    text: String::new(),
                    since: now,
                });
            }
            None => out.push(event),
            Some(Held::Sequence { mut text, .. }) => {
                if let Some(letter) = plain(key) {
                    text.push(letter);
                    out.extend(self.advance(text, now));
                } else {
                    // A second Esc, or a key of its own: the first one was meant.
                    if text.is_empty() {
                        out.push(press(KeyCode::Esc, KeyModifiers::empty()));
                    }
                    out.extend(self.feed(event, now));
                }
            }
            Some(Held::Paste { mut text, .. }) => {
                match (plain(key), key.code) {
                    (Some(letter), _) => text.push(letter),
                    (None, KeyCode::Enter) => text.push('\n'),
                    (None, KeyCode::Tab) => text.push('\t'),
                    (None, KeyCode::Esc) => text.push('\x1b'),
                    _ => {}
                }
                match text.strip_suffix("\x1b[201~") {
                    Some(pasted) => out.push(Event::Paste(pasted.to_owned())),
                    None => self.held = Some(Held::Paste { text, since: now }),
                }
            }
        }
        out
    }

    /// Lets go what has waited long enough.
    pub fn expire(&mut self, now: Instant) -> Vec<Event> {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.give_up()
        } else {
            Vec::new()
        }
    }

    /// Nothing more will come: an Esc alone was meant; half a sequence means nothing and is dropped.
    fn give_up(&mut self) -> Vec<Event> {
        match self.held.take() {
            Some(Held::Sequence { text, .. }) if text.is_empty() => {
                vec![press(KeyCode::Esc, KeyModifiers::empty())]
            }
            Some(Held::Paste { text, .. }) => vec![Event::Paste(text)],
            _ => Vec::new(),
        }
    }

    fn advance(&mut self, text: String, now: Instant) -> Vec<Event> {
        let mut letters = text.chars();
        match letters.next() {
            Some('[' | 'O') if text.len() == 1 => {}
            Some('[') => {
                let last = text.chars().next_back().unwrap_or('[');
                if ('\x40'..='\x7e').contains(&last) {
                    if text == "[200~" {
                        self.held = Some(Held::Paste {
                            text: String::new(),
                            since: now,
                        });
                        return Vec::new();
                    }
                    return control_sequence(&text[1..]).into_iter().collect();
                }
            }
            Some('O') => return single_shift(&text[1..]).into_iter().collect(),
            // Nobody types Esc and a letter within the hold: this is Alt.
            Some(letter) => return vec![press(KeyCode::Char(letter), KeyModifiers::ALT)],
            None => {}
        }
        if text.len() <= LONGEST {
            self.held = Some(Held::Sequence { text, since: now });
        }
        Vec::new()
    }
}

fn plain(key: &KeyEvent) -> Option<char> {
    match key.code {
        KeyCode::Char(letter) if !key.modifiers.contains(KeyModifiers::CONTROL) => Some(letter),
        _ => None,
    }
}

fn press(code: KeyCode, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(code, modifiers))
}

/// What follows `ESC [`: parameters and a final byte (ECMA-48 5.4; xterm's modifiers are 1 + their sum).
fn control_sequence(text: &str) -> Option<Event> {
    let (parameters, last) = text.split_at(text.len().checked_sub(1)?);
    let mut numbers = parameters
        .split(';')
        .map(|n| n.parse::<u8>().unwrap_or_default());
    let first = numbers.next().unwrap_or_default();
    let bits = numbers.next().unwrap_or(1).saturating_sub(1);
    let mut modifiers = KeyModifiers::empty();
    for (bit, modifier) in [
        (1, KeyModifiers::SHIFT),
        (2, KeyModifiers::ALT),
        (4, KeyModifiers::CONTROL),
    ] {
        if bits & bit != 0 {
            modifiers |= modifier;
        }
    }
    let code = match (last, first) {
        ("A", _) => KeyCode::Up,
        ("B", _) => KeyCode::Down,
        ("C", _) => KeyCode::Right,
        ("D", _) => KeyCode::Left,
        ("H", _) | ("~", 1 | 7) => KeyCode::Home,
        ("F", _) | ("~", 4 | 8) => KeyCode::End,
        ("Z", _) => KeyCode::BackTab,
        ("~", 3) => KeyCode::Delete,
        ("~", 5) => KeyCode::PageUp,
        ("~", 6) => KeyCode::PageDown,
        _ => return None,
    };
    Some(press(code, modifiers))
}

/// What follows `ESC O`.
fn single_shift(text: &str) -> Option<Event> {
    let code = match text {
        "A" => KeyCode::Up,
        "B" => KeyCode::Down,
        "C" => KeyCode::Right,
        "D" => KeyCode::Left,
        "H" => KeyCode::Home,
        "F" => KeyCode::End,
        "P" => KeyCode::F(1),
        _ => return None,
    };
    Some(press(code, KeyModifiers::empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Vec<Event> {
        text.chars()
            .map(|c| match c {
                '\x1b' => press(KeyCode::Esc, KeyModifiers::empty()),
                '\n' => press(KeyCode::Enter, KeyModifiers::empty()),
                c => press(KeyCode::Char(c), KeyModifiers::empty()),
            })
            .collect()
    }

    /// Feeds the events `gap` apart, then waits long.
    fn run(events: Vec<Event>, gap: Duration) -> Vec<Event> {
        let mut joiner = Joiner::default();
        let mut now = Instant::now();
        let mut out = Vec::new();
        for event in events {
            out.extend(joiner.feed(event, now));
            now += gap;
        }
        out.extend(joiner.expire(now + Duration::from_secs(9)));
        out
    }

    #[test]
    fn sequences_cut_apart_are_one_key_again() {
        let key = |code| vec![press(code, KeyModifiers::empty())];
        for (text, expected) in [
            ("\x1b[A", key(KeyCode::Up)),
            ("\x1b[B", key(KeyCode::Down)),
            ("\x1bOA", key(KeyCode::Up)),
            ("\x1b[5~", key(KeyCode::PageUp)),
            ("\x1b[H", key(KeyCode::Home)),
            (
                "\x1b[1;5C",
                vec![press(KeyCode::Right, KeyModifiers::CONTROL)],
            ),
            ("\x1by", vec![press(KeyCode::Char('y'), KeyModifiers::ALT)]),
            ("\x1b[99x", vec![]),
            ("\x1b", key(KeyCode::Esc)),
            ("j", key(KeyCode::Char('j'))),
        ] {
            assert_eq!(
                run(typed(text), Duration::from_millis(1)),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_escape_that_stays_alone_is_an_escape_and_what_comes_later_is_itself() {
        let out = run(typed("\x1bq"), HOLD);
        assert_eq!(out, typed("\x1bq"));
        let out = run(typed("\x1b\x1b"), Duration::from_millis(1));
        assert_eq!(out, typed("\x1b\x1b"));
    }

    #[test]
    fn a_paste_cut_apart_is_a_paste() {
        let out = run(typed("\x1b[200~qy\nr\x1b[201~j"), Duration::from_millis(1));
        assert_eq!(
            out,
            [vec![Event::Paste("qy\nr".into())], typed("j")].concat()
        );
    }
}
