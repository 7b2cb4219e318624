//! Whether an expression or template of the configuration reads, and uses only names that will exist: a slip is
//! found by `midwatch check`, not by the first event at night.

use super::suggest::did_you_mean;

/// What a text is and which names it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An expression over an event (`when`, `order_by`, `value`).
    Event,
    /// A template over an event (`url`, `headers`, `body`).
    EventTemplate,
    /// A template over a vendor's request (`hooks.event`).
    HookTemplate,
}

/// What is wrong with one.
pub(super) struct Fault {
    /// What.
    pub(super) message: String,
    /// What was probably meant.
    pub(super) suggestion: Option<String>,
}

impl Kind {
    /// What is expected where something else stands.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Event => "an expression over the event, such as \"data.total > 0\"",
            Self::EventTemplate => "a template over the event, such as \"/orders/{{ subject }}\"",
            Self::HookTemplate => "a template over `headers` and `body`, such as \"{{ body.id }}\"",
        }
    }

    /// The names that exist when it is evaluated.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Event | Self::EventTemplate => &[
                "id", "source", "type", "subject", "time", "key", "ext", "data",
            ],
            Self::HookTemplate => &["headers", "body"],
        }
    }
}

/// Checks syntax and names.
pub(super) fn check(text: &str, kind: Kind) -> Result<(), Fault> {
    let environment = minijinja::Environment::new();
    let used = match kind {
        Kind::Event => environment
            .compile_expression(text)
            .map(|expression| expression.undeclared_variables(false)),
        Kind::EventTemplate | Kind::HookTemplate => environment
            .template_from_str(text)
            .map(|template| template.undeclared_variables(false)),
    };
    let used = used.map_err(|error| Fault {
        message: format!(
            "this does not read: {}",
            error
                .detail()
                .map_or_else(|| error.kind().to_string(), str::to_owned)
        ),
        suggestion: None,
    })?;
    let mut unknown: Vec<&str> = used
        .iter()
        .map(String::as_str)
        .filter(|name| !kind.names().contains(name))
        .filter(|name| environment.globals().all(|(global, _)| global != *name))
        .collect();
    unknown.sort_unstable();
    let Some(name) = unknown.first() else {
        return Ok(());
    };
    Err(Fault {
        message: format!(
            "unknown name `{name}` in this {}",
            if kind == Kind::Event {
                "expression"
            } else {
                "template"
            }
        ),
        suggestion: did_you_mean(name, kind.names().iter().copied())
            .or_else(|| Some(format!("known: {}", kind.names().join(", ")))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_pass_and_bad_ones_say_what_is_wrong() {
        for (text, kind) in [
            ("subject", Kind::Event),
            (
                "data.total > 0 and type is startingwith('order.')",
                Kind::Event,
            ),
            (
                "/orders/{{ subject }}{% for x in range(3) %}{{ x }}{% endfor %}",
                Kind::EventTemplate,
            ),
            ("plain", Kind::EventTemplate),
            (
                "{{ headers['x-topic'] }}.{{ body.id | default('') }}",
                Kind::HookTemplate,
            ),
        ] {
            assert!(check(text, kind).is_ok(), "{text}");
        }
        for (text, kind, message, suggestion) in [
            ("data.total >", Kind::Event, "this does not read", None),
            ("", Kind::Event, "this does not read", None),
            (
                "/{{ subject",
                Kind::EventTemplate,
                "this does not read",
                None,
            ),
            (
                "subjct",
                Kind::Event,
                "unknown name `subjct`",
                Some("did you mean `subject`?"),
            ),
            (
                "{{ data.id }}",
                Kind::HookTemplate,
                "unknown name `data`",
                Some("known: headers, body"),
            ),
        ] {
            let fault = check(text, kind).err().unwrap();
            assert!(fault.message.contains(message), "{}", fault.message);
            if suggestion.is_some() {
                assert_eq!(fault.suggestion.as_deref(), suggestion);
            }
        }
    }
}
