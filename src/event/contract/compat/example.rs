//! Instances of a schema, made to break another one: candidates around the place of a finding, with boundary values of
//! both versions. Only the validators decide whether one is a counterexample.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Map, Number, Value, json};

use super::super::Schema;
use super::facts::{All, Facts};
use super::refs::{NodeId, Side};
use super::sample;
use super::types::Types;
use super::walk::{Raw, Step, Walk};

/// At most so many candidates are made of one value.
const MOST_CANDIDATES: usize = 160;

/// How deep values are made.
const DEEPEST: usize = 6;

/// How much may be looked at for one finding, in subschemas.
const MOST_WORK: u32 = 2_000;

/// How much may be looked at for all findings, in subschemas and in parts that validators go through.
const MOST_WORK_OF_ALL: usize = 400_000;

/// The longest string or array that is made.
const LONGEST: u64 = 300;

/// Looks for counterexamples of one comparison.
pub(super) struct Search<'w, 'a> {
    walk: &'w mut Walk<'a>,
    writer: &'w Schema,
    reader: &'w Schema,
    left: usize,
}

impl<'w, 'a> Search<'w, 'a> {
    pub(super) fn new(walk: &'w mut Walk<'a>, writer: &'w Schema, reader: &'w Schema) -> Self {
        Self {
            walk,
            writer,
            reader,
            left: MOST_WORK_OF_ALL,
        }
    }

    /// An instance that the writer accepts and the reader refuses.
    pub(super) fn find(&mut self, finding: &Raw<'a>) -> Option<Value> {
        if self.left == 0 {
            return None;
        }
        self.walk.refresh(MOST_WORK);
        let found = self.around(finding);
        let worked = MOST_WORK - self.walk.left();
        self.left = self.left.saturating_sub(worked as usize * 20);
        found
    }

    fn around(&mut self, finding: &Raw<'a>) -> Option<Value> {
        let root = self.walk.docs.root(Side::Writer);
        let whole = All::of(vec![root]);
        let mut values = Vec::new();
        if let Some(offender) = &finding.offender {
            values.push(offender.clone());
        }
        values.extend(self.candidates(&finding.all, Some(finding.node), 0));
        let placed = self.placed(&whole, &finding.steps, &values, 0);
        if let Some(found) = self.shortest(placed) {
            return Some(found);
        }
        let reader = self.walk.docs.root(Side::Reader);
        let anything = self.candidates(&whole, Some(reader), 0);
        self.shortest(anything)
    }

    /// The first counterexample, or a shorter one soon after it.
    fn shortest(&mut self, candidates: Vec<Value>) -> Option<Value> {
        let cost = 1 + self.walk.docs.size();
        let mut found: Option<(usize, Value)> = None;
        let mut since = 0;
        for value in candidates {
            if self.left < cost || since > 24 {
                break;
            }
            since += usize::from(found.is_some());
            self.left -= cost;
            if !self.writer.accepts(&value) || self.reader.accepts(&value) {
                continue;
            }
            let length = value.to_string().len();
            if found
                .as_ref()
                .is_none_or(|(shortest, _)| length < *shortest)
            {
                found = Some((length, value));
            }
        }
        found.map(|(_, value)| value)
    }

    /// Values of the whole with one of `values` where the steps lead.
    fn placed(&mut self, all: &All, steps: &[Step], values: &[Value], deep: usize) -> Vec<Value> {
        let Some((step, rest)) = steps.split_first() else {
            return values.to_vec();
        };
        if deep > 40 || !self.walk.spend(1) {
            return Vec::new();
        }
        let facts = self.walk.facts(all);
        let mut made = Vec::new();
        match step {
            Step::Key(name) => {
                let models = self.walk.all_properties(&facts);
                let within = All::of(self.walk.all_concerning(&models, name));
                let inner = self.placed(&within, rest, values, deep + 1);
                for base in self
                    .objects(&facts, deep.min(DEEPEST - 1))
                    .into_iter()
                    .take(3)
                {
                    for value in &inner {
                        let mut object = base.clone();
                        object.insert(name.clone(), value.clone());
                        made.push(Value::Object(object));
                    }
                }
            }
            Step::Index(index) => {
                let items = self.walk.all_items(&facts);
                let within = items.iter().filter_map(|items| items.at(*index)).collect();
                let inner = self.placed(&All::of(within), rest, values, deep + 1);
                let least = self
                    .walk
                    .whole(&facts, "minItems", true)
                    .map_or(0, |(least, _)| least);
                let length = least.min(LONGEST).max(*index as u64 + 1) as usize;
                let base = self.array(&facts, length, deep.min(DEEPEST - 1));
                for value in &inner {
                    let mut array = base.clone();
                    if let Some(place) = array.get_mut(*index) {
                        *place = value.clone();
                    }
                    made.push(Value::Array(array));
                }
            }
        }
        if let Some(union) = facts.unions.first() {
            for branch in union.branches.iter().take(6) {
                made.extend(self.placed(&all.with(branch), steps, values, deep));
            }
        }
        made.truncate(MOST_CANDIDATES * 4);
        made
    }

