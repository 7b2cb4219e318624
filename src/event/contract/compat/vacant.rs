//! Whether parts contradict each other so plainly that no value keeps to all of them.

use serde_json::Value;

use super::facts::All;
use super::refs::NodeId;
use super::types::Types;
use super::walk::Walk;

/// At most so many listed values are tried.
const MOST_VALUES: usize = 200;

impl Walk<'_> {
    /// Whether no value keeps to all; false where that is not plain.
    pub(super) fn vacant(&mut self, all: &All, deep: usize) -> bool {
        if !self.spend(1) {
            return false;
        }
        let facts = self.facts(all);
        if facts.nothing || facts.types.is_empty() {
            return true;
        }
        if facts.too_many {
            return false;
        }
        if let Some(list) = facts.list.and_then(|node| self.listed(node)) {
            if list.len() > MOST_VALUES {
                return false;
            }
            return (list.iter()).all(|value| self.accepted(all, value) == Some(false));
        }
        let mut types = facts.types;
        if types.meets(Types::NUMBER) {
            let integers = !types.meets(Types::FRACTION);
            let [least, most] = self.ends(&facts);
            if let (Some(least), Some(most)) = (least, most)
                && least.is_past(most, integers)
            {
                types = types.without(Types::NUMBER);
            }
        }
        for (kind, least, most) in [
            (Types::STRING, "minLength", "maxLength"),
            (Types::ARRAY, "minItems", "maxItems"),
            (Types::OBJECT, "minProperties", "maxProperties"),
        ] {
            let least = self
                .whole(&facts, least, true)
                .map_or(0, |(least, _)| least);
            let most = self.whole(&facts, most, false).map(|(most, _)| most);
            if most.is_some_and(|most| least > most) {
                types = types.without(kind);
            }
        }
        if deep > 0 && types.meets(Types::OBJECT) {
            let models = self.all_properties(&facts);
            for name in self.required(&facts) {
                let concerning = self.all_concerning(&models, name);
                if !concerning.is_empty() && self.vacant(&All::of(concerning), deep - 1) {
                    types = types.without(Types::OBJECT);
                    break;
                }
            }
        }
        if deep > 0 && types.meets(Types::ARRAY) {
            let least = self
                .whole(&facts, "minItems", true)
                .map_or(0, |(least, _)| least);
            let items = self.all_items(&facts);
            for index in 0..least.min(16) as usize {
                let concerning: Vec<NodeId> =
                    items.iter().filter_map(|items| items.at(index)).collect();
                if !concerning.is_empty() && self.vacant(&All::of(concerning), deep - 1) {
                    types = types.without(Types::ARRAY);
                    break;
                }
            }
        }
        if types.is_empty() {
            return true;
        }
        for leaf in &facts.leaves {
            // What a part excludes, and another one is.
            let never = self.docs.keyword(*leaf, "not");
            if let Some(Value::Object(never)) = never
                && never.keys().all(|key| key == "type")
                && let Some(kinds) = never.get("type")
            {
                types = types.without(Types::of_keyword(kinds));
            }
        }
        if types.is_empty() {
            return true;
        }
        if types != facts.types {
            return self.vacant(&all.only(types), deep);
        }
        deep > 0
            && facts.unions.iter().any(|union| {
                union.branches.len() <= 32
                    && (union.branches.iter())
                        .all(|branch| self.vacant(&all.with(branch), deep - 1))
            })
    }
}
