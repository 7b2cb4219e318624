//! Delivery beside bare reqwest: the same bytes to the same receiver, over loopback, in the same run; then the worker as
//! a process: how soon it begins, what it holds, what it does when there is nothing to do.

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use midwatch::config::model::Config;
use midwatch::control::worker::{Worker, WorkerOptions};
use rusqlite::Connection;
use support::http::{Receiver, Sender, bare, client, post_all};
use support::process::{cpu_percent, megabytes};
use support::{at_most, fsync_micros, header, median, note, pair, process, quantile, rows};
use tokio::runtime::Runtime;

/// Events of one measurement end to end.
const POSTED: u64 = 8_000;
/// Deliveries of one backlog that is drained.
const BACKLOG: u64 = 20_000;
/// Deliveries of one backlog of a mapped path.
const UPSERTS: u64 = 5_000;
/// The maps of the mapped path, at the end of its configuration.
const RECORDS: &str = r#"
[systems.shop.records.order]
events = ["order.*"]
key = "/order"
fields.lines = "/lines"
[systems.crm.records.order]
id = "/id"
key = "/key"
fields.lines = "/lines"
lookup = { url = "/records/{{ key }}", missing = [404] }
create = { method = "POST", url = "/records" }
update = { method = "PATCH", url = "/records/{{ id }}" }
"#;
/// The backlog of the process rows.
const LARGE: u64 = 1_000_000;

fn main() {
    // Senders and receiver are other systems: each has a thread of its own, on both sides of a pair.
    let (outside, senders) = (support::runtime(1), support::runtime(1));
    let receiver = outside.block_on(outside.spawn(Receiver::start()));
    let bench = Bench {
        runtime: support::runtime(2),
        senders,
        receiver: receiver.expect("a receiver"),
    };
    let dir = support::folder();
    let dir = dir.path();
    // Everything on: each attempt leaves its line in the log file.
    let _logging = midwatch::logging::start(&dir.join("logs")).expect("a log");
    header("delivery");
    note("fsync latency (median of 200)", "us", fsync_micros(dir));
    one(&bench, dir);
    if support::wanted("through") {
        end_to_end(&bench, dir);
    }
    if support::wanted("drain") {
        drains(&bench, dir);
    }
    if support::wanted("upsert") {
        upserts(&bench, dir);
    }
    if support::wanted("latency") {
        latency(&bench, dir);
    }
    if support::wanted("process") {
        processes(&bench, dir);
    }
}

/// Where everything runs.
struct Bench {
    /// Midwatch, or bare reqwest.
    runtime: Runtime,
    senders: Runtime,
    receiver: Receiver,
}

/// A configuration of its own, with a database of its own, whose one path leads to the receiver.
fn place(dir: &Path, name: &str, receiver: &Receiver) -> PathBuf {
    let text = format!(
        "[site]\nname = \"bench\"\ndatabase = \"{name}.db\"\nlogs = \"logs\"\n\
         [ingest]\nlisten = \"127.0.0.1:0\"\n[limits]\nconcurrency = 256\n\
         [systems.shop]\n[systems.crm]\nurl = \"{}\"\nprivate = true\n\
         [paths.orders]\nroute = \"shop -> crm\"\nevents = [\"order.*\"]\nconcurrency = 64\n",
        receiver.url()
    );
    let file = dir.join(format!("{name}.toml"));
    std::fs::write(&file, text).expect("a configuration");
    file
}

fn load(file: &Path) -> Config {
    let text = std::fs::read_to_string(file).expect("a configuration");
    rows::config(&text, file)
}

