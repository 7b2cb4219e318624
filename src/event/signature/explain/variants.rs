//! What could have been signed, with what, and where the signature could stand: the recipe's own reading first, then the
//! readings that commonly explain why it does not match. Each says in words in which points it departs from the recipe.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::{BASE64, Signed, base, key};
use crate::config::model::{Encoding, HeaderParser, KeyDecoding, Recipe};
use crate::config::recipes;
use crate::event::hook;
use crate::event::json::{Token, Tokens};
use crate::visible::line;

/// Most signatures that are looked for in all headers together.
const MOST_SIGNATURES: usize = 200;

/// A reading and its departures from the recipe, each as what the match would be with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant<T> {
    pub value: T,
    pub with: Vec<String>,
}

impl<T> Variant<T> {
    fn new(value: T, with: &[&str]) -> Self {
        Self {
            value,
            with: with.iter().map(|words| (*words).to_owned()).collect(),
        }
    }

    pub(super) fn departures(&self) -> usize {
        self.with.len()
    }
}

/// Adds a variant unless its value is there already: the first one departs least.
fn add<T: PartialEq>(all: &mut Vec<Variant<T>>, variant: Variant<T>) {
    if all.iter().all(|known| known.value != variant.value) {
        all.push(variant);
    }
}

/// Everything in the headers that could be a signature.
pub(super) fn signatures(recipe: &Recipe, signed: Signed<'_>) -> Vec<Variant<Vec<u8>>> {
    let mut all = Vec::new();
    if let Ok(read) = super::header::read(recipe, signed) {
        for text in &read.signatures {
            for (bytes, with) in decoded(recipe.encoding, text) {
                add(&mut all, Variant::new(bytes, &with));
            }
        }
    }
    let mut headers: Vec<_> = signed.headers.iter().collect();
    // The recipe's own header first.
    headers.sort_by_key(|(name, _)| *name != recipe.header);
    for (name, value) in headers {
        let Ok(value) = std::str::from_utf8(value) else {
            continue;
        };
        for token in value.split([',', ';', ' ', '\t']).map(str::trim) {
            let (prefix, rest) = match token.split_once('=') {
                Some((prefix, rest)) if !rest.trim_matches('=').is_empty() => (Some(prefix), rest),
                _ => (None, token),
            };
            for (text, prefix) in [(token, None), (rest, prefix)] {
                for (bytes, mut with) in decoded(recipe.encoding, text) {
                    let place = place(recipe, name, prefix);
                    with.insert(0, &place);
                    if all.len() < MOST_SIGNATURES {
                        add(&mut all, Variant::new(bytes, &with));
                    }
                }
            }
        }
    }
    all
}

/// Where a signature was found that the recipe does not read.
fn place(recipe: &Recipe, name: &str, prefix: Option<&str>) -> String {
    let found = prefix.map_or_else(
        || "no prefix".to_owned(),
        |prefix| format!("the prefix `{}=`", line(prefix, 30)),
    );
    if name == recipe.header {
        let expected = match &recipe.parser {
            HeaderParser::Prefix(prefix) if prefix.is_empty() => "none".to_owned(),
            HeaderParser::Prefix(prefix) => format!("`{prefix}`"),
            HeaderParser::Pairs { signature, .. } => format!("`{signature}=`"),
            HeaderParser::Versioned(version) => format!("`{version},`"),
        };
        format!("{found} before the signature, where the recipe reads {expected}")
    } else {
        format!("the signature of the header {}", line(name, 60))
    }
}

/// Readings of an encoded signature of 32 bytes.
fn decoded(own: Encoding, text: &str) -> Vec<(Vec<u8>, Vec<&'static str>)> {
    let hexadecimal = hex::decode(text).ok();
    let standard = BASE64.decode(text).ok();
    let url_safe = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let (hex_with, base64_with): (&[&str], &[&str]) = match own {
        Encoding::Hex => (
            &[],
            &["the signature read as base64 instead of hexadecimal"],
        ),
        Encoding::Base64 => (
            &["the signature read as hexadecimal instead of base64"],
            &[],
        ),
    };
    [
        (hexadecimal, hex_with),
        (standard, base64_with),
        (url_safe, &["the signature read as base64 with - and _"]),
    ]
    .into_iter()
    .filter_map(|(bytes, with)| Some((bytes.filter(|bytes| bytes.len() == 32)?, with.to_vec())))
    .collect()
}

