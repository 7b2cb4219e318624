//! The whole file, and its small sections: `[site]`, `[ingest]`, `[limits]`, `[retention]`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Compared;
use super::model::{Config, Ingest, Limits, Retention, Site};
use super::presets::{Opened, Preset};
use super::reader::{Section, Value};
use super::suggest::{did_you_mean, nearest};
use super::uses::Brought;
use super::values::DAY;
use super::{channels, contracts, duty, entities, owners, paths, reconcile, repair, systems};
use crate::time::short;

/// Keys of the root that a later version brings.
const LATER: &[(&str, &str)] = &[("peers", "peers"), ("rules", "rules")];

/// The largest body that is ever accepted: an event is read into memory and kept in one row.
const LARGEST_BODY: u64 = 1 << 20;

/// Twice the largest write-ahead log that the store lets grow.
const SAFE_RESERVE: u64 = 128 << 20;

/// An hour.
const HOUR: Duration = Duration::from_secs(3600);

/// What a table of names holds: the entries that are good, and every name, so that one bad entry is one complaint.
pub(super) struct Named<T> {
    /// The good ones.
    pub(super) good: BTreeMap<String, T>,
    /// Every name that was written.
    pub(super) names: Vec<String>,
}

impl<T> Named<T> {
    /// Every name that was written.
    pub(super) fn known(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// The configuration of a document. It is meant to be used only if nothing was reported.
pub(super) fn config<'a>(
    root: &Section<'a>,
    known: &'static [Preset],
    presets: &'a [Opened],
    text: &str,
    file: &Path,
    compared: Compared,
) -> (Config, Vec<Brought>) {
    let base = std::path::absolute(file)
        .ok()
        .and_then(|file| file.parent().map(Path::to_owned))
        .unwrap_or_default();
    let site = site(&root.section("site"), &base);
    let (ingest_section, retention_section) = (root.section("ingest"), root.section("retention"));
    let ingest = ingest(&ingest_section, &base);
    let retention = retention(&retention_section);
    if ingest.dedupe < retention.delivered
        && let Some(value) = ingest_section
            .get("dedupe")
            .or_else(|| retention_section.get("delivered"))
    {
        let message = format!(
            "repeats are recognised for {} (ingest.dedupe), but deliveries are kept for {} (retention.delivered): \
             a later repeat would be taken for a new event",
            short(ingest.dedupe),
            short(retention.delivered)
        );
        value.warning(&message, None);
    }
    let limits = limits(&root.section("limits"));
    let around = systems::Surroundings {
        base: &base,
        database: &site.database,
        public_url: site.public_url.is_some(),
        known,
        presets,
    };
    let (mut systems, brought) = systems::systems(&root.section("systems"), &around);
    let entities = entities::entities(&root.section("entities"), &mut systems);
    let mail_section = root.get("mail").and_then(|value| value.section());
    let has_mail = mail_section.is_some();
    let mail = mail_section.and_then(|section| channels::mail(&section, &base));
    let mut channels = channels::channels(&root.section("channels"), &base, has_mail);
    let people = duty::people(&root.section("people"), &mut channels, &base, has_mail);
    let oncall = duty::rotas(&root.section("oncall"), &people);
    let escalation = duty::policies(
        &root.section("escalation"),
        &duty::Reachable {
            people: &people,
            rotas: &oncall,
            channels: &channels,
        },
    );
    let watch = duty::watch(&root.section("watch"), &escalation, &channels, &base);
    let contracts = contracts::contracts(&root.section("contracts"), &site.contracts, &base);
    let defaults = root.section("defaults");
    let surroundings = paths::Surroundings {
        systems: &systems,
        channels: &channels,
        policies: &escalation,
        contracts: &contracts,
        base: &base,
        live_from: site.live_from.is_some(),
    };
    let mut paths = paths::paths(
        &root.section("paths"),
        &defaults.section("path"),
        &surroundings,
    );
    defaults.finish(&[]);
    contracts.check_use(&paths);
    if compared == Compared::Yes {
        contracts.compare();
    }
    paths.extend(channels.known().map(paths::page_path));
    let by_kind = (entities.iter())
        .map(|(kind, declared)| (kind.clone(), Arc::clone(&declared.entity)))
        .collect();
    let names: Vec<String> = paths.iter().map(|path| path.name.clone()).collect();
    let reconcile = reconcile::jobs(
        &root.section("reconcile"),
        &reconcile::Surroundings {
            systems: &systems,
            entities: &by_kind,
            paths: &names,
            base: &base,
        },
    );
    owners::check(
        &entities,
        &owners::Surroundings {
            section: &root.section("paths"),
            paths: &paths,
            systems: &systems,
            jobs: &reconcile,
        },
    );
    root.finish(LATER);
    if systems.names.is_empty() && paths.is_empty() && reconcile.is_empty() {
        root.warning(
            "no systems, no paths: nothing is delivered",
            Some("`midwatch init DIR` writes a file to start from".to_owned()),
        );
    }
    let config = Config {
        hash: hash(text),
        text: text.into(),
        file: file.to_owned(),
        base,
        site,
        ingest,
        limits,
        retention,
        repairs: repair::paths(&systems.good),
        systems: systems.good,
        paths,
        channels: channels.good,
        mail,
        people: people.good,
        oncall: oncall.good,
        escalation: escalation.good,
        watch,
        reconcile,
        contracts: contracts.good,
        entities: (entities.into_iter())
            .map(|(name, declared)| (name, declared.entity))
            .collect(),
    };
    (config, brought)
}

/// `[site]`.
fn site(section: &Section<'_>, base: &Path) -> Site {
    let name = section
        .get("name")
        .and_then(|value| value.filled("the site's name, as it is shown"));
    let site = Site {
        name: name.unwrap_or("midwatch").to_owned(),
        timezone: section
            .get("timezone")
            .and_then(|value| timezone(&value))
            .unwrap_or(chrono_tz::UTC),
        public_url: section.get("public_url").and_then(|value| value.base_url()),
        database: file_of(section, "database", "midwatch.db", base),
        logs: file_of(section, "logs", "logs", base),
        contracts: file_of(section, "contracts", "contracts", base),
        group: section
            .get("group")
            .and_then(|value| value.filled("the name of a Unix group"))
            .map(str::to_owned),
        live_from: section.get("live_from").and_then(|value| value.instant()),
    };
    section.finish(&[]);
    site
}

/// A file's path, relative to `base`.
fn file_of(section: &Section<'_>, key: &'static str, default: &str, base: &Path) -> PathBuf {
    let written = section.get(key).and_then(|value| {
        let text = value.filled("a path, relative to this file")?;
        if text.contains('\0') {
            value.wrong("a path, relative to this file", None);
            return None;
        }
        Some(text)
    });
    base.join(written.unwrap_or(default))
}

/// An IANA time zone.
fn timezone(value: &Value<'_>) -> Option<chrono_tz::Tz> {
    const EXPECTED: &str = "an IANA time zone such as \"Europe/Oslo\"";
    let text = value.filled(EXPECTED)?;
    if let Ok(zone) = text.parse() {
        return Some(zone);
    }
    let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    // "Oslo" means Europe/Oslo; so does "Europe/Olso".
    let city = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
    let by_city = nearest(text, names().map(city))
        .and_then(|near| names().find(|name| city(name) == near))
        .map(|name| format!("did you mean `{name}`?"));
    value.wrong(EXPECTED, did_you_mean(text, names()).or(by_city));
    None
}

/// `[ingest]`.
fn ingest(section: &Section<'_>, base: &Path) -> Ingest {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 7420));
    let token = section.get("token");
    let has_token = token.is_some();
    let listen = section.get("listen").and_then(|value| {
        let address = listen(&value)?;
        if !address.ip().is_loopback() && !has_token {
            value.error(
                &format!(
                    "{address} can be reached from other machines and there is no `token`, so that anyone could send events"
                ),
                Some(
                    "set ingest.token = \"file:ingest_token\", or listen on 127.0.0.1 behind the site's own proxy"
                        .to_owned(),
                ),
            );
        }
        Some(address)
    });
    let ingest = Ingest {
        listen: listen.unwrap_or(default),
        token: token.and_then(|value| value.secret(base)),
        max_body: section
            .get("max_body")
            .and_then(|value| value.size(1024..=LARGEST_BODY))
            .unwrap_or(LARGEST_BODY) as usize,
        dedupe: section
            .get("dedupe")
            .and_then(|value| value.duration(HOUR..=DAY * 400))
            .unwrap_or(DAY * 30),
    };
    section.finish(&[]);
    ingest
}

/// An address to listen on.
fn listen(value: &Value<'_>) -> Option<SocketAddr> {
    const EXPECTED: &str = "an address and port such as \"127.0.0.1:7420\"";
    let text = value.filled(EXPECTED)?;
    let address = text.parse().ok();
    if address.is_none() {
        let port = text
            .rsplit(':')
            .next()
            .and_then(|port| port.parse::<u16>().ok());
        let suggestion = port
            .filter(|_| {
                text.starts_with("localhost") || text.starts_with(':') || !text.contains(':')
            })
            .map(|port| format!("did you mean \"127.0.0.1:{port}\"?"));
        value.wrong(EXPECTED, suggestion);
    }
    address
}

/// `[limits]`.
fn limits(section: &Section<'_>) -> Limits {
    let reserve = section.get("disk_reserve");
    let disk_reserve = reserve
        .as_ref()
        .and_then(|value| value.size(1 << 20..=1 << 40))
        .unwrap_or(256 << 20);
    if let Some(value) = reserve.filter(|_| disk_reserve < SAFE_RESERVE) {
        value.warning(
            "on a full disk even deleting needs room: a reserve below 128MiB may not be enough to recover",
            None,
        );
    }
    let limits = Limits {
        concurrency: section
            .get("concurrency")
            .and_then(|value| value.whole(1..=1024))
            .unwrap_or(64) as usize,
        disk_reserve,
    };
    section.finish(&[]);
    limits
}

/// `[retention]`.
fn retention(section: &Section<'_>) -> Retention {
    let keep = |key, default| {
        section
            .get(key)
            .and_then(|value| value.duration(HOUR..=DAY * 3660))
            .unwrap_or(default)
    };
    let retention = Retention {
        delivered: keep("delivered", DAY * 30),
        log: keep("log", DAY * 90),
        ledger: section.get("ledger").and_then(|value| ledger(&value)),
    };
    section.finish(&[]);
    retention
}

/// `"forever"` is none, as is nothing.
fn ledger(value: &Value<'_>) -> Option<Duration> {
    if value.as_text() == Some("forever") {
        return None;
    }
    value.duration(DAY..=DAY * 3660)
}

/// First 8 bytes of the text's SHA-256 as a number.
fn hash(text: &str) -> i64 {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | i64::from(*byte))
}
