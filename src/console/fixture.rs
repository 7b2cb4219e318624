//! Fixed data for the console's tests: a small shop at 22:15 on a bad evening.

pub mod held;
pub mod incidents;
pub mod lineage;
pub mod recon;
mod review;

use std::sync::Arc;

use super::model::{Model, Place, Slot};
use super::theme::{Palette, Theme};
use super::update::{Input, Loaded, update};
use crate::config::model::Config;
use crate::control::action::{Preview, Verdict};
use crate::ids::{BatchId, DeliveryId, EventId, Fingerprint, PathId, RunId};
use crate::queue::model::{Class, State, Step};
use crate::record::ledger::{About, KnownField};
use crate::record::value::Version;
use crate::store::Cursor;
use crate::store::view::{Slot as Minute, *};
use crate::time::Timestamp;

/// 2026-11-23T21:15:00Z.
pub const NOW: Timestamp = Timestamp(1_795_468_500_000);

pub const TOML: &str = r#"
[site]
name = "Nordlys Coffee"
timezone = "Europe/Oslo"

[systems.shop]
preset = "woocommerce"
url = "http://127.0.0.1:1"
private = true
hooks = { secrets = ["env:SHOP_HOOK"], watch = true }

[systems.crm]
url = "http://127.0.0.1:2"
private = true
auth = { bearer = "env:CRM" }
limit = "90/10s"

[systems.ledger]
url = "http://127.0.0.1:3"
private = true

[channels.slack.ops]
webhook = "env:SLACK"

[paths.crm]
route = "shop -> crm"
events = ["order.*"]
url = "/orders"
sync = "queue"
owner = "anna"
due = "12h"
escalation = "slack:ops"
runbook = "runbook.md"

[paths.ledger]
route = "shop -> ledger"
events = ["order.*"]
url = "/book"
sync = "queue"
owner = "bo"
runbook = "runbook.md"

[reconcile.orders]
first = { system = "shop", list = "/orders", key = "/id" }
second = { system = "crm", list = "/orders", key = "/id" }
fields.total = { first = "/total", second = "/total", compare = "money" }
drift = { warn = "1%", critical = "5%" }
every = "1h"
owner = "anna"
runbook = "runbook.md"
"#;

