//! The stand-in payment provider: Stripe's API v1 for payments, customers, events and webhook endpoints. Bodies are forms,
//! idempotency keys are honoured, lists go backwards from the newest.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::books::{Counts, Row, Table};
use super::script::Faults;
use super::secrets;
use super::server::{Call, Reply, System};
use super::subscriptions::{Subscription, Subscriptions};
use crate::time::{Clock, Timestamp};

/// The most that one page holds.
const PAGE: usize = 100;
/// Stripe tries for days before it gives an endpoint up: here, after as many failures as this.
const PATIENCE: u32 = 20;

/// The payment provider.
#[derive(Debug)]
pub struct Payments {
    books: Mutex<Books>,
    hooks: Subscriptions,
    counts: Counts,
    clock: Clock,
}

#[derive(Debug)]
struct Books {
    payments: Table,
    customers: Table,
    events: Table,
    /// What was answered under each key, and to what.
    keys: HashMap<String, (String, Reply)>,
}

impl Default for Payments {
    fn default() -> Self {
        Self {
            books: Mutex::new(Books {
                payments: Table::from(1),
                customers: Table::from(1),
                events: Table::from(1),
                keys: HashMap::new(),
            }),
            hooks: Subscriptions::new(PATIENCE),
            counts: Counts::default(),
            clock: Clock::default(),
        }
    }
}

impl Payments {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its webhook endpoints.
    pub fn hooks(&self) -> &Subscriptions {
        &self.hooks
    }

    /// What was asked: `list payments`, `read payments`, `update payments`, `lookup customers`, `create customers`, ..., `repeat` for
    /// a key that was known, `unauthorized`.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many customers there are.
    pub fn customers(&self) -> usize {
        self.books().customers.len()
    }

    /// Takes `amount` in minor units of `currency` for an order; returns the event that its webhook carries.
    pub fn charge_in(&self, order: u64, amount: u64, currency: &str, now: Timestamp) -> Value {
        let mut row = Row::new();
        for (name, value) in [
            ("object", "payment_intent".into()),
            ("amount", amount.into()),
            ("amount_received", amount.into()),
            ("currency", currency.into()),
            ("status", "succeeded".into()),
            ("created", now.0.div_euclid(1000).into()),
            ("metadata", json!({ "order_id": order.to_string() })),
        ] {
            row.insert(name.to_owned(), value);
        }
        let mut books = self.books();
        let id = books.payments.insert(row.clone());
        let payment = shown("pi_demo_", id, &row);
        books.event("payment_intent.succeeded", &payment, now)
    }

    /// Takes `amount` øre for an order; returns the event that its webhook carries.
    pub fn charge(&self, order: u64, amount: u64, now: Timestamp) -> Value {
        self.charge_in(order, amount, "nok", now)
    }

    /// Gives an order's money back; returns the event that its webhook carries.
    pub fn refund(&self, order: u64, now: Timestamp) -> Option<Value> {
        let mut books = self.books();
        let id = *books
            .payments
            .found("/metadata/order_id", &order.to_string())
            .first()?;
        let row = books.payments.get_mut(id)?;
        let amount = row.get("amount").cloned().unwrap_or_default();
        if row.insert("refunded".to_owned(), amount.clone()).is_some() {
            return None;
        }
        let charge = json!({
            "id": format!("ch_demo_{id}"),
            "object": "charge",
            "amount": amount,
            "amount_refunded": amount,
            "currency": row.get("currency"),
            "payment_intent": format!("pi_demo_{id}"),
            "metadata": { "order_id": order.to_string() },
        });
        Some(books.event("charge.refunded", &charge, now))
    }

    fn route(&self, call: &Call) -> Reply {
        let segments = call.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut books = self.books();
        match (call.method.as_str(), &path[..]) {
            ("GET", ["v1", "payment_intents"]) => {
                self.counts.note("list payments");
                let expanded = call.param("expand[]") == Some("data.latest_charge");
                page(call, "pi_demo_", &books.payments, expanded, |_| true)
            }
            ("GET", ["v1", "events"]) => {
                self.counts.note("list events");
                page(call, "evt_demo_", &books.events, false, |_| true)
            }
            ("GET", ["v1", "customers"]) => {
                let email = call.param("email");
                self.counts.note(if email.is_some() {
                    "lookup customers"
                } else {
                    "list customers"
                });
                page(call, "cus_demo_", &books.customers, false, |row| {
                    email
                        .is_none_or(|email| row.get("email").and_then(Value::as_str) == Some(email))
                })
            }
            ("POST", ["v1", "customers"]) => {
                self.counts.note("create customers");
                let mut row = fields(call);
                row.insert("object".to_owned(), "customer".into());
                row.insert("created".to_owned(), (self.clock.now().0 / 1000).into());
                let id = books.customers.insert(row.clone());
                Reply::json(200, &shown("cus_demo_", id, &row))
            }
            (method @ ("GET" | "POST"), ["v1", kind @ ("payment_intents" | "customers"), id]) => {
                let (prefix, what) = match *kind {
                    "customers" => ("cus_demo_", "customers"),
                    _ => ("pi_demo_", "payments"),
                };
                let table = match *kind {
                    "customers" => &mut books.customers,
                    _ => &mut books.payments,
                };
                let number = id
                    .strip_prefix(prefix)
                    .and_then(|number| number.parse().ok());
                let Some((number, row)) = number.and_then(|n| table.get_mut(n).map(|row| (n, row)))
                else {
                    let words = format!("No such {}: '{id}'", kind.trim_end_matches('s'));
                    return error(404, "invalid_request_error", &words);
                };
                if method == "GET" {
                    self.counts.note(&format!("read {what}"));
                } else {
                    self.counts.note(&format!("update {what}"));
                    row.extend(fields(call));
                }
                let expanded = call.param("expand[]") == Some("latest_charge");
                let shown = if expanded {
                    with_charge(number, row)
                } else {
                    shown(prefix, number, row)
                };
                Reply::json(200, &shown)
            }
            ("GET", ["v1", "webhook_endpoints"]) => {
                self.counts.note("list hooks");
                let all: Vec<Value> = self.hooks.all().iter().map(endpoint).collect();
                Reply::json(
                    200,
                    &json!({ "object": "list", "has_more": false, "data": all }),
                )
            }
            ("POST", ["v1", "webhook_endpoints", id]) => {
                let active = call
                    .form()
                    .iter()
                    .any(|(name, value)| name == "disabled" && value == "false");
                self.counts.note(if active {
                    "enable hook"
                } else {
                    "disable hook"
                });
                match self.hooks.switch(id, active) {
                    Some(hook) => Reply::json(200, &endpoint(&hook)),
                    None => error(404, "invalid_request_error", "No such webhook endpoint"),
                }
            }
            _ => error(404, "invalid_request_error", "Unrecognized request URL"),
        }
    }

