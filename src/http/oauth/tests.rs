//! Rotation against an endpoint that forgets a refresh token as soon as its successor is used: whatever is cut, and
//! wherever, the next process still gets in.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

use super::file::{Cut, CutAt, Step, TokenFile};
use super::health::{Level, health};
use super::renew::Tokens;
use super::token::{Access, Stored};
use super::{obtain, redeem};
use crate::config::live::{Live, Runtime};
use crate::config::model::{Auth, Config, Grant, OAuth2, SecretRef};
use crate::http::tests::{read, secret_file, server};
use crate::http::{Fault, Outbound, Reply, SendError, Stage};
use crate::queue::model::Request;
use crate::time::{Clock, Timestamp};

const SOON: Duration = Duration::from_secs(10);

/// A vendor: its token endpoint and its API.
#[derive(Debug, Default)]
struct Vendor {
    /// Numbers tokens.
    issued: u32,
    /// The refresh token that was issued last, and the one before, which works until anything of the last is used.
    refresh: Option<String>,
    previous: Option<String>,
    /// Access tokens that the API takes, with the number of the grant.
    access: HashMap<String, u32>,
    /// Requests to the token endpoint, and to the API.
    asked: u32,
    served: u32,
    /// The next answers of the token endpoint are these instead.
    instead: Vec<(u16, String)>,
    /// Answers of the token endpoint that are lost after it has done what it was asked.
    lost: u32,
    /// How long the token endpoint takes.
    slow: Duration,
    /// How long access tokens last, in seconds.
    lasts: u32,
    /// What the token endpoint was last asked.
    form: String,
}

impl Vendor {
    /// The token endpoint.
    fn token(&mut self, form: &str) -> (u16, String) {
        self.asked += 1;
        form.clone_into(&mut self.form);
        if let Some(instead) = self.instead.pop() {
            return instead;
        }
        let pairs: HashMap<&str, &str> = form
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        match pairs.get("grant_type").copied() {
            Some("refresh_token") => {
                let given = pairs.get("refresh_token").map(|token| (*token).to_owned());
                if given == self.refresh {
                    self.previous = self.refresh.take();
                } else if given.is_none() || given != self.previous {
                    return (400, r#"{"error":"invalid_grant"}"#.to_owned());
                }
                let refresh = self.issue();
                (200, refresh)
            }
            Some("authorization_code")
                if pairs.get("code") == Some(&"c0de") && pairs.contains_key("code_verifier") =>
            {
                let text = self.issue();
                (200, text)
            }
            Some("client_credentials") => {
                self.issued += 1;
                let token = format!("access-{}", self.issued);
                self.access.insert(token.clone(), self.issued);
                (
                    200,
                    format!(
                        r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{}}}"#,
                        self.lasts
                    ),
                )
            }
            _ => (400, r#"{"error":"invalid_request"}"#.to_owned()),
        }
    }

    fn issue(&mut self) -> String {
        self.issued += 1;
        let (access, refresh) = (
            format!("access-{}", self.issued),
            format!("refresh-{}", self.issued),
        );
        self.access.insert(access.clone(), self.issued);
        self.refresh = Some(refresh.clone());
        format!(
            r#"{{"access_token":"{access}","token_type":"Bearer","expires_in":{},"refresh_token":"{refresh}"}}"#,
            self.lasts
        )
    }

    /// The API.
    fn api(&mut self, token: &str) -> u16 {
        self.served += 1;
        match self.access.get(token) {
            Some(number) => {
                if *number == self.issued {
                    self.previous = None;
                }
                200
            }
            None => 401,
        }
    }
}

type Shared = Arc<Mutex<Vendor>>;

