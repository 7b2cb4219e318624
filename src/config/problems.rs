//! What is wrong and doubtful in one file, with places. The reader's values report here; nothing is printed.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Severity};
use crate::visible::Visible;

/// Collects what is wrong and doubtful in one file.
pub(super) struct Problems<'a> {
    file: &'a Path,
    text: &'a str,
    /// The file is a preset, not the user's.
    pub(super) preset: bool,
    /// Byte offset at which each line begins.
    lines: Vec<usize>,
    found: RefCell<Vec<(usize, Diagnostic)>>,
}

impl<'a> Problems<'a> {
    /// None yet.
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file,
            text,
            preset: false,
            lines,
            found: RefCell::default(),
        }
    }

    /// None yet, in a preset; `file` is what it is called.
    pub(super) fn of_preset(file: &'a Path, text: &'a str) -> Self {
        Self {
            preset: true,
            ..Self::new(file, text)
        }
    }

    /// Adds an error at a byte offset.
    pub(super) fn error(
        &self,
        at: usize,
        key: &str,
        message: &str,
        expected: Option<&str>,
        suggestion: Option<String>,
    ) {
        self.add(Severity::Error, at, key, message, expected, suggestion);
    }

    /// Adds a warning at a byte offset.
    pub(super) fn warning(&self, at: usize, key: &str, message: &str, suggestion: Option<String>) {
        self.add(Severity::Warning, at, key, message, None, suggestion);
    }

    fn add(
        &self,
        severity: Severity,
        at: usize,
        key: &str,
        message: &str,
        expected: Option<&str>,
        suggestion: Option<String>,
    ) {
        let (line, column) = self.place(at);
        // Whatever was quoted on the way comes from the file, and goes to a terminal.
        let visible = |text: &str| Visible::of(text).into_string();
        let diagnostic = Diagnostic {
            severity,
            file: PathBuf::from(self.file),
            line,
            column,
            key: visible(key),
            message: visible(message),
            expected: expected.map(visible),
            suggestion: suggestion.map(|text| visible(&text)),
        };
        self.found.borrow_mut().push((at, diagnostic));
    }

    /// Adds an error in another file that this one names; it is told after those of this one. Line and column are 0 where
    /// the whole file is meant.
    pub(super) fn elsewhere(&self, file: &Path, place: (usize, usize), key: &str, message: &str) {
        let visible = |text: &str| Visible::of(text).into_string();
        let diagnostic = Diagnostic {
            line: place.0 as u32,
            column: place.1 as u32,
            key: visible(key),
            ..Diagnostic::of_file(file, visible(message))
        };
        self.found.borrow_mut().push((usize::MAX, diagnostic));
    }

    /// Line and column, both from 1, of a byte offset.
    fn place(&self, at: usize) -> (u32, u32) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines[line - 1];
        let column = self
            .text
            .get(start..at.min(self.text.len()))
            .map_or(0, |before| before.chars().count());
        (line as u32, column as u32 + 1)
    }

    /// Everything found, in file order.
    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()
    }
}
