//! How much is too much: `"1%"`, `"3 orders"`, `"3 orders or 500 NOK"`.

use super::super::model::Limit;
use super::super::reader::Value;
use crate::record::decimal::Decimal;

/// Reads a limit; a number is a share from 0 to 1.
pub(super) fn read(value: &Value<'_>, expected: &str) -> Option<Limit> {
    let Some(text) = value.as_text() else {
        return value.fraction().map(|share| Limit {
            share: Some(share),
            ..Limit::default()
        });
    };
    let found = parse(text);
    if found.is_none() {
        value.wrong(expected, None);
    }
    found
}

fn parse(text: &str) -> Option<Limit> {
    let mut limit = Limit::default();
    for part in text.split(" or ") {
        let part = part.trim();
        if let Some(percent) = part.strip_suffix('%') {
            let share = percent.trim().parse::<f64>().ok()? / 100.0;
            let is_new = limit.share.replace(share).is_none();
            if !is_new || !(0.0..=1.0).contains(&share) {
                return None;
            }
            continue;
        }
        let (number, unit) = part.split_once(char::is_whitespace)?;
        let unit = unit.trim();
        if unit.len() == 3 && unit.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let amount = Decimal::parse(number)?.plain(0)?;
            if amount.starts_with('-') || limit.money.iter().any(|(_, code)| code == unit) {
                return None;
            }
            limit.money.push((amount, unit.to_owned()));
        } else if matches!(unit, "pct" | "percent") {
            return None;
        } else if unit
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
        {
            let is_new = limit.count.replace(number.parse().ok()?).is_none();
            if !is_new {
                return None;
            }
        } else {
            return None;
        }
    }
    Some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shares_counts_and_money() {
        let limit = |share, count, money: &[(&str, &str)]| {
            Some(Limit {
                share,
                count,
                money: (money.iter())
                    .map(|(amount, code)| ((*amount).to_owned(), (*code).to_owned()))
                    .collect(),
            })
        };
        for (text, expected) in [
            ("1%", limit(Some(0.01), None, &[])),
            ("1 order", limit(None, Some(1), &[])),
            (
                "3 orders or 500 NOK",
                limit(None, Some(3), &[("500", "NOK")]),
            ),
            (
                "2% or 10.50 EUR or 500 NOK",
                limit(Some(0.02), None, &[("10.5", "EUR"), ("500", "NOK")]),
            ),
            ("0 orders", limit(None, Some(0), &[])),
            ("", None),
            ("3", None),
            ("101%", None),
            ("-1%", None),
            ("1% or 2%", None),
            ("1 order or 2 orders", None),
            ("1.5 orders", None),
            ("-5 NOK", None),
            ("5 NOK or 6 NOK", None),
            ("orders 3", None),
            ("3 orders and 500 NOK", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
