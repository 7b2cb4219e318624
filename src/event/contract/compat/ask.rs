//! What a comparison asks of single subschemas, and remembers: whether the validator accepts a value, whether a name fits
//! a pattern, whether two say the same. Decides nothing about pairs; called by the walk and by the search for examples.

use std::collections::BTreeSet;
use std::rc::Rc;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::facts::All;
use super::refs::NodeId;
use super::types::Types;
use super::walk::Walk;

/// At most so many subschemas are compiled on their own.
const MOST_COMPILED: usize = 120;

impl Walk<'_> {
    /// Whether all parts accept a value; `None` where that cannot be told.
    pub(super) fn accepted(&mut self, all: &All, value: &Value) -> Option<bool> {
        if !all.types.meets(Types::of_value(value)) {
            return Some(false);
        }
        for node in &all.nodes {
            if !self.compile(*node)?.is_valid(value) {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The validator of one subschema; `None` where it cannot be had.
    pub(super) fn compile(&mut self, node: NodeId) -> Option<Rc<Validator>> {
        if let Some(known) = self.compiled.get(&node) {
            return known.clone();
        }
        if self.compiled.len() >= MOST_COMPILED {
            return None;
        }
        let side = self.docs.side(node);
        let root = self.docs.root(side);
        let json = self.docs.json(root);
        let registry = (self.registries.entry(side as u8)).or_insert_with(|| {
            let resource = jsonschema::Resource::from_contents(json.clone());
            let registry = jsonschema::Registry::new().add("urn:midwatch:contract", resource);
            registry.ok()?.prepare().ok()
        });
        let validator = registry.as_ref().and_then(|registry| {
            let reference = format!("urn:midwatch:contract#{}", escaped(self.docs.pointer(node)));
            let options = jsonschema::options().offline().with_registry(registry);
            options.build(&json!({"$ref": reference})).ok()
        });
        let validator = validator.map(Rc::new);
        self.compiled.insert(node, validator.clone());
        validator
    }

    /// Whether a name fits a pattern, as the validator reads patterns. One that it cannot read fits everything.
    pub(super) fn matches(&mut self, pattern: &str, name: &str) -> bool {
        if !self.patterns.contains_key(pattern) {
            let validator = jsonschema::options()
                .build(&json!({"pattern": pattern}))
                .ok();
            self.patterns.insert(pattern.to_owned(), validator);
        }
        match self.patterns.get(pattern) {
            Some(Some(validator)) => validator.is_valid(&Value::String(name.to_owned())),
            _ => true,
        }
    }

    /// Whether a subschema accepts everything, plainly.
    pub(super) fn is_trivial(&self, node: NodeId) -> bool {
        match self.docs.json(node) {
            Value::Bool(accepts) => *accepts,
            Value::Object(object) => !object.keys().any(|key| is_assertion(key)),
            _ => true,
        }
    }

    /// Whether two subschemas are the same text, and what they refer to as well.
    pub(super) fn equal(&mut self, one: NodeId, other: NodeId) -> bool {
        if self.docs.side(one) == self.docs.side(other) {
            return one == other;
        }
        if let Some(known) = self.equal.get(&(one, other)) {
            return *known;
        }
        let mut seen = BTreeSet::new();
        let mut todo = vec![(one, other)];
        let mut yes = self.docs.draft(one) == self.docs.draft(other);
        while yes && let Some(pair) = todo.pop() {
            if !seen.insert(pair) {
                continue;
            }
            let (left, right) = (self.docs.json(pair.0), self.docs.json(pair.1));
            if left != right {
                yes = false;
                break;
            }
            let Some(references) = references(left) else {
                yes = false;
                break;
            };
            for to in references {
                match (self.docs.target(pair.0, to), self.docs.target(pair.1, to)) {
                    (Ok(left), Ok(right)) => todo.push((left, right)),
                    _ => yes = false,
                }
            }
        }
        self.equal.insert((one, other), yes);
        yes
    }
}

/// The keywords that say something of values. Others are notes.
pub(super) fn is_assertion(key: &str) -> bool {
    const KEYS: &[&str] = &[
        "$ref",
        "$dynamicRef",
        "$recursiveRef",
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "format",
        "contentEncoding",
        "contentMediaType",
        "items",
        "prefixItems",
        "additionalItems",
        "unevaluatedItems",
        "maxItems",
        "minItems",
        "uniqueItems",
        "contains",
        "maxContains",
        "minContains",
        "maxProperties",
        "minProperties",
        "required",
        "properties",
        "patternProperties",
        "additionalProperties",
        "unevaluatedProperties",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
    ];
    KEYS.contains(&key)
}

/// All references in a text; `None` if one has no fixed target.
fn references(json: &Value) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let mut todo = vec![json];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(object) => {
                if object.contains_key("$dynamicRef") || object.contains_key("$recursiveRef") {
                    return None;
                }
                found.extend(object.get("$ref").and_then(Value::as_str));
                todo.extend(object.values());
            }
            Value::Array(list) => todo.extend(list),
            _ => {}
        }
    }
    Some(found)
}

/// A pointer as a URI's fragment (RFC 6901, section 6).
fn escaped(pointer: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(pointer.len());
    for byte in pointer.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
