//! `[paths.NAME]` over `[defaults.path]`, and the internal page path of each channel.

use std::path::Path as FilePath;
use std::time::Duration;

use super::contracts::Contracts;
use super::mapping;
use super::model::{
    Auth, BreakerPolicy, Channel, INTERNAL, Lane, Mode, Path, RequestTemplate, Sync, System,
};
use super::needs::{self, Need};
use super::reader::{Section, Value, quoted};
use super::sections::Named;
use super::settings::{Settings, settings};
use super::tolerance;
use super::values::{DAY, check_name, check_reference, is_private};
use crate::duty::Policy;
use crate::ids::MAX_FAN_OUT;
use crate::record::read::overlap;

/// What paths refer to.
pub(super) struct Surroundings<'s> {
    /// `[systems]`.
    pub(super) systems: &'s Named<System>,
    /// `[channels]`.
    pub(super) channels: &'s Named<Channel>,
    /// `[escalation]`.
    pub(super) policies: &'s Named<Policy>,
    /// `[contracts]`.
    pub(super) contracts: &'s Contracts<'s>,
    /// The folder that runbooks are relative to.
    pub(super) base: &'s FilePath,
    /// `site.live_from` is set.
    pub(super) live_from: bool,
}

/// Standard Webhooks, "Deliverability and reliability": the recommended retry schedule.
pub(super) const QUEUE: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// Three tries that end inside five minutes even when jitter stretches both delays by its default fifth.
const WEBHOOK: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(30),
    Duration::from_secs(210),
];

/// A page is worth trying often at first, and for a night.
const PAGE: [Duration; 14] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
];

/// Half of at least ten attempts within two minutes: a real outage shows within seconds, and a handful of failures on a
/// quiet path does not stop it. Five distinct records refused in a row with no success between look like a bad deploy,
/// not like five bad records. Half a minute is long enough for a restart and short enough to go unnoticed.
pub(super) const BREAKER: BreakerPolicy = BreakerPolicy {
    rate: 0.5,
    min: 10,
    window: Duration::from_secs(120),
    cooldown: Duration::from_secs(30),
    refused: 5,
};

/// Pages are never stopped by a breaker: there would be nobody to tell.
const NEVER: BreakerPolicy = BreakerPolicy {
    rate: 1.0,
    min: u32::MAX,
    window: Duration::from_secs(120),
    cooldown: Duration::from_secs(30),
    refused: u32::MAX,
};

/// The header that most receivers read (IETF draft "The Idempotency-Key HTTP Header Field").
const KEY_HEADER: &str = "Idempotency-Key";

/// Every configured path, in file order.
pub(super) fn paths(
    section: &Section<'_>,
    defaults: &Section<'_>,
    around: &Surroundings<'_>,
) -> Vec<Path> {
    let shared = settings(defaults, around);
    for key in [
        "route",
        "events",
        "write",
        "fields",
        "set",
        "needs",
        "links",
        "reads",
        "tolerates_loss",
    ] {
        if let Some(value) = defaults.get(key) {
            value.error("this belongs to each path, not to the defaults", None);
        }
    }
    let requests: Vec<Value<'_>> = ["url", "method", "headers", "body"]
        .into_iter()
        .filter_map(|key| defaults.get(key))
        .collect();
    defaults.finish(&[]);
    let entries = section.entries();
    if entries.len() > MAX_FAN_OUT {
        section.error(
            &format!(
                "{} paths; one event can go to at most {MAX_FAN_OUT}",
                entries.len()
            ),
            None,
        );
    }
    let mut needs = Vec::new();
    let paths: Vec<Path> = entries
        .into_iter()
        .filter_map(|(name, value)| {
            let named = check_name(&value, name);
            let one = value.section()?;
            path(&one, name, &shared, around, &mut needs).filter(|_| named)
        })
        .collect();
    needs::check(&needs, &paths);
    let mapped: Vec<&str> = (paths.iter())
        .filter(|path| path.mapping.is_some())
        .map(|path| path.name.as_str())
        .collect();
    for value in requests.iter().filter(|_| !mapped.is_empty()) {
        let names = mapped.join(", ");
        let message = format!(
            "this is not for {names}: paths between record types take their requests from the record map"
        );
        value.warning(&message, None);
    }
    paths
}

