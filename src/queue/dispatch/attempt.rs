//! One attempt: render (or take the frozen request), send, judge. It decides nothing about the delivery and settles nothing;
//! `dispatch` runs it in a task of its own and takes its end.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;

use super::observe::Observer;
use super::records::Records;
use super::upsert::{self, Made, Outcome};
use crate::config::live::Runtime;
use crate::config::model::{ChannelKind, Config, Lane, Path, System};
use crate::event::contract;
use crate::event::expr::Engine;
use crate::http::{Outbound, Target};
use crate::ids::PathId;
use crate::page;
use crate::queue::classify::{Judged, classify};
use crate::queue::decide::Ended;
use crate::queue::mapped::Ends;
use crate::queue::model::{Answer, Claimed, Class, Next, Request};
use crate::queue::passed_on;
use crate::queue::render::render;
use crate::queue::schedule;
use crate::remote::Remote;
use crate::store::Store;
use crate::time::{Clock, Timestamp};
use crate::visible::Visible;

/// The first bytes of an answer that are kept with a failed attempt.
pub(super) const KEPT_FAILED: usize = 4 << 10;
/// The first bytes that are kept of a good answer: enough for the id that the receiver gave.
pub(super) const KEPT_DELIVERED: usize = 1 << 10;

/// A path as the configuration in force has it, with what every attempt on it needs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id: PathId,
    pub(super) path: Path,
    /// The receiving system's URL.
    pub(super) base: Option<Url>,
    /// What it carries over, if it is a mapped path.
    pub(super) ends: Option<Ends>,
    /// Hash of the configuration.
    pub(super) config: i64,
    /// The receiver is a vendor that a preset describes.
    pub(super) vendor: bool,
    /// The whole of it, for the contracts of what the path carries.
    pub(super) whole: Arc<Config>,
}

impl Plan {
    /// The plans of all configured paths, in order.
    pub(super) fn all(runtime: &Runtime) -> Vec<Arc<Self>> {
        let config = &runtime.config;
        let plan = |path: &Path| {
            let system = config.systems.get(&path.to);
            Some(Arc::new(Self {
                id: runtime.id(&path.name)?,
                path: path.clone(),
                base: system.and_then(|system| Url::parse(system.url.as_deref()?).ok()),
                ends: Ends::of(config, path),
                config: config.hash,
                vendor: system.is_some_and(System::is_vendor),
                whole: Arc::clone(config),
            }))
        };
        config.all_paths().filter_map(plan).collect()
    }

    /// The longest that a delivery of this path may rightly have to wait.
    pub(super) fn longest_wait(&self) -> Duration {
        let path = &self.path;
        schedule::longest(&path.schedule, path.jitter, path.retry_after_cap)
            .max(path.breaker.cooldown)
    }

    fn target(&self) -> Target<'_> {
        match self.path.lane {
            Lane::Work | Lane::Repair => Target::System(&self.path.to),
            Lane::Page => Target::Channel(&self.path.to),
        }
    }

    /// An attempt of which we know nothing but that it was under way.
    pub(super) fn lost(
        &self,
        claimed: &Claimed,
        started_at: Timestamp,
        now: Timestamp,
        error: &str,
        probe: bool,
    ) -> Ended {
        Ended {
            started_at,
            ended_at: now,
            duration: now.since(started_at),
            target: (self.path.request.method.clone(), self.path.to.clone()),
            key: claimed.last_key.clone().unwrap_or_default(),
            config: self.config,
            judged: Judged {
                class: Class::Unknown,
                status: None,
                asked: None,
                error: error.to_owned(),
            },
            answer: Answer::default(),
            probe,
            steps: Vec::new(),
        }
    }
}

/// A system that is down, as far as its paths tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Down {
    pub(super) system: String,
    pub(super) since: Timestamp,
}

/// What all attempts share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) outbound: Outbound,
    pub(super) engine: Engine,
    pub(super) remote: Remote,
    pub(super) records: Records,
    pub(super) observer: Observer,
    /// Until then, what an earlier worker sent may still be under way: it is not in `records`, which is of this one.
    pub(super) inherited: Option<Instant>,
}

