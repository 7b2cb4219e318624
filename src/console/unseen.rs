//! What an operator types unseen: a new secret, on its way to the worker.
//!
//! Must never reach a screen, a log or a debug print: there is no `Display`, `Debug` says nothing, and the only ways out
//! are its length (for the dots) and [`Unseen::take`], which leaves nothing behind. Held by the model's dialog alone.

use std::fmt;

use crate::control::Hidden;

/// As many characters are taken: more than the worker saves, so that what is too long is refused, never cut short.
const LONGEST: usize = (64 << 10) + 1;

/// A text that is typed unseen.
#[derive(Default)]
pub struct Unseen(String);

impl Unseen {
    /// One more character; control characters are left out.
    pub fn push(&mut self, letter: char) {
        if !letter.is_control() && self.0.chars().count() < LONGEST {
            self.0.push(letter);
        }
    }

    /// Adds what was pasted, without the line's end that came with it.
    pub fn paste(&mut self, text: &str) {
        let text = text.trim_matches(['\n', '\r']);
        let room = LONGEST.saturating_sub(self.0.chars().count());
        self.0.extend(text.chars().take(room));
    }

    /// Takes the last character back.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many characters were typed.
    pub fn len(&self) -> usize {
        self.0.chars().count()
    }

    /// Nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands it over; nothing stays here.
    pub fn take(&mut self) -> Hidden {
        Hidden::from(std::mem::take(&mut self.0))
    }
}

impl fmt::Debug for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unseen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_nothing_and_leaves_nothing_behind() {
        let mut typed = Unseen::default();
        for letter in "sk_\u{1b}1".chars() {
            typed.push(letter);
        }
        typed.paste("23\r\n");
        assert_eq!((format!("{typed:?}").as_str(), typed.len()), ("Unseen", 6));
        typed.pop();
        assert_eq!(typed.take().expose(), "sk_12");
        assert!(typed.is_empty());
    }
}
