//! The queue beside bare SQLite: the same rows, the same file system, the same run, `synchronous=FULL` on both sides.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use midwatch::ids::{DeliveryId, PathId};
use midwatch::queue::model::{Answer, Attempt, Class, Next, Settlement};
use midwatch::record::ledger::{About, Learned};
use midwatch::record::value::{Value, Version};
use midwatch::store::{Incoming, Receipt, Store, Want};
use rusqlite::{Connection, params};
use support::rows::{fill, incoming, payload, plain, scatter};
use support::{fsync_micros, header, note, pair, rate, wanted};
use tokio::runtime::Runtime;

const SPAN: Duration = Duration::from_millis(700);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let dir = support::folder();
    header("queue");
    note(
        "fsync latency (median of 200)",
        "us",
        fsync_micros(dir.path()),
    );
    if wanted("accepts") {
        accepts(&runtime, dir.path());
    }
    if wanted("turns") {
        turns(&runtime, dir.path());
    }
    if wanted("ledger") {
        ledger(&runtime, dir.path());
    }
}

/// What a mapped delivery adds: an event that is told in the stories of two records, what is known of one, what is learnt
/// of it. Figures without a control: no plain path pays any of this.
fn ledger(runtime: &Runtime, dir: &Path) {
    let (store, path) = open(runtime, &dir.join("ledger.db"));
    let about = |kind: &str, n: u64| About {
        kind: kind.to_owned(),
        key: n.to_string(),
    };
    let told = rate(SPAN, || {
        static NEXT: AtomicU64 = AtomicU64::new(1 << 50);
        let from = NEXT.fetch_add(128, Ordering::Relaxed);
        let batch = (from..from + 128).map(|n| Incoming {
            about: vec![about("order", n), about("contact", n % 5_000)],
            ..incoming(n, path)
        });
        let receipts = runtime.block_on(store.accept(batch.collect()));
        receipts.expect("accepted").len()
    });
    note("accepts told of two records, 128 a call", "/s", told);
    let learnt = callers(runtime, |n| {
        let store = store.clone();
        let field = |name: usize| {
            (
                format!("field_{name}"),
                Value::Text(n.to_string()),
                name == 0,
            )
        };
        let learned = Learned {
            system: "crm".to_owned(),
            about: about("order", n),
            id: Some(n.to_string()),
            version: Some(Version::Number(1)),
            sent: (0..8).map(field).collect(),
            story: Some("created in crm".to_owned()),
            ..Learned::default()
        };
        async move { store.learn(learned).await.expect("learnt") }
    });
    note("records learnt (8 fields), 64 callers", "/s", learnt);
    let known = callers(runtime, |n| {
        let (store, key) = (store.clone(), (n % 1_000).to_string());
        async move {
            let known = store.known("crm".to_owned(), "order".to_owned(), key);
            known.await.expect("read");
        }
    });
    note("records asked for, 64 callers", "/s", known);
    runtime.block_on(store.close());
}

/// Operations per second of 64 callers that wait for each of theirs.
fn callers<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    operation: impl Fn(u64) -> F,
) -> f64 {
    const CALLERS: u64 = 64;
    let start = Instant::now();
    let mut n = 0;
    while start.elapsed() < SPAN {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..CALLERS)
                .map(|caller| tokio::spawn(operation(n + caller)))
                .collect();
            for task in tasks {
                task.await.expect("a caller");
            }
        });
        n += CALLERS;
    }
    n as f64 / start.elapsed().as_secs_f64()
}

fn open(runtime: &Runtime, file: &Path) -> (Store, PathId) {
    support::rows::open(runtime, file, &plain())
}

/// The control: a thread with a connection of the same settings that writes the same rows and commits what waits.
struct Bare {
    connection: Connection,
    next: i64,
}

impl Bare {
    fn open(file: &Path) -> Self {
        let connection = Connection::open(file).expect("a database");
        connection.set_prepared_statement_cache_capacity(64);
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=2000; PRAGMA cache_size=-16384;")
            .expect("settings");
        let next = connection
            .query_row("SELECT coalesce(max(id), 0) + 1 FROM event", [], |row| {
                row.get(0)
            })
            .expect("a number");
        Self { connection, next }
    }

