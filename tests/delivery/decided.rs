//! What two sides changed and a person decides: written, through the queue, where the other value is.

use midwatch::config::model::Config;
use midwatch::control::action::{Action, Done, Stands};
use midwatch::control::wire::PeerKind;
use midwatch::control::{Hidden, Offline, Who, pinned};
use midwatch::ids::ReviewId;
use midwatch::queue::model::State;
use midwatch::record::ownership::Policy;

use crate::bed::Bed;
use crate::crm::Crm;
use crate::owned::{owned, rename, rule};
use crate::upsert::{DEALS, accept, config_of};

/// Orders whose name both systems may change, of a shop that can be written, too, or not.
fn manual(crm: &Crm, shop: &Crm, writable: bool) -> Config {
    let update =
        "[systems.shop.records.order.update]\nmethod = \"PATCH\"\nurl = \"/orders/{{ id }}\"\n";
    let keys = format!("url = \"http://{}\"\nprivate = true", shop.receiver.address);
    let paths = format!("{}{DEALS}", if writable { update } else { "" });
    let config = config_of("", &keys, "", crm.receiver.address, &paths);
    let fields = [
        ("name", rule("crm", &[("shop", false)], Policy::Manual)),
        ("total", rule("shop", &[], Policy::Owner)),
    ];
    owned(config, &fields)
}

/// Both changed the name, and the worker ended.
async fn disputed(config: &Config, crm: &Crm, shop: &Crm) -> tempfile::TempDir {
    let held = serde_json::json!({"id": 7001, "number": "1", "name": "Kari C."});
    let order = ("orders".to_owned(), "7001".to_owned(), held);
    shop.held.lock().expect("lock").records.push(order);
    let bed = Bed::start(config.clone()).await;
    accept(&bed, 1, "Kari", 1).await;
    bed.until_delivered(1).await;
    rename(crm, "Karianne");
    accept(&bed, 1, "Kari C.", 2).await;
    bed.until("it is for review", || bed.overview().reviews == 1)
        .await;
    let names: Vec<String> = bed.overview().paths.into_iter().map(|p| p.name).collect();
    assert_eq!(
        names,
        ["deals"],
        "repair paths without traffic are not told"
    );
    bed.end().await
}

/// Decides while no worker runs: what is recorded must not need one.
async fn decide(config: &Config, folder: &tempfile::TempDir, side: Stands) -> Done {
    let mut config = config.clone();
    config.site.database = folder.path().join("m.db");
    config.limits.disk_reserve = 0;
    let who = Who::new(Some("anna".to_owned()), PeerKind::Command, false, |_| None);
    let offline = Offline::open(config, who).await.expect("opened");
    let review = ReviewId(1);
    let action = Action::Decide { review, side };
    let preview = offline.client().preview(action.clone()).await;
    let preview = preview.expect("it can be decided");
    let mut stale = pinned(action.clone(), &preview).expect("pinned");
    stale.high_water = None;
    let refused = offline
        .client()
        .submit(stale)
        .await
        .expect_err("not pinned");
    assert!(refused.text.contains("not previewed"), "{refused}");
    let first = pinned(action.clone(), &preview).expect("pinned");
    let done = offline.client().submit(first).await.expect("decided");
    let again = pinned(action.clone(), &preview).expect("pinned");
    for refused in [
        offline.client().submit(again).await.expect_err("decided"),
        offline.client().preview(action).await.expect_err("decided"),
    ] {
        assert!(
            refused.text.contains("was decided already by anna"),
            "{refused}"
        );
    }
    offline.close().await;
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_decides_is_written_where_the_other_value_is() {
    let value = || Stands::Value(Hidden::from("Kari D.".to_owned()));
    for (side, stands, at_crm, at_shop) in [
        (Stands::Ours, "Kari C.", true, false),
        (Stands::Theirs, "Karianne", false, true),
        (value(), "Kari D.", true, true),
    ] {
        let (crm, shop) = (Crm::start().await, Crm::start().await);
        let config = manual(&crm, &shop, true);
        let folder = disputed(&config, &crm, &shop).await;
        let before = (crm.seen("PATCH"), shop.seen("PATCH"));
        let done = decide(&config, &folder, side.clone()).await;
        let first = done.delivery.expect("it is carried");
        let bed = Bed::open(folder, config, midwatch::time::Clock::System).await;
        let carriers = 1 + u64::from(at_crm && at_shop);
        bed.until_delivered(1 + carriers).await;
        assert_eq!(crm.only("orders", "1")["name"], stands, "{side:?}");
        let held = shop.held.lock().expect("lock").records[0].2["name"].clone();
        assert_eq!(held, stands, "{side:?}");
        let after = (crm.seen("PATCH"), shop.seen("PATCH"));
        let written = (after.0 > before.0, after.1 > before.1);
        assert_eq!(written, (at_crm, at_shop), "{side:?}");
        for system in ["crm", "shop"] {
            let known = bed.store.known(system.into(), "order".into(), "1".into());
            let known = known.await.expect("known");
            let agreed = known
                .fields
                .get("name")
                .and_then(|name| name.agreed.clone());
            if system == "crm" || at_shop {
                assert_eq!(
                    agreed.expect("agreed").0,
                    format!("\"{stands}\""),
                    "{side:?}"
                );
            }
        }
        let reader = bed.store.reader().expect("reader");
        let review = reader.review(ReviewId(1)).expect("read").expect("kept");
        let decided = review.decided.expect("decided");
        assert!(decided.actor.starts_with("anna"), "{decided:?}");
        assert_eq!(decided.repair, Some(first.event()));
        let detail = bed.detail(first);
        let path = if at_crm && !at_shop {
            "repair/crm.order"
        } else {
            "repair/shop.order"
        };
        assert_eq!(detail.row.path, path, "{side:?}");
        let trace = reader.trace(first.event()).expect("read").expect("kept");
        assert!(trace.nodes.len() > 1, "it has a cause: {trace:?}");
        // The source tells what it was given: that is no news, and asks nobody anew.
        let again = accept(&bed, 1, stands, 3).await;
        bed.until("it is settled", || bed.state(again).is_settled())
            .await;
        assert_eq!(crm.only("orders", "1")["name"], stands, "{side:?}");
        assert_eq!(bed.overview().reviews, 0, "{side:?}");
        assert_eq!(crm.seen("PATCH"), after.0, "{side:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_back_is_remembered() {
    let (crm, shop) = (Crm::start().await, Crm::start().await);
    let config = manual(&crm, &shop, false);
    let folder = disputed(&config, &crm, &shop).await;
    let done = decide(&config, &folder, Stands::Theirs).await;
    assert_eq!(done.delivery, None);
    assert!(
        done.text.contains("shop cannot be given it"),
        "{}",
        done.text
    );
    let bed = Bed::open(folder, config, midwatch::time::Clock::System).await;
    let again = accept(&bed, 1, "Kari C.", 3).await;
    bed.until("it is settled", || bed.state(again).is_settled())
        .await;
    assert_eq!(crm.only("orders", "1")["name"], "Karianne");
    assert_eq!(bed.overview().reviews, 0);
    // What it says anew is.
    let news = accept(&bed, 1, "Kari E.", 4).await;
    bed.until_state(news, State::Delivered).await;
    assert_eq!(crm.only("orders", "1")["name"], "Kari E.");
}
