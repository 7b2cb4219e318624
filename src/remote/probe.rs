//! `probe`: can a system be worked with? Name, connection and TLS, credentials, clock, rate budget, tokens, one lookup, its
//! webhook. A bare HEAD of its url, then at most two requests within the system's shared budget, through the same
//! `Outbound` as all others.
//!
//! It must never write anything, anywhere: it asks the configured probe request (else a listing's first page), and looks one
//! record up. Called by `midwatch probe`, by the worker for `Action::Probe`, and so by the console.

mod report;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use tokio::time::Instant;

pub use self::report::{Item, Level, Number, ProbeReport, Unit, What};
use super::{Found, Manner, Remote, RemoteError, UNSAID};
use crate::config::model::{Auth, Config, System, hook_address};
use crate::http::join::join;
use crate::http::oauth::health::{self, health};
use crate::http::reply::{Fault, Reply, SendError};
use crate::http::{Reached, limits};
use crate::queue::model::{Class, Request};
use crate::record::shape::{self, Filling};
use crate::store::view::{SenderRow, Severity};
use crate::time::{Clock, Timestamp, short};
use crate::watch;

/// A whole probe ends by then, whatever the system does.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A name resolves by then, and something answers there.
const REACH_LIMIT: Duration = Duration::from_secs(5);

/// Total deadline of one request.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// The longest wait for the system's budget.
const PATIENCE: Duration = Duration::from_secs(5);

/// As much is read of the answer to the probe request.
const READ_CAP: usize = 64 << 10;

/// A certificate that ends sooner is worth a warning: renewals run weeks before.
const CERTIFICATE: Duration = Duration::from_secs(14 * 86_400);

/// A clock that is further off than this is worth a look: it keeps going away.
const CLOCK_WARN: Duration = Duration::from_secs(30);

/// A clock that is further off than this breaks signatures: the tolerance of most vendors, and of our recipes.
const CLOCK_BAD: Duration = Duration::from_secs(5 * 60);

/// The key that is looked up where no record is known: no system makes one like it.
const NOBODY: &str = "midwatch-probe-nobody";

/// What is known here of the system.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// How its webhook stood when its vendor was last asked, and when it last called.
    pub sender: Option<SenderRow>,
    /// The type and business key of a record that it holds.
    pub known: Option<(String, String)>,
}

/// Probes a system, in at most [`LIMIT`].
///
/// # Errors
/// Only where the configuration has no such system; all else is in the report.
pub async fn probe(remote: &Remote, name: &str, facts: &Facts) -> Result<ProbeReport, RemoteError> {
    let config = remote.live.borrow().config.clone();
    let system = (config.systems.get(name)).ok_or_else(|| RemoteError::System(name.to_owned()))?;
    let at = Clock::System.now();
    let mut probing = Probing {
        remote,
        system,
        facts,
        end: Instant::now() + LIMIT,
        items: Vec::new(),
    };
    probing.ask().await;
    let mut items = probing.items;
    items.push(token(&config, name));
    items.push(webhook(&config, system, facts.sender.as_ref(), at));
    items.sort_by_key(|item| item.what);
    let is_called = system.hooks.is_some();
    let public = (config.site.public_url.as_deref()).filter(|_| is_called);
    Ok(ProbeReport {
        system: name.to_owned(),
        at,
        level: (items.iter().map(|item| item.level).max()).unwrap_or(Level::NotAsked),
        items,
        ingest: public.map(|public| hook_address(public, name)),
    })
}

/// One question, answered.
struct Answer {
    /// What was asked, in words.
    what: String,
    /// What the credentials allow is clear from it: what was asked for is there, or is certainly not there.
    is_good: bool,
    reply: Reply,
    took: Duration,
    /// The middle between question and answer, by our clock.
    at: Timestamp,
}

