//! Requests out of shapes, and records out of answers. Pure; `remote` and the command line call it.
//!
//! What comes from an event can never choose the host, leave its place in the URL, in a form or in a JSON string, or add
//! a header. Authentication, idempotency keys and budgets are for whoever sends the request.

use bytes::Bytes;
use reqwest::Url;

use super::body;
use super::error::RecordError;
use super::form;
use super::json::Node;
use super::map::{Format, Listing, RecordMap, Shape};
use super::read;
use super::value::Record;
use crate::event::expr::{Engine, Place, Scope, ShapeNames, Texts};
use crate::event::json;
use crate::http::address::address;
use crate::queue::model::Request;
use crate::time::Timestamp;

/// What a shape is filled with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filling<'a> {
    /// The record's business key.
    pub key: Option<&'a str>,
    /// The id that the system gave it; without one the record is new, and its body carries its key.
    pub id: Option<&'a str>,
    /// What is written: `json` and `fields` of the templates, and the body of a shape that has none. A link has none.
    pub record: Option<&'a Record>,
    /// The id of the record that it is linked to.
    pub other: Option<&'a str>,
    /// The time since which a listing is wanted.
    pub since: Option<Timestamp>,
}

/// The request of `shape`, absolute, without authentication and idempotency key. `base` is the system's URL.
pub fn request(
    base: &Url,
    map: &RecordMap,
    shape: &Shape,
    with: &Filling<'_>,
    engine: &Engine,
) -> Result<Request, RecordError> {
    let written = match with.record {
        Some(record) => Some(body::json(map, record, with.id.is_none())?),
        None => None,
    };
    let scope = is_rendered(shape).then(|| scope(map, with, written.as_ref()));
    let url = address(Some(base), &shape.url, scope.as_ref(), engine)?;
    let mut headers = Vec::with_capacity(shape.headers.len() + 1);
    for (name, template) in &shape.headers {
        let value =
            match &scope {
                Some(scope) if template.contains('{') => engine
                    .render_in(template, scope)
                    .map_err(|error| RecordError::Template {
                        part: format!("header {name}"),
                        error,
                    })?,
                _ => template.clone(),
            };
        if value.chars().any(char::is_control) {
            return Err(RecordError::Header(name.clone()));
        }
        headers.push((name.to_ascii_lowercase(), value));
    }
    let kind = headers.iter().find(|(name, _)| name == "content-type");
    let own_kind = kind.map(|(_, value)| value.clone());
    let body = match (&shape.body, &scope) {
        (Some(template), Some(scope)) => {
            // Under a content type of its own, only the template knows what the body is.
            let place = match (shape.format, &own_kind) {
                (Format::Form, _) => Place::Url,
                (Format::Json, None) => Place::Json,
                (Format::Json, Some(kind)) if kind.contains("json") => Place::Json,
                (Format::Json, Some(_)) => Place::Text,
            };
            let text = engine.render_at(place, template, scope).map_err(|error| {
                RecordError::Template {
                    part: "body".to_owned(),
                    error,
                }
            })?;
            if place == Place::Json {
                json::check(text.as_bytes()).map_err(RecordError::Body)?;
            }
            text
        }
        _ => match &written {
            Some(written) if has_body(&shape.method) => match shape.format {
                Format::Json => written.to_json(),
                Format::Form => form::encode(written),
            },
            _ => String::new(),
        },
    };
    if !body.is_empty() && own_kind.is_none() {
        let kind = match shape.format {
            Format::Json => "application/json",
            Format::Form => "application/x-www-form-urlencoded",
        };
        headers.push(("content-type".to_owned(), kind.to_owned()));
    }
    Ok(Request {
        method: shape.method.clone(),
        url: url.into(),
        headers,
        body: Bytes::from(body),
        key: String::new(),
    })
}

/// The request of a listing's first page, narrowed to changes since `with.since` where the listing can be.
pub fn listing(
    base: &Url,
    map: &RecordMap,
    listing: &Listing,
    with: &Filling<'_>,
    engine: &Engine,
) -> Result<Request, RecordError> {
    let mut request = request(base, map, &listing.shape, with, engine)?;
    if let (Some(template), Some(since)) = (&listing.since, with.since) {
        let narrowed = engine
            .render_at(Place::Url, template, &Scope::since(since))
            .map_err(|error| RecordError::Template {
                part: "since".to_owned(),
                error,
            })?;
        let more = if request.url.contains('?') { '&' } else { '?' };
        request.url.push(more);
        request.url.push_str(&narrowed);
    }
    Ok(request)
}

/// The records in an answer: none, one, or more where the shape's answer is an array (`items`). A search may find more
/// than was asked for: the caller keeps those that have the key it wants.
///
/// # Errors
/// An answer that is no JSON, or has neither a record nor an array where the shape says so: that is no "not there".
/// Without `items`, null and nothing at the place are none.
pub fn hits(
    map: &RecordMap,
    shape: &Shape,
    body: &[u8],
    engine: &Engine,
) -> Result<Vec<Record>, RecordError> {
    let nodes = nodes(shape, body)?;
    nodes
        .iter()
        .map(|node| read::one(map, node, engine))
        .collect()
}

/// The same as they are answered, not yet read.
///
/// # Errors
/// As [`hits`].
pub fn nodes(shape: &Shape, body: &[u8]) -> Result<Vec<Node>, RecordError> {
    let answer = Node::parse(body).map_err(|error| RecordError::NotJson {
        what: "the answer",
        error,
    })?;
    if shape.items {
        let items = items(&answer, &shape.answer)?.iter().enumerate();
        return items
            .map(|(place, item)| {
                let at = format!("{}/{place}{}", shape.answer, shape.item);
                read::object(item.pointer(&shape.item), "the answer", &at).cloned()
            })
            .collect();
    }
    match answer.pointer(&shape.answer) {
        None | Some(Node::Null) => Ok(Vec::new()),
        found => Ok(vec![
            read::object(found, "the answer", &shape.answer)?.clone(),
        ]),
    }
}

/// The array at a pointer of an answer.
pub fn items<'a>(answer: &'a Node, at: &str) -> Result<&'a [Node], RecordError> {
    match answer.pointer(at) {
        Some(Node::Array(items)) => Ok(items),
        other => Err(RecordError::Place {
            what: "the answer".to_owned(),
            at: at.to_owned(),
            expected: "an array",
            found: other.map_or("nothing", Node::what),
        }),
    }
}

/// Some part of the request is a template.
fn is_rendered(shape: &Shape) -> bool {
    shape.body.is_some()
        || shape.url.contains('{')
        || shape.headers.iter().any(|(_, value)| value.contains('{'))
}

/// Methods whose requests have content unless the shape says otherwise (RFC 9110, 9.3).
fn has_body(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "DELETE")
}

fn scope(map: &RecordMap, with: &Filling<'_>, written: Option<&Node>) -> Scope {
    fn there(text: Option<&str>) -> Option<&str> {
        // A blank key in a URL would ask for another thing altogether: `/orders/` is all of them.
        text.filter(|text| !text.trim().is_empty())
    }
    let fields: Option<Texts> = with
        .record
        .zip(written)
        .map(|(record, written)| body::texts(map, record, written));
    let json = written.map(Node::to_json);
    let since = with.since.map(Timestamp::brief);
    Scope::shape(&ShapeNames {
        key: there(with.key),
        id: there(with.id),
        object: &map.object,
        kind: &map.kind,
        fields: fields.as_ref(),
        json: json.as_deref(),
        other: there(with.other),
        since: since.as_deref(),
    })
}

#[cfg(test)]
mod tests;
