//! What is wrong with a runbook before it is needed: no owner, an unknown rule, action, number or path, a link that leads
//! nowhere, a review that is overdue. Reads the file system only to follow relative links.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::blocks::{Block, Item, Span, spans_text};
use super::cell::Cell;
use super::gate::Metric;
use super::{Runbook, load, shipped};
use crate::config::model::Config;
use crate::watch::Rule;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Which runbook.
    pub file: PathBuf,
    /// It must be mended; else it is only worth a look.
    pub error: bool,
    /// In words. May repeat the runbook's own: make it `Visible`.
    pub text: String,
}

/// What is wrong with `book`. Without a configuration (a folder of anybody's markdown) only its cells, links and dates are
/// judged.
pub fn check(book: &Runbook, config: Option<&Config>, today: NaiveDate) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut say = |error: bool, text: String| {
        all.push(Finding {
            file: book.file.clone(),
            error,
            text,
        });
    };
    for warning in &book.warnings {
        say(false, warning.clone());
    }
    let front = &book.front;
    if config.is_some() {
        if front.owner.is_none() {
            say(true, "no owner: who answers for it?".to_owned());
        }
        if front.escalation.is_none() {
            say(true, "no escalation: whom does one call?".to_owned());
        }
        for alert in &front.alerts {
            if !Rule::ALL.iter().any(|rule| rule.word() == alert) {
                say(true, format!("`{alert}` in alerts is no rule"));
            }
        }
    }
    if front.review_overdue(today) {
        say(
            false,
            "its review is overdue: read it, mend it, set last_reviewed".to_owned(),
        );
    }
    for step in book.steps() {
        for why in &step.wrong {
            say(true, format!("step \"{}\": {why}", step.title));
        }
        let Some(config) = config else { continue };
        for cell in &step.cells {
            for (key, value) in named(cell) {
                if value.contains('{') {
                    continue;
                }
                let known = match key {
                    "path" => config.path(value).is_some(),
                    "system" => config.systems.contains_key(value),
                    "job" => config.reconcile.iter().any(|job| job.name == value),
                    _ => true,
                };
                if !known {
                    say(
                        true,
                        format!("step \"{}\": there is no {key} {value}", step.title),
                    );
                }
            }
        }
    }
    let mut links = Vec::new();
    links_of(&book.blocks, &mut links);
    for link in links {
        if let Some(why) = broken(book, &link) {
            say(true, why);
        }
    }
    all
}

/// What a cell names of the configuration.
fn named(cell: &Cell) -> Vec<(&str, &str)> {
    match cell {
        Cell::Action { parameters, .. } => (parameters.iter())
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect(),
        Cell::Gate(gate) => {
            let key = match gate.metric {
                Metric::Drift => "job",
                _ => "path",
            };
            vec![(key, gate.subject.as_str())]
        }
        Cell::Shell { .. } => Vec::new(),
    }
}

fn links_of(blocks: &[Block], links: &mut Vec<String>) {
    let mut spans =
        |spans: &[Span]| links.extend(spans.iter().filter_map(|span| span.link.clone()));
    for block in blocks {
        match block {
            Block::Heading { text, .. } | Block::Paragraph(text) => spans(text),
            Block::Table { head, rows } => {
                let cells = std::iter::once(head).chain(rows).flatten();
                cells.for_each(|cell| spans(cell));
            }
            _ => {}
        }
    }
    for block in blocks {
        match block {
            Block::List { items, .. } => {
                for Item { blocks, .. } in items {
                    links_of(blocks, links);
                }
            }
            Block::Quote(blocks) | Block::Admonition { blocks, .. } => links_of(blocks, links),
            _ => {}
        }
    }
}

/// Why a link leads nowhere; only relative ones are followed.
fn broken(book: &Runbook, link: &str) -> Option<String> {
    let scheme = link.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
    });
    if scheme || link.starts_with('/') || link.is_empty() {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let file = file
        .split('?')
        .next()
        .unwrap_or_default()
        .replace("%20", " ");
    let target = if file.is_empty() {
        None
    } else {
        let folder = book.file.parent().unwrap_or(Path::new(""));
        let path = folder.join(&file);
        let is_shipped = folder.as_os_str().is_empty() || !book.file.exists();
        if is_shipped {
            if shipped(&file).is_none() {
                return Some(format!("the link {link} leads nowhere"));
            }
        } else if !path.exists() {
            return Some(format!(
                "the link {link} leads nowhere: there is no file {}",
                path.display()
            ));
        }
        Some((path, is_shipped))
    };
    if anchor.is_empty() {
        return None;
    }
    let other = match &target {
        None => None,
        Some((_, true)) => shipped(&file),
        Some((path, false)) => {
            let is_markdown = path
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("md"));
            if !is_markdown {
                return None;
            }
            load(path).ok()
        }
    };
    let anchors = anchors(other.as_ref().unwrap_or(book));
    (!anchors.contains(anchor)).then(|| format!("the link {link} leads to no heading"))
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(book: &Runbook) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for block in &book.blocks {
        let Block::Heading { text, .. } = block else {
            continue;
        };
        let slug: String = spans_text(text)
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect();
        let mut name = slug.clone();
        let mut n = 0;
        while !all.insert(name.clone()) {
            n += 1;
            name = format!("{slug}-{n}");
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture::config;

    fn found(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.md");
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("other.md"), "# A head, with: signs\n").unwrap();
        let today = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
        let found = check(&load(&file).unwrap(), Some(&config()), today);
        found.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn what_will_not_work_at_night_is_found_by_day() {
        let head = "---\nowner: a\nescalation: b\nalerts: [path_failing]\nlast_reviewed: 2026-11-01\nreview_every: 90d\n---\n# T\n";
        for (text, why) in [
            ("# T\n", "no owner: who answers for it?"),
            (
                &head.replace("path_failing", "path_failed"),
                "`path_failed` in alerts is no rule",
            ),
            (
                &head.replace("2026-11-01", "2026-01-01"),
                "its review is overdue: read it, mend it, set last_reviewed",
            ),
            (
                &format!("{head}- [ ] x\n\n  ```midwatch {{action=\"fly\"}}\n  ```\n"),
                "step \"x\": `fly` is no action",
            ),
            (
                &format!("{head}```midwatch {{action=\"pause\" path=\"crmm\"}}\n```\n"),
                "there is no path crmm",
            ),
            (
                &format!("{head}```midwatch {{verify=\"drift(none) < 1%\"}}\n```\n"),
                "there is no job none",
            ),
            (
                &format!("{head}[x](gone.md)\n"),
                "the link gone.md leads nowhere",
            ),
            (
                &format!("{head}> 1. [x](other.md#a-tail)\n"),
                "the link other.md#a-tail leads to no heading",
            ),
            (
                &format!("{head}[x](#nothing)\n"),
                "the link #nothing leads to no heading",
            ),
        ] {
            let found = found(text);
            assert!(
                found.iter().any(|found| found.contains(why)),
                "{why}: {found:?}"
            );
        }
        let good = format!(
            "{head}[x](other.md#a-head-with-signs) [y](https://x.example/a#b) [z](#t)\n\n```midwatch {{action=\"pause\" path=\"crm\"}}\n```\n"
        );
        assert_eq!(found(&good), Vec::<String>::new());
    }

    #[test]
    fn the_shipped_ones_have_nothing_wrong() {
        let today = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
        for (file, text) in super::super::SHIPPED {
            let book = super::super::parse(text, Path::new(file));
            assert_eq!(check(&book, Some(&config()), today), Vec::new(), "{file}");
        }
    }
}
