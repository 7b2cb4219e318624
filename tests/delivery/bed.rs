//! A real store, a real dispatcher and real receivers on loopback, for the stories in `main.rs`.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use midwatch::config::live::Runtime;
use midwatch::config::model::Config;
use midwatch::event::expr::Engine;
use midwatch::event::{Event, Origin};
use midwatch::http::Outbound;
use midwatch::ids::DeliveryId;
use midwatch::queue::dispatch::{self, DispatchHandle};
use midwatch::queue::mapped::about;
use midwatch::queue::model::State;
use midwatch::queue::route::{Routing, route};
use midwatch::store::view::{DeliveryDetail, Overview};
use midwatch::store::{Incoming, Options, Receipt, Store};
use midwatch::time::Clock;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request as a receiver saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub method: String,
    pub url: String,
    pub key: String,
    pub body: String,
    pub headers: hyper::HeaderMap,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a receiver does with a request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub after: Duration,
    /// Close the connection instead.
    pub cut: bool,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
            after: Duration::ZERO,
            cut: false,
        }
    }

    pub fn ok() -> Self {
        Self::status(200)
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(self, body: &str) -> Self {
        Self {
            body: body.to_owned(),
            ..self
        }
    }

    pub fn cut() -> Self {
        Self {
            cut: true,
            ..Self::ok()
        }
    }
}

