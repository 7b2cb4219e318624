//! A text that an operator typed unseen: a new secret on its way to its file.
//!
//! Must never be shown, logged or stored: it has no `Display`, its `Debug` says nothing, and the one thing that writes
//! it down is the frame on the control socket, which only the database's own user (or group) can open. Made by whoever
//! asks for the secret, opened by the action that saves it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret that was typed and is not saved yet.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// The text itself, for the one place that saves it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing was typed (yet).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_nothing_of_itself_and_crosses_the_socket_whole() {
        let hidden = Hidden::from("sk_live_1".to_owned());
        assert_eq!(
            format!("{hidden:?} {:?}", Some(&hidden)),
            "Hidden Some(Hidden)"
        );
        let frame = serde_json::to_string(&hidden).unwrap();
        assert_eq!(serde_json::from_str::<Hidden>(&frame).unwrap(), hidden);
    }
}