async fn vendor() -> (SocketAddr, Shared) {
    let vendor = Arc::new(Mutex::new(Vendor {
        lasts: 3600,
        ..Vendor::default()
    }));
    let shared = Arc::clone(&vendor);
    let (address, _) = server(move |mut stream| {
        let vendor = Arc::clone(&shared);
        async move {
            let text = read(&mut stream).await;
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let is_token = head.starts_with("POST /token");
            let slow = vendor.lock().unwrap().slow;
            if is_token {
                // Not a wait for something: a slow vendor.
                tokio::time::sleep(slow).await;
            }
            let answer = {
                let mut vendor = vendor.lock().unwrap();
                if is_token {
                    let (status, body) = vendor.token(body);
                    if vendor.lost > 0 {
                        vendor.lost -= 1;
                        return;
                    }
                    format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    )
                } else {
                    let token = head
                        .lines()
                        .find_map(|line| line.strip_prefix("authorization: Bearer "));
                    let status = vendor.api(token.unwrap_or_default());
                    format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")
                }
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    (address, vendor)
}

/// A place on disk, and a system `crm` at `base` that authenticates by `grant`.
struct Bed {
    folder: tempfile::TempDir,
    secret: PathBuf,
    base: String,
    grant: Grant,
}

impl Bed {
    fn new(address: SocketAddr, grant: Grant) -> Self {
        let (folder, secret) = secret_file("cl1ent-secret");
        Self {
            folder,
            secret,
            base: format!("http://{address}"),
            grant,
        }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("m.db")
    }

    fn file(&self) -> TokenFile {
        TokenFile::of(&self.database(), "crm")
    }

    fn config(&self) -> Config {
        config(&self.base, &self.database(), &self.secret, self.grant)
    }

    /// A process of its own, as far as tokens go.
    fn process(&self, cut: Option<Arc<CutAt>>) -> Outbound {
        process(self.config(), cut)
    }

    /// Somebody has logged in, long ago.
    fn logged_in(&self, vendor: &Shared, until: Timestamp) {
        let mut vendor = vendor.lock().unwrap();
        vendor.issue();
        let number = vendor.issued;
        let stored = Stored {
            access: Some(Access {
                token: format!("access-{number}"),
                obtained: Timestamp(0),
                until: Some(until),
            }),
            refresh: Some(format!("refresh-{number}")),
            ..self.blank()
        };
        self.store(&stored);
    }

    fn blank(&self) -> Stored {
        let client = super::endpoint::Client {
            token_url: format!("{}/token", self.base),
            id: "cl1ent-secret".to_owned(),
            secret: Some("cl1ent-secret".to_owned()),
            in_body: true,
        };
        Stored {
            client: client.name(),
            proof: client.proof(),
            ..Stored::default()
        }
    }

    fn store(&self, stored: &Stored) {
        // A process that has just renamed the file may still be about to let go.
        let start = Instant::now();
        let lock = loop {
            match self.file().try_lock().unwrap() {
                Some(lock) => break lock,
                None => assert!(start.elapsed() < SOON, "the lock is held"),
            }
        };
        self.file().write(stored, &lock, &Cut::default()).unwrap();
    }

    fn stored(&self) -> Stored {
        self.file().read().unwrap().expect("a file")
    }

    /// As if time had passed.
    fn age(&self, until: Timestamp) {
        let mut stored = self.stored();
        if let Some(access) = &mut stored.access {
            access.until = Some(until);
            access.obtained = Timestamp(0);
        }
        self.store(&stored);
    }
}

fn config(base: &str, database: &Path, secret: &Path, grant: Grant) -> Config {
    let text = format!(
        "[site]\ndatabase = \"{}\"\n[systems.crm]\nurl = \"{base}\"\nprivate = true\n",
        database.display()
    );
    let mut loaded = crate::config::parse(&text, Path::new("/tmp/midwatch.toml")).expect("valid");
    let secret = SecretRef::File(secret.to_owned());
    loaded.config.systems.get_mut("crm").expect("crm").auth = Auth::OAuth2(Arc::new(OAuth2 {
        grant,
        token_url: format!("{base}/token"),
        authorize_url: Some(format!("{base}/authorize")),
        client_id: secret.clone(),
        client_secret: Some(secret),
        scope: None,
        redirect: None,
        secret_in_body: true,
    }));
    loaded.config
}

fn process(config: Config, cut: Option<Arc<CutAt>>) -> Outbound {
    let live: Live = watch::channel(Arc::new(Runtime::new(Arc::new(config), Vec::new()))).1;
    let mut tokens = Tokens::default();
    tokens.cut = Cut(cut);
    Outbound::with(live, tokens)
}

async fn call(outbound: &Outbound, base: &str) -> Result<Reply, SendError> {
    let request = Request {
        method: "GET".to_owned(),
        url: format!("{base}/api"),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
        key: String::new(),
    };
    outbound.call("crm", &request, SOON, 1000).await
}

async fn until(what: &str, wanted: impl Fn() -> bool) {
    let start = Instant::now();
    while !wanted() {
        assert!(start.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const STEPS: [Step; 6] = [
    Step::Locked,
    Step::Answered,
    Step::Written,
    Step::Synced,
    Step::Renamed,
    Step::Kept,
];

/// Three more rotations work, each in a process of its own: nothing was lost.
async fn goes_on(bed: &Bed, what: &str) {
    for round in 0..3 {
        let next = bed.process(None);
        let reply = call(&next, &bed.base)
            .await
            .unwrap_or_else(|error| panic!("{what}, {round}: {error}"));
        assert_eq!(reply.status, 200, "{what}, {round}");
        until("the predecessor is forgotten", || {
            bed.stored().previous.is_none()
        })
        .await;
        bed.age(Timestamp(1));
    }
}

#[tokio::test]
async fn a_rotation_that_is_cut_anywhere_loses_no_token() {
    let (address, vendor) = vendor().await;
    for step in STEPS {
        let bed = Bed::new(address, Grant::AuthorizationCode);
        bed.logged_in(&vendor, Timestamp(1));
        let cut: Arc<CutAt> = Arc::new(move |at| {
            if at == step {
                Err(io::Error::other("cut"))
            } else {
                Ok(())
            }
        });
        let error = call(&bed.process(Some(cut)), &bed.base)
            .await
            .expect_err("cut");
        assert_eq!(
            (error.stage, error.fault),
            (Stage::Before, Fault::Secret),
            "{step:?}: {error}"
        );
        goes_on(&bed, &format!("cut at {step:?}")).await;
    }
    // The answer itself is lost: the vendor has rotated, and we do not know it.
    let bed = Bed::new(address, Grant::AuthorizationCode);
    bed.logged_in(&vendor, Timestamp(1));
    vendor.lock().unwrap().lost = 1;
    let error = call(&bed.process(None), &bed.base).await.expect_err("lost");
    assert_eq!(
        (error.stage, error.fault),
        (Stage::Before, Fault::Cut),
        "{error}"
    );
    goes_on(&bed, "the answer was lost").await;
}

#[tokio::test]
async fn a_process_that_is_killed_in_a_rotation_loses_no_token() {
    let (address, vendor) = vendor().await;
    for step in STEPS {
        let bed = Bed::new(address, Grant::AuthorizationCode);
        bed.logged_in(&vendor, Timestamp(1));
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "http::oauth::tests::killed", "--ignored"])
            .env("MIDWATCH_TEST_STEP", format!("{step:?}"))
            .env("MIDWATCH_TEST_BASE", &bed.base)
            .env("MIDWATCH_TEST_DATABASE", bed.database())
            .env("MIDWATCH_TEST_SECRET", &bed.secret)
            .stdout(std::process::Stdio::null());
        let status = child.status().await.unwrap();
        assert_eq!(status.signal(), Some(9), "{step:?}: {status}");
        goes_on(&bed, &format!("killed at {step:?}")).await;
    }
}

/// The process that is killed.
#[tokio::test]
#[ignore = "no test of its own: it kills itself, and runs as the child of a_process_that_is_killed_in_a_rotation_loses_no_token"]
async fn killed() {
    let text = |name: &str| std::env::var(name).expect(name);
    let step = text("MIDWATCH_TEST_STEP");
    let cut: Arc<CutAt> = Arc::new(move |at| {
        if format!("{at:?}") == step {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
        Ok(())
    });
    let (base, database) = (text("MIDWATCH_TEST_BASE"), text("MIDWATCH_TEST_DATABASE"));
    let secret = text("MIDWATCH_TEST_SECRET");
    let config = config(
        &base,
        Path::new(&database),
        Path::new(&secret),
        Grant::AuthorizationCode,
    );
    call(&process(config, Some(cut)), &base)
        .await
        .expect("killed before");
}

#[tokio::test]
async fn a_token_that_the_disk_does_not_take_is_not_used_and_not_lost() {
    let (address, vendor) = vendor().await;
    let bed = Bed::new(address, Grant::AuthorizationCode);
    bed.logged_in(&vendor, Timestamp(1));
    let full = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let disk = Arc::clone(&full);
    let outbound = bed.process(Some(Arc::new(move |at| {
        if at == Step::Written && disk.load(std::sync::atomic::Ordering::SeqCst) {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        } else {
            Ok(())
        }
    })));
    for _ in 0..2 {
        let error = call(&outbound, &bed.base).await.expect_err("a full disk");
        assert_eq!(error.fault, Fault::Secret);
        assert!(error.text.contains("cannot be kept"), "{error}");
    }
    assert_eq!(vendor.lock().unwrap().served, 0, "nothing was sent with it");
    full.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(call(&outbound, &bed.base).await.unwrap().status, 200);
    assert_eq!(vendor.lock().unwrap().asked, 1, "what was granted was used");
}

#[tokio::test]
async fn one_renewal_at_a_time_whoever_asks() {
    let (address, vendor) = vendor().await;
    let bed = Bed::new(address, Grant::AuthorizationCode);
    bed.logged_in(&vendor, Timestamp(1));
    vendor.lock().unwrap().slow = Duration::from_millis(100);
    // Two processes: the file lock is between open files, not threads.
    let processes = [bed.process(None), bed.process(None)];
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..20 {
        let (outbound, base) = (processes[index % 2].clone(), bed.base.clone());
        calls.spawn(async move { call(&outbound, &base).await });
    }
    for result in calls.join_all().await {
        assert_eq!(result.expect("answered").status, 200);
    }
    assert_eq!(vendor.lock().unwrap().asked, 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_before_the_refusal_counts() {
    let (address, vendor) = vendor().await;
    let bed = Bed::new(address, Grant::AuthorizationCode);
    let far = Clock::System.now() + Duration::from_secs(7200);
    bed.logged_in(&vendor, far);
    vendor.lock().unwrap().access.clear();
    let outbound = bed.process(None);
    assert_eq!(call(&outbound, &bed.base).await.unwrap().status, 200);
    let counts = |vendor: &Vendor| (vendor.asked, vendor.served);
    assert_eq!(counts(&vendor.lock().unwrap()), (1, 2));
    // Refused although it is new: that is not the token's fault, and the endpoint is left alone.
    vendor.lock().unwrap().access.clear();
    for _ in 0..3 {
        assert_eq!(call(&outbound, &bed.base).await.unwrap().status, 401);
    }
    assert_eq!(vendor.lock().unwrap().asked, 1);
    // Another process has a newer one: that is taken, without asking.
    bed.age(far);
    assert_eq!(
        call(&bed.process(None), &bed.base).await.unwrap().status,
        200
    );
    let asked = vendor.lock().unwrap().asked;
    assert_eq!(call(&outbound, &bed.base).await.unwrap().status, 200);
    assert_eq!(vendor.lock().unwrap().asked, asked);
}

#[tokio::test]
async fn a_renewal_ahead_of_time_keeps_nobody_waiting_and_its_failure_harms_nobody() {
    let (address, vendor) = vendor().await;
    let bed = Bed::new(address, Grant::AuthorizationCode);
    bed.logged_in(&vendor, Clock::System.now() + Duration::from_secs(60));
    vendor.lock().unwrap().instead = vec![(503, "down".to_owned())];
    let outbound = bed.process(None);
    assert_eq!(
        call(&outbound, &bed.base).await.unwrap().status,
        200,
        "the old one is still good"
    );
    until("the failure is noted", || bed.stored().trouble.is_some()).await;
    let found = health(&bed.config(), "crm", Clock::System.now()).expect("OAuth");
    assert_eq!(found.level, Level::Warn, "{}", found.words);
    assert!(found.words.contains("503: down"), "{}", found.words);
    // A later process does better, in the background.
    vendor.lock().unwrap().slow = Duration::from_millis(50);
    assert_eq!(
        call(&bed.process(None), &bed.base).await.unwrap().status,
        200
    );
    until("it is renewed", || bed.stored().trouble.is_none()).await;
    assert_eq!(
        health(&bed.config(), "crm", Clock::System.now())
            .expect("OAuth")
            .level,
        Level::Ok
    );
}

#[tokio::test]
async fn tokens_that_are_no_good_ask_for_a_login_and_a_login_is_noticed_at_once() {
    let (address, vendor) = vendor().await;
    let bed = Bed::new(address, Grant::AuthorizationCode);
    let outbound = bed.process(None);
    let error = call(&outbound, &bed.base)
        .await
        .expect_err("nobody has logged in");
    assert_eq!((error.stage, error.fault), (Stage::Before, Fault::Secret));
    assert!(error.text.contains("run `midwatch login crm`"), "{error}");

    bed.logged_in(&vendor, Timestamp(1));
    vendor.lock().unwrap().refresh = None;
    for _ in 0..5 {
        let error = call(&outbound, &bed.base).await.expect_err("revoked");
        assert!(
            error.text.contains("invalid_grant") && error.text.contains("run `midwatch login crm`"),
            "{error}"
        );
        assert_eq!(error.fault, Fault::Secret);
    }
    assert_eq!(
        vendor.lock().unwrap().asked,
        1,
        "the endpoint is left alone for a while"
    );
    let found = health(&bed.config(), "crm", Clock::System.now()).expect("OAuth");
    assert_eq!(found.level, Level::Bad, "{}", found.words);

    // Another process logs in; the one that failed a moment ago goes on.
    let config = bed.config();
    let login = process(config.clone(), None);
    let system = &config.systems["crm"];
    let error = redeem(&login, system, "wr0ng-code", "v")
        .await
        .expect_err("a wrong code");
    assert!(!error.text.contains("wr0ng-code"), "{error}");
    redeem(&login, system, "c0de", "v").await.expect("tokens");
    assert_eq!(call(&outbound, &bed.base).await.unwrap().status, 200);
}

#[tokio::test]
async fn client_credentials_are_fetched_kept_and_fetched_again_when_they_change() {
    let (address, vendor) = vendor().await;
    let bed = Bed::new(address, Grant::ClientCredentials);
    assert_eq!(
        call(&bed.process(None), &bed.base).await.unwrap().status,
        200
    );
    assert_eq!(
        call(&bed.process(None), &bed.base).await.unwrap().status,
        200
    );
    assert_eq!(vendor.lock().unwrap().asked, 1, "the file serves all");
    let config = bed.config();
    obtain(&bed.process(None), &config.systems["crm"])
        .await
        .expect("fetched");
    assert_eq!(vendor.lock().unwrap().asked, 2, "when it is asked for");
    std::fs::write(&bed.secret, "another-secret").unwrap();
    assert_eq!(
        call(&bed.process(None), &bed.base).await.unwrap().status,
        200
    );
    let vendor = vendor.lock().unwrap();
    assert_eq!(vendor.asked, 3, "new credentials are tried at once");
    assert!(vendor.form.contains("client_secret=another-secret"));
}

#[tokio::test]
async fn an_endpoint_that_quotes_us_tells_nobody() {
    let (address, vendor) = vendor().await;
    let bed = Bed::new(address, Grant::AuthorizationCode);
    bed.logged_in(&vendor, Timestamp(1));
    let refresh = bed.stored().refresh.expect("a token");
    vendor.lock().unwrap().instead =
        vec![(400, format!("I did not like {refresh} of cl1ent-secret"))];
    let outbound = bed.process(None);
    let error = call(&outbound, &bed.base).await.expect_err("refused");
    assert!(
        error.text.contains("I did not like (secret) of (secret)"),
        "{error}"
    );
    let shown = format!(
        "{error:?} {outbound:?} {:?} {:?}",
        bed.stored().trouble,
        bed.stored()
    );
    assert!(
        !shown.contains(&refresh) && !shown.contains("cl1ent"),
        "{shown}"
    );
}
