//! `auth` of a system: how requests to it authenticate. A preset may bring addresses and header names, never a secret, so
//! that its `auth` counts only where the user writes one too.

use std::path::Path;
use std::sync::Arc;

use super::model::{Auth, Grant, OAuth2};
use super::reader::{Section, Value};
use super::values::is_private;

/// The ways, by the key that says which.
const WAYS: [&str; 4] = ["bearer", "basic", "header", "oauth2"];

const EXPECTED: &str = "one of { bearer = \"file:PATH\" }, { basic = [\"file:USER\", \"file:PASSWORD\"] }, \
                        { header = \"X-Api-Key\", value = \"file:PATH\" } and { oauth2 = { ... } }";

/// What the checks of an `auth` table need to know.
pub(super) struct Around<'s> {
    /// The folder that secrets are relative to.
    pub(super) base: &'s Path,
    /// The database, beside which tokens are kept.
    pub(super) database: &'s Path,
    /// The system's address may be private.
    pub(super) private: bool,
}

/// One way of authentication.
pub(super) fn auth(value: &Value<'_>, around: &Around<'_>) -> Option<Auth> {
    if !value.is_table() {
        let message = format!("found {}", value.kind());
        value
            .problems
            .error(value.at, &value.path, &message, Some(EXPECTED), None);
        return None;
    }
    let section = value.section()?;
    // A way that the user writes replaces the preset's.
    let written: Vec<Value<'_>> = WAYS.iter().filter_map(|way| section.get(way)).collect();
    let own = written.iter().any(Value::is_own);
    let get = |key| section.get(key).filter(|value| value.is_own() || !own);
    let (bearer, basic, header, oauth) =
        (get("bearer"), get("basic"), get("header"), get("oauth2"));
    let secret = section.get("value");
    section.finish(&[]);
    match (bearer, basic, header, oauth, secret) {
        (Some(token), None, None, None, None) => Some(Auth::Bearer(token.secret(around.base)?)),
        (None, Some(pair), None, None, None) => {
            let secrets = pair.secrets("[\"file:USER\", \"file:PASSWORD\"]", around.base)?;
            if let [user, password] = secrets.as_slice() {
                return Some(Auth::Basic(user.clone(), password.clone()));
            }
            pair.problems.error(
                pair.at,
                &pair.path,
                "not a user and a password",
                Some("[\"file:USER\", \"file:PASSWORD\"]"),
                None,
            );
            None
        }
        (None, None, Some(name), None, Some(secret)) => {
            let (name, secret) = (name.header_name(), secret.secret(around.base));
            Some(Auth::Header(name?, secret?))
        }
        (None, None, None, Some(oauth), None) => oauth
            .section()
            .and_then(|section| oauth2(&section, around))
            .map(|oauth| Auth::OAuth2(Arc::new(oauth))),
        (None, None, Some(_), None, None) => {
            complain(&section, "`header` has no `value`");
            None
        }
        (None, None, None, None, Some(_)) => {
            complain(&section, "`value` has no `header`");
            None
        }
        (None, None, None, None, None) => {
            // An unknown key inside has been reported; an empty table has not.
            if section.entries().is_empty() {
                complain(&section, "no way of authentication is given");
            }
            None
        }
        _ => {
            complain(&section, "more than one way of authentication is given");
            None
        }
    }
}

fn complain(section: &Section<'_>, message: &str) {
    section.error(message, Some(format!("expected {EXPECTED}")));
}

