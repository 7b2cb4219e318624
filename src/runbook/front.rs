//! Front matter: `key: value` lines, `key: [a, b]` and `key:` with `- item` lines, between two lines of `---`.
//!
//! Deliberately less than YAML. What is not understood is kept and reported, because a typing error in a header must
//! never hide the steps below it.

use std::time::Duration;

use chrono::NaiveDate;

use crate::time::parse_duration;
use crate::visible::Visible;

/// Who answers for a runbook, what it is for, and when it was last looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Front {
    /// Who answers for it.
    pub owner: Option<String>,
    /// Who does when the owner is away.
    pub deputy: Option<String>,
    /// How bad it usually is.
    pub severity: Option<String>,
    /// The rules that lead here.
    pub alerts: Vec<String>,
    /// Where to escalate.
    pub escalation: Option<String>,
    /// When someone last checked that it is true.
    pub last_reviewed: Option<NaiveDate>,
    /// How long such a check holds.
    pub review_every: Option<Duration>,
    /// Keys that midwatch does not know, and known ones whose value it could not read, as written.
    pub other: Vec<(String, Vec<String>)>,
}

impl Front {
    /// Whether the last review is longer ago than it may be; not without both dates.
    pub fn review_overdue(&self, today: NaiveDate) -> bool {
        match (self.last_reviewed, self.review_every) {
            (Some(last), Some(every)) => (today - last).to_std().is_ok_and(|age| age > every),
            _ => false,
        }
    }

    /// The lines to show above the text, in a fixed order, unknown keys last.
    pub fn rows(&self) -> Vec<(String, String)> {
        let one =
            |key: &str, value: &Option<String>| value.clone().map(|value| (key.to_owned(), value));
        let mut rows: Vec<_> = [
            one("owner", &self.owner),
            one("deputy", &self.deputy),
            one("severity", &self.severity),
            (!self.alerts.is_empty()).then(|| ("alerts".to_owned(), self.alerts.join(", "))),
            one("escalation", &self.escalation),
            self.last_reviewed
                .map(|date| ("last reviewed".to_owned(), date.to_string())),
            self.review_every
                .map(|every| ("review every".to_owned(), crate::time::short(every))),
        ]
        .into_iter()
        .flatten()
        .collect();
        rows.extend(
            self.other
                .iter()
                .map(|(key, values)| (key.clone(), values.join(", "))),
        );
        rows
    }

    fn set(&mut self, key: &str, values: Vec<String>, line: usize, warnings: &mut Vec<String>) {
        let mut warn =
            |what: &str| warnings.push(format!("line {line}: `{}` {what}", Visible::of(key)));
        let slot = match key {
            "owner" => &mut self.owner,
            "deputy" => &mut self.deputy,
            "severity" => &mut self.severity,
            "escalation" => &mut self.escalation,
            "alerts" => {
                self.alerts.extend(values);
                return;
            }
            "last_reviewed" => {
                match values.first().and_then(|value| value.parse().ok()) {
                    Some(date) => self.last_reviewed = Some(date),
                    None if values.is_empty() => {}
                    None => {
                        warn("is no date; expected YYYY-MM-DD");
                        self.other.push((key.to_owned(), values));
                    }
                }
                return;
            }
            "review_every" => {
                match values.first().and_then(|value| parse_duration(value)) {
                    Some(every) => self.review_every = Some(every),
                    None if values.is_empty() => {}
                    None => {
                        warn("is no duration; expected for example 90d");
                        self.other.push((key.to_owned(), values));
                    }
                }
                return;
            }
            _ => {
                warn("is no key of a runbook; it is kept as written");
                self.other.push((key.to_owned(), values));
                return;
            }
        };
        if slot.is_some() {
            warn("is given twice; the first one counts");
            self.other.push((key.to_owned(), values));
        } else if !values.is_empty() {
            *slot = Some(values.join(", "));
        }
    }
}

/// Parts `text` into its front matter and its body. Adds to `warnings` what was not understood.
pub(super) fn split<'a>(text: &'a str, warnings: &mut Vec<String>) -> (Front, &'a str) {
    let mut front = Front::default();
    let mut lines = text.split_inclusive('\n');
    if lines.next().map(str::trim_end) != Some("---") {
        return (front, text);
    }
    let mut end = text.find('\n').map_or(text.len(), |at| at + 1);
    let mut open: Option<(String, Vec<String>, usize)> = None;
    let mut entries = Vec::new();
    let mut closed = false;
    let mut oddities = Vec::new();
    for (place, raw) in lines.enumerate() {
        let number = place + 2;
        end += raw.len();
        let line = raw.trim_end();
        if line == "---" {
            closed = true;
            break;
        }
        let bare = line.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        if let Some(item) = bare
            .strip_prefix('-')
            .filter(|rest| rest.is_empty() || rest.starts_with(' '))
            && let Some((_, values, _)) = &mut open
        {
            values.extend(value(item.trim()));
            continue;
        }
        match bare.split_once(':') {
            Some((key, rest)) if is_key(key) => {
                entries.extend(open.take());
                open = Some((key.to_owned(), self::values(rest.trim()), number));
            }
            _ => oddities.push(format!(
                "line {number}: `{}` is no `key: value`",
                Visible::of(bare)
            )),
        }
    }
    if !closed {
        warnings.push(
            "the front matter opens with `---` and never closes; it is shown as text".to_owned(),
        );
        return (front, text);
    }
    entries.extend(open);
    warnings.append(&mut oddities);
    for (key, values, line) in entries {
        front.set(&key, values, line, warnings);
    }
    (front, &text[end..])
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

fn values(text: &str) -> Vec<String> {
    match text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        Some(list) => list
            .split(',')
            .filter_map(|item| value(item.trim()))
            .collect(),
        None => value(text).into_iter().collect(),
    }
}

/// A value without its quotes; none if it is empty.
fn value(text: &str) -> Option<String> {
    let bare = ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or_else(|| {
            text.split_once(" #")
                .map_or(text, |(value, _)| value.trim_end())
        });
    (!bare.is_empty()).then(|| bare.to_owned())
}
