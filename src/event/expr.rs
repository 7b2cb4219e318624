//! The one expression and template engine: minijinja, made strict. Paths use it for `when`, `order_by`, `value`, URLs,
//! headers and bodies; hook mappings use it to read a vendor's request; record maps for what is computed and sent.
//!
//! What it promises: a name that is missing is an error that names it (never an empty text); numbers print as the sender
//! wrote them; no template runs longer than its fuel or writes more than [`MAX_OUTPUT`]; nothing is escaped, so JSON
//! bodies insert values with `| tojson`. It must never reach outside its scope: no files, no includes, no clock.
//!
//! Names over an event: `id`, `source`, `type`, `subject`, `time` (RFC 3339), `key` (the idempotency key), `ext` (the other
//! extensions), `data` (parsed JSON); each [`Kind`] says its own. Beside minijinja's own filters: `tojson`, `string` (keeps a number's text),
//! `minor` (`12.10` to `1210`) and a `default` that replaces null as well as what is missing.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use minijinja::value::{Object, Value};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Expression, Output, State, UndefinedBehavior,
};

use super::Event;
use super::json::{self, JsonError};
use super::value::{self, Parsed, Spellings};
use crate::http::percent;
use crate::record::json::Node;
use crate::time::Timestamp;

/// Most bytes that a template may write.
pub const MAX_OUTPUT: usize = 4 << 20;

/// Instructions (and 64-byte pieces of data) that one evaluation may use.
const FUEL: u64 = 400_000;

/// Compiled expressions kept; a configuration has a few dozen.
const CACHED: usize = 1024;

/// The names that expressions and templates over an event know.
pub const EVENT_NAMES: [&str; 8] = [
    "id", "source", "type", "subject", "time", "key", "ext", "data",
];

/// The names that hook mappings know.
pub const HOOK_NAMES: [&str; 2] = ["headers", "body"];

/// The names that a record's computed values know.
pub const RECORD_NAMES: [&str; 1] = ["data"];

/// The names that the computed values of a record inside another one know.
pub const INSIDE_NAMES: [&str; 2] = ["data", "outer"];

/// The names that a request's shape knows.
pub const SHAPE_NAMES: [&str; 8] = [
    "key", "id", "object", "kind", "fields", "json", "other", "since",
];

/// The names that the part of a listing's URL that narrows it knows.
pub const SINCE_NAMES: [&str; 3] = ["since", "since_seconds", "since_millis"];

/// The names that a mapped path's `set` knows: those of an event, and the source record's fields.
pub const MAPPING_NAMES: [&str; 9] = [
    "id", "source", "type", "subject", "time", "key", "ext", "data", "fields",
];

/// Under this name a scope gives the spellings of its numbers; no template can write it.
const SPELLINGS: &str = "\0spellings";

/// Why an expression or template failed. The text names the missing value where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong.
    pub message: String,
    /// Line in the template, from 1, where known.
    pub line: Option<usize>,
    /// Column in that line, in characters from 1, where known.
    pub column: Option<usize>,
    /// The name that is unknown, if that is what is wrong.
    pub unknown: Option<String>,
}

impl ExprError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            line: None,
            column: None,
            unknown: None,
        }
    }
}

impl ExprError {
    fn of(error: &Error, source: &str) -> Self {
        // The innermost cause says most: a formatter's or a filter's own words.
        let mut inner = error;
        while let Some(cause) = std::error::Error::source(inner).and_then(|e| e.downcast_ref()) {
            inner = cause;
        }
        let message = match (inner.detail(), inner.kind()) {
            (Some(detail), ErrorKind::UndefinedError | ErrorKind::InvalidOperation) => {
                detail.to_owned()
            }
            (Some(detail), kind) => format!("{kind}: {detail}"),
            (None, ErrorKind::OutOfFuel) => "it does too much work".to_owned(),
            (None, kind) => kind.to_string(),
        };
        let column = error.range().and_then(|range| {
            let before = source.get(..range.start)?;
            let line = before.rsplit('\n').next().unwrap_or(before);
            Some(line.chars().count() + 1)
        });
        Self {
            message,
            line: error.line(),
            column,
            unknown: None,
        }
    }
}

