//! Whether a record that a lookup found is the one that is meant: the entity's match rules. Some systems find a record by
//! more than its key (a contact's second address), and a guess would write one customer's data over another's.

use super::{Entity, MatchRule};
use crate::record::value::{Record, Value};
use crate::record::wire::clean;

/// Whether `found` is recognised as `wanted` by one of the entity's rules. None: no rule can tell, because a value is
/// missing or blank on either side.
pub fn is_same(entity: &Entity, wanted: &Record, found: &Record) -> Option<bool> {
    let told: Vec<bool> = entity
        .matches
        .iter()
        .filter_map(|rule| Some(text(rule, wanted)? == text(rule, found)?))
        .collect();
    (!told.is_empty()).then(|| told.contains(&true))
}

/// What a rule compares of a record.
fn text(rule: &MatchRule, record: &Record) -> Option<String> {
    let text = match &rule.field {
        None => record.key.clone()?,
        Some(name) => match record.fields.get(name)? {
            Value::Null => return None,
            Value::Text(text) => text.clone(),
            other => other.canonical(),
        },
    };
    Some(clean(&text, &rule.clean)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::map::Clean;

    fn record(key: &str, email: Option<&str>) -> Record {
        let email = email.map(|email| ("email".to_owned(), Value::Text(email.to_owned())));
        Record {
            key: Some(key.to_owned()),
            fields: email.into_iter().collect(),
            ..Record::default()
        }
    }

    #[test]
    fn a_record_is_the_same_if_one_rule_says_so_and_nothing_is_said_of_what_is_missing() {
        let by = |fields: &[Option<&str>]| Entity {
            matches: (fields.iter())
                .map(|field| MatchRule {
                    field: field.map(str::to_owned),
                    clean: vec![Clean::Trim, Clean::Lower],
                })
                .collect(),
            ..Entity::default()
        };
        let kari = record("1", Some(" Kari@Post.example"));
        for (rules, found, expected) in [
            (
                &[Some("email")][..],
                record("1", Some("kari@post.example")),
                Some(true),
            ),
            (
                &[Some("email")],
                record("1", Some("ola@post.example")),
                Some(false),
            ),
            (&[Some("email")], record("1", None), None),
            (&[Some("email")], record("1", Some(" ")), None),
            (
                &[Some("email"), None],
                record("1", Some("ola@post.example")),
                Some(true),
            ),
            (&[None], record("2", Some("kari@post.example")), Some(false)),
            (&[], record("1", None), None),
        ] {
            assert_eq!(
                is_same(&by(rules), &kari, &found),
                expected,
                "{rules:?} {found:?}"
            );
        }
    }
}