impl Answer {
    /// The time by the system's clock. An answer out of a cache is as old as it says (RFC 9111, 5.1).
    fn date(&self) -> Option<Timestamp> {
        let age = self
            .reply
            .header("age")
            .and_then(|age| age.trim().parse().ok());
        Some(self.reply.date()? + Duration::from_secs(age.unwrap_or(0)))
    }
}

/// Why a question has no answer.
enum Silence {
    /// The budget is used up for so long.
    Budget(Duration),
    /// No status came.
    Failed(Fault, String),
}

struct Probing<'a> {
    remote: &'a Remote,
    system: &'a System,
    facts: &'a Facts,
    end: Instant,
    items: Vec<Item>,
}

impl Probing<'_> {
    fn add(&mut self, what: What, level: Level, words: impl AsRef<str>) {
        self.items.push(Item::new(what, level, words));
    }

    /// None of these could be asked, all for one reason.
    fn skip(&mut self, all: &[What], why: &str) {
        for what in all {
            self.add(*what, Level::NotAsked, why);
        }
    }

    /// What is left of the time, but no more than `most`.
    fn left(&self, most: Duration) -> Duration {
        self.end.saturating_duration_since(Instant::now()).min(most)
    }

    /// Everything that needs the system.
    async fn ask(&mut self) {
        use What::{Address, Budget, Clock, Connection, Credentials, Lookup};
        let name = &self.system.name;
        let url = (self.system.url.as_deref()).and_then(|url| Url::parse(url).ok());
        let Some(url) = url else {
            let why = format!("systems.{name} has no url: nothing is sent there");
            let all = [Address, Connection, Credentials, Clock, Budget, Lookup];
            return self.skip(&all, &why);
        };
        let address = self.resolve().await;
        let is_known = address.level == Level::Ok;
        self.items.push(address);
        if !is_known {
            let all = [Connection, Credentials, Clock, Budget, Lookup];
            return self.skip(&all, "there is no address to connect to");
        }
        let limit = self.left(REACH_LIMIT);
        let reached = match self.remote.outbound.reach(name, limit).await {
            Ok(reached) => reached,
            Err(error) => {
                self.add(Connection, Level::Bad, error.text);
                let all = [Credentials, Clock, Budget, Lookup];
                return self.skip(&all, "nothing answers");
            }
        };
        let at = crate::time::Clock::System.now() - reached.took / 2;
        self.items.push(connection(self.system, &reached, at));
        self.items.push(clock(reached.date, at));
        let Some((what, request)) = self.question(&url) else {
            return self.look_up_only().await;
        };
        match self.put(what, &request).await {
            Ok(answer) => {
                self.answered(&answer);
                let in_vain = |item: &Item| {
                    item.level == Level::Bad && matches!(item.what, Connection | Credentials)
                };
                if self.items.iter().any(in_vain) {
                    // Another refused request helps nobody, and may lock the account.
                    return self.skip(&[Lookup], "the rest has to be put right first");
                }
                match self.look_up().await {
                    Ok(_) => {}
                    Err(Silence::Budget(wait)) => self.skip(&[Lookup], &used_up(wait)),
                    Err(Silence::Failed(_, why)) => self.add(Lookup, Level::Bad, why),
                }
            }
            Err(silence) => self.silent(&silence),
        }
    }

    /// The addresses of its name; none of them may be forbidden.
    async fn resolve(&self) -> Item {
        let limit = self.left(REACH_LIMIT);
        let found = self.remote.outbound.addresses(&self.system.name, limit);
        let ips = match found.await {
            Ok(ips) if ips.is_empty() => {
                return Item::new(What::Address, Level::Bad, "its name has no address");
            }
            Ok(ips) => ips,
            Err(error) => return Item::new(What::Address, Level::Bad, error.text),
        };
        let shown: Vec<String> = ips.iter().take(4).map(ToString::to_string).collect();
        let more = match ips.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let words = format!("{}{more}", shown.join(", "));
        let number = Number::of(ips.len(), Unit::Addresses);
        Item::new(What::Address, Level::Ok, words).with(number)
    }

    /// The cheapest question that shows whether the credentials work: the one that is configured, or a first page.
    fn question(&self, base: &Url) -> Option<(String, Request)> {
        if let Some(probe) = &self.system.probe {
            let request = Request {
                method: "GET".to_owned(),
                url: join(base, probe).ok()?.into(),
                headers: vec![("accept".to_owned(), "application/json".to_owned())],
                body: Bytes::new(),
                key: String::new(),
            };
            return Some(("the probe request".to_owned(), request));
        }
        let maps = self.system.records.values();
        maps.filter_map(|map| map.list.as_ref().map(|list| (map, list)))
            .find_map(|(map, list)| {
                let (filling, engine) = (Filling::default(), &self.remote.engine);
                let request = shape::request(base, map, &list.shape, &filling, engine).ok()?;
                Some((format!("the list of {}", map.kind), request))
            })
    }

    /// Puts a question once the budget allows it.
    async fn put(&self, what: String, request: &Request) -> Result<Answer, Silence> {
        let (name, outbound) = (&self.system.name, &self.remote.outbound);
        let manner = self.manner();
        match self.remote.pay(name, &manner).await {
            Ok(()) => {}
            Err(RemoteError::Budget { wait, .. }) => return Err(Silence::Budget(wait)),
            Err(error) => return Err(Silence::Failed(Fault::Invalid, error.to_string())),
        }
        let asked = (Instant::now(), Clock::System.now());
        let reply = outbound
            .call(name, request, self.left(ASK_LIMIT), READ_CAP)
            .await
            .map_err(|error: SendError| Silence::Failed(error.fault, error.text))?;
        if reply.status == 429 && reply.retry_after(Clock::System.now()).is_none() {
            outbound.budget(name).throttled(UNSAID);
        }
        let took = asked.0.elapsed();
        Ok(Answer {
            what,
            is_good: (200..300).contains(&reply.status),
            reply,
            took,
            at: asked.1 + took / 2,
        })
    }

    fn manner(&self) -> Manner<'static> {
        Manner {
            timeout: self.left(ASK_LIMIT),
            patience: self.left(PATIENCE),
            ..Manner::default()
        }
    }

    /// No answer came to the first question.
    fn silent(&mut self, silence: &Silence) {
        use What::{Budget, Connection, Credentials, Lookup};
        match silence {
            Silence::Budget(wait) => {
                let none = Number::of(0, Unit::Requests);
                (self.items).push(Item::new(Budget, Level::Warn, used_up(*wait)).with(none));
                self.skip(&[Credentials, Lookup], "the budget is used up");
            }
            // Nothing was sent, because there is nothing to send it with.
            Silence::Failed(Fault::Secret, why) => {
                self.add(Credentials, Level::Bad, why);
                let why = "there are no credentials to ask with";
                self.skip(&[Budget, Lookup], why);
            }
            Silence::Failed(_, why) => {
                self.replace(Item::new(Connection, Level::Bad, why));
                let why = "what was asked was not answered";
                self.skip(&[Credentials, Budget, Lookup], why);
            }
        }
    }

    /// Puts an item into the place of what was known of it before.
    fn replace(&mut self, item: Item) {
        self.items.retain(|before| before.what != item.what);
        self.items.push(item);
    }

    /// What one answer shows.
    fn answered(&mut self, answer: &Answer) {
        self.items
            .extend([credentials(self.system, answer), self.budget(&answer.reply)]);
        if let Some(item) = wrong_place(self.system, answer) {
            self.replace(item);
        }
        if let Some(date) = answer.date() {
            self.replace(clock(Some(date), answer.at));
        }
    }

    /// What is left by the vendor's own count, else by ours.
    fn budget(&self, reply: &Reply) -> Item {
        let said = (self.system.limit_headers.as_ref())
            .and_then(|names| limits::left(names, reply, Clock::System.now()));
        let asked = reply.retry_after(Clock::System.now());
        let level = |left: usize| {
            if left == 0 || reply.status == 429 {
                Level::Warn
            } else {
                Level::Ok
            }
        };
        let number = |left: usize| Number::of(left, Unit::Requests);
        match (said, asked) {
            (_, Some(wait)) if reply.status == 429 => {
                let words = format!("it throttles (429) and asks for {} of rest", short(wait));
                Item::new(What::Budget, Level::Warn, words).with(number(0))
            }
            (Some((left, reset)), _) => {
                let reset = reset.map_or_else(String::new, |span| {
                    format!("; the window ends in {}", short(span))
                });
                let words = format!("{left} more requests, as it says itself{reset}");
                Item::new(What::Budget, level(left), words).with(number(left))
            }
            (None, _) if reply.status == 429 => {
                Item::new(What::Budget, Level::Warn, "it throttles (429)").with(number(0))
            }
            (None, _) => {
                let Some(limit) = self.system.limit else {
                    let words = "no limit is configured, and it does not say what is left";
                    return Item::new(What::Budget, Level::NotAsked, words);
                };
                let left = self.remote.outbound.budget(&self.system.name).available();
                let words = format!(
                    "{left} more at once by our count, of {} in {}; it does not say itself",
                    limit.count,
                    short(limit.per)
                );
                // Our own bucket fills again: an empty one is no trouble.
                Item::new(What::Budget, Level::Ok, words).with(number(left))
            }
        }
    }

    /// Without a question for the credentials, the lookup has to show whether they work.
    async fn look_up_only(&mut self) {
        match self.look_up().await {
            Ok(Some(answer)) => self.answered(&answer),
            Ok(None) => {
                let why = format!(
                    "nothing can be asked without writing: systems.{}.probe names no request",
                    self.system.name
                );
                self.skip(&[What::Credentials, What::Budget], &why);
            }
            Err(silence) => self.silent(&silence),
        }
    }

    /// Looks one record up, and adds what it found; the answer, if one was asked for.
    async fn look_up(&mut self) -> Result<Option<Answer>, Silence> {
        let known = self.facts.known.as_ref();
        let known = known.filter(|(kind, _)| {
            let map = self.system.records.get(kind);
            map.is_some_and(|map| map.lookup.is_some())
        });
        let first = || {
            let mut maps = self.system.records.values();
            maps.find(|map| map.lookup.is_some())
        };
        let (kind, key) = if let Some((kind, key)) = known {
            (kind.clone(), key.as_str())
        } else if let Some(map) = first() {
            (map.kind.clone(), NOBODY)
        } else {
            self.skip(&[What::Lookup], "no record type of it has a lookup");
            return Ok(None);
        };
        let (name, manner) = (&self.system.name, self.manner());
        let asked = match self.remote.lookup(name, &kind, key, &manner).await {
            Ok(asked) => asked,
            Err(RemoteError::Budget { wait, .. }) => return Err(Silence::Budget(wait)),
            Err(error) => return Err(Silence::Failed(Fault::Invalid, error.to_string())),
        };
        let Some(reply) = asked.reply.clone() else {
            return Err(Silence::Failed(Fault::Cut, asked.judged.error));
        };
        let (level, words) = found(&kind, known.is_some(), &asked.found, &asked.judged.error);
        let is_refusal = asked.judged.class == Class::Rejected && known.is_none();
        let (level, words) = if is_refusal {
            // It reads keys more closely than that: only a key of its own kind would tell.
            let words = format!(
                "{kind}: it refuses a key that no record has ({}); a record that is known here would tell more",
                reply.status
            );
            (Level::NotAsked, words)
        } else {
            (level, words)
        };
        let took = Duration::from_millis(asked.step.millis.into());
        let number = Number::of(asked.step.millis, Unit::Ms);
        (self.items).push(Item::new(What::Lookup, level, words).with(number));
        Ok(Some(Answer {
            what: format!("the lookup of {kind}"),
            is_good: asked.found != Found::Failed,
            reply,
            took,
            at: Timestamp(Clock::System.now().0 - i64::from(asked.step.millis / 2)),
        }))
    }
}