/// What a text is, for [`check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An expression over an event: `when`, `order_by`, `value`.
    Expression,
    /// A template over an event: URL, header, body.
    Template,
    /// A template over a vendor's request: a hook mapping.
    Hook,
    /// A template over a record's JSON: a computed key or field.
    Record,
    /// A template over the JSON of a record inside another one.
    Inside,
    /// A template over what a request's shape is filled with.
    Shape,
    /// A template over the time since which a listing is wanted.
    Since,
    /// A template over an event and the source record's fields: a mapped path's `set`.
    Mapping,
}

impl Kind {
    /// The names that it knows.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Expression | Self::Template => &EVENT_NAMES,
            Self::Hook => &HOOK_NAMES,
            Self::Record => &RECORD_NAMES,
            Self::Inside => &INSIDE_NAMES,
            Self::Shape => &SHAPE_NAMES,
            Self::Since => &SINCE_NAMES,
            Self::Mapping => &MAPPING_NAMES,
        }
    }
}

/// Where a template's values are put, and so how they are written: none can leave its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Anywhere: as they are.
    Text,
    /// One part of a URL or of a form: percent-encoded.
    Url,
    /// Inside a JSON string: escaped, but for what `tojson` made.
    Json,
}

/// A text by name, or null, as templates see it.
pub type Texts = BTreeMap<String, Option<String>>;

/// What the shape of a request is filled with.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShapeNames<'a> {
    /// The record's business key.
    pub key: Option<&'a str>,
    /// The id that the system gave it.
    pub id: Option<&'a str>,
    /// The system's word for its type.
    pub object: &'a str,
    /// Its type.
    pub kind: &'a str,
    /// The system's texts by field name.
    pub fields: Option<&'a Texts>,
    /// The record's JSON.
    pub json: Option<&'a str>,
    /// The id of the record that it is linked to.
    pub other: Option<&'a str>,
    /// RFC 3339.
    pub since: Option<&'a str>,
}

/// What an expression can see. Cheap to clone; the data is parsed at the first use and then shared.
#[derive(Debug, Clone)]
pub struct Scope(Arc<Root>);

#[derive(Debug)]
struct Root {
    names: Names,
    json: OnceLock<Result<Parsed, JsonError>>,
}

#[derive(Debug)]
enum Names {
    Event {
        event: Box<Event>,
        /// The source record's, for a mapping.
        fields: Option<Value>,
    },
    Hook {
        headers: Value,
        body: Bytes,
    },
    Given {
        values: Vec<(&'static str, Value)>,
        spellings: Arc<Spellings>,
    },
}

impl Scope {
    /// The scope of an event.
    pub fn event(event: &Event) -> Self {
        Self::of(Names::Event {
            event: Box::new(event.clone()),
            fields: None,
        })
    }

    /// The scope of an event and the fields of the record that it carries.
    pub fn mapping(event: &Event, fields: &Texts) -> Self {
        Self::of(Names::Event {
            event: Box::new(event.clone()),
            fields: Some(texts(fields)),
        })
    }

    /// The scope of a record's JSON; `outer` is the whole that it was found in, if it is inside another one.
    pub fn record(data: &Node, outer: Option<&Node>) -> Self {
        let mut spellings = Spellings::default();
        let mut values = vec![("data", value::of_node(data, &mut spellings))];
        if let Some(outer) = outer {
            values.push(("outer", value::of_node(outer, &mut spellings)));
        }
        Self::given(values, spellings)
    }

    /// The scope of a request's shape. What is not there is undefined, and named where a template wants it.
    pub fn shape(names: &ShapeNames<'_>) -> Self {
        let mut values = vec![
            ("object", Value::from(names.object)),
            ("kind", Value::from(names.kind)),
        ];
        for (name, text) in [
            ("key", names.key),
            ("id", names.id),
            ("other", names.other),
            ("since", names.since),
        ] {
            values.extend(text.map(|text| (name, Value::from(text))));
        }
        values.extend(names.fields.map(|fields| ("fields", texts(fields))));
        let json = names.json.map(|json| Value::from_safe_string(json.into()));
        values.extend(json.map(|json| ("json", json)));
        Self::given(values, Spellings::default())
    }

