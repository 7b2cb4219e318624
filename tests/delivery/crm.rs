//! A receiver that keeps records, as a CRM does: it ignores idempotency keys, gives ids of its own, makes a record again
//! as often as it is asked to, and can be told to store what it is sent and then cut the line.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{Answer, Receiver, Seen};

/// What it holds, and how it misbehaves.
#[derive(Default)]
pub struct Held {
    /// (object, id, record).
    pub records: Vec<(String, String, Value)>,
    /// (object, id, other object, other id).
    pub links: Vec<(String, String, String, String)>,
    next: u64,
}

impl Held {
    /// Puts a record in, as somebody there would.
    pub fn put(&mut self, object: &str, mut record: Value) -> String {
        self.next += 1;
        let id = format!("{object}-{}", self.next);
        record["id"] = json!(id);
        self.records.push((object.to_owned(), id.clone(), record));
        id
    }

    pub fn of(&self, object: &str) -> Vec<&Value> {
        let of = self.records.iter().filter(|(of, ..)| of == object);
        of.map(|(.., record)| record).collect()
    }

    /// How often each key is there.
    pub fn keys(&self, object: &str) -> HashMap<String, usize> {
        let mut keys = HashMap::new();
        for record in self.of(object) {
            let key = record["key"].as_str().unwrap_or_default().to_owned();
            *keys.entry(key).or_default() += 1;
        }
        keys
    }
}

/// What goes wrong with a request.
pub enum Fault {
    /// It is carried out, and the line is cut instead of an answer.
    CutAfter,
    /// It is carried out and answered late.
    Late(Duration),
    /// It is not carried out.
    Status(u16),
    /// Nothing is found: an index that lags behind.
    Empty,
}

pub struct Crm {
    pub receiver: Receiver,
    pub held: Arc<Mutex<Held>>,
}

type Faults = dyn FnMut(&Seen) -> Option<Fault> + Send;

impl Crm {
    pub async fn start() -> Self {
        Self::with(|_| None).await
    }

    /// With faults, chosen for each request.
    pub async fn with(faults: impl FnMut(&Seen) -> Option<Fault> + Send + 'static) -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let (inside, faults) = (
            Arc::clone(&held),
            Mutex::new(Box::new(faults) as Box<Faults>),
        );
        let receiver = Receiver::start(move |seen| {
            let fault = (faults.lock().expect("lock"))(seen);
            if let Some(Fault::Status(status)) = fault {
                return Answer::status(status);
            }
            if let Some(Fault::Empty) = fault {
                return Answer::ok().body("{\"results\": []}");
            }
            let answer = answer(&mut inside.lock().expect("lock"), seen);
            match fault {
                Some(Fault::CutAfter) => Answer::cut(),
                Some(Fault::Late(by)) => answer.after(by),
                _ => answer,
            }
        })
        .await;
        Self { receiver, held }
    }

    pub fn count(&self, object: &str) -> usize {
        self.held.lock().expect("lock").of(object).len()
    }

    /// How many requests of that method it saw.
    pub fn seen(&self, method: &str) -> usize {
        let seen = self.receiver.seen();
        seen.iter().filter(|seen| seen.method == method).count()
    }

    /// The only record of that key.
    pub fn only(&self, object: &str, key: &str) -> Value {
        let held = self.held.lock().expect("lock");
        let found: Vec<Value> = held
            .of(object)
            .into_iter()
            .filter(|record| record["key"] == key)
            .cloned()
            .collect();
        assert_eq!(found.len(), 1, "{object} {key}: {found:?}");
        found[0].clone()
    }
}

pub fn answer(held: &mut Held, seen: &Seen) -> Answer {
    let (path, query) = seen.url.split_once('?').unwrap_or((&seen.url, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let body: Value = serde_json::from_str(&seen.body).unwrap_or(Value::Null);
    let place = |held: &Held, object: &str, id: &str| {
        held.records
            .iter()
            .position(|(of, known, _)| of == object && known == id)
    };
    match (seen.method.as_str(), parts.as_slice()) {
        ("GET", [object]) => {
            let key = query
                .strip_prefix("key=")
                .unwrap_or_default()
                .replace("%40", "@");
            let hits: Vec<&Value> = held
                .of(object)
                .into_iter()
                .filter(|record| query.is_empty() || record["key"] == key)
                .collect();
            Answer::ok().body(&json!({"results": hits}).to_string())
        }
        ("GET", [object, id]) => match place(held, object, id) {
            Some(at) => Answer::ok().body(&held.records[at].2.to_string()),
            None => Answer::status(404),
        },
        ("POST", [object]) => {
            let id = held.put(object, body);
            Answer::status(201).body(&json!({"id": id}).to_string())
        }
        ("PATCH", [object, id]) => match place(held, object, id) {
            Some(at) => {
                if let (Value::Object(new), Value::Object(old)) = (body, &mut held.records[at].2) {
                    old.extend(new);
                }
                Answer::ok().body(&json!({"id": id}).to_string())
            }
            None => Answer::status(404),
        },
        ("DELETE", [object, id]) => match place(held, object, id) {
            Some(at) => {
                held.records.remove(at);
                Answer::status(204)
            }
            None => Answer::status(404),
        },
        ("PUT", [object, id, other, other_id]) => {
            if place(held, object, id).is_none() || place(held, other, other_id).is_none() {
                return Answer::status(404);
            }
            let link = [object, id, other, other_id].map(|part| (*part).to_owned());
            let [a, b, c, d] = link;
            held.links.push((a, b, c, d));
            Answer::status(204)
        }
        _ => Answer::status(405),
    }
}
