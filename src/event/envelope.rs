//! CloudEvents 1.0.2 as it comes in: structured JSON, batches, and HTTP binary mode (CloudEvents HTTP protocol binding
//! and JSON event format). Turns bytes into [`Event`]s or says exactly what is wrong and where; it must never alter the
//! bytes of `data`, nor guess. Called by the front door and by `midwatch send`.

use base64::Engine as _;
use bytes::Bytes;

use super::json::{self, JsonError, JsonProblem};
use super::{Event, Origin};
use crate::time::Timestamp;

/// Longest `id`, `source`, `type`, `subject`, `datacontenttype`, `dataschema` and idempotency key, in bytes.
pub const MAX_ATTRIBUTE: usize = 512;
/// Longest extension value, in bytes.
pub const MAX_EXTENSION: usize = 4096;
/// Most extensions of one event.
pub const MAX_EXTENSIONS: usize = 64;
/// Longest attribute name; the specification asks producers to stay below 21.
pub const MAX_NAME: usize = 40;
/// Most events of one batch.
pub const MAX_BATCH: usize = 1000;

/// What is wrong with an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeProblem {
    /// Not JSON, or nested too deep.
    #[error("not acceptable JSON: {0}")]
    Json(JsonError),
    /// The wrong JSON type.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A required attribute is missing.
    #[error("required and missing")]
    Missing,
    /// An attribute is given twice.
    #[error("given twice")]
    Duplicate,
    /// CloudEvents attribute names are lower-case ASCII letters and digits.
    #[error("no CloudEvents attribute name: lower-case letters and digits, at most {MAX_NAME}")]
    Name,
    /// Must not be empty.
    #[error("must not be empty")]
    Empty,
    /// Longer than allowed.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// More than allowed.
    #[error("more than {0}")]
    TooMany(usize),
    /// Only CloudEvents 1.0 is understood.
    #[error("only specversion 1.0 is understood")]
    Version,
    /// Not an RFC 3339 time.
    #[error("not an RFC 3339 time")]
    Time,
    /// Holds a control character, or is not UTF-8 after decoding.
    #[error("holds characters that no attribute may hold")]
    Characters,
    /// `data` and `data_base64` exclude each other.
    #[error("data and data_base64 exclude each other")]
    TwoData,
    /// Not base64.
    #[error("not base64")]
    Base64,
    /// In binary mode the content type is the Content-Type header.
    #[error("in binary mode the content type is given by Content-Type")]
    ContentTypeHeader,
}

/// What is wrong with an envelope, and where: a JSON Pointer (RFC 6901) into the body, or a header's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", Self::prefix(at))]
pub struct EnvelopeError {
    /// JSON Pointer, or the header's name; empty for the whole body.
    pub at: String,
    /// What is wrong.
    pub problem: EnvelopeProblem,
}

impl EnvelopeError {
    fn new(at: impl Into<String>, problem: EnvelopeProblem) -> Self {
        Self {
            at: at.into(),
            problem,
        }
    }

    fn prefix(at: &str) -> String {
        if at.is_empty() {
            String::new()
        } else {
            format!("{at}: ")
        }
    }
}

impl From<JsonError> for EnvelopeProblem {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// The pointer's step for an attribute's name.
fn step(name: &str) -> String {
    let short: String = name.chars().take(MAX_NAME + 1).collect();
    format!("/{}", short.replace('~', "~0").replace('/', "~1"))
}

/// What was gathered of an event before its required attributes are known to be there.
#[derive(Default)]
struct Draft {
    version: Option<String>,
    id: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    subject: Option<String>,
    time: Option<Timestamp>,
    content_type: Option<String>,
    schema: Option<String>,
    schema_version: Option<String>,
    idempotency_key: Option<String>,
    extensions: Vec<(String, String)>,
}

impl Draft {
    /// Takes one attribute. `value` is decoded; text or not was for the caller to check.
    fn set(&mut self, name: &str, value: String) -> Result<(), EnvelopeProblem> {
        let well_named = !name.is_empty()
            && name.len() <= MAX_NAME
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !well_named {
            return Err(EnvelopeProblem::Name);
        }
        if value.chars().any(is_forbidden) {
            return Err(EnvelopeProblem::Characters);
        }
        let slot = match name {
            "specversion" => &mut self.version,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.kind,
            "subject" => &mut self.subject,
            "datacontenttype" => &mut self.content_type,
            "dataschema" => &mut self.schema,
            "schemaversion" => &mut self.schema_version,
            "idempotencykey" => &mut self.idempotency_key,
            "time" => {
                if self.time.is_some() {
                    return Err(EnvelopeProblem::Duplicate);
                }
                self.time = Some(Timestamp::parse_rfc3339(&value).ok_or(EnvelopeProblem::Time)?);
                return Ok(());
            }
            _ => return self.extend(name, value),
        };
        if slot.is_some() {
            return Err(EnvelopeProblem::Duplicate);
        }
        if value.is_empty() {
            return Err(EnvelopeProblem::Empty);
        }
        if value.len() > MAX_ATTRIBUTE {
            return Err(EnvelopeProblem::TooLong(MAX_ATTRIBUTE));
        }
        *slot = Some(value);
        Ok(())
    }

