//! Probes of servers over real loopback connections: each thing that can be wrong is told as that thing.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::config::live::Runtime;
use crate::event::expr::Engine;
use crate::http::Outbound;

/// A server that answers each request by its first line; keeps those lines.
async fn server(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = Vec::new();
            let mut buffer = [0; 1024];
            while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer).await {
                    Ok(n) if n > 0 => text.extend_from_slice(&buffer[..n]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            let line = text.lines().next().unwrap_or_default().to_owned();
            let answer = answer(&line);
            kept.lock().unwrap().push(line);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (format!("http://{address}"), seen)
}

/// An answer, as of `ago` seconds ago.
fn answer(status: &str, ago: i64, headers: &str, body: &str) -> String {
    let now = SystemTime::now();
    let span = Duration::from_secs(ago.unsigned_abs());
    let date = httpdate::fmt_http_date(if ago < 0 { now + span } else { now - span });
    format!(
        "HTTP/1.1 {status}\r\ndate: {date}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

const LOOKUP: &str = "[systems.crm.records.order]\nkey = \"/number\"\nid = \"/id\"\nlookup = { url = \"/orders/{{ key }}\", missing = [404] }\n";

const PROBE: &str = "probe = \"/me\"\nlimit_headers = { remaining = \"x-left\", reset = \"x-reset\", reset_unit = \"s\" }\nauth = { bearer = \"file:token\" }";

/// The report on a system with these keys.
async fn report(url: &str, keys: &str, more: &str, facts: &Facts) -> ProbeReport {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    of(config(folder.path(), url, keys, more), facts).await
}

fn config(folder: &Path, url: &str, keys: &str, more: &str) -> Config {
    let url = match url {
        "" => String::new(),
        url => format!("url = \"{url}\""),
    };
    let text = format!("[systems.crm]\n{url}\n{keys}\n{more}");
    match crate::config::parse(&text, &folder.join("midwatch.toml")) {
        Ok(loaded) => loaded.config,
        Err(wrong) => panic!("{}", crate::config::report::render(&wrong)),
    }
}

async fn of(config: Config, facts: &Facts) -> ProbeReport {
    let runtime = Arc::new(Runtime::new(Arc::new(config), Vec::new()));
    let (_kept, live) = tokio::sync::watch::channel(runtime);
    let remote = Remote::new(live.clone(), Outbound::new(live), Engine::new());
    let report = probe(&remote, "crm", facts).await.unwrap();
    assert!(!report.text().contains("s3cret"), "{}", report.text());
    report
}

/// Level, number and words of an item.
fn told(report: &ProbeReport, what: What) -> (Level, Option<i64>, &str) {
    let item = report.item(what).unwrap();
    (
        item.level,
        item.number.map(|number| number.value),
        &item.words,
    )
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_told_as_that_thing() {
    use Level::{Bad, NotAsked, Ok, Warn};
    let left = "x-left: 39\r\nx-reset: 10\r\n";
    let none = "x-left: 0\r\nx-reset: 300\r\n";
    let moved = "location: https://crm.example/\r\n";
    // (status, age of its Date, headers), then (connection, credentials, clock, budget, lookup), the whole.
    for (status, ago, headers, expected, whole) in [
        ("200 OK", 0, left, [Ok, Ok, Ok, Ok, Ok], Ok),
        ("200 OK", 20, left, [Ok, Ok, Ok, Ok, Ok], Ok),
        ("200 OK", 120, left, [Ok, Ok, Warn, Ok, Ok], Warn),
        ("200 OK", -120, left, [Ok, Ok, Warn, Ok, Ok], Warn),
        ("200 OK", 900, left, [Ok, Ok, Bad, Ok, Ok], Bad),
        // Kept in a cache for as long as it says: the clock is right.
        (
            "200 OK",
            900,
            "age: 900\r\n",
            [Ok, Ok, Ok, NotAsked, Ok],
            Ok,
        ),
        ("200 OK", 0, none, [Ok, Ok, Ok, Warn, NotAsked], Warn),
        (
            "401 Unauthorized",
            0,
            left,
            [Ok, Bad, Ok, Ok, NotAsked],
            Bad,
        ),
        ("403 Forbidden", 0, left, [Ok, Bad, Ok, Ok, NotAsked], Bad),
        (
            "429 Too Many Requests",
            0,
            none,
            [Ok, NotAsked, Ok, Warn, NotAsked],
            Warn,
        ),
        (
            "429 Too Many Requests",
            0,
            "retry-after: 120\r\n",
            [Ok, NotAsked, Ok, Warn, NotAsked],
            Warn,
        ),
        (
            "301 Moved",
            0,
            moved,
            [Bad, NotAsked, Ok, NotAsked, NotAsked],
            Bad,
        ),
        (
            "404 Not Found",
            0,
            left,
            [Bad, NotAsked, Ok, Ok, NotAsked],
            Bad,
        ),
        ("503 Busy", 0, left, [Warn, NotAsked, Ok, Ok, Ok], Warn),
    ] {
        let (url, seen) = server(move |line| {
            if line.starts_with("GET /orders/") {
                answer("404 Not Found", 0, "", "")
            } else {
                answer(status, ago, headers, "{}")
            }
        })
        .await;
        let keys = format!("private = true\n{PROBE}");
        let report = report(&url, &keys, LOOKUP, &Facts::default()).await;
        let all = [
            What::Connection,
            What::Credentials,
            What::Clock,
            What::Budget,
            What::Lookup,
        ];
        let levels = all.map(|what| told(&report, what).0);
        assert_eq!(levels, expected, "{status} {ago}: {}", report.text());
        assert_eq!(report.level, whole, "{}", report.text());
        assert_eq!(told(&report, What::Address).0, Ok);
        if headers == left {
            assert_eq!(told(&report, What::Budget).1, Some(39));
        }
        if headers == none {
            assert_eq!(told(&report, What::Budget).1, Some(0));
        }
        if headers != "age: 900\r\n" {
            let off = told(&report, What::Clock).1.unwrap();
            assert!((off + ago).abs() <= 2, "{off} {ago}");
        }
        let seen = seen.lock().unwrap();
        assert!(seen[0].starts_with("HEAD / "), "{seen:?}");
        let reads = seen[1..].iter().all(|line| line.starts_with("GET "));
        assert!(reads && seen.len() <= 3, "{seen:?}");
        for item in &report.items {
            let line = format!("{:<9}  {:<11}", item.level.word(), item.what.word());
            assert!(report.text().contains(&line), "{line}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_not_asked_and_nothing_is_sent() {
    let (url, seen) = server(|_| answer("200 OK", 0, "", "{}")).await;
    let facts = Facts::default();
    let empty = tempfile::tempdir().unwrap();
    let keys = format!("private = true\n{PROBE}");
    // It leads into a private network, without leave for that: refused before a connection.
    let mut config = config(empty.path(), &url, &keys, LOOKUP);
    config.systems.get_mut("crm").unwrap().private = false;
    let refused = of(config, &facts).await;
    assert!(seen.lock().unwrap().is_empty());
    let (level, _, words) = told(&refused, What::Address);
    assert_eq!(level, Level::Bad, "{}", refused.text());
    assert!(words.contains("private"), "{words}");
    assert_eq!(told(&refused, What::Connection).0, Level::NotAsked);
    // The secret is not there.
    let secret = of(self::config(empty.path(), &url, &keys, LOOKUP), &facts).await;
    assert_eq!(told(&secret, What::Credentials).0, Level::Bad);
    assert_eq!(told(&secret, What::Connection).0, Level::Ok);
    let asked = seen.lock().unwrap().clone();
    assert_eq!(asked, ["HEAD / HTTP/1.1"], "nothing without credentials");
    // Nothing listens there any more, whatever there is to ask.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (keys, more) in [
        (keys.as_str(), LOOKUP),
        ("private = true", LOOKUP),
        ("private = true", ""),
    ] {
        let report = report(&dead, keys, more, &facts).await;
        assert_eq!(told(&report, What::Address).0, Level::Ok);
        let (level, _, words) = told(&report, What::Connection);
        assert_eq!(level, Level::Bad, "{}", report.text());
        assert!(words.contains("cannot connect"), "{words}");
        assert_eq!(told(&report, What::Credentials).0, Level::NotAsked);
        assert_eq!(report.items.len(), 8, "{}", report.text());
    }
    let nowhere = report("", "", "", &facts).await;
    assert_eq!(nowhere.level, Level::NotAsked, "{}", nowhere.text());
    assert_eq!(nowhere.items.len(), 8);
}

#[tokio::test]
async fn a_lookup_shows_whether_the_key_counts() {
    let known = Facts {
        known: Some(("order".to_owned(), "1042".to_owned())),
        ..Facts::default()
    };
    let here = r#"{"id": 7, "number": "1042"}"#;
    let any = r#"{"id": 7}"#;
    for (facts, status, body, level, words) in [
        (
            Facts::default(),
            "404 No",
            "",
            Level::Ok,
            "is not there, as",
        ),
        (Facts::default(), "200 OK", any, Level::Bad, "hold the key"),
        (
            Facts::default(),
            "400 Bad",
            "",
            Level::NotAsked,
            "refuses a key",
        ),
        (known.clone(), "200 OK", here, Level::Ok, "is found"),
        (known.clone(), "404 No", "", Level::Warn, "was it deleted"),
        (known, "500 Oh", "", Level::Bad, "HTTP 500"),
    ] {
        let is_known = facts.known.is_some();
        let (url, seen) = server(move |_| answer(status, 0, "", body)).await;
        let report = report(&url, "private = true", LOOKUP, &facts).await;
        let (found, _, told) = told(&report, What::Lookup);
        assert_eq!(found, level, "{}", report.text());
        assert!(told.contains(words), "{told} / {words}");
        assert!(!told.contains("1042"), "a key may be an address: {told}");
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2, "the lookup is the only question: {seen:?}");
        assert_eq!(seen[1].contains("/orders/1042 "), is_known, "{seen:?}");
    }
}

#[test]
fn a_webhook_stands_as_its_vendor_last_said() {
    let now = Timestamp(1_795_464_000_000);
    let ago = |seconds| Some(now - Duration::from_secs(seconds));
    let row = |state: Option<&str>, called| SenderRow {
        system: "shop".to_owned(),
        state: state.map(str::to_owned),
        called,
        ..SenderRow::default()
    };
    let hooks = "hooks = { recipe = \"woocommerce\", secrets = [\"env:X\"], watch = true }\nwebhooks = { list = { url = \"/w\" }, id = \"/id\", address = \"/a\", state = \"/s\", enabled = \"active\" }\nurl = \"https://shop.example\"";
    let unasked = "hooks = { recipe = \"woocommerce\", secrets = [\"env:X\"] }";
    for (keys, site, row, level, words, number) in [
        (
            hooks,
            true,
            Some(row(Some("enabled"), ago(60))),
            Level::Ok,
            "last called 1m ago",
            Some(60),
        ),
        (
            hooks,
            true,
            Some(row(Some("disabled"), ago(60))),
            Level::Bad,
            "midwatch hook enable shop",
            Some(60),
        ),
        (
            hooks,
            true,
            Some(row(Some("missing"), None)),
            Level::Warn,
            "has no webhook",
            None,
        ),
        (
            unasked,
            true,
            Some(row(None, ago(5))),
            Level::Ok,
            "not asked for it",
            Some(5),
        ),
        (unasked, true, None, Level::NotAsked, "never called", None),
        (unasked, false, None, Level::Warn, "site.public_url", None),
        ("", true, None, Level::NotAsked, "no hooks", None),
    ] {
        let site = if site {
            "[site]\npublic_url = \"https://shop.example/_midwatch\"\n"
        } else {
            ""
        };
        let text = format!("{site}[systems.shop]\n{keys}\n");
        let config = match crate::config::parse(&text, Path::new("/srv/midwatch.toml")) {
            Ok(loaded) => loaded.config,
            Err(wrong) => panic!("{}", crate::config::report::render(&wrong)),
        };
        let item = webhook(&config, &config.systems["shop"], row.as_ref(), now);
        assert_eq!(item.level, level, "{}", item.words);
        assert!(item.words.contains(words), "{} / {words}", item.words);
        assert_eq!(item.number.map(|number| number.value), number);
    }
}
