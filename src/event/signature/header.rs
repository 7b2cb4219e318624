//! Reads the headers of a signed request as a recipe says: the signatures, and the time stamp that was signed. Called by
//! the verifier and by what explains its verdict; judges nothing.

use super::{SignatureError, Signed};
use crate::config::model::{HeaderParser, Recipe};

/// Most signatures that one header is searched for: vendors send one for each secret in rotation.
const MAX_SIGNATURES: usize = 16;

/// What the headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read<'a> {
    /// The signature header's whole value.
    pub value: &'a str,
    /// The signatures in it, still encoded, at most sixteen.
    pub signatures: Vec<&'a str>,
    /// The time stamp as it was written, from the signature header or its own.
    pub time: Option<&'a str>,
}

/// Reads them.
///
/// # Errors
/// [`SignatureError::Missing`] or [`SignatureError::Malformed`].
pub(super) fn read<'a>(recipe: &Recipe, signed: Signed<'a>) -> Result<Read<'a>, SignatureError> {
    let value = text(signed.headers, &recipe.header)?;
    let malformed = |why| malformed(&recipe.header, why);
    let mut inline_time = None;
    let mut signatures: Vec<&str> = Vec::new();
    match &recipe.parser {
        HeaderParser::Prefix(prefix) => {
            signatures.push(
                value
                    .strip_prefix(prefix.as_str())
                    .ok_or_else(|| malformed("its prefix is another"))?
                    .trim(),
            );
        }
        HeaderParser::Pairs {
            timestamp,
            signature,
        } => {
            let mut times = 0;
            for pair in value.split([',', ';']) {
                match pair.trim().split_once('=') {
                    Some((name, value)) if name == timestamp => {
                        inline_time = Some(value);
                        times += 1;
                    }
                    Some((name, value)) if name == signature => signatures.push(value),
                    // Schemes that we do not know (Stripe's v0) are no reason to refuse.
                    _ => {}
                }
            }
            if times > 1 {
                return Err(malformed("two time stamps"));
            }
        }
        HeaderParser::Versioned(version) => {
            signatures.extend(
                value
                    .split_ascii_whitespace()
                    .filter_map(|entry| entry.split_once(','))
                    .filter(|(found, _)| found == version)
                    .map(|(_, value)| value),
            );
        }
    }
    signatures.truncate(MAX_SIGNATURES);
    if signatures.is_empty() {
        return Err(malformed("no signature of the expected form"));
    }
    let time = match (&recipe.timestamp_header, inline_time) {
        (Some(name), _) => Some(text(signed.headers, name)?),
        (None, inline) => inline,
    };
    Ok(Read {
        value,
        signatures,
        time,
    })
}

/// The one value of a header that must be there once.
pub(super) fn text<'a>(
    headers: &[(&str, &'a [u8])],
    name: &str,
) -> Result<&'a str, SignatureError> {
    let mut values = headers.iter().filter(|(found, _)| *found == name);
    let (_, value) = values
        .next()
        .ok_or_else(|| SignatureError::Missing(name.to_owned()))?;
    if values.next().is_some() {
        return Err(malformed(name, "it is there twice"));
    }
    std::str::from_utf8(value)
        .map(str::trim)
        .map_err(|_| malformed(name, "not UTF-8"))
}

pub(super) fn malformed(header: &str, why: &'static str) -> SignatureError {
    SignatureError::Malformed {
        header: header.to_owned(),
        why,
    }
}
