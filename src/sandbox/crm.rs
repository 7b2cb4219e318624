//! The stand-in CRM: HubSpot's objects API v3 and its associations. It ignores idempotency keys, as HubSpot does: what keeps
//! it free of duplicates is that an address, or an order's number, may be there once.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::books::{Allowance, Counts, Row, Table, text_at};
use super::oauth::Tokens;
use super::script::{Deed, Faults};
use super::secrets;
use super::server::{Call, Reply, System};
use crate::time::{Clock, Timestamp};

/// The most that one page holds.
const PAGE: usize = 100;

/// A kind of object: its name, the property that may be there once, and the properties that the portal knows.
struct Kind {
    name: &'static str,
    unique: &'static str,
    properties: &'static [&'static str],
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "contacts",
        unique: "email",
        properties: &[
            "email",
            "firstname",
            "lastname",
            "phone",
            "company",
            "city",
            "country",
        ],
    },
    Kind {
        name: "deals",
        unique: "woo_order_id",
        properties: &[
            "dealname",
            "amount",
            "deal_currency_code",
            "dealstage",
            "pipeline",
            "woo_order_id",
            "customer_email",
            "paid_ref",
        ],
    },
];

/// Stages of a deal that nothing changes any more.
const CLOSED: [&str; 2] = ["closedwon", "completed"];

/// The CRM.
#[derive(Debug)]
pub struct Crm {
    books: Mutex<Books>,
    counts: Counts,
    allowance: Allowance,
    /// Beside the demo's fixed token.
    tokens: Option<Tokens>,
    clock: Clock,
}

#[derive(Debug)]
struct Books {
    /// In the order of [`KINDS`].
    tables: [Table; 2],
    joined: BTreeSet<(String, u64, String, u64)>,
    /// Deals that a person changed or deleted by hand, as they were.
    spoiled: Vec<(u64, Row)>,
    refusals: u64,
}

impl Default for Crm {
    fn default() -> Self {
        Self::new(Allowance::new(1_000, Duration::from_secs(10)))
    }
}

impl Crm {
    /// With a rate limit of its own.
    pub fn new(allowance: Allowance) -> Self {
        Self {
            books: Mutex::new(Books {
                tables: [Table::from(101), Table::from(9_001)],
                joined: BTreeSet::new(),
                spoiled: Vec::new(),
                refusals: 0,
            }),
            counts: Counts::default(),
            allowance,
            tokens: None,
            clock: Clock::default(),
        }
    }

    /// Also opened by tokens of its own token endpoint.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Its token endpoint.
    pub fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// What was asked: `lookup contacts`, `read deals`, `create deals`, `update deals`, `delete deals`, `list deals`, `link deals
    /// contacts`; `conflict contacts`, `unknown property`, `throttled`, `unauthorized` for what was refused.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many of `contacts` or `deals` there are.
    pub fn len(&self, kind: &str) -> usize {
        place(kind).map_or(0, |at| self.books().tables[at].len())
    }

    /// How many of `contacts` or `deals` are there twice, by their unique property. Must stay 0.
    pub fn duplicates(&self, kind: &str) -> usize {
        place(kind).map_or(0, |at| {
            self.books().tables[at].duplicates(&pointer(KINDS[at].unique))
        })
    }

    /// The properties of the one whose unique property is `key`.
    pub fn find(&self, kind: &str, key: &str) -> Option<(u64, Map<String, Value>)> {
        let books = self.books();
        let at = place(kind)?;
        let id = *books.tables[at]
            .found(&pointer(KINDS[at].unique), key)
            .first()?;
        let row = books.tables[at].get(id)?;
        Some((id, row.get("properties")?.as_object()?.clone()))
    }

    /// Puts a record in, as if it had been there before; returns its id.
    pub fn put(&self, kind: &str, properties: Map<String, Value>) -> u64 {
        let row = new_row(properties, self.clock.now());
        place(kind).map_or(0, |at| self.books().tables[at].insert(row))
    }

