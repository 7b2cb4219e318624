//! Runbooks: markdown files with front matter, read into a model of blocks that the console and the CLI show.
//!
//! Reading is tolerant, because a runbook is opened when something else is already broken: what is not understood is
//! kept as text or as a warning, never dropped. It must not know a terminal, and its text is from outside: whoever shows
//! it makes it [`Visible`]. Called by the console, `midwatch runbook`, `check` and `init`.

mod blocks;
pub mod cell;
mod check;
mod front;
mod gate;
mod markdown;
mod steps;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use blocks::{Admonition, Block, Item, Span, text_of};
pub use check::{Finding, check};
pub use front::Front;
pub use gate::{Gate, Metric};
pub use steps::Step;

use crate::visible::Visible;

/// The largest runbook that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// The runbooks that come with midwatch: file name and text.
pub const SHIPPED: &[(&str, &str)] = &[
    (
        "auth-expired.md",
        include_str!("../../runbooks/auth-expired.md"),
    ),
    (
        "backlog-growing.md",
        include_str!("../../runbooks/backlog-growing.md"),
    ),
    (
        "contract-rejected.md",
        include_str!("../../runbooks/contract-rejected.md"),
    ),
    (
        "disk-filling.md",
        include_str!("../../runbooks/disk-filling.md"),
    ),
    (
        "drift-above-threshold.md",
        include_str!("../../runbooks/drift-above-threshold.md"),
    ),
    (
        "late-or-lost.md",
        include_str!("../../runbooks/late-or-lost.md"),
    ),
    (
        "payment-and-order-disagree.md",
        include_str!("../../runbooks/payment-and-order-disagree.md"),
    ),
    (
        "rate-limited.md",
        include_str!("../../runbooks/rate-limited.md"),
    ),
    (
        "receiver-down.md",
        include_str!("../../runbooks/receiver-down.md"),
    ),
    (
        "source-silent.md",
        include_str!("../../runbooks/source-silent.md"),
    ),
    (
        "worker-dead.md",
        include_str!("../../runbooks/worker-dead.md"),
    ),
];

/// One runbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Runbook {
    /// Where it was read from; a bare file name if it came with midwatch.
    pub file: PathBuf,
    /// What stands between the `---` lines.
    pub front: Front,
    /// The first heading of level 1, else the file's name without its ending.
    pub title: String,
    /// The body in order, the title's heading included.
    pub blocks: Vec<Block>,
    /// What was not understood, visible, one line each.
    pub warnings: Vec<String>,
}

/// A runbook cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum RunbookError {
    /// The file cannot be read.
    #[error("cannot read the runbook {}: {error}", Visible::of(&file.to_string_lossy()))]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file is larger than [`MAX_BYTES`].
    #[error("the runbook {} has {bytes} bytes; at most {MAX_BYTES} are read", Visible::of(&file.to_string_lossy()))]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// Reads the runbook `file`. Blocking: not on the console's task.
pub fn load(file: &Path) -> Result<Runbook, RunbookError> {
    let failed = |error| RunbookError::Read {
        file: file.to_owned(),
        error,
    };
    let bytes = fs::metadata(file).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        return Err(RunbookError::TooLarge {
            file: file.to_owned(),
            bytes,
        });
    }
    let bytes = fs::read(file).map_err(failed)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => parse(&text, file),
        Err(error) => {
            let mut runbook = parse(Visible::lines_of_bytes(error.as_bytes()).as_str(), file);
            runbook
                .warnings
                .push("some bytes are no UTF-8; they are shown as \\xNN".to_owned());
            runbook
        }
    })
}

/// Reads a runbook's `text`; `file` names it.
pub fn parse(text: &str, file: &Path) -> Runbook {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut warnings = Vec::new();
    let (front, body) = front::split(text, &mut warnings);
    let blocks = markdown::parse(body);
    let title = blocks
        .iter()
        .find_map(|block| match block {
            Block::Heading { level: 1, text } => Some(blocks::spans_text(text)),
            _ => None,
        })
        .filter(|title| !title.trim().is_empty())
        .unwrap_or_else(|| stem(file));
    Runbook {
        file: file.to_owned(),
        front,
        title,
        blocks,
        warnings,
    }
}

/// The runbook called `name` (with or without `.md`) that came with midwatch.
pub fn shipped(name: &str) -> Option<Runbook> {
    let name = name.strip_suffix(".md").unwrap_or(name);
    SHIPPED
        .iter()
        .find(|(file, _)| file.strip_suffix(".md") == Some(name))
        .map(|(file, text)| parse(text, Path::new(file)))
}

/// A file of the folder, and what reading it gave.
pub type Listed = (PathBuf, Result<Runbook, RunbookError>);

/// The runbooks (`*.md`) of `folder`, by file name. One that cannot be read is listed with its error. Blocking.
pub fn list(folder: &Path) -> io::Result<Vec<Listed>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("md"))
        {
            files.push(file);
        }
    }
    files.sort();
    Ok(files
        .into_iter()
        .map(|file| (file.clone(), load(&file)))
        .collect())
}

impl Runbook {
    /// Its name: the file's, without its ending.
    pub fn name(&self) -> String {
        stem(&self.file)
    }

    /// The headings in order: place among `blocks`, level from 1, text.
    pub fn outline(&self) -> Vec<(usize, u8, String)> {
        self.blocks
            .iter()
            .enumerate()
            .filter_map(|(place, block)| match block {
                Block::Heading { level, text } => Some((place, *level, blocks::spans_text(text))),
                _ => None,
            })
            .collect()
    }

    /// The places among `blocks` whose text contains `needle`, without regard to case. An empty needle is nowhere.
    pub fn find(&self, needle: &str) -> Vec<usize> {
        let needle = needle.to_lowercase();
        if needle.is_empty() {
            return Vec::new();
        }
        self.blocks
            .iter()
            .enumerate()
            .filter(|(_, block)| {
                text_of(std::slice::from_ref(block))
                    .to_lowercase()
                    .contains(&needle)
            })
            .map(|(place, _)| place)
            .collect()
    }
}

/// The name of a runbook's file: without folder and ending.
pub fn stem(file: &Path) -> String {
    file.file_stem().map_or_else(
        || "runbook".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests;