/// The configuration, read for real.
pub fn config() -> Arc<Config> {
    let dir = std::env::temp_dir();
    let text = TOML;
    match crate::config::parse(text, &dir.join("midwatch.toml")) {
        Ok(loaded) => {
            let mut config = loaded.config;
            // Sides without record maps, as here, can only be reported.
            for job in &mut config.reconcile {
                if let crate::config::model::Check::Records(records) = &mut job.check {
                    records.repair = crate::config::model::RepairMode::Propose;
                }
            }
            Arc::new(config)
        }
        Err(errors) => panic!(
            "{}",
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

pub fn at(minutes_ago: i64) -> Timestamp {
    Timestamp(NOW.0 - minutes_ago * 60_000)
}

pub fn id(event: i64) -> DeliveryId {
    DeliveryId::new(EventId(event), 0)
}

fn path(number: i64, name: &str) -> PathRow {
    let minutes = (0..60)
        .map(|n| Minute {
            at: at(59 - n),
            accepted: (n as u64 * 7) % 13,
            ..Minute::default()
        })
        .collect();
    PathRow {
        id: PathId(number),
        name: name.into(),
        removed: false,
        counts: Counts::default(),
        oldest_due: None,
        oldest_open: None,
        blocked: None,
        retrying: false,
        last_accepted: Some(at(1)),
        last_delivered: Some(at(1)),
        shadow: false,
        live_at: None,
        shadow_since: None,
        needing: 0,
        needing_since: None,
        pause: None,
        breaker: Breaker::Closed,
        minutes,
        recent: Minute::default(),
        latency: Quantiles::default(),
        attempt_time: Quantiles::default(),
    }
}

/// The CRM is down with 14 waiting and 3 dead; the ledger is well.
pub fn overview() -> Overview {
    let mut crm = path(1, "crm");
    crm.counts = Counts {
        ready: 12,
        waiting: 2,
        delivered: 4_210,
        dead: 3,
        ..Counts::default()
    };
    crm.breaker = Breaker::Open {
        since: at(9),
        until: Timestamp(NOW.0 + 42_000),
        reason: "12 of 14 attempts failed in 1m".into(),
    };
    crm.oldest_due = Some(at(8));
    crm.oldest_open = Some(at(35));
    crm.recent = Minute {
        accepted: 21,
        delivered: 2,
        attempts: 14,
        failed: 12,
        ..Minute::default()
    };
    crm.latency = Quantiles {
        p50: Some(180),
        p95: Some(2_400),
        p99: Some(65_000),
    };
    let mut ledger = path(2, "ledger");
    ledger.counts.delivered = 4_227;
    ledger.recent = Minute {
        accepted: 21,
        delivered: 21,
        attempts: 21,
        ..Minute::default()
    };
    ledger.latency = Quantiles {
        p50: Some(40),
        p95: Some(90),
        p99: Some(120),
    };
    Overview {
        taken: Vec::new(),
        incidents: Vec::new(),
        at: NOW,
        paths: vec![crm, ledger],
        unrouted: 2,
        held_events: 0,
        discarded: 0,
        held_lately: 0,
        looped: 0,
        notes: Vec::new(),
        events: 4_229,
        worker: WorkerRow {
            epoch: 3,
            pid: 4711,
            host: "nordlys".into(),
            version: "0.1.0".into(),
            started: at(600),
            heartbeat: NOW,
            state: "running".into(),
            service: false,
            listening: Some("127.0.0.1:8080".into()),
            lock: Lock::Held { pid: 4711 },
        },
        batches: Vec::new(),
        runs: vec![run(24, 0, 0.021)],
        senders: vec![SenderRow {
            system: "shop".into(),
            called: Some(at(3)),
            checked: Some(at(10)),
            state: Some(SenderRow::ENABLED.into()),
            address: Some("https://shop.example/hooks/shop".into()),
            hook: Some("7".into()),
            error: None,
        }],
        polls: Vec::new(),
        backfills: Vec::new(),
        log: (1..=4).map(log).collect(),
        foreign_host: None,
        trouble: None,
        unreadable: Vec::new(),
        reviews: 0,
        config: 1,
    }
}

pub fn run(number: i64, hours_ago: i64, drift: f64) -> RunRow {
    RunRow {
        id: RunId(number),
        job: "orders".into(),
        started: at(hours_ago * 60 + 4),
        ended: Some(at(hours_ago * 60 + 3)),
        counts: [480, 471],
        compared: 470,
        only_first: 7,
        only_second: 1,
        differing: 2,
        skipped: 3,
        drift: Some(drift),
        level: Some(match drift {
            drift if drift >= 0.05 => Severity::Critical,
            drift if drift >= 0.01 => Severity::Warning,
            _ => Severity::Info,
        }),
        complete: true,
        ..RunRow::default()
    }
}

/// Delivery `event` in a state that its number gives.
pub fn delivery(event: i64) -> DeliveryRow {
    let state = match event % 5 {
        0 => State::Dead,
        1 => State::Ready,
        2 => State::Waiting,
        3 => State::Running,
        _ => State::Delivered,
    };
    let dead = state == State::Dead;
    DeliveryRow {
        id: id(event),
        path: if event % 2 == 0 { "crm" } else { "ledger" }.into(),
        state,
        kind: "order.created".into(),
        source: "shop".into(),
        event_id: format!("evt_{event:06}"),
        subject: Some(format!("order {}", 1000 + event)),
        order_key: Some(format!("order {}", 1000 + event)),
        generation: 1,
        charged: u32::from(dead) * 4 + 1,
        attempts: u32::from(dead) * 4 + 1,
        accepted_at: Timestamp(NOW.0 - (5_000 - event) * 1_000),
        due_at: Timestamp(NOW.0 + 30_000),
        changed_at: at(1),
        last_class: Some(if dead {
            Class::Rejected
        } else {
            Class::Delivered
        }),
        last_status: Some(if dead { 422 } else { 200 }),
        reason: dead.then(|| "422: email must be an address".to_owned()),
        fingerprint: dead.then_some(Fingerprint(0x0a1b_2c3d)),
    }
}

/// Order 1042, as its story is told.
pub fn story() -> Story {
    let field = |sent: Option<&str>, agreed: Option<&str>| KnownField {
        sent: sent.map(|value| (value.to_owned(), at(9))),
        agreed: agreed.map(|value| (value.to_owned(), at(4))),
        ..KnownField::default()
    };
    let mut crm = HoldingRow {
        id: Some("9001".into()),
        version: Some(Version::Instant(at(10))),
        changed: at(4),
        ..HoldingRow::default()
    };
    crm.fields.insert(
        "total".into(),
        field(Some("982.00 NOK"), Some("982.00 NOK")),
    );
    crm.fields
        .insert("status".into(), field(Some("processing"), Some("pending")));
    crm.fields
        .insert("email".into(), field(Some("#0123456789abcdef"), None));
    crm.joined.insert(("contact".into(), "77".into()));
    let mut ledger = HoldingRow {
        id: Some("A-17".into()),
        adopted: true,
        changed: at(60),
        ..HoldingRow::default()
    };
    ledger
        .fields
        .insert("total".into(), field(None, Some("982.00 NOK")));
    let line = |minutes, delivery, path: &str, text: &str| StoryLine {
        at: at(minutes),
        event: Some(EventId(4200)),
        delivery,
        path: Some(path.into()),
        text: text.into(),
    };
    let mut lines: Vec<StoryLine> = (0..80)
        .map(|n| {
            line(
                100 - n,
                Some(id(4100 + n)),
                "ledger",
                "the same was sent again",
            )
        })
        .collect();
    lines.push(line(
        12,
        None,
        "crm",
        "order.created was taken in from shop",
    ));
    lines.push(line(9, Some(id(4200)), "crm", "created in crm: id 9001"));
    lines.push(line(
        4,
        Some(id(4200)),
        "crm",
        "joined to contact 77 in crm",
    ));
    Story {
        about: About {
            kind: "order".into(),
            key: "1042".into(),
        },
        keys: vec!["1042".into(), "wc_order_1042".into()],
        since: at(120),
        holdings: [("crm".into(), crm), ("ledger".into(), ledger)].into(),
        waiting: vec![need()],
        lines,
        older: 3,
    }
}

/// A payment that waits for order 1042.
pub fn need() -> NeedRow {
    NeedRow {
        delivery: id(4190),
        path: "ledger".into(),
        system: "ledger".into(),
        kind: "order".into(),
        key: "1042".into(),
        since: at(5),
        until: Timestamp(NOW.0 + 86_400_000),
        reason: None,
    }
}

/// Records that were looked for.
pub fn records() -> Vec<RecordRow> {
    ["1042", "1043", "anna(at)example.com"]
        .map(|key| RecordRow {
            about: About {
                kind: if key.contains('@') || key.contains('(') {
                    "contact".into()
                } else {
                    "order".into()
                },
                key: key.into(),
            },
            changed: at(4),
            ids: [("crm".to_owned(), format!("9{key}"))].into(),
        })
        .into()
}

fn step(what: &str, status: Option<u16>, note: &str) -> Step {
    Step {
        what: what.into(),
        method: "GET".into(),
        url: "http://127.0.0.1:2/orders/1042".into(),
        status,
        millis: 45,
        note: note.into(),
    }
}

pub fn detail() -> DeliveryDetail {
    let attempt = |number: u32, status: u16, class| AttemptRow {
        generation: 1,
        number,
        started_at: Timestamp(NOW.0 - 600_000 + i64::from(number) * 60_000),
        duration_ms: 132,
        class,
        status: Some(status),
        charged: true,
        error: if status >= 400 {
            format!("{status}: email must be an address")
        } else {
            String::new()
        },
        method: "POST".into(),
        url: "http://127.0.0.1:2/orders".into(),
        key: "evt_004200".into(),
        answer_headers: vec![("content-type".into(), "application/json".into())],
        answer_body: br#"{"error":{"field":"email","message":"must be an address"}}"#.to_vec(),
        answer_truncated: false,
        config: 1,
        steps: if number == 2 {
            vec![
                step("lookup", Some(404), "not there"),
                step("create", Some(422), "refused"),
            ]
        } else {
            Vec::new()
        },
    };
    DeliveryDetail {
        row: delivery(4200),
        origin: "hook".into(),
        event_time: Some(at(12)),
        content_type: Some("application/json".into()),
        event_key: None,
        schema_version: Some("2".into()),
        extensions: vec![(
            "traceparent".into(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        )],
        data: Some(
            br#"{"id":1042,"email":"anna(at)example.com","total":"982.00","lines":[{"sku":"KAFFE-1","qty":2}]}"#
                .to_vec(),
        ),
        frozen: None,
        attempts: vec![
            attempt(1, 503, Class::Transient),
            attempt(2, 422, Class::Rejected),
        ],
        siblings: vec![delivery(4201)],
        behind: None,
        blocks: 2,
        need: None,
        about: vec![About {
            kind: "order".into(),
            key: "1042".into(),
        }],
        log: vec![log(1)],
    }
}

pub fn log(number: i64) -> LogRow {
    LogRow {
        id: number,
        at: at(number),
        severity: match number % 3 {
            0 => Severity::Info,
            1 => Severity::Warning,
            _ => Severity::Critical,
        },
        actor: "anna (uid 1000)".into(),
        kind: "replay".into(),
        path: Some("crm".into()),
        delivery: Some(id(4200)),
        text: "replayed 3 deliveries of group 0a1b2c3d".into(),
    }
}

pub fn group() -> DeadGroup {
    DeadGroup {
        path: "crm".into(),
        fingerprint: Some(Fingerprint(0x0a1b_2c3d)),
        class: Some(Class::Rejected),
        status: Some(422),
        reason: "422: email must be an address".into(),
        count: 3,
        first_seen: at(35),
        last_seen: at(4),
        example: id(4200),
    }
}

pub fn batch() -> BatchRow {
    BatchRow {
        id: BatchId(7),
        created: at(3),
        actor: "anna (uid 1000)".into(),
        scope: "dead letters of path crm in group 0a1b2c3d".into(),
        state: BatchState::Running,
        reason: None,
        total: 40,
        pending: 20,
        released: 4,
        delivered: 14,
        died: 1,
        skipped: 1,
        canary: 3,
        pace: 5.0,
        ended: None,
    }
}

pub fn preview() -> Preview {
    Preview {
        scope: "dead letters of path crm".into(),
        count: 3,
        oldest: Some(at(35)),
        verdicts: vec![(Verdict::Safe, 2), (Verdict::Unknown, 1)],
        high_water: Some(id(4200)),
        notes: vec!["The breaker of crm is open: they wait until it closes.".into()],
    }
}

pub const LOOKS: Theme = Theme {
    palette: Palette::Sixteen,
    ascii: false,
};

/// A model that has read everything.
pub fn model(size: (u16, u16)) -> Model {
    full(size, overview(), &|_| {})
}

/// A model with everything read, its rows changed by `spoil` first.
pub fn full(size: (u16, u16), overview: Overview, spoil: &dyn Fn(&mut Rows)) -> Model {
    let mut rows = Rows {
        deliveries: (1..=60).rev().map(|n| delivery(4140 + n)).collect(),
        groups: vec![group()],
        detail: detail(),
        log: (1..=30).map(log).collect(),
        runs: recon::runs(),
        differences: recon::differences(),
        plan: recon::plan(),
        batches: vec![batch()],
        held_groups: held::groups(),
        held_list: held::rows(),
        held: held::detail(),
        trace: lineage::trace(),
        notes: lineage::notes(),
        reviews: review::fields(),
        held_deliveries: review::deliveries(),
        records: records(),
        story: story(),
    };
    spoil(&mut rows);
    let mut model = Model::new(config(), LOOKS, NOW, size);
    model.own.rows = review::owned();
    model.detail.id = Some(rows.detail.row.id);
    model.run = Some(RunId(24));
    answer(
        &mut model,
        Slot::Overview,
        Loaded::Overview(Box::new(overview), Vec::new()),
    );
    answer(
        &mut model,
        Slot::Deliveries,
        Loaded::Deliveries {
            filter: Box::default(),
            cursor: Cursor::Newest,
            rows: rows.deliveries,
            done: true,
        },
    );
    answer(&mut model, Slot::Dead, Loaded::Dead(rows.groups));
    let id = rows.detail.row.id;
    answer(
        &mut model,
        Slot::Delivery,
        Loaded::Delivery(id, Some(Box::new(rows.detail))),
    );
    answer(&mut model, Slot::Log, Loaded::Log(rows.log));
    model.recon.plan = Some(recon::PLAN);
    model.recon.job = Some("orders".into());
    let plans = vec![rows.plan.0.clone()];
    let runs = Loaded::Runs(rows.runs, recon::sides(), plans);
    answer(&mut model, Slot::Runs, runs);
    let plan = Loaded::Plan(recon::PLAN, Some(Box::new(rows.plan)));
    answer(&mut model, Slot::Plan, plan);
    answer(
        &mut model,
        Slot::Differences,
        Loaded::Differences(RunId(24), rows.differences),
    );
    answer(&mut model, Slot::Batches, Loaded::Batches(rows.batches));
    answer(
        &mut model,
        Slot::Lineage,
        Loaded::Lineage(id, Some(rows.trace), rows.notes),
    );
    answer(&mut model, Slot::Held, Loaded::Held(rows.held_groups));
    model.held.open = Some(held::GROUP);
    let events = Loaded::HeldEvents(held::GROUP, rows.held_list);
    answer(&mut model, Slot::HeldEvents, events);
    let event = rows.held.row.id;
    model.held.one.id = Some(event);
    let whole = Loaded::HeldEvent(event, Some(Box::new(rows.held)));
    answer(&mut model, Slot::HeldEvent, whole);
    let reviews = Loaded::Reviews(rows.reviews, rows.held_deliveries);
    answer(&mut model, Slot::Reviews, reviews);
    answer(&mut model, Slot::Left, Loaded::Left(review::left()));
    answer(
        &mut model,
        Slot::Incidents,
        Loaded::Incidents(incidents::list()),
    );
    let detail = incidents::detail();
    let number = detail.incident.id;
    model.incidents.open = Some(number);
    let book = crate::incident::runbook_of(&detail.incident);
    let one = Loaded::Incident(number, Some(Box::new(detail)), Some(book));
    answer(&mut model, Slot::Incident, one);
    answer(
        &mut model,
        Slot::Found,
        Loaded::Found(String::new(), rows.records),
    );
    let about = About {
        kind: "order".into(),
        key: "1042".into(),
    };
    model.record.about = Some(about.clone());
    let story = Some(Box::new(rows.story));
    answer(
        &mut model,
        Slot::Story,
        Loaded::Story(about, story, Vec::new()),
    );
    model.reading.about = "crm".into();
    let text = include_str!("fixture_runbook.md");
    let runbook = crate::runbook::parse(text, std::path::Path::new("receiver-down.md"));
    model.reading.text = Some(Ok(Arc::new(runbook)));
    model
}

/// What the screens list.
pub struct Rows {
    pub deliveries: Vec<DeliveryRow>,
    pub groups: Vec<DeadGroup>,
    pub detail: DeliveryDetail,
    pub log: Vec<LogRow>,
    pub runs: Vec<RunRow>,
    pub differences: Vec<DifferenceRow>,
    pub plan: (PlanRow, Vec<PlanWrite>),
    pub batches: Vec<BatchRow>,
    pub held_groups: Vec<HeldGroup>,
    pub held_list: Vec<HeldRow>,
    pub held: HeldDetail,
    pub trace: Trace,
    pub notes: Vec<NoteRow>,
    pub reviews: Vec<ReviewRow>,
    pub held_deliveries: Vec<DeliveryRow>,
    pub records: Vec<RecordRow>,
    pub story: Story,
}

/// Gives the model an answer as if it had asked.
pub fn answer(model: &mut Model, slot: Slot, loaded: Loaded) {
    let seq = model.next_id();
    model.refresh.entry(slot).or_default().pending = Some(seq);
    update(
        model,
        Input::Loaded {
            slot,
            seq,
            result: Ok(loaded),
        },
    );
}

/// Every screen.
pub const PLACES: [Place; 20] = [
    Place::Overview,
    Place::Deliveries,
    Place::Dead,
    Place::Delivery,
    Place::Log,
    Place::Reconcile,
    Place::Replays,
    Place::Held,
    Place::Record,
    Place::Systems,
    Place::Incidents,
    Place::Incident,
    Place::Review,
    Place::Ownership,
    Place::Runs,
    Place::Differences,
    Place::Plan,
    Place::HeldEvents,
    Place::HeldEvent,
    Place::Runbook,
];

/// A key as the table names it, or a character.
pub fn key(name: &str) -> Input {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    let (modifiers, base) = match name.strip_prefix("ctrl-") {
        Some(base) => (KeyModifiers::CONTROL, base),
        None => (KeyModifiers::empty(), name),
    };
    let code = match base {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "space" => KeyCode::Char(' '),
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "backspace" => KeyCode::Backspace,
        other => KeyCode::Char(other.chars().next().unwrap()),
    };
    Input::Key(KeyEvent::new(code, modifiers))
}

/// `^Z` is Ctrl-Z, `\n` Enter, `\t` Tab, `\x1b` Esc; everything else is typed.
pub fn keys(text: &str) -> Vec<Input> {
    let mut all = Vec::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        all.push(match letter {
            '^' => key(&format!(
                "ctrl-{}",
                letters.next().unwrap().to_ascii_lowercase()
            )),
            '\n' => key("enter"),
            '\t' => key("tab"),
            '\x1b' => key("esc"),
            ' ' => key("space"),
            other => key(&other.to_string()),
        });
    }
    all
}

/// Types `text`; previews that are asked for are answered.
pub fn talk(model: &mut Model, text: &str) -> Vec<super::update::Effect> {
    let mut all = Vec::new();
    for input in keys(text) {
        let effects = update(model, input);
        for effect in &effects {
            if let super::update::Effect::Preview { dialog, .. } = effect {
                let more = update(
                    model,
                    Input::Previewed {
                        dialog: *dialog,
                        result: Ok(preview()),
                    },
                );
                all.extend(more);
            }
        }
        all.extend(effects);
    }
    all
}
