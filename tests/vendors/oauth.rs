//! The CRM with tokens that expire, and refresh tokens that rotate: deliveries go on across renewals, cut answers and killed
//! workers, and nothing is lost, dead or twice.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use midwatch::config::live::Runtime;
use midwatch::config::model::Config;
use midwatch::http::{Outbound, oauth};
use midwatch::queue::model::{Class, State};
use midwatch::sandbox::Faults;
use midwatch::sandbox::crm::Crm;
use midwatch::sandbox::oauth::{CODE, Tokens};
use midwatch::sandbox::server::Server;
use midwatch::store::Reader;
use midwatch::store::view::AttemptRow;
use tokio::sync::watch;

use crate::crm::{Town, config};
use crate::place::{PATIENCE, Place, cuts, furnish};

/// A CRM whose access tokens are good for `seconds`.
fn crm(seconds: u64) -> Crm {
    Crm::default().with_tokens(Tokens::new(Duration::from_secs(seconds)))
}

/// How the configuration says it.
fn auth(crm: &Server, grant: &str) -> String {
    let at = crm.address();
    let code = if grant == "authorization_code" {
        format!(
            ", authorize_url = \"http://{at}/oauth/authorize\", redirect = \"http://127.0.0.1:8765/\""
        )
    } else {
        String::new()
    };
    format!(
        "{{ oauth2 = {{ grant = \"{grant}\", token_url = \"http://{at}/oauth/v1/token\", client_id = \"file:client_id\", client_secret = \"file:client_secret\"{code} }} }}"
    )
}

/// What `midwatch login crm` does once the browser is back.
async fn log_in(config: &Config) {
    let runtime = Arc::new(Runtime::new(Arc::new(config.clone()), Vec::new()));
    let (_kept, live) = watch::channel(runtime);
    oauth::redeem(
        &Outbound::new(live),
        &config.systems["crm"],
        CODE,
        "verifier",
    )
    .await
    .expect("tokens");
}

impl Town {
    fn token_counts(&self, what: &str) -> u64 {
        let tokens = self.crm.tokens().expect("it has tokens");
        tokens.counts().of(what)
    }

    /// Everything is there once: a deal for each order, a contact for each address, each joined.
    fn is_whole(&self, orders: u64) {
        let orders = orders as usize;
        let crm = &self.crm;
        assert_eq!((crm.len("contacts"), crm.len("deals")), (orders, orders));
        assert_eq!(
            (crm.duplicates("contacts"), crm.duplicates("deals")),
            (0, 0)
        );
        assert_eq!(crm.joined(), orders);
        assert_eq!(crm.counts().beginning("conflict"), 0);
        assert_eq!(self.token_counts("refused"), 0, "a token was lost");
    }
}