    /// Values that all parts probably accept, with those at the reader's boundaries.
    fn candidates(&mut self, all: &All, reader: Option<NodeId>, deep: usize) -> Vec<Value> {
        if deep >= DEEPEST || !self.walk.spend(1) {
            return Vec::new();
        }
        let facts = self.walk.facts(all);
        if facts.nothing {
            return Vec::new();
        }
        if deep > 0 && facts.leaves.is_empty() {
            // Anything will do: no need to make much of it.
            let plain = [
                json!("a"),
                json!(1),
                json!(0.5),
                Value::Null,
                json!(true),
                json!([]),
                json!({}),
            ];
            return (plain.into_iter())
                .filter(|value| facts.types.meets(Types::of_value(value)))
                .collect();
        }
        let mut made = Vec::new();
        for union in facts.unions.iter().take(2) {
            for branch in union.branches.iter().take(6) {
                made.extend(self.candidates(&all.with(branch), reader, deep + 1));
            }
        }
        if let Some(list) = facts.list.and_then(|node| self.walk.listed(node)) {
            made.extend(list.iter().take(40).cloned());
        }
        let read = self.hints(reader);
        let types = facts.types;
        if types.meets(Types::OBJECT) {
            made.extend(self.object_candidates(&facts, &read, deep));
        }
        if types.meets(Types::ARRAY) {
            made.extend(self.array_candidates(&facts, &read, deep));
        }
        if types.meets(Types::STRING) {
            made.extend(self.string_candidates(&facts, &read));
        }
        if types.meets(Types::NUMBER) {
            made.extend(self.number_candidates(&facts, &read, types));
        }
        if types.meets(Types::BOOLEAN) {
            made.extend([json!(true), json!(false)]);
        }
        if types.meets(Types::NULL) {
            made.push(Value::Null);
        }
        made.truncate(MOST_CANDIDATES);
        made
    }

    /// What the reader says there, its alternatives too: its boundaries are where values break.
    fn hints(&mut self, reader: Option<NodeId>) -> Rc<Facts> {
        let known = self.walk.facts(&All::of(reader.into_iter().collect()));
        if known.unions.is_empty() {
            return known;
        }
        let mut leaves = known.leaves.clone();
        for branch in known
            .unions
            .iter()
            .flat_map(|union| union.branches.iter().take(8))
        {
            leaves.extend(&self.walk.facts(&All::of(branch.clone())).leaves);
        }
        Rc::new(Facts {
            leaves,
            types: known.types,
            nothing: known.nothing,
            list: known.list,
            unions: Vec::new(),
            too_many: known.too_many,
        })
    }

    /// One value that all parts accept, the plainest; one that they do not where none was found.
    fn one(&mut self, all: &All, deep: usize) -> Option<Value> {
        let candidates = self.candidates(all, None, deep);
        let first = candidates.first().cloned();
        for value in candidates.into_iter().take(24) {
            if self.walk.accepted(all, &value)? {
                return Some(value);
            }
        }
        first
    }

