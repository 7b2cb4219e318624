//! "Can this system be worked with?": name, address and TLS, credentials, clock, budget, one lookup. Each is asked once,
//! nothing is written there, and each answer comes with words that say what to do. Must never decide anything: the action
//! layer shows it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{Found, Manner, Remote, RemoteError};
use crate::config::model::System;
use crate::http::oauth::health;
use crate::http::reply::Reply;
use crate::queue::model::Class;
use crate::time::{Clock, Timestamp, short};

/// How long each question may take.
const QUESTION: Duration = Duration::from_secs(15);
/// How long the budget is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most that is read of an answer.
const CAP: usize = 1 << 20;
/// A certificate that ends sooner is worth a warning.
const CERTIFICATE: Duration = Duration::from_secs(14 * 86_400);
/// Clocks that differ by more are worth a warning: `Date` counts seconds, and an answer takes its time.
const SKEW: Duration = Duration::from_secs(10);
/// Beyond this signatures are refused (Standard Webhooks and Stripe tolerate five minutes).
const TOLERATED: Duration = Duration::from_secs(300);
/// A business key that no record has.
const NOBODY: &str = "midwatch-probe";

/// How one answer is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be asked, or the system does not say.
    Unknown,
    /// It works, but not for long or not well.
    Warn,
    /// It does not work.
    Bad,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Unknown => "-",
            Self::Warn => "warn",
            Self::Bad => "bad",
        })
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeItem {
    /// What was asked: `name`, `address`, `tls`, `credentials`, `token`, `clock`, `budget`, `lookup`.
    pub what: &'static str,
    /// How it is judged.
    pub verdict: Verdict,
    /// In words, with what to do; may hold text from outside.
    pub words: String,
}

/// All answers, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    /// The system.
    pub system: String,
    /// What was asked.
    pub items: Vec<ProbeItem>,
}

impl ProbeReport {
    /// The worst of them.
    pub fn worst(&self) -> Verdict {
        let all = self.items.iter().map(|item| item.verdict);
        all.max().unwrap_or(Verdict::Unknown)
    }

    /// One line for each; may hold text from outside.
    pub fn text(&self) -> String {
        let line =
            |item: &ProbeItem| format!("{:<4}  {:<11}  {}", item.verdict, item.what, item.words);
        self.items.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn say(&mut self, what: &'static str, verdict: Verdict, words: impl Into<String>) {
        self.items.push(ProbeItem {
            what,
            verdict,
            words: words.into(),
        });
    }
}

impl Remote {
    /// Asks `name` whether it can be worked with.
    ///
    /// # Errors
    /// `System`, where it is not configured or has no URL; all else is in the report.
    pub async fn probe(&self, name: &str) -> Result<ProbeReport, RemoteError> {
        self.base(name)?;
        let config = self.live.borrow().config.clone();
        let system =
            (config.systems.get(name)).ok_or_else(|| RemoteError::System(name.to_owned()))?;
        let mut report = ProbeReport {
            system: name.to_owned(),
            items: Vec::new(),
        };
        let now = || Clock::System.now();
        match self.outbound.addresses(name, QUESTION).await {
            Ok(addresses) => {
                let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                report.say("name", Verdict::Ok, all.join(", "));
            }
            Err(error) => report.say("name", Verdict::Bad, error.text),
        }
        let mut date = None;
        if report.worst() == Verdict::Bad {
            report.say(
                "address",
                Verdict::Unknown,
                "not asked: the name leads nowhere",
            );
        } else {
            match self.outbound.reach(name, QUESTION).await {
                Ok(reached) => {
                    report.say(
                        "address",
                        Verdict::Ok,
                        format!("answers after {}", short(reached.took)),
                    );
                    tls(
                        &mut report,
                        reached.is_tls,
                        reached.certificate_until,
                        now(),
                    );
                    date = reached.date;
                }
                Err(error) => report.say("address", Verdict::Bad, error.text),
            }
        }
        if let Some(health) = health::health(&config, name, now()) {
            let verdict = match health.level {
                health::Level::Ok => Verdict::Ok,
                health::Level::Warn => Verdict::Warn,
                health::Level::Bad => Verdict::Bad,
            };
            report.say("token", verdict, health.words);
        }
        if report
            .items
            .iter()
            .any(|item| item.what == "address" && item.verdict != Verdict::Ok)
        {
            for what in ["credentials", "clock", "budget", "lookup"] {
                report.say(
                    what,
                    Verdict::Unknown,
                    "not asked: the system does not answer",
                );
            }
            return Ok(report);
        }
        self.credentials(&mut report, system, &mut date).await;
        clock(&mut report, date, now());
        let lookup = self.one_lookup(system).await;
        self.rate(&mut report, system);
        report.items.push(lookup);
        Ok(report)
    }

