//! A runbook as steps that are walked one after the other. Pure.
//!
//! A step is an item of a task list with all that stands in it, or a cell that does something and stands by itself.

use super::Runbook;
use super::blocks::{Block, Item, plain_of, spans_text};
use super::cell::{self, Cell};

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The heading that it stands below.
    pub section: String,
    /// Its first line.
    pub title: String,
    /// Everything that it says.
    pub text: String,
    /// What it does, in order.
    pub cells: Vec<Cell>,
    /// Cells that cannot be read, in words.
    pub wrong: Vec<String>,
    /// The place of its top-level block in the runbook.
    pub place: usize,
}

impl Runbook {
    /// Its steps, in order.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut section = String::new();
        for (place, block) in self.blocks.iter().enumerate() {
            match block {
                Block::Heading { text, .. } => section = spans_text(text),
                block => walk(block, &section, place, &mut steps),
            }
        }
        steps
    }
}

fn walk(block: &Block, section: &str, place: usize, steps: &mut Vec<Step>) {
    match block {
        Block::List { items, .. } => {
            for item in items {
                if item.task.is_some() {
                    steps.push(task(item, section, place));
                } else {
                    for block in &item.blocks {
                        walk(block, section, place, steps);
                    }
                }
            }
        }
        Block::Quote(blocks) | Block::Admonition { blocks, .. } => {
            for block in blocks {
                walk(block, section, place, steps);
            }
        }
        Block::Code { info, text } => {
            let mut step = Step {
                section: section.to_owned(),
                title: String::new(),
                text: text.clone(),
                cells: Vec::new(),
                wrong: Vec::new(),
                place,
            };
            take(info, text, &mut step);
            // Shell that no task names is an example to read.
            let is_shell = matches!(step.cells.first(), Some(Cell::Shell { .. }));
            if (step.cells.is_empty() && step.wrong.is_empty()) || is_shell {
                return;
            }
            step.title = match step.cells.first() {
                Some(Cell::Action { verb, .. }) => verb.word().to_owned(),
                Some(Cell::Gate(gate)) => format!("wait until {gate}"),
                _ => info.clone(),
            };
            steps.push(step);
        }
        Block::Heading { .. }
        | Block::Paragraph(_)
        | Block::Table { .. }
        | Block::Rule
        | Block::Html(_) => {}
    }
}

fn task(item: &Item, section: &str, place: usize) -> Step {
    let text = plain_of(&item.blocks);
    let title = text.lines().next().unwrap_or_default().trim().to_owned();
    let mut step = Step {
        section: section.to_owned(),
        title,
        text,
        cells: Vec::new(),
        wrong: Vec::new(),
        place,
    };
    inside(&item.blocks, &mut step);
    step
}

fn inside(blocks: &[Block], step: &mut Step) {
    for block in blocks {
        match block {
            Block::Code { info, text } => take(info, text, step),
            Block::List { items, .. } => {
                for item in items {
                    inside(&item.blocks, step);
                }
            }
            Block::Quote(blocks) | Block::Admonition { blocks, .. } => inside(blocks, step),
            _ => {}
        }
    }
}

fn take(info: &str, text: &str, step: &mut Step) {
    match cell::read(info, text) {
        Some(Ok(cell)) => step.cells.push(cell),
        Some(Err(why)) => step.wrong.push(why),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn tasks_and_cells_are_steps_and_what_stands_in_a_task_is_its() {
        let text = "# T\n\nread this\n\n## Diagnosis\n\n1. [ ] Look at **it**.\n\n   ```sh\n   df -h\n   ```\n2. [ ] Then\n   - [ ] inner\n\n## Mitigation\n\n```midwatch {action=\"resume\"}\n```\n\n```midwatch {verify=\"backlog({path}) < 10\"}\n```\n\n```sh\nonly to read\n```\n\n```midwatch {action=\"fly\"}\n```\n";
        let steps = super::super::parse(text, Path::new("t.md")).steps();
        let told: Vec<(&str, &str, usize, usize)> = steps
            .iter()
            .map(|step| {
                (
                    step.section.as_str(),
                    step.title.as_str(),
                    step.cells.len(),
                    step.wrong.len(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("Diagnosis", "Look at it.", 1, 0),
                ("Diagnosis", "Then", 0, 0),
                ("Mitigation", "resume", 1, 0),
                ("Mitigation", "wait until backlog({path}) < 10", 1, 0),
                ("Mitigation", "midwatch {action=\"fly\"}", 0, 1),
            ]
        );
    }

    #[test]
    fn every_shipped_runbook_can_be_walked() {
        for (file, text) in super::super::SHIPPED {
            let book = super::super::parse(text, Path::new(file));
            let steps = book.steps();
            assert!(steps.len() >= 3, "{file} has {} steps", steps.len());
            let acts = steps.iter().any(|step| !step.cells.is_empty());
            assert!(acts, "{file} does nothing");
            for step in steps {
                assert!(step.wrong.is_empty(), "{file}: {:?}", step.wrong);
            }
        }
    }
}
