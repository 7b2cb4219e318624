//! The loops against a vendor on a real loopback connection.

mod missed;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{SourceHandle, spawn};
use crate::config::live::Runtime;
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::queue::filter::Filter;
use crate::remote::Remote;
use crate::remote::list::ListError;
use crate::store::view::{DeliveryRow, PollRow, SenderRow};
use crate::store::{Cursor, Options, Store};
use crate::time::{Clock, Timestamp};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const OURS: &str = "https://shop.example/_mw/hooks/shop";

/// What the vendor holds, and what it was asked.
#[derive(Default)]
struct Vendor {
    /// Webhooks: id, address, state.
    hooks: Vec<(u32, String, String)>,
    /// It takes `enable`, and does nothing.
    stubborn: bool,
    /// Throttles so many requests.
    throttled: u32,
    /// Answers this instead.
    status: Option<u16>,
    /// So many requests are answered 500.
    broken: u32,
    /// Its own events, the newest first: JSON with a member `id`.
    events: Vec<(String, String)>,
    /// Orders by number: JSON.
    orders: Vec<String>,
    asked: Vec<String>,
}

impl Vendor {
    fn answer(&mut self, method: &str, target: &str, body: &str) -> (u16, String) {
        self.asked.push(format!("{method} {target} {body}"));
        if let Some(status) = self.status {
            return (status, String::new());
        }
        if self.broken > 0 {
            self.broken -= 1;
            return (500, String::new());
        }
        if self.throttled > 0 {
            self.throttled -= 1;
            return (429, String::new());
        }
        if target.starts_with("/circle") {
            return (200, r#"{"items":[{"id":1}],"next":"/circle?p=1"}"#.into());
        }
        if target.starts_with("/events") {
            let after =
                (target.split(['?', '&'])).find_map(|part| part.strip_prefix("starting_after="));
            let from = after.map_or(0, |id| {
                self.events.iter().position(|event| event.0 == id).unwrap() + 1
            });
            let rest = &self.events[from..];
            let page: Vec<&str> = rest.iter().take(2).map(|event| event.1.as_str()).collect();
            let more = rest.len() > 2;
            return (
                200,
                format!(r#"{{"data":[{}],"has_more":{more}}}"#, page.join(",")),
            );
        }
        if let Some(id) = target.strip_prefix("/webhooks/") {
            let stubborn = self.stubborn;
            for hook in self
                .hooks
                .iter_mut()
                .filter(|hook| !stubborn && hook.0.to_string() == id)
            {
                hook.2 = "active".into();
            }
            return (200, "{}".into());
        }
        if target.starts_with("/webhooks") {
            let hooks = self.hooks.iter().map(|(id, address, state)| {
                format!(r#"{{"id":{id},"delivery_url":"{address}","status":"{state}"}}"#)
            });
            return (200, format!("[{}]", hooks.collect::<Vec<_>>().join(",")));
        }
        // Two orders a page.
        let page: usize = target
            .split(['?', '&'])
            .find_map(|part| part.strip_prefix("page="))
            .map_or(1, |page| page.parse().unwrap());
        let page: Vec<&str> = (self.orders.iter().map(String::as_str))
            .skip((page - 1) * 2)
            .take(2)
            .collect();
        (200, format!("[{}]", page.join(",")))
    }
}

async fn serve(mut stream: TcpStream, vendor: Arc<Mutex<Vendor>>) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            })
            .map_or(0, |length| length.parse().unwrap());
        if body.len() < length {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let (status, answer) = vendor.lock().unwrap().answer(method, target, body);
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nretry-after: 0\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        bytes.clear();
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

struct Bed {
    _dir: tempfile::TempDir,
    clock: Clock,
    store: Store,
    vendor: Arc<Mutex<Vendor>>,
    live: watch::Sender<Arc<Runtime>>,
    outbound: Outbound,
    stop: CancellationToken,
}

impl Bed {
    async fn new(keys: &str, vendor: Vendor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let vendor = Arc::new(Mutex::new(vendor));
        let shared = Arc::clone(&vendor);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        let text = format!(
            r#"
[site]
public_url = "https://shop.example/_mw"
[systems.shop]
url = "http://{address}"
private = true
{keys}
[systems.shop.records.order]
events = ["order.*"]
id = "/id"
key = "/number"
version = "/modified"
list = {{ url = "/orders", answer = "", paging = {{ page = "page", first = 1, size = 2 }}, since = "after={{{{ since }}}}" }}
[systems.shop.records.circle]
events = ["circle.*"]
id = "/id"
key = "/id"
list = {{ url = "/circle", answer = "/items", paging = {{ next = "/next" }}, since = "after={{{{ since }}}}" }}
[systems.crm]
url = "http://127.0.0.1:9"
private = true
[paths.p]
route = "shop -> crm"
events = ["order.*"]
order_by = "subject"
owner = "anna"
runbook = "r.md"
"#
        );
        let loaded = crate::config::parse(&text, Path::new("/tmp/midwatch.toml")).expect("valid");
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOW);
        let options = Options {
            clock: clock.clone(),
            disk_reserve: 0,
            dedupe: Duration::from_secs(30 * 86_400),
        };
        let store = Store::open(&dir.path().join("m.db"), options).unwrap();
        let numbers = store.configure(&loaded.config).await.unwrap();
        store.begin_work(false).await.unwrap();
        let runtime = Arc::new(Runtime::new(Arc::new(loaded.config), numbers));
        let (live, watched) = watch::channel(runtime);
        Self {
            _dir: dir,
            clock,
            store,
            vendor,
            outbound: Outbound::new(watched),
            live,
            stop: CancellationToken::new(),
        }
    }

    fn start(&self) -> SourceHandle {
        self.start_after(None)
    }

    fn start_after(&self, away_since: Option<Timestamp>) -> SourceHandle {
        let (store, outbound) = (self.store.clone(), self.outbound.clone());
        spawn(
            store,
            self.live.subscribe(),
            outbound,
            away_since,
            &self.stop,
        )
    }

    /// Waits for the kept row to be as wanted.
    async fn sender(&self, wanted: impl Fn(&SenderRow) -> bool) -> SenderRow {
        self.until(async || {
            self.store
                .senders()
                .await
                .unwrap()
                .into_iter()
                .find(&wanted)
        })
        .await
    }

    async fn poll(&self, wanted: impl Fn(&PollRow) -> bool) -> PollRow {
        self.until(async || self.store.polls().await.unwrap().into_iter().find(&wanted))
            .await
    }

    async fn until<T>(&self, look: impl AsyncFn() -> Option<T>) -> T {
        let mut changes = self.store.changes();
        let found = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), found).await;
        found.expect("in time")
    }

    fn log(&self) -> Vec<String> {
        let rows = self.store.reader().unwrap().log(None, 50).unwrap();
        rows.into_iter().rev().map(|row| row.text).collect()
    }

    fn deliveries(&self) -> Vec<DeliveryRow> {
        let reader = self.store.reader().unwrap();
        let found = reader.deliveries(&Filter::default(), Cursor::Oldest, 100);
        let mut rows = found.unwrap().0;
        rows.reverse();
        rows
    }
}

