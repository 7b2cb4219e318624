//! What contracts and ownership cost: an order of 4 KB held to its contract beside `serde_json` reading the same bytes, and
//! events taken in through the front door's own intake, 64 callers that each wait for theirs to be on disk, with the
//! demo's contracts and owners and without.

mod support;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use midwatch::config::live::Runtime as Configured;
use midwatch::event::contract::verify;
use midwatch::ingest::Intake;
use midwatch::store::Receipt;
use support::rows::{config, order};
use support::{header, median, note, pair, rate, rounds};

const SPAN: Duration = Duration::from_millis(500);

/// The accept path keeps at least this much of its throughput.
const LIMIT: f64 = 0.7;

const CALLERS: u64 = 64;

const SYSTEMS: &str = r#"
[site]
name = "bench"
[systems.shop]
preset = "woocommerce"
url = "https://shop.example"
auth = { basic = ["env:USER", "env:PASSWORD"] }
[systems.crm]
preset = "hubspot"
auth = { bearer = "env:TOKEN" }
[paths.deals]
route = "shop.order -> crm.order"
events = ["order.*"]
"#;

const RULES: &str = r#"
[contracts."order.created"]
versions = ["1", "2"]
[entities.order]
match = ["key"]
fields.status = { owner = "shop", policy = "monotonic" }
fields.total = { owner = "shop", compare = "money" }
fields."*" = { owner = "shop" }
"#;

fn main() {
    // The demo's contracts are in the folder beside its configuration.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo/midwatch.toml");
    let plain = config(SYSTEMS, &file);
    let ruled = config(&format!("{SYSTEMS}{RULES}"), &file);

    header("contracts");
    let event = order(1042);
    let checked = || verify(&ruled.contracts, &event).expect("kept").is_some();
    let parsed = || -> serde_json::Value { serde_json::from_slice(&event.data).expect("JSON") };
    let (mut mine, mut theirs) = (vec![], vec![]);
    for _ in 0..rounds() {
        mine.push(1e6 / rate(SPAN, || usize::from(black_box(checked()))));
        theirs.push(1e6 / rate(SPAN, || usize::from(black_box(parsed()).is_object())));
    }
    let (mine, theirs) = (median(mine), median(theirs));
    note("an order read and held to its contract", "us", mine);
    note("the same bytes read by serde_json", "us", theirs);

    let runtime = support::runtime(2);
    let dir = support::folder();
    let intake = |name: &str, config| {
        let (store, path) = support::rows::open(&runtime, &dir.path().join(name), config);
        let configured = Configured::new(
            Arc::new(Clone::clone(config)),
            vec![("deals".to_owned(), path)],
        );
        let (_, live) = tokio::sync::watch::channel(Arc::new(configured));
        Intake::new(store, live)
    };
    let (with, without) = (intake("with.db", &ruled), intake("without.db", &plain));
    let next = AtomicU64::new(1);
    let accepts = |intake: &Intake| {
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < SPAN {
            let first = next.fetch_add(CALLERS, Ordering::Relaxed);
            runtime.block_on(async {
                let tasks: Vec<_> = (first..first + CALLERS)
                    .map(|number| {
                        let intake = intake.clone();
                        tokio::spawn(async move { intake.admit(vec![order(number)], false).await })
                    })
                    .collect();
                for task in tasks {
                    let receipts = task.await.expect("a caller").expect("stored");
                    assert!(matches!(receipts[..], [Receipt::Accepted { .. }]));
                }
            });
            count += CALLERS;
        }
        count as f64 / start.elapsed().as_secs_f64()
    };
    pair(
        "accepts with contracts and owners, 64 callers",
        "/s",
        LIMIT,
        || accepts(&with),
        || accepts(&without),
    );
}
