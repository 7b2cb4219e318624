//! Alternatives, exclusions and conditions of the reader.

use super::facts::{All, Facts};
use super::findings::Rule;
use super::refs::NodeId;
use super::types::Types;
use super::walk::Walk;

/// `if` with what follows from it.
pub(super) struct Condition {
    pub(super) when: NodeId,
    pub(super) then: Option<NodeId>,
    pub(super) otherwise: Option<NodeId>,
}

impl Walk<'_> {
    pub(super) fn condition(&mut self, node: NodeId) -> Option<Condition> {
        let when = self.docs.child(node, "if")?;
        let condition = Condition {
            when,
            then: self.docs.child(node, "then"),
            otherwise: self.docs.child(node, "else"),
        };
        (condition.then.is_some() || condition.otherwise.is_some()).then_some(condition)
    }

    pub(super) fn combined(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> bool {
        let any = self.docs.list(reader, "anyOf");
        let one = self.docs.list(reader, "oneOf");
        let mut yes = any.is_empty() || self.alternatives(writer, facts, reader, ("anyOf", &any));
        yes &= one.is_empty() || self.alternatives(writer, facts, reader, ("oneOf", &one));
        if let Some(never) = self.docs.child(reader, "not")
            && !self.excluded(writer, facts, never)
        {
            let words = format!("{} excludes what {} accepts", self.names[1], self.names[0]);
            yes = self.report(Rule::NotTypeExtended, writer, reader, "not", words);
        }
        match self.condition(reader) {
            Some(condition) => self.conditional(writer, facts, reader, &condition) && yes,
            None => yes,
        }
    }

    /// `anyOf`, and `oneOf` where all others are excluded.
    fn alternatives(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        (key, branches): (&str, &[NodeId]),
    ) -> bool {
        if let [only] = branches {
            return self.contained(writer, *only);
        }
        let mut fits_some = false;
        // The one in the same place is the likeliest.
        let mut order: Vec<NodeId> = branches.to_vec();
        let place = writer
            .main
            .and_then(|main| self.docs.pointer(main).rsplit('/').next()?.parse().ok());
        if let Some(place) = place.filter(|place| *place < order.len()) {
            order.swap(0, place);
        }
        for branch in order {
            if !self.attempt(|walk| walk.contained(writer, branch)) {
                continue;
            }
            fits_some = true;
            let others = || branches.iter().filter(|other| **other != branch);
            if key == "anyOf" || others().all(|other| self.excluded(writer, facts, *other)) {
                return true;
            }
            if self.exhausted {
                break;
            }
        }
        if self.exhausted {
            return false;
        }
        if facts.types.count() > 1 {
            let mut yes = true;
            for kind in Types::KINDS {
                if facts.types.meets(kind) {
                    let narrowed = writer.only(kind);
                    let facts = self.facts(&narrowed);
                    yes &= facts.nothing
                        || self.alternatives(&narrowed, &facts, reader, (key, branches));
                }
            }
            return yes;
        }
        self.no_alternative(writer, facts, reader, (key, branches), fits_some)
    }

    fn no_alternative(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        (key, branches): (&str, &[NodeId]),
        fits_some: bool,
    ) -> bool {
        if fits_some {
            let rule = match self.part_with(writer, facts, key) {
                None if self.part_with(writer, facts, "anyOf").is_some() => {
                    Rule::CombinedTypeChanged
                }
                _ => Rule::CombinedTypeSubschemasChanged,
            };
            let words = format!(
                "more than one alternative of {} may accept what {} accepts",
                self.names[1], self.names[0]
            );
            return self.report(rule, writer, reader, key, words);
        }
        let mut near = Vec::new();
        for branch in branches.iter().take(64) {
            let of = self.facts(&All::of(vec![*branch]));
            if of.types.meets(facts.types) && !of.nothing {
                near.push(*branch);
            }
        }
        if let [only] = near.as_slice() {
            return self.contained(writer, *only);
        }
        let chosen = self.is_chosen(writer);
        let rule = match (
            near.is_empty(),
            chosen || self.is_part_of_more(writer, facts),
        ) {
            (_, true) => Rule::SumTypeNarrowed,
            (true, false) => Rule::TypeChanged,
            (false, false) => Rule::CombinedTypeSubschemasChanged,
        };
        let words = format!(
            "no alternative of {} accepts this {} of {}",
            self.names[1],
            facts.types.words(),
            self.names[0]
        );
        self.report(rule, writer, reader, key, words)
    }

    /// Whether what is pointed at is one alternative of several.
    pub(super) fn is_chosen(&self, writer: &All) -> bool {
        writer.main.is_some_and(|main| {
            let mut parts = self.docs.pointer(main).rsplit('/').skip(1);
            parts
                .next()
                .is_some_and(|key| key == "anyOf" || key == "oneOf")
        })
    }

    /// Whether the parts, of all kinds, let through more than the kinds at hand.
    fn is_part_of_more(&mut self, writer: &All, facts: &Facts) -> bool {
        let whole = All {
            types: Types::ALL,
            ..writer.clone()
        };
        let whole = self.facts(&whole);
        whole.types != facts.types && whole.types != Types::ALL
    }

    /// Whether nothing that the writer's parts accept is accepted by a subschema.
    fn excluded(&mut self, writer: &All, facts: &Facts, never: NodeId) -> bool {
        if self.vacant(&writer.with(&[never]), 4) {
            return true;
        }
        // What the writer excludes itself: by `not`, or because it chose another of its `oneOf`.
        let mut excluded = Vec::new();
        for leaf in facts.leaves.clone() {
            excluded.extend(self.docs.child(leaf, "not"));
            let branches = self.docs.list(leaf, "oneOf");
            let chosen = branches
                .iter()
                .position(|branch| writer.nodes.contains(branch));
            if let Some(chosen) = chosen {
                let others = branches.iter().enumerate().filter(|(at, _)| *at != chosen);
                excluded.extend(others.map(|(_, branch)| *branch));
            }
        }
        if excluded.iter().any(|other| self.equal(never, *other)) {
            return true;
        }
        let all = All::of(vec![never]);
        excluded
            .into_iter()
            .any(|other| self.quietly(|walk| walk.contained(&all, other)))
    }

    /// Asks without keeping what is found.
    fn quietly(&mut self, what: impl FnOnce(&mut Self) -> bool) -> bool {
        let before = self.findings.len();
        let yes = what(self);
        self.findings.truncate(before);
        yes
    }

    fn conditional(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        condition: &Condition,
    ) -> bool {
        let mut known = Vec::new();
        for leaf in facts.leaves.clone() {
            known.extend(self.condition(leaf));
        }
        let mut yes = true;
        if let Some(then) = condition.then {
            let mut more = vec![condition.when];
            let when = All::of(vec![condition.when]);
            for one in &known {
                if self.equal(condition.when, one.when)
                    || self.quietly(|walk| walk.contained(&when, one.when))
                {
                    more.extend(one.then);
                }
            }
            yes &= self.follows(&writer.with(&more), then);
        }
        if let Some(otherwise) = condition.otherwise
            && !self.vacates(writer, facts, condition.when)
        {
            let mut more = Vec::new();
            for one in &known {
                let when = All::of(vec![one.when]);
                if self.equal(one.when, condition.when)
                    || self.quietly(|walk| walk.contained(&when, condition.when))
                {
                    more.extend(one.otherwise);
                }
            }
            yes &= self.follows(&writer.with(&more), otherwise);
        }
        if yes {
            return true;
        }
        let words = format!(
            "{} wants under a condition what {} does not promise",
            self.names[1], self.names[0]
        );
        self.report(Rule::ConditionChanged, writer, reader, "if", words)
    }

    fn follows(&mut self, all: &All, node: NodeId) -> bool {
        self.attempt(|walk| walk.contained(all, node))
    }

    /// Whether all that the writer accepts keeps to the condition, so that `else` never counts.
    fn vacates(&mut self, writer: &All, facts: &Facts, when: NodeId) -> bool {
        facts.nothing || self.quietly(|walk| walk.contained(writer, when))
    }
}
