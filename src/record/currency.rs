//! Currencies of ISO 4217 and how many decimals their minor unit has. Pure.
//!
//! Source: ISO 4217 list one ("Current currency & funds code list", column "Minor unit") as its maintenance agency SIX
//! publishes it, with the amendments up to 2026. Codes that were withdrawn in the last years (ANG, BGN, CUC, HRK, SLL,
//! ZWL) stay: old records carry them. Metals, accounting units and test codes have no minor unit. Vendors depart from
//! the list (Stripe counts MGA in whole ariary and ISK in hundredths): that is said in the map, never here.

/// No decimals.
const NONE: &str = "\
    BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF \
    XPF";

/// Two decimals.
const TWO: &str = "\
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND \
    BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU \
    CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL \
    GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES \
    KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT \
    MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB \
    PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP \
    SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD \
    TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG \
    ZWL";

/// Three decimals.
const THREE: &str = "\
    BHD IQD JOD KWD LYD OMR TND";

/// Four decimals.
const FOUR: &str = "\
    CLF UYW";

/// Decimals of the currency's minor unit; none if ISO 4217 knows no such currency, or gives it no minor unit.
/// `code` in upper case.
pub fn exponent(code: &str) -> Option<u8> {
    if code.len() != 3 {
        return None;
    }
    [(TWO, 2), (NONE, 0), (THREE, 3), (FOUR, 4)]
        .into_iter()
        .find(|(codes, _)| codes.split(' ').any(|known| known == code))
        .map(|(_, exponent)| exponent)
}

/// The code in upper case, if it looks like one: three ASCII letters, surrounding blanks apart. Whether ISO 4217 knows it
/// matters only where an exponent is asked for.
pub fn code(text: &str) -> Option<String> {
    let text = text.trim();
    (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
        .then(|| text.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_those_of_the_list() {
        for (code, expected) in [
            ("NOK", Some(2)),
            ("USD", Some(2)),
            ("MGA", Some(2)),
            ("JPY", Some(0)),
            ("ISK", Some(0)),
            ("XOF", Some(0)),
            ("KWD", Some(3)),
            ("TND", Some(3)),
            ("CLF", Some(4)),
            ("XAU", None),
            ("XXX", None),
            ("ZZZ", None),
            ("nok", None),
            ("NO", None),
            ("", None),
            ("K U", None),
        ] {
            assert_eq!(exponent(code), expected, "{code}");
        }
        let listed = [NONE, TWO, THREE, FOUR].map(|codes| codes.split(' ').collect::<Vec<_>>());
        let mut all = listed.concat();
        assert!(
            all.iter()
                .all(|known| code(known).as_deref() == Some(*known))
        );
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!((all.len(), count), (171, 171));
    }

    #[test]
    fn a_code_is_three_letters() {
        assert_eq!(code(" nok ").as_deref(), Some("NOK"));
        for bad in ["", "kr", "NOKK", "N0K", "€", "ÅÄÖ"] {
            assert_eq!(code(bad), None, "{bad}");
        }
    }
}
