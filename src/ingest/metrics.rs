//! `GET /metrics`: Prometheus text (exposition format 0.0.4), from the store's own overview; it counts nothing itself but
//! the answers given. These names do not change:
//!
//! | name | type | labels | meaning |
//! |---|---|---|---|
//! | `midwatch_events_total` | counter | - | events accepted, ever |
//! | `midwatch_events_unrouted` | gauge | - | events that matched no path |
//! | `midwatch_events_held` | gauge | - | events held at the door |
//! | `midwatch_deliveries` | gauge | path, state | deliveries by state |
//! | `midwatch_oldest_due_seconds` | gauge | path | how long the oldest due delivery is overdue |
//! | `midwatch_attempts_5m` | gauge | path, outcome | attempts of the last five minutes: ok, failed, throttled |
//! | `midwatch_accept_to_delivered_seconds` | gauge | path, quantile | over the last hour |
//! | `midwatch_attempt_seconds` | gauge | path, quantile | over the last hour |
//! | `midwatch_path_paused` | gauge | path | 1 while paused |
//! | `midwatch_breaker_open` | gauge | path | 1 while open or half-open |
//! | `midwatch_store_healthy` | gauge | - | 1 while events can be accepted |
//! | `midwatch_http_answers_total` | counter | route, status | answers of this front door since it opened |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::queue::model::State;
use crate::store::view::{Breaker, Overview, PathRow, Quantiles};
use crate::store::{Health, Store};

/// How long a text is served again: a scraper that hurries costs nothing.
const FRESH: Duration = Duration::from_secs(1);

/// Counts answers, and keeps the last text.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    last: tokio::sync::Mutex<Option<(Instant, String)>>,
}

impl Metrics {
    /// Counts one answer.
    pub(super) fn answered(&self, route: &'static str, status: u16) {
        *self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((route, status))
            .or_default() += 1;
    }

    /// The text, at most a second old; an error says why the database cannot be read.
    pub(super) async fn text(&self, store: &Store) -> Result<String, String> {
        let mut last = self.last.lock().await;
        if let Some((at, text)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(text.clone());
        }
        let reading = store.clone();
        let overview = tokio::task::spawn_blocking(move || {
            let reader = reading.reader().map_err(|error| error.to_string())?;
            reader.overview().map_err(|error| error.to_string())
        })
        .await
        .map_err(|error| error.to_string())??;
        let healthy = *store.health().borrow() == Health::Good;
        let answers = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let text = render(&overview, healthy, &answers);
        *last = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}

/// Which of a path's times.
type Pick = fn(&PathRow) -> Quantiles;

/// One family of samples.
struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    fn new(out: &'a mut String, name: &'static str, kind: &str, help: &str) -> Self {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Self { out, name }
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.out.push_str(self.name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let open = if place == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{open}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

fn render(
    overview: &Overview,
    healthy: bool,
    answers: &BTreeMap<(&'static str, u16), u64>,
) -> String {
    let mut text = String::new();
    let out = &mut text;
    let flag = |on: bool| f64::from(u8::from(on));
    Family::new(
        out,
        "midwatch_events_total",
        "counter",
        "Events accepted, ever.",
    )
    .sample(&[], overview.events as f64);
    Family::new(
        out,
        "midwatch_events_unrouted",
        "gauge",
        "Events that matched no path.",
    )
    .sample(&[], overview.unrouted as f64);
    Family::new(
        out,
        "midwatch_events_held",
        "gauge",
        "Events held at the door.",
    )
    .sample(&[], overview.held_events as f64);
    Family::new(
        out,
        "midwatch_store_healthy",
        "gauge",
        "1 while events can be accepted.",
    )
    .sample(&[], flag(healthy));

    let mut family = Family::new(out, "midwatch_deliveries", "gauge", "Deliveries by state.");
    for path in &overview.paths {
        for state in State::ALL {
            let labels = [("path", path.name.as_str()), ("state", state.word())];
            family.sample(&labels, path.counts.get(*state) as f64);
        }
    }
    let mut family = Family::new(
        out,
        "midwatch_oldest_due_seconds",
        "gauge",
        "How long the oldest due delivery is overdue.",
    );
    for path in &overview.paths {
        let late = path
            .oldest_due
            .map_or(0.0, |due| overview.at.since(due).as_secs_f64());
        family.sample(&[("path", &path.name)], late);
    }
    let mut family = Family::new(
        out,
        "midwatch_attempts_5m",
        "gauge",
        "Attempts of the last five minutes by outcome.",
    );
    for path in &overview.paths {
        let recent = &path.recent;
        let ok = recent
            .attempts
            .saturating_sub(recent.failed + recent.throttled);
        for (outcome, count) in [
            ("ok", ok),
            ("failed", recent.failed),
            ("throttled", recent.throttled),
        ] {
            family.sample(&[("path", &path.name), ("outcome", outcome)], count as f64);
        }
    }
    let times: [(&'static str, &str, Pick); 2] = [
        (
            "midwatch_accept_to_delivered_seconds",
            "From acceptance to delivery over the last hour.",
            |path| path.latency,
        ),
        (
            "midwatch_attempt_seconds",
            "Duration of attempts over the last hour.",
            |path| path.attempt_time,
        ),
    ];
    for (name, help, pick) in times {
        let mut family = Family::new(out, name, "gauge", help);
        for path in &overview.paths {
            let quantiles = pick(path);
            for (quantile, ms) in [
                ("0.5", quantiles.p50),
                ("0.95", quantiles.p95),
                ("0.99", quantiles.p99),
            ] {
                if let Some(ms) = ms {
                    let labels = [("path", path.name.as_str()), ("quantile", quantile)];
                    family.sample(&labels, ms as f64 / 1000.0);
                }
            }
        }
    }
    let mut family = Family::new(out, "midwatch_path_paused", "gauge", "1 while paused.");
    for path in &overview.paths {
        family.sample(&[("path", &path.name)], flag(path.pause.is_some()));
    }
    let mut family = Family::new(
        out,
        "midwatch_breaker_open",
        "gauge",
        "1 while open or half-open.",
    );
    for path in &overview.paths {
        let open = !matches!(path.breaker, Breaker::Closed);
        family.sample(&[("path", &path.name)], flag(open));
    }
    let mut family = Family::new(
        out,
        "midwatch_http_answers_total",
        "counter",
        "Answers of this front door since it opened.",
    );
    for ((route, status), count) in answers {
        let labels = [("route", *route), ("status", &status.to_string())];
        family.sample(&labels, *count as f64);
    }
    text
}
