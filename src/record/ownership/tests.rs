use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::record::ledger::KnownField;
use crate::record::value::Value;
use crate::time::Timestamp;

fn rule(policy: Policy) -> OwnedField {
    OwnedField {
        owner: "shop".to_owned(),
        writers: vec![
            Writer {
                system: "crm".to_owned(),
                create_only: false,
            },
            Writer {
                system: "erp".to_owned(),
                create_only: false,
            },
            Writer {
                system: "mail".to_owned(),
                create_only: true,
            },
        ],
        policy,
        order: Vec::new(),
        gap: Duration::from_secs(5),
        compare: None,
        sensitive: false,
        when_owner_down: None,
    }
}

fn ordered() -> OwnedField {
    OwnedField {
        order: ["a", "b", "c"].map(str::to_owned).into(),
        ..rule(Policy::Monotonic)
    }
}

fn entity() -> Entity {
    Entity {
        name: "order".to_owned(),
        fields: [("status".to_owned(), rule(Policy::Owner))].into(),
        ..Entity::default()
    }
}

/// Decides where the source brings `ours`, the receiver holds `theirs` and both last had `base`; the texts are of one
/// letter, so that the order `a`, `b`, `c` can be spoken of. `?` is not known.
fn verdict(rule: &OwnedField, source: &str, receiver: &str, values: [&str; 3]) -> Decision {
    let [base, ours, theirs] = values.map(|text| Value::Text(text.to_owned()));
    let [kept_base, kept_ours, kept_theirs] = [&base, &ours, &theirs].map(Value::canonical);
    let side = |value, kept, changed| Side {
        value,
        kept,
        changed,
    };
    decide(
        rule,
        &Case {
            source,
            receiver,
            creating: false,
            forced: false,
            base: (values[0] != "?").then_some(&*kept_base),
            at_owner: None,
            ours: side(&ours, &kept_ours, None),
            theirs: (values[2] != "?").then(|| side(&theirs, &kept_theirs, None)),
            equal: values[1] == values[2],
        },
    )
}

#[test]
fn a_field_is_decided_as_the_table_says() {
    use Decision::{Denied, Leave, Review, Write};
    use Policy::{Manual, Monotonic, Newest, Owner, OwnerUnlessBlank};
    // No base; only ours changed; only theirs; both, to the same; both, and they differ.
    let cases = [
        ["?", "b", "c"],
        ["a", "b", "a"],
        ["a", "a", "b"],
        ["a", "b", "b"],
        ["a", "b", "c"],
    ];
    let same = Leave(Why::Same);
    let theirs = Leave(Why::OnlyTheirs);
    let stands = Leave(Why::OwnerStands);
    let both = Review(Why::BothChanged);
    let never = Review(Why::NeverAgreed);
    let times = Review(Why::NoTimes);
    let further = Leave(Why::FurtherOn);
    let (by_version, by_order) = (rule(Monotonic), ordered());
    let (owner, unless_blank) = (rule(Owner), rule(OwnerUnlessBlank));
    let (newest, manual) = (rule(Newest), rule(Manual));
    for (rule, source, receiver, expected) in [
        (&owner, "shop", "crm", [Write, Write, Write, same, Write]),
        (&owner, "crm", "shop", [stands, Write, theirs, same, stands]),
        (&owner, "crm", "erp", [never, Write, theirs, same, both]),
        (
            &unless_blank,
            "shop",
            "crm",
            [Write, Write, Write, same, Write],
        ),
        (
            &unless_blank,
            "crm",
            "shop",
            [stands, Write, theirs, same, stands],
        ),
        (
            &unless_blank,
            "crm",
            "erp",
            [never, Write, theirs, same, both],
        ),
        (
            &by_version,
            "shop",
            "crm",
            [Write, Write, Write, same, Write],
        ),
        (
            &by_version,
            "crm",
            "shop",
            [never, Write, theirs, same, both],
        ),
        (
            &by_version,
            "crm",
            "erp",
            [never, Write, theirs, same, both],
        ),
        (
            &by_order,
            "shop",
            "crm",
            [further, Write, further, same, further],
        ),
        (
            &by_order,
            "crm",
            "shop",
            [further, Write, further, same, further],
        ),
        (
            &by_order,
            "crm",
            "erp",
            [further, Write, further, same, further],
        ),
        (&newest, "shop", "crm", [times, Write, theirs, same, times]),
        (&newest, "crm", "shop", [times, Write, theirs, same, times]),
        (&newest, "crm", "erp", [times, Write, theirs, same, times]),
        (&manual, "shop", "crm", [never, Write, theirs, same, both]),
        (&manual, "crm", "shop", [never, Write, theirs, same, both]),
        (&manual, "crm", "erp", [never, Write, theirs, same, both]),
    ] {
        let told = format!("{} {source} -> {receiver}", rule.policy.word());
        let found = cases.map(|values| verdict(rule, source, receiver, values));
        assert_eq!(found, expected, "{told}");
        // Whoever is neither writes nothing, nor does who may only make it.
        for source in ["pos", "mail"] {
            let found = cases.map(|values| verdict(rule, source, receiver, values));
            assert_eq!(found, [Denied; 5], "{told}: {source}");
        }
    }
}

