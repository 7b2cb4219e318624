//! What a vendor kept while nobody listened, on a real loopback connection.

use super::*;
use crate::event::hook;
use crate::ingest::Intake;
use crate::source::changed::OVERLAP;
use crate::source::missed::why;
use crate::store::Receipt;
use crate::store::view::{BackfillRow, Severity};

const HOUR: Duration = Duration::from_secs(3_600);

const EVENTS: &str = r#"
hooks = { recipe = "stripe", secrets = ["file:x"], exclude = ["/pending_webhooks"] }
missed = { events = "event", horizon = "30d", silence = "6h" }
[systems.shop.records.event]
id = "/id"
key = "/id"
list = { url = "/events", answer = "/data", paging = { last_id = "starting_after", more = "/has_more" }, since = "created[gte]={{ since_seconds }}" }
"#;

const RECORDS: &str = r#"
hooks = { recipe = "woocommerce", secrets = ["file:x"], watch = "1s" }
webhooks = { list = { url = "/webhooks", answer = "" }, id = "/id", address = "/delivery_url", state = "/status", enabled = "active" }
missed = { records = ["order"] }
"#;

/// An event of the vendor's that happened so many minutes ago, as it lists it.
fn listed(id: &str, kind: &str, minutes: u64) -> (String, String) {
    let at = (NOW - Duration::from_secs(60 * minutes)).0 / 1_000;
    let json = format!(
        r#"{{"id":"{id}","type":"{kind}","created":{at},"pending_webhooks":0,"data":{{"object":{{"id":"1042"}}}}}}"#
    );
    (id.to_owned(), json)
}

