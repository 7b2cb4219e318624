//! What carrying a record over costs for each event: a 4 KB order of a WooCommerce shop, read, translated and rendered as
//! the create request of a HubSpot deal, through the presets as shipped. No I/O on either side. The control reads the same
//! bytes with `serde_json` into a `Value`: it could do nothing less.

mod support;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use midwatch::event::expr::Engine;
use midwatch::record::shape::{self, Filling};
use midwatch::record::{read, translate};
use reqwest::Url;
use support::rows::order;
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
    let event = order(1042);
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
