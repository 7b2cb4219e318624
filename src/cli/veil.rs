//! What of events and records must not be seen over a shoulder: sensitive values where they stand in an event's data, and
//! the same values and business keys wherever words quote them (reasons, addresses, errors, answers). Called by the
//! commands that show deliveries and stories. Whoever must see them says so; looking is no action, and the
//! audit log does not hear of it.

use serde_json::Value;

use crate::config::model::Config;
use crate::http::percent;
use crate::record::json::Node;
use crate::record::ledger::About;
use crate::record::map::RecordMap;
use crate::record::{mask, read};
use crate::store::view::DeliveryRow;

/// Values shorter than this are hidden where they stand, but not looked for in words: they would be found everywhere.
const SHORTEST: usize = 3;

/// What must not be seen.
#[derive(Debug, Default)]
pub(super) struct Veil {
    data: mask::Veil,
    /// What words must not quote, and what stands for it.
    words: Vec<(String, String)>,
}

impl Veil {
    /// Over an event of `source`.
    pub fn of(config: &Config, source: &str, kind: &str, data: &[u8]) -> Self {
        let mut veil = Self {
            data: mask::Veil::of(config, source, kind, data),
            words: Vec::new(),
        };
        if let Ok(data) = Node::parse(data) {
            for place in veil.data.places().to_vec() {
                if let Some(value) = data.pointer(&place).and_then(Node::plain) {
                    veil.word(value, mask::HIDDEN);
                }
            }
        }
        veil
    }

    /// Adds a business key of a record type.
    pub fn key(&mut self, config: &Config, kind: &str, key: &str) {
        let shown = mask::shown(maps_of(config, kind), key);
        if shown != key {
            self.word(key, &shown);
        }
    }

    /// Adds the subject and the order key of a delivery where they hold a sensitive key of a record that its event is
    /// about: senders write into a subject what they like. Where no record is known, each of them may be the key.
    pub fn row(&mut self, config: &Config, row: &DeliveryRow, about: &[About]) {
        let system = config.systems.get(&row.source);
        let carried = system.and_then(|system| read::carried(&system.records, &row.kind));
        let Some(carried) = carried else { return };
        let keys: Vec<String> = (about.iter())
            .filter(|about| about.kind == carried.kind)
            .map(|about| essence(&about.key))
            .collect();
        for text in [&row.subject, &row.order_key].into_iter().flatten() {
            let spoken = essence(text);
            if keys.is_empty() || keys.iter().any(|key| spoken.contains(&key[..])) {
                self.key(config, &carried.kind, text);
            }
        }
    }

    fn word(&mut self, word: &str, shown: &str) {
        if word.chars().count() < SHORTEST {
            return;
        }
        let mut encoded = String::new();
        percent::encode(word, &mut encoded);
        for word in [word.to_owned(), encoded] {
            if self.words.iter().all(|(known, _)| *known != word) {
                self.words.push((word, shown.to_owned()));
            }
        }
        // A longer word may hold a shorter one.
        self.words
            .sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    }

    /// The event's data without its sensitive values.
    pub fn data(&self, data: &[u8]) -> Vec<u8> {
        self.data.data(data)
    }

    /// Words without what they must not quote.
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (word, shown) in &self.words {
            if out.contains(word.as_str()) {
                out = out.replace(word.as_str(), shown);
            }
        }
        out
    }

    /// JSON whose texts and names are without what they must not quote.
    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(members) => members
                .into_iter()
                .map(|(name, value)| (self.text(&name), self.json(value)))
                .collect(),
            plain => plain,
        }
    }
}

/// What of a text is left however a key in it was trimmed, cased or punctuated by a map.
fn essence(text: &str) -> String {
    let kept = text.chars().filter(|char| char.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// The record maps of all systems for one record type: what one calls sensitive does not become public in another.
pub(super) fn maps_of<'a>(config: &'a Config, kind: &str) -> Vec<&'a RecordMap> {
    let systems = config.systems.values();
    systems
        .filter_map(|system| system.records.get(kind).map(AsRef::as_ref))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self};
    use crate::ids::DeliveryId;
    use crate::queue::model::State;
    use crate::time::Timestamp;

    const CONFIG: &str = r#"