/// How an attempt's task ended.
#[derive(Debug)]
pub(super) enum End {
    /// It was made.
    Ended(Box<Ended>),
    /// A rule decided what becomes of the delivery, whatever its requests brought. Without steps no request was made.
    Ruled(Box<Ruled>),
    /// Not before this: the budget is used up, or an earlier request may be under way. It leaves no trace.
    Deferred(Timestamp),
    /// What has to be kept first could not be kept, so nothing (more) was sent.
    NotSent,
}

/// The end of an attempt by a rule.
#[derive(Debug)]
pub(super) struct Ruled {
    pub(super) ended: Ended,
    pub(super) next: Next,
    /// The receiver answered as it should.
    pub(super) answered: bool,
}

/// Makes one attempt.
pub(super) async fn run(
    plan: Arc<Plan>,
    claimed: Arc<Claimed>,
    shared: Arc<Shared>,
    probe: bool,
    shadow: bool,
    down: Vec<Down>,
) -> End {
    let path = &plan.path;
    let started_at = shared.clock.now();
    let start = Instant::now();
    shared.observer.hear(&plan, &claimed, started_at);
    let over = |judged: Judged, target: (String, String), key: String, answer: Answer| Ended {
        started_at,
        ended_at: shared.clock.now(),
        duration: start.elapsed(),
        target,
        key,
        config: plan.config,
        judged,
        answer,
        probe,
        steps: Vec::new(),
    };
    let ended =
        |judged, target, key, answer| End::Ended(Box::new(over(judged, target, key, answer)));
    // A frozen request was made of a cast already.
    let is_read = path.mapping.is_some() || claimed.frozen.is_none();
    let read = match contract::readable(&plan.whole, path, &claimed.event, &shared.engine) {
        Ok(Cow::Owned(event)) if is_read => Some(event),
        Err(unreadable) if is_read => {
            return unread(&plan, &claimed, unreadable.reason, over);
        }
        _ => None,
    };
    let is_cast = read.is_some();
    let claimed = match read {
        Some(event) => Arc::new(Claimed {
            event: Arc::new(event),
            ..Claimed::clone(&claimed)
        }),
        None => claimed,
    };
    if path.mapping.is_some() {
        let made = match &plan.ends {
            Some(ends) => upsert::run(&plan, ends, &claimed, &shared, shadow, &down).await,
            None => Made::impossible(&path.name),
        };
        return mapped(&plan, &claimed, made, over);
    }
    let request = match &claimed.frozen {
        Some(frozen) => Cow::Borrowed(frozen),
        None => match render(path, plan.base.as_ref(), &claimed.event, &shared.engine) {
            Ok(request) => Cow::Owned(request),
            Err(error) => {
                // No receiver will ever see it: the template or the event has to change.
                let judged = Judged {
                    class: Class::Permanent,
                    status: None,
                    asked: None,
                    error: error.to_string(),
                };
                let target = (path.request.method.clone(), path.request.url.clone());
                let key = claimed.last_key.clone().unwrap_or_default();
                return ended(judged, target, key, Answer::default());
            }
        },
    };
    if shadow {
        let reason = format!("would {} {}", request.method, request.url);
        let request = request.into_owned();
        let target = (request.method.clone(), request.url.clone());
        return End::Ruled(Box::new(Ruled {
            ended: over(
                withheld(String::new()),
                target,
                request.key.clone(),
                Answer::default(),
            ),
            next: Next::Shadowed { request, reason },
            answered: false,
        }));
    }
    if claimed.frozen.is_none() && (is_cast || path.request.is_rendered()) {
        let generation = claimed.fence.generation;
        let kept: Request = (*request).clone();
        if let Err(error) = shared
            .store
            .freeze(claimed.delivery, generation, kept)
            .await
        {
            tracing::warn!(delivery = %claimed.delivery, error = %Visible::of(&error.to_string()), "the rendered request could not be kept; nothing was sent");
            return End::NotSent;
        }
    }
    if claimed
        .last_key
        .as_ref()
        .is_some_and(|key| !key.is_empty() && *key != request.key)
    {
        tracing::info!(delivery = %claimed.delivery, old = claimed.last_key.as_deref().map(|key| tracing::field::display(Visible::of(key))),
            new = %Visible::of(&request.key),
            "today's bytes differ from those sent before, so the key is another");
    }
    let mut request = request.into_owned();
    let channel = (plan.whole.channels.get(&path.to)).filter(|_| path.lane == Lane::Page);
    let result = if let Some(ChannelKind::Email { to }) = channel.map(|channel| &channel.kind) {
        let letter = page::letter(&request.body, &request.key);
        shared.outbound.mail(to, &letter, path.timeout).await
    } else {
        match channel {
            Some(channel) => request.body = page::body(&channel.kind, &request.body).into(),
            // Not kept with the request: they are of this attempt, and change nothing of what is delivered.
            None => passed_on::add(
                &mut request.headers,
                passed_on::headers(&claimed, plan.vendor),
            ),
        }
        let key_header = &path.request.key_header;
        let sending = (shared.outbound).send(plan.target(), &request, key_header, path.timeout);
        sending.await
    };
    let judged = classify(
        &result,
        &path.classes,
        path.retry_after_cap,
        shared.clock.now(),
    );
    if let Ok(reply) = &result
        && judged.class == Class::Delivered
    {
        let (step, now) = (&path.request.method, shared.clock.now());
        (shared.observer).look(&plan, step, claimed.delivery, reply, now);
    }
    let answer = match &result {
        Ok(reply) if judged.class != Class::Delivered => reply.keep(KEPT_FAILED),
        Ok(reply) if !reply.body.is_empty() => reply.keep(KEPT_DELIVERED),
        Ok(_) | Err(_) => Answer::default(),
    };
    ended(judged, (request.method, request.url), request.key, answer)
}

