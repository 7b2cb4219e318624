//! The text of `midwatch check`: the diagnostics, one a line, and a closing line that counts them.

use std::fmt::Write as _;

use super::diagnostic::{Diagnostic, Severity};

/// The diagnostics as text, one a line, then `2 errors, 1 warning`; empty if there are none.
pub fn render(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{diagnostic}");
    }
    if diagnostics.is_empty() {
        return text;
    }
    let errors = diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .count();
    let counts: Vec<String> = [(errors, "error"), (diagnostics.len() - errors, "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let _ = writeln!(text, "{}", counts.join(", "));
    text
}
