//! Records that match one to one: their fields are compared. Pure.

use super::{Judge, Standing, Verdict};
use crate::config::model::JobField;
use crate::reconcile::row::{Row, UNREAD};
use crate::record::alike;
use crate::record::amount::Amount;
use crate::store::view::{DifferenceKind, DifferenceRow};

/// Two values of a field mean the same. Missing, null and blank are three different things; a value that could not be read
/// is equal to nothing.
pub fn same(field: &JobField, a: Option<&str>, b: Option<&str>) -> bool {
    let (a, b) = match (a, b) {
        (None, None) => return true,
        (Some(a), Some(b)) => (a, b),
        _ => return false,
    };
    if a == UNREAD || b == UNREAD {
        return false;
    }
    if alike::kept(field.compare, a, b) {
        return true;
    }
    let group = |text: &str| {
        let text = alike::plain(text);
        (field.equal.iter()).position(|group| group.iter().any(|word| *word == text))
    };
    group(a).is_some_and(|found| group(b) == Some(found))
}

/// Judges records one to one, field by field. A key that occurs more than once on a side is one difference and is compared
/// no further.
#[derive(Debug, Clone, Copy)]
pub struct FieldJudge<'a> {
    /// The compared fields, in the rows' order.
    pub fields: &'a [JobField],
}

impl Judge for FieldJudge<'_> {
    fn key(&self, first: &[Row], second: &[Row], _whole: bool) -> Verdict {
        match (first, second) {
            ([a], [b]) => self.pair(a, b),
            ([a], []) => Verdict {
                standing: Standing::OnlyFirst,
                rows: vec![difference(Some(a), None, DifferenceKind::OnlyFirst)],
                ..Verdict::default()
            },
            ([], [b]) => Verdict {
                standing: Standing::OnlySecond,
                rows: vec![difference(None, Some(b), DifferenceKind::OnlySecond)],
                ..Verdict::default()
            },
            _ => duplicate(
                [first.first(), second.first()],
                [first.len() as u64, second.len() as u64],
            ),
        }
    }
}

impl FieldJudge<'_> {
    fn pair(&self, a: &Row, b: &Row) -> Verdict {
        let mut verdict = Verdict::default();
        for (index, field) in self.fields.iter().enumerate() {
            let (one, other) = (text(a, index), text(b, index));
            if same(field, one, other) {
                continue;
            }
            if let Some((code, delta)) = delta(one, other) {
                owe(&mut verdict.money, code, delta);
            }
            verdict.standing = Standing::Differs;
            verdict.rows.push(DifferenceRow {
                field: Some(field.name.clone()),
                first: one.map(str::to_owned),
                second: other.map(str::to_owned),
                ..difference(Some(a), Some(b), DifferenceKind::Field)
            });
        }
        verdict
    }
}

/// A key that occurs more than once on a side: the first record of each side, and how many there are.
pub fn duplicate(first: [Option<&Row>; 2], count: [u64; 2]) -> Verdict {
    let [a, b] = first;
    let times = |count: u64| Some(format!("{count} records"));
    Verdict {
        standing: Standing::Differs,
        rows: vec![DifferenceRow {
            first: times(count[0]),
            second: times(count[1]),
            ..difference(a, b, DifferenceKind::Duplicate)
        }],
        ..Verdict::default()
    }
}

/// A difference of the records of one key, by the first of each side.
pub fn difference(
    first: Option<&Row>,
    second: Option<&Row>,
    kind: DifferenceKind,
) -> DifferenceRow {
    let id = |row: Option<&Row>| row.and_then(|row| row.id.clone());
    DifferenceRow {
        key: (first.or(second)).map_or_else(String::new, |row| row.key.clone()),
        ids: [id(first), id(second)],
        kind,
        ..DifferenceRow::default()
    }
}

fn text(row: &Row, field: usize) -> Option<&str> {
    row.fields.get(field)?.as_deref()
}

/// How much money two values are apart: amounts in one known currency.
fn delta<'a>(a: Option<&'a str>, b: Option<&str>) -> Option<(&'a str, Amount)> {
    let (one, code) = Amount::of_canonical(a?)?;
    let (other, other_code) = Amount::of_canonical(b?)?;
    let code = code.filter(|code| Some(*code) == other_code)?;
    Some((code, (one - other).abs()))
}

/// Fields of one record tell of the same money (a total, and the total before tax): the most of them counts.
fn owe(money: &mut Vec<(String, Amount)>, code: &str, delta: Amount) {
    match money.iter_mut().find(|(known, _)| known == code) {
        Some((_, most)) => *most = delta.max(*most),
        None => money.push((code.to_owned(), delta)),
    }
}