#[test]
fn a_blank_is_filled_and_never_erases() {
    use Decision::{Leave, Write};
    let rule = rule(Policy::OwnerUnlessBlank);
    let erased = Leave(Why::NeverErased);
    for (source, receiver, values, expected) in [
        ("shop", "crm", ["a", "", "b"], erased),
        ("shop", "crm", ["a", " ", "a"], erased),
        ("shop", "crm", ["a", "", "?"], erased),
        ("crm", "shop", ["a", "", "a"], erased),
        ("shop", "crm", ["a", "", " "], Leave(Why::Same)),
        ("crm", "shop", ["?", "b", ""], Write),
        ("crm", "shop", ["a", "b", ""], Write),
        ("crm", "shop", ["", "b", ""], Write),
        ("crm", "erp", ["", "b", ""], Write),
        (
            "crm",
            "erp",
            ["a", "b", ""],
            Decision::Review(Why::BothChanged),
        ),
    ] {
        let found = verdict(&rule, source, receiver, values);
        assert_eq!(found, expected, "{source} -> {receiver} {values:?}");
    }
    // Elsewhere a blank is a value like another.
    assert_eq!(
        verdict(
            &super::tests::rule(Policy::Owner),
            "shop",
            "crm",
            ["a", "", "a"]
        ),
        Write
    );
}

#[test]
fn an_order_never_goes_back_unless_forced_and_knows_its_words() {
    use Decision::{Leave, Review, Write};
    let rule = OwnedField {
        compare: Some(Compare::Casefold),
        ..ordered()
    };
    let unknown = Review(Why::UnknownWord);
    for (values, expected, forced) in [
        (["?", "b", "a"], Write, Write),
        (["?", "a", "b"], Leave(Why::FurtherOn), Write),
        (["?", "C", "b"], Write, Write),
        (["?", "x", "b"], unknown, Write),
        (["?", "b", "x"], unknown, Write),
        (["?", "b", ""], Write, Write),
        // Not read, or not in the answer: what was known before still holds it back.
        (["c", "b", "?"], Leave(Why::FurtherOn), Write),
        (["a", "b", "?"], Write, Write),
        (["?", "x", "?"], unknown, Write),
    ] {
        assert_eq!(
            verdict(&rule, "shop", "crm", values),
            expected,
            "{values:?}"
        );
        let ours = Value::Text(values[1].to_owned());
        let theirs = Value::Text(values[2].to_owned());
        let (ours_kept, theirs_kept) = (ours.canonical(), theirs.canonical());
        let case = |source| Case {
            source,
            receiver: "crm",
            creating: false,
            forced: true,
            base: None,
            at_owner: None,
            ours: Side {
                value: &ours,
                kept: &ours_kept,
                changed: None,
            },
            theirs: Some(Side {
                value: &theirs,
                kept: &theirs_kept,
                changed: None,
            }),
            equal: false,
        };
        assert_eq!(decide(&rule, &case("shop")), forced, "{values:?}");
        // Ownership cannot be forced.
        assert_eq!(decide(&rule, &case("pos")), Decision::Denied);
    }
}