fn used_up(wait: Duration) -> String {
    format!("the budget is used up for {} more", short(wait))
}

/// What a lookup brought, beside what it should have brought.
fn found(kind: &str, is_known: bool, found: &Found, error: &str) -> (Level, String) {
    match (found, is_known) {
        (Found::Failed, _) => (Level::Bad, format!("{kind}: {error}")),
        (Found::Missing, false) => (
            Level::Ok,
            format!("{kind}: a key that no record has is not there, as it should be"),
        ),
        (Found::Missing, true) => (
            Level::Warn,
            format!("{kind}: the record that changed last here is not there: was it deleted?"),
        ),
        (Found::Records(records), true) if records.len() > 1 => (
            Level::Warn,
            format!("{kind}: {} records have one key", records.len()),
        ),
        (Found::Records(_) | Found::Exists, true) => (
            Level::Ok,
            format!("{kind}: the record that changed last here is found"),
        ),
        // Deliveries would change somebody else's record.
        (Found::Records(_) | Found::Exists, false) => (
            Level::Bad,
            format!(
                "{kind}: it finds a record for a key that none has: does the lookup's url hold the key?"
            ),
        ),
    }
}

/// Something answers, and its certificate is good for long enough.
fn connection(system: &System, reached: &Reached, now: Timestamp) -> Item {
    let took = short(reached.took);
    let left = reached.certificate_until.map(|until| until.since(now));
    let (level, words) = match left {
        Some(left) if left < CERTIFICATE => (
            Level::Warn,
            format!(
                "it answers ({took}), but its certificate ends in {}",
                short(left)
            ),
        ),
        Some(left) => (
            Level::Ok,
            format!(
                "it answers ({took}), its certificate is good for {}",
                short(left)
            ),
        ),
        None if reached.is_tls => (
            Level::Ok,
            format!("it answers ({took}), its certificate is good"),
        ),
        None if system.private => (Level::Ok, format!("it answers ({took}), without TLS")),
        None => (
            Level::Warn,
            format!("it answers ({took}), without TLS: whoever is between can read along"),
        ),
    };
    let number = Number::of(reached.took.as_millis(), Unit::Ms);
    Item::new(What::Connection, level, words).with(number)
}

