//! Adopting what two systems hold already: which sides, and what is known of the work.

use super::super::action::{Preview, Refused};
use super::preview::plain;
use super::{Actions, refused};
use crate::config::model::Config;

impl Actions {
    /// What an adoption would read and keep.
    pub(super) fn preview_adopt(
        &self,
        kind: &str,
        given: &[String],
        dry_run: bool,
    ) -> Result<Preview, Refused> {
        let config = self.inner.live.borrow().config.clone();
        let [from, to] = sides(&config, kind, given)?;
        let mut preview = plain(format!(
            "read every {kind} that {from} and {to} hold, and {}",
            if dry_run {
                "compare them; nothing is kept"
            } else {
                "keep the ids and agreed values of those that match"
            }
        ));
        preview.notes = vec![
            "nothing is written in either system".to_owned(),
            "it may be stopped and begun again: it goes on where it was".to_owned(),
        ];
        Ok(preview)
    }
}

/// The two sides: as given, else those of the one pair of systems that the paths carry the type between.
pub(super) fn sides(config: &Config, kind: &str, given: &[String]) -> Result<[String; 2], Refused> {
    let [from, to] = match given {
        [from, to] => [from.clone(), to.clone()],
        [] => from_paths(config, kind)?,
        _ => return Err(refused("an adoption has two sides: --from and --to")),
    };
    if from == to {
        return Err(refused("the two sides are the same system"));
    }
    for name in [&from, &to] {
        let system = config.systems.get(name);
        let system = system.ok_or_else(|| {
            let names = config.systems.keys().map(String::as_str);
            (super::check::known("system", name, names).err())
                .unwrap_or_else(|| refused("the system is not configured"))
        })?;
        let map = system.records.get(kind).ok_or_else(|| {
            let names = system.records.keys().map(String::as_str);
            (super::check::known(&format!("record type of {name}"), kind, names).err())
                .unwrap_or_else(|| refused("the record type is not configured"))
        })?;
        if map.list.is_none() {
            return Err(refused(format!(
                "the records of type {kind} in {name} cannot be listed: give systems.{name}.records.{kind}.list"
            )));
        }
    }
    Ok([from, to])
}

fn from_paths(config: &Config, kind: &str) -> Result<[String; 2], Refused> {
    let mut pairs: Vec<[String; 2]> = (config.paths.iter())
        .filter(|path| {
            (path.mapping.as_ref())
                .is_some_and(|mapping| mapping.source == kind && mapping.target == kind)
        })
        .map(|path| [path.from.clone(), path.to.clone()])
        .collect();
    pairs.sort();
    pairs.dedup();
    match &pairs[..] {
        [pair] => Ok(pair.clone()),
        [] => Err(refused(format!(
            "no path carries records of type {} from one system to another: say which with --from and --to",
            crate::visible::line(kind, 60)
        ))),
        _ => {
            let words: Vec<String> = (pairs.iter())
                .map(|[from, to]| format!("--from {from} --to {to}"))
                .collect();
            Err(refused(format!(
                "several pairs of systems share records of type {kind}, say which: {}",
                words.join(", or ")
            )))
        }
    }
}
