//! The keys that a path and `[defaults.path]` share: read once from each, then laid over one another.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::duty::policy_or_channel;
use super::model::{BreakerPolicy, ClassOverride, Mode, Sync};
use super::paths::Surroundings;
use super::reader::{Section, Value, quoted};
use super::suggest::{alternatives, did_you_mean};
use super::values::{DAY, INSTANT, is_header_name};
use crate::duty::Due;
use crate::event::expr::Kind;
use crate::queue::model::Class;

/// Headers that belong to HTTP itself or to `auth`.
const FORBIDDEN_HEADERS: &[(&str, &str)] = &[
    (
        "authorization",
        "use `auth` of the receiving system: a secret must not stand in this file",
    ),
    ("cookie", "a secret must not stand in this file"),
    ("host", "it follows from the URL"),
    ("content-length", "it follows from the body"),
    ("transfer-encoding", "it follows from the body"),
    ("connection", "it belongs to the connection"),
];

/// What a path or the defaults say; nothing where they are silent.
pub(super) struct Settings<'a> {
    pub(super) mode: Option<Mode>,
    pub(super) needs_within: Option<Duration>,
    pub(super) when: Option<String>,
    pub(super) sync: Option<Sync>,
    pub(super) order_by: Option<String>,
    pub(super) on_dead_continue: Option<bool>,
    pub(super) owner: Option<String>,
    pub(super) escalation: Option<String>,
    pub(super) runbook: Option<PathBuf>,
    pub(super) method: Option<String>,
    pub(super) url: Option<(String, Value<'a>)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    pub(super) key_header: Option<String>,
    pub(super) schedule: Option<Vec<Duration>>,
    pub(super) jitter: Option<f64>,
    pub(super) timeout: Option<Duration>,
    pub(super) concurrency: Option<usize>,
    pub(super) retry_after_cap: Option<Duration>,
    pub(super) breaker: Breaker,
    pub(super) classes: Option<Vec<ClassOverride>>,
    pub(super) due: Option<Due>,
    pub(super) value: Option<String>,
}

/// What a `breaker` table says.
#[derive(Default)]
pub(super) struct Breaker {
    rate: Option<f64>,
    min: Option<u32>,
    window: Option<Duration>,
    cooldown: Option<Duration>,
    refused: Option<u32>,
}

impl Breaker {
    /// This over `defaults` over `last`.
    pub(super) fn over(&self, defaults: &Self, last: BreakerPolicy) -> BreakerPolicy {
        BreakerPolicy {
            rate: self.rate.or(defaults.rate).unwrap_or(last.rate),
            min: self.min.or(defaults.min).unwrap_or(last.min),
            window: self.window.or(defaults.window).unwrap_or(last.window),
            cooldown: self.cooldown.or(defaults.cooldown).unwrap_or(last.cooldown),
            refused: self.refused.or(defaults.refused).unwrap_or(last.refused),
        }
    }
}

/// Reads the shared keys of a section. The caller finishes it.
pub(super) fn settings<'a>(section: &Section<'a>, around: &Surroundings<'_>) -> Settings<'a> {
    let base = around.base;
    let expression = |key, kind| section.get(key).and_then(|value| value.expression(kind));
    let duration = |key, range| section.get(key).and_then(|value| value.duration(range));
    let syncs = [
        ("queue", Sync::Queue),
        ("webhook", Sync::Webhook),
        ("scheduled", Sync::Scheduled),
    ];
    let modes = [("live", Mode::Live), ("shadow", Mode::Shadow)];
    Settings {
        mode: section.get("mode").and_then(|value| value.word(&modes)),
        needs_within: duration("needs_within", Duration::from_secs(60)..=DAY * 90),
        when: expression("when", Kind::Expression),
        sync: section.get("sync").and_then(|value| value.word(&syncs)),
        order_by: expression("order_by", Kind::Expression),
        on_dead_continue: section
            .get("on_dead")
            .and_then(|value| value.word(&[("block", false), ("continue", true)])),
        owner: section
            .get("owner")
            .and_then(|value| value.filled("who answers for it"))
            .map(str::to_owned),
        escalation: section
            .get("escalation")
            .and_then(|value| policy_or_channel(&value, around.policies, around.channels)),
        runbook: section
            .get("runbook")
            .and_then(|value| runbook(&value, base)),
        method: section.get("method").and_then(|value| method(&value)),
        url: section.get("url").and_then(|value| url(&value)),
        headers: section
            .get("headers")
            .and_then(|value| value.section())
            .map(|headers| {
                headers
                    .entries()
                    .iter()
                    .filter_map(|(name, value)| header(name, value, Kind::Template))
                    .collect()
            })
            .unwrap_or_default(),
        body: expression("body", Kind::Template),
        key_header: section
            .get("key_header")
            .and_then(|value| value.header_name()),
        schedule: section.get("schedule").and_then(|value| schedule(&value)),
        jitter: section.get("jitter").and_then(|value| value.fraction()),
        timeout: duration("timeout", INSTANT..=Duration::from_secs(600)),
        concurrency: section
            .get("concurrency")
            .and_then(|value| value.whole(1..=1024))
            .map(|number| number as usize),
        retry_after_cap: duration("retry_after_cap", INSTANT..=DAY * 30),
        breaker: section
            .get("breaker")
            .and_then(|value| value.section())
            .map(|breaker| breaker_of(&breaker))
            .unwrap_or_default(),
        classes: section.get("classes").and_then(|value| classes(&value)),
        due: section.get("due").and_then(|value| due(&value)),
        value: expression("value", Kind::Expression),
    }
}