async fn start(config: &Config) -> Worker {
    let options = WorkerOptions::default();
    let started = Worker::start(config.clone(), options).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until nothing is open any more.
async fn settled(worker: &Worker) {
    let reader = worker.store().reader().expect("a reader");
    let mut changes = worker.store().changes();
    loop {
        changes.mark_unchanged();
        let overview = reader.overview().expect("the numbers");
        if overview.paths.iter().all(|row| row.counts.backlog() == 0) {
            return;
        }
        changes.changed().await.expect("a commit");
    }
}

/// Delivers one event, so that the control can send what we send.
fn one(bench: &Bench, dir: &Path) {
    let Bench {
        runtime, receiver, ..
    } = bench;
    receiver.keep_next();
    let file = place(dir, "one", receiver);
    runtime.block_on(async {
        let worker = start(&load(&file)).await;
        post_all(worker.addr(), 1, 0, 1).await;
        receiver.reaches(1).await;
        worker.drain().await;
    });
}

fn end_to_end(bench: &Bench, dir: &Path) {
    let Bench {
        runtime,
        senders,
        receiver,
    } = bench;
    let file = place(dir, "through", receiver);
    let worker = runtime.block_on(start(&load(&file)));
    let client = client();
    let mut n = 0;
    let mut commits = *worker.store().changes().borrow();
    for connections in [8, 64] {
        pair(
            &format!("end to end, {connections} connections"),
            "/s",
            0.25,
            || {
                n += POSTED;
                let (before, start) = (receiver.count(), Instant::now());
                senders.block_on(post_all(worker.addr(), connections, n, POSTED));
                runtime.block_on(async {
                    receiver.reaches(before + POSTED).await;
                    settled(&worker).await;
                });
                POSTED as f64 / start.elapsed().as_secs_f64()
            },
            || runtime.block_on(bare(&client, receiver, connections, POSTED)),
        );
        let before = std::mem::replace(&mut commits, *worker.store().changes().borrow());
        let events = POSTED * support::rounds() as u64;
        note(
            "    commits for each of these events",
            "",
            (commits - before) as f64 / events as f64,
        );
    }
    let wal = std::fs::metadata(dir.join("through.db-wal")).expect("a WAL");
    at_most(
        "WAL after all that",
        "MB",
        64.0,
        wal.len() as f64 / f64::from(1 << 20),
    );
    runtime.block_on(worker.drain());
}

fn drains(bench: &Bench, dir: &Path) {
    let Bench {
        runtime, receiver, ..
    } = bench;
    let client = client();
    let mut round = 0;
    pair(
        "draining a backlog of 20 k, 64 connections",
        "/s",
        0.5,
        || {
            round += 1;
            let file = place(dir, &format!("backlog-{round}"), receiver);
            let config = load(&file);
            let (store, path) = rows::open(runtime, &config.site.database, &config);
            rows::fill(runtime, &store, path, 0, BACKLOG);
            runtime.block_on(store.close());
            let before = receiver.count();
            runtime.block_on(async {
                let worker = start(&config).await;
                // The start has a row of its own.
                let begun = receiver.reaches(before + 1).await;
                let early = receiver.count() - before;
                receiver.reaches(before + BACKLOG).await;
                settled(&worker).await;
                let rate = (BACKLOG - early) as f64 / begun.elapsed().as_secs_f64();
                worker.drain().await;
                rate
            })
        },
        || runtime.block_on(bare(&client, receiver, 64, BACKLOG)),
    );
}

/// A mapped path (look up, create, keep the id: two requests and a commit of the ledger's for each) beside a plain one.
fn upserts(bench: &Bench, dir: &Path) {
    let Bench {
        runtime, receiver, ..
    } = bench;
    let mut round = 0;
    let drain = |mapped: bool| {
        round += 1;
        let file = place(dir, &format!("upserts-{round}"), receiver);
        if mapped {
            let plain = std::fs::read_to_string(&file).expect("a configuration");
            let mapped = plain.replace(
                "route = \"shop -> crm\"",
                "route = \"shop.order -> crm.order\"",
            );
            std::fs::write(&file, format!("{mapped}{RECORDS}")).expect("a configuration");
        }
        let config = load(&file);
        let (store, path) = rows::open(runtime, &config.site.database, &config);
        rows::fill(runtime, &store, path, 0, UPSERTS);
        runtime.block_on(store.close());
        let before = receiver.count();
        runtime.block_on(async {
            let worker = start(&config).await;
            let begun = receiver.reaches(before + 1).await;
            let early = receiver.count() - before;
            receiver.reaches(before + UPSERTS).await;
            settled(&worker).await;
            let rate = (UPSERTS - early) as f64 / begun.elapsed().as_secs_f64();
            worker.drain().await;
            rate
        })
    };
    let drain = std::cell::RefCell::new(drain);
    pair(
        "upsert path beside the plain path",
        "/s",
        0.2,
        || drain.borrow_mut()(true),
        || drain.borrow_mut()(false),
    );
}

/// From the 202 to the request at the receiver, with nothing else to do; one-row commits of bare SQLite in turn with it.
fn latency(bench: &Bench, dir: &Path) {
    let Bench {
        runtime,
        senders,
        receiver,
    } = bench;
    let file = place(dir, "idle", receiver);
    let worker = runtime.block_on(start(&load(&file)));
    let bare = Connection::open(dir.join("commits.db")).expect("a database");
    bare.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB);",
    )
    .expect("a table");
    let probes = 60 * support::rounds() as u64;
    let (mut commits, mut whole, mut accepted) = (vec![], vec![], vec![]);
    for n in 0..probes {
        let start = Instant::now();
        bare.execute("INSERT INTO t(b) VALUES (?1)", [&rows::payload(n)[..]])
            .expect("a row");
        commits.push(start.elapsed().as_secs_f64() * 1e3);
        senders.block_on(async {
            let mut sender = Sender::connect(worker.addr()).await;
            let before = receiver.count();
            let sent = Instant::now();
            sender.post(n).await;
            let answered = Instant::now();
            let arrived = receiver.reaches(before + 1).await;
            let millis =
                |since: Instant| arrived.saturating_duration_since(since).as_secs_f64() * 1e3;
            whole.push(millis(sent));
            accepted.push(millis(answered));
            settled(&worker).await;
        });
    }
    runtime.block_on(worker.drain());
    let commit = median(commits.clone());
    note("one commit: median", "ms", commit);
    note("one commit: p99", "ms", quantile(commits, 0.99));
    at_most(
        "idle, accepted to attempted: p50",
        "ms",
        commit + 2.0,
        median(accepted.clone()),
    );
    at_most(
        "idle, accepted to attempted: p99",
        "ms",
        3.0 * commit + 10.0,
        quantile(accepted, 0.99),
    );
    note(
        "idle, posted to attempted: p50",
        "ms",
        median(whole.clone()),
    );
    note(
        "idle, posted to attempted: p99",
        "ms",
        quantile(whole, 0.99),
    );
}

