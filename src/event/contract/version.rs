//! Which version of its contract an event names, and whether it keeps to it. Pure: the front door, releases of held events
//! and previews ask.

use std::collections::BTreeMap;

use super::{Contract, ContractVersion, Fault, data};
use crate::event::{Event, Origin};

/// At most so many faults are named in the reason of a held event; all of them are kept beside it.
const NAMED: usize = 3;

/// Why an event may not enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In words, without any of the event's values.
    pub reason: String,
    /// What events of the same trouble have in common (`order.updated 2: /total type`).
    pub group: String,
    /// Every fault of its data; empty where its version is unknown.
    pub faults: Vec<Fault>,
}

/// Holds an event to the contract of its type. Nothing is said of a type without a contract, nor of what midwatch itself
/// made: its own types have none.
///
/// # Errors
/// Its version is unknown, or its data breaks it.
pub fn verify<'c>(
    contracts: &'c BTreeMap<String, Contract>,
    event: &Event,
) -> Result<Option<&'c ContractVersion>, Refusal> {
    let Some(contract) = contract_of(contracts, event) else {
        return Ok(None);
    };
    let version = named(contract, event)?;
    let faults = match data::read(&event.data) {
        Ok(value) => version.schema.faults(&value),
        Err(fault) => vec![fault],
    };
    if faults.is_empty() {
        return Ok(Some(version));
    }
    Err(broken(contract, version, faults))
}

/// The contract that an event is held to.
pub(super) fn contract_of<'c>(
    contracts: &'c BTreeMap<String, Contract>,
    event: &Event,
) -> Option<&'c Contract> {
    if event.origin == Origin::Internal {
        return None;
    }
    contracts.get(&event.kind)
}

/// The version that an event names: `schemaversion` exactly, or the end of a `dataschema`: `.../TYPE/2.json` or `.../2`. One
/// that names none is held to the assumed one.
pub(super) fn named<'c>(
    contract: &'c Contract,
    event: &Event,
) -> Result<&'c ContractVersion, Refusal> {
    let Some(text) = event.schema_version.as_deref() else {
        return Ok(contract.assumed());
    };
    if let Some(version) = contract
        .version(text)
        .or_else(|| contract.version(of_address(text, &contract.kind)?))
    {
        return Ok(version);
    }
    let known: Vec<&str> = (contract.versions.iter())
        .map(|version| version.name.as_str())
        .collect();
    let kind = &contract.kind;
    Err(Refusal {
        reason: format!(
            "names version {} of {kind}; known {} {}",
            super::schema::shortened(text),
            if known.len() == 1 { "is" } else { "are" },
            known.join(", ")
        ),
        group: format!("{kind}: unknown version {}", super::schema::shortened(text)),
        faults: Vec::new(),
    })
}

/// The version at the end of a schema's address. `2.json` is a file, whose folder must be the type's.
fn of_address<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
    let path = text.split(['?', '#']).next()?;
    let (folders, last) = path.rsplit_once('/')?;
    match last.strip_suffix(".json") {
        None => Some(last),
        Some(version) => {
            let folder = folders.rsplit('/').next()?;
            (folder == kind).then_some(version)
        }
    }
}

fn broken(contract: &Contract, version: &ContractVersion, faults: Vec<Fault>) -> Refusal {
    let name = format!("{} {}", contract.kind, version.name);
    let mut told: Vec<String> = Vec::new();
    for place in faults.iter().map(Fault::place) {
        if !told.contains(&place) {
            told.push(place);
        }
    }
    let group = format!("{name}: {}", told.first().map_or("", String::as_str));
    let more = told.len().saturating_sub(NAMED);
    told.truncate(NAMED);
    let mut places = told.join(", ");
    if more > 0 {
        places = format!("{places} and {more} more");
    }
    Refusal {
        reason: format!("breaks the contract {name}: {places}"),
        group,
        faults,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::contract;
    use super::*;
    use crate::event::testing::event;

    fn contracts() -> BTreeMap<String, Contract> {
        let schema = |total: &str| {
            format!(
                r#"{{"type":"object","required":["total"],"properties":{{"total":{{"type":"{total}"}},
                    "items":{{"type":"array","items":{{"type":"integer"}}}}}}}}"#
            )
        };
        let contract = contract(
            "order.updated",
            &[("1", &schema("number")), ("2", &schema("string"))],
            &[],
        );
        BTreeMap::from([("order.updated".to_owned(), contract)])
    }

    fn verdict(version: Option<&str>, data: &str) -> Result<Option<String>, Refusal> {
        let mut event = event("order.updated", data);
        event.schema_version = version.map(str::to_owned);
        verify(&contracts(), &event).map(|version| version.map(|version| version.name.clone()))
    }

    #[test]
    fn an_event_is_held_to_the_version_that_it_names() {
        let (one, two) = (r#"{"total":1}"#, r#"{"total":"1.00"}"#);
        for (version, data, expected) in [
            (None, two, "2"),
            (Some("1"), one, "1"),
            (Some("2"), two, "2"),
            (
                Some("https://shop.example/contracts/order.updated/1.json"),
                one,
                "1",
            ),
            (
                Some("https://shop.example/contracts/order.updated/1.json#x"),
                one,
                "1",
            ),
            (Some("https://shop.example/order/1"), one, "1"),
            (Some("urn:order/2?x=1"), two, "2"),
        ] {
            assert_eq!(
                verdict(version, data),
                Ok(Some(expected.to_owned())),
                "{version:?}"
            );
        }
        for version in [
            "7",
            "",
            "https://shop.example/contracts/order.created/1.json",
            "1.json",
            "https://shop.example/",
        ] {
            let refusal = verdict(Some(version), one).expect_err(version);
            assert_eq!(
                refusal.reason,
                format!("names version {version} of order.updated; known are 1, 2")
            );
            assert!(refusal.faults.is_empty());
        }
    }

    #[test]
    fn faults_are_all_told_and_grouped_by_the_first() {
        let refusal =
            verdict(Some("1"), r#"{"total":"secret","items":[1,"a","b"]}"#).expect_err("broken");
        assert_eq!(
            refusal.reason,
            "breaks the contract order.updated 1: /items/* type, /total type"
        );
        assert_eq!(refusal.group, "order.updated 1: /items/* type");
        assert_eq!(refusal.faults.len(), 3);
        let missing = verdict(None, "{}").expect_err("missing");
        assert_eq!(missing.group, "order.updated 2: /total required");
        assert_eq!(missing.faults[0].pointer, "/total");
        let xml = verdict(None, "<xml/>").expect_err("no JSON");
        assert_eq!(xml.group, "order.updated 2: json");
    }

    #[test]
    fn other_types_and_what_midwatch_makes_are_nobodys_business() {
        let mut event = event("order.paid", "<xml/>");
        assert_eq!(verify(&contracts(), &event).map(|v| v.is_some()), Ok(false));
        event.kind = "order.updated".to_owned();
        event.origin = Origin::Internal;
        assert_eq!(verify(&contracts(), &event).map(|v| v.is_some()), Ok(false));
    }
}
