//! How a listing goes on after a page: one decision for each way of paging. Pure.
//!
//! The next page is always a URL, so that a listing can be resumed from it, and it never leaves the origin it began on.

use reqwest::Url;

use crate::http::reply::Reply;
use crate::http::{link, percent};
use crate::record::json::Node;
use crate::record::map::Paging;

/// Why it is not known how a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PagingError {
    /// The next page is somewhere else: credentials would go there.
    #[error("the next page is not on the system's own origin")]
    Elsewhere,
    /// The next page's address is none.
    #[error("the address of the next page cannot be read")]
    Address,
    /// The last record has no id to go on from.
    #[error("the last record of the page has no id at `{0}`, from which the next page begins")]
    NoId(String),
    /// It says that there is more, and does not say where.
    #[error("it says that there is more, but not where")]
    Nowhere,
}

/// A page as it came.
pub(super) struct Seen<'a> {
    /// Where it came from.
    pub(super) url: &'a Url,
    pub(super) reply: &'a Reply,
    pub(super) answer: &'a Node,
    pub(super) items: &'a [Node],
    /// JSON Pointer to a record's id.
    pub(super) id_at: Option<&'a str>,
}

/// Where the listing goes on; none at its end.
pub(super) fn next(paging: &Paging, seen: &Seen<'_>) -> Result<Option<Url>, PagingError> {
    let text = |at: &str| -> Option<&str> {
        let found = seen.answer.pointer(at).and_then(Node::plain)?;
        Some(found).filter(|text| !text.trim().is_empty())
    };
    let says = |more: &Option<String>, word: bool| {
        more.as_deref()
            .is_some_and(|at| seen.answer.pointer(at) == Some(&Node::Bool(word)))
    };
    match paging {
        Paging::Link => link::next(&seen.reply.headers)
            .map(|target| joined(seen.url, target))
            .transpose(),
        Paging::NextUrl(at) => text(at).map(|target| joined(seen.url, target)).transpose(),
        Paging::Cursor { at, param, more } if !says(more, false) => match text(at) {
            Some(cursor) => Ok(Some(with(seen.url, param, cursor))),
            None if says(more, true) => Err(PagingError::Nowhere),
            None => Ok(None),
        },
        Paging::CursorHeader { header, param } => Ok(seen
            .reply
            .header(header)
            .filter(|cursor| !cursor.trim().is_empty())
            .map(|cursor| with(seen.url, param, cursor))),
        Paging::LastId { param, more } if !says(more, false) => {
            let Some(last) = seen.items.last() else {
                return if says(more, true) {
                    Err(PagingError::Nowhere)
                } else {
                    Ok(None)
                };
            };
            let at = seen.id_at.unwrap_or_default();
            let id = last.pointer(at).and_then(Node::plain);
            let id = id.ok_or_else(|| PagingError::NoId(at.to_owned()))?;
            Ok(Some(with(seen.url, param, id)))
        }
        Paging::None | Paging::Cursor { .. } | Paging::LastId { .. } => Ok(None),
        Paging::Page {
            param,
            first,
            size,
            total_header,
        } => {
            let first = u64::from(*first);
            let page = number(seen.url, param).unwrap_or(first);
            let total = total_header
                .as_deref()
                .and_then(|name| seen.reply.header(name)?.trim().parse::<u64>().ok());
            let is_last = match total {
                // The vendor knows: it may leave records out of a page that we may not see. But a page after the last
                // that has records is none that it knows of.
                Some(total) if seen.items.is_empty() || page < total.saturating_add(first) => {
                    page.saturating_add(1) >= total.saturating_add(first)
                }
                _ => seen.items.len() < *size as usize,
            };
            let next = page.saturating_add(1).to_string();
            Ok((!is_last).then(|| with(seen.url, param, &next)))
        }
        Paging::Offset { param, size } => {
            let offset = number(seen.url, param).unwrap_or(0);
            let offset = offset.saturating_add(u64::from(*size));
            let is_last = seen.items.len() < *size as usize;
            Ok((!is_last).then(|| with(seen.url, param, &offset.to_string())))
        }
    }
}

/// The first page's URL where its number or offset has to be said.
pub(super) fn first(paging: &Paging, url: Url) -> Url {
    match paging {
        Paging::Page { param, first, .. } if number(&url, param).is_none() => {
            with(&url, param, &first.to_string())
        }
        _ => url,
    }
}

/// A target that an answer names, on the same origin.
pub(super) fn joined(url: &Url, target: &str) -> Result<Url, PagingError> {
    let mut next = url.join(target).map_err(|_| PagingError::Address)?;
    if next.origin() != url.origin() {
        return Err(PagingError::Elsewhere);
    }
    // Credentials in it would be another's; a fragment makes no other page.
    if next.username() != url.username() || next.password() != url.password() {
        return Err(PagingError::Address);
    }
    next.set_fragment(None);
    Ok(next)
}

