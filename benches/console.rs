//! The console beside its limits: the real binary on a pseudo-terminal, attached to a worker with a million rows.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use midwatch::queue::filter::Filter;
use midwatch::record::ledger::{About, Learned};
use midwatch::store::{Cursor, Reader, Store};
use support::http::{Receiver, Sender, post_all};
use support::process::{Worker, cpu_percent, megabytes};
use support::pty::{Console, questions};
use support::{at_most, header, median, note, pair, quantile, rows};
use tokio::runtime::Runtime;

const ROWS: u64 = 1_000_000;
/// Deliveries a second of the live rows.
const LIVE: u64 = 200;
/// Events of one throughput measurement.
const POSTED: u64 = 12_000;
/// Records, and lines in the story of one.
const RECORDS: usize = 300;
/// Of sizes that have limits in bytes: columns and rows; select, scroll by one, whole.
const SIZES: [((u16, u16), [f64; 3]); 2] = [
    ((80, 24), [350.0, 1_536.0, 6_144.0]),
    ((250, 60), [800.0, 4_096.0, 38_912.0]),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let dir = support::folder();
    let receiver = runtime.block_on(Receiver::start());
    let file = place(&runtime, dir.path(), &receiver);
    let worker = Worker::start(&file);
    header("console, attached, 1 M rows");
    if support::wanted("paint") {
        first_paint(&file);
    }
    if support::wanted("still") {
        still(&file, &worker);
    }
    if support::wanted("bytes") {
        for (size, limits) in SIZES {
            bytes(&file, size, limits);
            record_bytes(&file, size, limits);
        }
    }
    if support::wanted("live") {
        live(&runtime, &file, &worker, &receiver);
    }
    if support::wanted("slow") {
        slow_reader(&runtime, &file, &worker, &receiver);
        let wal = std::fs::metadata(dir.path().join("console.db-wal")).expect("a WAL");
        let wal = wal.len() as f64 / f64::from(1 << 20);
        at_most("WAL after load with a console attached", "MB", 64.0, wal);
    }
    worker.stop();
    if support::wanted("filter") {
        filters(dir.path());
    }
}

/// A configuration and its database: a million deliveries on a paused path, and a path that delivers.
fn place(runtime: &Runtime, dir: &Path, receiver: &Receiver) -> PathBuf {
    let text = format!(
        "[site]\nname = \"bench\"\ndatabase = \"console.db\"\nlogs = \"logs\"\n\
         [ingest]\nlisten = \"127.0.0.1:0\"\n[limits]\nconcurrency = 256\n\
         [systems.shop]\n[systems.stock]\n[systems.crm]\nurl = \"{}\"\nprivate = true\n\
         [paths.backlog]\nroute = \"stock -> crm\"\nevents = [\"item.*\"]\n\
         [paths.orders]\nroute = \"shop -> crm\"\nevents = [\"order.*\"]\nconcurrency = 64\n",
        receiver.url()
    );
    let file = dir.join("console.toml");
    std::fs::write(&file, &text).expect("a configuration");
    let config = rows::config(&text, &file);
    let (store, path) = rows::open(runtime, &config.site.database, &config);
    records(runtime, &store);
    rows::fill(runtime, &store, path, 1 << 40, ROWS);
    let (pause, line) = rows::pause();
    runtime
        .block_on(store.set_pause(path, Some(pause), line))
        .expect("paused");
    runtime.block_on(store.close());
    file
}

/// Records enough for several screens, the last changed of which has a story of several screens.
fn records(runtime: &Runtime, store: &Store) {
    let learn = |kind: &str, key: String, story: String| {
        let told = Learned {
            system: "crm".into(),
            about: About {
                kind: kind.into(),
                key,
            },
            id: Some(format!("{}", story.len())),
            story: Some(story),
            ..Learned::default()
        };
        runtime.block_on(store.learn(told)).expect("learnt");
    };
    for n in 0..RECORDS {
        learn(
            "contact",
            format!("buyer{n}@shop.example"),
            "created in crm".into(),
        );
    }
    for n in 0..RECORDS {
        learn(
            "order",
            "1042".into(),
            format!("updated in crm for the {n}. time"),
        );
    }
}

