//! What a path would do with an event now: the request as it would be sent, and what the receiver holds beside it.
//!
//! Reads only: the source, where its events are only hints, and the receiver's lookups; it never writes anywhere, and needs
//! no worker. Called by `midwatch try`.

use std::borrow::Cow;

use reqwest::Url;
use serde::Serialize;

use super::action::Refused;
use super::actions::refused;
use crate::config::live::Live;
use crate::config::model::{Path, Trust};
use crate::event::Event;
use crate::event::contract;
use crate::event::expr::Engine;
use crate::http::Outbound;
use crate::queue::mapped::{self, Carried, Ends, Move};
use crate::queue::model::{Request, Step};
use crate::queue::{render, route};
use crate::record::compare;
use crate::record::ledger::Known;
use crate::record::shape::Filling;
use crate::record::value::{Record, Value};
use crate::remote::{Asked, Found, Manner, Remote, Verb};
use crate::store::Reader;

/// What would happen.
#[derive(Debug, Default, Serialize)]
pub struct Trial {
    /// Why the path would not take the event at all.
    pub not_taken: Option<String>,
    /// The version of its contract that it was cast to first, because the path does not read its own.
    pub cast: Option<String>,
    /// The requests that were made to find out: none of them writes.
    pub looked: Vec<Step>,
    /// What would be done, in order.
    pub plan: Vec<Planned>,
}

/// One thing that would be done.
#[derive(Debug, Default, Serialize)]
pub struct Planned {
    /// In words.
    pub what: String,
    /// The request, if one would be sent; without what authenticates it.
    pub request: Option<Raw>,
    /// What the receiver holds of it now, field by field.
    pub difference: Vec<Field>,
    /// The body holds fields that are sensitive.
    pub sensitive: bool,
    /// The body is told as it would be sent: the path carries no records, so that what is sensitive in it is not known.
    pub unmasked: bool,
}

/// A request as it would go over the wire, without secrets.
#[derive(Debug, Serialize)]
pub struct Raw {
    /// HTTP method.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Headers, the idempotency key among them.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

/// One field, beside what is held.
#[derive(Debug, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What would be written; none where it is sensitive.
    pub wanted: Option<String>,
    /// What is held; none where it is missing or sensitive.
    pub held: Option<String>,
    /// They mean the same.
    pub same: bool,
    /// Its values are not told.
    pub sensitive: bool,
}

/// Finds out what `path` would do with `event`. `reader`: none where there is no database yet. `open`: sensitive values are told.
///
/// # Errors
/// When the event cannot be read or rendered, or a system could not be asked.
pub async fn run(
    live: &Live,
    reader: Option<&Reader>,
    path: &Path,
    event: &Event,
    open: bool,
) -> Result<Trial, Refused> {
    let config = live.borrow().config.clone();
    let engine = Engine::new();
    let held = contract::verify(&config.contracts, event).err();
    let not_taken = held
        .map(|refusal| format!("it would be held: {}", refusal.reason))
        .or_else(|| route::why_not(&config, &engine, path, event));
    let mut trial = Trial {
        not_taken,
        ..Trial::default()
    };
    let read = match contract::readable(&config, path, event, &engine) {
        Ok(read) => read,
        Err(unreadable) => {
            trial.plan.push(Planned {
                what: format!("hold it for review: {unreadable}"),
                ..Planned::default()
            });
            return Ok(trial);
        }
    };
    if let Cow::Owned(cast) = &read {
        trial.cast = cast.schema_version.clone();
    }
    let event = &*read;
    let Some(ends) = Ends::of(&config, path) else {
        let system = config.systems.get(&path.to);
        let base = system.and_then(|system| Url::parse(system.url.as_deref()?).ok());
        let request = render::render(path, base.as_ref(), event, &engine)
            .map_err(|error| refused(error.to_string()))?;
        let what = match route::may_not(&config, &engine, path, event) {
            Some(reason) => format!("hold it until it is replayed: {reason}; then this"),
            None => format!("send it to {}", path.to),
        };
        trial.plan.push(Planned {
            what,
            request: Some(raw(request, &path.request.key_header)),
            unmasked: true,
            ..Planned::default()
        });
        return Ok(trial);
    };
    let outbound = Outbound::new(live.clone());
    let mut asking = Asking {
        remote: Remote::new(live.clone(), outbound, engine.clone()),
        manner: Manner {
            timeout: path.timeout,
            keyed: Some([&event.source, &event.id, &path.name]),
            ..Manner::default()
        },
        reader,
        ends: &ends,
        path,
        open,
        trial,
    };
    let refetched = asking.refetched(event, &engine).await?;
    let event = refetched.as_ref().unwrap_or(event);
    let carried = (ends.carried(event, &engine)).map_err(|error| refused(error.to_string()))?;
    for one in &carried {
        asking.plan(one).await?;
    }
    if carried.is_empty() {
        let what = format!("nothing: the event carries no {}", ends.mapping.source);
        asking.say(what);
    }
    Ok(asking.trial)
}