/// The number of a query parameter.
fn number(url: &Url, param: &str) -> Option<u64> {
    let (_, value) = url.query_pairs().find(|(name, _)| name == param)?;
    value.parse().ok()
}

/// The URL with a query parameter set; the others stay byte for byte.
fn with(url: &Url, param: &str, value: &str) -> Url {
    let mut pair = String::new();
    percent::encode(param, &mut pair);
    pair.push('=');
    percent::encode(value, &mut pair);
    let query = url.query().unwrap_or_default();
    let mut parts: Vec<&str> = query
        .split('&')
        .filter(|part| !part.is_empty() && !names(part, param))
        .collect();
    parts.push(&pair);
    let mut next = url.clone();
    next.set_query(Some(&parts.join("&")));
    next
}

/// Whether a part of a query is of this parameter, however it is encoded.
fn names(part: &str, param: &str) -> bool {
    let Ok(mut alone) = Url::parse("http://a/") else {
        return false;
    };
    alone.set_query(Some(part));
    alone.query_pairs().any(|(name, _)| name == param)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Node {
        Node::parse(text.as_bytes()).expect("JSON")
    }

    /// Where `paging` goes on from `url` with this answer (whose records are in `/a`) and these headers.
    fn goes_on(
        paging: &Paging,
        url: &str,
        text: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<String>, PagingError> {
        let url = Url::parse("https://x.example/").unwrap().join(url).unwrap();
        let answer = answer(text);
        let items = match answer.pointer("/a") {
            Some(Node::Array(items)) => items.clone(),
            _ => Vec::new(),
        };
        let mut reply = Reply::default();
        for (name, value) in headers {
            reply.headers.insert(*name, value.parse().unwrap());
        }
        let seen = Seen {
            url: &url,
            reply: &reply,
            answer: &answer,
            items: &items,
            id_at: Some("/id"),
        };
        let next = next(paging, &seen)?;
        Ok(next.map(|url| url.as_str()["https://x.example".len()..].to_owned()))
    }

    #[test]
    fn every_way_of_paging_goes_on_and_ends() {
        let (at, param) = (|at: &str| at.to_owned(), || "p".to_owned());
        let cursor = Paging::Cursor {
            at: at("/next"),
            param: param(),
            more: Some(at("/more")),
        };
        let last_id = |more: bool| Paging::LastId {
            param: param(),
            more: more.then(|| at("/more")),
        };
        let page = |total: bool| Paging::Page {
            param: param(),
            first: 1,
            size: 2,
            total_header: total.then(|| at("x-pages")),
        };
        let offset = Paging::Offset {
            param: param(),
            size: 2,
        };
        let header = Paging::CursorHeader {
            header: at("x-next"),
            param: param(),
        };
        let none: &[(&str, &str)] = &[];
        for (paging, url, text, headers, expected) in [
            (&Paging::None, "/l", "{}", none, None),
            (
                &Paging::Link,
                "/l?q=1",
                "{}",
                &[("link", "<?q=2>; rel=next")][..],
                Some("/l?q=2"),
            ),
            (&Paging::Link, "/l", "{}", none, None),
            (
                &Paging::NextUrl(at("/n")),
                "/l",
                r#"{"n":"/m?c=1"}"#,
                none,
                Some("/m?c=1"),
            ),
            (
                &Paging::NextUrl(at("/n")),
                "/l",
                r#"{"n":null}"#,
                none,
                None,
            ),
            (&Paging::NextUrl(at("/n")), "/l", r#"{"n":""}"#, none, None),
            (
                &cursor,
                "/l?a=%20b&p=old&z=+",
                r#"{"next":"x y&z","more":true}"#,
                none,
                Some("/l?a=%20b&z=+&p=x%20y%26z"),
            ),
            (&cursor, "/l", r#"{"next":7}"#, none, Some("/l?p=7")),
            (&cursor, "/l", r#"{"next":"x","more":false}"#, none, None),
            (&cursor, "/l", r#"{"next":null}"#, none, None),
            (
                &header,
                "/l",
                "{}",
                &[("x-next", "abc")][..],
                Some("/l?p=abc"),
            ),
            (&header, "/l", "{}", none, None),
            (
                &last_id(true),
                "/l",
                r#"{"a":[{"id":"x1"},{"id":"x2"}],"more":true}"#,
                none,
                Some("/l?p=x2"),
            ),
            (
                &last_id(true),
                "/l",
                r#"{"a":[{"id":"x2"}],"more":false}"#,
                none,
                None,
            ),
            (
                &last_id(false),
                "/l?p=x2",
                r#"{"a":[{"id":3}]}"#,
                none,
                Some("/l?p=3"),
            ),
            (&last_id(false), "/l?p=x2", r#"{"a":[]}"#, none, None),
            (
                &page(false),
                "/l?p=1",
                r#"{"a":[{},{}]}"#,
                none,
                Some("/l?p=2"),
            ),
            (
                &page(false),
                "/l?%70=4",
                r#"{"a":[{},{}]}"#,
                none,
                Some("/l?p=5"),
            ),
            (&page(false), "/l?p=2", r#"{"a":[{}]}"#, none, None),
            (
                &page(true),
                "/l?p=1",
                r#"{"a":[{}]}"#,
                &[("x-pages", "2")][..],
                Some("/l?p=2"),
            ),
            (
                &page(true),
                "/l?p=2",
                r#"{"a":[{},{}]}"#,
                &[("x-pages", "2")][..],
                None,
            ),
            (
                &page(true),
                "/l?p=1",
                r#"{"a":[]}"#,
                &[("x-pages", "0")][..],
                None,
            ),
            (
                &page(true),
                "/l?p=1",
                r#"{"a":[{},{}]}"#,
                none,
                Some("/l?p=2"),
            ),
            // It names no page that has records, and yet has some: the size decides.
            (
                &page(true),
                "/l?p=1",
                r#"{"a":[{},{}]}"#,
                &[("x-pages", "0")][..],
                Some("/l?p=2"),
            ),
            (
                &page(true),
                "/l?p=2",
                r#"{"a":[{}]}"#,
                &[("x-pages", "18446744073709551615")][..],
                Some("/l?p=3"),
            ),
            (&offset, "/l", r#"{"a":[{},{}]}"#, none, Some("/l?p=2")),
            (&offset, "/l?p=2", r#"{"a":[{},{}]}"#, none, Some("/l?p=4")),
            (&offset, "/l?p=4", r#"{"a":[{}]}"#, none, None),
        ] {
            let found = goes_on(paging, url, text, headers);
            assert_eq!(
                found,
                Ok(expected.map(str::to_owned)),
                "{paging:?} {url} {text}"
            );
        }
    }

    #[test]
    fn a_next_page_elsewhere_or_without_a_place_to_begin_is_refused() {
        let next = Paging::NextUrl("/n".to_owned());
        for (text, expected) in [
            (r#"{"n":"https://evil.example/l"}"#, PagingError::Elsewhere),
            (r#"{"n":"//evil.example/l"}"#, PagingError::Elsewhere),
            (r#"{"n":"http://x.example/l"}"#, PagingError::Elsewhere),
            (r#"{"n":"https://[/l"}"#, PagingError::Address),
            (r#"{"n":"https://me:pw@x.example/l"}"#, PagingError::Address),
        ] {
            assert_eq!(goes_on(&next, "/l", text, &[]), Err(expected), "{text}");
        }
        let last = Paging::LastId {
            param: "p".to_owned(),
            more: None,
        };
        let error = goes_on(&last, "/l", r#"{"a":[{}]}"#, &[]);
        assert_eq!(error, Err(PagingError::NoId("/id".to_owned())));
        let fragment = goes_on(&next, "/l", r#"{"n":"/l#2"}"#, &[]);
        assert_eq!(fragment, Ok(Some("/l".to_owned())), "no page of its own");
    }

    #[test]
    fn a_listing_that_has_more_nowhere_has_not_ended() {
        let more = Some("/more".to_owned());
        let cursor = Paging::Cursor {
            at: "/next".to_owned(),
            param: "p".to_owned(),
            more: more.clone(),
        };
        let last_id = Paging::LastId {
            param: "p".to_owned(),
            more,
        };
        for (paging, text) in [
            (&cursor, r#"{"next":null,"more":true}"#),
            (&cursor, r#"{"next":"","more":true}"#),
            (&last_id, r#"{"a":[],"more":true}"#),
        ] {
            let found = goes_on(paging, "/l", text, &[]);
            assert_eq!(found, Err(PagingError::Nowhere), "{text}");
        }
    }

    #[test]
    fn the_first_page_says_its_number_once() {
        let page = Paging::Page {
            param: "p".to_owned(),
            first: 0,
            size: 2,
            total_header: None,
        };
        for (url, expected) in [
            ("https://x/l?a=1", "https://x/l?a=1&p=0"),
            ("https://x/l?p=3", "https://x/l?p=3"),
        ] {
            assert_eq!(first(&page, Url::parse(url).unwrap()).as_str(), expected);
        }
    }
}
