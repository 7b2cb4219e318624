//! `midwatch runbook`: what to do, from the runbooks folder.

use serde::Serialize;

use super::context::Context;
use super::out;
use crate::config::model::Config;
use crate::runbook::{self, Finding, Runbook};
use crate::time::Clock;
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
    /// Finds what is wrong with runbooks before they are needed: those of the configuration, or of any folder of markdown.
    ///
    /// With --json one object a line: file, error, text. Exit code 1 if something must be mended.
    Check {
        /// A folder; none: the runbooks folder, and what paths and jobs name.
        folder: Option<std::path::PathBuf>,
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
    if let What::Check { folder, json } = &args.what {
        return check(folder.as_deref(), *json, context);
    }
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
    for file in named(&config) {
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
        What::Check { .. } => {}
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

/// The runbooks that paths and jobs name.
fn named(config: &Config) -> impl Iterator<Item = &std::path::PathBuf> {
    let of_paths = config.paths.iter().filter_map(|path| path.runbook.as_ref());
    let of_jobs = config
        .reconcile
        .iter()
        .filter_map(|job| job.runbook.as_ref());
    of_paths.chain(of_jobs)
}

/// What is wrong with the runbooks of a configuration: its folder's, and those that paths and jobs name.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let folder = config.base.join("runbooks");
    let mut files: Vec<std::path::PathBuf> = named(config).cloned().collect();
    if let Ok(listed) = runbook::list(&folder) {
        files.extend(listed.into_iter().map(|(file, _)| file));
    }
    files.sort();
    files.dedup();
    // One that is not there is told with the configuration.
    files.retain(|file| file.exists());
    judged(files, Some(config))
}

fn judged(files: Vec<std::path::PathBuf>, config: Option<&Config>) -> Vec<Finding> {
    let today = Clock::System.now().utc().date_naive();
    let mut all = Vec::new();
    for file in files {
        match runbook::load(&file) {
            Ok(book) => all.extend(runbook::check(&book, config, today)),
            Err(error) => all.push(Finding {
                file,
                error: true,
                text: error.to_string(),
            }),
        }
    }
    all
}

fn check(folder: Option<&std::path::Path>, json: bool, context: &Context) -> anyhow::Result<u8> {
    let (all, count) = if let Some(folder) = folder {
        let listed = runbook::list(folder).map_err(|error| {
            let name = Visible::of(&folder.to_string_lossy()).into_string();
            anyhow::anyhow!("cannot list {name}: {error}")
        })?;
        let files: Vec<_> = listed.into_iter().map(|(file, _)| file).collect();
        let count = files.len();
        (judged(files, None), count)
    } else {
        let config = context.config()?;
        let all = findings(&config);
        (all, named(&config).count())
    };
    for finding in &all {
        if json {
            out::json(finding)?;
        } else {
            out::say(&line(finding))?;
        }
    }
    let errors = all.iter().filter(|finding| finding.error).count();
    if !json {
        out::say(&match (errors, all.len()) {
            (0, 0) => format!("nothing is wrong with the runbooks ({count} looked at)"),
            (errors, all) => format!("{errors} must be mended, {} are worth a look", all - errors),
        })?;
    }
    Ok(if errors > 0 { super::FAILED } else { super::OK })
}

/// A finding in a line.
pub(super) fn line(finding: &Finding) -> String {
    let kind = if finding.error { "" } else { "warning: " };
    format!(
        "{}: {kind}{}",
        Visible::of(&finding.file.to_string_lossy()),
        Visible::of(&finding.text)
    )
}
