//! `midwatch runbook`: what to do, from the runbooks folder.

use serde::Serialize;

use super::context::Context;
use super::out;
use crate::runbook::{self, Runbook};
use crate::visible::Visible;

/// Lists the runbooks, or shows one.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists the runbooks of the folder and of the paths.
    ///
    /// With --json one object a line: name, title, file, paths.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Shows a runbook by its name, or by the name of a path.
    ///
    /// With --json one object: name, title, file, paths, text (markdown), warnings.
    Show {
        /// Name of a runbook or of a path.
        name: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Entry {
    name: String,
    title: String,
    file: String,
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Lists or shows.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let mut books: Vec<Runbook> = Vec::new();
    let folder = config.base.join("runbooks");
    if folder.is_dir() {
        books.extend(
            runbook::list(&folder)?
                .into_iter()
                .filter_map(|(_, book)| book.ok()),
        );
    }
    let elsewhere = (config.paths.iter())
        .filter_map(|path| path.runbook.as_ref())
        .chain(
            config
                .reconcile
                .iter()
                .filter_map(|job| job.runbook.as_ref()),
        );
    for file in elsewhere {
        if !books.iter().any(|book| book.file == *file) {
            books.push(runbook::load(file)?);
        }
    }
    let entry = |book: &Runbook| Entry {
        name: book.name(),
        title: book.title.clone(),
        file: book.file.to_string_lossy().into_owned(),
        paths: (config.paths.iter())
            .filter(|path| path.runbook.as_ref() == Some(&book.file))
            .map(|path| path.name.clone())
            .collect(),
        text: None,
        warnings: book.warnings.clone(),
    };
    match &args.what {
        What::List { json: true } => {
            for book in &books {
                out::json(&entry(book))?;
            }
        }
        What::List { json: false } => {
            if books.is_empty() {
                out::say(
                    "no runbooks: put markdown files into runbooks/ beside the configuration (`midwatch init` writes some)",
                )?;
                return Ok(super::OK);
            }
            let rows: Vec<Vec<String>> = (books.iter().map(entry))
                .map(|entry| vec![entry.name, entry.title, entry.paths.join(", ")])
                .collect();
            out::say(&out::table(&rows))?;
        }
        What::Show { name, json } => {
            let wanted = config.path(name).and_then(|path| path.runbook.as_ref());
            let stem = name.strip_suffix(".md").unwrap_or(name);
            let book = books
                .iter()
                .find(|book| {
                    wanted == Some(&book.file) || (wanted.is_none() && book.name() == stem)
                })
                .cloned()
                .or_else(|| runbook::shipped(name));
            let Some(book) = book else {
                if config.path(name).is_some() {
                    anyhow::bail!(
                        "the path {0} has no runbook: set `runbook` in [paths.{0}] to a file",
                        Visible::of(name)
                    );
                }
                anyhow::bail!(
                    "there is no runbook {}: `midwatch runbook list` shows them",
                    Visible::of(name)
                );
            };
            // One that came with midwatch has no file: its text is in the binary.
            let text = match std::fs::read(&book.file) {
                Ok(bytes) => Visible::lines_of_bytes(&bytes).into_string(),
                Err(_) => (runbook::SHIPPED.iter())
                    .find(|(file, _)| file.strip_suffix(".md") == Some(stem))
                    .map(|(_, text)| (*text).to_owned())
                    .unwrap_or_default(),
            };
            if *json {
                let mut entry = entry(&book);
                entry.text = Some(text);
                out::json(&entry)?;
            } else {
                out::say(text.trim_end())?;
            }
        }
    }
    Ok(super::OK)
}
