//! The checked configuration: what the rest of midwatch reads. Nothing here is a raw TOML value;
//! every reference (system, channel, runbook) has been resolved or reported.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cron::Cron;
use crate::duty::{Due, Person, Policy, Recipient, Rota, Stint, Tell};
use crate::event::contract::Contract;
use crate::queue::model::Class;
use crate::record::map::{RecordMap, Shape};
use crate::record::ownership::Entity;
use crate::time::{Timestamp, short};

/// A whole `midwatch.toml`, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file's text.
    pub text: Arc<str>,
    /// First 8 bytes of the text's SHA-256 as a number; attempts remember it.
    pub hash: i64,
    /// The file.
    pub file: PathBuf,
    /// The folder that relative paths start from (the file's).
    pub base: PathBuf,
    /// `[site]`.
    pub site: Site,
    /// `[ingest]`.
    pub ingest: Ingest,
    /// `[limits]`.
    pub limits: Limits,
    /// `[retention]`.
    pub retention: Retention,
    /// `[systems.NAME]`.
    pub systems: BTreeMap<String, System>,
    /// `[paths.NAME]`, in file order, plus one internal path for each channel (`lane == Lane::Page`), last.
    pub paths: Vec<Path>,
    /// The internal paths of repairs (`lane == Lane::Repair`), by system and record type: nobody's to list, as long as they
    /// carry nothing.
    pub repairs: Vec<Path>,
    /// `[channels.KIND.NAME]`, keyed `kind:name`.
    pub channels: BTreeMap<String, Channel>,
    /// `[mail]`.
    pub mail: Option<Mail>,
    /// `[people]`, by name. Each way to reach them is a channel too.
    pub people: BTreeMap<String, Person>,
    /// `[oncall.NAME]`.
    pub oncall: BTreeMap<String, Rota>,
    /// `[escalation.NAME]`.
    pub escalation: BTreeMap<String, Policy>,
    /// `[watch]`.
    pub watch: Watch,
    /// `[reconcile.NAME]`.
    pub reconcile: Vec<Job>,
    /// `[contracts."TYPE"]`, by event type.
    pub contracts: BTreeMap<String, Contract>,
    /// `[entities.NAME]`, by record type.
    pub entities: BTreeMap<String, Arc<Entity>>,
}

impl Config {
    /// The path called `name`, also an internal one.
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.all_paths().find(|path| path.name == name)
    }

    /// What an `escalation` means; a channel alone has a policy of its own. None if it is neither.
    pub fn policy(&self, name: &str) -> Option<Policy> {
        let of_channel = || {
            self.channels
                .get(name)
                .map(|one| Policy::of_channel(&one.name))
        };
        self.escalation.get(name).cloned().or_else(of_channel)
    }

    /// Who is told by a level's line, and where: whoever is on call at `now`, a person, or a channel. Nobody where it leads
    /// nowhere.
    pub fn recipient(&self, tell: &Tell, taken: &[Stint], now: Timestamp) -> Option<Recipient> {
        let person = |name: &str| {
            self.people.get(name).map(|person| Recipient {
                who: person.name.clone(),
                channels: person.channels.clone(),
            })
        };
        match tell {
            Tell::Person(name) => person(name),
            Tell::Rota(name) => {
                let rota = self.oncall.get(name)?;
                person(rota.on_call(now, taken, self.site.timezone).0)
            }
            Tell::Channel(name) => self.channels.get(name).map(|channel| Recipient {
                who: channel.name.clone(),
                channels: vec![channel.name.clone()],
            }),
        }
    }

    /// All that deliver: `paths`, then `repairs`.
    pub fn all_paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().chain(&self.repairs)
    }
}

/// `[site]`.
#[derive(Debug, Clone)]
pub struct Site {
    /// Shown in the header.
    pub name: String,
    /// IANA time zone of screens and rotas.
    pub timezone: chrono_tz::Tz,
    /// What senders call, if it is behind a proxy.
    pub public_url: Option<String>,
    /// The database file, absolute.
    pub database: PathBuf,
    /// The folder of rolling log files, absolute.
    pub logs: PathBuf,
    /// The folder of contracts, absolute: `TYPE/VERSION.json`.
    pub contracts: PathBuf,
    /// Unix group that may read and act beside the owner.
    pub group: Option<String>,
    /// Records created before this are adopted (ids, agreed values), never sent of themselves.
    pub live_from: Option<Timestamp>,
}