#[test]
fn the_newest_is_newer_by_the_gap_or_a_person_says() {
    use Decision::{Leave, Review, Write};
    let value = |text: &str| Value::Text(text.to_owned());
    let (ours, theirs) = (value("a"), value("b"));
    let (ours_kept, theirs_kept) = (ours.canonical(), theirs.canonical());
    for (gap, ours_at, theirs_at, expected) in [
        (5, Some(15_000), Some(10_000), Write),
        (5, Some(14_999), Some(10_000), Review(Why::Tie)),
        (5, Some(10_000), Some(14_999), Review(Why::Tie)),
        (5, Some(10_000), Some(15_000), Leave(Why::Later)),
        (0, Some(10_001), Some(10_000), Write),
        (0, Some(10_000), Some(10_000), Review(Why::Tie)),
        (5, None, Some(10_000), Review(Why::NoTimes)),
        (5, Some(10_000), None, Review(Why::NoTimes)),
    ] {
        let rule = OwnedField {
            gap: Duration::from_secs(gap),
            ..rule(Policy::Newest)
        };
        let case = Case {
            source: "crm",
            receiver: "shop",
            creating: false,
            forced: true,
            base: None,
            at_owner: None,
            ours: Side {
                value: &ours,
                kept: &ours_kept,
                changed: ours_at.map(Timestamp),
            },
            theirs: Some(Side {
                value: &theirs,
                kept: &theirs_kept,
                changed: theirs_at.map(Timestamp),
            }),
            equal: false,
        };
        assert_eq!(
            decide(&rule, &case),
            expected,
            "{gap} {ours_at:?} {theirs_at:?}"
        );
    }
}

#[test]
fn between_two_writers_the_owners_known_value_stands() {
    use Decision::{Leave, Review, Write};
    let value = |text: &str| Value::Text(text.to_owned());
    let (ours, theirs) = (value("b"), value("c"));
    let (ours_kept, theirs_kept) = (ours.canonical(), theirs.canonical());
    for (base, at_owner, expected) in [
        // The owner has it as the source has it.
        (Some("\"a\""), Some("\"b\""), Write),
        (None, Some("\"b\""), Write),
        // It has it otherwise.
        (Some("\"a\""), Some("\"d\""), Leave(Why::OwnerStands)),
        (None, Some("\"d\""), Leave(Why::OwnerStands)),
        // It has it as it was: two writers disagree.
        (Some("\"a\""), Some("\"a\""), Review(Why::BothChanged)),
        (Some("\"c\""), Some("\"c\""), Write),
        (Some("\"a\""), None, Review(Why::BothChanged)),
    ] {
        let case = Case {
            source: "crm",
            receiver: "erp",
            creating: false,
            forced: false,
            base,
            at_owner,
            ours: Side {
                value: &ours,
                kept: &ours_kept,
                changed: None,
            },
            theirs: Some(Side {
                value: &theirs,
                kept: &theirs_kept,
                changed: None,
            }),
            equal: false,
        };
        let found = decide(&rule(Policy::Owner), &case);
        assert_eq!(found, expected, "{base:?} {at_owner:?}");
    }
}

