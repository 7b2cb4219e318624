//! Changes to an event's data by JSON Pointer, and what differs between data before and after. What is not changed keeps
//! its order, and its numbers as they were written. Pure; edits of held events call it, for the preview and for the deed.

use super::json::Node;
use super::pointer::PointerError;
use crate::event::json::JsonError;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// JSON Pointer.
    pub pointer: &'a str,
    /// JSON text to put there; none: what is there is taken away.
    pub value: Option<&'a str>,
}

/// Why data cannot be changed so. Its words hold none of the data's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Only JSON can be changed by pointer.
    #[error("the data is no JSON ({0}): replace it whole")]
    NotJson(JsonError),
    /// What was to be put there is no JSON.
    #[error("the value for `{pointer}` is no JSON ({error}): a text needs its quotes")]
    Value {
        /// Where it was to go.
        pointer: String,
        /// What is wrong with it.
        error: JsonError,
    },
    /// It cannot be put there.
    #[error(transparent)]
    Place(PointerError),
    /// There is nothing to take away.
    #[error("there is nothing at `{0}`")]
    Nothing(String),
}

/// `data` with all changes made, in order.
pub fn changed(data: &[u8], changes: &[Change<'_>]) -> Result<Vec<u8>, EditError> {
    let mut node = Node::parse(data).map_err(EditError::NotJson)?;
    for change in changes {
        let pointer = change.pointer;
        if let Some(text) = change.value {
            let value = Node::parse(text.as_bytes()).map_err(|error| EditError::Value {
                pointer: pointer.to_owned(),
                error,
            })?;
            node.set(pointer, value).map_err(EditError::Place)?;
        } else {
            let nothing = || EditError::Nothing(pointer.to_owned());
            node.remove(pointer).ok_or_else(nothing)?;
        }
    }
    Ok(node.to_json().into_bytes())
}

/// A place where two versions of data differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// JSON Pointer; empty for the whole.
    pub pointer: String,
    /// Compact JSON before; none: nothing was there.
    pub before: Option<String>,
    /// Compact JSON after; none: nothing is there.
    pub after: Option<String>,
}

/// Where two values differ, as deep as they have the same shape, in the order of the first.
pub fn differences(before: &Node, after: &Node) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&mut String::new(), Some(before), Some(after), &mut found);
    found
}

/// As deep as `Node::parse` reads, which bounds the recursion.
fn compare(
    at: &mut String,
    before: Option<&Node>,
    after: Option<&Node>,
    found: &mut Vec<Difference>,
) {
    let length = at.len();
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Node::Object(old)), Some(Node::Object(new))) => {
            let of = |members: &'_ [(String, Node)], name: &str| {
                members.iter().rposition(|(known, _)| known == name)
            };
            for (name, member) in old {
                step(at, name);
                let other = of(new, name).map(|place| &new[place].1);
                compare(at, Some(member), other, found);
                at.truncate(length);
            }
            for (name, member) in new.iter().filter(|(name, _)| of(old, name).is_none()) {
                step(at, name);
                compare(at, None, Some(member), found);
                at.truncate(length);
            }
        }
        (Some(Node::Array(old)), Some(Node::Array(new))) => {
            for place in 0..old.len().max(new.len()) {
                step(at, &place.to_string());
                compare(at, old.get(place), new.get(place), found);
                at.truncate(length);
            }
        }
        (before, after) => found.push(Difference {
            pointer: at.clone(),
            before: before.map(Node::to_json),
            after: after.map(Node::to_json),
        }),
    }
}

/// RFC 6901, section 3: `~` before `/`.
fn step(at: &mut String, name: &str) {
    at.push('/');
    at.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::testing::node;

    fn set<'a>(pointer: &'a str, value: &'a str) -> Change<'a> {
        Change {
            pointer,
            value: Some(value),
        }
    }

    #[test]
    fn only_what_is_changed_changes() {
        let data = br#"{"z": 12.10, "total": 12.1, "a": [1.0, {"b": 1e3}], "x": null}"#;
        let changes = [
            set("/total", r#""12.10""#),
            set("/a/1/b", "5"),
            set("/new/place", "true"),
            Change {
                pointer: "/x",
                value: None,
            },
        ];
        let after = changed(data, &changes).expect("changed");
        assert_eq!(
            String::from_utf8(after.clone()).expect("text"),
            r#"{"z":12.10,"total":"12.10","a":[1.0,{"b":5}],"new":{"place":true}}"#
        );
        let told: Vec<(String, Option<String>, Option<String>)> = differences(
            &Node::parse(data).expect("json"),
            &Node::parse(&after).expect("json"),
        )
        .into_iter()
        .map(|found| (found.pointer, found.before, found.after))
        .collect();
        let row = |pointer: &str, before: Option<&str>, after: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            (pointer.to_owned(), owned(before), owned(after))
        };
        assert_eq!(
            told,
            [
                row("/total", Some("12.1"), Some(r#""12.10""#)),
                row("/a/1/b", Some("1e3"), Some("5")),
                row("/x", Some("null"), None),
                row("/new", None, Some(r#"{"place":true}"#)),
            ]
        );
    }

    #[test]
    fn what_cannot_be_changed_is_refused_in_words_without_values() {
        let data = br#"{"mail":"anna@example.com","a":[1]}"#;
        for (data, change, words) in [
            (&b"<xml/>"[..], set("/a", "1"), "no JSON"),
            (data, set("/a", "12,10"), "value for `/a` is no JSON"),
            (data, set("/a", "text"), "needs its quotes"),
            (data, set("/mail/x", "1"), "`/mail` holds a text"),
            (data, set("a", "1"), "no JSON Pointer"),
            (
                data,
                Change {
                    pointer: "/a/1",
                    value: None,
                },
                "nothing at `/a/1`",
            ),
        ] {
            let error = changed(data, &[change]).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("anna"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn differences_made_as_changes_lead_from_one_to_the_other(before in node(), after in node()) {
            let found = differences(&before, &after);
            prop_assert_eq!(found.is_empty(), before == after);
            // Elements that are gone from an array move the later ones up: the last go first.
            let (gone, set): (Vec<_>, Vec<_>) = found.iter().partition(|one| one.after.is_none());
            let changes: Vec<Change<'_>> = gone.iter().rev().chain(&set).map(|one| Change {
                pointer: &one.pointer,
                value: one.after.as_deref(),
            }).collect();
            // What was added to an array cannot be set.
            if let Ok(made) = changed(before.to_json().as_bytes(), &changes) {
                let made = Node::parse(&made).expect("json");
                prop_assert!(differences(&made, &after).is_empty(), "{} {}", made.to_json(), after.to_json());
            }
        }

        #[test]
        fn a_value_differs_from_itself_nowhere(value in node()) {
            prop_assert!(differences(&value, &value).is_empty());
            let text = value.to_json();
            prop_assert_eq!(changed(text.as_bytes(), &[]), Ok(text.clone().into_bytes()));
        }
    }
}
