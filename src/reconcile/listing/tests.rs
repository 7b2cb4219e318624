//! A listing over a real loopback connection that breaks off in the middle, and goes on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::config::live::Runtime;
use crate::config::model::{Check, Config};
use crate::http::Outbound;
use crate::store::Options;
use crate::time::Clock;

struct Bed {
    folder: tempfile::TempDir,
    store: Store,
    config: Arc<Config>,
    remote: Remote,
    asked: Arc<Mutex<Vec<String>>>,
    down: Arc<AtomicBool>,
}

impl Bed {
    /// A shop with three pages of two orders each, of which the second is not found while it is `down`.
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, down): (Arc<Mutex<Vec<String>>>, Arc<AtomicBool>) =
            (Arc::default(), Arc::default());
        let (seen, is_down) = (Arc::clone(&asked), Arc::clone(&down));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> = (lines.map(Result::unwrap))
                    .take_while(|line| !line.is_empty())
                    .collect();
                let target = head[0].split(' ').nth(1).unwrap().to_owned();
                let page: u32 =
                    (target.rsplit_once("c=")).map_or(0, |(_, page)| page.parse().unwrap());
                seen.lock().unwrap().push(target);
                let (status, body) = if page == 1 && is_down.load(Ordering::SeqCst) {
                    ("404 Not Found", String::new())
                } else {
                    let next = if page < 2 {
                        (page + 1).to_string()
                    } else {
                        String::new()
                    };
                    let one = |n: u32| format!(r#"{{"n":"{}","total":"1.00"}}"#, page * 2 + n);
                    (
                        "200 OK",
                        format!(r#"{{"a":[{},{}],"next":"{next}"}}"#, one(0), one(1)),
                    )
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let order = "key = \"/n\"\nfields.total = { at = \"/total\", type = \"money\", currency = \"NOK\" }";
        let text = format!(
            "[systems.shop]\nurl = \"{url}\"\nprivate = true\n[systems.shop.records.order]\n{order}\n\
             list = {{ url = \"/l\", answer = \"/a\", paging = {{ cursor = \"/next\", param = \"c\" }} }}\n\
             [systems.ledger.records.order]\n{order}\nlist = {{ ndjson = \"x\" }}\n\
             [reconcile.orders]\nsides = [\"shop.order\", \"ledger.order\"]\nevery = \"1h\"\nowner = \"anna\"\nrunbook = \"r.md\"\n"
        );
        let loaded = crate::config::parse(&text, &folder.path().join("m.toml"))
            .unwrap_or_else(|problems| panic!("{}", crate::config::report::render(&problems)));
        let config = Arc::new(loaded.config);
        let live = watch::channel(Arc::new(Runtime::new(Arc::clone(&config), Vec::new()))).1;
        let remote = Remote::new(live.clone(), Outbound::new(live), Engine::new());
        let options = Options {
            clock: Clock::System,
            disk_reserve: 0,
            dedupe: Duration::from_secs(60),
        };
        let store = Store::open(&folder.path().join("m.db"), options).unwrap();
        Self {
            folder,
            store,
            config,
            remote,
            asked,
            down,
        }
    }

    async fn listed(&self, run: RunId) -> (Vec<String>, Result<(), String>) {
        let Check::Records(records) = &self.config.reconcile[0].check else {
            panic!("it compares records")
        };
        let listing = Listing {
            remote: &self.remote,
            engine: &Engine::new(),
            key: &self.store.hash_key(),
            store: &self.store,
            records,
            folder: self.folder.path(),
            side: 0,
            run,
            since: None,
            expected: Some(6),
        };
        let (mut rows, mut row, mut keys) = (listing.rows().await, Row::default(), Vec::new());
        loop {
            match rows.next(&mut row) {
                Ok(true) => keys.push(row.key.clone()),
                Ok(false) => return (keys, Ok(())),
                Err(words) => return (keys, Err(words)),
            }
        }
    }
}

#[tokio::test]
async fn a_listing_goes_on_at_its_checkpoint_and_has_each_record_once() {
    let bed = Bed::new();
    let run = (bed.store.start_run("orders".to_owned(), "asked").await).unwrap();
    bed.down.store(true, Ordering::SeqCst);
    let (keys, ended) = bed.listed(run).await;
    assert_eq!((keys.len(), ended), (2, Err("it answered 404".to_owned())));
    let sides = bed.store.reader().unwrap().sides(run).unwrap();
    assert_eq!(
        (sides[0].seen, sides[0].done, sides[0].expected),
        (2, false, Some(6))
    );
    // A page that was written when the process died, and not kept.
    let file = place(&bed.store, run, 0);
    let mut torn = OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(&std::fs::read(&file).unwrap()).unwrap();
    torn.write_all(b"\x20half").unwrap();
    bed.down.store(false, Ordering::SeqCst);
    let (keys, ended) = bed.listed(run).await;
    assert_eq!(ended, Ok(()));
    assert_eq!(keys, ["0", "1", "2", "3", "4", "5"]);
    let asked = || bed.asked.lock().unwrap().clone();
    assert_eq!(asked(), ["/l", "/l?c=1", "/l?c=1", "/l?c=2"]);
    // Whole: it is not asked for again.
    assert_eq!(bed.listed(run).await.0.len(), 6);
    assert_eq!(asked().len(), 4);
    forget(&bed.store, run).await;
    assert!(!file.exists());
}