/// A receiver whose behaviour can be changed while it runs.
pub struct Receiver {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

type Behaviour = Box<dyn Fn(&Seen) -> Answer + Send>;

struct Inner {
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Seen>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Receiver {
    pub async fn start(behaviour: impl Fn(&Seen) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let inner = Arc::new(Inner {
            behaviour: Mutex::new(Box::new(behaviour)),
            seen: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&serving);
                let service = service_fn(move |request| answer(Arc::clone(&inner), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { address, inner }
    }

    pub fn behave(&self, behaviour: impl Fn(&Seen) -> Answer + Send + 'static) {
        *self.inner.behaviour.lock().expect("lock") = Box::new(behaviour);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().expect("lock").clone()
    }

    pub fn count(&self) -> usize {
        self.inner.seen.lock().expect("lock").len()
    }

    /// The most requests that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.inner.most.load(Ordering::SeqCst)
    }
}

async fn answer(
    inner: Arc<Inner>,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, std::io::Error> {
    let at = Instant::now();
    let now = inner.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    inner.most.fetch_max(now, Ordering::SeqCst);
    let method = request.method().to_string();
    let url = request.uri().to_string();
    let key = request
        .headers()
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let headers = request.headers().clone();
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(std::io::Error::other)?;
    let seen = Seen {
        at,
        method,
        url,
        key,
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        headers,
    };
    let answer = {
        inner.seen.lock().expect("lock").push(seen.clone());
        (inner.behaviour.lock().expect("lock"))(&seen)
    };
    tokio::time::sleep(answer.after).await;
    inner.under_way.fetch_sub(1, Ordering::SeqCst);
    if answer.cut {
        return Err(std::io::Error::other("cut"));
    }
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response
        .body(Full::from(answer.body))
        .map_err(std::io::Error::other)
}

/// Everything that delivers, in one folder.
pub struct Bed {
    pub folder: tempfile::TempDir,
    pub store: Store,
    pub live: watch::Sender<Arc<Runtime>>,
    pub dispatch: DispatchHandle,
    pub stop: CancellationToken,
    engine: Engine,
    next: AtomicUsize,
}

/// A configuration with the system `crm` at `address` and the given paths; `KEYS` of the system may be added.
pub fn config(address: SocketAddr, system: &str, rest: &str) -> Config {
    let text = format!(
        "[limits]\nconcurrency = 16\n[defaults.path]\nowner = \"anna\"\nrunbook = \"r.md\"\njitter = 0\n\
         [systems.shop]\n[systems.crm]\nurl = \"http://{address}\"\nprivate = true\n{system}\n{rest}"
    );
    match midwatch::config::parse(&text, Path::new("/tmp/midwatch.toml")) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!(
            "{}",
            problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

/// One path for everything, with further keys.
pub fn one_path(address: SocketAddr, keys: &str) -> Config {
    config(
        address,
        "",
        &format!("[paths.crm]\nroute = \"shop -> crm\"\nevents = [\"*\"]\nurl = \"/in\"\n{keys}"),
    )
}

impl Bed {
    pub async fn start(config: Config) -> Self {
        Self::start_at(config, Clock::System).await
    }

    /// With a clock of its own.
    pub async fn start_at(config: Config, clock: Clock) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        Self::open(folder, config, clock).await
    }

    /// In a folder that may hold the database of an earlier worker.
    pub async fn open(folder: tempfile::TempDir, config: Config, clock: Clock) -> Self {
        let store = Self::store(&folder, &clock);
        let numbers = store.configure(&config).await.expect("configure");
        let started = store.begin_work(false).await.expect("begin");
        let (live, watching) = watch::channel(Arc::new(Runtime::new(Arc::new(config), numbers)));
        let stop = CancellationToken::new();
        // An earlier worker's events have had their ids.
        let reader = store.reader().expect("reader");
        let events = reader.overview().expect("read").events;
        let outbound = Outbound::new(watching.clone());
        let dispatch = dispatch::spawn(store.clone(), watching, outbound, started, stop.clone());
        Self {
            folder,
            store,
            live,
            dispatch,
            stop,
            engine: Engine::new(),
            next: AtomicUsize::new(1 + usize::try_from(events).expect("few")),
        }
    }

    pub fn store(folder: &tempfile::TempDir, clock: &Clock) -> Store {
        let options = Options {
            clock: clock.clone(),
            disk_reserve: 0,
            dedupe: Duration::from_secs(3600),
        };
        Store::open(&folder.path().join("m.db"), options).expect("open")
    }

    /// Ends this worker in order; its folder is left.
    pub async fn end(self) -> tempfile::TempDir {
        self.stop.cancel();
        soon(self.dispatch.drained()).await;
        self.store.end_work().await.expect("ended");
        self.store.close().await;
        self.folder
    }

    /// Replaces the configuration, as a reload does.
    pub async fn reload(&self, config: Config) {
        let numbers = self.store.configure(&config).await.expect("configure");
        self.live
            .send_replace(Arc::new(Runtime::new(Arc::new(config), numbers)));
    }

    /// Accepts one event of type `kind`; returns its first delivery.
    pub async fn accept_kind(&self, kind: &str, subject: &str, data: &str) -> DeliveryId {
        let one = (kind, subject.to_owned(), data.to_owned());
        self.accept_all(&[one]).await[0]
    }

    /// Accepts events (type, subject, data) at once; returns the first delivery of each.
    pub async fn accept_all(&self, events: &[(&str, String, String)]) -> Vec<DeliveryId> {
        let runtime = Arc::clone(&self.live.borrow());
        let incoming = |(kind, subject, data): &(&str, String, String)| {
            let event = Event {
                source: "shop".to_owned(),
                id: format!("{subject}-{}", self.next.fetch_add(1, Ordering::SeqCst)),
                kind: (*kind).to_owned(),
                subject: Some(subject.clone()),
                time: None,
                content_type: Some("application/json".to_owned()),
                idempotency_key: None,
                schema_version: None,
                extensions: Vec::new(),
                data: data.clone().into(),
                origin: Origin::Http,
            };
            let Routing::Routes(routes) = route(&runtime, &self.engine, &event) else {
                panic!("held at the door");
            };
            Incoming {
                event,
                routes,
                hold: None,
                faults: Vec::new(),
                group: None,
                hold_on_conflict: false,
                digest: [0; 16],
                about: Vec::new(),
            }
        };
        let batch = events.iter().map(incoming).collect();
        let receipts = self.store.accept(batch).await.expect("accepted");
        let first = |receipt| match receipt {
            Receipt::Accepted { event, .. } => DeliveryId::new(event, 0),
            other => panic!("{other:?}"),
        };
        receipts.into_iter().map(first).collect()
    }

    /// Accepts one event of a source, with extensions.
    pub async fn accept_as(&self, source: &str, id: &str, said: &[(&str, String)]) -> Receipt {
        let event = Event {
            source: source.to_owned(),
            id: id.to_owned(),
            kind: "order.updated".to_owned(),
            subject: None,
            time: None,
            content_type: Some("application/json".to_owned()),
            idempotency_key: None,
            schema_version: None,
            extensions: (said.iter())
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            data: "{}".into(),
            origin: Origin::Http,
        };
        let runtime = Arc::clone(&self.live.borrow());
        let Routing::Routes(routes) = route(&runtime, &self.engine, &event) else {
            panic!("held at the door");
        };
        let incoming = Incoming {
            event,
            routes,
            hold: None,
            faults: Vec::new(),
            group: None,
            hold_on_conflict: false,
            digest: [0; 16],
            about: Vec::new(),
        };
        let mut receipts = self.store.accept(vec![incoming]).await.expect("accepted");
        receipts.remove(0)
    }

    /// Accepts one event of a source as the front door does, with the records that it speaks of.
    pub async fn accept_from(&self, source: &str, kind: &str, data: &str) -> Receipt {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        let event = Event {
            source: source.to_owned(),
            id: format!("{source}-{n}"),
            kind: kind.to_owned(),
            subject: None,
            time: None,
            content_type: Some("application/json".to_owned()),
            idempotency_key: None,
            schema_version: None,
            extensions: Vec::new(),
            data: data.to_owned().into(),
            origin: Origin::Http,
        };
        let runtime = Arc::clone(&self.live.borrow());
        let Routing::Routes(routes) = route(&runtime, &self.engine, &event) else {
            panic!("held at the door");
        };
        let incoming = Incoming {
            about: about(&runtime.config.systems[source], &event, &self.engine),
            event,
            routes,
            hold: None,
            faults: Vec::new(),
            group: None,
            hold_on_conflict: false,
            digest: [0; 16],
        };
        let mut receipts = self.store.accept(vec![incoming]).await.expect("accepted");
        receipts.remove(0)
    }

    pub async fn accept(&self, subject: &str, data: &str) -> DeliveryId {
        self.accept_kind("order.created", subject, data).await
    }

    /// Accepts `count` events about different records, whose data is their number.
    pub async fn accept_many(&self, count: usize) -> Vec<DeliveryId> {
        let mut ids = Vec::new();
        for n in 0..count {
            ids.push(self.accept(&format!("r{n}"), &n.to_string()).await);
        }
        ids
    }

    pub fn detail(&self, id: DeliveryId) -> DeliveryDetail {
        let reader = self.store.reader().expect("reader");
        reader.delivery(id).expect("read").expect("stored")
    }

    pub fn state(&self, id: DeliveryId) -> State {
        self.detail(id).row.state
    }

    pub fn overview(&self) -> Overview {
        self.store
            .reader()
            .expect("reader")
            .overview()
            .expect("read")
    }

    pub fn log(&self) -> Vec<String> {
        let reader = self.store.reader().expect("reader");
        reader
            .log(None, 100)
            .expect("read")
            .into_iter()
            .map(|row| row.text)
            .collect()
    }

    /// Waits until the store says so, looking after each commit.
    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let mut changes = self.store.changes();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds() {
            // What a receiver saw makes no commit: look every now and then as well.
            let next = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
            assert!(
                !matches!(next, Ok(Err(_))),
                "the store closed while waiting for: {what}"
            );
            if tokio::time::Instant::now() >= deadline {
                let rows: HashMap<_, _> = self
                    .overview()
                    .paths
                    .into_iter()
                    .map(|p| (p.name, (p.counts, p.breaker, p.pause)))
                    .collect();
                panic!("never: {what}; {rows:?}; {:?}", self.log());
            }
        }
    }

    pub async fn until_state(&self, id: DeliveryId, state: State) {
        self.until(&format!("{id} {state}"), || self.state(id) == state)
            .await;
    }

    /// Waits until that many are delivered on all paths together.
    pub async fn until_delivered(&self, count: u64) {
        self.until(&format!("{count} delivered"), || {
            self.overview()
                .paths
                .iter()
                .map(|path| path.counts.delivered)
                .sum::<u64>()
                == count
        })
        .await;
    }
}

/// Fails if `future` takes longer than it may.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("in time")
}
