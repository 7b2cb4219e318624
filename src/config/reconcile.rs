//! `[reconcile.NAME]`: what is checked on a schedule, and how much difference is too much.
//!
//! ```toml
//! [reconcile.orders]
//! sides = ["shop.order", "crm.order"]          # record maps with a `list`; the first is the reference
//! fields = ["total", "status"]                 # default: all that both maps have
//!
//! [reconcile.stock]                            # or two listings without record maps: they can only be reported on
//! first = { system = "shop", list = "/stock", key = "/sku", updated = "/changed_at" }
//! second = { system = "depot", list = "/items", items = "/data", key = "/sku" }
//! fields.count = "/count"                      # the same pointer on both sides
//! fields.price = { first = "/price", second = "/unit/price", compare = "money" }
//! ```

mod backlog;
mod limit;
mod money;
mod sides;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::model::{
    Check, Job, JobSide, Limit, Matching, Rails, Records, RepairMode, System, Thresholds, Timing,
};
use super::reader::Section;
use super::sections::Named;
use super::settings::runbook;
use super::values::{DAY, check_name};
use crate::cron::Cron;
use crate::record::ownership::Entity;

/// How a limit is written.
const LIMIT: &str = "a limit such as \"1%\", \"3 orders\" or \"3 orders or 500 NOK\"";

/// What jobs refer to.
pub(super) struct Surroundings<'a> {
    /// The systems.
    pub(super) systems: &'a Named<System>,
    /// The entities, by record type.
    pub(super) entities: &'a BTreeMap<String, Arc<Entity>>,
    /// The names of the paths.
    pub(super) paths: &'a [String],
    /// The folder that relative files start from.
    pub(super) base: &'a Path,
}

/// Every job, in file order.
pub(super) fn jobs(section: &Section<'_>, around: &Surroundings<'_>) -> Vec<Job> {
    section
        .entries()
        .into_iter()
        .filter_map(|(name, value)| {
            let named = check_name(&value, name);
            let one = value.section()?;
            job(&one, name, around).filter(|_| named)
        })
        .collect()
}

/// The ways of matching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preset {
    PaymentOrder,
    Backlog,
}

const PRESETS: &[(&str, Preset)] = &[
    ("payment-order", Preset::PaymentOrder),
    ("backlog", Preset::Backlog),
];

fn job(section: &Section<'_>, name: &str, around: &Surroundings<'_>) -> Option<Job> {
    let preset = match section.get("preset") {
        Some(value) => Some(value.word(PRESETS)?),
        None => None,
    };
    let check = match preset {
        Some(Preset::Backlog) => backlog::read(section, around.paths).map(Check::Backlog),
        other => records(section, other.is_some(), around).map(|one| Check::Records(Box::new(one))),
    };
    let timing = timing(section);
    let owner = section
        .get("owner")
        .and_then(|value| value.filled("who answers for it"));
    let runbook = section
        .get("runbook")
        .and_then(|value| runbook(&value, around.base));
    let missing: Vec<&str> = [("owner", owner.is_none()), ("runbook", runbook.is_none())]
        .into_iter()
        .filter_map(|(key, missing)| missing.then_some(key))
        .collect();
    if !missing.is_empty() {
        section.warning(
            &format!("no {}", missing.join(", no ")),
            Some("whoever finds the drift will need it".to_owned()),
        );
    }
    section.finish(&[]);
    Some(Job {
        name: name.to_owned(),
        check: check?,
        timing: timing?,
        owner: owner.unwrap_or_default().to_owned(),
        runbook,
    })
}

/// `every` or `cron`.
fn timing(section: &Section<'_>) -> Option<Timing> {
    let every = section.get("every");
    let Some(cron) = section.get("cron") else {
        let every = match every {
            Some(value) => value.duration(Duration::from_secs(1)..=DAY * 31),
            None => Some(DAY / 24),
        };
        return every.map(Timing::Every);
    };
    if every.is_some() {
        cron.error("a job has `every` or `cron`, not both", None);
        return None;
    }
    let text = cron.filled("five fields as in crontab, such as \"30 3 * * mon-fri\"")?;
    match Cron::parse(text) {
        Ok(cron) => Some(Timing::Cron(cron)),
        Err(error) => {
            cron.error(&error.to_string(), None);
            None
        }
    }
}

