use proptest::prelude::*;

use super::*;

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn money() -> Money {
    Money {
        of: "order".to_owned(),
        captured: "amount".to_owned(),
        refunded: Some("refunded".to_owned()),
        counts: words(&["succeeded"]),
        total: "total".to_owned(),
        paid: words(&["processing", "completed", "refunded"]),
        pending: words(&["pending"]),
        cancelled: words(&["cancelled"]),
        becomes: Some("processing".to_owned()),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn payment(id: &str, captured: &str, refunded: Option<&str>, status: &str) -> Row {
    Row {
        key: "1042".to_owned(),
        id: Some(id.to_owned()),
        changed: None,
        fields: vec![
            Some(captured.to_owned()),
            refunded.map(str::to_owned),
            Some(quoted(status)),
        ],
    }
}

fn order(total: &str, status: &str) -> Row {
    Row {
        key: "1042".to_owned(),
        id: Some("77".to_owned()),
        changed: None,
        fields: vec![Some(total.to_owned()), Some(quoted(status))],
    }
}

/// `captured`, `captured-refunded`, or either with `!` for a failed one; each a payment of its own.
fn payments(texts: &[&str]) -> Vec<Row> {
    let one = |(index, text): (usize, &&str)| {
        let (text, status) = match text.strip_suffix('!') {
            Some(text) => (text, "failed"),
            None => (*text, "succeeded"),
        };
        let with = |text: &str| match text.split_once(' ') {
            None => format!("{text} NOK"),
            Some(_) => text.to_owned(),
        };
        let (captured, refunded) = match text.split_once('-') {
            Some((captured, refunded)) => (with(captured), Some(with(refunded))),
            None => (with(text), None),
        };
        payment(&format!("p{index}"), &captured, refunded.as_deref(), status)
    };
    texts.iter().enumerate().map(one).collect()
}

/// How a key is counted, what is told of it, and how much money is apart.
type Expected = (
    Standing,
    Option<(DifferenceKind, Grade)>,
    Option<&'static str>,
);
/// Payments, the order if there is one, and what is expected.
type Case = (
    &'static [&'static str],
    Option<(&'static str, &'static str)>,
    Expected,
);

#[test]
fn the_matrix() {
    use DifferenceKind as K;
    use Grade::{Critical, Repairable, Review};
    use Standing as S;
    let money = money();
    let judge = MoneyJudge { money: &money };
    let fine: Expected = (S::Equal, None, None);
    let apart: Expected = (S::Apart, None, None);
    let differs = |kind, grade, delta| (S::Differs, Some((kind, grade)), delta);
    let table: &[Case] = &[
        // No order.
        (
            &["120"],
            None,
            (S::OnlyFirst, Some((K::Orphan, Review)), Some("120")),
        ),
        (&["120-120"], None, apart),
        (&["120!"], None, apart),
        (
            &["120-20"],
            None,
            (S::OnlyFirst, Some((K::Orphan, Review)), Some("100")),
        ),
        // No payment.
        (
            &[],
            Some(("120 NOK", "processing")),
            (S::OnlySecond, Some((K::Unpaid, Critical)), Some("120")),
        ),
        (
            &["120!"],
            Some(("120 NOK", "completed")),
            (S::OnlySecond, Some((K::Unpaid, Critical)), Some("120")),
        ),
        (&[], Some(("0 NOK", "completed")), apart),
        (&[], Some(("120 NOK", "pending")), apart),
        (&[], Some(("120 NOK", "cancelled")), apart),
        (&[], Some(("120 NOK", "draft")), apart),
        // Paid.
        (&["120"], Some(("120 NOK", "processing")), fine),
        (&["120.00"], Some(("120", "completed")), fine),
        (&["100", "20"], Some(("120 NOK", "processing")), fine),
        (&["100", "20", "55!"], Some(("120 NOK", "processing")), fine),
        (&["120-20"], Some(("120 NOK", "completed")), fine),
        (&["140-20"], Some(("120 NOK", "completed")), fine),
        (
            &["119.99"],
            Some(("120 NOK", "completed")),
            differs(K::Amount, Review, Some("0.01")),
        ),
        (
            &["120", "120"],
            Some(("120 NOK", "processing")),
            differs(K::Amount, Review, Some("120")),
        ),
        (
            &["120-120"],
            Some(("120 NOK", "processing")),
            differs(K::Amount, Review, Some("120")),
        ),
        (&["120-120"], Some(("120 NOK", "refunded")), fine),
        (&["120-130"], Some(("120 NOK", "refunded")), fine),
        (&["0"], Some(("0 NOK", "completed")), fine),
        // Pending.
        (
            &["120"],
            Some(("120 NOK", "pending")),
            differs(K::PaidPending, Repairable, Some("120")),
        ),
        (
            &["130-10"],
            Some(("120 NOK", "pending")),
            differs(K::PaidPending, Repairable, Some("120")),
        ),
        (
            &["120-10"],
            Some(("120 NOK", "pending")),
            differs(K::Amount, Review, Some("10")),
        ),
        (
            &["60"],
            Some(("120 NOK", "pending")),
            differs(K::Amount, Review, Some("60")),
        ),
        (&["120-120"], Some(("120 NOK", "pending")), fine),
        // Cancelled.
        (
            &["120"],
            Some(("120 NOK", "cancelled")),
            differs(K::PaidCancelled, Critical, Some("120")),
        ),
        (
            &["120-20"],
            Some(("120 NOK", "cancelled")),
            differs(K::PaidCancelled, Critical, Some("100")),
        ),
        (&["120-120"], Some(("120 NOK", "cancelled")), fine),
        (
            &["120-130"],
            Some(("120 NOK", "cancelled")),
            differs(K::Amount, Review, Some("10")),
        ),
        // A word that is named nowhere.
        (&["120"], Some(("120 NOK", "packed")), fine),
        (
            &["60"],
            Some(("120 NOK", "packed")),
            differs(K::Amount, Review, Some("60")),
        ),
        // Currencies.
        (
            &["120 EUR"],
            Some(("120 NOK", "processing")),
            differs(K::Amount, Review, Some("0")),
        ),
        (
            &["60 EUR", "60"],
            Some(("120", "processing")),
            differs(K::Amount, Review, Some("0")),
        ),
    ];
    for (paid, of, expected) in table {
        let orders: Vec<Row> = of
            .iter()
            .map(|(total, status)| order(total, status))
            .collect();
        let found = judge.key(&payments(paid), &orders, true);
        let row = found.rows.first().map(|row| (row.kind, row.grade));
        let delta = found.money.first().map(|(_, amount)| amount.to_string());
        assert_eq!(
            (found.standing, row, delta.as_deref()),
            *expected,
            "{paid:?} {of:?}"
        );
        assert!(found.rows.iter().all(|row| row.key == "1042"));
    }
}

#[test]
fn an_order_without_a_payment_is_unpaid_only_where_all_payments_were_listed() {
    let money = money();
    let judge = MoneyJudge { money: &money };
    let found = judge.key(&[], &[order("120 NOK", "processing")], false);
    assert_eq!(found.standing, Standing::Apart);
}

#[test]
fn what_cannot_be_read_is_told_and_nothing_is_made_of_it() {
    let money = money();
    let judge = MoneyJudge { money: &money };
    let mut no_amount = payment("p", "120 NOK", None, "succeeded");
    no_amount.fields[0] = None;
    let good = payment("p", "120 NOK", None, "succeeded");
    for (paid, of) in [
        (
            payment("p", UNREAD, None, "succeeded"),
            order("120", "pending"),
        ),
        (
            payment("p", "120", Some(UNREAD), "succeeded"),
            order("120", "pending"),
        ),
        (
            payment("p", "null", None, "succeeded"),
            order("120", "pending"),
        ),
        (no_amount, order("120", "pending")),
        (good.clone(), order(UNREAD, "pending")),
        (good.clone(), order("120", UNREAD)),
    ] {
        let of = Row {
            fields: of
                .fields
                .iter()
                .map(|text| text.as_deref().map(|text| text.replace("\"?\"", "?")))
                .collect(),
            ..of
        };
        let found = judge.key(std::slice::from_ref(&paid), &[of], true);
        assert_eq!(found.standing, Standing::Differs, "{paid:?}");
        assert_eq!(found.rows[0].grade, Grade::Told, "{paid:?}");
        assert!(found.money.is_empty());
    }
    let twice = judge.key(
        &[good],
        &[order("120", "pending"), order("120", "pending")],
        true,
    );
    assert_eq!(twice.rows[0].kind, DifferenceKind::Duplicate);
}

#[test]
fn a_payment_that_two_pages_brought_counts_once() {
    let money = money();
    let judge = MoneyJudge { money: &money };
    let early = payment("p", "120 NOK", None, "pending");
    let late = payment("p", "120 NOK", None, "succeeded");
    let found = judge.key(
        &[early, late.clone(), late],
        &[order("120 NOK", "processing")],
        true,
    );
    assert_eq!(found.standing, Standing::Equal);
}

proptest! {
    #[test]
    fn the_order_of_payments_means_nothing_and_money_is_never_negative(
        amounts in proptest::collection::vec((0_u32..500, 0_u32..500, any::<bool>()), 0..6),
        total in 0_u32..1_000,
        status in prop_oneof![Just("processing"), Just("pending"), Just("cancelled"), Just("refunded"), Just("packed")],
        is_there in any::<bool>(),
    ) {
        let money = money();
        let judge = MoneyJudge { money: &money };
        let mut rows: Vec<Row> = amounts.iter().enumerate().map(|(index, (captured, refunded, counts))| {
            let refunded = format!("{refunded} NOK");
            let status = if *counts { "succeeded" } else { "failed" };
            payment(&format!("p{index}"), &format!("{captured} NOK"), Some(&refunded), status)
        }).collect();
        let orders: Vec<Row> = is_there.then(|| order(&format!("{total} NOK"), status)).into_iter().collect();
        let one = judge.key(&rows, &orders, true);
        rows.reverse();
        let other = judge.key(&rows, &orders, true);
        prop_assert_eq!((one.standing, &one.money), (other.standing, &other.money));
        prop_assert_eq!(one.rows.iter().map(|row| (row.kind, row.grade, row.first.clone())).collect::<Vec<_>>(),
            other.rows.iter().map(|row| (row.kind, row.grade, row.first.clone())).collect::<Vec<_>>());
        prop_assert!(one.money.iter().all(|(_, amount)| *amount >= Amount::ZERO));
    }
}