    fn extend(&mut self, name: &str, value: String) -> Result<(), EnvelopeProblem> {
        if value.len() > MAX_EXTENSION {
            return Err(EnvelopeProblem::TooLong(MAX_EXTENSION));
        }
        if self.extensions.len() == MAX_EXTENSIONS {
            return Err(EnvelopeProblem::TooMany(MAX_EXTENSIONS));
        }
        match self
            .extensions
            .binary_search_by(|(known, _)| known.as_str().cmp(name))
        {
            Ok(_) => Err(EnvelopeProblem::Duplicate),
            Err(place) => {
                self.extensions.insert(place, (name.to_owned(), value));
                Ok(())
            }
        }
    }

    /// `at` says where an attribute is (or would be).
    fn finish(
        mut self,
        data: Bytes,
        origin: Origin,
        at: impl Fn(&str) -> String,
    ) -> Result<Event, EnvelopeError> {
        let need = |name: &str, value: Option<String>| {
            value.ok_or_else(|| EnvelopeError::new(at(name), EnvelopeProblem::Missing))
        };
        let version = need("specversion", self.version)?;
        if version != "1.0" {
            return Err(EnvelopeError::new(
                at("specversion"),
                EnvelopeProblem::Version,
            ));
        }
        let (id, source, kind) = (
            need("id", self.id)?,
            need("source", self.source)?,
            need("type", self.kind)?,
        );
        // With a version of its own, the schema's address is an extension like any other.
        if let (Some(_), Some(schema)) = (&self.schema_version, &self.schema) {
            let place = self
                .extensions
                .partition_point(|(name, _)| name.as_str() < "dataschema");
            self.extensions
                .insert(place, ("dataschema".into(), schema.clone()));
        }
        Ok(Event {
            source,
            id,
            kind,
            subject: self.subject,
            time: self.time,
            content_type: self.content_type,
            idempotency_key: self.idempotency_key,
            schema_version: self.schema_version.or(self.schema),
            extensions: self.extensions,
            data,
            origin,
        })
    }
}

/// CloudEvents 1.0.2, section "Type System": no C0 or C1 controls, no noncharacters (surrogates cannot occur here).
fn is_forbidden(c: char) -> bool {
    let code = c as u32;
    c.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// Whether a media type says JSON: `application/json`, `text/json`, or anything `+json`, with or without parameters.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence
        .split_once('/')
        .map_or("", |(_, subtype)| subtype)
        .to_ascii_lowercase();
    subtype == "json" || subtype.ends_with("+json")
}

/// One event in structured mode (`application/cloudevents+json`). The event's data shares `body`'s memory.
pub fn from_structured(body: &Bytes, origin: Origin) -> Result<Event, EnvelopeError> {
    let text = whole_text(body)?;
    from_object(text, "", origin, |slice| body.slice_ref(slice.as_bytes()))
}

/// A batch (`application/cloudevents-batch+json`): refused whole if one event is malformed; may be empty.
pub fn from_batch(body: &Bytes, origin: &Origin) -> Result<Vec<Event>, EnvelopeError> {
    let text = whole_text(body)?;
    let elements = json::elements(text)
        .map_err(|error| EnvelopeError::new("", error.into()))?
        .ok_or_else(|| EnvelopeError::new("", EnvelopeProblem::Expected("an array of events")))?;
    if elements.len() > MAX_BATCH {
        return Err(EnvelopeError::new("", EnvelopeProblem::TooMany(MAX_BATCH)));
    }
    elements
        .into_iter()
        .enumerate()
        .map(|(place, element)| {
            from_object(element, &format!("/{place}"), origin.clone(), |slice| {
                body.slice_ref(slice.as_bytes())
            })
        })
        .collect()
}

/// One line of `midwatch send`: an event in the JSON format.
pub fn from_json_line(line: &str) -> Result<Event, EnvelopeError> {
    from_object(line, "", Origin::Send, |slice| {
        Bytes::copy_from_slice(slice.as_bytes())
    })
}

fn whole_text(body: &Bytes) -> Result<&str, EnvelopeError> {
    json::text(body).map_err(|error| EnvelopeError::new("", error.into()))
}

fn from_object(
    text: &str,
    base: &str,
    origin: Origin,
    bytes: impl Fn(&str) -> Bytes,
) -> Result<Event, EnvelopeError> {
    let members = json::members(text)
        .map_err(|error| EnvelopeError::new(base, error.into()))?
        .ok_or_else(|| EnvelopeError::new(base, EnvelopeProblem::Expected("an object")))?;
    let mut draft = Draft::default();
    let mut data: Option<&str> = None;
    let mut base64: Option<&str> = None;
    for (quoted, raw) in members {
        let name = unescape(quoted).map_err(|problem| EnvelopeError::new(base, problem))?;
        let fail = |problem| EnvelopeError::new(format!("{base}{}", step(&name)), problem);
        let twice = match name.as_str() {
            "data" => data.replace(raw).is_some(),
            "data_base64" => base64.replace(raw).is_some(),
            _ => {
                if let Some(value) = attribute(&name, raw).map_err(fail)? {
                    draft.set(&name, value).map_err(fail)?;
                }
                false
            }
        };
        if twice {
            return Err(fail(EnvelopeProblem::Duplicate));
        }
    }
    let fail = |name: &str, problem| EnvelopeError::new(format!("{base}/{name}"), problem);
    // An absent member, and a null `data_base64`, are no data.
    let base64 = base64.filter(|raw| *raw != "null");
    let data = match (data, base64) {
        (Some(_), Some(_)) => return Err(fail("data_base64", EnvelopeProblem::TwoData)),
        (None, None) => Bytes::new(),
        (Some(raw), None) => {
            let declared = draft.content_type.get_or_insert_with(|| {
                // CloudEvents JSON format, section 3.1: without a content type, data is JSON.
                "application/json".into()
            });
            if raw.starts_with('"') && !is_json(declared) {
                // The same section: a string under another content type is the payload's text.
                unescape(raw)
                    .map_err(|problem| fail("data", problem))?
                    .into()
            } else {
                bytes(raw)
            }
        }
        (None, Some(raw)) => {
            let text = if raw.starts_with('"') {
                unescape(raw).map_err(|problem| fail("data_base64", problem))?
            } else {
                return Err(fail("data_base64", EnvelopeProblem::Expected("a string")));
            };
            let data = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|_| fail("data_base64", EnvelopeProblem::Base64))?;
            data.into()
        }
    };
    if base64.is_some() && draft.content_type.as_deref().is_some_and(is_json) {
        json::check(&data).map_err(|error| fail("data_base64", error.into()))?;
    }
    draft.finish(data, origin, |name| format!("{base}/{name}"))
}

