//! Takes our own secrets out of what a receiver answers: frameworks in debug mode, and gateways, quote the request that
//! they did not like, and an answer is stored, shown and escalated. Pure; called by `Outbound::send` on every answer.

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};

use super::auth::AuthHeader;

/// What stands in a secret's place.
const INSTEAD: &[u8] = b"(secret)";

/// A credential shorter than this is no secret, and its letters may be part of any word.
const SHORTEST: usize = 6;

/// Parts of a webhook's URL of at least this length are secret by themselves ("services" and "webhooks" are shorter).
const SHORTEST_PART: usize = 9;

/// The secrets that one request carries.
#[derive(Default)]
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// The credential of a header: all of it, and what follows a scheme (`Bearer`, `Basic`).
    pub(super) fn of_header(header: &AuthHeader) -> Self {
        let value = header.1.as_bytes();
        let credential = match value.iter().position(|byte| *byte == b' ') {
            Some(space) => &value[space + 1..],
            None => value,
        };
        Self::of([credential.to_vec()], SHORTEST)
    }

    /// Texts that are secrets.
    pub(super) fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts = texts.into_iter().map(|text| text.as_bytes().to_vec());
        Self::of(texts, SHORTEST)
    }

    /// A URL that is itself a secret: its path and query as they stand, and each longer part of them, since an answer may
    /// write the slashes in between in its own way.
    pub(super) fn of_url(url: &Url) -> Self {
        let query = url
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        let whole = format!("{}{query}", url.path());
        let parts = whole
            .split(['/', '?', '&', '='])
            .map(|part| part.as_bytes().to_vec());
        let mut secrets = Self::of([whole.as_bytes().to_vec()], SHORTEST);
        secrets.0.extend(Self::of(parts, SHORTEST_PART).0);
        secrets
    }

    /// With these texts, too.
    pub(super) fn and<'a>(mut self, texts: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.extend(Self::of_texts(texts).0);
        self
    }

    fn of(secrets: impl IntoIterator<Item = Vec<u8>>, shortest: usize) -> Self {
        let long = secrets
            .into_iter()
            .filter(|secret| secret.len() >= shortest);
        Self(long.collect())
    }

    /// The body without them.
    pub(super) fn hide(&self, body: Bytes) -> Bytes {
        self.0
            .iter()
            .fold(body, |body, secret| match without(&body, secret) {
                Some(clean) => clean.into(),
                None => body,
            })
    }

    /// Takes them out of header values.
    pub(super) fn hide_in(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            for secret in &self.0 {
                if let Some(clean) = without(value.as_bytes(), secret) {
                    // What stands in its place is text that any header may hold.
                    *value =
                        HeaderValue::from_bytes(&clean).unwrap_or(HeaderValue::from_static(""));
                }
            }
        }
    }
}

/// `text` without `secret`; none if it is not in it.
fn without(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let find = |from: usize| {
        // The first byte alone rules nearly all places out; listings are large.
        let (first, more) = secret.split_first()?;
        let mut at = from;
        loop {
            at += text.get(at..)?.iter().position(|byte| byte == first)?;
            if text[at + 1..].starts_with(more) {
                return Some(at);
            }
            at += 1;
        }
    };
    let mut next = find(0)?;
    let mut clean = Vec::with_capacity(text.len());
    let mut from = 0;
    loop {
        clean.extend_from_slice(&text[from..next]);
        clean.extend_from_slice(INSTEAD);
        from = next + secret.len();
        match find(from) {
            Some(at) => next = at,
            None => break,
        }
    }
    clean.extend_from_slice(&text[from..]);
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::AUTHORIZATION;

    fn hidden(secrets: &Secrets, text: &'static str) -> String {
        String::from_utf8(secrets.hide(Bytes::from_static(text.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn a_credential_is_hidden_wherever_it_stands() {
        let header = (
            AUTHORIZATION,
            HeaderValue::from_static("Bearer abc-123-def"),
        );
        let secrets = Secrets::of_header(&header);
        for (text, clean) in [
            ("abc-123-def", "(secret)"),
            ("Bearer abc-123-def.", "Bearer (secret)."),
            ("abc-123-defabc-123-def", "(secret)(secret)"),
            ("abc-123-de", "abc-123-de"),
            ("", ""),
        ] {
            assert_eq!(hidden(&secrets, text), clean, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("<abc-123-def>"));
        secrets.hide_in(&mut headers);
        assert_eq!(headers["x-request-id"], "<(secret)>");
        let short = (AUTHORIZATION, HeaderValue::from_static("Bearer or"));
        assert_eq!(hidden(&Secrets::of_header(&short), "an order"), "an order");
    }

    #[test]
    fn of_a_webhooks_url_the_path_is_secret_and_the_host_is_not() {
        let url =
            Url::parse("https://chat.example/services/T1/XXXXYYYYZZZZ?key=0123456789").unwrap();
        let secrets = Secrets::of_url(&url);
        for (text, clean) in [
            (
                "Cannot POST /services/T1/XXXXYYYYZZZZ?key=0123456789",
                "Cannot POST (secret)",
            ),
            (
                r"\/services\/T1\/XXXXYYYYZZZZ on chat.example",
                r"\/services\/T1\/(secret) on chat.example",
            ),
            ("key 0123456789", "key (secret)"),
        ] {
            assert_eq!(hidden(&secrets, text), clean, "{text}");
        }
        let bare = Url::parse("https://chat.example/").unwrap();
        assert_eq!(hidden(&Secrets::of_url(&bare), "a/b"), "a/b");
    }
}