#[test]
fn only_owner_and_writers_may_write_and_the_words_say_why_not() {
    let entity = entity();
    let words = |field, system, creating| {
        may_write(&entity, field, system, creating)
            .refusal()
            .map(|reason| reason.to_string())
    };
    assert_eq!(words("status", "shop", false), None);
    assert_eq!(words("status", "crm", false), None);
    assert_eq!(words("status", "mail", true), None);
    assert_eq!(
        words("status", "mail", false).as_deref(),
        Some("mail may write status only when the order is made: shop owns it")
    );
    assert!(matches!(
        may_write(&entity, "status", "mail", false),
        Permission::OnCreateOnly(_)
    ));
    assert_eq!(
        words("status", "pos", true).as_deref(),
        Some("pos may not write status of order: shop owns it")
    );
    assert_eq!(
        words("note", "shop", true).as_deref(),
        Some(
            "nobody may write note: entity order names no owner of it, nor of the rest (`fields.\"*\"`)"
        )
    );
    let stripped = strip(&entity, "mail", ["status", "note"], true);
    assert_eq!(stripped.kept, ["status"]);
    let left: Vec<&str> = stripped.left_out.iter().map(|one| &*one.field).collect();
    assert_eq!(left, ["note"]);
    let with_rest = Entity {
        rest: Some(rule(Policy::Owner)),
        ..entity
    };
    let stripped = strip(&with_rest, "shop", ["status", "note"], false);
    assert_eq!(stripped.kept, ["status", "note"]);
}

#[test]
fn the_receiver_is_read_only_where_a_rule_asks_for_what_it_holds() {
    for (rule, source, needed) in [
        (rule(Policy::Owner), "shop", false),
        (rule(Policy::Owner), "crm", true),
        (rule(Policy::Monotonic), "shop", false),
        (ordered(), "shop", true),
        (rule(Policy::OwnerUnlessBlank), "shop", true),
        (rule(Policy::Newest), "shop", true),
        (rule(Policy::Manual), "shop", true),
        // What is left out anyway asks for nothing.
        (rule(Policy::Manual), "pos", false),
        (rule(Policy::Manual), "mail", false),
    ] {
        let words = format!("{} {source}", rule.policy.word());
        let entity = Entity {
            fields: [("status".to_owned(), rule)].into(),
            ..entity()
        };
        assert_eq!(needs_theirs(&entity, source, ["status"]), needed, "{words}");
        assert!(!needs_theirs(&entity, source, ["note"]), "{words}");
    }
}

#[test]
fn only_others_wait_for_an_owner_that_is_down() {
    for (when, source, down, expected) in [
        (Some(WhenDown::Queue), "crm", true, Some(WhenDown::Queue)),
        (Some(WhenDown::Hold), "crm", true, Some(WhenDown::Hold)),
        (Some(WhenDown::Reject), "crm", false, None),
        (Some(WhenDown::Reject), "shop", true, None),
        (None, "crm", true, None),
    ] {
        let rule = OwnedField {
            when_owner_down: when,
            ..rule(Policy::Owner)
        };
        assert_eq!(fallback(&rule, source, down), expected);
    }
}

fn known(
    sent: Option<(&str, i64)>,
    agreed: Option<(&str, i64)>,
    seen: Option<(&str, i64)>,
) -> KnownField {
    let part = |part: Option<(&str, i64)>| part.map(|(text, at)| (text.to_owned(), Timestamp(at)));
    KnownField {
        sent: part(sent),
        agreed: part(agreed),
        seen: part(seen),
    }
}

#[test]
fn the_base_is_the_later_of_what_was_written_and_what_was_agreed() {
    for (sent, agreed, expected) in [
        (None, None, None),
        (Some(("a", 1)), None, Some("a")),
        (Some(("a", 1)), Some(("b", 2)), Some("b")),
        (Some(("a", 3)), Some(("b", 2)), Some("a")),
        (Some(("a", 2)), Some(("b", 2)), Some("b")),
    ] {
        let field = known(sent, agreed, Some(("z", 9)));
        assert_eq!(base(&field).map(|(text, _)| &**text), expected);
    }
}

