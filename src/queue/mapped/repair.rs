//! What an internal repair carries: fields of one record in canonical form, for the systems that its paths lead to. Written
//! by the actions that decide, read by the attempt. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Carried;
use crate::event::Event;
use crate::record::map::RecordMap;
use crate::record::value::{Record, Value};
use crate::record::{self, RecordError};

/// The type of the internal event.
pub const EVENT_TYPE: &str = "midwatch.repair";

/// The extension that says what a repair comes of: `review/7`, `reconcile/orders/12`.
pub const ORIGIN: &str = "repairorigin";

/// The data of the event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// The record type.
    pub entity: String,
    /// Its business key.
    pub key: String,
    /// The systems that it is carried to, for whoever reads the event: its paths lead there.
    pub systems: Vec<String>,
    /// The values that stand, as canonical texts, by field.
    pub fields: BTreeMap<String, String>,
    /// The review that it settles, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<i64>,
    /// The plan that it is of, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<i64>,
    /// What was there before, as canonical texts, by field; null: nothing. Of a repair by a plan, so that it can be undone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<String, Option<String>>,
    /// The whole record is removed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub delete: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Repair {
    /// Reads an event's data; none if it is no repair.
    pub fn of(event: &Event) -> Option<Self> {
        serde_json::from_slice(&event.data).ok()
    }

    /// The record that it should be in the system of `target`.
    pub(super) fn carried(&self, target: &RecordMap) -> Result<Carried, RecordError> {
        let mut wanted = Record {
            key: Some(self.key.clone()),
            ..Record::default()
        };
        for (name, text) in &self.fields {
            let value = Value::of_canonical(text).unwrap_or_else(|| Value::Text(text.clone()));
            let value = record::held_as(target, name, &value)?;
            wanted.fields.insert(name.clone(), value);
        }
        Ok(Carried {
            source: wanted.clone(),
            wanted,
            key: self.key.clone(),
        })
    }
}
