//! One attempt: render (or take the frozen request), send, judge. It decides nothing about the delivery and settles nothing;
//! `dispatch` runs it in a task of its own and takes its end.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;

use crate::config::live::Runtime;
use crate::config::model::{Lane, Path};
use crate::event::expr::Engine;
use crate::http::{Outbound, Target};
use crate::ids::PathId;
use crate::queue::classify::{Judged, classify};
use crate::queue::decide::Ended;
use crate::queue::model::{Answer, Claimed, Class, Request};
use crate::queue::render::render;
use crate::queue::schedule;
use crate::store::Store;
use crate::time::{Clock, Timestamp};
use crate::visible::Visible;

/// The first bytes of an answer that are kept with a failed attempt.
const KEPT_FAILED: usize = 4 << 10;
/// The first bytes that are kept of a good answer: enough for the id that the receiver gave.
const KEPT_DELIVERED: usize = 1 << 10;

/// A path as the configuration in force has it, with what every attempt on it needs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id: PathId,
    pub(super) path: Path,
    /// The receiving system's URL.
    pub(super) base: Option<Url>,
    /// Hash of the configuration.
    pub(super) config: i64,
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
                config: config.hash,
            }))
        };
        config.paths.iter().filter_map(plan).collect()
    }

    /// The longest that a delivery of this path may rightly have to wait.
    pub(super) fn longest_wait(&self) -> Duration {
        let path = &self.path;
        schedule::longest(&path.schedule, path.jitter, path.retry_after_cap)
            .max(path.breaker.cooldown)
    }

    fn target(&self) -> Target<'_> {
        match self.path.lane {
            Lane::Work => Target::System(&self.path.to),
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

/// What all attempts share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) outbound: Outbound,
    pub(super) engine: Engine,
}

/// How an attempt's task ended.
#[derive(Debug)]
pub(super) enum End {
    /// It was made.
    Ended(Box<Ended>),
    /// The rendered request could not be kept, so nothing was sent.
    NotSent,
}

/// Makes one attempt.
pub(super) async fn run(
    plan: Arc<Plan>,
    claimed: Arc<Claimed>,
    shared: Arc<Shared>,
    probe: bool,
) -> End {
    let path = &plan.path;
    let started_at = shared.clock.now();
    let start = Instant::now();
    let ended = |judged: Judged, target: (String, String), key: String, answer: Answer| {
        let duration = start.elapsed();
        End::Ended(Box::new(Ended {
            started_at,
            ended_at: shared.clock.now(),
            duration,
            target,
            key,
            config: plan.config,
            judged,
            answer,
            probe,
            steps: Vec::new(),
        }))
    };
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
    if claimed.frozen.is_none() && path.request.is_rendered() {
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
    let result = shared
        .outbound
        .send(
            plan.target(),
            &request,
            &path.request.key_header,
            path.timeout,
        )
        .await;
    let judged = classify(
        &result,
        &path.classes,
        path.retry_after_cap,
        shared.clock.now(),
    );
    let answer = match &result {
        Ok(reply) if judged.class != Class::Delivered => reply.keep(KEPT_FAILED),
        Ok(reply) if !reply.body.is_empty() => reply.keep(KEPT_DELIVERED),
        Ok(_) | Err(_) => Answer::default(),
    };
    let (target, key) = match request {
        Cow::Owned(request) => ((request.method, request.url), request.key),
        Cow::Borrowed(request) => (
            (request.method.clone(), request.url.clone()),
            request.key.clone(),
        ),
    };
    ended(judged, target, key, answer)
}
