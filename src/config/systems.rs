//! `[systems.NAME]`: the outside applications, how requests to them authenticate, and their webhooks.

use std::collections::BTreeMap;
use std::path::Path;

use super::hooks;
use super::model::{Auth, System};
use super::reader::{Section, Value};
use super::sections::Named;
use super::values::{check_name, is_private};

/// Keys of a system that a later version brings.
const LATER: &[(&str, &str)] = &[
    ("preset", "presets"),
    ("records", "record maps"),
    ("trust", "records that are read again on a hint"),
    ("status", "vendors' status pages"),
];

/// Every system.
pub(super) fn systems(section: &Section<'_>, base: &Path, public_url: bool) -> Named<System> {
    let mut all = Named {
        good: BTreeMap::new(),
        names: Vec::new(),
    };
    for (name, value) in section.entries() {
        all.names.push(name.to_owned());
        check_name(&value, name);
        if let Some(section) = value.section() {
            let system = system(&section, name, base, public_url);
            all.good.insert(name.to_owned(), system);
        }
    }
    all
}

fn system(section: &Section<'_>, name: &str, base: &Path, public_url: bool) -> System {
    let private = section
        .get("private")
        .and_then(|value| value.boolean())
        .unwrap_or(false);
    let auth = section
        .get("auth")
        .and_then(|value| auth(&value, base))
        .unwrap_or(Auth::None);
    let url = section.get("url").and_then(|value| {
        let url = value.base_url()?;
        check_address(&value, &url, private, &auth);
        Some(url)
    });
    let accepts_events = section.get("accepts_events").and_then(|value| {
        let accepts = value.boolean()?;
        if section.get("hooks").is_none() {
            value.warning(
                "a system without hooks takes part in POST /events anyway",
                Some("remove this line".to_owned()),
            );
        }
        Some(accepts)
    });
    let system = System {
        url,
        auth,
        private,
        limit: section.get("limit").and_then(|value| value.rate_limit()),
        hooks: section
            .get("hooks")
            .and_then(|value| value.section())
            .and_then(|hooks| hooks::hooks(&hooks, base, public_url)),
        accepts_events: accepts_events.unwrap_or(false),
        ..System::new(name)
    };
    section.finish(LATER);
    system
}

/// What would be refused at the first request is refused here.
fn check_address(value: &Value<'_>, url: &str, private: bool, auth: &Auth) {
    let Ok(parsed) = reqwest::Url::parse(url) else {
        return;
    };
    if !private && is_private(&parsed) {
        value.error(
            "this address is on this machine or in a private network, where requests go only by leave",
            Some("add `private = true` to this system if that is meant".to_owned()),
        );
    } else if !private && parsed.scheme() == "http" && *auth != Auth::None {
        value.warning(
            "credentials travel unencrypted over http://",
            Some("use https://".to_owned()),
        );
    }
}

/// `{ bearer = SECRET }`, `{ basic = [SECRET, SECRET] }` or `{ header = NAME, value = SECRET }`.
fn auth(value: &Value<'_>, base: &Path) -> Option<Auth> {
    const EXPECTED: &str = "one of { bearer = \"file:PATH\" }, { basic = [\"file:USER\", \"file:PASSWORD\"] } and \
                            { header = \"X-Api-Key\", value = \"file:PATH\" }";
    if !value.is_table() {
        let message = format!("found {}", value.kind());
        value
            .problems
            .error(value.at, &value.path, &message, Some(EXPECTED), None);
        return None;
    }
    let section = value.section()?;
    let bearer = section.get("bearer");
    let basic = section.get("basic");
    let header = section.get("header");
    let secret = section.get("value");
    section.finish(&[
        ("oauth", "OAuth credentials"),
        ("oauth2", "OAuth credentials"),
    ]);
    match (bearer, basic, header, secret) {
        (Some(token), None, None, None) => Some(Auth::Bearer(token.secret(base)?)),
        (None, Some(pair), None, None) => {
            let secrets = pair.secrets("[\"file:USER\", \"file:PASSWORD\"]", base)?;
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
        (None, None, Some(name), Some(secret)) => {
            let (name, secret) = (name.header_name(), secret.secret(base));
            Some(Auth::Header(name?, secret?))
        }
        (None, None, Some(_), None) => {
            section.error(
                "`header` has no `value`",
                Some(format!("expected {EXPECTED}")),
            );
            None
        }
        (None, None, None, Some(_)) => {
            section.error(
                "`value` has no `header`",
                Some(format!("expected {EXPECTED}")),
            );
            None
        }
        (None, None, None, None) => {
            // An unknown key inside has been reported; an empty table has not.
            if section.entries().is_empty() {
                section.error(
                    "no way of authentication is given",
                    Some(format!("expected {EXPECTED}")),
                );
            }
            None
        }
        _ => {
            section.error(
                "more than one way of authentication is given",
                Some(format!("expected {EXPECTED}")),
            );
            None
        }
    }
}
