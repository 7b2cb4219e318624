//! A JSON listing's bytes -> records. Pure.
//!
//! Only the parts that a job names are looked at: the array at `items`, and in each record the key, the time of change
//! and the compared fields, each through a JSON Pointer (RFC 6901). Values keep the source text of their numbers. Records
//! stream past one by one; nothing else of the listing is built in memory. Called by `job` with a capped body.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::value::Value;
use crate::record::decimal::Decimal;
use crate::record::instant;
use crate::time::Timestamp;

/// The most records of one listing.
pub const MAX_RECORDS: usize = 500_000;
/// The deepest object or array that a compared field may hold.
const MAX_DEPTH: usize = 64;
/// The longest key, in bytes.
const MAX_KEY: usize = 512;

/// Where the parts of a record are.
#[derive(Debug, Clone)]
pub struct Shape {
    items: Pointer,
    key: Pointer,
    updated: Option<Pointer>,
    fields: Vec<Pointer>,
}

impl Shape {
    /// From JSON Pointers as configured.
    pub fn new<'a>(
        items: &str,
        key: &str,
        updated: Option<&str>,
        fields: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            items: Pointer::new(items),
            key: Pointer::new(key),
            updated: updated.map(Pointer::new),
            fields: fields.into_iter().map(Pointer::new).collect(),
        }
    }
}

/// One record, as far as a job compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key: a text, or the source text of a number.
    pub key: String,
    /// The compared fields, in the job's order.
    pub fields: Vec<Value>,
    /// When it last changed, if it says so.
    pub updated: Option<Timestamp>,
}

/// What a listing held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The records that have a key, in the listing's order.
    pub records: Vec<Record>,
    /// Records without one (missing, null or blank): they belong to nobody's comparison.
    pub without_key: u64,
}

impl Listing {
    /// Records in the listing, with or without a key.
    pub fn len(&self) -> u64 {
        self.records.len() as u64 + self.without_key
    }

    /// It held no record at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a listing cannot be used. The words may hold text from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// Cut short, or no JSON at all.
    #[error("the listing is no whole JSON: {0}")]
    NotJson(String),
    /// The pointer leads to nothing, or to something else than an array.
    #[error("the listing has no array at `{0}`")]
    NotAnArray(String),
    /// More records than midwatch compares.
    #[error("the listing has more than {MAX_RECORDS} records")]
    TooMany,
    /// A record's key cannot be one.
    #[error("record {index}: its key is {what}")]
    BadKey {
        /// From 0.
        index: usize,
        /// What it is instead of a text or a number.
        what: &'static str,
    },
    /// A compared field is nested deeper than 64.
    #[error("record {index}: a compared field is nested deeper than {MAX_DEPTH}")]
    TooDeep {
        /// From 0.
        index: usize,
    },
}

/// Reads a whole listing.
pub fn listing(bytes: &[u8], shape: &Shape) -> Result<Listing, ListingError> {
    let not_json = |error: serde_json::Error| ListingError::NotJson(error.to_string());
    // One pass over the whole first: a body that was cut short after the array must not pass as whole.
    let whole: &RawValue = serde_json::from_slice(bytes).map_err(not_json)?;
    let missing = || ListingError::NotAnArray(shape.items.text.clone());
    let array = shape.items.find(whole).ok_or_else(missing)?;
    if !array.get().starts_with('[') {
        return Err(missing());
    }
    let mut collector = Collector {
        shape,
        listing: Listing::default(),
        failed: None,
    };
    let done = serde_json::Deserializer::from_str(array.get()).deserialize_seq(&mut collector);
    match (collector.failed, done) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(not_json(error)),
        (None, Ok(())) => Ok(collector.listing),
    }
}

/// Takes records as they stream past.
struct Collector<'s> {
    shape: &'s Shape,
    listing: Listing,
    failed: Option<ListingError>,
}

impl<'de> Visitor<'de> for &mut Collector<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(raw) = items.next_element::<&'de RawValue>()? {
            let taken = if index < MAX_RECORDS {
                self.take(index, raw)
            } else {
                Err(ListingError::TooMany)
            };
            if let Err(error) = taken {
                self.failed = Some(error);
                return Err(serde::de::Error::custom("refused"));
            }
            index += 1;
        }
        Ok(())
    }
}

