//! CSV as RFC 4180 has it: the first line names the members, all values are texts, quotes may hold separators, line breaks and
//! doubled quotes. Lines may end in LF alone.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{BUFFER, LONGEST, opened};
use crate::record::json::Node;

/// A file that is read.
pub(super) struct Csv {
    file: PathBuf,
    from: BufReader<File>,
    separator: u8,
    names: Vec<String>,
    /// The line that is read, from 1.
    line: u64,
}

impl Csv {
    pub(super) fn open(file: &Path, separator: u8) -> Result<Self, String> {
        let mut csv = Self {
            from: BufReader::with_capacity(BUFFER, opened(file)?),
            file: file.to_owned(),
            separator,
            names: Vec::new(),
            line: 1,
        };
        let mut names = csv
            .record()?
            .ok_or_else(|| csv.wrong(1, "there is no header line"))?;
        if let Some(first) = names.first_mut()
            && let Some(rest) = first.strip_prefix('\u{feff}')
        {
            *first = rest.to_owned();
        }
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(csv.wrong(1, &format!("two columns are called {name:?}")));
            }
        }
        csv.names = names;
        Ok(csv)
    }

    /// The next record as an object of its columns; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Node>, String> {
        let line = self.line;
        let Some(values) = self.record()? else {
            return Ok(None);
        };
        if values.len() != self.names.len() {
            let (found, expected) = (values.len(), self.names.len());
            return Err(self.wrong(line, &format!("{found} values, the header has {expected}")));
        }
        let values = values.into_iter().map(Value::String);
        let members: Map<String, Value> = self.names.iter().cloned().zip(values).collect();
        let text = Value::Object(members).to_string();
        let node =
            Node::parse(text.as_bytes()).map_err(|error| self.wrong(line, &error.to_string()))?;
        Ok(Some(node))
    }

    /// The values of the next line that is not blank; a quoted value may go on over several.
    fn record(&mut self) -> Result<Option<Vec<String>>, String> {
        let begun = self.line;
        let mut values: Vec<Vec<u8>> = vec![Vec::new()];
        let (mut quoted, mut closed, mut size) = (false, false, 0_usize);
        loop {
            let buffer = self.from.fill_buf();
            let buffer = buffer.map_err(|error| format!("{}: {error}", self.file.display()))?;
            let Some(byte) = buffer.first().copied() else {
                if quoted && !closed {
                    return Err(self.wrong(begun, "a quote is not closed"));
                }
                let is_blank = values.len() == 1 && values[0].is_empty() && !closed;
                return if is_blank {
                    Ok(None)
                } else {
                    self.texts(values, begun).map(Some)
                };
            };
            self.from.consume(1);
            size += 1;
            if size > LONGEST {
                return Err(self.wrong(begun, "the record is longer than 16 MiB"));
            }
            if byte == b'\n' {
                self.line += 1;
            }
            let last = values.len() - 1;
            let value = &mut values[last];
            match byte {
                b'"' if quoted && !closed => closed = true,
                b'"' if quoted => {
                    value.push(b'"');
                    closed = false;
                }
                b'"' if value.is_empty() => quoted = true,
                _ if quoted && !closed => value.push(byte),
                byte if byte == self.separator => {
                    values.push(Vec::new());
                    (quoted, closed) = (false, false);
                }
                b'\n' => {
                    if !closed && value.last() == Some(&b'\r') {
                        value.pop();
                    }
                    if values.len() == 1 && values[0].is_empty() && !closed {
                        continue;
                    }
                    return self.texts(values, begun).map(Some);
                }
                b'\r' if closed => {}
                _ if closed => return Err(self.wrong(self.line, "text after a closing quote")),
                byte => value.push(byte),
            }
        }
    }

    fn texts(&self, values: Vec<Vec<u8>>, line: u64) -> Result<Vec<String>, String> {
        let texts = values.into_iter().map(String::from_utf8);
        let texts: Result<Vec<String>, _> = texts.collect();
        texts.map_err(|_| self.wrong(line, "a value is no UTF-8: export the file as UTF-8"))
    }

    fn wrong(&self, line: u64, words: &str) -> String {
        format!("{}:{line}: {words}", self.file.display())
    }
}