/// `{ grant = ..., token_url = ..., client_id = ..., ... }`.
fn oauth2(section: &Section<'_>, around: &Around<'_>) -> Option<OAuth2> {
    const GRANTS: &[(&str, Grant)] = &[
        ("client_credentials", Grant::ClientCredentials),
        ("authorization_code", Grant::AuthorizationCode),
    ];
    let grant = section
        .require("grant", "`client_credentials` or `authorization_code`")
        .and_then(|value| value.word(GRANTS));
    let code = grant == Some(Grant::AuthorizationCode);
    let token_url = section
        .require("token_url", "the vendor's token endpoint, absolute")
        .and_then(|value| endpoint(&value, around.private));
    let authorize_url = for_codes(
        section,
        "authorize_url",
        grant,
        || "the vendor's address where access is granted, absolute",
    )
    .and_then(|value| endpoint(&value, around.private));
    let redirect = for_codes(
        section,
        "redirect",
        grant,
        || "the address that is registered with the vendor, such as \"http://127.0.0.1:8765/\"",
    )
    .and_then(|value| redirect(&value));
    let secret = |value: Value<'_>| value.secret(around.base);
    let client_id = section
        .require("client_id", "\"env:NAME\" or \"file:PATH\"")
        .and_then(secret);
    let client_secret = if code {
        section.get("client_secret").and_then(secret)
    } else {
        // Without one there are no credentials to show (RFC 6749, 4.4); a public client uses codes.
        section
            .require("client_secret", "\"env:NAME\" or \"file:PATH\"")
            .and_then(secret)
    };
    let scope = section
        .get("scope")
        .and_then(|value| value.filled("scopes, separated by blanks"))
        .map(str::to_owned);
    let secret_in_body = section
        .get("secret_in_body")
        .and_then(|value| value.boolean())
        .unwrap_or(false);
    section.finish(&[]);
    let folder = around.database.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        section.warning(
            &format!(
                "tokens are kept beside the database, but there is no folder {}",
                folder.display()
            ),
            Some("make it, or set site.database".to_owned()),
        );
    }
    Some(OAuth2 {
        grant: grant?,
        token_url: token_url?,
        authorize_url,
        client_id: client_id?,
        client_secret,
        scope,
        redirect,
        secret_in_body,
    })
}

/// A key that codes need and credentials have no use for.
fn for_codes<'a>(
    section: &Section<'a>,
    key: &'static str,
    grant: Option<Grant>,
    expected: impl Fn() -> &'static str,
) -> Option<Value<'a>> {
    match grant {
        Some(Grant::AuthorizationCode) => section.require(key, expected()),
        Some(Grant::ClientCredentials) => {
            // A preset may bring the addresses of both grants.
            if let Some(value) = section.get(key).filter(Value::is_own) {
                value.error(
                    "this belongs to grant = \"authorization_code\"",
                    Some("remove it, or change `grant`".to_owned()),
                );
            }
            None
        }
        None => {
            section.get(key);
            None
        }
    }
}

/// An endpoint of the vendor: credentials and tokens go there, so that it is https, or private by leave.
fn endpoint(value: &Value<'_>, private: bool) -> Option<String> {
    const ABSOLUTE: &str = "an absolute URL such as \"https://login.example/oauth/token\"";
    let text = value.filled(ABSOLUTE)?;
    let url = value.absolute_url(text, ABSOLUTE)?;
    if url.fragment().is_some() {
        value.wrong(&format!("{ABSOLUTE}, without `#`"), None);
        return None;
    }
    if is_private(&url) {
        if private {
            return Some(text.to_owned());
        }
        value.error(
            "this address is on this machine or in a private network, where requests go only by leave",
            Some("add `private = true` to this system if that is meant".to_owned()),
        );
        return None;
    }
    if url.scheme() != "https" && !private {
        value.error(
            "credentials and tokens would travel unencrypted over http://",
            Some("use https://".to_owned()),
        );
        return None;
    }
    Some(text.to_owned())
}

/// Where the browser is sent back to: this machine, or an https page whose address is pasted.
fn redirect(value: &Value<'_>) -> Option<String> {
    const ABSOLUTE: &str =
        "an absolute URL such as \"http://127.0.0.1:8765/\", as it is registered with the vendor";
    let text = value.filled(ABSOLUTE)?;
    let url = value.absolute_url(text, ABSOLUTE)?;
    if url.fragment().is_some() {
        value.wrong(&format!("{ABSOLUTE}, without `#`"), None);
        return None;
    }
    if url.scheme() != "https" && !is_private(&url) {
        value.error(
            "the code would travel unencrypted over http://",
            Some("use https://, or an address of this machine".to_owned()),
        );
        return None;
    }
    Some(text.to_owned())
}
