//! What a record map says, checked: `[systems.NAME.records.TYPE]` over its preset. Types only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

/// A record type of one system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordMap {
    /// The system.
    pub system: String,
    /// The record type (`order`, `contact`): the same word in every system that shares it.
    pub kind: String,
    /// The system's own word for it (`deals`), for templates: `{{ object }}`.
    pub object: String,
    /// Event types that carry such a record: exact, or a prefix ending in `*`.
    pub events: Vec<String>,
    /// JSON Pointer to the record in an event's data; empty for the data itself.
    pub at: String,
    /// How a record of this type is read from its own JSON, and written.
    pub layout: Layout,
    /// How it is read where another record of the same system carries it (a contact inside an order), by that one's type.
    pub from: BTreeMap<String, Inside>,
    /// "Is it there, and what does it hold?", by business key.
    pub lookup: Option<Shape>,
    /// Reads one record by the system's id.
    pub read: Option<Shape>,
    /// Makes one.
    pub create: Option<Shape>,
    /// Changes one, by the system's id.
    pub update: Option<Shape>,
    /// Removes one, by the system's id.
    pub delete: Option<Shape>,
    /// Joins it to a record of another type, by that type.
    pub links: BTreeMap<String, Shape>,
    /// Lists all, or those changed since a time.
    pub list: Option<Listing>,
    /// The file that has them all, where the system is one.
    pub file: Option<RecordFile>,
}

/// A file whose entries are records; relative to the configuration's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordFile {
    /// One JSON object a line.
    Ndjson(PathBuf),
    /// The first line names the members (RFC 4180); all values are texts.
    Csv {
        /// The file.
        file: PathBuf,
        /// Between values.
        separator: u8,
    },
    /// What a query answers: each row an object of its columns.
    Sqlite {
        /// The database, opened read-only.
        file: PathBuf,
        /// One SELECT; `:since` is RFC 3339, or null.
        query: String,
    },
}

/// The type of the events that polling makes of a record: `order.changed`.
pub fn changed(kind: &str) -> String {
    format!("{kind}.changed")
}

/// A record's own bytes, at the place `at` where its map looks for a record in an event's data ([`RecordMap::at`]).
pub fn wrapped(at: &str, bytes: &[u8]) -> Bytes {
    let names: Vec<String> = at
        .split('/')
        .skip(1)
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect();
    let mut out = Vec::with_capacity(bytes.len() + at.len() + 8 * names.len());
    for name in &names {
        out.push(b'{');
        out.extend_from_slice(serde_json::json!(name).to_string().as_bytes());
        out.push(b':');
    }
    out.extend_from_slice(bytes);
    out.resize(out.len() + names.len(), b'}');
    out.into()
}

/// Where the parts of a record are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// JSON Pointer to the system's id.
    pub id: Option<String>,
    /// The business key.
    pub key: Option<Part>,
    /// How new it is.
    pub version: Option<VersionAt>,
    /// JSON Pointer to its time of creation.
    pub created: Option<String>,
    /// Fields by name.
    pub fields: BTreeMap<String, Field>,
    /// Business keys of other records, by record type.
    pub refs: BTreeMap<String, Part>,
}

/// A record inside another one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inside {
    /// JSON Pointer to an array in the outer record: one record for each item. None: exactly one record.
    pub many: Option<String>,
    /// Where its parts are: in the item where `many` is set, else in the outer record.
    pub layout: Layout,
}

/// A text that is read or computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it comes from.
    pub from: Source,
    /// Applied in order to what was read: `trim`, `lower`, `upper`, `digits`.
    pub clean: Vec<Clean>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// JSON Pointer.
    At(String),
    /// minijinja template over `data` (the record's JSON; inside `many`, `outer` is the whole); read only.
    Computed(String),
}

/// A step that makes two spellings of one thing equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clean {
    /// Without surrounding blanks.
    Trim,
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// ASCII digits only.
    Digits,
}

impl Clean {
    /// Every step with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("trim", Self::Trim),
        ("lower", Self::Lower),
        ("upper", Self::Upper),
        ("digits", Self::Digits),
    ];
}

/// Where and how a version is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionAt {
    /// JSON Pointer.
    pub at: String,
    /// How it is read.
    pub number: bool,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Where it is.
    pub source: Source,
    /// How it is read and written.
    pub kind: Kind,
    /// Canonical value to the system's, both as texts; a value outside the table is an error that names both.
    pub values: Vec<(String, String)>,
    /// Applied to text that was read.
    pub clean: Vec<Clean>,
    /// Never written to this system.
    pub read_only: bool,
    /// Kept in the ledger only as a keyed hash, masked on screens.
    pub sensitive: bool,
}

