//! What commands print: lines for people, JSON for programs, questions before actions.
//!
//! Must never let a byte from outside reach a terminal raw: people's lines are `Visible`, and in JSON whatever a
//! terminal could act on is written as an escape, which reads back as the same text.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::control::action::Preview;
use crate::time::{Timestamp, short};
use crate::visible::{Visible, is_hidden};

/// The standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output: {0}")]
pub struct Closed(std::io::Error);

impl Closed {
    /// Whoever read it has seen enough (`| head`): no failure.
    pub fn is_pipe(&self) -> bool {
        self.0.kind() == std::io::ErrorKind::BrokenPipe
    }
}

/// Prints bytes as they are: only what this binary itself made.
pub fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    (out.write_all(bytes).and_then(|()| out.flush())).map_err(Closed)?;
    Ok(())
}

/// Prints one line, or several; line breaks in it are kept, everything else is made `Visible`.
///
/// # Errors
/// The output is gone (a closed pipe): the command ends quietly.
pub fn say(text: &str) -> anyhow::Result<()> {
    raw(format!("{}\n", Visible::lines_of(text)).as_bytes())
}

/// Says something beside the output, on the standard error: the output stays what was asked for.
pub fn note(text: &str) -> anyhow::Result<()> {
    let mut err = std::io::stderr().lock();
    writeln!(err, "{}", Visible::lines_of(text))?;
    Ok(())
}

/// Prints one JSON value on one line.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    raw(format!("{}\n", harmless(&text)).as_bytes())
}

/// JSON text with everything that a terminal could hide or act on written as `\uXXXX`.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A list as aligned columns, the last one unpadded; cells are made `Visible`.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Visible>> = (rows.iter())
        .map(|row| row.iter().map(|cell| Visible::of(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            cells.map(Visible::width).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            line.push_str(cell.as_str());
            if at + 1 < row.len() {
                let gap = widths[at].saturating_sub(cell.width()) + 2;
                line.extend(std::iter::repeat_n(' ', gap));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// A preview as lines for people.
pub fn preview(preview: &Preview, now: Timestamp) -> String {
    let mut out = preview.scope.clone();
    if preview.count > 0 {
        let _ = write!(out, "\n  {} concerned", preview.count);
        if let Some(oldest) = preview.oldest {
            let _ = write!(
                out,
                ", the oldest accepted {} ago",
                short(now.since(oldest))
            );
        }
    }
    for note in &preview.notes {
        for line in note.lines() {
            let _ = write!(out, "\n  {line}");
        }
    }
    out
}

/// How a command was told to ask.
#[derive(Debug, Clone, clap::Args)]
pub struct Consent {
    /// Do it without asking.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Show what would be done, and stop.
    #[arg(long)]
    dry_run: bool,
}

impl Consent {
    /// As if said on the command line.
    pub fn given_by(yes: bool) -> Self {
        Self {
            yes,
            dry_run: false,
        }
    }

    /// Yes was said on the command line.
    pub fn is_given(&self) -> bool {
        self.yes && !self.dry_run
    }

    /// Only a preview is wanted.
    pub fn is_dry(&self) -> bool {
        self.dry_run
    }

    /// Asks on a terminal; without one, `--yes` must have been given.
    pub async fn given(&self, question: &str) -> anyhow::Result<bool> {
        if self.yes {
            return Ok(true);
        }
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            anyhow::bail!(
                "nothing was done: confirm with --yes where there is no terminal to ask on"
            );
        }
        ask(question).await
    }
}

/// Asks on the terminal; anything but yes is no.
pub async fn ask(question: &str) -> anyhow::Result<bool> {
    let question = Visible::of(question);
    let answer = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let mut err = std::io::stderr().lock();
        write!(err, "{question} [y/N] ")?;
        err.flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        Ok(line)
    })
    .await??;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(matches!(answer.as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_on_a_terminal_is_harmless_and_reads_back_the_same() {
        let text = "a\u{1b}[2J\u{9b}1m\u{202e}\u{e0041}\u{2028}é 漢";
        let mut safe = harmless(&serde_json::to_string(text).unwrap());
        assert!(!safe.chars().any(is_hidden), "{safe}");
        safe.push(' ');
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
    }

    #[test]
    fn a_table_aligns_by_cells_and_shows_what_hides() {
        let rows = [
            vec!["漢".to_owned(), "x\n".to_owned(), "end".to_owned()],
            vec!["abc".to_owned(), "y".to_owned(), "e\u{1b}".to_owned()],
        ];
        assert_eq!(table(&rows), "漢   x\\n  end\nabc  y    e\\x1b");
    }
}