/// The internal path that carries escalations to a channel. Its URL is the channel's webhook, read when it is sent.
pub(super) fn page_path(channel: &str) -> Path {
    Path {
        name: format!("page/{channel}"),
        lane: Lane::Page,
        schedule: PAGE.to_vec(),
        timeout: Duration::from_secs(10),
        ..internal(channel)
    }
}

/// What all internal paths have in common; it begins at midwatch, and takes no events of its own accord.
pub(super) fn internal(to: &str) -> Path {
    Path {
        name: String::new(),
        from: INTERNAL.to_owned(),
        to: to.to_owned(),
        events: Vec::new(),
        when: None,
        sync: Sync::Queue,
        lane: Lane::Page,
        order_by: None,
        on_dead_continue: true,
        owner: String::new(),
        escalation: None,
        runbook: None,
        request: RequestTemplate {
            method: "POST".to_owned(),
            url: String::new(),
            headers: Vec::new(),
            body: None,
            key_header: KEY_HEADER.to_owned(),
        },
        schedule: Vec::new(),
        jitter: 0.2,
        timeout: Duration::ZERO,
        concurrency: 2,
        retry_after_cap: Duration::from_secs(300),
        breaker: NEVER,
        classes: Vec::new(),
        due: None,
        value: None,
        mode: Mode::Live,
        mapping: None,
        reads: Vec::new(),
        tolerates_loss: false,
    }
}

fn path<'a>(
    section: &Section<'a>,
    name: &str,
    shared: &Settings<'_>,
    around: &Surroundings<'_>,
    needs: &mut Vec<Need<'a>>,
) -> Option<Path> {
    let route = section
        .require("route", ROUTE)
        .and_then(|value| route(&value, around.systems));
    let own = settings(section, around);
    let sync = own.sync.or(shared.sync).unwrap_or(Sync::Queue);
    let events = events(section, sync, route.as_ref(), around.systems);
    let is_mapped = route.as_ref().is_some_and(|route| route.types.is_some());
    let mapping = match &route {
        Some(route) if is_mapped => {
            mapping::mapping(section, route, &own, shared, around.systems, needs)
        }
        Some(_) => {
            mapping::refuse(section);
            None
        }
        None => {
            // Which of them belong here is not known.
            for key in mapping::KEYS {
                section.get(key);
            }
            None
        }
    };
    if let (Some(route), Some(events), true) = (&route, &events, around.live_from && is_mapped) {
        mapping::warn_unheld(route, events, around.systems);
    }
    let reads = around.contracts.reads(section, events.as_deref());
    let tolerates_loss = (section.get("tolerates_loss"))
        .and_then(|value| value.boolean())
        .unwrap_or(false);
    if let (Some(events), Sync::Webhook, false) = (&events, sync, tolerates_loss) {
        let from = route
            .as_ref()
            .and_then(|route| around.systems.good.get(&route.from));
        tolerance::warn(section, events, from);
    }
    section.finish(&[]);
    let url = own
        .url
        .as_ref()
        .or(shared.url.as_ref())
        .filter(|_| !is_mapped);
    if let Some(route) = &route {
        if sync != Sync::Scheduled {
            check_target(section, url, route, around.systems);
        } else if is_mapped {
            route.value.error(
                "a scheduled path delivers nothing event by event, so that it carries no records",
                Some("name only the systems, or use sync = \"queue\"".to_owned()),
            );
        }
    }
    let to = route.as_ref().map(|route| route.to.as_str());
    remark(section, &own, shared, sync == Sync::Queue && !is_mapped, to);

    let Route { from, to, .. } = route?;
    // The business key, which is read from the record: no expression over the event says it.
    let by_key = |text: &String| is_mapped && text.trim() == "key";
    let order_by = own.order_by.or_else(|| shared.order_by.clone());
    let mut headers = own.headers;
    for (name, value) in &shared.headers {
        if !headers
            .iter()
            .any(|(own, _)| own.eq_ignore_ascii_case(name))
        {
            headers.push((name.clone(), value.clone()));
        }
    }
    let schedule = own.schedule.or_else(|| shared.schedule.clone());
    Some(Path {
        name: name.to_owned(),
        from,
        to,
        events: events?,
        when: own.when.or_else(|| shared.when.clone()),
        sync,
        lane: Lane::Work,
        order_by: order_by.filter(|text| !by_key(text)),
        on_dead_continue: own
            .on_dead_continue
            .or(shared.on_dead_continue)
            .unwrap_or(false),
        owner: own
            .owner
            .or_else(|| shared.owner.clone())
            .unwrap_or_default(),
        escalation: own.escalation.or_else(|| shared.escalation.clone()),
        runbook: own.runbook.or_else(|| shared.runbook.clone()),
        request: RequestTemplate {
            method: own
                .method
                .or_else(|| shared.method.clone())
                .unwrap_or_else(|| "POST".to_owned()),
            url: url.map(|(url, _)| url.clone()).unwrap_or_default(),
            headers,
            body: own
                .body
                .or_else(|| shared.body.clone())
                .filter(|_| !is_mapped),
            key_header: own
                .key_header
                .or_else(|| shared.key_header.clone())
                .unwrap_or_else(|| KEY_HEADER.to_owned()),
        },
        schedule: schedule.unwrap_or_else(|| match sync {
            Sync::Webhook => WEBHOOK.to_vec(),
            Sync::Queue | Sync::Scheduled => QUEUE.to_vec(),
        }),
        jitter: own.jitter.or(shared.jitter).unwrap_or(0.2),
        timeout: own
            .timeout
            .or(shared.timeout)
            .unwrap_or(Duration::from_secs(15)),
        concurrency: own.concurrency.or(shared.concurrency).unwrap_or(4),
        retry_after_cap: own
            .retry_after_cap
            .or(shared.retry_after_cap)
            .unwrap_or(DAY / 24),
        breaker: own.breaker.over(&shared.breaker, BREAKER),
        classes: own
            .classes
            .or_else(|| shared.classes.clone())
            .unwrap_or_default(),
        due: own.due.or(shared.due),
        value: own.value.or_else(|| shared.value.clone()),
        mode: own.mode.or(shared.mode).unwrap_or_default(),
        mapping,
        reads,
        tolerates_loss,
    })
}

