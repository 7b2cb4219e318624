//! Typing without an echo: a secret goes from the keyboard into a [`Hidden`] and nowhere else.
//!
//! The terminal is put back as it was on every way out. Called by `secret`.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::control::Hidden;
use crate::visible::Visible;

/// The longest text in bytes: a little more than a secret may have, so that a longer one is refused and not cut.
const LONGEST: usize = (64 << 10) + 2;

/// What follows Enter so soon was pasted with it, and is thrown away rather than left to the shell.
const PASTED: Duration = Duration::from_millis(50);

/// Reads one line unseen from the terminal, or the first line of a standard input that is none. None: nothing was given.
pub async fn read(prompt: &str) -> anyhow::Result<Option<Hidden>> {
    let prompt = Visible::of(prompt);
    let text = tokio::task::spawn_blocking(move || {
        if std::io::stdin().is_terminal() {
            typed(prompt.as_str())
        } else {
            first_line()
        }
    })
    .await??;
    Ok(text.filter(|text| !text.is_empty()))
}

fn first_line() -> anyhow::Result<Option<Hidden>> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .take(LONGEST as u64)
        .read_line(&mut line)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Some(Hidden::from(text.to_owned())))
}

/// Puts the terminal back, whatever happens.
struct Raw;

impl Raw {
    fn enter() -> std::io::Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

fn typed(prompt: &str) -> anyhow::Result<Option<Hidden>> {
    let mut err = std::io::stderr().lock();
    write!(err, "{prompt}")?;
    err.flush()?;
    let raw = Raw::enter()?;
    let mut line = Line::default();
    let ended = loop {
        match crossterm::event::read()? {
            Event::Key(key) => match line.press(key) {
                Next::More => {}
                Next::Done => break true,
                Next::Cancel => break false,
            },
            Event::Paste(text) => line.text.push_str(&text),
            _ => {}
        }
    };
    while crossterm::event::poll(PASTED)? {
        let _ = crossterm::event::read()?;
    }
    drop(raw);
    writeln!(err)?;
    Ok(ended.then(|| Hidden::from(line.text)))
}

/// What a key led to.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    More,
    Done,
    Cancel,
}

#[derive(Default)]
struct Line {
    text: String,
}

impl Line {
    fn press(&mut self, key: KeyEvent) -> Next {
        if key.kind == KeyEventKind::Release {
            return Next::More;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Next::Done,
            KeyCode::Esc => return Next::Cancel,
            KeyCode::Char('c' | 'd') if control => return Next::Cancel,
            KeyCode::Char('j' | 'm') if control => return Next::Done,
            KeyCode::Char('u') if control => self.text.clear(),
            KeyCode::Backspace => {
                self.text.pop();
            }
            KeyCode::Char(c) if !control && self.text.len() < LONGEST => self.text.push(c),
            _ => {}
        }
        Next::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_a_line_that_can_be_mended_finished_and_given_up() {
        let press = |line: &mut Line, code, modifiers| line.press(KeyEvent::new(code, modifiers));
        let mut line = Line::default();
        let plain = KeyModifiers::NONE;
        for c in "wrong".chars() {
            press(&mut line, KeyCode::Char(c), plain);
        }
        press(&mut line, KeyCode::Char('u'), KeyModifiers::CONTROL);
        for c in "Shé-1x".chars() {
            press(&mut line, KeyCode::Char(c), KeyModifiers::SHIFT);
        }
        press(&mut line, KeyCode::Backspace, plain);
        assert_eq!(press(&mut line, KeyCode::Left, plain), Next::More);
        assert_eq!(press(&mut line, KeyCode::Enter, plain), Next::Done);
        assert_eq!(line.text, "Shé-1");
        for (code, modifiers) in [
            (KeyCode::Esc, plain),
            (KeyCode::Char('c'), KeyModifiers::CONTROL),
            (KeyCode::Char('d'), KeyModifiers::CONTROL),
        ] {
            assert_eq!(press(&mut line, code, modifiers), Next::Cancel);
        }
    }
}
