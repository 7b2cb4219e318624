//! JSON bytes -> a flat list of nodes in the order they are shown. One pass, no recursion, no copies.
//!
//! Structure and numbers must be JSON's (RFC 8259); inside strings anything goes, since it is shown, not used.

use std::ops::Range;

/// A range of the source; 32 bits are enough for what is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub start: u32,
    pub end: u32,
}

impl Slice {
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
    EndObject,
    EndArray,
    EmptyObject,
    EmptyArray,
    Text,
    Number,
    Word,
}

/// One row of pretty-printed JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub depth: u16,
    pub shape: Shape,
    pub comma: bool,
    pub folded: bool,
    pub key: Option<Slice>,
    /// The source of a scalar.
    pub value: Slice,
    /// For what opens: the last node inside, which is its end unless the source was cut off.
    pub end: u32,
    /// For what opens: how many keys or items.
    pub count: u32,
}

impl Node {
    pub fn is_open(&self) -> bool {
        matches!(self.shape, Shape::Object | Shape::Array)
    }

    pub fn is_scalar(&self) -> bool {
        matches!(self.shape, Shape::Text | Shape::Number | Shape::Word)
    }
}

pub(super) struct Json {
    pub nodes: Vec<Node>,
    /// The source ends inside an object or array.
    pub cut: bool,
}

/// Reads one JSON value; none if the bytes are something else. An object or array whose end is missing is read as far as it goes.
pub(super) fn read(source: &[u8]) -> Option<Json> {
    let mut reader = Reader {
        source,
        at: 0,
        nodes: Vec::new(),
        open: Vec::new(),
        kept: 0,
    };
    let whole = reader.value(None).and_then(|()| reader.rest());
    match whole {
        Ok(()) => Some(Json {
            nodes: reader.nodes,
            cut: false,
        }),
        Err(Stop::End) => {
            reader.remainder();
            let last = reader.nodes.len().saturating_sub(1) as u32;
            for open in &reader.open {
                reader.nodes[*open as usize].end = last;
            }
            // A lone bracket may be anything; with something inside it is JSON.
            (!reader.open.is_empty() && last > 0).then_some(Json {
                nodes: reader.nodes,
                cut: true,
            })
        }
        Err(Stop::Bad) => None,
    }
}

enum Stop {
    /// The source ends too early.
    End,
    /// This is no JSON.
    Bad,
}