fn records(section: &Section<'_>, is_money: bool, around: &Surroundings<'_>) -> Option<Records> {
    let duration = |key, range, default| {
        section
            .get(key)
            .and_then(|value| value.duration(range))
            .unwrap_or(default)
    };
    let grace = duration("grace", Duration::ZERO..=DAY * 7, Duration::from_secs(600));
    let window = section
        .get("window")
        .and_then(|value| value.duration(Duration::from_secs(60)..=DAY * 366));
    let thresholds = thresholds(section);
    let sides = sides::read(section, around.systems);
    let entity = match (section.get("entity"), &sides) {
        (Some(value), _) => {
            value.reference("entity", around.entities.keys().map(String::as_str))?
        }
        // Of payments and orders it is the orders that are mended.
        (None, Some(sides)) => sides.maps[usize::from(is_money)].kind.clone(),
        (None, None) => String::new(),
    };
    let matching = if is_money {
        sides
            .as_ref()
            .and_then(|sides| money::read(section, &sides.maps))
            .map(|money| Matching::Money(Box::new(money)))
    } else {
        Some(Matching::Key)
    };
    let fields = match &sides {
        Some(sides) if !is_money => sides::fields(
            section,
            sides,
            around.entities.get(&entity).map(AsRef::as_ref),
        ),
        _ => Vec::new(),
    };
    let (repair, rails) = (repair(section), rails(section));
    let sides = sides?;
    if let Some(value) = section.get("repair")
        && repair != RepairMode::Report
        && !sides.maps.iter().all(|side| side.declared)
    {
        value.error(
            "listings without record maps can only be reported on",
            Some("name record maps: sides = [\"shop.order\", \"crm.order\"]".to_owned()),
        );
    }
    if repair != RepairMode::Report {
        let has_rules = is_money || around.entities.contains_key(&entity);
        unmended(section, &sides.maps, is_money, &rails, &entity, has_rules);
    }
    Some(Records {
        entity,
        sides: sides.maps,
        matching: matching?,
        fields,
        window,
        grace,
        thresholds,
        repair,
        rails,
    })
}

/// Warns of what a repair can never mend as it is configured.
fn unmended(
    section: &Section<'_>,
    sides: &[JobSide; 2],
    is_money: bool,
    rails: &Rails,
    entity: &str,
    has_rules: bool,
) {
    let mended = if is_money { &sides[1..] } else { &sides[..] };
    let names: Vec<String> = (mended.iter())
        .map(|side| format!("{}.{}", side.system, side.kind))
        .collect();
    if mended.iter().all(|side| side.map.update.is_none()) {
        section.warning(
            &format!(
                "no difference of a field can be mended: {} without `update`",
                names.join(" and ")
            ),
            Some("add one, or write repair = \"report\"".to_owned()),
        );
    } else if !has_rules {
        section.warning(
            &format!(
                "no difference of a field can be mended: nobody is said to own fields of {entity}"
            ),
            Some(format!("declare [entities.{entity}]")),
        );
    }
    if rails.deletes && mended.iter().all(|side| side.map.delete.is_none()) {
        section.warning(
            &format!(
                "nothing can be removed: {} without `delete`",
                names.join(" and ")
            ),
            Some("add one, or leave rails.deletes out".to_owned()),
        );
    }
}

fn repair(section: &Section<'_>) -> RepairMode {
    section
        .get("repair")
        .and_then(|value| value.word(RepairMode::WORDS))
        .unwrap_or_default()
}

/// `{ max = 20, stop_above = "2%", deletes = false, expires = "24h" }`.
fn rails(section: &Section<'_>) -> Rails {
    let table = section.section("rails");
    let rails = Rails {
        max: table
            .get("max")
            .and_then(|value| value.whole(1..=10_000))
            .unwrap_or(20),
        stop_above: table
            .get("stop_above")
            .and_then(|value| limit::read(&value, LIMIT))
            .unwrap_or(Limit {
                share: Some(0.1),
                ..Limit::default()
            }),
        deletes: table
            .get("deletes")
            .and_then(|value| value.boolean())
            .unwrap_or_default(),
        expires: table
            .get("expires")
            .and_then(|value| value.duration(Duration::from_secs(60)..=DAY * 7))
            .unwrap_or(DAY),
    };
    table.finish(&[]);
    rails
}

/// `{ warn = "1%", critical = "5%" }`.
fn thresholds(section: &Section<'_>) -> Thresholds {
    let table = section.section("drift");
    let limit = |key, share| {
        table
            .get(key)
            .and_then(|value| limit::read(&value, LIMIT))
            .unwrap_or(Limit {
                share: Some(share),
                ..Limit::default()
            })
    };
    let (warn, critical) = (limit("warn", 0.01), limit("critical", 0.05));
    table.finish(&[]);
    let percent = |limit: &Limit| limit.share.map(|share| format!("{}%", share * 100.0));
    let count = |limit: &Limit| limit.count.map(|count| count.to_string());
    let reversed = [
        (
            warn.share > critical.share,
            percent(&warn),
            percent(&critical),
        ),
        (warn.count > critical.count, count(&warn), count(&critical)),
    ];
    for (is_reversed, warn, critical) in reversed {
        if let (true, Some(warn), Some(critical)) = (is_reversed, warn, critical) {
            table.error(
                &format!("warns at {warn}, after it is critical at {critical}"),
                Some("`warn` must not be above `critical`".to_owned()),
            );
        }
    }
    Thresholds { warn, critical }
}
