//! A strict JSON tokenizer (RFC 8259) over text that must not be re-serialised: it hands out slices of the source.
//!
//! Why not `serde_json` alone: numbers must keep their source text (`12.10`, 2^64), top-level members must keep their
//! exact bytes, and nesting must be bounded without recursion. `serde_json`'s `arbitrary_precision` would change every
//! other user of the crate. This module never allocates but for its callers' results; the envelope, the expressions and
//! the front door call it.

use std::ops::Range;

/// Deepest nesting accepted. One bit of a `u128` each, so depth costs no memory.
pub const MAX_DEPTH: u32 = 128;

/// What is wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonProblem {
    /// Not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// The text ends too early.
    #[error("the text ends too early")]
    Truncated,
    /// Something else was expected here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A number that RFC 8259 does not know.
    #[error("malformed number")]
    Number,
    /// A control character or a bad escape inside a string.
    #[error("malformed string")]
    String,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than 128")]
    Depth,
    /// Text after the value.
    #[error("text after the value")]
    Trailing,
}

/// What is wrong, and where (byte offset from 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {offset}")]
pub struct JsonError {
    /// What.
    pub problem: JsonProblem,
    /// Where.
    pub offset: usize,
}

/// One token. Strings and keys come with their quotes, unescaped by [`unescape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// A member's name, quoted as in the source.
    Key(&'a str),
    /// A string, quoted as in the source.
    String(&'a str),
    /// A number as in the source.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Value,
    /// After `[`: a value or `]`.
    FirstElement,
    /// After `{`: a key or `}`.
    FirstKey,
    Key,
    CommaOrEnd,
    End,
}

/// Walks a JSON text token by token. After an error or the end it must not be asked again.
#[derive(Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// Bit n tells whether level n is an object.
    objects: u128,
    want: Want,
    start: usize,
}

impl<'a> Tokens<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            objects: 0,
            want: Want::Value,
            start: 0,
        }
    }

    /// How many arrays and objects are open.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The source range of the last token (a key's runs to its colon).
    pub fn range(&self) -> Range<usize> {
        self.start..self.at
    }

    fn fail<T>(&self, problem: JsonProblem) -> Result<T, JsonError> {
        Err(JsonError {
            problem,
            offset: self.at,
        })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn in_object(&self) -> bool {
        self.depth > 0 && self.objects >> (self.depth - 1) & 1 == 1
    }

    fn open(&mut self, object: bool) -> Result<Token<'a>, JsonError> {
        if self.depth == MAX_DEPTH {
            return self.fail(JsonProblem::Depth);
        }
        let bit = 1u128 << self.depth;
        if object {
            self.objects |= bit;
        } else {
            self.objects &= !bit;
        }
        self.depth += 1;
        self.at += 1;
        if object {
            self.want = Want::FirstKey;
            Ok(Token::ObjectStart)
        } else {
            self.want = Want::FirstElement;
            Ok(Token::ArrayStart)
        }
    }

    fn close(&mut self) -> Token<'a> {
        let token = if self.in_object() {
            Token::ObjectEnd
        } else {
            Token::ArrayEnd
        };
        self.at += 1;
        self.depth -= 1;
        self.after_value();
        token
    }

    fn after_value(&mut self) {
        self.want = if self.depth == 0 {
            Want::End
        } else {
            Want::CommaOrEnd
        };
    }

    fn literal(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.fail(JsonProblem::Expected("a value"));
        }
        self.at += word.len();
        self.after_value();
        Ok(token)
    }

    fn quoted(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return self.fail(JsonProblem::Truncated),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        None => return self.fail(JsonProblem::Truncated),
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                            self.at += 1;
                        }
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                match self.peek() {
                                    Some(digit) if digit.is_ascii_hexdigit() => self.at += 1,
                                    None => return self.fail(JsonProblem::Truncated),
                                    Some(_) => return self.fail(JsonProblem::String),
                                }
                            }
                        }
                        Some(_) => return self.fail(JsonProblem::String),
                    }
                }
                Some(byte) if byte < 0x20 => return self.fail(JsonProblem::String),
                Some(_) => self.at += 1,
            }
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fail(JsonProblem::Number);
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Token<'a>, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let token = Token::Number(&self.text[start..self.at]);
        self.after_value();
        Ok(token)
    }

    fn value(&mut self) -> Result<Token<'a>, JsonError> {
        match self.peek() {
            None => self.fail(JsonProblem::Truncated),
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'"') => {
                let text = self.quoted()?;
                self.after_value();
                Ok(Token::String(text))
            }
            Some(b't') => self.literal("true", Token::Bool(true)),
            Some(b'f') => self.literal("false", Token::Bool(false)),
            Some(b'n') => self.literal("null", Token::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.fail(JsonProblem::Expected("a value")),
        }
    }

    fn key(&mut self) -> Result<Token<'a>, JsonError> {
        match self.peek() {
            None => return self.fail(JsonProblem::Truncated),
            Some(b'"') => {}
            Some(_) => return self.fail(JsonProblem::Expected("a member name")),
        }
        let key = self.quoted()?;
        self.blanks();
        match self.peek() {
            Some(b':') => self.at += 1,
            None => return self.fail(JsonProblem::Truncated),
            Some(_) => return self.fail(JsonProblem::Expected("`:`")),
        }
        self.want = Want::Value;
        Ok(Token::Key(key))
    }

    /// The next token; none after the end of the one value that the text must be.
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, JsonError> {
        self.blanks();
        if self.want == Want::CommaOrEnd {
            match (self.peek(), self.in_object()) {
                (Some(b','), object) => {
                    self.at += 1;
                    self.blanks();
                    self.want = if object { Want::Key } else { Want::Value };
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.start = self.at;
                    return Ok(Some(self.close()));
                }
                (None, _) => return self.fail(JsonProblem::Truncated),
                (Some(_), true) => return self.fail(JsonProblem::Expected("`,` or `}`")),
                (Some(_), false) => return self.fail(JsonProblem::Expected("`,` or `]`")),
            }
        }
        self.start = self.at;
        match (self.want, self.peek()) {
            (Want::End, None) => Ok(None),
            (Want::End, Some(_)) => self.fail(JsonProblem::Trailing),
            (Want::FirstElement, Some(b']')) | (Want::FirstKey, Some(b'}')) => {
                Ok(Some(self.close()))
            }
            (Want::FirstKey | Want::Key, _) => self.key().map(Some),
            _ => self.value().map(Some),
        }
    }
}