/// What a route looks like.
const ROUTE: &str = "\"FROM -> TO\", two systems, or \"FROM.TYPE -> TO.TYPE\", two record types";

/// Where a path leads.
pub(super) struct Route<'a> {
    /// The source system.
    pub(super) from: String,
    /// The receiving system.
    pub(super) to: String,
    /// Record types of both, for a path between record types.
    pub(super) types: Option<(String, String)>,
    /// Where it is written.
    pub(super) value: Value<'a>,
}

/// `"shop -> crm"` or `"shop.order -> crm.order"`.
fn route<'a>(value: &Value<'a>, systems: &Named<System>) -> Option<Route<'a>> {
    let text = value.text(ROUTE)?;
    let pair = text
        .split_once("->")
        .map(|(from, to)| (from.trim(), to.trim()));
    let Some((from, to)) =
        pair.filter(|(from, to)| !from.is_empty() && !to.is_empty() && !to.contains("->"))
    else {
        value.wrong(ROUTE, None);
        return None;
    };
    let types = match (from.split_once('.'), to.split_once('.')) {
        (None, None) => None,
        (Some((_, source)), Some((_, target))) if !source.is_empty() && !target.is_empty() => {
            Some((source.to_owned(), target.to_owned()))
        }
        _ => {
            value.wrong(
                ROUTE,
                Some("a record type belongs on both sides or on neither".to_owned()),
            );
            return None;
        }
    };
    let system = |side: &'a str| side.split('.').next().unwrap_or(side);
    let (from, to) = (system(from), system(to));
    let known = [from, to].map(|name| check_reference(value, "system", name, systems.known()));
    (known == [true, true]).then(|| Route {
        from: from.to_owned(),
        to: to.to_owned(),
        types,
        value: value.clone(),
    })
}

/// Which events a path takes; one between record types takes those that carry its records, unless it says which.
fn events(
    section: &Section<'_>,
    sync: Sync,
    route: Option<&Route<'_>>,
    systems: &Named<System>,
) -> Option<Vec<String>> {
    if sync == Sync::Scheduled {
        if let Some(value) = section.get("events") {
            value.error(
                "a scheduled path delivers nothing event by event, only through reconciliation",
                Some("remove `events`, or use sync = \"queue\"".to_owned()),
            );
        }
        return Some(Vec::new());
    }
    let carried = route.map(|route| mapping::carried(route, systems));
    let carried = carried.unwrap_or_default();
    let Some(value) = section.get("events") else {
        return if carried.is_empty() {
            section.require("events", PATTERNS).and(None)
        } else {
            Some(carried)
        };
    };
    let events = patterns(&value)?;
    if let Some(Route {
        from,
        types: Some((source, _)),
        ..
    }) = route
        && !carried.is_empty()
    {
        let taken =
            |known: &[String], event: &str| known.iter().any(|pattern| overlap(event, pattern));
        for (event, item) in events.iter().zip(value.items().unwrap_or_default()) {
            if !taken(&carried, event) {
                item.error(
                    &format!(
                        "no event {} carries a record of {from}.{source}",
                        quoted(event)
                    ),
                    Some(format!("those that do: {}", carried.join(", "))),
                );
            }
        }
        for polled in mapping::polled(from, source, systems) {
            if !taken(&events, &polled) {
                value.warning(
                    &format!(
                        "what {from} is polled for comes as {polled}, which this path does not take"
                    ),
                    Some(format!("add \"{polled}\", or leave `events` out")),
                );
            }
        }
    }
    Some(events)
}

