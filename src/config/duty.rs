//! `[people]`, `[oncall.NAME]`, `[escalation.NAME]`, `[watch]`: who is told of what is wrong, when, and how often.
//!
//! ```toml
//! [people]
//! anna = { ntfy = "file:anna_topic" }
//! bo = { ntfy = "file:bo_topic", email = "bo@agency.example" }
//! [oncall.weekly]
//! rota = ["anna", "bo"]
//! change = "Mon 09:00"
//! [escalation.shop]
//! critical = [{ tell = "oncall:weekly", repeat = "5m" }, { tell = "anna,bo", after = "20m" }]
//! warning = [{ tell = "slack:ops", hours = "workdays 08-18" }]
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::channels::{address, needs_mail};
use super::model::{Channel, ChannelKind, Watch};
use super::reader::{Section, Value, quoted};
use super::sections::Named;
use super::suggest::did_you_mean;
use super::values::{DAY, check_name, check_reference};
use crate::duty::{Hours, Level, Person, Policy, Rota, Stint, Tell};

/// An incident is not told more often than this.
const OFTEN: Duration = Duration::from_secs(60);

/// People. Each way to reach them becomes a channel `kind:PERSON`, in the order in which it was written.
pub(super) fn people(
    section: &Section<'_>,
    channels: &mut Named<Channel>,
    base: &Path,
    has_mail: bool,
) -> Named<Person> {
    let mut all = Named {
        good: BTreeMap::new(),
        names: Vec::new(),
    };
    for (name, value) in section.entries() {
        all.names.push(name.to_owned());
        if !check_name(&value, name) {
            continue;
        }
        let Some(one) = value.section() else { continue };
        let private = one.get("private").and_then(|value| value.boolean());
        let mut person = Person {
            name: name.to_owned(),
            channels: Vec::new(),
        };
        let written = one.entries();
        for kind in ["ntfy", "email", "slack", "webhook"] {
            let Some(value) = one.get(kind) else { continue };
            let of_kind = match kind {
                "email" => address(&value).map(|to| ChannelKind::Email { to: vec![to] }),
                "ntfy" => value.secret(base).map(|topic| ChannelKind::Ntfy {
                    topic,
                    token: one.get("token").and_then(|value| value.secret(base)),
                    replies: one.get("replies").and_then(|value| value.secret(base)),
                }),
                "slack" => value.secret(base).map(ChannelKind::Slack),
                _ => value.secret(base).map(ChannelKind::Webhook),
            };
            let key = format!("{kind}:{name}");
            if channels.names.contains(&key) {
                value.error(
                    &format!("there is a channel {} already", quoted(&key)),
                    Some(format!(
                        "leave it out here, or rename [channels.{kind}.{name}]"
                    )),
                );
                continue;
            }
            needs_mail(&value, kind, has_mail);
            channels.names.push(key.clone());
            if let Some(kind) = of_kind {
                let channel = Channel {
                    name: key.clone(),
                    kind,
                    private: private.unwrap_or(false),
                };
                channels.good.insert(key.clone(), channel);
            }
            person.channels.push(key);
        }
        let place = |key: &String| {
            let kind = key.split(':').next().unwrap_or_default();
            written.iter().position(|(name, _)| *name == kind)
        };
        person.channels.sort_by_key(place);
        one.finish(&[]);
        if person.channels.is_empty() {
            value.error(
                "there is no way to reach this person",
                Some("add ntfy = \"file:TOPIC\", or email = \"...\"".to_owned()),
            );
            continue;
        }
        all.good.insert(name.to_owned(), person);
    }
    all
}

/// Rotas.
pub(super) fn rotas(section: &Section<'_>, people: &Named<Person>) -> Named<Rota> {
    let mut all = Named {
        good: BTreeMap::new(),
        names: Vec::new(),
    };
    for (name, value) in section.entries() {
        all.names.push(name.to_owned());
        let named = check_name(&value, name);
        if let Some(one) = value.section()
            && let Some(rota) = rota(&one, name, people)
            && named
        {
            all.good.insert(name.to_owned(), rota);
        }
    }
    all
}

fn rota(section: &Section<'_>, name: &str, people: &Named<Person>) -> Option<Rota> {
    const ROTA: &str = "people in the order of their weeks, such as [\"anna\", \"bo\"]";
    const CHANGE: &str = "a day and an hour such as \"Mon 09:00\"";
    let members = section.require("rota", ROTA).and_then(|value| {
        let texts = value.texts(ROTA)?;
        let checked = texts.into_iter().map(|(value, text)| {
            check_reference(&value, "person", text, people.known()).then(|| text.to_owned())
        });
        checked.collect::<Option<Vec<_>>>()
    });
    let first = section.get("first").and_then(|value| {
        let text = value
            .as_date()
            .or_else(|| value.as_text().map(str::to_owned));
        let date = text.and_then(|text| text.get(..10)?.parse().ok());
        if date.is_none() {
            value.wrong("a day of the first one's week, such as 2026-11-23", None);
        }
        date
    });
    let change = section.get("change");
    let text = match &change {
        Some(value) => value.filled(CHANGE)?,
        None => "Mon 09:00",
    };
    let overrides = (section.get("override").and_then(|value| value.items()))
        .unwrap_or_default()
        .iter()
        .filter_map(|value| stint(value, name, people))
        .collect();
    section.finish(&[]);
    let rota = Rota::new(name, members?, text, first);
    if let (None, Some(value)) = (&rota, &change) {
        value.wrong(CHANGE, None);
    }
    rota.map(|mut rota| {
        rota.overrides = overrides;
        rota
    })
}