fn processes(bench: &Bench, dir: &Path) {
    let Bench {
        runtime, receiver, ..
    } = bench;
    let file = place(dir, "large", receiver);
    let config = load(&file);
    let (store, path) = rows::open(runtime, &config.site.database, &config);
    rows::fill(runtime, &store, path, 0, LARGE);
    runtime.block_on(store.close());
    let mut starts = Vec::new();
    let mut resident: f64 = 0.0;
    for _ in 0..support::rounds() {
        let before = receiver.count();
        let begun = Instant::now();
        let worker = process::Worker::start(&file);
        let first = runtime.block_on(receiver.reaches(before + 1));
        // The last that came; the first did not come later than that.
        starts.push((first - begun).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_secs(1));
        resident = resident.max(megabytes(worker.pid(), "VmHWM"));
        worker.stop();
    }
    at_most(
        "start to first delivery, backlog of 1 M",
        "ms",
        300.0,
        median(starts),
    );
    at_most(
        "RSS at most, draining a backlog of 1 M",
        "MB",
        60.0,
        resident,
    );
    runtime.block_on(async {
        let worker = start(&config).await;
        let reader = worker.store().reader().expect("a reader");
        let open = reader.overview().expect("numbers").paths[0]
            .counts
            .backlog();
        assert!(open > LARGE / 2, "{open} left");
        let (pause, line) = rows::pause();
        (worker.store().set_pause(path, Some(pause), line).await).expect("paused");
        worker.drain().await;
    });
    let worker = process::Worker::start(&file);
    std::thread::sleep(Duration::from_secs(2));
    at_most(
        "idle CPU of the worker over 10 s",
        "%",
        0.5,
        cpu_percent(worker.pid(), Duration::from_secs(10)),
    );
    at_most("RSS, idle", "MB", 60.0, megabytes(worker.pid(), "VmRSS"));
    worker.stop();
}
