//! Rows as bytes: for the scratch files of a comparison, and framed with a checksum for listings that are kept. Small,
//! binary, read only by the version that wrote it: neither outlives its run.
//!
//! A framed row is its length (varint), four bytes of checksum, and its body. A tail that was cut or damaged is told with
//! its place and never read as a row. The listing of a side writes framed rows, [`super::spill`] plain bodies.

use std::io::Read;

use super::row::{Row, Rows};
use crate::time::Timestamp;

/// A framed row is never longer: what says so is damaged.
const LONGEST: u64 = 64 << 20;
/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

const HAS_ID: u8 = 1;
const HAS_CHANGED: u8 = 2;

/// Appends `row`, framed.
pub fn encode(row: &Row, out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(128);
    put(row, &mut body);
    put_number(body.len() as u64, out);
    out.extend_from_slice(&checksum(&body).to_le_bytes());
    out.extend_from_slice(&body);
}

/// Appends the body of `row`, without a frame.
pub(super) fn put(row: &Row, out: &mut Vec<u8>) {
    let id = u8::from(row.id.is_some()) * HAS_ID;
    let changed = u8::from(row.changed.is_some()) * HAS_CHANGED;
    out.push(id | changed);
    put_text(&row.key, out);
    if let Some(id) = &row.id {
        put_text(id, out);
    }
    if let Some(changed) = row.changed {
        out.extend_from_slice(&changed.0.to_le_bytes());
    }
    put_number(row.fields.len() as u64, out);
    for field in &row.fields {
        match field {
            None => out.push(0),
            Some(text) => {
                put_number(text.len() as u64 + 1, out);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_number(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a body into `row`, whose texts are used again; none if it is no body, or more than one.
pub(super) fn take(mut body: &[u8], row: &mut Row) -> Option<()> {
    let from = &mut body;
    let (flags, rest) = from.split_first()?;
    *from = rest;
    if *flags > HAS_ID | HAS_CHANGED {
        return None;
    }
    let length = take_number(from)?;
    take_text(from, length, &mut row.key)?;
    if flags & HAS_ID == 0 {
        row.id = None;
    } else {
        let length = take_number(from)?;
        take_text(from, length, row.id.get_or_insert_default())?;
    }
    row.changed = None;
    if flags & HAS_CHANGED != 0 {
        let (at, rest) = from.split_first_chunk()?;
        row.changed = Some(Timestamp(i64::from_le_bytes(*at)));
        *from = rest;
    }
    let count = usize::try_from(take_number(from)?).ok()?;
    // A field is a byte at least: what says otherwise must not make us ask for memory.
    if count > from.len() {
        return None;
    }
    row.fields.resize(count, None);
    for field in &mut row.fields {
        match take_number(from)?.checked_sub(1) {
            None => *field = None,
            Some(length) => take_text(from, length, field.get_or_insert_default())?,
        }
    }
    from.is_empty().then_some(())
}

fn take_text(from: &mut &[u8], length: u64, text: &mut String) -> Option<()> {
    let (bytes, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    text.clear();
    text.push_str(std::str::from_utf8(bytes).ok()?);
    Some(())
}

fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Against torn writes and rotten blocks, not against people.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = bytes.len() as u64;
    for word in bytes.chunks(8) {
        let mut eight = [0; 8];
        eight[..word.len()].copy_from_slice(word);
        sum = (sum ^ u64::from_le_bytes(eight)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^= sum >> 29;
    }
    (sum ^ (sum >> 32)) as u32
}

/// Framed rows out of a file. It reads ahead itself: hand it the file as it is.
#[derive(Debug)]
pub struct Framed<R> {
    from: R,
    buffer: Vec<u8>,
    /// What of the buffer is not read yet.
    at: usize,
    /// Rows and bytes that were read.
    rows: u64,
    bytes: u64,
    ended: bool,
}

impl<R: Read> Framed<R> {
    /// Reads from where `from` stands.
    pub fn new(from: R) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            at: 0,
            rows: 0,
            bytes: 0,
            ended: false,
        }
    }

    /// Bytes of the whole rows that were read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads on; false at the end of the file.
    fn more(&mut self) -> Result<bool, String> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let held = self.buffer.len();
        let mut taken = (&mut self.from).take(BUFFER as u64);
        let read = taken
            .read_to_end(&mut self.buffer)
            .map_err(|error| format!("the kept listing cannot be read: {error}"))?;
        self.ended = read == 0;
        debug_assert_eq!(self.buffer.len(), held + read);
        Ok(!self.ended)
    }

    fn damaged(&self, what: &str) -> String {
        format!(
            "the kept listing is {what} after record {} (byte {})",
            self.rows, self.bytes
        )
    }
}

impl<R: Read + Send> Rows for Framed<R> {
    fn next(&mut self, row: &mut Row) -> Result<bool, String> {
        loop {
            let held = &self.buffer[self.at..];
            let mut from = held;
            if let Some(length) = take_number(&mut from) {
                if length > LONGEST {
                    return Err(self.damaged("damaged"));
                }
                let length = length as usize;
                if let Some((sum, rest)) = from.split_first_chunk()
                    && let Some(body) = rest.get(..length)
                {
                    if checksum(body) != u32::from_le_bytes(*sum) || take(body, row).is_none() {
                        return Err(self.damaged("damaged"));
                    }
                    let whole = held.len() - rest.len() + length;
                    self.at += whole;
                    self.bytes += whole as u64;
                    self.rows += 1;
                    return Ok(true);
                }
            } else if held.len() >= 10 {
                return Err(self.damaged("damaged"));
            }
            if !self.more()? {
                return match self.buffer.len() - self.at {
                    0 => Ok(false),
                    _ => Err(self.damaged("cut off")),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let text = "[a-zæ\"]{0,12}";
        let row = (
            text,
            proptest::option::of(text),
            proptest::option::of(any::<i64>()),
            proptest::collection::vec(proptest::option::of(text), 0..4),
        )
            .prop_map(|(key, id, changed, fields)| Row {
                key,
                id,
                changed: changed.map(Timestamp),
                fields,
            });
        proptest::collection::vec(row, 0..12)
    }

    fn framed(rows: &[Row]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in rows {
            encode(row, &mut bytes);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> (Vec<Row>, Result<(), String>) {
        let mut from = Framed::new(bytes);
        let (mut rows, mut row) = (Vec::new(), Row::default());
        loop {
            match from.next(&mut row) {
                Ok(true) => rows.push(row.clone()),
                Ok(false) => return (rows, Ok(())),
                Err(words) => return (rows, Err(words)),
            }
        }
    }

    #[test]
    fn a_row_longer_than_the_buffer_is_read_whole() {
        let long = Row {
            key: "k".repeat(3 * BUFFER),
            fields: vec![None, Some("x".repeat(BUFFER))],
            ..Row::default()
        };
        let rows = vec![Row::default(), long, Row::default()];
        assert_eq!(read(&framed(&rows)), (rows, Ok(())));
    }

    #[test]
    fn what_is_no_frame_is_told_with_its_place_and_asks_for_no_memory() {
        let mut bytes = framed(&[Row::default(), Row::default()]);
        let whole = bytes.len();
        bytes.extend_from_slice(&[0xff; 12]);
        let (rows, ended) = read(&bytes);
        assert_eq!(rows.len(), 2);
        let words = ended.unwrap_err();
        assert_eq!(
            words,
            format!("the kept listing is damaged after record 2 (byte {whole})")
        );
        let (_, ended) = read(&[0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3]);
        assert!(ended.unwrap_err().contains("damaged after record 0"));
    }

    proptest! {
        #[test]
        fn rows_are_read_as_they_were_written(rows in rows()) {
            prop_assert_eq!(read(&framed(&rows)), (rows, Ok(())));
        }

        #[test]
        fn a_cut_or_damaged_tail_is_told_and_what_stands_before_it_is_read(
            rows in rows(), cut in any::<prop::sample::Index>(), flip in 1u8..
        ) {
            let whole = framed(&rows);
            prop_assume!(!whole.is_empty());
            let cut = cut.index(whole.len());
            let (read_rows, ended) = read(&whole[..cut]);
            prop_assert_eq!(&read_rows[..], &rows[..read_rows.len()]);
            let clean = framed(&read_rows).len() == cut;
            prop_assert_eq!(ended.is_ok(), clean);
            let mut damaged = whole.clone();
            damaged[cut] ^= flip;
            let (read_rows, ended) = read(&damaged);
            prop_assert!(ended.is_err());
            prop_assert_eq!(&read_rows[..], &rows[..read_rows.len()]);
        }
    }
}