/// Sells until the tokens were renewed often enough; how many orders.
async fn sell_across(town: &Town, place: &Place, what: &str, renewals: u64) -> u64 {
    let start = Instant::now();
    let mut number = 0;
    while town.token_counts(what) < renewals {
        number += 1;
        town.sell(number, &format!("c{number}@post.example")).await;
        // Orders come one after the other, so that there is one around each renewal.
        place
            .settled(&[("contacts delivered", number), ("deals delivered", number)])
            .await;
        assert!(start.elapsed() < PATIENCE, "{what}");
    }
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_go_on_while_tokens_expire_and_rotate() {
    let town = Town::new(crm(1)).await;
    let auth = auth(&town.servers[1], "authorization_code");
    let place = town.work_as(&auth, "").await;
    log_in(&place.config()).await;
    let mut number = sell_across(&town, &place, "refresh", 3).await;
    // Every third write is done and not answered; a renewal is one of them.
    town.servers[1].set(cuts(3));
    let before = town.token_counts("refresh");
    while town.token_counts("refresh") < before + 4 {
        number += 1;
        town.sell(number, &format!("c{number}@post.example")).await;
        place
            .settled(&[("contacts delivered", number), ("deals delivered", number)])
            .await;
    }
    town.is_whole(number);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_credentials_are_asked_for_again_before_they_expire() {
    let town = Town::new(crm(1)).await;
    let auth = auth(&town.servers[1], "client_credentials");
    let place = town.work_as(&auth, "").await;
    let number = sell_across(&town, &place, "client_credentials", 4).await;
    town.is_whole(number);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_renewed_within_the_attempt() {
    let lifetime = Duration::from_secs(8);
    let town = Town::new(crm(8)).await;
    let auth = auth(&town.servers[1], "authorization_code");
    let place = town.work_as(&auth, "").await;
    let logged_in = Instant::now();
    log_in(&place.config()).await;
    // One that was just obtained would not be the reason.
    place
        .until("the token is not that young", || {
            logged_in.elapsed() > lifetime * 5 / 8
        })
        .await;
    town.crm.tokens().expect("tokens").forget_access();
    town.sell(1, "aase@post.example").await;
    place
        .settled(&[("contacts delivered", 1), ("deals delivered", 1)])
        .await;
    assert!(town.crm.counts().of("unauthorized") >= 1);
    assert_eq!(town.token_counts("refresh"), 1);
    for delivery in place.deliveries() {
        // (A deal may have looked for its contact before that was there.)
        let refused = |attempt: &AttemptRow| attempt.class == Class::Auth;
        assert!(
            !delivery.attempts.iter().any(refused),
            "{}",
            delivery.row.path
        );
    }
    town.is_whole(1);
    place.close().await;
}

/// A worker process of this test; killed when dropped.
struct Process(Child);

impl Process {
    fn start(config: &Path) -> (Self, SocketAddr) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_midwatch"))
            .arg("worker")
            .arg("--config")
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let said = child.stdout.take().expect("piped");
        BufReader::new(said).read_line(&mut line).expect("a line");
        let process = Self(child);
        let address = line
            .split("listening on ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .and_then(|address| address.trim().parse().ok())
            .unwrap_or_else(|| panic!("no worker: {line}"));
        (process, address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: nothing is tidied up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_around_a_renewal_loses_nothing() {
    const KILLS: u64 = 6;
    const ORDERS: u64 = 8;
    let town = Town::new(crm(1)).await;
    let auth = auth(&town.servers[1], "authorization_code");
    let text = config(&town.servers[0], &town.servers[1], &auth, "");
    let text = format!("[ingest]\nlisten = \"127.0.0.1:0\"\n{text}");
    let (folder, loaded) = furnish(&text);
    log_in(&loaded.config).await;
    let file = folder.path().join("midwatch.toml");
    town.servers[1].set(Faults {
        latency: Duration::from_millis(20),
        ..Faults::default()
    });
    let mut number = 0;
    for kill in 0..KILLS {
        let (worker, door) = Process::start(&file);
        town.call(door);
        for _ in 0..ORDERS {
            number += 1;
            town.sell(number, &format!("c{number}@post.example")).await;
        }
        // The vendor has rotated; its answer is on its way, in a file that is not yet there, or kept.
        let before = town.token_counts("refresh");
        let start = Instant::now();
        let mut after = number;
        while town.token_counts("refresh") == before && start.elapsed() < PATIENCE {
            if start.elapsed() > Duration::from_millis(100) * (after - number + 1) as u32 {
                // There has to be something to renew for.
                after += 1;
                town.sell(after, &format!("c{after}@post.example")).await;
            }
            tokio::task::yield_now().await;
        }
        number = after;
        assert!(town.token_counts("refresh") > before, "round {kill}");
        // Each time a little later.
        let moment = Instant::now();
        while moment.elapsed() < Duration::from_millis(kill * 3) {
            tokio::task::yield_now().await;
        }
        drop(worker);
    }
    let (worker, _) = Process::start(&file);
    let reader = Reader::open(&loaded.config.site.database).expect("the database");
    let start = Instant::now();
    loop {
        let overview = reader.overview().expect("overview");
        let of = |state: State| -> u64 {
            overview
                .paths
                .iter()
                .map(|path| path.counts.get(state))
                .sum()
        };
        assert_eq!((of(State::Dead), of(State::Held)), (0, 0));
        if of(State::Delivered) == 2 * number {
            break;
        }
        assert!(
            start.elapsed() < PATIENCE * 2,
            "{:?} of {number}",
            of(State::Delivered)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    town.is_whole(number);
    drop(worker);
}
