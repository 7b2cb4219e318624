//! Why a signature is good, or what would have to be different for it to be good: for an operator whose vendor's webhooks
//! are refused. Pure: it is given the request, the secrets and the time.
//!
//! It tries what commonly goes wrong (clock, encoding, prefix, reading of the secret, newlines, re-serialised body, public
//! address), at most two departures from the recipe together, and names those that make a match. It must never return a
//! secret or any part of one: secrets are told by their reference. What it finds is a hint to a person; nothing is ever
//! accepted because of it.

mod variants;

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::{SignatureError, Signed, base, header, signed_by, stamp, verify};
use crate::config::model::{HeaderParser, KeyDecoding, Recipe, TimestampUnit};
use crate::time::{Timestamp, short};
use crate::visible::{Visible, line};

/// Bytes of the base string that are shown from its beginning, and from its end if it is longer.
const SHOWN: (usize, usize) = (1_500, 200);

/// The largest body for which two departures are tried together, in bytes.
const LARGEST_FOR_TWO: usize = 1 << 20;

/// A secret and what it is called.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Its reference, such as `file:hook_secret`.
    pub reference: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({})", self.reference)
    }
}

/// What was found out. Everything in it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The recipe's name.
    pub recipe: String,
    /// The front door would take it.
    pub valid: bool,
    /// The verdict in words.
    pub verdict: Visible,
    /// The reference of the secret that matched.
    pub secret: Option<Visible>,
    /// The signature header's name.
    pub header: String,
    /// Its value as it came; none if it is missing or there twice.
    pub value: Option<Visible>,
    /// How the recipe reads it.
    pub form: String,
    /// The signatures that the recipe reads in it, as written.
    pub signatures: Vec<Visible>,
    /// The time stamp, where the recipe signs one and it was found.
    pub time: Option<Time>,
    /// What the recipe signs.
    pub template: String,
    /// The base string, shortened in its middle if it is long; none if it cannot be made.
    pub base: Option<Visible>,
    /// The base string's length in bytes.
    pub base_bytes: usize,
    /// How a secret's text becomes a key.
    pub key: &'static str,
    /// Each secret: its reference, and what is wrong with it if it cannot be a key of this recipe.
    pub secrets: Vec<Tried>,
    /// What would make it good, likeliest first.
    pub causes: Vec<Visible>,
    /// What was tried without a match, where nothing was found.
    pub tried: Vec<&'static str>,
}

/// A time stamp against the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Time {
    /// As it was written.
    pub text: Visible,
    /// As a time (RFC 3339); none if it is no number.
    pub at: Option<String>,
    /// How far it is from the clock, and what is tolerated.
    pub words: String,
    /// Within the tolerance.
    pub good: bool,
}

/// A secret that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Its reference.
    pub reference: Visible,
    /// It made this signature.
    pub matched: bool,
    /// It can be a key of this recipe.
    pub usable: bool,
}