    /// The scope of the part of a listing's URL that narrows it to changes since a time.
    pub fn since(at: Timestamp) -> Self {
        // To the second before, which every vendor reads: better a record twice than none.
        let seconds = Timestamp(at.0.div_euclid(1000) * 1000);
        let values = vec![
            ("since", Value::from(seconds.brief())),
            ("since_seconds", Value::from(at.0.div_euclid(1000))),
            ("since_millis", Value::from(at.0)),
        ];
        Self::given(values, Spellings::default())
    }

    fn given(values: Vec<(&'static str, Value)>, spellings: Spellings) -> Self {
        Self::of(Names::Given {
            values,
            spellings: Arc::new(spellings),
        })
    }

    /// The scope of a vendor's request; header names lower case. Of repeated headers the first counts.
    pub fn hook<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, body: Bytes) -> Self {
        let mut map: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
        for (name, value) in headers {
            map.entry(name).or_insert(value);
        }
        Self::of(Names::Hook {
            headers: Value::from_pairs(map),
            body,
        })
    }

    fn of(names: Names) -> Self {
        Self(Arc::new(Root {
            names,
            json: OnceLock::new(),
        }))
    }

    fn value(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.0))
    }

    fn spellings(&self) -> Arc<Spellings> {
        self.0.spellings()
    }
}

fn texts(texts: &Texts) -> Value {
    Value::from_pairs(texts.iter().map(|(name, text)| {
        let text = text.as_deref().map_or(Value::from(()), Value::from);
        (name.as_str(), text)
    }))
}

impl Root {
    fn json(&self, bytes: &Bytes) -> Value {
        match self.json.get_or_init(|| value::parse(bytes)) {
            Ok(parsed) => parsed.value.clone(),
            Err(error) => Value::from(Error::new(
                ErrorKind::InvalidOperation,
                format!("the data is not JSON: {error}"),
            )),
        }
    }

    fn spellings(&self) -> Arc<Spellings> {
        match (&self.names, self.json.get()) {
            (Names::Given { spellings, .. }, _) => Arc::clone(spellings),
            (_, Some(Ok(parsed))) => Arc::clone(&parsed.spellings),
            _ => Arc::default(),
        }
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == SPELLINGS {
            return Some(Value::from_dyn_object(self.spellings()));
        }
        match (&self.names, key) {
            (Names::Event { event, fields }, _) => match key {
                "id" => Some(Value::from(event.id.as_str())),
                "source" => Some(Value::from(event.source.as_str())),
                "type" => Some(Value::from(event.kind.as_str())),
                "subject" => event.subject.as_deref().map(Value::from),
                "time" => event.time.map(|time| Value::from(time.rfc3339())),
                "key" => event.idempotency_key.as_deref().map(Value::from),
                "ext" => Some(Value::from_pairs(
                    event
                        .extensions
                        .iter()
                        .map(|(name, value)| (name.as_str(), value.as_str())),
                )),
                "data" => Some(self.json(&event.data)),
                "fields" => fields.clone(),
                _ => None,
            },
            (Names::Hook { headers, .. }, "headers") => Some(headers.clone()),
            (Names::Hook { body, .. }, "body") => Some(self.json(body)),
            (Names::Hook { .. }, _) => None,
            (Names::Given { values, .. }, _) => values
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.clone()),
        }
    }
}

fn spellings(state: &State) -> Arc<Spellings> {
    state
        .lookup(SPELLINGS)
        .and_then(|value| value.downcast_object::<Spellings>())
        .unwrap_or_default()
}

fn write_out(out: &mut Output, text: &str) -> Result<(), Error> {
    out.write_str(text).map_err(Error::from)
}

fn filter_tojson(state: &State, value: &Value) -> Result<Value, Error> {
    let mut out = String::new();
    value::write_json(value, &spellings(state), &mut out, 0)?;
    // Marked, so that it is not escaped once more inside JSON.
    Ok(Value::from_safe_string(out))
}