    /// Objects with what must be there, and with all that is named.
    fn objects(&mut self, facts: &Facts, deep: usize) -> Vec<Map<String, Value>> {
        let models = self.walk.all_properties(facts);
        let required = self.walk.required(facts);
        let mut least = Map::new();
        for name in &required {
            let within = All::of(self.walk.all_concerning(&models, name));
            let value = self.one(&within, deep + 1).unwrap_or(Value::Null);
            least.insert((*name).to_owned(), value);
        }
        let named: BTreeSet<&str> = models
            .iter()
            .flat_map(|model| model.named.keys().copied())
            .collect();
        let mut full = least.clone();
        for name in named.into_iter().take(40) {
            if !full.contains_key(name) {
                let within = All::of(self.walk.all_concerning(&models, name));
                if let Some(value) = self.one(&within, deep + 1) {
                    full.insert(name.to_owned(), value);
                }
            }
        }
        let wanted = self
            .walk
            .whole(facts, "minProperties", true)
            .map_or(0, |(least, _)| least);
        let mut padded = least.clone();
        for (name, value) in &full {
            if (padded.len() as u64) < wanted {
                padded.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        for at in 0..wanted.min(LONGEST) {
            if (padded.len() as u64) < wanted {
                padded.entry(format!("extra{at}")).or_insert(json!("a"));
            }
        }
        let mut all = vec![least];
        for other in [padded, full] {
            if !all.contains(&other) {
                all.push(other);
            }
        }
        all
    }

    fn object_candidates(&mut self, facts: &Facts, read: &Rc<Facts>, deep: usize) -> Vec<Value> {
        let bases = self.objects(facts, deep);
        let mut made: Vec<Map<String, Value>> = bases.clone();
        let full = bases.last().cloned().unwrap_or_default();
        let least = bases.first().cloned().unwrap_or_default();
        for name in full.keys().take(24) {
            let mut without = full.clone();
            without.remove(name);
            made.push(without);
            if !least.contains_key(name) {
                let mut with = least.clone();
                with.insert(name.clone(), full[name].clone());
                made.push(with);
            }
        }
        // Properties that only the reader names, with values that it may not expect; and unknown ones.
        let models = self.walk.all_properties(facts);
        let reading = self.walk.all_properties(read);
        let mut names: BTreeSet<String> = (reading.iter())
            .flat_map(|model| model.named.keys().map(|name| (*name).to_owned()))
            .take(24)
            .collect();
        for model in models.iter().chain(&reading) {
            for (pattern, _) in model.patterns.iter().take(4) {
                names.extend(sample::fitting(pattern).into_iter().take(2));
            }
        }
        names.insert("extra".to_owned());
        for name in names {
            let within = All::of(self.walk.all_concerning(&models, &name));
            let mut values = vec![json!("a"), json!(0.5), Value::Null, json!({})];
            let concerned = self.walk.all_concerning(&reading, &name);
            values.extend(
                self.candidates(&within, concerned.first().copied(), deep + 1)
                    .into_iter()
                    .take(12),
            );
            for value in values {
                let mut with = least.clone();
                with.insert(name.clone(), value);
                made.push(with);
            }
        }
        let most = self
            .walk
            .whole(read, "maxProperties", false)
            .map(|(most, _)| most);
        if let Some(most) = most.filter(|most| *most < LONGEST) {
            let mut many = full.clone();
            for at in 0..=most {
                if many.len() as u64 <= most {
                    many.insert(format!("extra{at}"), json!("a"));
                }
            }
            made.push(many);
        }
        made.truncate(MOST_CANDIDATES);
        made.into_iter().map(Value::Object).collect()
    }

    /// So many items.
    fn array(&mut self, facts: &Facts, length: usize, deep: usize) -> Vec<Value> {
        let items = self.walk.all_items(facts);
        let longest = items
            .iter()
            .map(|items| items.first.len())
            .max()
            .unwrap_or(0);
        let unique = (facts.leaves.iter())
            .any(|leaf| self.walk.docs.keyword(*leaf, "uniqueItems") == Some(&Value::Bool(true)));
        let mut array: Vec<Value> = Vec::new();
        let mut rest: Option<Vec<Value>> = None;
        for index in 0..length {
            let within: Vec<_> = items.iter().filter_map(|items| items.at(index)).collect();
            let within = All::of(within);
            if index < longest {
                array.push(self.one(&within, deep + 1).unwrap_or(Value::Null));
                continue;
            }
            if rest.is_none() {
                let candidates = self.candidates(&within, None, deep + 1);
                let mut kept = Vec::new();
                for value in candidates {
                    if self.walk.accepted(&within, &value) != Some(false) && !kept.contains(&value)
                    {
                        kept.push(value);
                    }
                }
                rest = Some(kept);
            }
            let kept = rest.as_deref().unwrap_or_default();
            let at = if unique { index - longest } else { 0 };
            array.push(
                kept.get(at)
                    .or(kept.first())
                    .cloned()
                    .unwrap_or(json!(index)),
            );
        }
        for leaf in &facts.leaves {
            if let Some(wanted) = self.walk.docs.child(*leaf, "contains")
                && length > 0
                && let Some(value) = self.one(&All::of(vec![wanted]), deep + 1)
            {
                array[length - 1] = value;
            }
        }
        array
    }

    fn array_candidates(&mut self, facts: &Facts, read: &Rc<Facts>, deep: usize) -> Vec<Value> {
        let least = self
            .walk
            .whole(facts, "minItems", true)
            .map_or(0, |(least, _)| least);
        let mut lengths: BTreeSet<u64> = [least, least + 1, 2].into();
        let (items, reading) = (self.walk.all_items(facts), self.walk.all_items(read));
        for one in items.iter().chain(&reading) {
            lengths.extend([one.first.len() as u64, one.first.len() as u64 + 1]);
        }
        for of in [facts, &**read] {
            for (key, largest) in [("minItems", true), ("maxItems", false)] {
                if let Some((bound, _)) = self.walk.whole(of, key, largest) {
                    lengths.extend([bound.saturating_sub(1), bound, bound.saturating_add(1)]);
                }
            }
        }
        let mut made = Vec::new();
        for length in lengths
            .into_iter()
            .filter(|length| *length <= LONGEST)
            .take(10)
        {
            let array = self.array(facts, length as usize, deep);
            let twice = array.first().cloned();
            made.push(Value::Array(array.clone()));
            if length >= 2 {
                made.push(Value::Array(vec![
                    twice.unwrap_or_default();
                    length as usize
                ]));
            }
            // Each further item in turn with what the reader may not expect.
            let end = array.len().saturating_sub(1);
            let within: Vec<_> = items.iter().filter_map(|items| items.at(end)).collect();
            let wanted = reading.iter().find_map(|items| items.at(end));
            for value in self
                .candidates(&All::of(within), wanted, deep + 1)
                .into_iter()
                .take(12)
            {
                let mut array = array.clone();
                if let Some(place) = array.get_mut(end) {
                    *place = value;
                    made.push(Value::Array(array));
                }
            }
        }
        made.truncate(MOST_CANDIDATES);
        made
    }

    fn string_candidates(&mut self, facts: &Facts, read: &Rc<Facts>) -> Vec<Value> {
        let mut made: Vec<String> = Vec::new();
        for leaf in facts.leaves.iter().chain(&read.leaves) {
            if let Some(Value::String(pattern)) = self.walk.docs.keyword(*leaf, "pattern") {
                made.extend(sample::fitting(pattern));
            }
            if let Some(Value::String(format)) = self.walk.docs.keyword(*leaf, "format") {
                made.extend(
                    sample::of_format(format)
                        .iter()
                        .map(|text| (*text).to_owned()),
                );
            }
        }
        let mut lengths: BTreeSet<u64> = [1, 0].into();
        for of in [facts, &**read] {
            for (key, largest) in [("minLength", true), ("maxLength", false)] {
                if let Some((bound, _)) = self.walk.whole(of, key, largest) {
                    lengths.extend([bound.saturating_sub(1), bound, bound.saturating_add(1)]);
                }
            }
        }
        lengths.retain(|length| *length <= LONGEST);
        for length in &lengths {
            made.push("a".repeat(*length as usize));
        }
        // Longer and shorter ones of what fits a pattern.
        for text in made.clone().into_iter().take(12) {
            for length in &lengths {
                let length = *length as usize;
                if let Some(last) = text.chars().last()
                    && text.chars().count() < length
                {
                    let more = length - text.chars().count();
                    made.push(format!("{text}{}", last.to_string().repeat(more)));
                }
            }
        }
        made.extend(["-", "0", "A"].map(ToOwned::to_owned));
        let mut seen = BTreeSet::new();
        made.retain(|text| seen.insert(text.clone()));
        made.truncate(MOST_CANDIDATES);
        made.into_iter().map(Value::String).collect()
    }

    fn number_candidates(&mut self, facts: &Facts, read: &Rc<Facts>, types: Types) -> Vec<Value> {
        let mut made = vec![json!(0), json!(1), json!(-1)];
        let keys = [
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ];
        let mut steps = vec![1.0];
        let mut ends = vec![0.0];
        for leaf in facts.leaves.iter().chain(&read.leaves) {
            for key in keys {
                let Some(number) = self.walk.docs.keyword(*leaf, key) else {
                    continue;
                };
                made.push(number.clone());
                if let Some(whole) = number.as_i64() {
                    made.extend(
                        [whole.checked_add(1), whole.checked_sub(1)]
                            .into_iter()
                            .flatten()
                            .map(Value::from),
                    );
                }
                if let Some(float) = number.as_f64() {
                    if key == "multipleOf" {
                        steps.push(float);
                    } else {
                        ends.push(float);
                    }
                    made.extend(number_of(float + 0.5));
                    made.extend(number_of(float - 0.5));
                }
            }
        }
        for step in steps {
            for end in ends.iter().take(6) {
                for more in [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0] {
                    made.extend(number_of(((end / step).floor() + more) * step));
                }
            }
        }
        made.push(json!(0.5));
        made.retain(|number| types.meets(Types::of_value(number)));
        made.truncate(MOST_CANDIDATES);
        made
    }
}

/// A number, whole where it can be.
fn number_of(float: f64) -> Option<Value> {
    if float.fract() == 0.0 && float.abs() < 1e15 {
        return Some(Value::from(float as i64));
    }
    Number::from_f64(float).map(Value::Number)
}
