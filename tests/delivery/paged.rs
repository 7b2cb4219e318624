//! From a rule to a page that arrives: incidents, escalation and channels, with real receivers.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use midwatch::config::model::Config;
use midwatch::http::Outbound;
use midwatch::incident::{self, Act, Incident, PageState, Stage};
use midwatch::time::{Clock, Timestamp};
use serde_json::Value;

use crate::bed::{Answer, Bed, Receiver, config};

/// A Thursday noon.
const NOON: Timestamp = Timestamp(1_795_690_800_000);

fn secret(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = folder.path().join(name);
    let mut made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .unwrap();
    made.write_all(text.as_bytes()).unwrap();
    format!("file:{}", file.display())
}

/// One path to a CRM, and people who are told over `pages`.
fn house(folder: &tempfile::TempDir, crm: &Receiver, pages: &Receiver) -> Config {
    let at = pages.address;
    let topic = secret(folder, "topic", &format!("http://{at}/ntfy/anna-x7"));
    let hook = secret(folder, "hook", &format!("http://{at}/hook/anna"));
    let key = secret(folder, "key", "R0UT1NGKEY");
    config(
        crm.address,
        "",
        &format!(
            "[people]\nanna = {{ ntfy = \"{topic}\", webhook = \"{hook}\", private = true }}\n\
             [channels.pagerduty.shop]\nkey = \"{key}\"\nurl = \"http://{at}/pd\"\nprivate = true\n\
             [escalation.shop]\ncritical = [{{ tell = \"anna,pagerduty:shop\", repeat = \"5m\" }}]\n\
             [paths.crm]\nroute = \"shop -> crm\"\nevents = [\"*\"]\nurl = \"/in\"\nescalation = \"shop\"\n\
             schedule = [\"0\", \"0\", \"0\", \"0\", \"1h\", \"1h\"]\nbreaker.min = 1000\n"
        ),
    )
}

fn watch(bed: &Bed) {
    let outbound = Outbound::new(bed.live.subscribe());
    incident::spawn(
        bed.store.clone(),
        bed.live.subscribe(),
        outbound,
        bed.stop.clone(),
    );
}

fn incidents(bed: &Bed) -> Vec<Incident> {
    let reader = bed.store.reader().expect("reader");
    let mut all = reader.incidents(10).expect("read");
    all.reverse();
    all
}

fn told(pages: &Receiver, url: &str) -> Vec<Value> {
    let seen = pages.seen();
    let of = seen.iter().filter(|seen| seen.url == url);
    of.map(|seen| serde_json::from_str(&seen.body).expect("JSON"))
        .collect()
}