    /// A cheap request that has to be let in: the preset's, else the beginning of a listing.
    async fn credentials(
        &self,
        report: &mut ProbeReport,
        system: &System,
        date: &mut Option<Timestamp>,
    ) {
        let name = system.name.as_str();
        let what = "credentials";
        let Some(url) = system.probe.as_deref() else {
            let words = format!(
                "not asked: systems.{name}.probe names no request; the lookup shows as much"
            );
            report.say(what, Verdict::Unknown, words);
            return;
        };
        let asked = self.outbound.get(name, url, QUESTION, CAP);
        let (verdict, words) = match tokio::time::timeout(PATIENCE + QUESTION, asked).await {
            Ok(Ok(reply)) => {
                *date = reply.date().or(*date);
                let_in(url, &reply)
            }
            Ok(Err(error)) => (Verdict::Bad, error.text),
            Err(_) => (
                Verdict::Unknown,
                "not asked: the budget is used up".to_owned(),
            ),
        };
        report.say(what, verdict, words);
    }

    fn rate(&self, report: &mut ProbeReport, system: &System) {
        let budget = self.outbound.budget(&system.name);
        let (verdict, words) = match (budget.available(), &system.limit) {
            (usize::MAX, None) => (
                Verdict::Unknown,
                "no limit is configured, and the system says none".to_owned(),
            ),
            (0, _) => {
                let wait = budget.next().map_or(Duration::ZERO, |at| {
                    at.saturating_duration_since(tokio::time::Instant::now())
                });
                let verdict = if wait > Duration::from_secs(1) {
                    Verdict::Warn
                } else {
                    Verdict::Ok
                };
                (verdict, format!("used up for {}", short(wait)))
            }
            (left, Some(limit)) => {
                let words = format!(
                    "{left} may start now; {} in {} at most",
                    limit.count,
                    short(limit.per)
                );
                (Verdict::Ok, words)
            }
            (left, None) => (Verdict::Ok, format!("{left} left, as the system says")),
        };
        report.say("budget", verdict, words);
    }

