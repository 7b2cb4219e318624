//! The stand-in chat: Slack-like incoming webhooks. It answers `ok` and keeps the last messages.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::keys::{Keys, Seen};
use super::script::Faults;
use super::server::{Call, Reply, System};

/// Messages kept.
const KEPT: usize = 100;

/// The chat.
#[derive(Debug, Default)]
pub struct Chat {
    messages: Mutex<VecDeque<String>>,
    keys: Keys,
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

impl Chat {
    /// The last messages, oldest first.
    pub fn messages(&self) -> Vec<String> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().cloned().collect()
    }

    /// What its receiver saw of keys.
    pub fn seen(&self) -> Seen {
        self.keys.seen()
    }
}

impl System for Chat {
    fn answer(&self, call: &Call, _: &Faults) -> Reply {
        if call.method != "POST" || !call.path.starts_with("/services/") {
            return Reply::text(404, "no_service");
        }
        let Ok(message) = serde_json::from_slice::<Message>(&call.body) else {
            return Reply::text(400, "invalid_payload");
        };
        if !self.keys.note(call) {
            let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            messages.push_back(message.text);
            if messages.len() > KEPT {
                messages.pop_front();
            }
        }
        Reply::text(200, "ok")
    }
}
