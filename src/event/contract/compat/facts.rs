//! What several subschemas say together of one value: their parts that must all hold, the kinds they let through, and
//! the alternatives among them.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::refs::NodeId;
use super::types::Types;
use super::walk::Walk;

/// Subschemas that must all accept a value, which is of certain kinds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct All {
    /// Sorted, each once.
    pub(super) nodes: Vec<NodeId>,
    pub(super) types: Types,
    /// The one that is pointed at.
    pub(super) main: Option<NodeId>,
}

impl All {
    pub(super) fn of(mut nodes: Vec<NodeId>) -> Self {
        let main = nodes.first().copied();
        nodes.sort_unstable();
        nodes.dedup();
        Self {
            nodes,
            types: Types::ALL,
            main,
        }
    }

    /// With others that must hold too.
    pub(super) fn with(&self, others: &[NodeId]) -> Self {
        let mut nodes = self.nodes.clone();
        nodes.extend_from_slice(others);
        let mut all = Self::of(nodes);
        all.types = self.types;
        all.main = others.first().copied().or(self.main);
        all
    }

    /// Of these kinds only.
    pub(super) fn only(&self, types: Types) -> Self {
        Self {
            types: self.types.and(types),
            ..self.clone()
        }
    }
}

/// One of these must hold.
#[derive(Debug, Clone)]
pub(super) struct Union {
    /// Each alternative: what must hold together.
    pub(super) branches: Vec<Vec<NodeId>>,
}

/// What an [`All`] says.
#[derive(Debug)]
pub(super) struct Facts {
    /// The subschemas whose own keywords all hold, references and `allOf` opened.
    pub(super) leaves: Vec<NodeId>,
    /// The kinds that can pass.
    pub(super) types: Types,
    /// No value can pass.
    pub(super) nothing: bool,
    /// The shortest list of values that all who pass are in: the subschema with `enum` or `const`.
    pub(super) list: Option<NodeId>,
    /// The alternatives, those of which one is already chosen left out.
    pub(super) unions: Vec<Union>,
    /// There were too many parts to look at.
    pub(super) too_many: bool,
}

/// At most so many parts of one value are looked at.
const MOST_LEAVES: usize = 512;

/// How deep alternatives are opened to tell the kinds of a value.
const DEEP_TYPES: usize = 6;

impl<'a> Walk<'a> {
    /// What subschemas say together.
    pub(super) fn facts(&mut self, all: &All) -> Rc<Facts> {
        if let Some(known) = self.known_facts.get(all) {
            return Rc::clone(known);
        }
        let mut facts = Facts {
            leaves: Vec::new(),
            types: all.types,
            nothing: false,
            list: None,
            unions: Vec::new(),
            too_many: false,
        };
        let mut seen = BTreeSet::new();
        let mut todo: Vec<NodeId> = all.nodes.iter().rev().copied().collect();
        let mut shortest = usize::MAX;
        while let Some(node) = todo.pop() {
            if !seen.insert(node) {
                continue;
            }
            if facts.leaves.len() >= MOST_LEAVES || !self.spend(1) {
                facts.too_many = true;
                break;
            }
            match self.docs.json(node) {
                Value::Bool(false) => facts.nothing = true,
                Value::Object(object) => {
                    if let Some(Value::String(to)) = object.get("$ref") {
                        // Where a reference cannot be followed, nothing is known from it.
                        todo.extend(self.docs.target(node, to).ok());
                        if self.docs.ref_is_alone(node) {
                            continue;
                        }
                    }
                    facts.leaves.push(node);
                    facts.types = facts.types.and(self.types(node, DEEP_TYPES));
                    let count = match (object.get("const"), object.get("enum")) {
                        (Some(_), _) => Some(1),
                        (None, Some(Value::Array(list))) => Some(list.len()),
                        _ => None,
                    };
                    if let Some(count) = count.filter(|count| *count < shortest) {
                        shortest = count;
                        facts.list = Some(node);
                    }
                    let mut members = self.docs.list(node, "allOf");
                    members.reverse();
                    todo.append(&mut members);
                }
                _ => {}
            }
        }
        for leaf in facts.leaves.clone() {
            for union in self.unions(leaf) {
                let chosen = (union.branches.iter())
                    .any(|branch| branch.iter().all(|node| seen.contains(node)));
                if !chosen {
                    facts.unions.push(union);
                }
            }
        }
        let facts = Rc::new(facts);
        self.known_facts.insert(all.clone(), Rc::clone(&facts));
        facts
    }

