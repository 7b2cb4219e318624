//! What no pair of schemas may bring about, over random ones.

use proptest::prelude::*;

use super::*;

/// A subschema; references lead to a few definitions, themselves random.
fn subschema() -> impl Strategy<Value = Value> {
    let small = 0..4_u32;
    let bound = |key: &'static str| small.clone().prop_map(move |at| json!({key: at}));
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        Just(json!({})),
        prop::sample::select(vec![
            "null", "boolean", "integer", "number", "string", "array", "object"
        ])
        .prop_map(|kind| json!({"type": kind})),
        prop::collection::vec(
            prop::sample::select(vec![
                json!(1),
                json!("a"),
                json!(null),
                json!({"a": 1}),
                json!([1])
            ]),
            1..3
        )
        .prop_map(|list| json!({"enum": list})),
        bound("minimum"),
        bound("exclusiveMaximum"),
        bound("minLength"),
        bound("maxLength"),
        bound("minItems"),
        bound("maxItems"),
        bound("minProperties"),
        bound("maxProperties"),
        (1..4_u32).prop_map(|at| json!({"type": "integer", "multipleOf": at})),
        prop::sample::select(vec!["#", "#/$defs/a", "#/$defs/b", "#/$defs/c"])
            .prop_map(|to| json!({"$ref": to})),
        Just(json!({"required": ["a"]})),
        Just(json!({"dependentRequired": {"a": ["b"]}})),
        Just(json!({"uniqueItems": true})),
        Just(json!({"pattern": "^a"})),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..3);
        let name = prop::sample::select(vec!["a", "b", "c"]);
        let map = prop::collection::btree_map(name, inner.clone(), 1..3);
        prop_oneof![
            list.clone().prop_map(|list| json!({"allOf": list})),
            list.clone().prop_map(|list| json!({"anyOf": list})),
            list.clone().prop_map(|list| json!({"oneOf": list})),
            inner.clone().prop_map(|one| json!({"not": one})),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(one, then, other)| json!({"if": one, "then": then, "else": other})),
            (map.clone(), inner.clone())
                .prop_map(|(map, rest)| json!({"type": "object", "properties": map, "additionalProperties": rest})),
            (map.clone(), inner.clone())
                .prop_map(|(map, rest)| json!({"type": "object", "properties": map, "unevaluatedProperties": rest})),
            map.clone().prop_map(|map| json!({"type": "object", "properties": map, "required": ["a"]})),
            map.clone().prop_map(|map| json!({"dependentSchemas": map})),
            inner.clone().prop_map(|one| json!({"type": "object", "patternProperties": {"^a": one}})),
            (list, inner.clone()).prop_map(|(list, rest)| json!({"type": "array", "prefixItems": list, "items": rest})),
            inner.clone().prop_map(|one| json!({"type": "array", "items": one, "minItems": 1})),
            inner.clone().prop_map(|one| json!({"contains": one, "maxContains": 2})),
            inner.prop_map(|one| json!({"propertyNames": one})),
        ]
    })
}

fn document() -> impl Strategy<Value = Value> {
    (subschema(), subschema(), subschema(), subschema())
        .prop_map(|(root, a, b, c)| json!({"allOf": [root], "$defs": {"a": a, "b": b, "c": c}}))
}

/// A few plain values, to try what was said to fit.
fn values() -> Vec<Value> {
    let plain = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2.5),
        json!(6),
        json!("a"),
        json!("bbb"),
        json!(""),
    ];
    let mut all: Vec<Value> = plain.to_vec();
    for one in &plain {
        all.extend([
            json!([one]),
            json!([one, one]),
            json!([one, 1, "a"]),
            json!({"a": one}),
            json!({"b": one}),
            json!({"a": one, "b": 1}),
            json!({"a": "a", "c": one, "z": one}),
        ]);
    }
    all.extend([
        json!([]),
        json!({}),
        json!({"a": {"a": 1}}),
        json!({"a": {"a": {"b": "a"}}, "b": []}),
        json!([[1], {"a": 1}]),
    ]);
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_comparison_ends_and_what_it_says_holds(old in document(), new in document(), lenient in any::<bool>()) {
        let (Ok(old), Ok(new)) = (Schema::new(old), Schema::new(new)) else {
            return Ok(());
        };
        for direction in [Direction::Backward, Direction::Forward] {
            let verdict = judge(&old, &new, direction, lenient);
            confirmed(&old, &new, &verdict);
            if verdict.compatible && !lenient {
                let (writer, reader) = match direction {
                    Direction::Backward => (&old, &new),
                    Direction::Forward => (&new, &old),
                };
                for value in values() {
                    prop_assert!(!writer.accepts(&value) || reader.accepts(&value), "{direction:?} {value} {old:?} {new:?} {:?}", verdict.findings);
                }
            }
        }
    }

    #[test]
    fn a_schema_fits_itself(one in document(), lenient in any::<bool>()) {
        let Ok(one) = Schema::new(one) else { return Ok(()) };
        for (_, mode) in Mode::WORDS {
            prop_assert!(against(&[&one], &one, *mode, lenient).compatible);
        }
    }

    #[test]
    fn a_part_of_a_schema_fits_the_whole(one in document(), other in subschema(), more in subschema()) {
        // What both say together is accepted by each alone, and by either or both.
        let together = json!({"allOf": [one["allOf"][0].clone(), more], "$defs": one["$defs"]});
        let either = json!({"anyOf": [one["allOf"][0].clone(), other], "$defs": one["$defs"]});
        let (Ok(one), Ok(together), Ok(either)) = (Schema::new(one), Schema::new(together), Schema::new(either)) else {
            return Ok(());
        };
        for (old, new) in [(&together, &one), (&one, &either)] {
            let verdict = judge(old, new, Direction::Backward, false);
            confirmed(old, new, &verdict);
        }
    }
}
