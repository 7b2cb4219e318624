//! Whether versions of a contract fit each other: Confluent's compatibility rules for JSON Schema, told with where, why
//! and, where one can be found, an event that shows it.
//!
//! Stricter than Confluent's where its rules look only at the shape and the validator would still refuse an event: what
//! cannot be proven to fit does not fit. Pure, and bounded in depth, work and memory: what is too large or too deep is
//! `UNDECIDED`, which counts as incompatible. Called by `contracts diff`, `contracts check` and `check`.
//!
//! The rules are those of Confluent's Schema Registry (`json-schema-provider`, `diff`); the lenient ones those of its
//! policy `LENIENT` (pull requests 3930 and 4292 of confluentinc/schema-registry).

mod arrays;
mod ask;
mod changes;
mod combine;
mod example;
mod facts;
mod findings;
mod model;
mod numbers;
mod objects;
mod refs;
mod sample;
mod strings;
#[cfg(test)]
mod tests;
mod types;
mod vacant;
mod walk;

use std::collections::BTreeSet;

use super::{Mode, Schema};
pub use findings::{Direction, Finding, Rule, Verdict};
use walk::Walk;

/// At most so many findings are told of one comparison.
const MOST_FINDINGS: usize = 200;

/// Compares two versions in one direction.
///
/// `lenient` lets three changes pass that only harm who writes properties that its version does not name: an optional
/// property (or a required one with a default) that is added, an optional one that is removed, and one that a partially
/// open content model does not cover.
pub fn judge(old: &Schema, new: &Schema, direction: Direction, lenient: bool) -> Verdict {
    let (writer, reader, names) = match direction {
        Direction::Backward => (old, new, ["the old version", "the new version"]),
        Direction::Forward => (new, old, ["the new version", "the old version"]),
    };
    let mut walk = Walk::new(writer.json(), reader.json(), names, lenient);
    walk.run();
    let raw = std::mem::take(&mut walk.findings);
    let compatible = raw.iter().all(|one| one.fits);
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    let mut breaking: Vec<_> = raw.iter().filter(|one| !one.fits).collect();
    breaking.extend(raw.iter().filter(|one| one.fits));
    let mut examples = example::Search::new(&mut walk, writer, reader);
    for one in breaking {
        if findings.len() >= MOST_FINDINGS {
            break;
        }
        if !seen.insert((one.rule, &one.writer, &one.reader, &one.steps)) {
            continue;
        }
        let counterexample = (!one.fits).then(|| examples.find(one)).flatten();
        let backward = direction == Direction::Backward;
        let (old_pointer, pointer) = swapped(backward, one.writer.clone(), one.reader.clone());
        let (old, new) = swapped(backward, one.written, one.read);
        findings.push(Finding {
            rule: one.rule,
            direction,
            against: 0,
            pointer,
            old_pointer,
            old: old.map(findings::shown),
            new: new.map(findings::shown),
            words: one.words.clone(),
            compatible: one.fits,
            counterexample,
        });
    }
    Verdict {
        compatible,
        findings,
    }
}

fn swapped<T>(keep: bool, one: T, other: T) -> (T, T) {
    if keep { (one, other) } else { (other, one) }
}

/// Compares a new version with older ones (oldest first), as a mode asks for it.
pub fn against(versions: &[&Schema], new: &Schema, mode: Mode, lenient: bool) -> Verdict {
    let directions = mode.directions();
    let last = versions.len().saturating_sub(1);
    let mut all = Verdict {
        compatible: true,
        findings: Vec::new(),
    };
    for (at, old) in versions.iter().enumerate() {
        if at < last && !mode.is_transitive() {
            continue;
        }
        for direction in directions {
            let one = judge(old, new, *direction, lenient);
            all.compatible &= one.compatible;
            let findings = one.findings.into_iter();
            all.findings.extend(findings.map(|finding| Finding {
                against: at,
                ..finding
            }));
        }
    }
    all.findings.sort_by_key(|finding| finding.compatible);
    all
}

impl Mode {
    /// Which ways it looks.
    pub fn directions(self) -> &'static [Direction] {
        match self {
            Self::None => &[],
            Self::Backward | Self::BackwardTransitive => &[Direction::Backward],
            Self::Forward | Self::ForwardTransitive => &[Direction::Forward],
            Self::Full | Self::FullTransitive => &[Direction::Backward, Direction::Forward],
        }
    }

    /// Whether it looks at every earlier version, not only at the last.
    pub fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }
}
