//! `Remote`: does what a record map declares against its system, one request at a time: look a record up by its business
//! key, read it by id, create, update, delete, link, list (`list`). Each request waits for the system's shared budget, is judged like any
//! attempt, and leaves a `Step`. It must never decide what follows from an answer, and never repeat a request: that is its
//! callers' business (mapped deliveries, `try`, `adopt`, polling, `probe`).

mod judge;
pub mod list;
mod pages;
#[cfg(test)]
mod pages_tests;
mod prepaid;
pub mod probe;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;

pub use self::prepaid::Prepaid;
use crate::config::live::Live;
use crate::config::model::ClassOverride;
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::http::reply::Reply;
use crate::queue::classify::Judged;
use crate::queue::model::{Class, Request, Step};
use crate::queue::{passed_on, render};
use crate::record::RecordError;
use crate::record::map::{RecordMap, Shape};
use crate::record::mask;
use crate::record::shape::{self, Filling};
use crate::record::value::Record;
use crate::time::{Clock, short};

/// The most that is read of an answer: a record, or the hits of a lookup.
const READ_CAP: usize = 1 << 20;

/// How long a system is left alone that throttles without saying for how long.
const UNSAID: Duration = Duration::from_secs(2);

/// Does what record maps declare. Cheap to clone; all clones share connections, budgets and compiled templates.
#[derive(Debug, Clone)]
pub struct Remote {
    live: Live,
    outbound: Outbound,
    engine: Engine,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb<'a> {
    /// "Is it there, and what does it hold?", by business key.
    Lookup,
    /// One record by the system's id.
    Read,
    /// Make one.
    Create,
    /// Change one, by the system's id.
    Update,
    /// Remove one, by the system's id.
    Delete,
    /// Join one to a record of this type.
    Link(&'a str),
}

impl<'a> Verb<'a> {
    /// The words of the step.
    pub fn words(self) -> String {
        match self {
            Self::Lookup => "lookup".to_owned(),
            Self::Read => "read".to_owned(),
            Self::Create => "create".to_owned(),
            Self::Update => "update".to_owned(),
            Self::Delete => "delete".to_owned(),
            Self::Link(kind) => format!("link {kind}"),
        }
    }

    /// It may change something there: an outcome that is not known matters.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Lookup | Self::Read)
    }

    /// The map's shape for it.
    pub fn shape(self, map: &'a RecordMap) -> Option<&'a Shape> {
        match self {
            Self::Lookup => map.lookup.as_ref(),
            Self::Read => map.read.as_ref(),
            Self::Create => map.create.as_ref(),
            Self::Update => map.update.as_ref(),
            Self::Delete => map.delete.as_ref(),
            Self::Link(kind) => map.links.get(kind),
        }
    }
}

/// In which manner requests are made.
#[derive(Debug, Clone)]
pub struct Manner<'a> {
    /// Total deadline of each request, from resolving the name to the end of the answer.
    pub timeout: Duration,
    /// The longest wait for the system's budget before it.
    pub patience: Duration,
    /// Overrides of the outcome's class, first match wins.
    pub classes: &'a [ClassOverride],
    /// The longest Retry-After that is obeyed.
    pub cap: Duration,
    /// (event source, event id, path): writes carry an idempotency key made of these and of the request. None: no key.
    pub keyed: Option<[&'a str; 3]>,
    /// A system, and headers that requests to it carry where they have none of that name.
    pub passed_on: Option<(&'a str, &'a [(String, String)])>,
    /// A token of a system's budget that was taken before.
    pub prepaid: Option<&'a Prepaid>,
    /// It only looks: deliveries go first.
    pub yields: bool,
}

impl Default for Manner<'_> {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            patience: Duration::from_secs(60),
            classes: &[],
            cap: Duration::from_secs(3600),
            keyed: None,
            passed_on: None,
            prepaid: None,
            yields: false,
        }
    }
}

/// What a request brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It failed: `Asked::judged` says how.
    Failed,
    /// There is no such record.
    Missing,
    /// The records of the answer: one or more for a lookup, one for a read, none or one for a write (not every system
    /// answers with what it wrote).
    Records(Vec<Record>),
    /// A create found it there already, or a link was there already.
    Exists,
}

