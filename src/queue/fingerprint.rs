//! What went wrong, as one stable number: failures that an operator would call the same get the same fingerprint, so that
//! dead letters can be read and replayed by group. Pure; called by `decide`.
//!
//! Everything that differs from record to record is removed first: numbers, hexadecimal, UUIDs, quoted text.

use sha2::{Digest, Sha256};

use crate::ids::Fingerprint;
use crate::queue::model::Class;

/// The most characters of a message that tell failures apart.
const SIGNIFICANT: usize = 300;

/// The fingerprint of a failure on `path`. `message` may come from outside; it is only hashed.
pub fn fingerprint(path: &str, class: Class, status: Option<u16>, message: &str) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(path.as_bytes());
    hash.update([0, class.code() as u8]);
    hash.update(status.unwrap_or(0).to_be_bytes());
    hash.update(normalise(message).as_bytes());
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    Fingerprint(i64::from_be_bytes(first))
}

/// `message` in lower case, with quoted text as `"`, words that hold a digit as `#`, and blanks as one space.
///
/// A word is a run of letters, digits, `-` and `_`, so a UUID, a hash, `cus_9a8B` and `2026-11-23T20` are one each.
pub fn normalise(message: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let mut chars = message.chars().take(SIGNIFICANT * 4).peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || matches!(c, '-' | '_') {
            word.extend(c.to_lowercase());
            previous = c;
            continue;
        }
        flush(&mut word, &mut out);
        match c {
            // An apostrophe inside a word (`isn't`) opens no quotation.
            '\'' if previous.is_alphanumeric()
                && chars.peek().is_some_and(|next| next.is_alphanumeric()) =>
            {
                out.push('\'');
            }
            '"' | '\'' | '`' | '“' | '‘' | '«' => {
                let close = match c {
                    '“' => '”',
                    '‘' => '’',
                    '«' => '»',
                    same => same,
                };
                let rest = chars.clone();
                // Without a closing quote it is punctuation, not a quotation.
                if let Some(length) = rest.clone().position(|c| c == close) {
                    let quoted: String = rest.take(length).collect();
                    chars.nth(length);
                    // `"error":` is the name of a field: it says what failed, so it stays.
                    if chars.peek() == Some(&':') {
                        word.push_str(&quoted);
                        flush(&mut word, &mut out);
                    } else {
                        out.push('"');
                    }
                }
            }
            c if c.is_whitespace() || c.is_control() => {
                if !out.ends_with(' ') && !out.is_empty() {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
        previous = c;
    }
    flush(&mut word, &mut out);
    out.truncate(out.trim_end().len());
    match out.char_indices().nth(SIGNIFICANT) {
        Some((end, _)) => out[..end].to_owned(),
        None => out,
    }
}

/// Ends a word: one that holds a digit, or is long hexadecimal, differs from record to record.
fn flush(word: &mut String, out: &mut String) {
    if word.is_empty() {
        return;
    }
    let hexadecimal = word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if hexadecimal || word.chars().any(char::is_numeric) {
        out.push('#');
    } else {
        out.push_str(word);
    }
    word.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_differs_from_record_to_record_is_removed() {
        for (message, normal) in [
            ("Contact 1042 not found", "contact # not found"),
            ("contact 7  not\nfound ", "contact # not found"),
            ("no such customer: cus_9a8B7c", "no such customer: #"),
            (
                "id 3f2504e0-4f89-11d3-9a0c-0305e82c3301 at 2026-11-23T20:10:00Z",
                "id # at #:#:#",
            ),
            ("deadbeefcafe is unknown", "# is unknown"),
            (r#"field "total" must be > 0"#, r#"field " must be > #"#),
            (r#"{"error": "no 5", "id":"7"}"#, r#"{error: ", id:"}"#),
            ("it isn't there", "it isn't there"),
            ("unclosed \" quote 5", "unclosed quote #"),
            ("", ""),
        ] {
            assert_eq!(normalise(message), normal, "{message}");
        }
    }

    #[test]
    fn same_failure_same_number_and_each_part_counts() {
        let of = |path, class, status, message| fingerprint(path, class, status, message);
        let base = of("crm", Class::Rejected, Some(422), "order 7 has no total");
        assert_eq!(
            base,
            of("crm", Class::Rejected, Some(422), "order 1042 has no total")
        );
        for other in [
            of("erp", Class::Rejected, Some(422), "order 7 has no total"),
            of("crm", Class::Permanent, Some(422), "order 7 has no total"),
            of("crm", Class::Rejected, Some(400), "order 7 has no total"),
            of("crm", Class::Rejected, Some(422), "order 7 has no email"),
        ] {
            assert_ne!(base, other);
        }
        // Stored in databases: it must not change from version to version.
        assert_eq!(base.0, 6_521_308_564_850_747_668);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_numbers_never_matter(text in "\\PC{0,80}", a: u32, b: u32) {
            prop_assert_eq!(normalise(&format!("{text} {a} end")), normalise(&format!("{text} {b} end")));
            prop_assert!(normalise(&text).chars().count() <= SIGNIFICANT);
        }
    }
}