/// How a field's JSON is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A text (a number is read as its source text).
    Text,
    /// True or false (also the texts `true`, `false`).
    Bool,
    /// A number that is no money.
    Number,
    /// A decimal amount in major units, as number or text; written as text, or as a number where `number` is set.
    Money {
        /// Its currency.
        currency: Currency,
        /// Written as a JSON number.
        number: bool,
    },
    /// An integer in the currency's minor unit (ISO 4217 exponent; JPY has none, KWD three).
    Minor {
        /// Its currency, which says how many decimals.
        currency: Currency,
        /// Decimals by currency where the vendor departs from ISO 4217 (Stripe: `{ MGA = 0, ISK = 2 }`).
        exponents: BTreeMap<String, u8>,
    },
    /// RFC 3339, or `YYYY-MM-DDTHH:MM:SS` without offset, which is taken as UTC.
    Instant,
    /// Unix seconds.
    Seconds,
    /// Unix milliseconds.
    Millis,
    /// Texts without order: a JSON array, or one text with this separator.
    Set {
        /// None: a JSON array.
        separator: Option<String>,
    },
}

/// Where an amount's currency is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Currency {
    /// Nowhere: amounts are compared without.
    Unknown,
    /// Always this ISO 4217 code.
    Fixed(String),
    /// JSON Pointer, beside the amount.
    At(String),
}

/// A request, as a shape to be filled. Texts are minijinja templates over `key`, `id`, `object`, `kind`, `fields` (the system's
/// texts by field name), `json` (the record's JSON as text), `other` (the linked record's id), `since`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// HTTP method, upper case.
    pub method: String,
    /// URL, relative to the system's; each value is percent-encoded.
    pub url: String,
    /// Extra headers.
    pub headers: Vec<(String, String)>,
    /// Body template; none: the record's JSON where the method has a body.
    pub body: Option<String>,
    /// How the record's JSON is put into a body without template.
    pub format: Format,
    /// JSON Pointer to the record in the answer, or to an array of hits (`items` set).
    pub answer: String,
    /// `answer` leads to an array: none is "not there", two are a conflict.
    pub items: bool,
    /// JSON Pointer from an item of that array to the record; empty for the item itself.
    pub item: String,
    /// Statuses that mean "not there".
    pub missing: Vec<u16>,
    /// Statuses that mean "exists already" (a create) or "done already" (a link): look again instead of failing.
    pub exists: Vec<u16>,
}

/// How a record is written into a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`, nested names in brackets (`metadata[order_id]`).
    Form,
}

/// A listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Request of the first page. `answer` leads to the array.
    pub shape: Shape,
    /// How the next page is found.
    pub paging: Paging,
    /// Added to the first URL when only changes since a time are wanted: a template over `since` (RFC 3339),
    /// `since_seconds` and `since_millis`. None: the listing cannot be narrowed.
    pub since: Option<String>,
}

/// How the next page of a listing is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paging {
    /// There is one page.
    None,
    /// RFC 8288 `Link: <...>; rel="next"`.
    Link,
    /// JSON Pointer to the next page's URL.
    NextUrl(String),
    /// A cursor in the body.
    Cursor {
        /// JSON Pointer to it; missing, null or blank ends the listing.
        at: String,
        /// Query parameter that carries it.
        param: String,
        /// JSON Pointer to a boolean; false ends the listing.
        more: Option<String>,
    },
    /// A cursor in a header.
    CursorHeader {
        /// The header.
        header: String,
        /// Query parameter that carries it.
        param: String,
    },
    /// The last record's id (Stripe's `starting_after`).
    LastId {
        /// Query parameter that carries it.
        param: String,
        /// JSON Pointer to a boolean; false ends the listing.
        more: Option<String>,
    },
    /// Numbered pages; a page shorter than `size` ends the listing, as does the total where a header gives it.
    Page {
        /// Query parameter.
        param: String,
        /// The first page's number.
        first: u32,
        /// Records a page.
        size: u32,
        /// Header with the number of pages.
        total_header: Option<String>,
    },
    /// Offsets; a page shorter than `size` ends the listing.
    Offset {
        /// Query parameter.
        param: String,
        /// Records a page.
        size: u32,
    },
}
