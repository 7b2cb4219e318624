//! From the version of an event to one that its path reads, by the shortest chain of casts, each result held to its own
//! version. Pure. The dispatcher asks before it renders or maps, as do trials and previews of replays.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;

use super::version::{contract_of, named};
use super::{Cast, Contract, ContractVersion, Fault, data};
use crate::config::model::{Config, Path};
use crate::event::Event;
use crate::event::expr::{Engine, Place, Scope};

/// The longest chain of casts: beyond it a cast of its own is due.
const LONGEST_CHAIN: usize = 8;

/// Why a path cannot read an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// In words, without any of the event's values.
    pub reason: String,
    /// What the result of a cast has against its version.
    pub faults: Vec<Fault>,
}

impl Unreadable {
    fn new(reason: String) -> Self {
        Self {
            reason,
            faults: Vec::new(),
        }
    }
}

/// The event in a version that the path reads: as it is, or cast. What no contract speaks of is read as it comes, as is
/// everything on a path that does not say what it reads.
///
/// # Errors
/// No cast leads there, or one fails, or what it makes breaks the version that it should have.
pub fn readable<'e>(
    config: &Config,
    path: &Path,
    event: &'e Event,
    engine: &Engine,
) -> Result<Cow<'e, Event>, Unreadable> {
    let contract = contract_of(&config.contracts, event);
    let Some(contract) = contract.filter(|_| !path.reads.is_empty()) else {
        return Ok(Cow::Borrowed(event));
    };
    let version = named(contract, event).map_err(|refusal| Unreadable::new(refusal.reason))?;
    if path.reads.contains(&version.name) {
        return Ok(Cow::Borrowed(event));
    }
    let wanted = (contract.versions.iter().rev())
        .filter(|version| path.reads.contains(&version.name))
        .find_map(|target| contract.chain(&version.name, &target.name));
    let Some(chain) = wanted else {
        return Err(Unreadable::new(format!(
            "{} {} cannot be read: the path reads {} and no cast leads there",
            contract.kind,
            version.name,
            path.reads.join(", ")
        )));
    };
    let mut cast = Cow::Borrowed(event);
    for step in chain {
        cast = Cow::Owned(apply(contract, step, &cast, engine)?);
    }
    Ok(cast)
}

impl Contract {
    /// The shortest chain of casts from a version to another, in order; empty if they are the same, none if nothing leads
    /// there.
    pub fn chain(&self, from: &str, to: &str) -> Option<Vec<&Cast>> {
        let mut seen = vec![from];
        let mut waiting: VecDeque<(&str, Vec<&Cast>)> = VecDeque::from([(from, Vec::new())]);
        while let Some((at, chain)) = waiting.pop_front() {
            if at == to {
                return Some(chain);
            }
            if chain.len() == LONGEST_CHAIN {
                continue;
            }
            for cast in self.casts.iter().filter(|cast| cast.from == at) {
                if !seen.contains(&cast.to.as_str()) {
                    seen.push(&cast.to);
                    let longer = chain.iter().copied().chain([cast]).collect();
                    waiting.push_back((&cast.to, longer));
                }
            }
        }
        None
    }
}