/// Reads `bytes` as UTF-8 text.
pub fn text(bytes: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(bytes).map_err(|error| JsonError {
        problem: JsonProblem::Utf8,
        offset: error.valid_up_to(),
    })
}

/// That `bytes` are one JSON value, nested no deeper than [`MAX_DEPTH`].
pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
    let mut tokens = Tokens::new(text(bytes)?);
    while tokens.next_token()?.is_some() {}
    Ok(())
}

/// The text of a quoted string token. Errors on escapes that stand for no character (a lone surrogate).
pub fn unescape(quoted: &str) -> Result<String, JsonProblem> {
    let inner = &quoted[1..quoted.len() - 1];
    if inner.contains('\\') {
        serde_json::from_str(quoted).map_err(|_| JsonProblem::String)
    } else {
        Ok(inner.to_owned())
    }
}

/// Writes `text` as a JSON string.
pub fn quote(text: &str, out: &mut String) {
    // Writing a string as JSON into memory cannot fail.
    if let Ok(quoted) = serde_json::to_string(text) {
        out.push_str(&quoted);
    }
}

/// The members of the object that `text` is: quoted name and the exact source of the value, in source order.
/// None if `text` is a JSON value but no object. The whole text is checked.
pub fn members(text: &str) -> Result<Option<Vec<(&str, &str)>>, JsonError> {
    let mut tokens = Tokens::new(text);
    let object = tokens.next_token()? == Some(Token::ObjectStart);
    let mut members = Vec::new();
    let mut key = "";
    let mut start = 0;
    while let Some(token) = tokens.next_token()? {
        let closes = matches!(token, Token::ObjectEnd | Token::ArrayEnd);
        let opens = matches!(token, Token::ObjectStart | Token::ArrayStart);
        match (token, tokens.depth()) {
            (Token::Key(name), 1) => key = name,
            (_, 1) if closes => members.push((key, &text[start..tokens.range().end])),
            (_, 1) => members.push((key, &text[tokens.range()])),
            (_, 2) if opens => start = tokens.range().start,
            _ => {}
        }
    }
    Ok(object.then_some(members))
}

