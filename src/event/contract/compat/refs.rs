//! The two documents of a comparison: their subschemas by number, and where a reference leads.
//!
//! References lead nowhere outside their document. One whose target cannot be told for certain (another document, a
//! base that an inner `$id` changes) is an error that the walk turns into `UNDECIDED`.

use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::{Map, Value};

/// Who of the two versions a subschema belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
    /// The version that events are written by.
    Writer,
    /// The version that they are read by.
    Reader,
}

/// Number of a subschema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

struct Node<'a> {
    side: Side,
    pointer: String,
    json: &'a Value,
}

struct Document<'a> {
    root: &'a Value,
    draft: Draft,
    /// Its `$id` without a fragment.
    id: Option<&'a str>,
    anchors: HashMap<&'a str, (String, &'a Value)>,
    /// How many values it has, about.
    size: usize,
    /// Something in it that makes references ambiguous.
    unclear: Option<&'static str>,
}

/// Both documents.
pub(super) struct Documents<'a> {
    nodes: Vec<Node<'a>>,
    known: HashMap<(Side, usize), NodeId>,
    writer: Document<'a>,
    reader: Document<'a>,
    /// Whether both are the same text.
    pub(super) same: bool,
}

impl<'a> Document<'a> {
    fn new(root: &'a Value) -> Self {
        let mut document = Self {
            root,
            draft: Draft::default().detect(root),
            id: (root.get("$id").and_then(Value::as_str))
                .map(|id| id.split('#').next().unwrap_or_default())
                .filter(|id| !id.is_empty()),
            anchors: HashMap::new(),
            size: 0,
            unclear: None,
        };
        document.scan();
        document
    }

    /// Looks through the whole document for anchors and inner bases; without recursion, it may be deep.
    fn scan(&mut self) {
        let mut todo = vec![(String::new(), self.root)];
        while let Some((pointer, value)) = todo.pop() {
            self.size += 1;
            match value {
                Value::Object(object) => {
                    for key in ["$anchor", "$dynamicAnchor"] {
                        if let Some(Value::String(name)) = object.get(key) {
                            self.anchors.insert(name, (pointer.clone(), value));
                        }
                    }
                    match object.get("$id") {
                        Some(Value::String(id)) if id.starts_with('#') => {
                            self.anchors.insert(&id[1..], (pointer.clone(), value));
                        }
                        Some(Value::String(_)) if !pointer.is_empty() => {
                            self.unclear = Some("an inner `$id` changes what references mean");
                        }
                        _ => {}
                    }
                    let inner = object.iter().filter(|(_, inner)| is_nested(inner));
                    todo.extend(inner.map(|(key, inner)| (joined(&pointer, key), inner)));
                }
                Value::Array(list) => {
                    let inner = list
                        .iter()
                        .enumerate()
                        .filter(|(_, inner)| is_nested(inner));
                    todo.extend(inner.map(|(at, inner)| (format!("{pointer}/{at}"), inner)));
                }
                _ => {}
            }
        }
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

/// Whether a draft knows a keyword that others do not. What it does not know is a note.
fn is_known(draft: Draft, key: &str) -> bool {
    match key {
        "dependentRequired"
        | "dependentSchemas"
        | "unevaluatedProperties"
        | "unevaluatedItems"
        | "minContains"
        | "maxContains" => !matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7),
        "prefixItems" => matches!(draft, Draft::Draft202012),
        "additionalItems" => !matches!(draft, Draft::Draft202012),
        "if" | "then" | "else" => !matches!(draft, Draft::Draft4 | Draft::Draft6),
        _ => true,
    }
}

/// A JSON Pointer with one more key (RFC 6901, section 3).
pub(super) fn joined(pointer: &str, key: &str) -> String {
    if key.contains(['~', '/']) {
        return format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
    }
    format!("{pointer}/{key}")
}

impl<'a> Documents<'a> {
    pub(super) fn new(writer: &'a Value, reader: &'a Value) -> Self {
        Self {
            nodes: Vec::new(),
            known: HashMap::new(),
            writer: Document::new(writer),
            reader: Document::new(reader),
            same: writer == reader,
        }
    }

    fn document(&self, side: Side) -> &Document<'a> {
        match side {
            Side::Writer => &self.writer,
            Side::Reader => &self.reader,
        }
    }

    pub(super) fn root(&mut self, side: Side) -> NodeId {
        let json = self.document(side).root;
        self.node(side, json, String::new)
    }

