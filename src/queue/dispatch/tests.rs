//! What the stories in `tests/delivery` cannot bring about from outside: a drain that runs out, a panic.

use std::fmt::Write as _;
use std::path::Path;

use tokio::net::TcpListener;

use super::*;
use crate::config::live::Runtime;
use crate::ids::DeliveryId;
use crate::queue::model::{Class, Next, State};
use crate::queue::route::{Routing, route};
use crate::queue::testing;
use crate::store::view::Breaker;
use crate::store::{Incoming, Options, Receipt, Want};
use crate::time::Clock;

struct Bed {
    _folder: tempfile::TempDir,
    store: Store,
    live: Live,
    started: Started,
}

impl Bed {
    async fn new(url: &str) -> Self {
        let text = format!(
            "[systems.shop]\n[systems.crm]\nurl = \"{url}\"\nprivate = true\n[paths.crm]\nroute = \"shop -> crm\"\nevents = [\"*\"]\n\
             owner = \"anna\"\nrunbook = \"r.md\"\nurl = \"/in\"\nschedule = [\"0\", \"1h\"]\ntimeout = \"10m\"\nconcurrency = 2\n"
        );
        Self::with(&text).await
    }

    async fn with(text: &str) -> Self {
        let config = crate::config::parse(text, Path::new("/tmp/midwatch.toml"))
            .expect("valid")
            .config;
        let folder = tempfile::tempdir().expect("folder");
        let options = Options {
            clock: Clock::System,
            disk_reserve: 0,
            dedupe: Duration::from_secs(60),
        };
        let store = Store::open(&folder.path().join("m.db"), options).expect("open");
        let numbers = store.configure(&config).await.expect("configured");
        let started = store.begin_work(false).await.expect("begun");
        let runtime = Runtime::new(Arc::new(config), numbers);
        Self {
            _folder: folder,
            store,
            live: watch::channel(Arc::new(runtime)).1,
            started,
        }
    }

    /// A dispatcher that does nothing by itself.
    fn dispatcher(&self) -> Dispatcher {
        let (errands, _inbox) = mpsc::unbounded_channel();
        let mut dispatcher = Dispatcher::new(
            self.store.clone(),
            self.live.clone(),
            Outbound::new(self.live.clone()),
            self.started.clone(),
            errands,
            DRAIN,
        );
        dispatcher.configure();
        dispatcher
    }

