//! `midwatch.toml`: read, checked, and turned into [`model::Config`]. Errors point at file, line and key.
//!
//! Reading never stops at the first mistake: every error of a file is reported at once, because whoever repairs
//! it at night should have to run `midwatch check` twice, not twelve times. Nothing here opens a secret, a socket
//! or the database; the only I/O is reading the file and looking whether a runbook is there.
//! Called by the worker at start and reload, by the console, and by `midwatch check`.

use std::path::Path;

mod auth;
mod carry;
mod channels;
mod contracts;
pub mod diagnostic;
mod duty;
mod entities;
mod expression;
mod files;
mod hooks;
pub mod live;
mod mapping;
mod missed;
pub mod model;
mod needs;
mod owners;
mod paths;
pub mod presets;
mod problems;
mod reader;
pub mod recipes;
mod reconcile;
mod records;
mod repair;
pub mod report;
pub mod secret;
mod sections;
mod settings;
mod shapes;
pub mod starter;
mod suggest;
mod systems;
mod tolerance;
mod uses;
mod values;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Severity};
pub use uses::Use;

use model::Config;
use problems::Problems;
use reader::Section;

/// The largest configuration file that is read, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// A good configuration and what is doubtful about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What it would be better to change; in file order.
    pub warnings: Vec<Diagnostic>,
    /// What each system takes from its preset.
    pub uses: Vec<Use>,
}

/// Whether versions of contracts are held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    Yes,
    No,
}

/// Reads and checks a configuration file.
///
/// # Errors
/// Everything that is wrong with it, in file order; never empty.
pub fn load(file: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    load_with(file, Compared::Yes)
}

/// [`load`] for those who compare the versions of contracts themselves, and tell more of them.
///
/// # Errors
/// Everything else that is wrong with it, in file order; never empty.
pub fn load_uncompared(file: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    load_with(file, Compared::No)
}

fn load_with(file: &Path, compared: Compared) -> Result<Loaded, Vec<Diagnostic>> {
    let whole = |message: String, suggestion: Option<String>| {
        let mut diagnostic = Diagnostic::of_file(file, message);
        diagnostic.suggestion = suggestion;
        Err(vec![diagnostic])
    };
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return whole(
                "no such file".to_owned(),
                Some("`midwatch init` writes a commented one to start from".to_owned()),
            );
        }
        Err(error) => return whole(format!("cannot be read: {error}"), None),
        Ok(metadata) if metadata.is_dir() => {
            return whole(
                "is a folder, not a file".to_owned(),
                Some("name the midwatch.toml inside it".to_owned()),
            );
        }
        Ok(metadata) if metadata.len() > LARGEST_FILE => {
            return whole(
                format!("is {} bytes long; at most 1 MiB is read", metadata.len()),
                None,
            );
        }
        Ok(_) => {}
    }
    match std::fs::read(file) {
        Err(error) => whole(format!("cannot be read: {error}"), None),
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse_with(&text, file, presets::ALL, compared),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
                let problems = Problems::new(file, &text);
                problems.error(good, "", "not UTF-8 from here on", Some("UTF-8 text"), None);
                Err(problems.into_found())
            }
        },
    }
}

/// Checks the text of a configuration file. `file` is shown in messages and is where relative paths start from.
///
/// # Errors
/// Everything that is wrong with it, in file order; never empty.
pub fn parse(text: &str, file: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    parse_with(text, file, presets::ALL, Compared::Yes)
}

/// [`parse`] where these presets are known.
fn parse_with(
    text: &str,
    file: &Path,
    known: &'static [presets::Preset],
    compared: Compared,
) -> Result<Loaded, Vec<Diagnostic>> {
    // Editors of some systems write a byte order mark, which TOML does not know.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let problems = Problems::new(file, text);
    let (document, mistakes) = toml::de::DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        let span = mistake.span().unwrap_or(0..0);
        // Only a key is quoted: what else does not read may be a secret without its quotes.
        let key = text
            .get(span.clone())
            .filter(|_| mistake.message() == "duplicate key");
        let key = key.map(|key| format!(" {}", reader::quoted(key)));
        let message = format!(
            "this is not TOML: {}{}",
            mistake.message(),
            key.unwrap_or_default()
        );
        problems.error(span.start, "", &message, None, None);
    }
    if !mistakes.is_empty() {
        // What the parser recovered is a guess: complaints about it would only distract.
        return Err(problems.into_found());
    }
    let presets = presets::opened(document.get_ref(), known);
    let root = Section::root(&problems, document.get_ref());
    let (config, brought) = sections::config(&root, known, &presets, text, file, compared);
    let mut found = problems.into_found();
    found.extend(
        presets
            .into_iter()
            .flat_map(|preset| preset.problems.into_found()),
    );
    let errors: Vec<Diagnostic> = found
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .cloned()
        .collect();
    if errors.is_empty() {
        Ok(Loaded {
            uses: uses::uses(&brought, &config),
            config,
            warnings: found,
        })
    } else {
        Err(errors)
    }
}