#[test]
fn an_echo_is_our_own_word_come_back_to_where_it_came_from() {
    let wrote = || known(Some(("\"a\"", 5)), None, None);
    let told = || known(None, None, Some(("\"a\"", 4)));
    for (source, receiver, brought, compare, expected) in [
        // Written to the source, and the receiver is who told it.
        (Some(wrote()), Some(told()), "\"a\"", None, true),
        (
            Some(known(None, Some(("\"a\"", 5)), None)),
            Some(told()),
            "\"a\"",
            None,
            true,
        ),
        (Some(wrote()), Some(told()), "\"A\"", None, false),
        (
            Some(wrote()),
            Some(told()),
            "\"A\"",
            Some(Compare::Casefold),
            true,
        ),
        // To a third system it is news.
        (Some(wrote()), None, "\"a\"", None, false),
        (
            Some(wrote()),
            Some(known(None, None, Some(("\"b\"", 4)))),
            "\"a\"",
            None,
            false,
        ),
        // The receiver has moved on since.
        (
            Some(wrote()),
            Some(known(Some(("\"a\"", 4)), None, Some(("\"b\"", 6)))),
            "\"a\"",
            None,
            false,
        ),
        // Nothing was written there, or somebody else changed it since and back.
        (None, Some(told()), "\"a\"", None, false),
        (
            Some(known(None, None, Some(("\"a\"", 5)))),
            Some(told()),
            "\"a\"",
            None,
            false,
        ),
        (
            Some(known(Some(("\"a\"", 5)), None, Some(("\"b\"", 6)))),
            Some(told()),
            "\"a\"",
            None,
            false,
        ),
        (
            Some(known(Some(("\"a\"", 5)), None, Some(("\"b\"", 4)))),
            Some(told()),
            "\"a\"",
            None,
            true,
        ),
    ] {
        let found = is_echo(source.as_ref(), receiver.as_ref(), brought, compare);
        assert_eq!(
            found, expected,
            "{source:?} {receiver:?} {brought} {compare:?}"
        );
    }
}

/// `field: owner | writers | policy | paths`, of a file that is kept for the configuration's own tests.
fn table(file: &str) -> Vec<String> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/config/valid")
        .join(file);
    let config = crate::config::load(&file).expect("a good file").config;
    let line = |row: Row| {
        format!(
            "{}: {} | {} | {} | {}",
            row.field,
            row.owner.as_deref().unwrap_or("nobody"),
            row.writers.join(", "),
            row.policy_words().unwrap_or_default(),
            row.paths()
        )
    };
    matrix(&config).into_iter().map(line).collect()
}

#[test]
fn every_field_has_a_row_that_says_which_paths_write_it() {
    assert_eq!(
        table("entities.toml"),
        [
            "note: crm | shop | newest by 1m | written by deals, back",
            "status: shop | crm | monotonic: pending < processing < completed | written by deals, back",
            "total: shop |  | owner | written by deals",
            "*: shop | crm:create_only | owner | written by deals",
        ]
    );
    assert_eq!(
        table("entities_doubtful.toml"),
        [
            "note: crm |  | owner | left out of deals; held on raw",
            "status: shop | crm | owner | written by deals, raw",
            "totl: shop |  | owner | no path carries it",
            "email: nobody |  |  | left out of deals; held on raw",
            "total: nobody |  |  | left out of deals; held on raw",
        ]
    );
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/config/valid/entities.toml");
    let config = crate::config::load(&file).expect("a good file").config;
    let order = &config.entities["order"];
    let rule = |field: &str| row_of(&config, order, field).map(|row| row.rule());
    assert_eq!(
        rule("status").as_deref(),
        Some(
            "shop owns it; crm may write it; policy monotonic: pending < processing < completed; \
             compared by casefold; while shop is down: queue"
        )
    );
    // A field that is not named stands in the row of the rest.
    assert_eq!(
        rule("email").as_deref(),
        Some("shop owns it; crm may write it when the record is made; policy owner; sensitive")
    );
}

