//! `[systems.NAME]`: the outside applications, how requests to them authenticate, and their webhooks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::auth;
use super::hooks;
use super::missed;
use super::model::{Auth, Hooks, LimitHeaders, ResetUnit, System, Trust, Webhooks};
use super::presets::{Opened, Preset};
use super::reader::{Section, Value};
use super::records;
use super::sections::Named;
use super::settings::fixed_header;
use super::shapes::{self, Purpose};
use super::suggest::{alternatives, did_you_mean};
use super::uses::Brought;
use super::values::{DAY, check_member, check_name, is_private};
use crate::record::map::RecordMap;

/// What systems refer to.
pub(super) struct Surroundings<'a, 's> {
    /// The folder that secrets are relative to.
    pub(super) base: &'s Path,
    /// The database, beside which tokens are kept.
    pub(super) database: &'s Path,
    /// `site.public_url` is known.
    pub(super) public_url: bool,
    /// The presets that there are.
    pub(super) known: &'static [Preset],
    /// Those that this file names.
    pub(super) presets: &'a [Opened],
}

/// Every system.
pub(super) fn systems<'a>(
    section: &Section<'a>,
    around: &Surroundings<'a, '_>,
) -> (Named<System>, Vec<Brought>) {
    let mut brought = Vec::new();
    let mut all = Named {
        good: BTreeMap::new(),
        names: Vec::new(),
    };
    for (name, value) in section.entries() {
        all.names.push(name.to_owned());
        check_name(&value, name);
        if let Some(section) = value.section() {
            let system = system(section, name, around, &mut brought);
            all.good.insert(name.to_owned(), system);
        }
    }
    (all, brought)
}

/// The section over the preset that it names, and that one's name.
fn over<'a>(
    section: Section<'a>,
    around: &Surroundings<'a, '_>,
) -> (Section<'a>, Option<&'static str>) {
    let Some(value) = section.get("preset") else {
        return (section, None);
    };
    let names = || around.known.iter().map(|preset| preset.name);
    let expected = alternatives(names());
    let Some(name) = value.text(&expected) else {
        return (section, None);
    };
    let Some(preset) = around.presets.iter().find(|preset| preset.name == name) else {
        value.wrong(&expected, did_you_mean(name, names()));
        return (section, None);
    };
    let name = preset.name;
    (section.over(&preset.problems, &preset.table), Some(name))
}

fn system<'a>(
    section: Section<'a>,
    name: &str,
    around: &Surroundings<'a, '_>,
    brought: &mut Vec<Brought>,
) -> System {
    let base = around.base;
    let (section, preset) = over(section, around);
    brought.extend(preset.map(|preset| Brought::of(&section, name, preset)));
    let private = section
        .get("private")
        .and_then(|value| value.boolean())
        .unwrap_or(false);
    let auth = section
        .get("auth")
        .filter(Value::is_own)
        .and_then(|value| {
            let around = auth::Around {
                base,
                database: around.database,
                private,
            };
            auth::auth(&value, &around)
        })
        .unwrap_or(Auth::None);
    let url = section.get("url").and_then(|value| {
        let url = value.base_url()?;
        check_address(&value, &url, private, &auth);
        Some(url)
    });
    let webhooks = section
        .get("webhooks")
        .and_then(|value| value.section())
        .and_then(|webhooks| vendors_webhooks(&webhooks));
    // A preset's hooks are there only where the user has a secret for them.
    let written = section.get("hooks").filter(Value::is_own);
    let hooks = written.as_ref().and_then(Value::section).and_then(|hooks| {
        let read = hooks::hooks(&hooks, base, around.public_url)?;
        check_watch(&hooks, &read, around, url.as_deref(), webhooks.as_ref());
        Some(read)
    });
    let accepts_events = section.get("accepts_events").and_then(|value| {
        let accepts = value.boolean()?;
        if written.is_none() {
            value.warning(
                "a system without hooks takes part in POST /events anyway",
                Some("remove this line".to_owned()),
            );
        }
        Some(accepts)
    });
    let mut records = records::records(&section.section("records"), name);
    let poll = section
        .get("poll")
        .and_then(|value| value.section())
        .map(|poll| polled(&poll, name, &mut records))
        .unwrap_or_default();
    let missed = section
        .get("missed")
        .and_then(|value| value.section())
        .and_then(|missed| missed::missed(&missed, name, &mut records, hooks.is_some()));
    let trusts = [("event", Trust::Event), ("refetch", Trust::Refetch)];
    let system = System {
        name: name.to_owned(),
        url,
        auth,
        private,
        limit: section.get("limit").and_then(|value| value.rate_limit()),
        hooks,
        accepts_events: accepts_events.unwrap_or(false),
        preset: preset.map(str::to_owned),
        trust: section
            .get("trust")
            .and_then(|value| value.word(&trusts))
            .unwrap_or_default(),
        poll,
        limit_headers: section
            .get("limit_headers")
            .and_then(|value| value.section())
            .and_then(|headers| limit_headers(&headers)),
        sign: section.get("sign").and_then(|value| value.secret(base)),
        headers: section
            .section("headers")
            .entries()
            .iter()
            .filter_map(|(name, value)| fixed_header(name, value))
            .collect(),
        webhooks,
        missed,
        status: section.get("status").and_then(|value| status(&value)),
        probe: section.get("probe").and_then(|value| value.path()),
        records,
    };
    section.finish(&[]);
    if system.trust == Trust::Refetch {
        check_refetch(&section, &system);
    }
    system
}

