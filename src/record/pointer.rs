//! JSON Pointers (RFC 6901) over [`Node`]: finding a place, and making one. Pure; `read` finds, `body` makes.

use std::borrow::Cow;

use super::json::{DEEPEST, Node};

/// Why a value cannot be put at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// On its way is something that is no object.
    #[error("`{at}` cannot be written: `{blocked}` holds {what}")]
    Blocked {
        /// The pointer.
        at: String,
        /// The place on its way.
        blocked: String,
        /// What is there.
        what: &'static str,
    },
    /// Deeper than JSON is read.
    #[error("`{0}` leads too deep")]
    TooDeep(String),
    /// No JSON Pointer.
    #[error("`{0}` is no JSON Pointer")]
    Malformed(String),
}

/// The steps of a pointer, unescaped. None if it is no pointer.
fn steps(at: &str) -> Option<impl Iterator<Item = Cow<'_, str>>> {
    // `"".split` would give one empty step; the whole value has none.
    let rest = match at.strip_prefix('/') {
        Some(rest) => Some(rest),
        None if at.is_empty() => None,
        None => return None,
    };
    Some(
        rest.into_iter()
            .flat_map(|rest| rest.split('/'))
            .map(|step| {
                if step.contains('~') {
                    // `~1` first: `~01` means `~1`, not `/`.
                    Cow::Owned(step.replace("~1", "/").replace("~0", "~"))
                } else {
                    Cow::Borrowed(step)
                }
            }),
    )
}

impl Node {
    /// What the pointer leads to; none if it leads nowhere. `""` is the whole.
    pub fn pointer(&self, at: &str) -> Option<&Self> {
        let mut here = self;
        for step in steps(at)? {
            here = match here {
                Self::Object(members) => members
                    .iter()
                    .rev()
                    .find(|(name, _)| *name == step)
                    .map(|(_, member)| member)?,
                Self::Array(items) => items.get(index(&step)?)?,
                _ => return None,
            };
        }
        Some(here)
    }

    /// Puts `node` at the pointer, in place of what is there. Objects are made on the way where there is nothing or
    /// null; existing elements of arrays are followed, never added. On an error nothing was changed but for objects made.
    pub fn set(&mut self, at: &str, node: Self) -> Result<(), PointerError> {
        let walk = steps(at).ok_or_else(|| PointerError::Malformed(at.to_owned()))?;
        let mut here = self;
        let mut walked = 0;
        for (depth, step) in walk.enumerate() {
            if depth >= DEEPEST {
                return Err(PointerError::TooDeep(at.to_owned()));
            }
            let blocked = |what| PointerError::Blocked {
                at: at.to_owned(),
                blocked: at.get(..walked).unwrap_or_default().to_owned(),
                what,
            };
            if *here == Self::Null {
                *here = Self::Object(Vec::new());
            }
            let what = here.what();
            here = match here {
                Self::Object(members) => {
                    let place = members.iter().rposition(|(name, _)| *name == step);
                    let place = place.unwrap_or_else(|| {
                        members.push((step.clone().into_owned(), Self::Null));
                        members.len() - 1
                    });
                    // It is there: found, or just pushed.
                    members.get_mut(place).map(|(_, member)| member)
                }
                Self::Array(items) => index(&step).and_then(|place| items.get_mut(place)),
                _ => None,
            }
            .ok_or_else(|| blocked(what))?;
            // The place in `at` where the next step begins.
            let rest = at.get(walked + 1..).unwrap_or_default();
            walked += 1 + rest.find('/').unwrap_or(rest.len());
        }
        *here = node;
        Ok(())
    }
}

impl Node {
    /// Takes a member out of its object, or an element out of its array; what comes after it moves up. None: the pointer
    /// leads nowhere, or is the whole.
    pub fn remove(&mut self, at: &str) -> Option<Self> {
        let (outer, last) = at.rsplit_once('/')?;
        let name: String = steps(&format!("/{last}"))?.collect();
        let mut here = self;
        for step in steps(outer)? {
            here = match here {
                Self::Object(members) => {
                    let place = members.iter().rposition(|(name, _)| *name == step)?;
                    members.get_mut(place).map(|(_, member)| member)?
                }
                Self::Array(items) => items.get_mut(index(&step)?)?,
                _ => return None,
            };
        }
        match here {
            Self::Object(members) => {
                let place = members.iter().rposition(|(known, _)| *known == name)?;
                Some(members.remove(place).1)
            }
            Self::Array(items) => {
                let place = index(&name).filter(|place| *place < items.len())?;
                Some(items.remove(place))
            }
            _ => None,
        }
    }
}

