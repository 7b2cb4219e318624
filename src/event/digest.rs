//! The digest that tells a repeated event from another one under the same id or key. Pure; the intake calls it for
//! every event, and the store compares what it returns.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::Event;
use super::json::{self, JsonError, Token, Tokens};

/// The first 128 bits of the SHA-256 of type, subject, schema version and data, each with its length before it, so that
/// no two different events run into the same bytes. Id, source, time and extensions are left out: senders change them
/// when they repeat themselves.
///
/// `exclude`: JSON Pointers (RFC 6901) into the data whose values do not count, for senders that count their own tries.
/// The member's name still counts, and so do the bytes around the value: data that is no JSON counts whole.
pub fn of(event: &Event, exclude: &[String]) -> [u8; 16] {
    let mut hash = Sha256::new();
    let mut part = |value: Option<&[u8]>| {
        // Absent is not empty.
        let length = value.map_or(u64::MAX, |value| value.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(value.unwrap_or_default());
    };
    part(Some(event.kind.as_bytes()));
    part(event.subject.as_deref().map(str::as_bytes));
    part(event.schema_version.as_deref().map(str::as_bytes));
    let excluded = if exclude.is_empty() {
        Vec::new()
    } else {
        excluded(&event.data, exclude).unwrap_or_default()
    };
    if excluded.is_empty() {
        part(Some(&event.data));
    } else {
        let mut rest = Vec::with_capacity(event.data.len());
        let mut from = 0;
        for range in excluded {
            rest.extend_from_slice(&event.data[from..range.start]);
            from = range.end;
        }
        rest.extend_from_slice(&event.data[from..]);
        part(Some(&rest));
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

/// Where the values that `pointers` lead to stand in the data, in order and apart from each other.
fn excluded(data: &[u8], pointers: &[String]) -> Result<Vec<Range<usize>>, JsonError> {
    let wanted: Vec<Vec<String>> = pointers
        .iter()
        .map(|pointer| {
            let steps = pointer.split('/').skip(1);
            steps
                .map(|step| step.replace("~1", "/").replace("~0", "~"))
                .collect()
        })
        .collect();
    let mut tokens = Tokens::new(json::text(data)?);
    let mut found = Vec::new();
    // The steps to the value that comes next; inside an array the last one is a number that is counted up.
    let mut steps: Vec<String> = Vec::new();
    let mut arrays: Vec<Option<usize>> = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    while let Some(token) = tokens.next_token()? {
        match token {
            Token::Key(name) => {
                if let Some(last) = steps.last_mut() {
                    *last = json::unescape(name).unwrap_or_default();
                }
                continue;
            }
            Token::ObjectEnd | Token::ArrayEnd => {
                steps.pop();
                arrays.pop();
                if let Some((start, depth)) = open
                    && depth == steps.len()
                {
                    found.push(start..tokens.range().end);
                    open = None;
                }
                continue;
            }
            _ => {}
        }
        // A value begins.
        if let (Some(Some(index)), Some(last)) = (arrays.last_mut(), steps.last_mut()) {
            *last = index.to_string();
            *index += 1;
        }
        let leads = open.is_none() && wanted.contains(&steps);
        let container = matches!(token, Token::ObjectStart | Token::ArrayStart);
        if leads && container {
            open = Some((tokens.range().start, steps.len()));
        } else if leads {
            found.push(tokens.range());
        }
        if container {
            arrays.push((token == Token::ArrayStart).then_some(0));
            steps.push(String::new());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::event;

    #[test]
    fn the_same_content_has_the_same_digest_whoever_sends_it_and_when() {
        let first = event("order.paid", r#"{"total":12.10}"#);
        let mut again = first.clone();
        again.id = "e-2".into();
        again.source = "elsewhere".into();
        again.time = Some(crate::time::Timestamp(1));
        again.extensions.push(("traceparent".into(), "x".into()));
        assert_eq!(of(&first, &[]), of(&again, &[]));
    }

    #[test]
    fn any_other_content_has_another() {
        type Change = fn(&mut Event);
        let first = event("order.paid", r#"{"total":12.10}"#);
        let changes: [(&str, Change); 6] = [
            ("type", |e| e.kind = "order.pai".into()),
            ("no subject", |e| e.subject = None),
            ("empty subject", |e| e.subject = Some(String::new())),
            ("version", |e| e.schema_version = Some("1".into())),
            ("data", |e| e.data = r#"{"total":12.1}"#.into()),
            // The boundary moves from one part to the next.
            ("boundary", |e| {
                e.kind = "order.paid1".into();
                e.subject = Some("042".into());
            }),
        ];
        let mut seen = vec![of(&first, &[])];
        for (what, change) in changes {
            let mut other = first.clone();
            change(&mut other);
            let digest = of(&other, &[]);
            assert!(!seen.contains(&digest), "{what}");
            seen.push(digest);
        }
    }

    fn without(data: &str, exclude: &[&str]) -> [u8; 16] {
        let exclude: Vec<String> = exclude.iter().map(|&one| one.to_owned()).collect();
        of(&event("order.paid", data), &exclude)
    }

    #[test]
    fn what_is_excluded_does_not_count_and_everything_else_does() {
        for (exclude, one, other, same) in [
            ("/try", r#"{"id":1,"try":1}"#, r#"{"id":1,"try":22}"#, true),
            ("/try", r#"{"id":1,"try":1}"#, r#"{"id":2,"try":1}"#, false),
            (
                "/try",
                r#"{"id":1,"try":1}"#,
                r#"{"id":1,"try":{"n":[1,{}]}}"#,
                true,
            ),
            (
                "/try",
                r#"{"id":1,"a":{"try":1}}"#,
                r#"{"id":1,"a":{"try":2}}"#,
                false,
            ),
            (
                "/a/try",
                r#"{"id":1,"a":{"try":1}}"#,
                r#"{"id":1,"a":{"try":2}}"#,
                true,
            ),
            (
                "/a/try",
                r#"{"try":1,"a":{"x":{"try":1}}}"#,
                r#"{"try":1,"a":{"x":{"try":2}}}"#,
                false,
            ),
            (
                "/0/try",
                r#"[{"try":1},{"try":1}]"#,
                r#"[{"try":2},{"try":1}]"#,
                true,
            ),
            (
                "/0/try",
                r#"[{"try":1},{"try":1}]"#,
                r#"[{"try":1},{"try":2}]"#,
                false,
            ),
            (
                "/a/1",
                r#"{"a":[[1,2],3,4]}"#,
                r#"{"a":[[1,2],"x",4]}"#,
                true,
            ),
            ("/a~1b", r#"{"a/b":1}"#, r#"{"a/b":2}"#, true),
            ("/a~01", r#"{"a~1":1}"#, r#"{"a~1":2}"#, true),
            ("/\u{e9}", r#"{"\u00e9":1}"#, r#"{"\u00e9":2}"#, true),
            ("/missing", r#"{"a":1}"#, r#"{"a":1}"#, true),
            ("/missing", r#"{"a":1}"#, r#"{"a":2}"#, false),
            ("/try", "no JSON 1", "no JSON 2", false),
        ] {
            let is_same = without(one, &[exclude]) == without(other, &[exclude]);
            assert_eq!(is_same, same, "{exclude}: {one} and {other}");
        }
        let two = ["/a", "/b/c"];
        assert_eq!(
            without(r#"{"a":1,"b":{"c":2,"d":3}}"#, &two),
            without(r#"{"a":[9],"b":{"c":"8","d":3}}"#, &two)
        );
        assert_eq!(
            without(r#"{"a":{"b":1}}"#, &["/a", "/a/b"]),
            without(r#"{"a":{"b":2}}"#, &["/a", "/a/b"]),
            "one inside another is taken out once"
        );
    }

    #[test]
    fn without_exclusions_every_byte_counts() {
        assert_ne!(without(r#"{"a":1}"#, &[]), without(r#"{"a": 1}"#, &[]));
    }
}
