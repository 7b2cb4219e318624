//! One JSON Schema, compiled: 2020-12 unless `$schema` says draft-07. References lead nowhere outside the document.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// At most so many faults of one instance are told: the first ones say what is wrong.
const MOST_FAULTS: usize = 20;

/// The longest value that is quoted, in characters.
const LONGEST: usize = 60;

/// A compiled schema with its text.
pub struct Schema {
    json: Value,
    validator: jsonschema::Validator,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.json)
    }
}

/// Why a text is no schema that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct SchemaError {
    /// JSON Pointer into the schema; empty where the whole is meant.
    pub at: String,
    /// What is wrong.
    pub why: String,
}

/// Something that an instance has against its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// JSON Pointer into the instance; to where a member should be, if one is missing.
    pub pointer: String,
    /// The keyword that is broken (`required`, `type`).
    pub rule: String,
    /// In words, with values shortened. Parts of it come from outside: make it `Visible` before it is shown.
    pub text: String,
}

impl Fault {
    /// Where and by which rule, the same for every item of a list: `/items/*/total type`.
    pub fn place(&self) -> String {
        let mut place = String::new();
        for part in self.pointer.split('/').skip(1) {
            let number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            place.push('/');
            place.push_str(if number { "*" } else { part });
        }
        if !place.is_empty() {
            place.push(' ');
        }
        place + &self.rule
    }
}

/// JSON Pointer to where the fault is: what is missing has none, so it is told where it should be.
fn pointer_of(error: &jsonschema::ValidationError<'_>) -> String {
    let pointer = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::Required {
            property: Value::String(name),
        } => format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")),
        _ => pointer,
    }
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// When it is no valid schema, or refers to what is not inside it.
    pub fn new(json: Value) -> Result<Self, SchemaError> {
        // Without `$schema` the library takes 2020-12; forcing it would read draft-07 tuples wrongly.
        let validator = jsonschema::options()
            .offline()
            .build(&json)
            .map_err(|error| SchemaError {
                at: error.instance_path().to_string(),
                why: shortened(&error.to_string()),
            })?;
        Ok(Self { json, validator })
    }

    /// Its text.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Whether an instance keeps to it.
    pub fn accepts(&self, instance: &Value) -> bool {
        self.validator.is_valid(instance)
    }

    /// What an instance has against it: the first twenty faults; empty if it keeps to it.
    pub fn faults(&self, instance: &Value) -> Vec<Fault> {
        let fault = |error: jsonschema::ValidationError<'_>| Fault {
            pointer: pointer_of(&error),
            rule: error.kind().keyword().to_owned(),
            text: shortened(&error.to_string()),
        };
        self.validator
            .iter_errors(instance)
            .take(MOST_FAULTS)
            .map(fault)
            .collect()
    }
}

/// The validator quotes whole values: a fault keeps its beginning and its end, where its words are.
pub(crate) fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= LONGEST * 2 {
        return text.to_owned();
    }
    let head: String = text.chars().take(LONGEST).collect();
    let tail: String = text.chars().skip(count - LONGEST).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_says_where_and_by_which_rule() {
        let schema = Schema::new(json!({
            "type": "object",
            "required": ["total"],
            "properties": {"total": {"type": "string"}, "items": {"type": "array", "items": {"type": "integer"}}}
        }))
        .unwrap();
        assert!(schema.accepts(&json!({"total": "1.00"})));
        let faults = schema.faults(&json!({"items": [1, "x".repeat(500)]}));
        let told: Vec<_> = faults
            .iter()
            .map(|fault| (fault.pointer.as_str(), fault.rule.as_str()))
            .collect();
        assert!(told.contains(&("/total", "required")), "{told:?}");
        assert!(told.contains(&("/items/1", "type")), "{told:?}");
        assert!(
            faults
                .iter()
                .all(|fault| fault.text.chars().count() <= 2 * LONGEST + 1)
        );
    }

    #[test]
    fn what_is_no_schema_is_refused_and_nothing_is_fetched() {
        let error = Schema::new(json!({"properties": {"a": {"type": "strin"}}})).unwrap_err();
        assert_eq!(error.at, "/properties/a/type");
        assert!(Schema::new(json!({"$ref": "http://127.0.0.1:1/x.json"})).is_err());
    }

    #[test]
    fn an_older_draft_is_taken_by_its_word() {
        let tuple = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "items": [{"type": "string"}], "additionalItems": false
        });
        let schema = Schema::new(tuple).unwrap();
        assert!(schema.accepts(&json!(["a"])));
        assert!(!schema.accepts(&json!(["a", "b"])));
    }
}