async fn act(bed: &Bed, what: &Act) {
    let incident = incidents(bed).remove(0);
    let now = bed.store.clock().now();
    let (after, line) =
        incident::act(&incident, what, "anna", Duration::from_secs(1_800), now).expect("possible");
    let kept = bed
        .store
        .keep_incident(after, vec![line], Vec::new(), Vec::new(), None);
    kept.await.expect("kept").expect("nobody else changed it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_taken_and_called_over_to_those_who_were_told() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let crm = Receiver::start(move |_| {
        if down.load(Ordering::SeqCst) {
            Answer::status(503)
        } else {
            Answer::ok()
        }
    })
    .await;
    let pages = Receiver::start(|_| Answer::status(202)).await;
    let secrets = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOON);
    let bed = Bed::start_at(house(&secrets, &crm, &pages), clock.clone()).await;
    watch(&bed);
    bed.accept("1", "{}").await;
    bed.until("an incident and its pages", || {
        told(&pages, "/ntfy/").len() == 1 && told(&pages, "/pd").len() == 1
    })
    .await;
    let incident = incidents(&bed).remove(0);
    assert_eq!(
        (incident.cause.as_str(), incident.stage),
        ("system:crm", Stage::Firing)
    );
    let ntfy = told(&pages, "/ntfy/").remove(0);
    assert_eq!(ntfy["topic"], "anna-x7");
    assert_eq!(ntfy["priority"], 5);
    let title = ntfy["title"].as_str().unwrap();
    assert!(
        title.contains("#1 CRITICAL") && title.contains("1 waits on crm"),
        "{title}"
    );
    let trigger = told(&pages, "/pd").remove(0);
    assert_eq!(trigger["routing_key"], "R0UT1NGKEY");
    assert_eq!(trigger["event_action"], "trigger");

    // Nobody takes it: five minutes later it is told again.
    clock.advance(Duration::from_secs(301));
    bed.until("the repetition", || told(&pages, "/ntfy/").len() == 2)
        .await;
    act(&bed, &Act::Ack).await;
    clock.advance(Duration::from_secs(301));
    is_down.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(3_600));
    bed.accept("2", "{}").await;
    bed.until_delivered(6).await;
    bed.until("calm", || incidents(&bed)[0].calm.is_some())
        .await;
    clock.advance(Duration::from_secs(301));
    bed.until("the end is told", || {
        told(&pages, "/pd")
            .iter()
            .any(|one| one["event_action"] == "resolve")
    })
    .await;
    assert_eq!(incidents(&bed)[0].stage, Stage::Resolved);
    let resolve = told(&pages, "/pd").pop().unwrap();
    assert_eq!(resolve["dedup_key"], trigger["dedup_key"]);
    bed.until("anna hears of it, too", || {
        told(&pages, "/ntfy/")
            .iter()
            .any(|one| one["priority"] == 3)
    })
    .await;
    // A topic and a key are nowhere in the database.
    let reader = bed.store.reader().unwrap();
    let pages = || reader.pages_of(incident.id).unwrap();
    bed.until("every page has arrived", || {
        pages().iter().all(|page| page.state == PageState::Arrived)
    })
    .await;
    let detail = reader.incident(incident.id).unwrap().unwrap();
    for page in &detail.pages {
        let kept = reader.delivery(page.delivery).unwrap().unwrap();
        let kept = format!(
            "{kept:?}{}",
            String::from_utf8_lossy(&kept.data.clone().unwrap())
        );
        assert!(
            !kept.contains("anna-x7") && !kept.contains("R0UT1NGKEY"),
            "{kept}"
        );
    }
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_fails_is_replaced_and_a_page_survives_the_worker() {
    let crm = Receiver::start(|_| Answer::status(503)).await;
    // Nothing arrives over the first channel.
    let pages = Receiver::start(|seen| match seen.url.as_str() {
        "/ntfy/" => Answer::status(500),
        _ => Answer::ok(),
    })
    .await;
    let secrets = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOON);
    let config = house(&secrets, &crm, &pages);
    let bed = Bed::start_at(config.clone(), clock.clone()).await;
    watch(&bed);
    bed.accept("1", "{}").await;
    bed.until("the first try", || told(&pages, "/ntfy/").len() == 1)
        .await;
    assert!(told(&pages, "/hook/anna").is_empty());
    // The worker dies with the page on its way; the next one goes on with the same page, and with its stand-in.
    let folder = bed.end().await;
    clock.advance(Duration::from_secs(61));
    let bed = Bed::open(folder, config, clock.clone()).await;
    watch(&bed);
    bed.until("the other channel", || {
        told(&pages, "/hook/anna").len() == 1
    })
    .await;
    bed.until("the page itself", || told(&pages, "/ntfy/").len() >= 2)
        .await;
    let hook = told(&pages, "/hook/anna").remove(0);
    assert_eq!(hook["incident"], 1);
    assert!(
        hook["text"].as_str().unwrap().contains("1 waits on crm"),
        "{hook}"
    );
    let reader = bed.store.reader().unwrap();
    let detail = reader.incident(incidents(&bed)[0].id).unwrap().unwrap();
    let instead = detail.pages.iter().find(|page| page.instead_of.is_some());
    assert_eq!(instead.unwrap().channel, "webhook:anna");
    bed.end().await;
}
