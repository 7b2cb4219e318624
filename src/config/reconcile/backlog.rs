//! The preset `backlog`: how much unfinished and failed work is too much.
//!
//! ```toml
//! [reconcile.queue]
//! preset = "backlog"
//! paths = ["deals", "paid"]                          # default: all
//! dead = { warn = 1, critical = 20 }
//! due = { warn = 100, critical = 1000 }
//! oldest_dead = { warn = "4h", critical = "3d" }
//! replayed = { warn = "95%", critical = "80%" }      # of what was replayed within `window`, so much was delivered
//! ```

use std::time::Duration;

use super::super::model::Backlog;
use super::super::reader::{Section, Value};
use super::super::values::{DAY, check_reference};

/// Reads it.
pub(super) fn read(section: &Section<'_>, paths: &[String]) -> Option<Backlog> {
    let named = match section.get("paths") {
        Some(value) => value
            .texts("a list of paths")?
            .into_iter()
            .filter(|(at, name)| {
                check_reference(at, "path", name, paths.iter().map(String::as_str))
            })
            .map(|(_, name)| name.to_owned())
            .collect(),
        None => Vec::new(),
    };
    let most = 1..=u64::from(u32::MAX);
    let ages = Duration::from_secs(60)..=DAY * 366;
    let backlog = Backlog {
        paths: named,
        window: section
            .get("window")
            .and_then(|value| value.duration(Duration::from_secs(60)..=DAY * 31))
            .unwrap_or(DAY),
        dead: pair(section, "dead", false, |value| value.whole(most.clone())),
        due: pair(section, "due", false, |value| value.whole(most.clone())),
        oldest_dead: pair(section, "oldest_dead", false, |value| {
            value.duration(ages.clone())
        }),
        replayed: pair(section, "replayed", true, Value::fraction),
    };
    if [
        backlog.dead.is_some(),
        backlog.due.is_some(),
        backlog.oldest_dead.is_some(),
        backlog.replayed.is_some(),
    ] == [false; 4]
    {
        section.error(
            "it watches nothing",
            Some(
                "add dead = { warn = 1, critical = 20 }, `due`, `oldest_dead` or `replayed`"
                    .to_owned(),
            ),
        );
    }
    Some(backlog)
}

/// `{ warn = …, critical = … }`; `falls`: the less, the worse.
fn pair<'v, T: PartialOrd>(
    section: &Section<'v>,
    key: &'static str,
    falls: bool,
    read: impl Fn(&Value<'v>) -> Option<T>,
) -> Option<(T, T)> {
    const EXPECTED: &str = "a limit, beside the other one";
    let table = section.get(key)?.section()?;
    let (warn, critical) = (
        table
            .require("warn", EXPECTED)
            .and_then(|value| read(&value)),
        table
            .require("critical", EXPECTED)
            .and_then(|value| read(&value)),
    );
    table.finish(&[]);
    let (warn, critical) = (warn?, critical?);
    let is_reversed = if falls {
        warn < critical
    } else {
        warn > critical
    };
    if is_reversed {
        table.error("it is critical before it warns", None);
    }
    Some((warn, critical))
}