    /// The answer under the request's key, if there was one; a key with other parameters is refused.
    fn repeated(&self, call: &Call, key: &str) -> Option<Reply> {
        let books = self.books();
        let (asked, reply) = books.keys.get(key)?;
        if *asked != asked_of(call) {
            self.counts.note("key conflict");
            let words = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
            return Some(error(400, "idempotency_error", words));
        }
        self.counts.note("repeat");
        Some(reply.clone().with("idempotent-replayed", "true"))
    }
}

impl Books {
    /// Makes an event of something, and keeps it for those who ask later.
    fn event(&mut self, kind: &str, object: &Value, now: Timestamp) -> Value {
        let mut row = Row::new();
        for (name, value) in [
            ("object", "event".into()),
            ("api_version", "2026-10-29".into()),
            ("created", now.0.div_euclid(1000).into()),
            ("type", kind.into()),
            ("pending_webhooks", 1.into()),
            ("data", json!({ "object": object })),
        ] {
            row.insert(name.to_owned(), value);
        }
        let id = self.events.insert(row.clone());
        shown("evt_demo_", id, &row)
    }
}

impl System for Payments {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        if faults.locked || !secrets::bears(call, secrets::PAYMENTS_KEY) {
            self.counts.note("unauthorized");
            return error(401, "invalid_request_error", "Expired API Key provided");
        }
        let key = call.header("idempotency-key");
        if call.method != "POST" || key.is_empty() {
            return self.route(call);
        }
        if let Some(reply) = self.repeated(call, key) {
            return reply;
        }
        let reply = self.route(call);
        let done = (asked_of(call), reply.clone());
        self.books().keys.insert(key.to_owned(), done);
        reply
    }
}

fn asked_of(call: &Call) -> String {
    format!("{} {}", call.path, String::from_utf8_lossy(&call.body))
}

/// A form's members; names in brackets are members of members.
fn fields(call: &Call) -> Row {
    let mut row = Row::new();
    for (name, value) in call.form() {
        match name.split_once('[') {
            Some((outer, inner)) => {
                let inner = inner.trim_end_matches(']').to_owned();
                if let Value::Object(members) = row.entry(outer).or_insert_with(|| json!({})) {
                    members.insert(inner, value.into());
                }
            }
            None => {
                row.insert(name, value.into());
            }
        }
    }
    row
}

fn page(
    call: &Call,
    prefix: &str,
    table: &Table,
    expanded: bool,
    wanted: impl Fn(&Row) -> bool,
) -> Reply {
    let limit = call.number("limit").unwrap_or(10);
    if !(1..=PAGE).contains(&limit) {
        return error(400, "invalid_request_error", "Invalid integer: limit");
    }
    let after = call
        .param("starting_after")
        .and_then(|id| id.strip_prefix(prefix)?.parse().ok());
    let since = call.number("created[gte]").unwrap_or(0) as u64;
    let mut rows = table.iter().rev().filter(|(id, row)| {
        let created = row
            .get("created")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        after.is_none_or(|after: u64| *id < after) && created >= since && wanted(row)
    });
    let data: Vec<Value> = rows
        .by_ref()
        .take(limit)
        .map(|(id, row)| {
            if expanded {
                with_charge(id, row)
            } else {
                shown(prefix, id, row)
            }
        })
        .collect();
    let more = rows.next().is_some();
    Reply::json(
        200,
        &json!({ "object": "list", "has_more": more, "data": data }),
    )
}

fn shown(prefix: &str, id: u64, row: &Row) -> Value {
    let mut row = row.clone();
    row.insert("id".to_owned(), format!("{prefix}{id}").into());
    Value::Object(row)
}

/// A payment with its charge in it, as `expand[]` asks for.
fn with_charge(id: u64, row: &Row) -> Value {
    let mut payment = shown("pi_demo_", id, row);
    payment["latest_charge"] = json!({
        "id": format!("ch_demo_{id}"),
        "object": "charge",
        "amount": row.get("amount"),
        "amount_refunded": row.get("refunded").cloned().unwrap_or_else(|| 0.into()),
    });
    payment
}

fn endpoint(hook: &Subscription) -> Value {
    json!({
        "id": hook.id,
        "object": "webhook_endpoint",
        "enabled_events": [hook.topic],
        "status": if hook.active { "enabled" } else { "disabled" },
        "url": hook.address,
    })
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(
        status,
        &json!({ "error": { "type": kind, "message": message } }),
    )
}