/// When the business notices.
fn due(value: &Value<'_>) -> Option<Due> {
    let text = value.as_text().unwrap_or_default();
    match Due::parse(text) {
        Some(due @ Due::Workday(_)) => Some(due),
        None if text.contains("workday") => {
            value.wrong("a duration such as \"2h\", or \"next workday 09:00\"", None);
            None
        }
        _ => value.duration(INSTANT..=DAY * 366).map(Due::After),
    }
}

/// A runbook's file; a warning where there is none.
pub(super) fn runbook(value: &Value<'_>, base: &Path) -> Option<PathBuf> {
    const EXPECTED: &str =
        "a markdown file, relative to this one, such as \"runbooks/receiver-down.md\"";
    let text = value.filled(EXPECTED)?;
    if text.contains('\0') {
        value.wrong(EXPECTED, None);
        return None;
    }
    let file = base.join(text);
    if !file.is_file() {
        value.warning(
            &format!("there is no file {}", quoted(text)),
            neighbour(&file, text)
                .or_else(|| Some("`midwatch init` writes runbooks to start from".to_owned())),
        );
    }
    Some(file)
}

/// The file beside `file` that was probably meant.
fn neighbour(file: &Path, text: &str) -> Option<String> {
    let wanted = file.file_name()?.to_str()?;
    let names: Vec<String> = std::fs::read_dir(file.parent()?)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let near = super::suggest::nearest(wanted, names.iter().map(String::as_str))?;
    let folder = text.strip_suffix(wanted)?;
    Some(format!(
        "did you mean {}?",
        quoted(&format!("{folder}{near}"))
    ))
}

fn method(value: &Value<'_>) -> Option<String> {
    const METHODS: &[(&str, &str)] = &[
        ("POST", "POST"),
        ("PUT", "PUT"),
        ("PATCH", "PATCH"),
        ("DELETE", "DELETE"),
        ("GET", "GET"),
    ];
    value.word(METHODS).map(str::to_owned)
}

/// Relative to the receiving system's URL, or absolute; a template, but never in the host: no event may choose who gets
/// the system's credentials.
fn url<'a>(value: &Value<'a>) -> Option<(String, Value<'a>)> {
    const EXPECTED: &str =
        "a path such as \"/orders/{{ subject }}\", or an absolute http or https URL";
    let text = value.text(EXPECTED)?;
    let relative = text.is_empty() || text.starts_with('/') && !text.starts_with("//");
    if !relative {
        let literal = &text[..text.find('{').unwrap_or(text.len())];
        let after_scheme = literal.split_once("://").map(|(_, rest)| rest);
        if literal.len() < text.len() && after_scheme.is_none_or(|rest| !rest.contains('/')) {
            value.error(
                "the host must be literal: an event must not choose who is sent the credentials",
                Some("write it out, followed by `/`".to_owned()),
            );
            return None;
        }
        value.absolute_url(literal, EXPECTED)?;
    }
    if text.chars().any(char::is_control) {
        value.wrong(EXPECTED, None);
        return None;
    }
    let template = value.expression(Kind::Template)?;
    Some((template, value.clone()))
}

/// A header of requests: its value is a template of that kind.
pub(super) fn header(name: &str, value: &Value<'_>, kind: Kind) -> Option<(String, String)> {
    may_be_set(name, value).then_some(())?;
    let text = value.expression(kind)?;
    if !one_line(&text) {
        value.wrong("one line of text", None);
        return None;
    }
    Some((name.to_owned(), text))
}

