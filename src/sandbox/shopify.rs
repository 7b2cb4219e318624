//! A small stand-in for Shopify's REST Admin API: orders and customers inside a member of their name, pages by the Link
//! header.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::books::{Counts, Row, Table};
use super::script::Faults;
use super::server::{Call, Reply, System};
use crate::time::Timestamp;

/// Opens it.
pub const TOKEN: &str = "shpat-demo-token";
/// Signs its webhooks.
pub const HOOK: &str = "shopify-demo-hook";

/// The shop.
#[derive(Debug)]
pub struct Shopify {
    /// Orders, then customers.
    tables: Mutex<[Table; 2]>,
    counts: Counts,
}

impl Default for Shopify {
    fn default() -> Self {
        Self {
            tables: Mutex::new([Table::from(820), Table::from(70)]),
            counts: Counts::default(),
        }
    }
}

impl Shopify {
    /// What was asked: `read orders`, `list orders`, `update orders`, `search customers`, ...
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes an order; returns it as the API answers it and as its webhook carries it.
    pub fn order(&self, email: &str, total: &str, now: Timestamp) -> Value {
        let mut row = Row::new();
        for (name, value) in [
            ("email", email.into()),
            ("financial_status", "paid".into()),
            ("currency", "NOK".into()),
            ("total_price", total.into()),
            ("note", Value::Null),
            (
                "billing_address",
                json!({ "first_name": "Åse", "last_name": "Berg", "phone": null }),
            ),
            ("created_at", now.rfc3339().into()),
            ("updated_at", now.rfc3339().into()),
        ] {
            row.insert(name.to_owned(), value);
        }
        let mut tables = self.tables();
        let number = 1_001 + tables[0].len();
        row.insert("order_number".to_owned(), number.into());
        row.insert("name".to_owned(), format!("#{number}").into());
        let id = tables[0].insert(row.clone());
        shown(id, &row)
    }

    fn tables(&self) -> MutexGuard<'_, [Table; 2]> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, at: usize, kind: &str, call: &Call) -> Reply {
        let limit = call.number("limit").unwrap_or(50).min(250);
        let from: u64 = call
            .param("page_info")
            .and_then(|at| at.parse().ok())
            .unwrap_or(0);
        let since = call.param("updated_at_min").unwrap_or_default();
        let tables = self.tables();
        let mut rows = tables[at].iter().filter(|(id, row)| {
            *id >= from
                && row
                    .get("updated_at")
                    .and_then(Value::as_str)
                    .is_none_or(|time| time >= since)
        });
        let page: Vec<Value> = rows
            .by_ref()
            .take(limit)
            .map(|(id, row)| shown(id, row))
            .collect();
        let next = rows.next().map(|(id, _)| id);
        let reply = Reply::json(200, &json!({ kind: page }));
        match next {
            // A page after the first carries nothing but its own place and the limit.
            Some(id) => {
                let to = format!(
                    "http://{}{}?limit={limit}&page_info={id}",
                    call.header("host"),
                    call.path
                );
                reply.with("link", format!("<{to}>; rel=\"next\""))
            }
            None => reply,
        }
    }

    fn route(&self, call: &Call) -> Reply {
        let segments = call.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let ["admin", "api", _, rest @ ..] = &path[..] else {
            return error(404);
        };
        let places = [("orders", "order"), ("customers", "customer")];
        let named = |name: &str| places.iter().position(|(many, _)| *many == name);
        match (call.method.as_str(), rest) {
            ("GET", ["shop.json"]) => {
                Reply::json(200, &json!({ "shop": { "name": "Nordlys Coffee" } }))
            }
            ("GET", ["customers", "search.json"]) => {
                self.counts.note("search customers");
                let term = call
                    .param("query")
                    .and_then(|query| query.strip_prefix("email:"))
                    .unwrap_or_default();
                let tables = self.tables();
                let found = tables[1].found("/email", term);
                let hits: Vec<Value> = found
                    .into_iter()
                    .filter_map(|id| Some(shown(id, tables[1].get(id)?)))
                    .collect();
                Reply::json(200, &json!({ "customers": hits }))
            }
            (method, [file]) => {
                let kind = file.trim_end_matches(".json");
                let Some(at) = named(kind) else {
                    return error(404);
                };
                if method == "GET" {
                    self.counts.note(&format!("list {kind}"));
                    return self.list(at, kind, call);
                }
                self.counts.note(&format!("create {kind}"));
                let one = places[at].1;
                let Some(Value::Object(row)) = call.object().and_then(|mut body| body.remove(one))
                else {
                    return error(400);
                };
                let id = self.tables()[at].insert(row.clone());
                Reply::json(201, &json!({ one: shown(id, &row) }))
            }
            (method, [kind, file]) => {
                let Some(at) = named(kind) else {
                    return error(404);
                };
                let one = places[at].1;
                let id = file.trim_end_matches(".json").parse().ok();
                let mut tables = self.tables();
                let Some((id, row)) =
                    id.and_then(|id: u64| tables[at].get_mut(id).map(|row| (id, row)))
                else {
                    return error(404);
                };
                if method == "PUT" {
                    self.counts.note(&format!("update {kind}"));
                    let Some(Value::Object(changes)) =
                        call.object().and_then(|mut body| body.remove(one))
                    else {
                        return error(400);
                    };
                    row.extend(changes);
                } else {
                    self.counts.note(&format!("read {kind}"));
                }
                Reply::json(200, &json!({ one: shown(id, row) }))
            }
            _ => error(404),
        }
    }
}

impl System for Shopify {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        if faults.locked || call.header("x-shopify-access-token") != TOKEN {
            self.counts.note("unauthorized");
            return error(401);
        }
        self.route(call)
            .with("x-shopify-shop-api-call-limit", "1/40")
    }
}

fn shown(id: u64, row: &Row) -> Value {
    let mut row = row.clone();
    row.insert("id".to_owned(), id.into());
    Value::Object(row)
}

fn error(status: u16) -> Reply {
    Reply::json(status, &json!({ "errors": "Not Found" }))
}