/// One request, made.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What it brought.
    pub found: Found,
    /// Class, status and words, as of any attempt; `Class::Delivered` unless it failed.
    pub judged: Judged,
    /// The answer, if there was one.
    pub reply: Option<Reply>,
    /// What was sent, without secrets; its address as it may be kept and shown.
    pub request: Request,
    /// The step, for the attempt's record.
    pub step: Step,
}

impl Asked {
    /// The only record that was found; none if there were none or several.
    pub fn only(&self) -> Option<&Record> {
        match &self.found {
            Found::Records(records) if records.len() == 1 => records.first(),
            _ => None,
        }
    }
}

/// Why a request was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The configuration has no such system, or it has no URL.
    #[error("system {0} is not configured, or has no url")]
    System(String),
    /// The system has no map of that record type.
    #[error("system {system} has no records.{kind}")]
    Kind {
        /// The system.
        system: String,
        /// The record type.
        kind: String,
    },
    /// The map does not say how.
    #[error("{system}.{kind} has no `{shape}`")]
    Shape {
        /// The system.
        system: String,
        /// The record type.
        kind: String,
        /// What is missing: `lookup`, `links.contact`.
        shape: String,
    },
    /// A listing cannot be resumed from there: it is not on the system's own origin any more.
    #[error("the listing of {0}.{1} cannot go on where it was broken off: its address has changed")]
    Resume(String, String),
    /// The request could not be made of the record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The system's budget is used up for longer than the manner has patience.
    #[error("the budget of {system} is used up for {}", short(*.wait))]
    Budget {
        /// The system.
        system: String,
        /// How long, at least.
        wait: Duration,
    },
}

impl Remote {
    /// Against the systems of the configuration in force.
    pub fn new(live: Live, outbound: Outbound, engine: Engine) -> Self {
        Self {
            live,
            outbound,
            engine,
        }
    }

    /// The record map of `kind` in `system`.
    ///
    /// # Errors
    /// `System` and `Kind`, where there is none.
    pub fn map(&self, system: &str, kind: &str) -> Result<Arc<RecordMap>, RemoteError> {
        let runtime = self.live.borrow();
        let found = runtime.config.systems.get(system);
        let found = found.ok_or_else(|| RemoteError::System(system.to_owned()))?;
        let map = found.records.get(kind).ok_or_else(|| RemoteError::Kind {
            system: system.to_owned(),
            kind: kind.to_owned(),
        })?;
        Ok(Arc::clone(map))
    }

    /// Looks a record up by its business key.
    ///
    /// # Errors
    /// When no request could be made; what a request brings, also a failure, is in `Asked`.
    pub async fn lookup(
        &self,
        system: &str,
        kind: &str,
        key: &str,
        manner: &Manner<'_>,
    ) -> Result<Asked, RemoteError> {
        let map = self.map(system, kind)?;
        let filling = Filling {
            key: Some(key),
            ..Filling::default()
        };
        self.send(&map, Verb::Lookup, &filling, manner).await
    }

