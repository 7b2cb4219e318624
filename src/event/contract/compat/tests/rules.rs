//! Each rule at least once in each direction.

use super::*;

#[test]
fn what_is_the_same_fits_in_every_mode() {
    let one = schema(
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}),
    );
    for (_, mode) in Mode::WORDS {
        let verdict = against(&[&one, &one], &one, *mode, false);
        assert!(
            verdict.compatible && verdict.findings.is_empty(),
            "{verdict:?}"
        );
    }
}

#[test]
fn an_optional_property_breaks_an_open_model_and_not_a_closed_one() {
    let open = |rest: Value| {
        let old = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": rest});
        let mut new = old.clone();
        new["properties"]["b"] = json!({"type": "integer"});
        (schema(old), schema(new))
    };
    let (old, new) = open(json!(true));
    let verdict = judge(&old, &new, Direction::Backward, false);
    confirmed(&old, &new, &verdict);
    assert_eq!(verdict.findings[0].rule, Rule::OptionalPropertyAddedToOpen);
    assert!(verdict.findings[0].counterexample.is_some());
    assert!(judge(&old, &new, Direction::Backward, true).compatible);
    let (old, new) = open(json!(false));
    assert!(judge(&old, &new, Direction::Backward, false).compatible);
    assert!(!judge(&old, &new, Direction::Forward, false).compatible);
}