/// Explains what the front door would say of `signed` at `now`, and why.
pub fn explain(
    recipe: &Recipe,
    secrets: &[Known<'_>],
    signed: Signed<'_>,
    now: Timestamp,
) -> Explanation {
    let texts: Vec<&str> = secrets.iter().map(|secret| secret.text).collect();
    let verdict = verify(recipe, &texts, signed, now);
    // A good signature with a bad time is told from a bad signature.
    let matched = signed_by(recipe, &texts, signed)
        .ok()
        .map(|(secret, _)| secret);
    let read = header::read(recipe, signed).ok();
    let stamp_text = read.as_ref().and_then(|read| read.time).or_else(|| {
        let name = recipe.timestamp_header.as_ref()?;
        header::text(signed.headers, name).ok()
    });
    let time = stamp_text.map(|text| time(recipe, text, now));
    let base = base_string(recipe, signed, stamp_text);
    let mut causes = Vec::new();
    let mut tried = Vec::new();
    if let Err(error) = &verdict {
        if matched.is_some() {
            causes.push(clock(recipe, stamp_text, error, now));
        } else {
            causes = departures(recipe, secrets, signed, stamp_text);
            if !causes.is_empty() && time.as_ref().is_some_and(|time| !time.good) {
                causes.push(Visible::of(
                    "and then its time stamp would be refused: see the time",
                ));
            }
        }
        if causes.is_empty() {
            tried = tried_in_vain(recipe);
        }
    }
    let secret = |index: usize| secrets.get(index).map(|known| reference(known));
    Explanation {
        recipe: recipe.name.clone(),
        valid: verdict.is_ok(),
        verdict: match &verdict {
            Ok(_) => Visible::of("the signature is good"),
            Err(error) => Visible::of(&error.to_string()),
        },
        secret: matched.and_then(secret),
        header: recipe.header.clone(),
        value: header::text(signed.headers, &recipe.header)
            .ok()
            .map(|value| line(value, 600)),
        form: form(recipe),
        signatures: read.map_or_else(Vec::new, |read| {
            read.signatures.iter().map(|text| line(text, 120)).collect()
        }),
        time,
        template: recipe.base.clone(),
        base_bytes: base.as_ref().map_or(0, Vec::len),
        base: base.as_deref().map(shown),
        key: key_words(recipe.key),
        secrets: secrets
            .iter()
            .enumerate()
            .map(|(index, known)| Tried {
                reference: reference(known),
                matched: matched == Some(index),
                usable: super::key(recipe.key, known.text).is_some(),
            })
            .collect(),
        causes,
        tried,
    }
}

fn reference(known: &Known<'_>) -> Visible {
    line(known.reference, 200)
}

/// The base string, if it can be made.
fn base_string(recipe: &Recipe, signed: Signed<'_>, time: Option<&str>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    base::pieces(recipe, signed, time, |piece| out.extend_from_slice(piece)).ok()?;
    Some(out)
}

/// The base string as it may be shown: its end too, where newlines hide.
fn shown(bytes: &[u8]) -> Visible {
    let (first, last) = SHOWN;
    if bytes.len() <= first + last {
        return Visible::of_bytes(bytes);
    }
    let left = bytes.len() - first - last;
    Visible::of(&format!(
        "{} … {left} bytes … {}",
        Visible::of_bytes(&bytes[..first]),
        Visible::of_bytes(&bytes[bytes.len() - last..])
    ))
}

/// A time stamp against the clock and the recipe's tolerance.
fn time(recipe: &Recipe, text: &str, now: Timestamp) -> Time {
    let Some(at) = stamp(recipe.timestamp_unit, text) else {
        return Time {
            text: line(text, 60),
            at: None,
            words: "is no number".to_owned(),
            good: false,
        };
    };
    let (off, side, tolerance) = if at > now {
        (
            at.since(now),
            "ahead of this clock",
            recipe.tolerance_future,
        )
    } else {
        (now.since(at), "ago by this clock", recipe.tolerance_past)
    };
    let good = tolerance.is_none_or(|most| off <= most);
    let most = match tolerance {
        None => "not judged".to_owned(),
        Some(most) if good => format!("within the tolerated {}", short(most)),
        Some(most) => format!("more than the tolerated {}", short(most)),
    };
    Time {
        text: line(text, 60),
        at: Some(at.brief()),
        words: format!("{} {side}, {most}", short(off)),
        good,
    }
}

/// Why a signature that matches is refused all the same.
fn clock(recipe: &Recipe, text: Option<&str>, error: &SignatureError, now: Timestamp) -> Visible {
    let other = match recipe.timestamp_unit {
        TimestampUnit::Seconds => TimestampUnit::Milliseconds,
        TimestampUnit::Milliseconds => TimestampUnit::Seconds,
    };
    let in_other = text
        .and_then(|text| stamp(other, text))
        .is_some_and(|at| at.since(now).max(now.since(at)).as_secs() < 86_400);
    Visible::of(match error {
        SignatureError::TooOld { .. } | SignatureError::InFuture { .. } if in_other => {
            match other {
                TimestampUnit::Seconds => {
                    "the signature matches: only the time stamp does not, and it would be near if it were seconds (`timestamp_unit = \"s\"`)"
                }
                TimestampUnit::Milliseconds => {
                    "the signature matches: only the time stamp does not, and it would be near if it were milliseconds (`timestamp_unit = \"ms\"`)"
                }
            }
        }
        SignatureError::TooOld { .. } => {
            "the signature matches: only its age does not. The request is old or was sent again, or one of the clocks is wrong; --at judges it as of another time"
        }
        SignatureError::InFuture { .. } => {
            "the signature matches: only its time does not. One of the clocks is wrong"
        }
        _ => "the signature matches: only the time stamp cannot be read",
    })
}

/// The combinations of fewest departures from the recipe under which one of the secrets makes one of the signatures.
fn departures(
    recipe: &Recipe,
    secrets: &[Known<'_>],
    signed: Signed<'_>,
    time: Option<&str>,
) -> Vec<Visible> {
    let most = if signed.body.len() > LARGEST_FOR_TWO {
        1
    } else {
        2
    };
    let signatures = variants::signatures(recipe, signed);
    let bases = variants::bases(recipe, signed, time, most);
    let mut found: Vec<(usize, String)> = Vec::new();
    for known in secrets {
        let keys = variants::keys(recipe.key, known.text);
        for key in &keys {
            let Ok(keyed) = Hmac::<Sha256>::new_from_slice(&key.value) else {
                continue;
            };
            for base in &bases {
                let departed = key.departures() + base.departures();
                if departed > most {
                    continue;
                }
                let expected = keyed.clone().chain_update(&base.value).finalize();
                let expected = expected.into_bytes();
                for signature in &signatures {
                    // Nothing is accepted by this, so that it need not take the same time always.
                    if signature.value.as_slice() != expected.as_slice() {
                        continue;
                    }
                    let words = with(known, [&key.with, &base.with, &signature.with]);
                    found.push((departed + signature.departures(), words));
                }
            }
        }
    }
    found.sort_by_key(|(departed, _)| *departed);
    let fewest = found.first().map_or(0, |(departed, _)| *departed);
    let mut causes: Vec<Visible> = Vec::new();
    for (departed, words) in found {
        let words = Visible::of(&words);
        if departed == fewest && causes.len() < 4 && !causes.contains(&words) {
            causes.push(words);
        }
    }
    causes
}

fn with(known: &Known<'_>, departures: [&Vec<String>; 3]) -> String {
    let all: Vec<&str> = (departures.into_iter().flatten().map(String::as_str)).collect();
    let reference = reference(known);
    if all.is_empty() {
        // The verifier refused the request before it looked at the signature.
        format!("{reference} would match, but the request cannot be read as the recipe says")
    } else {
        format!("{reference} would match with {}", all.join(", and "))
    }
}

fn tried_in_vain(recipe: &Recipe) -> Vec<&'static str> {
    let mut tried = vec![
        "the signature in other headers, behind other prefixes, in hexadecimal and base64",
        "the secrets read raw, as base64, as hexadecimal, with and without `whsec_`, blanks, quotes and a newline",
        "the body with and without a newline at its end, with other line ends, and re-serialised",
        "what the other recipes sign",
    ];
    if recipe.base.contains("url}") {
        tried.push("the address with http and https, a slash, a port, without its query, and below other paths");
    }
    if recipe.base.contains("{method}") {
        tried.push("other methods");
    }
    tried
}

/// How the signature header is read.
fn form(recipe: &Recipe) -> String {
    let encoding = match recipe.encoding {
        crate::config::model::Encoding::Hex => "hexadecimal",
        crate::config::model::Encoding::Base64 => "base64",
    };
    match &recipe.parser {
        HeaderParser::Prefix(prefix) if prefix.is_empty() => format!("the signature, {encoding}"),
        HeaderParser::Prefix(prefix) => format!("{prefix} and the signature, {encoding}"),
        HeaderParser::Pairs {
            timestamp,
            signature,
        } => format!("pairs: {timestamp}= the time stamp, {signature}= a signature, {encoding}"),
        HeaderParser::Versioned(version) => {
            format!("{version},signature with blanks between several, {encoding}")
        }
    }
}

fn key_words(key: KeyDecoding) -> &'static str {
    match key {
        KeyDecoding::Raw => "the secret's text as it is",
        KeyDecoding::Base64 => "the secret's text decoded as base64",
        KeyDecoding::Base64AfterPrefix => {
            "the secret's text decoded as base64, after `whsec_` if it begins so"
        }
        KeyDecoding::Hex => "the secret's text decoded as hexadecimal",
    }
}

#[cfg(test)]
mod tests;