impl Collector<'_> {
    fn take(&mut self, index: usize, raw: &RawValue) -> Result<(), ListingError> {
        let read = |pointer: &Pointer| match pointer.find(raw) {
            None => Ok(Value::Missing),
            Some(found) => value(found).ok_or(ListingError::TooDeep { index }),
        };
        let key = match read(&self.shape.key)? {
            Value::Missing | Value::Null => String::new(),
            Value::Text(text) | Value::Number(text) => text,
            Value::Bool(_) => {
                let what = "true or false, not a text or a number";
                return Err(ListingError::BadKey { index, what });
            }
            Value::Tree(_) => {
                let what = "an object or array, not a text or a number";
                return Err(ListingError::BadKey { index, what });
            }
        };
        if key.len() > MAX_KEY {
            let what = "longer than 512 bytes";
            return Err(ListingError::BadKey { index, what });
        }
        if key.trim().is_empty() {
            self.listing.without_key += 1;
            return Ok(());
        }
        let updated = match self.shape.updated.as_ref().map(read).transpose()? {
            Some(Value::Text(text)) => instant::parse(&text),
            Some(Value::Number(text)) => instant::seconds(&text),
            _ => None,
        };
        let fields = self
            .shape
            .fields
            .iter()
            .map(read)
            .collect::<Result<_, _>>()?;
        self.listing.records.push(Record {
            key,
            fields,
            updated,
        });
        Ok(())
    }
}

/// A JSON Pointer, taken apart once.
#[derive(Debug, Clone)]
struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            tokens: text
                .split('/')
                .skip(1)
                .map(|token| token.replace("~1", "/").replace("~0", "~"))
                .collect(),
        }
    }

    /// What it leads to in `from`.
    fn find<'a>(&self, from: &'a RawValue) -> Option<&'a RawValue> {
        let mut at = from;
        for token in &self.tokens {
            let step = Step(token);
            at = step
                .deserialize(&mut serde_json::Deserializer::from_str(at.get()))
                .ok()??;
        }
        Some(at)
    }
}

/// One token of a pointer: the member of an object (the last, if it occurs twice, as most readers have it), or the
/// element of an array.
struct Step<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let wanted: Option<usize> = match self.0 {
            "0" => Some(0),
            token if token.starts_with(['0', '+', '-']) => None,
            token => token.parse().ok(),
        };
        let (mut index, mut found) = (0, None);
        while let Some(raw) = items.next_element::<&'de RawValue>()? {
            if Some(index) == wanted {
                found = Some(raw);
            }
            index += 1;
        }
        Ok(found)
    }
}

/// The value of a piece of JSON; none if it is nested too deep.
fn value(raw: &RawValue) -> Option<Value> {
    let text = raw.get();
    Some(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::Text(serde_json::from_str(text).ok()?),
        Some(b'{' | b'[') => {
            let mut canonical = String::new();
            canonicalise(raw, MAX_DEPTH, &mut canonical)?;
            Value::Tree(canonical)
        }
        _ => Value::Number(text.to_owned()),
    })
}

