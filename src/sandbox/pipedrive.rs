//! A small stand-in for Pipedrive's API v2: persons and deals, found by exact search, nothing unique.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::books::{Counts, Row, Table, text_at};
use super::script::Faults;
use super::server::{Call, Reply, System};
use crate::time::Clock;

/// Opens it.
pub const TOKEN: &str = "pipedrive-demo-token";

/// The CRM.
#[derive(Debug)]
pub struct Pipedrive {
    /// Persons, then deals.
    tables: Mutex<[Table; 2]>,
    counts: Counts,
    clock: Clock,
}

impl Default for Pipedrive {
    fn default() -> Self {
        Self {
            tables: Mutex::new([Table::from(1), Table::from(1)]),
            counts: Counts::default(),
            clock: Clock::default(),
        }
    }
}

impl Pipedrive {
    /// What was asked: `search persons`, `read persons`, `create deals`, `update deals`, `list deals`, ...
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// One of its records (`persons` or `deals`).
    pub fn row(&self, kind: &str, id: u64) -> Option<Row> {
        self.tables().get(place(kind)?)?.get(id).cloned()
    }

    /// Puts a record in, as if it had been there before; returns its id.
    pub fn put(&self, kind: &str, row: Row) -> u64 {
        place(kind).map_or(0, |at| self.tables()[at].insert(row))
    }

    /// How many records there are too many: persons by address, deals by title.
    pub fn duplicates(&self) -> usize {
        let tables = self.tables();
        tables[0].duplicates("/emails/0/value") + tables[1].duplicates("/title")
    }

    fn tables(&self) -> MutexGuard<'_, [Table; 2]> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn search(&self, at: usize, call: &Call) -> Reply {
        let pointer = match (at, call.param("fields")) {
            (0, Some("email")) => "/emails/0/value",
            (1, Some("title")) => "/title",
            _ => return error(400, "fields"),
        };
        if call.param("exact_match") != Some("true") {
            return error(400, "exact_match");
        }
        let tables = self.tables();
        let hits: Vec<Value> = tables[at]
            .found(pointer, call.param("term").unwrap_or_default())
            .into_iter()
            .filter_map(|id| Some((id, tables[at].get(id)?)))
            // An index's view of it: fewer members, addresses as plain texts.
            .map(|(id, row)| {
                json!({ "result_score": 1.0, "item": {
                    "id": id,
                    "name": row.get("name"),
                    "title": row.get("title"),
                    "emails": text_at(row, "/emails/0/value").into_iter().collect::<Vec<_>>(),
                }})
            })
            .collect();
        good(200, &json!({ "items": hits }))
    }

    fn list(&self, at: usize, call: &Call) -> Reply {
        let limit = call.number("limit").unwrap_or(100).min(500);
        let from: u64 = call
            .param("cursor")
            .and_then(|c| c.strip_prefix("at-")?.parse().ok())
            .unwrap_or(0);
        let since = call.param("updated_since").unwrap_or_default();
        let tables = self.tables();
        let mut rows = tables[at].iter().filter(|(id, row)| {
            *id >= from
                && row
                    .get("update_time")
                    .and_then(Value::as_str)
                    .is_none_or(|time| time >= since)
        });
        let data: Vec<Value> = rows
            .by_ref()
            .take(limit)
            .map(|(id, row)| shown(id, row))
            .collect();
        let next = rows.next().map(|(id, _)| format!("at-{id}"));
        let body =
            json!({ "success": true, "data": data, "additional_data": { "next_cursor": next } });
        Reply::json(200, &body)
    }

    fn route(&self, call: &Call) -> Reply {
        let segments = call.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let ["api", "v2", kind, rest @ ..] = &path[..] else {
            return error(404, "url");
        };
        let Some(at) = place(kind) else {
            return error(404, "entity");
        };
        let now = self.clock.now().rfc3339();
        match (call.method.as_str(), rest) {
            ("GET", ["search"]) => {
                self.counts.note(&format!("search {kind}"));
                self.search(at, call)
            }
            ("GET", []) => {
                self.counts.note(&format!("list {kind}"));
                self.list(at, call)
            }
            ("POST", []) => {
                self.counts.note(&format!("create {kind}"));
                let mut row = call.object().unwrap_or_default();
                row.insert("add_time".to_owned(), now.clone().into());
                row.insert("update_time".to_owned(), now.into());
                let id = self.tables()[at].insert(row.clone());
                good(201, &shown(id, &row))
            }
            (method, [id]) => {
                let mut tables = self.tables();
                let id: Option<u64> = id.parse().ok();
                let Some((id, row)) = id.and_then(|id| tables[at].get_mut(id).map(|row| (id, row)))
                else {
                    return error(404, "Entity not found");
                };
                match method {
                    "GET" => self.counts.note(&format!("read {kind}")),
                    "PATCH" => {
                        self.counts.note(&format!("update {kind}"));
                        row.extend(call.object().unwrap_or_default());
                        row.insert("update_time".to_owned(), now.into());
                    }
                    _ => return error(405, "method"),
                }
                good(200, &shown(id, row))
            }
            _ => error(404, "url"),
        }
    }
}

impl System for Pipedrive {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        if faults.locked || call.header("x-api-token") != TOKEN {
            self.counts.note("unauthorized");
            return error(401, "unauthorized access");
        }
        self.route(call)
            .with("x-ratelimit-limit", "20")
            .with("x-ratelimit-remaining", "19")
            .with("x-ratelimit-reset", "2")
    }
}

fn place(kind: &str) -> Option<usize> {
    ["persons", "deals"].iter().position(|known| *known == kind)
}

fn shown(id: u64, row: &Row) -> Value {
    let mut row = row.clone();
    row.insert("id".to_owned(), id.into());
    Value::Object(row)
}

fn good(status: u16, data: &Value) -> Reply {
    Reply::json(status, &json!({ "success": true, "data": data }))
}

fn error(status: u16, words: &str) -> Reply {
    Reply::json(
        status,
        &json!({ "success": false, "error": words, "code": "ERR" }),
    )
}