struct Asking<'a> {
    remote: Remote,
    manner: Manner<'a>,
    reader: Option<&'a Reader>,
    ends: &'a Ends,
    path: &'a Path,
    open: bool,
    trial: Trial,
}

impl Asking<'_> {
    /// The event with its record as the source has it now, where the source's events are only hints.
    async fn refetched(
        &mut self,
        event: &Event,
        engine: &Engine,
    ) -> Result<Option<Event>, Refused> {
        if self.ends.trust == Trust::Event {
            return Ok(None);
        }
        let Some(hint) = mapped::carrier(&self.ends.from, event, engine) else {
            return Ok(None);
        };
        let (map, record) = (hint.map, hint.record);
        let verb = match (&record.id, &record.key) {
            (Some(_), _) if map.read.is_some() => Verb::Read,
            (_, Some(_)) if map.lookup.is_some() => Verb::Lookup,
            _ => return Ok(None),
        };
        let filling = Filling {
            id: record.id.as_deref(),
            key: record.key.as_deref(),
            ..Filling::default()
        };
        let asked = self.ask(&map.system, verb, &map.kind, &filling).await?;
        if asked.found == Found::Missing {
            return Err(refused(format!("{} no longer has the record", map.system)));
        }
        let unread = || refused("what the source answers cannot be read");
        let now = asked.only().ok_or_else(unread)?;
        let shape = verb.shape(&map).zip(asked.reply.as_ref());
        let event = shape.and_then(|(shape, reply)| {
            mapped::refreshed(event, &map, shape, now, &reply.body, engine)
        });
        event.map(Some).ok_or_else(unread)
    }

    /// One question; a failure is the trial's.
    async fn ask(
        &mut self,
        system: &str,
        verb: Verb<'_>,
        kind: &str,
        filling: &Filling<'_>,
    ) -> Result<Asked, Refused> {
        let map = (self.remote.map(system, kind)).map_err(|error| refused(error.to_string()))?;
        let asked = (self.remote.send(&map, verb, filling, &self.manner).await)
            .map_err(|error| refused(error.to_string()))?;
        self.trial.looked.push(asked.step.clone());
        if asked.found == Found::Failed {
            return Err(refused(format!(
                "{system} could not be asked: {}",
                crate::visible::line(&asked.judged.error, 300)
            )));
        }
        Ok(asked)
    }

    fn known(&self, kind: &str, key: &str) -> Result<Known, Refused> {
        let Some(reader) = self.reader else {
            return Ok(Known::default());
        };
        (reader.known(&self.path.to, kind, key)).map_err(|error| refused(error.to_string()))
    }

    fn say(&mut self, what: String) {
        self.trial.plan.push(Planned {
            what,
            ..Planned::default()
        });
    }

    /// What would be done about one record.
    async fn plan(&mut self, one: &Carried) -> Result<(), Refused> {
        let ends = self.ends;
        let (target, to) = (&ends.target, self.path.to.clone());
        let kind = &ends.mapping.target;
        let called = format!("{kind} {}", ends.shown(kind, &one.key));
        for need in
            ends.mapping.needs.iter().chain(
                (ends.mapping.links.iter()).filter(|link| !ends.mapping.needs.contains(*link)),
            )
        {
            if let Some(key) = one.source.refs.get(need)
                && self.known(need, key)?.id.is_none()
            {
                let other = ends.shown(need, key);
                self.say(format!(
                    "find {need} {other} in {to}, or wait for it: its id is not known here"
                ));
            }
        }
        let known = self.known(kind, &one.key)?;
        if let Some((created, from)) = ends.too_old(&known, &one.source) {
            self.say(format!(
                "nothing: {called} was made at {}, before site.live_from ({})",
                created.rfc3339(),
                from.rfc3339()
            ));
            return Ok(());
        }
        let mut held: Option<Option<Record>> = None;
        if target.lookup.is_some() {
            let filling = Filling {
                key: Some(&one.key),
                ..Filling::default()
            };
            let asked = self.ask(&to, Verb::Lookup, kind, &filling).await?;
            if let Found::Records(records) = &asked.found
                && records.len() > 1
            {
                self.say(format!(
                    "hold it for review: {to} has {} of {called}",
                    records.len()
                ));
                return Ok(());
            }
            held = Some(asked.only().cloned());
        }
        let there = held
            .as_ref()
            .map(|found| found.as_ref().and_then(|found| found.id.as_deref()));
        let next = mapped::next_move(
            ends.mapping.write,
            known.id.as_deref(),
            there,
            target.lookup.is_some(),
        );
        let found = held.as_ref().and_then(Option::as_ref);
        let difference = found.map_or_else(Vec::new, |found| self.difference(one, found));
        let (verb, id, what) = match &next {
            Move::Update(_)
                if !difference.is_empty() && difference.iter().all(|field| field.same) =>
            {
                self.say(format!("nothing: {to} holds {called} already so"));
                return Ok(());
            }
            Move::Update(id) => (
                Verb::Update,
                Some(id.as_str()),
                format!("update {called} in {to} ({id})"),
            ),
            Move::Create => (Verb::Create, None, format!("create {called} in {to}")),
            Move::Leave(id) => {
                self.say(format!("leave {called} in {to} as it is ({id})"));
                return Ok(());
            }
            Move::Wait | Move::Look => {
                self.say(format!("wait until {called} is in {to}"));
                return Ok(());
            }
        };
        let filling = Filling {
            key: Some(&one.key),
            id,
            record: Some(&one.wanted),
            ..Filling::default()
        };
        let request = (self.remote.request(target, verb, &filling, &self.manner))
            .map_err(|error| refused(error.to_string()))?;
        let sensitive = ends
            .sent(&one.wanted)
            .iter()
            .any(|(.., sensitive)| *sensitive);
        let (shape, shown) = (verb.shape(target), &request);
        let address = shape
            .filter(|_| !self.open)
            .map(|shape| (self.remote).shown_url(target, shape, &filling, shown));
        let mut request = raw(request, &self.path.request.key_header);
        if let Some(address) = address {
            request.url = address;
        }
        if sensitive && !self.open {
            request.body = format!("({} bytes with sensitive fields)", request.body.len());
        }
        self.trial.plan.push(Planned {
            what,
            request: Some(request),
            difference,
            sensitive,
            unmasked: self.open,
        });
        Ok(())
    }

    fn difference(&self, one: &Carried, held: &Record) -> Vec<Field> {
        let hidden = self.ends.sent(&one.wanted);
        let all = compare(
            &self.ends.target,
            &one.wanted,
            held,
            self.ends.entity.as_deref(),
        )
        .into_iter();
        all.map(|field| {
            let sensitive = hidden
                .iter()
                .any(|(name, _, is)| *is && *name == field.name);
            let told = |value: Option<&Value>| {
                value
                    .filter(|_| self.open || !sensitive)
                    .map(Value::canonical)
            };
            Field {
                wanted: told(Some(&field.wanted)),
                held: told(field.held.as_ref()),
                same: field.same,
                name: field.name,
                sensitive,
            }
        })
        .collect()
    }
}

fn raw(request: Request, key_header: &str) -> Raw {
    let mut headers = request.headers;
    if !request.key.is_empty() && !key_header.is_empty() {
        headers.push((key_header.to_ascii_lowercase(), request.key));
    }
    Raw {
        method: request.method,
        url: request.url,
        headers,
        body: String::from_utf8_lossy(&request.body).into_owned(),
    }
}
