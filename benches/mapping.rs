//! What carrying a record over costs for each event: a 4 KB order of a WooCommerce shop, read, translated and rendered as
//! the create request of a HubSpot deal, through the presets as shipped. No I/O on either side. The control reads the same
//! bytes with `serde_json` into a `Value`: it could do nothing less.

mod support;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use midwatch::event::expr::Engine;
use midwatch::event::{Event, Origin};
use midwatch::record::shape::{self, Filling};
use midwatch::record::{read, translate};
use reqwest::Url;
use support::{at_most, header, median, note, rate, rounds};

const SPAN: Duration = Duration::from_millis(500);

/// Most microseconds for one event: a thousand events a second leave nine tenths of a core to everything else.
const LIMIT: f64 = 100.0;

const CONFIG: &str = r#"
[site]
name = "bench"
[systems.shop]
preset = "woocommerce"
url = "https://shop.example"
auth = { basic = ["env:USER", "env:PASSWORD"] }
[systems.crm]
preset = "hubspot"
auth = { bearer = "env:TOKEN" }
[systems.crm.records.order]
fields.status = { at = "/properties/dealstage", values = { processing = "paid_stage", completed = "closedwon" } }
[paths.deals]
route = "shop.order -> crm.order"
events = ["order.*"]
"#;

fn main() {
    let config = support::rows::config(CONFIG, Path::new("midwatch.toml"));
    let (shop, crm) = (&config.systems["shop"], &config.systems["crm"]);
    let path = config.path("deals").expect("the path");
    let mapping = path.mapping.as_ref().expect("a mapping");
    let (from, to) = (&shop.records["order"], &crm.records["order"]);
    let create = to.create.as_ref().expect("a create shape");
    let base = Url::parse("https://api.hubapi.com").expect("a URL");
    let engine = Engine::new();
    let event = order();
    let ours = || {
        let records = read::from_event(&shop.records, "order", &event, &engine).expect("read");
        let record = translate(&records[0], from, to, mapping, &event, &engine).expect("carried");
        let with = Filling {
            key: record.key.as_deref(),
            record: Some(&record),
            ..Filling::default()
        };
        shape::request(&base, to, create, &with, &engine).expect("rendered")
    };
    let request = ours();
    let body = String::from_utf8_lossy(&request.body).into_owned();
    assert!(
        body.contains("\"paid_stage\"") && body.contains("\"1290.50\""),
        "{body}"
    );
    let control = || -> serde_json::Value { serde_json::from_slice(&event.data).expect("JSON") };

    header("mapping");
    note("an order", "bytes", event.data.len() as f64);
    let (mut mine, mut theirs, mut ratios) = (vec![], vec![], vec![]);
    for _ in 0..rounds() {
        let one = 1e6 / rate(SPAN, || usize::from(!black_box(ours()).body.is_empty()));
        let other = 1e6 / rate(SPAN, || usize::from(black_box(control()).is_object()));
        mine.push(one);
        theirs.push(other);
        ratios.push(one / other);
    }
    at_most(
        "read + translate + request, an event",
        "us",
        LIMIT,
        median(mine),
    );
    note("the same bytes read by serde_json", "us", median(theirs));
    note("times what reading alone costs", "x", median(ratios));
}

/// An order as WooCommerce sends it, about 4 KB.
fn order() -> Event {
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
        r#"{{"id":1042,"parent_id":0,"number":"1042","order_key":"wc_order_58d2d042d1d","created_via":"checkout","version":"9.1.0","status":"processing","currency":"NOK","date_created":"2026-11-23T20:00:00","date_created_gmt":"2026-11-23T19:00:00","date_modified":"2026-11-23T20:00:05","date_modified_gmt":"2026-11-23T19:00:05","discount_total":"0.00","discount_tax":"0.00","shipping_total":"99.00","shipping_tax":"24.75","cart_tax":"193.58","total":"1290.50","total_tax":"218.33","prices_include_tax":false,"customer_id":26,"customer_ip_address":"192.0.2.7","customer_user_agent":"Mozilla/5.0","customer_note":"Ring twice","billing":{address},"shipping":{address},"payment_method":"stripe","payment_method_title":"Card","transaction_id":"pi_3OZ","date_paid_gmt":"2026-11-23T19:00:04","date_completed":null,"cart_hash":"815","meta_data":[{{"id":13106,"key":"_download_permissions_granted","value":"yes"}}],"line_items":[{lines}],"tax_lines":[],"shipping_lines":[{{"id":318,"method_title":"Flat rate","method_id":"flat_rate","total":"99.00","total_tax":"24.75","taxes":[]}}],"fee_lines":[],"coupon_lines":[],"refunds":[]}}"#
    );
    Event {
        source: "shop".into(),
        id: "1".into(),
        kind: "order.created".into(),
        subject: Some("1042".into()),
        time: None,
        content_type: Some("application/json".into()),
        idempotency_key: None,
        schema_version: None,
        extensions: vec![],
        data: Bytes::from(data),
        origin: Origin::Hook,
    }
}