/// What answers is not what was meant, or is not well.
fn wrong_place(system: &System, answer: &Answer) -> Option<Item> {
    let status = answer.reply.status;
    let (name, what) = (&system.name, &answer.what);
    let (level, words) = match status {
        300..=399 => {
            let to = answer.reply.header("location").unwrap_or("another address");
            let words = format!(
                "it answers {status} to {what} and points to {to}, which is not followed: correct systems.{name}.url"
            );
            (Level::Bad, words)
        }
        404 | 410 if !answer.is_good => (
            Level::Bad,
            format!("it answers {status} to {what}: look at systems.{name}.url"),
        ),
        500.. => (Level::Warn, format!("it answers {status} to {what}")),
        _ => return None,
    };
    let number = Number::of(answer.took.as_millis(), Unit::Ms);
    Some(Item::new(What::Connection, level, words).with(number))
}

/// What the answer says of the credentials.
fn credentials(system: &System, answer: &Answer) -> Item {
    let status = answer.reply.status;
    let what = &answer.what;
    let none = system.auth == Auth::None;
    let (level, words) = match status {
        401 if none => (
            Level::Bad,
            "it asks for credentials (401), and none are configured".to_owned(),
        ),
        401 => (Level::Bad, "it does not take them (401)".to_owned()),
        403 => (
            Level::Bad,
            format!("they are not enough for {what} (403): look at their scopes"),
        ),
        _ if answer.is_good && none => (
            Level::Ok,
            "none are configured, and none are asked for".to_owned(),
        ),
        _ if answer.is_good => (Level::Ok, format!("taken, by {what} ({status})")),
        429 => (Level::NotAsked, "it throttles (429): not known".to_owned()),
        _ => (
            Level::NotAsked,
            format!("{what} brought {status}: not known"),
        ),
    };
    Item::new(What::Credentials, level, words)
}

