//! Stores and the rows they are filled with: 500-byte events, distinct and repeatable.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use midwatch::config::model::Config;
use midwatch::event::{Event, Origin};
use midwatch::ids::PathId;
use midwatch::store::view::{Pause, Severity};
use midwatch::store::{Incoming, LogEntry, Options, Route, Store};
use midwatch::time::Clock;
use tokio::runtime::Runtime;

/// The configuration of `text`, as if it stood in `file`.
pub fn config(text: &str, file: &Path) -> Config {
    match midwatch::config::parse(text, file) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors:?}"),
    }
}

/// The least configuration: one path that nothing is sent on.
pub fn plain() -> Config {
    let text = "[site]\nname = \"bench\"\n[systems.a]\nurl = \"http://127.0.0.1:1\"\nprivate = true\n[paths.p]\nroute = \"a -> a\"\nevents = [\"*\"]\n";
    config(text, Path::new("midwatch.toml"))
}

/// Opens a store for `config`; its first path's number with it.
pub fn open(runtime: &Runtime, file: &Path, config: &Config) -> (Store, PathId) {
    let options = Options {
        clock: Clock::System,
        disk_reserve: 0,
        dedupe: Duration::from_secs(30 * 86_400),
    };
    let store = Store::open(file, options).expect("a store");
    let path = runtime.block_on(async {
        let paths = store.configure(config).await.expect("configured");
        store.begin_work(false).await.expect("begun");
        paths[0].1
    });
    (store, path)
}

/// A JSON body of 500 bytes.
pub fn payload(n: u64) -> Bytes {
    let mut text = format!("{{\"order\":{n},\"lines\":\"");
    while text.len() < 497 {
        text.push('x');
    }
    text.push_str("\"}");
    Bytes::from(text)
}

/// A random-looking but repeatable 16 bytes.
pub fn scatter(n: u64) -> [u8; 16] {
    let a = n
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (n ^ 0xdead_beef)
        .wrapping_mul(0x94d0_49bb_1331_11eb)
        .rotate_left(29);
    let mut out = [0; 16];
    out[..8].copy_from_slice(&a.to_le_bytes());
    out[8..].copy_from_slice(&b.to_le_bytes());
    out
}

/// Event `n`, routed to `path`.
pub fn incoming(n: u64, path: PathId) -> Incoming {
    Incoming {
        event: Event {
            source: "shop".into(),
            id: format!("evt_{n:016x}"),
            kind: "order.created".into(),
            subject: Some(n.to_string()),
            time: None,
            content_type: Some("application/json".into()),
            idempotency_key: None,
            schema_version: None,
            extensions: vec![],
            data: payload(n),
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
        digest: scatter(n),
        about: Vec::new(),
    }
}

/// Fills a store with `count` ready deliveries.
pub fn fill(runtime: &Runtime, store: &Store, path: PathId, from: u64, count: u64) {
    for start in (from..from + count).step_by(1000) {
        let batch = (start..(start + 1000).min(from + count))
            .map(|n| incoming(n, path))
            .collect();
        runtime.block_on(store.accept(batch)).expect("filled");
    }
}

/// A person's pause, and the line that says so.
pub fn pause() -> (Pause, LogEntry) {
    let pause = Pause {
        by_person: true,
        by: "bench".into(),
        reason: "measuring".into(),
        since: Clock::System.now(),
    };
    let line = LogEntry {
        severity: Severity::Info,
        actor: None,
        kind: "pause",
        path: None,
        delivery: None,
        text: "paused".into(),
    };
    (pause, line)
}

/// An order of that number as WooCommerce sends it, about 4 KB.
pub fn order(number: u64) -> Event {
    let address = r#"{"first_name":"Åse","last_name":"Berg","company":"","address_1":"Storgata 1","address_2":"","city":"Bergen","state":"","postcode":"5003","country":"NO","email":"Ase.Berg@example.com","phone":"+47 55 00 00 00"}"#;
    let mut lines = String::new();
    for n in 0..7 {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            lines,
            r#"{comma}{{"id":{n},"name":"Coffee, whole beans {n}","product_id":{},"variation_id":0,"quantity":2,"tax_class":"","subtotal":"184.36","subtotal_tax":"27.65","total":"184.36","total_tax":"27.65","taxes":[{{"id":1,"total":"27.65","subtotal":"27.65"}}],"meta_data":[{{"id":9{n},"key":"pa_grind","value":"whole"}}],"sku":"BEAN-{n}","price":92.18,"parent_name":null}}"#,
            100 + n
        );
    }
    let data = format!(
        r#"{{"id":{number},"parent_id":0,"number":"{number}","order_key":"wc_order_58d2d042d1d","created_via":"checkout","version":"9.1.0","status":"processing","currency":"NOK","date_created":"2026-11-23T20:00:00","date_created_gmt":"2026-11-23T19:00:00","date_modified":"2026-11-23T20:00:05","date_modified_gmt":"2026-11-23T19:00:05","discount_total":"0.00","discount_tax":"0.00","shipping_total":"99.00","shipping_tax":"24.75","cart_tax":"193.58","total":"1290.50","total_tax":"218.33","prices_include_tax":false,"customer_id":26,"customer_ip_address":"192.0.2.7","customer_user_agent":"Mozilla/5.0","customer_note":"Ring twice","billing":{address},"shipping":{address},"payment_method":"stripe","payment_method_title":"Card","transaction_id":"pi_3OZ","date_paid_gmt":"2026-11-23T19:00:04","date_completed":null,"cart_hash":"815","meta_data":[{{"id":13106,"key":"_download_permissions_granted","value":"yes"}}],"line_items":[{lines}],"tax_lines":[],"shipping_lines":[{{"id":318,"method_title":"Flat rate","method_id":"flat_rate","total":"99.00","total_tax":"24.75","taxes":[]}}],"fee_lines":[],"coupon_lines":[],"refunds":[]}}"#
    );
    Event {
        source: "shop".into(),
        id: number.to_string(),
        kind: "order.created".into(),
        subject: Some(number.to_string()),
        time: None,
        content_type: Some("application/json".into()),
        idempotency_key: None,
        schema_version: None,
        extensions: vec![],
        data: Bytes::from(data),
        origin: Origin::Hook,
    }
}