/// The address that a vendor calls for a system's events, below the public one.
pub fn hook_address(public: &str, system: &str) -> String {
    format!("{}/hooks/{system}", public.trim_end_matches('/'))
}

/// `[ingest]`.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Where the front door listens; loopback unless `token` is set.
    pub listen: SocketAddr,
    /// Bearer token that `POST /events` (and `/metrics` on a public address) must carry.
    pub token: Option<SecretRef>,
    /// Largest accepted body in bytes, at most 1 MiB.
    pub max_body: usize,
    /// How long ids and keys are remembered for deduplication.
    pub dedupe: Duration,
}

/// `[limits]`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Attempts under way at once, over all paths.
    pub concurrency: usize,
    /// Free bytes below which nothing more is accepted.
    pub disk_reserve: u64,
}

/// `[retention]`.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Delivered payloads and their attempts are pruned after this.
    pub delivered: Duration,
    /// Log and audit rows are pruned after this.
    pub log: Duration,
    /// Records that nothing has happened to for so long are forgotten: ids, agreed values, story. None: never.
    pub ledger: Option<Duration>,
}

/// Where a secret is read from; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `env:NAME`.
    Env(String),
    /// `file:PATH`, absolute here; refused when readable by others.
    File(PathBuf),
}

/// `[systems.NAME]`: an outside application.
#[derive(Debug, Clone)]
pub struct System {
    /// Its name.
    pub name: String,
    /// Base URL; paths and jobs append to it.
    pub url: Option<String>,
    /// How requests to it authenticate.
    pub auth: Auth,
    /// Its address may be private or loopback.
    pub private: bool,
    /// One budget for paths, probes and reconciliation.
    pub limit: Option<RateLimit>,
    /// Its webhooks: `POST /hooks/NAME`.
    pub hooks: Option<Hooks>,
    /// Its events may also come unsigned, by `POST /events`, although it has hooks.
    pub accepts_events: bool,
    /// The preset that it was read over.
    pub preset: Option<String>,
    /// Its record types, by name.
    pub records: BTreeMap<String, Arc<RecordMap>>,
    /// What its events are worth.
    pub trust: Trust,
    /// Record types that are asked for by listing, for systems without webhooks: (type, interval).
    pub poll: Vec<(String, Duration)>,
    /// The vendor's headers that say how much of the budget is left.
    pub limit_headers: Option<LimitHeaders>,
    /// Outgoing requests are signed with this, in the way of Standard Webhooks.
    pub sign: Option<SecretRef>,
    /// Extra headers of every request to it (an API version), fixed texts.
    pub headers: Vec<(String, String)>,
    /// How the vendor lists and enables its webhooks; none where it cannot be asked.
    pub webhooks: Option<Webhooks>,
    /// How it is asked for what did not come in; none where it cannot be asked.
    pub missed: Option<Missed>,
    /// The vendor's status page.
    pub status: Option<String>,
    /// A cheap request that shows that address and credentials work: a GET, relative to `url`.
    pub probe: Option<String>,
}

/// What a system's events are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// The event carries the record.
    #[default]
    Event,
    /// The event only says which record changed: it is read before it is delivered.
    Refetch,
}

/// Headers of an answer that speak of the rate budget; names lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitHeaders {
    /// How many requests are left in the window.
    pub remaining: String,
    /// When the window ends; none: after the configured window.
    pub reset: Option<String>,
    /// How `reset` is written.
    pub reset_unit: ResetUnit,
}

/// How the end of a rate window is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetUnit {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Millis,
    /// Unix seconds.
    UnixSeconds,
}

/// How a vendor's webhooks are listed and enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhooks {
    /// Lists them; `answer` leads to the array.
    pub list: Shape,
    /// JSON Pointer to one's id.
    pub id: String,
    /// JSON Pointer to the address it calls.
    pub address: String,
    /// JSON Pointer to its state.
    pub state: String,
    /// The state that means enabled, as text.
    pub enabled: String,
    /// Enables one: a template over `id`.
    pub enable: Option<Shape>,
}

/// `missed`: how a system is asked for events that did not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// What is listed.
    pub listed: Listed,
    /// How far back the vendor keeps what it lists; none: for ever, as far as is known.
    pub horizon: Option<Duration>,
    /// A sender that called before and has not for this long is asked.
    pub silence: Duration,
}