fn filter_string(state: &State, value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    value::write_text(value, &spellings(state), &mut out)?;
    Ok(out)
}

fn filter_minor(state: &State, value: &Value, digits: Option<u32>) -> Result<Value, Error> {
    let text = filter_string(state, value)?;
    value::minor_units(&text, digits.unwrap_or(2))
        .map(Value::from)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("`{text}` is no amount with that many decimals"),
            )
        })
}

/// As Jinja's, but null is missing too: `default(value, other)`, and with `true` whatever is false or empty.
fn filter_default(value: &Value, other: Option<Value>, blank_too: Option<bool>) -> Value {
    if value.is_undefined() || value.is_none() || (blank_too.unwrap_or(false) && !value.is_true()) {
        other.unwrap_or_else(|| Value::from(""))
    } else {
        value.clone()
    }
}

/// Writes a value where a template puts it.
fn write_at(out: &mut Output, place: Place, value: &Value, text: &str) -> Result<(), Error> {
    let mut encoded = String::new();
    match place {
        Place::Text => return write_out(out, text),
        Place::Url => percent::encode(text, &mut encoded),
        Place::Json if value.is_safe() || value.as_str().is_none() => return write_out(out, text),
        Place::Json => {
            let mut quoted = String::new();
            json::quote(text, &mut quoted);
            // Without its quotes: the template has written them.
            encoded.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        }
    }
    write_out(out, &encoded)
}

fn environment(undefined: UndefinedBehavior, fuel: u64, place: Place) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(undefined);
    env.set_fuel(Some(fuel));
    // Only with debugging on does the engine remember the names of what is missing.
    env.set_debug(true);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.add_filter("tojson", filter_tojson);
    env.add_filter("string", filter_string);
    env.add_filter("minor", filter_minor);
    env.add_filter("default", filter_default);
    env.add_filter("d", filter_default);
    env.set_formatter(move |out, state, value| {
        if let Some(text) = value.as_str() {
            return write_at(out, place, value, text);
        }
        let mut text = String::new();
        value::write_text(value, &spellings(state), &mut text)?;
        write_at(out, place, value, &text)
    });
    // A template's name is its text; only the engine itself asks for one, never another template.
    env.set_path_join_callback(|_, _| "\0".into());
    env.set_loader(|name| Ok((name != "\0").then(|| name.to_owned())));
    env
}

type Lazy = LazyLock<Environment<'static>>;

static STRICT: Lazy = Lazy::new(|| environment(UndefinedBehavior::Strict, FUEL, Place::Text));
static IN_URL: Lazy = Lazy::new(|| environment(UndefinedBehavior::Strict, FUEL, Place::Url));
static IN_JSON: Lazy = Lazy::new(|| environment(UndefinedBehavior::Strict, FUEL, Place::Json));

type Compiled = Arc<Expression<'static, 'static>>;

/// Evaluates expressions and renders templates; compiles each text once. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    compiled: Arc<RwLock<HashMap<String, Compiled>>>,
}

