//! The processes whose power is cut: midwatch's own store, and a program that writes the same rows by hand.
//! Each notes a promise, unbuffered, the moment it has it.

use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use midwatch::event::{Event, Origin};
use midwatch::ids::{DeliveryId, EventId, PathId};
use midwatch::queue::model::{Answer, Attempt, Claimed, Class, Next, Settlement};
use midwatch::store::{Incoming, Options, Receipt, Route, Store, Want};
use midwatch::time::Clock;
use rusqlite::{Connection, params};

use super::trace::{PROMISES, Promise};

/// The name of the database in the folder.
pub const DATABASE: &str = "m.db";
/// How often the store is opened and closed, and in each of its lives: how many callers accept at the same time, and how
/// many calls each makes. The second life is long enough for the log to be copied into the database and begun again.
pub const LIVES: [(u64, u64); 3] = [(8, 12), (1, 260), (8, 12)];
/// Transactions of the program that writes by hand.
const COMMITS: u64 = 300;

/// The content of event `n`; some do not fit in a page.
pub fn payload(n: u64) -> Vec<u8> {
    let length = if n.is_multiple_of(160) {
        6_000
    } else {
        40 + n.wrapping_mul(0x9e37_79b9) % 600
    };
    let tile = format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let text = format!(
        "{{\"order\":{n},\"lines\":\"{}\"}}",
        tile.repeat(length as usize / tile.len())
    );
    text.into_bytes()
}

/// The sender's id of event `n`.
pub fn event_id(n: u64) -> String {
    format!("evt_{n:08}")
}

/// Event `n` as the front door hands it over.
pub fn incoming(n: u64, path: PathId) -> Incoming {
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    Incoming {
        event: Event {
            source: "shop".into(),
            id: event_id(n),
            kind: "order.created".into(),
            subject: Some(n.to_string()),
            time: None,
            content_type: Some("application/json".into()),
            idempotency_key: None,
            schema_version: None,
            extensions: vec![],
            data: Bytes::from(payload(n)),
            origin: Origin::Send,
        },
        routes: vec![Route {
            path,
            order_key: None,
            on_dead_continue: false,
            delay: Duration::ZERO,
            hold: None,
        }],
        hold: None,
        faults: Vec::new(),
        group: None,
        hold_on_conflict: false,
        digest,
        about: Vec::new(),
    }
}

/// Opens the store as a worker does.
pub async fn open(folder: &Path) -> (Store, PathId) {
    let text = "[site]\nname = \"power\"\n[systems.a]\nurl = \"http://127.0.0.1:1\"\nprivate = true\n[paths.p]\nroute = \"a -> a\"\nevents = [\"*\"]\n";
    let config = match midwatch::config::parse(text, Path::new("midwatch.toml")) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors:?}"),
    };
    let options = Options {
        clock: Clock::System,
        disk_reserve: 0,
        dedupe: Duration::from_secs(30 * 86_400),
    };
    let store = Store::open(&folder.join(DATABASE), options).expect("a store");
    let paths = store.configure(&config).await.expect("configured");
    store.begin_work(false).await.expect("begun");
    (store, paths[0].1)
}

struct Promises(std::fs::File);

impl Promises {
    fn open(folder: &Path) -> Self {
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true);
        Self(options.open(folder.join(PROMISES)).expect("a file"))
    }

    fn note(&self, promises: &[Promise]) {
        let lines: String = promises.iter().map(|promise| promise.line()).collect();
        (&self.0).write_all(lines.as_bytes()).expect("noted");
    }
}

/// Several callers at once accept, claim and settle, through three lives of the store. The last one ends with its log beside it.
pub fn ours(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let promises = Arc::new(Promises::open(folder));
    runtime.block_on(async {
        for (life, (callers, calls)) in LIVES.into_iter().enumerate() {
            let (store, path) = open(folder).await;
            let callers: Vec<_> = (0..callers)
                .map(|caller| {
                    let first = life as u64 * 100_000 + caller * 1_000 + 1;
                    let promises = Arc::clone(&promises);
                    tokio::spawn(call(store.clone(), path, first..first + calls, promises))
                })
                .collect();
            for caller in callers {
                caller.await.expect("a caller");
            }
            // While another connection looks, closing leaves the log where it is.
            let looking = (life + 1 == LIVES.len()).then(|| look(folder));
            store.close().await;
            std::mem::forget(looking);
        }
    });
}

