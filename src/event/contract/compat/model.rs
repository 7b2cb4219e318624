//! Content models: which subschema concerns which property or item, as one subschema says it.
//!
//! Open: nothing concerns what is not named. Closed: what is not named is `false`. Partially open: patterns or a
//! subschema concern it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jsonschema::Draft;
use serde_json::Value;

use super::facts::Facts;
use super::refs::NodeId;
use super::walk::Walk;

/// What one keyword group says of the properties of an object; `None` says nothing of them.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    pub(super) named: BTreeMap<&'a str, Option<NodeId>>,
    pub(super) patterns: Vec<(&'a str, Option<NodeId>)>,
    pub(super) rest: Option<NodeId>,
}

/// What one keyword group says of the items of an array; `None` says nothing of them.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) first: Vec<Option<NodeId>>,
    pub(super) rest: Option<NodeId>,
}

impl Items {
    /// What concerns the item at an index.
    pub(super) fn at(&self, index: usize) -> Option<NodeId> {
        match self.first.get(index) {
            Some(item) => *item,
            None => self.rest,
        }
    }
}

/// What looks at the same value as a subschema, and whether only some of it may count.
pub(super) struct Around {
    pub(super) nodes: Vec<NodeId>,
    pub(super) conditional: bool,
    pub(super) unclear: bool,
}

