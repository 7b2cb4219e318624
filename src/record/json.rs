//! A small JSON tree that keeps the source text of its numbers, so that `12.10` stays `12.10` and no amount passes
//! through a float. Reads what systems send and answer, writes what is sent to them; never more than 128 levels deep.
//! `read`, `body` and `shape` call it; what must go out byte for byte never comes here.

use crate::event::json::{self, JsonError, JsonProblem, MAX_DEPTH, Token, Tokens};

/// One JSON value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Node {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number: its source text, well-formed after RFC 8259.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    Array(Vec<Node>),
    /// An object: members in source order; of a name that occurs twice the last counts.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads one JSON value, nested no deeper than 128.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        enum Open {
            Object(Vec<(String, Node)>, String),
            Array(Vec<Node>),
        }
        let mut tokens = Tokens::new(json::text(bytes)?);
        let mut open: Vec<Open> = Vec::new();
        let mut result = Self::Null;
        while let Some(token) = tokens.next_token()? {
            let string = |quoted: &str| {
                json::unescape(quoted).map_err(|problem: JsonProblem| JsonError {
                    problem,
                    offset: tokens.range().start,
                })
            };
            let node = match token {
                Token::ObjectStart => {
                    open.push(Open::Object(Vec::new(), String::new()));
                    continue;
                }
                Token::ArrayStart => {
                    open.push(Open::Array(Vec::new()));
                    continue;
                }
                Token::Key(quoted) => {
                    let name = string(quoted)?;
                    if let Some(Open::Object(_, key)) = open.last_mut() {
                        *key = name;
                    }
                    continue;
                }
                Token::ObjectEnd | Token::ArrayEnd => match open.pop() {
                    Some(Open::Object(members, _)) => Self::Object(members),
                    Some(Open::Array(items)) => Self::Array(items),
                    None => continue,
                },
                Token::String(quoted) => Self::Text(string(quoted)?),
                Token::Number(source) => Self::Number(source.to_owned()),
                Token::Bool(value) => Self::Bool(value),
                Token::Null => Self::Null,
            };
            match open.last_mut() {
                Some(Open::Object(members, key)) => members.push((std::mem::take(key), node)),
                Some(Open::Array(items)) => items.push(node),
                None => result = node,
            }
        }
        Ok(result)
    }

    /// Compact JSON, members in their order, numbers as they were written.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(source) => out.push_str(source),
            Self::Text(text) => json::quote(text, out),
            Self::Array(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (place, (name, member)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    json::quote(name, out);
                    out.push(':');
                    member.write(out);
                }
                out.push('}');
            }
        }
    }

    /// What it is, in words for a message.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The text of a string, a number (as its source wrote it) or a boolean; none of anything else.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }
}

/// Whether `text` is a number as RFC 8259 writes it, and so can stand in JSON as it is.
pub(super) fn is_number(text: &str) -> bool {
    let mut tokens = Tokens::new(text);
    // Blanks around it would be accepted by the tokenizer.
    matches!(tokens.next_token(), Ok(Some(Token::Number(source))) if source.len() == text.len())
}

/// The deepest place that [`Node::set`] makes: what it makes can be read again.
pub(super) const DEEPEST: usize = MAX_DEPTH as usize - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::node;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_order_stay_as_they_were_written() {
        for text in [
            r#"{"z":12.10,"a":[1,1.0,1e3,-0.0,1E+2,18446744073709551617],"m":{"n":null,"t":true}}"#,
            "\"\\u0001\\\"é\"",
            "[]",
            "{}",
            "-0",
        ] {
            let node = Node::parse(text.as_bytes()).expect(text);
            assert_eq!(node.to_json(), text);
        }
        assert_eq!(
            Node::parse(br#" { "a" : [ 1 , "\u00e9" ] } "#)
                .expect("json")
                .to_json(),
            r#"{"a":[1,"é"]}"#
        );
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, offset) in [
            ("", 0),
            ("{\"a\":}", 5),
            ("[1,]", 3),
            ("nul", 0),
            ("1 2", 2),
        ] {
            let error = Node::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.offset, offset, "{text}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(
            Node::parse(deep.as_bytes()).expect_err("deep").problem,
            JsonProblem::Depth
        );
    }

    #[test]
    fn only_a_json_number_can_stand_in_json() {
        for text in ["0", "-1", "12.10", "1e3", "99999999999999999999999"] {
            assert!(is_number(text), "{text}");
        }
        for text in [
            "", "+1", "007", ".5", "1.", " 1", "1 ", "NaN", "1,2", "true", "\"1\"", "[1]",
        ] {
            assert!(!is_number(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(node in node()) {
            let text = node.to_json();
            prop_assert_eq!(Node::parse(text.as_bytes()), Ok(node), "{}", text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Node::parse(&bytes);
        }
    }
}