/// One caller: an accept for each number, most of one event and some of six, and a turn after every fourth.
async fn call(store: Store, path: PathId, numbers: Range<u64>, promises: Arc<Promises>) {
    let mut settlements: Vec<Settlement> = Vec::new();
    for number in numbers {
        let events = number * 10..number * 10 + if number % 6 == 5 { 6 } else { 1 };
        let batch = events.clone().map(|n| incoming(n, path)).collect();
        let receipts = store.accept(batch).await.expect("accepted");
        let accepted: Vec<Promise> = events
            .zip(receipts)
            .map(|(n, receipt)| match receipt {
                Receipt::Accepted { event, .. } => Promise::Accepted { event: event.0, n },
                other => panic!("{other:?}"),
            })
            .collect();
        promises.note(&accepted);
        if number % 4 == 3 {
            let settled: Vec<Promise> = settlements
                .iter()
                .map(|settlement| Promise::Settled {
                    delivery: settlement.delivery.0,
                })
                .collect();
            let wants = vec![Want { path, count: 5 }];
            let turn = store
                .turn(std::mem::take(&mut settlements), wants)
                .await
                .expect("a turn");
            assert_eq!(turn.late, 0);
            promises.note(&settled);
            settlements = turn.claimed.iter().map(delivered).collect();
        }
    }
}

fn delivered(claim: &Claimed) -> Settlement {
    Settlement {
        delivery: claim.delivery,
        fence: claim.fence,
        attempt: Some(Attempt {
            steps: Vec::new(),
            started_at: claim.accepted_at,
            duration: Duration::from_millis(3),
            class: Class::Delivered,
            status: Some(200),
            charged: true,
            error: String::new(),
            answer: Answer::default(),
            target: ("POST".into(), "http://127.0.0.1:1/deals".into()),
            key: "0123456789abcdef0123456789abcdef".into(),
            config: 7,
            fingerprint: None,
        }),
        next: Next::Delivered,
    }
}

fn look(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join(DATABASE)).expect("a database");
    connection
        .query_row("SELECT count(*) FROM event", [], |_| Ok(()))
        .expect("a look");
    connection
}

/// The same rows by hand, a transaction each, with `synchronous` set to the word given; nothing else differs between words.
pub fn by_hand(folder: &Path, synchronous: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Only for its schema.
    let path = runtime.block_on(async {
        let (store, path) = open(folder).await;
        store.close().await;
        path
    });
    let promises = Promises::open(folder);
    let connection = Connection::open(folder.join(DATABASE)).expect("a database");
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 400;"
        ))
        .expect("settings");
    for n in 1..=COMMITS {
        let event = EventId(n as i64);
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.execute(values))
                .expect("a row");
        };
        run("BEGIN IMMEDIATE", &[]);
        run(
            "INSERT INTO event(id, at, source, event_id, kind, admission) VALUES (?1, ?1, 'shop', ?2, 'order.created', 0)",
            params![event.0, event_id(n)],
        );
        run(
            "INSERT INTO payload(event, meta, data) VALUES (?1, '{\"o\":\"send\"}', ?2)",
            params![event.0, payload(n)],
        );
        run(
            "INSERT INTO delivery(id, path, state, due, accepted, changed) VALUES (?1, ?2, 0, 1, 1, 1)",
            params![DeliveryId::new(event, 0).0, path.0],
        );
        run("COMMIT", &[]);
        promises.note(&[Promise::Accepted { event: event.0, n }]);
    }
    // Closing would flush everything: the power is cut before.
    std::mem::forget(connection);
}
