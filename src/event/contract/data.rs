//! An event's data as the validator reads it. Strict where readers differ: of a key that comes twice some take the first
//! value and some the last, so that what was validated might not be what the receiver reads.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Fault;

/// The rule of a fault that is not the schema's: the data is no JSON, or not unambiguously.
pub const NOT_JSON: &str = "json";

/// Reads `data`, UTF-8 JSON nested no deeper than 128.
///
/// # Errors
/// The fault that it has, with the line and column that the parser tells.
pub fn read(data: &[u8]) -> Result<Value, Fault> {
    let fault = |text: String| Fault {
        pointer: String::new(),
        rule: NOT_JSON.to_owned(),
        text,
    };
    if data.is_empty() {
        return Err(fault("the event carries no data".to_owned()));
    }
    let mut parser = serde_json::Deserializer::from_slice(data);
    Strict
        .deserialize(&mut parser)
        .and_then(|value| parser.end().map(|()| value))
        .map_err(|error| fault(format!("the data is not JSON: {error}")))
}

/// Reads any value; a key that comes twice is an error.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let value = members.next_value_seed(Self)?;
            if read.insert(name, value).is_some() {
                return Err(A::Error::custom("a key comes twice in one object"));
            }
        }
        Ok(Value::Object(read))
    }
}

/// A member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        String::deserialize(from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_is_read_as_it_is_or_its_fault_is_told() {
        let deep = "[".repeat(200);
        for (data, expected) in [
            (
                r#"{"a":[1,-2,1.5,"x",true,null,{}]}"#,
                Ok(json!({"a":[1,-2,1.5,"x",true,null,{}]})),
            ),
            ("\"text\"", Ok(json!("text"))),
            ("", Err("carries no data")),
            ("<xml/>", Err("line 1 column 1")),
            ("{} {}", Err("trailing")),
            (r#"{"a":1,"b":{"c":1,"c":2}}"#, Err("comes twice")),
            // The escaped spelling of the same key.
            (r#"{"a":1,"\u0061":2}"#, Err("comes twice")),
            (&deep, Err("recursion limit")),
            ("1e999", Err("out of range")),
        ] {
            match (read(data.as_bytes()), expected) {
                (Ok(value), Ok(expected)) => assert_eq!(value, expected),
                (Err(fault), Err(words)) => {
                    assert!(fault.text.contains(words), "{data}: {}", fault.text);
                    assert_eq!(
                        (fault.rule.as_str(), fault.pointer.as_str()),
                        (NOT_JSON, "")
                    );
                }
                (got, _) => panic!("{data}: {got:?}"),
            }
        }
        assert!(read(b"\xff").is_err());
    }
}
