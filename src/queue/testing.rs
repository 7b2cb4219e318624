//! Paths and claims for the unit tests of the queue's policies.

use std::sync::Arc;
use std::time::Duration;

use crate::config::model::{BreakerPolicy, Lane, Mode, Path, RequestTemplate, Sync};
use crate::event::{Event, Origin};
use crate::ids::{DeliveryId, EventId, PathId};
use crate::queue::model::{Claimed, Fence};
use crate::time::Timestamp;

/// A path to the system `crm` with the delays 0, 5 s and 300 s, and no jitter.
pub fn path(name: &str) -> Path {
    Path {
        name: name.to_owned(),
        from: "shop".to_owned(),
        to: "crm".to_owned(),
        events: vec!["*".to_owned()],
        when: None,
        sync: Sync::Queue,
        lane: Lane::Work,
        order_by: None,
        on_dead_continue: false,
        owner: "anna".to_owned(),
        escalation: None,
        runbook: None,
        request: RequestTemplate {
            method: "POST".to_owned(),
            url: "/orders".to_owned(),
            headers: Vec::new(),
            body: None,
            key_header: "idempotency-key".to_owned(),
        },
        schedule: vec![
            Duration::ZERO,
            Duration::from_secs(5),
            Duration::from_secs(300),
        ],
        jitter: 0.0,
        timeout: Duration::from_secs(5),
        concurrency: 8,
        retry_after_cap: Duration::from_secs(3600),
        breaker: BreakerPolicy {
            rate: 0.5,
            min: 10,
            window: Duration::from_secs(60),
            cooldown: Duration::from_secs(30),
            refused: 5,
        },
        classes: Vec::new(),
        due: None,
        value: None,
        mode: Mode::Live,
        mapping: None,
        reads: Vec::new(),
        tolerates_loss: false,
    }
}

/// An event of the shop about order `n`.
pub fn event(n: i64) -> Event {
    Event {
        source: "shop".to_owned(),
        id: format!("e{n}"),
        kind: "order.created".to_owned(),
        subject: Some(n.to_string()),
        time: None,
        content_type: Some("application/json".to_owned()),
        idempotency_key: None,
        schema_version: None,
        extensions: Vec::new(),
        data: format!("{{\"id\": {n},  \"total\": 12.10}}").into(),
        origin: Origin::Http,
    }
}

/// A first claim of event `n`.
pub fn claimed(n: i64) -> Claimed {
    Claimed {
        delivery: DeliveryId::new(EventId(n), 0),
        path: PathId(1),
        fence: Fence {
            epoch: 1,
            generation: 1,
            attempt: 1,
        },
        charged: 0,
        accepted_at: Timestamp(900_000),
        due_at: Timestamp(900_000),
        suspect: false,
        batch: None,
        forced: false,
        event: Arc::new(event(n)),
        correlation: None,
        frozen: None,
        last_key: None,
        last_class: None,
        last_ended: None,
    }
}
