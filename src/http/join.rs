//! Puts the URL of a request together: a system's base and what a path or a job appends to it. Pure.

use reqwest::Url;

/// A URL could not be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the URL cannot be read: {0}")]
pub struct BadUrl(String);

impl BadUrl {
    /// What the parser says.
    pub fn new(error: &impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// `rest` appended to `base`, keeping the base's own path (`https://crm.example/api` and `/orders` make
/// `https://crm.example/api/orders`: what RFC 3986 would resolve is not what people mean); an absolute URL stands for itself.
pub fn join(base: &Url, rest: &str) -> Result<Url, BadUrl> {
    if is_absolute(rest) {
        return Url::parse(rest).map_err(|error| BadUrl::new(&error));
    }
    let mut url = base.clone();
    url.set_fragment(None);
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let whole = match (
        base.path().trim_end_matches('/'),
        path.trim_start_matches('/'),
    ) {
        (root, "") if path.is_empty() => root.to_owned(),
        (root, tail) => format!("{root}/{tail}"),
    };
    url.set_path(&whole);
    let query = match (base.query(), query) {
        (Some(own), Some(more)) => Some(format!("{own}&{more}")),
        (own, more) => own.or(more).map(str::to_owned),
    };
    url.set_query(query.as_deref());
    Ok(url)
}

/// It begins with `http://` or `https://`.
pub fn is_absolute(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_appended_to_the_base() {
        for (base, rest, whole) in [
            (
                "https://crm.example",
                "/orders",
                "https://crm.example/orders",
            ),
            (
                "https://crm.example/",
                "orders",
                "https://crm.example/orders",
            ),
            (
                "https://crm.example/api/v3",
                "/orders",
                "https://crm.example/api/v3/orders",
            ),
            (
                "https://crm.example/api/",
                "/orders/",
                "https://crm.example/api/orders/",
            ),
            ("https://crm.example/api", "", "https://crm.example/api"),
            ("https://crm.example", "", "https://crm.example/"),
            (
                "https://crm.example/api",
                "?page=1",
                "https://crm.example/api?page=1",
            ),
            (
                "https://crm.example/api?key=1",
                "/orders?page=2",
                "https://crm.example/api/orders?key=1&page=2",
            ),
            (
                "https://crm.example/api",
                "https://other.example/x?y",
                "https://other.example/x?y",
            ),
            (
                "https://crm.example",
                "//evil.example/x",
                "https://crm.example/evil.example/x",
            ),
            ("https://crm.example", "/a b", "https://crm.example/a%20b"),
        ] {
            let base = Url::parse(base).expect(base);
            assert_eq!(
                join(&base, rest).expect(rest).as_str(),
                whole,
                "{base} + {rest}"
            );
        }
        let base = Url::parse("https://crm.example").expect("base");
        assert!(join(&base, "http://").is_err());
    }
}