[systems.shop]
[systems.shop.records.contact]
events = ["contact.*"]
id = "/id"
key = "/email"
fields.email = { at = "/email", sensitive = true }
fields.phone = { at = "/phone", sensitive = true }
fields.city = "/city"
[systems.shop.records.order]
events = ["order.*"]
id = "/id"
key = "/number"
"#;

    fn config() -> Config {
        config::parse(CONFIG, std::path::Path::new("midwatch.toml"))
            .expect("a configuration")
            .config
    }

    #[test]
    fn what_is_sensitive_is_hidden_in_data_and_in_words() {
        let config = config();
        let data = br#"{"id": 1, "email": "kari@x.example", "phone": "12", "city": "Oslo"}"#;
        let mut veil = Veil::of(&config, "shop", "contact.created", data);
        veil.key(&config, "contact", "kari@x.example");
        veil.key(&config, "order", "kari@x.example/1");
        let shown = String::from_utf8(veil.data(data)).unwrap();
        assert!(!shown.contains("kari") && !shown.contains("\"12\"") && shown.contains("Oslo"));
        assert_eq!(
            veil.text("GET /contacts?email=kari%40x.example: kari@x.example is in Oslo, 12"),
            "GET /contacts?email=(hidden): (hidden) is in Oslo, 12"
        );
        let told = veil.json(serde_json::json!({"a": ["kari@x.example", 1, null]}));
        assert_eq!(told, serde_json::json!({"a": ["(hidden)", 1, null]}));
    }

    #[test]
    fn a_key_keeps_its_first_letter_and_its_domain() {
        let config = config();
        let mut veil = Veil::default();
        veil.key(&config, "contact", "kari@x.example");
        veil.key(&config, "order", "1042");
        assert_eq!(veil.text("kari@x.example 1042"), "k…@x.example 1042");
    }

    #[test]
    fn a_subject_is_masked_where_it_holds_the_key_and_shown_where_it_does_not() {
        let config = config();
        let about = |key: &str| About {
            kind: "contact".into(),
            key: key.into(),
        };
        let kari = [about("kari@x.example")];
        for (kind, subject, about, masked) in [
            ("contact.created", "kari@x.example", &kari[..], true),
            ("contact.created", "Contact KARI@x.example ", &kari, true),
            ("contact.created", "wp/77", &kari, false),
            // No record is known: it may be the key.
            ("contact.created", "wp/77", &[], true),
            ("order.created", "kari@x.example", &kari, false),
        ] {
            let row = DeliveryRow {
                id: DeliveryId(257),
                path: "contacts".into(),
                state: State::Ready,
                kind: kind.into(),
                source: "shop".into(),
                event_id: "e1".into(),
                subject: Some(subject.into()),
                order_key: None,
                generation: 1,
                charged: 0,
                attempts: 0,
                accepted_at: Timestamp(0),
                due_at: Timestamp(0),
                changed_at: Timestamp(0),
                last_class: None,
                last_status: None,
                reason: None,
                fingerprint: None,
            };
            let mut veil = Veil::default();
            veil.row(&config, &row, about);
            assert_eq!(veil.text(subject) != subject, masked, "{kind} {subject}");
        }
    }

    #[test]
    fn data_that_cannot_be_read_is_hidden_whole_only_where_something_is_sensitive() {
        let config = config();
        let veil = Veil::of(&config, "shop", "contact.created", b"kari");
        assert_eq!(veil.data(b"kari"), b"(hidden) (4 bytes, no JSON)");
        let veil = Veil::of(&config, "crm", "contact.created", b"kari");
        assert_eq!(veil.data(b"kari"), b"kari");
    }
}