/// What a system lists of what was missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// Its own events, by the list of this record type: each is the body of a webhook.
    Events(String),
    /// Records of these types that changed: each comes as `KIND.changed`.
    Records(Vec<String>),
}

impl Missed {
    /// The record types whose lists are asked.
    pub fn kinds(&self) -> &[String] {
        match &self.listed {
            Listed::Events(kind) => std::slice::from_ref(kind),
            Listed::Records(kinds) => kinds,
        }
    }
}

impl System {
    /// How it is asked for what did not come in, where it calls us at all.
    pub fn backfill(&self) -> Option<&Missed> {
        self.hooks.as_ref().and(self.missed.as_ref())
    }

    /// A system of which nothing is said but its name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: None,
            auth: Auth::None,
            private: false,
            limit: None,
            hooks: None,
            accepts_events: false,
            preset: None,
            records: BTreeMap::new(),
            trust: Trust::Event,
            poll: Vec::new(),
            limit_headers: None,
            sign: None,
            headers: Vec::new(),
            webhooks: None,
            missed: None,
            status: None,
            probe: None,
        }
    }

    /// Whether a preset describes it as a known vendor's API; `rest` is any API, one's own too.
    pub fn is_vendor(&self) -> bool {
        self.preset
            .as_deref()
            .is_some_and(|preset| preset != "rest")
    }

    /// Whether its events are believed only when they are signed: whoever reaches `POST /events` cannot send them.
    pub fn signs(&self) -> bool {
        self.hooks.is_some() && !self.accepts_events
    }
}

/// How requests authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer`.
    Bearer(SecretRef),
    /// `Authorization: Basic` of (user, password).
    Basic(SecretRef, SecretRef),
    /// One header of that name.
    Header(String, SecretRef),
    /// OAuth 2 (RFC 6749).
    OAuth2(Arc<OAuth2>),
}

/// How tokens are obtained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// Client credentials, or a code that `midwatch login` turns into tokens.
    pub grant: Grant,
    /// The token endpoint, absolute.
    pub token_url: String,
    /// The authorization endpoint, absolute; only for codes.
    pub authorize_url: Option<String>,
    /// The client's id.
    pub client_id: SecretRef,
    /// The client's secret; none for public clients (PKCE alone).
    pub client_secret: Option<SecretRef>,
    /// Scopes, as one text.
    pub scope: Option<String>,
    /// The address the vendor sends the browser back to; only for codes. A loopback one is listened on.
    pub redirect: Option<String>,
    /// The client authenticates in the body (`client_secret_post`) instead of by Basic.
    pub secret_in_body: bool,
}

/// An OAuth 2 grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// RFC 6749, 4.4.
    ClientCredentials,
    /// RFC 6749, 4.1 with RFC 7636 (PKCE), then refresh tokens.
    AuthorizationCode,
}

/// `count` requests in `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many, at least 1.
    pub count: u32,
    /// In how long, more than zero.
    pub per: Duration,
}

/// The signed webhooks of a system.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// How signatures are made.
    pub recipe: Recipe,
    /// Any of these may have signed (rotation).
    pub secrets: Vec<SecretRef>,
    /// How the vendor's request becomes an event: minijinja over `headers` and `body`.
    pub mapping: HookMapping,
    /// JSON Pointers into the body that do not count when two deliveries of one event are compared.
    pub exclude: Vec<String>,
    /// Ask the vendor this often whether its webhook is still enabled; none: never.
    pub watch: Option<Duration>,
}

/// A signature recipe: `hooks.recipe = "stripe"` or a table of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Its name, for messages.
    pub name: String,
    /// The header that carries the signature, lower case.
    pub header: String,
    /// How the header is read.
    pub parser: HeaderParser,
    /// How the secret's text becomes a key.
    pub key: KeyDecoding,
    /// What is signed: literal text and the placeholders of `event::signature::base`, concatenated.
    pub base: String,
    /// How the signature is written.
    pub encoding: Encoding,
    /// The header that carries the time stamp, if it is not in the signature header.
    pub timestamp_header: Option<String>,
    /// The header that carries the message id, for `{id}`.
    pub id_header: Option<String>,
    /// The unit of the time stamp.
    pub timestamp_unit: TimestampUnit,
    /// How old a time stamp may be; none where the vendor signs no time.
    pub tolerance_past: Option<Duration>,
    /// How far ahead a time stamp may be.
    pub tolerance_future: Option<Duration>,
}

