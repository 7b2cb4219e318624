//! Arrays: how many items, which ones first, which ones after, and which at least.

use serde_json::Value;

use super::facts::{All, Facts, whole};
use super::findings::Rule;
use super::model::Items;
use super::numbers::ITEMS;
use super::refs::NodeId;
use super::types::Types;
use super::walk::{Step, Walk};

impl Walk<'_> {
    pub(super) fn arrays(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> bool {
        let written = self.all_items(facts);
        let most = self.most_items(facts, &written);
        let mut yes = self.counts(
            writer,
            facts,
            reader,
            &ITEMS,
            (self.least_items(facts), most),
        );
        yes &= self.unique(writer, facts, reader, most);
        let read = self.items(reader);
        yes &= self.item_content(writer, &written, &read, most, false);
        if self.docs.keyword(reader, "unevaluatedItems").is_some() {
            yes &= match self.unevaluated_items(reader) {
                Some((read, false)) => self.item_content(writer, &written, &read, most, true),
                Some((read, true)) if read.rest.is_some_and(|rest| self.is_trivial(rest)) => true,
                _ => self.undecided(
                    writer,
                    reader,
                    "what unevaluatedItems concerns depends on alternatives",
                ),
            };
        }
        yes & self.contains(writer, facts, reader)
    }

    /// How many items the writer allows, by `maxItems` or by closing its tuple.
    fn most_items(&mut self, facts: &Facts, written: &[Items]) -> Option<u64> {
        let said = self.whole(facts, "maxItems", false).map(|(most, _)| most);
        let closed = (written.iter())
            .filter(|items| items.rest.is_some_and(|rest| self.is_false(rest)))
            .map(|items| items.first.len() as u64);
        said.into_iter().chain(closed).min()
    }

    fn least_items(&self, facts: &Facts) -> u64 {
        self.whole(facts, "minItems", true)
            .map_or(0, |(least, _)| least)
    }

    fn unique(&mut self, writer: &All, facts: &Facts, reader: NodeId, most: Option<u64>) -> bool {
        let yes = Some(&Value::Bool(true));
        if self.docs.keyword(reader, "uniqueItems") != yes || most.is_some_and(|most| most < 2) {
            return true;
        }
        let mut leaves = facts.leaves.iter();
        if leaves.any(|leaf| self.docs.keyword(*leaf, "uniqueItems") == yes) {
            return true;
        }
        let words = format!(
            "{} accepts no item twice, {} does",
            self.names[1], self.names[0]
        );
        self.report(Rule::UniqueItemsAdded, writer, reader, "uniqueItems", words)
    }

    fn item_content(
        &mut self,
        writer: &All,
        written: &[Items],
        read: &Items,
        most: Option<u64>,
        unevaluated: bool,
    ) -> bool {
        let mut yes = true;
        let longest = written
            .iter()
            .map(|items| items.first.len())
            .max()
            .unwrap_or(0);
        let longest = longest.max(read.first.len());
        let reached = |index: usize| most.is_none_or(|most| (index as u64) < most);
        for index in 0..longest {
            if !self.spend(1) {
                return false;
            }
            let Some(wanted) = read.at(index).filter(|node| !self.is_trivial(*node)) else {
                continue;
            };
            let has: Vec<_> = written.iter().filter_map(|items| items.at(index)).collect();
            let is_written = written.iter().any(|items| items.first.len() > index);
            let is_read = read.first.len() > index;
            if !reached(index) {
                if is_read && !is_written {
                    let words = format!("item {index}: {} accepts it now", self.names[1]);
                    self.record(Rule::ItemAddedToClosed, true, writer, wanted, "", words);
                }
                continue;
            }
            self.steps.push(Step::Index(index));
            yes &= match (is_written, is_read) {
                (true, true) => self.contained(&All::of(has), wanted),
                (false, _) => self.item_added(writer, has, wanted, index),
                (true, false) => self.item_gone(has, wanted, index),
            };
            self.steps.pop();
        }
        let Some(rest) = read.rest.filter(|rest| !self.is_trivial(*rest)) else {
            return yes;
        };
        if !reached(longest) {
            return yes;
        }
        let has: Vec<_> = written.iter().filter_map(|items| items.rest).collect();
        let closed = self.is_false(rest);
        self.steps.push(Step::Index(longest));
        if has.is_empty() || closed {
            let facts = self.facts(&All::of(has));
            if !facts.nothing && !facts.types.is_empty() {
                let (rule, what) = match (unevaluated, closed) {
                    (false, true) => (Rule::AdditionalItemsRemoved, "accepts no further items"),
                    (false, false) => {
                        (Rule::AdditionalItemsNarrowed, "says what further items are")
                    }
                    (true, true) => (Rule::UnevaluatedItemsRemoved, "accepts no further items"),
                    (true, false) => (
                        Rule::UnevaluatedItemsNarrowed,
                        "says what further items are",
                    ),
                };
                let words = format!("{} {what}, {} does not", self.names[1], self.names[0]);
                yes = self.report(rule, writer, rest, "", words);
            }
        } else {
            yes &= self.contained(&All::of(has), rest);
        }
        self.steps.pop();
        yes
    }

    fn item_added(&mut self, writer: &All, has: Vec<NodeId>, wanted: NodeId, index: usize) -> bool {
        if !has.is_empty() {
            return self.item_covered(&All::of(has), wanted, index, Rule::ItemAddedNotCovered);
        }
        let words = format!(
            "{} says what item {index} is, {} lets it be anything",
            self.names[1], self.names[0]
        );
        let all = All {
            main: writer.main,
            ..All::of(has)
        };
        self.report(Rule::ItemAddedToOpen, &all, wanted, "", words)
    }

    fn item_gone(&mut self, has: Vec<NodeId>, wanted: NodeId, index: usize) -> bool {
        let all = All::of(has);
        if !self.is_false(wanted) {
            return self.item_covered(&all, wanted, index, Rule::ItemRemovedNotCovered);
        }
        let facts = self.facts(&all);
        if facts.nothing || facts.types.is_empty() {
            let words = format!("item {index}: never there, and no longer named");
            self.record(
                Rule::ItemWithFalseRemovedFromClosed,
                true,
                &all,
                wanted,
                "",
                words,
            );
            return true;
        }
        let words = format!(
            "{} accepts no item {index}, {} does",
            self.names[1], self.names[0]
        );
        self.report(Rule::ItemRemovedFromClosed, &all, wanted, "", words)
    }

    fn item_covered(&mut self, all: &All, wanted: NodeId, index: usize, rule: Rule) -> bool {
        if self.contained(all, wanted) {
            let closed = self.facts(all).nothing;
            let fits = match rule {
                Rule::ItemAddedNotCovered if closed => Rule::ItemAddedToClosed,
                Rule::ItemAddedNotCovered => Rule::ItemAddedIsCovered,
                _ => Rule::ItemRemovedIsCovered,
            };
            let words = format!("item {index}: {} fits what was said of it", self.names[1]);
            self.record(fits, true, all, wanted, "", words);
            return true;
        }
        let words = format!(
            "item {index}: what one version says of all further items does not fit what the other says of it"
        );
        self.report(rule, all, wanted, "", words)
    }

    /// `contains` with its counts: some part of the writer must promise as much.
    fn contains(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> bool {
        let Some(wanted) = self.docs.child(reader, "contains") else {
            return true;
        };
        let (least, most) = self.contained_counts(reader);
        let mut kept = least == 0;
        let mut capped = most.is_none();
        let mut known = false;
        for leaf in facts.leaves.clone() {
            let Some(has) = self.docs.child(leaf, "contains") else {
                continue;
            };
            known = true;
            let (at_least, at_most) = self.contained_counts(leaf);
            self.steps.push(Step::Index(0));
            kept |= at_least >= least
                && self.attempt(|walk| walk.contained(&All::of(vec![has]), wanted));
            capped |= at_most.is_some_and(|at_most| most.is_some_and(|most| at_most <= most))
                && self.attempt(|walk| walk.contained(&All::of(vec![wanted]), has));
            self.steps.pop();
        }
        let total = self.whole(facts, "maxItems", false).map(|(total, _)| total);
        capped |= total.is_some_and(|total| most.is_some_and(|most| total <= most));
        if !kept {
            kept = self.all_items_are(facts, least, wanted);
        }
        if kept && capped {
            return true;
        }
        let rule = if known {
            Rule::ContainsChanged
        } else {
            Rule::ContainsAdded
        };
        let words = format!(
            "{} wants certain items in it, {} does not promise them",
            self.names[1], self.names[0]
        );
        self.report(rule, writer, reader, "contains", words)
    }

    /// Whether there are at least so many items, and each of them is wanted.
    fn all_items_are(&mut self, facts: &Facts, least: u64, wanted: NodeId) -> bool {
        if self.least_items(facts) < least {
            return false;
        }
        let written = self.all_items(facts);
        let longest = written
            .iter()
            .map(|items| items.first.len())
            .max()
            .unwrap_or(0);
        if longest > 0 {
            return false;
        }
        let has: Vec<_> = written.iter().filter_map(|items| items.rest).collect();
        self.steps.push(Step::Index(0));
        let yes = !has.is_empty()
            && self.attempt(|walk| walk.contained(&All::of(has).only(Types::ALL), wanted));
        self.steps.pop();
        yes
    }

    /// How many items must and may be as `contains` says. Draft-07 knows no counts.
    fn contained_counts(&self, node: NodeId) -> (u64, Option<u64>) {
        if self.docs.ref_is_alone(node) {
            return (1, None);
        }
        let least = self.docs.keyword(node, "minContains").and_then(whole);
        let most = self.docs.keyword(node, "maxContains").and_then(whole);
        (least.unwrap_or(1), most)
    }
}
