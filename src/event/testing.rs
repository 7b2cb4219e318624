//! Events and an empty configuration for the tests of the front door's pieces.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::{Event, Origin};
use crate::config::model::{Config, Ingest, Limits, Retention, Site};

/// A plain event of `kind` with `data`.
pub fn event(kind: &str, data: &str) -> Event {
    Event {
        source: "shop".into(),
        id: "e-1".into(),
        kind: kind.into(),
        subject: Some("1042".into()),
        time: None,
        content_type: Some("application/json".into()),
        idempotency_key: None,
        schema_version: None,
        extensions: Vec::new(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        origin: Origin::Http,
    }
}

/// A configuration without systems and paths.
pub fn config() -> Config {
    Config {
        text: "".into(),
        hash: 0,
        file: PathBuf::from("midwatch.toml"),
        base: PathBuf::from("."),
        site: Site {
            name: "Test".into(),
            timezone: chrono_tz::UTC,
            public_url: None,
            database: PathBuf::from("midwatch.db"),
            logs: PathBuf::from("logs"),
            contracts: PathBuf::from("contracts"),
            group: None,
            live_from: None,
        },
        ingest: Ingest {
            listen: ([127, 0, 0, 1], 0).into(),
            token: None,
            max_body: 1 << 20,
            dedupe: Duration::from_secs(30 * 86_400),
        },
        limits: Limits {
            concurrency: 8,
            disk_reserve: 0,
        },
        retention: Retention {
            delivered: Duration::from_secs(86_400),
            log: Duration::from_secs(86_400),
            ledger: None,
        },
        systems: BTreeMap::new(),
        paths: Vec::new(),
        channels: BTreeMap::new(),
        mail: None,
        people: BTreeMap::new(),
        oncall: BTreeMap::new(),
        escalation: BTreeMap::new(),
        watch: crate::config::model::Watch::default(),
        repairs: Vec::new(),
        reconcile: Vec::new(),
        contracts: std::collections::BTreeMap::new(),
        entities: std::collections::BTreeMap::new(),
    }
}