/// The same as its webhook brings it.
fn sent(event: &(String, String)) -> String {
    let body = event
        .1
        .replace(r#""pending_webhooks":0"#, r#""pending_webhooks":1"#);
    body.replace("\":", "\": ").replace(',', ",\n  ")
}

fn order(number: u32, modified: &str, total: &str) -> String {
    format!(r#"{{"id":{number},"number":"{number}","modified":"{modified}","total":"{total}"}}"#)
}

impl Bed {
    /// The vendor calls, and is heard.
    async fn call(&self, topic: &str, body: &str) -> Receipt {
        let config = self.live.borrow().config.clone();
        let mapping = &config.systems["shop"].hooks.as_ref().unwrap().mapping;
        let headers = [("x-wc-webhook-topic", topic.as_bytes())];
        let json = Some("application/json");
        let body = body.to_owned().into();
        let mapped = hook::map(
            &Engine::new(),
            mapping,
            "shop",
            headers.into_iter(),
            json,
            &body,
        );
        let intake = Intake::new(self.store.clone(), self.live.subscribe());
        intake.admit_hook(mapped).await.unwrap().unwrap()
    }

    async fn backfill(&self, wanted: impl Fn(&BackfillRow) -> bool) -> BackfillRow {
        self.until(async || {
            let rows = self.store.backfills().await.unwrap();
            rows.into_iter().find(&wanted)
        })
        .await
    }

    fn ids(&self) -> Vec<String> {
        self.deliveries()
            .into_iter()
            .map(|row| row.event_id)
            .collect()
    }
}

fn is_whole(row: &BackfillRow) -> bool {
    row.ended.is_some()
}

#[tokio::test]
async fn what_happened_while_the_worker_was_away_comes_in_once_in_the_order_in_which_it_happened() {
    let events = [
        listed("evt_5", "order.paid", 1),
        listed("evt_4", "balance.available", 2),
        listed("evt_3", "order.updated", 20),
        listed("evt_2", "order.created", 63),
        listed("evt_1", "order.created", 90),
    ];
    let known = events[3].clone();
    let vendor = Vendor {
        events: events.to_vec(),
        ..Vendor::default()
    };
    let bed = Bed::new(EVENTS, vendor).await;
    assert!(matches!(
        bed.call("", &sent(&known)).await,
        Receipt::Accepted { .. }
    ));
    let _source = bed.start_after(Some(NOW - HOUR));
    let row = bed.backfill(is_whole).await;
    assert_eq!(
        (row.kind.as_str(), row.why.as_str()),
        ("event", why::DOWNTIME)
    );
    assert_eq!((row.since, row.error), (NOW - HOUR - OVERLAP, None));
    // The list goes further back than it was asked for: what happened before the gap is left.
    assert_eq!((row.seen, row.new), (5, 2));
    assert_eq!(bed.ids(), ["evt_2", "evt_3", "evt_5"]);
    let asked = bed.vendor.lock().unwrap().asked.clone();
    let since = (row.since.0 / 1_000).to_string();
    assert!(
        asked[0].contains(&format!("gte]={since}"))
            || asked[0].contains(&format!("gte%5D={since}")),
        "{asked:?}"
    );
    // The vendor tries again what it could not deliver.
    let late = bed.call("", &sent(&events[0])).await;
    assert!(matches!(late, Receipt::Duplicate { .. }), "{late:?}");
    let log = bed.log();
    let line = log.last().unwrap();
    assert!(
        line.contains("5 of event listed, 2 new, 1 of types that no path takes"),
        "{line}"
    );
}

#[tokio::test]
async fn a_short_restart_and_a_first_start_ask_for_nothing() {
    for away in [None, Some(NOW - Duration::from_secs(299))] {
        let bed = Bed::new(EVENTS, Vendor::default()).await;
        let source = bed.start_after(away);
        // A gap by hand is asked for, which shows that the loop has looked.
        let gap = super::super::missed::gap(
            &bed.live.borrow().config.systems["shop"],
            why::ASKED,
            NOW,
            NOW,
        );
        bed.store.open_backfills(gap, None).await.unwrap();
        source.backfill();
        bed.backfill(is_whole).await;
        let all = bed.store.reader().unwrap().newest_backfills(9).unwrap();
        assert_eq!(all.len(), 1, "{away:?}");
    }
}

#[tokio::test]
async fn nothing_comes_in_from_before_live_from_and_what_is_beyond_the_horizon_is_said() {
    let vendor = Vendor {
        events: vec![
            listed("evt_3", "order.paid", 10),
            listed("evt_2", "order.paid", 40),
            listed("evt_1", "order.paid", 70),
        ],
        ..Vendor::default()
    };
    let bed = Bed::new(EVENTS, vendor).await;
    let runtime = Arc::clone(&bed.live.borrow());
    let mut config = (*runtime.config).clone();
    config.site.live_from = Some(NOW - HOUR);
    let numbers = bed.store.configure(&config).await.unwrap();
    (bed.live).send_replace(Arc::new(Runtime::new(Arc::new(config), numbers)));
    let _source = bed.start_after(Some(NOW - HOUR * 900));
    let row = bed.backfill(is_whole).await;
    assert_eq!((row.new, row.error), (2, None));
    assert_eq!(bed.ids(), ["evt_2", "evt_3"]);
    let bed = Bed::new(EVENTS, Vendor::default()).await;
    let _source = bed.start_after(Some(NOW - HOUR * 900));
    let row = bed.backfill(is_whole).await;
    assert!(
        row.error
            .unwrap()
            .contains("cannot be had: the vendor lists 30d back")
    );
    let rows = bed.store.reader().unwrap().log(None, 50).unwrap();
    assert!(
        rows.iter()
            .any(|row| row.kind == "backfill" && row.severity == Severity::Critical)
    );
}

#[tokio::test]
async fn a_listing_that_fails_is_told_once_and_asked_again_from_where_it_began() {
    let vendor = Vendor {
        events: vec![listed("evt_1", "order.paid", 10)],
        // All that one listing tries, twice.
        broken: 8,
        ..Vendor::default()
    };
    let bed = Bed::new(EVENTS, vendor).await;
    let _source = bed.start_after(Some(NOW - HOUR));
    let failed = bed.backfill(|row| row.error.is_some()).await;
    assert_eq!((failed.ended, failed.since), (None, NOW - HOUR - OVERLAP));
    // Two seconds, and four.
    let row = bed.backfill(is_whole).await;
    assert_eq!((row.since, row.new, row.error), (failed.since, 1, None));
    assert_eq!(bed.ids(), ["evt_1"]);
    let told = bed
        .log()
        .iter()
        .filter(|line| line.contains("fails, it is asked again"))
        .count();
    assert_eq!(told, 1, "{:?}", bed.log());
}

#[tokio::test]
async fn what_was_under_way_when_the_worker_died_is_asked_for_by_the_next_one() {
    let vendor = Vendor {
        events: vec![listed("evt_1", "order.paid", 10)],
        status: Some(500),
        ..Vendor::default()
    };
    let bed = Bed::new(EVENTS, vendor).await;
    {
        let _source = bed.start_after(Some(NOW - HOUR));
        bed.backfill(|row| row.error.is_some()).await;
        bed.stop.cancel();
    }
    bed.vendor.lock().unwrap().status = None;
    let bed = Bed {
        stop: CancellationToken::new(),
        ..bed
    };
    let _source = bed.start();
    let row = bed.backfill(is_whole).await;
    assert_eq!((row.since, row.new), (NOW - HOUR - OVERLAP, 1));
}

#[tokio::test]
async fn a_disabled_webhook_is_made_up_for_when_it_is_found_and_when_it_calls_again() {
    let before = order(1041, "2026-09-21T10:00:00Z", "100.00");
    let vendor = Vendor {
        hooks: vec![hook_of("disabled")],
        orders: vec![
            before.clone(),
            order(1042, "2026-09-21T12:00:00Z", "200.00"),
            order(1043, "2026-08-01T12:00:00Z", "300.00"),
        ],
        ..Vendor::default()
    };
    let bed = Bed::new(RECORDS, vendor).await;
    let called = Timestamp::parse_rfc3339("2026-09-21T10:00:10Z").unwrap();
    bed.clock.set(called);
    bed.call("order.created", &before).await;
    bed.clock.set(called + HOUR * 3);
    let _source = bed.start();
    let first = bed.backfill(is_whole).await;
    assert_eq!(
        (first.why.as_str(), first.kind.as_str()),
        (why::DISABLED, "order")
    );
    assert_eq!(
        first.since,
        Timestamp::parse_rfc3339("2026-09-21T09:55:00Z").unwrap()
    );
    // 1041 was told, 1043 did not change since.
    assert_eq!((first.seen, first.new), (3, 1));
    let kinds: Vec<String> = bed
        .deliveries()
        .iter()
        .map(|row| row.kind.clone())
        .collect();
    assert_eq!(kinds, ["order.created", "order.changed"]);
    bed.clock.advance(HOUR);
    {
        let mut vendor = bed.vendor.lock().unwrap();
        vendor.orders[2] = order(1043, "2026-09-21T13:30:00Z", "300.00");
        // The same second, other content: it is not what was told.
        vendor.orders[0] = order(1041, "2026-09-21T10:00:00Z", "101.00");
        vendor.hooks = vec![hook_of("active")];
    }
    let second = bed
        .backfill(|row| is_whole(row) && row.id != first.id)
        .await;
    assert_eq!((second.since, second.new), (first.started - OVERLAP, 1));
    assert_eq!(bed.deliveries().len(), 3);
}

fn hook_of(state: &str) -> (u32, String, String) {
    super::hook(7, OURS, state)
}

#[tokio::test]
async fn a_sender_that_is_silent_for_too_long_is_asked_and_what_it_did_not_tell_is_a_warning() {
    let vendor = Vendor {
        events: vec![listed("evt_9", "order.paid", 10)],
        ..Vendor::default()
    };
    let bed = Bed::new(EVENTS, vendor).await;
    bed.clock.set(NOW - HOUR * 7);
    bed.call("", &sent(&listed("evt_1", "order.paid", 420)))
        .await;
    bed.clock.set(NOW);
    let _source = bed.start();
    let row = bed.backfill(is_whole).await;
    assert_eq!((row.why.as_str(), row.new), (why::SILENCE, 1));
    let rows = bed.store.reader().unwrap().log(None, 50).unwrap();
    let line = rows.iter().find(|row| row.kind == "backfill").unwrap();
    assert!(
        line.severity == Severity::Warning && line.text.contains("its webhook did not tell"),
        "{line:?}"
    );
}
