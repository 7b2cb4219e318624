//! The stand-in CRM: HubSpot-like contacts and deals, upserted by email and by order number.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::keys::{Keys, Seen};
use super::script::{Deed, Faults};
use super::secrets;
use super::server::{Call, Reply, System};
use crate::time::{Clock, Timestamp};

/// Contacts kept; the first in the alphabet go first, nothing reads them back.
const CONTACTS_KEPT: usize = 5_000;

/// The CRM.
#[derive(Debug, Default)]
pub struct Crm {
    records: Mutex<Records>,
    keys: Keys,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Records {
    deals: BTreeMap<u64, Deal>,
    contacts: BTreeMap<String, Map<String, Value>>,
    /// What a person changed or deleted by hand, as it was.
    spoiled: BTreeMap<u64, Deal>,
    refusals: u64,
}

#[derive(Debug, Clone)]
struct Deal {
    properties: Map<String, Value>,
    updated: Timestamp,
}

#[derive(Deserialize)]
struct Upsert {
    properties: Map<String, Value>,
}

impl Deal {
    fn text(&self, name: &str) -> &str {
        self.properties
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn json(&self, number: u64) -> Value {
        json!({
            "id": (9_000_000 + number).to_string(),
            "properties": self.properties,
            "updatedAt": self.updated.rfc3339(),
            "archived": false,
        })
    }
}

impl Crm {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its receiver saw of keys.
    pub fn seen(&self) -> Seen {
        self.keys.seen()
    }

    /// The website archived this order: so does the CRM.
    pub fn archive(&self, number: u64) {
        self.records().deals.remove(&number);
    }

    /// Does what a person did by hand, to a deal that is closed (so that no webhook sets it right again).
    pub fn befall(&self, deed: Deed) {
        let now = self.clock.now();
        let mut records = self.records();
        let records = &mut *records;
        let closed = records
            .deals
            .iter()
            .rev()
            .find(|(number, deal)| {
                deal.text("dealstage") == "completed" && !records.spoiled.contains_key(number)
            })
            .map(|(number, deal)| (*number, deal.clone()));
        match (deed, closed) {
            (Deed::EditDeal, Some((number, deal))) => {
                let mut edited = deal.clone();
                edited.updated = now;
                let typo = mistyped(deal.text("amount"));
                edited.properties.insert("amount".to_owned(), typo.into());
                records.deals.insert(number, edited);
                records.spoiled.insert(number, deal);
            }
            (Deed::DeleteDeal, Some((number, deal))) => {
                records.deals.remove(&number);
                records.spoiled.insert(number, deal);
            }
            (Deed::MendDeals, _) => {
                for (number, mut deal) in std::mem::take(&mut records.spoiled) {
                    deal.updated = now;
                    records.deals.insert(number, deal);
                }
            }
            (Deed::EditDeal | Deed::DeleteDeal, None) => {}
        }
    }

    fn upsert_deal(&self, number: &str, call: &Call, strict: bool) -> Reply {
        let (Ok(number), Ok(upsert)) = (
            number.parse::<u64>(),
            serde_json::from_slice::<Upsert>(&call.body),
        ) else {
            return error(400, "VALIDATION_ERROR", "Invalid input JSON");
        };
        let deal = Deal {
            properties: upsert.properties,
            updated: self.clock.now(),
        };
        let mut records = self.records();
        if strict && deal.text("customer_email").is_empty() {
            records.refusals += 1;
            return refusal(records.refusals);
        }
        if !self.keys.note(call) || !records.deals.contains_key(&number) {
            records.deals.insert(number, deal);
        }
        match records.deals.get(&number) {
            Some(deal) => Reply::json(200, &deal.json(number)),
            None => error(404, "OBJECT_NOT_FOUND", "resource not found"),
        }
    }

    fn upsert_contact(&self, call: &Call) -> Reply {
        let Ok(upsert) = serde_json::from_slice::<Upsert>(&call.body) else {
            return error(400, "VALIDATION_ERROR", "Invalid input JSON");
        };
        let Some(email) = upsert.properties.get("email").and_then(Value::as_str) else {
            return error(400, "VALIDATION_ERROR", "email is missing");
        };
        let email = email.to_owned();
        self.keys.note(call);
        let mut records = self.records();
        records.contacts.insert(email.clone(), upsert.properties);
        if records.contacts.len() > CONTACTS_KEPT {
            records.contacts.pop_first();
        }
        Reply::json(200, &json!({ "id": email, "archived": false }))
    }
}

impl System for Crm {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        if faults.locked || !secrets::bears(call, secrets::CRM_TOKEN) {
            let words = "Authentication credentials not found or expired";
            return error(401, "INVALID_AUTHENTICATION", words);
        }
        match (call.method.as_str(), &call.segments()[..]) {
            ("GET", ["deals"]) => {
                let records = self.records();
                let all: Vec<Value> = records.deals.iter().map(|(n, d)| d.json(*n)).collect();
                Reply::json(200, &json!({ "total": all.len(), "results": all }))
            }
            ("PUT", ["deals", number]) => self.upsert_deal(number, call, faults.strict),
            ("POST", ["contacts"]) => self.upsert_contact(call),
            _ => error(404, "OBJECT_NOT_FOUND", "resource not found"),
        }
    }
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