/// The keys that a secret's text could mean.
pub(super) fn keys(own: KeyDecoding, text: &str) -> Vec<Variant<Vec<u8>>> {
    let bare = text.strip_prefix("whsec_");
    let mut texts: Vec<(String, Vec<&str>)> = vec![(text.to_owned(), Vec::new())];
    let trimmed = text.trim();
    if trimmed != text {
        texts.push((
            trimmed.to_owned(),
            vec!["the blanks around the secret removed"],
        ));
    }
    let unquoted = trimmed.trim_matches(['"', '\'']);
    if unquoted != trimmed {
        texts.push((
            unquoted.to_owned(),
            vec!["the quotes around the secret removed"],
        ));
    }
    if let Some(bare) = bare {
        texts.push((bare.to_owned(), vec!["`whsec_` taken off the secret"]));
    } else {
        texts.push((format!("whsec_{text}"), vec!["`whsec_` before the secret"]));
    }
    texts.push((format!("{text}\n"), vec!["a newline at the secret's end"]));
    texts.push((
        format!("{text}\r\n"),
        vec!["a carriage return and a newline at the secret's end"],
    ));
    let readings = [
        (KeyDecoding::Raw, "the secret's text used as it is"),
        (
            KeyDecoding::Base64AfterPrefix,
            "the secret decoded as base64 after `whsec_`",
        ),
        (KeyDecoding::Base64, "the secret decoded as base64"),
        (KeyDecoding::Hex, "the secret decoded as hexadecimal"),
    ];
    let mut all = Vec::new();
    for (text, with) in &texts {
        if let Some(bytes) = key(own, text) {
            add(&mut all, Variant::new(bytes, with));
        }
    }
    for (decoding, words) in readings {
        for (text, with) in &texts {
            if let Some(bytes) = key(decoding, text) {
                let mut with = with.clone();
                with.push(words);
                add(&mut all, Variant::new(bytes, &with));
            }
        }
    }
    all
}

/// The base strings that could have been signed, with at most `most` departures.
pub(super) fn bases(
    recipe: &Recipe,
    signed: Signed<'_>,
    time: Option<&str>,
    most: usize,
) -> Vec<Variant<Vec<u8>>> {
    let bodies = bodies(signed.body);
    let mut all: Vec<Variant<Vec<u8>>> = Vec::new();
    for template in templates(recipe) {
        let urls = if template.value.contains("url}") {
            urls(signed)
        } else {
            vec![Variant::new(String::new(), &[])]
        };
        let methods: &[&str] = if template.value.contains("{method}") {
            &["POST", "GET", "PUT", "PATCH", "DELETE"]
        } else {
            &[""]
        };
        for (body, url) in bodies
            .iter()
            .flat_map(|body| urls.iter().map(move |url| (body, url)))
        {
            for method in methods {
                let mut with = [&template.with[..], &body.with, &url.with].concat();
                let method = match *method {
                    "" => signed.method,
                    method if method == signed.method => method,
                    method => {
                        with.push(format!("the method {method}"));
                        method
                    }
                };
                if with.len() > most {
                    continue;
                }
                let tried = Recipe {
                    base: template.value.clone(),
                    ..recipe.clone()
                };
                let departed = Signed {
                    method,
                    headers: signed.headers,
                    url: Some(url.value.as_str()).filter(|url| !url.is_empty()),
                    body: &body.value,
                };
                let mut value = Vec::new();
                let made = base::pieces(&tried, departed, time, |piece| {
                    value.extend_from_slice(piece);
                });
                if made.is_ok() {
                    all.push(Variant { value, with });
                }
            }
        }
    }
    all
}

/// What the recipe signs, and what the others do.
fn templates(recipe: &Recipe) -> Vec<Variant<String>> {
    let mut all = vec![Variant::new(recipe.base.clone(), &[])];
    for name in recipes::NAMES {
        if let Some((other, _)) = recipes::built_in(name) {
            let words = format!("{} as what is signed", other.base);
            add(&mut all, Variant::new(other.base, &[&words]));
        }
    }
    all
}