    /// The number of a subschema; its place in memory is what makes it itself.
    fn node(&mut self, side: Side, json: &'a Value, pointer: impl FnOnce() -> String) -> NodeId {
        let key = (side, std::ptr::from_ref(json).addr());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node {
            side,
            pointer: pointer(),
            json,
        });
        self.known.insert(key, id);
        id
    }

    pub(super) fn json(&self, id: NodeId) -> &'a Value {
        self.nodes[id.0 as usize].json
    }

    pub(super) fn object(&self, id: NodeId) -> Option<&'a Map<String, Value>> {
        self.json(id).as_object()
    }

    /// What a keyword of a subschema says.
    pub(super) fn keyword(&self, id: NodeId, key: &str) -> Option<&'a Value> {
        let value = self.object(id)?.get(key)?;
        is_known(self.draft(id), key).then_some(value)
    }

    pub(super) fn pointer(&self, id: NodeId) -> &str {
        &self.nodes[id.0 as usize].pointer
    }

    pub(super) fn side(&self, id: NodeId) -> Side {
        self.nodes[id.0 as usize].side
    }

    pub(super) fn draft(&self, id: NodeId) -> Draft {
        self.document(self.side(id)).draft
    }

    pub(super) fn drafts(&self) -> [Draft; 2] {
        [self.writer.draft, self.reader.draft]
    }

    /// How many objects and lists both have together.
    pub(super) fn size(&self) -> usize {
        self.writer.size + self.reader.size
    }

    /// Whether `$ref` makes its neighbours mean nothing (draft-07 and older).
    pub(super) fn ref_is_alone(&self, id: NodeId) -> bool {
        matches!(
            self.draft(id),
            Draft::Draft4 | Draft::Draft6 | Draft::Draft7
        )
    }

    /// Whether `format` and `content…` are held against values (draft-07 and older).
    pub(super) fn asserts_formats(&self, id: NodeId) -> bool {
        self.ref_is_alone(id)
    }

    /// The subschema under a keyword.
    pub(super) fn child(&mut self, id: NodeId, key: &str) -> Option<NodeId> {
        let json = self.keyword(id, key)?;
        Some(self.inner(id, json, |pointer| joined(pointer, key)))
    }

    /// A subschema that lies somewhere under another one.
    pub(super) fn inner(
        &mut self,
        under: NodeId,
        json: &'a Value,
        pointer: impl FnOnce(&str) -> String,
    ) -> NodeId {
        let side = self.side(under);
        let key = (side, std::ptr::from_ref(json).addr());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let pointer = pointer(self.pointer(under));
        self.node(side, json, || pointer)
    }

    /// The subschemas in a list under a keyword (`allOf`).
    pub(super) fn list(&mut self, id: NodeId, key: &str) -> Vec<NodeId> {
        let Some(Value::Array(list)) = self.keyword(id, key) else {
            return Vec::new();
        };
        (list.iter().enumerate())
            .map(|(at, json)| self.inner(id, json, |pointer| format!("{pointer}/{key}/{at}")))
            .collect()
    }

    /// The subschemas by name under a keyword (`properties`).
    pub(super) fn map(&mut self, id: NodeId, key: &str) -> Vec<(&'a str, NodeId)> {
        let Some(Value::Object(map)) = self.keyword(id, key) else {
            return Vec::new();
        };
        (map.iter())
            .map(|(name, json)| {
                let at = self.inner(id, json, |pointer| joined(&joined(pointer, key), name));
                (name.as_str(), at)
            })
            .collect()
    }

    /// Where a reference in `from` leads.
    pub(super) fn target(&mut self, from: NodeId, to: &str) -> Result<NodeId, &'static str> {
        let side = self.side(from);
        let document = self.document(side);
        if let Some(why) = document.unclear {
            return Err(why);
        }
        let within = match document.id {
            Some(id) => to.strip_prefix(id).unwrap_or(to),
            None => to,
        };
        let Some(fragment) = within.strip_prefix('#') else {
            if within.is_empty() {
                return Ok(self.root(side));
            }
            return Err("the reference leads outside the document");
        };
        let fragment = unescaped(fragment).ok_or("the reference is no text")?;
        let (pointer, json) = if fragment.is_empty() || fragment.starts_with('/') {
            let json = document.root.pointer(&fragment);
            (fragment, json.ok_or("the reference leads nowhere")?)
        } else {
            let anchor = document.anchors.get(fragment.as_str());
            anchor.cloned().ok_or("the reference leads nowhere")?
        };
        Ok(self.node(side, json, || pointer))
    }
}

/// A URI's fragment without its percent signs (RFC 3986, section 2.1).
fn unescaped(fragment: &str) -> Option<String> {
    if !fragment.contains('%') {
        return Some(fragment.to_owned());
    }
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        if *first == b'%' {
            let digits = std::str::from_utf8(others.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &others[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}