    fn insert(&mut self, n: u64) {
        let id = self.next;
        self.next += 1;
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            self.connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.execute(values))
                .expect("a row");
        };
        let now = i64::try_from(n).unwrap_or(0);
        run(
            "INSERT INTO dedupe(bucket, hash, event, digest) VALUES (1, ?1, ?2, ?3)",
            params![scatter(n), id, scatter(n)],
        );
        run(
            "INSERT INTO event(id, at, source, event_id, kind, subject, admission) VALUES (?1, ?2, 'shop', ?3, 'order.created', ?4, 0)",
            params![id, now, format!("evt_{n:016x}"), n.to_string()],
        );
        run(
            "INSERT INTO payload(event, meta, data) VALUES (?1, '{\"c\":\"application/json\",\"o\":\"send\"}', ?2)",
            params![id, &payload(n)[..]],
        );
        run(
            "INSERT INTO delivery(id, path, state, due, accepted, changed) VALUES (?1, 1, 0, ?2, ?2, ?2)",
            params![id * 256, now],
        );
    }

    fn batch(&mut self, from: u64, count: u64) {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("begun");
        (from..from + count).for_each(|n| self.insert(n));
        self.connection.execute_batch("COMMIT").expect("committed");
    }
}

fn accepts(runtime: &Runtime, dir: &Path) {
    let (store, path) = open(runtime, &dir.join("ours.db"));
    // The control's file has our schema; its rows are written by hand.
    let control = dir.join("bare.db");
    let (seed, _) = open(runtime, &control);
    runtime.block_on(seed.close());
    let counter = std::sync::atomic::AtomicU64::new(1);
    let next = |count: u64| counter.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
    for callers in [1usize, 8, 64] {
        pair(
            &format!("durable accepts, {callers} waiting callers"),
            "/s",
            0.8,
            || {
                let start = Instant::now();
                let done: usize = runtime.block_on(async {
                    let tasks: Vec<_> = (0..callers)
                        .map(|_| {
                            let store = store.clone();
                            let mut n = next(1 << 32);
                            tokio::spawn(async move {
                                let mut done = 0;
                                while start.elapsed() < SPAN {
                                    let receipts = store
                                        .accept(vec![incoming(n, path)])
                                        .await
                                        .expect("accepted");
                                    assert!(matches!(receipts[0], Receipt::Accepted { .. }));
                                    n += 1;
                                    done += 1;
                                }
                                done
                            })
                        })
                        .collect();
                    let mut done = 0;
                    for task in tasks {
                        done += task.await.expect("a caller");
                    }
                    done
                });
                done as f64 / start.elapsed().as_secs_f64()
            },
            || bare_group_commit(runtime, &control, callers, next(1 << 40)),
        );
    }
    let mut bare = Bare::open(&control);
    pair(
        "batch accepts, 128 a call",
        "/s",
        0.7,
        || {
            rate(SPAN, || {
                let from = next(128);
                let batch = (from..from + 128).map(|n| incoming(n, path)).collect();
                runtime
                    .block_on(store.accept(batch))
                    .expect("accepted")
                    .len()
            })
        },
        || {
            rate(SPAN, || {
                bare.batch(next(128), 128);
                128
            })
        },
    );
    runtime.block_on(store.close());
}

