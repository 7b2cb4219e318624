//! Who changed a field since both sides were last seen to agree on it. Pure. Called by `sift`.

use super::compare::same;
use crate::config::model::JobField;
use crate::store::view::Changed;

/// Who changed it; none where nothing is known of an agreement, or where neither did (one of them differs only in how it
/// is written). All three are values as the ledger keeps them.
pub fn changed(
    field: &JobField,
    base: Option<&str>,
    first: Option<&str>,
    second: Option<&str>,
) -> Option<Changed> {
    let base = Some(base?);
    match (same(field, base, first), same(field, base, second)) {
        (true, true) => None,
        (false, true) => Some(Changed::First),
        (true, false) => Some(Changed::Second),
        (false, false) => Some(Changed::Both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Compare;

    #[test]
    fn whoever_left_the_base_changed_it() {
        let plain = JobField {
            name: "status".to_owned(),
            compare: None,
            equal: Vec::new(),
            sensitive: false,
        };
        let folded = JobField {
            compare: Some(Compare::Casefold),
            equal: vec![vec!["processing".to_owned(), "paid".to_owned()]],
            ..plain.clone()
        };
        let (a, b, c) = (Some("\"a\""), Some("\"b\""), Some("\"c\""));
        for (field, base, first, second, expected) in [
            (&plain, None, a, b, None),
            (&plain, a, a, a, None),
            (&plain, a, b, a, Some(Changed::First)),
            (&plain, a, a, b, Some(Changed::Second)),
            (&plain, a, b, c, Some(Changed::Both)),
            (&plain, a, None, a, Some(Changed::First)),
            (&plain, a, a, None, Some(Changed::Second)),
            (&plain, Some("null"), a, Some("null"), Some(Changed::First)),
            (
                &plain,
                Some("10"),
                Some("10.00 NOK"),
                Some("11 NOK"),
                Some(Changed::Second),
            ),
            (&plain, a, Some("\"A\""), a, Some(Changed::First)),
            (&folded, a, Some("\"A\""), b, Some(Changed::Second)),
            (
                &folded,
                Some("\"paid\""),
                Some("\"processing\""),
                a,
                Some(Changed::Second),
            ),
            (
                &plain,
                Some("#1"),
                Some("#1"),
                Some("#2"),
                Some(Changed::Second),
            ),
        ] {
            let found = changed(field, base, first, second);
            assert_eq!(found, expected, "{base:?} {first:?} {second:?}");
        }
    }
}
