//! A plain REST API: contacts and orders, nothing unique, no idempotency keys. What asks twice makes two.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::books::{Counts, Row, Table};
use super::script::Faults;
use super::secrets;
use super::server::{Call, Reply, System};
use crate::time::Clock;

/// Opens it (bearer).
pub const TOKEN: &str = "rest-demo-token";
/// Records a page.
const PAGE: usize = 50;

/// The application.
#[derive(Debug)]
pub struct Rest {
    /// Contacts, then orders.
    tables: Mutex<[Table; 2]>,
    counts: Counts,
    clock: Clock,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            tables: Mutex::new([Table::from(1), Table::from(1)]),
            counts: Counts::default(),
            clock: Clock::default(),
        }
    }
}

impl Rest {
    /// What was asked: `lookup contacts`, `create orders`, `update orders`, `list orders`, `read contacts`, ...
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// One of its records (`contacts` or `orders`).
    pub fn row(&self, kind: &str, id: u64) -> Option<Row> {
        self.tables().get(place(kind)?)?.get(id).cloned()
    }

    /// How many of `contacts` or `orders` there are.
    pub fn len(&self, kind: &str) -> usize {
        place(kind).map_or(0, |at| self.tables()[at].len())
    }

    /// How many records there are too many: contacts by address, orders by number.
    pub fn duplicates(&self) -> usize {
        let tables = self.tables();
        tables[0].duplicates("/email") + tables[1].duplicates("/number")
    }

    /// Puts a record in, as someone who types it would; returns its id.
    pub fn put(&self, kind: &str, row: Row) -> u64 {
        place(kind).map_or(0, |at| self.tables()[at].insert(row))
    }

    fn tables(&self) -> MutexGuard<'_, [Table; 2]> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(&self, call: &Call) -> Reply {
        let segments = call.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let Some((kind, rest)) = path.split_first() else {
            return error(404);
        };
        let Some(at) = place(kind) else {
            return error(404);
        };
        let unique = ["email", "number"][at];
        let mut tables = self.tables();
        let now = self.clock.now().rfc3339();
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                if let Some(term) = call.param(unique) {
                    self.counts.note(&format!("lookup {kind}"));
                    let found = tables[at].found(&format!("/{unique}"), term);
                    let hits = found
                        .into_iter()
                        .filter_map(|id| Some(shown(id, tables[at].get(id)?)));
                    return Reply::json(200, &hits.collect());
                }
                self.counts.note(&format!("list {kind}"));
                let from: u64 = call
                    .param("from")
                    .and_then(|from| from.parse().ok())
                    .unwrap_or(0);
                let mut rows = tables[at].iter().filter(|(id, _)| *id >= from);
                let page: Value = rows
                    .by_ref()
                    .take(PAGE)
                    .map(|(id, row)| shown(id, row))
                    .collect();
                let reply = Reply::json(200, &page);
                match rows.next() {
                    Some((next, _)) => {
                        let to = format!("http://{}{}?from={next}", call.header("host"), call.path);
                        reply.with("link", format!("<{to}>; rel=\"next\""))
                    }
                    None => reply,
                }
            }
            ("POST", []) => {
                self.counts.note(&format!("create {kind}"));
                let Some(mut row) = call.object() else {
                    return error(400);
                };
                row.insert("created_at".to_owned(), now.clone().into());
                row.insert("updated_at".to_owned(), now.into());
                let id = tables[at].insert(row.clone());
                Reply::json(201, &shown(id, &row))
            }
            (method, [id]) => {
                let id: Option<u64> = id.parse().ok();
                let Some((id, row)) = id.and_then(|id| tables[at].get_mut(id).map(|row| (id, row)))
                else {
                    return error(404);
                };
                if method == "PATCH" {
                    self.counts.note(&format!("update {kind}"));
                    row.extend(call.object().unwrap_or_default());
                    row.insert("updated_at".to_owned(), now.into());
                } else {
                    self.counts.note(&format!("read {kind}"));
                }
                Reply::json(200, &shown(id, row))
            }
            _ => error(404),
        }
    }
}

impl System for Rest {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        if faults.locked || !secrets::bears(call, TOKEN) {
            self.counts.note("unauthorized");
            return error(401);
        }
        self.route(call)
    }
}

fn place(kind: &str) -> Option<usize> {
    ["contacts", "orders"]
        .iter()
        .position(|known| *known == kind)
}

fn shown(id: u64, row: &Row) -> Value {
    let mut row = row.clone();
    row.insert("id".to_owned(), id.to_string().into());
    Value::Object(row)
}

fn error(status: u16) -> Reply {
    Reply::json(status, &json!({ "error": status }))
}