/// The exact sources of the elements of the array that `text` is. None if it is a JSON value but no array.
/// The whole text is checked; nesting counts from the outermost array.
pub fn elements(text: &str) -> Result<Option<Vec<&str>>, JsonError> {
    let mut tokens = Tokens::new(text);
    let array = tokens.next_token()? == Some(Token::ArrayStart);
    let mut elements = Vec::new();
    let mut start = 0;
    while let Some(token) = tokens.next_token()? {
        let closes = matches!(token, Token::ObjectEnd | Token::ArrayEnd);
        let opens = matches!(token, Token::ObjectStart | Token::ArrayStart);
        match tokens.depth() {
            1 if closes => elements.push(&text[start..tokens.range().end]),
            1 => elements.push(&text[tokens.range()]),
            2 if opens => start = tokens.range().start,
            _ => {}
        }
    }
    Ok(array.then_some(elements))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn depth_is_bounded_at_128_without_recursion() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(check(nested(128).as_bytes()), Ok(()));
        let error = check(nested(129).as_bytes()).unwrap_err();
        assert_eq!((error.problem, error.offset), (JsonProblem::Depth, 128));
        let bomb = "[".repeat(1_000_000);
        assert_eq!(
            check(bomb.as_bytes()).unwrap_err().problem,
            JsonProblem::Depth
        );
        let alternating = "{\"a\":[".repeat(64) + &"]}".repeat(64);
        assert_eq!(check(alternating.as_bytes()), Ok(()));
    }

    #[test]
    fn members_keep_the_exact_bytes_of_their_values() {
        let text =
            r#" {"a": 12.10 ,"b":{"x": [1, 2]}, "a\u0062" : "é" , "n":null,"e":{},"l":[ ]} "#;
        assert_eq!(
            members(text).unwrap().unwrap(),
            [
                ("\"a\"", "12.10"),
                ("\"b\"", r#"{"x": [1, 2]}"#),
                ("\"a\\u0062\"", "\"é\""),
                ("\"n\"", "null"),
                ("\"e\"", "{}"),
                ("\"l\"", "[ ]"),
            ]
        );
        assert_eq!(members("[1]").unwrap(), None);
        assert_eq!(members("{}").unwrap().unwrap(), []);
        assert!(members(r#"{"a":1"#).is_err());
    }

    #[test]
    fn elements_keep_the_exact_bytes_too() {
        assert_eq!(
            elements(r#"[ {"a": 1 }, 2,[ ],"x" ]"#).unwrap().unwrap(),
            [r#"{"a": 1 }"#, "2", "[ ]", "\"x\""]
        );
        assert_eq!(elements("{}").unwrap(), None);
        assert_eq!(elements("[]").unwrap().unwrap(), Vec::<&str>::new());
    }

    /// Texts near JSON: mostly well-formed, with mutations.
    fn near_json() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just("{"),
                Just("}"),
                Just("["),
                Just("]"),
                Just(","),
                Just(":"),
                Just("\"a\""),
                Just("\"\\u00e9\""),
                Just("\"\\x\""),
                Just("1"),
                Just("-0"),
                Just("01"),
                Just("1.5e+3"),
                Just("1."),
                Just("true"),
                Just("null"),
                Just("nul"),
                Just(" "),
                Just("\"\u{1}\""),
                Just("\"\\n"),
            ],
            0..12,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn it_accepts_exactly_what_serde_json_accepts(text in near_json()) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(check(text.as_bytes()).is_ok(), theirs, "{}", text);
        }

        #[test]
        fn it_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes);
            if let Ok(text) = text(&bytes) {
                let _ = members(text);
                let _ = elements(text);
            }
        }

        #[test]
        fn well_formed_values_are_accepted(depth in 0usize..20, width in 0usize..5) {
            let inner = vec!["{\"k\": [1.0, \"\\\"\", false]}"; width].join(" ,\n");
            let text = format!("{}[{inner}]{}", "[".repeat(depth), "]".repeat(depth));
            prop_assert_eq!(check(text.as_bytes()), Ok(()));
        }
    }
}