    /// Somebody changes properties of the one whose unique property is `key`, by hand. Returns the record as it is then.
    pub fn edit(&self, kind: &str, key: &str, changes: Map<String, Value>) -> Option<Value> {
        let now = self.clock.now();
        let mut books = self.books();
        let at = place(kind)?;
        let table = &mut books.tables[at];
        let id = *table.found(&pointer(KINDS[at].unique), key).first()?;
        let row = table.get_mut(id)?;
        properties_of(row)?.extend(changes);
        stamp(row, now);
        Some(shown(id, row, None))
    }

    /// How many records are joined to another.
    pub fn joined(&self) -> usize {
        self.books().joined.len()
    }

    /// The website archived this order: so does the CRM.
    pub fn archive(&self, number: u64) {
        let mut books = self.books();
        let deals = &mut books.tables[1];
        for id in deals.found(&pointer("woo_order_id"), &number.to_string()) {
            deals.remove(id);
        }
    }

    /// Does what a person did by hand, to a deal that is closed (so that no webhook sets it right again).
    pub fn befall(&self, deed: Deed) {
        let now = self.clock.now();
        let mut books = self.books();
        let books = &mut *books;
        let deals = &mut books.tables[1];
        let closed = deals
            .iter()
            .rev()
            .find(|(id, row)| {
                text_at(row, "/properties/dealstage")
                    .is_some_and(|stage| CLOSED.contains(&stage.as_str()))
                    && !books.spoiled.iter().any(|(known, _)| known == id)
            })
            .map(|(id, row)| (id, row.clone()));
        match (deed, closed) {
            (Deed::EditDeal, Some((id, row))) => {
                let typo = mistyped(&text_at(&row, "/properties/amount").unwrap_or_default());
                let mut edited = row.clone();
                if let Some(properties) = properties_of(&mut edited) {
                    properties.insert("amount".to_owned(), typo.into());
                }
                stamp(&mut edited, now);
                deals.restore(id, edited);
                books.spoiled.push((id, row));
            }
            (Deed::DeleteDeal, Some((id, row))) => {
                deals.remove(id);
                books.spoiled.push((id, row));
            }
            (Deed::MendDeals, _) => {
                for (id, mut row) in std::mem::take(&mut books.spoiled) {
                    let order = text_at(&row, "/properties/woo_order_id").unwrap_or_default();
                    if let Some(edited) = deals.get_mut(id) {
                        // What else changed meanwhile stands.
                        let amount = row.get("properties").and_then(|all| all.get("amount"));
                        if let (Some(amount), Some(held)) = (amount, properties_of(edited)) {
                            held.insert("amount".to_owned(), amount.clone());
                        }
                        stamp(edited, now);
                    } else if deals.found(&pointer("woo_order_id"), &order).is_empty() {
                        // Unless it was made again meanwhile.
                        stamp(&mut row, now);
                        deals.restore(id, row);
                    }
                }
            }
            _ => {}
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened_by(&self, call: &Call) -> bool {
        let token = call.header("authorization").strip_prefix("Bearer ");
        token.is_some_and(|token| {
            token == secrets::CRM_TOKEN
                || self.tokens.as_ref().is_some_and(|all| all.accepts(token))
        })
    }

    fn route(&self, call: &Call, faults: &Faults) -> Reply {
        let segments = call.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (call.method.as_str(), &path[..]) {
            // Not HubSpot's: one page with every deal, for reconciliation.
            ("GET", ["reports", "deals"]) => {
                let books = self.books();
                let all: Vec<Value> = books.tables[1]
                    .iter()
                    .map(|(id, row)| shown(id, row, None))
                    .collect();
                Reply::json(200, &json!({ "results": all }))
            }
            (
                "PUT",
                [
                    "crm",
                    "v4",
                    "objects",
                    kind,
                    id,
                    "associations",
                    "default",
                    other,
                    to,
                ],
            ) => self.join(kind, id, other, to),
            (method, ["crm", "v3", "objects", kind, rest @ ..]) => match place(kind) {
                Some(at) => self.objects(at, method, rest, call, faults),
                None => error(400, "VALIDATION_ERROR", "Unable to infer object type"),
            },
            _ => error(404, "OBJECT_NOT_FOUND", "resource not found"),
        }
    }

    fn objects(
        &self,
        at: usize,
        method: &str,
        rest: &[&str],
        call: &Call,
        faults: &Faults,
    ) -> Reply {
        let kind = KINDS[at].name;
        let wanted = call.param("properties");
        match (method, rest) {
            ("GET", []) => {
                self.counts.note(&format!("list {kind}"));
                self.list(at, call)
            }
            ("POST", []) => {
                self.counts.note(&format!("create {kind}"));
                self.create(at, call, faults.strict)
            }
            ("GET", [value]) => {
                let by = call.param("idProperty");
                let what = if by.is_some() { "lookup" } else { "read" };
                self.counts.note(&format!("{what} {kind}"));
                let mut books = self.books();
                let found = match by {
                    None => value.parse().ok(),
                    Some(name) if name == KINDS[at].unique => books.tables[at]
                        .found(&pointer(name), value)
                        .first()
                        .copied(),
                    Some(_) => return error(400, "VALIDATION_ERROR", "idProperty is not unique"),
                };
                let row = found.and_then(|id| books.tables[at].get(id).map(|row| (id, row)));
                if let Some((id, row)) = row {
                    return Reply::json(200, &shown(id, row, Some(wanted.unwrap_or_default())));
                }
                if faults.rival && by == Some("email") {
                    self.type_in(&mut books, value);
                }
                missing()
            }
            ("PATCH", [id]) => {
                self.counts.note(&format!("update {kind}"));
                self.update(at, id, call, faults.strict)
            }
            ("DELETE", [id]) => {
                self.counts.note(&format!("delete {kind}"));
                // Archived is gone for everyone who asks; asking twice is no error.
                if let Ok(id) = id.parse() {
                    self.books().tables[at].remove(id);
                }
                Reply::text(204, "")
            }
            _ => error(404, "OBJECT_NOT_FOUND", "resource not found"),
        }
    }

    /// Someone types this contact in, and knows no more than the address.
    fn type_in(&self, books: &mut Books, email: &str) {
        let now = self.clock.now().rfc3339();
        let mut row = Row::new();
        row.insert(
            "properties".to_owned(),
            json!({ "email": email.to_lowercase() }),
        );
        row.insert("createdAt".to_owned(), now.clone().into());
        row.insert("updatedAt".to_owned(), now.into());
        books.tables[0].insert(row);
        self.counts.note("typed in");
    }

    fn list(&self, at: usize, call: &Call) -> Reply {
        let books = self.books();
        let after: u64 = call
            .param("after")
            .and_then(|after| after.parse().ok())
            .unwrap_or(0);
        let limit = call.number("limit").unwrap_or(10);
        if limit > PAGE {
            return error(400, "VALIDATION_ERROR", "limit must be at most 100");
        }
        let mut rows = books.tables[at].iter().filter(|(id, _)| *id > after);
        let wanted = Some(call.param("properties").unwrap_or_default());
        let page: Vec<(u64, &Row)> = rows.by_ref().take(limit).collect();
        let results: Vec<Value> = page
            .iter()
            .map(|(id, row)| shown(*id, row, wanted))
            .collect();
        let mut answer = json!({ "results": results });
        if let (Some((last, _)), Some(_)) = (page.last(), rows.next()) {
            answer["paging"] = json!({ "next": { "after": last.to_string() } });
        }
        Reply::json(200, &answer)
    }

    fn create(&self, at: usize, call: &Call, strict: bool) -> Reply {
        let properties = match self.accepted(at, call) {
            Ok(properties) => properties,
            Err(refused) => return refused,
        };
        let row = new_row(properties, self.clock.now());
        let mut books = self.books();
        if let Some(refused) = self.refused(&mut books, at, &row, None, strict) {
            return refused;
        }
        let table = &mut books.tables[at];
        let id = table.insert(row);
        table
            .get(id)
            .map_or_else(missing, |row| Reply::json(201, &shown(id, row, None)))
    }

    fn update(&self, at: usize, id: &str, call: &Call, strict: bool) -> Reply {
        let properties = match self.accepted(at, call) {
            Ok(properties) => properties,
            Err(refused) => return refused,
        };
        let mut books = self.books();
        let Some((id, mut row)) = id
            .parse()
            .ok()
            .and_then(|id| books.tables[at].get(id).map(|row| (id, row.clone())))
        else {
            return missing();
        };
        if let Some(held) = properties_of(&mut row) {
            held.extend(properties);
        }
        if let Some(refused) = self.refused(&mut books, at, &row, Some(id), strict) {
            return refused;
        }
        stamp(&mut row, self.clock.now());
        let reply = Reply::json(200, &shown(id, &row, None));
        books.tables[at].restore(id, row);
        reply
    }

    /// The properties of a body, each as text, if the portal knows them all.
    fn accepted(&self, at: usize, call: &Call) -> Result<Map<String, Value>, Reply> {
        let Some(Value::Object(properties)) =
            call.object().and_then(|mut body| body.remove("properties"))
        else {
            return Err(error(400, "VALIDATION_ERROR", "Invalid input JSON"));
        };
        let mut texts = Map::new();
        for (name, value) in properties {
            if !KINDS[at].properties.contains(&name.as_str()) {
                self.counts.note("unknown property");
                let words = format!("Property \"{name}\" does not exist");
                return Err(error(400, "VALIDATION_ERROR", &words));
            }
            let text = match value {
                Value::String(text) if name == "email" => Value::String(text.trim().to_lowercase()),
                Value::String(_) | Value::Null => value,
                other => Value::String(other.to_string()),
            };
            texts.insert(name, text);
        }
        Ok(texts)
    }

    /// Why a row cannot be kept: the unique property is taken, or while strict a deal has no address.
    fn refused(
        &self,
        books: &mut Books,
        at: usize,
        row: &Row,
        own: Option<u64>,
        strict: bool,
    ) -> Option<Reply> {
        let Kind { name, unique, .. } = &KINDS[at];
        if strict && *name == "deals" && text_at(row, "/properties/customer_email").is_none() {
            books.refusals += 1;
            return Some(refusal(books.refusals));
        }
        let value = text_at(row, &pointer(unique))?;
        let taken = *books.tables[at]
            .found(&pointer(unique), &value)
            .iter()
            .find(|id| Some(**id) != own)?;
        self.counts.note(&format!("conflict {name}"));
        Some(if *name == "contacts" {
            let words = format!("Contact already exists. Existing ID: {taken}");
            error(409, "CONFLICT", &words)
        } else {
            let words = format!(
                "Property values were not valid: [{{\"isValid\":false,\"error\":\"CONFLICTING_UNIQUE_VALUE\",\"name\":\"{unique}\"}}]"
            );
            error(400, "VALIDATION_ERROR", &words)
        })
    }

    fn join(&self, kind: &str, id: &str, other: &str, to: &str) -> Reply {
        self.counts.note(&format!("link {kind} {other}"));
        let mut books = self.books();
        let known = |kind: &str, id: &str| -> Option<u64> {
            let id = id.parse().ok()?;
            books.tables[place(kind)?].get(id).map(|_| id)
        };
        let (Some(from), Some(into)) = (known(kind, id), known(other, to)) else {
            return error(
                404,
                "OBJECT_NOT_FOUND",
                "One of the objects to associate does not exist",
            );
        };
        books
            .joined
            .insert((kind.to_owned(), from, other.to_owned(), into));
        Reply::json(200, &json!({ "status": "COMPLETE", "results": [] }))
    }
}

impl System for Crm {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        if call.path.starts_with("/oauth/")
            && let Some(tokens) = &self.tokens
        {
            return tokens.answer(call, faults);
        }
        if faults.locked || !self.opened_by(call) {
            self.counts.note("unauthorized");
            let words = "Authentication credentials not found or expired";
            return error(401, "INVALID_AUTHENTICATION", words);
        }
        let left = self.allowance.take();
        let reply = if left.is_some() {
            self.route(call, faults)
        } else {
            self.counts.note("throttled");
            throttled().with("retry-after", self.allowance.ends_in().max(1).to_string())
        };
        reply
            .with(
                "x-hubspot-ratelimit-max",
                self.allowance.limit().to_string(),
            )
            .with(
                "x-hubspot-ratelimit-remaining",
                left.unwrap_or_default().to_string(),
            )
            .with(
                "x-hubspot-ratelimit-interval-milliseconds",
                self.allowance.window().as_millis().to_string(),
            )
    }
}

fn place(kind: &str) -> Option<usize> {
    KINDS.iter().position(|known| known.name == kind)
}

fn pointer(property: &str) -> String {
    format!("/properties/{property}")
}

fn properties_of(row: &mut Row) -> Option<&mut Map<String, Value>> {
    row.get_mut("properties")?.as_object_mut()
}

fn new_row(properties: Map<String, Value>, now: Timestamp) -> Row {
    let mut row = Row::new();
    row.insert("properties".to_owned(), properties.into());
    row.insert("createdAt".to_owned(), now.rfc3339().into());
    stamp(&mut row, now);
    row
}

fn stamp(row: &mut Row, now: Timestamp) {
    row.insert("updatedAt".to_owned(), now.rfc3339().into());
}

/// A record as it is answered: with the asked properties (all, if none are named at all), those without a value as null.
fn shown(id: u64, row: &Row, wanted: Option<&str>) -> Value {
    let held = row.get("properties").and_then(Value::as_object);
    let mut properties = match wanted {
        None => held.cloned().unwrap_or_default(),
        Some(names) => names
            .split(',')
            .filter(|name| !name.is_empty())
            .map(|name| {
                let value = held.and_then(|held| held.get(name)).cloned();
                (name.to_owned(), value.unwrap_or_default())
            })
            .collect(),
    };
    properties.insert("hs_object_id".to_owned(), id.to_string().into());
    json!({
        "id": id.to_string(),
        "properties": properties,
        "createdAt": row.get("createdAt"),
        "updatedAt": row.get("updatedAt"),
        "archived": false,
    })
}

/// The answer to a deal without an email address.
fn refusal(count: u64) -> Reply {
    // HubSpot names each answer: the id differs every time, the trouble does not.
    let correlation = format!(
        "{:08x}-7a1c-4c0d-9b1e-{count:012x}",
        (count as u32).wrapping_mul(2_654_435_761)
    );
    Reply::json(
        422,
        &json!({
            "status": "error",
            "message": "customer_email is required",
            "correlationId": correlation,
            "category": "VALIDATION_ERROR",
            "errors": [{
                "message": "customer_email is required on deals in pipeline `Webshop`",
                "code": "REQUIRED_PROPERTY",
                "context": { "propertyName": ["customer_email"] },
            }],
        }),
    )
}

/// The answer past the limit.
pub fn throttled() -> Reply {
    Reply::json(
        429,
        &json!({
            "status": "error",
            "errorType": "RATE_LIMIT",
            "message": "You have reached your ten_secondly_rolling limit.",
            "policyName": "TEN_SECONDLY_ROLLING",
        }),
    )
}

fn missing() -> Reply {
    error(404, "OBJECT_NOT_FOUND", "resource not found")
}

fn error(status: u16, category: &str, message: &str) -> Reply {
    let body = json!({ "status": "error", "message": message, "category": category });
    Reply::json(status, &body)
}

/// The amount as a tired person types it: a zero too many.
fn mistyped(amount: &str) -> String {
    match amount.split_once('.') {
        Some((whole, fraction)) => format!("{whole}0.{fraction}"),
        None => format!("{amount}0"),
    }
}
