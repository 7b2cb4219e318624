//! The rows of one side, set aside in partitions by a hash of their keys, so that two sides of any size can be compared
//! partition by partition.
//!
//! Memory stays bounded whatever the size: each of [`PARTITIONS`] partitions gathers at most [`BLOCK`] bytes before they are
//! written to the side's one scratch file, and only where each block lies is kept of it (16 bytes for 32 KB). Small sides
//! never touch the disk. The file is made readable by nobody else and unlinked at once: what it holds is gone with the
//! process, whatever ends it. A partition that is too large to be held is split again by further bits of the hash
//! ([`Spill::split`]); one whose rows all have the same hash cannot be split, and is read row by row ([`Spill::each`]).
//!
//! The hash is keyed anew for each comparison: nobody can choose keys that fall into one partition. Called by `compare`
//! alone, from one thread while it fills; several may read.

use std::fs::{DirBuilder, File, Permissions};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, PermissionsExt as _};
use std::path::Path;

use super::codec;
use super::row::Row;

/// Partitions of a side.
pub(super) const PARTITIONS: usize = 128;
/// Parts of a partition that is split.
pub(super) const PARTS: usize = 16;
/// Bytes that a partition gathers in memory. A longer row is written by itself.
const BLOCK: usize = 32 << 10;
/// Hash and length of an entry, before the row's body.
const HEAD: usize = 12;

/// Rows of one side, or of one partition of it.
#[derive(Debug)]
pub(super) struct Spill<'a> {
    /// Where the file is made.
    scratch: &'a Path,
    file: Option<File>,
    /// Bytes in the file.
    written: u64,
    parts: Vec<Part>,
    /// The highest bits of a hash that tell nothing any more: all rows here agree on them.
    used: u32,
}

#[derive(Debug)]
struct Part {
    tail: Vec<u8>,
    /// Where the blocks before the tail are in the file: offset and length.
    blocks: Vec<(u64, u32)>,
    bytes: u64,
    rows: u64,
    /// The least and the greatest hash.
    hashes: (u64, u64),
}

impl Default for Part {
    fn default() -> Self {
        Self {
            tail: Vec::new(),
            blocks: Vec::new(),
            bytes: 0,
            rows: 0,
            hashes: (u64::MAX, 0),
        }
    }
}

/// One row as it lies in a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    /// The hash of its key.
    pub(super) hash: u64,
    /// Its bytes.
    pub(super) body: &'a [u8],
}

impl Entry<'_> {
    /// Bytes that it takes in a partition.
    pub(super) fn size(&self) -> usize {
        HEAD + self.body.len()
    }
}

impl<'a> Spill<'a> {
    /// An empty one for a whole side; its file is made in `scratch` when it is needed, and so is that folder.
    pub(super) fn new(scratch: &'a Path) -> Self {
        Self::of(scratch, PARTITIONS, 0)
    }

    fn of(scratch: &'a Path, parts: usize, used: u32) -> Self {
        Self {
            scratch,
            file: None,
            written: 0,
            parts: std::iter::repeat_with(Part::default).take(parts).collect(),
            used,
        }
    }

    /// How many partitions it has.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Sets a row aside.
    pub(super) fn push(&mut self, row: &Row, hasher: &RandomState) -> io::Result<()> {
        let hash = hasher.hash_one(row.key.as_str());
        let part = self.place(hash);
        let tail = &mut self.parts[part].tail;
        let start = tail.len();
        tail.extend_from_slice(&hash.to_le_bytes());
        tail.extend_from_slice(&[0; HEAD - 8]);
        codec::put(row, tail);
        let length = tail.len() - start - HEAD;
        let length = u32::try_from(length).map_err(|_| io::Error::other("a record of 4 GB"))?;
        tail[start + 8..start + HEAD].copy_from_slice(&length.to_le_bytes());
        self.added(part, hash, start)
    }

    fn copy(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let part = self.place(entry.hash);
        let tail = &mut self.parts[part].tail;
        let start = tail.len();
        tail.extend_from_slice(&entry.hash.to_le_bytes());
        tail.extend_from_slice(&(entry.body.len() as u32).to_le_bytes());
        tail.extend_from_slice(entry.body);
        self.added(part, entry.hash, start)
    }

    /// The partition of a hash: by its highest bits that are not used yet.
    fn place(&self, hash: u64) -> usize {
        let bits = self.parts.len().trailing_zeros();
        ((hash << self.used) >> (64 - bits)) as usize
    }

    fn added(&mut self, index: usize, hash: u64, start: usize) -> io::Result<()> {
        let part = &mut self.parts[index];
        part.rows += 1;
        part.bytes += (part.tail.len() - start) as u64;
        part.hashes = (part.hashes.0.min(hash), part.hashes.1.max(hash));
        if part.tail.len() < BLOCK {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(make(self.scratch)?),
        };
        file.write_all_at(&part.tail, self.written)?;
        let length = u32::try_from(part.tail.len()).map_err(io::Error::other)?;
        part.blocks.push((self.written, length));
        self.written += u64::from(length);
        part.tail.clear();
        // A giant among the rows must not be remembered by every partition that it ever met.
        part.tail.shrink_to(2 * BLOCK);
        Ok(())
    }

    /// Bytes of a partition.
    pub(super) fn bytes(&self, part: usize) -> u64 {
        self.parts[part].bytes
    }

    /// The least and the greatest hash of a partition; the least is greater where it is empty.
    pub(super) fn hashes(&self, part: usize) -> (u64, u64) {
        self.parts[part].hashes
    }

    /// Reads a whole partition behind what `into` holds, in the order in which its rows came.
    pub(super) fn load(&self, part: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let part = &self.parts[part];
        for block in &part.blocks {
            self.block(*block, into)?;
        }
        into.extend_from_slice(&part.tail);
        Ok(())
    }

    fn block(&self, (offset, length): (u64, u32), into: &mut Vec<u8>) -> io::Result<()> {
        let start = into.len();
        into.resize(start + length as usize, 0);
        let file = (self.file.as_ref()).ok_or_else(|| io::Error::other("no scratch file"))?;
        file.read_exact_at(&mut into[start..], offset)
    }

    /// Looks at every row of a partition, in the order in which they came, holding no more than a block.
    pub(super) fn each<E: From<io::Error>>(
        &self,
        part: usize,
        mut look: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let part = &self.parts[part];
        let mut held = Vec::new();
        for block in &part.blocks {
            held.clear();
            self.block(*block, &mut held)?;
            entries(&held).try_for_each(&mut look)?;
        }
        entries(&part.tail).try_for_each(look)
    }

    /// A partition, divided by further bits of the hash.
    pub(super) fn split(&self, part: usize) -> io::Result<Self> {
        let used = self.used + self.parts.len().trailing_zeros();
        let mut parts = Self::of(self.scratch, PARTS, used);
        self.each(part, |entry| parts.copy(entry))?;
        Ok(parts)
    }
}

/// The entries of some blocks, one after the other.
pub(super) fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let (hash, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = rest;
        Some(Entry {
            hash: u64::from_le_bytes(*hash),
            body,
        })
    })
}

/// The entry that begins at `at`.
pub(super) fn entry_at(bytes: &[u8], at: usize) -> Option<Entry<'_>> {
    entries(bytes.get(at..)?).next()
}

/// A file without a name, 0600, in a folder that nobody else may enter.
fn make(scratch: &Path) -> io::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(scratch)?;
    let file = tempfile::tempfile_in(scratch)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
