//! Whether an expression or template of the configuration reads, and uses only names that will exist: a slip is
//! found by `midwatch check`, not by the first event at night. The engine itself is `event::expr`.

use super::reader::Value;
use super::suggest::did_you_mean;
use crate::event::expr::{self, Kind};

impl Value<'_> {
    /// An expression or template that reads, over the names that it may use.
    pub(super) fn expression(&self, kind: Kind) -> Option<String> {
        self.reads(self.text(expected(kind))?, kind)
    }

    /// The same for a text that was made of what stands here.
    pub(super) fn reads(&self, text: &str, kind: Kind) -> Option<String> {
        let Err(error) = expr::check(text, kind) else {
            return Some(text.to_owned());
        };
        let place = match (error.line, error.column) {
            (Some(1) | None, Some(column)) => format!(" (at character {column} of the text)"),
            (Some(line), Some(column)) if line > 1 => {
                format!(" (line {line}, character {column} of the text)")
            }
            _ => String::new(),
        };
        let suggestion = error
            .unknown
            .as_ref()
            .and_then(|name| did_you_mean(name, kind.names().iter().copied()));
        self.error(&format!("{}{place}", error.message), suggestion);
        None
    }
}

/// What is expected where something else stands.
fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Expression => "an expression over the event, such as \"data.total\"",
        Kind::Template => "a template over the event, such as \"/orders/{{ subject }}\"",
        Kind::Hook => "a template over `headers` and `body`, such as \"{{ body.id }}\"",
        Kind::Record => "a template over the record's `data`, such as \"{{ data.number }}\"",
        Kind::Inside => {
            "a template over `data` and the `outer` record, such as \"{{ outer.id }}-{{ data.sku }}\""
        }
        Kind::Shape => "a template over the record, such as \"/deals/{{ id }}\"",
        Kind::Since => "a template over `since`, such as \"modified_after={{ since }}\"",
        Kind::Mapping => "a template over the event and `fields`, such as \"{{ data.id }}\"",
    }
}
