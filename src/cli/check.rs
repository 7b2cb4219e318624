//! `midwatch check`: everything that is wrong with the configuration, at once.

use serde::Serialize;

use super::context::Context;
use super::out;
use crate::config::Diagnostic;
use crate::config::diagnostic::Severity;

/// Reports everything that is wrong with the configuration, with file, line and key.
///
/// Says of each system with a preset what it takes from it. With --json one object a line: severity (error, warning), file,
/// line, column, key, message, expected, suggestion; then for each such system: system, preset, used, idle; then what is wrong
/// with the runbooks: file, error, text.
/// Exit code 1 if there is an error; warnings alone are 0.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    severity: &'static str,
    file: &'a std::path::Path,
    line: u32,
    column: u32,
    key: &'a str,
    message: &'a str,
    expected: Option<&'a str>,
    suggestion: Option<&'a str>,
}

/// Checks and reports.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let (diagnostics, uses, books, good) = match crate::config::load(&context.config_file()?) {
        Ok(loaded) => {
            let books = super::runbook::findings(&loaded.config);
            let good = !books.iter().any(|finding| finding.error);
            (loaded.warnings, loaded.uses, books, good)
        }
        Err(wrong) => (wrong, Vec::new(), Vec::new(), false),
    };
    if args.json {
        for diagnostic in &diagnostics {
            out::json(&shown(diagnostic))?;
        }
        for one in &uses {
            out::json(one)?;
        }
        for finding in &books {
            out::json(finding)?;
        }
    } else if diagnostics.is_empty() {
        out::say(
            "the configuration is good; `midwatch doctor` looks at its secrets and at this machine",
        )?;
    } else {
        out::say(crate::config::report::render(&diagnostics).trim_end())?;
    }
    if !args.json {
        uses.iter().try_for_each(|one| out::say(&one.lines()))?;
        for finding in &books {
            out::say(&super::runbook::line(finding))?;
        }
    }
    Ok(if good { super::OK } else { super::FAILED })
}

fn shown(diagnostic: &Diagnostic) -> Shown<'_> {
    Shown {
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        file: &diagnostic.file,
        line: diagnostic.line,
        column: diagnostic.column,
        key: &diagnostic.key,
        message: &diagnostic.message,
        expected: diagnostic.expected.as_deref(),
        suggestion: diagnostic.suggestion.as_deref(),
    }
}
