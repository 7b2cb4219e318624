//! Percent-encoding (RFC 3986, section 2.1). Pure; URLs and forms are filled with it.

/// Appends `value` to `out`, all but RFC 3986's unreserved characters percent-encoded: it stays one part of a URL, and of
/// a form.
pub fn encode(value: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_unreserved_is_encoded() {
        for (value, encoded) in [
            ("aZ09-._~", "aZ09-._~"),
            ("a/b?c#d&e=f+g h%", "a%2Fb%3Fc%23d%26e%3Df%2Bg%20h%25"),
            ("ø\r\n", "%C3%B8%0D%0A"),
            ("", ""),
        ] {
            let mut out = String::new();
            encode(value, &mut out);
            assert_eq!(out, encoded);
        }
    }
}
