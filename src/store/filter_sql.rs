//! A filter as SQL: literals for states (so that partial indexes apply), parameters for everything typed.

use rusqlite::types::Value;
use std::fmt::Write as _;

use crate::queue::filter::Filter;
use crate::queue::model::State;
use crate::time::Timestamp;

/// A condition over `delivery d JOIN event e`, with its parameters in order.
#[derive(Debug, Clone)]
pub(super) struct Where {
    pub(super) sql: String,
    values: Vec<Value>,
}

impl Where {
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }

    fn and(&mut self, condition: &str) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(condition);
    }

    fn any(&mut self, column: &str, values: Vec<Value>) {
        if values.is_empty() {
            return;
        }
        let marks = vec!["?"; values.len()].join(", ");
        self.and(&format!("{column} IN ({marks})"));
        self.values.extend(values);
    }

    /// The condition of `filter` at `now`. Paths are given by name.
    pub(super) fn of(filter: &Filter, now: Timestamp) -> Self {
        let mut clause = Self {
            sql: String::new(),
            values: Vec::new(),
        };
        if !filter.paths.is_empty() {
            let marks = vec!["?"; filter.paths.len()].join(", ");
            clause.and(&format!(
                "d.path IN (SELECT id FROM path WHERE name IN ({marks}))"
            ));
            clause
                .values
                .extend(filter.paths.iter().map(|path| Value::Text(path.clone())));
        }
        match filter.states.as_slice() {
            [] => {}
            [state] => clause.and(&format!("d.state = {}", state.code())),
            several => {
                let codes: Vec<String> = several
                    .iter()
                    .map(|state| state.code().to_string())
                    .collect();
                clause.and(&format!("d.state IN ({})", codes.join(", ")));
            }
        }
        clause.any(
            "d.last_class",
            filter
                .classes
                .iter()
                .map(|class| Value::Integer(class.code()))
                .collect(),
        );
        clause.any(
            "d.last_status",
            filter
                .statuses
                .iter()
                .map(|status| Value::Integer((*status).into()))
                .collect(),
        );
        if let Some(fingerprint) = filter.fingerprint {
            // People type what they see: the low half.
            clause.and("(d.fingerprint & 4294967295) = ?");
            clause
                .values
                .push(Value::Integer(i64::from(fingerprint.0 as u32)));
        }
        if let Some(kind) = &filter.kind {
            match kind.strip_suffix('*') {
                Some(prefix) => {
                    clause.and("substr(e.kind, 1, ?) = ?");
                    clause
                        .values
                        .push(Value::Integer(prefix.chars().count() as i64));
                    clause.values.push(Value::Text(prefix.to_owned()));
                }
                None => clause.any("e.kind", vec![Value::Text(kind.clone())]),
            }
        }
        if let Some(subject) = &filter.subject {
            clause.and("(e.subject = ? OR d.order_key = ?)");
            clause
                .values
                .extend([Value::Text(subject.clone()), Value::Text(subject.clone())]);
        }
        if let Some(age) = filter.newer_than {
            clause.and("d.accepted >= ?");
            clause.values.push(Value::Integer((now - age).0));
        }
        if let Some(age) = filter.older_than {
            clause.and("d.accepted < ?");
            clause.values.push(Value::Integer((now - age).0));
        }
        if let Some(text) = filter.text.as_ref().filter(|text| !text.is_empty()) {
            let columns = ["e.event_id", "e.kind", "e.subject", "e.source", "d.reason"];
            let mut condition = String::from("(");
            for (index, column) in columns.iter().enumerate() {
                let or = if index > 0 { " OR " } else { "" };
                // A constant pattern: SQLite then matches without converting it for every row.
                let _ = write!(condition, "{or}{column} LIKE ? ESCAPE '\\'");
                clause
                    .values
                    .push(Value::Text(format!("%{}%", escape_like(text))));
            }
            condition.push(')');
            clause.and(&condition);
        }
        if let Some(replay) = filter.replay {
            clause.and("d.id IN (SELECT delivery FROM batch_item WHERE batch = ?)");
            clause.values.push(Value::Integer(replay.0));
        }
        clause.any(
            "d.id",
            filter.ids.iter().map(|id| Value::Integer(id.0)).collect(),
        );
        if clause.sql.is_empty() {
            clause.sql.push('1');
        }
        clause
    }

    /// Few rows can match, found by an index: no need to bound the scan.
    pub(super) fn is_selective(filter: &Filter) -> bool {
        !filter.ids.is_empty()
            || filter.replay.is_some()
            || filter.states == [State::Dead]
            || filter.states == [State::Running]
    }
}

pub(super) fn escape_like(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}
