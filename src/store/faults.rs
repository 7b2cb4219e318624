//! The store when the disk fails: nothing half-stored, a clear state, recovery by itself.

use std::time::{Duration, Instant};

use super::tests::{Bed, options};
use super::writer::{Writer, connect};
use super::*;
use crate::queue::model::State;

/// Waits for the store's health to satisfy `wanted`, at most ten seconds.
async fn until(store: &Store, wanted: impl Fn(&Health) -> bool) {
    let mut health = store.health();
    tokio::time::timeout(Duration::from_secs(10), health.wait_for(wanted))
        .await
        .expect("in time")
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_visibly_loses_nothing_and_heals_by_itself() {
    let bed = Bed::new().await;
    let before = bed.accept("before", None).await;
    // SQLite then answers SQLITE_FULL, as on a full file system; the limit belongs to the connection, so reopening lifts it.
    bed.store
        .execute("PRAGMA max_page_count = 1")
        .await
        .unwrap();
    let mut large = bed.incoming("large", None);
    large.event.data = vec![b'x'; 900_000].into();
    let error = bed.store.accept(vec![large.clone()]).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused(words) if words.contains("full")),
        "{error}"
    );
    until(&bed.store, |health| *health == Health::Good).await;
    assert_eq!(bed.state(before), State::Ready);
    assert!(
        matches!(
            bed.store.accept(vec![large]).await.unwrap()[0],
            Receipt::Accepted { .. }
        ),
        "what was refused left no trace"
    );
    bed.audit();
}

#[tokio::test]
async fn while_writes_fail_the_overview_says_so() {
    let bed = Bed::new().await;
    let reader = bed.store.reader().unwrap();
    bed.store.execute("PRAGMA query_only = ON").await.unwrap();
    let error = bed
        .store
        .accept(vec![bed.incoming("a", None)])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert!(
        reader
            .overview()
            .unwrap()
            .trouble
            .unwrap()
            .contains("writes fail")
    );
    until(&bed.store, |health| *health == Health::Good).await;
    assert_eq!(reader.overview().unwrap().trouble, None);
}

#[tokio::test]
async fn a_damaged_database_is_refused_with_words_and_not_written() {
    let bed = Bed::new().await;
    for n in 0..50 {
        bed.accept(&n.to_string(), None).await;
    }
    bed.store.close().await;
    let file = bed.dir.path().join("m.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..20_000].fill(0xa5);
    std::fs::write(&file, &bytes).unwrap();
    let outcome = match Store::open(&file, options(&bed.clock)) {
        Err(error) => error.to_string(),
        Ok(store) => store.begin_work(false).await.unwrap_err().to_string(),
    };
    assert!(
        outcome.contains("malformed")
            || outcome.contains("damaged")
            || outcome.contains("not a database"),
        "{outcome}"
    );
}

#[tokio::test]
async fn a_commit_that_answered_with_an_error_is_read_back() {
    let bed = Bed::new().await;
    let sequence = || {
        let connection = connect(&bed.dir.path().join("m.db")).unwrap();
        super::load::commits(&connection).unwrap()
    };
    bed.accept("a", None).await;
    bed.store.close().await;
    let mut writer = Writer::for_test(&bed.dir.path().join("m.db"), &bed.clock);
    assert_eq!(writer.sequence, sequence());
    assert!(!writer.reread_commit(), "nothing was committed since");
    let other = connect(&bed.dir.path().join("m.db")).unwrap();
    other
        .execute(
            "UPDATE counter SET n = n + 1 WHERE path = 0 AND state = 103",
            [],
        )
        .unwrap();
    assert!(writer.reread_commit(), "the commit had reached the disk");
}

#[tokio::test]
async fn the_wal_stays_below_its_cap_while_readers_come_and_go() {
    let bed = Bed::new().await;
    let reader = bed.store.reader().unwrap();
    let wal = bed.dir.path().join("m.db-wal");
    let mut highest = 0;
    let start = Instant::now();
    for round in 0..300 {
        let batch = (0..64)
            .map(|n| {
                let mut incoming = bed.incoming(&format!("{round}-{n}"), None);
                incoming.event.data = vec![b'x'; 8_000].into();
                incoming
            })
            .collect();
        bed.store.accept(batch).await.unwrap();
        reader.overview().unwrap();
        highest = highest.max(std::fs::metadata(&wal).unwrap().len());
    }
    assert!(
        highest <= 64 << 20,
        "{} MiB after {:?}",
        highest >> 20,
        start.elapsed()
    );
}

#[tokio::test]
async fn what_could_not_be_learnt_leaves_no_trace_and_what_waits_for_it_goes_on_later() {
    use crate::queue::model::{Class, Need, Next};
    use crate::record::ledger::{About, Learned};
    let bed = Bed::new().await;
    let id = bed.accept("a", None).await;
    let claim = bed.claim(1).await.remove(0);
    let need = Need {
        system: "crm".into(),
        kind: "contact".into(),
        key: "a@x".into(),
        until: crate::time::Timestamp(i64::MAX),
    };
    let reason = "waits".to_owned();
    bed.settle(&claim, Class::Transient, Next::Wait { need, reason })
        .await;
    bed.clock.advance(Duration::from_secs(1));
    let learned = Learned {
        system: "crm".into(),
        about: About {
            kind: "contact".into(),
            key: "a@x".into(),
        },
        id: Some("9001".into()),
        ..Learned::default()
    };
    bed.store.execute("PRAGMA query_only = ON").await.unwrap();
    let error = bed.store.learn(learned.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert_eq!(bed.state(id), State::Waiting);
    let known = bed
        .store
        .known("crm".into(), "contact".into(), "a@x".into());
    assert_eq!(known.await.unwrap().id, None);
    until(&bed.store, |health| *health == Health::Good).await;
    bed.store.learn(learned).await.unwrap();
    assert_eq!(bed.state(id), State::Ready);
    bed.audit();
}
