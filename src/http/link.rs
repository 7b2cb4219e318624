//! `Link` headers (RFC 8288): where a listing says that it goes on, where a deprecation is explained. Pure; listings,
//! reconciliation and the look at answers read it.

use reqwest::header::HeaderMap;

/// The target of the first link whose relation is `next`, as it is written: relative ones are relative to the request's URL.
pub fn next(headers: &HeaderMap) -> Option<&str> {
    related(headers, "next")
}

/// The target of the first link of this relation, as it is written.
pub fn related<'a>(headers: &'a HeaderMap, relation: &str) -> Option<&'a str> {
    headers
        .get_all("link")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| in_value(value, relation))
}

fn in_value<'a>(value: &'a str, relation: &str) -> Option<&'a str> {
    let mut rest = value;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let (mut parameters, more) = cut(after, ',');
        while !parameters.is_empty() {
            let (parameter, others) = cut(parameters, ';');
            if is_of(parameter, relation) {
                return Some(target);
            }
            parameters = others;
        }
        rest = more;
    }
}

/// Splits at the first such character that no quotes hold.
fn cut(text: &str, at: char) -> (&str, &str) {
    let mut quoted = false;
    for (place, character) in text.char_indices() {
        if character == '"' {
            quoted = !quoted;
        } else if character == at && !quoted {
            return (&text[..place], &text[place + 1..]);
        }
    }
    (text, "")
}

/// `rel` may hold several relations, separated by blanks; neither name nor relation minds case.
fn is_of(parameter: &str, wanted: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    name.trim().eq_ignore_ascii_case("rel")
        && value
            .trim()
            .trim_matches('"')
            .split_ascii_whitespace()
            .any(|relation| relation.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_link_is_found_however_it_is_written() {
        for (link, expected) in [
            (
                r#"<https://x/orders?page=2>; rel="next""#,
                Some("https://x/orders?page=2"),
            ),
            (
                r#"<https://x/?page=1>; rel="prev", <https://x/?page=3>; rel=next"#,
                Some("https://x/?page=3"),
            ),
            (r#"<?page=1,2>; REL = "Next""#, Some("?page=1,2")),
            (
                r#"<a>; title="one, <b>; rel=next", <c>; rel="last next""#,
                Some("c"),
            ),
            (r#"<https://x/?page=1>; rel="prev""#, None),
            (r#"<https://x/?rel=nextpage>; rel="last""#, None),
            ("<never closed; rel=next", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("link", link.parse().expect("a value"));
            assert_eq!(next(&headers), expected, "{link}");
        }
        assert_eq!(next(&HeaderMap::new()), None);
    }
}
