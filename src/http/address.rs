//! From a URL's template to an absolute URL. Pure; `queue::render` and `record::shape` call it.
//!
//! What fills a template can never choose the host nor leave its place in the URL: each value is percent-encoded, the
//! host stands in the configuration, and no step of the path is `.` or `..`.

use reqwest::Url;

use super::join::{BadUrl, is_absolute, join};
use crate::event::expr::{Engine, ExprError, Place, Scope};

/// Why a URL cannot be made of its template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The template failed; names the missing value where there is one.
    #[error("cannot render the url: {0}")]
    Template(#[from] ExprError),
    /// The URL makes no sense.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The host would be filled in.
    #[error("the URL's host must be written in the configuration, not taken from an event")]
    Host,
    /// A value would leave its place.
    #[error("`{0}` has `.` or `..` as a step: that would lead to another place")]
    Dots(String),
    /// The template is relative, and there is nothing that it is relative to.
    #[error("the URL is relative, and the system has no url")]
    NoBase,
}

/// Fills `template` from `scope` (none: it has nothing to be filled) and makes it absolute.
pub fn address(
    base: Option<&Url>,
    template: &str,
    scope: Option<&Scope>,
    engine: &Engine,
) -> Result<Url, AddressError> {
    let Some(scope) = scope.filter(|_| template.contains('{')) else {
        return absolute(base, template, template);
    };
    let filled = engine.render_at(Place::Url, template, scope)?;
    let path = filled.split(['?', '#']).next().unwrap_or_default();
    if path.split('/').any(|step| matches!(step, "." | "..")) {
        return Err(AddressError::Dots(filled));
    }
    absolute(base, template, &filled)
}

fn absolute(base: Option<&Url>, template: &str, filled: &str) -> Result<Url, AddressError> {
    if is_absolute(template) {
        let host = template.find("//").map_or(0, |at| at + 2);
        let end = template[host..]
            .find(['/', '?', '#'])
            .map_or(template.len(), |at| host + at);
        if template[..end].contains('{') {
            return Err(AddressError::Host);
        }
        return Ok(Url::parse(filled).map_err(|error| BadUrl::new(&error))?);
    }
    let base = base.ok_or(AddressError::NoBase)?;
    if is_absolute(filled) {
        return Err(AddressError::Host);
    }
    Ok(join(base, filled)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::event;
    use proptest::prelude::*;

    fn filled(template: &str, value: &str) -> Result<String, AddressError> {
        let base = Url::parse("https://crm.example/api").expect("base");
        let mut data = String::from("{\"v\":");
        crate::event::json::quote(value, &mut data);
        data.push('}');
        let scope = Scope::event(&event("order.created", &data));
        address(Some(&base), template, Some(&scope), &Engine::new()).map(Into::into)
    }

    #[test]
    fn values_stay_in_their_place() {
        for (template, value, url) in [
            (
                "/o/{{ data.v }}?x=1",
                "a/../b?x#y",
                "/o/a%2F..%2Fb%3Fx%23y?x=1",
            ),
            ("/o?by={{ data.v }}", "ø&z=1", "/o?by=%C3%B8%26z%3D1"),
            (
                "/o{% if data.v %}/{{ data.v }}{% endif %}",
                "a/b",
                "/o/a%2Fb",
            ),
            ("/o/{{ data.v | upper }}", "a%2e", "/o/A%252E"),
            ("/o/v{{ data.v }}", "..", "/o/v.."),
            (
                "{{ data.v }}",
                "https://evil.example/",
                "/https%3A%2F%2Fevil.example%2F",
            ),
            ("//{{ data.v }}/", "evil.example", "/evil.example/"),
            (
                "https://crm.example/{{ data.v }}",
                "@evil.example",
                "/%40evil.example",
            ),
        ] {
            let root = if template.starts_with("https") {
                "https://crm.example"
            } else {
                "https://crm.example/api"
            };
            assert_eq!(
                filled(template, value),
                Ok(format!("{root}{url}")),
                "{template}"
            );
        }
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for (template, value) in [
            ("/o/{{ data.v }}", ".."),
            ("/o/{{ data.v }}/x", "."),
            ("/o/{{ data.v }}{{ data.v }}", "."),
            ("/o/.{{ data.v }}?x", "."),
            ("/o/{% if true %}{{ data.v }}{% endif %}", ".."),
        ] {
            let error = filled(template, value).expect_err(template);
            assert!(
                matches!(error, AddressError::Dots(_)),
                "{template}: {error}"
            );
        }
        for template in [
            "https://{{ data.v }}/x",
            "https://crm.{{ data.v }}",
            "HTTPS://{{ data.v }}?",
        ] {
            assert_eq!(
                filled(template, "evil.example"),
                Err(AddressError::Host),
                "{template}"
            );
        }
        let error = filled("/o/{{ data.nope }}", "x").expect_err("missing");
        assert!(error.to_string().contains("data.nope"), "{error}");
        assert_eq!(
            address(None, "/o", None, &Engine::new()),
            Err(AddressError::NoBase)
        );
    }

    proptest! {
        #[test]
        fn no_value_reaches_another_host_or_path(value in "\\PC{0,12}", dotted in "[./%2eE\\\\@:?#\t\n-]{0,8}") {
            for value in [value, dotted] {
                if let Ok(url) = filled("/o/{{ data.v }}/end?q={{ data.v }}", &value) {
                    let url = Url::parse(&url).expect("a URL");
                    prop_assert_eq!(url.host_str(), Some("crm.example"));
                    prop_assert_eq!(url.path_segments().map(Iterator::count), Some(4));
                    prop_assert!(url.path().starts_with("/api/o/") && url.path().ends_with("/end"));
                    prop_assert_eq!(url.query_pairs().count(), 1);
                    prop_assert_eq!(url.fragment(), None);
                }
            }
        }
    }
}
