//! The stand-in website: WooCommerce's REST API v3 for orders, customers and webhooks. It gives out the orders' ids, ignores
//! idempotency keys, and disables a webhook after more than five failures in a row.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::books::{Counts, Row, Table};
use super::goods::{Customer, Order};
use super::script::Faults;
use super::secrets;
use super::server::{Call, Reply, System};
use super::subscriptions::{Subscription, Subscriptions};
use crate::time::{Clock, Timestamp};

/// Orders kept; the oldest finished ones are archived first.
pub const KEPT: usize = 2_000;
/// The most that one page holds.
const PAGE: usize = 100;
/// Failures in a row that a webhook survives.
const PATIENCE: u32 = 5;

/// The website.
#[derive(Debug)]
pub struct Website {
    orders: Mutex<BTreeMap<u64, Order>>,
    customers: Mutex<Table>,
    hooks: Subscriptions,
    counts: Counts,
    clock: Clock,
}

impl Default for Website {
    fn default() -> Self {
        Self {
            orders: Mutex::default(),
            customers: Mutex::new(Table::from(1)),
            hooks: Subscriptions::new(PATIENCE),
            counts: Counts::default(),
            clock: Clock::default(),
        }
    }
}

impl Website {
    fn orders(&self) -> MutexGuard<'_, BTreeMap<u64, Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn customers(&self) -> MutexGuard<'_, Table> {
        self.customers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an order into the books. Returns the number of the one that was archived for it, if one was.
    pub fn take(&self, order: Order) -> Option<u64> {
        let mut orders = self.orders();
        orders.insert(order.number, order);
        (orders.len() > KEPT)
            .then(|| orders.pop_first().map(|(number, _)| number))
            .flatten()
    }

    /// Changes an order's status; returns the order as it is now.
    pub fn set_status(&self, number: u64, status: &'static str, now: Timestamp) -> Option<Order> {
        let mut orders = self.orders();
        let order = orders.get_mut(&number)?;
        (order.status, order.modified) = (status, now);
        Some(order.clone())
    }

    /// Registers a customer; returns what its webhook carries.
    pub fn register(&self, customer: &Customer, now: Timestamp) -> Value {
        let row = customer.row(now);
        let id = self.customers().insert(row.clone());
        with_id(id, &row)
    }

    /// Registered customers, newest first: id and address.
    pub fn newest_customers(&self) -> Vec<(u64, String)> {
        let customers = self.customers();
        let newest = customers.iter().rev();
        newest
            .filter_map(|(id, row)| Some((id, row.get("email")?.as_str()?.to_owned())))
            .collect()
    }

    /// A customer gives another telephone number; returns what the webhook carries.
    pub fn call_by(&self, id: u64, phone: &str, now: Timestamp) -> Option<Value> {
        let mut customers = self.customers();
        let row = customers.get_mut(id)?;
        let billing = row.get_mut("billing")?.as_object_mut()?;
        billing.insert("phone".to_owned(), phone.into());
        stamp(row, now);
        Some(with_id(id, row))
    }

    /// The newest order with that status.
    pub fn newest(&self, status: &str) -> Option<u64> {
        let orders = self.orders();
        let mut newest = orders.values().rev().filter(|order| order.status == status);
        newest.next().map(|order| order.number)
    }

    /// An order as the API answers it.
    pub fn order(&self, number: u64) -> Option<Value> {
        self.orders().get(&number).map(Order::json)
    }

    /// Its webhooks.
    pub fn hooks(&self) -> &Subscriptions {
        &self.hooks
    }

    /// Sends what the webhook for `topic` carries of a record to its address, once, signed, and counts how it ended. None: there
    /// is no such webhook, or it is disabled; otherwise the status, or 0 where there was no answer.
    pub async fn tell(&self, topic: &'static str, record: &Value) -> Option<u16> {
        let hook = self
            .hooks
            .all()
            .into_iter()
            .find(|hook| hook.topic == topic && hook.active)?;
        let url = reqwest::Url::parse(&hook.address).ok()?;
        let to = url.socket_addrs(|| None).ok()?.into_iter().next()?;
        let id = record.get("id").and_then(Value::as_u64).unwrap_or_default();
        let message = super::traffic::webhook(topic, id, record);
        let answer = super::server::post(to, url.path(), &message.headers, message.body).await;
        let status = answer.map_or(0, |(status, _)| status);
        self.hooks.ended(topic, (200..303).contains(&status));
        Some(status)
    }

    /// What was asked: `list orders`, `read orders`, `update orders`, `list customers`, `create customers`, ..., `list hooks`,
    /// `enable hook`; `unauthorized` for what was refused.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn update_order(&self, number: &str, call: &Call) -> Reply {
        let Some(body) = call.object() else {
            return error(400, "rest_invalid_json", "Invalid JSON body passed.");
        };
        let mut orders = self.orders();
        let number = number.parse().ok();
        let Some(order) = number.and_then(|number: u64| orders.get_mut(&number)) else {
            return no_order();
        };
        if let Some(status) = body.get("status").and_then(Value::as_str) {
            let known = [
                "pending",
                "processing",
                "on-hold",
                "completed",
                "cancelled",
                "refunded",
                "failed",
            ];
            let Some(status) = known.into_iter().find(|known| *known == status) else {
                return error(400, "rest_invalid_param", "Invalid parameter(s): status");
            };
            order.status = status;
        }
        if let Some(reference) = body.get("transaction_id").and_then(Value::as_str) {
            order.transaction = Some(reference.to_owned());
        }
        if let Some(note) = body.get("customer_note").and_then(Value::as_str) {
            note.clone_into(&mut order.note);
        }
        order.modified = self.clock.now();
        Reply::json(200, &order.json())
    }