fn stint(value: &Value<'_>, rota: &str, people: &Named<Person>) -> Option<Stint> {
    let section = value.section()?;
    let person = section
        .require("who", "a person of the rota")
        .and_then(|value| value.reference("person", people.known()));
    let time = |key| {
        let expected = "a time with its offset from UTC";
        section
            .require(key, expected)
            .and_then(|value| value.instant())
    };
    let (from, until) = (time("from"), time("until"));
    section.finish(&[]);
    let (from, until) = (from?, until?);
    if until <= from {
        section.error("it ends before it begins", None);
        return None;
    }
    Some(Stint {
        rota: rota.to_owned(),
        person: person?,
        from,
        until,
    })
}

/// What a policy may name.
pub(super) struct Reachable<'s> {
    pub(super) people: &'s Named<Person>,
    pub(super) rotas: &'s Named<Rota>,
    pub(super) channels: &'s Named<Channel>,
}

/// Policies.
pub(super) fn policies(section: &Section<'_>, reachable: &Reachable<'_>) -> Named<Policy> {
    let mut all = Named {
        good: BTreeMap::new(),
        names: Vec::new(),
    };
    for (name, value) in section.entries() {
        all.names.push(name.to_owned());
        let named = check_name(&value, name);
        let Some(one) = value.section() else { continue };
        let levels = |key| {
            let value = one.get(key)?;
            let items = value.items();
            if items.is_none() {
                value.wrong(
                    "a list such as [{ tell = \"oncall:weekly\", repeat = \"5m\" }]",
                    None,
                );
            }
            let levels = items?
                .iter()
                .map(|value| level(value, reachable))
                .collect::<Vec<_>>();
            levels.into_iter().collect::<Option<Vec<Level>>>()
        };
        let (critical, warning) = (levels("critical"), levels("warning"));
        if one.get("critical").is_none() {
            one.error(
                "nobody is told of what is critical",
                Some("add critical = [{ tell = \"...\", repeat = \"5m\" }]".to_owned()),
            );
        }
        one.finish(&[]);
        if named {
            let policy = Policy {
                name: name.to_owned(),
                critical: critical.unwrap_or_default(),
                warning: warning.unwrap_or_default(),
            };
            all.good.insert(name.to_owned(), policy);
        }
    }
    all
}

fn level(value: &Value<'_>, reachable: &Reachable<'_>) -> Option<Level> {
    const TELL: &str = "\"oncall:ROTA\", people (\"anna,bo\") or a channel (\"slack:ops\")";
    let section = value.section()?;
    let tell = section.require("tell", TELL).and_then(|value| {
        let text = value.filled(TELL)?;
        let all = text
            .split(',')
            .map(|one| tell(&value, one.trim(), reachable));
        all.collect::<Option<Vec<_>>>()
    });
    let after = section
        .get("after")
        .and_then(|value| value.duration(Duration::ZERO..=DAY));
    let repeat = section
        .get("repeat")
        .and_then(|value| value.duration(OFTEN..=DAY));
    let hours = section.get("hours").and_then(|value| {
        const HOURS: &str = "hours such as \"workdays 08-18\" or \"mon-thu 9:30-17\"";
        let hours = Hours::parse(value.filled(HOURS)?);
        if hours.is_none() {
            value.wrong(HOURS, None);
        }
        hours
    });
    section.finish(&[]);
    Some(Level {
        tell: tell?,
        after: after.unwrap_or_default(),
        repeat,
        hours,
    })
}

fn tell(value: &Value<'_>, text: &str, reachable: &Reachable<'_>) -> Option<Tell> {
    if let Some(rota) = text.strip_prefix("oncall:") {
        let known = check_reference(value, "rota", rota, reachable.rotas.known());
        return known.then(|| Tell::Rota(rota.to_owned()));
    }
    if text.contains(':') {
        let known = check_reference(value, "channel", text, reachable.channels.known());
        return known.then(|| Tell::Channel(text.to_owned()));
    }
    let known = check_reference(value, "person", text, reachable.people.known());
    known.then(|| Tell::Person(text.to_owned()))
}

/// `[watch]`.
pub(super) fn watch(
    section: &Section<'_>,
    policies: &Named<Policy>,
    channels: &Named<Channel>,
    base: &Path,
) -> Watch {
    let default = Watch::default();
    let duration = |key, range, default| {
        section
            .get(key)
            .and_then(|value| value.duration(range))
            .unwrap_or(default)
    };
    let second = Duration::from_secs(1);
    let watch = Watch {
        escalation: (section.get("escalation"))
            .and_then(|value| policy_or_channel(&value, policies, channels)),
        lease: duration("lease", OFTEN..=DAY, default.lease),
        heartbeat: section
            .get("heartbeat")
            .and_then(|value| value.secret(base)),
        heartbeat_every: duration("heartbeat_every", second..=DAY, default.heartbeat_every),
        bell: section
            .get("bell")
            .and_then(|value| value.boolean())
            .unwrap_or(default.bell),
        private: section
            .get("private")
            .and_then(|value| value.boolean())
            .unwrap_or_default(),
    };
    section.finish(&[]);
    watch
}

/// Where something escalates to: a policy, or a channel alone.
pub(super) fn policy_or_channel(
    value: &Value<'_>,
    policies: &Named<Policy>,
    channels: &Named<Channel>,
) -> Option<String> {
    let text = value.filled("the name of an escalation policy, or a channel")?;
    if policies.names.iter().any(|name| name == text) {
        return Some(text.to_owned());
    }
    let both = || policies.known().chain(channels.known());
    if !text.contains(':') && !policies.names.is_empty() {
        value.error(
            &format!("no escalation policy is called {}", quoted(text)),
            did_you_mean(text, both()),
        );
        return None;
    }
    check_reference(value, "channel", text, both()).then(|| text.to_owned())
}
