//! Contracts for tests.

use std::sync::Arc;

use super::{Cast, Contract, ContractVersion, Mode, Schema};

/// A contract of (version, schema) and (from, to, template), which assumes the newest.
pub fn contract(kind: &str, versions: &[(&str, &str)], casts: &[(&str, &str, &str)]) -> Contract {
    let version = |(name, schema): &(&str, &str)| ContractVersion {
        name: (*name).to_owned(),
        file: format!("/contracts/{kind}/{name}.json").into(),
        schema: Arc::new(
            Schema::new(serde_json::from_str(schema).expect("JSON")).expect("a schema"),
        ),
    };
    Contract {
        kind: kind.to_owned(),
        versions: versions.iter().map(version).collect(),
        mode: Mode::default(),
        lenient: false,
        assumed: versions.len() - 1,
        casts: (casts.iter())
            .map(|(from, to, template)| Cast {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                template: (*template).to_owned(),
            })
            .collect(),
    }
}