    fn list_orders(&self, call: &Call) -> Reply {
        let since = match call.param("modified_after").map(instant) {
            Some(None) => {
                return error(
                    400,
                    "rest_invalid_param",
                    "Invalid parameter(s): modified_after",
                );
            }
            since => since.flatten(),
        };
        let orders = self.orders();
        let changed: Vec<Value> = orders
            .values()
            // Strictly after, in whole seconds, as the shop's database compares.
            .filter(|order| since.is_none_or(|since| order.modified.0 / 1000 > since.0 / 1000))
            .map(Order::json)
            .collect();
        page(call, changed)
    }

    fn customers_route(&self, method: &str, rest: &[&str], call: &Call) -> Reply {
        let mut customers = self.customers();
        let id = rest.first().and_then(|id| id.parse().ok());
        match (method, rest) {
            ("GET", []) => {
                self.counts.note(if call.param("email").is_some() {
                    "lookup customers"
                } else {
                    "list customers"
                });
                let email = call.param("email").map(str::to_lowercase);
                let all = customers
                    .iter()
                    .filter(|(_, row)| {
                        let own = row.get("email").and_then(Value::as_str).unwrap_or_default();
                        email
                            .as_ref()
                            .is_none_or(|email| own.to_lowercase() == *email)
                    })
                    .map(|(id, row)| with_id(id, row))
                    .collect();
                page(call, all)
            }
            ("POST", []) => {
                self.counts.note("create customers");
                let Some(mut row) = call.object() else {
                    return error(400, "rest_invalid_json", "Invalid JSON body passed.");
                };
                let email = row.get("email").and_then(Value::as_str).unwrap_or_default();
                if !customers.found("/email", email).is_empty() {
                    let code = "registration-error-email-exists";
                    return error(
                        400,
                        code,
                        "An account is already registered with your email address.",
                    );
                }
                stamp(&mut row, self.clock.now());
                let id = customers.insert(row.clone());
                Reply::json(201, &with_id(id, &row))
            }
            (_, [_]) => {
                let known = id.and_then(|id| customers.get_mut(id).map(|row| (id, row)));
                let Some((id, row)) = known else {
                    return error(404, "woocommerce_rest_invalid_id", "Invalid resource ID.");
                };
                if method == "GET" {
                    self.counts.note("read customers");
                } else {
                    self.counts.note("update customers");
                    merge(row, call.object().unwrap_or_default());
                    stamp(row, self.clock.now());
                }
                Reply::json(200, &with_id(id, row))
            }
            _ => no_route(),
        }
    }

