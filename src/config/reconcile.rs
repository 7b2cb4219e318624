//! `[reconcile.NAME]`: which two listings are compared, how, and how much difference is too much.
//!
//! ```toml
//! [reconcile.orders]
//! first = { system = "shop", list = "/orders", items = "", key = "/id", updated = "/updated_at" }
//! second = { system = "crm", list = "/deals", items = "/results", key = "/properties/order_id" }
//! fields.status = { first = "/status", second = "/properties/status", compare = "exact" }
//! fields.total = "/total"           # the same pointer on both sides
//! ```

use std::path::Path;
use std::time::Duration;

use super::model::{Compare, Job, JobField, JobSide, System};
use super::reader::{Section, Value};
use super::sections::Named;
use super::settings::runbook;
use super::values::{DAY, check_name};

/// Keys of a job that a later version brings.
const LATER: &[(&str, &str)] = &[
    ("preset", "presets"),
    (
        "sides",
        "sides named by record map (write `first` and `second`)",
    ),
    ("window", "windows"),
    ("repair", "repairs"),
    ("rails", "repairs"),
];

/// Every job, in file order.
pub(super) fn jobs(section: &Section<'_>, systems: &Named<System>, base: &Path) -> Vec<Job> {
    section
        .entries()
        .into_iter()
        .filter_map(|(name, value)| {
            let named = check_name(&value, name);
            let one = value.section()?;
            job(&one, name, systems, base).filter(|_| named)
        })
        .collect()
}

fn job(section: &Section<'_>, name: &str, systems: &Named<System>, base: &Path) -> Option<Job> {
    const SIDE: &str = "{ system = \"shop\", list = \"/orders\", items = \"\", key = \"/id\" }";
    let side_of = |key| {
        let value = section.require(key, SIDE)?;
        side(&value.section()?, systems)
    };
    let first = side_of("first");
    let second = side_of("second");
    let fields = section
        .get("fields")
        .and_then(|value| value.section())
        .map(|fields| {
            fields
                .entries()
                .iter()
                .filter_map(|(name, value)| field(name, value))
                .collect()
        })
        .unwrap_or_default();
    let duration = |key, range, default| {
        section
            .get(key)
            .and_then(|value| value.duration(range))
            .unwrap_or(default)
    };
    let every = duration("every", Duration::from_secs(1)..=DAY * 31, DAY / 24);
    let grace = duration("grace", Duration::ZERO..=DAY * 7, Duration::from_secs(600));
    let (warn, critical) = drift(section);
    let owner = section
        .get("owner")
        .and_then(|value| value.filled("who answers for it"));
    let runbook = section
        .get("runbook")
        .and_then(|value| runbook(&value, base));
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
    section.finish(LATER);
    Some(Job {
        name: name.to_owned(),
        sides: [first?, second?],
        fields,
        every,
        grace,
        warn,
        critical,
        owner: owner.unwrap_or_default().to_owned(),
        runbook,
    })
}

/// `{ warn = "1%", critical = "5%" }`.
fn drift(section: &Section<'_>) -> (f64, f64) {
    let table = section.section("drift");
    let fraction = |key, default| {
        table
            .get(key)
            .and_then(|value| value.fraction())
            .unwrap_or(default)
    };
    let warn = fraction("warn", 0.01);
    let critical = fraction("critical", 0.05);
    table.finish(&[]);
    if warn > critical {
        table.error(
            &format!(
                "warns at {}%, after it is critical at {}%",
                warn * 100.0,
                critical * 100.0
            ),
            Some("`warn` must not be above `critical`".to_owned()),
        );
    }
    (warn, critical)
}

fn side(section: &Section<'_>, systems: &Named<System>) -> Option<JobSide> {
    let system = section
        .require("system", "the name of a system")
        .and_then(|value| {
            let name = value.reference("system", systems.known())?;
            if systems
                .good
                .get(&name)
                .is_some_and(|system| system.url.is_none())
            {
                value.error(&format!("systems.{name} has no `url` to list from"), None);
                return None;
            }
            Some(name)
        });
    let list = section
        .require("list", "the listing's path such as \"/orders\"")
        .and_then(|value| value.path());
    let items = match section.get("items") {
        Some(value) => value.pointer(true),
        None => Some(String::new()),
    };
    let key = section
        .require(
            "key",
            "a JSON Pointer to the key in a record such as \"/id\"",
        )
        .and_then(|value| value.pointer(false));
    let updated = match section.get("updated") {
        Some(value) => value.pointer(false).map(Some),
        None => Some(None),
    };
    section.finish(&[]);
    Some(JobSide {
        system: system?,
        list: list?,
        items: items?,
        key: key?,
        updated: updated?,
    })
}

fn field(name: &str, value: &Value<'_>) -> Option<JobField> {
    if !value.is_table() {
        let at = value.pointer(false)?;
        return Some(JobField {
            name: name.to_owned(),
            at: [at.clone(), at],
            compare: Compare::Exact,
        });
    }
    let section = value.section()?;
    let pointer = |key| {
        section
            .require(key, "a JSON Pointer such as \"/status\"")
            .and_then(|value| value.pointer(false))
    };
    let first = pointer("first");
    let second = pointer("second");
    let compare = match section.get("compare") {
        Some(value) => value.word(Compare::WORDS),
        None => Some(Compare::Exact),
    };
    section.finish(&[("values", "tables of equivalent values")]);
    Some(JobField {
        name: name.to_owned(),
        at: [first?, second?],
        compare: compare?,
    })
}
