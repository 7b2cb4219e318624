//! The base string: what a recipe says that the sender signed, made from the request. Called by the verifier, which feeds
//! it to the MAC piece by piece, and by what explains a verdict, which shows it.

use super::header::{malformed, text};
use super::{SignatureError, Signed};
use crate::config::model::{HeaderParser, Recipe};

/// What may stand between braces in a recipe's `base`: the raw body, the time stamp as it was sent, the message id, the
/// public URL that the sender called, the same as HubSpot signs it, and the request's method.
pub const PLACEHOLDERS: &[&str] = &["body", "timestamp", "id", "url", "hubspot_url", "method"];

/// [`PLACEHOLDERS`] in words, with their braces.
pub fn placeholders() -> String {
    let all: Vec<String> = PLACEHOLDERS
        .iter()
        .map(|name| format!("{{{name}}}"))
        .collect();
    match all.split_last() {
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Gives the pieces of the base string to `sink`, in order.
///
/// # Errors
/// A header that the base string needs is missing, or the recipe needs what is not known here.
pub(super) fn pieces(
    recipe: &Recipe,
    signed: Signed<'_>,
    time: Option<&str>,
    mut sink: impl FnMut(&[u8]),
) -> Result<(), SignatureError> {
    let mut rest = recipe.base.as_str();
    while !rest.is_empty() {
        let Some(open) = rest.find('{') else {
            sink(rest.as_bytes());
            break;
        };
        sink(&rest.as_bytes()[..open]);
        let tail = &rest[open..];
        let close = tail.find('}').ok_or(SignatureError::Recipe(
            "a base string whose braces are closed",
        ))?;
        let url = || signed.url.ok_or(SignatureError::Recipe("site.public_url"));
        match &tail[1..close] {
            "body" => sink(signed.body),
            "timestamp" => {
                let text = time.ok_or_else(|| match recipe.parser {
                    HeaderParser::Pairs { .. } => malformed(&recipe.header, "no time stamp"),
                    _ => SignatureError::Recipe("a timestamp_header"),
                })?;
                sink(text.as_bytes());
            }
            "id" => {
                let name = recipe
                    .id_header
                    .as_deref()
                    .ok_or(SignatureError::Recipe("an id_header"))?;
                sink(text(signed.headers, name)?.as_bytes());
            }
            "url" => sink(url()?.as_bytes()),
            "hubspot_url" => sink(hubspot(url()?).as_bytes()),
            "method" => sink(signed.method.as_bytes()),
            _ => {
                return Err(SignatureError::Recipe(
                    "a base string of known placeholders",
                ));
            }
        }
        rest = &tail[close + 1..];
    }
    Ok(())
}

/// The URL with those escapes decoded that HubSpot decodes before it signs, and no others ("Validating requests", the table
/// of URL-encoded characters).
fn hubspot(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let escape = rest.get(at + 1..at + 3).unwrap_or_default();
        let decoded = match escape.to_ascii_uppercase().as_str() {
            "3A" => ':',
            "2F" => '/',
            "3F" => '?',
            "40" => '@',
            "21" => '!',
            "24" => '$',
            "27" => '\'',
            "28" => '(',
            "29" => ')',
            "2A" => '*',
            "2C" => ',',
            "3B" => ';',
            _ => {
                out.push('%');
                rest = &rest[at + 1..];
                continue;
            }
        };
        out.push(decoded);
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubspot_decodes_twelve_escapes_and_leaves_the_rest() {
        for (url, signed) in [
            ("https://a.example/x", "https://a.example/x"),
            ("/x?to=a%40b&at=12%3A30%2f1", "/x?to=a@b&at=12:30/1"),
            ("%21%24%27%28%29%2A%2C%3B%3F", "!$'()*,;?"),
            ("/a%20b%25%26%2B%3D%C3%A6", "/a%20b%25%26%2B%3D%C3%A6"),
            ("%2540", "%2540"),
            ("%", "%"),
            ("%4", "%4"),
            ("%é", "%é"),
        ] {
            assert_eq!(hubspot(url), signed, "{url}");
        }
    }

    #[test]
    fn the_placeholders_in_words() {
        assert_eq!(
            placeholders(),
            "{body}, {timestamp}, {id}, {url}, {hubspot_url} and {method}"
        );
    }
}
