//! When a server's certificate expires. Pure: the few steps into its DER (RFC 5280, 4.1) that lead to `notAfter`, and not
//! one more; whether it is valid at all is TLS's business. Called by `Outbound::reach`.

use chrono::NaiveDateTime;

use crate::time::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the validity of a DER certificate; none if it cannot be read so.
pub(super) fn expires(der: &[u8]) -> Option<Timestamp> {
    let (tag, certificate, _) = next(der)?;
    let (inner, mut rest, _) = next(certificate)?;
    if (tag, inner) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    // version (optional), serialNumber, signature, issuer, then validity.
    if rest.first() == Some(&VERSION) {
        rest = next(rest)?.2;
    }
    for _ in 0..3 {
        rest = next(rest)?.2;
    }
    let (_, validity, _) = next(rest)?;
    let (_, _, after) = next(validity)?;
    let (tag, text, _) = next(after)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// Tag, content and what follows of the first element.
fn next(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` with years from 1950 to 2049, or `YYYYMMDDHHMMSSZ` (RFC 5280, 4.1.2.5).
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let century = match (tag, text.get(..2)?) {
        (UTC_TIME, year) if year < "50" => "20",
        (UTC_TIME, _) => "19",
        (GENERALIZED_TIME, _) => "",
        _ => return None,
    };
    let text = format!("{century}{text}");
    let time = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some(Timestamp(time.and_utc().timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// Made with `openssl req -x509`: one ends before 2050, one after, which is written in the other way.
    const CERTIFICATES: [(&str, i64); 2] = [
        (
            "MIIBbTCCAROgAwIBAgIUVZkGjuigIffE8AGXzV6LPYrcjDYwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjQwMTU5NDVaFw0yNjEyMjQwMTU5NDVaMAwxCjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQwaqmW2beSYtMOF/7aeuYv/bo4INlg545NoGuVBX8EVEHDWXNSayWzl+mAeDCVnBMCDkcw8nzCpjavcv2i8KOHo1MwUTAdBgNVHQ4EFgQUJYOYIAithJvkWQsx+jrnwzlXOdAwHwYDVR0jBBgwFoAUJYOYIAithJvkWQsx+jrnwzlXOdAwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiApswnVrIyMrYYaHBsJSPV09SVx9r1UylxqguRL5YmuowIhAJB79BqKaRbjISJl9VX8MvCFIcEQrte2ImtmCru+VNoZ",
            1_798_077_585_000,
        ),
        (
            "MIIBbzCCARWgAwIBAgIUDKseoKVtOS+gIQuAgyPGXqxLqA8wCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBeDAgFw0yNjExMjQwMjAxMTNaGA8yMDU5MTAwMjAyMDExM1owDDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEDkJ7plUmhd1O6biNq6OYatsXLYe1Ij1XAi5swaF5L/z5kepFuKQdLGZ66fNXdUDeT9bpyWpYtJS8z5/H/VcLijUzBRMB0GA1UdDgQWBBSYjLbgLWv6H3j8PLcd6GZg0F7JbjAfBgNVHSMEGDAWgBSYjLbgLWv6H3j8PLcd6GZg0F7JbjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIC8/8pcO+nLm0Hwl+68SIPH5ggD7KCAnZ/RDshSb+MH3AiEAlbG51+lQF54pHOfOY+/7ZlHeuGxnAx2FUhEM1Xbh+CI=",
            2_832_285_673_000,
        ),
    ];

    #[test]
    fn the_end_is_read_and_a_certificate_that_is_cut_has_none() {
        for (text, end) in CERTIFICATES {
            let der = STANDARD.decode(text).unwrap();
            assert_eq!(expires(&der), Some(Timestamp(end)));
            for length in 0..der.len() {
                assert_eq!(expires(&der[..length]), None, "{length}");
            }
        }
        assert_eq!(expires(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