/// Where the hint leads: whatever carries records must say which one changed, and be readable.
fn check_refetch(section: &Section<'_>, system: &System) {
    let Some(value) = section.get("trust") else {
        return;
    };
    let carriers = system.records.values().filter(|map| !map.events.is_empty());
    for map in carriers {
        let place = format!("systems.{}.records.{}", system.name, map.kind);
        if map.read.is_none() {
            value.error(
                &format!("{place} has no `read`, so that it cannot be read again"),
                Some("add one: a request by `{{ id }}`; or use trust = \"event\"".to_owned()),
            );
        } else if map.layout.id.is_none() {
            value.error(
                &format!("{place} has no `id`: the hint does not say which record changed"),
                Some("add id = \"/...\", a JSON Pointer".to_owned()),
            );
        }
    }
}

/// `poll = { order = "5m" }`. What is polled comes as an event of its own type, which carries the record.
fn polled(
    section: &Section<'_>,
    system: &str,
    records: &mut BTreeMap<String, Arc<RecordMap>>,
) -> Vec<(String, Duration)> {
    let mut all = Vec::new();
    for (kind, value) in section.entries() {
        let known = records.keys().map(String::as_str);
        if !check_member(
            &value,
            "record type",
            &format!("systems.{system}"),
            kind,
            known,
        ) {
            continue;
        }
        let place = format!("systems.{system}.records.{kind}");
        match records.get(kind).and_then(|map| map.list.as_ref()) {
            None => value.error(
                &format!("{place} has no `list` to ask"),
                Some("add one: a request that lists such records".to_owned()),
            ),
            Some(list) if list.since.is_none() => value.warning(
                &format!("{place}.list has no `since`: all records are fetched each time"),
                Some(
                    "if the vendor can, add one such as since = \"updated_after={{ since }}\""
                        .to_owned(),
                ),
            ),
            Some(_) => {}
        }
        if let Some(every) = value.duration(Duration::from_secs(10)..=DAY * 31) {
            all.push((kind.to_owned(), every));
        }
        if let Some(map) = records.get_mut(kind) {
            missed::carries_changes(map);
        }
    }
    all
}

fn limit_headers(section: &Section<'_>) -> Option<LimitHeaders> {
    let units = [
        ("s", ResetUnit::Seconds),
        ("ms", ResetUnit::Millis),
        ("unix", ResetUnit::UnixSeconds),
    ];
    let name = |value: Value<'_>| Some(value.header_name()?.to_ascii_lowercase());
    let remaining = section
        .require(
            "remaining",
            "the header that says how many requests are left",
        )
        .and_then(name);
    let reset = section.get("reset").map(name);
    let reset_unit = section
        .get("reset_unit")
        .and_then(|value| value.word(&units));
    section.finish(&[]);
    Some(LimitHeaders {
        remaining: remaining?,
        reset: match reset {
            Some(reset) => Some(reset?),
            None => None,
        },
        reset_unit: reset_unit.unwrap_or(ResetUnit::Seconds),
    })
}

/// How the vendor lists and enables its webhooks.
fn vendors_webhooks(section: &Section<'_>) -> Option<Webhooks> {
    let list = section
        .require("list", "a request that lists the vendor's webhooks")
        .and_then(|value| shapes::shape(&value, Purpose::List, ""));
    let pointer = |key, what| {
        section
            .require(key, what)
            .and_then(|value| value.pointer(false))
    };
    let id = pointer("id", "a JSON Pointer to a webhook's id");
    let address = pointer("address", "a JSON Pointer to the address that it calls");
    let state = pointer("state", "a JSON Pointer to its state");
    let enabled = section
        .require("enabled", "the state that means enabled")
        .and_then(|value| value.filled("the state that means enabled, as text"));
    let enable = match section.get("enable") {
        Some(value) => shapes::shape(&value, Purpose::Link, "").map(Some),
        None => Some(None),
    };
    section.finish(&[]);
    Some(Webhooks {
        list: list?,
        id: id?,
        address: address?,
        state: state?,
        enabled: enabled?.to_owned(),
        enable: enable?,
    })
}

/// Watching asks the vendor: it must be known how, and where.
fn check_watch(
    section: &Section<'_>,
    hooks: &Hooks,
    around: &Surroundings<'_, '_>,
    url: Option<&str>,
    webhooks: Option<&Webhooks>,
) {
    let Some(value) = section.get("watch").filter(|_| hooks.watch.is_some()) else {
        return;
    };
    if webhooks.is_none() {
        value.error(
            "nothing says how this system's webhooks are listed",
            Some("add `webhooks`, or remove `watch`".to_owned()),
        );
    } else if url.is_none() {
        value.error("this system has no `url` to ask", None);
    } else if !around.public_url {
        value.warning(
            "the address that the vendor calls is unknown, so that only the path of its webhooks is compared",
            Some("set site.public_url".to_owned()),
        );
    }
}

/// The vendor's status page, which is asked without credentials.
fn status(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "an absolute URL such as \"https://status.vendor.example\"";
    let text = value.filled(EXPECTED)?;
    value.absolute_url(text, EXPECTED)?;
    Some(text.to_owned())
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
