//! Reconciliation against loopback systems that behave, and that do not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use midwatch::config::live::{Live, Runtime};
use midwatch::http::Outbound;
use midwatch::reconcile::{self, ReconcileHandle};
use midwatch::store::view::{DifferenceKind, RunRow, Severity};
use midwatch::store::{Options, Store};
use midwatch::time::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a stand-in system answers to every request.
#[derive(Clone)]
enum Answer {
    /// 200 with this body.
    Body(String),
    /// 200 with this body, and a `Link` header that says there is more.
    Page(String),
    /// Another status.
    Status(u16),
    /// 200 that promises more bytes than it sends, then closes.
    Cut(String),
    /// Nothing, for as long as the client waits.
    Silence,
}

/// A system on loopback, on threads of its own.
struct System {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl System {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (said, asked) = (answer.clone(), requests.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                asked
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&head).into_owned());
                let answer = said.lock().unwrap().clone();
                let (status, link, body, missing) = match answer {
                    Answer::Body(body) => (200, "", body, 0),
                    Answer::Page(body) => (200, "Link: </x?page=2>; rel=\"next\"\r\n", body, 0),
                    Answer::Status(status) => (status, "", "{\"oops\":true}".to_owned(), 0),
                    Answer::Cut(body) => (200, "", body, 100),
                    Answer::Silence => {
                        std::thread::spawn(move || stream.read(&mut [0]));
                        continue;
                    }
                };
                let length = body.len() + missing;
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\n{link}Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
            }
        });
        Self {
            address,
            answer,
            requests,
        }
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

