//! Exact amounts that can be added up and compared: whole billionths of the major unit. Pure; no float, no rounding.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Neg, Sub};

use super::decimal::Decimal;

/// Decimals that an amount can have: ISO 4217 knows four at most, and no payment is cut finer than this.
const PLACES: u8 = 9;

/// An amount, without its currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads a decimal in major units; none if it is no decimal, has more than nine decimals, or some 29 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let decimal = Decimal::parse(text.trim())?;
        if decimal.decimals() > u64::from(PLACES) {
            return None;
        }
        let plain = decimal.plain(PLACES)?;
        let (whole, fraction) = plain.split_once('.')?;
        format!("{whole}{fraction}").parse().ok().map(Self)
    }

    /// Reads what [`super::value::Value::canonical`] wrote of money: an amount, and its currency where it is known.
    pub fn of_canonical(text: &str) -> Option<(Self, Option<&str>)> {
        match text.split_once(' ') {
            Some((amount, code)) => Some((Self::parse(amount)?, Some(code))),
            None => Some((Self::parse(text)?, None)),
        }
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// As people write it, with at least as many decimals as the currency has, and the currency where it is known.
    pub fn shown(self, code: Option<&str>) -> String {
        match code {
            Some(code) => format!("{} {code}", super::value::padded(&self.to_string(), code)),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Amount {
    /// Plain, in normal form: `-12.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u128.pow(u32::from(PLACES));
        let all = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = format!("{:09}", all % unit);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{}", all / unit),
            fraction => write!(f, "{sign}{}.{fraction}", all / unit),
        }
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_added_up_and_shown_exactly() {
        for (text, shown) in [
            ("0", Some("0")),
            ("12.10", Some("12.1")),
            ("-0.05", Some("-0.05")),
            ("1e3", Some("1000")),
            ("0.000000001", Some("0.000000001")),
            ("0.0000000001", None),
            ("twelve", None),
            ("", None),
            ("99999999999999999999.99", Some("99999999999999999999.99")),
            ("1e40", None),
        ] {
            let read = Amount::parse(text).map(|amount| amount.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        }
        let of = |text| Amount::parse(text).unwrap();
        // What floats get wrong.
        assert_eq!(of("0.1") + of("0.2"), of("0.3"));
        assert_eq!(
            [of("10"), of("-0.5")].into_iter().sum::<Amount>(),
            of("9.5")
        );
        assert_eq!((of("1") - of("2.5")).shown(Some("NOK")), "-1.50 NOK");
        assert_eq!(of("-2").abs(), of("2"));
        assert!(of("2") < of("10"));
        assert_eq!(
            Amount::of_canonical("12.50 NOK"),
            Some((of("12.5"), Some("NOK")))
        );
        assert_eq!(Amount::of_canonical("12.5"), Some((of("12.5"), None)));
        assert_eq!(Amount::of_canonical("\"x\""), None);
    }
}