fn any_rule() -> impl Strategy<Value = OwnedField> {
    let policy = proptest::sample::select(Policy::WORDS).prop_map(|(_, policy)| policy);
    let compare = proptest::option::of(proptest::sample::select(Compare::WORDS))
        .prop_map(|one| one.map(|(_, compare)| compare));
    (policy, any::<bool>(), compare, 0u64..10).prop_map(|(policy, order, compare, gap)| {
        OwnedField {
            order: if order && policy == Policy::Monotonic {
                ordered().order
            } else {
                Vec::new()
            },
            compare,
            gap: Duration::from_secs(gap),
            ..rule(policy)
        }
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        proptest::sample::select(vec!["", " ", "a", "b", "B", "c", "x"])
            .prop_map(|text| Value::Text(text.to_owned())),
        Just(Value::Set(["a".to_owned()].into())),
        Just(Value::Money {
            amount: "12.1".to_owned(),
            currency: None
        }),
    ]
}

fn any_system() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["shop", "crm", "erp", "mail", "pos"])
}

proptest! {
    #[test]
    fn no_policy_lets_a_stranger_write_nor_an_order_go_back(
        rule in any_rule(),
        systems in (any_system(), any_system()),
        values in (any_value(), proptest::option::of(any_value())),
        known in (proptest::option::of(any_value()), proptest::option::of(any_value())),
        at in (proptest::option::of(0i64..20_000), proptest::option::of(0i64..20_000)),
        flags in (any::<bool>(), any::<bool>()),
    ) {
        let ((ours, theirs), (source, receiver), (creating, forced)) = (values, systems, flags);
        let kept = |value: &Value| value.canonical();
        let (ours_kept, theirs_kept) = (kept(&ours), theirs.as_ref().map(kept));
        let (base, at_owner) = (known.0.as_ref().map(kept), known.1.as_ref().map(kept));
        let equal = theirs_kept.as_deref().is_some_and(|theirs| {
            crate::record::alike::kept(rule.compare, &ours_kept, theirs)
        });
        let case = Case {
            source, receiver, creating, forced,
            base: base.as_deref(),
            at_owner: at_owner.as_deref(),
            ours: Side { value: &ours, kept: &ours_kept, changed: at.0.map(Timestamp) },
            theirs: theirs.as_ref().zip(theirs_kept.as_deref())
                .map(|(value, kept)| Side { value, kept, changed: at.1.map(Timestamp) }),
            equal,
        };
        let decision = decide(&rule, &case);
        // The words of every verdict can be said.
        if let Decision::Leave(why) | Decision::Review(why) = decision {
            prop_assert!(!why.words(&rule, source, receiver).is_empty());
        }
        if matches!(source, "pos") || source == "mail" && !creating {
            prop_assert_eq!(decision, Decision::Denied);
        }
        if !creating && !forced && decision == Decision::Write {
            let rank = |value: &Value| rule.rank(&value.text()?);
            if let (Some(ours), Some(theirs)) = (rank(&ours), theirs.as_ref().and_then(rank)) {
                prop_assert!(rule.order.is_empty() || ours >= theirs);
            }
            // An owner that is known to have changed it is never overwritten by a writer, but by the later or the
            // further one, or by a fill.
            if source != rule.owner && receiver == rule.owner
                && matches!(rule.policy, Policy::Owner | Policy::Manual)
                && let (Some(theirs), Some(base)) = (&theirs_kept, &base)
            {
                prop_assert!(crate::record::alike::kept(rule.compare, theirs, base));
            }
        }
        // What is not read decides nothing.
        if !creating && !rule.needs_theirs(source) && rule.permits(source, false) {
            let blind = decide(&rule, &Case { theirs: None, ..case.clone() });
            prop_assert_eq!(blind, Decision::Write);
            prop_assert!(matches!(decision, Decision::Write | Decision::Leave(Why::Same)));
        }
    }
}
