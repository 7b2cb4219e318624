//! Probing the stand-ins as an operator would, with each preset's own probe request and lookup.

use std::sync::Arc;

use midwatch::control::action::Action;
use midwatch::control::pinned;
use midwatch::remote::probe::{Level, ProbeReport, What};
use midwatch::sandbox::Faults;
use midwatch::sandbox::crm::Crm;
use midwatch::sandbox::payments::Payments;
use midwatch::sandbox::server::Server;
use midwatch::sandbox::website::Website;

use crate::place::{Place, stand_in};

fn config(shop: &Server, crm: &Server, payments: &Server) -> String {
    format!(
        r#"
[systems.shop]
preset = "woocommerce"
url = "http://{}"
auth = {{ basic = ["file:woo_key", "file:woo_secret"] }}
hooks = {{ secrets = ["file:woo_hook"] }}
private = true
[systems.crm]
preset = "hubspot"
url = "http://{}"
auth = {{ bearer = "file:hubspot_token" }}
private = true
[systems.stripe]
preset = "stripe"
url = "http://{}"
auth = {{ bearer = "file:stripe_key" }}
private = true
"#,
        shop.address(),
        crm.address(),
        payments.address(),
    )
}

async fn probe(place: &Place, system: &str) -> ProbeReport {
    let client = place.worker.client();
    let system = system.to_owned();
    let action = Action::Probe { system };
    let preview = client.preview(action.clone()).await.expect("preview");
    let submission = pinned(action, &preview).expect("can be done");
    let done = client.submit(submission).await.expect("done");
    let report = done.report.expect("a report");
    let report: ProbeReport = serde_json::from_value(report).expect("as documented");
    assert_eq!(done.text, report.text());
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_preset_is_well_at_its_vendor_and_says_when_it_is_not() {
    let shop = stand_in(Arc::new(Website::default())).await;
    let crm = stand_in(Arc::new(Crm::default())).await;
    let payments = stand_in(Arc::new(Payments::default())).await;
    let place = Place::open(&config(&shop, &crm, &payments)).await;
    for system in ["shop", "crm", "stripe"] {
        let report = probe(&place, system).await;
        for what in [
            What::Address,
            What::Connection,
            What::Credentials,
            What::Clock,
            What::Lookup,
        ] {
            let item = report.item(what).expect("an item");
            assert_eq!(item.level, Level::Ok, "{}", report.text());
        }
        let address = "https://nordlys.example/_midwatch/hooks/shop";
        let ours = (system == "shop").then_some(address);
        assert_eq!(report.ingest.as_deref(), ours);
    }
    crm.set(Faults {
        locked: true,
        ..Faults::default()
    });
    let report = probe(&place, "crm").await;
    assert_eq!(report.level, Level::Bad, "{}", report.text());
    let credentials = report.item(What::Credentials).expect("an item");
    assert_eq!(credentials.level, Level::Bad, "{}", report.text());
    place.close().await;
}