/// How a signature header is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderParser {
    /// The whole value is the signature, after this prefix (`sha256=`; may be empty).
    Prefix(String),
    /// `t=123,v1=abc,v1=def`: comma-separated pairs; names of the time stamp and of the signatures.
    Pairs {
        /// Name of the time stamp's pair.
        timestamp: String,
        /// Name of a signature's pair.
        signature: String,
    },
    /// Standard Webhooks: `v1,abc v1,def`, space-separated, versioned.
    Versioned(String),
}

/// How a secret's text becomes an HMAC key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyDecoding {
    /// The text's bytes as they are.
    Raw,
    /// Base64 after an optional `whsec_`.
    Base64AfterPrefix,
    /// Base64.
    Base64,
    /// Hexadecimal.
    Hex,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower or upper case hexadecimal.
    Hex,
    /// Standard base64.
    Base64,
}

/// The unit of a time stamp in a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Unix seconds.
    Seconds,
    /// Unix milliseconds.
    Milliseconds,
}

/// What a vendor sends to an address that is registered with it, before any event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ping {
    /// Nothing.
    None,
    /// A form with nothing but the hook's number, unsigned, to be answered 200 (WooCommerce).
    Registration,
    /// A signed body whose `challenge` is to be sent back (Slack, "Using the Events API", section "URL verification handshake").
    Challenge,
}

/// How a vendor's request becomes an event. Each is a minijinja template over `headers` (names lower case) and `body` (parsed JSON).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookMapping {
    /// Event type; must not render empty.
    pub kind: String,
    /// Event id; empty means the SHA-256 of type and body.
    pub id: String,
    /// Subject; empty means none.
    pub subject: String,
    /// RFC 3339 or Unix seconds; empty means none.
    pub time: String,
    /// Idempotency key; empty means none.
    pub key: String,
    /// How the vendor tries the address before it sends events there.
    pub ping: Ping,
    /// The status of a good answer (WooCommerce wants exactly 200); 202 by default.
    pub ok_status: u16,
}

/// When a path delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Near-real-time, non-critical: three tries in five minutes.
    Webhook,
    /// Critical: long budget, dead-lettered.
    Queue,
    /// Reconciliation only: nothing is delivered event by event.
    Scheduled,
}

impl Sync {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Queue => "queue",
            Self::Scheduled => "scheduled",
        }
    }
}

/// Which slots a path's deliveries use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Integration traffic.
    Work,
    /// Pages and escalations: slots of their own, so that they pass when work is stuck.
    Page,
    /// What a person decided, on its way to a system: in the slots of work, but no path's events.
    Repair,
}

/// The source of internal events, where internal paths begin.
pub const INTERNAL: &str = "midwatch";

/// How the names of repair paths begin; no configured name has a slash.
pub const REPAIR: &str = "repair/";

/// `[paths.NAME]`: one integration path.
#[derive(Debug, Clone)]
pub struct Path {
    /// Its name. Internal paths are called `page/KIND:NAME` and `repair/SYSTEM.TYPE`.
    pub name: String,
    /// The source system.
    pub from: String,
    /// The receiving system (for a page path, the channel).
    pub to: String,
    /// Event types: exact, or a prefix ending in `*`.
    pub events: Vec<String>,
    /// minijinja expression over the event; must be true for it to be routed.
    pub when: Option<String>,
    /// Sync pattern.
    pub sync: Sync,
    /// Lane.
    pub lane: Lane,
    /// minijinja expression over the event whose value orders deliveries: same value, commit order. None: without order,
    /// or, on a path with `mapping`, by the record's business key.
    pub order_by: Option<String>,
    /// A dead head lets the next of its key pass.
    pub on_dead_continue: bool,
    /// Who answers for it.
    pub owner: String,
    /// Where it escalates to: a policy or a channel ([`Config::policy`]).
    pub escalation: Option<String>,
    /// The runbook's file, absolute.
    pub runbook: Option<PathBuf>,
    /// The request.
    pub request: RequestTemplate,
    /// Delays before attempt 1, 2, ...; its length is the budget of charged attempts.
    pub schedule: Vec<Duration>,
    /// Jitter as a fraction of the delay, 0 to 1.
    pub jitter: f64,
    /// Total deadline of one attempt.
    pub timeout: Duration,
    /// Attempts of this path under way at once, at least 1.
    pub concurrency: usize,
    /// The longest Retry-After that is obeyed.
    pub retry_after_cap: Duration,
    /// When the breaker opens and how it heals.
    pub breaker: BreakerPolicy,
    /// Overrides of the classes, first match wins.
    pub classes: Vec<ClassOverride>,
    /// When the business notices that a delivery is late.
    pub due: Option<Due>,
    /// minijinja expression for the value at stake, a decimal (`data.total`).
    pub value: Option<String>,
    /// Live, or shadow until `midwatch golive`.
    pub mode: Mode,
    /// The records that it carries over; none: the event's bytes or `request`'s templates.
    pub mapping: Option<Mapping>,
    /// Versions of its events' contracts that it reads; an event of another one is cast to the last of them that a cast
    /// leads to. Empty: all, as they come.
    pub reads: Vec<String>,
    /// What it carries may be lost without harm (a chat message), so that a `webhook` pattern fits whatever it carries.
    pub tolerates_loss: bool,
}