/// A console whose Overview is there.
fn open(file: &Path, size: (u16, u16), options: &[&str]) -> (Console, Duration) {
    let mut console = Console::start(file, size, options);
    let after = console.shows("backlog");
    (console, after)
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn first_paint(file: &Path) {
    let mut asked = 0;
    let paints = (0..3 * support::rounds())
        .map(|_| {
            let (console, after) = open(file, (120, 40), &[]);
            asked += questions(&console.opening);
            millis(after)
        })
        .collect();
    let name = "first paint with its numbers, 120x40";
    at_most(name, "ms", 150.0, median(paints));
    at_most("questions to the terminal", "", 0.0, asked as f64);
}

/// Nothing happens but time.
fn still(file: &Path, worker: &Worker) {
    let span = Duration::from_secs(10);
    let (mut console, _) = open(file, (120, 40), &[]);
    console.listen(Duration::from_secs(3));
    let cpu = support::process::cpu_seconds(console.pid());
    let bytes = console.listen(span) as f64 / span.as_secs_f64();
    let cpu = (support::process::cpu_seconds(console.pid()) - cpu) * 100.0 / span.as_secs_f64();
    at_most("Overview at rest, 120x40", "B/s", 60.0, bytes);
    note("Overview at rest: CPU", "%", cpu);
    note(
        "Overview at rest: RSS",
        "MB",
        megabytes(console.pid(), "VmRSS"),
    );
    note(
        "worker with a console at rest: CPU",
        "%",
        cpu_percent(worker.pid(), Duration::from_secs(5)),
    );
}

/// What keys cost in bytes, with no traffic.
fn bytes(file: &Path, size: (u16, u16), limits: [f64; 3]) {
    let (mut console, _) = open(file, size, &[]);
    console.press("2");
    console.listen(Duration::from_millis(500));
    steps(&mut console, "", size, limits);
}

/// The same among records, and in the story of one.
fn record_bytes(file: &Path, size: (u16, u16), limits: [f64; 3]) {
    let (mut console, _) = open(file, size, &[]);
    console.press("9");
    console.shows("buyer");
    steps(&mut console, "records: ", size, limits);
    console.tap("g");
    console.listen(Duration::from_millis(500));
    console.press("\r");
    console.shows("updated in crm");
    steps(&mut console, "a record: ", size, limits);
}

/// Selecting, scrolling and painting a list from its first line on.
fn steps(console: &mut Console, screen: &str, size: (u16, u16), limits: [f64; 3]) {
    let name = |what: &str| format!("{screen}{what}, {}x{}", size.0, size.1);
    // A row stands for nine of ten frames: ages that change in the same frame do not count.
    let mut measure = |what: &str, limit: f64, keys: &[&str]| {
        let frames = keys.iter().map(|key| console.press(key).bytes as f64);
        at_most(&name(what), "B", limit, quantile(frames.collect(), 0.9));
        // To the last line and beyond: from there on each step scrolls.
        console.tap(&"j".repeat(2 * usize::from(size.1)));
    };
    measure("select", limits[0], &["j"; 10]);
    measure("scroll by one", limits[1], &["j"; 20]);
    measure("whole screen", limits[2], &["\x0c"; 5]);
}

/// Posts `LIVE` events a second until told to stop.
fn traffic(runtime: &Runtime, worker: &Worker) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, address) = (Arc::clone(&stop), worker.address);
    runtime.spawn(async move {
        let mut sender = Sender::connect(address).await;
        let mut every = tokio::time::interval(Duration::from_millis(1000 / LIVE));
        let mut n = 1 << 50;
        while !stopped.load(Ordering::Relaxed) {
            every.tick().await;
            sender.post(n).await;
            n += 1;
        }
    });
    stop
}

