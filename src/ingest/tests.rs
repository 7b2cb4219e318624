//! What the front door adds to an event before it is stored; the door itself is told of in `tests/ingest.rs`.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::event::Origin;
use crate::queue::testing;
use crate::store::Options;
use crate::time::Clock;

#[tokio::test]
async fn an_event_is_told_in_the_stories_of_its_records_and_none_is_refused_for_them() {
    let text = "[systems.shop.records.order]\nevents = [\"order.*\"]\nkey = \"/id\"\nfields.total = \"/total\"\n\
                [systems.crm]\nurl = \"http://127.0.0.1:1\"\nprivate = true\n[paths.crm]\nroute = \"shop -> crm\"\nevents = [\"*\"]\n\
                owner = \"anna\"\nrunbook = \"r.md\"\nurl = \"/in\"\n";
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
    let runtime = Arc::new(Runtime::new(Arc::new(config), numbers));
    let intake = Intake::new(store.clone(), watch::channel(runtime).1);
    let broken = Event {
        data: "no JSON".into(),
        ..testing::event(2)
    };
    // By its own system's name, and by a script that takes that system's path.
    let script = Event {
        source: "script".to_owned(),
        origin: Origin::Send,
        ..testing::event(3)
    };
    let receipts = intake
        .admit(vec![testing::event(1), broken, script], false)
        .await
        .expect("stored");
    assert!(
        receipts
            .iter()
            .all(|receipt| matches!(receipt, Receipt::Accepted { .. })),
        "{receipts:?}"
    );
    let reader = store.reader().expect("reader");
    for key in ["1", "3"] {
        let told = reader.story("order", key, 10).expect("read");
        assert!(
            told.is_some_and(|story| !story.lines.is_empty()),
            "order {key}"
        );
    }
    assert!(reader.story("order", "2", 10).expect("read").is_none());
}
