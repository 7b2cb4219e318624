//! Schemas that are made to hurt: they must end soon.

use std::time::{Duration, Instant};

use super::*;

fn ends(old: Value, new: Value) -> Verdict {
    let (old, new) = (schema(old), schema(new));
    let start = Instant::now();
    let verdict = against(&[&old], &new, Mode::FullTransitive, false);
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    confirmed(&old, &new, &verdict);
    verdict
}

#[test]
fn references_in_a_circle_end() {
    let cycle = |kind: &str| {
        json!({"$ref": "#/$defs/a", "title": kind, "$defs": {
            "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a", "type": kind}
        }})
    };
    assert!(!ends(cycle("string"), cycle("integer")).compatible);
    ends(json!({"$ref": "#"}), json!({"$ref": "#", "type": "string"}));
    ends(
        json!({"anyOf": [{"$ref": "#"}, {"type": "string"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"type": "integer"}]}),
    );
    ends(
        json!({"allOf": [{"$ref": "#"}], "minLength": 1}),
        json!({"allOf": [{"$ref": "#"}], "minLength": 2}),
    );
}

#[test]
fn what_refers_to_itself_is_compared() {
    let list = |least: u32| {
        json!({"$ref": "#/$defs/node", "$defs": {"node": {
            "type": "object",
            "properties": {"value": {"type": "integer", "minimum": least}, "next": {"$ref": "#/$defs/node"}},
            "additionalProperties": false
        }}})
    };
    assert!(
        judge(
            &schema(list(5)),
            &schema(list(1)),
            Direction::Backward,
            false
        )
        .compatible
    );
    let verdict = ends(list(1), list(5));
    let broken = verdict.findings.iter().find(|one| !one.compatible).unwrap();
    assert_eq!(broken.rule, Rule::MinimumIncreased);
    assert!(broken.counterexample.is_some());
}

#[test]
fn a_long_list_of_values_ends() {
    let list = |from: u32| json!({"enum": (from..from + 10_000).collect::<Vec<_>>()});
    let verdict = ends(list(0), list(1));
    assert!(!verdict.compatible);
    assert_eq!(verdict.findings[0].counterexample, Some(json!(0)));
}

#[test]
fn many_alternatives_against_many_end() {
    let many = |more: usize| {
        let branch = |at: usize| json!({"type": "object", "properties": {"kind": {"const": at}, "x": {"type": "integer", "maximum": at + more}}, "required": ["kind"]});
        json!({"anyOf": (0..300).map(branch).collect::<Vec<_>>()})
    };
    ends(many(0), many(1));
    ends(
        json!({"oneOf": many(0)["anyOf"]}),
        json!({"oneOf": many(1)["anyOf"]}),
    );
}

#[test]
fn alternatives_in_alternatives_end() {
    let mut old = json!({"type": "string"});
    let mut new = json!({"type": "integer"});
    for at in 0..14 {
        old = json!({"anyOf": [old, {"type": "array", "items": old, "maxItems": at}]});
        new = json!({"anyOf": [new, {"type": "array", "items": new, "minItems": at}]});
    }
    ends(old, new);
}

#[test]
fn deep_nesting_ends() {
    let deep = |kind: &str, levels: usize| {
        let mut json = json!({"type": kind});
        for _ in 0..levels {
            json = json!({"properties": {"a": json}});
        }
        json
    };
    let verdict = ends(deep("string", 60), deep("integer", 60));
    assert!(!verdict.compatible);
    let verdict = ends(deep("string", 100), deep("integer", 100));
    assert_eq!(verdict.findings[0].rule, Rule::Undecided);
    let chain = |kind: &str| {
        let mut all = serde_json::Map::new();
        for at in 0..1_000 {
            all.insert(
                format!("a{at}"),
                json!({"items": {"$ref": format!("#/$defs/a{}", at + 1)}}),
            );
        }
        all.insert("a1000".to_owned(), json!({"type": kind}));
        json!({"$ref": "#/$defs/a0", "$defs": all})
    };
    assert!(!ends(chain("string"), chain("integer")).compatible);
}
