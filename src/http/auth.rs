//! How a request proves who we are: one header, made from secrets that are read again every few seconds, so that a
//! rotated secret is used without a restart. Never logged, never shown, marked sensitive. Used by `Outbound` alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::config::model::{Auth, SecretRef};
use crate::config::secret;

/// How long a secret that was read is used without reading it again.
const FRESH: Duration = Duration::from_secs(5);

/// A header that authenticates.
pub type AuthHeader = (HeaderName, HeaderValue);

/// What was read lately.
#[derive(Default)]
pub struct Keyring {
    headers: Mutex<HashMap<String, (Auth, Instant, AuthHeader)>>,
    texts: Mutex<HashMap<SecretRef, (Instant, String)>>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring(..)")
    }
}

impl Keyring {
    /// The header for a system; none if it does not authenticate. The error says which secret could not be used, never what it is.
    pub fn header(&self, system: &str, auth: &Auth) -> Result<Option<AuthHeader>, String> {
        if *auth == Auth::None {
            return Ok(None);
        }
        let mut known = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, read, header)) = known.get(system)
            && of == auth
            && read.elapsed() < FRESH
        {
            return Ok(Some(header.clone()));
        }
        let header = make(auth)?;
        known.insert(
            system.to_owned(),
            (auth.clone(), Instant::now(), header.clone()),
        );
        Ok(Some(header))
    }

    /// A secret's text itself: a channel's webhook, a signing key.
    pub fn text(&self, reference: &SecretRef) -> Result<String, String> {
        let mut known = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, text)) = known.get(reference)
            && read.elapsed() < FRESH
        {
            return Ok(text.clone());
        }
        let text = read(reference)?;
        known.insert(reference.clone(), (Instant::now(), text.clone()));
        Ok(text)
    }
}

fn read(reference: &SecretRef) -> Result<String, String> {
    secret::read(reference)
        .map(|secret| secret.expose().to_owned())
        .map_err(|error| error.to_string())
}

fn make(auth: &Auth) -> Result<AuthHeader, String> {
    let (name, value) = match auth {
        Auth::None | Auth::OAuth2(_) => {
            return Err("no fixed credentials are configured".to_owned());
        }
        Auth::Bearer(token) => (AUTHORIZATION, format!("Bearer {}", read(token)?)),
        Auth::Basic(user, password) => {
            let pair = format!("{}:{}", read(user)?, read(password)?);
            (AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
        }
        Auth::Header(name, value) => (
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is no header name"))?,
            read(value)?,
        ),
    };
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| "the secret holds characters that no header may hold".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}