/// What a list of event types looks like.
const PATTERNS: &str = "a list of event types such as [\"order.created\", \"customer.*\"]";

/// Event types: exact, or a prefix ending in `*`.
pub(super) fn patterns(value: &Value<'_>) -> Option<Vec<String>> {
    let patterns = value.texts(PATTERNS)?;
    let mut good = true;
    for (value, pattern) in &patterns {
        let star = pattern.find('*').is_some_and(|at| at + 1 < pattern.len());
        if star || pattern.chars().any(char::is_whitespace) {
            value.wrong(
                "an event type such as \"order.created\", or a prefix ending in `*`",
                None,
            );
            good = false;
        }
    }
    good.then(|| {
        patterns
            .into_iter()
            .map(|(_, text)| text.to_owned())
            .collect()
    })
}

/// The URL must lead somewhere, and to a private address only by leave.
fn check_target(
    section: &Section<'_>,
    url: Option<&(String, Value<'_>)>,
    route: &Route<'_>,
    systems: &Named<System>,
) {
    let to = &route.to;
    let Some(system) = systems.good.get(to) else {
        return;
    };
    let text = url.map_or("", |(text, _)| text.as_str());
    let message = if text.is_empty() || text.starts_with('/') {
        if system.url.is_some() {
            return;
        }
        if route.types.is_some() {
            format!("systems.{to} has no `url`")
        } else {
            format!("`url` is relative, but systems.{to} has no `url`")
        }
    } else {
        let literal = &text[..text.find('{').unwrap_or(text.len())];
        match reqwest::Url::parse(literal) {
            Ok(parsed) if is_private(&parsed) && !system.private => format!(
                "this address is on this machine or in a private network, where requests go only by leave: \
                 systems.{to} needs `private = true`"
            ),
            Ok(parsed)
                if system.auth != Auth::None
                    && system
                        .url
                        .as_deref()
                        .is_some_and(|base| !same_origin(base, &parsed)) =>
            {
                format!(
                    "this is not the address of systems.{to}, whose credentials would be sent there: \
                     make it a system of its own"
                )
            }
            _ => return,
        }
    };
    match url {
        Some((_, value)) if value.path.starts_with(&section.path) => value.error(&message, None),
        _ => section.error(&message, None),
    }
}

/// Whether scheme, host and port are those of the system's own URL.
fn same_origin(base: &str, target: &reqwest::Url) -> bool {
    reqwest::Url::parse(base).is_ok_and(|base| base.origin() == target.origin())
}

/// What the person on call will miss.
fn remark(
    section: &Section<'_>,
    own: &Settings<'_>,
    shared: &Settings<'_>,
    key_matters: bool,
    to: Option<&str>,
) {
    let missing: Vec<&str> = [
        ("owner", own.owner.is_none() && shared.owner.is_none()),
        ("runbook", own.runbook.is_none() && shared.runbook.is_none()),
        (
            "escalation",
            own.escalation.is_none() && shared.escalation.is_none(),
        ),
    ]
    .into_iter()
    .filter_map(|(key, missing)| missing.then_some(key))
    .collect();
    if !missing.is_empty() {
        section.warning(
            &format!("no {}", missing.join(", no ")),
            Some("whoever is woken will need it: set it here or in [defaults.path]".to_owned()),
        );
    }
    if key_matters && own.key_header.is_none() && shared.key_header.is_none() {
        let to = to.unwrap_or("the receiver");
        section.warning(
            &format!("no lookup: an unknown outcome is repeated with the same {KEY_HEADER}"),
            Some(format!(
                "if {to} honours that header, say so with key_header = \"{KEY_HEADER}\""
            )),
        );
    }
}