/// An array's index: digits without a leading zero (RFC 6901, section 4).
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || !step.starts_with('0');
    (plain && step.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| step.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::node;
    use proptest::prelude::*;

    fn read(text: &str) -> Node {
        Node::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn the_rfcs_own_examples_are_found() {
        let document = read(
            r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"~1":9}"#,
        );
        for (at, found) in [
            ("", Some(document.to_json().as_str())),
            ("/foo", Some(r#"["bar","baz"]"#)),
            ("/foo/0", Some("\"bar\"")),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/c%d", Some("2")),
            ("/e^f", Some("3")),
            ("/g|h", Some("4")),
            ("/i\\j", Some("5")),
            ("/k\"l", Some("6")),
            ("/ ", Some("7")),
            ("/m~0n", Some("8")),
            ("/~01", Some("9")),
            ("/foo/2", None),
            ("/foo/-", None),
            ("/foo/00", None),
            ("/foo/+1", None),
            ("/foo/", None),
            ("/nope", None),
            ("foo", None),
            ("/foo/0/x", None),
        ] {
            let got = document.pointer(at).map(Node::to_json);
            assert_eq!(got.as_deref(), found, "{at}");
        }
    }

    #[test]
    fn of_a_name_that_occurs_twice_the_last_counts() {
        let mut document = read(r#"{"a":1,"a":2}"#);
        assert_eq!(document.pointer("/a"), Some(&Node::Number("2".into())));
        document.set("/a", Node::Null).expect("set");
        assert_eq!(document.to_json(), r#"{"a":1,"a":null}"#);
    }

    #[test]
    fn objects_are_made_on_the_way_and_nothing_else_is_overwritten() {
        let mut document = Node::Null;
        for (at, text) in [
            ("/properties/amount", "\"12.10\""),
            ("/properties/a~1b", "1"),
            ("/list", "[{},2]"),
            ("/list/0/x", "true"),
            ("/list/1", "3"),
            ("/none", "null"),
            ("/none/x/0", "5"),
        ] {
            document.set(at, read(text)).expect(at);
        }
        assert_eq!(
            document.to_json(),
            r#"{"properties":{"amount":"12.10","a/b":1},"list":[{"x":true},3],"none":{"x":{"0":5}}}"#
        );
        for (at, blocked) in [
            ("/properties/amount/x", "/properties/amount"),
            ("/list/2", "/list"),
            ("/list/-", "/list"),
            ("/list/1/x/y", "/list/1"),
        ] {
            let error = document.set(at, Node::Null).expect_err(at);
            assert!(
                matches!(&error, PointerError::Blocked { blocked: b, .. } if b == blocked),
                "{at}: {error}"
            );
        }
        assert!(matches!(
            document.set("amount", Node::Null),
            Err(PointerError::Malformed(_))
        ));
        assert!(matches!(
            Node::Null.set(&"/a".repeat(128), Node::Null),
            Err(PointerError::TooDeep(_))
        ));
        let mut deep = Node::Null;
        deep.set(&"/a".repeat(127), Node::Array(vec![]))
            .expect("deep enough");
        assert!(Node::parse(deep.to_json().as_bytes()).is_ok());
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_stays() {
        let text = r#"{"a":1,"b":[1,{"c/d":2,"e":3},4],"":5,"b2":null}"#;
        for (at, taken, left) in [
            (
                "/a",
                Some("1"),
                r#"{"b":[1,{"c/d":2,"e":3},4],"":5,"b2":null}"#,
            ),
            (
                "/b/0",
                Some("1"),
                r#"{"a":1,"b":[{"c/d":2,"e":3},4],"":5,"b2":null}"#,
            ),
            (
                "/b/1/c~1d",
                Some("2"),
                r#"{"a":1,"b":[1,{"e":3},4],"":5,"b2":null}"#,
            ),
            (
                "/",
                Some("5"),
                r#"{"a":1,"b":[1,{"c/d":2,"e":3},4],"b2":null}"#,
            ),
            (
                "/b2",
                Some("null"),
                r#"{"a":1,"b":[1,{"c/d":2,"e":3},4],"":5}"#,
            ),
            ("", None, text),
            ("/b/3", None, text),
            ("/b/-", None, text),
            ("/a/x", None, text),
            ("/z", None, text),
            ("a", None, text),
        ] {
            let mut document = read(text);
            let got = document.remove(at).map(|node| node.to_json());
            assert_eq!(got.as_deref(), taken, "{at}");
            assert_eq!(document.to_json(), left, "{at}");
        }
    }

    proptest! {
        #[test]
        fn what_was_set_is_found_and_the_rest_stays(
            mut document in node(),
            steps in proptest::collection::vec("[a-z/~0-9é]{0,3}", 1..5),
            value in node(),
        ) {
            let steps = steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
            let at = steps.collect::<Vec<_>>().concat();
            document.set("/kept apart", Node::Bool(true)).ok();
            let kept = document.pointer("/kept apart").cloned();
            if document.set(&at, value.clone()).is_ok() {
                prop_assert_eq!(document.pointer(&at), Some(&value));
            }
            prop_assert_eq!(document.pointer("/kept apart"), kept.as_ref());
        }

        #[test]
        fn no_pointer_makes_it_panic(mut document in node(), at in "\\PC{0,20}") {
            let _ = document.pointer(&at);
            let _ = document.set(&at, Node::Null);
        }
    }
}
