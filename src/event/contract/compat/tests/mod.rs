//! What must hold of comparisons: each rule in both directions, and what no schema may bring about.

use serde_json::{Value, json};

use super::*;

mod hostile;
mod random;
mod rules;

fn schema(json: Value) -> Schema {
    Schema::new(json).unwrap()
}

/// Every counterexample is one, and every breaking finding makes the verdict.
fn confirmed(old: &Schema, new: &Schema, verdict: &Verdict) {
    assert_eq!(
        verdict.compatible,
        verdict.findings.iter().all(|one| one.compatible),
        "{verdict:?}"
    );
    for one in &verdict.findings {
        let Some(example) = &one.counterexample else {
            continue;
        };
        let (writer, reader) = match one.direction {
            Direction::Backward => (old, new),
            Direction::Forward => (new, old),
        };
        assert!(
            writer.accepts(example) && !reader.accepts(example),
            "{one:?}"
        );
        assert!(!one.compatible, "{one:?}");
    }
}
