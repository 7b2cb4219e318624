//! From an event to the bytes that are sent: the original ones, or a template's. Pure; called by `dispatch` at the first
//! attempt of a generation, after which a rendered request is frozen.
//!
//! What comes from an event can never choose the host, leave its place in the URL, or add a header.

use reqwest::Url;
use sha2::{Digest, Sha256};

use crate::config::model::{Lane, Path, RequestTemplate};
use crate::event::Event;
use crate::event::expr::{Engine, ExprError, Scope};
use crate::http::address::{AddressError, address};
use crate::queue::model::Request;

/// Why a request could not be made of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A template failed; names the missing value where there is one.
    #[error("cannot render the {part}: {error}")]
    Template {
        /// `body`, `header x`.
        part: String,
        /// Why.
        error: ExprError,
    },
    /// The URL cannot be made.
    #[error(transparent)]
    Address(AddressError),
    /// The receiving system has no URL.
    #[error("system {0} has no url, and the path's is relative")]
    NoBase(String),
}

/// Renders the request of `event` on `path`. `base` is the receiving system's URL; a page path needs none, because
/// its channel's URL is a secret that is put in when it is sent.
pub fn render(
    path: &Path,
    base: Option<&Url>,
    event: &Event,
    engine: &Engine,
) -> Result<Request, RenderError> {
    let template = &path.request;
    let scope = template.is_rendered().then(|| Scope::event(event));
    let fill = |part: &str, text: &str| match &scope {
        Some(scope) if text.contains('{') => {
            engine
                .render_in(text, scope)
                .map_err(|error| RenderError::Template {
                    part: part.to_owned(),
                    error,
                })
        }
        _ => Ok(text.to_owned()),
    };
    let url = match path.lane {
        Lane::Page => path.to.clone(),
        Lane::Work | Lane::Repair => address(base, &template.url, scope.as_ref(), engine)
            .map_err(|error| match error {
                AddressError::NoBase => RenderError::NoBase(path.to.clone()),
                error => RenderError::Address(error),
            })?
            .into(),
    };
    let body = match &template.body {
        Some(text) => fill("body", text)?.into(),
        None if sends_no_body(template) => bytes::Bytes::new(),
        None => event.data.clone(),
    };
    let mut headers = Vec::with_capacity(template.headers.len() + 1);
    for (name, value) in &template.headers {
        let value = fill(&format!("header {name}"), value)?;
        headers.push((name.to_ascii_lowercase(), value));
    }
    let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(n, _)| n == name);
    if !body.is_empty() && !has(&headers, "content-type") {
        let original = template.body.is_none();
        let kind = event.content_type.as_deref().filter(|_| original);
        headers.push((
            "content-type".to_owned(),
            kind.unwrap_or("application/json").to_owned(),
        ));
    }
    Ok(Request {
        method: template.method.clone(),
        url,
        headers,
        key: key(&event.source, &event.id, &path.name, &body),
        body,
    })
}

/// The idempotency key of these bytes: the same for the same event, path and bytes, on every attempt and replay; another
/// for changed bytes. 32 hexadecimal digits.
pub fn key(source: &str, id: &str, path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [source.as_bytes(), id.as_bytes(), path.as_bytes(), body] {
        // With its length before it, no part can be taken for the beginning of the next.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// Methods whose requests have no content unless the path says so (RFC 9110, 9.3).
fn sends_no_body(template: &RequestTemplate) -> bool {
    matches!(template.method.as_str(), "GET" | "HEAD" | "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing;
    use proptest::prelude::*;

    fn base() -> Url {
        Url::parse("https://crm.example/api").expect("base")
    }

    fn request(
        change: impl FnOnce(&mut RequestTemplate),
        data: &str,
    ) -> Result<Request, RenderError> {
        let mut path = testing::path("crm");
        change(&mut path.request);
        let mut event = testing::event(7);
        event.data = data.to_owned().into();
        render(&path, Some(&base()), &event, &Engine::new())
    }

    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        let mut found = request.headers.iter().filter(|(n, _)| n == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        first
    }

    #[test]
    fn without_a_template_the_bytes_go_out_as_they_came_in() {
        let data = "{\"b\":1, \"a\":12.10,\"a\":18446744073709551616}";
        let request = request(|_| {}, data).expect("rendered");
        assert_eq!(request.body, data);
        assert_eq!(request.url, "https://crm.example/api/orders");
        assert_eq!(header(&request, "content-type"), Some("application/json"));
        assert_eq!(request.key.len(), 32);
    }

    #[test]
    fn a_template_is_filled_and_its_values_stay_where_they_are_put() {
        let fill = |r: &mut RequestTemplate| {
            r.url = "/orders/{{ data.id }}?by={{ data.by }}".to_owned();
            r.body = Some("{\"total\":{{ data.total }}}".to_owned());
            r.headers = vec![("X-Order".to_owned(), "no {{ subject }}".to_owned())];
        };
        let rendered =
            request(fill, r#"{"id":"a/../b?x#y","by":"ø&z=1","total":12.10}"#).expect("rendered");
        assert_eq!(
            rendered.url,
            "https://crm.example/api/orders/a%2F..%2Fb%3Fx%23y?by=%C3%B8%26z%3D1"
        );
        assert_eq!(rendered.body, "{\"total\":12.10}");
        assert_eq!(header(&rendered, "x-order"), Some("no 7"));
        assert_eq!(header(&rendered, "content-type"), Some("application/json"));

        let error = request(fill, r#"{"id":"..","by":"x","total":1}"#).expect_err("dots");
        assert!(matches!(error, RenderError::Address(AddressError::Dots(_))));
        let error = request(fill, r#"{"id":"a","by":"x"}"#).expect_err("no total");
        assert!(error.to_string().contains("total"), "{error}");
    }

    #[test]
    fn a_page_keeps_its_channels_secret_url_out_of_the_request() {
        let mut path = testing::path("page/slack:ops");
        path.lane = Lane::Page;
        path.to = "slack:ops".to_owned();
        let request = render(&path, None, &testing::event(1), &Engine::new()).expect("rendered");
        assert_eq!(request.url, "slack:ops");
    }

    #[test]
    fn a_get_has_no_body() {
        let event = testing::event(1);
        let mut path = testing::path("crm");
        path.request.method = "GET".to_owned();
        let request = render(&path, Some(&base()), &event, &Engine::new()).expect("rendered");
        assert!(request.body.is_empty());
        assert_eq!(header(&request, "content-type"), None);
    }

    proptest! {
        #[test]
        fn same_bytes_same_key_changed_bytes_another(a in "\\PC{0,20}", b in "\\PC{0,20}", c in "\\PC{0,20}", body: Vec<u8>, other: Vec<u8>) {
            prop_assert_eq!(key(&a, &b, &c, &body), key(&a, &b, &c, &body));
            if body != other {
                prop_assert_ne!(key(&a, &b, &c, &body), key(&a, &b, &c, &other));
            }
            if !b.is_empty() {
                prop_assert_ne!(key(&a, &b, &c, &body), key(&format!("{a}{b}"), "", &c, &body));
            }
        }
    }
}
