//! A folder with a configuration and its secrets, the worker in it, and stand-ins around it, for the stories in `main.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use midwatch::config;
use midwatch::control::action::Action;
use midwatch::control::pinned;
use midwatch::control::worker::{Worker, WorkerOptions};
use midwatch::queue::filter::Filter;
use midwatch::sandbox::Faults;
use midwatch::sandbox::server::{self, Server, System};
use midwatch::store::view::DeliveryDetail;
use midwatch::store::{Cursor, Reader};
use tokio_util::sync::CancellationToken;

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of every configuration here: seconds instead of hours.
const DEFAULTS: &str = r#"
[site]
name = "Nordlys Coffee (test)"
public_url = "https://nordlys.example/_midwatch"
[channels.slack.ops]
webhook = "file:slack_ops"
[defaults.path]
owner = "anna"
escalation = "slack:ops"
runbook = "runbook.md"
schedule = ["0", "100ms", "200ms", "300ms", "500ms", "1s", "1s", "1s", "1s", "1s"]
jitter = 0
timeout = "5s"
breaker = { min = 1000, refused = 1000 }
"#;

/// The secrets that configurations here may name: file and content.
const SECRETS: &[(&str, &str)] = &[
    ("slack_ops", "https://hooks.slack.example/services/T0/B0/x"),
    ("woo_key", midwatch::sandbox::secrets::SHOP_KEY),
    ("woo_secret", midwatch::sandbox::secrets::SHOP_SECRET),
    ("woo_hook", midwatch::sandbox::secrets::SHOP_HOOK),
    ("hubspot_token", midwatch::sandbox::secrets::CRM_TOKEN),
    ("stripe_key", midwatch::sandbox::secrets::PAYMENTS_KEY),
    ("stripe_hook", midwatch::sandbox::secrets::PAYMENTS_HOOK),
    ("pipedrive_token", midwatch::sandbox::pipedrive::TOKEN),
    ("shopify_token", midwatch::sandbox::shopify::TOKEN),
    ("shopify_hook", midwatch::sandbox::shopify::HOOK),
    ("rest_token", midwatch::sandbox::rest::TOKEN),
    ("client_id", midwatch::sandbox::oauth::CLIENT_ID),
    ("client_secret", midwatch::sandbox::oauth::CLIENT_SECRET),
];

/// A stand-in on a port of its own, until the test ends.
pub async fn stand_in(system: Arc<dyn System>) -> Server {
    Server::start(system, 1, CancellationToken::new())
        .await
        .expect("a loopback port")
}

/// Every so many-th write is done, but its answer is lost.
pub fn cuts(every: u32) -> Faults {
    Faults {
        cut_every: every,
        ..Faults::default()
    }
}

/// Writes a configuration and everything that it names into a new folder.
pub fn furnish(text: &str) -> (tempfile::TempDir, config::Loaded) {
    let folder = tempfile::tempdir().expect("folder");
    let put = |name: &str, content: &str| {
        let file = folder.path().join(name);
        fs::write(&file, content).expect("write");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode");
        file
    };
    for (name, content) in SECRETS {
        put(name, content);
    }
    put("runbook.md", "# Receiver down\n");
    let file = put("midwatch.toml", &format!("{DEFAULTS}{text}"));
    let loaded = config::load(&file)
        .unwrap_or_else(|problems| panic!("{}", config::report::render(&problems)));
    (folder, loaded)
}

/// A worker at work.
pub struct Place {
    pub worker: Worker,
    reader: Reader,
    _folder: tempfile::TempDir,
}

impl Place {
    /// Starts a worker with this configuration.
    pub async fn open(text: &str) -> Self {
        let (folder, loaded) = furnish(text);
        assert_eq!(loaded.warnings.len(), 0, "{:?}", loaded.warnings);
        let options = WorkerOptions {
            listener: Some(TcpListener::bind("127.0.0.1:0").expect("bind")),
            ..WorkerOptions::default()
        };
        let worker = Worker::start(loaded.config, options).await.expect("starts");
        let reader = worker.store().reader().expect("reader");
        Self {
            worker,
            reader,
            _folder: folder,
        }
    }

    /// The front door.
    pub fn door(&self) -> SocketAddr {
        self.worker.addr()
    }

    /// The configuration as it is in force.
    pub fn config(&self) -> Arc<config::model::Config> {
        self.worker.live().borrow().config.clone()
    }

    /// What the front door answers to a webhook.
    pub async fn hook(&self, system: &str, headers: &[(&str, String)], body: &str) -> u16 {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let path = format!("/hooks/{system}");
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json".to_owned()));
        let posted = server::post(self.door(), &path, &headers, body).await;
        posted.expect("answered").0
    }

    /// How many deliveries are in each state, by path and state (`deals delivered`).
    pub fn states(&self) -> BTreeMap<String, u64> {
        let overview = self.reader.overview().expect("overview");
        let mut states = BTreeMap::new();
        // What is wrong on the way is told to people: that is not what is counted here.
        let work = (overview.paths.into_iter()).filter(|path| !path.name.starts_with("page/"));
        for path in work {
            for state in midwatch::queue::model::State::ALL {
                let count = path.counts.get(*state);
                if count > 0 {
                    states.insert(format!("{} {state}", path.name), count);
                }
            }
        }
        states
    }

    /// Every delivery, newest first.
    pub fn deliveries(&self) -> Vec<DeliveryDetail> {
        let (rows, _) = self
            .reader
            .deliveries(&Filter::default(), Cursor::Newest, 1_000)
            .expect("deliveries");
        rows.iter()
            .filter_map(|row| self.reader.delivery(row.id).expect("delivery"))
            .collect()
    }

    /// Waits until the states are these and no others.
    pub async fn settled(&self, expected: &[(&str, u64)]) {
        let expected: BTreeMap<String, u64> = expected
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        self.until(&format!("{expected:?}"), || self.states() == expected)
            .await;
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let mut changes = self.worker.store().changes();
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            // What a stand-in saw makes no commit: look every now and then as well.
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
            if Instant::now() >= deadline {
                let told: Vec<_> = self
                    .deliveries()
                    .into_iter()
                    .filter(|delivery| delivery.row.attempts > 0)
                    .take(5)
                    .map(|delivery| (delivery.row.path, delivery.row.state, delivery.row.reason))
                    .collect();
                panic!("never: {what}; {:?}; {told:#?}", self.states());
            }
        }
    }

    /// Does what an operator does, with the preview that comes before it.
    pub async fn act(&self, action: Action) {
        let client = self.worker.client();
        let preview = client.preview(action.clone()).await.expect("preview");
        let submission = pinned(action, &preview).expect("can be done");
        client.submit(submission).await.expect("done");
    }

    /// Ends the worker.
    pub async fn close(self) {
        self.worker.drain().await;
    }
}