    /// Reads a record by the system's id.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    pub async fn read(
        &self,
        system: &str,
        kind: &str,
        id: &str,
        manner: &Manner<'_>,
    ) -> Result<Asked, RemoteError> {
        let map = self.map(system, kind)?;
        let filling = Filling {
            id: Some(id),
            ..Filling::default()
        };
        self.send(&map, Verb::Read, &filling, manner).await
    }

    /// The request that `verb` would send, without sending it.
    ///
    /// # Errors
    /// `System`, `Shape` and `Record`.
    pub fn request(
        &self,
        map: &RecordMap,
        verb: Verb<'_>,
        filling: &Filling<'_>,
        manner: &Manner<'_>,
    ) -> Result<Request, RemoteError> {
        let shape = shape_of(map, verb)?;
        let base = self.base(&map.system)?;
        let mut request = shape::request(&base, map, shape, filling, &self.engine)?;
        if let Some((system, headers)) = manner.passed_on
            && system == map.system
        {
            passed_on::add(&mut request.headers, headers.to_vec());
        }
        if verb.writes()
            && let Some([source, id, path]) = manner.keyed
        {
            // The same bytes to another place are another request: a receiver that honours keys would refuse it, or
            // answer with what it did there.
            let path = format!("{path} {} {}", request.method, request.url);
            request.key = render::key(source, id, &path, &request.body);
        }
        Ok(request)
    }

    /// Makes one request, once the system's budget allows it.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    pub async fn send(
        &self,
        map: &RecordMap,
        verb: Verb<'_>,
        filling: &Filling<'_>,
        manner: &Manner<'_>,
    ) -> Result<Asked, RemoteError> {
        let shape = shape_of(map, verb)?;
        let mut request = self.request(map, verb, filling, manner)?;
        self.pay(&map.system, manner).await?;
        let start = Instant::now();
        let result = self
            .outbound
            .call(&map.system, &request, manner.timeout, READ_CAP)
            .await;
        let took = start.elapsed();
        let now = Clock::System.now();
        let question = judge::Question {
            map,
            shape,
            verb,
            key: filling.key,
            manner,
        };
        let (found, judged) = judge::judge(&question, &result, now, &self.engine);
        if judged.class == Class::Throttled {
            let asked = judged.asked.unwrap_or(UNSAID.min(manner.cap));
            self.outbound.budget(&map.system).throttled(asked);
        }
        // A key that must not be shown stands in the address that it is looked up by.
        request.url = self.shown_url(map, shape, filling, &request);
        let step = Step {
            what: verb.words(),
            method: request.method.clone(),
            url: request.url.clone(),
            status: judged.status,
            millis: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            note: judge::note(verb, &found, &judged),
        };
        Ok(Asked {
            found,
            judged,
            reply: result.ok(),
            request,
            step,
        })
    }

    /// The request's address as it may be kept and shown: without the key where that is sensitive.
    pub fn shown_url(
        &self,
        map: &RecordMap,
        shape: &Shape,
        filling: &Filling<'_>,
        request: &Request,
    ) -> String {
        let Some(key) = filling.key else {
            return request.url.clone();
        };
        // What one system calls sensitive does not become public in another.
        let config = self.live.borrow().config.clone();
        let maps = (config.systems.values()).filter_map(|system| system.records.get(&map.kind));
        let masked = mask::shown(maps.map(AsRef::as_ref), key);
        if masked == key {
            return request.url.clone();
        }
        let filling = Filling {
            key: Some(&masked),
            ..*filling
        };
        (self.base(&map.system).ok())
            .and_then(|base| shape::request(&base, map, shape, &filling, &self.engine).ok())
            .map_or_else(|| shape.url.clone(), |request| request.url)
    }

    /// Takes a token of the system's budget: the one that was paid before, or the next one.
    async fn pay(&self, system: &str, manner: &Manner<'_>) -> Result<(), RemoteError> {
        if manner.prepaid.is_some_and(|prepaid| prepaid.spend(system)) {
            return Ok(());
        }
        let budget = self.outbound.budget(system);
        let used_up = |wait| RemoteError::Budget {
            system: system.to_owned(),
            wait,
        };
        // A long wait is known beforehand: nobody should wait for what will not come in time.
        let wait = budget.next().map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(tokio::time::Instant::now())
        });
        if wait > manner.patience {
            return Err(used_up(wait));
        }
        let turn = async {
            if manner.yields {
                budget.acquire_behind().await;
            } else {
                budget.acquire().await;
            }
        };
        tokio::time::timeout(manner.patience, turn)
            .await
            .map_err(|_| used_up(UNSAID))
    }

    fn base(&self, system: &str) -> Result<Url, RemoteError> {
        let runtime = self.live.borrow();
        let found = runtime.config.systems.get(system);
        found
            .and_then(|system| Url::parse(system.url.as_deref()?).ok())
            .ok_or_else(|| RemoteError::System(system.to_owned()))
    }
}

fn shape_of<'a>(map: &'a RecordMap, verb: Verb<'a>) -> Result<&'a Shape, RemoteError> {
    verb.shape(map).ok_or_else(|| RemoteError::Shape {
        system: map.system.clone(),
        kind: map.kind.clone(),
        shape: match verb {
            Verb::Link(kind) => format!("links.{kind}"),
            verb => verb.words(),
        },
    })
}
