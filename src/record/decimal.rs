//! Exact decimals: amounts are never floats and nothing is rounded. Pure; `record` and `reconcile` judge money with it.

use std::fmt;

/// The longest plain text that is made of a decimal. The longest real amounts have some twenty digits; `1e999999999`
/// from outside must not become a gigabyte.
const LONGEST: usize = 60;

/// An exact decimal in normal form: no float, no rounding, no limit on digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// No zero at either end; empty for zero.
    digits: String,
    /// Power of ten of the last digit.
    exponent: i64,
}

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]`, ASCII digits only; no grouping, no currency.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !numeric(whole) || !numeric(fraction) {
            return None;
        }
        if mantissa.contains('.') && fraction.is_empty() {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let all = all.trim_start_matches('0');
        let digits = all.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits: String::new(),
                exponent: 0,
            });
        }
        let dropped = (all.len() - digits.len()) as i64;
        Some(Self {
            negative,
            digits: digits.to_owned(),
            exponent: exponent
                .checked_sub(fraction.len() as i64)?
                .checked_add(dropped)?,
        })
    }

    /// Times ten to the power of `places`. None beyond what can be counted.
    pub fn shifted(mut self, places: i64) -> Option<Self> {
        if !self.digits.is_empty() {
            self.exponent = self.exponent.checked_add(places)?;
        }
        Some(self)
    }

    /// How many decimals it has.
    pub fn decimals(&self) -> u64 {
        self.exponent.min(0).unsigned_abs()
    }

    /// As people write it, with at least `decimals` of them (`12.1` with 2 is `12.10`) and never fewer than it has.
    /// None if that were longer than 60 characters.
    pub fn plain(&self, decimals: u8) -> Option<String> {
        let places = self.decimals().max(u64::from(decimals));
        let places = usize::try_from(places).ok().filter(|n| *n <= LONGEST)?;
        // Digits right of the point that the digits themselves do not reach, or zeros of the whole part.
        let zeros = usize::try_from(self.exponent.checked_add(places as i64)?).ok()?;
        if self.digits.len().saturating_add(zeros) > LONGEST {
            return None;
        }
        let mut units = self.digits.clone();
        if !units.is_empty() {
            units.extend(std::iter::repeat_n('0', zeros));
        }
        let width = places + 1;
        let units = format!("{units:0>width$}");
        let sign = if self.negative { "-" } else { "" };
        let (whole, fraction) = units.split_at(units.len() - places);
        Some(if fraction.is_empty() {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        })
    }
}

impl fmt::Display for Decimal {
    /// Normal form for canonical JSON: `DIGITSeEXPONENT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        let sign = if self.negative { "-" } else { "" };
        match self.exponent {
            0 => write!(f, "{sign}{}", self.digits),
            exponent => write!(f, "{sign}{}e{exponent}", self.digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_decimals_are_decimals() {
        for (text, normal) in [
            ("0", "0"),
            ("-0", "0"),
            ("+7", "7"),
            ("1200", "12e2"),
            ("0.0120", "12e-3"),
            ("12e2", "12e2"),
            ("1.2E-2", "12e-3"),
            ("007", "7"),
        ] {
            assert_eq!(
                Decimal::parse(text).map(|d| d.to_string()).as_deref(),
                Some(normal),
                "{text}"
            );
        }
        for bad in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1,5",
            "1_000",
            "NaN",
            "inf",
            "0x10",
            "1e",
            "1e1.5",
            "--1",
            "١",
            "1e99999999999999999999",
            "1 2",
            " 1",
        ] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn it_is_written_as_people_write_amounts() {
        for (text, decimals, plain) in [
            ("12.1", 2, Some("12.10")),
            ("12.1", 0, Some("12.1")),
            ("12.105", 2, Some("12.105")),
            ("1200", 2, Some("1200.00")),
            ("1.2e3", 0, Some("1200")),
            ("-0.05", 2, Some("-0.05")),
            ("5e-3", 3, Some("0.005")),
            ("0", 2, Some("0.00")),
            ("-0.00", 0, Some("0")),
            ("1e59", 0, Some(&*format!("1{}", "0".repeat(59)))),
            ("1e60", 0, None),
            ("1e-61", 0, None),
            ("1e9223372036854775807", 3, None),
            ("1e-9223372036854775807", 3, None),
        ] {
            let decimal = Decimal::parse(text).expect(text);
            assert_eq!(decimal.plain(decimals).as_deref(), plain, "{text}");
        }
    }

    #[test]
    fn shifting_moves_the_point_only() {
        for (text, places, shifted) in [
            ("12.10", 2, "1210"),
            ("1210", -2, "12.1"),
            ("0", 5, "0"),
            ("-1", -3, "-0.001"),
        ] {
            let decimal = Decimal::parse(text).and_then(|d| d.shifted(places));
            assert_eq!(decimal, Decimal::parse(shifted), "{text}");
        }
        let huge = Decimal::parse("1e9223372036854775807").expect("huge");
        assert_eq!(huge.shifted(1), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_same_decimal(text in "-?[0-9]{1,20}(\\.[0-9]{1,10})?(e-?[0-9])?", decimals in 0u8..5) {
            let decimal = Decimal::parse(&text).expect("a decimal");
            let plain = decimal.plain(decimals).expect("short enough");
            prop_assert_eq!(Decimal::parse(&plain), Some(decimal), "{}", plain);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}", places: i64, decimals: u8) {
            if let Some(decimal) = Decimal::parse(&text).and_then(|d| d.shifted(places)) {
                let _ = decimal.plain(decimals);
            }
        }
    }
}