/// The same group commit with nothing around it: callers wait on a channel for the commit that holds their row.
fn bare_group_commit(runtime: &Runtime, file: &Path, callers: usize, from: u64) -> f64 {
    let (jobs, inbox) = mpsc::channel::<(u64, tokio::sync::oneshot::Sender<()>)>();
    let mut bare = Bare::open(file);
    let writer = std::thread::spawn(move || {
        while let Ok(first) = inbox.recv() {
            let mut batch = vec![first];
            while batch.len() < 512 {
                match inbox.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            bare.connection
                .execute_batch("BEGIN IMMEDIATE")
                .expect("begun");
            for (n, _) in &batch {
                bare.insert(*n);
            }
            bare.connection.execute_batch("COMMIT").expect("committed");
            for (_, reply) in batch {
                let _ = reply.send(());
            }
        }
    });
    let start = Instant::now();
    let done: usize = runtime.block_on(async {
        let tasks: Vec<_> = (0..callers as u64)
            .map(|caller| {
                let jobs = jobs.clone();
                tokio::spawn(async move {
                    let mut n = from + caller * (1 << 32);
                    let mut done = 0;
                    while start.elapsed() < SPAN {
                        let (reply, answer) = tokio::sync::oneshot::channel();
                        jobs.send((n, reply)).expect("a writer");
                        answer.await.expect("committed");
                        n += 1;
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.expect("a caller");
        }
        done
    });
    let rate = done as f64 / start.elapsed().as_secs_f64();
    drop(jobs);
    writer.join().expect("the writer");
    rate
}

fn turns(runtime: &Runtime, dir: &Path) {
    let (small, path) = open(runtime, &dir.join("small.db"));
    fill(runtime, &small, path, 1, 60_000);
    let control = dir.join("small-bare.db");
    let (seed, seed_path) = open(runtime, &control);
    fill(runtime, &seed, seed_path, 1, 60_000);
    runtime.block_on(seed.close());
    let bare = Bare::open(&control);
    pair(
        "claim + settle with an attempt row, batch 64",
        "jobs/s",
        0.8,
        || ours_turns(runtime, &small, path, 8_000),
        || bare_turns(&bare, 8_000),
    );
    let (large, path) = open(runtime, &dir.join("large.db"));
    let started = Instant::now();
    fill(runtime, &large, path, 1, 1_000_000);
    note(
        "filling a backlog of 1 M",
        "/s",
        1e6 / started.elapsed().as_secs_f64(),
    );
    fill(runtime, &small, path, 1 << 50, 60_000);
    pair(
        "the same, backlog of 1 M against a small one",
        "jobs/s",
        0.8,
        || ours_turns(runtime, &large, path, 8_000),
        || ours_turns(runtime, &small, path, 8_000),
    );
    runtime.block_on(large.close());
    runtime.block_on(small.close());
}

fn ours_turns(runtime: &Runtime, store: &Store, path: PathId, count: usize) -> f64 {
    let start = Instant::now();
    runtime.block_on(async {
        let mut settlements = Vec::new();
        let mut done = 0;
        while done < count {
            let turn = store
                .turn(
                    std::mem::take(&mut settlements),
                    vec![Want { path, count: 64 }],
                )
                .await
                .expect("a turn");
            assert!(!turn.claimed.is_empty(), "the backlog is large enough");
            done += turn.claimed.len();
            settlements = turn
                .claimed
                .iter()
                .map(|claim| Settlement {
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
                })
                .collect();
        }
        store.turn(settlements, vec![]).await.expect("a turn");
    });
    count as f64 / start.elapsed().as_secs_f64()
}

/// The same rows by hand: claim 64 with their payloads, then settle them with an attempt row each, one commit for both.
fn bare_turns(bare: &Bare, count: usize) -> f64 {
    let start = Instant::now();
    let connection = &bare.connection;
    let mut claimed: Vec<i64> = Vec::new();
    let mut done = 0;
    let settle = |claimed: &[i64]| {
        for id in claimed {
            connection
                .prepare_cached("UPDATE delivery SET state = 3, due = 1, changed = 1, charged = charged + 1, attempts = attempts + 1, open = 0, last_class = 0, last_status = 200 WHERE id = ?1 AND state = 1 AND epoch = 1")
                .and_then(|mut statement| statement.execute([id]))
                .expect("settled");
            connection
                .prepare_cached("INSERT INTO attempt(delivery, generation, n, at, duration_us, class, status, charged, target, key, config) VALUES (?1, 1, 1, 1, 3000, 0, 200, 1, 1, '0123456789abcdef0123456789abcdef', 7)")
                .and_then(|mut statement| statement.execute([id]))
                .expect("an attempt");
        }
    };
    while done < count {
        connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
        settle(&claimed);
        let mut update = connection
            .prepare_cached("UPDATE delivery SET state = 1, attempt = attempt + 1, epoch = 1, changed = 1 WHERE id IN (SELECT id FROM delivery WHERE state = 0 AND path = 1 AND due <= 9223372036854775807 ORDER BY due, id LIMIT 64) RETURNING id, generation, attempt, charged, accepted, due")
            .expect("a statement");
        claimed = update
            .query_map([], |row| row.get(0))
            .expect("claims")
            .collect::<Result<_, _>>()
            .expect("claims");
        for id in &claimed {
            let event = DeliveryId(*id).event();
            let data: Vec<u8> = connection
                .prepare_cached("SELECT e.source, e.event_id, e.kind, e.subject, p.meta, p.data FROM event e JOIN payload p ON p.event = e.id WHERE e.id = ?1")
                .and_then(|mut statement| statement.query_row([event.0], |row| row.get(5)))
                .expect("a payload");
            std::hint::black_box(data);
        }
        connection.execute_batch("COMMIT").expect("committed");
        assert!(!claimed.is_empty(), "the backlog is large enough");
        done += claimed.len();
    }
    connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
    settle(&claimed);
    connection.execute_batch("COMMIT").expect("committed");
    count as f64 / start.elapsed().as_secs_f64()
}
