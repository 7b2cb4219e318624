//! Records out of files: one JSON object a line, CSV with a header, the rows of an SQLite query. Streamed: memory does not grow
//! with the file. Called by `listing`, on a thread that may block.

mod csv;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::csv::Csv;
use super::row::{Row, Rows};
use super::wanted::Wanted;
use crate::event::expr::Engine;
use crate::record::json::Node;
use crate::record::map::{RecordFile, RecordMap};
use crate::record::read;
use crate::store::{HashKey, Outside};
use crate::time::Timestamp;

/// The longest line, or record of a CSV file, in bytes.
const LONGEST: usize = 16 << 20;
/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;

/// The records of a file.
pub struct FileRows {
    from: From,
    map: Arc<RecordMap>,
    wanted: Wanted,
    engine: Engine,
    key: HashKey,
}

enum From {
    Ndjson(Lines),
    Csv(Csv),
    Sqlite(Outside),
}

impl FileRows {
    /// Opens the file of `map`; a path that is not absolute begins in `folder`. `since` narrows a query that asks for it.
    ///
    /// # Errors
    /// In words, with the file; also where the map has none.
    pub fn open(
        map: &Arc<RecordMap>,
        folder: &Path,
        since: Option<Timestamp>,
        wanted: Wanted,
        engine: &Engine,
        key: &HashKey,
    ) -> Result<Self, String> {
        let from = match &map.file {
            Some(RecordFile::Ndjson(file)) => From::Ndjson(Lines::open(&folder.join(file))?),
            Some(RecordFile::Csv { file, separator }) => {
                From::Csv(Csv::open(&folder.join(file), *separator)?)
            }
            Some(RecordFile::Sqlite { file, query }) => {
                let since = since.map(Timestamp::rfc3339);
                From::Sqlite(Outside::open(&folder.join(file), query, since)?)
            }
            None => return Err(format!("{}.{} has no file", map.system, map.kind)),
        };
        Ok(Self {
            from,
            map: Arc::clone(map),
            wanted,
            engine: engine.clone(),
            key: key.clone(),
        })
    }
}

impl Rows for FileRows {
    fn next(&mut self, row: &mut Row) -> Result<bool, String> {
        let node = match &mut self.from {
            From::Ndjson(lines) => lines.next()?,
            From::Csv(csv) => csv.next()?,
            From::Sqlite(outside) => match outside.row()? {
                Some(text) => {
                    Some(Node::parse(text.as_bytes()).map_err(|error| error.to_string())?)
                }
                None => None,
            },
        };
        let Some(node) = node else {
            return Ok(false);
        };
        // What cannot be read has no key: it is counted, and the run says so.
        *row = read::one(&self.map, &node, &self.engine).map_or_else(
            |_| Row::default(),
            |record| Row::of(&record, &self.wanted, &self.key),
        );
        Ok(true)
    }
}

/// One JSON value a line; blank lines do not count.
struct Lines {
    file: PathBuf,
    from: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn open(file: &Path) -> Result<Self, String> {
        Ok(Self {
            from: BufReader::with_capacity(BUFFER, opened(file)?),
            file: file.to_owned(),
            line: Vec::new(),
            number: 0,
        })
    }

    fn next(&mut self) -> Result<Option<Node>, String> {
        loop {
            self.line.clear();
            let mut limited = (&mut self.from).take(LONGEST as u64 + 1);
            let read = limited.read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| self.wrong(&error.to_string()))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            // Programs of other houses begin a file so (UTF-8's byte order mark).
            if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            if read > LONGEST {
                return Err(self.wrong("the line is longer than 16 MiB"));
            }
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            let node = Node::parse(&self.line).map_err(|error| self.wrong(&error.to_string()))?;
            return Ok(Some(node));
        }
    }

    fn wrong(&self, words: &str) -> String {
        format!("{}:{}: {words}", self.file.display(), self.number)
    }
}

fn opened(file: &Path) -> Result<File, String> {
    File::open(file).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests;
