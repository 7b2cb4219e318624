//! Lengths, patterns, formats and contents of strings.

use serde_json::Value;

use super::facts::{All, Facts};
use super::findings::Rule;
use super::numbers::LENGTHS;
use super::refs::NodeId;
use super::walk::Walk;

impl Walk<'_> {
    pub(super) fn strings(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> bool {
        let mut yes = self.counts(writer, facts, reader, &LENGTHS, (0, None));
        if let Some(wanted) = self.docs.keyword(reader, "pattern") {
            yes &= self.same_text(
                writer,
                facts,
                reader,
                ("pattern", wanted),
                [Rule::PatternAdded, Rule::PatternChanged],
            );
        }
        if !self.docs.asserts_formats(reader) {
            return yes;
        }
        if let Some(wanted) = self.docs.keyword(reader, "format") {
            yes &= self.same_text(
                writer,
                facts,
                reader,
                ("format", wanted),
                [Rule::FormatAdded, Rule::FormatChanged],
            );
        }
        for key in ["contentEncoding", "contentMediaType"] {
            if let Some(wanted) = self.docs.keyword(reader, key) {
                let rules = [Rule::ContentChanged, Rule::ContentChanged];
                yes &= self.same_text(writer, facts, reader, (key, wanted), rules);
            }
        }
        yes
    }

    /// What cannot be compared but by its text: the writer must say the same.
    fn same_text(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        (key, wanted): (&str, &Value),
        [added, changed]: [Rule; 2],
    ) -> bool {
        let counts = |node: NodeId| key == "pattern" || self.docs.asserts_formats(node);
        let mut said = (facts.leaves.iter())
            .filter(|leaf| counts(**leaf))
            .filter_map(|leaf| self.docs.keyword(*leaf, key))
            .peekable();
        let rule = if said.peek().is_some() {
            changed
        } else {
            added
        };
        if said.any(|said| said == wanted) {
            return true;
        }
        let words = format!(
            "{} wants {key} {wanted} of strings, {} does not",
            self.names[1], self.names[0]
        );
        self.report(rule, writer, reader, key, words)
    }
}