/// The end of a mapped attempt, in the words of the queue.
fn mapped(
    plan: &Plan,
    claimed: &Claimed,
    made: Made,
    over: impl FnOnce(Judged, (String, String), String, Answer) -> Ended,
) -> End {
    let (target, key) = match made.request {
        Some(request) => ((request.method, request.url), request.key),
        None => (
            ("-".to_owned(), plan.path.to.clone()),
            claimed.last_key.clone().unwrap_or_default(),
        ),
    };
    let answered = made.answered;
    let (judged, next) = match made.outcome {
        Outcome::Judged(judged) => {
            let mut ended = over(judged, target, key, made.answer);
            ended.steps = made.steps;
            return End::Ended(Box::new(ended));
        }
        Outcome::Ruled(next) => {
            let error = match &next {
                Next::Wait { reason, .. }
                | Next::Deferred { reason, .. }
                | Next::Review { reason }
                | Next::Superseded { reason }
                | Next::Shadowed { reason, .. }
                | Next::Dead { reason } => reason.clone(),
                Next::Delivered | Next::Retry { .. } => String::new(),
            };
            (withheld(error), next)
        }
        Outcome::Deferred { due, reason } => {
            tracing::debug!(delivery = %claimed.delivery, reason = %Visible::of(&reason), "deferred");
            return End::Deferred(due);
        }
        Outcome::NotKept(error) => {
            tracing::warn!(delivery = %claimed.delivery, error = %Visible::of(&error.to_string()), "the ledger cannot be asked or told; tried again");
            return End::NotSent;
        }
    };
    let mut ended = over(judged, target, key, made.answer);
    ended.steps = made.steps;
    End::Ruled(Box::new(Ruled {
        ended,
        next,
        answered,
    }))
}

/// The end of an attempt whose event is of a version that the path does not read: a person has to mend the contract, a cast
/// or the path.
fn unread(
    plan: &Plan,
    claimed: &Claimed,
    reason: String,
    over: impl FnOnce(Judged, (String, String), String, Answer) -> Ended,
) -> End {
    let target = ("-".to_owned(), plan.path.to.clone());
    let key = claimed.last_key.clone().unwrap_or_default();
    let ended = over(withheld(reason.clone()), target, key, Answer::default());
    End::Ruled(Box::new(Ruled {
        ended,
        next: Next::Review { reason },
        answered: false,
    }))
}

/// What a rule decided is no failure of the receiver.
fn withheld(words: String) -> Judged {
    Judged {
        class: Class::Withheld,
        status: None,
        asked: None,
        error: words,
    }
}
