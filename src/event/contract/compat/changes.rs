//! What became wider between two versions: told for the record, it breaks nothing.

use serde_json::Value;

use super::facts::{All, Facts};
use super::findings::Rule;
use super::numbers::{ITEMS, LENGTHS, NUMBERS, PROPERTIES, is_multiple};
use super::refs::NodeId;
use super::types::Types;
use super::walk::Walk;

impl Walk<'_> {
    /// Records what the reader leaves out of what the writer says of a value. Once for each value: parts of one are not
    /// compared with the whole.
    pub(super) fn changes(&mut self, writer: &All, facts: &Facts, reader: NodeId) {
        if !self.is_first_look() {
            return;
        }
        let read = self.facts(&All::of(vec![reader]));
        self.notes(writer, reader);
        self.kinds_and_lists(writer, facts, reader, &read);
        for bound in NUMBERS
            .iter()
            .chain(&LENGTHS)
            .chain(&ITEMS)
            .chain(&PROPERTIES)
        {
            let (Some(has), wants) = (self.tightest(facts, bound), self.tightest(&read, bound))
            else {
                continue;
            };
            let rule = match wants {
                None => bound.removed,
                Some(wants) if bound.low && wants < has => bound.decreased,
                Some(wants) if !bound.low && wants > has => bound.increased,
                Some(_) => continue,
            };
            let words = format!("{} is wider in {}", bound.key, self.names[1]);
            self.record(rule, true, writer, reader, bound.key, words);
        }
        let has = self.first(facts, "multipleOf");
        let wants = self.first(&read, "multipleOf");
        match (has, wants) {
            (Some(_), None) => self.note(Rule::MultipleOfRemoved, writer, reader, "multipleOf"),
            (Some(has), Some(wants)) if has != wants && is_multiple(has, wants) => {
                self.note(Rule::MultipleOfReduced, writer, reader, "multipleOf");
            }
            _ => {}
        }
        for (key, rule) in [
            ("pattern", Rule::PatternRemoved),
            ("format", Rule::FormatRemoved),
            ("uniqueItems", Rule::UniqueItemsRemoved),
            ("contains", Rule::ContainsRemoved),
            ("propertyNames", Rule::PropertyNamesRemoved),
            ("not", Rule::NotTypeNarrowed),
            ("if", Rule::ConditionRemoved),
        ] {
            let of = |walk: &Self, facts: &Facts| {
                walk.first(facts, key)
                    .is_some_and(|value| *value != Value::Bool(false))
            };
            if of(self, facts) && !of(self, &read) {
                self.note(rule, writer, reader, key);
            }
        }
        if let (Some(has), Some(wants)) = (self.first(facts, "not"), self.first(&read, "not"))
            && has != wants
        {
            self.note(Rule::NotTypeNarrowed, writer, reader, "not");
        }
        self.looser_objects(writer, facts, reader, &read);
        self.looser_items(writer, facts, reader, &read);
        self.alternatives_added(writer, reader);
    }

    fn note(&mut self, rule: Rule, writer: &All, reader: NodeId, key: &str) {
        let words = format!("{} says less of {key}", self.names[1]);
        self.record(rule, true, writer, reader, key, words);
    }

    fn first<'s>(&'s self, facts: &Facts, key: &str) -> Option<&'s Value> {
        (facts.leaves.iter()).find_map(|leaf| self.docs.keyword(*leaf, key))
    }

    fn tightest(&self, facts: &Facts, bound: &super::numbers::Bound) -> Option<f64> {
        let numbers = facts.leaves.iter();
        let numbers = numbers.filter_map(|leaf| self.docs.keyword(*leaf, bound.key)?.as_f64());
        if bound.low {
            numbers.reduce(f64::max)
        } else {
            numbers.reduce(f64::min)
        }
    }

    fn notes(&mut self, writer: &All, reader: NodeId) {
        let Some(main) = writer.main else { return };
        for (key, rule) in [
            ("title", Rule::TitleChanged),
            ("description", Rule::DescriptionChanged),
            ("default", Rule::DefaultChanged),
        ] {
            if self.docs.keyword(main, key) != self.docs.keyword(reader, key) {
                self.record(rule, true, writer, reader, key, format!("another {key}"));
            }
        }
    }

    fn kinds_and_lists(&mut self, writer: &All, facts: &Facts, reader: NodeId, read: &Facts) {
        let listed = |walk: &Self, facts: &Facts| facts.list.and_then(|node| walk.listed(node));
        match (listed(self, facts), listed(self, read)) {
            (Some(_), None) => self.note(Rule::EnumArrayRemoved, writer, reader, "enum"),
            (Some(has), Some(wants)) => {
                let known: std::collections::BTreeSet<String> =
                    wants.iter().map(ToString::to_string).collect();
                if has.len() < wants.len() && has.iter().all(|one| known.contains(&one.to_string()))
                {
                    let words = format!("{} lists more values", self.names[1]);
                    self.record(Rule::EnumArrayExtended, true, writer, reader, "enum", words);
                }
            }
            (None, _) => {
                let more = read.types.without(facts.types);
                if facts.types.without(read.types).is_empty() && !more.is_empty() {
                    let rule = if more == Types::FRACTION || read.types == Types::ALL {
                        Rule::TypeExtended
                    } else {
                        Rule::SumTypeExtended
                    };
                    let words = format!("{} accepts {} too", self.names[1], more.words());
                    self.record(rule, true, writer, reader, "type", words);
                }
            }
        }
    }

    fn looser_objects(&mut self, writer: &All, facts: &Facts, reader: NodeId, read: &Facts) {
        if !facts.types.meets(Types::OBJECT) {
            return;
        }
        let (has, wants) = (self.required(facts), self.required(read));
        if has.iter().any(|name| !wants.contains(name)) {
            let words = format!("{} requires less", self.names[1]);
            self.record(
                Rule::RequiredAttributeRemoved,
                true,
                writer,
                reader,
                "required",
                words,
            );
        }
        let written = self.all_properties(facts);
        let reading = self.all_properties(read);
        let names = |models: &[std::rc::Rc<super::model::Properties<'_>>]| -> Vec<String> {
            let names = models.iter().flat_map(|model| model.named.keys());
            names.map(|name| (*name).to_owned()).collect()
        };
        for name in names(&written) {
            let known = reading
                .iter()
                .any(|model| model.named.contains_key(name.as_str()));
            let concerned = self.all_concerning(&reading, &name);
            if !known && concerned.iter().all(|node| self.is_trivial(*node)) {
                let words = format!("{} leaves open what {name:?} is", self.names[1]);
                self.record(
                    Rule::PropertyRemovedFromOpen,
                    true,
                    writer,
                    reader,
                    "",
                    words,
                );
            }
        }
        for name in names(&reading) {
            let known = written
                .iter()
                .any(|model| model.named.contains_key(name.as_str()));
            let concerned = self.all_concerning(&reading, &name);
            if !known
                && self.all_concerning(&written, &name).is_empty()
                && concerned.iter().all(|node| self.is_trivial(*node))
            {
                let words = format!("{} names {name:?} and lets it be anything", self.names[1]);
                let rule = Rule::PropertyWithEmptySchemaAddedToOpen;
                self.record(rule, true, writer, reader, "", words);
            }
        }
        for (key, added, extended) in [
            (
                "additionalProperties",
                Rule::AdditionalPropertiesAdded,
                Rule::AdditionalPropertiesExtended,
            ),
            (
                "unevaluatedProperties",
                Rule::UnevaluatedPropertiesAdded,
                Rule::UnevaluatedPropertiesExtended,
            ),
        ] {
            self.opened(writer, facts, reader, read, (key, added, extended));
        }
        let patterns = |models: &[std::rc::Rc<super::model::Properties<'_>>]| -> Vec<String> {
            let patterns = models.iter().flat_map(|model| &model.patterns);
            patterns.map(|(pattern, _)| (*pattern).to_owned()).collect()
        };
        let kept = patterns(&reading);
        if patterns(&written)
            .iter()
            .any(|pattern| !kept.contains(pattern))
        {
            self.note(
                Rule::PatternPropertyRemoved,
                writer,
                reader,
                "patternProperties",
            );
        }
        for key in ["dependentRequired", "dependentSchemas", "dependencies"] {
            self.dependents_removed(writer, facts, reader, read, key);
        }
    }

    /// A content model that was closed or partly so, and is open now.
    fn opened(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        read: &Facts,
        (key, added, extended): (&str, Rule, Rule),
    ) {
        let closing = |walk: &Self, facts: &Facts| {
            walk.first(facts, key)
                .filter(|value| **value != Value::Bool(true))
                .cloned()
        };
        let rule = match (closing(self, facts), closing(self, read)) {
            (Some(Value::Bool(false)), None) => added,
            (Some(Value::Bool(false)), Some(wants)) if wants != Value::Bool(false) => added,
            (Some(_), None) => extended,
            _ => return,
        };
        self.note(rule, writer, reader, key);
    }

    fn dependents_removed(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        read: &Facts,
        key: &str,
    ) {
        let has = self.first(facts, key).and_then(Value::as_object).cloned();
        let wants = self.first(read, key).and_then(Value::as_object).cloned();
        let wants = wants.unwrap_or_default();
        for (name, has) in has.unwrap_or_default() {
            let rule = match (&has, wants.get(&name)) {
                (Value::Array(_), None) => Rule::DependencyArrayRemoved,
                (_, None) => Rule::DependencySchemaRemoved,
                (Value::Array(has), Some(Value::Array(wants)))
                    if wants.len() < has.len() && wants.iter().all(|one| has.contains(one)) =>
                {
                    Rule::DependencyArrayNarrowed
                }
                _ => continue,
            };
            self.note(rule, writer, reader, key);
        }
    }

    fn looser_items(&mut self, writer: &All, facts: &Facts, reader: NodeId, read: &Facts) {
        if !facts.types.meets(Types::ARRAY) {
            return;
        }
        let (written, reading) = (self.all_items(facts), self.all_items(read));
        let length = |items: &[super::model::Items]| {
            items
                .iter()
                .map(|items| items.first.len())
                .max()
                .unwrap_or(0)
        };
        let (has, wants) = (length(&written), length(&reading));
        let at = |items: &[super::model::Items], index| -> Vec<NodeId> {
            items.iter().filter_map(|items| items.at(index)).collect()
        };
        if wants < has
            && at(&reading, wants)
                .iter()
                .all(|node| self.is_trivial(*node))
        {
            self.note(Rule::ItemRemovedFromOpen, writer, reader, "prefixItems");
        }
        if has < wants
            && at(&written, has).is_empty()
            && at(&reading, has).iter().all(|node| self.is_trivial(*node))
        {
            self.note(
                Rule::ItemWithEmptySchemaAddedToOpen,
                writer,
                reader,
                "prefixItems",
            );
        }
        let rest = |walk: &Self, items: &[super::model::Items]| -> Option<Value> {
            let rests = items.iter().filter_map(|items| items.rest);
            let mut rests = rests.filter(|node| !walk.is_trivial(*node));
            rests.next().map(|node| walk.docs.json(node).clone())
        };
        let unevaluated = self.first(facts, "unevaluatedItems").is_some();
        let rule = match (rest(self, &written), rest(self, &reading), unevaluated) {
            (Some(Value::Bool(false)), None, false) => Rule::AdditionalItemsAdded,
            (Some(Value::Bool(false)), None, true) => Rule::UnevaluatedItemsAdded,
            (Some(Value::Bool(false)), Some(wants), unevaluated) if wants != Value::Bool(false) => {
                if unevaluated {
                    Rule::UnevaluatedItemsAdded
                } else {
                    Rule::AdditionalItemsAdded
                }
            }
            (Some(_), None, false) => Rule::AdditionalItemsExtended,
            (Some(_), None, true) => Rule::UnevaluatedItemsExtended,
            _ => return,
        };
        self.note(rule, writer, reader, "items");
    }

    fn alternatives_added(&mut self, writer: &All, reader: NodeId) {
        let Some(main) = writer.main else { return };
        let count = |walk: &mut Self, node, key| walk.docs.list(node, key).len();
        for key in ["anyOf", "oneOf"] {
            let (has, wants) = (count(self, main, key), count(self, reader, key));
            let others = ["allOf", "anyOf", "oneOf"];
            let other = others
                .into_iter()
                .find(|other| *other != key && count(self, main, other) > 0);
            if wants > has && wants > 1 {
                let words = format!("{} has more alternatives", self.names[1]);
                self.record(Rule::SumTypeExtended, true, writer, reader, key, words);
            }
            if has == 0 && wants > 0 && other.is_some_and(|other| count(self, reader, other) == 0) {
                let words = format!("{} asks for less with {key}", self.names[1]);
                self.record(Rule::CombinedTypeExtended, true, writer, reader, key, words);
            }
        }
        if count(self, main, "allOf") > count(self, reader, "allOf") {
            self.note(Rule::ProductTypeNarrowed, writer, reader, "allOf");
        }
    }
}