    async fn accept(&self, n: i64) -> DeliveryId {
        let event = testing::event(n);
        let runtime = Arc::clone(&self.live.borrow());
        let Routing::Routes(routes) = route(&runtime, &Engine::new(), &event) else {
            panic!("held");
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
        match self.store.accept(vec![incoming]).await.expect("accepted")[0] {
            Receipt::Accepted { event, .. } => DeliveryId::new(event, 0),
            ref other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_under_way_when_a_drain_runs_out_is_unknown_and_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let bed = Bed::new(&format!("http://{address}")).await;
    let mut ids = Vec::new();
    for n in 1..=5 {
        ids.push(bed.accept(n).await);
    }
    let stop = CancellationToken::new();
    let outbound = Outbound::new(bed.live.clone());
    let (store, live, started) = (bed.store.clone(), bed.live.clone(), bed.started.clone());
    let drain = Duration::from_millis(200);
    let handle = spawn_with(store, live, outbound, started, stop.clone(), drain);
    // Two connect, and are never answered.
    let (_first, _) = listener.accept().await.expect("a connection");
    let (_second, _) = listener.accept().await.expect("a connection");
    let asked = Instant::now();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), handle.drained())
        .await
        .expect("drained");
    assert!(asked.elapsed() >= drain, "they had their time");
    let reader = bed.store.reader().expect("reader");
    for (n, id) in ids.into_iter().enumerate() {
        let detail = reader.delivery(id).expect("read").expect("stored");
        assert_eq!(
            (detail.row.state, detail.row.charged),
            (State::Ready, 0),
            "{id}"
        );
        let classes: Vec<Class> = detail.attempts.iter().map(|a| a.class).collect();
        let expected: &[Class] = if n < 2 { &[Class::Unknown] } else { &[] };
        assert_eq!(classes, expected, "{id}");
    }
}

#[tokio::test]
async fn a_panic_in_an_attempt_is_an_unknown_outcome() {
    let bed = Bed::new("http://127.0.0.1:1").await;
    bed.accept(1).await;
    let path = bed.live.borrow().id("crm").expect("configured");
    let turn = bed
        .store
        .turn(Vec::new(), vec![Want { path, count: 1 }])
        .await
        .expect("claimed");
    let claimed = Arc::new(turn.claimed.into_iter().next().expect("one"));
    let mut dispatcher = bed.dispatcher();
    let plan = Arc::clone(&dispatcher.lines[0].plan);
    let started_at = dispatcher.now();
    let task = dispatcher.tasks.spawn(async { panic!("a bug") });
    let flying = Flying {
        claimed: Arc::clone(&claimed),
        plan,
        started_at,
        probe: false,
    };
    dispatcher.flying.insert(task.id(), flying);
    let joined = dispatcher.tasks.join_next_with_id().await.expect("ended");
    dispatcher.landed(joined);
    let settled = dispatcher.pending.pop().expect("settled");
    assert_eq!(
        (settled.delivery, settled.fence),
        (claimed.delivery, claimed.fence)
    );
    assert!(
        matches!(settled.next, Next::Retry { due } if due > started_at + Duration::from_secs(1000))
    );
    let attempt = settled.attempt.expect("it may have been sent");
    assert_eq!((attempt.class, attempt.charged), (Class::Unknown, true));
}

/// Which path gets what in each of `turns` turns, when every path always has work and a token comes each second.
async fn scarce(dispatcher: &mut Dispatcher, turns: usize) -> Vec<String> {
    let mut got = Vec::new();
    for _ in 0..turns {
        tokio::time::advance(Duration::from_millis(1001)).await;
        dispatcher.ask_all();
        let now = Instant::now();
        let (wants, _) = dispatcher.wants(now, now + LONGEST_SLEEP);
        for want in wants {
            let name = dispatcher
                .line(want.path)
                .map(|line| line.plan.path.name.clone());
            got.extend(std::iter::repeat_n(name.unwrap_or_default(), want.count));
        }
    }
    got
}

#[tokio::test]
async fn paths_of_one_system_take_turns_where_tokens_are_scarce_and_a_probe_comes_first() {
    let mut text = "[systems.shop]\n[systems.crm]\nurl = \"http://127.0.0.1:1\"\nprivate = true\nlimit = \"10/10s\"\n".to_owned();
    for name in ["deals", "contacts", "stock"] {
        let _ = write!(
            text,
            "[paths.{name}]\nroute = \"shop -> crm\"\nevents = [\"*\"]\nowner = \"anna\"\nrunbook = \"r.md\"\nurl = \"/in\"\n"
        );
    }
    let bed = Bed::with(&text).await;
    let mut dispatcher = bed.dispatcher();
    tokio::time::pause();
    let got = scarce(&mut dispatcher, 12).await;
    for name in ["deals", "contacts", "stock"] {
        assert_eq!(got.iter().filter(|got| *got == name).count(), 4, "{got:?}");
    }
    assert!(
        got.chunks(3)
            .all(|round| round[0] != round[1] && round[1] != round[2]),
        "{got:?}"
    );

    // Whoever is stopped and may be probed has the first claim, whoever's turn it would be.
    for name in ["stock", "deals", "contacts", "contacts"] {
        let path = bed.live.borrow().id(name).expect("configured");
        let open = Breaker::Open {
            since: Timestamp(1),
            until: Timestamp(2),
            reason: "a test".to_owned(),
        };
        let line = dispatcher.line(path).expect("a line");
        line.brake = Brake::new(None, open);
        assert_eq!(scarce(&mut dispatcher, 1).await, [name]);
        dispatcher.line(path).expect("a line").brake = Brake::default();
    }
}