impl Path {
    /// What the repair path of a record type in a system is called.
    pub fn repair(system: &str, kind: &str) -> String {
        format!("{REPAIR}{system}.{kind}")
    }
}

/// Whether a path sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It sends.
    #[default]
    Live,
    /// It renders and records, and sends nothing until `midwatch golive PATH`.
    Shadow,
}

/// A path from one record type to another: `route = "shop.order -> crm.order"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Record type in the source system.
    pub source: String,
    /// Record type in the receiving system.
    pub target: String,
    /// What may be done there.
    pub write: Write,
    /// Only these fields; empty: all that both maps have, if the types are the same.
    pub fields: Vec<String>,
    /// Fields set by a template over the event and the source's `fields`, in order.
    pub set: Vec<(String, String)>,
    /// Types of records whose id in the receiving system must be known first.
    pub needs: Vec<String>,
    /// Types of records that it is joined to after it was written (each with a `links` shape in the receiver's map).
    pub links: Vec<String>,
    /// How long it waits for `needs` before it goes to review.
    pub needs_within: Duration,
}

/// What a mapped path may do in the receiving system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Look up, then create or update.
    Upsert,
    /// Look up, and create what is missing; what is there stays as it is.
    Create,
    /// Look up, and update what is there; what is missing is waited for, like `needs`.
    Update,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTemplate {
    /// HTTP method, upper case.
    pub method: String,
    /// URL relative to the receiving system's, or absolute; a minijinja template.
    pub url: String,
    /// Extra headers; values are minijinja templates.
    pub headers: Vec<(String, String)>,
    /// Body template; none means the original bytes.
    pub body: Option<String>,
    /// The header that carries the idempotency key.
    pub key_header: String,
}

impl RequestTemplate {
    /// The request depends on the event beyond its bytes, so it is rendered once and frozen.
    pub fn is_rendered(&self) -> bool {
        self.body.is_some()
            || self.url.contains("{{")
            || self.url.contains("{%")
            || self.headers.iter().any(|(_, value)| value.contains('{'))
    }
}

/// When a breaker opens and how it heals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerPolicy {
    /// Failure rate (0 to 1) over `window` that opens it.
    pub rate: f64,
    /// At least this many attempts in `window` before the rate counts.
    pub min: u32,
    /// The window.
    pub window: Duration,
    /// How long it stays open before a single probe.
    pub cooldown: Duration,
    /// Distinct records that were rejected or refused for good, with no success between, that open it.
    pub refused: u32,
}

/// An override of an outcome's class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassOverride {
    /// Statuses it applies to: lowest and highest.
    pub status: (u16, u16),
    /// Text that the answer's body must contain.
    pub body_contains: Option<String>,
    /// The class it becomes.
    pub class: Class,
}

/// `[channels.KIND.NAME]`: where pages and escalations go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// `kind:name`.
    pub name: String,
    /// How it is spoken to.
    pub kind: ChannelKind,
    /// Its address may be private or loopback.
    pub private: bool,
}

/// How a channel is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelKind {
    /// Mail, by the server of `[mail]`.
    Email {
        /// Addresses.
        to: Vec<String>,
    },
    /// A topic of ntfy.
    Ntfy {
        /// The topic's whole URL, itself a secret: whoever knows it reads along.
        topic: SecretRef,
        /// An access token for it.
        token: Option<SecretRef>,
        /// The topic that its buttons answer to; none: no buttons.
        replies: Option<SecretRef>,
    },
    /// PagerDuty, Events API v2.
    PagerDuty {
        /// The integration key.
        key: SecretRef,
        /// Where events are taken.
        url: String,
    },
    /// An incoming webhook of Slack, or of what speaks like it; its URL is the secret.
    Slack(SecretRef),
    /// Anything that takes a POST; its URL is the secret.
    Webhook(SecretRef),
}

