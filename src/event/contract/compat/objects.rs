//! Objects: what must be there, what may be, and what depends on what.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::facts::{All, Facts};
use super::findings::Rule;
use super::model::Properties;
use super::numbers::PROPERTIES;
use super::refs::NodeId;
use super::sample;
use super::walk::{Step, Walk, shortened};

/// Names that are not listed: those that fit a pattern of the reader, or all others.
#[derive(Clone, Copy)]
enum Class<'c> {
    Pattern(&'c str),
    Rest,
}

impl<'a> Walk<'a> {
    pub(super) fn objects(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> bool {
        let written = self.all_properties(facts);
        let required = self.required(facts);
        let mut yes = self.must_be_there(writer, reader, &written, &required);
        let most = self.most_properties(&written);
        let counts = (required.len() as u64, most);
        yes &= self.counts(writer, facts, reader, &PROPERTIES, counts);
        let read = self.properties(reader);
        yes &= self.content(
            writer,
            reader,
            &written,
            &required,
            &read,
            "additionalProperties",
        );
        if self.docs.keyword(reader, "unevaluatedProperties").is_some() {
            yes &= match self.unevaluated_properties(reader) {
                Some((read, false)) => self.content(
                    writer,
                    reader,
                    &written,
                    &required,
                    &read,
                    "unevaluatedProperties",
                ),
                Some((read, true)) if read.rest.is_some_and(|rest| self.is_trivial(rest)) => true,
                _ => self.undecided(
                    writer,
                    reader,
                    "what unevaluatedProperties concerns depends on alternatives",
                ),
            };
        }
        yes &= self.property_names(writer, facts, reader, &written);
        yes & self.dependents(writer, facts, reader, &written, &required)
    }

    /// How many properties the writer allows, if it lists them all.
    fn most_properties(&self, written: &[Rc<Properties<'a>>]) -> Option<u64> {
        (written.iter())
            .filter(|model| model.patterns.is_empty())
            .filter(|model| (model.rest).is_some_and(|rest| self.is_false(rest)))
            .map(|model| model.named.len() as u64)
            .min()
    }

    pub(super) fn is_false(&self, node: NodeId) -> bool {
        *self.docs.json(node) == Value::Bool(false)
    }

    /// Whether the parts leave no value at all.
    fn is_nothing(&mut self, nodes: &[NodeId]) -> bool {
        let facts = self.facts(&All::of(nodes.to_vec()));
        facts.nothing || facts.types.is_empty()
    }

    fn must_be_there(
        &mut self,
        writer: &All,
        reader: NodeId,
        written: &[Rc<Properties<'a>>],
        required: &BTreeSet<&'a str>,
    ) -> bool {
        let Some(Value::Array(wanted)) = self.docs.keyword(reader, "required") else {
            return true;
        };
        let mut yes = true;
        for name in wanted.iter().filter_map(Value::as_str) {
            if required.contains(name) {
                continue;
            }
            let named = written.iter().any(|model| model.named.contains_key(name));
            let open = self.all_concerning(written, name).is_empty();
            let default = self.has_default(reader, name);
            let rule = match (named, open, default) {
                (true, _, false) => Rule::RequiredAttributeAdded,
                (true, _, true) => Rule::RequiredAttributeWithDefaultAdded,
                (false, true, false) => Rule::RequiredPropertyAddedToOpen,
                (false, true, true) => Rule::RequiredPropertyWithDefaultAddedToOpen,
                (false, false, false) => Rule::RequiredPropertyAddedToUnopen,
                (false, false, true) => Rule::RequiredPropertyWithDefaultAddedToUnopen,
            };
            let lenient = self.lenient && default;
            let mut words = format!(
                "{} requires {}, {} does not",
                self.names[1],
                quoted(name),
                self.names[0]
            );
            if lenient {
                words.push_str("; lenient: it has a default");
            } else if default {
                words.push_str("; its default is filled in by nobody");
            }
            self.record(rule, lenient, writer, reader, "required", words);
            yes &= lenient;
        }
        yes
    }

    fn has_default(&mut self, reader: NodeId, name: &str) -> bool {
        let properties = self.properties(reader);
        let mut at = properties.named.get(name).copied().flatten();
        for _ in 0..8 {
            let Some(node) = at else { return false };
            if self.docs.keyword(node, "default").is_some() {
                return true;
            }
            at = match self.docs.keyword(node, "$ref") {
                Some(Value::String(to)) => self.docs.target(node, to).ok(),
                _ => None,
            };
        }
        false
    }

    /// Holds one content model of the reader against all of the writer's.
    fn content(
        &mut self,
        writer: &All,
        reader: NodeId,
        written: &[Rc<Properties<'a>>],
        required: &BTreeSet<&'a str>,
        read: &Properties<'a>,
        key: &str,
    ) -> bool {
        let mut names: BTreeSet<&'a str> = read.named.keys().copied().collect();
        if read.rest.is_some() || !read.patterns.is_empty() {
            names.extend(written.iter().flat_map(|model| model.named.keys().copied()));
        }
        let mut yes = true;
        for name in names {
            if !self.spend(1) {
                return false;
            }
            let wanted: Vec<NodeId> = self.concerning(read, name);
            let wanted: Vec<NodeId> = (wanted.into_iter())
                .filter(|node| !self.is_trivial(*node))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let has = self.all_concerning(written, name);
            let is_written = written.iter().any(|model| model.named.contains_key(name));
            let is_read = read.named.contains_key(name);
            self.steps.push(Step::Key(name.to_owned()));
            for node in wanted {
                let place = Place {
                    writer,
                    reader,
                    name,
                    must: required.contains(name),
                };
                yes &= match (is_written, is_read) {
                    (true, true) => self.contained(&All::of(has.clone()), node),
                    (false, _) => self.added(&place, &has, node),
                    (true, false) => self.gone(&place, &has, node),
                };
            }
            self.steps.pop();
        }
        for (pattern, wanted) in &read.patterns {
            if let Some(wanted) = wanted {
                yes &= self.class(writer, written, read, Class::Pattern(pattern), *wanted, key);
            }
        }
        if let Some(rest) = read.rest {
            yes &= self.class(writer, written, read, Class::Rest, rest, key);
        }
        yes
    }

    /// A property that only the reader names.
    fn added(&mut self, place: &Place<'_>, has: &[NodeId], node: NodeId) -> bool {
        let all = All {
            main: place.writer.main,
            ..All::of(has.to_vec())
        };
        if !has.is_empty() {
            return self.covered(
                &All::of(has.to_vec()),
                node,
                place,
                Rule::PropertyAddedNotCovered,
            );
        }
        let must = self.docs.keyword(place.reader, "required");
        let must = (must.and_then(Value::as_array))
            .is_some_and(|list| list.iter().any(|one| one.as_str() == Some(place.name)));
        if must && !place.must {
            // Said already: the writer does not always bring it.
            return self.lenient && self.has_default(place.reader, place.name);
        }
        let rule = if place.must {
            Rule::RequiredPropertyAddedToOpen
        } else {
            Rule::OptionalPropertyAddedToOpen
        };
        let lenient = self.lenient && !place.must;
        let words = format!(
            "{} says what {} is, {} lets it be anything{}",
            self.names[1],
            quoted(place.name),
            self.names[0],
            if lenient {
                "; lenient: nobody wrote it before"
            } else {
                ""
            }
        );
        self.record(rule, lenient, &all, node, "", words);
        lenient
    }

    /// A property that only the writer names, and that the reader does not let be anything.
    fn gone(&mut self, place: &Place<'_>, has: &[NodeId], node: NodeId) -> bool {
        if !self.is_false(node) {
            return self.covered(
                &All::of(has.to_vec()),
                node,
                place,
                Rule::PropertyRemovedNotCovered,
            );
        }
        if self.is_nothing(has) {
            let words = format!("{}: never there, and no longer named", quoted(place.name));
            let rule = Rule::PropertyWithFalseRemovedFromClosed;
            self.record(rule, true, &All::of(has.to_vec()), node, "", words);
            return true;
        }
        let lenient = self.lenient && !place.must;
        let words = format!(
            "{} does not know {} and accepts nothing that it does not know{}",
            self.names[1],
            quoted(place.name),
            if lenient {
                "; lenient: unknown properties are ignored"
            } else {
                ""
            }
        );
        let all = All::of(has.to_vec());
        self.record(
            Rule::PropertyRemovedFromClosed,
            lenient,
            &all,
            node,
            "",
            words,
        );
        lenient
    }

    fn covered(&mut self, all: &All, node: NodeId, place: &Place<'_>, rule: Rule) -> bool {
        let before = self.findings.len();
        if self.contained(all, node) {
            let closed = self.is_nothing(&all.nodes);
            let (fits, words) = match rule {
                Rule::PropertyAddedNotCovered if closed => {
                    (Rule::OptionalPropertyAddedToUnopen, "accepts it now")
                }
                Rule::PropertyAddedNotCovered => (Rule::PropertyAddedIsCovered, "names it now"),
                _ => (Rule::PropertyRemovedIsCovered, "no longer names it"),
            };
            let words = format!("{}: {} {words}", quoted(place.name), self.names[1]);
            self.record(fits, true, all, node, "", words);
            return true;
        }
        let words = format!(
            "{}: what one version says of all other properties does not fit what the other says of it",
            quoted(place.name)
        );
        if self.lenient && !place.must {
            self.findings.truncate(before);
            self.record(rule, true, all, node, "", format!("{words}; lenient"));
            return true;
        }
        self.report(rule, all, node, "", words)
    }

    /// Names that are not listed.
    fn class(
        &mut self,
        writer: &All,
        written: &[Rc<Properties<'a>>],
        read: &Properties<'a>,
        class: Class<'_>,
        wanted: NodeId,
        key: &str,
    ) -> bool {
        if self.is_trivial(wanted) {
            return true;
        }
        let name = self.fresh_name(written, read, class);
        self.steps.push(Step::Key(name));
        let yes = self.class_holds(writer, written, read, class, wanted, key);
        self.steps.pop();
        yes
    }

    fn class_holds(
        &mut self,
        writer: &All,
        written: &[Rc<Properties<'a>>],
        read: &Properties<'a>,
        class: Class<'_>,
        wanted: NodeId,
        key: &str,
    ) -> bool {
        let mut told: Vec<Vec<Option<NodeId>>> = Vec::new();
        for model in written {
            let same = |pattern: &str| model.patterns.iter().find(|(other, _)| *other == pattern);
            let mut options = Vec::new();
            match class {
                Class::Pattern(pattern) if same(pattern).is_some() => {
                    options.extend(same(pattern).map(|(_, at)| *at));
                }
                Class::Pattern(_) => {
                    options.extend(model.patterns.iter().map(|(_, at)| *at));
                    options.push(model.rest);
                }
                Class::Rest => {
                    let others = model.patterns.iter().filter(|(pattern, _)| {
                        read.patterns.iter().all(|(other, _)| other != pattern)
                    });
                    options.extend(others.map(|(_, at)| *at));
                    options.push(model.rest);
                }
            }
            let holds = self.attempt(|walk| {
                (options.iter()).all(|option| match option {
                    Some(option) => walk.contained(&All::of(vec![*option]), wanted),
                    None => false,
                })
            });
            if holds {
                return true;
            }
            told.push(options);
        }
        // The reasons, by the model that says most.
        let closed = self.is_false(wanted);
        let best = (told.into_iter()).find(|options| options.iter().all(Option::is_some));
        if let (Some(options), false) = (&best, closed) {
            for option in options.iter().flatten() {
                self.contained(&All::of(vec![*option]), wanted);
            }
            return false;
        }
        let rule = match (class, key) {
            (Class::Pattern(_), _) => Rule::PatternPropertyAdded,
            (Class::Rest, "unevaluatedProperties") if closed => Rule::UnevaluatedPropertiesRemoved,
            (Class::Rest, "unevaluatedProperties") => Rule::UnevaluatedPropertiesNarrowed,
            (Class::Rest, _) if closed => Rule::AdditionalPropertiesRemoved,
            (Class::Rest, _) => Rule::AdditionalPropertiesNarrowed,
        };
        let words = match class {
            Class::Pattern(pattern) => format!(
                "{} says what properties like {} are, {} does not",
                self.names[1],
                quoted(pattern),
                self.names[0]
            ),
            Class::Rest if closed => format!(
                "{} accepts no properties that it does not name, {} does",
                self.names[1], self.names[0]
            ),
            Class::Rest => format!(
                "{} says what properties are that it does not name, {} lets them be anything",
                self.names[1], self.names[0]
            ),
        };
        self.report(rule, writer, wanted, "", words)
    }

    /// A name of a class that neither version lists.
    fn fresh_name(
        &mut self,
        written: &[Rc<Properties<'a>>],
        read: &Properties<'a>,
        class: Class<'_>,
    ) -> String {
        let mut candidates = Vec::new();
        match class {
            Class::Pattern(pattern) => candidates.extend(sample::fitting(pattern)),
            Class::Rest => {
                candidates.extend(["extra", "x", "0", "other_1"].map(ToOwned::to_owned));
                for model in written {
                    for (pattern, _) in model.patterns.iter().take(4) {
                        candidates.extend(sample::fitting(pattern));
                    }
                }
            }
        }
        for name in candidates {
            let listed = read.named.contains_key(name.as_str())
                || written
                    .iter()
                    .any(|model| model.named.contains_key(name.as_str()));
            let fits = match class {
                Class::Pattern(pattern) => self.matches(pattern, &name),
                Class::Rest => {
                    (read.patterns.iter()).all(|(pattern, _)| !self.matches(pattern, &name))
                }
            };
            if fits && !listed && !self.is_closed_to(written, &name) {
                return name;
            }
        }
        "extra".to_owned()
    }

    fn is_closed_to(&mut self, written: &[Rc<Properties<'a>>], name: &str) -> bool {
        let concerning = self.all_concerning(written, name);
        concerning.into_iter().any(|node| self.is_false(node))
    }

    fn property_names(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        written: &[Rc<Properties<'a>>],
    ) -> bool {
        let Some(wanted) = self.docs.child(reader, "propertyNames") else {
            return true;
        };
        if self.is_trivial(wanted) {
            return true;
        }
        let mut has = Vec::new();
        for leaf in &facts.leaves {
            has.extend(self.docs.child(*leaf, "propertyNames"));
        }
        let strings = All::of(has.clone()).only(super::types::Types::STRING);
        if self.attempt(|walk| walk.contained(&strings, wanted)) {
            return true;
        }
        let names: Option<Vec<&'a str>> = (written.iter())
            .filter(|model| model.patterns.is_empty())
            .find(|model| model.rest.is_some_and(|rest| self.is_false(rest)))
            .map(|model| model.named.keys().copied().collect());
        if let (Some(names), Some(validator)) = (names, self.compile(wanted)) {
            let fits = |name: &&str| validator.is_valid(&Value::String((*name).to_owned()));
            if names.iter().all(fits) {
                return true;
            }
        }
        let words = format!(
            "{} wants property names that {} does not keep to",
            self.names[1], self.names[0]
        );
        self.report(
            Rule::PropertyNamesAdded,
            writer,
            reader,
            "propertyNames",
            words,
        )
    }

    fn dependents(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        written: &[Rc<Properties<'a>>],
        required: &BTreeSet<&'a str>,
    ) -> bool {
        let mut yes = true;
        for key in ["dependentRequired", "dependencies"] {
            let Some(Value::Object(map)) = self.docs.keyword(reader, key) else {
                continue;
            };
            for (name, wanted) in map {
                let Value::Array(wanted) = wanted else {
                    continue;
                };
                let concerning = self.all_concerning(written, name);
                if !concerning.is_empty() && self.is_nothing(&concerning) {
                    continue;
                }
                let wanted: BTreeSet<&str> = wanted.iter().filter_map(Value::as_str).collect();
                let has = self.dependent_names(facts, name);
                let known = |one: &&str| {
                    required.contains(one)
                        || *one == name
                        || has.as_ref().is_some_and(|has| has.contains(one))
                };
                if wanted.iter().all(known) {
                    continue;
                }
                let rule = match &has {
                    None => Rule::DependencyArrayAdded,
                    Some(has) if has.is_subset(&wanted) => Rule::DependencyArrayExtended,
                    Some(_) => Rule::DependencyArrayChanged,
                };
                let missing = wanted.iter().find(|one| !known(one)).copied();
                let words = format!(
                    "{} requires {} wherever there is {}, {} does not",
                    self.names[1],
                    quoted(missing.unwrap_or_default()),
                    quoted(name),
                    self.names[0]
                );
                yes = self.report(rule, writer, reader, key, words);
            }
        }
        for key in ["dependentSchemas", "dependencies"] {
            for (name, wanted) in self.docs.map(reader, key) {
                if matches!(self.docs.json(wanted), Value::Array(_)) {
                    continue;
                }
                let concerning = self.all_concerning(written, name);
                if !concerning.is_empty() && self.is_nothing(&concerning) {
                    continue;
                }
                let mut has = Vec::new();
                for leaf in &facts.leaves {
                    for key in ["dependentSchemas", "dependencies"] {
                        let of = self.docs.map(*leaf, key).into_iter();
                        has.extend(of.filter(|(other, _)| *other == name).map(|(_, at)| at));
                    }
                }
                has.retain(|at| !matches!(self.docs.json(*at), Value::Array(_)));
                if has.is_empty() {
                    if self.attempt(|walk| walk.contained(writer, wanted)) {
                        continue;
                    }
                    let words = format!(
                        "{} wants more wherever there is {}, {} does not",
                        self.names[1],
                        quoted(name),
                        self.names[0]
                    );
                    yes = self.report(Rule::DependencySchemaAdded, writer, wanted, "", words);
                } else {
                    yes &= self.contained(&writer.with(&has), wanted);
                }
            }
        }
        yes
    }

    /// What the writer requires wherever there is `name`; `None` if it says nothing of it.
    fn dependent_names(&self, facts: &Facts, name: &str) -> Option<BTreeSet<&'a str>> {
        let mut has: Option<BTreeSet<&'a str>> = None;
        for leaf in &facts.leaves {
            for key in ["dependentRequired", "dependencies"] {
                if key == "dependentRequired" && self.docs.ref_is_alone(*leaf) {
                    continue;
                }
                let map = self.docs.keyword(*leaf, key).and_then(Value::as_object);
                if let Some(Value::Array(list)) = map.and_then(|map| map.get(name)) {
                    let names = list.iter().filter_map(Value::as_str);
                    has.get_or_insert_default().extend(names);
                }
            }
        }
        has
    }
}

/// A property and where it is.
struct Place<'p> {
    writer: &'p All,
    reader: NodeId,
    name: &'p str,
    /// The writer always brings it.
    must: bool,
}

/// A name in words.
pub(super) fn quoted(name: &str) -> String {
    shortened(&format!("{name:?}"))
}