    /// The alternatives that a subschema itself offers.
    fn unions(&mut self, leaf: NodeId) -> Vec<Union> {
        let mut unions = Vec::new();
        for key in ["anyOf", "oneOf"] {
            if self.docs.keyword(leaf, key).is_some() {
                let branches = self.docs.list(leaf, key);
                let branches = branches.into_iter().map(|branch| vec![branch]).collect();
                unions.push(Union { branches });
            }
        }
        if let Some(condition) = self.condition(leaf) {
            // Whoever keeps to `if` keeps to `then`; of the others nothing but `else` is known.
            let mut kept = vec![condition.when];
            kept.extend(condition.then);
            unions.push(Union {
                branches: vec![kept, condition.otherwise.into_iter().collect()],
            });
        }
        unions.retain(|union| union.branches.iter().any(|branch| !branch.is_empty()));
        unions
    }

    /// The kinds that a subschema lets through, as far as that is cheap to tell; never too few.
    fn types(&mut self, node: NodeId, deep: usize) -> Types {
        let object = match self.docs.json(node) {
            Value::Bool(false) => return Types::NONE,
            Value::Object(object) => object,
            _ => return Types::ALL,
        };
        let mut types = Types::ALL;
        if let Some(Value::String(to)) = object.get("$ref") {
            if deep > 0
                && let Ok(target) = self.docs.target(node, to)
            {
                types = self.types(target, deep - 1);
            }
            if self.docs.ref_is_alone(node) {
                return types;
            }
        }
        if let Some(value) = object.get("type") {
            types = types.and(Types::of_keyword(value));
        }
        if let Some(value) = object.get("const") {
            types = types.and(Types::of_value(value));
        }
        if let Some(Value::Array(list)) = object.get("enum") {
            let of = |all: Types, value| all.or(Types::of_value(value));
            types = types.and(list.iter().fold(Types::NONE, of));
        }
        if deep > 0 && self.spend(1) {
            for member in self.docs.list(node, "allOf") {
                types = types.and(self.types(member, deep - 1));
            }
            for key in ["anyOf", "oneOf"] {
                let branches = self.docs.list(node, key);
                // Many alternatives seldom say less than everything together.
                if !branches.is_empty() && branches.len() <= 64 {
                    let mut any = Types::NONE;
                    for branch in branches {
                        any = any.or(self.types(branch, deep - 1));
                    }
                    types = types.and(any);
                }
            }
        }
        types
    }

    /// The names that must be there.
    pub(super) fn required(&self, facts: &Facts) -> BTreeSet<&'a str> {
        let lists = facts
            .leaves
            .iter()
            .filter_map(|leaf| self.docs.keyword(*leaf, "required"));
        lists
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// What a subschema lists as values: `const`, else `enum`.
    pub(super) fn listed(&self, node: NodeId) -> Option<&'a [Value]> {
        if let Some(value) = self.docs.keyword(node, "const") {
            return Some(std::slice::from_ref(value));
        }
        match self.docs.keyword(node, "enum") {
            Some(Value::Array(list)) => Some(list),
            _ => None,
        }
    }

    /// The largest (or smallest) whole number that the parts give under a keyword, and who gives it.
    pub(super) fn whole(&self, facts: &Facts, key: &str, largest: bool) -> Option<(u64, NodeId)> {
        let numbers = facts.leaves.iter().filter_map(|leaf| {
            let number = whole(self.docs.keyword(*leaf, key)?)?;
            Some((number, *leaf))
        });
        if largest {
            numbers.max_by_key(|(number, _)| *number)
        } else {
            numbers.min_by_key(|(number, _)| *number)
        }
    }
}

/// A count; `3.0` is one too.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        (float.fract() == 0.0 && (0.0..1e15).contains(&float)).then_some(float as u64)
    })
}