impl ChannelKind {
    /// The word of the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Email { .. } => "email",
            Self::Ntfy { .. } => "ntfy",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Slack(_) => "slack",
            Self::Webhook(_) => "webhook",
        }
    }
}

/// `[mail]`: the server that takes our mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept private.
    pub security: Security,
    /// User and password.
    pub login: Option<(String, SecretRef)>,
    /// Who it is from.
    pub from: String,
    /// Its address may be private or loopback.
    pub private: bool,
}

/// How a mail connection is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// TLS after STARTTLS, never without (RFC 3207).
    StartTls,
    /// In clear, for a server on this machine.
    None,
}

/// `[watch]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Where what belongs to no path escalates to: a policy or a channel.
    pub escalation: Option<String>,
    /// An acknowledgement holds this long, unless the one who gave it goes on working.
    pub lease: Duration,
    /// The URL that is asked while all is well, so that somebody else notices when it is not.
    pub heartbeat: Option<SecretRef>,
    /// How often.
    pub heartbeat_every: Duration,
    /// The console rings at a new critical incident.
    pub bell: bool,
    /// The heartbeat's address may be private or loopback.
    pub private: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            escalation: None,
            lease: Duration::from_secs(30 * 60),
            heartbeat: None,
            heartbeat_every: Duration::from_secs(60),
            bell: true,
            private: false,
        }
    }
}

/// `[reconcile.NAME]`: something that is checked on a schedule, and measured against thresholds.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it checks.
    pub check: Check,
    /// When.
    pub timing: Timing,
    /// Who answers for it.
    pub owner: String,
    /// Its runbook's file, absolute.
    pub runbook: Option<PathBuf>,
}

impl Job {
    /// The comparison of two systems; none for a job that watches queues.
    pub fn records(&self) -> Option<&Records> {
        match &self.check {
            Check::Records(records) => Some(records),
            Check::Backlog(_) => None,
        }
    }

    /// What its sides are called: their systems, and what a job that compares none watches.
    pub fn called(&self) -> [&str; 2] {
        self.records().map_or(["queue", "limits"], |records| {
            let [first, second] = &records.sides;
            [first.system.as_str(), second.system.as_str()]
        })
    }

    /// The drift that warns and that is critical, as shares; none where they are not given as such.
    pub fn shares(&self) -> Option<[f64; 2]> {
        let limits = &self.records()?.thresholds;
        Some([limits.warn.share?, limits.critical.share?])
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(every) => write!(f, "every {}", short(*every)),
            Self::Cron(cron) => write!(f, "at {cron}"),
        }
    }
}

/// What a job checks.
#[derive(Debug, Clone)]
pub enum Check {
    /// That two systems hold the same.
    Records(Box<Records>),
    /// That the queue of some paths is healthy.
    Backlog(Backlog),
}

/// When a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// So long after the start of the last run.
    Every(Duration),
    /// At these times, in the site's time zone.
    Cron(Cron),
}

/// A comparison of two systems.
#[derive(Debug, Clone)]
pub struct Records {
    /// The record type whose owners are asked: that of `[entities]`.
    pub entity: String,
    /// The two sides; the first is the reference.
    pub sides: [JobSide; 2],
    /// How records of one side belong to those of the other.
    pub matching: Matching,
    /// Compared fields.
    pub fields: Vec<JobField>,
    /// Only what changed within this time before the run is listed; none: everything.
    pub window: Option<Duration>,
    /// Records younger than this on either side are skipped.
    pub grace: Duration,
    /// How much drift is too much.
    pub thresholds: Thresholds,
    /// What becomes of differences.
    pub repair: RepairMode,
    /// What a repair never does.
    pub rails: Rails,
}

/// One side of a comparison.
#[derive(Debug, Clone)]
pub struct JobSide {
    /// The system.
    pub system: String,
    /// The record type.
    pub kind: String,
    /// How its records are listed and read.
    pub map: Arc<RecordMap>,
    /// The map is one of the system's own: its records can be looked up, and written.
    pub declared: bool,
}