/// The text of an attribute's JSON value; none for null, which means unset. The specification's own attributes are
/// strings; extensions may be booleans and integers too.
fn attribute(name: &str, raw: &str) -> Result<Option<String>, EnvelopeProblem> {
    match raw.as_bytes().first() {
        Some(b'"') => unescape(raw).map(Some),
        Some(b'n') => Ok(None),
        Some(b't' | b'f' | b'-' | b'0'..=b'9') if !is_core(name) => Ok(Some(raw.to_owned())),
        _ if is_core(name) => Err(EnvelopeProblem::Expected("a string")),
        _ => Err(EnvelopeProblem::Expected("a string, number or boolean")),
    }
}

fn is_core(name: &str) -> bool {
    matches!(
        name,
        "specversion"
            | "id"
            | "source"
            | "type"
            | "subject"
            | "time"
            | "datacontenttype"
            | "dataschema"
    )
}

fn unescape(quoted: &str) -> Result<String, EnvelopeProblem> {
    json::unescape(quoted)
        .map_err(|problem: JsonProblem| EnvelopeProblem::Json(JsonError { problem, offset: 0 }))
}

/// One event in binary mode: attributes in `ce-` headers, data in the body. Header names are lower case.
pub fn from_binary<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    content_type: Option<&str>,
    body: Bytes,
    origin: Origin,
) -> Result<Event, EnvelopeError> {
    let mut draft = Draft::default();
    for (header, value) in headers {
        let Some(name) = header.strip_prefix("ce-") else {
            continue;
        };
        let fail = |problem| EnvelopeError::new(header, problem);
        if name == "datacontenttype" {
            return Err(fail(EnvelopeProblem::ContentTypeHeader));
        }
        let value = header_value(value).ok_or_else(|| fail(EnvelopeProblem::Characters))?;
        draft.set(name, value).map_err(fail)?;
    }
    if let Some(content_type) = content_type {
        draft
            .set("datacontenttype", content_type.to_owned())
            .map_err(|problem| EnvelopeError::new("content-type", problem))?;
        if is_json(content_type) && !body.is_empty() {
            json::check(&body).map_err(|error| EnvelopeError::new("", error.into()))?;
        }
    }
    draft.finish(body, origin, |name| format!("ce-{name}"))
}

/// HTTP protocol binding, section 3.1.3.2: unquote, then one round of percent-decoding; the result is UTF-8.
fn header_value(raw: &[u8]) -> Option<String> {
    let unquoted = match raw {
        [b'"', inner @ .., b'"'] => {
            let mut out = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter();
            while let Some(&byte) = bytes.next() {
                out.push(if byte == b'\\' { *bytes.next()? } else { byte });
            }
            out
        }
        _ => raw.to_vec(),
    };
    let mut out = Vec::with_capacity(unquoted.len());
    let mut rest = unquoted.as_slice();
    while let Some((&byte, tail)) = rest.split_first() {
        let pair = (byte == b'%').then(|| tail.get(..2)).flatten();
        let decoded = pair.and_then(|pair| {
            let mut one = [0u8];
            hex::decode_to_slice(pair, &mut one).ok().map(|()| one[0])
        });
        if let Some(decoded) = decoded {
            out.push(decoded);
            rest = &tail[2..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests;
