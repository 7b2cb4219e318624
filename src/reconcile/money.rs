//! Payments beside the order that they name: what was captured less what was given back, against what the order says of
//! itself. Pure. The judge of jobs with the preset `payment-order`.
//!
//! *Net* is captured less refunded, summed over the payments that count (each id once, in one of the statuses `counts`).
//!
//! | order | payments | it is |
//! |---|---|---|
//! | none | net 0 | apart |
//! | none | net ≠ 0 | orphan: review |
//! | paid, total > 0 | none | unpaid: critical |
//! | any other | none | apart |
//! | cancelled | net > 0 | paid, but cancelled: critical |
//! | cancelled, pending, `refunded` | given back in full | fine |
//! | paid | given back in full | amount: review |
//! | paid, or a status that is named nowhere | captured or net is the total | fine |
//! | pending | net is the total | paid, but pending: repairable |
//! | any | anything else, or more than one currency | amount: review |

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Judge, Standing, Verdict, difference, duplicate};
use super::row::{Row, UNREAD};
use crate::config::model::Money;
use crate::record::alike;
use crate::record::amount::Amount;
use crate::store::view::{DifferenceKind, DifferenceRow, Grade};

/// The status of an order whose money was given back.
const REFUNDED: &str = "refunded";

/// Judges the payments of one order. Rows are as [`super::wanted::Wanted::of`] reads them.
#[derive(Debug, Clone, Copy)]
pub struct MoneyJudge<'a> {
    /// Which statuses mean what.
    pub money: &'a Money,
}

/// What the payments of one order come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    captured: Amount,
    refunded: Amount,
    /// The currencies that are named.
    codes: BTreeSet<String>,
    /// How many count.
    count: usize,
}

impl Sum {
    fn net(&self) -> Amount {
        self.captured - self.refunded
    }

    /// As the ledger keeps money.
    fn text(&self, amount: Amount) -> String {
        match self.codes.first() {
            Some(code) => format!("{amount} {code}"),
            None => amount.to_string(),
        }
    }
}

/// An order, read.
struct Order<'a> {
    total: Amount,
    code: Option<&'a str>,
    status: String,
}

impl Judge for MoneyJudge<'_> {
    fn key(&self, payments: &[Row], orders: &[Row], whole: bool) -> Verdict {
        if orders.len() > 1 {
            let counts = [payments.len() as u64, orders.len() as u64];
            return duplicate([payments.first(), orders.first()], counts);
        }
        let ends = (payments.first(), orders.first());
        let sum = match self.sum(payments) {
            Ok(sum) => sum,
            Err(row) => return unread((Some(row), ends.1), &self.money.captured),
        };
        let Some(order) = ends.1 else {
            return named(orphan(&sum, ends), payments);
        };
        let Some(order) = read_order(order) else {
            return unread(ends, &self.money.total);
        };
        named(self.judge(&sum, &order, ends, whole), payments)
    }
}

/// Between the ids of several payments.
pub const BETWEEN: char = ' ';

/// Names all payments of an order, not just the first.
fn named(mut verdict: Verdict, payments: &[Row]) -> Verdict {
    let ids: BTreeSet<&str> = payments
        .iter()
        .filter_map(|row| row.id.as_deref())
        .collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    for row in &mut verdict.rows {
        row.ids[0] = (!ids.is_empty()).then(|| ids.join(&BETWEEN.to_string()));
    }
    verdict
}