/// How records of two sides belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matching {
    /// One to one, by business key.
    Key,
    /// The preset `payment-order`: payments (the first side) are summed up by the order that they name (the second).
    Money(Box<Money>),
}

/// Which fields say what of payments and orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Of a payment: the business key that leads to its order, a `refs` of this record type.
    pub of: String,
    /// Of a payment: what was captured.
    pub captured: String,
    /// Of a payment: what was given back; none where the map has no such field.
    pub refunded: Option<String>,
    /// Of a payment: the statuses in which it counts; empty: in all.
    pub counts: Vec<String>,
    /// Of an order: what it costs.
    pub total: String,
    /// Of an order: statuses that say that it is paid.
    pub paid: Vec<String>,
    /// Of an order: statuses that say that it is not paid yet.
    pub pending: Vec<String>,
    /// Of an order: statuses that say that nothing is owed for it.
    pub cancelled: Vec<String>,
    /// The status that a paid order should have where it is still pending: what a repair writes.
    pub becomes: Option<String>,
}

/// One compared field, by its canonical name: the same in both record maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobField {
    /// Its name.
    pub name: String,
    /// How values are compared; none: as the record map's type says.
    pub compare: Option<Compare>,
    /// Values that mean the same, in groups (status parity).
    pub equal: Vec<Vec<String>>,
    /// Kept and shown only as a keyed hash.
    pub sensitive: bool,
}

/// Drift that warns, and drift that is critical.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// From here on it warns.
    pub warn: Limit,
    /// From here on it is critical.
    pub critical: Limit,
}

/// A limit: reached when any of its parts is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limit {
    /// Differing records over compared ones, 0 to 1.
    pub share: Option<f64>,
    /// Differing records.
    pub count: Option<u64>,
    /// Money that differs, as decimal text in major units, and its ISO 4217 code.
    pub money: Vec<(String, String)>,
}

impl fmt::Display for Limit {
    /// As it is written: `1% or 3 records or 500 NOK`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.share.map(|share| format!("{}%", share * 100.0));
        let count = self.count.map(|count| match count {
            1 => "1 record".to_owned(),
            count => format!("{count} records"),
        });
        let money = (self.money.iter()).map(|(amount, code)| format!("{amount} {code}"));
        let parts: Vec<String> = share.into_iter().chain(count).chain(money).collect();
        f.write_str(&parts.join(" or "))
    }
}

/// What becomes of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairMode {
    /// They are told.
    #[default]
    Report,
    /// A plan is made, which a person approves.
    Propose,
    /// A plan is made and carried out, inside the rails.
    Apply,
}

impl RepairMode {
    /// Every mode with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("report", Self::Report),
        ("propose", Self::Propose),
        ("apply", Self::Apply),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, mode)| *mode == self)
            .map_or("", |(word, _)| word)
    }
}

/// What a repair never does.
#[derive(Debug, Clone, PartialEq)]
pub struct Rails {
    /// Records that one run may write.
    pub max: u64,
    /// Drift above which nothing is written at all: something larger is wrong.
    pub stop_above: Limit,
    /// Records that only the other side has may be deleted, if both listings were complete and not empty.
    pub deletes: bool,
    /// How long a plan can be approved.
    pub expires: Duration,
}

/// What a job watches of queues. Pairs are (warn, critical).
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// The paths; empty: all.
    pub paths: Vec<String>,
    /// The window of `replayed`.
    pub window: Duration,
    /// Dead deliveries: the error backlog.
    pub dead: Option<(u64, u64)>,
    /// Work that is due and not done.
    pub due: Option<(u64, u64)>,
    /// Age of the oldest dead delivery.
    pub oldest_dead: Option<(Duration, Duration)>,
    /// Share of replayed deliveries that were delivered, 0 to 1: below it.
    pub replayed: Option<(f64, f64)>,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Canonical JSON equality; numbers and their text are equal.
    Exact,
    /// Text without regard to case and surrounding blanks.
    Casefold,
    /// Decimal amounts, exactly.
    Money,
    /// RFC 3339 instants.
    Instant,
    /// Texts without order: of an array, or separated by `,` or `;`.
    Set,
}

impl Compare {
    /// Every comparison with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("exact", Self::Exact),
        ("casefold", Self::Casefold),
        ("money", Self::Money),
        ("instant", Self::Instant),
        ("set", Self::Set),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, compare)| *compare == self)
            .map_or("", |(word, _)| word)
    }
}