/// How far the system's clock is ahead of ours, by the `Date` of an answer; `at` is our time in the middle of the request.
fn clock(date: Option<Timestamp>, at: Timestamp) -> Item {
    let Some(date) = date else {
        return Item::new(What::Clock, Level::NotAsked, "it does not say its time");
    };
    // `Date` is cut to the second.
    let theirs = date + Duration::from_millis(500);
    let off = theirs.since(at).max(at.since(theirs));
    let side = if theirs > at { "ahead of" } else { "behind" };
    let seconds = (theirs.0 - at.0) / 1000;
    let (level, words) = if off > CLOCK_BAD {
        let words = format!(
            "its clock is {} {side} ours: signatures with a time fail. Check this machine's with timedatectl",
            short(off)
        );
        (Level::Bad, words)
    } else if off > CLOCK_WARN {
        let words = format!(
            "its clock is {} {side} ours: check this machine's with timedatectl",
            short(off)
        );
        (Level::Warn, words)
    } else {
        let words = "agrees with ours, to a few seconds".to_owned();
        (Level::Ok, words)
    };
    Item::new(What::Clock, level, words).with(Number::of(seconds, Unit::S))
}

/// How the tokens stand, after the requests: they may have been renewed for them.
fn token(config: &Config, system: &str) -> Item {
    let now = Clock::System.now();
    let Some(health) = health(config, system, now) else {
        return Item::new(What::Token, Level::NotAsked, "it uses no OAuth tokens");
    };
    let level = match health.level {
        health::Level::Ok => Level::Ok,
        health::Level::Warn => Level::Warn,
        health::Level::Bad => Level::Bad,
    };
    let mut item = Item::new(What::Token, level, &health.words);
    item.number = (health.valid_until).map(|until| Number::of(until.since(now).as_secs(), Unit::S));
    item
}