impl<'a> Walk<'a> {
    /// `properties`, `patternProperties` and `additionalProperties` of one subschema.
    pub(super) fn properties(&mut self, node: NodeId) -> Rc<Properties<'a>> {
        if let Some(known) = self.known_properties.get(&node) {
            return Rc::clone(known);
        }
        let named = self.docs.map(node, "properties");
        let patterns = self.docs.map(node, "patternProperties");
        let known = Rc::new(Properties {
            named: named
                .into_iter()
                .map(|(name, at)| (name, Some(at)))
                .collect(),
            patterns: patterns
                .into_iter()
                .map(|(name, at)| (name, Some(at)))
                .collect(),
            rest: self.telling(node, "additionalProperties"),
        });
        self.known_properties.insert(node, Rc::clone(&known));
        known
    }

    /// The subschema under a keyword, if it does not accept everything.
    fn telling(&mut self, node: NodeId, key: &str) -> Option<NodeId> {
        let rest = self.docs.child(node, key)?;
        (!self.is_trivial(rest)).then_some(rest)
    }

    /// What `unevaluatedProperties` concerns: what nothing around it names; `None` where that cannot be told.
    pub(super) fn unevaluated_properties(
        &mut self,
        node: NodeId,
    ) -> Option<(Properties<'a>, bool)> {
        let rest = self.docs.child(node, "unevaluatedProperties")?;
        let around = self.around(node);
        if around.unclear {
            return None;
        }
        let mut all = Properties {
            rest: Some(rest),
            ..Properties::default()
        };
        for other in around.nodes {
            let inner =
                other != node && self.docs.keyword(other, "unevaluatedProperties").is_some();
            if self.docs.keyword(other, "additionalProperties").is_some() || inner {
                // Everything is looked at there already.
                all.rest = None;
                if around.conditional {
                    return None;
                }
            }
            let one = self.properties(other);
            all.named.extend(one.named.keys().map(|name| (*name, None)));
            all.patterns
                .extend(one.patterns.iter().map(|(pattern, _)| (*pattern, None)));
        }
        Some((all, around.conditional))
    }

    /// What all parts of a value say of its properties.
    pub(super) fn all_properties(&mut self, facts: &Facts) -> Vec<Rc<Properties<'a>>> {
        let mut all = Vec::new();
        for leaf in &facts.leaves {
            let one = self.properties(*leaf);
            if !one.named.is_empty() || !one.patterns.is_empty() || one.rest.is_some() {
                all.push(one);
            }
            if let Some((more, _)) = self.unevaluated_properties(*leaf)
                && more.rest.is_some()
            {
                all.push(Rc::new(more));
            }
        }
        all
    }

    /// What concerns one property.
    pub(super) fn concerning(&mut self, model: &Properties<'a>, name: &str) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut matched = false;
        if let Some(at) = model.named.get(name) {
            matched = true;
            found.extend(*at);
        }
        for (pattern, at) in &model.patterns {
            if self.matches(pattern, name) {
                matched = true;
                found.extend(*at);
            }
        }
        if !matched {
            found.extend(model.rest);
        }
        found
    }

    /// What all parts of a value say of one property.
    pub(super) fn all_concerning(
        &mut self,
        models: &[Rc<Properties<'a>>],
        name: &str,
    ) -> Vec<NodeId> {
        let mut found = Vec::new();
        for model in models {
            found.extend(self.concerning(model, name));
        }
        found
    }

    /// `prefixItems` and `items`, or their older forms, of one subschema.
    pub(super) fn items(&mut self, node: NodeId) -> Items {
        let tuple = matches!(self.docs.keyword(node, "items"), Some(Value::Array(_)));
        if tuple {
            return Items {
                first: self
                    .docs
                    .list(node, "items")
                    .into_iter()
                    .map(Some)
                    .collect(),
                rest: self.telling(node, "additionalItems"),
            };
        }
        let prefix = match self.docs.draft(node) {
            Draft::Draft4 | Draft::Draft6 | Draft::Draft7 | Draft::Draft201909 => Vec::new(),
            _ => self.docs.list(node, "prefixItems"),
        };
        Items {
            first: prefix.into_iter().map(Some).collect(),
            rest: self.telling(node, "items"),
        }
    }

    /// What `unevaluatedItems` concerns; `None` where that cannot be told.
    pub(super) fn unevaluated_items(&mut self, node: NodeId) -> Option<(Items, bool)> {
        let rest = self.docs.child(node, "unevaluatedItems")?;
        let around = self.around(node);
        if around.unclear {
            return None;
        }
        let mut all = Items {
            rest: Some(rest),
            ..Items::default()
        };
        for other in around.nodes {
            if self.docs.keyword(other, "contains").is_some() {
                return None;
            }
            let one = self.items(other);
            let inner = other != node && self.docs.keyword(other, "unevaluatedItems").is_some();
            let whole = ["items", "additionalItems"].into_iter().any(|key| {
                matches!(
                    self.docs.keyword(other, key),
                    Some(Value::Object(_) | Value::Bool(_))
                )
            });
            if whole || inner {
                all.rest = None;
                if around.conditional {
                    return None;
                }
            }
            let longer = one.first.len().max(all.first.len());
            all.first.resize(longer, None);
        }
        Some((all, around.conditional))
    }

    /// What all parts of a value say of its items.
    pub(super) fn all_items(&mut self, facts: &Facts) -> Vec<Items> {
        let mut all = Vec::new();
        for leaf in &facts.leaves {
            let one = self.items(*leaf);
            if !one.first.is_empty() || one.rest.is_some() {
                all.push(one);
            }
            if let Some((more, _)) = self.unevaluated_items(*leaf)
                && more.rest.is_some()
            {
                all.push(more);
            }
        }
        all
    }

    /// Everything that may look at the same value as a subschema, itself first.
    fn around(&mut self, node: NodeId) -> Around {
        let mut around = Around {
            nodes: Vec::new(),
            conditional: false,
            unclear: false,
        };
        let mut seen = BTreeSet::new();
        let mut todo = vec![node];
        while let Some(one) = todo.pop() {
            if !seen.insert(one) {
                continue;
            }
            let Some(object) = self.docs.object(one) else {
                continue;
            };
            if !self.spend(1)
                || object.contains_key("$dynamicRef")
                || object.contains_key("$recursiveRef")
            {
                around.unclear = true;
                break;
            }
            around.nodes.push(one);
            if let Some(Value::String(to)) = object.get("$ref") {
                match self.docs.target(one, to) {
                    Ok(target) => todo.push(target),
                    Err(_) => around.unclear = true,
                }
            }
            todo.extend(self.docs.list(one, "allOf"));
            for key in ["anyOf", "oneOf"] {
                let branches = self.docs.list(one, key);
                around.conditional |= !branches.is_empty();
                todo.extend(branches);
            }
            for key in ["if", "then", "else"] {
                let part = self.docs.child(one, key);
                around.conditional |= part.is_some();
                todo.extend(part);
            }
            for key in ["dependentSchemas", "dependencies"] {
                let parts = self.docs.map(one, key);
                around.conditional |= !parts.is_empty();
                todo.extend(parts.into_iter().map(|(_, part)| part));
            }
        }
        around
    }
}