    fn hooks_route(&self, method: &str, rest: &[&str], call: &Call) -> Reply {
        match (method, rest) {
            ("GET", []) => {
                self.counts.note("list hooks");
                page(call, self.hooks.all().iter().map(shown).collect())
            }
            ("PUT", [id]) => {
                let status = call
                    .object()
                    .and_then(|body| body.get("status")?.as_str().map(str::to_owned));
                let active = status.as_deref() == Some("active");
                self.counts.note(if active {
                    "enable hook"
                } else {
                    "disable hook"
                });
                match self.hooks.switch(id, active) {
                    Some(hook) => Reply::json(200, &shown(&hook)),
                    None => error(
                        404,
                        "woocommerce_rest_shop_webhook_invalid_id",
                        "Invalid ID.",
                    ),
                }
            }
            _ => no_route(),
        }
    }
}

impl System for Website {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        if faults.locked || !secrets::opens_shop(call) {
            self.counts.note("unauthorized");
            let words = "Consumer key is invalid.";
            return error(401, "woocommerce_rest_authentication_error", words);
        }
        let segments = call.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (call.method.as_str(), &path[..]) {
            // A plugin's, not WooCommerce's: one page with every order, for reconciliation.
            ("GET", ["wp-json", "nordlys", "v1", "orders"]) => {
                let all: Vec<Value> = self.orders().values().map(Order::json).collect();
                Reply::json(200, &Value::Array(all))
            }
            ("GET", ["wp-json", "wc", "v3", "orders"]) => {
                self.counts.note("list orders");
                self.list_orders(call)
            }
            ("GET", ["wp-json", "wc", "v3", "orders", number]) => {
                self.counts.note("read orders");
                let order = number.parse().ok().and_then(|number| self.order(number));
                order.map_or_else(no_order, |order| Reply::json(200, &order))
            }
            ("PUT", ["wp-json", "wc", "v3", "orders", number]) => {
                self.counts.note("update orders");
                self.update_order(number, call)
            }
            (method, ["wp-json", "wc", "v3", "customers", rest @ ..]) => {
                self.customers_route(method, rest, call)
            }
            (method, ["wp-json", "wc", "v3", "webhooks", rest @ ..]) => {
                self.hooks_route(method, rest, call)
            }
            _ => no_route(),
        }
    }
}

/// One page of `all`, with the totals in headers.
fn page(call: &Call, all: Vec<Value>) -> Reply {
    let size = call.number("per_page").unwrap_or(10);
    if !(1..=PAGE).contains(&size) {
        return error(400, "rest_invalid_param", "Invalid parameter(s): per_page");
    }
    let number = call.number("page").unwrap_or(1).max(1);
    let total = all.len();
    let part: Vec<Value> = all
        .into_iter()
        .skip((number - 1) * size)
        .take(size)
        .collect();
    Reply::json(200, &Value::Array(part))
        .with("x-wp-total", total.to_string())
        .with("x-wp-totalpages", total.div_ceil(size).to_string())
}

fn shown(hook: &Subscription) -> Value {
    json!({
        "id": hook.id.parse::<u64>().unwrap_or_default(),
        "name": hook.topic,
        "status": if hook.active { "active" } else { "disabled" },
        "topic": hook.topic,
        "delivery_url": hook.address,
    })
}

fn with_id(id: u64, row: &Row) -> Value {
    let mut row = row.clone();
    row.insert("id".to_owned(), id.into());
    Value::Object(row)
}

fn stamp(row: &mut Row, now: Timestamp) {
    let gmt = Value::from(super::goods::gmt(now));
    row.entry("date_created_gmt").or_insert_with(|| gmt.clone());
    row.insert("date_modified_gmt".to_owned(), gmt);
}

/// Objects member by member, everything else as a whole.
fn merge(row: &mut Row, changes: Row) {
    for (name, value) in changes {
        match (row.get_mut(&name), value) {
            (Some(Value::Object(held)), Value::Object(value)) => merge(held, value),
            (_, value) => {
                row.insert(name, value);
            }
        }
    }
}

/// RFC 3339, or without an offset, which is then taken as GMT.
fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&format!("{text}Z")))
}

fn no_order() -> Reply {
    error(404, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.")
}

fn no_route() -> Reply {
    error(
        404,
        "rest_no_route",
        "No route was found matching the URL and request method.",
    )
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({ "code": code, "message": message, "data": { "status": status } });
    Reply::json(status, &body)
}
