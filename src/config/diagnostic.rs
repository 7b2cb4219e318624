//! One thing that is wrong or doubtful in a configuration file, said so that a tired reader can repair it.
//!
//! Never carries a secret's text: what was found at a secret's place is described, not quoted.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::visible::Visible;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken; the reader should know.
    Warning,
}

/// One error or warning. Shown as `FILE:LINE:COLUMN: KEY: what is wrong; expected ...; did you mean ...?`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: u32,
    /// The key's path (`paths.deals.timeout`); empty for the whole file and for syntax errors.
    pub key: String,
    /// What is wrong, and what was found.
    pub message: String,
    /// What may stand there.
    pub expected: Option<String>,
    /// What to do about it.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// An error about a file as a whole.
    pub fn of_file(file: &Path, message: String) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            message,
            expected: None,
            suggestion: None,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", Visible::of(&self.file.to_string_lossy()))?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if self.severity == Severity::Warning {
            f.write_str(" warning:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        Ok(())
    }
}