/// Canonical JSON: keys sorted, no blanks, numbers in normal form.
fn canonicalise(raw: &RawValue, depth: usize, out: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: std::collections::BTreeMap<String, &RawValue> =
                serde_json::from_str(text).ok()?;
            out.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::from(name).to_string());
                out.push(':');
                canonicalise(member, depth, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for (index, element) in elements.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonicalise(element, depth, out)?;
            }
            out.push(']');
        }
        Some(b'"') => {
            let string: String = serde_json::from_str(text).ok()?;
            out.push_str(&serde_json::Value::from(string).to_string());
        }
        Some(b'-' | b'0'..=b'9') => match Decimal::parse(text) {
            Some(decimal) => out.push_str(&decimal.to_string()),
            None => out.push_str(text),
        },
        _ => out.push_str(text),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape::new(
            "/results",
            "/properties/order",
            Some("/updatedAt"),
            ["/properties/amount", "/properties/a~1b", "/lines/1"],
        )
    }

    fn read(body: &str) -> Result<Listing, ListingError> {
        listing(body.as_bytes(), &shape())
    }

    #[test]
    fn a_record_is_read_through_its_pointers_with_the_text_of_its_numbers() {
        let got = read(
            r#"{"paging":{},"results":[{"id":"9","updatedAt":"2026-11-23T20:00:00Z",
               "properties":{"order":1042,"amount":1299.10,"a/b":"x","amount":1299.20},
               "lines":[{"q":1.0,"a":[ ]},{"b":2.50,"a":"\u00e5"}]}]}"#,
        );
        let record = Record {
            key: "1042".to_owned(),
            fields: vec![
                Value::Number("1299.20".to_owned()),
                Value::Text("x".to_owned()),
                Value::Tree("{\"a\":\"å\",\"b\":25e-1}".to_owned()),
            ],
            updated: Timestamp::parse_rfc3339("2026-11-23T20:00:00Z"),
        };
        assert_eq!(
            got,
            Ok(Listing {
                records: vec![record],
                without_key: 0
            })
        );
    }

    #[test]
    fn missing_null_and_blank_stay_three_things_and_a_record_without_key_is_counted_apart() {
        let got = listing(
            br#"[{"k":"1"},{"k":"2","f":null},{"k":"3","f":""},{"k":null},{"k":"  "},{},7]"#,
            &Shape::new("", "/k", None, ["/f"]),
        )
        .unwrap();
        let fields: Vec<_> = got.records.iter().map(|r| r.fields[0].clone()).collect();
        assert_eq!(
            fields,
            [Value::Missing, Value::Null, Value::Text(String::new())]
        );
        assert_eq!((got.without_key, got.len()), (4, 7));
    }

    #[test]
    fn what_is_no_whole_listing_is_an_error_and_never_an_empty_one() {
        use ListingError::{BadKey, NotAnArray, NotJson};
        type Check = fn(&ListingError) -> bool;
        let cases: [(&str, Check); 11] = [
            ("", |e| matches!(e, NotJson(_))),
            ("<html>502</html>", |e| matches!(e, NotJson(_))),
            (r#"{"results":[{"a":1},"#, |e| matches!(e, NotJson(_))),
            (r#"{"results":[{"a":1}]"#, |e| matches!(e, NotJson(_))),
            (r#"{"results":[]} trailing"#, |e| matches!(e, NotJson(_))),
            ("{\"results\":[\"\x01\"]}", |e| matches!(e, NotJson(_))),
            (r#"{"error":"x"}"#, |e| matches!(e, NotAnArray(_))),
            (r#"{"results":{"a":1}}"#, |e| matches!(e, NotAnArray(_))),
            (r#"{"results":null}"#, |e| matches!(e, NotAnArray(_))),
            (r#"{"results":[{"properties":{"order":true}}]}"#, |e| {
                matches!(e, BadKey { index: 0, .. })
            }),
            (r#"{"results":[{},{"properties":{"order":{}}}]}"#, |e| {
                matches!(e, BadKey { index: 1, .. })
            }),
        ];
        for (body, check) in cases {
            let error = read(body).expect_err(body);
            assert!(check(&error), "{body}: {error:?}");
        }
        assert_eq!(read(r#"{"results":[]}"#), Ok(Listing::default()));
    }

    #[test]
    fn a_deep_field_is_refused_and_does_not_exhaust_the_stack() {
        let deep = format!(
            r#"[{{"k":1,"f":{}{}}}]"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let shape = Shape::new("", "/k", None, ["/f"]);
        let got = listing(deep.as_bytes(), &shape);
        assert_eq!(got, Err(ListingError::TooDeep { index: 0 }));
    }

    #[test]
    fn times_of_change_are_read_as_vendors_write_them() {
        for (updated, expected) in [
            ("\"2026-11-23T20:00:00+01:00\"", Some(1_795_460_400_000)),
            ("\"2026-11-23T19:00:00\"", Some(1_795_460_400_000)),
            ("1795460400", Some(1_795_460_400_000)),
            ("\"soon\"", None),
            ("null", None),
            ("1e300", None),
            ("99999999999999999999", None),
        ] {
            let body = format!(r#"[{{"k":1,"u":{updated}}}]"#);
            let got = listing(body.as_bytes(), &Shape::new("", "/k", Some("/u"), [])).unwrap();
            assert_eq!(got.records[0].updated.map(|t| t.0), expected, "{updated}");
        }
    }

    #[test]
    fn too_long_a_key_is_refused() {
        let body = format!(r#"[{{"k":"{}"}}]"#, "9".repeat(MAX_KEY + 1));
        let got = listing(body.as_bytes(), &Shape::new("", "/k", None, []));
        assert!(matches!(got, Err(ListingError::BadKey { .. })), "{got:?}");
    }
}
