//! `[systems.NAME]`: the outside applications, how requests to them authenticate, and their webhooks.

use std::collections::BTreeMap;
use std::path::Path;

use super::hooks;
use super::model::{Auth, System};
use super::presets::{self, Opened};
use super::reader::{Section, Value};
use super::records;
use super::sections::Named;
use super::suggest::{alternatives, did_you_mean};
use super::values::{check_name, is_private};

/// What systems refer to.
pub(super) struct Surroundings<'a, 's> {
    /// The folder that secrets are relative to.
    pub(super) base: &'s Path,
    /// `site.public_url` is known.
    pub(super) public_url: bool,
    /// The presets that this file names.
    pub(super) presets: &'a [Opened],
}

/// Every system.
pub(super) fn systems<'a>(section: &Section<'a>, around: &Surroundings<'a, '_>) -> Named<System> {
    let mut all = Named {
        good: BTreeMap::new(),
        names: Vec::new(),
    };
    for (name, value) in section.entries() {
        all.names.push(name.to_owned());
        check_name(&value, name);
        if let Some(section) = value.section() {
            let system = system(section, name, around);
            all.good.insert(name.to_owned(), system);
        }
    }
    all
}

/// The section over the preset that it names.
fn over<'a>(section: Section<'a>, presets: &'a [Opened]) -> (Section<'a>, Option<String>) {
    let Some(value) = section.get("preset") else {
        return (section, None);
    };
    let names = || presets::ALL.iter().map(|preset| preset.name);
    let expected = alternatives(names());
    let Some(name) = value.text(&expected) else {
        return (section, None);
    };
    let Some(preset) = presets.iter().find(|preset| preset.name == name) else {
        value.wrong(&expected, did_you_mean(name, names()));
        return (section, None);
    };
    let name = name.to_owned();
    (section.over(&preset.problems, &preset.table), Some(name))
}

fn system<'a>(section: Section<'a>, name: &str, around: &Surroundings<'a, '_>) -> System {
    let base = around.base;
    let (section, preset) = over(section, around.presets);
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
    // A preset's hooks are there only where the user has a secret for them.
    let hooks = section.get("hooks").filter(Value::is_own);
    let accepts_events = section.get("accepts_events").and_then(|value| {
        let accepts = value.boolean()?;
        if hooks.is_none() {
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
        preset,
        limit: section.get("limit").and_then(|value| value.rate_limit()),
        hooks: hooks
            .and_then(|value| value.section())
            .and_then(|hooks| hooks::hooks(&hooks, base, around.public_url)),
        accepts_events: accepts_events.unwrap_or(false),
        records: records::records(&section.section("records"), name),
        ..System::new(name)
    };
    section.finish(&[]);
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
