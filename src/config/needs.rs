//! What only shows when all paths are seen together: records that wait for each other in a circle, and needs that no path
//! ever fills. Called once, after the last path was read.

use std::collections::BTreeSet;

use super::model::Path;
use super::reader::Value;

/// What a path asks of the records it needs, with its place: for the checks across paths.
pub(super) struct Need<'a> {
    /// The receiving system.
    pub(super) system: String,
    /// The record type that is written.
    pub(super) target: String,
    /// The record type that is needed.
    pub(super) needed: String,
    /// Where that stands.
    pub(super) value: Value<'a>,
}

/// Names every circle once, in full, and each need that nobody fills.
pub(super) fn check(needs: &[Need<'_>], paths: &[Path]) {
    let mut named: BTreeSet<(&str, BTreeSet<&str>)> = BTreeSet::new();
    for need in needs {
        // Each circle is met once for each of its needs.
        if let Some(back) = way(needs, &need.system, &need.needed, &need.target)
            && named.insert((&need.system, back.iter().copied().collect()))
        {
            let circle: Vec<&str> = std::iter::once(need.target.as_str()).chain(back).collect();
            need.value.error(
                &format!(
                    "these wait for each other for ever: {}",
                    circle.join(" -> ")
                ),
                Some(
                    "take the need out of one of the paths, and join the records with `links`"
                        .to_owned(),
                ),
            );
        }
        let written = paths.iter().any(|path| {
            path.to == need.system
                && (path.mapping.as_ref()).is_some_and(|mapping| mapping.target == need.needed)
        });
        if !written {
            need.value.warning(
                &format!(
                    "no path writes {} to {}: what is not there already will be waited for in vain",
                    need.needed, need.system
                ),
                Some(format!(
                    "add a path to {}.{}, or let `midwatch adopt` learn their ids",
                    need.system, need.needed
                )),
            );
        }
    }
}

/// The needs that lead from one record type to another, both included.
fn way<'n>(needs: &'n [Need<'_>], system: &str, from: &'n str, to: &str) -> Option<Vec<&'n str>> {
    let mut ways = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = *way.last()?;
            if last == to {
                return Some(way);
            }
            let next = needs
                .iter()
                .filter(|need| need.system == system && need.target == last)
                .map(|need| need.needed.as_str());
            for kind in next {
                if seen.insert(kind) {
                    longer.push(way.iter().copied().chain([kind]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}
