//! What people do with incidents, silences and rotas, and test pages. What follows is decided by `incident::act`.

use std::time::Duration;

use super::super::action::{Actor, Done, Preview, Refused};
use super::preview::plain;
use super::{Actions, audit, because, done, refused};
use crate::duty::{Recipient, Stint, Tell};
use crate::event::{Event, Origin};
use crate::ids::{DeliveryId, IncidentId};
use crate::incident::{self, Act, Detected, Incident, IncidentLine, Silence, Stage, StepRow};
use crate::page::{Occasion, Page};
use crate::store::view::Severity;
use crate::store::{Incoming, Receipt, Route};
use crate::time::{Timestamp, short};
use crate::visible::{Visible, line};
use crate::watch::Rule;

/// Somebody else may change an incident meanwhile; it is tried again so often.
const TRIES: usize = 5;
/// The longest silence, and the longest turn that somebody takes over.
const LONGEST: Duration = Duration::from_secs(14 * 86_400);

impl Actions {
    pub(super) async fn preview_incident(
        &self,
        id: IncidentId,
        act: &Act,
    ) -> Result<Preview, Refused> {
        let incident = self.incident(id).await?;
        let now = self.now();
        let lease = self.inner.live.borrow().config.watch.lease;
        incident::act(&incident, act, "", lease, now).map_err(refused)?;
        let mut preview = plain(format!("incident {id}: {}", act.words(now)));
        preview.count = 1;
        if let Some(ack) = incident.ack.as_ref().filter(|ack| ack.until > now) {
            preview.notes.push(format!(
                "{} has it since {}",
                line(&ack.by, 40),
                short(now.since(ack.at))
            ));
        }
        Ok(preview)
    }

    /// Does something with an incident.
    pub(super) async fn change_incident(
        &self,
        id: IncidentId,
        act: &Act,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        for _ in 0..TRIES {
            let incident = self.incident(id).await?;
            let now = self.now();
            let lease = self.inner.live.borrow().config.watch.lease;
            let name = Visible::of(&actor.name).into_string();
            let (after, told) =
                incident::act(&incident, act, &name, lease, now).map_err(refused)?;
            let text = format!("incident {id}: {}", told.text);
            let mut steps = Vec::new();
            if let Act::Step {
                runbook,
                step,
                state,
                note,
                ..
            } = act
            {
                steps.push(StepRow {
                    runbook: runbook.clone(),
                    step: *step,
                    state: *state,
                    actor: name,
                    at: now,
                    note: note.clone(),
                });
            }
            let log = audit(actor, "incident", None, None, text.clone());
            let kept = self
                .inner
                .store
                .keep_incident(after, vec![told], steps, Vec::new(), Some(log))
                .await?;
            if kept.is_some() {
                return Ok(done(text));
            }
        }
        Err(refused(format!(
            "incident {id} is being changed by somebody else: look at it again"
        )))
    }

    /// Opens an incident that no rule found.
    pub(super) async fn declare(
        &self,
        title: &str,
        path: Option<String>,
        critical: bool,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let config = self.inner.live.borrow().config.clone();
        let now = self.now();
        let of_path = path.as_deref().and_then(|path| config.path(path));
        let severity = if critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let title = Visible::of(title.trim()).into_string();
        let incident = Incident {
            id: IncidentId::default(),
            revision: 0,
            cause: format!("declared:{}", now.0),
            title: title.clone(),
            severity,
            worst: severity,
            stage: Stage::Firing,
            opened: now,
            signals: Vec::new(),
            calm: None,
            first_ack: None,
            ack: None,
            snoozed: None,
            mitigated: None,
            resolved: None,
            reopened: 0,
            detected: Detected::Human,
            runbook: of_path
                .and_then(|path| path.runbook.as_ref())
                .map(|file| file.to_string_lossy().into_owned()),
            policy: of_path
                .and_then(|path| path.escalation.clone())
                .or_else(|| config.watch.escalation.clone()),
            path,
            clock: now,
            told: Vec::new(),
            offer: None,
            changed: Vec::new(),
        };
        let opened = IncidentLine {
            at: now,
            actor: Visible::of(&actor.name).into_string(),
            kind: "opened".to_owned(),
            text: title.clone(),
        };
        let log = audit(actor, "incident", None, None, format!("declared: {title}"));
        let kept = self
            .inner
            .store
            .keep_incident(incident, vec![opened], Vec::new(), Vec::new(), Some(log))
            .await?;
        let number = kept.unwrap_or_default();
        let mut done = done(format!("incident {number} is open"));
        done.report = Some(serde_json::json!({ "incident": number }));
        Ok(done)
    }

    /// Keeps that nobody is told of something for a while.
    pub(super) async fn silence(
        &self,
        rule: Option<Rule>,
        subject: Option<String>,
        until: Timestamp,
        reason: String,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let now = self.now();
        let what = match (rule, &subject) {
            (Some(rule), Some(subject)) => format!("{rule} of {}", Visible::of(subject)),
            (Some(rule), None) => rule.to_string(),
            (None, Some(subject)) => Visible::of(subject).into_string(),
            (None, None) => return Err(refused("silence a rule or a subject, not everything")),
        };
        if until <= now || until.since(now) > LONGEST {
            return Err(refused(format!("a silence lasts up to {}", short(LONGEST))));
        }
        let text = format!(
            "nobody is told of {what} for {}{}",
            short(until.since(now)),
            because(&reason)
        );
        let silence = Silence {
            id: 0,
            rule,
            subject,
            at: now,
            until,
            actor: Visible::of(&actor.name).into_string(),
            reason: Visible::of(&reason).into_string(),
        };
        let log = audit(actor, "silence", None, None, text.clone());
        let id = self.inner.store.silence(silence, log).await?;
        Ok(done(format!("silence {id}: {text}")))
    }