/// The body as it came, and as it could have been before something on the way changed it.
fn bodies(body: &[u8]) -> Vec<Variant<Vec<u8>>> {
    let mut all = vec![Variant::new(body.to_vec(), &[])];
    add(
        &mut all,
        Variant::new([body, b"\n"].concat(), &["a newline at the body's end"]),
    );
    let end = body
        .iter()
        .rposition(|byte| !matches!(byte, b'\n' | b'\r'))
        .map_or(0, |last| last + 1);
    add(
        &mut all,
        Variant::new(
            body[..end].to_vec(),
            &["the newline at the body's end removed"],
        ),
    );
    let Ok(text) = std::str::from_utf8(body) else {
        return all;
    };
    let unix = text.replace("\r\n", "\n");
    add(
        &mut all,
        Variant::new(
            unix.replace('\n', "\r\n").into_bytes(),
            &["lines of the body ended by CR LF"],
        ),
    );
    add(
        &mut all,
        Variant::new(unix.into_bytes(), &["lines of the body ended by LF alone"]),
    );
    if let Some(payload) = hook::form_payload(Some("application/x-www-form-urlencoded"), body) {
        add(
            &mut all,
            Variant::new(payload.to_vec(), &["the form's payload as the body"]),
        );
    }
    let compact = written(text, "", "");
    let escaped = |text: &str| ascii(text);
    let candidates = [
        (compact.clone(), "without blanks"),
        (
            written(text, ", ", ": "),
            "with a blank after commas and colons",
        ),
        (
            compact.as_deref().map(|text| text.replace('/', "\\/")),
            "without blanks, slashes escaped",
        ),
        (compact.as_deref().map(escaped), "without blanks, in ASCII"),
        (
            compact
                .as_deref()
                .map(|text| ascii(&text.replace('/', "\\/"))),
            "without blanks, slashes escaped, in ASCII",
        ),
        (
            written(text, ", ", ": ").as_deref().map(escaped),
            "with a blank after commas and colons, in ASCII",
        ),
    ];
    for (text, how) in candidates {
        if let Some(text) = text {
            let words =
                format!("the JSON of the body written {how}: it was re-serialised on the way");
            add(&mut all, Variant::new(text.into_bytes(), &[&words]));
        }
    }
    all
}

/// JSON text with other blanks between its tokens, which stay as they are.
fn written(text: &str, comma: &str, colon: &str) -> Option<String> {
    let (comma, colon) = match (comma, colon) {
        ("", _) => (",", ":"),
        given => given,
    };
    let mut out = String::with_capacity(text.len());
    let mut tokens = Tokens::new(text);
    // A comma stands before what follows a value on the same level.
    let mut after_value = false;
    while let Some(token) = tokens.next_token().ok()? {
        let closes = matches!(token, Token::ObjectEnd | Token::ArrayEnd);
        if after_value && !closes {
            out.push_str(comma);
        }
        after_value = match token {
            // Its range runs to the colon.
            Token::Key(key) => {
                out.push_str(key);
                out.push_str(colon);
                false
            }
            Token::ObjectStart | Token::ArrayStart => {
                out.push_str(&text[tokens.range()]);
                false
            }
            _ => {
                out.push_str(&text[tokens.range()]);
                true
            }
        };
    }
    Some(out)
}

/// JSON text with what is not ASCII escaped.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// The addresses that the sender could have called.
fn urls(signed: Signed<'_>) -> Vec<Variant<String>> {
    let mut all: Vec<Variant<String>> = Vec::new();
    let mut given = |url: String, own: bool| {
        let words = format!("the address {}", line(&url, 200));
        let with: &[&str] = if own { &[] } else { &[&words] };
        add(&mut all, Variant::new(url, with));
    };
    let host = super::header::text(signed.headers, "host").ok();
    let Some(url) = signed.url else {
        return all;
    };
    given(url.to_owned(), true);
    let Some((scheme, rest)) = url.split_once("://") else {
        return all;
    };
    let (authority, target) = rest
        .find('/')
        .map_or((rest, "/"), |at| (&rest[..at], &rest[at..]));
    let (path, query) = target
        .split_once('?')
        .map_or((target, String::new()), |(path, query)| {
            (path, format!("?{query}"))
        });
    let other = if scheme == "https" { "http" } else { "https" };
    let slashed = match path.strip_suffix('/') {
        Some(bare) => bare.to_owned(),
        None => format!("{path}/"),
    };
    let bare_host = authority.split(':').next().unwrap_or(authority);
    let mut paths = vec![path.to_owned()];
    // What a proxy cut off, or what a proxy added.
    let mut rest = path;
    while let Some(at) = rest.get(1..).and_then(|tail| tail.find('/')) {
        rest = &rest[at + 1..];
        paths.push(rest.to_owned());
    }
    for path in &paths {
        given(format!("{scheme}://{authority}{path}{query}"), false);
    }
    given(format!("{other}://{authority}{target}"), false);
    given(format!("{scheme}://{authority}{slashed}{query}"), false);
    given(format!("{other}://{authority}{slashed}{query}"), false);
    given(format!("{scheme}://{authority}{path}"), false);
    given(format!("{scheme}://{bare_host}{target}"), false);
    for port in ["443", "80"] {
        given(format!("{scheme}://{bare_host}:{port}{target}"), false);
    }
    for host in host.into_iter().filter(|host| *host != authority) {
        for path in &paths {
            given(format!("{scheme}://{host}{path}{query}"), false);
            given(format!("{other}://{host}{path}{query}"), false);
        }
    }
    given(target.to_owned(), false);
    all
}