    /// Looks up a record that nobody has, by the first map that has a lookup.
    async fn one_lookup(&self, system: &System) -> ProbeItem {
        let item = |verdict, words: String| ProbeItem {
            what: "lookup",
            verdict,
            words,
        };
        let Some((kind, _)) = system.records.iter().find(|(_, map)| map.lookup.is_some()) else {
            return item(
                Verdict::Unknown,
                "not asked: no record map has a lookup".to_owned(),
            );
        };
        let manner = Manner {
            timeout: QUESTION,
            patience: PATIENCE,
            ..Manner::default()
        };
        match self.lookup(&system.name, kind, NOBODY, &manner).await {
            Err(error) => item(Verdict::Bad, error.to_string()),
            Ok(asked) => match (&asked.found, asked.judged.class) {
                (Found::Missing, _) => item(
                    Verdict::Ok,
                    format!("{kind} {NOBODY} is not there, as it should be"),
                ),
                (Found::Failed, Class::Auth) => item(
                    Verdict::Bad,
                    format!("{kind}: not let in: {}", asked.judged.error),
                ),
                (Found::Failed, Class::Rejected | Class::Permanent) => item(
                    Verdict::Warn,
                    format!(
                        "{kind} {NOBODY}: {}: the lookup may want another kind of key, or a property that is not there",
                        asked.judged.error
                    ),
                ),
                (Found::Failed, _) => item(Verdict::Bad, format!("{kind}: {}", asked.judged.error)),
                (Found::Records(_) | Found::Exists, _) => item(
                    Verdict::Warn,
                    format!(
                        "{kind}: a key that nobody has finds a record: the lookup does not look at the key"
                    ),
                ),
            },
        }
    }
}

fn tls(report: &mut ProbeReport, is_tls: bool, until: Option<Timestamp>, now: Timestamp) {
    let (verdict, words) = match (is_tls, until) {
        (false, _) => (Verdict::Unknown, "none: http://".to_owned()),
        (true, None) => (Verdict::Ok, "the certificate is good".to_owned()),
        (true, Some(until)) => {
            let left = until.since(now);
            let verdict = if left < CERTIFICATE {
                Verdict::Warn
            } else {
                Verdict::Ok
            };
            (
                verdict,
                format!("the certificate is good for {}", short(left)),
            )
        }
    };
    report.say("tls", verdict, words);
}

fn clock(report: &mut ProbeReport, date: Option<Timestamp>, now: Timestamp) {
    let (verdict, words) = match date {
        None => (
            Verdict::Unknown,
            "the system does not say what time it is".to_owned(),
        ),
        Some(date) => {
            let (ahead, behind) = (now.since(date), date.since(now));
            let skew = ahead.max(behind);
            let side = if ahead > behind { "ahead of" } else { "behind" };
            let verdict = match skew {
                skew if skew <= SKEW => Verdict::Ok,
                skew if skew <= TOLERATED => Verdict::Warn,
                _ => Verdict::Bad,
            };
            let words = match verdict {
                Verdict::Ok => "the same as here".to_owned(),
                _ => format!(
                    "this clock is {} {side} the system's: check time synchronisation (timedatectl)",
                    short(skew)
                ),
            };
            (verdict, words)
        }
    };
    report.say("clock", verdict, words);
}

fn let_in(url: &str, reply: &Reply) -> (Verdict, String) {
    match reply.status {
        200..=299 => (
            Verdict::Ok,
            format!("let in ({} to GET {url})", reply.status),
        ),
        401 | 403 => (
            Verdict::Bad,
            format!(
                "not let in ({} to GET {url}): replace the secret, or widen its rights",
                reply.status
            ),
        ),
        429 => (
            Verdict::Warn,
            "let in, but too often: the rate is used up (429)".to_owned(),
        ),
        status => (
            Verdict::Warn,
            format!("{status} to GET {url}: it cannot be told whether the credentials are good"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_judged_and_comes_with_words() {
        let now = Timestamp(1_795_464_000_000);
        let second = Duration::from_secs(1);
        let mut report = ProbeReport {
            system: "crm".to_owned(),
            items: Vec::new(),
        };
        for (date, verdict, words) in [
            (Some(now), Verdict::Ok, "the same as here"),
            (Some(now - 10 * second), Verdict::Ok, "the same as here"),
            (
                Some(now - 60 * second),
                Verdict::Warn,
                "this clock is 1m ahead of the system's",
            ),
            (
                Some(now + 3600 * second),
                Verdict::Bad,
                "this clock is 1h behind the system's",
            ),
            (None, Verdict::Unknown, "does not say"),
        ] {
            clock(&mut report, date, now);
            let last = report.items.last().unwrap();
            assert_eq!(last.verdict, verdict, "{date:?}");
            assert!(last.words.contains(words), "{}", last.words);
        }
        for (is_tls, until, verdict) in [
            (false, None, Verdict::Unknown),
            (true, None, Verdict::Ok),
            (true, Some(now + 13 * 86_400 * second), Verdict::Warn),
            (true, Some(now + 15 * 86_400 * second), Verdict::Ok),
        ] {
            tls(&mut report, is_tls, until, now);
            assert_eq!(report.items.last().unwrap().verdict, verdict, "{until:?}");
        }
        for (status, verdict) in [
            (200, Verdict::Ok),
            (401, Verdict::Bad),
            (403, Verdict::Bad),
            (429, Verdict::Warn),
            (404, Verdict::Warn),
        ] {
            let reply = Reply {
                status,
                ..Reply::default()
            };
            assert_eq!(let_in("/me", &reply).0, verdict, "{status}");
        }
        assert_eq!(report.worst(), Verdict::Bad);
        assert!(
            report
                .text()
                .starts_with("ok    clock        the same as here\n"),
            "{}",
            report.text()
        );
    }

    /// A system that answers everything with `answer`, and what a probe of it finds.
    async fn probed(answer: Option<&'static str>) -> ProbeReport {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        match answer {
            None => drop(listener),
            Some(answer) => {
                tokio::spawn(async move {
                    while let Ok((mut stream, _)) = listener.accept().await {
                        let mut buffer = [0; 4096];
                        let _ = stream.read(&mut buffer).await;
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        }
        let text = format!(
            "[systems.crm]\nurl = \"http://{address}\"\nprivate = true\nprobe = \"/me\"\nlimit = \"90/10s\"\n[systems.crm.records.order]\nkey = \"/number\"\nlookup = {{ url = \"/orders/{{{{ key }}}}\", missing = [404] }}\n"
        );
        let file = std::path::Path::new("/tmp/midwatch.toml");
        let config = match crate::config::parse(&text, file) {
            Ok(loaded) => loaded.config,
            Err(wrong) => panic!("{}", crate::config::report::render(&wrong)),
        };
        let runtime = crate::config::live::Runtime::new(std::sync::Arc::new(config), Vec::new());
        let live = tokio::sync::watch::channel(std::sync::Arc::new(runtime)).1;
        let outbound = crate::http::Outbound::new(live.clone());
        let remote = Remote::new(live, outbound, crate::event::expr::Engine::new());
        remote.probe("crm").await.unwrap()
    }

    #[tokio::test]
    async fn a_probe_says_of_each_part_whether_it_works() {
        use Verdict::{Bad, Ok as Well, Unknown, Warn};
        for (answer, expected) in [
            (
                Some("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
                [
                    ("name", Well),
                    ("address", Well),
                    ("tls", Unknown),
                    ("credentials", Warn),
                    ("clock", Unknown),
                    ("budget", Well),
                    ("lookup", Well),
                ],
            ),
            (
                Some(
                    "HTTP/1.1 401 No\r\ndate: Mon, 23 Nov 2020 20:00:00 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                ),
                [
                    ("name", Well),
                    ("address", Well),
                    ("tls", Unknown),
                    ("credentials", Bad),
                    ("clock", Bad),
                    ("budget", Well),
                    ("lookup", Bad),
                ],
            ),
        ] {
            let report = probed(answer).await;
            let found: Vec<(&str, Verdict)> = report
                .items
                .iter()
                .map(|item| (item.what, item.verdict))
                .collect();
            assert_eq!(found, expected, "{}", report.text());
        }
        let report = probed(None).await;
        assert_eq!(report.worst(), Bad, "{}", report.text());
        assert!(
            report.text().contains("connection refused"),
            "{}",
            report.text()
        );
        assert_eq!(
            report.items.last().unwrap().verdict,
            Unknown,
            "what cannot be asked is not judged"
        );
    }
}