    /// Ends a silence.
    pub(super) async fn end_silence(&self, id: i64, actor: &Actor) -> Result<Done, Refused> {
        let text = format!("silence {id} ended");
        let log = audit(actor, "silence", None, None, text.clone());
        if self.inner.store.end_silence(id, log).await? {
            Ok(done(text))
        } else {
            Err(refused(format!(
                "there is no silence {id}, or it is over: `midwatch incident silences` lists them"
            )))
        }
    }

    /// Keeps that somebody takes a rota over.
    pub(super) async fn take_rota(
        &self,
        rota: String,
        person: String,
        until: Timestamp,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let now = self.now();
        if until <= now || until.since(now) > LONGEST {
            return Err(refused(format!(
                "a turn is taken over for up to {}",
                short(LONGEST)
            )));
        }
        let config = self.inner.live.borrow().config.clone();
        let knows = (config.oncall.get(&rota)).is_some_and(|rota| rota.knows(&person));
        if !knows {
            let people =
                (config.oncall.get(&rota)).map_or(String::new(), |rota| rota.people.join(", "));
            return Err(refused(format!(
                "{} is not of the rota {rota}: {people}",
                Visible::of(&person)
            )));
        }
        let text = format!(
            "{person} has the rota {rota} for {}",
            short(until.since(now))
        );
        let stint = Stint {
            rota,
            person,
            from: now,
            until,
        };
        let log = audit(actor, "oncall", None, None, text.clone());
        self.inner.store.take_rota(stint, log).await?;
        Ok(done(text))
    }

    /// To whom a test goes.
    fn tested(&self, to: &str, taken: &[Stint]) -> Result<Vec<Recipient>, Refused> {
        let config = self.inner.live.borrow().config.clone();
        let now = self.now();
        let found: Vec<Recipient> = if let Some(policy) = config.policy(to) {
            let level = policy.critical.first().into_iter();
            let tell = level.flat_map(|level| level.tell.clone());
            tell.filter_map(|tell| config.recipient(&tell, taken, now))
                .collect()
        } else {
            let person = config.recipient(&Tell::Person(to.to_owned()), taken, now);
            person.into_iter().collect()
        };
        if found.is_empty() {
            return Err(refused(format!(
                "{} is no policy, channel or person that can be told",
                Visible::of(to)
            )));
        }
        Ok(found)
    }

    pub(super) async fn preview_test(&self, to: &str) -> Result<Preview, Refused> {
        let taken = self.overview().await?.taken;
        let told = self.tested(to, &taken)?;
        let mut preview = plain(format!("send a test page to {}", Visible::of(to)));
        preview.notes = told
            .iter()
            .filter_map(|one| Some(format!("{} over {}", one.who, one.channels.first()?)))
            .collect();
        preview.count = preview.notes.len() as u64;
        Ok(preview)
    }

    /// Sends a test page.
    pub(super) async fn test_page(
        &self,
        to: &str,
        id: &str,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let taken = self.overview().await?.taken;
        let told = self.tested(to, &taken)?;
        let runtime = self.inner.live.borrow().clone();
        let now = self.now();
        let channels: Vec<String> = told
            .into_iter()
            .filter_map(|one| one.channels.into_iter().next())
            .collect();
        let page = Page {
            site: runtime.config.site.name.clone(),
            occasion: Occasion::Test,
            severity: Severity::Info,
            incident: None,
            title: format!("a test by {}, nothing is wrong", Visible::of(&actor.name)),
            lines: vec!["If you read this, pages reach you here.".to_owned()],
            runbook: None,
            since: now,
            dedup: format!("midwatch/{}/test", runtime.config.site.name),
            buttons: Vec::new(),
            text: String::new(),
        };
        let routes: Vec<Route> = channels
            .iter()
            .filter_map(|channel| runtime.id(&format!("page/{channel}")))
            .map(|path| Route {
                path,
                order_key: None,
                on_dead_continue: true,
                delay: Duration::ZERO,
                hold: None,
            })
            .collect();
        let incoming = Incoming {
            event: Event {
                source: "midwatch".to_owned(),
                id: id.to_owned(),
                kind: "midwatch.page".to_owned(),
                subject: None,
                time: Some(now),
                content_type: Some("application/json".to_owned()),
                idempotency_key: Some(id.to_owned()),
                schema_version: None,
                extensions: Vec::new(),
                data: page.to_json().into(),
                origin: Origin::Internal,
            },
            routes,
            hold: None,
            faults: Vec::new(),
            group: None,
            hold_on_conflict: false,
            digest: [0; 16],
            about: Vec::new(),
        };
        let event = match self.inner.store.accept(vec![incoming]).await?.pop() {
            Some(Receipt::Accepted { event, .. } | Receipt::Duplicate { event }) => event,
            other => return Err(refused(format!("the page was not queued: {other:?}"))),
        };
        let mut done = done(
            self.later(format!("a test page goes to {}", channels.join(", ")))
                .await,
        );
        done.delivery = Some(DeliveryId::new(event, 0));
        Ok(done)
    }

    async fn incident(&self, id: IncidentId) -> Result<Incident, Refused> {
        let found = self.read(move |reader| reader.incident(id)).await?;
        found
            .map(|detail| detail.incident)
            .ok_or_else(|| refused(format!("there is no incident {id}")))
    }
}
