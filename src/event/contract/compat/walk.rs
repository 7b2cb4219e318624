//! Whether every value that some subschemas of the writer accept is accepted by one of the reader.
//!
//! Decides by proof: where it cannot prove, it says so, and that counts as incompatible. A pair that is met again
//! further inside a value may be taken for granted (a value is finite: induction over its depth); one that is met again
//! at the same value may not. Depth and work are bounded; either bound ends in `UNDECIDED`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use jsonschema::{Draft, Validator};
use serde_json::Value;

use super::ask::is_assertion;
use super::facts::{All, Facts};
use super::findings::Rule;
use super::model::Properties;
use super::refs::{Documents, NodeId, Side};
use super::types::Types;

/// A step from a value into a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// Into a property.
    Key(String),
    /// Into an item.
    Index(usize),
}

/// A finding as the walk makes it: told from writer to reader.
#[derive(Debug, Clone)]
pub(super) struct Raw<'a> {
    pub(super) rule: Rule,
    pub(super) fits: bool,
    pub(super) writer: String,
    pub(super) reader: String,
    pub(super) written: Option<&'a Value>,
    pub(super) read: Option<&'a Value>,
    pub(super) words: String,
    /// Where in a value it is.
    pub(super) steps: Vec<Step>,
    /// A value there that is known to be refused.
    pub(super) offender: Option<Value>,
    /// What the writer says there.
    pub(super) all: All,
    /// What the reader says there.
    pub(super) node: NodeId,
}

/// What a pair came to.
struct Outcome<'a> {
    yes: bool,
    findings: Vec<Rc<Raw<'a>>>,
}

/// How much may be looked at, in subschemas.
const MOST_WORK: u32 = 40_000;

/// How deep pairs may lie in one another.
const DEEPEST: usize = 80;

/// At most so many findings are kept of one comparison.
const MOST_FINDINGS: usize = 400;