/// One step: renders, reads and validates. Everything of the event but its data and version stays.
fn apply(
    contract: &Contract,
    cast: &Cast,
    event: &Event,
    engine: &Engine,
) -> Result<Event, Unreadable> {
    let name = format!(
        "the cast of {} from {} to {}",
        contract.kind, cast.from, cast.to
    );
    let text = engine
        .render_at(Place::Json, &cast.template, &Scope::event(event))
        .map_err(|error| Unreadable::new(format!("{name} fails: {error}")))?;
    let target: Option<&ContractVersion> = contract.version(&cast.to);
    let faults = match data::read(text.as_bytes()) {
        Ok(value) => target.map_or_else(Vec::new, |target| target.schema.faults(&value)),
        Err(fault) => vec![fault],
    };
    if !faults.is_empty() {
        let places: Vec<String> = faults.iter().take(3).map(Fault::place).collect();
        return Err(Unreadable {
            reason: format!(
                "{name} makes what breaks {}: {}",
                cast.to,
                places.join(", ")
            ),
            faults,
        });
    }
    Ok(Event {
        data: Bytes::from(text),
        schema_version: Some(cast.to.clone()),
        ..event.clone()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::testing::contract;
    use super::*;
    use crate::event::testing::{config, event};

    const ANY: &str = "{}";
    const TEXT: &str = r#"{"required":["total"],"properties":{"total":{"type":"string"}}}"#;

    fn setting(versions: &[(&str, &str)], casts: &[(&str, &str, &str)]) -> Config {
        let contract = contract("order.updated", versions, casts);
        Config {
            contracts: BTreeMap::from([(contract.kind.clone(), contract)]),
            ..config()
        }
    }

    fn read(
        config: &Config,
        reads: &[&str],
        version: &str,
        data: &str,
    ) -> Result<(String, String), String> {
        let path = Path {
            reads: reads.iter().map(|&name| name.to_owned()).collect(),
            ..crate::queue::testing::path("crm")
        };
        let mut event = event("order.updated", data);
        event.schema_version = Some(version.to_owned());
        readable(config, &path, &event, &Engine::new())
            .map(|event| {
                let text = String::from_utf8(event.data.to_vec()).expect("text");
                (event.schema_version.clone().unwrap_or_default(), text)
            })
            .map_err(|error| format!("{error} {}", error.faults.len()))
    }

    #[test]
    fn an_event_is_cast_by_the_shortest_chain_to_the_newest_version_that_is_read() {
        let config = setting(
            &[("1", ANY), ("2", ANY), ("3", TEXT), ("4", ANY)],
            &[
                ("1", "2", r#"{"v":2,"total":{{ data.amount | tojson }}}"#),
                ("2", "3", r#"{"v":3,"total":"{{ data.total }}"}"#),
                ("1", "3", r#"{"v":3,"total":"{{ data.amount }}"}"#),
                ("3", "2", r#"{"v":2}"#),
            ],
        );
        let one = r#"{"amount": 12.10}"#;
        for (reads, version, expected) in [
            (&[][..], "1", Ok(("1", one))),
            (&["1", "3"], "1", Ok(("1", one))),
            (&["2"], "1", Ok(("2", r#"{"v":2,"total":12.10}"#))),
            (&["2", "3"], "1", Ok(("3", r#"{"v":3,"total":"12.10"}"#))),
            // Nothing leads to 4: the newest that something leads to.
            (&["4", "3"], "1", Ok(("3", r#"{"v":3,"total":"12.10"}"#))),
            (
                &["4"],
                "1",
                Err("order.updated 1 cannot be read: the path reads 4 and no cast leads there 0"),
            ),
            (
                &["4"],
                "9",
                Err("names version 9 of order.updated; known are 1, 2, 3, 4 0"),
            ),
        ] {
            let expected = expected
                .map(|(version, text)| (version.to_owned(), text.to_owned()))
                .map_err(str::to_owned);
            assert_eq!(
                read(&config, reads, version, one),
                expected,
                "{reads:?} {version}"
            );
        }
    }

    #[test]
    fn a_chain_takes_every_step_and_ends() {
        let chain: Vec<(String, String)> = (1..12)
            .map(|n| (n.to_string(), (n + 1).to_string()))
            .collect();
        let casts: Vec<(&str, &str, &str)> = chain
            .iter()
            .map(|(from, to)| (from.as_str(), to.as_str(), r#"{"n":{{ data.n + 1 }}}"#))
            .chain([("3", "1", "{}")])
            .collect();
        let names: Vec<String> = (1..13).map(|n| n.to_string()).collect();
        let versions: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), ANY)).collect();
        let config = setting(&versions, &casts);
        let made = read(&config, &["9"], "1", r#"{"n":0}"#).expect("eight steps");
        assert_eq!(made, ("9".to_owned(), r#"{"n":8}"#.to_owned()));
        assert!(
            read(&config, &["10"], "1", r#"{"n":0}"#).is_err(),
            "nine steps"
        );
    }

    #[test]
    fn a_cast_that_fails_or_breaks_its_target_is_told() {
        for (template, words) in [
            (
                "{{ data.amount }",
                "the cast of order.updated from 1 to 2 fails",
            ),
            ("{{ data.gone }}", "`data.gone` is undefined"),
            (r#"{"total":1}"#, "makes what breaks 2: /total type 1"),
            ("{}", "makes what breaks 2: /total required 1"),
            ("not json", "makes what breaks 2: json 1"),
        ] {
            let config = setting(&[("1", ANY), ("2", TEXT)], &[("1", "2", template)]);
            let error = read(&config, &["2"], "1", "{}").expect_err(template);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn other_types_are_read_as_they_come() {
        let config = setting(&[("1", ANY)], &[]);
        let path = Path {
            reads: vec!["9".to_owned()],
            ..crate::queue::testing::path("crm")
        };
        let event = event("order.paid", "<xml/>");
        assert!(matches!(
            readable(&config, &path, &event, &Engine::new()),
            Ok(Cow::Borrowed(_))
        ));
    }
}