impl MoneyJudge<'_> {
    /// Adds up what counts; the error is a payment that cannot be read.
    fn sum(self, payments: &[Row]) -> Result<Sum, &Row> {
        let mut sum = Sum::default();
        // Pages that shift while they are read bring a payment twice; the later word counts.
        let mut of: BTreeMap<Option<&str>, &Row> = BTreeMap::new();
        let mut all: Vec<&Row> = Vec::new();
        for payment in payments {
            match payment.id.as_deref() {
                None => all.push(payment),
                id => {
                    of.insert(id, payment);
                }
            }
        }
        all.extend(of.into_values());
        for payment in all {
            let status = text(payment, 2).map(alike::plain);
            match status.as_deref() {
                Some(UNREAD) => return Err(payment),
                status if !self.counts(status) => continue,
                _ => {}
            }
            sum.count += 1;
            let captured = text(payment, 0).filter(|text| *text != "null");
            for (part, into) in [
                (captured.ok_or(payment)?, &mut sum.captured),
                (given_back(payment), &mut sum.refunded),
            ] {
                let (amount, code) = Amount::of_canonical(part).ok_or(payment)?;
                *into = *into + amount;
                sum.codes.extend(code.map(str::to_owned));
            }
        }
        Ok(sum)
    }

    fn counts(self, status: Option<&str>) -> bool {
        let named = &self.money.counts;
        named.is_empty() || status.is_some_and(|status| named.iter().any(|word| word == status))
    }

    fn judge(
        self,
        sum: &Sum,
        order: &Order<'_>,
        ends: (Option<&Row>, Option<&Row>),
        whole: bool,
    ) -> Verdict {
        let is = |words: &[String]| words.contains(&order.status);
        let (paid, pending) = (is(&self.money.paid), is(&self.money.pending));
        let cancelled = is(&self.money.cancelled);
        let money = |amount: Amount, code: Option<&str>| {
            let code = code.or(sum.codes.first().map(String::as_str));
            code.map(|code| (code.to_owned(), amount.abs()))
                .into_iter()
                .collect::<Vec<_>>()
        };
        if sum.count == 0 {
            // Without its listing's end a payment may still come.
            if !(paid && order.total > Amount::ZERO && whole) {
                return apart();
            }
            let found = DifferenceRow {
                field: Some("status".to_owned()),
                second: text_of(ends.1, 1),
                grade: Grade::Critical,
                note: Some("it says that it is paid, and no payment names it".to_owned()),
                ..difference(None, ends.1, DifferenceKind::Unpaid)
            };
            return verdict(Standing::OnlySecond, found, money(order.total, order.code));
        }
        let net = sum.net();
        let amount = |note: &str| {
            let found = DifferenceRow {
                field: Some(self.money.total.clone()),
                first: Some(sum.text(net)),
                second: text_of(ends.1, 0),
                grade: Grade::Review,
                note: Some(note.to_owned()),
                ..difference(ends.0, ends.1, DifferenceKind::Amount)
            };
            let delta = if cancelled { net } else { net - order.total };
            verdict(Standing::Differs, found, money(delta, order.code))
        };
        let status = |kind, grade, note: &str| {
            let found = DifferenceRow {
                field: Some("status".to_owned()),
                first: Some(sum.text(net)),
                second: text_of(ends.1, 1),
                grade,
                note: Some(note.to_owned()),
                ..difference(ends.0, ends.1, kind)
            };
            verdict(Standing::Differs, found, money(net, order.code))
        };
        let mut codes = sum.codes.clone();
        codes.extend(order.code.map(str::to_owned));
        if codes.len() > 1 {
            return amount("more than one currency");
        }
        let given_back = net == Amount::ZERO && sum.captured > Amount::ZERO;
        if given_back && (order.status == REFUNDED || cancelled || pending) {
            return Verdict::default();
        }
        if cancelled && net > Amount::ZERO {
            let note = "it was cancelled, and its money was kept";
            return status(DifferenceKind::PaidCancelled, Grade::Critical, note);
        }
        if given_back && order.total > Amount::ZERO {
            return amount("its money was given back in full");
        }
        match (net == order.total, sum.captured == order.total) {
            (true, _) if pending => {
                let note = "it is paid, and does not know it";
                status(DifferenceKind::PaidPending, Grade::Repairable, note)
            }
            (true, _) => Verdict::default(),
            (_, true) if !pending && !cancelled => Verdict::default(),
            _ => amount("what was paid is not what it costs"),
        }
    }
}

fn orphan(sum: &Sum, ends: (Option<&Row>, Option<&Row>)) -> Verdict {
    let net = sum.net();
    if sum.count == 0 || net == Amount::ZERO {
        return apart();
    }
    let found = DifferenceRow {
        first: Some(sum.text(net)),
        grade: Grade::Review,
        note: Some("the order that it names is not there".to_owned()),
        ..difference(ends.0, None, DifferenceKind::Orphan)
    };
    let code = sum.codes.first().cloned();
    let money = code.map(|code| (code, net.abs()));
    verdict(Standing::OnlyFirst, found, money.into_iter().collect())
}

fn unread((first, second): (Option<&Row>, Option<&Row>), field: &str) -> Verdict {
    let found = DifferenceRow {
        field: Some(field.to_owned()),
        first: text_of(first, 0),
        second: text_of(second, 0),
        grade: Grade::Told,
        note: Some("an amount or a status is not what its record map says".to_owned()),
        ..difference(first, second, DifferenceKind::Field)
    };
    verdict(Standing::Differs, found, Vec::new())
}

fn apart() -> Verdict {
    Verdict {
        standing: Standing::Apart,
        ..Verdict::default()
    }
}

fn verdict(standing: Standing, row: DifferenceRow, money: Vec<(String, Amount)>) -> Verdict {
    Verdict {
        standing,
        rows: vec![row],
        money,
    }
}

fn read_order(row: &Row) -> Option<Order<'_>> {
    let (total, code) = Amount::of_canonical(text(row, 0)?)?;
    let status = alike::plain(text(row, 1)?).into_owned();
    (status != UNREAD).then_some(Order {
        total,
        code,
        status,
    })
}

/// What was given back of a payment; a map without such a field, or none in the record, means nothing.
fn given_back(payment: &Row) -> &str {
    text(payment, 1)
        .filter(|text| *text != "null")
        .unwrap_or("0")
}

fn text(row: &Row, field: usize) -> Option<&str> {
    row.fields.get(field)?.as_deref()
}

fn text_of(row: Option<&Row>, field: usize) -> Option<String> {
    text(row?, field).map(str::to_owned)
}

#[cfg(test)]
mod tests;