/// How its webhook stands, as far as its vendor was asked.
fn webhook(config: &Config, system: &System, row: Option<&SenderRow>, now: Timestamp) -> Item {
    let Some(hooks) = &system.hooks else {
        return Item::new(What::Webhook, Level::NotAsked, "it has no hooks here");
    };
    let called = row.and_then(|row| row.called);
    let last = called.map_or("it never called".to_owned(), |at| {
        format!("it last called {} ago", short(now.since(at)))
    });
    let asked = row.filter(|_| hooks.watch.is_some() && system.webhooks.is_some());
    let state = asked.and_then(|row| row.state.as_deref());
    let (level, words) = match asked.and_then(watch::sender_trouble) {
        Some(trouble) if trouble.severity == Severity::Critical => (Level::Bad, trouble.words),
        Some(trouble) => (Level::Warn, trouble.words),
        None if state.is_some() => {
            let address = asked.and_then(|row| row.address.as_deref());
            let at = address.map_or_else(String::new, |address| format!(" and calls {address}"));
            (Level::Ok, format!("it is enabled{at}; {last}"))
        }
        None if called.is_none() && config.site.public_url.is_none() => (
            Level::Warn,
            format!("{last}; site.public_url is not set: what should its vendor call?"),
        ),
        None => {
            let level = called.map_or(Level::NotAsked, |_| Level::Ok);
            (level, format!("{last}; its vendor is not asked for it"))
        }
    };
    let mut item = Item::new(What::Webhook, level, words);
    item.number = called.map(|at| Number::of(now.since(at).as_secs(), Unit::S));
    item
}