struct Reader<'a> {
    source: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// Nodes that are open, outermost first.
    open: Vec<u32>,
    /// Everything before this is in the nodes, or is a comma or white space.
    kept: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Result<u8, Stop> {
        while let Some(byte) = self.source.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(Stop::End)
    }

    fn node(&mut self, shape: Shape, key: Option<Slice>, value: Slice) {
        self.kept = value.end as usize;
        self.nodes.push(Node {
            depth: u16::try_from(self.open.len()).unwrap_or(u16::MAX),
            shape,
            comma: false,
            folded: false,
            key,
            value,
            end: 0,
            count: 0,
        });
    }

    /// Where the source ends in the middle of a key or value, what there is of it is kept as it is.
    fn remainder(&mut self) {
        let rest = &self.source[self.kept..];
        let start = self.source.len() - rest.trim_ascii_start().len();
        if start < self.source.len() {
            self.node(Shape::Text, None, Slice::new(start, self.source.len()));
        }
    }

    /// Everything after the first value's first byte: members, separators, ends.
    fn rest(&mut self) -> Result<(), Stop> {
        while let Some(open) = self.open.last().copied() {
            let object = self.nodes[open as usize].shape == Shape::Object;
            let end = if object { b'}' } else { b']' };
            match self.peek()? {
                b',' if self.nodes[open as usize].count > 0 => {
                    self.at += 1;
                    // A cut may come here; a comma before an end may not.
                    let next = self.peek();
                    if let Some(last) = self.nodes.last_mut() {
                        last.comma = true;
                    }
                    self.kept = self.at;
                    if next? == end {
                        return Err(Stop::Bad);
                    }
                    self.member(open, object)?;
                }
                byte if byte == end => {
                    self.at += 1;
                    self.open.pop();
                    let slice = Slice::new(self.at - 1, self.at);
                    self.node(
                        if object {
                            Shape::EndObject
                        } else {
                            Shape::EndArray
                        },
                        None,
                        slice,
                    );
                    self.nodes[open as usize].end = self.nodes.len() as u32 - 1;
                }
                _ if self.nodes[open as usize].count == 0 => self.member(open, object)?,
                _ => return Err(Stop::Bad),
            }
        }
        match self.peek() {
            Err(Stop::End) => Ok(()),
            _ => Err(Stop::Bad),
        }
    }

    fn member(&mut self, open: u32, object: bool) -> Result<(), Stop> {
        let mut key = None;
        if object {
            if self.peek()? != b'"' {
                return Err(Stop::Bad);
            }
            key = Some(self.string()?);
            if self.peek()? != b':' {
                return Err(Stop::Bad);
            }
            self.at += 1;
        }
        self.nodes[open as usize].count += 1;
        self.value(key)
    }

    /// A scalar, or what opens an object or array (both brackets, if it is empty).
    fn value(&mut self, key: Option<Slice>) -> Result<(), Stop> {
        let byte = self.peek()?;
        let start = self.at;
        match byte {
            b'{' | b'[' => {
                let object = byte == b'{';
                self.at += 1;
                let next = self.peek();
                if matches!((object, &next), (true, Ok(b'}')) | (false, Ok(b']'))) {
                    self.at += 1;
                    let shape = if object {
                        Shape::EmptyObject
                    } else {
                        Shape::EmptyArray
                    };
                    self.node(shape, key, Slice::new(start, self.at));
                } else {
                    let shape = if object { Shape::Object } else { Shape::Array };
                    self.node(shape, key, Slice::new(start, start + 1));
                    self.open.push(self.nodes.len() as u32 - 1);
                }
                Ok(())
            }
            b'"' => {
                let value = self.string()?;
                self.node(Shape::Text, key, value);
                Ok(())
            }
            b'-' | b'0'..=b'9' => {
                let end = start + number(&self.source[start..])?;
                self.at = end;
                self.node(Shape::Number, key, Slice::new(start, end));
                Ok(())
            }
            _ => {
                let rest = &self.source[start..];
                for word in [&b"true"[..], b"false", b"null"] {
                    if rest.starts_with(word) {
                        self.at += word.len();
                        self.node(Shape::Word, key, Slice::new(start, self.at));
                        return Ok(());
                    }
                    if word.starts_with(rest) {
                        return Err(Stop::End);
                    }
                }
                Err(Stop::Bad)
            }
        }
    }

    /// The string that opens here, quotes included. Leaves the place alone if it never closes.
    fn string(&mut self) -> Result<Slice, Stop> {
        let start = self.at;
        let mut at = start + 1;
        loop {
            match self.source.get(at) {
                None => return Err(Stop::End),
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Ok(Slice::new(start, self.at))
    }
}

/// How long the number at the start of `text` is (RFC 8259, section 6).
fn number(text: &[u8]) -> Result<usize, Stop> {
    let digits = |from: usize| {
        text[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    match (whole, text.get(at)) {
        (0, None) => return Err(Stop::End),
        (0, Some(_)) | (2.., Some(b'0')) => return Err(Stop::Bad),
        _ => at += whole,
    }
    if text.get(at) == Some(&b'.') {
        at += 1;
        let fraction = digits(at);
        match fraction {
            0 if at == text.len() => return Err(Stop::End),
            0 => return Err(Stop::Bad),
            _ => at += fraction,
        }
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        let exponent = digits(at);
        match exponent {
            0 if at == text.len() => return Err(Stop::End),
            0 => return Err(Stop::Bad),
            _ => at += exponent,
        }
    }
    Ok(at)
}
