//! Request shapes of record maps: `lookup`, `read`, `create`, `update`, `delete`, `links`, `list`, and those of a vendor's
//! webhooks. Only declared here; `record` fills them and `remote` sends them.

use super::reader::{Section, Value};
use super::settings::{header, one_line};
use super::suggest::alternatives;
use crate::event::expr::Kind;
use crate::record::map::{Format, Listing, Paging, Shape};

/// What a shape is for: it decides what is assumed where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Lookup,
    Read,
    Create,
    Update,
    Delete,
    Link,
    List,
}

impl Purpose {
    /// The usual method of a REST API; a lookup or a listing with a body is a search, which is posted.
    fn method(self, body: bool) -> &'static str {
        match self {
            Self::Lookup | Self::List if body => "POST",
            Self::Lookup | Self::Read | Self::List => "GET",
            Self::Create => "POST",
            Self::Update => "PATCH",
            Self::Delete => "DELETE",
            Self::Link => "PUT",
        }
    }
}

const METHODS: &[(&str, &str)] = &[
    ("GET", "GET"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
];

/// A shape; a text alone is its URL. `properties` is what `{{ properties }}` stands for.
pub(super) fn shape(value: &Value<'_>, purpose: Purpose, properties: &str) -> Option<Shape> {
    let section = value.section_or("url", "a request such as { url = \"/orders/{{ id }}\" }")?;
    let shape = read(&section, purpose, properties);
    section.finish(&[]);
    shape
}

fn read(section: &Section<'_>, purpose: Purpose, properties: &str) -> Option<Shape> {
    const URL: &str = "a path on the system such as \"/orders/{{ id }}\"";
    let url = section
        .require("url", URL)
        .and_then(|value| path(&value, properties));
    let body = section.get("body").and_then(|value| {
        let text = value.text("a template of the body")?;
        value.reads(&with(text, properties), Kind::Shape)
    });
    let method = match section.get("method") {
        Some(value) => value.word(METHODS),
        None => Some(purpose.method(body.is_some())),
    };
    let headers = section
        .get("headers")
        .and_then(|value| value.section())
        .map(|headers| {
            headers
                .entries()
                .iter()
                .filter_map(|(name, value)| header(name, value, Kind::Shape))
                .collect()
        })
        .unwrap_or_default();
    let format = section
        .get("format")
        .and_then(|value| value.word(&[("json", Format::Json), ("form", Format::Form)]));
    let answer = section
        .get("answer")
        .and_then(|value| value.pointer(true))
        .unwrap_or_default();
    let items = section
        .get("items")
        .and_then(|value| value.boolean())
        .unwrap_or(purpose == Purpose::List);
    let item = section.get("item").and_then(|value| {
        if !items {
            value.error("this belongs to an array of hits: items = true", None);
        }
        value.pointer(false)
    });
    let statuses = |key, usual: &[u16]| match section.get(key) {
        Some(value) => statuses(&value).unwrap_or_default(),
        None => usual.to_vec(),
    };
    // "Not there" of one record is 404 (RFC 9110, 15.5.5); a search that does not exist is no answer at all.
    let missing = match purpose {
        Purpose::Lookup if items => statuses("missing", &[]),
        Purpose::Lookup | Purpose::Read => statuses("missing", &[404]),
        _ => statuses("missing", &[]),
    };
    // RFC 9110, 15.5.10: in conflict with what is there.
    let exists = match purpose {
        Purpose::Create => statuses("exists", &[409]),
        _ => statuses("exists", &[]),
    };
    Some(Shape {
        method: method?.to_owned(),
        url: url?,
        headers,
        body,
        format: format.unwrap_or(Format::Json),
        answer,
        items,
        item: item.unwrap_or_default(),
        missing,
        exists,
    })
}

/// A path on the system, a template: an absolute URL would carry its credentials elsewhere.
pub(super) fn path(value: &Value<'_>, properties: &str) -> Option<String> {
    const EXPECTED: &str = "a path on the system such as \"/orders/{{ id }}\"";
    let text = value.text(EXPECTED)?;
    if !text.starts_with('/') || text.starts_with("//") || !one_line(text) {
        value.wrong(EXPECTED, None);
        return None;
    }
    value.reads(&with(text, properties), Kind::Shape)
}

/// The text with the names of the properties that the map reads in place of `{{ properties }}`: they follow from the map, so
/// that no request needs to know them.
fn with(text: &str, properties: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        match after.split_once("}}") {
            Some((name, after)) if name.trim() == "properties" => {
                out.push_str(properties);
                rest = after;
            }
            _ => {
                out.push_str("{{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A list of HTTP statuses.
fn statuses(value: &Value<'_>) -> Option<Vec<u16>> {
    const EXPECTED: &str = "a list of statuses such as [404]";
    let Some(items) = value.items() else {
        value.wrong(EXPECTED, None);
        return None;
    };
    let statuses: Vec<Option<u16>> = items
        .iter()
        .map(|item| item.whole(200..=599).map(|status| status as u16))
        .collect();
    statuses.into_iter().collect()
}

/// A listing.
pub(super) fn listing(value: &Value<'_>, properties: &str) -> Option<Listing> {
    let section = value.section_or("url", "a listing such as { url = \"/orders\" }")?;
    let shape = read(&section, Purpose::List, properties);
    let paging = match section.get("paging") {
        Some(value) => paging(&value),
        None => Some(Paging::None),
    };
    let since = section.get("since").and_then(|value| {
        let template = value.expression(Kind::Since)?;
        if template.trim().is_empty() || template.starts_with(['?', '&']) || !one_line(&template) {
            value.wrong(
                "query parameters such as \"modified_after={{ since }}\", without `?` or `&` before them",
                None,
            );
            return None;
        }
        Some(template)
    });
    section.finish(&[]);
    Some(Listing {
        shape: shape?,
        paging: paging?,
        since,
    })
}

/// The keys of `paging` that say how the next page is found; each excludes the others.
const WAYS: &[&str] = &[
    "next",
    "cursor",
    "cursor_header",
    "last_id",
    "page",
    "offset",
];

/// How the next page is found.
fn paging(value: &Value<'_>) -> Option<Paging> {
    if value.as_text().is_some() {
        return value.word_of(
            &[("none", Paging::None), ("link", Paging::Link)],
            "`none`, `link` or a table such as { page = \"page\", size = 100 }",
        );
    }
    let section = value.section()?;
    // A way that the user writes replaces the preset's.
    let written: Vec<(&str, Value<'_>)> = section
        .entries()
        .into_iter()
        .filter(|(name, _)| WAYS.contains(name))
        .collect();
    let own = written.iter().any(|(_, value)| value.is_own());
    let ways: Vec<&str> = written
        .iter()
        .filter(|(_, value)| value.is_own() || !own)
        .map(|(name, _)| *name)
        .collect();
    let [way] = ways.as_slice() else {
        let message = if ways.is_empty() {
            "nothing says how the next page is found"
        } else {
            "more than one way to the next page is given"
        };
        let suggestion = format!("expected one of {}", alternatives(WAYS.iter().copied()));
        section.error(message, Some(suggestion));
        return None;
    };
    let parameter = |key| {
        section
            .require(key, "the name of a query parameter")
            .and_then(|value| parameter(&value))
    };
    let more = || match section.get("more") {
        Some(value) => value.pointer(false).map(Some),
        None => Some(None),
    };
    let size = || {
        section
            .require("size", "how many records are on a full page")
            .and_then(|value| value.whole(1..=100_000))
            .map(|size| size as u32)
    };
    let pointer = |key| section.get(key).and_then(|value| value.pointer(false));
    let header = |key| section.get(key).and_then(|value| value.header_name());
    let paging = match *way {
        "next" => pointer("next").map(Paging::NextUrl),
        "cursor" => {
            let (at, param, more) = (pointer("cursor"), parameter("param"), more());
            (|| {
                Some(Paging::Cursor {
                    at: at?,
                    param: param?,
                    more: more?,
                })
            })()
        }
        "cursor_header" => header("cursor_header")
            .zip(parameter("param"))
            .map(|(header, param)| Paging::CursorHeader { header, param }),
        "last_id" => parameter("last_id")
            .zip(more())
            .map(|(param, more)| Paging::LastId { param, more }),
        "page" => {
            let first = match section.get("first") {
                Some(value) => value.whole(0..=1).map(|first| first as u32),
                None => Some(1),
            };
            let total = match section.get("total_header") {
                Some(value) => value.header_name().map(Some),
                None => Some(None),
            };
            let (param, size) = (parameter("page"), size());
            (|| {
                Some(Paging::Page {
                    param: param?,
                    first: first?,
                    size: size?,
                    total_header: total?,
                })
            })()
        }
        _ => parameter("offset")
            .zip(size())
            .map(|(param, size)| Paging::Offset { param, size }),
    };
    // What belongs to the preset's way is not the user's mistake.
    if !own || written.len() == ways.len() {
        section.finish(&[]);
    }
    paging
}

/// The name of a query parameter.
fn parameter(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a query parameter such as \"page\"";
    let text = value.filled(EXPECTED)?;
    let good = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.[]$".contains(c));
    if !good {
        value.wrong(EXPECTED, None);
    }
    good.then(|| text.to_owned())
}
