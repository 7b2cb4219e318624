//! What a login by browser is made of: the address to open, and what the vendor sends back (RFC 6749, 4.1; PKCE with
//! S256, RFC 7636). Pure but for the random numbers; called by `midwatch login`. A code works once, and only together
//! with the verifier that never leaves this process.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use sha2::{Digest, Sha256};

use crate::config::model::OAuth2;

/// One login under way.
pub struct Login {
    /// What the browser has to open.
    pub url: Url,
    /// What has to be sent with the code.
    pub verifier: String,
    state: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Why a login cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The configuration lacks something.
    #[error("{0}")]
    Config(&'static str),
    /// No random numbers.
    #[error("this machine gives no random numbers")]
    Random,
    /// The vendor refused; its words come from outside.
    #[error("the vendor refused: {0}")]
    Refused(String),
    /// It belongs to another login, perhaps to somebody else's.
    #[error(
        "this answer belongs to another login (its `state` is another): open the address that was printed last"
    )]
    State,
    /// There is no code in what came back.
    #[error("there is no code in it: paste the whole address that the browser was sent to")]
    NoCode,
}

/// Begins a login of the client `id`.
pub fn begin(oauth: &OAuth2, id: &str) -> Result<Login, LoginError> {
    let random = || {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|_| LoginError::Random)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    };
    let (verifier, state) = (random()?, random()?);
    let at = oauth.authorize_url.as_deref();
    let at = at.ok_or(LoginError::Config(
        "the configuration names no authorize_url",
    ))?;
    let mut url = Url::parse(at).map_err(|_| LoginError::Config("authorize_url is no URL"))?;
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", id);
        for (name, value) in [("redirect_uri", &oauth.redirect), ("scope", &oauth.scope)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query
            .append_pair("state", &state)
            .append_pair("code_challenge", &challenge(&verifier))
            .append_pair("code_challenge_method", "S256");
    }
    Ok(Login {
        url,
        verifier,
        state,
    })
}

/// RFC 7636, 4.2.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

impl Login {
    /// The code in what came back: the address (or its query) that the browser was sent to, whose `state` must be ours;
    /// or a bare code, which nobody but this login's verifier can redeem.
    pub fn code(&self, returned: &str) -> Result<String, LoginError> {
        let returned = returned.trim();
        let looks_bare = !returned.is_empty()
            && !returned.contains(['?', '&', '='])
            && !returned.contains("://")
            && !returned.contains(char::is_whitespace);
        if looks_bare {
            return Ok(returned.to_owned());
        }
        let query = returned
            .split_once('?')
            .map_or(returned, |(_, query)| query);
        let query = query.split_once('#').map_or(query, |(query, _)| query);
        let mut read = Url::parse("http://form/").map_err(|_| LoginError::NoCode)?;
        read.set_query(Some(query));
        let one = |name: &str| {
            read.query_pairs()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.into_owned())
        };
        if one("state").as_deref() != Some(&*self.state) {
            return Err(match (one("code"), one("error")) {
                (None, None) => LoginError::NoCode,
                _ => LoginError::State,
            });
        }
        match (one("code"), one("error")) {
            (_, Some(error)) => Err(LoginError::Refused(match one("error_description") {
                Some(words) => format!("{words} ({error})"),
                None => error,
            })),
            (Some(code), None) if !code.is_empty() => Ok(code),
            _ => Err(LoginError::NoCode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    use crate::config::model::{Grant, SecretRef};

    #[test]
    fn the_challenge_is_that_of_the_standards_appendix() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn only_this_logins_answer_is_taken() {
        let oauth = OAuth2 {
            grant: Grant::AuthorizationCode,
            token_url: "https://id.example/token".to_owned(),
            authorize_url: Some("https://id.example/authorize?tenant=1".to_owned()),
            client_id: SecretRef::File(PathBuf::new()),
            client_secret: None,
            scope: Some("orders read".to_owned()),
            redirect: Some("http://127.0.0.1:8765/back".to_owned()),
            secret_in_body: false,
        };
        let login = begin(&oauth, "client 1").unwrap();
        let url = login.url.as_str();
        assert!(url.starts_with("https://id.example/authorize?tenant=1&response_type=code&client_id=client+1&redirect_uri=http%3A%2F%2F127.0.0.1%3A8765%2Fback&scope=orders+read&state="), "{url}");
        assert!(url.contains(&format!(
            "&code_challenge={}&code_challenge_method=S256",
            challenge(&login.verifier)
        )));
        assert!(!url.contains(&login.verifier) && login.verifier.len() == 43);
        assert_ne!(begin(&oauth, "1").unwrap().verifier, login.verifier);
        let state = &login.state;
        for (returned, code) in [
            (
                format!("http://127.0.0.1:8765/back?code=a%2Fb&state={state}"),
                Ok("a/b"),
            ),
            (format!("/back?state={state}&code=c"), Ok("c")),
            (format!("code=c&state={state}#_=_"), Ok("c")),
            (" 4/0AbC \n".to_owned(), Ok("4/0AbC")),
            (
                "http://127.0.0.1/back?code=c&state=other".to_owned(),
                Err(LoginError::State),
            ),
            ("?code=c".to_owned(), Err(LoginError::State)),
            (
                "?error=access_denied&state=other".to_owned(),
                Err(LoginError::State),
            ),
            (
                format!("?error=access_denied&state={state}"),
                Err(LoginError::Refused("access_denied".to_owned())),
            ),
            (format!("?code=&state={state}"), Err(LoginError::NoCode)),
            (String::new(), Err(LoginError::NoCode)),
            ("http://127.0.0.1/back".to_owned(), Err(LoginError::NoCode)),
            ("hello there".to_owned(), Err(LoginError::NoCode)),
        ] {
            assert_eq!(login.code(&returned), code.map(str::to_owned), "{returned}");
        }
        let bare = OAuth2 {
            authorize_url: None,
            ..oauth
        };
        assert!(matches!(begin(&bare, "1"), Err(LoginError::Config(_))));
    }
}
