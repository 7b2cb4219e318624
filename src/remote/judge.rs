//! What an answer means to who asked for a record: there, not there, there already, or failed, and how. Pure; called by
//! `Remote` for each request.

use super::{Found, Manner, Verb};
use crate::event::expr::Engine;
use crate::http::reply::{Reply, SendError};
use crate::queue::classify::{Judged, classify};
use crate::queue::model::Class;
use crate::record::map::{RecordMap, Shape};
use crate::record::shape;
use crate::record::value::Record;
use crate::time::Timestamp;

/// What was asked.
pub(super) struct Question<'a> {
    pub(super) map: &'a RecordMap,
    pub(super) shape: &'a Shape,
    pub(super) verb: Verb<'a>,
    /// The business key that was asked for.
    pub(super) key: Option<&'a str>,
    pub(super) manner: &'a Manner<'a>,
}

/// Judges what a question brought at `now`.
pub(super) fn judge(
    question: &Question<'_>,
    result: &Result<Reply, SendError>,
    now: Timestamp,
    engine: &Engine,
) -> (Found, Judged) {
    let Question {
        map,
        shape,
        verb,
        key,
        manner,
    } = *question;
    let key = key.filter(|_| verb == Verb::Lookup);
    let answered = |status: u16| Judged {
        class: Class::Delivered,
        status: Some(status),
        asked: None,
        error: String::new(),
    };
    if let Ok(reply) = result {
        let by_id = matches!(verb, Verb::Read | Verb::Update | Verb::Delete);
        // One record that is gone says nothing of the system.
        if shape.missing.contains(&reply.status) || (by_id && matches!(reply.status, 404 | 410)) {
            return (Found::Missing, answered(reply.status));
        }
        let makes = matches!(verb, Verb::Create | Verb::Link(_));
        if makes && (shape.exists.contains(&reply.status) || reply.status == 409) {
            return (Found::Exists, answered(reply.status));
        }
    }
    let mut judged = classify(result, manner.classes, manner.cap, now);
    let Ok(reply) = result else {
        return (Found::Failed, judged);
    };
    if judged.class != Class::Delivered {
        if reply.status == 409 && judged.class == Class::Permanent {
            // Somebody else changed it at the same moment (RFC 9110, 15.5.10): that passes.
            judged.class = Class::Transient;
        }
        return (Found::Failed, judged);
    }
    if !(200..300).contains(&reply.status) {
        // The path says that this status is as good as done.
        let found = match verb {
            Verb::Create | Verb::Link(_) => Found::Exists,
            Verb::Update | Verb::Delete => Found::Records(Vec::new()),
            Verb::Lookup | Verb::Read => Found::Missing,
        };
        return (found, judged);
    }
    match verb {
        Verb::Delete | Verb::Link(_) => (Found::Records(Vec::new()), judged),
        // What was written is known; the answer only adds the id, and may be of any form.
        Verb::Create | Verb::Update => {
            let records = records(map, shape, reply, engine).unwrap_or_default();
            let only = records.into_iter().filter(|record| record.id.is_some());
            (Found::Records(only.take(1).collect()), judged)
        }
        Verb::Lookup | Verb::Read => {
            match records(map, shape, reply, engine).map(|records| those_of(key, records)) {
                Ok(records) if records.is_empty() => (Found::Missing, judged),
                Ok(records) => (Found::Records(records), judged),
                // A page of a proxy, or an answer that was cut: it may be well the next time.
                Err(why) => {
                    judged.class = Class::Transient;
                    judged.error = format!("HTTP {}: {why}", reply.status);
                    (Found::Failed, judged)
                }
            }
        }
    }
}

/// The records of an answer.
fn records(
    map: &RecordMap,
    shape: &Shape,
    reply: &Reply,
    engine: &Engine,
) -> Result<Vec<Record>, String> {
    if reply.truncated {
        return Err("the answer was cut, or is too long".to_owned());
    }
    let hits = shape::hits(map, shape, &reply.body, engine);
    hits.map_err(|error| format!("the answer cannot be read: {error}"))
}

/// A search may find more than it was asked for: only what has the key counts, and what does not show its key.
fn those_of(key: Option<&str>, mut records: Vec<Record>) -> Vec<Record> {
    let plain = |text: &str| text.trim().to_lowercase();
    if let Some(key) = key.map(plain) {
        records.retain(|record| record.key.as_deref().is_none_or(|its| plain(its) == key));
    }
    records
}

/// What a request brought, in a few words of ours.
pub(super) fn note(verb: Verb<'_>, found: &Found, judged: &Judged) -> String {
    match found {
        Found::Failed => judged.class.word().to_owned(),
        Found::Missing => "not there".to_owned(),
        Found::Exists => "there already".to_owned(),
        Found::Records(records) => match records.as_slice() {
            [] if verb.writes() => "done".to_owned(),
            [] => "not there".to_owned(),
            [record] => match &record.id {
                Some(id) => format!("id {id}"),
                None => "found".to_owned(),
            },
            several => format!("{} hits", several.len()),
        },
    }
}