/// A header of every request to a system: its value is a text.
pub(super) fn fixed_header(name: &str, value: &Value<'_>) -> Option<(String, String)> {
    may_be_set(name, value).then_some(())?;
    let text = value.filled("one line of text")?;
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        value.wrong("one line of plain text", None);
        return None;
    }
    let lower = name.to_ascii_lowercase();
    if ["token", "secret", "api-key", "apikey", "password"]
        .iter()
        .any(|word| lower.contains(word))
    {
        value.warning(
            "by its name this header carries a secret, which must not stand in this file",
            Some(format!(
                "use `auth = {{ header = \"{name}\", value = \"file:PATH\" }}`"
            )),
        );
    }
    Some((name.to_owned(), text.to_owned()))
}

/// The name is a header's, and of one that is nobody else's business.
fn may_be_set(name: &str, value: &Value<'_>) -> bool {
    let refuse = |message: &str, suggestion: Option<String>| {
        value
            .problems
            .error(value.key_at, &value.path, message, None, suggestion);
        false
    };
    if !is_header_name(name) {
        return refuse("this is no name of an HTTP header", None);
    }
    let lower = name.to_ascii_lowercase();
    match FORBIDDEN_HEADERS
        .iter()
        .find(|(header, _)| *header == lower)
    {
        Some((_, why)) => refuse("this header cannot be set here", Some((*why).to_owned())),
        None => true,
    }
}

/// No line break or other control character but a tab.
pub(super) fn one_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}

fn schedule(value: &Value<'_>) -> Option<Vec<Duration>> {
    const EXPECTED: &str =
        "the delays before each attempt, 1 to 64 of them, such as [\"0\", \"5s\", \"5m\", \"30m\"]";
    let items = value.list(EXPECTED)?;
    if items.len() > 64 {
        let message = format!("found {} delays", items.len());
        value
            .problems
            .error(value.at, &value.path, &message, Some(EXPECTED), None);
        return None;
    }
    let delays: Vec<_> = items
        .iter()
        .map(|item| item.duration(Duration::ZERO..=DAY * 30))
        .collect();
    delays.into_iter().collect()
}

fn breaker_of(section: &Section<'_>) -> Breaker {
    let count = |key| {
        section
            .get(key)
            .and_then(|value| value.whole(1..=1_000_000))
            .map(|number| number as u32)
    };
    let duration = |key| {
        section
            .get(key)
            .and_then(|value| value.duration(Duration::from_secs(1)..=DAY))
    };
    let rate = section.get("rate").and_then(|value| {
        let rate = value.fraction()?;
        if rate <= 0.0 {
            value.error("at a rate of 0 the breaker would always be open", None);
            return None;
        }
        Some(rate)
    });
    let breaker = Breaker {
        rate,
        min: count("min"),
        window: duration("window"),
        cooldown: duration("cooldown"),
        refused: count("refused"),
    };
    section.finish(&[]);
    breaker
}

fn classes(value: &Value<'_>) -> Option<Vec<ClassOverride>> {
    let items = value.items();
    if items.is_none() {
        value.wrong(
            "a list such as [{ status = 409, class = \"delivered\" }]",
            None,
        );
    }
    let overrides: Vec<_> = items?.iter().map(class_override).collect();
    overrides.into_iter().collect()
}

fn class_override(value: &Value<'_>) -> Option<ClassOverride> {
    let section = value.section()?;
    let status = section
        .require(
            "status",
            "a status such as 409, or a range such as \"500-599\"",
        )
        .and_then(|value| statuses(&value));
    let body_contains = section.get("body").map(|value| {
        value
            .filled("a text that the answer's body contains")
            .map(str::to_owned)
    });
    // What only a rule of ours says is no meaning of an answer.
    let said = |class: &Class| *class != Class::Withheld;
    let words = || {
        let said = Class::ALL.iter().filter(|class| said(class));
        said.map(|class| class.word())
    };
    let class = section
        .require("class", &alternatives(words()))
        .and_then(|value| {
            let text = value.text(&alternatives(words()))?;
            let class = text.parse().ok().filter(said);
            if class.is_none() {
                value.wrong(&alternatives(words()), did_you_mean(text, words()));
            }
            class
        });
    section.finish(&[]);
    let body_contains = match body_contains {
        Some(text) => Some(text?),
        None => None,
    };
    Some(ClassOverride {
        status: status?,
        body_contains,
        class: class?,
    })
}

/// `409`, `"409"` or `"500-599"`.
fn statuses(value: &Value<'_>) -> Option<(u16, u16)> {
    let range = match value.as_text() {
        Some(text) => {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            low.trim().parse().ok().zip(high.trim().parse().ok())
        }
        None => value
            .as_whole()
            .and_then(|status| u16::try_from(status).ok())
            .map(|status| (status, status)),
    };
    let range = range.filter(|(low, high)| low <= high && *low >= 100 && *high <= 599);
    if range.is_none() {
        value.wrong(
            "a status from 100 to 599, or a range such as \"500-599\"",
            None,
        );
    }
    range
}