const WATCHED: &str = r#"
hooks = { recipe = "woocommerce", secrets = ["file:x"], watch = true }
webhooks = { list = { url = "/webhooks?per_page=100", answer = "" }, id = "/id", address = "/delivery_url", state = "/status", enabled = "active", enable = { method = "PUT", url = "/webhooks/{{ id }}", body = '{"status":"active"}' } }
"#;

fn hook(id: u32, address: &str, state: &str) -> (u32, String, String) {
    (id, address.into(), state.into())
}

#[tokio::test]
async fn a_webhook_that_disabled_itself_is_found_told_once_and_enabled_again() {
    let vendor = Vendor {
        hooks: vec![
            hook(4, "https://else.example/", "disabled"),
            hook(7, OURS, "active"),
            hook(8, OURS, "disabled"),
        ],
        stubborn: true,
        ..Vendor::default()
    };
    let bed = Bed::new(WATCHED, vendor).await;
    let source = bed.start();
    let row = bed.sender(|row| row.checked.is_some()).await;
    assert_eq!(
        (row.state.as_deref(), row.hook.as_deref()),
        (Some("disabled"), Some("8"))
    );
    assert_eq!(
        (row.address.as_deref(), row.checked),
        (Some(OURS), Some(NOW))
    );
    // It is asked again where the configuration changes; the same answer is no news.
    bed.clock.advance(Duration::from_secs(60));
    bed.live.send_modify(|_| {});
    bed.sender(|row| row.checked > Some(NOW)).await;
    let told = |text: &str| bed.log().iter().filter(|line| line.contains(text)).count();
    assert_eq!(told("its webhook 8 is disabled"), 1, "{:?}", bed.log());
    let error = source.enable("shop").await.unwrap_err();
    assert!(error.contains("still says disabled"), "{error}");
    bed.vendor.lock().unwrap().stubborn = false;
    let words = source.enable("shop").await.unwrap();
    assert!(words.starts_with("enabled the webhook of shop"), "{words}");
    let asked = bed.vendor.lock().unwrap().asked.clone();
    assert!(
        asked.contains(&r#"PUT /webhooks/8 {"status":"active"}"#.to_owned()),
        "{asked:?}"
    );
    assert!(
        !asked.iter().any(|line| line.contains("PUT /webhooks/4")),
        "others' are left alone"
    );
    let row = bed
        .sender(|row| row.state.as_deref() == Some("enabled"))
        .await;
    assert_eq!(row.hook.as_deref(), Some("7, 8"));
    assert_eq!(told("are enabled and call this address"), 1);
    let words = source.enable("shop").await.unwrap();
    assert!(words.contains("already"), "{words}");
    assert!(source.enable("crm").await.is_err());
}

#[tokio::test]
async fn a_webhook_is_looked_at_again_as_often_as_the_configuration_says() {
    let vendor = Vendor {
        hooks: vec![hook(7, OURS, "active")],
        ..Vendor::default()
    };
    let bed = Bed::new(&WATCHED.replace("true", r#""1s""#), vendor).await;
    let _source = bed.start();
    let enabled = |row: &SenderRow| row.state.as_deref() == Some("enabled");
    bed.sender(enabled).await;
    bed.vendor.lock().unwrap().hooks = vec![hook(7, OURS, "disabled")];
    bed.sender(|row| row.state.as_deref() == Some("disabled"))
        .await;
}

#[tokio::test]
async fn a_vendor_that_cannot_be_asked_leaves_what_was_known_beside_the_reason() {
    let vendor = Vendor {
        hooks: vec![hook(7, "https://old.example/hooks/shop", "active")],
        ..Vendor::default()
    };
    let bed = Bed::new(WATCHED, vendor).await;
    let source = bed.start();
    let row = bed.sender(|row| row.checked.is_some()).await;
    assert_eq!(row.state.as_deref(), Some("elsewhere"));
    let error = source.enable("shop").await.unwrap_err();
    assert!(error.contains("another address"), "{error}");
    bed.vendor.lock().unwrap().status = Some(401);
    bed.live.send_modify(|_| {});
    let row = bed.sender(|row| row.error.is_some()).await;
    assert_eq!(
        (row.state.as_deref(), row.error.as_deref()),
        (Some("elsewhere"), Some("it answered 401"))
    );
    let log = bed.log();
    assert!(
        log.iter().any(|line| line.contains("could not be asked")),
        "{log:?}"
    );
    bed.vendor.lock().unwrap().status = None;
    bed.vendor.lock().unwrap().hooks.clear();
    let error = source.enable("shop").await.unwrap_err();
    assert!(
        error.contains("no webhook that calls this address"),
        "{error}"
    );
    let row = bed.sender(|row| row.error.is_none()).await;
    assert_eq!(row.state.as_deref(), Some("missing"));
}

/// An order that changed some seconds ago.
fn order(number: u32, seconds_ago: u64, total: u32) -> String {
    let modified = (NOW - Duration::from_secs(seconds_ago)).rfc3339();
    format!(r#"{{"id":{number},"number":"{number}","modified":"{modified}","total":{total}.10}}"#)
}

#[tokio::test]
async fn what_changed_is_taken_in_once_whatever_is_listed_again() {
    let vendor = Vendor {
        orders: vec![
            order(1, 20, 1),
            order(2, 9000, 1),
            order(3, 10, 1),
            r#"{"id":4,"modified":"2026-01-01T00:00:00Z"}"#.into(),
            r#"{"id":5,"number":"5","modified":"yesterday"}"#.into(),
        ],
        ..Vendor::default()
    };
    let bed = Bed::new("poll = { order = \"1h\" }", vendor).await;
    bed.start();
    let row = bed.poll(|row| row.run == NOW).await;
    assert_eq!((row.mark, row.seen, row.error), (NOW, 5, None));
    let asked = bed.vendor.lock().unwrap().asked.clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    let since =
        (NOW - Duration::from_secs(300)).in_zone(chrono_tz::UTC, "after=%Y-%m-%dT%H%%3A%M%%3A%SZ");
    assert!(
        asked.iter().all(|asked| asked.contains(&since)),
        "{since}: {asked:?}"
    );
    let rows = bed.deliveries();
    let ids: Vec<&str> = rows.iter().map(|row| row.event_id.as_str()).collect();
    let second = |seconds| (NOW - Duration::from_secs(seconds)).rfc3339();
    assert_eq!(
        ids,
        [
            format!("order/1/{}", second(20)),
            format!("order/3/{}", second(10))
        ]
    );
    assert_eq!(
        (rows[0].kind.as_str(), rows[0].order_key.as_deref()),
        ("order.changed", Some("1"))
    );
    let reader = bed.store.reader().unwrap();
    let detail = reader.delivery(rows[0].id).unwrap().unwrap();
    assert_eq!(detail.origin, "poll");
    let data = String::from_utf8(detail.data.unwrap()).unwrap();
    assert!(data.contains("1.10"), "money keeps its digits: {data}");
    let strays = reader.held_events(None, None, 9).unwrap();
    assert_eq!(strays.len(), 1, "what cannot be read is held: {strays:?}");
    assert!(strays[0].reason.contains("could not be read"), "{strays:?}");
    // The next worker: the old ones come again, one changed within the same second, one is new.
    bed.stop.cancel();
    bed.clock.advance(Duration::from_secs(3600));
    {
        let mut vendor = bed.vendor.lock().unwrap();
        vendor.orders[0] = order(1, 20, 2);
        vendor.orders.push(order(6, 5, 1));
    }
    let again = Bed {
        stop: CancellationToken::new(),
        ..bed
    };
    again.start();
    let row = again.poll(|row| row.run > NOW).await;
    assert_eq!((row.mark, row.seen), (NOW + Duration::from_secs(3600), 6));
    let keys: Vec<Option<String>> = (again.deliveries().into_iter())
        .map(|row| row.order_key)
        .collect();
    let keys: Vec<&str> = keys.iter().flatten().map(String::as_str).collect();
    assert_eq!(keys, ["1", "3", "1", "6"]);
}

#[tokio::test]
async fn a_run_that_fails_keeps_the_mark_and_says_so_once() {
    let bed = Bed::new("poll = { order = \"1h\" }", Vendor::default()).await;
    bed.start();
    bed.poll(|row| row.error.is_none()).await;
    bed.stop.cancel();
    bed.vendor.lock().unwrap().status = Some(500);
    let mut bed = bed;
    for round in 1..3 {
        bed.clock.advance(Duration::from_secs(3600));
        bed.stop = CancellationToken::new();
        bed.start();
        let began = NOW + Duration::from_secs(3600 * round);
        let row = bed.poll(|row| row.run == began).await;
        assert_eq!(row.mark, NOW, "{row:?}");
        assert!(row.error.unwrap().contains("500"));
        bed.stop.cancel();
    }
    let log = bed.log();
    let told = log.iter().filter(|line| line.contains("fails: "));
    assert_eq!(told.count(), 1, "{log:?}");
}

#[tokio::test]
async fn a_listing_waits_where_it_is_throttled_goes_on_where_it_was_and_not_in_circles() {
    let vendor = Vendor {
        orders: (1..=5).map(|number| order(number, 1, 1)).collect(),
        throttled: 2,
        ..Vendor::default()
    };
    let bed = Bed::new("", vendor).await;
    let remote = Remote::new(bed.live.subscribe(), bed.outbound.clone(), Engine::new());
    let mut pages = remote.pages("shop", "order", None, None).unwrap();
    let first = pages.next().await.unwrap().unwrap();
    assert_eq!(first.records.len(), 2);
    assert_eq!(bed.vendor.lock().unwrap().asked.len(), 3, "twice in vain");
    let next = first.next.unwrap();
    let mut rest = remote.pages("shop", "order", None, Some(&next)).unwrap();
    let mut sizes = Vec::new();
    while let Some(page) = rest.next().await.unwrap() {
        sizes.push(page.records.len());
    }
    assert_eq!(sizes, [2, 1]);
    let elsewhere = remote.pages("shop", "order", None, Some("https://evil.example/orders"));
    assert!(elsewhere.is_err());
    bed.vendor.lock().unwrap().throttled = 99;
    let error = pages.next().await.unwrap_err();
    assert_eq!(error, ListError::Status(429), "not for ever");
    bed.vendor.lock().unwrap().throttled = 0;
    assert!(pages.next().await.unwrap().is_none(), "it is over");
    let mut circle = remote.pages("shop", "circle", None, None).unwrap();
    circle.next().await.unwrap().unwrap();
    assert_eq!(circle.next().await.unwrap_err(), ListError::Same);
}
