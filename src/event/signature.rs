//! One verifier for the signatures of webhooks, driven by a recipe: HMAC-SHA-256 over a base string, in constant time,
//! over the raw bytes. Pure and clock-injected; the front door calls it before anything else looks at the body.
//! It must never say yes without a secret that matched, and never log or return a secret.

mod base;
pub mod dump;
pub mod explain;
mod header;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::config::model::{Encoding, KeyDecoding, Recipe, TimestampUnit};
use crate::time::Timestamp;

pub use base::{PLACEHOLDERS, placeholders};

/// What came in, as far as signatures care.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The request's method, upper case.
    pub method: &'a str,
    /// Header names (lower case) and values.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The URL that the vendor called, for recipes that sign it.
    pub url: Option<&'a str>,
    /// The raw body.
    pub body: &'a [u8],
}

/// A good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which of the secrets matched, from 0.
    pub secret: usize,
    /// The signed time, where the recipe has one.
    pub at: Option<Timestamp>,
}

/// Why a signature is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A header that the recipe needs is not there.
    #[error("header {0} is missing")]
    Missing(String),
    /// A header is there but cannot be read so.
    #[error("header {header} is malformed: {why}")]
    Malformed {
        /// Which.
        header: String,
        /// What was expected.
        why: &'static str,
    },
    /// No secret makes this signature from these bytes.
    #[error("no secret matches the signature")]
    NoMatch,
    /// The signature is good, but older than tolerated: perhaps a replay.
    #[error("signed {} ago, more than the tolerated {}", crate::time::short(*.age), crate::time::short(*.tolerance))]
    TooOld {
        /// How old.
        age: Duration,
        /// What is tolerated.
        tolerance: Duration,
    },
    /// The signature is good, but from further ahead than tolerated: one of the clocks is wrong.
    #[error("signed {} ahead of this clock, more than the tolerated {}", crate::time::short(*.ahead), crate::time::short(*.tolerance))]
    InFuture {
        /// How far ahead.
        ahead: Duration,
        /// What is tolerated.
        tolerance: Duration,
    },
    /// One of our own secrets cannot be a key of this recipe: the configuration is wrong, not the sender.
    #[error("secret {} cannot be decoded as the recipe {recipe} wants", .index + 1)]
    BadSecret {
        /// Which, from 0.
        index: usize,
        /// The recipe's name.
        recipe: String,
    },
    /// The recipe asks for something that is not known here: the configuration is wrong, not the sender.
    #[error("the recipe needs {0}")]
    Recipe(&'static str),
}

impl SignatureError {
    /// It is our configuration that is wrong, so the sender should try again later.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::BadSecret { .. } | Self::Recipe(_))
    }
}

/// Checks `signed` against the recipe, with any of `secrets` (the texts as configured). The time is judged only after
/// the signature: what is not signed is not worth judging.
pub fn verify(
    recipe: &Recipe,
    secrets: &[&str],
    signed: Signed<'_>,
    now: Timestamp,
) -> Result<Verified, SignatureError> {
    let (secret, time) = signed_by(recipe, secrets, signed)?;
    let at = judge_time(recipe, time, now)?;
    Ok(Verified { secret, at })
}

/// Which of `secrets` made the signature, from 0, and the time stamp that was signed with it, unjudged.
fn signed_by<'a>(
    recipe: &Recipe,
    secrets: &[&str],
    signed: Signed<'a>,
) -> Result<(usize, Option<&'a str>), SignatureError> {
    let read = header::read(recipe, signed)?;
    let signatures: Vec<[u8; 32]> = read
        .signatures
        .iter()
        .filter_map(|text| decode(recipe.encoding, text))
        .collect();
    if signatures.is_empty() {
        return Err(header::malformed(
            &recipe.header,
            "no signature of the expected form",
        ));
    }
    matching_secret(recipe, secrets, signed, read.time, &signatures)?
        .map(|secret| (secret, read.time))
        .ok_or(SignatureError::NoMatch)
}

/// Standard base64, with or without padding: vendors differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn decode(encoding: Encoding, text: &str) -> Option<[u8; 32]> {
    let bytes = match encoding {
        Encoding::Hex => hex::decode(text).ok()?,
        Encoding::Base64 => BASE64.decode(text).ok()?,
    };
    bytes.try_into().ok()
}

/// The key of a secret's text, if the recipe can read it.
pub(crate) fn key(decoding: KeyDecoding, secret: &str) -> Option<Vec<u8>> {
    let key = match decoding {
        KeyDecoding::Raw => secret.as_bytes().to_vec(),
        KeyDecoding::Base64 => BASE64.decode(secret).ok()?,
        KeyDecoding::Base64AfterPrefix => BASE64
            .decode(secret.strip_prefix("whsec_").unwrap_or(secret))
            .ok()?,
        KeyDecoding::Hex => hex::decode(secret).ok()?,
    };
    // An empty key would let anyone sign.
    (!key.is_empty()).then_some(key)
}

/// Tries every secret with every signature: how many there are is no secret, which one matches takes no shorter.
fn matching_secret(
    recipe: &Recipe,
    secrets: &[&str],
    signed: Signed<'_>,
    time_text: Option<&str>,
    signatures: &[[u8; 32]],
) -> Result<Option<usize>, SignatureError> {
    let mut found = None;
    let mut bad = None;
    for (index, secret) in secrets.iter().enumerate() {
        let Some(key) = key(recipe.key, secret) else {
            bad.get_or_insert(index);
            continue;
        };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
            bad.get_or_insert(index);
            continue;
        };
        base::pieces(recipe, signed, time_text, |piece| mac.update(piece))?;
        let expected = mac.finalize().into_bytes();
        let mut any = Choice::from(0);
        for signature in signatures {
            any |= expected.as_slice().ct_eq(signature);
        }
        if bool::from(any) && found.is_none() {
            found = Some(index);
        }
    }
    match (found, bad) {
        (None, Some(index)) => Err(SignatureError::BadSecret {
            index,
            recipe: recipe.name.clone(),
        }),
        (None, None) if secrets.is_empty() => Err(SignatureError::Recipe("a secret")),
        _ => Ok(found),
    }
}

/// A signed time stamp as a time.
fn stamp(unit: TimestampUnit, text: &str) -> Option<Timestamp> {
    let number: i64 = text.parse().ok()?;
    match unit {
        TimestampUnit::Seconds => number.checked_mul(1000),
        TimestampUnit::Milliseconds => Some(number),
    }
    .map(Timestamp)
}

fn judge_time(
    recipe: &Recipe,
    time_text: Option<&str>,
    now: Timestamp,
) -> Result<Option<Timestamp>, SignatureError> {
    let Some(text) = time_text else {
        return Ok(None);
    };
    let at = stamp(recipe.timestamp_unit, text).ok_or_else(|| {
        header::malformed(
            recipe.timestamp_header.as_ref().unwrap_or(&recipe.header),
            "its time stamp is no number",
        )
    })?;
    if let Some(tolerance) = recipe.tolerance_past
        && now.since(at) > tolerance
    {
        return Err(SignatureError::TooOld {
            age: now.since(at),
            tolerance,
        });
    }
    if let Some(tolerance) = recipe.tolerance_future
        && at.since(now) > tolerance
    {
        return Err(SignatureError::InFuture {
            ahead: at.since(now),
            tolerance,
        });
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vendors;