/// One comparison of a writer with a reader.
pub(super) struct Walk<'a> {
    pub(super) docs: Documents<'a>,
    pub(super) lenient: bool,
    /// What the writer and the reader are called in words.
    pub(super) names: [&'static str; 2],
    pub(super) findings: Vec<Rc<Raw<'a>>>,
    pub(super) steps: Vec<Step>,
    pub(super) known_facts: HashMap<All, Rc<Facts>>,
    pub(super) known_properties: HashMap<NodeId, Rc<Properties<'a>>>,
    work: u32,
    pub(super) exhausted: bool,
    open: Vec<(All, NodeId, usize)>,
    /// The outermost open pair that an answer leaned on.
    leaned: usize,
    decided: HashMap<(All, NodeId), Outcome<'a>>,
    pub(super) equal: HashMap<(NodeId, NodeId), bool>,
    pub(super) patterns: HashMap<String, Option<Validator>>,
    pub(super) compiled: HashMap<NodeId, Option<Rc<Validator>>>,
    pub(super) registries: BTreeMap<u8, Option<jsonschema::Registry<'static>>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        writer: &'a Value,
        reader: &'a Value,
        names: [&'static str; 2],
        lenient: bool,
    ) -> Self {
        Self {
            docs: Documents::new(writer, reader),
            lenient,
            names,
            findings: Vec::new(),
            steps: Vec::new(),
            known_facts: HashMap::new(),
            known_properties: HashMap::new(),
            work: MOST_WORK,
            exhausted: false,
            open: Vec::new(),
            leaned: usize::MAX,
            decided: HashMap::new(),
            equal: HashMap::new(),
            patterns: HashMap::new(),
            compiled: HashMap::new(),
            registries: BTreeMap::new(),
        }
    }

    /// Compares the whole documents.
    pub(super) fn run(&mut self) {
        let writer = self.docs.root(Side::Writer);
        let reader = self.docs.root(Side::Reader);
        if self.docs.same {
            return;
        }
        let all = All::of(vec![writer]);
        let covered = [
            Draft::Draft6,
            Draft::Draft7,
            Draft::Draft201909,
            Draft::Draft202012,
        ];
        if !self
            .docs
            .drafts()
            .iter()
            .all(|draft| covered.contains(draft))
        {
            self.undecided(
                &all,
                reader,
                "only 2020-12, 2019-09, draft-07 and draft-06 are compared",
            );
            return;
        }
        let yes = self.contained(&all, reader);
        if !yes && self.findings.iter().all(|one| one.fits) {
            // Also where the work ran out: no is never said without a reason.
            let words = "cannot decide: the schemas are too large to compare".to_owned();
            self.report(Rule::Undecided, &all, reader, "", words);
        }
    }

    /// Takes from the work that may be done; false when none is left.
    pub(super) fn spend(&mut self, work: u32) -> bool {
        let left = self.work.checked_sub(work);
        self.exhausted |= left.is_none();
        self.work = left.unwrap_or(0);
        left.is_some()
    }

    /// How much may still be done.
    pub(super) fn left(&self) -> u32 {
        self.work
    }

    /// Gives some work for what comes after the walk.
    pub(super) fn refresh(&mut self, work: u32) {
        self.work = work;
    }

    /// Whether all that the writer's parts accept is accepted by the reader's subschema; findings say why not.
    pub(super) fn contained(&mut self, writer: &All, reader: NodeId) -> bool {
        if !self.spend(1) {
            return false;
        }
        if let Some(known) = self.decided.get(&(writer.clone(), reader)) {
            let yes = known.yes;
            let room = MOST_FINDINGS.saturating_sub(self.findings.len());
            let again: Vec<_> = known.findings.iter().take(room).map(Rc::clone).collect();
            self.findings.extend(again);
            return yes;
        }
        let again = (self.open.iter()).position(|(all, node, _)| *node == reader && all == writer);
        if let Some(at) = again {
            if self.steps.len() > self.open[at].2 {
                self.leaned = self.leaned.min(at);
                return true;
            }
            return self.undecided(writer, reader, "it refers to itself without an end");
        }
        if self.open.len() >= DEEPEST {
            return self.undecided(
                writer,
                reader,
                "the schemas are nested too deeply to compare",
            );
        }
        let before = self.findings.len();
        let outer = std::mem::replace(&mut self.leaned, usize::MAX);
        let index = self.open.len();
        self.open.push((writer.clone(), reader, self.steps.len()));
        let yes = self.decide(writer, reader);
        self.open.pop();
        let inner = std::mem::replace(&mut self.leaned, usize::MAX);
        // What leaned on a pair that is still open is not proven before that one is.
        if !yes || inner >= index {
            let findings = self.findings[before.min(self.findings.len())..].to_vec();
            self.decided
                .insert((writer.clone(), reader), Outcome { yes, findings });
        }
        let still = if inner < index { inner } else { usize::MAX };
        self.leaned = outer.min(still);
        yes
    }

    /// Tries something; what it found is forgotten if it fails.
    pub(super) fn attempt(&mut self, what: impl FnOnce(&mut Self) -> bool) -> bool {
        let before = self.findings.len();
        let yes = what(self);
        if !yes {
            self.findings.truncate(before);
        }
        yes
    }

    fn decide(&mut self, writer: &All, reader: NodeId) -> bool {
        let facts = self.facts(writer);
        if facts.nothing || facts.types.is_empty() {
            return true;
        }
        if facts.too_many {
            return self.undecided(writer, reader, "it has too many parts to compare");
        }
        let object = match self.docs.json(reader) {
            Value::Bool(false) => {
                let words = format!(
                    "{} accepts nothing here, {} does",
                    self.names[1], self.names[0]
                );
                return self.report(Rule::FalseSchema, writer, reader, "", words);
            }
            Value::Object(object) => object,
            _ => return true,
        };
        if self.is_trivial(reader) {
            return true;
        }
        let equal = |walk: &mut Self, node: &NodeId| walk.equal(*node, reader);
        if facts.leaves.iter().any(|leaf| equal(self, leaf))
            || writer.nodes.iter().any(|node| equal(self, node))
        {
            return true;
        }
        if !object.contains_key("$ref") || !self.docs.ref_is_alone(reader) {
            self.changes(writer, &facts, reader);
        }
        let listed = facts.list.is_some() || facts.types.few();
        if listed && let Some(answer) = self.values(writer, &facts, reader) {
            return answer;
        }
        let Some(union) = facts.unions.first().cloned() else {
            return self.keywords(writer, &facts, reader);
        };
        // Alternatives against alternatives: one by one at once, all together would only cost.
        let alternatives = object.contains_key("anyOf") || object.contains_key("oneOf");
        if !alternatives && self.attempt(|walk| walk.keywords(writer, &facts, reader)) {
            return true;
        }
        let mut yes = true;
        for branch in &union.branches {
            yes &= self.contained(&writer.with(branch), reader);
        }
        yes
    }

    /// Holds the reader's keywords one by one against what the writer says.
    fn keywords(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> bool {
        let Some(object) = self.docs.object(reader) else {
            return true;
        };
        let mut yes = true;
        if let Some(Value::String(to)) = object.get("$ref") {
            yes &= match self.docs.target(reader, to) {
                Ok(target) => self.contained(writer, target),
                Err(why) => self.undecided(writer, reader, why),
            };
            if self.docs.ref_is_alone(reader) {
                return yes;
            }
        }
        if object.contains_key("$dynamicRef") || object.contains_key("$recursiveRef") {
            return self.undecided(writer, reader, "a dynamic reference has no fixed target");
        }
        for member in self.docs.list(reader, "allOf") {
            yes &= self.contained(writer, member);
        }
        let allowed = object.get("type").map_or(Types::ALL, Types::of_keyword);
        let over = facts.types.without(allowed);
        if !over.is_empty() {
            yes = self.types_refused(writer, facts, reader, over);
            if facts.types.and(allowed).is_empty() {
                return yes;
            }
            let narrowed = writer.only(allowed);
            let facts = self.facts(&narrowed);
            return self.by_kind(&narrowed, &facts, reader) && yes;
        }
        self.by_kind(writer, facts, reader) && yes
    }

    fn by_kind(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> bool {
        let mut yes = self.not_listed(writer, reader);
        if facts.types.meets(Types::NUMBER) {
            yes &= self.numbers(writer, facts, reader);
        }
        if facts.types.meets(Types::STRING) {
            yes &= self.strings(writer, facts, reader);
        }
        if facts.types.meets(Types::ARRAY) {
            yes &= self.arrays(writer, facts, reader);
        }
        if facts.types.meets(Types::OBJECT) {
            yes &= self.objects(writer, facts, reader);
        }
        yes & self.combined(writer, facts, reader)
    }

    fn types_refused(&mut self, writer: &All, facts: &Facts, reader: NodeId, over: Types) -> bool {
        let rule = if self.is_chosen(writer) {
            Rule::SumTypeNarrowed
        } else if facts.types.without(over).is_empty() || facts.types == Types::ALL {
            Rule::TypeChanged
        } else if over == Types::FRACTION && facts.types.and(Types::NUMBER) == Types::NUMBER {
            Rule::TypeNarrowed
        } else {
            Rule::SumTypeNarrowed
        };
        let words = format!(
            "{} accepts {}, {} does not",
            self.names[0],
            over.words(),
            self.names[1]
        );
        self.report(rule, writer, reader, "type", words)
    }

    /// A list of values in the reader that the writer does not have.
    fn not_listed(&mut self, writer: &All, reader: NodeId) -> bool {
        let key = match self.docs.object(reader) {
            Some(object) if object.contains_key("const") => "const",
            Some(object) if object.contains_key("enum") => "enum",
            _ => return true,
        };
        let words = format!(
            "{} accepts only listed values, {} others too",
            self.names[1], self.names[0]
        );
        self.report(Rule::EnumArrayAdded, writer, reader, key, words)
    }

    /// Compares value by value where the writer has few. `None` where that cannot be done.
    fn values(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> Option<bool> {
        let few;
        let list: &[Value] = if let Some(node) = facts.list {
            self.listed(node)?
        } else {
            few = [Value::Null, Value::Bool(false), Value::Bool(true)];
            &few
        };
        let known: BTreeSet<String> = (self.listed(reader).unwrap_or_default().iter())
            .map(ToString::to_string)
            .collect();
        // Compiling is dear: a list of plain values is compared by what is written.
        let plain = self.is_plain_list(reader);
        let floats = (self.listed(reader).unwrap_or_default().iter()).any(Value::is_f64);
        let mut refused = Vec::new();
        let mut kept = 0;
        for value in list {
            if !self.spend(1) {
                return None;
            }
            if !facts.types.meets(Types::of_value(value)) {
                continue;
            }
            let simple = matches!(value, Value::Null | Value::Bool(_) | Value::String(_))
                || value.is_i64() && !floats;
            let kept_too = plain && known.contains(&value.to_string())
                || !(plain && simple) && self.compile(reader)?.is_valid(value);
            if kept_too {
                kept += 1;
                continue;
            }
            let only =
                facts.leaves.len() == 1 && facts.list.is_some_and(|node| self.is_plain_list(node));
            if only || self.accepted(writer, value)? {
                refused.push(value.clone());
                if refused.len() >= 4 {
                    break;
                }
            }
        }
        let Some(offender) = refused.first().cloned() else {
            return Some(true);
        };
        Some(self.values_refused(writer, facts, reader, &refused, kept, offender))
    }

    /// Whether a subschema is nothing but a list of values.
    fn is_plain_list(&self, node: NodeId) -> bool {
        self.docs.object(node).is_some_and(|object| {
            let list = |key: &str| key == "enum" || key == "const";
            object.keys().filter(|key| is_assertion(key)).count() == 1
                && object.keys().any(|key| list(key))
        })
    }

    fn values_refused(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        refused: &[Value],
        kept: usize,
        offender: Value,
    ) -> bool {
        let written = facts.list.and_then(|node| self.listed(node));
        let rule = match (self.listed(reader), written) {
            (Some(read), Some(written)) => {
                if kept > 0 && read.iter().all(|value| written.contains(value)) {
                    Rule::EnumArrayNarrowed
                } else {
                    Rule::EnumArrayChanged
                }
            }
            (Some(_), None) => Rule::EnumArrayAdded,
            (None, _) => {
                let allowed = self.docs.keyword(reader, "type");
                let allowed = allowed.map_or(Types::ALL, Types::of_keyword);
                if refused
                    .iter()
                    .all(|value| !allowed.meets(Types::of_value(value)))
                {
                    if kept > 0 {
                        Rule::SumTypeNarrowed
                    } else {
                        Rule::TypeChanged
                    }
                } else {
                    Rule::ValueRefused
                }
            }
        };
        let key = match rule {
            Rule::SumTypeNarrowed | Rule::TypeChanged => "type",
            Rule::ValueRefused => "",
            _ if self.docs.keyword(reader, "const").is_some() => "const",
            _ => "enum",
        };
        let mut shown: Vec<_> = (refused.iter().take(3))
            .map(|value| shortened(&value.to_string()))
            .collect();
        if refused.len() > 3 {
            shown.push("…".to_owned());
        }
        let words = format!("{} does not accept {}", self.names[1], shown.join(", "));
        self.report(rule, writer, reader, key, words);
        self.offend(offender);
        false
    }

    /// Says of the last finding which value breaks it.
    fn offend(&mut self, offender: Value) {
        if let Some(last) = self.findings.last_mut() {
            Rc::make_mut(last).offender = Some(offender);
        }
    }

    /// Whether the pair at hand is the first that looks at its value.
    pub(super) fn is_first_look(&self) -> bool {
        match self.open.as_slice() {
            [.., outer, _] => outer.2 < self.steps.len(),
            _ => true,
        }
    }

    /// Where the writer says something: the part that a finding points at.
    pub(super) fn part_with(&self, writer: &All, facts: &Facts, key: &str) -> Option<NodeId> {
        let has = |node: &NodeId| self.docs.keyword(*node, key).is_some();
        writer
            .main
            .filter(has)
            .or_else(|| facts.leaves.iter().copied().find(has))
    }

    /// Records a finding at a keyword (or at the subschema itself); false, so that it can be an answer.
    pub(super) fn report(
        &mut self,
        rule: Rule,
        writer: &All,
        reader: NodeId,
        key: &str,
        words: String,
    ) -> bool {
        self.record(rule, rule.fits(), writer, reader, key, words);
        false
    }

    /// Records a finding that may fit where its rule does not.
    pub(super) fn record(
        &mut self,
        rule: Rule,
        fits: bool,
        writer: &All,
        reader: NodeId,
        key: &str,
        words: String,
    ) {
        if self.findings.len() >= MOST_FINDINGS {
            return;
        }
        let facts = self.facts(writer);
        let place = |walk: &Self, node: NodeId| match walk.docs.keyword(node, key) {
            Some(value) => (
                super::refs::joined(walk.docs.pointer(node), key),
                Some(value),
            ),
            None => (
                walk.docs.pointer(node).to_owned(),
                key.is_empty().then(|| walk.docs.json(node)),
            ),
        };
        let at = match key {
            "" => writer.main,
            _ => self.part_with(writer, &facts, key).or(writer.main),
        };
        let (pointer, written) = match at {
            Some(node) => place(self, node),
            None => (String::new(), None),
        };
        let (reader_pointer, read) = place(self, reader);
        self.findings.push(Rc::new(Raw {
            rule,
            fits,
            writer: pointer,
            reader: reader_pointer,
            written,
            read,
            words,
            steps: self.steps.clone(),
            offender: None,
            all: writer.clone(),
            node: reader,
        }));
    }

    /// Says that it cannot be told; false.
    pub(super) fn undecided(&mut self, writer: &All, reader: NodeId, why: &str) -> bool {
        let words = format!("cannot decide: {why}");
        self.report(Rule::Undecided, writer, reader, "", words)
    }
}

/// A quoted value in words: not longer than a line can bear.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    let head: String = text.chars().take(59).collect();
    format!("{head}…")
}