impl Engine {
    /// An engine with nothing compiled yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn compiled(&self, expr: &str) -> Result<Compiled, ExprError> {
        let known = self
            .compiled
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(expr)
            .map(Arc::clone);
        if let Some(known) = known {
            return Ok(known);
        }
        let compiled = STRICT
            .compile_expression_owned(expr.to_owned())
            .map(Arc::new)
            .map_err(|error| ExprError::of(&error, expr))?;
        let mut cache = self
            .compiled
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(expr.to_owned(), Arc::clone(&compiled));
        Ok(compiled)
    }

    fn eval(&self, expr: &str, scope: &Scope) -> Result<Value, ExprError> {
        let value = self
            .compiled(expr)?
            .eval(scope.value())
            .map_err(|error| ExprError::of(&error, expr))?;
        // Even in strict mode a bare missing name evaluates to nothing.
        if value.is_undefined() {
            return Err(ExprError::new(format!("`{}` is undefined", expr.trim())));
        }
        Ok(value)
    }

    /// Whether `expr` holds for the event.
    pub fn eval_bool(&self, expr: &str, event: &Event) -> Result<bool, ExprError> {
        self.bool_in(expr, &Scope::event(event))
    }

    /// As [`Self::eval_bool`], sharing a scope between several expressions over one event.
    pub fn bool_in(&self, expr: &str, scope: &Scope) -> Result<bool, ExprError> {
        self.eval(expr, scope).map(|value| value.is_true())
    }

    /// The text of `expr`'s value: numbers as they were written; null is an error.
    pub fn eval_text(&self, expr: &str, event: &Event) -> Result<String, ExprError> {
        self.text_in(expr, &Scope::event(event))
    }

    /// As [`Self::eval_text`], sharing a scope between several expressions over one event.
    pub fn text_in(&self, expr: &str, scope: &Scope) -> Result<String, ExprError> {
        let value = self.eval(expr, scope)?;
        if value.is_none() {
            return Err(ExprError::new(format!("`{}` is null", expr.trim())));
        }
        let mut out = String::new();
        value::write_text(&value, &scope.spellings(), &mut out)
            .map_err(|error| ExprError::of(&error, expr))?;
        Ok(out)
    }

    /// Renders a template over the event.
    pub fn render(&self, template: &str, event: &Event) -> Result<String, ExprError> {
        self.render_in(template, &Scope::event(event))
    }

    /// As [`Self::render`], sharing a scope between several templates over one event.
    pub fn render_in(&self, template: &str, scope: &Scope) -> Result<String, ExprError> {
        self.render_at(Place::Text, template, scope)
    }

    /// As [`Self::render_in`], with each value written so that it stays in its place.
    pub fn render_at(
        &self,
        place: Place,
        template: &str,
        scope: &Scope,
    ) -> Result<String, ExprError> {
        let environment = match place {
            Place::Text => &STRICT,
            Place::Url => &IN_URL,
            Place::Json => &IN_JSON,
        };
        let mut out = Capped(Vec::new());
        environment
            .get_template(template)
            .and_then(|compiled| {
                compiled
                    .render_captured_to(scope.value(), &mut out)
                    .map(drop)
            })
            .map_err(|error| {
                if out.0.len() >= MAX_OUTPUT {
                    ExprError::new("it writes more than 4 MiB")
                } else {
                    ExprError::of(&error, template)
                }
            })?;
        String::from_utf8(out.0).map_err(|_| ExprError::new("it writes no UTF-8"))
    }
}

/// Refuses to grow beyond [`MAX_OUTPUT`].
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_OUTPUT - self.0.len();
        if bytes.len() > room {
            self.0.resize(MAX_OUTPUT, b' ');
            return Err(io::Error::other("full"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks the syntax of a text of the configuration, that it uses only names that its kind knows, and that the filters
/// and tests on its straight way exist. The error says line and column where it can.
pub fn check(text: &str, kind: Kind) -> Result<(), ExprError> {
    let known = kind.names();
    // Everything is undefined here, and that is allowed: only what can never work fails.
    let mut env = environment(UndefinedBehavior::Chainable, 20_000, Place::Text);
    env.set_formatter(|_, _, _| Ok(()));
    let fail = |error: Error| ExprError::of(&error, text);
    let (names, tried) = if kind == Kind::Expression {
        let compiled = env.compile_expression(text).map_err(fail)?;
        let names = compiled.undeclared_variables(false);
        (names, compiled.eval(()).map(drop))
    } else {
        let compiled = env.template_from_str(text).map_err(fail)?;
        let names = compiled.undeclared_variables(false);
        (names, compiled.render(()).map(drop))
    };
    let mut unknown: Vec<&String> = names
        .iter()
        .filter(|name| {
            !known.contains(&name.as_str()) && !env.globals().any(|(global, _)| global == *name)
        })
        .collect();
    unknown.sort();
    if let Some(name) = unknown.first() {
        let mut error = ExprError::new(format!(
            "`{name}` is unknown here: expected {}",
            known.join(", ")
        ));
        error.unknown = Some((*name).clone());
        return Err(error);
    }
    match tried {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
            ) =>
        {
            Err(fail(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