/// At 200 deliveries a second.
fn live(runtime: &Runtime, file: &Path, worker: &Worker, receiver: &Receiver) {
    let stop = traffic(runtime, worker);
    let (before, start) = (receiver.count(), Instant::now());
    let span = Duration::from_secs(10);
    for (options, limit, name) in [
        (&[][..], 1_024.0, "live Overview, 80x24"),
        (
            &["--low-bandwidth"],
            300.0,
            "live Overview, --low-bandwidth",
        ),
    ] {
        let (mut console, _) = open(file, (80, 24), options);
        console.listen(Duration::from_secs(3));
        let bytes = console.listen(span) as f64 / span.as_secs_f64();
        at_most(name, "B/s", limit, bytes);
    }
    for (size, limit) in [((120, 40), 5.0), ((250, 60), 10.0)] {
        let (mut console, _) = open(file, size, &[]);
        console.press("2");
        console.listen(Duration::from_millis(500));
        let keys = ["j", "j", "j", "k", "j", "k"].iter().cycle();
        let mut after: Vec<f64> = keys
            .take(300)
            .map(|key| millis(console.press(key).after))
            .collect();
        let name = |what: &str| format!("key to last byte, {}x{}: {what}", size.0, size.1);
        note(&name("p50"), "ms", median(after.clone()));
        after.sort_by(f64::total_cmp);
        at_most(&name("p99"), "ms", limit, quantile(after, 0.99));
        if size.0 == 120 {
            note(
                "Deliveries, live: RSS",
                "MB",
                megabytes(console.pid(), "VmRSS"),
            );
            let cpu = cpu_percent(console.pid(), Duration::from_secs(3));
            note("Deliveries, live: CPU", "%", cpu);
        }
    }
    let delivered = (receiver.count() - before) as f64 / start.elapsed().as_secs_f64();
    note("delivered meanwhile", "/s", delivered);
    stop.store(true, Ordering::Relaxed);
}

/// What the worker takes in and delivers while a console's terminal takes 1 KB/s, against nobody looking.
fn slow_reader(runtime: &Runtime, file: &Path, worker: &Worker, receiver: &Receiver) {
    let mut n = 1 << 55;
    let mut throughput = || {
        n += POSTED;
        // What the traffic before has left must be through.
        std::thread::sleep(Duration::from_millis(300));
        let (before, start) = (receiver.count(), Instant::now());
        runtime.block_on(async {
            post_all(worker.address, 64, n, POSTED).await;
            receiver.reaches(before + POSTED).await;
        });
        POSTED as f64 / start.elapsed().as_secs_f64()
    };
    throughput();
    let throughput = std::cell::RefCell::new(throughput);
    pair(
        "worker, with a reader at 1 KB/s and without",
        "/s",
        0.95,
        || {
            let (mut console, _) = open(file, (120, 40), &[]);
            console.press("2");
            console.slow_down();
            // Its terminal is full from here on.
            (throughput.borrow_mut())()
        },
        || (throughput.borrow_mut())(),
    );
}

/// A keystroke of a filter that finds nothing in 100 k rows.
fn filters(dir: &Path) {
    let reader = Reader::open(&dir.join("console.db")).expect("a reader");
    let all = reader.deliveries(&Filter::default(), Cursor::Newest, 1);
    let newest = all.expect("a page").0[0].id.event().0;
    for text in ["nowhere", "subject:nowhere", "newer:30d nowhere"] {
        let Ok(filter) = text.parse::<Filter>() else {
            continue;
        };
        let times = (0..5)
            .map(|_| {
                let start = Instant::now();
                let (mut cursor, mut passed) = (Cursor::Newest, 0);
                while passed < 100_000 {
                    let page = reader.deliveries(&filter, cursor, 100).expect("a page");
                    let Some(Cursor::Older(id)) = page.1 else {
                        break;
                    };
                    passed = newest + 1 - id.event().0;
                    cursor = Cursor::Older(id);
                }
                millis(start.elapsed())
            })
            .collect();
        let name = format!("filter 100 k rows: {text}");
        at_most(&name, "ms", 50.0, median(times));
    }
}