fn orders(list: &[(u32, &str)]) -> Answer {
    let items: Vec<_> = list
        .iter()
        .map(|(number, total)| format!(r#"{{"number":"{number}","total":"{total}"}}"#))
        .collect();
    Answer::Body(format!("[{}]", items.join(",")))
}

fn deals(list: &[(u32, &str)]) -> Answer {
    let items: Vec<_> = list
        .iter()
        .map(|(order, amount)| {
            format!(r#"{{"id":"x{order}","properties":{{"order":{order},"amount":{amount}}}}}"#)
        })
        .collect();
    Answer::Body(format!(r#"{{"results":[{}]}}"#, items.join(",")))
}

/// A file beside the shop, and a look at the queue.
const FILES: &str = r#"
[systems.shop.records.order]
key = "/number"
fields.total = { at = "/total", type = "money" }
list = { url = "/orders", answer = "" }
[systems.ledger.records.order]
key = "/number"
fields.total = { at = "/total", type = "money" }
list = { ndjson = "books.ndjson" }
[reconcile.books]
sides = ["ledger.order", "shop.order"]
every = "1h"
grace = "0"
[reconcile.queue]
preset = "backlog"
dead = { warn = 1, critical = 20 }
every = "1h"
"#;

struct World {
    shop: System,
    crm: System,
    store: Store,
    handle: ReconcileHandle,
    stop: CancellationToken,
    /// Keeps the configuration's channel open.
    _live: watch::Sender<Arc<Runtime>>,
    outbound: (Outbound, Live),
    folder: tempfile::TempDir,
}

impl World {
    async fn start(every: &str) -> Self {
        Self::start_with(every, "").await
    }

    /// With further systems and jobs.
    async fn start_with(every: &str, extra: &str) -> Self {
        let shop = System::start(orders(&[]));
        let crm = System::start(deals(&[]));
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"
            [site]
            name = "test"
            [systems.shop]
            url = "http://{}"
            private = true
            [systems.crm]
            url = "http://{}/v3"
            private = true
            [reconcile.deals]
            first = {{ system = "shop", list = "/orders?per_page=100", key = "/number" }}
            second = {{ system = "crm", list = "/deals", items = "/results", key = "/properties/order" }}
            fields.total = {{ first = "/total", second = "/properties/amount", compare = "money" }}
            every = "{every}"
            grace = "0"
            drift = {{ warn = "5%", critical = "40%" }}
            {extra}
            "#,
            shop.address, crm.address
        );
        let config = midwatch::config::parse(&text, &folder.path().join("midwatch.toml"))
            .unwrap()
            .config;
        let store = open(folder.path());
        let numbers = store.configure(&config).await.unwrap();
        store.begin_work(false).await.unwrap();
        let (sender, live) = watch::channel(Arc::new(Runtime::new(Arc::new(config), numbers)));
        let outbound = Outbound::new(live.clone());
        let token = CancellationToken::new();
        let handle = reconcile::spawn(store.clone(), live.clone(), outbound.clone(), token.clone());
        Self {
            shop,
            crm,
            store,
            handle,
            stop: token,
            _live: sender,
            outbound: (outbound, live),
            folder,
        }
    }

    /// Every run, oldest first.
    fn runs(&self) -> Vec<RunRow> {
        let mut runs = self
            .store
            .reader()
            .unwrap()
            .runs(Some("deals"), 100)
            .unwrap();
        runs.reverse();
        runs
    }

    async fn until<T>(&self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let mut changes = self.store.changes();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "waited for: {what}: {:?}",
                self.runs()
            );
            let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
        }
    }

    /// The `count`-th run, once it has ended.
    async fn run(&self, count: usize) -> RunRow {
        self.until(&format!("run {count}"), |world| {
            world
                .runs()
                .get(count - 1)
                .filter(|run| run.ended.is_some())
                .cloned()
        })
        .await
    }

    /// Runs the job by hand and returns its row.
    async fn now(&self) -> RunRow {
        // The last run's row is there a moment before the job may run again.
        let count = self
            .until("a run that may start", |world| {
                let count = world.runs().len();
                world.handle.run_now("deals").ok().map(|()| count + 1)
            })
            .await;
        self.run(count).await
    }

    fn log(&self) -> Vec<(Severity, String)> {
        let rows = self.store.reader().unwrap().log_after(0, 1000).unwrap();
        let ours = rows.into_iter().filter(|row| row.kind == "reconcile");
        ours.map(|row| (row.severity, row.text)).collect()
    }
}

fn open(folder: &Path) -> Store {
    let options = Options {
        clock: Clock::System,
        disk_reserve: 1 << 20,
        dedupe: Duration::from_secs(3600),
    };
    Store::open(&folder.join("midwatch.db"), options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_crash_cut_off_goes_on_and_stays_one() {
    let world = World::start("1h").await;
    let first = world.run(1).await;
    world.stop.cancel();
    world.handle.stopped().await;
    world.store.close().await;
    let World {
        shop,
        crm,
        folder,
        _live: sender,
        outbound: (outbound, live),
        ..
    } = world;
    // As a kill leaves it: begun, and not ended.
    let database = rusqlite::Connection::open(folder.path().join("midwatch.db")).unwrap();
    let open = "UPDATE run SET ended = NULL, error = NULL, complete = 0, phase = 'listing'";
    assert_eq!(database.execute(open, []).unwrap(), 1);
    database.close().unwrap();
    let store = open_again(folder.path(), &live).await;
    let stop = CancellationToken::new();
    let handle = reconcile::spawn(store.clone(), live.clone(), outbound.clone(), stop.clone());
    let world = World {
        shop,
        crm,
        store,
        handle,
        stop,
        _live: sender,
        outbound: (outbound, live),
        folder,
    };
    let run = world.run(1).await;
    assert_eq!((run.id, run.error, run.complete), (first.id, None, true));
    assert_eq!(world.runs().len(), 1, "no other run took its place");
}

/// The database, as another worker takes it over.
async fn open_again(folder: &Path, live: &Live) -> Store {
    let store = open(folder);
    let config = live.borrow().config.clone();
    store.configure(&config).await.unwrap();
    store.begin_work(false).await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_found_counted_told_and_healed() {
    let world = World::start("1h").await;
    // Nothing on either side is no drift, and no alarm.
    let first = world.run(1).await;
    assert_eq!(
        (first.drift, first.complete, first.error),
        (None, true, None)
    );

    world.shop.says(orders(&[
        (1, "10.00"),
        (2, "20.50"),
        (3, "30.00"),
        (5, "0.10"),
    ]));
    world
        .crm
        .says(deals(&[(1, "10"), (2, "20.05"), (4, "1"), (5, "1e-1")]));
    let run = world.now().await;
    assert_eq!(run.counts, [4, 4]);
    let counts = (
        run.compared,
        run.only_first,
        run.only_second,
        run.differing,
        run.skipped,
    );
    assert_eq!(counts, (3, 1, 1, 1, 0));
    assert_eq!(run.drift, Some(0.6));
    let reader = world.store.reader().unwrap();
    let found: Vec<_> = reader
        .differences(run.id, 100)
        .unwrap()
        .into_iter()
        .map(|row| (row.key, row.kind, row.field, row.first, row.second))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [
            (
                "2".to_owned(),
                DifferenceKind::Field,
                text("total"),
                text("20.5"),
                text("20.05")
            ),
            ("3".to_owned(), DifferenceKind::OnlyFirst, None, None, None),
            ("4".to_owned(), DifferenceKind::OnlySecond, None, None, None),
        ]
    );
    // The query stays, the base path stays.
    let asked = |system: &System| system.requests.lock().unwrap().last().unwrap().clone();
    assert!(asked(&world.shop).starts_with("GET /orders?per_page=100 HTTP/1.1\r\n"));
    assert!(asked(&world.crm).starts_with("GET /v3/deals HTTP/1.1\r\n"));

    // A second look at the same drift says nothing new; agreement does.
    world.now().await;
    world
        .crm
        .says(deals(&[(1, "10"), (2, "20.50"), (3, "30.0"), (5, "0.1")]));
    assert_eq!(world.now().await.drift, Some(0.0));
    let log = world
        .until("the last line", |world| {
            Some(world.log()).filter(|log| log.len() >= 2)
        })
        .await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(log[0].0, Severity::Critical);
    assert!(log[0].1.contains("drift 60.0 %"), "{log:?}");
    assert_eq!(log[1].0, Severity::Info);
    assert!(log[1].1.contains("agree again"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_misbehaves_never_makes_anything_missing() {
    let world = World::start("1h").await;
    world.run(1).await;
    let good = orders(&[(1, "10.00"), (2, "20.00")]);
    let deal = r#"{"properties":{"order":1,"amount":"10.00"}}"#;
    for (answer, words) in [
        (Answer::Status(500), "crm could not be listed: it answered 500"),
        (Answer::Status(301), "it answered 301"),
        (Answer::Status(206), "it answered 206"),
        (Answer::Cut(format!(r#"{{"results":[{deal}"#)), "broke off after"),
        (
            Answer::Body(format!(r#"{{"results":[{deal}"#)),
            "the answer is no JSON",
        ),
        (Answer::Body("<html>".to_owned()), "the answer is no JSON"),
        (
            Answer::Body(r#"{"results":{}}"#.to_owned()),
            "/results",
        ),
        (Answer::Body(String::new()), "the answer is no JSON"),
        (deals(&[]), "crm listed nothing while shop listed 2"),
        (
            Answer::Body(r#"{"results":[{"properties":{"order":1,"amount":"10.00"}},{"properties":{"order":2,"amount":"20.00"}},{"id":3},{"properties":{"order":null}}]}"#.to_owned()),
            "2 records of crm have no key",
        ),
        (
            Answer::Body(r#"{"results":[{"id":1},{"id":2}]}"#.to_owned()),
            "none of the 2 records of crm has a key",
        ),
        (
            Answer::Page(format!(r#"{{"results":[{deal}]}}"#)),
            "it pages in circles",
        ),
    ] {
        world.shop.says(good.clone());
        world.crm.says(answer);
        let run = world.now().await;
        let error = run.error.clone().unwrap_or_default();
        assert!(error.contains(words), "{words}: {run:?}");
        assert!(!run.complete, "{words}");
        assert_eq!((run.only_first, run.only_second), (0, 0), "{words}");
    }
    // A key that occurs twice where the other side listed nothing is no drift: nothing is known.
    world.shop.says(orders(&[(1, "10.00"), (1, "10.00")]));
    world.crm.says(deals(&[]));
    let run = world.now().await;
    assert_eq!(
        (run.drift, run.differing, run.counts),
        (None, 0, [2, 0]),
        "{run:?}"
    );
    // Failing is told once, not once a run; nothing was called drift.
    let log = world.log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(
        log[0].0 == Severity::Warning && log[0].1.contains("500"),
        "{log:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_on_schedule_one_run_at_a_time_and_can_be_cancelled() {
    let world = World::start("1s").await;
    let (first, second) = (world.run(1).await, world.run(2).await);
    let apart = second.started.since(first.started);
    assert!(apart >= Duration::from_millis(900), "{apart:?}");

    world.crm.says(Answer::Silence);
    world
        .until("a run under way", |world| {
            world
                .runs()
                .last()
                .filter(|run| run.ended.is_none())
                .map(|_| ())
        })
        .await;
    let refused = world.handle.run_now("deals").unwrap_err();
    assert!(refused.text.contains("already under way"), "{refused}");
    let unknown = world.handle.run_now("dreams").unwrap_err();
    assert!(unknown.text.contains("there are: deals"), "{unknown}");

    world.handle.cancel("deals", "anna").unwrap();
    let cancelled = world
        .until("the cancelled run's end", |world| {
            let ended = |run: &RunRow| run.error.as_deref() == Some("cancelled by anna");
            world.runs().into_iter().find(ended)
        })
        .await;
    assert!(
        cancelled.ended.is_some() && !cancelled.complete,
        "{cancelled:?}"
    );
    world.stop.cancel();
    world.handle.stopped().await;
    assert!(world.handle.run_now("deals").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_phase_and_goes_on_with_what_was_interrupted() {
    let world = World::start("1h").await;
    world.run(1).await;
    world.shop.says(orders(&[(1, "10.00")]));
    world.crm.says(Answer::Silence);
    world
        .until("a run that may start", |world| {
            world.handle.run_now("deals").ok()
        })
        .await;
    // One side is listed and kept, the other hangs, the worker stops.
    let left = world
        .until("one side that is listed", |world| {
            let run = world.runs().pop().filter(|run| run.ended.is_none())?;
            let sides = world.store.reader().unwrap().sides(run.id).unwrap();
            sides.iter().any(|side| side.done).then_some(run.id)
        })
        .await;
    world.stop.cancel();
    world.handle.stopped().await;
    assert_eq!(world.runs().pop().unwrap().ended, None);
    let asked = world.shop.requests.lock().unwrap().len();
    world.crm.says(deals(&[(1, "10.00")]));

    let stop = CancellationToken::new();
    let (outbound, live) = world.outbound.clone();
    let again = reconcile::spawn(world.store.clone(), live, outbound, stop.clone());
    let ended = world
        .until("the end of what was interrupted", |world| {
            let ended = |run: &RunRow| run.id == left && run.ended.is_some();
            world.runs().into_iter().find(ended)
        })
        .await;
    assert_eq!(
        (ended.error, ended.counts, ended.compared, ended.drift),
        (None, [1, 1], 1, Some(0.0))
    );
    // What was listed before is not asked for again, and nothing of it stays behind.
    assert_eq!(world.shop.requests.lock().unwrap().len(), asked);
    let folder = world.store.runs_folder();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    // It is not due for an hour; by hand it runs at once.
    assert_eq!(world.runs().len(), 2);
    world
        .until("a run that may start", |_| again.run_now("deals").ok())
        .await;
    world.run(3).await;
    stop.cancel();
    again.stopped().await;
    drop(world.folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_a_side_like_any_other() {
    let world = World::start_with("1h", FILES).await;
    let books = |world: &World| {
        let reader = world.store.reader().unwrap();
        let run = reader.runs(Some("books"), 1).unwrap().pop()?;
        run.ended.is_some().then_some(run)
    };
    // There is no such file yet: nothing is called missing.
    let first = world.until("the first run", books).await;
    assert!(
        first
            .error
            .as_deref()
            .is_some_and(|error| error.contains("books.ndjson")),
        "{first:?}"
    );
    assert_eq!((first.only_first, first.only_second), (0, 0));
    world
        .shop
        .says(orders(&[(1, "10.00"), (2, "20.00"), (3, "30.00")]));
    let lines = "{\"number\":1,\"total\":\"10\"}\n{\"number\":\"2\",\"total\":\"20.05\"}\n";
    std::fs::write(world.folder.path().join("books.ndjson"), lines).unwrap();
    world
        .until("a run that may start", |world| {
            world.handle.run_now("books").ok()
        })
        .await;
    let run = world
        .until("the second run", |world| {
            books(world).filter(|run| run.id != first.id)
        })
        .await;
    assert_eq!(
        (run.counts, run.compared, run.differing, run.only_second),
        ([2, 3], 2, 1, 1),
        "{run:?}"
    );
    // What is in a file is as it was listed; what is listed from a system without a lookup is not asked again.
    let found = world
        .store
        .reader()
        .unwrap()
        .differences(run.id, 10)
        .unwrap();
    assert!(found.iter().all(|row| !row.confirmed), "{found:?}");
    // A job that watches queues finds nothing wrong where there are no paths.
    let queue = |world: &World| {
        let reader = world.store.reader().unwrap();
        let run = reader.runs(Some("queue"), 1).unwrap().pop()?;
        run.ended.is_some().then_some(run)
    };
    let queue = world.until("a look at the queue", queue).await;
    assert_eq!(
        (queue.error, queue.complete, queue.drift),
        (None, true, None)
    );
}
